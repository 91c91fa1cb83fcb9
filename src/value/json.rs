//! Values from JSON and to JSON. Integers become `int` (`uint` beyond its range), other numbers `double`; what JSON
//! does not have follows protobuf's JSON mapping: RFC 3339, seconds with an `s`, base64.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error as _, Serialize, SerializeMap, SerializeSeq, Serializer};

use super::{Key, Map, Value};
use crate::limits::VALUE_DEPTH_MAX;

/// Why a text is not JSON, or a value has no JSON form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(pub(crate) String);

pub fn parse_json(bytes: &[u8]) -> Result<Value, JsonError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Seed { depth: 0 }
        .deserialize(&mut reader)
        .map_err(|e| JsonError(named_bound(e.to_string())))?;
    reader.end().map_err(|e| JsonError(e.to_string()))?;
    Ok(value)
}

/// JSON from a file, a program or another service. A byte order mark before it is skipped, as RFC 8259 (8.1) allows.
pub(crate) fn parse_foreign_json(bytes: &[u8]) -> Result<Value, JsonError> {
    parse_json(without_byte_order_mark(bytes))
}

pub(crate) fn without_byte_order_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes)
}

/// The parser's own bound is the same number, and is reached first.
fn named_bound(error: String) -> String {
    match error.strip_prefix("recursion limit exceeded") {
        Some(place) => {
            format!("nested deeper than VALUE_DEPTH_MAX ({VALUE_DEPTH_MAX} levels){place}")
        }
        None => error,
    }
}

pub fn from_json(json: &serde_json::Value) -> Result<Value, JsonError> {
    Seed { depth: 0 }
        .deserialize(json)
        .map_err(|e| JsonError(e.to_string()))
}

pub fn to_json_string(value: &Value) -> Result<String, JsonError> {
    serde_json::to_string(&Json(value, 0)).map_err(|e| JsonError(e.to_string()))
}

pub fn to_json(value: &Value) -> Result<serde_json::Value, JsonError> {
    serde_json::to_value(Json(value, 0)).map_err(|e| JsonError(e.to_string()))
}

struct Seed {
    depth: usize,
}

impl Seed {
    fn inner<E: serde::de::Error>(&self) -> Result<Seed, E> {
        if self.depth >= VALUE_DEPTH_MAX {
            return Err(E::custom(format!(
                "nested deeper than VALUE_DEPTH_MAX ({VALUE_DEPTH_MAX} levels)"
            )));
        }
        Ok(Seed {
            depth: self.depth + 1,
        })
    }
}

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
        Ok(Value::Bool(b))
    }

    fn visit_i64<E>(self, i: i64) -> Result<Value, E> {
        Ok(Value::Int(i))
    }

    fn visit_u64<E>(self, u: u64) -> Result<Value, E> {
        Ok(i64::try_from(u).map_or(Value::Uint(u), Value::Int))
    }

    fn visit_f64<E>(self, d: f64) -> Result<Value, E> {
        Ok(Value::Double(d))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::string(text))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::with_capacity(items.size_hint().unwrap_or(0));
        while let Some(item) = items.next_element_seed(self.inner()?)? {
            list.push(item);
        }
        Ok(Value::list(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::with_capacity(entries.size_hint().unwrap_or(0));
        while let Some(name) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(self.inner()?)?;
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("a key stands twice in one object"));
            }
        }
        Ok(Value::map(map))
    }
}

struct Json<'a>(&'a Value, usize);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.1 > VALUE_DEPTH_MAX {
            return Err(S::Error::custom(format!(
                "nested deeper than VALUE_DEPTH_MAX ({VALUE_DEPTH_MAX} levels)"
            )));
        }
        match self.0.force().map_err(S::Error::custom)? {
            Value::Null | Value::Optional(None) => serializer.serialize_unit(),
            Value::Bool(b) => serializer.serialize_bool(*b),
            Value::Int(i) => serializer.serialize_i64(*i),
            Value::Uint(u) => serializer.serialize_u64(*u),
            Value::Double(d) => serialize_double(*d, serializer),
            Value::String(text) | Value::Type(text) => serializer.serialize_str(text),
            Value::Bytes(bytes) => {
                serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(bytes))
            }
            Value::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items.iter() {
                    list.serialize_element(&Json(item, self.1 + 1))?;
                }
                list.end()
            }
            Value::Map(map) => {
                let mut entries = serializer.serialize_map(Some(map.len()))?;
                for (key, value) in map.iter() {
                    entries.serialize_entry(&*key_text(key), &Json(value, self.1 + 1))?;
                }
                entries.end()
            }
            Value::Timestamp(t) => serializer.collect_str(t),
            Value::Duration(d) => serializer.collect_str(d),
            Value::Ip(ip) => serializer.collect_str(ip),
            Value::Cidr(cidr) => serializer.collect_str(cidr),
            Value::Optional(Some(value)) => Json(value, self.1 + 1).serialize(serializer),
            Value::Encoded(_) => Err(S::Error::custom("an encoded payload decoded to itself")),
        }
    }
}

fn serialize_double<S: Serializer>(d: f64, serializer: S) -> Result<S::Ok, S::Error> {
    if d.is_finite() {
        return serializer.serialize_f64(d);
    }
    serializer.serialize_str(if d.is_nan() {
        "NaN"
    } else if d > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    })
}

fn key_text(key: &Key) -> Arc<str> {
    match key {
        Key::String(name) => name.clone(),
        Key::Bool(b) => b.to_string().into(),
        Key::Int(i) => i.to_string().into(),
        Key::Uint(u) => u.to_string().into(),
    }
}
