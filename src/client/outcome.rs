//! How a workflow ended, followed through all the runs that it continues as.

use temporalio_client::grpc::WorkflowService;
use temporalio_protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_protos::temporal::api::enums::v1::{HistoryEventFilterType, RetryState};
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::workflowservice::v1::GetWorkflowExecutionHistoryRequest;

use super::{Client, ClientError, WorkflowRef, body, request};
use crate::engine::failure::Failure;
use crate::history::{Meaning, RunEnd};
use crate::payload::{failure_from_proto, payloads_from_proto};
use crate::value::Payload;

/// The end of a workflow, and its last run.
#[derive(Debug, Clone)]
pub struct Ended {
    pub(crate) run_id: String,
    pub outcome: Outcome,
}

#[derive(Debug, Clone)]
pub enum Outcome {
    Completed(Vec<Payload>),
    Failed(Failure),
    Cancelled(Vec<Payload>),
    Terminated {
        reason: String,
    },
    TimedOut,
    /// Only if the caller does not follow to the next run.
    ContinuedAsNew {
        new_run_id: String,
    },
}

impl Outcome {
    /// Temporal's word for it.
    pub fn status(&self) -> &'static str {
        match self {
            Outcome::Completed(_) => "COMPLETED",
            Outcome::Failed(_) => "FAILED",
            Outcome::Cancelled(_) => "CANCELED",
            Outcome::Terminated { .. } => "TERMINATED",
            Outcome::TimedOut => "TIMED_OUT",
            Outcome::ContinuedAsNew { .. } => "CONTINUED_AS_NEW",
        }
    }
}

/// What a closing event means: the end, or the run in which the workflow continues.
enum Closing {
    End(Outcome),
    NextRun(String),
}

impl Client {
    /// Waits for the end. Runs are followed unless one run is meant.
    pub async fn result(
        &self,
        workflow: &WorkflowRef,
        follow_runs: bool,
    ) -> Result<Ended, ClientError> {
        let mut execution = workflow.to_proto();
        loop {
            let event = self.closing_event(workflow, &mut execution).await?;
            match closing(&event) {
                Closing::NextRun(new_run_id) if !follow_runs => {
                    let outcome = Outcome::ContinuedAsNew { new_run_id };
                    return Ok(Ended {
                        run_id: execution.run_id,
                        outcome,
                    });
                }
                Closing::NextRun(run_id) => execution.run_id = run_id,
                Closing::End(outcome) => {
                    return Ok(Ended {
                        run_id: execution.run_id,
                        outcome,
                    });
                }
            }
        }
    }

    async fn closing_event(
        &self,
        workflow: &WorkflowRef,
        execution: &mut WorkflowExecution,
    ) -> Result<HistoryEvent, ClientError> {
        if execution.run_id.is_empty() {
            execution.run_id = self.describe(workflow).await?.workflow.run_id;
        }
        let mut next_page_token = Vec::new();
        loop {
            let message = GetWorkflowExecutionHistoryRequest {
                namespace: self.namespace.clone(),
                execution: Some(execution.clone()),
                next_page_token,
                wait_new_event: true,
                history_event_filter_type: HistoryEventFilterType::CloseEvent.into(),
                skip_archival: true,
                ..Default::default()
            };
            let mut service = self.connection.clone();
            let answer = service
                .get_workflow_execution_history(request(message))
                .await;
            let refused = self.refused("wait for the workflow", Some(workflow));
            let mut answer = body(answer.map_err(refused)?);
            self.codec.decode(&mut answer).await?;
            next_page_token = answer.next_page_token;
            let events = answer.history.map(|h| h.events).unwrap_or_default();
            // Without new events the server stops waiting and must be called again.
            if let Some(event) = events.into_iter().next_back() {
                return Ok(event);
            }
        }
    }
}

fn closing(event: &HistoryEvent) -> Closing {
    let Meaning::RunEnded(end) = Meaning::of(event) else {
        return Closing::End(Outcome::Terminated {
            reason: format!("closed by an event of type {}", event.event_type),
        });
    };
    match end {
        RunEnd::Completed(a) => end_or_next(&a.new_execution_run_id, || {
            Outcome::Completed(payloads_from_proto(a.result.clone()))
        }),
        RunEnd::Failed(a) => {
            let retried = a.retry_state() == RetryState::InProgress;
            let next = if retried { &a.new_execution_run_id } else { "" };
            end_or_next(next, || {
                Outcome::Failed(failure_from_proto(a.failure.clone().unwrap_or_default()))
            })
        }
        RunEnd::TimedOut(a) => end_or_next(&a.new_execution_run_id, || Outcome::TimedOut),
        RunEnd::Cancelled(a) => {
            Closing::End(Outcome::Cancelled(payloads_from_proto(a.details.clone())))
        }
        RunEnd::Terminated(a) => Closing::End(Outcome::Terminated {
            reason: a.reason.clone(),
        }),
        RunEnd::ContinuedAsNew(a) => Closing::NextRun(a.new_execution_run_id.clone()),
    }
}

/// A run that a retry or a cron schedule follows is not the workflow's end.
fn end_or_next(new_run_id: &str, end: impl FnOnce() -> Outcome) -> Closing {
    if new_run_id.is_empty() {
        Closing::End(end())
    } else {
        Closing::NextRun(new_run_id.to_owned())
    }
}
