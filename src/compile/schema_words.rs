//! Explains why a schema is not a JSON Schema: the key that is wrong, and how.

use jsonschema::ValidationError;
use serde_json::Value as Json;

use crate::definition::Schema;
use crate::diagnostic::{Diagnostic, did_you_mean};

const TYPES: [&str; 7] = [
    "array", "boolean", "integer", "null", "number", "object", "string",
];

/// What the value of a keyword is (JSON Schema 2020-12).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Schema,
    Schemas,
    NamedSchemas,
    Types,
    Names,
    NamedNames,
    Count,
    Number,
    Factor,
    List,
    Text,
    Pattern,
    Flag,
}

fn shape(keyword: &str) -> Option<Shape> {
    Some(match keyword {
        "items"
        | "additionalProperties"
        | "contains"
        | "propertyNames"
        | "not"
        | "if"
        | "then"
        | "else"
        | "unevaluatedItems"
        | "unevaluatedProperties"
        | "contentSchema" => Shape::Schema,
        "allOf" | "anyOf" | "oneOf" | "prefixItems" => Shape::Schemas,
        "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => {
            Shape::NamedSchemas
        }
        "type" => Shape::Types,
        "required" => Shape::Names,
        "dependentRequired" => Shape::NamedNames,
        "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties"
        | "minContains" | "maxContains" => Shape::Count,
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => Shape::Number,
        "multipleOf" => Shape::Factor,
        "enum" | "examples" => Shape::List,
        "title" | "description" | "format" | "$ref" | "$id" | "$anchor" | "$comment"
        | "contentEncoding" | "contentMediaType" => Shape::Text,
        "pattern" => Shape::Pattern,
        "uniqueItems" | "deprecated" | "readOnly" | "writeOnly" => Shape::Flag,
        _ => return None,
    })
}

impl Shape {
    fn words(self) -> &'static str {
        match self {
            Shape::Schema => "must be a schema: a mapping, `true` or `false`",
            Shape::Schemas => "must be a list of schemas with at least one",
            Shape::NamedSchemas => "must be a mapping from names to schemas",
            Shape::Types => {
                "must be one of array, boolean, integer, null, number, object and string, or a list of them"
            }
            Shape::Names => "must be a list of names, each once",
            Shape::NamedNames => "must be a mapping from names to lists of names",
            Shape::Count => "must be a whole number, 0 or more",
            Shape::Number => "must be a number",
            Shape::Factor => "must be a number above 0",
            Shape::List => "must be a list",
            Shape::Text => "must be text",
            Shape::Pattern => "must be a regular expression",
            Shape::Flag => "must be true or false",
        }
    }
}

/// The keyword that a JSON Pointer into a schema leads to or into; the name of a schema, if it leads to a schema
/// itself.
fn keyword(pointer: &str) -> Option<(String, Shape)> {
    let mut segments = pointer
        .split('/')
        .skip(1)
        .map(|s| s.replace("~1", "/").replace("~0", "~"));
    let mut last = None;
    while let Some(keyword) = segments.next() {
        let shape = shape(&keyword)?;
        last = Some((keyword, shape));
        match shape {
            Shape::Schema => {}
            Shape::Schemas => {
                if segments.next().is_some() {
                    last = Some(("each item".to_owned(), Shape::Schema));
                }
            }
            Shape::NamedSchemas => {
                if let Some(name) = segments.next() {
                    last = Some((name, Shape::Schema));
                }
            }
            Shape::Types
            | Shape::Names
            | Shape::NamedNames
            | Shape::Count
            | Shape::Number
            | Shape::Factor
            | Shape::List
            | Shape::Text
            | Shape::Pattern
            | Shape::Flag => break,
        }
    }
    last
}

/// Reported at the key that is wrong, to which `pointer` leads in the schema.
pub(crate) fn invalid(schema: &Schema, pointer: &str, error: &ValidationError<'_>) -> Diagnostic {
    let range = schema.place(pointer);
    let found = schema.json.pointer(pointer);
    let (Some((keyword, shape)), Some(found)) = (keyword(pointer), found) else {
        let message = format!("this is not a JSON Schema: {error}");
        return Diagnostic::error("invalid-schema", range, message)
            .help("a schema is written in JSON Schema 2020-12, as in `{ type: object }`");
    };
    let message = format!("`{keyword}` {}", shape.words());
    let diagnostic = Diagnostic::error("invalid-schema", range, message);
    let near = match (shape, found) {
        (Shape::Types, Json::String(found)) => did_you_mean(found, TYPES),
        _ => None,
    };
    match (near, shape, found) {
        (Some(near), _, _) => diagnostic.help(format!("did you mean `{near}`?")),
        (None, Shape::Names, Json::String(name)) => {
            diagnostic.help(format!("write `{keyword}: [{name}]`"))
        }
        (None, Shape::Schema, Json::String(word)) if TYPES.contains(&&**word) => {
            diagnostic.help(format!("write `{{ type: {word} }}`"))
        }
        _ => diagnostic,
    }
}
