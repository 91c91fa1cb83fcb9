//! When a schedule is due, computed as the server computes it.

use jiff::Zoned;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::calendar::{DAY_OF_MONTH, DAY_OF_WEEK, HOUR, MINUTE, MONTH, Ranges, SECOND, YEAR};
use super::{FIELDS, Interval, Range, ScheduleError, ScheduleSpec, held};
use crate::limits::SCHEDULE_SKIPPED_TIMES_MAX;
use crate::value::Timestamp;

const HOUR_SECONDS: i64 = 3600;

/// A schedule's times without its jitter.
#[derive(Debug)]
pub struct Times {
    zone: TimeZone,
    intervals: Vec<Interval>,
    calendars: Vec<Ranges>,
    skip: Vec<Ranges>,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
}

impl ScheduleSpec {
    pub fn times(&self) -> Result<Times, ScheduleError> {
        let spec = self.normal()?;
        let ranges = |key, calendars: &[super::Calendar]| {
            let calendars = calendars.iter().enumerate();
            calendars
                .map(|(at, calendar)| held(key, at, calendar.ranges()))
                .collect::<Result<Vec<_>, _>>()
        };
        let zone = spec.time_zone.as_deref();
        let zone = zone.map_or(Ok(TimeZone::UTC), TimeZone::get);
        Ok(Times {
            zone: held("time_zone", 0, zone.map_err(|error| error.to_string()))?,
            calendars: ranges("calendars", &spec.calendars)?,
            skip: ranges("skip", &spec.skip)?,
            intervals: spec.intervals,
            start: spec.start_time,
            end: spec.end_time,
        })
    }
}

impl Times {
    /// The first time after this one. `None` if there is no other, or if `SCHEDULE_SKIPPED_TIMES_MAX` times before it
    /// are skipped.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let first = self.start.filter(|start| after < *start);
        // The start itself may be one of them.
        let mut after = first.map_or(after.seconds, |start| start.seconds - 1);
        for _ in 0..SCHEDULE_SKIPPED_TIMES_MAX {
            after = self.next_unskipped(after)?;
            let at = Timestamp {
                seconds: after,
                nanos: 0,
            };
            if self.end.is_some_and(|end| at > end) {
                return None;
            }
            let local = self.local(after)?;
            let time = [local.hour(), local.minute(), local.second()].map(i64::from);
            let skips = |skip: &Ranges| misfit(skip, local.date(), time).is_none();
            if !self.skip.iter().any(skips) {
                return Some(at);
            }
        }
        None
    }

    fn next_unskipped(&self, after: i64) -> Option<i64> {
        let calendars = self.calendars.iter();
        let calendars = calendars.filter_map(|ranges| self.next_of_calendar(ranges, after));
        let intervals = self.intervals.iter();
        let intervals = intervals.map(|interval| next_of_interval(*interval, after));
        calendars.chain(intervals).min()
    }

    /// The first time whose fields on the clock of its zone match. A time that the clock skips does not count; in an
    /// hour that occurs twice, the server uses some times once and some twice, and so does this.
    fn next_of_calendar(&self, ranges: &Ranges, after: i64) -> Option<i64> {
        let local = self.local(after)?;
        let mut date = local.date();
        let mut hour = i64::from(local.hour());
        let mut minute = i64::from(local.minute());
        let mut second = i64::from(local.second()) + 1;
        let is_second_hour = self.local(after - HOUR_SECONDS)?.hour() == local.hour();
        let mut shift = if is_second_hour { HOUR_SECONDS } else { 0 };
        loop {
            if second >= 60 {
                (minute, second) = (minute + 1, 0);
            }
            if minute >= 60 {
                let this = self.instant(date, hour, 0, 0)?;
                let next = self.instant(date, hour + 1, 0, 0)?;
                let comes_again = shift == 0 && next - this > HOUR_SECONDS;
                shift = if comes_again { HOUR_SECONDS } else { 0 };
                (hour, minute) = (if comes_again { hour } else { hour + 1 }, 0);
            }
            if hour >= 24 {
                (date, hour) = (date.tomorrow().ok()?, 0);
            }
            if i32::from(date.year()) > FIELDS[YEAR].last {
                return None;
            }
            match misfit(ranges, date, [hour, minute, second]) {
                Some(SECOND) => second += 1,
                Some(MINUTE) => (minute, second) = (minute + 1, 0),
                Some(HOUR) => (hour, minute, second, shift) = (hour + 1, 0, 0, 0),
                Some(field) => {
                    let last = match field {
                        MONTH => date.last_of_month(),
                        YEAR => date.last_of_year(),
                        _ => date,
                    };
                    date = last.tomorrow().ok()?;
                    (hour, minute, second, shift) = (0, 0, 0, 0);
                }
                None => {
                    let at = self.instant(date, hour, minute, second)?;
                    if i64::from(self.local(at)?.hour()) == hour {
                        return Some(at + shift);
                    }
                    (hour, minute, second) = (hour + 1, 0, 0);
                }
            }
        }
    }

    /// The instant of a local time in the zone; if the clock shows it twice or never, the instant that the server
    /// chooses.
    fn instant(&self, date: Date, hour: i64, minute: i64, second: i64) -> Option<i64> {
        let midnight = date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second();
        let shown = midnight + hour * HOUR_SECONDS + minute * 60 + second;
        let offset = |at| {
            let at = jiff::Timestamp::from_second(at).ok()?;
            Some(i64::from(self.zone.to_offset(at).seconds()))
        };
        Some(shown - offset(shown - offset(shown)?)?)
    }

    fn local(&self, at: i64) -> Option<Zoned> {
        let at = jiff::Timestamp::from_second(at).ok()?;
        Some(at.to_zoned(self.zone.clone()))
    }
}

