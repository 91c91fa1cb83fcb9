//! Temporal's failures in the language's terms.

use crate::value::{Duration, Map, Payload, Value, bounded_message};
use crate::words::{FailureKind, RetryState, TimeoutType};

/// The fields of one kind of failure.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum FailureInfo {
    Application {
        error_type: String,
        non_retryable: bool,
        details: Vec<Value>,
        next_retry_delay: Option<Duration>,
    },
    Timeout {
        timeout_type: TimeoutType,
        last_heartbeat_details: Vec<Value>,
    },
    Cancelled {
        details: Vec<Value>,
    },
    Terminated,
    Server {
        non_retryable: bool,
    },
    ResetWorkflow,
    Activity {
        activity_type: String,
        activity_id: String,
        identity: String,
        retry_state: RetryState,
        scheduled_event_id: i64,
        started_event_id: i64,
    },
    ChildWorkflow {
        namespace: String,
        workflow_id: String,
        run_id: String,
        workflow_type: String,
        retry_state: RetryState,
        initiated_event_id: i64,
        started_event_id: i64,
    },
    NexusOperation {
        endpoint: String,
        service: String,
        operation: String,
        operation_token: String,
        scheduled_event_id: i64,
    },
    NexusHandler {
        error_type: String,
    },
}

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Failure {
    pub message: String,
    pub source: String,
    pub stack_trace: String,
    pub info: FailureInfo,
    pub cause: Option<Box<Failure>>,
    /// Fields that the language does not see, kept so that a failure that is passed on arrives unchanged.
    pub passed_on: Option<Box<PassedOn>>,
}

impl FailureInfo {
    /// The details of the failure, cancellation or heartbeats; not those of the causes.
    pub(crate) fn details(&self) -> Option<&[Value]> {
        match self {
            FailureInfo::Application { details, .. } | FailureInfo::Cancelled { details } => {
                Some(details)
            }
            FailureInfo::Timeout {
                last_heartbeat_details,
                ..
            } => Some(last_heartbeat_details),
            FailureInfo::Terminated
            | FailureInfo::Server { .. }
            | FailureInfo::ResetWorkflow
            | FailureInfo::Activity { .. }
            | FailureInfo::ChildWorkflow { .. }
            | FailureInfo::NexusOperation { .. }
            | FailureInfo::NexusHandler { .. } => None,
        }
    }
}

/// The other fields of Temporal's failures; numbers are those of Temporal's enumerations.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct PassedOn {
    /// The message and stack trace as a payload, which a codec encrypts. The readable ones are then only in here.
    pub(crate) encoded_attributes: Option<Payload>,
    /// The client that cancelled or terminated.
    pub(crate) identity: String,
    /// The category of an application failure: metrics do not count benign ones as errors.
    pub(crate) category: i32,
    /// The last heartbeat details of a reset workflow's activity.
    pub(crate) last_heartbeat_details: Vec<Value>,
    /// Whether a Nexus handler's failure is retried.
    pub(crate) retry_behavior: i32,
}

/// The type of a failure that a mistake in the definition causes at run time.
pub(crate) const DEFINITION_ERROR: &str = "DefinitionError";

/// The type of the failure with which a worker reports that `schedule_to_close_timeout` leaves a local activity no
/// further attempt.
const LOCAL_BOUND_PASSED: &str = "ScheduleToCloseTimeout";

impl Failure {
    /// The failure with a message that fits in the answer to a client, however much it quotes.
    pub(crate) fn into_refusal(mut self) -> Failure {
        self.message = bounded_message(self.message);
        self
    }

    pub fn new(message: impl Into<String>, info: FailureInfo) -> Self {
        Failure {
            message: message.into(),
            source: "segno".into(),
            stack_trace: String::new(),
            info,
            cause: None,
            passed_on: None,
        }
    }

    pub fn application(error_type: impl Into<String>, message: impl Into<String>) -> Self {
        let info = FailureInfo::Application {
            error_type: error_type.into(),
            non_retryable: false,
            details: Vec::new(),
            next_retry_delay: None,
        };
        Failure::new(message, info)
    }

    /// The failure, excluded from retries.
    pub(crate) fn non_retryable(mut self) -> Self {
        if let FailureInfo::Application { non_retryable, .. } = &mut self.info {
            *non_retryable = true;
        }
        self
    }

    /// A mistake of the definition. It would recur, so it is never retried.
    pub(crate) fn definition(message: impl Into<String>) -> Self {
        Failure::application(DEFINITION_ERROR, message).non_retryable()
    }

    pub fn cancelled(message: impl Into<String>) -> Self {
        Failure::new(
            message,
            FailureInfo::Cancelled {
                details: Vec::new(),
            },
        )
    }

    pub(crate) fn timeout(message: impl Into<String>, timeout_type: TimeoutType) -> Self {
        Failure::new(
            message,
            FailureInfo::Timeout {
                timeout_type,
                last_heartbeat_details: Vec::new(),
            },
        )
    }

    /// The timeout of a local activity that may make no further attempt, inside the only kind of failure that core does
    /// not retry. `last` is the failure of the last attempt.
    pub(crate) fn local_bound_passed(last: Option<Failure>) -> Self {
        let message = "no further attempt could begin within schedule_to_close_timeout";
        let timeout = Failure {
            cause: last.map(Box::new),
            ..Failure::timeout(message, TimeoutType::ScheduleToClose)
        };
        Failure {
            cause: Some(Box::new(timeout)),
            ..Failure::application(LOCAL_BOUND_PASSED, message).non_retryable()
        }
    }

