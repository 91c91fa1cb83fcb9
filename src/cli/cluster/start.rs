//! `segno start`: starts a workflow, and with `--wait` waits for its end.

use clap::{Args, ValueEnum};
use serde_json::json;

use super::connection::ConnectionArgs;
use super::input::json_payload;
use super::result::report;
use super::values::{cron_schedule, length};
use super::workflow_options::WorkflowOptionArgs;
use crate::cli::output::{CliError, End, Output, Tone, styled};
use crate::client::{StartOptions, WorkflowIdConflictPolicy, WorkflowIdReusePolicy, WorkflowRef};
use crate::value::{Duration, Payload};

#[derive(Debug, Args)]
pub struct StartArgs {
    /// The workflow type, as the definition's key `workflow` names it
    #[arg(value_name = "TYPE")]
    workflow_type: String,
    #[command(flatten)]
    options: WorkflowOptionArgs,
    /// Wait for the end and print the result
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    policies: PolicyArgs,
    #[command(flatten)]
    signal: SignalArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Policies")]
struct PolicyArgs {
    /// Whether the id of a workflow that has closed may be used again
    #[arg(long, value_enum)]
    id_reuse_policy: Option<IdReusePolicy>,
    /// What happens when a workflow with the id is running
    #[arg(long, value_enum)]
    id_conflict_policy: Option<IdConflictPolicy>,
    /// Fail if a workflow with the id is there, running or closed
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
    /// Send this signal too, also to a workflow that runs already
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

pub async fn run(args: StartArgs, output: Output) -> Result<End, CliError> {
    let options = args.options()?;
    let task_queue = options.task_queue.clone();
    let client = args.connection.connect().await?;
    let started = client.start(options).await?;
    let workflow = WorkflowRef::new(&started.workflow_id, Some(started.run_id.clone()));
    let mut json = json!({
        "workflowId": started.workflow_id,
        "runId": started.run_id,
        "type": args.workflow_type,
        "namespace": client.namespace(),
        "taskQueue": task_queue,
        "started": started.started,
    });
    let word = if started.started {
        "started"
    } else {
        "runs already"
    };
    let line = format!(
        "{} {word} {}",
        styled(Tone::Good, &started.workflow_id),
        styled(Tone::Dim, format!("run {}", started.run_id))
    );
    if !args.wait {
        match output.is_json() {
            true => output.json(&json)?,
            false => output.line(line)?,
        }
        return Ok(End::Done);
    }
    output.remark(line);
    let progress = output.progress(format!("waiting for {}", started.workflow_id));
    let ended = client.result(&workflow, true).await?;
    drop(progress);
    report(&mut json, &workflow, &ended, output)
}

impl StartArgs {
    fn options(&self) -> Result<StartOptions, CliError> {
        let options = self.options.read(&self.workflow_type)?;
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
