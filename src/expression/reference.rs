//! The reference's tables, written from the table of functions that the checker and the evaluator use.

use std::fmt::Write as _;

use super::functions::SECTIONS;

/// Markdown: a heading and a table for each part.
pub fn reference() -> String {
    let mut out = String::new();
    for section in SECTIONS {
        let extension = if section.extension {
            " (extension)"
        } else {
            ""
        };
        put(
            &mut out,
            format_args!("### {}{extension}\n\n", section.title),
        );
        if !section.about.is_empty() {
            put(&mut out, format_args!("{}\n\n", section.about));
        }
        out.push_str("| signature | meaning | example |\n|---|---|---|\n");
        for row in section.rows {
            let signature = cell(row.signature);
            let examples: Vec<String> = row
                .examples
                .iter()
                .map(|example| format!("`{}`", cell(example)))
                .collect();
            put(
                &mut out,
                format_args!(
                    "| `{signature}` | {} | {} |\n",
                    row.meaning,
                    examples.join("<br>")
                ),
            );
        }
        out.push('\n');
    }
    out
}

/// Code in a table's cell: its bars must not end the cell.
fn cell(code: &str) -> String {
    code.replace('|', "\\|")
}

fn put(out: &mut String, arguments: std::fmt::Arguments) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(arguments);
}
