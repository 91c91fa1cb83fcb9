//! Calls that are syntax: comprehensions, `has`, `cel.bind`, `optMap`. A call of the same name but another shape
//! remains a call.

use std::sync::Arc;

use super::ast::{Comprehension, ComprehensionKind as Over, Kind, Node};
use super::parse::Builder;
use crate::source::{Range, Spanned};

/// The macros with their numbers of arguments, for the reference and for suggestions.
pub(crate) const NAMES: [&str; 17] = [
    "all",
    "exists",
    "exists_one",
    "existsOne",
    "filter",
    "map",
    "transformList",
    "transformMap",
    "transformMapEntry",
    "sortBy",
    "groupBy",
    "optMap",
    "optFlatMap",
    "has",
    "bind",
    "greatest",
    "least",
];

pub(super) fn call(
    builder: &mut Builder,
    target: Option<Node>,
    name: Spanned<Arc<str>>,
    arguments: Vec<Node>,
    range: Range,
) -> Node {
    match (target, &*name.value, arguments.len()) {
        (None, "has", 1) => has(builder, arguments, range),
        (Some(target), "bind", 3) if is_name(&target, "cel") => {
            let [variable, value, body] = take(arguments);
            let Some(name) = variable_name(builder, &variable) else {
                return builder.node(Kind::Error, range);
            };
            let kind = Kind::Bind {
                name,
                value: Box::new(value),
                body: Box::new(body),
            };
            builder.node(kind, range)
        }
        (Some(target), "optMap" | "optFlatMap", 2) => {
            let flat = &*name.value == "optFlatMap";
            let [variable, body] = take(arguments);
            let Some(name) = variable_name(builder, &variable) else {
                return builder.node(Kind::Error, range);
            };
            let kind = Kind::OptionalMap {
                target: Box::new(target),
                name,
                body: Box::new(body),
                flat,
            };
            builder.node(kind, range)
        }
        (Some(target), word, count) => match shape(word, count) {
            Some(shape) => comprehension(builder, target, shape, arguments, range),
            None => plain(builder, Some(target), name, arguments, range),
        },
        (None, ..) => plain(builder, None, name, arguments, range),
    }
}

fn plain(
    builder: &mut Builder,
    target: Option<Node>,
    name: Spanned<Arc<str>>,
    arguments: Vec<Node>,
    range: Range,
) -> Node {
    let kind = Kind::Call {
        target: target.map(Box::new),
        name,
        arguments,
    };
    builder.node(kind, range)
}

struct Shape {
    kind: Over,
    variables: usize,
    filter: bool,
}

/// The comprehension that a call with this name and number of arguments denotes.
fn shape(name: &str, arguments: usize) -> Option<Shape> {
    let (kind, variables, filter) = match (name, arguments) {
        ("all", 2) => (Over::All, 1, false),
        ("all", 3) => (Over::All, 2, false),
        ("exists", 2) => (Over::Exists, 1, false),
        ("exists", 3) => (Over::Exists, 2, false),
        ("exists_one" | "existsOne", 2) => (Over::ExistsOne, 1, false),
        ("exists_one" | "existsOne", 3) => (Over::ExistsOne, 2, false),
        ("filter", 2) => (Over::Filter, 1, false),
        ("map", 2) => (Over::Map, 1, false),
        ("map", 3) => (Over::Map, 1, true),
        ("transformList", 3) => (Over::Map, 2, false),
        ("transformList", 4) => (Over::Map, 2, true),
        ("transformMap", 3) => (Over::TransformMap, 2, false),
        ("transformMap", 4) => (Over::TransformMap, 2, true),
        ("transformMapEntry", 3) => (Over::TransformMapEntry, 2, false),
        ("transformMapEntry", 4) => (Over::TransformMapEntry, 2, true),
        ("sortBy", 2) => (Over::SortBy, 1, false),
        ("groupBy", 2) => (Over::GroupBy, 1, false),
        _ => return None,
    };
    Some(Shape {
        kind,
        variables,
        filter,
    })
}

fn comprehension(
    builder: &mut Builder,
    over: Node,
    shape: Shape,
    arguments: Vec<Node>,
    range: Range,
) -> Node {
    let mut arguments = arguments.into_iter();
    let mut variables: Vec<Spanned<Arc<str>>> = Vec::new();
    for argument in arguments.by_ref().take(shape.variables) {
        let Some(name) = variable_name(builder, &argument) else {
            return builder.node(Kind::Error, range);
        };
        if variables.iter().any(|v| v.value == name.value) {
            return builder.error(name.range, "the two variables have the same name");
        }
        variables.push(name);
    }
    let filter = if shape.filter { arguments.next() } else { None };
    let Some(body) = arguments.next() else {
        return builder.node(Kind::Error, range);
    };
    let kind = Kind::Comprehension(Box::new(Comprehension {
        kind: shape.kind,
        over,
        variables,
        filter,
        body,
    }));
    builder.node(kind, range)
}

fn has(builder: &mut Builder, arguments: Vec<Node>, range: Range) -> Node {
    let [argument] = take(arguments);
    match argument.kind {
        Kind::Select {
            operand,
            field,
            optional: false,
        } => builder.node(Kind::Has { operand, field }, range),
        Kind::Error => builder.node(Kind::Error, range),
        _ => builder.error(
            argument.range,
            "has() expects the selection of a field, such as has(a.b)",
        ),
    }
}

fn variable_name(builder: &mut Builder, node: &Node) -> Option<Spanned<Arc<str>>> {
    match &node.kind {
        Kind::Name {
            name,
            absolute: false,
        } => Some(Spanned::new(name.clone(), node.range)),
        Kind::Error => None,
        _ => {
            builder.error(
                node.range,
                "expected a variable's name here, such as `x` in items.map(x, x.price)",
            );
            None
        }
    }
}

fn is_name(node: &Node, wanted: &str) -> bool {
    matches!(&node.kind, Kind::Name { name, absolute: false } if &**name == wanted)
}

/// The arguments, whose number the caller has matched.
fn take<const N: usize>(arguments: Vec<Node>) -> [Node; N] {
    arguments
        .try_into()
        .unwrap_or_else(|_| unreachable!("the number of arguments was matched"))
}
