//! The deterministic state machine behind every run: it receives jobs and the time, and returns commands. It never
//! learns the time, randomness or the outside by itself.
//!
//! The engine owns a run's state, the order of its routines, its operations and their numbers. The host owns the
//! connection, the clock, the bundles and the execution of activities.

#![deny(clippy::wildcard_enum_match_arm)]

mod binding;
mod carry;
pub mod command;
mod drive;
mod ending;
mod evaluate;
pub mod failure;
mod flag;
mod frame;
mod handlers;
mod inbox;
mod inspect;
mod invariant;
pub mod job;
mod load;
mod machine;
pub mod observe;
mod operations;
mod options;
mod pending;
pub(crate) mod start;
mod state;
mod steps;
mod stored;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use binding::RESOLVE_DEFINITION;
pub(crate) use binding::wanted_bundle;
use binding::{Bound, is_binding};
pub use carry::{CHAIN_HEADER, DEFINITION_HEADER, SIGNALS_HEADER, STATE_HEADER};
use command::Command;
use evaluate::one_value;
pub(crate) use evaluate::{PAYLOAD_SIZE_EXCEEDED, split_mix};
use failure::Failure;
pub use handlers::{SignalFate, signal_fate};
use job::{Activation, EncodedBundle, Job};
pub(crate) use load::size_bytes as command_size_bytes;
use machine::Machine;
use observe::{Observer, Sight};
use start::invalid_input;
use state::{Beside, Clock, Ending, FunctionRef, Phase, Routine, RoutineKind, Run, Waiting};
pub(crate) use stored::StoredError;
pub use stored::from_stored;

use crate::faults::Fault;
use crate::program::Program;
use crate::value::{Map, Value};
use crate::words::{StepId, VersioningBehavior};

/// Temporal's own search attribute for versions of code: a list finds a run by the version that it is bound to.
pub(crate) const VERSION_ATTRIBUTE: &str = "TemporalChangeVersion";

/// The workflow task cannot be completed and will be retried, by a fixed worker or after a deployment.
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

    /// Why there is no definition of a workflow type that should have one, for messages.
    fn why_not(&self, _workflow_type: &str) -> Option<String> {
        None
    }
}

impl<P: Programs + ?Sized> Programs for Arc<P> {
    fn load(&self, bundle: &[u8]) -> Result<Arc<Loaded>, String> {
        (**self).load(bundle)
    }

    fn workflow_types(&self) -> Vec<String> {
        (**self).workflow_types()
    }

    fn why_not(&self, workflow_type: &str) -> Option<String> {
        (**self).why_not(workflow_type)
    }
}

/// One run of a workflow, for its host: a worker, the simulator, a test.
///
/// # Who owns what
///
/// The instance owns the run's state: its routines, what it waits for, the numbers (`seq`) of its operations, its
/// random seed. It has no connection, no clock and no threads, and it does nothing between two calls. The host owns
/// everything else: the connection to the server, the bundles and their programs ([`Programs`]), the activities, and
/// the history. It passes in what happened as [`Job`]s and carries out the [`Command`]s that it gets. An operation's
/// `seq` is in both: the host reports the end of what a command began under the command's own number.
///
/// # The order of calls
///
/// 1. [`Instance::new`], or [`Instance::restore`] from a snapshot; then [`Instance::observed_by`], before the first activation.
/// 2. Before an activation, while [`Instance::definition`] is `None`: compile what [`Instance::awaited_bundles`] lists, so that
///    `activate` does not have to. Leaving this out is slower, not wrong.
/// 3. Before an activation with more than one job, if [`Instance::orders_history`] is `Some`: sort the jobs by their places in
///    the history. `None` means that the run began with an older engine and takes them as core sorts them.
/// 4. In a replay, before the activation with the marker, if [`Instance::may_be_bound_late`] is `Some`: check whether the history's
///    first workflow task recorded nothing, and if so call [`Instance::first_task_is_bare`].
/// 5. [`Instance::activate`] with the activation. It applies the jobs, drives the run until nothing in it moves, and answers
///    queries. It never waits.
/// 6. Send the commands, in their order, as the answer to the workflow task. [`CommandKind::Log`] and [`CommandKind::UseFlag`] are for the
///    host itself: write the line unless this is a replay; report the flag to core. A local activity's result arrives in another
///    activation of the same task.
///
/// Then the next activation follows, until a command ends the run (complete, fail, cancel, continue as new). There is
/// never more than one activation of an instance at a time. All other methods only inspect the run, and may be called
/// between any two activations.
///
/// # What the fields of an activation mean
///
/// - `now` is the time of the workflow task, the same in each replay. The run has no other clock.
/// - `is_replaying` is set for as long as the history decides. The run then requests what the history has and validates no update.
/// - `flags` are the changes of the engine that the history of a replay knows; see `engine/flag.rs`. They are read while
///   `is_replaying`; new tasks use every flag.
/// - `history_length`, `history_size_bytes` and `continue_as_new_suggested` are the server's. Expressions read them, and
///   `history: automatic` acts on the last.
/// - A first activation that is not a replay has the newest bundle of the workflow type in [`Initialize::newest`]; without it the task fails.
/// - [`Initialize::is_continuation`] vouches for the headers: set it only if the server reports that a run's own command began this one.
///
/// # Failures
///
/// `activate` returns [`TaskFailure`] if the workflow task cannot be completed: a missing or unreadable definition, or
/// a broken invariant of the engine. No command of that activation may be sent; fail the workflow task and drop the
/// instance. Another one is made from the history when the server retries the task. An instance that broke an invariant
/// fails all later activations too. A mistake in a *definition* is never reported here: it fails the run, by a command.
///
/// # Snapshots
///
/// Between any two activations, [`Instance::snapshot`] returns the whole run as bytes, together with its bundle. The
/// observer is not part of it.
///
/// [`CommandKind::Log`]: command::CommandKind::Log
/// [`CommandKind::UseFlag`]: command::CommandKind::UseFlag
/// [`Initialize::newest`]: job::Initialize::newest
/// [`Initialize::is_continuation`]: job::Initialize::is_continuation
#[derive(Debug, Default)]
pub struct Instance {
    run: Option<Box<Run>>,
    loaded: Option<Arc<Loaded>>,
    observer: Option<Arc<dyn Observer>>,
    /// Versions that the rest of the history marks. Like the next field, needed only until the run is bound.
    patches: BTreeSet<String>,
    /// Resolved, but bound only in the next workflow task.
    late: Option<Bound>,
    /// The run is replayed, and its first workflow task recorded nothing that a run's steps request.
    is_first_task_bare: bool,
}

