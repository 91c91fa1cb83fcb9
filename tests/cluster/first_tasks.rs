//! Everything that a client can send before, with and after a run's first two workflow tasks, to runs of a folder's and of a
//! deployed definition, with runs kept in memory or not, and with the worker killed: each run ends well and replays.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use futures_util::future::join_all;
use segno::client::{
    Client, ConnectionSettings, QueryReject, ResolvedSettings, StartOptions, UpdateOptions,
    WorkflowRef,
};
use segno::value::Duration;
use segno::worker::Replay;

use super::support::cluster::Cluster;
use super::support::worker::Worker;

/// Runs of each row; what is raced for does not come in each.
const RUNS: usize = 4;
/// What the first and the second workflow task are for: the binding and a timer, then the timer's end.
const DEFINITION: &str = "\
segno: 1
workflow: first
state: { n: 0 }
queries: { n: \"${ state.n }\" }
signals:
  add: { do: [{ set: { n: \"${ state.n + 1 }\" } }] }
updates:
  add: { do: [{ set: { n: \"${ state.n + 10 }\" } }, { return: \"${ state.n }\" }] }
steps:
  - if: state.n > 0
    then: [{ upsert: { memo: { early: true } } }]
  - timer: 150ms
  - if: state.n > 0
    then: [{ upsert: { memo: { late: true } } }]
  - wait: { signal: end }
  - return: ${ state.n }
";

#[derive(Debug, Clone, Copy, PartialEq)]
enum Sent {
    Query(&'static str),
    Signal,
    Update,
    Cancel,
    /// The worker is killed and another takes its place.
    Restart,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum When {
    /// No worker is there yet.
    BeforeTheFirst,
    /// As soon as the server has taken the start.
    WithTheFirst,
    /// As soon as the first workflow task is done.
    AfterTheFirst,
    /// While the second workflow task is due.
    WithTheSecond,
    AfterTheSecond,
}

const SENT: [Sent; 7] = [
    Sent::Query("n"),
    Sent::Query("__stack_trace"),
    Sent::Query("__temporal_workflow_metadata"),
    Sent::Signal,
    Sent::Update,
    Sent::Cancel,
    Sent::Restart,
];

const WHEN: [When; 5] = [
    When::BeforeTheFirst,
    When::WithTheFirst,
    When::AfterTheFirst,
    When::WithTheSecond,
    When::AfterTheSecond,
];

fn settings() -> ResolvedSettings {
    let settings = ConnectionSettings {
        address: Some(Cluster::get().address.clone()),
        disable_config_env: true,
        disable_config_file: true,
        ..ConnectionSettings::default()
    };
    settings.resolve().unwrap()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME
        .get_or_init(|| tokio::runtime::Runtime::new().unwrap())
        .block_on(future)
}

struct Row {
    sent: Sent,
    when: When,
    workflow: WorkflowRef,
}

async fn start(client: &Client, worker: &Worker, id: &str) -> WorkflowRef {
    let seconds = |seconds| Some(Duration { seconds, nanos: 0 });
    let options = StartOptions {
        workflow_type: "first".to_owned(),
        workflow_id: Some(id.to_owned()),
        task_queue: worker.task_queue.clone(),
        task_timeout: seconds(3),
        execution_timeout: seconds(300),
        ..StartOptions::default()
    };
    client.start(options).await.unwrap();
    WorkflowRef::new(id, None)
}

async fn send(client: &Client, workflow: &WorkflowRef, sent: Sent) {
    match sent {
        // One that its worker's death leaves without an answer is asked again.
        Sent::Query(name) => {
            while let Err(error) = client
                .query(workflow, name, Vec::new(), QueryReject::Never)
                .await
            {
                let text = error.to_string();
                assert!(!text.contains("Nondeterminism"), "{workflow:?}: {text}");
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
        }
        Sent::Signal => client.signal(workflow, "add", Vec::new()).await.unwrap(),
        Sent::Update => {
            let options = UpdateOptions {
                name: "add".to_owned(),
                ..UpdateOptions::default()
            };
            let _ = client.update(workflow, options).await;
        }
        Sent::Cancel => client.cancel(workflow, "a test").await.unwrap(),
        Sent::Restart => {}
    }
}

/// Waits until so many workflow tasks of the run are done.
async fn tasks_done(client: &Client, workflow: &WorkflowRef, wanted: usize) {
    use temporalio_protos::temporal::api::enums::v1::EventType;
    loop {
        let history = client.history(workflow).await.unwrap();
        let done = history.events.iter();
        let done = done.filter(|e| e.event_type() == EventType::WorkflowTaskCompleted);
        if done.count() >= wanted {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn send_in_time(client: &Client, row: &Row) {
    match row.when {
        When::BeforeTheFirst | When::WithTheFirst => {}
        When::AfterTheFirst => tasks_done(client, &row.workflow, 1).await,
        When::WithTheSecond => {
            tasks_done(client, &row.workflow, 1).await;
            tokio::time::sleep(std::time::Duration::from_millis(140)).await;
        }
        When::AfterTheSecond => tasks_done(client, &row.workflow, 2).await,
    }
    send(client, &row.workflow, row.sent).await;
}

/// Ends a run if it has not ended, and replays it. What is wrong with it, if anything.
async fn check(client: &Client, row: &Row) -> Option<String> {
    let Row {
        sent,
        when,
        workflow,
    } = row;
    if *sent != Sent::Cancel {
        client.signal(workflow, "end", Vec::new()).await.unwrap();
    }
    let end = client.result(workflow, true).await.unwrap();
    let history = client.history(workflow).await.unwrap();
    let replayed = Replay::default().run(&history, &settings()).await;
    let wrong = match replayed {
        Ok(replayed) => replayed.divergence.map(|divergence| divergence.text()),
        Err(error) => Some(error.to_string()),
    };
    let wrong = wrong.or_else(|| {
        let wanted = match sent {
            Sent::Cancel => "CANCELED",
            _ => "COMPLETED",
        };
        (end.outcome.status() != wanted).then(|| format!("{:?}", end.outcome))
    });
    wrong.map(|wrong| format!("{sent:?} {when:?} {}: {wrong}", workflow.workflow_id))
}

/// A hundred runs at a time are enough for one machine.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The worker must not have begun yet.
fn run_table(worker: &Worker, name: &str, restart: bool) {
    let _alone = alone();
    let client = wait(Client::connect(&settings())).unwrap();
    let sent = SENT
        .into_iter()
        .filter(|sent| (*sent == Sent::Restart) == restart);
    let cases: Vec<_> = sent
        .flat_map(|sent| WHEN.map(|when| (sent, when)))
        .flat_map(|case| [case; RUNS])
        .collect();
    let (before, later): (Vec<_>, Vec<_>) = cases
        .into_iter()
        .partition(|(_, when)| *when == When::BeforeTheFirst);
    let id = || Cluster::get().unique(&format!("first-{name}"));
    let begin = async |(sent, when)| Row {
        sent,
        when,
        workflow: start(&client, worker, &id()).await,
    };
    let rows = wait(async {
        let before = join_all(before.into_iter().map(&begin)).await;
        // They wait at the server until there is a worker.
        let sending = join_all(before.iter().map(|row| send_in_time(&client, row)));
        let worked = async {
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            worker.begin();
            if restart {
                tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
                worker.kill_and_restart();
            }
        };
        tokio::join!(sending, worked);
        let later = later.into_iter().map(async |case| {
            let row = begin(case).await;
            send_in_time(&client, &row).await;
            row
        });
        let later = join_all(later).await;
        if restart {
            worker.kill_and_restart();
        }
        before.into_iter().chain(later).collect::<Vec<_>>()
    });
    // What it has in its memory is forgotten: each run goes on from its history.
    worker.kill_and_restart();
    let wrong = wait(join_all(rows.iter().map(|row| check(&client, row))));
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    assert!(
        wrong.is_empty(),
        "{} of {} runs:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
}

fn write(folder: &Path) {
    std::fs::write(folder.join("first.yaml"), DEFINITION).unwrap();
}

fn of_folder(name: &str, arguments: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let worker = Worker::start(folder.path(), arguments);
    worker.kill();
    run_table(&worker, name, false);
}

fn of_deployed(name: &str, arguments: &[&str], restart: bool) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let registry = Cluster::get().unique("registry");
    let path = folder.path().to_str().unwrap();
    let deployed = Cluster::get().segno(&["deploy", path, "--yes", "--registry", &registry]);
    deployed.ok();
    let worker = Worker::of_deployed(&[&["--registry", &registry], arguments].concat());
    worker.kill();
    run_table(&worker, name, restart);
}

#[test]
fn of_a_folder() {
    of_folder("folder", &[]);
}

#[test]
fn of_a_folder_without_a_cache() {
    of_folder("folder-without", &["--max-cached-workflows", "0"]);
}

#[test]
fn of_a_deployed_version() {
    of_deployed("deployed", &[], false);
}

#[test]
fn of_a_deployed_version_without_a_cache() {
    of_deployed("deployed-without", &["--max-cached-workflows", "0"], false);
}

#[test]
fn of_a_deployed_version_with_evictions() {
    of_deployed("deployed-evicted", &["--max-cached-workflows", "2"], false);
}

#[test]
fn of_a_deployed_version_with_killed_workers() {
    of_deployed("deployed-killed", &[], true);
}

/// Starts and queries at once, in the numbers in which the fault showed.
#[test]
fn many_queries_at_once() {
    const MANY: usize = 100;
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let registry = Cluster::get().unique("registry");
    let path = folder.path().to_str().unwrap();
    let deployed = Cluster::get().segno(&["deploy", path, "--yes", "--registry", &registry]);
    deployed.ok();
    let worker = Worker::of_deployed(&["--registry", &registry]);
    let client = wait(Client::connect(&settings())).unwrap();
    let names = ["n", "__stack_trace", "__temporal_workflow_metadata"];
    let rows = (0..MANY).map(async |number| {
        let workflow = start(&client, &worker, &Cluster::get().unique("first-many")).await;
        let sent = Sent::Query(names[number % names.len()]);
        join_all((0..3).map(|_| send(&client, &workflow, sent))).await;
        Row {
            sent,
            when: When::WithTheFirst,
            workflow,
        }
    });
    let rows = wait(join_all(rows));
    worker.kill_and_restart();
    let wrong = wait(join_all(rows.iter().map(|row| check(&client, row))));
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
