//! Where definitions are read from: the newest of each workflow type, and each that was handed to a run.

pub(crate) mod check;
#[cfg(feature = "cluster")]
mod cluster;
pub mod deploy;
mod deployed;
pub(crate) mod exchange;
mod folder;
pub(crate) mod health;
mod held;
#[cfg(feature = "cluster")]
mod objects;
mod pack;
mod plan;
#[cfg(feature = "cluster")]
pub(crate) mod schedules;
mod store;
mod texts;
pub(crate) mod used;

use std::collections::BTreeMap;
use std::sync::Arc;

#[cfg(feature = "cluster")]
pub(crate) use cluster::REGISTRY;
#[cfg(feature = "cluster")]
pub use cluster::{ClusterStore, REGISTRY_DATA};
pub(crate) use deployed::{Deployed, bundles, version};
pub(crate) use exchange::records;
pub use folder::{Change, Folder, Found, read_folder, read_folder_whole};
pub(crate) use folder::{fetch, watch};
#[cfg(feature = "cluster")]
pub use objects::ObjectsStore;
pub(crate) use pack::differences;
pub use pack::load;
pub(crate) use store::{Damage, Remedy, StoreError, bundle, data};
pub use store::{Store, put_data};

use crate::bundle::Bundle;
use crate::engine::Loaded;
use crate::engine::job::EncodedBundle;

/// A definition in force, compiled.
#[derive(Debug, Clone)]
pub struct Entry {
    pub loaded: Arc<Loaded>,
    pub bundle: Arc<EncodedBundle>,
}

/// The definitions that a worker serves. Answers are immediate, from memory; a registry changes in the background.
pub trait Registry: Send + Sync {
    /// The definition that a new run of the type with this id is bound to.
    fn for_new_run(&self, workflow_type: &str, workflow_id: &str) -> Option<Entry>;

    /// A definition by its bundle's digest: those in force, and earlier ones that may have been handed to a run.
    fn by_digest(&self, digest: &str) -> Option<Entry>;

    /// A bundle that the start of a workflow requests, under its name in this registry: only one that the type has or
    /// had.
    fn recognised(&self, workflow_type: &str, bundle: &[u8]) -> Option<Arc<EncodedBundle>> {
        let bundle = Bundle::decode(bundle).ok()?;
        let entry = self.by_digest(&bundle.digest().to_string())?;
        (**bundle.workflow() == *workflow_type).then_some(entry.bundle)
    }

    /// The workflow types that a run can be started with, in order.
    fn workflow_types(&self) -> Vec<String>;

    /// Why a type that is deployed cannot be served.
    fn why_not(&self, _workflow_type: &str) -> Option<String> {
        None
    }
}

/// Definitions that never change, by workflow type.
impl Registry for BTreeMap<String, Entry> {
    fn for_new_run(&self, workflow_type: &str, _: &str) -> Option<Entry> {
        self.get(workflow_type).cloned()
    }

    fn by_digest(&self, digest: &str) -> Option<Entry> {
        let found = self.values().find(|entry| entry.bundle.digest == digest);
        found.cloned()
    }

    fn workflow_types(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}
