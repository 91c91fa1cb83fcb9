//! What steps do, phase by phase. Each phase is one match over the kinds of steps, frames or waits, and its arms lead
//! to the construct's own file in `steps/`: how it begins, continues, times out, is cancelled and leaves.

mod activity;
mod attempt;
mod branch;
mod call;
mod child;
mod end;
mod group;
mod handle;
mod log;
mod loops;
mod nexus;
mod parallel;
mod saga;
mod set;
mod signal;
mod timer;
mod wait;

use super::failure::Failure;
use super::machine::Machine;
use super::observe::Event;
use super::state::{FanKind, Frame, Outcome, Routine, RoutineId, Waiting};
use crate::program::Action;
use crate::value::Value;
use crate::words::{BlockId, StepId};
pub(crate) use activity::{abandoned, wrapped};
use attempt::begin_try;
use call::Called;
use end::caught;
use group::{Deadline, leave_shield};
use loops::{Turns, enter_loop};
use parallel::leave_fan;
pub(crate) use saga::Cancelling;
use saga::begin_saga;
pub(crate) use signal::answered;

/// A routine that is running, and the step that it is at. While it runs it is not among the run's routines.
pub(crate) struct At<'r> {
    pub(crate) id: RoutineId,
    pub(crate) routine: &'r mut Routine,
    pub(crate) step: StepId,
}

/// The result of beginning a step.
pub(crate) enum Flow {
    /// The step is done.
    Next(Value),
    /// It waits, or pushed frames that continue.
    Entered,
    Out(Outcome),
}

impl From<Failure> for Flow {
    fn from(failure: Failure) -> Self {
        Flow::Out(Outcome::Failed(failure))
    }
}

