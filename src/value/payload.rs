//! Temporal's payload, and a value that stays one until it is used.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::{JsonError, Value, parse_json, to_json_string};

const ENCODING: &str = "encoding";
const JSON_PLAIN: &[u8] = b"json/plain";
const JSON_PROTOBUF: &[u8] = b"json/protobuf";
const BINARY_NULL: &[u8] = b"binary/null";
const BINARY_PLAIN: &[u8] = b"binary/plain";

#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Payload {
    pub metadata: BTreeMap<String, Vec<u8>>,
    pub data: Vec<u8>,
}

impl Payload {
    /// Null is `binary/null`, bytes are `binary/plain`, everything else is `json/plain`, as the SDKs' default
    /// converters do. A value that is still encoded is the payload that it was created from.
    pub fn from_value(value: &Value) -> Result<Payload, JsonError> {
        Ok(match value {
            Value::Encoded(encoded) => encoded.payload.clone(),
            Value::Null | Value::Optional(None) => Payload::new(BINARY_NULL, Vec::new()),
            Value::Bytes(bytes) => Payload::new(BINARY_PLAIN, bytes.to_vec()),
            other => Payload::new(JSON_PLAIN, to_json_string(other)?.into_bytes()),
        })
    }

    fn new(encoding: &[u8], data: Vec<u8>) -> Self {
        Payload {
            metadata: BTreeMap::from([(ENCODING.to_owned(), encoding.to_vec())]),
            data,
        }
    }

    pub fn encoding(&self) -> &[u8] {
        self.metadata.get(ENCODING).map_or(&[], Vec::as_slice)
    }

    pub fn decode(&self) -> Result<Value, JsonError> {
        match self.encoding() {
            JSON_PLAIN | JSON_PROTOBUF => parse_json(&self.data),
            BINARY_NULL => Ok(Value::Null),
            BINARY_PLAIN => Ok(Value::Bytes(self.data.as_slice().into())),
            other => Err(JsonError(format!(
                "a payload's encoding is {:?}; json/plain, json/protobuf, binary/plain and binary/null can be read",
                String::from_utf8_lossy(other)
            ))),
        }
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.data.len()
            + self
                .metadata
                .iter()
                .map(|(k, v)| k.len() + v.len())
                .sum::<usize>()
    }
}

/// A payload and, once it was needed, the value in it.
#[derive(Debug)]
pub struct Encoded {
    payload: Payload,
    decoded: OnceLock<Result<Value, JsonError>>,
}

impl Encoded {
    pub(crate) fn decoded(&self) -> Result<&Value, JsonError> {
        self.decoded
            .get_or_init(|| self.payload.decode())
            .as_ref()
            .map_err(Clone::clone)
    }
}

impl From<Payload> for Value {
    fn from(payload: Payload) -> Self {
        match payload.encoding() {
            BINARY_NULL => Value::Null,
            _ => Value::Encoded(Arc::new(Encoded {
                payload,
                decoded: OnceLock::new(),
            })),
        }
    }
}

/// Only the payload is stored, not whether it was already decoded.
impl serde::Serialize for Encoded {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.payload.serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Encoded {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let payload = Payload::deserialize(deserializer)?;
        Ok(Encoded {
            payload,
            decoded: OnceLock::new(),
        })
    }
}
