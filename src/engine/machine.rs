//! The state that the engine's parts share during one activation of one run.

use std::cell::{Cell, OnceCell};

use super::command::{Command, CommandKind};
use super::observe::Sight;
use super::state::{Clock, FunctionRef, Run};
use crate::limits::WORKFLOW_TASK_COST_MAX;
use crate::program::{Function, Program};
use crate::value::Value;
use crate::words::LogLevel;

/// One activation of one run.
pub(crate) struct Machine<'a> {
    pub(crate) run: &'a mut Run,
    pub(crate) program: &'a Program,
    /// The bundle in its stored form, for a continuation that keeps it.
    pub(crate) bundle: &'a [u8],
    pub(crate) clock: &'a Clock,
    pub(crate) commands: &'a mut Vec<Command>,
    /// `workflow`, created when an expression first reads it.
    pub(crate) workflow: OnceCell<Value>,
    pub(crate) cost_left: u64,
    pub(crate) steps: u64,
    /// The size of all payloads created in this activation.
    pub(crate) payloads_size_bytes: Cell<usize>,
    /// The observer, if there is one.
    pub(crate) sight: Option<Sight<'a>>,
}

impl<'a> Machine<'a> {
    pub(crate) fn new(
        run: &'a mut Run,
        program: &'a Program,
        bundle: &'a [u8],
        clock: &'a Clock,
        commands: &'a mut Vec<Command>,
    ) -> Self {
        run.at = None;
        Machine {
            run,
            program,
            bundle,
            clock,
            commands,
            workflow: OnceCell::new(),
            cost_left: WORKFLOW_TASK_COST_MAX,
            steps: 0,
            payloads_size_bytes: Cell::new(0),
            sight: None,
        }
    }

    pub(crate) fn command(&mut self, kind: CommandKind) {
        self.run.count(&kind);
        self.commands.push(Command {
            step: self.run.at,
            ..Command::from(kind)
        });
    }

    pub(crate) fn log(&mut self, level: LogLevel, message: impl Into<String>) {
        self.command(CommandKind::Log {
            level,
            message: message.into(),
            fields: Vec::new(),
        });
    }

    pub(crate) fn function(&self, function: FunctionRef) -> &'a Function {
        let program = self.program;
        match function {
            FunctionRef::Main => &program.main,
            FunctionRef::Signal(i) => &program.signals[i as usize].function,
            FunctionRef::Update(i) => &program.updates[i as usize].function,
            FunctionRef::Block(i) => &program.functions[i as usize],
        }
    }
}
