//! Schedules in a normal form, to compare them.

use super::calendar::{Cron, Times};
use super::{OverlapPolicy, ScheduleError, ScheduleSpec, held};
use crate::value::Duration;

/// The server's default: a year.
const CATCHUP_WINDOW: Duration = Duration {
    seconds: 365 * 24 * 60 * 60,
    nanos: 0,
};

impl ScheduleSpec {
    /// Cron strings become calendars and intervals, calendars have their shortest texts, and defaults are written out.
    /// What changes while a schedule runs (its pause, its notes, the remaining actions) is left out.
    pub(crate) fn normal(&self) -> Result<ScheduleSpec, ScheduleError> {
        let mut normal = ScheduleSpec {
            calendars: Vec::new(),
            cron: Vec::new(),
            skip: Vec::new(),
            jitter: self.jitter.filter(|jitter| *jitter != Duration::default()),
            overlap_policy: Some(self.overlap_policy.unwrap_or(OverlapPolicy::Skip)),
            catchup_window: Some(self.catchup_window.unwrap_or(CATCHUP_WINDOW)),
            pause_on_failure: Some(self.pause_on_failure.unwrap_or_default()),
            remaining_actions: None,
            paused: None,
            notes: None,
            ..self.clone()
        };
        for (at, cron) in self.cron.iter().enumerate() {
            let cron = held("cron", at, Cron::parse(cron))?;
            normal.time_zone = normal.time_zone.or(cron.zone);
            match cron.times {
                Times::Interval(interval) => normal.intervals.push(interval),
                Times::Calendar(calendar) => {
                    normal.calendars.push(held("cron", at, calendar.normal())?);
                }
            }
        }
        for (at, calendar) in self.calendars.iter().enumerate() {
            let calendar = held("calendars", at, calendar.normal())?;
            normal.calendars.push(calendar);
        }
        for (at, calendar) in self.skip.iter().enumerate() {
            normal.skip.push(held("skip", at, calendar.normal())?);
        }
        Ok(normal)
    }
}

#[cfg(test)]
mod tests {
    use super::ScheduleSpec;
    use crate::accepted::Calendar;

    #[test]
    fn two_ways_to_say_the_same_are_one() {
        let spec = |cron: &[&str]| ScheduleSpec {
            cron: cron.iter().map(|cron| (*cron).to_owned()).collect(),
            ..ScheduleSpec::default()
        };
        let normal = |spec: &ScheduleSpec| spec.normal().unwrap();
        let weekly = normal(&spec(&["CRON_TZ=Europe/Berlin 0 9 * * mon-fri"]));
        let calendar = Calendar {
            hour: Some("9".to_owned()),
            day_of_week: Some("1-5".to_owned()),
            comment: Some("CRON_TZ=Europe/Berlin 0 9 * * mon-fri".to_owned()),
            ..Calendar::default()
        };
        assert_eq!(weekly.calendars, [calendar]);
        assert_eq!(weekly.time_zone.as_deref(), Some("Europe/Berlin"));
        assert_eq!(normal(&weekly), weekly);
        let every = normal(&spec(&["@every 90m", "@daily"]));
        assert_eq!((every.intervals.len(), every.calendars.len()), (1, 1));
        assert_eq!(every.calendars[0].hour, None);
        assert!(spec(&["60 * * * *"]).normal().is_err());
    }
}
