//! The kinds of step and their keys.

use super::options::{ACTIVITY_OPTIONS, CHILD_OPTIONS, RETRY_POLICY};
use crate::definition::table::{Action, Choice, Field, Shape, Table, choice, field};

static UNTIL_SHAPE: Shape = Shape::Mapping(&UNTIL);
static CASE_SHAPE: Shape = Shape::Mapping(&CASE);
static CATCH_SHAPE: Shape = Shape::Mapping(&CATCH);
static LOG_SHAPE: Shape = Shape::Mapping(&LOG);
static FAIL_SHAPE: Shape = Shape::Mapping(&FAIL);

/// Keys of every step.
pub static COMMON: &[Field] = &[
    field(
        "id",
        Shape::Identifier,
        "The name that the step's result is bound to, for the steps after it in its block and within them.",
    ),
    field(
        "description",
        Shape::TextTemplate,
        "Shown in Temporal's UI as the step's summary.",
    )
    .default("the id or the action"),
    field(
        "when",
        Shape::Expression,
        "The step is skipped unless this is true; its result is null then.",
    ),
    field(
        "compensate",
        Shape::Steps,
        "Undoes the step: run when the `saga` around it, or the workflow, fails or is cancelled after the step has completed.",
    ),
];

/// What `start` can start.
pub static STARTED: &[&str] = &["activity", "child", "http", "grpc", "exec", "nexus"];

static ARGUMENTS: &[Field] = &[
    field("input", Shape::Template, "The argument."),
    field(
        "args",
        Shape::Templates,
        "Several arguments, in the place of `input`.",
    ),
];

static INPUT: &[Field] = &[field("input", Shape::Template, "The argument.")];

static UNTIL: Table = Table {
    name: "a timer",
    groups: &[&[field(
        "until",
        Shape::TextTemplate,
        "A timestamp, or a text in RFC 3339.",
    )
    .required()]],
};

const TIMEOUT: Field =
    field("timeout", Shape::Duration, "The longest to wait.").default("without bound");

static WAIT: Table = Table {
    name: "a wait",
    groups: &[&[
        field(
            "signal",
            Shape::Text,
            "The name of a signal: its next one, in order of arrival, also one that came before.",
        ),
        field(
            "until",
            Shape::Expression,
            "A condition over `state`: waits until it holds.",
        ),
        TIMEOUT,
    ]],
};

static CASE: Table = Table {
    name: "a case",
    groups: &[&[
        field(
            "is",
            Shape::Template,
            "Taken where the value of `switch` equals this.",
        ),
        field(
            "in",
            Shape::Template,
            "Taken where the value of `switch` is among these.",
        ),
        field("when", Shape::Expression, "Taken where this is true."),
        field("do", Shape::Steps, "What to do.").required(),
    ]],
};

static ON_FAILURE: &[Choice] = &[
    choice(
        "cancel_others",
        "the first failure cancels the other branches",
    ),
    choice("wait_all", "the others finish first, then the step fails"),
];

static ON_COMPENSATION_FAILURE: &[Choice] = &[
    choice(
        "continue",
        "go on with the other compensations, then fail with the first failure",
    ),
    choice(
        "fail",
        "stop compensating and fail with the compensation's failure",
    ),
];

pub static CATCH: Table = Table {
    name: "a catch",
    groups: &[&[
        field("error", Shape::TextOrTexts, "Kinds (`application`, `timeout`, `cancelled`, `terminated`, `child_workflow`, `activity`, `nexus`) or types of failures.").default("any failure but a cancellation"),
        field("when", Shape::Expression, "Caught only where this is true; it sees the failure."),
        field("as", Shape::Identifier, "The name of the failure.").default("`error`"),
        field("do", Shape::Steps, "What to do.").required(),
    ]],
};

static CANCEL_WORKFLOW: Table = Table {
    name: "the workflow to cancel",
    groups: &[&[
        field("workflow_id", Shape::TextTemplate, "Its workflow id.").required(),
        field("run_id", Shape::TextTemplate, "Its run id.").default("the current run"),
        field("reason", Shape::TextTemplate, "Why."),
    ]],
};

static NEXUS: Table = Table {
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
            "The longest from scheduling to the end.",
        ),
        field(
            "schedule_to_start_timeout",
            Shape::Duration,
            "The longest until the operation has started.",
        ),
        field(
            "start_to_close_timeout",
            Shape::Duration,
            "The longest that a started operation may run.",
        ),
    ]],
};

static CONTINUED_VERSIONS: &[Choice] = &[
    choice("latest", "the definition that is newest then"),
    choice("pinned", "the run's own"),
];

