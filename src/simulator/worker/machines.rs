//! A worker's state of a run's operations: which of them each event belongs to, and the state of each. Events become
//! jobs and the engine's commands become the server's here, in the order and by the rules of Temporal's core library
//! (sdk-core 0.10.1, machines/workflow_machines.rs); a live run and a replay use the same code.

mod activity;
mod child;
mod command;
mod events;
mod external;
mod local;
mod nexus;
mod sent;
mod table;
mod timer;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use temporalio_protos::coresdk::external_data::LocalActivityMarkerData;
use temporalio_protos::coresdk::workflow_activation::workflow_activation_job::Variant;
use temporalio_protos::temporal::api::failure::v1 as failure;
use temporalio_protos::temporal::api::failure::v1::failure::FailureInfo;
use temporalio_protos::temporal::api::history::v1 as history;

pub(crate) use activity::Activity;
pub(crate) use child::Child;
pub(crate) use local::{Local, LocalEnd, LocalRequest};
pub(crate) use nexus::Nexus;
pub(crate) use sent::{Request, Sent};
pub(crate) use table::Transition;

use super::super::message::UpdateRequest;
use super::replay::Divergence;
use crate::engine::command::{Command, CommandKind};
use crate::value::Timestamp;
use table::transitions_of;

/// One of the engine's operations, or a command that nothing waits for.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) kind: Kind,
    /// The event of its command; 0 before there is one.
    pub(crate) event_id: i64,
    /// The name of its step, which its cancellation has too.
    pub(crate) summary: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Timer {
        seq: u32,
        state: timer::Timer,
    },
    Activity(Activity),
    Child(Child),
    SignalExternal {
        seq: u32,
        state: external::Signal,
    },
    /// Without a number it is a child's cancellation, which nothing waits for.
    CancelExternal {
        seq: Option<u32>,
        state: external::Cancellation,
    },
    Nexus(Nexus),
    Local(Box<Local>),
    Plain(command::Plain),
}

#[derive(Debug, Default)]
pub(crate) struct Machines {
    pub(crate) namespace: String,
    pub(crate) workflow_id: String,
    pub(crate) machines: Vec<Machine>,
    pub(crate) by_seq: BTreeMap<u32, usize>,
    pub(crate) by_event: BTreeMap<i64, usize>,
    /// The updates that arrived, by their protocol instance.
    pub(crate) updates: BTreeMap<String, UpdateRequest>,
    /// Requested in this workflow task.
    pub(crate) asked: Vec<Sent>,
    /// Sent, without an event so far.
    pub(crate) commands: VecDeque<Sent>,
    pub(crate) jobs: Vec<Variant>,
    pub(crate) local_requests: Vec<LocalRequest>,
    pub(crate) foreseen: VecDeque<(LocalActivityMarkerData, LocalEnd)>,
    pub(crate) activation_index: u64,
    pub(crate) is_replaying: bool,
    pub(crate) now: Timestamp,
    /// The last event that was applied.
    pub(crate) processed: i64,
    pub(crate) history_size_bytes: u64,
    pub(crate) continue_as_new_suggested: bool,
    pub(crate) versions: Vec<String>,
    pub(crate) has_ended: bool,
    /// Changes of the engine that its history knows, and those that this workflow task uses.
    pub(crate) flags: BTreeSet<u32>,
    pub(crate) flags_used: BTreeSet<u32>,
}

/// The rows of all state machines.
pub(crate) fn transitions() -> Vec<Transition> {
    transitions_of::<timer::Timer>()
        .chain(transitions_of::<activity::State>())
        .chain(transitions_of::<child::State>())
        .chain(transitions_of::<external::Signal>())
        .chain(transitions_of::<external::Cancellation>())
        .chain(transitions_of::<nexus::State>())
        .chain(transitions_of::<local::State>())
        .chain(transitions_of::<command::Plain>())
        .collect()
}

impl Machine {
    fn is_withdrawn(&self) -> bool {
        match &self.kind {
            Kind::Timer { state, .. } => *state == timer::Timer::Withdrawn,
            Kind::Activity(activity) => activity.state == activity::State::Withdrawn,
            Kind::Child(child) => child.state == child::State::Withdrawn,
            Kind::Nexus(nexus) => nexus.state == nexus::State::Withdrawn,
            Kind::SignalExternal { .. }
            | Kind::CancelExternal { .. }
            | Kind::Local(_)
            | Kind::Plain(_) => false,
        }
    }

    fn is_no(&self, what: &str) -> Divergence {
        let event_id = self.event_id;
        Divergence::broken(format!(
            "the operation of event {event_id} is no {what}: {:?}",
            self.kind
        ))
    }
}

impl Machines {
    fn add(&mut self, kind: Kind) -> usize {
        self.machines.push(Machine {
            kind,
            event_id: 0,
            summary: None,
        });
        self.machines.len() - 1
    }

    fn add_numbered(&mut self, seq: u32, kind: Kind) -> usize {
        let machine = self.add(kind);
        self.by_seq.insert(seq, machine);
        machine
    }

    fn add_plain(&mut self) -> usize {
        self.add(Kind::Plain(command::Plain::Commanded))
    }

    fn ask(&mut self, machine: usize, request: Request, summary: Option<String>) {
        self.asked.push(Sent {
            machine,
            request,
            summary,
        });
    }

    /// Requests something under the operation's own name.
    fn ask_for(&mut self, place: usize, request: Request) {
        let summary = self.machines[place].summary.clone();
        self.ask(place, request, summary);
    }

    /// Requests a separate command, under the name of its operation.
    fn ask_about(&mut self, place: usize, request: Request) {
        let summary = self.machines[place].summary.clone();
        let command = self.add_plain();
        self.ask(command, request, summary);
    }

