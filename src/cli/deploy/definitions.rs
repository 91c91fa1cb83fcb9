//! `segno definitions`: what is deployed, and which version new runs get.

mod keep;
mod look;
mod rollback;

use std::cell::RefCell;
use std::collections::BTreeSet;

use clap::{Args, Subcommand};
use serde_json::json;

use super::project::OwnProjectArgs;
use super::schedules;
use crate::catalog::{
    Catalog, Change, Definition, NameError, Origin, Route, TagChange, VersionName, VersionQuery,
};
use crate::cli::args::connection::ConnectionArgs;
use crate::cli::args::registry::{OriginArgs, RegistryArgs, schedules_missed, warn_of};
use crate::cli::error::{CliError, End};
use crate::cli::print::{Output, Tone, styled};
use crate::client::{Client, unique_id};
use crate::engine::VERSION_ATTRIBUTE;
use crate::registry::Store;
use crate::registry::deploy::{Definitions, DeployError, change};
use crate::registry::schedules::Step;

#[derive(Debug, Subcommand)]
pub(crate) enum DefinitionsCommand {
    /// List the deployed definitions
    List(look::ListArgs),
    /// Show a version's text
    Show(look::ShowArgs),
    /// Show the changes of the registry, newest first
    History(look::HistoryArgs),
    /// Show what changed in meaning between two versions
    Diff(look::DiffArgs),
    /// Roll back new runs to an earlier version, of one type or of a whole project
    Rollback(rollback::RollbackArgs),
    /// Pin new runs to one version, even if others are deployed
    Pin(VersionArgs),
    /// Unpin a type: deployments choose the version again
    Unpin(TypeArgs),
    /// Give another version to a share of new runs, always the same workflow ids
    Ramp(RampArgs),
    /// Give a version a name, such as stable
    Tag(TagArgs),
    /// Remove a version that nothing runs, or retire a whole type
    Delete(DeleteArgs),
    /// Check that everything the registry names can be read; changes nothing
    Verify(keep::VerifyArgs),
    /// Repair what `verify` reports, as far as the remaining data allows
    Repair(keep::RepairArgs),
    /// Write the registry, with all versions and all changes, to a file
    Export(keep::ExportArgs),
    /// Import the versions and texts of an export that the registry lacks
    Import(keep::ImportArgs),
}

