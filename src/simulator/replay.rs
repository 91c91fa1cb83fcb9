//! A history told to a new instance: what it asks for has to be what history has.

use std::fmt::{self, Display};
use std::sync::Arc;

use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;

use super::machines::Request;
use super::tasks::{Worker, activate};
use crate::engine::Programs;
use crate::engine::command::CommandKind;
use crate::engine::observe::Observer;

/// Where a run and its history part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// 0: not at an event.
    pub event_id: i64,
    /// What history has there.
    pub event: String,
    pub problem: String,
}

impl Divergence {
    pub(super) fn broken(problem: impl Into<String>) -> Self {
        Divergence {
            event_id: 0,
            event: String::new(),
            problem: problem.into(),
        }
    }

    pub(super) fn missing(event: &HistoryEvent) -> Self {
        Divergence::broken("the run did not ask for it").at(event)
    }

    pub(super) fn at(mut self, event: &HistoryEvent) -> Self {
        if self.event_id == 0 {
            self.event_id = event.event_id;
            self.event = event.event_type().as_str_name().to_owned();
        }
        self
    }
}

impl Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.event_id {
            0 => f.write_str(&self.problem),
            id => write!(f, "event {id} ({}): {}", self.event, self.problem),
        }
    }
}

/// What a replay is done with.
pub struct Replay<'a> {
    pub namespace: &'a str,
    pub task_queue: &'a str,
    pub workflow_id: &'a str,
    pub run_id: &'a str,
    pub programs: &'a dyn Programs,
    pub observer: Option<Arc<dyn Observer>>,
}

/// The run as its history leaves it after the last workflow task that was completed.
pub(super) fn replay(history: &[HistoryEvent], with: &Replay<'_>) -> Result<Worker, Divergence> {
    let mut worker = Worker::new(with.namespace, with.workflow_id, with.run_id);
    if let Some(observer) = &with.observer {
        worker.instance.observed_by(observer.clone());
    }
    worker.machines.is_replaying = true;
    let mut from = 0;
    while let Some(to) = sequence_end(history, from) {
        let next = sequence_end(history, to + 1).unwrap_or(history.len() - 1);
        let flags = history[from..=to + 1].iter().flat_map(flags);
        worker.machines.flags.extend(flags);
        worker
            .machines
            .apply(&history[..=to], &history[to + 1..=next], Vec::new())?;
        loop {
            let jobs = worker.take_jobs();
            if jobs.is_empty() {
                break;
            }
            let commands = activate(&mut worker, jobs, with, None)?;
            worker.machines.driven(commands)?;
        }
        worker.machines.prepare();
        from = to + 1;
    }
    // What was completed last is in the events that follow it.
    if from > 0 {
        let rest = history.len();
        let commanded = &history[from..rest];
        let end = commanded
            .iter()
            .position(|event| !is_of_last_task(event))
            .unwrap_or(commanded.len());
        worker
            .machines
            .apply(&history[..from + end], &[], Vec::new())?;
    }
    worker.machines.is_replaying = false;
    Ok(worker)
}

/// What a completed workflow task made use of.
fn flags(event: &HistoryEvent) -> Vec<u32> {
    match &event.attributes {
        Some(Attributes::WorkflowTaskCompletedEventAttributes(completed)) => {
            let metadata = completed.sdk_metadata.clone().unwrap_or_default();
            metadata.lang_used_flags
        }
        _ => Vec::new(),
    }
}

fn is_of_last_task(event: &HistoryEvent) -> bool {
    let attributes = event.attributes.as_ref();
    matches!(
        attributes,
        Some(Attributes::WorkflowTaskCompletedEventAttributes(_))
    ) || attributes.is_some_and(super::machines::events::is_of_command)
}

/// The place of the next workflow task's start that was completed: as core groups events for its activations.
fn sequence_end(history: &[HistoryEvent], from: usize) -> Option<usize> {
    use Attributes::*;
    let attributes = |place: usize| history.get(place).and_then(|e| e.attributes.as_ref());
    let mut saw_command = false;
    let mut started: Vec<usize> = Vec::new();
    for place in from..history.len() {
        let Some(at) = attributes(place) else {
            continue;
        };
        saw_command |= super::machines::events::is_of_command(at);
        if !matches!(at, WorkflowTaskStartedEventAttributes(_)) {
            continue;
        }
        if !matches!(
            attributes(place + 1),
            Some(WorkflowTaskCompletedEventAttributes(_))
        ) {
            continue;
        }
        started.push(place);
        match attributes(place + 2) {
            // A task that was only held open for local activities.
            Some(WorkflowTaskScheduledEventAttributes(_)) if !saw_command => {}
            Some(WorkflowExecutionUpdateAcceptedEventAttributes(accepted)) => {
                let before = started.iter().rev().find(|place| {
                    history[**place].event_id < accepted.accepted_request_sequencing_event_id
                });
                return Some(before.copied().unwrap_or(place));
            }
            _ => return Some(place),
        }
    }
    None
}

/// Whether an event is that of a command.
pub(super) fn fits(request: &Request, event: &Attributes) -> Result<(), Divergence> {
    use Attributes::*;
    let same = match (request, event) {
        (Request::Engine(kind), event) => return engine_fits(kind, event),
        (Request::CancelTimer { started_event_id }, TimerCanceledEventAttributes(a)) => {
            *started_event_id == a.started_event_id
        }
        (
            Request::CancelActivity { scheduled_event_id },
            ActivityTaskCancelRequestedEventAttributes(a),
        ) => *scheduled_event_id == a.scheduled_event_id,
        (
            Request::CancelChild { workflow_id, .. },
            RequestCancelExternalWorkflowExecutionInitiatedEventAttributes(a),
        ) => a
            .workflow_execution
            .as_ref()
            .is_some_and(|w| w.workflow_id == *workflow_id),
        (
            Request::CancelNexus { scheduled_event_id },
            NexusOperationCancelRequestedEventAttributes(a),
        ) => *scheduled_event_id == a.scheduled_event_id,
        (Request::Marker(marker), MarkerRecordedEventAttributes(a)) => {
            marker.marker_name == a.marker_name
        }
        (Request::UpsertVersions(_), UpsertWorkflowSearchAttributesEventAttributes(_)) => true,
        _ => false,
    };
    match same {
        true => Ok(()),
        false => Err(other_command(request)),
    }
}

