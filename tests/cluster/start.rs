//! What a definition says to whoever starts it: `segno start --definitions`.

use serde_json::Value;

use super::support::cluster::Cluster;
use super::support::root;
use super::support::run::Run;
use super::support::until;
use super::support::worker::Worker;

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

/// A signal that the run would drop is not sent, and what could not be checked is said.
#[test]
fn a_signal_is_held_against_the_definition_that_the_run_is_bound_to() {
    let worker = Worker::start(&root().join("tests/cluster/bound"), &[]);
    let id = worker.cluster.unique("desk");
    let segno = |arguments: &[&str]| worker.cluster.segno(arguments);
    let begin = ["start", "desk", "-t", &worker.task_queue, "-w", &id];
    segno(&begin).ok();
    until("the run's first workflow task", || {
        (segno(&["query", &id, "notes"]).code == 0).then_some(())
    });
    let refused = segno(&["signal", &id, "note", "--input", "7"]);
    assert_eq!((refused.code, &*refused.stdout), (2, ""), "{refused:#?}");
    for says in ["the signal `note` is refused", "nothing was sent"] {
        assert!(refused.stderr.contains(says), "{refused:#?}");
    }
    let kept = segno(&["signal", &id, "ntoe", "--input", "7"]).ok();
    let says = "no handler or wait of desk receives the signal ntoe";
    assert!(kept.stderr.contains(says), "{kept:#?}");
    let sent = segno(&["signal", &id, "note", "--input", "\"a\"", "-o", "json"]);
    assert_eq!(sent.ok().json()["checked"], true);

    // With a start the signal goes to the run that is there.
    let id_policy = ["--id-conflict-policy", "use-existing"];
    let with_start = |input: &str| {
        let signal = ["--signal", "note", "--signal-input", input];
        segno(&[&begin[..], &id_policy, &signal].concat())
    };
    assert_eq!(with_start("7").code, 2);
    with_start("\"b\"").ok();
    let notes = segno(&["query", &id, "notes"]).ok().stdout;
    assert_eq!(
        notes.split_whitespace().collect::<String>(),
        "[\"a\",\"b\"]"
    );
    segno(&["signal", &id, "left"]).ok();
    segno(&["result", &id]).ok();

    let other = worker.cluster.unique("desk");
    let start = [
        "start",
        "desk",
        "-t",
        "nobody-serves-this",
        "-w",
        &other,
        "--signal",
        "note",
    ];
    let refused = segno(
        &[
            &start[..],
            &["-d", "tests/cluster/bound", "--signal-input", "7"],
        ]
        .concat(),
    );
    assert_eq!(refused.code, 2, "{refused:#?}");
    let sent = segno(&[&start[..], &["--signal-input", "7"]].concat()).ok();
    assert!(sent.stderr.contains("was not checked"), "{sent:#?}");
    let sent = segno(&["signal", &other, "note", "--input", "7"]).ok();
    let says = "was not checked against the run's definition: no worker has started the run yet";
    assert!(sent.stderr.contains(says), "{sent:#?}");
    segno(&["terminate", &other]).ok();
}
