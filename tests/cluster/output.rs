//! What commands of a cluster print of runs, whatever characters are in their data. Other commands: tests/language/output.rs.

use segno::client::WorkflowRef;
use serde_json::{Value, json};

use super::support::characters::{CHARACTERS, assert_printable, shown, text, without_colours};
use super::support::cluster::Cluster;
use super::support::run::Run;
use super::support::worker::Worker;

const DEFINITION: &str = r#"segno: 1
workflow: characters
state: { kept: null }
queries:
  kept: ${ state.kept }
  refuse: "${ [][int(size(string(args))) + 1] }"
updates:
  keep: { do: [{ set: { kept: "${ args }" } }, { return: "${ args }" }] }
  refuse: { do: [{ fail: { type: "${ args }", message: "${ args }" } }] }
signals:
  end: { do: [{ set: { end: "${ args }" } }] }
steps:
  - wait: { until: state.end != null }
  - if: state.end.startsWith('fail')
    then:
      - fail: { type: "${ state.kept }", message: "${ state.kept }", details: "${ state.kept }" }
  - return: ${ state.kept }
"#;

fn segno(arguments: &[&str]) -> Run {
    Cluster::get().segno(arguments)
}

/// Both forms; text with colours too.
fn printed(arguments: &[&str]) -> Value {
    let json = segno(&[arguments, &["-o", "json"]].concat());
    assert_printable(&json.stdout);
    let told = segno(&[arguments, &["--color", "always"]].concat());
    assert_printable(&without_colours(&told.stdout));
    assert_printable(&without_colours(&told.stderr));
    json.json()
}

#[test]
fn commands_print_every_character_of_a_run() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("characters.yaml"), DEFINITION).unwrap();
    let worker = Worker::start(folder.path(), &[]);
    let all = text(CHARACTERS);
    let data = json!({ "text": all, all.clone(): 1 });
    let input = data.to_string();

    let run = worker.launch("characters", &data);
    let id = run.id.as_str();
    let kept = segno(&["update", id, "keep", "--input", &input]).ok();
    assert_printable(&kept.stdout);
    assert_eq!(kept.json(), data);
    let kept = printed(&["update", id, "keep", "--input", &input]);
    assert_eq!(kept["result"], data);
    assert_eq!(printed(&["query", id, "kept"])["queryResult"], data);
    assert_eq!(segno(&["query", id, "kept"]).ok().json(), data);
    printed(&["query", id, "refuse", "--input", &json!(all).to_string()]);
    let failed = printed(&["update", id, "refuse", "--input", &json!(all).to_string()]);
    assert_eq!(failed["failure"]["message"], all);
    let failed = segno(&["update", id, "refuse", "--input", &json!(all).to_string()]);
    assert!(failed.stderr.contains(&shown(&all)), "{failed:#?}");

    run.signal("end", &json!("now"));
    assert_eq!(printed(&["result", id])["result"], data);
    assert_eq!(segno(&["result", id]).ok().json(), data);
    let history = printed(&["history", id]);
    assert_eq!(history["events"][0]["eventId"], "1");
    printed(&["history", id, "--timeline"]);
    printed(&["describe", id]);
    printed(&["list"]);
    printed(&["replay", id]);
}

#[test]
fn a_failure_and_names_are_printed_with_every_character() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("characters.yaml"), DEFINITION).unwrap();
    let worker = Worker::start(folder.path(), &[]);
    let all = text(CHARACTERS);
    let id = format!("{}-{all}", Cluster::get().unique("characters"));
    let start = ["start", "characters", "--task-queue", &worker.task_queue];
    let memo = format!("note={}", json!(all));
    let started = segno(
        &[
            &start[..],
            &["--workflow-id", &id, "--memo", &memo, "-o", "json"],
        ]
        .concat(),
    );
    assert_printable(&started.stdout);
    assert_eq!(started.ok().json()["workflowId"], id);
    let described = printed(&["describe", &id]);
    assert_eq!(described["memo"]["note"], all);
    let told = segno(&["describe", &id]);
    assert!(told.stdout.contains(&shown(&id)), "{told:#?}");
    segno(&["update", &id, "keep", "--input", &json!(all).to_string()]).ok();
    // Whoever may signal a run names its signals.
    let signalled = Cluster::get().call(async |client| {
        let workflow = WorkflowRef::new(id.clone(), None);
        client.signal(&workflow, &all, Vec::new()).await
    });
    signalled.unwrap();
    segno(&["signal", &id, "end", "--input", "\"fail\""]).ok();
    let failure = &printed(&["result", &id])["failure"];
    assert_eq!(failure["message"], all);
    assert_eq!(failure["details"], all);
    let told = segno(&["result", &id]);
    assert!(told.stderr.contains(&shown(&all)), "{told:#?}");
    // Runs of other tests have memos that are encrypted.
    let query = "WorkflowType = 'characters'";
    for arguments in [
        &["list", "-q", query][..],
        &["history", &id],
        &["history", &id, "--timeline"],
        &["replay", &id],
    ] {
        printed(arguments);
    }
    let listed = segno(&["list", "-q", query, "-o", "json"]).ok().json();
    let listed = listed.as_array().unwrap();
    assert!(
        listed.iter().any(|run| run["workflowId"] == *id),
        "{listed:#?}"
    );
}
