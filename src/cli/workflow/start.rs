//! `segno start`: starts a workflow, and with `--wait` waits for its end.

use clap::{Args, ValueEnum};
use serde_json::json;

use super::asked::{self, Asked, Starts};
use super::ended::report;
use super::options::{WorkflowOptionArgs, of_version};
use super::trouble::{answer, goes_plain};
use super::updated::WaitFor;
use super::{signal_check, updated};
use crate::catalog::VersionQuery;
use crate::cli::args::connection::ConnectionArgs;
use crate::cli::args::input::json_payload;
use crate::cli::args::registry::RegistryArgs;
use crate::cli::args::values::{cron_schedule, length};
use crate::cli::error::{CliError, End};
use crate::cli::print::{Output, Tone, styled};
use crate::client::{
    Client, StartOptions, Started, UpdateOptions, WorkflowIdConflictPolicy, WorkflowIdReusePolicy,
    WorkflowRef,
};
use crate::registry;
use crate::value::{Duration, Payload};

#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// The workflow type, which is the definition's key `workflow`
    #[arg(value_name = "TYPE", required_unless_present = "definition")]
    workflow_type: Option<String>,
    /// Run this deployed version instead of the one that new runs get, such as order@12 or order@stable
    #[arg(long, value_name = "TYPE@VERSION", conflicts_with_all = ["workflow_type", "definitions"])]
    definition: Option<VersionQuery>,
    #[command(flatten)]
    registry: RegistryArgs,
    /// Start without consulting the registry about the type, its defaults and the schema of its input
    #[arg(long)]
    unchecked: bool,
    /// Wait for the end and print the result
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    options: WorkflowOptionArgs,
    #[command(flatten)]
    policies: PolicyArgs,
    #[command(flatten)]
    signal: SignalArgs,
    #[command(flatten)]
    update: UpdateArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Policies")]
struct PolicyArgs {
    /// Whether the id of a closed workflow may be used again
    #[arg(long, value_enum)]
    id_reuse_policy: Option<IdReusePolicy>,
    /// What happens if a workflow with the id is running
    #[arg(long, value_enum)]
    id_conflict_policy: Option<IdConflictPolicy>,
    /// Fail if a workflow with the id exists, running or closed
    #[arg(long, conflicts_with_all = ["id_reuse_policy", "id_conflict_policy"])]
    fail_existing: bool,
    /// Start a run at each of these times, for instance "0 12 * * *"
    #[arg(long, value_name = "CRON", value_parser = cron_schedule)]
    cron_schedule: Option<String>,
    /// Wait for this long before the first workflow task
    #[arg(long, value_name = "DURATION", value_parser = length, allow_hyphen_values = true)]
    #[arg(conflicts_with = "cron_schedule")]
    start_delay: Option<Duration>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Signal with start")]
struct SignalArgs {
    /// Send this signal too, even to a workflow that is already running
    #[arg(long, value_name = "NAME")]
    signal: Option<String>,
    /// An argument of the signal, in JSON; may be given several times
    #[arg(
        long,
        value_name = "JSON",
        requires = "signal",
        allow_negative_numbers = true
    )]
    signal_input: Vec<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Update with start")]
struct UpdateArgs {
    /// Send this update too, even to a workflow that is already running, and print its result
    #[arg(long, value_name = "NAME", conflicts_with_all = ["signal", "wait", "cron_schedule", "start_delay"])]
    update: Option<String>,
    /// An argument of the update, in JSON; may be given several times
    #[arg(
        long,
        value_name = "JSON",
        requires = "update",
        allow_negative_numbers = true
    )]
    update_input: Vec<String>,
    /// The update's id; updates with the same id are one [default: a unique id]
    #[arg(long, value_name = "ID", requires = "update")]
    update_id: Option<String>,
    /// Whether to return when the update is accepted or when it is completed
    #[arg(long, value_enum, default_value = "completed", requires = "update")]
    wait_for: WaitFor,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "kebab-case")]
enum IdReusePolicy {
    #[value(alias = "AllowDuplicate")]
    AllowDuplicate,
    #[value(alias = "AllowDuplicateFailedOnly")]
    AllowDuplicateFailedOnly,
    #[value(alias = "RejectDuplicate")]
    RejectDuplicate,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "kebab-case")]
enum IdConflictPolicy {
    #[value(alias = "Fail")]
    Fail,
    #[value(alias = "UseExisting")]
    UseExisting,
    #[value(alias = "TerminateExisting")]
    TerminateExisting,
}

