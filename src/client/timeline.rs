//! A run as a timeline: what it did, when each began, how long it took and how it ended.

use std::collections::BTreeMap;

use temporalio_protos::constants::LOCAL_ACTIVITY_MARKER_NAME;
use temporalio_protos::coresdk::common::extract_local_activity_marker_data;
use temporalio_protos::temporal::api::failure::v1::Failure;
use temporalio_protos::temporal::api::failure::v1::failure::FailureInfo;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::history::v1::{
    History, HistoryEvent, MarkerRecordedEventAttributes,
};

use super::events::{innermost, marker, user_summary};
use crate::engine::RESOLVE_DEFINITION;
use crate::payload::{duration_from_proto, timestamp_from_proto};
use crate::value::{Duration, Timestamp};

/// Something that took its time, or happened at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// What the author calls it; may be empty.
    pub step: String,
    /// What it is: `activity charge_card`, `timer 3d`, `child ship-order`, `signal approve`.
    pub what: String,
    pub begin: Option<Timestamp>,
    /// `None` while it goes on.
    pub end: Option<Timestamp>,
    pub state: SpanState,
    /// How often it was tried; 0 where that is no question.
    pub attempts: u32,
    /// Why it failed; empty otherwise.
    pub failure: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanState {
    Running,
    Completed,
    Failed,
    TimedOut,
    Cancelled,
    Terminated,
    ContinuedAsNew,
}

impl SpanState {
    pub fn name(self) -> &'static str {
        match self {
            SpanState::Running => "running",
            SpanState::Completed => "completed",
            SpanState::Failed => "failed",
            SpanState::TimedOut => "timed out",
            SpanState::Cancelled => "cancelled",
            SpanState::Terminated => "terminated",
            SpanState::ContinuedAsNew => "continued as new",
        }
    }
}

/// The workflow itself first, then the rest by its beginning.
pub fn timeline(history: &History) -> Vec<Span> {
    let mut spans = Spans::default();
    history.events.iter().for_each(|event| spans.add(event));
    let mut found = spans.found;
    // A local activity is in history when its workflow task has ended, long after what began later.
    if let Some((_, rest)) = found.split_first_mut() {
        rest.sort_by_key(|span| span.begin);
    }
    found
}

#[derive(Default)]
struct Spans {
    found: Vec<Span>,
    /// Positions in `found`, by the event that later events refer to.
    by_event: BTreeMap<i64, usize>,
}

/// The event that began what another event is about.
enum About {
    Workflow,
    Event(i64),
}

impl Spans {
    fn add(&mut self, event: &HistoryEvent) {
        let Some(attributes) = &event.attributes else {
            return;
        };
        if let Attributes::MarkerRecordedEventAttributes(marker) = attributes {
            // A run's version is marked too, and is no work.
            if marker.marker_name == LOCAL_ACTIVITY_MARKER_NAME {
                self.found.extend(local_activity(event, marker));
            }
        } else if let Some(what) = begins(attributes) {
            self.begin(event, what);
        } else if let Some((about, state, failure)) = ends(attributes) {
            self.end(event, about, state, failure);
        } else if let Attributes::ActivityTaskStartedEventAttributes(started) = attributes
            && let Some(span) = self.at(About::Event(started.scheduled_event_id))
        {
            span.attempts = u32::try_from(started.attempt).unwrap_or(1);
        }
    }

    fn begin(&mut self, event: &HistoryEvent, (what, moment): (String, Moment)) {
        let time = event.event_time.map(timestamp_from_proto);
        let (end, state) = match moment {
            Moment::Begin => (None, SpanState::Running),
            Moment::Whole => (time, SpanState::Completed),
        };
        self.by_event.insert(event.event_id, self.found.len());
        let step = user_summary(event);
        let failure = String::new();
        self.found.push(Span {
            step,
            what,
            begin: time,
            end,
            state,
            attempts: 0,
            failure,
        });
    }

