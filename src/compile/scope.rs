//! What names mean at a place: the slots of a function and the names that are in scope.

use std::sync::Arc;

use rpds::RedBlackTreeMap;

use super::Compiler;
use crate::definition::{Action, Definition, Name, Schema, Step};
use crate::diagnostic::Diagnostic;
use crate::expression::{Environment, Purity, Type};
use crate::program::slot;
use crate::source::Range;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FunctionKind {
    Main,
    Signal,
    Update,
    Block,
    Query,
    Validator,
    InitialState,
}

impl FunctionKind {
    fn has_args(self) -> bool {
        matches!(
            self,
            Self::Signal | Self::Update | Self::Query | Self::Validator
        )
    }

    /// A query or a validator may run any number of times, so it must not advance the random state.
    fn is_read_only(self) -> bool {
        matches!(self, Self::Query | Self::Validator)
    }
}

/// The state of a function as a whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FunctionScope {
    pub(crate) kind: FunctionKind,
    pub(crate) slots: u32,
    pub(crate) has_compensation: bool,
}

/// The kind of loop around a place, if there is one in the same routine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loop {
    None,
    Inside,
    /// A `parallel` or `race` is between the place and its loop.
    BehindBranch,
}

#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub(crate) environment: Environment,
    /// The range that defines each name in scope. Maps share what nested scopes have in common.
    pub(crate) names: RedBlackTreeMap<Arc<str>, Range>,
    /// Handles of `start`: slot, whether it is a child's.
    pub(crate) handles: RedBlackTreeMap<Arc<str>, (u32, bool)>,
    pub(crate) function: FunctionScope,
    pub(crate) around: Loop,
    /// The slot of the failure in the innermost `catch`.
    pub(crate) caught: Option<u32>,
    pub(crate) in_saga: bool,
    /// The type that the function's `return` must have.
    pub(crate) output: Type,
}

impl Scope {
    pub(crate) fn nested(&self) -> Scope {
        self.clone()
    }

    /// A new slot under a name that is visible from here on.
    pub(crate) fn define(&mut self, name: &Arc<str>, found: Type) -> u32 {
        let slot = self.function.slots;
        self.function.slots += 1;
        self.environment = self.environment.with(name.clone(), slot, found);
        slot
    }

    pub(crate) fn handle(&self, name: &str) -> Option<(u32, bool)> {
        self.handles.get(name).copied()
    }
}

/// Names that are defined everywhere.
const RESERVED: [&str; 4] = ["input", "args", "state", "workflow"];

impl Compiler<'_> {
    /// The scope in which a function begins.
    pub(crate) fn scope(&self, kind: FunctionKind, input: Option<&Schema>) -> Scope {
        let mut environment = Environment::new();
        let own = self.schemas.type_of(input);
        let (workflow_input, args) = match kind {
            FunctionKind::Main | FunctionKind::Block | FunctionKind::InitialState => (own, None),
            FunctionKind::Signal
            | FunctionKind::Update
            | FunctionKind::Query
            | FunctionKind::Validator => (
                self.schemas.type_of(self.definition.input.as_ref()),
                Some(own),
            ),
        };
        environment = environment.with("input", slot::INPUT, workflow_input);
        if let Some(args) = args.filter(|_| kind.has_args()) {
            environment = environment.with("args", slot::ARGS, args);
        }
        if kind != FunctionKind::InitialState {
            environment = environment.with("state", slot::STATE, self.state_type.clone());
        }
        environment = environment.with("workflow", slot::WORKFLOW, workflow_type());
        if kind.is_read_only() {
            environment = environment.purity(Purity::ReadOnly);
        }
        Scope {
            environment,
            names: RedBlackTreeMap::new(),
            handles: RedBlackTreeMap::new(),
            function: FunctionScope {
                kind,
                slots: slot::LOCAL_FIRST,
                has_compensation: false,
            },
            around: Loop::None,
            caught: None,
            in_saga: false,
            output: Type::Dynamic,
        }
    }

    /// Makes a name visible from here on; a name that is already visible cannot be hidden.
    pub(crate) fn bind(&mut self, name: &Name, found: Type, scope: &mut Scope) -> u32 {
        if RESERVED.contains(&&*name.value) {
            let message = format!("`{}` is reserved and cannot name a step", name.value);
            self.diagnostics
                .push(Diagnostic::error("reserved-name", name.range, message));
        } else if let Some(first) = scope.names.get(&name.value) {
            let message = format!("the name `{}` is already used", name.value);
            self.diagnostics.push(
                Diagnostic::error("duplicate-id", name.range, message)
                    .annotate(*first, "first used here")
                    .help("choose another name"),
            );
        }
        if !scope.names.contains_key(&name.value) {
            scope.names.insert_mut(name.value.clone(), name.range);
        }
        scope.define(&name.value, found)
    }
}

fn workflow_type() -> Type {
    let text = || Type::String;
    let nullable = || Type::Dynamic;
    Type::object([
        ("id", text()),
        ("run_id", text()),
        ("first_run_id", text()),
        ("type", text()),
        ("task_queue", text()),
        ("namespace", text()),
        ("attempt", Type::Int),
        ("start_time", Type::Timestamp),
        ("parent", nullable()),
        ("search_attributes", nullable()),
        ("memo", nullable()),
        ("continued_from", nullable()),
        ("cron_schedule", nullable()),
        ("history_length", Type::Int),
        ("history_size_bytes", Type::Int),
        ("suggested_continue_as_new", Type::Bool),
        ("last_completion_result", nullable()),
    ])
}

/// Every name that a `set` assigns, in the order of the text, each once.
pub(crate) fn assigned_names(definition: &Definition) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = Vec::new();
    let handlers = definition
        .signals
        .iter()
        .chain(&definition.updates)
        .map(|h| &h.steps);
    let blocks = definition.blocks.iter().map(|b| &b.steps);
    for steps in std::iter::once(&definition.steps)
        .chain(handlers)
        .chain(blocks)
    {
        visit(steps, &mut |step| {
            if let Action::Set(assignments) = &step.action.value {
                names.extend(assignments.iter().map(|(name, _)| name.value.clone()));
            }
        });
    }
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

pub(crate) fn called_blocks(steps: &[Step]) -> Vec<Arc<str>> {
    let mut names = Vec::new();
    visit(steps, &mut |step| {
        names.extend(step.called().map(|block| block.value.clone()));
    });
    names
}

/// Every step, those inside others included, in the order of the text.
pub(crate) fn visit<'a>(steps: &'a [Step], f: &mut dyn FnMut(&'a Step)) {
    for step in steps {
        f(step);
        for block in step.blocks() {
            visit(block, f);
        }
    }
}
