//! The options of a workflow that is started now or later: flags, and the defaults of its definition.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;

use crate::accepted;
use crate::cli::args::input::{InputArgs, json_fields};
use crate::cli::args::own;
use crate::cli::args::task_queue::{TASK_QUEUE_DEFAULT, own_task_queue};
use crate::cli::args::values::{
    backoff_coefficient, fairness_key, fairness_weight, key_value, length, maximum_attempts, name,
    priority_key,
};
use crate::cli::error::CliError;
use crate::client::StartOptions;
use crate::engine::start::StartDefaults;
use crate::engine::{DEFINITION_HEADER, Loaded};
use crate::program::Program;
use crate::registry::{Entry, Folder, Registry};
use crate::value::{Duration, Payload, Timestamp, Value};
use crate::words::RetryPolicy;

#[derive(Debug, Args)]
pub(crate) struct WorkflowOptionArgs {
    /// Read the definition from this folder for its defaults under `start` and the schema of its input
    #[arg(long, short = 'd', value_name = "FOLDER", env = "SEGNO_DEFINITIONS")]
    definitions: Option<PathBuf>,
    /// The task queue that the worker polls [env: SEGNO_TASK_QUEUE] [default: the definition's, else segno]
    #[arg(long, short = 't', value_parser = name)]
    task_queue: Option<String>,
    /// The workflow's id [default: the definition's; else a unique one, or the schedule's]
    #[arg(long, short = 'w', value_parser = name)]
    workflow_id: Option<String>,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    timeouts: TimeoutArgs,
    #[command(flatten)]
    retries: RetryArgs,
    #[command(flatten)]
    about: AboutArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Timeouts")]
struct TimeoutArgs {
    /// The longest time for the workflow with all its retries and runs
    #[arg(long, value_name = "DURATION", value_parser = length, allow_hyphen_values = true)]
    execution_timeout: Option<Duration>,
    /// The longest time for one run
    #[arg(long, value_name = "DURATION", value_parser = length, allow_hyphen_values = true)]
    run_timeout: Option<Duration>,
    /// The longest time for one workflow task
    #[arg(long, value_name = "DURATION", value_parser = length, allow_hyphen_values = true)]
    task_timeout: Option<Duration>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Retries")]
struct RetryArgs {
    /// The wait before the first retry of a failed workflow; any of the retry options turns retries on
    #[arg(long, value_name = "DURATION", value_parser = length, allow_hyphen_values = true)]
    retry_initial_interval: Option<Duration>,
    /// The factor by which each wait is longer than the last
    #[arg(long, value_name = "NUMBER", value_parser = backoff_coefficient, allow_hyphen_values = true)]
    retry_backoff_coefficient: Option<f64>,
    /// The longest wait between retries
    #[arg(long, value_name = "DURATION", value_parser = length, allow_hyphen_values = true)]
    retry_maximum_interval: Option<Duration>,
    /// The maximum number of attempts; 0 is unlimited
    #[arg(long, value_name = "COUNT", value_parser = maximum_attempts, allow_hyphen_values = true)]
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
    /// The priority, from 1, the most urgent, to 5 [default: 3]
    #[arg(long, value_name = "NUMBER", value_parser = priority_key, allow_hyphen_values = true)]
    priority_key: Option<i32>,
    /// Workflows with the same key share the capacity of the task queue
    #[arg(long, value_name = "TEXT", value_parser = fairness_key)]
    fairness_key: Option<String>,
    /// The weight of the fairness key, from 0.001 to 1000
    #[arg(long, value_name = "NUMBER", value_parser = fairness_weight, allow_hyphen_values = true)]
    fairness_weight: Option<f32>,
}

impl WorkflowOptionArgs {
    pub(crate) fn has_folder(&self) -> bool {
        self.definitions.is_some()
    }

    /// The flags, then the environment, then the definition.
    pub(crate) fn read(
        &self,
        workflow_type: &str,
        flags: StartOptions,
    ) -> Result<StartOptions, CliError> {
        let defaults = match &self.definitions {
            Some(folder) => Some(defaults(folder, workflow_type, &flags.input)?),
            None => None,
        };
        Ok(with(flags, workflow_type, defaults))
    }

    /// The definition in the folder that the flags name.
    pub(crate) fn definition(&self, workflow_type: &str) -> Result<Option<Arc<Loaded>>, CliError> {
        let folder = self.definitions.as_deref();
        folder
            .map(|folder| definition(folder, workflow_type))
            .transpose()
    }

