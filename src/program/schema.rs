//! A JSON Schema, ready to validate. The cost of one validation is bounded, since schemas that refer to themselves can
//! take exponentially long for a few bytes.

use std::borrow::Cow;
use std::cell::Cell;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, LazyLock};

use hashbrown::HashTable;
use jsonschema::json::{Array, Json, Node, NodeIdentity, Object, SerdeJson, cmp};
use jsonschema::{Draft, JsonType, ValidationError, Validator};
use serde_json::{Map, Value as Data};

use crate::limits::{SCHEMA_CHECKS_MAX, SCHEMA_CHECKS_PER_PART_MAX, SCHEMA_EXPLANATION_CHECKS_MAX};
use crate::value::{Value, quoted, to_json};

#[derive(Debug, Clone)]
pub(crate) struct Schema {
    pub(super) validator: Arc<Validator<Metered>>,
}

impl Schema {
    /// From a document in JSON Schema 2020-12 that refers to nothing outside itself.
    pub(crate) fn new(document: &Data) -> Result<Schema, ValidationError<'static>> {
        let options = jsonschema::options_for::<Metered>().with_draft(Draft::Draft202012);
        let validator = Arc::new(options.build(document)?);
        Ok(Schema { validator })
    }

    /// Whether a document is a schema, wherever its references lead.
    pub(crate) fn check(document: &Data) -> Result<(), ValidationError<'_>> {
        jsonschema::draft202012::meta::validate(document)
    }

    /// The first mismatch of a value, which quotes a bounded part of the value.
    pub(crate) fn violation(&self, value: &Value) -> Option<String> {
        let bound = |json: &Data| SCHEMA_CHECKS_MAX + SCHEMA_CHECKS_PER_PART_MAX * parts(json);
        self.violation_within(value, bound, quoted)
    }

    /// The first mismatch without any bound on time or on what the message quotes, as it was before validations had a
    /// bound.
    pub(crate) fn violation_unbounded(&self, value: &Value) -> Option<String> {
        self.violation_within(value, |_| u64::MAX - 1, str::to_owned)
    }

    fn violation_within(
        &self,
        value: &Value,
        bound: fn(&Data) -> u64,
        quoted: fn(&str) -> String,
    ) -> Option<String> {
        let json = match to_json(value) {
            Ok(json) => json,
            Err(error) => return Some(error.0),
        };
        let bound = bound(&json);
        let checks = Meter::new(bound);
        let is_valid = self.validator.is_valid(Metered::of(&json, &checks));
        if checks.is_used_up() {
            return Some(format!(
                "holding it against its schema takes more than {bound} checks: SCHEMA_CHECKS_MAX is {SCHEMA_CHECKS_MAX}, \
                 and SCHEMA_CHECKS_PER_PART_MAX {SCHEMA_CHECKS_PER_PART_MAX} for each of its parts"
            ));
        }
        if is_valid {
            return None;
        }
        // An explanation contains one for each branch that was tried, nested: its cost has a bound of its own.
        let checks = Meter::new(bound.min(SCHEMA_EXPLANATION_CHECKS_MAX));
        let error = self.validator.validate(Metered::of(&json, &checks)).err();
        let Some(error) = error.filter(|_| !checks.is_used_up()) else {
            return Some(format!(
                "it is not valid, and saying why takes more checks than SCHEMA_CHECKS_MAX ({SCHEMA_CHECKS_MAX}) and \
                 SCHEMA_EXPLANATION_CHECKS_MAX ({SCHEMA_EXPLANATION_CHECKS_MAX}) allow"
            ));
        };
        let path = error.instance_path().to_string();
        let message = quoted(&error.to_string());
        Some(match path.is_empty() {
            true => message,
            false => format!("{message}, at {}", quoted(&path)),
        })
    }
}

/// The number of a value's parts, including itself.
fn parts(data: &Data) -> u64 {
    1 + match data {
        Data::Array(items) => items.iter().map(parts).sum(),
        Data::Object(members) => members.values().map(parts).sum(),
        Data::String(text) => (text.len() / BYTES_PER_CHECK) as u64,
        Data::Null | Data::Bool(_) | Data::Number(_) => 0,
    }
}

