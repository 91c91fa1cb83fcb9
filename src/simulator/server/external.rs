//! What a run receives from clients and other workflows: signals, cancellation, termination (temporal server 1.32.0,
//! service/history/transfer_queue_active_task_executor.go).

use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1 as enums;
use temporalio_protos::temporal::api::history::v1 as history;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;

use super::event::{IDENTITY, payloads};
use super::execution::Task;
use super::limits::{check_signal_name, check_size};
use super::{Refused, Server};
use crate::history::{Commanded, Meaning, Operation, Stage};
use crate::payload::payloads_to_proto;
use crate::value::Payload;

impl Server {
    pub(crate) fn signal(
        &mut self,
        workflow_id: &str,
        name: &str,
        input: Vec<Payload>,
    ) -> Result<(), Refused> {
        check_signal_name(name)?;
        let run = self.open_run(workflow_id)?;
        let input = payloads_to_proto(input);
        check_size(input.as_ref())?;
        self.executions[run].check_signal()?;
        self.deliver_signal(run, name, input, None);
        Ok(())
    }

    pub(crate) fn cancel(&mut self, workflow_id: &str, reason: &str) -> Result<(), Refused> {
        let run = self.open_run(workflow_id)?;
        self.request_cancel(run, reason, None);
        Ok(())
    }

    pub(crate) fn terminate(&mut self, workflow_id: &str, reason: &str) -> Result<(), Refused> {
        let run = self.open_run(workflow_id)?;
        self.terminate_run(run, reason);
        Ok(())
    }

    pub(super) fn deliver_signal(
        &mut self,
        run: usize,
        name: &str,
        input: Option<common::Payloads>,
        from: Option<common::WorkflowExecution>,
    ) {
        self.executions[run].signals += 1;
        let attributes = history::WorkflowExecutionSignaledEventAttributes {
            signal_name: name.to_owned(),
            input,
            identity: IDENTITY.to_owned(),
            external_workflow_execution: from,
            ..Default::default()
        };
        self.arrive(
            run,
            Attributes::WorkflowExecutionSignaledEventAttributes(attributes),
        );
    }

    /// Only the first request is recorded.
    pub(super) fn request_cancel(
        &mut self,
        run: usize,
        reason: &str,
        from: Option<(i64, common::WorkflowExecution)>,
    ) {
        if std::mem::replace(&mut self.executions[run].cancel_requested, true) {
            return;
        }
        let (external_initiated_event_id, external) = from.unzip();
        let attributes = history::WorkflowExecutionCancelRequestedEventAttributes {
            cause: reason.to_owned(),
            external_initiated_event_id: external_initiated_event_id.unwrap_or_default(),
            external_workflow_execution: external,
            identity: IDENTITY.to_owned(),
        };
        self.arrive(
            run,
            Attributes::WorkflowExecutionCancelRequestedEventAttributes(attributes),
        );
    }

    /// The run that a message to another workflow is for, open or closed.
    fn target(
        &self,
        from: usize,
        to: &common::WorkflowExecution,
        child_only: bool,
    ) -> Option<usize> {
        let current = *self.current.get(&to.workflow_id)?;
        let execution = &self.executions[current];
        let is_current = to.run_id.is_empty()
            || execution.run_id == to.run_id
            || (child_only && execution.started.first_execution_run_id == to.run_id);
        let target = match is_current {
            true => current,
            false => self.executions.iter().position(|execution| {
                execution.run_id == to.run_id && execution.workflow_id == to.workflow_id
            })?,
        };
        let parent = self.executions[target].parent.as_ref();
        let is_child = parent.is_some_and(|parent| parent.run == from);
        (is_child || !child_only).then_some(target)
    }

    /// Also a mocked one.
    fn had_child(&self, run: usize, workflow_id: &str) -> bool {
        let mut history = self.executions[run].history.iter();
        history.any(|event| {
            matches!(Meaning::of(event), Meaning::Progress(progress)
                if progress.operation == Operation::Child
                    && matches!(progress.stage, Stage::Started { .. })
                    && progress.id == Some(workflow_id))
        })
    }

    /// A mocked child.
    fn mocked_child(&self, run: usize, workflow_id: &str) -> Option<i64> {
        let children = &self.executions[run].children;
        let found = children
            .iter()
            .find(|(_, child)| child.initiated.workflow_id == workflow_id && child.mock.is_some());
        found.map(|(event_id, _)| *event_id)
    }

