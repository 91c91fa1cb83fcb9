//! A run in a worker's cache: the engine's instance, and the state machines of its operations.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use temporalio_protos::coresdk::workflow_activation as jobs;
use temporalio_protos::coresdk::workflow_activation::workflow_activation_job::Variant;

use super::machines::Machines;
use super::replay::{Divergence, Replay};
use crate::engine::command::Command;
use crate::engine::job::{EncodedBundle, Initialize};
use crate::engine::{Instance, TaskFailure};
use crate::payload::timestamp_to_proto;
use crate::worker::activation::{Surroundings, activation_from_proto};

#[derive(Debug)]
pub(super) struct Cached {
    pub(crate) instance: Instance,
    pub(crate) machines: Machines,
    pub(crate) run_id: String,
}

impl Cached {
    /// For a run that has not begun. Its instance has the observer, if there is one.
    pub(crate) fn new(with: &Replay<'_>) -> Self {
        let mut instance = Instance::new();
        if let Some(observer) = &with.observer {
            instance.observed_by(observer.clone());
        }
        Cached {
            instance,
            machines: Machines {
                namespace: with.namespace.to_owned(),
                workflow_id: with.workflow_id.to_owned(),
                ..Machines::default()
            },
            run_id: with.run_id.to_owned(),
        }
    }

    pub(crate) fn take_jobs(&mut self) -> Vec<Variant> {
        let orders_history = self.instance.orders_history().is_some();
        self.machines.take_jobs(orders_history)
    }

    /// Passes jobs to the engine. `newest` is the definition that a new run may be bound to.
    pub(crate) fn activate(
        &mut self,
        jobs: Vec<Variant>,
        with: &Replay<'_>,
        newest: Option<&Arc<EncodedBundle>>,
    ) -> Result<Vec<Command>, Divergence> {
        let machines = &self.machines;
        let jobs = jobs.into_iter();
        let activation = jobs::WorkflowActivation {
            run_id: self.run_id.clone(),
            timestamp: Some(timestamp_to_proto(machines.now)),
            is_replaying: machines.is_replaying,
            history_length: machines.processed as u32,
            history_size_bytes: machines.history_size_bytes,
            continue_as_new_suggested: machines.continue_as_new_suggested,
            available_internal_flags: machines.flags.iter().copied().collect(),
            jobs: jobs
                .map(|variant| jobs::WorkflowActivationJob {
                    variant: Some(variant),
                })
                .collect(),
            ..Default::default()
        };
        let newest = |_: &Initialize| newest.cloned();
        let around = Surroundings {
            namespace: with.namespace,
            task_queue: with.task_queue,
            newest: &newest,
        };
        let activation = activation_from_proto(activation, &around);
        let instance = &mut self.instance;
        catch_unwind(AssertUnwindSafe(|| {
            instance.activate(activation, with.programs)
        }))
        .unwrap_or_else(|panic| {
            let text = crate::worker::panic_text(&*panic);
            Err(TaskFailure(format!(
                "the engine broke an invariant: {text}"
            )))
        })
        .map_err(|failure| Divergence::broken(failure.0))
    }
}
