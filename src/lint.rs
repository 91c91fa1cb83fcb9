//! Rules about definitions that compile and yet are not what their author means. One file per rule; the comment at its top
//! is the rule's documentation.

#![deny(clippy::wildcard_enum_match_arm)]

pub(crate) mod allow;
mod awaited_signal_has_handler;
mod catch_near_miss;
mod child_input;
mod constant_condition;
mod effect_left;
mod endless_loop_without_wait;
mod ineffective_option;
mod missing_return;
mod refused_request;
mod set_near_miss;
mod started_never_awaited;
mod unbounded_history;
mod unreachable_catch;
mod unreachable_step;
mod unused_activity;
mod unused_block;
mod unused_state;
mod unused_type;
mod url_without_scheme;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::compile::Uses;
use crate::definition::{Action, Block, Definition, Library, Step};
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::limits::{DIAGNOSTICS_KEPT_MAX, SUGGESTION_CANDIDATES_MAX, SUGGESTION_COMPARISONS_MAX};
use crate::program::{Program, Schema};
use crate::source::Range;

/// The subject of a rule.
pub(crate) struct Subject<'a> {
    pub(crate) definition: &'a Definition,
    pub(crate) libraries: &'a [Arc<Library>],
    /// The compiled definition.
    pub(crate) program: &'a Program,
    /// The names that its expressions read.
    pub(crate) uses: &'a Uses,
    /// Returns the schema of the input of a workflow type that is defined in the same files.
    pub(crate) input_of: &'a InputOf<'a>,
}

/// The schema of a workflow type's input, if it is known.
pub(crate) type InputOf<'a> = dyn Fn(&str) -> Option<Arc<Schema>> + Sync + 'a;

pub(crate) struct Rule {
    pub(crate) name: &'static str,
    source: &'static str,
    check: fn(&Subject<'_>, &mut Vec<Diagnostic>),
}

macro_rules! rules {
    ($($module:ident = $name:literal),* $(,)?) => {
        /// All rules, by name.
        pub(crate) const RULES: &[Rule] = &[$(Rule {
            name: $name,
            source: include_str!(concat!("lint/", stringify!($module), ".rs")),
            check: $module::check,
        }),*];
    };
}

rules! {
    awaited_signal_has_handler = "awaited-signal-has-handler",
    catch_near_miss = "catch-near-miss",
    child_input = "child-input",
    constant_condition = "constant-condition",
    effect_left = "effect-left",
    endless_loop_without_wait = "endless-loop-without-wait",
    ineffective_option = "ineffective-option",
    missing_return = "missing-return",
    refused_request = "refused-request",
    set_near_miss = "set-near-miss",
    started_never_awaited = "started-never-awaited",
    unbounded_history = "unbounded-history",
    unreachable_catch = "unreachable-catch",
    unreachable_step = "unreachable-step",
    unused_activity = "unused-activity",
    unused_block = "unused-block",
    unused_state = "unused-state",
    unused_type = "unused-type",
    url_without_scheme = "url-without-scheme",
}

impl Rule {
    /// The first sentence of the documentation, on one line.
    pub(crate) fn summary(&self) -> String {
        let documentation = self.documentation();
        let first = documentation.split("\n\n").next().unwrap_or_default();
        let first = first.replace('\n', " ");
        let end = first.find(". ").unwrap_or(first.trim_end().len());
        first[..end].trim_end_matches('.').to_owned()
    }

    /// Markdown: what the rule flags, why, and what to do.
    pub(crate) fn documentation(&self) -> String {
        let lines = self
            .source
            .lines()
            .map_while(|line| line.strip_prefix("//!"));
        lines.fold(String::new(), |text, line| {
            text + line.strip_prefix(' ').unwrap_or(line) + "\n"
        })
    }
}

/// Applies all rules to a definition without errors.
pub(crate) fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    for rule in RULES {
        (rule.check)(subject, &mut diagnostics);
        if diagnostics.len() > DIAGNOSTICS_KEPT_MAX {
            // The first ones in the text are reported.
            diagnostics.sort_by_key(|d| (d.severity, d.range));
            diagnostics.truncate(DIAGNOSTICS_KEPT_MAX);
        }
    }
    diagnostics
}

/// Finds the names that misspelt ones were meant to be. Each is compared with all names, which takes long if both are
/// many.
struct Suggestions<'n> {
    known: Vec<&'n str>,
    comparisons_left: usize,
}

/// The bound on comparisons is reached.
struct TooMany;

impl<'n> Suggestions<'n> {
    fn new(known: impl Iterator<Item = &'n str>) -> Self {
        Suggestions {
            known: known.collect(),
            comparisons_left: SUGGESTION_COMPARISONS_MAX,
        }
    }

    fn near(&mut self, name: &str) -> Result<Option<&'n str>, TooMany> {
        let comparisons = self.known.len().min(SUGGESTION_CANDIDATES_MAX);
        let left = self.comparisons_left.checked_sub(comparisons);
        self.comparisons_left = left.ok_or(TooMany)?;
        Ok(did_you_mean(name, self.known.iter().copied()))
    }
}

impl TooMany {
    fn warning(&self, rule: &'static str, range: Range) -> Diagnostic {
        let message =
            "this name and those after it are not compared with the others; there are too many";
        Diagnostic::warning(rule, range, message).help("the bound is SUGGESTION_COMPARISONS_MAX")
    }
}

