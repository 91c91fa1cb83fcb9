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

pub(crate) use callable::Extent;
pub(crate) use kind::Operation;
pub(crate) use numbered::Numbered;
pub(crate) use schema::Schema;

/// Slots with a fixed meaning; a function's own names follow.
pub(crate) mod slot {
    /// The workflow's input; in a block of `blocks`, the block's.
    pub(crate) const INPUT: u32 = 0;
    /// A handler's arguments.
    pub(crate) const ARGS: u32 = 1;
    pub(crate) const STATE: u32 = 2;
    pub(crate) const WORKFLOW: u32 = 3;
    pub(crate) const LOCAL_FIRST: u32 = 4;
}

#[derive(Debug)]
pub struct Program {
    pub workflow: Arc<str>,
    pub(crate) history: History,
    pub(crate) versioning_behavior: Option<VersioningBehavior>,
    /// The bound on the cost of one expression.
    pub(crate) expression_cost_max: u64,
    /// Evaluated in order when a run starts; `input` is in scope.
    pub(crate) state: Vec<(Arc<str>, Code)>,
    pub(crate) main: Function,
    pub(crate) queries: Vec<Query>,
    pub signals: Vec<Handler>,
    pub updates: Vec<Handler>,
    pub functions: Numbered<Function>,
    pub(crate) start: StartOptions,
    pub schedules: Vec<Schedule>,
    pub steps: Numbered<Step>,
    pub blocks: Numbered<Box<[StepId]>>,
    /// The range of each step's action key, by [`StepId`].
    pub ranges: Numbered<Range>,
    /// The ranges of the expressions that a run may evaluate.
    pub expressions: Vec<Range>,
    /// Estimated memory, without its texts.
    pub(crate) memory_bytes: usize,
    /// The texts that the ranges point into.
    pub sources: Sources,
}

impl Program {
    pub(crate) fn step(&self, id: StepId) -> &Step {
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
    pub(crate) input: Option<Schema>,
    pub(crate) output: Option<Schema>,
    pub body: BlockId,
    /// The number of slots that it needs, including those with a fixed meaning.
    pub(crate) slots: u32,
    /// It has a `compensate` outside any `saga`, so the body itself is a saga.
    pub(crate) is_saga: bool,
    pub(crate) extent: Extent,
}

#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) name: Arc<str>,
    pub(crate) description: Option<Arc<str>>,
    pub(crate) input: Option<Schema>,
    pub(crate) output: Option<Schema>,
    pub(crate) result: Code,
}

#[derive(Debug)]
pub struct Handler {
    pub(crate) name: Arc<str>,
    pub(crate) description: Option<Arc<str>>,
    pub(crate) validate: Option<Code>,
    pub function: Function,
    pub(crate) finish_before_completion: bool,
}

/// The handler of that name, or the one for any other.
pub(crate) fn handler<'a>(handlers: &'a [Handler], name: &str) -> Option<(usize, &'a Handler)> {
    let position = |wanted: &str| handlers.iter().position(|h| &*h.name == wanted);
    position(name)
        .or_else(|| position("*"))
        .map(|i| (i, &handlers[i]))
}

/// From which `segno deploy` creates a schedule.
#[derive(Debug)]
pub struct Schedule {
    pub name: Arc<str>,
    /// The range of its name.
    pub(crate) range: Range,
    pub spec: ScheduleSpec,
    pub(crate) input: Option<Value>,
    pub(crate) workflow_id: Option<Arc<str>>,
    pub(crate) task_queue: Option<Arc<str>>,
    pub memo: Map,
    pub search_attributes: Map,
}

/// The id on the server of a schedule of a definition.
pub(crate) fn schedule_id(workflow: &str, name: &str) -> String {
    format!("{workflow}/{name}")
}

#[derive(Debug, Default)]
pub(crate) struct StartOptions {
    pub(crate) workflow_id: Option<Code>,
    pub(crate) task_queue: Option<Arc<str>>,
    pub(crate) workflow_execution_timeout: Option<DurationCode>,
    pub(crate) workflow_run_timeout: Option<DurationCode>,
    pub(crate) workflow_task_timeout: Option<DurationCode>,
    pub(crate) retry_policy: Option<RetryPolicy>,
    pub(crate) workflow_id_reuse_policy: Option<WorkflowIdReusePolicy>,
    pub(crate) workflow_id_conflict_policy: Option<WorkflowIdConflictPolicy>,
    pub(crate) cron_schedule: Option<Arc<str>>,
    pub(crate) memo: Option<Code>,
    pub(crate) search_attributes: Option<Code>,
}

