//! `segno run`: a definition in one process, durably, without a server.

mod choice;
mod teller;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;

use teller::Teller;

use crate::cli::args::input::{InputArgs, json_payload};
use crate::cli::args::policy::PolicyArgs;
use crate::cli::error::{CliError, End};
use crate::cli::print::{Output, warn};
use crate::diagnostic::did_you_mean;
use crate::local::{
    Begun, Ended, Journal, JournalError, Kept, LocalError, LocalRun, Told, draw_ids, machine_time,
};
use crate::registry::Found;
use crate::simulator::{Logged, Outcome};
use crate::timeline::Timeline;
use crate::value::{Payload, to_json};

const STATE_DEFAULT: &str = ".segno/run.db";

/// Run a definition in this process, durably, without a server
///
/// Its state is kept in a file: to continue an unfinished run, repeat the command without --new, --signal and --cancel. With them
/// the signal would be sent again, or a new run started. The worker's own activities (http, exec, grpc)
/// run in this process; children run definitions of the same folder. Progress is reported on standard error, and the result is printed as JSON.
///
/// Exit codes: 0 if the run completed, 1 if it did not, 2 if the command line is wrong.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  segno run workflows/poll-endpoint.yaml --input '{\"url\": \"http://localhost:8000/job\"}'\n  segno run approval.yaml --signal 'approve={\"by\": \"ada\"}'"
)]
pub(crate) struct RunArgs {
    /// The file with the definition
    file: PathBuf,
    #[command(flatten)]
    input: InputArgs,
    /// The workflow type, if the file has several definitions
    #[arg(long, value_name = "TYPE")]
    workflow_type: Option<String>,
    /// The run's name in the state file [default: the workflow type]
    #[arg(long, short = 'w', value_name = "ID")]
    workflow_id: Option<String>,
    /// The file that keeps the state of runs
    #[arg(long, value_name = "FILE", default_value = STATE_DEFAULT)]
    state: PathBuf,
    /// Discard the unfinished run of this name, and start another; to continue that one, leave this flag out
    #[arg(long)]
    new: bool,
    /// Send a signal first; may be given several times. Repeating the command sends it again
    #[arg(long, value_name = "NAME=JSON")]
    signal: Vec<String>,
    /// Cancel the run: it may clean up first
    #[arg(long, value_name = "REASON", num_args = 0..=1, default_missing_value = "")]
    cancel: Option<String>,
    #[command(flatten)]
    policy: PolicyArgs,
}

pub(crate) async fn run(args: RunArgs, output: Output) -> Result<End, CliError> {
    let found = choice::read(&args.file, output)?;
    let (workflow_type, entry) = choice::choose(&args.file, args.workflow_type.as_deref(), &found)?;
    choice::check_needs(entry, &found)?;
    let input = args.input.payloads()?;
    let told = told(&args)?;
    let activities = args.policy.activities()?;
    let journal = journal(&args.state)?;
    let workflow_id = args.workflow_id.as_deref().unwrap_or(workflow_type);
    let former = journal.kept(workflow_id).map_err(of_journal)?;
    let names: Vec<String> = told.iter().map(name).collect();
    let leaves = leaves();
    let local = match former {
        Some(former) if !args.new => {
            check_same(&former, workflow_type, &args, &input)?;
            let begun = former.begun;
            if let Some(outcome) = former.outcome {
                warn_of_end(&begun, &names);
                let end = report(&outcome, output)?;
                journal.given(begun.id).map_err(of_journal)?;
                return Ok(end);
            }
            output.remark(format!(
                "continuing `{}`, which started at {}",
                begun.workflow_id, begun.begun_at
            ));
            LocalRun::resume(journal, begun, told, activities)
        }
        former => {
            choice::check_input(entry, &input)?;
            let begun = beginning(workflow_id, workflow_type, input, &found);
            let instead_of = former.map(|former| former.begun.id);
            LocalRun::begin(journal, begun, told, instead_of, activities)
        }
    };
    let mut local = local.map_err(of_local)?;
    for signal in &args.signal {
        warn_of_unknown(signal.split('=').next().unwrap_or_default(), &local.signals);
    }
    say_what_was_taken(&local, &names, output);
    let timeline = local.timeline.clone();
    let mut teller = Teller::new(local.begun_at(), output);
    let moved = |timeline: &Timeline, logs: &[Logged]| teller.tell(timeline, logs);
    match local.run(leaves, moved).await.map_err(of_local)? {
        Ended::Closed(outcome) => {
            let end = report(&outcome, output)?;
            // If the process is killed before this, the next one prints the outcome again; if it is killed afterwards,
            // it was printed.
            local.given().map_err(of_local)?;
            Ok(end)
        }
        Ended::Waits => {
            Err(CliError::new(
                "the run waits for an event from outside, and nothing else is in progress",
            )
            .help(format!("it waits at {}", timeline.waits().unwrap_or_default()))
            .help("to send a signal and continue, run the same command with --signal NAME=JSON and without --new"))
        }
        Ended::Left => {
            output.remark(
                "the run is kept: to continue it, run the same command without --new and --signal",
            );
            Ok(End::Failed)
        }
    }
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
        begun_at: machine_time(),
        ids: draw_ids(),
        bundles: bundles
            .map(|(entry, _)| entry.bundle.bytes.clone())
            .collect(),
    }
}

