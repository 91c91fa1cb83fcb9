//! JSON Schemas of a definition: `#/types/…` is resolved, and each is made ready to validate.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jsonschema::ValidationError;
use serde_json::{Value as Json, json};

use super::schema_size::{self, Size};
use super::schema_words;
use crate::definition::{Name, Schema};
use crate::diagnostic::{Diagnostic, PATTERNS_TOO_LARGE, SCHEMA_TOO_LARGE, did_you_mean};
use crate::expression::Type;
use crate::expression::functions::regex as patterns;
use crate::limits::{DIAGNOSTICS_KEPT_MAX, SCHEMA_DEPTH_MAX, SCHEMA_NODES_MAX};
use crate::program;
use crate::source::Range;

/// The prefix of references to named schemas in a definition.
const TYPES: &str = "#/types/";
/// The prefix of such references in the validator's document.
const DEFINITIONS: &str = "#/$defs/";

pub(crate) struct Schemas<'a> {
    /// Name and schema, with `$ref`s in the validator's form.
    types: Vec<(Arc<str>, Json)>,
    /// The schemas as they are written.
    written: Vec<&'a Schema>,
    by_name: BTreeMap<Arc<str>, usize>,
    /// The size of each of them and of what it refers to, counted at each reference.
    sizes: Vec<Size>,
    /// By place: the schemas that were requested.
    known: RefCell<BTreeMap<Range, Known>>,
    /// Schemas with equal text, as many `{ $ref: … }`s are, count once and share a validator.
    alike: RefCell<BTreeMap<String, Known>>,
    ready: RefCell<BTreeMap<String, program::Schema>>,
    nodes_left: Cell<usize>,
    /// The ranges of reported mistakes: one in a type is found again at each reference to it.
    mistakes: RefCell<BTreeSet<Range>>,
}

#[derive(Clone, Copy)]
enum TooLarge {
    Nodes,
    Depth,
}

#[derive(Clone)]
struct Known {
    value: Type,
    too_large: Option<TooLarge>,
}

impl<'a> Schemas<'a> {
    pub(crate) fn new(
        types: impl Iterator<Item = &'a (Name, Schema)>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut named: Vec<(&Name, &Schema)> = Vec::new();
        let mut by_name = BTreeMap::new();
        for (name, schema) in types {
            if !by_name.contains_key(&name.value) {
                by_name.insert(name.value.clone(), named.len());
                named.push((name, schema));
            }
        }
        let rewritten = named
            .iter()
            .map(|(name, schema)| (name.value.clone(), rewrite(&schema.json)));
        let types: Vec<_> = rewritten.collect();
        let sizes = schema_size::of_types(&types, &by_name);
        let schemas = Schemas {
            types,
            written: named.iter().map(|(_, schema)| *schema).collect(),
            by_name,
            sizes,
            known: RefCell::default(),
            alike: RefCell::default(),
            ready: RefCell::default(),
            nodes_left: Cell::new(SCHEMA_NODES_MAX),
            mistakes: RefCell::default(),
        };
        for (i, (_, schema)) in named.iter().enumerate() {
            schemas.refuse_unknown(schema, diagnostics);
            if let Err(error) = program::Schema::check(&schemas.types[i].1) {
                schemas.refuse(schema, &error, diagnostics);
            }
        }
        schemas
    }

    /// Parts of the requested schemas, counted at each reference.
    pub(crate) fn nodes(&self) -> usize {
        SCHEMA_NODES_MAX - self.nodes_left.get()
    }

