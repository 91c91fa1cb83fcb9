//! `segno start`: starts a workflow, and with `--wait` waits for its end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::TASK_QUEUE_DEFAULT;
use super::connection::{ConnectionArgs, key_value};
use super::input::{InputArgs, json_fields, json_payload};
use super::result::report;
use crate::cli::output::{CliError, End, Output, Tone, styled};
use crate::client::{StartOptions, WorkflowIdConflictPolicy, WorkflowIdReusePolicy, WorkflowRef};
use crate::engine::command::RetryPolicy;
use crate::engine::start::StartDefaults;
use crate::payload::{id_conflict_policy_to_proto, id_reuse_policy_to_proto};
use crate::registry::{Folder, Registry};
use crate::value::{Duration, Payload, Timestamp, Value};

#[derive(Debug, Args)]
pub struct StartArgs {
    /// The workflow type, as the definition's key `workflow` names it
    #[arg(value_name = "TYPE")]
    workflow_type: String,
    /// Take the defaults under the definition's `start` from this folder, and hold the input against its schema
    #[arg(long, short = 'd', value_name = "FOLDER", env = "SEGNO_DEFINITIONS")]
    definitions: Option<PathBuf>,
    /// The task queue that the worker polls [default: the definition's, else segno]
    #[arg(long, short = 't', env = "SEGNO_TASK_QUEUE")]
    task_queue: Option<String>,
    /// The workflow's id [default: the definition's, else a unique one]
    #[arg(long, short = 'w')]
    workflow_id: Option<String>,
    #[command(flatten)]
    input: InputArgs,
    /// Wait for the end and print the result
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    timeouts: TimeoutArgs,
    #[command(flatten)]
    policies: PolicyArgs,
    #[command(flatten)]
    about: AboutArgs,
    #[command(flatten)]
    signal: SignalArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Timeouts")]
struct TimeoutArgs {
    /// Of the workflow with all its retries and runs
    #[arg(long, value_name = "DURATION", value_parser = Duration::parse)]
    execution_timeout: Option<Duration>,
    /// Of one run
    #[arg(long, value_name = "DURATION", value_parser = Duration::parse)]
    run_timeout: Option<Duration>,
    /// Of one workflow task
    #[arg(long, value_name = "DURATION", value_parser = Duration::parse)]
    task_timeout: Option<Duration>,
    /// Wait for this long before the first workflow task
    #[arg(long, value_name = "DURATION", value_parser = Duration::parse, conflicts_with = "cron_schedule")]
    start_delay: Option<Duration>,
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
    #[arg(long, value_name = "CRON")]
    cron_schedule: Option<String>,
    /// Before the first retry of a workflow that failed; any of the retry options turns retries on
    #[arg(long, value_name = "DURATION", value_parser = Duration::parse)]
    retry_initial_interval: Option<Duration>,
    /// How much longer each wait is than the last
    #[arg(long, value_name = "NUMBER")]
    retry_backoff_coefficient: Option<f64>,
    /// The longest wait between retries
    #[arg(long, value_name = "DURATION", value_parser = Duration::parse)]
    retry_maximum_interval: Option<Duration>,
    /// How often the workflow is tried at most; 0 is without end
    #[arg(long, value_name = "COUNT")]
    retry_maximum_attempts: Option<u32>,
    /// An error type that is not retried; may be given several times
    #[arg(long, value_name = "TYPE")]
    retry_non_retryable_error_type: Vec<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "About the workflow")]
