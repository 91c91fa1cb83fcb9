//! Drives routines: each in the order of its creation until it waits, then the conditions and signal waits, until
//! nothing changes any more.

use super::command::{Command, CommandKind};
use super::failure::Failure;
use super::flag::LOCAL_RESULTS_COUNTED;
use super::machine::Machine;
use super::observe::{End, Event};
use super::state::{
    Ending, Frame, OperationKind, Outcome, Routine, RoutineId, RoutineKind, Waiting,
};
use super::steps::{At, Flow};
use crate::limits::{
    COMMANDS_PER_WORKFLOW_TASK_MAX, PAYLOADS_PER_WORKFLOW_TASK_SIZE_BYTES_MAX,
    STEPS_PER_WORKFLOW_TASK_MAX,
};
use crate::program::{Action, Step};
use crate::value::{Duration, Value};
use crate::words::StepId;

impl<'a> Machine<'a> {
    pub(crate) fn drive(&mut self) {
        if self.run.breather.is_some() {
            return;
        }
        loop {
            while let Some(id) = self.run.ready.pop_first() {
                self.run_routine(id);
                if self.is_over() {
                    return;
                }
                if self.is_crowded() {
                    return self.take_breath();
                }
            }
            if !self.look_at_watchers() {
                return;
            }
        }
    }

    /// A failed or cancelled run of an older engine closes immediately.
    fn is_over(&self) -> bool {
        !self.run.is_sound() || !self.run.keeps_order() && self.run.has_failed()
    }

    /// Whether the workflow task has reached its bound on commands, steps or cost.
    fn is_crowded(&self) -> bool {
        let is_loaded = match self.run.has(LOCAL_RESULTS_COUNTED) {
            true => self.is_loaded(),
            false => {
                self.commands.len() >= COMMANDS_PER_WORKFLOW_TASK_MAX && self.has_many_commands()
                    || self.payloads_size_bytes.get() >= PAYLOADS_PER_WORKFLOW_TASK_SIZE_BYTES_MAX
            }
        };
        is_loaded
            || self.steps >= STEPS_PER_WORKFLOW_TASK_MAX
            || self.cost_left < self.program.expression_cost_max
    }

    /// Flags do not count: recording one must not change where a task ends.
    fn has_many_commands(&self) -> bool {
        let is_command = |command: &&Command| !matches!(command.kind, CommandKind::UseFlag(_));
        self.commands.iter().filter(is_command).count() >= COMMANDS_PER_WORKFLOW_TASK_MAX
    }

    fn run_routine(&mut self, id: RoutineId) {
        let Some(mut routine) = self.run.routines.remove(&id) else {
            return self.run.violated("a routine that is ready exists");
        };
        match self.advance(id, &mut routine) {
            Some(outcome) => self.routine_ended(id, routine.kind, outcome),
            None => {
                self.run.routines.insert(id, routine);
            }
        }
    }

    /// Continues until the routine waits (`None`) or ends.
    fn advance(&mut self, id: RoutineId, routine: &mut Routine) -> Option<Outcome> {
        self.run.at = routine.step(self.program);
        if let Some(outcome) = routine.resume.take() {
            if let Some(Frame::Fan(_)) = routine.frames.last() {
                routine.frames.pop();
            }
            if let Some(outcome) = self.resume_with(id, routine, outcome) {
                return Some(outcome);
            }
        }
        while routine.waiting.is_none() {
            if self.is_crowded() {
                self.run.ready.insert(id);
                return None;
            }
            let flow = match self.next_step(routine) {
                Some(step) if self.is_held(id, routine, step) => return None,
                Some(step) => {
                    self.steps += 1;
                    self.run.at = Some(step);
                    self.observe_entry(routine);
                    self.begin_step(&mut At { id, routine, step })
                }
                None => match routine.frames.pop() {
                    Some(Frame::Block { block, next, last }) => {
                        if next == 0 {
                            self.observe(Event::BlockEntered { block });
                        }
                        Flow::Out(Outcome::Value(self.block_result(routine, block, last)))
                    }
                    Some(_) | None => {
                        self.run
                            .violated("the innermost frame of a routine that runs is a block");
                        return None;
                    }
                },
            };
            let outcome = match flow {
                Flow::Next(value) => {
                    self.complete_step(id, routine, value);
                    continue;
                }
                Flow::Entered => continue,
                Flow::Out(outcome) => outcome,
            };
            let awaits = |step: StepId| matches!(self.program.step(step).action, Action::Await(_));
            let has_begun = self.next_step(routine).is_none_or(awaits);
            if let Some(outcome) = self.deliver(id, routine, outcome, has_begun) {
                return Some(outcome);
            }
        }
        if matches!(
            routine.waiting,
            Some(Waiting::Signal { .. } | Waiting::Condition { .. })
        ) {
            self.run.watching.insert(id);
        }
        None
    }

