//! Refuses to retire workflow types with runs in flight.

use crate::cli::error::CliError;
use crate::client::Client;

/// Types that get no new runs any more while they have runs in flight.
pub(crate) async fn refuse_runs_in_flight(client: &Client, gone: &[&str]) -> Result<(), CliError> {
    for workflow in gone {
        let quoted = workflow.replace('\'', "''");
        let query = format!("WorkflowType = '{quoted}' AND ExecutionStatus = 'Running'");
        let count = client.count(&query).await?;
        if count > 0 {
            return Err(CliError::new(format!(
                "{workflow} would be retired while {count} {} in flight; nothing was deployed",
                if count == 1 { "run is" } else { "runs are" }
            ))
            .help("pass --retire-with-runs to retire it anyway; runs in flight keep the definition that they are bound to"));
        }
    }
    Ok(())
}
