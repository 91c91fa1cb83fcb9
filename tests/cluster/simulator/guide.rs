//! Leads a simulation along the histories of a real server: what clients, activities and clocks did there comes in the same
//! order and at the same times. What the simulation makes of it is its own, and compared afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use segno::payload::{payload_from_proto, payloads_from_proto, timestamp_from_proto};
use segno::simulator::{DueItem, RunNumber, Simulator};
use segno::value::{Payload, Timestamp};
use temporalio_protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_protos::temporal::api::enums::v1::EventType;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;

use super::text::Followed;

/// What leads to one event.
const STEPS_MAX: usize = 50;

/// How the simulator names what is due of local activities.
const LOCAL: &str = "of the local activity";

const LOCAL_END: Option<EventType> = Some(EventType::MarkerRecorded);

/// By a run's id and the event that scheduled it.
pub type Key = (String, i64);

/// What the guide and whoever answers for activities tell each other.
#[derive(Default)]
pub struct Known {
    /// The attempt under way, and whether that one fails.
    pub attempts: BTreeMap<Key, (u32, bool)>,
    /// When the server cancelled those that no worker had at that time.
    pub cancelled: BTreeMap<Key, Timestamp>,
    /// The places of the runs on the server, by the ids of those that are simulated.
    #[allow(dead_code, reason = "not every guided simulation looks anything up")]
    pub places: BTreeMap<String, usize>,
}

pub type Shared = Arc<Mutex<Known>>;

/// Where a simulation cannot be led any further.
pub struct Lost {
    #[allow(dead_code, reason = "not every guided simulation tells the two apart")]
    /// Both have something there that comes from outside, or one has the end of a local activity, which may come before or after what
    /// its workflow task brings: in which order it came is not in the history.
    pub is_by_order: bool,
    pub text: String,
}

pub struct Guide<'a> {
    simulator: &'a mut Simulator,
    runs: &'a [Followed],
    /// The next event of each run.
    places: Vec<usize>,
    known: Shared,
    attempts_max: u32,
    /// Those that were sent, with the runs that they were sent to.
    updates: BTreeSet<(usize, String)>,
}

impl<'a> Guide<'a> {
    /// The first of the runs is simulated already; activities are tried so often.
    pub fn new(
        simulator: &'a mut Simulator,
        runs: &'a [Followed],
        known: Shared,
        attempts_max: u32,
    ) -> Self {
        Guide {
            simulator,
            runs,
            places: vec![0; runs.len()],
            known,
            attempts_max,
            updates: BTreeSet::new(),
        }
    }

    /// To the end of all histories, or to where the simulation cannot go on as the server did.
    pub fn lead(mut self) -> Result<(), Lost> {
        while let Some((at, run)) = self.next() {
            self.event(run, at)?;
            self.places[run] += 1;
        }
        Ok(())
    }

    /// The run whose next event comes first.
    fn next(&self) -> Option<(Timestamp, usize)> {
        let next = (0..self.runs.len()).filter_map(|run| {
            let events = &self.runs[run].events[..];
            let place = self.places[run];
            let event = events.get(place)?;
            // The start of an activity is written down with its end only.
            let is_start = event.event_type() == EventType::ActivityTaskStarted;
            let last = place + usize::from(is_start);
            let so_far = events.iter().take(last + 1).map(time).max()?;
            Some((so_far, run))
        });
        next.min()
    }

    fn event(&mut self, run: usize, at: Timestamp) -> Result<(), Lost> {
        let place = self.places[run];
        let event = &self.runs[run].events[place];
        let simulated = |guide: &Self| {
            let run = guide.simulated(run)?;
            let history = guide.simulator.history(run);
            history.get(place).map(HistoryEvent::event_type)
        };
        self.is_at(run);
        if simulated(self).is_none() {
            if is_task_end(event) {
                self.late(run, at);
            }
            self.under_way(at);
            self.simulator.advance(at);
            for _ in 0..STEPS_MAX {
                if simulated(self).is_some() || !self.cause(run, event) {
                    break;
                }
            }
        }
        match simulated(self) {
            Some(there) if there == event.event_type() => Ok(()),
            there => {
                let simulated = self.simulated(run);
                let simulated = simulated.map(|run| around(self.simulator.history(run), place));
                Err(Lost {
                    is_by_order: comes(event.event_type()) && there.is_none_or(comes)
                        || [Some(event.event_type()), there].contains(&LOCAL_END),
                    text: format!(
                        "event {} of run {run} is {:?} on the server, simulated {there:?}\non the server:{}\nsimulated:{}",
                        event.event_id,
                        event.event_type(),
                        around(&self.runs[run].events, place),
                        simulated.unwrap_or_default(),
                    ),
                })
            }
        }
    }

