//! Flags that `segno worker` and `segno dev` share.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::tuning::{TuningArgs, VersionArgs};
use crate::activity::Activity;
use crate::cli::args::own;
use crate::cli::args::policy::PolicyArgs;
use crate::cli::args::task_queue::TASK_QUEUE_DEFAULT;
use crate::cli::error::CliError;
use crate::telemetry::{LogFormat, LogLevel, init_logs};
use crate::worker::WorkerOptions;

/// The flags that `worker` and `dev` share.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// A folder of definitions to serve; it is watched [default: what is deployed to the cluster; of dev: workflows]
    #[arg(long, short = 'd', value_name = "FOLDER", env = "SEGNO_DEFINITIONS")]
    pub(crate) definitions: Option<PathBuf>,
    /// The task queue to serve
    #[arg(long, short = 't', env = "SEGNO_TASK_QUEUE", default_value = TASK_QUEUE_DEFAULT)]
    pub(crate) task_queue: String,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    tuning: TuningArgs,
    #[command(flatten)]
    version: VersionArgs,
    #[command(flatten)]
    logs: LogArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Logs and metrics")]
struct LogArgs {
    /// The level of logs on standard error; RUST_LOG is more specific
    #[arg(long, value_enum, default_value = "info")]
    log_level: Level,
    /// The format of logs
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

impl ServeArgs {
    pub(crate) fn init_logs(&self) -> Result<(), CliError> {
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

    pub(crate) fn activities(&self) -> Result<Vec<Arc<dyn Activity>>, CliError> {
        self.policy.activities()
    }

    pub(crate) fn options(&self) -> Result<WorkerOptions, CliError> {
        own::refuse_queue(&self.task_queue)?;
        let mut options = WorkerOptions::new(self.task_queue.clone());
        self.tuning.apply(&mut options)?;
        options.deployment = self.version.deployment()?;
        options.metrics_address = self.logs.metrics_address;
        Ok(options)
    }
}
