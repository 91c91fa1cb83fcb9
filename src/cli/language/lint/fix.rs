//! `segno lint --fix`: applies the corrections that diagnostics carry.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use similar::TextDiff;

use super::Checked;
use crate::cli::error::{CliError, End};
use crate::cli::print::Output;
use crate::diagnostic::{Diagnostic, Fix};
use crate::report::counted;
use crate::source::{FileId, Range};

/// A correction can reveal what another one corrects; after this many rounds the rest is reported.
const ROUNDS_MAX: usize = 20;

/// Texts that are not written yet, by the paths of their files.
pub(crate) type Changed = BTreeMap<PathBuf, String>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Which {
    /// Those that cannot change the meaning
    Safe,
    /// All, to be reviewed
    Unsafe,
}

impl Which {
    fn has(self, fix: &Fix) -> bool {
        fix.safe || self == Which::Unsafe
    }
}

/// The result of correcting files.
pub(crate) struct Fixed {
    /// The texts before and after.
    texts: BTreeMap<PathBuf, (String, String)>,
    count: usize,
    /// The diagnostics that remain.
    checked: Checked,
}

/// Checks files and corrects them in memory until no correction is left.
pub(crate) fn fix(paths: &[PathBuf], which: Which) -> Result<Fixed, CliError> {
    let mut checked = Checked::of(paths, &Changed::new())?;
    let mut texts = BTreeMap::<PathBuf, (String, String)>::new();
    let mut count = 0;
    for _ in 0..ROUNDS_MAX {
        let corrected = correct(&checked, which, &mut texts);
        if corrected == 0 {
            break;
        }
        count += corrected;
        let changed = texts
            .iter()
            .map(|(path, (_, new))| (path.clone(), new.clone()));
        checked = Checked::of(paths, &changed.collect())?;
    }
    Ok(Fixed {
        texts,
        count,
        checked,
    })
}

/// Applies corrections that do not overlap, and returns their number.
fn correct(
    checked: &Checked,
    which: Which,
    texts: &mut BTreeMap<PathBuf, (String, String)>,
) -> usize {
    let mut edits = BTreeMap::<FileId, Vec<(Range, &str)>>::new();
    let mut count = 0;
    let fixes = checked.diagnostics.iter().filter_map(|d| d.fix.as_ref());
    for fix in fixes.filter(|fix| which.has(fix)) {
        let is_free = |(range, _): &(Range, String)| {
            let taken = edits.get(&range.file).into_iter().flatten();
            path(checked, range.file).is_some()
                && !taken.into_iter().any(|(taken, _)| taken.touches(*range))
        };
        if !fix.edits.iter().all(is_free) {
            continue;
        }
        count += 1;
        for (range, text) in &fix.edits {
            edits.entry(range.file).or_default().push((*range, text));
        }
    }
    for (file, mut edits) in edits {
        let Some(path) = path(checked, file) else {
            continue;
        };
        let before = &*checked.sources.file(file).text;
        edits.sort_by_key(|(range, _)| range.start);
        let mut after = before.to_owned();
        for (range, text) in edits.into_iter().rev() {
            after.replace_range(range.start as usize..range.end as usize, text);
        }
        let both = texts.entry(path.clone());
        both.or_insert_with(|| (before.to_owned(), String::new())).1 = after;
    }
    count
}

/// The path of a named file.
fn path(checked: &Checked, file: FileId) -> Option<&PathBuf> {
    checked.paths.get(&*checked.sources.file(file).path)
}

impl Fixed {
    pub(crate) fn print(self, output: Output) -> Result<End, CliError> {
        for (path, (before, after)) in &self.texts {
            let path = path.display().to_string();
            let diff = TextDiff::from_lines(before, after);
            let diff = diff.unified_diff().header(&path, &path).to_string();
            output.file(diff.trim_end_matches('\n'))?;
        }
        Ok(match self.texts.is_empty() {
            true => End::Done,
            false => End::Failed,
        })
    }

    pub(crate) fn write(self, output: Output) -> Result<Checked, CliError> {
        for (path, (before, after)) in &self.texts {
            replace(path, before, after).map_err(|error| {
                CliError::usage(format!("cannot fix {}: {error}", path.display()))
            })?;
        }
        let (fixes, files) = (self.count, self.texts.len());
        if fixes > 0 {
            output.remark(format!(
                "fixed {} in {}",
                counted(fixes, "problem"),
                counted(files, "file")
            ));
        }
        Ok(self.checked)
    }
}

/// Replaces the file atomically, so that it is never half written; its permissions stay.
fn replace(path: &Path, before: &str, after: &str) -> io::Result<()> {
    let path = path.canonicalize()?;
    let bytes = fs::read(&path)?;
    let Some(mark) = bytes.strip_suffix(before.as_bytes()) else {
        return Err(io::Error::other("it was changed meanwhile"));
    };
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    // A byte order mark is not part of the text.
    file.write_all(mark)?;
    file.write_all(after.as_bytes())?;
    file.as_file()
        .set_permissions(fs::metadata(&path)?.permissions())?;
    file.persist(&path)?;
    Ok(())
}

/// Suggests the option, if it would correct something.
pub(crate) fn advise(diagnostics: &[Diagnostic], output: Output) {
    let fixes = || diagnostics.iter().filter_map(|d| d.fix.as_ref());
    let (all, safe) = (fixes().count(), fixes().filter(|fix| fix.safe).count());
    if safe > 0 {
        output.remark(format!("`segno lint --fix` corrects {safe} of these"));
    }
    if all > safe {
        output.remark(format!(
            "`segno lint --fix=unsafe` corrects {all} of these; `--diff` shows them first"
        ));
    }
}
