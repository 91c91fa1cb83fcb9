//! The number of operations in flight by kind, within the server's bounds: a step that would start one too many waits
//! until another resolves.

use super::machine::Machine;
use super::state::{OperationKind, Routine, RoutineId};
use super::steps::is_to_cancel;
use crate::definition::InFlight;
use crate::limits::{
    ACTIVITIES_PENDING_MAX, CANCEL_REQUESTS_PENDING_MAX, CHILDREN_PENDING_MAX,
    NEXUS_OPERATIONS_PENDING_MAX, SIGNALS_PENDING_MAX,
};
use crate::program::Action;
use crate::words::StepId;

#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Pending {
    activities: u32,
    children: u32,
    signals: u32,
    cancel_requests: u32,
    nexus_operations: u32,
}

impl Pending {
    /// The number of operations of the kind; `None` if the server does not limit it.
    pub(crate) fn of(&mut self, kind: &OperationKind) -> Option<&mut u32> {
        match kind {
            OperationKind::Activity | OperationKind::Abandonable { .. } => {
                Some(&mut self.activities)
            }
            OperationKind::Child { .. } => Some(&mut self.children),
            OperationKind::SignalExternal => Some(&mut self.signals),
            OperationKind::CancelExternal => Some(&mut self.cancel_requests),
            OperationKind::Nexus => Some(&mut self.nexus_operations),
            // There is at most one for each child.
            OperationKind::CancelRequest { .. }
            | OperationKind::Binding
            | OperationKind::Timer
            | OperationKind::Deadline { .. }
            | OperationKind::Breather
            | OperationKind::LocalActivity(_)
            | OperationKind::LocalBackoff { .. } => None,
        }
    }

    fn is_full_for(&self, action: &Action) -> bool {
        match action.in_flight() {
            Some(InFlight::Activity) => self.activities >= ACTIVITIES_PENDING_MAX,
            Some(InFlight::Child) => self.children >= CHILDREN_PENDING_MAX,
            Some(InFlight::Signal) => self.signals >= SIGNALS_PENDING_MAX,
            Some(InFlight::CancelRequest) => self.cancel_requests >= CANCEL_REQUESTS_PENDING_MAX,
            Some(InFlight::Nexus) => self.nexus_operations >= NEXUS_OPERATIONS_PENDING_MAX,
            Some(InFlight::Timer) | None => false,
        }
    }
}

impl Machine<'_> {
    /// Whether a routine's next step must wait for room; the routine is then kept until there may be some.
    pub(crate) fn is_held(&mut self, id: RoutineId, routine: &Routine, step: StepId) -> bool {
        let action = &self.program.step(step).action;
        let is_full = self.run.pending.is_full_for(action) || self.holds_local(action);
        let is_held = !is_to_cancel(routine) && is_full;
        if is_held {
            self.run.held.insert(id);
        }
        is_held
    }
}