fn engine_fits(kind: &CommandKind, event: &Attributes) -> Result<(), Divergence> {
    use Attributes::*;
    let same = match (kind, event) {
        (CommandKind::StartTimer { .. }, TimerStartedEventAttributes(_))
        | (CommandKind::UpsertMemo(_), WorkflowPropertiesModifiedEventAttributes(_))
        | (
            CommandKind::UpsertSearchAttributes(_),
            UpsertWorkflowSearchAttributesEventAttributes(_),
        )
        | (CommandKind::CompleteWorkflow(_), WorkflowExecutionCompletedEventAttributes(_))
        | (CommandKind::FailWorkflow(_), WorkflowExecutionFailedEventAttributes(_))
        | (CommandKind::CancelWorkflow, WorkflowExecutionCanceledEventAttributes(_))
        | (CommandKind::ContinueAsNew(_), WorkflowExecutionContinuedAsNewEventAttributes(_))
        | (
            CommandKind::CompleteUpdate { .. },
            WorkflowExecutionUpdateCompletedEventAttributes(_),
        ) => true,
        (
            CommandKind::AcceptUpdate {
                protocol_instance_id,
            },
            WorkflowExecutionUpdateAcceptedEventAttributes(a),
        ) => *protocol_instance_id == a.protocol_instance_id,
        (CommandKind::ScheduleActivity(schedule), ActivityTaskScheduledEventAttributes(a)) => {
            let name = a.activity_type.as_ref().map_or("", |t| t.name.as_str());
            schedule.activity_id == a.activity_id && schedule.activity_type == name
        }
        (
            CommandKind::StartChild(start),
            StartChildWorkflowExecutionInitiatedEventAttributes(a),
        ) => {
            let name = a.workflow_type.as_ref().map_or("", |t| t.name.as_str());
            start.workflow_id == a.workflow_id && start.workflow_type == name
        }
        (
            CommandKind::SignalExternal { name, .. },
            SignalExternalWorkflowExecutionInitiatedEventAttributes(a),
        ) => *name == a.signal_name,
        (
            CommandKind::CancelExternal { workflow_id, .. },
            RequestCancelExternalWorkflowExecutionInitiatedEventAttributes(a),
        ) => a
            .workflow_execution
            .as_ref()
            .is_some_and(|w| w.workflow_id == *workflow_id),
        (CommandKind::ScheduleNexus(schedule), NexusOperationScheduledEventAttributes(a)) => {
            schedule.service == a.service && schedule.operation == a.operation
        }
        _ => false,
    };
    match same {
        true => Ok(()),
        false => Err(other_command(&Request::Engine(kind.clone()))),
    }
}

fn other_command(request: &Request) -> Divergence {
    Divergence::broken(format!(
        "the run asked for something else: {}",
        described(request)
    ))
}

fn described(request: &Request) -> String {
    let kind = match request {
        Request::Engine(kind) => kind,
        Request::CancelTimer { .. } => return "the cancellation of a timer".to_owned(),
        Request::CancelActivity { .. } => return "the cancellation of an activity".to_owned(),
        Request::CancelChild { workflow_id, .. } => {
            return format!("the cancellation of the child {workflow_id:?}");
        }
        Request::CancelNexus { .. } => return "the cancellation of a Nexus operation".to_owned(),
        Request::Marker(marker) => return format!("a marker {:?}", marker.marker_name),
        Request::UpsertVersions(version) => return format!("the mark of the version {version:?}"),
    };
    match kind {
        CommandKind::StartTimer { duration, .. } => format!("a timer of {duration}"),
        CommandKind::ScheduleActivity(schedule) => format!(
            "the activity {:?} with the id {:?}",
            schedule.activity_type, schedule.activity_id
        ),
        CommandKind::StartChild(start) => format!(
            "the child {:?} with the id {:?}",
            start.workflow_type, start.workflow_id
        ),
        CommandKind::SignalExternal { name, .. } => {
            format!("the signal {name:?} to another workflow")
        }
        CommandKind::CancelExternal { workflow_id, .. } => {
            format!("the cancellation of the workflow {workflow_id:?}")
        }
        CommandKind::ScheduleNexus(schedule) => format!(
            "the Nexus operation {:?} of {:?}",
            schedule.operation, schedule.service
        ),
        CommandKind::UpsertSearchAttributes(_) => "an upsert of search attributes".to_owned(),
        CommandKind::UpsertMemo(_) => "an upsert of the memo".to_owned(),
        CommandKind::AcceptUpdate { .. } => "the acceptance of an update".to_owned(),
        CommandKind::CompleteUpdate { .. } => "the completion of an update".to_owned(),
        CommandKind::CompleteWorkflow(_) => "the completion of the workflow".to_owned(),
        CommandKind::FailWorkflow(_) => "the failure of the workflow".to_owned(),
        CommandKind::CancelWorkflow => "the workflow's end as cancelled".to_owned(),
        CommandKind::ContinueAsNew(_) => "to continue as new".to_owned(),
        other => format!("{other:?}"),
    }
}
