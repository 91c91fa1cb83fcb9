//! Diagnostics to the forms that people, scripts, code hosts and editors read.

mod github;
mod human;
mod json;
mod sarif;

use crate::diagnostic::{Diagnostic, Severity};
use crate::source::{Range, Sources};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Source lines with carets, for people.
    Text,
    /// One JSON document.
    Json,
    /// SARIF 2.1.0.
    Sarif,
    /// GitHub's workflow commands, shown as annotations of a pull request.
    Github,
}

/// The diagnostics of some files.
#[derive(Debug)]
pub struct Report<'a> {
    pub(crate) sources: &'a Sources,
    diagnostics: Vec<Diagnostic>,
    /// The number of files checked.
    files: usize,
}

impl<'a> Report<'a> {
    /// Sorts the diagnostics by file and position, and removes duplicates.
    pub fn new(sources: &'a Sources, mut diagnostics: Vec<Diagnostic>, files: usize) -> Self {
        diagnostics.sort_by(|a, b| key(sources, a).cmp(&key(sources, b)));
        diagnostics.dedup();
        Report {
            sources,
            diagnostics,
            files,
        }
    }

    pub(crate) fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }

    /// `colours`: with ANSI escapes; only [`Format::Text`] has any.
    pub fn render(&self, format: Format, colours: bool) -> String {
        match format {
            Format::Text => human::render(self, colours),
            Format::Json => json::render(self),
            Format::Sarif => sarif::render(self),
            Format::Github => github::render(self),
        }
    }

    fn count(&self, severity: Severity) -> usize {
        let of = |d: &&Diagnostic| d.severity == severity;
        self.diagnostics.iter().filter(of).count()
    }

    /// "2 errors, 1 warning in 3 files".
    pub(crate) fn summary(&self) -> String {
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        let found = match (errors, warnings) {
            (0, 0) => "no problems".to_string(),
            (errors, 0) => counted(errors, "error"),
            (0, warnings) => counted(warnings, "warning"),
            (errors, warnings) => {
                format!(
                    "{}, {}",
                    counted(errors, "error"),
                    counted(warnings, "warning")
                )
            }
        };
        format!("{found} in {}", counted(self.files, "file"))
    }
}

pub(crate) fn counted(count: usize, of: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {of}{s}")
}

fn key<'a>(sources: &'a Sources, d: &'a Diagnostic) -> impl Ord + use<'a> {
    let path = &sources.file(d.range.file).path;
    (path, d.range, d.severity, d.code, &d.message)
}

/// The positions of a range's start and end.
fn span(sources: &Sources, range: Range) -> (crate::source::Position, crate::source::Position) {
    let file = sources.file(range.file);
    (file.position(range.start), file.position(range.end))
}

fn severity(diagnostic: &Diagnostic) -> &'static str {
    match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}
