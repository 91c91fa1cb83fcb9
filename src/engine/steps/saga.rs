//! `saga` and `compensate`: steps with `compensate` register with their saga when they end. One that is cut off while
//! it is in flight is waited for, and undone if it completed anyway.

use std::collections::{BTreeMap, BTreeSet};

use super::parallel::PARENT;
use super::{At, Flow, enter, is_to_cancel};
use crate::engine::failure::Failure;
use crate::engine::flag::{SAGA_EFFECTS, UNUSABLE_RESULTS};
use crate::engine::invariant::WAITS;
use crate::engine::machine::Machine;
use crate::engine::state::{
    Compensating, Compensation, Frame, Outcome, Routine, RoutineId, RoutineKind, Run, Saga, Waiting,
};
use crate::faults::Fault;
use crate::program::{Action, Step};
use crate::value::Value;
use crate::words::{BlockId, CompensateOn, LogLevel, OnCompensationFailure, StepId};

/// Cancellations in progress. A run does not continue as new by itself while there is one, so this is not carried.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Cancelling {
    /// Operations whose cancellation was requested: core refuses a second request for an activity.
    pub(crate) requested: BTreeSet<u32>,
    /// Routines that wait for an operation that was cut off, with the first frame that is cancelled.
    cut_off: BTreeMap<RoutineId, u32>,
}

impl Cancelling {
    pub(crate) fn is_cut_off(&self, id: RoutineId) -> bool {
        self.cut_off.contains_key(&id)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.cut_off.is_empty()
    }
}

impl Run {
    fn keeps_effects(&self) -> bool {
        self.has(SAGA_EFFECTS) && !Fault::EffectLeft.is_on()
    }
}

pub(crate) fn begin_saga(at: &mut At<'_>, body: BlockId) -> Flow {
    at.routine.frames.push(Frame::Saga {
        step: at.step,
        saga: Saga::default(),
    });
    enter(at.routine, body)
}

