//! Child workflows: started by their parents, simulated or mocked, and what happens to one when the other closes
//! (temporal server 1.32.0, service/history/transfer_queue_active_task_executor.go).

use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1 as enums;
use temporalio_protos::temporal::api::history::v1 as history;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;

use super::super::agenda::{Due, after};
use super::super::outside::{ChildTask, End, OnCancel};
use super::super::retry::{retry_policy, run_timeout};
use super::Server;
use super::commands::fields;
use super::event::payloads;
use super::execution::{Child, Outcome, Parent, Status};
use crate::engine::command::StartChild;
use crate::engine::failure::Failure;
use crate::payload::{
    duration_to_proto, failure_to_proto, id_reuse_policy_to_proto, payload_from_proto,
    payloads_to_proto, value_to_proto,
};
use crate::words::ParentClosePolicy;

impl Server {
    pub(super) fn initiate_child(
        &mut self,
        run: usize,
        completed: i64,
        start: StartChild,
        summary: Option<String>,
    ) {
        let close_policy = match start.parent_close_policy {
            ParentClosePolicy::Terminate => enums::ParentClosePolicy::Terminate,
            ParentClosePolicy::Abandon => enums::ParentClosePolicy::Abandon,
            ParentClosePolicy::RequestCancel => enums::ParentClosePolicy::RequestCancel,
        };
        let priority = start.priority.map(|priority| common::Priority {
            priority_key: priority.priority_key,
            fairness_key: priority.fairness_key,
            fairness_weight: priority.fairness_weight,
        });
        let own = &self.executions[run].started;
        let initiated = history::StartChildWorkflowExecutionInitiatedEventAttributes {
            namespace: self.namespace.clone(),
            workflow_id: start.workflow_id,
            workflow_type: Some(common::WorkflowType {
                name: start.workflow_type,
            }),
            task_queue: match start.task_queue.is_empty() {
                true => own.task_queue.clone(),
                false => super::event::task_queue(&start.task_queue),
            },
            input: payloads_to_proto(start.input),
            workflow_execution_timeout: Some(duration_to_proto(
                start.execution_timeout.unwrap_or_default(),
            )),
            workflow_run_timeout: Some(duration_to_proto(
                run_timeout(start.run_timeout, start.execution_timeout).unwrap_or_default(),
            )),
            workflow_task_timeout: start
                .task_timeout
                .map(duration_to_proto)
                .or(own.workflow_task_timeout),
            parent_close_policy: close_policy.into(),
            workflow_task_completed_event_id: completed,
            workflow_id_reuse_policy: id_reuse_policy_to_proto(start.workflow_id_reuse_policy)
                .into(),
            retry_policy: start.retry_policy.map(|policy| retry_policy(Some(policy))),
            cron_schedule: start.cron_schedule,
            memo: (!start.memo.is_empty()).then(|| common::Memo {
                fields: fields(start.memo),
            }),
            search_attributes: (!start.search_attributes.is_empty()).then(|| {
                common::SearchAttributes {
                    indexed_fields: fields(start.search_attributes),
                }
            }),
            priority,
            ..Default::default()
        };
        let attributes =
            Attributes::StartChildWorkflowExecutionInitiatedEventAttributes(initiated.clone());
        let event_id = self.append_with(run, attributes, summary.clone());
        self.executions[run].children.insert(
            event_id,
            Child {
                initiated,
                summary,
                started_event_id: 0,
                run_id: String::new(),
                mock: None,
                is_cancelled: false,
                key: None,
            },
        );
        self.world
            .agenda
            .put(self.world.now, Due::StartChild { run, event_id });
    }

    pub(crate) fn start_child(&mut self, run: usize, event_id: i64) {
        let execution = &self.executions[run];
        let Some(child) = execution.children.get(&event_id) else {
            // Its parent closed in the same workflow task.
            return;
        };
        let initiated = child.initiated.clone();
        let workflow_type = initiated.workflow_type.clone().unwrap_or_default().name;
        let input = initiated.input.clone().unwrap_or_default().payloads;
        let task = ChildTask {
            workflow_type,
            input: input.into_iter().map(payload_from_proto).collect(),
        };
        let is_free = self.frees_id(&initiated.workflow_id, initiated.workflow_id_reuse_policy());
        if !is_free {
            return self.child_not_started(run, event_id, initiated);
        }
        let run_id = match self.world.outside.child(&task) {
            Some(plan) => {
                let run_id = self.unique_id();
                if let End::After(length, _) = &plan.end {
                    let due = Due::MockedChild { run, event_id };
                    let key = self.world.agenda.put(after(self.world.now, *length), due);
                    if let Some(child) = self.executions[run].children.get_mut(&event_id) {
                        child.key = Some(key);
                    }
                }
                if let Some(child) = self.executions[run].children.get_mut(&event_id) {
                    child.mock = Some(plan);
                }
                run_id
            }
            None => {
                let child = self.begin_child(run, event_id, &initiated);
                self.executions[child].run_id.clone()
            }
        };
        if let Some(child) = self.executions[run].children.get_mut(&event_id) {
            child.run_id.clone_from(&run_id);
        }
        let attributes = history::ChildWorkflowExecutionStartedEventAttributes {
            namespace: self.namespace.clone(),
            initiated_event_id: event_id,
            workflow_execution: Some(common::WorkflowExecution {
                workflow_id: initiated.workflow_id,
                run_id,
            }),
            workflow_type: initiated.workflow_type,
            ..Default::default()
        };
        self.arrive(
            run,
            Attributes::ChildWorkflowExecutionStartedEventAttributes(attributes),
        );
    }

