//! The lists extension library, and the sums and extremes that workflows need.

use std::cmp::Ordering;

use super::{Call, Row, Section, int, list, row};
use crate::expression::ast::Operator;
use crate::expression::comprehension::sorted_order;
use crate::expression::context::{Failure, ListCosts, Operand};
use crate::expression::equals::{Values, are_few};
use crate::expression::operators::{self, some};
use crate::value::Value;

pub(crate) const SECTION: Section = Section {
    title: "Lists",
    extension: false,
    about: "`sum`, `min` and `max` are extensions. The macros `list.sortBy(x, key)` and `list.groupBy(x, key)` order and group by a computed key.",
    rows: ROWS,
};

const ROWS: &[Row] = &[
    row(
        "lists.range(int) -> list(int)",
        range,
        "The numbers from 0 to less than the argument.",
        &["lists.range(3) == [0, 1, 2]"],
    ),
    row(
        "list(A).slice(int, int) -> list(A)",
        slice,
        "The items from one position up to another, which is excluded. Positions beyond the list are an error.",
        &["[1, 2, 3, 4].slice(1, 3) == [2, 3]"],
    ),
    row(
        "list(A).flatten() -> list(any)",
        flatten,
        "Nested lists replaced by their items, one level deep.",
        &["[1, [2, [3]]].flatten() == [1, 2, [3]]"],
    ),
    row(
        "list(A).flatten(int) -> list(any)",
        flatten,
        "Flattens the given number of levels; a negative number is an error.",
        &["[1, [2, [3]]].flatten(2) == [1, 2, 3]"],
    ),
    row(
        "list(A).distinct() -> list(A)",
        distinct,
        "Each value once, at its first position.",
        &["[1, 2, 1.0, 2].distinct() == [1, 2]"],
    ),
    row(
        "list(A).sort() -> list(A)",
        sort,
        "The items in ascending order. They must all have one type that has an order.",
        &["[3, 1, 2].sort() == [1, 2, 3]"],
    ),
    row(
        "list(A).reverse() -> list(A)",
        reverse,
        "The items in reverse order.",
        &["[1, 2].reverse() == [2, 1]"],
    ),
    row(
        "list(A).first() -> optional(A)",
        first,
        "The first item, if there is one.",
        &["[1, 2].first().value() == 1", "[].first().orValue(0) == 0"],
    ),
    row(
        "list(A).last() -> optional(A)",
        last,
        "The last item, if there is one.",
        &["[1, 2].last().value() == 2"],
    ),
    row(
        "list(int).sum() -> int",
        sum,
        "Extension: the sum of all items; 0 of none.",
        &["[1, 2, 3].sum() == 6", "[].sum() == 0"],
    ),
    row(
        "list(uint).sum() -> uint",
        sum,
        "Extension: the sum of all items.",
        &["[1u, 2u].sum() == 3u"],
    ),
    row(
        "list(double).sum() -> double",
        sum,
        "Extension: the sum of all items.",
        &["[1, 0.5].sum() == 1.5"],
    ),
    row(
        "list(duration).sum() -> duration",
        sum,
        "Extension: the sum of all items.",
        &["[duration('1m'), duration('1s')].sum() == duration('61s')"],
    ),
    row(
        "list(A).min() -> A",
        min,
        "Extension: the least item; of an empty list it is an error.",
        &["[3, 1, 2].min() == 1", "['b', 'a'].min() == 'a'"],
    ),
    row(
        "list(A).max() -> A",
        max,
        "Extension: the greatest item; of an empty list it is an error.",
        &["[3, 1, 2].max() == 3"],
    ),
];

fn range(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let count = int(&arguments[0])?.max(0);
    call.budget
        .charge_items(usize::try_from(count).unwrap_or(usize::MAX))?;
    Ok(Value::list((0..count).map(Value::Int).collect()))
}

