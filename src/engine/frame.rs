//! Facts about a frame, by its kind.

use super::state::{Caller, Frame, Saga};
use crate::program::Program;
use crate::value::Value;
use crate::words::{BlockId, StepId};

impl Frame {
    pub(crate) fn block(block: BlockId) -> Self {
        Frame::Block {
            block,
            next: 0,
            last: Value::Null,
        }
    }

    /// The step that a block is at, unless it is at its end.
    pub(crate) fn step(&self, program: &Program) -> Option<StepId> {
        match self {
            Frame::Block { block, next, .. } => program.block(*block).get(*next as usize).copied(),
            Frame::Function { .. }
            | Frame::Loop { .. }
            | Frame::Turns { .. }
            | Frame::Fan(_)
            | Frame::Try(_)
            | Frame::Saga { .. }
            | Frame::Deadline { .. }
            | Frame::Shield { .. } => None,
        }
    }

    pub(crate) fn saga(&self) -> Option<&Saga> {
        match self {
            Frame::Saga { saga, .. } => Some(saga),
            Frame::Function { saga, .. } => saga.as_ref(),
            Frame::Block { .. }
            | Frame::Loop { .. }
            | Frame::Turns { .. }
            | Frame::Fan(_)
            | Frame::Try(_)
            | Frame::Deadline { .. }
            | Frame::Shield { .. } => None,
        }
    }

    pub(crate) fn saga_mut(&mut self) -> Option<&mut Saga> {
        match self {
            Frame::Saga { saga, .. } => Some(saga),
            Frame::Function { saga, .. } => saga.as_mut(),
            Frame::Block { .. }
            | Frame::Loop { .. }
            | Frame::Turns { .. }
            | Frame::Fan(_)
            | Frame::Try(_)
            | Frame::Deadline { .. }
            | Frame::Shield { .. } => None,
        }
    }

    pub(crate) fn caller_mut(&mut self) -> Option<&mut Caller> {
        match self {
            Frame::Function { caller, .. } => caller.as_deref_mut(),
            Frame::Block { .. }
            | Frame::Loop { .. }
            | Frame::Turns { .. }
            | Frame::Fan(_)
            | Frame::Try(_)
            | Frame::Saga { .. }
            | Frame::Deadline { .. }
            | Frame::Shield { .. } => None,
        }
    }

    pub(crate) fn is_compensating(&self) -> bool {
        self.saga().is_some_and(|saga| saga.compensating.is_some())
    }

    /// Whether cancellations do not reach what runs inside.
    pub(crate) fn is_shielding(&self) -> bool {
        matches!(self, Frame::Shield { .. }) || self.is_compensating()
    }
}
