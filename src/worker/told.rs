//! What logs contain about a run.

use temporalio_protos::coresdk::activity_task::Start;
use temporalio_protos::coresdk::workflow_activation::WorkflowActivation;
use temporalio_protos::coresdk::workflow_activation::workflow_activation_job::Variant;
use tracing::Span;
use tracing::field::Empty;

use crate::engine::Instance;
use crate::engine::command::{Command, CommandKind};
use crate::value::{Value, to_json_string};
use crate::words::LogLevel;
use crate::words::StepId;

/// How many steps a line names.
const STEPS_NAMED_MAX: usize = 5;

/// Everything that is logged inside it names the run, at any level.
pub(super) fn span(run_id: &str) -> Span {
    tracing::error_span!(
        "run",
        run_id,
        workflow_id = Empty,
        workflow_type = Empty,
        definition = Empty,
        step = Empty
    )
}

/// A span for an attempt of an activity.
pub(super) fn attempt_span(start: &Start) -> Span {
    let execution = start.workflow_execution.as_ref();
    tracing::error_span!(
        "activity",
        run_id = execution.map(|execution| execution.run_id.as_str()),
        workflow_id = execution.map(|execution| execution.workflow_id.as_str()),
        workflow_type = start.workflow_type.as_str(),
        activity_id = start.activity_id.as_str(),
        activity_type = start.activity_type.as_str(),
        attempt = start.attempt.max(1)
    )
}

/// Adds the fields of a run that starts with an activation.
pub(super) fn name_start(span: &Span, activation: &WorkflowActivation) {
    let jobs = activation.jobs.iter();
    let start = jobs.into_iter().find_map(|job| match &job.variant {
        Some(Variant::InitializeWorkflow(start)) => Some(start),
        _ => None,
    });
    if let Some(start) = start {
        span.record("workflow_id", &start.workflow_id);
        span.record("workflow_type", &start.workflow_type);
    }
}

/// Adds the fields of a run that has started.
pub(super) fn name_run(span: &Span, instance: &Instance) {
    if let Some((workflow_id, workflow_type)) = instance.names() {
        span.record("workflow_id", workflow_id);
        span.record("workflow_type", workflow_type);
    }
    name_definition(span, instance);
}

pub(super) fn name_definition(span: &Span, instance: &Instance) {
    if let Some(definition) = instance.definition() {
        span.record("definition", definition);
    }
}

/// Adds the steps of a failure, in the order in which they are first named.
pub(super) fn name_steps(
    span: &Span,
    instance: &Instance,
    steps: impl IntoIterator<Item = StepId>,
) {
    let mut names: Vec<String> = Vec::new();
    for name in steps
        .into_iter()
        .filter_map(|step| instance.step_name(step))
    {
        if names.len() == STEPS_NAMED_MAX {
            break;
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if !names.is_empty() {
        span.record("step", names.join(", "));
    }
}

/// Writes the line of a `log` step, and the engine's own lines.
pub(super) fn log(instance: &Instance, command: &Command) {
    let CommandKind::Log {
        level,
        message,
        fields,
    } = &command.kind
    else {
        return;
    };
    let step = command.step.and_then(|step| instance.step_name(step));
    let step = step.as_deref();
    let fields = (!fields.is_empty()).then(|| json(fields));
    let fields = fields.as_deref().map(tracing::field::display);
    match level {
        LogLevel::Debug => tracing::debug!(step, fields, "{message}"),
        LogLevel::Info => tracing::info!(step, fields, "{message}"),
        LogLevel::Warn => tracing::warn!(step, fields, "{message}"),
        LogLevel::Error => tracing::error!(step, fields, "{message}"),
    }
}

/// Names and values, as one object.
fn json(fields: &[(String, Value)]) -> String {
    let fields = fields.iter().map(|(name, value)| {
        let value = to_json_string(value).unwrap_or_else(|_| "null".to_owned());
        format!("{}:{value}", serde_json::Value::from(name.as_str()))
    });
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}