static CONTINUE_AS_NEW: Table = Table {
    name: "continue_as_new",
    groups: &[
        ARGUMENTS,
        &[
            field("workflow", Shape::TextTemplate, "Another workflow type.").default("the same"),
            field("task_queue", Shape::TextTemplate, "Another task queue.").default("the same"),
            field(
                "workflow_run_timeout",
                Shape::Duration,
                "The longest for the new run.",
            )
            .default("the same"),
            field(
                "workflow_task_timeout",
                Shape::Duration,
                "The longest for one workflow task.",
            )
            .default("the same"),
            field(
                "retry_policy",
                Shape::Mapping(&RETRY_POLICY),
                "When and how often it is started again after it failed.",
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
                Shape::OneOf(CONTINUED_VERSIONS),
                "Which definition the new run is bound to.",
            )
            .default("`latest`"),
        ],
    ],
};

static UPSERT: Table = Table {
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

static LEVELS: &[Choice] = &[
    choice("debug", "for whoever looks for a mistake"),
    choice("info", "what happens"),
    choice("warn", "what should not happen"),
    choice("error", "what went wrong"),
];

static LOG: Table = Table {
    name: "a log line",
    groups: &[&[
        field("level", Shape::OneOf(LEVELS), "How important it is.").default("`info`"),
        field("message", Shape::TextTemplate, "What to say.").required(),
        field("fields", Shape::MappingTemplate, "Data beside the message."),
    ]],
};

static FAIL: Table = Table {
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
            "Whether retry policies leave it alone.",
        )
        .default("false"),
    ]],
};

