//! The workflow as its author wrote it: a typed tree, every field with its range. LANGUAGE reference: docs/language.md.

#![deny(clippy::wildcard_enum_match_arm)]

use std::sync::Arc;

mod kind;
pub(crate) mod options;
pub(crate) mod parse;
pub(crate) mod table;
pub mod tables;

pub(crate) use kind::{Facts, Gives, InFlight, Kind, Operation};
pub(crate) use parse::Document;
pub use parse::parse;

use crate::accepted::ScheduleSpec;
use crate::expression::{Expression, Template};
use crate::source::{Range, Spanned};
use crate::value::{Duration, Map};
use crate::words::{
    ActivityCancellationType, BuiltIn, ChildCancellationType, CompensateOn, ContinuedVersion,
    History, InitialVersioningBehavior, LogLevel, OnCompensationFailure, OnFailure,
    ParentClosePolicy, VersioningBehavior, WorkflowIdConflictPolicy, WorkflowIdReusePolicy,
};

pub(crate) type Name = Spanned<Arc<str>>;
pub(crate) type Steps = Vec<Step>;

/// One YAML document that defines a workflow.
#[derive(Debug, Clone)]
pub struct Definition {
    /// `workflow`: the workflow type.
    pub(crate) name: Name,
    pub(crate) task_queue: Option<Name>,
    pub(crate) uses: Vec<Name>,
    pub(crate) input: Option<Schema>,
    pub(crate) output: Option<Schema>,
    pub(crate) types: Vec<(Name, Schema)>,
    pub(crate) activities: Vec<ActivityContract>,
    pub(crate) defaults: Arc<Defaults>,
    pub(crate) state: Vec<(Name, Template)>,
    pub(crate) queries: Vec<Query>,
    pub(crate) signals: Vec<Handler>,
    pub(crate) updates: Vec<Handler>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) steps: Steps,
    pub(crate) start: Arc<StartOptions>,
    pub(crate) schedules: Vec<Schedule>,
    pub(crate) history: History,
    pub(crate) versioning_behavior: Option<VersioningBehavior>,
    /// Raises [`crate::limits::EXPRESSION_COST_MAX`].
    pub(crate) expression_cost_max: Option<u64>,
}

/// A file that others `use`: shared types, contracts and blocks; it defines no workflow.
#[derive(Debug, Clone)]
pub struct Library {
    pub(crate) uses: Vec<Name>,
    pub(crate) types: Vec<(Name, Schema)>,
    pub(crate) activities: Vec<ActivityContract>,
    pub(crate) blocks: Vec<Block>,
}

/// A JSON Schema 2020-12, in JSON, with its range.
#[derive(Debug, Clone)]
pub(crate) struct Schema {
    pub(crate) json: serde_json::Value,
    pub(crate) range: Range,
    /// The ranges of its parts, each before the parts inside it: the key of a mapping's entry, and the whole of a
    /// list's item. Empty if the schema is a word alone.
    pub(crate) places: Box<[Range]>,
}

impl Schema {
    /// The range of the part with this JSON Pointer, or else of the nearest part around it that has one.
    pub(crate) fn place(&self, pointer: &str) -> Range {
        let mut range = self.range;
        let (mut json, mut at) = (&self.json, 0);
        for segment in pointer.split('/').skip(1) {
            let segment = segment.replace("~1", "/").replace("~0", "~");
            let parts: Vec<(bool, &serde_json::Value)> = match json {
                serde_json::Value::Object(fields) => fields
                    .iter()
                    .map(|(name, part)| (*name == segment, part))
                    .collect(),
                serde_json::Value::Array(items) => (0..)
                    .zip(items)
                    .map(|(i, part): (usize, _)| (segment == i.to_string(), part))
                    .collect(),
                serde_json::Value::Null
                | serde_json::Value::Bool(_)
                | serde_json::Value::Number(_)
                | serde_json::Value::String(_) => return range,
            };
            let Some(wanted) = parts.iter().position(|(is_wanted, _)| *is_wanted) else {
                return range;
            };
            at += parts[..wanted]
                .iter()
                .map(|(_, part)| 1 + parts_of(part))
                .sum::<usize>();
            let Some(place) = self.places.get(at) else {
                return range;
            };
            (range, json) = (*place, parts[wanted].1);
            at += 1;
        }
        range
    }
}

