//! Histories as the hunter looks at them.

use std::collections::BTreeMap;

use segno::client::{Client, ClientError, WorkflowRef};
use segno::payload::payloads_from_proto;
use segno::value::{Value, to_json};
use serde_json::Value as Json;
use temporalio_protos::temporal::api::common::v1::{Payloads, WorkflowExecution};
use temporalio_protos::temporal::api::enums::v1::EventType;
use temporalio_protos::temporal::api::failure::v1::Failure;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::history::v1::{
    HistoryEvent, WorkflowExecutionUpdateCompletedEventAttributes,
};
use temporalio_protos::temporal::api::update::v1::outcome;

/// One run.
#[derive(Clone)]
pub struct Run {
    pub workflow_id: String,
    pub run_id: String,
    pub events: Vec<HistoryEvent>,
}

/// A workflow's runs, and its children's.
pub async fn family(client: &Client, workflow_id: &str, run_id: &str) -> Vec<Vec<Run>> {
    let mut open = vec![(workflow_id.to_owned(), run_id.to_owned())];
    let mut all = Vec::new();
    while let Some((workflow_id, run_id)) = open.pop() {
        let runs = chain(client, &workflow_id, run_id).await;
        for event in runs.iter().flat_map(|run| &run.events) {
            if let Some(Attributes::ChildWorkflowExecutionStartedEventAttributes(a)) =
                &event.attributes
            {
                let WorkflowExecution {
                    workflow_id,
                    run_id,
                } = a.workflow_execution.clone().unwrap_or_default();
                open.push((workflow_id, run_id));
            }
        }
        all.push(runs);
    }
    all
}

async fn chain(client: &Client, workflow_id: &str, run_id: String) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut next = Some(run_id);
    while let Some(run_id) = next {
        let events = events(client, workflow_id, &run_id).await;
        next = events.last().and_then(next_run);
        runs.push(Run {
            workflow_id: workflow_id.to_owned(),
            run_id,
            events,
        });
    }
    runs
}

pub async fn events(client: &Client, workflow_id: &str, run_id: &str) -> Vec<HistoryEvent> {
    let workflow = WorkflowRef::new(workflow_id, Some(run_id.to_owned()));
    for _ in 0..100 {
        match client.history(&workflow).await {
            Ok(history) => return history.events,
            Err(ClientError::NoSuchWorkflow(..)) => break,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(300)).await,
        }
    }
    Vec::new()
}

pub fn next_run(event: &HistoryEvent) -> Option<String> {
    use Attributes::*;
    let next = match event.attributes.as_ref()? {
        WorkflowExecutionContinuedAsNewEventAttributes(a) => &a.new_execution_run_id,
        WorkflowExecutionFailedEventAttributes(a) => &a.new_execution_run_id,
        WorkflowExecutionTimedOutEventAttributes(a) => &a.new_execution_run_id,
        _ => return None,
    };
    (!next.is_empty()).then(|| next.clone())
}

impl Run {
    pub fn last(&self) -> Option<&Attributes> {
        self.events.last()?.attributes.as_ref()
    }

    pub fn is_closed(&self) -> bool {
        self.events.last().is_some_and(is_end)
    }

    /// The ids of the signals of a name, in order, with the places of their events.
    pub fn signals(&self, name: &str) -> Vec<(usize, String)> {
        let events = self.events.iter().enumerate();
        let signals = events.filter_map(|(place, event)| match event.attributes.as_ref()? {
            Attributes::WorkflowExecutionSignaledEventAttributes(a) if a.signal_name == name => {
                let id = json(a.input.as_ref())["id"].as_str()?.to_owned();
                Some((place, id))
            }
            _ => None,
        });
        signals.collect()
    }

    /// The ids of the updates that completed with a result.
    pub fn updated(&self) -> Vec<String> {
        use temporalio_protos::temporal::api::update::v1::outcome::Value::Success;
        let ids = self
            .events
            .iter()
            .filter_map(|e| match e.attributes.as_ref()? {
                Attributes::WorkflowExecutionUpdateCompletedEventAttributes(a) => {
                    match a.outcome.as_ref()?.value.as_ref()? {
                        Success(result) => Some(json(Some(result))["id"].as_str()?.to_owned()),
                        _ => None,
                    }
                }
                _ => None,
            });
        ids.collect()
    }

