//! Child workflows (sdk-core 0.10.1, machines/child_workflow_state_machine.rs).

use temporalio_protos::coresdk::child_workflow as child;
use temporalio_protos::coresdk::child_workflow::StartChildWorkflowExecutionFailedCause;
use temporalio_protos::coresdk::child_workflow::child_workflow_result::Status;
use temporalio_protos::coresdk::workflow_activation as jobs;
use temporalio_protos::coresdk::workflow_activation::resolve_child_workflow_execution_start::Status as Start;
use temporalio_protos::coresdk::workflow_activation::workflow_activation_job::Variant;
use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1 as enums;
use temporalio_protos::temporal::api::failure::v1 as failure;
use temporalio_protos::temporal::api::failure::v1::failure::FailureInfo;

use super::super::replay::Divergence;
use super::external::Cancellation;
use super::table::{Row, Table};
use super::{Kind, Machines, Request, cancelled_failure};
use crate::history::{End, Progress, Refusal, Stage};
use crate::words::ChildCancellationType;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Commanded,
    /// Cancelled before its command was sent.
    Withdrawn,
    Initiated,
    Started,
    /// Requested to stop, or abandoned, before it started: its step does not wait for its end.
    Left,
    Refused,
    Ended,
}

/// A child that has started is cancelled like any other workflow: by [`super::external`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    Recorded,
    TryCancel,
    WaitCancel,
    Abandon,
    Started,
    Refused,
    Ended,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Effect {
    Nothing,
    Tell,
    SendCancel,
    SendCancelAndTell,
}

impl Table for State {
    const NAME: &'static str = "child";
    type Input = Input;
    type Effect = Effect;

    fn rows() -> &'static [Row<Self>] {
        use Input::{Abandon, Recorded, TryCancel, WaitCancel};
        use State::*;
        const ROWS: &[Row<State>] = &[
            row(Commanded, &[Recorded], Initiated, Effect::Nothing),
            row(
                Commanded,
                &[TryCancel, WaitCancel, Abandon],
                Withdrawn,
                Effect::Tell,
            ),
            row(Initiated, &[WaitCancel], Initiated, Effect::SendCancel),
            row(Initiated, &[TryCancel], Left, Effect::SendCancelAndTell),
            row(Initiated, &[Abandon], Left, Effect::Tell),
            row(Initiated, &[Input::Started], Started, Effect::Tell),
            row(Initiated, &[Input::Refused], Refused, Effect::Tell),
            row(Started, &[Input::Ended], Ended, Effect::Tell),
            // A step may cancel a child that another has cancelled.
            row(
                Withdrawn,
                &[TryCancel, WaitCancel, Abandon],
                Withdrawn,
                Effect::Nothing,
            ),
            row(Left, &[TryCancel, Abandon], Left, Effect::Nothing),
            row(
                Left,
                &[Input::Started, Input::Refused, Input::Ended],
                Left,
                Effect::Nothing,
            ),
        ];
        ROWS
    }
}

/// A child and its run.
#[derive(Debug, Clone)]
pub(crate) struct Child {
    pub(crate) seq: u32,
    pub(crate) workflow_id: String,
    pub(crate) workflow_type: String,
    pub(crate) run_id: String,
    pub(crate) started_event_id: i64,
    pub(crate) cancellation: ChildCancellationType,
    pub(crate) state: State,
}

const fn row(from: State, on: &'static [Input], to: State, effect: Effect) -> Row<State> {
    Row {
        from,
        on,
        to,
        effect,
    }
}

/// A change of a child for the engine.
#[derive(Debug)]
enum News {
    Start(Start),
    End(Status),
}

