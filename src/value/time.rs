//! Instants and lengths of time with protobuf's ranges, as CEL has them.

use std::fmt;

/// An instant: seconds since 1970-01-01T00:00:00Z, and nanoseconds of the second. Year 1 to 9999.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Timestamp {
    pub seconds: i64,
    pub nanos: u32,
}

/// A length of time; both parts have the same sign.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Duration {
    pub seconds: i64,
    pub nanos: i32,
}

const NANOS_PER_SECOND: i128 = 1_000_000_000;

impl Timestamp {
    /// 0001-01-01T00:00:00Z.
    pub(crate) const SECONDS_MIN: i64 = -62_135_596_800;
    /// 9999-12-31T23:59:59Z.
    pub(crate) const SECONDS_MAX: i64 = 253_402_300_799;

    pub fn from_nanos(nanos: i128) -> Option<Self> {
        let seconds = i64::try_from(nanos.div_euclid(NANOS_PER_SECOND)).ok()?;
        let nanos = nanos.rem_euclid(NANOS_PER_SECOND) as u32;
        (Self::SECONDS_MIN..=Self::SECONDS_MAX)
            .contains(&seconds)
            .then_some(Timestamp { seconds, nanos })
    }

    pub fn as_nanos(self) -> i128 {
        i128::from(self.seconds) * NANOS_PER_SECOND + i128::from(self.nanos)
    }

    pub fn checked_add(self, duration: Duration) -> Option<Self> {
        Timestamp::from_nanos(self.as_nanos() + duration.as_nanos())
    }

    pub fn since(self, earlier: Timestamp) -> Option<Duration> {
        Duration::from_nanos(self.as_nanos() - earlier.as_nanos())
    }

    /// Reads RFC 3339.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let number = |range: std::ops::Range<usize>| -> Option<i64> {
            let digits = text.get(range)?;
            let all_digits = digits.bytes().all(|b| b.is_ascii_digit());
            all_digits.then(|| digits.parse().ok())?
        };
        let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
        if !separators.iter().all(|(i, b)| bytes.get(*i) == Some(b))
            || !matches!(bytes.get(10), Some(b'T' | b't' | b' '))
        {
            return None;
        }
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
        let days = Self::day_of_date(year, month, day);
        if Self::date_of_day(days) != (year, month, day) || hour > 23 || minute > 59 || second > 59
        {
            return None;
        }
        let mut rest = text.get(19..)?;
        let mut nanos = 0;
        if let Some(fraction) = rest.strip_prefix('.') {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 || digits > 9 {
                return None;
            }
            nanos = format!("{:0<9}", &fraction[..digits]).parse().ok()?;
            rest = &fraction[digits..];
        }
        let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset_seconds(rest)?;
        Timestamp::from_nanos(i128::from(seconds) * NANOS_PER_SECOND + i128::from(nanos as u32))
    }

    /// Days since 1970-01-01 of a date of the Gregorian calendar. Years run from March here, so that the leap day is
    /// a year's last.
    pub(crate) fn day_of_date(year: i64, month: i64, day: i64) -> i64 {
        let year = if month <= 2 { year - 1 } else { year };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }

    /// Year, month and day of a day counted from 1970-01-01.
    pub(crate) fn date_of_day(day: i64) -> (i64, i64, i64) {
        let shifted = day + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = (month_from_march + 2) % 12 + 1;
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        (year, month, day)
    }
}