    /// The step that the innermost block is at, unless it is at its end.
    pub(crate) fn next_step(&self, routine: &Routine) -> Option<StepId> {
        routine.frames.last()?.step(self.program)
    }

    /// Reports a block that has just been entered, before its first step runs.
    fn observe_entry(&self, routine: &Routine) {
        if let Some(Frame::Block { block, next: 0, .. }) = routine.frames.last() {
            self.observe(Event::BlockEntered { block: *block });
        }
    }

    /// Passes an outcome to the frames, innermost first, until one continues with it. `Some` is the routine's own
    /// outcome. `has_begun`: whether the innermost step has begun, so that there may be something to undo.
    pub(crate) fn deliver(
        &mut self,
        id: RoutineId,
        routine: &mut Routine,
        outcome: Outcome,
        has_begun: bool,
    ) -> Option<Outcome> {
        let (mut outcome, mut has_begun) = (outcome, has_begun);
        while let Some(frame) = routine.frames.pop() {
            if let Frame::Block { .. } = frame {
                routine.frames.push(frame);
                if let Outcome::Value(value) = outcome {
                    let step = self.complete_step(id, routine, value)?;
                    if !self.is_cut_off_at_end_of(routine, step) {
                        return None;
                    }
                    routine.cancel_pending = None;
                    outcome = Outcome::Failed(Failure::cancelled("cancelled"));
                } else if let Some(step) = self.next_step(routine) {
                    let end = End::of(&outcome);
                    self.observe(Event::StepEnded {
                        routine: id,
                        step,
                        end,
                    });
                    if has_begun && matches!(outcome, Outcome::Failed(_)) {
                        self.undo_begun(routine, self.program.step(step));
                    }
                }
                routine.frames.pop();
            } else {
                outcome = self.leave(id, routine, frame, outcome)?;
            }
            has_begun = true;
        }
        Some(outcome)
    }

    /// The completed step.
    pub(crate) fn complete_step(
        &mut self,
        id: RoutineId,
        routine: &mut Routine,
        value: Value,
    ) -> Option<&'a Step> {
        if let Some(step) = self.next_step(routine) {
            let end = End::Value(&value);
            self.observe(Event::StepEnded {
                routine: id,
                step,
                end,
            });
        }
        let step = self.leave_step(routine, value.clone())?;
        self.register_compensation(routine, step, value);
        Some(step)
    }

    /// A step that is skipped by its `when` has the result null, and nothing to compensate.
    pub(crate) fn skip_step(&mut self, routine: &mut Routine) {
        if let Some(step) = self.next_step(routine) {
            self.observe(Event::StepSkipped { step });
        }
        self.leave_step(routine, Value::Null);
    }

    /// Binds the result of the step that the innermost block is at, and advances to the next one.
    fn leave_step(&self, routine: &mut Routine, value: Value) -> Option<&'a Step> {
        let Some(Frame::Block { block, next, last }) = routine.frames.last_mut() else {
            self.run.violated("a step that ends is one of a block");
            return None;
        };
        let step = self
            .program
            .step(self.program.block(*block)[*next as usize]);
        *next += 1;
        *last = value.clone();
        if let Some(slot) = step.slot {
            routine.locals[slot as usize] = Some(value);
        }
        Some(step)
    }

    fn routine_ended(&mut self, id: RoutineId, kind: RoutineKind, outcome: Outcome) {
        self.run.watching.remove(&id);
        match kind {
            RoutineKind::Branch { parent, index } => self.branch_ended(parent, index, outcome),
            RoutineKind::Main => {
                let ending = self.ending(outcome);
                self.end_with(ending);
            }
            RoutineKind::Signal { .. } => {
                if let Outcome::Failed(failure) = outcome {
                    self.end_with(Ending::Failed(failure));
                }
            }
            RoutineKind::Update {
                protocol_instance_id,
                ..
            } => {
                self.complete_update(protocol_instance_id, outcome);
            }
        }
    }

    /// Stops driving until the next workflow task, which a timer causes.
    pub(crate) fn take_breath(&mut self) {
        let length = Duration::from_millis(1);
        self.run.breather = Some(self.begin_timer(OperationKind::Breather, length, None));
    }
}
