//! `segno signal`: sends a signal to a workflow.

use clap::Args;
use serde_json::json;

use super::WorkflowArgs;
use super::connection::ConnectionArgs;
use super::input::InputArgs;
use super::own;
use crate::cli::output::{CliError, End, Output};

#[derive(Debug, Args)]
pub struct SignalArgs {
    #[command(flatten)]
    workflow: WorkflowArgs,
    /// The signal's name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub async fn run(args: SignalArgs, output: Output) -> Result<End, CliError> {
    own::refuse_id(&args.workflow.workflow_id)?;
    let input = args.input.payloads()?;
    let workflow = args.workflow.reference();
    let client = args.connection.connect().await?;
    client.signal(&workflow, &args.name, input).await?;
    match output.is_json() {
        true => output.json(&json!({ "workflowId": workflow.workflow_id, "signal": args.name }))?,
        false => output.line(format!(
            "{} was sent to {}",
            args.name, workflow.workflow_id
        ))?,
    }
    Ok(End::Done)
}
