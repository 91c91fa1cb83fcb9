//! `segno lint` on test files: reports mistakes in them without running them.

use std::path::Path;

use super::{Changed, Test};
use crate::cli::error::CliError;
use crate::diagnostic::Diagnostic;
use crate::source::Sources;

/// A build that cannot run tests treats no file as one.
#[cfg(not(feature = "cluster"))]
pub(crate) fn is_test(_: &Path) -> bool {
    false
}

#[cfg(not(feature = "cluster"))]
pub(crate) fn check(_: &[Test], _: &Changed, _: &mut Sources) -> Result<Vec<Diagnostic>, CliError> {
    Ok(Vec::new())
}

#[cfg(feature = "cluster")]
pub(crate) fn is_test(path: &Path) -> bool {
    crate::testing::is_test(path)
}

/// The test files are added to the sources that ranges point into.
#[cfg(feature = "cluster")]
pub(crate) fn check(
    tests: &[Test],
    changed: &Changed,
    sources: &mut Sources,
) -> Result<Vec<Diagnostic>, CliError> {
    use std::collections::BTreeMap;

    let mut folders = BTreeMap::new();
    let mut found = Vec::new();
    for test in tests {
        if !folders.contains_key(&test.folder) {
            let read = crate::registry::read_folder_whole(&test.folder).map_err(CliError::usage)?;
            let is_sound = !read.diagnostics().any(Diagnostic::is_error);
            let definitions = read.definitions.into_iter();
            let definitions: BTreeMap<_, _> = definitions
                .map(|(name, (entry, _))| (name, entry))
                .collect();
            let definitions = crate::testing::Definitions::new(definitions);
            folders.insert(&test.folder, (definitions, is_sound));
        }
        let Some((definitions, is_sound)) = folders.get(&test.folder) else {
            continue;
        };
        let bytes = super::read(&test.path, changed)?;
        let shown = super::shown(&test.path);
        let (_, mut diagnostics) = crate::testing::read(sources, &shown, &bytes, definitions);
        // Diagnostics that follow from a definition with mistakes are left out.
        diagnostics
            .retain(|d| *is_sound || !d.code.starts_with("unknown-") || d.code == "unknown-key");
        found.append(&mut diagnostics);
    }
    Ok(found)
}
