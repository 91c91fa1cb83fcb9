//! `segno update`: sends an update to a workflow and waits for its result.

use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};

use super::WorkflowArgs;
use super::connection::ConnectionArgs;
use super::failure::{failed, failure_text};
use super::input::{InputArgs, advise_on_encoded, failure_json, refuse_encoded, result_json};
use super::own;
use crate::cli::output::{CliError, End, Output};
use crate::client::{UpdateOptions, UpdateStage, UpdateStarted};

#[derive(Debug, Args)]
pub struct UpdateArgs {
    #[command(flatten)]
    workflow: WorkflowArgs,
    /// The update's name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    input: InputArgs,
    /// Two updates with the same id are one; without it a unique one is made
    #[arg(long)]
    update_id: Option<String>,
    /// Return when the update is accepted, or when it is completed
    #[arg(long, value_enum, default_value = "completed")]
    wait_for: WaitFor,
    /// The first of the runs that the update may go to
    #[arg(long, value_name = "RUN_ID")]
    first_execution_run_id: Option<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// How far an update is waited for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum WaitFor {
    Accepted,
    Completed,
}

impl WaitFor {
    pub fn stage(self) -> UpdateStage {
        match self {
            WaitFor::Accepted => UpdateStage::Accepted,
            WaitFor::Completed => UpdateStage::Completed,
        }
    }
}

pub async fn run(args: UpdateArgs, output: Output) -> Result<End, CliError> {
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
    let update = client.update(&workflow, options).await?;
    drop(progress);
    let json = json!({ "workflowId": workflow.workflow_id, "runId": update.run_id });
    report(json, &args.name, &update, output)
}

/// Prints the update's result, or says on standard error why there is none.
pub fn report(
    mut json: Json,
    name: &str,
    update: &UpdateStarted,
    output: Output,
) -> Result<End, CliError> {
    match &update.outcome {
        None => {}
        Some(Ok(payloads)) => refuse_encoded("the update's result", payloads)?,
        Some(Err(failure)) => advise_on_encoded(failure),
    }
    let end = match &update.outcome {
        Some(Err(_)) => End::Failed,
        _ => End::Done,
    };
    if output.is_json() {
        json["updateId"] = update.update_id.clone().into();
        json["name"] = name.into();
        match &update.outcome {
            None => json["stage"] = "ACCEPTED".into(),
            Some(Ok(payloads)) => json["result"] = result_json(payloads),
            Some(Err(failure)) => json["failure"] = failure_json(failure),
        }
        output.json(&json)?;
        return Ok(end);
    }
    match &update.outcome {
        None => output.line(format!("{name} was accepted, as {}", update.update_id))?,
        Some(Ok(payloads)) => {
            let result = result_json(payloads);
            output.json(&result)?;
        }
        Some(Err(failure)) => {
            output.remark(failed(&format!("the update {name} failed or was rejected")));
            output.remark(failure_text(failure));
        }
    }
    Ok(end)
}
