//! The jobs of Temporal's core, as the engine's jobs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use temporalio_protos::coresdk::activity_result::activity_resolution;
use temporalio_protos::coresdk::child_workflow::{
    StartChildWorkflowExecutionFailedCause, child_workflow_result,
};
use temporalio_protos::coresdk::nexus::nexus_operation_result;
use temporalio_protos::coresdk::workflow_activation as proto;
use temporalio_protos::coresdk::workflow_activation::resolve_child_workflow_execution_start::Status as ChildStart;
use temporalio_protos::coresdk::workflow_activation::resolve_nexus_operation_start::Status as NexusStart;
use temporalio_protos::coresdk::workflow_activation::workflow_activation_job::Variant;
use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1::ContinueAsNewInitiator;
use temporalio_protos::temporal::api::failure::v1::Failure as ProtoFailure;

use super::undecodable;
use crate::engine::failure::{Failure, FailureInfo};
use crate::engine::job::{Activation, EncodedBundle, Initialize, Job, Resolution, Update};
use crate::payload::{
    duration_from_proto, failure_from_proto, payload_from_proto, payloads_from_proto,
    timestamp_from_proto, value_from_proto,
};
use crate::value::{Payload, Timestamp, Value};
use crate::words::RetryState;

/// What a run's start does not contain.
pub(crate) struct Surroundings<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) task_queue: &'a str,
    /// The bundle for a run that starts like this.
    pub(crate) newest: &'a dyn Fn(&Initialize) -> Option<Arc<EncodedBundle>>,
}

/// The reason why the run must be evicted, if this is what the activation requests.
pub(crate) fn eviction(activation: &proto::WorkflowActivation) -> Option<&proto::RemoveFromCache> {
    activation.jobs.iter().find_map(|job| match &job.variant {
        Some(Variant::RemoveFromCache(eviction)) => Some(eviction),
        _ => None,
    })
}

pub(crate) fn activation_from_proto(
    activation: proto::WorkflowActivation,
    around: &Surroundings<'_>,
) -> Activation {
    let run_id = activation.run_id;
    let is_replaying = activation.is_replaying;
    let jobs = activation.jobs.into_iter().filter_map(|job| job.variant);
    let jobs = jobs.filter_map(|variant| match variant {
        Variant::InitializeWorkflow(start) => Some(Job::Initialize(Box::new(initialize(
            start,
            &run_id,
            is_replaying,
            around,
        )))),
        other => job(other),
    });
    Activation {
        now: activation
            .timestamp
            .map_or(Timestamp::default(), timestamp_from_proto),
        is_replaying,
        history_length: activation.history_length,
        history_size_bytes: activation.history_size_bytes,
        continue_as_new_suggested: activation.continue_as_new_suggested,
        flags: activation.available_internal_flags,
        jobs: jobs.collect(),
    }
}

fn initialize(
    start: proto::InitializeWorkflow,
    run_id: &str,
    is_replaying: bool,
    around: &Surroundings<'_>,
) -> Initialize {
    let is_continuation = start.continued_initiator() == ContinueAsNewInitiator::Workflow;
    let non_empty = |text: String| (!text.is_empty()).then_some(text);
    let mut info = Initialize {
        newest: None,
        is_continuation,
        workflow_type: start.workflow_type,
        workflow_id: start.workflow_id,
        run_id: run_id.to_owned(),
        namespace: around.namespace.to_owned(),
        task_queue: around.task_queue.to_owned(),
        attempt: start.attempt.max(1) as u32,
        start_time: start
            .start_time
            .map_or(Timestamp::default(), timestamp_from_proto),
        random_seed: start.randomness_seed,
        arguments: values(start.arguments),
        headers: fields(start.headers),
        memo: start.memo.map(|m| fields(m.fields)).unwrap_or_default(),
        search_attributes: start
            .search_attributes
            .map(|a| fields(a.indexed_fields))
            .unwrap_or_default(),
        parent: start
            .parent_workflow_info
            .map(|p| (p.namespace, p.workflow_id, p.run_id)),
        root: start.root_workflow.map(|r| (r.workflow_id, r.run_id)),
        continued_from_run_id: non_empty(start.continued_from_execution_run_id),
        first_run_id: start.first_execution_run_id,
        cron_schedule: non_empty(start.cron_schedule),
        last_completion_result: payloads_from_proto(start.last_completion_result)
            .into_iter()
            .next()
            .map(Value::from),
        last_failure: start.continued_failure.map(failure_from_proto),
        execution_timeout: start.workflow_execution_timeout.map(duration_from_proto),
        run_timeout: start.workflow_run_timeout.map(duration_from_proto),
        task_timeout: start.workflow_task_timeout.map(duration_from_proto),
    };
    if !is_replaying {
        info.newest = (around.newest)(&info);
    }
    info
}

