//! Schedules beside definitions: made, changed in place, removed and mended by deployments.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::codecs::{SECRET, Sealed, holds};
use super::support::cluster::Cluster;
use super::support::run::Run;
use super::support::worker::Worker;
use super::support::{segno, until};

/// A folder with one definition, whose type nobody else has, and a registry of its own.
pub struct Project {
    pub registry: String,
    workflow: String,
    pub folder: tempfile::TempDir,
}

impl Project {
    pub fn new() -> Project {
        Project {
            registry: Cluster::get().unique("registry"),
            workflow: Cluster::get().unique("scheduled"),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// With what `schedules` holds, if anything.
    pub fn write(&self, schedules: &str) {
        self.write_with(schedules, "");
    }

    pub fn write_with(&self, schedules: &str, more: &str) {
        let text = format!(
            "segno: 1\nworkflow: {}\ninput: {{ type: object, required: [day] }}\n{more}\nschedules: {{{schedules}}}\nsteps:\n  - return: ${{ input }}\n",
            self.workflow
        );
        fs::write(self.folder.path().join("scheduled.yaml"), text).unwrap();
    }

    pub fn id(&self, name: &str) -> String {
        format!("{}/{name}", self.workflow)
    }

    pub fn segno(&self, arguments: &[&str]) -> Run {
        Cluster::get().segno(&[arguments, &["--registry", &self.registry]].concat())
    }

    pub fn deploy(&self, arguments: &[&str]) -> Run {
        let folder = self.folder.path().to_str().unwrap();
        self.segno(&[&["deploy", folder, "--output", "json"], arguments].concat())
    }

    /// What a deployment does to schedules: `create nightly`.
    pub fn deployed(&self) -> Vec<String> {
        words(&self.deploy(&["--yes"]).ok().json())
    }

    pub fn planned(&self) -> Value {
        self.deploy(&["--dry-run"]).ok().json()["schedules"].clone()
    }
}

fn words(deployment: &Value) -> Vec<String> {
    let steps = deployment["schedules"].as_array().unwrap().iter();
    let name = |step: &Value| {
        let id = step["scheduleId"].as_str().unwrap();
        id.rsplit_once('/').unwrap().1.to_owned()
    };
    steps
        .map(|step| format!("{} {}", step["action"].as_str().unwrap(), name(step)))
        .collect()
}

fn describe(id: &str) -> Value {
    let run = Cluster::get().segno(&["schedule", "describe", id, "--output", "json"]);
    run.ok().json()
}

pub fn is_there(id: &str) -> bool {
    let run = Cluster::get().segno(&["schedule", "describe", id]);
    assert!(
        run.code == 0 || run.stderr.contains("no schedule"),
        "{run:#?}"
    );
    run.code == 0
}

fn schedule(arguments: &[&str]) {
    let run = Cluster::get().segno(&[&["schedule"], arguments].concat());
    run.ok();
}

#[test]
fn a_deployed_schedule_starts_the_workflow_with_all_that_is_said() {
    let project = Project::new();
    let worker = Worker::of_deployed(&["--registry", &project.registry]);
    project.write_with(
        &format!(
            "often: {{ cron: '@every 1s', input: {{ day: today }}, task_queue: {}, memo: {{ team: sales }} }}",
            worker.task_queue
        ),
        "start: { memo: { day: '${ input.day }', team: nobody }, workflow_run_timeout: 1h }",
    );
    assert_eq!(project.deployed(), ["create often"]);
    let id = project.id("often");
    let query = format!("TemporalScheduledById = '{id}' AND ExecutionStatus = 'Completed'");
    let run = until("a run of the schedule", || {
        let found = Cluster::get().segno(&["list", "-q", &query, "--output", "json"]);
        found.ok().json().as_array().unwrap().first().cloned()
    });
    let workflow_id = run["workflowId"].as_str().unwrap();
    assert!(workflow_id.starts_with(&id), "{run:#}");
    let result = Cluster::get().segno(&["result", workflow_id, "--output", "json"]);
    assert_eq!(result.ok().json()["result"], json!({ "day": "today" }));
    let described = Cluster::get().segno(&["describe", workflow_id, "--output", "json"]);
    let described = described.ok().json();
    assert_eq!(
        described["memo"],
        json!({ "day": "today", "team": "sales" })
    );
    // It goes with its definition.
    project
        .segno(&["definitions", "delete", &project.workflow, "--with-runs"])
        .ok();
    assert!(!is_there(&id));
}

/// Every key; what the server makes of it is what was said.
const EVERYTHING: &str = "
  every:
    cron: ['CRON_TZ=Europe/Berlin 0 3 * * Mon-Fri', '@every 90m', '@hourly', '1 2 3 4 * 2031', '5 1 2 3 4 * 2032']
    intervals: [{ every: 6h, offset: 5h }, { every: 1m }]
    calendars:
      - { hour: 9-17/2, minute: [0, 30], day_of_week: [mon, 3-5], year: 2030, comment: while people work }
      - { hour: '*' }
      - { day_of_week: mon-7 }
    skip: [{ month: dec, day_of_month: 24-26 }]
    start_time: 2030-01-01T00:00:00Z
    end_time: 2031-01-01T00:00:00Z
    jitter: 1m
    overlap_policy: cancel_other
    catchup_window: 1h
    pause_on_failure: true
    paused: true
    notes: not yet
    input: { day: all, deep: [1, { a: null }], number: 1.5 }
    workflow_id: its-own
    task_queue: its-own
    memo: { team: sales, list: [1, 2] }
  plain: { cron: '0 0 1 1 *', time_zone: Europe/Berlin, input: { day: one } }
";

const START: &str = "start: { retry_policy: { initial_interval: 2s, maximum_attempts: 3, non_retryable_error_types: [A, B] }, memo: { who: '${ input.day }' },
  workflow_execution_timeout: 2h, workflow_run_timeout: 1h, workflow_task_timeout: 20s, task_queue: elsewhere }";

fn everything(project: &Project) {
    let indented = EVERYTHING.trim_end();
    let text = format!(
        "segno: 1\nworkflow: {}\ninput: {{ type: object, required: [day] }}\n{START}\nschedules:{indented}\nsteps:\n  - return: ${{ input }}\n",
        project.workflow
    );
    fs::write(project.folder.path().join("scheduled.yaml"), text).unwrap();
}

#[test]
fn what_is_deployed_again_changes_nothing() {
    let project = Project::new();
    everything(&project);
    assert_eq!(project.deployed(), ["create every", "create plain"]);
    assert_eq!(project.planned(), json!([]));
    let again = project.deploy(&["--yes"]).ok().json();
    assert_eq!(
        (&again["deployed"], &again["revision"]),
        (&json!(false), &json!(2))
    );
    let every = describe(&project.id("every"));
    assert_eq!(
        (&every["paused"], &every["notes"]),
        (&json!(true), &json!("not yet"))
    );
    assert_eq!(every["action"]["workflowId"], "its-own");
    let plain = describe(&project.id("plain"));
    assert_eq!(plain["action"]["taskQueue"], "elsewhere");
    assert_eq!(
        plain["nextActionTimes"][0].as_str().unwrap()[4..],
        *"-12-31T23:00:00Z"
    );
}

#[test]
fn the_server_reads_cron_strings_as_they_are_sent() {
    let project = Project::new();
    everything(&project);
    project.deployed();
    // The server's own reading of the same strings.
    let id = project.id("by-hand");
    let cron = [
        "0 3 * * Mon-Fri",
        "@every 90m",
        "@hourly",
        "1 2 3 4 * 2031",
        "5 1 2 3 4 * 2032",
    ];
    let crons = cron.iter().flat_map(|cron| ["--cron", cron]);
    let create = ["create", &id, "--type", "x", "--time-zone", "Europe/Berlin"];
    schedule(&create.into_iter().chain(crons).collect::<Vec<_>>());
    let comparable = |id: &str| {
        let spec = describe(id)["spec"].clone();
        let mut calendars = spec["calendars"].as_array().unwrap().clone();
        for calendar in &mut calendars {
            calendar.as_object_mut().unwrap().remove("comment");
        }
        (
            calendars,
            spec["intervals"].clone(),
            spec["timeZone"].clone(),
        )
    };
    let (read, intervals, zone) = comparable(&id);
    let (sent, all_intervals, sent_zone) = comparable(&project.id("every"));
    assert_eq!((&read[..], &zone), (&sent[..4], &sent_zone));
    assert!(all_intervals.as_array().unwrap().contains(&intervals[0]));
    schedule(&["delete", &id]);
}

#[test]
fn what_is_changed_on_the_server_is_shown_and_mended_and_a_pause_stays() {
    let project = Project::new();
    project.write(
        "nightly: { cron: '0 3 * * *', input: { day: one } }, weekly: { cron: '@weekly', input: { day: seven } }",
    );
    project.deployed();
    let nightly = project.id("nightly");
    schedule(&["pause", &nightly, "--note", "until Monday"]);
    // A pause alone is no drift.
    assert_eq!(project.planned(), json!([]));
    let other = ["--type", &project.workflow, "--input", r#"{"day":"never"}"#];
    schedule(
        &[
            &["update", &nightly, "--overlap-policy", "allow-all"],
            &other[..],
        ]
        .concat(),
    );
    schedule(&["delete", &project.id("weekly")]);
    let planned = project.planned();
    assert_eq!(
        words(&json!({ "schedules": planned })),
        ["update nightly", "create weekly"]
    );
    assert_eq!(
        planned[0]["differences"],
        json!([
            { "key": "overlap_policy", "from": "allow_all", "to": "skip" },
            { "key": "input", "from": r#"{"day":"never"}"#, "to": r#"{"day":"one"}"# },
        ])
    );
    assert_eq!(
        (&planned[0]["drift"], &planned[0]["paused"]),
        (&json!(true), &json!(true))
    );
    let dry = project.deploy(&["--dry-run", "--fail-on-changes"]);
    assert_eq!(dry.code, 1, "{dry:#?}");
    // No definition changes, so the revision stays.
    let mended = project.deploy(&["--yes"]).ok().json();
    assert_eq!(
        (&mended["deployed"], &mended["revision"]),
        (&json!(true), &json!(2))
    );
    let described = describe(&nightly);
    assert_eq!(described["action"]["input"], json!({ "day": "one" }));
    assert_eq!(
        (&described["paused"], &described["notes"]),
        (&json!(true), &json!("until Monday"))
    );
    assert!(is_there(&project.id("weekly")));
    assert_eq!(project.planned(), json!([]));
}

#[test]
fn schedules_follow_the_version_in_force() {
    let project = Project::new();
    project.write("nightly: { cron: '0 3 * * *', input: { day: one } }");
    project.deployed();
    let created = describe(&project.id("nightly"))["createTime"].clone();
    project.write(
        "nightly: { cron: '0 4 * * *', input: { day: one } }, weekly: { cron: '@weekly', input: { day: seven } }",
    );
    assert_eq!(project.deployed(), ["update nightly", "create weekly"]);
    let hour = || describe(&project.id("nightly"))["spec"]["calendars"][0]["hour"].clone();
    assert_eq!(hour(), "4");
    let definitions = |arguments: &[&str]| {
        let all = [&["definitions"], arguments, &["--output", "json"]].concat();
        words(&project.segno(&all).ok().json())
    };
    let name = &project.workflow;
    assert_eq!(
        definitions(&["rollback", name]),
        ["update nightly", "remove weekly"]
    );
    assert_eq!(hour(), "3");
    assert_eq!(
        definitions(&["pin", &format!("{name}@2")]),
        ["update nightly", "create weekly"]
    );
    // What is pinned keeps its schedules, whatever is deployed.
    project.write("");
    assert_eq!(project.deployed(), [""; 0]);
    assert_eq!(hour(), "4");
    assert_eq!(definitions(&["unpin", name]), [""; 0]);
    assert_eq!(project.deployed(), ["remove nightly", "remove weekly"]);
    assert_eq!(
        definitions(&["rollback", &format!("{name}@1")]),
        ["create nightly"]
    );
    assert_ne!(describe(&project.id("nightly"))["createTime"], created);
    // A type that is gone takes its schedules along.
    fs::remove_file(project.folder.path().join("scheduled.yaml")).unwrap();
    let other = "segno: 1\nworkflow: other\nsteps: [{ return: 1 }]\n";
    fs::write(project.folder.path().join("other.yaml"), other).unwrap();
    assert_eq!(project.deployed(), ["remove nightly"]);
    assert!(!is_there(&project.id("nightly")));
}

#[test]
fn what_is_wrong_with_schedules_changes_nothing() {
    let project = Project::new();
    let refused = |why: &str| {
        let run = project.deploy(&["--yes"]);
        assert_eq!(run.code, 1, "{run:#?}");
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains(why), "{said}");
        let list = project.segno(&["definitions", "list", "--output", "json"]);
        assert_eq!(list.ok().json()["revision"], 0);
    };
    project.write("nightly: { cron: '0 24 * * *', input: { day: one } }");
    refused("`24` is not valid for `hour`");
    project.write("nightly: { cron: '0 3 * * *' }");
    refused("breaks the schema");
    project.write_with(
        "nightly: { cron: '0 3 * * *', input: { day: one } }",
        "start: { memo: { id: '${ uuid() }' } }",
    );
    refused("scheduled.yaml:5:13: the schedule cannot start");
    project.write_with(
        "nightly: { cron: '0 3 * * *', input: { day: one } }",
        "start: { memo: { id: '${ input.night }' } }",
    );
    refused("scheduled.yaml:5:13: the schedule cannot start");
    // Somebody else's is not touched.
    let id = project.id("nightly");
    schedule(&["create", &id, "--type", "other", "--interval", "1h"]);
    project.write("nightly: { cron: '0 3 * * *', input: { day: one } }");
    refused("scheduled.yaml:5:13: a schedule with the id");
    assert_eq!(describe(&id)["action"]["type"], "other");
    schedule(&["delete", &id]);
    assert_eq!(project.deployed(), ["create nightly"]);
    // Neither is another registry's.
    let twin = Project {
        registry: Cluster::get().unique("registry"),
        workflow: project.workflow.clone(),
        folder: tempfile::tempdir().unwrap(),
    };
    twin.write("nightly: { cron: '0 5 * * *', input: { day: one } }");
    let run = twin.deploy(&["--yes"]);
    assert!(
        run.code == 1 && run.stderr.contains("this registry did not create it"),
        "{run:#?}"
    );
    schedule(&["delete", &id]);
}

#[test]
fn what_is_sealed_is_compared_as_it_is_meant() {
    let project = Project::new();
    let keys = Sealed::get().keys(&["new"]);
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    project.write_with(
        "nightly: { cron: '0 3 * * *', input: { day: hush }, memo: { for: hush } }",
        "start: { memo: { day: '${ input.day }' } }",
    );
    let deploy = |more: &str| project.deploy(&[&keys[..], &[more]].concat()).ok().json();
    assert_eq!(words(&deploy("--yes")), ["create nightly"]);
    assert_eq!(deploy("--dry-run")["schedules"], json!([]));
    let id = project.id("nightly");
    let described = Cluster::get().segno(&["schedule", "describe", &id, "--output", "json"]);
    assert!(
        described.code == 1
            && described
                .stderr
                .contains("cannot be read: it is encoded as"),
        "{described:#?}"
    );
    assert!(!holds(&described.json(), SECRET), "{described:#?}");
    let keyless = project.deploy(&["--dry-run"]);
    assert!(
        keyless.code == 1 && keyless.stderr.contains("pass the codecs and keys"),
        "{keyless:#?}"
    );
}

/// Deployers are killed at any moment and race each other; whoever comes last finds all that is left to do.
#[test]
fn a_deployment_that_was_broken_off_is_finished_by_the_next() {
    let project = Project::new();
    let schedules = |turn: usize| -> String {
        let each = (0..6).map(|n| {
            let hour = (turn + n) % 24;
            format!(
                "s{}: {{ cron: '0 {hour} * * *', input: {{ day: one }} }}",
                (turn + n) % 9
            )
        });
        each.collect::<Vec<_>>().join(", ")
    };
    for turn in 0..10 {
        project.write(&schedules(turn));
        let folder = project.folder.path().to_str().unwrap();
        let deployers = [0, 1].map(|_| {
            Command::new(segno())
                .args(["deploy", folder, "--yes", "--registry", &project.registry])
                .env("TEMPORAL_ADDRESS", &Cluster::get().address)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        });
        std::thread::sleep(Duration::from_millis(40 * turn as u64));
        for mut deployer in deployers {
            let _ = deployer.kill();
            deployer.wait().unwrap();
        }
    }
    project.write(&schedules(4));
    project.deploy(&["--yes"]).ok();
    assert_eq!(project.planned(), json!([]));
    for n in 0..9 {
        let is_wanted = (4..10).any(|wanted| wanted % 9 == n);
        assert_eq!(is_there(&project.id(&format!("s{n}"))), is_wanted, "s{n}");
    }
}

/// Schedules are those of the current version, which a share of new runs leaves as it is.
#[test]
fn a_plan_for_a_share_of_new_runs_names_no_change_of_schedules() {
    let project = Project::new();
    project.write("nightly: { cron: '0 3 * * *', input: { day: today } }");
    assert_eq!(project.deployed(), ["create nightly"]);
    project.write_with(
        "nightly: { cron: '0 4 * * *', input: { day: today } }",
        "description: another",
    );
    let share = project
        .deploy(&["--dry-run", "--percent", "10"])
        .ok()
        .json();
    assert_eq!(share["schedules"], json!([]), "{share:#}");
    let step = &share["changes"][0];
    assert_eq!(step["schedulesStay"], 1, "{step:#}");
    assert!(!step["differences"].to_string().contains("nightly"));
    assert!(step["differences"].to_string().contains("description"));
    let whole = project.deploy(&["--dry-run"]).ok().json();
    let step = &whole["changes"][0];
    assert_eq!(step["schedulesStay"], Value::Null, "{step:#}");
    assert!(step["differences"].to_string().contains("nightly"));
    assert_eq!(words(&whole), ["update nightly"]);
    let folder = project.folder.path().to_str().unwrap();
    let text = project.segno(&["deploy", folder, "--dry-run", "--percent", "10"]);
    let said = "    schedules stay those of version 1\n";
    let text = text.ok().stdout;
    assert!(text.contains(said), "{text}");
}

/// What a schedule starts later is asked for when it is made.
#[test]
fn a_schedule_of_what_the_registry_refuses_is_not_made() {
    let project = Project::new();
    project.write("");
    assert_eq!(project.deployed(), [""; 0]);
    let queue = Cluster::get().unique("nobody");
    let name = project.workflow.as_str();
    let id = Cluster::get().unique("checked");
    let create = |workflow: &str, input: &str, more: &[&str]| {
        let given = [
            "schedule", "create", &id, "--type", workflow, "-t", &queue, "--input", input,
        ];
        project.segno(&[&given, more].concat())
    };
    let refused = |run: Run, why: &str| {
        assert!(run.code != 0 && run.stderr.contains(why), "{run:#?}");
        assert!(!is_there(&id));
    };
    refused(create(name, "{}", &[]), "breaks its schema");
    refused(create("nobodys", "{}", &[]), "nobodys");
    create(name, r#"{"day": "today"}"#, &[]).ok();
    let update = |more: &[&str]| project.segno(&[&["schedule", "update", &id], more].concat());
    let refused = update(&["--input", "{}"]);
    assert!(refused.stderr.contains("breaks its schema"), "{refused:#?}");
    let refused = update(&["--type", "nobodys"]);
    assert!(refused.code != 0, "{refused:#?}");
    update(&["--input", r#"{"day": "tomorrow"}"#]).ok();
    project.segno(&["definitions", "delete", name]).ok();
    let refused = update(&["--input", r#"{"day": "today"}"#]);
    assert!(refused.stderr.contains("is retired"), "{refused:#?}");
    update(&["--input", "{}", "--unchecked"]).ok();
    schedule(&["delete", &id]);
}
