//! `for_each` one turn at a time, `while` and `repeat`; `break` and `continue` leave a turn.

use super::{At, Flow, enter};
use crate::accepted;
use crate::engine::failure::Failure;
use crate::engine::machine::Machine;
use crate::engine::observe::Event;
use crate::engine::state::{Frame, Items, Outcome, Routine};
use crate::expression::Code;
use crate::program::{self, Action};
use crate::value::Value;
use crate::words::{BlockId, StepId};

/// The progress of a `for_each`: a [`Frame::Turns`].
pub(crate) struct Turns {
    pub(crate) step: StepId,
    pub(crate) items: Items,
    pub(crate) next: u32,
    pub(crate) results: Vec<Value>,
}

impl Turns {
    fn of(step: StepId, items: Items) -> Self {
        Turns {
            step,
            items,
            next: 0,
            results: Vec::new(),
        }
    }
}

impl Machine<'_> {
    pub(crate) fn begin_for_each(
        &mut self,
        at: &mut At<'_>,
        for_each: &program::ForEach,
    ) -> Result<Flow, Failure> {
        let items = self.items(at.routine, for_each)?;
        if items.is_empty() {
            self.observe(Event::BodyLeftOut { step: at.step });
        }
        match &for_each.concurrency {
            None => match self.enter_turn(at.routine, Turns::of(at.step, items)) {
                Some(Outcome::Value(value)) => Ok(Flow::Next(value)),
                Some(outcome) => Ok(Flow::Out(outcome)),
                None => Ok(Flow::Entered),
            },
            Some(code) => {
                let concurrency = self.accepted(at.routine, code, accepted::concurrency)?;
                Ok(self.begin_turns(at, items, concurrency))
            }
        }
    }

    fn items(&mut self, routine: &Routine, for_each: &program::ForEach) -> Result<Items, Failure> {
        let value = self.evaluate(routine, &for_each.items)?;
        let value = self.forced(&value)?;
        if let Value::List(items) = &value {
            let items = items.iter().enumerate();
            return Ok(items
                .map(|(i, v)| (Value::Int(i as i64), v.clone()))
                .collect());
        }
        if let Value::Map(map) = &value {
            return Ok(map.iter().map(|(k, v)| (k.to_value(), v.clone())).collect());
        }
        let message = format!(
            "`for_each` goes over a list or a map, and this is {}",
            value.type_name()
        );
        Err(self.definition_failure(for_each.items.range(), message))
    }

    pub(crate) fn leave_turn(
        &mut self,
        routine: &mut Routine,
        mut turns: Turns,
        outcome: Outcome,
    ) -> Option<Outcome> {
        let value = match outcome {
            Outcome::Value(value) => value,
            Outcome::Continue => Value::Null,
            Outcome::Break => return Some(Outcome::Value(Value::list(turns.results))),
            outcome @ (Outcome::Failed(_) | Outcome::Return(_) | Outcome::ContinueAsNew(_)) => {
                return Some(outcome);
            }
        };
        match self.forced(&value) {
            Ok(value) => turns.results.push(value),
            Err(failure) => return Some(Outcome::Failed(failure)),
        }
        self.enter_turn(routine, turns)
    }

    /// Begins the turn `next`, or ends the loop if there is none.
    fn enter_turn(&mut self, routine: &mut Routine, turns: Turns) -> Option<Outcome> {
        let Action::ForEach(for_each) = &self.program.step(turns.step).action else {
            self.run.violated("the frame of turns is of a `for_each`");
            return Some(Outcome::Value(Value::Null));
        };
        let Some((index, item)) = turns.items.get(turns.next as usize) else {
            return Some(Outcome::Value(Value::list(turns.results)));
        };
        routine.locals[for_each.item_slot as usize] = Some(item.clone());
        if let Some(slot) = for_each.index_slot {
            routine.locals[slot as usize] = Some(index.clone());
        }
        routine.frames.push(Frame::Turns {
            step: turns.step,
            next: turns.next + 1,
            items: turns.items,
            results: turns.results,
        });
        routine.frames.push(Frame::block(for_each.body));
        None
    }

    pub(crate) fn begin_while(
        &mut self,
        at: &mut At<'_>,
        condition: &Code,
        body: BlockId,
    ) -> Result<Flow, Failure> {
        if !self.condition(at.routine, condition)? {
            self.observe(Event::BodyLeftOut { step: at.step });
            return Ok(Flow::Next(Value::Null));
        }
        Ok(enter_loop(at, body))
    }

    pub(crate) fn leave_loop(
        &mut self,
        routine: &mut Routine,
        step: StepId,
        outcome: Outcome,
    ) -> Option<Outcome> {
        let last = match outcome {
            Outcome::Value(value) => value,
            Outcome::Continue => Value::Null,
            Outcome::Break => return Some(Outcome::Value(Value::Null)),
            outcome @ (Outcome::Failed(_) | Outcome::Return(_) | Outcome::ContinueAsNew(_)) => {
                return Some(outcome);
            }
        };
        let program = self.program;
        let action = &program.step(step).action;
        let (again, body) = if let Action::While { condition, body } = action {
            (self.condition(routine, condition), *body)
        } else if let Action::Repeat { until, body } = action {
            (self.condition(routine, until).map(|met| !met), *body)
        } else {
            self.run
                .violated("the frame of a loop is of a `while` or `repeat`");
            return Some(Outcome::Value(last));
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
}

/// Begins the first turn of a `while` or `repeat`.
pub(crate) fn enter_loop(at: &mut At<'_>, body: BlockId) -> Flow {
    at.routine.frames.push(Frame::Loop { step: at.step });
    enter(at.routine, body)
}
