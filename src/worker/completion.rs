//! The engine's commands as Temporal's commands.

use std::collections::{BTreeMap, HashMap};

use temporalio_protos::coresdk::child_workflow as child;
use temporalio_protos::coresdk::common::NamespacedWorkflowExecution;
use temporalio_protos::coresdk::workflow_commands as proto;
use temporalio_protos::coresdk::workflow_commands::workflow_command::Variant;
use temporalio_protos::coresdk::workflow_commands::{query_result, update_response};
use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1 as enums;
use temporalio_protos::temporal::api::sdk::v1::UserMetadata;

use crate::engine::command::{
    Command, CommandKind, ContinueAsNew, Priority, ScheduleActivity, ScheduleLocalActivity,
    ScheduleNexus, SignalTarget, StartChild,
};
use crate::engine::failure::Failure;
use crate::payload::{
    duration_to_proto, failure_to_proto, id_reuse_policy_to_proto, payload_to_proto,
    retry_policy_to_proto, timestamp_to_proto, value_to_proto,
};
use crate::value::{Payload, Value};
use crate::words::{
    ActivityCancellationType, ChildCancellationType, InitialVersioningBehavior, ParentClosePolicy,
    VersioningBehavior,
};

/// `None` if Temporal has no such command: a log line or a flag.
pub(crate) fn command_to_proto(
    command: Command,
    namespace: &str,
) -> Option<proto::WorkflowCommand> {
    let variant = variant(command.kind, namespace)?;
    let summary = command
        .summary
        .and_then(|text| value_to_proto(&Value::from(text)).ok());
    Some(proto::WorkflowCommand {
        user_metadata: summary.map(|summary| UserMetadata {
            summary: Some(summary),
            details: None,
        }),
        variant: Some(variant),
        ..Default::default()
    })
}

fn variant(kind: CommandKind, namespace: &str) -> Option<Variant> {
    Some(match kind {
        CommandKind::StartTimer { seq, duration } => Variant::StartTimer(proto::StartTimer {
            seq,
            start_to_fire_timeout: Some(duration_to_proto(duration)),
        }),
        CommandKind::CancelTimer { seq } => Variant::CancelTimer(proto::CancelTimer { seq }),
        CommandKind::ScheduleActivity(schedule) => Variant::ScheduleActivity(activity(*schedule)),
        CommandKind::ScheduleLocalActivity(schedule) => {
            Variant::ScheduleLocalActivity(local_activity(*schedule))
        }
        CommandKind::RequestCancelActivity { seq } => {
            Variant::RequestCancelActivity(proto::RequestCancelActivity { seq })
        }
        CommandKind::RequestCancelLocalActivity { seq } => {
            Variant::RequestCancelLocalActivity(proto::RequestCancelLocalActivity { seq })
        }
        CommandKind::StartChild(start) => {
            Variant::StartChildWorkflowExecution(start_child(*start, namespace))
        }
        CommandKind::CancelChild { seq, reason } => {
            Variant::CancelChildWorkflowExecution(proto::CancelChildWorkflowExecution {
                child_workflow_seq: seq,
                reason,
            })
        }
        CommandKind::SignalExternal {
            seq,
            target,
            name,
            args,
        } => signal_external(seq, target, name, args, namespace),
        CommandKind::CancelExternal {
            seq,
            workflow_id,
            run_id,
            reason,
        } => Variant::RequestCancelExternalWorkflowExecution(
            proto::RequestCancelExternalWorkflowExecution {
                seq,
                workflow_execution: Some(namespaced(namespace, workflow_id, run_id)),
                reason,
            },
        ),
        CommandKind::ScheduleNexus(schedule) => Variant::ScheduleNexusOperation(nexus(*schedule)),
        CommandKind::CancelNexus { seq } => {
            Variant::RequestCancelNexusOperation(proto::RequestCancelNexusOperation { seq })
        }
        CommandKind::UpsertSearchAttributes(attributes) => {
            Variant::UpsertWorkflowSearchAttributes(proto::UpsertWorkflowSearchAttributes {
                search_attributes: search_attributes(attributes),
            })
        }
        CommandKind::MarkVersion(patch_id) => Variant::SetPatchMarker(proto::SetPatchMarker {
            patch_id,
            deprecated: false,
        }),
        CommandKind::UpsertMemo(memo) => {
            Variant::ModifyWorkflowProperties(proto::ModifyWorkflowProperties {
                upserted_memo: Some(common::Memo {
                    fields: fields(memo),
                }),
            })
        }
        CommandKind::Log { .. } | CommandKind::UseFlag(_) => return None,
        answer => ending_or_answer(answer),
    })
}

