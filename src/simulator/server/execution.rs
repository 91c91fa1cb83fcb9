//! One run on the server: its history and what is pending.

use std::collections::BTreeMap;

use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1 as enums;
use temporalio_protos::temporal::api::failure::v1::Failure as ProtoFailure;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::history::v1::{
    ActivityTaskScheduledEventAttributes, HistoryEvent, NexusOperationScheduledEventAttributes,
    StartChildWorkflowExecutionInitiatedEventAttributes, WorkflowExecutionStartedEventAttributes,
};

use super::super::UpdateNumber;
use super::super::agenda::Key;
use super::super::message::{Names, UpdateRequest};
use super::super::outside::Attempt;
use crate::engine::failure::Failure;
use crate::history::Meaning;
use crate::value::{Payload, Timestamp};
use crate::words::ParentClosePolicy;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Running,
    Completed,
    Failed,
    Cancelled,
    Terminated,
    TimedOut,
    ContinuedAsNew,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Outcome {
    Completed(Payload),
    Failed(Failure),
    Cancelled,
    Terminated { reason: String },
    TimedOut,
    ContinuedAsNew,
}

impl Outcome {
    pub(crate) fn status(&self) -> Status {
        match self {
            Outcome::Completed(_) => Status::Completed,
            Outcome::Failed(_) => Status::Failed,
            Outcome::Cancelled => Status::Cancelled,
            Outcome::Terminated { .. } => Status::Terminated,
            Outcome::TimedOut => Status::TimedOut,
            Outcome::ContinuedAsNew => Status::ContinuedAsNew,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    None,
    /// The first task is due later.
    Waiting,
    Scheduled {
        /// Only for updates: it leaves no trace if it refuses them all.
        is_speculative: bool,
    },
    Open {
        is_speculative: bool,
    },
}

#[derive(Debug)]
pub(crate) struct Activity {
    pub(crate) scheduled: ActivityTaskScheduledEventAttributes,
    pub(crate) scheduled_at: Timestamp,
    pub(crate) attempt: u32,
    pub(crate) plan: Option<Attempt>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) heartbeat_details: Vec<common::Payload>,
    pub(crate) last_failure: Option<ProtoFailure>,
    pub(crate) cancel_requested_event_id: Option<i64>,
    /// The agenda's entries for this attempt.
    pub(crate) keys: Vec<Key>,
    pub(crate) heartbeat_key: Option<Key>,
    pub(crate) close_key: Option<Key>,
}

#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) initiated: StartChildWorkflowExecutionInitiatedEventAttributes,
    pub(crate) started_event_id: i64,
    pub(crate) run_id: String,
    /// The attempt that represents a child that is not simulated.
    pub(crate) mock: Option<Attempt>,
    pub(crate) is_cancelled: bool,
    /// The name of its step.
    pub(crate) summary: Option<String>,
    pub(crate) key: Option<Key>,
}

#[derive(Debug)]
pub(crate) struct Nexus {
    pub(crate) scheduled: NexusOperationScheduledEventAttributes,
    pub(crate) scheduled_at: Timestamp,
    pub(crate) plan: Attempt,
    pub(crate) is_started: bool,
    pub(crate) is_cancelled: bool,
    pub(crate) keys: Vec<Key>,
}

#[derive(Debug, Clone)]
pub(crate) struct Parent {
    pub(crate) run: usize,
    pub(crate) initiated_event_id: i64,
    pub(crate) close_policy: ParentClosePolicy,
}

#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) number: UpdateNumber,
    pub(crate) request: UpdateRequest,
}

#[derive(Debug)]
pub(crate) struct Execution {
    pub(crate) workflow_id: String,
    pub(crate) run_id: String,
    pub(crate) workflow_type: String,
    pub(crate) started_at: Timestamp,
    pub(crate) started: WorkflowExecutionStartedEventAttributes,
    pub(crate) history: Vec<HistoryEvent>,
    pub(crate) size_bytes: u64,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) next: Option<usize>,
    /// Why there is no further attempt.
    pub(crate) retry_state: enums::RetryState,
    pub(crate) parent: Option<Parent>,
    pub(crate) task: Task,
    /// Why the last workflow task failed, if it has not been completed since.
    pub(crate) task_failure: Option<String>,
    /// The invariant of the server's own that is broken.
    pub(crate) broken: Option<String>,
    pub(crate) buffered: Vec<Attributes>,
    pub(crate) activities: BTreeMap<i64, Activity>,
    pub(crate) timers: BTreeMap<i64, Key>,
    pub(crate) children: BTreeMap<i64, Child>,
    pub(crate) nexus: BTreeMap<i64, Nexus>,
    /// Not delivered to the worker yet, or delivered and to be delivered again if its task fails.
    pub(crate) admitted: Vec<Update>,
    pub(crate) delivered: Vec<Update>,
    /// By their protocol instance.
    pub(crate) accepted: BTreeMap<String, (UpdateNumber, i64)>,
    pub(crate) keys: Vec<Key>,
    pub(crate) cancel_requested: bool,
    /// All runs that it started, and those that follow them.
    pub(crate) child_runs: Vec<usize>,
    /// Number of signals accepted so far.
    pub(crate) signals: usize,
    pub(crate) updates_accepted: usize,
    pub(crate) activity_started: BTreeMap<i64, i64>,
    pub(crate) search_attributes: BTreeMap<String, common::Payload>,
    pub(crate) memo: BTreeMap<String, common::Payload>,
}

impl Execution {
    pub(crate) fn is_open(&self) -> bool {
        self.outcome.is_none()
    }

    pub(crate) fn status(&self) -> Status {
        self.outcome
            .as_ref()
            .map_or(Status::Running, Outcome::status)
    }

    /// Why its workflow task cannot be completed.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.broken.as_deref().or(self.task_failure.as_deref())
    }

    pub(crate) fn names(&self) -> Names<'_> {
        Names {
            workflow_id: &self.workflow_id,
            run_id: &self.run_id,
            workflow_type: &self.workflow_type,
        }
    }

    /// What one of its events means.
    pub(crate) fn meaning(&self, event_id: i64) -> Meaning<'_> {
        let place = usize::try_from(event_id - 1).ok();
        let event = place.and_then(|place| self.history.get(place));
        event.map_or(Meaning::Unobserved, Meaning::of)
    }

    pub(crate) fn execution(&self) -> common::WorkflowExecution {
        common::WorkflowExecution {
            workflow_id: self.workflow_id.clone(),
            run_id: self.run_id.clone(),
        }
    }
}
