//! Errors of the cluster's client, the registry and the worker, with what to do about them.

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
                "`segno dev` starts a development server with a worker; --address names another server",
            ),
            ClientError::AlreadyStarted { .. } => text.help(
                "choose another --workflow-id, or --id-conflict-policy use-existing or terminate-existing",
            ),
            ClientError::NoSuchActivity { .. } => text.help(
                "it may have ended, its attempt may have failed or timed out (the next one has another task token), or its workflow may have closed: `segno describe` shows a workflow's pending activities",
            ),
            ClientError::Schedule(_) => CliError::usage(&error),
            ClientError::NoSuchNamespace(_) => text.help("`segno namespace list` shows those there are"),
            ClientError::NamespaceExists(_) => text.help("`segno namespace update` changes it"),
            ClientError::NoSuchSchedule(..) => text.help("`segno schedule list` shows those there are"),
            ClientError::ScheduleExists(_) => {
                text.help("`segno schedule update` changes it, `segno schedule delete` ends it")
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
                .help("`segno definitions verify` shows what is left")
                .help("`segno definitions import FILE` brings an export back; `segno definitions repair --from-nothing` begins anew"),
            false => error,
        }
    }
}

impl From<ScheduleDeployError> for CliError {
    fn from(error: ScheduleDeployError) -> Self {
        match error {
            ScheduleDeployError::Client(error) => error.into(),
            ScheduleDeployError::Anothers { ref id, .. } => CliError::new(&error).help(format!(
                "`segno schedule describe {id}` shows it; rename the one of the definition, or delete the other"
            )),
            error => CliError::new(error),
        }
    }
}

impl From<NameError> for CliError {
    fn from(error: NameError) -> Self {
        CliError::new(error).help("`segno definitions list` shows what is deployed")
    }
}

impl From<DeployError> for CliError {
    fn from(error: DeployError) -> Self {
        let text = CliError::new(&error);
        match error {
            DeployError::Name(name) => name.into(),
            DeployError::Anothers { .. } => {
                text.help("give the type another name, or deploy it with --project of that name")
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
                .help("nothing was imported: a number keeps the meaning that it has"),
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
