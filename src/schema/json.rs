//! The JSON Schema 2020-12 of the language.

use serde_json::{Map, Value, json};

use crate::definition::table::{Action, Choice, Field, Shape, Table};
use crate::definition::tables;

/// Every text that contains an expression.
const DYNAMIC: &str = r"\$\{";
const DURATION: &str = r"^([0-9]+(\.[0-9]+)?\s*[a-zµ]+\s*)+$|^P.+$|\$\{";
const IDENTIFIER: &str = "^[A-Za-z_][A-Za-z0-9_]*$";

pub fn schema() -> Value {
    let mut definitions = Definitions::default();
    let definition = definitions.table(&tables::DEFINITION);
    let library = definitions.table(&tables::LIBRARY);
    let steps: Vec<_> = tables::ACTIONS
        .iter()
        .map(|action| definitions.step(action, tables::COMMON, "step"))
        .collect();
    definitions.insert(
        "step",
        json!({
            "description": "A step: a mapping with exactly one action key.",
            "type": "object",
            "oneOf": steps,
        }),
    );
    definitions.insert(
        "steps",
        json!({ "type": "array", "items": { "$ref": "#/$defs/step" } }),
    );
    definitions.common();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Segno workflow definition",
        "type": "object",
        "if": { "anyOf": [{ "required": ["workflow"] }, { "required": ["steps"] }] },
        "then": definition,
        "else": library,
        "$defs": definitions.sorted(),
    })
}

/// The JSON Schema of test files.
pub fn test_schema() -> Value {
    let mut definitions = Definitions::default();
    let test = definitions.table(&tables::TEST);
    definitions.common();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Segno tests of a workflow definition",
        "$ref": test["$ref"],
        "$defs": definitions.sorted(),
    })
}

#[derive(Default)]
struct Definitions(Vec<(String, Value)>);

impl Definitions {
    fn insert(&mut self, name: &str, schema: Value) {
        self.0.push((name.to_string(), schema));
    }

