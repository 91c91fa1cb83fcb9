//! Why a run does not answer, and how its payloads are encoded.

use temporalio_client::grpc::WorkflowService;
use temporalio_protos::temporal::api::history::v1::History;
use temporalio_protos::temporal::api::workflowservice::v1::{
    GetWorkflowExecutionHistoryRequest, GetWorkflowExecutionHistoryReverseRequest,
};

use super::{Client, ClientError, WorkflowRef, body, request};
use crate::history::{Meaning, TaskStage};
use crate::payload::{encoding_of, failure_from_proto, with_marks};

/// The number of events read: the last ones for a failed workflow task, the first ones for an encoded payload.
const EVENTS_READ: i32 = 32;

/// A workflow task that fails and is retried.
#[derive(Debug, Clone)]
pub(crate) struct FailingTask {
    /// The current attempt, or the next one due.
    pub(crate) attempt: i32,
    /// Message of the first failed attempt; the server keeps no others.
    pub(crate) message: String,
}

impl Client {
    /// Why a run makes no progress, if its workflow task keeps failing.
    pub(crate) async fn failing_task(
        &self,
        workflow: &WorkflowRef,
    ) -> Result<Option<FailingTask>, ClientError> {
        let attempt = self.describe(workflow).await?.workflow_task_attempt;
        let Some(attempt) = attempt.filter(|attempt| *attempt > 1) else {
            return Ok(None);
        };
        let message = GetWorkflowExecutionHistoryReverseRequest {
            namespace: self.namespace.clone(),
            execution: Some(workflow.to_proto()),
            maximum_page_size: EVENTS_READ,
            next_page_token: Vec::new(),
        };
        let answer = self
            .connection
            .clone()
            .get_workflow_execution_history_reverse(request(message))
            .await;
        let refused = self.refused("read the workflow's history", Some(workflow));
        let mut answer = body(answer.map_err(refused)?);
        self.codec.decode_what_can_be(&mut answer).await;
        let message = answer.history.as_ref().and_then(last_task_failure);
        Ok(message.map(|message| FailingTask { attempt, message }))
    }

    /// The encoding of a run's payloads, if a codec made it. `None` also if none of its first events has a payload.
    pub(crate) async fn encoding_of_run(
        &self,
        workflow: &WorkflowRef,
    ) -> Result<Option<String>, ClientError> {
        let message = GetWorkflowExecutionHistoryRequest {
            namespace: self.namespace.clone(),
            execution: Some(workflow.to_proto()),
            maximum_page_size: EVENTS_READ,
            ..Default::default()
        };
        let answer = self
            .connection
            .clone()
            .get_workflow_execution_history(request(message))
            .await;
        let refused = self.refused("read the workflow's history", Some(workflow));
        let mut answer = body(answer.map_err(refused)?);
        Ok(encoding_of(&mut answer).await)
    }

    /// Whether payloads are sent unencoded.
    pub(crate) fn sends_plain(&self) -> bool {
        self.codec.is_none()
    }
}

/// The message of a failed workflow task, if none completed after it; the events are in reverse order.
fn last_task_failure(reversed: &History) -> Option<String> {
    for event in &reversed.events {
        match Meaning::of(event) {
            Meaning::Task(TaskStage::Failed(failed)) => {
                let failure = failure_from_proto(failed.failure.clone().unwrap_or_default());
                return Some(with_marks(&failure).message);
            }
            Meaning::Task(TaskStage::TimedOut) => {
                return Some("it timed out: no worker completed it in time".to_owned());
            }
            Meaning::Task(TaskStage::Completed(_)) => return None,
            _ => {}
        }
    }
    None
}
