//! Runs one case: starts the workflow in a simulation, performs the actions, and reports the result.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::expect::BROKEN;
use super::file::{Action, Case, Deed, TestFile, When};
use super::mocks::{Mocked, Shared, failure};
use super::order::{Choice, Chooser};
use super::watch::Watchers;
use super::{Crash, Subject};
use crate::definition::Name;
use crate::diagnostic::Diagnostic;
use crate::engine::start::{StartDefaults, refused};
use crate::program::schedule_id;
use crate::simulator::{
    DueItem, Refused, RunNumber, ScheduleNumber, Setup, Simulator, Start, Status, UpdateNumber,
    UpdateStage,
};
use crate::source::Range;
use crate::timeline::Timeline;
use crate::value::{Payload, Timestamp, Value};

/// More would be an endless loop.
const STEPS_MAX: usize = 100_000;
const TASK_QUEUE: &str = "test";
const NAMESPACE: &str = "test";

/// The result of a case.
pub(crate) struct Ran {
    pub(crate) simulator: Simulator,
    pub(crate) workflow_id: String,
    /// The schedule that starts what is tested.
    pub(crate) schedule: Option<ScheduleNumber>,
    pub(crate) asked: Shared,
    pub(crate) timeline: Arc<Timeline>,
    pub(crate) started: Timestamp,
    pub(crate) ended: Timestamp,
    pub(crate) input: Value,
    /// Mistakes, independent of what was expected.
    pub(crate) problems: Vec<Diagnostic>,
    /// Where what was due at one time was done in another than the usual order.
    pub(crate) order: Vec<String>,
    /// All choices of an order.
    pub(crate) choices: Vec<Choice>,
    /// The steps of the simulation after which the workflow had another run.
    pub(crate) continued: Vec<usize>,
}

impl Ran {
    /// The last run of the workflow.
    pub(crate) fn run(&self) -> Option<RunNumber> {
        self.simulator.current(&self.workflow_id)
    }

    /// The number of runs of the workflow, or of everything that the schedule started.
    pub(crate) fn runs(&self) -> usize {
        let started = match self.schedule {
            Some(schedule) => self.simulator.scheduled(schedule),
            None => &[],
        };
        let ids = started
            .iter()
            .map(|(_, run)| self.simulator.workflow_id(*run));
        let ids: BTreeSet<&str> = ids.chain([self.workflow_id.as_str()]).collect();
        let runs = self.simulator.runs();
        runs.filter(|run| ids.contains(self.simulator.workflow_id(*run)))
            .count()
    }
}

/// If the definition's `start` has none.
const WORKFLOW_ID: &str = "test";

pub(crate) fn run(file: &TestFile, case: &Case, subject: &Subject, crash: &Crash) -> Ran {
    let asked = Shared::default();
    let timeline = Arc::new(Timeline::new());
    let mocked = Mocked::new(case, asked.clone(), timeline.clone(), subject.real.clone());
    let setup = Setup {
        start_time: case.start_time,
        namespace: NAMESPACE.to_owned(),
        task_queue: TASK_QUEUE.to_owned(),
        ids: 0,
    };
    let mut simulator = Simulator::new(
        setup,
        subject.registry.clone(),
        subject.programs.clone(),
        Box::new(mocked),
    );
    let recorder = subject.recorder.clone().filter(|_| *crash == Crash::None);
    let watchers = Arc::new(Watchers::new(timeline.clone(), recorder));
    simulator.observed_by(watchers.clone());
    let mut driver = Driver {
        simulator,
        workflow_id: WORKFLOW_ID.to_owned(),
        schedule: None,
        crash,
        case,
        timeline: timeline.clone(),
        asked: asked.clone(),
        problems: Vec::new(),
        updates: Vec::new(),
        order: Vec::new(),
        watchers,
        steps: 0,
        continued: Vec::new(),
        current: None,
        subject,
        chooser: match crash {
            Crash::Reordered(order) => Some(Chooser::new(order.clone())),
            _ => None,
        },
    };
    let input = driver.drive(file, subject);
    driver.check_signals();
    let ended = driver.end();
    Ran {
        simulator: driver.simulator,
        workflow_id: driver.workflow_id,
        schedule: driver.schedule,
        asked,
        timeline,
        started: case.start_time,
        ended,
        input,
        problems: driver.problems,
        order: driver.order,
        choices: driver.chooser.map_or(Vec::new(), |chooser| chooser.choices),
        continued: driver.continued,
    }
}

