//! The generic worker: runs any workflow type that its registry has a definition of, on Temporal's core.

mod activation;
mod activities;
mod completion;
mod programs;
mod replay;
mod workflows;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use temporalio_common::worker::WorkerTaskTypes;
use temporalio_sdk_core::{
    PollError, PollerBehavior, Worker as CoreWorker, WorkerConfig, WorkerVersioningStrategy,
    init_worker,
};
use tokio_util::sync::CancellationToken;

use crate::activity::Activity;
use crate::client::{ClientError, ResolvedSettings};
use crate::payload::Codec;
use crate::registry::Registry;
use crate::telemetry::{self, TelemetryError};
pub use replay::replay;

use activities::Activities;
use programs::ProgramCache;

#[derive(Debug, Clone)]
pub struct WorkerOptions {
    pub task_queue: String,
    /// Runs kept in memory between their workflow tasks; 0 replays a run from its history for every task.
    pub max_cached_workflows: usize,
    pub max_concurrent_workflow_tasks: usize,
    pub max_concurrent_activities: usize,
    pub max_concurrent_local_activities: usize,
    /// How many calls wait for workflow tasks at once; `None` lets the server advise.
    pub workflow_task_pollers: Option<usize>,
    pub activity_task_pollers: Option<usize>,
    /// How long activities may go on when the worker is asked to stop, before they are cancelled.
    pub graceful_shutdown_period: Duration,
    /// Where to serve metrics for Prometheus.
    pub metrics_address: Option<SocketAddr>,
}

impl WorkerOptions {
    pub fn new(task_queue: impl Into<String>) -> Self {
        WorkerOptions {
            task_queue: task_queue.into(),
            max_cached_workflows: 2000,
            max_concurrent_workflow_tasks: 100,
            max_concurrent_activities: 100,
            max_concurrent_local_activities: 100,
            workflow_task_pollers: None,
            activity_task_pollers: None,
            graceful_shutdown_period: Duration::from_secs(10),
            metrics_address: None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error("the worker's options do not fit together: {0}")]
    Options(String),
    #[error("the worker could not begin: {0}")]
    Begin(String),
    #[error("the server ended the worker's polling: {0}")]
    Poll(#[from] PollError),
}

/// What the loops of one worker share.
struct Host {
    core: CoreWorker,
    namespace: String,
    task_queue: String,
    registry: Arc<dyn Registry>,
    programs: ProgramCache,
    codec: Codec,
}

/// Serves until `shutdown` fires, then lets what runs come to its end.
pub async fn run(
    settings: &ResolvedSettings,
    options: WorkerOptions,
    registry: Arc<dyn Registry>,
    activities: Vec<Arc<dyn Activity>>,
    shutdown: CancellationToken,
) -> Result<(), WorkerError> {
    let runtime = telemetry::core_runtime(options.metrics_address)?;
    let connection = settings
        .connect(runtime.telemetry().get_temporal_metric_meter())
        .await?;
    let config = core_config(&settings.namespace, &options).map_err(WorkerError::Options)?;
    let core =
        init_worker(&runtime, config, connection).map_err(|e| WorkerError::Begin(e.to_string()))?;
    core.validate()
        .await
        .map_err(|e| WorkerError::Begin(e.to_string()))?;
    let host = Arc::new(Host {
        core,
        namespace: settings.namespace.clone(),
        task_queue: options.task_queue.clone(),
        programs: ProgramCache::new(registry.clone()),
        registry,
        codec: Codec::default(),
    });
    let activities = Activities::new(activities, host.registry.clone());
    tracing::info!(
        address = %settings.address,
        namespace = %settings.namespace,
        task_queue = %options.task_queue,
        workflow_types = %host.registry.workflow_types().join(" "),
        "the worker serves"
    );

    let ends = tokio::spawn({
        let host = host.clone();
        async move {
            shutdown.cancelled().await;
            tracing::info!("the worker stops when what runs has come to its end");
            host.core.initiate_shutdown();
        }
    });
    let (workflows, activities) = tokio::join!(
        workflows::serve(host.clone(), workflows::log_eviction),
        activities.serve(host.clone())
    );
    ends.abort();
    let _ = ends.await;
    if let Some(host) = Arc::into_inner(host) {
        host.core.finalize_shutdown().await;
    }
    tracing::info!("the worker has stopped");
    workflows?;
    activities?;
    Ok(())
}

fn core_config(namespace: &str, options: &WorkerOptions) -> Result<WorkerConfig, String> {
    // Without a cache core holds one run at a time, and drops its local activities where another run's task waits.
    let workflow_tasks = match options.max_cached_workflows {
        0 => 1,
        _ => options.max_concurrent_workflow_tasks,
    };
    WorkerConfig::builder()
        .namespace(namespace)
        .task_queue(options.task_queue.clone())
        .task_types(WorkerTaskTypes {
            enable_nexus: false,
            ..WorkerTaskTypes::all()
        })
        .versioning_strategy(WorkerVersioningStrategy::None {
            build_id: String::new(),
        })
        .max_cached_workflows(options.max_cached_workflows)
        .max_outstanding_workflow_tasks(workflow_tasks)
        .max_outstanding_activities(options.max_concurrent_activities)
        .max_outstanding_local_activities(options.max_concurrent_local_activities)
        .maybe_workflow_task_poller_behavior(
            options
                .workflow_task_pollers
                .map(PollerBehavior::SimpleMaximum),
        )
        .maybe_activity_task_poller_behavior(
            options
                .activity_task_pollers
                .map(PollerBehavior::SimpleMaximum),
        )
        .graceful_shutdown_period(options.graceful_shutdown_period)
        .build()
}
