//! The server's bounds, respected before they hurt.

use std::time::Duration;

use segno::limits::COMMANDS_PER_WORKFLOW_TASK_MAX;
use serde_json::{Value, json};

use super::activities::{Embedded, release};
use super::support::cluster::Cluster;
use super::support::gateway::{Door, Gateway, Measured, SERVER_NAME};
use super::support::worker::{Worker, count};
use super::support::{root, until};

fn worker() -> Worker {
    Worker::start(&root().join("tests/cluster/limits"), &[])
}

/// The server would end a workflow that hands over one of these.
#[test]
fn what_is_too_large_is_a_failure_that_can_be_caught() {
    let worker = worker();
    let run = worker.launch("limits-payloads", &json!({}));
    let seen = [
        "activity",
        "child",
        "signal",
        "memo",
        "continue as new",
        "failure",
    ];
    assert_eq!(run.result(), json!(seen));
    run.assert_no_task_failed();
    run.assert_replays();
}

#[test]
fn a_result_that_is_too_large_fails_the_workflow_and_names_the_bound() {
    let worker = worker();
    let end = worker.launch("limits-result", &json!({})).end();
    assert_eq!(end["status"], "FAILED", "{end:#}");
    let failure = end["failure"].to_string();
    assert!(
        failure.contains("PayloadSizeExceeded") && failure.contains("PAYLOAD_SIZE_BYTES_MAX"),
        "{failure}"
    );
}

/// A message to the server holds 4 MiB.
#[test]
fn large_commands_are_spread_over_workflow_tasks() {
    let worker = worker();
    let run = worker.launch("limits-commands", &json!({}));
    assert_eq!(run.result(), json!(10 * 1024 * 1024));
    run.assert_no_task_failed();
    run.assert_replays();
}

/// The same for what local activities answer, which is in the task that runs them: one after the other, many at once, large ones at once, and
/// so many that their markers alone are too much.
#[test]
fn results_of_local_activities_are_spread_over_workflow_tasks() {
    let watch = Watch::new();
    let worker = watch.worker();
    for (turns, concurrency, bytes) in [
        (45, 1, 100_000),
        (45, 45, 100_000),
        (10, 10, 900_000),
        (2_500, 50, 1),
    ] {
        let input =
            json!({ "turns": turns, "concurrency": concurrency, "bytes": bytes.to_string() });
        let run = worker.launch("limits-local-results", &input);
        assert_eq!(run.result(), json!(turns), "{input}");
        run.assert_no_task_failed();
        watch.assert_bounded();
        run.assert_replays();
    }
    let run = worker.launch("limits-local-results-automatic", &json!(2_500));
    assert_eq!(run.result(), json!(2_500));
    run.assert_no_task_failed();
    watch.assert_bounded();
}

/// Runs one of the definitions with 2,300 calls at once, of which no more than 2,000 may be pending: the server refuses
/// the next one, and with it the workflow task.
///
/// `when_full`: what is done as soon as that many have begun, so that none resolves before. `tolerated`: why a workflow task may fail all the same.
fn most_pending(
    workflow_type: &str,
    (begun, resolved): (&str, &str),
    when_full: fn(),
) -> Option<i64> {
    let queue = Cluster::get().unique("limits");
    let _worker = Embedded::start(&queue, "tests/cluster/limits");
    let id = Cluster::get().unique(workflow_type);
    let run = ["--workflow-id", &id, "--task-queue", &queue];
    let start = [&["start", workflow_type], &run[..], &["--input", "2300"]];
    Cluster::get().segno(&start.concat()).ok();
    let events = || {
        let history = Cluster::get().segno(&["history", &id, "--output", "json"]);
        history.ok().json()["events"].as_array().unwrap().clone()
    };
    until("as many at once as may be", || {
        (count(&events(), begun) >= 2000).then_some(())
    });
    when_full();
    let done = Cluster::get().segno(&["result", &id, "--output", "json"]);
    assert_eq!(done.ok().json()["result"], 2300);
    let events = events();
    // Where more comes during a workflow task than the server keeps events of, it closes the task itself.
    let failed = |event: &&Value| {
        let cause = event["workflowTaskFailedEventAttributes"]["cause"].as_str();
        event["eventType"] == "EVENT_TYPE_WORKFLOW_TASK_FAILED"
            && cause != Some("WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND")
    };
    assert_eq!(events.iter().find(failed), None);
    Cluster::get().segno(&["replay", &id]).ok();
    let pending = events.iter().scan(0_i64, |pending, event| {
        let kind = event["eventType"].as_str().unwrap_or_default();
        *pending += i64::from(kind == begun) - i64::from(kind == resolved);
        Some(*pending)
    });
    pending.max()
}

#[test]
fn no_more_activities_are_pending_than_the_server_takes() {
    let most = most_pending(
        "limits-wide",
        (
            "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED",
            "EVENT_TYPE_ACTIVITY_TASK_COMPLETED",
        ),
        release,
    );
    assert_eq!(most, Some(2000));
}

