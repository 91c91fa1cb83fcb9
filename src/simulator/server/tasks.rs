//! Workflow tasks on the server: dispatched, completed, refused (temporal server 1.32.0,
//! service/history/workflow/workflow_task_state_machine.go and
//! service/history/api/respondworkflowtaskcompleted/api.go).

use temporalio_protos::temporal::api::enums::v1 as enums;
use temporalio_protos::temporal::api::history::v1 as history;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::sdk::v1::WorkflowTaskCompletedMetadata;

use super::super::message::{
    Answer, Completed, Completion, TaskFailed, UpdateRequest, WorkflowTask,
};
use super::super::retry::length;
use super::super::world::World;
use super::Server;
use super::event::IDENTITY;
use super::execution::Task;
use crate::engine::failure::Failure;
use crate::history::{End, Meaning, Operation, Stage};
use crate::payload::failure_to_proto;

/// The events of a task without effect: scheduled and started.
const TASK_EVENTS: usize = 2;

impl Server {
    /// The run whose workflow task became due first.
    pub(crate) fn first_ready(&self) -> Option<usize> {
        self.ready.front().copied()
    }

    /// Whether a workflow task of this run is due.
    pub(crate) fn is_ready(&self, run: usize) -> bool {
        self.ready.contains(&run)
    }

    /// Starts this run's workflow task, if one is due, and returns the updates that it delivers.
    pub(crate) fn start_task(&mut self, run: usize) -> Option<Vec<UpdateRequest>> {
        let place = self.ready.iter().position(|ready| *ready == run)?;
        self.ready.remove(place);
        let Task::Scheduled { is_speculative } = self.executions[run].task else {
            // The run closed before a worker got the task.
            return None;
        };
        let started = self.append_task_started(run);
        let execution = &mut self.executions[run];
        execution.task = Task::Open { is_speculative };
        let mut fresh = Vec::new();
        for mut update in std::mem::take(&mut execution.admitted) {
            update.request.sequencing_event_id = started - 1;
            fresh.push(update.request.clone());
            execution.delivered.push(update);
        }
        Some(fresh)
    }

    /// The started task, for a worker that has seen the events up to `seen`, and the world that both share.
    pub(crate) fn task(
        &mut self,
        run: usize,
        seen: i64,
        updates: Vec<UpdateRequest>,
    ) -> (WorkflowTask<'_>, &mut World) {
        let execution = &self.executions[run];
        let seen = usize::try_from(seen).unwrap_or_default();
        let task = WorkflowTask {
            run,
            names: execution.names(),
            events: execution.history.get(seen..).unwrap_or_default(),
            updates,
            timeout: length(execution.started.workflow_task_timeout),
        };
        (task, &mut self.world)
    }

    /// Whether a worker has this run's workflow task.
    pub(crate) fn has_open_task(&self, run: usize) -> bool {
        matches!(self.executions[run].task, Task::Open { .. })
    }

    pub(crate) fn respond(&mut self, completion: Completion) -> Answer {
        let run = completion.run;
        match completion.result {
            Ok(completed) => self.complete_task(run, completed),
            Err(TaskFailed { cause, message }) => self.fail_task(run, cause, &message),
        }
    }

    fn complete_task(&mut self, run: usize, completed: Completed) -> Answer {
        let Completed {
            commands, goes_on, ..
        } = &completed;
        let execution = &mut self.executions[run];
        let closes = commands.iter().any(|command| command.kind.closes());
        if closes && !execution.buffered.is_empty() {
            // Something arrived while the run was about to close: it must see it first.
            let cause = enums::WorkflowTaskFailedCause::UnhandledCommand;
            self.cut_short(run, cause, "UnhandledCommand");
            return Answer::Refused {
                is_tried_again: true,
            };
        }
        let is_empty = commands.iter().all(|command| command.kind.is_rejection());
        let is_speculative = execution.task
            == (Task::Open {
                is_speculative: true,
            });
        if is_speculative && is_empty && !goes_on && execution.buffered.is_empty() {
            return self.drop_task(run, completed);
        }
        self.write_completion(run, completed);
        Answer::Recorded
    }