    fn end(&mut self, event: &HistoryEvent, about: About, state: SpanState, failure: String) {
        let time = event.event_time.map(timestamp_from_proto);
        if let Some(span) = self.at(about) {
            (span.end, span.state, span.failure) = (time, state, failure);
        }
    }

    fn at(&mut self, about: About) -> Option<&mut Span> {
        let position = match about {
            About::Workflow => 0,
            About::Event(id) => *self.by_event.get(&id)?,
        };
        self.found.get_mut(position)
    }
}

/// A local activity, by what its marker reports: core adds how long the attempt ran to the time at which the run asked for it. An attempt after another, or
/// one that was cut off, has ended by the time of the event, and how long before is not recorded.
fn local_activity(
    event: &HistoryEvent,
    attributes: &MarkerRecordedEventAttributes,
) -> Option<Span> {
    let activity = marker(&attributes.marker_name, &attributes.details);
    // How a run gets its definition is no doing of the author's.
    if activity == RESOLVE_DEFINITION {
        return None;
    }
    let written = event.event_time.map(timestamp_from_proto);
    let data = extract_local_activity_marker_data(&attributes.details).unwrap_or_default();
    let began = data.original_schedule_time.map(timestamp_from_proto);
    let began = began.or(written);
    let ran_until = data.complete_time.map(timestamp_from_proto);
    let state = state_of(attributes.failure.as_ref());
    let ended = match state {
        SpanState::Completed | SpanState::Failed if data.attempt <= 1 => ran_until.max(began),
        _ => written,
    };
    Some(Span {
        step: user_summary(event),
        what: format!("local activity {activity}"),
        begin: began.min(written),
        end: ended.min(written),
        state,
        attempts: data.attempt.max(1),
        failure: attributes
            .failure
            .clone()
            .map_or(String::new(), |f| innermost(Some(f))),
    })
}

fn state_of(failure: Option<&Failure>) -> SpanState {
    let causes = std::iter::successors(failure, |failure| failure.cause.as_deref());
    let mut infos = causes.filter_map(|failure| failure.failure_info.as_ref());
    let is_timeout = infos
        .clone()
        .any(|info| matches!(info, FailureInfo::TimeoutFailureInfo(_)));
    match infos.next() {
        None if failure.is_none() => SpanState::Completed,
        Some(FailureInfo::CanceledFailureInfo(_)) => SpanState::Cancelled,
        _ if is_timeout => SpanState::TimedOut,
        _ => SpanState::Failed,
    }
}

enum Moment {
    Begin,
    /// It has no length.
    Whole,
}

fn begins(attributes: &Attributes) -> Option<(String, Moment)> {
    use Attributes::*;
    let name = |kind: &str, name: Option<&str>| format!("{kind} {}", name.unwrap_or_default());
    Some(match attributes {
        WorkflowExecutionStartedEventAttributes(a) => (
            name(
                "workflow",
                a.workflow_type.as_ref().map(|t| t.name.as_str()),
            ),
            Moment::Begin,
        ),
        ActivityTaskScheduledEventAttributes(a) => (
            name(
                "activity",
                a.activity_type.as_ref().map(|t| t.name.as_str()),
            ),
            Moment::Begin,
        ),
        StartChildWorkflowExecutionInitiatedEventAttributes(a) => (
            name("child", a.workflow_type.as_ref().map(|t| t.name.as_str())),
            Moment::Begin,
        ),
        TimerStartedEventAttributes(a) => {
            let length = a
                .start_to_fire_timeout
                .map(duration_from_proto)
                .unwrap_or_default();
            (format!("timer {}", duration_units(length)), Moment::Begin)
        }
        NexusOperationScheduledEventAttributes(a) => {
            (name("nexus", Some(&a.operation)), Moment::Begin)
        }
        SignalExternalWorkflowExecutionInitiatedEventAttributes(a) => (
            name("signal to another workflow:", Some(&a.signal_name)),
            Moment::Begin,
        ),
        WorkflowExecutionUpdateAcceptedEventAttributes(a) => {
            let request = a.accepted_request.as_ref();
            let input = request.and_then(|r| r.input.as_ref());
            (
                name("update", input.map(|i| i.name.as_str())),
                Moment::Begin,
            )
        }
        WorkflowExecutionSignaledEventAttributes(a) => {
            (name("signal", Some(&a.signal_name)), Moment::Whole)
        }
        WorkflowExecutionCancelRequestedEventAttributes(_) => {
            ("cancellation".to_owned(), Moment::Whole)
        }
        _ => return None,
    })
}

