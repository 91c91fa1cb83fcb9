//! Worker deployment versions: which worker a run's tasks go to when the current version moves, and when one is ramping.

use std::process::Command;

use serde_json::{Value, json};

use super::support::cluster::{Cluster, spawn_bound};
use super::support::run::Run;
use super::support::worker::{Worker, Workflow, count};
use super::support::{root, segno, until};

const SIGNAL: &str = "step";

/// A worker deployment.
struct Deployment {
    name: String,
}

impl Deployment {
    fn segno(&self, command: &str, arguments: &[&str]) -> Run {
        let named = ["worker-deployment", command, &self.name];
        let rest = ["--output", "json"];
        Cluster::get().segno(&[&named[..], arguments, &rest].concat())
    }

    /// Routes by a command, as soon as the server knows the version's workers. Returns the deployment as it is then.
    fn route(&self, command: &str, arguments: &[&str]) -> Value {
        until("a version's worker", || {
            let routed = self.segno(command, arguments);
            (routed.code == 0).then(|| routed.json())
        })
    }

    fn worker(&self, build_id: &str, beside: Option<&Worker>) -> Worker {
        let arguments = ["--deployment-name", &self.name, "--build-id", build_id];
        match beside {
            Some(worker) => worker.beside(&arguments),
            None => Worker::start(&root().join("tests/cluster/versions"), &arguments),
        }
    }
}

/// The builds that did a run's workflow tasks, and its behaviour as the last of them had it.
fn tasks(events: &[Value]) -> (Vec<String>, Value) {
    let done = events
        .iter()
        .map(|event| &event["workflowTaskCompletedEventAttributes"]);
    let done: Vec<&Value> = done.filter(|task| task.is_object()).collect();
    let builds = done
        .iter()
        .filter_map(|task| task["deploymentVersion"]["buildId"].as_str());
    (
        builds.map(str::to_owned).collect(),
        done.last()
            .map_or(Value::Null, |t| t["versioningBehavior"].clone()),
    )
}

fn until_tasks(workflow: &Workflow<'_>, run_id: Option<&str>, tasks: usize) -> Vec<Value> {
    until("a workflow task", || {
        let events = workflow.history(run_id);
        let done = count(&events, "EVENT_TYPE_WORKFLOW_TASK_COMPLETED");
        (done >= tasks).then_some(events)
    })
}

