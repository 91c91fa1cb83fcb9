//! The keys of a definition's schedules.

use crate::definition::table::{Choice, Field, Shape, Table, choice, field};

static INTERVAL_SHAPE: Shape = Shape::Mapping(&INTERVAL);
static CALENDAR_SHAPE: Shape = Shape::Mapping(&CALENDAR);

static OVERLAP_POLICIES: &[Choice] = &[
    choice("skip", "nothing is started"),
    choice("buffer_one", "one is started once the run has ended"),
    choice("buffer_all", "each is started in turn"),
    choice("cancel_other", "the run is cancelled, then one is started"),
    choice(
        "terminate_other",
        "the run is terminated and one is started",
    ),
    choice("allow_all", "one is started beside it"),
];

pub static SCHEDULE: Table = Table {
    name: "a schedule",
    groups: &[&[
        field(
            "cron",
            Shape::TextOrTexts,
            "Cron strings: five fields, six with a year at the end, seven with a second at the beginning too; `@daily`, `@every 90m`.",
        ),
        field(
            "intervals",
            Shape::List(&INTERVAL_SHAPE),
            "Fixed intervals, counted from 1970-01-01T00:00:00Z.",
        ),
        field(
            "calendars",
            Shape::List(&CALENDAR_SHAPE),
            "The times that match one of them.",
        ),
        field(
            "skip",
            Shape::List(&CALENDAR_SHAPE),
            "Times at which nothing is started, even if they match the other keys.",
        ),
        field(
            "time_zone",
            Shape::Text,
            "The time zone of calendars and cron strings, by its name in the IANA database.",
        )
        .default("UTC"),
        field(
            "start_time",
            Shape::Text,
            "Nothing is started before this time, in RFC 3339.",
        ),
        field(
            "end_time",
            Shape::Text,
            "Nothing is started after this time, in RFC 3339.",
        ),
        field(
            "jitter",
            Shape::Duration,
            "Each start is delayed by a random time of at most this length.",
        )
        .default("0s"),
        field(
            "overlap_policy",
            Shape::OneOf(OVERLAP_POLICIES),
            "What happens if the last run that it started is still running.",
        )
        .default("`skip`"),
        field(
            "catchup_window",
            Shape::Duration,
            "How late a missed start is still made up for after the server was down; at least 10s.",
        )
        .default("365d"),
        field(
            "pause_on_failure",
            Shape::Flag,
            "Whether it pauses when a run fails.",
        )
        .default("false"),
        field(
            "paused",
            Shape::Flag,
            "Whether it is paused when it is created; later an operator decides.",
        )
        .default("false"),
        field(
            "notes",
            Shape::Text,
            "A note for people when it is created; pausing and unpausing replace it.",
        ),
        field(
            "input",
            Shape::Data,
            "The workflow's argument, checked against the schema of its `input`.",
        ),
        field(
            "workflow_id",
            Shape::Text,
            "The workflow id, to which the server appends the time.",
        )
        .default("the schedule's id, `TYPE/NAME`"),
        field("task_queue", Shape::Text, "The task queue to start it on.")
            .default("`start.task_queue`"),
        field(
            "memo",
            Shape::Data,
            "A mapping of notes that are shown with each run, in addition to those of `start`.",
        ),
        field(
            "search_attributes",
            Shape::Data,
            "A mapping of search attributes of each run, in addition to those of `start`.",
        ),
    ]],
};

pub static INTERVAL: Table = Table {
    name: "an interval",
    groups: &[&[
        field(
            "every",
            Shape::Duration,
            "The length of the interval, in whole seconds; at least 1s.",
        )
        .required(),
        field(
            "offset",
            Shape::Duration,
            "The delay after the beginning of each interval; shorter than the interval.",
        )
        .default("0s"),
    ]],
};

const fn part(name: &'static str, meaning: &'static str, default: &'static str) -> Field {
    field(name, Shape::CalendarField, meaning).default(default)
}

pub static CALENDAR: Table = Table {
    name: "a calendar",
    groups: &[&[
        part("second", "From 0 to 59.", "0"),
        part("minute", "From 0 to 59.", "0"),
        part("hour", "From 0 to 23.", "0"),
        part("day_of_month", "From 1 to 31.", "`*`"),
        part("month", "From 1 to 12, or a name like `jan`.", "`*`"),
        part("year", "From 2000 to 2100.", "`*`"),
        part(
            "day_of_week",
            "From 0, Sunday, to 7, Sunday again, or a name like `mon`.",
            "`*`",
        ),
        field("comment", Shape::Text, "For people."),
    ]],
};
