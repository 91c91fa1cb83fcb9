//! Reads parts that the requests of the built-in activities have in common. An error names the key that is wrong.

use super::attempt::lasting;
use crate::definition::table::Table;
use crate::engine::failure::Failure;
use crate::value::{Duration, Key, Map, Value, to_json_string};

/// The request of an activity; a wrong one is a non-retryable failure of that type.
pub(crate) fn request<R>(
    arguments: &[Value],
    read: impl FnOnce(&Value) -> Result<R, String>,
    error_type: &str,
) -> Result<R, Failure> {
    let input = arguments.first().unwrap_or(&Value::Null);
    let input = input.force().map_err(|e| e.to_string());
    input.and_then(read).map_err(|e| lasting(error_type, e))
}

pub(crate) fn table_keys(table: &'static Table) -> Vec<&'static str> {
    table.fields().map(|field| field.name).collect()
}

pub(crate) fn known_keys(map: &Map, known: Vec<&str>, what: &str) -> Result<(), String> {
    for key in map.keys() {
        let name = key.as_str().unwrap_or_default();
        if !known.contains(&name) {
            let near = known.iter().max_by(|a, b| {
                strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name))
            });
            let near = near.filter(|n| strsim::jaro_winkler(n, name) > 0.8);
            let hint = near.map_or(String::new(), |n| format!(" (did you mean `{n}`?)"));
            let keys = known.join(", ");
            return Err(format!(
                "{what} has no key `{name}`{hint}; its keys are {keys}"
            ));
        }
    }
    Ok(())
}

/// Names with their texts: a list gives a name several, and null gives it none.
pub(crate) fn read_pairs(
    value: Option<&Value>,
    what: &str,
) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    let wrong = |name: &str| {
        format!("`{what}.{name}` is a text, a number, a boolean, a list of these, or null")
    };
    for (name, value) in entries(value, what)? {
        match value {
            Value::Null => {}
            Value::List(items) => {
                for item in items.iter() {
                    pairs.push((name.clone(), scalar_text(item).ok_or_else(|| wrong(&name))?));
                }
            }
            one => pairs.push((name.clone(), scalar_text(one).ok_or_else(|| wrong(&name))?)),
        }
    }
    Ok(pairs)
}

pub(crate) fn entries<'a>(
    value: Option<&'a Value>,
    what: &str,
) -> Result<Vec<(String, &'a Value)>, String> {
    let Some(value) = value.filter(|v| !matches!(v, Value::Null)) else {
        return Ok(Vec::new());
    };
    let map = value
        .as_map()
        .ok_or_else(|| format!("`{what}` is a mapping"))?;
    Ok(map.iter().map(|(k, v)| (key_text(k), v)).collect())
}

fn key_text(key: &Key) -> String {
    scalar_text(&key.to_value()).unwrap_or_default()
}

pub(crate) fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.to_string()),
        Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_) => {
            to_json_string(value).ok()
        }
        Value::Timestamp(t) => Some(t.to_string()),
        Value::Duration(d) => Some(d.to_string()),
        _ => None,
    }
}

pub(crate) fn read_timeout(value: Option<&Value>) -> Result<Option<std::time::Duration>, String> {
    read_duration(value, "timeout")
}

pub(crate) fn read_duration(
    value: Option<&Value>,
    key: &str,
) -> Result<Option<std::time::Duration>, String> {
    let wrong = || format!("`{key}` is a positive duration as 10s, or a number of seconds");
    let duration = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Duration(d)) => *d,
        Some(Value::Int(seconds)) => Duration::from_seconds(*seconds),
        Some(Value::Double(seconds)) => {
            Duration::from_nanos((seconds * 1e9) as i128).ok_or_else(wrong)?
        }
        Some(other) => Duration::parse(other.as_str().ok_or_else(wrong)?)?,
    };
    match duration.to_std() {
        Some(d) if !d.is_zero() => Ok(Some(d)),
        _ => Err(wrong()),
    }
}
