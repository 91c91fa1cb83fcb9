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

/// Entries that are found faster one after the other than by their hash.
const FEW_ENTRIES_MAX: usize = 12;

/// Equal maps have equal entries; their order does not count.
#[derive(Debug, Clone, Default)]
pub struct Map(Entries);

#[derive(Debug, Clone)]
enum Entries {
    /// Most maps are small: no hash is computed for them, and nothing but the entries is kept.
    Few(Vec<(Key, Value)>),
    Many(IndexMap<Key, Value, FxBuildHasher>),
}

impl Default for Entries {
    fn default() -> Self {
        Entries::Few(Vec::new())
    }
}

impl Map {
    pub fn new() -> Self {
        Map::default()
    }

    pub fn with_capacity(capacity: usize) -> Self {
        Map(if capacity <= FEW_ENTRIES_MAX {
            Entries::Few(Vec::with_capacity(capacity))
        } else {
            Entries::Many(IndexMap::with_capacity_and_hasher(capacity, FxBuildHasher))
        })
    }

    /// A map of entries whose keys are all different.
    pub fn from_distinct(entries: Vec<(Key, Value)>) -> Self {
        Map(if entries.len() <= FEW_ENTRIES_MAX {
            Entries::Few(entries)
        } else {
            Entries::Many(entries.into_iter().collect())
        })
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        match &self.0 {
            Entries::Few(entries) => entries
                .iter()
                .find(|(key, _)| matches!(key, Key::String(k) if **k == *name))
                .map(|(_, value)| value),
            Entries::Many(entries) => entries.get(&Name(name)),
        }
    }

    pub fn get_key(&self, key: &Key) -> Option<&Value> {
        match &self.0 {
            Entries::Few(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            Entries::Many(entries) => entries.get(key),
        }
    }

    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Puts an entry in; one that is there keeps its place and gets the new value.
    pub fn insert(&mut self, key: impl Into<Key>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        let few = match &mut self.0 {
            Entries::Few(entries) => entries,
            Entries::Many(entries) => return entries.insert(key, value),
        };
        if let Some((_, old)) = few.iter_mut().find(|(k, _)| *k == key) {
            return Some(std::mem::replace(old, value));
        }
        if few.len() < FEW_ENTRIES_MAX {
            few.push((key, value));
            return None;
        }
        let mut many: IndexMap<Key, Value, FxBuildHasher> = few.drain(..).collect();
        many.insert(key, value);
        self.0 = Entries::Many(many);
        None
    }

    pub fn remove(&mut self, name: &str) -> Option<Value> {
        match &mut self.0 {
            Entries::Few(entries) => {
                let position = entries.iter().position(|(k, _)| k.as_str() == Some(name))?;
                Some(entries.remove(position).1)
            }
            Entries::Many(entries) => entries.shift_remove(&Name(name)),
        }
    }

    pub fn iter(&self) -> Iter<'_> {
        match &self.0 {
            Entries::Few(entries) => Iter::Few(entries.iter()),
            Entries::Many(entries) => Iter::Many(entries.iter()),
        }
    }

    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Key> {
        self.iter().map(|(key, _)| key)
    }

    pub fn values(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.iter().map(|(_, value)| value)
    }

    pub fn len(&self) -> usize {
        match &self.0 {
            Entries::Few(entries) => entries.len(),
            Entries::Many(entries) => entries.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        let same = |(key, value)| other.get_key(key) == Some(value);
        self.len() == other.len() && self.iter().all(same)
    }
}

/// The entries in their order.
#[derive(Debug, Clone)]
pub enum Iter<'m> {
    Few(std::slice::Iter<'m, (Key, Value)>),
    Many(indexmap::map::Iter<'m, Key, Value>),
}

impl<'m> Iterator for Iter<'m> {
    type Item = (&'m Key, &'m Value);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Iter::Few(entries) => entries.next().map(|(key, value)| (key, value)),
            Iter::Many(entries) => entries.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Iter::Few(entries) => entries.size_hint(),
            Iter::Many(entries) => entries.size_hint(),
        }
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Iter::Few(entries) => entries.next_back().map(|(key, value)| (key, value)),
            Iter::Many(entries) => entries.next_back(),
        }
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl<K: Into<Key>, V: Into<Value>> FromIterator<(K, V)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let entries = entries.into_iter();
        let mut map = Map::with_capacity(entries.size_hint().0);
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

impl IntoIterator for Map {
    type Item = (Key, Value);
    type IntoIter = IntoIter;

    fn into_iter(self) -> Self::IntoIter {
        match self.0 {
            Entries::Few(entries) => IntoIter::Few(entries.into_iter()),
            Entries::Many(entries) => IntoIter::Many(entries.into_iter()),
        }
    }
}

/// The entries themselves, in their order.
#[derive(Debug)]
pub enum IntoIter {
    Few(std::vec::IntoIter<(Key, Value)>),
    Many(indexmap::map::IntoIter<Key, Value>),
}

impl Iterator for IntoIter {
    type Item = (Key, Value);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            IntoIter::Few(entries) => entries.next(),
            IntoIter::Many(entries) => entries.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            IntoIter::Few(entries) => entries.size_hint(),
            IntoIter::Many(entries) => entries.size_hint(),
        }
    }
}

impl ExactSizeIterator for IntoIter {}

impl serde::Serialize for Map {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> serde::Deserialize<'de> for Map {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries: IndexMap<Key, Value, FxBuildHasher> =
            serde::Deserialize::deserialize(deserializer)?;
        Ok(Map::from_distinct(entries.into_iter().collect()))
    }
}
