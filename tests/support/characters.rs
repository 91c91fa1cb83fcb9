//! Characters that a terminal acts on, or that a careless printer changes.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub const CHARACTERS: &[&str] = &[
    "\u{1}",
    "\u{7}",
    "\u{8}",
    "\r",
    "\u{1b}[31m",
    "\u{1b}[2J",
    "\u{1b}]0;title\u{7}",
    "\u{7f}",
    "\u{80}",
    "\u{9b}31m",
    "\u{9d}0;title\u{9c}",
    "\u{ad}",
    "\u{200d}",
    "\u{2028}",
    "\u{2029}",
    "\u{202e}",
    "\u{2066}",
    "\u{fdd0}31\u{fdd1}",
    "\u{feff}",
    "\u{fffd}",
    "\u{ffff}",
    "😀",
    "e\u{301}",
    "\\u007f",
    "\"\\/",
];

pub fn text(characters: &[&str]) -> String {
    characters.concat()
}

/// Nothing in it makes a terminal do something.
#[track_caller]
pub fn assert_printable(printed: &str) {
    let bad = printed.chars().find(|c| {
        c.is_control() && !matches!(c, '\n' | '\t')
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    });
    assert!(bad.is_none(), "{bad:?} in {printed:?}");
}

/// What Segno makes of a text that it shows to people.
pub fn shown(text: &str) -> String {
    let shown = text.chars().map(|c| match c {
        '\u{2028}' | '\u{2029}' | '\u{202e}' | '\u{2066}' => {
            format!("\\u{:04x}", u32::from(c))
        }
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    });
    shown.collect()
}

/// Takes away the colours that Segno and the renderer of diagnostics use; any other escape sequence stays.
pub fn without_colours(printed: &str) -> String {
    let mut text = String::new();
    let mut rest = printed;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        text += before;
        let end = after.find(|c: char| !c.is_ascii_digit() && c != ';');
        match end {
            Some(end) if after[end..].starts_with('m') => rest = &after[end + 1..],
            _ => {
                text += "\u{1b}[";
                rest = after;
            }
        }
    }
    text + rest
}

/// A text in double quotes, as YAML takes it: control characters may stand there only as escapes.
pub fn quoted(text: &str) -> String {
    plain(&serde_json::json!(text).to_string())
}

/// JSON without anything but ASCII, except for what has no escape that both JSON and YAML take.
pub fn plain(json: &str) -> String {
    let plain = json.chars().map(|c| match u32::from(c) {
        0x20..=0x7e | 0x10000.. => c.to_string(),
        code => format!("\\u{code:04x}"),
    });
    plain.collect()
}
