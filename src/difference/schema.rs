//! JSON Schemas to the tree in normal form: properties by name, and without the order of lists if it has no meaning.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Subject;
use super::normal;
use super::read::{At, Reader};
use super::tree::{Form, Id, Reading};
use super::words::REQUIRED;
use crate::source::Range;
use crate::yaml::{self, Data, Entry};

/// Keywords whose value is a schema.
const ONE: [&str; 12] = [
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
    "additionalItems",
];
/// Keywords whose value is a list of schemas.
const SEVERAL: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords whose value is a mapping of schemas.
const NAMED: [&str; 5] = [
    "$defs",
    "definitions",
    "dependentSchemas",
    "patternProperties",
    "properties",
];
/// Keywords whose list is a set.
const SETS: [&str; 3] = ["enum", "required", "type"];
/// Keywords that do not affect validation.
const FOR_PEOPLE: [&str; 4] = ["$comment", "description", "examples", "title"];

impl<'n> Reader<'n, '_> {
    pub(crate) fn schema(&mut self, at: At, node: &'n yaml::Node) -> Id {
        let id = self.add(at, Some(node));
        match &node.data {
            Data::Mapping(entries) => self.keywords(id, entries),
            // The name of a type alone, or nothing for `null`.
            Data::Scalar(scalar) if scalar.text.parse::<bool>().is_err() => {
                let word = match node.is_null() {
                    true => "null",
                    false => &*scalar.text,
                };
                let at = At {
                    parent: Some(id),
                    segment: "type".into(),
                    subject: Subject::Schema,
                    range: node.range,
                };
                self.leaf(at, node, &set([format!("text {word}")]), Reading::Exact);
            }
            _ => {
                let at = At {
                    parent: Some(id),
                    segment: "".into(),
                    subject: Subject::Schema,
                    range: node.range,
                };
                self.leaf(at, node, &normal::of_data(node), Reading::Exact);
            }
        }
        self.finish(id, Form::Fields)
    }

    fn keywords(&mut self, id: Id, entries: &'n [Entry]) {
        let declared = Declared::new(entries);
        for entry in entries {
            self.keyword(id, entry, &declared);
        }
    }

    fn keyword(&mut self, id: Id, entry: &'n Entry, declared: &Declared<'n>) {
        let name = entry.name();
        let value = &entry.value;
        let at = At {
            parent: Some(id),
            subject: match FOR_PEOPLE.contains(&&*name) {
                true => Subject::Description,
                false => Subject::Schema,
            },
            range: entry.key.range.to(value.range),
            segment: name.clone(),
        };
        match &*name {
            "required" if value.sequence().is_some() => {
                let others = declared.others.iter().copied();
                let normals: Vec<_> = others.map(normal::of_data).collect();
                if !normals.is_empty() {
                    self.leaf(at, value, &set(normals), Reading::Exact);
                }
            }
            name if NAMED.contains(&name) && value.mapping().is_some() => {
                let group = self.add(at, Some(value));
                self.tree.nodes[group].is_group = true;
                for entry in value.mapping().unwrap_or_default() {
                    self.property(group, entry, (name == "properties").then_some(declared));
                }
                self.finish(group, Form::Fields);
            }
            name if ONE.contains(&name) && value.mapping().is_some() => {
                self.schema(at, value);
            }
            name if SEVERAL.contains(&name) && value.sequence().is_some() => {
                self.items(at, value, false, |reader, at, item| {
                    reader.schema(at, item);
                });
            }
            name if SETS.contains(&name) => {
                let items = value.sequence().unwrap_or(std::slice::from_ref(value));
                let normal = set(items.iter().map(normal::of_data));
                self.leaf(at, value, &normal, Reading::Exact);
            }
            _ => {
                self.data(at, value, Reading::Exact);
            }
        }
    }

    fn property(&mut self, group: Id, entry: &'n Entry, declared: Option<&Declared<'n>>) {
        let name = entry.name();
        let at = At {
            parent: Some(group),
            segment: name.clone(),
            subject: Subject::Property,
            range: entry.key.range.to(entry.value.range),
        };
        let id = self.schema(at, &entry.value);
        let Some(range) = declared.and_then(|declared| declared.required.get(&name)) else {
            return;
        };
        let required = self.add(
            At {
                parent: Some(id),
                segment: REQUIRED.into(),
                subject: Subject::Schema,
                range: *range,
            },
            None,
        );
        self.tree.nodes[required].content = self.contents.text(REQUIRED);
        self.finish(id, Form::Fields);
    }
}

/// What an object's schema declares about its properties.
#[derive(Default)]
struct Declared<'n> {
    /// The range at which each is declared as required.
    required: BTreeMap<Arc<str>, Range>,
    /// Required names that are not properties.
    others: Vec<&'n yaml::Node>,
}

impl<'n> Declared<'n> {
    fn new(entries: &'n [Entry]) -> Self {
        let value = |name: &str| {
            let entry = entries.iter().find(|entry| &*entry.name() == name);
            entry.map(|entry| &entry.value)
        };
        let properties = value("properties").and_then(yaml::Node::mapping);
        let names: BTreeSet<_> = properties
            .iter()
            .copied()
            .flatten()
            .map(Entry::name)
            .collect();
        let required = value("required").and_then(yaml::Node::sequence);
        let mut declared = Declared::default();
        for node in required.unwrap_or_default() {
            match node.scalar() {
                Some(scalar) if names.contains(&scalar.text) => {
                    declared.required.insert(scalar.text.clone(), node.range);
                }
                _ => declared.others.push(node),
            }
        }
        declared
    }
}

fn set(items: impl IntoIterator<Item = String>) -> String {
    let mut items: Vec<_> = items.into_iter().collect();
    items.sort();
    items.dedup();
    format!("set {items:?}")
}
