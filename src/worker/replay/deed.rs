//! What runs do, in words: effects in a history, and effects that the engine requests.

use std::collections::BTreeMap;

use temporalio_protos::temporal::api::common::v1::{WorkflowExecution, WorkflowType};
use temporalio_protos::temporal::api::history::v1::{HistoryEvent, MarkerRecordedEventAttributes};

use crate::engine::command::{CommandKind, SignalTarget};
use crate::history::{Commanded, Marker, Meaning, RunEnd};
use crate::payload::duration_from_proto;
use crate::words::{ActivityCancellationType, ChildCancellationType};

/// The verb of an effect, in the past and the present.
type Verb = (&'static str, &'static str);

const START: Verb = ("started", "starts");
const SCHEDULE: Verb = ("scheduled", "schedules");
const CANCEL: Verb = ("cancelled", "cancels");
const SEND: Verb = ("sent", "sends");
const SET: Verb = ("set", "sets");
const RUN: Verb = ("ran", "runs");
const MARK: Verb = ("marked", "marks");
const ACCEPT: Verb = ("accepted", "accepts");
const COMPLETE: Verb = ("completed", "completes");
const FAIL: Verb = ("failed", "fails");
const CONTINUE: Verb = ("continued", "continues");

/// An effect of a run: a command requests it and an event records it.
#[derive(Debug, Clone)]
pub(crate) struct Deed {
    verb: Verb,
    /// The sort of its object and the object's id, which a replay compares.
    sort: &'static str,
    id: String,
    object: String,
}

impl PartialEq for Deed {
    fn eq(&self, other: &Self) -> bool {
        // Core treats timers as interchangeable.
        let is_same = self.sort == "timer" || self.id == other.id;
        (self.verb, self.sort) == (other.verb, other.sort) && is_same
    }
}

impl Deed {
    fn new(
        verb: Verb,
        sort: &'static str,
        id: impl Into<String>,
        object: impl Into<String>,
    ) -> Self {
        Deed {
            verb,
            sort,
            id: id.into(),
            object: object.into(),
        }
    }

    pub(crate) fn past(&self) -> String {
        format!("{} {}", self.verb.0, self.object)
    }

    pub(crate) fn present(&self) -> String {
        format!("{} {}", self.verb.1, self.object)
    }

    /// Its name; the type is the rest of what is compared.
    pub(crate) fn id(&self) -> &str {
        self.id.lines().next().unwrap_or_default()
    }

    /// Whether its event is recorded when it is done, or among the first.
    pub(crate) fn is_recorded_later(&self) -> bool {
        self.sort == "local activity" || self.is_mark()
    }

    pub(crate) fn is_mark(&self) -> bool {
        self.sort == "version"
    }

    /// Whether this cancels the other: if both are requested together, neither is recorded.
    pub(crate) fn cancels(&self, other: &Deed) -> bool {
        self.verb == CANCEL
            && other.verb != CANCEL
            && (self.sort, &self.id) == (other.sort, &other.id)
    }

    fn cancelling(&self) -> Deed {
        Deed {
            verb: CANCEL,
            ..self.clone()
        }
    }
}

/// Requested effects, by their number or the number of their event, which is all that cancellations name.
#[derive(Debug, Default)]
pub(crate) struct Known(BTreeMap<i64, Deed>);

/// Whether no event records its cancellation.
fn is_abandoned(command: &CommandKind) -> bool {
    match command {
        CommandKind::ScheduleActivity(a) => {
            a.cancellation_type == ActivityCancellationType::Abandon
        }
        CommandKind::StartChild(c) => c.cancellation_type == ChildCancellationType::Abandon,
        CommandKind::ScheduleLocalActivity(_) => true,
        _ => false,
    }
}

