//! A map that keeps the order in which its entries were put in, so that iterating it is deterministic.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, LazyLock};

use hashbrown::HashTable;

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
    pub(crate) fn from_value(value: &Value) -> Option<Key> {
        match value {
            Value::Bool(b) => Some(Key::Bool(*b)),
            Value::Int(i) => Some(Key::Int(*i)),
            Value::Uint(u) => Some(Key::Uint(*u)),
            Value::String(s) => Some(Key::String(s.clone())),
            _ => None,
        }
    }

    pub(crate) fn to_value(&self) -> Value {
        match self {
            Key::Bool(b) => Value::Bool(*b),
            Key::Int(i) => Value::Int(*i),
            Key::Uint(u) => Value::Uint(*u),
            Key::String(s) => Value::String(s.clone()),
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
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
            Key::String(s) => str::hash(s, state),
            number => number.number().hash(state),
        }
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

/// Entries that are found faster by linear search than by their hash. Most maps are this small.
const FEW_ENTRIES_MAX: usize = 12;

/// Equal maps have equal entries; their order does not count.
#[derive(Debug, Clone, Default)]
pub struct Map {
    entries: Vec<(Key, Value)>,
    /// Where the keys are, once there are more than a few. Maps built by the same expression share it.
    index: Option<Arc<Index>>,
}

/// The positions of many keys by their hashes.
#[derive(Clone)]
pub(crate) struct Index(HashTable<u32>);

impl Index {
    /// The index of keys that are all different, if they are many enough to need one.
    pub(crate) fn of<'k>(keys: impl ExactSizeIterator<Item = &'k Key>) -> Option<Arc<Index>> {
        if keys.len() <= FEW_ENTRIES_MAX {
            return None;
        }
        let hashes: Vec<u64> = keys.map(hash).collect();
        let mut table = HashTable::with_capacity(hashes.len());
        for (position, hash) in hashes.iter().enumerate() {
            table.insert_unique(*hash, position as u32, |p| hashes[*p as usize]);
        }
        Some(Arc::new(Index(table)))
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Index({})", self.0.len())
    }
}

/// Clients choose the keys of maps, so the hash is one whose collisions they cannot compute: SipHash under a key that
/// this process drew. The order of entries does not depend on it, so nothing that a run does reveals it.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

fn hash(key: &Key) -> u64 {
    match key {
        Key::String(name) => hash_name(name),
        other => HASHER.hash_one(other),
    }
}

/// As [`Key`] hashes a string.
fn hash_name(name: &str) -> u64 {
    HASHER.hash_one(name)
}

/// Tests count how many keys are compared: a collision is visible only in time.
fn is_tried(is_found: bool) -> bool {
    #[cfg(test)]
    tests::COMPARED.set(tests::COMPARED.get() + 1);
    is_found
}

