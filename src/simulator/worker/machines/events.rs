//! Events as the engine's jobs, and the events of commands beside their commands.

use siphasher::sip::SipHasher13;
use std::hash::{Hash, Hasher};

use temporalio_protos::coresdk::workflow_activation as jobs;
use temporalio_protos::coresdk::workflow_activation::workflow_activation_job::Variant;
use temporalio_protos::temporal::api::enums::v1 as enums;
use temporalio_protos::temporal::api::history::v1 as history;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;

use super::super::replay::Divergence;
use super::sent::fits;
use super::table::Table;
use super::{Kind, Machines, UpdateRequest, command, external, local, nexus, timer};
use crate::history::{Commanded, Meaning, Operation, Progress, TaskStage};
use crate::payload::timestamp_from_proto;

impl Machines {
    /// The events up to a workflow task's start, and what can be foreseen of those that follow its completion.
    pub(crate) fn apply(
        &mut self,
        events: &[HistoryEvent],
        ahead: &[HistoryEvent],
        fresh: Vec<UpdateRequest>,
    ) -> Result<(), Divergence> {
        if !events.is_empty() {
            self.activation_index = 0;
        }
        let last = events.last().map_or(0, |event| event.event_id);
        for event in events {
            if event.event_id <= self.processed {
                continue;
            }
            self.event(event, event.event_id == last)
                .map_err(|divergence| divergence.at(event))?;
            self.processed = event.event_id;
        }
        if !self.is_replaying {
            self.request_awaited()?;
        }
        for update in fresh {
            self.begin_update(update, true);
        }
        for event in ahead {
            self.foresee(event)
                .map_err(|divergence| divergence.at(event))?;
        }
        self.release_if_idle()
    }

    fn begin_update(&mut self, update: UpdateRequest, run_validator: bool) {
        self.jobs.push(Variant::DoUpdate(jobs::DoUpdate {
            id: update.id.clone(),
            protocol_instance_id: update.protocol_instance_id.clone(),
            name: update.name.clone(),
            input: update.input.clone(),
            run_validator,
            ..Default::default()
        }));
        self.updates
            .insert(update.protocol_instance_id.clone(), update);
    }

    fn foresee(&mut self, event: &HistoryEvent) -> Result<(), Divergence> {
        let Meaning::Commanded(commanded) = Meaning::of(event) else {
            return Ok(());
        };
        match commanded {
            Commanded::Marker(marker) => self.foresee_marker(marker)?,
            Commanded::UpdateAccepted(accepted) => {
                let request = accepted.accepted_request.clone().unwrap_or_default();
                let input = request.input.unwrap_or_default();
                let update = UpdateRequest {
                    id: request.meta.unwrap_or_default().update_id,
                    protocol_instance_id: accepted.protocol_instance_id.clone(),
                    name: input.name,
                    input: input.args.map(|args| args.payloads).unwrap_or_default(),
                    sequencing_event_id: accepted.accepted_request_sequencing_event_id,
                };
                self.begin_update(update, false);
            }
            Commanded::Timer(_)
            | Commanded::CancelTimer { .. }
            | Commanded::Activity(_)
            | Commanded::CancelActivity { .. }
            | Commanded::Child(_)
            | Commanded::Signal(_)
            | Commanded::Cancellation(_)
            | Commanded::Nexus(_)
            | Commanded::CancelNexus { .. }
            | Commanded::SearchAttributes
            | Commanded::Memo
            | Commanded::UpdateCompleted { .. } => {}
        }
        Ok(())
    }

    fn event(&mut self, event: &HistoryEvent, is_last: bool) -> Result<(), Divergence> {
        let meaning = Meaning::of(event);
        match meaning {
            Meaning::RunStarted(started) => self.started(event, started),
            Meaning::Task(stage) => self.task_stage(event, stage, is_last),
            Meaning::Signaled(signal) => {
                let job = jobs::SignalWorkflow::from((signal.clone(), event.event_id));
                self.jobs.push(Variant::SignalWorkflow(job));
            }
            Meaning::CancelRequested(cancel) => {
                let job = jobs::CancelWorkflow::from(cancel.clone());
                self.jobs.push(Variant::CancelWorkflow(job));
            }
            Meaning::Commanded(Commanded::Marker(marker)) if self.is_foreseen(marker)? => {}
            Meaning::Commanded(_) => self.recorded(event, &meaning)?,
            Meaning::RunEnded(end) if end.is_of_command() => self.recorded(event, &meaning)?,
            Meaning::Progress(progress) => self.progress(event, &progress)?,
            Meaning::RunEnded(_) | Meaning::Unobserved => {}
        }
        Ok(())
    }

