//! The folder of definitions that a worker serves, and the log of how definitions change.

use std::path::Path;
use std::sync::Arc;

use crate::cli::error::CliError;
use crate::registry::{Change, Folder, Registry};
use crate::report::{Format, Report};

/// Reads the definitions and watches them; mistakes are logged.
pub(crate) fn folder_registry(folder: &Path) -> Result<Arc<dyn Registry>, CliError> {
    let registry = Folder::open(folder, log_change).map_err(|error| {
        CliError::usage(error).help("name the folder of the definitions with --definitions")
    })?;
    if registry.workflow_types().is_empty() {
        let folder = folder.display();
        tracing::warn!("{folder} has no valid definition yet, so no workflow can be started");
    }
    Ok(Arc::new(registry))
}

pub(crate) fn log_change(change: Change) {
    match change {
        Change::Added {
            workflow_type,
            digest,
        } => {
            tracing::info!(%workflow_type, %digest, "definition in force");
        }
        Change::Changed {
            workflow_type,
            digest,
        } => {
            tracing::info!(%workflow_type, %digest, "definition changed: new runs get the new version");
        }
        Change::Removed { workflow_type } => {
            tracing::info!(%workflow_type, "definition removed: runs in flight continue");
        }
        Change::Noticed { notice } => tracing::warn!("{notice}"),
        Change::Deployed { name } => tracing::info!(%name, "version in force"),
        Change::Refused { name, reason } => {
            tracing::error!(%name, "version unreadable: serving the last good one: {reason}");
        }
        Change::Broken {
            path,
            stays,
            sources,
            diagnostics,
        } => {
            let report = Report::new(&sources, diagnostics, 1);
            let text = report.render(Format::Text, false);
            let stays = match stays.as_slice() {
                [] => "none of its definitions is in force".to_owned(),
                types => format!("the last good version stays in force: {}", types.join(", ")),
            };
            tracing::error!(%path, "definition has errors: {stays}");
            // An event has one line.
            let lines = text.trim_end().lines();
            lines.for_each(|line| tracing::error!("{line}"));
        }
        Change::Unreadable { reason } => {
            tracing::error!("definitions unreadable: the last ones stay in force: {reason}");
        }
    }
}
