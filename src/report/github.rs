//! GitHub's workflow commands: annotations in a pull request.

use super::{Report, severity, span};
use crate::diagnostic::Diagnostic;
use crate::source::Sources;

pub(super) fn render(report: &Report<'_>) -> String {
    let lines = report.diagnostics().iter();
    lines
        .map(|diagnostic| line(report.sources, diagnostic))
        .collect()
}

fn line(sources: &Sources, diagnostic: &Diagnostic) -> String {
    let (start, end) = span(sources, diagnostic.range);
    let mut message = diagnostic.message.clone();
    for help in &diagnostic.help {
        message += "\nhelp: ";
        message += help;
    }
    // Columns are shown only if the range is on one line.
    let columns = if start.line == end.line {
        format!(",col={},endColumn={}", start.column, end.column)
    } else {
        String::new()
    };
    format!(
        "::{} file={},line={},endLine={}{columns},title={}::{}\n",
        severity(diagnostic),
        property(&sources.file(diagnostic.range.file).path),
        start.line,
        end.line,
        property(diagnostic.code),
        data(&message),
    )
}

fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
