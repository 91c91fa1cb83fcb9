//! Reads the tests in a test file's text, checked against the definitions of its folder.

use super::{Definitions, TestFile, check, parse};
use crate::diagnostic::Diagnostic;
use crate::source::{Range, Sources};
use crate::yaml;

/// The valid tests, and the mistakes in the others.
pub(crate) fn read(
    sources: &mut Sources,
    shown: &str,
    bytes: &[u8],
    definitions: &Definitions,
) -> (Vec<TestFile>, Vec<Diagnostic>) {
    let id = match yaml::decode(sources, shown, bytes) {
        Ok(id) => id,
        Err((_, error)) => return (Vec::new(), vec![error]),
    };
    let text = sources.file(id).text.clone();
    let (documents, mut found) = yaml::read(id, &text);
    let mut files = Vec::new();
    if found.iter().any(Diagnostic::is_error) {
        return (files, found);
    }
    if documents.is_empty() {
        let start = Range {
            file: id,
            start: 0,
            end: 0,
        };
        let error = Diagnostic::error("no-cases", start, "the file has no test")
            .help("begin with `segno: 1`, `test: WORKFLOW_TYPE` and `cases`");
        found.push(error);
    }
    for document in &documents {
        let (file, mut diagnostics) = parse(document);
        if let Some(file) = file {
            diagnostics.extend(check(&file, definitions));
            if !diagnostics.iter().any(Diagnostic::is_error) {
                files.push(file);
            }
        }
        found.append(&mut diagnostics);
    }
    (files, found)
}