/// What a rule finds out about each block under `blocks`, computed once however often it is called.
struct Blocks<'a, T> {
    by_name: BTreeMap<&'a str, &'a Block>,
    known: RefCell<BTreeMap<&'a str, T>>,
}

impl<'a, T: Copy> Blocks<'a, T> {
    fn new(subject: &Subject<'a>) -> Self {
        let libraries = subject.libraries.iter();
        let own = &subject.definition.blocks;
        let all: Vec<_> = own
            .iter()
            .chain(libraries.flat_map(|l| &l.blocks))
            .collect();
        Blocks {
            // A name denotes the first block that has it.
            by_name: all.into_iter().rev().map(|b| (&*b.name.value, b)).collect(),
            known: RefCell::default(),
        }
    }

    /// Blocks do not call themselves, and called blocks are visited before their callers, so that a chain of calls of
    /// any length uses no stack.
    fn of(&self, name: &str, find: &dyn Fn(&'a Block) -> T) -> Option<T> {
        let (first, _) = self.by_name.get_key_value(name)?;
        let mut open = vec![(*first, false)];
        while let Some((name, is_entered)) = open.pop() {
            if self.known.borrow().contains_key(name) {
                continue;
            }
            let Some(block) = self.by_name.get(name) else {
                continue;
            };
            if is_entered {
                let found = find(block);
                self.known.borrow_mut().insert(name, found);
                continue;
            }
            open.push((name, true));
            each_block(&block.steps, &mut |steps| {
                let called = steps.iter().filter_map(Step::called);
                open.extend(called.map(|block| (&*block.value, false)));
            });
        }
        self.known.borrow().get(name).copied()
    }
}

impl<'a> Subject<'a> {
    /// Every sequence of steps that begins something: the workflow's, the handlers', the blocks'.
    fn bodies(&self) -> impl Iterator<Item = &'a [Step]> {
        let definition = self.definition;
        let handlers = definition.signals.iter().chain(&definition.updates);
        std::iter::once(&definition.steps)
            .chain(handlers.map(|handler| &handler.steps))
            .chain(definition.blocks.iter().map(|block| &block.steps))
            .map(Vec::as_slice)
    }

    /// Every sequence of steps, including those inside steps.
    fn each_block(&self, f: &mut dyn FnMut(&'a [Step])) {
        for body in self.bodies() {
            each_block(body, f);
        }
    }

    fn each_step(&self, f: &mut dyn FnMut(&'a Step)) {
        self.each_block(&mut |steps| steps.iter().for_each(&mut *f));
    }

    /// Every step of the definition, and of the blocks of its libraries.
    fn each_step_used(&self, f: &mut dyn FnMut(&'a Step)) {
        self.each_step(f);
        for block in self.libraries.iter().flat_map(|library| &library.blocks) {
            each_block(&block.steps, &mut |steps| steps.iter().for_each(&mut *f));
        }
    }
}

fn each_block<'a>(steps: &'a [Step], f: &mut dyn FnMut(&'a [Step])) {
    f(steps);
    for step in steps {
        for block in step.blocks() {
            each_block(block, f);
        }
    }
}

/// Whether a step of the block, or one inside it, is of a kind.
fn any_step(steps: &[Step], is: &dyn Fn(&Step) -> bool) -> bool {
    steps
        .iter()
        .any(|step| is(step) || step.blocks().iter().any(|block| any_step(block, is)))
}

/// Whether a step ends its block: nothing after it in the block ever runs.
fn ends(step: &Step) -> bool {
    if step.when.is_some() {
        return false;
    }
    match &step.action.value {
        Action::Return(_)
        | Action::Fail(_)
        | Action::ContinueAsNew(_)
        | Action::Break
        | Action::Continue => true,
        Action::If {
            then, otherwise, ..
        } => block_ends(then) && block_ends(otherwise),
        Action::Switch { cases, default, .. } => {
            cases.iter().all(|case| block_ends(&case.steps)) && block_ends(default)
        }
        Action::Do { steps, .. } | Action::Saga { steps, .. } => block_ends(steps),
        Action::Activity(_)
        | Action::BuiltIn(_)
        | Action::Timer(_)
        | Action::Wait(_)
        | Action::Set(_)
        | Action::ForEach(_)
        | Action::While { .. }
        | Action::Repeat { .. }
        | Action::Parallel { .. }
        | Action::Race { .. }
        | Action::Try(_)
        | Action::Call { .. }
        | Action::Child(_)
        | Action::Start(_)
        | Action::Await(_)
        | Action::Cancel(_)
        | Action::Signal(_)
        | Action::CancelWorkflow { .. }
        | Action::Nexus(_)
        | Action::Upsert { .. }
        | Action::Log { .. }
        | Action::Details(_) => false,
    }
}

fn block_ends(steps: &[Step]) -> bool {
    steps.iter().any(ends)
}

/// The steps of a loop that only its own steps can end.
fn endless_loop(step: &Step) -> Option<&[Step]> {
    if let Action::While { condition, steps } = &step.action.value {
        return (condition.as_bool() == Some(true)).then_some(steps);
    }
    if let Action::Repeat { steps, until } = &step.action.value {
        return (until.as_bool() == Some(false)).then_some(steps);
    }
    None
}

/// Whether a step leaves the loops around it.
fn leaves(step: &Step) -> bool {
    step.action.value.facts().leaves_loop()
}
