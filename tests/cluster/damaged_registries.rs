//! Registries on the cluster that somebody ended, deleted, reset or wrote nonsense to: what deployments, lists, workers, `verify` and
//! `repair` make of each.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use segno::catalog::{Catalog, Change};
use segno::client::{StartOptions, WorkflowRef};
use segno::value::{Payload, Value as Data};

use super::registry_project::{COPY, Project, damages, numbers, wait};
use super::support::cluster::Cluster;
use super::support::run::Run;
use super::support::until;
use super::support::worker::Worker;

/// What happens to the registry's log, and what `verify` says of it.
struct Case {
    name: &'static str,
    damage: fn(&Project),
    verify: &'static [&'static str],
    /// Whether whoever reads next says that something has happened.
    is_told: bool,
}

const CASES: &[Case] = &[
    Case {
        name: "terminated",
        damage: |p| p.end("segno-registry"),
        verify: &["the workflow segno-registry: it was ended (TERMINATED)"],
        is_told: true,
    },
    Case {
        name: "deleted",
        damage: |p| p.delete("segno-registry"),
        verify: &["the workflow segno-registry: it was deleted"],
        is_told: true,
    },
    Case {
        name: "everything terminated by a batch",
        damage: Project::end_everything,
        verify: &[
            "the registry's copy: it was ended",
            "the workflow segno-registry: it was ended (TERMINATED)",
            "was terminated",
        ],
        is_told: true,
    },
    Case {
        name: "terminated, and the copy deleted",
        damage: |p| {
            p.end("segno-registry");
            p.delete(COPY);
        },
        verify: &[
            "the registry's copy: it does not exist",
            "the workflow segno-registry: it was ended (TERMINATED)",
        ],
        is_told: true,
    },
    Case {
        name: "continued once, and the catalog that it begins with deleted",
        damage: |p| {
            let before = p.ids();
            p.end("segno-registry");
            p.catalog();
            until("the catalog's piece", || {
                let new: Vec<_> = p
                    .ids()
                    .into_iter()
                    .filter(|id| !before.contains(id))
                    .collect();
                new.iter().for_each(|id| p.delete(id));
                (!new.is_empty()).then_some(())
            });
        },
        verify: &["the workflow segno-registry: the workflow segno-registry-data/"],
        is_told: true,
    },
    Case {
        name: "the copy terminated",
        damage: |p| p.end(COPY),
        verify: &["the registry's copy: it was ended"],
        is_told: false,
    },
    Case {
        name: "cancelled, which nobody hears",
        damage: |p| {
            drop(
                p.temporal(&["workflow", "cancel", "--workflow-id", "segno-registry"])
                    .ok(),
            )
        },
        verify: &[],
        is_told: false,
    },
    Case {
        name: "a signal that is none",
        damage: |p| {
            let signal = [
                "workflow",
                "signal",
                "--workflow-id",
                "segno-registry",
                "--name",
                "change",
            ];
            p.temporal(&[&signal[..], &["--input", "\"nonsense\""]].concat())
                .ok();
        },
        verify: &["the workflow segno-registry: 1 of its signals cannot be read"],
        is_told: true,
    },
    Case {
        name: "reset, with its signals left out",
        damage: reset,
        verify: &[
            "the registry's copy: it is at revision 3, but the registry is at 0; the registry has lost changes",
        ],
        is_told: true,
    },
];

/// Somebody took the registry's workflow task and let it time out, which is what a reset needs.
fn reset(project: &Project) {
    drop(
        wait(project.client.held_task("segno-registry"))
            .unwrap()
            .unwrap(),
    );
    let show = [
        "workflow",
        "show",
        "--workflow-id",
        "segno-registry",
        "--output",
        "json",
    ];
    until("the task's timeout", || {
        let history = project.temporal(&show).ok().stdout;
        history
            .contains("EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT")
            .then_some(())
    });
    let reset = [
        "workflow",
        "reset",
        "--workflow-id",
        "segno-registry",
        "--type",
        "FirstWorkflowTask",
    ];
    let without = ["--reapply-exclude", "All", "--reason", "test"];
    project.temporal(&[&reset[..], &without].concat()).ok();
}

/// After each damage, whoever comes first: a deployment, a list, a worker, or `repair`. Numbers go on, nothing is lost, and it is told.
#[test]
fn a_damaged_log_goes_on_where_it_was() {
    std::thread::scope(|scope| {
        for first in ["deploy", "list", "worker", "repair"] {
            scope.spawn(move || CASES.iter().for_each(|case| go_on(case, first)));
        }
    });
}

