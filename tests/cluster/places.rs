//! Definitions that are kept in an object store, by the real S3 protocol, or in a folder.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};

use segno::catalog::{Applied, Change, Put};
use segno::limits::{REGISTRY_CHANGES_PER_SNAPSHOT, REGISTRY_RECORDS_MAX};
use segno::registry::{ObjectsStore, Store};

use super::support::cluster::Cluster;
use super::support::run::Run;
use super::support::s3::S3Server;
use super::support::worker::Worker;
use super::support::{segno, until};

fn write(folder: &Path, workflow: &str, says: &str) {
    let text = format!("segno: 1\nworkflow: {workflow}\nsteps:\n  - return: {says}\n");
    fs::write(folder.join(format!("{workflow}.yaml")), text).unwrap();
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: std::sync::OnceLock<tokio::runtime::Runtime> = std::sync::OnceLock::new();
    RUNTIME
        .get_or_init(|| tokio::runtime::Runtime::new().unwrap())
        .block_on(future)
}

fn says(worker: &Worker, text: &str) {
    until(text, || {
        (worker.launch("greet", &Value::Null).result() == text).then_some(())
    });
}

/// The command line with the environment of an S3 server.
fn with(s3: &S3Server, arguments: &[&str], registry: &str) -> Run {
    Run::of(&mut command(s3, arguments, registry))
}

fn command(s3: &S3Server, arguments: &[&str], registry: &str) -> Command {
    let mut command = Command::new(segno());
    command
        .args(arguments)
        .args(["--registry", registry, "--output", "json"])
        .env("TEMPORAL_ADDRESS", &Cluster::get().address)
        .envs(s3.environment.iter().map(|(n, v)| (n, v)));
    command
}

#[test]
fn a_worker_serves_what_is_deployed_to_s3_and_goes_on_while_it_is_out_of_reach() {
    let s3 = S3Server::start();
    let url = s3.url("team/registry");
    let folder = tempfile::tempdir().unwrap();
    let deploy = ["deploy", folder.path().to_str().unwrap(), "--yes"];
    write(folder.path(), "greet", "one");
    assert_eq!(with(&s3, &deploy, &url).ok().json()["revision"], 1);
    let environment: Vec<_> = s3
        .environment
        .iter()
        .map(|(n, v)| (*n, v.as_str()))
        .collect();
    let worker = Worker::of_deployed_with(&["--registry", &url], &environment);
    says(&worker, "one");
    write(folder.path(), "greet", "two");
    assert_eq!(with(&s3, &deploy, &url).ok().json()["revision"], 2);
    says(&worker, "two");
    let again = with(&s3, &deploy, &url).ok().json();
    assert_eq!(again["deployed"], false);

    s3.set_reachable(false);
    write(folder.path(), "greet", "three");
    let refused = with(&s3, &deploy, &url);
    assert!(
        refused.code == 1 && refused.stderr.contains("the registry cannot be reached"),
        "{refused:#?}"
    );
    until("the worker's word", || {
        worker
            .logs()
            .contains("the last ones stay in force")
            .then_some(())
    });
    says(&worker, "two");
    s3.set_reachable(true);
    assert_eq!(with(&s3, &deploy, &url).ok().json()["revision"], 3);
    says(&worker, "three");

    let one = [
        "start",
        "--definition",
        "greet@1",
        "--task-queue",
        &worker.task_queue,
        "--wait",
    ];
    assert_eq!(with(&s3, &one, &url).ok().json()["result"], "one");
    with(&s3, &["definitions", "rollback", "greet"], &url).ok();
    says(&worker, "two");
    let history = with(&s3, &["definitions", "history"], &url).ok().json();
    assert_eq!(history.as_array().unwrap().len(), 4);
    let keys = s3.keys();
    assert!(
        keys.contains(&"team/registry/log/00000000000000000004".to_owned()),
        "{keys:#?}"
    );
}

#[test]
fn processes_that_race_on_s3_lose_no_deployment() {
    let s3 = S3Server::start();
    let url = s3.url("race");
    std::thread::scope(|scope| {
        for project in ["left", "right"] {
            let (s3, url) = (&s3, &url);
            scope.spawn(move || {
                let folder = tempfile::tempdir().unwrap();
                for turn in 0..15 {
                    write(folder.path(), project, &turn.to_string());
                    let folder = folder.path().to_str().unwrap();
                    with(s3, &["deploy", folder, "--yes", "--project", project], url).ok();
                }
            });
        }
    });
    let list = with(&s3, &["definitions", "list"], &url).ok().json();
    for definition in list["definitions"].as_array().unwrap() {
        assert_eq!(definition["current"], 15, "{list:#}");
    }
    assert_eq!(list["revision"], json!(30));
}

