//! Calendars and cron strings, read as the server reads them.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use super::Interval;
use crate::accepted::{cron_word, split_cron_zone, written_zone};

/// The times that match all fields. A field is `*`, a number, a range like `9-17`, each also with a step (`*/15`), a
/// name if months or days of the week have one, or several of these separated by commas.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Calendar {
    #[serde(deserialize_with = "field")]
    pub(crate) second: Option<String>,
    #[serde(deserialize_with = "field")]
    pub(crate) minute: Option<String>,
    #[serde(deserialize_with = "field")]
    pub(crate) hour: Option<String>,
    #[serde(deserialize_with = "field", alias = "dayOfMonth")]
    pub(crate) day_of_month: Option<String>,
    #[serde(deserialize_with = "field")]
    pub(crate) month: Option<String>,
    #[serde(deserialize_with = "field")]
    pub(crate) year: Option<String>,
    #[serde(deserialize_with = "field", alias = "dayOfWeek")]
    pub(crate) day_of_week: Option<String>,
    pub(crate) comment: Option<String>,
}

/// From the first to the last by steps, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: i32,
    pub(crate) end: i32,
    pub(crate) step: i32,
}

/// A calendar's fields in numbers, in the order of [`FIELDS`].
pub(crate) type Ranges = [Vec<Range>; FIELDS.len()];

pub(crate) struct Field {
    pub(crate) key: &'static str,
    pub(crate) first: i32,
    pub(crate) last: i32,
    /// The text of an unset field.
    default: &'static str,
    names: &'static [&'static str],
    /// The fewest letters that identify a name.
    name_letters_min: usize,
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const DAYS: [&str; 7] = [
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
];
/// 0 and 7 are both Sunday.
const SUNDAY_AT_THE_END: i32 = 7;

/// The fields' positions.
pub(super) const SECOND: usize = 0;
pub(super) const MINUTE: usize = 1;
pub(super) const HOUR: usize = 2;
pub(super) const DAY_OF_MONTH: usize = 3;
pub(super) const MONTH: usize = 4;
pub(super) const YEAR: usize = 5;
pub(super) const DAY_OF_WEEK: usize = 6;

pub(crate) const FIELDS: [Field; 7] = [
    Field::new("second", 0, 59, "0"),
    Field::new("minute", 0, 59, "0"),
    Field::new("hour", 0, 23, "0"),
    Field::new("day_of_month", 1, 31, "*"),
    Field::new("month", 1, 12, "*").named(&MONTHS, 3),
    Field::new("year", 2000, 2100, "*"),
    Field::new("day_of_week", 0, SUNDAY_AT_THE_END, "*").named(&DAYS, 2),
];

/// The positions of a cron string's fields in a calendar, by the number of fields.
const CRON_FIELDS: [(usize, &[usize]); 3] = [
    (5, &[1, 2, 3, 4, 6]),
    (6, &[1, 2, 3, 4, 6, 5]),
    (7, &[0, 1, 2, 3, 4, 6, 5]),
];

impl Calendar {
    fn fields(&self) -> [Option<&str>; FIELDS.len()] {
        [
            &self.second,
            &self.minute,
            &self.hour,
            &self.day_of_month,
            &self.month,
            &self.year,
            &self.day_of_week,
        ]
        .map(Option::as_deref)
    }

    /// Reads the fields of a cron string.
    fn of_cron(text: &str) -> Result<Calendar, String> {
        let parts: Vec<&str> = text.split_whitespace().collect();
        let Some((_, places)) = CRON_FIELDS.iter().find(|(count, _)| *count == parts.len()) else {
            return Err(format!(
                "expected 5 fields (minute, hour, day of the month, month, day of the week), 6 with a year at the end, or 7 with a second at the beginning too; found {}",
                parts.len()
            ));
        };
        let mut texts: [Option<String>; FIELDS.len()] = Default::default();
        for (at, part) in places.iter().zip(parts) {
            texts[*at] = Some(part.to_owned());
        }
        let calendar = Calendar::of_texts(texts);
        calendar.ranges()?;
        Ok(calendar)
    }

