//! Calls to what is outside the run: activities, children, Nexus operations, other workflows.

use std::collections::BTreeMap;

use super::command::{
    self, CommandKind, ScheduleActivity, ScheduleLocalActivity, ScheduleNexus, SignalTarget,
    StartChild,
};
use super::evaluate::one_value;
use super::failure::Failure;
use super::flag::ABANDONS_ITSELF;
use super::job::Resolution;
use super::load::{child_size_bytes, fields_size_bytes};
use super::machine::{Flow, Machine};
use super::operations::outcome_of;
use super::state::{OperationKind, Outcome, Routine, RoutineId, Waiting};
use crate::accepted;
use crate::expression::Code;
use crate::program::{self, Action};
use crate::value::{Map, Payload, Value};
use crate::words::{ActivityCancellationType, ContinuedVersion, StepId};

/// The header that carries the bundle of a run to its continuation.
pub const DEFINITION_HEADER: &str = "segno-definition";
/// The header that names the first run of a chain, as only a later run of it can.
pub const CHAIN_HEADER: &str = "segno-chain";

/// The header that carries the signals that nothing has taken to a continuation.
pub const SIGNALS_HEADER: &str = "segno-signals";

impl Machine<'_> {
    pub fn schedule_activity(
        &mut self,
        id: RoutineId,
        routine: &mut Routine,
        step: StepId,
        activity: &program::Activity,
    ) -> Result<Flow, Failure> {
        let options = &activity.options;
        let activity_type = self.accepted(routine, &activity.activity, accepted::name)?;
        let arguments = self.arguments(routine, &activity.arguments)?;
        self.check_input(step, activity, &arguments)?;
        let timeouts = self.activity_timeouts(routine, options)?;
        let retry_policy = options
            .retry_policy
            .as_ref()
            .map(|p| self.retry_policy(routine, p))
            .transpose()?;
        let activity_id =
            self.optional_accepted(routine, options.activity_id.as_ref(), accepted::name)?;
        let cancellation_type = options.cancellation_type;
        let task_queue =
            match self.optional_accepted(routine, options.task_queue.as_ref(), accepted::name)? {
                Some(queue) => queue,
                None => self.run.info.task_queue.clone(),
            };
        let priority = options
            .priority
            .as_ref()
            .map(|p| self.priority(routine, p))
            .transpose()?;
        let seq = self.run.take_seq();
        let activity_id = activity_id.unwrap_or_else(|| seq.to_string());
        let handle = Map::from_iter([("activity_id", activity_id.as_str())]);
        if options.local {
            let local = Box::new(ScheduleLocalActivity {
                seq,
                activity_id,
                activity_type,
                arguments,
                timeouts,
                retry_policy,
                // One that goes on alone would be cut off with its worker: it is waited for unless the author says else.
                cancellation_type: cancellation_type
                    .unwrap_or(ActivityCancellationType::WaitCancellationCompleted),
                attempt: 0,
                original_schedule_time: None,
            });
            self.begin(seq, OperationKind::LocalActivity(local.clone()), Some(step));
            self.command(CommandKind::ScheduleLocalActivity(local));
        } else {
            let waited = ActivityCancellationType::WaitCancellationCompleted;
            let is_undone = activity.is_undone || self.is_undone(routine);
            let cancellation_type = cancellation_type.or(is_undone.then_some(waited));
            let is_abandonable = cancellation_type == Some(ActivityCancellationType::Abandon);
            let kind = match is_abandonable && self.may_use(ABANDONS_ITSELF) {
                true => OperationKind::Abandonable {
                    activity_type: activity_type.clone(),
                    activity_id: activity_id.clone(),
                },
                false => OperationKind::Activity,
            };
            self.begin(seq, kind, Some(step));
            self.command(CommandKind::ScheduleActivity(Box::new(ScheduleActivity {
                seq,
                activity_id: activity_id.clone(),
                activity_type,
                task_queue,
                arguments,
                timeouts,
                retry_policy,
                cancellation_type: cancellation_type.unwrap_or_default(),
                priority,
            })));
        }
        self.summarise(routine, step);
        if !activity.is_started {
            return Ok(self.wait_operation(id, routine, seq));
        }
        self.keep_handle(routine, step, seq);
        Ok(Flow::Next(Value::map(handle)))
    }

    fn wait_operation(&mut self, id: RoutineId, routine: &mut Routine, seq: u32) -> Flow {
        self.wait_for(id, seq);
        routine.waiting = Some(Waiting::Operation { seq });
        Flow::Entered
    }

    fn keep_handle(&mut self, routine: &mut Routine, step: StepId, seq: u32) {
        if let Some(operation) = self.run.operations.get_mut(&seq) {
            operation.is_handle = true;
        }
        if let Some(slot) = self.program.step(step).slot {
            routine.handles.retain(|(s, _)| *s != slot);
            routine.handles.push((slot, seq));
        }
    }

    pub fn await_handle(
        &mut self,
        id: RoutineId,
        routine: &mut Routine,
        slot: u32,
    ) -> Result<Flow, Failure> {
        let operation = routine
            .handle(slot)
            .and_then(|seq| Some((seq, self.run.operations.get(&seq)?)));
        let Some((seq, operation)) = operation else {
            return Err(Failure::definition("nothing was started under this id"));
        };
        match operation.resolution.clone() {
            None => Ok(self.wait_operation(id, routine, seq)),
            Some(resolution) => Ok(match outcome_of(resolution) {
                Outcome::Value(value) => Flow::Next(value),
                outcome => Flow::Out(outcome),
            }),
        }
    }

    /// A result is held against what the activity's contract says of it.
    pub fn checked_result(&mut self, step: StepId, value: Value) -> Resolution {
        let Action::Activity(activity) = &self.program.step(step).action else {
            return Resolution::Completed(value);
        };
        let schema = activity.contract.as_ref().and_then(|c| c.output.as_ref());
        if schema.is_none() {
            return Resolution::Completed(value);
        }
        let what = format!("the activity's result at {}", self.program.location(step));
        match self.check(schema, &value, &what) {
            Ok(()) => Resolution::Completed(value),
            Err(failure) => Resolution::Failed(failure),
        }
    }

    /// The activity would get what its contract rules out.
    fn check_input(
        &self,
        step: StepId,
        activity: &program::Activity,
        arguments: &[Payload],
    ) -> Result<(), Failure> {
        let schema = activity.contract.as_ref().and_then(|c| c.input.as_ref());
        if schema.is_none() {
            return Ok(());
        }
        let values = arguments.iter().cloned().map(Value::from).collect();
        let what = format!("the activity's input at {}", self.program.location(step));
        self.check(schema, &one_value(values), &what)
    }

    pub fn start_child(
        &mut self,
        id: RoutineId,
        routine: &mut Routine,
        step: StepId,
        child: &program::Child,
    ) -> Result<Flow, Failure> {
        let options = &child.options;
        let workflow_type = self.accepted(routine, &child.child, accepted::name)?;
        let input = self.arguments(routine, &child.arguments)?;
        let workflow_id =
            self.optional_accepted(routine, options.workflow_id.as_ref(), accepted::name)?;
        let task_queue =
            self.optional_accepted(routine, options.task_queue.as_ref(), accepted::name)?;
        let start = StartChild {
            seq: 0,
            workflow_id: match workflow_id {
                Some(workflow_id) => workflow_id,
                None => self.uuid(),
            },
            workflow_type,
            task_queue: task_queue.unwrap_or_else(|| self.run.info.task_queue.clone()),
            input,
            execution_timeout: self
                .optional_length(routine, options.workflow_execution_timeout.as_ref())?,
            run_timeout: self.optional_length(routine, options.workflow_run_timeout.as_ref())?,
            task_timeout: self.optional_length(routine, options.workflow_task_timeout.as_ref())?,
            parent_close_policy: options.parent_close_policy,
            workflow_id_reuse_policy: options.workflow_id_reuse_policy,
            retry_policy: options
                .retry_policy
                .as_ref()
                .map(|p| self.retry_policy(routine, p))
                .transpose()?,
            cron_schedule: self
                .optional_text(routine, options.cron_schedule.as_ref())?
                .unwrap_or_default(),
            memo: self.payloads(routine, options.memo.as_ref())?,
            search_attributes: self.payloads(routine, options.search_attributes.as_ref())?,
            cancellation_type: options.cancellation_type,
            priority: options
                .priority
                .as_ref()
                .map(|p| self.priority(routine, p))
                .transpose()?,
        };
        if !self.makes_room(child_size_bytes(&start))? {
            return Ok(Flow::Entered);
        }
        let seq = self.run.take_seq();
        let kind = OperationKind::Child {
            workflow_type: start.workflow_type.clone(),
            workflow_id: start.workflow_id.clone(),
            run_id: None,
            cancellation_type: options.cancellation_type,
        };
        self.begin(seq, kind, Some(step));
        self.command(CommandKind::StartChild(Box::new(StartChild {
            seq,
            ..start
        })));
        self.summarise(routine, step);
        if !child.is_started {
            return Ok(self.wait_operation(id, routine, seq));
        }
        self.keep_handle(routine, step, seq);
        self.wait_for(id, seq);
        routine.waiting = Some(Waiting::ChildStart { seq });
        Ok(Flow::Entered)
    }

    pub fn schedule_nexus(
        &mut self,
        id: RoutineId,
        routine: &mut Routine,
        step: StepId,
        nexus: &program::Nexus,
    ) -> Result<Flow, Failure> {
        let input = match &nexus.input {
            Some(code) => self.evaluate(routine, code)?,
            None => Value::Null,
        };
        let schedule = ScheduleNexus {
            seq: 0,
            endpoint: self.text(routine, &nexus.endpoint)?,
            service: self.text(routine, &nexus.service)?,
            operation: self.text(routine, &nexus.operation)?,
            input: self.payload(&input)?,
            schedule_to_close_timeout: self
                .optional_length(routine, nexus.schedule_to_close_timeout.as_ref())?,
            schedule_to_start_timeout: self
                .optional_length(routine, nexus.schedule_to_start_timeout.as_ref())?,
            start_to_close_timeout: self
                .optional_length(routine, nexus.start_to_close_timeout.as_ref())?,
        };
        let seq = self.run.take_seq();
        self.begin(seq, OperationKind::Nexus, Some(step));
        self.command(CommandKind::ScheduleNexus(Box::new(ScheduleNexus {
            seq,
            ..schedule
        })));
        self.summarise(routine, step);
        if !nexus.is_started {
            return Ok(self.wait_operation(id, routine, seq));
        }
        self.keep_handle(routine, step, seq);
        Ok(Flow::Next(Value::map(Map::new())))
    }

    pub fn signal_external(
        &mut self,
        id: RoutineId,
        routine: &mut Routine,
        step: StepId,
        signal: &program::Signal,
    ) -> Result<Flow, Failure> {
        let name = self.accepted(routine, &signal.name, accepted::name)?;
        let args = self.arguments(routine, &signal.arguments)?;
        let target = match &signal.target {
            program::SignalTarget::Workflow {
                workflow_id,
                run_id,
            } => SignalTarget::Workflow {
                workflow_id: self.accepted(routine, workflow_id, accepted::name)?,
                run_id: self
                    .optional_text(routine, run_id.as_ref())?
                    .unwrap_or_default(),
            },
            program::SignalTarget::Handle(slot) => {
                let operation = routine
                    .handle(*slot)
                    .and_then(|seq| self.run.operations.get(&seq));
                match operation.map(|o| &o.kind) {
                    Some(OperationKind::Child { workflow_id, .. }) => SignalTarget::Child {
                        workflow_id: workflow_id.clone(),
                    },
                    _ => return Err(Failure::definition("this id is not a started child's")),
                }
            }
        };
        let seq = self.run.take_seq();
        self.begin(seq, OperationKind::SignalExternal, Some(step));
        self.command(CommandKind::SignalExternal {
            seq,
            target,
            name,
            args,
        });
        self.summarise(routine, step);
        Ok(self.wait_operation(id, routine, seq))
    }

    pub fn cancel_external(
        &mut self,
        id: RoutineId,
        routine: &mut Routine,
        step: StepId,
        (workflow_id, run_id, reason): (&Code, Option<&Code>, Option<&Code>),
    ) -> Result<Flow, Failure> {
        let workflow_id = self.accepted(routine, workflow_id, accepted::name)?;
        let run_id = self.optional_text(routine, run_id)?.unwrap_or_default();
        let reason = self.optional_text(routine, reason)?.unwrap_or_default();
        let seq = self.run.take_seq();
        self.begin(seq, OperationKind::CancelExternal, Some(step));
        self.command(CommandKind::CancelExternal {
            seq,
            workflow_id,
            run_id,
            reason,
        });
        self.summarise(routine, step);
        Ok(self.wait_operation(id, routine, seq))
    }

    pub fn continue_as_new(
        &mut self,
        routine: &Routine,
        next: &program::ContinueAsNew,
    ) -> Result<command::ContinueAsNew, Failure> {
        let info = self.run.info.clone();
        let workflow = self.optional_accepted(routine, next.workflow.as_ref(), accepted::name)?;
        let task_queue =
            self.optional_accepted(routine, next.task_queue.as_ref(), accepted::name)?;
        let arguments = match &next.arguments {
            Some(arguments) => self.arguments(routine, arguments)?,
            None => info
                .arguments
                .iter()
                .map(|v| self.payload(v))
                .collect::<Result<_, _>>()?,
        };
        let mut headers = BTreeMap::new();
        if next.version == ContinuedVersion::Pinned {
            let bundle = Value::Bytes(self.bundle.into());
            headers.insert(DEFINITION_HEADER.to_owned(), self.payload(&bundle)?);
            headers.insert(CHAIN_HEADER.to_owned(), self.payload(&self.chain())?);
        }
        Ok(command::ContinueAsNew {
            workflow_type: workflow.unwrap_or(info.workflow_type),
            task_queue: task_queue.unwrap_or(info.task_queue),
            arguments,
            run_timeout: self.optional_length(routine, next.workflow_run_timeout.as_ref())?,
            task_timeout: self.optional_length(routine, next.workflow_task_timeout.as_ref())?,
            memo: self.payloads(routine, next.memo.as_ref())?,
            search_attributes: self.payloads(routine, next.search_attributes.as_ref())?,
            headers,
            retry_policy: next
                .retry_policy
                .as_ref()
                .map(|p| self.retry_policy(routine, p))
                .transpose()?,
            initial_versioning_behavior: next.initial_versioning_behavior,
        })
    }

    /// False if it has to wait for the next workflow task.
    pub fn upsert(
        &mut self,
        routine: &Routine,
        search_attributes: Option<&Code>,
        memo: Option<&Code>,
    ) -> Result<bool, Failure> {
        let attributes: BTreeMap<String, Payload> = self.payloads(routine, search_attributes)?;
        let memo = self.payloads(routine, memo)?;
        if !self.makes_room(fields_size_bytes(&attributes) + fields_size_bytes(&memo))? {
            return Ok(false);
        }
        if !attributes.is_empty() {
            self.run.search_attributes.extend(attributes.clone());
            self.command(CommandKind::UpsertSearchAttributes(attributes));
        }
        if !memo.is_empty() {
            self.run.memo.extend(memo.clone());
            self.command(CommandKind::UpsertMemo(memo));
        }
        self.workflow.take();
        Ok(true)
    }
}
