//! Definition to program, in one walk: names become slots, expressions are checked and compiled, options get their
//! defaults. All that is wrong is reported at once. A program always comes out: whether one with errors may run is the caller's to say.

mod calls;
mod options;
mod schedules;
mod schemas;
mod scope;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::definition::{self, Block, Definition, Handler, Library, Name, Step};
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::expression::{self, Code, Expression, Template, Type};
use crate::program::{self, BlockId, Function, Program, StepId};
use crate::source::{Range, Sources};
use crate::value::Value;
use schemas::Schemas;
use scope::{FunctionKind, Scope};

/// Compiles a definition with the libraries that it uses.
///
/// A state variable has the type of its first value as long as everything that is set fits it. Where something does not,
/// the variable is dynamic, and the walk is made again with what is known then.
pub fn compile(
    definition: &Definition,
    libraries: &[Library],
    sources: &Sources,
) -> (Program, Vec<Diagnostic>) {
    let mut dynamic = BTreeSet::new();
    loop {
        let mut compiler = Compiler::new(definition, libraries);
        compiler.dynamic = dynamic;
        let known = compiler.dynamic.len();
        let program = compiler.program(sources);
        if compiler.dynamic.len() == known {
            return (program, compiler.diagnostics);
        }
        dynamic = compiler.dynamic;
    }
}

struct Compiler<'a> {
    definition: &'a Definition,
    /// The definition's own, then those of its libraries.
    blocks_by_name: Vec<&'a Block>,
    activities: BTreeMap<Arc<str>, &'a definition::ActivityContract>,
    schemas: Schemas,
    /// The schemas of activities' inputs and results, compiled once.
    contracts: BTreeMap<Arc<str>, Arc<program::Contract>>,
    /// The state's variables: those declared and those set anywhere.
    state: BTreeMap<Arc<str>, Type>,
    /// Those of them whose type changes as they are set.
    dynamic: BTreeSet<Arc<str>>,
    diagnostics: Vec<Diagnostic>,
    steps: Vec<program::Step>,
    ranges: Vec<Range>,
    blocks: Vec<Box<[StepId]>>,
    /// The ranges of all expressions that are not constants.
    expressions: Vec<Range>,
}

impl<'a> Compiler<'a> {
    fn new(definition: &'a Definition, libraries: &'a [Library]) -> Self {
        let mut diagnostics = Vec::new();
        let blocks = definition
            .blocks
            .iter()
            .chain(libraries.iter().flat_map(|l| &l.blocks));
        let blocks_by_name: Vec<&Block> = blocks.collect();
        let activities = definition
            .activities
            .iter()
            .chain(libraries.iter().flat_map(|l| &l.activities));
        let types = definition
            .types
            .iter()
            .chain(libraries.iter().flat_map(|l| &l.types));
        let schemas = Schemas::new(types, &mut diagnostics);
        Compiler {
            definition,
            // The first of a name wins: the definition over its libraries.
            activities: activities
                .rev()
                .map(|a| (a.name.value.clone(), a))
                .collect(),
            contracts: BTreeMap::new(),
            state: BTreeMap::new(),
            dynamic: BTreeSet::new(),
            schemas,
            blocks_by_name,
            diagnostics,
            steps: Vec::new(),
            ranges: Vec::new(),
            blocks: Vec::new(),
            expressions: Vec::new(),
        }
    }

    fn program(&mut self, sources: &Sources) -> Program {
        let definition = self.definition;
        let state = self.initial_state();
        let main = self.function(
            FunctionKind::Main,
            &definition.name,
            (definition.input.as_ref(), definition.output.as_ref()),
            &definition.steps,
        );
        let queries = definition.queries.iter().map(|q| self.query(q)).collect();
        let signals = definition
            .signals
            .iter()
            .map(|h| self.handler(FunctionKind::Signal, h))
            .collect();
        let updates = definition
            .updates
            .iter()
            .map(|h| self.handler(FunctionKind::Update, h))
            .collect();
        let blocks = self.blocks_by_name.clone();
        self.refuse_recursion(&blocks);
        let functions = blocks
            .iter()
            .map(|b| {
                let schemas = (b.input.as_ref(), b.output.as_ref());
                self.function(FunctionKind::Block, &b.name, schemas, &b.steps)
            })
            .collect();
        // The options of a start are computed by whoever starts, not by a run.
        let expressions = std::mem::take(&mut self.expressions);
        let start = self.start_options();
        let schedules = self.schedules();
        Program {
            workflow: definition.name.value.clone(),
            description: definition.description.as_ref().map(|d| d.value.clone()),
            task_queue: definition.task_queue.as_ref().map(|q| q.value.clone()),
            history: definition.history,
            versioning_behavior: definition.versioning_behavior,
            state,
            main,
            queries,
            signals,
            updates,
            functions,
            start,
            schedules,
            steps: std::mem::take(&mut self.steps),
            blocks: std::mem::take(&mut self.blocks),
            ranges: std::mem::take(&mut self.ranges),
            expressions,
            sources: sources.clone(),
        }
    }

