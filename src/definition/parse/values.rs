//! Values of the kinds that tables know, each with its diagnostics.

use std::sync::Arc;

use super::Parser;
use super::fields::Fields;
use crate::definition::table::{Choice, Field, Key, Shape};
use crate::definition::{DurationValue, Name, Schema, Steps};
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::expression::{self, Expression, Template};
use crate::source::{Range, Spanned, TextMap};
use crate::value::{self, Duration, Value};
use crate::words::Word;
use crate::yaml::{Data, Node, Scalar, Style};

/// Words that cannot be names in expressions. Names that are defined everywhere are left to the compiler.
const RESERVED: &[&str] = &[
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

impl Parser {
    pub(crate) fn wrong_type(&mut self, field: &Field, node: &Node) {
        let message = format!(
            "`{}` must be {}; found {}",
            field.name,
            field.shape.expected(),
            node.kind()
        );
        let mut error = Diagnostic::error("wrong-type", node.range, message)
            .label(format!("expected {}", field.shape.expected()));
        if let (Shape::Text | Shape::TextTemplate | Shape::TextOrTexts, Some(scalar)) =
            (&field.shape, node.scalar())
            && !node.is_null()
        {
            error = error.help(format!("quote it: \"{}\"", scalar.text)).fix(
                "quote it",
                vec![(node.range, format!("\"{}\"", scalar.text))],
                true,
            );
        }
        if let (Shape::Steps, Data::Mapping(_)) = (&field.shape, &node.data) {
            error = error.help("begin each step with `- `");
        }
        self.report(error);
    }

    /// A text without expressions.
    pub(crate) fn text(&mut self, fields: &Fields<'_>, name: Key) -> Option<Name> {
        let (field, node) = fields.get(name)?;
        self.text_of(field, node)
    }

    pub(crate) fn text_of(&mut self, field: &Field, node: &Node) -> Option<Name> {
        let Some(Scalar {
            value: Value::String(text),
            ..
        }) = node.scalar()
        else {
            self.wrong_type(field, node);
            return None;
        };
        if text.contains("${") {
            let message = format!("`{}` cannot be an expression", field.name);
            let error = Diagnostic::error("unexpected-expression", node.range, message)
                .label("must be known before a run")
                .help("write a constant");
            self.report(error);
        } else if text.is_empty() {
            let message = format!("`{}` is empty", field.name);
            self.report(Diagnostic::error("empty-text", node.range, message));
            return None;
        }
        Some(Spanned::new(text.clone(), node.range))
    }

    pub(crate) fn texts(&mut self, fields: &Fields<'_>, name: Key) -> Vec<Name> {
        let Some((field, node)) = fields.get(name) else {
            return Vec::new();
        };
        match node.sequence() {
            Some(items) => items
                .iter()
                .filter_map(|item| self.text_of(field, item))
                .collect(),
            None => self.text_of(field, node).into_iter().collect(),
        }
    }

    /// A name for expressions.
    pub(crate) fn identifier(&mut self, fields: &Fields<'_>, name: Key) -> Option<Name> {
        let (field, node) = fields.get(name)?;
        let text = self.text_of(field, node)?;
        self.check_identifier(&text, field.name);
        Some(text)
    }

    pub(crate) fn check_identifier(&mut self, name: &Name, what: &str) {
        let text = &*name.value;
        let error = |message: String| Diagnostic::error("bad-name", name.range, message);
        let well_formed = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !well_formed {
            let mended: String = text
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
                .collect();
            let mut error = error(format!("`{text}` cannot be used in expressions"))
                .label("expected letters, digits and `_`, not beginning with a digit");
            if mended.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
                error = error.help(format!("write `{mended}`"));
            }
            self.report(error);
        } else if RESERVED.contains(&text) {
            let error = error(format!("`{text}` is a reserved word of expressions"))
                .label("reserved")
                .help(format!("choose another name for `{what}`"));
            self.report(error);
        }
    }

    pub(crate) fn flag(&mut self, fields: &Fields<'_>, name: Key) -> Option<Spanned<bool>> {
        let (field, node) = fields.get(name)?;
        match node.scalar().map(|scalar| &scalar.value) {
            Some(Value::Bool(flag)) => Some(Spanned::new(*flag, node.range)),
            _ => {
                self.wrong_type(field, node);
                None
            }
        }
    }

    /// A whole number within the bounds of its shape.
    pub(crate) fn whole(&mut self, fields: &Fields<'_>, name: Key) -> Option<u64> {
        let (field, node) = fields.get(name)?;
        let Shape::Whole { least, most } = field.shape else {
            return None;
        };
        let Some(Value::Int(number)) = node.scalar().map(|scalar| &scalar.value) else {
            self.wrong_type(field, node);
            return None;
        };
        let number = u64::try_from(*number).ok();
        let within = number.filter(|number| (least..=most).contains(number));
        if within.is_none() {
            let message = format!("`{name}` must be from {least} to {most}");
            self.report(Diagnostic::error("invalid-option", node.range, message));
        }
        within
    }

    /// Any of the kinds that may hold `${ }`.
    pub(crate) fn template(&mut self, fields: &Fields<'_>, name: Key) -> Option<Template> {
        let (field, node) = fields.get(name)?;
        Some(self.template_of(field, node))
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the other shapes are read by functions of their own"
    )]
    pub(crate) fn template_of(&mut self, field: &Field, node: &Node) -> Template {
        let scalar = node.scalar();
        let dynamic = scalar.is_some_and(|scalar| scalar.text.contains("${"));
        let fits = match &field.shape {
            Shape::TextTemplate => {
                scalar.is_some_and(|scalar| matches!(scalar.value, Value::String(_)))
            }
            Shape::NumberTemplate => {
                dynamic
                    || scalar.is_some_and(|scalar| {
                        matches!(
                            scalar.value,
                            Value::Int(_) | Value::Uint(_) | Value::Double(_)
                        )
                    })
            }
            Shape::MappingTemplate | Shape::Request(_) => dynamic || node.mapping().is_some(),
            _ => true,
        };
        if !fits {
            self.wrong_type(field, node);
        }
        self.any_template(node)
    }

    pub(crate) fn any_template(&mut self, node: &Node) -> Template {
        let (template, diagnostics) = expression::template(node);
        diagnostics.into_iter().for_each(|found| self.report(found));
        template
    }

    /// Replaces a value that is missing or could not be read.
    pub(crate) fn absent(&mut self, range: Range) -> Template {
        self.any_template(&unknown(range))
    }

    pub(crate) fn required_template(&mut self, fields: &Fields<'_>, name: Key) -> Template {
        match self.template(fields, name) {
            Some(template) => template,
            None => self.absent(fields.start()),
        }
    }

    pub(crate) fn condition(&mut self, fields: &Fields<'_>, name: Key) -> Option<Expression> {
        let (field, node) = fields.get(name)?;
        Some(self.condition_of(field, node))
    }

    pub(crate) fn required_condition(&mut self, fields: &Fields<'_>, name: Key) -> Expression {
        match self.condition(fields, name) {
            Some(condition) => condition,
            None => self.always(fields.start()),
        }
    }

    /// A bare expression, or one in `${ }`.
    pub(crate) fn condition_of(&mut self, field: &Field, node: &Node) -> Expression {
        let Some(scalar) = node.scalar().filter(|_| !node.is_null()) else {
            self.wrong_type(field, node);
            return self.always(node.range);
        };
        let (text, map) = bare(scalar);
        let (expression, mut diagnostics) = expression::parse(&text, &map);
        if scalar.style == Style::Plain
            && let Some(first) = diagnostics.first_mut()
        {
            // An odd quote remains of a text with ` #` in it.
            let quotes = text.matches('"').count();
            if quotes % 2 == 1 {
                first.help.push(
                    "in YAML ` #` begins a comment and `: ` ends a key; quote the whole value"
                        .into(),
                );
            }
        }
        diagnostics.into_iter().for_each(|found| self.report(found));
        match expression {
            Some(expression) => expression,
            None => self.always(node.range),
        }
    }

    /// Replaces a condition that is missing or could not be read.
    pub(crate) fn always(&mut self, range: Range) -> Expression {
        let (expression, _) = expression::parse("true", &TextMap::verbatim(range));
        assert!(expression.is_some(), "`true` is an expression");
        expression.unwrap_or_else(|| unreachable!())
    }

    pub(crate) fn duration(&mut self, fields: &Fields<'_>, name: Key) -> Option<DurationValue> {
        let (field, node) = fields.get(name)?;
        self.duration_of(field, node)
    }

    pub(crate) fn duration_of(&mut self, field: &Field, node: &Node) -> Option<DurationValue> {
        let Some(scalar) = node.scalar().filter(|_| !node.is_null()) else {
            self.wrong_type(field, node);
            return None;
        };
        if scalar.text.contains("${") {
            return Some(DurationValue::Expression(self.any_template(node)));
        }
        let message = match Duration::parse(&scalar.text) {
            Ok(duration) if !duration.is_negative() => {
                return Some(DurationValue::Constant(Spanned::new(duration, node.range)));
            }
            Ok(_) => format!("`{}` is negative", scalar.text),
            Err(message) => message,
        };
        let error =
            Diagnostic::error("bad-duration", node.range, message).label("expected a duration");
        let number = !scalar.text.is_empty() && scalar.text.bytes().all(|b| b.is_ascii_digit());
        let error = if number {
            error
                .help(format!(
                    "add a unit: `{0}s`, `{0}m`, `{0}h` or `{0}d`",
                    scalar.text
                ))
                .fix(
                    "seconds",
                    vec![(node.range, format!("{}s", scalar.text))],
                    false,
                )
        } else {
            error
        };
        self.report(error);
        None
    }

    /// The chosen word, from its own table.
    pub(crate) fn choice(
        &mut self,
        fields: &Fields<'_>,
        name: Key,
    ) -> Option<Spanned<&'static str>> {
        let (field, node) = fields.get(name)?;
        let Shape::OneOf(choices) = &field.shape else {
            return None;
        };
        let text = node.scalar().map_or("", |scalar| &scalar.text);
        if let Some(choice) = choices.iter().find(|choice| choice.name == text) {
            return Some(Spanned::new(choice.name, node.range));
        }
        self.report(bad_choice(field, node, choices));
        None
    }

    /// The value that the chosen word is for.
    pub(crate) fn word<T: Word>(&mut self, fields: &Fields<'_>, name: Key) -> Option<Spanned<T>> {
        let chosen = self.choice(fields, name)?;
        let value = T::named(chosen.value);
        debug_assert!(value.is_some(), "`{name}` has words of another type");
        Some(Spanned::new(value?, chosen.range))
    }

    /// A mapping with the author's own names as keys.
    pub(crate) fn named<'n>(&mut self, fields: &Fields<'n>, name: Key) -> Vec<(Name, &'n Node)> {
        let Some((field, node)) = fields.get(name) else {
            return Vec::new();
        };
        self.named_of(field, node)
    }

    pub(crate) fn named_of<'n>(&mut self, field: &Field, node: &'n Node) -> Vec<(Name, &'n Node)> {
        let Some(entries) = node.mapping() else {
            self.wrong_type(field, node);
            return Vec::new();
        };
        entries
            .iter()
            .map(|entry| (Spanned::new(entry.name(), entry.key.range), &entry.value))
            .collect()
    }

    pub(crate) fn schema(&mut self, fields: &Fields<'_>, name: Key) -> Option<Schema> {
        let (_, node) = fields.get(name)?;
        self.schema_of(&name, node)
    }

    pub(crate) fn schema_of(&mut self, name: &str, node: &Node) -> Option<Schema> {
        let json = match (&node.data, node.scalar().map(|scalar| &scalar.value)) {
            (Data::Mapping(_), _) | (_, Some(Value::Bool(_))) => value::to_json(&node.to_value()),
            (_, Some(Value::String(kind))) => Ok(serde_json::json!({ "type": &**kind })),
            (_, Some(Value::Null)) if name == "input" || name == "output" => {
                Ok(serde_json::json!({ "type": "null" }))
            }
            _ => {
                let message = format!("`{name}` must be a JSON Schema; found {}", node.kind());
                let error = Diagnostic::error("wrong-type", node.range, message)
                    .label("expected a JSON Schema")
                    .help("write a mapping like `{ type: object, properties: { … } }`, or the name of a type alone");
                self.report(error);
                return None;
            }
        };
        match json {
            Ok(json) => Some(Schema {
                json,
                range: node.range,
                places: places(node),
            }),
            Err(error) => {
                let message = format!("`{name}` is not JSON: {}", error.0);
                self.report(Diagnostic::error("bad-schema", node.range, message));
                None
            }
        }
    }

    pub(crate) fn steps(&mut self, fields: &Fields<'_>, name: Key) -> Option<Steps> {
        let (field, node) = fields.get(name)?;
        Some(self.steps_of(field, node))
    }

    pub(crate) fn required_steps(&mut self, fields: &Fields<'_>, name: Key) -> Steps {
        self.steps(fields, name).unwrap_or_default()
    }
}

