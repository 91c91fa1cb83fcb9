//! Updates, to a workflow that runs and together with a start.

use prost::Message;
use temporalio_client::grpc::WorkflowService;
use temporalio_protos::google::rpc;
use temporalio_protos::temporal::api::common::v1::{Header, Payloads};
use temporalio_protos::temporal::api::enums::v1::UpdateWorkflowExecutionLifecycleStage as Stage;
use temporalio_protos::temporal::api::errordetails::v1::MultiOperationExecutionFailure;
use temporalio_protos::temporal::api::update::v1 as update;
use temporalio_protos::temporal::api::workflowservice::v1::execute_multi_operation_request::Operation;
use temporalio_protos::temporal::api::workflowservice::v1::execute_multi_operation_request::operation::Operation as Request;
use temporalio_protos::temporal::api::workflowservice::v1::execute_multi_operation_response::response::Response;
use temporalio_protos::temporal::api::workflowservice::v1::{
    ExecuteMultiOperationRequest, ExecuteMultiOperationResponse,
    PollWorkflowExecutionUpdateRequest, StartWorkflowExecutionResponse,
    UpdateWorkflowExecutionRequest, UpdateWorkflowExecutionResponse,
};
use tonic::{Code, Status};

use super::start::{detail, refused};
use super::trace::put_context;
use super::{
    Client, ClientError, StartOptions, Started, WorkflowIdConflictPolicy, WorkflowRef, body,
    request, unique_id,
};
use crate::engine::failure::Failure;
use crate::payload::{
    check_update_size, failure_from_proto, payloads_from_proto, payloads_to_proto,
};
use crate::value::Payload;

#[derive(Debug, Clone, Default)]
pub struct UpdateOptions {
    pub name: String,
    pub input: Vec<Payload>,
    /// Updates with the same id are one. Without one, a unique id is generated.
    pub update_id: Option<String>,
    pub wait_for: UpdateStage,
    pub first_execution_run_id: Option<String>,
}

/// The stage that an update must reach before the call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UpdateStage {
    Accepted,
    #[default]
    Completed,
}

#[derive(Debug, Clone)]
pub struct UpdateStarted {
    pub(crate) update_id: String,
    pub(crate) run_id: String,
    /// `None` while the update is only accepted.
    pub outcome: Option<Result<Vec<Payload>, Failure>>,
}

impl Client {
    pub async fn update(
        &self,
        workflow: &WorkflowRef,
        options: UpdateOptions,
    ) -> Result<UpdateStarted, ClientError> {
        let name = options.name.clone();
        let mut message = self.update_request(workflow, options);
        self.encode_update(&mut message).await?;
        let mut span = self.span("StartWorkflowUpdate", &name, &workflow.workflow_id);
        if let Some(input) = message.request.as_mut().and_then(|r| r.input.as_mut()) {
            put_context(&mut input.header, &span);
        }
        let mut service = self.connection.clone();
        loop {
            let answer = service
                .update_workflow_execution(request(message.clone()))
                .await;
            let answer = answer.inspect_err(|status| span.fail(status.message()));
            let answer = body(answer.map_err(self.refused("run the update", Some(workflow)))?);
            if is_under_way(&answer) {
                return self.follow_update(workflow, &message, answer).await;
            }
        }
    }

    /// Starts the workflow, or uses the running one, and sends it an update: both or neither.
    pub async fn update_with_start(
        &self,
        options: StartOptions,
        update: UpdateOptions,
    ) -> Result<(Started, UpdateStarted), ClientError> {
        let policy = options.id_conflict_policy;
        let options = StartOptions {
            // The server requires one.
            id_conflict_policy: policy.or(Some(WorkflowIdConflictPolicy::UseExisting)),
            ..options
        };
        let mut start = self.start_request(options)?;
        self.codec.encode(&mut start).await?;
        let workflow_id = start.workflow_id.clone();
        let workflow = WorkflowRef::new(&workflow_id, None);
        let mut update = self.update_request(&workflow, update);
        self.encode_update(&mut update).await?;
        let workflow_type = start.workflow_type.as_ref();
        let workflow_type = workflow_type.map_or("", |workflow_type| &workflow_type.name);
        let mut span = self.span("StartUpdateWithStartWorkflow", workflow_type, &workflow_id);
        put_context(&mut start.header, &span);
        if let Some(input) = update.request.as_mut().and_then(|r| r.input.as_mut()) {
            put_context(&mut input.header, &span);
        }
        let operation = |request| Operation {
            operation: Some(request),
        };
        let message = ExecuteMultiOperationRequest {
            namespace: self.namespace.clone(),
            operations: vec![
                operation(Request::StartWorkflow(start)),
                operation(Request::UpdateWorkflow(update.clone())),
            ],
            ..Default::default()
        };
        let mut service = self.connection.clone();
        loop {
            // The request's ids make each retry the same start and the same update.
            let answer = service
                .execute_multi_operation(request(message.clone()))
                .await;
            let answer = answer.map_err(|status| {
                span.fail(status.message());
                multi_operation_refused(&workflow_id, status)
            })?;
            let (start, answer) = both(body(answer)).ok_or_else(missing)?;
            if !is_under_way(&answer) {
                continue;
            }
            let started = Started {
                workflow_id: workflow_id.clone(),
                run_id: start.run_id,
                started: start.started,
            };
            let updated = self.follow_update(&workflow, &update, answer).await?;
            return Ok((started, updated));
        }
    }

