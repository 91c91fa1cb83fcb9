//! How a run is bound to its bundle in its first activations, and what happens to messages that arrive before it is.

use super::calls::DEFINITION_HEADER;
use super::carry::STATE_HEADER;
use super::command::{ActivityTimeouts, Command, CommandKind, ScheduleLocalActivity};
use super::failure::Failure;
use super::job::{Initialize, Job, Resolution, Update};
use super::machine::Machine;
use super::state::{Clock, Operation, OperationKind, Phase, Run};
use super::{Instance, Loaded, Programs, TaskFailure};
use crate::value::{Duration, Payload, Value};

/// The local activity whose marker binds a run to its bundle: its arguments are the workflow type and the digest, its
/// result the encoded bundle.
pub const RESOLVE_DEFINITION: &str = "resolve-definition";

/// How long the look-up of a bundle may take; it is one in memory.
const RESOLVE_DEFINITION_TIMEOUT: Duration = Duration {
    seconds: 10,
    nanos: 0,
};

impl Instance {
    /// Queries that come while the bundle is being looked up: a copy of the run goes as far as the run itself will go
    /// with the bundle that it is about to be bound to, and answers.
    pub(super) fn queried_early(
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

    /// Asks for the bundle, unless the run brings it along.
    pub(super) fn initialize(
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
    pub(super) fn bind(
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
    pub(super) fn keep_early(
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

pub(super) fn is_binding(run: &Run, seq: u32) -> bool {
    run.operations
        .get(&seq)
        .is_some_and(|o| matches!(o.kind, OperationKind::Binding))
}

fn too_early(id: String) -> Command {
    let message = "the run has not begun yet: its definition is not known so far; ask again";
    let result = Err(Failure::application("NotStarted", message));
    CommandKind::RespondToQuery { id, result }.into()
}
