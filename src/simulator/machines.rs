//! What a worker knows of a run: its instance, and which of the engine's operations each event belongs to. Events become
//! jobs and the engine's commands become the server's here, in the order and by the rules of Temporal's core library; a
//! live run and a replay go through the same code.

pub(super) mod events;
mod locals;
mod resolve;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use temporalio_protos::coresdk::external_data::LocalActivityMarkerData;
use temporalio_protos::coresdk::workflow_activation::workflow_activation_job::Variant;
use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::failure::v1::Failure as ProtoFailure;
use temporalio_protos::temporal::api::history::v1 as history;

use super::replay::Divergence;
use crate::engine::command::{Command, CommandKind, ScheduleLocalActivity};
use crate::value::{Duration, Timestamp};
use crate::words::{ActivityCancellationType, ChildCancellationType};

/// One of the engine's operations, or a command of the worker's own.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub kind: Kind,
    pub state: State,
    /// The event of its command.
    pub event_id: i64,
    pub started_event_id: i64,
    /// What its step is called; its cancellation is called the same.
    pub summary: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Its command has not come back as an event.
    Commanded,
    /// Withdrawn before it was sent.
    Withdrawn,
    Recorded,
    Started,
    /// The engine knows its end; late events mean nothing.
    Done,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Timer {
        seq: u32,
    },
    Activity {
        seq: u32,
        activity_type: String,
        activity_id: String,
        cancellation: ActivityCancellationType,
        is_cancelled: bool,
    },
    Child {
        seq: u32,
        workflow_id: String,
        workflow_type: String,
        run_id: String,
        cancellation: ChildCancellationType,
    },
    SignalExternal {
        seq: u32,
    },
    /// Without a number it is a child's cancellation, which nothing waits for.
    CancelExternal {
        seq: Option<u32>,
    },
    Nexus {
        seq: u32,
        endpoint: String,
        service: String,
        operation: String,
        is_cancelled: bool,
    },
    Local(Box<Local>),
    /// Its event tells the engine nothing.
    Other,
}

#[derive(Debug, Clone)]
pub(super) struct Local {
    pub schedule: ScheduleLocalActivity,
    pub scheduled_at: Timestamp,
    /// Its marker is looked for in history.
    pub is_replayed: bool,
    pub state: LocalState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LocalState {
    /// Waits for its marker, in a replay.
    Awaited,
    Requested,
    /// Its marker is a command that is to come back as an event.
    Marked,
    /// Resolved by a marker that is still ahead as an event.
    Foreseen,
    Done,
}

/// What a local activity came to.
#[derive(Debug, Clone)]
pub(super) struct LocalEnd {
    pub result: Result<Option<common::Payload>, Box<ProtoFailure>>,
    pub complete_time: Option<Timestamp>,
    pub attempt: u32,
    pub backoff: Option<Duration>,
    pub activation_index: Option<u64>,
}

/// What the worker asks of the server, beside what the engine does.
#[derive(Debug, Clone)]
pub(super) enum Request {
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
pub(super) struct Sent {
    pub machine: usize,
    pub request: Request,
    pub summary: Option<String>,
}

/// What a local activity is asked to do.
#[derive(Debug, Clone)]
pub(super) enum LocalRequest {
    Start(u32),
    Cancel(u32),
}

#[derive(Debug, Default)]
pub(super) struct Machines {
    pub namespace: String,
    pub workflow_id: String,
    pub machines: Vec<Machine>,
    pub by_seq: BTreeMap<u32, usize>,
    pub by_event: BTreeMap<i64, usize>,
    /// The updates that were accepted, by their protocol instance.
    pub updates: BTreeMap<String, UpdateRequest>,
    /// Asked for in this workflow task.
    pub asked: Vec<Sent>,
    /// Sent, their events not seen yet.
    pub commands: VecDeque<Sent>,
    pub jobs: Vec<Variant>,
    pub local_requests: Vec<LocalRequest>,
    pub foreseen: VecDeque<(LocalActivityMarkerData, LocalEnd)>,
    pub activation_index: u64,
    pub is_replaying: bool,
    pub now: Timestamp,
    pub processed: i64,
    pub history_size_bytes: u64,
    pub continue_as_new_suggested: bool,
    pub versions: Vec<String>,
    pub has_ended: bool,
    /// Changes of the engine that its history knows, and those that this workflow task makes use of.
    pub flags: BTreeSet<u32>,
    pub flags_used: BTreeSet<u32>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct UpdateRequest {
    pub id: String,
    pub protocol_instance_id: String,
    pub name: String,
    pub input: Vec<common::Payload>,
    /// The event after which it came.
    pub sequencing_event_id: i64,
}

impl Machines {
    pub fn add(&mut self, kind: Kind) -> usize {
        self.machines.push(Machine {
            kind,
            state: State::Commanded,
            event_id: 0,
            started_event_id: 0,
            summary: None,
        });
        self.machines.len() - 1
    }

