//! `segno schedule`: creates, changes, shows and deletes schedules.

mod flags;
mod show;

use clap::{Args, Subcommand};
use serde_json::json;

use super::asked::{self, Starts};
use super::options::WorkflowOptionArgs;
use crate::cli::args::connection::ConnectionArgs;
use crate::cli::args::input::json_fields;
use crate::cli::args::registry::RegistryArgs;
use crate::cli::args::values::{key_value, name, timestamp};
use crate::cli::error::{CliError, End};
use crate::cli::print::Output;
use crate::cli::print::payload::refuse_encoded;
use crate::client::{Backfill, Client, Schedule, ScheduleChange, ScheduleSummary, StartOptions};
use crate::value::Timestamp;

use flags::{OverlapPolicyArgs, SpecArgs, usage};

const PAGE_SIZE_MAX: usize = 1000;
/// The server requires a note for a patch.
const NOTE_DEFAULT: &str = "no note was given";

#[derive(Debug, Args)]
pub(crate) struct ScheduleArgs {
    #[command(subcommand)]
    command: ScheduleCommand,
}

#[derive(Debug, Subcommand)]
enum ScheduleCommand {
    /// Create a schedule
    Create(Box<CreateArgs>),
    /// Change what the flags name and keep the rest
    Update(Box<UpdateArgs>),
    /// Show a schedule, what it has started and when it starts next
    Describe(OneArgs),
    /// List schedules
    List(ListArgs),
    /// Pause a schedule: it starts nothing until it is unpaused
    Pause(NoteArgs),
    /// Unpause a schedule: it starts again at its times
    Unpause(NoteArgs),
    /// Start a run now
    Trigger(TriggerArgs),
    /// Start now the runs of an interval of time, past or future
    Backfill(BackfillArgs),
    /// Delete a schedule; the runs that it started continue
    Delete(OneArgs),
}

#[derive(Debug, Args)]
struct IdArgs {
    /// The schedule's id
    #[arg(value_name = "SCHEDULE_ID", value_parser = name)]
    schedule_id: String,
}

