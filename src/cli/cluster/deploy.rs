//! `segno deploy`: puts a folder's definitions in force.

mod check;
mod language;
pub mod schedules;
mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use super::connection::ConnectionArgs;
use super::store::{OriginArgs, RegistryArgs, schedules_missed, warn_of};
use crate::catalog::{Catalog, Change, DueSchedules, Origin};
use crate::cli::output::{CliError, End, Output, Tone, complain, styled};
use crate::client::{Client, unique_id};
use crate::difference::Differences;
use crate::registry::check::Effects;
use crate::registry::deploy::{Action, Definitions, Plan, change};
use crate::registry::schedules::{Schedules, Step as ScheduleStep};
use crate::registry::{Store, bundles, differences, read_folder};
use crate::report::{Format, Report};
use clap::Args;

#[derive(Debug, Args)]
pub struct DeployArgs {
    /// The folder of definitions: all that is in force of the project is what it holds
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Whose definitions these are: a deployment retires what its project no longer has, and touches no other project's
    #[arg(
        long,
        env = "SEGNO_PROJECT",
        default_value = "default",
        value_name = "NAME"
    )]
    project: String,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: exit code 1 if anything would change
    #[arg(long, requires = "dry_run")]
    fail_on_changes: bool,
    /// Deploy without asking
    #[arg(long, short = 'y')]
    yes: bool,
    /// Retire definitions also where runs of them are in flight; those go on with what they are bound to
    #[arg(long)]
    retire_with_runs: bool,
    /// Refuse what would break a run in flight that this list filter finds, for instance "ExecutionStatus = 'Running'"
    #[arg(long, value_name = "QUERY")]
    check_against: Option<String>,
    #[command(flatten)]
    origin: OriginArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// What a deployment would do.
struct Proposal {
    plan: Plan,
    found: Definitions,
    compared: Compared,
    schedules: Vec<ScheduleStep>,
    checked: Option<check::Checked>,
    before: Catalog,
    after: Catalog,
    /// All that the project has, and had.
    types: BTreeSet<String>,
    due: Option<DueSchedules>,
}

pub async fn run(args: DeployArgs, output: Output) -> Result<End, CliError> {
    let Some(found) = read(&args.folder, output)? else {
        return Ok(End::Failed);
    };
    let (client, store) = args.registry.open(&args.connection).await?;
    let schedules = args.registry.schedules(&client, &*store);
    let catalog = store.read().await?;
    warn_of(&*store);
    let plan = Plan::new(&catalog, &found, &args.project)?;
    let plan = plan.with_mends(&*store, &catalog, &found).await?;
    let after = plan.after(&catalog, &found)?;
    let types = types(&after, &args.project);
    let mut proposal = Proposal {
        schedules: schedules.plan(&after, &found, &types).await?,
        compared: compare(&*store, &catalog, &plan, &found).await?,
        due: schedules.due(&after, &types).await?,
        before: catalog,
        after,
        types,
        plan,
        found,
        checked: None,
    };
    if !output.is_json() {
        proposal.print(output)?;
    }
    args.refuse(&client, &mut proposal, output).await?;
    let is_done = !args.dry_run && !proposal.is_empty();
    if is_done && !args.yes && !confirmed()? {
        return Err(
            CliError::new("nothing was deployed").help("--yes deploys without asking, as in CI")
        );
    }
    let mut revision = proposal.plan.base;
    if is_done {
        if !proposal.plan.is_empty() {
            revision = args.put_in_force(&*store, &proposal, output).await?;
        }
        args.make_schedules(&schedules, &proposal, revision).await?;
    }
    match output.is_json() {
        true => output.json(&proposal.json(revision, is_done))?,
        false if is_done => output.line(format!(
            "{} revision {revision}",
            styled(Tone::Good, "deployed")
        ))?,
        false => {}
    }
    Ok(match args.fail_on_changes && !proposal.is_empty() {
        true => End::Failed,
        false => End::Done,
    })
}

impl DeployArgs {
    /// What would hurt somebody is refused before anything is changed.
    async fn refuse(
        &self,
        client: &Client,
        proposal: &mut Proposal,
        output: Output,
    ) -> Result<(), CliError> {
        let Proposal {
            plan,
            found,
            compared,
            ..
        } = &*proposal;
        if !self.retire_with_runs {
            refuse_runs_in_flight(client, plan).await?;
        }
        language::refuse_older_workers(client, plan, found, &self.folder).await?;
        let Some(query) = &self.check_against else {
            return Ok(());
        };
        let effects = Effects::of(plan, found, compared);
        let checked = check::check(client, query, &effects, output).await?;
        let refusal = checked.breaks().then(|| checked.refusal());
        proposal.checked = Some(checked);
        let Some(refusal) = refusal else {
            return Ok(());
        };
        if output.is_json() {
            output.json(&proposal.json(proposal.plan.base, false))?;
        }
        Err(refusal)
    }

