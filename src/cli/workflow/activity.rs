//! `segno activity`: completes an activity from outside a worker.

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use crate::cli::args::connection::ConnectionArgs;
use crate::cli::args::input::{base64_bytes, payloads};
use crate::cli::error::{CliError, End};
use crate::cli::print::Output;
use crate::client::{ActivityRef, HeartbeatAnswer, WorkflowRef};
use crate::engine::failure::{Failure, FailureInfo};
use crate::value::{Payload, Value};

#[derive(Debug, Subcommand)]
pub(crate) enum ActivityCommand {
    /// Complete an activity with a result
    Complete(Box<CompleteArgs>),
    /// Fail an activity's attempt: its retry policy decides whether another one follows
    Fail(Box<FailArgs>),
    /// Record an activity's heartbeat: exits with 3 if the activity should stop
    Heartbeat(Box<HeartbeatArgs>),
    /// Report that an activity has ended because its cancellation was requested
    ReportCancellation(Box<ReportCancellationArgs>),
}

/// Which activity a command is about.
#[derive(Debug, Args)]
struct TargetArgs {
    /// The task token that the attempt was given, in base64
    #[arg(long, value_name = "BASE64", conflicts_with_all = ["workflow_id", "run_id", "activity_id"],
          required_unless_present = "activity_id")]
    task_token: Option<String>,
    /// The workflow's id; use it with --activity-id instead of a token to name the running attempt
    #[arg(long, short = 'w', requires = "activity_id")]
    workflow_id: Option<String>,
    /// The workflow's run [default: the latest]
    #[arg(long, short = 'r', requires = "activity_id")]
    run_id: Option<String>,
    /// The activity's id
    #[arg(long, short = 'a', requires = "workflow_id")]
    activity_id: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CompleteArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// The result, in JSON [default: none, which is read as null]
    #[arg(long, value_name = "JSON", conflicts_with = "result_file")]
    result: Option<String>,
    /// A file with the result in JSON, or - for standard input
    #[arg(long, value_name = "FILE")]
    result_file: Option<String>,
    /// The result is bytes in base64
    #[arg(long)]
    result_base64: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct FailArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// The failure's message
    #[arg(long, alias = "message", default_value = "")]
    reason: String,
    /// The failure's type, which `catch` and retry policies match
    #[arg(long = "type", value_name = "TYPE", default_value = "")]
    error_type: String,
    /// Do not retry, whatever the retry policy allows
    #[arg(long)]
    non_retryable: bool,
    #[command(flatten)]
    details: DetailArgs,
    /// Details of a last heartbeat, in JSON, which the next attempt receives
    #[arg(long, value_name = "JSON")]
    last_heartbeat_detail: Vec<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct HeartbeatArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    details: DetailArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReportCancellationArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    details: DetailArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
struct DetailArgs {
    /// A detail, in JSON; may be given several times
    #[arg(long, value_name = "JSON", conflicts_with = "detail_file")]
    detail: Vec<String>,
    /// A file with a detail in JSON, or - for standard input
    #[arg(long, value_name = "FILE")]
    detail_file: Vec<String>,
}

pub(crate) async fn run(command: ActivityCommand, output: Output) -> Result<End, CliError> {
    match command {
        ActivityCommand::Complete(args) => complete(*args, output).await,
        ActivityCommand::Fail(args) => fail(*args, output).await,
        ActivityCommand::Heartbeat(args) => heartbeat(*args, output).await,
        ActivityCommand::ReportCancellation(args) => report_cancellation(*args, output).await,
    }
}

async fn complete(args: CompleteArgs, output: Output) -> Result<End, CliError> {
    let activity = args.target.reference()?;
    let (texts, files) = (args.result.as_slice(), args.result_file.as_slice());
    let result = payloads("--result", texts, files, args.result_base64)?;
    let client = args.connection.connect().await?;
    client.complete_activity(&activity, result).await?;
    said(output, &activity, "was completed")
}

async fn fail(args: FailArgs, output: Output) -> Result<End, CliError> {
    let activity = args.target.reference()?;
    let details = args.details.payloads()?;
    let failure = Failure::new(
        args.reason,
        FailureInfo::Application {
            error_type: args.error_type,
            non_retryable: args.non_retryable,
            details: details.into_iter().map(Value::from).collect(),
            next_retry_delay: None,
        },
    );
    let last = &args.last_heartbeat_detail;
    let last = payloads("--last-heartbeat-detail", last, &[], false)?;
    let client = args.connection.connect().await?;
    client.fail_activity(&activity, &failure, last).await?;
    said(output, &activity, "was failed")
}

async fn heartbeat(args: HeartbeatArgs, output: Output) -> Result<End, CliError> {
    let activity = args.target.reference()?;
    let details = args.details.payloads()?;
    let client = args.connection.connect().await?;
    let answer = client.heartbeat_activity(&activity, details).await?;
    let wanted = wanted(answer);
    if output.is_json() {
        let mut json = named(&activity);
        json["cancelRequested"] = answer.is_cancel_requested.into();
        json["paused"] = answer.is_paused.into();
        json["reset"] = answer.is_reset.into();
        output.json(&json)?;
    } else {
        output.line(wanted.unwrap_or("go on"))?;
    }
    Ok(match wanted {
        Some(_) => End::Stop,
        None => End::Done,
    })
}

async fn report_cancellation(
    args: ReportCancellationArgs,
    output: Output,
) -> Result<End, CliError> {
    let activity = args.target.reference()?;
    let details = args.details.payloads()?;
    let client = args.connection.connect().await?;
    client
        .report_activity_cancellation(&activity, details)
        .await?;
    said(output, &activity, "was reported as cancelled")
}

/// Why an activity should stop, if it should.
fn wanted(answer: HeartbeatAnswer) -> Option<&'static str> {
    if answer.is_cancel_requested {
        Some("stop: its cancellation was requested")
    } else if answer.is_reset {
        Some("stop: it was reset")
    } else if answer.is_paused {
        Some("stop: it was paused")
    } else {
        None
    }
}

impl TargetArgs {
    fn reference(&self) -> Result<ActivityRef, CliError> {
        Ok(match &self.task_token {
            Some(token) => ActivityRef::Token(base64_bytes("--task-token", token)?),
            None => ActivityRef::Ids {
                workflow: WorkflowRef::new(
                    self.workflow_id.clone().unwrap_or_default(),
                    self.run_id.clone(),
                ),
                activity_id: self.activity_id.clone().unwrap_or_default(),
            },
        })
    }
}

impl DetailArgs {
    fn payloads(&self) -> Result<Vec<Payload>, CliError> {
        payloads("--detail", &self.detail, &self.detail_file, false)
    }
}

/// The activity as the user named it.
fn named(activity: &ActivityRef) -> Json {
    match activity {
        ActivityRef::Token(_) => json!({}),
        ActivityRef::Ids {
            workflow,
            activity_id,
        } => {
            let mut json = json!({ "workflowId": workflow.workflow_id, "activityId": activity_id });
            if let Some(run_id) = &workflow.run_id {
                json["runId"] = run_id.clone().into();
            }
            json
        }
    }
}

fn said(output: Output, activity: &ActivityRef, what: &str) -> Result<End, CliError> {
    match output.is_json() {
        true => output.json(&named(activity))?,
        false => output.line(format!("{activity} {what}"))?,
    }
    Ok(End::Done)
}
