//! `segno cancel` and `segno terminate`: end a workflow, with its consent or without.

use clap::Args;
use serde_json::json;

use crate::cli::args::connection::ConnectionArgs;
use crate::cli::args::{WorkflowArgs, own};
use crate::cli::error::{CliError, End};
use crate::cli::print::Output;

#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    workflow: WorkflowArgs,
    /// The reason, for the workflow's history
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TerminateArgs {
    #[command(flatten)]
    workflow: WorkflowArgs,
    /// The reason, for the workflow's history
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn cancel(args: CancelArgs, output: Output) -> Result<End, CliError> {
    own::refuse_id(&args.workflow.workflow_id)?;
    let workflow = args.workflow.reference();
    let client = args.connection.connect().await?;
    own::refuse(&client, &args.workflow).await?;
    client.cancel(&workflow, &args.reason).await?;
    said(output, &workflow.workflow_id, "was requested to cancel")
}

pub(crate) async fn terminate(args: TerminateArgs, output: Output) -> Result<End, CliError> {
    own::refuse_id(&args.workflow.workflow_id)?;
    let workflow = args.workflow.reference();
    let client = args.connection.connect().await?;
    own::refuse(&client, &args.workflow).await?;
    client
        .terminate(&workflow, &args.reason, Vec::new())
        .await?;
    said(output, &workflow.workflow_id, "was terminated")
}

fn said(output: Output, workflow_id: &str, what: &str) -> Result<End, CliError> {
    match output.is_json() {
        true => output.json(&json!({ "workflowId": workflow_id }))?,
        false => output.line(format!("{workflow_id} {what}"))?,
    }
    Ok(End::Done)
}