#[derive(Debug, Args)]
pub(crate) struct Common {
    #[command(flatten)]
    project: OwnProjectArgs,
    #[command(flatten)]
    origin: OriginArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// A number or tag, such as order@12; a type alone is its current version
    #[arg(value_name = "TYPE[@VERSION]")]
    name: VersionQuery,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct TypeArgs {
    #[arg(value_name = "TYPE")]
    workflow: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct RampArgs {
    /// The version to ramp up, such as order@13
    #[arg(value_name = "TYPE@VERSION")]
    name: VersionQuery,
    /// The share of new runs; 0 ends the ramp, 100 makes the version the current one
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=100))]
    percent: u32,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct TagArgs {
    #[arg(value_name = "TYPE@VERSION")]
    name: VersionQuery,
    /// The tag: letters, digits, `-`, `_` and `.`, not a number
    #[arg(value_parser = tag_name)]
    tag: String,
    /// Remove the tag
    #[arg(long)]
    remove: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// TYPE@VERSION removes a version; TYPE retires the type, whose versions stay for runs in flight
    #[arg(value_name = "TYPE[@VERSION]")]
    name: VersionQuery,
    /// Delete even if runs are in flight
    #[arg(long)]
    with_runs: bool,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(command: DefinitionsCommand, output: Output) -> Result<End, CliError> {
    match command {
        DefinitionsCommand::List(args) => look::list(args, output).await,
        DefinitionsCommand::Show(args) => look::show(args, output).await,
        DefinitionsCommand::History(args) => look::history(args, output).await,
        DefinitionsCommand::Diff(args) => look::diff(args, output).await,
        DefinitionsCommand::Rollback(args) => rollback::run(args, output).await,
        DefinitionsCommand::Pin(args) => {
            let make = |catalog: &Catalog| {
                let (definition, number) = find(catalog, &args.name)?;
                if definition.retired {
                    return Err(no_new_runs(definition, number, ""));
                }
                Ok(routed(Route {
                    current: number,
                    pinned: true,
                    ramp: 0,
                    ramp_percent: 0,
                    ..definition.route()
                }))
            };
            args.common
                .carry_out(&args.name.workflow, make, output)
                .await
        }
        DefinitionsCommand::Unpin(args) => {
            let make = |catalog: &Catalog| {
                Ok(routed(Route {
                    pinned: false,
                    ..known(catalog, &args.workflow)?.route()
                }))
            };
            args.common.carry_out(&args.workflow, make, output).await
        }
        DefinitionsCommand::Ramp(args) => {
            let make = |catalog: &Catalog| ramped(catalog, &args.name, args.percent);
            args.common
                .carry_out(&args.name.workflow, make, output)
                .await
        }
        DefinitionsCommand::Tag(args) => {
            let make = |catalog: &Catalog| {
                let (definition, number) = find(catalog, &args.name)?;
                Ok(Change {
                    tags: vec![TagChange {
                        workflow: definition.workflow.clone(),
                        name: args.tag.clone(),
                        number: if args.remove { 0 } else { number },
                    }],
                    ..Change::default()
                })
            };
            args.common
                .carry_out(&args.name.workflow, make, output)
                .await
        }
        DefinitionsCommand::Delete(args) => delete(args, output).await,
        DefinitionsCommand::Verify(args) => keep::verify(args, output).await,
        DefinitionsCommand::Repair(args) => keep::repair(args, output).await,
        DefinitionsCommand::Export(args) => keep::export(args, output).await,
        DefinitionsCommand::Import(args) => keep::import(args, output).await,
    }
}

async fn delete(args: DeleteArgs, output: Output) -> Result<End, CliError> {
    let (client, store) = args.common.registry.open(&args.common.connection).await?;
    let catalog = store.read().await?;
    let workflow = args.name.workflow.clone();
    args.common
        .project
        .refuse_anothers(known(&catalog, &workflow)?)?;
    let (query, what) = match &args.name.version {
        None => (
            format!("WorkflowType = '{}'", quoted(&workflow)),
            workflow.clone(),
        ),
        Some(_) => {
            let (definition, number) = find(&catalog, &args.name)?;
            let name = definition.name_of(number);
            (format!("{VERSION_ATTRIBUTE} = '{}'", quoted(&name)), name)
        }
    };
    if !args.with_runs {
        refuse_runs(&client, &query, &what).await?;
    }
    let make = |catalog: &Catalog| match &args.name.version {
        None => Ok(Change {
            retired: vec![known(catalog, &workflow)?.workflow.clone()],
            ..Change::default()
        }),
        Some(_) => {
            let (definition, number) = find(catalog, &args.name)?;
            Ok(Change {
                deleted: vec![VersionName {
                    workflow: definition.workflow.clone(),
                    number,
                }],
                ..Change::default()
            })
        }
    };
    let common = &args.common;
    common
        .change(
            &*store,
            Some(client),
            &[workflow.clone()].into(),
            make,
            output,
        )
        .await
}

async fn refuse_runs(client: &Client, query: &str, what: &str) -> Result<(), CliError> {
    let running = format!("{query} AND ExecutionStatus = 'Running'");
    match client.count(&running).await? {
        0 => Ok(()),
        count => Err(CliError::new(format!(
            "{count} of {what} {} in flight; nothing was deleted",
            if count == 1 { "is" } else { "are" }
        ))
        .help("pass --with-runs to delete it anyway; runs in flight keep the definition that they are bound to")),
    }
}

/// For a list filter.
fn quoted(text: &str) -> String {
    text.replace('\'', "''")
}

impl Common {
    /// Makes a change to one type, and gives the type the schedules of the version that is then in force.
    async fn carry_out(
        &self,
        workflow: &str,
        make: impl Fn(&Catalog) -> Result<Change, DeployError>,
        output: Output,
    ) -> Result<End, CliError> {
        let store = self.registry.store(&self.connection).await?;
        self.change(&*store, None, &[workflow.to_owned()].into(), make, output)
            .await
    }

    /// Makes a change to several types, with the registry and possibly the cluster already open.
    async fn change(
        &self,
        store: &dyn Store,
        client: Option<Client>,
        types: &BTreeSet<String>,
        make: impl Fn(&Catalog) -> Result<Change, DeployError>,
        output: Output,
    ) -> Result<End, CliError> {
        let origin: Origin = self.origin.origin(None);
        let catalog = store.read().await?;
        warn_of(store);
        for definition in types.iter().filter_map(|name| catalog.definition(name)) {
            self.project.refuse_anothers(definition)?;
        }
        let sent: RefCell<Vec<String>> = RefCell::default();
        let make = |catalog: &Catalog| {
            let change = make(catalog)?;
            *sent.borrow_mut() = words_of(&change, catalog);
            Ok(change)
        };
        let mut definitions = types.iter().filter_map(|name| catalog.definition(name));
        // Without schedules, no cluster is needed.
        if !definitions.any(Definition::has_schedules) {
            let revision = change(store, origin, unique_id, make).await?;
            return said(revision, &sent.borrow(), &[], output);
        }
        let client = match client {
            Some(client) => client,
            None => self.connection.connect().await?,
        };
        let schedules = self.registry.schedules(&client, store);
        let due = schedules.due(&catalog, types).await?;
        let make = |catalog: &Catalog| {
            Ok(Change {
                due_schedules: due.clone(),
                ..make(catalog)?
            })
        };
        let revision = change(store, origin, unique_id, make).await?;
        let done = schedules
            .make(&Definitions::new(), types, revision)
            .await
            .map_err(|error| schedules_missed(error.into(), revision))?;
        said(revision, &sent.borrow(), &done, output)
    }
}

/// Prints what was done, and as which revision.
fn said(revision: u64, words: &[String], steps: &[Step], output: Output) -> Result<End, CliError> {
    match output.is_json() {
        true => {
            let schedules = schedules::json(steps, |_| false);
            output
                .json(&json!({ "revision": revision, "changes": words, "schedules": schedules }))?;
        }
        false => {
            for line in words {
                output.line(line)?;
            }
            schedules::print(steps, |_| false, output)?;
            let word = match words.is_empty() {
                true => "nothing to do:",
                false => "done",
            };
            output.line(format!("{} revision {revision}", styled(Tone::Good, word)))?;
        }
    }
    Ok(End::Done)
}

/// A line for each effect of a change to a catalog.
fn words_of(change: &Change, before: &Catalog) -> Vec<String> {
    let retired = change.retired.iter();
    let retired = retired.map(|workflow| format!("{workflow} gets no new runs"));
    let routes = change.routes.iter().map(|route| {
        let is_put = change.puts.iter().any(|put| put.workflow == route.workflow);
        let definition = before.definition(&route.workflow);
        if let Some(definition) = definition.filter(|d| d.retired && !is_put) {
            return retired_words(definition, route);
        }
        let ramp = match route.ramp {
            0 => String::new(),
            ramp => format!(
                ", {} % of them {}@{ramp}",
                route.ramp_percent, route.workflow
            ),
        };
        let pinned = if route.pinned { " (pinned)" } else { "" };
        format!(
            "new runs of {} get {}@{}{pinned}{ramp}",
            route.workflow, route.workflow, route.current
        )
    });
    let tags = change.tags.iter().map(|tag| match tag.number {
        0 => format!("{} no longer has the tag {}", tag.workflow, tag.name),
        number => format!("{}@{} is {}@{number}", tag.workflow, tag.name, tag.workflow),
    });
    let deleted = change.deleted.iter();
    let deleted = deleted.map(|v| format!("{}@{} is deleted", v.workflow, v.number));
    retired.chain(routes).chain(tags).chain(deleted).collect()
}

/// What the route of a retired type changes: nothing for new runs, since there are none.
fn retired_words(definition: &Definition, route: &Route) -> String {
    let workflow = &route.workflow;
    let changed = match (
        definition.pinned && !route.pinned,
        definition.ramp != route.ramp,
    ) {
        (true, _) => format!("{workflow} is no longer pinned; it"),
        (false, true) => format!("{workflow} no longer has a ramp; it"),
        (false, false) => workflow.clone(),
    };
    format!("{changed} is retired, so no new runs start")
}

fn known<'a>(catalog: &'a Catalog, workflow: &str) -> Result<&'a Definition, NameError> {
    catalog.known(workflow)
}

