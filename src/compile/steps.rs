//! Compiles one step: its action, its options, and what its id means in the steps after it.

use super::Compiler;
use super::options::{mapping, number};
use super::scope::{Loop, Scope};
use crate::accepted;
use crate::definition::{
    self, Action as Written, Awaited, CaseMatch, FailStep, Gives, Name, Started, Step, Timer,
};
use crate::diagnostic::Diagnostic;
use crate::expression::{Code, Expression, Field, Object, Other, Presence, Template, Type};
use crate::limits::SUGGESTION_CANDIDATES_MAX;
use crate::program::{self, Action};
use crate::source::Range;
use crate::words::{BlockId, BuiltIn, CompensateOn, StepId};

impl Compiler<'_> {
    pub(crate) fn step(&mut self, step: &Step, scope: &mut Scope) -> StepId {
        let when = step.when.as_ref().map(|when| self.condition(when, scope));
        let outside = scope.environment.clone();
        if let Some(when) = &step.when {
            scope.environment = scope.environment.assuming(when, true);
        }
        let summary = self.optional_text(step.description.as_ref(), scope);
        let (action, found) = self.action(step, scope);
        if step.when.is_some() {
            scope.environment = outside;
        }
        let found = if step.when.is_some() {
            Type::Dynamic
        } else {
            found
        };
        let started = step.action.value.started();
        let handle = started.map(|started| matches!(started, Started::Child(_)));
        let slot = step.id.as_ref().map(|id| self.bind(id, found, scope));
        if let (Some(is_child), Some(id), Some(slot)) = (handle, &step.id, slot) {
            let handle = (slot, is_child);
            scope.handles.insert_mut(id.value.clone(), handle);
        }
        let compensate_on = step.compensate_on.as_ref().map(|on| on.value);
        let compensate = step.compensate.as_ref().map(|steps| {
            scope.function.has_compensation |= !scope.in_saga;
            let mut inner = scope.nested();
            inner.around = Loop::None;
            let compensate_on = compensate_on.unwrap_or_default();
            if let (CompensateOn::Started, Some(id), Some(slot)) = (compensate_on, &step.id, slot) {
                // Null unless the step completed.
                let name = id.value.clone();
                inner.environment = inner.environment.with(name, slot, Type::Dynamic);
            }
            let block = self.block(steps, &mut inner);
            scope.function = inner.function;
            block
        });
        self.steps.push(program::Step {
            id: step.id.as_ref().map(|id| id.value.clone()),
            slot,
            summary,
            when,
            compensate,
            compensate_on: compensate_on.unwrap_or_default(),
            action,
        });
        self.ranges.push(step.action.range);
        StepId(self.steps.len() as u32 - 1)
    }

    fn action(&mut self, step: &Step, scope: &mut Scope) -> (Action, Type) {
        let range = step.action.range;
        let action = match &step.action.value {
            Written::Activity(activity) => return self.activity(activity, false, scope),
            Written::BuiltIn(call) => {
                return (self.built_in(call, false, scope), result_of(call.kind));
            }
            Written::Start(started) => return self.started(started, step, scope),
            Written::Call { block, input } => return self.call(block, input.as_ref(), scope),
            Written::Child(child) => self.child(child, false, scope),
            Written::Nexus(nexus) => self.nexus(nexus, false, scope),
            Written::Await(name) => Action::Await(self.handle_slot(name, scope)),
            Written::Cancel(name) => Action::Cancel(self.handle_slot(name, scope)),
            Written::Signal(signal) => self.signal(signal, scope),
            Written::CancelWorkflow {
                workflow_id,
                run_id,
                reason,
            } => Action::CancelWorkflow {
                workflow_id: self.name(workflow_id, scope),
                run_id: self.optional_text(run_id.as_ref(), scope),
                reason: self.optional_text(reason.as_ref(), scope),
            },
            Written::ContinueAsNew(next) => self.continue_as_new(next, range, scope),
            Written::Timer(timer) => self.timer(timer, scope),
            Written::Wait(wait) => self.wait(wait, scope),
            Written::Set(assignments) => {
                let compiled = assignments
                    .iter()
                    .map(|(name, template)| (name.value.clone(), self.set(name, template, scope)));
                Action::Set(compiled.collect())
            }
            Written::If {
                condition,
                then,
                otherwise,
            } => self.either(condition, then, otherwise, scope),
            Written::Switch {
                subject,
                cases,
                default,
            } => Action::Switch {
                subject: subject
                    .as_ref()
                    .map(|subject| self.expression(subject, scope)),
                cases: cases.iter().map(|case| self.case(case, scope)).collect(),
                default: self.block(default, scope),
            },
            Written::ForEach(for_each) => self.for_each(for_each, scope),
            Written::While { condition, steps } => self.while_loop(condition, steps, scope),
            Written::Repeat { steps, until } => Action::Repeat {
                body: self.looped(steps, Loop::Inside, scope),
                until: self.condition(until, scope),
            },
            Written::Break => self.jump("break", Action::Break, range, scope),
            Written::Continue => self.jump("continue", Action::Continue, range, scope),
            Written::Parallel {
                branches,
                on_failure,
            } => Action::Parallel {
                branches: self.branches(branches, scope),
                on_failure: *on_failure,
            },
            Written::Race { branches } => Action::Race {
                branches: self.branches(branches, scope),
            },
            Written::Try(action) => self.try_block(action, scope),
            Written::Saga {
                steps,
                on_compensation_failure,
            } => Action::Saga {
                body: self.saga(steps, scope),
                on_compensation_failure: *on_compensation_failure,
            },
            Written::Do {
                steps,
                timeout,
                shield,
            } => Action::Do {
                timeout: timeout
                    .as_ref()
                    .map(|timeout| self.duration(timeout, scope)),
                body: self.block(steps, scope),
                shield: *shield,
            },
            Written::Upsert {
                search_attributes,
                memo,
            } => Action::Upsert {
                search_attributes: self.optional_fitting(
                    search_attributes.as_ref(),
                    &mapping(),
                    scope,
                ),
                memo: self.optional_fitting(memo.as_ref(), &mapping(), scope),
            },
            Written::Log {
                level,
                message,
                fields,
            } => Action::Log {
                level: *level,
                message: self.text(message, scope),
                fields: self.optional(fields.as_ref(), scope),
            },
            Written::Details(details) => Action::Details(self.text(details, scope)),
            Written::Return(value) => {
                let wanted = scope.output.clone();
                Action::Return(self.optional_fitting(value.as_ref(), &wanted, scope))
            }
            Written::Fail(fail) => self.fail(fail, range, scope),
        };
        let found = match step.action.value.facts().gives {
            Gives::Null => Type::Null,
            // Typed results are returned above.
            Gives::Value | Gives::Typed => Type::Dynamic,
        };
        (action, found)
    }

    fn handle_slot(&mut self, name: &Name, scope: &Scope) -> u32 {
        self.handle(name, scope).map_or(0, |(slot, _)| slot)
    }

    fn timer(&mut self, timer: &Timer, scope: &mut Scope) -> Action {
        match timer {
            Timer::For(duration) => Action::TimerFor(self.duration(duration, scope)),
            Timer::Until(until) => {
                let wanted = Type::union([Type::Timestamp, Type::String]);
                Action::TimerUntil(self.fitting(until, &wanted, scope))
            }
        }
    }

    fn either(
        &mut self,
        condition: &Expression,
        then: &[Step],
        otherwise: &[Step],
        scope: &mut Scope,
    ) -> Action {
        let action = Action::If {
            condition: self.condition(condition, scope),
            then: self.block_where((condition, true), then, scope),
            otherwise: self.block_where((condition, false), otherwise, scope),
        };
        if otherwise.is_empty() && then.last().is_some_and(Step::ends_block) {
            scope.environment = scope.environment.assuming(condition, false);
        }
        action
    }

    fn while_loop(&mut self, condition: &Expression, steps: &[Step], scope: &mut Scope) -> Action {
        let code = self.condition(condition, scope);
        let mut inner = scope.nested();
        inner.environment = inner.environment.assuming(condition, true);
        let body = self.looped(steps, Loop::Inside, &mut inner);
        scope.function = inner.function;
        Action::While {
            condition: code,
            body,
        }
    }

    fn saga(&mut self, steps: &[Step], scope: &mut Scope) -> BlockId {
        let outer = std::mem::replace(&mut scope.in_saga, true);
        let body = self.block(steps, scope);
        scope.in_saga = outer;
        body
    }

    fn fail(&mut self, fail: &FailStep, range: Range, scope: &mut Scope) -> Action {
        match (fail, scope.caught) {
            (FailStep::Again, Some(slot)) => Action::FailAgain(slot),
            (FailStep::Again, None) => {
                let message = "`fail:` without a mapping fails with the caught failure, but this is not in a `catch`";
                self.diagnostics.push(
                    Diagnostic::error("fail-outside-catch", range, message)
                        .help("describe the failure: `fail: { type: …, message: … }`"),
                );
                Action::FailAgain(0)
            }
            (
                FailStep::With {
                    error_type,
                    message,
                    details,
                    non_retryable,
                },
                _,
            ) => Action::Fail(Box::new(program::Fail {
                error_type: self.optional_fitting(error_type.as_ref(), &Type::String, scope),
                message: self.optional_fitting(message.as_ref(), &Type::String, scope),
                details: self.optional(details.as_ref(), scope),
                non_retryable: *non_retryable,
            })),
        }
    }

    fn wait(&mut self, wait: &definition::Wait, scope: &mut Scope) -> Action {
        let timeout = wait
            .timeout
            .as_ref()
            .map(|timeout| self.duration(timeout, scope));
        let on_timeout = wait
            .on_timeout
            .as_ref()
            .map(|steps| self.block(steps, scope));
        match &wait.awaited {
            Awaited::Signal(name) => Action::WaitSignal {
                name: name.value.clone(),
                timeout,
                on_timeout,
            },
            Awaited::Until(condition) => {
                let condition = self.condition(condition, scope);
                Action::WaitUntil {
                    condition,
                    timeout,
                    on_timeout,
                }
            }
        }
    }

    fn case(&mut self, case: &definition::Case, scope: &mut Scope) -> program::Case {
        let matches = match &case.matches {
            CaseMatch::Is(value) => program::CaseMatch::Is(self.template(value, scope)),
            CaseMatch::In(values) => program::CaseMatch::In(self.template(values, scope)),
            CaseMatch::When(condition) => {
                program::CaseMatch::When(self.condition(condition, scope))
            }
        };
        let body = match &case.matches {
            CaseMatch::When(condition) => self.block_where((condition, true), &case.steps, scope),
            CaseMatch::Is(_) | CaseMatch::In(_) => self.block(&case.steps, scope),
        };
        program::Case { matches, body }
    }

    fn for_each(&mut self, step: &definition::ForEach, scope: &mut Scope) -> Action {
        let (items, found) = self.typed_template(&step.items, scope);
        let goes_over = Type::union([
            Type::list(Type::Dynamic),
            Type::map(Type::Dynamic, Type::Dynamic),
        ]);
        if !found.assignable(&goes_over) {
            let message = format!("`for_each` needs a list or a map; found {found}");
            self.diagnostics
                .push(Diagnostic::error("wrong-type", step.items.range(), message));
        }
        let concurrency = self.optional_accepted(
            step.concurrency.as_ref(),
            &number(),
            accepted::concurrency,
            scope,
        );
        let mut inner = scope.nested();
        inner.around = Loop::Inside;
        let item_type = found.items();
        let item_slot = match &step.item {
            Some(name) => self.bind(name, item_type, &mut inner),
            None => inner.define(&"item".into(), item_type),
        };
        let index_slot = step
            .index
            .as_ref()
            .map(|name| self.bind(name, index_of(&found), &mut inner));
        let body = self.block(&step.steps, &mut inner);
        scope.function = inner.function;
        Action::ForEach(Box::new(program::ForEach {
            items,
            item_slot,
            index_slot,
            concurrency,
            body,
        }))
    }

    fn looped(&mut self, steps: &[Step], around: Loop, scope: &mut Scope) -> BlockId {
        let outer = std::mem::replace(&mut scope.around, around);
        let block = self.block(steps, scope);
        scope.around = outer;
        block
    }

    fn branches(
        &mut self,
        branches: &[definition::Branch],
        scope: &mut Scope,
    ) -> Vec<(std::sync::Arc<str>, BlockId)> {
        let around = match scope.around {
            Loop::None => Loop::None,
            Loop::Inside | Loop::BehindBranch => Loop::BehindBranch,
        };
        let compiled = branches.iter().map(|branch| {
            (
                branch.name.value.clone(),
                self.looped(&branch.steps, around, scope),
            )
        });
        compiled.collect()
    }

    fn jump(&mut self, key: &str, action: Action, range: Range, scope: &Scope) -> Action {
        let message = match scope.around {
            Loop::Inside => return action,
            Loop::None => format!("`{key}` is outside of any loop"),
            Loop::BehindBranch => {
                format!(
                    "`{key}` cannot leave a branch of `parallel` or `race` for the loop around it"
                )
            }
        };
        self.diagnostics
            .push(Diagnostic::error("jump-outside-loop", range, message));
        action
    }

    fn try_block(&mut self, step: &definition::Try, scope: &mut Scope) -> Action {
        let retry_policy = step
            .retry_policy
            .as_ref()
            .map(|p| self.retry_policy(p, scope));
        let body = self.block(&step.steps, scope);
        let catches = step
            .catches
            .iter()
            .map(|catch| self.catch(catch, scope))
            .collect();
        let finally = (!step.finally.is_empty()).then(|| self.block(&step.finally, scope));
        Action::Try(Box::new(program::Try {
            body,
            retry_policy,
            catches,
            finally,
        }))
    }

    fn catch(&mut self, catch: &definition::Catch, scope: &mut Scope) -> program::Catch {
        let mut inner = scope.nested();
        let slot = match &catch.name {
            Some(name) => self.bind(name, failure_type(), &mut inner),
            None => inner.define(&"error".into(), failure_type()),
        };
        inner.caught = Some(slot);
        let when = catch
            .when
            .as_ref()
            .map(|when| self.condition(when, &mut inner));
        let body = self.block(&catch.steps, &mut inner);
        scope.function = inner.function;
        let errors = catch.errors.iter().map(|name| name.value.clone()).collect();
        program::Catch {
            errors,
            when,
            slot,
            body,
        }
    }

    fn call(&mut self, name: &Name, input: Option<&Template>, scope: &mut Scope) -> (Action, Type) {
        let position = self.blocks_by_name.get(&name.value).copied();
        let block = position.map(|i| self.all_blocks[i]);
        let wanted = self.schemas.type_of(block.and_then(|b| b.input.as_ref()));
        let input = self.optional_fitting(input, &wanted, scope);
        // A block that ends without a `return` returns null.
        let output = self.schemas.type_of(block.and_then(|b| b.output.as_ref()));
        let function = position.unwrap_or_else(|| {
            let known = self.all_blocks.iter().map(|b| b.name.value.clone());
            // Only for a message.
            let known: Vec<_> = known.take(SUGGESTION_CANDIDATES_MAX).collect();
            self.undefined("unknown-block", "block", name, &known);
            0
        });
        let action = Action::Call {
            function: function as u32,
            input,
        };
        (action, output.nullable())
    }

    /// The value of a state variable. If it may be of another type than the variable's, the variable becomes dynamic.
    fn set(&mut self, name: &Name, template: &Template, scope: &mut Scope) -> Code {
        let (code, found) = self.typed_template(template, scope);
        let declared = self.state.get(&name.value).unwrap_or(&Type::Dynamic);
        if !found.always_fits(declared) {
            self.dynamic.insert(name.value.clone());
        }
        code
    }
}

