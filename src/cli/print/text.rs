//! Makes text safe to print without losing any of it: control characters of data become escapes, and only decoration
//! depends on what the stream supports.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::LazyLock;

use crate::faults::Fault;

/// Marks the parameters of a colour until the text is printed, with `END` after them. Noncharacters are reserved for
/// such use, and the number is unique to this process, so data cannot imitate it.
static COLOUR: LazyLock<String> = LazyLock::new(|| {
    let number = RandomState::new().build_hasher().finish();
    format!("\u{fdd0}{number:x}:")
});
const END: char = '\u{fdd1}';

/// Replaces every character that a terminal would act on, or that would hide or reorder text, by its `\uXXXX` escape. Line
/// feeds and tabs stay. A JSON text keeps its meaning, since it has such characters in strings only.
pub(crate) fn escaped(data: &str) -> String {
    let mut text = String::with_capacity(data.len());
    data.chars().for_each(|c| push(&mut text, c));
    text
}

/// Keeps the colours of a text that has ANSI escapes for decoration only.
pub(crate) fn decorated(ansi: &str) -> String {
    let mut text = String::with_capacity(ansi.len());
    let mut rest = ansi;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        text += &escaped(before);
        let end = after.find(|c: char| !c.is_ascii_digit() && c != ';');
        rest = match end {
            Some(end) if after[end..].starts_with('m') => {
                text += &format!("{}{}{END}", *COLOUR, &after[..end]);
                &after[end + 1..]
            }
            _ => {
                text += &escaped("\u{1b}[");
                after
            }
        };
    }
    text + &escaped(rest)
}

/// The text as printed: decoration as ANSI escapes, or left out; everything else escaped.
pub(crate) fn printable(text: &str, colours: bool) -> String {
    let mut pieces = text.split(COLOUR.as_str());
    let mut printed = escaped(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (parameters, after) = piece.split_once(END).unwrap_or(("", piece));
        if colours {
            printed += &format!("\u{1b}[{parameters}m");
        }
        printed += &escaped(after);
    }
    printed
}

fn push(text: &mut String, c: char) {
    if c == '\u{7f}' && Fault::DataFiltered.is_on() {
        return;
    }
    match is_escaped(c) {
        true => *text += &format!("\\u{:04x}", u32::from(c)),
        false => text.push(c),
    }
}

/// Control characters, the separators that end a line for some readers, and the controls of bidirectional text.
fn is_escaped(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{2028}' | '\u{2029}' => true,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            true
        }
        c => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::{decorated, escaped, printable};

    #[test]
    fn data_is_escaped_and_decoration_is_kept_apart() {
        assert_eq!(
            escaped("a\u{7f}\u{9b}31m\u{1b}[2J\r\u{2028}\u{202e}\n\té😀"),
            "a\\u007f\\u009b31m\\u001b[2J\\u000d\\u2028\\u202e\n\té😀"
        );
        let styled = decorated("\u{1b}[1;31merror\u{1b}[0m \u{7f}\u{1b}[2J");
        assert_eq!(
            printable(&styled, true),
            "\u{1b}[1;31merror\u{1b}[0m \\u007f\\u001b[2J"
        );
        assert_eq!(printable(&styled, false), "error \\u007f\\u001b[2J");
        let imitated = "\u{fdd0}1:31\u{fdd1}";
        assert_eq!(printable(imitated, true), imitated);
        assert_eq!(printable("\u{1b}[31mred", true), "\\u001b[31mred");
    }
}
