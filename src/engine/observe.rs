//! What an observer of a run sees: its steps, blocks and expressions as the engine executes them. An observer cannot
//! affect the run, and is not part of its state.

use std::fmt::Debug;
use std::sync::Arc;

use super::Loaded;
use super::failure::Failure;
use super::machine::Machine;
use super::state::{Outcome, RoutineId};
use crate::source::Range;
use crate::value::{Timestamp, Value};
use crate::words::{BlockId, StepId};

/// Passed to an instance by its host, for coverage and timelines.
pub trait Observer: Debug + Send + Sync {
    fn saw(&self, moment: &Moment<'_>, event: Event<'_>);
}

/// The time of an event, and its run.
#[derive(Debug)]
pub struct Moment<'a> {
    pub loaded: &'a Arc<Loaded>,
    pub(crate) workflow_id: &'a str,
    pub(crate) now: Timestamp,
    pub(crate) is_replaying: bool,
}

/// Routines run concurrently; a step begins and ends in the same one.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    StepBegan {
        routine: RoutineId,
        step: StepId,
    },
    /// Its `when` was false.
    StepSkipped {
        step: StepId,
    },
    StepEnded {
        routine: RoutineId,
        step: StepId,
        end: End<'a>,
    },
    /// Control entered the block: a case, a `catch`, another turn of a loop's body. An empty block is entered too.
    BlockEntered {
        block: BlockId,
    },
    /// A loop ended without a turn.
    BodyLeftOut {
        step: StepId,
    },
    /// The branch with this index ended first, and so decided its `race`.
    RaceWon {
        step: StepId,
        branch: u32,
    },
    Evaluated {
        range: Range,
        found: Found,
    },
    /// These signals are settled: a handler or a `wait` consumed them, they were refused, or the workflow completed
    /// with them.
    SignalsSettled {
        count: usize,
    },
}

/// How a step ended.
#[derive(Debug, Clone, Copy)]
pub enum End<'a> {
    Value(&'a Value),
    Failed(&'a Failure),
    /// By `return`, `break`, `continue` or `continue_as_new`.
    Left,
}

/// The result of an expression; conditions are true or false.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    True,
    False,
    Other,
    Failed,
}

impl<'a> End<'a> {
    pub(super) fn of(outcome: &'a Outcome) -> Self {
        match outcome {
            Outcome::Value(value) => End::Value(value),
            Outcome::Failed(failure) => End::Failed(failure),
            Outcome::Return(_) | Outcome::Break | Outcome::Continue | Outcome::ContinueAsNew(_) => {
                End::Left
            }
        }
    }
}

impl Found {
    pub(super) fn of<E>(result: &Result<Value, E>) -> Self {
        match result {
            Ok(Value::Bool(true)) => Found::True,
            Ok(Value::Bool(false)) => Found::False,
            Ok(_) => Found::Other,
            Err(_) => Found::Failed,
        }
    }
}

/// An observer with the program that the instance is bound to.
#[derive(Clone, Copy)]
pub(crate) struct Sight<'a> {
    pub(crate) observer: &'a dyn Observer,
    pub(crate) loaded: &'a Arc<Loaded>,
}

impl Machine<'_> {
    pub(crate) fn observe(&self, event: Event<'_>) {
        let Some(sight) = self.sight else { return };
        let moment = Moment {
            loaded: sight.loaded,
            workflow_id: &self.run.info.workflow_id,
            now: self.clock.now,
            is_replaying: self.clock.is_replaying,
        };
        sight.observer.saw(&moment, event);
    }
}
