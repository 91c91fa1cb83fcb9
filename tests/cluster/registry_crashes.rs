//! Deployers that are killed at any moment, and versions that no worker can read.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use segno::bundle::{Bundle, BundleFile, Versions};
use segno::catalog::{Applied, Catalog, Change, Data, Put, Segment};
use segno::client::{Client, ConnectionSettings, WorkflowRef};
use segno::limits::REGISTRY_CHANGES_PER_RUN_MAX;
use segno::registry::{ClusterStore, ObjectsStore, Store, put_data};

use super::support::cluster::Cluster;
use super::support::gateway::{Door, Gateway, Hold, SERVER_NAME};
use super::support::worker::Worker;
use super::support::{segno, until};

fn wait<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: std::sync::OnceLock<tokio::runtime::Runtime> = std::sync::OnceLock::new();
    RUNTIME
        .get_or_init(|| tokio::runtime::Runtime::new().unwrap())
        .block_on(future)
}

fn client() -> Client {
    let settings = ConnectionSettings {
        address: Some(Cluster::get().address.clone()),
        disable_config_env: true,
        disable_config_file: true,
        ..ConnectionSettings::default()
    };
    wait(Client::connect(&settings.resolve().unwrap())).unwrap()
}

/// A registry by what `--registry` would be.
fn store(registry: &str) -> Arc<dyn Store> {
    match registry.contains("://") {
        true => Arc::new(ObjectsStore::open(registry).unwrap()),
        false => Arc::new(ClusterStore::new(client(), registry.to_owned())),
    }
}

fn write(folder: &Path, workflow: &str, says: &str) {
    let text = format!("segno: 1\nworkflow: {workflow}\nsteps:\n  - return: {says}\n");
    fs::write(folder.join(format!("{workflow}.yaml")), text).unwrap();
}

fn deploy(folder: &Path, registry: &str) -> Child {
    Command::new(segno())
        .args(["deploy", folder.to_str().unwrap(), "--yes"])
        .args(["--registry", registry])
        .env("TEMPORAL_ADDRESS", &Cluster::get().address)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Whoever finds no registry looks for traces of a lost one. What somebody else begins and deploys meanwhile is none.
#[test]
fn a_registry_that_somebody_else_begins_meanwhile_is_not_a_lost_one() {
    // A first reader asks for the registry (1), its copy (2), and counts; the copy is asked for again where there is one.
    for (call, passes) in [
        ("/DescribeWorkflowExecution", 1),
        ("/CountWorkflowExecutions", 0),
        ("/CountWorkflowExecutions", 1),
    ] {
        let registry = Cluster::get().unique("registry");
        let hold = Hold::new(call, passes);
        let gateway = Gateway::start(&Cluster::get().address, Door::Held(hold.clone()));
        let mut reader = Command::new(segno())
            .args(["definitions", "list", "--output", "json"])
            .args(["--registry", &registry])
            .env("TEMPORAL_ADDRESS", &gateway.address)
            .env("TEMPORAL_TLS_SERVER_CA_CERT_PATH", gateway.file("ca.pem"))
            .env("TEMPORAL_TLS_SERVER_NAME", SERVER_NAME)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        until("the held call", || {
            assert!(reader.try_wait().unwrap().is_none(), "{call} never came");
            hold.is_held().then_some(())
        });
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "greet", "hello");
        assert!(deploy(folder.path(), &registry).wait().unwrap().success());
        // The server's lists lag.
        let query = format!("WorkflowId = '{registry}'");
        until("the registry among the workflows", || {
            let count = Cluster::get().call(async |client| client.count(&query).await);
            (count.unwrap() > 0).then_some(())
        });
        hold.release();
        let read = reader.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&read.stderr);
        assert!(read.status.success(), "{call}: {errors}");
        assert!(!errors.contains("was deleted"), "{call}: {errors}");
        let list: Value = serde_json::from_slice(&read.stdout).unwrap();
        assert_eq!(list["definitions"][0]["workflow"], "greet", "{call}");
    }
}

