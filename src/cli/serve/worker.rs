//! `segno worker`: serves a folder's definitions on a task queue.

use std::sync::Arc;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::definitions::{folder_registry, log_change};
use super::serving::ServeArgs;
use super::stop::cancel_on_signal;
use crate::cli::args::connection::ConnectionArgs;
use crate::cli::args::registry::RegistryArgs;
use crate::cli::error::{CliError, End};
use crate::cli::print::Output;
use crate::client::{Client, ResolvedSettings};
use crate::registry::{Deployed, Registry, schedules};
use crate::worker;

#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    serve: ServeArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: WorkerArgs, _: Output) -> Result<End, CliError> {
    args.serve.init_logs()?;
    let settings = args.connection.resolve()?;
    // Mistakes in the flags are reported before any request to the cluster.
    let (options, activities) = (args.serve.options()?, args.serve.activities()?);
    let registry = match &args.serve.definitions {
        Some(folder) => folder_registry(folder)?,
        None => {
            args.registry.refuse_queue(&args.serve.task_queue)?;
            deployed_registry(&settings, &args.registry).await?
        }
    };
    let shutdown = CancellationToken::new();
    tokio::spawn(cancel_on_signal(shutdown.clone()));
    worker::run(&settings, options, registry, activities, shutdown).await?;
    Ok(End::Done)
}

/// Serves what is deployed, and follows it.
async fn deployed_registry(
    settings: &ResolvedSettings,
    registry: &RegistryArgs,
) -> Result<Arc<dyn Registry>, CliError> {
    let client = Client::connect(settings).await?;
    let store = registry.of(&client)?;
    let name = store.name();
    let deployed = Deployed::open(store, log_change).await?;
    let due = deployed.due_schedules();
    tokio::spawn(schedules::finish(registry.following(&client)?, due));
    if deployed.workflow_types().is_empty() {
        tracing::warn!("nothing is deployed to {name} yet; run `segno deploy FOLDER`");
    }
    Ok(Arc::new(deployed))
}
