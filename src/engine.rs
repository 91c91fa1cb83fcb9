//! The deterministic state machine behind every run: it is told jobs and the time, and answers with commands. It never
//! learns the time, randomness or the outside by itself.
//!
//! The engine owns a run's state, the order of its routines, its operations and their numbers. The host owns the
//! connection, the clock, the bundles and the execution of activities.

mod calls;
mod carry;
pub mod command;
mod evaluate;
mod execute;
pub mod failure;
mod fan;
mod flag;
mod frames;
mod handlers;
pub mod job;
mod machine;
pub mod observe;
mod operations;
mod options;
mod pending;
pub mod start;
mod state;

use std::sync::Arc;

pub use calls::DEFINITION_HEADER;
pub use carry::STATE_HEADER;
use command::{ActivityTimeouts, Command, CommandKind, ScheduleLocalActivity, VersioningBehavior};
use evaluate::one_value;
pub use evaluate::split_mix;
use failure::Failure;
use job::{Activation, EncodedBundle, Initialize, Job, Resolution, Update};
use machine::Machine;
use observe::{Observer, Sight};
use start::invalid_input;
use state::{
    Clock, Ending, FunctionRef, Operation, OperationKind, Phase, Routine, RoutineKind, Run, Waiting,
};

use crate::program::{Program, StepId};
use crate::value::{Duration, Map, Payload, Value};

/// The local activity whose marker binds a run to its bundle: its arguments are the workflow type and the digest, its
/// result the encoded bundle.
pub const RESOLVE_DEFINITION: &str = "resolve-definition";

/// Temporal's own search attribute for versions of code: a list finds a run by the version that it is bound to.
pub const VERSION_ATTRIBUTE: &str = "TemporalChangeVersion";

/// How long the look-up of a bundle may take; it is one in memory.
const RESOLVE_DEFINITION_TIMEOUT: Duration = Duration {
    seconds: 10,
    nanos: 0,
};

/// The workflow task cannot be completed, and is to be tried again: by a mended worker, or after a deployment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TaskFailure(pub String);

/// A bundle's program beside the bundle itself.
#[derive(Debug)]
pub struct Loaded {
    pub program: Program,
    pub bundle: EncodedBundle,
}

/// Where the engine's host keeps bundles.
pub trait Programs {
    /// The program of an encoded bundle, compiled once per digest.
    fn load(&self, bundle: &[u8]) -> Result<Arc<Loaded>, String>;

    /// The workflow types that a run could be started with, for messages.
    fn workflow_types(&self) -> Vec<String>;
}

/// One run: nothing before its first activation.
#[derive(Debug, Default)]
pub struct Instance {
    run: Option<Box<Run>>,
    loaded: Option<Arc<Loaded>>,
    observer: Option<Arc<dyn Observer>>,
}

impl Instance {
    pub fn new() -> Self {
        Instance::default()
    }

    /// From now on the observer sees what the run does. It is not part of a snapshot.
    pub fn observed_by(&mut self, observer: Arc<dyn Observer>) {
        self.observer = Some(observer);
    }

    /// Applies the jobs of an activation, in order, then drives the run as far as it goes.
    pub fn activate(
        &mut self,
        activation: Activation,
        programs: &dyn Programs,
    ) -> Result<Vec<Command>, TaskFailure> {
        let clock = Clock {
            now: activation.now,
            is_replaying: activation.is_replaying,
            history_length: activation.history_length,
            history_size_bytes: activation.history_size_bytes,
            continue_as_new_suggested: activation.continue_as_new_suggested,
            flags: activation.flags,
        };
        let mut commands = Vec::new();
        let mut queries = Vec::new();
        for job in activation.jobs {
            match job {
                Job::Query { id, name, args } => queries.push((id, name, args)),
                job => self.apply(job, &clock, &mut commands, programs)?,
            }
        }
        match self.machine(&clock, &mut commands) {
            Some(mut machine) => {
                machine.go();
                for (id, name, args) in queries {
                    machine.queried(id, &name, args);
                }
            }
            None if queries.is_empty() => {}
            None => commands.extend(self.queried_early(queries, &clock, programs)),
        }
        Ok(commands)
    }

    /// Queries that come while the bundle is being looked up: a copy of the run goes as far as the run itself will go
    /// with the bundle that it is about to be bound to, and answers.
    fn queried_early(
        &self,
        queries: Vec<(String, String, Vec<Value>)>,
        clock: &Clock,
        programs: &dyn Programs,
    ) -> Vec<Command> {
        let newest = self.run.as_ref().and_then(|run| run.info.newest.clone());
        let mut copy = Instance {
            run: self.run.clone(),
            loaded: None,
            observer: None,
        };
        let mut commands = Vec::new();
        let bound = newest.and_then(|newest| {
            let bundle = Value::Bytes(newest.bytes.as_slice().into());
            let resolution = Resolution::Completed(bundle);
            copy.bind(resolution, clock, &mut commands, programs).ok()
        });
        let machine = bound.and_then(|()| copy.machine(clock, &mut commands));
        let Some(mut machine) = machine else {
            return queries.into_iter().map(|(id, ..)| too_early(id)).collect();
        };
        machine.go();
        for (id, name, args) in queries {
            machine.queried(id, &name, args);
        }
        commands.retain(|command| matches!(command.kind, CommandKind::RespondToQuery { .. }));
        commands
    }

