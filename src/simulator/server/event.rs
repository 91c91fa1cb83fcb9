//! How events are added to a history: with their id and time, or after the current workflow task.

use prost::Message;
use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1 as enums;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::history::v1::{
    HistoryEvent, WorkflowTaskScheduledEventAttributes, WorkflowTaskStartedEventAttributes,
};
use temporalio_protos::temporal::api::sdk::v1::UserMetadata;
use temporalio_protos::temporal::api::taskqueue::v1::TaskQueue;

use super::Server;
use super::execution::Task;
use crate::history::{Meaning, Operation, Stage, attempt_start_mut};
use crate::payload::{timestamp_to_proto, value_to_proto};
use crate::value::Value;

/// A placeholder for the event of an attempt's start until it has an id.
pub(super) const ATTEMPT_STARTED: i64 = -1;

impl Server {
    pub(super) fn append(&mut self, run: usize, attributes: Attributes) -> i64 {
        self.append_with(run, attributes, None)
    }

    pub(super) fn append_with(
        &mut self,
        run: usize,
        mut attributes: Attributes,
        summary: Option<String>,
    ) -> i64 {
        let now = self.world.now;
        let execution = &mut self.executions[run];
        let event_id = execution.history.len() as i64 + 1;
        link(execution, &mut attributes, event_id);
        let summary = summary.and_then(|text| value_to_proto(&Value::from(text)).ok());
        let event = HistoryEvent {
            event_id,
            event_time: Some(timestamp_to_proto(now)),
            event_type: attributes.event_type().into(),
            user_metadata: summary.map(|summary| UserMetadata {
                summary: Some(summary),
                details: None,
            }),
            attributes: Some(attributes),
            ..Default::default()
        };
        execution.size_bytes += event.encoded_len() as u64;
        execution.history.push(event);
        event_id
    }

    /// What arrives from outside the worker waits for the end of the current workflow task.
    pub(super) fn arrive(&mut self, run: usize, attributes: Attributes) {
        let execution = &mut self.executions[run];
        if matches!(execution.task, Task::Open { .. }) {
            execution.buffered.push(attributes);
        } else {
            self.append(run, attributes);
            if !self.in_one_go {
                self.schedule_task(run);
            }
        }
    }

    pub(super) fn schedule_task(&mut self, run: usize) {
        self.schedule_task_as(run, false);
    }

    pub(super) fn schedule_task_as(&mut self, run: usize, speculative: bool) {
        let execution = &mut self.executions[run];
        if !execution.is_open() {
            return;
        }
        match &mut execution.task {
            Task::None => {
                execution.task = Task::Scheduled {
                    is_speculative: speculative,
                };
                let attributes = WorkflowTaskScheduledEventAttributes {
                    task_queue: execution.started.task_queue.clone(),
                    start_to_close_timeout: execution.started.workflow_task_timeout,
                    attempt: 1,
                };
                self.ready.push_back(run);
                self.append(
                    run,
                    Attributes::WorkflowTaskScheduledEventAttributes(attributes),
                );
            }
            Task::Scheduled { is_speculative } => *is_speculative &= speculative,
            Task::Open { .. } | Task::Waiting => {}
        }
    }

    pub(super) fn append_task_started(&mut self, run: usize) -> i64 {
        let execution = &self.executions[run];
        let scheduled_event_id = execution
            .history
            .iter()
            .rev()
            .find(|event| event.event_type() == enums::EventType::WorkflowTaskScheduled)
            .map_or(0, |event| event.event_id);
        let reasons = execution.suggested_reasons();
        let attributes = WorkflowTaskStartedEventAttributes {
            scheduled_event_id,
            identity: IDENTITY.to_owned(),
            suggest_continue_as_new: !reasons.is_empty(),
            suggest_continue_as_new_reasons: reasons,
            history_size_bytes: execution.size_bytes as i64,
            ..Default::default()
        };
        self.append(
            run,
            Attributes::WorkflowTaskStartedEventAttributes(attributes),
        )
    }
}

/// The identity of the worker and of every client.
pub(super) const IDENTITY: &str = "simulator";

pub(super) fn task_queue(name: &str) -> Option<TaskQueue> {
    Some(TaskQueue {
        name: name.to_owned(),
        kind: enums::TaskQueueKind::Normal.into(),
        ..Default::default()
    })
}

pub(super) fn payloads(payloads: Vec<common::Payload>) -> Option<common::Payloads> {
    (!payloads.is_empty()).then_some(common::Payloads { payloads })
}

/// Fills in the ids of events that this one refers to and that were not known before.
fn link(execution: &mut super::execution::Execution, attributes: &mut Attributes, event_id: i64) {
    if let Some((scheduled, started)) = attempt_start_mut(attributes) {
        if *started == ATTEMPT_STARTED {
            let known = execution.activity_started.remove(&scheduled);
            *started = known.unwrap_or_default();
        }
        return;
    }
    if let Meaning::Progress(progress) = Meaning::of_attributes(attributes)
        && matches!(progress.stage, Stage::Started { .. })
    {
        match progress.operation {
            Operation::Activity => {
                execution.activity_started.insert(progress.of, event_id);
            }
            Operation::Child => {
                // A parent that closed meanwhile has dropped it.
                if let Some(child) = execution.children.get_mut(&progress.of) {
                    child.started_event_id = event_id;
                }
            }
            Operation::Nexus | Operation::Timer | Operation::Signal | Operation::Cancellation => {}
        }
    }
}
