//! Logs to standard error, metrics for Prometheus or OpenTelemetry, and traces.

mod json;
mod labels;
mod lines;
mod metrics;
mod otlp;
mod panics;
mod trace;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::Arc;

use temporalio_common::telemetry::metrics::CoreMeter;
use temporalio_common::telemetry::{
    PrometheusExporterOptions, TelemetryOptions, start_prometheus_metric_exporter,
};
use temporalio_sdk_core::{CoreRuntime, RuntimeOptions};
use tracing_subscriber::EnvFilter;

use labels::DeclaredLabels;
use lines::{LineWriter, Lines};

use crate::activity::redact::logs::Clean;

pub(crate) use labels::Declared;
pub(crate) use metrics::Metrics;
pub(crate) use trace::{Kind, Moment, Span, TRACE_HEADER, TraceContext, Tracer};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum LogFormat {
    /// One line for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("RUST_LOG is not a valid filter of log levels: {0}")]
    Filter(String),
    #[error("cannot serve metrics at {0}: {1}")]
    Metrics(SocketAddr, String),
    #[error("cannot send telemetry as configured in the environment: {0}")]
    Otlp(String),
    #[error("cannot set up the core's telemetry: {0}")]
    Core(String),
}

/// Writes logs from now on. `RUST_LOG` takes precedence over the level.
pub(crate) fn init_logs(level: LogLevel, format: LogFormat) -> Result<(), TelemetryError> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => {
            EnvFilter::try_new(&filter).map_err(|e| TelemetryError::Filter(e.to_string()))?
        }
        _ => EnvFilter::new(default_filter(level)),
    };
    let has_colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // Secrets are removed first, before a line is cut.
    let lines = Lines {
        format,
        has_colours: has_colours && format == LogFormat::Text,
    };
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || Clean(LineWriter(lines)))
        .with_ansi(has_colours);
    // A second subscriber belongs to a test: the first one stays.
    let _ = match format {
        LogFormat::Text => logs.with_target(false).try_init(),
        LogFormat::Json => logs.json().event_format(json::JsonLines).try_init(),
    };
    panics::log_panics(lines);
    Ok(())
}

/// Temporal's core and the libraries below it log one level less than Segno, except at the highest level.
fn default_filter(level: LogLevel) -> String {
    let (ours, core, others) = match level {
        LogLevel::Off => ("off", "off", "off"),
        LogLevel::Error => ("error", "error", "error"),
        LogLevel::Warn => ("warn", "warn", "error"),
        LogLevel::Info => ("info", "warn", "error"),
        LogLevel::Debug => ("debug", "info", "warn"),
        LogLevel::Trace => ("trace", "debug", "info"),
    };
    // The worker has already logged core's failed workflow tasks, more concisely. Only core knows why the server
    // refused one: that is in its `error`.
    let tasks = if core == "warn" { "error" } else { core };
    const TASKS: &str = "temporalio_sdk_core::worker::workflow";
    format!(
        "{others},segno={ours},temporalio_sdk_core={core},{TASKS}={tasks},{TASKS}[{{error}}]={core},\
         temporalio_client={core},temporalio_common={core}"
    )
}

/// The runtime for Temporal's core, on the current tokio runtime. Its logs are written where ours are.
pub(crate) fn core_runtime(
    metrics_address: Option<SocketAddr>,
    declared: Arc<dyn Declared>,
) -> Result<CoreRuntime, TelemetryError> {
    let meter = match metrics_address {
        Some(address) => Some(serve_metrics(address)?),
        None => otlp::metric_exporter()?,
    };
    let meter = meter.map(|meter| {
        let labels: Arc<dyn CoreMeter> = Arc::new(DeclaredLabels { meter, declared });
        labels
    });
    let telemetry = TelemetryOptions::builder().maybe_metrics(meter).build();
    let options = RuntimeOptions::builder()
        .telemetry_options(telemetry)
        .build()
        .map_err(TelemetryError::Core)?;
    CoreRuntime::new_assume_tokio(options).map_err(|e| TelemetryError::Core(e.to_string()))
}

fn serve_metrics(address: SocketAddr) -> Result<Arc<dyn CoreMeter>, TelemetryError> {
    let options = PrometheusExporterOptions::builder()
        .socket_addr(address)
        .build();
    let server = start_prometheus_metric_exporter(options)
        .map_err(|e| TelemetryError::Metrics(address, e.to_string()))?;
    tracing::info!(address = %server.bound_addr, "serving metrics at /metrics");
    Ok(server.meter)
}
