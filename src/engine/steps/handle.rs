//! `start`, `await` and `cancel`: handles of operations that are started without being awaited.

use super::{At, Flow};
use crate::engine::failure::Failure;
use crate::engine::job::Resolution;
use crate::engine::machine::Machine;
use crate::engine::state::{Outcome, Routine, Waiting};
use crate::value::Value;

impl Machine<'_> {
    /// The step waits for the operation that it has started.
    pub(crate) fn wait_operation(&mut self, at: &mut At<'_>, seq: u32) -> Flow {
        self.wait_for(at.id, seq);
        at.routine.waiting = Some(Waiting::Operation { seq });
        Flow::Entered
    }

    /// The operation continues beside the steps that follow, under the step's id.
    pub(crate) fn keep_handle(&mut self, at: &mut At<'_>, seq: u32) {
        match self.run.operations.get_mut(&seq) {
            Some(operation) => operation.is_handle = true,
            None => self
                .run
                .violated("an operation is registered before its step goes on"),
        }
        if let Some(slot) = self.program.step(at.step).slot {
            at.routine.handles.retain(|(s, _)| *s != slot);
            at.routine.handles.push((slot, seq));
        }
    }

    pub(crate) fn begin_await(&mut self, at: &mut At<'_>, slot: u32) -> Result<Flow, Failure> {
        let operation = at
            .routine
            .handle(slot)
            .and_then(|seq| Some((seq, self.run.operations.get(&seq)?)));
        let Some((seq, operation)) = operation else {
            return Err(Failure::definition("nothing was started under this id"));
        };
        match operation.resolution.clone() {
            None => Ok(self.wait_operation(at, seq)),
            Some(Resolution::Completed(value)) => Ok(Flow::Next(value)),
            Some(Resolution::Failed(failure) | Resolution::Cancelled(failure)) => {
                Ok(Flow::Out(Outcome::Failed(failure)))
            }
            Some(Resolution::Unusable { result, failure }) => {
                self.undo_unusable(at.routine, &result);
                Ok(Flow::Out(Outcome::Failed(failure)))
            }
        }
    }

    /// Cancels a started operation, if it is still in flight.
    pub(crate) fn cancel_handle(&mut self, routine: &Routine, slot: u32) -> Flow {
        if let Some(seq) = routine.handle(slot) {
            self.cancel_operation(seq, None);
        }
        Flow::Next(Value::Null)
    }
}
