//! Histories as lines: what happened and with what, without ids, times, and the events of workflow tasks.

use std::collections::{BTreeMap, HashMap};

use segno::engine::failure::{Failure, FailureInfo};
use segno::payload::{
    duration_from_proto, failure_from_proto, payload_from_proto, payloads_from_proto,
};
use segno::value::{Payload, to_json_string};
use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1 as enums;
use temporalio_protos::temporal::api::failure::v1::Failure as ProtoFailure;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::history::v1::{self as history, HistoryEvent};

/// The local activity by which a run is bound to its definition: every run has it.
const RESOLVE_DEFINITION: &str = "resolve-definition";
/// One run's history, as far as it has come.
#[derive(Clone)]
pub struct Followed {
    pub workflow_id: String,
    pub run_id: String,
    /// The place of the parent's run among those followed.
    pub parent: Option<usize>,
    pub events: Vec<HistoryEvent>,
}

/// What is longer is shown by its length.
const TEXT_LENGTH_MAX: usize = 400;

/// Each run with its lines; what stands for ids is the same whatever the ids are.
pub fn stories(runs: &[Followed], ids: &[(&str, &str)]) -> Vec<(String, Vec<String>)> {
    let mut names: Vec<(String, String)> = Vec::new();
    let mut add = |from: &str, to: String| {
        if !from.is_empty() && !names.iter().any(|(known, _)| known == from) {
            names.push((from.to_owned(), to));
        }
    };
    ids.iter()
        .for_each(|(from, to)| add(from, (*to).to_owned()));
    let own = ids.first().map_or("", |(id, _)| id);
    for run in runs {
        add(&run.run_id, "RUN".to_owned());
        if !run.workflow_id.contains(own) {
            add(&run.workflow_id, "SOME-ID".to_owned());
        }
    }
    let named = |text: String| {
        let name = |text: String, (from, to): &(String, String)| text.replace(from, to);
        names.iter().fold(text, name)
    };
    let mut stories = Vec::new();
    for place in in_order(runs) {
        let run = &runs[place];
        let same =
            |other: &&Followed| other.workflow_id == run.workflow_id && other.parent == run.parent;
        let number = 1 + runs[..place].iter().filter(same).count();
        let title = named(format!("{} run {number}", run.workflow_id));
        let lines = lines(&run.events).into_iter().map(named);
        stories.push((title, lines.collect()));
    }
    stories
}

/// The runs of a workflow one after the other, then its children's in the order in which they were begun.
fn in_order(runs: &[Followed]) -> Vec<usize> {
    fn add(runs: &[Followed], parents: &[usize], order: &mut Vec<usize>) {
        let is_child = |run: &Followed| run.parent.is_some_and(|p| parents.contains(&p));
        let begun = |place: usize| {
            let parent = runs[place].parent.unwrap_or_default();
            let is_begin = |event: &HistoryEvent| match &event.attributes {
                Some(Attributes::StartChildWorkflowExecutionInitiatedEventAttributes(a)) => {
                    a.workflow_id == runs[place].workflow_id
                }
                _ => false,
            };
            (parent, runs[parent].events.iter().position(is_begin), place)
        };
        let mut children: Vec<usize> = (0..runs.len()).filter(|p| is_child(&runs[*p])).collect();
        children.sort_by_key(|place| begun(*place));
        let mut seen: Vec<&str> = Vec::new();
        for place in children.clone() {
            let id = runs[place].workflow_id.as_str();
            if seen.contains(&id) {
                continue;
            }
            seen.push(id);
            let own: Vec<usize> = children
                .iter()
                .copied()
                .filter(|p| runs[*p].workflow_id == id)
                .collect();
            order.extend(&own);
            add(runs, &own, order);
        }
    }
    let main: Vec<usize> = (0..runs.len())
        .filter(|p| runs[*p].parent.is_none())
        .collect();
    let mut order = main.clone();
    add(runs, &main, &mut order);
    order
}

/// Whether some run has a line that begins so.
pub fn has_line(runs: &[Followed], start: &str) -> bool {
    runs.iter().any(|run| {
        lines(&run.events)
            .iter()
            .any(|line| line.starts_with(start))
    })
}

pub fn lines(events: &[HistoryEvent]) -> Vec<String> {
    let lines = events.iter().filter_map(|event| {
        let line = line(event, events)?.replace("  ", " ");
        let summary = event.user_metadata.as_ref().and_then(|m| m.summary.clone());
        Some(match summary {
            Some(summary) => format!(
                "{} | {}",
                line.trim_end(),
                payload(&payload_from_proto(summary))
            ),
            None => line.trim_end().to_owned(),
        })
    });
    lines.collect()
}

