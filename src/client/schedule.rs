//! Schedules: what one says, as plain data that files and flags are read into, held to what the server takes.

mod calendar;
mod calls;
mod read;
mod write;

use serde::{Deserialize, Deserializer, de};

pub use calendar::Calendar;

use super::{StartOptions, WorkflowRef};
use crate::limits::{SCHEDULE_CATCHUP_WINDOW_SECONDS_MIN, SCHEDULE_INTERVAL_SECONDS_MIN};
use crate::value::{Duration, Map, Payload, Timestamp};

/// When something is started, and what happens around it. What is left out is the server's default, and stays as it was
/// where a schedule is changed.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleSpec {
    pub intervals: Vec<Interval>,
    pub calendars: Vec<Calendar>,
    /// Five fields, six with a year at the end or seven with a second at the beginning; a word like `@daily`.
    pub cron: Vec<String>,
    /// Times at which nothing is started, whatever the others say.
    pub skip: Vec<Calendar>,
    #[serde(deserialize_with = "timestamp")]
    pub start_time: Option<Timestamp>,
    #[serde(deserialize_with = "timestamp")]
    pub end_time: Option<Timestamp>,
    /// Each start is put off by a random length up to this one.
    #[serde(deserialize_with = "optional_duration")]
    pub jitter: Option<Duration>,
    /// Of calendars and cron strings, by its name in the IANA database.
    pub time_zone: Option<String>,
    pub overlap_policy: Option<OverlapPolicy>,
    /// How late a start may be made up for after the server was down.
    #[serde(deserialize_with = "optional_duration")]
    pub catchup_window: Option<Duration>,
    pub pause_on_failure: Option<bool>,
    /// How often it starts something at most; 0 is without bound.
    pub remaining_actions: Option<u32>,
    pub paused: Option<bool>,
    pub notes: Option<String>,
}

/// Every so often, counted from 1970-01-01T00:00:00Z and put off by the offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    #[serde(deserialize_with = "duration")]
    pub every: Duration,
    #[serde(deserialize_with = "duration", default)]
    pub offset: Duration,
}

/// What happens where the last run that the schedule started is still running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverlapPolicy {
    Skip,
    BufferOne,
    BufferAll,
    CancelOther,
    TerminateOther,
    AllowAll,
}

/// A whole schedule: when, and what is started then.
#[derive(Debug, Clone, Default)]
pub struct Schedule {
    pub spec: ScheduleSpec,
    /// A schedule uses neither its id policies nor its start delay.
    pub action: StartOptions,
    pub memo: Vec<(String, Payload)>,
    pub search_attributes: Vec<(String, Payload)>,
}

/// What a schedule is to become: what is not said stays.
#[derive(Debug, Clone, Default)]
pub struct ScheduleChange {
    pub spec: ScheduleSpec,
    /// Without a workflow type and a task queue those of the schedule are kept.
    pub action: Option<StartOptions>,
    /// All of them are replaced where there are any.
    pub search_attributes: Vec<(String, Payload)>,
    /// What is not said is reset instead.
    pub replace: bool,
}

/// A time in the past or to come through which a schedule goes at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Backfill {
    pub start_time: Timestamp,
    pub end_time: Timestamp,
    pub overlap_policy: Option<OverlapPolicy>,
}

/// A schedule as the server has it.
#[derive(Debug, Clone)]
pub struct ScheduleDescription {
    pub spec: ScheduleSpec,
    pub action: StartOptions,
    pub memo: Map,
    pub search_attributes: Map,
    pub actions: u64,
    pub missed_catchup_window: u64,
    pub overlap_skipped: u64,
    pub buffer_dropped: u64,
    pub buffered: u64,
    pub running: Vec<WorkflowRef>,
    pub recent: Vec<TakenAction>,
    pub next: Vec<Timestamp>,
    pub create_time: Option<Timestamp>,
    pub update_time: Option<Timestamp>,
}

/// A schedule as lists show it.
#[derive(Debug, Clone)]
pub struct ScheduleSummary {
    pub schedule_id: String,
    pub workflow_type: String,
    pub spec: ScheduleSpec,
    pub recent: Vec<TakenAction>,
    pub next: Vec<Timestamp>,
    pub memo: Map,
    pub search_attributes: Map,
}

