//! What messages quote of a text from outside.

use crate::limits::{QUOTE_SIZE_BYTES_MAX, REFUSAL_SIZE_BYTES_MAX};

/// The text, or its beginning and end if it is longer than `QUOTE_SIZE_BYTES_MAX`.
pub(crate) fn quoted(text: &str) -> String {
    cut(text, QUOTE_SIZE_BYTES_MAX)
}

/// A whole message, or its beginning and end if it is longer than `REFUSAL_SIZE_BYTES_MAX`.
pub(crate) fn bounded_message(message: String) -> String {
    match message.len() <= REFUSAL_SIZE_BYTES_MAX {
        true => message,
        false => cut(&message, REFUSAL_SIZE_BYTES_MAX),
    }
}

/// The end often explains the problem as well as the beginning, so a quarter is left for it.
fn cut(text: &str, size_max: usize) -> String {
    if text.len() <= size_max {
        return text.to_owned();
    }
    let boundary = |at: usize| (at..text.len()).find(|at| text.is_char_boundary(*at));
    let begin = boundary(size_max - size_max / 4).unwrap_or(0);
    let end = boundary(text.len() - size_max / 4).unwrap_or(text.len());
    let left_out = end - begin;
    format!(
        "{}… ({left_out} bytes left out) …{}",
        &text[..begin],
        &text[end..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_and_the_end_are_quoted() {
        assert_eq!(quoted("short"), "short");
        let exact = "x".repeat(QUOTE_SIZE_BYTES_MAX);
        assert_eq!(quoted(&exact), exact);
        let cut = quoted(&format!("begin{}end", "é".repeat(1_000_000)));
        assert!(cut.len() < QUOTE_SIZE_BYTES_MAX + 100, "{}", cut.len());
        assert!(cut.starts_with("beginé") && cut.ends_with("éend"), "{cut}");
        assert!(cut.contains("bytes left out"), "{cut}");
    }
}
