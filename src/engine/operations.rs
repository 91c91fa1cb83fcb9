//! Operations outside the run: they are begun by steps, resolved by jobs and cancelled with what waits for them.

use super::command::CommandKind;
use super::failure::Failure;
use super::job::{Job, Resolution};
use super::machine::Machine;
use super::state::{Frame, Operation, OperationKind, Outcome, RoutineId, Waiting, timer_length};
use crate::program::StepId;
use crate::value::{Duration, Map, Value};

impl Machine<'_> {
    /// Registers an operation under its `seq`; whoever waits comes later.
    pub fn begin(&mut self, seq: u32, kind: OperationKind, step: Option<StepId>) {
        self.run.operations.insert(
            seq,
            Operation {
                step,
                ..Operation::of(kind)
            },
        );
    }

    /// A timer under a number of its own.
    pub fn begin_timer(
        &mut self,
        kind: OperationKind,
        length: Duration,
        step: Option<StepId>,
    ) -> u32 {
        let (seq, duration) = (self.run.take_seq(), timer_length(length));
        let fires_at = self.clock.now.checked_add(duration);
        self.run.operations.insert(
            seq,
            Operation {
                step,
                fires_at,
                ..Operation::of(kind)
            },
        );
        self.command(CommandKind::StartTimer { seq, duration });
        seq
    }

    pub fn start_timer(&mut self, id: RoutineId, length: Duration, step: Option<StepId>) -> u32 {
        let seq = self.begin_timer(OperationKind::Timer, length, step);
        self.wait_for(id, seq);
        seq
    }

    pub fn wait_for(&mut self, id: RoutineId, seq: u32) {
        if let Some(operation) = self.run.operations.get_mut(&seq) {
            operation.waiters.push(id);
        }
    }

    /// Stops driving until the next workflow task, which a timer brings.
    pub fn take_breath(&mut self) {
        let length = Duration::from_millis(1);
        self.run.breather = Some(self.begin_timer(OperationKind::Breather, length, None));
    }

    /// Applies a job that resolves an operation. A `seq` that nobody knows any more is of something cancelled.
    pub fn resolve(&mut self, job: Job) {
        match job {
            Job::FireTimer { seq } => self.timer_fired(seq),
            Job::ResolveActivity { seq, resolution }
            | Job::ResolveChild { seq, resolution }
            | Job::ResolveNexus { seq, resolution } => self.resolved(seq, resolution),
            Job::BackOffActivity {
                seq,
                attempt,
                backoff,
                original_schedule_time,
            } => {
                let again = self.run.operations.get_mut(&seq).map(|o| &mut o.kind);
                if let Some(OperationKind::LocalActivity(activity)) = again {
                    activity.attempt = attempt;
                    activity.original_schedule_time = original_schedule_time;
                    self.begin_timer(OperationKind::LocalBackoff { activity: seq }, backoff, None);
                }
            }
            Job::ChildStarted { seq, run_id } => self.child_started(seq, run_id),
            Job::ChildNotStarted { seq, failure } | Job::NexusNotStarted { seq, failure } => {
                let resolution = match failure.is_cancelled() {
                    true => Resolution::Cancelled(failure),
                    false => Resolution::Failed(failure),
                };
                self.resolved(seq, resolution);
            }
            Job::ResolveSignalExternal { seq, failure }
            | Job::ResolveCancelExternal { seq, failure } => {
                self.resolved(
                    seq,
                    failure.map_or(Resolution::Completed(Value::Null), Resolution::Failed),
                );
            }
            _ => {}
        }
    }

    fn timer_fired(&mut self, seq: u32) {
        let Some(operation) = self.run.operations.remove(&seq) else {
            return;
        };
        match operation.kind {
            OperationKind::Breather => self.run.breather = None,
            OperationKind::Deadline { routine, frame } => self.deadline_passed(routine, frame),
            OperationKind::LocalBackoff { activity } => self.schedule_local_again(activity),
            _ => operation
                .waiters
                .into_iter()
                .for_each(|id| self.timer_fired_for(id)),
        }
    }

    /// A timer is all that a step waits for, or the bound of its wait.
    fn timer_fired_for(&mut self, id: RoutineId) {
        let Some(routine) = self.run.routines.get_mut(&id) else {
            return;
        };
        match &mut routine.waiting {
            Some(Waiting::Signal { timed_out, .. } | Waiting::Condition { timed_out, .. }) => {
                *timed_out = true;
            }
            Some(Waiting::Operation { .. }) => self.run.resume(id, Outcome::Value(Value::Null)),
            _ => {}
        }
    }

    /// The same command under a new number: core has done with the old one.
    fn schedule_local_again(&mut self, seq: u32) {
        let Some(mut operation) = self.run.operations.remove(&seq) else {
            return;
        };
        let new = self.run.take_seq();
        if let OperationKind::LocalActivity(activity) = &mut operation.kind {
            activity.seq = new;
            let again = activity.clone();
            self.command(CommandKind::ScheduleLocalActivity(again));
        }
        for id in &operation.waiters {
            if let Some(routine) = self.run.routines.get_mut(id) {
                routine.waiting = Some(Waiting::Operation { seq: new });
            }
        }
        for routine in self.run.routines.values_mut() {
            routine
                .handles
                .iter_mut()
                .filter(|(_, s)| *s == seq)
                .for_each(|(_, s)| *s = new);
        }
        self.run.operations.insert(new, operation);
    }

    fn child_started(&mut self, seq: u32, started: String) {
        let Some(operation) = self.run.operations.get_mut(&seq) else {
            return;
        };
        let OperationKind::Child {
            workflow_id,
            run_id,
        } = &mut operation.kind
        else {
            return;
        };
        *run_id = Some(started.clone());
        let handle = Map::from_iter([
            ("workflow_id", workflow_id.as_str()),
            ("run_id", started.as_str()),
        ]);
        for id in operation.waiters.clone() {
            let waits = self.run.routines.get(&id).and_then(|r| r.waiting.as_ref());
            if waits == Some(&Waiting::ChildStart { seq }) {
                self.run
                    .operations
                    .get_mut(&seq)
                    .into_iter()
                    .for_each(|o| o.waiters.retain(|w| *w != id));
                self.run
                    .resume(id, Outcome::Value(Value::map(handle.clone())));
            }
        }
    }

    fn resolved(&mut self, seq: u32, resolution: Resolution) {
        let Some(operation) = self.run.operations.get_mut(&seq) else {
            return;
        };
        let resolution = match (operation.step, resolution) {
            (Some(step), Resolution::Completed(value)) => self.checked_result(step, value),
            (_, resolution) => resolution,
        };
        let Some(operation) = self.run.operations.get_mut(&seq) else {
            return;
        };
        let waiters = std::mem::take(&mut operation.waiters);
        operation.resolution = Some(resolution.clone());
        if !operation.is_handle {
            self.run.operations.remove(&seq);
        }
        let outcome = outcome_of(resolution);
        waiters
            .into_iter()
            .for_each(|id| self.run.resume(id, outcome.clone()));
    }

    /// Asks a routine to stop: what it waits for, inside the frames from `from` on, is cancelled.
    pub fn request_cancel(&mut self, id: RoutineId, from: usize) {
        let Some(routine) = self.run.routines.get_mut(&id) else {
            return;
        };
        for frame in routine.frames.iter_mut().skip(from) {
            match frame {
                Frame::Shield { cancel_pending } => {
                    *cancel_pending = true;
                    return;
                }
                // What undoes is not undone; the run fails anyway.
                Frame::Saga { saga, .. }
                | Frame::Function {
                    saga: Some(saga), ..
                } if saga.compensating.is_some() => {
                    return;
                }
                _ => {}
            }
        }
        match routine.waiting.clone() {
            None => routine.cancel_later(from),
            Some(Waiting::Branches) => self.cancel_branches(id),
            Some(Waiting::Operation { seq } | Waiting::ChildStart { seq }) => {
                self.cancel_operation(seq, Some(id));
            }
            Some(Waiting::Signal { timer, .. } | Waiting::Condition { timer, .. }) => {
                timer
                    .into_iter()
                    .for_each(|seq| self.cancel_operation(seq, None));
                self.run
                    .resume(id, Outcome::Failed(Failure::cancelled("cancelled")));
            }
        }
    }

    /// Cancels an operation. A timer is gone at once, so that `waiter` goes on at once; the others resolve by a job.
    pub fn cancel_operation(&mut self, seq: u32, waiter: Option<RoutineId>) {
        let Some(operation) = self.run.operations.get(&seq) else {
            return;
        };
        if operation.resolution.is_some() {
            return;
        }
        let command = match &operation.kind {
            OperationKind::Activity => CommandKind::RequestCancelActivity { seq },
            OperationKind::LocalActivity(_) => return self.cancel_local(seq),
            OperationKind::Child { .. } => CommandKind::CancelChild {
                seq,
                reason: "the step that waits for it is cancelled".into(),
            },
            OperationKind::Nexus => CommandKind::CancelNexus { seq },
            OperationKind::Timer => {
                self.run.operations.remove(&seq);
                self.command(CommandKind::CancelTimer { seq });
                if let Some(id) = waiter {
                    self.run
                        .resume(id, Outcome::Failed(Failure::cancelled("cancelled")));
                }
                return;
            }
            // These come to an end by themselves; the cancellation arrives at the step after.
            _ => {
                let routine = waiter.and_then(|id| self.run.routines.get_mut(&id));
                routine.into_iter().for_each(|r| r.cancel_later(0));
                return;
            }
        };
        self.command(command);
    }

    /// During a long backoff there is nothing to cancel but its timer.
    fn cancel_local(&mut self, seq: u32) {
        let backoff = self
            .run
            .operations
            .iter()
            .find_map(|(timer, o)| match o.kind {
                OperationKind::LocalBackoff { activity } if activity == seq => Some(*timer),
                _ => None,
            });
        let Some(timer) = backoff else {
            return self.command(CommandKind::RequestCancelLocalActivity { seq });
        };
        self.run.operations.remove(&timer);
        self.command(CommandKind::CancelTimer { seq: timer });
        self.resolved(seq, Resolution::Cancelled(Failure::cancelled("cancelled")));
    }
}

pub fn outcome_of(resolution: Resolution) -> Outcome {
    match resolution {
        Resolution::Completed(value) => Outcome::Value(value),
        Resolution::Failed(failure) | Resolution::Cancelled(failure) => Outcome::Failed(failure),
    }
}
