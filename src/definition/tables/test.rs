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
    choice("ignores", "the attempt continues to its own end"),
    choice(
        "completes",
        "the attempt ends at once with its own result or failure",
    ),
];

static STATUSES: &[Choice] = &[
    choice("running", "it waits for something that never arrives"),
    choice("completed", "it returned a result"),
    choice("failed", "it failed"),
    choice("cancelled", "it ended as cancelled"),
    choice("terminated", "a client terminated it"),
    choice("timed_out", "its execution or run timeout passed"),
];

static WORKERS: &[Choice] = &[
    choice("replayed", "the next worker has the history only"),
    choice("restored", "the next worker has the serialised state"),
];

/// What a file sets for all its cases, and each case for itself.
static SURROUNDINGS: &[Field] = &[
    field("input", Shape::Template, "The workflow's argument."),
    field(
        "schedule",
        Shape::Text,
        "Instead of `input`: the definition's schedule of this name starts the runs, at its own times and with its own input, until `until`.",
    ),
    field(
        "start_time",
        Shape::Text,
        "When the run starts or the schedule is created, on the virtual clock, in RFC 3339.",
    )
    .default("`2026-01-01T00:00:00Z`"),
    field(
        "activities",
        Shape::Named(&OUTCOMES),
        "Outcomes of activities by activity type, including the built-in `http`, `grpc`, `exec` and `callback`. A list has one outcome for each \
         attempt; its last entry applies to all further attempts.",
    ),
    field(
        "children",
        Shape::Named(&OUTCOMES),
        "Outcomes of children by workflow type. Children that are not named run their own definitions.",
    ),
    field(
        "nexus",
        Shape::Named(&OUTCOMES),
        "Outcomes of Nexus operations by `SERVICE/OPERATION`.",
    ),
    field(
        "workflows",
        Shape::TextOrTexts,
        "Ids of other workflows that exist, and accept signals and cancellations.",
    ),
    field(
        "actions",
        Shape::List(&ACTION_SHAPE),
        "What clients do to the run, in order.",
    ),
    field(
        "until",
        Shape::Duration,
        "When the test looks at a run that does not end, on the virtual clock, counted from the start.",
    )
    .default("until the run has ended, or nothing is due"),
    field(
        "expect",
        Shape::Mapping(&EXPECTATION),
        "What must be true at the end.",
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
                "Tests that share the keys of the file. A key of a case overrides that of the file; `activities`, `children` and `nexus` name by \
                 name, `expect` key by key.",
            )
            .default("one case with the file's keys"),
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
            "The outcome applies to each attempt for which this is true, and is not used up. It sees `input`, `args` and `attempt`.",
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
            "The attempt does not end by itself: only its timeouts or a client end it.",
        )
        .default("false"),
        field(
            "real",
            Shape::Flag,
            "Runs the worker's real `http`, `grpc` or `exec`, against servers and programs on this machine. On the virtual clock it takes `after`.",
        )
        .default("false"),
        field("after", Shape::Duration, "How long the attempt takes.").default("no time"),
        field(
            "picked_up_after",
            Shape::Duration,
            "How long the attempt waits for a worker. A Nexus operation with it is asynchronous and starts then.",
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
            "The details that the next attempt receives.",
        ),
    ]],
};

pub static TEST_ACTION: Table = Table {
    name: "an action of a test",
    groups: &[&[
        field(
            "at",
            Shape::Duration,
            "When, on the virtual clock, counted from the start. Everything that is due by then happens first.",
        ),
        field(
            "after",
            Shape::Text,
            "As soon as the step with this id has begun, or the step at the line `FILE:LINE`.",
        ),
        field("signal", Shape::Text, "Sends the signal of this name."),
        field(
            "update",
            Shape::Text,
            "Sends the update of this name, and waits for its outcome at the end of the test, or for the one in `expect`.",
        ),
        field("query", Shape::Text, "Sends the query of this name."),
        field(
            "cancel",
            Shape::Text,
            "Requests the workflow's cancellation, for this reason.",
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
            "The worker dies, and another takes over.",
        ),
        field(
            "input",
            Shape::Template,
            "The argument of a signal, an update or a query.",
        ),
        field(
            "workflow_id",
            Shape::Text,
            "The workflow to act on, if it is not the one under test.",
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
            "Values of the state at the end; variables that are not named may have any value.",
        ),
        field(
            "queries",
            Shape::Named(&Shape::Template),
            "Answers of queries at the end, by the queries' names.",
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
            "All times for which the schedule has started a run, in RFC 3339; a run that had to wait has the time at which it was due.",
        ),
        field(
            "history",
            Shape::List(&Shape::Text),
            "Types of events of the last run, such as `TimerFired`, that occur in this order; others may occur between them.",
        ),
        field(
            "snapshot",
            Shape::Flag,
            "The run's steps and end must equal those of the file in `__snapshots__` beside the test; `segno test --update-snapshots` writes it.",
        )
        .default("false"),
    ]],
};
