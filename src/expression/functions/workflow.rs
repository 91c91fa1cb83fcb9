//! What workflows need beyond CEL: conversion from and to JSON, maps as data, time and randomness that a replay
//! repeats.

use std::sync::Arc;

use super::text;
use super::{Call, Row, Run, Section, list, map, row, unexpected};
use crate::expression::context::{Failure, Host, Operand};
use crate::expression::operators::charge_key;
use crate::value::{Key, Map, Value, parse_json};

pub(crate) const DATA: Section = Section {
    title: "Data",
    extension: true,
    about: "Lists also have `sum`, `min`, `max`, `first`, `last` and `groupBy`: see Lists and Macros.",
    rows: DATA_ROWS,
};

pub(crate) const RUN: Section = Section {
    title: "The run",
    extension: true,
    about: "These use the workflow task's time and the run's seed, so a replay gives the same values. Queries and validators of updates may not call `uuid` and `random`.",
    rows: RUN_ROWS,
};

const DATA_ROWS: &[Row] = &[
    row(
        "map(A, B).merge(map(A, B)) -> map(A, B)",
        merge,
        "All entries of both; the argument's if both have the key. Nested maps are replaced, not merged.",
        &["{'a': 1, 'b': 1}.merge({'b': 2}) == {'a': 1, 'b': 2}"],
    ),
    row(
        "map(A, B).keys() -> list(A)",
        keys,
        "The keys, in the order of insertion.",
        &["{'b': 1, 'a': 2}.keys() == ['b', 'a']"],
    ),
    row(
        "map(A, B).values() -> list(B)",
        values,
        "The values, in their keys' order.",
        &["{'b': 1, 'a': 2}.values() == [1, 2]"],
    ),
    row(
        "map(A, B).entries() -> list(map(string, any))",
        entries,
        "A map with `key` and `value` for each entry.",
        &["{'a': 1}.entries() == [{'key': 'a', 'value': 1}]"],
    ),
    row(
        "list(any).fromEntries() -> map(any, any)",
        from_entries,
        "The map with these entries; a repeated key replaces the earlier entry.",
        &["[{'key': 'a', 'value': 1}].fromEntries() == {'a': 1}"],
    ),
    row(
        "map(A, B).without(A) -> map(A, B)",
        without,
        "The map without a key.",
        &["{'a': 1, 'b': 2}.without('a') == {'b': 2}"],
    ),
    row(
        "map(A, B).without(list(A)) -> map(A, B)",
        without,
        "The map without some keys.",
        &["{'a': 1, 'b': 2}.without(['a', 'c']) == {'b': 2}"],
    ),
    row(
        "optional(A).default(A) -> A",
        default,
        "The value, or the argument if there is none or it is null. `orValue` keeps a null.",
        &["{'a': null}.?a.default(2) == 2", "{}.?a.default(2) == 2"],
    )
    .decided_by_first(not_null),
    row(
        "any.default(A) -> any",
        default,
        "The value, or the argument if it is null.",
        &["dyn(null).default(2) == 2", "dyn(1).default(2) == 1"],
    )
    .decided_by_first(not_null),
    row(
        "json.parse(string) -> any",
        json_parse,
        "The value of a JSON text: integers are `int`, other numbers `double`.",
        &["json.parse('{\"a\": [1, 2.5]}') == {'a': [1, 2.5]}"],
    ),
    row(
        "json.parse(bytes) -> any",
        json_parse,
        "The value of a JSON text.",
        &["json.parse(b'null') == null"],
    ),
    row(
        "json.encode(any) -> string",
        json_encode,
        "The value as JSON, without spaces. Timestamps, durations and bytes are strings.",
        &["json.encode({'a': [1, null]}) == '{\"a\":[1,null]}'"],
    ),
];

const RUN_ROWS: &[Row] = &[
    of_run(
        "now() -> timestamp",
        now,
        false,
        "The workflow task's time.",
        &["type(now()) == google.protobuf.Timestamp"],
    ),
    of_run(
        "uuid() -> string",
        uuid,
        true,
        "A random UUID, version 4.",
        &["size(uuid()) == 36"],
    ),
    of_run(
        "random() -> double",
        random,
        true,
        "A random number from 0 to less than 1.",
        &["random() < 1.0"],
    ),
];

const fn of_run(
    signature: &'static str,
    run: fn(&mut dyn Host) -> Value,
    draws: bool,
    meaning: &'static str,
    examples: &'static [&'static str],
) -> Row {
    Row {
        signature,
        run: Run::OfRun { run, draws },
        meaning,
        examples,
        decided_by_first: None,
        pattern: None,
    }
}

