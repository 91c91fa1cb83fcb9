//! What a scalar means: YAML 1.2's core schema.

use std::sync::Arc;

use crate::value::Value;

/// The text is a number too large for 64 bits.
#[derive(Debug, PartialEq)]
pub(super) struct TooLarge;

/// The value of a plain scalar.
pub(super) fn resolve(text: &Arc<str>) -> Result<Value, TooLarge> {
    match text.as_ref() {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        _ => {}
    }
    if let Some(number) = int(text) {
        return number;
    }
    Ok(float(text).map_or_else(|| Value::String(text.clone()), Value::Double))
}

/// `None` if the text is not an integer.
pub(super) fn int(text: &str) -> Option<Result<Value, TooLarge>> {
    let (digits, radix) = if let Some(octal) = text.strip_prefix("0o") {
        (octal, 8)
    } else if let Some(hexadecimal) = text.strip_prefix("0x") {
        (hexadecimal, 16)
    } else {
        (text.strip_prefix(['-', '+']).unwrap_or(text), 10)
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let digits = if radix == 10 { text } else { digits };
    let int = i64::from_str_radix(digits, radix).map(Value::Int);
    Some(
        int.or_else(|_| u64::from_str_radix(digits, radix).map(Value::Uint))
            .map_err(|_| TooLarge),
    )
}

pub(super) fn float(text: &str) -> Option<f64> {
    match text {
        ".nan" | ".NaN" | ".NAN" => return Some(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Some(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Some(f64::NEG_INFINITY),
        _ => {}
    }
    // Rust's own grammar is YAML's, except for its words.
    let numeric = text
        .bytes()
        .all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    (numeric && text.bytes().any(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        format!("{:?}", resolve(&text.into()))
    }

    #[test]
    fn the_core_schema_decides_what_a_plain_scalar_is() {
        for (text, expected) in [
            ("", "Ok(Null)"),
            ("~", "Ok(Null)"),
            ("True", "Ok(Bool(true))"),
            ("yes", "Ok(String(\"yes\"))"),
            ("on", "Ok(String(\"on\"))"),
            ("-12", "Ok(Int(-12))"),
            ("+12", "Ok(Int(12))"),
            ("007", "Ok(Int(7))"),
            ("0o17", "Ok(Int(15))"),
            ("0xFf", "Ok(Int(255))"),
            ("18446744073709551615", "Ok(Uint(18446744073709551615))"),
            ("18446744073709551616", "Err(TooLarge)"),
            ("1.5", "Ok(Double(1.5))"),
            (".5", "Ok(Double(0.5))"),
            ("1.", "Ok(Double(1.0))"),
            ("1e3", "Ok(Double(1000.0))"),
            ("-.inf", "Ok(Double(-inf))"),
            ("inf", "Ok(String(\"inf\"))"),
            ("e3", "Ok(String(\"e3\"))"),
            ("1.2.3", "Ok(String(\"1.2.3\"))"),
            ("12:30", "Ok(String(\"12:30\"))"),
            ("-", "Ok(String(\"-\"))"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }
}
