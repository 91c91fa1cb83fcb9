//! The settings of a schedule, written to Temporal's message.

use temporalio_protos::temporal::api::enums::v1::ScheduleOverlapPolicy;
use temporalio_protos::temporal::api::schedule::v1 as proto;
use temporalio_protos::temporal::api::workflow::v1::NewWorkflowExecutionInfo;

use crate::accepted::{
    Calendar, Interval, OverlapPolicy, Range, ScheduleError, ScheduleSpec, check_order, zone,
};
use crate::client::ClientError;
use crate::payload::{duration_to_proto, timestamp_from_proto, timestamp_to_proto};

/// What the specification sets replaces the old value; the rest stays.
pub(super) fn write_spec(
    said: &ScheduleSpec,
    schedule: &mut proto::Schedule,
) -> Result<(), ClientError> {
    said.check()?;
    let spec = schedule.spec.get_or_insert_default();
    write_times(said, spec)?;
    let start_time = said.start_time.map(timestamp_to_proto);
    replace(&mut spec.start_time, start_time);
    replace(&mut spec.end_time, said.end_time.map(timestamp_to_proto));
    // One of them may have existed before.
    check_order(
        spec.start_time.map(timestamp_from_proto),
        spec.end_time.map(timestamp_from_proto),
    )?;
    replace(&mut spec.jitter, said.jitter.map(duration_to_proto));
    let policies = schedule.policies.get_or_insert_default();
    if let Some(policy) = said.overlap_policy {
        policies.overlap_policy = overlap_to_proto(policy).into();
    }
    let window = said.catchup_window.map(duration_to_proto);
    replace(&mut policies.catchup_window, window);
    if let Some(pause) = said.pause_on_failure {
        policies.pause_on_failure = pause;
    }
    let state = schedule.state.get_or_insert_default();
    if let Some(remaining) = said.remaining_actions {
        state.limited_actions = remaining > 0;
        state.remaining_actions = remaining.into();
    }
    if let Some(paused) = said.paused {
        state.paused = paused;
    }
    if let Some(notes) = &said.notes {
        state.notes.clone_from(notes);
    }
    Ok(())
}

/// Setting one kind of times removes the others: an hourly schedule that becomes daily is no longer hourly.
fn write_times(said: &ScheduleSpec, spec: &mut proto::ScheduleSpec) -> Result<(), ScheduleError> {
    if said.has_times() {
        spec.interval = said.intervals.iter().map(interval).collect();
        spec.structured_calendar = calendars("calendars", &said.calendars)?;
        spec.cron_string.clone_from(&said.cron);
        spec.calendar.clear();
        // A zone that belongs to a cron string is removed with it.
        spec.timezone_name.clear();
        spec.timezone_data.clear();
    }
    if !said.skip.is_empty() {
        spec.exclude_structured_calendar = calendars("skip", &said.skip)?;
    }
    if let Some(name) = &said.time_zone {
        spec.timezone_name = zone(name).map_err(|why| ScheduleError::new("time_zone", why))?;
        spec.timezone_data.clear();
    }
    Ok(())
}

fn interval(interval: &Interval) -> proto::IntervalSpec {
    proto::IntervalSpec {
        interval: Some(duration_to_proto(interval.every)),
        phase: Some(duration_to_proto(interval.offset)),
    }
}

fn calendars(
    key: &'static str,
    calendars: &[Calendar],
) -> Result<Vec<proto::StructuredCalendarSpec>, ScheduleError> {
    let calendar = |calendar: &Calendar| {
        let ranges = calendar.ranges();
        let ranges = ranges.map_err(|why| ScheduleError::new(key, why))?;
        let [second, minute, hour, day_of_month, month, year, day_of_week] =
            ranges.map(|ranges| ranges.into_iter().map(range).collect());
        Ok(proto::StructuredCalendarSpec {
            second,
            minute,
            hour,
            day_of_month,
            month,
            year,
            day_of_week,
            comment: calendar.comment.clone().unwrap_or_default(),
        })
    };
    calendars.iter().map(calendar).collect()
}

fn range(range: Range) -> proto::Range {
    proto::Range {
        start: range.start,
        end: range.end,
        step: range.step,
    }
}

pub(super) fn overlap_to_proto(policy: OverlapPolicy) -> ScheduleOverlapPolicy {
    match policy {
        OverlapPolicy::Skip => ScheduleOverlapPolicy::Skip,
        OverlapPolicy::BufferOne => ScheduleOverlapPolicy::BufferOne,
        OverlapPolicy::BufferAll => ScheduleOverlapPolicy::BufferAll,
        OverlapPolicy::CancelOther => ScheduleOverlapPolicy::CancelOther,
        OverlapPolicy::TerminateOther => ScheduleOverlapPolicy::TerminateOther,
        OverlapPolicy::AllowAll => ScheduleOverlapPolicy::AllowAll,
    }
}

/// What is set for the workflow replaces the old value; the rest stays.
pub(super) fn write_action(said: NewWorkflowExecutionInfo, action: &mut NewWorkflowExecutionInfo) {
    if !said.workflow_id.is_empty() {
        action.workflow_id = said.workflow_id;
    }
    if said
        .workflow_type
        .as_ref()
        .is_some_and(|t| !t.name.is_empty())
    {
        action.workflow_type = said.workflow_type;
    }
    if said.task_queue.as_ref().is_some_and(|q| !q.name.is_empty()) {
        action.task_queue = said.task_queue;
    }
    replace(&mut action.input, said.input);
    replace(
        &mut action.workflow_execution_timeout,
        said.workflow_execution_timeout,
    );
    replace(&mut action.workflow_run_timeout, said.workflow_run_timeout);
    replace(
        &mut action.workflow_task_timeout,
        said.workflow_task_timeout,
    );
    replace(&mut action.retry_policy, said.retry_policy);
    replace(&mut action.memo, said.memo);
    replace(&mut action.search_attributes, said.search_attributes);
    replace(&mut action.header, said.header);
    replace(&mut action.user_metadata, said.user_metadata);
    replace(&mut action.priority, said.priority);
}

fn replace<T>(old: &mut Option<T>, new: Option<T>) {
    if new.is_some() {
        *old = new;
    }
}
