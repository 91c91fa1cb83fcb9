//! Explains a syntax error to an author: what was found, what was expected, and what was probably meant.

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

/// The word or symbol that starts at an offset.
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

/// What authors who know other languages often write.
fn meant(source: &str, at: usize, found: &str) -> Option<String> {
    let before = source[..at].chars().next_back();
    Some(match found {
        "=" if before != Some('=') => "write equality as `==`".to_owned(),
        "=" => "write equality as `==`; there is no `===`".to_owned(),
        "&" => "write `and` as `&&`".to_owned(),
        "|" => {
            "write `or` as `||`; filters with `|` do not exist, call functions instead: x.size()"
                .to_owned()
        }
        "and" => "write `and` as `&&`".to_owned(),
        "or" => "write `or` as `||`".to_owned(),
        "is" => "write equality as `==`".to_owned(),
        "not" => "write `not` as `!`".to_owned(),
        "?" if before == Some('?') || source[at..].starts_with("??") => {
            "write a default as `a.?b.orValue(…)`, or `a.?b.default(…)` to replace null too"
                .to_owned()
        }
        "?" if source[at..].starts_with("?.") => "select an optional field with `.?`".to_owned(),
        "$" => "inside an expression, write names without `${ }`".to_owned(),
        _ => return None,
    })
}
