//! What Temporal's UI asks a run for, and finds in its history: the author's names and words.

use std::path::Path;
use std::process::Command;

use base64::Engine;
use serde_json::{Value, json};

use super::support::cluster::temporal;
use super::support::run::Run;
use super::support::until;
use super::support::worker::{Worker, Workflow};

/// A run of `tea` that waits in every branch, and in an update.
fn waiting(worker: &Worker) -> Workflow<'_> {
    let tea = worker.launch("tea", &json!({ "guest": "Ada" }));
    until("the greeting and the child", || {
        let types = tea
            .history(None)
            .into_iter()
            .map(|mut e| e["eventType"].take());
        let types: Vec<Value> = types.collect();
        let has = |name: &str| types.contains(&json!(format!("EVENT_TYPE_{name}")));
        (has("ACTIVITY_TASK_COMPLETED") && has("CHILD_WORKFLOW_EXECUTION_STARTED")).then_some(())
    });
    let id = &tea.id;
    let call = [
        "update",
        id,
        "call",
        "--wait-for",
        "accepted",
        "--output",
        "json",
    ];
    worker.cluster.segno(&call).ok();
    tea
}

fn finish(worker: &Worker, tea: &Workflow<'_>) {
    worker.cluster.segno(&["terminate", &tea.id]).ok();
}

/// Temporal's own command line asks the same queries as the UI.
fn temporal_says(worker: &Worker, arguments: &[&str]) -> String {
    let mut command = Command::new(temporal());
    command.args(["workflow"]).args(arguments);
    command.args(["--address", &worker.cluster.address]);
    Run::of(&mut command).ok().stdout
}

#[test]
fn the_call_stack_shows_every_routine_with_its_steps() {
    let worker = Worker::start(Path::new("tests/cluster/ui"), &[]);
    let tea = waiting(&worker);
    let expected = "\
routine 0 (workflow):
  ready at tests/cluster/ui/tea.yaml:33:5
routine 1 (branch water of routine 0):
  kettle at tests/cluster/ui/tea.yaml:37:11
routine 2 (branch leaves of routine 0):
  step at tests/cluster/ui/tea.yaml:40:11
routine 3 (branch words of routine 0):
  poured at tests/cluster/ui/tea.yaml:49:11
routine 4 (update call):
  drunk at tests/cluster/ui/tea.yaml:26:9";
    // The activity's result has come, and the task that it began may still be on its way.
    let is_settled = |stack: &Value| stack.as_str().is_some_and(|text| text.contains("poured"));
    assert_eq!(tea.query_until("__stack_trace", is_settled), expected);
    let shown = temporal_says(&worker, &["stack", "--workflow-id", &tea.id]);
    assert!(shown.contains("tea.yaml:"), "{shown}");
    finish(&worker, &tea);
}

#[test]
fn the_metadata_shows_details_and_what_the_run_takes() {
    let worker = Worker::start(Path::new("tests/cluster/ui"), &[]);
    let tea = waiting(&worker);
    let described =
        |name: &str, description: &str| json!({ "name": name, "description": description });
    let expected = json!({
        "definition": {
            "type": "tea",
            "queryDefinitions": [described("sugar", "How many lumps."), described("called", "")],
            "signalDefinitions": [described("sweeten", "Puts sugar in.")],
            "updateDefinitions":
                [described("call", "Calls the guest, and tells when the tea is drunk.")],
        },
        "currentDetails": "Tea for **Ada**.\n",
    });
    assert_eq!(tea.query("__temporal_workflow_metadata", None), expected);
    let shown = temporal_says(&worker, &["metadata", "--workflow-id", &tea.id]);
    for word in ["Tea for **Ada**.", "sweeten", "How many lumps."] {
        assert!(shown.contains(word), "{shown}");
    }
    finish(&worker, &tea);
}

fn decoded(data: &Value) -> Value {
    let data = base64::engine::general_purpose::STANDARD.decode(data.as_str().unwrap());
    serde_json::from_slice(&data.unwrap()).unwrap()
}

#[test]
fn history_shows_steps_by_their_names() {
    let worker = Worker::start(Path::new("tests/cluster/ui"), &[]);
    let tea = waiting(&worker);
    let history = tea.history(None);
    let summary = |event_type: &str| {
        let of_type = history.iter().filter(|e| e["eventType"] == event_type);
        let summaries = of_type.map(|event| &event["userMetadata"]["summary"]["data"]);
        summaries.map(decoded).collect::<Vec<Value>>()
    };
    assert_eq!(
        summary("EVENT_TYPE_TIMER_STARTED"),
        [json!("Let the leaves draw")]
    );
    assert_eq!(
        summary("EVENT_TYPE_ACTIVITY_TASK_SCHEDULED"),
        [json!("Find words for Ada")]
    );
    assert_eq!(
        summary("EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED"),
        [json!("Boil water for Ada")]
    );
    finish(&worker, &tea);
}
