//! `segno result`: waits for a workflow's end and prints the result.

use clap::Args;
use serde_json::json;

use super::ended::report;
use crate::cli::args::WorkflowArgs;
use crate::cli::args::connection::ConnectionArgs;
use crate::cli::error::{CliError, End};
use crate::cli::print::Output;

#[derive(Debug, Args)]
pub(crate) struct ResultArgs {
    #[command(flatten)]
    workflow: WorkflowArgs,
    /// Stop at the end of this run, even if the workflow continues in another
    #[arg(long, requires = "run_id")]
    no_follow_runs: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: ResultArgs, output: Output) -> Result<End, CliError> {
    let workflow = args.workflow.reference();
    let client = args.connection.connect().await?;
    let progress = output.progress(format!("waiting for {}", workflow.workflow_id));
    let ended = client.result(&workflow, !args.no_follow_runs).await?;
    drop(progress);
    let mut json = json!({ "workflowId": workflow.workflow_id, "runId": ended.run_id });
    report(&mut json, &workflow, &ended, output)
}
