//! The loop over workflow activations: passes jobs to each run's instance, and sends its commands.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use temporalio_protos::coresdk::workflow_activation::WorkflowActivation;
use temporalio_protos::coresdk::workflow_activation::remove_from_cache::EvictionReason;
use temporalio_protos::coresdk::workflow_completion::{
    Failure as TaskFailed, Success, WorkflowActivationCompletion, workflow_activation_completion,
};
use temporalio_protos::temporal::api::enums::v1::{
    VersioningBehavior as ProtoBehavior, WorkflowTaskFailedCause,
};
use temporalio_sdk_core::PollError;
use tokio::task::JoinSet;
use tracing::{Instrument, Span};

use super::Host;
use super::activation::{Surroundings, activation_from_proto, eviction};
use super::ahead;
use super::attempts::{Moment, keep_schedule_times};
use super::completion::{behavior_to_proto, command_to_proto};
use super::failures;
use super::locals::is_of_queries;
use super::order::{self, Known};
use super::registrys::IsRegistrys;
use super::told;
use super::trace::RunTrace;
use super::undecodable::{self, Decoded};
use crate::engine::command::{Command, CommandKind};
use crate::engine::failure::Failure;
use crate::engine::job::{Activation, EncodedBundle, Initialize};
use crate::engine::{DEFINITION_HEADER, Instance, Loaded, TaskFailure, wanted_bundle};
use crate::payload::failure_to_proto;
use crate::value::bounded_message;
use crate::words::StepId;
use crate::words::VersioningBehavior;

/// The type of the failure with which a workflow task is failed.
const TASK_FAILURE_TYPE: &str = "WorkflowTaskFailure";

/// A run in the worker's memory.
#[derive(Default)]
pub(super) struct Cached {
    instance: Mutex<Instance>,
    trace: Mutex<RunTrace>,
    order: Mutex<Known>,
    last: ahead::Last,
    is_registrys: IsRegistrys,
    /// Why it could not begin.
    refused: OnceLock<Failure>,
}

impl Cached {
    fn keep_ids(&self, commands: &[Command]) {
        let mut known = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        known.commanded(commands);
    }

    fn instance(&self) -> MutexGuard<'_, Instance> {
        self.instance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its log line names the definition and the steps of the failure.
    fn failed(
        &self,
        run_id: String,
        message: &str,
        steps: impl IntoIterator<Item = StepId>,
    ) -> WorkflowActivationCompletion {
        let instance = self.instance();
        let span = Span::current();
        told::name_definition(&span, &instance);
        told::name_steps(&span, &instance, steps);
        drop(instance);
        failed(run_id, message)
    }
}

/// Polls until the worker is shut down and every run has been evicted. `evicted` is called for each run.
pub(super) async fn serve(
    host: Arc<Host>,
    evicted: impl Fn(EvictionReason, &str),
) -> Result<(), PollError> {
    // Completions may wait for the server; none may delay the next activation.
    let mut tasks = JoinSet::new();
    let end = loop {
        let activation = match host.core.poll_workflow_activation().await {
            Ok(activation) => activation,
            Err(PollError::ShutDown) => break Ok(()),
            Err(error) => break Err(error),
        };
        while tasks.try_join_next().is_some() {}
        let host = host.clone();
        let span = told::span(&activation.run_id);
        if let Some(eviction) = eviction(&activation) {
            if let Some(run) = host.runs.get(&activation.run_id) {
                let instance = run.instance();
                told::name_run(&span, &instance);
                if eviction.reason() == EvictionReason::Nondeterminism {
                    told::name_steps(&span, &instance, instance.waits_at());
                }
            }
            let tell = || evicted(eviction.reason(), &eviction.message);
            span.in_scope(tell);
            host.sent.evicted(&activation.run_id);
            host.runs.forget(&activation.run_id);
            let is_sound = matches!(
                eviction.reason(),
                EvictionReason::CacheFull | EvictionReason::LangRequested
            );
            let forget = async move {
                let is_cut_off = host.locals.forget(&activation.run_id).await;
                let completion = match is_cut_off && is_sound {
                    true => begun_again(activation.run_id),
                    false => WorkflowActivationCompletion::empty(activation.run_id),
                };
                host.complete(completion).await;
            };
            tasks.spawn(forget.instrument(span));
            continue;
        }
        let run = host.runs.activated(&activation.run_id);
        told::name_start(&span, &activation);
        told::name_run(&span, &run.instance());
        let activate = async move {
            let run_id = activation.run_id.clone();
            host.activate(activation, &run).await;
            host.let_go_of_others(&run_id).await;
        };
        tasks.spawn(activate.instrument(span));
    };
    while tasks.join_next().await.is_some() {}
    host.locals.end();
    end
}

