//! Options that several places share.

use crate::definition::options::{activity_options, child_options};
use crate::definition::table::{Field, Shape, Table, field};
use crate::words::{
    ActivityCancellationType, ChildCancellationType, ParentClosePolicy, Word,
    WorkflowIdConflictPolicy, WorkflowIdReusePolicy,
};

pub static RETRY_POLICY: Table = Table {
    name: "a retry policy",
    groups: &[&[
        field(
            "initial_interval",
            Shape::Duration,
            "How long to wait before the first retry.",
        )
        .default("1s"),
        field(
            "backoff_coefficient",
            Shape::NumberTemplate,
            "The factor between one wait and the next; at least 1.",
        )
        .default("2"),
        field("maximum_interval", Shape::Duration, "The longest wait.")
            .default("100 times the initial interval"),
        field(
            "maximum_attempts",
            Shape::NumberTemplate,
            "The number of attempts, including the first; 0 means no limit.",
        )
        .default("0"),
        field(
            "non_retryable_error_types",
            Shape::TextOrTexts,
            "Failures of these types are not retried.",
        ),
    ]],
};

pub static PRIORITY: Table = Table {
    name: "a priority",
    groups: &[&[
        field(
            "priority_key",
            Shape::NumberTemplate,
            "From 1, the most urgent, to 5.",
        )
        .default("3"),
        field(
            "fairness_key",
            Shape::TextTemplate,
            "Tasks with different keys share the capacity of the queue.",
        ),
        field(
            "fairness_weight",
            Shape::NumberTemplate,
            "The key's share, from 0.001 to 1000.",
        )
        .default("1"),
    ]],
};

/// The shape of an option by its kind.
macro_rules! shape {
    (Name) => {
        Shape::TextTemplate
    };
    (Length) => {
        Shape::Duration
    };
    (Heartbeat) => {
        Shape::Duration
    };
    (Retries) => {
        Shape::Mapping(&RETRY_POLICY)
    };
    (Priority) => {
        Shape::Mapping(&PRIORITY)
    };
    (Flag) => {
        Shape::Flag
    };
    (Cron) => {
        Shape::TextTemplate
    };
    (Mapping) => {
        Shape::MappingTemplate
    };
    (Word $word:ident) => {
        Shape::OneOf($word::CHOICES)
    };
    (DefaultWord $word:ident) => {
        Shape::OneOf($word::CHOICES)
    };
}

macro_rules! groups {
    (
        $(#[$doc:meta])*
        $options:ident {
            $(
                $(#[$group_doc:meta])*
                $group:ident {
                    $($field:ident: [$($kind:tt)+], $meaning:literal $(, default $default:literal)?;)+
                }
            )+
        }
    ) => {
        $(
            $(#[$group_doc])*
            pub static $group: &[Field] = &[
                $(field(stringify!($field), shape!($($kind)+), $meaning)$(.default($default))?),+
            ];
        )+
    };
}

activity_options!(groups);
child_options!(groups);

pub static START: Table = Table {
    name: "start options",
    groups: &[&[
        field(
            "workflow_id",
            Shape::TextTemplate,
            "The workflow id; the expression sees `input`.",
        )
        .default("chosen by the client"),
        field("task_queue", Shape::Text, "The task queue to start it on.")
            .default("chosen by the client"),
        field(
            "workflow_execution_timeout",
            Shape::Duration,
            "The longest time for the workflow with all its retries and continuations.",
        ),
        field(
            "workflow_run_timeout",
            Shape::Duration,
            "The longest time for one run.",
        ),
        field(
            "workflow_task_timeout",
            Shape::Duration,
            "The longest time for one workflow task.",
        )
        .default("10s"),
        field(
            "retry_policy",
            Shape::Mapping(&RETRY_POLICY),
            "When and how often it is started again after a failure.",
        )
        .default("none"),
        field(
            "workflow_id_reuse_policy",
            Shape::OneOf(WorkflowIdReusePolicy::CHOICES),
            "Whether the id of a closed workflow may be used again.",
        )
        .default("`allow_duplicate`"),
        field(
            "workflow_id_conflict_policy",
            Shape::OneOf(WorkflowIdConflictPolicy::CHOICES),
            "What happens if a workflow with the id is running.",
        )
        .default("`fail`"),
        field(
            "cron_schedule",
            Shape::Text,
            "Runs it repeatedly, by this cron expression.",
        ),
        field(
            "memo",
            Shape::MappingTemplate,
            "Notes that are shown with it; expressions see `input`.",
        ),
        field(
            "search_attributes",
            Shape::MappingTemplate,
            "Its search attributes; expressions see `input`.",
        ),
    ]],
};
