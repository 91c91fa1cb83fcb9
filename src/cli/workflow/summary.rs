//! A workflow as in `segno list` and `segno describe`.

use serde_json::{Value as Json, json};

use crate::cli::print::Tone;
use crate::cli::print::payload::map_json;
use crate::client::WorkflowSummary;
use crate::value::Timestamp;

pub(crate) fn status_tone(status: &str) -> Tone {
    match status {
        "RUNNING" => Tone::Bold,
        "COMPLETED" => Tone::Good,
        "FAILED" | "TIMED_OUT" | "TERMINATED" => Tone::Bad,
        "CANCELED" | "PAUSED" => Tone::Odd,
        _ => Tone::Dim,
    }
}

pub(crate) fn summary_json(workflow: &WorkflowSummary) -> Json {
    json!({
        "workflowId": workflow.workflow_id,
        "runId": workflow.run_id,
        "type": workflow.workflow_type,
        "status": workflow.status,
        "taskQueue": workflow.task_queue,
        "startTime": time(workflow.start_time),
        "closeTime": time(workflow.close_time),
        "historyLength": workflow.history_length,
        "historySizeBytes": workflow.history_size_bytes,
        "parent": workflow.parent.as_ref().map(|p| json!({
            "workflowId": p.workflow_id, "runId": p.run_id,
        })),
        "memo": map_json(&workflow.memo),
        "searchAttributes": map_json(&workflow.search_attributes),
        "version": workflow.version.as_ref().map(|version| json!({
            "deploymentName": version.deployment_name,
            "buildId": version.build_id,
            "behavior": version.behavior,
        })),
    })
}

pub(crate) fn time(time: Option<Timestamp>) -> Json {
    time.map_or(Json::Null, |t| t.to_string().into())
}