    fn is_at(&self, run: usize) {
        if let Some(simulated) = self.simulated(run) {
            let run_id = self.simulator.run_id(simulated).to_owned();
            self.known.lock().unwrap().places.insert(run_id, run);
        }
    }

    /// The run that has the same place among those of its workflow.
    fn simulated(&self, run: usize) -> Option<RunNumber> {
        let workflow_id = &self.runs[run].workflow_id;
        let begin = |run: usize| self.runs[run].events.first().map(time);
        let before = (0..self.runs.len())
            .filter(|other| self.runs[*other].workflow_id == *workflow_id)
            .filter(|other| begin(*other) < begin(run));
        let simulator = &self.simulator;
        let mut same = simulator
            .runs()
            .filter(|run| simulator.workflow_id(*run) == workflow_id);
        same.nth(before.count())
    }

    /// What leaves no event by itself: attempts that begin, and fail to be made again.
    fn under_way(&mut self, until: Timestamp) {
        loop {
            let simulated =
                (0..self.runs.len()).filter_map(|run| Some((self.simulated(run)?, run)));
            let simulated: BTreeMap<RunNumber, usize> = simulated.collect();
            let mut known = self.known.lock().unwrap();
            for (run, place) in &simulated {
                let run_id = self.simulator.run_id(*run);
                let cancelled = cancelled(&self.runs[*place].events);
                let cancelled = cancelled.map(|(event, at)| ((run_id.to_owned(), event), at));
                known.cancelled.extend(cancelled);
            }
            let attempts = known.attempts.clone();
            drop(known);
            let run_ids: Vec<String> = self
                .simulator
                .runs()
                .map(|run| self.simulator.run_id(run).to_owned())
                .collect();
            let is_tried_again = |due: &DueItem| {
                let (run, event) = (due.run?, event_id(due)?);
                let (attempt, fails) = attempts.get(&(run_ids[run.0].clone(), event))?;
                let place = simulated.get(&run)?;
                Some(match last_attempt(&self.runs[*place].events, event) {
                    Some(last) => *attempt < last,
                    None => *fails && *attempt < self.attempts_max,
                })
            };
            let wanted = |due: &DueItem| {
                due.at <= until
                    && due.what.contains("of the activity of event")
                    && (due.what.starts_with("Attempt") || is_tried_again(due) == Some(true))
            };
            if !self.simulator.take_where(wanted) {
                return;
            }
        }
    }