fn go_on(case: &Case, first: &str) {
    let what = format!("{}, then {first}", case.name);
    let project = Project::deployed();
    let before = project.catalog();
    (case.damage)(&project);
    if first == "repair" {
        let found = damages(&project.verify());
        for said in case.verify {
            let is_said = found.iter().any(|d| d.contains(said));
            assert!(is_said, "{what}: {said} in {found:#?}");
        }
        assert_eq!(
            found.is_empty(),
            case.verify.is_empty(),
            "{what}: {found:#?}"
        );
    }
    let told = told(&project, &before, first);
    let said = ["registry's workflow segno-registry", "cannot be read here"];
    let is_told = said.iter().any(|said| told.contains(said));
    assert!(
        is_told || !case.is_told || first == "repair",
        "{what}: {told}"
    );

    project.write("greet", "three");
    project.deploy().ok();
    let after = project.catalog();
    assert_eq!(numbers(&after, "greet"), [1, 2, 3], "{what}");
    let tags = |catalog: &Catalog| catalog.definition("greet").unwrap().tags.clone();
    assert_eq!(tags(&after), tags(&before), "{what}");
    let log = &after.state.log;
    assert_eq!(log[..before.state.log.len()], before.state.log, "{what}");
    project.segno(&["definitions", "repair"]).ok();
    let left = damages(&project.verify()).into_iter();
    let left: Vec<_> = left
        .filter(|d| !d.contains("signals cannot be read"))
        .collect();
    assert!(left.is_empty(), "{what}: {left:#?}");
    let worker = project.worker();
    project.says(&worker, "greet", "three");
    project.says(&worker, "part", "one");
}

/// What whoever comes first says.
fn told(project: &Project, before: &Catalog, first: &str) -> String {
    match first {
        "deploy" => {
            project.write("greet", "three");
            project.deploy().ok().stderr
        }
        "list" => {
            let list = ["definitions", "list", "--output", "json"];
            let list = project.segno(&list).ok();
            assert_eq!(list.json()["revision"], json!(before.revision()));
            list.stderr
        }
        "worker" => {
            let worker = project.worker();
            project.says(&worker, "greet", "two");
            worker.logs()
        }
        _ => project.segno(&["definitions", "repair"]).ok().stdout,
    }
}

/// A piece that is gone is noticed by everybody, and the next deployment of the same text stores it again.
#[test]
fn a_deployment_of_the_same_text_stores_again_what_is_gone() {
    let project = Project::deployed();
    for piece in project.pieces() {
        project.delete(&piece);
    }
    let list = project
        .segno(&["definitions", "list", "--output", "json"])
        .ok();
    let unreadable = list.json()["unreadable"].clone();
    assert_eq!(unreadable[0]["version"], "greet@2");
    assert_eq!(unreadable[1]["version"], "part@1");
    assert!(
        list.stderr
            .contains("greet@2 cannot be read: the workflow segno-registry-data/"),
        "{list:#?}"
    );
    let verify = project.verify();
    assert_eq!((verify.code, damages(&verify).len()), (1, 3), "{verify:#?}");

    let worker = project.worker();
    let waiting = worker_start(&project, &worker, "greet");
    until("the worker's word", || {
        let said = "the deployed definition of `greet` cannot be read: greet@2: the workflow segno-registry-data/";
        worker.logs().contains(said).then_some(())
    });
    assert!(
        worker
            .logs()
            .contains("Deploying it again lets this run continue")
    );
    // Nothing to add or to change, and yet something to do.
    let folder = project.folder.path().to_str().unwrap();
    let dry = project.segno(&[
        "deploy",
        folder,
        "--dry-run",
        "--fail-on-changes",
        "--output",
        "json",
    ]);
    assert_eq!(dry.code, 1, "{dry:#?}");
    assert_eq!(dry.json()["storedAgain"][0]["version"], "greet@2");
    let deployed = project.deploy().ok().json();
    assert_eq!(
        (&deployed["revision"], &deployed["unchanged"]),
        (&json!(4), &json!(2))
    );
    let result = project
        .segno(&["result", &waiting, "--output", "json"])
        .ok();
    assert_eq!(result.json()["result"], "two");
    // The first version's text is in no folder any more.
    assert_eq!(damages(&project.verify()).len(), 1);
    let again = project.deploy().ok().json();
    assert_eq!(again["deployed"], false);
    project.write("greet", "one");
    project.deploy().ok();
    assert_eq!(damages(&project.verify()), [""; 0]);
    project.says(&worker, "greet", "one");
    assert_eq!(numbers(&project.catalog(), "greet"), [1, 2]);
    let history = project.segno(&["definitions", "history"]).ok().stdout;
    assert!(
        history.contains("stored again greet@2, part@1"),
        "{history}"
    );
}

