//! Keeps queries from showing a run events that no workflow task has delivered yet.
//!
//! The server can hand a query to a worker without a workflow task, with the history at that time (temporal server
//! 1.32.0, service/history/api/queryworkflow/api.go and service/frontend/workflow_handler.go). If events have been
//! added since the query was accepted, core applies them anyway (sdk-core 0.10.1, history_update.rs,
//! `find_end_index_of_next_wft_seq`), and the next workflow task delivers the rest. A replay delivers all of them
//! together, so the run would act in a different order than its history.
//!
//! Such an activation does not reach the run: the query is answered from the state after the last workflow task, and
//! the run leaves the worker, because core believes that the events were handled. The next workflow task delivers all
//! of them again.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use temporalio_protos::coresdk::activity_result::activity_resolution::Status as ActivityStatus;
use temporalio_protos::coresdk::child_workflow::child_workflow_result::Status as ChildStatus;
use temporalio_protos::coresdk::nexus::nexus_operation_result::Status as NexusStatus;
use temporalio_protos::coresdk::workflow_activation::WorkflowActivation;
use temporalio_protos::coresdk::workflow_activation::workflow_activation_job::Variant;

use super::order::{Histories, Run};
use crate::faults::Fault;

/// An activation whose workflow task began longer ago than this, compared with the quickest one seen, is checked
/// against the history.
const FRESH_FOR_MS: i64 = 1_000;

/// What the workflow tasks so far reveal about the clocks: the shortest time from the start of a task, by the server's
/// clock, to its activation, by the worker's.
pub(super) struct Delay(AtomicI64);

impl Default for Delay {
    fn default() -> Self {
        Delay(AtomicI64::new(i64::MAX))
    }
}

impl Delay {
    /// Whether the task began so recently that the activation must belong to it.
    fn is_fresh(&self, began_ms: i64) -> bool {
        let delay = since(began_ms);
        let shortest = self.0.fetch_min(delay, Ordering::Relaxed).min(delay);
        delay.saturating_sub(shortest) <= FRESH_FOR_MS
    }

    /// The activation belongs to the task that began then. Without this, a clock that is set would make every later
    /// task doubtful.
    fn corrected(&self, began_ms: i64) {
        self.0.store(since(began_ms), Ordering::Relaxed);
    }
}

fn since(began_ms: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = i64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(i64::MAX);
    now_ms.saturating_sub(began_ms)
}

/// The last event and the time of the previous activation.
#[derive(Debug, Default)]
pub(super) struct Last(Mutex<Option<Place>>);

/// The time in seconds and nanoseconds.
type Place = (u32, (i64, i32));

fn is_for_the_run(activation: &WorkflowActivation) -> bool {
    let is_query = |variant: &Variant| matches!(variant, Variant::QueryWorkflow(_));
    let mut jobs = activation.jobs.iter();
    !jobs.all(|job| job.variant.as_ref().is_some_and(is_query))
}

/// Whether an activation is not just another one of the previous workflow task. The length alone is not enough: the
/// events of a task that only delivered a rejected update are removed, and their numbers used again.
fn brings_events(activation: &WorkflowActivation, before: Place) -> bool {
    let is_event = |variant: &Variant| {
        matches!(
            variant,
            Variant::FireTimer(_) | Variant::SignalWorkflow(_) | Variant::CancelWorkflow(_)
        ) || has_ended_by_itself(variant)
    };
    let mut jobs = activation.jobs.iter();
    activation.history_length != before.0
        || jobs.any(|job| job.variant.as_ref().is_some_and(is_event))
}

/// A cancelled operation ends within the workflow task that cancels it; the others end by an event.
fn has_ended_by_itself(variant: &Variant) -> bool {
    match variant {
        Variant::ResolveActivity(resolve) if !resolve.is_local => {
            let status = resolve.result.as_ref().and_then(|r| r.status.as_ref());
            !matches!(status, Some(ActivityStatus::Cancelled(_)))
        }
        Variant::ResolveChildWorkflowExecution(resolve) => {
            let status = resolve.result.as_ref().and_then(|r| r.status.as_ref());
            !matches!(status, Some(ChildStatus::Cancelled(_)))
        }
        Variant::ResolveNexusOperation(resolve) => {
            let status = resolve.result.as_ref().and_then(|r| r.status.as_ref());
            !matches!(status, Some(NexusStatus::Cancelled(_)))
        }
        _ => false,
    }
}

impl Last {
    /// Whether the activation has events after the last workflow task. Must be called for every activation, in order.
    pub(crate) async fn is_passed_by(
        &self,
        activation: &WorkflowActivation,
        delay: &Delay,
        histories: &Histories,
        run: &Run<'_>,
    ) -> Result<bool, String> {
        let began = activation.timestamp.unwrap_or_default();
        let place = (activation.history_length, (began.seconds, began.nanos));
        if !is_for_the_run(activation) {
            return Ok(false);
        }
        let before = self.lock().replace(place);
        let began_ms = began.seconds * 1_000 + i64::from(began.nanos) / 1_000_000;
        let is_fresh = || activation.is_replaying || delay.is_fresh(began_ms);
        let is_doubtful = before.is_some_and(|before| {
            brings_events(activation, before) && !(before.1 != place.1 && is_fresh())
        });
        if !is_doubtful || Fault::QueriedAhead.is_on() {
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

#[cfg(test)]
mod tests {
    use temporalio_protos::coresdk::workflow_activation::{
        FireTimer, ResolveActivity, WorkflowActivationJob,
    };

    use super::*;

    fn activation(history_length: u32, variant: Variant) -> WorkflowActivation {
        WorkflowActivation {
            history_length,
            jobs: vec![WorkflowActivationJob {
                variant: Some(variant),
            }],
            ..WorkflowActivation::default()
        }
    }

    #[test]
    fn events_are_told_from_what_a_workflow_task_does_by_itself() {
        let timer = || Variant::FireTimer(FireTimer { seq: 1 });
        let local = || {
            Variant::ResolveActivity(ResolveActivity {
                is_local: true,
                ..ResolveActivity::default()
            })
        };
        let before = (8, (1, 0));
        for (length, variant, expected) in [
            (9, timer(), true),
            // The numbers of a rejected update's task, used again.
            (8, timer(), true),
            (7, timer(), true),
            (8, local(), false),
        ] {
            assert_eq!(
                brings_events(&activation(length, variant), before),
                expected
            );
        }
    }
}
