//! Schedules as text for people and as JSON for scripts.

use serde_json::{Map as JsonMap, Value as Json, json};

use crate::accepted::{Calendar, Interval, ScheduleSpec};
use crate::cli::print::payload::{map_json, payload_json, result_json};
use crate::cli::print::{Tone, field, styled};
use crate::cli::workflow::summary::{status_tone, time};
use crate::client::{
    ScheduleDescription, ScheduleSummary, StartOptions, TakenAction, WorkflowRef, duration_units,
};
use crate::value::{Duration, Payload, Timestamp};

pub(crate) fn summary_json(schedule: &ScheduleSummary) -> Json {
    json!({
        "scheduleId": schedule.schedule_id,
        "type": schedule.workflow_type,
        "spec": spec_json(&schedule.spec),
        "paused": schedule.spec.paused,
        "notes": schedule.spec.notes,
        "recentActions": recent_json(&schedule.recent),
        "nextActionTimes": times_json(&schedule.next),
        "memo": map_json(&schedule.memo),
        "searchAttributes": map_json(&schedule.search_attributes),
    })
}

pub(crate) fn description_json(id: &str, schedule: &ScheduleDescription) -> Json {
    let spec = &schedule.spec;
    json!({
        "scheduleId": id,
        "spec": spec_json(spec),
        "policies": {
            "overlapPolicy": spec.overlap_policy.map(|policy| policy.name()),
            "catchupWindow": length(spec.catchup_window),
            "pauseOnFailure": spec.pause_on_failure,
        },
        "paused": spec.paused,
        "notes": spec.notes,
        "remainingActions": spec.remaining_actions,
        "action": action_json(&schedule.action),
        "actionCount": schedule.actions,
        "missedCatchupWindow": schedule.missed_catchup_window,
        "overlapSkipped": schedule.overlap_skipped,
        "bufferDropped": schedule.buffer_dropped,
        "buffered": schedule.buffered,
        "running": schedule.running.iter().map(workflow_json).collect::<Json>(),
        "recentActions": recent_json(&schedule.recent),
        "nextActionTimes": times_json(&schedule.next),
        "createTime": time(schedule.create_time),
        "updateTime": time(schedule.update_time),
        "memo": map_json(&schedule.memo),
        "searchAttributes": map_json(&schedule.search_attributes),
    })
}

/// Only fields that are set.
fn spec_json(spec: &ScheduleSpec) -> Json {
    let mut json = JsonMap::new();
    let mut put = |key: &str, value: Json| {
        let is_said = !(value.is_null() || value.as_array().is_some_and(Vec::is_empty));
        is_said.then(|| json.insert(key.to_owned(), value));
    };
    let interval = |interval: &Interval| json!({ "every": interval.every.to_string(), "offset": interval.offset.to_string() });
    put("intervals", spec.intervals.iter().map(interval).collect());
    put(
        "calendars",
        spec.calendars.iter().map(calendar_json).collect(),
    );
    put("skip", spec.skip.iter().map(calendar_json).collect());
    put("timeZone", spec.time_zone.clone().into());
    put("startTime", time(spec.start_time));
    put("endTime", time(spec.end_time));
    put("jitter", length(spec.jitter));
    Json::Object(json)
}

/// With Temporal's names, as in --calendar.
fn calendar_json(calendar: &Calendar) -> Json {
    let said = calendar.texts().map(|(key, text)| {
        let name = match key {
            "day_of_month" => "dayOfMonth",
            "day_of_week" => "dayOfWeek",
            key => key,
        };
        (name.to_owned(), text.into())
    });
    Json::Object(said.collect())
}

fn action_json(action: &StartOptions) -> Json {
    let mut json = json!({
        "type": action.workflow_type,
        "workflowId": action.workflow_id,
        "taskQueue": action.task_queue,
        "input": result_json(&action.input),
        "memo": payloads_json(&action.memo),
        "searchAttributes": payloads_json(&action.search_attributes),
        "executionTimeout": length(action.execution_timeout),
        "runTimeout": length(action.run_timeout),
        "taskTimeout": length(action.task_timeout),
        "staticSummary": action.summary,
        "staticDetails": action.details,
        "priorityKey": action.priority_key,
        "fairnessKey": action.fairness_key,
        "fairnessWeight": action.fairness_weight,
    });
    if let Some(policy) = &action.retry_policy {
        json["retryPolicy"] = json!({
            "initialInterval": length(policy.initial_interval),
            "backoffCoefficient": policy.backoff_coefficient,
            "maximumInterval": length(policy.maximum_interval),
            "maximumAttempts": policy.maximum_attempts,
            "nonRetryableErrorTypes": policy.non_retryable_error_types,
        });
    }
    json
}

fn payloads_json(payloads: &[(String, Payload)]) -> Json {
    let entries = payloads.iter();
    let entries = entries.map(|(name, payload)| (name.clone(), payload_json(payload)));
    Json::Object(entries.collect())
}