/// The run accepts it anyway, as on a server.
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
        [] => "the definition receives no signals".to_owned(),
        names => format!("defined here: {}", names.join(", ")),
    });
    warn(
        &format!("nothing in the definition receives the signal `{signal}`"),
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

fn name(told: &Told) -> String {
    match told {
        Told::Signal(name, _) => format!("the signal `{name}`"),
        Told::Cancel(_) => "the request to cancel".to_owned(),
    }
}

/// Whether the run in the file matches the command.
fn check_same(
    kept: &Kept,
    workflow_type: &str,
    args: &RunArgs,
    input: &[Payload],
) -> Result<(), CliError> {
    let begun = &kept.begun;
    let is_other_input = !input.is_empty() && input != begun.input;
    if begun.workflow_type == workflow_type && !is_other_input {
        return Ok(());
    }
    let what = match is_other_input {
        true => "with a different input".to_owned(),
        false => format!("with the workflow type `{}`", begun.workflow_type),
    };
    let (state, help) = match &kept.outcome {
        None => (
            "has not ended",
            "continue it with the command that started it, discard it with --new, or start another beside it with --workflow-id",
        ),
        Some(_) => (
            "has ended, but its result has not been printed",
            "print the result with the command that started it, discard it with --new, or start another beside it with --workflow-id",
        ),
    };
    let message = format!(
        "the run `{}` in {} was started {what}, and {state}",
        begun.workflow_id,
        args.state.display()
    );
    Err(CliError::new(message).help(help))
}

/// It had ended before this process started.
fn warn_of_end(begun: &Begun, names: &[String]) {
    for name in names {
        let message = format!("{name} was not sent: `{}` has ended", begun.workflow_id);
        warn(
            &message,
            &["its result, which was not printed before, follows".to_owned()],
        );
    }
}

/// Reports what is recorded by now; a process that is killed before can only find it in the run.
fn say_what_was_taken(local: &LocalRun, names: &[String], output: Output) {
    for lost in &local.lost {
        output.remark(format!(
            "attempt {} of `{}` was running when the last process ended: it counts as timed out",
            lost.attempt, lost.activity_type
        ));
    }
    for (told, name) in local.told_now.iter().zip(names) {
        match told {
            Ok(()) => output.remark(format!("{name} was sent")),
            Err(refused) => warn(&format!("{name} was not sent: {refused}"), &[]),
        }
    }
}

/// Ctrl-C, or the end of the service that the process belongs to. After this call, these no longer kill the process.
#[cfg(unix)]
fn leaves() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut signals = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    async move {
        let [interrupted, terminated] = signals.each_mut().map(|signal| async {
            match signal {
                Ok(signal) => drop(signal.recv().await),
                Err(_) => std::future::pending().await,
            }
        });
        tokio::select! {
            () = interrupted => {}
            () = terminated => {}
        }
    }
}

#[cfg(not(unix))]
async fn leaves() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Prints it; an error means that it could not be printed.
fn report(outcome: &Outcome, output: Output) -> Result<End, CliError> {
    let result = match outcome {
        Outcome::Completed(payload) => result(payload),
        Outcome::Failed(failure) => {
            let each: Vec<_> = failure.chain().map(|f| f.message.clone()).collect();
            let message = format!("the workflow failed: {}", each.join(": "));
            Err(CliError::new(message))
        }
        Outcome::TimedOut => Err(CliError::new("the workflow timed out")),
        Outcome::Cancelled | Outcome::Terminated { .. } | Outcome::ContinuedAsNew => {
            Err(CliError::new("the workflow ended as cancelled"))
        }
    };
    match result {
        Ok(json) if output.is_json() => output.json_line(&json).map(|()| End::Done),
        Ok(json) => output.json(&json).map(|()| End::Done),
        Err(error) => {
            let printed = error.print();
            printed.map_err(|e| CliError::new(format!("cannot write the outcome: {e}")))?;
            Ok(End::Failed)
        }
    }
}

fn result(payload: &Payload) -> Result<serde_json::Value, CliError> {
    let value = payload.decode().map_err(|error| CliError::new(error.0))?;
    to_json(&value).map_err(CliError::new)
}

fn of_local(error: LocalError) -> CliError {
    match error {
        LocalError::Journal(error) => of_journal(error),
        LocalError::Refused(_) => CliError::new(error),
        LocalError::Stuck(_) | LocalError::Definition(_) => CliError::new(error).help(
            "continue it with another version of Segno, discard it with --new, or start another beside it with --workflow-id",
        ),
        LocalError::OtherVersion => CliError::new(error)
            .help("complete it with the version that started it, or discard it with --new"),
    }
}

fn of_journal(error: JournalError) -> CliError {
    let help = match &error {
        JournalError::Busy(_) => Some(
            "stop that process with Ctrl-C, which keeps its run, or use another file with --state",
        ),
        JournalError::Version(..) | JournalError::Malformed(..) => Some(
            "use another file with --state, or remove this one together with its unfinished runs",
        ),
        JournalError::Database(..) => None,
    };
    let error = CliError::new(error);
    match help {
        Some(help) => error.help(help),
        None => error,
    }
}
