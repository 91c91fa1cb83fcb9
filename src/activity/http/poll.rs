//! Polling: which answers mean "not yet", and what the next attempt needs to know.

use std::time::Duration;

use serde_json::Value as Json;

use super::status::Statuses;
use crate::activity::input::{entries, known_keys, read_duration, table_keys};
use crate::activity::secret::Redactor;
use crate::definition::tables;
use crate::value::{Map, Value, to_json};

const EVERY_DEFAULT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Poll {
    pub(crate) every: Duration,
    /// Statuses that mean "not yet".
    pub(crate) statuses: Statuses,
    /// Values that mean "not yet", by places in the body as JSON Pointers.
    body: Vec<(String, Vec<Json>)>,
}

impl Poll {
    pub(crate) fn read(value: Option<&Value>) -> Result<Option<Poll>, String> {
        let Some(value) = value.filter(|v| !matches!(v, Value::Null)) else {
            return Ok(None);
        };
        let map = value
            .as_map()
            .ok_or("`poll` is a mapping, maybe an empty one")?;
        known_keys(map, table_keys(&tables::HTTP_POLL), "`poll`")?;
        let every = read_duration(map.get("every"), "every")?;
        let statuses = Statuses::read(map, "pending_status")?;
        Ok(Some(Poll {
            every: every.unwrap_or(EVERY_DEFAULT),
            statuses: statuses.unwrap_or_else(|| Statuses::one(202)),
            body: read_body(map.get("pending_body"))?,
        }))
    }

    /// Whether the body of the answer means "not yet".
    pub(crate) fn is_pending(&self, answer: &Value) -> bool {
        let body = answer.get("body").and_then(|body| to_json(body).ok());
        let body = body.unwrap_or_default();
        let says = |(place, values): &(String, Vec<Json>)| {
            body.pointer(place)
                .is_some_and(|found| values.contains(found))
        };
        self.body.iter().any(says)
    }
}

fn read_body(value: Option<&Value>) -> Result<Vec<(String, Vec<Json>)>, String> {
    let wrong = |place: &str, why: &str| format!("`pending_body`: `{place}` {why}");
    let read = |(place, value): (String, &Value)| {
        if !place.starts_with('/') {
            return Err(wrong(&place, "is no JSON Pointer, as /job/status"));
        }
        let json = to_json(value).map_err(|_| wrong(&place, "has no JSON form"))?;
        let values = match json {
            Json::Array(values) => values,
            one => vec![one],
        };
        Ok((place, values))
    };
    entries(value, "pending_body")?
        .into_iter()
        .map(read)
        .collect()
}

/// The progress: what a heartbeat contains, and where the next attempt continues.
#[derive(Debug, Default)]
pub(crate) struct Polled {
    pub(crate) polls: i64,
    /// The URL that an answer redirected to for further requests.
    pub(crate) url: Option<String>,
}

impl Polled {
    pub(crate) fn resume(last_heartbeat: Option<&Value>) -> Polled {
        let last = last_heartbeat.and_then(|last| last.force().ok());
        let get = |name| last.and_then(|last| last.get(name));
        Polled {
            polls: match get("polls") {
                Some(Value::Int(polls)) => *polls,
                _ => 0,
            },
            url: get("url").and_then(Value::as_str).map(str::to_owned),
        }
    }

    /// A URL with a secret in it is left out, since it would be useless without the secret.
    pub(crate) fn to_value(&self, redactor: &Redactor) -> Value {
        let mut map = Map::from_iter([("polls", Value::from(self.polls))]);
        if let Some(url) = self.url.as_ref().filter(|url| redactor.text(url) == **url) {
            map.insert("url", url.as_str());
        }
        Value::map(map)
    }
}
