//! The reference of expressions: its tables are those of the source, and its examples are true.

use std::path::Path;

use segno::cli::evaluate_line;
use segno::expression::functions::SECTIONS;
use segno::expression::reference;
use serde_json::json;

const BEGIN: &str = "<!-- The tables are written from the source by the test `reference`. -->\n\n";
const END: &str = "<!-- The tables end here. -->\n";
/// Set to write the tables anew.
const UPDATE_VARIABLE: &str = "SEGNO_UPDATE";

fn is_true(example: &str) -> Result<(), String> {
    let answer = evaluate_line(&json!({ "expr": example }).to_string())?;
    match answer["value"]["bool"].as_bool() {
        Some(true) => Ok(()),
        _ => Err(format!("{example}: {answer}")),
    }
}

#[test]
fn every_function_has_an_example_and_each_is_true() {
    let mut failures = Vec::new();
    for section in SECTIONS {
        for row in section.rows {
            assert!(!row.examples.is_empty(), "{} has no example", row.signature);
            let wrong = row.examples.iter().filter_map(|e| is_true(e).err());
            failures.extend(wrong);
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_tables_are_those_of_the_source() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/expressions.md");
    let text = std::fs::read_to_string(&path).expect("docs/expressions.md");
    let (before, rest) = text.split_once(BEGIN).expect("the tables' beginning");
    let (_, after) = rest.split_once(END).expect("the tables' end");
    let wanted = format!("{before}{BEGIN}{}{END}{after}", reference());
    if std::env::var_os(UPDATE_VARIABLE).is_some() {
        std::fs::write(&path, wanted).expect("writing docs/expressions.md");
        return;
    }
    assert!(
        text == wanted,
        "docs/expressions.md is not as the source has it: run {UPDATE_VARIABLE}=1 cargo test --test language reference::"
    );
}

#[test]
fn examples_in_the_text_are_true() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/expressions.md");
    let text = std::fs::read_to_string(path).expect("docs/expressions.md");
    let mut examples = 0;
    let mut failures = Vec::new();
    for block in text.split("```cel\n").skip(1) {
        let block = block.split("```").next().unwrap_or("");
        let mut example = String::new();
        for line in block.lines() {
            example.push_str(line);
            // A string in triple quotes goes on in the next line.
            if example.matches("'''").count() % 2 == 1 {
                example.push('\n');
                continue;
            }
            examples += 1;
            failures.extend(is_true(&example).err());
            example.clear();
        }
    }
    assert!(examples > 20);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
