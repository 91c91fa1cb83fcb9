//! A YAML tree to a definition: everything that is wrong is reported, and what can be read is read.

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

/// What a YAML document holds.
#[derive(Debug, Clone)]
pub enum Document {
    Workflow(Box<Definition>),
    Library(Arc<Library>),
}

/// Where there are errors the tree holds what could be read, with harmless values in the place of the rest; nothing at
/// all only for what is no definition.
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

/// A document with shared things only, and neither a workflow's name nor its steps.
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

/// Reads mappings by their tables; other kinds of file than definitions are read by it too.
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

    /// Nobody reads more.
    fn is_full(&self) -> bool {
        self.diagnostics.len() > DIAGNOSTICS_PER_FILE_MAX
    }
}
