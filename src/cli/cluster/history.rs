//! `segno history`: a run's events, as a timeline for people or as Temporal's own JSON.

use clap::Args;

use super::WorkflowArgs;
use super::connection::ConnectionArgs;
use crate::cli::output::{CliError, End, Output, Tone};
use crate::client::{EventLook, EventSummary, event_summaries, history_to_json};
use crate::value::{Duration, Timestamp};

#[derive(Debug, Args)]
pub struct HistoryArgs {
    #[command(flatten)]
    workflow: WorkflowArgs,
    /// Leave out the workflow tasks: what happened, not how it was computed
    #[arg(long)]
    brief: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub async fn run(args: HistoryArgs, output: Output) -> Result<End, CliError> {
    let client = args.connection.connect().await?;
    let progress = output.progress("reading the history".to_owned());
    let history = client.history(&args.workflow.reference()).await?;
    drop(progress);
    if output.is_json() {
        output.json(&history_to_json(&history).map_err(CliError::new)?)?;
        return Ok(End::Done);
    }
    let events = event_summaries(&history);
    let first = events.first().and_then(|e| e.time);
    let shown = |e: &&EventSummary| !args.brief || e.look != EventLook::Bookkeeping;
    let rows = events
        .iter()
        .filter(shown)
        .map(|event| row(event, first))
        .collect();
    output.table(&["id", "after", "event", "about", "step"], rows)?;
    Ok(End::Done)
}

fn row(event: &EventSummary, first: Option<Timestamp>) -> Vec<(Tone, String)> {
    let tone = match event.look {
        EventLook::Bookkeeping => Tone::Dim,
        EventLook::Plain => Tone::Plain,
        EventLook::Success => Tone::Good,
        EventLook::Failure => Tone::Bad,
    };
    let after = first
        .zip(event.time)
        .and_then(|(first, time)| time.since(first));
    vec![
        (Tone::Dim, event.id.to_string()),
        (Tone::Dim, after.map(after_text).unwrap_or_default()),
        (tone, event.name.clone()),
        (Tone::Plain, event.subject.replace('\n', " ")),
        (Tone::Dim, event.summary.clone()),
    ]
}

/// Milliseconds are enough to read a timeline by.
fn after_text(after: Duration) -> String {
    let millis = after.as_nanos() / 1_000_000;
    let (seconds, millis) = (millis / 1000, millis % 1000);
    match seconds {
        0..60 => format!("{seconds}.{millis:03}s"),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}
