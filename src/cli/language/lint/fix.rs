//! `segno lint --fix`: applies the corrections that diagnostics carry.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use similar::TextDiff;

use super::Checked;
use crate::cli::error::{CliError, End};
use crate::cli::print::{Output, warn};
use crate::diagnostic::Fix;
use crate::report::counted;
use crate::source::{FileId, Range};

/// A correction can reveal what another one corrects, and a report is bounded; after this many rounds the rest is left.
const ROUNDS_MAX: usize = 200;

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

/// A text as it was and as it is corrected.
#[derive(Clone)]
struct Text {
    before: String,
    after: String,
    /// The corrections in it.
    count: usize,
}

/// The result of correcting files.
pub(crate) struct Fixed {
    texts: BTreeMap<PathBuf, Text>,
    /// The diagnostics that remain.
    checked: Checked,
}

/// Checks files and corrects them in memory until no correction is left.
pub(crate) fn fix(paths: &[PathBuf], which: Which) -> Result<Fixed, CliError> {
    let mut checked = Checked::of(paths, &Changed::new())?;
    let mut texts = BTreeMap::<PathBuf, Text>::new();
    let mut refused = BTreeSet::<PathBuf>::new();
    for _ in 0..ROUNDS_MAX {
        let corrected = correct(&checked, which, &refused);
        if corrected.is_empty() {
            break;
        }
        let mut next: Changed = texts
            .iter()
            .map(|(path, text)| (path.clone(), text.after.clone()))
            .collect();
        next.extend(
            corrected
                .iter()
                .map(|(path, text)| (path.clone(), text.after.clone())),
        );
        let after = Checked::of(paths, &next)?;
        // A correction that breaks the structure of a file is none.
        let broken = |path: &PathBuf| structural(&after, path) > structural(&checked, path);
        let broken: Vec<_> = corrected
            .keys()
            .filter(|path| broken(path))
            .cloned()
            .collect();
        if !broken.is_empty() {
            refused.extend(broken);
            continue;
        }
        for (path, text) in corrected {
            let both = texts.entry(path).or_insert(Text {
                count: 0,
                ..text.clone()
            });
            both.after = text.after;
            both.count += text.count;
        }
        checked = after;
    }
    Ok(Fixed { texts, checked })
}

/// Number of errors in a file that concern its structure.
fn structural(checked: &Checked, path: &Path) -> usize {
    let errors = checked.diagnostics.iter().filter(|d| {
        matches!(
            d.code,
            "yaml-syntax" | "duplicate-key" | "expression-syntax" | "not-a-definition"
        )
    });
    errors
        .filter(|d| self::path(checked, d.range.file).is_some_and(|found| found == path))
        .count()
}

/// Applies corrections that do not overlap.
fn correct(
    checked: &Checked,
    which: Which,
    refused: &BTreeSet<PathBuf>,
) -> BTreeMap<PathBuf, Text> {
    let may_change = |file| path(checked, file).is_some_and(|path| !refused.contains(path));
    let mut edits = BTreeMap::<FileId, Vec<(Range, &str)>>::new();
    let mut counts = BTreeMap::<FileId, usize>::new();
    let fixes = checked.diagnostics.iter().filter_map(|d| d.fix.as_ref());
    for fix in fixes.filter(|fix| which.has(fix)) {
        let is_free = |(range, _): &(Range, String)| {
            let mut taken = edits.get(&range.file).into_iter().flatten();
            may_change(range.file) && !taken.any(|(taken, _)| taken.touches(*range))
        };
        if !fix.edits.iter().all(is_free) {
            continue;
        }
        for (range, text) in &fix.edits {
            edits.entry(range.file).or_default().push((*range, text));
        }
        if let Some((range, _)) = fix.edits.first() {
            *counts.entry(range.file).or_default() += 1;
        }
    }
    let corrected = edits.into_iter().filter_map(|(file, mut edits)| {
        let before = &*checked.sources.file(file).text;
        edits.sort_by_key(|(range, _)| range.start);
        let mut after = before.to_owned();
        for (range, text) in edits.into_iter().rev() {
            after.replace_range(range.start as usize..range.end as usize, text);
        }
        let text = Text {
            before: before.to_owned(),
            after,
            count: counts.get(&file).copied().unwrap_or_default(),
        };
        Some((path(checked, file)?.clone(), text))
    });
    corrected.collect()
}

/// The path of a named file.
fn path(checked: &Checked, file: FileId) -> Option<&PathBuf> {
    checked.paths.get(&*checked.sources.file(file).path)
}

impl Fixed {
    pub(crate) fn print(self, output: Output) -> Result<End, CliError> {
        for (path, text) in &self.texts {
            let path = path.display().to_string();
            let diff = TextDiff::from_lines(&text.before, &text.after);
            let diff = diff.unified_diff().header(&path, &path).to_string();
            output.file(diff.trim_end_matches('\n'))?;
        }
        let left = self.checked.diagnostics.len();
        if left > 0 {
            output.remark(format!("{} would remain", counted(left, "problem")));
        }
        Ok(match self.texts.is_empty() {
            true => End::Done,
            false => End::Failed,
        })
    }

    /// Writes the corrected files. Returns the diagnostics that remain, and whether a file could not be written.
    pub(crate) fn write(self, output: Output) -> (Checked, bool) {
        let (mut fixes, mut files) = (0, 0);
        for (path, text) in &self.texts {
            match replace(path, text) {
                Ok(()) => (fixes, files) = (fixes + text.count, files + 1),
                Err(error) => warn(&format!("cannot fix {}: {error}", path.display()), &[]),
            }
        }
        if files > 0 {
            output.remark(format!(
                "fixed {} in {}",
                counted(fixes, "problem"),
                counted(files, "file")
            ));
        }
        (self.checked, files < self.texts.len())
    }
}

/// Replaces the file atomically, so that it is never half written; its owner and its permissions stay.
fn replace(path: &Path, text: &Text) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_symlink() {
        return Err(io::Error::other(
            "it is a symbolic link; name the file itself",
        ));
    }
    if metadata.permissions().readonly() {
        return Err(io::Error::other("it is read-only"));
    }
    let bytes = fs::read(path)?;
    let Some(mark) = bytes.strip_suffix(text.before.as_bytes()) else {
        return Err(io::Error::other("it was changed meanwhile"));
    };
    let path = path.canonicalize()?;
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new("/")))?;
    // A byte order mark is not part of the text.
    file.write_all(mark)?;
    file.write_all(text.after.as_bytes())?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        if metadata.nlink() > 1 {
            return Err(io::Error::other("it has several names (hard links)"));
        }
        fchown(file.as_file(), Some(metadata.uid()), Some(metadata.gid()))?;
    }
    file.as_file().set_permissions(metadata.permissions())?;
    file.persist(&path)?;
    Ok(())
}

/// Suggests the option, if it would correct something in the named files.
pub(crate) fn advise(checked: &Checked, output: Output) {
    let is_asked = |fix: &&Fix| {
        fix.edits
            .iter()
            .all(|(range, _)| path(checked, range.file).is_some())
    };
    let fixes = || {
        checked
            .diagnostics
            .iter()
            .filter_map(|d| d.fix.as_ref())
            .filter(is_asked)
    };
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