    /// The declared variables, then those that are only ever set: they begin as null.
    fn initial_state(&mut self) -> Vec<(Arc<str>, Code)> {
        let mut scope = self.scope(FunctionKind::InitialState, self.definition.input.as_ref());
        let mut state = Vec::new();
        for (name, template) in &self.definition.state {
            let (code, found) = self.typed_template(template, &mut scope);
            let name = name.value.clone();
            let found = match self.dynamic.contains(&name) {
                true => Type::Dynamic,
                false => found.as_variable(),
            };
            self.state.insert(name.clone(), found);
            state.push((name, code));
        }
        for name in scope::assigned_names(self.definition) {
            if !self.state.contains_key(&name) {
                self.state.insert(name.clone(), Type::Dynamic);
                state.push((name, Code::constant_of(Value::Null)));
            }
        }
        state
    }

    fn function(
        &mut self,
        kind: FunctionKind,
        name: &Name,
        (input, output): (Option<&definition::Schema>, Option<&definition::Schema>),
        steps: &[Step],
    ) -> Function {
        let mut scope = self.scope(kind, input);
        scope.output = self.schemas.type_of(output);
        let first = self.steps.len();
        let body = self.block(steps, &mut scope);
        mark_undone(&mut self.steps[first..]);
        Function {
            name: name.value.clone(),
            input: self.schema(input),
            output: self.schema(output),
            body,
            slots: scope.function.slots,
            is_saga: scope.function.has_compensation,
        }
    }

    fn handler(&mut self, kind: FunctionKind, handler: &Handler) -> program::Handler {
        let schemas = (handler.input.as_ref(), handler.output.as_ref());
        let validate = handler.validate.as_ref().map(|validate| {
            let mut scope = self.scope(FunctionKind::Validator, handler.input.as_ref());
            // False or the reason rejects.
            let verdict = Type::union([Type::Bool, Type::String, Type::Null]);
            let validate = Template::from_expression(validate.clone());
            self.fitting(&validate, &verdict, &mut scope)
        });
        program::Handler {
            name: handler.name.value.clone(),
            description: handler.description.as_ref().map(|d| d.value.clone()),
            validate,
            function: self.function(kind, &handler.name, schemas, &handler.steps),
            finish_before_completion: handler.finish_before_completion,
        }
    }

    fn query(&mut self, query: &definition::Query) -> program::Query {
        let mut scope = self.scope(FunctionKind::Query, query.input.as_ref());
        let expected = self.schemas.type_of(query.output.as_ref());
        program::Query {
            name: query.name.value.clone(),
            description: query.description.as_ref().map(|d| d.value.clone()),
            input: self.schema(query.input.as_ref()),
            output: self.schema(query.output.as_ref()),
            result: self.fitting(&query.result, &expected, &mut scope),
        }
    }

    /// Steps in a scope of their own: what they bind ends with them.
    fn block(&mut self, steps: &[Step], outer: &mut Scope) -> BlockId {
        let scope = outer.nested();
        self.block_in(steps, scope, outer)
    }

    /// Steps that run where a condition is `truth`.
    fn block_where(
        &mut self,
        (condition, truth): (&Expression, bool),
        steps: &[Step],
        outer: &mut Scope,
    ) -> BlockId {
        let mut scope = outer.nested();
        scope.environment = scope.environment.assuming(condition, truth);
        self.block_in(steps, scope, outer)
    }

    fn block_in(&mut self, steps: &[Step], mut scope: Scope, outer: &mut Scope) -> BlockId {
        let ids: Vec<StepId> = steps
            .iter()
            .map(|step| self.step(step, &mut scope))
            .collect();
        outer.function = scope.function;
        self.blocks.push(ids.into());
        BlockId(self.blocks.len() as u32 - 1)
    }

    /// Compiles an expression that was checked in this scope.
    fn expression(&mut self, expression: &Expression, scope: &mut Scope) -> Code {
        let (_, diagnostics) = expression::check(expression, &scope.environment);
        self.diagnostics.extend(diagnostics);
        let code = expression::compile(expression, &scope.environment);
        self.noted(code)
    }

