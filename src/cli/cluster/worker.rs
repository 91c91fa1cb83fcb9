//! `segno worker`: serves a folder's definitions on a task queue.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use super::TASK_QUEUE_DEFAULT;
use super::connection::ConnectionArgs;
use super::own;
use super::store::RegistryArgs;
use super::tuning::{TuningArgs, VersionArgs};
use crate::activity::policy::Profile;
use crate::activity::{self, Activity};
use crate::cli::hidden;
use crate::cli::output::{CliError, End, Output};
use crate::client::{Client, ResolvedSettings};
use crate::registry::{Change, Deployed, Folder, Registry, schedules};
use crate::report::{Format, Report};
use crate::telemetry::{LogFormat, LogLevel, init_logs};
use crate::worker::{self, WorkerOptions};

#[derive(Debug, Args)]
pub struct WorkerArgs {
    #[command(flatten)]
    pub serve: ServeArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// What `worker` and `dev` have in common.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// A folder of definitions to serve; it is watched [default: what is deployed to the cluster; of dev: workflows]
    #[arg(long, short = 'd', value_name = "FOLDER", env = "SEGNO_DEFINITIONS")]
    pub definitions: Option<PathBuf>,
    /// The task queue to serve
    #[arg(long, short = 't', env = "SEGNO_TASK_QUEUE", default_value = TASK_QUEUE_DEFAULT)]
    pub task_queue: String,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    tuning: TuningArgs,
    #[command(flatten)]
    version: VersionArgs,
    #[command(flatten)]
    logs: LogArgs,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "What definitions may do")]
