//! What the operators compute, once their operands are evaluated.

use std::cmp::Ordering;
use std::sync::Arc;

use super::ast::Operator;
use super::builder::Text;
use super::context::{Budget, Failure, Operand, Semantics};
use crate::value::{Key, Map, Value};

type Result<T> = std::result::Result<T, Failure>;

/// A comparison of two values.
#[inline]
pub(crate) fn relation(
    operator: Operator,
    a: &Value,
    b: &Value,
    budget: &mut Budget,
) -> Result<bool> {
    use Operator::*;
    if let (Value::Int(a), Value::Int(b)) = (a, b) {
        match operator {
            Equal => return Ok(a == b),
            NotEqual => return Ok(a != b),
            Less => return Ok(a < b),
            LessEqual => return Ok(a <= b),
            Greater => return Ok(a > b),
            GreaterEqual => return Ok(a >= b),
            _ => {}
        }
    }
    Ok(match operator {
        Equal => equal(a, b, budget)?,
        NotEqual => !equal(a, b, budget)?,
        Less => compare(operator, a, b, budget)? == Some(Ordering::Less),
        LessEqual => compare(operator, a, b, budget)?.is_some_and(Ordering::is_le),
        Greater => compare(operator, a, b, budget)? == Some(Ordering::Greater),
        GreaterEqual => compare(operator, a, b, budget)?.is_some_and(Ordering::is_ge),
        _ => within(a, b, budget)?,
    })
}

/// Everything but the `+` of strings, bytes and lists.
pub(crate) fn arithmetic(
    operator: Operator,
    a: &Value,
    b: &Value,
    semantics: Semantics,
) -> Result<Value> {
    use Value::*;
    match (a, b) {
        (Int(a), Int(b)) => int(operator, *a, *b).map(Int),
        (Double(a), Double(b)) => double(operator, *a, *b).map(Double),
        (Int(a), Double(b)) => double(operator, *a as f64, *b).map(Double),
        (Double(a), Int(b)) => double(operator, *a, *b as f64).map(Double),
        (Uint(a), Uint(b)) => uint(operator, *a, *b).map(Uint),
        _ => time(operator, a, b, semantics),
    }
}

fn int(operator: Operator, a: i64, b: i64) -> Result<i64> {
    match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        Operator::Divide | Operator::Remainder if b == 0 => return Err(by_zero(operator)),
        Operator::Divide => a.checked_div(b),
        _ => a.checked_rem(b),
    }
    .ok_or_else(|| Failure::new(format!("integer overflow: {a} {} {b}", operator.symbol())))
}

fn uint(operator: Operator, a: u64, b: u64) -> Result<u64> {
    match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        Operator::Divide | Operator::Remainder if b == 0 => return Err(by_zero(operator)),
        Operator::Divide => a.checked_div(b),
        _ => a.checked_rem(b),
    }
    .ok_or_else(|| {
        Failure::new(format!(
            "unsigned integer overflow: {a}u {} {b}u",
            operator.symbol()
        ))
    })
}

#[cold]
fn by_zero(operator: Operator) -> Failure {
    Failure::new(match operator {
        Operator::Divide => "divide by zero",
        _ => "modulus by zero",
    })
}

fn double(operator: Operator, a: f64, b: f64) -> Result<f64> {
    Ok(match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        _ => {
            return Err(Failure::new(
                "no such overload: double % double; `%` is for integers",
            ));
        }
    })
}