/// Seconds east of UTC of `Z`, `+HH:MM` or `-HH:MM`.
fn offset_seconds(zone: &str) -> Option<i64> {
    let sign = match zone.as_bytes() {
        b"Z" | b"z" => return Some(0),
        [b'+', _, _, b':', _, _] => 1,
        [b'-', _, _, b':', _, _] => -1,
        _ => return None,
    };
    let digits = |range| {
        zone.get(range)
            .filter(|d: &&str| d.bytes().all(|b| b.is_ascii_digit()))
    };
    let hours: i64 = digits(1..3)?.parse().ok()?;
    let minutes: i64 = digits(4..6)?.parse().ok()?;
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// RFC 3339 in UTC, with as many digits of the second as needed.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = Self::date_of_day(self.seconds.div_euclid(86_400));
        let second = self.seconds.rem_euclid(86_400);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
            second / 3600,
            second / 60 % 60,
            second % 60
        )?;
        if self.nanos != 0 {
            let digits = format!("{:09}", self.nanos);
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

impl Duration {
    /// Ten thousand years, protobuf's bound.
    pub(crate) const SECONDS_MAX: i64 = 315_576_000_000;
    pub const ZERO: Duration = Duration {
        seconds: 0,
        nanos: 0,
    };

    pub fn from_nanos(nanos: i128) -> Option<Self> {
        let seconds = i64::try_from(nanos / NANOS_PER_SECOND).ok()?;
        let nanos = (nanos % NANOS_PER_SECOND) as i32;
        (seconds.unsigned_abs() <= Self::SECONDS_MAX.unsigned_abs())
            .then_some(Duration { seconds, nanos })
    }

    pub fn from_seconds(seconds: i64) -> Self {
        Duration { seconds, nanos: 0 }
    }

    pub fn from_millis(millis: i64) -> Self {
        Duration {
            seconds: millis / 1000,
            nanos: (millis % 1000) as i32 * 1_000_000,
        }
    }

    pub fn as_nanos(self) -> i128 {
        i128::from(self.seconds) * NANOS_PER_SECOND + i128::from(self.nanos)
    }

    pub(crate) fn is_zero(self) -> bool {
        self == Duration::ZERO
    }

    pub(crate) fn is_negative(self) -> bool {
        self.seconds < 0 || self.nanos < 0
    }

    /// A length that is not negative, as the standard library has it.
    pub fn to_std(self) -> Option<std::time::Duration> {
        Some(std::time::Duration::new(
            u64::try_from(self.seconds).ok()?,
            u32::try_from(self.nanos).ok()?,
        ))
    }
}

/// CEL's form: decimal seconds with an `s`.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_negative() { "-" } else { "" };
        write!(f, "{sign}{}", self.seconds.unsigned_abs())?;
        if self.nanos != 0 {
            let digits = format!("{:09}", self.nanos.unsigned_abs());
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str("s")
    }
}

impl Duration {
    /// As an author would write it: `2d 3h`, `90.5s` as `1m 30.5s`.
    pub fn words(self) -> String {
        const UNITS: [(u64, &str); 3] = [(86_400, "d"), (3_600, "h"), (60, "m")];
        let mut rest = self.seconds.unsigned_abs();
        let mut words = Vec::new();
        for (seconds, unit) in UNITS {
            if rest >= seconds {
                words.push(format!("{}{unit}", rest / seconds));
                rest %= seconds;
            }
        }
        if rest > 0 || self.nanos != 0 || words.is_empty() {
            let seconds = Duration {
                seconds: rest as i64,
                nanos: self.nanos.abs(),
            };
            words.push(seconds.to_string());
        }
        let sign = if self.is_negative() { "-" } else { "" };
        format!("{sign}{}", words.join(" "))
    }

    /// Reads an author's duration: `10s`, `1h 30m`, `3d`, or ISO 8601 (`PT1H30M`). Days have 24 hours and weeks 7 days;
    /// months and years are refused, since their length depends on the calendar.
    pub fn parse(text: &str) -> Result<Self, String> {
        const FORMS: &str = "write it like `250ms`, `10s`, `1h 30m`, `3d` or `PT1H30M`";
        let span: jiff::Span = text
            .trim()
            .parse()
            .map_err(|_| format!("`{text}` is not a duration; {FORMS}"))?;
        if span.get_years() != 0 || span.get_months() != 0 {
            return Err(format!(
                "`{text}` has months or years, whose length depends on the calendar; use days (`30d`)"
            ));
        }
        let relative = jiff::SpanRelativeTo::days_are_24_hours();
        let length = span
            .to_duration(relative)
            .map_err(|e| format!("`{text}`: {e}"))?;
        Duration::from_nanos(length.as_nanos())
            .ok_or_else(|| format!("`{text}` is longer than ten thousand years"))
    }
}

#[cfg(test)]
mod tests {
    use super::Duration;

    #[test]
    fn what_is_written_in_words_is_read_as_the_same() {
        for (text, words) in [
            ("0s", "0s"),
            ("59.5s", "59.5s"),
            ("60s", "1m"),
            ("PT1H30M0.25S", "1h 30m 0.25s"),
            ("360d", "360d"),
            ("180000s", "2d 2h"),
        ] {
            let length = Duration::parse(text).unwrap();
            assert_eq!(length.words(), words);
            assert_eq!(Duration::parse(words), Ok(length));
        }
        assert_eq!(Duration::from_seconds(-90).words(), "-1m 30s");
    }

    #[test]
    fn durations_are_read_in_both_forms() {
        let cases = [
            ("10s", 10),
            ("1h 30m", 5400),
            ("3d", 259_200),
            ("PT1H30M", 5400),
            ("2w", 1_209_600),
        ];
        for (text, seconds) in cases {
            assert_eq!(
                Duration::parse(text),
                Ok(Duration::from_seconds(seconds)),
                "{text}"
            );
        }
        assert_eq!(Duration::parse("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["", "10", "ten seconds", "1mo", "P1Y"] {
            assert!(Duration::parse(wrong).is_err(), "{wrong}");
        }
    }
}
