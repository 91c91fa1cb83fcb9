//! Executes one step: what each action key does when control reaches it.

use super::command::CommandKind;
use super::evaluate::within_bound;
use super::failure::{Failure, FailureInfo};
use super::machine::{Flow, Machine};
use super::observe::Event;
use super::state::{
    Caller, FanKind, Frame, FunctionRef, Items, OperationKind, Outcome, Routine, RoutineId, Saga,
    Try, TryPhase, Waiting,
};
use crate::accepted;
use crate::limits::CALL_DEPTH_MAX;
use crate::program::{self, Action, CaseMatch, DurationCode};
use crate::value::Value;
use crate::words::{BlockId, LogLevel, StepId};

impl Machine<'_> {
    pub fn execute(&mut self, id: RoutineId, routine: &mut Routine, step_id: StepId) -> Flow {
        let program = self.program;
        let step = program.step(step_id);
        if let Some(when) = &step.when {
            match self.condition(routine, when) {
                Err(failure) => return failure.into(),
                Ok(true) => {}
                Ok(false) => {
                    self.skip_step(routine);
                    return Flow::Entered;
                }
            }
        }
        self.observe(Event::StepBegan {
            routine: id,
            step: step_id,
        });
        if step.action.can_wait() && is_to_cancel(routine) {
            routine.cancel_pending = None;
            return Failure::cancelled("cancelled").into();
        }
        self.act(id, routine, step_id).unwrap_or_else(Flow::from)
    }

    fn act(
        &mut self,
        id: RoutineId,
        routine: &mut Routine,
        step_id: StepId,
    ) -> Result<Flow, Failure> {
        let program = self.program;
        match &program.step(step_id).action {
            Action::Activity(activity) => self.schedule_activity(id, routine, step_id, activity),
            Action::Child(child) => self.start_child(id, routine, step_id, child),
            Action::Nexus(nexus) => self.schedule_nexus(id, routine, step_id, nexus),
            Action::Signal(signal) => self.signal_external(id, routine, step_id, signal),
            Action::CancelWorkflow {
                workflow_id,
                run_id,
                reason,
            } => {
                let target = (workflow_id, run_id.as_ref(), reason.as_ref());
                self.cancel_external(id, routine, step_id, target)
            }
            Action::Await(slot) => self.await_handle(id, routine, *slot),
            Action::Cancel(slot) => {
                if let Some(seq) = routine.handle(*slot) {
                    self.cancel_operation(seq, None);
                }
                Ok(Flow::Next(Value::Null))
            }
            Action::TimerFor(duration) => {
                let duration = self.duration(routine, duration)?;
                Ok(self.enter_timer(id, routine, step_id, duration))
            }
            Action::TimerUntil(until) => {
                let until = self.timestamp(routine, until)?;
                let duration = until.since(self.clock.now).unwrap_or_default();
                Ok(self.enter_timer(id, routine, step_id, duration))
            }
            Action::WaitSignal { name, timeout, .. } => {
                if let Some(value) = self.take_signal(name) {
                    return Ok(Flow::Next(value));
                }
                let timer = self.wait_timer(id, routine, step_id, timeout.as_ref())?;
                routine.waiting = Some(Waiting::Signal {
                    step: step_id,
                    timer,
                    timed_out: false,
                });
                Ok(Flow::Entered)
            }
            Action::WaitUntil {
                condition, timeout, ..
            } => {
                if self.condition(routine, condition)? {
                    return Ok(Flow::Next(Value::Bool(true)));
                }
                let timer = self.wait_timer(id, routine, step_id, timeout.as_ref())?;
                let seen = Some(self.run.state_version);
                routine.waiting = Some(Waiting::Condition {
                    step: step_id,
                    timer,
                    timed_out: false,
                    seen,
                });
                Ok(Flow::Entered)
            }
            _ => self.control(id, routine, step_id),
        }
    }

    /// The actions that only steer, or act at once.
    fn control(
        &mut self,
        id: RoutineId,
        routine: &mut Routine,
        step_id: StepId,
    ) -> Result<Flow, Failure> {
        let program = self.program;
        match &program.step(step_id).action {
            Action::If {
                condition,
                then,
                otherwise,
            } => {
                let block = if self.condition(routine, condition)? {
                    then
                } else {
                    otherwise
                };
                Ok(enter(routine, *block))
            }
            Action::Switch {
                subject,
                cases,
                default,
            } => {
                let block = self
                    .case(routine, subject.as_ref(), cases)?
                    .unwrap_or(*default);
                Ok(enter(routine, block))
            }
            Action::ForEach(for_each) => self.enter_for_each(id, routine, step_id, for_each),
            Action::While { condition, body } => {
                if !self.condition(routine, condition)? {
                    self.observe(Event::BodyLeftOut { step: step_id });
                    return Ok(Flow::Next(Value::Null));
                }
                routine.frames.push(Frame::Loop { step: step_id });
                Ok(enter(routine, *body))
            }
            Action::Repeat { body, .. } => {
                routine.frames.push(Frame::Loop { step: step_id });
                Ok(enter(routine, *body))
            }
            Action::Break => Ok(Flow::Out(Outcome::Break)),
            Action::Continue => Ok(Flow::Out(Outcome::Continue)),
            Action::Parallel { branches, .. } => {
                let blocks: Vec<BlockId> = branches.iter().map(|(_, block)| *block).collect();
                Ok(self.enter_branches(id, routine, step_id, FanKind::Parallel, &blocks))
            }
            Action::Race { branches } => {
                let blocks: Vec<BlockId> = branches.iter().map(|(_, block)| *block).collect();
                Ok(self.enter_branches(id, routine, step_id, FanKind::Race, &blocks))
            }
            Action::Try(action) => {
                let frame = Try {
                    step: step_id,
                    phase: TryPhase::Body,
                    attempt: 1,
                };
                routine.frames.push(Frame::Try(Box::new(frame)));
                Ok(enter(routine, action.body))
            }
            Action::Saga { body, .. } => {
                routine.frames.push(Frame::Saga {
                    step: step_id,
                    saga: Saga::default(),
                });
                Ok(enter(routine, *body))
            }
            Action::Do {
                body,
                timeout,
                shield,
            } => self.enter_do(id, routine, step_id, (*body, timeout.as_ref(), *shield)),
            Action::Call { function, input } => self.call(routine, *function, input.as_ref()),
            _ => self.act_at_once(routine, step_id),
        }
    }

    fn act_at_once(&mut self, routine: &mut Routine, step_id: StepId) -> Result<Flow, Failure> {
        let program = self.program;
        match &program.step(step_id).action {
            Action::Set(assignments) => {
                self.set(routine, assignments)?;
                if !self.is_of_main(routine) || self.is_left_behind(routine) {
                    self.run.handled_version += 1;
                }
            }
            Action::Upsert {
                search_attributes,
                memo,
            } => {
                let is_done = self.upsert(routine, search_attributes.as_ref(), memo.as_ref())?;
                if !is_done {
                    return Ok(Flow::Entered);
                }
            }
            Action::Log {
                level,
                message,
                fields,
            } => {
                self.write_log(routine, *level, (message, fields.as_ref()))?;
            }
            Action::Details(details) => self.run.details = self.text(routine, details)?,
            Action::Return(value) => {
                let value = value
                    .as_ref()
                    .map(|v| self.evaluate(routine, v))
                    .transpose()?;
                let outcome = Outcome::Return(value.unwrap_or(Value::Null));
                self.leaves(routine, step_id, &outcome);
                return Ok(Flow::Out(outcome));
            }
            Action::ContinueAsNew(next) => {
                let next = self.continue_as_new(routine, next)?;
                if !self.continues_in_room(&next)? {
                    return Ok(Flow::Entered);
                }
                let outcome = Outcome::ContinueAsNew(Box::new(next));
                self.leaves(routine, step_id, &outcome);
                return Ok(Flow::Out(outcome));
            }
            Action::FailAgain(_) => return Err(caught(routine)),
            Action::Fail(fail) => return Err(self.failure(routine, fail)?),
            _ => {}
        }
        Ok(Flow::Next(Value::Null))
    }

    fn enter_timer(
        &mut self,
        id: RoutineId,
        routine: &mut Routine,
        step: StepId,
        duration: crate::value::Duration,
    ) -> Flow {
        if duration <= crate::value::Duration::ZERO {
            return Flow::Next(Value::Null);
        }
        let seq = self.start_timer(id, duration, Some(step));
        self.summarise(routine, step);
        routine.waiting = Some(Waiting::Operation { seq });
        Flow::Entered
    }

    fn wait_timer(
        &mut self,
        id: RoutineId,
        routine: &Routine,
        step: StepId,
        timeout: Option<&DurationCode>,
    ) -> Result<Option<u32>, Failure> {
        let Some(timeout) = timeout else {
            return Ok(None);
        };
        let duration = self.duration(routine, timeout)?;
        let seq = self.start_timer(id, duration, Some(step));
        self.summarise(routine, step);
        Ok(Some(seq))
    }

    fn case(
        &mut self,
        routine: &Routine,
        subject: Option<&crate::expression::Code>,
        cases: &[program::Case],
    ) -> Result<Option<BlockId>, Failure> {
        let subject = match subject {
            Some(code) => self.evaluate(routine, code)?,
            None => Value::Null,
        };
        for case in cases {
            let is_met = match &case.matches {
                CaseMatch::Is(value) => self.evaluate(routine, value)? == subject,
                CaseMatch::In(values) => {
                    let values = self.evaluate(routine, values)?;
                    values
                        .as_list()
                        .is_some_and(|values| values.contains(&subject))
                }
                CaseMatch::When(condition) => self.condition(routine, condition)?,
            };
            if is_met {
                return Ok(Some(case.body));
            }
        }
        Ok(None)
    }

    fn enter_for_each(
        &mut self,
        id: RoutineId,
        routine: &mut Routine,
        step: StepId,
        for_each: &program::ForEach,
    ) -> Result<Flow, Failure> {
        let items = self.items(routine, for_each)?;
        if items.is_empty() {
            self.observe(Event::BodyLeftOut { step });
        }
        match &for_each.concurrency {
            None => match self.enter_turn(routine, step, items, 0, Vec::new()) {
                Some(Outcome::Value(value)) => Ok(Flow::Next(value)),
                Some(outcome) => Ok(Flow::Out(outcome)),
                None => Ok(Flow::Entered),
            },
            Some(code) => {
                let concurrency = self.accepted(routine, code, accepted::concurrency)?;
                Ok(self.enter_turns(id, routine, step, items, concurrency))
            }
        }
    }

    fn items(&mut self, routine: &Routine, for_each: &program::ForEach) -> Result<Items, Failure> {
        let value = self.evaluate(routine, &for_each.items)?;
        match self.forced(&value)? {
            Value::List(items) => Ok(items
                .iter()
                .enumerate()
                .map(|(i, v)| (Value::Int(i as i64), v.clone()))
                .collect()),
            Value::Map(map) => Ok(map.iter().map(|(k, v)| (k.to_value(), v.clone())).collect()),
            other => Err(self.definition_failure(
                for_each.items.range(),
                format!(
                    "`for_each` goes over a list or a map, and this is {}",
                    other.type_name()
                ),
            )),
        }
    }

    fn enter_do(
        &mut self,
        id: RoutineId,
        routine: &mut Routine,
        step: StepId,
        (body, timeout, shield): (BlockId, Option<&DurationCode>, bool),
    ) -> Result<Flow, Failure> {
        if shield {
            routine.frames.push(Frame::Shield {
                cancel_pending: false,
            });
        }
        if let Some(timeout) = timeout {
            let duration = match self.duration(routine, timeout) {
                Ok(duration) => duration,
                Err(failure) => {
                    routine
                        .frames
                        .truncate(routine.frames.len() - usize::from(shield));
                    return Err(failure);
                }
            };
            let frame = routine.frames.len() as u32;
            let kind = OperationKind::Deadline { routine: id, frame };
            let timer = self.begin_timer(kind, duration, Some(step));
            self.summarise(routine, step);
            routine.frames.push(Frame::Deadline {
                step,
                timer,
                expired: false,
            });
        }
        Ok(enter(routine, body))
    }

    fn call(
        &mut self,
        routine: &mut Routine,
        function: u32,
        input: Option<&crate::expression::Code>,
    ) -> Result<Flow, Failure> {
        let calls = routine.frames.iter().filter(|f| {
            matches!(
                f,
                Frame::Function {
                    caller: Some(_),
                    ..
                }
            )
        });
        if calls.count() >= CALL_DEPTH_MAX {
            let message =
                format!("blocks call blocks deeper than CALL_DEPTH_MAX ({CALL_DEPTH_MAX})");
            return Err(Failure::definition(message));
        }
        let input = input.map(|code| self.evaluate(routine, code)).transpose()?;
        let input = input.unwrap_or(Value::Null);
        let callee = &self.program.functions[function as usize];
        self.check(
            callee.input.as_ref(),
            &input,
            &format!("the input of `{}`", callee.name),
        )?;
        let mut locals = vec![None; callee.slots as usize];
        locals[program::slot::INPUT as usize] = Some(input);
        let caller = Caller {
            locals: std::mem::replace(&mut routine.locals, locals),
            handles: std::mem::take(&mut routine.handles),
        };
        routine.frames.push(Frame::Function {
            function: FunctionRef::Block(function),
            saga: callee.is_saga.then(Saga::default),
            caller: Some(Box::new(caller)),
        });
        Ok(enter(routine, callee.body))
    }

    /// All values are evaluated before any is assigned.
    fn set(
        &mut self,
        routine: &Routine,
        assignments: &[(std::sync::Arc<str>, crate::expression::Code)],
    ) -> Result<(), Failure> {
        let mut values = Vec::with_capacity(assignments.len());
        for (name, code) in assignments {
            let value = self.evaluate(routine, code)?;
            values.push((name.clone(), self.forced(&value)?));
        }
        if let Value::Map(state) = &mut self.run.state {
            let state = std::sync::Arc::make_mut(state);
            values.into_iter().for_each(|(name, value)| {
                state.insert(name, value);
            });
        }
        self.run.state_version += 1;
        Ok(())
    }

    fn write_log(
        &mut self,
        routine: &Routine,
        level: LogLevel,
        (message, fields): (&crate::expression::Code, Option<&crate::expression::Code>),
    ) -> Result<(), Failure> {
        let message = self.text(routine, message)?;
        let mut values = Vec::new();
        if let Some(fields) = fields {
            let fields = self.evaluate(routine, fields)?;
            for (key, value) in fields.as_map().into_iter().flat_map(|map| map.iter()) {
                let name = key.as_str().unwrap_or_default().to_owned();
                values.push((name, value.clone()));
            }
        }
        self.command(CommandKind::Log {
            level,
            message,
            fields: values,
        });
        Ok(())
    }

    fn failure(&mut self, routine: &Routine, fail: &program::Fail) -> Result<Failure, Failure> {
        let text = |machine: &mut Self, code: &Option<crate::expression::Code>| {
            code.as_ref()
                .map(|code| machine.text(routine, code))
                .transpose()
        };
        let error_type = text(self, &fail.error_type)?.unwrap_or_default();
        let message = text(self, &fail.message)?.unwrap_or_default();
        let details = match &fail.details {
            Some(code) => vec![self.evaluate(routine, code)?],
            None => Vec::new(),
        };
        let mut size = message.len();
        for detail in &details {
            size += self.payload(detail)?.size_bytes();
        }
        within_bound("the failure", size)?;
        let info = FailureInfo::Application {
            error_type,
            non_retryable: fail.non_retryable,
            details,
            next_retry_delay: None,
        };
        Ok(Failure::new(message, info))
    }
}

fn enter(routine: &mut Routine, block: BlockId) -> Flow {
    routine.frames.push(Frame::block(block));
    Flow::Entered
}

/// Whether the routine's next step that can wait ends it as cancelled.
pub fn is_to_cancel(routine: &Routine) -> bool {
    routine.cancel_pending.is_some() && !is_shielded(routine)
}

fn is_shielded(routine: &Routine) -> bool {
    routine.frames.iter().any(|frame| match frame {
        Frame::Shield { .. } => true,
        Frame::Saga { saga, .. }
        | Frame::Function {
            saga: Some(saga), ..
        } => saga.compensating.is_some(),
        _ => false,
    })
}

/// The failure that the innermost `catch` caught.
fn caught(routine: &Routine) -> Failure {
    let caught = routine.frames.iter().rev().find_map(|frame| match frame {
        Frame::Try(frame) => match &frame.phase {
            TryPhase::Catch { failure } => Some(failure.clone()),
            _ => None,
        },
        _ => None,
    });
    caught.unwrap_or_else(|| {
        Failure::definition("`fail:` without a mapping stands outside a `catch`")
    })
}