    /// The definitions that every kind of file needs.
    fn common(&mut self) {
        self.insert(
            "expression",
            json!({
                "description": "An expression in CEL.",
                "type": ["string", "boolean", "number"],
            }),
        );
        self.insert(
            "duration",
            json!({
                "description": "`10s`, `1h 30m`, `3d`, ISO 8601, or an expression in `${ }`.",
                "type": "string",
                "pattern": DURATION,
            }),
        );
        self.insert("schema", json!({
        "description": "A JSON Schema 2020-12; the name of a type alone is short for `{ type: … }`.",
        "anyOf": [
            { "type": ["object", "boolean", "null"] },
            { "enum": ["array", "boolean", "integer", "null", "number", "object", "string"] },
        ],
    }));
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(other, _)| other == name)
    }

    fn sorted(mut self) -> Value {
        self.0.sort_by(|a, b| a.0.cmp(&b.0));
        Value::Object(self.0.into_iter().collect())
    }

    fn table(&mut self, table: &'static Table) -> Value {
        let name = definition_name(table.name);
        if !self.has(&name) {
            // Before its fields, which may refer to it.
            let at = self.0.len();
            self.insert(&name, Value::Null);
            let object = self.object(table.fields());
            self.0[at].1 = object;
        }
        reference(&name)
    }

    /// A step of one action, or what `start` starts.
    fn step(&mut self, action: &'static Action, common: &'static [Field], kind: &str) -> Value {
        let name = format!("{kind}_{}", action.key.name);
        if !self.has(&name) {
            let at = self.0.len();
            self.insert(&name, Value::Null);
            let mut object = self.object(
                std::iter::once(&action.key)
                    .chain(action.fields())
                    .chain(common),
            );
            object["description"] = action.key.meaning.into();
            let mut required = vec![Value::from(action.key.name)];
            if let Some(Value::Array(others)) = object.get("required") {
                required.extend(others.iter().cloned());
            }
            object["required"] = required.into();
            self.0[at].1 = object;
        }
        reference(&name)
    }

    fn object(&mut self, fields: impl Iterator<Item = &'static Field>) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in fields {
            properties.insert(field.name.to_string(), self.field(field));
            if field.required {
                required.push(Value::from(field.name));
            }
        }
        let mut object = json!({
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
        });
        if !required.is_empty() {
            object["required"] = required.into();
        }
        object
    }

    fn field(&mut self, field: &'static Field) -> Value {
        let mut schema = self.shape(&field.shape);
        let mut meaning = field.meaning.to_string();
        if let Shape::OneOf(choices) = &field.shape {
            meaning += &explained(choices);
        }
        if !field.default.is_empty() {
            meaning += &format!(" Default: {}.", field.default);
        }
        schema["description"] = meaning.into();
        schema
    }

    fn shape(&mut self, shape: &'static Shape) -> Value {
        match shape {
            Shape::Version => json!({ "const": 1 }),
            Shape::Text => {
                json!({ "type": "string", "minLength": 1, "not": { "pattern": DYNAMIC } })
            }
            Shape::Identifier => json!({ "type": "string", "pattern": IDENTIFIER }),
            Shape::Flag => json!({ "type": "boolean" }),
            Shape::Whole { least, most } => {
                json!({ "type": "integer", "minimum": least, "maximum": most })
            }
            Shape::TextTemplate => json!({ "type": "string" }),
            Shape::NumberTemplate => json!({
                "anyOf": [{ "type": "number" }, { "type": "string", "pattern": DYNAMIC }],
            }),
            Shape::Template | Shape::Data => json!({}),
            Shape::Templates => json!({ "type": "array" }),
            Shape::MappingTemplate => json!({
                "anyOf": [{ "type": "object" }, { "type": "string", "pattern": DYNAMIC }],
            }),
            Shape::Request(table) => json!({
                "anyOf": [self.table(table), { "type": "string", "pattern": DYNAMIC }],
            }),
            Shape::Expression => reference("expression"),
            Shape::OptionalExpression => {
                json!({ "anyOf": [{ "type": "null" }, reference("expression")] })
            }
            Shape::Duration => reference("duration"),
            Shape::OneOf(choices) => {
                json!({ "enum": choices.iter().map(|choice| choice.name).collect::<Vec<_>>() })
            }
            Shape::Schema => reference("schema"),
            Shape::Nothing => json!({ "type": "null" }),
            Shape::Steps => reference("steps"),
            Shape::Mapping(table) => self.table(table),
            Shape::Named(inner) => {
                json!({ "type": "object", "additionalProperties": self.shape(inner) })
            }
            Shape::List(inner) => json!({ "type": "array", "items": self.shape(inner) }),
            Shape::Either(first, second) => {
                let first = match self.shape(first) {
                    // Data of any kind but a mapping.
                    any if any == json!({}) => json!({ "not": { "type": "object" } }),
                    first => first,
                };
                json!({ "anyOf": [first, self.shape(second)] })
            }
            Shape::TextOrTexts => json!({
                "anyOf": [
                    { "type": "string" },
                    { "type": "array", "items": { "type": "string" } },
                ],
            }),
            Shape::CalendarField => json!({
                "anyOf": [
                    { "type": ["integer", "string"] },
                    { "type": "array", "items": { "type": ["integer", "string"] } },
                ],
            }),
            Shape::StepOf(kinds) => {
                let actions: Vec<_> = kinds
                    .iter()
                    .map(|kind| self.step(kind.row(), &[], "start"))
                    .collect();
                json!({ "type": "object", "oneOf": actions })
            }
        }
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

/// "a retry policy" to `retry_policy`.
fn definition_name(name: &str) -> String {
    let name = name
        .strip_prefix("a ")
        .or_else(|| name.strip_prefix("an "))
        .unwrap_or(name);
    name.replace(' ', "_").to_lowercase()
}

fn explained(choices: &[Choice]) -> String {
    let each = choices
        .iter()
        .map(|choice| format!("`{}`: {}", choice.name, choice.meaning));
    format!(" One of {}.", each.collect::<Vec<_>>().join("; "))
}
