//! How long to wait for an update, and its result.

use clap::ValueEnum;
use serde_json::Value as Json;

use crate::cli::error::{CliError, End};
use crate::cli::print::Output;
use crate::cli::print::failure::{failed, failure_text};
use crate::cli::print::payload::{advise_on_encoded, failure_json, refuse_encoded, result_json};
use crate::client::{UpdateStage, UpdateStarted};

/// The stage of an update to wait for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum WaitFor {
    Accepted,
    Completed,
}

impl WaitFor {
    pub(crate) fn stage(self) -> UpdateStage {
        match self {
            WaitFor::Accepted => UpdateStage::Accepted,
            WaitFor::Completed => UpdateStage::Completed,
        }
    }
}

/// Prints the update's result, or the reason on standard error if there is none.
pub(crate) fn report(
    mut json: Json,
    name: &str,
    update: &UpdateStarted,
    output: Output,
) -> Result<End, CliError> {
    match &update.outcome {
        None => {}
        Some(Ok(payloads)) => {
            let update_id = &update.update_id;
            refuse_encoded(
                &format!("the update {update_id} was completed; its result"),
                payloads,
            )?;
        }
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