    fn started(
        &mut self,
        event: &HistoryEvent,
        started: &history::WorkflowExecutionStartedEventAttributes,
    ) {
        let at = event.event_time.unwrap_or_default();
        self.now = timestamp_from_proto(at);
        let start = jobs::start_workflow_from_attribs(
            started.clone(),
            self.workflow_id.clone(),
            seed(&started.original_execution_run_id),
            at,
        );
        self.jobs.push(Variant::InitializeWorkflow(start));
    }

    fn task_stage(&mut self, event: &HistoryEvent, stage: TaskStage<'_>, is_last: bool) {
        match stage {
            TaskStage::Started(started) => {
                self.history_size_bytes = u64::try_from(started.history_size_bytes).unwrap_or(0);
                self.continue_as_new_suggested = started.suggest_continue_as_new;
                let at = timestamp_from_proto(event.event_time.unwrap_or_default());
                if is_last && at > self.now {
                    self.now = at;
                }
            }
            TaskStage::Failed(failed)
                if failed.cause() == enums::WorkflowTaskFailedCause::ResetWorkflow =>
            {
                let randomness_seed = seed(&failed.new_run_id);
                self.jobs
                    .push(Variant::UpdateRandomSeed(jobs::UpdateRandomSeed {
                        randomness_seed,
                    }));
            }
            TaskStage::Scheduled
            | TaskStage::Completed(_)
            | TaskStage::Failed(_)
            | TaskStage::TimedOut => {}
        }
    }

    /// The event of a command: of the first that was sent without an event so far.
    fn recorded(&mut self, event: &HistoryEvent, meaning: &Meaning<'_>) -> Result<(), Divergence> {
        let Some(sent) = self.commands.pop_front() else {
            return Err(Divergence::missing(event));
        };
        fits(&sent.request, meaning)?;
        let place = sent.machine;
        self.machines[place].event_id = event.event_id;
        self.by_event.insert(event.event_id, place);
        match &mut self.machines[place].kind {
            Kind::Timer { .. } => self.timer_input(place, timer::Input::Recorded),
            Kind::Activity(_) => self.activity_recorded(place),
            Kind::Child(_) => self.child_recorded(place),
            Kind::SignalExternal { .. } => {
                self.signal_input(place, external::Input::Recorded, None)
            }
            Kind::CancelExternal { .. } => {
                self.cancellation_input(place, external::Input::Recorded, None)
            }
            Kind::Nexus(_) => self.nexus_command_input(place, nexus::Input::Recorded),
            Kind::Local(local) => local.state.take(local::Input::Recorded).map(|_| ()),
            Kind::Plain(state) => state.take(command::Input::Recorded),
        }
    }

    /// An event that refers to the event of a command.
    fn progress(
        &mut self,
        event: &HistoryEvent,
        progress: &Progress<'_>,
    ) -> Result<(), Divergence> {
        let Some(&place) = self.by_event.get(&progress.of) else {
            return Err(Divergence::missing(event));
        };
        match progress.operation {
            Operation::Timer => self.timer_progress(place, progress),
            Operation::Activity => self.activity_progress(place, progress),
            Operation::Child => self.child_progress(place, event.event_id, progress),
            Operation::Signal => self.signal_progress(place, progress),
            Operation::Cancellation => self.cancellation_progress(place, progress),
            Operation::Nexus => self.nexus_progress(place, progress),
        }
    }

    /// The next activation's jobs: in the order of the events if the run's engine requires that, else in core's order
    /// (sdk-core 0.10.1, worker/workflow/mod.rs, `prepare_to_ship_activation`).
    pub(crate) fn take_jobs(&mut self, orders_history: bool) -> Vec<Variant> {
        if self.jobs.is_empty() {
            return Vec::new();
        }
        let mut jobs = std::mem::take(&mut self.jobs);
        jobs.sort_by_key(|job| match job {
            Variant::InitializeWorkflow(_) => 0,
            Variant::NotifyHasPatch(_) => 1,
            Variant::UpdateRandomSeed(_) => 2,
            Variant::ResolveActivity(resolve) if resolve.is_local => 5,
            Variant::SignalWorkflow(_) | Variant::DoUpdate(_) => 3,
            Variant::FireTimer(_)
            | Variant::QueryWorkflow(_)
            | Variant::CancelWorkflow(_)
            | Variant::ResolveActivity(_)
            | Variant::ResolveChildWorkflowExecutionStart(_)
            | Variant::ResolveChildWorkflowExecution(_)
            | Variant::ResolveSignalExternalWorkflow(_)
            | Variant::ResolveRequestCancelExternalWorkflow(_)
            | Variant::ResolveNexusOperationStart(_)
            | Variant::ResolveNexusOperation(_)
            | Variant::RemoveFromCache(_) => match orders_history {
                true => 3,
                false => 4,
            },
        });
        self.activation_index += 1;
        jobs
    }
}

/// Derived from a run's id, like core does (sdk-core 0.10.1, machines/workflow_machines.rs, `str_to_randomness_seed`).
fn seed(run_id: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    run_id.hash(&mut hasher);
    hasher.finish()
}
