//! Commands of completed workflow tasks: their events, and what the server must do (temporal server 1.32.0,
//! service/history/api/respondworkflowtaskcompleted/workflow_task_completed_handler.go).

use std::collections::{BTreeMap, HashMap};

use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::history::v1 as history;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;

use super::super::agenda::{Due, after};
use super::super::message::{Command, CommandKind};
use super::Server;
use super::event::payloads;
use crate::engine::command::SignalTarget;
use crate::history::{Commanded, Meaning};
use crate::payload::{duration_to_proto, payload_to_proto, payloads_to_proto};
use crate::value::{Duration, Payload};

impl Server {
    pub(super) fn command(&mut self, run: usize, completed: i64, command: Command) {
        let Command { kind, summary } = command;
        match kind {
            CommandKind::StartTimer { timer_id, duration } => {
                self.start_timer(run, completed, (timer_id, duration), summary);
            }
            CommandKind::CancelTimer { started_event_id } => {
                self.cancel_timer(run, completed, started_event_id, summary);
            }
            CommandKind::ScheduleActivity(schedule) => {
                self.schedule_activity(run, completed, *schedule, summary);
            }
            CommandKind::CancelActivity { scheduled_event_id } => {
                self.request_cancel_activity(run, completed, scheduled_event_id, summary);
            }
            CommandKind::StartChild(start) => self.initiate_child(run, completed, *start, summary),
            CommandKind::SignalWorkflow { target, name, args } => {
                self.send_signal(run, completed, target, name, args, summary);
            }
            CommandKind::CancelWorkflow {
                workflow_id,
                run_id,
                reason,
                child_workflow_only,
            } => {
                let workflow = (workflow_id, run_id, child_workflow_only);
                self.cancel_external(run, completed, workflow, reason, summary);
            }
            CommandKind::ScheduleNexus(schedule) => {
                self.schedule_nexus(run, completed, *schedule, summary);
            }
            CommandKind::CancelNexus { scheduled_event_id } => {
                self.request_cancel_nexus(run, completed, scheduled_event_id, summary);
            }
            CommandKind::RecordMarker(mut marker) => {
                marker.workflow_task_completed_event_id = completed;
                let marker = Attributes::MarkerRecordedEventAttributes(*marker);
                self.append_with(run, marker, summary);
            }
            CommandKind::UpsertSearchAttributes(fields) => {
                self.upsert_search_attributes(run, completed, fields);
            }
            CommandKind::UpsertMemo(memo) => self.upsert_memo(run, completed, memo),
            CommandKind::AcceptUpdate {
                protocol_instance_id,
            } => self.accept_update(run, &protocol_instance_id),
            CommandKind::RejectUpdate {
                protocol_instance_id,
                failure,
            } => self.reject_update(run, &protocol_instance_id, failure),
            CommandKind::CompleteUpdate {
                protocol_instance_id,
                result,
            } => self.complete_update(run, &protocol_instance_id, result),
            CommandKind::Complete(result) => self.complete(run, completed, result),
            CommandKind::Fail(failure) => self.fail(run, completed, failure),
            CommandKind::Cancel => self.close_cancelled(run, completed),
            CommandKind::ContinueAsNew(next) => self.continue_as_new(run, completed, *next),
        }
    }

    fn start_timer(
        &mut self,
        run: usize,
        completed: i64,
        (timer_id, duration): (String, Duration),
        summary: Option<String>,
    ) {
        let attributes = history::TimerStartedEventAttributes {
            timer_id,
            start_to_fire_timeout: Some(duration_to_proto(duration)),
            workflow_task_completed_event_id: completed,
        };
        let attributes = Attributes::TimerStartedEventAttributes(attributes);
        let event_id = self.append_with(run, attributes, summary);
        let at = after(self.world.now, duration);
        let key = self.world.agenda.put(at, Due::Timer { run, event_id });
        self.executions[run].timers.insert(event_id, key);
    }

    fn upsert_memo(&mut self, run: usize, completed: i64, memo: BTreeMap<String, Payload>) {
        let fields = fields(memo);
        self.executions[run].memo.extend(fields.clone());
        let attributes = history::WorkflowPropertiesModifiedEventAttributes {
            workflow_task_completed_event_id: completed,
            upserted_memo: Some(common::Memo { fields }),
        };
        let attributes = Attributes::WorkflowPropertiesModifiedEventAttributes(attributes);
        self.append(run, attributes);
    }