    /// `patterns_left`: the compiled size that remains for the patterns of further schemas and expressions.
    pub(crate) fn compile(
        &self,
        schema: &Schema,
        patterns_left: &mut usize,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<program::Schema> {
        if self.refuse_unknown(schema, diagnostics) {
            return None;
        }
        if let Some(too_large) = self.known(schema).too_large {
            let (message, bound) = match too_large {
                TooLarge::Depth => (
                    format!(
                        "the schema and what it refers to are nested deeper than {SCHEMA_DEPTH_MAX} levels"
                    ),
                    "SCHEMA_DEPTH_MAX",
                ),
                TooLarge::Nodes => (
                    format!(
                        "the schemas of the definition up to this one have more than {SCHEMA_NODES_MAX} parts, counted at each reference"
                    ),
                    "SCHEMA_NODES_MAX",
                ),
            };
            let help = format!("the bound is {bound}; leave out what need not be checked");
            diagnostics.push(Diagnostic::error(SCHEMA_TOO_LARGE, schema.range, message).help(help));
            return None;
        }
        let written = schema.json.to_string();
        if let Some(ready) = self.ready.borrow().get(&written).cloned() {
            return Some(ready);
        }
        let document = self.document(&schema.json);
        if let Err(failure) = charge_patterns(&document, patterns_left) {
            let message = failure.message();
            diagnostics.push(
                Diagnostic::error(PATTERNS_TOO_LARGE, schema.range, message)
                    .help("repeat less in them; `{500}` counts as five hundred copies"),
            );
            return None;
        }
        match program::Schema::new(&document) {
            Ok(schema) => {
                let mut ready = self.ready.borrow_mut();
                ready.insert(written, schema.clone());
                Some(schema)
            }
            Err(error) => {
                self.refuse(schema, &error, diagnostics);
                None
            }
        }
    }

    /// Reports a mistake at its place: in the schema itself, or in a type that it refers to.
    fn refuse(
        &self,
        schema: &Schema,
        error: &ValidationError<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let path = error.instance_path().to_string();
        let (schema, path) = self.in_type(schema, &path).unwrap_or((schema, &path));
        let diagnostic = schema_words::invalid(schema, path, error);
        if self.mistakes.borrow_mut().insert(diagnostic.range) {
            diagnostics.push(diagnostic);
        }
    }

    /// The type that a path in a schema's document leads into, and the path within it.
    fn in_type<'p>(&self, schema: &Schema, path: &'p str) -> Option<(&'a Schema, &'p str)> {
        let rest = path.strip_prefix(DEFINITIONS.strip_prefix('#')?)?;
        let (name, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let own = schema.json.get("$defs").and_then(|own| own.get(name));
        match own {
            Some(_) => None,
            None => Some((self.written[*self.by_name.get(name)?], path)),
        }
    }

    /// A schema as a document of its own, with all types that it refers to.
    fn document(&self, schema: &Json) -> Json {
        let mut document = rewrite(schema);
        let reached = self.reached(&document);
        if let Json::Object(object) = &mut document
            && !reached.is_empty()
        {
            let definitions = object.entry("$defs").or_insert_with(|| json!({}));
            if let Json::Object(definitions) = definitions {
                for (name, schema) in reached.into_iter().map(|i| &self.types[i]) {
                    definitions
                        .entry(name.to_string())
                        .or_insert_with(|| schema.clone());
                }
            }
        }
        document
    }

    /// The types that a schema refers to, directly or through others.
    fn reached(&self, document: &Json) -> BTreeSet<usize> {
        let mut reached = BTreeSet::new();
        let mut open = vec![document];
        while let Some(schema) = open.pop() {
            let mut references = Vec::new();
            collect_references(schema, &mut references);
            for name in references.iter().filter_map(|r| type_named_by(r)) {
                if let Some(i) = self.by_name.get(name)
                    && reached.insert(*i)
                {
                    open.push(&self.types[*i].1);
                }
            }
        }
        reached
    }

    pub(crate) fn type_of(&self, schema: Option<&Schema>) -> Type {
        schema.map_or(Type::Dynamic, |schema| self.known(schema).value)
    }

    /// The first request for a schema compiles it.
    fn known(&self, schema: &Schema) -> Known {
        if let Some(known) = self.known.borrow().get(&schema.range) {
            return known.clone();
        }
        let written = schema.json.to_string();
        let alike = self.alike.borrow().get(&written).cloned();
        let known = alike.unwrap_or_else(|| self.find_out(&schema.json));
        self.alike.borrow_mut().insert(written, known.clone());
        self.known.borrow_mut().insert(schema.range, known.clone());
        known
    }

    fn find_out(&self, schema: &Json) -> Known {
        let rewritten = rewrite(schema);
        let size = schema_size::of_schema(&rewritten, &|name| {
            self.by_name.get(name).map(|i| self.sizes[*i])
        });
        let refused = |too_large| Known {
            value: Type::Dynamic,
            too_large: Some(too_large),
        };
        if size.depth > SCHEMA_DEPTH_MAX {
            return refused(TooLarge::Depth);
        }
        let Some(left) = self.nodes_left.get().checked_sub(size.nodes) else {
            return refused(TooLarge::Nodes);
        };
        self.nodes_left.set(left);
        Known {
            value: Type::from_schema(&rewritten, &|reference| self.resolve(reference)),
            too_large: None,
        }
    }

    fn resolve(&self, reference: &str) -> Option<&Json> {
        let i = self.by_name.get(reference.strip_prefix(DEFINITIONS)?)?;
        Some(&self.types[*i].1)
    }

    /// Reports every `$ref` to an unknown type.
    fn refuse_unknown(&self, schema: &Schema, diagnostics: &mut Vec<Diagnostic>) -> bool {
        let mut references = Vec::new();
        collect_references(&schema.json, &mut references);
        let before = diagnostics.len();
        for reference in references {
            // Further diagnostics would not be read, and looking for similar names takes time.
            if diagnostics.len() > before.max(DIAGNOSTICS_KEPT_MAX) {
                break;
            }
            let message = match reference.strip_prefix(TYPES) {
                Some(name) if self.by_name.contains_key(name) => continue,
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
                    format!(
                        "`$ref: {reference}` points outside the bundle; refer to `#/types/NAME`"
                    )
                }
            };
            diagnostics.push(Diagnostic::error("unknown-type", schema.range, message));
        }
        diagnostics.len() > before
    }
}

