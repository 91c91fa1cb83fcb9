//! Operations outside the run: steps start them, jobs resolve them, and they are cancelled with what waits for them.
//! Each phase is one match over their kinds, whose arms lead to the steps that start them.

use super::command::CommandKind;
use super::flag::SAGA_EFFECTS;
use super::invariant::WAITS;
use super::job::Resolution;
use super::machine::Machine;
use super::state::{Operation, OperationKind, Outcome, RoutineId, timer_length};
use super::steps::{abandoned, wrapped};
use crate::value::Duration;
use crate::words::StepId;

/// Why a child is cancelled, shown to its readers.
pub(crate) const CANCEL_REASON: &str = "the step that waits for it is cancelled";

/// A routine that waits for an operation that is cancelled.
#[derive(Clone, Copy)]
pub(crate) struct Waiter {
    pub(crate) id: RoutineId,
    /// The first of its frames that is cancelled.
    pub(crate) from: usize,
}

impl Machine<'_> {
    /// Registers an operation under its `seq`; waiters are added later.
    pub(crate) fn begin(&mut self, seq: u32, kind: OperationKind, step: Option<StepId>) {
        if let Some(pending) = self.run.pending.of(&kind) {
            *pending += 1;
        }
        self.run.operations.insert(
            seq,
            Operation {
                step,
                ..Operation::of(kind)
            },
        );
    }

    /// Starts a timer with a number of its own.
    pub(crate) fn begin_timer(
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

    pub(crate) fn wait_for(&mut self, id: RoutineId, seq: u32) {
        match self.run.operations.get_mut(&seq) {
            Some(operation) => operation.waiters.push(id),
            None => self
                .run
                .violated("an operation is registered before a routine waits for it"),
        }
    }

    pub(crate) fn timer_fired(&mut self, seq: u32) {
        // A timer that was withdrawn after it had fired has no waiter.
        let Some(operation) = self.run.operations.remove(&seq) else {
            return;
        };
        match operation.kind {
            OperationKind::Breather => self.run.breather = None,
            OperationKind::Deadline { routine, frame } => self.deadline_passed(routine, frame),
            OperationKind::LocalBackoff { activity } => self.schedule_local_again(activity),
            OperationKind::Timer => operation
                .waiters
                .into_iter()
                .for_each(|id| self.timer_fired_for(id)),
            OperationKind::Binding
            | OperationKind::Activity
            | OperationKind::Abandonable { .. }
            | OperationKind::LocalActivity(_)
            | OperationKind::Child { .. }
            | OperationKind::CancelRequest { .. }
            | OperationKind::SignalExternal
            | OperationKind::CancelExternal
            | OperationKind::Nexus => self
                .run
                .violated("a timer fires under the number of a timer"),
        }
    }

    /// An operation has ended: its waiters continue.
    pub(crate) fn resolved(&mut self, seq: u32, resolution: Resolution) {
        // The waiter of a cancelled operation may have continued before it ended.
        let Some(mut operation) = self.run.operations.remove(&seq) else {
            return;
        };
        if operation.resolution.is_some() {
            self.run.operations.insert(seq, operation);
            return;
        }
        let resolution = match &operation.kind {
            OperationKind::Activity | OperationKind::Abandonable { .. } => {
                self.checked(operation.step, resolution)
            }
            OperationKind::LocalActivity(activity) => {
                self.checked(operation.step, wrapped(activity, resolution))
            }
            OperationKind::Child { .. }
            | OperationKind::SignalExternal
            | OperationKind::CancelExternal
            | OperationKind::Nexus => resolution,
            OperationKind::Binding
            | OperationKind::Timer
            | OperationKind::Deadline { .. }
            | OperationKind::Breather
            | OperationKind::LocalBackoff { .. }
            | OperationKind::CancelRequest { .. } => {
                return self
                    .run
                    .violated("an operation is resolved under the number of one with a result");
            }
        };
        if let Some(pending) = self.run.pending.of(&operation.kind) {
            *pending = pending.saturating_sub(1);
            self.run.ready.append(&mut self.run.held);
        }
        self.run.cancelling.requested.remove(&seq);
        let waiters = std::mem::take(&mut operation.waiters);
        if operation.is_handle {
            operation.resolution = Some(resolution.clone());
            self.run.operations.insert(seq, operation);
        }
        if let Resolution::Unusable { result, .. } = &resolution {
            waiters
                .iter()
                .for_each(|id| self.undo_unusable_for(*id, result));
        }
        let outcome = outcome_of(resolution);
        waiters
            .into_iter()
            .for_each(|id| self.run.resume(id, outcome.clone()));
    }

    /// Cancels the operation that a routine waits for, together with what is inside the frames from `from` on.
    pub(crate) fn cancel_awaited(&mut self, id: RoutineId, seq: u32, from: usize) {
        if self.cut_off(id, from) {
            let waiter = Waiter { id, from };
            if self.run.started_ahead(seq) {
                self.cancel_at_next_step(waiter);
            }
            self.cancel_operation(seq, Some(waiter));
        }
    }

    /// The step at which it waits has already ended: the cancellation arrives at the next one.
    fn cancel_at_next_step(&mut self, waiter: Waiter) {
        if self.run.cancelling.is_cut_off(waiter.id) {
            return;
        }
        match self.run.routines.get_mut(&waiter.id) {
            Some(routine) => routine.cancel_later(waiter.from),
            None => self.run.violated(WAITS),
        }
    }

    /// Cancels an operation. A timer is removed immediately, and `waiter` continues; the others resolve by a job.
    pub(crate) fn cancel_operation(&mut self, seq: u32, waiter: Option<Waiter>) {
        // A started operation may have ended, and the timer of a wait may have fired.
        let operation = self.run.operations.get(&seq);
        let Some(operation) = operation.filter(|o| o.resolution.is_none()) else {
            return;
        };
        if self.is_too_late_for(seq, &operation.kind) {
            if let Some(waiter) = waiter {
                self.cancel_at_next_step(waiter);
            }
            return;
        }
        match &operation.kind {
            OperationKind::Activity => self.cancel_activity(seq),
            OperationKind::Abandonable {
                activity_type,
                activity_id,
            } => {
                let failure = abandoned(activity_type.clone(), activity_id.clone());
                self.abandon_activity(seq, failure);
            }
            OperationKind::LocalActivity(_) => self.cancel_local(seq),
            OperationKind::Child {
                workflow_id,
                run_id,
                cancellation_type,
                ..
            } => match run_id.is_some() || self.run.started_ahead(seq) {
                true => self.cancel_child(seq, workflow_id.clone(), *cancellation_type),
                false => self.command(CommandKind::CancelChild {
                    seq,
                    reason: CANCEL_REASON.into(),
                }),
            },
            OperationKind::Nexus => self.command(CommandKind::CancelNexus { seq }),
            OperationKind::Timer => self.cancel_timer(seq, waiter),
            OperationKind::SignalExternal | OperationKind::CancelExternal => {
                self.cancel_behind(waiter);
            }
            OperationKind::Binding
            | OperationKind::Deadline { .. }
            | OperationKind::Breather
            | OperationKind::LocalBackoff { .. }
            | OperationKind::CancelRequest { .. } => self
                .run
                .violated("a step waits for an operation that steps begin"),
        }
    }

    /// An operation that ends by itself is not cancelled; the cancellation arrives at the step after.
    fn cancel_behind(&mut self, waiter: Option<Waiter>) {
        let is_scoped = self.run.has(SAGA_EFFECTS);
        if let Some(Waiter { id, from }) = waiter {
            self.cancel_at_next_step(Waiter {
                id,
                from: if is_scoped { from } else { 0 },
            });
        }
    }

    /// Whether the operation can no longer be cancelled, since its end has already arrived. An operation that the
    /// engine itself ends can always be cancelled.
    fn is_too_late_for(&self, seq: u32, kind: &OperationKind) -> bool {
        match kind {
            OperationKind::Activity
            | OperationKind::LocalActivity(_)
            | OperationKind::Child { .. }
            | OperationKind::Nexus => self.run.ends_ahead(seq),
            OperationKind::Abandonable { .. }
            | OperationKind::Binding
            | OperationKind::Timer
            | OperationKind::Deadline { .. }
            | OperationKind::Breather
            | OperationKind::LocalBackoff { .. }
            | OperationKind::CancelRequest { .. }
            | OperationKind::SignalExternal
            | OperationKind::CancelExternal => false,
        }
    }
}

fn outcome_of(resolution: Resolution) -> Outcome {
    match resolution {
        Resolution::Completed(value) => Outcome::Value(value),
        Resolution::Failed(failure)
        | Resolution::Cancelled(failure)
        | Resolution::Unusable { failure, .. } => Outcome::Failed(failure),
    }
}