/// A length in the largest unit that fits: `3d`, `90s`.
pub fn duration_units(length: Duration) -> String {
    let whole = [("d", 86_400), ("h", 3600), ("m", 60)];
    let fits = |(_, seconds): &&(&str, i64)| {
        length.nanos == 0 && length.seconds > 0 && length.seconds % seconds == 0
    };
    match whole.iter().find(fits) {
        Some((unit, seconds)) => format!("{}{unit}", length.seconds / seconds),
        None => length.to_string(),
    }
}

fn ends(attributes: &Attributes) -> Option<(About, SpanState, String)> {
    use Attributes::*;
    use SpanState::*;
    let well = |about, state| Some((about, state, String::new()));
    match attributes {
        WorkflowExecutionCompletedEventAttributes(_) => well(About::Workflow, Completed),
        WorkflowExecutionFailedEventAttributes(a) => {
            Some((About::Workflow, Failed, innermost(a.failure.clone())))
        }
        WorkflowExecutionTimedOutEventAttributes(_) => well(About::Workflow, TimedOut),
        WorkflowExecutionCanceledEventAttributes(_) => well(About::Workflow, Cancelled),
        WorkflowExecutionTerminatedEventAttributes(a) => {
            Some((About::Workflow, Terminated, a.reason.clone()))
        }
        WorkflowExecutionContinuedAsNewEventAttributes(_) => well(About::Workflow, ContinuedAsNew),
        _ => {
            let (event, state, failure) = operation_ends(attributes)?;
            Some((About::Event(event), state, failure))
        }
    }
}

/// The event that began what an event ends.
fn operation_ends(attributes: &Attributes) -> Option<(i64, SpanState, String)> {
    use Attributes::*;
    use SpanState::*;
    let well = |event, state| Some((event, state, String::new()));
    match attributes {
        ActivityTaskCompletedEventAttributes(a) => well(a.scheduled_event_id, Completed),
        ActivityTaskCanceledEventAttributes(a) => well(a.scheduled_event_id, Cancelled),
        ActivityTaskFailedEventAttributes(a) => {
            Some((a.scheduled_event_id, Failed, innermost(a.failure.clone())))
        }
        ActivityTaskTimedOutEventAttributes(a) => {
            Some((a.scheduled_event_id, TimedOut, innermost(a.failure.clone())))
        }
        TimerFiredEventAttributes(a) => well(a.started_event_id, Completed),
        TimerCanceledEventAttributes(a) => well(a.started_event_id, Cancelled),
        ChildWorkflowExecutionCompletedEventAttributes(a) => well(a.initiated_event_id, Completed),
        ChildWorkflowExecutionFailedEventAttributes(a) => {
            Some((a.initiated_event_id, Failed, innermost(a.failure.clone())))
        }
        StartChildWorkflowExecutionFailedEventAttributes(a) => well(a.initiated_event_id, Failed),
        ChildWorkflowExecutionTimedOutEventAttributes(a) => well(a.initiated_event_id, TimedOut),
        ChildWorkflowExecutionCanceledEventAttributes(a) => well(a.initiated_event_id, Cancelled),
        ChildWorkflowExecutionTerminatedEventAttributes(a) => {
            well(a.initiated_event_id, Terminated)
        }
        NexusOperationCompletedEventAttributes(a) => well(a.scheduled_event_id, Completed),
        NexusOperationFailedEventAttributes(a) => {
            Some((a.scheduled_event_id, Failed, innermost(a.failure.clone())))
        }
        NexusOperationTimedOutEventAttributes(a) => well(a.scheduled_event_id, TimedOut),
        NexusOperationCanceledEventAttributes(a) => well(a.scheduled_event_id, Cancelled),
        ExternalWorkflowExecutionSignaledEventAttributes(a) => {
            well(a.initiated_event_id, Completed)
        }
        SignalExternalWorkflowExecutionFailedEventAttributes(a) => {
            well(a.initiated_event_id, Failed)
        }
        WorkflowExecutionUpdateCompletedEventAttributes(a) => well(a.accepted_event_id, Completed),
        _ => None,
    }
}

