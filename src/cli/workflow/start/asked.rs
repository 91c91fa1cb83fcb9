//! What the registry says of a start that names no folder: the defaults, whether the input is sound, and whether anybody has the type.

use super::StartArgs;
use crate::catalog::{Catalog, Definition};
use crate::cli::error::CliError;
use crate::cli::print::warn;
use crate::cli::workflow::options::of_type;
use crate::client::{Client, StartOptions, unique_id};
use crate::registry::{self, Store, StoreError};

/// `plain` is what the flags and the environment say. Where nothing is deployed, or the registry cannot be read, it stays so.
pub async fn of_registry(
    args: &StartArgs,
    client: &Client,
    flags: StartOptions,
    plain: StartOptions,
) -> Result<StartOptions, CliError> {
    let store = args.registry.of(client)?;
    let catalog = match store.look_up().await {
        Ok(Some(catalog)) => catalog,
        Ok(None) => return Ok(plain),
        Err(error) => {
            unchecked(&error);
            return Ok(plain);
        }
    };
    let workflow_type = &plain.workflow_type;
    let known = catalog.definition(workflow_type);
    let Some(definition) = known.filter(|d| !d.versions.is_empty()) else {
        return match is_served_otherwise(client, &plain.task_queue).await {
            true => Ok(plain),
            false => Err(unknown(&catalog, workflow_type)),
        };
    };
    if definition.retired {
        return Err(CliError::new(format!(
            "{workflow_type} is retired: no worker that serves the registry would run it"
        ))
        .help(format!(
            "`segno deploy` brings it back, `segno start --definition {}` runs a version of it; --unchecked starts it all the same",
            definition.name_of(definition.current)
        )));
    }
    match with_defaults(&*store, definition, &flags).await? {
        Ok(options) => Ok(options),
        Err(error) => {
            unchecked(&error);
            Ok(plain)
        }
    }
}

fn unchecked(error: &StoreError) {
    let help =
        "the input is checked by the worker, and defaults under `start` are left out".to_owned();
    warn(&format!("the registry was not asked: {error}"), &[help]);
}

/// Adds the defaults of the version that a run with this id gets. If no flag gives the id, it is chosen first.
async fn with_defaults(
    store: &dyn Store,
    definition: &Definition,
    flags: &StartOptions,
) -> Result<Result<StartOptions, StoreError>, CliError> {
    let version_of = |id: Option<&str>| match id {
        Some(id) => definition.version_for(id),
        None => definition.version(definition.current),
    };
    let mut version = version_of(flags.workflow_id.as_deref());
    loop {
        let missing = || StoreError::Malformed("a type without its version".to_owned());
        let Some(found) = version else {
            return Ok(Err(missing()));
        };
        let entry = match registry::version(store, definition, found).await {
            Ok(entry) => entry,
            Err(error) => return Ok(Err(error)),
        };
        let mut options = of_type(&entry, flags.clone())?;
        if definition.ramp == 0 {
            return Ok(Ok(options));
        }
        let id = options.workflow_id.get_or_insert_with(unique_id);
        let again = definition.version_for(id);
        // The other version may name another id, which belongs to this one again: then the current one decides.
        if again == version || found.number == definition.ramp {
            return Ok(Ok(options));
        }
        version = again;
    }
}

/// Whether a worker that is not Segno's asks for workflow tasks there: it may know the type.
async fn is_served_otherwise(client: &Client, task_queue: &str) -> bool {
    match client.workflow_pollers(task_queue).await {
        Ok(pollers) => pollers.iter().any(|poller| poller.language.is_none()),
        // Whoever may not look may still be allowed to start.
        Err(_) => true,
    }
}

fn unknown(catalog: &Catalog, workflow_type: &str) -> CliError {
    let error = match catalog.known(workflow_type) {
        Err(error) => CliError::from(error),
        Ok(_) => CliError::new(format!("all versions of {workflow_type} are deleted")),
    };
    error.help("--definitions FOLDER asks a folder instead; --unchecked starts it all the same")
}
