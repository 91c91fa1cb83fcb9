//! What a response's status means: success, a retryable failure, or a non-retryable one; and when to retry.

use std::time::SystemTime;

use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::limits::HTTP_RETRY_AFTER_SECONDS_MAX;
use crate::value::{Duration, Map, Value};

/// Statuses as in a definition: numbers and ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statuses(Vec<std::ops::RangeInclusive<u16>>);

/// The meanings that the author gives to statuses; the defaults apply to the others.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    pub(crate) success: Option<Statuses>,
    pub(crate) retryable: Option<Statuses>,
    pub(crate) non_retryable: Option<Statuses>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Success,
    Retryable,
    NonRetryable,
}

impl Statuses {
    /// `200`, `"200-299"`, or a list of these under the key.
    pub(crate) fn read(map: &Map, key: &str) -> Result<Option<Statuses>, String> {
        let ranges = match map.get(key) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::List(items)) => items.iter().map(range).collect(),
            Some(one) => range(one).map(|r| vec![r]),
        };
        let ranges = ranges.ok_or_else(|| {
            format!("`{key}` is a status as 200, a range as \"200-299\", or a list of these")
        })?;
        Ok(Some(Statuses(ranges)))
    }

    pub(crate) fn one(status: u16) -> Statuses {
        Statuses(vec![status..=status])
    }

    pub(crate) fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|r| r.contains(&status))
    }
}

fn range(value: &Value) -> Option<std::ops::RangeInclusive<u16>> {
    let number = |text: &str| text.trim().parse::<u16>().ok();
    let (first, last) = match value {
        Value::Int(n) => (u16::try_from(*n).ok()?, u16::try_from(*n).ok()?),
        Value::String(text) => match text.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(text)?, number(text)?),
        },
        _ => return None,
    };
    (100 <= first && first <= last && last <= 999).then_some(first..=last)
}

impl Verdicts {
    pub(crate) fn of(&self, status: u16) -> Verdict {
        let listed = |list: &Option<Statuses>| list.as_ref().is_some_and(|s| s.contains(status));
        let success = match &self.success {
            Some(statuses) => statuses.contains(status),
            None => (200..=299).contains(&status),
        };
        match status {
            _ if success => Verdict::Success,
            _ if listed(&self.non_retryable) => Verdict::NonRetryable,
            _ if listed(&self.retryable) => Verdict::Retryable,
            408 | 425 | 429 => Verdict::Retryable,
            // Retrying does not help if a method or a version of HTTP is not supported.
            501 | 505 => Verdict::NonRetryable,
            500..=599 => Verdict::Retryable,
            _ => Verdict::NonRetryable,
        }
    }
}

/// The wait that `Retry-After` requests, in seconds or as a date, within the bound. "Immediately" is no wait: the
/// server would read a wait of zero as no further attempt.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = match text.parse::<i64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            let now = jiff::Timestamp::try_from(now).ok()?;
            date.as_second() - now.as_second()
        }
    };
    (seconds > 0).then(|| Duration::from_seconds(seconds.min(HTTP_RETRY_AFTER_SECONDS_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(json: &str) -> Result<Verdicts, String> {
        let value = crate::value::parse_json(json.as_bytes()).unwrap();
        let map = value.as_map().unwrap();
        Ok(Verdicts {
            success: Statuses::read(map, "success")?,
            retryable: Statuses::read(map, "retryable")?,
            non_retryable: Statuses::read(map, "non_retryable")?,
        })
    }

    #[test]
    fn statuses_without_a_word_from_the_author() {
        let defaults = Verdicts::default();
        for (status, verdict) in [
            (200, Verdict::Success),
            (204, Verdict::Success),
            (304, Verdict::NonRetryable),
            (404, Verdict::NonRetryable),
            (408, Verdict::Retryable),
            (425, Verdict::Retryable),
            (429, Verdict::Retryable),
            (500, Verdict::Retryable),
            (501, Verdict::NonRetryable),
            (503, Verdict::Retryable),
        ] {
            assert_eq!(defaults.of(status), verdict, "{status}");
        }
    }

    #[test]
    fn the_author_has_the_last_word() {
        let own = verdicts(
            r#"{"success": [200, "404"], "retryable": ["400-499"], "non_retryable": 503}"#,
        )
        .unwrap();
        assert_eq!(own.of(404), Verdict::Success);
        assert_eq!(own.of(201), Verdict::NonRetryable);
        assert_eq!(own.of(409), Verdict::Retryable);
        assert_eq!(own.of(503), Verdict::NonRetryable);
        assert_eq!(own.of(502), Verdict::Retryable);
        for wrong in [
            r#"{"success": "ok"}"#,
            r#"{"success": [99]}"#,
            r#"{"retryable": "500-400"}"#,
        ] {
            assert!(verdicts(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn retry_after_in_seconds_and_as_a_date() {
        let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_445_412_400);
        let after = |text: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            retry_after(&headers, now).map(|d| d.seconds)
        };
        assert_eq!(after("120"), Some(120));
        assert_eq!(
            after("Wed, 21 Oct 2015 07:28:00 GMT"),
            Some(1_445_412_480 - 1_445_412_400)
        );
        for at_once in ["Wed, 21 Oct 2015 07:00:00 GMT", "0"] {
            assert_eq!(after(at_once), None);
        }
        assert_eq!(after("99999999"), Some(HTTP_RETRY_AFTER_SECONDS_MAX));
        assert_eq!(after("soon"), None);
    }
}
