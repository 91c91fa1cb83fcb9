//! Values of flags, parsed and checked against what the server accepts.

use crate::accepted;
use crate::value::{Duration, Timestamp, Value};

pub(crate) fn length(text: &str) -> Result<Duration, String> {
    accepted::length(Duration::parse(text)?)
}

pub(crate) fn timestamp(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text)
        .ok_or_else(|| "not a timestamp; expected e.g. 2030-01-31T09:00:00Z".to_owned())
}

pub(crate) fn name(text: &str) -> Result<String, String> {
    accepted::name(&Value::from(text))
}

pub(crate) fn cron_schedule(text: &str) -> Result<String, String> {
    accepted::cron_schedule(&Value::from(text))
}

pub(crate) fn backoff_coefficient(text: &str) -> Result<f64, String> {
    accepted::backoff_coefficient(&number(text)?)
}

pub(crate) fn maximum_attempts(text: &str) -> Result<u32, String> {
    accepted::maximum_attempts(&number(text)?)
}

pub(crate) fn priority_key(text: &str) -> Result<i32, String> {
    accepted::priority_key(&number(text)?)
}

pub(crate) fn fairness_key(text: &str) -> Result<String, String> {
    accepted::fairness_key(&Value::from(text))
}

pub(crate) fn fairness_weight(text: &str) -> Result<f32, String> {
    accepted::fairness_weight(&number(text)?)
}

fn number(text: &str) -> Result<Value, String> {
    if let Ok(whole) = text.parse::<i64>() {
        return Ok(Value::Int(whole));
    }
    let number = text.parse().map_err(|_| "not a number".to_owned())?;
    Ok(Value::Double(number))
}

/// `KEY=VALUE`; the value may contain more equals signs.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}