    /// What its definition says, once it is known.
    pub fn versioning_behavior(&self) -> Option<VersioningBehavior> {
        self.loaded.as_ref()?.program.versioning_behavior
    }

    /// The steps that its routines wait at, in the order of the routines.
    pub fn waits_at(&self) -> Vec<StepId> {
        let (Some(run), Some(loaded)) = (&self.run, &self.loaded) else {
            return Vec::new();
        };
        let waits = |routine: &&Routine| !matches!(routine.waiting, None | Some(Waiting::Branches));
        let waiting = run.routines.values().filter(waits);
        waiting
            .filter_map(|routine| routine.step(&loaded.program))
            .collect()
    }

    /// What the definition keeps in its `state`; `None` before its program is known.
    pub fn state(&self) -> Option<Value> {
        self.loaded.as_ref()?;
        Some(self.run.as_deref()?.state.clone())
    }

    /// The run's state as bytes, to be continued by [`Instance::restore`]; `None` before its program is known.
    pub fn snapshot(&self) -> Option<Vec<u8>> {
        let loaded = self.loaded.as_ref()?;
        let run = self.run.as_deref()?;
        postcard::to_allocvec(&(loaded.bundle.bytes.as_slice(), run, &run.flags)).ok()
    }

    pub fn restore(snapshot: &[u8], programs: &dyn Programs) -> Result<Self, String> {
        let (bundle, mut run, flags): (Vec<u8>, Run, Vec<u32>) =
            postcard::from_bytes(snapshot).map_err(|error| error.to_string())?;
        let loaded = programs.load(&bundle)?;
        run.flags = flags;
        Ok(Instance {
            run: Some(Box::new(run)),
            loaded: Some(loaded),
            observer: None,
        })
    }