impl Machine<'_> {
    /// Control reaches a step.
    pub(crate) fn begin_step(&mut self, at: &mut At<'_>) -> Flow {
        let program = self.program;
        let step = program.step(at.step);
        if let Some(when) = &step.when {
            match self.condition(at.routine, when) {
                Err(failure) => return failure.into(),
                Ok(true) => {}
                Ok(false) => {
                    self.skip_step(at.routine);
                    return Flow::Entered;
                }
            }
        }
        self.observe(Event::StepBegan {
            routine: at.id,
            step: at.step,
        });
        if step.action.can_wait() && is_to_cancel(at.routine) {
            at.routine.cancel_pending = None;
            return Failure::cancelled("cancelled").into();
        }
        self.act(at).unwrap_or_else(Flow::from)
    }

    /// How each kind of step begins.
    fn act(&mut self, at: &mut At<'_>) -> Result<Flow, Failure> {
        let program = self.program;
        match &program.step(at.step).action {
            Action::Activity(activity) => self.begin_activity(at, activity),
            Action::Child(child) => self.begin_child(at, child),
            Action::Nexus(nexus) => self.begin_nexus(at, nexus),
            Action::Signal(signal) => self.begin_signal(at, signal),
            Action::CancelWorkflow {
                workflow_id,
                run_id,
                reason,
            } => self.begin_cancel_workflow(at, workflow_id, run_id.as_ref(), reason.as_ref()),
            Action::Await(slot) => self.begin_await(at, *slot),
            Action::Cancel(slot) => Ok(self.cancel_handle(at.routine, *slot)),
            Action::TimerFor(duration) => self.begin_timer_for(at, duration),
            Action::TimerUntil(until) => self.begin_timer_until(at, until),
            Action::WaitSignal { name, timeout, .. } => {
                self.begin_wait_signal(at, name, timeout.as_ref())
            }
            Action::WaitUntil {
                condition, timeout, ..
            } => self.begin_wait_until(at, condition, timeout.as_ref()),
            Action::If {
                condition,
                then,
                otherwise,
            } => self.begin_if(at.routine, condition, *then, *otherwise),
            Action::Switch {
                subject,
                cases,
                default,
            } => self.begin_switch(at.routine, subject.as_ref(), cases, *default),
            Action::ForEach(for_each) => self.begin_for_each(at, for_each),
            Action::While { condition, body } => self.begin_while(at, condition, *body),
            Action::Repeat { body, .. } => Ok(enter_loop(at, *body)),
            Action::Break => Ok(Flow::Out(Outcome::Break)),
            Action::Continue => Ok(Flow::Out(Outcome::Continue)),
            Action::Parallel { branches, .. } => {
                Ok(self.begin_branches(at, FanKind::Parallel, branches))
            }
            Action::Race { branches } => Ok(self.begin_branches(at, FanKind::Race, branches)),
            Action::Try(action) => Ok(begin_try(at, action)),
            Action::Saga { body, .. } => Ok(begin_saga(at, *body)),
            Action::Do {
                body,
                timeout,
                shield,
            } => self.begin_do(at, *body, timeout.as_ref(), *shield),
            Action::Call { function, input } => {
                self.begin_call(at.routine, *function, input.as_ref())
            }
            Action::Set(assignments) => self.begin_set(at.routine, assignments),
            Action::Upsert {
                search_attributes,
                memo,
            } => self.begin_upsert(at.routine, search_attributes.as_ref(), memo.as_ref()),
            Action::Details(details) => self.begin_details(at.routine, details),
            Action::Log {
                level,
                message,
                fields,
            } => self.begin_log(at.routine, *level, message, fields.as_ref()),
            Action::Return(value) => self.begin_return(at, value.as_ref()),
            Action::ContinueAsNew(next) => self.begin_continue_as_new(at, next),
            Action::FailAgain(_) => Err(caught(at.routine)),
            Action::Fail(fail) => Err(self.failure(at.routine, fail)?),
        }
    }

    /// What each frame does with the outcome of what ran inside it. `None`: a frame was pushed and the routine
    /// continues in it. `Some`: the outcome is passed further out.
    pub(crate) fn leave(
        &mut self,
        id: RoutineId,
        routine: &mut Routine,
        frame: Frame,
        outcome: Outcome,
    ) -> Option<Outcome> {
        match frame {
            // A block passes on everything but its own step's value.
            Frame::Block { .. } => Some(outcome),
            Frame::Fan(fan) => Some(leave_fan(*fan, outcome)),
            Frame::Loop { step } => self.leave_loop(routine, step, outcome),
            Frame::Turns {
                step,
                items,
                next,
                results,
            } => {
                let turns = Turns {
                    step,
                    items,
                    next,
                    results,
                };
                self.leave_turn(routine, turns, outcome)
            }
            Frame::Try(frame) => self.leave_try(id, routine, *frame, outcome),
            Frame::Saga { step, saga } => self.leave_saga_step(routine, step, saga, outcome),
            Frame::Function {
                function,
                saga,
                caller,
            } => {
                let called = Called {
                    function,
                    saga,
                    caller,
                };
                self.leave_function(routine, called, outcome)
            }
            Frame::Deadline {
                step,
                timer,
                expired,
            } => {
                let deadline = Deadline {
                    step,
                    timer,
                    expired,
                };
                Some(self.leave_deadline(routine, &deadline, outcome))
            }
            Frame::Shield { cancel_pending } => {
                Some(leave_shield(routine, cancel_pending, outcome))
            }
        }
    }

    /// Requests a routine to stop: what it waits for, inside the frames from `from` on, is cancelled.
    pub(crate) fn request_cancel(&mut self, id: RoutineId, from: usize) {
        let Some(routine) = self.run.routines.get_mut(&id) else {
            return self.run.violated("a routine that is cancelled exists");
        };
        for frame in routine.frames.iter_mut().skip(from) {
            if let Frame::Shield { cancel_pending } = frame {
                *cancel_pending = true;
                return;
            }
            // Compensations are not cancelled: the run is failing anyway.
            if frame.is_compensating() {
                return;
            }
        }
        match &routine.waiting {
            None => {
                routine.cancel_later(from);
                if self.run.held.remove(&id) {
                    self.run.ready.insert(id);
                }
            }
            Some(Waiting::Branches) => self.cancel_branches(id),
            Some(Waiting::Operation { seq } | Waiting::ChildStart { seq }) => {
                let seq = *seq;
                self.cancel_awaited(id, seq, from);
            }
            Some(Waiting::Signal { timer, .. } | Waiting::Condition { timer, .. }) => {
                let timer = *timer;
                self.cancel_wait(id, timer);
            }
        }
    }
}

/// Continues in a block.
fn enter(routine: &mut Routine, block: BlockId) -> Flow {
    routine.frames.push(Frame::block(block));
    Flow::Entered
}

/// Whether the routine's next step that can wait ends as cancelled.
pub(crate) fn is_to_cancel(routine: &Routine) -> bool {
    routine.cancel_pending.is_some() && !routine.frames.iter().any(Frame::is_shielding)
}
