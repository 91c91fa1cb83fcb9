//! `wait`: for a signal or for a condition, with an optional timeout.

use super::{At, Flow};
use crate::engine::failure::Failure;
use crate::engine::invariant::WAITS;
use crate::engine::machine::Machine;
use crate::engine::observe::Event;
use crate::engine::state::{Frame, Outcome, Routine, RoutineId, Waiting};
use crate::expression::Code;
use crate::program::{Action, DurationCode, slot};
use crate::value::Value;
use crate::words::{BlockId, StepId, TimeoutType};

const OF_A_WAIT: &str = "a wait's step says what it waits for";

/// A routine at a `wait`, with the fields of its step.
struct Watched {
    step: StepId,
    /// The timer that limits it, until it has fired.
    timer: Option<u32>,
    timed_out: bool,
    on_timeout: Option<BlockId>,
}

impl Machine<'_> {
    pub(crate) fn begin_wait_signal(
        &mut self,
        at: &mut At<'_>,
        name: &str,
        timeout: Option<&DurationCode>,
    ) -> Result<Flow, Failure> {
        if let Some(value) = self.take_signal(name) {
            return Ok(Flow::Next(value));
        }
        let timer = self.wait_timer(at, timeout)?;
        at.routine.waiting = Some(Waiting::Signal {
            step: at.step,
            timer,
            timed_out: false,
        });
        Ok(Flow::Entered)
    }

    pub(crate) fn begin_wait_until(
        &mut self,
        at: &mut At<'_>,
        condition: &Code,
        timeout: Option<&DurationCode>,
    ) -> Result<Flow, Failure> {
        if self.condition(at.routine, condition)? {
            return Ok(Flow::Next(Value::Bool(true)));
        }
        let timer = self.wait_timer(at, timeout)?;
        let seen = Some(self.run.state_version);
        at.routine.waiting = Some(Waiting::Condition {
            step: at.step,
            timer,
            timed_out: false,
            seen,
        });
        Ok(Flow::Entered)
    }

    /// The timer that limits a wait.
    fn wait_timer(
        &mut self,
        at: &At<'_>,
        timeout: Option<&DurationCode>,
    ) -> Result<Option<u32>, Failure> {
        let Some(timeout) = timeout else {
            return Ok(None);
        };
        let duration = self.duration(at.routine, timeout)?;
        let seq = self.start_timer(at.id, duration, Some(at.step));
        self.summarise(at.routine, at.step);
        Ok(Some(seq))
    }

    fn take_signal(&mut self, name: &str) -> Option<Value> {
        let queue = self.run.signals.get_mut(name)?;
        let value = queue.pop_front();
        if queue.is_empty() {
            self.run.signals.remove(name);
        }
        let count = usize::from(value.is_some());
        self.observe(Event::SignalsSettled { count });
        value
    }

    /// Checks whether a wait is over: a signal, a condition, the end of its time. True if a routine continues.
    pub(crate) fn look_at_watchers(&mut self) -> bool {
        let watching: Vec<RoutineId> = self.run.watching.iter().copied().collect();
        let mut moved = false;
        for id in watching {
            moved |= self.look_at_watcher(id);
        }
        moved
    }

    fn look_at_watcher(&mut self, id: RoutineId) -> bool {
        let program = self.program;
        let waiting = self.run.routines.get(&id).and_then(|r| r.waiting.clone());
        let (watched, met) = match waiting {
            Some(Waiting::Signal {
                step,
                timer,
                timed_out,
            }) => {
                let Action::WaitSignal {
                    name, on_timeout, ..
                } = &program.step(step).action
                else {
                    self.run.violated(OF_A_WAIT);
                    return false;
                };
                let watched = Watched {
                    step,
                    timer: timer.filter(|_| !timed_out),
                    timed_out,
                    on_timeout: *on_timeout,
                };
                (watched, self.take_signal(name).map(Ok))
            }
            Some(Waiting::Condition {
                step,
                timer,
                timed_out,
                seen,
            }) => {
                let Action::WaitUntil {
                    condition,
                    on_timeout,
                    ..
                } = &program.step(step).action
                else {
                    self.run.violated(OF_A_WAIT);
                    return false;
                };
                let watched = Watched {
                    step,
                    timer: timer.filter(|_| !timed_out),
                    timed_out,
                    on_timeout: *on_timeout,
                };
                let is_settled = condition.reads_only_slots() && !condition.reads(slot::WORKFLOW);
                let is_seen = is_settled && seen == Some(self.run.state_version);
                let met = match is_seen {
                    true => None,
                    false => self.condition_met(id, condition),
                };
                (watched, met)
            }
            Some(Waiting::Operation { .. } | Waiting::ChildStart { .. } | Waiting::Branches)
            | None => {
                self.run
                    .violated("a routine that is watched waits for a signal or a condition");
                return false;
            }
        };
        if let Some(result) = met {
            watched
                .timer
                .into_iter()
                .for_each(|seq| self.cancel_operation(seq, None));
            self.run
                .resume(id, result.map_or_else(Outcome::Failed, Outcome::Value));
            return true;
        }
        watched.timed_out && self.wait_timed_out(id, &watched)
    }

    fn condition_met(&mut self, id: RoutineId, condition: &Code) -> Option<Result<Value, Failure>> {
        let Some(routine) = self.run.routines.remove(&id) else {
            self.run.violated(WAITS);
            return None;
        };
        let holds = self.condition(&routine, condition);
        let version = self.run.state_version;
        let routine = self.run.routines.entry(id).or_insert(routine);
        if let Some(Waiting::Condition { seen, .. }) = &mut routine.waiting {
            *seen = Some(version);
        }
        match holds {
            Ok(false) => None,
            Ok(true) => Some(Ok(Value::Bool(true))),
            Err(failure) => Some(Err(failure)),
        }
    }

    /// Continues in `on_timeout`, or fails the wait with a timeout.
    fn wait_timed_out(&mut self, id: RoutineId, watched: &Watched) -> bool {
        let Some(block) = watched.on_timeout else {
            let place = self.program.location(watched.step);
            let message = format!("the wait at {place} timed out");
            let failure = Failure::timeout(message, TimeoutType::StartToClose);
            self.run.resume(id, Outcome::Failed(failure));
            return true;
        };
        let Some(routine) = self.run.routines.get_mut(&id) else {
            self.run.violated(WAITS);
            return false;
        };
        routine.waiting = None;
        routine.frames.push(Frame::block(block));
        self.run.watching.remove(&id);
        self.run.ready.insert(id);
        true
    }

    pub(crate) fn cancel_wait(&mut self, id: RoutineId, timer: Option<u32>) {
        timer
            .into_iter()
            .for_each(|seq| self.cancel_operation(seq, None));
        self.run
            .resume(id, Outcome::Failed(Failure::cancelled("cancelled")));
    }

    /// A block's result is that of its last step, but a condition that was not met in time is false.
    pub(crate) fn block_result(&self, routine: &Routine, block: BlockId, last: Value) -> Value {
        let around = self.next_step(routine);
        if let Some(step) = around
            && let Action::WaitUntil { on_timeout, .. } = &self.program.step(step).action
            && *on_timeout == Some(block)
        {
            return Value::Bool(false);
        }
        last
    }
}
