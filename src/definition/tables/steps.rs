//! The kinds of step and their keys.

use super::callback::CALLBACK;
use super::exec::EXEC;
use super::grpc::GRPC;
use super::http::HTTP;
use super::options::{ACTIVITY_OPTIONS, CHILD_OPTIONS, LOCAL, RETRY_POLICY};
use super::step_options::{
    ARGUMENTS, CANCEL_WORKFLOW, CASE, CATCH, CONTINUE_AS_NEW, FAIL, INPUT, LOG, NEXUS, TIMEOUT,
    UNTIL, UPSERT, WAIT,
};
use crate::definition::Kind;
use crate::definition::table::{Action, Field, Shape, field};
use crate::words::{CompensateOn, OnCompensationFailure, OnFailure, Word};

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
        "Steps that undo this one. They run if the `saga` around it, or the workflow, fails or is cancelled after the step has completed.",
    ),
    field(
        "compensate_on",
        Shape::OneOf(CompensateOn::CHOICES),
        "Which steps `compensate` undoes.",
    )
    .default("`completed`"),
];

/// What `start` can start.
pub static STARTED: &[Kind] = &[
    Kind::Activity,
    Kind::Callback,
    Kind::Child,
    Kind::Exec,
    Kind::Grpc,
    Kind::Http,
    Kind::Nexus,
];

/// Exactly the kinds whose [`Kind::facts`] allow it.
const _: () = {
    let (mut place, mut count) = (0, 0);
    while place < ACTIONS.len() {
        count += ACTIONS[place].kind.facts().can_be_started as usize;
        place += 1;
    }
    assert!(count == STARTED.len());
    while count > 0 {
        count -= 1;
        assert!(STARTED[count].facts().can_be_started);
    }
};

