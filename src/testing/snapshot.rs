//! Snapshots: what a case did, kept in a file that is reviewed.

use std::path::{Path, PathBuf};

use crate::diagnostic::Diagnostic;
use crate::simulator::Outcome;
use crate::source::Range;
use crate::value::Value;

const FOLDER: &str = "__snapshots__";

/// What to do with snapshots that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Snapshots {
    Compare,
    Update,
}

/// Beside the test file, named for it and for the case.
pub(crate) fn snapshot_path(test: &Path, case: &str) -> PathBuf {
    test.with_file_name(FOLDER)
        .join(format!("{}.txt", file_name(test, case)))
}

/// The name of a case's files, in characters that every file system accepts.
pub(crate) fn file_name(test: &Path, case: &str) -> String {
    let file = test.file_name().unwrap_or_default().to_string_lossy();
    let file = file.split(".test.").next().unwrap_or_default();
    format!("{file}.{}", plain_name(case))
}

pub(crate) fn plain_name(case: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() { c } else { '-' };
    case.chars().map(plain).collect()
}

pub(crate) fn text(timeline: &str, outcome: Option<&Outcome>) -> String {
    let end = match outcome {
        None => "running".to_owned(),
        Some(Outcome::Completed(payload)) => {
            format!(
                "completed {}",
                super::expect::shown(&Value::from(payload.clone()))
            )
        }
        Some(Outcome::Failed(failure)) => {
            let each = failure.chain().map(|failure| failure.message.clone());
            format!("failed: {}", each.collect::<Vec<_>>().join(" < "))
        }
        Some(Outcome::Terminated { reason }) => format!("terminated: {reason}"),
        Some(outcome) => super::expect::name(outcome.status()).to_owned(),
    };
    format!("{timeline}{end}\n")
}

/// One longer label widens the columns of all lines: time, place and step.
fn unpadded(line: &str) -> String {
    let mut columns = Vec::new();
    let mut rest = line.trim_start();
    while columns.len() < 3
        && let Some((column, more)) = rest.split_once("  ")
    {
        columns.push(column);
        rest = more.trim_start();
    }
    columns.push(rest);
    columns.join("  ")
}

fn is_same(known: &str, text: &str) -> bool {
    known.lines().map(unpadded).eq(text.lines().map(unpadded))
}

impl Snapshots {
    pub(crate) fn check(self, path: &Path, text: &str, range: Range) -> Option<Diagnostic> {
        let known = std::fs::read_to_string(path).ok();
        if known.as_deref().is_some_and(|known| is_same(known, text)) {
            return None;
        }
        if self == Snapshots::Update {
            let folder = path.parent().unwrap_or(path);
            let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(path, text));
            return written.err().map(|error| {
                let message = format!("cannot write {}: {error}", path.display());
                Diagnostic::error("snapshot", range, message)
            });
        }
        let update = "write it with `segno test --update-snapshots`";
        let problem = match known {
            None => Diagnostic::error(
                "snapshot",
                range,
                format!("there is no snapshot {}", path.display()),
            ),
            Some(known) => {
                let message = format!("the run differs from {}", path.display());
                let line = known.lines().zip(text.lines());
                let line = line.map(|(a, b)| (unpadded(a), unpadded(b)));
                let line = line.into_iter().find(|(a, b)| a != b);
                let error = Diagnostic::error("snapshot", range, message);
                match line {
                    Some((was, is)) => error
                        .help(format!("expected {}", was.trim()))
                        .help(format!("came     {}", is.trim())),
                    None => error.help("one of the two is longer"),
                }
            }
        };
        Some(problem.help(update))
    }
}
