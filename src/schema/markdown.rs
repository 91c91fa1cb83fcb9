//! Parts of the reference in Markdown.

use std::fmt::Write;

use crate::definition::table::{Action, Field, Shape};
use crate::lint::RULES;

/// A table of keys.
pub fn fields_table<'a>(fields: impl Iterator<Item = &'a Field>) -> String {
    let mut text = String::from("| key | value | meaning | default |\n|---|---|---|---|\n");
    for field in fields {
        let default = match (field.required, field.default) {
            (true, _) => "**required**",
            (false, "") => "–",
            (false, default) => default,
        };
        let mut meaning = field.meaning.to_string();
        if let Shape::OneOf(choices) = &field.shape {
            let each = choices
                .iter()
                .map(|choice| format!("`{}`: {}", choice.name, choice.meaning));
            let _ = write!(meaning, " One of: {}.", each.collect::<Vec<_>>().join("; "));
        }
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            field.name,
            shape(&field.shape),
            cell(&meaning),
            cell(default),
        );
    }
    text
}

/// What a step does, its result and its keys.
pub fn action_section(action: &'static Action) -> String {
    let mut text = format!(
        "{}\n\n**Value:** {}. **Result:** {}.\n",
        action.key.meaning,
        shape(&action.key.shape),
        action.result,
    );
    if let Some((title, fields)) = nested(&action.key.shape) {
        let _ = write!(text, "\n{title}:\n\n{}", fields_table(fields));
    }
    if action.fields().next().is_some() {
        let _ = write!(
            text,
            "\nFurther keys of the step:\n\n{}",
            fields_table(action.fields())
        );
    }
    for field in action.fields() {
        if let Shape::List(Shape::Mapping(table)) = &field.shape {
            let _ = write!(
                text,
                "\nEach of `{}`:\n\n{}",
                field.name,
                fields_table(table.fields())
            );
        }
    }
    text
}

fn nested(shape: &'static Shape) -> Option<(&'static str, impl Iterator<Item = &'static Field>)> {
    if let Shape::Request(table) = shape {
        return Some(("Its mapping", table.fields()));
    }
    let title = match matches!(shape, Shape::Either(..)) {
        true => "As a mapping",
        false => "Its mapping",
    };
    Some((title, shape.table()?.fields()))
}

/// The page of all lint rules.
pub fn rules() -> String {
    let mut text = String::from(
        "# Lint rules\n\n\
         `segno lint` first reports the mistakes in a definition, as errors. If there are none, these rules look for valid\n\
         definitions that are hardly intended, and report them as warnings. Definitions that can only fail are reported as\n\
         errors. Warnings leave the exit code 0, unless `--deny-warnings` is given.\n\n\
         `segno explain RULE` prints a rule's part of this page, which is generated from the comments in `src/lint/`.\n\n\
         ## Allow a warning\n\n\
         A comment silences a warning on its own line, or on the next line with content if it stands alone. It needs a reason:\n\n\
         ```yaml\n\
         state:\n  \
         # segno: allow(unused-state) read by the queries of version 3\n  \
         legacy: 1\n\
         ```\n\n\
         The name is the one that the report has in brackets. Errors cannot be allowed. A comment that silences nothing is reported as `unused-allow`, and one that cannot be read\n\
         as `malformed-allow`.\n",
    );
    for rule in RULES {
        let _ = write!(text, "\n## {}\n\n{}", rule.name, rule.documentation());
    }
    text
}

fn shape(shape: &Shape) -> String {
    match shape {
        Shape::Version => "`1`".into(),
        Shape::Text => "text".into(),
        Shape::Identifier => "name".into(),
        Shape::Flag => "`true` or `false`".into(),
        Shape::Whole { least, most } => format!("whole number from {least} to {most}"),
        Shape::TextTemplate => "text with `${ }`".into(),
        Shape::NumberTemplate => "number or `${ }`".into(),
        Shape::Template => "any value, with `${ }`".into(),
        Shape::Templates => "list, with `${ }`".into(),
        Shape::MappingTemplate => "mapping, with `${ }`".into(),
        Shape::Expression => "expression".into(),
        Shape::OptionalExpression => "expression or nothing".into(),
        Shape::Duration => "duration".into(),
        Shape::OneOf(_) => "a word".into(),
        Shape::Schema => "JSON Schema".into(),
        Shape::Data => "any value".into(),
        Shape::Nothing => "nothing".into(),
        Shape::Steps => "steps".into(),
        Shape::Request(table) => format!("{}, with `${{ }}`", table.name),
        Shape::Mapping(table) => table.name.into(),
        Shape::Named(inner) => format!("mapping from names to {}", self::shape(inner)),
        Shape::List(inner) => format!("list, each {}", self::shape(inner)),
        Shape::Either(first, second) => {
            format!("{}, or {}", self::shape(first), self::shape(second))
        }
        Shape::TextOrTexts => "text or list of texts".into(),
        Shape::CalendarField => "number, text, or list of them".into(),
        Shape::StepOf(kinds) => {
            let names: Vec<_> = kinds.iter().map(|k| format!("`{}`", k.key())).collect();
            format!("a mapping like a step of {}", names.join(", "))
        }
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
