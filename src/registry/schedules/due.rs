//! Schedules that follow a change of the registry: recorded with it, created after it, and then recorded as created.
//! Workers that follow the registry complete what a killed deployer has left.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{ScheduleDeployError, Schedules, Step};
use crate::catalog::{Catalog, Change, Definition, DueSchedules, Origin};
use crate::client::{Client, ClientError, unique_id};
use crate::registry::Store;
use crate::registry::deploy::{Definitions, change};

/// A deployer has this long before a worker takes over.
const GRACE: Duration = Duration::from_secs(10);
/// Workers wait up to this much longer, so that they do not all start at once.
const SPREAD: Duration = Duration::from_secs(5);
/// The wait after an error.
const RETRY: Duration = Duration::from_secs(60);

impl Schedules<'_> {
    /// What a change that leads to this catalog records about the schedules of these types; `None` if they have none.
    pub(crate) async fn due(
        &self,
        after: &Catalog,
        types: &BTreeSet<String>,
    ) -> Result<Option<DueSchedules>, ClientError> {
        let has_schedules = |name: &&String| {
            let definition = after.definition(name);
            definition.is_some_and(Definition::has_schedules)
        };
        let workflows: Vec<String> = types.iter().filter(has_schedules).cloned().collect();
        if workflows.is_empty() {
            return Ok(None);
        }
        Ok(Some(DueSchedules {
            revision: 0,
            workflows,
            namespace_id: namespace_id(self.client).await?,
            task_queue: self.task_queue.clone().unwrap_or_default(),
        }))
    }

    /// Creates what is due by the change of this revision, and records that; returns what was done.
    pub(crate) async fn make(
        &self,
        found: &Definitions,
        types: &BTreeSet<String>,
        revision: u64,
    ) -> Result<Vec<Step>, ScheduleDeployError> {
        let done = self.reconcile(found, types).await?;
        let catalog = self.store.read().await?;
        if catalog.is_due(revision) {
            let made = |_: &Catalog| {
                Ok(Change {
                    made_schedules: vec![revision],
                    ..Change::default()
                })
            };
            change(self.store, Origin::default(), unique_id, made).await?;
        }
        Ok(done)
    }
}

impl ScheduleDeployError {
    /// Whether a retry would fail too.
    pub(crate) fn is_final(&self) -> bool {
        use tonic::Code::{AlreadyExists, FailedPrecondition, InvalidArgument};
        use tonic::Code::{PermissionDenied, Unauthenticated, Unimplemented};
        let (Self::Client(error) | Self::Refused { error, .. }) = self else {
            return matches!(self, Self::Anothers { .. } | Self::Start { .. });
        };
        match error {
            ClientError::Refused { status, .. } => matches!(
                status.code(),
                InvalidArgument
                    | FailedPrecondition
                    | AlreadyExists
                    | PermissionDenied
                    | Unauthenticated
                    | Unimplemented
            ),
            ClientError::Schedule(_) => true,
            _ => false,
        }
    }
}

async fn namespace_id(client: &Client) -> Result<String, ClientError> {
    let namespace = client.describe_namespace(client.namespace()).await?;
    Ok(namespace.id)
}

/// What a worker needs to create the schedules of a registry.
pub(crate) struct Following {
    pub(crate) client: Client,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) registry: String,
    pub(crate) task_queue_default: &'static str,
}

/// Completes what deployers leave, as long as there are notifications of what is due.
pub(crate) async fn finish(following: Following, mut due: watch::Receiver<Vec<DueSchedules>>) {
    // Workers are started one after the other, so their process ids differ.
    let spread = SPREAD * (std::process::id() % 16) / 16;
    loop {
        let seen = due.borrow_and_update().clone();
        if !seen.is_empty() {
            tokio::time::sleep(GRACE + spread).await;
            let left: Vec<DueSchedules> = due.borrow().clone();
            let left = left.into_iter().filter(|due| seen.contains(due));
            if let Err(error) = following.finish(left.collect()).await {
                tracing::warn!("cannot create the schedules that a deployment left: {error}");
                tokio::time::sleep(RETRY).await;
                due.mark_changed();
            }
        }
        if due.changed().await.is_err() {
            return;
        }
    }
}

impl Following {
    async fn finish(&self, left: Vec<DueSchedules>) -> Result<(), ScheduleDeployError> {
        if left.is_empty() {
            return Ok(());
        }
        let namespace_id = namespace_id(&self.client).await?;
        for due in left {
            // Workers of another cluster or namespace create their own.
            if due.namespace_id != namespace_id {
                continue;
            }
            let revision = due.revision;
            let schedules = Schedules {
                client: &self.client,
                store: &*self.store,
                registry: &self.registry,
                task_queue: Some(due.task_queue).filter(|queue| !queue.is_empty()),
                task_queue_default: self.task_queue_default,
            };
            let types = due.workflows.into_iter().collect();
            let done = schedules
                .make(&Definitions::new(), &types, revision)
                .await?;
            let schedules = done.len();
            tracing::info!(
                revision,
                schedules,
                "created the schedules that a deployment left"
            );
        }
        Ok(())
    }
}
