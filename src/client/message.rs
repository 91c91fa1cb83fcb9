//! Signals, queries and updates, and asking a run to end.

use temporalio_client::grpc::WorkflowService;
use temporalio_protos::temporal::api::common::v1::{Header, Payloads};
use temporalio_protos::temporal::api::enums::v1::{
    QueryRejectCondition, UpdateWorkflowExecutionLifecycleStage as Stage, WorkflowExecutionStatus,
};
use temporalio_protos::temporal::api::errordetails::v1::QueryFailedFailure;
use temporalio_protos::temporal::api::query::v1::WorkflowQuery;
use temporalio_protos::temporal::api::update::v1 as update;
use temporalio_protos::temporal::api::workflowservice::v1::{
    PollWorkflowExecutionUpdateRequest, QueryWorkflowRequest,
    RequestCancelWorkflowExecutionRequest, SignalWorkflowExecutionRequest,
    TerminateWorkflowExecutionRequest, UpdateWorkflowExecutionRequest,
};
use tonic::Code;

use super::start::detail;
use super::trace::put_context;
use super::{Client, ClientError, WorkflowRef, body, request, unique_id};
use crate::engine::failure::Failure;
use crate::payload::{failure_from_proto, payloads_from_proto, payloads_to_proto};
use crate::value::Payload;

#[derive(Debug, Clone, Default)]
pub struct UpdateOptions {
    pub name: String,
    pub input: Vec<Payload>,
    /// Two updates with the same id are one. Without one a unique id is made.
    pub update_id: Option<String>,
    pub wait_for: UpdateStage,
    pub first_execution_run_id: Option<String>,
}

/// How far an update must have come for the call to return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UpdateStage {
    Accepted,
    #[default]
    Completed,
}

#[derive(Debug, Clone)]
pub struct UpdateStarted {
    pub update_id: String,
    pub run_id: String,
    /// Nothing while the update is only accepted.
    pub outcome: Option<Result<Vec<Payload>, Failure>>,
}

/// A query's answer.
#[derive(Debug, Clone)]
pub enum QueryAnswer {
    Result(Vec<Payload>),
    Failed(Failure),
    /// The run is in a state in which the caller did not want an answer.
    Rejected {
        status: String,
    },
}

/// In which states of the run a query is not to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueryReject {
    #[default]
    Never,
    NotOpen,
    NotCompletedCleanly,
}

impl Client {
    pub async fn signal(
        &self,
        workflow: &WorkflowRef,
        name: &str,
        input: Vec<Payload>,
    ) -> Result<(), ClientError> {
        let mut message = SignalWorkflowExecutionRequest {
            namespace: self.namespace.clone(),
            workflow_execution: Some(workflow.to_proto()),
            signal_name: name.to_owned(),
            input: payloads_to_proto(input),
            identity: self.identity.clone(),
            request_id: unique_id(),
            ..Default::default()
        };
        self.codec.encode(&mut message).await?;
        let mut span = self.span("SignalWorkflow", name, &workflow.workflow_id);
        put_context(&mut message.header, &span);
        let answer = self
            .connection
            .clone()
            .signal_workflow_execution(request(message))
            .await;
        let answer = answer.inspect_err(|status| span.fail(status.message()));
        answer.map_err(self.refused("signal the workflow", Some(workflow)))?;
        Ok(())
    }

    pub async fn query(
        &self,
        workflow: &WorkflowRef,
        name: &str,
        input: Vec<Payload>,
        reject: QueryReject,
    ) -> Result<QueryAnswer, ClientError> {
        let condition = match reject {
            QueryReject::Never => QueryRejectCondition::None,
            QueryReject::NotOpen => QueryRejectCondition::NotOpen,
            QueryReject::NotCompletedCleanly => QueryRejectCondition::NotCompletedCleanly,
        };
        let mut message = QueryWorkflowRequest {
            namespace: self.namespace.clone(),
            execution: Some(workflow.to_proto()),
            query: Some(WorkflowQuery {
                query_type: name.to_owned(),
                query_args: payloads_to_proto(input),
                header: Some(Header::default()),
            }),
            query_reject_condition: condition.into(),
        };
        self.codec.encode(&mut message).await?;
        let mut span = self.span("QueryWorkflow", name, &workflow.workflow_id);
        if let Some(query) = &mut message.query {
            put_context(&mut query.header, &span);
        }
        let answer = self
            .connection
            .clone()
            .query_workflow(request(message))
            .await;
        let mut answer = match answer.inspect_err(|status| span.fail(status.message())) {
            Ok(answer) => body(answer),
            Err(status) => {
                // The workflow's own refusal comes as an error of the call, from older workers as a message only.
                if status.code() == Code::InvalidArgument
                    && let Some(QueryFailedFailure { failure }) = detail(&status)
                {
                    let Some(mut failure) = failure else {
                        let failure = Failure::application("QueryFailed", status.message());
                        return Ok(QueryAnswer::Failed(failure));
                    };
                    self.codec.decode(&mut failure).await?;
                    return Ok(QueryAnswer::Failed(failure_from_proto(failure)));
                }
                return Err(self.refused("answer the query", Some(workflow))(status));
            }
        };
        self.codec.decode(&mut answer).await?;
        Ok(match answer.query_rejected {
            Some(rejected) => QueryAnswer::Rejected {
                status: status_name(rejected.status()).to_owned(),
            },
            None => QueryAnswer::Result(payloads_from_proto(answer.query_result)),
        })
    }

