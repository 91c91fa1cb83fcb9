//! Signals, updates and queries: their handlers, and what waits for signals and conditions.

use std::sync::Arc;

use super::command::CommandKind;
use super::evaluate::{one_value, violation};
use super::failure::Failure;
use super::flag::SCHEMA_CHECKS_BOUNDED;
use super::job::Update;
use super::machine::Machine;
use super::observe::Event;
use super::state::{
    Ending, Frame, FunctionRef, Outcome, Routine, RoutineId, RoutineKind, Saga, Waiting,
};
use crate::program::{self, Action, Function, slot};
use crate::value::{Map, Payload, Value, quoted};
use crate::words::{LogLevel, StepId, TimeoutType};

/// The query by which Temporal's UI asks where a run is.
const STACK_TRACE_QUERY: &str = "__stack_trace";
/// The query by which Temporal's UI asks what a run declares.
const METADATA_QUERY: &str = "__temporal_workflow_metadata";

impl Machine<'_> {
    /// Slots of a function, with the run's input and the handler's arguments in place.
    pub fn locals(&self, function: &Function, args: Value) -> Vec<Option<Value>> {
        let mut locals = vec![None; function.slots as usize];
        locals[slot::INPUT as usize] = Some(one_value(self.run.info.arguments.clone()));
        locals[slot::ARGS as usize] = Some(args);
        locals
    }

    pub fn spawn_function(
        &mut self,
        kind: RoutineKind,
        function: FunctionRef,
        args: Value,
    ) -> RoutineId {
        let body = self.function(function);
        let saga = body.is_saga.then(Saga::default);
        let frames = vec![
            Frame::Function {
                function,
                saga,
                caller: None,
            },
            Frame::block(body.body),
        ];
        let locals = self.locals(body, args);
        self.run.spawn(Routine::new(kind, frames, locals))
    }

    pub fn signalled(&mut self, name: String, input: Vec<Value>) {
        let program = self.program;
        let Some((index, handler)) = signal_handler(program, &name) else {
            if !is_awaited(program, &name) && !self.run.signals.contains_key(&name) {
                let message = format!(
                    "no handler and no wait takes the signal `{}`; it is kept",
                    quoted(&name)
                );
                self.log(LogLevel::Warn, message);
            }
            self.run
                .signals
                .entry(name)
                .or_default()
                .push_back(one_value(input));
            return;
        };
        self.observe(Event::SignalsSettled { count: 1 });
        let args = handler_args(handler, &name, input);
        let is_bounded = self.run.has(SCHEMA_CHECKS_BOUNDED);
        if let Some(message) = breaks_schema(handler, &name, &args, is_bounded) {
            return self.log(LogLevel::Error, message);
        }
        let index = index as u32;
        self.spawn_function(
            RoutineKind::Signal { handler: index },
            FunctionRef::Signal(index),
            args,
        );
    }

    pub fn take_signal(&mut self, name: &str) -> Option<Value> {
        let queue = self.run.signals.get_mut(name)?;
        let value = queue.pop_front();
        if queue.is_empty() {
            self.run.signals.remove(name);
        }
        let count = usize::from(value.is_some());
        self.observe(Event::SignalsSettled { count });
        value
    }

    /// Looks whether what routines wait for has come: a signal, a condition, the end of its time. True if one goes on.
    pub fn look_at_watchers(&mut self) -> bool {
        let watching: Vec<RoutineId> = self.run.watching.iter().copied().collect();
        let mut moved = false;
        for id in watching {
            moved |= self.look_at_watcher(id);
        }
        moved
    }

    fn look_at_watcher(&mut self, id: RoutineId) -> bool {
        let program = self.program;
        let Some(waiting) = self.run.routines.get(&id).and_then(|r| r.waiting.clone()) else {
            return false;
        };
        let (step, timer, timed_out, met) = match waiting {
            Waiting::Signal {
                step,
                timer,
                timed_out,
            } => {
                let Action::WaitSignal { name, .. } = &program.step(step).action else {
                    return false;
                };
                (step, timer, timed_out, self.take_signal(name).map(Ok))
            }
            Waiting::Condition {
                step,
                timer,
                timed_out,
                seen,
            } => {
                let Action::WaitUntil { condition, .. } = &program.step(step).action else {
                    return false;
                };
                let is_settled = condition.reads_only_slots() && !condition.reads(slot::WORKFLOW);
                let is_seen = is_settled && seen == Some(self.run.state_version);
                (
                    step,
                    timer,
                    timed_out,
                    if is_seen {
                        None
                    } else {
                        self.condition_met(id, condition)
                    },
                )
            }
            _ => return false,
        };
        if let Some(result) = met {
            if !timed_out {
                timer
                    .into_iter()
                    .for_each(|seq| self.cancel_operation(seq, None));
            }
            self.run
                .resume(id, result.map_or_else(Outcome::Failed, Outcome::Value));
            return true;
        }
        timed_out && self.wait_timed_out(id, step)
    }

    fn condition_met(
        &mut self,
        id: RoutineId,
        condition: &crate::expression::Code,
    ) -> Option<Result<Value, Failure>> {
        let routine = self.run.routines.remove(&id)?;
        let holds = self.condition(&routine, condition);
        let version = self.run.state_version;
        let routine = self.run.routines.entry(id).or_insert(routine);
        if let Some(Waiting::Condition { seen, .. }) = &mut routine.waiting {
            *seen = Some(version);
        }
        match holds {
            Ok(false) => None,
            Ok(true) => Some(Ok(Value::Bool(true))),
            Err(failure) => Some(Err(failure)),
        }
    }

    /// `on_timeout` goes on, or the wait fails with a timeout.
    fn wait_timed_out(&mut self, id: RoutineId, step: StepId) -> bool {
        let on_timeout = match &self.program.step(step).action {
            Action::WaitSignal { on_timeout, .. } | Action::WaitUntil { on_timeout, .. } => {
                *on_timeout
            }
            _ => None,
        };
        let Some(block) = on_timeout else {
            let message = format!("the wait at {} timed out", self.program.location(step));
            let failure = Failure::timeout(message, TimeoutType::StartToClose);
            self.run.resume(id, Outcome::Failed(failure));
            return true;
        };
        if let Some(routine) = self.run.routines.get_mut(&id) {
            routine.waiting = None;
            routine.frames.push(Frame::block(block));
            self.run.watching.remove(&id);
            self.run.ready.insert(id);
        }
        true
    }

    /// Accepts or rejects an update, and begins its handler.
    pub fn updated(&mut self, update: Update) {
        if self.answer(&update) {
            self.begin_update(update);
        }
    }

    /// Accepts or rejects an update. True if it is accepted.
    pub fn answer(&mut self, update: &Update) -> bool {
        let protocol_instance_id = update.protocol_instance_id.clone();
        let verdict = match update.run_validator {
            true => self.validate(update),
            false => Ok(()),
        };
        let is_accepted = verdict.is_ok();
        if is_accepted {
            self.run.count_update(update);
        }
        self.command(match verdict {
            Ok(()) => CommandKind::AcceptUpdate {
                protocol_instance_id,
            },
            Err(failure) => CommandKind::RejectUpdate {
                protocol_instance_id,
                failure: failure.as_refusal(),
            },
        });
        is_accepted
    }

    pub fn validate(&mut self, update: &Update) -> Result<(), Failure> {
        let program = self.program;
        let Some((_, handler)) = program::handler(&program.updates, &update.name) else {
            let names: Vec<&str> = program.updates.iter().map(|h| &*h.name).collect();
            let message = format!(
                "the workflow `{}` has no update `{}`; it has: {}",
                program.workflow,
                quoted(&update.name),
                listed(&names)
            );
            return Err(Failure::application("UnknownUpdate", message));
        };
        let args = handler_args(handler, &update.name, update.input.clone());
        if let Some(wrong) = violation(handler.function.input.as_ref(), &args, true) {
            let message = format!(
                "the input of the update `{}` breaks its schema: {wrong}",
                quoted(&update.name)
            );
            return Err(Failure::application("InvalidInput", message));
        }
        let Some(validate) = &handler.validate else {
            return Ok(());
        };
        let locals = self.locals(&handler.function, args);
        let verdict = self.evaluate_with(&locals, validate)?;
        let reason = match self.forced(&verdict)? {
            Value::Bool(true) | Value::Null => return Ok(()),
            Value::String(reason) if reason.is_empty() => return Ok(()),
            Value::String(reason) => reason.to_string(),
            _ => format!(
                "the update `{}` was rejected by its validator",
                quoted(&update.name)
            ),
        };
        Err(Failure::application("UpdateRejected", reason))
    }

    /// The handler of an update that was accepted.
    pub fn begin_update(&mut self, update: Update) {
        let program = self.program;
        let protocol_instance_id = update.protocol_instance_id;
        let Some((index, handler)) = program::handler(&program.updates, &update.name) else {
            let message = format!("the workflow has no update `{}`", update.name);
            let result = Err(Failure::application("UnknownUpdate", message));
            return self.command(CommandKind::CompleteUpdate {
                protocol_instance_id,
                result,
            });
        };
        let args = handler_args(handler, &update.name, update.input);
        let index = index as u32;
        let kind = RoutineKind::Update {
            handler: index,
            protocol_instance_id,
        };
        self.spawn_function(kind, FunctionRef::Update(index), args);
    }

    pub fn complete_update(&mut self, protocol_instance_id: String, outcome: Outcome) {
        let result = match outcome {
            Outcome::Failed(failure) => Err(failure),
            Outcome::Value(value) | Outcome::Return(value) => self.payload(&value),
            Outcome::Break | Outcome::Continue => self.payload(&Value::Null),
            Outcome::ContinueAsNew(next) => {
                self.end_with(Ending::ContinuedAsNew(next));
                self.payload(&Value::Null)
            }
        };
        self.command(CommandKind::CompleteUpdate {
            protocol_instance_id,
            result,
        });
    }

    pub fn queried(&mut self, id: String, name: &str, args: Vec<Value>) {
        let result = match name {
            STACK_TRACE_QUERY => self.payload(&Value::from(self.stack_trace())),
            METADATA_QUERY => self.payload(&self.metadata()),
            name => self.query_result(name, args),
        };
        let result = result.and_then(|answer| self.beside(&id, answer));
        let result = result.map_err(Failure::as_refusal);
        self.command(CommandKind::RespondToQuery { id, result });
    }

    fn query_result(&mut self, name: &str, args: Vec<Value>) -> Result<Payload, Failure> {
        let program = self.program;
        let find = |wanted: &str| program.queries.iter().find(|query| &*query.name == wanted);
        let Some(query) = find(name).or_else(|| find("*")) else {
            let names: Vec<&str> = program.queries.iter().map(|q| &*q.name).collect();
            let message = format!(
                "the workflow has no query `{}`; it has: {}",
                quoted(name),
                listed(&names)
            );
            return Err(Failure::application("UnknownQuery", message));
        };
        let args = match &*query.name == "*" {
            true => dynamic_args(name, args),
            false => one_value(args),
        };
        if let Some(wrong) = violation(query.input.as_ref(), &args, true) {
            let message = format!(
                "the input of the query `{}` breaks its schema: {wrong}",
                quoted(name)
            );
            return Err(Failure::application("InvalidInput", message));
        }
        let locals = self.locals(&program.main, args);
        let value = self.evaluate_with(&locals, &query.result)?;
        let what = format!("the answer to the query `{}`", quoted(name));
        self.check(query.output.as_ref(), &value, &what)?;
        self.payload(&value)
    }

    /// Where every routine is: step, file, line, column.
    fn stack_trace(&self) -> String {
        let mut lines = Vec::new();
        for (id, routine) in &self.run.routines {
            let kind = match &routine.kind {
                RoutineKind::Main => "workflow".to_owned(),
                RoutineKind::Signal { handler } => {
                    format!("signal {}", self.program.signals[*handler as usize].name)
                }
                RoutineKind::Update { handler, .. } => {
                    format!("update {}", self.program.updates[*handler as usize].name)
                }
                RoutineKind::Branch { parent, index } => {
                    format!("{} of routine {parent}", self.branch_title(*parent, *index))
                }
            };
            lines.push(format!("routine {id} ({kind}):"));
            for frame in routine.frames.iter().rev() {
                if let Frame::Block { block, next, .. } = frame
                    && let Some(step) = self.program.block(*block).get(*next as usize)
                {
                    let name = self.program.step(*step).id.as_deref().unwrap_or("step");
                    lines.push(format!("  {name} at {}", self.program.location(*step)));
                }
            }
        }
        lines.join("\n")
    }

    /// A branch by its name, a turn of a loop by its number.
    fn branch_title(&self, parent: RoutineId, index: u32) -> String {
        let parent = self.run.routines.get(&parent);
        let mut frames = parent.iter().flat_map(|parent| parent.frames.iter().rev());
        let step = frames.find_map(|frame| match frame {
            Frame::Fan(fan) => Some(fan.step),
            _ => None,
        });
        match step.map(|step| self.branch_name(step, index)) {
            Some(Value::String(name)) => format!("branch {name}"),
            _ => format!("turn {index}"),
        }
    }

    /// `temporal.api.sdk.v1.WorkflowMetadata`, in protobuf's JSON form.
    fn metadata(&self) -> Value {
        let definition = |name: &Arc<str>, description: &Option<Arc<str>>| {
            let description = description.clone().unwrap_or_else(|| "".into());
            let name = if &**name == "*" {
                "".into()
            } else {
                name.clone()
            };
            Value::map(Map::from_iter([
                ("name", Value::String(name)),
                ("description", Value::String(description)),
            ]))
        };
        let program = self.program;
        let handlers = |handlers: &[program::Handler]| {
            Value::list(
                handlers
                    .iter()
                    .map(|h| definition(&h.name, &h.description))
                    .collect(),
            )
        };
        let queries = program
            .queries
            .iter()
            .map(|q| definition(&q.name, &q.description))
            .collect();
        Value::map(Map::from_iter([
            (
                "definition",
                Value::map(Map::from_iter([
                    ("type", Value::String(program.workflow.clone())),
                    ("queryDefinitions", Value::list(queries)),
                    ("signalDefinitions", handlers(&program.signals)),
                    ("updateDefinitions", handlers(&program.updates)),
                ])),
            ),
            ("currentDetails", Value::from(self.run.details.as_str())),
        ]))
    }
}

