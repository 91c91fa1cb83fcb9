//! Starting workflows, alone or together with a signal or an update.

use std::collections::BTreeMap;

use temporalio_client::grpc::WorkflowService;
use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1::TaskQueueKind;
use temporalio_protos::temporal::api::errordetails::v1::WorkflowExecutionAlreadyStartedFailure;
use temporalio_protos::temporal::api::sdk::v1::UserMetadata;
use temporalio_protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_protos::temporal::api::workflowservice::v1::{
    SignalWithStartWorkflowExecutionRequest, StartWorkflowExecutionRequest,
};
use tonic::{Code, Status};

use super::trace::put_context;
use super::{
    Client, ClientError, WorkflowIdConflictPolicy, WorkflowIdReusePolicy, body, request, unique_id,
};
use crate::engine::start::StartDefaults;
use crate::payload::{
    duration_to_proto, id_conflict_policy_to_proto, id_reuse_policy_to_proto, payload_to_proto,
    payloads_to_proto, retry_policy_to_proto, value_to_proto,
};
use crate::value::{Duration, Payload, Value};
use crate::words::RetryPolicy;

/// All options that Temporal has for a new workflow; what is `None` has the server's default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StartOptions {
    pub workflow_type: String,
    /// Without one, a unique id is generated.
    pub workflow_id: Option<String>,
    pub task_queue: String,
    pub input: Vec<Payload>,
    pub execution_timeout: Option<Duration>,
    pub run_timeout: Option<Duration>,
    pub task_timeout: Option<Duration>,
    pub id_reuse_policy: Option<WorkflowIdReusePolicy>,
    pub id_conflict_policy: Option<WorkflowIdConflictPolicy>,
    pub retry_policy: Option<RetryPolicy>,
    pub cron_schedule: Option<String>,
    pub start_delay: Option<Duration>,
    pub memo: Vec<(String, Payload)>,
    pub search_attributes: Vec<(String, Payload)>,
    pub headers: Vec<(String, Payload)>,
    pub summary: Option<String>,
    pub details: Option<String>,
    pub priority_key: Option<i32>,
    pub fairness_key: Option<String>,
    pub fairness_weight: Option<f32>,
    /// A signal to send with the start, or alone if the workflow is already running.
    pub signal: Option<(String, Vec<Payload>)>,
    /// A start with the request id of the workflow's latest run finds that run, even if it has ended. Without one, a
    /// unique id is generated.
    pub request_id: Option<String>,
}

/// The run that a start began or, by its conflict policy, found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    pub workflow_id: String,
    pub run_id: String,
    /// False if the workflow was already running.
    pub(crate) started: bool,
}

impl StartOptions {
    /// Options that are already set take precedence over the definition's `start`.
    pub(crate) fn with_defaults(self, defaults: StartDefaults) -> StartOptions {
        let task_queue = match self.task_queue.is_empty() {
            true => defaults.task_queue.unwrap_or_default(),
            false => self.task_queue,
        };
        let id_conflict_policy = defaults.id_conflict_policy.map(id_conflict_policy_to_proto);
        StartOptions {
            task_queue,
            workflow_id: self.workflow_id.or(defaults.workflow_id),
            execution_timeout: self.execution_timeout.or(defaults.execution_timeout),
            run_timeout: self.run_timeout.or(defaults.run_timeout),
            task_timeout: self.task_timeout.or(defaults.task_timeout),
            id_reuse_policy: defaults.id_reuse_policy.map(id_reuse_policy_to_proto),
            id_conflict_policy,
            retry_policy: self.retry_policy.or(defaults.retry_policy),
            cron_schedule: defaults.cron_schedule,
            memo: merged(defaults.memo, self.memo),
            search_attributes: merged(defaults.search_attributes, self.search_attributes),
            ..self
        }
    }
}

fn merged(
    mut defaults: BTreeMap<String, Payload>,
    said: Vec<(String, Payload)>,
) -> Vec<(String, Payload)> {
    defaults.extend(said);
    defaults.into_iter().collect()
}

impl Client {
    pub async fn start(&self, options: StartOptions) -> Result<Started, ClientError> {
        let signal = options.signal.clone();
        let mut message = self.start_request(options)?;
        self.codec.encode(&mut message).await?;
        let workflow_id = message.workflow_id.clone();
        let what = match &signal {
            None => "StartWorkflow",
            Some(_) => "SignalWithStartWorkflow",
        };
        let workflow_type = message.workflow_type.as_ref();
        let workflow_type = workflow_type.map_or("", |workflow_type| &workflow_type.name);
        let mut span = self.span(what, workflow_type, &workflow_id);
        put_context(&mut message.header, &span);
        let mut service = self.connection.clone();
        let mut refused = |status: Status| {
            span.fail(status.message());
            refused(&workflow_id, status)
        };
        let (run_id, started) = match signal {
            None => {
                let answer = service.start_workflow_execution(request(message)).await;
                let answer = body(answer.map_err(&mut refused)?);
                (answer.run_id, answer.started)
            }
            Some((name, input)) => {
                let mut message = signal_with_start(message, name);
                message.signal_input = payloads_to_proto(input);
                if let Some(input) = message.signal_input.as_mut() {
                    self.codec.encode(input).await?;
                }
                let answer = service
                    .signal_with_start_workflow_execution(request(message))
                    .await;
                let answer = body(answer.map_err(&mut refused)?);
                (answer.run_id, answer.started)
            }
        };
        Ok(Started {
            workflow_id,
            run_id,
            started,
        })
    }