fn start(
    workflow_type: &str,
    workflow_id: &str,
    input: Vec<Payload>,
    defaults: StartDefaults,
) -> Start {
    Start {
        workflow_type: workflow_type.to_owned(),
        workflow_id: workflow_id.to_owned(),
        input,
        memo: defaults.memo,
        search_attributes: defaults.search_attributes,
        execution_timeout: defaults.execution_timeout,
        run_timeout: defaults.run_timeout,
        task_timeout: defaults.task_timeout,
        retry_policy: defaults.retry_policy,
        ..Start::default()
    }
}

pub(super) fn payloads(input: Option<&Value>, range: Range) -> Result<Vec<Payload>, Diagnostic> {
    let payload = input.map(Payload::from_value).transpose();
    let payload = payload.map_err(|error| Diagnostic::error("test-failed", range, error.0))?;
    Ok(payload.into_iter().collect())
}

/// The next thing to do.
enum Next {
    One(usize),
    Together,
}

pub(super) struct Driver<'a> {
    pub(super) simulator: Simulator,
    /// The workflow id; with a schedule, that of the newest run.
    pub(super) workflow_id: String,
    schedule: Option<ScheduleNumber>,
    crash: &'a Crash,
    pub(super) case: &'a Case,
    pub(super) watchers: Arc<Watchers>,
    subject: &'a Subject,
    /// Steps of the simulation so far.
    steps: usize,
    continued: Vec<usize>,
    current: Option<RunNumber>,
    timeline: Arc<Timeline>,
    asked: Shared,
    pub(super) problems: Vec<Diagnostic>,
    /// The updates with an expected outcome, and their actions.
    updates: Vec<(UpdateNumber, &'a Action)>,
    order: Vec<String>,
    /// Chooses the order, in a run in another order.
    chooser: Option<Chooser>,
}

impl<'a> Driver<'a> {
    fn drive(&mut self, file: &TestFile, subject: &Subject) -> Value {
        let begun = match &self.case.schedule {
            Some(name) => self.make_schedule(file, subject, name),
            None => self.start(file, subject),
        };
        let input = match begun {
            Ok(input) => input,
            Err(problem) => {
                self.problems.push(problem);
                return Value::Null;
            }
        };
        self.crash();
        for action in &self.case.actions {
            if !self.wait_for(action) {
                break;
            }
            if let Err(problem) = self.act(action) {
                self.problems.push(problem);
            }
            self.crash();
        }
        self.go_on();
        if matches!(self.crash, Crash::Reordered(_)) {
            for (_, divergence) in self.simulator.replays() {
                self.diverged(&divergence.to_string());
            }
        }
        self.check_updates();
        input
    }

    /// Continues until what the test waits for is over.
    fn go_on(&mut self) {
        let until = self.case.until;
        let until = until.and_then(|length| self.case.start_time.checked_add(length));
        let mut steps = 0;
        while self.is_needed() {
            let is_late = |until| self.simulator.next_due().is_none_or(|due| due > until);
            if let Some(until) = until.filter(|until| is_late(*until)) {
                self.until(until);
                break;
            }
            if !self.step() {
                break;
            }
            steps += 1;
            if steps > STEPS_MAX {
                let message = format!(
                    "the run does not end: after {STEPS_MAX} events of the simulation (STEPS_MAX) something is still due"
                );
                let help = "if it never ends by design, add e.g. `until: 30d` to look at it after that time";
                let problem = Diagnostic::error("test-failed", self.case.range, message);
                self.problems.push(problem.help(help));
                break;
            }
        }
    }

