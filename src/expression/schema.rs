//! Types from JSON Schema, as much as a checker can use. Keywords that it does not know make a type dynamic.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value as Json;

use crate::limits::SCHEMA_TYPE_NODES_MAX;

use super::types::{Field, Object, Other, Presence, Type, joined};

/// References followed within references, so that a recursive schema ends.
const REFERENCES_DEPTH_MAX: usize = 8;

impl Type {
    /// The type of the values that a schema allows. `resolve` returns the schema of a `$ref`.
    pub fn from_schema<'s>(schema: &Json, resolve: &dyn Fn(&str) -> Option<&'s Json>) -> Type {
        let left = Cell::new(SCHEMA_TYPE_NODES_MAX);
        let reader = Reader {
            resolve,
            depth: 0,
            left: &left,
        };
        reader.read(schema)
    }
}

#[derive(Clone, Copy)]
struct Reader<'r, 's> {
    resolve: &'r dyn Fn(&str) -> Option<&'s Json>,
    depth: usize,
    /// The remaining number of schemas to read: each reference is read again.
    left: &'r Cell<usize>,
}

impl Reader<'_, '_> {
    fn read(self, schema: &Json) -> Type {
        let Some(left) = self.left.get().checked_sub(1) else {
            return Type::Dynamic;
        };
        self.left.set(left);
        let Json::Object(keywords) = schema else {
            return match schema {
                Json::Bool(false) => Type::Never,
                _ => Type::Dynamic,
            };
        };
        if let Some(reference) = keywords.get("$ref").and_then(Json::as_str) {
            return self.reference(reference);
        }
        if let Some(value) = keywords.get("const") {
            return of_json(value);
        }
        if let Some(values) = keywords.get("enum").and_then(Json::as_array) {
            return Type::union(values.iter().map(of_json));
        }
        for choice in ["oneOf", "anyOf"] {
            if let Some(schemas) = keywords.get(choice).and_then(Json::as_array) {
                return Type::union(schemas.iter().map(|s| self.read(s)));
            }
        }
        // Together they are stricter than each of them, so nothing that one of them allows is refused here.
        if keywords.contains_key("allOf")
            || keywords.contains_key("if")
            || keywords.contains_key("not")
        {
            return Type::Dynamic;
        }
        match keywords.get("type") {
            Some(Json::String(name)) => self.named(name, schema),
            Some(Json::Array(names)) => Type::union(
                names
                    .iter()
                    .filter_map(Json::as_str)
                    .map(|name| self.named(name, schema)),
            ),
            _ if keywords.contains_key("properties") => self.object(schema),
            _ if keywords.contains_key("items") => self.named("array", schema),
            _ => Type::Dynamic,
        }
    }

    fn reference(self, reference: &str) -> Type {
        if self.depth >= REFERENCES_DEPTH_MAX {
            return Type::Dynamic;
        }
        let inner = Reader {
            depth: self.depth + 1,
            ..self
        };
        (self.resolve)(reference).map_or(Type::Dynamic, |schema| inner.read(schema))
    }

    fn named(self, name: &str, schema: &Json) -> Type {
        match name {
            "null" => Type::Null,
            "boolean" => Type::Bool,
            "integer" => Type::Int,
            "number" => Type::number(),
            "string" => Type::String,
            "array" if schema.get("prefixItems").is_some() => Type::list(Type::Dynamic),
            "array" => Type::list(schema.get("items").map_or(Type::Dynamic, |i| self.read(i))),
            "object" => self.object(schema),
            _ => Type::Dynamic,
        }
    }

    fn object(self, schema: &Json) -> Type {
        let properties = schema.get("properties").and_then(Json::as_object);
        let patterns = schema.get("patternProperties").is_some();
        let additional = schema.get("additionalProperties");
        let other = match additional {
            Some(Json::Bool(false)) if !patterns => Other::Refused,
            Some(Json::Bool(_)) => Other::Allowed(Type::Dynamic),
            Some(values) => Other::Allowed(self.read(values)),
            None if patterns => Other::Allowed(Type::Dynamic),
            None => Other::Unlisted,
        };
        let Some(properties) = properties else {
            return match other {
                Other::Allowed(values) => Type::map(Type::String, values),
                Other::Refused => Type::object::<&str>([]),
                Other::Unlisted | Other::Absent => Type::map(Type::String, Type::Dynamic),
            };
        };
        let required = schema.get("required").and_then(Json::as_array);
        let required: Option<BTreeSet<&str>> =
            required.map(|names| names.iter().filter_map(Json::as_str).collect());
        let presence = |name: &str| match &required {
            None => Presence::Unstated,
            Some(names) if names.contains(name) => Presence::Required,
            Some(_) => Presence::Optional,
        };
        let fields: BTreeMap<Arc<str>, Field> = properties
            .iter()
            .map(|(name, schema)| {
                let field = Field {
                    value: self.read(schema),
                    presence: presence(name),
                };
                (Arc::from(name.as_str()), field)
            })
            .collect();
        Type::Object(Arc::new(Object::new(fields, other)))
    }
}

fn of_json(value: &Json) -> Type {
    match value {
        Json::Null => Type::Null,
        Json::Bool(_) => Type::Bool,
        Json::Number(number) if number.is_f64() => Type::number(),
        Json::Number(_) => Type::Int,
        Json::String(_) => Type::String,
        Json::Array(items) => Type::list(joined(items.iter().map(of_json))),
        Json::Object(fields) => Type::object(fields.iter().map(|(n, v)| (n.as_str(), of_json(v)))),
    }
}
