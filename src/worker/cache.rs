//! Which runs stay in the worker's memory.
//!
//! Core's own cache evicts the run that was used least recently, whatever it is doing (sdk-core 0.10.1,
//! workflow_stream.rs, `reconcile_buffered`): one whose local activities are in flight loses its workflow task, which
//! times out. While its cache is full it keeps tasks back, and if there are two for a run, a query beside a workflow
//! task, it can lose an activation (`process_post_activation`); then the run's place in the cache is never released.
//!
//! So core gets a cache that does not fill up, and the worker evicts idle runs: those without an activation and without
//! local activities in flight.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The runs in memory.
pub(super) struct Cache<T> {
    /// The maximum number; `None` leaves evictions to core.
    limit: Option<usize>,
    runs: Mutex<Runs<T>>,
}

struct Runs<T> {
    by_id: HashMap<String, (Arc<T>, Stage)>,
    /// By the time of their last use.
    idle: BTreeMap<u64, String>,
    uses: u64,
    leaving: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Busy,
    /// The number of its last use.
    Idle(u64),
    /// Core was asked to evict it.
    Leaving,
}

/// The size of core's cache, so that it does not fill up: besides `limit` idle runs, those with workflow tasks in
/// progress, and as many that are leaving.
pub(super) fn size_of_cores(limit: usize, workflow_task_slots: usize) -> usize {
    match limit {
        0 => 0,
        _ => limit + 2 * workflow_task_slots,
    }
}

impl<T: Default> Cache<T> {
    pub(crate) fn new(limit: Option<usize>) -> Self {
        Cache {
            // Without a cache, core evicts each run by itself.
            limit: limit.filter(|limit| *limit > 0),
            runs: Mutex::new(Runs {
                by_id: HashMap::new(),
                idle: BTreeMap::new(),
                uses: 0,
                leaving: 0,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Runs<T>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, run_id: &str) -> Option<Arc<T>> {
        self.lock().by_id.get(run_id).map(|(run, _)| run.clone())
    }

    /// An activation of the run begins.
    pub(crate) fn activated(&self, run_id: &str) -> Arc<T> {
        let runs = &mut *self.lock();
        let fresh = || (Arc::default(), Stage::Busy);
        let entry = runs.by_id.entry(run_id.to_owned()).or_insert_with(fresh);
        if let (run, stage @ Stage::Idle(_)) = entry {
            if let Stage::Idle(since) = std::mem::replace(stage, Stage::Busy) {
                runs.idle.remove(&since);
            }
            return run.clone();
        }
        entry.0.clone()
    }

    /// The activation is completed. Returns the runs that must be evicted because of it.
    pub(crate) fn completed(&self, run_id: &str, has_local_activities: bool) -> Vec<String> {
        let runs = &mut *self.lock();
        runs.uses += 1;
        if let Some((_, stage @ Stage::Busy)) = runs.by_id.get_mut(run_id)
            && !has_local_activities
        {
            *stage = Stage::Idle(runs.uses);
            runs.idle.insert(runs.uses, run_id.to_owned());
        }
        let mut leave = Vec::new();
        let Some(limit) = self.limit else {
            return leave;
        };
        while runs.by_id.len() - runs.leaving > limit {
            let Some((_, oldest)) = runs.idle.pop_first() else {
                break;
            };
            if let Some((_, stage)) = runs.by_id.get_mut(&oldest) {
                *stage = Stage::Leaving;
                runs.leaving += 1;
            }
            leave.push(oldest);
        }
        leave
    }

    /// Core has evicted the run.
    pub(crate) fn forget(&self, run_id: &str) {
        let runs = &mut *self.lock();
        match runs.by_id.remove(run_id) {
            Some((_, Stage::Idle(since))) => drop(runs.idle.remove(&since)),
            Some((_, Stage::Leaving)) => runs.leaving -= 1,
            Some((_, Stage::Busy)) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_runs_leave_in_the_order_of_their_last_use_and_busy_ones_stay() {
        let cache = Cache::<()>::new(Some(2));
        let none: [&str; 0] = [];
        for run in ["a", "b", "c", "d"] {
            cache.activated(run);
        }
        assert_eq!(cache.completed("a", true), none, "its local activities run");
        assert_eq!(cache.completed("b", false), ["b"]);
        assert_eq!(cache.completed("c", false), ["c"]);
        assert_eq!(cache.completed("d", false), none, "two are left");
        cache.activated("b");
        assert_eq!(cache.completed("b", false), none, "it leaves already");
        cache.forget("b");
        cache.forget("c");
        cache.activated("b");
        assert_eq!(cache.completed("b", false), ["d"]);
        cache.activated("a");
        assert_eq!(cache.completed("a", false), none);
        cache.activated("e");
        assert_eq!(cache.completed("e", false), ["b"]);
    }

    #[test]
    fn without_a_limit_nothing_leaves() {
        for limit in [None, Some(0)] {
            let cache = Cache::<()>::new(limit);
            for run in ["a", "b"] {
                cache.activated(run);
                assert!(cache.completed(run, false).is_empty());
            }
        }
    }
}
