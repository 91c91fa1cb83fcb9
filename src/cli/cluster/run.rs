//! `segno run`: a definition in one process, durably, without a server.

mod choice;
mod teller;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use teller::Teller;

use super::input::{InputArgs, json_payload};
use super::worker::PolicyArgs;
use crate::cli::output::{CliError, End, Output, warn};
use crate::diagnostic::did_you_mean;
use crate::local::{
    Begun, Ended, Journal, JournalError, LocalError, LocalRun, Told, draw_ids, now,
};
use crate::registry::Found;
use crate::simulator::{Logged, Outcome};
use crate::timeline::Timeline;
use crate::value::{Payload, to_json};

const STATE_DEFAULT: &str = ".segno/run.db";

/// Run a definition in this process, durably, without a server
///
/// Its state is kept in a file: the same command, without --new, --signal and --cancel, goes on where a run was that has not ended. With them
/// it would be told again, or begin anew. The worker's own activities (http, exec, grpc)
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
    /// Forget the run of this name that has not ended, and begin another; the command that goes on is the one without
    #[arg(long)]
    new: bool,
    /// Send a signal first; may be given several times. A command that is repeated sends it again
    #[arg(long, value_name = "NAME=JSON")]
    signal: Vec<String>,
    /// Ask the run to end: it may clean up first
    #[arg(long, value_name = "REASON", num_args = 0..=1, default_missing_value = "")]
    cancel: Option<String>,
    #[command(flatten)]
    policy: PolicyArgs,
}

pub async fn run(args: RunArgs, output: Output) -> Result<End, CliError> {
    let found = choice::read(&args.file, output)?;
    let (workflow_type, entry) = choice::choose(&args.file, args.workflow_type.as_deref(), &found)?;
    choice::check_needs(entry, &found)?;
    let input = args.input.payloads()?;
    let told = told(&args)?;
    let activities = args.policy.activities()?;
    let mut journal = journal(&args.state)?;
    let workflow_id = args.workflow_id.as_deref().unwrap_or(workflow_type);
    let begun = match journal.open_run(workflow_id).map_err(of_journal)? {
        Some(begun) if !args.new => going_on(begun, workflow_type, &args, input, output)?,
        former => {
            choice::check_input(entry, &input)?;
            if let Some(former) = former {
                journal.close(former.id).map_err(of_journal)?;
            }
            let begun = beginning(workflow_id, workflow_type, input, &found);
            journal.begin(begun).map_err(of_journal)?
        }
    };
    let mut local = LocalRun::open(journal, begun, activities).map_err(of_local)?;
    for told in told {
        if let Told::Signal(name, _) = &told {
            warn_of_unknown(name, &local.signals);
        }
        local.tell(told).map_err(of_local)?;
    }
    let timeline = local.timeline.clone();
    let mut teller = Teller::new(local.begun_at(), output);
    let moved = |timeline: &Timeline, logs: &[Logged]| teller.tell(timeline, logs);
    let ended = local.run(leaves(), moved).await;
    report(ended.map_err(of_local)?, &timeline, output)
}

fn journal(state: &Path) -> Result<Journal, CliError> {
    let folder = state.parent().filter(|f| !f.as_os_str().is_empty());
    folder
        .map_or(Ok(()), std::fs::create_dir_all)
        .map_err(|error| {
            CliError::new(format!(
                "cannot make a folder for {}: {error}",
                state.display()
            ))
        })?;
    Journal::open(state).map_err(of_journal)
}

fn beginning(workflow_id: &str, workflow_type: &str, input: Vec<Payload>, found: &Found) -> Begun {
    let bundles = found.definitions.values();
    Begun {
        id: 0,
        workflow_id: workflow_id.to_owned(),
        workflow_type: workflow_type.to_owned(),
        input,
        begun_at: now(),
        ids: draw_ids(),
        bundles: bundles
            .map(|(entry, _)| entry.bundle.bytes.clone())
            .collect(),
    }
}

/// The run takes it all the same, as on a server.
fn warn_of_unknown(signal: &str, known: &BTreeSet<String>) {
    if known.contains(signal) || known.contains("*") {
        return;
    }
    let names: Vec<&str> = known.iter().map(String::as_str).collect();
    let mut help = Vec::new();
    if let Some(near) = did_you_mean(signal, names.iter().copied()) {
        help.push(format!("did you mean `{near}`?"));
    }
    help.push(match names.as_slice() {
        [] => "the definition takes no signals".to_owned(),
        names => format!("there are: {}", names.join(", ")),
    });
    warn(
        &format!("nothing in the definition takes the signal `{signal}`"),
        &help,
    );
}

fn told(args: &RunArgs) -> Result<Vec<Told>, CliError> {
    let mut told = Vec::new();
    for text in &args.signal {
        let (name, input) = text.split_once('=').unwrap_or((text, ""));
        let place = format!("the argument of the signal `{name}`");
        let input = match input {
            "" => Vec::new(),
            input => vec![json_payload(&place, input)?],
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
            Err(CliError::new(
                "the run waits for something from outside, and nothing else is under way",
            )
            .help(format!("it waits at {}", timeline.waits().unwrap_or_default()))
            .help("the same command with --signal NAME=JSON, and without --new, sends a signal and goes on"))
        }
        Ended::Left => {
            output.remark(
                "the run is kept: the same command, without --new and --signal, goes on with it",
            );
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