fn of_content(workflow: &str, content: u8, id: String, base: u64) -> Change {
    Change {
        id,
        base,
        project: workflow.to_owned(),
        puts: vec![Put {
            workflow: workflow.to_owned(),
            digest: vec![content; 32],
            language_version: 1,
            ..Put::default()
        }],
        ..Change::default()
    }
}

/// Sends a change until it counts.
async fn insist(store: &dyn Store, workflow: &str, content: u8) {
    loop {
        let base = store.read().await.unwrap().revision();
        let id = format!("{workflow} {content} {base}");
        let change = of_content(workflow, content, id, base);
        match store.send(change).await.unwrap() {
            Applied::Yes(_) => return,
            Applied::Stale => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Both definitions of the killed deployer are in force together, or neither.
fn assert_whole(catalog: &Catalog) {
    let revisions = |workflow: &str| -> Vec<u64> {
        let versions = catalog.definition(workflow).map(|d| d.versions.iter());
        versions.into_iter().flatten().map(|v| v.revision).collect()
    };
    assert_eq!(revisions("greet"), revisions("part"));
    let current = |workflow: &str| catalog.definition(workflow).map(|d| d.current);
    assert_eq!(current("greet"), current("part"));
}

/// Two deployers race for so many rounds, and in each of them a third one is killed, each time a little later.
fn race(registry: &str, rounds: u8) {
    let (left, right) = (store(registry), store(registry));
    let folder = tempfile::tempdir().unwrap();
    let both = |says: &str| {
        write(folder.path(), "greet", says);
        write(folder.path(), "part", says);
    };
    both("before");
    let begun = Instant::now();
    assert!(deploy(folder.path(), registry).wait().unwrap().success());
    // What is killed later than this has done what it had to.
    let whole = begun.elapsed() + begun.elapsed() / 2;
    for round in 0..rounds {
        both(&format!("round {round}"));
        let mut killed = deploy(folder.path(), registry);
        let after: Duration = whole * u32::from(round) / u32::from(rounds);
        let killed = std::thread::spawn(move || {
            std::thread::sleep(after);
            killed.kill().unwrap();
            killed.wait().unwrap();
        });
        wait(async {
            tokio::join!(
                insist(&*left, "left", round),
                insist(&*right, "right", round)
            );
        });
        killed.join().unwrap();
        assert_whole(&wait(left.read()).unwrap());
    }
    let catalog = wait(store(registry).read()).unwrap();
    for workflow in ["left", "right"] {
        let definition = catalog.definition(workflow).unwrap();
        assert_eq!(definition.versions.len(), usize::from(rounds));
    }
    both("after");
    assert!(deploy(folder.path(), registry).wait().unwrap().success());
    let worker = Worker::of_deployed(&["--registry", registry]);
    for workflow in ["greet", "part"] {
        assert_eq!(worker.launch(workflow, &Value::Null).result(), "after");
    }
}

#[test]
fn deployers_that_race_while_others_are_killed_lose_nothing_on_the_cluster() {
    let registry = Cluster::get().unique("registry");
    // A long log: whoever deploys next makes it short, and may be killed at that too.
    fill(&registry);
    race(&registry, 100);
}

#[test]
fn deployers_that_race_while_others_are_killed_lose_nothing_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    race(&format!("file://{}", folder.path().display()), 30);
}

/// As many changes as make whoever deploys shorten the log.
fn fill(registry: &str) {
    let store = store(registry);
    wait(async {
        for base in 0..REGISTRY_CHANGES_PER_RUN_MAX {
            let change = of_content("filled", (base % 2) as u8, format!("fill {base}"), base);
            assert_eq!(store.send(change).await.unwrap(), Applied::Yes(base + 1));
        }
    });
}

#[test]
fn a_deployer_that_dies_with_the_registrys_task_in_its_hands_loses_nothing() {
    let registry = Cluster::get().unique("registry");
    fill(&registry);
    let client = client();
    // Whoever had it never answers.
    drop(wait(client.held_task(&registry)).unwrap().unwrap());
    let store = store(&registry);
    let next = REGISTRY_CHANGES_PER_RUN_MAX + 1;
    wait(async {
        let change = of_content("filled", 9, "after".to_owned(), next - 1);
        assert_eq!(store.send(change).await.unwrap(), Applied::Yes(next));
    });
    until("a short log", || {
        wait(store.compact()).unwrap();
        let found = wait(client.describe(&WorkflowRef::new(&registry, None))).unwrap();
        (found.workflow.history_length < 20).then_some(())
    });
    let catalog = wait(store.read()).unwrap();
    assert_eq!(catalog.revision(), next);
    assert_eq!(catalog.state.definitions[0].versions.len(), 3);
}

/// Versions that nobody can read: no bundle, one of a newer language, data that is not there, data that is none.
async fn poison(store: &dyn Store) {
    let newer = Versions {
        language: 999,
        ..Versions::NEWEST
    };
    let file = BundleFile {
        path: "newer.yaml".into(),
        text: "segno: 999\nworkflow: newer\n".into(),
    };
    let newer = Bundle::from_files("newer", newer, file, 0, vec![]).unwrap();
    let bundles = vec![b"no bundle".to_vec(), newer.encode().unwrap()];
    let segment = put_data(store, &Segment { bundles }).await.unwrap();
    let data = |hash: Vec<u8>| Data { pieces: vec![hash] };
    store
        .put_piece(&[8; 32], b"no data".to_vec())
        .await
        .unwrap();
    let put = |workflow: &str, segment: Data, index: u32, digest: Vec<u8>| Put {
        workflow: workflow.to_owned(),
        digest,
        language_version: 1,
        segment: Some(segment),
        index,
        ..Put::default()
    };
    let base = store.read().await.unwrap().revision();
    let change = Change {
        id: "poison".to_owned(),
        base,
        project: "poisoned".to_owned(),
        puts: vec![
            put("garbage", segment.clone(), 0, vec![1; 32]),
            put("newer", segment, 1, newer.digest().as_bytes().to_vec()),
            put("lost", data(vec![7; 32]), 0, vec![2; 32]),
            put("broken", data(vec![8; 32]), 0, vec![3; 32]),
        ],
        ..Change::default()
    };
    assert_eq!(store.send(change).await.unwrap(), Applied::Yes(base + 1));
}

#[test]
fn versions_that_cannot_be_read_leave_all_others_in_force() {
    let places = tempfile::tempdir().unwrap();
    let folder_registry = format!("file://{}", places.path().display());
    for registry in [Cluster::get().unique("registry"), folder_registry] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "greet", "one");
        assert!(deploy(folder.path(), &registry).wait().unwrap().success());
        let worker = Worker::of_deployed(&["--registry", &registry]);
        assert_eq!(worker.launch("greet", &Value::Null).result(), "one");
        wait(poison(&*store(&registry)));
        write(folder.path(), "greet", "two");
        assert!(deploy(folder.path(), &registry).wait().unwrap().success());
        until("the new version", || {
            (worker.launch("greet", &Value::Null).result() == "two").then_some(())
        });
        // One that begins with them does no worse.
        let other = Worker::of_deployed(&["--registry", &registry]);
        assert_eq!(other.launch("greet", &Value::Null).result(), "two");
        for worker in [&worker, &other] {
            for name in ["garbage@1", "newer@1", "lost@1", "broken@1"] {
                let logs = worker.logs();
                let said = logs
                    .lines()
                    .any(|line| line.contains("version unreadable") && line.contains(name));
                assert!(said, "{name} in {logs}");
            }
            assert!(worker.logs().contains("use a newer worker"));
        }
    }
}
