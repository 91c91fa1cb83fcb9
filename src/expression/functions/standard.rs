//! CEL's standard functions: sizes, conversions, prefixes.

use std::sync::Arc;

use super::{Call, Row, Section, map, row, string, text, unexpected};
use crate::expression::builder::Text;
use crate::expression::context::{Failure, Operand};
use crate::expression::operators::{self, shown};
use crate::value::{Timestamp, Value};

pub(crate) const SECTION: Section = Section {
    title: "Standard functions",
    extension: false,
    about: "A conversion of a value that the target type cannot hold is an error.",
    rows: ROWS,
};

const ROWS: &[Row] = &[
    row(
        "size(string) -> int",
        size,
        "The number of characters.",
        &["size('añb') == 3"],
    ),
    row(
        "size(bytes) -> int",
        size,
        "The number of bytes.",
        &["size(b'abc') == 3"],
    ),
    row(
        "size(list(A)) -> int",
        size,
        "The number of items.",
        &["size([1, 2]) == 2"],
    ),
    row(
        "size(map(A, B)) -> int",
        size,
        "The number of entries.",
        &["size({'a': 1}) == 1"],
    ),
    row(
        "string.size() -> int",
        size,
        "The number of characters.",
        &["'añb'.size() == 3"],
    ),
    row(
        "bytes.size() -> int",
        size,
        "The number of bytes.",
        &["b'abc'.size() == 3"],
    ),
    row(
        "list(A).size() -> int",
        size,
        "The number of items.",
        &["[1, 2].size() == 2"],
    ),
    row(
        "map(A, B).size() -> int",
        size,
        "The number of entries.",
        &["{'a': 1}.size() == 1"],
    ),
    row(
        "string.contains(string) -> bool",
        contains,
        "Whether the text occurs in it.",
        &["'hello'.contains('ell')"],
    ),
    row(
        "string.startsWith(string) -> bool",
        starts_with,
        "Whether the text begins with the argument.",
        &["'hello'.startsWith('he')"],
    ),
    row(
        "string.endsWith(string) -> bool",
        ends_with,
        "Whether the text ends with the argument.",
        &["'hello'.endsWith('lo')"],
    ),
    row(
        "type(any) -> type",
        type_of,
        "The value's type: `bool`, `int`, `list`, `null_type` and so on are names of types.",
        &["type(1) == int", "type(null) == null_type"],
    ),
    row(
        "dyn(any) -> any",
        same,
        "The value itself, with a type that is unknown to the checker.",
        &["dyn(1) == 1"],
    ),
    row(
        "bool(bool) -> bool",
        same,
        "The value itself.",
        &["bool(true)"],
    ),
    row(
        "bool(string) -> bool",
        to_bool,
        "From `1`, `t`, `true`, `TRUE`, `True`, and the same for false.",
        &["bool('true')", "!bool('0')"],
    ),
    row(
        "int(int) -> int",
        same,
        "The value itself.",
        &["int(1) == 1"],
    ),
    row(
        "int(uint) -> int",
        to_int,
        "The same number.",
        &["int(1u) == 1"],
    ),
    row(
        "int(double) -> int",
        to_int,
        "Rounded towards zero.",
        &["int(-1.9) == -1"],
    ),
    row(
        "int(string) -> int",
        to_int,
        "From decimal digits with or without a sign.",
        &["int('-12') == -12"],
    ),
    row(
        "int(timestamp) -> int",
        to_int,
        "Seconds since 1970-01-01T00:00:00Z.",
        &["int(timestamp('1970-01-01T00:01:00Z')) == 60"],
    ),
    row(
        "int(duration) -> int",
        to_int,
        "Extension: whole seconds.",
        &["int(duration('1m')) == 60"],
    ),
    row(
        "uint(uint) -> uint",
        same,
        "The value itself.",
        &["uint(1u) == 1u"],
    ),
    row(
        "uint(int) -> uint",
        to_uint,
        "The same number; a negative one is an error.",
        &["uint(1) == 1u"],
    ),
    row(
        "uint(double) -> uint",
        to_uint,
        "Rounded towards zero.",
        &["uint(1.9) == 1u"],
    ),
    row(
        "uint(string) -> uint",
        to_uint,
        "From decimal digits.",
        &["uint('12') == 12u"],
    ),
    row(
        "double(double) -> double",
        same,
        "The value itself.",
        &["double(1.5) == 1.5"],
    ),
    row(
        "double(int) -> double",
        to_double,
        "The nearest double.",
        &["double(1) == 1.0"],
    ),
    row(
        "double(uint) -> double",
        to_double,
        "The nearest double.",
        &["double(1u) == 1.0"],
    ),
    row(
        "double(string) -> double",
        to_double,
        "From a decimal number, `NaN`, `Infinity` or `-Infinity`.",
        &["double('1e3') == 1000.0"],
    ),
    row(
        "string(string) -> string",
        same,
        "The value itself.",
        &["string('a') == 'a'"],
    ),
    row(
        "string(bool) -> string",
        to_string,
        "`true` or `false`.",
        &["string(true) == 'true'"],
    ),
    row(
        "string(int) -> string",
        to_string,
        "Decimal digits.",
        &["string(-12) == '-12'"],
    ),
    row(
        "string(uint) -> string",
        to_string,
        "Decimal digits.",
        &["string(12u) == '12'"],
    ),
    row(
        "string(double) -> string",
        to_string,
        "The shortest decimal number that reads back as the same.",
        &["string(1.5) == '1.5'", "string(1e100) == '1e+100'"],
    ),
    row(
        "string(bytes) -> string",
        to_string,
        "Bytes that are UTF-8; others are an error.",
        &["string(b'abc') == 'abc'"],
    ),
    row(
        "string(timestamp) -> string",
        to_string,
        "RFC 3339 in UTC.",
        &["string(timestamp(0)) == '1970-01-01T00:00:00Z'"],
    ),
    row(
        "string(duration) -> string",
        to_string,
        "Seconds with an `s`.",
        &["string(duration('1m')) == '60s'"],
    ),
    row(
        "string(null) -> string",
        to_string,
        "Extension: `null`.",
        &["string(null) == 'null'"],
    ),
    row(
        "string(list(A)) -> string",
        to_string,
        "Extension: JSON.",
        &["string([1, 'a']) == '[1,\"a\"]'"],
    ),
    row(
        "string(map(A, B)) -> string",
        to_string,
        "Extension: JSON.",
        &["string({'a': 1}) == '{\"a\":1}'"],
    ),
    row(
        "string(type) -> string",
        to_string,
        "Extension: the type's name.",
        &["string(int) == 'int'"],
    ),
    row(
        "bytes(bytes) -> bytes",
        same,
        "The value itself.",
        &["bytes(b'a') == b'a'"],
    ),
    row(
        "bytes(string) -> bytes",
        to_bytes,
        "The text in UTF-8.",
        &["bytes('ÿ') == b'\\303\\277'"],
    ),
    row(
        "timestamp(timestamp) -> timestamp",
        same,
        "The value itself.",
        &["timestamp(timestamp(0)) == timestamp(0)"],
    ),
    row(
        "timestamp(string) -> timestamp",
        to_timestamp,
        "From RFC 3339.",
        &["timestamp('1970-01-01T01:00:00+01:00') == timestamp(0)"],
    ),
    row(
        "timestamp(int) -> timestamp",
        to_timestamp,
        "From seconds since 1970-01-01T00:00:00Z.",
        &["timestamp(60) == timestamp('1970-01-01T00:01:00Z')"],
    ),
    row(
        "duration(duration) -> duration",
        same,
        "The value itself.",
        &["duration(duration('1s')) == duration('1s')"],
    ),
    row(
        "duration(string) -> duration",
        to_duration,
        "From numbers with `h`, `m`, `s`, `ms`, `us` and `ns`. The forms that a step's fields take (`1h 30m`, `3d`, `PT5M`) are read too, as an extension.",
        &[
            "duration('1h30m') == duration('5400s')",
            "duration('1.5s') == duration('1500ms')",
            "duration('3d') == duration('72h')",
        ],
    ),
    row(
        "duration(int) -> duration",
        to_duration,
        "Extension: from seconds.",
        &["duration(60) == duration('1m')"],
    ),
];

