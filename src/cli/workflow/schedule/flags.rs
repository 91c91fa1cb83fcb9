//! The flags for when a schedule starts something, and under which conditions.

use clap::{Args, ValueEnum};

use crate::accepted::{Calendar, Interval, OverlapPolicy, ScheduleError, ScheduleSpec};
use crate::cli::args::values::timestamp;
use crate::cli::error::CliError;
use crate::value::{Duration, Timestamp};

#[derive(Debug, Args)]
#[command(next_help_heading = "Times")]
pub(crate) struct SpecArgs {
    /// Start at an interval, such as 45m, or with an offset, such as 6h/5h; may be given several times
    #[arg(long, value_name = "DURATION", value_parser = Interval::parse, allow_hyphen_values = true)]
    interval: Vec<Interval>,
    /// Start at the matching times, such as {"dayOfWeek":"Mon-Fri","hour":"17","minute":"5"}; may be given several times
    #[arg(long, value_name = "JSON", value_parser = calendar)]
    calendar: Vec<Calendar>,
    /// Start at the times of a cron string, such as "30 12 * * Fri" or @daily; may be given several times
    #[arg(long, value_name = "CRON")]
    cron: Vec<String>,
    /// Do not start at the matching times, written as for --calendar; may be given several times
    #[arg(long, value_name = "JSON", value_parser = calendar)]
    skip: Vec<Calendar>,
    /// The time zone of calendars and cron strings, for instance Europe/Berlin [default: UTC]
    #[arg(long, value_name = "NAME")]
    time_zone: Option<String>,
    /// Start nothing before this time
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    start_time: Option<Timestamp>,
    /// Start nothing after this time
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    end_time: Option<Timestamp>,
    /// Delay each start by a random length up to this one
    #[arg(long, value_name = "DURATION", value_parser = Duration::parse, allow_hyphen_values = true)]
    jitter: Option<Duration>,
    #[command(flatten)]
    policies: SchedulePolicyArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Policies")]
struct SchedulePolicyArgs {
    #[command(flatten)]
    overlap: OverlapPolicyArgs,
    /// How late a missed start is still made up for after the server was down [default: a year]
    #[arg(long, value_name = "DURATION", value_parser = Duration::parse, allow_hyphen_values = true)]
    catchup_window: Option<Duration>,
    /// Pause the schedule when a workflow fails
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pause_on_failure: Option<bool>,
    /// The maximum number of starts; 0 is unlimited
    #[arg(long, value_name = "COUNT")]
    remaining_actions: Option<u32>,
    /// Start nothing until it is unpaused
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    paused: Option<bool>,
    /// A note, which pausing and unpausing replace
    #[arg(long, value_name = "TEXT")]
    notes: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct OverlapPolicyArgs {
    /// What happens if the last run of the schedule is still running [default: skip, or the schedule's]
    #[arg(long, value_enum)]
    overlap_policy: Option<OverlapWord>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "kebab-case")]
enum OverlapWord {
    #[value(alias = "Skip")]
    Skip,
    #[value(alias = "BufferOne")]
    BufferOne,
    #[value(alias = "BufferAll")]
    BufferAll,
    #[value(alias = "CancelOther")]
    CancelOther,
    #[value(alias = "TerminateOther")]
    TerminateOther,
    #[value(alias = "AllowAll")]
    AllowAll,
}

impl OverlapPolicyArgs {
    pub(crate) fn policy(&self) -> Option<OverlapPolicy> {
        self.overlap_policy.map(|word| match word {
            OverlapWord::Skip => OverlapPolicy::Skip,
            OverlapWord::BufferOne => OverlapPolicy::BufferOne,
            OverlapWord::BufferAll => OverlapPolicy::BufferAll,
            OverlapWord::CancelOther => OverlapPolicy::CancelOther,
            OverlapWord::TerminateOther => OverlapPolicy::TerminateOther,
            OverlapWord::AllowAll => OverlapPolicy::AllowAll,
        })
    }
}

impl SpecArgs {
    pub(crate) fn read(&self) -> Result<ScheduleSpec, CliError> {
        let policies = &self.policies;
        let spec = ScheduleSpec {
            intervals: self.interval.clone(),
            calendars: self.calendar.clone(),
            cron: self.cron.clone(),
            skip: self.skip.clone(),
            start_time: self.start_time,
            end_time: self.end_time,
            jitter: self.jitter,
            time_zone: self.time_zone.clone(),
            overlap_policy: policies.overlap.policy(),
            catchup_window: policies.catchup_window,
            pause_on_failure: policies.pause_on_failure,
            remaining_actions: policies.remaining_actions,
            paused: policies.paused,
            notes: policies.notes.clone(),
        };
        spec.check().map_err(usage)?;
        Ok(spec)
    }
}

/// The error, under the flag's name.
pub(crate) fn usage(error: ScheduleError) -> CliError {
    let flag = match error.key {
        "intervals" => "interval".to_owned(),
        "calendars" => "calendar".to_owned(),
        key => key.replace('_', "-"),
    };
    CliError::usage(format!("--{flag}: {}", error.message))
}

fn calendar(text: &str) -> Result<Calendar, String> {
    serde_json::from_str(text)
        .map_err(|e| format!("{e}; expected e.g. '{{\"dayOfWeek\":\"Mon-Fri\",\"hour\":\"17\"}}'"))
}
