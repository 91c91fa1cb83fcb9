//! The normal form of one scalar: equal for two scalars with the same meaning.

use super::tree::Reading;
use crate::definition::table::{Field, Shape};
use crate::expression::{normal_expression, normal_template};
use crate::value::{Duration, Value};
use crate::yaml::{Data, Node, Scalar};

pub(super) fn reading(shape: &Shape) -> Reading {
    match shape {
        Shape::Expression | Shape::OptionalExpression => Reading::Expression,
        Shape::TextTemplate
        | Shape::NumberTemplate
        | Shape::Template
        | Shape::Templates
        | Shape::MappingTemplate
        | Shape::Duration => Reading::Template,
        _ => Reading::Exact,
    }
}

pub(super) fn of_scalar(shape: &Shape, scalar: &Scalar) -> String {
    match shape {
        Shape::Expression | Shape::OptionalExpression if scalar.value != Value::Null => {
            format!("expression {}", normal_expression(&scalar.text))
        }
        Shape::Duration => match Duration::parse(&scalar.text) {
            Ok(duration) => length(duration),
            Err(_) => template(scalar),
        },
        Shape::NumberTemplate => match &scalar.value {
            Value::Double(number) => number_text(*number),
            _ => template(scalar),
        },
        _ => match reading(shape) {
            Reading::Exact => exact(&scalar.value),
            _ => template(scalar),
        },
    }
}

/// The normal form of the default in the tables, if it is a plain value.
pub(super) fn of_default(field: &Field) -> Option<String> {
    let text = field.default.trim_matches('`');
    if text.is_empty() {
        return None;
    }
    match field.shape {
        Shape::Whole { .. } => text.parse().ok().map(|number| exact(&Value::Int(number))),
        Shape::Flag => text.parse().ok().map(|flag| exact(&Value::Bool(flag))),
        Shape::NumberTemplate => text.parse().ok().map(number_text),
        Shape::Duration => Duration::parse(text).ok().map(length),
        Shape::OneOf(choices) => choices
            .iter()
            .any(|choice| choice.name == text)
            .then(|| exact(&Value::from(text))),
        Shape::Identifier => {
            let is_name = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            is_name.then(|| exact(&Value::from(text)))
        }
        _ => None,
    }
}

pub(super) fn template(scalar: &Scalar) -> String {
    match scalar.text.contains("${") {
        true => format!("template {}", normal_template(&scalar.text)),
        false => exact(&scalar.value),
    }
}

pub(super) fn exact(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(flag) => format!("flag {flag}"),
        Value::Int(number) => format!("integer {number}"),
        Value::Uint(number) => format!("integer {number}"),
        Value::Double(number) => format!("number {number:?}"),
        Value::String(text) => format!("text {text}"),
        other => format!("{other:?}"),
    }
}

/// The normal form of data without expressions; lists and mappings keep their order.
pub(super) fn of_data(node: &Node) -> String {
    match &node.data {
        Data::Scalar(scalar) => exact(&scalar.value),
        Data::Sequence(items) => format!("{:?}", items.iter().map(of_data).collect::<Vec<_>>()),
        Data::Mapping(entries) => {
            let mut parts: Vec<_> = entries
                .iter()
                .map(|entry| (entry.name(), of_data(&entry.value)))
                .collect();
            parts.sort();
            format!("{parts:?}")
        }
    }
}

fn number_text(number: f64) -> String {
    match number.fract() == 0.0 && number.abs() < 1e15 {
        true => format!("integer {}", number as i64),
        false => exact(&Value::Double(number)),
    }
}

fn length(duration: Duration) -> String {
    format!("duration {}", duration.as_nanos())
}
