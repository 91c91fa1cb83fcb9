//! How runs start and end: retries, cron, continue-as-new, timeouts, and what an end means for others (temporal server
//! 1.32.0, service/history/workflow/mutable_state_impl.go and retry.go).

use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1 as enums;
use temporalio_protos::temporal::api::failure::v1::Failure as ProtoFailure;
use temporalio_protos::temporal::api::history::v1 as history;
use temporalio_protos::temporal::api::history::v1::WorkflowExecutionStartedEventAttributes as Started;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;

use super::super::agenda::{Due, after};
use super::super::retry::{length, retry_policy, timeout_failure};
use super::Server;
use super::commands::{fields, result};
use super::event::task_queue;
use super::execution::{Execution, Outcome, Parent, Task};
use crate::accepted::next_cron_time;
use crate::engine::command::ContinueAsNew;
use crate::engine::failure::Failure;
use crate::payload::{
    backoff, duration_to_proto, failure_to_proto, payloads_to_proto, timestamp_from_proto,
    timestamp_to_proto,
};
use crate::value::{Duration, Payload};

/// The shortest time between two continuations as new; earlier ones wait: the server's own bound.
const CONTINUE_AS_NEW_INTERVAL_MIN: Duration = Duration {
    seconds: 1,
    nanos: 0,
};

/// Events are large, so there is room for those of most runs from the start.
const HISTORY_EVENTS: usize = 64;

impl Server {
    /// The first run of a workflow.
    pub(super) fn begin_first(
        &mut self,
        mut started: Started,
        parent: Option<Parent>,
        summary: Option<String>,
        signal: Option<(String, Vec<Payload>)>,
    ) -> usize {
        let execution_timeout = length(started.workflow_execution_timeout);
        if !execution_timeout.is_zero() {
            let at = after(self.world.now, execution_timeout);
            started.workflow_execution_expiration_time = Some(timestamp_to_proto(at));
        }
        started.attempt = 1;
        if !started.cron_schedule.is_empty()
            && let Some(at) = next_cron_time(&started.cron_schedule, self.world.now)
        {
            let wait = at.since(self.world.now).unwrap_or_default();
            started.first_workflow_task_backoff = Some(duration_to_proto(wait));
            started.initiator = enums::ContinueAsNewInitiator::CronSchedule.into();
        }
        let run = self.begin(started, parent, summary);
        if let Some((name, input)) = signal {
            self.signal_first(run, &name, payloads_to_proto(input));
        }
        self.make_first_task_due(run);
        run
    }

    /// It is recorded before the first workflow task.
    fn signal_first(&mut self, run: usize, name: &str, input: Option<common::Payloads>) {
        let attributes = history::WorkflowExecutionSignaledEventAttributes {
            signal_name: name.to_owned(),
            input,
            identity: super::event::IDENTITY.to_owned(),
            ..Default::default()
        };
        self.append(
            run,
            Attributes::WorkflowExecutionSignaledEventAttributes(attributes),
        );
    }

