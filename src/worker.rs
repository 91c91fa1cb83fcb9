//! The generic worker: runs any workflow type that its registry has a definition of, on Temporal's core.

pub(crate) mod activation;
mod activities;
mod ahead;
mod attempts;
mod cache;
pub(crate) mod completion;
mod failures;
mod heart;
mod locals;
mod options;
mod order;
mod programs;
mod registrys;
mod replay;
mod sent;
mod told;
mod trace;
mod undecodable;
mod workflows;

use std::sync::Arc;

use temporalio_sdk_core::{PollError, Worker as CoreWorker, init_worker};
use tokio_util::sync::CancellationToken;

use crate::activity::Activity;
use crate::client::{ClientError, ResolvedSettings};
use crate::engine::Programs;
use crate::payload::Codec;
use crate::registry::Registry;
use crate::telemetry::{self, Metrics, TelemetryError, Tracer};
pub use options::WorkerOptions;
pub(crate) use options::{
    Deployment, Pollers, RESOURCE_BASED_SLOTS_DEFAULT, SLOTS_DEFAULT, SlotCounts, Slots,
};
pub use programs::ProgramCache;
pub(crate) use replay::{Divergence, NoReplay, Side};
pub use replay::{Replay, RunName};
pub(crate) use workflows::panic_text;

use activities::Activities;
use ahead::Delay;
use cache::Cache;
use locals::Locals;
use options::core_config;
use order::Histories;
use replay::Watch;
use sent::Sent;
use workflows::Cached;

#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error("the worker's options are inconsistent: {0}")]
    Options(String),
    #[error("the worker could not start: {0}")]
    Begin(String),
    #[error("the server ended the worker's polling: {0}")]
    Poll(#[from] PollError),
}

/// The state that the loops of one worker share.
struct Host {
    core: CoreWorker,
    namespace: String,
    task_queue: String,
    registry: Arc<dyn Registry>,
    programs: Box<dyn Programs + Send + Sync>,
    /// Where bundles are compiled before runs need them; a replay compiles them itself.
    prepared: Option<Arc<ProgramCache>>,
    /// The observer of a replay.
    watch: Option<Watch>,
    codec: Codec,
    locals: Locals,
    tracer: Tracer,
    /// Whether workers have versions.
    is_versioned: bool,
    histories: Histories,
    sent: Sent,
    delay: Delay,
    runs: Cache<Cached>,
}

/// Serves until `shutdown` fires, then waits for running tasks.
pub async fn run(
    settings: &ResolvedSettings,
    options: WorkerOptions,
    registry: Arc<dyn Registry>,
    activities: Vec<Arc<dyn Activity>>,
    shutdown: CancellationToken,
) -> Result<(), WorkerError> {
    let declared = Arc::new(activities::KnownTypes::new(&activities, registry.clone()));
    let runtime = telemetry::core_runtime(options.metrics_address, declared)?;
    let connection = settings
        .connect(runtime.telemetry().get_temporal_metric_meter())
        .await?;
    let identity = &settings.options.identity;
    let config =
        core_config(&settings.namespace, identity, &options).map_err(WorkerError::Options)?;
    let histories = Histories::Server(connection.clone());
    let core =
        init_worker(&runtime, config, connection).map_err(|e| WorkerError::Begin(e.to_string()))?;
    core.validate()
        .await
        .map_err(|e| WorkerError::Begin(e.to_string()))?;
    let programs = ProgramCache::new(registry.clone());
    let programs = Arc::new(programs.with_expression_cost_max(options.expression_cost_max));
    let host = Arc::new(Host {
        core,
        namespace: settings.namespace.clone(),
        task_queue: options.task_queue.clone(),
        programs: Box::new(programs.clone()),
        prepared: Some(programs),
        watch: None,
        registry,
        codec: settings.codec.clone(),
        locals: Locals::default(),
        tracer: Tracer::from_environment()?,
        is_versioned: options.deployment.is_some(),
        histories,
        sent: Sent::default(),
        delay: Delay::default(),
        runs: Cache::new(Some(options.max_cached_workflows)),
    });
    let metrics = Metrics::new(&runtime, &settings.namespace, &options.task_queue);
    let activities = Activities::new(activities, host.registry.clone(), metrics);
    tracing::info!(
        address = %settings.address,
        namespace = %settings.namespace,
        task_queue = %options.task_queue,
        codec = %host.codec,
        workflow_types = %host.registry.workflow_types().join(" "),
        "worker started"
    );

    let ends = tokio::spawn({
        let host = host.clone();
        async move {
            shutdown.cancelled().await;
            tracing::info!("shutting down: waiting for running tasks");
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
    tracing::info!("worker stopped");
    workflows?;
    activities?;
    Ok(())
}
