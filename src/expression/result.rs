//! The bounds of an expression's result: no larger than a payload, no deeper than a value may be.

use super::context::Failure;
use crate::limits::{PAYLOAD_SIZE_BYTES_MAX, VALUE_DEPTH_MAX};
use crate::value::Value;

/// Checks a value that was built.
#[inline]
pub(crate) fn within_bounds(value: &Value) -> Result<(), Failure> {
    if let Value::Null | Value::Bool(_) | Value::Int(_) | Value::Double(_) = value {
        return Ok(());
    }
    walk(value)
}

fn walk(value: &Value) -> Result<(), Failure> {
    let mut left = PAYLOAD_SIZE_BYTES_MAX;
    if measure(value, 0, &mut left)? {
        return Ok(());
    }
    Err(Failure::result_size(format!(
        "the result is larger than PAYLOAD_SIZE_BYTES_MAX ({PAYLOAD_SIZE_BYTES_MAX} bytes)"
    )))
}

/// Subtracts the size of the value, roughly that of its JSON, from what is left; false if too little is left.
fn measure(value: &Value, depth: usize, left: &mut usize) -> Result<bool, Failure> {
    if depth > VALUE_DEPTH_MAX {
        return Err(Failure::bound(format!(
            "the result is nested deeper than VALUE_DEPTH_MAX ({VALUE_DEPTH_MAX} levels)"
        )));
    }
    let size = match value {
        Value::String(text) | Value::Type(text) => text.len() + 2,
        Value::Bytes(bytes) => bytes.len() / 3 * 4 + 2,
        _ => 4,
    };
    match left.checked_sub(size) {
        Some(rest) => *left = rest,
        None => return Ok(false),
    }
    match value {
        Value::List(items) => {
            for item in items.iter() {
                if !measure(item, depth + 1, left)? {
                    return Ok(false);
                }
            }
        }
        Value::Map(map) => {
            for (key, item) in map.iter() {
                *left = left.saturating_sub(key.as_str().map_or(4, str::len) + 4);
                if !measure(item, depth + 1, left)? {
                    return Ok(false);
                }
            }
        }
        Value::Optional(Some(inner)) => return measure(inner, depth + 1, left),
        _ => {}
    }
    Ok(true)
}
