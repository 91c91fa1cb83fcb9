//! What each frame does with the outcome of what ran inside it: loops turn, `try` catches, sagas compensate.

use super::failure::{DEFINITION_ERROR, Failure, FailureInfo};
use super::flag::{OUTPUT_WITHOUT_RETURN, SAGA_EFFECTS};
use super::machine::Machine;
use super::state::{
    Caller, Compensating, Fan, Frame, FunctionRef, Items, Outcome, Routine, RoutineId, Saga, Try,
    TryPhase, Waiting,
};
use crate::faults::Fault;
use crate::program::{self, Action};
use crate::value::{Duration, Value};
use crate::words::{LogLevel, OnCompensationFailure, StepId, TimeoutType};

impl Machine<'_> {
    /// `None`: a frame was pushed and the routine goes on in it. `Some`: the outcome goes further out.
    pub fn leave(
        &mut self,
        id: RoutineId,
        routine: &mut Routine,
        frame: Frame,
        outcome: Outcome,
    ) -> Option<Outcome> {
        match frame {
            // A block hands everything but its own step's value on.
            Frame::Block { .. } => Some(outcome),
            Frame::Fan(fan) => Some(self.leave_fan(*fan, outcome)),
            Frame::Loop { step } => self.leave_loop(routine, step, outcome),
            Frame::Turns {
                step,
                items,
                next,
                results,
            } => self.leave_turn(routine, (step, items, next, results), outcome),
            Frame::Try(frame) => self.leave_try(id, routine, *frame, outcome),
            Frame::Saga { step, saga } => {
                let on_failure = match &self.program.step(step).action {
                    Action::Saga {
                        on_compensation_failure,
                        ..
                    } => *on_compensation_failure,
                    _ => OnCompensationFailure::default(),
                };
                self.leave_saga(routine, saga, on_failure, outcome, |saga| Frame::Saga {
                    step,
                    saga,
                })
            }
            Frame::Function {
                function,
                saga,
                caller,
            } => self.leave_function(routine, (function, saga, caller), outcome),
            Frame::Deadline {
                step,
                timer,
                expired,
            } => Some(self.leave_deadline(routine, (step, timer, expired), outcome)),
            Frame::Shield {
                cancel_pending: false,
            } => Some(outcome),
            Frame::Shield {
                cancel_pending: true,
            } => Some(match outcome {
                Outcome::Value(_) => Outcome::Failed(Failure::cancelled("cancelled")),
                other => {
                    routine.cancel_later(0);
                    other
                }
            }),
        }
    }

    /// A fan ends by its branches, not by an outcome from inside.
    fn leave_fan(&mut self, fan: Fan, outcome: Outcome) -> Outcome {
        fan.decided.unwrap_or(outcome)
    }

    fn leave_loop(
        &mut self,
        routine: &mut Routine,
        step: StepId,
        outcome: Outcome,
    ) -> Option<Outcome> {
        let last = match outcome {
            Outcome::Value(value) => value,
            Outcome::Continue => Value::Null,
            Outcome::Break => return Some(Outcome::Value(Value::Null)),
            other => return Some(other),
        };
        let program = self.program;
        let (again, body) = match &program.step(step).action {
            Action::While { condition, body } => (self.condition(routine, condition), *body),
            Action::Repeat { until, body } => {
                (self.condition(routine, until).map(|met| !met), *body)
            }
            _ => return Some(Outcome::Value(last)),
        };
        match again {
            Err(failure) => Some(Outcome::Failed(failure)),
            Ok(false) => Some(Outcome::Value(last)),
            Ok(true) => {
                routine.frames.push(Frame::Loop { step });
                routine.frames.push(Frame::block(body));
                None
            }
        }
    }

    fn leave_turn(
        &mut self,
        routine: &mut Routine,
        (step, items, next, mut results): (StepId, Items, u32, Vec<Value>),
        outcome: Outcome,
    ) -> Option<Outcome> {
        let value = match outcome {
            Outcome::Value(value) => value,
            Outcome::Continue => Value::Null,
            Outcome::Break => return Some(Outcome::Value(Value::list(results))),
            other => return Some(other),
        };
        match self.forced(&value) {
            Ok(value) => results.push(value),
            Err(failure) => return Some(Outcome::Failed(failure)),
        }
        self.enter_turn(routine, step, items, next, results)
    }

    /// Begins the turn `next`, or ends the loop where there is none.
    pub fn enter_turn(
        &mut self,
        routine: &mut Routine,
        step: StepId,
        items: Items,
        next: u32,
        results: Vec<Value>,
    ) -> Option<Outcome> {
        let Action::ForEach(for_each) = &self.program.step(step).action else {
            return Some(Outcome::Value(Value::Null));
        };
        let Some((index, item)) = items.get(next as usize) else {
            return Some(Outcome::Value(Value::list(results)));
        };
        routine.locals[for_each.item_slot as usize] = Some(item.clone());
        if let Some(slot) = for_each.index_slot {
            routine.locals[slot as usize] = Some(index.clone());
        }
        routine.frames.push(Frame::Turns {
            step,
            items,
            next: next + 1,
            results,
        });
        routine.frames.push(Frame::block(for_each.body));
        None
    }

    fn leave_try(
        &mut self,
        id: RoutineId,
        routine: &mut Routine,
        frame: Try,
        outcome: Outcome,
    ) -> Option<Outcome> {
        let program = self.program;
        let Action::Try(action) = &program.step(frame.step).action else {
            return Some(outcome);
        };
        match (frame.phase.clone(), outcome) {
            (TryPhase::Backoff, Outcome::Value(_)) => {
                routine.frames.push(Frame::Try(Box::new(Try {
                    phase: TryPhase::Body,
                    ..frame
                })));
                routine.frames.push(Frame::block(action.body));
                None
            }
            (TryPhase::Body, Outcome::Failed(failure)) => {
                match self.backoff(routine, action, &failure, frame.attempt) {
                    Err(failure) => {
                        self.enter_finally(routine, action, frame, Outcome::Failed(failure))
                    }
                    Ok(Some(delay)) => {
                        let seq = self.start_timer(id, delay, Some(frame.step));
                        let attempt = frame.attempt + 1;
                        let waits = Try {
                            phase: TryPhase::Backoff,
                            attempt,
                            ..frame
                        };
                        routine.frames.push(Frame::Try(Box::new(waits)));
                        routine.waiting = Some(Waiting::Operation { seq });
                        None
                    }
                    Ok(None) => self.catch(routine, action, frame, failure),
                }
            }
            (TryPhase::Backoff, Outcome::Failed(failure)) => {
                self.catch(routine, action, frame, failure)
            }
            (TryPhase::Finally { outcome }, Outcome::Value(_)) => Some(outcome),
            (TryPhase::Finally { .. }, outcome) => Some(outcome),
            (_, outcome) => self.enter_finally(routine, action, frame, outcome),
        }
    }

    fn catch(
        &mut self,
        routine: &mut Routine,
        action: &program::Try,
        frame: Try,
        failure: Failure,
    ) -> Option<Outcome> {
        for catch in &action.catches {
            let is_meant = match catch.errors.as_slice() {
                [] => !failure.is_cancelled() && failure.error_type() != Some(DEFINITION_ERROR),
                names => names.iter().any(|name| failure.matches(name)),
            };
            if !is_meant {
                continue;
            }
            routine.locals[catch.slot as usize] = Some(failure.to_value());
            let holds = catch
                .when
                .as_ref()
                .map_or(Ok(true), |when| self.condition(routine, when));
            match holds {
                Err(failure) => {
                    return self.enter_finally(routine, action, frame, Outcome::Failed(failure));
                }
                Ok(false) => continue,
                Ok(true) => {}
            }
            let caught = Try {
                phase: TryPhase::Catch { failure },
                ..frame
            };
            routine.frames.push(Frame::Try(Box::new(caught)));
            routine.frames.push(Frame::block(catch.body));
            return None;
        }
        self.enter_finally(routine, action, frame, Outcome::Failed(failure))
    }

    fn enter_finally(
        &mut self,
        routine: &mut Routine,
        action: &program::Try,
        frame: Try,
        outcome: Outcome,
    ) -> Option<Outcome> {
        let Some(finally) = action.finally else {
            return Some(outcome);
        };
        let frame = Try {
            phase: TryPhase::Finally { outcome },
            ..frame
        };
        routine.frames.push(Frame::Try(Box::new(frame)));
        routine.frames.push(Frame::block(finally));
        None
    }

    /// How long to wait before the block of a `try` runs again; `None`: it does not.
    fn backoff(
        &mut self,
        routine: &Routine,
        action: &program::Try,
        failure: &Failure,
        attempt: u32,
    ) -> Result<Option<Duration>, Failure> {
        let Some(policy) = &action.retry_policy else {
            return Ok(None);
        };
        let policy = self.retry_policy(routine, policy)?;
        let refused = failure.is_cancelled()
            || failure.chain().any(|f| {
                matches!(
                    &f.info,
                    FailureInfo::Application {
                        non_retryable: true,
                        ..
                    }
                )
            })
            || policy
                .non_retryable_error_types
                .iter()
                .any(|t| Some(t.as_str()) == failure.error_type())
            || policy
                .maximum_attempts
                .is_some_and(|most| most != 0 && attempt >= most);
        if refused {
            return Ok(None);
        }
        // Temporal's defaults: one second, doubled each time, at most a hundred times the first.
        let first = policy
            .initial_interval
            .unwrap_or(Duration::from_seconds(1))
            .as_nanos() as f64;
        let most = policy
            .maximum_interval
            .map_or(first * 100.0, |d| d.as_nanos() as f64);
        let factor = policy
            .backoff_coefficient
            .unwrap_or(2.0)
            .powi(attempt as i32 - 1);
        let delay = (first * factor).min(most) as i128;
        Ok(Duration::from_nanos(delay))
    }

    /// Ends or goes on with a saga's compensations; `frame` puts it back.
    fn leave_saga(
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

    fn leave_function(
        &mut self,
        routine: &mut Routine,
        (function, saga, caller): (FunctionRef, Option<Saga>, Option<Box<Caller>>),
        outcome: Outcome,
    ) -> Option<Outcome> {
        // A result that breaks its schema is a failure like any other, and what was done before it is undone.
        let checks_first = self.run.has(SAGA_EFFECTS);
        let is_undoing = saga
            .as_ref()
            .is_some_and(|saga| saga.compensating.is_some());
        let outcome = match checks_first && !is_undoing {
            true => self.held_to_output(function, outcome),
            false => outcome,
        };
        let outcome = match saga {
            None => outcome,
            Some(saga) => {
                let caller = caller.clone();
                let frame = |saga| Frame::Function {
                    function,
                    saga: Some(saga),
                    caller,
                };
                self.leave_saga(
                    routine,
                    saga,
                    OnCompensationFailure::default(),
                    outcome,
                    frame,
                )?
            }
        };
        let outcome = match checks_first {
            true => outcome,
            false => self.held_to_output(function, outcome),
        };
        if let Some(caller) = caller {
            routine.locals = caller.locals;
            routine.handles = caller.handles;
        }
        Some(outcome)
    }

    /// How a function ends: with its result, if its `output` allows that.
    fn held_to_output(&self, function: FunctionRef, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Return(value) => self.result(function, value, "the result"),
            Outcome::Value(_) | Outcome::Break | Outcome::Continue => {
                let is_held = self.run.has(OUTPUT_WITHOUT_RETURN);
                match is_held && !Fault::OutputUnchecked.is_on() {
                    true => self.result(function, Value::Null, "the result without a `return`"),
                    false => Outcome::Value(Value::Null),
                }
            }
            other => other,
        }
    }

    /// What a function results in: the value, if its `output` allows it.
    fn result(&self, function: FunctionRef, value: Value, what: &str) -> Outcome {
        let output = self.function(function).output.as_ref();
        match self.check(output, &value, what) {
            Ok(()) => Outcome::Value(value),
            Err(failure) => Outcome::Failed(failure),
        }
    }

    fn leave_deadline(
        &mut self,
        routine: &mut Routine,
        (step, timer, expired): (StepId, u32, bool),
        outcome: Outcome,
    ) -> Outcome {
        let inside = routine.frames.len();
        let has_missed = routine
            .cancel_pending
            .is_some_and(|from| from as usize > inside);
        if has_missed {
            routine.cancel_pending = None;
        }
        if !expired {
            self.withdraw_timer(timer);
            return outcome;
        }
        let message = format!(
            "the deadline of the block at {} passed",
            self.program.location(step)
        );
        let mut timeout = Failure::timeout(message, TimeoutType::StartToClose);
        match outcome {
            Outcome::Failed(failure) if failure.is_cancelled() => {
                timeout.cause = failure.cause;
                Outcome::Failed(timeout)
            }
            Outcome::Value(value) if has_missed && self.undo_late(routine, step, value.clone()) => {
                Outcome::Failed(timeout)
            }
            other => other,
        }
    }

    /// The deadline's timer fired: what runs inside the frame is cancelled.
    pub fn deadline_passed(&mut self, id: RoutineId, frame: u32) {
        if let Some(routine) = self.run.routines.get_mut(&id)
            && let Some(Frame::Deadline { expired, .. }) = routine.frames.get_mut(frame as usize)
        {
            *expired = true;
            self.request_cancel(id, frame as usize + 1);
        }
    }
}
