//! Abbreviates values on one line.

use crate::limits::DIFFERENCE_TEXT_CHARACTERS_MAX;
use crate::value::Value;
use crate::yaml::{Data, Node, Scalar};

/// Characters shown of the common beginning of two texts.
const ALIKE_CHARACTERS_MAX: usize = 20;

/// A value in YAML's flow style, at least the part of it that is shown.
pub(super) fn value(node: &Node) -> String {
    let mut shown = String::new();
    // More than is shown, so that two values can be cut where they differ.
    write(node, &mut shown, 16 * DIFFERENCE_TEXT_CHARACTERS_MAX);
    shown
}

fn write(node: &Node, shown: &mut String, bytes_max: usize) {
    match &node.data {
        Data::Scalar(scalar) => shown.push_str(&text(scalar)),
        Data::Sequence(items) => {
            shown.push('[');
            for (i, item) in items.iter().enumerate() {
                shown.push_str(if i == 0 { "" } else { ", " });
                if shown.len() > bytes_max {
                    break;
                }
                write(item, shown, bytes_max);
            }
            shown.push(']');
        }
        Data::Mapping(entries) if entries.is_empty() => shown.push_str("{}"),
        Data::Mapping(entries) => {
            shown.push_str("{ ");
            for (i, entry) in entries.iter().enumerate() {
                shown.push_str(if i == 0 { "" } else { ", " });
                if shown.len() > bytes_max {
                    break;
                }
                shown.push_str(&entry.name());
                shown.push_str(": ");
                write(&entry.value, shown, bytes_max);
            }
            shown.push_str(" }");
        }
    }
}

/// A scalar on one line; a text that would be a number, a flag or null without quotes has quotes.
pub(super) fn text(scalar: &Scalar) -> String {
    let text = scalar.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_like_another =
        matches!(&*text, "" | "~" | "null" | "true" | "false") || text.parse::<f64>().is_ok();
    match &scalar.value {
        Value::Null => "null".into(),
        Value::String(_) if is_like_another => format!("\"{text}\""),
        _ => text,
    }
}

/// The beginning, up to a number of characters.
pub(super) fn cut(text: &str, characters_max: usize) -> String {
    match text.char_indices().nth(characters_max) {
        Some(_) => {
            let mut cut: String = text
                .chars()
                .take(characters_max.saturating_sub(1))
                .collect();
            cut.push('…');
            cut
        }
        None => text.into(),
    }
}

/// Two texts, cut so that the difference is visible.
pub(super) fn cut_both(old: &str, new: &str) -> (String, String) {
    let alike = old
        .chars()
        .zip(new.chars())
        .take_while(|(a, b)| a == b)
        .count();
    let both = |skipped: usize| {
        let one = |text: &str| {
            let rest: String = text.chars().skip(skipped).collect();
            let rest = match skipped {
                0 => rest,
                _ => format!("…{rest}"),
            };
            cut(&rest, DIFFERENCE_TEXT_CHARACTERS_MAX)
        };
        (one(old), one(new))
    };
    let (short_old, short_new) = both(0);
    match short_old == short_new && old != new {
        true => both(alike.saturating_sub(ALIKE_CHARACTERS_MAX)),
        false => (short_old, short_new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_where_they_part() {
        let (old, new) = (
            format!("{}a", "x".repeat(90)),
            format!("{}b", "x".repeat(90)),
        );
        let (old, new) = cut_both(&old, &new);
        assert_eq!(old, format!("…{}a", "x".repeat(20)));
        assert_eq!(new, format!("…{}b", "x".repeat(20)));
        assert_eq!(cut("äöü", 2), "ä…");
        assert_eq!(cut("äö", 2), "äö");
    }
}
