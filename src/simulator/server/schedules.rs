//! Schedules: what they start, and what happens to a start while the last run is still running (temporal server 1.32.0,
//! service/worker/scheduler/workflow.go and buffer.go).

use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::failure::v1::Failure as ProtoFailure;

use super::super::agenda::Due;
use super::commands::result;
use super::{Outcome, RunNumber, Server, Start};
use crate::accepted::{OverlapPolicy, ScheduleError, ScheduleSpec, ScheduleTimes};
use crate::limits::SCHEDULE_BUFFER_MAX;
use crate::payload::failure_to_proto;
use crate::value::{Payload, Timestamp};

/// Reasons in the server's words.
const CANCELLED: &str = "cancelled by schedule overlap policy";
const TERMINATED: &str = "terminated by schedule overlap policy";

/// A schedule by its number, in the order in which they were created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScheduleNumber(pub(crate) usize);

#[derive(Debug)]
pub(crate) struct Schedule {
    pub(crate) id: String,
    times: ScheduleTimes,
    /// The start of each run; the time is appended to its workflow id.
    start: Start,
    overlap_policy: OverlapPolicy,
    pause_on_failure: bool,
    is_paused: bool,
    /// `None`: unlimited.
    remaining_actions: Option<u32>,
    /// Times whose starts wait for the end of the last run.
    buffer: Vec<Timestamp>,
    /// The workflow that must end before another is started.
    running: Option<String>,
    last: LastRun,
    /// The first run of each workflow that it started, with its time.
    started: Vec<(Timestamp, RunNumber)>,
}

/// How the last run ended, passed to the next one.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastRun {
    pub(crate) result: Option<common::Payloads>,
    pub(crate) failure: Option<ProtoFailure>,
}

impl Server {
    /// Its times begin now, without jitter. The server is never down, so no start is late.
    pub(crate) fn schedule(
        &mut self,
        id: &str,
        spec: &ScheduleSpec,
        start: Start,
    ) -> Result<ScheduleNumber, ScheduleError> {
        let number = self.schedules.len();
        self.schedules.push(Schedule {
            id: id.to_owned(),
            times: spec.times()?,
            start,
            overlap_policy: spec.overlap_policy.unwrap_or(OverlapPolicy::Skip),
            pause_on_failure: spec.pause_on_failure.unwrap_or_default(),
            is_paused: spec.paused.unwrap_or_default(),
            remaining_actions: spec.remaining_actions.filter(|count| *count > 0),
            buffer: Vec::new(),
            running: None,
            last: LastRun::default(),
            started: Vec::new(),
        });
        self.await_next_time(number, self.world.now);
        Ok(ScheduleNumber(number))
    }

    /// The runs that it has started: the first run of each workflow, with its scheduled time.
    pub(crate) fn scheduled(&self, schedule: ScheduleNumber) -> &[(Timestamp, RunNumber)] {
        &self.schedules[schedule.0].started
    }

    /// The first time after this one, whatever the schedule's state.
    pub(crate) fn next_time(
        &self,
        schedule: ScheduleNumber,
        after: Timestamp,
    ) -> Option<Timestamp> {
        self.schedules[schedule.0].times.next(after)
    }

    fn await_next_time(&mut self, schedule: usize, after: Timestamp) {
        if let Some(at) = self.schedules[schedule].times.next(after) {
            self.world.agenda.put(at, Due::Schedule { schedule, at });
        }
    }

    pub(crate) fn schedule_is_due(&mut self, number: usize, at: Timestamp) {
        self.await_next_time(number, at);
        let schedule = &mut self.schedules[number];
        if schedule.may_start() && schedule.buffer.len() < SCHEDULE_BUFFER_MAX {
            schedule.buffer.push(at);
        }
        self.start_buffered(number);
    }

    /// A run has closed without a run that continues it.
    pub(super) fn tell_schedule(&mut self, run: usize) {
        let workflow_id = Some(&self.executions[run].workflow_id);
        let mut schedules = self.schedules.iter();
        if let Some(schedule) = schedules.position(|s| s.running.as_ref() == workflow_id) {
            let due = Due::ScheduledRunClosed { schedule, run };
            self.world.agenda.put(self.world.now, due);
        }
    }

