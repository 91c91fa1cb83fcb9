//! Drives routines: each in the order of its creation until it waits, then the conditions and signal waits, until nothing
//! moves any more.

use std::cell::{Cell, OnceCell};

use super::command::{Command, CommandKind};
use super::failure::Failure;
use super::flag::LOCAL_RESULTS_COUNTED;
use super::observe::{End, Event, Sight};
use super::state::{
    Clock, Ending, Frame, FunctionRef, Outcome, Routine, RoutineId, RoutineKind, Run, Waiting,
};
use crate::limits::{
    COMMANDS_PER_WORKFLOW_TASK_MAX, PAYLOADS_PER_WORKFLOW_TASK_SIZE_BYTES_MAX,
    STEPS_PER_WORKFLOW_TASK_MAX, WORKFLOW_TASK_COST_MAX,
};
use crate::program::{Action, Function, Program, Step};
use crate::value::Value;
use crate::words::{BlockId, LogLevel, StepId};

/// One activation's work on one run.
pub struct Machine<'a> {
    pub run: &'a mut Run,
    pub program: &'a Program,
    /// The bundle in its stored form, for a continuation that stays with it.
    pub bundle: &'a [u8],
    pub clock: &'a Clock,
    pub commands: &'a mut Vec<Command>,
    /// `workflow`, made when an expression first reads it.
    pub workflow: OnceCell<Value>,
    pub cost_left: u64,
    pub steps: u64,
    /// The size of all payloads made in this activation.
    pub payloads_size_bytes: Cell<usize>,
    /// Who watches, if anybody does.
    pub sight: Option<Sight<'a>>,
}

/// What executing a step came to.
pub enum Flow {
    /// The step is done.
    Next(Value),
    /// It waits, or frames were pushed that go on.
    Entered,
    Out(Outcome),
}

impl From<Failure> for Flow {
    fn from(failure: Failure) -> Self {
        Flow::Out(Outcome::Failed(failure))
    }
}

impl<'a> Machine<'a> {
    pub fn new(
        run: &'a mut Run,
        program: &'a Program,
        bundle: &'a [u8],
        clock: &'a Clock,
        commands: &'a mut Vec<Command>,
    ) -> Self {
        run.at = None;
        Machine {
            run,
            program,
            bundle,
            clock,
            commands,
            workflow: OnceCell::new(),
            cost_left: WORKFLOW_TASK_COST_MAX,
            steps: 0,
            payloads_size_bytes: Cell::new(0),
            sight: None,
        }
    }

    pub fn command(&mut self, kind: CommandKind) {
        self.run.count(&kind);
        self.commands.push(Command {
            step: self.run.at,
            ..Command::from(kind)
        });
    }

    pub fn log(&mut self, level: LogLevel, message: impl Into<String>) {
        self.command(CommandKind::Log {
            level,
            message: message.into(),
            fields: Vec::new(),
        });
    }

    pub fn function(&self, function: FunctionRef) -> &'a Function {
        let program = self.program;
        match function {
            FunctionRef::Main => &program.main,
            FunctionRef::Signal(i) => &program.signals[i as usize].function,
            FunctionRef::Update(i) => &program.updates[i as usize].function,
            FunctionRef::Block(i) => &program.functions[i as usize],
        }
    }

    pub fn drive(&mut self) {
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

    /// A failed or cancelled run of an older engine closes at once.
    fn is_over(&self) -> bool {
        !self.run.keeps_order() && self.run.has_failed()
    }

    /// One workflow task takes a bounded number of commands, steps and cost.
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

    /// Flags are none: whether one is told must not move anything.
    fn has_many_commands(&self) -> bool {
        let is_command = |command: &&Command| !matches!(command.kind, CommandKind::UseFlag(_));
        self.commands.iter().filter(is_command).count() >= COMMANDS_PER_WORKFLOW_TASK_MAX
    }

    fn run_routine(&mut self, id: RoutineId) {
        let Some(mut routine) = self.run.routines.remove(&id) else {
            return;
        };
        match self.advance(id, &mut routine) {
            Some(outcome) => self.routine_ended(id, routine.kind, outcome),
            None => {
                self.run.routines.insert(id, routine);
            }
        }
    }

    /// Goes on until the routine waits (`None`) or ends.
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
                    self.execute(id, routine, step)
                }
                None => match routine.frames.pop() {
                    Some(Frame::Block { block, next, last }) => {
                        if next == 0 {
                            self.observe(Event::BlockEntered { block });
                        }
                        Flow::Out(Outcome::Value(self.block_result(routine, block, last)))
                    }
                    _ => Flow::Out(Outcome::Value(Value::Null)),
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
    fn next_step(&self, routine: &Routine) -> Option<StepId> {
        match routine.frames.last()? {
            Frame::Block { block, next, .. } => {
                self.program.block(*block).get(*next as usize).copied()
            }
            _ => None,
        }
    }

    /// A block whose first step is about to run has just been entered.
    fn observe_entry(&self, routine: &Routine) {
        if let Some(Frame::Block { block, next: 0, .. }) = routine.frames.last() {
            self.observe(Event::BlockEntered { block: *block });
        }
    }

    /// A block's result is its last step's, but a condition that was not met in time is false.
    fn block_result(&self, routine: &Routine, block: BlockId, last: Value) -> Value {
        let around = self
            .next_step(routine)
            .map(|s| &self.program.step(s).action);
        match around {
            Some(Action::WaitUntil { on_timeout, .. }) if *on_timeout == Some(block) => {
                Value::Bool(false)
            }
            _ => last,
        }
    }

    /// Hands an outcome to the frames, innermost first, until one goes on with it. `Some` is the routine's own outcome.
    /// `has_begun`: whether the innermost step has, so that there may be something to undo.
    pub fn deliver(
        &mut self,
        id: RoutineId,
        routine: &mut Routine,
        outcome: Outcome,
        has_begun: bool,
    ) -> Option<Outcome> {
        let (mut outcome, mut has_begun) = (outcome, has_begun);
        while let Some(frame) = routine.frames.pop() {
            match frame {
                Frame::Block { .. } => {
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
                }
                frame => outcome = self.leave(id, routine, frame, outcome)?,
            }
            has_begun = true;
        }
        Some(outcome)
    }

    /// The step that it was.
    pub fn complete_step(
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

    /// A step that `when` leaves out has the result null, and nothing to compensate.
    pub fn skip_step(&mut self, routine: &mut Routine) {
        if let Some(step) = self.next_step(routine) {
            self.observe(Event::StepSkipped { step });
        }
        self.leave_step(routine, Value::Null);
    }

    /// Binds the result of the step that the innermost block is at, and goes to the next one.
    fn leave_step(&self, routine: &mut Routine, value: Value) -> Option<&'a Step> {
        let Some(Frame::Block { block, next, last }) = routine.frames.last_mut() else {
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
}
