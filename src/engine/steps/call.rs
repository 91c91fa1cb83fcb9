//! `call`, and functions in general: a block of `blocks`, a handler, the workflow's body.

use super::{Flow, enter};
use crate::engine::failure::Failure;
use crate::engine::flag::{OUTPUT_WITHOUT_RETURN, SAGA_EFFECTS};
use crate::engine::machine::Machine;
use crate::engine::state::{Caller, Frame, FunctionRef, Outcome, Routine, Saga};
use crate::expression::Code;
use crate::faults::Fault;
use crate::limits::CALL_DEPTH_MAX;
use crate::program::slot;
use crate::value::Value;
use crate::words::OnCompensationFailure;

/// A running function: a [`Frame::Function`].
pub(crate) struct Called {
    pub(crate) function: FunctionRef,
    pub(crate) saga: Option<Saga>,
    pub(crate) caller: Option<Box<Caller>>,
}

impl Machine<'_> {
    pub(crate) fn begin_call(
        &mut self,
        routine: &mut Routine,
        function: u32,
        input: Option<&Code>,
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
        locals[slot::INPUT as usize] = Some(input);
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

    pub(crate) fn leave_function(
        &mut self,
        routine: &mut Routine,
        called: Called,
        outcome: Outcome,
    ) -> Option<Outcome> {
        let Called {
            function,
            saga,
            caller,
        } = called;
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

    /// The end of a function: its result, if its `output` allows that.
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
            outcome @ (Outcome::Failed(_) | Outcome::ContinueAsNew(_)) => outcome,
        }
    }

    /// The result of a function: the value, if its `output` allows it.
    fn result(&self, function: FunctionRef, value: Value, what: &str) -> Outcome {
        let output = self.function(function).output.as_ref();
        match self.check(output, &value, what) {
            Ok(()) => Outcome::Value(value),
            Err(failure) => Outcome::Failed(failure),
        }
    }
}
