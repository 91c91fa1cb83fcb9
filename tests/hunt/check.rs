//! What must be so, whatever happened: told from histories, from what clients were told and from the ledger alone.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use temporalio_protos::temporal::api::enums::v1::WorkflowTaskFailedCause as Cause;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;

use super::drive::Told;
use super::history::{Run, json, shown, summary};
use super::ledger::Entry;
use super::plan::Experiment;
use super::program::Ending;
use super::write::DRAIN;

/// With which the hunter ends what is left over.
pub const SWEPT: &str = "swept by the hunter";
const EVENTS_SHOWN: usize = 45;

#[derive(Debug, Clone)]
pub struct Violation {
    pub kind: &'static str,
    pub text: String,
}

/// All that is known of an experiment after its end.
pub struct Evidence<'a> {
    pub experiment: &'a Experiment,
    pub workflow_id: &'a str,
    /// The runs of the workflow, then those of each of its children.
    pub families: &'a [Vec<Run>],
    /// The answer to the query `all` after the end.
    pub state: Option<Json>,
    pub told: &'a Told,
    pub ledger: &'a BTreeMap<String, Entry>,
    /// How often the worker or the server was killed or paused.
    pub disturbances: u64,
}

pub struct Checker<'a> {
    pub evidence: &'a Evidence<'a>,
    pub found: Vec<Violation>,
}

pub fn check(evidence: &Evidence<'_>) -> Vec<Violation> {
    let mut checker = Checker {
        evidence,
        found: Vec::new(),
    };
    for (kind, text) in &evidence.told.wrong {
        checker.wrong(kind, text.clone());
    }
    for (number, runs) in evidence.families.iter().enumerate() {
        checker.tasks(runs);
        checker.end(runs, number > 0);
        checker.messages(runs);
        checker.jobs(runs);
        checker.activities(runs);
    }
    if let Some(runs) = evidence.families.first() {
        checker.acknowledged(runs);
        checker.result_is_the_state(runs);
        checker.drained(runs);
        checker.gates(runs);
        checker.sagas(runs);
    }
    checker.hopeless();
    checker.found
}

impl<'a> Checker<'a> {
    pub fn wrong(&mut self, kind: &'static str, text: String) {
        self.found.push(Violation { kind, text });
    }

    /// With the histories that show it.
    pub fn wrong_in(&mut self, kind: &'static str, text: &str, runs: &[Run]) {
        let shown: Vec<String> = runs.iter().map(|run| shown(run, EVENTS_SHOWN)).collect();
        self.wrong(kind, format!("{text}\n{}", shown.join("\n")));
    }

    fn tasks(&mut self, runs: &[Run]) {
        for run in runs {
            for event in &run.events {
                let Some(Attributes::WorkflowTaskFailedEventAttributes(a)) = &event.attributes
                else {
                    continue;
                };
                // By these the server has a task done again.
                let again = [
                    Cause::UnhandledCommand,
                    Cause::UnhandledUpdate,
                    Cause::ForceCloseCommand,
                    Cause::ResetWorkflow,
                    // The worker gives it back as the run leaves its full cache.
                    Cause::ResetStickyTaskQueue,
                ];
                if !again.contains(&a.cause()) {
                    let message = a.failure.as_ref().map_or("", |f| &f.message);
                    let text = format!("{} {message}", a.cause().as_str_name());
                    self.wrong_in("task failed", &text, std::slice::from_ref(run));
                    return;
                }
            }
        }
    }

    fn end(&mut self, runs: &[Run], is_child: bool) {
        use Attributes::*;
        let Some(last) = runs.last() else {
            return;
        };
        let alone = std::slice::from_ref(last);
        match last.last() {
            Some(WorkflowExecutionTerminatedEventAttributes(a))
                if a.reason != SWEPT && !is_child =>
            {
                let text = format!("{}, {}", a.reason, a.identity);
                self.wrong_in("terminated", &text, alone);
            }
            Some(WorkflowExecutionTimedOutEventAttributes(_)) if !is_child => {
                self.wrong_in("timed out", "", alone);
            }
            Some(WorkflowExecutionFailedEventAttributes(a)) => {
                let failure = format!("{:?}", a.failure);
                let is_wanted = self.evidence.experiment.program.ending == Ending::Nothing;
                if failure.contains("DefinitionError") && !is_wanted {
                    let message = a.failure.as_ref().map_or("", |f| &f.message);
                    self.wrong_in("definition error", message, alone);
                }
            }
            Some(WorkflowExecutionCompletedEventAttributes(a)) => {
                let result = json(a.result.as_ref());
                if !result["seen"].is_array() {
                    let text = format!("it completed with {result}");
                    self.wrong_in("result breaks its schema", &text, alone);
                }
            }
            _ => {}
        }
    }

    /// What a run hands on: to the next one, or as its result.
    pub fn handed_on(run: &Run) -> Option<Json> {
        use Attributes::*;
        let handed = match run.last()? {
            WorkflowExecutionContinuedAsNewEventAttributes(a) => {
                if run.was_moved() {
                    return None;
                }
                json(a.input.as_ref())
            }
            WorkflowExecutionCompletedEventAttributes(a) => json(a.result.as_ref()),
            _ => return None,
        };
        handed["seen"].is_array().then_some(handed)
    }

