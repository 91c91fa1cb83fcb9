//! Options of workflows and activities in Temporal's messages.

use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1 as enums;

use super::{duration_from_proto, duration_to_proto};
use crate::words::{RetryPolicy, WorkflowIdConflictPolicy, WorkflowIdReusePolicy};

pub(crate) fn retry_policy_to_proto(policy: RetryPolicy) -> common::RetryPolicy {
    let attempts = policy.maximum_attempts.unwrap_or_default();
    common::RetryPolicy {
        initial_interval: policy.initial_interval.map(duration_to_proto),
        backoff_coefficient: policy.backoff_coefficient.unwrap_or_default(),
        maximum_interval: policy.maximum_interval.map(duration_to_proto),
        maximum_attempts: attempts.min(i32::MAX as u32) as i32,
        non_retryable_error_types: policy.non_retryable_error_types,
    }
}

/// Temporal's zeros mean unset.
pub(crate) fn retry_policy_from_proto(policy: common::RetryPolicy) -> RetryPolicy {
    let coefficient = policy.backoff_coefficient;
    RetryPolicy {
        initial_interval: policy.initial_interval.map(duration_from_proto),
        backoff_coefficient: (coefficient != 0.0).then_some(coefficient),
        maximum_interval: policy.maximum_interval.map(duration_from_proto),
        maximum_attempts: u32::try_from(policy.maximum_attempts)
            .ok()
            .filter(|attempts| *attempts > 0),
        non_retryable_error_types: policy.non_retryable_error_types,
    }
}

pub(crate) fn id_reuse_policy_to_proto(
    policy: WorkflowIdReusePolicy,
) -> enums::WorkflowIdReusePolicy {
    use enums::WorkflowIdReusePolicy as Proto;
    match policy {
        WorkflowIdReusePolicy::AllowDuplicate => Proto::AllowDuplicate,
        WorkflowIdReusePolicy::AllowDuplicateFailedOnly => Proto::AllowDuplicateFailedOnly,
        WorkflowIdReusePolicy::RejectDuplicate => Proto::RejectDuplicate,
        // Temporal has replaced it by a conflict policy, but children have no such policy yet.
        #[allow(deprecated)]
        WorkflowIdReusePolicy::TerminateIfRunning => Proto::TerminateIfRunning,
    }
}

pub(crate) fn id_conflict_policy_to_proto(
    policy: WorkflowIdConflictPolicy,
) -> enums::WorkflowIdConflictPolicy {
    use enums::WorkflowIdConflictPolicy as Proto;
    match policy {
        WorkflowIdConflictPolicy::Fail => Proto::Fail,
        WorkflowIdConflictPolicy::UseExisting => Proto::UseExisting,
        WorkflowIdConflictPolicy::TerminateExisting => Proto::TerminateExisting,
    }
}