/// Answers to messages, and ends of the run.
fn ending_or_answer(kind: CommandKind) -> Variant {
    match kind {
        CommandKind::RespondToQuery { id, result } => Variant::RespondToQuery(proto::QueryResult {
            query_id: id,
            variant: Some(match result {
                Ok(payload) => query_result::Variant::Succeeded(proto::QuerySuccess {
                    response: Some(payload_to_proto(payload)),
                }),
                Err(failure) => query_result::Variant::Failed(failure_to_proto(&failure)),
            }),
        }),
        CommandKind::AcceptUpdate {
            protocol_instance_id,
        } => update(
            protocol_instance_id,
            update_response::Response::Accepted(()),
        ),
        CommandKind::RejectUpdate {
            protocol_instance_id,
            failure,
        } => update(protocol_instance_id, rejected(&failure)),
        CommandKind::CompleteUpdate {
            protocol_instance_id,
            result,
        } => {
            let response = match result {
                Ok(payload) => update_response::Response::Completed(payload_to_proto(payload)),
                Err(failure) => rejected(&failure),
            };
            update(protocol_instance_id, response)
        }
        CommandKind::CompleteWorkflow(result) => {
            Variant::CompleteWorkflowExecution(proto::CompleteWorkflowExecution {
                result: Some(payload_to_proto(result)),
            })
        }
        CommandKind::FailWorkflow(failure) => {
            Variant::FailWorkflowExecution(proto::FailWorkflowExecution {
                failure: Some(failure_to_proto(&failure)),
            })
        }
        CommandKind::CancelWorkflow => {
            Variant::CancelWorkflowExecution(proto::CancelWorkflowExecution::default())
        }
        CommandKind::ContinueAsNew(next) => {
            Variant::ContinueAsNewWorkflowExecution(continue_as_new(*next))
        }
        other => unreachable!("{other:?} is neither an answer nor an end"),
    }
}

fn rejected(failure: &Failure) -> update_response::Response {
    update_response::Response::Rejected(failure_to_proto(failure))
}

fn update(protocol_instance_id: String, response: update_response::Response) -> Variant {
    Variant::UpdateResponse(proto::UpdateResponse {
        protocol_instance_id,
        response: Some(response),
    })
}

fn activity(schedule: ScheduleActivity) -> proto::ScheduleActivity {
    proto::ScheduleActivity {
        seq: schedule.seq,
        activity_id: schedule.activity_id,
        activity_type: schedule.activity_type,
        task_queue: schedule.task_queue,
        arguments: payloads(schedule.arguments),
        schedule_to_close_timeout: schedule.timeouts.schedule_to_close.map(duration_to_proto),
        schedule_to_start_timeout: schedule.timeouts.schedule_to_start.map(duration_to_proto),
        start_to_close_timeout: schedule.timeouts.start_to_close.map(duration_to_proto),
        heartbeat_timeout: schedule.timeouts.heartbeat.map(duration_to_proto),
        retry_policy: schedule.retry_policy.map(retry_policy_to_proto),
        cancellation_type: activity_cancellation(schedule.cancellation_type).into(),
        priority: schedule.priority.map(priority),
        ..Default::default()
    }
}

fn local_activity(schedule: ScheduleLocalActivity) -> proto::ScheduleLocalActivity {
    proto::ScheduleLocalActivity {
        seq: schedule.seq,
        activity_id: schedule.activity_id,
        activity_type: schedule.activity_type,
        attempt: schedule.attempt,
        original_schedule_time: schedule.original_schedule_time.map(timestamp_to_proto),
        arguments: payloads(schedule.arguments),
        schedule_to_close_timeout: schedule.timeouts.schedule_to_close.map(duration_to_proto),
        schedule_to_start_timeout: schedule.timeouts.schedule_to_start.map(duration_to_proto),
        start_to_close_timeout: schedule.timeouts.start_to_close.map(duration_to_proto),
        retry_policy: schedule.retry_policy.map(retry_policy_to_proto),
        cancellation_type: activity_cancellation(schedule.cancellation_type).into(),
        ..Default::default()
    }
}

fn start_child(start: StartChild, namespace: &str) -> proto::StartChildWorkflowExecution {
    use child::ChildWorkflowCancellationType as Cancellation;
    use child::ParentClosePolicy as Close;
    let cancellation = match start.cancellation_type {
        ChildCancellationType::Abandon => Cancellation::Abandon,
        ChildCancellationType::TryCancel => Cancellation::TryCancel,
        ChildCancellationType::WaitCancellationCompleted => Cancellation::WaitCancellationCompleted,
        ChildCancellationType::WaitCancellationRequested => Cancellation::WaitCancellationRequested,
    };
    let parent_close_policy = match start.parent_close_policy {
        ParentClosePolicy::Terminate => Close::Terminate,
        ParentClosePolicy::Abandon => Close::Abandon,
        ParentClosePolicy::RequestCancel => Close::RequestCancel,
    };
    let reuse = id_reuse_policy_to_proto(start.workflow_id_reuse_policy);
    proto::StartChildWorkflowExecution {
        seq: start.seq,
        namespace: namespace.to_owned(),
        workflow_id: start.workflow_id,
        workflow_type: start.workflow_type,
        task_queue: start.task_queue,
        input: payloads(start.input),
        workflow_execution_timeout: start.execution_timeout.map(duration_to_proto),
        workflow_run_timeout: start.run_timeout.map(duration_to_proto),
        workflow_task_timeout: start.task_timeout.map(duration_to_proto),
        parent_close_policy: parent_close_policy.into(),
        workflow_id_reuse_policy: reuse.into(),
        retry_policy: start.retry_policy.map(retry_policy_to_proto),
        cron_schedule: start.cron_schedule,
        memo: fields(start.memo),
        search_attributes: search_attributes(start.search_attributes),
        cancellation_type: cancellation.into(),
        priority: start.priority.map(priority),
        ..Default::default()
    }
}

