//! Signatures of functions and operators, read from the text that the reference shows.

use std::sync::Arc;

use super::types::Type;
use crate::value::Value;

/// How something can be called.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Signature {
    /// The function's name, with its namespace, or the operator's symbol.
    pub(crate) name: Arc<str>,
    /// The first parameter is before the dot.
    pub(crate) member: bool,
    pub(crate) parameters: Vec<Type>,
    /// The last parameter can occur any number of times.
    pub(crate) variadic: bool,
    pub(crate) result: Type,
}

impl Signature {
    /// Reads `string.contains(string) -> bool`, `size(list(A)) -> int`, `math.least(number...) -> number`,
    /// `int + int -> int`, `!bool -> bool`, `list(A)[int] -> A`, `bool ? A : A -> A`.
    pub(crate) fn parse(text: &str) -> Signature {
        let (call, result) = text.rsplit_once(" -> ").expect("a signature has a result");
        let words: Vec<&str> = split(call, ' ');
        let (name, member, parameters) = match words[..] {
            [left, symbol, right] => (symbol, false, vec![left, right]),
            [condition, "?", then, ":", other] => ("?:", false, vec![condition, then, other]),
            _ if call.starts_with(['!', '-']) => (&call[..1], false, vec![&call[1..]]),
            _ if call.ends_with(']') => {
                let open = call.rfind('[').expect("an index has two brackets");
                let index = &call[open + 1..call.len() - 1];
                ("[]", false, vec![&call[..open], index])
            }
            _ => Self::split_call(call),
        };
        let variadic = parameters.last().is_some_and(|p| p.ends_with("..."));
        Signature {
            name: name.into(),
            member,
            parameters: parameters
                .iter()
                .map(|p| parse_type(p.trim_end_matches("...")))
                .collect(),
            variadic,
            result: parse_type(result),
        }
    }

    fn split_call(call: &str) -> (&str, bool, Vec<&str>) {
        let open = matching_open(call);
        let arguments = &call[open + 1..call.len() - 1];
        let mut parameters: Vec<&str> = split(arguments, ',')
            .into_iter()
            .map(str::trim)
            .filter(|p| !p.is_empty())
            .collect();
        let head = &call[..open];
        match head.rsplit_once('.') {
            Some((receiver, name)) if is_type(receiver) => {
                parameters.insert(0, receiver);
                (name, true, parameters)
            }
            _ => (head, false, parameters),
        }
    }

    pub(crate) fn accepts(&self, count: usize) -> bool {
        count == self.parameters.len() || self.variadic && count >= self.parameters.len()
    }

    /// The parameter of an argument.
    pub(crate) fn parameter(&self, index: usize) -> &Type {
        &self.parameters[index.min(self.parameters.len() - 1)]
    }
}

/// The bracket that the last one closes.
fn matching_open(call: &str) -> usize {
    let mut depth = 0;
    for (i, c) in call.char_indices().rev() {
        match c {
            ')' => depth += 1,
            '(' if depth == 1 => return i,
            '(' => depth -= 1,
            _ => {}
        }
    }
    panic!("a signature's brackets match: {call}")
}

/// Splits where no bracket is open.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (i, c) in text.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            _ if c == separator && depth == 0 => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn is_type(text: &str) -> bool {
    text.ends_with(')') || simple(text).is_some()
}

fn simple(text: &str) -> Option<Type> {
    Some(match text {
        "any" => Type::Dynamic,
        "nothing" => Type::Never,
        "null" => Type::Null,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "number" => Type::Union([Type::Int, Type::Uint, Type::Double].into()),
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "timestamp" => Type::Timestamp,
        "duration" => Type::Duration,
        "type" => Type::Type,
        "IP" => Type::Ip,
        "CIDR" => Type::Cidr,
        "A" | "B" | "C" => Type::Parameter(text.into()),
        _ => return None,
    })
}

fn parse_type(text: &str) -> Type {
    let text = text.trim();
    if let Some(found) = simple(text) {
        return found;
    }
    let open = text
        .find('(')
        .unwrap_or_else(|| panic!("a signature names a type that there is: {text}"));
    let inner: Vec<Type> = split(&text[open + 1..text.len() - 1], ',')
        .into_iter()
        .map(parse_type)
        .collect();
    match (&text[..open], &inner[..]) {
        ("list", [item]) => Type::list(item.clone()),
        ("optional", [inner]) => Type::optional(inner.clone()),
        ("map", [key, value]) => Type::map(key.clone(), value.clone()),
        _ => panic!("a signature names a type that there is: {text}"),
    }
}

/// The kinds of values a parameter takes, as a set of bits, and the bit of a value.
pub(crate) type Kinds = u16;
/// How many kinds there are.
pub(crate) const KINDS: usize = Kinds::BITS as usize;

#[inline]
pub(crate) fn kind(value: &Value) -> Kinds {
    1 << match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Int(_) => 2,
        Value::Uint(_) => 3,
        Value::Double(_) => 4,
        Value::String(_) => 5,
        Value::Bytes(_) => 6,
        Value::List(_) => 7,
        Value::Map(_) => 8,
        Value::Timestamp(_) => 9,
        Value::Duration(_) => 10,
        Value::Type(_) => 11,
        Value::Optional(_) => 12,
        Value::Ip(_) => 13,
        Value::Cidr(_) => 14,
        Value::Encoded(_) => 15,
    }
}

pub(crate) fn kinds(parameter: &Type) -> Kinds {
    match parameter {
        Type::Null => 1,
        Type::Bool => 1 << 1,
        Type::Int => 1 << 2,
        Type::Uint => 1 << 3,
        Type::Double => 1 << 4,
        Type::String => 1 << 5,
        Type::Bytes => 1 << 6,
        Type::List(_) => 1 << 7,
        Type::Map(..) | Type::Object(_) => 1 << 8,
        Type::Timestamp => 1 << 9,
        Type::Duration => 1 << 10,
        Type::Type => 1 << 11,
        Type::Optional(_) => 1 << 12,
        Type::Ip => 1 << 13,
        Type::Cidr => 1 << 14,
        Type::Union(any) => any.iter().fold(0, |all, t| all | kinds(t)),
        Type::Dynamic | Type::Never | Type::Abstract(..) | Type::Parameter(_) => Kinds::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_read() {
        let member = Signature::parse("list(A).join(string) -> string");
        assert!(member.member);
        assert_eq!(&*member.name, "join");
        assert_eq!(member.parameters.len(), 2);
        let global = Signature::parse("optional.of(A) -> optional(A)");
        assert!(!global.member);
        assert_eq!(&*global.name, "optional.of");
        let operator = Signature::parse("list(A) + list(A) -> list(A)");
        assert_eq!(&*operator.name, "+");
        assert_eq!(Signature::parse("map(A, B)[A] -> B").parameters.len(), 2);
        assert_eq!(Signature::parse("now() -> timestamp").parameters.len(), 0);
        assert!(Signature::parse("math.least(number...) -> number").variadic);
    }
}
