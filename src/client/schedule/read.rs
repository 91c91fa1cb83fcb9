//! Temporal's messages about schedules, as plain data.

use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1::ScheduleOverlapPolicy;
use temporalio_protos::temporal::api::schedule::v1 as proto;
use temporalio_protos::temporal::api::workflow::v1::NewWorkflowExecutionInfo;
use temporalio_protos::temporal::api::workflowservice::v1::DescribeScheduleResponse;

use super::write::overlap_to_proto;
use super::{ScheduleDescription, ScheduleSummary, TakenAction};
use crate::accepted::{CALENDAR_FIELDS, Calendar, Interval, OverlapPolicy, Range, ScheduleSpec};
use crate::client::message::status_name;
use crate::client::{StartOptions, WorkflowRef};
use crate::payload::{
    duration_from_proto, map_from_proto, payload_from_proto, payloads_from_proto,
    retry_policy_from_proto, timestamp_from_proto,
};
use crate::value::{Map, Payload, Timestamp};

pub(super) fn description(answer: DescribeScheduleResponse) -> Option<ScheduleDescription> {
    let schedule = answer.schedule?;
    let info = answer.info.unwrap_or_default();
    let count = |number: i64| u64::try_from(number).unwrap_or_default();
    let action = schedule.action.and_then(|action| action.action);
    Some(ScheduleDescription {
        spec: spec(schedule.spec, schedule.policies, schedule.state),
        action: match action {
            Some(proto::schedule_action::Action::StartWorkflow(start)) => action_from_proto(start),
            None => StartOptions::default(),
        },
        memo: memo(answer.memo),
        search_attributes: attributes(answer.search_attributes),
        actions: count(info.action_count),
        missed_catchup_window: count(info.missed_catchup_window),
        overlap_skipped: count(info.overlap_skipped),
        buffer_dropped: count(info.buffer_dropped),
        buffered: count(info.buffer_size),
        running: info.running_workflows.into_iter().map(workflow).collect(),
        recent: info.recent_actions.into_iter().map(taken).collect(),
        next: times(info.future_action_times),
        create_time: info.create_time.map(timestamp_from_proto),
        update_time: info.update_time.map(timestamp_from_proto),
    })
}

pub(super) fn summary(entry: proto::ScheduleListEntry) -> ScheduleSummary {
    let info = entry.info.unwrap_or_default();
    let state = proto::ScheduleState {
        notes: info.notes,
        paused: info.paused,
        ..Default::default()
    };
    ScheduleSummary {
        schedule_id: entry.schedule_id,
        workflow_type: info.workflow_type.map(|t| t.name).unwrap_or_default(),
        spec: spec(info.spec, None, Some(state)),
        recent: info.recent_actions.into_iter().map(taken).collect(),
        next: times(info.future_action_times),
        memo: memo(entry.memo),
        search_attributes: attributes(entry.search_attributes),
    }
}

fn spec(
    spec: Option<proto::ScheduleSpec>,
    policies: Option<proto::SchedulePolicies>,
    state: Option<proto::ScheduleState>,
) -> ScheduleSpec {
    let spec = spec.unwrap_or_default();
    let policies = policies.unwrap_or_default();
    let state = state.unwrap_or_default();
    ScheduleSpec {
        overlap_policy: overlap_policy(policies.overlap_policy()),
        intervals: spec.interval.into_iter().map(interval).collect(),
        calendars: spec.structured_calendar.into_iter().map(calendar).collect(),
        cron: spec.cron_string,
        skip: spec
            .exclude_structured_calendar
            .into_iter()
            .map(calendar)
            .collect(),
        start_time: spec.start_time.map(timestamp_from_proto),
        end_time: spec.end_time.map(timestamp_from_proto),
        jitter: spec.jitter.map(duration_from_proto),
        time_zone: (!spec.timezone_name.is_empty()).then_some(spec.timezone_name),
        catchup_window: policies.catchup_window.map(duration_from_proto),
        pause_on_failure: Some(policies.pause_on_failure),
        remaining_actions: state
            .limited_actions
            .then(|| u32::try_from(state.remaining_actions.max(0)).unwrap_or(u32::MAX)),
        paused: Some(state.paused),
        notes: (!state.notes.is_empty()).then_some(state.notes),
    }
}