fn line(event: &HistoryEvent, events: &[HistoryEvent]) -> Option<String> {
    use Attributes::*;
    let attributes = event.attributes.clone()?;
    Some(match attributes {
        WorkflowExecutionStartedEventAttributes(a) => {
            let how = match a.initiator() {
                _ if a.attempt > 1 => format!(" attempt {}", a.attempt),
                enums::ContinueAsNewInitiator::CronSchedule => " by cron".to_owned(),
                _ => String::new(),
            };
            let memo = fields("memo", a.memo.map(|m| m.fields));
            let attributes = attributes_text(a.search_attributes);
            format!("started{how} {}{memo}{attributes}", protos(a.input))
        }
        WorkflowExecutionCompletedEventAttributes(a) => format!("completed {}", protos(a.result)),
        WorkflowExecutionFailedEventAttributes(a) => format!("failed {}", proto_failure(a.failure)),
        WorkflowExecutionTimedOutEventAttributes(_) => "timed out".to_owned(),
        WorkflowExecutionCanceledEventAttributes(_) => "cancelled".to_owned(),
        WorkflowExecutionTerminatedEventAttributes(a) => format!("terminated: {}", a.reason),
        WorkflowExecutionContinuedAsNewEventAttributes(a) => {
            let workflow_type = a.workflow_type.unwrap_or_default().name;
            let memo = fields("memo", a.memo.map(|m| m.fields));
            let attributes = attributes_text(a.search_attributes);
            let input = protos(a.input);
            format!("continued as new {workflow_type} {input}{memo}{attributes}")
        }
        WorkflowExecutionSignaledEventAttributes(a) => {
            format!("signal {} {}", a.signal_name, protos(a.input))
        }
        WorkflowExecutionCancelRequestedEventAttributes(a) => {
            format!("cancel requested: {}", a.cause)
        }
        WorkflowExecutionUpdateAcceptedEventAttributes(a) => {
            let input = a
                .accepted_request
                .unwrap_or_default()
                .input
                .unwrap_or_default();
            format!("update {} accepted {}", input.name, protos(input.args))
        }
        WorkflowExecutionUpdateCompletedEventAttributes(a) => {
            use temporalio_protos::temporal::api::update::v1::outcome::Value;
            let outcome = match a.outcome.unwrap_or_default().value {
                Some(Value::Success(payloads)) => protos(Some(payloads)),
                Some(Value::Failure(failure)) => format!("failed {}", proto_failure(Some(failure))),
                None => String::new(),
            };
            let name = subject(a.accepted_event_id, events);
            format!("update {name} completed {outcome}")
        }
        WorkflowTaskFailedEventAttributes(a) => task_failed(a)?,
        UpsertWorkflowSearchAttributesEventAttributes(a) => {
            format!("upserted{}", attributes_text(a.search_attributes))
        }
        WorkflowPropertiesModifiedEventAttributes(a) => {
            format!(
                "upserted{}",
                fields("memo", a.upserted_memo.map(|m| m.fields))
            )
        }
        MarkerRecordedEventAttributes(a) => marker(a.details, a.failure)?,
        attributes => step(attributes, events)?,
    })
}

/// Something came while the workflow was about to close, or it was terminated meanwhile: that is no mistake.
fn task_failed(a: history::WorkflowTaskFailedEventAttributes) -> Option<String> {
    use enums::WorkflowTaskFailedCause::{ForceCloseCommand, UnhandledCommand};
    match a.cause() {
        UnhandledCommand | ForceCloseCommand => None,
        cause => Some(format!(
            "workflow task failed {} {}",
            cause.as_str_name(),
            proto_failure(a.failure)
        )),
    }
}

