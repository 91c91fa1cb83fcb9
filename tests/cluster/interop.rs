//! Clients and workers that no one here wrote: the official Python and TypeScript SDKs and the official `temporal` command
//! drive the definitions of `interop/definitions`, and these call activities and child workflows of both. Both SDKs'
//! programs say the same, line by line: what `interop/expected.txt` has.

use std::process::Command;

use serde_json::{Value, json};

use super::support::cluster::{Cluster, node, python, temporal};
use super::support::root;
use super::support::run::Run;
use super::support::until;
use super::support::worker::{Worker, count};

const FOLDER: &str = "tests/cluster/interop";

fn worker() -> Worker {
    Worker::start(&root().join(FOLDER).join("definitions"), &[])
}

#[track_caller]
fn assert_says(command: &mut Command) {
    let worker = worker();
    command
        .args([&worker.cluster.address, &worker.task_queue])
        .current_dir(root());
    let run = Run::of(command).ok();
    let said = run.stdout.replace(&format!("{}/", root().display()), "");
    let path = root().join(FOLDER).join("expected.txt");
    if std::env::var_os("SEGNO_UPDATE").is_some() {
        std::fs::write(&path, &said).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    for (came, expected) in said.lines().zip(expected.lines()) {
        assert_eq!(came, expected);
    }
    assert_eq!(said.lines().count(), expected.lines().count());
}

#[test]
fn the_python_sdk_drives_workflows_and_serves_them() {
    let program = root().join(FOLDER).join("python_client.py");
    assert_says(Command::new(python()).arg(program));
}

/// The programs stand beside the packages that they import.
#[test]
fn the_typescript_sdk_drives_workflows_and_serves_them() {
    let node = node();
    let folder = tempfile::tempdir_in(root().join(".tools/typescript")).unwrap();
    for name in ["typescript_client.mjs", "typescript_workflows.js"] {
        let from = root().join(FOLDER).join(name);
        std::fs::copy(from, folder.path().join(name)).unwrap();
    }
    assert_says(Command::new(node).arg(folder.path().join("typescript_client.mjs")));
}

/// The official command line against a worker of the folder's definitions.
struct CommandLine {
    cluster: &'static Cluster,
    worker: Worker,
}

impl CommandLine {
    fn get() -> CommandLine {
        let worker = worker();
        CommandLine {
            cluster: worker.cluster,
            worker,
        }
    }

    fn run(&self, command: &str, id: &str, arguments: &[&str]) -> Run {
        let mut temporal = Command::new(temporal());
        temporal
            .arg("workflow")
            .args(command.split(' '))
            .args(["--workflow-id", id])
            .args(["--address", &self.cluster.address, "--output", "json"])
            .args(arguments);
        Run::of(&mut temporal)
    }

    /// With what a workflow is begun with.
    fn begin(&self, command: &str, id: &str, workflow: &str, arguments: &[&str]) -> Run {
        let begun = ["--type", workflow, "--task-queue", &self.worker.task_queue];
        self.run(command, id, &[&begun, arguments].concat())
    }

    #[track_caller]
    fn start(&self, workflow: &str, arguments: &[&str]) -> String {
        let id = self.cluster.unique(workflow);
        self.begin("start", &id, workflow, arguments).ok();
        id
    }

    #[track_caller]
    fn query(&self, id: &str, name: &str, arguments: &[&str]) -> Value {
        let asked = [&["--type", name], arguments].concat();
        self.run("query", id, &asked).ok().json()["queryResult"].clone()
    }

    fn update(&self, id: &str, name: &str, input: &str) -> Run {
        self.run("update execute", id, &["--name", name, "--input", input])
    }

    /// How it ended: `result` of a workflow that did not complete exits with 1.
    fn end(&self, id: &str) -> Value {
        self.run("result", id, &[]).json()
    }

    fn status(&self, id: &str) -> Value {
        let described = self.run("describe", id, &[]).ok().json();
        described["workflowExecutionInfo"]["status"].clone()
    }

    fn history(&self, id: &str) -> Vec<Value> {
        let shown = self.run("show", id, &[]).ok().json();
        shown["events"].as_array().unwrap().clone()
    }
}

#[test]
fn the_temporal_command_talks_with_a_workflow() {
    let cli = CommandLine::get();
    let memo = ["--memo", r#"note="é""#, "--search-attribute", "Rank=-7"];
    let id = cli.start(
        "interop-order",
        &[&["--input", r#"{"name": "Ada"}"#], &memo[..]].concat(),
    );
    let signal = |name: &str, input: &[&str]| {
        cli.run("signal", &id, &[&["--name", name], input].concat())
            .ok();
    };
    signal("add", &["--input", "\"tea\""]);
    signal("add", &[]);
    signal("add", &["--input", "\"two\"", "--input", "12"]);
    let items = json!([["tea", null, ["two", 12]]]);
    assert_eq!(cli.query(&id, "items", &[]), items);
    assert_eq!(
        cli.query(&id, "count_of", &["--input", "\"tea\""]),
        json!([1])
    );

    let renamed = cli.update(&id, "rename", "\"Grace\"").ok().json();
    assert_eq!(renamed["result"], json!({ "name": "Grace" }));
    let refused = cli.update(&id, "rename", "\"\"");
    assert!(
        refused.code != 0 && format!("{refused:?}").contains("a name is needed"),
        "{refused:#?}"
    );
    let metadata = cli.run("metadata", &id, &[]).ok();
    assert!(metadata.stdout.contains("rename"), "{metadata:#?}");
    let stack = cli.run("stack", &id, &[]).ok();
    assert!(stack.stdout.contains("done at "), "{stack:#?}");
    let described = cli.run("describe", &id, &[]).ok().json();
    assert_eq!(
        described["workflowExecutionInfo"]["memo"]["fields"]["note"],
        json!("é")
    );

    signal("done", &[]);
    let end = cli.end(&id);
    assert_eq!(
        (&end["status"], &end["result"]["name"]),
        (&json!("COMPLETED"), &json!("Grace"))
    );
    let query = format!("WorkflowId = '{id}' AND Rank = -7");
    until("the workflow in the list", || {
        let listed = cli
            .cluster
            .segno(&["list", "--query", &query, "--output", "json"]);
        (listed.ok().json().as_array()?.len() == 1).then_some(())
    });
    let events = cli.history(&id);
    let accepted = count(&events, "EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED");
    let signalled = count(&events, "EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED");
    assert_eq!((accepted, signalled), (1, 4));
}

#[test]
fn the_temporal_command_starts_with_a_signal_and_with_an_update() {
    let cli = CommandLine::get();
    let id = cli.cluster.unique("interop-order");
    for word in ["\"first\"", "\"second\""] {
        let signal = ["--signal-name", "add", "--signal-input", word];
        cli.begin("signal-with-start", &id, "interop-order", &signal)
            .ok();
    }
    assert_eq!(cli.query(&id, "items", &[]), json!([["first", "second"]]));
    for (name, policy) in [("Eve", "UseExisting"), ("Bob", "UseExisting")] {
        let input = json!(name).to_string();
        let update = [
            "--update-name",
            "rename",
            "--update-input",
            &input,
            "--id-conflict-policy",
            policy,
        ];
        cli.begin("execute-update-with-start", &id, "interop-order", &update)
            .ok();
        assert_eq!(cli.query(&id, "name", &[]), json!([name]));
    }
    cli.run("terminate", &id, &["--reason", "it is late"]).ok();
    assert_eq!(cli.status(&id), "WORKFLOW_EXECUTION_STATUS_TERMINATED");
}

#[test]
fn the_temporal_command_interrupts_and_awaits() {
    let cli = CommandLine::get();
    let id = cli.start("interop-order", &[]);
    cli.query(&id, "name", &[]);
    cli.run("cancel", &id, &[]).ok();
    cli.end(&id);
    assert_eq!(cli.status(&id), "WORKFLOW_EXECUTION_STATUS_CANCELED");

    let id = cli.start("interop-fails", &["--input", "\"plainly\""]);
    let end = cli.end(&id);
    assert_eq!(end["status"], "FAILED", "{end:#}");
    let event = &end["closeEvent"]["workflowExecutionFailedEventAttributes"]["failure"];
    assert_eq!(event["message"], "the tea is sold out ☕");
    let info = &event["applicationFailureInfo"];
    assert_eq!(
        (&info["type"], &info["nonRetryable"]),
        (&json!("OutOfStock"), &json!(true))
    );

    let id = cli.start("interop-goes-on", &["--input", r#"{"at": 1, "to": 3}"#]);
    assert_eq!(
        cli.end(&id)["result"],
        json!({ "counted": 3, "first": false })
    );
}

/// A reset begins the run anew from a workflow task of its history, and it goes on with the definition that it had.
#[test]
fn the_temporal_command_resets_a_run() {
    let cli = CommandLine::get();
    let id = cli.start("interop-order", &["--input", r#"{"name": "Ada"}"#]);
    cli.update(&id, "rename", "\"Grace\"").ok();
    let reset = ["--type", "LastWorkflowTask", "--reason", "once more"];
    cli.run("reset", &id, &reset).ok();
    assert_eq!(cli.query(&id, "name", &[]), json!(["Grace"]));
    cli.run("signal", &id, &["--name", "done"]).ok();
    let end = cli.end(&id);
    assert_eq!(end["result"]["name"], "Grace", "{end:#}");
}