fn next_of_interval(interval: Interval, after: i64) -> i64 {
    let (every, offset) = (interval.every.seconds, interval.offset.seconds);
    ((after - offset).div_euclid(every) + 1) * every + offset
}

/// The largest field that does not match.
fn misfit(ranges: &Ranges, date: Date, [hour, minute, second]: [i64; 3]) -> Option<usize> {
    let weekday = date.weekday().to_sunday_zero_offset();
    let fields = [
        (YEAR, i64::from(date.year())),
        (MONTH, i64::from(date.month())),
        (DAY_OF_MONTH, i64::from(date.day())),
        (DAY_OF_WEEK, i64::from(weekday)),
        (HOUR, hour),
        (MINUTE, minute),
        (SECOND, second),
    ];
    let fits = |ranges: &[Range], number: i64| ranges.iter().any(|range| range.has(number));
    let misfit = fields.into_iter().find(|(field, number)| {
        let is_any_year = *field == YEAR && ranges[YEAR].is_empty();
        !is_any_year && !fits(&ranges[*field], *number)
    });
    misfit.map(|(field, _)| field)
}

impl Range {
    fn has(self, number: i64) -> bool {
        let [start, end, step] = [self.start, self.end, self.step.max(1)].map(i64::from);
        (start..=end).contains(&number) && (number - start) % step == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(spec: &ScheduleSpec, after: &str, count: usize) -> Vec<String> {
        let times = spec.times().unwrap();
        let mut after = Timestamp::parse(after);
        let all = std::iter::from_fn(|| {
            after = times.next(after?);
            after.map(|at| at.to_string())
        });
        all.take(count).collect()
    }

    fn cron(text: &str) -> ScheduleSpec {
        ScheduleSpec {
            cron: vec![text.to_owned()],
            ..ScheduleSpec::default()
        }
    }

    #[test]
    fn a_time_that_the_clock_leaves_out_is_none() {
        let spec = cron("CRON_TZ=Europe/Berlin 30 2 * * *");
        let at = "2027-03-27T12:00:00Z";
        assert_eq!(next(&spec, at, 1), ["2027-03-29T00:30:00Z"]);
        assert_eq!(
            next(&spec, "2026-10-24T12:00:00Z", 1),
            ["2026-10-25T01:30:00Z"]
        );
    }

    #[test]
    fn what_never_comes_ends() {
        assert!(next(&cron("0 0 30 2 *"), "2026-01-01T00:00:00Z", 1).is_empty());
        assert!(next(&cron("0 0 1 1 * 2025"), "2026-01-01T00:00:00Z", 1).is_empty());
        let all_skipped = ScheduleSpec {
            skip: cron("* * * * *").normal().unwrap().calendars,
            ..cron("@every 1m")
        };
        assert!(next(&all_skipped, "2026-01-01T00:00:00Z", 1).is_empty());
    }

    #[test]
    fn an_end_is_of_the_times_itself() {
        let spec = ScheduleSpec {
            start_time: Timestamp::parse("2026-01-01T06:00:00Z"),
            end_time: Timestamp::parse("2026-01-01T12:00:00Z"),
            ..cron("@every 3h")
        };
        assert_eq!(
            next(&spec, "2025-01-01T00:00:00Z", 9),
            [
                "2026-01-01T06:00:00Z",
                "2026-01-01T09:00:00Z",
                "2026-01-01T12:00:00Z"
            ]
        );
    }
}
