//! Changes of what the engine requests. A workflow task that uses one records that in the run's history, and a replay
//! of an older one behaves as the older engine did. Temporal's core keeps the flags, as it does for the SDKs.

use super::command::{Command, CommandKind};
use super::machine::Machine;
use super::state::{Clock, Run};
use crate::faults::Fault;

/// An abandoned activity resolves without core: core would not bear that it fails or times out later.
pub(crate) const ABANDONS_ITSELF: u32 = 1;

/// Jobs reach the run one by one in the order of history, and it ends when all that arrived was handled: see `inbox`.
pub(crate) const ORDER_OF_HISTORY: u32 = 2;

/// Signals that nothing has taken go along when the run continues as new.
pub(crate) const KEPT_SIGNALS: u32 = 3;

/// A step with `compensate` that is cancelled in flight is waited for, and undone if it completed all the same.
pub(crate) const SAGA_EFFECTS: u32 = 4;

/// The null that a run without `return` ends with is held to its `output` like any other result.
pub(crate) const OUTPUT_WITHOUT_RETURN: u32 = 5;

/// What the main steps did is undone too if the run fails after they have ended, and what they chose as its end is carried.
pub(crate) const UNDONE_AFTER_THE_STEPS: u32 = 6;

/// A workflow task counts the results of its local activities, and everything else that it sends, over all its activations.
pub(crate) const LOCAL_RESULTS_COUNTED: u32 = 7;

/// A bundle in the start's headers binds the run only if the server vouches that a worker wrote it.
pub(crate) const HEADERS_CHECKED: u32 = 8;

/// Expressions compute what CEL specifies where older engines did not: see `expression::Semantics`.
pub(crate) const CEL_AS_SPECIFIED: u32 = 9;

/// `distinct()` and the functions on sets cost in proportion to their lists. What expressions cost decides where a workflow
/// task takes a breath, which is a timer in the history, and whether an update is refused or a run fails.
pub(crate) const LINEAR_LISTS: u32 = 10;

/// Holding a value against its schema has a bound: a value that would pass it after more checks is refused.
pub(crate) const SCHEMA_CHECKS_BOUNDED: u32 = 11;

/// A step that completed with a result that breaks its schema or cannot be decoded is undone like any other that completed.
pub(crate) const UNUSABLE_RESULTS: u32 = 12;

/// An activity that was started and waits long before a retry can be awaited after a `call` that it outlasted.
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

/// Whether a run whose first activation this is begins with the flag.
pub(crate) fn may_begin_with(flag: u32, clock: &Clock) -> bool {
    !clock.is_replaying || clock.flags.contains(&flag)
}

impl Run {
    /// Fixes the flags that hold for the whole run, in its first activation.
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
    /// Whether this workflow task may make use of it; that it did is written down.
    pub(crate) fn may_use(&mut self, flag: u32) -> bool {
        let may = !self.clock.is_replaying || self.clock.flags.contains(&flag);
        if may {
            self.command(CommandKind::UseFlag(flag));
        }
        may
    }
}
