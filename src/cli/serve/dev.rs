//! `segno dev`: a development server and a worker over a folder, in one command.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clap::Args;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::definitions::folder_registry;
use super::serving::ServeArgs;
use super::stop::cancel_on_signal;
use crate::cli::args::codec::CodecArgs;
use crate::cli::args::task_queue::task_queue_of;
use crate::cli::error::{CliError, End};
use crate::cli::print::{Output, Tone, styled};
use crate::client::{Client, ConnectionSettings, ResolvedSettings};
use crate::registry::Registry;
use crate::value::Value;
use crate::worker;

/// The folder that is served by default.
const DEFINITIONS: &str = "workflows";
/// Where a project keeps its own tools.
const PROJECT_TOOL: &str = ".tools/bin/temporal";
const SERVER_START_TIMEOUT: Duration = Duration::from_secs(60);
const SERVER_STOP_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    #[command(flatten)]
    serve: ServeArgs,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    codec: CodecArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Development server")]
struct ServerArgs {
    /// The official `temporal` command [default: the one on PATH, else ./.tools/bin/temporal]
    #[arg(long, value_name = "FILE")]
    temporal_binary: Option<PathBuf>,
    /// The server's port; 0 selects a free one
    #[arg(long, env = "SEGNO_DEV_PORT", default_value_t = 7233)]
    port: u16,
    /// The port of Temporal's UI; 0 selects a free one
    #[arg(long, env = "SEGNO_DEV_UI_PORT", default_value_t = 8233)]
    ui_port: u16,
    /// Do not start Temporal's UI
    #[arg(long)]
    headless: bool,
    /// The namespace of the worker
    #[arg(long, short = 'n', default_value = "default")]
    namespace: String,
    /// Keep the workflows in this file [default: in memory, until the server ends]
    #[arg(long, value_name = "FILE")]
    db_filename: Option<PathBuf>,
    /// A search attribute to create, for instance CustomerId=Keyword; may be given several times
    #[arg(long, value_name = "NAME=TYPE")]
    search_attribute: Vec<String>,
}

pub(crate) async fn run(args: DevArgs, output: Output) -> Result<End, CliError> {
    args.serve.init_logs()?;
    let binary = args.server.binary()?;
    let registry = folder_registry(
        args.serve
            .definitions
            .as_deref()
            .unwrap_or(Path::new(DEFINITIONS)),
    )?;
    let port = free_port("--port", args.server.port)?;
    let ui_port = match args.server.headless {
        true => 0,
        false => free_port("--ui-port", args.server.ui_port)?,
    };
    let shutdown = CancellationToken::new();
    tokio::spawn(cancel_on_signal(shutdown.clone()));

    let mut server = args
        .server
        .command(&binary, port, ui_port)
        .spawn()
        .map_err(|error| CliError::new(format!("cannot start {}: {error}", binary.display())))?;
    let settings = ConnectionSettings {
        address: Some(format!("127.0.0.1:{port}")),
        namespace: Some(args.server.namespace.clone()),
        disable_config_file: true,
        disable_config_env: true,
        codec: args.codec.settings(),
        ..Default::default()
    };
    let settings = settings.resolve()?;
    let result = tokio::select! {
        result = serve(&args, &settings, port, ui_port, registry, shutdown, output) => result,
        status = server.wait() => {
            let status = status.map(|s| s.to_string()).unwrap_or_default();
            return Err(CliError::new(format!("the development server ended: {status}")));
        }
    };
    stop(&mut server).await;
    result
}

async fn serve(
    args: &DevArgs,
    settings: &ResolvedSettings,
    port: u16,
    ui_port: u16,
    registry: std::sync::Arc<dyn crate::registry::Registry>,
    shutdown: CancellationToken,
    output: Output,
) -> Result<End, CliError> {
    let progress = output.progress("starting the development server".to_owned());
    tokio::select! {
        ready = ready(settings) => ready?,
        () = shutdown.cancelled() => return Ok(End::Done),
    }
    drop(progress);
    let types = registry.workflow_types();
    let address = format!("127.0.0.1:{port}");
    let ui = (!args.server.headless).then(|| format!("http://127.0.0.1:{ui_port}"));
    if output.is_json() {
        output.json(&serde_json::json!({
            "address": address,
            "ui": ui,
            "namespace": settings.namespace,
            "taskQueue": args.serve.task_queue,
            "workflowTypes": types,
        }))?;
    } else {
        let line = |name: &str, text: &str| {
            output.line(format!(
                "{} {text}",
                styled(Tone::Bold, format!("{name:<12}"))
            ))
        };
        line("server", &address)?;
        if let Some(ui) = &ui {
            line("UI", ui)?;
        }
        line("task queue", &args.serve.task_queue)?;
        line("workflows", &types.join(", "))?;
        if let Some(start) = start_to_try(&*registry, &types) {
            let flags = flags_to_try(settings, &address, &args.serve.task_queue);
            line("try", &format!("{start}{flags}"))?;
        }
    }
    let activities = args.serve.activities()?;
    worker::run(
        settings,
        args.serve.options()?,
        registry,
        activities,
        shutdown,
    )
    .await?;
    Ok(End::Done)
}