#[derive(Debug)]
pub struct Step {
    pub(crate) id: Option<Arc<str>>,
    /// The slot of its result.
    pub(crate) slot: Option<u32>,
    /// The description, or a summary generated from the step.
    pub(crate) summary: Option<Code>,
    pub(crate) when: Option<Code>,
    pub compensate: Option<BlockId>,
    pub(crate) compensate_on: CompensateOn,
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
pub struct Arguments(pub(crate) Vec<Code>);

#[derive(Debug)]
pub struct Activity {
    pub(crate) activity: Code,
    /// One of the generic worker's own activities, which runs in the workflow's worker if it has no task queue.
    pub(crate) built_in: Option<BuiltIn>,
    pub(crate) arguments: Arguments,
    pub(crate) options: ActivityOptions,
    /// `start`: not awaited.
    pub(crate) is_started: bool,
    /// An `await` with `compensate` awaits it.
    pub(crate) is_undone: bool,
    pub(crate) contract: Option<Arc<Contract>>,
}

/// What `activities` declares about the type's input and result.
#[derive(Debug)]
pub(crate) struct Contract {
    pub(crate) input: Option<Schema>,
    pub(crate) output: Option<Schema>,
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
        pub(crate) struct $options {
            $($(
                #[doc = $meaning]
                pub(crate) $field: compiled!($($kind)+),
            )+)+
        }
    };
}

activity_options!(options);
child_options!(options);

#[derive(Debug, Default)]
pub(crate) struct Priority {
    pub(crate) priority_key: Option<Code>,
    pub(crate) fairness_key: Option<Code>,
    pub(crate) fairness_weight: Option<Code>,
}

#[derive(Debug, Default)]
pub(crate) struct RetryPolicy {
    pub(crate) initial_interval: Option<DurationCode>,
    pub(crate) backoff_coefficient: Option<Code>,
    pub(crate) maximum_interval: Option<DurationCode>,
    pub(crate) maximum_attempts: Option<Code>,
    pub(crate) non_retryable_error_types: Vec<Arc<str>>,
}

#[derive(Debug)]
pub struct Case {
    pub(crate) matches: CaseMatch,
    pub(crate) body: BlockId,
}

#[derive(Debug)]
pub(crate) enum CaseMatch {
    Is(Code),
    In(Code),
    When(Code),
}

#[derive(Debug)]
pub struct ForEach {
    pub(crate) items: Code,
    pub(crate) item_slot: u32,
    pub(crate) index_slot: Option<u32>,
    /// `None`: one turn at a time.
    pub(crate) concurrency: Option<Code>,
    pub(crate) body: BlockId,
}

#[derive(Debug)]
pub struct Try {
    pub(crate) body: BlockId,
    pub(crate) retry_policy: Option<RetryPolicy>,
    pub catches: Vec<Catch>,
    pub finally: Option<BlockId>,
}

#[derive(Debug)]
pub struct Catch {
    pub(crate) errors: Vec<Arc<str>>,
    pub(crate) when: Option<Code>,
    pub(crate) slot: u32,
    pub body: BlockId,
}

#[derive(Debug)]
pub struct Child {
    pub(crate) child: Code,
    pub(crate) arguments: Arguments,
    pub(crate) options: ChildOptions,
    pub(crate) is_started: bool,
}

#[derive(Debug)]
pub struct Nexus {
    pub(crate) endpoint: Code,
    pub(crate) service: Code,
    pub(crate) operation: Code,
    pub(crate) input: Option<Code>,
    pub(crate) schedule_to_close_timeout: Option<DurationCode>,
    pub(crate) schedule_to_start_timeout: Option<DurationCode>,
    pub(crate) start_to_close_timeout: Option<DurationCode>,
    pub(crate) is_started: bool,
}

#[derive(Debug)]
pub struct Signal {
    pub(crate) name: Code,
    pub(crate) target: SignalTarget,
    pub(crate) arguments: Arguments,
}

#[derive(Debug)]
pub(crate) enum SignalTarget {
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
    pub(crate) workflow: Option<Code>,
    pub(crate) task_queue: Option<Code>,
    pub(crate) workflow_run_timeout: Option<DurationCode>,
    pub(crate) workflow_task_timeout: Option<DurationCode>,
    pub(crate) retry_policy: Option<RetryPolicy>,
    pub(crate) memo: Option<Code>,
    pub(crate) search_attributes: Option<Code>,
    pub(crate) version: ContinuedVersion,
    pub(crate) initial_versioning_behavior: Option<InitialVersioningBehavior>,
}

#[derive(Debug)]
pub struct Fail {
    pub(crate) error_type: Option<Code>,
    pub(crate) message: Option<Code>,
    pub(crate) details: Option<Code>,
    pub(crate) non_retryable: bool,
}