    async fn put_in_force(
        &self,
        store: &dyn Store,
        proposal: &Proposal,
        output: Output,
    ) -> Result<u64, CliError> {
        let Proposal { plan, found, .. } = proposal;
        let origin = self.origin.origin(commit(&self.folder));
        let due = proposal.due.clone();
        let revision = plan
            .carry_out(store, found, origin, unique_id(), due)
            .await?;
        // The deployment stands, whatever comes of this.
        if let Err(error) = store.compact().await {
            output.remark(format!("the registry's log stays long: {error}"));
        }
        warn_of(store);
        Ok(revision)
    }

    /// Where the server refuses one, what was in force before is in force again.
    async fn make_schedules(
        &self,
        schedules: &Schedules<'_>,
        proposal: &Proposal,
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

    /// What is said of it.
    async fn take_back(
        &self,
        schedules: &Schedules<'_>,
        proposal: &Proposal,
        why: CliError,
    ) -> CliError {
        let origin = Origin {
            message: "the server refused a schedule: as it was before".to_owned(),
            ..self.origin.origin(None)
        };
        let make = |now: &Catalog| {
            let Proposal { plan, due, .. } = proposal;
            Ok(Change {
                due_schedules: due.clone(),
                ..plan.taken_back(&proposal.before, &proposal.after, now)
            })
        };
        let revision = match change(schedules.store, origin, unique_id, make).await {
            Ok(revision) => revision,
            Err(error) => {
                return why.help(format!("nor can the deployment be taken back: {error}"));
            }
        };
        let none = Definitions::new();
        match schedules.make(&none, &proposal.types, revision).await {
            Ok(_) => why.help(format!(
                "nothing is deployed: what was in force before is in force again, as revision {revision}"
            )),
            Err(error) => schedules_missed(error.into(), revision),
        }
    }
}

/// All that the project has, and had.
fn types(catalog: &Catalog, project: &str) -> BTreeSet<String> {
    let definitions = catalog.state.definitions.iter();
    let own = definitions.filter(|d| d.project == project);
    own.map(|d| d.workflow.clone()).collect()
}

/// The folder's definitions; none where one of them is wrong, which has been said then.
fn read(folder: &Path, output: Output) -> Result<Option<Definitions>, CliError> {
    let found = read_folder(folder).map_err(CliError::usage)?;
    let diagnostics = found.diagnostics().cloned().collect();
    let report = Report::new(&found.sources, diagnostics, found.files);
    if report.has_errors() {
        let format = match output.is_json() {
            true => Format::Json,
            false => Format::Text,
        };
        output.report(&report, format)?;
        output.remark("nothing was deployed");
        return Ok(None);
    }
    if found.definitions.is_empty() {
        let message = format!("{} holds no definitions", folder.display());
        return Err(CliError::usage(message).help(
            "a folder without definitions would retire all of the project: `segno definitions delete` does that",
        ));
    }
    Ok(Some(found.definitions))
}

/// What a deployment changes in meaning, by workflow type.
type Compared = BTreeMap<String, Differences>;

async fn compare(
    store: &dyn Store,
    catalog: &Catalog,
    plan: &Plan,
    found: &Definitions,
) -> Result<Compared, CliError> {
    let changed = plan.steps.iter().filter_map(|step| {
        let (Action::Change { from } | Action::Restore { from, .. }) = step.action else {
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
            // A former version that cannot be read has nothing to be compared with.
            if let Ok(differences) = differences(&old, &new.bundle.bytes) {
                compared.insert(definition.workflow, differences);
            }
        }
    }
    Ok(compared)
}

async fn refuse_runs_in_flight(client: &Client, plan: &Plan) -> Result<(), CliError> {
    for step in &plan.steps {
        if !matches!(step.action, Action::Retire { .. }) {
            continue;
        }
        let workflow = step.workflow.replace('\'', "''");
        let query = format!("WorkflowType = '{workflow}' AND ExecutionStatus = 'Running'");
        let count = client.count(&query).await?;
        if count > 0 {
            return Err(CliError::new(format!(
                "the folder no longer has {}, of which {count} {} in flight; nothing was deployed",
                step.workflow,
                if count == 1 { "run is" } else { "runs are" }
            ))
            .help("--retire-with-runs retires it all the same: runs in flight go on with what they are bound to"));
        }
    }
    Ok(())
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

/// The commit that the folder is at, if it is in a repository.
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