/// What steps do outside the run.
fn step(attributes: Attributes, events: &[HistoryEvent]) -> Option<String> {
    use Attributes::*;
    let of = |id: i64| subject(id, events);
    let attempt = |started: i64| attempt(started, events);
    Some(match attributes {
        ActivityTaskScheduledEventAttributes(a) => activity_scheduled(a),
        ActivityTaskCompletedEventAttributes(a) => {
            let (of, attempt) = (of(a.scheduled_event_id), attempt(a.started_event_id));
            format!("activity {of} completed{attempt} {}", protos(a.result))
        }
        ActivityTaskFailedEventAttributes(a) => {
            let (of, attempt) = (of(a.scheduled_event_id), attempt(a.started_event_id));
            format!("activity {of} failed{attempt} {}", proto_failure(a.failure))
        }
        ActivityTaskTimedOutEventAttributes(a) => {
            let (of, attempt) = (of(a.scheduled_event_id), attempt(a.started_event_id));
            format!(
                "activity {of} timed out{attempt} {}",
                proto_failure(a.failure)
            )
        }
        ActivityTaskCancelRequestedEventAttributes(a) => {
            format!("activity {} cancel requested", of(a.scheduled_event_id))
        }
        ActivityTaskCanceledEventAttributes(a) => {
            format!("activity {} cancelled", of(a.scheduled_event_id))
        }
        TimerStartedEventAttributes(a) => {
            format!("timer {} started", length(a.start_to_fire_timeout))
        }
        TimerFiredEventAttributes(a) => format!("timer {} fired", of(a.started_event_id)),
        TimerCanceledEventAttributes(a) => format!("timer {} cancelled", of(a.started_event_id)),
        NexusOperationScheduledEventAttributes(a) => {
            let input = a.input.map(|p| payload(&payload_from_proto(p)));
            let input = input.unwrap_or_default();
            format!(
                "nexus {}/{}/{} scheduled {input}",
                a.endpoint, a.service, a.operation
            )
        }
        NexusOperationStartedEventAttributes(a) => {
            format!("nexus {} started", of(a.scheduled_event_id))
        }
        NexusOperationCompletedEventAttributes(a) => {
            let result = a.result.map(|p| payload(&payload_from_proto(p)));
            let result = result.unwrap_or_default();
            format!("nexus {} completed {result}", of(a.scheduled_event_id))
        }
        NexusOperationFailedEventAttributes(a) => {
            format!(
                "nexus {} failed {}",
                of(a.scheduled_event_id),
                proto_failure(a.failure)
            )
        }
        NexusOperationCanceledEventAttributes(a) => {
            format!("nexus {} cancelled", of(a.scheduled_event_id))
        }
        NexusOperationTimedOutEventAttributes(a) => {
            format!(
                "nexus {} timed out {}",
                of(a.scheduled_event_id),
                proto_failure(a.failure)
            )
        }
        NexusOperationCancelRequestedEventAttributes(a) => {
            format!("nexus {} cancel requested", of(a.scheduled_event_id))
        }
        attributes => other_workflow(attributes, events)?,
    })
}

fn other_workflow(attributes: Attributes, events: &[HistoryEvent]) -> Option<String> {
    use Attributes::*;
    let of = |id: i64| subject(id, events);
    Some(match attributes {
        StartChildWorkflowExecutionInitiatedEventAttributes(a) => child_initiated(a),
        StartChildWorkflowExecutionFailedEventAttributes(a) => {
            let cause = a.cause().as_str_name();
            format!("child {} not started: {cause}", of(a.initiated_event_id))
        }
        ChildWorkflowExecutionStartedEventAttributes(a) => {
            format!("child {} started", of(a.initiated_event_id))
        }
        ChildWorkflowExecutionCompletedEventAttributes(a) => {
            format!(
                "child {} completed {}",
                of(a.initiated_event_id),
                protos(a.result)
            )
        }
        ChildWorkflowExecutionFailedEventAttributes(a) => {
            format!(
                "child {} failed {}",
                of(a.initiated_event_id),
                proto_failure(a.failure)
            )
        }
        ChildWorkflowExecutionCanceledEventAttributes(a) => {
            format!("child {} cancelled", of(a.initiated_event_id))
        }
        ChildWorkflowExecutionTimedOutEventAttributes(a) => {
            format!("child {} timed out", of(a.initiated_event_id))
        }
        ChildWorkflowExecutionTerminatedEventAttributes(a) => {
            format!("child {} terminated", of(a.initiated_event_id))
        }
        SignalExternalWorkflowExecutionInitiatedEventAttributes(a) => {
            let id = a.workflow_execution.unwrap_or_default().workflow_id;
            let child = if a.child_workflow_only { "child " } else { "" };
            format!(
                "signal {} to {child}{id} sent {}",
                a.signal_name,
                protos(a.input)
            )
        }
        ExternalWorkflowExecutionSignaledEventAttributes(a) => {
            format!("signal {} delivered", of(a.initiated_event_id))
        }
        SignalExternalWorkflowExecutionFailedEventAttributes(a) => {
            let cause = a.cause().as_str_name();
            format!("signal {} not delivered: {cause}", of(a.initiated_event_id))
        }
        RequestCancelExternalWorkflowExecutionInitiatedEventAttributes(a) => {
            let id = a.workflow_execution.unwrap_or_default().workflow_id;
            let child = if a.child_workflow_only { "child " } else { "" };
            format!("cancellation of {child}{id} sent: {}", a.reason)
        }
        ExternalWorkflowExecutionCancelRequestedEventAttributes(a) => {
            format!("cancellation of {} delivered", of(a.initiated_event_id))
        }
        RequestCancelExternalWorkflowExecutionFailedEventAttributes(a) => {
            let cause = a.cause().as_str_name();
            format!(
                "cancellation of {} not delivered: {cause}",
                of(a.initiated_event_id)
            )
        }
        _ => return None,
    })
}

