//! `try`: its block, once or again by its `retry_policy`, then a `catch`, then `finally`.

use super::{At, Flow, enter};
use crate::engine::failure::{DEFINITION_ERROR, Failure, FailureInfo};
use crate::engine::machine::Machine;
use crate::engine::state::{Frame, Outcome, Routine, RoutineId, Try, TryPhase, Waiting};
use crate::program::{self, Action};
use crate::value::Duration;

pub(crate) fn begin_try(at: &mut At<'_>, action: &program::Try) -> Flow {
    let frame = Try {
        step: at.step,
        phase: TryPhase::Body,
        attempt: 1,
    };
    at.routine.frames.push(Frame::Try(Box::new(frame)));
    enter(at.routine, action.body)
}

impl Machine<'_> {
    pub(crate) fn leave_try(
        &mut self,
        id: RoutineId,
        routine: &mut Routine,
        frame: Try,
        outcome: Outcome,
    ) -> Option<Outcome> {
        let program = self.program;
        let Action::Try(action) = &program.step(frame.step).action else {
            self.run.violated("the frame of a `try` is of such a step");
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
            (
                TryPhase::Body | TryPhase::Backoff | TryPhase::Catch { .. },
                outcome @ (Outcome::Value(_)
                | Outcome::Failed(_)
                | Outcome::Return(_)
                | Outcome::Break
                | Outcome::Continue
                | Outcome::ContinueAsNew(_)),
            ) => self.enter_finally(routine, action, frame, outcome),
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

    /// How long to wait before the block of a `try` runs again; `None` if it does not.
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
}
