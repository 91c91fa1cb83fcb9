//! A YAML tree to a definition: every mistake is reported, and what can be read is read.

mod actions;
pub(crate) mod fields;
mod operations;
mod options;
mod request;
mod schedule;
mod step;
mod top;
mod values;

use std::sync::Arc;

use super::table::Table;
use super::{Definition, Library, tables};
use crate::diagnostic::Diagnostic;
use crate::limits::DIAGNOSTICS_PER_FILE_MAX;
use crate::yaml::{Data, Node};

/// What a YAML document contains.
#[derive(Debug, Clone)]
pub enum Document {
    Workflow(Box<Definition>),
    Library(Arc<Library>),
}

/// If there are errors, the tree has what could be read, with harmless values for the rest; it is `None` only if the
/// document is not a definition.
pub fn parse(document: &Node) -> (Option<Document>, Vec<Diagnostic>) {
    let mut parser = Parser::default();
    if !matches!(document.data, Data::Mapping(_)) {
        let error = Diagnostic::error(
            "not-a-definition",
            document.range,
            format!("a definition must be a mapping; found {}", document.kind()),
        )
        .help("begin with `segno: 1` and `workflow: NAME`");
        return (None, vec![error]);
    }
    let parsed = if is_library(document) {
        let library = parser.library(document);
        library.map(|library| Document::Library(Arc::new(library)))
    } else {
        parser
            .definition(document)
            .map(|definition| Document::Workflow(Box::new(definition)))
    };
    (parsed, parser.diagnostics)
}

/// Whether a document has only shared things, and neither a workflow's name nor its steps.
fn is_library(document: &Node) -> bool {
    let has = |table: &Table, except: &[&str]| {
        document.mapping().unwrap_or_default().iter().any(|entry| {
            let name = entry.name();
            table.fields().any(|field| field.name == &*name) && !except.contains(&&*name)
        })
    };
    let common: Vec<_> = tables::LIBRARY.fields().map(|field| field.name).collect();
    has(&tables::LIBRARY, &["segno", "description"]) && !has(&tables::DEFINITION, &common)
}

/// Reads mappings by their tables, of definitions and of other kinds of files.
#[derive(Default)]
pub(crate) struct Parser {
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Parser {
    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        if !self.is_full() {
            self.diagnostics.push(diagnostic);
        }
    }

    /// Further diagnostics would not be read.
    fn is_full(&self) -> bool {
        self.diagnostics.len() > DIAGNOSTICS_PER_FILE_MAX
    }
}