/// The number of parts inside a schema.
fn parts_of(json: &serde_json::Value) -> usize {
    match json {
        serde_json::Value::Object(fields) => fields.values().map(|p| 1 + parts_of(p)).sum(),
        serde_json::Value::Array(items) => items.iter().map(|p| 1 + parts_of(p)).sum(),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => 0,
    }
}

/// What a definition declares about an activity type: option defaults and schemas.
#[derive(Debug, Clone)]
pub(crate) struct ActivityContract {
    pub(crate) name: Name,
    pub(crate) input: Option<Schema>,
    pub(crate) output: Option<Schema>,
    pub(crate) options: ActivityOptions,
}

/// Option defaults by kind of step; an activity's contract takes precedence over them, and a step's own options over
/// both.
#[derive(Debug, Clone, Default)]
pub(crate) struct Defaults {
    pub(crate) activity: ActivityOptions,
    pub(crate) child: ChildOptions,
}

#[derive(Debug, Clone)]
pub(crate) struct Query {
    /// `"*"` answers queries of any other name.
    pub(crate) name: Name,
    pub(crate) description: Option<Name>,
    pub(crate) input: Option<Schema>,
    pub(crate) output: Option<Schema>,
    pub(crate) result: Template,
}

/// A signal or an update.
#[derive(Debug, Clone)]
pub(crate) struct Handler {
    /// `"*"` handles any other name.
    pub(crate) name: Name,
    pub(crate) description: Option<Name>,
    pub(crate) input: Option<Schema>,
    pub(crate) output: Option<Schema>,
    /// Updates only.
    pub(crate) validate: Option<Expression>,
    pub(crate) steps: Steps,
    /// `finish_before_completion`, true by default: the run does not complete while the handler runs.
    pub(crate) finish_before_completion: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) name: Name,
    pub(crate) input: Option<Schema>,
    pub(crate) output: Option<Schema>,
    pub(crate) steps: Steps,
}

/// `start`: defaults for starting the workflow.
#[derive(Debug, Clone, Default)]
pub(crate) struct StartOptions {
    pub(crate) workflow_id: Option<Template>,
    pub(crate) task_queue: Option<Name>,
    pub(crate) workflow_execution_timeout: Option<DurationValue>,
    pub(crate) workflow_run_timeout: Option<DurationValue>,
    pub(crate) workflow_task_timeout: Option<DurationValue>,
    pub(crate) retry_policy: Option<RetryPolicy>,
    pub(crate) workflow_id_reuse_policy: Option<Spanned<WorkflowIdReusePolicy>>,
    pub(crate) workflow_id_conflict_policy: Option<Spanned<WorkflowIdConflictPolicy>>,
    pub(crate) cron_schedule: Option<Name>,
    pub(crate) memo: Option<Template>,
    pub(crate) search_attributes: Option<Template>,
}

/// One of `schedules`.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    pub(crate) name: Name,
    pub(crate) spec: ScheduleSpec,
    /// A literal.
    pub(crate) input: Option<Template>,
    pub(crate) workflow_id: Option<Name>,
    pub(crate) task_queue: Option<Name>,
    pub(crate) memo: Option<Map>,
    pub(crate) search_attributes: Option<Map>,
}

#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) id: Option<Name>,
    pub(crate) description: Option<Template>,
    pub(crate) when: Option<Expression>,
    /// Run if the enclosing saga, or the workflow, fails after this step completed.
    pub(crate) compensate: Option<Steps>,
    pub(crate) compensate_on: Option<Spanned<CompensateOn>>,
    /// The action key and its range.
    pub(crate) action: Spanned<Action>,
}

