//! Signals, queries, and requests to cancel a run.

use temporalio_client::grpc::WorkflowService;
use temporalio_protos::temporal::api::common::v1::Header;
use temporalio_protos::temporal::api::enums::v1::{QueryRejectCondition, WorkflowExecutionStatus};
use temporalio_protos::temporal::api::errordetails::v1::QueryFailedFailure;
use temporalio_protos::temporal::api::query::v1::WorkflowQuery;
use temporalio_protos::temporal::api::workflowservice::v1::{
    QueryWorkflowRequest, RequestCancelWorkflowExecutionRequest, SignalWorkflowExecutionRequest,
    TerminateWorkflowExecutionRequest,
};
use tonic::Code;

use super::start::detail;
use super::trace::put_context;
use super::{Client, ClientError, WorkflowRef, body, request, unique_id};
use crate::engine::failure::Failure;
use crate::payload::{failure_from_proto, payloads_from_proto, payloads_to_proto};
use crate::value::Payload;

/// A query's answer.
#[derive(Debug, Clone)]
pub enum QueryAnswer {
    Result(Vec<Payload>),
    Failed(Failure),
    /// The run is in a state in which the caller does not want an answer.
    Rejected {
        status: String,
    },
}

/// In which states of the run a query is rejected.
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
                // The workflow's own refusal is an error of the call; from older workers it is only a message.
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

    /// Requests the workflow's cancellation: it may clean up first, or refuse.
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

    /// Ends the workflow immediately, without notice to it.
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

/// Temporal's word for a status, without the common prefix.
pub(super) fn status_name(status: WorkflowExecutionStatus) -> &'static str {
    status
        .as_str_name()
        .trim_start_matches("WORKFLOW_EXECUTION_STATUS_")
}