    fn machine<'a>(
        &'a mut self,
        clock: &'a Clock,
        commands: &'a mut Vec<Command>,
    ) -> Option<Machine<'a>> {
        let loaded = self.loaded.as_ref()?;
        let mut machine = Machine::new(
            self.run.as_deref_mut()?,
            &loaded.program,
            &loaded.bundle.bytes,
            clock,
            commands,
        );
        machine.sight = self
            .observer
            .as_deref()
            .map(|observer| Sight { observer, loaded });
        Some(machine)
    }

    fn apply(
        &mut self,
        job: Job,
        clock: &Clock,
        commands: &mut Vec<Command>,
        programs: &dyn Programs,
    ) -> Result<(), TaskFailure> {
        match job {
            Job::Initialize(info) => return self.initialize(*info, clock, commands, programs),
            Job::UpdateRandomSeed(seed) => {
                if let Some(run) = &mut self.run {
                    run.random = seed;
                }
                return Ok(());
            }
            _ => {}
        }
        let Some(run) = self.run.as_deref_mut() else {
            return Err(TaskFailure(
                "an activation came before the one that initialises the run".into(),
            ));
        };
        if run.phase == Phase::Binding {
            return match job {
                Job::ResolveActivity { seq, resolution } if is_binding(run, seq) => {
                    run.operations.remove(&seq);
                    self.bind(resolution, clock, commands, programs)
                }
                job => self.keep_early(job, clock, commands, programs),
            };
        }
        if let Some(mut machine) = self.machine(clock, commands) {
            machine.apply(job);
        }
        Ok(())
    }

    /// Asks for the bundle, unless the run brings it along.
    fn initialize(
        &mut self,
        info: Initialize,
        clock: &Clock,
        commands: &mut Vec<Command>,
        programs: &dyn Programs,
    ) -> Result<(), TaskFailure> {
        if let Some(payload) = info.headers.get(DEFINITION_HEADER) {
            let bundle = payload.decode().map_err(|error| TaskFailure(error.0))?;
            let state = info
                .headers
                .get(STATE_HEADER)
                .map(Payload::decode)
                .transpose();
            let mut run = match state.map_err(|error| TaskFailure(error.0))? {
                Some(Value::Bytes(state)) => Run::carried(&state, info).map_err(TaskFailure)?,
                _ => Run::new(info),
            };
            run.fix_flags(clock, commands);
            self.run = Some(Box::new(run));
            return self.bind(Resolution::Completed(bundle), clock, commands, programs);
        }
        if info.newest.is_none() && !clock.is_replaying {
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
        let argument = |text: &str| {
            Payload::from_value(&Value::from(text)).map_err(|error| TaskFailure(error.0))
        };
        let arguments = vec![argument(&info.workflow_type)?, argument(digest)?];
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

    /// The bundle is known: the run begins, with all that came before.
    fn bind(
        &mut self,
        resolution: Resolution,
        clock: &Clock,
        commands: &mut Vec<Command>,
        programs: &dyn Programs,
    ) -> Result<(), TaskFailure> {
        let bundle = match resolution {
            Resolution::Completed(value) => value,
            Resolution::Failed(failure) | Resolution::Cancelled(failure) => {
                return Err(TaskFailure(format!(
                    "the definition could not be resolved: {}",
                    failure.message
                )));
            }
        };
        let Ok(Value::Bytes(bytes)) = bundle.force() else {
            return Err(TaskFailure(
                "the marker of the run's definition does not hold a bundle".into(),
            ));
        };
        let loaded = programs.load(bytes).map_err(TaskFailure)?;
        let version = loaded.bundle.version.clone();
        self.loaded = Some(loaded);
        let Some(run) = &mut self.run else {
            return Ok(());
        };
        let is_carried = run.info.headers.contains_key(STATE_HEADER);
        run.phase = Phase::Running;
        run.info.newest = None;
        // Kept in history, needed no more.
        run.info.headers.clear();
        let Some(mut machine) = self.machine(clock, commands) else {
            return Ok(());
        };
        // The marker with the bundle goes with the same workflow task.
        machine.payloads_size_bytes.set(machine.bundle.len());
        if !version.is_empty() {
            machine.command(CommandKind::MarkVersion(version));
        }
        let early = std::mem::take(&mut machine.run.early);
        match is_carried {
            true => machine.take_over(),
            false => machine.begin_run(),
        }
        for job in early {
            match job {
                // It was accepted when it came.
                Job::Update(update) => machine.begin_update(update),
                job => machine.apply(job),
            }
        }
        Ok(())
    }

    /// What comes before the bundle waits for it; only an update's verdict cannot.
    fn keep_early(
        &mut self,
        job: Job,
        clock: &Clock,
        commands: &mut Vec<Command>,
        programs: &dyn Programs,
    ) -> Result<(), TaskFailure> {
        let Some(run) = self.run.as_deref_mut() else {
            return Ok(());
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
                        failure,
                    };
                    commands.push(kind.into());
                    return Ok(());
                }
            };
            commands.push(kind.into());
        }
        run.early.push(job);
        Ok(())
    }
}

/// A validator sees the state as it is at the beginning of the run.
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

fn is_binding(run: &Run, seq: u32) -> bool {
    run.operations
        .get(&seq)
        .is_some_and(|o| matches!(o.kind, OperationKind::Binding))
}

fn too_early(id: String) -> Command {
    let message = "the run has not begun yet: its definition is not known so far; ask again";
    let result = Err(Failure::application("NotStarted", message));
    CommandKind::RespondToQuery { id, result }.into()
}

impl Machine<'_> {
    /// As far as it goes, unless it has ended.
    fn go(&mut self) {
        if self.run.phase != Phase::Running {
            return;
        }
        if !self.carry_over() {
            self.drive();
            self.carry_over();
        }
        self.close();
    }

    fn apply(&mut self, job: Job) {
        match job {
            Job::Signal { name, input } => self.signalled(name, input),
            Job::Update(update) => self.updated(update),
            Job::Cancel { .. } => {
                self.run.cancel_requested = true;
                let main = self
                    .run
                    .routines
                    .iter()
                    .find(|(_, r)| r.kind == RoutineKind::Main);
                if let Some(id) = main.map(|(id, _)| *id) {
                    self.request_cancel(id, 0);
                }
            }
            job => self.resolve(job),
        }
    }

    /// The input is checked, the state gets its first values, and the main routine is there.
    fn begin_run(&mut self) {
        let input = one_value(self.run.info.arguments.clone());
        if let Some(failure) = invalid_input(self.program, &input) {
            self.run.ending = Some(Ending::Failed(failure));
        } else if let Err(failure) = self.initial_state() {
            self.run.ending = Some(Ending::Failed(failure));
        } else {
            self.spawn_function(RoutineKind::Main, FunctionRef::Main, Value::Null);
        }
    }

    fn initial_state(&mut self) -> Result<(), Failure> {
        let locals = self.locals(&self.program.main, Value::Null);
        let mut state = Map::with_capacity(self.program.state.len());
        for (name, code) in &self.program.state {
            let value = self.evaluate_with(&locals, code)?;
            state.insert(name.clone(), self.forced(&value)?);
        }
        self.run.state = Value::map(state);
        Ok(())
    }
}