    fn child_not_started(
        &mut self,
        run: usize,
        event_id: i64,
        initiated: history::StartChildWorkflowExecutionInitiatedEventAttributes,
    ) {
        self.executions[run].children.remove(&event_id);
        let attributes = history::StartChildWorkflowExecutionFailedEventAttributes {
            namespace: initiated.namespace,
            workflow_id: initiated.workflow_id,
            workflow_type: initiated.workflow_type,
            cause: enums::StartChildWorkflowExecutionFailedCause::WorkflowAlreadyExists.into(),
            initiated_event_id: event_id,
            workflow_task_completed_event_id: initiated.workflow_task_completed_event_id,
            ..Default::default()
        };
        self.arrive(
            run,
            Attributes::StartChildWorkflowExecutionFailedEventAttributes(attributes),
        );
    }

    /// Whether a workflow may be started under this id; a running one may be terminated for it.
    #[expect(deprecated, reason = "the server still takes the old policy")]
    pub(super) fn frees_id(
        &mut self,
        workflow_id: &str,
        policy: enums::WorkflowIdReusePolicy,
    ) -> bool {
        use enums::WorkflowIdReusePolicy as Policy;
        let Some(current) = self.current.get(workflow_id).copied() else {
            return true;
        };
        match (self.executions[current].status(), policy) {
            (Status::Running, Policy::TerminateIfRunning) => {
                self.terminate_run(current, "TerminateIfRunning WorkflowIdReusePolicy");
                true
            }
            (Status::Running, _) | (_, Policy::RejectDuplicate) => false,
            (status, Policy::AllowDuplicateFailedOnly) => status != Status::Completed,
            (_, Policy::AllowDuplicate | Policy::TerminateIfRunning | Policy::Unspecified) => true,
        }
    }

    fn begin_child(
        &mut self,
        run: usize,
        event_id: i64,
        initiated: &history::StartChildWorkflowExecutionInitiatedEventAttributes,
    ) -> usize {
        let parent = &self.executions[run];
        let root = parent
            .started
            .root_workflow_execution
            .clone()
            .unwrap_or_else(|| parent.execution());
        let started = history::WorkflowExecutionStartedEventAttributes {
            workflow_type: initiated.workflow_type.clone(),
            parent_workflow_namespace: self.namespace.clone(),
            parent_workflow_execution: Some(parent.execution()),
            parent_initiated_event_id: event_id,
            root_workflow_execution: Some(root),
            task_queue: initiated.task_queue.clone(),
            input: initiated.input.clone(),
            workflow_execution_timeout: initiated.workflow_execution_timeout,
            workflow_run_timeout: initiated.workflow_run_timeout,
            workflow_task_timeout: initiated.workflow_task_timeout,
            retry_policy: initiated.retry_policy.clone(),
            cron_schedule: initiated.cron_schedule.clone(),
            memo: initiated.memo.clone(),
            search_attributes: initiated.search_attributes.clone(),
            priority: initiated.priority.clone(),
            workflow_id: initiated.workflow_id.clone(),
            ..Default::default()
        };
        let close_policy = match initiated.parent_close_policy() {
            enums::ParentClosePolicy::Abandon => ParentClosePolicy::Abandon,
            enums::ParentClosePolicy::RequestCancel => ParentClosePolicy::RequestCancel,
            enums::ParentClosePolicy::Terminate | enums::ParentClosePolicy::Unspecified => {
                ParentClosePolicy::Terminate
            }
        };
        let parent = Parent {
            run,
            initiated_event_id: event_id,
            close_policy,
        };
        let summary = self.executions[run]
            .children
            .get(&event_id)
            .and_then(|child| child.summary.clone());
        self.begin_first(started, Some(parent), summary, None)
    }

    pub(crate) fn mocked_child_ended(&mut self, run: usize, event_id: i64) {
        let child = self.executions[run].children.get(&event_id);
        let plan = child.and_then(|child| child.mock.as_ref());
        let is_cancelled = child.is_some_and(|child| child.is_cancelled);
        let result = match plan.map(|plan| (&plan.end, &plan.on_cancel)) {
            Some((_, OnCancel::Ends { result, .. })) if is_cancelled => result.clone(),
            Some((_, OnCancel::Cancels { .. })) if is_cancelled => Err(Failure::cancelled("")),
            Some((End::After(_, result), _)) => result.clone(),
            Some((End::Never | End::FromOutside, _)) | None => {
                return self.no_child(run, event_id);
            }
        };
        let outcome = match result {
            Ok(value) => match value_to_proto(&value) {
                Ok(payload) => Outcome::Completed(payload_from_proto(payload)),
                Err(error) => Outcome::Failed(Failure::application("", error.to_string())),
            },
            Err(failure) if failure.is_cancelled() => Outcome::Cancelled,
            Err(failure) => Outcome::Failed(failure),
        };
        self.child_ended(
            run,
            event_id,
            &outcome,
            enums::RetryState::RetryPolicyNotSet,
        );
    }

