//! `segno deploy`: puts a folder's definitions in force.

mod check;
mod language;

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value as Json, json};

use super::connection::ConnectionArgs;
use super::store::{OriginArgs, RegistryArgs};
use crate::catalog::Catalog;
use crate::cli::output::{CliError, End, Output, Tone, styled};
use crate::client::{Client, unique_id};
use crate::difference::Differences;
use crate::registry::check::Effects;
use crate::registry::deploy::{Action, Definitions, Plan, Step};
use crate::registry::{Found, Store, bundles, differences, read_folder};
use crate::report::{Format, Report};

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

pub async fn run(args: DeployArgs, output: Output) -> Result<End, CliError> {
    let found = read(&args.folder, output)?;
    let Some(found) = found else {
        return Ok(End::Failed);
    };
    let (client, store) = args.registry.open(&args.connection).await?;
    let catalog = store.read().await?;
    let plan = Plan::new(&catalog, &found, &args.project)?;
    let asks = !args.dry_run && !args.yes && !plan.steps.is_empty();
    let compared = compare(&*store, &catalog, &plan, &found).await?;
    if !output.is_json() {
        print(&plan, &found, &compared, output)?;
    }
    if !args.retire_with_runs {
        refuse_runs_in_flight(&client, &plan).await?;
    }
    language::refuse_older_workers(&client, &plan, &found, &args.folder).await?;
    let checked = match &args.check_against {
        Some(query) => {
            let effects = Effects::of(&plan, &found, &compared);
            Some(check::check(&client, query, &effects, output).await?)
        }
        None => None,
    };
    if let Some(checked) = checked.as_ref().filter(|checked| checked.breaks()) {
        if output.is_json() {
            let mut json = plan_json(&plan, &found, &compared, plan.base, false);
            json["checked"] = checked.json();
            output.json(&json)?;
        }
        return Err(checked.refusal());
    }
    if asks && !confirmed()? {
        return Err(
            CliError::new("nothing was deployed").help("--yes deploys without asking, as in CI")
        );
    }
    let revision = match args.dry_run || plan.steps.is_empty() {
        true => plan.base,
        false => {
            let origin = args.origin.origin(commit(&args.folder));
            let revision = plan.carry_out(&*store, &found, origin, unique_id()).await?;
            // The deployment stands, whatever comes of this.
            if let Err(error) = store.compact().await {
                output.remark(format!("the registry's log stays long: {error}"));
            }
            revision
        }
    };
    let is_done = !args.dry_run && !plan.steps.is_empty();
    match output.is_json() {
        true => {
            let mut json = plan_json(&plan, &found, &compared, revision, is_done);
            json["checked"] = checked.map_or(Json::Null, |checked| checked.json());
            output.json(&json)?;
        }
        false if is_done => output.line(format!(
            "{} revision {revision}",
            styled(Tone::Good, "deployed")
        ))?,
        false => {}
    }
    let has_changes = !plan.steps.is_empty();
    Ok(match args.fail_on_changes && has_changes {
        true => End::Failed,
        false => End::Done,
    })
}

/// The folder's definitions; none where one of them is wrong, which has been said then.
fn read(folder: &Path, output: Output) -> Result<Option<Definitions>, CliError> {
    let Found {
        definitions,
        sources,
        diagnostics,
        files,
    } = read_folder(folder).map_err(CliError::usage)?;
    let report = Report::new(&sources, diagnostics, files);
    if report.has_errors() {
        let format = match output.is_json() {
            true => Format::Json,
            false => Format::Text,
        };
        let mut stdout = anstream::stdout().lock();
        stdout.write_all(report.render(format, true).as_bytes())?;
        output.remark("nothing was deployed");
        return Ok(None);
    }
    if definitions.is_empty() {
        let message = format!("{} holds no definitions", folder.display());
        return Err(CliError::usage(message).help(
            "a folder without definitions would retire all of the project: `segno definitions delete` does that",
        ));
    }
    Ok(Some(definitions))
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
            let differences = differences(&old, &new.bundle.bytes).map_err(CliError::new)?;
            compared.insert(definition.workflow, differences);
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
    anstream::eprint!("Deploy this? [y/N] ");
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

fn print(
    plan: &Plan,
    found: &Definitions,
    compared: &Compared,
    output: Output,
) -> Result<(), CliError> {
    for step in &plan.steps {
        let (tone, sign) = match step.action {
            Action::Add => (Tone::Good, "+"),
            Action::Retire { .. } => (Tone::Bad, "-"),
            Action::Change { .. } | Action::Restore { .. } => (Tone::Odd, "~"),
        };
        let file = found.get(&step.workflow).map(|(_, file)| file.to_string());
        output.line(format!(
            "{} {}  {}",
            styled(tone, format!("{sign} {}", step.workflow)),
            words(step),
            styled(Tone::Dim, file.unwrap_or_default())
        ))?;
        if let Some(differences) = compared.get(&step.workflow) {
            for line in differences.text().lines() {
                output.line(format!("    {line}"))?;
            }
        }
    }
    let count = |f: fn(&Action) -> bool| plan.steps.iter().filter(|s| f(&s.action)).count();
    output.line(format!(
        "{} to add, {} to change, {} to retire, {} unchanged",
        count(|a| matches!(a, Action::Add)),
        count(|a| matches!(a, Action::Change { .. } | Action::Restore { .. })),
        count(|a| matches!(a, Action::Retire { .. })),
        plan.unchanged
    ))
}

fn words(step: &Step) -> String {
    let mut words = match step.action {
        Action::Add => "new".to_owned(),
        Action::Change { from } => format!("from version {from} to a new one"),
        Action::Restore { from, to } => format!("from version {from} back to version {to}"),
        Action::Retire { from } => {
            format!("version {from} gets no new runs; those in flight go on")
        }
    };
    if step.is_pinned {
        words.push_str("; new runs stay with the pinned version");
    }
    if step.ends_ramp {
        words.push_str("; ends the ramp");
    }
    words
}

fn plan_json(
    plan: &Plan,
    found: &Definitions,
    compared: &Compared,
    revision: u64,
    is_done: bool,
) -> Json {
    let steps = plan.steps.iter().map(|step| {
        let (action, from, to) = match step.action {
            Action::Add => ("add", None, None),
            Action::Change { from } => ("change", Some(from), None),
            Action::Restore { from, to } => ("restore", Some(from), Some(to)),
            Action::Retire { from } => ("retire", Some(from), None),
        };
        let file = found.get(&step.workflow).map(|(_, file)| file.to_string());
        json!({
            "workflow": step.workflow, "action": action, "from": from, "to": to, "file": file,
            "pinned": step.is_pinned, "endsRamp": step.ends_ramp,
            "differences": compared.get(&step.workflow).map(Differences::json),
        })
    });
    json!({
        "project": plan.project,
        "revision": revision,
        "deployed": is_done,
        "changes": steps.collect::<Vec<_>>(),
        "unchanged": plan.unchanged,
    })
}