impl Machines {
    pub(super) fn cancel_child(&mut self, seq: u32, reason: &str) -> Result<(), Divergence> {
        let place = self.machine_of(seq)?;
        let machine = &self.machines[place];
        let Kind::Child(child) = &machine.kind else {
            return Err(machine.is_no("child"));
        };
        let input = match child.cancellation {
            ChildCancellationType::TryCancel => Input::TryCancel,
            ChildCancellationType::WaitCancellationCompleted
            | ChildCancellationType::WaitCancellationRequested => Input::WaitCancel,
            ChildCancellationType::Abandon => Input::Abandon,
        };
        let news = match child.state {
            State::Commanded => {
                let message =
                    format!("Child Workflow Execution cancelled before scheduled: {reason}");
                News::Start(Start::Cancelled(
                    jobs::ResolveChildWorkflowExecutionStartCancelled {
                        failure: Some(self.child_cancelled(place, &message)?),
                    },
                ))
            }
            State::Withdrawn
            | State::Initiated
            | State::Started
            | State::Left
            | State::Refused
            | State::Ended => self.cancelled_child(place)?,
        };
        self.child_input(place, input, Some(news), reason)
    }

    pub(super) fn child_recorded(&mut self, place: usize) -> Result<(), Divergence> {
        self.child_input(place, Input::Recorded, None, "")
    }

    pub(super) fn child_progress(
        &mut self,
        place: usize,
        event_id: i64,
        progress: &Progress<'_>,
    ) -> Result<(), Divergence> {
        let (input, news) = match progress.stage {
            Stage::Started { id, .. } => {
                if let Kind::Child(child) = &mut self.machines[place].kind {
                    child.started_event_id = event_id;
                    id.clone_into(&mut child.run_id);
                }
                let success = jobs::ResolveChildWorkflowExecutionStartSuccess {
                    run_id: id.to_owned(),
                };
                (Input::Started, News::Start(Start::Succeeded(success)))
            }
            Stage::Ended(End::Refused(Refusal::Child(cause))) => {
                (Input::Refused, self.refused_child(place, cause)?)
            }
            Stage::Ended(End::Completed(result)) => {
                let result = result.cloned();
                let completed = Status::Completed(child::Success { result });
                (Input::Ended, News::End(completed))
            }
            Stage::Ended(End::Failed(failed)) => {
                let cause = failed.failure.cloned();
                let message = "Child Workflow execution failed";
                let news = self.failed_child(place, message, cause, failed.retry_state)?;
                (Input::Ended, news)
            }
            Stage::Ended(End::TimedOut(failed)) => {
                let info = failure::TimeoutFailureInfo {
                    timeout_type: enums::TimeoutType::StartToClose.into(),
                    ..Default::default()
                };
                let cause = one("Timed out", FailureInfo::TimeoutFailureInfo(info));
                let message = "Child Workflow execution timed out";
                let news = self.failed_child(place, message, Some(cause), failed.retry_state)?;
                (Input::Ended, news)
            }
            Stage::Ended(End::Terminated) => {
                let info = failure::TerminatedFailureInfo::default();
                let cause = one("Terminated", FailureInfo::TerminatedFailureInfo(info));
                let state = enums::RetryState::NonRetryableFailure;
                let message = "Child Workflow execution terminated";
                let news = self.failed_child(place, message, Some(cause), state)?;
                (Input::Ended, news)
            }
            Stage::Ended(End::Cancelled(_)) => (Input::Ended, self.cancelled_child(place)?),
            Stage::Ended(End::Refused(_)) => return Err(Divergence::unexpected(progress)),
        };
        self.child_input(place, input, Some(news), "")
    }

    fn child_input(
        &mut self,
        place: usize,
        input: Input,
        news: Option<News>,
        reason: &str,
    ) -> Result<(), Divergence> {
        let machine = &mut self.machines[place];
        let Kind::Child(child) = &mut machine.kind else {
            return Err(machine.is_no("child"));
        };
        let seq = child.seq;
        let effect = child.state.take(input)?;
        let request = Request::CancelChild {
            workflow_id: child.workflow_id.clone(),
            run_id: child.run_id.clone(),
            reason: reason.to_owned(),
        };
        match effect {
            Effect::Nothing => Ok(()),
            Effect::Tell => self.tell_child(seq, news),
            Effect::SendCancel => {
                self.ask_child_cancel(place, request);
                Ok(())
            }
            Effect::SendCancelAndTell => {
                self.ask_child_cancel(place, request);
                self.tell_child(seq, news)
            }
        }
    }