/// The failure that a `catch` receives. Which of the last fields exist depends on the failure's kind.
fn failure_type() -> Type {
    let always = [
        ("kind", Type::String),
        ("type", Type::String.nullable()),
        ("message", Type::String),
        ("details", Type::Dynamic),
        ("cause", Type::Dynamic),
    ];
    let by_kind = [
        "activity_type",
        "activity_id",
        "workflow_id",
        "run_id",
        "workflow_type",
        "timeout_type",
    ];
    let field = |name: &str, value, presence| (name.into(), Field { value, presence });
    let fields = always
        .into_iter()
        .map(|(name, value)| field(name, value, Presence::Required))
        .chain(by_kind.map(|name| field(name, Type::String, Presence::Unstated)))
        .collect();
    let other = Other::Unlisted;
    Type::Object(Object::new(fields, other).into())
}

/// The type of the `index` of a `for_each` over a value of this type: a list's position, a map's key.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "types of somebody else: what is no collection has no index"
)]
fn index_of(over: &Type) -> Type {
    match over {
        Type::List(_) => Type::Int,
        Type::Map(key, _) => (**key).clone(),
        Type::Object(_) => Type::String,
        _ => Type::Dynamic,
    }
}

/// The type of a built-in activity's result.
fn result_of(kind: BuiltIn) -> Type {
    match kind {
        BuiltIn::Http => Type::object([
            ("status", Type::Int),
            (
                "headers",
                Type::Map(Type::String.into(), Type::String.into()),
            ),
            ("body", Type::Dynamic),
        ]),
        BuiltIn::Grpc | BuiltIn::Callback => Type::Dynamic,
        BuiltIn::Exec => Type::object([
            ("exit_code", Type::Int),
            ("stdout", Type::Dynamic),
            ("stderr", Type::String),
        ]),
    }
}