#[test]
fn no_more_children_are_pending_than_the_server_takes() {
    let most = most_pending(
        "limits-children",
        (
            "EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED",
            "EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT",
        ),
        || (),
    );
    assert_eq!(most, Some(2000));
}

/// The server takes ten updates of a run at a time; the client offers one more again until there is room.
#[test]
fn an_update_too_many_waits_for_room() {
    let worker = worker();
    let run = worker.launch("limits-updates", &json!({}));
    let hold = |number: usize, wait: &str| {
        let id = format!("hold-{number}");
        let update = [
            "update",
            &run.id,
            "hold",
            "--update-id",
            &id,
            "--wait-for",
            wait,
        ];
        let answer = worker
            .cluster
            .segno(&[&update[..], &["--output", "json"]].concat());
        answer.ok().json()["result"].clone()
    };
    (0..10).for_each(|number| drop(hold(number, "accepted")));
    std::thread::scope(|scope| {
        let one_more = scope.spawn(|| hold(10, "completed"));
        std::thread::sleep(Duration::from_millis(500));
        run.signal("release", &Value::Null);
        assert_eq!(one_more.join().unwrap(), 11);
    });
    run.result();
}

/// Workers repeat updates in their answers. Of some that come at once, those whose answers do not fit any more are rejected by the server,
/// and the run goes on.
#[test]
fn large_updates_at_once_do_not_end_the_run() {
    let worker = worker();
    let run = worker.launch("limits-large-updates", &json!({}));
    worker.kill();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("input.json");
    std::fs::write(&file, json!("x".repeat(1_900_000)).to_string()).unwrap();
    let update = || {
        let file = file.to_str().unwrap();
        let update = ["update", &run.id, "take", "--input-file", file];
        worker.cluster.segno(&update)
    };
    std::thread::scope(|scope| {
        let updates: Vec<_> = (0..3).map(|_| scope.spawn(update)).collect();
        // They wait at the server for the worker.
        std::thread::sleep(Duration::from_secs(3));
        worker.begin();
        let answers: Vec<_> = updates.into_iter().map(|u| u.join().unwrap()).collect();
        let (done, rejected): (Vec<_>, Vec<_>) = answers.iter().partition(|a| a.code == 0);
        assert!(!done.is_empty(), "{answers:#?}");
        for answer in rejected {
            assert!(answer.stderr.contains("UnprocessedUpdate"), "{answer:#?}");
        }
    });
    update().ok();
    run.signal("finish", &Value::Null);
    let count = run.result();
    assert!((2..=4).contains(&count.as_u64().unwrap()), "{count}");
    run.assert_no_task_failed();
    run.assert_replays();
}

/// Everything that a run can send, with as much as it may hold, in as few workflow tasks as there can be.
#[test]
fn commands_at_their_limits_are_spread_over_workflow_tasks() {
    let watch = Watch::new();
    let worker = watch.worker();
    let run = worker.launch("limits-everything", &json!({}));
    for _ in 0..3 {
        let answer = worker.cluster.segno(&["query", &run.id, "big"]);
        let refusals = ["WORKFLOW_TASK_SIZE_BYTES_MAX", "NotStarted"];
        let is_refused = refusals.iter().any(|why| answer.stderr.contains(why));
        assert!(
            answer.code == 0 || is_refused,
            "{} {}",
            answer.code,
            answer.stderr
        );
    }
    run.signal("finish", &Value::Null);
    assert_eq!(run.result(), json!(["continue as new"]));
    run.assert_no_task_failed();
    watch.assert_bounded();
    run.assert_replays();
}

/// Stands between a worker and the server, and measures each workflow task that is sent.
struct Watch {
    gateway: Gateway,
    measured: Measured,
}

impl Watch {
    fn new() -> Watch {
        let measured = Measured::default();
        let door = Door::Measures(measured.clone());
        let gateway = Gateway::start(&Cluster::get().address, door);
        Watch { gateway, measured }
    }

    fn worker(&self) -> Worker {
        let ca = self.gateway.file("ca.pem");
        let arguments = [
            "--exec-allow",
            "printf=/usr/bin/printf",
            "--address",
            &self.gateway.address,
            "--tls-ca-path",
            &ca,
            "--tls-server-name",
            SERVER_NAME,
        ];
        Worker::start(&root().join("tests/cluster/limits"), &arguments)
    }

    /// The server takes messages of 4 MiB. Beyond the bound of commands there are those that end a task.
    fn assert_bounded(&self) {
        let tasks = std::mem::take(&mut *self.measured.lock().unwrap());
        assert!(!tasks.is_empty());
        for (number, task) in tasks.into_iter().enumerate() {
            println!("workflow task {number}: {task:?}");
            assert!(
                task.size_bytes < 4 << 20,
                "workflow task {number}: {task:?}"
            );
            assert!(
                task.commands <= COMMANDS_PER_WORKFLOW_TASK_MAX + 60,
                "workflow task {number}: {task:?}"
            );
        }
    }
}
