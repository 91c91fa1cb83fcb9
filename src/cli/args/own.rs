//! The registry's own workflows: no command ends or changes them, and lists leave them out.

use super::WorkflowArgs;
use crate::cli::error::CliError;
use crate::client::{Client, ClientError};
use crate::registry::{REGISTRY, REGISTRY_DATA};

/// Called before any request to the cluster: by the id that they have by default.
pub(crate) fn refuse_id(workflow_id: &str) -> Result<(), CliError> {
    match workflow_id.starts_with(REGISTRY) {
        true => Err(refusal(workflow_id)),
        false => Ok(()),
    }
}

/// Called before a workflow is ended: registries may have other ids.
pub(crate) async fn refuse(client: &Client, workflow: &WorkflowArgs) -> Result<(), CliError> {
    match client.describe(&workflow.reference()).await {
        Ok(found) if is_own(&found.workflow.workflow_type) => Err(refusal(&workflow.workflow_id)),
        Ok(_) | Err(ClientError::NoSuchWorkflow(..)) => Ok(()),
        // A client that may not read may still be allowed to do what was requested.
        Err(ClientError::Refused { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn refusal(workflow_id: &str) -> CliError {
    CliError::usage(format!(
        "the workflow {workflow_id} contains Segno's deployed definitions"
    ))
    .help(
        "inspect and change them with `segno definitions`; ending their workflows would lose them",
    )
}

pub(crate) fn is_own(workflow_type: &str) -> bool {
    [REGISTRY, REGISTRY_DATA].contains(&workflow_type)
}

/// A list filter that leaves them out, unless it names them.
pub(crate) fn without_own(query: &str) -> String {
    let none = format!("WorkflowType NOT IN ('{REGISTRY}', '{REGISTRY_DATA}')");
    // What follows the conditions must stay at the end: the reader of the list then leaves them out.
    let has_order = query.to_ascii_lowercase().contains("order by");
    match query.trim().is_empty() {
        true => none,
        false if has_order || asks_for_own(query) => query.to_owned(),
        false => format!("({query}) AND {none}"),
    }
}

pub(crate) fn asks_for_own(query: &str) -> bool {
    query.contains(REGISTRY)
}

/// Checks the task queue that a worker should serve.
pub(crate) fn refuse_queue(task_queue: &str) -> Result<(), CliError> {
    match task_queue.starts_with(REGISTRY) {
        true => Err(queue_refusal(task_queue)),
        false => Ok(()),
    }
}

pub(crate) fn queue_refusal(task_queue: &str) -> CliError {
    CliError::usage(format!("the task queue {task_queue} is the registry's own"))
        .help("use another task queue; no worker runs the registry's workflows")
}