fn same(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    Ok(arguments[0].clone().into_owned())
}

fn size(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let size = match &*arguments[0] {
        Value::String(text) => {
            call.budget.charge_bytes(text.len())?;
            text.chars().count()
        }
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) => items.len(),
        other => map(other)?.len(),
    };
    Ok(Value::Int(size as i64))
}

fn contains(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let text = string(&arguments[0])?;
    call.budget.charge_bytes(text.len())?;
    Ok(Value::Bool(text.contains(&**string(&arguments[1])?)))
}

fn starts_with(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let prefix = string(&arguments[1])?;
    call.budget.charge_bytes(prefix.len())?;
    Ok(Value::Bool(string(&arguments[0])?.starts_with(&**prefix)))
}

fn ends_with(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let suffix = string(&arguments[1])?;
    call.budget.charge_bytes(suffix.len())?;
    Ok(Value::Bool(string(&arguments[0])?.ends_with(&**suffix)))
}

fn type_of(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    Ok(Value::Type(arguments[0].type_name().into()))
}

fn to_bool(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    match &**string(&arguments[0])? {
        "1" | "t" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
        "0" | "f" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
        _ => Err(not_convertible(&arguments[0], "bool")),
    }
}

#[cold]
fn not_convertible(value: &Value, to: &str) -> Failure {
    Failure::new(format!(
        "type conversion error: {} is no {to}",
        shown(value)
    ))
}

