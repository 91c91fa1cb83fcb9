//! The client of a cluster: each operation typed, over Temporal's WorkflowService.

mod activity;
mod beginning;
mod codec;
mod connection;
mod deployments;
mod events;
mod held;
mod inspect;
mod json;
mod message;
mod namespace;
mod outcome;
mod pollers;
mod schedule;
mod start;
mod timeline;
mod trace;
mod trouble;
mod update;

use temporalio_client::Connection;
use temporalio_protos::temporal::api::common::v1::WorkflowExecution;
use tonic::{Code, Request, Response, Status};

pub use activity::ActivityRef;
pub(crate) use activity::HeartbeatAnswer;
pub(crate) use beginning::Beginning;
pub use codec::{CodecKind, CodecSettings, KeySource};
pub use connection::{ConnectionSettings, ResolvedSettings};
pub(crate) use connection::{Source, default_identity};
pub(crate) use deployments::{Ramping, RoutingForce, WorkerDeployment, WorkerVersion};
pub(crate) use events::{EventLook, EventSummary, event_summaries, shown_payloads};
pub(crate) use held::WorkflowTask;
pub(crate) use inspect::{Description, PendingActivity, PendingChild, WorkflowSummary};
pub use json::{history_from_json, history_to_json};
pub use message::{QueryAnswer, QueryReject};
pub(crate) use namespace::{Archival, NamespaceDescription, NamespaceOptions, SearchAttributeType};
pub(crate) use outcome::{Ended, Outcome};
pub(crate) use pollers::Poller;
pub use pollers::announcing;
pub use schedule::Schedule;
pub(crate) use schedule::{
    Backfill, ScheduleChange, ScheduleDescription, ScheduleSummary, TakenAction,
};
pub use start::StartOptions;
pub(crate) use start::Started;
pub(crate) use temporalio_protos::temporal::api::enums::v1::{
    WorkflowIdConflictPolicy, WorkflowIdReusePolicy,
};
pub use temporalio_protos::temporal::api::history::v1::History;
pub(crate) use timeline::{Span, SpanState, duration_units, timeline};
pub(crate) use trouble::FailingTask;
pub(crate) use update::UpdateStarted;
pub use update::{UpdateOptions, UpdateStage};

use crate::accepted::ScheduleError;
use crate::payload::{Codec, CodecError};
use crate::telemetry::Tracer;

/// A connection to one namespace.
#[derive(Clone)]
pub struct Client {
    pub(crate) connection: Connection,
    namespace: String,
    identity: String,
    codec: Codec,
    tracer: Tracer,
}

/// A workflow by its id; without a run id, its latest run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkflowRef {
    pub workflow_id: String,
    pub run_id: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("{0}")]
    Config(String),
    #[error("cannot reach a Temporal server at {address}: {reason}")]
    Connect { address: String, reason: String },
    #[error("there is no workflow with the id {0:?} in the namespace {1:?}")]
    NoSuchWorkflow(String, String),
    #[error("{activity} is not waiting for completion in the namespace {namespace:?}: {reason}")]
    NoSuchActivity {
        activity: String,
        namespace: String,
        reason: String,
    },
    #[error("a workflow with the id {workflow_id:?} already exists (run {run_id})")]
    AlreadyStarted { workflow_id: String, run_id: String },
    #[error("there is no schedule with the id {0:?} in the namespace {1:?}")]
    NoSuchSchedule(String, String),
    #[error("a schedule with the id {0:?} already exists")]
    ScheduleExists(String),
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    #[error("there is no namespace {0:?}")]
    NoSuchNamespace(String),
    #[error("the namespace {0:?} already exists")]
    NamespaceExists(String),
    #[error("the server refused to {operation}: {} ({:?})", .status.message(), .status.code())]
    Refused {
        operation: &'static str,
        status: Box<Status>,
    },
    #[error("{0}")]
    TooLarge(String),
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("the server's answer to {0} lacks {1}")]
    Malformed(&'static str, &'static str),
}

impl WorkflowRef {
    pub fn new(workflow_id: impl Into<String>, run_id: Option<String>) -> Self {
        WorkflowRef {
            workflow_id: workflow_id.into(),
            run_id,
        }
    }

    fn to_proto(&self) -> WorkflowExecution {
        WorkflowExecution {
            workflow_id: self.workflow_id.clone(),
            run_id: self.run_id.clone().unwrap_or_default(),
        }
    }
}

impl Client {
    pub async fn connect(settings: &ResolvedSettings) -> Result<Client, ClientError> {
        Ok(Client {
            connection: settings.connect(None).await?,
            namespace: settings.namespace.clone(),
            identity: settings.options.identity.clone(),
            codec: settings.codec.clone(),
            tracer: Tracer::from_environment().map_err(|e| ClientError::Config(e.to_string()))?,
        })
    }

    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The error of a failed call, for the user.
    fn refused(
        &self,
        operation: &'static str,
        workflow: Option<&WorkflowRef>,
    ) -> impl FnOnce(Status) -> ClientError {
        let missing = workflow.map(|w| (w.workflow_id.clone(), self.namespace.clone()));
        move |status| match (status.code(), missing) {
            (Code::NotFound, Some((id, namespace))) if is_about_the_workflow(&status) => {
                ClientError::NoSuchWorkflow(id, namespace)
            }
            _ => ClientError::Refused {
                operation,
                status: Box::new(status),
            },
        }
    }
}

/// `NotFound` also means missing namespaces, updates and closed runs, which the message shows.
fn is_about_the_workflow(status: &Status) -> bool {
    let message = status.message();
    message.contains("workflow not found") || message.contains("no rows in result set")
}

fn request<T>(message: T) -> Request<T> {
    Request::new(message)
}

fn body<T>(response: Response<T>) -> T {
    response.into_inner()
}

/// A name that no two calls share: for request ids, and for workflow ids that are not given.
pub fn unique_id() -> String {
    uuid::Uuid::new_v4().to_string()
}