    /// Brings the event about, or a step towards it.
    fn cause(&mut self, run: usize, event: &HistoryEvent) -> bool {
        use Attributes::*;
        let Some(attributes) = event.attributes.clone() else {
            return false;
        };
        match attributes {
            WorkflowExecutionStartedEventAttributes(a) => {
                let parent = a.parent_workflow_execution.unwrap_or_default().run_id;
                self.of_event(&parent, a.parent_initiated_event_id)
            }
            WorkflowTaskScheduledEventAttributes(_) => {
                self.update(run) || self.of(run, "the first workflow task")
            }
            WorkflowTaskStartedEventAttributes(_) => {
                self.update(run);
                self.begin_task(run)
            }
            TimerFiredEventAttributes(a) => match self.simulated(run) {
                Some(simulated) => {
                    let together = self.timers(run, event, a.started_event_id);
                    self.simulator.take_timers(simulated, &together)
                }
                None => false,
            },
            WorkflowTaskCompletedEventAttributes(_) | WorkflowTaskFailedEventAttributes(_) => {
                self.end_task(run)
            }
            WorkflowExecutionSignaledEventAttributes(a) => match a.external_workflow_execution {
                Some(from) => self.of_signal(&from.run_id, &self.runs[run].workflow_id),
                None => {
                    let input = payloads_from_proto(a.input);
                    let workflow_id = &self.runs[run].workflow_id;
                    let sent = self.simulator.signal(workflow_id, &a.signal_name, input);
                    sent.is_ok()
                }
            },
            WorkflowExecutionCancelRequestedEventAttributes(a) => {
                match a.external_workflow_execution {
                    Some(from) => {
                        self.of_event(&from.run_id, a.external_initiated_event_id)
                            || self.of(run, "its parent's end")
                    }
                    None => {
                        let workflow_id = &self.runs[run].workflow_id;
                        self.simulator.cancel(workflow_id, &a.cause).is_ok()
                    }
                }
            }
            WorkflowExecutionTimedOutEventAttributes(_) => self.of(run, "the workflow's timeout"),
            WorkflowExecutionTerminatedEventAttributes(_) => self.of(run, "its parent's end"),
            ChildWorkflowExecutionCompletedEventAttributes(a) => self.child(a.workflow_execution),
            ChildWorkflowExecutionFailedEventAttributes(a) => self.child(a.workflow_execution),
            ChildWorkflowExecutionCanceledEventAttributes(a) => self.child(a.workflow_execution),
            ChildWorkflowExecutionTimedOutEventAttributes(a) => self.child(a.workflow_execution),
            ChildWorkflowExecutionTerminatedEventAttributes(a) => self.child(a.workflow_execution),
            attributes => begun_by(&attributes).is_some_and(|event| self.own(run, event)),
        }
    }

    /// What came while the task was under way was written down after it, the ends of activities last: it comes at its own time.
    fn late(&mut self, run: usize, at: Timestamp) {
        let events = &self.runs[run].events[self.places[run] + 1..];
        let late = events
            .iter()
            .take_while(|e| e.event_type() != EventType::WorkflowTaskScheduled);
        // The start of an activity is written down with its end.
        let is_late = |event: &&HistoryEvent| {
            time(event) <= at && event.event_type() != EventType::ActivityTaskStarted
        };
        let mut late: Vec<&HistoryEvent> = late.filter(is_late).collect();
        late.sort_by_key(|event| time(event));
        for event in late {
            self.under_way(time(event));
            self.simulator.advance(time(event));
            // What was tried more often than once takes several steps, until nothing more of it is due.
            let steps = match event.attributes.as_ref().and_then(begun_by) {
                Some(_) => STEPS_MAX,
                None => 1,
            };
            for _ in 0..steps {
                if !self.cause(run, event) {
                    break;
                }
            }
        }
    }

    /// The timers that fired in one go with this one: what comes while a task is under way comes by itself.
    fn timers(&self, run: usize, event: &HistoryEvent, started: i64) -> Vec<i64> {
        let events = &self.runs[run].events[self.places[run]..];
        if events[0].event_id != event.event_id {
            return vec![started];
        }
        let fired = events.iter().map_while(|event| match &event.attributes {
            Some(Attributes::TimerFiredEventAttributes(a)) => Some(a.started_event_id),
            _ => None,
        });
        fired.collect()
    }

    /// With the local activities that end while it is under way.
    fn begin_task(&mut self, run: usize) -> bool {
        let Some(simulated) = self.simulated(run) else {
            return false;
        };
        let has_begun = self.simulator.begin_task_of(simulated);
        let mut events = self.runs[run].events[self.places[run]..].iter();
        let end = events.find(|event| is_task_end(event)).map(time);
        let is_local = |due: &DueItem| due.run == Some(simulated) && due.what.contains(LOCAL);
        while self
            .simulator
            .take_where(|due| Some(due.at) <= end && is_local(due))
        {}
        has_begun
    }

