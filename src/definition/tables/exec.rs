//! The request of an `exec` step.

use crate::definition::table::{Choice, Shape, Table, choice, field};

pub(crate) static EXEC: Table = Table {
    name: "a command",
    groups: &[&[
        field(
            "command",
            Shape::TextTemplate,
            "The name under which the worker allows a program.",
        )
        .required(),
        field(
            "args",
            Shape::Templates,
            "The program's arguments: texts, numbers or booleans. No shell reads them.",
        )
        .default("none"),
        field(
            "stdin",
            Shape::Template,
            "Its standard input: a text and bytes unchanged, all other values as JSON.",
        )
        .default("empty"),
        field(
            "env",
            Shape::MappingTemplate,
            "Environment variables, in addition to those that the worker passes on.",
        ),
        field(
            "secrets",
            Shape::MappingTemplate,
            "Environment variables from secrets, each with the name of a secret.",
        ),
        field(
            "stdout",
            Shape::OneOf(OUTPUTS),
            "How its standard output is read.",
        )
        .default("`text`"),
        field(
            "success",
            Shape::Template,
            "The exit codes that mean success: one, or a list.",
        )
        .default("0"),
        field(
            "heartbeats",
            Shape::OneOf(HEARTBEATS),
            "When heartbeats are sent, if the step has a `heartbeat_timeout`.",
        )
        .default("`automatic`"),
        field("timeout", Shape::Duration, "Of one attempt.").default("`start_to_close_timeout`"),
    ]],
};

static HEARTBEATS: &[Choice] = &[
    choice("automatic", "as long as it runs"),
    choice("program", "only when it reports its progress"),
];

static OUTPUTS: &[Choice] = &[
    choice("text", "as text, in UTF-8"),
    choice("json", "as one JSON value"),
    choice("bytes", "as bytes, in base64"),
];
