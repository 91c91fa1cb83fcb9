//! The server's bounds, respected before they hurt.

use std::time::Duration;

use serde_json::{Value, json};

use super::activities::Embedded;
use super::support::cluster::Cluster;
use super::support::root;
use super::support::worker::Worker;

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

/// The server refuses the 2,001st activity that is pending, and with it the workflow task.
#[test]
fn no_more_activities_are_pending_than_the_server_takes() {
    let queue = Cluster::get().unique("limits");
    let _worker = Embedded::start(&queue, "tests/cluster/limits");
    let id = Cluster::get().unique("limits-wide");
    let start = [
        "start",
        "limits-wide",
        "--input",
        "2300",
        "--workflow-id",
        &id,
        "--task-queue",
        &queue,
    ];
    let done = Cluster::get()
        .segno(&[&start[..], &["--wait", "--output", "json"]].concat())
        .ok();
    assert_eq!(done.json()["result"], 2300);
    let history = Cluster::get()
        .segno(&["history", &id, "--output", "json"])
        .ok()
        .json();
    let events = history["events"].as_array().unwrap();
    let failed = |event: &&Value| event["eventType"] == "EVENT_TYPE_WORKFLOW_TASK_FAILED";
    assert_eq!(events.iter().find(failed), None);
    let pending = events.iter().scan(0_i64, |pending, event| {
        *pending += match event["eventType"].as_str() {
            Some("EVENT_TYPE_ACTIVITY_TASK_SCHEDULED") => 1,
            Some("EVENT_TYPE_ACTIVITY_TASK_COMPLETED") => -1,
            _ => 0,
        };
        Some(*pending)
    });
    assert_eq!(pending.max(), Some(2000));
    Cluster::get().segno(&["replay", &id]).ok();
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
