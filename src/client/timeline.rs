//! A run as a timeline: what it did, when each step began, how long it took and how it ended.

use std::collections::BTreeMap;

use temporalio_protos::coresdk::external_data::LocalActivityMarkerData;
use temporalio_protos::temporal::api::failure::v1::Failure;
use temporalio_protos::temporal::api::failure::v1::failure::FailureInfo;
use temporalio_protos::temporal::api::history::v1::{
    History, HistoryEvent, MarkerRecordedEventAttributes,
};

use super::events::{innermost, user_summary};
use crate::engine::RESOLVE_DEFINITION;
use crate::history::{Commanded, End, Marker, Meaning, Operation, Progress, RunEnd, Stage};
use crate::payload::{duration_from_proto, timestamp_from_proto};
use crate::value::{Duration, Timestamp};

/// Something with a duration, or at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Span {
    /// The author's name for it; may be empty.
    pub(crate) step: String,
    /// A description: `activity charge_card`, `timer 3d`, `child ship-order`, `signal approve`.
    pub(crate) what: String,
    pub(crate) begin: Option<Timestamp>,
    /// `None` while it is in progress.
    pub(crate) end: Option<Timestamp>,
    pub(crate) state: SpanState,
    /// The number of attempts; 0 if it has none.
    pub(crate) attempts: u32,
    /// Why it failed; empty otherwise.
    pub(crate) failure: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpanState {
    Running,
    Completed,
    Failed,
    TimedOut,
    Cancelled,
    Terminated,
    ContinuedAsNew,
}