    /// Starts like `segno start`, with the defaults under the definition's `start`; returns the input.
    fn start(&mut self, file: &TestFile, subject: &Subject) -> Result<Value, Diagnostic> {
        let input = self.case.input.as_ref().map(|input| input.value(&[]));
        let input = input.transpose()?;
        let arguments = payloads(input.as_ref(), self.case.range)?;
        let values: Vec<Value> = arguments.iter().cloned().map(Value::from).collect();
        let workflow_type = &file.workflow.value;
        let entry = subject.registry.for_new_run(workflow_type, WORKFLOW_ID);
        let program = entry.as_ref().map(|entry| &entry.loaded.program);
        let defaults = match program {
            // Other clients can start it anyway: it fails by itself.
            Some(program) if refused(program, values.clone()).is_none() => {
                StartDefaults::of(program, values, self.case.start_time, 0)
            }
            _ => Ok(StartDefaults::default()),
        };
        let mut defaults = defaults.map_err(|failure| self.failed(failure.message))?;
        let workflow_id = defaults.workflow_id.take();
        self.workflow_id = workflow_id.unwrap_or(WORKFLOW_ID.to_owned());
        let start = start(workflow_type, &self.workflow_id, arguments, defaults);
        if let Err(refused) = self.simulator.start(start) {
            self.problem(self.case.range, refused.to_string());
        }
        Ok(input.unwrap_or(Value::Null))
    }

    /// Creates the schedule like `segno deploy`; returns its input.
    fn make_schedule(
        &mut self,
        file: &TestFile,
        subject: &Subject,
        name: &Name,
    ) -> Result<Value, Diagnostic> {
        let workflow_type = &file.workflow.value;
        let entry = subject.registry.for_new_run(workflow_type, WORKFLOW_ID);
        let program = entry.as_ref().map(|entry| &entry.loaded.program);
        let found = program.and_then(|program| {
            let mut schedules = program.schedules.iter();
            Some((program, schedules.find(|s| s.name == name.value)?))
        });
        let Some((program, schedule)) = found else {
            let message = format!("there is no schedule `{}`", name.value);
            return Err(Diagnostic::error("test-failed", name.range, message));
        };
        let id = schedule_id(workflow_type, &schedule.name);
        let defaults = StartDefaults::of_schedule(program, schedule);
        let defaults = defaults.map_err(|message| self.failed(message))?;
        let arguments = payloads(schedule.input.as_ref(), name.range)?;
        let workflow_id = schedule.workflow_id.as_deref().unwrap_or(&id);
        let start = start(workflow_type, workflow_id, arguments, defaults);
        let made = self.simulator.schedule(&id, &schedule.spec, start);
        self.schedule = Some(made.map_err(|error| self.failed(error.to_string()))?);
        Ok(schedule.input.clone().unwrap_or(Value::Null))
    }

    fn failed(&self, message: String) -> Diagnostic {
        Diagnostic::error("test-failed", self.case.range, message)
    }

    /// The last run that the schedule started is tested.
    fn look_at_newest(&mut self) {
        let started = self
            .schedule
            .map(|schedule| self.simulator.scheduled(schedule));
        if let Some((_, run)) = started.and_then(<[_]>::last) {
            let workflow_id = self.simulator.workflow_id(*run);
            if workflow_id != self.workflow_id {
                self.workflow_id = workflow_id.to_owned();
            }
        }
    }

    /// Whether what is due can still affect the test.
    fn is_needed(&self) -> bool {
        let simulator = &self.simulator;
        let is_running = |run: RunNumber| simulator.status(run) == Status::Running;
        // The newest run first: there may be thousands before it. Missing mocks are reported immediately.
        let newest = simulator.current(&self.workflow_id);
        !self.asked.lock().is_lacking()
            && (self.schedule.is_some()
                || newest.is_some_and(is_running)
                || simulator.runs().any(is_running))
    }

