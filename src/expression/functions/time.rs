//! Parts of timestamps, in UTC or in a time zone, and of durations.

use jiff::tz::TimeZone;

use super::{Call, Row, Section, row, string, unexpected};
use crate::expression::context::{Failure, Operand, Semantics};
use crate::expression::operators::{self, shown};
use crate::value::{Duration, Timestamp, Value};

pub(crate) const SECTION: Section = Section {
    title: "Time",
    extension: false,
    about: "Parts of a timestamp are those in UTC, or in the time zone given: a name of the IANA database, which is compiled in, or an offset such as `+02:00`.",
    rows: ROWS,
};

const ROWS: &[Row] = &[
    row(
        "timestamp.getFullYear() -> int",
        get_full_year,
        "The year.",
        &["timestamp(0).getFullYear() == 1970"],
    ),
    row(
        "timestamp.getFullYear(string) -> int",
        get_full_year,
        "The year in a time zone.",
        &["timestamp(0).getFullYear('-01:00') == 1969"],
    ),
    row(
        "timestamp.getMonth() -> int",
        get_month,
        "The month, from 0.",
        &["timestamp(0).getMonth() == 0"],
    ),
    row(
        "timestamp.getMonth(string) -> int",
        get_month,
        "The month in a time zone, from 0.",
        &["timestamp(0).getMonth('America/New_York') == 11"],
    ),
    row(
        "timestamp.getDate() -> int",
        get_date,
        "The day of the month, from 1.",
        &["timestamp(0).getDate() == 1"],
    ),
    row(
        "timestamp.getDate(string) -> int",
        get_date,
        "The day of the month in a time zone, from 1.",
        &["timestamp(0).getDate('America/New_York') == 31"],
    ),
    row(
        "timestamp.getDayOfMonth() -> int",
        get_day_of_month,
        "The day of the month, from 0.",
        &["timestamp(0).getDayOfMonth() == 0"],
    ),
    row(
        "timestamp.getDayOfMonth(string) -> int",
        get_day_of_month,
        "The day of the month in a time zone, from 0.",
        &["timestamp(0).getDayOfMonth('America/New_York') == 30"],
    ),
    row(
        "timestamp.getDayOfWeek() -> int",
        get_day_of_week,
        "The day of the week, 0 for Sunday.",
        &["timestamp(0).getDayOfWeek() == 4"],
    ),
    row(
        "timestamp.getDayOfWeek(string) -> int",
        get_day_of_week,
        "The day of the week in a time zone, 0 for Sunday.",
        &["timestamp(0).getDayOfWeek('America/New_York') == 3"],
    ),
    row(
        "timestamp.getDayOfYear() -> int",
        get_day_of_year,
        "The day of the year, from 0.",
        &["timestamp(0).getDayOfYear() == 0"],
    ),
    row(
        "timestamp.getDayOfYear(string) -> int",
        get_day_of_year,
        "The day of the year in a time zone, from 0.",
        &["timestamp(0).getDayOfYear('America/New_York') == 364"],
    ),
    row(
        "timestamp.getHours() -> int",
        get_hours,
        "The hour, 0 to 23.",
        &["timestamp(3600).getHours() == 1"],
    ),
    row(
        "timestamp.getHours(string) -> int",
        get_hours,
        "The hour in a time zone.",
        &["timestamp(0).getHours('Asia/Kathmandu') == 5"],
    ),
    row(
        "timestamp.getMinutes() -> int",
        get_minutes,
        "The minute of the hour.",
        &["timestamp(60).getMinutes() == 1"],
    ),
    row(
        "timestamp.getMinutes(string) -> int",
        get_minutes,
        "The minute of the hour in a time zone.",
        &["timestamp(0).getMinutes('Asia/Kolkata') == 30"],
    ),
    row(
        "timestamp.getSeconds() -> int",
        get_seconds,
        "The second of the minute.",
        &["timestamp(61).getSeconds() == 1"],
    ),
    row(
        "timestamp.getSeconds(string) -> int",
        get_seconds,
        "The second of the minute in a time zone.",
        &["timestamp(61).getSeconds('UTC') == 1"],
    ),
    row(
        "timestamp.getMilliseconds() -> int",
        get_milliseconds,
        "The millisecond of the second.",
        &["timestamp('1970-01-01T00:00:00.5Z').getMilliseconds() == 500"],
    ),
    row(
        "timestamp.getMilliseconds(string) -> int",
        get_milliseconds,
        "The millisecond of the second in a time zone.",
        &["timestamp('1970-01-01T00:00:00.5Z').getMilliseconds('UTC') == 500"],
    ),
    row(
        "duration.getHours() -> int",
        get_hours,
        "The whole hours of it.",
        &["duration('90m').getHours() == 1"],
    ),
    row(
        "duration.getMinutes() -> int",
        get_minutes,
        "The whole minutes of it.",
        &["duration('90m').getMinutes() == 90"],
    ),
    row(
        "duration.getSeconds() -> int",
        get_seconds,
        "The whole seconds of it.",
        &["duration('90m').getSeconds() == 5400"],
    ),
    row(
        "duration.getMilliseconds() -> int",
        get_milliseconds,
        "The milliseconds beyond the whole seconds.",
        &["duration('1.5s').getMilliseconds() == 500"],
    ),
];

