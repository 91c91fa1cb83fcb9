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
pub(crate) struct ScheduleChange {
    pub(crate) spec: ScheduleSpec,
    /// Without a workflow type and a task queue, those of the schedule are kept.
    pub(crate) action: Option<StartOptions>,
    /// If there are any, they replace all existing ones.
    pub(crate) search_attributes: Vec<(String, Payload)>,
    /// What is unset is reset instead.
    pub(crate) replace: bool,
}

/// An interval, past or future, whose starts a schedule performs immediately.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Backfill {
    pub(crate) start_time: Timestamp,
    pub(crate) end_time: Timestamp,
    pub(crate) overlap_policy: Option<OverlapPolicy>,
}

/// A schedule as described by the server.
#[derive(Debug, Clone)]
pub struct ScheduleDescription {
    pub(crate) spec: ScheduleSpec,
    pub(crate) action: StartOptions,
    pub(crate) memo: Map,
    pub(crate) search_attributes: Map,
    pub(crate) actions: u64,
    pub(crate) missed_catchup_window: u64,
    pub(crate) overlap_skipped: u64,
    pub(crate) buffer_dropped: u64,
    pub(crate) buffered: u64,
    pub(crate) running: Vec<WorkflowRef>,
    pub recent: Vec<TakenAction>,
    pub next: Vec<Timestamp>,
    pub create_time: Option<Timestamp>,
    pub(crate) update_time: Option<Timestamp>,
}

/// A schedule as in lists.
#[derive(Debug, Clone)]
pub(crate) struct ScheduleSummary {
    pub(crate) schedule_id: String,
    pub(crate) workflow_type: String,
    pub(crate) spec: ScheduleSpec,
    pub(crate) recent: Vec<TakenAction>,
    pub(crate) next: Vec<Timestamp>,
    pub(crate) memo: Map,
    pub(crate) search_attributes: Map,
}

/// A run that a schedule has started.
#[derive(Debug, Clone, PartialEq)]
pub struct TakenAction {
    pub(crate) schedule_time: Option<Timestamp>,
    pub(crate) actual_time: Option<Timestamp>,
    pub workflow: Option<WorkflowRef>,
    /// Temporal's word, as far as the schedule knows.
    pub(crate) status: &'static str,
}

impl ScheduleChange {
    /// Whether nothing is set.
    pub(crate) fn is_empty(&self) -> bool {
        self.spec == ScheduleSpec::default()
            && self.action.is_none()
            && self.search_attributes.is_empty()
            && !self.replace
    }
}

impl Backfill {
    pub(crate) fn check(&self) -> Result<(), ScheduleError> {
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
