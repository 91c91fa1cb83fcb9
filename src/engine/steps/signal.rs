//! `signal` and `cancel_workflow`: requests to other workflows. They end when the server answers.

use super::{At, Flow};
use crate::accepted;
use crate::engine::command::{CommandKind, SignalTarget};
use crate::engine::failure::Failure;
use crate::engine::job::Resolution;
use crate::engine::machine::Machine;
use crate::engine::state::OperationKind;
use crate::expression::Code;
use crate::program;
use crate::value::Value;

impl Machine<'_> {
    pub(crate) fn begin_signal(
        &mut self,
        at: &mut At<'_>,
        signal: &program::Signal,
    ) -> Result<Flow, Failure> {
        let name = self.accepted(at.routine, &signal.name, accepted::name)?;
        let args = self.arguments(at.routine, &signal.arguments)?;
        let target = match &signal.target {
            program::SignalTarget::Workflow {
                workflow_id,
                run_id,
            } => SignalTarget::Workflow {
                workflow_id: self.accepted(at.routine, workflow_id, accepted::name)?,
                run_id: self
                    .optional_text(at.routine, run_id.as_ref())?
                    .unwrap_or_default(),
            },
            program::SignalTarget::Handle(slot) => {
                let operation = at
                    .routine
                    .handle(*slot)
                    .and_then(|seq| self.run.operations.get(&seq));
                let Some(OperationKind::Child { workflow_id, .. }) = operation.map(|o| &o.kind)
                else {
                    return Err(Failure::definition("this id is not a started child's"));
                };
                SignalTarget::Child {
                    workflow_id: workflow_id.clone(),
                }
            }
        };
        let seq = self.run.take_seq();
        self.begin(seq, OperationKind::SignalExternal, Some(at.step));
        self.command(CommandKind::SignalExternal {
            seq,
            target,
            name,
            args,
        });
        self.summarise(at.routine, at.step);
        Ok(self.wait_operation(at, seq))
    }

    pub(crate) fn begin_cancel_workflow(
        &mut self,
        at: &mut At<'_>,
        workflow_id: &Code,
        run_id: Option<&Code>,
        reason: Option<&Code>,
    ) -> Result<Flow, Failure> {
        let workflow_id = self.accepted(at.routine, workflow_id, accepted::name)?;
        let run_id = self.optional_text(at.routine, run_id)?.unwrap_or_default();
        let reason = self.optional_text(at.routine, reason)?.unwrap_or_default();
        let seq = self.run.take_seq();
        self.begin(seq, OperationKind::CancelExternal, Some(at.step));
        self.command(CommandKind::CancelExternal {
            seq,
            workflow_id,
            run_id,
            reason,
        });
        self.summarise(at.routine, at.step);
        Ok(self.wait_operation(at, seq))
    }
}

/// A request has no result but its failure.
pub(crate) fn answered(failure: Option<Failure>) -> Resolution {
    failure.map_or(Resolution::Completed(Value::Null), Resolution::Failed)
}