fn time(operator: Operator, a: &Value, b: &Value, semantics: Semantics) -> Result<Value> {
    use Value::*;
    let instant = |nanos: i128| {
        crate::value::Timestamp::from_nanos(nanos)
            .map(Timestamp)
            .ok_or_else(|| Failure::new("out of range: timestamps lie in the years 1 to 9999"))
    };
    let length = |nanos: i128| duration(nanos, semantics).map(Duration);
    match (operator, a, b) {
        (Operator::Add, Timestamp(t), Duration(d)) | (Operator::Add, Duration(d), Timestamp(t)) => {
            instant(t.as_nanos() + d.as_nanos())
        }
        (Operator::Subtract, Timestamp(t), Duration(d)) => instant(t.as_nanos() - d.as_nanos()),
        (Operator::Subtract, Timestamp(t), Timestamp(u)) => length(t.as_nanos() - u.as_nanos()),
        (Operator::Add, Duration(d), Duration(e)) => length(d.as_nanos() + e.as_nanos()),
        (Operator::Subtract, Duration(d), Duration(e)) => length(d.as_nanos() - e.as_nanos()),
        _ => Err(no_overload(operator, &[a, b])),
    }
}

/// A duration that an expression computes: at most as many nanoseconds as fit in an int, some 292 years. Older engines
/// allowed ten thousand years.
pub(crate) fn duration(nanos: i128, semantics: Semantics) -> Result<crate::value::Duration> {
    let within = |nanos: Option<i128>| {
        nanos
            .and_then(crate::value::Duration::from_nanos)
            .ok_or_else(|| Failure::new("range error: a duration is at most some 292 years long"))
    };
    semantics.choose(
        || within(i64::try_from(nanos).ok().map(i128::from)),
        || within(Some(nanos)),
    )
}

#[cold]
pub(crate) fn no_overload(operator: Operator, operands: &[&Value]) -> Failure {
    let name = |v: &Value| v.type_name().to_owned();
    Failure::new(match operands {
        [one] => format!("no such overload: {}{}", operator.symbol(), name(one)),
        [a, b] => format!(
            "no such overload: {} {} {}",
            name(a),
            operator.symbol(),
            name(b)
        ),
        _ => format!("no such overload: {}", operator.symbol()),
    })
}

pub(crate) fn not(value: &Value) -> Result<Value> {
    match value {
        Value::Bool(b) => Ok(Value::Bool(!b)),
        other => Err(no_overload(Operator::Not, &[other])),
    }
}

pub(crate) fn negate(value: &Value) -> Result<Value> {
    match value {
        Value::Int(i) => i
            .checked_neg()
            .map(Value::Int)
            .ok_or_else(|| Failure::new(format!("integer overflow: -({i})"))),
        Value::Double(d) => Ok(Value::Double(-d)),
        other => Err(no_overload(Operator::Negate, &[other])),
    }
}

/// Adds up; strings, bytes and lists are built in one piece.
pub(crate) fn add(operands: &[Operand], budget: &mut Budget) -> Result<Value> {
    match &*operands[0] {
        Value::String(_) => concatenate_strings(operands, budget),
        Value::Bytes(_) => {
            let mut bytes = Vec::new();
            for (i, operand) in operands.iter().enumerate() {
                let Value::Bytes(more) = &**operand else {
                    return Err(no_overload(Operator::Add, &[&operands[i - 1], operand]));
                };
                budget.charge_bytes(more.len())?;
                bytes.extend_from_slice(more);
            }
            Ok(Value::Bytes(bytes.into()))
        }
        Value::List(_) => {
            let mut items = Vec::new();
            for (i, operand) in operands.iter().enumerate() {
                let Value::List(more) = &**operand else {
                    return Err(no_overload(Operator::Add, &[&operands[i - 1], operand]));
                };
                budget.charge_items(more.len())?;
                items.extend_from_slice(more);
            }
            Ok(Value::list(items))
        }
        first => {
            let semantics = budget.semantics;
            let mut sum = arithmetic(Operator::Add, first, &operands[1], semantics)?;
            for operand in &operands[2..] {
                sum = arithmetic(Operator::Add, &sum, operand, semantics)?;
            }
            Ok(sum)
        }
    }
}

fn concatenate_strings(operands: &[Operand], budget: &mut Budget) -> Result<Value> {
    let mut length = 0;
    for (i, operand) in operands.iter().enumerate() {
        let Value::String(text) = &**operand else {
            return Err(no_overload(Operator::Add, &[&operands[i - 1], operand]));
        };
        length += text.len();
    }
    budget.charge_bytes(length)?;
    let mut all = Text::new();
    for operand in operands {
        if let Value::String(text) = &**operand {
            all.push_str(text);
        }
    }
    Ok(all.into_value())
}

