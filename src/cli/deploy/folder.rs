//! `segno deploy`: puts a folder's definitions in force.

mod check;
mod language;
mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use super::in_flight::refuse_runs_in_flight;
use super::project::{ProjectArgs, RetireArgs};
use crate::catalog::{Catalog, Change, DueSchedules, Origin};
use crate::cli::args::connection::ConnectionArgs;
use crate::cli::args::registry::{OriginArgs, RegistryArgs, schedules_missed, warn_of};
use crate::cli::error::{CliError, End};
use crate::cli::print::{Output, complain};
use crate::client::{Client, unique_id};
use crate::difference::Differences;
use crate::registry::deploy::{Action, Definitions, Deployment, Plan, Routing, change};
use crate::registry::schedules::{Schedules, Step as ScheduleStep};
use crate::registry::{Store, bundles, differences, read_folder};
use crate::report::{Format, Report};
use clap::Args;
use serde_json::Value as Json;

#[derive(Debug, Args)]
pub(crate) struct DeployArgs {
    /// The folder of definitions; types of the project that it lacks are retired
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    #[command(flatten)]
    project: ProjectArgs,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: exit with 1 if anything would change
    #[arg(long, requires = "dry_run")]
    fail_on_changes: bool,
    /// Deploy without a prompt
    #[arg(long, short = 'y')]
    yes: bool,
    /// Give the new versions to this percentage of new runs; the others stay with the current version
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100), conflicts_with = "no_route")]
    percent: Option<u32>,
    /// Store the new versions without giving them to new runs; `segno definitions ramp` and `rollback` do that later
    #[arg(long)]
    no_route: bool,
    #[command(flatten)]
    retire: RetireArgs,
    /// Refuse changes that would break a run in flight that matches this list filter, for instance "ExecutionStatus = 'Running'"
    #[arg(long, value_name = "QUERY")]
    check_against: Option<String>,
    #[command(flatten)]
    origin: OriginArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// What a deployment would do, and has done.
struct Proposal {
    plan: Plan,
    /// Set once it is in force.
    done: Option<Deployment>,
    found: Definitions,
    compared: Compared,
    schedules: Vec<ScheduleStep>,
    checked: Option<check::Checked>,
    before: Catalog,
    after: Catalog,
    /// All types that the project has, and had.
    types: BTreeSet<String>,
    due: Option<DueSchedules>,
}

/// What was found before a deployment ended, for whatever reason.
#[derive(Default)]
struct Told {
    proposal: Option<Proposal>,
    /// The diagnostics of the folder's files, for JSON output.
    diagnostics: Option<Json>,
}

pub(crate) async fn run(args: DeployArgs, output: Output) -> Result<End, CliError> {
    let mut told = Told::default();
    let end = args.deploy(&mut told, output).await;
    if !output.is_json() {
        return end;
    }
    let mistakes = CliError::new("the folder's definitions have errors");
    let why = match &end {
        Err(error) => error,
        Ok(_) if told.diagnostics.is_some() => &mistakes,
        Ok(_) => return end,
    };
    output.json(&show::refused(&told, why))?;
    end
}

impl DeployArgs {
    /// The findings are available to the caller, whatever the result.
    async fn deploy(&self, told: &mut Told, output: Output) -> Result<End, CliError> {
        let project = self.project.of_folder(&self.folder)?;
        let Some(found) = read(&self.folder, told, output)? else {
            return Ok(End::Failed);
        };
        let (client, store) = self.registry.open(&self.connection).await?;
        let schedules = self.registry.schedules(&client, &*store);
        let catalog = store.read().await?;
        warn_of(&*store);
        let plan = Plan::new(&catalog, &found, &project, self.routing())?;
        let plan = plan.with_mends(&*store, &catalog, &found).await?;
        let after = plan.after(&catalog, &found)?;
        let types = types(&after, &project);
        let proposal = told.proposal.insert(Proposal {
            schedules: schedules.plan(&after, &found, &types).await?,
            compared: compare(&*store, &catalog, &plan, &found).await?,
            due: schedules.due(&after, &types).await?,
            done: None,
            before: catalog,
            after,
            types,
            plan,
            found,
            checked: None,
        });
        if !output.is_json() {
            proposal.print(output)?;
        }
        self.refuse(&client, &*store, proposal, output).await?;
        let is_done = !self.dry_run && !proposal.is_empty();
        if is_done && !self.yes && !confirmed()? {
            return Err(CliError::new("nothing was deployed")
                .help("pass --yes to deploy without a prompt, for example in CI"));
        }
        if is_done {
            let mut deployment = Deployment {
                revision: proposal.plan.base,
                versions: Vec::new(),
            };
            if !proposal.plan.is_empty() {
                deployment = self.put_in_force(&*store, proposal, output).await?;
            }
            proposal.done = Some(deployment.clone());
            self.make_schedules(&schedules, proposal, deployment.revision)
                .await?;
        }
        match (output.is_json(), &proposal.done) {
            (true, _) => output.json(&proposal.json())?,
            (false, Some(done)) => output.line(show::deployed(done))?,
            (false, None) => {}
        }
        Ok(match self.fail_on_changes && !proposal.is_empty() {
            true => End::Failed,
            false => End::Done,
        })
    }

    fn routing(&self) -> Routing {
        match (self.no_route, self.percent) {
            (true, _) => Routing::None,
            (false, Some(percent)) => Routing::Percent(percent),
            (false, None) => Routing::Usual,
        }
    }

