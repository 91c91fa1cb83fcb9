//! `segno definitions rollback`: gives new runs of a type, or of all types of a project, what they got before.

use std::collections::BTreeSet;

use clap::Args;

use super::{Common, all_to, find, known};
use crate::catalog::{
    Catalog, Change, Definition, NameError, Pasts, Record, Route, VersionQuery, past,
    versions_in_force,
};
use crate::cli::args::registry::warn_of;
use crate::cli::deploy::in_flight::refuse_runs_in_flight;
use crate::cli::deploy::project::{PROJECT_DEFAULT, RetireArgs};
use crate::cli::error::{CliError, End};
use crate::cli::print::Output;
use crate::registry::deploy::DeployError;
use crate::registry::{Store, records};

#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// The workflow type, or TYPE@VERSION for another version than the previous one
    #[arg(
        value_name = "TYPE[@VERSION]",
        required_unless_present = "revision",
        conflicts_with_all = ["revision", "retire", "retire_with_runs"]
    )]
    name: Option<VersionQuery>,
    /// Roll back all types of the project to this revision; later types are retired
    #[arg(long, value_name = "REVISION")]
    revision: Option<u64>,
    #[command(flatten)]
    retire: RetireArgs,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(args: RollbackArgs, output: Output) -> Result<End, CliError> {
    match &args.name {
        Some(wanted) => args.single(wanted, output).await,
        None => args.whole(output).await,
    }
}

impl RollbackArgs {
    async fn single(&self, wanted: &VersionQuery, output: Output) -> Result<End, CliError> {
        let common = &self.common;
        let store = common.registry.store(&common.connection).await?;
        let catalog = store.read().await?;
        let definition = known(&catalog, &wanted.workflow)?;
        common.project.refuse_anothers(definition)?;
        let before = match &wanted.version {
            Some(_) => None,
            None => Some(before(&*store, &catalog, definition).await?),
        };
        let seen = (definition.route(), definition.retired);
        let make = |catalog: &Catalog| {
            let definition = known(catalog, &wanted.workflow)?;
            let to = match before {
                None => find(catalog, wanted)?.1,
                Some(to) if seen == (definition.route(), definition.retired) => to,
                // The user has not seen what this would roll back.
                Some(_) => return Err(DeployError::Overtaken(catalog.revision())),
            };
            Ok(all_to(definition, to))
        };
        let types = [wanted.workflow.clone()].into();
        common.change(&*store, None, &types, make, output).await
    }

    async fn whole(&self, output: Output) -> Result<End, CliError> {
        let common = &self.common;
        let project = common.project.name()?;
        let project = project.unwrap_or_else(|| PROJECT_DEFAULT.to_owned());
        let revision = self.revision.unwrap_or_default();
        let store = common.registry.store(&common.connection).await?;
        let catalog = store.read().await?;
        warn_of(&*store);
        if !(1..=catalog.revision()).contains(&revision) {
            return Err(CliError::new(format!(
                "there is no revision {revision}; the registry is at revision {}",
                catalog.revision()
            ))
            .help("list the revisions with `segno definitions history`"));
        }
        let records = records(&*store, &catalog).await?;
        if !has_beginning(&records) || catalog.contradicts(&past(&records, u64::MAX)).is_some() {
            return Err(not_whole("the content of a revision is unknown"));
        }
        let pasts = past(&records, revision);
        let change = back_to(&catalog, &pasts, &project)?;
        let gone = change.retired.clone();
        let gone_names: Vec<&str> = gone.iter().map(String::as_str).collect();
        self.retire.refuse(&gone_names, &project)?;
        if !gone.is_empty() && !self.retire.with_runs() {
            let client = common.connection.connect().await?;
            refuse_runs_in_flight(&client, &gone_names).await?;
        }
        let definitions = catalog.state.definitions.iter();
        let types: BTreeSet<String> = definitions
            .filter(|d| d.project == project)
            .map(|d| d.workflow.clone())
            .collect();
        if is_empty(&change) {
            return super::said(catalog.revision(), &[], &[], output);
        }
        let make = |catalog: &Catalog| {
            let change = back_to(catalog, &pasts, &project)?;
            match change.retired == gone {
                true => Ok(change),
                // The user has not seen these.
                false => Err(DeployError::Overtaken(catalog.revision())),
            }
        };
        common.change(&*store, None, &types, make, output).await
    }
}

fn has_beginning(records: &[Record]) -> bool {
    records.first().is_some_and(|record| record.revision == 1)
}

fn not_whole(so: &str) -> CliError {
    CliError::new(format!("the registry's history is incomplete, so {so}"))
        .help("roll back a single type with `segno definitions rollback TYPE@VERSION`")
}

/// The version that all new runs of a type got before the present state: before its ramp, else before the current
/// version came into force. For a retired type, the last version that was in force.
async fn before(
    store: &dyn Store,
    catalog: &Catalog,
    definition: &Definition,
) -> Result<u32, CliError> {
    if definition.ramp != 0 && !definition.retired {
        return Ok(definition.current);
    }
    let records = records(store, catalog).await?;
    if !has_beginning(&records) || definition.contradicts(&past(&records, u64::MAX)) {
        return Err(not_whole("what was in force before is unknown"));
    }
    let workflow = &definition.workflow;
    let versions = versions_in_force(&records, workflow).into_iter().rev();
    let mut versions = versions.filter(|number| definition.version(*number).is_some());
    let before = match definition.retired {
        true => versions.next(),
        false => versions.find(|number| *number != definition.current),
    };
    before.ok_or_else(|| {
        CliError::new(match definition.retired {
            true => format!("no version of {workflow} has been in force"),
            false => format!(
                "no other version of {workflow} was in force before {}",
                definition.name_of(definition.current)
            ),
        })
        .help(format!(
            "give new runs any version with `segno definitions rollback {workflow}@VERSION`"
        ))
        .help("roll back the whole project with `segno definitions rollback --revision REVISION`")
        .help(format!(
            "end a ramp with `segno definitions ramp {workflow}@VERSION --percent 0`"
        ))
    })
}

fn is_empty(change: &Change) -> bool {
    change.puts.is_empty() && change.routes.is_empty() && change.retired.is_empty()
}

/// The change that restores the routing of a project's types. Types that are pinned now stay.
fn back_to(catalog: &Catalog, pasts: &Pasts, project: &str) -> Result<Change, NameError> {
    let mut change = Change {
        project: project.to_owned(),
        ..Change::default()
    };
    let definitions = catalog.state.definitions.iter();
    for definition in definitions.filter(|d| d.project == project && !d.pinned) {
        let past = pasts.get(&definition.workflow);
        let Some(past) = past.filter(|past| past.project == project && !past.retired) else {
            if !definition.retired {
                change.retired.push(definition.workflow.clone());
            }
            continue;
        };
        let route = Route {
            current: past.current,
            ramp: past.ramp,
            ramp_percent: past.ramp_percent,
            ..definition.route()
        };
        for number in [route.current, route.ramp] {
            if number != 0 && definition.version(number).is_none() {
                return Err(deleted(definition, number));
            }
        }
        if definition.retired {
            change.puts.extend(definition.put_of(route.current));
        }
        if definition.retired || route != definition.route() {
            change.routes.push(route);
        }
    }
    Ok(change)
}

fn deleted(definition: &Definition, number: u32) -> NameError {
    let numbers = definition.versions.iter().map(|v| v.number.to_string());
    NameError::Version(
        definition.workflow.clone(),
        number.to_string(),
        numbers.collect::<Vec<_>>().join(", "),
    )
}