    /// A condition: an expression whose type must not be known to be other than bool.
    fn condition(&mut self, expression: &Expression, scope: &mut Scope) -> Code {
        let diagnostics = expression::check_condition(expression, &scope.environment);
        self.diagnostics.extend(diagnostics);
        let code = expression::compile(expression, &scope.environment);
        self.noted(code)
    }

    fn template(&mut self, template: &Template, scope: &mut Scope) -> Code {
        self.typed_template(template, scope).0
    }

    fn typed_template(&mut self, template: &Template, scope: &mut Scope) -> (Code, Type) {
        let (found, diagnostics) = expression::check_template(template, &scope.environment);
        self.diagnostics.extend(diagnostics);
        let code = expression::compile_template(template, &scope.environment);
        (self.noted(code), found)
    }

    /// A template whose data must fit a type; a part that does not is reported at its place.
    fn fitting(&mut self, template: &Template, wanted: &Type, scope: &mut Scope) -> Code {
        let (_, found) = expression::check_template_as(template, &scope.environment, wanted);
        self.diagnostics.extend(found);
        let code = expression::compile_template(template, &scope.environment);
        self.noted(code)
    }

    fn noted(&mut self, code: Code) -> Code {
        if code.constant().is_none() {
            self.expressions.push(code.range());
        }
        code
    }

    fn text(&mut self, template: &Template, scope: &mut Scope) -> Code {
        self.fitting(template, &Type::String, scope)
    }

    fn optional(&mut self, template: Option<&Template>, scope: &mut Scope) -> Option<Code> {
        template.map(|template| self.template(template, scope))
    }

    fn optional_fitting(
        &mut self,
        template: Option<&Template>,
        wanted: &Type,
        scope: &mut Scope,
    ) -> Option<Code> {
        template.map(|template| self.fitting(template, wanted, scope))
    }

    /// Null stands for nothing said.
    fn optional_text(&mut self, template: Option<&Template>, scope: &mut Scope) -> Option<Code> {
        self.optional_fitting(template, &Type::String.nullable(), scope)
    }

    fn schema(&mut self, schema: Option<&definition::Schema>) -> Option<program::Schema> {
        self.schemas.compile(schema?, &mut self.diagnostics)
    }

    /// A block that calls itself, through others or not, would never end.
    fn refuse_recursion(&mut self, blocks: &[&Block]) {
        for block in blocks {
            let mut path = vec![block.name.value.clone()];
            if calls(block, &block.name.value, blocks, &mut path) {
                self.diagnostics.push(
                    Diagnostic::error(
                        "recursive-block",
                        block.name.range,
                        format!(
                            "the block `{}` calls itself: {}",
                            block.name.value,
                            path.join(" → ")
                        ),
                    )
                    .help("use a loop, or a child workflow"),
                );
            }
        }
    }

    fn undefined(&mut self, code: &'static str, what: &str, name: &Name, known: &[Arc<str>]) {
        let mut diagnostic = Diagnostic::error(
            code,
            name.range,
            format!("there is no {what} `{}` here", name.value),
        );
        let known: Vec<&str> = known.iter().map(|n| &**n).collect();
        if let Some(near) = did_you_mean(&name.value, known.iter().copied()) {
            diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
        } else if !known.is_empty() {
            diagnostic = diagnostic.help(format!("there are: {}", known.join(", ")));
        }
        self.diagnostics.push(diagnostic);
    }
}

/// An activity that is started in one step and awaited in one with `compensate` is what the latter undoes.
fn mark_undone(steps: &mut [program::Step]) {
    let awaited = steps.iter().filter(|step| step.compensate.is_some());
    let awaited: BTreeSet<u32> = awaited
        .filter_map(|step| match step.action {
            program::Action::Await(slot) => Some(slot),
            _ => None,
        })
        .collect();
    for step in steps {
        if let (program::Action::Activity(activity), Some(slot)) = (&mut step.action, step.slot) {
            activity.is_undone = activity.is_started && awaited.contains(&slot);
        }
    }
}

/// Whether a block calls the one named, directly or through others.
fn calls(block: &Block, wanted: &str, blocks: &[&Block], path: &mut Vec<Arc<str>>) -> bool {
    for called in scope::called_blocks(&block.steps) {
        if *called == *wanted {
            path.push(called);
            return true;
        }
        if path.contains(&called) {
            continue;
        }
        if let Some(next) = blocks.iter().find(|b| b.name.value == called) {
            path.push(called);
            if calls(next, wanted, blocks, path) {
                return true;
            }
            path.pop();
        }
    }
    false
}
