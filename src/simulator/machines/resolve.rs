//! The jobs that tell the engine how its operations ended, with the failures that core makes of events.

use temporalio_protos::coresdk::activity_result::{
    ActivityResolution, Cancellation, Failure as Failed, Success, activity_resolution,
};
use temporalio_protos::coresdk::child_workflow as child;
use temporalio_protos::coresdk::nexus::{NexusOperationResult, nexus_operation_result};
use temporalio_protos::coresdk::workflow_activation as jobs;
use temporalio_protos::coresdk::workflow_activation::resolve_child_workflow_execution_start::Status as Start;
use temporalio_protos::coresdk::workflow_activation::resolve_nexus_operation_start::Status as NexusStart;
use temporalio_protos::coresdk::workflow_activation::workflow_activation_job::Variant;
use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1 as enums;
use temporalio_protos::temporal::api::failure::v1 as failure;
use temporalio_protos::temporal::api::failure::v1::failure::FailureInfo;
use temporalio_protos::temporal::api::history::v1 as history;

use super::{Kind, Machines};

/// What an event tells of an attempt beside its failure.
#[derive(Debug, Default)]
pub(super) struct About {
    pub identity: String,
    pub scheduled_event_id: i64,
    pub started_event_id: i64,
}

impl Machines {
    pub(super) fn resolve_activity(
        &mut self,
        place: usize,
        status: activity_resolution::Status,
        is_local: bool,
    ) {
        let seq = match &self.machines[place].kind {
            Kind::Activity { seq, .. } => *seq,
            Kind::Local(local) => local.schedule.seq,
            _ => return,
        };
        self.jobs
            .push(Variant::ResolveActivity(jobs::ResolveActivity {
                seq,
                result: Some(ActivityResolution {
                    status: Some(status),
                }),
                is_local,
            }));
    }

    pub(super) fn resolve_failed_activity(
        &mut self,
        place: usize,
        message: &str,
        cause: Option<failure::Failure>,
        retry_state: enums::RetryState,
        about: About,
    ) {
        let failure = self.activity_failure(place, message, cause, retry_state, about);
        self.resolve_activity(
            place,
            activity_resolution::Status::Failed(Failed {
                failure: Some(failure),
                ..Default::default()
            }),
            false,
        );
    }

    pub(super) fn resolve_cancelled_activity(
        &mut self,
        place: usize,
        event: Option<history::ActivityTaskCanceledEventAttributes>,
    ) {
        let event = event.unwrap_or_default();
        let cause = failure::Failure {
            failure_info: Some(FailureInfo::CanceledFailureInfo(
                failure::CanceledFailureInfo {
                    details: event.details,
                    ..Default::default()
                },
            )),
            ..Default::default()
        };
        let about = About {
            identity: event.identity,
            scheduled_event_id: event.scheduled_event_id,
            started_event_id: event.started_event_id,
        };
        let state = enums::RetryState::CancelRequested;
        let failure = self.activity_failure(place, "Activity cancelled", Some(cause), state, about);
        let cancelled = Cancellation {
            failure: Some(failure),
        };
        self.resolve_activity(
            place,
            activity_resolution::Status::Cancelled(cancelled),
            false,
        );
    }

    pub(super) fn activity_failure(
        &self,
        place: usize,
        message: &str,
        cause: Option<failure::Failure>,
        retry_state: enums::RetryState,
        about: About,
    ) -> failure::Failure {
        let (activity_type, activity_id) = match &self.machines[place].kind {
            Kind::Activity {
                activity_type,
                activity_id,
                ..
            } => (activity_type.clone(), activity_id.clone()),
            Kind::Local(local) => (
                local.schedule.activity_type.clone(),
                local.schedule.activity_id.clone(),
            ),
            _ => Default::default(),
        };
        failure::Failure {
            message: message.to_owned(),
            cause: cause.map(Box::new),
            failure_info: Some(FailureInfo::ActivityFailureInfo(
                failure::ActivityFailureInfo {
                    activity_type: Some(common::ActivityType {
                        name: activity_type,
                    }),
                    activity_id,
                    identity: about.identity,
                    retry_state: retry_state.into(),
                    scheduled_event_id: about.scheduled_event_id,
                    started_event_id: about.started_event_id,
                },
            )),
            ..Default::default()
        }
    }

    pub(super) fn completed_activity(&mut self, place: usize, result: Option<common::Payload>) {
        self.resolve_activity(
            place,
            activity_resolution::Status::Completed(Success { result }),
            false,
        );
    }

    pub(super) fn child_withdrawn(&mut self, place: usize, reason: &str) {
        let message = format!("Child Workflow Execution cancelled before scheduled: {reason}");
        let state = enums::RetryState::NonRetryableFailure;
        let failure = self.child_failure(place, &message, Some(cancelled_failure()), state);
        self.child_start(
            place,
            Start::Cancelled(jobs::ResolveChildWorkflowExecutionStartCancelled {
                failure: Some(failure),
            }),
        );
    }

    pub(super) fn child_start(&mut self, place: usize, status: Start) {
        let Kind::Child { seq, .. } = &self.machines[place].kind else {
            return;
        };
        self.jobs.push(Variant::ResolveChildWorkflowExecutionStart(
            jobs::ResolveChildWorkflowExecutionStart {
                seq: *seq,
                status: Some(status),
            },
        ));
    }

