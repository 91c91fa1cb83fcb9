//! Where an expression ends and how deep its brackets nest, found without recursion, with regard to strings and
//! comments.

use crate::limits::EXPRESSION_BRACKETS_DEPTH_MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The offset of the `}` that no `{` of the expression opened.
    Brace(usize),
    Text,
    /// The offset of the bracket that exceeds the depth.
    TooDeep(usize),
    /// The offset of the quote of a string that is not closed.
    OpenString(usize),
    /// The offset of the innermost bracket that is not closed.
    OpenBracket(usize),
    /// The offset of a closing bracket that does not match, and the offset of the open one.
    Mismatch(usize, Option<usize>),
}

/// Scans from `start` to the text's end or to the brace that closes the `${` before `start`.
pub(crate) fn scan(text: &str, start: usize) -> End {
    let bytes = text.as_bytes();
    let mut open: Vec<usize> = Vec::new();
    let mut at = start;
    while at < bytes.len() {
        match bytes[at] {
            b'"' | b'\'' => match string_end(bytes, at, is_raw(bytes, start, at)) {
                Some(end) => {
                    at = end;
                    continue;
                }
                None => return End::OpenString(at),
            },
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                while at < bytes.len() && bytes[at] != b'\n' {
                    at += 1;
                }
                continue;
            }
            b'`' => {
                // A quoted name contains no brackets; the parser reports one that is not closed.
                let close = bytes[at + 1..].iter().position(|b| *b == b'`');
                at += close.map_or(0, |n| n + 1);
            }
            b'(' | b'[' | b'{' => {
                if open.len() == EXPRESSION_BRACKETS_DEPTH_MAX {
                    return End::TooDeep(at);
                }
                open.push(at);
            }
            b'}' if open.is_empty() => return End::Brace(at),
            close @ (b')' | b']' | b'}') => match open.pop() {
                Some(opening) if closes(bytes[opening], close) => {}
                opening => return End::Mismatch(at, opening),
            },
            _ => {}
        }
        at += 1;
    }
    open.pop().map_or(End::Text, End::OpenBracket)
}

fn closes(open: u8, close: u8) -> bool {
    matches!((open, close), (b'(', b')') | (b'[', b']') | (b'{', b'}'))
}

/// Whether the quote at `at` has a raw string's prefix: `r`, or `br`, in either case.
pub(super) fn is_raw(bytes: &[u8], start: usize, at: usize) -> bool {
    let before = &bytes[start..at];
    let word = before
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_')
        .count();
    let prefix = before[before.len() - word..].to_ascii_lowercase();
    prefix == b"r" || prefix == b"br"
}

pub(super) fn string_end(bytes: &[u8], at: usize, raw: bool) -> Option<usize> {
    let quote = bytes[at];
    let triple = bytes[at..].starts_with(&[quote; 3]);
    let mut at = at + if triple { 3 } else { 1 };
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if !raw => at += 1,
            b if b == quote && !triple => return Some(at + 1),
            b if b == quote && bytes[at..].starts_with(&[quote; 3]) => return Some(at + 3),
            b'\n' | b'\r' if !triple => return None,
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_ends_at_the_brace_that_it_did_not_open() {
        let cases = [
            ("a + b} rest", End::Brace(5)),
            ("{'a': '}'}.a}", End::Brace(12)),
            (r#""\"}" + r'\'}"#, End::Brace(12)),
            ("'''}'''}", End::Brace(7)),
            ("a // }\n}", End::Brace(7)),
            ("a.`b`}", End::Brace(5)),
            ("a", End::Text),
            ("(a]", End::Mismatch(2, Some(0))),
            ("a)", End::Mismatch(1, None)),
            ("[a", End::OpenBracket(0)),
            ("'a", End::OpenString(0)),
        ];
        for (text, end) in cases {
            assert_eq!(scan(text, 0), end, "{text}");
        }
        assert_eq!(scan(&"[".repeat(100), 0), End::TooDeep(64));
    }
}
