//! The worker's commands, as events and as what the server then has to do.

use std::collections::HashMap;

use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::history::v1 as history;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;

use super::Simulator;
use super::agenda::{Due, after};
use super::event::payloads;
use super::machines::{Request, Sent};
use crate::engine::VERSION_ATTRIBUTE;
use crate::engine::command::{CommandKind, SignalTarget};
use crate::payload::{duration_to_proto, payload_to_proto, payloads_to_proto, value_to_proto};
use crate::value::{Payload, Value};

impl Simulator {
    pub(super) fn command(&mut self, run: usize, completed: i64, sent: Sent) {
        let summary = sent.summary;
        match sent.request {
            Request::Engine(kind) => self.engine_command(run, completed, kind, summary),
            Request::CancelTimer { started_event_id } => {
                self.cancel_timer(run, completed, started_event_id, summary);
            }
            Request::CancelActivity { scheduled_event_id } => {
                self.request_cancel_activity(run, completed, scheduled_event_id, summary);
            }
            Request::CancelChild {
                workflow_id,
                run_id,
                reason,
            } => {
                let child = (workflow_id, run_id, true);
                self.cancel_external(run, completed, child, reason, summary);
            }
            Request::CancelNexus { scheduled_event_id } => {
                self.request_cancel_nexus(run, completed, scheduled_event_id, summary);
            }
            Request::Marker(mut marker) => {
                marker.workflow_task_completed_event_id = completed;
                self.append_with(
                    run,
                    Attributes::MarkerRecordedEventAttributes(*marker),
                    summary,
                );
            }
            Request::UpsertVersions(_) => {
                let versions = self.executions[run].worker.machines.versions.clone();
                let versions: Vec<Value> = versions.into_iter().map(Value::from).collect();
                if let Ok(mut payload) = value_to_proto(&Value::list(versions)) {
                    let of_type = b"KeywordList".to_vec();
                    payload.metadata.insert("type".to_owned(), of_type);
                    let fields = HashMap::from([(VERSION_ATTRIBUTE.to_owned(), payload)]);
                    self.upsert_search_attributes(run, completed, fields);
                }
            }
        }
    }

    fn engine_command(
        &mut self,
        run: usize,
        completed: i64,
        kind: CommandKind,
        summary: Option<String>,
    ) {
        match kind {
            CommandKind::StartTimer { seq, duration } => {
                let attributes = history::TimerStartedEventAttributes {
                    timer_id: seq.to_string(),
                    start_to_fire_timeout: Some(duration_to_proto(duration)),
                    workflow_task_completed_event_id: completed,
                };
                let attributes = Attributes::TimerStartedEventAttributes(attributes);
                let event_id = self.append_with(run, attributes, summary);
                let due = Due::Timer { run, event_id };
                let key = self.agenda.put(after(self.now, duration), due);
                self.executions[run].timers.insert(event_id, key);
            }
            CommandKind::ScheduleActivity(schedule) => {
                self.schedule_activity(run, completed, *schedule, summary);
            }
            CommandKind::StartChild(start) => self.initiate_child(run, completed, *start, summary),
            CommandKind::SignalExternal {
                target, name, args, ..
            } => self.send_signal(run, completed, target, name, args, summary),
            CommandKind::CancelExternal {
                workflow_id,
                run_id,
                reason,
                ..
            } => {
                // As core says it, but of children that it cancels by itself.
                let own = &self.executions[run].run_id;
                let reason =
                    format!("Cancel requested by workflow with run id {own} with reason: {reason}");
                let workflow = (workflow_id, run_id, false);
                self.cancel_external(run, completed, workflow, reason, summary);
            }
            CommandKind::ScheduleNexus(schedule) => {
                self.schedule_nexus(run, completed, *schedule, summary);
            }
            CommandKind::UpsertSearchAttributes(attributes) => {
                self.upsert_search_attributes(run, completed, fields(attributes));
            }
            CommandKind::UpsertMemo(memo) => {
                let fields = fields(memo);
                self.executions[run].memo.extend(fields.clone());
                let attributes = history::WorkflowPropertiesModifiedEventAttributes {
                    workflow_task_completed_event_id: completed,
                    upserted_memo: Some(common::Memo { fields }),
                };
                self.append(
                    run,
                    Attributes::WorkflowPropertiesModifiedEventAttributes(attributes),
                );
            }
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
            CommandKind::CompleteWorkflow(result) => self.complete(run, completed, result),
            CommandKind::FailWorkflow(failure) => self.fail(run, completed, failure),
            CommandKind::CancelWorkflow => self.close_cancelled(run, completed),
            CommandKind::ContinueAsNew(next) => self.continue_as_new(run, completed, *next),
            // The others never get here: the worker turns them into requests of its own.
            _ => {}
        }
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
            Some(key) => self.agenda.remove(key),
            // It fired during this workflow task: the event is taken back before anybody saw it.
            None => execution.buffered.retain(|attributes| {
                !matches!(attributes, Attributes::TimerFiredEventAttributes(a)
                    if a.started_event_id == started_event_id)
            }),
        }
        let attributes = history::TimerCanceledEventAttributes {
            timer_id: self.timer_id(run, started_event_id),
            started_event_id,
            workflow_task_completed_event_id: completed,
            identity: super::event::IDENTITY.to_owned(),
        };
        let attributes = Attributes::TimerCanceledEventAttributes(attributes);
        self.append_with(run, attributes, summary);
    }

    fn timer_id(&self, run: usize, started_event_id: i64) -> String {
        let event = &self.executions[run].history[started_event_id as usize - 1];
        match &event.attributes {
            Some(Attributes::TimerStartedEventAttributes(a)) => a.timer_id.clone(),
            _ => String::new(),
        }
    }

    pub(super) fn timer_fired(&mut self, run: usize, event_id: i64) {
        if self.executions[run].timers.remove(&event_id).is_none() {
            return;
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
            namespace: self.setup.namespace.clone(),
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
        self.agenda
            .put(self.now, Due::SignalExternal { run, event_id });
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
            namespace: self.setup.namespace.clone(),
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
        self.agenda
            .put(self.now, Due::CancelExternal { run, event_id });
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
