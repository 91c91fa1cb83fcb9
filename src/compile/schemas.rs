//! JSON Schemas of a definition: `#/types/…` is resolved, and each is made ready to validate.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::definition::{Name, Schema};
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::expression::Type;
use crate::program;

/// Where the named schemas of a bundle are, for an author.
const TYPES: &str = "#/types/";
/// Where they are in what the validator gets.
const DEFINITIONS: &str = "#/$defs/";

pub struct Schemas {
    /// Name and schema, `$ref`s as the validator wants them.
    types: Vec<(Arc<str>, Json)>,
}

impl Schemas {
    pub fn new<'a>(
        types: impl Iterator<Item = &'a (Name, Schema)>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut named: Vec<(&Name, &Schema)> = Vec::new();
        for (name, schema) in types {
            if !named.iter().any(|(n, _)| n.value == name.value) {
                named.push((name, schema));
            }
        }
        let rewritten = named
            .iter()
            .map(|(name, schema)| (name.value.clone(), rewrite(&schema.json)));
        let schemas = Schemas {
            types: rewritten.collect(),
        };
        for (_, schema) in &named {
            schemas.refuse_unknown(schema, diagnostics);
        }
        schemas
    }

    pub fn compile(
        &self,
        schema: &Schema,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<program::Schema> {
        if self.refuse_unknown(schema, diagnostics) {
            return None;
        }
        let document = self.document(&schema.json);
        match program::Schema::new(&document) {
            Ok(schema) => Some(schema),
            Err(error) => {
                let message = format!("this is not a JSON Schema: {error}");
                diagnostics.push(
                    Diagnostic::error("invalid-schema", schema.range, message).help(
                        "a schema is written in JSON Schema 2020-12, as in `{ type: object }`",
                    ),
                );
                None
            }
        }
    }

    /// A schema by itself, with all the types it may refer to.
    fn document(&self, schema: &Json) -> Json {
        let mut document = rewrite(schema);
        if let Json::Object(object) = &mut document
            && !self.types.is_empty()
        {
            let definitions = object.entry("$defs").or_insert_with(|| json!({}));
            if let Json::Object(definitions) = definitions {
                for (name, schema) in &self.types {
                    definitions
                        .entry(name.to_string())
                        .or_insert_with(|| schema.clone());
                }
            }
        }
        document
    }

    pub fn type_of(&self, schema: Option<&Schema>) -> Type {
        match schema {
            None => Type::Dynamic,
            Some(schema) => {
                Type::from_schema(&rewrite(&schema.json), &|reference| self.resolve(reference))
            }
        }
    }

    fn resolve(&self, reference: &str) -> Option<Json> {
        let name = reference.strip_prefix(DEFINITIONS)?;
        self.types
            .iter()
            .find(|(n, _)| **n == *name)
            .map(|(_, schema)| schema.clone())
    }

    /// Reports every `$ref` that leads nowhere.
    fn refuse_unknown(&self, schema: &Schema, diagnostics: &mut Vec<Diagnostic>) -> bool {
        let mut references = Vec::new();
        collect_references(&schema.json, &mut references);
        let before = diagnostics.len();
        for reference in references {
            let message = match reference.strip_prefix(TYPES) {
                Some(name) if self.types.iter().any(|(n, _)| **n == *name) => continue,
                Some(name) => {
                    let names = self.types.iter().map(|(n, _)| &**n);
                    let near = did_you_mean(name, names);
                    let hint = near
                        .map(|n| format!("; did you mean `#/types/{n}`?"))
                        .unwrap_or_default();
                    format!("there is no type `{name}`{hint}")
                }
                None if reference.starts_with('#') => continue,
                None => {
                    format!("`$ref: {reference}` leads out of the bundle; refer to `#/types/NAME`")
                }
            };
            diagnostics.push(Diagnostic::error("unknown-type", schema.range, message));
        }
        diagnostics.len() > before
    }
}

fn rewrite(schema: &Json) -> Json {
    match schema {
        Json::Object(object) => Json::Object(
            object
                .iter()
                .map(|(key, value)| match (key.as_str(), value) {
                    ("$ref", Json::String(reference)) => {
                        let name = reference.strip_prefix(TYPES);
                        let reference =
                            name.map_or(reference.clone(), |n| format!("{DEFINITIONS}{n}"));
                        (key.clone(), Json::String(reference))
                    }
                    ("enum" | "const" | "default" | "examples", data) => {
                        (key.clone(), data.clone())
                    }
                    (_, value) => (key.clone(), rewrite(value)),
                })
                .collect(),
        ),
        Json::Array(items) => Json::Array(items.iter().map(rewrite).collect()),
        other => other.clone(),
    }
}

fn collect_references<'a>(schema: &'a Json, references: &mut Vec<&'a str>) {
    match schema {
        Json::Object(object) => {
            for (key, value) in object {
                match (key.as_str(), value) {
                    ("$ref", Json::String(reference)) => references.push(reference),
                    ("enum" | "const" | "default" | "examples", _) => {}
                    (_, value) => collect_references(value, references),
                }
            }
        }
        Json::Array(items) => items
            .iter()
            .for_each(|item| collect_references(item, references)),
        _ => {}
    }
}
