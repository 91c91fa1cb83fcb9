//! What must be so of activities, deadlines and sagas.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use temporalio_protos::temporal::api::enums::v1::EventType;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;

use super::check::{Checker, fired, texts};
use super::history::{Run, json, summary};
use super::ledger::Entry;
use super::program::{Deadline, Kind};

/// As the definitions have it.
const HOPELESS_INTERVAL_MS: u64 = 100;

/// The activities of a run, by their keys.
#[derive(Default)]
struct Activities {
    scheduled: Vec<(String, i64)>,
    /// The events that scheduled those that have ended in some way.
    closed: BTreeSet<i64>,
    completed: BTreeSet<String>,
    /// Those of them that were local.
    locals: Vec<String>,
}

impl Activities {
    fn of(run: &Run) -> Activities {
        let mut activities = Activities::default();
        for event in &run.events {
            activities.hear(event);
        }
        activities
    }

    fn hear(&mut self, event: &HistoryEvent) {
        use Attributes::*;
        match &event.attributes {
            Some(ActivityTaskScheduledEventAttributes(a)) => {
                let input = json(a.input.as_ref());
                if let Some(key) = key(&input) {
                    self.scheduled.push((key, event.event_id));
                }
            }
            Some(ActivityTaskCompletedEventAttributes(a)) => {
                self.closed.insert(a.scheduled_event_id);
                self.completed.extend(key(&json(a.result.as_ref())));
            }
            Some(ActivityTaskFailedEventAttributes(a)) => {
                self.closed.insert(a.scheduled_event_id);
            }
            Some(ActivityTaskTimedOutEventAttributes(a)) => {
                self.closed.insert(a.scheduled_event_id);
            }
            Some(ActivityTaskCanceledEventAttributes(a)) => {
                self.closed.insert(a.scheduled_event_id);
            }
            Some(MarkerRecordedEventAttributes(a)) if a.failure.is_none() => {
                let result = json(a.details.get("result"));
                self.locals.extend(key(&result));
                self.completed.extend(key(&result));
            }
            _ => {}
        }
    }
}

/// In the input or in the result of an activity.
fn key(json: &Json) -> Option<String> {
    let places = [
        &json["key"],
        &json["body"]["key"],
        &json["act"]["key"],
        &json["http"]["body"]["key"],
    ];
    let key = places.into_iter().find_map(Json::as_str)?;
    Some(key.to_owned())
}

/// The messages that were taken more often than once: of a client that was not told whether its message was taken and sends it again,
/// or whose second copy comes to another run.
fn repeated(runs: &[Run]) -> Vec<String> {
    let mut messages: BTreeMap<String, u32> = BTreeMap::new();
    for run in runs {
        let signals = run.signals("note").into_iter().map(|(_, id)| id);
        for id in signals.chain(run.updated()) {
            *messages.entry(id).or_default() += 1;
        }
    }
    messages.retain(|_, count| *count > 1);
    messages.into_keys().collect()
}

