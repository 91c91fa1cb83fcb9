//! Expressions that YAML itself cuts short: found, explained, and read as the author meant them.

use std::ops::Range as Offsets;

use crate::diagnostic::Diagnostic;
use crate::limits::EXPRESSION_SIZE_BYTES_MAX;
use crate::source::{FileId, Range};

const QUOTED_SHOWN_BYTES_MAX: usize = 300;

/// A scalar that YAML ends inside a `${ }`.
pub(super) struct Cut {
    /// The scalar as it was meant.
    pub(crate) range: Offsets<usize>,
    pub(crate) diagnostic: Diagnostic,
}

/// Whether an expression in a plain scalar, `start..end` in the source, continues after the scalar's end.
pub(super) fn find(
    file: FileId,
    source: &str,
    start: usize,
    end: usize,
    in_flow: bool,
) -> Option<Cut> {
    let opening = opening(source, start, end)?;
    let closing = closing(source, opening)?;
    if closing <= end {
        return None;
    }
    let meant = start..value_end(source, closing, in_flow);
    let why = why(source, end);
    let diagnostic = Diagnostic::error(
        "cut-expression",
        Range::new(file, opening as u32, end.max(opening + 2) as u32),
        format!("YAML ends this value before its expression does: {why}"),
    )
    .label("the expression begins here")
    .annotate(
        Range::new(file, end as u32, meant.end as u32),
        "cut off by YAML",
    )
    .help(quote_help(&source[meant.clone()]))
    .fix(
        "quote the value",
        vec![(
            Range::new(file, meant.start as u32, meant.end as u32),
            quoted(&source[meant.clone()]),
        )],
        // Not a key, nor one of several values.
        !in_flow && !source[closing..].starts_with(':'),
    );
    Some(Cut {
        range: meant,
        diagnostic,
    })
}

/// A plain value that YAML reads as a tag, since it begins with `!`.
pub(super) fn tag(file: FileId, source: &str, start: usize, in_flow: bool) -> Cut {
    let meant = start..value_end(source, start, in_flow);
    let range = Range::new(file, meant.start as u32, meant.end as u32);
    let text = &source[meant.clone()];
    let diagnostic = Diagnostic::error(
        "unknown-tag",
        range,
        "YAML reads a value that begins with `!` as a tag, not as an expression or a text",
    )
    .label("YAML's tag begins here")
    .help(quote_help(text))
    .fix("quote the value", vec![(range, quoted(text))], false);
    Cut {
        range: meant,
        diagnostic,
    }
}

/// Whether a comment right after a plain scalar, `start..end` in the source, is probably the rest of its text.
pub(super) fn by_comment(
    file: FileId,
    source: &str,
    start: usize,
    end: usize,
) -> Option<Diagnostic> {
    let behind = source[end..].trim_start_matches([' ', '\t']);
    let comment = behind.strip_prefix('#')?;
    let begin = source.len() - behind.len();
    let comment = &comment[..comment.find(['\n', '\r']).unwrap_or(comment.len())];
    let scalar = &source[start..end];
    let is_expression = scalar.starts_with("${") && closing(scalar, 0) == Some(scalar.len());
    let is_text = match comment.chars().next()? {
        _ if comment.starts_with("${") => true,
        ' ' | '\t' => !is_expression && comment.trim_start().starts_with("${"),
        c => c.is_alphanumeric() && !is_expression && (scalar.is_empty() || scalar.contains(' ')),
    };
    if !is_text {
        return None;
    }
    let meant_end = begin + 1 + comment.trim_end().len();
    let meant_start = if scalar.is_empty() { begin } else { start };
    let meant = Range::new(file, meant_start as u32, meant_end as u32);
    let text = &source[meant_start..meant_end];
    let diagnostic = Diagnostic::warning(
        "text-cut-by-comment",
        Range::new(file, begin as u32, meant_end as u32),
        "in YAML ` #` begins a comment, so the text ends before it",
    )
    .label("not part of the text")
    .help(quote_help(text))
    .help("if this is a comment, put a space after `#`");
    // What follows may be the end of a flow collection, or a comment indeed.
    let is_whole = !comment.contains(" #") && !comment.ends_with(['}', ']'])
        || comment.ends_with('}')
            && closing(comment, 0).is_some_and(|end| end == comment.trim_end().len());
    Some(match is_whole {
        true => diagnostic.fix("quote the value", vec![(meant, quoted(text))], false),
        false => diagnostic,
    })
}