fn activity_scheduled(a: history::ActivityTaskScheduledEventAttributes) -> String {
    let name = a.activity_type.unwrap_or_default().name;
    let mut options = Vec::new();
    if a.activity_id.parse::<u64>().is_err() {
        options.push(format!("id {}", a.activity_id));
    }
    let priority = a.priority.unwrap_or_default();
    if priority.priority_key != 0 {
        options.push(format!("priority {}", priority.priority_key));
    }
    if !priority.fairness_key.is_empty() {
        options.push(format!(
            "fairness {} {}",
            priority.fairness_key, priority.fairness_weight
        ));
    }
    options.extend(timeout("heartbeat", a.heartbeat_timeout));
    options.extend(timeout("start to close", a.start_to_close_timeout));
    options.extend(retries(a.retry_policy));
    format!(
        "activity {name} scheduled {}{}",
        protos(a.input),
        listed(&options)
    )
}

fn child_initiated(a: history::StartChildWorkflowExecutionInitiatedEventAttributes) -> String {
    let mut options = vec![format!("id {}", a.workflow_id)];
    if a.parent_close_policy() != enums::ParentClosePolicy::Terminate {
        options.push(a.parent_close_policy().as_str_name().to_lowercase());
    }
    if a.workflow_id_reuse_policy() != enums::WorkflowIdReusePolicy::AllowDuplicate {
        options.push(a.workflow_id_reuse_policy().as_str_name().to_lowercase());
    }
    if !a.cron_schedule.is_empty() {
        options.push(format!("cron {}", a.cron_schedule));
    }
    options.extend(timeout("execution", a.workflow_execution_timeout));
    options.extend(timeout("run", a.workflow_run_timeout));
    options.extend(retries(a.retry_policy));
    let name = a.workflow_type.unwrap_or_default().name;
    let memo = fields("memo", a.memo.map(|m| m.fields));
    let attributes = attributes_text(a.search_attributes);
    format!(
        "child {name} initiated {}{memo}{attributes}{}",
        protos(a.input),
        listed(&options)
    )
}

fn timeout(name: &str, duration: Option<prost_wkt_types::Duration>) -> Option<String> {
    let duration = duration.filter(|d| d.seconds != 0 || d.nanos != 0)?;
    Some(format!("{name} {}", length(Some(duration))))
}

fn retries(policy: Option<common::RetryPolicy>) -> Option<String> {
    let policy = policy?;
    let attempts = match policy.maximum_attempts {
        0 => return None,
        n => format!("attempts {n}"),
    };
    let types = policy.non_retryable_error_types;
    Some(match types.is_empty() {
        true => attempts,
        false => format!("{attempts} unless {}", types.join(", ")),
    })
}

fn listed(options: &[String]) -> String {
    match options {
        [] => String::new(),
        options => format!(" ({})", options.join(", ")),
    }
}

/// What an event goes back to is about: an activity's type, a timer's length, a workflow's id.
fn subject(id: i64, events: &[HistoryEvent]) -> String {
    use Attributes::*;
    let event = events.iter().find(|event| event.event_id == id);
    let Some(attributes) = event.and_then(|e| e.attributes.clone()) else {
        return String::new();
    };
    match attributes {
        ActivityTaskScheduledEventAttributes(a) => a.activity_type.unwrap_or_default().name,
        TimerStartedEventAttributes(a) => length(a.start_to_fire_timeout),
        StartChildWorkflowExecutionInitiatedEventAttributes(a) => {
            a.workflow_type.unwrap_or_default().name
        }
        SignalExternalWorkflowExecutionInitiatedEventAttributes(a) => a.signal_name,
        RequestCancelExternalWorkflowExecutionInitiatedEventAttributes(a) => {
            a.workflow_execution.unwrap_or_default().workflow_id
        }
        WorkflowExecutionUpdateAcceptedEventAttributes(a) => {
            let request = a.accepted_request.unwrap_or_default();
            request.input.unwrap_or_default().name
        }
        NexusOperationScheduledEventAttributes(a) => a.operation,
        _ => String::new(),
    }
}

