//! Long histories: `history: automatic` moves a run to a continuation when the server suggests it, wherever it stands,
//! and the result is that of a run that stays.

use std::path::Path;

use serde_json::{Value, json};

use super::codecs::{SECRET, Sealed, holds};
use super::support::cluster::Cluster;
use super::support::root;
use super::support::worker::{Worker, Workflow};

/// Temporal warns of a history that is longer.
const EVENTS_MAX: usize = 10_240;

/// Writes the definitions twice: as they are, and as types of other names that stay.
fn write_both(folder: &Path, name: &str, version: &str) {
    let path = root().join("tests/cluster/histories").join(name);
    let moves = std::fs::read_to_string(path)
        .unwrap()
        .replace("version: 1", version);
    let stays = moves
        .replace("history: automatic", "history: manual")
        .replace("histories-", "staying-");
    std::fs::write(folder.join(name), moves).unwrap();
    std::fs::write(folder.join(format!("staying-{name}")), stays).unwrap();
}

/// What a run comes to, and in how many runs.
fn finish(run: &Workflow<'_>) -> (Value, usize) {
    let result = run.result();
    run.assert_no_task_failed();
    run.assert_replays();
    let histories = run.histories();
    let lengths: Vec<_> = histories.iter().map(Vec::len).collect();
    assert!(
        lengths.iter().all(|length| *length < EVENTS_MAX),
        "{lengths:?}"
    );
    (result, histories.len())
}

#[test]
fn a_run_moves_with_all_that_it_is_in_the_middle_of() {
    let folder = tempfile::tempdir().unwrap();
    write_both(folder.path(), "moves.yaml", "version: 1");
    let worker = Worker::on(Cluster::with_short_histories(), folder.path(), &[]);
    let runs = ["histories-moves", "staying-moves"].map(|name| worker.launch(name, &json!({})));
    for run in &runs {
        run.signal("kept", &json!("early"));
        run.query_until("log", |log| log.as_i64() >= Some(1));
    }
    // What runs stays with its version.
    write_both(folder.path(), "moves.yaml", "version: 2");
    for run in &runs {
        for number in 1..=3 {
            run.signal("note", &json!(number));
            assert_eq!(run.update("mark", &Value::Null), Ok(json!(number)));
        }
        run.signal("kept", &json!("late"));
        run.query_until("log", |log| log.as_i64() >= Some(10));
        run.signal("go", &json!("gone"));
    }
    let [(moved, moves), (stayed, stays)] = runs.each_ref().map(finish);
    assert_eq!(moved, stayed);
    assert_eq!(
        (&moved["version"], &moved["kept"]),
        (&json!(1), &json!(["early", "late"]))
    );
    assert_eq!(moved["state"]["undone"], json!(["second", "first"]));
    assert!(moves >= 4 && stays == 1, "{moves} and {stays} runs");
}

#[test]
fn a_run_moves_with_every_kind_of_frame_and_value() {
    let folder = tempfile::tempdir().unwrap();
    write_both(folder.path(), "everything.yaml", "version: 1");
    let worker = Worker::on(Cluster::with_short_histories(), folder.path(), &[]);
    let runs =
        ["histories-everything", "staying-everything"].map(|name| worker.launch(name, &json!({})));
    for run in &runs {
        run.signal("note", &json!("first"));
        // It comes long before the step that takes it.
        run.signal("late", &json!({ "kept": ["for", "long"] }));
    }
    for run in &runs {
        run.query_until("ticks", |ticks| ticks.as_i64() >= Some(10));
        run.signal("note", &json!("second"));
    }
    let [(moved, moves), (stayed, stays)] = runs.each_ref().map(finish);
    let sorted = |mut result: Value| {
        // Their order is that of timers in different branches.
        let notes = result["notes"].as_array_mut().unwrap();
        notes.sort_by_key(Value::to_string);
        result
    };
    let (moved, stayed) = (sorted(moved), sorted(stayed));
    assert_eq!(moved, stayed);
    let notes = json!(["as it was meant", "first", "second", "undone"]);
    assert_eq!(moved["notes"], notes, "{moved:#}");
    assert!(moves >= 4 && stays == 1, "{moves} and {stays} runs");
}

/// What the steps chose as the end goes along, too: it is evaluated again when the run ends.
#[test]
fn a_run_moves_on_its_way_out() {
    let folder = tempfile::tempdir().unwrap();
    write_both(folder.path(), "leaving.yaml", "version: 1");
    let worker = Worker::on(Cluster::with_short_histories(), folder.path(), &[]);
    let runs = ["histories-leaving", "staying-leaving"].map(|name| worker.launch(name, &json!({})));
    for run in &runs {
        run.signal("add", &json!(null));
        run.query_until("turns", |turns| turns.as_i64() == Some(12));
        run.signal("add", &json!(null));
    }
    let [(moved, moves), (stayed, stays)] = runs.each_ref().map(finish);
    assert_eq!((moved, stayed), (json!(2), json!(2)));
    assert!(moves >= 2 && stays == 1, "{moves} and {stays} runs");
}

#[test]
fn a_million_turns_keep_every_run_short() {
    let folder = tempfile::tempdir().unwrap();
    write_both(folder.path(), "million.yaml", "version: 1");
    let worker = Worker::on(Cluster::get(), folder.path(), &[]);
    let runs = ["histories-million", "staying-million"].map(|name| worker.launch(name, &json!({})));
    let (moved, moves) = finish(&runs[0]);
    assert_eq!(moved, runs[1].result());
    assert!(moves >= 3, "{moves} runs");
}

/// The state that goes to the continuation is a payload like any other.
#[test]
fn a_run_moves_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let definition = "segno: 1\nworkflow: histories-sealed\nhistory: automatic\nstate: { turns: 0, kept: [] }\nsteps:
  - while: state.turns < 12\n    do:\n      - timer: 20ms\n      - set: { turns: \"${ state.turns + 1 }\", kept: \"${ ['hush-' + string(state.turns)] }\" }
  - return: { turns: \"${ state.turns }\", last: \"${ state.kept }\" }\n";
    std::fs::write(folder.path().join("sealed.yaml"), definition).unwrap();
    let keys = Sealed::get().keys(&["new"]);
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let worker = Worker::on(Cluster::with_short_histories(), folder.path(), &keys);
    let run = worker.launch("histories-sealed", &json!({}));
    let result = ["result", &run.id, "--output", "json"];
    let ended = worker.cluster.segno(&[&result, &keys[..]].concat()).ok();
    assert_eq!(
        ended.json()["result"],
        json!({ "turns": 12, "last": ["hush-11"] })
    );
    let histories = run.histories();
    assert!(histories.len() > 1, "{} runs", histories.len());
    for history in histories {
        assert!(!holds(&json!(history), SECRET));
    }
    let replay = ["replay", &run.id];
    worker.cluster.segno(&[&replay, &keys[..]].concat()).ok();
}
