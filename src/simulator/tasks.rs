//! Workflow tasks: the worker is told what is new, its engine goes on, and what it asks for comes into history.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use temporalio_protos::coresdk::workflow_activation as jobs;
use temporalio_protos::coresdk::workflow_activation::workflow_activation_job::Variant;
use temporalio_protos::temporal::api::enums::v1 as enums;
use temporalio_protos::temporal::api::history::v1 as history;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::sdk::v1::WorkflowTaskCompletedMetadata;

use super::Simulator;
use super::agenda::{Due, after};
use super::event::IDENTITY;
use super::execution::Task;
use super::machines::{LocalRequest, Machines, Request, Sent};
use super::replay::{Divergence, Replay, replay};
use crate::engine::Instance;
use crate::engine::command::{Command, CommandKind};
use crate::engine::failure::Failure;
use crate::engine::job::{EncodedBundle, Initialize};
use crate::payload::{failure_to_proto, timestamp_to_proto};
use crate::value::{Duration, Value, to_json_string};
use crate::worker::activation::{Surroundings, activation_from_proto};

/// Workflow tasks that one moment may need before it is clear that they never come to an end.
const TASKS_AT_ONCE_MAX: usize = 100_000;

/// A run's engine, and what the worker knows of its operations.
#[derive(Debug)]
pub(super) struct Worker {
    pub instance: Instance,
    pub machines: Machines,
    pub run_id: String,
}

impl Worker {
    pub fn new(namespace: &str, workflow_id: &str, run_id: &str) -> Self {
        Worker {
            instance: Instance::new(),
            machines: Machines {
                namespace: namespace.to_owned(),
                workflow_id: workflow_id.to_owned(),
                ..Machines::default()
            },
            run_id: run_id.to_owned(),
        }
    }

    pub fn take_jobs(&mut self) -> Vec<Variant> {
        let orders_history = self.instance.orders_history().is_some();
        self.machines.take_jobs(orders_history)
    }
}