    /// Refuses harmful changes before anything is changed.
    async fn refuse(
        &self,
        client: &Client,
        store: &dyn Store,
        proposal: &mut Proposal,
        output: Output,
    ) -> Result<(), CliError> {
        let Proposal { plan, found, .. } = &*proposal;
        let gone: Vec<&str> = plan.gone().into_iter().collect();
        self.retire.refuse(&gone, &plan.project)?;
        if !self.retire.with_runs() {
            refuse_runs_in_flight(client, &gone).await?;
        }
        language::refuse_older_workers(client, plan, found, &self.folder).await?;
        let Some(query) = &self.check_against else {
            return Ok(());
        };
        let checked = check::check(client, store, query, proposal, output).await?;
        let refusal = checked.breaks().then(|| checked.refusal());
        proposal.checked = Some(checked);
        refusal.map_or(Ok(()), Err)
    }

    async fn put_in_force(
        &self,
        store: &dyn Store,
        proposal: &Proposal,
        output: Output,
    ) -> Result<Deployment, CliError> {
        let Proposal { plan, found, .. } = proposal;
        let origin = self.origin.origin(commit(&self.folder));
        let due = proposal.due.clone();
        let deployment = plan
            .carry_out(store, found, origin, unique_id(), due)
            .await?;
        // The deployment is complete, whatever happens here.
        if let Err(error) = store.compact().await {
            output.remark(format!(
                "the registry's log could not be shortened: {error}"
            ));
        }
        warn_of(store);
        Ok(deployment)
    }

    /// If the server refuses a schedule, what was in force before is restored.
    async fn make_schedules(
        &self,
        schedules: &Schedules<'_>,
        proposal: &mut Proposal,
        revision: u64,
    ) -> Result<(), CliError> {
        let made = schedules.make(&proposal.found, &proposal.types, revision);
        let Err(error) = made.await else {
            return Ok(());
        };
        let has_changed = revision != proposal.before.revision();
        Err(match error.is_final() && has_changed {
            true => self.take_back(schedules, proposal, error.into()).await,
            false => schedules_missed(error.into(), revision),
        })
    }

    /// Returns the error to report.
    async fn take_back(
        &self,
        schedules: &Schedules<'_>,
        proposal: &mut Proposal,
        why: CliError,
    ) -> CliError {
        let origin = Origin {
            message: "the server refused a schedule; restored what was in force before".to_owned(),
            ..self.origin.origin(None)
        };
        let make = |now: &Catalog| {
            let Proposal { plan, due, .. } = &*proposal;
            Ok(Change {
                due_schedules: due.clone(),
                ..plan.taken_back(&proposal.before, &proposal.after, now)
            })
        };
        let revision = match change(schedules.store, origin, unique_id, make).await {
            Ok(revision) => revision,
            Err(error) => {
                return why.help(format!(
                    "the deployment cannot be rolled back either: {error}"
                ));
            }
        };
        proposal.done = None;
        let none = Definitions::new();
        match schedules.make(&none, &proposal.types, revision).await {
            Ok(_) => why.help(format!(
                "nothing was deployed; what was in force before is in force again, as revision {revision}"
            )),
            Err(error) => schedules_missed(error.into(), revision),
        }
    }
}

/// All types that the project has, and had.
fn types(catalog: &Catalog, project: &str) -> BTreeSet<String> {
    let definitions = catalog.state.definitions.iter();
    let own = definitions.filter(|d| d.project == project);
    own.map(|d| d.workflow.clone()).collect()
}

/// The folder's definitions; `None` if one of them has errors, which have then been reported.
fn read(folder: &Path, told: &mut Told, output: Output) -> Result<Option<Definitions>, CliError> {
    let found = read_folder(folder).map_err(CliError::usage)?;
    let diagnostics = found.diagnostics().cloned().collect();
    let report = Report::new(&found.sources, diagnostics, found.files);
    if report.has_errors() {
        match output.is_json() {
            true => told.diagnostics = Some(show::diagnostics(&report)),
            false => {
                output.report(&report, Format::Text)?;
                output.remark("nothing was deployed");
            }
        }
        return Ok(None);
    }
    if found.definitions.is_empty() {
        let message = format!("{} contains no definitions", folder.display());
        return Err(CliError::usage(message).help(
            "deploying a folder without definitions would retire the whole project; use `segno definitions delete` for that",
        ));
    }
    Ok(Some(found.definitions))
}

/// The differences in meaning of a deployment, by workflow type.
type Compared = BTreeMap<String, Differences>;

async fn compare(
    store: &dyn Store,
    catalog: &Catalog,
    plan: &Plan,
    found: &Definitions,
) -> Result<Compared, CliError> {
    let changed = plan.steps.iter().filter_map(|step| {
        let (Action::Change { from, .. } | Action::Restore { from, .. }) = step.action else {
            return None;
        };
        let definition = catalog.definition(&step.workflow)?;
        Some((definition.clone(), definition.version(from)?.clone()))
    });
    let changed: Vec<_> = changed.collect();
    let bundles = bundles(store, &changed).await?;
    let mut compared = Compared::new();
    for ((definition, _), old) in changed.into_iter().zip(bundles) {
        let new = found.get(&definition.workflow);
        if let (Some(old), Some((new, _))) = (old, new) {
            // A previous version that cannot be read cannot be compared.
            if let Ok(differences) = differences(&old, &new.bundle.bytes) {
                compared.insert(definition.workflow, differences);
            }
        }
    }
    Ok(compared)
}

fn confirmed() -> Result<bool, CliError> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    complain("Deploy this? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// The commit of the folder, if it is in a repository.
fn commit(folder: &Path) -> Option<String> {
    let git = std::process::Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["rev-parse", "HEAD"])
        .output()
        .ok()?;
    let commit = String::from_utf8(git.stdout).ok()?.trim().to_owned();
    git.status.success().then_some(commit)
}
