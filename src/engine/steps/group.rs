//! `do`: steps as one, with a `timeout` or shielded from cancellation.

use super::{At, Flow, enter};
use crate::engine::failure::Failure;
use crate::engine::machine::Machine;
use crate::engine::state::{Frame, OperationKind, Outcome, Routine, RoutineId};
use crate::program::DurationCode;
use crate::words::{BlockId, StepId, TimeoutType};

/// The time limit of what runs inside: a [`Frame::Deadline`].
pub(crate) struct Deadline {
    pub(crate) step: StepId,
    pub(crate) timer: u32,
    pub(crate) expired: bool,
}

impl Machine<'_> {
    pub(crate) fn begin_do(
        &mut self,
        at: &mut At<'_>,
        body: BlockId,
        timeout: Option<&DurationCode>,
        shield: bool,
    ) -> Result<Flow, Failure> {
        if shield {
            at.routine.frames.push(Frame::Shield {
                cancel_pending: false,
            });
        }
        if let Some(timeout) = timeout {
            let duration = match self.duration(at.routine, timeout) {
                Ok(duration) => duration,
                Err(failure) => {
                    at.routine
                        .frames
                        .truncate(at.routine.frames.len() - usize::from(shield));
                    return Err(failure);
                }
            };
            let frame = at.routine.frames.len() as u32;
            let kind = OperationKind::Deadline {
                routine: at.id,
                frame,
            };
            let timer = self.begin_timer(kind, duration, Some(at.step));
            self.summarise(at.routine, at.step);
            at.routine.frames.push(Frame::Deadline {
                step: at.step,
                timer,
                expired: false,
            });
        }
        Ok(enter(at.routine, body))
    }

    pub(crate) fn leave_deadline(
        &mut self,
        routine: &mut Routine,
        deadline: &Deadline,
        outcome: Outcome,
    ) -> Outcome {
        let inside = routine.frames.len();
        let has_missed = routine
            .cancel_pending
            .is_some_and(|from| from as usize > inside);
        if has_missed {
            routine.cancel_pending = None;
        }
        if !deadline.expired {
            self.withdraw_timer(deadline.timer);
            return outcome;
        }
        let message = format!(
            "the deadline of the block at {} passed",
            self.program.location(deadline.step)
        );
        let mut timeout = Failure::timeout(message, TimeoutType::StartToClose);
        match outcome {
            Outcome::Failed(failure) if failure.is_cancelled() => {
                timeout.cause = failure.cause;
                Outcome::Failed(timeout)
            }
            Outcome::Value(value)
                if has_missed && self.undo_late(routine, deadline.step, value.clone()) =>
            {
                Outcome::Failed(timeout)
            }
            outcome @ (Outcome::Value(_)
            | Outcome::Failed(_)
            | Outcome::Return(_)
            | Outcome::Break
            | Outcome::Continue
            | Outcome::ContinueAsNew(_)) => outcome,
        }
    }

    /// The deadline's timer fired: what runs inside the frame is cancelled.
    pub(crate) fn deadline_passed(&mut self, id: RoutineId, frame: u32) {
        let routine = self.run.routines.get_mut(&id);
        let frame = frame as usize;
        let Some(Frame::Deadline { expired, .. }) = routine.and_then(|r| r.frames.get_mut(frame))
        else {
            return self.run.violated("a deadline is withdrawn with its frame");
        };
        *expired = true;
        self.request_cancel(id, frame + 1);
    }
}

/// A cancellation that was requested meanwhile arrives when the shield ends.
pub(crate) fn leave_shield(
    routine: &mut Routine,
    cancel_pending: bool,
    outcome: Outcome,
) -> Outcome {
    match (cancel_pending, outcome) {
        (false, outcome) => outcome,
        (true, Outcome::Value(_)) => Outcome::Failed(Failure::cancelled("cancelled")),
        (true, outcome) => {
            routine.cancel_later(0);
            outcome
        }
    }
}