/// A command that starts a workflow of the worker, with an input that its schema accepts.
fn start_to_try(registry: &dyn Registry, types: &[String]) -> Option<String> {
    let mut types = types.iter().filter(|name| !name.starts_with('-'));
    types.find_map(|name| {
        let entry = registry.for_new_run(name, "")?;
        let schema = entry.loaded.program.main.input.as_ref();
        let input = schema.filter(|schema| schema.violation(&Value::Null).is_some());
        let input = match input {
            None => String::new(),
            Some(schema) => format!(" --input {}", quoted(&schema.example()?.to_string())),
        };
        Some(format!("segno start {}{input}", quoted_if_odd(name)))
    })
}

/// The flags that the start needs to find this server and worker, beside the environment and the configuration file.
fn flags_to_try(settings: &ResolvedSettings, address: &str, task_queue: &str) -> String {
    let mut flags = String::new();
    let usual = ConnectionSettings::default().resolve().ok();
    let usual = usual.as_ref();
    let finds_server = usual.is_some_and(|usual| {
        let found = usual.address.trim_end_matches('/');
        let host = found.strip_suffix(address.trim_start_matches("127.0.0.1"));
        matches!(host, Some("http://localhost" | "http://127.0.0.1"))
    });
    if !finds_server {
        flags += &format!(" --address {address}");
    }
    if usual.is_none_or(|usual| usual.namespace != settings.namespace) {
        flags += &format!(" --namespace {}", quoted_if_odd(&settings.namespace));
    }
    if task_queue_of(None) != task_queue {
        flags += &format!(" --task-queue {}", quoted_if_odd(task_queue));
    }
    flags
}

/// Quoted for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn quoted_if_odd(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':');
    match text.chars().all(is_plain) && !text.starts_with('-') {
        true => text.to_owned(),
        false => quoted(text),
    }
}

/// Waits until the server answers and has its namespace.
async fn ready(settings: &ResolvedSettings) -> Result<(), CliError> {
    let deadline = Instant::now() + SERVER_START_TIMEOUT;
    loop {
        let error = match Client::connect(settings).await {
            Ok(client) => match client.list_page("", 1, Vec::new()).await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            },
            Err(error) => error,
        };
        if Instant::now() > deadline {
            return Err(CliError::new(format!(
                "the development server was not ready within {} seconds: {error}",
                SERVER_START_TIMEOUT.as_secs()
            )));
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Asks the server to end, then kills it.
async fn stop(server: &mut Child) {
    #[cfg(unix)]
    if let Some(id) = server
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(rustix_pid)
    {
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        if tokio::time::timeout(SERVER_STOP_TIMEOUT, server.wait())
            .await
            .is_ok()
        {
            return;
        }
    }
    let _ = server.kill().await;
}

#[cfg(unix)]
fn rustix_pid(id: i32) -> Option<rustix::process::Pid> {
    rustix::process::Pid::from_raw(id)
}

impl ServerArgs {
    fn binary(&self) -> Result<PathBuf, CliError> {
        if let Some(binary) = &self.temporal_binary {
            return match binary.is_file() {
                true => Ok(binary.clone()),
                false => Err(CliError::usage(format!("there is no {}", binary.display()))),
            };
        }
        let name = format!("temporal{}", std::env::consts::EXE_SUFFIX);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path = std::env::split_paths(&path).map(|folder| folder.join(&name));
        let mut places = on_path.chain([Path::new(PROJECT_TOOL).to_owned()]);
        places.find(|place| place.is_file()).ok_or_else(|| {
            CliError::new("the `temporal` command is neither on PATH nor at ./.tools/bin/temporal").help(
                "install Temporal's command line (https://docs.temporal.io/cli), or name it with --temporal-binary",
            )
        })
    }

    fn command(&self, binary: &Path, port: u16, ui_port: u16) -> Command {
        let mut command = Command::new(binary);
        command.args([
            "server",
            "start-dev",
            "--ip",
            "127.0.0.1",
            "--log-level",
            "error",
        ]);
        command.args(["--port", &port.to_string()]);
        match self.headless {
            true => command.arg("--headless"),
            false => command.args(["--ui-port", &ui_port.to_string()]),
        };
        if self.namespace != "default" {
            command.args(["--namespace", &self.namespace]);
        }
        if let Some(file) = &self.db_filename {
            command.arg("--db-filename").arg(file);
        }
        for attribute in &self.search_attribute {
            command.args(["--search-attribute", attribute]);
        }
        // Ctrl-C is sent to the whole group of a terminal: the worker stops first, then we stop the server.
        #[cfg(unix)]
        command.process_group(0);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        command
    }
}

/// The port, if nothing listens on it; for 0 any free one. Otherwise we would connect to a server that is not ours.
fn free_port(flag: &str, port: u16) -> Result<u16, CliError> {
    match TcpListener::bind(("127.0.0.1", port)).and_then(|listener| listener.local_addr()) {
        Ok(address) => Ok(address.port()),
        Err(error) => Err(
            CliError::new(format!("cannot listen on port {port}: {error}")).help(format!(
                "choose another port with {flag}; 0 selects a free one"
            )),
        ),
    }
}