pub static ACTIONS: &[Action] = &[
    action(
        Kind::Activity,
        field(
            "activity",
            Shape::TextTemplate,
            "Runs an activity of this type, on any worker in any language.",
        ),
        &[ARGUMENTS, ACTIVITY_OPTIONS, LOCAL],
        "what the activity returns",
    ),
    action(
        Kind::Http,
        field("http", Shape::Request(&HTTP), "Makes an HTTP request."),
        &[ACTIVITY_OPTIONS, LOCAL],
        "the response: `{ status, headers, body }`",
    ),
    action(
        Kind::Exec,
        field(
            "exec",
            Shape::Request(&EXEC),
            "Runs a program on the worker's machine.",
        ),
        &[ACTIVITY_OPTIONS, LOCAL],
        "the program's end: `{ exit_code, stdout, stderr }`",
    ),
    action(
        Kind::Grpc,
        field("grpc", Shape::Request(&GRPC), "Makes a unary gRPC call."),
        &[ACTIVITY_OPTIONS, LOCAL],
        "the answer's message, in the JSON form of Protocol Buffers",
    ),
    action(
        Kind::Callback,
        field(
            "callback",
            Shape::Request(&CALLBACK),
            "Hands an activity's task token to an endpoint or a program, which completes it later.",
        ),
        &[ACTIVITY_OPTIONS],
        "what it is completed with",
    ),
    action(
        Kind::Timer,
        field(
            "timer",
            Shape::Either(&Shape::Duration, &UNTIL_SHAPE),
            "A durable timer: for a while, or until a moment.",
        ),
        &[],
        "null",
    ),
    action(
        Kind::Wait,
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
                "What to do when the timeout has passed.",
            )
            .default("the step fails with a timeout"),
        ]],
        "the signal's argument, or the result of `on_timeout`; with a condition true, or false after `on_timeout`",
    ),
    action(
        Kind::Set,
        field(
            "set",
            Shape::Named(&Shape::Template),
            "Assigns variables of `state`: all values are computed before any is assigned.",
        ),
        &[],
        "null",
    ),
    action(
        Kind::If,
        field("if", Shape::Expression, "Runs one of two branches."),
        &[&[
            field(
                "then",
                Shape::Steps,
                "Steps that run if the condition is true.",
            )
            .required(),
            field("else", Shape::Steps, "Where it is false."),
        ]],
        "the result of the branch taken",
    ),
    action(
        Kind::Switch,
        field(
            "switch",
            Shape::OptionalExpression,
            "Runs the first case that matches; empty if all cases have a `when`.",
        ),
        &[&[
            field("cases", Shape::List(&CASE_SHAPE), "Tried in order.").required(),
            field(
                "default",
                Shape::Steps,
                "Steps that run if no case matches.",
            )
            .default("nothing"),
        ]],
        "the result of the case taken",
    ),
    action(
        Kind::ForEach,
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
                "How many turns run at a time.",
            )
            .default("1"),
            field("do", Shape::Steps, "What a turn does.").required(),
        ]],
        "the list of each turn's last result, in the order of the items",
    ),
    action(
        Kind::While,
        field(
            "while",
            Shape::Expression,
            "Repeats its steps as long as this is true.",
        ),
        &[&[field("do", Shape::Steps, "What a turn does.").required()]],
        "the last turn's last result",
    ),
    action(
        Kind::Repeat,
        field(
            "repeat",
            Shape::Steps,
            "Runs its steps, at least once, until a condition holds.",
        ),
        &[&[field(
            "until",
            Shape::Expression,
            "Ends the loop if it is true after a turn.",
        )
        .required()]],
        "the last turn's last result",
    ),
    action(
        Kind::Break,
        field("break", Shape::Nothing, "Ends the innermost loop."),
        &[],
        "null",
    ),
    action(
        Kind::Continue,
        field(
            "continue",
            Shape::Nothing,
            "Ends the innermost loop's turn.",
        ),
        &[],
        "null",
    ),
    action(
        Kind::Parallel,
        field(
            "parallel",
            Shape::Named(&Shape::Steps),
            "Runs all branches at the same time.",
        ),
        &[&[field(
            "on_failure",
            Shape::OneOf(OnFailure::CHOICES),
            "What a branch's failure does.",
        )
        .default("`cancel_others`")]],
        "a map from each branch's name to its last result",
    ),
    action(
        Kind::Race,
        field(
            "race",
            Shape::Named(&Shape::Steps),
            "Runs all branches; the first to finish wins, the others are cancelled.",
        ),
        &[],
        "`winner`, the branch's name, and `result`, its last result",
    ),
    action(
        Kind::Try,
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
                "Tried in order; the first that matches catches the failure.",
            ),
            field(
                "finally",
                Shape::Steps,
                "Runs at the end in any case, also after a cancellation.",
            ),
        ]],
        "the last result of the steps, or of the catch that caught the failure",
    ),
    action(
        Kind::Saga,
        field(
            "saga",
            Shape::Steps,
            "Runs its steps; on failure or cancellation runs the `compensate` of those that completed, newest first.",
        ),
        &[&[field(
            "on_compensation_failure",
            Shape::OneOf(OnCompensationFailure::CHOICES),
            "What happens if a compensation fails.",
        )
        .default("`continue`")]],
        "the last step's result",
    ),
    action(
        Kind::Do,
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
        Kind::Call,
        field("call", Shape::Text, "Runs a block of `blocks`."),
        &[INPUT],
        "what the block returns",
    ),
    action(
        Kind::Child,
        field(
            "child",
            Shape::TextTemplate,
            "Runs a child workflow of this type.",
        ),
        &[ARGUMENTS, CHILD_OPTIONS],
        "what the child returns",
    ),
    action(
        Kind::Start,
        field(
            "start",
            Shape::StepOf(STARTED),
            "Starts an activity, child or operation without awaiting it; the step's id is its handle.",
        ),
        &[],
        "the handle: of a child `workflow_id` and `run_id`",
    ),
    action(
        Kind::Await,
        field(
            "await",
            Shape::Identifier,
            "Awaits what `start` started, by the id of that step.",
        ),
        &[],
        "the operation's result",
    ),
    action(
        Kind::Cancel,
        field(
            "cancel",
            Shape::Identifier,
            "Cancels what `start` started, by the id of that step.",
        ),
        &[],
        "null",
    ),
    action(
        Kind::Signal,
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
                    "Instead of `workflow_id`: the id of the step that started the child.",
                ),
            ],
            ARGUMENTS,
        ],
        "null",
    ),
    action(
        Kind::CancelWorkflow,
        field(
            "cancel_workflow",
            Shape::Mapping(&CANCEL_WORKFLOW),
            "Requests the cancellation of another workflow.",
        ),
        &[],
        "null",
    ),
    action(
        Kind::Nexus,
        field("nexus", Shape::Mapping(&NEXUS), "Runs a Nexus operation."),
        &[],
        "what the operation returns",
    ),
    action(
        Kind::ContinueAsNew,
        field(
            "continue_as_new",
            Shape::Mapping(&CONTINUE_AS_NEW),
            "Ends the run and continues in a new one, with an empty history.",
        ),
        &[],
        "none: nothing after it runs",
    ),
    action(
        Kind::Upsert,
        field(
            "upsert",
            Shape::Mapping(&UPSERT),
            "Sets search attributes and notes of the running workflow.",
        ),
        &[],
        "null",
    ),
    action(
        Kind::Log,
        field(
            "log",
            Shape::Either(&Shape::TextTemplate, &LOG_SHAPE),
            "Writes a line to the worker's log; not again on replay.",
        ),
        &[],
        "null",
    ),
    action(
        Kind::Details,
        field(
            "details",
            Shape::TextTemplate,
            "Sets the run's current details in Temporal's UI, in Markdown.",
        ),
        &[],
        "null",
    ),
    action(
        Kind::Return,
        field(
            "return",
            Shape::Template,
            "Ends the workflow, block or handler with this result.",
        ),
        &[],
        "none: nothing after it runs",
    ),
    action(
        Kind::Fail,
        field(
            "fail",
            Shape::Either(&Shape::Nothing, &FAIL_SHAPE),
            "Fails; empty in a `catch`, with the failure that was caught.",
        ),
        &[],
        "none: nothing after it runs",
    ),
];

const fn action(
    kind: Kind,
    key: Field,
    options: &'static [&'static [Field]],
    result: &'static str,
) -> Action {
    Action {
        kind,
        key,
        options,
        result,
    }
}
