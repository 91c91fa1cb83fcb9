//! A worker's options: what it serves, how many tasks at a time, as which version; and their form for Temporal's core.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use temporalio_common::worker::{
    VersioningBehavior as CoreBehavior, WorkerDeploymentOptions, WorkerDeploymentVersion,
    WorkerTaskTypes,
};
use temporalio_sdk_core::{
    PollerBehavior, ResourceBasedSlotsOptions, ResourceBasedTunerConfig, ResourceSlotOptions,
    SlotKind, SlotSupplierOptions, TunerHolderOptions, WorkerConfig, WorkerVersioningStrategy,
};

use super::cache::size_of_cores;
use crate::client::announcing;
use crate::limits::{LANGUAGE_VERSION_MAX, WORKER_EXPRESSION_COST_MAX};
use crate::words::VersioningBehavior;

/// Default number of slots for each kind of task.
pub(crate) const SLOTS_DEFAULT: usize = 100;

/// Default bound on slots if the machine's load decides.
pub(crate) const RESOURCE_BASED_SLOTS_DEFAULT: usize = 500;

/// What official SDKs grant at any load, and how slowly they add slots of activities.
const WORKFLOW_TASK_SLOTS_MIN: usize = 5;
/// Queues of workflow tasks: the shared one and the sticky one. Core needs a slot for each.
const QUEUES_POLLED: usize = 2;
const ACTIVITY_SLOTS_MIN: usize = 1;
const ACTIVITY_RAMP_THROTTLE: Duration = Duration::from_millis(50);

/// Concurrent polls with which an autoscaled worker starts.
const POLLERS_INITIAL: usize = 5;

#[derive(Debug, Clone)]
pub struct WorkerOptions {
    pub task_queue: String,
    /// Runs kept in memory between their workflow tasks; 0 replays a run from its history for every task.
    pub max_cached_workflows: usize,
    pub slots: Slots,
    /// Concurrent polls for workflow tasks; `None` lets the server advise.
    pub workflow_task_pollers: Option<Pollers>,
    pub activity_task_pollers: Option<Pollers>,
    /// Maximum number of activities that this worker starts per second.
    pub max_activities_per_second: Option<f64>,
    /// Maximum number of activities per second that the server dispatches from the task queue, to all its workers.
    pub max_task_queue_activities_per_second: Option<f64>,
    /// How long a workflow task waits for the worker that has the run in its cache.
    pub sticky_queue_schedule_to_start_timeout: Duration,
    pub max_heartbeat_throttle_interval: Duration,
    pub default_heartbeat_throttle_interval: Duration,
    /// How long activities may continue when the worker shuts down, before they are cancelled.
    pub graceful_shutdown_period: Duration,
    /// The highest `expression_cost_max` that a definition may have.
    pub expression_cost_max: u64,
    /// The version of the worker; `None` for a worker without versions.
    pub deployment: Option<Deployment>,
    /// Where to serve metrics for Prometheus.
    pub metrics_address: Option<SocketAddr>,
}

/// How many tasks of each kind are processed concurrently.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Slots {
    Fixed(SlotCounts),
    /// As many as keep the machine below its targets, each a share from 0 to 1, and at most the counts.
    ResourceBased {
        target_memory_usage: f64,
        target_cpu_usage: f64,
        most: SlotCounts,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotCounts {
    pub(crate) workflow_tasks: usize,
    pub(crate) activities: usize,
    pub(crate) local_activities: usize,
}

/// How many polls are open concurrently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pollers {
    Fixed(usize),
    /// As the server requests, between the two.
    Autoscaled {
        min: usize,
        max: usize,
    },
}

/// A version of a worker deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    pub(crate) name: String,
    pub(crate) build_id: String,
    /// The behavior of runs whose definition does not set one.
    pub(crate) versioning_behavior: VersioningBehavior,
}

impl WorkerOptions {
    pub fn new(task_queue: impl Into<String>) -> Self {
        WorkerOptions {
            task_queue: task_queue.into(),
            max_cached_workflows: 2000,
            slots: Slots::Fixed(SlotCounts::all(SLOTS_DEFAULT)),
            workflow_task_pollers: None,
            activity_task_pollers: None,
            max_activities_per_second: None,
            max_task_queue_activities_per_second: None,
            sticky_queue_schedule_to_start_timeout: Duration::from_secs(10),
            max_heartbeat_throttle_interval: Duration::from_secs(60),
            default_heartbeat_throttle_interval: Duration::from_secs(30),
            graceful_shutdown_period: Duration::from_secs(10),
            expression_cost_max: WORKER_EXPRESSION_COST_MAX,
            deployment: None,
            metrics_address: None,
        }
    }
}

impl SlotCounts {
    /// Equal counts for each kind.
    pub(crate) fn all(count: usize) -> Self {
        SlotCounts {
            workflow_tasks: count,
            activities: count,
            local_activities: count,
        }
    }
}

