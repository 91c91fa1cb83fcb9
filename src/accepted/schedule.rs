//! When a schedule starts something, and under which conditions: plain data, checked against what the server accepts.

mod calendar;
mod next;
mod normal;

use calendar::Cron;
pub(crate) use calendar::{Calendar, FIELDS, Range};
pub(crate) use next::Times;

use crate::limits::{SCHEDULE_CATCHUP_WINDOW_SECONDS_MIN, SCHEDULE_INTERVAL_SECONDS_MIN};
use crate::value::{Duration, Timestamp};

/// When something is started, and what happens around it. An unset field is the server's default, and keeps its value
/// if a schedule is changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScheduleSpec {
    pub intervals: Vec<Interval>,
    pub calendars: Vec<Calendar>,
    /// Five fields, six with a year at the end or seven with a second at the beginning; a word like `@daily`.
    pub cron: Vec<String>,
    /// Times at which nothing is started, even if the others match.
    pub skip: Vec<Calendar>,
    pub start_time: Option<Timestamp>,
    pub end_time: Option<Timestamp>,
    /// Each start is delayed by a random length up to this one.
    pub jitter: Option<Duration>,
    /// The time zone of calendars and cron strings, by its name in the IANA database.
    pub time_zone: Option<String>,
    pub overlap_policy: Option<OverlapPolicy>,
    /// How late a start may be made up for after the server was down.
    pub catchup_window: Option<Duration>,
    pub pause_on_failure: Option<bool>,
    /// The maximum number of starts; 0 is unlimited.
    pub remaining_actions: Option<u32>,
    pub paused: Option<bool>,
    pub notes: Option<String>,
}

/// An interval, counted from 1970-01-01T00:00:00Z and delayed by the offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    pub every: Duration,
    pub offset: Duration,
}

/// What happens if the last run that the schedule started is still running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverlapPolicy {
    Skip,
    BufferOne,
    BufferAll,
    CancelOther,
    TerminateOther,
    AllowAll,
}

/// A value that the server would refuse or misread.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("`{key}`: {message}")]
pub struct ScheduleError {
    /// The key of [`ScheduleSpec`].
    pub(crate) key: &'static str,
    /// The position in a list.
    pub(crate) index: usize,
    pub(crate) message: String,
}

impl ScheduleError {
    pub(crate) fn new(key: &'static str, message: impl Into<String>) -> Self {
        ScheduleError {
            key,
            index: 0,
            message: message.into(),
        }
    }
}

impl ScheduleSpec {
    /// Whether it has times at which something is started.
    pub(crate) fn has_times(&self) -> bool {
        !(self.intervals.is_empty() && self.calendars.is_empty() && self.cron.is_empty())
    }

    /// The first value that the server would refuse or misread.
    pub(crate) fn check(&self) -> Result<(), ScheduleError> {
        self.errors().into_iter().next().map_or(Ok(()), Err)
    }

    /// All such values.
    pub(crate) fn errors(&self) -> Vec<ScheduleError> {
        let mut errors = Vec::new();
        for (at, interval) in self.intervals.iter().enumerate() {
            errors.extend(held("intervals", at, interval.check()).err());
        }
        for (key, calendars) in [("calendars", &self.calendars), ("skip", &self.skip)] {
            for (at, calendar) in calendars.iter().enumerate() {
                errors.extend(held(key, at, calendar.ranges()).err());
            }
        }
        for (at, cron) in self.cron.iter().enumerate() {
            errors.extend(held("cron", at, self.check_cron(cron)).err());
        }
        if let Some(zone) = &self.time_zone {
            errors.extend(held("time_zone", 0, super::zone(zone)).err());
        }
        errors.extend(check_order(self.start_time, self.end_time).err());
        if self.jitter.is_some_and(Duration::is_negative) {
            let why = "a jitter must not be negative; 0s is none";
            errors.push(ScheduleError::new("jitter", why));
        }
        let window = self.catchup_window;
        if window.is_some_and(|w| w.seconds < SCHEDULE_CATCHUP_WINDOW_SECONDS_MIN) {
            let why = format!(
                "a catch-up window must be at least {SCHEDULE_CATCHUP_WINDOW_SECONDS_MIN}s \
                 (SCHEDULE_CATCHUP_WINDOW_SECONDS_MIN)"
            );
            errors.push(ScheduleError::new("catchup_window", why));
        }
        errors
    }

    fn check_cron(&self, cron: &str) -> Result<(), String> {
        let read =
            Cron::parse(cron).map_err(|why| format!("`{cron}` is not a cron string: {why}"))?;
        let Some(zone) = read.zone else {
            return Ok(());
        };
        if self.time_zone.is_some() {
            return Err(format!(
                "`{cron}` names a time zone, and so does the schedule; keep one"
            ));
        }
        // Wrong ones are reported separately.
        let mut others = self
            .cron
            .iter()
            .filter_map(|cron| Cron::parse(cron).ok()?.zone);
        match others.find(|other| *other != zone) {
            Some(other) => Err(format!(
                "`{cron}` names another time zone than `{other}`; a schedule has one time zone for all its times"
            )),
            None => Ok(()),
        }
    }
}

/// Reports an error under its key.
fn held<T>(key: &'static str, index: usize, read: Result<T, String>) -> Result<T, ScheduleError> {
    read.map_err(|message| ScheduleError {
        key,
        index,
        message,
    })
}

pub(crate) fn check_order(
    start: Option<Timestamp>,
    end: Option<Timestamp>,
) -> Result<(), ScheduleError> {
    match (start, end) {
        (Some(start), Some(end)) if start > end => {
            let why = format!("the schedule ends at {end}, before it starts at {start}");
            Err(ScheduleError::new("end_time", why))
        }
        _ => Ok(()),
    }
}

impl Interval {
    /// `6h`, or with an offset `6h/5h`.
    pub(crate) fn parse(text: &str) -> Result<Interval, String> {
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
                "an interval must be at least {SCHEDULE_INTERVAL_SECONDS_MIN}s (SCHEDULE_INTERVAL_SECONDS_MIN); found {every}"
            ));
        }
        if every.nanos != 0 || offset.nanos != 0 {
            return Err("the server counts intervals and offsets in whole seconds".to_owned());
        }
        if offset.is_negative() || offset >= every {
            return Err(format!(
                "an offset must be shorter than its interval and not negative; found {offset} of {every}"
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

    /// The definition's word.
    pub fn word(self) -> &'static str {
        match self {
            OverlapPolicy::Skip => "skip",
            OverlapPolicy::BufferOne => "buffer_one",
            OverlapPolicy::BufferAll => "buffer_all",
            OverlapPolicy::CancelOther => "cancel_other",
            OverlapPolicy::TerminateOther => "terminate_other",
            OverlapPolicy::AllowAll => "allow_all",
        }
    }

    /// Temporal's name.
    pub(crate) fn name(self) -> &'static str {
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
