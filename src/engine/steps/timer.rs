//! `timer`: a duration, or a time of day.

use super::{At, Flow};
use crate::engine::command::CommandKind;
use crate::engine::failure::Failure;
use crate::engine::invariant::WAITS;
use crate::engine::machine::Machine;
use crate::engine::operations::Waiter;
use crate::engine::state::{OperationKind, Outcome, RoutineId, Waiting};
use crate::expression::Code;
use crate::program::DurationCode;
use crate::value::{Duration, Value};
use crate::words::StepId;

impl Machine<'_> {
    pub(crate) fn begin_timer_for(
        &mut self,
        at: &mut At<'_>,
        duration: &DurationCode,
    ) -> Result<Flow, Failure> {
        let duration = self.duration(at.routine, duration)?;
        Ok(self.enter_timer(at, duration))
    }

    pub(crate) fn begin_timer_until(
        &mut self,
        at: &mut At<'_>,
        until: &Code,
    ) -> Result<Flow, Failure> {
        let until = self.timestamp(at.routine, until)?;
        let duration = until.since(self.clock.now).unwrap_or_default();
        Ok(self.enter_timer(at, duration))
    }

    fn enter_timer(&mut self, at: &mut At<'_>, duration: Duration) -> Flow {
        if duration <= Duration::ZERO {
            return Flow::Next(Value::Null);
        }
        let seq = self.start_timer(at.id, duration, Some(at.step));
        self.summarise(at.routine, at.step);
        at.routine.waiting = Some(Waiting::Operation { seq });
        Flow::Entered
    }

    pub(crate) fn start_timer(
        &mut self,
        id: RoutineId,
        length: Duration,
        step: Option<StepId>,
    ) -> u32 {
        let seq = self.begin_timer(OperationKind::Timer, length, step);
        self.wait_for(id, seq);
        seq
    }

    /// A timer is what a step waits for, or the limit of its wait.
    pub(crate) fn timer_fired_for(&mut self, id: RoutineId) {
        let Some(routine) = self.run.routines.get_mut(&id) else {
            return self.run.violated(WAITS);
        };
        match &mut routine.waiting {
            Some(Waiting::Signal { timed_out, .. } | Waiting::Condition { timed_out, .. }) => {
                *timed_out = true;
            }
            Some(Waiting::Operation { .. }) => self.run.resume(id, Outcome::Value(Value::Null)),
            Some(Waiting::ChildStart { .. } | Waiting::Branches) | None => self
                .run
                .violated("a routine waits until its timer fires or is withdrawn"),
        }
    }

    /// A timer is removed immediately, so its waiter continues.
    pub(crate) fn cancel_timer(&mut self, seq: u32, waiter: Option<Waiter>) {
        self.withdraw_timer(seq);
        if let Some(waiter) = waiter {
            self.run
                .resume(waiter.id, Outcome::Failed(Failure::cancelled("cancelled")));
        }
    }

    /// Withdraws a timer; if it has already fired, no routine is resumed by it.
    pub(crate) fn withdraw_timer(&mut self, seq: u32) {
        let is_fired = self.run.ends_ahead(seq);
        self.run.operations.remove(&seq);
        if !is_fired {
            self.command(CommandKind::CancelTimer { seq });
        }
    }
}
