//! What a definition says to whoever starts it: `segno start --definitions`.

use serde_json::Value;

use super::support::cluster::Cluster;
use super::support::run::Run;

fn start(arguments: &[&str]) -> Run {
    let start = [
        "start",
        "reservation",
        "--definitions",
        "tests/cluster/start",
    ];
    Cluster::get().segno(&[&start[..], arguments, &["--output", "json"]].concat())
}

fn started(workflow_id: &str) -> Value {
    let history = Cluster::get().segno(&["history", workflow_id, "--output", "json"]);
    let started = &history.ok().json()["events"][0]["workflowExecutionStartedEventAttributes"];
    started.clone()
}

#[test]
fn a_start_takes_the_definitions_defaults() {
    let input = r#"{"table": 4, "guest": "Ada"}"#;
    let first = start(&["--input", input]).ok().json();
    assert_eq!(first["workflowId"], "table-4");
    assert_eq!(first["taskQueue"], "reservations");
    let event = started("table-4");
    assert_eq!(event["workflowExecutionTimeout"], "7200s");
    assert_eq!(event["workflowRunTimeout"], "3600s");
    assert_eq!(event["workflowTaskTimeout"], "7s");
    assert_eq!(event["retryPolicy"]["maximumAttempts"], 3);
    assert_eq!(event["memo"]["fields"]["guest"]["data"], "IkFkYSI=");

    let second = start(&["--input", input]).ok().json();
    assert_eq!(
        (&second["started"], &second["runId"]),
        (&Value::Bool(false), &first["runId"])
    );
    Cluster::get().segno(&["terminate", "table-4"]).ok();
}

#[test]
fn flags_win_over_the_definition() {
    let flags = [
        "--workflow-id",
        "the-round-one",
        "--task-queue",
        "others",
        "--run-timeout",
        "5m",
    ];
    let flags = [
        &flags[..],
        &["--input", r#"{"table": 5}"#, "--memo", r#"guest="Grace""#],
    ]
    .concat();
    let first = start(&flags).ok().json();
    assert_eq!(
        (&first["workflowId"], &first["taskQueue"]),
        (&"the-round-one".into(), &"others".into())
    );
    let event = started("the-round-one");
    assert_eq!(event["workflowExecutionTimeout"], "7200s");
    assert_eq!(event["workflowRunTimeout"], "300s");
    assert_eq!(event["memo"]["fields"]["guest"]["data"], "IkdyYWNlIg==");
    Cluster::get().segno(&["terminate", "the-round-one"]).ok();
}

#[test]
fn a_wrong_input_is_refused_before_anything_starts() {
    let wrong = start(&["--input", r#"{"table": "four"}"#]);
    assert!(
        wrong.code == 2
            && wrong
                .stderr
                .contains("the input of `reservation` breaks its schema"),
        "{wrong:#?}"
    );
    assert!(wrong.stderr.contains("/table"), "{wrong:#?}");
    let unknown = Cluster::get().segno(&[
        "start",
        "reservations",
        "--definitions",
        "tests/cluster/start",
    ]);
    assert!(
        unknown.code == 2 && unknown.stderr.contains("it has: reservation"),
        "{unknown:#?}"
    );
}
