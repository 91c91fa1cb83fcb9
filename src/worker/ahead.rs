//! Keeps a query from showing a run events that no workflow task has brought yet.
//!
//! The server hands a query to a worker without a workflow task, with the history as it is by then (temporal server 1.32.0,
//! service/history/api/queryworkflow/api.go and service/frontend/workflow_handler.go). If events have been added since the query was accepted, core applies
//! them all the same (sdk-core 0.10.1, history_update.rs, `find_end_index_of_next_wft_seq`), and the next workflow task brings the rest. A replay brings
//! all of them at once, so the run would do things in another order than its history says.
//!
//! Such an activation does not reach the run: the query is answered by the state as of the last workflow task, and the run leaves the worker, because core
//! believes that the events were handled. The next workflow task brings all of them again.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use temporalio_protos::coresdk::workflow_activation::WorkflowActivation;
use temporalio_protos::coresdk::workflow_activation::workflow_activation_job::Variant;

use super::order::{Histories, Run};
use crate::faults::Fault;

/// An activation whose workflow task began longer ago than this, compared with the quickest one seen, is looked up in the history.
const FRESH_FOR_MS: i64 = 1_000;

/// What the workflow tasks so far tell about the clocks: the shortest time from the beginning of a task, by the server's clock, to its activation, by the
/// worker's.
pub(super) struct Delay(AtomicI64);

impl Default for Delay {
    fn default() -> Self {
        Delay(AtomicI64::new(i64::MAX))
    }
}

impl Delay {
    /// Whether the task began so recently that it is surely the one that the activation comes with.
    fn is_fresh(&self, began_ms: i64) -> bool {
        let delay = since(began_ms);
        let shortest = self.0.fetch_min(delay, Ordering::Relaxed).min(delay);
        delay.saturating_sub(shortest) <= FRESH_FOR_MS
    }

    /// The activation comes with the task that began then. Without this a clock that is set would leave every later task in doubt.
    fn corrected(&self, began_ms: i64) {
        self.0.store(since(began_ms), Ordering::Relaxed);
    }
}

fn since(began_ms: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = i64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(i64::MAX);
    now_ms.saturating_sub(began_ms)
}

/// The last event and the time of the activation before.
#[derive(Debug, Default)]
pub(super) struct Last(Mutex<Option<Place>>);

/// The time in seconds and nanoseconds.
type Place = (u32, (i64, i32));

impl Last {
    /// Whether the activation brings events behind the last workflow task. To be called for every activation, in order.
    pub async fn is_passed_by(
        &self,
        activation: &WorkflowActivation,
        delay: &Delay,
        histories: &Histories,
        run: &Run<'_>,
    ) -> Result<bool, String> {
        let is_query = |variant: &Variant| matches!(variant, Variant::QueryWorkflow(_));
        let mut jobs = activation.jobs.iter();
        if jobs.all(|job| job.variant.as_ref().is_some_and(is_query)) {
            return Ok(false);
        }
        let began = activation.timestamp.unwrap_or_default();
        let place = (activation.history_length, (began.seconds, began.nanos));
        let before = self.lock().replace(place);
        let Some((_, time)) = before.filter(|(length, _)| *length != place.0) else {
            return Ok(false);
        };
        let began_ms = began.seconds * 1_000 + i64::from(began.nanos) / 1_000_000;
        // Replayed tasks are old, and each has a time of its own.
        let is_new_task = time != place.1 && (activation.is_replaying || delay.is_fresh(began_ms));
        if is_new_task || Fault::QueriedAhead.is_on() {
            return Ok(false);
        }
        let is_passed = histories.is_behind_tasks(i64::from(place.0), run).await?;
        if !is_passed && !activation.is_replaying {
            delay.corrected(began_ms);
        }
        if is_passed {
            *self.lock() = before;
        }
        Ok(is_passed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Place>> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