fn find<'a>(
    catalog: &'a Catalog,
    query: &VersionQuery,
) -> Result<(&'a Definition, u32), NameError> {
    let (definition, version) = catalog.find(query)?;
    Ok((definition, version.number))
}

/// Gives a share of new runs to a version; with all of them, it becomes the current one.
fn ramped(catalog: &Catalog, query: &VersionQuery, percent: u32) -> Result<Change, DeployError> {
    let (definition, number) = find(catalog, query)?;
    let name = definition.name_of(number);
    if definition.retired && percent < 100 {
        return Err(no_new_runs(definition, number, " to share"));
    }
    let refused = match (percent, definition.pinned) {
        (0, _) => None,
        (_, true) => Some(format!(
            "{} is pinned to version {}; run `segno definitions unpin {}` first",
            definition.workflow, definition.current, definition.workflow
        )),
        (1..100, _) if number == definition.current => Some(format!("new runs already get {name}")),
        _ => None,
    };
    if let Some(why) = refused {
        return Err(DeployError::Refused(why));
    }
    let route = definition.route();
    Ok(match percent {
        0 => routed(Route {
            ramp: 0,
            ramp_percent: 0,
            ..route
        }),
        100 => all_to(definition, number),
        _ => routed(Route {
            ramp: number,
            ramp_percent: percent,
            ..route
        }),
    })
}

/// Gives all new runs to a version; a retired type has new runs again.
fn all_to(definition: &Definition, number: u32) -> Change {
    let change = routed(Route {
        current: number,
        ramp: 0,
        ramp_percent: 0,
        ..definition.route()
    });
    match definition.retired {
        true => Change {
            project: definition.project.clone(),
            puts: definition.put_of(number).into_iter().collect(),
            ..change
        },
        false => change,
    }
}

fn no_new_runs(definition: &Definition, number: u32, what_for: &str) -> DeployError {
    DeployError::Refused(format!(
        "{} is retired, so it has no new runs{what_for}; run `segno definitions rollback {}` to give it new runs",
        definition.workflow,
        definition.name_of(number)
    ))
}

fn routed(route: Route) -> Change {
    Change {
        routes: vec![route],
        ..Change::default()
    }
}

fn tag_name(text: &str) -> Result<String, String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match !text.is_empty() && text.chars().all(is_word) && text.parse::<u32>().is_err() {
        true => Ok(text.to_owned()),
        false => Err(
            "a tag must consist of letters, digits, `-`, `_` and `.`, and must not be a number"
                .to_owned(),
        ),
    }
}