impl Host {
    /// An activation of the run is completed: other runs may have to be evicted.
    async fn let_go_of_others(&self, run_id: &str) {
        let has_local_activities = self.locals.are_in_flight(run_id).await;
        for oldest in self.runs.completed(run_id, has_local_activities) {
            self.core.request_workflow_eviction(&oldest);
        }
    }

    /// There is never more than one activation of a run in progress, so the locks are free.
    async fn activate(&self, mut activation: WorkflowActivation, run: &Cached) {
        let run_id = activation.run_id.clone();
        let answers = run.is_registrys.answer(&activation, &*self.registry);
        let refused = || Some(undecodable::refusals(&activation, run.refused.get()?));
        if let Some(answers) = answers.or_else(refused) {
            let moment = Moment::of(&activation);
            return self
                .complete(self.success(run_id, answers, None, moment))
                .await;
        }
        match self.is_ahead(&activation, run).await {
            Ok(false) => {}
            Ok(true) => {
                self.core.request_workflow_eviction(&run_id);
                let completion = WorkflowActivationCompletion::empty(run_id);
                return self.complete(completion).await;
            }
            Err(why) => return self.complete(failed(run_id, &why)).await,
        }
        if self.locals.has_cancelled_by_nobody(&activation).await {
            return self.complete(begun_again(run_id)).await;
        }
        let is_replaying = activation.is_replaying;
        self.sent.activated(&activation);
        let mut held = None;
        if is_of_queries(&activation) {
            held = self.locals.hold(&run_id).await;
            if held.as_ref().is_some_and(|held| held.holds_up_queries()) {
                return self
                    .complete(WorkflowActivationCompletion::empty(run_id))
                    .await;
            }
        } else {
            self.locals.activated(&activation).await;
        }
        let trace = || run.trace.lock().unwrap_or_else(PoisonError::into_inner);
        let prepared = match self.look_into_history(&mut activation, run).await {
            Ok(()) => undecodable::decode(&self.codec, &mut activation).await,
            Err(why) => return self.complete(failed(run_id, &why)).await,
        };
        let mut steps = Vec::new();
        let mut completion = match prepared {
            Ok(decoded) => {
                trace().activated(&self.tracer, &activation);
                let moment = Moment::of(&activation);
                match self.go_on(activation, run, decoded).await {
                    Ok((commands, behavior)) => {
                        run.keep_ids(&commands);
                        steps.extend(commands.iter().filter_map(|command| command.step));
                        if held.is_none() {
                            self.locals.commanded(&run_id, &commands).await;
                        }
                        self.success(run_id, commands, behavior, moment)
                    }
                    Err(failure) => {
                        let step = run.instance().last_step();
                        run.failed(run_id, &failure.0, step)
                    }
                }
            }
            Err(error) => {
                if let Some(watch) = &self.watch {
                    watch.not_decoded(&error.to_string());
                }
                let waits_at = run.instance().waits_at();
                run.failed(run_id, &error.to_string(), waits_at)
            }
        };
        if self.codec.encodes_common_attributes() {
            failures::encode_in_workflow_task(&mut completion);
        }
        if let Err(error) = self.codec.encode(&mut completion).await {
            completion = run.failed(completion.run_id, &error.to_string(), steps);
        } else if !is_replaying && let Err(problem) = self.sent.completes(&completion) {
            completion = run.failed(completion.run_id, &problem, steps);
        }
        // The context of traces stays unencoded, as in the SDKs, since it is added after the codecs.
        trace().completed(&self.tracer, &mut completion);
        self.complete(completion).await;
        drop(held);
    }