    /// When the last run of the workflow closed, or the present.
    fn end(&self) -> Timestamp {
        let run = self.simulator.current(&self.workflow_id);
        let closed = run.filter(|run| self.simulator.status(*run) != Status::Running);
        let event = closed.and_then(|run| self.simulator.history(run).last());
        let time = event.and_then(|event| event.event_time);
        time.map_or(self.simulator.now(), crate::payload::timestamp_from_proto)
    }

    fn problem(&mut self, range: Range, message: impl Into<String>) {
        self.problems
            .push(Diagnostic::error("test-failed", range, message));
    }

    fn step(&mut self) -> bool {
        if let Crash::Signalled(point) = self.crash
            && point.step == self.steps
        {
            self.send_signals(*point, self.subject);
        }
        self.steps += 1;
        let stepped = match self.other_order() {
            Next::One(index) => self.simulator.take(index),
            Next::Together => self.simulator.take_together(),
        };
        if stepped {
            self.look_at_newest();
            self.crash();
        }
        stepped
    }

    /// Which of the things that are due together is first; or whether all of them arrive with one workflow task.
    fn other_order(&mut self) -> Next {
        let Some(chooser) = &mut self.chooser else {
            return Next::One(0);
        };
        let due = self.simulator.due();
        if due.len() < 2 {
            return Next::One(0);
        }
        let index = chooser.choose(due.len() + 1);
        let words = |item: &DueItem| format!("{} of `{}`", item.what, item.subject_id);
        if index == due.len() {
            let all: Vec<String> = due.iter().map(words).collect();
            self.order
                .push(format!("with one workflow task: {}", all.join(", ")));
            return Next::Together;
        }
        if index > 0 {
            self.order
                .push(format!("{} before {}", words(&due[index]), due[0].what));
        }
        Next::One(index)
    }

    fn crash(&mut self) {
        let current = self.simulator.current(&self.workflow_id);
        if current != self.current {
            self.continued.push(self.steps);
            self.current = current;
        }
        let divergences = match self.crash {
            // One replay at the end covers everything.
            Crash::None | Crash::Reordered(_) | Crash::Signalled(_) => return,
            Crash::Restored => self.simulator.restore_all().err().into_iter().collect(),
            Crash::Replayed => {
                let diverged = self.simulator.replay_all().into_iter();
                diverged
                    .map(|(_, divergence)| divergence.to_string())
                    .collect::<Vec<_>>()
            }
        };
        for divergence in divergences {
            self.diverged(&divergence);
        }
    }

    fn diverged(&mut self, divergence: &str) {
        let message = format!("a worker that dies cannot be replaced: {divergence}");
        let problem = Diagnostic::error(BROKEN, self.case.range, message);
        self.problems.push(problem);
    }

    fn until(&mut self, at: Timestamp) {
        while self.simulator.next_due().is_some_and(|due| due <= at) && self.step() {}
        self.simulator.run_until(at);
    }

    /// False if its time is never reached.
    fn wait_for(&mut self, action: &Action) -> bool {
        match &action.when {
            When::Next => {}
            When::At(length) => {
                let at = self.case.start_time.checked_add(*length);
                let at = at.unwrap_or(self.simulator.now());
                // What is due at the same time may as well follow it.
                while self.simulator.next_due().is_some_and(|due| due < at) && self.step() {}
                let is_due = self.simulator.next_due() == Some(at);
                let chooser = self.chooser.as_mut().filter(|_| is_due);
                if chooser.is_some_and(|chooser| chooser.choose(2) == 1) {
                    self.simulator.advance(at);
                    self.order.push(format!(
                        "the action at {} before what is due then",
                        length.words()
                    ));
                    return true;
                }
                self.until(at);
                return true;
            }
            When::After(step) => {
                let mut steps = 0;
                while !self.has_begun(&step.value) && steps < STEPS_MAX && self.step() {
                    steps += 1;
                }
                if !self.has_begun(&step.value) {
                    let message = format!("the step `{}` never begins", step.value);
                    self.problem(step.range, message);
                    return false;
                }
            }
        }
        let now = self.simulator.now();
        self.until(now);
        true
    }

    fn has_begun(&self, step: &str) -> bool {
        let entries = self.timeline.entries();
        entries
            .iter()
            .any(|entry| entry.step == step || entry.place.ends_with(step))
    }