    fn end_task(&mut self, run: usize) -> bool {
        let Some(simulated) = self.simulated(run) else {
            return false;
        };
        let events = &self.runs[run].events[self.places[run]..];
        let is_failed = events[0].event_type() == EventType::WorkflowTaskFailed;
        let ends = |end: &&HistoryEvent| {
            use EventType::{WorkflowExecutionTerminated, WorkflowExecutionTimedOut};
            [WorkflowExecutionTerminated, WorkflowExecutionTimedOut].contains(&end.event_type())
        };
        // The end of the run cuts it off.
        if let Some(end) = events.get(1).filter(|end| is_failed && ends(end)) {
            return self.cause(run, end);
        }
        self.simulator.end_task_of(simulated);
        // Where local activities are still under way, it was completed only to be begun anew.
        self.of(run, "the workflow task's heartbeat");
        true
    }

    fn of(&mut self, run: usize, words: &str) -> bool {
        let Some(run) = self.simulated(run) else {
            return false;
        };
        self.simulator
            .take_where(|due| due.run == Some(run) && due.what.contains(words))
    }

    fn own(&mut self, run: usize, event: i64) -> bool {
        let Some(run) = self.simulated(run) else {
            return false;
        };
        self.simulator
            .take_where(|due| due.run == Some(run) && event_id(due) == Some(event))
    }

    fn place_of(&self, run_id: &str) -> Option<usize> {
        self.runs.iter().position(|run| run.run_id == run_id)
    }

    fn of_event(&mut self, run_id: &str, event: i64) -> bool {
        self.place_of(run_id)
            .is_some_and(|run| self.own(run, event))
    }

    /// A signal does not say which event sent it: the first that is on its way.
    fn of_signal(&mut self, from: &str, to: &str) -> bool {
        let Some(run) = self.place_of(from) else {
            return false;
        };
        let sent = self.runs[run].events.iter().filter_map(|event| {
            let Some(Attributes::SignalExternalWorkflowExecutionInitiatedEventAttributes(a)) =
                &event.attributes
            else {
                return None;
            };
            let target = a.workflow_execution.as_ref()?;
            (target.workflow_id == to).then_some(event.event_id)
        });
        let sent: Vec<i64> = sent.collect();
        sent.into_iter().any(|event| self.own(run, event))
    }

    fn child(&mut self, child: Option<WorkflowExecution>) -> bool {
        let workflow_id = child.unwrap_or_default().workflow_id;
        self.simulator.take_where(|due| {
            due.subject_id == workflow_id && due.what == "the word of its end to its parent"
        })
    }

    /// Sends what the workflow task that is about to begin accepts.
    fn update(&mut self, run: usize) -> bool {
        let events = &self.runs[run].events[self.places[run]..];
        let begins = |event: &&HistoryEvent| event.event_type() == EventType::WorkflowTaskStarted;
        let begun = events.iter().position(|event| begins(&event)).unwrap_or(0);
        let task = events[begun..].iter().skip(1);
        let task = task.take_while(|event| {
            event.event_type() != EventType::WorkflowTaskScheduled && !begins(event)
        });
        let mut has_sent = false;
        for event in task {
            let Some(Attributes::WorkflowExecutionUpdateAcceptedEventAttributes(a)) =
                event.attributes.clone()
            else {
                continue;
            };
            let request = a.accepted_request.unwrap_or_default();
            let id = request.meta.unwrap_or_default().update_id;
            let input = request.input.unwrap_or_default();
            if self.updates.insert((run, id.clone())) {
                let args = input.args.unwrap_or_default().payloads.into_iter();
                let args: Vec<Payload> = args.map(payload_from_proto).collect();
                let workflow_id = &self.runs[run].workflow_id;
                let sent = self
                    .simulator
                    .update(workflow_id, &input.name, args, Some(id));
                has_sent |= sent.is_ok();
            }
        }
        has_sent
    }
}

