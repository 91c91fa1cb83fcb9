//! The state that the server and the worker share: the time, what is due, and the provider of everything outside.

use super::agenda::Agenda;
use super::outside::Outside;
use crate::value::Timestamp;

pub(super) struct World {
    pub(crate) now: Timestamp,
    pub(crate) agenda: Agenda,
    pub(crate) outside: Box<dyn Outside>,
    /// Workflow tasks and attempts wait.
    pub(crate) worker_is_away: bool,
}