impl Map {
    pub(crate) fn new() -> Self {
        Map::default()
    }

    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Map {
            entries: Vec::with_capacity(capacity),
            index: None,
        }
    }

    /// A map of entries whose keys are all different, and the index of just these keys.
    pub(crate) fn from_indexed(entries: Vec<(Key, Value)>, index: Option<Arc<Index>>) -> Self {
        debug_assert_eq!(index.is_some(), entries.len() > FEW_ENTRIES_MAX);
        Map { entries, index }
    }

    fn position(&self, key: &Key) -> Option<usize> {
        match &self.index {
            None => self.entries.iter().position(|(k, _)| k == key),
            Some(index) => index
                .0
                .find(hash(key), |i| is_tried(self.entries[*i as usize].0 == *key))
                .map(|i| *i as usize),
        }
    }

    fn position_of_name(&self, name: &str) -> Option<usize> {
        let is_name = |key: &Key| matches!(key, Key::String(k) if **k == *name);
        match &self.index {
            None => self.entries.iter().position(|(k, _)| is_name(k)),
            Some(index) => index
                .0
                .find(hash_name(name), |i| {
                    is_tried(is_name(&self.entries[*i as usize].0))
                })
                .map(|i| *i as usize),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.position_of_name(name).map(|i| &self.entries[i].1)
    }

    pub(crate) fn get_key(&self, key: &Key) -> Option<&Value> {
        self.position(key).map(|i| &self.entries[i].1)
    }

    #[cfg(test)]
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.position_of_name(name).is_some()
    }

    /// Inserts an entry; an existing key keeps its place and gets the new value.
    pub(crate) fn insert(&mut self, key: impl Into<Key>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        if let Some(i) = self.position(&key) {
            return Some(std::mem::replace(&mut self.entries[i].1, value));
        }
        let position = self.entries.len() as u32;
        let key_hash = hash(&key);
        self.entries.push((key, value));
        match &mut self.index {
            Some(index) => {
                let entries = &self.entries;
                let rehash = |i: &u32| hash(&entries[*i as usize].0);
                Arc::make_mut(index)
                    .0
                    .insert_unique(key_hash, position, rehash);
            }
            None => self.index = Index::of(self.entries.iter().map(|(key, _)| key)),
        }
        None
    }

    #[cfg(test)]
    pub(crate) fn remove(&mut self, name: &str) -> Option<Value> {
        let position = self.position_of_name(name)?;
        let (_, value) = self.entries.remove(position);
        self.index = Index::of(self.entries.iter().map(|(key, _)| key));
        Some(value)
    }

    pub(crate) fn iter(&self) -> Iter<'_> {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    pub(crate) fn keys(&self) -> impl ExactSizeIterator<Item = &Key> {
        self.iter().map(|(key, _)| key)
    }

    pub(crate) fn values(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.iter().map(|(_, value)| value)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// The entries in their order.
pub(crate) type Iter<'m> = std::iter::Map<
    std::slice::Iter<'m, (Key, Value)>,
    fn(&'m (Key, Value)) -> (&'m Key, &'m Value),
>;

impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        let same = |(key, value)| other.get_key(key) == Some(value);
        self.len() == other.len() && self.iter().all(same)
    }
}

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
    type IntoIter = std::vec::IntoIter<(Key, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl serde::Serialize for Map {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> serde::Deserialize<'de> for Map {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> serde::de::Visitor<'de> for EntriesVisitor {
    type Value = Map;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut entries: A) -> Result<Map, A::Error> {
        let mut map = Map::new();
        while let Some((key, value)) = entries.next_entry::<Key, Value>()? {
            map.insert(key, value);
        }
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use rustc_hash::FxBuildHasher;

    use super::*;
    use crate::value::parse_json;

    thread_local! {
        pub(crate) static COMPARED: Cell<u64> = const { Cell::new(0) };
    }

    /// Texts of 32 bytes that have one hash by `FxHasher` (rustc-hash 2), whose seeds are the same everywhere: it mixes
    /// the first 16 bytes to a number and only XORs the last 8 to it, so the last ones can undo the first.
    fn colliding(count: usize) -> Vec<String> {
        let mix = |x: u64, y: u64| {
            let full = u128::from(x).wrapping_mul(u128::from(y));
            full as u64 ^ (full >> 64) as u64
        };
        let target = u64::from_le_bytes([0x40; 8]);
        let of = |number: u64| {
            let first = format!("{number:016}");
            let half =
                |at: usize| u64::from_le_bytes(first.as_bytes()[at..at + 8].try_into().unwrap());
            let mixed = mix(
                0x243f_6a88_85a3_08d3 ^ half(0),
                0xa409_3822_299f_31d0 ^ half(8),
            );
            let last = (mixed ^ target).to_le_bytes();
            let is_text = last
                .iter()
                .all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(byte));
            is_text.then(|| format!("{first}01234567{}", str::from_utf8(&last).unwrap()))
        };
        (0..).filter_map(of).take(count).collect()
    }

    #[test]
    fn keys_that_a_client_makes_collide_cost_no_more_than_others() {
        const KEYS: usize = 400;
        let names = colliding(KEYS);
        let one = FxBuildHasher.hash_one(&*names[0]);
        assert!(
            names
                .iter()
                .all(|name| FxBuildHasher.hash_one(&**name) == one)
        );
        // Numbers with the same place in any table by that hash, which multiplies.
        let factor = 0xf135_7aea_2e62_a9c5_u64;
        let halve = |x: u64, _| x.wrapping_mul(2_u64.wrapping_sub(factor.wrapping_mul(x)));
        let inverse = (0..6).fold(1, halve);
        let number = |i: u64| {
            let hash = (i << 24).rotate_right(26);
            let number = hash.wrapping_mul(inverse).wrapping_mul(inverse);
            number.wrapping_sub(factor)
        };
        let numbers: Vec<Key> = (0..KEYS as u64).map(|i| Key::Uint(number(i))).collect();
        assert!(
            numbers
                .iter()
                .all(|key| FxBuildHasher.hash_one(key) << 40 == 0)
        );

        let work = |build: &dyn Fn() -> Map| {
            COMPARED.set(0);
            let map = build();
            assert!(map.keys().all(|key| map.get_key(key).is_some()));
            assert_eq!(map.len(), KEYS);
            COMPARED.get()
        };
        let json = names.iter().map(|name| format!("\"{name}\":0"));
        let json = format!("{{{}}}", json.collect::<Vec<_>>().join(","));
        let read = || (*parse_json(json.as_bytes()).unwrap().as_map().unwrap()).clone();
        let counted = || numbers.iter().map(|key| (key.clone(), 0)).collect();
        // Each is found once, with hardly another one in its place.
        for compared in [work(&read), work(&counted)] {
            assert!(compared < 2 * KEYS as u64, "{compared} comparisons");
        }
    }

    #[test]
    fn maps_of_any_size_keep_order_and_find_their_entries() {
        for size in [0, 1, FEW_ENTRIES_MAX, FEW_ENTRIES_MAX + 1, 100] {
            let mut map: Map = (0..size).map(|i| (format!("k{i}"), i as i64)).collect();
            let names: Vec<String> = (0..size).map(|i| format!("k{i}")).collect();
            assert!(map.keys().filter_map(Key::as_str).eq(names.iter()));
            for (i, name) in names.iter().enumerate() {
                assert_eq!(map.get(name), Some(&Value::Int(i as i64)));
                assert_eq!(map.get_key(&Key::from(&**name)), map.get(name));
            }
            assert_eq!(map.get("other"), None);
            assert_eq!(map.insert("k0", 7i64), (size > 0).then_some(Value::Int(0)));
            assert_eq!(map.remove("k0"), Some(Value::Int(7)));
            assert_eq!(map.len(), size.saturating_sub(1));
            assert!(names.iter().skip(1).all(|name| map.contains(name)));
        }
    }

    #[test]
    fn a_shared_index_is_copied_before_it_changes() {
        let map: Map = (0..100).map(|i| (format!("k{i}"), i64::from(i))).collect();
        let mut other = map.clone();
        other.insert("new", 1i64);
        assert!(other.contains("new") && !map.contains("new"));
        assert_eq!(map.len() + 1, other.len());
    }

    #[test]
    fn int_and_uint_of_one_number_are_one_key() {
        let mut map = Map::new();
        map.insert(Key::Int(1), "a");
        assert_eq!(map.get_key(&Key::Uint(1)), Some(&Value::from("a")));
        assert_eq!(map.insert(Key::Uint(1), "b"), Some(Value::from("a")));
    }
}
