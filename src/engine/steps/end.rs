//! `return`, `fail` and `continue_as_new`: how steps end. `engine/ending.rs` has what their end means for the run.

use std::collections::BTreeMap;

use super::{At, Flow};
use crate::accepted;
use crate::engine::command::{self};
use crate::engine::evaluate::within_bound;
use crate::engine::failure::{Failure, FailureInfo};
use crate::engine::machine::Machine;
use crate::engine::state::{Frame, Outcome, Routine, TryPhase};
use crate::engine::{CHAIN_HEADER, DEFINITION_HEADER};
use crate::expression::Code;
use crate::program;
use crate::value::Value;
use crate::words::ContinuedVersion;

impl Machine<'_> {
    pub(crate) fn begin_return(
        &mut self,
        at: &mut At<'_>,
        value: Option<&Code>,
    ) -> Result<Flow, Failure> {
        let value = value.map(|v| self.evaluate(at.routine, v)).transpose()?;
        let outcome = Outcome::Return(value.unwrap_or(Value::Null));
        self.leaves(at.routine, at.step, &outcome);
        Ok(Flow::Out(outcome))
    }

    pub(crate) fn begin_continue_as_new(
        &mut self,
        at: &mut At<'_>,
        next: &program::ContinueAsNew,
    ) -> Result<Flow, Failure> {
        let next = self.continue_as_new(at.routine, next)?;
        if !self.continues_in_room(&next)? {
            return Ok(Flow::Entered);
        }
        let outcome = Outcome::ContinueAsNew(Box::new(next));
        self.leaves(at.routine, at.step, &outcome);
        Ok(Flow::Out(outcome))
    }

    pub(crate) fn continue_as_new(
        &mut self,
        routine: &Routine,
        next: &program::ContinueAsNew,
    ) -> Result<command::ContinueAsNew, Failure> {
        let info = self.run.info.clone();
        let workflow = self.optional_accepted(routine, next.workflow.as_ref(), accepted::name)?;
        let task_queue =
            self.optional_accepted(routine, next.task_queue.as_ref(), accepted::name)?;
        let arguments = match &next.arguments {
            Some(arguments) => self.arguments(routine, arguments)?,
            None => info
                .arguments
                .iter()
                .map(|v| self.payload(v))
                .collect::<Result<_, _>>()?,
        };
        let mut headers = BTreeMap::new();
        if next.version == ContinuedVersion::Pinned {
            let bundle = Value::Bytes(self.bundle.into());
            headers.insert(DEFINITION_HEADER.to_owned(), self.payload(&bundle)?);
            headers.insert(CHAIN_HEADER.to_owned(), self.payload(&self.chain())?);
        }
        Ok(command::ContinueAsNew {
            workflow_type: workflow.unwrap_or(info.workflow_type),
            task_queue: task_queue.unwrap_or(info.task_queue),
            arguments,
            run_timeout: self.optional_length(routine, next.workflow_run_timeout.as_ref())?,
            task_timeout: self.optional_length(routine, next.workflow_task_timeout.as_ref())?,
            memo: self.payloads(routine, next.memo.as_ref())?,
            search_attributes: self.payloads(routine, next.search_attributes.as_ref())?,
            headers,
            retry_policy: next
                .retry_policy
                .as_ref()
                .map(|p| self.retry_policy(routine, p))
                .transpose()?,
            initial_versioning_behavior: next.initial_versioning_behavior,
        })
    }

    pub(crate) fn failure(
        &mut self,
        routine: &Routine,
        fail: &program::Fail,
    ) -> Result<Failure, Failure> {
        let text = |machine: &mut Self, code: &Option<Code>| {
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

/// The failure that the innermost `catch` caught.
pub(crate) fn caught(routine: &Routine) -> Failure {
    let caught = routine.frames.iter().rev().find_map(|frame| {
        let Frame::Try(frame) = frame else {
            return None;
        };
        let TryPhase::Catch { failure } = &frame.phase else {
            return None;
        };
        Some(failure.clone())
    });
    caught.unwrap_or_else(|| {
        Failure::definition("`fail:` without a mapping stands outside a `catch`")
    })
}
