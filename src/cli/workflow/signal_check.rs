//! Checks a signal against the definition of the run before it is sent.

use crate::cli::error::CliError;
use crate::cli::print::Output;
use crate::client::{Client, ClientError, StartOptions, WorkflowRef};
use crate::engine::{DEFINITION_HEADER, SignalFate, signal_fate};
use crate::program::Program;
use crate::registry::load;
use crate::value::{Payload, Value};

/// A signal that is sent with a start: for the run with this id if one is running, else for the started one.
pub(crate) async fn check_with_start(
    client: &Client,
    options: &StartOptions,
    known: Option<&Program>,
    output: Output,
) -> Result<(), CliError> {
    let Some((name, input)) = &options.signal else {
        return Ok(());
    };
    let bound = match running(client, options).await {
        Some(workflow) => bound_to(client, &workflow).await,
        None => match (requested(options), known) {
            (Some(bundle), _) => Ok(bundle),
            (None, Some(program)) => return judge(program, name, input, output),
            (None, None) => Err(
                "the definition is not known here; name its folder with --definitions".to_owned(),
            ),
        },
    };
    let unchecked = match bound {
        Ok(bundle) => of_bundle(&bundle, name, input, output)?,
        Err(why) => Some(why),
    };
    if let Some(why) = unchecked {
        output.remark(not_checked(&why));
    }
    Ok(())
}

async fn running(client: &Client, options: &StartOptions) -> Option<WorkflowRef> {
    let workflow = WorkflowRef::new(options.workflow_id.as_deref()?, None);
    let found = client.describe(&workflow).await.ok()?;
    ["RUNNING", "PAUSED"]
        .contains(&found.workflow.status)
        .then_some(workflow)
}

/// The bundle that a start requests.
fn requested(options: &StartOptions) -> Option<Vec<u8>> {
    let mut headers = options.headers.iter();
    let (_, payload) = headers.find(|(name, _)| name == DEFINITION_HEADER)?;
    match payload.decode() {
        Ok(Value::Bytes(bytes)) => Some(bytes.to_vec()),
        _ => None,
    }
}

/// The bundle that a run is bound to, or why it is not known. A missing run is reported by the signal itself.
pub(crate) async fn bound_to(client: &Client, workflow: &WorkflowRef) -> Result<Vec<u8>, String> {
    let beginning = match client.beginning(workflow).await {
        Ok(beginning) => beginning,
        Err(ClientError::NoSuchWorkflow(..)) => return Err("the run does not exist".to_owned()),
        Err(error) => return Err(format!("the run's history cannot be read: {error}")),
    };
    match beginning.bundle {
        Some(bundle) => Ok(bundle),
        None if beginning.has_begun => {
            Err("the run's history names no readable definition".to_owned())
        }
        None => Err("no worker has started the run yet, so its definition is not known".to_owned()),
    }
}

/// Refuses what the bundle's definition refuses; the error explains why it could not be read.
pub(crate) fn of_bundle(
    bundle: &[u8],
    name: &str,
    input: &[Payload],
    output: Output,
) -> Result<Option<String>, CliError> {
    match load(bundle) {
        Ok(loaded) => judge(&loaded.program, name, input, output).map(|()| None),
        Err(why) => Ok(Some(format!("the run's definition cannot be read: {why}"))),
    }
}

fn judge(program: &Program, name: &str, input: &[Payload], output: Output) -> Result<(), CliError> {
    let input = input.iter().cloned().map(Value::from).collect();
    match signal_fate(program, name, input) {
        SignalFate::Taken => Ok(()),
        SignalFate::Refused(why) => {
            Err(CliError::usage(why).help("nothing was sent: the run would drop the signal"))
        }
        SignalFate::Kept => {
            let taken: Vec<String> = program.signal_names().into_iter().collect();
            let taken = match taken.is_empty() {
                true => "no signal".to_owned(),
                false => taken.join(", "),
            };
            let workflow = &program.workflow;
            output.remark(format!(
                "no handler or wait of {workflow} receives the signal {name}, so the run only keeps it; it receives {taken}"
            ));
            Ok(())
        }
    }
}

pub(crate) fn not_checked(why: &str) -> String {
    format!("the signal was not checked against the run's definition: {why}")
}
