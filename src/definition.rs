//! The workflow as its author wrote it: a typed tree, every field with its range. LANGUAGE reference: docs/language.md.

#![deny(clippy::wildcard_enum_match_arm)]

use std::sync::Arc;

mod kind;
pub(crate) mod options;
pub(crate) mod parse;
pub mod table;
pub mod tables;

pub use kind::{Ends, Facts, Gives, InFlight, Kind, Operation, Runs};
pub use parse::{Document, parse};

use crate::accepted::ScheduleSpec;
use crate::expression::{Expression, Template};
use crate::source::{Range, Spanned};
use crate::value::{Duration, Map};
use crate::words::{
    ActivityCancellationType, BuiltIn, ChildCancellationType, CompensateOn, ContinuedVersion,
    History, InitialVersioningBehavior, LogLevel, OnCompensationFailure, OnFailure,
    ParentClosePolicy, VersioningBehavior, WorkflowIdConflictPolicy, WorkflowIdReusePolicy,
};

pub type Name = Spanned<Arc<str>>;
pub type Steps = Vec<Step>;

/// One YAML document that defines a workflow.
#[derive(Debug, Clone)]
pub struct Definition {
    pub range: Range,
    /// `workflow`: the workflow type.
    pub name: Name,
    pub description: Option<Name>,
    pub task_queue: Option<Name>,
    pub uses: Vec<Name>,
    pub input: Option<Schema>,
    pub output: Option<Schema>,
    pub types: Vec<(Name, Schema)>,
    pub activities: Vec<ActivityContract>,
    pub defaults: Arc<Defaults>,
    pub state: Vec<(Name, Template)>,
    pub queries: Vec<Query>,
    pub signals: Vec<Handler>,
    pub updates: Vec<Handler>,
    pub blocks: Vec<Block>,
    pub steps: Steps,
    pub start: Arc<StartOptions>,
    pub schedules: Vec<Schedule>,
    pub history: History,
    pub versioning_behavior: Option<VersioningBehavior>,
    /// Raises [`crate::limits::EXPRESSION_COST_MAX`].
    pub expression_cost_max: Option<u64>,
}

/// A file that others `use`: shared types, contracts and blocks; it defines no workflow.
#[derive(Debug, Clone)]
pub struct Library {
    pub range: Range,
    pub uses: Vec<Name>,
    pub types: Vec<(Name, Schema)>,
    pub activities: Vec<ActivityContract>,
    pub blocks: Vec<Block>,
}

/// A JSON Schema 2020-12, in JSON, with its range.
#[derive(Debug, Clone)]
pub struct Schema {
    pub json: serde_json::Value,
    pub range: Range,
    /// Where its parts stand, each before the parts within it: of a mapping's entry the key, of a list's item all of it. Empty if the schema is a
    /// word alone.
    pub places: Box<[Range]>,
}

