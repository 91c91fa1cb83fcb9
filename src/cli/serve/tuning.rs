//! How many tasks a worker processes, and its version in a deployment.

use clap::{Args, ValueEnum};

use crate::cli::error::CliError;
use crate::limits::{EXPRESSION_COST_MAX, EXPRESSION_COST_RAISED_MAX, WORKER_EXPRESSION_COST_MAX};
use crate::value::Duration;
use crate::words::VersioningBehavior;
use crate::worker::{
    Deployment, Pollers, RESOURCE_BASED_SLOTS_DEFAULT, SLOTS_DEFAULT, SlotCounts, Slots,
    WorkerOptions,
};

/// The target of a worker whose load decides, as a share of the machine.
const TARGET_USAGE_DEFAULT: f64 = 0.8;

/// The maximum number of polls if it scales automatically.
const POLLERS_AUTOSCALED_MAX: usize = 100;

#[derive(Debug, Args)]
#[command(next_help_heading = "Tuning")]
pub(crate) struct TuningArgs {
    /// Runs kept in memory between their workflow tasks; 0 replays a run for each task
    #[arg(long, value_name = "COUNT", default_value_t = 2000)]
    max_cached_workflows: usize,
    /// The highest `expression_cost_max` that a definition may have
    #[arg(
        long,
        value_name = "COST",
        default_value_t = WORKER_EXPRESSION_COST_MAX,
        value_parser = clap::value_parser!(u64).range(EXPRESSION_COST_MAX..=EXPRESSION_COST_RAISED_MAX)
    )]
    expression_cost_max: u64,
    /// Limit concurrent tasks by fixed counts, or by the machine's load within these counts
    #[arg(long, value_enum, default_value = "fixed")]
    tuner: Tuner,
    /// Maximum number of concurrent workflow tasks [default: 100; with --tuner resource-based 500]
    #[arg(long, value_name = "COUNT")]
    max_concurrent_workflow_tasks: Option<usize>,
    /// Maximum number of concurrent activities [default: 100; with --tuner resource-based 500]
    #[arg(long, value_name = "COUNT")]
    max_concurrent_activities: Option<usize>,
    /// Maximum number of concurrent local activities [default: 100; with --tuner resource-based 500]
    #[arg(long, value_name = "COUNT")]
    max_concurrent_local_activities: Option<usize>,
    /// The share of the machine's memory to stay below, with --tuner resource-based [default: 0.8]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    target_memory_usage: Option<f64>,
    /// The share of the machine's CPUs to stay below, with --tuner resource-based [default: 0.8]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    target_cpu_usage: Option<f64>,
    /// Concurrent polls for workflow tasks: a count, MIN-MAX, or autoscale for 1-100 [default: as the server advises]
    #[arg(long, value_name = "COUNT", value_parser = pollers)]
    workflow_task_pollers: Option<Pollers>,
    /// Concurrent polls for activities: a count, MIN-MAX, or autoscale for 1-100 [default: as the server advises]
    #[arg(long, value_name = "COUNT", value_parser = pollers)]
    activity_task_pollers: Option<Pollers>,
    /// Maximum number of activities that this worker starts per second [default: no bound]
    #[arg(long, value_name = "RATE", value_parser = rate)]
    max_activities_per_second: Option<f64>,
    /// Maximum number of activities that all workers of the task queue start per second; the last worker to set it decides [default: no bound]
    #[arg(long, value_name = "RATE", value_parser = rate)]
    max_task_queue_activities_per_second: Option<f64>,
    /// How long a run's next workflow task waits for the worker that has the run in memory
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = Duration::parse)]
    sticky_queue_schedule_to_start_timeout: Duration,
    /// The longest interval between heartbeats that are sent to the server
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = Duration::parse)]
    max_heartbeat_throttle_interval: Duration,
    /// The interval between sent heartbeats if the activity has no heartbeat timeout; otherwise it is 80 % of that
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = Duration::parse)]
    default_heartbeat_throttle_interval: Duration,
    /// How long activities may continue after SIGTERM or Ctrl-C before they are cancelled
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = Duration::parse)]
    graceful_shutdown_period: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tuner {
    Fixed,
    ResourceBased,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Version")]
pub(crate) struct VersionArgs {
    /// The worker deployment that this worker belongs to; it assigns workflow tasks to its versions
    #[arg(long, value_name = "NAME", env = "TEMPORAL_DEPLOYMENT_NAME")]
    deployment_name: Option<String>,
    /// The version of the deployment that this worker is
    #[arg(long, value_name = "ID", env = "TEMPORAL_WORKER_BUILD_ID")]
    build_id: Option<String>,
    /// Whether a run stays with the version that it started on, or moves to the current one with its next workflow task
    #[arg(
        long,
        value_enum,
        requires = "deployment_name",
        default_value = "auto-upgrade"
    )]
    versioning_behavior: Behavior,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Behavior {
    Pinned,
    AutoUpgrade,
}