fn attempt(started_id: i64, events: &[HistoryEvent]) -> String {
    let started = events.iter().find(|event| event.event_id == started_id);
    match started.and_then(|e| e.attributes.as_ref()) {
        Some(Attributes::ActivityTaskStartedEventAttributes(a)) if a.attempt > 1 => {
            format!(" at attempt {}", a.attempt)
        }
        _ => String::new(),
    }
}

/// A local activity, in the marker that it leaves.
fn marker(
    mut details: HashMap<String, common::Payloads>,
    failed: Option<ProtoFailure>,
) -> Option<String> {
    let data = payloads_from_proto(details.remove("data"));
    let data = data.first()?.decode().ok()?;
    let name = data.get("activity_type")?.as_str()?.to_owned();
    if name == RESOLVE_DEFINITION {
        return None;
    }
    // Whether a cancelled one leaves a marker depends on whether it had begun.
    if failed
        .as_ref()
        .is_some_and(|f| failure_from_proto(f.clone()).is_cancelled())
    {
        return None;
    }
    let result = protos(details.remove("result"));
    Some(match failed {
        Some(failed) => format!(
            "local activity {name} failed {}",
            proto_failure(Some(failed))
        ),
        None => format!("local activity {name} completed {result}"),
    })
}

fn attributes_text(attributes: Option<common::SearchAttributes>) -> String {
    fields("search attributes", attributes.map(|a| a.indexed_fields))
}

fn fields(name: &str, fields: Option<HashMap<String, common::Payload>>) -> String {
    let fields: BTreeMap<_, _> = fields.unwrap_or_default().into_iter().collect();
    if fields.is_empty() {
        return String::new();
    }
    let field = |(name, value)| format!("{name}={}", payload(&payload_from_proto(value)));
    let fields: Vec<String> = fields.into_iter().map(field).collect();
    format!(" {name} {}", fields.join(" "))
}

fn length(duration: Option<prost_wkt_types::Duration>) -> String {
    duration
        .map(|d| duration_from_proto(d).to_string())
        .unwrap_or_default()
}

fn protos(payloads_: Option<common::Payloads>) -> String {
    payloads(payloads_from_proto(payloads_))
}

pub fn payloads(payloads: impl IntoIterator<Item = Payload>) -> String {
    let texts: Vec<String> = payloads.into_iter().map(|p| payload(&p)).collect();
    texts.join(", ")
}

fn payload(payload: &Payload) -> String {
    let decoded = payload.decode().ok();
    let text = decoded.and_then(|value| to_json_string(&value).ok());
    match text {
        Some(text) if text.len() > TEXT_LENGTH_MAX => format!("({} bytes)", text.len()),
        Some(text) => text,
        None => format!("({})", String::from_utf8_lossy(payload.encoding())),
    }
}

fn proto_failure(proto: Option<ProtoFailure>) -> String {
    proto
        .map(|proto| failure(&failure_from_proto(proto)))
        .unwrap_or_default()
}

/// A failure and its causes, each with its kind and what else is known of it.
pub fn failure(outer: &Failure) -> String {
    let each = outer.chain().map(|failure| {
        let kind = failure.kind().name();
        let more = match &failure.info {
            FailureInfo::Application {
                error_type,
                non_retryable,
                details,
                ..
            } => {
                let details: Vec<Payload> = details
                    .iter()
                    .filter_map(|d| Payload::from_value(d).ok())
                    .collect();
                let details = match details.as_slice() {
                    [] => String::new(),
                    _ => format!(" {}", payloads(details)),
                };
                let retryable = if *non_retryable { " non-retryable" } else { "" };
                format!(" {error_type}{details}{retryable}")
            }
            FailureInfo::Timeout { timeout_type, .. } => format!(" {}", timeout_type.name()),
            _ => String::new(),
        };
        format!("{kind}{more} {:?}", failure.message)
    });
    each.collect::<Vec<_>>().join(" < ")
}

/// Titles and the lines under each.
pub fn written(sections: Vec<(String, Vec<String>)>) -> String {
    let section = |(title, lines): (String, Vec<String>)| {
        let lines: String = lines.iter().map(|line| format!("  {line}\n")).collect();
        format!("{title}\n{lines}")
    };
    let sections: Vec<String> = sections.into_iter().map(section).collect();
    sections.join("\n")
}