pub struct PolicyArgs {
    /// Hosts that `http` and `grpc` may talk to: a name with * for anything, an address or a network; may be given several times
    /// [default: all but clouds' metadata services]
    #[arg(long, value_name = "PATTERN")]
    http_allow: Vec<String>,
    /// Hosts that `http` and `grpc` may not talk to, whatever else allows them; may be given several times
    #[arg(long, value_name = "PATTERN")]
    http_refuse: Vec<String>,
    /// What holds beside these two lists
    #[arg(long, value_enum, default_value = "open", value_name = "PROFILE")]
    http_policy: HttpPolicy,
    /// A program that `exec` may run, by a name of the worker's choice; may be given several times [default: none]
    #[arg(long, value_name = "NAME=PATH")]
    exec_allow: Vec<String>,
    /// An environment variable that definitions may set for these programs; may be given several times [default: none]
    #[arg(long, value_name = "NAME")]
    exec_env: Vec<String>,
    /// A folder in which the file NAME holds the secret NAME; else it is the environment's SEGNO_SECRET_NAME
    #[arg(long, value_name = "FOLDER")]
    secrets_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum HttpPolicy {
    /// Every host that nothing refuses
    Open,
    /// Only hosts that --http-allow names, by https, on the public internet, and no redirect to another origin
    Strict,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Logs and metrics")]
struct LogArgs {
    /// What is logged, to standard error; RUST_LOG says it in more detail
    #[arg(long, value_enum, default_value = "info")]
    log_level: Level,
    /// How it is logged
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormatArg,
    /// Serve metrics for Prometheus at this address, for instance 127.0.0.1:9090
    #[arg(long, value_name = "HOST:PORT")]
    metrics_address: Option<SocketAddr>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Level {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormatArg {
    Text,
    Json,
}

pub async fn run(args: WorkerArgs, _: Output) -> Result<End, CliError> {
    args.serve.init_logs()?;
    let settings = args.connection.resolve()?;
    // What is wrong with the flags is said before anything is asked of the cluster.
    let (options, activities) = (args.serve.options()?, args.serve.activities()?);
    let registry = match &args.serve.definitions {
        Some(folder) => folder_registry(folder)?,
        None => {
            args.registry.refuse_queue(&args.serve.task_queue)?;
            deployed_registry(&settings, &args.registry).await?
        }
    };
    let shutdown = CancellationToken::new();
    tokio::spawn(cancel_on_signal(shutdown.clone()));
    worker::run(&settings, options, registry, activities, shutdown).await?;
    Ok(End::Done)
}

impl ServeArgs {
    pub fn init_logs(&self) -> Result<(), CliError> {
        let level = match self.logs.log_level {
            Level::Off => LogLevel::Off,
            Level::Error => LogLevel::Error,
            Level::Warn => LogLevel::Warn,
            Level::Info => LogLevel::Info,
            Level::Debug => LogLevel::Debug,
            Level::Trace => LogLevel::Trace,
        };
        let format = match self.logs.log_format {
            LogFormatArg::Text => LogFormat::Text,
            LogFormatArg::Json => LogFormat::Json,
        };
        init_logs(level, format).map_err(CliError::usage)
    }

    pub fn activities(&self) -> Result<Vec<Arc<dyn Activity>>, CliError> {
        self.policy.activities()
    }

    pub fn options(&self) -> Result<WorkerOptions, CliError> {
        own::refuse_queue(&self.task_queue)?;
        let mut options = WorkerOptions::new(self.task_queue.clone());
        self.tuning.apply(&mut options)?;
        options.deployment = self.version.deployment()?;
        options.metrics_address = self.logs.metrics_address;
        Ok(options)
    }
}

/// What `http` and `grpc` may talk to in a test, unless --http-allow says something else.
const THIS_MACHINE: [&str; 3] = ["localhost", "127.0.0.0/8", "::1"];

impl PolicyArgs {
    /// Where nothing else is said, only what is on this machine is talked to.
    pub fn on_this_machine(&self) -> PolicyArgs {
        let mut policy = self.clone();
        if policy.http_allow.is_empty() {
            policy.http_allow = THIS_MACHINE.map(str::to_owned).to_vec();
        }
        policy
    }

    pub fn activities(&self) -> Result<Vec<Arc<dyn Activity>>, CliError> {
        let PolicyArgs {
            http_allow,
            http_refuse,
            http_policy,
            exec_allow,
            exec_env,
            secrets_dir,
        } = self;
        let permissions = activity::Permissions {
            hosts: http_allow,
            hosts_refused: http_refuse,
            profile: match http_policy {
                HttpPolicy::Open => Profile::Open,
                HttpPolicy::Strict => Profile::Strict,
            },
            programs: exec_allow,
            variables: exec_env,
            secrets_folder: secrets_dir.clone(),
            keeper: std::env::current_exe().ok(),
        };
        if !exec_allow.is_empty() {
            hidden::keep_memory_private();
        }
        activity::built_in(permissions).map_err(CliError::usage)
    }
}

/// Reads the definitions and watches them; what is wrong with them is logged.
pub fn folder_registry(folder: &Path) -> Result<Arc<dyn Registry>, CliError> {
    let registry = Folder::open(folder, log_change).map_err(|error| {
        CliError::usage(error).help("--definitions names the folder with the definitions")
    })?;
    if registry.workflow_types().is_empty() {
        let folder = folder.display();
        tracing::warn!("no sound definition is in {folder} yet: nothing can be started");
    }
    Ok(Arc::new(registry))
}

/// Serves what is deployed, and follows it.
async fn deployed_registry(
    settings: &ResolvedSettings,
    registry: &RegistryArgs,
) -> Result<Arc<dyn Registry>, CliError> {
    let client = Client::connect(settings).await?;
    let store = registry.of(&client)?;
    let name = store.name();
    let deployed = Deployed::open(store, log_change).await?;
    let due = deployed.due_schedules();
    tokio::spawn(schedules::finish(registry.following(&client)?, due));
    if deployed.workflow_types().is_empty() {
        tracing::warn!("nothing is deployed to {name} yet: `segno deploy FOLDER` does that");
    }
    Ok(Arc::new(deployed))
}

fn log_change(change: Change) {
    match change {
        Change::Added {
            workflow_type,
            digest,
        } => {
            tracing::info!(%workflow_type, %digest, "a definition is in force");
        }
        Change::Changed {
            workflow_type,
            digest,
        } => {
            tracing::info!(%workflow_type, %digest, "a definition changed: new runs have the new one");
        }
        Change::Removed { workflow_type } => {
            tracing::info!(%workflow_type, "a definition was removed: runs in flight go on");
        }
        Change::Noticed { notice } => tracing::warn!("{notice}"),
        Change::Deployed { name } => tracing::info!(%name, "a version is in force"),
        Change::Refused { name, reason } => {
            tracing::error!(%name, "this worker cannot read a version, and serves the last good one: {reason}");
        }
        Change::Broken {
            path,
            stays,
            sources,
            diagnostics,
        } => {
            let report = Report::new(&sources, diagnostics, 1);
            let text = report.render(Format::Text, false);
            let stays = match stays.as_slice() {
                [] => "none of its definitions is in force".to_owned(),
                types => format!("the last good version stays in force: {}", types.join(", ")),
            };
            tracing::error!(%path, "a definition is broken; {stays}\n{}", text.trim_end());
        }
        Change::Unreadable { reason } => {
            tracing::error!(
                "the definitions cannot be read, the last ones stay in force: {reason}"
            );
        }
    }
}

/// The first signal asks the worker to stop, the second one does not wait.
pub async fn cancel_on_signal(shutdown: CancellationToken) {
    if let Err(error) = signal().await {
        tracing::error!("signals cannot be received: {error}");
        return;
    }
    shutdown.cancel();
    if signal().await.is_ok() {
        std::process::exit(130);
    }
}

#[cfg(unix)]
async fn signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}

impl From<worker::WorkerError> for CliError {
    fn from(error: worker::WorkerError) -> Self {
        match error {
            worker::WorkerError::Client(error) => error.into(),
            worker::WorkerError::Options(_) => CliError::usage(error),
            error => CliError::new(error),
        }
    }
}
