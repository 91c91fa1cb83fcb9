//! The parser's errors in the author's words.

use std::ops::Range as Offsets;

use granit_parser::{ErrorKind, ScanError};

use super::cut;
use crate::diagnostic::Diagnostic;
use crate::limits::YAML_DEPTH_MAX;
use crate::source::{FileId, Range};

pub(super) fn scan_error(file: FileId, text: &str, error: &ScanError) -> Diagnostic {
    let at = error.marker().byte_offset().unwrap_or(0).min(text.len());
    let range = character(file, text, at);
    let syntax = |message: &str| Diagnostic::error("yaml-syntax", range, message);
    match error.kind() {
        ErrorKind::RecursionLimitExceeded => too_deep(range),
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart => {
            syntax("a tab in the indentation").help("indent YAML with spaces")
        }
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => {
            mapping_value(file, text, at, range)
        }
        ErrorKind::UnclosedQuotedScalar => syntax("the quoted text is not closed")
            .label("opened here")
            .help("end it with the quote that it begins with"),
        ErrorKind::UnclosedFlowCollection { open } => {
            syntax(&format!("`{open}` is not closed")).label("opened here")
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            syntax(&format!("`{open}` is closed by `{close}`"))
        }
        ErrorKind::UnexpectedEofFlowSequence => syntax("`[` is not closed").help("add a `]`"),
        ErrorKind::UnexpectedEofFlowMapping | ErrorKind::UnexpectedEofImplicitFlowMapping => {
            syntax("`{` is not closed").help("add a `}`")
        }
        ErrorKind::ExpectedFlowMappingSeparator => {
            syntax("expected `,` or `}` here").help("quote a text that contains , [ ] { or }")
        }
        ErrorKind::ExpectedFlowSequenceSeparator => {
            syntax("expected `,` or `]` here").help("quote a text that contains , [ ] { or }")
        }
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::SimpleKeyExpected => {
            syntax("expected a `key:` here")
                .help("every line of a mapping is `key: value`, all keys at the same indentation")
        }
        ErrorKind::InvalidIndentation
        | ErrorKind::InvalidBlockScalarIndent
        | ErrorKind::InvalidFlowScalarIndent
        | ErrorKind::InvalidQuotedScalarIndent => syntax("the indentation fits nothing above it"),
        ErrorKind::UnknownQuotedScalarEscape => syntax("unknown escape in a double-quoted text")
            .help("write a backslash as `\\\\`, or use single quotes"),
        ErrorKind::UnexpectedCharacter { character } => {
            syntax(&format!("a value cannot begin with `{character}`")).help("quote it")
        }
        ErrorKind::CommentInterceptedScalar => syntax(
            "a comment is inside a text of several lines",
        )
        .help("in YAML ` #` begins a comment; quote the text, or move the comment elsewhere"),
        _ => syntax(&error.info()),
    }
}

pub(super) fn too_deep(range: Range) -> Diagnostic {
    Diagnostic::error(
        "yaml-too-deep",
        range,
        format!("lists and mappings are nested deeper than {YAML_DEPTH_MAX} levels"),
    )
    .help("the bound is YAML_DEPTH_MAX")
}

/// `key: text: more`: in YAML the second colon starts a mapping, which is not allowed there.
fn mapping_value(file: FileId, text: &str, at: usize, range: Range) -> Diagnostic {
    let diagnostic = Diagnostic::error("yaml-syntax", range, "a second `: ` in one line");
    match value_around(text, at) {
        Some(value) => {
            let meant = Range::new(file, value.start as u32, value.end as u32);
            diagnostic
                .label("YAML takes this for the `:` after a key")
                .help(cut::quote_help(&text[value.clone()]))
                .annotate(meant, "the value")
                .fix(
                    "quote the value",
                    vec![(meant, cut::quoted(&text[value]))],
                    false,
                )
        }
        None => diagnostic.label("a mapping cannot begin here").help(
            "quote a text that contains `: `; keys of one mapping stand at the same indentation",
        ),
    }
}

/// The plain value after the first `: ` of a line that has a second one at `at`.
pub(super) fn value_around(text: &str, at: usize) -> Option<Offsets<usize>> {
    let line_start = text[..at].rfind('\n').map_or(0, |i| i + 1);
    let line_end = text[at..].find('\n').map_or(text.len(), |i| at + i);
    let line = text[line_start..line_end].trim_end();
    let behind = line_start + line.find(": ")? + 2;
    let start = behind + (text[behind..].len() - text[behind..].trim_start_matches(' ').len());
    let end = line_start + line.len();
    let is_plain = !text[start..].starts_with(['"', '\'', '[', '{', '&', '*', '!', '|', '>']);
    (start < at && at < end && is_plain).then_some(start..end)
}

/// A value that begins with `!` in the line before an offset, such as `!(a || b)`, which YAML reads as a tag.
pub(super) fn tag_before(text: &str, at: usize) -> Option<usize> {
    let before = text.get(..at)?;
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    let begins = |(i, _): &(usize, &str)| {
        let tag = &before[line_start + i + 1..];
        before[..line_start + i].ends_with([' ', '\t']) && tag.starts_with(['(', '[', '{', '"'])
    };
    let mut found = before[line_start..].match_indices('!').filter(begins);
    found.next().map(|(i, _)| line_start + i)
}

/// The character at an offset, or nothing at the end of the text.
fn character(file: FileId, text: &str, mut at: usize) -> Range {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let length = text[at..]
        .chars()
        .next()
        .filter(|c| !matches!(c, '\n' | '\r'))
        .map_or(0, char::len_utf8);
    Range::new(file, at as u32, (at + length) as u32)
}