#[derive(Debug, Args)]
struct OneArgs {
    #[command(flatten)]
    id: IdArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
struct CreateArgs {
    #[command(flatten)]
    id: IdArgs,
    /// The workflow type to start
    #[arg(long = "type", value_name = "TYPE", value_parser = name)]
    workflow_type: String,
    #[command(flatten)]
    spec: SpecArgs,
    /// A note that stays with the schedule, in JSON; may be given several times
    #[arg(long, value_name = "KEY=JSON", value_parser = key_value, help_heading = "About the schedule")]
    schedule_memo: Vec<(String, String)>,
    /// A search attribute of the schedule, in JSON; may be given several times
    #[arg(long, value_name = "KEY=JSON", value_parser = key_value, help_heading = "About the schedule")]
    schedule_search_attribute: Vec<(String, String)>,
    #[command(flatten, next_help_heading = "The workflow")]
    options: WorkflowOptionArgs,
    #[command(flatten)]
    checks: CheckArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
struct UpdateArgs {
    #[command(flatten)]
    id: IdArgs,
    /// The workflow type to start
    #[arg(long = "type", value_name = "TYPE", value_parser = name)]
    workflow_type: Option<String>,
    /// Reset everything that no flag names
    #[arg(long, requires = "workflow_type")]
    replace: bool,
    #[command(flatten)]
    spec: SpecArgs,
    /// The search attributes of the schedule, in JSON, instead of those it has; may be given several times
    #[arg(long, value_name = "KEY=JSON", value_parser = key_value, help_heading = "About the schedule")]
    schedule_search_attribute: Vec<(String, String)>,
    #[command(flatten, next_help_heading = "The workflow")]
    options: WorkflowOptionArgs,
    #[command(flatten)]
    checks: CheckArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The registry to consult before a schedule is created.
#[derive(Debug, Args)]
struct CheckArgs {
    #[command(flatten)]
    registry: RegistryArgs,
    /// Do not check the type and the input against the registry
    #[arg(long)]
    unchecked: bool,
}

impl CheckArgs {
    /// The flags and the definition: that in the folder of the flags, else that of the registry.
    async fn read(
        &self,
        options: &WorkflowOptionArgs,
        client: &Client,
        workflow_type: &str,
        flags: StartOptions,
    ) -> Result<StartOptions, CliError> {
        let plain = options.read(workflow_type, flags.clone())?;
        if self.unchecked || options.has_folder() {
            return Ok(plain);
        }
        let asked = asked::of_registry(&self.registry, client, Starts::Again, flags, plain).await?;
        Ok(asked.options)
    }
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Temporal's list filter, for instance "TemporalSchedulePaused = true"
    #[arg(long, short = 'q', default_value = "")]
    query: String,
    /// The maximum number of schedules
    #[arg(long, default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
struct NoteArgs {
    #[command(flatten)]
    id: IdArgs,
    /// The reason, which is kept with the schedule
    #[arg(long, value_name = "TEXT", alias = "reason", value_parser = name)]
    note: Option<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
struct TriggerArgs {
    #[command(flatten)]
    id: IdArgs,
    #[command(flatten)]
    overlap: OverlapPolicyArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
struct BackfillArgs {
    #[command(flatten)]
    id: IdArgs,
    /// The start of the interval, inclusive
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    start_time: Timestamp,
    /// The end of the interval, inclusive
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    end_time: Timestamp,
    #[command(flatten)]
    overlap: OverlapPolicyArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: ScheduleArgs, output: Output) -> Result<End, CliError> {
    match args.command {
        ScheduleCommand::Create(args) => create(*args, output).await,
        ScheduleCommand::Update(args) => update(*args, output).await,
        ScheduleCommand::Describe(args) => describe(args, output).await,
        ScheduleCommand::List(args) => list(args, output).await,
        ScheduleCommand::Pause(args) => pause(args, output).await,
        ScheduleCommand::Unpause(args) => unpause(args, output).await,
        ScheduleCommand::Trigger(args) => trigger(args, output).await,
        ScheduleCommand::Backfill(args) => backfill(args, output).await,
        ScheduleCommand::Delete(args) => delete(args, output).await,
    }
}

async fn create(args: CreateArgs, output: Output) -> Result<End, CliError> {
    // Mistakes in the flags are reported before any request to the cluster.
    let flags = args.options.flags()?;
    schedulable(args.options.read(&args.workflow_type, flags.clone())?)?;
    let mut schedule = Schedule {
        spec: args.spec.read()?,
        action: StartOptions::default(),
        memo: json_fields("--schedule-memo", &args.schedule_memo)?,
        search_attributes: json_fields(
            "--schedule-search-attribute",
            &args.schedule_search_attribute,
        )?,
    };
    let has_times = schedule.spec.has_times();
    let id = args.id.schedule_id;
    let client = args.connection.connect().await?;
    let checks = &args.checks;
    let action = checks.read(&args.options, &client, &args.workflow_type, flags);
    schedule.action = schedulable(action.await?)?;
    client.create_schedule(&id, schedule).await?;
    done(&id, "was created", &client, output)?;
    if !has_times {
        output.remark("it has no times, so only `segno schedule trigger` starts it");
    }
    Ok(End::Done)
}

async fn update(args: UpdateArgs, output: Output) -> Result<End, CliError> {
    let flags = args.options.flags()?;
    let action = match &args.workflow_type {
        Some(workflow_type) if args.replace => Some(schedulable(
            args.options.read(workflow_type, flags.clone())?,
        )?),
        workflow_type => {
            let mut said = flags.clone();
            said.workflow_type = workflow_type.clone().unwrap_or_default();
            (said != StartOptions::default()).then_some(said)
        }
    };
    let mut change = ScheduleChange {
        spec: args.spec.read()?,
        action,
        search_attributes: json_fields(
            "--schedule-search-attribute",
            &args.schedule_search_attribute,
        )?,
        replace: args.replace,
    };
    if change.is_empty() {
        return Err(CliError::usage("nothing to change: no flag was given")
            .help("list the flags with `segno schedule update --help`"));
    }
    let id = args.id.schedule_id;
    let client = args.connection.connect().await?;
    let checks = &args.checks;
    match &change.action {
        Some(said) if args.replace => {
            let workflow_type = said.workflow_type.clone();
            let action = checks.read(&args.options, &client, &workflow_type, flags);
            change.action = Some(schedulable(action.await?)?);
        }
        Some(said) if !(said.workflow_type.is_empty() && said.input.is_empty()) => {
            // The rest of what is started stays: only whether it can be started is checked.
            let mut whole = client.describe_schedule(&id).await?.action;
            if !said.workflow_type.is_empty() {
                whole.workflow_type.clone_from(&said.workflow_type);
            }
            if !said.input.is_empty() {
                whole.input.clone_from(&said.input);
            }
            if !said.task_queue.is_empty() {
                whole.task_queue.clone_from(&said.task_queue);
            }
            let workflow_type = whole.workflow_type.clone();
            checks
                .read(&args.options, &client, &workflow_type, whole)
                .await?;
        }
        Some(_) | None => {}
    }
    client.update_schedule(&id, change).await?;
    done(&id, "was updated", &client, output)
}

/// A schedule defines its own times.
fn schedulable(options: StartOptions) -> Result<StartOptions, CliError> {
    match &options.cron_schedule {
        Some(cron) if !cron.is_empty() => Err(CliError::usage(format!(
            "the definition of {} has a `cron_schedule` under `start`, but the schedule already defines when it starts",
            options.workflow_type
        ))
        .help("remove it from the definition and pass its times to the schedule with --cron")),
        _ => Ok(options),
    }
}

async fn describe(args: OneArgs, output: Output) -> Result<End, CliError> {
    let id = args.id.schedule_id;
    let client = args.connection.connect().await?;
    let description = client.describe_schedule(&id).await?;
    match output.is_json() {
        true => output.json(&show::description_json(&id, &description))?,
        false => output.line(show::description_text(&id, &description))?,
    }
    let action = &description.action;
    refuse_encoded("the schedule's input", &action.input)?;
    if output.is_json() {
        refuse_encoded("the memo", action.memo.iter().map(|(_, payload)| payload))?;
    }
    Ok(End::Done)
}

async fn list(args: ListArgs, output: Output) -> Result<End, CliError> {
    let client = args.connection.connect().await?;
    let progress = output.progress("reading the list".to_owned());
    let mut schedules: Vec<ScheduleSummary> = Vec::new();
    let mut token = Some(Vec::new());
    while let Some(next) = token.take()
        && schedules.len() < args.limit
    {
        let page_size = (args.limit - schedules.len()).min(PAGE_SIZE_MAX) as i32;
        let (page, next) = client.schedules_page(&args.query, page_size, next).await?;
        schedules.extend(page);
        token = next;
    }
    let more = token.is_some() || schedules.len() > args.limit;
    schedules.truncate(args.limit);
    drop(progress);
    if output.is_json() {
        output.json(&schedules.iter().map(show::summary_json).collect())?;
        return Ok(End::Done);
    }
    let rows = schedules.iter().map(show::summary_row).collect();
    output.table(&["state", "schedule id", "type", "next", "note"], rows)?;
    if more {
        output.remark(format!("… and more: --limit is {}", args.limit));
    }
    Ok(End::Done)
}

async fn pause(args: NoteArgs, output: Output) -> Result<End, CliError> {
    let (id, note) = (args.id.schedule_id, args.note);
    let client = args.connection.connect().await?;
    let note = note.as_deref().unwrap_or(NOTE_DEFAULT);
    client.pause_schedule(&id, note).await?;
    done(&id, "is paused", &client, output)
}

async fn unpause(args: NoteArgs, output: Output) -> Result<End, CliError> {
    let (id, note) = (args.id.schedule_id, args.note);
    let client = args.connection.connect().await?;
    let note = note.as_deref().unwrap_or(NOTE_DEFAULT);
    client.unpause_schedule(&id, note).await?;
    done(&id, "is no longer paused", &client, output)
}

async fn trigger(args: TriggerArgs, output: Output) -> Result<End, CliError> {
    let id = args.id.schedule_id;
    let client = args.connection.connect().await?;
    client.trigger_schedule(&id, args.overlap.policy()).await?;
    done(&id, "was triggered", &client, output)
}

async fn backfill(args: BackfillArgs, output: Output) -> Result<End, CliError> {
    let backfill = Backfill {
        start_time: args.start_time,
        end_time: args.end_time,
        overlap_policy: args.overlap.policy(),
    };
    backfill.check().map_err(usage)?;
    let id = args.id.schedule_id;
    let client = args.connection.connect().await?;
    client.backfill_schedule(&id, &[backfill]).await?;
    let words = format!(
        "is being backfilled from {} to {}",
        args.start_time, args.end_time
    );
    done(&id, &words, &client, output)
}

async fn delete(args: OneArgs, output: Output) -> Result<End, CliError> {
    let id = args.id.schedule_id;
    let client = args.connection.connect().await?;
    client.delete_schedule(&id).await?;
    done(&id, "was deleted", &client, output)
}

fn done(id: &str, words: &str, client: &Client, output: Output) -> Result<End, CliError> {
    match output.is_json() {
        true => output.json(&json!({ "scheduleId": id, "namespace": client.namespace() }))?,
        false => output.line(format!("{id} {words}"))?,
    }
    Ok(End::Done)
}
