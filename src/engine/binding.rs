//! How a run is bound to its bundle in its first activations, and what happens to messages that arrive before it is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::carry::{CHAIN_HEADER, DEFINITION_HEADER, SIGNALS_HEADER, STATE_HEADER, carried};
use super::command::{ActivityTimeouts, Command, CommandKind, ScheduleLocalActivity};
use super::failure::Failure;
use super::flag::{HEADERS_CHECKED, KEPT_SIGNALS, UNDONE_AFTER_THE_STEPS, may_begin_with};
use super::job::{Activation, EncodedBundle, Initialize, Job, Resolution, Update};
use super::machine::Machine;
use super::state::{Clock, Operation, OperationKind, Phase, Run};
use super::stored::from_stored;
use super::{Instance, Loaded, Programs, TaskFailure};
use crate::faults::Fault;
use crate::value::{Duration, Payload, Value};
use crate::words::LogLevel;

/// The local activity whose marker binds a run to its bundle: its arguments are the workflow type and the digest, and
/// its result is the encoded bundle.
pub const RESOLVE_DEFINITION: &str = "resolve-definition";

/// How long the look-up of a bundle may take, which is in memory.
const RESOLVE_DEFINITION_TIMEOUT: Duration = Duration {
    seconds: 10,
    nanos: 0,
};

impl Instance {
    /// The bundles to which an activation may bind the run, which its host can compile beforehand and elsewhere.
    /// Bundles that a client merely sent are not among them.
    pub(crate) fn awaited_bundles(&self, activation: &Activation) -> Vec<Arc<[u8]>> {
        if self.loaded.is_some() {
            return Vec::new();
        }
        let clock = Clock::of(activation);
        let checks = may_begin_with(HEADERS_CHECKED, &clock);
        let bundle = |job: &Job| {
            if let Job::Initialize(info) = job {
                return handed_over(info, checks).ok()?;
            }
            let Job::ResolveActivity {
                seq,
                resolution: Resolution::Completed(value),
            } = job
            else {
                return None;
            };
            // A replay can deliver the start and the marker together.
            let is_binding = self.run.as_ref().is_none_or(|run| is_binding(run, *seq));
            is_binding.then(|| value.clone())
        };
        let bundles = activation.jobs.iter().filter_map(bundle);
        let packed = bundles.filter_map(|bundle| match bundle.force() {
            Ok(Value::Bytes(packed)) => Some(packed.clone()),
            _ => None,
        });
        packed.collect()
    }

    /// Answers queries that arrive during the look-up of the bundle: a copy of the run goes as far as the run itself
    /// will go with the bundle that it is about to be bound to.
    pub(super) fn queried_early(
        &self,
        queries: Vec<(String, String, Vec<Value>)>,
        clock: &Clock,
        programs: &dyn Programs,
    ) -> Vec<Command> {
        let newest = self.run.as_ref().and_then(|run| run.info.newest.clone());
        let mut copy = Instance {
            run: self.run.clone(),
            ..Instance::default()
        };
        let mut commands = Vec::new();
        let newest = newest.map(|newest| Value::Bytes(newest.bytes.as_slice().into()));
        let newest = || Bound::new(newest?, programs).ok();
        let bound = self.late.clone().or_else(newest);
        let bound = bound.and_then(|bound| copy.begin(bound, clock, &mut commands).ok());
        copy.begin_main();
        let machine = bound.and_then(|()| copy.machine(clock, &mut commands));
        let Some(mut machine) = machine else {
            return queries.into_iter().map(|(id, ..)| too_early(id)).collect();
        };
        machine.go();
        for (id, name, args) in queries {
            machine.queried(id, &name, args);
        }
        if let (Some(run), Some(copy)) = (&self.run, &copy.run) {
            run.violated_as(copy);
        }
        commands.retain(|command| matches!(command.kind, CommandKind::RespondToQuery { .. }));
        commands
    }

