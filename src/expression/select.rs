//! Fields of maps, and of maps in optionals.

use std::sync::Arc;

use super::code::Path;
use super::context::{Failure, Operand};
use super::evaluate::Result;
use crate::value::Value;

/// Follows the fields. After an optional, the rest of the path is optional too.
pub(super) fn walk<'s>(base: &'s Value, path: &Path) -> Result<Operand<'s>> {
    let mut value = base;
    for (i, field) in path.fields.iter().enumerate() {
        value = match value {
            Value::Map(map) => match map.get(&field.name) {
                Some(found) => found,
                None => return Err(no_such_key(&field.name).at(field.range)),
            },
            Value::Optional(inside) => {
                let mut inside = inside.clone();
                for field in &path.fields[i..] {
                    inside = match inside.as_deref() {
                        None => None,
                        Some(inner) => selected(inner, &field.name)
                            .map_err(|failure| failure.at(field.range))?
                            .cloned()
                            .map(Arc::new),
                    };
                }
                return Ok(Operand::Owned(Value::Optional(inside)));
            }
            other => return Err(not_selectable(other, &field.name).at(field.range)),
        };
    }
    Ok(Operand::Borrowed(value))
}

#[cold]
pub(super) fn no_such_key(name: &str) -> Failure {
    Failure::new(format!("no such key: '{name}'"))
}

#[cold]
fn not_selectable(value: &Value, name: &str) -> Failure {
    Failure::new(format!(
        "no such key: '{name}'; a value of type {} has no fields",
        value.type_name()
    ))
}

fn selected<'v>(value: &'v Value, name: &str) -> std::result::Result<Option<&'v Value>, Failure> {
    match value {
        Value::Map(map) => Ok(map.get(name)),
        other => Err(not_selectable(other, name)),
    }
}

pub(super) fn has(operand: &Value, field: &str) -> std::result::Result<bool, Failure> {
    match operand {
        Value::Optional(None) => Ok(false),
        Value::Optional(Some(inner)) => selected(inner, field).map(|found| found.is_some()),
        other => selected(other, field).map(|found| found.is_some()),
    }
}

/// `.?field`: none for null, since a workflow's data often has null for missing values.
pub(super) fn optional_select(operand: &Value, field: &str) -> std::result::Result<Value, Failure> {
    let found = match operand {
        Value::Optional(None) | Value::Null => None,
        Value::Optional(Some(inner)) if matches!(**inner, Value::Null) => None,
        Value::Optional(Some(inner)) => selected(inner, field)?,
        other => selected(other, field)?,
    };
    Ok(Value::Optional(found.cloned().map(Arc::new)))
}
