//! `segno describe`: one workflow with what it waits for.

use clap::Args;
use serde_json::{Value as Json, json};

use super::summary::{status_tone, summary_json, time};
use crate::cli::args::WorkflowArgs;
use crate::cli::args::connection::ConnectionArgs;
use crate::cli::error::{CliError, End};
use crate::cli::print::failure::failure_text;
use crate::cli::print::payload::{
    failure_json, map_text, refuse_encoded, refuse_encoded_fields, result_json,
};
use crate::cli::print::{Output, Tone, field, styled};
use crate::client::{Description, PendingActivity};
use crate::payload::failure_parts;

#[derive(Debug, Args)]
pub(crate) struct DescribeArgs {
    #[command(flatten)]
    workflow: WorkflowArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: DescribeArgs, output: Output) -> Result<End, CliError> {
    let client = args.connection.connect().await?;
    let description = client.describe(&args.workflow.reference()).await?;
    match output.is_json() {
        true => output.json(&description_json(&description))?,
        false => output.line(description_text(&description))?,
    }
    // Everything else is printed before.
    let activities = &description.pending_activities;
    let details = activities
        .iter()
        .flat_map(|activity| &activity.heartbeat_details);
    refuse_encoded("the details of a heartbeat", details)?;
    let failures = activities.iter().filter_map(|a| a.last_failure.as_ref());
    let parts: Vec<_> = failures.flat_map(failure_parts).collect();
    refuse_encoded("an activity's failure", &parts)?;
    refuse_encoded_fields("the memo", [&description.workflow.memo])?;
    Ok(End::Done)
}

fn description_json(description: &Description) -> Json {
    let mut json = summary_json(&description.workflow);
    json["pendingActivities"] = description
        .pending_activities
        .iter()
        .map(activity_json)
        .collect();
    let child = |c: &crate::client::PendingChild| json!({ "workflowId": c.workflow_id, "runId": c.run_id, "type": c.workflow_type });
    json["pendingChildren"] = description.pending_children.iter().map(child).collect();
    json["workflowTaskAttempt"] = description.workflow_task_attempt.into();
    json
}

fn activity_json(activity: &PendingActivity) -> Json {
    json!({
        "activityId": activity.activity_id,
        "type": activity.activity_type,
        "state": activity.state,
        "attempt": activity.attempt,
        "maximumAttempts": activity.maximum_attempts,
        "lastHeartbeatTime": time(activity.last_heartbeat_time),
        "heartbeatDetails": result_json(&activity.heartbeat_details),
        "nextAttemptTime": time(activity.next_attempt_time),
        "lastFailure": activity.last_failure.as_ref().map(failure_json),
    })
}

fn description_text(description: &Description) -> String {
    let workflow = &description.workflow;
    let mut lines = vec![
        field("workflow id", &workflow.workflow_id),
        field("run id", &workflow.run_id),
        field("type", &workflow.workflow_type),
        field(
            "status",
            styled(status_tone(workflow.status), workflow.status),
        ),
        field("task queue", &workflow.task_queue),
    ];
    let mut optional = |name: &str, text: Option<String>| {
        lines.extend(text.map(|text| field(name, text)));
    };
    optional("start time", workflow.start_time.map(|t| t.to_string()));
    optional("close time", workflow.close_time.map(|t| t.to_string()));
    optional(
        "parent",
        workflow.parent.as_ref().map(|p| p.workflow_id.clone()),
    );
    let events = format!(
        "{} events, {} bytes",
        workflow.history_length, workflow.history_size_bytes
    );
    optional("history", Some(events));
    let data = |map| Some(map_text(map));
    optional(
        "memo",
        data(&workflow.memo).filter(|_| !workflow.memo.is_empty()),
    );
    optional("search attributes", data(&workflow.search_attributes));
    let version = workflow.version.as_ref().map(|version| {
        let (name, build_id) = (&version.deployment_name, &version.build_id);
        format!("{build_id} of {name}, {}", version.behavior)
    });
    optional("worker version", version);
    if let Some(attempt) = description
        .workflow_task_attempt
        .filter(|attempt| *attempt > 1)
    {
        let text = format!("attempt {attempt}: `segno history` shows why the last ones failed");
        optional("workflow task", Some(styled(Tone::Bad, text)));
    }
    for activity in &description.pending_activities {
        lines.push(field("activity", activity_text(activity)));
        if let Some(failure) = &activity.last_failure {
            lines.push(failure_text(failure).replace('\n', "\n  "));
        }
    }
    for child in &description.pending_children {
        lines.push(field(
            "child",
            format!("{} {}", child.workflow_type, child.workflow_id),
        ));
    }
    lines.join("\n")
}

fn activity_text(activity: &PendingActivity) -> String {
    let bound = match activity.maximum_attempts {
        0 => String::new(),
        maximum => format!(" of {maximum}"),
    };
    let next = activity
        .next_attempt_time
        .map(|t| format!(", next at {t}"))
        .unwrap_or_default();
    format!(
        "{} {} {} attempt {}{bound}{next}",
        activity.activity_type, activity.activity_id, activity.state, activity.attempt
    )
}