    /// The main steps begin after everything that arrived with the activation that bound the run.
    pub(super) fn begin_main(&mut self) {
        if let (Some(run), Some(_)) = (self.run.as_deref_mut(), &self.loaded)
            && run.keeps_order()
            && run.is_to_begin()
        {
            run.inbox.push_back(Job::Begin);
        }
    }

    /// Requests the bundle, unless the previous run hands it over.
    pub(super) fn initialize(
        &mut self,
        info: Initialize,
        clock: &Clock,
        commands: &mut Vec<Command>,
        programs: &dyn Programs,
    ) -> Result<(), TaskFailure> {
        let checks = may_begin_with(HEADERS_CHECKED, clock);
        if let Some(bundle) = handed_over(&info, checks)? {
            let bound = Bound::new(bundle, programs)?;
            if !checks || bound.is_of(&info.workflow_type) {
                let (mut run, left) = match carried_state(&info)? {
                    Some(state) => carried(&state, info).map_err(TaskFailure)?,
                    None => (Run::new(info), None),
                };
                run.fix_flags(clock, commands);
                if let Some(left) = left.filter(|_| run.has(UNDONE_AFTER_THE_STEPS)) {
                    run.put_left(left);
                }
                self.run = Some(Box::new(run));
                return self.begin(bound, clock, commands);
            }
        }
        self.ask_for_bundle(info, clock, commands, programs)
    }

    fn ask_for_bundle(
        &mut self,
        mut info: Initialize,
        clock: &Clock,
        commands: &mut Vec<Command>,
        programs: &dyn Programs,
    ) -> Result<(), TaskFailure> {
        if info.newest.is_none() && !clock.is_replaying {
            if let Some(why) = programs.why_not(&info.workflow_type) {
                return Err(TaskFailure(format!(
                    "the deployed definition of `{}` cannot be read: {why}. Deploying it again lets this run continue",
                    info.workflow_type
                )));
            }
            return Err(TaskFailure(format!(
                "no definition has the workflow type `{}`; there are: {}. Deploying it lets this run go on",
                info.workflow_type,
                programs.workflow_types().join(", ")
            )));
        }
        let digest = info
            .newest
            .as_ref()
            .map_or("", |bundle| bundle.digest.as_str());
        let argument =
            |value: Value| Payload::from_value(&value).map_err(|error| TaskFailure(error.0));
        let mut arguments = vec![
            argument(Value::from(info.workflow_type.as_str()))?,
            argument(Value::from(digest))?,
        ];
        if let Some(wanted) = wanted_bundle(&info) {
            arguments.push(argument(Value::Bytes(wanted))?);
        }
        if !Fault::StateWithoutDefinition.is_on() {
            // A state is valid only with its own definition.
            info.headers.remove(STATE_HEADER);
        }
        let mut run = Run::new(info);
        run.fix_flags(clock, commands);
        let seq = run.take_seq();
        run.operations
            .insert(seq, Operation::of(OperationKind::Binding));
        let schedule = ScheduleLocalActivity {
            seq,
            activity_id: RESOLVE_DEFINITION.into(),
            activity_type: RESOLVE_DEFINITION.into(),
            arguments,
            timeouts: ActivityTimeouts {
                start_to_close: Some(RESOLVE_DEFINITION_TIMEOUT),
                ..ActivityTimeouts::default()
            },
            ..ScheduleLocalActivity::default()
        };
        commands.push(CommandKind::ScheduleLocalActivity(Box::new(schedule)).into());
        self.run = Some(Box::new(run));
        Ok(())
    }