impl Pollers {
    fn to_core(self) -> PollerBehavior {
        match self {
            Pollers::Fixed(count) => PollerBehavior::SimpleMaximum(count),
            Pollers::Autoscaled { min, max } => PollerBehavior::Autoscaling {
                minimum: min,
                maximum: max,
                initial: POLLERS_INITIAL.clamp(min, max),
            },
        }
    }
}

impl Slots {
    /// The number of concurrent workflow tasks, at most that of the runs that may stay in memory.
    fn of_workflow_tasks(self, cached_max: usize) -> usize {
        let (Slots::Fixed(most) | Slots::ResourceBased { most, .. }) = self;
        match cached_max {
            // Core keeps one run at a time, and drops its local activities if another run's task waits.
            0 => 1,
            max => most.workflow_tasks.min(max.max(QUEUES_POLLED)),
        }
    }

    fn to_core(self, cached_max: usize) -> Result<TunerHolderOptions, String> {
        let (most, resources) = match self {
            Slots::Fixed(counts) => (counts, None),
            Slots::ResourceBased {
                target_memory_usage,
                target_cpu_usage,
                most,
            } => {
                let options = ResourceBasedSlotsOptions::builder()
                    .target_mem_usage(target_memory_usage)
                    .target_cpu_usage(target_cpu_usage)
                    .build();
                (most, Some(ResourceBasedTunerConfig::Options(options)))
            }
        };
        let is_fixed = resources.is_none();
        let workflow_tasks = supplier(
            is_fixed || cached_max == 0,
            WORKFLOW_TASK_SLOTS_MIN,
            self.of_workflow_tasks(cached_max),
            Duration::ZERO,
        );
        let ramp = ACTIVITY_RAMP_THROTTLE;
        TunerHolderOptions::builder()
            .workflow_slot_options(workflow_tasks)
            .activity_slot_options(supplier(
                is_fixed,
                ACTIVITY_SLOTS_MIN,
                most.activities,
                ramp,
            ))
            .local_activity_slot_options(supplier(
                is_fixed,
                ACTIVITY_SLOTS_MIN,
                most.local_activities,
                ramp,
            ))
            .maybe_resource_based_config(resources)
            .build()
    }
}

fn supplier<K: SlotKind>(
    is_fixed: bool,
    min: usize,
    max: usize,
    ramp: Duration,
) -> SlotSupplierOptions<K> {
    match is_fixed {
        true => SlotSupplierOptions::FixedSize { slots: max },
        false => {
            SlotSupplierOptions::ResourceBased(ResourceSlotOptions::new(min.min(max), max, ramp))
        }
    }
}

impl Deployment {
    fn to_core(&self) -> WorkerVersioningStrategy {
        let version = WorkerDeploymentVersion::builder()
            .deployment_name(self.name.clone())
            .build_id(self.build_id.clone())
            .build();
        let options = WorkerDeploymentOptions::new(version)
            .use_worker_versioning(true)
            .default_versioning_behavior(behavior_to_core(self.versioning_behavior))
            .build();
        WorkerVersioningStrategy::WorkerDeploymentBased(options)
    }
}

fn behavior_to_core(behavior: VersioningBehavior) -> CoreBehavior {
    match behavior {
        VersioningBehavior::Pinned => CoreBehavior::Pinned,
        VersioningBehavior::AutoUpgrade => CoreBehavior::AutoUpgrade,
    }
}

pub(super) fn core_config(
    namespace: &str,
    identity: &str,
    options: &WorkerOptions,
) -> Result<WorkerConfig, String> {
    let limit = options.max_cached_workflows;
    let tuner = options.slots.to_core(limit)?;
    let tuner = tuner.build_tuner_holder().map_err(|e| e.to_string())?;
    let versioning = match &options.deployment {
        Some(deployment) => deployment.to_core(),
        None => WorkerVersioningStrategy::None {
            build_id: String::new(),
        },
    };
    WorkerConfig::builder()
        .namespace(namespace)
        .client_identity_override(announcing(identity, LANGUAGE_VERSION_MAX))
        .task_queue(options.task_queue.clone())
        .task_types(WorkerTaskTypes {
            enable_nexus: false,
            ..WorkerTaskTypes::all()
        })
        .versioning_strategy(versioning)
        .max_cached_workflows(size_of_cores(limit, options.slots.of_workflow_tasks(limit)))
        .tuner(Arc::new(tuner))
        .maybe_workflow_task_poller_behavior(options.workflow_task_pollers.map(Pollers::to_core))
        .maybe_activity_task_poller_behavior(options.activity_task_pollers.map(Pollers::to_core))
        .maybe_max_worker_activities_per_second(options.max_activities_per_second)
        .maybe_max_task_queue_activities_per_second(options.max_task_queue_activities_per_second)
        .sticky_queue_schedule_to_start_timeout(options.sticky_queue_schedule_to_start_timeout)
        .max_heartbeat_throttle_interval(options.max_heartbeat_throttle_interval)
        .default_heartbeat_throttle_interval(options.default_heartbeat_throttle_interval)
        .graceful_shutdown_period(options.graceful_shutdown_period)
        .build()
}