impl Instance {
    pub fn new() -> Self {
        Instance::default()
    }

    /// Registers an observer of the run. It is not part of a snapshot.
    pub fn observed_by(&mut self, observer: Arc<dyn Observer>) {
        self.observer = Some(observer);
    }

    /// Applies the jobs of an activation, in order, then drives the run as far as possible.
    pub fn activate(
        &mut self,
        activation: Activation,
        programs: &dyn Programs,
    ) -> Result<Vec<Command>, TaskFailure> {
        let clock = Clock::of(&activation);
        let mut commands = Vec::new();
        let mut queries = Vec::new();
        let was_bound = self.loaded.is_some();
        let is_query = |job: &Job| matches!(job, Job::Query { .. });
        let may_begin = self.late.is_some() && !activation.jobs.iter().all(is_query);
        if let Some(run) = &mut self.run {
            run.count_jobs(&activation.jobs);
        }
        for job in load::answerable(self.run.as_deref(), activation.jobs, &mut commands) {
            if let Job::Query { id, name, args } = job {
                queries.push((id, name, args));
            } else {
                self.apply(job, &clock, &mut commands, programs)?;
            }
        }
        if may_begin {
            self.begin_late(&clock, &mut commands)?;
        }
        if !was_bound {
            self.begin_main();
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
        match &self.run {
            Some(run) => run.soundness().map(|()| commands),
            None => Ok(commands),
        }
    }

    /// The workflow's id and its type, once it has started.
    pub(crate) fn names(&self) -> Option<(&str, &str)> {
        let info = &self.run.as_deref()?.info;
        Some((&info.workflow_id, &info.workflow_type))
    }

    /// The definition that it is bound to: `order@12`, or the digest if it was not deployed.
    pub(crate) fn definition(&self) -> Option<&str> {
        let bundle = &self.loaded.as_ref()?.bundle;
        Some(match bundle.version.as_str() {
            "" => &bundle.digest,
            version => version,
        })
    }

    /// A step's id, or its place if it has none.
    pub fn step_name(&self, step: StepId) -> Option<String> {
        let program = &self.loaded.as_ref()?.program;
        let id = program.step(step).id.as_deref();
        Some(id.map_or_else(|| program.location(step), str::to_owned))
    }

    /// The step that the last activation executed last.
    pub fn last_step(&self) -> Option<StepId> {
        self.run.as_deref()?.at
    }

    /// The versioning behavior of its definition, once it is known.
    pub(crate) fn versioning_behavior(&self) -> Option<VersioningBehavior> {
        self.loaded.as_ref()?.program.versioning_behavior
    }

    /// The steps at which its routines wait, in the order of the routines.
    pub(crate) fn waits_at(&self) -> Vec<StepId> {
        let (Some(run), Some(loaded)) = (&self.run, &self.loaded) else {
            return Vec::new();
        };
        let waits = |routine: &&Routine| !matches!(routine.waiting, None | Some(Waiting::Branches));
        let waiting = run.routines.values().filter(waits);
        waiting
            .filter_map(|routine| routine.step(&loaded.program))
            .collect()
    }

    /// The workflow's id, if its jobs must be in the order of history; a run that began with an older engine takes them
    /// as core sorts them.
    pub(crate) fn orders_history(&self) -> Option<&str> {
        let run = self.run.as_deref()?;
        let is_meant = run.keeps_order() && !Fault::OrderIgnored.is_on();
        is_meant.then_some(&*run.info.workflow_id)
    }

    /// The definition's `state`; `None` before its program is known.
    pub(crate) fn state(&self) -> Option<Value> {
        self.loaded.as_ref()?;
        Some(self.run.as_deref()?.state.clone())
    }

    /// The run's state as bytes, from which [`Instance::restore`] continues; `None` before its program is known.
    pub fn snapshot(&self) -> Option<Vec<u8>> {
        let loaded = self.loaded.as_ref()?;
        let run = self.run.as_deref()?;
        postcard::to_allocvec(&(loaded.bundle.bytes.as_slice(), run, run.beside())).ok()
    }

    pub fn restore(snapshot: &[u8], programs: &dyn Programs) -> Result<Self, String> {
        let (bundle, mut run, beside): (Vec<u8>, Run, Beside) =
            from_stored(snapshot).map_err(|error| error.to_string())?;
        let loaded = programs.load(&bundle)?;
        run.put_beside(beside);
        Ok(Instance {
            run: Some(Box::new(run)),
            loaded: Some(loaded),
            ..Instance::default()
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
            Job::Initialize(info) => self.initialize(*info, clock, commands, programs),
            Job::UpdateRandomSeed(seed) => {
                // A run that has not begun gets the seed that it begins with.
                if let Some(run) = &mut self.run {
                    run.random = seed;
                }
                Ok(())
            }
            Job::HasPatch(id) => {
                self.patches.insert(id);
                Ok(())
            }
            Job::FireTimer { .. }
            | Job::ResolveActivity { .. }
            | Job::BackOffActivity { .. }
            | Job::ChildStarted { .. }
            | Job::ChildNotStarted { .. }
            | Job::ResolveChild { .. }
            | Job::ResolveSignalExternal { .. }
            | Job::ResolveCancelExternal { .. }
            | Job::NexusStarted { .. }
            | Job::NexusNotStarted { .. }
            | Job::ResolveNexus { .. }
            | Job::Signal { .. }
            | Job::Update(_)
            | Job::Query { .. }
            | Job::Cancel { .. }
            | Job::Begin
            | Job::Accepted(_) => self.apply_to_run(job, clock, commands, programs),
        }
    }

    /// A job for the run itself, which waits until the run is bound.
    fn apply_to_run(
        &mut self,
        job: Job,
        clock: &Clock,
        commands: &mut Vec<Command>,
        programs: &dyn Programs,
    ) -> Result<(), TaskFailure> {
        let Some(run) = self.run.as_deref_mut() else {
            return Err(TaskFailure(
                "an activation came before the one that initialises the run".into(),
            ));
        };
        if run.phase == Phase::Binding {
            if let Job::ResolveActivity { seq, resolution } = &job
                && is_binding(run, *seq)
            {
                run.operations.remove(seq);
                return self.resolved(resolution.clone(), clock, commands, programs);
            }
            return self.keep_early(job, clock, commands, programs);
        }
        let Some(mut machine) = self.machine(clock, commands) else {
            return Err(TaskFailure(
                "the engine broke an invariant: a run that is bound has a program".into(),
            ));
        };
        match machine.run.keeps_order() {
            true => machine.receive(job),
            false => machine.apply(job),
        }
        Ok(())
    }
}

impl Machine<'_> {
    /// Checks the input, initialises the state, and creates the main routine.
    fn begin_run(&mut self) {
        let input = one_value(self.run.info.arguments.clone());
        let is_bounded = self.run.has(flag::SCHEMA_CHECKS_BOUNDED);
        if let Some(failure) = invalid_input(self.program, &input, is_bounded) {
            return self.end_with(Ending::Failed(failure));
        }
        if let Err(failure) = self.initial_state() {
            return self.end_with(Ending::Failed(failure));
        }
        let main = self.spawn_function(RoutineKind::Main, FunctionRef::Main, Value::Null);
        if self.run.keeps_order() {
            // It begins after the messages that arrived before it.
            self.run.ready.remove(&main);
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