    /// In the order of [`FIELDS`].
    pub(crate) fn of_texts(texts: [Option<String>; FIELDS.len()]) -> Calendar {
        let [second, minute, hour, day_of_month, month, year, day_of_week] = texts;
        Calendar {
            second,
            minute,
            hour,
            day_of_month,
            month,
            year,
            day_of_week,
            comment: None,
        }
    }

    /// The fields that are set, by their keys.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let fields = FIELDS.iter().zip(self.fields());
        let comment = self.comment.as_deref().map(|text| ("comment", text));
        fields
            .filter_map(|(field, text)| Some((field.key, text?)))
            .chain(comment)
    }

    /// The cron string that it was made from, which is then its comment.
    pub(crate) fn as_cron(&self) -> Option<&str> {
        let comment = self.comment.as_deref()?;
        let read = Cron::parse(comment).ok()?;
        let is_same = matches!(&read.times, Times::Calendar(c) if c.normal().as_ref() == Ok(self));
        is_same.then_some(comment)
    }

    /// The calendar with each field in its shortest text, and without those that equal the default.
    pub(super) fn normal(&self) -> Result<Calendar, String> {
        let ranges = self.ranges()?;
        let texts = std::array::from_fn(|at| FIELDS[at].text(&ranges[at]));
        Ok(Calendar {
            comment: self.comment.clone(),
            ..Calendar::of_texts(texts)
        })
    }

    pub(crate) fn ranges(&self) -> Result<Ranges, String> {
        let mut ranges = Ranges::default();
        for (at, text) in self.fields().into_iter().enumerate() {
            ranges[at] = FIELDS[at].ranges(text)?;
        }
        Ok(ranges)
    }
}

/// The schedule that a cron string abbreviates.
#[derive(Debug, PartialEq)]
pub(super) struct Cron {
    pub(crate) zone: Option<String>,
    pub(crate) times: Times,
}

#[derive(Debug, PartialEq)]
pub(super) enum Times {
    Calendar(Calendar),
    Interval(Interval),
}

impl Cron {
    pub(crate) fn parse(cron: &str) -> Result<Cron, String> {
        let (zone, text) = split_cron_zone(cron.trim());
        // It is sent exactly as written.
        zone.map_or(Ok(()), written_zone)?;
        if zone.is_some() && text.is_empty() {
            return Err("the fields after the time zone are missing".to_owned());
        }
        let text = text.split('#').next().unwrap_or_default().trim();
        let times = if let Some(every) = text.strip_prefix("@every") {
            let interval = Interval::parse(every.trim())?;
            interval.check()?;
            Times::Interval(interval)
        } else {
            let fields = match text.starts_with('@') {
                true => cron_word(text)?,
                false => text,
            };
            Times::Calendar(Calendar {
                comment: Some(cron.trim().to_owned()),
                ..Calendar::of_cron(fields)?
            })
        };
        Ok(Cron {
            zone: zone.map(str::to_owned),
            times,
        })
    }
}

/// A calendar without fields means midnight.
impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said: Vec<String> = self
            .texts()
            .map(|(key, text)| format!("{key} {text}"))
            .collect();
        match said.is_empty() {
            true => f.write_str("midnight"),
            false => f.write_str(&said.join(", ")),
        }
    }
}

impl Field {
    const fn new(key: &'static str, first: i32, last: i32, default: &'static str) -> Self {
        Field {
            key,
            first,
            last,
            default,
            names: &[],
            name_letters_min: 0,
        }
    }