pub static ACTIONS: &[Action] = &[
    action(
        field(
            "activity",
            Shape::TextTemplate,
            "Runs an activity of this type, on any worker in any language.",
        ),
        &[ARGUMENTS, ACTIVITY_OPTIONS],
        "what the activity returns",
    ),
    action(
        field("http", Shape::MappingTemplate, "Makes an HTTP request."),
        &[ACTIVITY_OPTIONS],
        "the response",
    ),
    action(
        field("grpc", Shape::MappingTemplate, "Makes a gRPC call."),
        &[ACTIVITY_OPTIONS],
        "the response",
    ),
    action(
        field(
            "exec",
            Shape::MappingTemplate,
            "Runs a program on the worker's machine.",
        ),
        &[ACTIVITY_OPTIONS],
        "what the program wrote",
    ),
    action(
        field(
            "timer",
            Shape::Either(&Shape::Duration, &UNTIL_SHAPE),
            "A durable timer: for a while, or until a moment.",
        ),
        &[],
        "null",
    ),
    action(
        field(
            "wait",
            Shape::Mapping(&WAIT),
            "Waits for a signal or until a condition holds.",
        ),
        &[&[
            TIMEOUT,
            field(
                "on_timeout",
                Shape::Steps,
                "What to do when the time is over.",
            )
            .default("the step fails with a timeout"),
        ]],
        "the signal's argument; true where the condition holds, false after `on_timeout`",
    ),
    action(
        field(
            "set",
            Shape::Named(&Shape::Template),
            "Assigns variables of `state`: all values are computed before any is assigned.",
        ),
        &[],
        "null",
    ),
    action(
        field("if", Shape::Expression, "Goes one way or the other."),
        &[&[
            field("then", Shape::Steps, "Where the condition is true.").required(),
            field("else", Shape::Steps, "Where it is false."),
        ]],
        "the result of the branch taken",
    ),
    action(
        field(
            "switch",
            Shape::OptionalExpression,
            "Takes the first case that matches; empty where all cases have a `when`.",
        ),
        &[&[
            field("cases", Shape::List(&CASE_SHAPE), "Tried in order.").required(),
            field("default", Shape::Steps, "Where no case matches.").default("nothing"),
        ]],
        "the result of the case taken",
    ),
    action(
        field(
            "for_each",
            Shape::Template,
            "Takes turns over a list, or over a map in its order.",
        ),
        &[&[
            field(
                "as",
                Shape::Identifier,
                "The name of a turn's item; of a map, its value.",
            )
            .default("`item`"),
            field(
                "index",
                Shape::Identifier,
                "The name of the item's position from 0; of a map, its key.",
            ),
            field(
                "concurrency",
                Shape::NumberTemplate,
                "How many turns run at one time.",
            )
            .default("1"),
            field("do", Shape::Steps, "What a turn does.").required(),
        ]],
        "the list of each turn's last result, in the order of the items",
    ),
    action(
        field(
            "while",
            Shape::Expression,
            "Repeats its steps as long as this is true.",
        ),
        &[&[field("do", Shape::Steps, "What a turn does.").required()]],
        "the last turn's last result",
    ),
    action(
        field(
            "repeat",
            Shape::Steps,
            "Runs its steps, at least once, until a condition holds.",
        ),
        &[&[field(
            "until",
            Shape::Expression,
            "Ends the loop where it is true after a turn.",
        )
        .required()]],
        "the last turn's last result",
    ),
    action(
        field("break", Shape::Nothing, "Ends the innermost loop."),
        &[],
        "null",
    ),
    action(
        field(
            "continue",
            Shape::Nothing,
            "Ends the innermost loop's turn.",
        ),
        &[],
        "null",
    ),
    action(
        field(
            "parallel",
            Shape::Named(&Shape::Steps),
            "Runs all branches at one time.",
        ),
        &[&[field(
            "on_failure",
            Shape::OneOf(ON_FAILURE),
            "What a branch's failure does.",
        )
        .default("`cancel_others`")]],
        "a map from each branch's name to its last result",
    ),
    action(
        field(
            "race",
            Shape::Named(&Shape::Steps),
            "Runs all branches; the first to finish wins, the others are cancelled.",
        ),
        &[],
        "`winner`, the branch's name, and `result`, its last result",
    ),
    action(
        field(
            "try",
            Shape::Steps,
            "Runs its steps and catches their failures.",
        ),
        &[&[
            field(
                "retry_policy",
                Shape::Mapping(&RETRY_POLICY),
                "Runs all the steps again after a failure.",
            )
            .default("none"),
            field(
                "catch",
                Shape::List(&CATCH_SHAPE),
                "Tried in order; the first that matches takes the failure.",
            ),
            field(
                "finally",
                Shape::Steps,
                "Run at the end in any case, also when cancelled.",
            ),
        ]],
        "the last result of the steps, or of the catch that took the failure",
    ),
    action(
        field(
            "saga",
            Shape::Steps,
            "Runs its steps; on failure or cancellation runs the `compensate` of those that completed, newest first.",
        ),
        &[&[field(
            "on_compensation_failure",
            Shape::OneOf(ON_COMPENSATION_FAILURE),
            "What a compensation's own failure does.",
        )
        .default("`continue`")]],
        "the last step's result",
    ),
    action(
        field("do", Shape::Steps, "A block of steps."),
        &[&[
            field(
                "timeout",
                Shape::Duration,
                "A deadline over the block: it is cancelled and fails with a timeout.",
            )
            .default("none"),
            field(
                "shield",
                Shape::Flag,
                "Whether cancellation waits until the block has ended.",
            )
            .default("false"),
        ]],
        "the last step's result",
    ),
    action(
        field("call", Shape::Text, "Runs a block of `blocks`."),
        &[INPUT],
        "what the block returns",
    ),
    action(
        field(
            "child",
            Shape::TextTemplate,
            "Runs a child workflow of this type.",
        ),
        &[ARGUMENTS, CHILD_OPTIONS],
        "what the child returns",
    ),
    action(
        field(
            "start",
            Shape::StepOf(STARTED),
            "Starts an activity, child or operation without awaiting it; the step's id is its handle.",
        ),
        &[],
        "the handle: of a child `workflow_id` and `run_id`",
    ),
    action(
        field(
            "await",
            Shape::Identifier,
            "Awaits what `start` started, by the id of that step.",
        ),
        &[],
        "its result",
    ),
    action(
        field(
            "cancel",
            Shape::Identifier,
            "Cancels what `start` started, by the id of that step.",
        ),
        &[],
        "null",
    ),
    action(
        field(
            "signal",
            Shape::TextTemplate,
            "Sends a signal of this name to another workflow.",
        ),
        &[
            &[
                field("workflow_id", Shape::TextTemplate, "The workflow's id."),
                field("run_id", Shape::TextTemplate, "The workflow's run id.")
                    .default("the current run"),
                field(
                    "handle",
                    Shape::Identifier,
                    "In the place of `workflow_id`: the id of the step that started the child.",
                ),
            ],
            ARGUMENTS,
        ],
        "null",
    ),
    action(
        field(
            "cancel_workflow",
            Shape::Mapping(&CANCEL_WORKFLOW),
            "Requests the cancellation of another workflow.",
        ),
        &[],
        "null",
    ),
    action(
        field("nexus", Shape::Mapping(&NEXUS), "Runs a Nexus operation."),
        &[],
        "what the operation returns",
    ),
    action(
        field(
            "continue_as_new",
            Shape::Mapping(&CONTINUE_AS_NEW),
            "Ends the run and goes on in a new one, with a fresh history.",
        ),
        &[],
        "none: nothing comes after it",
    ),
    action(
        field(
            "upsert",
            Shape::Mapping(&UPSERT),
            "Sets search attributes and notes of the running workflow.",
        ),
        &[],
        "null",
    ),
    action(
        field(
            "log",
            Shape::Either(&Shape::TextTemplate, &LOG_SHAPE),
            "Writes a line to the worker's log; not again on replay.",
        ),
        &[],
        "null",
    ),
    action(
        field(
            "details",
            Shape::TextTemplate,
            "Sets the run's current details in Temporal's UI, in Markdown.",
        ),
        &[],
        "null",
    ),
    action(
        field(
            "return",
            Shape::Template,
            "Ends the workflow, block or handler with this result.",
        ),
        &[],
        "none: nothing comes after it",
    ),
    action(
        field(
            "fail",
            Shape::Either(&Shape::Nothing, &FAIL_SHAPE),
            "Fails; empty in a `catch`, with the failure that was caught.",
        ),
        &[],
        "none: nothing comes after it",
    ),
];

const fn action(key: Field, options: &'static [&'static [Field]], result: &'static str) -> Action {
    Action {
        key,
        options,
        result,
    }
}
