//! The order in which jobs reach a run: one at a time, in the order of history, each followed by everything that it
//! causes. So what happened first decides, whatever else arrived with the same workflow task.

use super::command::CommandKind;
use super::failure::Failure;
use super::flag::ORDER_OF_HISTORY;
use super::job::Job;
use super::machine::Machine;
use super::observe::Event;
use super::state::{Phase, RoutineId, RoutineKind, Run};
use super::steps::answered;
use crate::faults::Fault;
use crate::program;
use crate::value::quoted;
use crate::words::LogLevel;

impl Run {
    /// Whether jobs wait for each other; a run that began with an older engine applies all of them first.
    pub(crate) fn keeps_order(&self) -> bool {
        self.has(ORDER_OF_HISTORY) && !Fault::StepsBeforeHandlers.is_on()
    }

    pub(crate) fn main(&self) -> Option<RoutineId> {
        let mut routines = self.routines.iter();
        let main = routines.find(|(_, routine)| routine.kind == RoutineKind::Main);
        main.map(|(id, _)| *id)
    }

    /// Whether the main steps have not begun. In a carried run they have.
    pub(crate) fn is_to_begin(&self) -> bool {
        let main = self.main().filter(|id| !self.ready.contains(id));
        let main = main.and_then(|id| self.routines.get(&id));
        main.is_some_and(|main| main.waiting.is_none())
    }

    /// Whether the end of an operation has arrived, though the run has not processed it yet: there is nothing left to
    /// cancel.
    pub(crate) fn ends_ahead(&self, wanted: u32) -> bool {
        self.inbox.iter().any(|job| match job {
            Job::FireTimer { seq }
            | Job::ResolveActivity { seq, .. }
            | Job::ChildNotStarted { seq, .. }
            | Job::ResolveChild { seq, .. }
            | Job::NexusNotStarted { seq, .. }
            | Job::ResolveNexus { seq, .. } => *seq == wanted,
            Job::Initialize(_)
            | Job::BackOffActivity { .. }
            | Job::ChildStarted { .. }
            | Job::ResolveSignalExternal { .. }
            | Job::ResolveCancelExternal { .. }
            | Job::NexusStarted { .. }
            | Job::Signal { .. }
            | Job::Update(_)
            | Job::Query { .. }
            | Job::Cancel { .. }
            | Job::UpdateRandomSeed(_)
            | Job::HasPatch(_)
            | Job::Begin
            | Job::Accepted(_) => false,
        })
    }

    /// Whether the start of a child has arrived, though the run has not processed it yet.
    pub(crate) fn started_ahead(&self, wanted: u32) -> bool {
        let is_start = |job: &Job| matches!(job, Job::ChildStarted { seq, .. } if *seq == wanted);
        self.inbox.iter().any(is_start)
    }
}

impl Machine<'_> {
    /// Keeps a job until the run has processed those before it. The pacing timer, which lets a run with too much work
    /// continue, applies immediately.
    pub(crate) fn receive(&mut self, job: Job) {
        if let Job::FireTimer { seq } = job
            && self.run.breather == Some(seq)
        {
            self.timer_fired(seq);
        } else {
            self.run.inbox.push_back(job);
        }
    }

    /// Drives the run as far as possible, unless it has ended.
    pub(crate) fn go(&mut self) {
        if self.run.phase != Phase::Running {
            return;
        }
        if !self.run.keeps_order() {
            if !self.carry_over() {
                self.drive();
                self.carry_over();
            }
            self.close();
            return;
        }
        self.go_in_order();
        while self.close() {
            self.go_in_order();
        }
    }

    fn go_in_order(&mut self) {
        if self.is_to_move() && !self.run.ready.is_empty() && self.run.breather.is_none() {
            // A run that never waits would keep what has arrived for ever, and could not be carried: it is applied
            // before the run is carried.
            for job in std::mem::take(&mut self.run.inbox) {
                self.apply(job);
            }
        }
        loop {
            // Between the end of one step and the start of the next there may be nothing in flight.
            if self.carry_over() {
                return;
            }
            self.drive();
            if self.run.breather.is_some() {
                return self.answer_updates();
            }
            match self.run.inbox.pop_front() {
                Some(job) => self.apply(job),
                None => break,
            }
        }
        self.carry_over();
    }

    /// An update is accepted or rejected by the workflow task that delivers it, even if its handler must wait for the
    /// next one.
    fn answer_updates(&mut self) {
        for job in std::mem::take(&mut self.run.inbox) {
            if let Job::Update(update) = job {
                if self.answer(&update) {
                    self.run.inbox.push_back(Job::Accepted(update));
                }
            } else {
                self.run.inbox.push_back(job);
            }
        }
    }

    /// Applies a job to the run, by its kind.
    pub(crate) fn apply(&mut self, job: Job) {
        match job {
            // Compensations may wait for signals; no further handlers start.
            Job::Signal { name, .. } if self.is_failing() && self.is_handled(&name) => {
                let name = quoted(&name);
                let message = format!("the signal `{name}` is dropped: the run is failing");
                self.observe(Event::SignalsSettled { count: 1 });
                self.log(LogLevel::Warn, message);
            }
            Job::Signal { name, input } => self.signalled(name, input),
            Job::Update(update) if self.is_failing() => {
                self.command(CommandKind::RejectUpdate {
                    protocol_instance_id: update.protocol_instance_id,
                    failure: is_failing(),
                });
            }
            Job::Update(update) => self.updated(update),
            Job::Accepted(update) if self.is_failing() => {
                let result = Err(is_failing());
                self.command(CommandKind::CompleteUpdate {
                    protocol_instance_id: update.protocol_instance_id,
                    result,
                });
            }
            Job::Accepted(update) => self.begin_update(update),
            Job::Begin => {
                let main = self.run.main();
                self.run.ready.extend(main);
            }
            Job::Cancel { .. } => {
                self.run.cancel_requested = true;
                match self.run.main() {
                    Some(id) => self.request_cancel(id, 0),
                    None => self.cancel_end(),
                }
            }
            Job::FireTimer { seq } => self.timer_fired(seq),
            Job::ResolveActivity { seq, resolution } => {
                self.release_held();
                self.resolved(seq, resolution);
            }
            Job::BackOffActivity {
                seq,
                attempt,
                backoff,
                original_schedule_time,
            } => {
                self.release_held();
                self.back_off_local(seq, attempt, backoff, original_schedule_time);
            }
            Job::ChildStarted { seq, run_id } => self.child_started(seq, run_id),
            Job::ChildNotStarted { seq, failure } | Job::NexusNotStarted { seq, failure } => {
                self.not_started(seq, failure);
            }
            Job::ResolveChild { seq, resolution } | Job::ResolveNexus { seq, resolution } => {
                self.resolved(seq, resolution);
            }
            Job::ResolveSignalExternal { seq, failure } => self.resolved(seq, answered(failure)),
            Job::ResolveCancelExternal { seq, failure } => {
                self.cancel_external_resolved(seq, failure);
            }
            // A step waits only for the operation's end.
            Job::NexusStarted { .. } => {}
            Job::Initialize(_)
            | Job::Query { .. }
            | Job::UpdateRandomSeed(_)
            | Job::HasPatch(_) => self
                .run
                .violated("jobs for the instance do not reach its run"),
        }
    }

    fn is_handled(&self, name: &str) -> bool {
        program::handler(&self.program.signals, name).is_some()
    }
}

fn is_failing() -> Failure {
    Failure::application(
        "RunIsFailing",
        "the run is failing; it handles no more messages",
    )
}
