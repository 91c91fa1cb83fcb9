//! The keys of a test file, `NAME.test.yaml`.

use crate::definition::table::{Choice, Field, Shape, Table, choice, field};

static OUTCOME_SHAPE: Shape = Shape::Mapping(&OUTCOME);
static OUTCOMES: Shape = Shape::Either(&OUTCOME_LIST, &OUTCOME_SHAPE);
static OUTCOME_LIST: Shape = Shape::List(&OUTCOME_SHAPE);
static HEARTBEAT_SHAPE: Shape = Shape::Mapping(&HEARTBEAT);
static EXPECTED_FAILURE_SHAPE: Shape = Shape::Mapping(&EXPECTED_FAILURE);
static ACTION_SHAPE: Shape = Shape::Mapping(&TEST_ACTION);
static CASE_SHAPE: Shape = Shape::Mapping(&TEST_CASE);
static CALL_SHAPE: Shape = Shape::Named(&Shape::Template);

static ON_CANCEL: &[Choice] = &[
    choice("cancels", "the attempt ends as cancelled"),
    choice("ignores", "the attempt goes on to its own end"),
    choice(
        "completes",
        "the attempt ends at once with its own result or failure",
    ),
];

static STATUSES: &[Choice] = &[
    choice("running", "it waits for something that never comes"),
    choice("completed", "it returned a result"),
    choice("failed", "it failed"),
    choice("cancelled", "it ended as cancelled"),
    choice("terminated", "somebody terminated it"),
    choice("timed_out", "its execution or run timeout passed"),
];

static WORKERS: &[Choice] = &[
    choice("replayed", "the next worker has the history only"),
    choice("restored", "the next worker has the serialised state"),
];

/// What a file says for all its cases, and each case for itself.
static SURROUNDINGS: &[Field] = &[
    field("input", Shape::Template, "The workflow's argument."),
    field(
        "schedule",
        Shape::Text,
        "Instead of `input`: the definition's schedule of this name starts the runs, at its own times and with its own input, as far as `until`.",
    ),
    field(
        "start_time",
        Shape::Text,
        "When the run starts on the virtual clock, or the schedule is made, as RFC 3339 has it.",
    )
    .default("`2026-01-01T00:00:00Z`"),
    field(
        "activities",
        Shape::Named(&OUTCOMES),
        "How attempts of activities fare, by activity type: the built-in `http`, `grpc`, `exec` and `callback` too. A list is taken attempt by \
         attempt; its last entry holds for all that follow.",
    ),
    field(
        "children",
        Shape::Named(&OUTCOMES),
        "How children fare, by workflow type. Those that are not named run their own definitions.",
    ),
    field(
        "nexus",
        Shape::Named(&OUTCOMES),
        "How Nexus operations fare, by `SERVICE/OPERATION`.",
    ),
    field(
        "workflows",
        Shape::TextOrTexts,
        "Ids of other workflows that are there to take signals and cancellations.",
    ),
    field(
        "actions",
        Shape::List(&ACTION_SHAPE),
        "What clients do to the run, in order.",
    ),
    field(
        "until",
        Shape::Duration,
        "When the test looks at a run that goes on and on, on the virtual clock, counted from the start.",
    )
    .default("until the run has ended, or nothing is due"),
    field(
        "expect",
        Shape::Mapping(&EXPECTATION),
        "What has to be true in the end.",
    ),
];

pub static TEST: Table = Table {
    name: "a test file",
    groups: &[
        &[
            field("segno", Shape::Version, "The version of the language: 1.").required(),
            field("test", Shape::Text, "The workflow type that is tested.").required(),
            field("description", Shape::Text, "What is tested, in Markdown."),
            field(
                "cases",
                Shape::List(&CASE_SHAPE),
                "Tests that differ in some of what the file says: what a case says holds instead; of `activities`, `children` and `nexus` name by \
                 name, of `expect` key by key.",
            )
            .default("one case, of what the file says"),
        ],
        SURROUNDINGS,
    ],
};

pub static TEST_CASE: Table = Table {
    name: "a test case",
    groups: &[
        &[field("name", Shape::Text, "What reports call it.").required()],
        SURROUNDINGS,
    ],
};

pub static OUTCOME: Table = Table {
    name: "an outcome",
    groups: &[&[
        field(
            "when",
            Shape::Expression,
            "It holds for each attempt whose `input`, `args` or `attempt` make this true, and is not used up.",
        ),
        field(
            "result",
            Shape::Template,
            "What the attempt returns; expressions see `input`, `args` (all arguments), `attempt` and `call` (how many attempts of its type there were, \
             this one included).",
        )
        .default("null"),
        field("fail", Shape::Mapping(&MOCKED_FAILURE), "The failure that the attempt ends with."),
        field(
            "never",
            Shape::Flag,
            "The attempt does not end by itself: its timeouts do, or a client.",
        )
        .default("false"),
        field(
            "real",
            Shape::Flag,
            "The worker's own activity runs in earnest: `http`, `grpc` or `exec`, against what is on this machine. On the virtual clock it takes `after`.",
        )
        .default("false"),
        field("after", Shape::Duration, "How long the attempt takes.").default("no time"),
        field(
            "picked_up_after",
            Shape::Duration,
            "How long the attempt waits for a worker; of a Nexus operation: it is an asynchronous one that starts then.",
        )
        .default("no time"),
        field("no_worker", Shape::Flag, "No worker ever takes the attempt.").default("false"),
        field(
            "heartbeats",
            Shape::List(&HEARTBEAT_SHAPE),
            "The heartbeats that the attempt sends.",
        ),
        field(
            "on_cancel",
            Shape::OneOf(ON_CANCEL),
            "What the attempt does when it is asked to stop.",
        )
        .default("`cancels`"),
    ]],
};

