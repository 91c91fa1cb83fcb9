//! `segno query`: sends a query, which changes nothing.

use clap::{Args, ValueEnum};
use serde_json::json;

use super::trouble::{answer, goes_plain};
use crate::cli::args::WorkflowArgs;
use crate::cli::args::connection::ConnectionArgs;
use crate::cli::args::input::InputArgs;
use crate::cli::error::{CliError, End};
use crate::cli::print::Output;
use crate::cli::print::failure::{failed, failure_text};
use crate::cli::print::payload::{advise_on_encoded, failure_json, refuse_encoded, result_json};
use crate::client::{QueryAnswer, QueryReject};

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    #[command(flatten)]
    workflow: WorkflowArgs,
    /// The query's name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    input: InputArgs,
    /// Refuse to query a workflow in such a state
    #[arg(long, value_enum)]
    reject_condition: Option<RejectCondition>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "kebab-case")]
enum RejectCondition {
    #[value(alias = "not_open")]
    NotOpen,
    #[value(alias = "not_completed_cleanly")]
    NotCompletedCleanly,
}

pub(crate) async fn run(args: QueryArgs, output: Output) -> Result<End, CliError> {
    let input = args.input.payloads()?;
    let reject = match args.reject_condition {
        None => QueryReject::Never,
        Some(RejectCondition::NotOpen) => QueryReject::NotOpen,
        Some(RejectCondition::NotCompletedCleanly) => QueryReject::NotCompletedCleanly,
    };
    let workflow = args.workflow.reference();
    let client = args.connection.connect().await?;
    let progress = output.progress(format!("waiting for {}", args.name));
    let plain = goes_plain(&client, &workflow, &input).await;
    let query = client.query(&workflow, &args.name, input, reject);
    let answer = answer(&client, &workflow, query, output).await?;
    drop(progress);
    if let QueryAnswer::Failed(failure) = &answer {
        advise_on_encoded(failure);
    }
    match answer {
        QueryAnswer::Result(payloads) => {
            refuse_encoded("the query's answer", &payloads)?;
            let result = result_json(&payloads);
            match output.is_json() {
                true => {
                    output.json(&json!({ "queryResult": result, "plainInEncodedRun": plain }))?
                }
                false => {
                    output.json(&result)?;
                }
            }
            return Ok(End::Done);
        }
        QueryAnswer::Failed(failure) if output.is_json() => {
            output.json(&json!({ "failure": failure_json(&failure) }))?;
        }
        QueryAnswer::Failed(failure) => {
            output.remark(failed(&format!("the query {} failed", args.name)));
            output.remark(failure_text(&failure));
        }
        QueryAnswer::Rejected { status } if output.is_json() => {
            output.json(&json!({ "queryRejected": { "status": status } }))?;
        }
        QueryAnswer::Rejected { status } => {
            output.remark(failed(&format!("{} is {status}", workflow.workflow_id)));
        }
    }
    Ok(End::Failed)
}