    fn add_numbered(&mut self, seq: u32, kind: Kind) -> usize {
        let machine = self.add(kind);
        self.by_seq.insert(seq, machine);
        machine
    }

    fn ask(&mut self, machine: usize, request: Request, summary: Option<String>) {
        self.asked.push(Sent {
            machine,
            request,
            summary,
        });
    }

    pub fn machine_of(&self, seq: u32) -> Result<usize, Divergence> {
        let found = self.by_seq.get(&seq).copied();
        found.ok_or_else(|| Divergence::broken(format!("nothing has the number {seq}")))
    }

    /// Takes what the engine asked for; some of it makes further jobs at once.
    pub fn take(&mut self, command: Command) -> Result<(), Divergence> {
        let Command { kind, summary, .. } = command;
        let machine = match &kind {
            CommandKind::StartTimer { seq, .. } => {
                self.add_numbered(*seq, Kind::Timer { seq: *seq })
            }
            CommandKind::ScheduleActivity(schedule) => {
                let kind = Kind::Activity {
                    seq: schedule.seq,
                    activity_type: schedule.activity_type.clone(),
                    activity_id: schedule.activity_id.clone(),
                    cancellation: schedule.cancellation_type,
                    is_cancelled: false,
                };
                self.add_numbered(schedule.seq, kind)
            }
            CommandKind::StartChild(start) => {
                let kind = Kind::Child {
                    seq: start.seq,
                    workflow_id: start.workflow_id.clone(),
                    workflow_type: start.workflow_type.clone(),
                    run_id: String::new(),
                    cancellation: start.cancellation_type,
                };
                self.add_numbered(start.seq, kind)
            }
            CommandKind::SignalExternal { seq, .. } => {
                self.add_numbered(*seq, Kind::SignalExternal { seq: *seq })
            }
            CommandKind::CancelExternal { seq, .. } => {
                self.add_numbered(*seq, Kind::CancelExternal { seq: Some(*seq) })
            }
            CommandKind::ScheduleNexus(schedule) => {
                let kind = Kind::Nexus {
                    seq: schedule.seq,
                    endpoint: schedule.endpoint.clone(),
                    service: schedule.service.clone(),
                    operation: schedule.operation.clone(),
                    is_cancelled: false,
                };
                self.add_numbered(schedule.seq, kind)
            }
            CommandKind::MarkVersion(version) => return self.mark_version(version.clone()),
            CommandKind::ScheduleLocalActivity(schedule) => {
                self.schedule_local((**schedule).clone(), summary);
                return Ok(());
            }
            CommandKind::CancelTimer { seq } => return self.cancel_timer(*seq),
            CommandKind::RequestCancelActivity { seq } => return self.cancel_activity(*seq),
            CommandKind::RequestCancelLocalActivity { seq } => return self.cancel_local(*seq),
            CommandKind::CancelChild { seq, reason } => return self.cancel_child(*seq, reason),
            CommandKind::CancelNexus { seq } => return self.cancel_nexus(*seq),
            CommandKind::UseFlag(flag) => {
                self.flags_used.insert(*flag);
                return Ok(());
            }
            CommandKind::Log { .. } | CommandKind::RespondToQuery { .. } => return Ok(()),
            CommandKind::RejectUpdate { .. } if self.is_replaying => return Ok(()),
            CommandKind::CompleteWorkflow(_)
            | CommandKind::FailWorkflow(_)
            | CommandKind::CancelWorkflow
            | CommandKind::ContinueAsNew(_) => {
                self.has_ended = true;
                self.local_requests.clear();
                self.add(Kind::Other)
            }
            _ => self.add(Kind::Other),
        };
        self.machines[machine].summary.clone_from(&summary);
        self.ask(machine, Request::Engine(kind), summary);
        Ok(())
    }

    /// As core does for a patch: a marker and, for the lists, a search attribute with all that were marked.
    fn mark_version(&mut self, version: String) -> Result<(), Divergence> {
        use temporalio_protos::coresdk::common::build_has_change_marker_details;
        let details = build_has_change_marker_details(version.as_str(), false)
            .map_err(|error| Divergence::broken(error.to_string()))?;
        let marker = history::MarkerRecordedEventAttributes {
            marker_name: temporalio_protos::constants::PATCH_MARKER_NAME.to_owned(),
            details,
            ..Default::default()
        };
        let machine = self.add(Kind::Other);
        self.ask(machine, Request::Marker(Box::new(marker)), None);
        let machine = self.add(Kind::Other);
        self.ask(machine, Request::UpsertVersions(version.clone()), None);
        self.versions.push(version);
        Ok(())
    }

