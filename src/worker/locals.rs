//! Keeps a query from separating a local activity's marker from what the run did with the result.
//!
//! Core completes a workflow task as soon as its queries are answered (sdk-core 0.10.1, managed_run.rs,
//! `prepare_complete_resp`). If a local activity ended while the answer was on its way, its marker is sent with that
//! task and its result reaches the run in the next one, but a replay delivers the result with the marker: at another
//! time, before other signals. So a query is not answered while a result is on its way into core, and no result is
//! given to core while a query is being answered. The server repeats the query once the task is completed (temporal
//! server 1.32.0, respondworkflowtaskcompleted/api.go, `handleBufferedQueries`).
//!
//! It also knows which local activities the engine asked to cancel. Core itself cancels those of a run that it evicts
//! from a full cache (sdk-core 0.10.1, managed_run.rs, `_check_more_activations`), and would deliver to the run a
//! cancellation that was not requested, and record it: immediately for one that waits for a retry, and at the end of
//! its attempt for one that runs. Both are prevented: such an attempt is not reported while the run is in memory, and a
//! workflow task with such a result is retried by the run's next worker.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use temporalio_protos::coresdk::activity_result::activity_resolution::Status;
use temporalio_protos::coresdk::workflow_activation::WorkflowActivation;
use temporalio_protos::coresdk::workflow_activation::workflow_activation_job::Variant;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;

use crate::engine::RESOLVE_DEFINITION;
use crate::engine::command::{Command, CommandKind};
use crate::faults::Fault;

/// The id of a query that arrives without a workflow task.
const LEGACY_QUERY_ID: &str = "legacy_query";
/// A failed attempt resolves nothing if core retries it, and core does not report which; it takes well under a
/// millisecond.
const FAILED_ATTEMPT_ON_ITS_WAY: Duration = Duration::from_secs(1);

/// The local activities in flight, by run.
#[derive(Default)]
pub(super) struct Locals {
    runs: Mutex<HashMap<String, Arc<AsyncMutex<OfRun>>>>,
    /// Workflows are no longer served.
    ended: CancellationToken,
}

#[derive(Default)]
pub(super) struct OfRun {
    /// The ids of those not resolved yet, by number.
    scheduled: HashMap<u32, String>,
    /// Results given to core, by the activity's id; for failed attempts, with the time.
    given: HashMap<String, Option<Instant>>,
    /// Those that the engine asked to cancel, by number.
    cancelled: HashSet<u32>,
    /// Core evicts the run.
    evicted: CancellationToken,
}

/// Whether an activation has only queries, and belongs to a workflow task.
pub(super) fn is_of_queries(activation: &WorkflowActivation) -> bool {
    let is_query = |variant: &Variant| match variant {
        Variant::QueryWorkflow(query) => query.query_id != LEGACY_QUERY_ID,
        _ => false,
    };
    let mut jobs = activation.jobs.iter();
    jobs.all(|job| job.variant.as_ref().is_some_and(is_query))
}

impl Locals {
    fn run(&self, run_id: &str) -> Option<Arc<AsyncMutex<OfRun>>> {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.get(run_id).cloned()
    }

    /// While this is held, the run's local activities do not change.
    pub(crate) async fn hold(&self, run_id: &str) -> Option<OwnedMutexGuard<OfRun>> {
        Some(self.run(run_id)?.lock_owned().await)
    }

    pub(crate) async fn are_in_flight(&self, run_id: &str) -> bool {
        let run = self.hold(run_id).await;
        run.is_some_and(|run| !run.scheduled.is_empty())
    }

    /// Core evicts the run. Returns whether some were in flight, and so a workflow task.
    pub(crate) async fn forget(&self, run_id: &str) -> bool {
        let run = {
            let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
            runs.remove(run_id)
        };
        let Some(run) = run else {
            return false;
        };
        let run = run.lock().await;
        run.evicted.cancel();
        !run.scheduled.is_empty()
    }

    /// Workflows are no longer served: results of local activities reach no run any more.
    pub(crate) fn end(&self) {
        self.ended.cancel();
    }

