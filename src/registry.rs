//! Where definitions come from: the newest of each workflow type, and each that has been handed to a run.

mod folder;
mod pack;

use std::sync::Arc;

pub use folder::{Change, Folder, FolderError};
pub use pack::load;

use crate::engine::Loaded;
use crate::engine::job::EncodedBundle;

/// A definition in force, compiled.
#[derive(Debug, Clone)]
pub struct Entry {
    pub loaded: Arc<Loaded>,
    pub bundle: Arc<EncodedBundle>,
}

/// What a worker serves. Answers come from memory, at once; a registry changes behind them.
pub trait Registry: Send + Sync {
    /// The definition that a new run of the type is bound to.
    fn newest(&self, workflow_type: &str) -> Option<Entry>;

    /// A definition by its bundle's digest: those in force, and those that were and may have been handed to a run.
    fn by_digest(&self, digest: &str) -> Option<Entry>;

    /// The workflow types that a run can be started with, in order.
    fn workflow_types(&self) -> Vec<String>;
}
