//! A deployment and its schedules are all there or not at all: what a killed deployer has left, workers finish; what the server refuses
//! is taken back.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::deployed_schedules::{Project, is_there};
use super::support::cluster::Cluster;
use super::support::gateway::{Door, Gateway, SERVER_NAME};
use super::support::worker::Worker;
use super::support::{segno, until};

fn revision(project: &Project) -> u64 {
    let list = project.segno(&["definitions", "list", "--output", "json"]);
    list.ok().json()["revision"].as_u64().unwrap()
}

/// Deploys until the schedule is to be made, which never gets an answer, and is killed then.
fn deploy_and_die(project: &Project) {
    let gateway = Gateway::start(&Cluster::get().address, Door::Unanswered("/CreateSchedule"));
    let before = revision(project);
    let mut deployer = Command::new(segno())
        .args(["deploy", project.folder.path().to_str().unwrap(), "--yes"])
        .args(["--registry", &project.registry])
        .env("TEMPORAL_ADDRESS", &gateway.address)
        .env("TEMPORAL_TLS_SERVER_CA_CERT_PATH", gateway.file("ca.pem"))
        .env("TEMPORAL_TLS_SERVER_NAME", SERVER_NAME)
        .env("SEGNO_TASK_QUEUE", "of-the-deployer")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("the definition in force", || {
        (revision(project) > before).then_some(())
    });
    deployer.kill().unwrap();
    deployer.wait().unwrap();
}

fn queue_of(project: &Project, name: &str) -> Value {
    let id = project.id(name);
    let described = Cluster::get().segno(&["schedule", "describe", &id, "--output", "json"]);
    described.ok().json()["action"]["taskQueue"].clone()
}

#[test]
fn workers_make_the_schedules_that_a_killed_deployer_has_left() {
    let project = Project::new();
    project.write("first: { cron: '0 3 * * *', input: { day: one } }");
    deploy_and_die(&project);
    assert!(!is_there(&project.id("first")));
    // One that starts later finds it in the registry alone; the task queue is the deployer's.
    let worker = Worker::of_deployed(&["--registry", &project.registry]);
    until("the first schedule", || {
        is_there(&project.id("first")).then_some(())
    });
    assert_eq!(queue_of(&project, "first"), "of-the-deployer");
    // One that runs already hears of it.
    project.write("second: { cron: '0 4 * * *', input: { day: one } }");
    deploy_and_die(&project);
    until("the second schedule in the first one's place", || {
        (is_there(&project.id("second")) && !is_there(&project.id("first"))).then_some(())
    });
    // Two deployments, and twice the word that the schedules are there: nobody looks at them again.
    until("the word of it", || (revision(&project) == 4).then_some(()));
    let logs = worker.logs();
    assert!(
        logs.contains("created the schedules that a deployment left"),
        "{logs}"
    );
}

#[test]
fn a_deployment_whose_schedule_the_server_refuses_is_taken_back() {
    let project = Project::new();
    project.write(
        "kept: { cron: '0 3 * * *', input: { day: one } }, gone: { cron: '0 5 * * *', input: { day: one } }",
    );
    assert_eq!(project.deployed(), ["create gone", "create kept"]);
    let list = || {
        let list = project.segno(&["definitions", "list", "--output", "json"]);
        list.ok().json()["definitions"].clone()
    };
    let before = list();
    project.write(
        "kept: { cron: '0 4 * * *', input: { day: one } }, wrong: { cron: '0 6 * * *', input: { day: one }, search_attributes: { NobodyKnowsIt: 1 } }",
    );
    let run = project.deploy(&["--yes"]);
    assert_eq!(run.code, 1, "{run:#?}");
    for said in ["scheduled.yaml:5:", "NobodyKnowsIt", "nothing was deployed"] {
        assert!(run.stderr.contains(said), "{said}: {run:#?}");
    }
    let after = list();
    for key in ["workflow", "current", "ramp", "pinned"] {
        assert_eq!(after[0][key], before[0][key], "{after:#}");
    }
    project.write(
        "kept: { cron: '0 3 * * *', input: { day: one } }, gone: { cron: '0 5 * * *', input: { day: one } }",
    );
    assert_eq!(project.planned(), json!([]));
    assert!(!is_there(&project.id("wrong")));
    assert_eq!(
        project.deploy(&["--dry-run"]).ok().json()["changes"],
        json!([])
    );
    // A type that was new has no new runs.
    let other = Project::new();
    other.write(
        "wrong: { cron: '0 6 * * *', input: { day: one }, search_attributes: { NobodyKnowsIt: 1 } }",
    );
    assert_eq!(other.deploy(&["--yes"]).code, 1);
    let list = other.segno(&["definitions", "list", "--output", "json"]);
    let list = list.ok().json();
    assert_eq!(list["definitions"][0]["retired"], true, "{list:#}");
}
