//! `segno history`: a run's events, as a timeline for people or as Temporal's own JSON.

use clap::Args;
use serde_json::{Value as Json, json};

use crate::cli::args::WorkflowArgs;
use crate::cli::args::connection::ConnectionArgs;
use crate::cli::error::{CliError, End};
use crate::cli::print::payload::refuse_encoded;
use crate::cli::print::{Output, Tone};
use crate::client::{
    EventLook, EventSummary, Span, SpanState, event_summaries, history_to_json, shown_payloads,
    timeline,
};
use crate::value::{Duration, Timestamp};

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    workflow: WorkflowArgs,
    /// Leave out the workflow tasks
    #[arg(long)]
    brief: bool,
    /// Show what the run did, when, and how long each step took
    #[arg(long, conflicts_with = "brief")]
    timeline: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The shown parts that may be encoded.
const SHOWN: &str = "the name of a step or the message of a failure";

pub(crate) async fn run(args: HistoryArgs, output: Output) -> Result<End, CliError> {
    let client = args.connection.connect().await?;
    let progress = output.progress("reading the history".to_owned());
    let history = client.history(&args.workflow.reference()).await?;
    drop(progress);
    if args.timeline {
        let spans = timeline(&history);
        match output.is_json() {
            true => output.json(&spans.iter().map(span_json).collect())?,
            false => show_timeline(&spans, output)?,
        }
        refuse_encoded(SHOWN, &shown_payloads(&history, false))?;
        return Ok(End::Done);
    }
    if output.is_json() {
        // In the stored form, for other tools: what is encoded remains so.
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
    refuse_encoded(SHOWN, &shown_payloads(&history, !args.brief))?;
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

/// Milliseconds are enough for a timeline.
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

/// The width of a timeline's bars.
const BAR_WIDTH: i128 = 32;

fn show_timeline(spans: &[Span], output: Output) -> Result<(), CliError> {
    let first = spans.first().and_then(|span| span.begin);
    let last = spans
        .iter()
        .filter_map(|span| span.end.or(span.begin))
        .max();
    let whole = first
        .zip(last)
        .and_then(|(first, last)| last.since(first))
        .unwrap_or_default();
    let rows = spans.iter().map(|span| {
        let after = first
            .zip(span.begin)
            .and_then(|(first, begin)| begin.since(first));
        let tone = match span.state {
            SpanState::Completed | SpanState::ContinuedAsNew => Tone::Good,
            SpanState::Running => Tone::Bold,
            SpanState::Cancelled => Tone::Odd,
            SpanState::Failed | SpanState::TimedOut | SpanState::Terminated => Tone::Bad,
        };
        let step = if span.step.is_empty() {
            &span.what
        } else {
            &span.step
        };
        vec![
            (Tone::Plain, step.replace('\n', " ")),
            (
                Tone::Dim,
                if span.step.is_empty() {
                    String::new()
                } else {
                    span.what.clone()
                },
            ),
            (Tone::Dim, after.map(after_text).unwrap_or_default()),
            (
                Tone::Plain,
                span.length().map(after_text).unwrap_or_default(),
            ),
            (tone, bar(after.unwrap_or_default(), span.length(), whole)),
            (tone, state_text(span)),
        ]
    });
    output.table(
        &["step", "is", "after", "took", "", "state"],
        rows.collect(),
    )
}

/// The bar of what is still in progress reaches to the end.
fn bar(after: Duration, length: Option<Duration>, whole: Duration) -> String {
    let scaled = |part: Duration| match whole.as_nanos() {
        0 => 0,
        whole => part.as_nanos() * BAR_WIDTH / whole,
    };
    let offset = scaled(after).clamp(0, BAR_WIDTH - 1);
    let width = length
        .map_or(BAR_WIDTH, scaled)
        .clamp(1, BAR_WIDTH - offset);
    let repeated = |text: &str, count: i128| text.repeat(usize::try_from(count).unwrap_or(0));
    repeated("·", offset) + &repeated("█", width) + &repeated("·", BAR_WIDTH - offset - width)
}

fn state_text(span: &Span) -> String {
    let mut text = span.state.name().to_owned();
    if span.attempts > 1 {
        text += &format!(" at attempt {}", span.attempts);
    }
    if !span.failure.is_empty() {
        text += &format!(": {}", span.failure.replace('\n', " "));
    }
    text
}

fn span_json(span: &Span) -> Json {
    let time = |time: Option<Timestamp>| time.map(|t| t.to_string());
    json!({
        "step": span.step,
        "what": span.what,
        "begin": time(span.begin),
        "end": time(span.end),
        "state": span.state.name(),
        "attempts": span.attempts,
        "failure": span.failure,
    })
}
