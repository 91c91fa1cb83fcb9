//! What `segno start` says of a run, alone and together with an update, as the server has it.

use serde_json::{Value, json};

use super::support::cluster::Cluster;
use super::support::run::Run;
use super::support::until;
use super::support::worker::Worker;

fn segno(arguments: &[&str]) -> Run {
    Cluster::get().segno(&[arguments, &["--output", "json"]].concat())
}

fn started_event(workflow_id: &str, run_id: &str) -> Value {
    let history = segno(&["history", workflow_id, "--run-id", run_id])
        .ok()
        .json();
    history["events"][0]["workflowExecutionStartedEventAttributes"].clone()
}

#[test]
fn every_flag_of_a_start_reaches_the_server() {
    let id = Cluster::get().unique("flags");
    let flags = [
        &[
            "start",
            "nobody-has-this",
            "--task-queue",
            "no-worker",
            "--workflow-id",
            &id,
        ][..],
        &[
            "--input",
            "-5",
            "--input",
            r#"{"a":1}"#,
            "--start-delay",
            "1h",
        ],
        &[
            "--execution-timeout",
            "3h",
            "--run-timeout",
            "2h",
            "--task-timeout",
            "9s",
        ],
        &[
            "--retry-initial-interval",
            "2s",
            "--retry-backoff-coefficient",
            "1.5",
        ],
        &[
            "--retry-maximum-interval",
            "1m",
            "--retry-maximum-attempts",
            "4",
        ],
        &[
            "--retry-non-retryable-error-type",
            "Broken",
            "--retry-non-retryable-error-type",
            "Lost",
        ],
        &[
            "--memo",
            r#"why="test""#,
            "--search-attribute",
            r#"Stage="one""#,
            "--search-attribute",
            "Rank=-2",
        ],
        &[
            "--headers",
            "trace=1",
            "--static-summary",
            "A test",
            "--static-details",
            "All of it",
        ],
        &[
            "--priority-key",
            "1",
            "--fairness-key",
            "team",
            "--fairness-weight",
            "2.5",
        ],
    ];
    let started = segno(&flags.concat()).ok().json();
    let event = started_event(&id, started["runId"].as_str().unwrap());
    let data = |payload: &Value| payload["data"].clone();
    let input = event["input"]["payloads"].as_array().unwrap();
    assert_eq!(
        input.iter().map(data).collect::<Vec<_>>(),
        ["LTU=", "eyJhIjoxfQ=="]
    );
    assert_eq!(event["firstWorkflowTaskBackoff"], "3600s");
    assert_eq!(event["workflowExecutionTimeout"], "10800s");
    assert_eq!(event["workflowRunTimeout"], "7200s");
    assert_eq!(event["workflowTaskTimeout"], "9s");
    let policy = &event["retryPolicy"];
    assert_eq!(
        (&policy["initialInterval"], &policy["maximumInterval"]),
        (&json!("2s"), &json!("60s"))
    );
    assert_eq!(
        (&policy["backoffCoefficient"], &policy["maximumAttempts"]),
        (&json!(1.5), &json!(4))
    );
    assert_eq!(policy["nonRetryableErrorTypes"], json!(["Broken", "Lost"]));
    assert_eq!(data(&event["memo"]["fields"]["why"]), "InRlc3Qi");
    let attributes = &event["searchAttributes"]["indexedFields"];
    assert_eq!(
        (data(&attributes["Stage"]), data(&attributes["Rank"])),
        (json!("Im9uZSI="), json!("LTI="))
    );
    assert_eq!(data(&event["header"]["fields"]["trace"]), "MQ==");
    let priority = json!({ "priorityKey": 1, "fairnessKey": "team", "fairnessWeight": 2.5 });
    assert_eq!(event["priority"], priority);
    segno(&["terminate", &id]).ok();
}

#[test]
fn id_policies_decide_about_a_second_start() {
    let id = Cluster::get().unique("policies");
    let start = |policy: &[&str]| {
        let start = [
            "start",
            "nobody-has-this",
            "--task-queue",
            "no-worker",
            "--workflow-id",
            &id,
        ];
        segno(&[&start[..], policy].concat())
    };
    let run_id = |run: Run| run.ok().json()["runId"].clone();
    let first = run_id(start(&[]));
    let second = start(&["--id-conflict-policy", "fail"]);
    assert!(
        second.code == 1 && second.stderr.contains("already exists"),
        "{second:#?}"
    );
    assert_eq!(
        run_id(start(&["--id-conflict-policy", "use-existing"])),
        first
    );
    assert_ne!(
        run_id(start(&["--id-conflict-policy", "terminate-existing"])),
        first
    );
    segno(&["terminate", &id]).ok();
    let failed_only = run_id(start(&["--id-reuse-policy", "allow-duplicate-failed-only"]));
    assert_ne!(failed_only, first);
    segno(&["terminate", &id]).ok();
    for refused in [
        &["--id-reuse-policy", "reject-duplicate"][..],
        &["--fail-existing"],
    ] {
        let refused = start(refused);
        assert!(
            refused.code == 1 && refused.stderr.contains("already exists"),
            "{refused:#?}"
        );
    }
}

