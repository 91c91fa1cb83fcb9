//! `segno update`: sends an update to a workflow and waits for its result.

use clap::Args;
use serde_json::json;

use super::trouble::{answer, goes_plain};
use super::updated::{WaitFor, report};
use crate::cli::args::connection::ConnectionArgs;
use crate::cli::args::input::InputArgs;
use crate::cli::args::{WorkflowArgs, own};
use crate::cli::error::{CliError, End};
use crate::cli::print::Output;
use crate::client::UpdateOptions;

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    #[command(flatten)]
    workflow: WorkflowArgs,
    /// The update's name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    input: InputArgs,
    /// The update's id; updates with the same id are one [default: a unique id]
    #[arg(long)]
    update_id: Option<String>,
    /// Whether to return when the update is accepted or when it is completed
    #[arg(long, value_enum, default_value = "completed")]
    wait_for: WaitFor,
    /// The first run that may receive the update
    #[arg(long, value_name = "RUN_ID")]
    first_execution_run_id: Option<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: UpdateArgs, output: Output) -> Result<End, CliError> {
    own::refuse_id(&args.workflow.workflow_id)?;
    let options = UpdateOptions {
        name: args.name.clone(),
        input: args.input.payloads()?,
        update_id: args.update_id,
        wait_for: args.wait_for.stage(),
        first_execution_run_id: args.first_execution_run_id,
    };
    let workflow = args.workflow.reference();
    let client = args.connection.connect().await?;
    let progress = output.progress(format!("waiting for {}", args.name));
    let plain = goes_plain(&client, &workflow, &options.input).await;
    let update = client.update(&workflow, options);
    let update = answer(&client, &workflow, update, output).await?;
    drop(progress);
    let json = json!({
        "workflowId": workflow.workflow_id,
        "runId": update.run_id,
        "plainInEncodedRun": plain,
    });
    report(json, &args.name, &update, output)
}
