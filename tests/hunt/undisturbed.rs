//! Histories as an undisturbed worker would have left them: workflow tasks that were lost and done again are one task that began late.

use std::collections::{BTreeMap, BTreeSet};

use segno::client::{history_from_json, history_to_json};
use serde_json::Value as Json;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::history::v1::{History, HistoryEvent};

use super::history::Run;
use super::text::Followed;

/// The new ids of a run's events, by the old ones.
type Ids = BTreeMap<i64, i64>;

/// All runs of a workflow and of its children, one after the other.
pub fn undisturbed(families: &[Vec<Run>]) -> Vec<Followed> {
    let runs: Vec<&Run> = families.iter().flatten().collect();
    let left: Vec<(Vec<HistoryEvent>, Ids)> = runs.iter().map(|run| left(&run.events)).collect();
    let all = runs.iter().zip(&left);
    let ids: BTreeMap<&str, &Ids> = all.map(|(run, (_, ids))| (&*run.run_id, ids)).collect();
    let all = runs.iter().zip(&left);
    let followed = all.map(|(run, (events, own))| Followed {
        workflow_id: run.workflow_id.clone(),
        run_id: run.run_id.clone(),
        parent: parent(&runs, families, run),
        events: numbered(events, own, &ids),
    });
    followed.collect()
}

/// The place of the run that started the workflow.
fn parent(runs: &[&Run], families: &[Vec<Run>], run: &Run) -> Option<usize> {
    let is_of = |family: &&Vec<Run>| family.iter().any(|other| other.run_id == run.run_id);
    let first = families.iter().find(is_of)?.first()?;
    let starts = |event: &HistoryEvent| {
        let Some(Attributes::ChildWorkflowExecutionStartedEventAttributes(a)) = &event.attributes
        else {
            return false;
        };
        let child = a.workflow_execution.as_ref();
        child.is_some_and(|child| child.run_id == first.run_id)
    };
    let mut runs = runs.iter();
    runs.position(|parent| parent.events.iter().any(starts))
}

/// Without the starts and ends of tasks that were lost, and without the scheduling of those that did their work later.
fn left(events: &[HistoryEvent]) -> (Vec<HistoryEvent>, Ids) {
    let mut dropped = BTreeSet::new();
    // The task that is kept, for each that does its work again.
    let mut same: BTreeMap<i64, i64> = BTreeMap::new();
    let mut again: Option<i64> = None;
    for event in events {
        let lost = match &event.attributes {
            Some(Attributes::WorkflowTaskTimedOutEventAttributes(a)) => {
                Some((a.scheduled_event_id, a.started_event_id))
            }
            Some(Attributes::WorkflowTaskFailedEventAttributes(a)) => {
                Some((a.scheduled_event_id, a.started_event_id))
            }
            Some(Attributes::WorkflowTaskScheduledEventAttributes(_)) => {
                if let Some(first) = again.take() {
                    dropped.insert(event.event_id);
                    same.insert(event.event_id, first);
                }
                None
            }
            _ => None,
        };
        if let Some((scheduled, started)) = lost {
            dropped.extend([started, event.event_id]);
            again = Some(same.get(&scheduled).copied().unwrap_or(scheduled));
        }
    }
    let mut ids = Ids::new();
    let mut left = Vec::new();
    for event in events.iter().filter(|e| !dropped.contains(&e.event_id)) {
        left.push(event.clone());
        ids.insert(event.event_id, left.len() as i64);
    }
    for (id, first) in same {
        ids.insert(id, ids[&first]);
    }
    (left, ids)
}

/// With new ids, also where events name each other.
fn numbered(events: &[HistoryEvent], own: &Ids, all: &BTreeMap<&str, &Ids>) -> Vec<HistoryEvent> {
    if own.iter().all(|(old, new)| old == new) && all.values().all(|ids| is_same(ids)) {
        return events.to_vec();
    }
    let history = History {
        events: events.to_vec(),
    };
    let mut json = history_to_json(&history).unwrap();
    for event in json["events"].as_array_mut().into_iter().flatten() {
        let fields = event.as_object_mut().into_iter().flatten();
        for (name, value) in fields {
            match value {
                Json::Object(attributes) => {
                    let of = |field: &str| attributes[field]["runId"].as_str().map(str::to_owned);
                    let other = [
                        ("parentInitiatedEventId", "parentWorkflowExecution"),
                        ("externalInitiatedEventId", "externalWorkflowExecution"),
                    ];
                    let other = other.map(|(id, run)| {
                        let run = attributes.contains_key(run).then(|| of(run));
                        (id, run.flatten())
                    });
                    for (name, value) in attributes.iter_mut() {
                        let run = other.iter().find(|(id, _)| id == name);
                        let ids = match run {
                            Some((_, Some(run))) => all.get(&**run).copied(),
                            Some((_, None)) => None,
                            None => Some(own),
                        };
                        if let Some(ids) = ids {
                            number(name, value, ids);
                        }
                    }
                }
                value => number(name, value, own),
            }
        }
    }
    history_from_json(&json.to_string()).unwrap().events
}

fn is_same(ids: &Ids) -> bool {
    ids.iter().all(|(old, new)| old == new)
}

fn number(name: &str, value: &mut Json, ids: &Ids) {
    if !name.ends_with("ventId") {
        return;
    }
    let old = match &*value {
        Json::String(text) => text.parse().ok(),
        value => value.as_i64(),
    };
    if let Some(new) = old.and_then(|old: i64| ids.get(&old)) {
        *value = Json::String(new.to_string());
    }
}
