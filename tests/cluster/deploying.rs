//! Deployments without surprises: ramps and pins that deployments leave alone, projects, and what is refused.

use std::fs;

use serde_json::{Value, json};

use super::support::cluster::Cluster;
use super::support::run::Run;
use super::support::until;
use super::support::worker::Worker;

/// A repository with a folder of definitions, and a registry of its own.
pub struct Project {
    registry: String,
    root: tempfile::TempDir,
}

impl Project {
    pub fn new() -> Project {
        let project = Project {
            registry: Cluster::get().unique("registry"),
            root: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(project.root.path().join("orders")).unwrap();
        project
    }

    fn file(&self, path: &str, text: &str) {
        fs::write(self.root.path().join(path), text).unwrap();
    }

    /// A definition that says which text it has.
    pub fn write(&self, workflow: &str, says: &str) {
        let text = format!("segno: 1\nworkflow: {workflow}\nsteps:\n  - return: {says}\n");
        self.file(&format!("orders/{workflow}.yaml"), &text);
    }

    fn remove(&self, workflow: &str) {
        fs::remove_file(self.root.path().join(format!("orders/{workflow}.yaml"))).unwrap();
    }

    fn folder(&self) -> String {
        self.root.path().join("orders").display().to_string()
    }

    fn segno(&self, arguments: &[&str]) -> Run {
        Cluster::get().segno(&[arguments, &["--registry", &self.registry]].concat())
    }

    pub fn definitions(&self, arguments: &[&str]) -> Run {
        self.segno(&[&["definitions"], arguments].concat())
    }

    pub fn deploy(&self, arguments: &[&str]) -> Run {
        self.segno(
            &[
                &["deploy", &self.folder(), "--yes", "-o", "json"],
                arguments,
            ]
            .concat(),
        )
    }

    fn deployed(&self, arguments: &[&str]) -> Value {
        let run = self.deploy(arguments).ok();
        assert_eq!(run.json()["deployed"], true, "{run:#?}");
        run.json()["versions"].clone()
    }

    /// What `deploy` prints for people.
    fn plan(&self, arguments: &[&str]) -> String {
        let run = self.segno(&[&["deploy", &self.folder(), "--dry-run"], arguments].concat());
        run.ok().stdout
    }

    /// `2, 5 % 3`, `2 pinned` or `retired`.
    pub fn route(&self, workflow: &str) -> String {
        let list = self.definitions(&["list", "-o", "json"]).ok().json();
        let all = list["definitions"].as_array().unwrap();
        let Some(found) = all.iter().find(|d| d["workflow"] == workflow) else {
            return "unknown".to_owned();
        };
        if found["retired"] == true {
            return "retired".to_owned();
        }
        let mut route = found["current"].to_string();
        if found["pinned"] == true {
            route += " pinned";
        }
        if let Some(ramp) = found["ramp"].as_object() {
            route += &format!(", {} % {}", ramp["percent"], ramp["version"]);
        }
        route
    }

    fn versions(&self, workflow: &str) -> usize {
        let list = self.definitions(&["list", "-o", "json"]).ok().json();
        let mut all = list["definitions"].as_array().unwrap().iter();
        let found = all.find(|d| d["workflow"] == workflow).unwrap();
        found["versions"].as_array().unwrap().len()
    }
}

#[test]
fn a_ramp_survives_deployments_until_it_is_ended() {
    let project = Project::new();
    project.write("order", "one");
    project.write("other", "one");
    assert_eq!(project.deployed(&[]), json!(["order@1", "other@1"]));
    project.write("order", "two");
    let plan = project.plan(&["--percent", "5"]);
    let said = "~ order from version 1 to 2; 5 % of new runs get it, the others stay";
    assert!(plan.contains(said), "{plan}");
    assert_eq!(project.deployed(&["--percent", "5"]), json!(["order@2"]));
    assert_eq!(project.route("order"), "1, 5 % 2");
    // Something else.
    project.write("other", "two");
    let plan = project.plan(&[]);
    let said = "= order stays at 5 % of new runs with version 2, the others with version 1; the folder has version 2";
    assert!(plan.contains(said), "{plan}");
    assert_eq!(project.deployed(&[]), json!(["other@2"]));
    assert_eq!(project.route("order"), "1, 5 % 2");
    // The type itself: the share stays, and a deployment may change it.
    project.write("order", "three");
    assert_eq!(project.deployed(&[]), json!(["order@3"]));
    assert_eq!(project.route("order"), "1, 5 % 3");
    assert_eq!(project.deployed(&["--percent", "25"]), json!(["order@3"]));
    assert_eq!(project.route("order"), "1, 25 % 3");
    let again = project.deploy(&["--percent", "25"]).ok().json();
    assert_eq!(again["deployed"], false, "{again:#}");
    // Ended one way, and the other.
    project
        .definitions(&["ramp", "order@3", "--percent", "0"])
        .ok();
    assert_eq!(project.route("order"), "1");
    project
        .definitions(&["ramp", "order@2", "--percent", "10"])
        .ok();
    project
        .definitions(&["ramp", "order@2", "--percent", "100"])
        .ok();
    assert_eq!(project.route("order"), "2");
    assert_eq!(project.deployed(&["--percent", "50"]), json!(["order@3"]));
    let last = project.deploy(&["--percent", "100"]).ok().json();
    assert_eq!(last["changes"][0]["endsRamp"], true, "{last:#}");
    assert_eq!(project.route("order"), "3");
    let refused = project.definitions(&["ramp", "order@3", "--percent", "10"]);
    assert!(
        refused.code == 1 && refused.stderr.contains("new runs already get order@3"),
        "{refused:#?}"
    );
}

#[test]
fn a_deployment_without_routes_waits_to_be_routed() {
    let project = Project::new();
    project.write("order", "one");
    project.deployed(&[]);
    project.write("order", "two");
    project.write("fresh", "one");
    assert_eq!(
        project.deployed(&["--no-route"]),
        json!(["fresh@1", "order@2"])
    );
    assert_eq!(
        (project.route("order"), project.route("fresh")),
        ("1".to_owned(), "retired".to_owned())
    );
    assert_eq!(project.versions("order"), 2);
    let again = project.plan(&["--no-route"]);
    let said = "= order stays at version 1; the folder has version 2";
    assert!(again.contains(said), "{again}");
    project.definitions(&["rollback", "order@2"]).ok();
    assert_eq!(project.route("order"), "2");
    project.deployed(&[]);
    assert_eq!(project.route("fresh"), "1");
}

#[test]
fn what_is_pinned_is_named_in_each_plan_and_stays() {
    let project = Project::new();
    project.write("parcel", "one");
    project.write("other", "one");
    project.deployed(&[]);
    project.definitions(&["pin", "parcel@1"]).ok();
    let plan = project.plan(&[]);
    assert!(plan.contains("= parcel is pinned to version 1\n"), "{plan}");
    project.write("parcel", "two");
    let plan = project.plan(&[]);
    let said = "~ parcel from version 1 to 2; new runs stay with the pinned version";
    assert!(plan.contains(said), "{plan}");
    assert_eq!(project.deployed(&[]), json!(["parcel@2"]));
    let plan = project.plan(&[]);
    let said = "= parcel is pinned to version 1; the folder has version 2";
    assert!(plan.contains(said), "{plan}");
    project.remove("parcel");
    let plan = project.deploy(&["--dry-run"]).ok().json();
    assert_eq!(
        plan["held"],
        json!([{ "workflow": "parcel", "current": 1, "pinned": true, "ramp": null, "folder": null }])
    );
    assert_eq!(plan["changes"], json!([]));
    let refused = project.definitions(&["ramp", "parcel@2", "--percent", "10"]);
    assert!(
        refused.code == 1 && refused.stderr.contains("is pinned to version 1"),
        "{refused:#?}"
    );
    project.definitions(&["unpin", "parcel"]).ok();
    project.deployed(&[]);
    assert_eq!(project.route("parcel"), "retired");
    // Retired while it is pinned.
    project.definitions(&["rollback", "parcel@1"]).ok();
    project.definitions(&["pin", "parcel"]).ok();
    project.definitions(&["delete", "parcel"]).ok();
    let unpinned = project.definitions(&["unpin", "parcel"]).ok().stdout;
    let said = "parcel is no longer pinned; it is retired, so no new runs start";
    assert!(unpinned.contains(said), "{unpinned}");
}

#[test]
fn a_whole_deployment_is_rolled_back() {
    let project = Project::new();
    for workflow in ["a", "b", "gone", "held"] {
        project.write(workflow, "one");
    }
    project.deployed(&[]);
    project.write("a", "two");
    project.deployed(&["--percent", "20"]);
    let before = project.definitions(&["list", "-o", "json"]).ok().json()["revision"].to_string();
    for workflow in ["a", "b", "held", "new"] {
        project.write(workflow, "three");
    }
    project.remove("gone");
    project.deployed(&["--percent", "100"]);
    project.definitions(&["pin", "held@2"]).ok();
    let all = || ["a", "b", "gone", "held", "new"].map(|workflow| project.route(workflow));
    assert_eq!(all(), ["3", "2", "retired", "2 pinned", "1"]);
    let back = project
        .definitions(&["rollback", "--revision", &before, "-o", "json"])
        .ok();
    assert_eq!(
        back.json()["changes"],
        json!([
            "new gets no new runs",
            "new runs of a get a@1, 20 % of them a@2",
            "new runs of b get b@1",
            "new runs of gone get gone@1",
        ])
    );
    assert_eq!(all(), ["1, 20 % 2", "1", "1", "2 pinned", "retired"]);
    let again = project
        .definitions(&["rollback", "--revision", &before])
        .ok();
    assert!(again.stdout.contains("nothing to do"), "{again:#?}");
    // Forth again, from the history of going back.
    project.definitions(&["rollback", "--revision", "3"]).ok();
    assert_eq!(all(), ["3", "2", "retired", "2 pinned", "1"]);
    let unknown = project.definitions(&["rollback", "--revision", "99"]);
    assert!(
        unknown.code == 1 && unknown.stderr.contains("there is no revision 99"),
        "{unknown:#?}"
    );
    project.definitions(&["delete", "b@1", "--with-runs"]).ok();
    let lost = project.definitions(&["rollback", "--revision", &before]);
    assert!(
        lost.code == 1 && lost.stderr.contains("b has no version \"1\""),
        "{lost:#?}"
    );
}

#[test]
fn a_file_names_the_project_and_retiring_many_types_is_asked_for() {
    let project = Project::new();
    project.file("orders/segno.toml", "project = \"orders\"\n");
    for workflow in ["a", "b", "c", "d", "e"] {
        project.write(workflow, "one");
    }
    let first = project.deploy(&[]).ok().json();
    assert_eq!(first["project"], "orders");
    let other = project.deploy(&["--project", "billing"]);
    assert!(
        other.code == 2
            && other
                .stderr
                .contains("segno.toml names the project \"orders\""),
        "{other:#?}"
    );
    assert!(other.json()["refused"]["message"].is_string(), "{other:#?}");
    for workflow in ["a", "b", "c", "d"] {
        project.remove(workflow);
    }
    let refused = project.deploy(&[]);
    let said =
        "4 workflow types of the project \"orders\" would be retired; RETIRED_UNASKED_MAX is 3";
    assert!(
        refused.code == 1 && refused.stderr.contains(said),
        "{refused:#?}"
    );
    // The whole plan, and why nothing was done.
    let json = refused.json();
    assert_eq!(json["deployed"], false);
    assert_eq!(json["changes"].as_array().unwrap().len(), 4);
    assert_eq!(json["refused"]["message"], said);
    for wrong in [&["--retire", "3"][..], &["--retire", "a", "--retire", "b"]] {
        assert_eq!(project.deploy(wrong).code, 1, "{wrong:?}");
    }
    let names = ["a", "b", "c", "d"].map(|name| ["--retire", name]);
    project
        .deploy(&[&names.concat()[..], &["--dry-run"]].concat())
        .ok();
    project.deployed(&["--retire", "4"]);
    assert_eq!(project.route("a"), "retired");
    // What is wrong with the file is said with its place.
    project.file("orders/segno.toml", "project = \"orders\"\nteam = 1\n");
    let wrong = project.deploy(&[]);
    assert!(
        wrong.code == 2 && wrong.stderr.contains("segno.toml") && wrong.stderr.contains("team"),
        "{wrong:#?}"
    );
}

#[test]
fn commands_that_route_know_projects() {
    let project = Project::new();
    project.write("order", "one");
    project.deployed(&["--project", "orders"]);
    project.write("order", "two");
    project.deployed(&["--project", "orders"]);
    for command in [
        &["rollback", "order"][..],
        &["pin", "order"],
        &["unpin", "order"],
        &["ramp", "order@1", "--percent", "5"],
        &["tag", "order@1", "stable"],
        &["delete", "order@1"],
        &["delete", "order"],
    ] {
        let refused = project.definitions(&[command, &["--project", "billing"]].concat());
        let said = "order belongs to the project \"orders\", not to \"billing\"";
        assert!(
            refused.code == 1 && refused.stderr.contains(said),
            "{refused:#?}"
        );
    }
    assert_eq!(project.route("order"), "2");
    let own = ["rollback", "order", "--project", "orders"];
    project.definitions(&own).ok();
    assert_eq!(project.route("order"), "1");
}

#[test]
fn teams_share_files_of_their_repository() {
    let project = Project::new();
    project.file("shared.yaml", "segno: 1\ntypes: { id: { type: string } }\n");
    project.file(
        "orders/order.yaml",
        "segno: 1\nworkflow: order\nuse: [../shared.yaml]\ninput: { $ref: '#/types/id' }\nsteps:\n  - return: ${ input }\n",
    );
    // Without a repository the folder is all there is.
    let alone = project.deploy(&[]);
    assert_eq!(alone.code, 1, "{alone:#?}");
    let json = alone.json();
    assert_eq!(json["deployed"], false);
    assert_eq!(json["diagnostics"][0]["code"], "used-file-outside");
    fs::create_dir(project.root.path().join(".git")).unwrap();
    assert_eq!(project.deployed(&[]), json!(["order@1"]));
    let shown = project.definitions(&["show", "order", "-o", "json"]).ok();
    let files = shown.json()["files"].as_array().unwrap().clone();
    let paths: Vec<&Value> = files.iter().map(|file| &file["path"]).collect();
    assert_eq!(paths, [&json!("orders/order.yaml"), &json!("shared.yaml")]);
    let worker = Worker::of_deployed(&["--registry", &project.registry]);
    until("the type", || {
        let run = worker.launch("order", &json!("x"));
        (run.result() == "x").then_some(())
    });
    // A folder that is served follows them, too.
    let served = Worker::start(&project.root.path().join("orders"), &[]);
    assert_eq!(served.launch("order", &json!("x")).result(), "x");
    project.file(
        "shared.yaml",
        "segno: 1\ntypes: { id: { type: integer } }\n",
    );
    until("the other type", || {
        let run = served.launch("order", &json!(1));
        (run.end()["status"] == "COMPLETED").then_some(())
    });
    assert_eq!(Cluster::get().segno(&["lint", &project.folder()]).code, 0);
}

#[test]
fn history_names_the_types_of_each_change() {
    let project = Project::new();
    let names: Vec<String> = (0..12).map(|n| format!("type-{n:02}")).collect();
    for name in &names {
        project.write(name, "one");
    }
    project.deployed(&["-m", "all of them"]);
    let all = project.definitions(&["history"]).ok().stdout;
    assert!(
        all.contains("type-00@1, type-01@1") && all.contains("and 4 more"),
        "{all}"
    );
    let of = project.definitions(&["history", "type-11"]).ok().stdout;
    assert!(of.contains("deployed type-11@1, type-00@1"), "{of}");
    let json = project.definitions(&["history", "-o", "json"]).ok().json();
    assert_eq!(json[0]["put"].as_array().unwrap().len(), names.len());
    assert_eq!(
        json[0]["put"][11],
        json!({ "workflow": "type-11", "number": 1 })
    );
    let text = project.segno(&["deploy", &project.folder(), "--yes"]).ok();
    assert!(text.stdout.contains("12 unchanged"), "{text:#?}");
    project.write("type-03", "two");
    let text = project.segno(&["deploy", &project.folder(), "--yes"]).ok();
    assert!(
        text.stdout.contains("deployed revision 2: type-03@2\n"),
        "{text:#?}"
    );
}

#[test]
fn a_start_asks_the_registry() {
    let project = Project::new();
    let worker = Worker::of_deployed(&["--registry", &project.registry]);
    let queue = &worker.task_queue;
    let start = |arguments: &[&str]| project.segno(&[&["start", "-o", "json"], arguments].concat());
    // Nothing is deployed: nothing is said of it.
    start(&["asked", "--task-queue", queue, "--workflow-id", "before"]).ok();
    Cluster::get().segno(&["terminate", "before"]).ok();
    project.file(
        "orders/asked.yaml",
        &format!(
            "segno: 1\nworkflow: asked\ninput: {{ type: object, required: [n], properties: {{ n: {{ type: integer }} }} }}\nstart: {{ task_queue: {queue}, workflow_id: 'asked-${{ input.n }}' }}\nsignals: {{ add: {{ input: {{ type: integer }}, do: [log: added] }} }}\nsteps:\n  - return: ${{ input.n }}\n"
        ),
    );
    project.write("gone", "one");
    project.deployed(&[]);
    project.remove("gone");
    project.deployed(&[]);
    // Defaults of the definition.
    let run = start(&["asked", "--input", "{\"n\":7}", "--wait"])
        .ok()
        .json();
    assert_eq!(
        (&run["workflowId"], &run["result"]),
        (&json!("asked-7"), &json!(7))
    );
    for (arguments, code, said) in [
        (
            &["asked", "--input", "{}"][..],
            2,
            "the input of `asked` breaks its schema",
        ),
        (
            &[
                "asked",
                "--input",
                "{\"n\":8}",
                "--signal",
                "add",
                "--signal-input",
                "\"x\"",
            ],
            2,
            "nothing was sent: the run would drop the signal",
        ),
        (&["gone"], 1, "gone is retired"),
        (
            &["askd"],
            1,
            "the registry has no definition of askd; did you mean asked?",
        ),
    ] {
        let refused = start(&[arguments, &["--task-queue", queue]].concat());
        assert!(
            refused.code == code && refused.stderr.contains(said),
            "{refused:#?}"
        );
    }
    let by_hand = [
        "gone",
        "--task-queue",
        queue,
        "--workflow-id",
        "unchecked",
        "--unchecked",
    ];
    start(&by_hand).ok();
    Cluster::get().segno(&["terminate", "unchecked"]).ok();
}

/// A line of the worker's log, once it is there.
fn line(worker: &Worker, message: &str) -> Value {
    until(message, || {
        let logs = worker.logs();
        let lines = logs
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut lines = lines.filter(|line| {
            let said = line["message"].as_str();
            said.is_some_and(|said| said.contains(message))
        });
        lines.next()
    })
}

#[test]
fn logs_of_a_run_name_it_and_have_its_fields() {
    let project = Project::new();
    project.file(
        "orders/logs.yaml",
        "segno: 1\nworkflow: logs\nsteps:\n  - id: late\n    log: { level: warn, message: too late, fields: { days: 3, who: Ada, run_id: none } }\n  - log: the end\n",
    );
    project.deployed(&[]);
    let worker = Worker::of_deployed(&["--registry", &project.registry, "--log-format", "json"]);
    let run = worker.launch("logs", &Value::Null);
    run.result();
    let late = line(&worker, "too late");
    let about = |line: &Value| {
        [
            "level",
            "run_id",
            "workflow_id",
            "workflow_type",
            "definition",
            "step",
        ]
        .map(|name| line[name].clone())
    };
    let expected = |level: &str, step: &str| {
        [level, &run.run_id, &run.id, "logs", "logs@1", step].map(Value::from)
    };
    assert_eq!(about(&late), expected("WARN", "late"));
    assert_eq!(
        late["fields"],
        json!({ "days": 3, "who": "Ada", "run_id": "none" })
    );
    let end = line(&worker, "the end");
    assert_eq!(about(&end), expected("INFO", "logs.yaml:6:5"));
    // How a run gets its definition is none of the author's steps.
    let timeline = Cluster::get()
        .segno(&["history", &run.id, "--timeline"])
        .ok();
    assert!(
        timeline.stdout.contains("workflow logs") && !timeline.stdout.contains("local activity"),
        "{timeline:#?}"
    );
    // A run that nobody has a definition of.
    let unknown = worker.launch("nobodys", &Value::Null);
    let failed = line(&worker, "no definition has the workflow type");
    assert_eq!(
        (&failed["workflow_id"], &failed["workflow_type"]),
        (&json!(unknown.id), &json!("nobodys"))
    );
    Cluster::get().segno(&["terminate", &unknown.id]).ok();
}
