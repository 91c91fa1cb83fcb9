//! The request of an `exec` step.

use crate::definition::table::{Choice, Shape, Table, choice, field};

pub static EXEC: Table = Table {
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
            "A text and bytes go to its standard input as they are, all else as JSON.",
        )
        .default("empty"),
        field(
            "env",
            Shape::MappingTemplate,
            "Environment variables, beside those that the worker passes on.",
        ),
        field(
            "secrets",
            Shape::MappingTemplate,
            "Environment variables from secrets: each with a secret's name.",
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
            "The exit codes of success: one, or a list.",
        )
        .default("0"),
        field(
            "heartbeats",
            Shape::OneOf(HEARTBEATS),
            "When its heartbeats are sent, where the step has a `heartbeat_timeout`.",
        )
        .default("`automatic`"),
        field("timeout", Shape::Duration, "Of one attempt.").default("`start_to_close_timeout`"),
    ]],
};

static HEARTBEATS: &[Choice] = &[
    choice("automatic", "as long as it runs"),
    choice("program", "only when it says how far it has come"),
];

static OUTPUTS: &[Choice] = &[
    choice("text", "as text, in UTF-8"),
    choice("json", "as one JSON value"),
    choice("bytes", "as bytes, in base64"),
];