    fn upsert_search_attributes(
        &mut self,
        run: usize,
        completed: i64,
        fields: HashMap<String, common::Payload>,
    ) {
        self.executions[run]
            .search_attributes
            .extend(fields.clone());
        let attributes = history::UpsertWorkflowSearchAttributesEventAttributes {
            workflow_task_completed_event_id: completed,
            search_attributes: Some(common::SearchAttributes {
                indexed_fields: fields,
            }),
        };
        self.append(
            run,
            Attributes::UpsertWorkflowSearchAttributesEventAttributes(attributes),
        );
    }

    fn cancel_timer(
        &mut self,
        run: usize,
        completed: i64,
        started_event_id: i64,
        summary: Option<String>,
    ) {
        let execution = &mut self.executions[run];
        match execution.timers.remove(&started_event_id) {
            Some(key) => self.world.agenda.remove(key),
            // It fired during this workflow task: the event is removed before it is recorded (temporal server 1.32.0,
            // service/history/workflow/mutable_state_impl.go, `AddTimerCanceledEvent`).
            None => execution.buffered.retain(|attributes| {
                !matches!(attributes, Attributes::TimerFiredEventAttributes(a)
                    if a.started_event_id == started_event_id)
            }),
        }
        let timer_id = self.timer_id(run, started_event_id);
        let attributes = history::TimerCanceledEventAttributes {
            timer_id,
            started_event_id,
            workflow_task_completed_event_id: completed,
            identity: super::event::IDENTITY.to_owned(),
        };
        let attributes = Attributes::TimerCanceledEventAttributes(attributes);
        self.append_with(run, attributes, summary);
    }

    fn timer_id(&mut self, run: usize, started_event_id: i64) -> String {
        if let Meaning::Commanded(Commanded::Timer(a)) =
            self.executions[run].meaning(started_event_id)
        {
            return a.timer_id.clone();
        }
        self.broken(run, format!("event {started_event_id} starts no timer"));
        String::new()
    }

    pub(crate) fn timer_fired(&mut self, run: usize, event_id: i64) {
        if self.executions[run].timers.remove(&event_id).is_none() {
            return self.broken(run, format!("no timer of event {event_id} runs"));
        }
        let attributes = history::TimerFiredEventAttributes {
            timer_id: self.timer_id(run, event_id),
            started_event_id: event_id,
        };
        self.arrive(run, Attributes::TimerFiredEventAttributes(attributes));
    }

    fn send_signal(
        &mut self,
        run: usize,
        completed: i64,
        target: SignalTarget,
        name: String,
        args: Vec<Payload>,
        summary: Option<String>,
    ) {
        let (workflow_id, run_id, child_workflow_only) = match target {
            SignalTarget::Workflow {
                workflow_id,
                run_id,
            } => (workflow_id, run_id, false),
            SignalTarget::Child { workflow_id } => (workflow_id, String::new(), true),
        };
        let attributes = history::SignalExternalWorkflowExecutionInitiatedEventAttributes {
            workflow_task_completed_event_id: completed,
            namespace: self.namespace.clone(),
            workflow_execution: Some(common::WorkflowExecution {
                workflow_id,
                run_id,
            }),
            signal_name: name,
            input: payloads_to_proto(args),
            child_workflow_only,
            ..Default::default()
        };
        let attributes =
            Attributes::SignalExternalWorkflowExecutionInitiatedEventAttributes(attributes);
        let event_id = self.append_with(run, attributes, summary);
        self.world
            .agenda
            .put(self.world.now, Due::SignalExternal { run, event_id });
    }

    fn cancel_external(
        &mut self,
        run: usize,
        completed: i64,
        (workflow_id, run_id, child_workflow_only): (String, String, bool),
        reason: String,
        summary: Option<String>,
    ) {
        let attributes = history::RequestCancelExternalWorkflowExecutionInitiatedEventAttributes {
            workflow_task_completed_event_id: completed,
            namespace: self.namespace.clone(),
            workflow_execution: Some(common::WorkflowExecution {
                workflow_id,
                run_id,
            }),
            child_workflow_only,
            reason,
            ..Default::default()
        };
        let attributes =
            Attributes::RequestCancelExternalWorkflowExecutionInitiatedEventAttributes(attributes);
        let event_id = self.append_with(run, attributes, summary);
        self.world
            .agenda
            .put(self.world.now, Due::CancelExternal { run, event_id });
    }
}

pub(super) fn fields(
    fields: impl IntoIterator<Item = (String, Payload)>,
) -> HashMap<String, common::Payload> {
    fields
        .into_iter()
        .map(|(name, payload)| (name, payload_to_proto(payload)))
        .collect()
}

pub(super) fn result(payload: Payload) -> Option<common::Payloads> {
    payloads(vec![payload_to_proto(payload)])
}
