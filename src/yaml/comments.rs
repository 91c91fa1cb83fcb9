//! Comments, which the tree does not have.

use granit_parser::{Event, Options, Parser};

use crate::source::{FileId, Range};

/// Each comment with its range, which begins at `#`; those after a syntax error are missing.
pub(crate) fn comments(file: FileId, text: &str) -> Vec<(Range, String)> {
    let mut options = Options::default();
    options.emit_unresolved_aliases = true;
    options.emit_comments = true;
    let mut found = Vec::new();
    let mut parser = Parser::new_from_str_with_options(text, options);
    while let Some(Ok((event, span))) = parser.next_event() {
        if let (Event::Comment(text, _), Some(at)) = (event, span.byte_range()) {
            let range = Range::new(file, at.start as u32, at.end as u32);
            found.push((range, text.into_owned()));
        }
    }
    found
}