    pub(crate) fn send_external_signal(&mut self, run: usize, event_id: i64) {
        let Meaning::Commanded(Commanded::Signal(sent)) = self.executions[run].meaning(event_id)
        else {
            return self.broken(run, format!("event {event_id} sends no signal"));
        };
        let sent = sent.clone();
        // It closed before the signal was sent.
        if !self.executions[run].is_open() {
            return;
        }
        let to = sent.workflow_execution.clone().unwrap_or_default();
        let target = self.target(run, &to, sent.child_workflow_only);
        let target = target.filter(|target| self.executions[*target].is_open());
        let own = self.executions[run].execution();
        // No workflow can reach itself, by whichever of its runs: temporal server 1.32.0,
        // transfer_queue_active_task_executor.go.
        let is_itself = to.workflow_id == own.workflow_id;
        use enums::SignalExternalWorkflowExecutionFailedCause as Cause;
        let refused = match target {
            _ if is_itself => Some(Cause::ExternalWorkflowExecutionNotFound),
            Some(target) if self.executions[target].check_signal().is_err() => {
                Some(Cause::SignalCountLimitExceeded)
            }
            Some(target) => {
                self.deliver_signal(target, &sent.signal_name, sent.input.clone(), Some(own));
                None
            }
            None => {
                let is_there = self.mocked_child(run, &to.workflow_id).is_some()
                    || self.world.outside.external(&to.workflow_id);
                (!is_there).then_some(Cause::ExternalWorkflowExecutionNotFound)
            }
        };
        let attributes = match refused {
            None => Attributes::ExternalWorkflowExecutionSignaledEventAttributes(
                history::ExternalWorkflowExecutionSignaledEventAttributes {
                    initiated_event_id: event_id,
                    namespace: sent.namespace,
                    workflow_execution: sent.workflow_execution,
                    ..Default::default()
                },
            ),
            Some(cause) => Attributes::SignalExternalWorkflowExecutionFailedEventAttributes(
                history::SignalExternalWorkflowExecutionFailedEventAttributes {
                    cause: cause.into(),
                    workflow_task_completed_event_id: sent.workflow_task_completed_event_id,
                    namespace: sent.namespace,
                    workflow_execution: sent.workflow_execution,
                    initiated_event_id: event_id,
                    ..Default::default()
                },
            ),
        };
        self.arrive(run, attributes);
    }

    pub(crate) fn send_external_cancel(&mut self, run: usize, event_id: i64) {
        let Meaning::Commanded(Commanded::Cancellation(sent)) =
            self.executions[run].meaning(event_id)
        else {
            return self.broken(run, format!("event {event_id} sends no cancellation"));
        };
        let sent = sent.clone();
        // It closed before the cancellation was sent.
        if !self.executions[run].is_open() {
            return;
        }
        let to = sent.workflow_execution.clone().unwrap_or_default();
        let target = self.target(run, &to, sent.child_workflow_only);
        let own = self.executions[run].execution();
        // A closed workflow needs no cancellation: that is not a failure.
        let is_there = match (target, self.mocked_child(run, &to.workflow_id)) {
            // As with signals.
            _ if to.workflow_id == own.workflow_id => false,
            (Some(target), _) => {
                if self.executions[target].is_open() {
                    self.request_cancel(target, &sent.reason, Some((event_id, own)));
                }
                true
            }
            (None, Some(child)) => {
                self.cancel_mocked_child(run, child);
                true
            }
            (None, None) => {
                self.world.outside.external(&to.workflow_id) || self.had_child(run, &to.workflow_id)
            }
        };
        let attributes = match is_there {
            true => Attributes::ExternalWorkflowExecutionCancelRequestedEventAttributes(
                history::ExternalWorkflowExecutionCancelRequestedEventAttributes {
                    initiated_event_id: event_id,
                    namespace: sent.namespace,
                    workflow_execution: sent.workflow_execution,
                    ..Default::default()
                },
            ),
            false => Attributes::RequestCancelExternalWorkflowExecutionFailedEventAttributes(
                history::RequestCancelExternalWorkflowExecutionFailedEventAttributes {
                    cause: enums::CancelExternalWorkflowExecutionFailedCause::ExternalWorkflowExecutionNotFound
                        .into(),
                    workflow_task_completed_event_id: sent.workflow_task_completed_event_id,
                    namespace: sent.namespace,
                    workflow_execution: sent.workflow_execution,
                    initiated_event_id: event_id,
                    ..Default::default()
                },
            ),
        };
        self.arrive(run, attributes);
    }

    /// The current workflow task is cut off.
    pub(super) fn terminate_run(&mut self, run: usize, reason: &str) {
        let execution = &mut self.executions[run];
        if matches!(execution.task, Task::Open { .. }) {
            execution.task = Task::None;
            self.flush(run);
        }
        let attributes = history::WorkflowExecutionTerminatedEventAttributes {
            reason: reason.to_owned(),
            details: payloads(Vec::new()),
            identity: IDENTITY.to_owned(),
        };
        let outcome = super::Outcome::Terminated {
            reason: reason.to_owned(),
        };
        self.close(
            run,
            Attributes::WorkflowExecutionTerminatedEventAttributes(attributes),
            outcome,
            None,
        );
    }

    pub(super) fn end_by_server(&mut self, run: usize, reason: &str) {
        if self.executions[run].is_open() {
            self.terminate_run(run, reason);
        }
    }
}
