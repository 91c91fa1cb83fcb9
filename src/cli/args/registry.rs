//! The registry that a command uses.

use std::sync::Arc;

use clap::Args;

use super::connection::ConnectionArgs;
use super::own;
use super::task_queue::{TASK_QUEUE_DEFAULT, own_task_queue};
use crate::catalog::Origin;
use crate::cli::error::CliError;
use crate::cli::print::warn;
use crate::client::{Client, default_identity};
use crate::registry::schedules::{Following, Schedules};
use crate::registry::{ClusterStore, ObjectsStore, REGISTRY, Store};

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Registry")]
pub(crate) struct RegistryArgs {
    /// The registry: the id of its workflow, or a folder or an object store, such as s3://bucket/prefix
    #[arg(long, value_name = "WORKFLOW_ID|URL", env = "SEGNO_REGISTRY", default_value = REGISTRY)]
    registry: String,
}

impl RegistryArgs {
    pub(crate) fn schedules<'a>(
        &'a self,
        client: &'a Client,
        store: &'a dyn Store,
    ) -> Schedules<'a> {
        Schedules {
            client,
            store,
            registry: &self.registry,
            task_queue: own_task_queue(),
            task_queue_default: TASK_QUEUE_DEFAULT,
        }
    }

    /// For a worker that completes what deployers leave: with a store of its own, since the followed one is blocked by
    /// a long poll.
    pub(crate) fn following(&self, client: &Client) -> Result<Following, CliError> {
        Ok(Following {
            client: client.clone(),
            store: self.of(client)?,
            registry: self.registry.clone(),
            task_queue_default: TASK_QUEUE_DEFAULT,
        })
    }

    /// The registry's workflow is on a task queue of the same name, which no worker may serve.
    pub(crate) fn refuse_queue(&self, task_queue: &str) -> Result<(), CliError> {
        match self.registry == task_queue {
            true => Err(own::queue_refusal(task_queue)),
            false => Ok(()),
        }
    }

    pub(crate) fn of(&self, client: &Client) -> Result<Arc<dyn Store>, CliError> {
        Ok(match self.objects()? {
            Some(store) => store,
            None => Arc::new(ClusterStore::new(client.clone(), self.registry.clone())),
        })
    }

    /// The registry without a cluster, if it is elsewhere.
    pub(crate) async fn store(
        &self,
        connection: &ConnectionArgs,
    ) -> Result<Arc<dyn Store>, CliError> {
        match self.objects()? {
            Some(store) => Ok(store),
            None => Ok(self.open(connection).await?.1),
        }
    }

    fn objects(&self) -> Result<Option<Arc<dyn Store>>, CliError> {
        if !self.registry.contains("://") {
            return Ok(None);
        }
        let store = ObjectsStore::open(&self.registry).map_err(CliError::usage)?;
        Ok(Some(Arc::new(store)))
    }

    pub(crate) async fn open(
        &self,
        connection: &ConnectionArgs,
    ) -> Result<(Client, Arc<dyn Store>), CliError> {
        let client = connection.connect().await?;
        let store = self.of(&client)?;
        Ok((client, store))
    }
}

/// Who makes a change, and why.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Origin of the change")]
pub(crate) struct OriginArgs {
    /// Who makes the change [default: user@host]
    #[arg(long, env = "SEGNO_DEPLOYED_BY", value_name = "NAME")]
    by: Option<String>,
    /// The reason for the change
    #[arg(long, short = 'm', default_value = "", value_name = "TEXT")]
    message: String,
    /// The commit to record
    #[arg(long, env = "SEGNO_COMMIT", value_name = "COMMIT")]
    commit: Option<String>,
}

impl OriginArgs {
    pub(crate) fn origin(&self, commit: Option<String>) -> Origin {
        Origin {
            who: self.by.clone().unwrap_or_else(user),
            commit: self.commit.clone().or(commit).unwrap_or_default(),
            message: self.message.clone(),
        }
    }
}

/// The user, on the machine of the identity.
fn user() -> String {
    let identity = default_identity();
    let host = identity.rsplit_once('@').map_or("", |(_, host)| host);
    let user = ["USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok());
    format!("{}@{host}", user.unwrap_or_else(|| "unknown".to_owned()))
}

/// Reports events of the registry on standard error.
pub(crate) fn warn_of(store: &dyn Store) {
    for notice in store.notices() {
        warn(&notice, &[]);
    }
}

/// The definitions are in force; workers, or the next deployment, create the missing schedules.
pub(crate) fn schedules_missed(error: CliError, revision: u64) -> CliError {
    error.help(format!(
        "revision {revision} is in force; workers that serve the registry create its remaining schedules, or run `segno deploy` again"
    ))
}
