//! Compiles the steps that call something outside the run: activities, children, Nexus operations, other workflows.

use std::sync::Arc;

use super::Compiler;
use super::options::mapping;
use super::scope::{FunctionKind, Scope};
use crate::definition::table::{Shape, Table};
use crate::definition::{self, BuiltInStep, Input, Name, Started, Step, tables};
use crate::diagnostic::Diagnostic;
use crate::expression::{Code, Type};
use crate::faults::Fault;
use crate::limits::SUGGESTION_CANDIDATES_MAX;
use crate::program::{self, Action};
use crate::source::Range;
use crate::value::Value;
use crate::words::BuiltIn;

impl Compiler<'_> {
    pub(crate) fn activity(
        &mut self,
        step: &definition::ActivityStep,
        is_started: bool,
        scope: &mut Scope,
    ) -> (Action, Type) {
        let definition = self.definition;
        let activity = self.name(&step.activity, scope);
        let contract = match activity.constant() {
            Some(Value::String(name)) => self.activities.get(name).copied(),
            _ => None,
        };
        let layers = [
            step.options.as_deref(),
            contract.map(|c| &c.options),
            Some(&definition.defaults.activity),
        ];
        let mut options = self.activity_options(layers, false, scope);
        if options.task_queue.is_none() {
            let queue = definition
                .task_queue
                .as_ref()
                .map(|q| Value::String(q.value.clone()));
            options.task_queue = queue.map(Code::constant_of);
        }
        self.check_local(activity.constant(), step.activity.range(), layers);
        self.check_timeout(
            &options,
            step.activity.range(),
            "an activity",
            "add `start_to_close_timeout: 30s` to the step, to the activity's entry under `activities`, or to `defaults: { activity: … }`",
        );
        let expected = contract.and_then(|c| c.input.as_ref());
        let arguments = self.typed_arguments(&step.input, expected, scope);
        let output = contract.and_then(|c| c.output.as_ref());
        let found = self.schemas.type_of(output);
        let action = Action::Activity(Box::new(program::Activity {
            activity,
            built_in: None,
            arguments,
            options,
            is_started,
            is_undone: false,
            contract: contract.map(|c| self.contract(c)),
        }));
        (action, found)
    }

    /// A local activity runs in the workflow's own worker, which has only the built-in types.
    fn check_local(
        &mut self,
        activity_type: Option<&Value>,
        range: Range,
        layers: [Option<&definition::ActivityOptions>; 3],
    ) {
        let mut chosen = layers.into_iter().filter_map(|l| l?.local.as_ref());
        let Some(local) = chosen.next().filter(|local| local.value) else {
            return;
        };
        let Some(Value::String(name)) = activity_type else {
            return;
        };
        let is_known = BuiltIn::named(name).is_some_and(BuiltIn::can_be_local);
        if is_known || Fault::UnknownLocalWaits.is_on() {
            return;
        }
        let why = match BuiltIn::named(name) {
            Some(_) => "it is completed from outside the worker".to_owned(),
            None => {
                format!("local activities run in the workflow's own worker, which has no `{name}`")
            }
        };
        let message = format!("`{name}` cannot be local: {why}");
        let help = "remove `local: true`, or write `local: false` in the step if a default is `true`; only `http`, `grpc` and `exec` can be local";
        self.diagnostics.push(
            Diagnostic::error("local-activity", range, message)
                .annotate(local.range, "local")
                .help(help),
        );
    }

    /// Checks the single argument against a schema, as far as its type is known.
    fn typed_arguments(
        &mut self,
        input: &Input,
        expected: Option<&definition::Schema>,
        scope: &mut Scope,
    ) -> program::Arguments {
        let (Input::One(template), Some(expected)) = (input, expected) else {
            return self.arguments(input, scope);
        };
        let expected = self.schemas.type_of(Some(expected));
        program::Arguments(vec![self.fitting(template, &expected, scope)])
    }

    /// Compiled once, however many steps call the activity.
    fn contract(&mut self, contract: &definition::ActivityContract) -> Arc<program::Contract> {
        let name = contract.name.value.clone();
        if let Some(known) = self.contracts.get(&name) {
            return known.clone();
        }
        let compiled = Arc::new(program::Contract {
            input: self.schema(contract.input.as_ref()),
            output: self.schema(contract.output.as_ref()),
        });
        self.contracts.insert(name, compiled.clone());
        compiled
    }

    pub(crate) fn built_in(
        &mut self,
        step: &BuiltInStep,
        is_started: bool,
        scope: &mut Scope,
    ) -> Action {
        let mut layers = [step.options.as_deref(), None, None];
        let defaults = self.built_in_defaults.clone();
        layers[2] = Some(&*defaults);
        let is_callback = step.kind == BuiltIn::Callback;
        let mut options = self.activity_options(layers, !is_callback, scope);
        if is_callback {
            // It is completed from outside, so it cannot be local, and only the author knows how long it may take.
            options.local = false;
            self.check_timeout(
                &options,
                step.request.range(),
                "a callback",
                "add `start_to_close_timeout: 2d` to the step, the time that its completion may take",
            );
        }
        let request = type_of_request(tables::request(step.kind));
        Action::Activity(Box::new(program::Activity {
            activity: Code::constant_of(Value::from(step.kind.name())),
            built_in: Some(step.kind),
            arguments: program::Arguments(vec![self.fitting(&step.request, &request, scope)]),
            options,
            is_started,
            is_undone: false,
            contract: None,
        }))
    }

    fn check_timeout(
        &mut self,
        options: &program::ActivityOptions,
        range: Range,
        what: &str,
        help: &str,
    ) {
        if options.start_to_close_timeout.is_none() && options.schedule_to_close_timeout.is_none() {
            let message =
                format!("{what} needs `start_to_close_timeout` or `schedule_to_close_timeout`");
            self.diagnostics
                .push(Diagnostic::error("missing-timeout", range, message).help(help));
        }
    }

    pub(crate) fn child(
        &mut self,
        step: &definition::ChildStep,
        is_started: bool,
        scope: &mut Scope,
    ) -> Action {
        Action::Child(Box::new(program::Child {
            child: self.name(&step.child, scope),
            arguments: self.arguments(&step.input, scope),
            options: self.child_options(step.options.as_deref(), scope),
            is_started,
        }))
    }

    pub(crate) fn nexus(
        &mut self,
        step: &definition::NexusStep,
        is_started: bool,
        scope: &mut Scope,
    ) -> Action {
        Action::Nexus(Box::new(program::Nexus {
            endpoint: self.name(&step.endpoint, scope),
            service: self.name(&step.service, scope),
            operation: self.name(&step.operation, scope),
            input: self.optional(step.input.as_ref(), scope),
            schedule_to_close_timeout: self.length(step.schedule_to_close_timeout.as_ref(), scope),
            schedule_to_start_timeout: self.length(step.schedule_to_start_timeout.as_ref(), scope),
            start_to_close_timeout: self.length(step.start_to_close_timeout.as_ref(), scope),
            is_started,
        }))
    }

    pub(crate) fn started(
        &mut self,
        started: &Started,
        step: &Step,
        scope: &mut Scope,
    ) -> (Action, Type) {
        if step.id.is_none() {
            let message = "`start` needs an `id`, the handle to await or cancel it";
            self.diagnostics.push(Diagnostic::error(
                "start-without-id",
                step.action.range,
                message,
            ));
        }
        match started {
            Started::Activity(activity) => {
                let (action, _) = self.activity(activity, true, scope);
                (action, Type::object([("activity_id", Type::String)]))
            }
            Started::BuiltIn(call) => (
                self.built_in(call, true, scope),
                Type::object([("activity_id", Type::String)]),
            ),
            Started::Child(child) => {
                let found = Type::object([("workflow_id", Type::String), ("run_id", Type::String)]);
                (self.child(child, true, scope), found)
            }
            Started::Nexus(nexus) => (self.nexus(nexus, true, scope), Type::Dynamic),
        }
    }

    pub(crate) fn handle(&mut self, name: &Name, scope: &Scope) -> Option<(u32, bool)> {
        let found = scope.handle(&name.value);
        if found.is_none() {
            let known: Vec<_> = scope
                .handles
                .keys()
                .take(SUGGESTION_CANDIDATES_MAX)
                .cloned()
                .collect();
            self.undefined("unknown-handle", "started step", name, &known);
        }
        found
    }

    pub(crate) fn signal(&mut self, step: &definition::SignalStep, scope: &mut Scope) -> Action {
        let target = match &step.target {
            definition::SignalTarget::Workflow {
                workflow_id,
                run_id,
            } => program::SignalTarget::Workflow {
                workflow_id: self.name(workflow_id, scope),
                run_id: self.optional_text(run_id.as_ref(), scope),
            },
            definition::SignalTarget::Handle(name) => match self.handle(name, scope) {
                Some((slot, true)) => program::SignalTarget::Handle(slot),
                Some((slot, false)) => {
                    let message = format!("`{}` is not a child workflow's handle", name.value);
                    self.diagnostics
                        .push(Diagnostic::error("unknown-handle", name.range, message));
                    program::SignalTarget::Handle(slot)
                }
                None => program::SignalTarget::Handle(0),
            },
        };
        Action::Signal(Box::new(program::Signal {
            name: self.name(&step.name, scope),
            target,
            arguments: self.arguments(&step.input, scope),
        }))
    }

    pub(crate) fn continue_as_new(
        &mut self,
        step: &definition::ContinueAsNewStep,
        range: Range,
        scope: &mut Scope,
    ) -> Action {
        if matches!(
            scope.function.kind,
            FunctionKind::Signal | FunctionKind::Update
        ) {
            let message = "`continue_as_new` cannot be in a handler; only the workflow's own steps can end the run";
            self.diagnostics.push(
                Diagnostic::error("continue-as-new-in-handler", range, message)
                    .help("set a state variable here, and `wait: { until: … }` for it in `steps`"),
            );
        }
        // Another workflow's input is not known here.
        let expected = match step.workflow {
            None => self.definition.input.as_ref(),
            Some(_) => None,
        };
        Action::ContinueAsNew(Box::new(program::ContinueAsNew {
            arguments: match &step.input {
                Input::None => None,
                input @ (Input::One(_) | Input::Several(_)) => {
                    Some(self.typed_arguments(input, expected, scope))
                }
            },
            workflow: self.optional_name(step.workflow.as_ref(), scope),
            task_queue: self.optional_name(step.task_queue.as_ref(), scope),
            workflow_run_timeout: self.length(step.workflow_run_timeout.as_ref(), scope),
            workflow_task_timeout: self.length(step.workflow_task_timeout.as_ref(), scope),
            retry_policy: step
                .retry_policy
                .as_ref()
                .map(|p| self.retry_policy(p, scope)),
            memo: self.optional_fitting(step.memo.as_ref(), &mapping(), scope),
            search_attributes: self.optional_fitting(
                step.search_attributes.as_ref(),
                &mapping(),
                scope,
            ),
            version: step.version,
            initial_versioning_behavior: step.initial_versioning_behavior,
        }))
    }
}

/// The type of a request, as far as a type can express it; the keys were checked when they were read.
fn type_of_request(table: &Table) -> Type {
    let fields = table.fields().map(|field| {
        let value = match &field.shape {
            Shape::TextTemplate => Type::String,
            Shape::NumberTemplate => Type::union([Type::number(), Type::Uint]),
            Shape::MappingTemplate => Type::map(Type::Dynamic, Type::Dynamic),
            Shape::Request(table) => type_of_request(table),
            Shape::Templates => Type::list(Type::Dynamic),
            Shape::Version
            | Shape::Text
            | Shape::Identifier
            | Shape::Flag
            | Shape::Template
            | Shape::Expression
            | Shape::OptionalExpression
            | Shape::Duration
            | Shape::OneOf(_)
            | Shape::Schema
            | Shape::Data
            | Shape::Nothing
            | Shape::Steps
            | Shape::Mapping(_)
            | Shape::Named(_)
            | Shape::List(_)
            | Shape::Either(..)
            | Shape::TextOrTexts
            | Shape::Whole { .. }
            | Shape::CalendarField
            | Shape::StepOf(_) => Type::Dynamic,
        };
        (field.name, value.nullable())
    });
    Type::partial(fields)
}
