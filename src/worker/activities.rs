//! The loop over activity tasks: runs, cancels and reports the worker's own activities.

use std::collections::{BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use prost::Message;
use temporalio_protos::coresdk::ActivityTaskCompletion;
use temporalio_protos::coresdk::activity_result::activity_execution_result::Status;
use temporalio_protos::coresdk::activity_result::{
    ActivityExecutionResult, Cancellation, Failure as Failed, Success, WillCompleteAsync,
};
use temporalio_protos::coresdk::activity_task::{
    ActivityCancelReason, ActivityTask, Start, activity_task::Variant,
};
use temporalio_sdk_core::PollError;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::Host;
use super::attempts::LocalAttempt;
use super::failures;
use super::heart::heart;
use super::told;
use super::trace::context_of;
use super::workflows::panic_text;
use crate::activity::redact::logs::clean;
use crate::activity::{Activity, ActivityContext, Heartbeats, local_result_too_large, not_found};
use crate::engine::RESOLVE_DEFINITION;
use crate::engine::failure::Failure;
use crate::engine::job::EncodedBundle;
use crate::faults::Fault;
use crate::limits::LOCAL_RESULT_SIZE_BYTES_MAX;
use crate::payload::{
    duration_from_proto, failure_to_proto, timestamp_from_proto, value_from_proto, value_to_proto,
};
use crate::registry::Registry;
use crate::telemetry::{Declared, Kind, Metrics, Span, TraceContext, Tracer};
use crate::value::Value;

/// How long an activity may clean up once it is cancelled.
const CANCELLATION_GRACE: Duration = Duration::from_secs(5);

pub(super) struct Activities {
    by_name: HashMap<String, Arc<dyn Activity>>,
    running: Mutex<HashMap<Vec<u8>, Arc<Running>>>,
}

/// The activities that this worker runs, by name.
pub(super) struct KnownTypes {
    activities: BTreeSet<String>,
    registry: Arc<dyn Registry>,
}

impl KnownTypes {
    pub(crate) fn new(activities: &[Arc<dyn Activity>], registry: Arc<dyn Registry>) -> Self {
        let own = activities.iter().map(|activity| activity.name());
        KnownTypes {
            activities: own.chain([RESOLVE_DEFINITION]).map(str::to_owned).collect(),
            registry,
        }
    }
}

impl Declared for KnownTypes {
    fn has_workflow(&self, workflow_type: &str) -> bool {
        self.registry.for_new_run(workflow_type, "").is_some()
    }

    fn has_activity(&self, activity_type: &str) -> bool {
        self.activities.contains(activity_type)
    }
}

/// A running attempt.
#[derive(Default)]
struct Running {
    cancellation: CancellationToken,
    reason: Mutex<Option<ActivityCancelReason>>,
}

/// The identity of a local activity.
struct Local {
    run_id: String,
    activity_id: String,
}

impl Local {
    fn of(start: &Start) -> Option<Self> {
        let run_id = start.workflow_execution.as_ref()?.run_id.clone();
        start.is_local.then(|| Local {
            run_id,
            activity_id: start.activity_id.clone(),
        })
    }
}

impl Activities {
    pub(crate) fn new(
        activities: Vec<Arc<dyn Activity>>,
        registry: Arc<dyn Registry>,
        metrics: Metrics,
    ) -> Arc<Self> {
        let resolve: Arc<dyn Activity> = Arc::new(ResolveDefinition { registry, metrics });
        let by_name = activities.into_iter().chain([resolve]);
        Arc::new(Activities {
            by_name: by_name
                .map(|activity| (activity.name().to_owned(), activity))
                .collect(),
            running: Mutex::default(),
        })
    }

    /// Polls until the worker is shut down and every activity has ended.
    pub(crate) async fn serve(self: Arc<Self>, host: Arc<Host>) -> Result<(), PollError> {
        let mut tasks = JoinSet::new();
        let end = loop {
            let task = match host.core.poll_activity_task().await {
                Ok(task) => task,
                Err(PollError::ShutDown) => break Ok(()),
                Err(error) => break Err(error),
            };
            while tasks.try_join_next().is_some() {}
            let ActivityTask {
                task_token,
                variant,
            } = task;
            match variant {
                Some(Variant::Start(start)) => {
                    let running = Arc::new(Running::default());
                    self.running().insert(task_token.clone(), running.clone());
                    let (activities, host) = (self.clone(), host.clone());
                    let local = Local::of(&start);
                    let span = told::attempt_span(&start);
                    let attempt = async move {
                        if let Some(local) = &local {
                            let Local {
                                run_id,
                                activity_id,
                            } = local;
                            host.locals.attempted(run_id, activity_id).await;
                        }
                        let status = activities
                            .attempt(&host, start, &task_token, &running)
                            .await;
                        activities.running().remove(&task_token);
                        host.complete_activity(task_token, status, local).await;
                    };
                    tasks.spawn(attempt.instrument(span));
                }
                Some(Variant::Cancel(cancel)) => {
                    if let Some(running) = self.running().get(&task_token) {
                        running.cancel(cancel.reason());
                    }
                }
                None => {}
            }
        };
        while tasks.join_next().await.is_some() {}
        end
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<Vec<u8>, Arc<Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn attempt(
        &self,
        host: &Arc<Host>,
        mut start: Start,
        task_token: &[u8],
        running: &Running,
    ) -> Status {
        if let Err(error) = host.codec.decode_all(&mut start).await {
            return failed(&Failure::application("CodecError", error.to_string()));
        }
        let Some(local) = LocalAttempt::of(&mut start) else {
            return self.known(host, start, task_token, running).await;
        };
        if let Some(status) = local.refused() {
            local.log(&status);
            return status;
        }
        let status = tokio::select! {
            status = self.known(host, start, task_token, running) => local.judged(status),
            status = local.timed_out() => {
                running.cancel(ActivityCancelReason::TimedOut);
                status
            }
            status = local.overdue() => status,
        };
        match running.has_timed_out() {
            true => local.log_timeout(),
            false => local.log(&status),
        }
        status
    }

    /// An attempt of one of the worker's own activities.
    async fn known(
        &self,
        host: &Arc<Host>,
        start: Start,
        task_token: &[u8],
        running: &Running,
    ) -> Status {
        let Some(activity) = self.by_name.get(&start.activity_type) else {
            return failed(&self.not_found(&start.activity_type, start.is_local));
        };
        let mut span = span(&host.tracer, &start);
        let status = self.run(host, activity, start, task_token, running).await;
        match &status {
            Status::Failed(_) if host.codec.encodes_common_attributes() => {
                span.fail("the activity failed");
            }
            Status::Failed(failed) => {
                let failure = failed.failure.as_ref();
                span.fail(failure.map_or("", |failure| &failure.message));
            }
            Status::Cancelled(_) => span.fail("the activity was cancelled"),
            _ => {}
        }
        status
    }

    async fn run(
        &self,
        host: &Arc<Host>,
        activity: &Arc<dyn Activity>,
        mut start: Start,
        task_token: &[u8],
        running: &Running,
    ) -> Status {
        let arguments = std::mem::take(&mut start.input);
        let arguments = arguments.into_iter().map(value_from_proto).collect();
        let (heartbeats, beats) = heart(host, task_token, start.is_local);
        let context = context(host, start, task_token, running, heartbeats);
        let attempt = AssertUnwindSafe(activity.run(context, arguments)).catch_unwind();
        let result = tokio::select! {
            result = attempt => result,
            () = running.cancelled_for_too_long() => Ok(Err(Failure::cancelled("the activity was cancelled"))),
        };
        beats.end().await;
        match result {
            Ok(Ok(_)) if activity.is_completed_outside() => {
                Status::WillCompleteAsync(WillCompleteAsync {})
            }
            Ok(Ok(value)) => match value_to_proto(&value) {
                Ok(payload) => Status::Completed(Success {
                    result: Some(payload),
                }),
                Err(error) => {
                    let message = format!("the activity's result has no JSON form: {error}");
                    failed(&Failure::application("InvalidResult", message))
                }
            },
            Ok(Err(failure)) if failure.is_cancelled() => running.cancelled_status(&failure),
            Ok(Err(failure)) => failed(&failure),
            Err(panic) => {
                let message = clean(&panic_text(&*panic));
                let message = format!("the activity panicked: {message}");
                tracing::error!("{message}");
                failed(&Failure::application("Panic", message))
            }
        }
    }

    fn not_found(&self, activity_type: &str, is_local: bool) -> Failure {
        let names = self
            .by_name
            .keys()
            .filter(|name| *name != RESOLVE_DEFINITION);
        not_found(activity_type, names.map(String::as_str).collect(), is_local)
    }
}

impl Running {
    fn cancel(&self, reason: ActivityCancelReason) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
        self.cancellation.cancel();
    }

    /// Core has ended the attempt, and accepts nothing from it any more.
    fn has_timed_out(&self) -> bool {
        let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        *reason == Some(ActivityCancelReason::TimedOut)
    }

    async fn cancelled_for_too_long(&self) {
        self.cancellation.cancelled().await;
        tokio::time::sleep(CANCELLATION_GRACE).await;
    }

    /// Only an attempt whose cancellation was requested may report one; other reasons to stop are retried.
    fn cancelled_status(&self, failure: &Failure) -> Status {
        let reason = *self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        let (error_type, message) = match reason {
            Some(ActivityCancelReason::WorkerShutdown) => (
                "WorkerShutdown",
                "the worker shut down before the activity was done",
            ),
            Some(ActivityCancelReason::Paused) => ("ActivityPaused", "the activity was paused"),
            Some(ActivityCancelReason::Reset) => ("ActivityReset", "the activity was reset"),
            None => ("Cancelled", "the activity cancelled itself"),
            _ => {
                return Status::Cancelled(Cancellation {
                    failure: Some(failure_to_proto(failure)),
                });
            }
        };
        failed(&Failure::application(error_type, message))
    }
}

impl Host {
    async fn complete_activity(&self, task_token: Vec<u8>, status: Status, local: Option<Local>) {
        let is_failed = matches!(status, Status::Failed(_));
        if let (Some(local), Status::Cancelled(_)) = (&local, &status) {
            let Local {
                run_id,
                activity_id,
            } = local;
            let locals = &self.locals;
            if !locals.is_cancellation_reported(run_id, activity_id).await {
                return;
            }
        }
        let mut completion = ActivityTaskCompletion {
            task_token,
            result: Some(ActivityExecutionResult {
                status: Some(status),
            }),
        };
        if self.codec.encodes_common_attributes() {
            failures::encode_in_activity(&mut completion);
        }
        if let Err(error) = self.codec.encode(&mut completion).await {
            let failure = Failure::application("CodecError", error.to_string());
            completion.result = Some(ActivityExecutionResult {
                status: Some(failed(&failure)),
            });
        }
        let mut held = None;
        if let Some(Local {
            run_id,
            activity_id,
        }) = local
        {
            let size = completion.encoded_len();
            if size > LOCAL_RESULT_SIZE_BYTES_MAX {
                completion.result = Some(ActivityExecutionResult {
                    status: Some(failed(&local_result_too_large(size))),
                });
            }
            self.sent.make_room(&run_id, completion.encoded_len()).await;
            held = self.locals.hold(&run_id).await;
            if let Some(held) = &mut held {
                held.give(&activity_id, is_failed);
            }
        }
        if let Err(error) = self.core.complete_activity_task(completion).await {
            tracing::error!("cannot complete an activity: {error}");
        }
        drop(held);
    }
}

pub(super) fn failed(failure: &Failure) -> Status {
    Status::Failed(Failed {
        failure: Some(failure_to_proto(failure)),
        ..Default::default()
    })
}

/// The worker's own look-up of definitions is not traced.
fn span(tracer: &Tracer, start: &Start) -> Span {
    if start.activity_type == RESOLVE_DEFINITION {
        return Tracer::default().span(String::new(), Kind::Server, &TraceContext::default(), &[]);
    }
    let workflow = start.workflow_execution.as_ref();
    let attributes = [
        ("temporalActivityID", start.activity_id.as_str()),
        (
            "temporalWorkflowID",
            workflow.map_or("", |workflow| &workflow.workflow_id),
        ),
        (
            "temporalRunID",
            workflow.map_or("", |workflow| &workflow.run_id),
        ),
    ];
    let name = format!("RunActivity:{}", start.activity_type);
    let parent = context_of(&start.header_fields);
    tracer.span(name, Kind::Server, &parent, &attributes)
}

fn context(
    host: &Arc<Host>,
    start: Start,
    task_token: &[u8],
    running: &Running,
    heartbeats: Arc<dyn Heartbeats>,
) -> ActivityContext {
    let workflow = start.workflow_execution.unwrap_or_default();
    let to_close = start.schedule_to_close_timeout;
    // For local activities core fills in both: zero, and the bound of all attempts, which core itself enforces.
    let fills = start.is_local
        && start.start_to_close_timeout == to_close
        && !Fault::LocalTimeoutIgnored.is_on();
    let start_to_close = start.start_to_close_timeout.filter(|_| !fills);
    let to_close = to_close.map(duration_from_proto).filter(|t| !t.is_zero());
    ActivityContext {
        namespace: start.workflow_namespace,
        task_queue: host.task_queue.clone(),
        workflow_id: workflow.workflow_id,
        run_id: workflow.run_id,
        workflow_type: start.workflow_type,
        activity_id: start.activity_id,
        activity_type: start.activity_type,
        attempt: start.attempt.max(1),
        is_local: start.is_local,
        scheduled_time: start.scheduled_time.map(timestamp_from_proto),
        started_time: start.started_time.map(timestamp_from_proto),
        schedule_to_close_timeout: to_close,
        start_to_close_timeout: start_to_close.map(duration_from_proto),
        heartbeat_timeout: start.heartbeat_timeout.map(duration_from_proto),
        heartbeat_details: start
            .heartbeat_details
            .into_iter()
            .map(value_from_proto)
            .collect(),
        task_token: task_token.to_vec(),
        cancellation: running.cancellation.clone(),
        heartbeats,
    }
}

/// The local activity whose marker binds a run to its bundle. Its arguments are the workflow type, the digest and, if
/// the start had one, the bundle that it requests.
struct ResolveDefinition {
    registry: Arc<dyn Registry>,
    metrics: Metrics,
}

#[async_trait::async_trait]
impl Activity for ResolveDefinition {
    fn name(&self) -> &str {
        RESOLVE_DEFINITION
    }

    async fn run(&self, context: ActivityContext, arguments: Vec<Value>) -> Result<Value, Failure> {
        let text = |i: usize| arguments.get(i).and_then(Value::as_str).unwrap_or_default();
        let (workflow_type, digest) = (text(0), text(1));
        let wanted = match arguments.get(2).map(Value::force) {
            Some(Ok(Value::Bytes(wanted))) => self.registry.recognised(workflow_type, wanted),
            _ => None,
        };
        // A replay of a first task that was never completed has no digest: any bundle is accepted.
        let is_asked_for =
            |bundle: &Arc<EncodedBundle>| digest.is_empty() || bundle.digest == digest;
        let found = || match digest {
            "" => self
                .registry
                .for_new_run(workflow_type, &context.workflow_id),
            digest => self.registry.by_digest(digest),
        };
        let bundle = wanted
            .filter(is_asked_for)
            .or_else(|| Some(found()?.bundle));
        match bundle {
            Some(bundle) => {
                self.metrics.run_bound(workflow_type, &bundle.digest);
                Ok(Value::Bytes(bundle.bytes.as_slice().into()))
            }
            None => Err(Failure::application(
                "NotFoundError",
                format!(
                    "this worker has no definition of {workflow_type:?} with the digest {digest:?}"
                ),
            )),
        }
    }
}