fn job(variant: Variant) -> Option<Job> {
    Some(match variant {
        Variant::FireTimer(timer) => Job::FireTimer { seq: timer.seq },
        Variant::UpdateRandomSeed(seed) => Job::UpdateRandomSeed(seed.randomness_seed),
        Variant::QueryWorkflow(query) => Job::Query {
            id: query.query_id,
            name: query.query_type,
            args: values(query.arguments),
        },
        Variant::CancelWorkflow(cancel) => Job::Cancel {
            reason: cancel.reason,
        },
        Variant::SignalWorkflow(signal) => Job::Signal {
            name: signal.signal_name,
            input: values(signal.input),
        },
        Variant::DoUpdate(update) => Job::Update(Update {
            id: update.id,
            protocol_instance_id: update.protocol_instance_id,
            name: update.name,
            input: values(update.input),
            run_validator: update.run_validator,
        }),
        Variant::ResolveActivity(resolve) => {
            activity(resolve.seq, resolve.result.and_then(|r| r.status))
        }
        Variant::ResolveChildWorkflowExecutionStart(start) => child_start(start.seq, start.status),
        Variant::ResolveChildWorkflowExecution(resolve) => Job::ResolveChild {
            seq: resolve.seq,
            resolution: child(resolve.result.and_then(|r| r.status)),
        },
        Variant::ResolveSignalExternalWorkflow(resolve) => Job::ResolveSignalExternal {
            seq: resolve.seq,
            failure: resolve.failure.map(failure_from_proto),
        },
        Variant::ResolveRequestCancelExternalWorkflow(resolve) => Job::ResolveCancelExternal {
            seq: resolve.seq,
            failure: resolve.failure.map(failure_from_proto),
        },
        Variant::ResolveNexusOperationStart(start) => nexus_start(start.seq, start.status),
        Variant::ResolveNexusOperation(resolve) => Job::ResolveNexus {
            seq: resolve.seq,
            resolution: nexus(resolve.result.and_then(|r| r.status)),
        },
        Variant::NotifyHasPatch(patch) => Job::HasPatch(patch.patch_id),
        // Runs start with the first, and the host answers evictions.
        Variant::InitializeWorkflow(_) | Variant::RemoveFromCache(_) => return None,
    })
}

fn activity(seq: u32, status: Option<activity_resolution::Status>) -> Job {
    use activity_resolution::Status;
    let resolution = match status {
        Some(Status::Backoff(backoff)) => {
            return Job::BackOffActivity {
                seq,
                attempt: backoff.attempt,
                backoff: backoff
                    .backoff_duration
                    .map(duration_from_proto)
                    .unwrap_or_default(),
                original_schedule_time: backoff.original_schedule_time.map(timestamp_from_proto),
            };
        }
        Some(Status::Completed(success)) => completed(success.result),
        Some(Status::Failed(failed)) => undecodable::failed(failure(failed.failure)),
        Some(Status::Cancelled(cancelled)) => Resolution::Cancelled(failure(cancelled.failure)),
        None => Resolution::Failed(failure(None)),
    };
    Job::ResolveActivity { seq, resolution }
}