/// A run that a schedule has started.
#[derive(Debug, Clone, PartialEq)]
pub struct TakenAction {
    pub schedule_time: Option<Timestamp>,
    pub actual_time: Option<Timestamp>,
    pub workflow: Option<WorkflowRef>,
    /// Temporal's word, as far as the schedule has heard.
    pub status: &'static str,
}

/// A value that the server would refuse, or take for something else.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("`{key}`: {message}")]
pub struct ScheduleError {
    /// The key of [`ScheduleSpec`].
    pub key: &'static str,
    pub message: String,
}

impl ScheduleError {
    fn new(key: &'static str, message: impl Into<String>) -> Self {
        ScheduleError {
            key,
            message: message.into(),
        }
    }
}

impl ScheduleSpec {
    /// Whether it says at which times something is started.
    pub fn has_times(&self) -> bool {
        !(self.intervals.is_empty() && self.calendars.is_empty() && self.cron.is_empty())
    }

    /// The first value that the server would refuse, or take for something else.
    pub fn check(&self) -> Result<(), ScheduleError> {
        for interval in &self.intervals {
            interval
                .check()
                .map_err(|why| ScheduleError::new("intervals", why))?;
        }
        for (key, calendars) in [("calendars", &self.calendars), ("skip", &self.skip)] {
            for calendar in calendars {
                let ranges = calendar.ranges();
                ranges.map_err(|why| ScheduleError::new(key, why))?;
            }
        }
        for cron in &self.cron {
            let zone = calendar::check_cron(cron).map_err(|why| {
                ScheduleError::new("cron", format!("`{cron}` is no cron string: {why}"))
            })?;
            if zone && self.time_zone.is_some() {
                let why = format!("`{cron}` names a time zone, and so does the schedule; keep one");
                return Err(ScheduleError::new("cron", why));
            }
        }
        if let Some(zone) = &self.time_zone {
            crate::accepted::zone(zone).map_err(|why| ScheduleError::new("time_zone", why))?;
        }
        self.check_bounds()
    }

    fn check_bounds(&self) -> Result<(), ScheduleError> {
        check_order(self.start_time, self.end_time)?;
        if self.jitter.is_some_and(Duration::is_negative) {
            let why = "a jitter is not negative; 0s is none";
            return Err(ScheduleError::new("jitter", why));
        }
        let window = self.catchup_window;
        if window.is_some_and(|w| w.seconds < SCHEDULE_CATCHUP_WINDOW_SECONDS_MIN) {
            let why = format!(
                "the server takes no window under {SCHEDULE_CATCHUP_WINDOW_SECONDS_MIN}s \
                 (SCHEDULE_CATCHUP_WINDOW_SECONDS_MIN)"
            );
            return Err(ScheduleError::new("catchup_window", why));
        }
        Ok(())
    }
}

fn check_order(start: Option<Timestamp>, end: Option<Timestamp>) -> Result<(), ScheduleError> {
    match (start, end) {
        (Some(start), Some(end)) if start > end => {
            let why = format!("the schedule ends at {end}, before it starts at {start}");
            Err(ScheduleError::new("end_time", why))
        }
        _ => Ok(()),
    }
}

impl ScheduleChange {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.spec == ScheduleSpec::default()
            && self.action.is_none()
            && self.search_attributes.is_empty()
            && !self.replace
    }
}

impl Interval {
    /// `6h`, or with an offset `6h/5h`.
    pub fn parse(text: &str) -> Result<Interval, String> {
        let (every, offset) = text.split_once('/').unwrap_or((text, "0s"));
        Ok(Interval {
            every: Duration::parse(every)?,
            offset: Duration::parse(offset)?,
        })
    }

