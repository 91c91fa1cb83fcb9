//! Definitions that live on the cluster: deployed, followed by workers, versioned, and what others do meanwhile.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use segno::catalog::{Applied, Change, Put};
use segno::client::{Client, ConnectionSettings, announcing};
use segno::limits::{REGISTRY_CHANGES_PER_RUN_MAX, REGISTRY_RECORDS_MAX};
use segno::registry::{ClusterStore, Store};

use super::support::cluster::Cluster;
use super::support::run::Run;
use super::support::until;
use super::support::worker::{Worker, count};

/// A folder of definitions and a registry of its own.
struct Project {
    registry: String,
    folder: tempfile::TempDir,
}

impl Project {
    fn new() -> Project {
        Project {
            registry: Cluster::get().unique("registry"),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A definition that says which text it has.
    fn write(&self, workflow: &str, says: &str) {
        let text = format!("segno: 1\nworkflow: {workflow}\nsteps:\n  - return: {says}\n");
        let path = self.folder.path().join(format!("{workflow}.yaml"));
        fs::write(path, text).unwrap();
    }

    /// One that waits before it says its text.
    fn write_waiting(&self, workflow: &str, says: &str) {
        let text = format!(
            "segno: 1\nworkflow: {workflow}\nsteps:\n  - wait: {{ signal: go }}\n  - return: {says}\n"
        );
        let path = self.folder.path().join(format!("{workflow}.yaml"));
        fs::write(path, text).unwrap();
    }

    fn segno(&self, arguments: &[&str]) -> Run {
        Cluster::get().segno(&[arguments, &["--registry", &self.registry]].concat())
    }

    fn deploy(&self, arguments: &[&str]) -> Run {
        let folder = self.folder.path().to_str().unwrap();
        self.segno(&[&["deploy", folder, "--output", "json"], arguments].concat())
    }

    fn deployed(&self) -> Value {
        let run = self.deploy(&["--yes"]).ok();
        run.json()["revision"].clone()
    }

    fn worker(&self) -> Worker {
        Worker::of_deployed(&["--registry", &self.registry])
    }

    fn store(&self) -> Arc<dyn Store> {
        store(&self.registry)
    }
}

fn store(registry: &str) -> Arc<dyn Store> {
    let settings = ConnectionSettings {
        address: Some(Cluster::get().address.clone()),
        disable_config_env: true,
        disable_config_file: true,
        ..ConnectionSettings::default()
    };
    let client = wait(Client::connect(&settings.resolve().unwrap())).unwrap();
    Arc::new(ClusterStore::new(client, registry.to_owned()))
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: std::sync::OnceLock<tokio::runtime::Runtime> = std::sync::OnceLock::new();
    RUNTIME
        .get_or_init(|| tokio::runtime::Runtime::new().unwrap())
        .block_on(future)
}

/// What a new run says, once the worker has heard of the change.
fn says(worker: &Worker, workflow: &str, text: &str) {
    until(text, || {
        (worker.launch(workflow, &Value::Null).result() == text).then_some(())
    });
}

#[test]
fn a_deployment_is_in_force_for_new_runs_and_runs_in_flight_keep_theirs() {
    let project = Project::new();
    project.write_waiting("greet", "one");
    let dry = project.deploy(&["--dry-run", "--fail-on-changes"]);
    assert_eq!(dry.code, 1, "{dry:#?}");
    assert_eq!(dry.json()["changes"][0]["action"], "add");
    // Nobody works yet, and nothing was done by looking.
    assert_eq!(project.deployed(), 1);

    let worker = project.worker();
    let first = worker.launch("greet", &Value::Null);
    until("the first run's beginning", || {
        (count(&first.history(None), "EVENT_TYPE_MARKER_RECORDED") > 0).then_some(())
    });
    project.write("greet", "two");
    let plan = project.deploy(&["--dry-run"]).ok().json();
    let change = &plan["changes"][0];
    assert_eq!(
        (&change["action"], &change["from"]),
        (&json!("change"), &json!(1))
    );
    let differences = change["differences"]["differences"].as_array().unwrap();
    let words = differences
        .iter()
        .map(|d| format!("{} {}", d["kind"], d["subject"]));
    assert_eq!(
        words.collect::<Vec<_>>(),
        [r#""removed" "step""#, r#""changed" "option""#]
    );
    assert_eq!(project.deployed(), 2);
    let diff = project
        .segno(&["definitions", "diff", "greet@1", "greet"])
        .ok();
    assert!(diff.stdout.contains("wait"), "{diff:#?}");
    says(&worker, "greet", "two");
    // Another worker begins with nothing but the registry.
    says(&project.worker(), "greet", "two");
    first.signal("go", &Value::Null);
    assert_eq!(first.result(), "one");
    first.assert_replays();

    let again = project.deploy(&["--yes"]).ok().json();
    assert_eq!(
        (&again["deployed"], &again["revision"]),
        (&json!(false), &json!(2))
    );
    assert_eq!(again["unchanged"], 1);
}

#[test]
fn versions_are_rolled_back_ramped_pinned_tagged_named_and_deleted() {
    let project = Project::new();
    for text in ["one", "two"] {
        project.write("greet", text);
        project.deployed();
    }
    let worker = project.worker();
    says(&worker, "greet", "two");
    project
        .segno(&["definitions", "rollback", "greet", "-m", "two was wrong"])
        .ok();
    says(&worker, "greet", "one");
    project
        .segno(&["definitions", "ramp", "greet@2", "--percent", "100"])
        .ok();
    says(&worker, "greet", "two");
    project.segno(&["definitions", "pin", "greet@1"]).ok();
    project.write("greet", "three");
    assert_eq!(
        project.deploy(&["--yes"]).ok().json()["changes"][0]["pinned"],
        true
    );
    project
        .segno(&["definitions", "tag", "greet@3", "next"])
        .ok();
    says(&worker, "greet", "one");

    let queue = worker.task_queue.as_str();
    let start = [
        "start",
        "--definition",
        "greet@next",
        "--task-queue",
        queue,
        "--wait",
    ];
    let run = project
        .segno(&[&start[..], &["--output", "json"]].concat())
        .ok()
        .json();
    assert_eq!(run["result"], "three");
    until("the list of the version's runs", || {
        let list = ["list", "--definition", "greet@3", "--output", "json"];
        let found = Cluster::get().segno(&list).ok().json();
        let ids = found
            .as_array()
            .unwrap()
            .iter()
            .map(|w| w["workflowId"].clone());
        ids.collect::<Vec<_>>()
            .contains(&run["workflowId"])
            .then_some(())
    });

    let list = project
        .segno(&["definitions", "list", "--output", "json"])
        .ok()
        .json();
    let greet = &list["definitions"][0];
    assert_eq!(
        (&greet["current"], &greet["pinned"], &greet["tags"]["next"]),
        (&json!(1), &json!(true), &json!(3))
    );
    let shown = project.segno(&["definitions", "show", "greet@2"]).ok();
    assert!(shown.stdout.contains("return: two"), "{shown:#?}");
    let refused = project.segno(&["definitions", "delete", "greet@1", "--with-runs"]);
    assert!(
        refused.code == 1 && refused.stderr.contains("new runs get greet@1"),
        "{refused:#?}"
    );
    project
        .segno(&["definitions", "delete", "greet@2", "--with-runs"])
        .ok();
    let gone = project.segno(&["definitions", "show", "greet@2"]);
    assert!(
        gone.stderr
            .contains("greet has no version \"2\"; it has 1, 3, next"),
        "{gone:#?}"
    );
    let history = project
        .segno(&["definitions", "history", "greet", "--output", "json"])
        .ok()
        .json();
    let changes = history
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["change"].as_str().unwrap());
    assert_eq!(
        changes.collect::<Vec<_>>(),
        [
            "deleted greet@2",
            "tagged greet@3 next",
            "deployed greet@3",
            "routed greet@1 (pinned)",
            "routed greet@2",
            "routed greet@1",
            "deployed greet@2",
            "deployed greet@1",
        ]
    );
    assert_eq!(history[5]["message"], "two was wrong");
}

#[test]
fn what_is_wrong_changes_nothing() {
    let project = Project::new();
    project.write("sound", "one");
    let other = Project {
        registry: project.registry.clone(),
        ..Project::new()
    };
    project.deployed();
    /// What it is, what makes it, further arguments, and what is said.
    type Case<'a> = (&'a str, &'a dyn Fn(&Path), &'a [&'a str], &'a str);
    let cases: [Case; 4] = [
        (
            "a broken file",
            &|folder| fs::write(folder.join("b.yaml"), "segno: 1\nworkflow: b\nsteps: [").unwrap(),
            &[],
            "b.yaml:3:8",
        ),
        (
            "a file out of the folder",
            &|folder| {
                fs::write(
                    folder.join("b.yaml"),
                    "segno: 1\nworkflow: b\nuse: [../x.yaml]\nsteps: [{ return: 1 }]",
                )
                .unwrap()
            },
            &[],
            "b.yaml:3:7",
        ),
        ("an empty folder", &|_| (), &[], "contains no definitions"),
        (
            "another project's type",
            &|folder| {
                fs::write(
                    folder.join("s.yaml"),
                    "segno: 1\nworkflow: sound\nsteps: [{ return: 1 }]",
                )
                .unwrap()
            },
            &["--project", "billing"],
            "sound (s.yaml) is already deployed by the project \"default\"",
        ),
    ];
    for (what, make, arguments, said) in cases {
        for file in fs::read_dir(other.folder.path()).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
        make(other.folder.path());
        let folder = other.folder.path().to_str().unwrap();
        let run = other.segno(&[&["deploy", folder, "--yes"], arguments].concat());
        let all = format!("{}{}", run.stdout, run.stderr);
        assert!(run.code != 0 && all.contains(said), "{what}: {run:#?}");
        assert_eq!(
            wait(project.store().read()).unwrap().revision(),
            1,
            "{what}"
        );
    }
    let no = project.segno(&["definitions", "rollback", "sound"]);
    assert!(
        no.code == 1 && no.stderr.contains("in force before sound@1"),
        "{no:#?}"
    );
}

#[test]
fn a_type_with_runs_in_flight_is_not_retired_unasked() {
    let project = Project::new();
    let retired = Cluster::get().unique("retired");
    project.write_waiting(&retired, "done");
    project.write("stays", "one");
    project.deployed();
    let worker = project.worker();
    let run = worker.launch(&retired, &Value::Null);
    let query = format!("WorkflowType = '{retired}'");
    until("the run in lists", || {
        let list = Cluster::get().segno(&["list", "-q", &query, "--output", "json"]);
        (list.ok().json().as_array().unwrap().len() == 1).then_some(())
    });
    fs::remove_file(project.folder.path().join(format!("{retired}.yaml"))).unwrap();
    let refused = project.deploy(&["--yes"]);
    assert!(
        refused.code == 1 && refused.stderr.contains("1 run is in flight"),
        "{refused:#?}"
    );
    assert_eq!(wait(project.store().read()).unwrap().revision(), 1);
    project.deploy(&["--yes", "--retire-with-runs"]).ok();
    run.signal("go", &Value::Null);
    assert_eq!(run.result(), "done");
}

fn change(id: String, base: u64, workflow: &str, content: u8) -> Change {
    Change {
        id,
        base,
        puts: vec![Put {
            workflow: workflow.to_owned(),
            digest: vec![content; 32],
            language_version: 1,
            ..Put::default()
        }],
        ..Change::default()
    }
}

/// Sends a change until it counts, on whatever revision there is by then.
async fn insist(store: &dyn Store, name: &str, workflow: &str, content: u8) -> u64 {
    for turn in 0.. {
        let base = store.read().await.unwrap().revision();
        let id = format!("{name} {content} {turn}");
        let change = change(id, base, workflow, content);
        match store.send(change).await.unwrap() {
            Applied::Yes(revision) => return revision,
            Applied::Stale => {}
            other => panic!("{other:?}"),
        }
    }
    unreachable!()
}

#[test]
fn deployers_that_race_lose_no_update() {
    let project = Project::new();
    let (one, other) = (project.store(), store(&project.registry));
    wait(async {
        for content in 0..100 {
            let (a, b) = tokio::join!(
                insist(&*one, "one", "a", content),
                insist(&*other, "other", "b", content)
            );
            assert_ne!(a, b);
        }
    });
    let catalog = wait(project.store().read()).unwrap();
    assert_eq!(catalog.revision(), 200);
    for definition in &catalog.state.definitions {
        assert_eq!((definition.versions.len(), definition.current), (100, 100));
    }
}

#[test]
fn a_long_log_continues_as_new_and_loses_nothing() {
    let project = Project::new();
    let (writes, follows) = (project.store(), store(&project.registry));
    let changes = REGISTRY_CHANGES_PER_RUN_MAX * 2 + 50;
    let followed = wait(async {
        let follower = tokio::spawn(async move {
            let mut revision = 0;
            while revision < changes {
                revision = follows.wait(revision).await.unwrap().revision();
            }
            follows.read().await.unwrap()
        });
        for base in 0..changes {
            let change = change(format!("{base}"), base, "w", (base % 7) as u8);
            assert_eq!(writes.send(change).await.unwrap(), Applied::Yes(base + 1));
            writes.compact().await.unwrap();
        }
        follower.await.unwrap()
    });
    assert_eq!(followed, wait(project.store().read()).unwrap());
    assert_eq!(followed.state.definitions[0].versions.len(), 7);
    // A run of the registry is short, and the records that are not at hand are in pages.
    let described = Cluster::get().segno(&["describe", &project.registry, "--output", "json"]);
    let length = described.ok().json()["historyLength"].as_i64().unwrap();
    assert!(
        length < REGISTRY_CHANGES_PER_RUN_MAX as i64 + 20,
        "{length}"
    );
    assert!(
        followed.state.log.len() < REGISTRY_RECORDS_MAX + REGISTRY_CHANGES_PER_RUN_MAX as usize
    );
    let all = [
        "definitions",
        "history",
        "--limit",
        "2000",
        "--output",
        "json",
    ];
    let history = project.segno(&all).ok().json();
    assert_eq!(history.as_array().unwrap().len() as u64, changes);
}

#[test]
fn a_worker_that_knows_an_older_language_than_a_definition_is_told() {
    let project = Project::new();
    let worker = project.worker();
    let text = format!(
        "# What it is for.\nsegno: 1\nworkflow: newer\nstart: {{ task_queue: {} }}\nsteps:\n  - return: 1\n",
        worker.task_queue
    );
    fs::write(project.folder.path().join("newer.yaml"), text).unwrap();
    // One that knows this language, and one that says nothing of it, are no reason.
    until("the worker's poll", || {
        let pollers = wait(poller("watcher").workflow_pollers(&worker.task_queue)).unwrap();
        pollers.iter().find(|p| p.language == Some(1)).map(drop)
    });
    wait(poller("1@other").held_task(&worker.task_queue)).unwrap();
    let dry = project.deploy(&["--dry-run"]).ok();
    assert_eq!(dry.json()["changes"][0]["action"], "add");

    let identity = announcing("2@older", 0);
    wait(poller(&identity).held_task(&worker.task_queue)).unwrap();
    let refused = project.deploy(&["--yes"]);
    assert_eq!(refused.code, 1, "{refused:#?}");
    for said in [
        "newer.yaml:2:8: newer uses version 1",
        &format!("{identity:?}"),
        &format!("{:?} supports versions up to 0", worker.task_queue),
    ] {
        assert!(refused.stderr.contains(said), "{said}: {refused:#?}");
    }
    let listed = project.segno(&["definitions", "list", "-o", "json"]).ok();
    assert_eq!(listed.json()["definitions"], json!([]));
}

fn poller(identity: &str) -> Client {
    let settings = ConnectionSettings {
        address: Some(Cluster::get().address.clone()),
        identity: Some(identity.to_owned()),
        disable_config_env: true,
        disable_config_file: true,
        ..ConnectionSettings::default()
    };
    wait(Client::connect(&settings.resolve().unwrap())).unwrap()
}