    /// The timeout inside [`Failure::local_bound_passed`]; any other failure unchanged.
    pub(crate) fn without_local_bound(self) -> Self {
        let is_bound = matches!(&self.info, FailureInfo::Application { error_type, non_retryable: true, .. } if error_type == LOCAL_BOUND_PASSED);
        let cause = self.cause.as_ref().map(|cause| cause.kind());
        match self.cause {
            Some(timeout) if is_bound && cause == Some(FailureKind::Timeout) => *timeout,
            cause => Failure { cause, ..self },
        }
    }

    pub fn kind(&self) -> FailureKind {
        match &self.info {
            FailureInfo::Application { .. } => FailureKind::Application,
            FailureInfo::Timeout { .. } => FailureKind::Timeout,
            FailureInfo::Cancelled { .. } => FailureKind::Cancelled,
            FailureInfo::Terminated => FailureKind::Terminated,
            FailureInfo::Server { .. } => FailureKind::Server,
            FailureInfo::ResetWorkflow => FailureKind::ResetWorkflow,
            FailureInfo::Activity { .. } => FailureKind::Activity,
            FailureInfo::ChildWorkflow { .. } => FailureKind::ChildWorkflow,
            FailureInfo::NexusOperation { .. } => FailureKind::NexusOperation,
            FailureInfo::NexusHandler { .. } => FailureKind::NexusHandler,
        }
    }

    /// This failure and its causes, outermost first.
    pub fn chain(&self) -> impl Iterator<Item = &Failure> {
        std::iter::successors(Some(self), |f| f.cause.as_deref())
    }

    /// The application's error type, the nearest in the chain of causes.
    pub fn error_type(&self) -> Option<&str> {
        self.chain().find_map(|f| {
            let FailureInfo::Application { error_type, .. } = &f.info else {
                return None;
            };
            Some(error_type.as_str())
        })
    }

    /// Whether it is a cancellation, possibly wrapped in the activity or child that was cancelled.
    pub fn is_cancelled(&self) -> bool {
        match self.kind() {
            FailureKind::Cancelled => true,
            FailureKind::Activity | FailureKind::ChildWorkflow | FailureKind::NexusOperation => {
                self.cause.as_ref().is_some_and(|c| c.is_cancelled())
            }
            FailureKind::Application
            | FailureKind::Timeout
            | FailureKind::Terminated
            | FailureKind::Server
            | FailureKind::ResetWorkflow
            | FailureKind::NexusHandler => false,
        }
    }

    /// Whether it matches a name in `catch: error:`, which is a kind or a type anywhere in the chain of causes.
    pub(crate) fn matches(&self, name: &str) -> bool {
        self.chain().any(|f| f.kind().name() == name) || self.error_type() == Some(name)
    }

    /// The value of `error` in a `catch`.
    pub fn to_value(&self) -> Value {
        let mut map = Map::new();
        map.insert("kind", self.kind().name());
        map.insert("type", self.error_type().map_or(Value::Null, Value::from));
        let innermost = match self.kind() {
            FailureKind::Activity | FailureKind::ChildWorkflow | FailureKind::NexusOperation => {
                self.cause.as_deref().unwrap_or(self)
            }
            FailureKind::Application
            | FailureKind::Timeout
            | FailureKind::Cancelled
            | FailureKind::Terminated
            | FailureKind::Server
            | FailureKind::ResetWorkflow
            | FailureKind::NexusHandler => self,
        };
        map.insert("message", innermost.message.as_str());
        map.insert("details", self.details());
        map.insert(
            "cause",
            self.cause.as_ref().map_or(Value::Null, |c| c.to_value()),
        );
        match &self.info {
            FailureInfo::Activity {
                activity_type,
                activity_id,
                ..
            } => {
                map.insert("activity_type", activity_type.as_str());
                map.insert("activity_id", activity_id.as_str());
            }
            FailureInfo::ChildWorkflow {
                workflow_id,
                run_id,
                workflow_type,
                ..
            } => {
                map.insert("workflow_id", workflow_id.as_str());
                map.insert("run_id", run_id.as_str());
                map.insert("workflow_type", workflow_type.as_str());
            }
            FailureInfo::Timeout { timeout_type, .. } => {
                map.insert("timeout_type", timeout_type.name());
            }
            FailureInfo::Application { .. }
            | FailureInfo::Cancelled { .. }
            | FailureInfo::Terminated
            | FailureInfo::Server { .. }
            | FailureInfo::ResetWorkflow
            | FailureInfo::NexusOperation { .. }
            | FailureInfo::NexusHandler { .. } => {}
        }
        Value::map(map)
    }

    /// One detail is itself, several are a list, none is null.
    fn details(&self) -> Value {
        let found = self.chain().find_map(|failure| failure.info.details());
        match found.unwrap_or_default() {
            [] => Value::Null,
            [one] => one.force().cloned().unwrap_or(Value::Null),
            several => Value::list(
                several
                    .iter()
                    .map(|v| v.force().cloned().unwrap_or(Value::Null))
                    .collect(),
            ),
        }
    }
}