/// A timestamp in a time zone, in calendar fields.
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    day_of_year: i64,
    day_of_week: i64,
    second_of_day: i64,
    nanos: i64,
}

const DAY_SECONDS: i64 = 86_400;

impl Civil {
    fn of(arguments: &[Operand]) -> Result<Civil, Failure> {
        let Value::Timestamp(timestamp) = &*arguments[0] else {
            return Err(unexpected(&arguments[0]));
        };
        let offset = match arguments.get(1) {
            Some(zone) => offset_seconds(string(zone)?, *timestamp)?,
            None => 0,
        };
        let seconds = timestamp.seconds + offset;
        let days = seconds.div_euclid(DAY_SECONDS);
        let (year, month, day) = Timestamp::date_of_day(days);
        Ok(Civil {
            year,
            month,
            day,
            day_of_year: days - Timestamp::day_of_date(year, 1, 1),
            // 1970-01-01 was a Thursday.
            day_of_week: (days + 4).rem_euclid(7),
            second_of_day: seconds.rem_euclid(DAY_SECONDS),
            nanos: i64::from(timestamp.nanos),
        })
    }
}

/// Seconds east of UTC.
fn offset_seconds(zone: &str, at: Timestamp) -> Result<i64, Failure> {
    if let Some(seconds) = fixed_offset(zone) {
        return Ok(seconds);
    }
    let zone = TimeZone::get(zone).map_err(|_| {
        Failure::new(format!(
            "unknown time zone {}; write a name such as 'Europe/Berlin' or an offset such as '+02:00'",
            shown(&Value::from(zone))
        ))
    })?;
    // The database's library excludes the first and the last hours of the range; they have the offsets next to them.
    let seconds = at.seconds.clamp(
        jiff::Timestamp::MIN.as_second(),
        jiff::Timestamp::MAX.as_second(),
    );
    let instant =
        jiff::Timestamp::from_second(seconds).map_err(|error| Failure::new(error.to_string()))?;
    Ok(i64::from(zone.to_offset(instant).seconds()))
}

/// `+HH:MM`, `-HH:MM`, and `HH:MM` for `+HH:MM`.
fn fixed_offset(zone: &str) -> Option<i64> {
    let (sign, digits) = match zone.as_bytes().first()? {
        b'-' => (-1, &zone[1..]),
        b'+' => (1, &zone[1..]),
        _ => (1, zone),
    };
    let (hours, minutes) = digits.split_once(':')?;
    let number = |text: &str| match text.len() {
        2 if text.bytes().all(|b| b.is_ascii_digit()) => text.parse::<i64>().ok(),
        _ => None,
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn int(value: i64) -> Result<Value, Failure> {
    Ok(Value::Int(value))
}

fn get_full_year(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    int(Civil::of(arguments)?.year)
}

fn get_month(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    int(Civil::of(arguments)?.month - 1)
}

fn get_date(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    int(Civil::of(arguments)?.day)
}

fn get_day_of_month(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    int(Civil::of(arguments)?.day - 1)
}

fn get_day_of_week(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    int(Civil::of(arguments)?.day_of_week)
}

fn get_day_of_year(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    int(Civil::of(arguments)?.day_of_year)
}

fn get_hours(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    match &*arguments[0] {
        Value::Duration(d) => int(d.seconds / 3600),
        _ => int(Civil::of(arguments)?.second_of_day / 3600),
    }
}

fn get_minutes(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    match &*arguments[0] {
        Value::Duration(d) => int(d.seconds / 60),
        _ => int(Civil::of(arguments)?.second_of_day / 60 % 60),
    }
}

fn get_seconds(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    match &*arguments[0] {
        Value::Duration(d) => int(d.seconds),
        _ => int(Civil::of(arguments)?.second_of_day % 60),
    }
}

fn get_milliseconds(_: &mut Call, arguments: &[Operand]) -> Result<Value, Failure> {
    match &*arguments[0] {
        Value::Duration(d) => int(i64::from(d.nanos) / 1_000_000),
        _ => int(Civil::of(arguments)?.nanos / 1_000_000),
    }
}

/// Numbers with units, as in CEL; otherwise what a step's fields accept.
pub(crate) fn parse_duration(text: &str, semantics: Semantics) -> Result<Duration, Failure> {
    let nanos = match parse_units(text) {
        Some(nanos) => nanos,
        None => Duration::parse(text).map_err(Failure::new)?.as_nanos(),
    };
    operators::duration(nanos, semantics)
}

/// `-1h2.5m`: a sign, then numbers, each with its unit.
fn parse_units(text: &str) -> Option<i128> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, after) = rest.split_at(number_end);
        let unit_end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        total = i128::checked_add(total, unit_nanos(number, unit)?)?;
        rest = after;
    }
    Some(sign * total)
}

fn unit_nanos(number: &str, unit: &str) -> Option<i128> {
    let scale: i128 = match unit {
        "h" => 3_600_000_000_000,
        "m" => 60_000_000_000,
        "s" => 1_000_000_000,
        "ms" => 1_000_000,
        "us" | "µs" | "μs" => 1_000,
        "ns" => 1,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() > 20 || whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let mut nanos = match whole {
        "" => 0,
        whole => whole.parse::<i128>().ok()?.checked_mul(scale)?,
    };
    let mut place = scale;
    for digit in fraction.bytes() {
        place /= 10;
        nanos += place * i128::from(digit - b'0');
    }
    Some(nanos)
}