    /// Each signal that a handler takes, and each update that completed, is in what the run hands on, once.
    fn messages(&mut self, runs: &[Run]) {
        if runs.iter().any(Run::was_asked_to_cancel) {
            return;
        }
        let (mut signals, mut updates) = (Vec::new(), Vec::new());
        for (number, run) in runs.iter().enumerate() {
            let taken = run.signals("note").into_iter().map(|(_, id)| id);
            signals.extend(taken);
            updates.extend(run.updated());
            let Some(handed) = Self::handed_on(run) else {
                continue;
            };
            for (field, sent, kind) in [
                ("seen", &signals, "signal lost or handled twice"),
                ("done", &updates, "update lost or done twice"),
            ] {
                let kept = texts(&handed[field]);
                let wrong = differing(sent, &kept);
                if !wrong.is_empty() {
                    let text = format!(
                        "run {number} hands on {field} {kept:?}; in its history {sent:?}; differing {wrong:?}"
                    );
                    self.wrong_in(kind, &text, &runs[..=number]);
                    return;
                }
            }
            let unanswered = run.unanswered();
            if !unanswered.is_empty() {
                let text = format!("run {number} ended and left the updates {unanswered:?}");
                self.wrong_in("update unanswered", &text, &runs[..=number]);
            }
        }
    }

    /// Waits take signals in order, without a gap, through all runs.
    fn jobs(&mut self, runs: &[Run]) {
        if runs.iter().any(Run::was_asked_to_cancel) {
            return;
        }
        let mut sent = Vec::new();
        for (number, run) in runs.iter().enumerate() {
            sent.extend(run.signals("job").into_iter().map(|(_, id)| id));
            let Some(handed) = Self::handed_on(run) else {
                continue;
            };
            let taken = texts(&handed["jobs"]);
            let first = sent[..taken.len().min(sent.len())].to_vec();
            if !differing(&first, &taken).is_empty() {
                let text = format!("run {number} took {taken:?} of {sent:?}");
                self.wrong_in("kept signal lost or taken twice", &text, &runs[..=number]);
                return;
            }
        }
    }

    /// The last wait took all that came before its time was over.
    fn drained(&mut self, runs: &[Run]) {
        let program = &self.evidence.experiment.program;
        let Some(last) = runs.last() else { return };
        let Some(Attributes::WorkflowExecutionCompletedEventAttributes(_)) = last.last() else {
            return;
        };
        let Some(result) = Self::handed_on(last) else {
            return;
        };
        if !program.drains || result["tag"] == "early" || runs.iter().any(Run::was_asked_to_cancel)
        {
            return;
        }
        let Some(end) = fired(last, DRAIN) else {
            return;
        };
        let before = runs[..runs.len() - 1]
            .iter()
            .flat_map(|run| run.signals("job"));
        let own = last.signals("job").into_iter();
        let own = own.filter(|(place, _)| *place < end);
        let sent: Vec<String> = before.chain(own).map(|(_, id)| id).collect();
        let taken = texts(&result["jobs"]);
        if let Some(lost) = sent.iter().find(|id| !taken.contains(id)) {
            let text = format!("{lost} of {sent:?} was not taken: {taken:?}");
            self.wrong_in("kept signal lost or taken twice", &text, runs);
        }
    }

    /// What the server has taken is in the history.
    fn acknowledged(&mut self, runs: &[Run]) {
        if runs.is_empty() {
            return;
        }
        let program = &self.evidence.experiment.program;
        let gates = program.gates().into_iter();
        let gates = gates.map(|(number, _)| format!("gate-{number}"));
        let names = ["note", "job", "close"].map(str::to_owned);
        let names: Vec<String> = names.into_iter().chain(gates).collect();
        let all: Vec<String> = runs
            .iter()
            .flat_map(|run| names.iter().flat_map(|name| run.signals(name)))
            .map(|(_, id)| id)
            .collect();
        for id in &self.evidence.told.signals {
            if !all.contains(id) {
                self.wrong_in("signal not in history", id, runs);
                return;
            }
        }
        let updated: Vec<String> = runs.iter().flat_map(Run::updated).collect();
        for (id, _) in &self.evidence.told.updates {
            if !updated.contains(id) {
                self.wrong_in("update not in history", id, runs);
                return;
            }
        }
    }

    /// A query after the end tells what the run returned.
    fn result_is_the_state(&mut self, runs: &[Run]) {
        let (Some(last), Some(state)) = (runs.last(), &self.evidence.state) else {
            return;
        };
        let Some(Attributes::WorkflowExecutionCompletedEventAttributes(_)) = last.last() else {
            return;
        };
        let Some(result) = Self::handed_on(last) else {
            return;
        };
        for field in ["seen", "done", "jobs", "marks", "turn"] {
            if result[field] != state[field] {
                let text = format!(
                    "{field} is {} in the result and {} in a query after it",
                    result[field], state[field]
                );
                self.wrong_in("query after the end", &text, std::slice::from_ref(last));
                return;
            }
        }
    }
}

/// The place of the event with which the last timer of a summary fired.
pub fn fired(run: &Run, of: &str) -> Option<usize> {
    let started = run.events.iter().rev();
    let mut started = started.filter(|event| summary(event).as_deref() == Some(of));
    let started = started.next()?.event_id;
    run.events.iter().position(|event| {
        matches!(&event.attributes, Some(Attributes::TimerFiredEventAttributes(a)) if a.started_event_id == started)
    })
}

pub fn texts(list: &Json) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(Json::as_str).map(str::to_owned).collect()
}

/// What is not equally often in both.
fn differing(one: &[String], other: &[String]) -> Vec<String> {
    let mut counts: BTreeMap<&String, i64> = BTreeMap::new();
    for id in one {
        *counts.entry(id).or_default() += 1;
    }
    for id in other {
        *counts.entry(id).or_default() -= 1;
    }
    let differing = counts.into_iter().filter(|(_, count)| *count != 0);
    differing.map(|(id, _)| id.clone()).collect()
}
