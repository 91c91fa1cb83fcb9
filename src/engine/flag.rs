//! Changes of what the engine asks for: a workflow task that makes use of one says so in the run's history, and a replay of
//! an older one does as it was done then. Temporal's core keeps the flags, as it does for the SDKs.

use super::command::CommandKind;
use super::machine::Machine;

/// An abandoned activity resolves without core: core would not bear that it fails or times out later.
pub const ABANDONS_ITSELF: u32 = 1;

impl Machine<'_> {
    /// Whether this workflow task may make use of it; that it did is written down.
    pub fn may_use(&mut self, flag: u32) -> bool {
        let may = !self.clock.is_replaying || self.clock.flags.contains(&flag);
        if may {
            self.command(CommandKind::UseFlag(flag));
        }
        may
    }
}