    /// Updates that were accepted and have no outcome.
    pub fn unanswered(&self) -> Vec<String> {
        let mut open = BTreeMap::new();
        for event in &self.events {
            match &event.attributes {
                Some(Attributes::WorkflowExecutionUpdateAcceptedEventAttributes(a)) => {
                    open.insert(a.protocol_instance_id.clone(), event.event_id);
                }
                Some(Attributes::WorkflowExecutionUpdateCompletedEventAttributes(a)) => {
                    let id = a.meta.as_ref().map(|meta| meta.update_id.as_str());
                    open.remove(id.unwrap_or_default());
                }
                _ => {}
            }
        }
        open.into_keys().collect()
    }

    /// It went on in another run by itself, with its whole state.
    pub fn was_moved(&self) -> bool {
        match self.last() {
            Some(Attributes::WorkflowExecutionContinuedAsNewEventAttributes(a)) => {
                let header = a.header.as_ref();
                header.is_some_and(|h| h.fields.contains_key("segno-state"))
            }
            _ => false,
        }
    }

    pub fn was_asked_to_cancel(&self) -> bool {
        let mut events = self.events.iter();
        events.any(|e| e.event_type() == EventType::WorkflowExecutionCancelRequested)
    }
}

pub fn is_end(event: &HistoryEvent) -> bool {
    use EventType::*;
    matches!(
        event.event_type(),
        WorkflowExecutionCompleted
            | WorkflowExecutionFailed
            | WorkflowExecutionCanceled
            | WorkflowExecutionTerminated
            | WorkflowExecutionTimedOut
            | WorkflowExecutionContinuedAsNew
    )
}

/// The first of the payloads.
pub fn json(payloads: Option<&Payloads>) -> Json {
    let payloads = payloads_from_proto(payloads.cloned());
    let value = payloads.first().and_then(|payload| payload.decode().ok());
    to_json(&value.unwrap_or(Value::Null)).unwrap_or_default()
}

/// Each event with a line, the last ones where there are many.
pub fn shown(run: &Run, last: usize) -> String {
    let from = run.events.len().saturating_sub(last);
    let line = |event: &HistoryEvent| {
        let more = match &event.attributes {
            Some(Attributes::WorkflowTaskFailedEventAttributes(a)) => {
                let message = a.failure.as_ref().map_or("", |failure| &failure.message);
                format!(" {} {message}", a.cause().as_str_name())
            }
            Some(Attributes::WorkflowExecutionSignaledEventAttributes(a)) => {
                format!(" {} {}", a.signal_name, json(a.input.as_ref()))
            }
            Some(Attributes::WorkflowExecutionTerminatedEventAttributes(a)) => {
                format!(" {}", a.reason)
            }
            Some(Attributes::WorkflowExecutionUpdateCompletedEventAttributes(a)) => outcome(a),
            Some(Attributes::WorkflowExecutionFailedEventAttributes(a)) => {
                format!(" {}", told(a.failure.as_ref()))
            }
            Some(Attributes::TimerStartedEventAttributes(_)) => summary(event).unwrap_or_default(),
            _ => String::new(),
        };
        let name = event.event_type().as_str_name();
        let name = name.trim_start_matches("EVENT_TYPE_");
        format!("\n    {} {name}{more}", event.event_id)
    };
    let lines: String = run.events[from..].iter().map(line).collect();
    format!("  {} {}{lines}", run.workflow_id, run.run_id)
}

fn outcome(update: &WorkflowExecutionUpdateCompletedEventAttributes) -> String {
    let id = update.meta.as_ref().map_or("", |meta| &meta.update_id);
    let outcome = update.outcome.as_ref().and_then(|o| o.value.as_ref());
    match outcome {
        Some(outcome::Value::Failure(failure)) => format!(" {id} {}", told(Some(failure))),
        _ => format!(" {id}"),
    }
}

/// A failure with its causes.
fn told(failure: Option<&Failure>) -> String {
    let mut next = failure;
    let mut told = Vec::new();
    while let Some(failure) = next {
        told.push(failure.message.as_str());
        next = failure.cause.as_deref();
    }
    told.join(", caused by ")
}

/// What the step says of itself.
pub fn summary(event: &HistoryEvent) -> Option<String> {
    let summary = event.user_metadata.as_ref()?.summary.clone()?;
    let payloads = Payloads {
        payloads: vec![summary],
    };
    json(Some(&payloads)).as_str().map(str::to_owned)
}
