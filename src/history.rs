//! What an event of a history means: the operation that it belongs to, the event that started the operation, and how it
//! ended. The simulator, replays, timelines and the client all read events through this module.

use temporalio_protos::constants::{LOCAL_ACTIVITY_MARKER_NAME, PATCH_MARKER_NAME};
use temporalio_protos::coresdk::common::{
    decode_change_marker_details, extract_local_activity_marker_data,
};
use temporalio_protos::coresdk::external_data::LocalActivityMarkerData;
use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1 as enums;
use temporalio_protos::temporal::api::failure::v1::Failure;
use temporalio_protos::temporal::api::history::v1 as history;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Meaning<'a> {
    RunStarted(&'a history::WorkflowExecutionStartedEventAttributes),
    RunEnded(RunEnd<'a>),
    Task(TaskStage<'a>),
    Signaled(&'a history::WorkflowExecutionSignaledEventAttributes),
    CancelRequested(&'a history::WorkflowExecutionCancelRequestedEventAttributes),
    /// A workflow task's command, recorded.
    Commanded(Commanded<'a>),
    /// Progress of an operation that a command started.
    Progress(Progress<'a>),
    /// Nothing that a workflow's code can observe.
    Unobserved,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum RunEnd<'a> {
    Completed(&'a history::WorkflowExecutionCompletedEventAttributes),
    Failed(&'a history::WorkflowExecutionFailedEventAttributes),
    Cancelled(&'a history::WorkflowExecutionCanceledEventAttributes),
    ContinuedAsNew(&'a history::WorkflowExecutionContinuedAsNewEventAttributes),
    TimedOut(&'a history::WorkflowExecutionTimedOutEventAttributes),
    Terminated(&'a history::WorkflowExecutionTerminatedEventAttributes),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum TaskStage<'a> {
    Scheduled,
    Started(&'a history::WorkflowTaskStartedEventAttributes),
    Completed(&'a history::WorkflowTaskCompletedEventAttributes),
    Failed(&'a history::WorkflowTaskFailedEventAttributes),
    TimedOut,
}

/// The command that an event records. Commands that close the run are [`RunEnd`]s.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Commanded<'a> {
    Timer(&'a history::TimerStartedEventAttributes),
    /// `of`: the event of the command that started the cancelled operation.
    CancelTimer {
        of: i64,
    },
    Activity(&'a history::ActivityTaskScheduledEventAttributes),
    CancelActivity {
        of: i64,
    },
    Child(&'a history::StartChildWorkflowExecutionInitiatedEventAttributes),
    Signal(&'a history::SignalExternalWorkflowExecutionInitiatedEventAttributes),
    Cancellation(&'a history::RequestCancelExternalWorkflowExecutionInitiatedEventAttributes),
    Nexus(&'a history::NexusOperationScheduledEventAttributes),
    CancelNexus {
        of: i64,
    },
    Marker(&'a history::MarkerRecordedEventAttributes),
    SearchAttributes,
    Memo,
    UpdateAccepted(&'a history::WorkflowExecutionUpdateAcceptedEventAttributes),
    /// `of`: the event of its acceptance.
    UpdateCompleted {
        of: i64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Timer,
    Activity,
    Child,
    /// A signal to another workflow.
    Signal,
    /// A cancellation of another workflow.
    Cancellation,
    Nexus,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress<'a> {
    pub(crate) operation: Operation,
    /// The event of the command that started the operation.
    pub(crate) of: i64,
    /// The timer's id or the child's workflow id, if the event has it.
    pub(crate) id: Option<&'a str>,
    pub(crate) stage: Stage<'a>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Stage<'a> {
    /// `id`: the child's run id or the token of the Nexus operation. `attempt` is 0 if there is only one.
    Started {
        attempt: i32,
        id: &'a str,
    },
    Ended(End<'a>),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum End<'a> {
    /// Timers, signals and cancellations complete without a result.
    Completed(Option<&'a common::Payload>),
    Failed(Failed<'a>),
    /// A child's event has no failure.
    TimedOut(Failed<'a>),
    Cancelled(Cancelled<'a>),
    Terminated,
    Refused(Refusal),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed<'a> {
    pub(crate) failure: Option<&'a Failure>,
    pub(crate) retry_state: enums::RetryState,
    pub(crate) identity: &'a str,
    pub(crate) started_event_id: i64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Cancelled<'a> {
    /// Only for a Nexus operation.
    pub(crate) failure: Option<&'a Failure>,
    /// Only for an activity: the details that its last attempt reported.
    pub(crate) details: Option<&'a common::Payloads>,
    pub(crate) identity: &'a str,
    pub(crate) started_event_id: i64,
}

/// The server could not do what the command requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Child(enums::StartChildWorkflowExecutionFailedCause),
    Signal(enums::SignalExternalWorkflowExecutionFailedCause),
    Cancellation(enums::CancelExternalWorkflowExecutionFailedCause),
}

/// What Temporal's core library records with a marker.
#[derive(Debug, Clone)]
pub(crate) enum Marker {
    /// The end of a local activity; `None` if its data cannot be read.
    LocalActivity(Option<Box<LocalActivityMarkerData>>),
    /// The mark of a version, which core calls a patch; `None` if it cannot be read.
    Version(Option<String>),
    Other,
}

impl Marker {
    pub(crate) fn of(marker: &history::MarkerRecordedEventAttributes) -> Self {
        match marker.marker_name.as_str() {
            LOCAL_ACTIVITY_MARKER_NAME => {
                let data = extract_local_activity_marker_data(&marker.details);
                Marker::LocalActivity(data.map(Box::new))
            }
            PATCH_MARKER_NAME => {
                let version = decode_change_marker_details(&marker.details);
                Marker::Version(version.map(|(version, _)| version))
            }
            _ => Marker::Other,
        }
    }
}

impl<'a> Meaning<'a> {
    pub(crate) fn of(event: &'a HistoryEvent) -> Self {
        match &event.attributes {
            Some(attributes) => Meaning::of_attributes(attributes),
            None => Meaning::Unobserved,
        }
    }

    pub(crate) fn of_attributes(attributes: &'a Attributes) -> Self {
        use Attributes::*;
        if let Some(commanded) = commanded(attributes) {
            return Meaning::Commanded(commanded);
        }
        if let Some(progress) = progress(attributes) {
            return Meaning::Progress(progress);
        }
        match attributes {
            WorkflowExecutionStartedEventAttributes(a) => Meaning::RunStarted(a),
            WorkflowExecutionCompletedEventAttributes(a) => Meaning::RunEnded(RunEnd::Completed(a)),
            WorkflowExecutionFailedEventAttributes(a) => Meaning::RunEnded(RunEnd::Failed(a)),
            WorkflowExecutionCanceledEventAttributes(a) => Meaning::RunEnded(RunEnd::Cancelled(a)),
            WorkflowExecutionContinuedAsNewEventAttributes(a) => {
                Meaning::RunEnded(RunEnd::ContinuedAsNew(a))
            }
            WorkflowExecutionTimedOutEventAttributes(a) => Meaning::RunEnded(RunEnd::TimedOut(a)),
            WorkflowExecutionTerminatedEventAttributes(a) => {
                Meaning::RunEnded(RunEnd::Terminated(a))
            }
            WorkflowTaskScheduledEventAttributes(_) => Meaning::Task(TaskStage::Scheduled),
            WorkflowTaskStartedEventAttributes(a) => Meaning::Task(TaskStage::Started(a)),
            WorkflowTaskCompletedEventAttributes(a) => Meaning::Task(TaskStage::Completed(a)),
            WorkflowTaskFailedEventAttributes(a) => Meaning::Task(TaskStage::Failed(a)),
            WorkflowTaskTimedOutEventAttributes(_) => Meaning::Task(TaskStage::TimedOut),
            WorkflowExecutionSignaledEventAttributes(a) => Meaning::Signaled(a),
            WorkflowExecutionCancelRequestedEventAttributes(a) => Meaning::CancelRequested(a),
            // New kinds of events of a later server are unobserved as well.
            _ => Meaning::Unobserved,
        }
    }

    /// Whether the event records a command of a workflow task.
    pub(crate) fn is_of_command(&self) -> bool {
        match self {
            Meaning::Commanded(_) => true,
            Meaning::RunEnded(end) => end.is_of_command(),
            Meaning::RunStarted(_)
            | Meaning::Task(_)
            | Meaning::Signaled(_)
            | Meaning::CancelRequested(_)
            | Meaning::Progress(_)
            | Meaning::Unobserved => false,
        }
    }
}

impl RunEnd<'_> {
    /// Whether a command of the run closed it, not the server or a client.
    pub(crate) fn is_of_command(&self) -> bool {
        match self {
            RunEnd::Completed(_)
            | RunEnd::Failed(_)
            | RunEnd::Cancelled(_)
            | RunEnd::ContinuedAsNew(_) => true,
            RunEnd::TimedOut(_) | RunEnd::Terminated(_) => false,
        }
    }
}

fn commanded(attributes: &Attributes) -> Option<Commanded<'_>> {
    use Attributes::*;
    Some(match attributes {
        TimerStartedEventAttributes(a) => Commanded::Timer(a),
        TimerCanceledEventAttributes(a) => Commanded::CancelTimer {
            of: a.started_event_id,
        },
        ActivityTaskScheduledEventAttributes(a) => Commanded::Activity(a),
        ActivityTaskCancelRequestedEventAttributes(a) => Commanded::CancelActivity {
            of: a.scheduled_event_id,
        },
        StartChildWorkflowExecutionInitiatedEventAttributes(a) => Commanded::Child(a),
        SignalExternalWorkflowExecutionInitiatedEventAttributes(a) => Commanded::Signal(a),
        RequestCancelExternalWorkflowExecutionInitiatedEventAttributes(a) => {
            Commanded::Cancellation(a)
        }
        NexusOperationScheduledEventAttributes(a) => Commanded::Nexus(a),
        NexusOperationCancelRequestedEventAttributes(a) => Commanded::CancelNexus {
            of: a.scheduled_event_id,
        },
        MarkerRecordedEventAttributes(a) => Commanded::Marker(a),
        UpsertWorkflowSearchAttributesEventAttributes(_) => Commanded::SearchAttributes,
        WorkflowPropertiesModifiedEventAttributes(_) => Commanded::Memo,
        WorkflowExecutionUpdateAcceptedEventAttributes(a) => Commanded::UpdateAccepted(a),
        WorkflowExecutionUpdateCompletedEventAttributes(a) => Commanded::UpdateCompleted {
            of: a.accepted_event_id,
        },
        _ => return None,
    })
}

fn progress(attributes: &Attributes) -> Option<Progress<'_>> {
    use Attributes::*;
    let (operation, of, id, stage) = match attributes {
        TimerFiredEventAttributes(a) => (
            Operation::Timer,
            a.started_event_id,
            Some(a.timer_id.as_str()),
            Stage::Ended(End::Completed(None)),
        ),
        ExternalWorkflowExecutionSignaledEventAttributes(a) => (
            Operation::Signal,
            a.initiated_event_id,
            None,
            Stage::Ended(End::Completed(None)),
        ),
        SignalExternalWorkflowExecutionFailedEventAttributes(a) => (
            Operation::Signal,
            a.initiated_event_id,
            None,
            Stage::Ended(End::Refused(Refusal::Signal(a.cause()))),
        ),
        ExternalWorkflowExecutionCancelRequestedEventAttributes(a) => (
            Operation::Cancellation,
            a.initiated_event_id,
            None,
            Stage::Ended(End::Completed(None)),
        ),
        RequestCancelExternalWorkflowExecutionFailedEventAttributes(a) => (
            Operation::Cancellation,
            a.initiated_event_id,
            None,
            Stage::Ended(End::Refused(Refusal::Cancellation(a.cause()))),
        ),
        other => {
            return activity(other)
                .or_else(|| child(other))
                .or_else(|| nexus(other));
        }
    };
    Some(Progress {
        operation,
        of,
        id,
        stage,
    })
}

fn activity(attributes: &Attributes) -> Option<Progress<'_>> {
    use Attributes::*;
    let (of, stage) = match attributes {
        ActivityTaskStartedEventAttributes(a) => {
            let attempt = a.attempt;
            (a.scheduled_event_id, Stage::Started { attempt, id: "" })
        }
        ActivityTaskCompletedEventAttributes(a) => (
            a.scheduled_event_id,
            Stage::Ended(End::Completed(first(a.result.as_ref()))),
        ),
        ActivityTaskFailedEventAttributes(a) => (
            a.scheduled_event_id,
            Stage::Ended(End::Failed(Failed {
                failure: a.failure.as_ref(),
                retry_state: a.retry_state(),
                identity: &a.identity,
                started_event_id: a.started_event_id,
            })),
        ),
        ActivityTaskTimedOutEventAttributes(a) => (
            a.scheduled_event_id,
            Stage::Ended(End::TimedOut(Failed {
                failure: a.failure.as_ref(),
                retry_state: a.retry_state(),
                identity: "",
                started_event_id: a.started_event_id,
            })),
        ),
        ActivityTaskCanceledEventAttributes(a) => (
            a.scheduled_event_id,
            Stage::Ended(End::Cancelled(Cancelled {
                failure: None,
                details: a.details.as_ref(),
                identity: &a.identity,
                started_event_id: a.started_event_id,
            })),
        ),
        _ => return None,
    };
    Some(Progress {
        operation: Operation::Activity,
        of,
        id: None,
        stage,
    })
}

fn child(attributes: &Attributes) -> Option<Progress<'_>> {
    use Attributes::*;
    let failed = |failure, retry_state, started_event_id| Failed {
        failure,
        retry_state,
        identity: "",
        started_event_id,
    };
    let (of, id, stage) = match attributes {
        StartChildWorkflowExecutionFailedEventAttributes(a) => (
            a.initiated_event_id,
            Some(a.workflow_id.as_str()),
            Stage::Ended(End::Refused(Refusal::Child(a.cause()))),
        ),
        ChildWorkflowExecutionStartedEventAttributes(a) => {
            let run_id = a.workflow_execution.as_ref().map_or("", |w| &w.run_id);
            (
                a.initiated_event_id,
                workflow_id(a.workflow_execution.as_ref()),
                Stage::Started {
                    attempt: 0,
                    id: run_id,
                },
            )
        }
        ChildWorkflowExecutionCompletedEventAttributes(a) => (
            a.initiated_event_id,
            workflow_id(a.workflow_execution.as_ref()),
            Stage::Ended(End::Completed(first(a.result.as_ref()))),
        ),
        ChildWorkflowExecutionFailedEventAttributes(a) => (
            a.initiated_event_id,
            workflow_id(a.workflow_execution.as_ref()),
            Stage::Ended(End::Failed(failed(
                a.failure.as_ref(),
                a.retry_state(),
                a.started_event_id,
            ))),
        ),
        ChildWorkflowExecutionTimedOutEventAttributes(a) => (
            a.initiated_event_id,
            workflow_id(a.workflow_execution.as_ref()),
            Stage::Ended(End::TimedOut(failed(
                None,
                a.retry_state(),
                a.started_event_id,
            ))),
        ),
        ChildWorkflowExecutionCanceledEventAttributes(a) => (
            a.initiated_event_id,
            workflow_id(a.workflow_execution.as_ref()),
            Stage::Ended(End::Cancelled(Cancelled {
                failure: None,
                details: a.details.as_ref(),
                identity: "",
                started_event_id: a.started_event_id,
            })),
        ),
        ChildWorkflowExecutionTerminatedEventAttributes(a) => (
            a.initiated_event_id,
            workflow_id(a.workflow_execution.as_ref()),
            Stage::Ended(End::Terminated),
        ),
        _ => return None,
    };
    Some(Progress {
        operation: Operation::Child,
        of,
        id,
        stage,
    })
}

fn nexus(attributes: &Attributes) -> Option<Progress<'_>> {
    use Attributes::*;
    let failed = |failure| Failed {
        failure,
        retry_state: enums::RetryState::Unspecified,
        identity: "",
        started_event_id: 0,
    };
    let (of, stage) = match attributes {
        NexusOperationStartedEventAttributes(a) => (
            a.scheduled_event_id,
            Stage::Started {
                attempt: 0,
                id: &a.operation_token,
            },
        ),
        NexusOperationCompletedEventAttributes(a) => (
            a.scheduled_event_id,
            Stage::Ended(End::Completed(a.result.as_ref())),
        ),
        NexusOperationFailedEventAttributes(a) => (
            a.scheduled_event_id,
            Stage::Ended(End::Failed(failed(a.failure.as_ref()))),
        ),
        NexusOperationTimedOutEventAttributes(a) => (
            a.scheduled_event_id,
            Stage::Ended(End::TimedOut(failed(a.failure.as_ref()))),
        ),
        NexusOperationCanceledEventAttributes(a) => (
            a.scheduled_event_id,
            Stage::Ended(End::Cancelled(Cancelled {
                failure: a.failure.as_ref(),
                details: None,
                identity: "",
                started_event_id: 0,
            })),
        ),
        _ => return None,
    };
    Some(Progress {
        operation: Operation::Nexus,
        of,
        id: None,
        stage,
    })
}

/// The event that scheduled the activity which an event ends, and the event of its last attempt's start.
pub(crate) fn attempt_start_mut(attributes: &mut Attributes) -> Option<(i64, &mut i64)> {
    use Attributes::*;
    Some(match attributes {
        ActivityTaskCompletedEventAttributes(a) => (a.scheduled_event_id, &mut a.started_event_id),
        ActivityTaskFailedEventAttributes(a) => (a.scheduled_event_id, &mut a.started_event_id),
        ActivityTaskTimedOutEventAttributes(a) => (a.scheduled_event_id, &mut a.started_event_id),
        ActivityTaskCanceledEventAttributes(a) => (a.scheduled_event_id, &mut a.started_event_id),
        _ => return None,
    })
}

fn first(payloads: Option<&common::Payloads>) -> Option<&common::Payload> {
    payloads?.payloads.first()
}

fn workflow_id(execution: Option<&common::WorkflowExecution>) -> Option<&str> {
    execution.map(|execution| execution.workflow_id.as_str())
}
