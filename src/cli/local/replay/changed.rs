//! The definitions that histories are replayed with instead of those that their runs are bound to.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::cli::error::CliError;
use crate::cli::print::complain_of;
use crate::engine::Loaded;
use crate::registry::read_folder;
use crate::report::{Format, Report};

/// By workflow type.
pub(crate) type Changed = BTreeMap<String, Arc<Loaded>>;

/// The definitions of a folder, or of one file of it.
pub(crate) fn changed(path: &Path) -> Result<Changed, CliError> {
    let folder = match path.is_dir() {
        true => path,
        false => match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        },
    };
    let file = path.file_name().filter(|_| !path.is_dir());
    if let Err(error) = std::fs::metadata(path) {
        let message = format!("cannot read the definitions of {}: {error}", path.display());
        return Err(CliError::usage(message));
    }
    let found = read_folder(folder).map_err(CliError::usage)?;
    let is_wanted = |of: &str| file.is_none_or(|file| Path::new(of) == Path::new(file));
    let diagnostics = found.diagnostics().cloned().collect();
    let definitions = found.definitions.into_iter();
    let definitions = definitions.filter(|(_, (_, of))| is_wanted(of));
    let definitions: Changed = definitions
        .map(|(workflow, (entry, _))| (workflow, entry.loaded))
        .collect();
    // Mistakes in other files are irrelevant.
    let is_told = definitions.is_empty() || file.is_none();
    let report = Report::new(&found.sources, diagnostics, found.files);
    if is_told && report.has_errors() {
        complain_of(&report, Format::Text);
        let message = format!("the definitions of {} have errors", path.display());
        return Err(CliError::usage(message));
    }
    if definitions.is_empty() {
        let message = format!("{} contains no definitions", path.display());
        return Err(CliError::usage(message));
    }
    Ok(definitions)
}
