//! What a syntax error means to an author: what stands there, what was expected, and what was probably meant.

use pest::error::{Error, ErrorVariant, InputLocation};

use super::Rule;
use crate::diagnostic::Diagnostic;
use crate::source::TextMap;

pub(super) fn explain(error: &Error<Rule>, source: &str, base: usize, map: &TextMap) -> Diagnostic {
    let at = match error.location {
        InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
    };
    let found = word_at(source, at);
    let range = map.range(base + at..base + at + found.len());
    let shown = if found.is_empty() {
        "the end of the expression".to_owned()
    } else {
        format!("`{found}`")
    };
    let expected = expected(error);
    if source.trim().is_empty() {
        return Diagnostic::error("expression-syntax", range, "the expression is empty");
    }
    let diagnostic = Diagnostic::error(
        "expression-syntax",
        range,
        format!("expected {expected}, found {shown}"),
    )
    .label(format!("expected {expected}"));
    match meant(source, at, found) {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

/// The word or the sign that starts at an offset.
fn word_at(source: &str, at: usize) -> &str {
    let rest = source.get(at..).unwrap_or("");
    let word = rest
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(rest.len());
    match (word, rest.chars().next()) {
        (0, Some(sign)) => &rest[..sign.len_utf8()],
        _ => &rest[..word],
    }
}

fn expected(error: &Error<Rule>) -> &'static str {
    let ErrorVariant::ParsingError { positives, .. } = &error.variant else {
        return "something else";
    };
    let has = |rule: Rule| positives.contains(&rule);
    if has(Rule::infix) || has(Rule::EOI) || has(Rule::within) {
        "an operator or the end of the expression"
    } else if has(Rule::field) && !has(Rule::global) {
        "a field's name"
    } else if has(Rule::item) || has(Rule::entry) {
        "a value or the closing bracket"
    } else {
        "a value"
    }
}

/// What authors who know other languages write.
fn meant(source: &str, at: usize, found: &str) -> Option<String> {
    let before = source[..at].chars().next_back();
    Some(match found {
        "=" if before != Some('=') => "equality is written `==`".to_owned(),
        "=" => "equality is written `==`; there is no `===`".to_owned(),
        "&" => "`and` is written `&&`".to_owned(),
        "|" => {
            "`or` is written `||`; there are no filters with `|`, functions are called: x.size()"
                .to_owned()
        }
        "and" => "`and` is written `&&`".to_owned(),
        "or" => "`or` is written `||`".to_owned(),
        "is" => "equality is written `==`".to_owned(),
        "not" => "`not` is written `!`".to_owned(),
        "?" if before == Some('?') || source[at..].starts_with("??") => {
            "a default is written `a.?b.orValue(…)`, or `a.?b.default(…)` to replace null too"
                .to_owned()
        }
        "?" if source[at..].starts_with("?.") => "an optional field is selected by `.?`".to_owned(),
        "$" => "inside of an expression names stand alone, without `${ }`".to_owned(),
        _ => return None,
    })
}