fn child_start(seq: u32, status: Option<ChildStart>) -> Job {
    match status {
        Some(ChildStart::Succeeded(success)) => Job::ChildStarted {
            seq,
            run_id: success.run_id,
        },
        Some(ChildStart::Failed(failed)) => {
            let cause = match failed.cause() {
                StartChildWorkflowExecutionFailedCause::WorkflowAlreadyExists => {
                    Failure::application(
                        "WorkflowExecutionAlreadyStarted",
                        format!(
                            "a workflow with the id {:?} exists already",
                            failed.workflow_id
                        ),
                    )
                }
                StartChildWorkflowExecutionFailedCause::NamespaceNotFound => {
                    Failure::application("NamespaceNotFound", "the child's namespace is not there")
                }
                other => Failure::application("StartFailed", other.as_str_name()),
            };
            let info = FailureInfo::ChildWorkflow {
                namespace: String::new(),
                workflow_id: failed.workflow_id,
                run_id: String::new(),
                workflow_type: failed.workflow_type,
                retry_state: RetryState::NonRetryableFailure,
                initiated_event_id: 0,
                started_event_id: 0,
            };
            let mut failure = Failure::new("the child workflow could not be started", info);
            failure.cause = Some(Box::new(cause));
            Job::ChildNotStarted { seq, failure }
        }
        Some(ChildStart::Cancelled(cancelled)) => Job::ChildNotStarted {
            seq,
            failure: failure(cancelled.failure),
        },
        None => Job::ChildNotStarted {
            seq,
            failure: failure(None),
        },
    }
}

fn child(status: Option<child_workflow_result::Status>) -> Resolution {
    use child_workflow_result::Status;
    match status {
        Some(Status::Completed(success)) => completed(success.result),
        Some(Status::Failed(failed)) => undecodable::failed(failure(failed.failure)),
        Some(Status::Cancelled(cancelled)) => Resolution::Cancelled(failure(cancelled.failure)),
        None => Resolution::Failed(failure(None)),
    }
}

fn nexus_start(seq: u32, status: Option<NexusStart>) -> Job {
    match status {
        Some(NexusStart::OperationToken(token)) => Job::NexusStarted {
            seq,
            operation_token: Some(token),
        },
        Some(NexusStart::StartedSync(_)) => Job::NexusStarted {
            seq,
            operation_token: None,
        },
        Some(NexusStart::Failed(failed)) => Job::NexusNotStarted {
            seq,
            failure: failure_from_proto(failed),
        },
        None => Job::NexusNotStarted {
            seq,
            failure: failure(None),
        },
    }
}

fn nexus(status: Option<nexus_operation_result::Status>) -> Resolution {
    use nexus_operation_result::Status;
    match status {
        Some(Status::Completed(result)) => completed(Some(result)),
        Some(Status::Failed(failed) | Status::TimedOut(failed)) => {
            undecodable::failed(failure_from_proto(failed))
        }
        Some(Status::Cancelled(cancelled)) => Resolution::Cancelled(failure_from_proto(cancelled)),
        None => Resolution::Failed(failure(None)),
    }
}

fn completed(result: Option<common::Payload>) -> Resolution {
    Resolution::Completed(result.map_or(Value::Null, value_from_proto))
}

/// Core always sends one; without it there is no message.
fn failure(failure: Option<ProtoFailure>) -> Failure {
    failure_from_proto(failure.unwrap_or_default())
}

fn values(payloads: Vec<common::Payload>) -> Vec<Value> {
    payloads.into_iter().map(value_from_proto).collect()
}

fn fields(fields: HashMap<String, common::Payload>) -> BTreeMap<String, Payload> {
    fields
        .into_iter()
        .map(|(name, payload)| (name, payload_from_proto(payload)))
        .collect()
}