pub(super) fn activate(
    worker: &mut Worker,
    jobs: Vec<Variant>,
    with: &Replay<'_>,
    newest: Option<&Arc<EncodedBundle>>,
) -> Result<Vec<Command>, Divergence> {
    let jobs = jobs.into_iter();
    let machines = &worker.machines;
    let activation = jobs::WorkflowActivation {
        run_id: worker.run_id.clone(),
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
    let instance = &mut worker.instance;
    catch_unwind(AssertUnwindSafe(|| {
        instance.activate(activation, with.programs)
    }))
    .unwrap_or_else(|panic| {
        let text = crate::worker::panic_text(&*panic);
        Err(crate::engine::TaskFailure(format!(
            "the engine broke an invariant: {text}"
        )))
    })
    .map_err(|failure| Divergence::broken(failure.0))
}

impl Simulator {
    /// Runs all workflow tasks that are due now.
    pub(super) fn settle(&mut self) {
        for _ in 0..TASKS_AT_ONCE_MAX {
            if self.holds_tasks || self.worker_is_away || !self.take_task() {
                return;
            }
        }
    }

    /// From now on workflow tasks wait for [`Simulator::take_task`], and something may come between two of them.
    pub fn hold_tasks(&mut self) {
        self.holds_tasks = true;
    }

    /// They wait no longer.
    pub fn release_tasks(&mut self) {
        self.holds_tasks = false;
        self.settle();
    }

    /// Runs the workflow task that was due first.
    pub fn take_task(&mut self) -> bool {
        match self.ready.front() {
            Some(run) => self.take_task_of(super::RunNumber(*run)),
            None => false,
        }
    }

    /// Runs this run's workflow task, if one is due.
    pub fn take_task_of(&mut self, run: super::RunNumber) -> bool {
        let place = self.ready.iter().position(|ready| *ready == run.0);
        let Some(run) = place.and_then(|place| self.ready.remove(place)) else {
            return false;
        };
        if let Task::Scheduled { is_speculative } = self.executions[run].task {
            self.begin_task(run, is_speculative);
        }
        true
    }

    /// Begins it alone: it completes with [`Simulator::end_task_of`], and what comes before has to wait.
    pub fn begin_task_of(&mut self, run: super::RunNumber) -> bool {
        self.held_open.insert(run.0);
        self.take_task_of(run)
    }

    pub fn end_task_of(&mut self, run: super::RunNumber) {
        self.held_open.remove(&run.0);
        if matches!(self.executions[run.0].task, Task::Open { .. }) {
            self.go_on(run.0);
        }
    }

    fn begin_task(&mut self, run: usize, is_speculative: bool) {
        let started = self.append_task_started(run);
        let execution = &mut self.executions[run];
        execution.task = Task::Open { is_speculative };
        let mut fresh = Vec::new();
        for mut update in std::mem::take(&mut execution.admitted) {
            update.request.sequencing_event_id = started - 1;
            fresh.push(update.request.clone());
            execution.delivered.push(update);
        }
        let from = execution.worker.machines.processed as usize;
        let applied = execution
            .worker
            .machines
            .apply(&execution.history[from..], &[], fresh);
        match applied {
            Ok(()) => self.go_on(run),
            Err(divergence) => self.fail_task(run, &divergence.to_string()),
        }
    }

    /// The engine goes as far as it can; the task stays open while local activities run.
    pub(super) fn go_on(&mut self, run: usize) {
        loop {
            let jobs = self.executions[run].worker.take_jobs();
            if !jobs.is_empty() {
                if let Err(divergence) = self.activate(run, jobs) {
                    return self.fail_task(run, &divergence.problem);
                }
                continue;
            }
            let requests = std::mem::take(&mut self.executions[run].worker.machines.local_requests);
            if requests.is_empty() {
                break;
            }
            for request in requests {
                match request {
                    LocalRequest::Start(seq) => self.start_local(run, seq),
                    LocalRequest::Cancel(seq) => self.cancel_local(run, seq),
                }
            }
        }
        let execution = &self.executions[run];
        let has_ended = execution.worker.machines.has_ended;
        if self.held_open.contains(&run) {
            return;
        }
        if execution.locals.is_empty() || has_ended {
            return self.complete_task(run, false);
        }
        if execution.heartbeat_key.is_none() {
            let timeout = execution.started.workflow_task_timeout.unwrap_or_default();
            // As core has it: 80 % of the timeout.
            let length = i128::from(timeout.seconds) * 1_000_000_000 + i128::from(timeout.nanos);
            let length = Duration::from_nanos(length * 8 / 10).unwrap_or_default();
            let key = self
                .agenda
                .put(after(self.now, length), Due::TaskHeartbeat { run });
            self.executions[run].heartbeat_key = Some(key);
        }
    }

    fn activate(&mut self, run: usize, jobs: Vec<Variant>) -> Result<(), Divergence> {
        let starts = jobs
            .iter()
            .any(|job| matches!(job, Variant::InitializeWorkflow(_)));
        let execution = &mut self.executions[run];
        if starts && execution.bundle.is_none() {
            let entry = self
                .registry
                .for_new_run(&execution.workflow_type, &execution.workflow_id);
            execution.bundle = entry.map(|entry| entry.bundle);
        }
        let with = Replay {
            namespace: &self.setup.namespace,
            task_queue: &self.setup.task_queue,
            workflow_id: &execution.workflow_id,
            run_id: &execution.run_id,
            programs: &*self.programs,
            observer: None,
        };
        let newest = execution.bundle.as_ref();
        let commands = activate(&mut execution.worker, jobs, &with, newest)?;
        self.log(run, &commands);
        self.executions[run].worker.machines.driven(commands)
    }

    fn log(&mut self, run: usize, commands: &[Command]) {
        let logs = commands.iter().filter_map(|command| match &command.kind {
            CommandKind::Log {
                level,
                message,
                fields,
            } => Some(super::Logged {
                run: super::RunNumber(run),
                at: self.now,
                level: *level,
                message: message.clone(),
                fields: fields
                    .iter()
                    .map(|(name, value)| (name.clone(), text(value)))
                    .collect(),
            }),
            _ => None,
        });
        self.logs.extend(logs);
    }

    /// Held open for local activities, it is completed with what there is and begun anew.
    pub(super) fn heartbeat_task(&mut self, run: usize) {
        self.executions[run].heartbeat_key = None;
        if matches!(self.executions[run].task, Task::Open { .. }) {
            self.complete_task(run, true);
        }
    }

    fn complete_task(&mut self, run: usize, goes_on: bool) {
        let execution = &mut self.executions[run];
        let sent = execution.worker.machines.prepare();
        let closes = execution.worker.machines.has_ended;
        if let Some(key) = execution.heartbeat_key.take() {
            self.agenda.remove(key);
        }
        if closes && !execution.buffered.is_empty() {
            return self.refuse_task(run);
        }
        if !self.is_receivable(run, &sent) {
            let cause = enums::WorkflowTaskFailedCause::GrpcMessageTooLarge;
            self.cut_short(run, cause, "GrpcMessageTooLarge");
            return self.end_by_server(run, "GrpcMessageTooLarge");
        }
        let execution = &mut self.executions[run];
        let is_empty = sent.iter().all(|sent| is_rejection(&sent.request));
        let is_speculative = execution.task
            == (Task::Open {
                is_speculative: true,
            });
        if is_speculative && is_empty && !goes_on && execution.buffered.is_empty() {
            // The task's two events were never written.
            let kept = execution.history.len() - 2;
            execution.history.truncate(kept);
            execution.worker.machines.processed = kept as i64;
            execution.task = Task::None;
            for sent in sent {
                self.command(run, 0, sent);
            }
            return self.reject_unprocessed(run);
        }
        self.write_completion(run, sent, goes_on);
    }

    fn write_completion(&mut self, run: usize, sent: Vec<Sent>, goes_on: bool) {
        let started_event_id = self.executions[run].history.len() as i64;
        let machines = &mut self.executions[run].worker.machines;
        let used = std::mem::take(&mut machines.flags_used);
        let used: Vec<u32> = used.difference(&machines.flags).copied().collect();
        machines.flags.extend(&used);
        let completed = history::WorkflowTaskCompletedEventAttributes {
            sdk_metadata: (!used.is_empty()).then(|| WorkflowTaskCompletedMetadata {
                lang_used_flags: used,
                ..Default::default()
            }),
            scheduled_event_id: started_event_id - 1,
            started_event_id,
            identity: IDENTITY.to_owned(),
            ..Default::default()
        };
        let completed = self.append(
            run,
            Attributes::WorkflowTaskCompletedEventAttributes(completed),
        );
        for sent in sent {
            self.command(run, completed, sent);
        }
        if self.executions[run].is_open() && !goes_on {
            self.reject_unprocessed(run);
        }
        let execution = &mut self.executions[run];
        execution.task = Task::None;
        execution.task_failure = None;
        execution.delivered.clear();
        let mut buffered = std::mem::take(&mut execution.buffered);
        if !execution.is_open() {
            // What came of its last commands, too late to be told.
            buffered.clear();
        }
        let has_news = goes_on || !buffered.is_empty() || !execution.admitted.is_empty();
        self.executions[run].buffered = buffered;
        self.flush(run);
        if has_news {
            self.schedule_task(run);
        }
        self.check_history(run);
    }

    /// Something came while the run was about to close: it has to see it first.
    fn refuse_task(&mut self, run: usize) {
        let cause = enums::WorkflowTaskFailedCause::UnhandledCommand;
        if self.cut_short(run, cause, "UnhandledCommand") {
            self.schedule_task(run);
        }
    }

    /// Ends the task as failed: what came meanwhile is in history then, and the worker has to begin anew. False where it cannot.
    fn cut_short(
        &mut self,
        run: usize,
        cause: enums::WorkflowTaskFailedCause,
        message: &str,
    ) -> bool {
        self.append_task_failed(run, cause, message);
        self.forget_locals(run);
        let execution = &mut self.executions[run];
        execution.task = Task::None;
        let delivered = std::mem::take(&mut execution.delivered);
        execution.admitted.splice(0..0, delivered);
        self.flush(run);
        let rebuilt = self.rebuild(run);
        if let Err(divergence) = &rebuilt {
            self.executions[run].task_failure = Some(divergence.to_string());
        }
        rebuilt.is_ok()
    }

    /// Writes down what came during a workflow task.
    pub(super) fn flush(&mut self, run: usize) {
        for attributes in in_order(std::mem::take(&mut self.executions[run].buffered)) {
            self.append(run, attributes);
        }
    }

    fn append_task_failed(
        &mut self,
        run: usize,
        cause: enums::WorkflowTaskFailedCause,
        message: &str,
    ) {
        let started_event_id = self.executions[run].history.len() as i64;
        let failure = Failure::application("", message);
        let failed = history::WorkflowTaskFailedEventAttributes {
            scheduled_event_id: started_event_id - 1,
            started_event_id,
            cause: cause.into(),
            failure: Some(failure_to_proto(&failure)),
            identity: IDENTITY.to_owned(),
            ..Default::default()
        };
        self.append(run, Attributes::WorkflowTaskFailedEventAttributes(failed));
    }

    /// The engine cannot go on: the run waits until something comes, and then tries again.
    fn fail_task(&mut self, run: usize, message: &str) {
        self.executions[run].task_failure = Some(message.to_owned());
        let cause = enums::WorkflowTaskFailedCause::WorkflowWorkerUnhandledFailure;
        self.cut_short(run, cause, message);
    }

    /// A worker that has only the history.
    pub(super) fn rebuild(&mut self, run: usize) -> Result<(), Divergence> {
        self.executions[run].worker = self.replayed(run)?;
        Ok(())
    }

    pub(super) fn replayed(&self, run: usize) -> Result<Worker, Divergence> {
        let execution = &self.executions[run];
        let with = Replay {
            namespace: &self.setup.namespace,
            task_queue: &self.setup.task_queue,
            workflow_id: &execution.workflow_id,
            run_id: &execution.run_id,
            programs: &*self.programs,
            observer: self.observer.clone(),
        };
        replay(&execution.history, &with)
    }
}

/// As the server writes down what came during a workflow task: ends of activities, children and operations last.
fn in_order(buffered: Vec<Attributes>) -> impl Iterator<Item = Attributes> {
    use Attributes::*;
    let is_end = |attributes: &Attributes| {
        matches!(
            attributes,
            ActivityTaskCompletedEventAttributes(_)
                | ActivityTaskFailedEventAttributes(_)
                | ActivityTaskCanceledEventAttributes(_)
                | ActivityTaskTimedOutEventAttributes(_)
                | ChildWorkflowExecutionCompletedEventAttributes(_)
                | ChildWorkflowExecutionFailedEventAttributes(_)
                | ChildWorkflowExecutionTimedOutEventAttributes(_)
                | ChildWorkflowExecutionCanceledEventAttributes(_)
                | ChildWorkflowExecutionTerminatedEventAttributes(_)
                | NexusOperationCompletedEventAttributes(_)
                | NexusOperationFailedEventAttributes(_)
                | NexusOperationCanceledEventAttributes(_)
                | NexusOperationTimedOutEventAttributes(_)
        )
    };
    let (ends, others): (Vec<_>, Vec<_>) = buffered.into_iter().partition(is_end);
    others.into_iter().chain(ends)
}

fn is_rejection(request: &Request) -> bool {
    matches!(request, Request::Engine(CommandKind::RejectUpdate { .. }))
}

/// A value of a log line, for people.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string(),
        other => to_json_string(other).unwrap_or_default(),
    }
}
