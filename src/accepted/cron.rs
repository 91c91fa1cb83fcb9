//! Cron expressions as the server reads them: five fields or a word, with an optional time zone before them.

mod next;

use std::ops::RangeInclusive;

pub(crate) use next::next_time;

use super::text;
use crate::value::{Duration, Value};

/// Words, and the fields that they abbreviate.
const WORDS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

struct Field {
    what: &'static str,
    numbers: RangeInclusive<u32>,
    /// The names of the numbers, beginning with the first.
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field::new("minute", 0..=59, &[]),
    Field::new("hour", 0..=23, &[]),
    Field::new("day of the month", 1..=31, &[]),
    Field::new("month", 1..=12, &MONTHS),
    Field::new("day of the week", 0..=6, &DAYS),
];

/// An empty one means none: it removes a default.
pub(crate) fn cron_schedule(value: &Value) -> Result<String, String> {
    let cron = text(value)?;
    if !cron.is_empty() {
        check(&cron).map_err(|why| {
            format!("`{cron}` is no cron schedule, like `0 12 * * *` or `@hourly`: {why}")
        })?;
    }
    Ok(cron)
}

fn check(cron: &str) -> Result<(), String> {
    let (zone, fields) = split_zone(cron);
    zone.map_or(Ok(()), written_zone)?;
    if let Some(every) = fields.strip_prefix("@every ") {
        return interval(every.trim());
    }
    if fields.starts_with('@') {
        return word(fields).map(drop);
    }
    let parts: Vec<_> = fields.split_whitespace().collect();
    if parts.len() != FIELDS.len() {
        return Err(format!(
            "it has five fields (minute, hour, day of the month, month, day of the week), and this one has {}",
            parts.len()
        ));
    }
    FIELDS
        .iter()
        .zip(parts)
        .try_for_each(|(field, text)| text.split(',').try_for_each(|part| field.check(part)))
}

/// The time zone before the fields, and the fields.
pub(crate) fn split_zone(cron: &str) -> (Option<&str>, &str) {
    let prefixes = ["CRON_TZ=", "TZ="];
    match prefixes.iter().find_map(|prefix| cron.strip_prefix(prefix)) {
        Some(rest) => {
            let (zone, fields) = rest.split_once(' ').unwrap_or((rest, ""));
            (Some(zone), fields.trim())
        }
        None => (None, cron.trim()),
    }
}

/// The fields that a word abbreviates.
pub(crate) fn word(text: &str) -> Result<&'static str, String> {
    let known = WORDS.iter().find(|(word, _)| *word == text);
    known.map(|(_, fields)| *fields).ok_or_else(|| {
        let words = WORDS.map(|(word, _)| word).join(", ");
        format!("the words are {words}, and `@every 90m`")
    })
}

/// A time zone's name as the database writes it.
pub(crate) fn zone(name: &str) -> Result<String, String> {
    let zone = jiff::tz::TimeZone::get(name);
    let known = zone.ok().and_then(|z| z.iana_name().map(str::to_owned));
    known.ok_or_else(|| {
        format!("there is no time zone `{name}`; they are named like `Europe/Berlin` and `UTC`")
    })
}

/// The server accepts a zone only in the database's spelling.
pub(crate) fn written_zone(name: &str) -> Result<(), String> {
    let written = zone(name)?;
    match written == name {
        true => Ok(()),
        false => Err(format!("the time zone `{name}` is written `{written}`")),
    }
}

/// Go's durations have no unit above hours.
fn interval(text: &str) -> Result<(), String> {
    let is_gos = !text.contains([' ', 'd', 'w', 'P']);
    match Duration::parse(text) {
        Ok(duration) if is_gos && duration > Duration::default() => Ok(()),
        _ => Err(format!(
            "`{text}` is no interval in hours, minutes and seconds, like `1h30m`"
        )),
    }
}

impl Field {
    const fn new(
        what: &'static str,
        numbers: RangeInclusive<u32>,
        names: &'static [&'static str],
    ) -> Self {
        Field {
            what,
            numbers,
            names,
        }
    }

    /// `*`, `5`, `1-5`, each with `/2` or without.
    fn check(&self, part: &str) -> Result<(), String> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        if let Some(step) = step
            && step.parse::<u32>().ok().is_none_or(|step| step == 0)
        {
            return Err(format!(
                "`{step}` is no step of the {}: a number from 1",
                self.what
            ));
        }
        if matches!(range, "*" | "?") {
            return Ok(());
        }
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (self.number(first)?, self.number(last)?);
        match first <= last {
            true => Ok(()),
            false => Err(format!(
                "`{range}` of the {} ends before it begins",
                self.what
            )),
        }
    }

    fn number(&self, text: &str) -> Result<u32, String> {
        let lower = text.to_ascii_lowercase();
        if let Some(at) = self.names.iter().position(|name| *name == lower) {
            return Ok(self.numbers.start() + at as u32);
        }
        let number = text.parse().ok().filter(|n| self.numbers.contains(n));
        number.ok_or_else(|| {
            format!(
                "`{text}` is no {}: they go from {} to {}",
                self.what,
                self.numbers.start(),
                self.numbers.end()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_takes_is_taken() {
        for cron in [
            "",
            "* * * * *",
            "*/5 0-6,22-23 1 JAN-mar,12 ? ",
            "0 12 * * MON-FRI",
            "CRON_TZ=Europe/Berlin 0 9 * * 1",
            "TZ=UTC @daily",
            "@every 1h30m",
            "@hourly",
            "5/15 * * * 0",
        ] {
            assert_eq!(check_text(cron), Ok(cron.to_owned()));
        }
    }

    #[test]
    fn what_the_server_refuses_is_refused() {
        for (cron, why) in [
            ("nonsense", "this one has 1"),
            ("* * * *", "this one has 4"),
            ("0 0 0 * * *", "this one has 6"),
            ("60 * * * *", "`60` is no minute: they go from 0 to 59"),
            ("* * 0 * *", "`0` is no day of the month"),
            ("* * * 13 *", "`13` is no month"),
            ("* * * * 7", "`7` is no day of the week"),
            ("5-1 * * * *", "`5-1` of the minute ends before it begins"),
            ("*/0 * * * *", "`0` is no step of the minute"),
            ("1,,2 * * * *", "`` is no minute"),
            (
                "CRON_TZ=Mars/Olympus 0 9 * * 1",
                "no time zone `Mars/Olympus`",
            ),
            (
                "TZ=europe/berlin @daily",
                "the time zone `europe/berlin` is written `Europe/Berlin`",
            ),
            ("@fortnightly", "the words are @yearly"),
            ("@every 1d", "`1d` is no interval"),
            ("@every soon", "`soon` is no interval"),
        ] {
            let message = check_text(cron).expect_err(cron);
            assert!(message.contains(why), "{cron}: {message}");
        }
    }

    fn check_text(cron: &str) -> Result<String, String> {
        cron_schedule(&Value::from(cron))
    }
}
