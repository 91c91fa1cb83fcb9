//! The server's bounds, respected before they hurt.

use std::time::Duration;

use serde_json::{Value, json};

use super::activities::{Embedded, release};
use super::support::cluster::Cluster;
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
