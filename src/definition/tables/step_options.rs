//! The options that only one action or a few actions have.

use super::options::RETRY_POLICY;
use crate::definition::table::{Field, Shape, Table, field};
use crate::words::{ContinuedVersion, InitialVersioningBehavior, LogLevel, Word};

pub(crate) static ARGUMENTS: &[Field] = &[
    field("input", Shape::Template, "The argument."),
    field(
        "args",
        Shape::Templates,
        "Several arguments, instead of `input`.",
    ),
];

pub(crate) static INPUT: &[Field] = &[field("input", Shape::Template, "The argument.")];

pub(crate) static UNTIL: Table = Table {
    name: "a timer",
    groups: &[&[field(
        "until",
        Shape::TextTemplate,
        "A timestamp, or a text in RFC 3339.",
    )
    .required()]],
};

pub(crate) const TIMEOUT: Field =
    field("timeout", Shape::Duration, "The longest to wait.").default("without bound");

pub(crate) static WAIT: Table = Table {
    name: "a wait",
    groups: &[&[
        field(
            "signal",
            Shape::Text,
            "The name of a signal. Waits for the next one in order of arrival, possibly one that arrived earlier.",
        ),
        field(
            "until",
            Shape::Expression,
            "A condition over `state`: waits until it holds.",
        ),
        TIMEOUT,
    ]],
};

pub(crate) static CASE: Table = Table {
    name: "a case",
    groups: &[&[
        field(
            "is",
            Shape::Template,
            "Matches if the value of `switch` equals this.",
        ),
        field(
            "in",
            Shape::Template,
            "Matches if the value of `switch` is one of these.",
        ),
        field("when", Shape::Expression, "Matches if this is true."),
        field("do", Shape::Steps, "What to do.").required(),
    ]],
};

pub(crate) static CATCH: Table = Table {
    name: "a catch",
    groups: &[&[
        field("error", Shape::TextOrTexts, "Kinds (`application`, `timeout`, `cancelled`, `terminated`, `child_workflow`, `activity`, `nexus`) or types of failures.").default("any failure except a cancellation"),
        field("when", Shape::Expression, "Catches only if this is true; it sees the failure."),
        field("as", Shape::Identifier, "The name of the failure.").default("`error`"),
        field("do", Shape::Steps, "What to do.").required(),
    ]],
};

pub(crate) static CANCEL_WORKFLOW: Table = Table {
    name: "the workflow to cancel",
    groups: &[&[
        field("workflow_id", Shape::TextTemplate, "Its workflow id.").required(),
        field("run_id", Shape::TextTemplate, "Its run id.").default("the current run"),
        field("reason", Shape::TextTemplate, "Why."),
    ]],
};

pub(crate) static NEXUS: Table = Table {
    name: "a Nexus operation",
    groups: &[&[
        field(
            "endpoint",
            Shape::TextTemplate,
            "The name of the Nexus endpoint.",
        )
        .required(),
        field("service", Shape::TextTemplate, "The name of the service.").required(),
        field(
            "operation",
            Shape::TextTemplate,
            "The name of the operation.",
        )
        .required(),
        field("input", Shape::Template, "The argument."),
        field(
            "schedule_to_close_timeout",
            Shape::Duration,
            "The longest time from scheduling to the end.",
        ),
        field(
            "schedule_to_start_timeout",
            Shape::Duration,
            "The longest time until the operation has started.",
        ),
        field(
            "start_to_close_timeout",
            Shape::Duration,
            "The longest time that a started operation may run.",
        ),
    ]],
};

pub(crate) static CONTINUE_AS_NEW: Table = Table {
    name: "continue_as_new",
    groups: &[
        ARGUMENTS,
        &[
            field("workflow", Shape::TextTemplate, "Another workflow type.").default("the same"),
            field("task_queue", Shape::TextTemplate, "Another task queue.").default("the same"),
            field(
                "workflow_run_timeout",
                Shape::Duration,
                "The longest time for the new run.",
            )
            .default("the same"),
            field(
                "workflow_task_timeout",
                Shape::Duration,
                "The longest time for one workflow task.",
            )
            .default("the same"),
            field(
                "retry_policy",
                Shape::Mapping(&RETRY_POLICY),
                "When and how often it is started again after a failure.",
            )
            .default("the same"),
            field(
                "memo",
                Shape::MappingTemplate,
                "Notes that are shown with the new run.",
            )
            .default("the same"),
            field(
                "search_attributes",
                Shape::MappingTemplate,
                "Search attributes of the new run.",
            )
            .default("the same"),
            field(
                "definition",
                Shape::OneOf(ContinuedVersion::CHOICES),
                "Which definition the new run is bound to.",
            )
            .default("`latest`"),
            field(
                "initial_versioning_behavior",
                Shape::OneOf(InitialVersioningBehavior::CHOICES),
                "Which worker version the new run begins on, if workers have versions.",
            )
            .default("for a pinned run its own, else the current one"),
        ],
    ],
};

pub(crate) static UPSERT: Table = Table {
    name: "an upsert",
    groups: &[&[
        field(
            "search_attributes",
            Shape::MappingTemplate,
            "Search attributes to set; null removes one.",
        ),
        field(
            "memo",
            Shape::MappingTemplate,
            "Notes to set; null removes one.",
        ),
    ]],
};

pub(crate) static LOG: Table = Table {
    name: "a log line",
    groups: &[&[
        field(
            "level",
            Shape::OneOf(LogLevel::CHOICES),
            "How important it is.",
        )
        .default("`info`"),
        field("message", Shape::TextTemplate, "The text of the line.").required(),
        field("fields", Shape::MappingTemplate, "Data beside the message."),
    ]],
};

pub(crate) static FAIL: Table = Table {
    name: "a failure",
    groups: &[&[
        field(
            "type",
            Shape::TextTemplate,
            "The failure's type, which a `catch` or a retry policy names.",
        ),
        field("message", Shape::TextTemplate, "What went wrong."),
        field("details", Shape::Template, "Data beside the message."),
        field(
            "non_retryable",
            Shape::Flag,
            "Whether retry policies ignore it.",
        )
        .default("false"),
    ]],
};