/// A handler for any name is told the name it was called by.
/// What a definition does with a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignalFate {
    Taken,
    /// No handler and no wait takes it: it is kept, for a continuation that may.
    Kept,
    /// Dropped and logged, for this reason.
    Refused(String),
}

/// What a run of the definition will do with a signal.
pub fn signal_fate(program: &program::Program, name: &str, input: Vec<Value>) -> SignalFate {
    match signal_handler(program, name) {
        None if is_awaited(program, name) => SignalFate::Taken,
        None => SignalFate::Kept,
        Some((_, handler)) => {
            let args = handler_args(handler, name, input);
            let message = breaks_schema(handler, name, &args, true);
            message.map_or(SignalFate::Taken, SignalFate::Refused)
        }
    }
}

fn is_awaited(program: &program::Program, name: &str) -> bool {
    let mut awaited = program
        .steps
        .iter()
        .filter_map(|step| step.action.awaited_signal());
    awaited.any(|awaited| **awaited == *name)
}

/// A handler of any name takes no signal that a step waits for.
fn signal_handler<'p>(
    program: &'p program::Program,
    name: &str,
) -> Option<(usize, &'p program::Handler)> {
    let handler = program::handler(&program.signals, name);
    handler.filter(|(_, handler)| *handler.name == *name || !is_awaited(program, name))
}

fn breaks_schema(
    handler: &program::Handler,
    name: &str,
    args: &Value,
    is_bounded: bool,
) -> Option<String> {
    let wrong = violation(handler.function.input.as_ref(), args, is_bounded)?;
    Some(format!(
        "the signal `{}` is refused, its input breaks its schema: {wrong}",
        quoted(name)
    ))
}

fn handler_args(handler: &program::Handler, name: &str, input: Vec<Value>) -> Value {
    match &*handler.name == "*" {
        true => dynamic_args(name, input),
        false => one_value(input),
    }
}

fn dynamic_args(name: &str, input: Vec<Value>) -> Value {
    let input = one_value(input);
    let input = input.force().cloned().unwrap_or(Value::Null);
    Value::map(Map::from_iter([
        ("name", Value::from(name)),
        ("input", input),
    ]))
}

pub fn listed(names: &[&str]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