    const fn named(mut self, names: &'static [&'static str], letters: usize) -> Self {
        self.names = names;
        self.name_letters_min = letters;
        self
    }

    fn is_days_of_week(&self) -> bool {
        self.key == FIELDS[DAY_OF_WEEK].key
    }

    fn ranges(&self, text: Option<&str>) -> Result<Vec<Range>, String> {
        let text = text.map(str::trim).filter(|text| !text.is_empty());
        let text = text.unwrap_or(self.default);
        if text == "*" && self.key == FIELDS[YEAR].key {
            return Ok(Vec::new());
        }
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let range = self.range(part.trim());
            let range = range.map_err(|why| format!("{why}; {}", self.help()))?;
            ranges.extend(self.without_day_7(range));
        }
        Ok(ranges)
    }

    fn help(&self) -> String {
        let Field {
            key, first, last, ..
        } = self;
        let name = match self.names.first() {
            Some(name) => format!(" or a name like `{}`", &name[..3]),
            None => String::new(),
        };
        format!(
            "`{key}` must be from {first} to {last}{name}, a range like `{first}-{last}/2`, or several with commas between them"
        )
    }

    fn range(&self, part: &str) -> Result<Range, String> {
        let (span, step) = match part.split_once('/') {
            None => (part, None),
            Some((span, step)) => match step.parse::<i32>() {
                Ok(step) if step > 0 => (span, Some(step)),
                _ => return Err(format!("`{step}` is not a step; expected a number from 1")),
            },
        };
        let (start, end) = if span == "*" {
            (self.first, self.last)
        } else if let Some((start, end)) = span.split_once('-') {
            (self.number(start)?, self.number(end)?)
        } else {
            let start = self.number(span)?;
            // With a step, a single number is the start of a range.
            (start, if step.is_some() { self.last } else { start })
        };
        if end < start {
            return Err(format!("`{span}` ends before it begins"));
        }
        Ok(Range {
            start,
            end,
            step: step.unwrap_or(1),
        })
    }

    fn number(&self, text: &str) -> Result<i32, String> {
        let lower = text.to_ascii_lowercase();
        if self.name_letters_min > 0 && lower.len() >= self.name_letters_min {
            let at = self.names.iter().position(|name| name.starts_with(&lower));
            if let Some(at) = at {
                return Ok(self.first + at as i32);
            }
        }
        let number = text.parse().ok();
        number
            .filter(|n| (self.first..=self.last).contains(n))
            .ok_or_else(|| format!("`{text}` is not valid for `{}`", self.key))
    }

    /// Day 7 is day 0, which may need a range of its own.
    fn without_day_7(&self, range: Range) -> Vec<Range> {
        let Range { start, end, step } = range;
        if !self.is_days_of_week() || end != SUNDAY_AT_THE_END {
            return vec![range];
        }
        let sunday = Range {
            start: 0,
            end: 0,
            step: 1,
        };
        let rest = Range {
            end: end - 1,
            ..range
        };
        let is_reached = (end - start) % step == 0;
        let is_there_already = step == 1 && start <= 1;
        match (is_reached, start == end) {
            (true, true) => vec![sunday],
            (true, false) if !is_there_already => vec![sunday, rest],
            // From Monday to Sunday is the whole week.
            (true, false) => vec![Range { start: 0, ..rest }],
            (false, _) => vec![rest],
        }
    }

    /// The text of ranges that the server has, or `None` if it equals the default.
    pub(crate) fn text(&self, ranges: &[Range]) -> Option<String> {
        let last = match self.is_days_of_week() {
            true => self.last - 1,
            false => self.last,
        };
        let part = |range: &Range| {
            let step = match range.step {
                ..=1 => String::new(),
                step => format!("/{step}"),
            };
            match (range.start, range.end) {
                (start, end) if start == self.first && end == last => format!("*{step}"),
                (start, end) if end <= start => start.to_string(),
                (start, end) => format!("{start}-{end}{step}"),
            }
        };
        let text = ranges.iter().map(part).collect::<Vec<_>>().join(",");
        (!text.is_empty() && text != self.default).then_some(text)
    }
}

