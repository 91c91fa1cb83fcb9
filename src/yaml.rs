//! YAML text to a tree with a range for every node.

mod align;
mod bytes;
mod comments;
mod cut;
mod mapping;
mod message;
mod read;
mod scalar;

use std::sync::Arc;

use crate::source::{Range, TextMap};
use crate::value::{Map, Value};

pub(crate) use bytes::decode;
pub(crate) use comments::comments;
pub use read::read;

#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub data: Data,
    /// A scalar's range includes its quotes.
    pub(crate) range: Range,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    Scalar(Scalar),
    Sequence(Vec<Node>),
    /// Unique. YAML allows any node as a key; only scalars are accepted.
    Mapping(Vec<Entry>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub key: Node,
    pub value: Node,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    Literal,
    Folded,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    /// Decoded: escapes resolved, lines folded.
    pub text: Arc<str>,
    pub style: Style,
    /// By YAML 1.2's core schema: null, bool, int, float or string.
    pub(crate) value: Value,
    pub map: TextMap,
}

impl Node {
    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.data {
            Data::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    pub(crate) fn sequence(&self) -> Option<&[Node]> {
        match &self.data {
            Data::Sequence(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn mapping(&self) -> Option<&[Entry]> {
        match &self.data {
            Data::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.data, Data::Scalar(scalar) if matches!(scalar.value, Value::Null))
    }

    /// What the node is, for a message: "a number", "a list".
    pub(crate) fn kind(&self) -> &'static str {
        match &self.data {
            Data::Sequence(_) => "a list",
            Data::Mapping(_) => "a mapping",
            Data::Scalar(scalar) => match &scalar.value {
                Value::Null => "nothing",
                Value::Bool(_) => "a boolean",
                Value::Int(_) | Value::Uint(_) => "an integer",
                Value::Double(_) => "a number",
                _ => "text",
            },
        }
    }

    /// The plain data of the node, as JSON would have it.
    pub fn to_value(&self) -> Value {
        match &self.data {
            Data::Scalar(scalar) => scalar.value.clone(),
            Data::Sequence(items) => Value::list(items.iter().map(Node::to_value).collect()),
            Data::Mapping(entries) => Value::map(
                entries
                    .iter()
                    .map(|entry| (entry.name(), entry.value.to_value()))
                    .collect::<Map>(),
            ),
        }
    }
}

impl Entry {
    /// The key's text; a number or a boolean as it is written, as in JSON.
    pub(crate) fn name(&self) -> Arc<str> {
        match &self.key.data {
            Data::Scalar(scalar) => scalar.text.clone(),
            _ => "".into(),
        }
    }
}