fn slice(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let items = list(&arguments[0])?;
    let (start, end) = (int(&arguments[1])?, int(&arguments[2])?);
    let position = |at: i64| usize::try_from(at).ok().filter(|at| *at <= items.len());
    match (position(start), position(end)) {
        (Some(from), Some(to)) if from <= to => {
            call.budget.charge_items(to - from)?;
            Ok(Value::list(items[from..to].to_vec()))
        }
        _ => Err(Failure::new(format!(
            "cannot slice({start}, {end}): the list has {} items",
            items.len()
        ))),
    }
}

fn flatten(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let depth = match arguments.get(1) {
        Some(depth) => int(depth)?,
        None => 1,
    };
    if depth < 0 {
        return Err(Failure::new("level must be non-negative"));
    }
    let mut flat = Vec::new();
    flatten_into(list(&arguments[0])?, depth, &mut flat, call)?;
    Ok(Value::list(flat))
}

fn flatten_into(
    items: &[Value],
    depth: i64,
    flat: &mut Vec<Value>,
    call: &mut Call,
) -> Result<(), Failure> {
    call.budget.charge_items(items.len())?;
    for item in items {
        match item {
            Value::List(inner) if depth > 0 => flatten_into(inner, depth - 1, flat, call)?,
            other => flat.push(other.clone()),
        }
    }
    Ok(())
}

fn distinct(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let items = list(&arguments[0])?;
    if call.budget.list_costs == ListCosts::Pairwise || are_few(items.len()) {
        return distinct_pairwise(call, items);
    }
    let mut known = Values::default();
    let mut once = Vec::new();
    for item in items {
        call.budget.charge(1)?;
        if known.add(item, &mut call.budget)? {
            once.push(item.clone());
        }
    }
    Ok(Value::list(once))
}

fn distinct_pairwise(call: &mut Call, items: &[Value]) -> Result<Value, Failure> {
    let mut once: Vec<Value> = Vec::new();
    for item in items {
        call.budget.charge(1)?;
        let mut known = false;
        for other in &once {
            call.budget.charge(1)?;
            if operators::equal(item, other, &mut call.budget)? {
                known = true;
                break;
            }
        }
        if !known {
            once.push(item.clone());
        }
    }
    Ok(Value::list(once))
}

fn sort(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let items = list(&arguments[0])?;
    let order = sorted_order(items, &mut call.budget)?;
    Ok(Value::list(
        order.into_iter().map(|i| items[i].clone()).collect(),
    ))
}

fn reverse(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let items = list(&arguments[0])?;
    call.budget.charge_items(items.len())?;
    Ok(Value::list(items.iter().rev().cloned().collect()))
}

fn optional(value: Option<&Value>) -> Value {
    value.map_or(Value::Optional(None), |value| some(value.clone()))
}

fn first(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    Ok(optional(list(&arguments[0])?.first()))
}

fn last(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    Ok(optional(list(&arguments[0])?.last()))
}

fn sum(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let items = list(&arguments[0])?;
    call.budget.charge_items(items.len())?;
    let Some((first, rest)) = items.split_first() else {
        return Ok(Value::Int(0));
    };
    if operators::compare_numbers(first, first).is_none() && !matches!(first, Value::Duration(_)) {
        return Err(operators::no_overload(Operator::Add, &[first, first]));
    }
    rest.iter().try_fold(first.clone(), |sum, item| {
        operators::arithmetic(Operator::Add, &sum, item, call.budget.semantics)
    })
}

fn min(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    extreme(call, arguments, Ordering::Less)
}

fn max(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    extreme(call, arguments, Ordering::Greater)
}

fn extreme(call: &mut Call, arguments: &[Operand], wanted: Ordering) -> Result<Value, Failure> {
    let mut best: Option<&Value> = None;
    for item in list(&arguments[0])? {
        call.budget.charge(1)?;
        let against = best.unwrap_or(item);
        let order = operators::compare(Operator::Less, item, against, &mut call.budget)?;
        if best.is_none() || order == Some(wanted) {
            best = Some(item);
        }
    }
    best.cloned()
        .ok_or_else(|| Failure::new("the list is empty: it has no least and no greatest item"))
}
