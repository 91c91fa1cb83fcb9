//! A worker's requests to the server, as commands of a completion, and beside the events that record them.

use std::collections::HashMap;

use prost::Message;
use temporalio_protos::temporal::api::history::v1 as history;

use super::super::super::message;
use super::super::replay::Divergence;
use super::Machines;
use crate::engine::command::{Command, CommandKind};
use crate::engine::{VERSION_ATTRIBUTE, command_size_bytes};
use crate::history::{Commanded, Meaning, RunEnd};
use crate::payload::{payload_to_proto, value_to_proto};
use crate::value::Value;
use crate::worker::completion::command_to_proto;

/// The worker's own requests, beside the engine's.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    Engine(CommandKind),
    CancelTimer {
        started_event_id: i64,
    },
    CancelActivity {
        scheduled_event_id: i64,
    },
    CancelChild {
        workflow_id: String,
        run_id: String,
        reason: String,
    },
    CancelNexus {
        scheduled_event_id: i64,
    },
    Marker(Box<history::MarkerRecordedEventAttributes>),
    UpsertVersions(String),
}

#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) machine: usize,
    pub(crate) request: Request,
    pub(crate) summary: Option<String>,
}

impl Request {
    /// No event records the rejection of an update.
    pub(crate) fn is_rejection(&self) -> bool {
        matches!(self, Request::Engine(CommandKind::RejectUpdate { .. }))
    }

    /// Usually more than the request takes.
    pub(crate) fn size_about(&self) -> usize {
        match self {
            Request::Engine(kind) => command_size_bytes(kind).unwrap_or_default(),
            Request::Marker(marker) => marker.encoded_len(),
            Request::CancelTimer { .. }
            | Request::CancelActivity { .. }
            | Request::CancelChild { .. }
            | Request::CancelNexus { .. }
            | Request::UpsertVersions(_) => 0,
        }
    }

    /// The update that it answers.
    pub(crate) fn answered_update(&self) -> Option<&str> {
        let Request::Engine(
            CommandKind::AcceptUpdate {
                protocol_instance_id,
            }
            | CommandKind::RejectUpdate {
                protocol_instance_id,
                ..
            },
        ) = self
        else {
            return None;
        };
        Some(protocol_instance_id)
    }
}

impl Sent {
    pub(crate) fn size(&self, namespace: &str) -> usize {
        match &self.request {
            Request::Engine(kind) => {
                let command = Command {
                    summary: self.summary.clone(),
                    ..Command::from(kind.clone())
                };
                let command = command_to_proto(command, namespace);
                command.map_or(0, |command| command.encoded_len())
            }
            Request::Marker(marker) => marker.encoded_len(),
            Request::CancelTimer { .. }
            | Request::CancelActivity { .. }
            | Request::CancelChild { .. }
            | Request::CancelNexus { .. }
            | Request::UpsertVersions(_) => 0,
        }
    }
}

impl Machines {
    /// In the server's form. `run_id` is the run's own.
    pub(crate) fn command(&self, sent: Sent, run_id: &str) -> Result<message::Command, Divergence> {
        use message::CommandKind as Kind;
        let kind = match sent.request {
            Request::Engine(kind) => engine_command(kind, run_id)?,
            Request::CancelTimer { started_event_id } => Kind::CancelTimer { started_event_id },
            Request::CancelActivity { scheduled_event_id } => {
                Kind::CancelActivity { scheduled_event_id }
            }
            Request::CancelChild {
                workflow_id,
                run_id,
                reason,
            } => Kind::CancelWorkflow {
                workflow_id,
                run_id,
                reason,
                child_workflow_only: true,
            },
            Request::CancelNexus { scheduled_event_id } => Kind::CancelNexus { scheduled_event_id },
            Request::Marker(marker) => Kind::RecordMarker(marker),
            Request::UpsertVersions(_) => {
                let versions = self.versions.iter().cloned().map(Value::from);
                let versions = Value::list(versions.collect::<Vec<_>>());
                let mut payload = value_to_proto(&versions)
                    .map_err(|error| Divergence::broken(error.to_string()))?;
                let of_type = b"KeywordList".to_vec();
                payload.metadata.insert("type".to_owned(), of_type);
                let fields = HashMap::from([(VERSION_ATTRIBUTE.to_owned(), payload)]);
                Kind::UpsertSearchAttributes(fields)
            }
        };
        Ok(message::Command {
            kind,
            summary: sent.summary,
        })
    }
}

