//! `segno signal`: sends a signal to a workflow, unless the run's definition refuses it.

use clap::Args;
use serde_json::json;

use super::signal_check::{bound_to, not_checked, of_bundle};
use super::trouble::goes_plain;
use crate::cli::args::connection::ConnectionArgs;
use crate::cli::args::input::InputArgs;
use crate::cli::args::{WorkflowArgs, own};
use crate::cli::error::{CliError, End};
use crate::cli::print::Output;

#[derive(Debug, Args)]
pub(crate) struct SignalArgs {
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

pub(crate) async fn run(args: SignalArgs, output: Output) -> Result<End, CliError> {
    own::refuse_id(&args.workflow.workflow_id)?;
    let input = args.input.payloads()?;
    let workflow = args.workflow.reference();
    let client = args.connection.connect().await?;
    let unchecked = match bound_to(&client, &workflow).await {
        Ok(bundle) => of_bundle(&bundle, &args.name, &input, output)?,
        Err(why) => Some(why),
    };
    let plain = goes_plain(&client, &workflow, &input).await;
    client.signal(&workflow, &args.name, input).await?;
    match output.is_json() {
        true => output.json(&json!({
            "workflowId": workflow.workflow_id,
            "signal": args.name,
            "checked": unchecked.is_none(),
            "plainInEncodedRun": plain,
        }))?,
        false => output.line(format!(
            "{} was sent to {}",
            args.name, workflow.workflow_id
        ))?,
    }
    if let Some(why) = unchecked {
        output.remark(not_checked(&why));
    }
    Ok(End::Done)
}
