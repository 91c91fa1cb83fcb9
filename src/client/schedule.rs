//! Schedules: what one starts, and what the server reports about it.

mod calls;
mod read;
mod write;

use super::{StartOptions, WorkflowRef};
use crate::accepted::{OverlapPolicy, ScheduleError, ScheduleSpec};
use crate::value::{Map, Payload, Timestamp};

/// A whole schedule: when it is due, and what it starts.
#[derive(Debug, Clone, Default)]
pub struct Schedule {
    pub spec: ScheduleSpec,
    /// A schedule uses neither its id policies nor its start delay.
    pub action: StartOptions,
    pub memo: Vec<(String, Payload)>,
    pub search_attributes: Vec<(String, Payload)>,
}

/// A change of a schedule: what is unset stays.
#[derive(Debug, Clone, Default)]
pub struct ScheduleChange {
    pub spec: ScheduleSpec,
    /// Without a workflow type and a task queue those of the schedule are kept.
    pub action: Option<StartOptions>,
    /// All of them are replaced where there are any.
    pub search_attributes: Vec<(String, Payload)>,
    /// What is not said is reset instead.
    pub replace: bool,
}

/// An interval, past or future, whose starts a schedule performs immediately.
#[derive(Debug, Clone, PartialEq)]
pub struct Backfill {
    pub start_time: Timestamp,
    pub end_time: Timestamp,
    pub overlap_policy: Option<OverlapPolicy>,
}

/// A schedule as described by the server.
#[derive(Debug, Clone)]
pub struct ScheduleDescription {
    pub spec: ScheduleSpec,
    pub action: StartOptions,
    pub memo: Map,
    pub search_attributes: Map,
    pub actions: u64,
    pub missed_catchup_window: u64,
    pub overlap_skipped: u64,
    pub buffer_dropped: u64,
    pub buffered: u64,
    pub running: Vec<WorkflowRef>,
    pub recent: Vec<TakenAction>,
    pub next: Vec<Timestamp>,
    pub create_time: Option<Timestamp>,
    pub update_time: Option<Timestamp>,
}

/// A schedule as in lists.
#[derive(Debug, Clone)]
pub struct ScheduleSummary {
    pub schedule_id: String,
    pub workflow_type: String,
    pub spec: ScheduleSpec,
    pub recent: Vec<TakenAction>,
    pub next: Vec<Timestamp>,
    pub memo: Map,
    pub search_attributes: Map,
}

/// A run that a schedule has started.
#[derive(Debug, Clone, PartialEq)]
pub struct TakenAction {
    pub schedule_time: Option<Timestamp>,
    pub actual_time: Option<Timestamp>,
    pub workflow: Option<WorkflowRef>,
    /// Temporal's word, as far as the schedule has heard.
    pub status: &'static str,
}

impl ScheduleChange {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.spec == ScheduleSpec::default()
            && self.action.is_none()
            && self.search_attributes.is_empty()
            && !self.replace
    }
}

impl Backfill {
    pub fn check(&self) -> Result<(), ScheduleError> {
        if self.start_time < self.end_time {
            return Ok(());
        }
        let why = format!(
            "the end of the time to backfill, {}, must be after its start, {}",
            self.end_time, self.start_time
        );
        Err(ScheduleError::new("end_time", why))
    }
}
