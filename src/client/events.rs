//! A history's events, each in a few words.

use temporalio_protos::temporal::api::common::v1::WorkflowType;
use temporalio_protos::temporal::api::enums::v1::EventType;
use temporalio_protos::temporal::api::failure::v1::Failure as ProtoFailure;
use temporalio_protos::temporal::api::history::v1::{
    History, HistoryEvent, MarkerRecordedEventAttributes,
};

use crate::history::{
    Commanded, End, Marker, Meaning, Operation, Progress, RunEnd, Stage, TaskStage,
};
use crate::payload::{
    duration_from_proto, failure_from_proto, payload_from_proto, sealed_mark, timestamp_from_proto,
    with_marks,
};
use crate::value::{Payload, Timestamp};

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EventSummary {
    pub(crate) id: i64,
    pub(crate) time: Option<Timestamp>,
    /// Temporal's name: `ActivityTaskScheduled`.
    pub(crate) name: String,
    /// The subject: an activity's type, a signal's name, a failure's message; may be empty.
    pub(crate) subject: String,
    /// The author's summary of the step; may be empty.
    pub(crate) summary: String,
    pub(crate) look: EventLook,
}

/// The category of an event, for its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventLook {
    /// A workflow task's own event.
    Bookkeeping,
    Plain,
    Success,
    Failure,
}

pub(crate) fn event_summaries(history: &History) -> Vec<EventSummary> {
    let summary = |event: &HistoryEvent| EventSummary {
        id: event.event_id,
        time: event.event_time.map(timestamp_from_proto),
        name: name(event.event_type()),
        subject: subject(event, history),
        summary: summary_payload(event).map_or(String::new(), shown_text),
        look: look(event.event_type()),
    };
    history.events.iter().map(summary).collect()
}

/// `EVENT_TYPE_TIMER_FIRED` as in the documentation: `TimerFired`.
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

/// The author's name of the step that an event begins; empty if it cannot be read.
pub(super) fn user_summary(event: &HistoryEvent) -> String {
    summary_payload(event).and_then(text).unwrap_or_default()
}

fn summary_payload(event: &HistoryEvent) -> Option<Payload> {
    let summary = event.user_metadata.as_ref()?.summary.clone();
    summary.map(payload_from_proto)
}

fn text(payload: Payload) -> Option<String> {
    payload.decode().ok()?.as_str().map(str::to_owned)
}

fn shown_text(payload: Payload) -> String {
    let mark = sealed_mark(&payload);
    mark.or_else(|| text(payload)).unwrap_or_default()
}

/// The payloads of a history that summaries and timelines show: the names of steps and the reasons of failures.
/// Workflow tasks may be left out.
pub(crate) fn shown_payloads(history: &History, with_workflow_tasks: bool) -> Vec<Payload> {
    let is_shown = |event: &&HistoryEvent| {
        with_workflow_tasks || look(event.event_type()) != EventLook::Bookkeeping
    };
    let events = history.events.iter().filter(is_shown);
    events.flat_map(shown_of).collect()
}

fn shown_of(event: &HistoryEvent) -> impl Iterator<Item = Payload> {
    let failure = failure_of(event).map(|failure| failure_from_proto(failure.clone()));
    let attributes = failure.and_then(|failure| {
        let innermost = failure.chain().last()?.passed_on.clone()?;
        innermost.encoded_attributes
    });
    summary_payload(event).into_iter().chain(attributes)
}

/// The failure in an event.
fn failure_of(event: &HistoryEvent) -> Option<&ProtoFailure> {
    match Meaning::of(event) {
        Meaning::RunEnded(RunEnd::Failed(a)) => a.failure.as_ref(),
        Meaning::Task(TaskStage::Failed(a)) => a.failure.as_ref(),
        Meaning::Commanded(Commanded::Marker(a)) => a.failure.as_ref(),
        Meaning::Progress(Progress {
            stage: Stage::Ended(End::Failed(failed) | End::TimedOut(failed)),
            ..
        }) => failed.failure,
        Meaning::RunStarted(_)
        | Meaning::RunEnded(_)
        | Meaning::Signaled(_)
        | Meaning::CancelRequested(_)
        | Meaning::Task(_)
        | Meaning::Commanded(_)
        | Meaning::Progress(_)
        | Meaning::Unobserved => None,
    }
}

