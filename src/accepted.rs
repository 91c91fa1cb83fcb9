//! What Temporal accepts as the values of options: one rule for each option, for the checker before a run and the
//! engine during it. The server refuses the whole workflow task for a value that breaks one, again at each attempt.

mod cron;
mod request;
mod schedule;

use std::fmt::Display;

use crate::limits::{FAIRNESS_KEY_SIZE_BYTES_MAX, ID_SIZE_BYTES_MAX};
use crate::value::{Duration, Value};

pub(crate) use cron::{
    cron_schedule, next_time as next_cron_time, split_zone as split_cron_zone, word as cron_word,
    written_zone, zone,
};
pub(crate) use request::{grpc_metadata, http_header, http_method};
pub(crate) use schedule::{
    Calendar, FIELDS as CALENDAR_FIELDS, Range, ScheduleError, Times as ScheduleTimes, check_order,
};
pub use schedule::{Interval, OverlapPolicy, ScheduleSpec};

/// Temporal's levels of priority: 1 is the most urgent.
const PRIORITY_KEYS: std::ops::RangeInclusive<i64> = 1..=5;
/// Temporal clamps values outside.
const FAIRNESS_WEIGHTS: std::ops::RangeInclusive<f64> = 0.001..=1000.0;

/// The factor by which each wait before a retry is longer than the last.
pub(crate) fn backoff_coefficient(value: &Value) -> Result<f64, String> {
    match number(value)? {
        n if n >= 1.0 && n.is_finite() => Ok(n),
        n => wrong(
            "a backoff coefficient is at least 1 (1 keeps the interval as it is)",
            n,
        ),
    }
}

pub(crate) fn maximum_attempts(value: &Value) -> Result<u32, String> {
    let n = whole_number(value)?;
    u32::try_from(n)
        .ok()
        .filter(|n| i32::try_from(*n).is_ok())
        .map_or_else(
            || {
                wrong(
                    "the number of attempts is from 0, which is without bound, to 2147483647",
                    n,
                )
            },
            Ok,
        )
}

pub(crate) fn priority_key(value: &Value) -> Result<i32, String> {
    match whole_number(value)? {
        n if PRIORITY_KEYS.contains(&n) => Ok(n as i32),
        n => wrong("a priority key is from 1, the most urgent, to 5", n),
    }
}

pub(crate) fn fairness_weight(value: &Value) -> Result<f32, String> {
    match number(value)? {
        n if FAIRNESS_WEIGHTS.contains(&n) => Ok(n as f32),
        n => wrong("a fairness weight is from 0.001 to 1000", n),
    }
}

pub(crate) fn fairness_key(value: &Value) -> Result<String, String> {
    let key = text(value)?;
    if key.len() > FAIRNESS_KEY_SIZE_BYTES_MAX {
        return Err(format!(
            "a fairness key has at most {FAIRNESS_KEY_SIZE_BYTES_MAX} bytes (FAIRNESS_KEY_SIZE_BYTES_MAX), and this one has {}",
            key.len()
        ));
    }
    Ok(key)
}

/// The number of turns of a loop that run at the same time.
pub(crate) fn concurrency(value: &Value) -> Result<usize, String> {
    match whole_number(value)? {
        n if n >= 1 => Ok(usize::try_from(n).unwrap_or(usize::MAX)),
        n => wrong("at least 1 goes at a time", n),
    }
}

/// A task queue, an id or a type: a name on the server.
pub(crate) fn name(value: &Value) -> Result<String, String> {
    let name = text(value)?;
    if name.is_empty() {
        return Err("a name or an id is expected, and this is empty".to_owned());
    }
    if name.len() > ID_SIZE_BYTES_MAX {
        return Err(format!(
            "Temporal takes at most {ID_SIZE_BYTES_MAX} bytes here (ID_SIZE_BYTES_MAX), and this has {}",
            name.len()
        ));
    }
    Ok(name)
}

/// A length, which Temporal would treat as unset if it were 0.
pub(crate) fn length(duration: Duration) -> Result<Duration, String> {
    if duration == Duration::default() || duration.is_negative() {
        return Err(format!(
            "a timeout or an interval is longer than 0s, and this is {duration}; leave it out for Temporal's default"
        ));
    }
    Ok(duration)
}

/// A heartbeat timeout of 0s means none: it removes a default.
pub(crate) fn heartbeat_timeout(duration: Duration) -> Result<Duration, String> {
    if duration.is_negative() {
        return Err(format!("a timeout is not negative, as {duration} is"));
    }
    Ok(duration)
}

/// The two intervals of a retry policy: the first wait, and the longest.
pub(crate) fn intervals(
    initial: Option<Duration>,
    maximum: Option<Duration>,
) -> Result<(), String> {
    /// Temporal's default.
    const INITIAL: Duration = Duration {
        seconds: 1,
        nanos: 0,
    };
    let initial = initial.unwrap_or(INITIAL);
    match maximum {
        Some(maximum) if maximum < initial => Err(format!(
            "the maximum interval, {maximum}, is shorter than the initial interval, {initial}"
        )),
        _ => Ok(()),
    }
}

pub(crate) fn whole_number(value: &Value) -> Result<i64, String> {
    match value {
        Value::Int(number) => Ok(*number),
        Value::Uint(number) => i64::try_from(*number).map_err(|_| {
            format!(
                "a whole number up to {} is expected, not {number}",
                i64::MAX
            )
        }),
        Value::Double(number) if number.fract() == 0.0 && number.abs() < 1e15 => Ok(*number as i64),
        Value::Double(number) => wrong("a whole number is expected", number),
        other => wrong("a whole number is expected", other.type_name()),
    }
}

pub(crate) fn number(value: &Value) -> Result<f64, String> {
    match value {
        Value::Int(number) => Ok(*number as f64),
        Value::Uint(number) => Ok(*number as f64),
        Value::Double(number) => Ok(*number),
        other => wrong("a number is expected", other.type_name()),
    }
}

pub(crate) fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.to_string()),
        other => wrong("a string is expected", other.type_name()),
    }
}

fn wrong<T>(rule: &str, found: impl Display) -> Result<T, String> {
    Err(format!("{rule}, and this is {found}"))
}