#[test]
fn wrong_places_are_refused_with_what_is_wrong() {
    let s3 = S3Server::start();
    let cases = [
        (
            "ftp://host/x",
            "expected a URL that begins with file:, s3:, gs: or az:",
        ),
        ("file://host/x", "three slashes"),
        ("s3://", "s3://"),
    ];
    for (url, said) in cases {
        let run = with(&s3, &["definitions", "list"], url);
        assert!(run.code == 2 && run.stderr.contains(said), "{run:#?}");
    }
    let mut stranger = command(&s3, &["definitions", "list"], &s3.url("x"));
    let run = Run::of(stranger.env("AWS_SECRET_ACCESS_KEY", "wrong"));
    assert!(
        run.code == 1 && run.stderr.contains("SignatureDoesNotMatch"),
        "{run:#?}"
    );
}

fn store(folder: &Path) -> Arc<dyn Store> {
    let url = format!("file://{}", folder.display());
    Arc::new(ObjectsStore::open(&url).unwrap())
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

/// Sends a change until it counts.
async fn insist(store: &dyn Store, workflow: &str, content: u8) {
    loop {
        let base = store.read().await.unwrap().revision();
        let id = format!("{workflow} {content} {base}");
        match store
            .send(change(id, base, workflow, content))
            .await
            .unwrap()
        {
            Applied::Yes(_) => return,
            Applied::Stale => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn deployers_that_race_in_a_folder_lose_no_update() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (store(folder.path()), store(folder.path()));
    wait(async {
        for content in 0..100 {
            tokio::join!(insist(&*one, "a", content), insist(&*other, "b", content));
        }
    });
    let catalog = wait(store(folder.path()).read()).unwrap();
    assert_eq!(catalog.revision(), 200);
    for definition in &catalog.state.definitions {
        assert_eq!((definition.versions.len(), definition.current), (100, 100));
    }
}

#[test]
fn a_long_log_in_a_folder_gets_snapshots_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let writes = store(folder.path());
    let changes = REGISTRY_RECORDS_MAX as u64 + REGISTRY_CHANGES_PER_SNAPSHOT * 4 + 7;
    let follows = store(folder.path());
    let followed = wait(async {
        for base in 0..changes {
            let change = change(format!("{base}"), base, "w", (base % 7) as u8);
            assert_eq!(writes.send(change).await.unwrap(), Applied::Yes(base + 1));
            writes.compact().await.unwrap();
            if base == 0 {
                follows.read().await.unwrap();
            }
        }
        follows.wait(changes - 1).await.unwrap()
    });
    let fresh = wait(store(folder.path()).read()).unwrap();
    assert_eq!(fresh.state.definitions, followed.state.definitions);
    assert_eq!((fresh.revision(), followed.revision()), (changes, changes));
    assert!(
        fresh.state.log.len() < REGISTRY_RECORDS_MAX + 2 * REGISTRY_CHANGES_PER_SNAPSHOT as usize
    );
    let registry = format!("file://{}", folder.path().display());
    let all = [
        "definitions",
        "history",
        "--limit",
        "2000",
        "--output",
        "json",
    ];
    let history = Cluster::get().segno(&[&all[..], &["--registry", &registry]].concat());
    assert_eq!(
        history.ok().json().as_array().unwrap().len() as u64,
        changes
    );

    // A snapshot that is broken leaves readers to the one before, and an entry that is none counts for nothing.
    let snapshots = folder.path().join("snapshots");
    let mut names: Vec<_> = fs::read_dir(&snapshots)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    fs::write(names.last().unwrap(), "no snapshot").unwrap();
    fs::write(
        folder.path().join(format!("log/{:020}", changes + 1)),
        "no entry",
    )
    .unwrap();
    let (again, more) = (
        store(folder.path()),
        change("more".to_owned(), changes + 1, "v", 1),
    );
    wait(async {
        assert_eq!(
            again.read().await.unwrap().state.definitions,
            fresh.state.definitions
        );
        assert_eq!(again.send(more).await.unwrap(), Applied::Yes(changes + 2));
        assert_eq!(
            follows.wait(changes + 1).await.unwrap().revision(),
            changes + 2
        );
    });
}