    /// The run continues with what could be decoded; the rest is answered. `decoded` is kept as long as the run uses
    /// it.
    async fn go_on(
        &self,
        activation: WorkflowActivation,
        run: &Cached,
        mut decoded: Decoded,
    ) -> Result<(Vec<Command>, Option<VersioningBehavior>), TaskFailure> {
        let mut commands = std::mem::take(&mut decoded.answers);
        if let Some(failure) = decoded.refused_start.take() {
            if !activation.is_replaying {
                tracing::error!("the run fails: {}", failure.message);
            }
            run.refused.get_or_init(|| failure.clone());
            commands.push(Command::from(CommandKind::FailWorkflow(failure)));
            return Ok((commands, None));
        }
        let (driven, behavior) = self.drive(activation, &run.instance).await?;
        commands.extend(driven);
        Ok((commands, behavior))
    }

    /// Whether a query would show the run events that no workflow task has delivered; see [`ahead`].
    async fn is_ahead(
        &self,
        activation: &WorkflowActivation,
        run: &Cached,
    ) -> Result<bool, String> {
        let workflow_id = run.instance().names().map(|(id, _)| id.to_owned());
        let of = order::Run {
            namespace: &self.namespace,
            workflow_id: workflow_id.as_deref().unwrap_or_default(),
            run_id: &activation.run_id,
        };
        let (delay, histories) = (&self.delay, &self.histories);
        run.last
            .is_passed_by(activation, delay, histories, &of)
            .await
    }

    /// Sorts jobs by history, for runs that began with that; others may have been bound in their second workflow task.
    async fn look_into_history(
        &self,
        activation: &mut WorkflowActivation,
        run: &Cached,
    ) -> Result<(), String> {
        let instance = || run.instance.lock().unwrap_or_else(PoisonError::into_inner);
        let workflow_id = instance().orders_history().map(str::to_owned);
        let old_id = instance().may_be_bound_late().map(str::to_owned);
        if let (Some(workflow_id), true) = (old_id, activation.is_replaying) {
            let of = order::Run {
                namespace: &self.namespace,
                workflow_id: &workflow_id,
                run_id: &activation.run_id,
            };
            if self.histories.first_task_is_bare(&of).await? {
                instance().first_task_is_bare();
            }
        }
        let run_id = activation.run_id.clone();
        let of = order::Run {
            namespace: &self.namespace,
            workflow_id: workflow_id.as_deref().unwrap_or_default(),
            run_id: &run_id,
        };
        let is_meant = workflow_id.is_some();
        order::restore(
            activation,
            &run.order,
            &self.histories,
            is_meant.then_some(of),
        )
        .await
    }

    /// Drives the run as far as possible. A panic is a broken invariant of the engine: it fails the workflow task, so
    /// that a fixed worker can continue.
    async fn drive(
        &self,
        activation: WorkflowActivation,
        instance: &Mutex<Instance>,
    ) -> Result<(Vec<Command>, Option<VersioningBehavior>), TaskFailure> {
        let is_replaying = activation.is_replaying;
        let activation = self.activation(activation);
        let history_length = activation.history_length;
        let _prepared = self.prepare(&activation, instance).await;
        let mut instance = instance.lock().unwrap_or_else(PoisonError::into_inner);
        let was_bound = instance.definition().is_some();
        let driven = catch_unwind(AssertUnwindSafe(|| {
            if let Some(watch) = &self.watch {
                watch.before(&mut instance, &*self.programs)?;
            }
            instance.activate(activation, &*self.programs)
        }));
        let driven = driven.unwrap_or_else(|panic| {
            Err(TaskFailure(format!(
                "the engine broke an invariant: {}",
                panic_text(&*panic)
            )))
        });
        if let Some(watch) = &self.watch {
            watch.after(history_length, &driven, &instance);
        }
        let commands = driven?;
        if !is_replaying {
            if !was_bound {
                told::name_definition(&Span::current(), &instance);
            }
            commands
                .iter()
                .for_each(|command| told::log(&instance, command));
        }
        Ok((commands, instance.versioning_behavior()))
    }

    fn activation(&self, activation: WorkflowActivation) -> Activation {
        let newest = |info: &Initialize| self.bundle_for(info);
        let around = Surroundings {
            namespace: &self.namespace,
            task_queue: &self.task_queue,
            newest: &newest,
        };
        activation_from_proto(activation, &around)
    }

    /// Compiles what the run is about to be bound to; the holder of the answer keeps it. Errors are reported when the
    /// run is driven.
    async fn prepare(
        &self,
        activation: &Activation,
        instance: &Mutex<Instance>,
    ) -> Vec<Arc<Loaded>> {
        let Some(programs) = &self.prepared else {
            return Vec::new();
        };
        let awaited = {
            let instance = instance.lock().unwrap_or_else(PoisonError::into_inner);
            instance.awaited_bundles(activation)
        };
        let mut prepared = Vec::new();
        for bundle in awaited {
            prepared.extend(programs.prepare(bundle).await.ok());
        }
        prepared
    }