impl Checker<'_> {
    /// No step that has a result runs again.
    pub fn activities(&mut self, runs: &[Run]) {
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for run in runs {
            let activities = Activities::of(run);
            let scheduled = activities.scheduled.into_iter().map(|(key, _)| key);
            for key in scheduled.chain(activities.locals) {
                *counts.entry(key).or_default() += 1;
            }
        }
        let messages = repeated(runs);
        let is_repeated = |key: &str| messages.iter().any(|id| key.contains(&format!("/{id}.")));
        let again = counts
            .iter()
            .find(|(key, count)| **count > 1 && !is_repeated(key));
        if let Some((key, count)) = again {
            let text = format!("{key} was scheduled or completed {count} times");
            self.wrong_in("activity ran again", &text, runs);
        }
    }

    /// What happened first in the history decides between a signal and a deadline.
    pub fn gates(&mut self, runs: &[Run]) {
        if runs.iter().any(Run::was_asked_to_cancel) {
            return;
        }
        let Some(marks) = self.marks(runs) else {
            return;
        };
        let gates_of_program = self.evidence.experiment.program.gates();
        let gates = marks.iter().filter_map(|mark| mark.strip_prefix("gate "));
        let gates: Vec<(&str, &str)> = gates.filter_map(|gate| gate.split_once(' ')).collect();
        for (place, (key, came)) in gates.iter().enumerate() {
            let number = key.rsplit_once(".s").map_or("", |(_, number)| number);
            let name = format!("gate-{number}");
            let sent = runs.iter().enumerate().flat_map(|(place, run)| {
                let sent = run.signals(&name).into_iter();
                sent.map(move |(at, _)| (place, at))
            });
            let sent: Vec<(usize, usize)> = sent.collect();
            let same = format!(".s{number}");
            let before = gates[..place].iter();
            let taken = before.filter(|(key, came)| key.ends_with(&same) && *came == "signal");
            let timer = format!("gate {key}");
            let started: Vec<usize> = (0..runs.len())
                .filter(|run| {
                    let mut events = runs[*run].events.iter();
                    events.any(|event| summary(event).as_deref() == Some(&*timer))
                })
                .collect();
            // Where its timer was carried on, or where it needed none, nothing is compared.
            let ([own], [(run, at)]) = (&started[..], &sent[..]) else {
                continue;
            };
            if taken.count() > 0 || self.evidence.experiment.program.automatic {
                continue;
            }
            let over = fired(&runs[*own], &timer);
            let handled = gates_of_program
                .iter()
                .any(|(n, deadline)| n.to_string() == number && *deadline == Deadline::Condition);
            let expected = match run.cmp(own) {
                // A handler took it there.
                std::cmp::Ordering::Less if handled => "time",
                std::cmp::Ordering::Less => "signal",
                std::cmp::Ordering::Greater => "time",
                std::cmp::Ordering::Equal => match over {
                    Some(over) if over < *at => "time",
                    _ => "signal",
                },
            };
            if *came != expected {
                let text = format!("gate {key}: the {expected} came first, and it was the {came}");
                self.wrong_in("order ignored", &text, &runs[..=*own.max(run)]);
                return;
            }
        }
    }

    /// What the steps wrote down, at the end.
    fn marks(&self, runs: &[Run]) -> Option<Vec<String>> {
        let handed = runs.last().and_then(Checker::handed_on);
        let marks = handed.or_else(|| self.evidence.state.clone())?;
        Some(texts(&marks["marks"]))
    }

    /// What a failed saga did is undone, and what a completed one did is not.
    pub fn sagas(&mut self, runs: &[Run]) {
        let marks = self.marks(runs).unwrap_or_default();
        let of_sagas = marks.iter().filter_map(|mark| mark.strip_prefix("saga "));
        let of_sagas: BTreeMap<&str, &str> = of_sagas.filter_map(|m| m.split_once(' ')).collect();
        let own = format!("{}/", self.evidence.workflow_id);
        let messages = repeated(runs);
        for (number, run) in runs.iter().enumerate() {
            let activities = Activities::of(run);
            let end = run.events.last().map(HistoryEvent::event_type);
            for (key, entry) in self.evidence.ledger {
                let scheduled = activities.scheduled.iter().find(|(k, _)| k == key);
                let is_here = scheduled.is_some() || activities.completed.contains(key);
                let is_repeated = messages.iter().any(|id| key.contains(&format!("/{id}.")));
                if entry.saga.is_empty() || !is_here || is_repeated || !key.starts_with(&own) {
                    continue;
                }
                let failed = match (entry.saga.as_str(), end) {
                    // Its saga goes on in the next run.
                    ("run", _) if run.was_moved() => continue,
                    ("run", Some(EventType::WorkflowExecutionCompleted)) => false,
                    ("run", Some(EventType::WorkflowExecutionContinuedAsNew)) => false,
                    ("run", Some(EventType::WorkflowExecutionFailed)) => true,
                    ("run", Some(EventType::WorkflowExecutionCanceled)) => true,
                    ("run", _) => continue,
                    (saga, _) => match of_sagas.get(saga) {
                        Some(end) => *end == "failed",
                        None => continue,
                    },
                };
                let is_left = scheduled.is_some_and(|(_, id)| !activities.closed.contains(id));
                let did = activities.completed.contains(key) || is_left && entry.done.is_some();
                let undone = self.evidence.ledger.get(&format!("undo:{key}"));
                self.effect(key, entry, (failed, did), undone, &runs[..=number]);
            }
        }
    }

    fn effect(
        &mut self,
        key: &str,
        entry: &Entry,
        (failed, did): (bool, bool),
        undone: Option<&Entry>,
        runs: &[Run],
    ) {
        let saga = &entry.saga;
        if failed && did && undone.is_none_or(|undone| undone.done.is_none()) {
            let text = format!("{key} of the saga {saga}, which failed, was done and not undone");
            self.wrong_in("effect left", &text, runs);
        }
        if !failed && undone.is_some() {
            let text = format!("{key} of the saga {saga}, which completed, was undone");
            self.wrong_in("effect undone", &text, runs);
        }
    }

    /// A local step is not tried any more when its time is over.
    pub fn hopeless(&mut self) {
        let evidence = self.evidence;
        let steps = evidence.experiment.program.steps();
        let runs = evidence.families.iter().flatten();
        let lost = runs
            .flat_map(|run| &run.events)
            .filter(|event| event.event_type() == EventType::WorkflowTaskTimedOut);
        let times = 1 + evidence.disturbances + lost.count() as u64;
        for step in steps {
            let Kind::Hopeless(ms) = step.kind else {
                continue;
            };
            let end = format!(".s{}", step.number);
            let most = (ms / HOPELESS_INTERVAL_MS + 3) * times;
            for (key, entry) in evidence
                .ledger
                .iter()
                .filter(|(key, _)| key.ends_with(&end))
            {
                let count = entry.attempts.len() as u64;
                if count > most {
                    let text = format!("{key} was tried {count} times within {ms} ms");
                    self.wrong("tried after its time", text);
                }
            }
        }
    }
}