/// A failure in a line: its type, and the message of its first cause.
pub(super) fn innermost(failure: Option<ProtoFailure>) -> String {
    let failure = with_marks(&failure_from_proto(failure.unwrap_or_default()));
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
    match Meaning::of(event) {
        Meaning::RunStarted(a) => type_name(a.workflow_type.as_ref()).to_owned(),
        Meaning::RunEnded(RunEnd::Failed(a)) => innermost(a.failure.clone()),
        Meaning::RunEnded(RunEnd::Terminated(a)) => a.reason.clone(),
        Meaning::RunEnded(RunEnd::ContinuedAsNew(a)) => a.new_execution_run_id.clone(),
        Meaning::Signaled(a) => a.signal_name.clone(),
        Meaning::CancelRequested(a) => a.cause.clone(),
        Meaning::Task(TaskStage::Failed(a)) => innermost(a.failure.clone()),
        Meaning::Commanded(commanded) => commanded_subject(commanded, history),
        Meaning::Progress(progress) => progress_subject(progress, history),
        Meaning::RunEnded(_) | Meaning::Task(_) | Meaning::Unobserved => String::new(),
    }
}

fn commanded_subject(commanded: Commanded<'_>, history: &History) -> String {
    match commanded {
        Commanded::Activity(a) => a.activity_type.clone().unwrap_or_default().name,
        Commanded::CancelActivity { of } => scheduled(history, of),
        Commanded::Timer(a) => {
            let length = a.start_to_fire_timeout.map(duration_from_proto);
            length.map_or_else(String::new, |length| length.to_string())
        }
        Commanded::Marker(a) => marker(a),
        Commanded::Child(a) => {
            format!("{} {}", type_name(a.workflow_type.as_ref()), a.workflow_id)
        }
        Commanded::Signal(a) => {
            let id = a.workflow_execution.clone().unwrap_or_default().workflow_id;
            format!("{} to {id}", a.signal_name)
        }
        Commanded::UpdateAccepted(a) => {
            let request = a.accepted_request.clone().unwrap_or_default();
            request.input.unwrap_or_default().name
        }
        Commanded::CancelTimer { .. }
        | Commanded::Cancellation(_)
        | Commanded::Nexus(_)
        | Commanded::CancelNexus { .. }
        | Commanded::SearchAttributes
        | Commanded::Memo
        | Commanded::UpdateCompleted { .. } => String::new(),
    }
}

fn progress_subject(progress: Progress<'_>, history: &History) -> String {
    let id = || progress.id.unwrap_or_default().to_owned();
    match (progress.operation, progress.stage) {
        (Operation::Activity, stage) => {
            let activity = scheduled(history, progress.of);
            match stage {
                Stage::Started { attempt, .. } if attempt > 1 => {
                    format!("{activity} (attempt {attempt})")
                }
                Stage::Ended(End::Failed(failed)) => {
                    format!("{activity}: {}", innermost(failed.failure.cloned()))
                }
                _ => activity,
            }
        }
        (Operation::Child, Stage::Started { .. } | Stage::Ended(End::Completed(_))) => id(),
        (Operation::Child, Stage::Ended(End::Failed(failed))) => {
            format!("{}: {}", id(), innermost(failed.failure.cloned()))
        }
        (Operation::Child, Stage::Ended(_))
        | (
            Operation::Timer | Operation::Signal | Operation::Cancellation | Operation::Nexus,
            Stage::Started { .. } | Stage::Ended(_),
        ) => String::new(),
    }
}

fn type_name(workflow_type: Option<&WorkflowType>) -> &str {
    workflow_type.map_or("", |t| t.name.as_str())
}

/// The type of an event's activity.
fn scheduled(history: &History, event_id: i64) -> String {
    let event = usize::try_from(event_id - 1)
        .ok()
        .and_then(|i| history.events.get(i));
    match event.map(Meaning::of) {
        Some(Meaning::Commanded(Commanded::Activity(a))) => {
            a.activity_type.clone().unwrap_or_default().name
        }
        _ => String::new(),
    }
}

/// A local activity's marker names the activity in its data.
fn marker(marker: &MarkerRecordedEventAttributes) -> String {
    match Marker::of(marker) {
        Marker::LocalActivity(Some(data)) => data.activity_type,
        Marker::LocalActivity(None) | Marker::Version(_) | Marker::Other => {
            marker.marker_name.clone()
        }
    }
}
