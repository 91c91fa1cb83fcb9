//! A schedule as facts, key by key with the words of a definition, for comparison.

use crate::accepted::{Calendar, Interval, ScheduleError, ScheduleSpec};
use crate::client::{StartOptions, duration_units};
use crate::value::{Duration, Payload, to_json};
use crate::words::RetryPolicy;

/// A key with another value on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) key: &'static str,
    /// The server's value; `None` if it has none.
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
}

/// Keys and values; unset values are not listed.
pub(crate) type Facts = Vec<(&'static str, String)>;

pub(crate) fn differences(from: &Facts, to: &Facts) -> Vec<Difference> {
    let value = |facts: &Facts, key| {
        let found = facts.iter().find(|(k, _)| *k == key);
        found.map(|(_, value)| value.clone())
    };
    let mut keys: Vec<&'static str> = Vec::new();
    for (key, _) in to.iter().chain(from) {
        if !keys.contains(key) {
            keys.push(key);
        }
    }
    let pairs = keys.into_iter().map(|key| Difference {
        key,
        from: value(from, key),
        to: value(to, key),
    });
    pairs.filter(|pair| pair.from != pair.to).collect()
}

/// The facts of a specification in its normal form, and of what it starts.
pub(crate) fn facts(spec: &ScheduleSpec, action: &StartOptions) -> Result<Facts, ScheduleError> {
    let spec = spec.normal()?;
    let (cron, calendars): (Vec<_>, Vec<_>) =
        spec.calendars.iter().partition(|c| c.as_cron().is_some());
    let cron = cron.into_iter().filter_map(Calendar::as_cron);
    let mut facts = Facts::new();
    let mut list = |key, values: Vec<String>| {
        if !values.is_empty() {
            facts.push((key, values.join("; ")));
        }
    };
    list("cron", cron.map(str::to_owned).collect());
    list("intervals", spec.intervals.iter().map(interval).collect());
    list(
        "calendars",
        calendars.into_iter().map(Calendar::to_string).collect(),
    );
    list("skip", spec.skip.iter().map(Calendar::to_string).collect());
    let mut say = |key, value: Option<String>| facts.extend(value.map(|value| (key, value)));
    say("time_zone", spec.time_zone.clone());
    say("start_time", spec.start_time.map(|time| time.to_string()));
    say("end_time", spec.end_time.map(|time| time.to_string()));
    say("jitter", spec.jitter.map(duration_units));
    let policy = spec.overlap_policy.map(|policy| policy.word().to_owned());
    say("overlap_policy", policy);
    say("catchup_window", spec.catchup_window.map(duration_units));
    let pauses = spec.pause_on_failure == Some(true);
    say("pause_on_failure", pauses.then(|| "true".to_owned()));
    facts.extend(action_facts(action));
    Ok(facts)
}

fn action_facts(action: &StartOptions) -> Facts {
    let length = |length: Option<Duration>| length.map(duration_units);
    let input: Vec<String> = action.input.iter().map(payload).collect();
    let facts = [
        ("workflow", Some(action.workflow_type.clone())),
        ("workflow_id", action.workflow_id.clone()),
        ("task_queue", Some(action.task_queue.clone())),
        ("input", (!input.is_empty()).then(|| input.join(", "))),
        ("memo", fields(&action.memo)),
        ("search_attributes", fields(&action.search_attributes)),
        (
            "workflow_execution_timeout",
            length(action.execution_timeout),
        ),
        ("workflow_run_timeout", length(action.run_timeout)),
        ("workflow_task_timeout", length(action.task_timeout)),
        ("retry_policy", action.retry_policy.as_ref().map(retries)),
    ];
    let said = facts.into_iter();
    said.filter_map(|(key, value)| Some((key, value?)))
        .collect()
}

fn interval(interval: &Interval) -> String {
    let every = duration_units(interval.every);
    match interval.offset == Duration::default() {
        true => every,
        false => format!("{every}/{}", duration_units(interval.offset)),
    }
}

fn fields(fields: &[(String, Payload)]) -> Option<String> {
    let said = fields
        .iter()
        .map(|(name, value)| format!("{name}: {}", payload(value)));
    let said: Vec<String> = said.collect();
    (!said.is_empty()).then(|| said.join(", "))
}

fn payload(payload: &Payload) -> String {
    let json = payload.decode().ok().and_then(|value| to_json(&value).ok());
    match json {
        Some(json) => json.to_string(),
        None => payload.data.iter().map(|b| format!("{b:02x}")).collect(),
    }
}

/// With the server's defaults for unset fields.
fn retries(policy: &RetryPolicy) -> String {
    let said = [
        policy
            .initial_interval
            .map(|i| format!("initial_interval {}", duration_units(i))),
        policy
            .backoff_coefficient
            .map(|c| format!("backoff_coefficient {c}")),
        policy
            .maximum_interval
            .map(|i| format!("maximum_interval {}", duration_units(i))),
        policy
            .maximum_attempts
            .map(|n| format!("maximum_attempts {n}")),
    ];
    let mut said: Vec<String> = said.into_iter().flatten().collect();
    if !policy.non_retryable_error_types.is_empty() {
        let types = policy.non_retryable_error_types.join(" ");
        said.push(format!("non_retryable_error_types {types}"));
    }
    said.join(", ")
}
