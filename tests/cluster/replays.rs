//! `segno replay` with histories from the server: by ids, by queries, as files of Temporal's own command line.

use std::fs;
use std::path::Path;
use std::process::Command;

use segno::client::{Client, ConnectionSettings, StartOptions};
use serde_json::{Value, json};

use super::support::cluster::{Cluster, temporal};
use super::support::run::Run;
use super::support::until;
use super::support::worker::{Worker, count};

/// More than a page of a list.
const MANY: usize = 130;

fn write(folder: &Path, workflow: &str, steps: &str) {
    let text = format!("segno: 1\nworkflow: {workflow}\nsteps:\n{steps}");
    fs::write(folder.join(format!("{workflow}.yaml")), text).unwrap();
}

const WAITS: &str = "  - id: pause\n    timer: 10ms\n  - id: go\n    wait: { signal: go }\n";

/// Waits until the list, which lags behind, has so many.
fn query(workflow: &str, count: usize) -> String {
    let query = format!("WorkflowType = '{workflow}'");
    until("the list", || {
        let listed = Cluster::get().segno(&["list", "-q", &query, "--limit", "1000", "-o", "json"]);
        let listed = listed.ok().json();
        (listed.as_array().unwrap().len() >= count).then_some(())
    });
    query
}

#[test]
fn runs_in_flight_are_replayed_by_a_query_and_by_a_changed_definition() {
    let (folder, changed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let workflow = "replays-waiting";
    write(folder.path(), workflow, WAITS);
    let worker = Worker::start(folder.path(), &[]);
    let runs = [(); 3].map(|()| worker.launch(workflow, &Value::Null));
    for run in &runs {
        until("the run's timer", || {
            (count(&run.history(None), "EVENT_TYPE_TIMER_FIRED") > 0).then_some(())
        });
    }
    let query = query(workflow, runs.len());
    let cluster = Cluster::get();
    let all = cluster.segno(&["replay", "--query", &query]).ok().stdout;
    assert!(all.ends_with("of 3 runs 3 replay\n"), "{all}");
    for run in &runs {
        assert!(all.contains(&format!("replays {}\n", run.id)), "{all}");
    }

    let definitions = changed.path().to_str().unwrap();
    let by_changed = ["replay", "--query", &query, "--definitions", definitions];
    write(changed.path(), workflow, &format!("{WAITS}  - return: 1\n"));
    let all = cluster.segno(&by_changed).ok().stdout;
    assert!(all.ends_with("of 3 runs 3 replay\n"), "{all}");

    let steps = format!("  - id: before\n    wait: {{ signal: first }}\n{WAITS}");
    write(changed.path(), workflow, &steps);
    let all = cluster.segno(&by_changed);
    assert_eq!(all.code, 1, "{all:#?}");
    assert!(
        all.stdout.ends_with("of 3 runs 3 diverge\n"),
        "{}",
        all.stdout
    );
    let why = "event 6: the history started a timer of 0.01s at step `pause` (replays-waiting.yaml:5), where the changed definition waits at step `before`";
    assert_eq!(all.stdout.matches(why).count(), 3, "{}", all.stdout);
    let all = cluster.segno(&[&by_changed[..], &["-o", "json"]].concat());
    let all = all.json();
    assert!(
        all.as_array()
            .unwrap()
            .iter()
            .all(|one| one["divergence"]["definition"]["steps"][0]["step"] == "before"),
        "{all:#}"
    );
}

#[test]
fn files_of_temporals_command_line_are_histories() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "replays-file",
        "  - timer: 10ms\n  - return: ${ input }\n",
    );
    let worker = Worker::start(folder.path(), &[]);
    let run = worker.launch("replays-file", &json!({ "of": ["a", "file"] }));
    run.result();
    let shown = Run::of(Command::new(temporal()).args([
        "workflow",
        "show",
        "--workflow-id",
        &run.id,
        "--address",
        &Cluster::get().address,
        "--output",
        "json",
    ]));
    let file = folder.path().join("history.json");
    fs::write(&file, shown.ok().stdout).unwrap();
    let file = file.to_str().unwrap();
    let replayed = Cluster::get().segno(&["replay", "-f", file]).ok();
    assert_eq!(replayed.stdout, format!("replays {file}\n"));
}

#[test]
fn each_run_of_a_workflow_is_replayed_by_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let workflow = "replays-again";
    let steps = "  - timer: 10ms\n  - if: input < 2\n    then: [{ continue_as_new: { input: \"${ input + 1 }\" } }]\n  - return: ${ input }\n";
    write(folder.path(), workflow, steps);
    let worker = Worker::start(folder.path(), &[]);
    let run = worker.launch(workflow, &json!(0));
    assert_eq!(run.result(), 2);
    let cluster = Cluster::get();
    let first = ["replay", &run.id, "--run-id", &run.run_id, "-o", "json"];
    let first = cluster.segno(&first).ok().json();
    assert_eq!(first[0]["runId"], run.run_id.as_str());
    assert_eq!(first[0]["verdict"], "replays");
    let last = cluster.segno(&["replay", &run.id, "-o", "json"]).ok();
    assert_ne!(last.json()[0]["runId"], run.run_id.as_str());
    let all = query(workflow, 3);
    let all = cluster.segno(&["replay", "-q", &all]).ok().stdout;
    assert!(all.ends_with("of 3 runs 3 replay\n"), "{all}");
    let nobody = cluster.segno(&["replay", &run.id, "nobody"]);
    assert_eq!(nobody.code, 2, "{nobody:#?}");
    assert!(nobody.stdout.contains("unreadable nobody:"), "{nobody:#?}");
    assert!(
        nobody.stdout.contains("replays replays-again"),
        "{nobody:#?}"
    );
    let nothing = cluster.segno(&["replay", "-q", "WorkflowType = 'replays-nothing'"]);
    assert_eq!(nothing.ok().stdout, "no run matches the query\n");
    let wrong = cluster.segno(&["replay", "-q", "WorkflowTipe = 'hello'"]);
    assert_eq!(wrong.code, 1, "{wrong:#?}");
}

#[test]
fn a_query_finds_more_runs_than_a_list_has_on_a_page_and_some_that_have_not_begun() {
    let folder = tempfile::tempdir().unwrap();
    let workflow = "replays-many";
    write(folder.path(), workflow, WAITS);
    let worker = Worker::start(folder.path(), &[]);
    let cluster = Cluster::get();
    let settings = ConnectionSettings {
        address: Some(cluster.address.clone()),
        disable_config_env: true,
        disable_config_file: true,
        ..ConnectionSettings::default()
    };
    let start = |number: usize| StartOptions {
        workflow_type: workflow.to_owned(),
        workflow_id: Some(cluster.unique(workflow)),
        // Nobody serves the other queue.
        task_queue: match number {
            0 => cluster.unique("nobodys-queue"),
            _ => worker.task_queue.clone(),
        },
        ..StartOptions::default()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let begun = runtime.block_on(async {
        let client = Client::connect(&settings.resolve().unwrap()).await.unwrap();
        let mut begun = Vec::new();
        for number in 0..MANY {
            let started = client.start(start(number)).await.unwrap();
            begun.push(started.workflow_id);
        }
        begun
    });
    let query = query(workflow, MANY);
    let expected = format!("of {MANY} runs {} replay, 1 have not started\n", MANY - 1);
    let all = until("the runs' beginning", || {
        let all = cluster.segno(&["replay", "-q", &query]).ok().stdout;
        all.ends_with(&expected).then_some(all)
    });
    assert!(all.contains(&format!("not begun {}: ", begun[0])), "{all}");
}