#[test]
fn a_cron_schedule_starts_run_after_run() {
    let worker = Worker::start(&super::support::root().join("tests/cluster/schedules"), &[]);
    let id = Cluster::get().unique("cron");
    let start = [
        "start",
        "schedules-done",
        "--input",
        "{}",
        "--workflow-id",
        &id,
    ];
    let cron = [
        "--cron-schedule",
        "@every 1s",
        "--task-queue",
        &worker.task_queue,
    ];
    let first = segno(&[&start[..], &cron].concat()).ok().json()["runId"].clone();
    let later = until("a later run", || {
        let run_id = segno(&["describe", &id]).ok().json()["runId"].clone();
        Some(run_id).filter(|run_id| *run_id != first)
    });
    let event = started_event(&id, later.as_str().unwrap());
    assert_eq!(event["cronSchedule"], "@every 1s");
    assert_eq!(event["firstExecutionRunId"], first);
    assert_eq!(
        event["initiator"],
        "CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE"
    );
    segno(&["terminate", &id]).ok();
}

#[test]
fn a_start_brings_an_update_along() {
    let worker = Worker::of_examples(&[]);
    let id = Cluster::get().unique("account");
    let start = |arguments: &[&str]| {
        let start = [
            "start",
            "account",
            "--workflow-id",
            &id,
            "--input",
            r#"{"owner":"Ada"}"#,
        ];
        let queue = ["--task-queue", &worker.task_queue];
        segno(&[&start[..], &queue, arguments].concat())
    };
    let deposit = ["--update", "deposit", "--update-input", r#"{"amount":5}"#];
    let first = start(&[&deposit[..], &["--update-id", "first"]].concat())
        .ok()
        .json();
    assert_eq!(
        (&first["result"], &first["started"]),
        (&json!(5), &json!(true))
    );
    assert_eq!(
        (&first["updateId"], &first["name"]),
        (&json!("first"), &json!("deposit"))
    );
    // It runs, and is taken instead of another.
    let second = start(&deposit).ok().json();
    assert_eq!(
        (&second["result"], &second["started"]),
        (&json!(10), &json!(false))
    );
    assert_eq!(second["runId"], first["runId"]);
    // An update is done once.
    let same = start(&[&deposit[..], &["--update-id", "first"]].concat())
        .ok()
        .json();
    assert_eq!(same["result"], 5);
    let accepted = start(&[&deposit[..], &["--wait-for", "accepted"]].concat())
        .ok()
        .json();
    assert!(
        accepted["stage"] == "ACCEPTED" || accepted["result"] == 15,
        "{accepted:#}"
    );
    let rejected = start(&["--update", "deposit", "--update-input", r#"{"amount":0}"#]);
    assert_eq!(rejected.code, 1, "{rejected:#?}");
    let message = rejected.json()["failure"]["message"].to_string();
    assert!(
        message.contains("a deposit is more than nothing"),
        "{message}"
    );
    let refused = start(&[&deposit[..], &["--id-conflict-policy", "fail"]].concat());
    assert!(
        refused.code == 1 && refused.stderr.contains("already exists"),
        "{refused:#?}"
    );

    let update = |stage: &str| {
        let update = [
            "update",
            &id,
            "deposit",
            "--input",
            r#"{"amount":5}"#,
            "--wait-for",
            stage,
        ];
        segno(&update).ok().json()
    };
    let accepted = update("accepted");
    assert!(
        accepted["stage"] == "ACCEPTED" || accepted["result"] == 20,
        "{accepted:#}"
    );
    assert_eq!(update("completed")["result"], 25);
    let history = segno(&["history", &id]).ok().json();
    let updates = history["events"].as_array().unwrap().iter();
    let updates =
        updates.filter(|e| e["eventType"] == "EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED");
    assert_eq!(updates.count(), 5);
    segno(&["terminate", &id]).ok();
}
