//! Definition to program, in one walk: names become slots, expressions are checked and compiled, options get their
//! defaults. All mistakes are reported together. There is always a program: the caller decides whether one with errors
//! may run.

#![deny(clippy::wildcard_enum_match_arm)]

mod calls;
mod options;
mod recursion;
mod schedules;
mod schema_size;
mod schema_words;
mod schemas;
mod scope;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::definition::{self, Block, Definition, Handler, Library, Name, Step};
use crate::diagnostic::{DEFINITION_TOO_LARGE, Diagnostic, PATTERNS_TOO_LARGE, did_you_mean};
use crate::expression::{self, Code, Expression, Template, Type};
use crate::limits::{
    COMPILED_OPERATIONS_MAX, COMPILED_SIZE_BYTES_MAX, DIAGNOSTICS_KEPT_MAX, EXPRESSION_COST_MAX,
    PATTERNS_PROGRAM_SIZE_BYTES_MAX, STATE_TYPE_WALKS_MAX,
};
use crate::program::{self, Function, Program};
use crate::source::{Range, Sources};
use crate::value::Value;
use crate::words::{BlockId, StepId};
use schemas::Schemas;
pub(crate) use schemas::collect_references;
use scope::{FunctionKind, Scope};

/// The result of compiling a definition.
pub struct Compiled {
    pub program: Program,
    pub diagnostics: Vec<Diagnostic>,
    pub(crate) uses: Uses,
}

/// What the expressions of a definition read, by resolved names.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    /// The state variables that an expression reads.
    pub(crate) state: BTreeSet<Arc<str>>,
    /// An expression reads `state` as a whole.
    pub(crate) whole_state: bool,
}

impl Uses {
    fn note(&mut self, code: &Code) {
        if !code.reads(program::slot::STATE) {
            return;
        }
        match code.fields_read(program::slot::STATE) {
            Some(fields) => self.state.extend(fields.into_iter().cloned()),
            None => self.whole_state = true,
        }
    }
}

/// Compiles a definition with the libraries that it uses.
///
/// A state variable has the type of its first value as long as every value that is set matches it. If one does not, the
/// variable is dynamic, and the walk is repeated with that knowledge.
pub fn compile(definition: &Definition, libraries: &[Arc<Library>], sources: &Sources) -> Compiled {
    let mut dynamic = BTreeSet::new();
    for walk in 1.. {
        if walk == STATE_TYPE_WALKS_MAX {
            // Variables that depend on each other can change in a chain as long as the file: the rest of it is not
            // followed.
            let declared = definition.state.iter().map(|(name, _)| name.value.clone());
            dynamic.extend(declared);
        }
        let mut compiler = Compiler::new(definition, libraries);
        compiler.dynamic = dynamic;
        let known = compiler.dynamic.len();
        let program = compiler.program(sources);
        if compiler.dynamic.len() == known || walk == STATE_TYPE_WALKS_MAX {
            return Compiled {
                program,
                diagnostics: compiler.diagnostics,
                uses: compiler.uses,
            };
        }
        dynamic = compiler.dynamic;
    }
    unreachable!("the last walk returns")
}

/// The schema of a definition's input, by itself; `None` if there is none or if it has mistakes.
pub(crate) fn input_schema(
    definition: &Definition,
    libraries: &[Arc<Library>],
) -> Option<program::Schema> {
    Compiler::new(definition, libraries).schema(definition.input.as_ref())
}

/// Approximate memory of the parts of a program: a step, an operation of an expression, a byte of an expression or of
/// data, a part of a schema.
const STEP_MEMORY_BYTES: usize = 640;
const OPERATION_MEMORY_BYTES: usize = 64;
const DATA_MEMORY_BYTES: usize = 16;
const SCHEMA_NODE_MEMORY_BYTES: usize = 256;