    pub async fn update(
        &self,
        workflow: &WorkflowRef,
        options: UpdateOptions,
    ) -> Result<UpdateStarted, ClientError> {
        let update_id = options.update_id.clone().unwrap_or_else(unique_id);
        let name = options.name.clone();
        let mut message = self.update_request(workflow, options, &update_id);
        self.codec.encode(&mut message).await?;
        let mut span = self.span("StartWorkflowUpdate", &name, &workflow.workflow_id);
        if let Some(input) = message.request.as_mut().and_then(|r| r.input.as_mut()) {
            put_context(&mut input.header, &span);
        }
        let wanted = message
            .wait_policy
            .map_or(Stage::Unspecified, |p| p.lifecycle_stage());
        let mut service = self.connection.clone();
        let (mut reached, mut outcome, mut reference);
        loop {
            // The server answers before the stage is reached when its own patience ends.
            let answer = service
                .update_workflow_execution(request(message.clone()))
                .await;
            let answer = answer.inspect_err(|status| span.fail(status.message()));
            let answer = body(answer.map_err(self.refused("run the update", Some(workflow)))?);
            (reached, outcome, reference) = (answer.stage(), answer.outcome, answer.update_ref);
            if reached >= Stage::Accepted || outcome.is_some() {
                break;
            }
        }
        while outcome.is_none() && reached < wanted {
            let poll = PollWorkflowExecutionUpdateRequest {
                namespace: self.namespace.clone(),
                update_ref: reference.clone(),
                identity: self.identity.clone(),
                wait_policy: message.wait_policy,
            };
            let answer = service.poll_workflow_execution_update(request(poll)).await;
            let answer = body(answer.map_err(self.refused("wait for the update", Some(workflow)))?);
            (reached, outcome) = (answer.stage(), answer.outcome);
        }
        let outcome = match outcome {
            Some(mut outcome) => {
                self.codec.decode(&mut outcome).await?;
                outcome.value.map(outcome_from_proto)
            }
            None => None,
        };
        let execution = reference
            .and_then(|r| r.workflow_execution)
            .unwrap_or_default();
        Ok(UpdateStarted {
            update_id,
            run_id: execution.run_id,
            outcome,
        })
    }

    fn update_request(
        &self,
        workflow: &WorkflowRef,
        options: UpdateOptions,
        update_id: &str,
    ) -> UpdateWorkflowExecutionRequest {
        let stage = match options.wait_for {
            UpdateStage::Accepted => Stage::Accepted,
            UpdateStage::Completed => Stage::Completed,
        };
        UpdateWorkflowExecutionRequest {
            namespace: self.namespace.clone(),
            workflow_execution: Some(workflow.to_proto()),
            first_execution_run_id: options.first_execution_run_id.unwrap_or_default(),
            wait_policy: Some(update::WaitPolicy {
                lifecycle_stage: stage.into(),
            }),
            request: Some(update::Request {
                meta: Some(update::Meta {
                    update_id: update_id.to_owned(),
                    identity: self.identity.clone(),
                }),
                input: Some(update::Input {
                    header: Some(Header::default()),
                    name: options.name,
                    args: payloads_to_proto(options.input),
                }),
                ..Default::default()
            }),
        }
    }

    /// Asks the workflow to end: it may clean up first, or refuse.
    pub async fn cancel(&self, workflow: &WorkflowRef, reason: &str) -> Result<(), ClientError> {
        let message = RequestCancelWorkflowExecutionRequest {
            namespace: self.namespace.clone(),
            workflow_execution: Some(workflow.to_proto()),
            identity: self.identity.clone(),
            request_id: unique_id(),
            reason: reason.to_owned(),
            ..Default::default()
        };
        let mut service = self.connection.clone();
        let answer = service
            .request_cancel_workflow_execution(request(message))
            .await;
        answer.map_err(self.refused("cancel the workflow", Some(workflow)))?;
        Ok(())
    }

    /// Ends the workflow at once; it learns nothing of it.
    pub async fn terminate(
        &self,
        workflow: &WorkflowRef,
        reason: &str,
        details: Vec<Payload>,
    ) -> Result<(), ClientError> {
        let mut message = TerminateWorkflowExecutionRequest {
            namespace: self.namespace.clone(),
            workflow_execution: Some(workflow.to_proto()),
            reason: reason.to_owned(),
            details: payloads_to_proto(details),
            identity: self.identity.clone(),
            ..Default::default()
        };
        self.codec.encode(&mut message).await?;
        let answer = self
            .connection
            .clone()
            .terminate_workflow_execution(request(message))
            .await;
        answer.map_err(self.refused("terminate the workflow", Some(workflow)))?;
        Ok(())
    }
}

fn outcome_from_proto(outcome: update::outcome::Value) -> Result<Vec<Payload>, Failure> {
    match outcome {
        update::outcome::Value::Success(Payloads { payloads }) => {
            Ok(payloads_from_proto(Some(Payloads { payloads })))
        }
        update::outcome::Value::Failure(failure) => Err(failure_from_proto(failure)),
    }
}

/// Temporal's word for a status, without the prefix that all of them have.
pub(super) fn status_name(status: WorkflowExecutionStatus) -> &'static str {
    status
        .as_str_name()
        .trim_start_matches("WORKFLOW_EXECUTION_STATUS_")
}
