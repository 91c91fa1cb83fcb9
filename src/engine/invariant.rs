//! What always holds in a run. If the engine finds that an invariant is broken, it neither guesses nor stays silent:
//! the workflow task fails and names the invariant, and nothing that the activation requested is sent.

use std::cell::OnceCell;

use super::TaskFailure;
use super::state::Run;

/// The routine that an operation, a signal or a condition is for.
pub(crate) const WAITS: &str = "a routine that waits exists";

/// The first invariant that an instance found broken. It remains broken: nothing that the instance does afterwards is
/// used.
#[derive(Debug, Clone, Default)]
pub(crate) struct Violation(OnceCell<String>);

impl Run {
    /// Records that an invariant is broken. The caller then does whatever ends the activation soonest.
    pub(crate) fn violated(&self, invariant: impl Into<String>) {
        self.violation.0.get_or_init(|| invariant.into());
    }

    /// Records a violation in a copy of the run, which shows what would happen to the run itself.
    pub(crate) fn violated_as(&self, copy: &Run) {
        if let Some(invariant) = copy.violation.0.get() {
            self.violated(invariant.as_str());
        }
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.violation.0.get().is_none()
    }

    /// The failure of the workflow task, if an invariant was found broken.
    pub(crate) fn soundness(&self) -> Result<(), TaskFailure> {
        match self.violation.0.get() {
            None => Ok(()),
            Some(invariant) => Err(TaskFailure(format!(
                "the engine broke an invariant: {invariant}"
            ))),
        }
    }
}
