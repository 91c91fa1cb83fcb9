//! What an evaluation receives (variables, time, randomness, a budget) and how it fails.

use crate::limits::{EXPRESSION_COST_MAX, WORKFLOW_TASK_COST_MAX};
use crate::source::Range;
use crate::value::{Timestamp, Value, bounded_message};

/// The newest version of the cost model. A run is bound to the version that it started with, in its bundle: an
/// expression that was within its bound must be so on every replay.
pub(crate) const COST_MODEL_VERSION: u32 = 1;

/// How `distinct()` and the functions on sets find equal items, and what that costs. A run keeps the variant that it
/// started with, by a flag of the engine: the costs of a workflow task decide when it pauses with a timer, which is in
/// the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ListCosts {
    /// Each item is compared with every other.
    Pairwise,
    /// In proportion to the items.
    #[default]
    Linear,
}

/// Bytes copied or examined for one unit of cost.
const BYTES_PER_COST: usize = 32;

/// The values in the slots that an [`super::Environment`] named.
pub trait Variables {
    fn get(&self, slot: u32) -> Option<&Value>;
}

impl Variables for [Value] {
    fn get(&self, slot: u32) -> Option<&Value> {
        <[Value]>::get(self, slot as usize)
    }
}

impl Variables for Vec<Value> {
    fn get(&self, slot: u32) -> Option<&Value> {
        <[Value]>::get(self, slot as usize)
    }
}

/// The source of time and randomness; the same on every replay.
pub trait Host {
    fn now(&self) -> Timestamp;
    fn random_u64(&mut self) -> u64;
}

/// A host without time and randomness, for expressions that need neither.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHost;

impl Host for NoHost {
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }

    fn random_u64(&mut self) -> u64 {
        0
    }
}

/// Whether results are those of older engines or those that CEL specifies: the duration between timestamps that are far
/// apart, `lastIndexOf` in a text beyond ASCII, IPv4-mapped addresses, and the name `dyn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Semantics {
    #[default]
    Specified,
    /// The results of engines before `engine::flag::CEL_AS_SPECIFIED`, for runs that started on one.
    Earlier,
    /// Only results that are the same in both: constants are folded once for all runs of a definition.
    Both,
}

impl Semantics {
    pub(super) fn choose<T: PartialEq>(
        self,
        specified: impl FnOnce() -> Result<T, Failure>,
        earlier: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match self {
            Semantics::Specified => specified(),
            Semantics::Earlier => earlier(),
            Semantics::Both => {
                let value = specified()?;
                match earlier()? == value {
                    true => Ok(value),
                    false => Err(Failure::new("the value depends on the run's engine")),
                }
            }
        }
    }
}

/// The state that the evaluations of one workflow task share.
pub struct Context<'h> {
    pub(super) host: &'h mut dyn Host,
    semantics: Semantics,
    cost_left: u64,
    expression_cost_max: u64,
    list_costs: ListCosts,
}

impl<'h> Context<'h> {
    /// With the whole budget of a workflow task.
    pub fn new(host: &'h mut dyn Host) -> Self {
        Context::with_cost_left(host, WORKFLOW_TASK_COST_MAX)
    }

    /// With the cost that earlier evaluations of the workflow task have left.
    pub fn with_cost_left(host: &'h mut dyn Host, cost_left: u64) -> Self {
        Context {
            host,
            semantics: Semantics::Specified,
            cost_left,
            expression_cost_max: EXPRESSION_COST_MAX,
            list_costs: ListCosts::default(),
        }
    }

    pub fn semantics(self, semantics: Semantics) -> Self {
        Context { semantics, ..self }
    }

    /// With a bound for each expression other than [`EXPRESSION_COST_MAX`].
    pub fn expression_cost_max(self, expression_cost_max: u64) -> Self {
        Context {
            expression_cost_max,
            ..self
        }
    }

    pub fn list_costs(self, list_costs: ListCosts) -> Self {
        Context { list_costs, ..self }
    }

    pub fn cost_left(&self) -> u64 {
        self.cost_left
    }

    pub(super) fn budget(&self) -> Budget {
        Budget {
            semantics: self.semantics,
            left: self.cost_left.min(self.expression_cost_max),
            whole_task: self.cost_left < self.expression_cost_max,
            max: self.expression_cost_max,
            list_costs: self.list_costs,
        }
    }

