//! `child`: another workflow that this one starts, and awaits unless it is only started.

use super::signal::answered;
use super::{At, Flow};
use crate::accepted;
use crate::engine::command::{CommandKind, StartChild};
use crate::engine::failure::{Failure, FailureInfo};
use crate::engine::job::Resolution;
use crate::engine::load::child_size_bytes;
use crate::engine::machine::Machine;
use crate::engine::operations::CANCEL_REASON;
use crate::engine::state::{Operation, OperationKind, Outcome, Waiting};
use crate::program;
use crate::value::{Map, Value};
use crate::words::{ChildCancellationType, RetryState};

impl Machine<'_> {
    pub(crate) fn begin_child(
        &mut self,
        at: &mut At<'_>,
        child: &program::Child,
    ) -> Result<Flow, Failure> {
        let options = &child.options;
        let workflow_type = self.accepted(at.routine, &child.child, accepted::name)?;
        let input = self.arguments(at.routine, &child.arguments)?;
        let workflow_id =
            self.optional_accepted(at.routine, options.workflow_id.as_ref(), accepted::name)?;
        let task_queue =
            self.optional_accepted(at.routine, options.task_queue.as_ref(), accepted::name)?;
        let start = StartChild {
            seq: 0,
            workflow_id: match workflow_id {
                Some(workflow_id) => workflow_id,
                None => self.uuid(),
            },
            workflow_type,
            task_queue: task_queue.unwrap_or_else(|| self.run.info.task_queue.clone()),
            input,
            execution_timeout: self
                .optional_length(at.routine, options.workflow_execution_timeout.as_ref())?,
            run_timeout: self.optional_length(at.routine, options.workflow_run_timeout.as_ref())?,
            task_timeout: self
                .optional_length(at.routine, options.workflow_task_timeout.as_ref())?,
            parent_close_policy: options.parent_close_policy,
            workflow_id_reuse_policy: options.workflow_id_reuse_policy,
            retry_policy: options
                .retry_policy
                .as_ref()
                .map(|p| self.retry_policy(at.routine, p))
                .transpose()?,
            cron_schedule: self
                .optional_text(at.routine, options.cron_schedule.as_ref())?
                .unwrap_or_default(),
            memo: self.payloads(at.routine, options.memo.as_ref())?,
            search_attributes: self.payloads(at.routine, options.search_attributes.as_ref())?,
            cancellation_type: options.cancellation_type,
            priority: options
                .priority
                .as_ref()
                .map(|p| self.priority(at.routine, p))
                .transpose()?,
        };
        if !self.makes_room(child_size_bytes(&start))? {
            return Ok(Flow::Entered);
        }
        let seq = self.run.take_seq();
        let kind = OperationKind::Child {
            workflow_type: start.workflow_type.clone(),
            workflow_id: start.workflow_id.clone(),
            run_id: None,
            cancellation_type: options.cancellation_type,
        };
        self.begin(seq, kind, Some(at.step));
        self.command(CommandKind::StartChild(Box::new(StartChild {
            seq,
            ..start
        })));
        self.summarise(at.routine, at.step);
        if !child.is_started {
            return Ok(self.wait_operation(at, seq));
        }
        self.keep_handle(at, seq);
        self.wait_for(at.id, seq);
        at.routine.waiting = Some(Waiting::ChildStart { seq });
        Ok(Flow::Entered)
    }

    pub(crate) fn child_started(&mut self, seq: u32, started: String) {
        // It may have been abandoned before the run processed its start.
        let Some(operation) = self.run.operations.get_mut(&seq) else {
            return;
        };
        let OperationKind::Child {
            workflow_id,
            run_id,
            ..
        } = &mut operation.kind
        else {
            return self.run.violated("only a child starts");
        };
        *run_id = Some(started.clone());
        let handle = Map::from_iter([
            ("workflow_id", workflow_id.as_str()),
            ("run_id", started.as_str()),
        ]);
        for id in operation.waiters.clone() {
            let waits = self.run.routines.get(&id).and_then(|r| r.waiting.as_ref());
            if waits == Some(&Waiting::ChildStart { seq }) {
                self.run
                    .operations
                    .get_mut(&seq)
                    .into_iter()
                    .for_each(|o| o.waiters.retain(|w| *w != id));
                self.run
                    .resume(id, Outcome::Value(Value::map(handle.clone())));
            }
        }
    }

    /// Core would send the request to the child's first run, which has no effect once the child has continued as new;
    /// so it is sent to the workflow, whichever run it is at.
    pub(crate) fn cancel_child(
        &mut self,
        child: u32,
        workflow_id: String,
        how: ChildCancellationType,
    ) {
        use ChildCancellationType::{Abandon, TryCancel};
        let is_request = |o: &Operation| matches!(o.kind, OperationKind::CancelRequest { child: c } if c == child);
        let is_requested = self.run.operations.values().any(is_request);
        if how != Abandon && !is_requested {
            let seq = self.run.take_seq();
            self.begin(seq, OperationKind::CancelRequest { child }, None);
            self.command(CommandKind::CancelExternal {
                seq,
                workflow_id,
                run_id: String::new(),
                reason: CANCEL_REASON.into(),
            });
        }
        if matches!(how, Abandon | TryCancel) {
            self.child_cancelled(child);
        }
    }

    /// The child that was requested to cancel itself, if this is the request.
    fn requested_of(&mut self, seq: u32) -> Option<u32> {
        let OperationKind::CancelRequest { child } = self.run.operations.get(&seq)?.kind else {
            return None;
        };
        self.run.operations.remove(&seq);
        Some(child)
    }

    /// The request of a step, or of a child's cancellation, was answered.
    pub(crate) fn cancel_external_resolved(&mut self, seq: u32, failure: Option<Failure>) {
        match self.requested_of(seq) {
            Some(child) => self.cancellation_requested(child, failure),
            None => self.resolved(seq, answered(failure)),
        }
    }

    /// A child that can no longer be requested to cancel has ended, and its end is about to be reported.
    fn cancellation_requested(&mut self, child: u32, failure: Option<Failure>) {
        let kind = self.run.operations.get(&child).map(|o| &o.kind);
        if let (
            None,
            Some(OperationKind::Child {
                cancellation_type, ..
            }),
        ) = (failure, kind)
            && *cancellation_type == ChildCancellationType::WaitCancellationRequested
        {
            self.child_cancelled(child);
        }
    }

    /// The server did not start it, or it was cancelled before.
    pub(crate) fn not_started(&mut self, seq: u32, failure: Failure) {
        let resolution = match failure.is_cancelled() {
            true => Resolution::Cancelled(failure),
            false => Resolution::Failed(failure),
        };
        self.resolved(seq, resolution);
    }

    /// The waiters of the child continue, whatever the child does.
    fn child_cancelled(&mut self, child: u32) {
        let operation = self.run.operations.get(&child);
        let Some(OperationKind::Child {
            workflow_type,
            workflow_id,
            run_id,
            ..
        }) = operation.map(|operation| &operation.kind)
        else {
            return self.run.violated("a child that is cancelled is in flight");
        };
        let info = FailureInfo::ChildWorkflow {
            namespace: self.run.info.namespace.clone(),
            workflow_id: workflow_id.clone(),
            run_id: run_id.clone().unwrap_or_default(),
            workflow_type: workflow_type.clone(),
            retry_state: RetryState::Unspecified,
            initiated_event_id: 0,
            started_event_id: 0,
        };
        let cause = Failure::cancelled("cancelled");
        let failure = Failure {
            cause: Some(Box::new(cause)),
            ..Failure::new("Child Workflow execution cancelled", info)
        };
        self.resolved(child, Resolution::Cancelled(failure));
    }
}