/// The remaining checks of a validation.
pub(super) struct Meter(Cell<u64>);

impl Meter {
    pub(crate) fn new(checks: u64) -> Meter {
        // One more, to distinguish exhausted from exactly enough.
        Meter(Cell::new(checks + 1))
    }

    pub(crate) fn is_used_up(&self) -> bool {
        self.0.get() == 0
    }

    /// False once nothing is left.
    fn takes(&self, checks: usize) -> bool {
        let left = self.0.get().saturating_sub(checks as u64);
        self.0.set(left);
        left > 0
    }
}

/// JSON of which each access to a part is counted. Once the meter is used up, every part is null, so that the
/// validation ends soon; its result is then discarded.
#[derive(Debug)]
pub(super) struct Metered;

#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    data: &'a Data,
    /// `None` for the name of a property, which was counted with its object.
    meter: Option<&'a Meter>,
}

#[derive(Clone, Copy)]
pub(super) struct Members<'a> {
    data: &'a Map<String, Data>,
    meter: Option<&'a Meter>,
}

#[derive(Clone, Copy)]
pub(super) struct Items<'a> {
    data: &'a [Data],
    meter: Option<&'a Meter>,
}

impl Metered {
    pub(super) fn of<'a>(data: &'a Data, meter: &'a Meter) -> Part<'a> {
        let meter = Some(meter);
        Part { data, meter }
    }
}

impl<'a> Part<'a> {
    fn looked_at(&self, checks: usize) -> &'a Data {
        match self.meter.is_none_or(|meter| meter.takes(checks)) {
            true => self.data,
            false => &Data::Null,
        }
    }

    /// Charges what comparing or copying it costs.
    fn whole(&self) -> &'a Data {
        match self.meter.is_none_or(|meter| count(self.data, meter)) {
            true => self.data,
            false => &Data::Null,
        }
    }
}

fn count(data: &Data, meter: &Meter) -> bool {
    meter.takes(1)
        && match data {
            Data::Array(items) => items.iter().all(|item| count(item, meter)),
            Data::Object(members) => members.values().all(|value| count(value, meter)),
            Data::String(text) => meter.takes(text.len() / BYTES_PER_CHECK),
            Data::Null | Data::Bool(_) | Data::Number(_) => true,
        }
}

/// Reading this much of a text costs about as much as one access to a part.
const BYTES_PER_CHECK: usize = 64;

impl Json for Metered {
    type Node<'a> = Part<'a>;
    type PreparedKey = String;
    type StringBuffer = Option<Data>;

    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>(
        buffer: &mut Option<Data>,
        string: &str,
        f: impl FnOnce(Part<'_>) -> T,
    ) -> T {
        let data = &*buffer.insert(Data::String(string.to_owned()));
        f(Part { data, meter: None })
    }
}

impl<'a> Node<'a, Metered> for Part<'a> {
    type Object = Members<'a>;
    type Array = Items<'a>;
    type Number = &'a serde_json::Number;

    fn as_object(&self) -> Option<Members<'a>> {
        let (data, meter) = (self.looked_at(1).as_object()?, self.meter);
        Some(Members { data, meter })
    }

    fn as_array(&self) -> Option<Items<'a>> {
        let (data, meter) = (self.looked_at(1).as_array()?, self.meter);
        Some(Items { data, meter })
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        let length = self.data.as_str().map_or(0, str::len);
        let data = self.looked_at(1 + length / BYTES_PER_CHECK);
        data.as_str().map(Cow::Borrowed)
    }

    fn as_number(&self) -> Option<&'a serde_json::Number> {
        self.looked_at(1).as_number()
    }

    fn as_boolean(&self) -> Option<bool> {
        self.looked_at(1).as_bool()
    }

    fn is_null(&self) -> bool {
        self.looked_at(1).is_null()
    }

    fn json_type(&self) -> JsonType {
        Node::<SerdeJson>::json_type(&self.looked_at(1))
    }

    fn string_length(&self) -> Option<u64> {
        self.as_string()?;
        Node::<SerdeJson>::string_length(&self.data)
    }

    fn equals_value(&self, expected: &Data) -> bool {
        cmp::equal(self.whole(), expected)
    }

    fn to_value(&self) -> Cow<'a, Data> {
        Cow::Borrowed(self.looked_at(1))
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(std::ptr::from_ref(self.data) as usize))
    }
}

