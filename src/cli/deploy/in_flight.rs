//! Refuses to retire workflow types of which runs are in flight.

use crate::cli::error::CliError;
use crate::client::Client;

/// Types that get no new runs any more while runs of them go on.
pub async fn refuse_runs_in_flight(client: &Client, gone: &[&str]) -> Result<(), CliError> {
    for workflow in gone {
        let quoted = workflow.replace('\'', "''");
        let query = format!("WorkflowType = '{quoted}' AND ExecutionStatus = 'Running'");
        let count = client.count(&query).await?;
        if count > 0 {
            return Err(CliError::new(format!(
                "{workflow} would be retired, of which {count} {} in flight; nothing was deployed",
                if count == 1 { "run is" } else { "runs are" }
            ))
            .help("--retire-with-runs retires it all the same: runs in flight go on with what they are bound to"));
        }
    }
    Ok(())
}
