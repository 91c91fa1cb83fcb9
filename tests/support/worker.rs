//! A `segno worker` of a test, on a task queue of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use segno::client::{WorkflowRef, history_to_json};
use segno::value::{Payload, from_json};
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::golden;
use super::run::Run;
use super::{root, segno, until};

/// What hangs ends as timed out.
const EXECUTION_TIMEOUT: &str = "300s";

pub struct Worker {
    pub cluster: &'static Cluster,
    pub task_queue: String,
    /// None serves what is deployed.
    definitions: Option<PathBuf>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    process: Mutex<Option<Child>>,
    logs: tempfile::NamedTempFile,
}

impl Worker {
    /// Serves the folder's definitions, with further arguments of `segno worker`.
    pub fn start(definitions: &Path, arguments: &[&str]) -> Worker {
        Worker::on(Cluster::get(), definitions, arguments)
    }

    pub fn on(cluster: &'static Cluster, definitions: &Path, arguments: &[&str]) -> Worker {
        let task_queue = cluster.unique("queue");
        Worker::of_queue(cluster, task_queue, Some(definitions), arguments, &[])
    }

    /// Serves the folder's definitions on a task queue of this name.
    pub fn on_queue(task_queue: &str, definitions: &Path) -> Worker {
        let task_queue = task_queue.to_owned();
        Worker::of_queue(Cluster::get(), task_queue, Some(definitions), &[], &[])
    }

    /// One that serves what is deployed, with the registry that the arguments name.
    pub fn of_deployed(arguments: &[&str]) -> Worker {
        let cluster = Cluster::get();
        Worker::of_queue(cluster, cluster.unique("queue"), None, arguments, &[])
    }

    /// The same with environment variables.
    pub fn of_deployed_with(arguments: &[&str], environment: &[(&str, &str)]) -> Worker {
        let cluster = Cluster::get();
        let task_queue = cluster.unique("queue");
        Worker::of_queue(cluster, task_queue, None, arguments, environment)
    }