/// The type that a rewritten reference names.
pub(crate) fn type_named_by(reference: &str) -> Option<&str> {
    let name = reference.strip_prefix(DEFINITIONS)?;
    Some(name.split('/').next().unwrap_or(name))
}

/// Charges the compiled size of a schema's patterns.
fn charge_patterns(schema: &Json, left: &mut usize) -> Result<(), patterns::Failure> {
    match schema {
        Json::Object(object) => {
            for (key, value) in object {
                match (key.as_str(), value) {
                    ("pattern", Json::String(pattern)) => charge_pattern(pattern, left)?,
                    ("patternProperties", Json::Object(patterns)) => {
                        for pattern in patterns.keys() {
                            charge_pattern(pattern, left)?;
                        }
                    }
                    ("enum" | "const" | "default" | "examples", _) => continue,
                    _ => {}
                }
                charge_patterns(value, left)?;
            }
            Ok(())
        }
        Json::Array(items) => items
            .iter()
            .try_for_each(|item| charge_patterns(item, left)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Ok(()),
    }
}

/// A pattern with lookaround counts as much as one without: its parts are compiled one by one.
fn charge_pattern(pattern: &str, left: &mut usize) -> Result<(), patterns::Failure> {
    const LOOKS_AROUND: [&str; 4] = ["(?=", "(?!", "(?<=", "(?<!"];
    let mut size = patterns::program_size_bytes(pattern, *left)?;
    if size.is_none() {
        let plain = LOOKS_AROUND
            .iter()
            .fold(pattern.to_owned(), |text, look| text.replace(look, "(?:"));
        size = patterns::program_size_bytes(&plain, *left)?;
    }
    *left = left.saturating_sub(size.unwrap_or(UNREADABLE_PATTERN_SIZE_BYTES));
    Ok(())
}

/// The size that a pattern in another syntax counts, for example one with backreferences.
const UNREADABLE_PATTERN_SIZE_BYTES: usize = 256 * 1024;

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
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => schema.clone(),
    }
}

pub(crate) fn collect_references<'a>(schema: &'a Json, references: &mut Vec<&'a str>) {
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
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}
