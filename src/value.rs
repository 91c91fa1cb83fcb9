//! The value that expressions and steps compute with: JSON's shapes plus CEL's own types, cheap to clone, maps in the
//! order in which they were written.

mod json;
mod map;
mod network;
mod payload;
mod quote;
mod time;

use std::net::IpAddr;
use std::sync::Arc;

pub(crate) use json::{JsonError, parse_foreign_json, without_byte_order_mark};
pub use json::{from_json, parse_json, to_json, to_json_string};
pub(crate) use map::{Index, Key, Map};
pub(crate) use network::Cidr;
pub(crate) use payload::Encoded;
pub use payload::Payload;
pub(crate) use quote::{bounded_message, quoted};
pub use time::{Duration, Timestamp};

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Arc<str>),
    Bytes(Arc<[u8]>),
    List(Arc<Vec<Value>>),
    Map(Arc<Map>),
    Timestamp(Timestamp),
    Duration(Duration),
    /// A CEL type, by its name.
    Type(Arc<str>),
    Ip(IpAddr),
    Cidr(Cidr),
    /// CEL's optional.
    Optional(Option<Arc<Value>>),
    /// A payload that has only been passed on so far. [`Value::force`] decodes it, once. Only whole slots hold one:
    /// nothing inside a list or a map is encoded, and no operator or function ever sees one.
    Encoded(Arc<Encoded>),
}

impl Value {
    pub fn string(text: impl Into<Arc<str>>) -> Self {
        Value::String(text.into())
    }

    pub fn list(items: Vec<Value>) -> Self {
        Value::List(Arc::new(items))
    }

    pub fn map(map: Map) -> Self {
        Value::Map(Arc::new(map))
    }

    /// The decoded value: itself unless it is an encoded payload. A payload that is not valid JSON under a JSON
    /// encoding is an error.
    pub fn force(&self) -> Result<&Value, JsonError> {
        match self {
            Value::Encoded(encoded) => encoded.decoded(),
            other => Ok(other),
        }
    }

    /// CEL's name for the value's type.
    pub(crate) fn type_name(&self) -> &str {
        match self {
            Value::Null => "null_type",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Uint(_) => "uint",
            Value::Double(_) => "double",
            Value::String(_) => "string",
            Value::Bytes(_) => "bytes",
            Value::List(_) => "list",
            Value::Map(_) => "map",
            Value::Timestamp(_) => "google.protobuf.Timestamp",
            Value::Duration(_) => "google.protobuf.Duration",
            Value::Type(_) => "type",
            Value::Ip(_) => "net.IP",
            Value::Cidr(_) => "net.CIDR",
            Value::Optional(_) => "optional_type",
            Value::Encoded(encoded) => encoded.decoded().map_or("payload", Value::type_name),
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self.force() {
            Ok(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_map(&self) -> Option<&Map> {
        match self.force() {
            Ok(Value::Map(map)) => Some(map),
            _ => None,
        }
    }

    pub(crate) fn as_list(&self) -> Option<&[Value]> {
        match self.force() {
            Ok(Value::List(list)) => Some(list),
            _ => None,
        }
    }

    /// A field of a map by its name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.as_map()?.get(name)
    }
}

/// The same data: numbers by value across their types, maps whatever their order. CEL's `==` is built on it.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        use Value::*;
        match (self, other) {
            (Encoded(_), _) | (_, Encoded(_)) => match (self.force(), other.force()) {
                (Ok(a), Ok(b)) => a == b,
                _ => false,
            },
            (Null, Null) => true,
            (Bool(a), Bool(b)) => a == b,
            (Int(a), Int(b)) => a == b,
            (Uint(a), Uint(b)) => a == b,
            (Double(a), Double(b)) => a == b,
            (Int(a), Uint(b)) | (Uint(b), Int(a)) => u64::try_from(*a) == Ok(*b),
            // As doubles, as CEL has it: an integer beyond 2^53 equals its nearest double.
            (Int(i), Double(d)) | (Double(d), Int(i)) => *i as f64 == *d,
            (Uint(u), Double(d)) | (Double(d), Uint(u)) => *u as f64 == *d,
            (String(a), String(b)) => a == b,
            (Bytes(a), Bytes(b)) => a == b,
            (List(a), List(b)) => a == b,
            (Map(a), Map(b)) => a == b,
            (Timestamp(a), Timestamp(b)) => a == b,
            (Duration(a), Duration(b)) => a == b,
            (Type(a), Type(b)) => a == b,
            (Ip(a), Ip(b)) => a == b,
            (Cidr(a), Cidr(b)) => a == b,
            (Optional(a), Optional(b)) => a == b,
            _ => false,
        }
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Value::Bool(b)
    }
}

impl From<i64> for Value {
    fn from(i: i64) -> Self {
        Value::Int(i)
    }
}

impl From<f64> for Value {
    fn from(d: f64) -> Self {
        Value::Double(d)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::string(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::string(text)
    }
}