/// Starts a workflow and does not wait for it.
fn worker_start(project: &Project, worker: &Worker, workflow: &str) -> String {
    let queue = worker.task_queue.as_str();
    let start = [
        "start",
        workflow,
        "--task-queue",
        queue,
        "--output",
        "json",
        "--task-timeout",
        "2s",
    ];
    let started = project.segno(&start).ok().json();
    started["workflowId"].as_str().unwrap().to_owned()
}

/// Somebody else's content in a piece's place is seen, and replaced.
#[test]
fn a_piece_that_somebody_took_the_place_of_is_replaced() {
    let project = Project::deployed();
    let piece = project.pieces().remove(0);
    project.delete(&piece);
    let bytes = Payload::from_value(&Data::Bytes(b"something else".to_vec().into())).unwrap();
    let stranger = StartOptions {
        workflow_type: "segno-registry-data".to_owned(),
        workflow_id: Some(piece),
        task_queue: "segno-registry-data".to_owned(),
        input: vec![bytes],
        ..StartOptions::default()
    };
    wait(project.client.start(stranger)).unwrap();
    let found = damages(&project.verify());
    assert!(
        found[0].contains("does not have the content that its hash names"),
        "{found:#?}"
    );
    for says in ["one", "two"] {
        project.write("greet", says);
        project.deploy().ok();
    }
    assert_eq!(damages(&project.verify()), [""; 0]);
}

/// Whoever reads at the same time continues the registry once.
#[test]
fn many_who_repair_at_once_continue_the_registry_once() {
    let project = Project::deployed();
    let before = project.catalog();
    project.end("segno-registry");
    std::thread::scope(|scope| {
        for at in 0..4 {
            let project = &project;
            scope.spawn(move || match at {
                0 => drop(project.segno(&["definitions", "repair"]).ok()),
                _ => drop(
                    project
                        .segno(&["definitions", "tag", "greet@1", &format!("tag-{at}")])
                        .ok(),
                ),
            });
        }
    });
    let after = project.catalog();
    assert_eq!(after.revision(), before.revision() + 3);
    assert_eq!(after.definition("greet").unwrap().tags.len(), 4);
    let query = "WorkflowType = 'segno-registry'";
    until("both runs", || {
        (wait(project.client.count(query)).unwrap() == 2).then_some(())
    });
    assert_eq!(damages(&project.verify()), [""; 0]);
}

/// Killed at any moment, a repair leaves it all to the next.
#[test]
fn a_repair_that_is_killed_is_done_by_the_next() {
    let project = Project::deployed();
    let begun = std::time::Instant::now();
    project.segno(&["definitions", "repair"]).ok();
    let whole = begun.elapsed() * 3 / 2;
    for round in 0..10 {
        project.end_everything();
        let mut repair = Command::new(super::support::segno())
            .args(["definitions", "repair", "--namespace", &project.namespace])
            .env("TEMPORAL_ADDRESS", &Cluster::get().address)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(whole * round / 10);
        repair.kill().unwrap();
        repair.wait().unwrap();
        project.segno(&["definitions", "repair"]).ok();
        assert_eq!(damages(&project.verify()), [""; 0], "round {round}");
        assert_eq!(project.catalog().revision(), 3);
    }
}

