//! How the worker's own activities fared on the real server, by a case's golden history: what they meet outside is not
//! simulated, what the server makes of it is.

use std::collections::BTreeMap;

use segno::client::history_from_json;
use segno::engine::failure::{Failure, FailureInfo};
use segno::payload::{failure_from_proto, payloads_from_proto};
use segno::simulator::{ActivityTask, Attempt, End};
use segno::value::{Duration, Value, parse_json, to_json_string};
use temporalio_protos::temporal::api::common::v1::Payloads;
use temporalio_protos::temporal::api::failure::v1::Failure as ProtoFailure;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;

use super::case::Case;
use super::support::golden;

const ATTEMPT_TOOK: Duration = Duration {
    seconds: 0,
    nanos: 100_000_000,
};

/// By the activities' ids.
pub struct Recorded(BTreeMap<String, Activity>);

#[derive(Default)]
struct Activity {
    /// The number of the last attempt.
    number: u32,
    failure_before: Option<Failure>,
    /// None where the last attempt did not end by itself.
    end: Option<Result<Value, Failure>>,
}

impl Recorded {
    /// The address by which it was reached is replaced by another one.
    pub fn of(case: &Case, address: &str) -> Recorded {
        let mut all = BTreeMap::new();
        for line in golden::recorded(&format!("steps/{}", case.name)).lines() {
            let events = history_from_json(line).unwrap().events;
            let mut ids = BTreeMap::new();
            let mut renamed = Renamed {
                from: String::new(),
                to: address,
            };
            for event in events {
                let id = event.event_id;
                if let Some(attributes) = event.attributes {
                    hear(&mut all, &mut ids, &mut renamed, id, attributes);
                }
            }
        }
        Recorded(all)
    }

    pub fn attempt(&self, task: &ActivityTask) -> Option<Attempt> {
        let recorded = self.0.get(&task.activity_id)?;
        let end = match &recorded.failure_before {
            Some(before) if task.attempt < recorded.number => match before.info {
                FailureInfo::Timeout { .. } => None,
                _ => Some(Err(before.clone())),
            },
            _ => recorded.end.clone(),
        };
        let mut attempt = Attempt::ends(ATTEMPT_TOOK, Ok(Value::Null));
        attempt.end = end.map_or(End::Never, |end| End::After(ATTEMPT_TOOK, end));
        Some(attempt)
    }
}

/// Ids of activities are by the events that scheduled them.
fn hear(
    all: &mut BTreeMap<String, Activity>,
    ids: &mut BTreeMap<i64, String>,
    renamed: &mut Renamed,
    event_id: i64,
    attributes: Attributes,
) {
    use Attributes::*;
    let mut end = |scheduled: i64, end| {
        all.entry(ids[&scheduled].clone()).or_default().end = Some(end);
    };
    match attributes {
        WorkflowExecutionStartedEventAttributes(a) => {
            let input = value(a.input);
            renamed.from = input.as_str().map(origin).unwrap_or_default();
        }
        ActivityTaskScheduledEventAttributes(a) => {
            all.insert(a.activity_id.clone(), Activity::default());
            ids.insert(event_id, a.activity_id);
        }
        ActivityTaskStartedEventAttributes(a) => {
            let activity = all.entry(ids[&a.scheduled_event_id].clone()).or_default();
            activity.number = a.attempt as u32;
            activity.failure_before = a.last_failure.map(|failure| renamed.failure(failure));
        }
        ActivityTaskCompletedEventAttributes(a) => {
            end(a.scheduled_event_id, Ok(renamed.value(value(a.result))));
        }
        ActivityTaskFailedEventAttributes(a) => {
            let failure = renamed.failure(a.failure.unwrap_or_default());
            end(a.scheduled_event_id, Err(failure));
        }
        MarkerRecordedEventAttributes(mut a) => {
            let data = value(a.details.remove("data"));
            let id = data.get("activity_id").and_then(Value::as_str);
            let end = match a.failure {
                Some(failure) => Err(renamed.failure(failure)),
                None => Ok(renamed.value(value(a.details.remove("result")))),
            };
            let activity = Activity {
                number: 1,
                failure_before: None,
                end: Some(end),
            };
            all.extend(id.map(|id| (id.to_owned(), activity)));
        }
        _ => {}
    }
}

fn value(payloads: Option<Payloads>) -> Value {
    let payloads = payloads_from_proto(payloads);
    let first = payloads.first().and_then(|payload| payload.decode().ok());
    first.unwrap_or(Value::Null)
}

/// `http://HOST:PORT`.
fn origin(url: &str) -> String {
    url.split('/').take(3).collect::<Vec<_>>().join("/")
}

struct Renamed<'a> {
    from: String,
    to: &'a str,
}

impl Renamed<'_> {
    fn text(&self, text: &str) -> String {
        match self.from.is_empty() {
            true => text.to_owned(),
            false => text.replace(&self.from, self.to),
        }
    }

    fn value(&self, value: Value) -> Value {
        let text = self.text(&to_json_string(&value).unwrap());
        parse_json(text.as_bytes()).unwrap()
    }

    fn failure(&self, failure: ProtoFailure) -> Failure {
        let mut failure = failure_from_proto(failure);
        failure.message = self.text(&failure.message);
        if let FailureInfo::Application { details, .. } = &mut failure.info {
            for detail in details {
                *detail = self.value(detail.clone());
            }
        }
        failure
    }
}