    /// The task's two events were never written.
    fn drop_task(&mut self, run: usize, completed: Completed) -> Answer {
        let execution = &mut self.executions[run];
        let kept = execution.history.len() - TASK_EVENTS;
        execution.history.truncate(kept);
        execution.task = Task::None;
        for command in completed.commands {
            self.command(run, 0, command);
        }
        self.reject_unprocessed(run);
        Answer::Dropped {
            events: kept as i64,
        }
    }

    fn write_completion(&mut self, run: usize, done: Completed) {
        let started_event_id = self.executions[run].history.len() as i64;
        let completed = history::WorkflowTaskCompletedEventAttributes {
            sdk_metadata: (!done.flags.is_empty()).then(|| WorkflowTaskCompletedMetadata {
                lang_used_flags: done.flags,
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
        for command in done.commands {
            self.command(run, completed, command);
        }
        if self.executions[run].is_open() && !done.goes_on {
            self.reject_unprocessed(run);
        }
        let execution = &mut self.executions[run];
        execution.task = Task::None;
        execution.task_failure = None;
        execution.delivered.clear();
        let mut buffered = std::mem::take(&mut execution.buffered);
        if !execution.is_open() {
            // The results of its last commands, which are too late to be delivered.
            buffered.clear();
        }
        let has_news = done.goes_on || !buffered.is_empty() || !execution.admitted.is_empty();
        execution.buffered = buffered;
        self.flush(run);
        if has_news {
            self.schedule_task(run);
        }
        self.check_history(run);
    }

    /// The worker cannot continue: the run waits until something arrives, and then retries.
    fn fail_task(
        &mut self,
        run: usize,
        cause: enums::WorkflowTaskFailedCause,
        message: &str,
    ) -> Answer {
        let is_too_large = cause == enums::WorkflowTaskFailedCause::GrpcMessageTooLarge;
        if !is_too_large {
            self.executions[run].task_failure = Some(message.to_owned());
        }
        self.cut_short(run, cause, message);
        if is_too_large {
            // (temporal server 1.32.0, service/history/api/respondworkflowtaskfailed/api.go.)
            self.end_by_server(run, message);
        }
        Answer::Refused {
            is_tried_again: false,
        }
    }

    /// Ends the task as failed: what arrived meanwhile is then in history, and the worker must rebuild the run.
    fn cut_short(&mut self, run: usize, cause: enums::WorkflowTaskFailedCause, message: &str) {
        self.append_task_failed(run, cause, message);
        let execution = &mut self.executions[run];
        execution.task = Task::None;
        let delivered = std::mem::take(&mut execution.delivered);
        execution.admitted.splice(0..0, delivered);
        self.flush(run);
    }

    /// A worker has rebuilt the run after a refusal, or could not.
    pub(crate) fn begun_anew(&mut self, run: usize, failed: Option<String>, is_tried_again: bool) {
        match failed {
            Some(failure) => self.executions[run].task_failure = Some(failure),
            None if is_tried_again => self.schedule_task(run),
            None => {}
        }
    }

    /// Records what arrived during a workflow task.
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
}

/// The order in which the server records what arrived during a workflow task: ends of activities, children and
/// operations last (temporal server 1.32.0, service/history/historybuilder/event_store.go, `reorderBuffer`).
fn in_order(buffered: Vec<Attributes>) -> impl Iterator<Item = Attributes> {
    let (ends, others): (Vec<_>, Vec<_>) = buffered.into_iter().partition(is_reordered);
    others.into_iter().chain(ends)
}

fn is_reordered(attributes: &Attributes) -> bool {
    let Meaning::Progress(progress) = Meaning::of_attributes(attributes) else {
        return false;
    };
    let end = match progress.stage {
        Stage::Ended(end) => end,
        Stage::Started { .. } => return false,
    };
    match progress.operation {
        Operation::Activity | Operation::Child | Operation::Nexus => match end {
            End::Completed(_)
            | End::Failed(_)
            | End::TimedOut(_)
            | End::Cancelled(_)
            | End::Terminated => true,
            // A child that could not be started keeps its place.
            End::Refused(_) => false,
        },
        Operation::Timer | Operation::Signal | Operation::Cancellation => false,
    }
}