    /// With environment variables.
    pub fn with(definitions: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Worker {
        let cluster = Cluster::get();
        let task_queue = cluster.unique("queue");
        Worker::of_queue(
            cluster,
            task_queue,
            Some(definitions),
            arguments,
            environment,
        )
    }

    /// Another process on the same task queue, with arguments of its own.
    pub fn beside(&self, arguments: &[&str]) -> Worker {
        let task_queue = self.task_queue.clone();
        let definitions = self.definitions.as_deref();
        Worker::of_queue(self.cluster, task_queue, definitions, arguments, &[])
    }

    fn of_queue(
        cluster: &'static Cluster,
        task_queue: String,
        definitions: Option<&Path>,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Worker {
        let text = |text: &&str| (*text).to_owned();
        let environment = environment.iter().map(|(n, v)| (text(n), text(v)));
        let worker = Worker {
            cluster,
            task_queue,
            definitions: definitions.map(Path::to_owned),
            arguments: arguments.iter().map(text).collect(),
            environment: environment.collect(),
            process: Mutex::default(),
            logs: tempfile::NamedTempFile::new().unwrap(),
        };
        worker.begin();
        worker
    }

    /// One that serves the examples.
    pub fn of_examples(arguments: &[&str]) -> Worker {
        Worker::start(&root().join("workflows"), arguments)
    }

    pub fn begin(&self) {
        let mut process = self.process.lock().unwrap();
        assert!(process.is_none());
        let logs = File::options().append(true).open(self.logs.path()).unwrap();
        let child = Command::new(segno())
            .args(["worker", "--task-queue", &self.task_queue])
            .args(
                self.definitions
                    .iter()
                    .flat_map(|folder| [Path::new("--definitions"), folder]),
            )
            .args(&self.arguments)
            .current_dir(root())
            .env("TEMPORAL_ADDRESS", &self.cluster.address)
            .env("NO_COLOR", "1")
            .envs(self.environment.iter().map(|(n, v)| (n, v)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(logs)
            .spawn()
            .unwrap();
        *process = Some(child);
    }

    /// SIGKILL, no word of farewell; then another takes its place.
    pub fn kill_and_restart(&self) {
        self.kill();
        self.begin();
    }

    /// SIGKILL, and nothing takes its place.
    pub fn kill(&self) {
        let mut child = self.process.lock().unwrap().take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// From now on the kernel refuses it more data than this: what asks for more aborts.
    pub fn bound_memory(&self, size_bytes: u64) {
        let process = self.process.lock().unwrap();
        let id = i32::try_from(process.as_ref().unwrap().id()).unwrap();
        let limit = rustix::process::Rlimit {
            current: Some(size_bytes),
            maximum: Some(size_bytes),
        };
        let resource = rustix::process::Resource::Data;
        rustix::process::prlimit(rustix::process::Pid::from_raw(id), resource, limit).unwrap();
    }

    /// The most memory that it has had; it must be alive.
    pub fn peak_memory_kib(&self) -> u64 {
        let mut process = self.process.lock().unwrap();
        let child = process.as_mut().unwrap();
        assert!(child.try_wait().unwrap().is_none(), "the worker has died");
        peak_memory_kib(child.id())
    }

    /// SIGTERM, and its exit code.
    pub fn stop(&self) -> Option<i32> {
        let mut child = self.process.lock().unwrap().take().unwrap();
        let id = child.id().to_string();
        assert!(Command::new("kill").arg(id).status().unwrap().success());
        until("the worker's end", || child.try_wait().unwrap()).code()
    }

    pub fn logs(&self) -> String {
        std::fs::read_to_string(self.logs.path()).unwrap()
    }

    /// Starts a workflow on this worker's task queue.
    #[track_caller]
    pub fn launch(&self, workflow_type: &str, input: &Value) -> Workflow<'_> {
        let id = self.cluster.unique(workflow_type);
        let input = input.to_string();
        let started = self.cluster.segno(&[
            "start",
            workflow_type,
            "--task-queue",
            &self.task_queue,
            "--workflow-id",
            &id,
            "--input",
            &input,
            "--task-timeout",
            "2s",
            "--execution-timeout",
            EXECUTION_TIMEOUT,
            "--output",
            "json",
        ]);
        let run_id = started.ok().json()["runId"].as_str().unwrap().to_owned();
        Workflow {
            worker: self,
            id,
            run_id,
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let process = self
            .process
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(mut child) = process.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the worker's log\n{}\n---", self.logs());
        }
    }
}

/// The most memory that a process has had.
pub fn peak_memory_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.unwrap().trim().strip_suffix("kB").unwrap();
    peak.trim().parse().unwrap()
}

/// A workflow that a test started.
pub struct Workflow<'a> {
    worker: &'a Worker,
    pub id: String,
    pub run_id: String,
}

impl Workflow<'_> {
    fn segno(&self, arguments: &[&str]) -> Run {
        self.worker
            .cluster
            .segno(&[arguments, &["--output", "json"]].concat())
    }

    /// Its end, through all its runs.
    pub fn end(&self) -> Value {
        let run = self.segno(&["result", &self.id]);
        assert!(run.code < 2, "{run:#?}");
        run.json()
    }

    /// Its result; any other end than completion is a test's failure.
    #[track_caller]
    pub fn result(&self) -> Value {
        let end = self.end();
        assert_eq!(end["status"], "COMPLETED", "{} {end:#}", self.id);
        end["result"].clone()
    }

    #[track_caller]
    pub fn signal(&self, name: &str, input: &Value) {
        let workflow = WorkflowRef::new(self.id.clone(), None);
        let input = Payload::from_value(&from_json(input).unwrap()).unwrap();
        let cluster = self.worker.cluster;
        cluster
            .call(async |client| client.signal(&workflow, name, vec![input]).await)
            .unwrap();
    }

    /// An update's result, or its failure's message. It is sent again, as the same update, where its worker was killed
    /// before it could answer.
    #[track_caller]
    pub fn update(&self, name: &str, input: &Value) -> Result<Value, String> {
        let update_id = self.worker.cluster.unique(name);
        let input = input.to_string();
        let arguments = [
            "update",
            &self.id,
            name,
            "--update-id",
            &update_id,
            "--input",
            &input,
        ];
        let answer = until("an answer to an update", || {
            let run = self.segno(&arguments);
            (!run.stdout.is_empty()).then(|| run.json())
        });
        match answer["failure"]["message"].as_str() {
            Some(message) => Err(message.to_owned()),
            None => Ok(answer["result"].clone()),
        }
    }

    /// A query's answer. It is asked again while there is no worker to answer it.
    pub fn query(&self, name: &str, input: Option<&Value>) -> Value {
        let input = input.map(Value::to_string);
        let mut arguments = vec!["query", &self.id, name];
        if let Some(input) = &input {
            arguments.extend(["--input", input]);
        }
        until("an answer to a query", || {
            let run = self.segno(&arguments);
            (run.code == 0).then(|| run.json()["queryResult"].clone())
        })
    }

    pub fn query_until(&self, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
        until(&format!("what {name} should say"), || {
            Some(self.query(name, None)).filter(&holds)
        })
    }

    /// The events of its first run, or of the latest.
    pub fn history(&self, run_id: Option<&str>) -> Vec<Value> {
        let workflow = WorkflowRef::new(self.id.clone(), run_id.map(str::to_owned));
        let cluster = self.worker.cluster;
        let history = cluster.call(async |client| client.history(&workflow).await);
        let history = history_to_json(&history.unwrap()).unwrap();
        history["events"].as_array().unwrap().clone()
    }

    /// Every run's events, from the first run on.
    pub fn histories(&self) -> Vec<Vec<Value>> {
        let mut histories = Vec::new();
        let mut next = Some(self.run_id.clone());
        while let Some(run_id) = next {
            let events = self.history(Some(&run_id));
            let last = events.last().unwrap();
            let continued = &last["workflowExecutionContinuedAsNewEventAttributes"];
            next = continued["newExecutionRunId"].as_str().map(str::to_owned);
            histories.push(events);
        }
        histories
    }

    /// No workflow task of any run failed: every replay on the way agreed with history. (The server itself fails a task
    /// that would close the run while something new has arrived, and has it done again.)
    #[track_caller]
    pub fn assert_no_task_failed(&self) {
        const UNHANDLED: &str = "WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND";
        for event in self.histories().concat() {
            let failed = event["eventType"] == "EVENT_TYPE_WORKFLOW_TASK_FAILED"
                && event["workflowTaskFailedEventAttributes"]["cause"] != UNHANDLED;
            assert!(!failed, "{} {event:#}", self.id);
        }
    }

    /// Every run is replayed from its history as the server has it.
    #[track_caller]
    pub fn assert_replays(&self) {
        let folder = tempfile::tempdir().unwrap();
        let mut arguments = vec!["replay".to_owned()];
        let histories = self.histories();
        let histories = histories.into_iter().map(|e| json!({ "events": e }));
        let histories: Vec<Value> = histories.collect();
        for (number, history) in histories.iter().enumerate() {
            let path = folder.path().join(format!("{number}.json"));
            std::fs::write(&path, history.to_string()).unwrap();
            arguments.extend(["--file".to_owned(), path.display().to_string()]);
        }
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let replayed = self.worker.cluster.segno(&arguments);
        assert!(replayed.code == 0, "{} {replayed:#?}", self.id);
        if golden::is_wanted() {
            let started = &histories[0]["events"][0]["workflowExecutionStartedEventAttributes"];
            let workflow = started["workflowType"]["name"].as_str().unwrap();
            let test = std::thread::current();
            let test = test
                .name()
                .map(|name| format!("{}-", name.replace("::", "-")));
            let name = format!("cluster/{}{workflow}", test.unwrap_or_default());
            golden::record(&name, histories);
        }
    }
}

/// How many events of a type there are.
pub fn count(events: &[Value], event_type: &str) -> usize {
    events
        .iter()
        .filter(|e| e["eventType"] == json!(event_type))
        .count()
}