pub static MOCKED_FAILURE: Table = Table {
    name: "a mocked failure",
    groups: &[&[
        field("type", Shape::Text, "Its error type.").required(),
        field("message", Shape::TextTemplate, "Its message.").default("empty"),
        field("details", Shape::Templates, "Its details."),
        field("non_retryable", Shape::Flag, "No policy retries it.").default("false"),
    ]],
};

pub static HEARTBEAT: Table = Table {
    name: "a heartbeat",
    groups: &[&[
        field(
            "after",
            Shape::Duration,
            "When, counted from the attempt's beginning.",
        )
        .required(),
        field(
            "details",
            Shape::Templates,
            "What the next attempt gets to see.",
        ),
    ]],
};

pub static TEST_ACTION: Table = Table {
    name: "an action of a test",
    groups: &[&[
        field(
            "at",
            Shape::Duration,
            "When, on the virtual clock, counted from the start. Everything that is due by then comes first.",
        ),
        field(
            "after",
            Shape::Text,
            "As soon as the step with this id has begun, or the step in the line `FILE:LINE`.",
        ),
        field("signal", Shape::Text, "Sends the signal of this name."),
        field(
            "update",
            Shape::Text,
            "Sends the update of this name, and waits for its outcome at the end of the test or for what `expect` says.",
        ),
        field("query", Shape::Text, "Asks the query of this name."),
        field(
            "cancel",
            Shape::Text,
            "Asks the workflow to end, for this reason.",
        ),
        field(
            "terminate",
            Shape::Text,
            "Ends the workflow at once, for this reason.",
        ),
        field(
            "complete_activity",
            Shape::Text,
            "Ends the attempt of the activity with this id, with `result` or `fail`.",
        ),
        field(
            "worker_dies",
            Shape::OneOf(WORKERS),
            "The worker dies, and another goes on.",
        ),
        field(
            "input",
            Shape::Template,
            "The argument of a signal, an update or a query.",
        ),
        field(
            "workflow_id",
            Shape::Text,
            "Of another workflow than the one that is tested.",
        ),
        field("result", Shape::Template, "Of `complete_activity`."),
        field(
            "fail",
            Shape::Mapping(&MOCKED_FAILURE),
            "Of `complete_activity`.",
        ),
        field(
            "expect",
            Shape::Template,
            "What the query answers, or the update's result.",
        ),
        field(
            "expect_failure",
            Shape::Either(&Shape::Text, &EXPECTED_FAILURE_SHAPE),
            "How the query or the update fails; a rejected update fails too.",
        ),
    ]],
};

pub static EXPECTED_FAILURE: Table = Table {
    name: "an expected failure",
    groups: &[&[
        field(
            "error",
            Shape::Text,
            "Its kind or type, or those of a cause, as `catch` matches them.",
        ),
        field(
            "message",
            Shape::Text,
            "A part of its message, or of a cause's.",
        ),
        field(
            "details",
            Shape::Templates,
            "Its details, or those of a cause.",
        ),
    ]],
};

pub static EXPECTATION: Table = Table {
    name: "an expectation",
    groups: &[&[
        field("result", Shape::Template, "The workflow's result."),
        field(
            "failure",
            Shape::Either(&Shape::Text, &EXPECTED_FAILURE_SHAPE),
            "The failure that the workflow ends with: its kind or type, or more of it.",
        ),
        field("status", Shape::OneOf(STATUSES), "How the last run of the workflow ended.")
            .default("`completed`, unless a `failure` is expected"),
        field(
            "state",
            Shape::Named(&Shape::Template),
            "Values of the state in the end; those that are not named may be anything.",
        ),
        field(
            "queries",
            Shape::Named(&Shape::Template),
            "Answers of queries in the end, by the queries' names.",
        ),
        field(
            "calls",
            Shape::List(&CALL_SHAPE),
            "The activities and children that were called, in order, each as `TYPE: INPUT`. Attempts of one call count once.",
        ),
        field(
            "called",
            Shape::Named(&Shape::Data),
            "How often activities and children were called, by type, attempts not counted.",
        ),
        field(
            "that",
            Shape::List(&Shape::Expression),
            "Conditions; they see `result`, `state`, `input`, `calls` (a list of `type` and `input`), `attempts` (by type), `elapsed` and `runs`.",
        ),
        field("elapsed", Shape::Duration, "The virtual time from the start to the end."),
        field(
            "starts",
            Shape::List(&Shape::Text),
            "All times of the schedule that it has started a run for, as RFC 3339 has them; one that had to wait has the time that it was due at.",
        ),
        field(
            "history",
            Shape::List(&Shape::Text),
            "Types of events of the last run that come in this order, like `TimerFired`; others may stand between.",
        ),
        field(
            "snapshot",
            Shape::Flag,
            "The run's steps and end are those of the file beside the test, in `__snapshots__`; `segno test --update-snapshots` writes it.",
        )
        .default("false"),
    ]],
};