/// Whether it comes to the run, and is not of the run's doing.
fn comes(kind: EventType) -> bool {
    use EventType::*;
    matches!(
        kind,
        WorkflowTaskScheduled
            | TimerFired
            | ActivityTaskStarted
            | ActivityTaskCompleted
            | ActivityTaskFailed
            | ActivityTaskTimedOut
            | ActivityTaskCanceled
            | WorkflowExecutionSignaled
            | WorkflowExecutionCancelRequested
            | ChildWorkflowExecutionStarted
            | ChildWorkflowExecutionCompleted
            | ChildWorkflowExecutionFailed
            | ChildWorkflowExecutionCanceled
            | ChildWorkflowExecutionTimedOut
            | ChildWorkflowExecutionTerminated
            | ExternalWorkflowExecutionSignaled
            | SignalExternalWorkflowExecutionFailed
            | ExternalWorkflowExecutionCancelRequested
            | RequestCancelExternalWorkflowExecutionFailed
            | NexusOperationCompleted
    )
}

fn is_task_end(event: &HistoryEvent) -> bool {
    use EventType::{WorkflowTaskCompleted, WorkflowTaskFailed};
    [WorkflowTaskCompleted, WorkflowTaskFailed].contains(&event.event_type())
}

/// The event that began what ends, or goes on, with this one.
fn begun_by(attributes: &Attributes) -> Option<i64> {
    use Attributes::*;
    Some(match attributes {
        ActivityTaskStartedEventAttributes(a) => a.scheduled_event_id,
        ActivityTaskCompletedEventAttributes(a) => a.scheduled_event_id,
        ActivityTaskFailedEventAttributes(a) => a.scheduled_event_id,
        ActivityTaskTimedOutEventAttributes(a) => a.scheduled_event_id,
        ActivityTaskCanceledEventAttributes(a) => a.scheduled_event_id,
        NexusOperationCompletedEventAttributes(a) => a.scheduled_event_id,
        NexusOperationTimedOutEventAttributes(a) => a.scheduled_event_id,
        NexusOperationCanceledEventAttributes(a) => a.scheduled_event_id,
        StartChildWorkflowExecutionFailedEventAttributes(a) => a.initiated_event_id,
        ChildWorkflowExecutionStartedEventAttributes(a) => a.initiated_event_id,
        ExternalWorkflowExecutionSignaledEventAttributes(a) => a.initiated_event_id,
        SignalExternalWorkflowExecutionFailedEventAttributes(a) => a.initiated_event_id,
        ExternalWorkflowExecutionCancelRequestedEventAttributes(a) => a.initiated_event_id,
        RequestCancelExternalWorkflowExecutionFailedEventAttributes(a) => a.initiated_event_id,
        _ => return None,
    })
}

/// The event that something due goes back to.
fn event_id(due: &DueItem) -> Option<i64> {
    let (_, number) = due.what.rsplit_once(" of event ")?;
    number.parse().ok()
}

/// Events before and after a place, a line each.
fn around(events: &[HistoryEvent], place: usize) -> String {
    let from = place.saturating_sub(8).min(events.len());
    let to = (place + 4).min(events.len());
    let line = |e: &HistoryEvent| {
        let why = match &e.attributes {
            Some(Attributes::WorkflowTaskFailedEventAttributes(a)) => {
                let message = a.failure.as_ref().map_or("", |f| &f.message);
                format!("{} {message}", a.cause().as_str_name())
            }
            _ => String::new(),
        };
        format!("\n  {} {} {:?} {why}", e.event_id, time(e), e.event_type())
    };
    events[from..to].iter().map(line).collect()
}

fn time(event: &HistoryEvent) -> Timestamp {
    timestamp_from_proto(event.event_time.unwrap_or_default())
}

/// Activities that no worker had when they were cancelled, by the events that scheduled them.
fn cancelled(events: &[HistoryEvent]) -> impl Iterator<Item = (i64, Timestamp)> {
    events.iter().filter_map(|event| match &event.attributes {
        Some(Attributes::ActivityTaskCanceledEventAttributes(a)) if a.started_event_id == 0 => {
            Some((a.scheduled_event_id, time(event)))
        }
        _ => None,
    })
}

/// The attempt with which an activity ended by itself.
fn last_attempt(events: &[HistoryEvent], scheduled: i64) -> Option<u32> {
    events.iter().find_map(|event| match &event.attributes {
        Some(Attributes::ActivityTaskStartedEventAttributes(a))
            if a.scheduled_event_id == scheduled =>
        {
            Some(a.attempt as u32)
        }
        _ => None,
    })
}