    /// The marker contains the bundle. A run whose version was marked in a later workflow task than the one with the
    /// marker is bound in that later task in a replay too: core delivers the marker with the task that recorded it,
    /// although the run saw it only in the next one.
    pub(super) fn resolved(
        &mut self,
        resolution: Resolution,
        clock: &Clock,
        commands: &mut Vec<Command>,
        programs: &dyn Programs,
    ) -> Result<(), TaskFailure> {
        let bundle = match resolution {
            Resolution::Completed(value) => value,
            Resolution::Failed(failure)
            | Resolution::Cancelled(failure)
            | Resolution::Unusable { failure, .. } => {
                return Err(TaskFailure(format!(
                    "the definition could not be resolved: {}",
                    failure.message
                )));
            }
        };
        let bound = Bound::new(bundle, programs)?;
        if let Some(run) = &self.run
            && run.has(HEADERS_CHECKED)
        {
            // Only workers write markers, so this is an error of a worker and not an attack.
            bound.check(&run.info)?;
        }
        let version = &bound.0.bundle.version;
        let is_late = match version.is_empty() {
            true => self.is_bare_by_another_task(&bound, clock),
            false => !self.patches.contains(version),
        };
        if clock.is_replaying && is_late && !Fault::VersionMarkedLate.is_on() {
            self.late = Some(bound);
            return Ok(());
        }
        self.begin(bound, clock, commands)
    }

    /// The workflow id, if the history may belong to a run without a version that was bound in its second workflow
    /// task: older workers, which recorded no flags, separated the marker from the run's start if a query arrived with
    /// the first task.
    pub(crate) fn may_be_bound_late(&self) -> Option<&str> {
        let is_old = |run: &&Run| run.phase == Phase::Binding && run.flags.is_empty();
        let run = self.run.as_deref().filter(is_old)?;
        Some(&run.info.workflow_id)
    }

    /// Reports that the first replayed workflow task recorded nothing that a run's steps request, and that a message
    /// arrived with the second one. Must be called before the marker is replayed.
    pub fn first_task_is_bare(&mut self) {
        self.is_first_task_bare = true;
    }

    /// No mark shows where such a run was bound. If it would request something at once, and the first workflow task
    /// recorded nothing, it was not bound there; if it would request nothing, either task is possible, and the first
    /// one is assumed, as for nearly all runs.
    fn is_bare_by_another_task(&self, bound: &Bound, clock: &Clock) -> bool {
        if !self.is_first_task_bare || self.may_be_bound_late().is_none() {
            return false;
        }
        let mut copy = Instance {
            run: self.run.clone(),
            ..Instance::default()
        };
        let mut commands = Vec::new();
        if copy.begin(bound.clone(), clock, &mut commands).is_err() {
            return false;
        }
        if let Some(mut machine) = copy.machine(clock, &mut commands) {
            machine.go();
        }
        let cancelled = |seq: u32| {
            let is_it = |command: &Command| matches!(command.kind, CommandKind::CancelTimer { seq: s } if s == seq);
            commands.iter().any(is_it)
        };
        commands.iter().any(|command| {
            let is_taken_back =
                matches!(command.kind, CommandKind::StartTimer { seq, .. } if cancelled(seq));
            command.kind.is_recorded() && !is_taken_back
        })
    }

    /// Binds a run whose version is marked in this workflow task, after the task's own jobs.
    pub(super) fn begin_late(
        &mut self,
        clock: &Clock,
        commands: &mut Vec<Command>,
    ) -> Result<(), TaskFailure> {
        match self.late.take() {
            Some(bound) => self.begin(bound, clock, commands),
            None => Ok(()),
        }
    }