    fn cancel_timer(&mut self, seq: u32) -> Result<(), Divergence> {
        let place = self.machine_of(seq)?;
        let machine = &mut self.machines[place];
        let started_event_id = machine.event_id;
        match machine.state {
            State::Commanded => machine.state = State::Withdrawn,
            State::Recorded => {
                machine.state = State::Done;
                let summary = machine.summary.clone();
                let command = self.add(Kind::Other);
                self.ask(command, Request::CancelTimer { started_event_id }, summary);
            }
            _ => {}
        }
        Ok(())
    }

    fn cancel_activity(&mut self, seq: u32) -> Result<(), Divergence> {
        let place = self.machine_of(seq)?;
        let machine = &mut self.machines[place];
        let Kind::Activity {
            cancellation,
            is_cancelled,
            ..
        } = &mut machine.kind
        else {
            return Err(Divergence::broken(format!("{seq} is no activity")));
        };
        let cancellation = *cancellation;
        if *is_cancelled {
            return Ok(());
        }
        let scheduled_event_id = machine.event_id;
        match (machine.state, cancellation) {
            (State::Commanded, _) => machine.state = State::Withdrawn,
            (State::Recorded | State::Started, ActivityCancellationType::Abandon) => {
                machine.state = State::Done;
            }
            (State::Recorded | State::Started, _) => {
                *is_cancelled = true;
                let summary = self.machines[place].summary.clone();
                let command = self.add(Kind::Other);
                self.ask(
                    command,
                    Request::CancelActivity { scheduled_event_id },
                    summary,
                );
                if cancellation == ActivityCancellationType::WaitCancellationCompleted {
                    return Ok(());
                }
                self.machines[place].state = State::Done;
            }
            _ => return Ok(()),
        }
        self.resolve_cancelled_activity(place, None);
        Ok(())
    }

    fn cancel_child(&mut self, seq: u32, reason: &str) -> Result<(), Divergence> {
        let place = self.machine_of(seq)?;
        let machine = &mut self.machines[place];
        let Kind::Child {
            workflow_id,
            run_id,
            cancellation,
            ..
        } = &machine.kind
        else {
            return Err(Divergence::broken(format!("{seq} is no child")));
        };
        let cancellation = *cancellation;
        match machine.state {
            State::Commanded => {
                machine.state = State::Withdrawn;
                self.child_withdrawn(place, reason);
            }
            State::Recorded | State::Started => {
                let request = Request::CancelChild {
                    workflow_id: workflow_id.clone(),
                    run_id: run_id.clone(),
                    reason: reason.to_owned(),
                };
                if cancellation != ChildCancellationType::Abandon {
                    let summary = machine.summary.clone();
                    let command = self.add(Kind::CancelExternal { seq: None });
                    self.ask(command, request, summary);
                }
                let at_once = [
                    ChildCancellationType::Abandon,
                    ChildCancellationType::TryCancel,
                ];
                if at_once.contains(&cancellation) {
                    self.machines[place].state = State::Done;
                    self.resolve_cancelled_child(place);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn cancel_nexus(&mut self, seq: u32) -> Result<(), Divergence> {
        let place = self.machine_of(seq)?;
        let machine = &mut self.machines[place];
        let scheduled_event_id = machine.event_id;
        let Kind::Nexus { is_cancelled, .. } = &mut machine.kind else {
            return Err(Divergence::broken(format!("{seq} is no Nexus operation")));
        };
        match machine.state {
            State::Commanded => {
                machine.state = State::Withdrawn;
                self.nexus_withdrawn(place);
            }
            State::Recorded | State::Started if !*is_cancelled => {
                *is_cancelled = true;
                let summary = self.machines[place].summary.clone();
                let command = self.add(Kind::Other);
                self.ask(
                    command,
                    Request::CancelNexus { scheduled_event_id },
                    summary,
                );
            }
            _ => {}
        }
        Ok(())
    }

    /// What goes to the server when the workflow task is completed.
    pub fn prepare(&mut self) -> Vec<Sent> {
        let machines = &self.machines;
        let asked = std::mem::take(&mut self.asked);
        let sent: Vec<Sent> = asked
            .into_iter()
            .filter(|sent| machines[sent.machine].state != State::Withdrawn)
            .collect();
        for sent in &sent {
            let machine = &mut self.machines[sent.machine];
            if let Kind::Local(local) = &mut machine.kind {
                local.state = LocalState::Marked;
            }
        }
        let recorded = sent
            .iter()
            .filter(|s| !matches!(s.request, Request::Engine(CommandKind::RejectUpdate { .. })));
        self.commands.extend(recorded.cloned());
        sent
    }
}
