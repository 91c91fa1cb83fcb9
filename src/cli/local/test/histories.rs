//! `--histories`: the simulated runs as files, which Temporal's tools and `segno replay` read.

use std::path::Path;

use super::find::Suite;
use super::write;
use crate::cli::error::CliError;
use crate::client::history_to_json;
use crate::testing::{RunHistory, file_name};

/// `FILE.CASE/NUMBER-WORKFLOW_ID.json`, in the order in which the runs started.
pub(crate) fn save(
    folder: &Path,
    suite: &Suite,
    case: &str,
    histories: Vec<RunHistory>,
) -> Result<(), CliError> {
    let folder = folder.join(file_name(&suite.path, case));
    for (number, run) in (1..).zip(histories) {
        let workflow_id = run.workflow_id.replace(['/', '\\', ':'], "-");
        let json = history_to_json(&run.history).map_err(CliError::new)?;
        let path = folder.join(format!("{number}-{workflow_id}.json"));
        write(&path, &format!("{json:#}\n"))?;
    }
    Ok(())
}