struct Compiler<'a> {
    definition: &'a Definition,
    /// The definition's own, then those of its libraries.
    all_blocks: Vec<&'a Block>,
    /// The first one with each name.
    blocks_by_name: BTreeMap<Arc<str>, usize>,
    activities: BTreeMap<Arc<str>, &'a definition::ActivityContract>,
    schemas: Schemas<'a>,
    /// The schemas of activities' inputs and results, compiled once.
    contracts: BTreeMap<Arc<str>, Arc<program::Contract>>,
    /// The state's variables: those declared and those set anywhere.
    state: BTreeMap<Arc<str>, Type>,
    /// The variables whose type changes when they are set.
    dynamic: BTreeSet<Arc<str>>,
    /// The type of `state` as a whole, once all of it is known.
    state_type: Type,
    /// Option defaults of the built-in activities.
    built_in_defaults: Arc<definition::ActivityOptions>,
    diagnostics: Vec<Diagnostic>,
    /// The rest of [`COMPILED_SIZE_BYTES_MAX`].
    size_bytes_left: usize,
    /// The rest of [`COMPILED_OPERATIONS_MAX`].
    operations_left: usize,
    /// A bound is exceeded.
    is_over: bool,
    /// The rest of [`PATTERNS_PROGRAM_SIZE_BYTES_MAX`].
    patterns_left: usize,
    steps: Vec<program::Step>,
    ranges: Vec<Range>,
    blocks: Vec<Box<[StepId]>>,
    /// The ranges of all expressions that are not constants.
    expressions: Vec<Range>,
    uses: Uses,
}

impl<'a> Compiler<'a> {
    fn new(definition: &'a Definition, libraries: &'a [Arc<Library>]) -> Self {
        let mut diagnostics = Vec::new();
        let blocks = definition
            .blocks
            .iter()
            .chain(libraries.iter().flat_map(|l| &l.blocks));
        let all_blocks: Vec<&Block> = blocks.collect();
        let names = all_blocks.iter().enumerate().rev();
        let blocks_by_name = names
            .map(|(i, block)| (block.name.value.clone(), i))
            .collect();
        // Timeouts and retries of `defaults: activity` apply to built-in activities too, but not its task queue: the
        // workflow's own worker runs them.
        let built_in_defaults = Arc::new(definition::ActivityOptions {
            task_queue: None,
            ..definition.defaults.activity.clone()
        });
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
            // The first one with a name takes precedence: the definition over its libraries.
            activities: activities
                .rev()
                .map(|a| (a.name.value.clone(), a))
                .collect(),
            contracts: BTreeMap::new(),
            state: BTreeMap::new(),
            dynamic: BTreeSet::new(),
            state_type: Type::Dynamic,
            built_in_defaults,
            schemas,
            all_blocks,
            blocks_by_name,
            diagnostics,
            size_bytes_left: COMPILED_SIZE_BYTES_MAX,
            operations_left: COMPILED_OPERATIONS_MAX,
            is_over: false,
            patterns_left: PATTERNS_PROGRAM_SIZE_BYTES_MAX,
            steps: Vec::new(),
            ranges: Vec::new(),
            blocks: Vec::new(),
            expressions: Vec::new(),
            uses: Uses::default(),
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
        let blocks = self.all_blocks.clone();
        self.diagnostics.extend(recursion::refuse(&blocks));
        let functions: Vec<Function> = blocks
            .iter()
            .map(|b| {
                let schemas = (b.input.as_ref(), b.output.as_ref());
                self.function(FunctionKind::Block, &b.name, schemas, &b.steps)
            })
            .collect();
        // The client that starts a run computes the options of the start, not the run.
        let expressions = std::mem::take(&mut self.expressions);
        let start = self.start_options();
        let schedules = self.schedules();
        Program {
            workflow: definition.name.value.clone(),
            history: definition.history,
            versioning_behavior: definition.versioning_behavior,
            expression_cost_max: definition
                .expression_cost_max
                .unwrap_or(EXPRESSION_COST_MAX),
            state,
            main,
            queries,
            signals,
            updates,
            functions: functions.into(),
            start,
            schedules,
            memory_bytes: self.memory_bytes(),
            steps: std::mem::take(&mut self.steps).into(),
            blocks: std::mem::take(&mut self.blocks).into(),
            ranges: std::mem::take(&mut self.ranges).into(),
            expressions,
            sources: sources.clone(),
        }
    }

