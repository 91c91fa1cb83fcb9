//! The sets extension library: lists used as sets.

use super::{Call, Row, Section, list, row};
use crate::expression::context::{Failure, ListCosts, Operand};
use crate::expression::equals::{Values, are_few};
use crate::expression::operators::within;
use crate::value::Value;

pub(crate) const SECTION: Section = Section {
    title: "Sets",
    extension: false,
    about: "Lists as sets: repetitions and the order of items do not matter.",
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

/// A list in which items are looked up.
enum Set<'v> {
    Few(&'v Value),
    Many(Values<'v>),
}

impl<'v> Set<'v> {
    /// `wanted`: how many items will be looked up.
    fn new(call: &mut Call, of: &'v Value, wanted: usize) -> Result<Self, Failure> {
        let items = list(of)?;
        let is_pairwise = call.budget.list_costs == ListCosts::Pairwise;
        Ok(
            match is_pairwise || are_few(wanted) || are_few(items.len()) {
                true => Set::Few(of),
                false => Set::Many(Values::of(items, &mut call.budget)?),
            },
        )
    }

    fn has(&self, call: &mut Call, item: &Value) -> Result<bool, Failure> {
        match self {
            Set::Few(of) => within(item, of, &mut call.budget),
            Set::Many(values) => values.has(item, &mut call.budget),
        }
    }
}

fn all_in(call: &mut Call, items: &[Value], of: &Value) -> Result<bool, Failure> {
    let set = Set::new(call, of, items.len())?;
    for item in items {
        if !set.has(call, item)? {
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
    let items = list(&arguments[0])?;
    let set = Set::new(call, &arguments[1], items.len())?;
    for item in items {
        if set.has(call, item)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}
