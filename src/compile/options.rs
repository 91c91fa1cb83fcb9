//! Options of calls: a step's own, then its activity's contract, then the definition's defaults.

use super::Compiler;
use super::scope::{FunctionKind, Scope};
use crate::accepted;
use crate::definition::options::{activity_options, child_options};
use crate::definition::{self, DurationValue, Input, PriorityOption};
use crate::diagnostic::Diagnostic;
use crate::expression::{Code, Template, Type};
use crate::program::{self, Arguments, DurationCode};
use crate::source::Range;
use crate::value::{Duration, Value};

/// The default for a step of a built-in activity.
const BUILT_IN_START_TO_CLOSE: Duration = Duration {
    seconds: 30,
    nanos: 0,
};

/// Compiles an option by its kind: the first of the layers that has it takes precedence.
macro_rules! first_of {
    ($compiler:ident, $layers:expr, $scope:ident, Name) => {
        $compiler.first_name($layers, $scope)
    };
    ($compiler:ident, $layers:expr, $scope:ident, Length) => {
        $compiler.first_length($layers, accepted::length, $scope)
    };
    ($compiler:ident, $layers:expr, $scope:ident, Heartbeat) => {
        $compiler.first_length($layers, accepted::heartbeat_timeout, $scope)
    };
    ($compiler:ident, $layers:expr, $scope:ident, Retries) => {
        first($layers).map(|policy| Box::new($compiler.retry_policy(policy, $scope)))
    };
    ($compiler:ident, $layers:expr, $scope:ident, Priority) => {
        first($layers).map(|priority| Box::new($compiler.priority(priority, $scope)))
    };
    ($compiler:ident, $layers:expr, $scope:ident, Flag) => {
        first($layers).is_some_and(|flag| flag.value)
    };
    ($compiler:ident, $layers:expr, $scope:ident, Cron) => {
        $compiler.optional_accepted(
            first($layers),
            &Type::String.nullable(),
            accepted::cron_schedule,
            $scope,
        )
    };
    ($compiler:ident, $layers:expr, $scope:ident, Mapping) => {
        $compiler.first_mapping($layers, $scope)
    };
    ($compiler:ident, $layers:expr, $scope:ident, Word $word:ident) => {
        first($layers).map(|word| word.value)
    };
    ($compiler:ident, $layers:expr, $scope:ident, DefaultWord $word:ident) => {
        first($layers).map(|word| word.value).unwrap_or_default()
    };
}