    /// Waits until the update has reached the requested stage.
    async fn follow_update(
        &self,
        workflow: &WorkflowRef,
        message: &UpdateWorkflowExecutionRequest,
        answer: UpdateWorkflowExecutionResponse,
    ) -> Result<UpdateStarted, ClientError> {
        let wanted = message
            .wait_policy
            .map_or(Stage::Unspecified, |p| p.lifecycle_stage());
        let mut reached = answer.stage();
        let (mut outcome, reference) = (answer.outcome, answer.update_ref);
        while outcome.is_none() && reached < wanted {
            let poll = PollWorkflowExecutionUpdateRequest {
                namespace: self.namespace.clone(),
                update_ref: reference.clone(),
                identity: self.identity.clone(),
                wait_policy: message.wait_policy,
            };
            let mut service = self.connection.clone();
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
        let reference = reference.unwrap_or_default();
        Ok(UpdateStarted {
            update_id: reference.update_id,
            run_id: reference.workflow_execution.unwrap_or_default().run_id,
            outcome,
        })
    }

    async fn encode_update(
        &self,
        message: &mut UpdateWorkflowExecutionRequest,
    ) -> Result<(), ClientError> {
        self.codec.encode(message).await?;
        let input = message.request.as_ref().and_then(|r| r.input.as_ref());
        let arguments = input.and_then(|input| input.args.as_ref());
        check_update_size(arguments).map_err(ClientError::TooLarge)
    }

    fn update_request(
        &self,
        workflow: &WorkflowRef,
        options: UpdateOptions,
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
                    update_id: options.update_id.unwrap_or_else(unique_id),
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
}

/// The server answers before the update is accepted if its own waiting time ends.
fn is_under_way(answer: &UpdateWorkflowExecutionResponse) -> bool {
    answer.stage() >= Stage::Accepted || answer.outcome.is_some()
}

fn missing() -> ClientError {
    ClientError::Malformed("start the workflow with an update", "one of its parts")
}

fn both(
    answer: ExecuteMultiOperationResponse,
) -> Option<(
    StartWorkflowExecutionResponse,
    UpdateWorkflowExecutionResponse,
)> {
    let mut responses = answer.responses.into_iter().map(|r| r.response);
    match (responses.next()??, responses.next()??) {
        (Response::StartWorkflow(start), Response::UpdateWorkflow(update)) => Some((start, update)),
        _ => None,
    }
}

/// The error of the one operation that failed; the other was only aborted.
fn multi_operation_refused(workflow_id: &str, status: Status) -> ClientError {
    let parts: Option<MultiOperationExecutionFailure> = detail(&status);
    let mut parts = parts
        .map(|p| p.statuses)
        .unwrap_or_default()
        .into_iter()
        .enumerate();
    let blamed = parts.find(|(_, part)| !matches!(Code::from(part.code), Code::Ok | Code::Aborted));
    let Some((place, part)) = blamed else {
        return refused(workflow_id, status);
    };
    let blamed = rpc::Status {
        code: part.code,
        message: part.message.clone(),
        details: part.details,
    };
    let details = blamed.encode_to_vec().into();
    let status = Status::with_details(Code::from(part.code), part.message, details);
    match place {
        0 => refused(workflow_id, status),
        _ => ClientError::Refused {
            operation: "run the update",
            status: Box::new(status),
        },
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