fn signal_external(
    seq: u32,
    target: SignalTarget,
    signal_name: String,
    args: Vec<Payload>,
    namespace: &str,
) -> Variant {
    use proto::signal_external_workflow_execution::Target;
    Variant::SignalExternalWorkflowExecution(proto::SignalExternalWorkflowExecution {
        seq,
        target: Some(match target {
            SignalTarget::Workflow {
                workflow_id,
                run_id,
            } => Target::WorkflowExecution(namespaced(namespace, workflow_id, run_id)),
            SignalTarget::Child { workflow_id } => Target::ChildWorkflowId(workflow_id),
        }),
        signal_name,
        args: payloads(args),
        ..Default::default()
    })
}

fn nexus(schedule: ScheduleNexus) -> proto::ScheduleNexusOperation {
    proto::ScheduleNexusOperation {
        seq: schedule.seq,
        endpoint: schedule.endpoint,
        service: schedule.service,
        operation: schedule.operation,
        input: Some(payload_to_proto(schedule.input)),
        schedule_to_close_timeout: schedule.schedule_to_close_timeout.map(duration_to_proto),
        schedule_to_start_timeout: schedule.schedule_to_start_timeout.map(duration_to_proto),
        start_to_close_timeout: schedule.start_to_close_timeout.map(duration_to_proto),
        ..Default::default()
    }
}

pub(crate) fn behavior_to_proto(behavior: VersioningBehavior) -> enums::VersioningBehavior {
    match behavior {
        VersioningBehavior::Pinned => enums::VersioningBehavior::Pinned,
        VersioningBehavior::AutoUpgrade => enums::VersioningBehavior::AutoUpgrade,
    }
}

fn continue_as_new(next: ContinueAsNew) -> proto::ContinueAsNewWorkflowExecution {
    use enums::ContinueAsNewVersioningBehavior as Initial;
    let initial = match next.initial_versioning_behavior {
        None => Initial::Unspecified,
        Some(InitialVersioningBehavior::AutoUpgrade) => Initial::AutoUpgrade,
        Some(InitialVersioningBehavior::UseRampingVersion) => Initial::UseRampingVersion,
    };
    proto::ContinueAsNewWorkflowExecution {
        workflow_type: next.workflow_type,
        task_queue: next.task_queue,
        arguments: payloads(next.arguments),
        workflow_run_timeout: next.run_timeout.map(duration_to_proto),
        workflow_task_timeout: next.task_timeout.map(duration_to_proto),
        memo: fields(next.memo),
        headers: fields(next.headers),
        search_attributes: search_attributes(next.search_attributes),
        retry_policy: next.retry_policy.map(retry_policy_to_proto),
        initial_versioning_behavior: initial.into(),
        ..Default::default()
    }
}

fn activity_cancellation(kind: ActivityCancellationType) -> proto::ActivityCancellationType {
    match kind {
        ActivityCancellationType::TryCancel => proto::ActivityCancellationType::TryCancel,
        ActivityCancellationType::WaitCancellationCompleted => {
            proto::ActivityCancellationType::WaitCancellationCompleted
        }
        ActivityCancellationType::Abandon => proto::ActivityCancellationType::Abandon,
    }
}

fn priority(priority: Priority) -> common::Priority {
    common::Priority {
        priority_key: priority.priority_key,
        fairness_key: priority.fairness_key,
        fairness_weight: priority.fairness_weight,
    }
}

fn namespaced(namespace: &str, workflow_id: String, run_id: String) -> NamespacedWorkflowExecution {
    NamespacedWorkflowExecution {
        namespace: namespace.to_owned(),
        workflow_id,
        run_id,
    }
}

fn payloads(payloads: Vec<Payload>) -> Vec<common::Payload> {
    payloads.into_iter().map(payload_to_proto).collect()
}

fn fields(fields: BTreeMap<String, Payload>) -> HashMap<String, common::Payload> {
    fields
        .into_iter()
        .map(|(name, payload)| (name, payload_to_proto(payload)))
        .collect()
}

fn search_attributes(attributes: BTreeMap<String, Payload>) -> Option<common::SearchAttributes> {
    (!attributes.is_empty()).then(|| common::SearchAttributes {
        indexed_fields: fields(attributes),
    })
}
