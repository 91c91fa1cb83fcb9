//! The program that the engine runs: steps in an arena, names resolved to slots, expressions compiled. It cannot
//! represent an unresolved name, a missing option or an unparsed expression. The ranges of its steps in the author's
//! files are kept separately.

#![deny(clippy::wildcard_enum_match_arm)]

mod callable;
mod example;
mod kind;
mod numbered;
mod schema;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::accepted::ScheduleSpec;
use crate::definition::options::{activity_options, child_options};
use crate::expression::Code;
use crate::source::{Range, Sources};
use crate::value::{Duration, Map, Value};
use crate::words::{
    ActivityCancellationType, BlockId, BuiltIn, ChildCancellationType, CompensateOn,
    ContinuedVersion, History, InitialVersioningBehavior, LogLevel, OnCompensationFailure,
    OnFailure, ParentClosePolicy, StepId, VersioningBehavior, WorkflowIdConflictPolicy,
    WorkflowIdReusePolicy,
};

pub use callable::Extent;
pub use kind::Operation;
pub use numbered::Numbered;
pub use schema::Schema;

/// Slots with a meaning of their own; a function's own names follow.
pub mod slot {
    /// The workflow's input; in a block of `blocks`, the block's.
    pub const INPUT: u32 = 0;
    /// A handler's arguments.
    pub const ARGS: u32 = 1;
    pub const STATE: u32 = 2;
    pub const WORKFLOW: u32 = 3;
    pub const LOCAL_FIRST: u32 = 4;
}

#[derive(Debug)]
pub struct Program {
    pub workflow: Arc<str>,
    pub description: Option<Arc<str>>,
    pub task_queue: Option<Arc<str>>,
    pub history: History,
    pub versioning_behavior: Option<VersioningBehavior>,
    /// What evaluating one expression may cost.
    pub expression_cost_max: u64,
    /// Evaluated in order when a run begins; `input` is in scope.
    pub state: Vec<(Arc<str>, Code)>,
    pub main: Function,
    pub queries: Vec<Query>,
    pub signals: Vec<Handler>,
    pub updates: Vec<Handler>,
    pub functions: Numbered<Function>,
    pub start: StartOptions,
    pub schedules: Vec<Schedule>,
    pub steps: Numbered<Step>,
    pub blocks: Numbered<Box<[StepId]>>,
    /// The range of each step's action key, by [`StepId`].
    pub ranges: Numbered<Range>,
    /// The ranges of the expressions that a run may evaluate.
    pub expressions: Vec<Range>,
    /// What it takes in memory without its texts, by an estimate.
    pub memory_bytes: usize,
    /// The texts that the ranges point into.
    pub sources: Sources,
}

impl Program {
    pub fn step(&self, id: StepId) -> &Step {
        &self.steps[id.0 as usize]
    }

    pub fn block(&self, id: BlockId) -> &[StepId] {
        &self.blocks[id.0 as usize]
    }

    /// The signals that a run receives, by a handler or by waiting for them; `*` is every other one.
    pub fn signal_names(&self) -> BTreeSet<String> {
        let handled = self.signals.iter().map(|handler| &handler.name);
        let steps = self.steps.iter();
        let awaited = steps.filter_map(|step| step.action.awaited_signal());
        handled
            .chain(awaited)
            .map(|name| name.to_string())
            .collect()
    }

    /// `file:line:column` of a step.
    pub fn location(&self, id: StepId) -> String {
        self.sources.location(self.ranges[id.0 as usize])
    }
}

/// Steps with slots of their own: the body of the workflow, of a handler, or of a block under `blocks`.
#[derive(Debug)]
pub struct Function {
    pub name: Arc<str>,
    pub input: Option<Schema>,
    pub output: Option<Schema>,
    pub body: BlockId,
    /// How many slots it needs, those with a meaning of their own included.
    pub slots: u32,
    /// It has a `compensate` outside any `saga`: the body itself is one.
    pub is_saga: bool,
    pub extent: Extent,
}

#[derive(Debug)]
pub struct Query {
    pub name: Arc<str>,
    pub description: Option<Arc<str>>,
    pub input: Option<Schema>,
    pub output: Option<Schema>,
    pub result: Code,
}

#[derive(Debug)]
pub struct Handler {
    pub name: Arc<str>,
    pub description: Option<Arc<str>>,
    pub validate: Option<Code>,
    pub function: Function,
    pub finish_before_completion: bool,
}

