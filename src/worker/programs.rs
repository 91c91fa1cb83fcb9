//! The programs of bundles, each compiled once and shared by the runs that are bound to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sha2::{Digest, Sha256};

use crate::engine::{Loaded, Programs};
use crate::registry::{self, Registry};

/// Forgotten programs are swept out when there are this many entries more than the last time.
const SWEEP_EVERY: usize = 64;

/// Keeps a program as long as a run or the registry needs it.
pub struct ProgramCache {
    registry: Arc<dyn Registry>,
    loaded: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    by_bytes: HashMap<[u8; 32], Weak<Loaded>>,
    sweep_at: usize,
}

impl ProgramCache {
    pub fn new(registry: Arc<dyn Registry>) -> Self {
        ProgramCache {
            registry,
            loaded: Mutex::default(),
        }
    }
}

impl Programs for ProgramCache {
    fn load(&self, bundle: &[u8]) -> Result<Arc<Loaded>, String> {
        let key: [u8; 32] = Sha256::digest(bundle).into();
        let mut cache = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = cache.by_bytes.get(&key).and_then(Weak::upgrade) {
            return Ok(loaded);
        }
        // Compiling holds the lock: many runs of a new definition begin at once and would all compile it.
        let loaded = registry::load(bundle)?;
        let loaded = match self.registry.by_digest(&loaded.bundle.digest) {
            // Under another name it is another bundle to the run.
            Some(entry) if entry.bundle.bytes == bundle => entry.loaded,
            _ => loaded,
        };
        cache.by_bytes.insert(key, Arc::downgrade(&loaded));
        if cache.by_bytes.len() >= cache.sweep_at {
            cache.by_bytes.retain(|_, loaded| loaded.strong_count() > 0);
            cache.sweep_at = cache.by_bytes.len() + SWEEP_EVERY;
        }
        Ok(loaded)
    }

    fn workflow_types(&self) -> Vec<String> {
        self.registry.workflow_types()
    }

    fn why_not(&self, workflow_type: &str) -> Option<String> {
        self.registry.why_not(workflow_type)
    }
}