impl Schema {
    /// Where the part with this JSON Pointer stands, or else the nearest part around it that has a place.
    pub fn place(&self, pointer: &str) -> Range {
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
pub struct ActivityContract {
    pub name: Name,
    pub description: Option<Name>,
    pub input: Option<Schema>,
    pub output: Option<Schema>,
    pub options: ActivityOptions,
}

/// Option defaults by kind of step; an activity's contract takes precedence over them, and a step's own options over
/// both.
#[derive(Debug, Clone, Default)]
pub struct Defaults {
    pub activity: ActivityOptions,
    pub child: ChildOptions,
}

#[derive(Debug, Clone)]
pub struct Query {
    /// `"*"` answers any other name.
    pub name: Name,
    pub description: Option<Name>,
    pub input: Option<Schema>,
    pub output: Option<Schema>,
    pub result: Template,
}

/// A signal or an update.
#[derive(Debug, Clone)]
pub struct Handler {
    /// `"*"` takes any other name.
    pub name: Name,
    pub description: Option<Name>,
    pub input: Option<Schema>,
    pub output: Option<Schema>,
    /// Updates only.
    pub validate: Option<Expression>,
    pub steps: Steps,
    /// `finish_before_completion`, true unless said: the run does not complete while the handler runs.
    pub finish_before_completion: bool,
}

#[derive(Debug, Clone)]
pub struct Block {
    pub name: Name,
    pub description: Option<Name>,
    pub input: Option<Schema>,
    pub output: Option<Schema>,
    pub steps: Steps,
}

/// `start`: defaults for starting the workflow.
#[derive(Debug, Clone, Default)]
pub struct StartOptions {
    pub workflow_id: Option<Template>,
    pub task_queue: Option<Name>,
    pub workflow_execution_timeout: Option<DurationValue>,
    pub workflow_run_timeout: Option<DurationValue>,
    pub workflow_task_timeout: Option<DurationValue>,
    pub retry_policy: Option<RetryPolicy>,
    pub workflow_id_reuse_policy: Option<Spanned<WorkflowIdReusePolicy>>,
    pub workflow_id_conflict_policy: Option<Spanned<WorkflowIdConflictPolicy>>,
    pub cron_schedule: Option<Name>,
    pub memo: Option<Template>,
    pub search_attributes: Option<Template>,
}

/// One of `schedules`.
#[derive(Debug, Clone)]
pub struct Schedule {
    pub name: Name,
    pub spec: ScheduleSpec,
    /// A literal.
    pub input: Option<Template>,
    pub workflow_id: Option<Name>,
    pub task_queue: Option<Name>,
    pub memo: Option<Map>,
    pub search_attributes: Option<Map>,
}

#[derive(Debug, Clone)]
pub struct Step {
    pub range: Range,
    pub id: Option<Name>,
    pub description: Option<Template>,
    pub when: Option<Expression>,
    /// Run when the enclosing saga, or the workflow, fails after this step completed.
    pub compensate: Option<Steps>,
    pub compensate_on: Option<Spanned<CompensateOn>>,
    /// The action key and its range.
    pub action: Spanned<Action>,
}

/// The largest are boxed: a file of 1 MiB has some 60,000 steps, and each takes as much memory as the largest unboxed
/// one.
#[allow(
    clippy::large_enum_variant,
    reason = "a tree that is read once and dropped; further boxes would only clutter it"
)]
#[derive(Debug, Clone)]
pub enum Action {
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
pub enum Input {
    None,
    /// `input`: one argument.
    One(Template),
    /// `args`: several.
    Several(Vec<Template>),
}

#[derive(Debug, Clone)]
pub enum DurationValue {
    Constant(Spanned<Duration>),
    /// Evaluates to a duration or a string that is one.
    Expression(Template),
}

#[derive(Debug, Clone)]
pub struct ActivityStep {
    /// The activity type; an expression makes it dynamic.
    pub activity: Template,
    pub input: Input,
    /// Its own; most steps have none.
    pub options: Option<Box<ActivityOptions>>,
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
        pub struct $options {
            $($(
                #[doc = $meaning]
                pub $field: Option<written!($($kind)+)>,
            )+)+
        }
    };
}

options::activity_options!(options);
options::child_options!(options);

#[derive(Debug, Clone, Default)]
pub struct PriorityOption {
    pub priority_key: Option<Template>,
    pub fairness_key: Option<Template>,
    pub fairness_weight: Option<Template>,
}

#[derive(Debug, Clone, Default)]
pub struct RetryPolicy {
    pub initial_interval: Option<DurationValue>,
    pub backoff_coefficient: Option<Template>,
    pub maximum_interval: Option<DurationValue>,
    pub maximum_attempts: Option<Template>,
    pub non_retryable_error_types: Vec<Name>,
}

#[derive(Debug, Clone)]
pub struct BuiltInStep {
    pub kind: BuiltIn,
    pub request: Template,
    pub options: Option<Box<ActivityOptions>>,
}

#[derive(Debug, Clone)]
pub enum Timer {
    For(DurationValue),
    /// Evaluates to a timestamp, or a string that is one.
    Until(Template),
}

