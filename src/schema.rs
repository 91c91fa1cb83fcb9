//! The language's tables as a JSON Schema, for editors, and as Markdown, for the reference.

#![deny(clippy::wildcard_enum_match_arm)]

mod json;
mod markdown;

pub use json::{schema, test_schema};
pub use markdown::{action_section, fields_table, rules};
