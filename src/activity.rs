//! The generic worker's own activities, behind one trait, independent of a cluster.

mod attempt;
pub mod callback;
pub mod exec;
#[cfg(feature = "cluster")]
pub mod grpc;
pub mod http;
mod input;
pub mod policy;
pub(crate) mod redact;
mod resolve;
pub mod secret;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::engine::PAYLOAD_SIZE_EXCEEDED;
use crate::engine::failure::Failure;
use crate::faults::Fault;
use crate::limits::LOCAL_RESULT_SIZE_BYTES_MAX;
use crate::value::{Duration, Timestamp, Value};

/// One activity type. It may be run many times concurrently.
#[async_trait]
pub trait Activity: Send + Sync {
    /// The type that workflows call it by.
    fn name(&self) -> &str;

    /// Whether a success of `run` only starts it: a client then completes it by its task token.
    fn is_completed_outside(&self) -> bool {
        false
    }

    /// Runs one attempt. When `context.cancellation` fires, the activity may clean up and fail with
    /// [`Failure::cancelled`]; the host drops the future of one that continues for longer than the grace period. A
    /// failure is retried by the workflow's retry policy unless it is non-retryable.
    async fn run(&self, context: ActivityContext, arguments: Vec<Value>) -> Result<Value, Failure>;
}

/// The context of an attempt.
#[derive(Clone)]
pub struct ActivityContext {
    pub namespace: String,
    pub task_queue: String,
    pub workflow_id: String,
    pub run_id: String,
    pub workflow_type: String,
    pub activity_id: String,
    pub activity_type: String,
    /// Counted from 1.
    pub attempt: u32,
    pub is_local: bool,
    pub scheduled_time: Option<Timestamp>,
    pub started_time: Option<Timestamp>,
    pub schedule_to_close_timeout: Option<Duration>,
    pub start_to_close_timeout: Option<Duration>,
    pub heartbeat_timeout: Option<Duration>,
    /// The details of the last heartbeat of the previous attempts.
    pub heartbeat_details: Vec<Value>,
    /// Identifies the attempt to the server: a client that has it can complete the activity.
    pub task_token: Vec<u8>,
    /// Fires when the workflow, the server or the worker's shutdown cancels the attempt.
    pub cancellation: CancellationToken,
    pub heartbeats: Arc<dyn Heartbeats>,
}

/// Sends heartbeats. They are throttled: an activity may send them as often as it likes.
pub trait Heartbeats: Send + Sync {
    fn record(&self, details: Vec<Value>);
}

/// What the worker allows its own activities to do.
pub(crate) struct Permissions<'a> {
    /// Hosts that they may connect to; if empty, all but clouds' metadata services.
    pub(crate) hosts: &'a [String],
    /// Hosts that they may not connect to.
    pub(crate) hosts_refused: &'a [String],
    pub(crate) profile: policy::Profile,
    /// Programs that they may run, as `NAME=PATH`.
    pub(crate) programs: &'a [String],
    /// Environment variables that definitions may set for these.
    pub(crate) variables: &'a [String],
    pub(crate) secrets_folder: Option<PathBuf>,
    /// The `segno` program, which ends the programs of a worker that is killed; `None` if they are not ended.
    pub(crate) keeper: Option<PathBuf>,
}

/// The built-in activities of the generic worker.
pub(crate) fn built_in(permissions: Permissions<'_>) -> Result<Vec<Arc<dyn Activity>>, String> {
    let policy = policy::Policy::new(permissions.hosts, permissions.hosts_refused)?;
    let policy = Arc::new(policy.with_profile(permissions.profile));
    let secrets = secret::Secrets {
        folder: permissions.secrets_folder,
    };
    let http = Arc::new(http::Http::new(policy.clone(), secrets.clone())?);
    let exec = exec::Exec::new(permissions.programs, permissions.variables, secrets.clone())?;
    let exec = match permissions.keeper {
        Some(segno) => exec.with_keeper(segno)?,
        None => exec,
    };
    let exec = Arc::new(exec);
    Ok(vec![
        Arc::new(callback::Callback::new(http.clone(), exec.clone())),
        http,
        #[cfg(feature = "cluster")]
        Arc::new(grpc::Grpc::new(policy, secrets)),
        exec,
    ])
}

/// The failure of an attempt if the worker does not have the type. An activity from a task queue waits for a worker
/// that has it; a local one has no other worker.
pub(crate) fn not_found(activity_type: &str, mut names: Vec<&str>, is_local: bool) -> Failure {
    names.sort_unstable();
    let hint = match is_local {
        true => "needs a task queue: it cannot be `local`",
        false => "needs the task queue that the worker polls",
    };
    let message = format!(
        "this worker has no activity of the type {activity_type:?}; its own are: {}. An activity of another worker {hint}",
        names.join(", ")
    );
    let failure = Failure::application("NotFoundError", message);
    match is_local && !Fault::UnknownLocalWaits.is_on() {
        true => failure.non_retryable(),
        false => failure,
    }
}

/// The server would end a run whose marker contains such a result.
pub(crate) fn local_result_too_large(size: usize) -> Failure {
    let message = format!(
        "the local activity's result takes {size} bytes; LOCAL_RESULT_SIZE_BYTES_MAX is {LOCAL_RESULT_SIZE_BYTES_MAX}"
    );
    Failure::application(PAYLOAD_SIZE_EXCEEDED, message).non_retryable()
}

impl ActivityContext {
    /// Reports that the attempt is alive, with the progress from which the next attempt may continue.
    pub fn heartbeat(&self, details: Vec<Value>) {
        self.heartbeats.record(details);
    }

    /// The progress that the previous attempt reported: one value, or a list if there were several.
    pub(crate) fn last_heartbeat(&self) -> Option<Value> {
        match self.heartbeat_details.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            several => Some(Value::list(several.to_vec())),
        }
    }
}