struct AboutArgs {
    /// A note that stays with the workflow, in JSON; may be given several times
    #[arg(long, value_name = "KEY=JSON", value_parser = key_value)]
    memo: Vec<(String, String)>,
    /// A search attribute, in JSON; may be given several times
    #[arg(long, value_name = "KEY=JSON", value_parser = key_value)]
    search_attribute: Vec<(String, String)>,
    /// A header of the workflow, in JSON; may be given several times
    #[arg(long, value_name = "KEY=JSON", value_parser = key_value)]
    headers: Vec<(String, String)>,
    /// One line about the workflow for Temporal's UI
    #[arg(long, value_name = "TEXT")]
    static_summary: Option<String>,
    /// More about the workflow for Temporal's UI, in Markdown
    #[arg(long, value_name = "TEXT")]
    static_details: Option<String>,
    /// 1 is the most urgent, 5 the least [default: 3]
    #[arg(long, value_name = "NUMBER")]
    priority_key: Option<i32>,
    /// Workflows with the same key share what the task queue can do
    #[arg(long, value_name = "TEXT")]
    fairness_key: Option<String>,
    /// The share of the fairness key
    #[arg(long, value_name = "NUMBER")]
    fairness_weight: Option<f32>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Signal with start")]
struct SignalArgs {
    /// Send this signal too, also to a workflow that runs already
    #[arg(long, value_name = "NAME")]
    signal: Option<String>,
    /// An argument of the signal, in JSON; may be given several times
    #[arg(long, value_name = "JSON", requires = "signal")]
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
        let input = self.input.payloads()?;
        let defaults = match &self.definitions {
            Some(folder) => defaults(folder, &self.workflow_type, &input)?,
            None => StartDefaults::default(),
        };
        let signal_input = self.signal.signal_input.iter();
        let signal_input: Vec<_> = signal_input
            .map(|text| json_payload("--signal-input", text))
            .collect::<Result<_, _>>()?;
        Ok(StartOptions {
            workflow_type: self.workflow_type.clone(),
            workflow_id: self.workflow_id.clone().or(defaults.workflow_id),
            task_queue: self
                .task_queue
                .clone()
                .or(defaults.task_queue)
                .unwrap_or_else(|| TASK_QUEUE_DEFAULT.to_owned()),
            input,
            execution_timeout: self
                .timeouts
                .execution_timeout
                .or(defaults.execution_timeout),
            run_timeout: self.timeouts.run_timeout.or(defaults.run_timeout),
            task_timeout: self.timeouts.task_timeout.or(defaults.task_timeout),
            start_delay: self.timeouts.start_delay,
            id_reuse_policy: self
                .policies
                .id_reuse_policy()
                .or(defaults.id_reuse_policy.map(id_reuse_policy_to_proto)),
            id_conflict_policy: self
                .policies
                .id_conflict_policy()
                .or(defaults.id_conflict_policy.map(id_conflict_policy_to_proto)),
            retry_policy: self.policies.retry_policy().or(defaults.retry_policy),
            cron_schedule: self
                .policies
                .cron_schedule
                .clone()
                .or(defaults.cron_schedule),
            memo: merged(defaults.memo, json_fields("--memo", &self.about.memo)?),
            search_attributes: merged(
                defaults.search_attributes,
                json_fields("--search-attribute", &self.about.search_attribute)?,
            ),
            headers: json_fields("--headers", &self.about.headers)?,
            summary: self.about.static_summary.clone(),
            details: self.about.static_details.clone(),
            priority_key: self.about.priority_key,
            fairness_key: self.about.fairness_key.clone(),
            fairness_weight: self.about.fairness_weight,
            signal: self.signal.signal.clone().map(|name| (name, signal_input)),
        })
    }
}

/// The defaults of a definition in a folder, and a look at the input with them.
fn defaults(
    folder: &Path,
    workflow_type: &str,
    input: &[Payload],
) -> Result<StartDefaults, CliError> {
    let registry = Folder::open(folder, |_| {}).map_err(CliError::usage)?;
    let Some(entry) = registry.newest(workflow_type) else {
        let message = format!(
            "{} has no sound definition of {workflow_type}; it has: {}",
            folder.display(),
            registry.workflow_types().join(", ")
        );
        let help = format!("`segno lint {}` says what is wrong", folder.display());
        return Err(CliError::usage(message).help(help));
    };
    let arguments = input.iter().cloned().map(Value::from).collect();
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = since.unwrap_or_default().as_nanos();
    let now = Timestamp::from_nanos(nanos as i128).unwrap_or_default();
    StartDefaults::of(&entry.loaded.program, arguments, now, nanos as u64)
        .map_err(|failure| CliError::usage(failure.message))
}

/// What the flags say wins.
fn merged(
    mut defaults: BTreeMap<String, Payload>,
    flags: Vec<(String, Payload)>,
) -> Vec<(String, Payload)> {
    defaults.extend(flags);
    defaults.into_iter().collect()
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

    fn retry_policy(&self) -> Option<RetryPolicy> {
        let policy = RetryPolicy {
            initial_interval: self.retry_initial_interval,
            backoff_coefficient: self.retry_backoff_coefficient,
            maximum_interval: self.retry_maximum_interval,
            maximum_attempts: self.retry_maximum_attempts,
            non_retryable_error_types: self.retry_non_retryable_error_type.clone(),
        };
        (policy != RetryPolicy::default()).then_some(policy)
    }
}