fn merge(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let (base, over) = (map(&arguments[0])?, map(&arguments[1])?);
    call.budget.charge_items(base.len() + over.len())?;
    let mut merged = Map::with_capacity(base.len() + over.len());
    for (key, value) in base.iter().chain(over.iter()) {
        merged.insert(key.clone(), value.clone());
    }
    Ok(Value::map(merged))
}

fn keys(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let map = map(&arguments[0])?;
    call.budget.charge_items(map.len())?;
    Ok(Value::list(map.keys().map(Key::to_value).collect()))
}

fn values(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let map = map(&arguments[0])?;
    call.budget.charge_items(map.len())?;
    Ok(Value::list(map.values().cloned().collect()))
}

fn entries(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let map = map(&arguments[0])?;
    call.budget.charge_items(3 * map.len())?;
    let (key_name, value_name): (Arc<str>, Arc<str>) = ("key".into(), "value".into());
    let entry = |(key, value): (&Key, &Value)| {
        let entry = [
            (key_name.clone(), key.to_value()),
            (value_name.clone(), value.clone()),
        ];
        Value::map(entry.into_iter().collect())
    };
    Ok(Value::list(map.iter().map(entry).collect()))
}

fn from_entries(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let entries = list(&arguments[0])?;
    call.budget.charge_items(2 * entries.len())?;
    let mut whole = Map::with_capacity(entries.len());
    for entry in entries {
        let part = |name: &str| {
            entry.get(name).ok_or_else(|| {
                Failure::new(format!(
                    "an entry has `key` and `value`; `{name}` is missing"
                ))
            })
        };
        let key = part("key")?;
        charge_key(key, &mut call.budget)?;
        let key = Key::from_value(key)
            .ok_or_else(|| Failure::new(format!("unsupported key type: {}", key.type_name())))?;
        whole.insert(key, part("value")?.clone());
    }
    Ok(Value::map(whole))
}

fn without(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let whole = map(&arguments[0])?;
    let one = [(*arguments[1]).clone()];
    let refused: &[Value] = match &*arguments[1] {
        Value::List(keys) => keys,
        _ => &one,
    };
    call.budget
        .charge_items(whole.len().saturating_mul(refused.len().max(1)))?;
    let refused: Vec<Key> = refused.iter().filter_map(Key::from_value).collect();
    let left = whole.iter().filter(|(key, _)| !refused.contains(key));
    Ok(Value::map(
        left.map(|(k, v)| (k.clone(), v.clone())).collect(),
    ))
}

/// The result of `default` if its argument is not needed.
fn not_null(first: &Value) -> Option<Value> {
    match first {
        Value::Null | Value::Optional(None) => None,
        Value::Optional(Some(inner)) if matches!(**inner, Value::Null) => None,
        Value::Optional(Some(inner)) => Some((**inner).clone()),
        value => Some(value.clone()),
    }
}

fn default(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let value = match &*arguments[0] {
        Value::Optional(None) | Value::Null => None,
        Value::Optional(Some(inner)) if matches!(**inner, Value::Null) => None,
        Value::Optional(Some(inner)) => Some((**inner).clone()),
        other => Some(other.clone()),
    };
    Ok(value.unwrap_or_else(|| (*arguments[1]).clone()))
}

fn json_parse(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    let bytes = match &*arguments[0] {
        Value::String(text) => text.as_bytes(),
        Value::Bytes(bytes) => bytes,
        other => return Err(unexpected(other)),
    };
    // Building values out of text costs more than copying it.
    call.budget.charge_items(bytes.len() / 8)?;
    parse_json(bytes).map_err(|error| Failure::new(format!("json.parse: {error}")))
}

fn json_encode(call: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    text::json(&arguments[0], &mut call.budget).map(Value::from)
}

fn now(host: &mut dyn Host) -> Value {
    Value::Timestamp(host.now())
}

fn uuid(host: &mut dyn Host) -> Value {
    let (high, low) = (host.random_u64(), host.random_u64());
    Value::from(uuid_text(high, low))
}

/// A UUID of RFC 9562's version 4, from random bits.
pub(crate) fn uuid_text(high: u64, low: u64) -> String {
    const VERSION: u128 = 0x4000 << 64;
    const VERSION_MASK: u128 = 0xf000 << 64;
    const VARIANT: u128 = 0x8000 << 48;
    const VARIANT_MASK: u128 = 0xc000 << 48;
    let drawn = u128::from(high) << 64 | u128::from(low);
    let bits = drawn & !VERSION_MASK & !VARIANT_MASK | VERSION | VARIANT;
    let hex = format!("{bits:032x}");
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

fn random(host: &mut dyn Host) -> Value {
    let bits = host.random_u64() >> 11;
    Value::Double(bits as f64 / (1u64 << 53) as f64)
}