    /// An attempt was cancelled. If the engine did not request it, waits until the run has left the worker, so that the
    /// run never receives it. False if core has dropped the attempt with the run.
    pub(crate) async fn is_cancellation_reported(&self, run_id: &str, activity_id: &str) -> bool {
        let Some(run) = self.hold(run_id).await else {
            return true;
        };
        let evicted = match run.is_cancelled_by_nobody(activity_id) {
            true => run.evicted.clone(),
            false => return true,
        };
        drop(run);
        tokio::select! {
            () = evicted.cancelled() => false,
            () = self.ended.cancelled() => true,
        }
    }

    /// Whether core resolves a local activity as cancelled whose cancellation the engine did not request. What a replay
    /// resolves was recorded.
    pub(crate) async fn has_cancelled_by_nobody(&self, activation: &WorkflowActivation) -> bool {
        if activation.is_replaying {
            return false;
        }
        let Some(run) = self.hold(&activation.run_id).await else {
            return false;
        };
        activation.jobs.iter().any(|job| match &job.variant {
            Some(Variant::ResolveActivity(resolve)) if resolve.is_local => {
                let status = resolve.result.as_ref().and_then(|r| r.status.as_ref());
                matches!(status, Some(Status::Cancelled(_)))
                    && run.scheduled.contains_key(&resolve.seq)
                    && !run.cancelled.contains(&resolve.seq)
            }
            _ => false,
        })
    }

    /// An activation resolves some.
    pub(crate) async fn activated(&self, activation: &WorkflowActivation) {
        let Some(mut run) = self.hold(&activation.run_id).await else {
            return;
        };
        for job in &activation.jobs {
            if let Some(Variant::ResolveActivity(resolve)) = &job.variant
                && let Some(id) = run.scheduled.remove(&resolve.seq)
            {
                run.given.remove(&id);
                run.cancelled.remove(&resolve.seq);
            }
        }
    }

    /// The engine schedules some, or requests the cancellation of some.
    pub(crate) async fn commanded(&self, run_id: &str, commands: &[Command]) {
        for command in commands {
            match &command.kind {
                CommandKind::ScheduleLocalActivity(schedule) => {
                    let run = {
                        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
                        runs.entry(run_id.to_owned()).or_default().clone()
                    };
                    let id = schedule.activity_id.clone();
                    run.lock().await.scheduled.insert(schedule.seq, id);
                }
                CommandKind::RequestCancelLocalActivity { seq } => {
                    if let Some(mut run) = self.hold(run_id).await {
                        run.cancelled.insert(*seq);
                    }
                }
                _ => {}
            }
        }
    }

    /// An attempt begins, so the previous one's result resolved nothing.
    pub(crate) async fn attempted(&self, run_id: &str, activity_id: &str) {
        if let Some(mut run) = self.hold(run_id).await {
            run.given.remove(activity_id);
        }
    }
}

impl OfRun {
    /// Core is about to be given the end of an attempt.
    pub(crate) fn give(&mut self, activity_id: &str, is_failed: bool) {
        // The engine may no longer wait for it: then it resolves nothing.
        if !self.scheduled.values().any(|id| id == activity_id) {
            return;
        }
        let when = is_failed.then(Instant::now);
        self.given.insert(activity_id.to_owned(), when);
    }

    fn is_cancelled_by_nobody(&self, activity_id: &str) -> bool {
        let mut scheduled = self.scheduled.iter();
        scheduled.any(|(seq, id)| id == activity_id && !self.cancelled.contains(seq))
    }

    /// Whether a query must wait: a result is on its way, or the run is not bound to its definition yet.
    pub(crate) fn holds_up_queries(&self) -> bool {
        if Fault::VersionMarkedLate.is_on() {
            return false;
        }
        let mut given = self.given.values();
        given.any(|at| at.is_none_or(|at| at.elapsed() < FAILED_ATTEMPT_ON_ITS_WAY))
            || self.scheduled.values().any(|id| id == RESOLVE_DEFINITION)
    }
}
