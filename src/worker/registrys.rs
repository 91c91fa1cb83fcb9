//! Workflow tasks of the registry's own workflows, which reach a worker whose task queue has the registry's name. No
//! worker may run them: it answers that there is nothing to do, so that no task fails and the log continues.

use std::sync::atomic::{AtomicBool, Ordering};

use temporalio_protos::coresdk::workflow_activation::WorkflowActivation;
use temporalio_protos::coresdk::workflow_activation::workflow_activation_job::Variant;

use super::undecodable::refusals;
use crate::engine::command::Command;
use crate::engine::failure::Failure;
use crate::registry::{REGISTRY, REGISTRY_DATA, Registry};

/// Whether a cached run belongs to the registry.
#[derive(Default)]
pub(crate) struct IsRegistrys(AtomicBool);

impl IsRegistrys {
    /// The answer to an activation of such a run.
    pub(crate) fn answer(
        &self,
        activation: &WorkflowActivation,
        registry: &dyn Registry,
    ) -> Option<Vec<Command>> {
        let jobs = activation
            .jobs
            .iter()
            .filter_map(|job| job.variant.as_ref());
        for job in jobs {
            if let Variant::InitializeWorkflow(start) = job
                && [REGISTRY, REGISTRY_DATA].contains(&start.workflow_type.as_str())
                && registry
                    .for_new_run(&start.workflow_type, &start.workflow_id)
                    .is_none()
            {
                tracing::warn!(
                    "a workflow of the registry is on this task queue; serve another task queue"
                );
                self.0.store(true, Ordering::Relaxed);
            }
        }
        self.0.load(Ordering::Relaxed).then(|| {
            let message = "this workflow contains Segno's definitions; no worker runs it";
            refusals(activation, &Failure::application("Registry", message))
        })
    }
}