    fn machine_of(&self, seq: u32) -> Result<usize, Divergence> {
        let found = self.by_seq.get(&seq).copied();
        found.ok_or_else(|| Divergence::broken(format!("nothing has the number {seq}")))
    }

    /// Takes a command of the engine; some of them cause further jobs immediately.
    fn take(&mut self, command: Command) -> Result<(), Divergence> {
        let Command { kind, summary, .. } = command;
        let machine = match &kind {
            CommandKind::StartTimer { seq, .. } => {
                let state = timer::Timer::Commanded;
                self.add_numbered(*seq, Kind::Timer { seq: *seq, state })
            }
            CommandKind::ScheduleActivity(schedule) => {
                let activity = Activity {
                    seq: schedule.seq,
                    activity_type: schedule.activity_type.clone(),
                    activity_id: schedule.activity_id.clone(),
                    cancellation: schedule.cancellation_type,
                    state: activity::State::Commanded,
                };
                self.add_numbered(schedule.seq, Kind::Activity(activity))
            }
            CommandKind::StartChild(start) => {
                let child = Child {
                    seq: start.seq,
                    workflow_id: start.workflow_id.clone(),
                    workflow_type: start.workflow_type.clone(),
                    run_id: String::new(),
                    started_event_id: 0,
                    cancellation: start.cancellation_type,
                    state: child::State::Commanded,
                };
                self.add_numbered(start.seq, Kind::Child(child))
            }
            CommandKind::SignalExternal { seq, .. } => {
                let state = external::Signal::Commanded;
                self.add_numbered(*seq, Kind::SignalExternal { seq: *seq, state })
            }
            CommandKind::CancelExternal { seq, .. } => {
                let kind = Kind::CancelExternal {
                    seq: Some(*seq),
                    state: external::Cancellation::Commanded,
                };
                self.add_numbered(*seq, kind)
            }
            CommandKind::ScheduleNexus(schedule) => {
                let nexus = Nexus {
                    seq: schedule.seq,
                    endpoint: schedule.endpoint.clone(),
                    service: schedule.service.clone(),
                    operation: schedule.operation.clone(),
                    state: nexus::State::Commanded,
                };
                self.add_numbered(schedule.seq, Kind::Nexus(nexus))
            }
            CommandKind::MarkVersion(version) => return self.mark_version(version.clone()),
            CommandKind::ScheduleLocalActivity(schedule) => {
                self.schedule_local((**schedule).clone(), summary);
                return Ok(());
            }
            CommandKind::CancelTimer { seq } => {
                let place = self.machine_of(*seq)?;
                return self.timer_input(place, timer::Input::Cancel);
            }
            CommandKind::RequestCancelActivity { seq } => return self.cancel_activity(*seq),
            CommandKind::RequestCancelLocalActivity { seq } => return self.cancel_local(*seq),
            CommandKind::CancelChild { seq, reason } => return self.cancel_child(*seq, reason),
            CommandKind::CancelNexus { seq } => {
                let place = self.machine_of(*seq)?;
                return self.nexus_command_input(place, nexus::Input::Cancel);
            }
            CommandKind::UseFlag(flag) => {
                self.flags_used.insert(*flag);
                return Ok(());
            }
            CommandKind::Log { .. } | CommandKind::RespondToQuery { .. } => return Ok(()),
            // A history has no event of an update that was rejected.
            CommandKind::RejectUpdate { .. } if self.is_replaying => return Ok(()),
            CommandKind::CompleteWorkflow(_)
            | CommandKind::FailWorkflow(_)
            | CommandKind::CancelWorkflow
            | CommandKind::ContinueAsNew(_) => {
                self.has_ended = true;
                self.local_requests.clear();
                self.add_plain()
            }
            CommandKind::UpsertSearchAttributes(_)
            | CommandKind::UpsertMemo(_)
            | CommandKind::AcceptUpdate { .. }
            | CommandKind::RejectUpdate { .. }
            | CommandKind::CompleteUpdate { .. } => self.add_plain(),
        };
        self.machines[machine].summary.clone_from(&summary);
        self.ask(machine, Request::Engine(kind), summary);
        Ok(())
    }

    /// A marker and, for lists, a search attribute with all marked versions (sdk-core 0.10.1,
    /// machines/patch_state_machine.rs).
    fn mark_version(&mut self, version: String) -> Result<(), Divergence> {
        use temporalio_protos::coresdk::common::build_has_change_marker_details;
        let details = build_has_change_marker_details(version.as_str(), false)
            .map_err(|error| Divergence::broken(error.to_string()))?;
        let marker = history::MarkerRecordedEventAttributes {
            marker_name: temporalio_protos::constants::PATCH_MARKER_NAME.to_owned(),
            details,
            ..Default::default()
        };
        let machine = self.add_plain();
        self.ask(machine, Request::Marker(Box::new(marker)), None);
        let machine = self.add_plain();
        self.ask(machine, Request::UpsertVersions(version.clone()), None);
        self.versions.push(version);
        Ok(())
    }

    /// What is sent to the server when the workflow task is completed.
    pub(crate) fn prepare(&mut self) -> Vec<Sent> {
        let machines = &self.machines;
        let asked = std::mem::take(&mut self.asked);
        let sent: Vec<Sent> = asked
            .into_iter()
            .filter(|sent| !machines[sent.machine].is_withdrawn())
            .collect();
        let recorded = sent.iter().filter(|sent| !sent.request.is_rejection());
        self.commands.extend(recorded.cloned());
        sent
    }
}

fn cancelled_failure() -> failure::Failure {
    failure::Failure {
        failure_info: Some(FailureInfo::CanceledFailureInfo(
            failure::CanceledFailureInfo::default(),
        )),
        ..Default::default()
    }
}
