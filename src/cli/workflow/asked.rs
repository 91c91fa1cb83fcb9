//! Consults the registry about a start without a folder: the defaults, whether the input is valid, and whether any
//! worker has the type.

use std::sync::Arc;

use super::options::of_type;
use crate::catalog::{Catalog, Definition, Version};
use crate::cli::args::registry::RegistryArgs;
use crate::cli::error::CliError;
use crate::cli::print::warn;
use crate::client::{Client, StartOptions, unique_id};
use crate::engine::Loaded;
use crate::registry::{self, Entry, Store, StoreError};

/// The resulting start, and the definition that was used, if it is known.
pub(crate) struct Asked {
    pub(crate) options: StartOptions,
    pub(crate) definition: Option<Arc<Loaded>>,
}

/// What is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Starts {
    /// One run, now.
    Once,
    /// Runs of a schedule, each with an id of its own: they may get any version in force.
    Again,
}

/// `plain` has the flags and the environment. If nothing is deployed, or the registry cannot be read, it is returned
/// unchanged.
pub(crate) async fn of_registry(
    registry: &RegistryArgs,
    client: &Client,
    starts: Starts,
    flags: StartOptions,
    plain: StartOptions,
) -> Result<Asked, CliError> {
    let store = registry.of(client)?;
    let unknown_here = |options| Asked {
        options,
        definition: None,
    };
    let catalog = match store.look_up().await {
        Ok(Some(catalog)) => catalog,
        Ok(None) => return Ok(unknown_here(plain)),
        Err(error) => {
            unchecked(&error);
            return Ok(unknown_here(plain));
        }
    };
    let workflow_type = &plain.workflow_type;
    let known = catalog.definition(workflow_type);
    let Some(definition) = known.filter(|d| !d.versions.is_empty()) else {
        return match is_served_otherwise(client, &plain.task_queue).await {
            true => Ok(unknown_here(plain)),
            false => Err(unknown(&catalog, workflow_type)),
        };
    };
    if definition.retired {
        return Err(CliError::new(format!(
            "{workflow_type} is retired: no worker that serves the registry would run it"
        ))
        .help(format!(
            "deploy it again, run a version of it with `segno start --definition {}`, or start it anyway with --unchecked",
            definition.name_of(definition.current)
        )));
    }
    let asked = match starts {
        Starts::Once => with_defaults(&*store, definition, &flags).await?,
        Starts::Again => of_all_versions(&*store, definition, &flags).await?,
    };
    asked.or_else(|error| {
        unchecked(&error);
        Ok(unknown_here(plain))
    })
}

fn unchecked(error: &StoreError) {
    let help =
        "only the worker checks the input, and defaults under `start` are not applied".to_owned();
    warn(&format!("the registry was not consulted: {error}"), &[help]);
}

/// Adds the defaults of the version that a run with this id gets. If no flag has the id, it is chosen first.
async fn with_defaults(
    store: &dyn Store,
    definition: &Definition,
    flags: &StartOptions,
) -> Result<Result<Asked, StoreError>, CliError> {
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
        let mut asked = asked_of(&entry, flags)?;
        if definition.ramp == 0 {
            return Ok(Ok(asked));
        }
        let id = asked.options.workflow_id.get_or_insert_with(unique_id);
        let again = definition.version_for(id);
        // The other version may define another id, for which this one applies again: then the current one decides.
        if again == version || found.number == definition.ramp {
            return Ok(Ok(asked));
        }
        version = again;
    }
}

/// The defaults of the current version. The input must match each version that new runs get.
async fn of_all_versions(
    store: &dyn Store,
    definition: &Definition,
    flags: &StartOptions,
) -> Result<Result<Asked, StoreError>, CliError> {
    let mut current = None;
    let versions: Vec<&Version> = definition.in_force().collect();
    for version in versions {
        let entry = match registry::version(store, definition, version).await {
            Ok(entry) => entry,
            Err(error) => return Ok(Err(error)),
        };
        let asked = asked_of(&entry, flags)?;
        if version.number == definition.current {
            current = Some(asked);
        }
    }
    let missing = || StoreError::Malformed("a type without its version".to_owned());
    Ok(current.ok_or_else(missing))
}

fn asked_of(entry: &Entry, flags: &StartOptions) -> Result<Asked, CliError> {
    Ok(Asked {
        options: of_type(entry, flags.clone())?,
        definition: Some(entry.loaded.clone()),
    })
}

/// Whether a worker that is not Segno's polls for workflow tasks there: it may have the type.
async fn is_served_otherwise(client: &Client, task_queue: &str) -> bool {
    match client.workflow_pollers(task_queue).await {
        Ok(pollers) => pollers.iter().any(|poller| poller.language.is_none()),
        // A client that may not read may still be allowed to start.
        Err(_) => true,
    }
}

fn unknown(catalog: &Catalog, workflow_type: &str) -> CliError {
    let error = match catalog.known(workflow_type) {
        Err(error) => CliError::from(error),
        Ok(_) => CliError::new(format!("all versions of {workflow_type} are deleted")),
    };
    error
        .help("use a folder instead with --definitions FOLDER, or start it anyway with --unchecked")
}
