//! Which fields a condition tests, so that optional ones may be used under it.

use super::ast::{Kind, Node, Operator};
use crate::value::Value;

/// The text of a plain path.
pub(super) fn path_text(node: &Node) -> Option<String> {
    match &node.kind {
        Kind::Name { name, .. } => Some(name.to_string()),
        Kind::Select {
            operand,
            field,
            optional: false,
        } => Some(format!("{}.{}", path_text(operand)?, field.value)),
        Kind::Index { operand, index, .. } => match &index.kind {
            Kind::Literal(Value::String(name)) => Some(format!("{}.{name}", path_text(operand)?)),
            _ => None,
        },
        _ => None,
    }
}

/// The paths that are known to be present if the condition is `truth`.
pub(super) fn facts(condition: &Node, truth: bool, present: &mut Vec<String>) {
    match &condition.kind {
        Kind::Has { operand, field } if truth => {
            present.extend(path_text(operand).map(|path| format!("{path}.{}", field.value)));
        }
        Kind::Operator { operator, operands } => match (operator, truth, &operands[..]) {
            (Operator::Not, _, [inner]) => facts(inner, !truth, present),
            (Operator::And, true, all) | (Operator::Or, false, all) => {
                all.iter()
                    .for_each(|operand| facts(operand, truth, present));
            }
            (Operator::In, true, [key, of]) => {
                if let Kind::Literal(Value::String(name)) = &key.kind {
                    present.extend(path_text(of).map(|path| format!("{path}.{name}")));
                }
            }
            _ => {}
        },
        _ => {}
    }
}