pub(super) type AsPart<'a> = fn((&'a String, &'a Data), Option<&'a Meter>) -> (&'a str, Part<'a>);

pub(super) struct MembersIter<'a> {
    data: serde_json::map::Iter<'a>,
    meter: Option<&'a Meter>,
    part: AsPart<'a>,
}

impl<'a> Iterator for MembersIter<'a> {
    type Item = (&'a str, Part<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.meter.is_some_and(|meter| !meter.takes(1)) {
            return None;
        }
        Some((self.part)(self.data.next()?, self.meter))
    }
}

impl<'a> Object<'a, Metered> for Members<'a> {
    type Node = Part<'a>;
    type MemberName = &'a str;
    type MembersIter = MembersIter<'a>;

    fn len(&self) -> usize {
        self.data.len()
    }

    fn get(&self, key: &String) -> Option<Part<'a>> {
        if self.meter.is_some_and(|meter| !meter.takes(1)) {
            return None;
        }
        let (data, meter) = (self.data.get(key)?, self.meter);
        Some(Part { data, meter })
    }

    fn members(&self) -> MembersIter<'a> {
        MembersIter {
            data: self.data.iter(),
            meter: self.meter,
            part: |(name, data), meter| (name, Part { data, meter }),
        }
    }
}

pub(super) struct ItemsIter<'a> {
    data: std::slice::Iter<'a, Data>,
    meter: Option<&'a Meter>,
}

impl<'a> Iterator for ItemsIter<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        if self.meter.is_some_and(|meter| !meter.takes(1)) {
            return None;
        }
        let (data, meter) = (self.data.next()?, self.meter);
        Some(Part { data, meter })
    }
}

impl<'a> Array<'a, Metered> for Items<'a> {
    type Node = Part<'a>;
    type ElementsIter = ItemsIter<'a>;

    fn len(&self) -> usize {
        self.data.len()
    }

    fn elements(&self) -> ItemsIter<'a> {
        ItemsIter {
            data: self.data.iter(),
            meter: self.meter,
        }
    }

    fn is_unique(&self) -> bool {
        let is_counted = |item| self.meter.is_none_or(|meter| count(item, meter));
        if !self.data.iter().all(is_counted) {
            return false;
        }
        let hash = |item: &&Data| HASHER.hash_one(Item(item));
        let mut seen = HashTable::<&Data>::with_capacity(self.data.len());
        self.data.iter().all(|item| {
            let is_new = seen
                .find(hash(&item), |other| cmp::equal(other, item))
                .is_none();
            seen.insert_unique(hash(&item), item, hash);
            is_new
        })
    }
}

/// Clients choose the items, so they must not be able to compute which ones collide. The validator's own hash has fixed
/// keys for objects.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// An item of a list: items that are equal in JSON Schema have one hash.
struct Item<'a>(&'a Data);

