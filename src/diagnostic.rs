//! What is wrong with a definition, where, and what to do. Diagnostics are collected, never thrown, so that an author
//! sees all of them.

use crate::limits::{SUGGESTION_CANDIDATES_MAX, SUGGESTION_SIZE_BYTES_MAX};
use crate::source::Range;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    Error,
    Warning,
}

pub(crate) const DEFINITION_TOO_LARGE: &str = "definition-too-large";
pub(crate) const SCHEMA_TOO_LARGE: &str = "schema-too-large";
pub(crate) const PATTERNS_TOO_LARGE: &str = "patterns-too-large";

/// A second place that explains the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Annotation {
    pub(crate) range: Range,
    pub(crate) label: String,
}

/// Replacing each range by its text fixes the mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    pub(crate) title: String,
    pub edits: Vec<(Range, String)>,
    /// Whether the fix cannot change the meaning.
    pub(crate) safe: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub(crate) severity: Severity,
    /// Named for what it flags, in kebab case: `unknown-key`.
    pub code: &'static str,
    pub message: String,
    pub range: Range,
    /// Printed under the caret; may be empty.
    pub(crate) label: String,
    pub(crate) annotations: Vec<Annotation>,
    pub help: Vec<String>,
    pub fix: Option<Fix>,
}

impl Diagnostic {
    pub(crate) fn error(code: &'static str, range: Range, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, range, message.into())
    }

    pub(crate) fn warning(code: &'static str, range: Range, message: impl Into<String>) -> Self {
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

    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(crate) fn annotate(mut self, range: Range, label: impl Into<String>) -> Self {
        self.annotations.push(Annotation {
            range,
            label: label.into(),
        });
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    pub(crate) fn fix(
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

    /// Whether it reports that compiling stopped at a bound: the result must not be run.
    pub(crate) fn is_bound(&self) -> bool {
        [DEFINITION_TOO_LARGE, SCHEMA_TOO_LARGE, PATTERNS_TOO_LARGE].contains(&self.code)
    }
}

/// The candidate most like a misspelt name, if one is near enough to be meant. `startToClose` is near to
/// `start_to_close_timeout`: neither how words are joined nor a missing end counts.
pub(crate) fn did_you_mean<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if name.len() > SUGGESTION_SIZE_BYTES_MAX {
        return None;
    }
    let plain = |name: &str| name.to_lowercase().replace(['_', '-', ' '], "");
    let wanted = plain(name);
    let length = wanted.chars().count();
    let distance_max = 1 + length / 4;
    let near = |candidate: &str| {
        if candidate.len() > SUGGESTION_SIZE_BYTES_MAX {
            return None;
        }
        let candidate = plain(candidate);
        if length >= BEGINNING_CHARACTERS_MIN && candidate.starts_with(&wanted) {
            return Some(1);
        }
        if candidate.chars().count().abs_diff(length) > distance_max {
            return None;
        }
        let distance = strsim::damerau_levenshtein(&wanted, &candidate);
        (distance <= distance_max).then_some(distance)
    };
    candidates
        .into_iter()
        .take(SUGGESTION_CANDIDATES_MAX)
        .filter_map(|c| near(c).map(|d| (d, std::cmp::Reverse(common_prefix(name, c)), c)))
        .min()
        .map(|(_, _, c)| c)
}

/// A shorter prefix of a name is too little evidence.
const BEGINNING_CHARACTERS_MIN: usize = 4;

/// Length of the common beginning, which decides between two names that are equally near.
fn common_prefix(a: &str, b: &str) -> usize {
    a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count()
}