    /// The bundle is known: the run begins, with everything that arrived before.
    fn begin(
        &mut self,
        bound: Bound,
        clock: &Clock,
        commands: &mut Vec<Command>,
    ) -> Result<(), TaskFailure> {
        let loaded = bound.0;
        let version = loaded.bundle.version.clone();
        self.loaded = Some(loaded);
        let Some(run) = &mut self.run else {
            return Err(unbound());
        };
        let is_carried = run.info.headers.contains_key(STATE_HEADER);
        let kept = kept_signals(run);
        let is_unreadable = kept.is_none();
        run.phase = Phase::Running;
        run.info.newest = None;
        // Kept in history, and no longer needed.
        run.info.headers.clear();
        let Some(mut machine) = self.machine(clock, commands) else {
            return Err(unbound());
        };
        // The same workflow task sends the marker with the bundle.
        machine.payloads_size_bytes.set(machine.bundle.len());
        machine.run.count_binding(machine.bundle);
        if !version.is_empty() {
            machine.command(CommandKind::MarkVersion(version));
        }
        let early = std::mem::take(&mut machine.run.early);
        match is_carried {
            true => machine.take_over(),
            false => machine.begin_run(),
        }
        if !machine.run.keeps_order() {
            for job in early {
                // An update was accepted when it arrived.
                machine.apply(as_accepted(job));
            }
            return Ok(());
        }
        if is_unreadable {
            // A worker of another kind wrote them: the run continues without.
            let message = format!("the header `{SIGNALS_HEADER}` does not hold signals");
            machine.log(LogLevel::Error, message);
        }
        for (name, values) in kept.unwrap_or_default() {
            for value in values {
                let (name, input) = (name.clone(), vec![value]);
                machine.receive(Job::Signal { name, input });
            }
        }
        for job in early {
            machine.receive(as_accepted(job));
        }
        Ok(())
    }

    /// Jobs that arrive before the bundle wait for it; only an update must be judged before.
    pub(super) fn keep_early(
        &mut self,
        job: Job,
        clock: &Clock,
        commands: &mut Vec<Command>,
        programs: &dyn Programs,
    ) -> Result<(), TaskFailure> {
        let Some(run) = self.run.as_deref_mut() else {
            return Err(unbound());
        };
        if let Job::Update(update) = &job {
            let verdict = match (&run.info.newest, update.run_validator) {
                (Some(newest), true) => {
                    let loaded = programs.load(&newest.bytes).map_err(TaskFailure)?;
                    validate_early(run, &loaded, clock, update)
                }
                _ => Ok(()),
            };
            let protocol_instance_id = update.protocol_instance_id.clone();
            let kind = match verdict {
                Ok(()) => CommandKind::AcceptUpdate {
                    protocol_instance_id,
                },
                Err(failure) => {
                    let kind = CommandKind::RejectUpdate {
                        protocol_instance_id,
                        failure: failure.into_refusal(),
                    };
                    commands.push(kind.into());
                    return Ok(());
                }
            };
            commands.push(kind.into());
            run.count_update(update);
        }
        run.early.push(job);
        Ok(())
    }
}

/// A bundle whose program is loaded, for a run to be bound to.
#[derive(Debug, Clone)]
pub(super) struct Bound(Arc<Loaded>);

impl Bound {
    fn new(bundle: Value, programs: &dyn Programs) -> Result<Self, TaskFailure> {
        let Ok(Value::Bytes(bytes)) = bundle.force() else {
            return Err(TaskFailure(
                "the run's definition is not a bundle in its history".into(),
            ));
        };
        programs.load(bytes).map(Bound).map_err(TaskFailure)
    }

    fn is_of(&self, workflow_type: &str) -> bool {
        *self.0.program.workflow == *workflow_type
    }

    fn check(&self, info: &Initialize) -> Result<(), TaskFailure> {
        if !self.is_of(&info.workflow_type) {
            return Err(TaskFailure(format!(
                "the marker of the run's definition holds one of `{}`; the run's workflow type is `{}`",
                self.0.program.workflow, info.workflow_type
            )));
        }
        let is_another = |newest: &Arc<EncodedBundle>| newest.digest != self.0.bundle.digest;
        if info.newest.as_ref().is_some_and(is_another) {
            return Err(TaskFailure(
                "the marker of the run's definition holds another one than was asked for".into(),
            ));
        }
        Ok(())
    }
}