    fn begin(
        &mut self,
        mut started: Started,
        parent: Option<Parent>,
        summary: Option<String>,
    ) -> usize {
        let run = self.executions.len();
        let run_id = self.unique_id();
        started.original_execution_run_id.clone_from(&run_id);
        if started.first_execution_run_id.is_empty() {
            started.first_execution_run_id.clone_from(&run_id);
        }
        if length(started.workflow_task_timeout).is_zero() {
            started.workflow_task_timeout = Some(duration_to_proto(Duration::from_seconds(10)));
        }
        started.identity = super::event::IDENTITY.to_owned();
        let workflow_id = started.workflow_id.clone();
        let execution = Execution {
            workflow_id: workflow_id.clone(),
            run_id,
            workflow_type: started.workflow_type.clone().unwrap_or_default().name,
            started_at: self.world.now,
            history: Vec::with_capacity(HISTORY_EVENTS),
            size_bytes: 0,
            outcome: None,
            next: None,
            retry_state: enums::RetryState::RetryPolicyNotSet,
            parent,
            task: Task::None,
            task_failure: None,
            broken: None,
            buffered: Vec::new(),
            activities: Default::default(),
            timers: Default::default(),
            children: Default::default(),
            nexus: Default::default(),
            admitted: Vec::new(),
            delivered: Vec::new(),
            accepted: Default::default(),
            keys: Vec::new(),
            cancel_requested: false,
            child_runs: Vec::new(),
            signals: 0,
            updates_accepted: 0,
            activity_started: Default::default(),
            search_attributes: started
                .search_attributes
                .clone()
                .unwrap_or_default()
                .indexed_fields
                .into_iter()
                .collect(),
            memo: started
                .memo
                .clone()
                .unwrap_or_default()
                .fields
                .into_iter()
                .collect(),
            started: started.clone(),
        };
        if let Some(parent) = &execution.parent {
            self.executions[parent.run].child_runs.push(run);
        }
        self.executions.push(Box::new(execution));
        self.current.insert(workflow_id, run);
        let backoff = length(started.first_workflow_task_backoff);
        let run_timeout = length(started.workflow_run_timeout);
        let mut ends = Vec::new();
        if !run_timeout.is_zero() {
            ends.push(after(after(self.world.now, backoff), run_timeout));
        }
        ends.extend(
            started
                .workflow_execution_expiration_time
                .map(timestamp_from_proto),
        );
        if let Some(at) = ends.into_iter().min() {
            let key = self.world.agenda.put(at, Due::RunTimeout { run });
            self.executions[run].keys.push(key);
        }
        let attributes = Attributes::WorkflowExecutionStartedEventAttributes(started);
        self.append_with(run, attributes, summary);
        run
    }

    fn make_first_task_due(&mut self, run: usize) {
        let backoff = length(self.executions[run].started.first_workflow_task_backoff);
        if backoff.is_zero() {
            return self.schedule_task(run);
        }
        // Nothing starts it earlier: not even a signal.
        self.executions[run].task = Task::Waiting;
        let key = self
            .world
            .agenda
            .put(after(self.world.now, backoff), Due::FirstTask { run });
        self.executions[run].keys.push(key);
    }

    pub(crate) fn first_task(&mut self, run: usize) {
        if self.executions[run].is_open() && self.executions[run].task == Task::Waiting {
            self.executions[run].task = Task::None;
            self.schedule_task(run);
        }
    }

    pub(super) fn complete(&mut self, run: usize, completed: i64, payload: Payload) {
        let result = result(payload.clone());
        let next = self.cron(run, result.clone(), None);
        let attributes = history::WorkflowExecutionCompletedEventAttributes {
            result,
            workflow_task_completed_event_id: completed,
            new_execution_run_id: self.run_id_of(next),
        };
        self.close(
            run,
            Attributes::WorkflowExecutionCompletedEventAttributes(attributes),
            Outcome::Completed(payload),
            next,
        );
    }

    pub(super) fn fail(&mut self, run: usize, completed: i64, failure: Failure) {
        let proto = failure_to_proto(&failure);
        let (next, state) = self.again(run, &proto);
        let attributes = history::WorkflowExecutionFailedEventAttributes {
            failure: Some(proto),
            retry_state: state.into(),
            workflow_task_completed_event_id: completed,
            new_execution_run_id: self.run_id_of(next),
        };
        self.executions[run].retry_state = state;
        self.close(
            run,
            Attributes::WorkflowExecutionFailedEventAttributes(attributes),
            Outcome::Failed(failure),
            next,
        );
    }

    pub(super) fn close_cancelled(&mut self, run: usize, completed: i64) {
        let attributes = history::WorkflowExecutionCanceledEventAttributes {
            workflow_task_completed_event_id: completed,
            details: None,
        };
        self.close(
            run,
            Attributes::WorkflowExecutionCanceledEventAttributes(attributes),
            Outcome::Cancelled,
            None,
        );
    }

