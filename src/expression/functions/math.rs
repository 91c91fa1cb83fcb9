//! The math extension library.

use std::cmp::Ordering;

use super::{Call, Row, Section, row, unexpected};
use crate::expression::context::{Failure, Operand};
use crate::expression::operators::compare_numbers;
use crate::value::Value;

pub(crate) const SECTION: Section = Section {
    title: "Math",
    extension: false,
    about: "",
    rows: ROWS,
};

const ROWS: &[Row] = &[
    row(
        "math.greatest(int...) -> int",
        greatest,
        "The greatest of the arguments.",
        &["math.greatest(1, 3, 2) == 3"],
    ),
    row(
        "math.greatest(uint...) -> uint",
        greatest,
        "The greatest of the arguments.",
        &["math.greatest(1u, 2u) == 2u"],
    ),
    row(
        "math.greatest(double...) -> double",
        greatest,
        "The greatest of the arguments.",
        &["math.greatest(-42.0, -21.5) == -21.5"],
    ),
    row(
        "math.greatest(number...) -> number",
        greatest,
        "The greatest of numbers of different types, by value.",
        &["math.greatest(1, 2.5, 2u) == 2.5"],
    ),
    row(
        "math.greatest(list(number)) -> number",
        greatest,
        "The greatest item; of an empty list it is an error.",
        &["math.greatest([1, 3, 2]) == 3"],
    ),
    row(
        "math.least(int...) -> int",
        least,
        "The least of the arguments.",
        &["math.least(1, 3, 2) == 1"],
    ),
    row(
        "math.least(uint...) -> uint",
        least,
        "The least of the arguments.",
        &["math.least(1u, 2u) == 1u"],
    ),
    row(
        "math.least(double...) -> double",
        least,
        "The least of the arguments.",
        &["math.least(-42.0, -21.5) == -42.0"],
    ),
    row(
        "math.least(number...) -> number",
        least,
        "The least of numbers of different types, by value.",
        &["math.least(1, 2.5, 2u) == 1"],
    ),
    row(
        "math.least(list(number)) -> number",
        least,
        "The least item; of an empty list it is an error.",
        &["math.least([3, 1, 2]) == 1"],
    ),
    row(
        "math.ceil(double) -> double",
        ceil,
        "Rounded up to a whole number.",
        &["math.ceil(1.2) == 2.0"],
    ),
    row(
        "math.floor(double) -> double",
        floor,
        "Rounded down to a whole number.",
        &["math.floor(-1.2) == -2.0"],
    ),
    row(
        "math.round(double) -> double",
        round,
        "Rounded to the nearest whole number, halves away from zero.",
        &["math.round(-1.5) == -2.0"],
    ),
    row(
        "math.trunc(double) -> double",
        trunc,
        "Without its fraction.",
        &["math.trunc(-1.9) == -1.0"],
    ),
    row(
        "math.abs(int) -> int",
        abs,
        "Without its sign; of the smallest int it is an error.",
        &["math.abs(-1) == 1"],
    ),
    row(
        "math.abs(uint) -> uint",
        abs,
        "The number itself.",
        &["math.abs(1u) == 1u"],
    ),
    row(
        "math.abs(double) -> double",
        abs,
        "Without its sign.",
        &["math.abs(-1.5) == 1.5"],
    ),
    row(
        "math.sign(int) -> int",
        sign,
        "-1, 0 or 1.",
        &["math.sign(-5) == -1"],
    ),
    row(
        "math.sign(uint) -> uint",
        sign,
        "0 or 1.",
        &["math.sign(5u) == 1u"],
    ),
    row(
        "math.sign(double) -> double",
        sign,
        "-1.0, 0.0 or 1.0.",
        &["math.sign(-0.5) == -1.0"],
    ),
    row(
        "math.sqrt(int) -> double",
        sqrt,
        "The square root; not a number below zero.",
        &["math.sqrt(81) == 9.0"],
    ),
    row(
        "math.sqrt(uint) -> double",
        sqrt,
        "The square root.",
        &["math.sqrt(81u) == 9.0"],
    ),
    row(
        "math.sqrt(double) -> double",
        sqrt,
        "The square root; not a number below zero.",
        &["math.sqrt(0.25) == 0.5"],
    ),
    row(
        "math.isNaN(double) -> bool",
        is_nan,
        "Whether it is not a number.",
        &["math.isNaN(0.0 / 0.0)"],
    ),
    row(
        "math.isInf(double) -> bool",
        is_inf,
        "Whether it is infinite.",
        &["math.isInf(1.0 / 0.0)"],
    ),
    row(
        "math.isFinite(double) -> bool",
        is_finite,
        "Whether it is neither infinite nor not a number.",
        &["math.isFinite(1.0)"],
    ),
    row(
        "math.bitAnd(int, int) -> int",
        bit_and,
        "Bit by bit.",
        &["math.bitAnd(3, 5) == 1"],
    ),
    row(
        "math.bitAnd(uint, uint) -> uint",
        bit_and,
        "Bit by bit.",
        &["math.bitAnd(3u, 5u) == 1u"],
    ),
    row(
        "math.bitOr(int, int) -> int",
        bit_or,
        "Bit by bit.",
        &["math.bitOr(1, 2) == 3"],
    ),
    row(
        "math.bitOr(uint, uint) -> uint",
        bit_or,
        "Bit by bit.",
        &["math.bitOr(1u, 2u) == 3u"],
    ),
    row(
        "math.bitXor(int, int) -> int",
        bit_xor,
        "Bit by bit.",
        &["math.bitXor(3, 5) == 6"],
    ),
    row(
        "math.bitXor(uint, uint) -> uint",
        bit_xor,
        "Bit by bit.",
        &["math.bitXor(3u, 5u) == 6u"],
    ),
    row(
        "math.bitNot(int) -> int",
        bit_not,
        "Every bit inverted.",
        &["math.bitNot(1) == -2"],
    ),
    row(
        "math.bitNot(uint) -> uint",
        bit_not,
        "Every bit inverted.",
        &["math.bitNot(0u) == 18446744073709551615u"],
    ),
    row(
        "math.bitShiftLeft(int, int) -> int",
        shift_left,
        "Shifted; 0 from 64 places on. Shifting by a negative number is an error.",
        &["math.bitShiftLeft(1, 2) == 4"],
    ),
    row(
        "math.bitShiftLeft(uint, int) -> uint",
        shift_left,
        "Shifted.",
        &["math.bitShiftLeft(1u, 2) == 4u"],
    ),
    row(
        "math.bitShiftRight(int, int) -> int",
        shift_right,
        "Shifted, filled with zeros even for a negative number; shifting by a negative number is an error.",
        &["math.bitShiftRight(1024, 2) == 256"],
    ),
    row(
        "math.bitShiftRight(uint, int) -> uint",
        shift_right,
        "Shifted.",
        &["math.bitShiftRight(1024u, 2) == 256u"],
    ),
];