    /// The bundle of a new run: the one that its start requests, if that was deployed, or else the one in force.
    fn bundle_for(&self, info: &Initialize) -> Option<Arc<EncodedBundle>> {
        let workflow_type = &info.workflow_type;
        if let Some(wanted) = wanted_bundle(info) {
            let known = self.registry.recognised(workflow_type, &wanted);
            if known.is_some() {
                return known;
            }
            tracing::warn!(
                "ignoring the start's header `{DEFINITION_HEADER}`: its definition was never deployed to this worker"
            );
        }
        let entry = self.registry.for_new_run(workflow_type, &info.workflow_id);
        entry.map(|entry| entry.bundle)
    }

    fn success(
        &self,
        run_id: String,
        commands: Vec<Command>,
        behavior: Option<VersioningBehavior>,
        moment: Moment,
    ) -> WorkflowActivationCompletion {
        let used = commands.iter().filter_map(|command| match command.kind {
            CommandKind::UseFlag(flag) => Some(flag),
            _ => None,
        });
        let used_internal_flags = used.collect();
        let commands = commands.into_iter();
        let commands = commands.filter_map(|command| command_to_proto(command, &self.namespace));
        let mut commands: Vec<_> = commands.collect();
        keep_schedule_times(&mut commands, moment);
        // The server refuses a behavior from a worker without a version.
        let behavior = behavior.filter(|_| self.is_versioned);
        let success = Success {
            commands,
            used_internal_flags,
            versioning_behavior: behavior
                .map_or(ProtoBehavior::Unspecified, behavior_to_proto)
                .into(),
        };
        WorkflowActivationCompletion {
            run_id,
            status: Some(workflow_activation_completion::Status::Successful(success)),
            ..Default::default()
        }
    }

    async fn complete(&self, completion: WorkflowActivationCompletion) {
        if let Err(error) = self.core.complete_workflow_activation(completion).await {
            tracing::error!("cannot complete a workflow task: {error}");
        }
    }
}

fn failed(run_id: String, message: &str) -> WorkflowActivationCompletion {
    let message = &bounded_message(message.to_owned());
    tracing::warn!("workflow task failed: {message}");
    let failure = failure_to_proto(&Failure::application(TASK_FAILURE_TYPE, message));
    WorkflowActivationCompletion {
        run_id,
        status: Some(workflow_activation_completion::Status::Failed(TaskFailed {
            failure: Some(failure),
            ..Default::default()
        })),
        ..Default::default()
    }
}

/// The run is evicted with its workflow task, which the server dispatches again immediately. Without an answer it would
/// do so only after the task's timeout.
fn begun_again(run_id: String) -> WorkflowActivationCompletion {
    let message = "run evicted from the full cache while its local activities are in flight: the workflow task starts again";
    tracing::debug!(%run_id, "{message}");
    let failure = failure_to_proto(&Failure::application("CacheFull", message));
    WorkflowActivationCompletion {
        run_id,
        status: Some(workflow_activation_completion::Status::Failed(TaskFailed {
            failure: Some(failure),
            force_cause: WorkflowTaskFailedCause::ResetStickyTaskQueue.into(),
        })),
        ..Default::default()
    }
}

pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}

/// Core's message is inside the printed form of a failure.
pub(super) fn eviction_text(message: &str) -> &str {
    let inner = message.split_once("message: \"").map(|(_, rest)| rest);
    inner
        .and_then(|rest| rest.split_once("\", source"))
        .map_or(message, |(text, _)| text)
}

/// Runs leave the cache for many reasons; these indicate a problem.
pub(super) fn log_eviction(reason: EvictionReason, message: &str) {
    let message = eviction_text(message);
    match reason {
        EvictionReason::Nondeterminism => {
            tracing::error!("the run's history does not fit its definition: {message}");
        }
        EvictionReason::Fatal | EvictionReason::PaginationOrHistoryFetch => {
            tracing::warn!("run evicted: {message}");
        }
        // It was logged when the task was failed.
        EvictionReason::LangFail => {}
        _ => tracing::debug!(reason = reason.as_str_name(), "evicted: {message}"),
    }
}
