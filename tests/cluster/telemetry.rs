//! What a worker and the command line tell Prometheus and OpenTelemetry.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::support::cluster::{Cluster, python_with_telemetry, spawn_bound};
use super::support::collector::Collector;
use super::support::run::Run;
use super::support::worker::Worker;
use super::support::{free_port, root, segno, until};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// All that hangs below the span of whoever ran `segno start`.
const JOINED: &str = "\
StartWorkflow:traced
  RunWorkflow:traced
    HandleSignal:go <- SignalWorkflow:go
    StartActivity:exec
      RunActivity:exec
    StartActivity:exec
      RunActivity:exec (the worker does not allow the program `nowhere`; it allows: echo (`segno worker --exec-allow NAME=PATH`))
    StartActivity:greet
      RunActivity:greet
        find words
    StartChildWorkflow:traced-child
      RunWorkflow:traced-child
        CompleteWorkflow:traced-child
  RunWorkflow:traced-child
    CompleteWorkflow:traced-child (nothing was asked for)
";

fn telemetry<'a>(collector: &'a Collector, protocol: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
    ]
}

fn command(arguments: &[&str], environment: &[(&str, &str)]) -> Value {
    let mut command = Command::new(segno());
    command
        .args(arguments)
        .args(["--output", "json"])
        .current_dir(root())
        .env("TEMPORAL_ADDRESS", &Cluster::get().address)
        .env("NO_COLOR", "1")
        .envs(environment.iter().copied());
    Run::of(&mut command).ok().json()
}

/// A Python worker with the official interceptor, on a task queue of its own.
struct Greeter(Child);

impl Greeter {
    fn start(collector: &Collector, task_queue: &str) -> Greeter {
        let mut command = Command::new(python_with_telemetry());
        command
            .arg("tests/cluster/telemetry/greet.py")
            .args([task_queue, &collector.url])
            .env("TEMPORAL_ADDRESS", &Cluster::get().address);
        Greeter(spawn_bound(&command, Stdio::null(), Stdio::null()))
    }
}