    pub(crate) fn run_timed_out(&mut self, run: usize) {
        if !self.executions[run].is_open() {
            return;
        }
        let execution = &mut self.executions[run];
        if matches!(execution.task, Task::Open { .. }) {
            execution.task = Task::None;
            self.flush(run);
        }
        let failure = timeout_failure("workflow timeout", enums::TimeoutType::StartToClose);
        let (next, state) = self.again(run, &failure);
        let attributes = history::WorkflowExecutionTimedOutEventAttributes {
            retry_state: state.into(),
            new_execution_run_id: self.run_id_of(next),
        };
        self.executions[run].retry_state = state;
        self.close(
            run,
            Attributes::WorkflowExecutionTimedOutEventAttributes(attributes),
            Outcome::TimedOut,
            next,
        );
    }

    pub(super) fn continue_as_new(&mut self, run: usize, completed: i64, next: ContinueAsNew) {
        let execution = &self.executions[run];
        // Counted from when its first workflow task could begin.
        let begun = length(execution.started.first_workflow_task_backoff);
        let begun = after(execution.started_at, begun);
        let lasted = self.world.now.since(begun).unwrap_or_default();
        let wait = CONTINUE_AS_NEW_INTERVAL_MIN.as_nanos() - lasted.as_nanos();
        let wait = Duration::from_nanos(wait.max(0)).unwrap_or_default();
        let mut started = self.following(run, wait, enums::ContinueAsNewInitiator::Workflow);
        started.continued_failure = None;
        started.workflow_type = Some(common::WorkflowType {
            name: next.workflow_type,
        });
        if !next.task_queue.is_empty() {
            started.task_queue = task_queue(&next.task_queue);
        }
        started.input = payloads_to_proto(next.arguments);
        if let Some(timeout) = next.run_timeout {
            started.workflow_run_timeout = Some(duration_to_proto(timeout));
        }
        if let Some(timeout) = next.task_timeout {
            started.workflow_task_timeout = Some(duration_to_proto(timeout));
        }
        started.memo = (!next.memo.is_empty()).then(|| common::Memo {
            fields: fields(next.memo),
        });
        if !next.search_attributes.is_empty() {
            started.search_attributes = Some(common::SearchAttributes {
                indexed_fields: fields(next.search_attributes),
            });
        }
        if next.retry_policy.is_some() {
            started.retry_policy = Some(retry_policy(next.retry_policy));
        }
        started.header = (!next.headers.is_empty()).then(|| common::Header {
            fields: fields(next.headers),
        });
        let parent = self.executions[run].parent.clone();
        let new = self.begin(started.clone(), parent, None);
        let attributes = history::WorkflowExecutionContinuedAsNewEventAttributes {
            new_execution_run_id: self.executions[new].run_id.clone(),
            workflow_type: started.workflow_type,
            task_queue: started.task_queue,
            input: started.input,
            workflow_run_timeout: started.workflow_run_timeout,
            workflow_task_timeout: started.workflow_task_timeout,
            workflow_task_completed_event_id: completed,
            backoff_start_interval: Some(duration_to_proto(wait)),
            initiator: enums::ContinueAsNewInitiator::Workflow.into(),
            header: started.header,
            memo: started.memo,
            search_attributes: started.search_attributes,
            ..Default::default()
        };
        self.close(
            run,
            Attributes::WorkflowExecutionContinuedAsNewEventAttributes(attributes),
            Outcome::ContinuedAsNew,
            Some(new),
        );
    }

    /// The start of a run that follows this one.
    fn following(
        &self,
        run: usize,
        wait: Duration,
        initiator: enums::ContinueAsNewInitiator,
    ) -> Started {
        let execution = &self.executions[run];
        let mut started = execution.started.clone();
        started
            .continued_execution_run_id
            .clone_from(&execution.run_id);
        started.original_execution_run_id = String::new();
        started.initiator = initiator.into();
        started.first_workflow_task_backoff = Some(duration_to_proto(wait));
        started.attempt = 1;
        started.memo = (!execution.memo.is_empty()).then(|| common::Memo {
            fields: execution.memo.clone().into_iter().collect(),
        });
        let mut attributes = execution.search_attributes.clone();
        attributes.remove(crate::engine::VERSION_ATTRIBUTE);
        started.search_attributes = (!attributes.is_empty()).then(|| common::SearchAttributes {
            indexed_fields: attributes.into_iter().collect(),
        });
        started
    }

