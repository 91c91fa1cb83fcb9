//! A map that keeps the order in which its entries were put in, so that iterating it is deterministic.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use indexmap::{Equivalent, IndexMap};
use rustc_hash::FxBuildHasher;

use super::Value;

/// CEL's map keys. Int and uint of the same number are the same key.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub enum Key {
    Bool(bool),
    Int(i64),
    Uint(u64),
    String(Arc<str>),
}

impl Key {
    pub fn from_value(value: &Value) -> Option<Key> {
        match value {
            Value::Bool(b) => Some(Key::Bool(*b)),
            Value::Int(i) => Some(Key::Int(*i)),
            Value::Uint(u) => Some(Key::Uint(*u)),
            Value::String(s) => Some(Key::String(s.clone())),
            _ => None,
        }
    }

    pub fn to_value(&self) -> Value {
        match self {
            Key::Bool(b) => Value::Bool(*b),
            Key::Int(i) => Value::Int(*i),
            Key::Uint(u) => Value::Uint(*u),
            Key::String(s) => Value::String(s.clone()),
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Key::String(s) => Some(s),
            _ => None,
        }
    }

    fn number(&self) -> Option<i128> {
        match self {
            Key::Int(i) => Some(i128::from(*i)),
            Key::Uint(u) => Some(i128::from(*u)),
            _ => None,
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Key::Bool(a), Key::Bool(b)) => a == b,
            (Key::String(a), Key::String(b)) => a == b,
            _ => self.number().is_some() && self.number() == other.number(),
        }
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Key::Bool(b) => b.hash(state),
            Key::String(s) => str::hash(s.borrow(), state),
            number => number.number().hash(state),
        }
    }
}

/// Looks a string key up without making one.
struct Name<'a>(&'a str);

impl Hash for Name<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Equivalent<Key> for Name<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        key.as_str() == Some(self.0)
    }
}

impl From<&str> for Key {
    fn from(name: &str) -> Self {
        Key::String(name.into())
    }
}

impl From<Arc<str>> for Key {
    fn from(name: Arc<str>) -> Self {
        Key::String(name)
    }
}

impl From<String> for Key {
    fn from(name: String) -> Self {
        Key::String(name.into())
    }
}

/// Equal maps have equal entries; their order does not count.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Map(IndexMap<Key, Value, FxBuildHasher>);

impl Map {
    pub fn new() -> Self {
        Map::default()
    }

    pub fn with_capacity(capacity: usize) -> Self {
        Map(IndexMap::with_capacity_and_hasher(capacity, FxBuildHasher))
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(&Name(name))
    }

    pub fn get_key(&self, key: &Key) -> Option<&Value> {
        self.0.get(key)
    }

    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(&Name(name))
    }

    /// Puts an entry in; one that is there keeps its place and gets the new value.
    pub fn insert(&mut self, key: impl Into<Key>, value: impl Into<Value>) -> Option<Value> {
        self.0.insert(key.into(), value.into())
    }

    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.0.shift_remove(&Name(name))
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Key, &Value)> + DoubleEndedIterator {
        self.0.iter()
    }

    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Key> {
        self.0.keys()
    }

    pub fn values(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.0.values()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Into<Key>, V: Into<Value>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Map(entries
            .into_iter()
            .map(|(k, v)| (k.into(), v.into()))
            .collect())
    }
}

impl IntoIterator for Map {
    type Item = (Key, Value);
    type IntoIter = indexmap::map::IntoIter<Key, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
