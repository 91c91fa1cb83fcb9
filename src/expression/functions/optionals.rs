//! CEL's optionals: values that may be missing, without errors.

use super::{Call, Row, Section, row, unexpected};
use crate::expression::context::{Failure, Operand};
use crate::expression::operators::some;
use crate::value::Value;

pub(crate) const SECTION: Section = Section {
    title: "Optionals",
    extension: false,
    about: "`a.?b` and `a[?i]` give an optional, and every selection after them stays optional. An optional entry, `{?'k': o}` or `[?o]`, is omitted if it has no value. \
            The macros `o.optMap(x, expression)` and `o.optFlatMap(x, optional)` compute with the value if there is one.",
    rows: ROWS,
};

const ROWS: &[Row] = &[
    row(
        "optional.of(A) -> optional(A)",
        of,
        "An optional with the value.",
        &["optional.of(1).hasValue()"],
    ),
    row(
        "optional.none() -> optional(nothing)",
        none,
        "An optional without a value.",
        &["!optional.none().hasValue()"],
    ),
    row(
        "optional.ofNonZeroValue(A) -> optional(A)",
        of_non_zero,
        "With the value, unless it is null, false, zero or empty.",
        &["optional.ofNonZeroValue('') == optional.none()"],
    ),
    row(
        "optional.unwrap(list(optional(A))) -> list(A)",
        unwrap,
        "The values of those that have one.",
        &["optional.unwrap([optional.of(1), optional.none()]) == [1]"],
    ),
    row(
        "list(optional(A)).unwrapOpt() -> list(A)",
        unwrap,
        "The values of those that have one.",
        &["[optional.of(1), optional.none()].unwrapOpt() == [1]"],
    ),
    row(
        "optional(A).hasValue() -> bool",
        has_value,
        "Whether there is a value.",
        &["optional.of(null).hasValue()"],
    ),
    row(
        "optional(A).value() -> A",
        value,
        "The value; without one it is an error.",
        &["optional.of(1).value() == 1"],
    ),
    row(
        "optional(A).or(optional(A)) -> optional(A)",
        or,
        "The first of the two that has a value.",
        &["optional.none().or(optional.of(1)).value() == 1"],
    )
    .decided_by_first(with_value),
    row(
        "optional(A).orValue(A) -> A",
        or_value,
        "The value, or else the argument.",
        &["{'a': 1}.?b.orValue(2) == 2"],
    )
    .decided_by_first(inner),
];

/// The result of `or` if its first argument has a value.
fn with_value(first: &Value) -> Option<Value> {
    matches!(first, Value::Optional(Some(_))).then(|| first.clone())
}

fn inner(first: &Value) -> Option<Value> {
    match first {
        Value::Optional(Some(inner)) => Some((**inner).clone()),
        _ => None,
    }
}

fn of(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    Ok(some(arguments[0].clone().into_owned()))
}

fn none(_: &mut Call, _: &[Operand]) -> Result<Value, Failure> {
    Ok(Value::Optional(None))
}

fn of_non_zero(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let zero = match &*arguments[0] {
        Value::Null | Value::Optional(None) => true,
        Value::Bool(b) => !b,
        Value::Int(i) => *i == 0,
        Value::Uint(u) => *u == 0,
        Value::Double(d) => *d == 0.0,
        Value::String(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Map(map) => map.is_empty(),
        Value::Duration(d) => *d == crate::value::Duration::ZERO,
        Value::Timestamp(t) => *t == crate::value::Timestamp::default(),
        _ => false,
    };
    Ok(if zero {
        Value::Optional(None)
    } else {
        some(arguments[0].clone().into_owned())
    })
}

fn unwrap(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let items = super::list(&arguments[0])?;
    call.budget.charge_items(items.len())?;
    let mut values = Vec::new();
    for item in items {
        if let Some(value) = inside(item)? {
            values.push(value.clone());
        }
    }
    Ok(Value::list(values))
}

fn inside(value: &Value) -> Result<Option<&Value>, Failure> {
    match value {
        Value::Optional(inside) => Ok(inside.as_deref()),
        other => Err(unexpected(other)),
    }
}

fn has_value(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    Ok(Value::Bool(inside(&arguments[0])?.is_some()))
}

fn value(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    inside(&arguments[0])?
        .cloned()
        .ok_or_else(|| Failure::new("optional.none() dereference"))
}

fn or(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let first = inside(&arguments[0])?.is_some();
    Ok(arguments[usize::from(!first)].clone().into_owned())
}

fn or_value(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    Ok(match inside(&arguments[0])? {
        Some(value) => value.clone(),
        None => arguments[1].clone().into_owned(),
    })
}
