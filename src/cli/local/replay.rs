//! `segno replay`: whether this version of Segno, or a changed definition, does the same as recorded histories.

mod changed;
mod source;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use futures_util::StreamExt;
use serde_json::{Value as Json, json};

use crate::cli::args::connection::ConnectionArgs;
use crate::cli::error::{CliError, End};
use crate::cli::print::{Output, Tone, styled};
use crate::client::ResolvedSettings;
use crate::worker::{Divergence, NoReplay, Replay, RunName, Side};
use changed::{Changed, changed};
use source::{Origin, Recorded};

/// Histories in memory at a time.
const AT_ONCE_MAX: usize = 8;

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Workflows whose histories to read from the server
    #[arg(value_name = "WORKFLOW_ID")]
    workflows: Vec<String>,
    /// The run of the workflow, if only one is named [default: the latest]
    #[arg(long, short = 'r', requires = "workflows", value_name = "RUN_ID")]
    run_id: Option<String>,
    /// Replay all runs that match Temporal's list filter, for instance "WorkflowType = 'order' AND ExecutionStatus = 'Running'"
    #[arg(long, short = 'q')]
    query: Option<String>,
    /// A file with a history in JSON, as `temporal workflow show --output json` and `segno history --output json` print it, or a folder of such files, like
    /// that of `segno test --histories`; may be given several times
    #[arg(long, short = 'f', value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Replay with the definitions of this folder or file instead of those that the runs are bound to
    #[arg(long, value_name = "PATH")]
    definitions: Option<PathBuf>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// A history and its verdict.
struct Checked {
    /// The file's name or the workflow's id.
    name: String,
    is_query: bool,
    run: RunName,
    /// The deployed version that it is bound to, such as order@12.
    version: String,
    verdict: Verdict,
}

enum Verdict {
    Replays,
    Diverges(Box<Divergence>),
    /// Its first workflow task has not completed.
    NotBegun,
    /// Not from a Segno worker, or of a type that the changed definitions do not have.
    NotConcerned(String),
    Unreadable(String),
}

pub(crate) async fn run(args: ReplayArgs, output: Output) -> Result<End, CliError> {
    if args.workflows.is_empty() && args.file.is_empty() && args.query.is_none() {
        return Err(CliError::usage("nothing to replay")
            .help("name workflows by their ids, --file with recorded histories, or a --query"));
    }
    if args.run_id.is_some() && args.workflows.len() > 1 {
        let message = format!(
            "--run-id needs exactly one workflow id; found {}",
            args.workflows.len()
        );
        return Err(CliError::usage(message));
    }
    let files = source::files(&args.file)?;
    let changed = match &args.definitions {
        Some(path) => Some(changed(path)?),
        None => None,
    };
    let by = Arc::new(By {
        changed,
        settings: args.connection.resolve()?,
    });
    let client = match args.workflows.is_empty() && args.query.is_none() {
        true => None,
        false => Some(args.connection.connect().await?),
    };
    let progress = output.progress("replaying".to_owned());
    let at_once = std::thread::available_parallelism().map_or(1, |n| n.get().min(AT_ONCE_MAX));
    let histories = source::histories(&args, files, client);
    // Each in a separate task, to use all cores.
    let checked = histories.map(|recorded| {
        let by = by.clone();
        tokio::spawn(async move { check(recorded?, &by).await })
    });
    let mut checked = std::pin::pin!(checked.buffered(at_once));
    let mut told = Vec::new();
    let mut counts = Counts::default();
    while let Some(one) = checked.next().await {
        let one = one.map_err(CliError::new)??;
        counts.add(&one);
        match output.is_json() {
            true => told.push(one.json()),
            false => one.print(output)?,
        }
    }
    drop(progress);
    if output.is_json() {
        output.json(&Json::from(told))?;
    } else if args.query.is_some() {
        output.line(counts.text())?;
    }
    counts.end()
}

/// How histories are replayed.
struct By {
    changed: Option<Changed>,
    settings: ResolvedSettings,
}

async fn check(recorded: Recorded, by: &By) -> Result<Checked, CliError> {
    let Recorded { origin, history } = recorded;
    let mut checked = Checked {
        is_query: matches!(origin, Origin::Query(_)),
        name: origin.name(),
        run: RunName::default(),
        version: String::new(),
        verdict: Verdict::Replays,
    };
    let history = match history {
        Ok(history) => history,
        Err(reason) => {
            checked.verdict = Verdict::Unreadable(reason);
            return Ok(checked);
        }
    };
    checked.run = RunName::of(&history).unwrap_or_default();
    let mut replay = Replay::default();
    if let Some(changed) = &by.changed {
        match changed.get(&checked.run.workflow_type) {
            Some(loaded) => replay.changed = Some(loaded.clone()),
            None if checked.run.workflow_type.is_empty() => {}
            None => {
                let workflow_type = &checked.run.workflow_type;
                checked.verdict = Verdict::NotConcerned(format!(
                    "--definitions has no definition of `{workflow_type}`"
                ));
                return Ok(checked);
            }
        }
    }
    checked.verdict = match replay.run(&history, &by.settings).await {
        Ok(replayed) => {
            let bound = replayed.bound;
            checked.version = bound
                .as_ref()
                .map(|b| b.bundle.version.clone())
                .unwrap_or_default();
            match (replayed.divergence, bound) {
                (Some(divergence), _) => Verdict::Diverges(divergence),
                (None, None) => Verdict::NotBegun,
                (None, Some(_)) => Verdict::Replays,
            }
        }
        Err(NoReplay::Worker(error)) => return Err(error.into()),
        Err(error @ NoReplay::Foreign) => Verdict::NotConcerned(error.to_string()),
        Err(error) => Verdict::Unreadable(error.to_string()),
    };
    Ok(checked)
}