    fn act(&mut self, action: &'a Action) -> Result<(), Diagnostic> {
        let input = match &action.input {
            Some(input) => Some(input.value(&[])?),
            None => None,
        };
        let input = payloads(input.as_ref(), action.range)?;
        let started = self
            .schedule
            .map(|schedule| self.simulator.scheduled(schedule));
        if action.workflow_id.is_none() && started.is_some_and(<[_]>::is_empty) {
            let message = "the schedule has started nothing by then";
            return Err(Diagnostic::error("test-failed", action.range, message));
        }
        let workflow_id = action
            .workflow_id
            .as_ref()
            .map_or(self.workflow_id.clone(), |id| id.value.to_string());
        let workflow_id = workflow_id.as_str();
        let simulator = &mut self.simulator;
        let done = match &action.deed {
            Deed::Signal(name) => simulator.signal(workflow_id, &name.value, input),
            Deed::Cancel(reason) => simulator.cancel(workflow_id, &reason.value),
            Deed::Terminate(reason) => simulator.terminate(workflow_id, &reason.value),
            Deed::Query(name) => match simulator.query(workflow_id, &name.value, input) {
                Ok(answer) => {
                    let problem = super::expect::answer("query", name, action, &answer);
                    self.problems.extend(problem);
                    Ok(())
                }
                Err(refused) => Err(refused),
            },
            Deed::Update(name) => {
                let sent = simulator.update(workflow_id, &name.value, input, None);
                sent.map(|number| self.updates.push((number, action)))
            }
            Deed::CompleteActivity(id) => {
                let result = match (&action.fail, &action.result) {
                    (Some(fail), _) => Err(failure(fail, &[])?),
                    (None, Some(result)) => Ok(result.value(&[])?),
                    (None, None) => Ok(Value::Null),
                };
                simulator.complete_activity(workflow_id, &id.value, result)
            }
            Deed::WorkerDies(is_restored) => {
                let diverged = match is_restored {
                    true => simulator.restore_all().err(),
                    false => simulator.replay_all().first().map(|(_, d)| d.to_string()),
                };
                diverged.map_or(Ok(()), |problem| Err(Refused::Invalid(problem)))
            }
        };
        match done {
            Err(Refused::NotFound(id)) if self.is_elsewhere(&id, action) => Ok(()),
            Err(Refused::NoActivity { activity_ids, .. }) => {
                Err(no_activity(action, &activity_ids))
            }
            done => done.map_err(|refused| {
                Diagnostic::error("test-failed", action.range, refused.to_string())
                    .label("this could not be done")
            }),
        }
    }

    /// Whether it is one of the workflows that only exist to receive it.
    fn is_elsewhere(&self, id: &str, action: &Action) -> bool {
        let is_taken = matches!(action.deed, Deed::Signal(_) | Deed::Cancel(_));
        is_taken && self.case.workflows.iter().any(|name| *name.value == *id)
    }

    fn check_updates(&mut self) {
        for (number, action) in std::mem::take(&mut self.updates) {
            let Deed::Update(name) = &action.deed else {
                continue;
            };
            match self.simulator.update_stage(number) {
                UpdateStage::Completed(outcome) => {
                    let problem = super::expect::answer("update", name, action, outcome);
                    self.problems.extend(problem);
                }
                _ if action.expect.is_some() || action.expect_failure.is_some() => {
                    let message = format!("the update `{}` never completes", name.value);
                    self.problem(name.range, message);
                }
                _ => {}
            }
        }
    }
}

fn no_activity(action: &Action, under_way: &[String]) -> Diagnostic {
    let range = match &action.deed {
        Deed::CompleteActivity(id) => id.range,
        _ => action.range,
    };
    let message = "no activity with this id is running";
    let error = Diagnostic::error("test-failed", range, message);
    error.help(match under_way {
        [] => "write `never: true` to leave an activity open until it is completed".to_owned(),
        ids => format!("under way: `{}`", ids.join("`, `")),
    })
}