impl Known {
    /// `None` if no event records it.
    pub(crate) fn asked(&mut self, command: &CommandKind) -> Option<Deed> {
        let (seq, deed) = match command {
            CommandKind::StartTimer { seq, duration } => (seq, timer(&seq.to_string(), *duration)),
            CommandKind::ScheduleActivity(a) => {
                (&a.seq, activity(&a.activity_id, &a.activity_type))
            }
            CommandKind::ScheduleLocalActivity(a) => {
                (&a.seq, local_activity(&a.activity_id, &a.activity_type))
            }
            CommandKind::StartChild(c) => (&c.seq, child(&c.workflow_id, &c.workflow_type)),
            CommandKind::ScheduleNexus(n) => (&n.seq, nexus(&n.endpoint, &n.service, &n.operation)),
            CommandKind::CancelTimer { seq }
            | CommandKind::RequestCancelActivity { seq }
            | CommandKind::RequestCancelLocalActivity { seq }
            | CommandKind::CancelChild { seq, .. }
            | CommandKind::CancelNexus { seq } => {
                return self.0.get(&i64::from(*seq)).map(Deed::cancelling);
            }
            other => return asked_once(other),
        };
        if !is_abandoned(command) {
            self.0.insert(i64::from(*seq), deed.clone());
        }
        Some(deed)
    }

    /// `None` if no command requests it.
    pub(crate) fn told(&mut self, event: &HistoryEvent) -> Option<Deed> {
        let deed = match Meaning::of(event) {
            Meaning::Commanded(commanded) => return self.commanded(event.event_id, commanded),
            Meaning::RunEnded(end) => run_ended(end)?,
            Meaning::RunStarted(_)
            | Meaning::Task(_)
            | Meaning::Signaled(_)
            | Meaning::CancelRequested(_)
            | Meaning::Progress(_)
            | Meaning::Unobserved => return None,
        };
        Some(deed)
    }

    fn commanded(&mut self, event_id: i64, commanded: Commanded<'_>) -> Option<Deed> {
        let deed = match commanded {
            Commanded::Timer(a) => {
                let duration = a.start_to_fire_timeout.map(duration_from_proto);
                timer(&a.timer_id, duration.unwrap_or_default())
            }
            Commanded::Activity(a) => {
                let name = a.activity_type.as_ref().map_or("", |t| t.name.as_str());
                activity(&a.activity_id, name)
            }
            Commanded::Child(a) => child(&a.workflow_id, type_name(a.workflow_type.as_ref())),
            Commanded::Nexus(a) => nexus(&a.endpoint, &a.service, &a.operation),
            Commanded::CancelTimer { of }
            | Commanded::CancelActivity { of }
            | Commanded::CancelNexus { of } => return self.cancelled(of),
            Commanded::Cancellation(a) => {
                let id = workflow_id(a.workflow_execution.as_ref());
                let started = self.0.values().find(|d| d.sort == "child" && d.id() == id);
                return Some(match started.filter(|_| a.child_workflow_only) {
                    Some(child) => child.cancelling(),
                    None => external_cancellation(id),
                });
            }
            Commanded::Marker(a) => return local_activity_of(a),
            Commanded::Signal(a) => {
                let id = workflow_id(a.workflow_execution.as_ref());
                return Some(signal(id, &a.signal_name));
            }
            Commanded::SearchAttributes => return Some(search_attributes()),
            Commanded::Memo => return Some(memo()),
            Commanded::UpdateAccepted(a) => return Some(update(ACCEPT, &a.protocol_instance_id)),
            Commanded::UpdateCompleted { .. } => return Some(update(COMPLETE, "")),
        };
        self.0.insert(event_id, deed.clone());
        Some(deed)
    }

    fn cancelled(&self, event_id: i64) -> Option<Deed> {
        self.0.get(&event_id).map(Deed::cancelling)
    }
}

fn asked_once(command: &CommandKind) -> Option<Deed> {
    Some(match command {
        CommandKind::SignalExternal { target, name, .. } => match target {
            SignalTarget::Workflow { workflow_id, .. } | SignalTarget::Child { workflow_id } => {
                signal(workflow_id, name)
            }
        },
        CommandKind::CancelExternal { workflow_id, .. } => external_cancellation(workflow_id),
        CommandKind::UpsertSearchAttributes(_) => search_attributes(),
        CommandKind::UpsertMemo(_) => memo(),
        CommandKind::MarkVersion(name) => version(name),
        CommandKind::AcceptUpdate {
            protocol_instance_id,
        } => update(ACCEPT, protocol_instance_id),
        CommandKind::CompleteUpdate { .. } => update(COMPLETE, ""),
        CommandKind::CompleteWorkflow(_) => ended(COMPLETE, ""),
        CommandKind::FailWorkflow(failure) => ended(FAIL, &failure.message),
        CommandKind::CancelWorkflow => ended(CANCEL, ""),
        CommandKind::ContinueAsNew(next) => continued(&next.workflow_type),
        _ => return None,
    })
}