impl Checked {
    fn print(&self, output: Output) -> Result<(), CliError> {
        let name = &self.name;
        match &self.verdict {
            Verdict::Replays => output.line(format!("{} {name}", styled(Tone::Good, "replays"))),
            Verdict::NotBegun => {
                let why = "its first workflow task has not completed, so it is not bound to a definition yet";
                output.line(format!("{} {name}: {why}", styled(Tone::Odd, "not begun")))
            }
            Verdict::Diverges(divergence) => {
                let diverges = styled(Tone::Bad, "diverges");
                output.line(format!("{diverges} {name}: {}", divergence.text()))?;
                match divergence.text().contains(&divergence.reason) {
                    true => Ok(()),
                    false => output.line(styled(Tone::Dim, format!("  {}", divergence.reason))),
                }
            }
            Verdict::NotConcerned(why) => output.line(format!(
                "{} {name}: {why}",
                styled(Tone::Odd, "not checked")
            )),
            Verdict::Unreadable(why) => {
                output.line(format!("{} {name}: {why}", styled(Tone::Bad, "unreadable")))
            }
        }
    }

    fn json(&self) -> Json {
        let (word, why) = match &self.verdict {
            Verdict::Replays => ("replays", None),
            Verdict::Diverges(divergence) => ("diverges", Some(divergence.text())),
            Verdict::NotBegun => ("not begun", None),
            Verdict::NotConcerned(why) => ("not checked", Some(why.clone())),
            Verdict::Unreadable(why) => ("unreadable", Some(why.clone())),
        };
        let divergence = match &self.verdict {
            Verdict::Diverges(divergence) => divergence_json(divergence),
            _ => Json::Null,
        };
        json!({
            "history": self.name,
            "workflowId": self.run.workflow_id,
            "runId": self.run.run_id,
            "workflowType": self.run.workflow_type,
            "version": self.version,
            "verdict": word,
            "replays": matches!(self.verdict, Verdict::Replays | Verdict::NotBegun),
            "failure": why,
            "divergence": divergence,
        })
    }
}

fn divergence_json(divergence: &Divergence) -> Json {
    let side = |side: &Side| {
        let places = side.places.iter();
        let places = places.map(|place| json!({ "step": place.step, "place": place.place }));
        json!({ "deed": side.deed, "steps": places.collect::<Vec<_>>() })
    };
    json!({
        "eventId": divergence.event_id,
        "history": side(&divergence.history),
        "definition": side(&divergence.definition),
        "reason": divergence.reason,
    })
}

#[derive(Default)]
struct Counts {
    all: u64,
    replay: u64,
    diverge: u64,
    not_begun: u64,
    not_concerned: u64,
    /// The number of named histories that could not be checked.
    wrong: u64,
}

impl Counts {
    fn add(&mut self, checked: &Checked) {
        self.all += 1;
        match checked.verdict {
            Verdict::Replays => self.replay += 1,
            Verdict::Diverges(_) => self.diverge += 1,
            Verdict::NotBegun => self.not_begun += 1,
            Verdict::NotConcerned(_) if checked.is_query => self.not_concerned += 1,
            Verdict::NotConcerned(_) | Verdict::Unreadable(_) => self.wrong += 1,
        }
    }

    fn text(&self) -> String {
        let parts = [
            (self.replay, "replay"),
            (self.diverge, "diverge"),
            (self.not_begun, "have not started"),
            (self.not_concerned, "were not checked"),
            (self.wrong, "could not be checked"),
        ];
        let parts = parts.iter().filter(|(count, _)| *count > 0);
        let parts: Vec<_> = parts
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        match self.all {
            0 => "no run matches the query".to_owned(),
            all => format!("of {all} runs {}", parts.join(", ")),
        }
    }

    fn end(&self) -> Result<End, CliError> {
        match (self.diverge, self.wrong) {
            (0, 0) => Ok(End::Done),
            (0, wrong) => {
                let message = format!("{wrong} of {} histories could not be checked", self.all);
                Err(CliError::usage(message))
            }
            _ => Ok(End::Failed),
        }
    }
}
