//! One JSON document with an object for each diagnostic: stable for scripts.

use serde::Serialize;

use super::{Report, severity, span};
use crate::diagnostic::{Diagnostic, Severity};
use crate::source::{Range, Sources};

#[derive(Serialize)]
struct Line<'a> {
    severity: &'static str,
    code: &'static str,
    message: &'a str,
    #[serde(flatten)]
    place: Place<'a>,
    label: &'a str,
    help: &'a [String],
    annotations: Vec<Labelled<'a>>,
    fix: Option<Fix<'a>>,
}

#[derive(Serialize)]
struct Labelled<'a> {
    #[serde(flatten)]
    place: Place<'a>,
    label: &'a str,
}

#[derive(Serialize)]
struct Fix<'a> {
    title: &'a str,
    safe: bool,
    edits: Vec<Edit<'a>>,
}

#[derive(Serialize)]
struct Edit<'a> {
    #[serde(flatten)]
    place: Place<'a>,
    replacement: &'a str,
}

/// Lines and columns count from 1, columns in characters; the end is excluded.
#[derive(Serialize)]
struct Place<'a> {
    file: &'a str,
    line: u32,
    column: u32,
    end_line: u32,
    end_column: u32,
    start_byte: u32,
    end_byte: u32,
}

#[derive(Serialize)]
struct Document<'a> {
    diagnostics: Vec<Line<'a>>,
    errors: usize,
    warnings: usize,
    files: usize,
}

pub(super) fn render(report: &Report<'_>) -> String {
    let lines = report.diagnostics().iter();
    let document = Document {
        diagnostics: lines.map(|found| line(report.sources, found)).collect(),
        errors: report.count(Severity::Error),
        warnings: report.count(Severity::Warning),
        files: report.files,
    };
    // Strings and numbers only: it cannot fail.
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

fn line<'a>(sources: &'a Sources, diagnostic: &'a Diagnostic) -> Line<'a> {
    let annotations = diagnostic.annotations.iter().map(|annotation| Labelled {
        place: place(sources, annotation.range),
        label: &annotation.label,
    });
    let fix = diagnostic.fix.as_ref().map(|fix| Fix {
        title: &fix.title,
        safe: fix.safe,
        edits: fix
            .edits
            .iter()
            .map(|(range, replacement)| Edit {
                place: place(sources, *range),
                replacement,
            })
            .collect(),
    });
    Line {
        severity: severity(diagnostic),
        code: diagnostic.code,
        message: &diagnostic.message,
        place: place(sources, diagnostic.range),
        label: &diagnostic.label,
        help: &diagnostic.help,
        annotations: annotations.collect(),
        fix,
    }
}

fn place(sources: &Sources, range: Range) -> Place<'_> {
    let (start, end) = span(sources, range);
    Place {
        file: &sources.file(range.file).path,
        line: start.line,
        column: start.column,
        end_line: end.line,
        end_column: end.column,
        start_byte: range.start,
        end_byte: range.end,
    }
}
