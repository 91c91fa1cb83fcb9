//! Options that several places share.

use super::Parser;
use super::fields::Fields;
use crate::definition::{
    ActivityOptions, ChildOptions, PriorityOption, RetryPolicy, StartOptions, tables,
};
use crate::words::{
    ActivityCancellationType, ChildCancellationType, ParentClosePolicy, WorkflowIdConflictPolicy,
    WorkflowIdReusePolicy,
};

impl Parser {
    pub(super) fn activity_options(&mut self, fields: &Fields<'_>) -> ActivityOptions {
        ActivityOptions {
            task_queue: self.template(fields, "task_queue"),
            schedule_to_close_timeout: self.duration(fields, "schedule_to_close_timeout"),
            schedule_to_start_timeout: self.duration(fields, "schedule_to_start_timeout"),
            start_to_close_timeout: self.duration(fields, "start_to_close_timeout"),
            heartbeat_timeout: self.duration(fields, "heartbeat_timeout"),
            retry_policy: self.retry_policy(fields),
            cancellation_type: self
                .choice(fields, "cancellation_type")
                .map(|choice| choice.map(activity_cancellation_type)),
            activity_id: self.template(fields, "activity_id"),
            priority: self.priority(fields),
            local: self.flag(fields, "local"),
        }
    }

    pub(super) fn child_options(&mut self, fields: &Fields<'_>) -> ChildOptions {
        ChildOptions {
            workflow_id: self.template(fields, "workflow_id"),
            task_queue: self.template(fields, "task_queue"),
            workflow_execution_timeout: self.duration(fields, "workflow_execution_timeout"),
            workflow_run_timeout: self.duration(fields, "workflow_run_timeout"),
            workflow_task_timeout: self.duration(fields, "workflow_task_timeout"),
            retry_policy: self.retry_policy(fields),
            parent_close_policy: self
                .choice(fields, "parent_close_policy")
                .map(|choice| choice.map(parent_close_policy)),
            workflow_id_reuse_policy: self
                .choice(fields, "workflow_id_reuse_policy")
                .map(|choice| choice.map(workflow_id_reuse_policy)),
            cancellation_type: self
                .choice(fields, "cancellation_type")
                .map(|choice| choice.map(child_cancellation_type)),
            cron_schedule: self.template(fields, "cron_schedule"),
            memo: self.template(fields, "memo"),
            search_attributes: self.template(fields, "search_attributes"),
            priority: self.priority(fields),
        }
    }

    pub(super) fn start_options(&mut self, fields: &Fields<'_>) -> StartOptions {
        let Some(fields) = self.table(fields, "start", &tables::START) else {
            return StartOptions::default();
        };
        StartOptions {
            workflow_id: self.template(&fields, "workflow_id"),
            task_queue: self.text(&fields, "task_queue"),
            workflow_execution_timeout: self.duration(&fields, "workflow_execution_timeout"),
            workflow_run_timeout: self.duration(&fields, "workflow_run_timeout"),
            workflow_task_timeout: self.duration(&fields, "workflow_task_timeout"),
            retry_policy: self.retry_policy(&fields),
            workflow_id_reuse_policy: self
                .choice(&fields, "workflow_id_reuse_policy")
                .map(|choice| choice.map(workflow_id_reuse_policy)),
            workflow_id_conflict_policy: self
                .choice(&fields, "workflow_id_conflict_policy")
                .map(|choice| choice.map(workflow_id_conflict_policy)),
            cron_schedule: self.text(&fields, "cron_schedule"),
            memo: self.template(&fields, "memo"),
            search_attributes: self.template(&fields, "search_attributes"),
        }
    }

    pub(super) fn retry_policy(&mut self, fields: &Fields<'_>) -> Option<RetryPolicy> {
        let fields = self.table(fields, "retry_policy", &tables::RETRY_POLICY)?;
        Some(RetryPolicy {
            initial_interval: self.duration(&fields, "initial_interval"),
            backoff_coefficient: self.template(&fields, "backoff_coefficient"),
            maximum_interval: self.duration(&fields, "maximum_interval"),
            maximum_attempts: self.template(&fields, "maximum_attempts"),
            non_retryable_error_types: self.texts(&fields, "non_retryable_error_types"),
        })
    }

    fn priority(&mut self, fields: &Fields<'_>) -> Option<PriorityOption> {
        let fields = self.table(fields, "priority", &tables::PRIORITY)?;
        Some(PriorityOption {
            priority_key: self.template(&fields, "priority_key"),
            fairness_key: self.template(&fields, "fairness_key"),
            fairness_weight: self.template(&fields, "fairness_weight"),
        })
    }
}

// The words come from the tables: the last arm of each is the table's last word, and a test reads all of them.

fn activity_cancellation_type(word: &'static str) -> ActivityCancellationType {
    match word {
        "try_cancel" => ActivityCancellationType::TryCancel,
        "wait_cancellation_completed" => ActivityCancellationType::WaitCancellationCompleted,
        _ => ActivityCancellationType::Abandon,
    }
}

fn child_cancellation_type(word: &'static str) -> ChildCancellationType {
    match word {
        "wait_cancellation_completed" => ChildCancellationType::WaitCancellationCompleted,
        "wait_cancellation_requested" => ChildCancellationType::WaitCancellationRequested,
        "try_cancel" => ChildCancellationType::TryCancel,
        _ => ChildCancellationType::Abandon,
    }
}

fn parent_close_policy(word: &'static str) -> ParentClosePolicy {
    match word {
        "terminate" => ParentClosePolicy::Terminate,
        "abandon" => ParentClosePolicy::Abandon,
        _ => ParentClosePolicy::RequestCancel,
    }
}

fn workflow_id_reuse_policy(word: &'static str) -> WorkflowIdReusePolicy {
    match word {
        "allow_duplicate" => WorkflowIdReusePolicy::AllowDuplicate,
        "allow_duplicate_failed_only" => WorkflowIdReusePolicy::AllowDuplicateFailedOnly,
        "reject_duplicate" => WorkflowIdReusePolicy::RejectDuplicate,
        _ => WorkflowIdReusePolicy::TerminateIfRunning,
    }
}

fn workflow_id_conflict_policy(word: &'static str) -> WorkflowIdConflictPolicy {
    match word {
        "fail" => WorkflowIdConflictPolicy::Fail,
        "use_existing" => WorkflowIdConflictPolicy::UseExisting,
        _ => WorkflowIdConflictPolicy::TerminateExisting,
    }
}