#[cold]
fn out_of_range(value: impl std::fmt::Display, to: &str) -> Failure {
    Failure::new(format!("range error: {value} is outside the range of {to}"))
}

fn to_int(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let int = match &*arguments[0] {
        Value::Uint(u) => i64::try_from(*u).map_err(|_| out_of_range(u, "int"))?,
        Value::Double(d) if d.abs() < LIMIT => *d as i64,
        Value::Double(d) => return Err(out_of_range(d, "int")),
        Value::Timestamp(t) => t.seconds,
        Value::Duration(d) => d.seconds,
        other => string(other)?
            .parse()
            .map_err(|_| not_convertible(other, "int"))?,
    };
    Ok(Value::Int(int))
}

fn to_uint(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    const LIMIT: f64 = 18_446_744_073_709_551_616.0;
    let uint = match &*arguments[0] {
        Value::Int(i) => u64::try_from(*i).map_err(|_| out_of_range(i, "uint"))?,
        Value::Double(d) if *d > -1.0 && *d < LIMIT => *d as u64,
        Value::Double(d) => return Err(out_of_range(d, "uint")),
        other => string(other)?
            .parse()
            .map_err(|_| not_convertible(other, "uint"))?,
    };
    Ok(Value::Uint(uint))
}

fn to_double(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let double = match &*arguments[0] {
        Value::Int(i) => *i as f64,
        Value::Uint(u) => *u as f64,
        other => string(other)?
            .parse()
            .map_err(|_| not_convertible(other, "double"))?,
    };
    Ok(Value::Double(double))
}

fn to_string(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    if let Value::Bytes(bytes) = &*arguments[0] {
        call.budget.charge_bytes(bytes.len())?;
        return std::str::from_utf8(bytes)
            .map(Value::from)
            .map_err(|_| Failure::new("invalid UTF-8 in bytes, cannot convert to string"));
    }
    let mut out = Text::new();
    text::write(&arguments[0], &mut out, &mut call.budget)?;
    Ok(out.into_value())
}

fn to_bytes(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let text = string(&arguments[0])?;
    call.budget.charge_bytes(text.len())?;
    Ok(Value::Bytes(Arc::from(text.as_bytes())))
}

fn to_timestamp(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let timestamp = match &*arguments[0] {
        Value::Int(seconds) => Timestamp::from_nanos(i128::from(*seconds) * 1_000_000_000)
            .ok_or_else(|| out_of_range(seconds, "timestamp")),
        other => Timestamp::parse(string(other)?).ok_or_else(|| {
            Failure::new(format!(
                "{} is no timestamp; RFC 3339 is read, in the years 1 to 9999 (range)",
                shown(other)
            ))
        }),
    }?;
    Ok(Value::Timestamp(timestamp))
}

fn to_duration(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let semantics = call.budget.semantics;
    let length = match &*arguments[0] {
        Value::Int(seconds) => operators::duration(i128::from(*seconds) * 1_000_000_000, semantics),
        Value::String(text) => super::time::parse_duration(text, semantics),
        other => Err(unexpected(other)),
    };
    length.map(Value::Duration)
}