#[test]
fn a_pinned_run_stays_with_its_version_and_another_moves() {
    let deployment = Deployment {
        name: Cluster::get().unique("shop"),
    };
    let one = deployment.worker("one", None);
    let two = deployment.worker("two", Some(&one));
    let refused = deployment.segno("set-current-version", &["--build-id", "none"]);
    assert!(
        refused.code == 1 && refused.stderr.contains("set the current version"),
        "{refused:#?}"
    );
    let routed = deployment.route("set-current-version", &["--build-id", "one"]);
    assert_eq!(routed["currentBuildId"], "one");

    let [pinned, moving, trampoline] = ["pinned", "moving", "trampoline"]
        .map(|name| one.launch(&format!("versions-{name}"), &json!({ "runs": 2 })));
    for workflow in [&pinned, &moving, &trampoline] {
        until_tasks(workflow, None, 1);
    }
    deployment.route("set-current-version", &["--build-id", "two"]);
    for workflow in [&pinned, &moving, &trampoline] {
        workflow.signal(SIGNAL, &Value::Null);
    }
    // Pinned to a version whose worker is replaced, and the other replayed on its new version.
    one.kill_and_restart();
    for workflow in [&pinned, &moving] {
        until_tasks(workflow, None, 2);
        workflow.signal(SIGNAL, &Value::Null);
        assert_eq!(workflow.result(), json!(2));
    }
    let (builds, behavior) = tasks(&pinned.history(None));
    assert_eq!(behavior, "VERSIONING_BEHAVIOR_PINNED");
    assert!(builds.iter().all(|build| build == "one"), "{builds:?}");
    let (builds, behavior) = tasks(&moving.history(None));
    assert_eq!(behavior, "VERSIONING_BEHAVIOR_AUTO_UPGRADE");
    assert_eq!(builds[0], "one");
    assert!(builds[1..].iter().all(|build| build == "two"), "{builds:?}");

    let second = until("the second run", || {
        Some(trampoline.histories()).filter(|histories| histories.len() == 2)
    });
    assert!(tasks(&second[0]).0.iter().all(|build| build == "one"));
    trampoline.signal(SIGNAL, &Value::Null);
    assert_eq!(trampoline.result(), "done");
    let (builds, behavior) = tasks(&trampoline.histories()[1]);
    assert_eq!(behavior, "VERSIONING_BEHAVIOR_PINNED");
    assert!(builds.iter().all(|build| build == "two"), "{builds:?}");

    let described = Cluster::get().segno(&["describe", &pinned.id, "--output", "json"]);
    let version =
        json!({ "deploymentName": deployment.name, "buildId": "one", "behavior": "PINNED" });
    assert_eq!(described.ok().json()["version"], version);

    // All of what begins now goes to the ramping version.
    let all = ["--build-id", "one", "--percentage", "100"];
    let routed = deployment.route("set-ramping-version", &all);
    assert_eq!(
        routed["ramping"],
        json!({ "buildId": "one", "percentage": 100.0 })
    );
    let ramped = two.launch("versions-pinned", &json!(null));
    let (builds, _) = tasks(&until_tasks(&ramped, None, 1));
    assert_eq!(builds, ["one"]);
    let listed = Cluster::get().segno(&["worker-deployment", "list"]).ok();
    let row = listed
        .stdout
        .lines()
        .find(|l| l.starts_with(&deployment.name));
    let columns: Vec<&str> = row.unwrap().split_whitespace().collect();
    assert_eq!(columns, [&deployment.name, "two", "one", "100", "%"]);
    let routed = deployment.route("set-ramping-version", &["--delete"]);
    assert_eq!(routed["ramping"], Value::Null);
    let described = deployment.segno("describe", &[]).ok().json();
    let mut statuses: Vec<_> = described["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| (version["buildId"].clone(), version["status"].clone()))
        .collect();
    statuses.sort_by_key(|(build, _)| build.to_string());
    assert_eq!(statuses[1], (json!("two"), json!("CURRENT")));
    assert_eq!(statuses[0].0, "one");
    let current = two.launch("versions-pinned", &json!(null));
    let (builds, _) = tasks(&until_tasks(&current, None, 1));
    assert_eq!(builds, ["two"]);

    for workflow in [&pinned, &moving, &trampoline] {
        workflow.assert_no_task_failed();
        workflow.assert_replays();
    }
}

/// Typed one after the other, as somebody does who reads the page.
#[test]
fn the_commands_of_the_page_work_one_after_the_other() {
    let cluster = Cluster::get();
    let page = std::fs::read_to_string(root().join("docs/worker.md")).unwrap();
    let (_, section) = page.split_once("\n## Versions\n").unwrap();
    let (_, block) = section.split_once("```console\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let name = cluster.unique("shop");
    let mut script = "trap 'kill $pid; wait' EXIT TERM\n".to_owned();
    for command in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let command = command.replace("shop", &name);
        script += &match command.ends_with('&') {
            true => format!("{command}\npid=$!\n"),
            false => format!("{command} || {{ echo FAILED; exit 1; }}\n"),
        };
    }
    script += "echo FINISHED\n";
    let mut shell = Command::new("sh");
    let path = std::env::var("PATH").unwrap_or_default();
    let programs = segno().parent().unwrap().display().to_string();
    shell
        .args(["-c", &script])
        .env("PATH", format!("{programs}:{path}"))
        .env("TEMPORAL_ADDRESS", &cluster.address)
        .env("SEGNO_TASK_QUEUE", cluster.unique("queue"))
        .env("SEGNO_REGISTRY", cluster.unique("registry"));
    let output = tempfile::NamedTempFile::new().unwrap();
    let file = || output.reopen().unwrap();
    let mut running = spawn_bound(&shell, file(), std::process::Stdio::inherit());
    let printed = until("the page's commands", || {
        let printed = std::fs::read_to_string(output.path()).unwrap();
        let is_over = printed.contains("FINISHED") || printed.contains("FAILED");
        is_over.then_some(printed)
    });
    drop(running.stdin.take());
    running.wait().unwrap();
    assert!(printed.contains("FINISHED"), "{printed}");
    assert!(printed.contains("2.0       CURRENT"), "{printed}");
}
