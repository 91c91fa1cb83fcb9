//! What is wrong with a definition, where, and what to do: collected, never thrown, so that an author sees all at once.

use crate::source::Range;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

/// A second place that explains the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    pub range: Range,
    pub label: String,
}

/// Replacing each range by its text mends the mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    pub title: String,
    pub edits: Vec<(Range, String)>,
    /// True where the meaning cannot change.
    pub safe: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Named for what it flags, in kebab case: `unknown-key`.
    pub code: &'static str,
    pub message: String,
    pub range: Range,
    /// Stands under the caret; may be empty.
    pub label: String,
    pub annotations: Vec<Annotation>,
    pub help: Vec<String>,
    pub fix: Option<Fix>,
}

impl Diagnostic {
    pub fn error(code: &'static str, range: Range, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, range, message.into())
    }

    pub fn warning(code: &'static str, range: Range, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, range, message.into())
    }

    fn new(severity: Severity, code: &'static str, range: Range, message: String) -> Self {
        Diagnostic {
            severity,
            code,
            message,
            range,
            label: String::new(),
            annotations: Vec::new(),
            help: Vec::new(),
            fix: None,
        }
    }

    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub fn annotate(mut self, range: Range, label: impl Into<String>) -> Self {
        self.annotations.push(Annotation {
            range,
            label: label.into(),
        });
        self
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    pub fn fix(
        mut self,
        title: impl Into<String>,
        edits: Vec<(Range, String)>,
        safe: bool,
    ) -> Self {
        self.fix = Some(Fix {
            title: title.into(),
            edits,
            safe,
        });
        self
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// The candidate most like a misspelt name, if one is near enough to be meant.
pub fn did_you_mean<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let near = |candidate: &str| {
        let distance = strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase());
        (distance <= 1 + name.chars().count() / 4).then_some(distance)
    };
    candidates
        .into_iter()
        .filter_map(|c| near(c).map(|d| (d, c)))
        .min()
        .map(|(_, c)| c)
}
