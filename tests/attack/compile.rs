//! Definitions that cannot be compiled within the bounds, and ones that only just can, in a registry: an older deployer, or
//! whoever can write to it, has put them there. The worker refuses those and serves these, and other runs go on meanwhile.

#[path = "../language/hostile/shapes.rs"]
mod shapes;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Arc;

use segno::bundle::Bundle;
use segno::catalog::Origin;
use segno::client::{Client, ConnectionSettings, StartOptions};
use segno::engine::job::EncodedBundle;
use segno::registry::deploy::{Definitions, Plan, Routing};
use segno::registry::{Entry, ObjectsStore, Store, load};
use segno::value::Duration;
use serde_json::json;

use super::support::cluster::{Cluster, python, spawn_bound};
use super::support::until;
use super::support::worker::Worker;
use super::victim::{BESIDE, bundle, wait};

/// What the shapes are called, and the bound that refuses each, if one does.
const BOMBS: [(&str, Option<&str>); 8] = [
    ("types that refer twice", Some("SCHEMA_DEPTH_MAX")),
    ("forty types that refer twice", Some("SCHEMA_NODES_MAX")),
    (
        "patterns in schemas",
        Some("PATTERNS_PROGRAM_SIZE_BYTES_MAX"),
    ),
    (
        "patterns in expressions",
        Some("PATTERNS_PROGRAM_SIZE_BYTES_MAX"),
    ),
    (
        "defaults with a long expression",
        Some("COMPILED_OPERATIONS_MAX"),
    ),
    (
        "aliases of a long text",
        Some("YAML_ALIASES_SIZE_BYTES_MAX"),
    ),
    ("blocks that call twice", None),
    ("types that double in map", None),
];

const SIZE_BYTES: usize = 128 * 1024;

fn entry(workflow: &str, text: &str) -> (Entry, Arc<str>) {
    // Deploying looks at the bundle alone: the program is another one's.
    let loaded = load(&bundle("beside", BESIDE)).unwrap();
    let bytes = bundle(workflow, text);
    let digest = Bundle::decode(&bytes).unwrap().digest().to_string();
    let bundle = EncodedBundle {
        digest,
        version: String::new(),
        bytes,
    };
    let bundle = Arc::new(bundle);
    (Entry { loaded, bundle }, format!("{workflow}.yaml").into())
}

fn deploy(store: &dyn Store, found: &Definitions) {
    wait(async {
        let catalog = store.read().await.unwrap();
        let plan = Plan::new(&catalog, found, "", Routing::Usual).unwrap();
        let id = format!("change-{}", found.len());
        plan.carry_out(store, found, Origin::default(), id, None)
            .await
            .unwrap();
    });
}

fn name(bomb: usize) -> String {
    format!("bomb-{bomb}")
}

/// The text of a bomb's definition.
fn bomb(i: usize) -> String {
    let (wanted, _) = BOMBS[i];
    let shape = shapes::shapes().find(|(name, _)| *name == wanted);
    let (_, shape) = shape.unwrap();
    let workflow = format!("workflow: {}", name(i));
    shape(SIZE_BYTES).replacen("workflow: hostile", &workflow, 1)
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

fn start(client: &Client, workflow: &str, task_queue: &str) -> String {
    let seconds = |seconds| Duration { seconds, nanos: 0 };
    let id = Cluster::get().unique("bomb");
    let options = StartOptions {
        workflow_type: workflow.to_owned(),
        workflow_id: Some(id.clone()),
        task_queue: task_queue.to_owned(),
        task_timeout: Some(seconds(2)),
        execution_timeout: Some(seconds(60)),
        ..StartOptions::default()
    };
    wait(client.start(options)).unwrap();
    id
}

/// Until the worker has said what comes of a bomb: that it is refused by a bound, or anything else.
fn until_decided(worker: &Worker, i: usize, bound: Option<&str>) {
    until("the outcome of each", || {
        let logs = worker.logs();
        let mut about = logs.lines().filter(|line| line.contains(&name(i)));
        match bound {
            Some(bound) => about.any(|line| line.contains(bound)).then_some(()),
            None => about
                .any(|line| !line.contains("cannot") && !line.contains("no definition"))
                .then_some(()),
        }
    });
}

#[test]
fn a_worker_goes_on_beside_what_it_cannot_compile() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", folder.path().display());
    let store = ObjectsStore::open(&url).unwrap();
    let mut found: Definitions = BTreeMap::from([("beside".to_owned(), entry("beside", BESIDE))]);
    deploy(&store, &found);
    let worker = Worker::of_deployed(&["--registry", &url]);
    let beside = worker.launch("beside", &json!(null));

    for i in 0..BOMBS.len() {
        found.insert(name(i), entry(&name(i), &bomb(i)));
    }
    deploy(&store, &found);
    beside.signal("add", &json!(null));

    let client = client();
    for i in 0..BOMBS.len() {
        start(&client, &name(i), &worker.task_queue);
        beside.signal("add", &json!(null));
    }
    for (i, (_, bound)) in BOMBS.iter().enumerate() {
        until_decided(&worker, i, *bound);
        beside.signal("add", &json!(null));
    }
    beside.query_until("n", |n| *n == json!(1 + 2 * BOMBS.len()));
    beside.signal("end", &json!(null));
    assert_eq!(beside.result(), json!(1 + 2 * BOMBS.len()));
    beside.assert_no_task_failed();
    let peak = worker.peak_memory_kib();
    assert!(peak < 512 * 1024, "the worker took {peak} KiB");
}

/// Histories keep the bundles that older workers have accepted: nobody deploys these, and no header brings them.
#[test]
fn a_worker_goes_on_beside_runs_that_an_older_one_has_bound_to_them() {
    let folder = tempfile::tempdir().unwrap();
    let bundles = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("beside.yaml"), BESIDE).unwrap();
    for i in 0..BOMBS.len() {
        std::fs::write(bundles.path().join(name(i)), bundle(&name(i), &bomb(i))).unwrap();
    }
    let task_queue = Cluster::get().unique("queue");
    let mut older = Command::new(python());
    older
        .arg("tests/attack/older_worker.py")
        .arg(&task_queue)
        .arg(bundles.path())
        .env("TEMPORAL_ADDRESS", &Cluster::get().address);
    let mut older = spawn_bound(&older, Stdio::null(), Stdio::inherit());
    let client = client();
    let ids = (0..BOMBS.len()).map(|i| start(&client, &name(i), &task_queue));
    let ids: Vec<_> = ids.collect();
    let history = |id: &str| Cluster::get().segno(&["history", id]).ok().stdout;
    for id in &ids {
        until("the mark that binds the run", || {
            history(id).contains("WorkflowTaskCompleted").then_some(())
        });
    }
    drop(older.stdin.take());
    older.wait().unwrap();

    let worker = Worker::on_queue(&task_queue, folder.path());
    let beside = worker.launch("beside", &json!(null));
    for id in &ids {
        Cluster::get().segno(&["signal", id, "go"]).ok();
        beside.signal("add", &json!(null));
    }
    for (i, (_, bound)) in BOMBS.iter().enumerate() {
        until_decided(&worker, i, *bound);
        beside.signal("add", &json!(null));
    }
    beside.query_until("n", |n| *n == json!(2 * BOMBS.len()));
    beside.signal("end", &json!(null));
    assert_eq!(beside.result(), json!(2 * BOMBS.len()));
    beside.assert_no_task_failed();
    let peak = worker.peak_memory_kib();
    assert!(peak < 512 * 1024, "the worker took {peak} KiB");
    for id in &ids {
        Cluster::get().segno(&["terminate", id]);
    }
}