    /// Only the flags. An input from standard input can be read only once.
    pub(crate) fn flags(&self) -> Result<StartOptions, CliError> {
        if let Some(id) = &self.workflow_id {
            own::refuse_id(id)?;
        }
        Ok(StartOptions {
            workflow_id: self.workflow_id.clone(),
            task_queue: self.task_queue.clone().unwrap_or_default(),
            input: self.input.payloads()?,
            execution_timeout: self.timeouts.execution_timeout,
            run_timeout: self.timeouts.run_timeout,
            task_timeout: self.timeouts.task_timeout,
            retry_policy: self.retries.policy()?,
            memo: json_fields("--memo", &self.about.memo)?,
            search_attributes: json_fields("--search-attribute", &self.about.search_attribute)?,
            headers: json_fields("--headers", &self.about.headers)?,
            summary: self.about.static_summary.clone(),
            details: self.about.static_details.clone(),
            priority_key: self.about.priority_key,
            fairness_key: self.about.fairness_key.clone(),
            fairness_weight: self.about.fairness_weight,
            ..Default::default()
        })
    }
}

fn with(flags: StartOptions, workflow_type: &str, defaults: Option<StartDefaults>) -> StartOptions {
    let mut options = flags;
    options.workflow_type = workflow_type.to_owned();
    options.task_queue = match options.task_queue {
        said if said.is_empty() => own_task_queue().unwrap_or_default(),
        said => said,
    };
    if let Some(defaults) = defaults {
        options = options.with_defaults(defaults);
    }
    if options.task_queue.is_empty() {
        options.task_queue = TASK_QUEUE_DEFAULT.to_owned();
    }
    options
}

/// The options, with the defaults of a deployed version.
pub(crate) fn of_type(entry: &Entry, flags: StartOptions) -> Result<StartOptions, CliError> {
    let program = &entry.loaded.program;
    let defaults = start_defaults(program, &flags.input)?;
    Ok(with(flags, &program.workflow, Some(defaults)))
}

/// The options, with a deployed version that is sent with the start.
pub(crate) fn of_version(entry: &Entry, flags: StartOptions) -> Result<StartOptions, CliError> {
    let mut options = of_type(entry, flags)?;
    let bundle = Value::Bytes(entry.bundle.bytes.as_slice().into());
    let bundle = Payload::from_value(&bundle).map_err(|e| CliError::new(e.0))?;
    options.headers.push((DEFINITION_HEADER.to_owned(), bundle));
    Ok(options)
}

/// The defaults of a definition in a folder; checks the input with them.
fn defaults(
    folder: &Path,
    workflow_type: &str,
    input: &[Payload],
) -> Result<StartDefaults, CliError> {
    start_defaults(&definition(folder, workflow_type)?.program, input)
}

fn definition(folder: &Path, workflow_type: &str) -> Result<Arc<Loaded>, CliError> {
    let registry = Folder::open(folder, |_| {}).map_err(CliError::usage)?;
    let Some(entry) = registry.for_new_run(workflow_type, "") else {
        let message = format!(
            "{} has no valid definition of {workflow_type}; it has: {}",
            folder.display(),
            registry.workflow_types().join(", ")
        );
        let help = format!("run `segno lint {}` to see what is wrong", folder.display());
        return Err(CliError::usage(message).help(help));
    };
    Ok(entry.loaded)
}

fn start_defaults(program: &Program, input: &[Payload]) -> Result<StartDefaults, CliError> {
    let arguments = input.iter().cloned().map(Value::from).collect();
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = since.unwrap_or_default().as_nanos();
    let now = Timestamp::from_nanos(nanos as i128).unwrap_or_default();
    StartDefaults::of(program, arguments, now, nanos as u64)
        .map_err(|failure| CliError::usage(failure.message))
}

impl RetryArgs {
    fn policy(&self) -> Result<Option<RetryPolicy>, CliError> {
        let policy = RetryPolicy {
            initial_interval: self.retry_initial_interval,
            backoff_coefficient: self.retry_backoff_coefficient,
            maximum_interval: self.retry_maximum_interval,
            maximum_attempts: self.retry_maximum_attempts,
            non_retryable_error_types: self.retry_non_retryable_error_type.clone(),
        };
        accepted::intervals(policy.initial_interval, policy.maximum_interval)
            .map_err(|why| CliError::usage(format!("--retry-maximum-interval: {why}")))?;
        Ok((policy != RetryPolicy::default()).then_some(policy))
    }
}
