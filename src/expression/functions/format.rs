//! `string.format`: clauses in the manner of `printf`, checked against the types of the arguments.

use std::fmt::Write as _;

use super::strings::shown;
use super::{Call, list, string};
use crate::expression::context::{Failure, Operand};
use crate::value::Value;

/// Digits after the point, unless the clause sets a precision.
const PRECISION_DEFAULT: usize = 6;
/// The highest precision that a clause may set.
const PRECISION_MAX: usize = 100;

pub(crate) fn format(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let text = string(&arguments[0])?;
    let mut items = list(&arguments[1])?.iter().enumerate();
    let count = items.len();
    call.budget.charge_bytes(text.len())?;
    let mut out = String::with_capacity(text.len());
    let mut rest = &**text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let (precision, after) = precision(rest)?;
        let Some(clause) = after.chars().next() else {
            return Err(Failure::new("unexpected end of format string"));
        };
        let Some((_, item)) = items.next() else {
            return Err(Failure::new(format!("index {count} out of range")));
        };
        let before = out.len();
        write_clause(clause, precision, item, &mut out, call)?;
        call.budget.charge_bytes(out.len() - before)?;
        rest = &after[clause.len_utf8()..];
    }
    out.push_str(rest);
    Ok(Value::string(out))
}

fn precision(clause: &str) -> Result<(Option<usize>, &str), Failure> {
    let Some(digits) = clause.strip_prefix('.') else {
        return Ok((None, clause));
    };
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    match digits[..end].parse() {
        Ok(precision) if precision <= PRECISION_MAX => Ok((Some(precision), &digits[end..])),
        _ => Err(Failure::new(format!(
            "the precision `.{}` is no number up to {PRECISION_MAX}",
            &digits[..end]
        ))),
    }
}

fn write_clause(
    clause: char,
    precision: Option<usize>,
    item: &Value,
    out: &mut String,
    call: &mut Call,
) -> Result<(), Failure> {
    let written = match clause {
        's' => return write_string(item, out, call),
        'd' => write_decimal(item, out),
        'f' => {
            number(item).and_then(|d| write_fixed(d, precision.unwrap_or(PRECISION_DEFAULT), out))
        }
        'e' => number(item)
            .and_then(|d| write_scientific(d, precision.unwrap_or(PRECISION_DEFAULT), out)),
        'b' => match item {
            Value::Bool(b) => put(out, format_args!("{}", u8::from(*b))),
            other => integer(other).and_then(|(sign, n)| put(out, format_args!("{sign}{n:b}"))),
        },
        'o' => integer(item).and_then(|(sign, n)| put(out, format_args!("{sign}{n:o}"))),
        'x' | 'X' => {
            let upper = clause == 'X';
            match item {
                Value::String(text) => write_hex(text.as_bytes(), upper, out),
                Value::Bytes(bytes) => write_hex(bytes, upper, out),
                other => integer(other).and_then(|(sign, n)| match upper {
                    true => put(out, format_args!("{sign}{n:X}")),
                    false => put(out, format_args!("{sign}{n:x}")),
                }),
            }
        }
        other => {
            return Err(Failure::new(format!(
                "could not parse formatting clause: unrecognized formatting clause \"{other}\""
            )));
        }
    };
    written.ok_or_else(|| {
        let takes = match clause {
            'd' => "integers",
            'f' | 'e' => "numbers",
            'b' => "integers and bools",
            'o' => "integers",
            _ => "integers, bytes and strings",
        };
        Failure::new(format!(
            "error during formatting: %{clause} takes {takes}, was given {}",
            item.type_name()
        ))
    })
}

fn put(out: &mut String, arguments: std::fmt::Arguments) -> Option<()> {
    // Writing to a string cannot fail.
    out.write_fmt(arguments).ok()
}

fn integer(item: &Value) -> Option<(&'static str, u64)> {
    match item {
        Value::Int(i) => Some((if *i < 0 { "-" } else { "" }, i.unsigned_abs())),
        Value::Uint(u) => Some(("", *u)),
        _ => None,
    }
}

fn number(item: &Value) -> Option<f64> {
    match item {
        Value::Int(i) => Some(*i as f64),
        Value::Uint(u) => Some(*u as f64),
        Value::Double(d) => Some(*d),
        _ => None,
    }
}

fn write_hex(bytes: &[u8], upper: bool, out: &mut String) -> Option<()> {
    bytes.iter().try_for_each(|byte| match upper {
        true => put(out, format_args!("{byte:02X}")),
        false => put(out, format_args!("{byte:02x}")),
    })
}

/// Writes infinities and NaN; false if the number is finite.
fn write_special(d: f64, out: &mut String) -> bool {
    if d.is_nan() {
        out.push_str("NaN");
    } else if d.is_infinite() {
        out.push_str(if d > 0.0 { "Infinity" } else { "-Infinity" });
    }
    !d.is_finite()
}

fn write_decimal(item: &Value, out: &mut String) -> Option<()> {
    match item {
        Value::Double(d) => {
            if !write_special(*d, out) {
                put(out, format_args!("{d}"));
            }
            Some(())
        }
        other => integer(other).and_then(|(sign, n)| put(out, format_args!("{sign}{n}"))),
    }
}

fn write_fixed(d: f64, precision: usize, out: &mut String) -> Option<()> {
    if write_special(d, out) {
        return Some(());
    }
    put(out, format_args!("{d:.precision$}"))
}

fn write_scientific(d: f64, precision: usize, out: &mut String) -> Option<()> {
    if write_special(d, out) {
        return Some(());
    }
    let digits = format!("{d:.precision$e}");
    let (mantissa, exponent) = digits.split_once('e').unwrap_or((&digits, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    put(out, format_args!("{mantissa}e{sign}{:02}", exponent.abs()))
}

/// Any value; lists and maps in brackets, texts in them without quotes, maps in the order of their keys' texts.
fn write_string(item: &Value, out: &mut String, call: &mut Call) -> Result<(), Failure> {
    call.budget.charge(1)?;
    match item {
        Value::Double(d) => {
            if !write_special(*d, out) {
                put(out, format_args!("{d}"));
            }
        }
        Value::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                write_string(item, out, call)?;
            }
            out.push(']');
        }
        Value::Map(map) => {
            let mut entries = Vec::with_capacity(map.len());
            for (key, value) in map.iter() {
                entries.push((shown(&key.to_value(), call)?, value));
            }
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            out.push('{');
            for (i, (key, value)) in entries.into_iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                put(out, format_args!("{key}: "));
                write_string(value, out, call)?;
            }
            out.push('}');
        }
        other => out.push_str(&shown(other, call)?),
    }
    Ok(())
}
