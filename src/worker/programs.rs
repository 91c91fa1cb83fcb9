//! The programs of bundles, each compiled once and shared by the runs that are bound to it.
//!
//! Compiling takes up to seconds if a definition is as large as its bounds allow. A worker therefore compiles on
//! separate threads, a few bundles at a time, before it drives a run (`prepare`), and holds no lock meanwhile: other
//! runs continue. Whether a bundle can be compiled depends on its bytes alone, so a refusal is remembered instead of
//! being computed again at each attempt of the workflow task.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use sha2::{Digest, Sha256};
use tokio::sync::{OnceCell, Semaphore};

use crate::bundle::Bundle;
use crate::engine::{Loaded, Programs};
use crate::limits::{BUNDLES_REFUSED_MAX, COMPILATIONS_MAX, EXPRESSION_COST_RAISED_MAX};
use crate::registry::{self, Registry};

/// Entries of dropped programs are removed when there are this many more than the last time.
const SWEEP_EVERY: usize = 64;

/// The length of the remembered reason for which a bundle is refused.
const REASON_CHARACTERS_MAX: usize = 1_000;

type Key = [u8; 32];
type Outcome = Result<Arc<Loaded>, Arc<str>>;

/// Keeps a program as long as a run or the registry needs it.
pub struct ProgramCache {
    registry: Arc<dyn Registry>,
    /// The highest `expression_cost_max` that a definition may have.
    expression_cost_max: u64,
    known: Mutex<Known>,
    compilations: Semaphore,
}

#[derive(Default)]
struct Known {
    loaded: HashMap<Key, Weak<Loaded>>,
    sweep_at: usize,
    refused: HashMap<Key, Arc<str>>,
    /// The oldest first.
    refused_in_order: VecDeque<Key>,
    /// A request for a bundle that is being compiled waits for it.
    in_work: HashMap<Key, Arc<OnceCell<Outcome>>>,
}

impl ProgramCache {
    pub fn new(registry: Arc<dyn Registry>) -> Self {
        ProgramCache {
            registry,
            expression_cost_max: EXPRESSION_COST_RAISED_MAX,
            known: Mutex::default(),
            compilations: Semaphore::new(COMPILATIONS_MAX),
        }
    }

    /// Sets the highest `expression_cost_max` that definitions may have.
    pub(crate) fn with_expression_cost_max(self, expression_cost_max: u64) -> Self {
        ProgramCache {
            expression_cost_max,
            ..self
        }
    }

    /// Compiles a bundle in the background, so that [`Programs::load`] finds it as long as the answer is kept.
    pub(crate) async fn prepare(&self, bundle: Arc<[u8]>) -> Outcome {
        let key = key(&bundle);
        let work = {
            let mut known = self.known();
            if let Some(outcome) = known.outcome(&key) {
                return outcome;
            }
            known.in_work.entry(key).or_default().clone()
        };
        let compiled = work.get_or_init(|| self.compile_aside(bundle)).await;
        let mut known = self.known();
        known.in_work.remove(&key);
        known.remember(key, compiled)
    }

    async fn compile_aside(&self, bundle: Arc<[u8]>) -> Outcome {
        // It is never closed.
        let _permit = self.compilations.acquire().await;
        let registry = self.registry.clone();
        let compiled = tokio::task::spawn_blocking(move || compile(&*registry, &bundle)).await;
        compiled.unwrap_or_else(|error| Err(reason(&error.to_string())))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn allowed(&self, loaded: Arc<Loaded>) -> Result<Arc<Loaded>, String> {
        let (asked, allowed) = (loaded.program.expression_cost_max, self.expression_cost_max);
        match asked <= allowed {
            true => Ok(loaded),
            false => Err(format!(
                "the definition of {} has an `expression_cost_max` of {asked}, but this worker allows {allowed}; start it with --expression-cost-max {asked}",
                loaded.program.workflow
            )),
        }
    }
}

impl Known {
    fn outcome(&self, key: &Key) -> Option<Outcome> {
        if let Some(loaded) = self.loaded.get(key).and_then(Weak::upgrade) {
            return Some(Ok(loaded));
        }
        let refused = self.refused.get(key)?;
        Some(Err(refused.clone()))
    }