impl Span {
    /// How long it took; `None` while it goes on.
    pub fn length(&self) -> Option<Duration> {
        self.end?.since(self.begin?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use temporalio_protos::coresdk::common::build_local_activity_marker_details;
    use temporalio_protos::coresdk::external_data::LocalActivityMarkerData;
    use temporalio_protos::temporal::api::failure::v1::TimeoutFailureInfo;

    use super::*;
    use crate::payload::timestamp_to_proto;

    fn at(seconds: i64) -> Timestamp {
        Timestamp { seconds, nanos: 0 }
    }

    fn event(seconds: i64, attributes: Attributes) -> HistoryEvent {
        HistoryEvent {
            event_time: Some(timestamp_to_proto(at(seconds))),
            attributes: Some(attributes),
            ..Default::default()
        }
    }

    /// A marker that was written at the 20th second.
    fn local(
        name: &str,
        began: i64,
        ran_until: i64,
        attempt: u32,
        failure: Option<Failure>,
    ) -> HistoryEvent {
        let data = LocalActivityMarkerData {
            activity_type: name.to_owned(),
            attempt,
            original_schedule_time: Some(timestamp_to_proto(at(began))),
            complete_time: Some(timestamp_to_proto(at(ran_until))),
            ..Default::default()
        };
        let marker = MarkerRecordedEventAttributes {
            marker_name: LOCAL_ACTIVITY_MARKER_NAME.to_owned(),
            details: build_local_activity_marker_details(data, None),
            failure,
            ..Default::default()
        };
        event(20, Attributes::MarkerRecordedEventAttributes(marker))
    }

    #[test]
    fn local_activities_have_the_times_at_which_they_ran() {
        let timed_out = Failure {
            failure_info: Some(FailureInfo::TimeoutFailureInfo(
                TimeoutFailureInfo::default(),
            )),
            ..Default::default()
        };
        let other = MarkerRecordedEventAttributes {
            marker_name: "core_patch".to_owned(),
            details: HashMap::new(),
            ..Default::default()
        };
        let history = History {
            events: vec![
                event(
                    1,
                    Attributes::WorkflowExecutionStartedEventAttributes(Default::default()),
                ),
                event(
                    9,
                    Attributes::WorkflowExecutionSignaledEventAttributes(Default::default()),
                ),
                local("quick", 2, 3, 1, None),
                local("retried", 3, 4, 3, None),
                local("late", 4, 4, 1, Some(timed_out)),
                local(RESOLVE_DEFINITION, 1, 1, 1, None),
                event(20, Attributes::MarkerRecordedEventAttributes(other)),
            ],
        };
        let spans = timeline(&history);
        let told = spans.iter().map(|span| {
            let seconds = |at: Option<Timestamp>| at.map_or(0, |at| at.seconds);
            let (begin, end) = (seconds(span.begin), seconds(span.end));
            format!(
                "{} {begin}-{end} {} {}",
                span.what,
                span.state.name(),
                span.attempts
            )
        });
        let told: Vec<_> = told.collect();
        assert_eq!(
            told,
            [
                "workflow  1-0 running 0",
                "local activity quick 2-3 completed 1",
                "local activity retried 3-20 completed 3",
                "local activity late 4-20 timed out 1",
                "signal  9-9 completed 0",
            ]
        );
    }
}