/// A field that is set: a number, a text, or a list of them.
fn field<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    deserializer.deserialize_any(FieldVisitor).map(Some)
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a text like \"9-17\", or a list of them")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<String, A::Error> {
        let mut parts = Vec::new();
        while let Some(Part(part)) = list.next_element()? {
            parts.push(part);
        }
        Ok(parts.join(","))
    }
}

struct Part(String);

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor).map(Part)
    }
}

#[cfg(test)]
mod tests {
    use super::{Calendar, Cron, DAY_OF_WEEK, FIELDS};

    #[test]
    fn a_field_is_read_as_the_server_reads_it() {
        for (key, text, read) in [
            ("hour", "9-17/2", "9-17/2"),
            ("hour", "*", "*"),
            ("second", "0", ""),
            ("minute", "*/15", "*/15"),
            ("minute", "50/5", "50-59/5"),
            ("minute", "0, 30", "0,30"),
            ("month", "jan-MARCH", "1-3"),
            ("day_of_week", "Fri", "5"),
            ("day_of_week", "7", "0"),
            ("day_of_week", "sat-7", "0,6"),
            ("day_of_week", "1-7/2", "0,1-6/2"),
            ("day_of_week", "mon-7", ""),
            ("day_of_week", "3-7/3", "3-6/3"),
            ("year", "2030", "2030"),
            ("day_of_month", "", ""),
        ] {
            let field = FIELDS.iter().find(|field| field.key == key).unwrap();
            let again = field.text(&field.ranges(Some(text)).unwrap());
            // Defaults are left out.
            assert_eq!(again.unwrap_or_default(), read, "{key} {text}");
        }
        let days = &FIELDS[DAY_OF_WEEK];
        assert!(days.ranges(Some("su")).is_ok() && days.ranges(Some("s")).is_err());
    }

    #[test]
    fn a_calendar_has_numbers_texts_and_lists() {
        let text =
            r#"{"hour": 9, "minute": [0, "30-35"], "dayOfWeek": "Mon-Fri", "comment": "work"}"#;
        let calendar: Calendar = serde_json::from_str(text).unwrap();
        assert_eq!(calendar.hour.as_deref(), Some("9"));
        assert_eq!(calendar.minute.as_deref(), Some("0,30-35"));
        assert_eq!(calendar.day_of_week.as_deref(), Some("Mon-Fri"));
        assert!(serde_json::from_str::<Calendar>(r#"{"hour": true}"#).is_err());
    }

    #[test]
    fn cron_strings_are_those_of_schedules() {
        for (cron, has_zone) in [
            ("30 12 * * Fri", false),
            ("30 12 * * 7 2030", false),
            ("5 30 12 1,15 jan-mar sun *", false),
            ("@daily", false),
            ("@every 90m", false),
            ("@every 14h/3h", false),
            ("CRON_TZ=Europe/Berlin 0 9 * * 1 # on Mondays", true),
            ("TZ=UTC @hourly", true),
        ] {
            let zone = Cron::parse(cron).unwrap().zone;
            assert_eq!(zone.is_some(), has_zone, "{cron}");
        }
        for (cron, why) in [
            ("", "found 0"),
            ("* * * *", "found 4"),
            ("60 * * * *", "`60` is not valid for `minute`"),
            ("* * * * 8", "`8` is not valid for `day_of_week`"),
            ("* 5-1 * * *", "`5-1` ends before it begins"),
            ("*/0 * * * *", "`0` is not a step"),
            ("@fortnightly", "the words are @yearly"),
            ("@every 0s", "an interval must be at least 1s"),
            ("@every soon", "`soon` is not a duration"),
            ("TZ=Mars/Olympus 0 9 * * 1", "no time zone `Mars/Olympus`"),
            (
                "TZ=europe/berlin @daily",
                "the time zone `europe/berlin` is written `Europe/Berlin`",
            ),
            ("TZ=UTC", "the fields after the time zone are missing"),
        ] {
            let message = Cron::parse(cron).expect_err(cron);
            assert!(message.contains(why), "{cron}: {message}");
        }
    }
}
