//! Options that several places share.

use crate::definition::table::{Choice, Field, Shape, Table, choice, field};

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
            "What each wait is multiplied with for the next; at least 1.",
        )
        .default("2"),
        field("maximum_interval", Shape::Duration, "No wait is longer.")
            .default("100 times the initial interval"),
        field(
            "maximum_attempts",
            Shape::NumberTemplate,
            "Attempts in all, the first among them; 0 is without bound.",
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
            "Tasks of one key share one queue's capacity with those of others.",
        ),
        field(
            "fairness_weight",
            Shape::NumberTemplate,
            "The key's share, from 0.001 to 1000.",
        )
        .default("1"),
    ]],
};

static ACTIVITY_CANCELLATION_TYPES: &[Choice] = &[
    choice("try_cancel", "request the cancellation and go on at once"),
    choice(
        "wait_cancellation_completed",
        "request it and wait until the activity has ended",
    ),
    choice("abandon", "request nothing, go on at once"),
];

static CHILD_CANCELLATION_TYPES: &[Choice] = &[
    choice(
        "wait_cancellation_completed",
        "request the cancellation and wait until the child has ended",
    ),
    choice(
        "wait_cancellation_requested",
        "wait until the request has reached the child",
    ),
    choice("try_cancel", "request it and go on at once"),
    choice("abandon", "request nothing, go on at once"),
];

static PARENT_CLOSE_POLICIES: &[Choice] = &[
    choice(
        "terminate",
        "the child is terminated when its parent closes",
    ),
    choice("abandon", "the child goes on"),
    choice("request_cancel", "the child is asked to cancel"),
];

static WORKFLOW_ID_REUSE_POLICIES: &[Choice] = &[
    choice(
        "allow_duplicate",
        "a closed workflow's id may be used again",
    ),
    choice(
        "allow_duplicate_failed_only",
        "only if that workflow did not complete",
    ),
    choice("reject_duplicate", "never"),
    choice(
        "terminate_if_running",
        "a running workflow with the id is terminated",
    ),
];

static WORKFLOW_ID_CONFLICT_POLICIES: &[Choice] = &[
    choice("fail", "starting fails while a workflow with the id runs"),
    choice("use_existing", "the running workflow is taken instead"),
    choice("terminate_existing", "the running workflow is terminated"),
];

pub static ACTIVITY_OPTIONS: &[Field] = &[
    field(
        "task_queue",
        Shape::TextTemplate,
        "The task queue of the workers that run it.",
    )
    .default("the workflow's"),
    field(
        "start_to_close_timeout",
        Shape::Duration,
        "The longest that one attempt may run.",
    ),
    field(
        "schedule_to_close_timeout",
        Shape::Duration,
        "The longest from scheduling to the end, all attempts and waits included.",
    ),
    field(
        "schedule_to_start_timeout",
        Shape::Duration,
        "The longest that an attempt may wait for a worker.",
    ),
    field(
        "heartbeat_timeout",
        Shape::Duration,
        "The longest between two heartbeats of an attempt.",
    ),
    field(
        "retry_policy",
        Shape::Mapping(&RETRY_POLICY),
        "When and how often a failed attempt is made again.",
    )
    .default("the server's: without bound"),
    field(
        "cancellation_type",
        Shape::OneOf(ACTIVITY_CANCELLATION_TYPES),
        "What happens to it when the step is cancelled.",
    )
    .default(
        "`try_cancel`; of a local activity, and of one that a `compensate` undoes, `wait_cancellation_completed`",
    ),
    field("activity_id", Shape::TextTemplate, "Its id in history.").default("a number"),
    field(
        "priority",
        Shape::Mapping(&PRIORITY),
        "Its place in the task queue.",
    ),
];

/// What an activity that somebody outside completes cannot be.
pub static LOCAL: &[Field] = &[field(
    "local",
    Shape::Flag,
    "Run it inside the workflow's own worker, without a task queue: for short work only.",
)
.default("false")];

pub static CHILD_OPTIONS: &[Field] = &[
    field(
        "workflow_id",
        Shape::TextTemplate,
        "The child's workflow id.",
    )
    .default("the parent's run id with a number"),
    field(
        "task_queue",
        Shape::TextTemplate,
        "The task queue of the child's workers.",
    )
    .default("the parent's"),
    field(
        "workflow_execution_timeout",
        Shape::Duration,
        "The longest for the child with all its retries and continuations.",
    ),
    field(
        "workflow_run_timeout",
        Shape::Duration,
        "The longest for one run.",
    ),
    field(
        "workflow_task_timeout",
        Shape::Duration,
        "The longest for one workflow task.",
    )
    .default("10s"),
    field(
        "retry_policy",
        Shape::Mapping(&RETRY_POLICY),
        "When and how often the child is started again after it failed.",
    )
    .default("none"),
    field(
        "parent_close_policy",
        Shape::OneOf(PARENT_CLOSE_POLICIES),
        "What happens to the child when its parent closes.",
    )
    .default("`terminate`"),
    field(
        "workflow_id_reuse_policy",
        Shape::OneOf(WORKFLOW_ID_REUSE_POLICIES),
        "Whether the id of a closed workflow may be used again.",
    )
    .default("`allow_duplicate`"),
    field(
        "cancellation_type",
        Shape::OneOf(CHILD_CANCELLATION_TYPES),
        "What happens to the child when the step is cancelled.",
    )
    .default("`wait_cancellation_completed`"),
    field(
        "cron_schedule",
        Shape::TextTemplate,
        "Run the child again and again by this cron expression.",
    ),
    field(
        "memo",
        Shape::MappingTemplate,
        "Notes that are shown with the child.",
    ),
    field(
        "search_attributes",
        Shape::MappingTemplate,
        "Search attributes of the child.",
    ),
    field(
        "priority",
        Shape::Mapping(&PRIORITY),
        "The priority of the child's tasks.",
    ),
];

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
            "The longest for the workflow with all its retries and continuations.",
        ),
        field(
            "workflow_run_timeout",
            Shape::Duration,
            "The longest for one run.",
        ),
        field(
            "workflow_task_timeout",
            Shape::Duration,
            "The longest for one workflow task.",
        )
        .default("10s"),
        field(
            "retry_policy",
            Shape::Mapping(&RETRY_POLICY),
            "When and how often it is started again after it failed.",
        )
        .default("none"),
        field(
            "workflow_id_reuse_policy",
            Shape::OneOf(WORKFLOW_ID_REUSE_POLICIES),
            "Whether the id of a closed workflow may be used again.",
        )
        .default("`allow_duplicate`"),
        field(
            "workflow_id_conflict_policy",
            Shape::OneOf(WORKFLOW_ID_CONFLICT_POLICIES),
            "What happens where a workflow with the id is running.",
        )
        .default("`fail`"),
        field(
            "cron_schedule",
            Shape::Text,
            "Run it again and again by this cron expression.",
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
