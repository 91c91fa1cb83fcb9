//! Changes of what the engine requests. A workflow task that uses one records that in the run's history, and a replay
//! of an older one behaves as the older engine did. Temporal's core keeps the flags, as it does for the SDKs.

use super::command::{Command, CommandKind};
use super::machine::Machine;
use super::state::{Clock, Run};
use crate::faults::Fault;

/// An abandoned activity resolves without core, which would not tolerate a later failure or timeout of it.
pub(crate) const ABANDONS_ITSELF: u32 = 1;

/// Jobs reach the run one by one in the order of history, and it ends when everything that arrived was handled: see
/// `inbox`.
pub(crate) const ORDER_OF_HISTORY: u32 = 2;

/// Unconsumed signals are carried when the run continues as new.
pub(crate) const KEPT_SIGNALS: u32 = 3;

/// A step with `compensate` that is cancelled in flight is waited for, and undone if it completed anyway.
pub(crate) const SAGA_EFFECTS: u32 = 4;

/// The null result of a run without `return` is validated against its `output` like any other result.
pub(crate) const OUTPUT_WITHOUT_RETURN: u32 = 5;

/// What the main steps did is also undone if the run fails after they have ended, and what they chose as its end is
/// carried.
pub(crate) const UNDONE_AFTER_THE_STEPS: u32 = 6;

/// A workflow task counts the results of its local activities, and everything else that it sends, over all its
/// activations.
pub(crate) const LOCAL_RESULTS_COUNTED: u32 = 7;

/// A bundle in the start's headers binds the run only if the server vouches that a worker wrote it.
pub(crate) const HEADERS_CHECKED: u32 = 8;

/// Expressions compute what CEL specifies, unlike older engines: see `expression::Semantics`.
pub(crate) const CEL_AS_SPECIFIED: u32 = 9;

/// `distinct()` and the functions on sets cost in proportion to their lists. The cost of expressions decides when a
/// workflow task pauses with a timer, which is in the history, and whether an update is refused or a run fails.
pub(crate) const LINEAR_LISTS: u32 = 10;

/// Validating a value against its schema has a bound: a value that would pass only after more checks is refused.
pub(crate) const SCHEMA_CHECKS_BOUNDED: u32 = 11;

/// A step that completed with a result that breaks its schema or cannot be decoded is undone like any other completed
/// step.
pub(crate) const UNUSABLE_RESULTS: u32 = 12;

/// A started activity that waits long before a retry can be awaited after a `call` that it outlasted.
pub(crate) const HANDLES_OF_CALLERS: u32 = 13;

/// Flags of a whole run: its first workflow task records them, and they apply until the run ends. A run that began
/// without one continues without it. Numbers are never reused.
const OF_A_RUN: &[u32] = &[
    ORDER_OF_HISTORY,
    KEPT_SIGNALS,
    SAGA_EFFECTS,
    OUTPUT_WITHOUT_RETURN,
    UNDONE_AFTER_THE_STEPS,
    LOCAL_RESULTS_COUNTED,
    HEADERS_CHECKED,
    CEL_AS_SPECIFIED,
    LINEAR_LISTS,
    SCHEMA_CHECKS_BOUNDED,
    UNUSABLE_RESULTS,
];

/// Whether a run that begins with this activation has the flag.
pub(crate) fn may_begin_with(flag: u32, clock: &Clock) -> bool {
    !clock.is_replaying || clock.flags.contains(&flag)
}

impl Run {
    /// Fixes the flags of the whole run, in its first activation.
    pub(crate) fn fix_flags(&mut self, clock: &Clock, commands: &mut Vec<Command>) {
        let may = |flag: &u32| may_begin_with(*flag, clock);
        self.flags = OF_A_RUN.iter().copied().filter(may).collect();
        if Fault::LocalResultsUncounted.is_on() {
            self.flags.retain(|flag| *flag != LOCAL_RESULTS_COUNTED);
        }
        let uses = self.flags.iter().map(|flag| CommandKind::UseFlag(*flag));
        commands.extend(uses.map(Command::from));
    }

    /// Whether the run began with a flag of `OF_A_RUN`.
    pub(crate) fn has(&self, flag: u32) -> bool {
        self.flags.contains(&flag)
    }
}

impl Machine<'_> {
    /// Whether this workflow task may use it; if so, its use is recorded.
    pub(crate) fn may_use(&mut self, flag: u32) -> bool {
        let may = !self.clock.is_replaying || self.clock.flags.contains(&flag);
        if may {
            self.command(CommandKind::UseFlag(flag));
        }
        may
    }
}