    /// Requests the cancellation of a mocked child.
    pub(super) fn cancel_mocked_child(&mut self, run: usize, event_id: i64) {
        let now = self.world.now;
        let Some(child) = self.executions[run].children.get_mut(&event_id) else {
            return self.no_child(run, event_id);
        };
        let Some(plan) = child.mock.as_ref().filter(|_| !child.is_cancelled) else {
            // It was already requested.
            return;
        };
        let length = match &plan.on_cancel {
            OnCancel::Ignore => return,
            OnCancel::Cancels { after, .. } | OnCancel::Ends { after, .. } => *after,
        };
        child.is_cancelled = true;
        let old = child.key.take();
        self.world.agenda.remove_all(old);
        let due = Due::MockedChild { run, event_id };
        let key = self.world.agenda.put(after(now, length), due);
        if let Some(child) = self.executions[run].children.get_mut(&event_id) {
            child.key = Some(key);
        }
    }

    /// Notifies the parent of a run that closed for good.
    pub(crate) fn child_closed(&mut self, run: usize) {
        let execution = &self.executions[run];
        let (Some(parent), Some(outcome)) = (execution.parent.clone(), execution.outcome.clone())
        else {
            return self.broken(
                run,
                "an open run, or one without a parent, is reported as a closed child",
            );
        };
        let state = execution.retry_state;
        let run_id = execution.run_id.clone();
        // The parent closed first.
        if !self.executions[parent.run].is_open() {
            return;
        }
        if let Some(child) = self.executions[parent.run]
            .children
            .get_mut(&parent.initiated_event_id)
        {
            child.run_id = run_id;
        }
        self.child_ended(parent.run, parent.initiated_event_id, &outcome, state);
    }

    fn no_child(&mut self, run: usize, event_id: i64) {
        self.broken(run, format!("no child of event {event_id} is pending"));
    }

    fn child_ended(
        &mut self,
        run: usize,
        event_id: i64,
        outcome: &Outcome,
        retry_state: enums::RetryState,
    ) {
        let Some(child) = self.executions[run].children.remove(&event_id) else {
            return self.no_child(run, event_id);
        };
        let namespace = self.namespace.clone();
        let workflow_execution = Some(common::WorkflowExecution {
            workflow_id: child.initiated.workflow_id,
            run_id: child.run_id,
        });
        let workflow_type = child.initiated.workflow_type;
        macro_rules! ended {
            ($attributes:ident { $($field:ident: $value:expr),* }) => {
                Attributes::$attributes(history::$attributes {
                    namespace,
                    workflow_execution,
                    workflow_type,
                    initiated_event_id: event_id,
                    started_event_id: child.started_event_id,
                    $($field: $value,)*
                    ..Default::default()
                })
            };
        }
        let attributes = match outcome {
            Outcome::Completed(payload) => {
                let result = payloads(vec![crate::payload::payload_to_proto(payload.clone())]);
                ended!(ChildWorkflowExecutionCompletedEventAttributes { result: result })
            }
            Outcome::Failed(failure) => ended!(ChildWorkflowExecutionFailedEventAttributes {
                failure: Some(failure_to_proto(failure)),
                retry_state: retry_state.into()
            }),
            Outcome::TimedOut => ended!(ChildWorkflowExecutionTimedOutEventAttributes {
                retry_state: retry_state.into()
            }),
            Outcome::Terminated { .. } => {
                ended!(ChildWorkflowExecutionTerminatedEventAttributes {})
            }
            Outcome::Cancelled | Outcome::ContinuedAsNew => {
                ended!(ChildWorkflowExecutionCanceledEventAttributes {})
            }
        };
        self.arrive(run, attributes);
    }

    /// Applies the parent close policy to a child.
    pub(crate) fn parent_closed(&mut self, child: usize) {
        let policy = self.executions[child]
            .parent
            .as_ref()
            .map(|p| p.close_policy);
        let workflow_id = self.executions[child].workflow_id.clone();
        let Some(current) = self.current.get(&workflow_id).copied() else {
            return self.broken(child, "its workflow has no run");
        };
        // It closed first.
        if !self.executions[current].is_open() {
            return;
        }
        match policy {
            Some(ParentClosePolicy::Terminate) => {
                self.terminate_run(current, "by parent close policy");
            }
            Some(ParentClosePolicy::RequestCancel) => self.request_cancel(current, "", None),
            Some(ParentClosePolicy::Abandon) => {}
            None => self.broken(child, "a run without a parent hears of its end"),
        }
    }
}
