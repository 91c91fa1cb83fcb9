//! Workflows that no worker runs, whose tasks are answered by a client: the registry of definitions is one.

use std::time::Duration;

use temporalio_client::grpc::WorkflowService;
use temporalio_protos::temporal::api::command::v1::command::Attributes;
use temporalio_protos::temporal::api::command::v1::{
    Command, ContinueAsNewWorkflowExecutionCommandAttributes,
};
use temporalio_protos::temporal::api::common::v1::WorkflowType;
use temporalio_protos::temporal::api::enums::v1::{CommandType, TaskQueueKind};
use temporalio_protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_protos::temporal::api::workflowservice::v1::{
    PollWorkflowTaskQueueRequest, RespondWorkflowTaskCompletedRequest,
};
use tonic::Code;

use super::{Client, ClientError, body, request};
use crate::payload::payloads_to_proto;
use crate::value::Payload;

/// Either there is a task, or another client has it.
const TASK_TIMEOUT: Duration = Duration::from_secs(3);

/// The task of a workflow that no worker answers.
pub struct WorkflowTask {
    pub(crate) run_id: String,
    /// The last event that the task's answer takes into account.
    pub(crate) started_event_id: i64,
    token: Vec<u8>,
}

impl Client {
    /// The task of a workflow whose task queue has its id and is polled by no worker, if it is available soon.
    pub async fn held_task(&self, workflow_id: &str) -> Result<Option<WorkflowTask>, ClientError> {
        let message = PollWorkflowTaskQueueRequest {
            namespace: self.namespace.clone(),
            task_queue: Some(queue(workflow_id)),
            identity: self.identity.clone(),
            ..Default::default()
        };
        let mut poll = request(message);
        poll.set_timeout(TASK_TIMEOUT);
        let task = match self.connection.clone().poll_workflow_task_queue(poll).await {
            Ok(task) => body(task),
            Err(status) if matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled) => {
                return Ok(None);
            }
            Err(status) => return Err(self.refused("poll the registry's task", None)(status)),
        };
        let execution = task.workflow_execution.unwrap_or_default();
        let is_wanted = !task.task_token.is_empty() && execution.workflow_id == workflow_id;
        Ok(is_wanted.then_some(WorkflowTask {
            run_id: execution.run_id,
            started_event_id: task.started_event_id,
            token: task.task_token,
        }))
    }

    /// Ends the run with a new one. If signals have arrived since, nothing happens: they would be lost.
    pub(crate) async fn continue_held_as_new(
        &self,
        task: WorkflowTask,
        workflow_type: &str,
        input: Vec<Payload>,
    ) -> Result<(), ClientError> {
        let attributes = ContinueAsNewWorkflowExecutionCommandAttributes {
            workflow_type: Some(WorkflowType {
                name: workflow_type.to_owned(),
            }),
            input: payloads_to_proto(input),
            ..Default::default()
        };
        let mut message = RespondWorkflowTaskCompletedRequest {
            namespace: self.namespace.clone(),
            identity: self.identity.clone(),
            task_token: task.token,
            commands: vec![Command {
                command_type: CommandType::ContinueAsNewWorkflowExecution.into(),
                attributes: Some(Attributes::ContinueAsNewWorkflowExecutionCommandAttributes(
                    attributes,
                )),
                ..Default::default()
            }],
            ..Default::default()
        };
        self.codec.encode(&mut message).await?;
        let answer = self
            .connection
            .clone()
            .respond_workflow_task_completed(request(message))
            .await;
        match answer {
            Ok(_) => Ok(()),
            Err(status) if status.message().contains("UnhandledCommand") => Ok(()),
            // The task has timed out.
            Err(status) if status.code() == Code::NotFound => Ok(()),
            Err(status) => Err(self.refused("let the registry continue as new", None)(
                status,
            )),
        }
    }
}

fn queue(name: &str) -> TaskQueue {
    TaskQueue {
        name: name.to_owned(),
        kind: TaskQueueKind::Normal.into(),
        ..Default::default()
    }
}