/// Adds up; the marked ones are ints that are written as digits.
pub(crate) fn join(
    operands: &mut [Operand],
    numbers: &[bool],
    budget: &mut Budget,
) -> Result<Value> {
    let mut all = Text::new();
    for (operand, number) in operands.iter().zip(numbers) {
        match &**operand {
            Value::Int(i) if *number => all.push_int(*i),
            Value::String(text) => {
                // Longer ones are measured before they are copied.
                if !all.has_room_for(text.len()) {
                    return add_texts(operands, numbers, budget);
                }
                all.push_str(text);
            }
            _ => return add_texts(operands, numbers, budget),
        }
    }
    budget.charge_bytes(all.as_bytes().len())?;
    Ok(all.into_value())
}

fn add_texts(operands: &mut [Operand], numbers: &[bool], budget: &mut Budget) -> Result<Value> {
    for (operand, number) in operands.iter_mut().zip(numbers) {
        if let (Value::Int(i), true) = (&**operand, number) {
            *operand = Operand::Owned(Value::from(i.to_string()));
        }
    }
    add(operands, budget)
}

pub(crate) fn equal(a: &Value, b: &Value, budget: &mut Budget) -> Result<bool> {
    use Value::*;
    Ok(match (a, b) {
        (Int(a), Int(b)) => a == b,
        (String(a), String(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            budget.charge_bytes(a.len())?;
            a == b
        }
        (Bytes(a), Bytes(b)) => {
            budget.charge_bytes(a.len().min(b.len()))?;
            a == b
        }
        (List(a), List(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for (x, y) in a.iter().zip(b.iter()) {
                budget.charge(1)?;
                if !equal(x, y, budget)? {
                    return Ok(false);
                }
            }
            true
        }
        (Map(a), Map(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for (key, x) in a.iter() {
                budget.charge(1)?;
                match b.get_key(key) {
                    Some(y) if equal(x, y, budget)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (Optional(Some(a)), Optional(Some(b))) => equal(a, b, budget)?,
        _ => a == b,
    })
}

/// The order of two values; `None` if one is not a number.
pub(crate) fn compare(
    operator: Operator,
    a: &Value,
    b: &Value,
    budget: &mut Budget,
) -> Result<Option<Ordering>> {
    use Value::*;
    Ok(match (a, b) {
        (Int(a), Int(b)) => Some(a.cmp(b)),
        (String(a), String(b)) => {
            budget.charge_bytes(a.len().min(b.len()))?;
            Some(a.cmp(b))
        }
        (Bytes(a), Bytes(b)) => {
            budget.charge_bytes(a.len().min(b.len()))?;
            Some(a.cmp(b))
        }
        (Bool(a), Bool(b)) => Some(a.cmp(b)),
        (Timestamp(a), Timestamp(b)) => Some(a.cmp(b)),
        (Duration(a), Duration(b)) => Some(a.as_nanos().cmp(&b.as_nanos())),
        _ => match compare_numbers(a, b) {
            Some(order) => order,
            None => return Err(no_overload(operator, &[a, b])),
        },
    })
}

/// `None` if one is not a number; `Some(None)` if one is NaN.
pub(crate) fn compare_numbers(a: &Value, b: &Value) -> Option<Option<Ordering>> {
    use Value::*;
    Some(match (a, b) {
        (Int(a), Int(b)) => Some(a.cmp(b)),
        (Uint(a), Uint(b)) => Some(a.cmp(b)),
        (Double(a), Double(b)) => a.partial_cmp(b),
        (Int(a), Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Uint(a), Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        // As doubles, as CEL has it: an integer beyond 2^53 equals its nearest double.
        (Int(a), Double(b)) => (*a as f64).partial_cmp(b),
        (Uint(a), Double(b)) => (*a as f64).partial_cmp(b),
        (Double(a), Int(b)) => a.partial_cmp(&(*b as f64)),
        (Double(a), Uint(b)) => a.partial_cmp(&(*b as f64)),
        _ => return None,
    })
}

pub(crate) fn within(item: &Value, of: &Value, budget: &mut Budget) -> Result<bool> {
    match of {
        Value::List(items) => {
            for one in items.iter() {
                budget.charge(1)?;
                let same = match (item, one) {
                    (Value::Int(a), Value::Int(b)) => a == b,
                    _ => equal(item, one, budget)?,
                };
                if same {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::Map(map) => {
            charge_key(item, budget)?;
            Ok(entry(map, item).is_some())
        }
        other => Err(no_overload(Operator::In, &[item, other])),
    }
}

/// The time to find a key is proportional to its length.
pub(crate) fn charge_key(key: &Value, budget: &mut Budget) -> Result<()> {
    match key {
        Value::String(name) => budget.charge_bytes(name.len()),
        _ => Ok(()),
    }
}

/// The entry under a key, which may be a double that is a whole number.
pub(crate) fn entry<'a>(map: &'a Map, key: &Value) -> Option<&'a Value> {
    match key {
        Value::String(name) => map.get(name),
        Value::Double(d) => map.get_key(&whole(*d)?),
        other => map.get_key(&Key::from_value(other)?),
    }
}

fn whole(d: f64) -> Option<Key> {
    let i = d as i64;
    if d.fract() != 0.0 || !d.is_finite() {
        None
    } else if i as f64 == d && i != i64::MAX {
        Some(Key::Int(i))
    } else if d > 0.0 && d < u64::MAX as f64 {
        Some(Key::Uint(d as u64))
    } else {
        None
    }
}

/// An item of a list or an entry of a map; `None` if it does not exist.
pub(crate) fn index<'a>(
    operand: &'a Value,
    index: &Value,
    budget: &mut Budget,
) -> Result<Option<&'a Value>> {
    match operand {
        Value::Map(map) => {
            charge_key(index, budget)?;
            Ok(entry(map, index))
        }
        Value::List(items) => {
            let position = match index {
                Value::Int(i) => usize::try_from(*i).ok(),
                Value::Uint(u) => usize::try_from(*u).ok(),
                Value::Double(d) if d.fract() == 0.0 && *d >= 0.0 => Some(*d as usize),
                other => {
                    return Err(Failure::new(format!(
                        "invalid_argument: a list's index is an int, not {}",
                        other.type_name()
                    )));
                }
            };
            Ok(position.and_then(|p| items.get(p)))
        }
        other => Err(Failure::new(format!(
            "no such overload: {}[{}]",
            other.type_name(),
            index.type_name()
        ))),
    }
}

/// Why [`index`] returned nothing.
#[cold]
pub(crate) fn missing(operand: &Value, index: &Value) -> Failure {
    match operand {
        Value::List(items) => Failure::new(format!(
            "invalid_argument: index {} is out of range; the list has {} items",
            shown(index),
            items.len()
        )),
        _ => Failure::new(format!("no such key: {}", shown(index))),
    }
}

/// A value in a message, shortened.
pub(crate) fn shown(value: &Value) -> String {
    const CHARACTERS_MAX: usize = 40;
    match value {
        Value::Int(i) => i.to_string(),
        Value::Uint(u) => format!("{u}u"),
        Value::Bool(b) => b.to_string(),
        Value::Null => "null".to_owned(),
        Value::String(text) if text.chars().nth(CHARACTERS_MAX).is_some() => {
            let short: String = text.chars().take(CHARACTERS_MAX).collect();
            format!("'{short}…'")
        }
        Value::String(text) => format!("'{text}'"),
        other => format!("a value of type {}", other.type_name()),
    }
}

pub(crate) fn some(value: Value) -> Value {
    Value::Optional(Some(Arc::new(value)))
}
