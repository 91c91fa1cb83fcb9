//! Development servers, each with a worker of activities in Python: one for each such worker in a whole test binary.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use segno::client::{Client, ConnectionSettings};
use tokio::runtime::Runtime;

use super::run::Run;
use super::{free_port, root, segno, until};

pub struct Cluster {
    pub address: String,
    /// They end when these pipes close.
    _processes: Vec<Child>,
    unique: AtomicU32,
    client: OnceLock<(Runtime, Client)>,
}

/// By the Python script, with its arguments.
static CLUSTERS: Mutex<BTreeMap<String, &'static OnceLock<Cluster>>> = Mutex::new(BTreeMap::new());

impl Cluster {
    /// The one with the examples' activities, started on first use.
    pub fn get() -> &'static Cluster {
        Cluster::with_activities(&["workflows/activities/worker.py"])
    }

    /// The one with the activities of a Python script, named with its arguments. Different scripts have different servers, whose
    /// workflow ids and schedules do not meet.
    pub fn with_activities(script: &[&str]) -> &'static Cluster {
        let cluster: &OnceLock<Cluster> = CLUSTERS
            .lock()
            .unwrap()
            .entry(script.join(" "))
            .or_insert_with(|| Box::leak(Box::default()));
        cluster.get_or_init(|| Cluster::start(script, &[]))
    }

    /// Another server, which suggests to continue as new early.
    pub fn with_short_histories() -> &'static Cluster {
        static SHORT: OnceLock<Cluster> = OnceLock::new();
        let config = "limit.historyCount.suggestContinueAsNew=40";
        SHORT.get_or_init(|| Cluster::start(&["workflows/activities/worker.py"], &[config]))
    }

    fn start(script: &[&str], config: &[&str]) -> Cluster {
        let port = free_port();
        let address = format!("127.0.0.1:{port}");
        let mut server = Command::new(temporal());
        server
            .args(["server", "start-dev", "--headless", "--log-level", "never"])
            .args(["--ip", "127.0.0.1", "--port", &port.to_string()])
            .args(["--search-attribute", "Stage=Keyword"])
            .args(["--search-attribute", "Rank=Int"])
            // A test may send many updates and queries at once.
            .args(["--dynamic-config-value", "frontend.namespaceRPS=100000"])
            .args(["--dynamic-config-value", "frontend.rps=100000"])
            .args(
                config
                    .iter()
                    .flat_map(|value| ["--dynamic-config-value", value]),
            );
        let mut python = Command::new(python());
        python.args(script).env("TEMPORAL_ADDRESS", &address);
        let server = spawn_bound(&server, Stdio::null(), Stdio::null());
        let cluster = Cluster {
            address,
            _processes: vec![],
            unique: AtomicU32::new(0),
            client: OnceLock::new(),
        };
        until("the server's start", || {
            let listed = cluster.segno(&["list", "--limit", "1"]);
            (listed.code == 0).then_some(())
        });
        let python = spawn_bound(&python, Stdio::null(), Stdio::null());
        Cluster {
            _processes: vec![server, python],
            ..cluster
        }
    }

    /// An id that no other test of this binary has.
    pub fn unique(&self, name: &str) -> String {
        format!("{name}-{}", self.unique.fetch_add(1, Ordering::Relaxed))
    }

    /// Whose operations are served on this task queue.
    pub fn make_nexus_endpoint(&self, name: &str, task_queue: &str) {
        let mut command = Command::new(temporal());
        command
            .args(["operator", "nexus", "endpoint", "create", "--name", name])
            .args(["--target-namespace", "default"])
            .args(["--target-task-queue", task_queue])
            .args(["--address", &self.address]);
        Run::of(&mut command).ok();
    }

    /// Calls the server from this process, which is faster than a command.
    pub fn call<T>(&self, work: impl AsyncFnOnce(&Client) -> T) -> T {
        let (runtime, client) = self.client.get_or_init(|| {
            let runtime = Runtime::new().unwrap();
            let settings = ConnectionSettings {
                address: Some(self.address.clone()),
                disable_config_env: true,
                disable_config_file: true,
                ..ConnectionSettings::default()
            };
            let settings = settings.resolve().unwrap();
            let client = runtime.block_on(Client::connect(&settings)).unwrap();
            (runtime, client)
        });
        runtime.block_on(work(client))
    }

    /// Runs the command line and waits for its end.
    pub fn segno(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(segno());
        command
            .args(arguments)
            .current_dir(root())
            .env("TEMPORAL_ADDRESS", &self.address)
            .env("NO_COLOR", "1");
        Run::of(&mut command)
    }
}

/// Runs a command whose end is bound to this process's: a shell waits for the end of a pipe that only this process
/// holds, and then ends the command. Nothing is left behind even if this process is killed.
pub fn spawn_bound(command: &Command, stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> Child {
    let script = r#""$@" </dev/null & child=$!; cat >/dev/null; kill "$child"; wait "$child""#;
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script, "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
        .current_dir(command.get_current_dir().unwrap_or(root()))
        .stdin(Stdio::piped())
        .stdout(stdout)
        .stderr(stderr);
    shell.spawn().unwrap()
}

/// The `temporal` command: on PATH, else where `tools.sh` installs it.
pub fn temporal() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path);
    let found = folders.find_map(|folder| Some(folder.join("temporal")).filter(|p| p.is_file()));
    found.unwrap_or_else(|| tool("temporal"))
}

/// The Python that has the official SDK.
pub fn python() -> PathBuf {
    tool("python")
}

/// The same with OpenTelemetry beside it.
pub fn python_with_telemetry() -> PathBuf {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| install(". ./tools.sh && tools_telemetry"));
    python()
}

/// The Node.js that has the official TypeScript SDK beside it, in `.tools/typescript`.
pub fn node() -> PathBuf {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| install(". ./tools.sh && tools_typescript"));
    tool("node")
}

/// A tool of the project's own. They are installed by the first test that needs one.
fn tool(name: &str) -> PathBuf {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| install(". ./tools.sh"));
    root().join(".tools/bin").join(name)
}

fn install(script: &str) {
    let status = Command::new("sh")
        .args(["-c", script])
        .current_dir(root())
        .status();
    assert!(
        status.is_ok_and(|s| s.success()),
        "the tools cannot be installed: run ./test"
    );
}
