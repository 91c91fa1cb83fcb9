//! `segno deploy --check-against`: what a deployment means to runs in flight, which keep the definition that they are bound to
//! and begin others.

use std::fs;

use serde_json::{Value, json};

use super::support::cluster::Cluster;
use super::support::run::Run;
use super::support::until;
use super::support::worker::{Worker, Workflow, count};

struct Project {
    registry: String,
    /// All of its types begin with it.
    prefix: String,
    folder: tempfile::TempDir,
}

const INPUT: &str = "{ type: object, required: [n], properties: { n: { type: integer } } }";
const STRICTER: &str = "{ type: object, required: [n, year], properties: { n: { type: integer }, year: { type: integer } } }";
const WIDER: &str = "{ type: object, properties: { n: { type: integer } } }";

impl Project {
    fn new(prefix: &str) -> Project {
        Project {
            registry: Cluster::get().unique("registry"),
            prefix: prefix.to_owned(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Waits first, then does this.
    fn write(&self, name: &str, input: &str, then: &str) {
        let workflow = self.name(name);
        let text = format!(
            "segno: 1\nworkflow: {workflow}\ninput: {input}\nsteps:\n  - wait: {{ signal: go }}\n  - {then}\n"
        );
        fs::write(self.folder.path().join(format!("{name}.yaml")), text).unwrap();
    }

    fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    fn deploy(&self, arguments: &[&str]) -> Run {
        let folder = self.folder.path().to_str().unwrap();
        let common = ["deploy", folder, "--registry", &self.registry];
        Cluster::get().segno(&[&common[..], arguments].concat())
    }

    /// Once the list has all of these runs.
    fn check(&self, runs: usize, arguments: &[&str]) -> Run {
        let query = format!(
            "WorkflowType STARTS_WITH '{}' AND ExecutionStatus = 'Running'",
            self.prefix
        );
        until("the list of the runs", || {
            let listed = Cluster::get().segno(&["list", "-q", &query, "-o", "json"]);
            (listed.ok().json().as_array().unwrap().len() == runs).then_some(())
        });
        self.deploy(&[&["--check-against", &query], arguments].concat())
    }

    fn worker(&self) -> Worker {
        Worker::of_deployed(&["--registry", &self.registry])
    }

    fn launch<'a>(&self, worker: &'a Worker, name: &str) -> Workflow<'a> {
        let run = worker.launch(&self.name(name), &json!({ "n": 1 }));
        until("the run's beginning", || {
            (count(&run.history(None), "EVENT_TYPE_MARKER_RECORDED") > 0).then_some(())
        });
        run
    }
}

/// The lines that say something of a run by its id.
fn of<'a>(said: &'a Run, run: &Workflow<'_>) -> Vec<&'a str> {
    let lines = said.stdout.lines();
    lines.filter(|line| line.contains(&run.id)).collect()
}

#[test]
fn runs_are_safe_that_are_bound_to_their_own_versions() {
    let project = Project::new("check-safe");
    let again = "continue_as_new: { input: { n: \"${ input.n + 1 }\" } }";
    let pinned = "continue_as_new: { definition: pinned }";
    let types = [("plain", "return: 1"), ("loop", again), ("pinned", pinned)];
    for (name, then) in types {
        project.write(name, INPUT, then);
    }
    project.deploy(&["--yes"]).ok();
    let worker = project.worker();
    let runs = types.map(|(name, _)| project.launch(&worker, name));
    // Other steps, the same input; or another input of what is never begun anew.
    project.write("plain", STRICTER, "return: 2");
    project.write("loop", INPUT, "return: 2");
    project.write("pinned", STRICTER, "return: 2");
    let said = project.check(runs.len(), &["--dry-run"]).ok();
    for (name, _) in types {
        let safe = format!("safe 1 run bound to {}@1\n", project.name(name));
        assert!(said.stdout.contains(&safe), "{said:#?}");
    }
    assert!(!said.stdout.contains("would break"), "{said:#?}");
    let said = project
        .check(runs.len(), &["--yes", "--output", "json"])
        .ok();
    let said = said.json();
    assert_eq!(said["deployed"], true);
    let checked = said["checked"].as_array().unwrap();
    assert_eq!(checked.len(), runs.len());
    assert!(
        checked.iter().all(|run| run["verdict"] == "safe"),
        "{said:#}"
    );
    // What was said is so.
    let [plain, again, pinned] = &runs;
    for run in &runs {
        run.signal("go", &Value::Null);
    }
    assert_eq!(plain.result(), 1);
    for (run, result) in [(again, 2), (pinned, 1)] {
        let query = format!("WorkflowId = '{}' AND ExecutionStatus = 'Running'", run.id);
        until("the next run", || {
            let next = Cluster::get().segno(&["list", "-q", &query, "-o", "json"]);
            let next = next.ok().json();
            let next = next[0]["runId"].as_str()?.to_owned();
            (next != run.run_id).then_some(())
        });
        if result == 2 {
            run.signal("go", &Value::Null);
            assert_eq!(run.result(), result);
        }
    }
    Cluster::get().segno(&["terminate", &pinned.id]).ok();
}

#[test]
fn what_a_run_in_flight_would_begin_and_break_is_refused() {
    let project = Project::new("check-break");
    let again = "continue_as_new: { input: { n: \"${ input.n + 1 }\" } }";
    let parent = "child: check-break-child\n    input: { n: \"${ input.n }\" }";
    let types = [
        ("loop", again),
        ("same", "continue_as_new: {}"),
        ("constant", "continue_as_new: { input: { n: 7 } }"),
        ("parent", parent),
        ("child", "return: 1"),
    ];
    for (name, then) in types {
        project.write(name, INPUT, then);
    }
    project.deploy(&["--yes"]).ok();
    let worker = project.worker();
    let runs = ["loop", "same", "constant", "parent"].map(|name| project.launch(&worker, name));
    let [again, same, constant, parent] = &runs;
    // It has not begun: nobody serves its queue.
    let waiting = Cluster::get().unique("check-break-waiting");
    let start = [
        "start",
        "check-break-child",
        "--task-queue",
        "nobodys",
        "--input",
        "{\"n\": 1}",
    ];
    Cluster::get()
        .segno(&[&start[..], &["--workflow-id", &waiting]].concat())
        .ok();
    let all = runs.len() + 1;

    for (name, _) in types {
        project.write(name, STRICTER, "return: 2");
    }
    let said = project.check(all, &["--yes"]);
    assert_eq!(said.code, 1, "{said:#?}");
    assert!(
        said.stderr
            .contains("4 runs in flight would break; nothing was deployed"),
        "{said:#?}"
    );
    let refuses = "refuses it: the input of `check-break-loop` breaks its schema:";
    let expected = format!(
        "would break {} (check-break-loop@1): it may continue as new (loop.yaml:6), and then with an input like the previous one the new version of `check-break-loop` {refuses}",
        again.id
    );
    assert!(of(&said, again)[0].starts_with(&expected), "{said:#?}");
    for run in [same, constant] {
        let why = of(&said, run);
        assert_eq!(why.len(), 1, "{said:#?}");
        assert!(why[0].starts_with("would break"), "{said:#?}");
        assert!(why[0].contains("and then the new version"), "{said:#?}");
    }
    // It has started no child yet that tells what the next is given.
    let why = of(&said, parent);
    assert!(why[0].starts_with("not known"), "{said:#?}");
    assert!(
        why[0].contains("it may start a child (parent.yaml:6)"),
        "{said:#?}"
    );
    let of_waiting = format!("would break {waiting}: it has not started, and the new version");
    assert!(said.stdout.contains(&of_waiting), "{said:#?}");
    let listed = Cluster::get().segno(&["definitions", "list", "--registry", &project.registry]);
    assert!(!listed.ok().stdout.contains("@2"));

    // A child that was started tells.
    parent.signal("go", &Value::Null);
    until("the child", || {
        let history = parent.history(None);
        (count(&history, "EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED") > 0).then_some(())
    });
    let said = project.check(all + 1, &["--yes", "--output", "json"]);
    assert_eq!(said.code, 1, "{said:#?}");
    let json = said.json();
    assert_eq!(json["deployed"], false);
    let checked = json["checked"].as_array().unwrap();
    let of_parent = checked
        .iter()
        .find(|run| run["workflowId"] == parent.id.as_str());
    assert_eq!(of_parent.unwrap()["verdict"], "breaks", "{json:#}");

    // What takes all that was taken is let through; what is gone is not.
    for (name, _) in types {
        project.write(name, WIDER, "return: 2");
    }
    project.check(all + 1, &["--dry-run"]).ok();
    fs::remove_file(project.folder.path().join("loop.yaml")).unwrap();
    let said = project.check(all + 1, &["--yes", "--retire-with-runs"]);
    assert_eq!(said.code, 1, "{said:#?}");
    assert!(
        of(&said, again)[0].ends_with("there is no definition of `check-break-loop`"),
        "{said:#?}"
    );
    for run in &runs {
        Cluster::get().segno(&["terminate", &run.id]).ok();
    }
    Cluster::get().segno(&["terminate", &waiting]).ok();
}

#[test]
fn a_run_that_the_server_begins_again_gets_what_is_deployed() {
    let project = Project::new("check-again");
    project.write("retried", INPUT, "return: 1");
    project.deploy(&["--yes"]).ok();
    let worker = project.worker();
    let cluster = Cluster::get();
    let id = cluster.unique("check-again");
    let start = ["start", "check-again-retried", "--workflow-id", &id];
    let options = ["--retry-maximum-attempts", "3", "--input", "{\"n\": 1}"];
    let queue = ["--task-queue", &worker.task_queue];
    cluster.segno(&[&start[..], &options, &queue].concat()).ok();
    until("the run's beginning", || {
        let history = cluster.segno(&["history", &id, "-o", "json"]).ok().json();
        let events = history["events"].as_array().unwrap().clone();
        (count(&events, "EVENT_TYPE_MARKER_RECORDED") > 0).then_some(())
    });
    project.write("retried", STRICTER, "return: 1");
    let said = project.check(1, &["--yes"]);
    assert_eq!(said.code, 1, "{said:#?}");
    let why = "the server may start it again, by cron or after a failure, and then the new version";
    assert!(said.stdout.contains(why), "{said:#?}");
    project.write("retried", WIDER, "return: 1");
    project.check(1, &["--yes"]).ok();
    cluster.segno(&["terminate", &id]).ok();
}

/// Nobody runs the parent, and it is not deployed anew: what it gives its child is written out.
#[test]
fn new_runs_that_would_give_what_is_refused_are_found() {
    let project = Project::new("check-constant");
    let parent = "child: check-constant-child\n    input: { n: 7 }";
    project.write("parent", INPUT, parent);
    project.write("child", INPUT, "return: 1");
    project.deploy(&["--yes"]).ok();
    let nobody = ["--check-against", "WorkflowType = 'nobody'"];
    project.write("child", STRICTER, "return: 1");
    let refused = project.deploy(&[&nobody[..], &["--yes", "-o", "json"]].concat());
    let said = "new runs of check-constant-parent@1 would break; nothing was deployed";
    assert!(
        refused.code == 1 && refused.stderr.contains(said),
        "{refused:#?}"
    );
    let json = refused.json();
    assert_eq!(json["deployed"], false);
    assert_eq!(json["refused"]["message"], said);
    let why = json["checkedDefinitions"][0]["why"][0].as_str().unwrap();
    assert!(
        why.contains("parent.yaml:6), and then check-constant-child@2 refuses it:"),
        "{why}"
    );
    // Lint says so without a registry.
    let folder = project.folder.path().to_str().unwrap();
    let lint = Cluster::get().segno(&["lint", folder]);
    assert!(
        lint.code == 1 && lint.stdout.contains("error[child-input]"),
        "{lint:#?}"
    );
    // The parent gives more; and then the child is gone.
    let parent = "child: check-constant-child\n    input: { n: 7, year: 2030 }";
    project.write("parent", INPUT, parent);
    project.deploy(&[&nobody[..], &["--yes"]].concat()).ok();
    fs::remove_file(project.folder.path().join("child.yaml")).unwrap();
    let refused = project.deploy(&[&nobody[..], &["--yes"]].concat());
    for said in [
        "would break new runs of check-constant-parent@2: it may start a child (",
        "parent.yaml:6), and then there is no definition of `check-constant-child`",
    ] {
        assert!(
            refused.code == 1 && refused.stdout.contains(said),
            "{refused:#?}"
        );
    }
}

#[test]
fn the_registrys_own_workflows_are_not_checked() {
    let project = Project::new("check-own");
    project.write("one", INPUT, "return: 1");
    project.deploy(&["--yes"]).ok();
    let query = "WorkflowType IN ('segno-registry', 'segno-registry-data')";
    until("the registry in lists", || {
        let listed = Cluster::get().segno(&["list", "-q", query, "-o", "json"]);
        (!listed.ok().json().as_array().unwrap().is_empty()).then_some(())
    });
    let said = project
        .deploy(&["--dry-run", "--check-against", query])
        .ok();
    assert!(
        said.stdout.contains("no run matches the query"),
        "{said:#?}"
    );
}
