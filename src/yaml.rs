//! YAML text to a tree with a range for every node.

use std::sync::Arc;

use crate::source::{Range, TextMap};
use crate::value::Value;

#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub data: Data,
    /// A scalar's range includes its quotes.
    pub range: Range,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    Scalar(Scalar),
    Sequence(Vec<Node>),
    /// Keys are unique; any node may be one in YAML, only scalars pass.
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
    pub value: Value,
    pub map: TextMap,
}