/// Whether a scalar ends inside what looks like an expression.
pub(super) fn may_be(source: &str, start: usize, end: usize) -> bool {
    opening(source, start, end).is_some()
}

fn opening(source: &str, start: usize, end: usize) -> Option<usize> {
    let scalar = source.get(start..end)?;
    if scalar.ends_with('$') && source[end..].starts_with('{') {
        return Some(end - 1);
    }
    Some(start + unclosed(scalar)?)
}

fn why(source: &str, end: usize) -> &'static str {
    let rest = &source[end..];
    match rest.trim_start().chars().next() {
        Some('#') => "` #` begins a comment",
        Some('{' | '}') => "inside { } and [ ] a brace belongs to YAML",
        Some(',') => "inside { } and [ ] a comma separates YAML's items",
        Some('[' | ']') => "inside { } and [ ] a bracket belongs to YAML",
        _ => "`: ` separates a key from its value",
    }
}

/// How to quote a value, shown if it is short enough to be read.
pub(super) fn quote_help(text: &str) -> String {
    if text.len() > QUOTED_SHOWN_BYTES_MAX {
        "quote the whole value".to_string()
    } else {
        format!("quote the whole value: {}", quoted(text))
    }
}

/// The text as a quoted YAML scalar, with the quotes that need the fewest escapes.
pub(crate) fn quoted(text: &str) -> String {
    if !text.contains(['"', '\\', '\n', '\r', '\t']) {
        format!("\"{text}\"")
    } else if !text.contains(['\n', '\r', '\t']) {
        format!("'{}'", text.replace('\'', "''"))
    } else {
        let escaped = text
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
            .replace('\r', "\\r")
            .replace('\t', "\\t");
        format!("\"{escaped}\"")
    }
}

/// The offset of the first `${` in the text that the text does not close.
fn unclosed(text: &str) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = text[at..].find("${") {
        let opening = at + found;
        if opening > 0 && text.as_bytes()[opening - 1] == b'$' {
            at = opening + 2;
            continue;
        }
        match closing(text, opening) {
            Some(end) => at = end,
            None => return Some(opening),
        }
    }
    None
}

/// The offset after the `}` that closes the `${` at `opening`, on the same line; longer texts are not considered.
fn closing(text: &str, opening: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut escaped = false;
    for (i, c) in text[opening..].char_indices() {
        if i > EXPRESSION_SIZE_BYTES_MAX {
            return None;
        }
        match (quote, c) {
            (_, '\n') => return None,
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(opening + i + 1);
                }
            }
            (None, _) => {}
        }
    }
    None
}

/// The end of the value that continues after an expression's end: the end of the line, a comment, or in a flow
/// collection the next separator.
fn value_end(source: &str, mut at: usize, in_flow: bool) -> usize {
    let mut most = (at + EXPRESSION_SIZE_BYTES_MAX).min(source.len());
    while !source.is_char_boundary(most) {
        most -= 1;
    }
    let line_end = source[at..most].find('\n').map_or(most, |i| at + i);
    let mut end = at;
    while at < line_end {
        let rest = &source[at..line_end];
        if rest.starts_with("${")
            && let Some(behind) = closing(source, at)
        {
            at = behind;
            end = at;
            continue;
        }
        let Some(c) = rest.chars().next() else { break };
        let comment = c == '#' && source[..at].ends_with([' ', '\t']);
        if comment || (in_flow && matches!(c, ',' | '}' | ']')) {
            break;
        }
        at += c.len_utf8();
        if !c.is_whitespace() {
            end = at;
        }
    }
    end
}