    pub(super) fn resolve_child(
        &mut self,
        place: usize,
        status: child::child_workflow_result::Status,
    ) {
        let Kind::Child { seq, .. } = &self.machines[place].kind else {
            return;
        };
        self.jobs.push(Variant::ResolveChildWorkflowExecution(
            jobs::ResolveChildWorkflowExecution {
                seq: *seq,
                result: Some(child::ChildWorkflowResult {
                    status: Some(status),
                }),
            },
        ));
    }

    pub(super) fn resolve_failed_child(
        &mut self,
        place: usize,
        message: &str,
        cause: Option<failure::Failure>,
        retry_state: enums::RetryState,
    ) {
        let failure = Some(self.child_failure(place, message, cause, retry_state));
        let failed = child::Failure { failure };
        self.resolve_child(place, child::child_workflow_result::Status::Failed(failed));
    }

    pub(super) fn resolve_cancelled_child(&mut self, place: usize) {
        let state = enums::RetryState::NonRetryableFailure;
        let message = "Child Workflow execution cancelled";
        let failure = Some(self.child_failure(place, message, Some(cancelled_failure()), state));
        let cancelled = child::Cancellation { failure };
        self.resolve_child(
            place,
            child::child_workflow_result::Status::Cancelled(cancelled),
        );
    }

    fn child_failure(
        &self,
        place: usize,
        message: &str,
        cause: Option<failure::Failure>,
        retry_state: enums::RetryState,
    ) -> failure::Failure {
        let machine = &self.machines[place];
        let Kind::Child {
            workflow_id,
            workflow_type,
            run_id,
            ..
        } = &machine.kind
        else {
            return failure::Failure::default();
        };
        failure::Failure {
            message: message.to_owned(),
            cause: cause.map(Box::new),
            failure_info: Some(FailureInfo::ChildWorkflowExecutionFailureInfo(
                failure::ChildWorkflowExecutionFailureInfo {
                    namespace: self.namespace.clone(),
                    workflow_type: Some(common::WorkflowType {
                        name: workflow_type.clone(),
                    }),
                    initiated_event_id: machine.event_id,
                    started_event_id: machine.started_event_id,
                    retry_state: retry_state.into(),
                    workflow_execution: Some(common::WorkflowExecution {
                        workflow_id: workflow_id.clone(),
                        run_id: run_id.clone(),
                    }),
                },
            )),
            ..Default::default()
        }
    }

    /// How a signal or a cancellation that was sent to another workflow fared.
    pub(super) fn resolve_external(&mut self, place: usize, failure: Option<failure::Failure>) {
        let job = match self.machines[place].kind {
            Kind::SignalExternal { seq } => {
                Variant::ResolveSignalExternalWorkflow(jobs::ResolveSignalExternalWorkflow {
                    seq,
                    failure,
                    ..Default::default()
                })
            }
            Kind::CancelExternal { seq: Some(seq) } => {
                let job = jobs::ResolveRequestCancelExternalWorkflow {
                    seq,
                    failure,
                    ..Default::default()
                };
                Variant::ResolveRequestCancelExternalWorkflow(job)
            }
            _ => return,
        };
        self.jobs.push(job);
    }

    pub(super) fn nexus_withdrawn(&mut self, place: usize) {
        let machine = &self.machines[place];
        let Kind::Nexus {
            endpoint,
            service,
            operation,
            ..
        } = &machine.kind
        else {
            return;
        };
        let failure = failure::Failure {
            message: "Nexus Operation cancelled before scheduled".to_owned(),
            cause: Some(Box::new(cancelled_failure())),
            failure_info: Some(FailureInfo::NexusOperationExecutionFailureInfo(
                failure::NexusOperationFailureInfo {
                    scheduled_event_id: machine.event_id,
                    endpoint: endpoint.clone(),
                    service: service.clone(),
                    operation: operation.clone(),
                    ..Default::default()
                },
            )),
            ..Default::default()
        };
        self.nexus_start(place, NexusStart::Failed(failure));
    }

    pub(super) fn nexus_start(&mut self, place: usize, status: NexusStart) {
        let Kind::Nexus { seq, .. } = &self.machines[place].kind else {
            return;
        };
        self.jobs.push(Variant::ResolveNexusOperationStart(
            jobs::ResolveNexusOperationStart {
                seq: *seq,
                status: Some(status),
            },
        ));
    }

    pub(super) fn resolve_nexus(&mut self, place: usize, status: nexus_operation_result::Status) {
        let Kind::Nexus { seq, .. } = &self.machines[place].kind else {
            return;
        };
        self.jobs.push(Variant::ResolveNexusOperation(
            jobs::ResolveNexusOperation {
                seq: *seq,
                result: Some(NexusOperationResult {
                    status: Some(status),
                }),
            },
        ));
    }
}

pub(super) fn cancelled_failure() -> failure::Failure {
    failure::Failure {
        failure_info: Some(FailureInfo::CanceledFailureInfo(
            failure::CanceledFailureInfo::default(),
        )),
        ..Default::default()
    }
}

/// As core words what the server would not do for another workflow.
pub(super) fn external_failure(what: &str, cause: String, reason: &str) -> failure::Failure {
    failure::Failure {
        message: format!("Unable to {what} external workflow because {reason}"),
        failure_info: Some(FailureInfo::ApplicationFailureInfo(
            failure::ApplicationFailureInfo {
                r#type: cause,
                ..Default::default()
            },
        )),
        ..Default::default()
    }
}