#[derive(Debug, Clone)]
pub struct Wait {
    pub awaited: Awaited,
    pub timeout: Option<DurationValue>,
    pub on_timeout: Option<Steps>,
}

#[derive(Debug, Clone)]
pub enum Awaited {
    Signal(Name),
    Until(Expression),
}

#[derive(Debug, Clone)]
pub struct Case {
    pub range: Range,
    pub matches: CaseMatch,
    pub steps: Steps,
}

#[derive(Debug, Clone)]
pub enum CaseMatch {
    /// `is: value`
    Is(Template),
    /// `in: [values]`
    In(Template),
    /// `when: condition`
    When(Expression),
}

#[derive(Debug, Clone)]
pub struct ForEach {
    /// A list or a map.
    pub items: Template,
    /// `as`: the item (of a map: its value); `item` unless said.
    pub item: Option<Name>,
    /// `index`: the position in a list, the key in a map.
    pub index: Option<Name>,
    /// Turns at one time; 1 unless said.
    pub concurrency: Option<Template>,
    pub steps: Steps,
}

#[derive(Debug, Clone)]
pub struct Branch {
    pub name: Name,
    pub steps: Steps,
}

#[derive(Debug, Clone)]
pub struct Try {
    pub steps: Steps,
    /// Over the whole block.
    pub retry_policy: Option<RetryPolicy>,
    pub catches: Vec<Catch>,
    pub finally: Steps,
}

#[derive(Debug, Clone)]
pub struct Catch {
    pub range: Range,
    /// Kinds or types; none means any failure but a cancellation.
    pub errors: Vec<Name>,
    pub when: Option<Expression>,
    /// `as`: the name of the failure; `error` unless said.
    pub name: Option<Name>,
    pub steps: Steps,
}

#[derive(Debug, Clone)]
pub struct ChildStep {
    /// The workflow type; an expression makes it dynamic.
    pub child: Template,
    pub input: Input,
    pub options: Option<Box<ChildOptions>>,
}

/// What `start` can start without awaiting it.
#[expect(
    clippy::large_enum_variant,
    reason = "a tree that is read once and dropped; boxes would only clutter it"
)]
#[derive(Debug, Clone)]
pub enum Started {
    Activity(ActivityStep),
    BuiltIn(BuiltInStep),
    Child(ChildStep),
    Nexus(NexusStep),
}

#[derive(Debug, Clone)]
pub struct SignalStep {
    pub name: Template,
    pub target: SignalTarget,
    pub input: Input,
}

#[derive(Debug, Clone)]
pub enum SignalTarget {
    Workflow {
        workflow_id: Template,
        run_id: Option<Template>,
    },
    /// The handle of a started child.
    Handle(Name),
}

#[derive(Debug, Clone)]
pub struct NexusStep {
    pub endpoint: Template,
    pub service: Template,
    pub operation: Template,
    pub input: Option<Template>,
    pub schedule_to_close_timeout: Option<DurationValue>,
    pub schedule_to_start_timeout: Option<DurationValue>,
    pub start_to_close_timeout: Option<DurationValue>,
}

#[derive(Debug, Clone)]
pub struct ContinueAsNewStep {
    pub input: Input,
    pub workflow: Option<Template>,
    pub task_queue: Option<Template>,
    pub workflow_run_timeout: Option<DurationValue>,
    pub workflow_task_timeout: Option<DurationValue>,
    pub retry_policy: Option<RetryPolicy>,
    pub memo: Option<Template>,
    pub search_attributes: Option<Template>,
    /// `definition`: stay with the run's bundle, or take what is newest then.
    pub version: ContinuedVersion,
    pub initial_versioning_behavior: Option<InitialVersioningBehavior>,
}

#[expect(
    clippy::large_enum_variant,
    reason = "a tree that is read once and dropped; boxes would only clutter it"
)]
#[derive(Debug, Clone)]
pub enum FailStep {
    /// `fail:` without a mapping, in a `catch`: the failure that was caught goes on.
    Again,
    With {
        error_type: Option<Template>,
        message: Option<Template>,
        details: Option<Template>,
        non_retryable: bool,
    },
}