/// The handler of that name, or the one for any other.
pub fn handler<'a>(handlers: &'a [Handler], name: &str) -> Option<(usize, &'a Handler)> {
    let position = |wanted: &str| handlers.iter().position(|h| &*h.name == wanted);
    position(name)
        .or_else(|| position("*"))
        .map(|i| (i, &handlers[i]))
}

/// From which `segno deploy` creates a schedule.
#[derive(Debug)]
pub struct Schedule {
    pub name: Arc<str>,
    /// Where its name is defined.
    pub range: Range,
    pub spec: ScheduleSpec,
    pub input: Option<Value>,
    pub workflow_id: Option<Arc<str>>,
    pub task_queue: Option<Arc<str>>,
    pub memo: Map,
    pub search_attributes: Map,
}

/// The id on the server of a definition's schedule.
pub fn schedule_id(workflow: &str, name: &str) -> String {
    format!("{workflow}/{name}")
}

#[derive(Debug, Default)]
pub struct StartOptions {
    pub workflow_id: Option<Code>,
    pub task_queue: Option<Arc<str>>,
    pub workflow_execution_timeout: Option<DurationCode>,
    pub workflow_run_timeout: Option<DurationCode>,
    pub workflow_task_timeout: Option<DurationCode>,
    pub retry_policy: Option<RetryPolicy>,
    pub workflow_id_reuse_policy: Option<WorkflowIdReusePolicy>,
    pub workflow_id_conflict_policy: Option<WorkflowIdConflictPolicy>,
    pub cron_schedule: Option<Arc<str>>,
    pub memo: Option<Code>,
    pub search_attributes: Option<Code>,
}

#[derive(Debug)]
pub struct Step {
    pub id: Option<Arc<str>>,
    /// Where its result goes.
    pub slot: Option<u32>,
    /// The description, or what the step says of itself.
    pub summary: Option<Code>,
    pub when: Option<Code>,
    pub compensate: Option<BlockId>,
    pub compensate_on: CompensateOn,
    pub action: Action,
}

#[derive(Debug)]
pub enum DurationCode {
    Constant(Duration),
    Code(Code),
}

#[derive(Debug)]
pub enum Action {
    Activity(Box<Activity>),
    TimerFor(DurationCode),
    TimerUntil(Code),
    WaitSignal {
        name: Arc<str>,
        timeout: Option<DurationCode>,
        on_timeout: Option<BlockId>,
    },
    WaitUntil {
        condition: Code,
        timeout: Option<DurationCode>,
        on_timeout: Option<BlockId>,
    },
    Set(Vec<(Arc<str>, Code)>),
    If {
        condition: Code,
        then: BlockId,
        otherwise: BlockId,
    },
    Switch {
        subject: Option<Code>,
        cases: Vec<Case>,
        default: BlockId,
    },
    ForEach(Box<ForEach>),
    While {
        condition: Code,
        body: BlockId,
    },
    Repeat {
        body: BlockId,
        until: Code,
    },
    Break,
    Continue,
    Parallel {
        branches: Vec<(Arc<str>, BlockId)>,
        on_failure: OnFailure,
    },
    Race {
        branches: Vec<(Arc<str>, BlockId)>,
    },
    Try(Box<Try>),
    Saga {
        body: BlockId,
        on_compensation_failure: OnCompensationFailure,
    },
    Do {
        body: BlockId,
        timeout: Option<DurationCode>,
        shield: bool,
    },
    Call {
        function: u32,
        input: Option<Code>,
    },
    Child(Box<Child>),
    Nexus(Box<Nexus>),
    /// The slot of the handle.
    Await(u32),
    Cancel(u32),
    Signal(Box<Signal>),
    CancelWorkflow {
        workflow_id: Code,
        run_id: Option<Code>,
        reason: Option<Code>,
    },
    ContinueAsNew(Box<ContinueAsNew>),
    Upsert {
        search_attributes: Option<Code>,
        memo: Option<Code>,
    },
    Log {
        level: LogLevel,
        message: Code,
        fields: Option<Code>,
    },
    Details(Code),
    Return(Option<Code>),
    /// The slot of the caught failure.
    FailAgain(u32),
    Fail(Box<Fail>),
}

/// The arguments of a call: none, one, or several.
#[derive(Debug)]
pub struct Arguments(pub Vec<Code>);