    pub(crate) fn scheduled_run_closed(&mut self, number: usize, run: usize) {
        let schedule = &mut self.schedules[number];
        schedule.running = None;
        let has_failed = match &self.executions[run].outcome {
            Some(Outcome::Completed(payload)) => {
                schedule.last = LastRun {
                    result: result(payload.clone()),
                    failure: None,
                };
                false
            }
            Some(Outcome::Failed(failure)) => {
                schedule.last.failure = Some(failure_to_proto(failure));
                true
            }
            outcome => matches!(outcome, Some(Outcome::TimedOut)),
        };
        schedule.is_paused |= has_failed && schedule.pause_on_failure;
        self.start_buffered(number);
    }

    /// Starts what can be started now; the overlap policy decides about the rest.
    fn start_buffered(&mut self, number: usize) {
        let schedule = &mut self.schedules[number];
        let policy = schedule.overlap_policy;
        let running = schedule.running.clone();
        let mut now = Vec::new();
        for at in std::mem::take(&mut schedule.buffer) {
            let is_free = running.is_none() && now.is_empty();
            match policy {
                OverlapPolicy::AllowAll => now.push(at),
                OverlapPolicy::Skip
                | OverlapPolicy::BufferOne
                | OverlapPolicy::BufferAll
                | OverlapPolicy::CancelOther
                | OverlapPolicy::TerminateOther
                    if is_free =>
                {
                    now.push(at);
                }
                OverlapPolicy::Skip => {}
                OverlapPolicy::BufferOne if !schedule.buffer.is_empty() => {}
                // Only the newest of them is started.
                OverlapPolicy::CancelOther | OverlapPolicy::TerminateOther if running.is_none() => {
                    now = vec![at];
                }
                OverlapPolicy::BufferOne
                | OverlapPolicy::BufferAll
                | OverlapPolicy::CancelOther
                | OverlapPolicy::TerminateOther => schedule.buffer.push(at),
            }
        }
        let has_waiting = !schedule.buffer.is_empty();
        for at in now {
            self.start_scheduled(number, at);
        }
        let running = running.and_then(|workflow_id| self.open_run(&workflow_id).ok());
        let Some(run) = running.filter(|_| has_waiting) else {
            return;
        };
        match policy {
            OverlapPolicy::CancelOther => self.request_cancel(run, CANCELLED, None),
            OverlapPolicy::TerminateOther => self.terminate_run(run, TERMINATED),
            OverlapPolicy::Skip
            | OverlapPolicy::BufferOne
            | OverlapPolicy::BufferAll
            | OverlapPolicy::AllowAll => {}
        }
    }

    fn start_scheduled(&mut self, number: usize, at: Timestamp) {
        let schedule = &mut self.schedules[number];
        if !schedule.may_start() {
            return;
        }
        if let Some(remaining) = &mut schedule.remaining_actions {
            *remaining -= 1;
        }
        let mut start = schedule.start.clone();
        start.workflow_id = format!("{}-{at}", start.workflow_id);
        for (name, value, value_type) in [
            ("TemporalScheduledStartTime", at.to_string(), "Datetime"),
            ("TemporalScheduledById", schedule.id.clone(), "Keyword"),
        ] {
            let attribute = search_attribute(&value, value_type);
            start.search_attributes.insert(name.to_owned(), attribute);
        }
        let workflow_id = start.workflow_id.clone();
        // If a workflow of a client has the id, the server skips the start.
        let Ok(run) = self.start_first(start, self.schedules[number].last.clone()) else {
            return;
        };
        let schedule = &mut self.schedules[number];
        schedule.started.push((at, RunNumber(run)));
        if schedule.overlap_policy != OverlapPolicy::AllowAll {
            schedule.running = Some(workflow_id);
        }
    }
}

impl Schedule {
    fn may_start(&self) -> bool {
        !self.is_paused && self.remaining_actions != Some(0)
    }
}

fn search_attribute(text: &str, value_type: &str) -> Payload {
    let mut payload = Payload::from_value(&text.into()).unwrap_or_default();
    let value_type = value_type.as_bytes().to_vec();
    payload.metadata.insert("type".to_owned(), value_type);
    payload
}
