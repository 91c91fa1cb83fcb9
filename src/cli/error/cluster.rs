//! Errors of the cluster's client, the registry and the worker, with their remedies.

use super::CliError;
use crate::catalog::NameError;
use crate::client::ClientError;
use crate::registry::StoreError;
use crate::registry::deploy::DeployError;
use crate::registry::exchange::ImportError;
use crate::registry::schedules::ScheduleDeployError;
use crate::worker::WorkerError;

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let text = CliError::new(&error);
        match error {
            ClientError::Config(_) => CliError::usage(&error),
            ClientError::Connect { .. } => text.help(
                "start a development server with a worker with `segno dev`, or name another server with --address",
            ),
            ClientError::AlreadyStarted { .. } => text.help(
                "choose another --workflow-id, or --id-conflict-policy use-existing or terminate-existing",
            ),
            ClientError::NoSuchActivity { .. } => text.help(
                "it may have ended, its attempt may have failed or timed out (the next one has another task token), or its workflow may have closed; list a workflow's pending activities with `segno describe`",
            ),
            ClientError::Schedule(_) => CliError::usage(&error),
            ClientError::NoSuchNamespace(_) => text.help("list the namespaces with `segno namespace list`"),
            ClientError::NamespaceExists(_) => text.help("change it with `segno namespace update`"),
            ClientError::NoSuchSchedule(..) => text.help("list the schedules with `segno schedule list`"),
            ClientError::ScheduleExists(_) => {
                text.help("change it with `segno schedule update`, or delete it with `segno schedule delete`")
            }
            _ => text,
        }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        let is_lost = matches!(error, StoreError::Lost(_));
        let error = CliError::new(error);
        match is_lost {
            true => error
                .help("show what is left with `segno definitions verify`")
                .help("restore an export with `segno definitions import FILE`, or start from nothing with `segno definitions repair --from-nothing`"),
            false => error,
        }
    }
}

impl From<ScheduleDeployError> for CliError {
    fn from(error: ScheduleDeployError) -> Self {
        match error {
            ScheduleDeployError::Client(error) => error.into(),
            ScheduleDeployError::Anothers { ref id, .. } => CliError::new(&error).help(format!(
                "look at it with `segno schedule describe {id}`; rename the schedule of the definition, or delete this one"
            )),
            error => CliError::new(error),
        }
    }
}

impl From<NameError> for CliError {
    fn from(error: NameError) -> Self {
        CliError::new(error).help("list what is deployed with `segno definitions list`")
    }
}

impl From<DeployError> for CliError {
    fn from(error: DeployError) -> Self {
        let text = CliError::new(&error);
        match error {
            DeployError::Name(name) => name.into(),
            DeployError::Anothers { .. } => {
                text.help("rename the type, or deploy it with --project of that name")
            }
            DeployError::Overtaken(_) => text.help("look at the new plan and deploy again"),
            _ => text,
        }
    }
}

impl From<ImportError> for CliError {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Store(error) => error.into(),
            ImportError::Deploy(error) => error.into(),
            ImportError::Form(_) | ImportError::Digest(..) => CliError::usage(error),
            ImportError::Meaning(_) => CliError::new(error)
                .help("nothing was imported; the number of a version never changes its meaning"),
        }
    }
}

impl From<WorkerError> for CliError {
    fn from(error: WorkerError) -> Self {
        match error {
            WorkerError::Client(error) => error.into(),
            WorkerError::Options(_) => CliError::usage(error),
            error => CliError::new(error),
        }
    }
}