/// As [`Schema::places`] has them.
fn places(schema: &Node) -> Box<[Range]> {
    fn add(node: &Node, places: &mut Vec<Range>) {
        match &node.data {
            Data::Scalar(_) => {}
            Data::Sequence(items) => {
                for item in items {
                    places.push(item.range);
                    add(item, places);
                }
            }
            Data::Mapping(entries) => {
                for entry in entries {
                    places.push(entry.key.range);
                    add(&entry.value, places);
                }
            }
        }
    }
    let mut places = Vec::new();
    add(schema, &mut places);
    places.into()
}

fn bad_choice(field: &Field, node: &Node, choices: &[Choice]) -> Diagnostic {
    let names = choices.iter().map(|choice| choice.name);
    let text = node.scalar().map_or("", |scalar| &scalar.text);
    let message = if text.is_empty() {
        format!("`{}` must be one word; found {}", field.name, node.kind())
    } else {
        format!("`{}` cannot be `{text}`", field.name)
    };
    let mut error = Diagnostic::error("unknown-choice", node.range, message);
    let normal = text.to_lowercase().replace(['-', ' '], "_");
    if let Some(near) = did_you_mean(&normal, names) {
        error = error.label(format!("did you mean `{near}`?")).fix(
            format!("write `{near}`"),
            vec![(node.range, near.to_string())],
            false,
        );
    }
    let listed: Vec<_> = choices
        .iter()
        .map(|choice| format!("{} ({})", choice.name, choice.meaning))
        .collect();
    error.help(format!("one of: {}", listed.join("; ")))
}

/// The expression's own text, without a `${ }` that encloses all of it.
fn bare(scalar: &Scalar) -> (Arc<str>, TextMap) {
    let text = scalar.text.trim();
    let enclosed = text
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .filter(|inner| !inner.contains("${"));
    match enclosed {
        Some(inner) => {
            let start = inner.as_ptr() as usize - scalar.text.as_ptr() as usize;
            (inner.into(), scalar.map.slice(start..start + inner.len()))
        }
        None => (scalar.text.clone(), scalar.map.clone()),
    }
}

/// A text that replaces a value that could not be read.
pub(crate) fn unknown(range: Range) -> Node {
    let text: Arc<str> = "unknown".into();
    Node {
        data: Data::Scalar(Scalar {
            value: Value::String(text.clone()),
            text,
            style: Style::Plain,
            map: TextMap::new(range.file, vec![(0, range.start)], range.end),
        }),
        range,
    }
}

pub(crate) fn empty_mapping(range: Range) -> Node {
    Node {
        data: Data::Mapping(Vec::new()),
        range,
    }
}
