//! A history's events in a few words each.

use temporalio_protos::temporal::api::common::v1::Payload;
use temporalio_protos::temporal::api::enums::v1::EventType;
use temporalio_protos::temporal::api::failure::v1::Failure as ProtoFailure;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::history::v1::{History, HistoryEvent};

use crate::payload::{
    duration_from_proto, failure_from_proto, payload_from_proto, timestamp_from_proto,
};
use crate::value::{Timestamp, Value};

#[derive(Debug, Clone, PartialEq)]
pub struct EventSummary {
    pub id: i64,
    pub time: Option<Timestamp>,
    /// Temporal's name: `ActivityTaskScheduled`.
    pub name: String,
    /// What it is about: an activity's type, a signal's name, a failure's message; may be empty.
    pub subject: String,
    /// What the workflow's author says about the step; may be empty.
    pub summary: String,
    pub look: EventLook,
}

/// How an event bears on the workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventLook {
    /// A workflow task's own events: how, not what.
    Bookkeeping,
    Plain,
    Success,
    Failure,
}

pub fn event_summaries(history: &History) -> Vec<EventSummary> {
    let summary = |event: &HistoryEvent| EventSummary {
        id: event.event_id,
        time: event.event_time.map(timestamp_from_proto),
        name: name(event.event_type()),
        subject: subject(event, history),
        summary: user_summary(event),
        look: look(event.event_type()),
    };
    history.events.iter().map(summary).collect()
}

/// `EVENT_TYPE_TIMER_FIRED` as the documentation has it: `TimerFired`.
fn name(event_type: EventType) -> String {
    let words = event_type
        .as_str_name()
        .trim_start_matches("EVENT_TYPE_")
        .split('_');
    let capitalised = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_owned() + &rest.to_lowercase()
    };
    words.map(capitalised).collect()
}

fn look(event_type: EventType) -> EventLook {
    let name = event_type.as_str_name();
    match () {
        () if name.contains("WORKFLOW_TASK") => EventLook::Bookkeeping,
        () if name.ends_with("FAILED") || name.ends_with("TIMED_OUT") => EventLook::Failure,
        () if name.ends_with("TERMINATED") || name.ends_with("REJECTED") => EventLook::Failure,
        () if name.ends_with("COMPLETED") || name.ends_with("FIRED") => EventLook::Success,
        () => EventLook::Plain,
    }
}

/// What the author calls the step that an event begins.
pub(super) fn user_summary(event: &HistoryEvent) -> String {
    let summary = event.user_metadata.as_ref().and_then(|m| m.summary.clone());
    summary.and_then(text).unwrap_or_default()
}

fn text(payload: Payload) -> Option<String> {
    payload_from_proto(payload)
        .decode()
        .ok()?
        .as_str()
        .map(str::to_owned)
}

/// A failure in a line: its type, and the message of what began it.
pub(super) fn innermost(failure: Option<ProtoFailure>) -> String {
    let failure = failure_from_proto(failure.unwrap_or_default());
    let message = failure
        .chain()
        .last()
        .map(|f| f.message.clone())
        .unwrap_or_default();
    match failure.error_type() {
        Some(kind) if !kind.is_empty() => format!("{kind}: {message}"),
        _ => message,
    }
}

fn subject(event: &HistoryEvent, history: &History) -> String {
    use Attributes::*;
    let Some(attributes) = event.attributes.clone() else {
        return String::new();
    };
    match attributes {
        WorkflowExecutionStartedEventAttributes(a) => a.workflow_type.unwrap_or_default().name,
        WorkflowExecutionFailedEventAttributes(a) => innermost(a.failure),
        WorkflowExecutionSignaledEventAttributes(a) => a.signal_name,
        WorkflowExecutionTerminatedEventAttributes(a) => a.reason,
        WorkflowExecutionCancelRequestedEventAttributes(a) => a.cause,
        WorkflowExecutionContinuedAsNewEventAttributes(a) => a.new_execution_run_id,
        WorkflowTaskFailedEventAttributes(a) => innermost(a.failure),
        ActivityTaskScheduledEventAttributes(a) => a.activity_type.unwrap_or_default().name,
        ActivityTaskStartedEventAttributes(a) => match a.attempt {
            0 | 1 => scheduled(history, a.scheduled_event_id),
            n => format!("{} (attempt {n})", scheduled(history, a.scheduled_event_id)),
        },
        ActivityTaskCompletedEventAttributes(a) => scheduled(history, a.scheduled_event_id),
        ActivityTaskCanceledEventAttributes(a) => scheduled(history, a.scheduled_event_id),
        ActivityTaskTimedOutEventAttributes(a) => scheduled(history, a.scheduled_event_id),
        ActivityTaskCancelRequestedEventAttributes(a) => scheduled(history, a.scheduled_event_id),
        ActivityTaskFailedEventAttributes(a) => {
            format!(
                "{}: {}",
                scheduled(history, a.scheduled_event_id),
                innermost(a.failure)
            )
        }
        TimerStartedEventAttributes(a) => a
            .start_to_fire_timeout
            .map(|d| duration_from_proto(d).to_string())
            .unwrap_or_default(),
        MarkerRecordedEventAttributes(a) => marker(&a.marker_name, &a.details),
        StartChildWorkflowExecutionInitiatedEventAttributes(a) => {
            format!(
                "{} {}",
                a.workflow_type.unwrap_or_default().name,
                a.workflow_id
            )
        }
        ChildWorkflowExecutionStartedEventAttributes(a) => {
            a.workflow_execution.unwrap_or_default().workflow_id
        }
        ChildWorkflowExecutionCompletedEventAttributes(a) => {
            a.workflow_execution.unwrap_or_default().workflow_id
        }
        ChildWorkflowExecutionFailedEventAttributes(a) => {
            let id = a.workflow_execution.unwrap_or_default().workflow_id;
            format!("{id}: {}", innermost(a.failure))
        }
        SignalExternalWorkflowExecutionInitiatedEventAttributes(a) => {
            let id = a.workflow_execution.unwrap_or_default().workflow_id;
            format!("{} to {id}", a.signal_name)
        }
        WorkflowExecutionUpdateAcceptedEventAttributes(a) => {
            let request = a.accepted_request.unwrap_or_default();
            request.input.unwrap_or_default().name
        }
        _ => String::new(),
    }
}

/// The type of the activity that an event is about.
fn scheduled(history: &History, event_id: i64) -> String {
    let event = usize::try_from(event_id - 1)
        .ok()
        .and_then(|i| history.events.get(i));
    match event.and_then(|e| e.attributes.clone()) {
        Some(Attributes::ActivityTaskScheduledEventAttributes(a)) => {
            a.activity_type.unwrap_or_default().name
        }
        _ => String::new(),
    }
}

/// A local activity's marker names the activity in its data.
pub(super) fn marker(
    name: &str,
    details: &std::collections::HashMap<
        String,
        temporalio_protos::temporal::api::common::v1::Payloads,
    >,
) -> String {
    let data = details
        .get("data")
        .and_then(|p| p.payloads.first())
        .cloned();
    let data = data.and_then(|payload| payload_from_proto(payload).decode().ok());
    let activity = data
        .as_ref()
        .and_then(|d| d.get("activity_type"))
        .and_then(Value::as_str);
    activity.unwrap_or(name).to_owned()
}