fn run_ended(end: RunEnd<'_>) -> Option<Deed> {
    Some(match end {
        RunEnd::Completed(_) => ended(COMPLETE, ""),
        RunEnd::Failed(a) => ended(FAIL, a.failure.as_ref().map_or("", |f| f.message.as_str())),
        RunEnd::Cancelled(_) => ended(CANCEL, ""),
        RunEnd::ContinuedAsNew(a) => continued(type_name(a.workflow_type.as_ref())),
        RunEnd::TimedOut(_) | RunEnd::Terminated(_) => return None,
    })
}

fn local_activity_of(marker: &MarkerRecordedEventAttributes) -> Option<Deed> {
    match Marker::of(marker) {
        Marker::LocalActivity(data) => {
            let data = data.unwrap_or_default();
            Some(local_activity(&data.activity_id, &data.activity_type))
        }
        Marker::Version(_) | Marker::Other => None,
    }
}

fn timer(id: &str, duration: crate::value::Duration) -> Deed {
    Deed::new(START, "timer", id, format!("a timer of {duration}"))
}

fn activity(id: &str, name: &str) -> Deed {
    let compared = format!("{id}\n{name}");
    Deed::new(SCHEDULE, "activity", compared, format!("activity `{name}`"))
}

fn local_activity(id: &str, name: &str) -> Deed {
    let compared = format!("{id}\n{name}");
    Deed::new(
        RUN,
        "local activity",
        compared,
        format!("local activity `{name}`"),
    )
}

fn child(workflow_id: &str, workflow_type: &str) -> Deed {
    let object = format!("child `{workflow_type}` with the id `{workflow_id}`");
    let id = format!("{workflow_id}\n{workflow_type}");
    Deed::new(START, "child", id, object)
}

fn nexus(endpoint: &str, service: &str, operation: &str) -> Deed {
    let name = format!("{service}.{operation}");
    let id = format!("{name}\n{endpoint}");
    Deed::new(SCHEDULE, "nexus", id, format!("Nexus operation `{name}`"))
}

fn signal(workflow_id: &str, name: &str) -> Deed {
    let id = format!("{workflow_id}\n{name}");
    let object = format!("signal `{name}` to workflow `{workflow_id}`");
    Deed::new(SEND, "signal", id, object)
}

fn external_cancellation(workflow_id: &str) -> Deed {
    Deed::new(
        CANCEL,
        "workflow",
        workflow_id,
        format!("workflow `{workflow_id}`"),
    )
}

fn search_attributes() -> Deed {
    Deed::new(SET, "search attributes", "", "search attributes")
}

fn memo() -> Deed {
    Deed::new(SET, "memo", "", "the memo")
}

fn version(name: &str) -> Deed {
    Deed::new(MARK, "version", name, format!("its version `{name}`"))
}

fn update(verb: Verb, id: &str) -> Deed {
    Deed::new(verb, "update", id, "an update")
}

fn ended(verb: Verb, why: &str) -> Deed {
    let object = match why {
        "" => "the run".to_owned(),
        why => format!("the run with \"{why}\""),
    };
    Deed::new(verb, "run", "", object)
}

fn continued(workflow_type: &str) -> Deed {
    let object = format!("as new, as `{workflow_type}`");
    Deed::new(CONTINUE, "run", workflow_type, object)
}

fn type_name(workflow_type: Option<&WorkflowType>) -> &str {
    workflow_type.map_or("", |t| t.name.as_str())
}

fn workflow_id(execution: Option<&WorkflowExecution>) -> &str {
    execution.map_or("", |e| e.workflow_id.as_str())
}