macro_rules! compiling {
    (
        $(#[$doc:meta])*
        $options:ident {
            $(
                $(#[$group_doc:meta])*
                $group:ident {
                    $($field:ident: [$($kind:tt)+], $meaning:literal $(, default $default:literal)?;)+
                }
            )+
        }
    ) => {
        impl definition::$options {
            fn compile(
                compiler: &mut Compiler<'_>,
                layers: [Option<&Self>; 3],
                scope: &mut Scope,
            ) -> program::$options {
                program::$options {
                    $($($field: first_of!(
                        compiler,
                        layers.map(|layer| layer?.$field.as_ref()),
                        scope,
                        $($kind)+
                    ),)+)+
                }
            }
        }
    };
}

activity_options!(compiling);
child_options!(compiling);

impl Compiler<'_> {
    pub(crate) fn arguments(&mut self, input: &Input, scope: &mut Scope) -> Arguments {
        Arguments(match input {
            Input::None => Vec::new(),
            Input::One(template) => vec![self.template(template, scope)],
            Input::Several(templates) => {
                templates.iter().map(|t| self.template(t, scope)).collect()
            }
        })
    }

    pub(crate) fn duration(&mut self, duration: &DurationValue, scope: &mut Scope) -> DurationCode {
        match duration {
            DurationValue::Constant(duration) => DurationCode::Constant(duration.value),
            DurationValue::Expression(template) => {
                let wanted = Type::union([Type::Duration, Type::String]);
                DurationCode::Code(self.fitting(template, &wanted, scope))
            }
        }
    }

    /// A timeout or an interval; a literal is checked against the server's rule.
    fn first_length(
        &mut self,
        durations: [Option<&DurationValue>; 3],
        rule: fn(Duration) -> Result<Duration, String>,
        scope: &mut Scope,
    ) -> Option<DurationCode> {
        let duration = first(durations)?;
        if let DurationValue::Constant(constant) = duration {
            self.hold(constant.range, rule(constant.value));
        }
        Some(self.duration(duration, scope))
    }

    pub(crate) fn length(
        &mut self,
        duration: Option<&DurationValue>,
        scope: &mut Scope,
    ) -> Option<DurationCode> {
        self.first_length([duration, None, None], accepted::length, scope)
    }

    /// A name on the server.
    pub(crate) fn name(&mut self, template: &Template, scope: &mut Scope) -> Code {
        self.accepted(template, &Type::String, accepted::name, scope)
    }

    fn first_name(&mut self, templates: [Option<&Template>; 3], scope: &mut Scope) -> Option<Code> {
        self.optional_name(first(templates), scope)
    }

    pub(crate) fn optional_name(
        &mut self,
        template: Option<&Template>,
        scope: &mut Scope,
    ) -> Option<Code> {
        self.optional_accepted(template, &Type::String.nullable(), accepted::name, scope)
    }

    /// A literal is checked against the server's rule here, a computed value when it is computed.
    fn accepted<T>(
        &mut self,
        template: &Template,
        wanted: &Type,
        rule: fn(&Value) -> Result<T, String>,
        scope: &mut Scope,
    ) -> Code {
        let before = self.diagnostics.len();
        let code = self.fitting(template, wanted, scope);
        let is_of_the_type = self.diagnostics.len() == before;
        match template.as_literal() {
            None | Some(Value::Null) => {}
            Some(literal) if is_of_the_type => self.hold(template.range(), rule(&literal)),
            Some(_) => {}
        }
        code
    }

    pub(crate) fn optional_accepted<T>(
        &mut self,
        template: Option<&Template>,
        wanted: &Type,
        rule: fn(&Value) -> Result<T, String>,
        scope: &mut Scope,
    ) -> Option<Code> {
        template.map(|template| self.accepted(template, wanted, rule, scope))
    }

    /// Every step that has a default checks it, but it is reported once.
    pub(crate) fn hold<T>(&mut self, range: Range, accepted: Result<T, String>) {
        let Err(why) = accepted else { return };
        let diagnostic = Diagnostic::error("invalid-option", range, why);
        if !self.is_full() && !self.diagnostics.contains(&diagnostic) {
            self.diagnostics.push(diagnostic);
        }
    }

    fn first_mapping(
        &mut self,
        templates: [Option<&Template>; 3],
        scope: &mut Scope,
    ) -> Option<Code> {
        self.optional_fitting(first(templates), &mapping(), scope)
    }

    /// `layers`: the step's own options, its contract's, the definition's defaults; the first that sets an option takes
    /// precedence.
    pub(crate) fn activity_options(
        &mut self,
        layers: [Option<&definition::ActivityOptions>; 3],
        is_built_in: bool,
        scope: &mut Scope,
    ) -> program::ActivityOptions {
        let mut options = definition::ActivityOptions::compile(self, layers, scope);
        if is_built_in
            && options.start_to_close_timeout.is_none()
            && options.schedule_to_close_timeout.is_none()
        {
            options.start_to_close_timeout = Some(DurationCode::Constant(BUILT_IN_START_TO_CLOSE));
        }
        options
    }

    pub(crate) fn priority(
        &mut self,
        priority: &PriorityOption,
        scope: &mut Scope,
    ) -> program::Priority {
        program::Priority {
            priority_key: self.optional_accepted(
                priority.priority_key.as_ref(),
                &number(),
                accepted::priority_key,
                scope,
            ),
            fairness_key: self.optional_accepted(
                priority.fairness_key.as_ref(),
                &Type::String.nullable(),
                accepted::fairness_key,
                scope,
            ),
            fairness_weight: self.optional_accepted(
                priority.fairness_weight.as_ref(),
                &number(),
                accepted::fairness_weight,
                scope,
            ),
        }
    }

    pub(crate) fn retry_policy(
        &mut self,
        policy: &definition::RetryPolicy,
        scope: &mut Scope,
    ) -> program::RetryPolicy {
        if let (initial, Some(DurationValue::Constant(maximum))) =
            (&policy.initial_interval, &policy.maximum_interval)
        {
            let initial = match initial {
                None => Some(None),
                Some(DurationValue::Constant(initial)) => Some(Some(initial.value)),
                Some(DurationValue::Expression(_)) => None,
            };
            if let Some(initial) = initial {
                self.hold(
                    maximum.range,
                    accepted::intervals(initial, Some(maximum.value)),
                );
            }
        }
        let types = policy.non_retryable_error_types.iter();
        program::RetryPolicy {
            initial_interval: self.length(policy.initial_interval.as_ref(), scope),
            backoff_coefficient: self.optional_accepted(
                policy.backoff_coefficient.as_ref(),
                &number(),
                accepted::backoff_coefficient,
                scope,
            ),
            maximum_interval: self.length(policy.maximum_interval.as_ref(), scope),
            maximum_attempts: self.optional_accepted(
                policy.maximum_attempts.as_ref(),
                &number(),
                accepted::maximum_attempts,
                scope,
            ),
            non_retryable_error_types: types.map(|name| name.value.clone()).collect(),
        }
    }

    pub(crate) fn child_options(
        &mut self,
        own: Option<&definition::ChildOptions>,
        scope: &mut Scope,
    ) -> program::ChildOptions {
        let definition = self.definition;
        let layers = [own, Some(&definition.defaults.child), None];
        definition::ChildOptions::compile(self, layers, scope)
    }

    pub(crate) fn start_options(&mut self) -> program::StartOptions {
        let definition = self.definition;
        let start = &definition.start;
        let mut scope = self.scope(FunctionKind::InitialState, definition.input.as_ref());
        let scope = &mut scope;
        let own = |duration| [duration, None, None];
        let literals = [
            (&start.task_queue, accepted::name as fn(&Value) -> _),
            (&start.cron_schedule, accepted::cron_schedule),
        ];
        for (text, rule) in literals {
            if let Some(text) = text {
                self.hold(text.range, rule(&Value::from(&*text.value)));
            }
        }
        program::StartOptions {
            workflow_id: self.first_name([start.workflow_id.as_ref(), None, None], scope),
            task_queue: start.task_queue.as_ref().map(|q| q.value.clone()),
            workflow_execution_timeout: self.first_length(
                own(start.workflow_execution_timeout.as_ref()),
                accepted::length,
                scope,
            ),
            workflow_run_timeout: self.first_length(
                own(start.workflow_run_timeout.as_ref()),
                accepted::length,
                scope,
            ),
            workflow_task_timeout: self.first_length(
                own(start.workflow_task_timeout.as_ref()),
                accepted::length,
                scope,
            ),
            retry_policy: start
                .retry_policy
                .as_ref()
                .map(|p| self.retry_policy(p, scope)),
            workflow_id_reuse_policy: start.workflow_id_reuse_policy.as_ref().map(|p| p.value),
            workflow_id_conflict_policy: start
                .workflow_id_conflict_policy
                .as_ref()
                .map(|p| p.value),
            cron_schedule: start.cron_schedule.as_ref().map(|c| c.value.clone()),
            memo: self.optional_fitting(start.memo.as_ref(), &mapping(), scope),
            search_attributes: self.optional_fitting(
                start.search_attributes.as_ref(),
                &mapping(),
                scope,
            ),
        }
    }
}

/// Any number; whether it is whole is checked once it is computed.
pub(crate) fn number() -> Type {
    Type::union([Type::Int, Type::Uint, Type::Double])
}

pub(crate) fn mapping() -> Type {
    Type::map(Type::String, Type::Dynamic)
}

fn first<T>(layers: [Option<T>; 3]) -> Option<T> {
    layers.into_iter().flatten().next()
}