impl SpanState {
    pub(crate) fn name(self) -> &'static str {
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

/// The workflow itself first, then the rest in the order of their starts.
pub(crate) fn timeline(history: &History) -> Vec<Span> {
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

/// The event that started the subject of another event.
enum About {
    Workflow,
    Event(i64),
}

impl Spans {
    fn add(&mut self, event: &HistoryEvent) {
        match Meaning::of(event) {
            Meaning::RunStarted(a) => {
                let name = a.workflow_type.as_ref().map_or("", |t| t.name.as_str());
                self.begin(event, (format!("workflow {name}"), Moment::Begin));
            }
            Meaning::RunEnded(end) => {
                let (state, failure) = run_end(end);
                self.end(event, About::Workflow, state, failure);
            }
            Meaning::Signaled(a) => {
                self.begin(event, (format!("signal {}", a.signal_name), Moment::Whole));
            }
            Meaning::CancelRequested(_) => {
                self.begin(event, ("cancellation".to_owned(), Moment::Whole));
            }
            Meaning::Commanded(commanded) => self.commanded(event, commanded),
            Meaning::Progress(progress) => self.progress(event, progress),
            Meaning::Task(_) | Meaning::Unobserved => {}
        }
    }

    fn commanded(&mut self, event: &HistoryEvent, commanded: Commanded<'_>) {
        let what = match commanded {
            Commanded::Marker(marker) => {
                // A run's version is marked too, and is not work.
                if let Marker::LocalActivity(data) = Marker::of(marker) {
                    self.found.extend(local_activity(event, marker, data));
                }
                return;
            }
            Commanded::CancelTimer { of } => {
                let state = SpanState::Cancelled;
                return self.end(event, About::Event(of), state, String::new());
            }
            Commanded::UpdateCompleted { of } => {
                let state = SpanState::Completed;
                return self.end(event, About::Event(of), state, String::new());
            }
            Commanded::Timer(a) => {
                let length = a.start_to_fire_timeout.map(duration_from_proto);
                format!("timer {}", duration_units(length.unwrap_or_default()))
            }
            Commanded::Activity(a) => {
                let name = a.activity_type.as_ref().map_or("", |t| t.name.as_str());
                format!("activity {name}")
            }
            Commanded::Child(a) => {
                let name = a.workflow_type.as_ref().map_or("", |t| t.name.as_str());
                format!("child {name}")
            }
            Commanded::Nexus(a) => format!("nexus {}", a.operation),
            Commanded::Signal(a) => format!("signal to another workflow: {}", a.signal_name),
            Commanded::UpdateAccepted(a) => {
                let request = a.accepted_request.as_ref();
                let input = request.and_then(|r| r.input.as_ref());
                format!("update {}", input.map_or("", |i| i.name.as_str()))
            }
            // They have no duration.
            Commanded::CancelActivity { .. }
            | Commanded::CancelNexus { .. }
            | Commanded::Cancellation(_)
            | Commanded::SearchAttributes
            | Commanded::Memo => return,
        };
        self.begin(event, (what, Moment::Begin));
    }

    fn progress(&mut self, event: &HistoryEvent, progress: Progress<'_>) {
        let about = About::Event(progress.of);
        match progress.stage {
            Stage::Started { attempt, .. } if progress.operation == Operation::Activity => {
                if let Some(span) = self.at(about) {
                    span.attempts = u32::try_from(attempt).unwrap_or(1);
                }
            }
            Stage::Started { .. } => {}
            Stage::Ended(end) => {
                let (state, failure) = operation_end(progress.operation, end);
                self.end(event, about, state, failure);
            }
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

/// A local activity, from what its marker reports: core adds the duration of the attempt to the time at which the run
/// requested it. An attempt after another, or one that was interrupted, has ended by the time of the event; how long
/// before is not recorded.
fn local_activity(
    event: &HistoryEvent,
    attributes: &MarkerRecordedEventAttributes,
    data: Option<Box<LocalActivityMarkerData>>,
) -> Option<Span> {
    let data = data.unwrap_or_default();
    let activity = match data.activity_type.as_str() {
        "" => &attributes.marker_name,
        activity => activity,
    };
    // Getting the run's definition is not a step of the author's.
    if activity == RESOLVE_DEFINITION {
        return None;
    }
    let written = event.event_time.map(timestamp_from_proto);
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

/// A duration in the largest unit that fits: `3d`, `90s`.
pub(crate) fn duration_units(length: Duration) -> String {
    let whole = [("d", 86_400), ("h", 3600), ("m", 60)];
    let fits = |(_, seconds): &&(&str, i64)| {
        length.nanos == 0 && length.seconds > 0 && length.seconds % seconds == 0
    };
    match whole.iter().find(fits) {
        Some((unit, seconds)) => format!("{}{unit}", length.seconds / seconds),
        None => length.to_string(),
    }
}

/// How a run ended, and why it failed.
fn run_end(end: RunEnd<'_>) -> (SpanState, String) {
    match end {
        RunEnd::Completed(_) => (SpanState::Completed, String::new()),
        RunEnd::Failed(a) => (SpanState::Failed, innermost(a.failure.clone())),
        RunEnd::TimedOut(_) => (SpanState::TimedOut, String::new()),
        RunEnd::Cancelled(_) => (SpanState::Cancelled, String::new()),
        RunEnd::Terminated(a) => (SpanState::Terminated, a.reason.clone()),
        RunEnd::ContinuedAsNew(_) => (SpanState::ContinuedAsNew, String::new()),
    }
}

fn operation_end(operation: Operation, end: End<'_>) -> (SpanState, String) {
    let why = |failure: Option<&Failure>| innermost(failure.cloned());
    match end {
        End::Completed(_) => (SpanState::Completed, String::new()),
        End::Failed(failed) => (SpanState::Failed, why(failed.failure)),
        // Which of its timeouts passed.
        End::TimedOut(failed) if operation == Operation::Activity => {
            (SpanState::TimedOut, why(failed.failure))
        }
        End::TimedOut(_) => (SpanState::TimedOut, String::new()),
        End::Cancelled(_) => (SpanState::Cancelled, String::new()),
        End::Terminated => (SpanState::Terminated, String::new()),
        End::Refused(_) => (SpanState::Failed, String::new()),
    }
}

impl Span {
    /// The duration; `None` while it is in progress.
    pub(crate) fn length(&self) -> Option<Duration> {
        self.end?.since(self.begin?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use temporalio_protos::constants::LOCAL_ACTIVITY_MARKER_NAME;
    use temporalio_protos::coresdk::common::build_local_activity_marker_details;
    use temporalio_protos::temporal::api::failure::v1::TimeoutFailureInfo;
    use temporalio_protos::temporal::api::history::v1::history_event::Attributes;

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

    /// A marker that was recorded at the 20th second.
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
