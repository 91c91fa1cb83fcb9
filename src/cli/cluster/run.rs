//! `segno run`: a definition in one process, durably, without a server.

mod teller;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use teller::Teller;

use super::input::InputArgs;
use super::worker::PolicyArgs;
use crate::cli::output::{CliError, End, Output};
use crate::local::{
    Begun, Ended, Journal, JournalError, LocalError, LocalRun, Need, Told, draw_ids, needs, now,
};
use crate::registry::{Entry, Found, read_folder};
use crate::report::{Format, Report};
use crate::simulator::{Logged, Outcome};
use crate::timeline::Timeline;
use crate::value::{Payload, parse_json, to_json};

const STATE_DEFAULT: &str = ".segno/run.db";

/// Run a definition in this process, durably, without a server
///
/// Its state is kept in a file: the same command goes on where a run was that has not ended. The worker's own activities (http, exec, grpc)
/// run here; children run their definitions from the same folder. Steps are told on standard error as they go, the result is printed as JSON.
///
/// Exit codes: 0 where it completed, 1 where it did not, 2 where the command line is wrong.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  segno run workflows/poll-endpoint.yaml --input '{\"url\": \"http://localhost:8000/job\"}'\n  segno run approval.yaml --signal 'approve={\"by\": \"ada\"}'"
)]
pub struct RunArgs {
    /// The file with the definition
    file: PathBuf,
    #[command(flatten)]
    input: InputArgs,
    /// The workflow type, where the file has several definitions
    #[arg(long, value_name = "TYPE")]
    workflow_type: Option<String>,
    /// The run's name in the state file [default: the workflow type]
    #[arg(long, short = 'w', value_name = "ID")]
    workflow_id: Option<String>,
    /// The file that keeps the state of runs
    #[arg(long, value_name = "FILE", default_value = STATE_DEFAULT)]
    state: PathBuf,
    /// Forget the run of this name that has not ended, and begin another
    #[arg(long)]
    new: bool,
    /// Send a signal first; may be given several times
    #[arg(long, value_name = "NAME=JSON")]
    signal: Vec<String>,
    /// Ask the run to end: it may clean up first
    #[arg(long, value_name = "REASON", num_args = 0..=1, default_missing_value = "")]
    cancel: Option<String>,
    #[command(flatten)]
    policy: PolicyArgs,
}

pub async fn run(args: RunArgs, output: Output) -> Result<End, CliError> {
    let found = found(&args.file)?;
    let (workflow_type, entry) = chosen(&args, &found)?;
    check_needs(entry, &found)?;
    let input = args.input.payloads()?;
    let told = told(&args)?;
    let activities = args.policy.activities()?;
    let folder = args.state.parent().filter(|f| !f.as_os_str().is_empty());
    folder
        .map_or(Ok(()), std::fs::create_dir_all)
        .map_err(|error| {
            CliError::new(format!(
                "cannot make a folder for {}: {error}",
                args.state.display()
            ))
        })?;
    let mut journal = Journal::open(&args.state).map_err(of_journal)?;
    let workflow_id = args.workflow_id.clone().unwrap_or(workflow_type.clone());
    let open = journal.open_run(&workflow_id).map_err(of_journal)?;
    let open = match open {
        Some(open) if args.new => {
            journal.close(open.id).map_err(of_journal)?;
            None
        }
        open => open,
    };
    let begun = match open {
        Some(begun) => going_on(begun, &workflow_type, &args, input, output)?,
        None => {
            let bundles = found.definitions.values();
            let begun = Begun {
                id: 0,
                workflow_id,
                workflow_type,
                input,
                begun_at: now(),
                ids: draw_ids(),
                bundles: bundles
                    .map(|(entry, _)| entry.bundle.bytes.clone())
                    .collect(),
            };
            journal.begin(begun).map_err(of_journal)?
        }
    };
    let mut local = LocalRun::open(journal, begun, activities).map_err(of_local)?;
    for told in told {
        local.tell(told).map_err(of_local)?;
    }
    let timeline = local.timeline.clone();
    let mut teller = Teller::new(local.begun_at(), output);
    let moved = |timeline: &Timeline, logs: &[Logged]| teller.tell(timeline, logs);
    let ended = local.run(leaves(), moved).await;
    report(ended.map_err(of_local)?, &timeline, output)
}

/// The definitions of the file's folder; what is wrong with them is said.
fn found(file: &Path) -> Result<Found, CliError> {
    if !file.is_file() {
        return Err(CliError::usage(format!(
            "there is no file {}",
            file.display()
        )));
    }
    let folder = file.parent().filter(|f| !f.as_os_str().is_empty());
    let found = read_folder(folder.unwrap_or(Path::new("."))).map_err(CliError::new)?;
    let errors: Vec<_> = found
        .diagnostics
        .iter()
        .filter(|d| d.is_error())
        .cloned()
        .collect();
    if !errors.is_empty() {
        let report = Report::new(&found.sources, errors, found.files);
        anstream::eprint!("{}", report.render(Format::Text, true));
    }
    Ok(found)
}

