//! Events as the engine's jobs, and the events of commands beside the commands that they come from.

use siphasher::sip::SipHasher13;
use std::hash::{Hash, Hasher};

use temporalio_protos::coresdk::child_workflow::child_workflow_result::Status as ChildEnd;
use temporalio_protos::coresdk::child_workflow::{
    self as child, StartChildWorkflowExecutionFailedCause,
};
use temporalio_protos::coresdk::nexus::nexus_operation_result::Status as NexusEnd;
use temporalio_protos::coresdk::workflow_activation as jobs;
use temporalio_protos::coresdk::workflow_activation::resolve_child_workflow_execution_start::Status as Start;
use temporalio_protos::coresdk::workflow_activation::resolve_nexus_operation_start::Status as NexusStart;
use temporalio_protos::coresdk::workflow_activation::workflow_activation_job::Variant;
use temporalio_protos::temporal::api::enums::v1 as enums;
use temporalio_protos::temporal::api::failure::v1 as failure;
use temporalio_protos::temporal::api::failure::v1::failure::FailureInfo;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;

use super::resolve::{About, external_failure};
use super::{Kind, Machines, State, UpdateRequest};
use crate::payload::timestamp_from_proto;
use crate::simulator::replay::Divergence;

impl Machines {
    /// The events up to a workflow task's start, and what can be foreseen of those that follow its completion.
    pub fn apply(
        &mut self,
        events: &[HistoryEvent],
        ahead: &[HistoryEvent],
        fresh: Vec<UpdateRequest>,
    ) -> Result<(), Divergence> {
        if !events.is_empty() {
            self.activation_index = 0;
        }
        let last = events.last().map_or(0, |event| event.event_id);
        for event in events {
            if event.event_id <= self.processed {
                continue;
            }
            self.event(event, event.event_id == last)
                .map_err(|divergence| divergence.at(event))?;
            self.processed = event.event_id;
        }
        if !self.is_replaying {
            self.request_awaited();
        }
        for update in fresh {
            self.begin_update(update, true);
        }
        for event in ahead {
            self.foresee(event)?;
        }
        self.release_if_idle()
    }

    fn begin_update(&mut self, update: UpdateRequest, run_validator: bool) {
        self.jobs.push(Variant::DoUpdate(jobs::DoUpdate {
            id: update.id.clone(),
            protocol_instance_id: update.protocol_instance_id.clone(),
            name: update.name.clone(),
            input: update.input.clone(),
            run_validator,
            ..Default::default()
        }));
        self.updates
            .insert(update.protocol_instance_id.clone(), update);
    }