impl Machine<'_> {
    pub(crate) fn leave_saga_step(
        &mut self,
        routine: &mut Routine,
        step: StepId,
        saga: Saga,
        outcome: Outcome,
    ) -> Option<Outcome> {
        let Action::Saga {
            on_compensation_failure,
            ..
        } = &self.program.step(step).action
        else {
            self.run.violated("the frame of a `saga` is of such a step");
            return Some(outcome);
        };
        let on_failure = *on_compensation_failure;
        let frame = |saga| Frame::Saga { step, saga };
        self.leave_saga(routine, saga, on_failure, outcome, frame)
    }

    /// Ends or continues a saga's compensations; `frame` puts it back.
    pub(crate) fn leave_saga(
        &mut self,
        routine: &mut Routine,
        mut saga: Saga,
        on_failure: OnCompensationFailure,
        outcome: Outcome,
        frame: impl FnOnce(Saga) -> Frame,
    ) -> Option<Outcome> {
        let compensating = match (saga.compensating.take(), outcome) {
            (None, Outcome::Failed(failure)) => Box::new(Compensating {
                failure,
                locals: routine.locals.clone(),
            }),
            (None, outcome) => {
                self.keep_left(routine, frame(saga), &outcome);
                return Some(outcome);
            }
            (Some(compensating), Outcome::Failed(failure)) => {
                if on_failure == OnCompensationFailure::Fail {
                    routine.locals = compensating.locals;
                    return Some(Outcome::Failed(failure));
                }
                self.log(
                    LogLevel::Error,
                    format!("a compensation failed: {}", failure.message),
                );
                compensating
            }
            (Some(compensating), _) => compensating,
        };
        let Some(next) = saga.compensations.pop() else {
            routine.locals = compensating.locals;
            return Some(Outcome::Failed(compensating.failure));
        };
        routine.locals = next.locals;
        saga.compensating = Some(compensating);
        routine.frames.push(frame(saga));
        routine.frames.push(Frame::block(next.block));
        None
    }

    /// Whether a step with `compensate` is in progress in the routine, or around it in another.
    pub(crate) fn is_undone(&self, routine: &Routine) -> bool {
        if !self.run.keeps_effects() {
            return false;
        }
        let mut routine = routine;
        loop {
            if self.undone_steps(routine).next().is_some() {
                return true;
            }
            let RoutineKind::Branch { parent, .. } = routine.kind else {
                return false;
            };
            match self.run.routines.get(&parent) {
                Some(parent) => routine = parent,
                None => {
                    self.run.violated(PARENT);
                    return false;
                }
            }
        }
    }

    /// The steps with `compensate` that the routine is in, each with the index of its block's frame.
    fn undone_steps(&self, routine: &Routine) -> impl Iterator<Item = (usize, &Step)> {
        let frames = routine.frames.iter().enumerate();
        let steps = frames.filter_map(|(index, frame)| {
            let step = frame.step(self.program)?;
            Some((index, self.program.step(step)))
        });
        steps.filter(|(_, step)| step.compensate.is_some())
    }

    /// Records that the operation that the routine waits for is cancelled with what is inside the frames from `from`
    /// on. False if it already was.
    pub(crate) fn cut_off(&mut self, id: RoutineId, from: usize) -> bool {
        let Some(routine) = self.run.routines.get(&id) else {
            self.run.violated("a routine that is cancelled exists");
            return true;
        };
        let waits = matches!(
            routine.waiting,
            Some(Waiting::Operation { .. } | Waiting::ChildStart { .. })
        );
        if !waits || !self.is_undone(routine) {
            return true;
        }
        let from = from as u32;
        let Some(before) = self.run.cancelling.cut_off.insert(id, from) else {
            return true;
        };
        // The first one arrives at its own frames; a wider one, after them.
        self.run.cancelling.cut_off.insert(id, before);
        if from < before
            && let Some(routine) = self.run.routines.get_mut(&id)
        {
            routine.cancel_later(from as usize);
        }
        false
    }

    /// Passes what a routine waited for to its frames. If it was cut off but completed anyway, the cancellation arrives
    /// after it.
    pub(crate) fn resume_with(
        &mut self,
        id: RoutineId,
        routine: &mut Routine,
        outcome: Outcome,
    ) -> Option<Outcome> {
        let cut_off = self.run.cancelling.cut_off.remove(&id);
        let (Some(from), Outcome::Value(value)) = (cut_off, &outcome) else {
            return self.deliver(id, routine, outcome, true);
        };
        let is_around = self.may_complete_around(routine, from as usize);
        self.complete_step(id, routine, value.clone());
        if is_around {
            routine.cancel_later(from as usize);
            return None;
        }
        // The step is done; its block is cancelled.
        routine.frames.pop();
        let cancelled = Outcome::Failed(Failure::cancelled("cancelled"));
        self.deliver(id, routine, cancelled, true)
    }

    /// Whether a step with `compensate` around the one that was cut off is cut off with it: it may still complete, as
    /// long as nothing in it waits.
    fn may_complete_around(&self, routine: &Routine, from: usize) -> bool {
        let own = routine.frames.len() - 1;
        let deadline = routine.frames.get(from.wrapping_sub(1));
        let has_deadline = match deadline {
            Some(Frame::Deadline { step, .. }) => self.program.step(*step).compensate.is_some(),
            _ => false,
        };
        let mut inside = self.undone_steps(routine).map(|(index, _)| index);
        has_deadline || inside.any(|index| index >= from && index < own)
    }

    /// Whether a pending cancellation arrives at the end of the step that has just completed, because something in it
    /// was cut off.
    pub(crate) fn is_cut_off_at_end_of(&self, routine: &Routine, step: &Step) -> bool {
        let inside = routine.frames.len() as u32 - 1;
        step.compensate.is_some()
            && step.action.has_blocks()
            && self.run.keeps_effects()
            && is_to_cancel(routine)
            && routine.cancel_pending.is_some_and(|from| from <= inside)
    }

    /// A block has completed although its deadline has passed. If it has a `compensate`, it counts as timed out, and is
    /// undone.
    pub(crate) fn undo_late(&mut self, routine: &mut Routine, step: StepId, result: Value) -> bool {
        let step = self.program.step(step);
        let is_undone = step.compensate.is_some() && self.run.keeps_effects();
        // The other kind is registered as the step fails.
        if is_undone && step.compensate_on == CompensateOn::Completed {
            self.register_compensation(routine, step, result);
        }
        is_undone
    }

    /// A step that has begun has failed: its effects are undone if its `compensate_on` requires it.
    pub(crate) fn undo_begun(&mut self, routine: &mut Routine, step: &Step) {
        if step.compensate_on == CompensateOn::Started {
            self.register_compensation(routine, step, Value::Null);
        }
    }

    /// The step at which a routine waits has completed, but its result cannot be used.
    pub(crate) fn undo_unusable_for(&mut self, id: RoutineId, result: &Value) {
        let Some(mut routine) = self.run.routines.remove(&id) else {
            return self.run.violated(WAITS);
        };
        self.undo_unusable(&mut routine, result);
        self.run.routines.insert(id, routine);
    }

    pub(crate) fn undo_unusable(&mut self, routine: &mut Routine, result: &Value) {
        let Some(step) = self.next_step(routine) else {
            return self.run.violated("a routine waits at a step");
        };
        let step = self.program.step(step);
        // The other kind is registered as the step fails.
        if self.run.has(UNUSABLE_RESULTS) && step.compensate_on == CompensateOn::Completed {
            self.register_compensation(routine, step, result.clone());
        }
    }

    /// The nearest saga around a step keeps its `compensate`, even if the saga is in a routine further out.
    pub(crate) fn register_compensation(
        &mut self,
        routine: &mut Routine,
        step: &Step,
        result: Value,
    ) {
        let Some(block) = step.compensate else {
            return;
        };
        let mut locals = routine.locals.clone();
        if let Some(slot) = step.slot {
            locals[slot as usize] = Some(result);
        }
        let compensation = Compensation { block, locals };
        if let Some(saga) = nearest_saga(&mut routine.frames) {
            return saga.compensations.push(compensation);
        }
        let mut kind = routine.kind.clone();
        while let RoutineKind::Branch { parent, .. } = kind {
            let Some(outer) = self.run.routines.get_mut(&parent) else {
                return self.run.violated(PARENT);
            };
            if let Some(saga) = nearest_saga(&mut outer.frames) {
                return saga.compensations.push(compensation);
            }
            kind = outer.kind.clone();
        }
    }
}

fn nearest_saga(frames: &mut [Frame]) -> Option<&mut Saga> {
    let mut sagas = frames.iter_mut().rev().filter_map(Frame::saga_mut);
    sagas.find(|saga| saga.compensating.is_none())
}
