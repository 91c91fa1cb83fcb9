//! What a definition defines for starts of its workflow: whether the input is valid, and the defaults under `start`.

use std::collections::BTreeMap;

use super::evaluate::{one_value, violation};
use super::failure::{Failure, FailureInfo};
use super::job::Initialize;
use super::machine::Machine;
use super::state::{Clock, Routine, RoutineKind, Run};
use crate::program::{Program, Schedule};
use crate::value::{Duration, JsonError, Map, Payload, Timestamp, Value};
use crate::words::{RetryPolicy, WorkflowIdConflictPolicy, WorkflowIdReusePolicy};

/// The options under `start`, evaluated with the input; the server chooses what a definition leaves out.
#[derive(Debug, Default)]
pub(crate) struct StartDefaults {
    pub(crate) workflow_id: Option<String>,
    pub(crate) task_queue: Option<String>,
    pub(crate) execution_timeout: Option<Duration>,
    pub(crate) run_timeout: Option<Duration>,
    pub(crate) task_timeout: Option<Duration>,
    pub(crate) retry_policy: Option<RetryPolicy>,
    pub(crate) id_reuse_policy: Option<WorkflowIdReusePolicy>,
    pub(crate) id_conflict_policy: Option<WorkflowIdConflictPolicy>,
    pub(crate) cron_schedule: Option<String>,
    pub(crate) memo: BTreeMap<String, Payload>,
    pub(crate) search_attributes: BTreeMap<String, Payload>,
}

impl StartDefaults {
    /// `now` and `random_seed` determine the expressions' `now()` and `uuid()`.
    pub(crate) fn of(
        program: &Program,
        arguments: Vec<Value>,
        now: Timestamp,
        random_seed: u64,
    ) -> Result<StartDefaults, Failure> {
        if let Some(failure) = refused(program, arguments.clone()) {
            return Err(failure);
        }
        let mut run = Run::new(Initialize {
            workflow_type: program.workflow.to_string(),
            arguments,
            random_seed,
            ..Initialize::default()
        });
        let clock = Clock {
            now,
            ..Clock::default()
        };
        let mut commands = Vec::new();
        Machine::new(&mut run, program, &[], &clock, &mut commands).start_defaults()
    }

    /// With the schedule's own memo and search attributes. They are computed once for all starts, so they may not
    /// change from one to the next.
    pub(crate) fn of_schedule(
        program: &Program,
        schedule: &Schedule,
    ) -> Result<StartDefaults, String> {
        let computed = |seconds: i64| {
            let now = Timestamp { seconds, nanos: 0 };
            let arguments = schedule.input.iter().cloned().collect();
            let defaults = StartDefaults::of(program, arguments, now, seconds as u64);
            defaults.map_err(|failure| failure.message)
        };
        let (mut once, again) = (computed(0)?, computed(1_000_000)?);
        if (&once.memo, &once.search_attributes) != (&again.memo, &again.search_attributes) {
            let why = "the `memo` or the `search_attributes` of its `start` change from one start to the next, and a schedule's do not";
            return Err(why.to_owned());
        }
        once.memo.extend(payloads(&schedule.memo)?);
        once.search_attributes
            .extend(payloads(&schedule.search_attributes)?);
        Ok(once)
    }
}

fn payloads(map: &Map) -> Result<BTreeMap<String, Payload>, String> {
    let fields = map.iter();
    let fields = fields.filter_map(|(key, value)| Some((key.as_str()?.to_owned(), value)));
    let payloads = fields.map(|(key, value)| Ok((key, Payload::from_value(value)?)));
    payloads
        .collect::<Result<_, JsonError>>()
        .map_err(|error| error.0)
}

/// How the arguments of a start do not match the schema of its workflow.
pub(crate) fn refused(program: &Program, arguments: Vec<Value>) -> Option<Failure> {
    invalid_input(program, &one_value(arguments), true)
}

/// How an input does not match the schema of its workflow.
pub(crate) fn invalid_input(program: &Program, input: &Value, is_bounded: bool) -> Option<Failure> {
    let wrong = violation(program.main.input.as_ref(), input, is_bounded)?;
    let workflow = &program.workflow;
    let message = format!("the input of `{workflow}` breaks its schema: {wrong}");
    let mut failure = Failure::definition(message);
    if let FailureInfo::Application { error_type, .. } = &mut failure.info {
        *error_type = "InvalidInput".into();
    }
    Some(failure)
}

impl Machine<'_> {
    fn start_defaults(mut self) -> Result<StartDefaults, Failure> {
        let start = &self.program.start;
        let locals = self.locals(&self.program.main, Value::Null);
        let routine = &Routine::new(RoutineKind::Main, Vec::new(), locals);
        let retry_policy = start.retry_policy.as_ref();
        Ok(StartDefaults {
            workflow_id: self.optional_text(routine, start.workflow_id.as_ref())?,
            task_queue: start.task_queue.as_deref().map(str::to_owned),
            execution_timeout: self
                .optional_length(routine, start.workflow_execution_timeout.as_ref())?,
            run_timeout: self.optional_length(routine, start.workflow_run_timeout.as_ref())?,
            task_timeout: self.optional_length(routine, start.workflow_task_timeout.as_ref())?,
            retry_policy: retry_policy
                .map(|policy| self.retry_policy(routine, policy))
                .transpose()?,
            id_reuse_policy: start.workflow_id_reuse_policy,
            id_conflict_policy: start.workflow_id_conflict_policy,
            cron_schedule: start.cron_schedule.as_deref().map(str::to_owned),
            memo: self.payloads(routine, start.memo.as_ref())?,
            search_attributes: self.payloads(routine, start.search_attributes.as_ref())?,
        })
    }
}