    /// The next run after a failure, by its retry policy or its cron schedule, and why there is none.
    fn again(&mut self, run: usize, failure: &ProtoFailure) -> (Option<usize>, enums::RetryState) {
        let execution = &self.executions[run];
        let policy = execution.started.retry_policy.clone();
        let attempt = execution.started.attempt.max(1);
        let decided = match &policy {
            Some(policy) => backoff(policy, attempt as u32, failure),
            None => Err(enums::RetryState::RetryPolicyNotSet),
        };
        let expires = execution.started.workflow_execution_expiration_time;
        let expires = expires.map(timestamp_from_proto);
        let decided = match decided {
            Ok(wait) if expires.is_some_and(|at| after(self.world.now, wait) >= at) => {
                Err(enums::RetryState::Timeout)
            }
            decided => decided,
        };
        match decided {
            Ok(wait) => {
                let mut started = self.following(run, wait, enums::ContinueAsNewInitiator::Retry);
                started.attempt = attempt + 1;
                started.continued_failure = Some(failure.clone());
                let parent = self.executions[run].parent.clone();
                let new = self.begin(started, parent, None);
                (Some(new), enums::RetryState::InProgress)
            }
            Err(state) => (self.cron(run, None, Some(failure)), state),
        }
    }

    fn cron(
        &mut self,
        run: usize,
        result: Option<common::Payloads>,
        failure: Option<&ProtoFailure>,
    ) -> Option<usize> {
        let execution = &self.executions[run];
        if execution.started.cron_schedule.is_empty() {
            return None;
        }
        let at = next_cron_time(&execution.started.cron_schedule, self.world.now)?;
        let wait = at.since(self.world.now).unwrap_or_default();
        let mut started = self.following(run, wait, enums::ContinueAsNewInitiator::CronSchedule);
        started.continued_failure = failure.cloned();
        if result.is_some() {
            started.last_completion_result = result;
        }
        let parent = self.executions[run].parent.clone();
        Some(self.begin(started, parent, None))
    }

    fn run_id_of(&self, run: Option<usize>) -> String {
        run.map(|run| self.executions[run].run_id.clone())
            .unwrap_or_default()
    }

    /// The last event; pending operations end with the run.
    pub(super) fn close(
        &mut self,
        run: usize,
        attributes: Attributes,
        outcome: Outcome,
        next: Option<usize>,
    ) {
        self.append(run, attributes);
        self.abort_updates(run);
        let execution = &mut self.executions[run];
        execution.outcome = Some(outcome);
        execution.task = Task::None;
        execution.next = next;
        execution.task_failure = None;
        let mut keys = std::mem::take(&mut execution.keys);
        for activity in std::mem::take(&mut execution.activities).into_values() {
            keys.extend(activity.keys);
            keys.extend(activity.heartbeat_key);
            keys.extend(activity.close_key);
        }
        keys.extend(std::mem::take(&mut execution.timers).into_values());
        for nexus in std::mem::take(&mut execution.nexus).into_values() {
            keys.extend(nexus.keys);
        }
        for child in std::mem::take(&mut execution.children).into_values() {
            keys.extend(child.key);
        }
        let has_parent = execution.parent.is_some();
        self.world.agenda.remove_all(keys);
        for child in std::mem::take(&mut self.executions[run].child_runs) {
            if self.executions[child].is_open() {
                self.world
                    .agenda
                    .put(self.world.now, Due::ParentClosed { child });
            }
        }
        match next {
            Some(next) => self.make_first_task_due(next),
            None => {
                if has_parent {
                    self.world
                        .agenda
                        .put(self.world.now, Due::ChildClosed { run });
                }
                self.tell_schedule(run);
            }
        }
    }
}
