//! Prints a workflow's result, or why there is none.

use serde_json::Value as Json;

use crate::cli::error::{CliError, End};
use crate::cli::print::Output;
use crate::cli::print::failure::{failed, failure_text};
use crate::cli::print::payload::{advise_on_encoded, failure_json, refuse_encoded, result_json};
use crate::client::{Ended, Outcome, WorkflowRef};

/// Prints the result, or the reason on standard error if there is none.
pub(crate) fn report(
    json: &mut Json,
    workflow: &WorkflowRef,
    ended: &Ended,
    output: Output,
) -> Result<End, CliError> {
    match &ended.outcome {
        Outcome::Completed(payloads) => refuse_encoded("the result", payloads)?,
        Outcome::Cancelled(details) => refuse_encoded("the details of the cancellation", details)?,
        Outcome::Failed(failure) => advise_on_encoded(failure),
        Outcome::Terminated { .. } | Outcome::TimedOut | Outcome::ContinuedAsNew { .. } => {}
    }
    let end = match ended.outcome {
        Outcome::Completed(_) | Outcome::ContinuedAsNew { .. } => End::Done,
        _ => End::Failed,
    };
    if output.is_json() {
        json["status"] = ended.outcome.status().into();
        json["closedRunId"] = ended.run_id.clone().into();
        match &ended.outcome {
            Outcome::Completed(payloads) => json["result"] = result_json(payloads),
            Outcome::Failed(failure) => json["failure"] = failure_json(failure),
            Outcome::Cancelled(details) => json["details"] = result_json(details),
            Outcome::Terminated { reason } => json["reason"] = reason.clone().into(),
            Outcome::ContinuedAsNew { new_run_id } => json["newRunId"] = new_run_id.clone().into(),
            Outcome::TimedOut => {}
        }
        output.json(json)?;
        return Ok(end);
    }
    let id = &workflow.workflow_id;
    match &ended.outcome {
        Outcome::Completed(payloads) => {
            let result = result_json(payloads);
            output.json(&result)?;
        }
        Outcome::Failed(failure) => {
            output.remark(failed(&format!("{id} failed")));
            output.remark(failure_text(failure));
        }
        Outcome::Cancelled(_) => output.remark(failed(&format!("{id} was cancelled"))),
        Outcome::Terminated { reason } if reason.is_empty() => {
            output.remark(failed(&format!("{id} was terminated")));
        }
        Outcome::Terminated { reason } => {
            output.remark(failed(&format!("{id} was terminated: {reason}")));
        }
        Outcome::TimedOut => output.remark(failed(&format!("{id} timed out"))),
        Outcome::ContinuedAsNew { new_run_id } => {
            output.line(format!("{id} continued as new in the run {new_run_id}"))?;
        }
    }
    Ok(end)
}
