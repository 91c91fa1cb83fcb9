//! What the hunter hunts in: a development server with its data in a file, activities, the ledger, and connections to all of them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use segno::client::{Client, ConnectionSettings};

use super::ledger::Ledger;
use super::process::Process;
use super::support::cluster::{python, temporal};
use super::support::run::Run;
use super::support::{free_port, root, segno};
use super::write::ACTIVITIES;

/// The server suggests to continue as new early, so that `history: automatic` does.
const SUGGEST_AFTER_EVENTS: &str = "limit.historyCount.suggestContinueAsNew=60";
/// Where core panics: its `dbg_panic!` is a log line in release builds, and what follows on one too.
const CORE: &str = "temporalio-sdk-core";
const PANIC_LINES_SHOWN: usize = 80;
const START_TIMEOUT: Duration = Duration::from_secs(90);

/// A command that does not end is killed.
const BOUNDED: &str = r#""$@" & pid=$!; (sleep 180; kill -9 $pid) >/dev/null 2>&1 & wait $pid; code=$?; kill $! 2>/dev/null; exit $code"#;

pub struct World {
    pub address: String,
    pub client: Client,
    pub ledger: Ledger,
    pub folder: tempfile::TempDir,
    port: u16,
    server: Mutex<Option<Process>>,
    _activities: Process,
    unique: AtomicU64,
}

impl World {
    pub async fn start() -> World {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let address = format!("127.0.0.1:{port}");
        let server = server(port, folder.path());
        let client = connect(&address).await;
        let ledger = Ledger::start().await;
        ledger.know(client.clone());
        let mut endpoint = Command::new(temporal());
        endpoint
            .args(["operator", "nexus", "endpoint", "create"])
            .args(["--name", ACTIVITIES])
            .args(["--target-namespace", "default"])
            .args(["--target-task-queue", ACTIVITIES])
            .args(["--address", &address]);
        Run::of(&mut endpoint).ok();
        let mut activities = Command::new(python());
        activities
            .arg("tests/hunt/activities.py")
            .env("TEMPORAL_ADDRESS", &address);
        let activities = Process::spawn(&activities, &folder.path().join("activities.log"));
        World {
            address,
            client,
            ledger,
            port,
            server: Mutex::new(Some(server)),
            _activities: activities,
            unique: AtomicU64::new(0),
            folder,
        }
    }

    pub fn unique(&self, name: &str) -> String {
        let number = self.unique.fetch_add(1, Ordering::Relaxed);
        format!("{name}-{number}")
    }

    /// SIGKILL; another one goes on with its data.
    pub async fn restart_server(&self) {
        let before = self.server.lock().unwrap().take();
        drop(before);
        let server = server(self.port, self.folder.path());
        *self.server.lock().unwrap() = Some(server);
        connect(&self.address).await;
    }

    /// Runs the command line and waits for its end, for some minutes.
    pub fn segno(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new("sh");
        command
            .args(["-c", BOUNDED, "sh"])
            .arg(segno())
            .args(arguments)
            .current_dir(root())
            .env("TEMPORAL_ADDRESS", &self.address)
            .env("NO_COLOR", "1");
        tokio::task::block_in_place(|| Run::of(&mut command))
    }
}

fn server(port: u16, folder: &Path) -> Process {
    let mut server = Command::new(temporal());
    server
        .args(["server", "start-dev", "--headless", "--log-level", "error"])
        .args(["--ip", "127.0.0.1", "--port", &port.to_string()])
        .args(["--search-attribute", "Rank=Int"])
        .arg("--db-filename")
        .arg(folder.join("server.db"));
    for value in [
        "frontend.namespaceRPS=100000",
        "frontend.rps=100000",
        SUGGEST_AFTER_EVENTS,
    ] {
        server.args(["--dynamic-config-value", value]);
    }
    Process::spawn(&server, &folder.join("server.log"))
}

