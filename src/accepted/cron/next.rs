//! When a cron schedule is next due.

use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};

use super::{FIELDS, Field};
use crate::value::{Duration, Timestamp};

/// A schedule like the 30th of February is never due: the search stops after this many years.
const YEARS_MAX: i16 = 8;

/// The first time after this one, in the zone before the fields or in UTC; `None` if there is none.
pub(crate) fn next_time(cron: &str, after: Timestamp) -> Option<Timestamp> {
    let (zone, fields) = super::split_zone(cron);
    let zone = zone.map_or(Some(TimeZone::UTC), |name| TimeZone::get(name).ok())?;
    if let Some(every) = fields.strip_prefix("@every ") {
        let every = Duration::parse(every.trim()).ok()?;
        let whole = Duration::from_seconds(every.seconds.max(1));
        // The scheduler counts in whole seconds.
        let from = Timestamp {
            seconds: after.seconds,
            nanos: 0,
        };
        return from.checked_add(whole);
    }
    let fields = super::word(fields).unwrap_or(fields);
    let times = Times::of(fields)?;
    let after = jiff::Timestamp::new(after.seconds, 0).ok()?;
    let next = times.after(&after.to_zoned(zone))?;
    Some(Timestamp {
        seconds: next.timestamp().as_second(),
        nanos: 0,
    })
}

struct Times {
    minutes: Vec<u32>,
    hours: Vec<u32>,
    days: Vec<u32>,
    months: Vec<u32>,
    weekdays: Vec<u32>,
    /// If both kinds of days are restricted, one of them is enough.
    either_day: bool,
}

impl Times {
    fn of(fields: &str) -> Option<Self> {
        let texts: Vec<&str> = fields.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = texts.as_slice() else {
            return None;
        };
        let is_any = |text: &str| text.starts_with(['*', '?']);
        Some(Times {
            minutes: FIELDS[0].numbers_of(minutes)?,
            hours: FIELDS[1].numbers_of(hours)?,
            days: FIELDS[2].numbers_of(days)?,
            months: FIELDS[3].numbers_of(months)?,
            weekdays: FIELDS[4].numbers_of(weekdays)?,
            either_day: !is_any(days) && !is_any(weekdays),
        })
    }

    fn after(&self, after: &Zoned) -> Option<Zoned> {
        let last = after.year() + YEARS_MAX;
        let mut day = after.start_of_day().ok()?;
        while day.year() <= last {
            if self.has_day(&day) {
                for hour in &self.hours {
                    for minute in &self.minutes {
                        let time = day
                            .date()
                            .at(*hour as i8, *minute as i8, 0, 0)
                            .to_zoned(day.time_zone().clone())
                            .ok()?;
                        // A time that the clock skips does not belong to the schedule.
                        let is_there = time.hour() == *hour as i8 && time.minute() == *minute as i8;
                        if is_there && time > *after {
                            return Some(time);
                        }
                    }
                }
            }
            day = day.checked_add(1.day()).ok()?.start_of_day().ok()?;
        }
        None
    }

    fn has_day(&self, day: &Zoned) -> bool {
        if !self.months.contains(&(day.month() as u32)) {
            return false;
        }
        let of_month = self.days.contains(&(day.day() as u32));
        let weekday = day.weekday().to_sunday_zero_offset() as u32;
        let of_week = self.weekdays.contains(&weekday);
        match self.either_day {
            true => of_month || of_week,
            false => of_month && of_week,
        }
    }
}

impl Field {
    fn numbers_of(&self, text: &str) -> Option<Vec<u32>> {
        let mut numbers = Vec::new();
        for part in text.split(',') {
            let (range, step) = part
                .split_once('/')
                .map_or((part, None), |(r, s)| (r, Some(s)));
            let (first, last) = match range {
                "*" | "?" => (*self.numbers.start(), *self.numbers.end()),
                range => match range.split_once('-') {
                    Some((first, last)) => (self.number(first).ok()?, self.number(last).ok()?),
                    None => {
                        let first = self.number(range).ok()?;
                        // `5/15`: every 15 from 5 on.
                        let last = step.map_or(first, |_| *self.numbers.end());
                        (first, last)
                    }
                },
            };
            let step = step.map_or(Some(1), |step| step.parse::<usize>().ok())?;
            numbers.extend((first..=last).step_by(step.max(1)));
        }
        numbers.sort_unstable();
        numbers.dedup();
        Some(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(cron: &str, after: &str) -> String {
        let after = Timestamp::parse(after).unwrap();
        next_time(cron, after).map_or("never".to_owned(), |at| at.to_string())
    }

    #[test]
    fn what_is_next_is_found() {
        let at = "2026-02-27T12:34:56Z";
        assert_eq!(next("* * * * *", at), "2026-02-27T12:35:00Z");
        assert_eq!(next("0 12 * * *", at), "2026-02-28T12:00:00Z");
        assert_eq!(next("*/15 9-17 * * mon-fri", at), "2026-02-27T12:45:00Z");
        assert_eq!(next("0 0 29 2 *", at), "2028-02-29T00:00:00Z");
        assert_eq!(next("0 0 30 2 *", at), "never");
        assert_eq!(next("0 0 1 * sun", at), "2026-03-01T00:00:00Z");
        assert_eq!(next("0 0 15 * sat", at), "2026-02-28T00:00:00Z");
        assert_eq!(next("@every 1h30m", at), "2026-02-27T14:04:56Z");
        assert_eq!(next("@hourly", at), "2026-02-27T13:00:00Z");
        assert_eq!(
            next("CRON_TZ=Europe/Berlin 30 2 29 3 *", at),
            "2027-03-29T00:30:00Z"
        );
    }
}
