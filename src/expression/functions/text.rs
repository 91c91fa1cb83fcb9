//! Values as text: the result of `string()`, and values between other text in templates.

use std::fmt::Write as _;

use crate::expression::builder::Text;
use crate::expression::context::{Budget, Failure, Operand};
use crate::value::{Value, to_json_string};

/// One value after the other, as in a template.
pub(crate) fn concatenate(parts: &[Operand], budget: &mut Budget) -> Result<Value, Failure> {
    let mut out = Text::new();
    for part in parts {
        write(part, &mut out, budget)?;
    }
    Ok(out.into_value())
}

/// Appends the `string()` of the value.
pub(crate) fn write(value: &Value, out: &mut Text, budget: &mut Budget) -> Result<(), Failure> {
    match value {
        Value::String(text) | Value::Type(text) => {
            budget.charge_bytes(text.len())?;
            out.push_str(text);
        }
        Value::Double(d) => double(*d, out),
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(i) => out.push_int(*i),
        Value::Uint(u) => display(u, out),
        Value::Timestamp(t) => display(t, out),
        Value::Duration(d) => display(d, out),
        Value::Ip(ip) => display(ip, out),
        Value::Cidr(cidr) => display(cidr, out),
        Value::Optional(None) => out.push_str("null"),
        Value::Optional(Some(inner)) => return write(inner, out, budget),
        Value::Bytes(bytes) => {
            budget.charge_bytes(bytes.len())?;
            let text = std::str::from_utf8(bytes)
                .map_err(|_| Failure::new("invalid UTF-8 in bytes, cannot convert to string"))?;
            out.push_str(text);
        }
        Value::List(_) | Value::Map(_) => out.push_str(&json(value, budget)?),
        other => return Err(super::unexpected(other)),
    }
    Ok(())
}

/// A value as JSON, paid for before it is built.
pub(crate) fn json(value: &Value, budget: &mut Budget) -> Result<String, Failure> {
    charge_whole(value, budget)?;
    to_json_string(value).map_err(|error| Failure::new(error.0))
}

/// Charges for every part of a value, because all of them will be copied.
pub(crate) fn charge_whole(value: &Value, budget: &mut Budget) -> Result<(), Failure> {
    budget.charge(1)?;
    match value {
        Value::String(text) => budget.charge_bytes(text.len()),
        Value::Bytes(bytes) => budget.charge_bytes(bytes.len()),
        Value::List(items) => items.iter().try_for_each(|i| charge_whole(i, budget)),
        Value::Map(map) => map.iter().try_for_each(|(key, value)| {
            budget.charge_bytes(key.as_str().map_or(0, str::len))?;
            charge_whole(value, budget)
        }),
        Value::Optional(Some(inner)) => charge_whole(inner, budget),
        _ => Ok(()),
    }
}

fn display(value: &impl std::fmt::Display, out: &mut Text) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{value}");
}

/// The shortest digits that read back the same; an exponent below 1e-4 and from 1e21 on.
pub(crate) fn double(d: f64, out: &mut Text) {
    if d.is_nan() {
        out.push_str("NaN");
    } else if d.is_infinite() {
        out.push_str(if d > 0.0 { "Infinity" } else { "-Infinity" });
    } else if d != 0.0 && !(1e-4..1e21).contains(&d.abs()) {
        let digits = format!("{d:e}");
        let (mantissa, exponent) = digits.split_once('e').unwrap_or((&digits, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "{mantissa}e{sign}{:02}", exponent.abs());
    } else {
        display(&d, out);
    }
}