fn greatest(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    extreme(call, arguments, Ordering::Greater)
}

fn least(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    extreme(call, arguments, Ordering::Less)
}

fn extreme(call: &mut Call, arguments: &[Operand], wanted: Ordering) -> Result<Value, Failure> {
    let mut best: Option<&Value> = None;
    let mut look = |value| {
        best = Some(match best {
            Some(best)
                if compare_numbers(value, best).ok_or_else(|| unexpected(value))?
                    != Some(wanted) =>
            {
                best
            }
            _ if compare_numbers(value, value).is_none() => return Err(unexpected(value)),
            _ => value,
        });
        Ok(())
    };
    match &*arguments[0] {
        Value::List(items) => {
            call.budget.charge_items(items.len())?;
            items.iter().try_for_each(look)?;
        }
        _ => arguments.iter().try_for_each(|a| look(a))?,
    }
    best.cloned()
        .ok_or_else(|| Failure::new("the list is empty: it has no greatest and no least item"))
}

fn double(argument: &Value) -> Result<f64, Failure> {
    match argument {
        Value::Double(d) => Ok(*d),
        other => Err(unexpected(other)),
    }
}

fn ceil(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    Ok(Value::Double(double(&arguments[0])?.ceil()))
}

fn floor(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    Ok(Value::Double(double(&arguments[0])?.floor()))
}

fn round(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    Ok(Value::Double(double(&arguments[0])?.round()))
}

fn trunc(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    Ok(Value::Double(double(&arguments[0])?.trunc()))
}

fn abs(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    match &*arguments[0] {
        Value::Int(i) => i
            .checked_abs()
            .map(Value::Int)
            .ok_or_else(|| Failure::new("integer overflow: the smallest int has no positive one")),
        Value::Uint(u) => Ok(Value::Uint(*u)),
        other => Ok(Value::Double(double(other)?.abs())),
    }
}

fn sign(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    Ok(match &*arguments[0] {
        Value::Int(i) => Value::Int(i.signum()),
        Value::Uint(u) => Value::Uint(u64::from(*u > 0)),
        other => match double(other)? {
            d if d == 0.0 || d.is_nan() => Value::Double(d),
            d => Value::Double(d.signum()),
        },
    })
}

fn sqrt(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let number = match &*arguments[0] {
        Value::Int(i) => *i as f64,
        Value::Uint(u) => *u as f64,
        other => double(other)?,
    };
    Ok(Value::Double(number.sqrt()))
}

fn is_nan(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    Ok(Value::Bool(double(&arguments[0])?.is_nan()))
}

fn is_inf(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    Ok(Value::Bool(double(&arguments[0])?.is_infinite()))
}

fn is_finite(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    Ok(Value::Bool(double(&arguments[0])?.is_finite()))
}

fn bits(
    arguments: &[Operand],
    signed: fn(i64, i64) -> i64,
    unsigned: fn(u64, u64) -> u64,
) -> Result<Value, Failure> {
    match (&*arguments[0], &*arguments[1]) {
        (Value::Int(a), Value::Int(b)) => Ok(Value::Int(signed(*a, *b))),
        (Value::Uint(a), Value::Uint(b)) => Ok(Value::Uint(unsigned(*a, *b))),
        (other, _) => Err(unexpected(other)),
    }
}

fn bit_and(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    bits(arguments, |a, b| a & b, |a, b| a & b)
}

fn bit_or(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    bits(arguments, |a, b| a | b, |a, b| a | b)
}

fn bit_xor(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    bits(arguments, |a, b| a ^ b, |a, b| a ^ b)
}

fn bit_not(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    match &*arguments[0] {
        Value::Int(i) => Ok(Value::Int(!i)),
        Value::Uint(u) => Ok(Value::Uint(!u)),
        other => Err(unexpected(other)),
    }
}

fn shift(arguments: &[Operand], by: fn(u64, u32) -> Option<u64>) -> Result<Value, Failure> {
    let places = super::int(&arguments[1])?;
    let places =
        u64::try_from(places).map_err(|_| Failure::new(format!("negative offset: {places}")))?;
    let places = u32::try_from(places).unwrap_or(u32::MAX);
    match &*arguments[0] {
        Value::Int(i) => Ok(Value::Int(by(*i as u64, places).unwrap_or(0) as i64)),
        Value::Uint(u) => Ok(Value::Uint(by(*u, places).unwrap_or(0))),
        other => Err(unexpected(other)),
    }
}

fn shift_left(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    shift(arguments, u64::checked_shl)
}

fn shift_right(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    shift(arguments, u64::checked_shr)
}