#[derive(Debug)]
pub struct Activity {
    pub activity: Code,
    /// The generic worker's own: without a task queue it runs where the workflow does.
    pub built_in: Option<BuiltIn>,
    pub arguments: Arguments,
    pub options: ActivityOptions,
    /// `start`: not awaited.
    pub is_started: bool,
    /// An `await` with `compensate` awaits it.
    pub is_undone: bool,
    pub contract: Option<Arc<Contract>>,
}

/// What `activities` declares about the type's input and result.
#[derive(Debug)]
pub struct Contract {
    pub input: Option<Schema>,
    pub output: Option<Schema>,
}

/// The compiled form of an option, by its kind. Every call has room for all of its options, and few set a retry policy
/// or a priority.
macro_rules! compiled {
    (Name) => { Option<Code> };
    (Length) => { Option<DurationCode> };
    (Heartbeat) => { Option<DurationCode> };
    (Retries) => { Option<Box<RetryPolicy>> };
    (Priority) => { Option<Box<Priority>> };
    (Flag) => { bool };
    (Cron) => { Option<Code> };
    (Mapping) => { Option<Code> };
    (Word $word:ident) => { Option<$word> };
    (DefaultWord $word:ident) => { $word };
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
        #[derive(Debug, Default)]
        pub struct $options {
            $($(
                #[doc = $meaning]
                pub $field: compiled!($($kind)+),
            )+)+
        }
    };
}

activity_options!(options);
child_options!(options);

#[derive(Debug, Default)]
pub struct Priority {
    pub priority_key: Option<Code>,
    pub fairness_key: Option<Code>,
    pub fairness_weight: Option<Code>,
}

#[derive(Debug, Default)]
pub struct RetryPolicy {
    pub initial_interval: Option<DurationCode>,
    pub backoff_coefficient: Option<Code>,
    pub maximum_interval: Option<DurationCode>,
    pub maximum_attempts: Option<Code>,
    pub non_retryable_error_types: Vec<Arc<str>>,
}

#[derive(Debug)]
pub struct Case {
    pub matches: CaseMatch,
    pub body: BlockId,
}

#[derive(Debug)]
pub enum CaseMatch {
    Is(Code),
    In(Code),
    When(Code),
}

#[derive(Debug)]
pub struct ForEach {
    pub items: Code,
    pub item_slot: u32,
    pub index_slot: Option<u32>,
    /// `None`: one turn after the other.
    pub concurrency: Option<Code>,
    pub body: BlockId,
}

#[derive(Debug)]
pub struct Try {
    pub body: BlockId,
    pub retry_policy: Option<RetryPolicy>,
    pub catches: Vec<Catch>,
    pub finally: Option<BlockId>,
}

#[derive(Debug)]
pub struct Catch {
    pub errors: Vec<Arc<str>>,
    pub when: Option<Code>,
    pub slot: u32,
    pub body: BlockId,
}

#[derive(Debug)]
pub struct Child {
    pub child: Code,
    pub arguments: Arguments,
    pub options: ChildOptions,
    pub is_started: bool,
}

#[derive(Debug)]
pub struct Nexus {
    pub endpoint: Code,
    pub service: Code,
    pub operation: Code,
    pub input: Option<Code>,
    pub schedule_to_close_timeout: Option<DurationCode>,
    pub schedule_to_start_timeout: Option<DurationCode>,
    pub start_to_close_timeout: Option<DurationCode>,
    pub is_started: bool,
}

#[derive(Debug)]
pub struct Signal {
    pub name: Code,
    pub target: SignalTarget,
    pub arguments: Arguments,
}

#[derive(Debug)]
pub enum SignalTarget {
    Workflow {
        workflow_id: Code,
        run_id: Option<Code>,
    },
    /// The slot of a started child's handle.
    Handle(u32),
}

#[derive(Debug)]
pub struct ContinueAsNew {
    /// `None`: the input of this run.
    pub arguments: Option<Arguments>,
    pub workflow: Option<Code>,
    pub task_queue: Option<Code>,
    pub workflow_run_timeout: Option<DurationCode>,
    pub workflow_task_timeout: Option<DurationCode>,
    pub retry_policy: Option<RetryPolicy>,
    pub memo: Option<Code>,
    pub search_attributes: Option<Code>,
    pub version: ContinuedVersion,
    pub initial_versioning_behavior: Option<InitialVersioningBehavior>,
}

#[derive(Debug)]
pub struct Fail {
    pub error_type: Option<Code>,
    pub message: Option<Code>,
    pub details: Option<Code>,
    pub non_retryable: bool,
}