impl Hash for Item<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.0 {
            Data::Null => state.write_u8(0),
            Data::Bool(is_true) => is_true.hash(state),
            // Equal numbers are equal as doubles; 0 and -0 are equal, too.
            Data::Number(number) => {
                let number = number.as_f64().unwrap_or_default();
                let bits = if number == 0.0 { 0 } else { number.to_bits() };
                state.write_u64(bits);
            }
            Data::String(text) => text.hash(state),
            Data::Array(items) => {
                state.write_usize(items.len());
                items.iter().for_each(|item| Item(item).hash(state));
            }
            // The order of members does not count.
            Data::Object(members) => {
                let member = |(name, value)| HASHER.hash_one((name, Item(value)));
                let members = members.iter().map(member);
                state.write_u64(members.fold(0, u64::wrapping_add));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::limits::VALUE_DEPTH_MAX;
    use crate::value;

    fn from_json(data: &Data) -> Value {
        value::from_json(data).unwrap()
    }

    fn nested(depth: usize, innermost: Data) -> Value {
        let data = (0..depth).fold(innermost, |data, _| json!({ "next": data }));
        from_json(&data)
    }

    /// Each level is tried by two branches, which both try the next level.
    fn recursive(keyword: &str) -> Schema {
        let branch = |kind: &str| json!({ "properties": { "next": { "$ref": "#/$defs/node" }, "kind": { "const": kind } } });
        let node = json!({ keyword: [branch("a"), branch("b"), { "type": "integer" }] });
        Schema::new(&json!({ "$ref": "#/$defs/node", "$defs": { "node": node } })).unwrap()
    }

    #[test]
    fn a_schema_that_branches_at_each_level_ends_within_its_bounds() {
        let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
        let test = || {
            for keyword in ["oneOf", "anyOf", "allOf"] {
                let schema = recursive(keyword);
                for innermost in [json!("x"), json!({ "kind": 7 })] {
                    for depth in [1, VALUE_DEPTH_MAX - 2] {
                        let wrong = schema.violation(&nested(depth, innermost.clone()));
                        assert!(wrong.is_none_or(|wrong| wrong.len() < 4_000));
                    }
                }
            }
            let wrong = recursive("oneOf").violation(&nested(40, json!("x")));
            let wrong = wrong.expect("a text fits no branch");
            assert!(wrong.contains("SCHEMA_EXPLANATION_CHECKS_MAX"), "{wrong}");
        };
        thread.spawn(test).unwrap().join().unwrap();
    }

    #[test]
    fn what_a_validation_may_look_at_is_bounded() {
        // A hundred branches compare each item with each of the others.
        let branches: Vec<_> = (0..100)
            .map(|i| json!({ "contains": { "const": i } }))
            .collect();
        let schema = json!({ "items": { "anyOf": branches } });
        let schema = Schema::new(&schema).unwrap();
        let row: Vec<i64> = (1000..1100).chain([99]).collect();
        let rows = |count| from_json(&json!(vec![row.clone(); count]));
        assert_eq!(schema.violation(&rows(10)), None);
        let wrong = schema.violation(&rows(500)).expect("too many checks");
        assert!(wrong.contains("SCHEMA_CHECKS_MAX"), "{wrong}");
    }

    #[test]
    fn a_violation_quotes_a_bounded_part() {
        let schema =
            Schema::new(&json!({ "additionalProperties": { "type": "integer" } })).unwrap();
        let name = "n".repeat(100_000);
        let wrong = schema.violation(&from_json(&json!({ name: "v".repeat(1_000_000) })));
        let wrong = wrong.expect("a text is no integer");
        assert!(wrong.len() < 4_000, "{}", wrong.len());
        assert!(
            wrong.contains("is not of type \"integer\", at /nnn"),
            "{wrong}"
        );
        // What a run in flight has caught once must read the same in each replay.
        let long = "v".repeat(1_000_000);
        let whole = schema.violation_unbounded(&from_json(&json!({ "a": long })));
        assert_eq!(
            whole,
            Some(format!("\"{long}\" is not of type \"integer\", at /a"))
        );
        let wrong = schema.violation(&from_json(&json!({ "a": "b" })));
        assert_eq!(
            wrong.as_deref(),
            Some("\"b\" is not of type \"integer\", at /a")
        );
    }

    #[test]
    fn unique_items_are_told_apart_as_json() {
        let schema = Schema::new(&json!({ "uniqueItems": true })).unwrap();
        let is_unique = |items: Data| schema.violation(&from_json(&items)).is_none();
        assert!(is_unique(
            json!([0, false, "", null, [], {}, [0], [[0]], { "a": 0 }, { "b": 0 }, "0", 1.5])
        ));
        for twice in [
            json!([1, 1.0]),
            json!([0.0, -0.0]),
            json!([{ "a": 1, "b": 2 }, 3, { "b": 2.0, "a": 1 }]),
            json!([[1, [2]], [1, [2]]]),
        ] {
            assert!(!is_unique(twice.clone()), "{twice}");
        }
    }
}
