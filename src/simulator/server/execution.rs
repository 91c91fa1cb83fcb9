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
    pub fn status(&self) -> Status {
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
pub enum Task {
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
pub struct Activity {
    pub scheduled: ActivityTaskScheduledEventAttributes,
    pub scheduled_at: Timestamp,
    pub attempt: u32,
    pub plan: Option<Attempt>,
    pub started_at: Option<Timestamp>,
    pub heartbeat_details: Vec<common::Payload>,
    pub last_failure: Option<ProtoFailure>,
    pub cancel_requested_event_id: Option<i64>,
    /// What the agenda has for this attempt.
    pub keys: Vec<Key>,
    pub heartbeat_key: Option<Key>,
    pub close_key: Option<Key>,
}

#[derive(Debug)]
pub struct Child {
    pub initiated: StartChildWorkflowExecutionInitiatedEventAttributes,
    pub started_event_id: i64,
    pub run_id: String,
    /// The attempt that answers for a child that is not simulated.
    pub mock: Option<Attempt>,
    pub is_cancelled: bool,
    /// What its step is called.
    pub summary: Option<String>,
    pub key: Option<Key>,
}

#[derive(Debug)]
pub struct Nexus {
    pub scheduled: NexusOperationScheduledEventAttributes,
    pub scheduled_at: Timestamp,
    pub plan: Attempt,
    pub is_started: bool,
    pub is_cancelled: bool,
    pub keys: Vec<Key>,
}

#[derive(Debug, Clone)]
pub struct Parent {
    pub run: usize,
    pub initiated_event_id: i64,
    pub close_policy: ParentClosePolicy,
}

#[derive(Debug)]
pub struct Update {
    pub number: UpdateNumber,
    pub request: UpdateRequest,
}

#[derive(Debug)]
pub struct Execution {
    pub workflow_id: String,
    pub run_id: String,
    pub workflow_type: String,
    pub started_at: Timestamp,
    pub started: WorkflowExecutionStartedEventAttributes,
    pub history: Vec<HistoryEvent>,
    pub size_bytes: u64,
    pub outcome: Option<Outcome>,
    pub next: Option<usize>,
    /// Why there is no further attempt.
    pub retry_state: enums::RetryState,
    pub parent: Option<Parent>,
    pub task: Task,
    /// Why the last workflow task failed, if it has not been completed since.
    pub task_failure: Option<String>,
    /// The invariant of the server's own that does not hold.
    pub broken: Option<String>,
    pub buffered: Vec<Attributes>,
    pub activities: BTreeMap<i64, Activity>,
    pub timers: BTreeMap<i64, Key>,
    pub children: BTreeMap<i64, Child>,
    pub nexus: BTreeMap<i64, Nexus>,
    /// Not given to the worker yet, or given and to be given again where its task fails.
    pub admitted: Vec<Update>,
    pub delivered: Vec<Update>,
    /// By their protocol instance.
    pub accepted: BTreeMap<String, (UpdateNumber, i64)>,
    pub keys: Vec<Key>,
    pub cancel_requested: bool,
    /// All runs that it began, and those that follow them.
    pub child_runs: Vec<usize>,
    /// Number of signals accepted so far.
    pub signals: usize,
    pub updates_accepted: usize,
    pub activity_started: BTreeMap<i64, i64>,
    pub search_attributes: BTreeMap<String, common::Payload>,
    pub memo: BTreeMap<String, common::Payload>,
}

impl Execution {
    pub fn is_open(&self) -> bool {
        self.outcome.is_none()
    }

    pub fn status(&self) -> Status {
        self.outcome
            .as_ref()
            .map_or(Status::Running, Outcome::status)
    }

    /// Why its workflow task cannot be completed.
    pub fn failure(&self) -> Option<&str> {
        self.broken.as_deref().or(self.task_failure.as_deref())
    }

    pub fn names(&self) -> Names<'_> {
        Names {
            workflow_id: &self.workflow_id,
            run_id: &self.run_id,
            workflow_type: &self.workflow_type,
        }
    }

    /// What one of its events means.
    pub fn meaning(&self, event_id: i64) -> Meaning<'_> {
        let place = usize::try_from(event_id - 1).ok();
        let event = place.and_then(|place| self.history.get(place));
        event.map_or(Meaning::Unobserved, Meaning::of)
    }

    pub fn execution(&self) -> common::WorkflowExecution {
        common::WorkflowExecution {
            workflow_id: self.workflow_id.clone(),
            run_id: self.run_id.clone(),
        }
    }
}
