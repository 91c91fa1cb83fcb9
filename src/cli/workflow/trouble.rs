//! Warnings about a run that does not answer, and about unencoded payloads for one whose payloads are encoded.

use std::pin::pin;
use std::time::Duration;

use tokio::time::sleep;

use crate::cli::error::CliError;
use crate::cli::print::{Output, warn};
use crate::client::{Client, ClientError, FailingTask, WorkflowRef};
use crate::value::Payload;

/// A responsive run answers sooner.
const LOOK_AFTER: Duration = Duration::from_secs(3);

/// The answer of a run to a query or an update. If the run's workflow task keeps failing, the reason is reported while
/// waiting for the answer, and with the error if there is none.
pub(crate) async fn answer<T>(
    client: &Client,
    workflow: &WorkflowRef,
    call: impl Future<Output = Result<T, ClientError>>,
    output: Output,
) -> Result<T, CliError> {
    let mut call = pin!(call);
    let mut answered = tokio::select! {
        answered = &mut call => Some(answered),
        () = sleep(LOOK_AFTER) => None,
    };
    if answered.is_none()
        && let Some(failing) = failing(client, workflow).await
    {
        output.remark(format!("still waiting: {}", words(&failing)));
    }
    let answered = match answered.take() {
        Some(answered) => answered,
        None => call.await,
    };
    let error = match answered {
        Ok(answer) => return Ok(answer),
        Err(error) => error,
    };
    let failing = match &error {
        ClientError::Refused { .. } => failing(client, workflow).await,
        _ => None,
    };
    let error = CliError::from(error);
    Err(match failing {
        None => error,
        Some(failing) => error.help(words(&failing)).help(format!(
            "fix what the message names or deploy the definition, so that a worker can complete the task; `segno history {}` shows the run",
            workflow.workflow_id
        )),
    })
}

/// `None` also if the client may not read the history.
async fn failing(client: &Client, workflow: &WorkflowRef) -> Option<FailingTask> {
    client.failing_task(workflow).await.ok().flatten()
}

fn words(failing: &FailingTask) -> String {
    format!(
        "the run's workflow task keeps failing (attempt {}): {}",
        failing.attempt, failing.message
    )
}

/// Whether payloads are sent unencoded to a run whose payloads are encoded; if so, that is reported.
pub(crate) async fn goes_plain(client: &Client, workflow: &WorkflowRef, input: &[Payload]) -> bool {
    if input.is_empty() || !client.sends_plain() {
        return false;
    }
    // A missing run is reported by the call itself.
    let Ok(Some(encoding)) = client.encoding_of_run(workflow).await else {
        return false;
    };
    let message = format!(
        "the payloads of {} are encoded as {encoding}, but this one is sent unencoded",
        workflow.workflow_id
    );
    let help = "pass the codec that the workers use: --codec-key ID=FILE or --codec-endpoint URL";
    warn(&message, &[help.to_owned()]);
    true
}
