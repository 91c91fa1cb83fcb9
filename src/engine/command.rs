//! What the engine requests from the host. One counter numbers everything that can be resolved: `seq`.

use std::collections::BTreeMap;

use super::failure::Failure;
use crate::value::{Duration, Payload, Timestamp, Value};
use crate::words::{
    ActivityCancellationType, ChildCancellationType, InitialVersioningBehavior, LogLevel,
    ParentClosePolicy, RetryPolicy, StepId, WorkflowIdReusePolicy,
};

/// A command, and what Temporal's UI shows about its step.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    pub kind: CommandKind,
    /// At most [`crate::limits::SUMMARY_SIZE_BYTES_MAX`].
    pub(crate) summary: Option<String>,
    /// The step that the routine was at.
    pub(crate) step: Option<StepId>,
}

impl From<CommandKind> for Command {
    fn from(kind: CommandKind) -> Self {
        Command {
            kind,
            summary: None,
            step: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum CommandKind {
    StartTimer {
        seq: u32,
        duration: Duration,
    },
    CancelTimer {
        seq: u32,
    },
    ScheduleActivity(Box<ScheduleActivity>),
    ScheduleLocalActivity(Box<ScheduleLocalActivity>),
    RequestCancelActivity {
        seq: u32,
    },
    RequestCancelLocalActivity {
        seq: u32,
    },
    StartChild(Box<StartChild>),
    CancelChild {
        seq: u32,
        reason: String,
    },
    SignalExternal {
        seq: u32,
        target: SignalTarget,
        name: String,
        args: Vec<Payload>,
    },
    CancelExternal {
        seq: u32,
        workflow_id: String,
        run_id: String,
        reason: String,
    },
    ScheduleNexus(Box<ScheduleNexus>),
    CancelNexus {
        seq: u32,
    },
    UpsertSearchAttributes(BTreeMap<String, Payload>),
    /// Makes the run findable by the version that it is bound to: a marker, and the search attribute
    /// `TemporalChangeVersion`.
    MarkVersion(String),
    UpsertMemo(BTreeMap<String, Payload>),
    RespondToQuery {
        id: String,
        result: Result<Payload, Failure>,
    },
    AcceptUpdate {
        protocol_instance_id: String,
    },
    RejectUpdate {
        protocol_instance_id: String,
        failure: Failure,
    },
    CompleteUpdate {
        protocol_instance_id: String,
        result: Result<Payload, Failure>,
    },
    CompleteWorkflow(Payload),
    FailWorkflow(Failure),
    CancelWorkflow,
    ContinueAsNew(Box<ContinueAsNew>),
    /// Not a command of Temporal's: the workflow task used this change of the engine.
    UseFlag(u32),
    /// Not a Temporal command: a log line, written unless this is a replay.
    Log {
        level: LogLevel,
        message: String,
        fields: Vec<(String, Value)>,
    },
}

impl CommandKind {
    /// Whether the workflow task that requests it records an event for it: a local activity does so when it ends, and
    /// answers to queries and updates depend on what arrived from outside.
    pub(crate) fn is_recorded(&self) -> bool {
        match self {
            CommandKind::StartTimer { .. }
            | CommandKind::ScheduleActivity(_)
            | CommandKind::StartChild(_)
            | CommandKind::SignalExternal { .. }
            | CommandKind::CancelExternal { .. }
            | CommandKind::ScheduleNexus(_)
            | CommandKind::UpsertSearchAttributes(_)
            | CommandKind::MarkVersion(_)
            | CommandKind::UpsertMemo(_)
            | CommandKind::CompleteWorkflow(_)
            | CommandKind::FailWorkflow(_)
            | CommandKind::CancelWorkflow
            | CommandKind::ContinueAsNew(_) => true,
            CommandKind::CancelTimer { .. }
            | CommandKind::ScheduleLocalActivity(_)
            | CommandKind::RequestCancelActivity { .. }
            | CommandKind::RequestCancelLocalActivity { .. }
            | CommandKind::CancelChild { .. }
            | CommandKind::CancelNexus { .. }
            | CommandKind::RespondToQuery { .. }
            | CommandKind::AcceptUpdate { .. }
            | CommandKind::RejectUpdate { .. }
            | CommandKind::CompleteUpdate { .. }
            | CommandKind::UseFlag(_)
            | CommandKind::Log { .. } => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct ActivityTimeouts {
    pub(crate) schedule_to_close: Option<Duration>,
    pub(crate) schedule_to_start: Option<Duration>,
    pub(crate) start_to_close: Option<Duration>,
    pub(crate) heartbeat: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Priority {
    /// 1 is the most urgent; 0 is the default of the server.
    pub(crate) priority_key: i32,
    pub(crate) fairness_key: String,
    pub(crate) fairness_weight: f32,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScheduleActivity {
    pub seq: u32,
    pub(crate) activity_id: String,
    pub activity_type: String,
    pub(crate) task_queue: String,
    pub arguments: Vec<Payload>,
    pub(crate) timeouts: ActivityTimeouts,
    pub(crate) retry_policy: Option<RetryPolicy>,
    pub(crate) cancellation_type: ActivityCancellationType,
    pub(crate) priority: Option<Priority>,
}

#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct ScheduleLocalActivity {
    pub seq: u32,
    pub(crate) activity_id: String,
    pub activity_type: String,
    pub arguments: Vec<Payload>,
    pub(crate) timeouts: ActivityTimeouts,
    pub(crate) retry_policy: Option<RetryPolicy>,
    pub(crate) cancellation_type: ActivityCancellationType,
    /// 0 unless it is scheduled again after a backoff; then this and the next field are from
    /// [`super::job::Job::BackOffActivity`].
    pub(crate) attempt: u32,
    pub(crate) original_schedule_time: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct StartChild {
    pub seq: u32,
    pub workflow_id: String,
    pub workflow_type: String,
    pub(crate) task_queue: String,
    pub input: Vec<Payload>,
    pub(crate) execution_timeout: Option<Duration>,
    pub(crate) run_timeout: Option<Duration>,
    pub(crate) task_timeout: Option<Duration>,
    pub(crate) parent_close_policy: ParentClosePolicy,
    pub(crate) workflow_id_reuse_policy: WorkflowIdReusePolicy,
    pub(crate) retry_policy: Option<RetryPolicy>,
    pub(crate) cron_schedule: String,
    pub(crate) memo: BTreeMap<String, Payload>,
    pub(crate) search_attributes: BTreeMap<String, Payload>,
    pub(crate) cancellation_type: ChildCancellationType,
    pub(crate) priority: Option<Priority>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum SignalTarget {
    Workflow { workflow_id: String, run_id: String },
    Child { workflow_id: String },
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScheduleNexus {
    pub(crate) seq: u32,
    pub(crate) endpoint: String,
    pub(crate) service: String,
    pub(crate) operation: String,
    pub(crate) input: Payload,
    pub(crate) schedule_to_close_timeout: Option<Duration>,
    pub(crate) schedule_to_start_timeout: Option<Duration>,
    pub(crate) start_to_close_timeout: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct ContinueAsNew {
    pub workflow_type: String,
    pub(crate) task_queue: String,
    pub arguments: Vec<Payload>,
    pub(crate) run_timeout: Option<Duration>,
    pub(crate) task_timeout: Option<Duration>,
    pub(crate) memo: BTreeMap<String, Payload>,
    pub(crate) search_attributes: BTreeMap<String, Payload>,
    pub headers: BTreeMap<String, Payload>,
    pub(crate) retry_policy: Option<RetryPolicy>,
    pub(crate) initial_versioning_behavior: Option<InitialVersioningBehavior>,
}