fn overlap_policy(policy: ScheduleOverlapPolicy) -> Option<OverlapPolicy> {
    OverlapPolicy::ALL
        .into_iter()
        .find(|known| overlap_to_proto(*known) == policy)
}

fn interval(interval: proto::IntervalSpec) -> Interval {
    Interval {
        every: interval
            .interval
            .map(duration_from_proto)
            .unwrap_or_default(),
        offset: interval.phase.map(duration_from_proto).unwrap_or_default(),
    }
}

fn calendar(calendar: proto::StructuredCalendarSpec) -> Calendar {
    let text = |at: usize, ranges: Vec<proto::Range>| {
        let ranges: Vec<Range> = ranges.into_iter().map(range).collect();
        CALENDAR_FIELDS[at].text(&ranges)
    };
    Calendar {
        second: text(0, calendar.second),
        minute: text(1, calendar.minute),
        hour: text(2, calendar.hour),
        day_of_month: text(3, calendar.day_of_month),
        month: text(4, calendar.month),
        year: text(5, calendar.year),
        day_of_week: text(6, calendar.day_of_week),
        comment: (!calendar.comment.is_empty()).then_some(calendar.comment),
    }
}

fn range(range: proto::Range) -> Range {
    Range {
        start: range.start,
        end: range.end,
        step: range.step,
    }
}

fn action_from_proto(start: NewWorkflowExecutionInfo) -> StartOptions {
    let metadata = start.user_metadata.unwrap_or_default();
    let priority = start.priority.unwrap_or_default();
    let text = |payload: Option<common::Payload>| {
        let value = payload_from_proto(payload?).decode().ok()?;
        value.as_str().map(str::to_owned)
    };
    StartOptions {
        workflow_type: start.workflow_type.map(|t| t.name).unwrap_or_default(),
        workflow_id: Some(start.workflow_id),
        task_queue: start.task_queue.map(|q| q.name).unwrap_or_default(),
        input: payloads_from_proto(start.input),
        execution_timeout: start.workflow_execution_timeout.map(duration_from_proto),
        run_timeout: start.workflow_run_timeout.map(duration_from_proto),
        task_timeout: start.workflow_task_timeout.map(duration_from_proto),
        retry_policy: start.retry_policy.map(retry_policy_from_proto),
        memo: fields(start.memo.map(|m| m.fields).unwrap_or_default()),
        search_attributes: fields(
            start
                .search_attributes
                .map(|a| a.indexed_fields)
                .unwrap_or_default(),
        ),
        headers: fields(start.header.map(|h| h.fields).unwrap_or_default()),
        summary: text(metadata.summary),
        details: text(metadata.details),
        priority_key: (priority.priority_key != 0).then_some(priority.priority_key),
        fairness_key: (!priority.fairness_key.is_empty()).then_some(priority.fairness_key),
        fairness_weight: (priority.fairness_weight != 0.0).then_some(priority.fairness_weight),
        ..Default::default()
    }
}

/// Protobuf's maps have no order.
fn fields(fields: impl IntoIterator<Item = (String, common::Payload)>) -> Vec<(String, Payload)> {
    let mut fields: Vec<_> = fields
        .into_iter()
        .map(|(name, payload)| (name, payload_from_proto(payload)))
        .collect();
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    fields
}

fn taken(action: proto::ScheduleActionResult) -> TakenAction {
    TakenAction {
        status: status_name(action.start_workflow_status()),
        schedule_time: action.schedule_time.map(timestamp_from_proto),
        actual_time: action.actual_time.map(timestamp_from_proto),
        workflow: action.start_workflow_result.map(workflow),
    }
}

fn workflow(execution: common::WorkflowExecution) -> WorkflowRef {
    let run_id = (!execution.run_id.is_empty()).then_some(execution.run_id);
    WorkflowRef::new(execution.workflow_id, run_id)
}

fn times(times: Vec<prost_wkt_types::Timestamp>) -> Vec<Timestamp> {
    times.into_iter().map(timestamp_from_proto).collect()
}

fn memo(memo: Option<common::Memo>) -> Map {
    map_from_proto(memo.unwrap_or_default().fields)
}

fn attributes(attributes: Option<common::SearchAttributes>) -> Map {
    map_from_proto(attributes.unwrap_or_default().indexed_fields)
}