pub(crate) async fn run(args: StartArgs, output: Output) -> Result<End, CliError> {
    // Mistakes in the flags are reported before any request to the cluster.
    let flags = args.options.flags()?;
    let read = args.workflow_type.as_deref();
    let read = read.map(|name| args.options.read(name, flags.clone()));
    let read = read.transpose()?;
    let update = args.update.read()?;
    let client = args.connection.connect().await?;
    let Asked {
        options,
        definition,
    } = match read {
        Some(options) if args.unchecked || args.options.has_folder() => Asked {
            definition: args.options.definition(&options.workflow_type)?,
            options,
        },
        Some(options) => {
            asked::of_registry(&args.registry, &client, Starts::Once, flags, options).await?
        }
        None => Asked {
            options: args.version(&client, flags).await?,
            definition: None,
        },
    };
    let options = args.options(options)?;
    if options.signal.is_some() {
        let known = definition.as_ref().map(|loaded| &loaded.program);
        signal_check::check_with_start(&client, &options, known, output).await?;
    }
    let plain = args.goes_plain(&client, &options, update.as_ref()).await;
    let task_queue = options.task_queue.clone();
    let workflow_type = options.workflow_type.clone();
    let (started, updated) = match update {
        None => (client.start(options).await?, None),
        Some(update) => {
            let name = update.name.clone();
            let progress = output.progress(format!("waiting for {name}"));
            let id = options.workflow_id.clone().unwrap_or_default();
            let sent = client.update_with_start(options, update);
            let workflow = WorkflowRef::new(id, None);
            let (started, updated) = answer(&client, &workflow, sent, output).await?;
            drop(progress);
            (started, Some((name, updated)))
        }
    };
    let workflow = WorkflowRef::new(&started.workflow_id, Some(started.run_id.clone()));
    let mut json = json!({
        "workflowId": started.workflow_id,
        "runId": started.run_id,
        "type": workflow_type,
        "namespace": client.namespace(),
        "taskQueue": task_queue,
        "started": started.started,
        "plainInEncodedRun": plain,
    });
    if let Some((name, updated)) = updated {
        output.remark(line(&started));
        return updated::report(json, &name, &updated, output);
    }
    if !args.wait {
        match output.is_json() {
            true => output.json(&json)?,
            false => output.line(line(&started))?,
        }
        return Ok(End::Done);
    }
    output.remark(line(&started));
    let progress = output.progress(format!("waiting for {}", started.workflow_id));
    let ended = client.result(&workflow, true).await?;
    drop(progress);
    report(&mut json, &workflow, &ended, output)
}

fn line(started: &Started) -> String {
    let word = match started.started {
        true => "started",
        false => "runs already",
    };
    format!(
        "{} {word} {}",
        styled(Tone::Good, &started.workflow_id),
        styled(Tone::Dim, format!("run {}", started.run_id))
    )
}

impl StartArgs {
    /// The options for starting a deployed version.
    async fn version(
        &self,
        client: &Client,
        flags: StartOptions,
    ) -> Result<StartOptions, CliError> {
        let store = self.registry.of(client)?;
        let catalog = store.read().await?;
        let Some(query) = &self.definition else {
            return Err(CliError::usage("no workflow type was given"));
        };
        let (definition, version) = catalog.find(query)?;
        let entry = registry::version(&*store, definition, version).await?;
        of_version(&entry, flags)
    }

    /// Whether a signal or an update is sent unencoded to an existing run.
    async fn goes_plain(
        &self,
        client: &Client,
        options: &StartOptions,
        update: Option<&UpdateOptions>,
    ) -> bool {
        let Some(id) = &options.workflow_id else {
            return false;
        };
        let input = match (&options.signal, update) {
            (Some((_, input)), _) => input,
            (None, Some(update)) => &update.input,
            (None, None) => return false,
        };
        goes_plain(client, &WorkflowRef::new(id.clone(), None), input).await
    }

    fn options(&self, options: StartOptions) -> Result<StartOptions, CliError> {
        let policies = &self.policies;
        Ok(StartOptions {
            start_delay: policies.start_delay,
            id_reuse_policy: policies.id_reuse_policy().or(options.id_reuse_policy),
            id_conflict_policy: policies.id_conflict_policy().or(options.id_conflict_policy),
            cron_schedule: policies.cron_schedule.clone().or(options.cron_schedule),
            signal: self.signal.read()?,
            ..options
        })
    }
}

impl UpdateArgs {
    fn read(&self) -> Result<Option<UpdateOptions>, CliError> {
        let input = self.update_input.iter();
        let input: Vec<_> = input
            .map(|text| json_payload("--update-input", text))
            .collect::<Result<_, _>>()?;
        Ok(self.update.clone().map(|name| UpdateOptions {
            name,
            input,
            update_id: self.update_id.clone(),
            wait_for: self.wait_for.stage(),
            first_execution_run_id: None,
        }))
    }
}

impl SignalArgs {
    fn read(&self) -> Result<Option<(String, Vec<Payload>)>, CliError> {
        let input = self.signal_input.iter();
        let input: Vec<_> = input
            .map(|text| json_payload("--signal-input", text))
            .collect::<Result<_, _>>()?;
        Ok(self.signal.clone().map(|name| (name, input)))
    }
}

impl PolicyArgs {
    fn id_reuse_policy(&self) -> Option<WorkflowIdReusePolicy> {
        if self.fail_existing {
            return Some(WorkflowIdReusePolicy::RejectDuplicate);
        }
        self.id_reuse_policy.map(|policy| match policy {
            IdReusePolicy::AllowDuplicate => WorkflowIdReusePolicy::AllowDuplicate,
            IdReusePolicy::AllowDuplicateFailedOnly => {
                WorkflowIdReusePolicy::AllowDuplicateFailedOnly
            }
            IdReusePolicy::RejectDuplicate => WorkflowIdReusePolicy::RejectDuplicate,
        })
    }

    fn id_conflict_policy(&self) -> Option<WorkflowIdConflictPolicy> {
        if self.fail_existing {
            return Some(WorkflowIdConflictPolicy::Fail);
        }
        self.id_conflict_policy.map(|policy| match policy {
            IdConflictPolicy::Fail => WorkflowIdConflictPolicy::Fail,
            IdConflictPolicy::UseExisting => WorkflowIdConflictPolicy::UseExisting,
            IdConflictPolicy::TerminateExisting => WorkflowIdConflictPolicy::TerminateExisting,
        })
    }
}