fn engine_command(kind: CommandKind, run_id: &str) -> Result<message::CommandKind, Divergence> {
    use message::CommandKind as Kind;
    Ok(match kind {
        CommandKind::StartTimer { seq, duration } => Kind::StartTimer {
            timer_id: seq.to_string(),
            duration,
        },
        CommandKind::ScheduleActivity(schedule) => Kind::ScheduleActivity(schedule),
        CommandKind::StartChild(start) => Kind::StartChild(start),
        CommandKind::SignalExternal {
            target, name, args, ..
        } => Kind::SignalWorkflow { target, name, args },
        CommandKind::CancelExternal {
            workflow_id,
            run_id: target,
            reason,
            ..
        } => Kind::CancelWorkflow {
            workflow_id,
            run_id: target,
            // Core adds this, but not for children that it cancels by itself (sdk-core 0.10.1,
            // machines/cancel_external_state_machine.rs).
            reason: format!(
                "Cancel requested by workflow with run id {run_id} with reason: {reason}"
            ),
            child_workflow_only: false,
        },
        CommandKind::ScheduleNexus(schedule) => Kind::ScheduleNexus(schedule),
        CommandKind::UpsertSearchAttributes(attributes) => {
            let fields = attributes.into_iter();
            let fields = fields.map(|(name, payload)| (name, payload_to_proto(payload)));
            Kind::UpsertSearchAttributes(fields.collect())
        }
        CommandKind::UpsertMemo(memo) => Kind::UpsertMemo(memo),
        CommandKind::AcceptUpdate {
            protocol_instance_id,
        } => Kind::AcceptUpdate {
            protocol_instance_id,
        },
        CommandKind::RejectUpdate {
            protocol_instance_id,
            failure,
        } => Kind::RejectUpdate {
            protocol_instance_id,
            failure,
        },
        CommandKind::CompleteUpdate {
            protocol_instance_id,
            result,
        } => Kind::CompleteUpdate {
            protocol_instance_id,
            result,
        },
        CommandKind::CompleteWorkflow(result) => Kind::Complete(result),
        CommandKind::FailWorkflow(failure) => Kind::Fail(failure),
        CommandKind::CancelWorkflow => Kind::Cancel,
        CommandKind::ContinueAsNew(next) => Kind::ContinueAsNew(next),
        CommandKind::CancelTimer { .. }
        | CommandKind::ScheduleLocalActivity(_)
        | CommandKind::RequestCancelActivity { .. }
        | CommandKind::RequestCancelLocalActivity { .. }
        | CommandKind::CancelChild { .. }
        | CommandKind::CancelNexus { .. }
        | CommandKind::MarkVersion(_)
        | CommandKind::RespondToQuery { .. }
        | CommandKind::UseFlag(_)
        | CommandKind::Log { .. } => {
            return Err(Divergence::broken(format!(
                "no command of the server's: {kind:?}"
            )));
        }
    })
}

/// Whether an event records a request.
pub(super) fn fits(request: &Request, event: &Meaning<'_>) -> Result<(), Divergence> {
    let same = match event {
        Meaning::Commanded(commanded) => is_recorded_by(request, commanded),
        Meaning::RunEnded(end) => match (request, end) {
            (Request::Engine(CommandKind::CompleteWorkflow(_)), RunEnd::Completed(_))
            | (Request::Engine(CommandKind::FailWorkflow(_)), RunEnd::Failed(_))
            | (Request::Engine(CommandKind::CancelWorkflow), RunEnd::Cancelled(_))
            | (Request::Engine(CommandKind::ContinueAsNew(_)), RunEnd::ContinuedAsNew(_)) => true,
            (
                _,
                RunEnd::Completed(_)
                | RunEnd::Failed(_)
                | RunEnd::Cancelled(_)
                | RunEnd::ContinuedAsNew(_)
                | RunEnd::TimedOut(_)
                | RunEnd::Terminated(_),
            ) => false,
        },
        Meaning::RunStarted(_)
        | Meaning::Task(_)
        | Meaning::Signaled(_)
        | Meaning::CancelRequested(_)
        | Meaning::Progress(_)
        | Meaning::Unobserved => false,
    };
    match same {
        true => Ok(()),
        false => Err(Divergence::broken(format!(
            "the run asked for something else: {}",
            described(request)
        ))),
    }
}