    /// The declared variables, then those that are only ever set, which begin as null.
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
        let variables = self.state.iter().map(|(n, t)| (n.clone(), t.clone()));
        self.state_type = Type::object(variables);
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
        let first = self.extent_here();
        let body = self.block(steps, &mut scope);
        mark_undone(&mut self.steps[first.steps.start as usize..]);
        let (input, output) = (self.schema(input), self.schema(output));
        let end = self.extent_here();
        Function {
            name: name.value.clone(),
            input,
            output,
            body,
            slots: scope.function.slots,
            is_saga: scope.function.has_compensation,
            extent: program::Extent {
                steps: first.steps.start..end.steps.start,
                blocks: first.blocks.start..end.blocks.start,
                expressions: first.expressions.start..end.expressions.start,
                memory_bytes: end.memory_bytes - first.memory_bytes,
            },
        }
    }

    /// An empty extent where the next function begins.
    fn extent_here(&self) -> program::Extent {
        let here = |len: usize| len as u32..len as u32;
        program::Extent {
            steps: here(self.steps.len()),
            blocks: here(self.blocks.len()),
            expressions: here(self.expressions.len()),
            memory_bytes: self.memory_bytes(),
        }
    }

    /// Estimated memory of what has been compiled so far.
    fn memory_bytes(&self) -> usize {
        self.steps.len() * STEP_MEMORY_BYTES
            + (COMPILED_OPERATIONS_MAX - self.operations_left) * OPERATION_MEMORY_BYTES
            + (COMPILED_SIZE_BYTES_MAX - self.size_bytes_left) * DATA_MEMORY_BYTES
            + self.schemas.nodes() * SCHEMA_NODE_MEMORY_BYTES
            + (PATTERNS_PROGRAM_SIZE_BYTES_MAX - self.patterns_left)
    }

    fn handler(&mut self, kind: FunctionKind, handler: &Handler) -> program::Handler {
        let schemas = (handler.input.as_ref(), handler.output.as_ref());
        let validate = handler.validate.as_ref().map(|validate| {
            let mut scope = self.scope(FunctionKind::Validator, handler.input.as_ref());
            // False or a reason rejects.
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

    /// Steps that run if a condition is `truth`.
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
        let mut ids = Vec::with_capacity(steps.len());
        for step in steps {
            // What exceeds a bound never runs, and what follows would only use memory.
            if self.is_over {
                break;
            }
            ids.push(self.step(step, &mut scope));
        }
        outer.function = scope.function;
        self.blocks.push(ids.into());
        BlockId(self.blocks.len() as u32 - 1)
    }

    /// Compiles an expression that was checked in this scope.
    fn expression(&mut self, expression: &Expression, scope: &mut Scope) -> Code {
        if !self.takes(expression.range(), text_size(expression.range()), scope) {
            return Code::constant_of(Value::Null);
        }
        let (_, found) = expression::check(expression, &scope.environment);
        self.checked(found);
        let code = expression::compile(expression, &scope.environment);
        self.noted(code)
    }

    /// A condition: an expression that may be a bool.
    fn condition(&mut self, expression: &Expression, scope: &mut Scope) -> Code {
        if !self.takes(expression.range(), text_size(expression.range()), scope) {
            return Code::constant_of(Value::Null);
        }
        let found = expression::check_condition(expression, &scope.environment);
        self.checked(found);
        let code = expression::compile(expression, &scope.environment);
        self.noted(code)
    }

    fn template(&mut self, template: &Template, scope: &mut Scope) -> Code {
        self.typed_template(template, scope).0
    }

    fn typed_template(&mut self, template: &Template, scope: &mut Scope) -> (Code, Type) {
        if !self.takes(template.range(), template.size_bytes(), scope) {
            return (Code::constant_of(Value::Null), Type::Dynamic);
        }
        let (found, diagnostics) = expression::check_template(template, &scope.environment);
        self.checked(diagnostics);
        let code = expression::compile_template(template, &scope.environment);
        (self.noted(code), found)
    }

    /// A template whose data must match a type; a part that does not is reported at its place.
    fn fitting(&mut self, template: &Template, wanted: &Type, scope: &mut Scope) -> Code {
        if !self.takes(template.range(), template.size_bytes(), scope) {
            return Code::constant_of(Value::Null);
        }
        let (_, found) = expression::check_template_as(template, &scope.environment, wanted);
        self.checked(found);
        let code = expression::compile_template(template, &scope.environment);
        self.noted(code)
    }

    /// Called before something is compiled: whether the whole definition is still within its bound.
    fn takes(&mut self, range: Range, size_bytes: usize, scope: &mut Scope) -> bool {
        self.keep_first_diagnostics();
        scope.environment.set_patterns_left(self.patterns_left);
        scope.environment.set_quiet(self.is_full());
        if let Some(left) = self.size_bytes_left.checked_sub(size_bytes) {
            self.size_bytes_left = left;
            return !self.is_over;
        }
        self.refuse_further(
            range,
            format!(
                "the expressions and data of the definition up to here exceed {COMPILED_SIZE_BYTES_MAX} bytes; defaults and aliases count at each step that uses them"
            ),
            "COMPILED_SIZE_BYTES_MAX",
        );
        false
    }

    fn checked(&mut self, found: Vec<Diagnostic>) {
        if found.iter().any(|d| d.code == PATTERNS_TOO_LARGE) {
            // Patterns after it are not checked.
            self.patterns_left = 0;
        }
        self.diagnostics.extend(found);
    }

    /// Reports once that a bound is exceeded; nothing is compiled afterwards.
    fn refuse_further(&mut self, range: Range, message: String, bound: &str) {
        if !self.is_over {
            self.is_over = true;
            self.size_bytes_left = 0;
            let help = format!("the bound is {bound}; move a part to a child workflow");
            let error = Diagnostic::error(DEFINITION_TOO_LARGE, range, message);
            self.diagnostics.push(error.help(help));
        }
    }

    /// Further diagnostics would not be read.
    fn is_full(&self) -> bool {
        self.diagnostics.len() >= DIAGNOSTICS_KEPT_MAX
    }

    /// The first ones in the text, since those are reported.
    fn keep_first_diagnostics(&mut self) {
        if self.diagnostics.len() > 2 * DIAGNOSTICS_KEPT_MAX {
            let order = |d: &Diagnostic| (!d.is_bound(), d.severity, d.range);
            self.diagnostics.sort_by_key(order);
            self.diagnostics.truncate(DIAGNOSTICS_KEPT_MAX);
        }
    }

    fn noted(&mut self, code: Code) -> Code {
        let left = self.patterns_left;
        self.patterns_left = left.saturating_sub(code.patterns_size_bytes());
        match self.operations_left.checked_sub(code.size()) {
            Some(left) => self.operations_left = left,
            None => self.refuse_further(
                code.range(),
                format!(
                    "the expressions and data of the definition up to here compile to more than {COMPILED_OPERATIONS_MAX} operations; defaults count at each step that uses them"
                ),
                "COMPILED_OPERATIONS_MAX",
            ),
        }
        self.uses.note(&code);
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

    /// Null means unset.
    fn optional_text(&mut self, template: Option<&Template>, scope: &mut Scope) -> Option<Code> {
        self.optional_fitting(template, &Type::String.nullable(), scope)
    }

    fn schema(&mut self, schema: Option<&definition::Schema>) -> Option<program::Schema> {
        self.keep_first_diagnostics();
        let left = &mut self.patterns_left;
        self.schemas.compile(schema?, left, &mut self.diagnostics)
    }

    fn undefined(&mut self, code: &'static str, what: &str, name: &Name, known: &[Arc<str>]) {
        const SHOWN_MAX: usize = 12;
        self.keep_first_diagnostics();
        if self.is_full() {
            return;
        }
        let mut diagnostic = Diagnostic::error(
            code,
            name.range,
            format!("there is no {what} `{}` here", name.value),
        );
        let known: Vec<&str> = known.iter().map(|n| &**n).collect();
        if let Some(near) = did_you_mean(&name.value, known.iter().copied()) {
            diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
        } else if !known.is_empty() {
            let more = if known.len() > SHOWN_MAX { ", …" } else { "" };
            let shown = known[..known.len().min(SHOWN_MAX)].join(", ");
            diagnostic = diagnostic.help(format!("defined here: {shown}{more}"));
        }
        self.diagnostics.push(diagnostic);
    }
}

/// The size of something, by its range in the text; even an empty one takes a step of the walk.
fn text_size(range: Range) -> usize {
    (range.end - range.start) as usize + 1
}

/// An activity that is started in one step and awaited in one with `compensate` is undone by the latter.
fn mark_undone(steps: &mut [program::Step]) {
    let awaited = steps.iter().filter(|step| step.compensate.is_some());
    let mut slots = BTreeSet::new();
    for step in awaited {
        if let program::Action::Await(slot) = step.action {
            slots.insert(slot);
        }
    }
    for step in steps {
        if let (program::Action::Activity(activity), Some(slot)) = (&mut step.action, step.slot) {
            activity.is_undone = activity.is_started && slots.contains(&slot);
        }
    }
}