/// Whether the run's headers were written by an earlier run, and so by a worker. The client that starts a workflow
/// chooses its headers, and the server repeats them in each retry and each run of a cron. The server itself sets the
/// initiator of a continuation, and it chooses the id of a chain's first run only when the headers of that run are
/// fixed already, so headers that name it were written later (temporal server 1.32.0, service/history/workflow/retry.go
/// and service/history/historybuilder/event_factory.go).
fn is_vouched_for(info: &Initialize) -> bool {
    if info.continued_from_run_id.is_none() || info.first_run_id.is_empty() {
        return false;
    }
    let chain = info.headers.get(CHAIN_HEADER).map(Payload::decode);
    info.is_continuation
        || matches!(chain, Some(Ok(Value::String(id))) if *id == *info.first_run_id)
}

/// The bundle that the previous run hands over. A run that began before headers were checked accepts any.
fn handed_over(info: &Initialize, checks: bool) -> Result<Option<Value>, TaskFailure> {
    match info.headers.get(DEFINITION_HEADER) {
        Some(payload) if !checks || is_vouched_for(info) => {
            let bundle = payload.decode().map_err(|error| TaskFailure(error.0))?;
            Ok(Some(bundle))
        }
        _ => Ok(None),
    }
}

fn carried_state(info: &Initialize) -> Result<Option<Arc<[u8]>>, TaskFailure> {
    match info.headers.get(STATE_HEADER).map(Payload::decode) {
        None => Ok(None),
        Some(Ok(Value::Bytes(state))) => Ok(Some(state)),
        Some(_) => Err(TaskFailure(format!(
            "the header `{STATE_HEADER}` does not hold the state of a run"
        ))),
    }
}

/// The bundle that the client requests by sending it with the start; the registry decides whether it is a deployed one.
pub(crate) fn wanted_bundle(info: &Initialize) -> Option<Arc<[u8]>> {
    let payload = info.headers.get(DEFINITION_HEADER)?;
    match payload.decode() {
        Ok(Value::Bytes(bytes)) if !is_vouched_for(info) => Some(bytes),
        _ => None,
    }
}

/// The signals that the previous run did not consume, by name, in the order of their arrival. Later runs of a cron have
/// the same headers, but the signals were already delivered. `None` if they cannot be read.
fn kept_signals(run: &Run) -> Option<BTreeMap<String, VecDeque<Value>>> {
    let info = &run.info;
    let is_for_it = is_vouched_for(info) && (info.is_continuation || info.cron_schedule.is_none());
    let header = info.headers.get(SIGNALS_HEADER);
    match header.filter(|_| is_for_it && run.has(KEPT_SIGNALS)) {
        None => Some(BTreeMap::new()),
        Some(payload) => match payload.decode() {
            Ok(Value::Bytes(bytes)) => from_stored(&bytes).ok(),
            _ => None,
        },
    }
}

/// A validator sees the state as it is at the start of the run.
fn validate_early(
    run: &Run,
    loaded: &Loaded,
    clock: &Clock,
    update: &Update,
) -> Result<(), Failure> {
    let mut scratch = run.clone();
    let mut commands = Vec::new();
    let bundle = &loaded.bundle.bytes;
    let mut machine = Machine::new(&mut scratch, &loaded.program, bundle, clock, &mut commands);
    machine.initial_state()?;
    machine.validate(update)
}

pub(super) fn is_binding(run: &Run, seq: u32) -> bool {
    run.operations
        .get(&seq)
        .is_some_and(|o| matches!(o.kind, OperationKind::Binding))
}

/// An update that was accepted when it arrived.
fn as_accepted(job: Job) -> Job {
    if let Job::Update(update) = job {
        return Job::Accepted(update);
    }
    job
}

fn unbound() -> TaskFailure {
    TaskFailure("the engine broke an invariant: a run is initialised before it is bound".into())
}

fn too_early(id: String) -> Command {
    let message = "the run has not started: its definition is still being resolved; retry";
    let result = Err(Failure::application("NotStarted", message));
    CommandKind::RespondToQuery { id, result }.into()
}