fn is_recorded_by(request: &Request, event: &Commanded<'_>) -> bool {
    use Request::Engine;
    match event {
        Commanded::Timer(_) => matches!(request, Engine(CommandKind::StartTimer { .. })),
        Commanded::CancelTimer { of } => {
            matches!(request, Request::CancelTimer { started_event_id } if started_event_id == of)
        }
        Commanded::Activity(a) => {
            let name = a.activity_type.as_ref().map_or("", |t| t.name.as_str());
            matches!(request, Engine(CommandKind::ScheduleActivity(schedule))
                if schedule.activity_id == a.activity_id && schedule.activity_type == name)
        }
        Commanded::CancelActivity { of } => {
            matches!(request, Request::CancelActivity { scheduled_event_id } if scheduled_event_id == of)
        }
        Commanded::Child(a) => {
            let name = a.workflow_type.as_ref().map_or("", |t| t.name.as_str());
            matches!(request, Engine(CommandKind::StartChild(start))
                if start.workflow_id == a.workflow_id && start.workflow_type == name)
        }
        Commanded::Signal(a) => {
            matches!(request, Engine(CommandKind::SignalExternal { name, .. }) if *name == a.signal_name)
        }
        Commanded::Cancellation(a) => {
            let to = a.workflow_execution.as_ref();
            let to = to.map(|to| to.workflow_id.as_str());
            matches!(request, Request::CancelChild { workflow_id, .. }
                | Engine(CommandKind::CancelExternal { workflow_id, .. }) if Some(workflow_id.as_str()) == to)
        }
        Commanded::Nexus(a) => {
            matches!(request, Engine(CommandKind::ScheduleNexus(schedule))
                if schedule.service == a.service && schedule.operation == a.operation)
        }
        Commanded::CancelNexus { of } => {
            matches!(request, Request::CancelNexus { scheduled_event_id } if scheduled_event_id == of)
        }
        Commanded::Marker(a) => {
            matches!(request, Request::Marker(marker) if marker.marker_name == a.marker_name)
        }
        Commanded::SearchAttributes => matches!(
            request,
            Request::UpsertVersions(_) | Engine(CommandKind::UpsertSearchAttributes(_))
        ),
        Commanded::Memo => matches!(request, Engine(CommandKind::UpsertMemo(_))),
        Commanded::UpdateAccepted(a) => {
            matches!(request, Engine(CommandKind::AcceptUpdate { protocol_instance_id })
                if *protocol_instance_id == a.protocol_instance_id)
        }
        Commanded::UpdateCompleted { .. } => {
            matches!(request, Engine(CommandKind::CompleteUpdate { .. }))
        }
    }
}

fn described(request: &Request) -> String {
    match request {
        Request::Engine(kind) => engine_described(kind),
        Request::CancelTimer { .. } => "the cancellation of a timer".to_owned(),
        Request::CancelActivity { .. } => "the cancellation of an activity".to_owned(),
        Request::CancelChild { workflow_id, .. } => {
            format!("the cancellation of the child {workflow_id:?}")
        }
        Request::CancelNexus { .. } => "the cancellation of a Nexus operation".to_owned(),
        Request::Marker(marker) => format!("a marker {:?}", marker.marker_name),
        Request::UpsertVersions(version) => format!("the mark of the version {version:?}"),
    }
}

fn engine_described(kind: &CommandKind) -> String {
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
        CommandKind::CancelTimer { .. }
        | CommandKind::ScheduleLocalActivity(_)
        | CommandKind::RequestCancelActivity { .. }
        | CommandKind::RequestCancelLocalActivity { .. }
        | CommandKind::CancelChild { .. }
        | CommandKind::CancelNexus { .. }
        | CommandKind::MarkVersion(_)
        | CommandKind::RespondToQuery { .. }
        | CommandKind::RejectUpdate { .. }
        | CommandKind::UseFlag(_)
        | CommandKind::Log { .. } => format!("{kind:?}"),
    }
}
