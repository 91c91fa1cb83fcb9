//! An example of a value that a schema accepts, for commands that a user can try.

use jsonschema::error::{TypeKind, ValidationError, ValidationErrorKind};
use jsonschema::{JsonType, JsonTypeSet};
use serde_json::{Value as Json, json};

use super::Schema;
use super::schema::{Meter, Metered};
use crate::limits::{
    SCHEMA_EXAMPLE_REPAIRS_MAX, SCHEMA_EXAMPLE_SIZE_MAX, SCHEMA_EXPLANATION_CHECKS_MAX,
};

impl Schema {
    /// A small value that the schema accepts, found by repairing null step by step. `None` if that fails: for example,
    /// a pattern does not reveal a text that matches it.
    pub(crate) fn example(&self) -> Option<Json> {
        let mut value = Json::Null;
        for _ in 0..SCHEMA_EXAMPLE_REPAIRS_MAX {
            let checks = Meter::new(SCHEMA_EXPLANATION_CHECKS_MAX);
            let first = self.validator.iter_errors(Metered::of(&value, &checks));
            let first = first.map(|error| repair(&error)).next();
            if checks.is_used_up() {
                return None;
            }
            let Some(repaired) = first else {
                return Some(value);
            };
            let (place, better) = repaired?;
            *value.pointer_mut(&place)? = better;
        }
        None
    }
}

/// The value to put in place of a wrong one, and where.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the validator's kinds of errors: the others are not repaired"
)]
fn repair(error: &ValidationError<'_>) -> Option<(String, Json)> {
    let current: &Json = error.instance();
    let better = match error.kind() {
        ValidationErrorKind::Required { property } => {
            let mut fields = current.as_object()?.clone();
            fields.insert(property.as_str()?.to_owned(), Json::Null);
            Json::Object(fields)
        }
        ValidationErrorKind::Type { kind } => of_type(kind),
        ValidationErrorKind::Enum { options } => options.as_array()?.first()?.clone(),
        ValidationErrorKind::Constant { expected_value } => Json::clone(expected_value),
        ValidationErrorKind::MinLength { limit } => {
            let length = size(*limit)?;
            json!("text".chars().cycle().take(length).collect::<String>())
        }
        ValidationErrorKind::MaxLength { limit } => {
            let length = size(*limit)?;
            json!(current.as_str()?.chars().take(length).collect::<String>())
        }
        ValidationErrorKind::MinItems { limit } => {
            let mut items = current.as_array()?.clone();
            items.resize(size(*limit)?, Json::Null);
            Json::Array(items)
        }
        ValidationErrorKind::Minimum { limit } | ValidationErrorKind::Maximum { limit } => {
            limit.clone()
        }
        ValidationErrorKind::ExclusiveMinimum { limit } => beside(limit, 1)?,
        ValidationErrorKind::ExclusiveMaximum { limit } => beside(limit, -1)?,
        ValidationErrorKind::Format { format } => of_format(format)?,
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            return repair(context.first()?.first()?);
        }
        _ => return None,
    };
    Some((error.instance_path().to_string(), better))
}

fn size(limit: u64) -> Option<usize> {
    let limit = usize::try_from(limit).ok()?;
    (limit <= SCHEMA_EXAMPLE_SIZE_MAX).then_some(limit)
}

fn of_type(kind: &TypeKind) -> Json {
    let is = |one: JsonType| match kind {
        TypeKind::Single(only) => *only == one,
        TypeKind::Multiple(several) => has(*several, one),
    };
    let values = [
        (JsonType::String, json!("text")),
        (JsonType::Integer, json!(1)),
        (JsonType::Number, json!(1)),
        (JsonType::Boolean, json!(true)),
        (JsonType::Object, json!({})),
        (JsonType::Array, json!([])),
    ];
    let found = values.into_iter().find(|(one, _)| is(*one));
    found.map_or(Json::Null, |(_, value)| value)
}

fn has(several: JsonTypeSet, one: JsonType) -> bool {
    several.insert(one) == several
}

fn beside(limit: &Json, step: i64) -> Option<Json> {
    match limit.as_i64() {
        Some(limit) => limit.checked_add(step).map(Json::from),
        None => Some(json!(limit.as_f64()? + step as f64)),
    }
}

fn of_format(format: &str) -> Option<Json> {
    let text = match format {
        "date-time" => "2030-01-31T09:00:00Z",
        "date" => "2030-01-31",
        "time" => "09:00:00Z",
        "duration" => "PT1H",
        "email" | "idn-email" => "ada@example.com",
        "uri" | "iri" | "uri-reference" | "iri-reference" => "https://example.com/",
        "hostname" | "idn-hostname" => "example.com",
        "ipv4" => "192.0.2.1",
        "ipv6" => "2001:db8::1",
        "uuid" => "00000000-0000-4000-8000-000000000000",
        _ => return None,
    };
    Some(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(schema: &Json) -> Option<Json> {
        Schema::new(schema).expect("a schema").example()
    }

    #[test]
    fn an_example_is_what_the_schema_takes() {
        for (schema, expected) in [
            (json!({}), json!(null)),
            (json!({ "type": "string" }), json!("text")),
            (json!({ "type": "string", "minLength": 6 }), json!("textte")),
            (json!({ "type": "string", "maxLength": 2 }), json!("te")),
            (json!({ "type": ["null", "integer"] }), json!(null)),
            (json!({ "type": "integer", "minimum": 5 }), json!(5)),
            (
                json!({ "type": "integer", "exclusiveMaximum": 0 }),
                json!(-1),
            ),
            (json!({ "enum": ["a", "b"] }), json!("a")),
            (
                json!({ "oneOf": [{ "const": 7 }, { "type": "string" }] }),
                json!(7),
            ),
            (
                json!({ "type": "array", "minItems": 2, "items": { "type": "boolean" } }),
                json!([true, true]),
            ),
            (
                json!({
                    "type": "object",
                    "required": ["name", "lines"],
                    "properties": {
                        "name": { "type": "string" },
                        "lines": { "type": "array" },
                        "more": { "type": "string" },
                    },
                }),
                json!({ "name": "text", "lines": [] }),
            ),
        ] {
            assert_eq!(example(&schema), Some(expected), "{schema}");
        }
    }

    #[test]
    fn what_cannot_be_found_is_not_guessed() {
        for schema in [
            json!({ "type": "string", "pattern": "^[0-9]{4}$" }),
            json!({ "type": "string", "minLength": 1_000_000_000 }),
            json!({ "type": "array", "minItems": 1_000_000_000 }),
            json!({ "allOf": [{ "type": "string" }, { "type": "integer" }] }),
            json!({ "type": "integer", "minimum": 3, "maximum": 2 }),
            json!(false),
        ] {
            assert_eq!(example(&schema), None, "{schema}");
        }
    }
}