async fn connect(address: &str) -> Client {
    let settings = ConnectionSettings {
        address: Some(address.to_owned()),
        disable_config_env: true,
        disable_config_file: true,
        ..ConnectionSettings::default()
    };
    let settings = settings.resolve().unwrap();
    let begin = tokio::time::Instant::now();
    loop {
        if let Ok(client) = Client::connect(&settings).await
            && client.count("").await.is_ok()
        {
            return client;
        }
        assert!(
            begin.elapsed() < START_TIMEOUT,
            "the development server does not start"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A `segno worker` that may be killed, paused and replaced.
pub struct Worker {
    pub task_queue: String,
    address: String,
    arguments: Vec<String>,
    /// It is the version with this number of the deployment of its task queue's name.
    version: Option<AtomicU64>,
    log: PathBuf,
    process: Mutex<Option<Process>>,
}

impl Worker {
    pub fn start(world: &World, task_queue: &str, address: &str, arguments: &[String]) -> Worker {
        Worker::versioned(world, task_queue, address, arguments, false)
    }

    pub fn versioned(
        world: &World,
        task_queue: &str,
        address: &str,
        arguments: &[String],
        is_versioned: bool,
    ) -> Worker {
        let worker = Worker {
            task_queue: task_queue.to_owned(),
            address: address.to_owned(),
            arguments: arguments.to_vec(),
            version: is_versioned.then(|| AtomicU64::new(1)),
            log: world.folder.path().join(format!("{task_queue}.log")),
            process: Mutex::default(),
        };
        worker.begin();
        worker
    }

    fn spawn(&self) -> Process {
        let mut command = Command::new(segno());
        command
            .args(["worker", "--task-queue", &self.task_queue])
            .args(["--sticky-queue-schedule-to-start-timeout", "1s"])
            .args(["--exec-allow", "shell=/bin/sh", "--log-level", "warn"])
            .args(&self.arguments)
            .args(self.version_arguments())
            .env("TEMPORAL_ADDRESS", &self.address)
            .env("NO_COLOR", "1");
        Process::spawn(&command, &self.log)
    }

    fn version_arguments(&self) -> Vec<String> {
        let Some(version) = &self.version else {
            return Vec::new();
        };
        let version = version.load(Ordering::Relaxed).to_string();
        [
            "--deployment-name",
            &self.task_queue,
            "--build-id",
            &version,
        ]
        .map(str::to_owned)
        .to_vec()
    }

    /// Its version is the one that gets workflow tasks.
    pub async fn is_current(&self, world: &World) {
        let arguments = self.version_arguments();
        let [_, name, build_id, version] = &arguments[..] else {
            return;
        };
        let force = ["--allow-no-pollers", "--ignore-missing-task-queues"];
        let command = [
            "worker-deployment",
            "set-current-version",
            name,
            build_id,
            version,
        ];
        let begin = tokio::time::Instant::now();
        loop {
            let run = world.segno(&[&command[..], &force].concat());
            if run.code == 0 {
                return;
            }
            assert!(begin.elapsed() < START_TIMEOUT, "{run:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub fn begin(&self) {
        *self.process.lock().unwrap() = Some(self.spawn());
    }

    /// SIGKILL.
    pub fn kill(&self) {
        let process = self.process.lock().unwrap().take();
        drop(process);
    }

    /// Another takes its place before it is asked to end.
    pub async fn replace(&self, world: &World) {
        if let Some(version) = &self.version {
            version.fetch_add(1, Ordering::Relaxed);
        }
        let next = self.spawn();
        tokio::time::sleep(Duration::from_millis(700)).await;
        self.is_current(world).await;
        let before = self.process.lock().unwrap().replace(next);
        let Some(before) = before else { return };
        before.signal(rustix::process::Signal::TERM);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    /// Begins again where it has ended by itself, as whoever runs workers sees to.
    pub fn revive(&self) {
        let mut process = self.process.lock().unwrap();
        if process.as_ref().is_some_and(Process::has_ended) {
            *process = Some(self.spawn());
        }
    }

    /// What it said each time that it panicked: of its own, and of core's.
    pub fn panics(&self) -> (Vec<String>, Vec<String>) {
        let log = self.log();
        let told = log.match_indices("panicked at").map(|(place, _)| {
            let lines = log[place..].lines().take(PANIC_LINES_SHOWN);
            lines.collect::<Vec<_>>().join("\n")
        });
        told.partition(|told| !told.lines().next().unwrap_or_default().contains(CORE))
    }

    pub fn pause(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    pub fn resume(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        if let Some(process) = &*self.process.lock().unwrap() {
            process.signal(signal);
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}
