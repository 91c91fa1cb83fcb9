//! Signals, updates and queries: their handlers, and waits for signals and conditions.

use super::command::CommandKind;
use super::evaluate::{one_value, violation};
use super::failure::Failure;
use super::flag::SCHEMA_CHECKS_BOUNDED;
use super::job::Update;
use super::machine::Machine;
use super::observe::Event;
use super::state::{Ending, Frame, FunctionRef, Outcome, Routine, RoutineId, RoutineKind, Saga};
use crate::program::{self, Function, slot};
use crate::value::{Map, Payload, Value, quoted};
use crate::words::LogLevel;

/// The query with which Temporal's UI asks where a run is.
const STACK_TRACE_QUERY: &str = "__stack_trace";
/// The query with which Temporal's UI asks what a run declares.
const METADATA_QUERY: &str = "__temporal_workflow_metadata";

impl Machine<'_> {
    /// The slots of a function, with the run's input and the handler's arguments set.
    pub(crate) fn locals(&self, function: &Function, args: Value) -> Vec<Option<Value>> {
        let mut locals = vec![None; function.slots as usize];
        locals[slot::INPUT as usize] = Some(one_value(self.run.info.arguments.clone()));
        locals[slot::ARGS as usize] = Some(args);
        locals
    }

    pub(crate) fn spawn_function(
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

    pub(crate) fn signalled(&mut self, name: String, input: Vec<Value>) {
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

    /// Accepts or rejects an update, and starts its handler.
    pub(crate) fn updated(&mut self, update: Update) {
        if self.answer(&update) {
            self.begin_update(update);
        }
    }

    /// Accepts or rejects an update. True if it is accepted.
    pub(crate) fn answer(&mut self, update: &Update) -> bool {
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
                failure: failure.into_refusal(),
            },
        });
        is_accepted
    }

    pub(crate) fn validate(&mut self, update: &Update) -> Result<(), Failure> {
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
        let verdict = self.forced(&verdict)?;
        let is_accepted = matches!(verdict, Value::Bool(true) | Value::Null);
        let reason = match verdict.as_str() {
            _ if is_accepted => return Ok(()),
            Some("") => return Ok(()),
            Some(reason) => reason.to_owned(),
            None => format!(
                "the update `{}` was rejected by its validator",
                quoted(&update.name)
            ),
        };
        Err(Failure::application("UpdateRejected", reason))
    }

    /// The handler of an update that was accepted.
    pub(crate) fn begin_update(&mut self, update: Update) {
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

    pub(crate) fn complete_update(&mut self, protocol_instance_id: String, outcome: Outcome) {
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

    pub(crate) fn queried(&mut self, id: String, name: &str, args: Vec<Value>) {
        let result = match name {
            STACK_TRACE_QUERY => self.payload(&Value::from(self.stack_trace())),
            METADATA_QUERY => self.payload(&self.metadata()),
            name => self.query_result(name, args),
        };
        let result = result.and_then(|answer| self.beside(&id, answer));
        let result = result.map_err(Failure::into_refusal);
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
}

/// What a definition does with a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignalFate {
    Taken,
    /// No handler or wait receives it: it is kept, for a continuation that may.
    Kept,
    /// Dropped and logged, with the reason.
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

/// A handler for any name does not receive signals that a step waits for.
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

pub(crate) fn listed(names: &[&str]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
