//! What each run's workflow task has sent so far on this worker. Results of local activities reach core at any moment,
//! so the engine counts them only afterwards; the worker passes one on when it fits beside everything else, and never
//! sends a task for which the server would end the run.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prost::Message;
use temporalio_protos::coresdk::workflow_activation::WorkflowActivation;
use temporalio_protos::coresdk::workflow_activation::workflow_activation_job::Variant as Job;
use temporalio_protos::coresdk::workflow_commands::workflow_command::Variant;
use temporalio_protos::coresdk::workflow_completion::WorkflowActivationCompletion;
use temporalio_protos::coresdk::workflow_completion::workflow_activation_completion::Status;

use crate::faults::Fault;
use crate::limits::{GRPC_REQUEST_SIZE_BYTES_MAX, WORKFLOW_TASK_SIZE_BYTES_MAX};

/// How often a waiting result checks for room: core completes a workflow task that local activities keep open without
/// notice to the worker.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How late core may be: a result that is passed on earlier belongs to the same task.
const COMPLETED_LATE: Duration = Duration::from_secs(1);
/// The server's default (`history.defaultWorkflowTaskTimeout`), if the run's start is not known.
const TASK_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(super) struct Sent {
    runs: Mutex<HashMap<String, Task>>,
}

struct Task {
    /// Grows with every workflow task that has new events for the run.
    history_length: u32,
    /// Core completes a workflow task that local activities keep open within this time, if only to start another.
    timeout: Duration,
    /// What the task has sent so far.
    taken: Vec<(Instant, usize)>,
    /// Results that core has but has not delivered to the run: they belong to this task or to the next one.
    handed_over: Vec<(Instant, usize)>,
}

impl Task {
    fn size(&mut self) -> usize {
        let timeout = self.timeout;
        let sizes = [&mut self.taken, &mut self.handed_over];
        let sizes = sizes.into_iter().map(|sizes| {
            sizes.retain(|(at, _)| at.elapsed() < timeout);
            sizes.iter().map(|(_, size)| size).sum::<usize>()
        });
        sizes.sum()
    }

    fn take(&mut self, size: usize) {
        self.taken.push((Instant::now(), size));
    }

    /// A result is delivered to the run: the one nearest in size was passed on for it.
    fn told(&mut self, size: usize) {
        let sizes = self.handed_over.iter().enumerate();
        let nearest = sizes.min_by_key(|(_, (_, handed))| handed.abs_diff(size));
        if let Some((place, _)) = nearest {
            self.handed_over.swap_remove(place);
        }
        self.take(size);
    }
}

/// Core completes such a task after 80 % of its timeout (sdk-core 0.10.1, worker/workflow/managed_run.rs), on a busy machine somewhat later.
fn until_completed(timeout: Duration) -> Duration {
    timeout.max(Duration::from_secs(1)).mul_f64(0.8) + COMPLETED_LATE
}

impl Sent {
    /// Called before the activation is decoded: sizes are those on the wire.
    pub(crate) fn activated(&self, activation: &WorkflowActivation) {
        let mut runs = self.runs();
        let task = runs.entry(activation.run_id.clone()).or_insert(Task {
            history_length: 0,
            timeout: until_completed(TASK_TIMEOUT),
            taken: Vec::new(),
            handed_over: Vec::new(),
        });
        let start = activation.jobs.iter().find_map(|job| match &job.variant {
            Some(Job::InitializeWorkflow(start)) => start.workflow_task_timeout,
            _ => None,
        });
        if let Some(timeout) = start.and_then(|timeout| Duration::try_from(timeout).ok()) {
            task.timeout = until_completed(timeout);
        }
        if activation.history_length > task.history_length {
            task.history_length = activation.history_length;
            task.taken.clear();
        }
        for job in &activation.jobs {
            if let Some(Job::ResolveActivity(resolved)) = &job.variant
                && resolved.is_local
            {
                task.told(resolved.encoded_len());
            }
        }
    }

    pub(crate) fn evicted(&self, run_id: &str) {
        self.runs().remove(run_id);
    }

    /// Counts what a completion adds to the task. An error if the server would refuse the task, and end the run.
    pub(crate) fn completes(
        &self,
        completion: &WorkflowActivationCompletion,
    ) -> Result<(), String> {
        let Some(Status::Successful(success)) = &completion.status else {
            return Ok(());
        };
        let commands = success.commands.iter().filter(|command| {
            // The arguments of local activities stay here, and queries have their own bound.
            !matches!(
                command.variant,
                Some(Variant::ScheduleLocalActivity(_) | Variant::RespondToQuery(_))
            )
        });
        let size: usize = commands.map(Message::encoded_len).sum();
        let mut runs = self.runs();
        let Some(task) = runs.get_mut(&completion.run_id) else {
            return Ok(());
        };
        let sum = task.size() + size;
        if sum > GRPC_REQUEST_SIZE_BYTES_MAX && !Fault::LocalResultsUncounted.is_on() {
            return Err(format!(
                "the workflow task would send {sum} bytes with the results of its local activities; GRPC_REQUEST_SIZE_BYTES_MAX is \
                 {GRPC_REQUEST_SIZE_BYTES_MAX}. The task starts again"
            ));
        }
        task.take(size);
        Ok(())
    }

    /// Waits until the result of a local activity fits in the run's workflow task.
    pub(crate) async fn make_room(&self, run_id: &str, size: usize) {
        while !self.takes(run_id, size) {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    fn takes(&self, run_id: &str, size: usize) -> bool {
        let mut runs = self.runs();
        // A result of an evicted run has no waiter.
        let Some(task) = runs.get_mut(run_id) else {
            return true;
        };
        let before = task.size();
        let fits = before == 0
            || before + size <= WORKFLOW_TASK_SIZE_BYTES_MAX
            || Fault::LocalResultsUncounted.is_on();
        if fits {
            task.handed_over.push((Instant::now(), size));
        }
        fits
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<String, Task>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