/// The largest are boxed: a file of 1 MiB has some 60,000 steps, and each takes as much memory as the largest unboxed
/// one.
#[allow(
    clippy::large_enum_variant,
    reason = "a tree that is read once and dropped; further boxes would only clutter it"
)]
#[derive(Debug, Clone)]
pub(crate) enum Action {
    Activity(Box<ActivityStep>),
    /// `http`, `grpc`, `exec`, `callback`: the generic worker's own activities.
    BuiltIn(Box<BuiltInStep>),
    Timer(Timer),
    Wait(Wait),
    Set(Vec<(Name, Template)>),
    If {
        condition: Expression,
        then: Steps,
        otherwise: Steps,
    },
    Switch {
        subject: Option<Expression>,
        cases: Vec<Case>,
        default: Steps,
    },
    ForEach(ForEach),
    While {
        condition: Expression,
        steps: Steps,
    },
    /// `repeat: steps`, `until: condition`: at least once.
    Repeat {
        steps: Steps,
        until: Expression,
    },
    Break,
    Continue,
    Parallel {
        branches: Vec<Branch>,
        on_failure: OnFailure,
    },
    Race {
        branches: Vec<Branch>,
    },
    Try(Try),
    Saga {
        steps: Steps,
        on_compensation_failure: OnCompensationFailure,
    },
    Do {
        steps: Steps,
        timeout: Option<DurationValue>,
        shield: bool,
    },
    Call {
        block: Name,
        input: Option<Template>,
    },
    Child(Box<ChildStep>),
    Start(Box<Started>),
    /// The handle's id.
    Await(Name),
    Cancel(Name),
    Signal(Box<SignalStep>),
    CancelWorkflow {
        workflow_id: Template,
        run_id: Option<Template>,
        reason: Option<Template>,
    },
    Nexus(Box<NexusStep>),
    ContinueAsNew(Box<ContinueAsNewStep>),
    Upsert {
        search_attributes: Option<Template>,
        memo: Option<Template>,
    },
    Log {
        level: LogLevel,
        message: Template,
        fields: Option<Template>,
    },
    Details(Template),
    Return(Option<Template>),
    Fail(FailStep),
}

/// The arguments of a call.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    None,
    /// `input`: one argument.
    One(Template),
    /// `args`: several.
    Several(Vec<Template>),
}

#[derive(Debug, Clone)]
pub(crate) enum DurationValue {
    Constant(Spanned<Duration>),
    /// Evaluates to a duration or a string that is one.
    Expression(Template),
}

#[derive(Debug, Clone)]
pub(crate) struct ActivityStep {
    /// The activity type; an expression makes it dynamic.
    pub(crate) activity: Template,
    pub(crate) input: Input,
    /// The step's own options; most steps have none.
    pub(crate) options: Option<Box<ActivityOptions>>,
}

/// The type of an option as written, by its kind.
macro_rules! written {
    (Name) => { Template };
    (Length) => { DurationValue };
    (Heartbeat) => { DurationValue };
    (Retries) => { RetryPolicy };
    (Priority) => { PriorityOption };
    (Flag) => { Spanned<bool> };
    (Cron) => { Template };
    (Mapping) => { Template };
    (Word $word:ident) => { Spanned<$word> };
    (DefaultWord $word:ident) => { Spanned<$word> };
}

macro_rules! options {
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
        $(#[$doc])*
        #[derive(Debug, Clone, Default)]
        pub(crate) struct $options {
            $($(
                #[doc = $meaning]
                pub(crate) $field: Option<written!($($kind)+)>,
            )+)+
        }
    };
}

options::activity_options!(options);
options::child_options!(options);

#[derive(Debug, Clone, Default)]
pub(crate) struct PriorityOption {
    pub(crate) priority_key: Option<Template>,
    pub(crate) fairness_key: Option<Template>,
    pub(crate) fairness_weight: Option<Template>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct RetryPolicy {
    pub(crate) initial_interval: Option<DurationValue>,
    pub(crate) backoff_coefficient: Option<Template>,
    pub(crate) maximum_interval: Option<DurationValue>,
    pub(crate) maximum_attempts: Option<Template>,
    pub(crate) non_retryable_error_types: Vec<Name>,
}

#[derive(Debug, Clone)]
pub(crate) struct BuiltInStep {
    pub(crate) kind: BuiltIn,
    pub(crate) request: Template,
    pub(crate) options: Option<Box<ActivityOptions>>,
}

#[derive(Debug, Clone)]
pub(crate) enum Timer {
    For(DurationValue),
    /// Evaluates to a timestamp, or a string that is one.
    Until(Template),
}

#[derive(Debug, Clone)]
pub(crate) struct Wait {
    pub(crate) awaited: Awaited,
    pub(crate) timeout: Option<DurationValue>,
    pub(crate) on_timeout: Option<Steps>,
}

#[derive(Debug, Clone)]
pub(crate) enum Awaited {
    Signal(Name),
    Until(Expression),
}

#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) matches: CaseMatch,
    pub(crate) steps: Steps,
}