    pub(super) fn spend(&mut self, before: u64, after: u64) {
        self.cost_left = self.cost_left.saturating_sub(before - after);
    }
}

/// The remaining cost of one evaluation, and the semantics that apply to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    pub(super) left: u64,
    pub(super) semantics: Semantics,
    /// The workflow task's bound is nearer than the expression's.
    whole_task: bool,
    /// The bound of the expression.
    max: u64,
    pub(super) list_costs: ListCosts,
}

impl Budget {
    /// For work that was already charged.
    pub(super) const UNLIMITED: Budget = Budget {
        left: u64::MAX,
        semantics: Semantics::Both,
        whole_task: false,
        max: u64::MAX,
        list_costs: ListCosts::Linear,
    };

    #[inline(always)]
    pub(crate) fn charge(&mut self, cost: u64) -> Result<(), Failure> {
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(self.exceeded()),
        }
    }

    /// Must be called before bytes are copied or searched.
    pub(crate) fn charge_bytes(&mut self, bytes: usize) -> Result<(), Failure> {
        self.charge((bytes / BYTES_PER_COST) as u64)
    }

    /// Must be called before items are copied or compared.
    pub(crate) fn charge_items(&mut self, items: usize) -> Result<(), Failure> {
        self.charge(items as u64)
    }

    #[cold]
    fn exceeded(&mut self) -> Failure {
        self.left = 0;
        let message = if self.whole_task {
            format!(
                "the expressions of one workflow task cost more than WORKFLOW_TASK_COST_MAX ({WORKFLOW_TASK_COST_MAX})"
            )
        } else if self.max == EXPRESSION_COST_MAX {
            format!(
                "the expression costs more than EXPRESSION_COST_MAX ({EXPRESSION_COST_MAX}); the definition's `expression_cost_max` raises it"
            )
        } else {
            format!(
                "the expression costs more than the definition's `expression_cost_max` ({})",
                self.max
            )
        };
        Failure::bound(message)
    }
}

/// Why a function or an operator has no value; the evaluator adds the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure(Box<(String, ErrorKind)>);

impl Failure {
    #[cold]
    pub(crate) fn new(message: impl Into<String>) -> Self {
        let message = bounded_message(message.into());
        Failure(Box::new((message, ErrorKind::Evaluation)))
    }

    #[cold]
    pub(crate) fn bound(message: impl Into<String>) -> Self {
        Failure(Box::new((message.into(), ErrorKind::Bound)))
    }

    #[cold]
    pub(crate) fn result_size(message: impl Into<String>) -> Self {
        Failure(Box::new((message.into(), ErrorKind::ResultSize)))
    }

    pub(crate) fn message(&self) -> &str {
        &self.0.0
    }

    #[cold]
    pub(super) fn at(self, range: Range) -> Box<EvaluationError> {
        let (message, kind) = *self.0;
        Box::new(EvaluationError {
            message,
            range,
            kind,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The expression has no value for this data. `&&` and `||` may absorb it.
    Evaluation,
    /// A bound was exceeded; nothing absorbs it.
    Bound,
    /// The result would be larger than a payload may be. Also a bound, but the cause is the data, not the expression.
    ResultSize,
}

impl ErrorKind {
    /// Whether `&&` and `||` cannot absorb it.
    pub(crate) fn is_bound(self) -> bool {
        self != ErrorKind::Evaluation
    }
}

/// Why an evaluation has no value, and in which part of the expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EvaluationError {
    pub message: String,
    pub(crate) range: Range,
    pub kind: ErrorKind,
}

/// A value, or a reference to an existing one.
#[derive(Debug, Clone)]
pub(crate) enum Operand<'a> {
    Borrowed(&'a Value),
    Owned(Value),
}

impl Operand<'_> {
    #[inline]
    pub(crate) fn into_owned(self) -> Value {
        match self {
            Operand::Borrowed(value) => value.clone(),
            Operand::Owned(value) => value,
        }
    }
}

impl std::ops::Deref for Operand<'_> {
    type Target = Value;

    #[inline(always)]
    fn deref(&self) -> &Value {
        match self {
            Operand::Borrowed(value) => value,
            Operand::Owned(value) => value,
        }
    }
}
