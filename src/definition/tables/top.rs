//! The keys of a definition, outside its steps.

use super::options::{ACTIVITY_OPTIONS, CHILD_OPTIONS, LOCAL, START};
use super::schedule::SCHEDULE;
use crate::definition::table::{Field, Shape, Table, field};
use crate::limits::{EXPRESSION_COST_MAX, EXPRESSION_COST_RAISED_MAX};
use crate::words::{History, VersioningBehavior, Word};

static CONTRACT_SHAPE: Shape = Shape::Mapping(&CONTRACT);
static BLOCK_SHAPE: Shape = Shape::Mapping(&BLOCK);
static QUERY_SHAPE: Shape = Shape::Mapping(&QUERY);
static SIGNAL_SHAPE: Shape = Shape::Mapping(&SIGNAL);
static UPDATE_SHAPE: Shape = Shape::Mapping(&UPDATE);
static SCHEDULE_SHAPE: Shape = Shape::Mapping(&SCHEDULE);
static QUERY_EITHER: Shape = Shape::Either(&Shape::Template, &QUERY_SHAPE);

const VERSION: Field = field("segno", Shape::Version, "The version of the language: 1.").required();
const USE: Field = field(
    "use",
    Shape::TextOrTexts,
    "Other files, by path relative to this one, whose `types`, `activities` and `blocks` can be used here.",
);
const TYPES: Field = field(
    "types",
    Shape::Named(&Shape::Schema),
    "Schemas by name, for `$ref: \"#/types/NAME\"`.",
);
const ACTIVITIES: Field = field(
    "activities",
    Shape::Named(&CONTRACT_SHAPE),
    "Default options and schemas of activity types.",
);
const BLOCKS: Field = field(
    "blocks",
    Shape::Named(&BLOCK_SHAPE),
    "Named sequences of steps, for `call`.",
);
const DESCRIPTION: Field = field("description", Shape::Text, "What it is for, in Markdown.");
const INPUT: Field = field("input", Shape::Schema, "The schema of the one argument.");
const OUTPUT: Field = field("output", Shape::Schema, "The schema of the result.");

const ARGS: Field = field(
    "input",
    Shape::Schema,
    "The schema of its argument, `args` in its expressions.",
);
const HANDLER_STEPS: Field = field("do", Shape::Steps, "What to do.").required();
const FINISH: Field = field(
    "finish_before_completion",
    Shape::Flag,
    "Whether the run waits for the handler before it completes.",
)
.default("true");

pub static DEFINITION: Table = Table {
    name: "a definition",
    groups: &[&[
        VERSION,
        field("workflow", Shape::Text, "The workflow type.").required(),
        DESCRIPTION,
        field(
            "task_queue",
            Shape::Text,
            "The default task queue of its activities and children.",
        )
        .default("the queue that the workflow runs on"),
        USE,
        INPUT,
        OUTPUT,
        TYPES,
        ACTIVITIES,
        field(
            "defaults",
            Shape::Mapping(&DEFAULTS),
            "Default options by kind of step.",
        ),
        field(
            "state",
            Shape::Named(&Shape::Template),
            "The workflow's variables and their first values; expressions see `input`.",
        ),
        field(
            "queries",
            Shape::Named(&QUERY_EITHER),
            "Queries that it answers, while it runs and afterwards; `\"*\"` answers any other name.",
        ),
        field(
            "signals",
            Shape::Named(&SIGNAL_SHAPE),
            "Handlers of signals; `\"*\"` handles any other name.",
        ),
        field(
            "updates",
            Shape::Named(&UPDATE_SHAPE),
            "Handlers of updates; `\"*\"` handles any other name.",
        ),
        BLOCKS,
        field("steps", Shape::Steps, "What the workflow does.").required(),
        field(
            "start",
            Shape::Mapping(&START),
            "Defaults for clients that start it.",
        ),
        field(
            "schedules",
            Shape::Named(&SCHEDULE_SHAPE),
            "Schedules that start it, by name; `segno deploy` creates them.",
        ),
        field(
            "history",
            Shape::OneOf(History::CHOICES),
            "What happens when the history grows long.",
        )
        .default("`manual`"),
        field(
            "versioning_behavior",
            Shape::OneOf(VersioningBehavior::CHOICES),
            "Which workers serve its runs if workers have versions.",
        )
        .default("the worker's, with `--versioning-behavior`"),
        field(
            "expression_cost_max",
            Shape::Whole {
                least: EXPRESSION_COST_MAX,
                most: EXPRESSION_COST_RAISED_MAX,
            },
            "The highest cost of evaluating one expression. A worker serves the definition only if its `--expression-cost-max` allows as much.",
        )
        .default("100000"),
    ]],
};

pub static LIBRARY: Table = Table {
    name: "a library",
    groups: &[&[VERSION, DESCRIPTION, USE, TYPES, ACTIVITIES, BLOCKS]],
};

pub static CONTRACT: Table = Table {
    name: "an activity",
    groups: &[&[DESCRIPTION, INPUT, OUTPUT], ACTIVITY_OPTIONS, LOCAL],
};

pub static QUERY: Table = Table {
    name: "a query",
    groups: &[&[
        DESCRIPTION,
        field(
            "input",
            Shape::Schema,
            "The schema of its argument, `args` in the expression.",
        ),
        field("output", Shape::Schema, "The schema of its answer."),
        field("result", Shape::Template, "The answer.").required(),
    ]],
};

pub static SIGNAL: Table = Table {
    name: "a signal",
    groups: &[&[DESCRIPTION, ARGS, HANDLER_STEPS, FINISH]],
};

pub static UPDATE: Table = Table {
    name: "an update",
    groups: &[&[
        DESCRIPTION,
        ARGS,
        OUTPUT,
        field(
            "validate",
            Shape::Expression,
            "Rejects the update if it gives false, or a text with the reason. A rejected update is not in the history.",
        ),
        HANDLER_STEPS,
        FINISH,
    ]],
};

pub static BLOCK: Table = Table {
    name: "a block",
    groups: &[&[
        DESCRIPTION,
        field(
            "input",
            Shape::Schema,
            "The schema of its argument, `input` in its steps.",
        ),
        OUTPUT,
        field("do", Shape::Steps, "Its steps.").required(),
    ]],
};

pub static DEFAULTS: Table = Table {
    name: "defaults",
    groups: &[&[
        field(
            "activity",
            Shape::Mapping(&ACTIVITY_DEFAULTS),
            "Options of activities, including `http`, `grpc`, `exec` and `callback`.",
        ),
        field(
            "child",
            Shape::Mapping(&CHILD_DEFAULTS),
            "Of child workflows.",
        ),
    ]],
};

static ACTIVITY_DEFAULTS: Table = Table {
    name: "activity options",
    groups: &[ACTIVITY_OPTIONS, LOCAL],
};

static CHILD_DEFAULTS: Table = Table {
    name: "child workflow options",
    groups: &[CHILD_OPTIONS],
};