#[test]
fn segnos_own_commands_leave_the_registry_alone() {
    let project = Project::deployed();
    let piece = project.pieces().remove(0);
    for id in ["segno-registry", &piece, COPY] {
        for command in [
            &["terminate", id][..],
            &["cancel", id],
            &["signal", id, "change"],
            &["update", id, "x"],
        ] {
            let run = project.segno(command);
            assert!(
                run.code == 2 && run.stderr.contains("contains Segno's deployed definitions"),
                "{run:#?}"
            );
        }
        let start = ["start", "greet", "--workflow-id", id];
        assert_eq!(
            project
                .segno(&[&start[..], &["--id-conflict-policy", "terminate-existing"]].concat())
                .code,
            2
        );
    }
    // By its type, where it has another id.
    let folder = project.folder.path().to_str().unwrap();
    project
        .segno(&["deploy", folder, "--yes", "--registry", "others"])
        .ok();
    for command in ["terminate", "cancel"] {
        assert_eq!(project.segno(&[command, "others"]).code, 2);
    }
    let ids = |arguments: &[&str]| {
        let list = project
            .segno(&[&["list", "--output", "json"], arguments].concat())
            .ok();
        list.json().as_array().unwrap().len()
    };
    until("the list", || (ids(&["--all"]) >= 6).then_some(()));
    assert_eq!(
        (
            ids(&[]),
            ids(&[
                "-q",
                "ExecutionStatus = 'Running' OR ExecutionStatus = 'Failed'"
            ])
        ),
        (0, 0)
    );
    assert_eq!(ids(&["-q", "WorkflowType = 'segno-registry'"]), 2);
    let queue = ["worker", "--task-queue", "others", "--registry", "others"];
    for refused in [&queue[..], &["worker", "--task-queue", "segno-registry"]] {
        let run = project.segno(refused);
        assert!(
            run.code == 2 && run.stderr.contains("is the registry's own"),
            "{run:#?}"
        );
    }
}

/// A worker that serves the registry's task queue all the same answers its tasks, and the log goes on.
#[test]
fn a_worker_on_the_registrys_task_queue_fails_no_task() {
    let cluster = Cluster::get();
    let folder = tempfile::tempdir().unwrap();
    deploy_to(folder.path(), "queue-registry", "1").ok();
    let worker = Worker::on_queue("queue-registry", folder.path());
    until("the worker's word", || {
        worker
            .logs()
            .contains("a workflow of the registry is on this task queue")
            .then_some(())
    });
    for says in ["2", "3"] {
        deploy_to(folder.path(), "queue-registry", says).ok();
    }
    let query = cluster.segno(&["query", "queue-registry", "__stack_trace"]);
    assert!(
        query.code != 0 && query.stderr.contains("no worker runs it"),
        "{query:#?}"
    );
    let history = cluster
        .segno(&["history", "queue-registry", "--output", "json"])
        .ok()
        .stdout;
    assert!(!history.contains("WORKFLOW_TASK_FAILED"), "{history}");
    assert!(history.contains("WORKFLOW_TASK_COMPLETED"), "{history}");
    let list = [
        "definitions",
        "list",
        "--registry",
        "queue-registry",
        "--output",
        "json",
    ];
    assert_eq!(cluster.segno(&list).ok().json()["revision"], json!(3));
}

fn deploy_to(folder: &Path, registry: &str, says: &str) -> Run {
    let text = format!("segno: 1\nworkflow: queued\nsteps:\n  - return: {says}\n");
    fs::write(folder.join("queued.yaml"), text).unwrap();
    let deploy = [
        "deploy",
        folder.to_str().unwrap(),
        "--yes",
        "--registry",
        registry,
    ];
    Cluster::get().segno(&deploy)
}

/// What cannot be decoded is passed over; a change that names more than it may is none.
#[test]
fn nonsense_in_the_log_is_passed_over_and_told() {
    let project = Project::deployed();
    let change = |change: Change| {
        let bytes = prost::Message::encode_to_vec(&change);
        Payload::from_value(&Data::Bytes(bytes.into())).unwrap()
    };
    let base = project.catalog().revision();
    let huge = segno::catalog::Data {
        pieces: vec![vec![7; 32]; 50_000],
    };
    let put = segno::catalog::Put {
        workflow: "bomb".to_owned(),
        digest: vec![1; 32],
        segment: Some(huge),
        ..Default::default()
    };
    let bomb = Change {
        id: "bomb".to_owned(),
        base,
        puts: vec![put],
        ..Change::default()
    };
    let encrypted = Payload {
        metadata: [("encoding".to_owned(), b"binary/encrypted".to_vec())].into(),
        data: vec![1, 2, 3],
    };
    let registry = WorkflowRef::new("segno-registry", None);
    for payload in [encrypted, change(bomb)] {
        wait(project.client.signal(&registry, "change", vec![payload])).unwrap();
    }
    assert_eq!(project.catalog().revision(), base);
    let worker = project.worker();
    project.says(&worker, "greet", "two");
    assert!(
        worker
            .logs()
            .contains("1 of the log's signals cannot be read here"),
        "{}",
        worker.logs()
    );
    project.write("greet", "three");
    let deployed = project.deploy().ok();
    assert!(
        deployed
            .stderr
            .contains("1 of the log's signals cannot be read here"),
        "{deployed:#?}"
    );
    project.says(&worker, "greet", "three");
}