impl TuningArgs {
    pub(crate) fn apply(&self, options: &mut WorkerOptions) -> Result<(), CliError> {
        options.max_cached_workflows = self.max_cached_workflows;
        options.slots = self.slots()?;
        options.expression_cost_max = self.expression_cost_max;
        options.workflow_task_pollers = self.workflow_task_pollers;
        options.activity_task_pollers = self.activity_task_pollers;
        if self.max_cached_workflows > 0 && self.workflow_task_pollers == Some(Pollers::Fixed(1)) {
            return Err(CliError::usage(
                "--workflow-task-pollers 1 leaves no poller for runs in memory",
            )
            .help("set it to 2 or more, or keep no runs in memory with --max-cached-workflows 0"));
        }
        options.max_activities_per_second = self.max_activities_per_second;
        options.max_task_queue_activities_per_second = self.max_task_queue_activities_per_second;
        for (option, duration) in [
            (
                &mut options.sticky_queue_schedule_to_start_timeout,
                self.sticky_queue_schedule_to_start_timeout,
            ),
            (
                &mut options.max_heartbeat_throttle_interval,
                self.max_heartbeat_throttle_interval,
            ),
            (
                &mut options.default_heartbeat_throttle_interval,
                self.default_heartbeat_throttle_interval,
            ),
            (
                &mut options.graceful_shutdown_period,
                self.graceful_shutdown_period,
            ),
        ] {
            if let Some(duration) = duration.to_std() {
                *option = duration;
            }
        }
        Ok(())
    }

    fn slots(&self) -> Result<Slots, CliError> {
        let otherwise = match self.tuner {
            Tuner::Fixed => SLOTS_DEFAULT,
            Tuner::ResourceBased => RESOURCE_BASED_SLOTS_DEFAULT,
        };
        let count = |flag: &str, given: Option<usize>, least: usize| match given {
            Some(count) if count < least => Err(CliError::usage(format!(
                "{flag} is {count}, and must be {least} at least"
            ))),
            given => Ok(given.unwrap_or(otherwise)),
        };
        let least = if self.max_cached_workflows > 0 { 2 } else { 1 };
        let counts = SlotCounts {
            workflow_tasks: count(
                "--max-concurrent-workflow-tasks",
                self.max_concurrent_workflow_tasks,
                least,
            )
            .map_err(|error| match least {
                2 => error.help("or keep no runs in memory with --max-cached-workflows 0"),
                _ => error,
            })?,
            activities: count(
                "--max-concurrent-activities",
                self.max_concurrent_activities,
                1,
            )?,
            local_activities: count(
                "--max-concurrent-local-activities",
                self.max_concurrent_local_activities,
                1,
            )?,
        };
        match self.tuner {
            Tuner::ResourceBased => Ok(Slots::ResourceBased {
                target_memory_usage: self.target_memory_usage.unwrap_or(TARGET_USAGE_DEFAULT),
                target_cpu_usage: self.target_cpu_usage.unwrap_or(TARGET_USAGE_DEFAULT),
                most: counts,
            }),
            Tuner::Fixed => match (self.target_memory_usage, self.target_cpu_usage) {
                (None, None) => Ok(Slots::Fixed(counts)),
                (memory, _) => {
                    let flag = memory.map_or("--target-cpu-usage", |_| "--target-memory-usage");
                    Err(
                        CliError::usage(format!("{flag} has no effect if counts are fixed")).help(
                            "add --tuner resource-based, which lets the machine's load decide",
                        ),
                    )
                }
            },
        }
    }
}

impl VersionArgs {
    pub(crate) fn deployment(&self) -> Result<Option<Deployment>, CliError> {
        let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        match (said(&self.deployment_name), said(&self.build_id)) {
            (None, None) => Ok(None),
            (Some(name), Some(build_id)) => Ok(Some(Deployment {
                name,
                build_id,
                versioning_behavior: match self.versioning_behavior {
                    Behavior::Pinned => VersioningBehavior::Pinned,
                    Behavior::AutoUpgrade => VersioningBehavior::AutoUpgrade,
                },
            })),
            (Some(_), None) => Err(CliError::usage("--deployment-name needs a --build-id")
                .help("the two together are the version that this worker is")),
            (None, Some(_)) => Err(CliError::usage("--build-id needs a --deployment-name")
                .help("the two together are the version that this worker is")),
        }
    }
}

/// A count, `MIN-MAX`, or `autoscale`.
fn pollers(text: &str) -> Result<Pollers, String> {
    let expected = "expected a count from 1, MIN-MAX such as 2-20, or `autoscale`";
    let count = |text: &str| match text.trim().parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(expected.to_owned()),
    };
    if text == "autoscale" {
        return Ok(Pollers::Autoscaled {
            min: 1,
            max: POLLERS_AUTOSCALED_MAX,
        });
    }
    match text.split_once('-') {
        None => Ok(Pollers::Fixed(count(text)?)),
        Some((min, max)) => match (count(min)?, count(max)?) {
            (min, max) if min <= max => Ok(Pollers::Autoscaled { min, max }),
            _ => Err("the first count must not be more than the second".to_owned()),
        },
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err("expected a share above 0 and up to 1, such as 0.8".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_normal() && rate > 0.0 => Ok(rate),
        _ => Err("expected a number above 0".to_owned()),
    }
}
