//! The sets extension library: lists seen as sets.

use super::{Call, Row, Section, list, row};
use crate::expression::context::{Failure, Operand};
use crate::expression::operators::within;
use crate::value::Value;

pub const SECTION: Section = Section {
    title: "Sets",
    extension: false,
    about: "Lists as sets: how often an item comes and in which order does not count.",
    rows: ROWS,
};

const ROWS: &[Row] = &[
    row(
        "sets.contains(list(A), list(A)) -> bool",
        contains,
        "Whether the first has every item of the second.",
        &[
            "sets.contains([1, 2, 3], [2, 3.0])",
            "sets.contains([], [])",
        ],
    ),
    row(
        "sets.equivalent(list(A), list(A)) -> bool",
        equivalent,
        "Whether each has every item of the other.",
        &["sets.equivalent([1], [1, 1u])"],
    ),
    row(
        "sets.intersects(list(A), list(A)) -> bool",
        intersects,
        "Whether they have an item in common.",
        &[
            "sets.intersects([1, 2], [2, 3])",
            "!sets.intersects([1], [])",
        ],
    ),
];

fn all_in(call: &mut Call, items: &[Value], of: &Value) -> Result<bool, Failure> {
    for item in items {
        if !within(item, of, &mut call.budget)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn contains(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    all_in(call, list(&arguments[1])?, &arguments[0]).map(Value::Bool)
}

fn equivalent(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let one = all_in(call, list(&arguments[0])?, &arguments[1])?;
    let other = one && all_in(call, list(&arguments[1])?, &arguments[0])?;
    Ok(Value::Bool(other))
}

fn intersects(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    for item in list(&arguments[0])? {
        if within(item, &arguments[1], &mut call.budget)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}