    /// If several compiled the same bundle, the first result is kept.
    fn remember(&mut self, key: Key, outcome: &Outcome) -> Outcome {
        if let Some(known) = self.outcome(&key) {
            return known;
        }
        match outcome {
            Ok(loaded) => {
                self.loaded.insert(key, Arc::downgrade(loaded));
                if self.loaded.len() >= self.sweep_at {
                    self.loaded.retain(|_, loaded| loaded.strong_count() > 0);
                    self.sweep_at = self.loaded.len() + SWEEP_EVERY;
                }
            }
            Err(why) => {
                self.refused.insert(key, why.clone());
                self.refused_in_order.push_back(key);
                if self.refused_in_order.len() > BUNDLES_REFUSED_MAX
                    && let Some(oldest) = self.refused_in_order.pop_front()
                {
                    self.refused.remove(&oldest);
                }
            }
        }
        outcome.clone()
    }
}

impl Programs for ProgramCache {
    fn load(&self, bundle: &[u8]) -> Result<Arc<Loaded>, String> {
        let key = key(bundle);
        let known = self.known().outcome(&key);
        let outcome = match known {
            Some(outcome) => outcome,
            None => {
                let compiled = compile(&*self.registry, bundle);
                self.known().remember(key, &compiled)
            }
        };
        self.allowed(outcome.map_err(|why| why.to_string())?)
    }

    fn workflow_types(&self) -> Vec<String> {
        self.registry.workflow_types()
    }

    fn why_not(&self, workflow_type: &str) -> Option<String> {
        self.registry.why_not(workflow_type)
    }
}

fn key(bundle: &[u8]) -> Key {
    Sha256::digest(bundle).into()
}

/// What the registry has in force is already compiled. Under another name it is a different bundle for the run.
fn compile(registry: &dyn Registry, packed: &[u8]) -> Outcome {
    let bundle = Bundle::decode(packed).map_err(|error| reason(&error.to_string()))?;
    if let Some(entry) = registry.by_digest(&bundle.digest().to_string())
        && entry.bundle.bytes == packed
    {
        return Ok(entry.loaded);
    }
    registry::load(packed).map_err(|why| reason(&why))
}

fn reason(why: &str) -> Arc<str> {
    match why.char_indices().nth(REASON_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &why[..end]).into(),
        None => why.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{BundleFile, Versions};
    use crate::registry::Entry;
    use std::collections::BTreeMap;

    fn packed(workflow: &str, steps: &str) -> Arc<[u8]> {
        let text = format!("segno: 1\nworkflow: {workflow}\n{steps}\n");
        let file = BundleFile {
            path: "w.yaml".into(),
            text: text.into(),
        };
        let bundle = Bundle::from_files(workflow, Versions::NEWEST, file, 0, Vec::new());
        bundle.unwrap().encode().unwrap().into()
    }

    fn cache() -> ProgramCache {
        ProgramCache::new(Arc::new(BTreeMap::<String, Entry>::new()))
    }

    #[tokio::test]
    async fn a_bundle_is_compiled_once_for_all_who_wait() {
        let cache = cache();
        let bundle = packed("w", "steps: [{ return: 1 }]");
        let (one, other) =
            tokio::join!(cache.prepare(bundle.clone()), cache.prepare(bundle.clone()));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert!(Arc::ptr_eq(&one, &other));
        assert!(Arc::ptr_eq(&one, &cache.load(&bundle).unwrap()));
        assert!(cache.known().in_work.is_empty());
    }

    #[tokio::test]
    async fn refusals_are_remembered_up_to_a_bound() {
        let cache = cache();
        for i in 0..=BUNDLES_REFUSED_MAX {
            let broken = packed(&format!("w{i}"), "steps: 1");
            cache.prepare(broken.clone()).await.unwrap_err();
            assert!(cache.known().refused.contains_key(&key(&broken)));
        }
        assert_eq!(cache.known().refused.len(), BUNDLES_REFUSED_MAX);
        let first = packed("w0", "steps: 1");
        assert!(!cache.known().refused.contains_key(&key(&first)));
    }

    #[test]
    fn a_worker_bounds_what_a_definition_may_raise() {
        let cache = cache().with_expression_cost_max(200_000);
        let within = packed("w", "expression_cost_max: 200000\nsteps: []");
        cache.load(&within).unwrap();
        let beyond = packed("w", "expression_cost_max: 200001\nsteps: []");
        let why = cache.load(&beyond).unwrap_err();
        assert!(why.contains("--expression-cost-max 200001"), "{why}");
    }
}