    pub(super) fn start_request(
        &self,
        options: StartOptions,
    ) -> Result<StartWorkflowExecutionRequest, ClientError> {
        let user_metadata = user_metadata(options.summary, options.details)?;
        let priority = (options.priority_key.is_some()
            || options.fairness_key.is_some()
            || options.fairness_weight.is_some())
        .then(|| common::Priority {
            priority_key: options.priority_key.unwrap_or_default(),
            fairness_key: options.fairness_key.unwrap_or_default(),
            fairness_weight: options.fairness_weight.unwrap_or_default(),
        });
        Ok(StartWorkflowExecutionRequest {
            namespace: self.namespace.clone(),
            workflow_id: options.workflow_id.unwrap_or_else(unique_id),
            workflow_type: Some(common::WorkflowType {
                name: options.workflow_type,
            }),
            task_queue: Some(TaskQueue {
                name: options.task_queue,
                kind: TaskQueueKind::Normal.into(),
                ..Default::default()
            }),
            input: payloads_to_proto(options.input),
            workflow_execution_timeout: options.execution_timeout.map(duration_to_proto),
            workflow_run_timeout: options.run_timeout.map(duration_to_proto),
            workflow_task_timeout: options.task_timeout.map(duration_to_proto),
            identity: self.identity.clone(),
            request_id: options.request_id.unwrap_or_else(unique_id),
            workflow_id_reuse_policy: options.id_reuse_policy.unwrap_or_default().into(),
            workflow_id_conflict_policy: options.id_conflict_policy.unwrap_or_default().into(),
            retry_policy: options.retry_policy.map(retry_policy_to_proto),
            cron_schedule: options.cron_schedule.unwrap_or_default(),
            memo: fields(options.memo).map(|fields| common::Memo { fields }),
            search_attributes: fields(options.search_attributes)
                .map(|indexed_fields| common::SearchAttributes { indexed_fields }),
            header: fields(options.headers).map(|fields| common::Header { fields }),
            workflow_start_delay: options.start_delay.map(duration_to_proto),
            user_metadata,
            priority,
            ..Default::default()
        })
    }
}

fn signal_with_start(
    start: StartWorkflowExecutionRequest,
    signal_name: String,
) -> SignalWithStartWorkflowExecutionRequest {
    SignalWithStartWorkflowExecutionRequest {
        namespace: start.namespace,
        workflow_id: start.workflow_id,
        workflow_type: start.workflow_type,
        task_queue: start.task_queue,
        input: start.input,
        workflow_execution_timeout: start.workflow_execution_timeout,
        workflow_run_timeout: start.workflow_run_timeout,
        workflow_task_timeout: start.workflow_task_timeout,
        identity: start.identity,
        request_id: start.request_id,
        workflow_id_reuse_policy: start.workflow_id_reuse_policy,
        workflow_id_conflict_policy: start.workflow_id_conflict_policy,
        signal_name,
        retry_policy: start.retry_policy,
        cron_schedule: start.cron_schedule,
        memo: start.memo,
        search_attributes: start.search_attributes,
        header: start.header,
        workflow_start_delay: start.workflow_start_delay,
        user_metadata: start.user_metadata,
        priority: start.priority,
        ..Default::default()
    }
}

fn user_metadata(
    summary: Option<String>,
    details: Option<String>,
) -> Result<Option<UserMetadata>, ClientError> {
    if summary.is_none() && details.is_none() {
        return Ok(None);
    }
    let payload = |text: Option<String>| {
        text.map(|text| value_to_proto(&Value::from(text)))
            .transpose()
    };
    let metadata = payload(summary).and_then(|summary| {
        Ok(UserMetadata {
            summary,
            details: payload(details)?,
        })
    });
    metadata
        .map(Some)
        .map_err(|e| ClientError::Config(e.to_string()))
}

pub(super) fn fields<C: FromIterator<(String, common::Payload)>>(
    fields: Vec<(String, Payload)>,
) -> Option<C> {
    (!fields.is_empty()).then(|| {
        fields
            .into_iter()
            .map(|(name, payload)| (name, payload_to_proto(payload)))
            .collect()
    })
}

pub(super) fn refused(workflow_id: &str, status: Status) -> ClientError {
    if status.code() == Code::AlreadyExists {
        let details: Option<WorkflowExecutionAlreadyStartedFailure> = detail(&status);
        return ClientError::AlreadyStarted {
            workflow_id: workflow_id.to_owned(),
            run_id: details.map(|d| d.run_id).unwrap_or_default(),
        };
    }
    ClientError::Refused {
        operation: "start the workflow",
        status: Box::new(status),
    }
}

/// A detail that the server attached to an error.
pub(super) fn detail<T: prost::Message + Default>(status: &Status) -> Option<T> {
    use prost::Message;
    use temporalio_protos::google::rpc;
    let status = rpc::Status::decode(status.details()).ok()?;
    let any = status.details.first()?;
    T::decode(any.value.as_slice()).ok()
}