fn chosen<'f>(args: &RunArgs, found: &'f Found) -> Result<(String, &'f Entry), CliError> {
    let name = args.file.file_name().unwrap_or_default().to_string_lossy();
    let of_file = found
        .definitions
        .iter()
        .filter(|(_, (_, file))| **file == *name);
    let of_file: Vec<_> = of_file
        .filter(|(name, _)| {
            args.workflow_type
                .as_ref()
                .is_none_or(|wanted| wanted == *name)
        })
        .collect();
    match of_file.as_slice() {
        [(name, (entry, _))] => Ok(((*name).clone(), entry)),
        [] => Err(
            CliError::new(format!("no sound definition is in {}", args.file.display()))
                .help("`segno lint` says what is wrong with it"),
        ),
        several => {
            let names: Vec<_> = several.iter().map(|(name, _)| name.as_str()).collect();
            let message = format!("{} has several definitions", args.file.display());
            Err(CliError::usage(message).help(format!(
                "say which with --workflow-type: {}",
                names.join(", ")
            )))
        }
    }
}

/// What needs a cluster is said before anything runs.
fn check_needs(entry: &Entry, found: &Found) -> Result<(), CliError> {
    let types: BTreeSet<String> = found.definitions.keys().cloned().collect();
    let all: Vec<Need> = needs(&entry.loaded.program, &types);
    if all.is_empty() {
        return Ok(());
    }
    let mut error = CliError::new("the definition asks for what only a cluster has");
    for need in all {
        error = error.help(format!("{}: {}", need.location, need.what));
    }
    Err(error.help("`segno dev` starts a development server and a worker in one command"))
}

fn told(args: &RunArgs) -> Result<Vec<Told>, CliError> {
    let mut told = Vec::new();
    for text in &args.signal {
        let (name, input) = text.split_once('=').unwrap_or((text, ""));
        let input = match input {
            "" => Vec::new(),
            input => {
                let value = parse_json(input.as_bytes()).map_err(|error| {
                    CliError::usage(format!(
                        "the argument of the signal `{name}` is no JSON: {}",
                        error.0
                    ))
                })?;
                vec![Payload::from_value(&value).map_err(|error| CliError::usage(error.0))?]
            }
        };
        told.push(Told::Signal(name.to_owned(), input));
    }
    told.extend(args.cancel.clone().map(Told::Cancel));
    Ok(told)
}

/// The run that has not ended, if it is the one that is meant.
fn going_on(
    begun: Begun,
    workflow_type: &str,
    args: &RunArgs,
    input: Vec<Payload>,
    output: Output,
) -> Result<Begun, CliError> {
    let is_other_input = !input.is_empty() && input != begun.input;
    if begun.workflow_type != workflow_type || is_other_input {
        let what = match is_other_input {
            true => "with another input".to_owned(),
            false => format!("of the workflow type `{}`", begun.workflow_type),
        };
        let message = format!(
            "the run `{}` in {} has not ended, and began {what}",
            begun.workflow_id,
            args.state.display()
        );
        return Err(CliError::new(message).help(
            "the command that began it goes on with it; --new forgets it; --workflow-id begins another beside it",
        ));
    }
    output.remark(format!(
        "going on with `{}`, which began at {}",
        begun.workflow_id, begun.begun_at
    ));
    Ok(begun)
}

async fn leaves() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn report(ended: Ended, timeline: &Arc<Timeline>, output: Output) -> Result<End, CliError> {
    match ended {
        Ended::Closed(Outcome::Completed(payload)) => {
            let value = payload.decode().map_err(|error| CliError::new(error.0))?;
            let json = to_json(&value).map_err(CliError::new)?;
            output.line(match output.is_json() {
                true => json.to_string(),
                false => format!("{json:#}"),
            })?;
            Ok(End::Done)
        }
        Ended::Closed(Outcome::Failed(failure)) => {
            let each: Vec<_> = failure.chain().map(|f| f.message.clone()).collect();
            Err(CliError::new(format!(
                "the workflow failed: {}",
                each.join(": ")
            )))
        }
        Ended::Closed(Outcome::TimedOut) => Err(CliError::new("the workflow timed out")),
        Ended::Closed(_) => Err(CliError::new("the workflow ended as cancelled")),
        Ended::Waits => {
            let open = timeline
                .entries()
                .into_iter()
                .filter(|entry| entry.ended.is_none());
            let places: Vec<_> = open.map(|e| format!("{} ({})", e.place, e.step)).collect();
            Err(CliError::new(
                "the run waits for something from outside, and nothing else is under way",
            )
            .help(format!("it waits at {}", places.join(", ")))
            .help("the same command with --signal NAME=JSON sends a signal and goes on"))
        }
        Ended::Left => {
            output.remark("the run is kept: the same command goes on with it");
            Ok(End::Failed)
        }
    }
}

fn of_local(error: LocalError) -> CliError {
    match error {
        LocalError::Journal(error) => of_journal(error),
        error => CliError::new(error),
    }
}

fn of_journal(error: JournalError) -> CliError {
    let help = match &error {
        JournalError::Busy(_) => {
            Some("end that one with Ctrl-C, which keeps its run, or use another file with --state")
        }
        JournalError::Version(..) | JournalError::Malformed(..) => Some(
            "use another file with --state, or remove this one: the runs in it that have not ended go with it",
        ),
        JournalError::Database(..) => None,
    };
    let error = CliError::new(error);
    match help {
        Some(help) => error.help(help),
        None => error,
    }
}