    fn check(&self) -> Result<(), String> {
        let Interval { every, offset } = self;
        if every.seconds < SCHEDULE_INTERVAL_SECONDS_MIN {
            return Err(format!(
                "an interval is at least {SCHEDULE_INTERVAL_SECONDS_MIN}s (SCHEDULE_INTERVAL_SECONDS_MIN), and this one is {every}"
            ));
        }
        if every.nanos != 0 || offset.nanos != 0 {
            return Err("the server counts intervals and offsets in whole seconds".to_owned());
        }
        if offset.is_negative() || offset >= every {
            return Err(format!(
                "an offset is shorter than its interval and not negative: {offset} of {every}"
            ));
        }
        Ok(())
    }
}

impl OverlapPolicy {
    pub const ALL: [OverlapPolicy; 6] = [
        OverlapPolicy::Skip,
        OverlapPolicy::BufferOne,
        OverlapPolicy::BufferAll,
        OverlapPolicy::CancelOther,
        OverlapPolicy::TerminateOther,
        OverlapPolicy::AllowAll,
    ];

    /// Temporal's name.
    pub fn name(self) -> &'static str {
        match self {
            OverlapPolicy::Skip => "Skip",
            OverlapPolicy::BufferOne => "BufferOne",
            OverlapPolicy::BufferAll => "BufferAll",
            OverlapPolicy::CancelOther => "CancelOther",
            OverlapPolicy::TerminateOther => "TerminateOther",
            OverlapPolicy::AllowAll => "AllowAll",
        }
    }
}

impl Backfill {
    pub fn check(&self) -> Result<(), ScheduleError> {
        if self.start_time < self.end_time {
            return Ok(());
        }
        let why = format!(
            "the time to fill ends at {}, and does not begin before at {}",
            self.end_time, self.start_time
        );
        Err(ScheduleError::new("end_time", why))
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    Duration::parse(&text).map_err(de::Error::custom)
}

fn optional_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

fn timestamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = || de::Error::custom(format!("`{text}` is no time like 2030-01-31T09:00:00Z"));
    Timestamp::parse(&text).map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::{Interval, OverlapPolicy, ScheduleSpec};
    use crate::value::{Duration, Timestamp};

    #[test]
    fn a_specification_is_read_from_yaml() {
        let text = r#"
intervals: [{ every: 6h, offset: 5h }]
calendars: [{ hour: 9-17, minute: [0, 30], day_of_week: Mon-Fri }]
cron: ["@daily"]
start_time: 2030-01-01T00:00:00Z
jitter: 1m
time_zone: Europe/Berlin
overlap_policy: buffer_one
remaining_actions: 3
"#;
        let spec: ScheduleSpec = serde_yaml::from_str(text).unwrap();
        let interval = Interval {
            every: Duration::from_seconds(21_600),
            offset: Duration::from_seconds(18_000),
        };
        assert_eq!(spec.intervals, [interval]);
        assert_eq!(spec.calendars[0].minute.as_deref(), Some("0,30"));
        assert_eq!(spec.start_time, Timestamp::parse("2030-01-01T00:00:00Z"));
        assert_eq!(spec.overlap_policy, Some(OverlapPolicy::BufferOne));
        assert_eq!(spec.check(), Ok(()));
    }

    #[test]
    fn a_wrong_specification_says_where_and_what() {
        for (text, why) in [
            ("intervals: [{ every: soon }]", "`soon` is not a duration"),
            ("intervals: [{ offset: 1h }]", "missing field `every`"),
            ("calendars: [{ hours: 3 }]", "unknown field `hours`"),
            ("calendars: [{ hour: true }]", "a number, a text like"),
            ("start_time: tomorrow", "`tomorrow` is no time"),
            ("overlap_policy: never", "unknown variant `never`"),
            ("every: 1h", "unknown field `every`"),
            (
                "calendars: [{ hour: 24 }]",
                "`calendars`: `24` is no `hour`",
            ),
            (
                "time_zone: Mars/Olympus",
                "`time_zone`: there is no time zone",
            ),
            (
                "intervals: [{ every: 0s }]",
                "`intervals`: an interval is at least 1s",
            ),
        ] {
            let spec = serde_yaml::from_str::<ScheduleSpec>(text).map_err(|e| e.to_string());
            let wrong = spec.and_then(|spec| spec.check().map_err(|e| e.to_string()));
            let message = wrong.expect_err(text);
            assert!(message.contains(why), "{text}: {message}");
        }
    }
}