fn recent_json(recent: &[TakenAction]) -> Json {
    let action = |action: &TakenAction| {
        json!({
            "scheduleTime": time(action.schedule_time),
            "actualTime": time(action.actual_time),
            "workflow": action.workflow.as_ref().map(workflow_json),
            "status": action.status,
        })
    };
    recent.iter().map(action).collect()
}

fn workflow_json(workflow: &WorkflowRef) -> Json {
    json!({ "workflowId": workflow.workflow_id, "runId": workflow.run_id })
}

fn times_json(times: &[Timestamp]) -> Json {
    times.iter().map(Timestamp::to_string).collect()
}

fn length(duration: Option<Duration>) -> Json {
    duration.map_or(Json::Null, |length| length.to_string().into())
}

pub(crate) fn summary_row(schedule: &ScheduleSummary) -> Vec<(Tone, String)> {
    let (tone, state) = state(&schedule.spec);
    let next = schedule.next.first().map(Timestamp::to_string);
    vec![
        (tone, state.to_owned()),
        (Tone::Plain, schedule.schedule_id.clone()),
        (Tone::Plain, schedule.workflow_type.clone()),
        (Tone::Dim, next.unwrap_or_default()),
        (Tone::Plain, schedule.spec.notes.clone().unwrap_or_default()),
    ]
}

fn state(spec: &ScheduleSpec) -> (Tone, &'static str) {
    match spec.paused {
        Some(true) => (Tone::Odd, "paused"),
        _ => (Tone::Good, "active"),
    }
}

pub(crate) fn description_text(id: &str, schedule: &ScheduleDescription) -> String {
    let spec = &schedule.spec;
    let (tone, state) = state(spec);
    let mut lines = vec![
        field("schedule id", id),
        field("state", styled(tone, state)),
    ];
    lines.extend(spec.notes.as_ref().map(|notes| field("note", notes)));
    lines.extend(spec_lines(spec));
    lines.extend(action_lines(&schedule.action));
    let actions = format!(
        "{} taken, {} skipped, {} missed, {} dropped, {} waiting",
        schedule.actions,
        schedule.overlap_skipped,
        schedule.missed_catchup_window,
        schedule.buffer_dropped,
        schedule.buffered
    );
    lines.push(field("actions", actions));
    for action in &schedule.recent {
        let at = action.schedule_time.map(|t| t.to_string());
        let id = action.workflow.as_ref().map(|w| w.workflow_id.as_str());
        let status = styled(status_tone(action.status), action.status);
        let text = format!(
            "{} {} {status}",
            at.unwrap_or_default(),
            id.unwrap_or_default()
        );
        lines.push(field("started", text));
    }
    lines.extend(schedule.next.iter().map(|at| field("next", at.to_string())));
    let mut optional = |name: &str, map| {
        let json = map_json(map);
        let is_empty = json.as_object().is_none_or(JsonMap::is_empty);
        (!is_empty).then(|| lines.push(field(name, json.to_string())));
    };
    optional("memo", &schedule.memo);
    optional("search attributes", &schedule.search_attributes);
    lines.join("\n")
}

fn spec_lines(spec: &ScheduleSpec) -> Vec<String> {
    let mut lines = Vec::new();
    for Interval { every, offset } in &spec.intervals {
        let mut text = duration_units(*every);
        if *offset != Duration::ZERO {
            text = format!("{text}, {} later", duration_units(*offset));
        }
        lines.push(field("every", text));
    }
    let calendars = [("at", &spec.calendars), ("not at", &spec.skip)];
    for (name, calendars) in calendars {
        lines.extend(calendars.iter().map(|c| field(name, c.to_string())));
    }
    let mut optional = |name: &str, text: Option<String>| {
        lines.extend(text.map(|text| field(name, text)));
    };
    optional("time zone", spec.time_zone.clone());
    optional("start time", spec.start_time.map(|t| t.to_string()));
    optional("end time", spec.end_time.map(|t| t.to_string()));
    optional("jitter", spec.jitter.map(duration_units));
    optional(
        "overlap policy",
        spec.overlap_policy.map(|p| p.name().to_owned()),
    );
    optional("catch-up window", spec.catchup_window.map(duration_units));
    let pauses = spec.pause_on_failure == Some(true);
    optional("on failure", pauses.then(|| "it is paused".to_owned()));
    optional("remaining", spec.remaining_actions.map(|n| n.to_string()));
    lines
}

fn action_lines(action: &StartOptions) -> Vec<String> {
    let id = action.workflow_id.as_deref().unwrap_or_default();
    let mut lines = vec![
        field("type", &action.workflow_type),
        field("task queue", &action.task_queue),
        field("workflow id", format!("{id}, and the time")),
    ];
    if !action.input.is_empty() {
        lines.push(field("input", result_json(&action.input).to_string()));
    }
    lines
}