#[derive(Debug, Clone)]
pub(crate) enum CaseMatch {
    /// `is: value`
    Is(Template),
    /// `in: [values]`
    In(Template),
    /// `when: condition`
    When(Expression),
}

#[derive(Debug, Clone)]
pub(crate) struct ForEach {
    /// A list or a map.
    pub(crate) items: Template,
    /// `as`: the item (of a map: its value); `item` by default.
    pub(crate) item: Option<Name>,
    /// `index`: the position in a list, the key in a map.
    pub(crate) index: Option<Name>,
    /// The number of concurrent turns; 1 by default.
    pub(crate) concurrency: Option<Template>,
    pub(crate) steps: Steps,
}

#[derive(Debug, Clone)]
pub(crate) struct Branch {
    pub(crate) name: Name,
    pub(crate) steps: Steps,
}

#[derive(Debug, Clone)]
pub(crate) struct Try {
    pub(crate) steps: Steps,
    /// Over the whole block.
    pub(crate) retry_policy: Option<RetryPolicy>,
    pub(crate) catches: Vec<Catch>,
    pub(crate) finally: Steps,
}

#[derive(Debug, Clone)]
pub(crate) struct Catch {
    pub(crate) range: Range,
    /// Kinds or types; an empty list means any failure but a cancellation.
    pub(crate) errors: Vec<Name>,
    pub(crate) when: Option<Expression>,
    /// `as`: the name of the failure; `error` by default.
    pub(crate) name: Option<Name>,
    pub(crate) steps: Steps,
}

#[derive(Debug, Clone)]
pub(crate) struct ChildStep {
    /// The workflow type; an expression makes it dynamic.
    pub(crate) child: Template,
    pub(crate) input: Input,
    pub(crate) options: Option<Box<ChildOptions>>,
}

/// What `start` can start without awaiting it.
#[expect(
    clippy::large_enum_variant,
    reason = "a tree that is read once and dropped; boxes would only clutter it"
)]
#[derive(Debug, Clone)]
pub(crate) enum Started {
    Activity(ActivityStep),
    BuiltIn(BuiltInStep),
    Child(ChildStep),
    Nexus(NexusStep),
}

#[derive(Debug, Clone)]
pub(crate) struct SignalStep {
    pub(crate) name: Template,
    pub(crate) target: SignalTarget,
    pub(crate) input: Input,
}

#[derive(Debug, Clone)]
pub(crate) enum SignalTarget {
    Workflow {
        workflow_id: Template,
        run_id: Option<Template>,
    },
    /// The handle of a started child.
    Handle(Name),
}

#[derive(Debug, Clone)]
pub(crate) struct NexusStep {
    pub(crate) endpoint: Template,
    pub(crate) service: Template,
    pub(crate) operation: Template,
    pub(crate) input: Option<Template>,
    pub(crate) schedule_to_close_timeout: Option<DurationValue>,
    pub(crate) schedule_to_start_timeout: Option<DurationValue>,
    pub(crate) start_to_close_timeout: Option<DurationValue>,
}

#[derive(Debug, Clone)]
pub(crate) struct ContinueAsNewStep {
    pub(crate) input: Input,
    pub(crate) workflow: Option<Template>,
    pub(crate) task_queue: Option<Template>,
    pub(crate) workflow_run_timeout: Option<DurationValue>,
    pub(crate) workflow_task_timeout: Option<DurationValue>,
    pub(crate) retry_policy: Option<RetryPolicy>,
    pub(crate) memo: Option<Template>,
    pub(crate) search_attributes: Option<Template>,
    /// `definition`: whether to keep the run's bundle or use the newest one at that time.
    pub(crate) version: ContinuedVersion,
    pub(crate) initial_versioning_behavior: Option<InitialVersioningBehavior>,
}

#[expect(
    clippy::large_enum_variant,
    reason = "a tree that is read once and dropped; boxes would only clutter it"
)]
#[derive(Debug, Clone)]
pub(crate) enum FailStep {
    /// `fail:` without a mapping, in a `catch`: fail again with the caught failure.
    Again,
    With {
        error_type: Option<Template>,
        message: Option<Template>,
        details: Option<Template>,
        non_retryable: bool,
    },
}
