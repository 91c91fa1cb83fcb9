//! The messages between the server and the worker: a workflow task one way, its completion the other. A query is
//! answered immediately.

use std::collections::{BTreeMap, HashMap};

use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1::WorkflowTaskFailedCause;
use temporalio_protos::temporal::api::history::v1 as history;

use crate::engine::command::{
    ContinueAsNew, ScheduleActivity, ScheduleNexus, SignalTarget, StartChild,
};
use crate::engine::failure::Failure;
use crate::value::{Duration, Payload};

/// A run's names.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub(crate) workflow_id: &'a str,
    pub(crate) run_id: &'a str,
    pub(crate) workflow_type: &'a str,
}

/// A workflow task.
pub(super) struct WorkflowTask<'a> {
    /// The run's number, in its tasks and their completions.
    pub(crate) run: usize,
    pub(crate) names: Names<'a>,
    /// The events that the worker has not seen; the last one is this task's start.
    pub(crate) events: &'a [history::HistoryEvent],
    /// Updates that no task has delivered.
    pub(crate) updates: Vec<UpdateRequest>,
    /// Time in which the task must be completed.
    pub(crate) timeout: Duration,
}

/// A client's update.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct UpdateRequest {
    pub(crate) id: String,
    pub(crate) protocol_instance_id: String,
    pub(crate) name: String,
    pub(crate) input: Vec<common::Payload>,
    /// The event after which it arrived.
    pub(crate) sequencing_event_id: i64,
}

/// A client's query. It is answered immediately, and leaves no trace.
pub(super) struct Query<'a> {
    pub(crate) run: usize,
    pub(crate) names: Names<'a>,
    pub(crate) name: String,
    pub(crate) args: Vec<common::Payload>,
}

/// A worker's answer to a workflow task.
pub(super) struct Completion {
    pub(crate) run: usize,
    pub(crate) result: Result<Completed, TaskFailed>,
}

pub(super) struct Completed {
    pub(crate) commands: Vec<Command>,
    /// Changes of the engine that this task was the first to use.
    pub(crate) flags: Vec<u32>,
    /// Local activities are still running: another task must follow immediately.
    pub(crate) goes_on: bool,
}

/// The worker could not complete the task.
pub(super) struct TaskFailed {
    pub(crate) cause: WorkflowTaskFailedCause,
    pub(crate) message: String,
}

/// The server's answer to a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Recorded,
    /// The task had no effect: its events were never written, and this many remain.
    Dropped {
        events: i64,
    },
    /// The task ended as failed. The worker must rebuild the run from the history.
    Refused {
        is_tried_again: bool,
    },
}

/// A worker's request to the server.
pub(super) struct Command {
    pub(crate) kind: CommandKind,
    /// What Temporal's UI shows about its step.
    pub(crate) summary: Option<String>,
}

pub(super) enum CommandKind {
    StartTimer {
        timer_id: String,
        duration: Duration,
    },
    CancelTimer {
        started_event_id: i64,
    },
    ScheduleActivity(Box<ScheduleActivity>),
    CancelActivity {
        scheduled_event_id: i64,
    },
    StartChild(Box<StartChild>),
    SignalWorkflow {
        target: SignalTarget,
        name: String,
        args: Vec<Payload>,
    },
    CancelWorkflow {
        workflow_id: String,
        run_id: String,
        reason: String,
        child_workflow_only: bool,
    },
    ScheduleNexus(Box<ScheduleNexus>),
    CancelNexus {
        scheduled_event_id: i64,
    },
    RecordMarker(Box<history::MarkerRecordedEventAttributes>),
    UpsertSearchAttributes(HashMap<String, common::Payload>),
    UpsertMemo(BTreeMap<String, Payload>),
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
    Complete(Payload),
    Fail(Failure),
    Cancel,
    ContinueAsNew(Box<ContinueAsNew>),
}

impl CommandKind {
    /// Whether it ends the run.
    pub(crate) fn closes(&self) -> bool {
        match self {
            CommandKind::Complete(_)
            | CommandKind::Fail(_)
            | CommandKind::Cancel
            | CommandKind::ContinueAsNew(_) => true,
            CommandKind::StartTimer { .. }
            | CommandKind::CancelTimer { .. }
            | CommandKind::ScheduleActivity(_)
            | CommandKind::CancelActivity { .. }
            | CommandKind::StartChild(_)
            | CommandKind::SignalWorkflow { .. }
            | CommandKind::CancelWorkflow { .. }
            | CommandKind::ScheduleNexus(_)
            | CommandKind::CancelNexus { .. }
            | CommandKind::RecordMarker(_)
            | CommandKind::UpsertSearchAttributes(_)
            | CommandKind::UpsertMemo(_)
            | CommandKind::AcceptUpdate { .. }
            | CommandKind::RejectUpdate { .. }
            | CommandKind::CompleteUpdate { .. } => false,
        }
    }

    /// No event records the rejection of an update.
    pub(crate) fn is_rejection(&self) -> bool {
        matches!(self, CommandKind::RejectUpdate { .. })
    }
}

impl Completion {
    pub(crate) fn failed(run: usize, message: impl Into<String>) -> Self {
        Completion {
            run,
            result: Err(TaskFailed {
                cause: WorkflowTaskFailedCause::WorkflowWorkerUnhandledFailure,
                message: message.into(),
            }),
        }
    }
}
