//! The request of a `callback` step.

use super::exec::EXEC;
use super::http::HTTP;
use crate::definition::table::{Shape, Table, field};

pub(crate) static CALLBACK: Table = Table {
    name: "a callback",
    groups: &[&[
        field(
            "http",
            Shape::Request(&HTTP),
            "The request that hands the task token to an HTTP endpoint, as in the step `http`.",
        ),
        field(
            "exec",
            Shape::Request(&EXEC),
            "The program that receives the task token instead, as in the step `exec`.",
        ),
    ]],
};