impl Drop for Greeter {
    fn drop(&mut self) {
        // It ends with its pipe.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// `segno start`, its workflow, activities in Rust and in Python, a child and a continuation are one trace.
fn one_trace(protocol: &str, arguments: &[&str]) {
    let collector = Collector::start();
    let task_queue = Cluster::get().unique("greet");
    let _greeter = Greeter::start(&collector, &task_queue);
    let mut environment = telemetry(&collector, protocol);
    let arguments = [&["--exec-allow", "echo=/bin/echo"], arguments].concat();
    let folder = root().join("tests/cluster/telemetry");
    let worker = Worker::with(&folder, &arguments, &environment);

    let parent = format!("00-{TRACE}-{CALLER}-01");
    environment.push(("TRACEPARENT", &parent));
    let id = Cluster::get().unique("traced");
    let input = json!({ "name": "Ada", "task_queue": task_queue }).to_string();
    let start = [
        "start",
        "traced",
        "--task-queue",
        &worker.task_queue,
        "--workflow-id",
        &id,
        "--input",
        &input,
        "--execution-timeout",
        "60s",
    ];
    command(&start, &environment);
    environment.pop();
    command(&["signal", &id, "go", "--input", "null"], &environment);
    until("the whole trace", || {
        let tree = collector.tree(CALLER);
        (tree.lines().count() >= JOINED.lines().count()).then_some(())
    });
    // What the worker has still to send is sent when it ends.
    assert_eq!(worker.stop(), Some(0));
    assert_eq!(collector.tree(CALLER), JOINED);
    let spans = collector.spans();
    let joined = spans.iter().filter(|span| span.trace == TRACE);
    assert_eq!(joined.count(), JOINED.lines().count());
    let run = spans.iter().find(|span| span.name == "RunWorkflow:traced");
    let about = ("temporalWorkflowID".to_owned(), id);
    assert!(run.unwrap().attributes.contains(&about), "{run:?}");
    assert!(collector.services().contains("segno"));
}

#[test]
fn a_start_its_workflow_and_its_activities_are_one_trace() {
    one_trace("http/protobuf", &[]);
}

#[test]
fn a_run_that_is_replayed_for_every_task_leaves_the_same_trace() {
    one_trace("grpc", &["--max-cached-workflows", "0"]);
}

#[test]
fn a_worker_without_a_collector_hands_the_context_on() {
    let collector = Collector::start();
    let task_queue = Cluster::get().unique("greet");
    let _greeter = Greeter::start(&collector, &task_queue);
    let folder = root().join("tests/cluster/telemetry");
    let worker = Worker::start(&folder, &["--exec-allow", "echo=/bin/echo"]);
    let input = json!({ "name": "Ada", "task_queue": task_queue }).to_string();
    let parent = format!("00-{TRACE}-{CALLER}-01");
    let start = ["start", "traced", "--task-queue", &worker.task_queue];
    let rest = ["--input", &input, "--execution-timeout", "300s"];
    command(&[&start[..], &rest].concat(), &[("TRACEPARENT", &parent)]);
    let found = until("the activity's span", || {
        let spans = collector.spans();
        spans
            .into_iter()
            .find(|span| span.name == "RunActivity:greet")
    });
    assert_eq!((&*found.trace, &*found.parent), (TRACE, CALLER));
}

#[test]
fn metrics_go_to_a_collector() {
    for protocol in ["http/protobuf", "grpc"] {
        let collector = Collector::start();
        let environment = telemetry(&collector, protocol);
        let named = [
            ("OTEL_SERVICE_NAME", "orders"),
            ("OTEL_TRACES_EXPORTER", "none"),
        ];
        let environment = [&environment[..], &named].concat();
        let worker = Worker::with(&root().join("workflows"), &[], &environment);
        let run = worker.launch("hello", &json!({ "name": "Ada" }));
        assert_eq!(run.result(), "Hello, Ada!");
        until("the metric of completed workflows", || {
            let metrics = collector.metrics();
            metrics
                .contains("temporal_workflow_completed")
                .then_some(())
        });
        assert_eq!(collector.spans(), []);
        assert_eq!(collector.services().first().unwrap(), "orders");
    }
}

fn scrape(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

/// Whether there is a series with these labels and this value.
fn has(text: &str, name: &str, labels: &[(&str, &str)], value: &str) -> bool {
    text.lines().any(|line| {
        let is_series =
            line.starts_with(&format!("{name}{{")) && line.ends_with(&format!(" {value}"));
        let mut labels = labels.iter();
        is_series && labels.all(|(label, is)| line.contains(&format!("{label}=\"{is}\"")))
    })
}

#[test]
fn prometheus_finds_what_the_worker_did() {
    let address = format!("127.0.0.1:{}", free_port());
    let worker = Worker::of_examples(&["--metrics-address", &address]);
    let run = worker.launch("hello", &json!({ "name": "Ada" }));
    assert_eq!(run.result(), "Hello, Ada!");
    let queue = ("task_queue", worker.task_queue.as_str());
    let namespace = ("namespace", "default");
    let hello = ("workflow_type", "hello");
    let text = until("the metric of completed workflows", || {
        let labels = [queue, namespace, hello];
        scrape(&address).filter(|text| has(text, "temporal_workflow_completed", &labels, "1"))
    });
    let resolved = ("activity_type", "resolve-definition");
    for (name, labels, value) in [
        (
            "temporal_worker_task_slots_available",
            &[queue, ("worker_type", "WorkflowWorker")],
            "100",
        ),
        (
            "temporal_workflow_endtoend_latency_count",
            &[queue, hello],
            "1",
        ),
        (
            "temporal_local_activity_execution_latency_count",
            &[queue, resolved],
            "1",
        ),
        ("segno_runs_bound", &[queue, hello], "1"),
    ] {
        assert!(
            has(&text, name, labels, value),
            "{name} {labels:?} {value} is not in\n{text}"
        );
    }
}
