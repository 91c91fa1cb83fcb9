//! `segno replay`: whether this version of Segno does what recorded histories say was done.

use clap::Args;
use serde_json::json;

use super::connection::ConnectionArgs;
use crate::cli::output::{CliError, End, Output, Tone, styled};
use crate::client::{WorkflowRef, history_from_json};
use crate::worker;

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Workflows whose histories to read from the server
    #[arg(value_name = "WORKFLOW_ID", required_unless_present = "file")]
    workflows: Vec<String>,
    /// A file with a history in JSON, as `segno history --output json` prints it; may be given several times
    #[arg(long, short = 'f', value_name = "FILE")]
    file: Vec<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub async fn run(args: ReplayArgs, output: Output) -> Result<End, CliError> {
    let progress = output.progress("replaying".to_owned());
    let mut histories = Vec::new();
    for path in &args.file {
        let text = std::fs::read_to_string(path)
            .map_err(|e| CliError::usage(format!("cannot read {path}: {e}")))?;
        let history = history_from_json(&text);
        histories.push(history.map_err(|e| CliError::usage(format!("{path}: {e}")))?);
    }
    if !args.workflows.is_empty() {
        let client = args.connection.connect().await?;
        for workflow_id in &args.workflows {
            histories.push(client.history(&WorkflowRef::new(workflow_id, None)).await?);
        }
    }
    let settings = args.connection.resolve()?;
    let mut results = Vec::with_capacity(histories.len());
    for history in histories {
        results.push(worker::replay(history, &settings).await?);
    }
    drop(progress);
    let names = args.file.iter().chain(&args.workflows);
    let failed = results.iter().any(Option::is_some);
    if output.is_json() {
        let result = |(name, wrong): (&String, &Option<String>)| json!({ "history": name, "replays": wrong.is_none(), "failure": wrong });
        output.json(&names.zip(&results).map(result).collect())?;
    } else {
        for (name, wrong) in names.zip(&results) {
            match wrong {
                None => output.line(format!("{} {name}", styled(Tone::Good, "replays")))?,
                Some(wrong) => {
                    output.line(format!("{} {name}: {wrong}", styled(Tone::Bad, "differs")))?;
                }
            }
        }
    }
    Ok(if failed { End::Failed } else { End::Done })
}