    fn ask_child_cancel(&mut self, place: usize, request: Request) {
        let summary = self.machines[place].summary.clone();
        let command = self.add(Kind::CancelExternal {
            seq: None,
            state: Cancellation::Commanded,
        });
        self.ask(command, request, summary);
    }

    fn tell_child(&mut self, seq: u32, news: Option<News>) -> Result<(), Divergence> {
        let job = match news {
            Some(News::Start(status)) => Variant::ResolveChildWorkflowExecutionStart(
                jobs::ResolveChildWorkflowExecutionStart {
                    seq,
                    status: Some(status),
                },
            ),
            Some(News::End(status)) => {
                Variant::ResolveChildWorkflowExecution(jobs::ResolveChildWorkflowExecution {
                    seq,
                    result: Some(child::ChildWorkflowResult {
                        status: Some(status),
                    }),
                })
            }
            None => return Err(Divergence::broken("there is nothing to tell of the child")),
        };
        self.jobs.push(job);
        Ok(())
    }

    fn refused_child(
        &self,
        place: usize,
        cause: enums::StartChildWorkflowExecutionFailedCause,
    ) -> Result<News, Divergence> {
        use enums::StartChildWorkflowExecutionFailedCause as Server;
        let machine = &self.machines[place];
        let Kind::Child(child) = &machine.kind else {
            return Err(machine.is_no("child"));
        };
        let cause = match cause {
            Server::WorkflowAlreadyExists => {
                StartChildWorkflowExecutionFailedCause::WorkflowAlreadyExists
            }
            Server::NamespaceNotFound => StartChildWorkflowExecutionFailedCause::NamespaceNotFound,
            Server::Unspecified | Server::InvalidVersioningOverride => {
                StartChildWorkflowExecutionFailedCause::Unspecified
            }
        };
        let failed = jobs::ResolveChildWorkflowExecutionStartFailure {
            workflow_id: child.workflow_id.clone(),
            workflow_type: child.workflow_type.clone(),
            cause: cause.into(),
        };
        Ok(News::Start(Start::Failed(failed)))
    }

    fn failed_child(
        &self,
        place: usize,
        message: &str,
        cause: Option<failure::Failure>,
        retry_state: enums::RetryState,
    ) -> Result<News, Divergence> {
        let failure = Some(self.child_failure(place, message, cause, retry_state)?);
        Ok(News::End(Status::Failed(child::Failure { failure })))
    }

    fn cancelled_child(&self, place: usize) -> Result<News, Divergence> {
        let failure = Some(self.child_cancelled(place, "Child Workflow execution cancelled")?);
        Ok(News::End(Status::Cancelled(child::Cancellation {
            failure,
        })))
    }

    fn child_cancelled(&self, place: usize, message: &str) -> Result<failure::Failure, Divergence> {
        let state = enums::RetryState::NonRetryableFailure;
        self.child_failure(place, message, Some(cancelled_failure()), state)
    }

    fn child_failure(
        &self,
        place: usize,
        message: &str,
        cause: Option<failure::Failure>,
        retry_state: enums::RetryState,
    ) -> Result<failure::Failure, Divergence> {
        let machine = &self.machines[place];
        let Kind::Child(child) = &machine.kind else {
            return Err(machine.is_no("child"));
        };
        Ok(failure::Failure {
            message: message.to_owned(),
            cause: cause.map(Box::new),
            failure_info: Some(FailureInfo::ChildWorkflowExecutionFailureInfo(
                failure::ChildWorkflowExecutionFailureInfo {
                    namespace: self.namespace.clone(),
                    workflow_type: Some(common::WorkflowType {
                        name: child.workflow_type.clone(),
                    }),
                    initiated_event_id: machine.event_id,
                    started_event_id: child.started_event_id,
                    retry_state: retry_state.into(),
                    workflow_execution: Some(common::WorkflowExecution {
                        workflow_id: child.workflow_id.clone(),
                        run_id: child.run_id.clone(),
                    }),
                },
            )),
            ..Default::default()
        })
    }
}

fn one(message: &str, info: FailureInfo) -> failure::Failure {
    failure::Failure {
        message: message.to_owned(),
        failure_info: Some(info),
        ..Default::default()
    }
}