    fn foresee(&mut self, event: &HistoryEvent) -> Result<(), Divergence> {
        match &event.attributes {
            Some(Attributes::MarkerRecordedEventAttributes(marker)) => {
                self.foresee_marker(marker).map_err(|d| d.at(event))
            }
            Some(Attributes::WorkflowExecutionUpdateAcceptedEventAttributes(accepted)) => {
                let request = accepted.accepted_request.clone().unwrap_or_default();
                let input = request.input.unwrap_or_default();
                let update = UpdateRequest {
                    id: request.meta.unwrap_or_default().update_id,
                    protocol_instance_id: accepted.protocol_instance_id.clone(),
                    name: input.name,
                    input: input.args.map(|args| args.payloads).unwrap_or_default(),
                    sequencing_event_id: accepted.accepted_request_sequencing_event_id,
                };
                self.begin_update(update, false);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn event(&mut self, event: &HistoryEvent, is_last: bool) -> Result<(), Divergence> {
        use Attributes::*;
        let Some(attributes) = &event.attributes else {
            return Ok(());
        };
        match attributes {
            WorkflowExecutionStartedEventAttributes(started) => {
                let at = event.event_time.unwrap_or_default();
                self.now = timestamp_from_proto(at);
                let start = jobs::start_workflow_from_attribs(
                    started.clone(),
                    self.workflow_id.clone(),
                    seed(&started.original_execution_run_id),
                    at,
                );
                self.jobs.push(Variant::InitializeWorkflow(start));
            }
            WorkflowTaskStartedEventAttributes(started) => {
                self.history_size_bytes = u64::try_from(started.history_size_bytes).unwrap_or(0);
                self.continue_as_new_suggested = started.suggest_continue_as_new;
                let at = timestamp_from_proto(event.event_time.unwrap_or_default());
                if is_last && at > self.now {
                    self.now = at;
                }
            }
            WorkflowTaskFailedEventAttributes(failed)
                if failed.cause() == enums::WorkflowTaskFailedCause::ResetWorkflow =>
            {
                let randomness_seed = seed(&failed.new_run_id);
                self.jobs
                    .push(Variant::UpdateRandomSeed(jobs::UpdateRandomSeed {
                        randomness_seed,
                    }));
            }
            WorkflowExecutionSignaledEventAttributes(signal) => {
                let job = jobs::SignalWorkflow::from((signal.clone(), event.event_id));
                self.jobs.push(Variant::SignalWorkflow(job));
            }
            WorkflowExecutionCancelRequestedEventAttributes(cancel) => {
                let job = jobs::CancelWorkflow::from(cancel.clone());
                self.jobs.push(Variant::CancelWorkflow(job));
            }
            MarkerRecordedEventAttributes(marker) if self.is_foreseen(marker)? => {}
            attributes if is_of_command(attributes) => self.recorded(event, attributes)?,
            attributes => self.later(event, attributes)?,
        }
        Ok(())
    }

    /// The event of a command: of the first that was sent and has not come back.
    fn recorded(
        &mut self,
        event: &HistoryEvent,
        attributes: &Attributes,
    ) -> Result<(), Divergence> {
        let sent = loop {
            let Some(sent) = self.commands.pop_front() else {
                return Err(Divergence::missing(event));
            };
            if self.machines[sent.machine].state != State::Withdrawn {
                break sent;
            }
        };
        super::super::replay::fits(&sent.request, attributes)?;
        let machine = &mut self.machines[sent.machine];
        machine.event_id = event.event_id;
        if machine.state == State::Commanded {
            machine.state = State::Recorded;
        }
        if let Kind::Local(local) = &mut machine.kind {
            local.state = super::LocalState::Done;
        }
        self.by_event.insert(event.event_id, sent.machine);
        Ok(())
    }

    /// An event that goes back to the event of a command.
    fn later(&mut self, event: &HistoryEvent, attributes: &Attributes) -> Result<(), Divergence> {
        use Attributes::*;
        let of = match attributes {
            TimerFiredEventAttributes(a) => a.started_event_id,
            ActivityTaskStartedEventAttributes(a) => a.scheduled_event_id,
            ActivityTaskCompletedEventAttributes(a) => a.scheduled_event_id,
            ActivityTaskFailedEventAttributes(a) => a.scheduled_event_id,
            ActivityTaskTimedOutEventAttributes(a) => a.scheduled_event_id,
            ActivityTaskCanceledEventAttributes(a) => a.scheduled_event_id,
            StartChildWorkflowExecutionFailedEventAttributes(a) => a.initiated_event_id,
            ChildWorkflowExecutionStartedEventAttributes(a) => a.initiated_event_id,
            ChildWorkflowExecutionCompletedEventAttributes(a) => a.initiated_event_id,
            ChildWorkflowExecutionFailedEventAttributes(a) => a.initiated_event_id,
            ChildWorkflowExecutionCanceledEventAttributes(a) => a.initiated_event_id,
            ChildWorkflowExecutionTimedOutEventAttributes(a) => a.initiated_event_id,
            ChildWorkflowExecutionTerminatedEventAttributes(a) => a.initiated_event_id,
            ExternalWorkflowExecutionSignaledEventAttributes(a) => a.initiated_event_id,
            SignalExternalWorkflowExecutionFailedEventAttributes(a) => a.initiated_event_id,
            ExternalWorkflowExecutionCancelRequestedEventAttributes(a) => a.initiated_event_id,
            RequestCancelExternalWorkflowExecutionFailedEventAttributes(a) => a.initiated_event_id,
            NexusOperationStartedEventAttributes(a) => a.scheduled_event_id,
            NexusOperationCompletedEventAttributes(a) => a.scheduled_event_id,
            NexusOperationFailedEventAttributes(a) => a.scheduled_event_id,
            NexusOperationCanceledEventAttributes(a) => a.scheduled_event_id,
            NexusOperationTimedOutEventAttributes(a) => a.scheduled_event_id,
            // Nothing that the engine waits for.
            _ => return Ok(()),
        };
        let Some(&place) = self.by_event.get(&of) else {
            return Err(Divergence::missing(event));
        };
        if self.machines[place].state == State::Done {
            return Ok(());
        }
        self.happened(place, event.event_id, attributes);
        Ok(())
    }

    fn happened(&mut self, place: usize, event_id: i64, attributes: &Attributes) {
        use Attributes::*;
        let mut state = State::Done;
        match attributes.clone() {
            TimerFiredEventAttributes(_) => {
                if let Kind::Timer { seq } = self.machines[place].kind {
                    self.jobs.push(Variant::FireTimer(jobs::FireTimer { seq }));
                }
            }
            ActivityTaskStartedEventAttributes(_) => {
                self.machines[place].started_event_id = event_id;
                state = State::Started;
            }
            ActivityTaskCompletedEventAttributes(a) => {
                let result = a.result.and_then(|r| r.payloads.into_iter().next());
                self.completed_activity(place, result);
            }
            ActivityTaskFailedEventAttributes(a) => {
                let retry_state = a.retry_state();
                let about = About {
                    identity: a.identity,
                    scheduled_event_id: a.scheduled_event_id,
                    started_event_id: a.started_event_id,
                };
                let message = "Activity task failed";
                self.resolve_failed_activity(place, message, a.failure, retry_state, about);
            }
            ActivityTaskTimedOutEventAttributes(a) => {
                let retry_state = a.retry_state();
                let about = About {
                    identity: String::new(),
                    scheduled_event_id: a.scheduled_event_id,
                    started_event_id: a.started_event_id,
                };
                let message = "Activity task timed out";
                self.resolve_failed_activity(place, message, a.failure, retry_state, about);
            }
            ActivityTaskCanceledEventAttributes(a) => {
                self.resolve_cancelled_activity(place, Some(a));
            }
            NexusOperationStartedEventAttributes(a) => {
                self.nexus_start(place, NexusStart::OperationToken(a.operation_token));
                state = State::Started;
            }
            attributes if matches!(self.machines[place].kind, Kind::Nexus { .. }) => {
                self.nexus_ended(place, attributes);
            }
            attributes => state = self.other_workflow(place, event_id, attributes),
        }
        self.machines[place].state = state;
    }

    fn nexus_ended(&mut self, place: usize, attributes: Attributes) {
        use Attributes::*;
        let is_started = self.machines[place].state == State::Started;
        let end = match attributes {
            NexusOperationCompletedEventAttributes(a) => {
                NexusEnd::Completed(a.result.unwrap_or_default())
            }
            NexusOperationFailedEventAttributes(a) => {
                NexusEnd::Failed(a.failure.unwrap_or_default())
            }
            NexusOperationCanceledEventAttributes(a) => {
                NexusEnd::Cancelled(a.failure.unwrap_or_default())
            }
            NexusOperationTimedOutEventAttributes(a) => {
                NexusEnd::TimedOut(a.failure.unwrap_or_default())
            }
            _ => return,
        };
        match end {
            end if is_started => self.resolve_nexus(place, end),
            NexusEnd::Completed(_) => {
                self.nexus_start(place, NexusStart::StartedSync(true));
                self.resolve_nexus(place, end);
            }
            NexusEnd::Failed(failure)
            | NexusEnd::Cancelled(failure)
            | NexusEnd::TimedOut(failure) => self.nexus_start(place, NexusStart::Failed(failure)),
        }
    }

    fn other_workflow(&mut self, place: usize, event_id: i64, attributes: Attributes) -> State {
        use Attributes::*;
        match attributes {
            StartChildWorkflowExecutionFailedEventAttributes(a) => {
                self.child_refused(place, a.cause())
            }
            ChildWorkflowExecutionStartedEventAttributes(a) => {
                let started = a.workflow_execution.unwrap_or_default();
                self.machines[place].started_event_id = event_id;
                if let Kind::Child { run_id, .. } = &mut self.machines[place].kind {
                    run_id.clone_from(&started.run_id);
                }
                self.child_start(
                    place,
                    Start::Succeeded(jobs::ResolveChildWorkflowExecutionStartSuccess {
                        run_id: started.run_id,
                    }),
                );
                return State::Started;
            }
            ChildWorkflowExecutionCompletedEventAttributes(a) => {
                let result = a.result.and_then(|r| r.payloads.into_iter().next());
                self.resolve_child(place, ChildEnd::Completed(child::Success { result }));
            }
            ChildWorkflowExecutionFailedEventAttributes(a) => {
                let state = a.retry_state();
                let message = "Child Workflow execution failed";
                self.resolve_failed_child(place, message, a.failure, state);
            }
            ChildWorkflowExecutionTimedOutEventAttributes(a) => {
                let info = failure::TimeoutFailureInfo {
                    timeout_type: enums::TimeoutType::StartToClose.into(),
                    ..Default::default()
                };
                let cause = one("Timed out", FailureInfo::TimeoutFailureInfo(info));
                let message = "Child Workflow execution timed out";
                self.resolve_failed_child(place, message, Some(cause), a.retry_state());
            }
            ChildWorkflowExecutionTerminatedEventAttributes(_) => {
                let info = failure::TerminatedFailureInfo::default();
                let cause = one("Terminated", FailureInfo::TerminatedFailureInfo(info));
                let state = enums::RetryState::NonRetryableFailure;
                let message = "Child Workflow execution terminated";
                self.resolve_failed_child(place, message, Some(cause), state);
            }
            ChildWorkflowExecutionCanceledEventAttributes(_) => self.resolve_cancelled_child(place),
            SignalExternalWorkflowExecutionFailedEventAttributes(a) => {
                use enums::SignalExternalWorkflowExecutionFailedCause as Cause;
                let why = match a.cause() {
                    Cause::Unspecified => "unknown",
                    Cause::ExternalWorkflowExecutionNotFound | Cause::NamespaceNotFound => {
                        "it was not found"
                    }
                    Cause::SignalCountLimitExceeded => "The per-workflow signal limit was exceeded",
                };
                let failure = external_failure("signal", a.cause().to_string(), why);
                self.resolve_external(place, Some(failure));
            }
            RequestCancelExternalWorkflowExecutionFailedEventAttributes(a) => {
                let failure = external_failure("cancel", a.cause().to_string(), "not found");
                self.resolve_external(place, Some(failure));
            }
            _ => self.resolve_external(place, None),
        }
        State::Done
    }

    fn child_refused(
        &mut self,
        place: usize,
        cause: enums::StartChildWorkflowExecutionFailedCause,
    ) {
        use enums::StartChildWorkflowExecutionFailedCause as Server;
        let cause = match cause {
            Server::WorkflowAlreadyExists => {
                StartChildWorkflowExecutionFailedCause::WorkflowAlreadyExists
            }
            Server::NamespaceNotFound => StartChildWorkflowExecutionFailedCause::NamespaceNotFound,
            _ => StartChildWorkflowExecutionFailedCause::Unspecified,
        };
        let Kind::Child {
            workflow_id,
            workflow_type,
            ..
        } = &self.machines[place].kind
        else {
            return;
        };
        let failed = jobs::ResolveChildWorkflowExecutionStartFailure {
            workflow_id: workflow_id.clone(),
            workflow_type: workflow_type.clone(),
            cause: cause.into(),
        };
        self.child_start(place, Start::Failed(failed));
    }

    /// The next activation's jobs, in core's order.
    /// In the order of the events if the run's engine wants it, else as core has them.
    pub fn take_jobs(&mut self, orders_history: bool) -> Vec<Variant> {
        if self.jobs.is_empty() {
            return Vec::new();
        }
        let mut jobs = std::mem::take(&mut self.jobs);
        jobs.sort_by_key(|job| match job {
            Variant::InitializeWorkflow(_) => 0,
            Variant::NotifyHasPatch(_) => 1,
            Variant::UpdateRandomSeed(_) => 2,
            Variant::ResolveActivity(resolve) if resolve.is_local => 5,
            _ if orders_history => 3,
            Variant::SignalWorkflow(_) | Variant::DoUpdate(_) => 3,
            _ => 4,
        });
        self.activation_index += 1;
        jobs
    }
}

fn one(message: &str, info: FailureInfo) -> failure::Failure {
    failure::Failure {
        message: message.to_owned(),
        failure_info: Some(info),
        ..Default::default()
    }
}

/// As core makes it of a run's id.
fn seed(run_id: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    run_id.hash(&mut hasher);
    hasher.finish()
}

pub(in crate::simulator) fn is_of_command(attributes: &Attributes) -> bool {
    use Attributes::*;
    matches!(
        attributes,
        ActivityTaskScheduledEventAttributes(_)
            | ActivityTaskCancelRequestedEventAttributes(_)
            | TimerStartedEventAttributes(_)
            | TimerCanceledEventAttributes(_)
            | MarkerRecordedEventAttributes(_)
            | StartChildWorkflowExecutionInitiatedEventAttributes(_)
            | SignalExternalWorkflowExecutionInitiatedEventAttributes(_)
            | RequestCancelExternalWorkflowExecutionInitiatedEventAttributes(_)
            | UpsertWorkflowSearchAttributesEventAttributes(_)
            | WorkflowPropertiesModifiedEventAttributes(_)
            | NexusOperationScheduledEventAttributes(_)
            | NexusOperationCancelRequestedEventAttributes(_)
            | WorkflowExecutionUpdateAcceptedEventAttributes(_)
            | WorkflowExecutionUpdateCompletedEventAttributes(_)
            | WorkflowExecutionCompletedEventAttributes(_)
            | WorkflowExecutionFailedEventAttributes(_)
            | WorkflowExecutionCanceledEventAttributes(_)
            | WorkflowExecutionContinuedAsNewEventAttributes(_)
    )
}
