//! The activities of the step tests' worker and their HTTP server, as somebody outside the simulation answers for them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use segno::engine::failure::{Failure, FailureInfo};
use segno::simulator::{ActivityTask, Attempt, ChildTask, End, NexusTask, OnCancel, Outside};
use segno::value::{Duration, Payload, Value, from_json, to_json_string};
use serde_json::{Value as Json, json};

use super::recorded::Recorded;

/// A signal that an activity sends.
pub struct Sent {
    pub workflow_id: String,
    pub name: String,
    pub input: Option<Payload>,
}

pub struct Activities {
    http: String,
    sent: Arc<Mutex<Vec<Sent>>>,
    asked: BTreeMap<String, u64>,
    recorded: Recorded,
}

impl Activities {
    pub fn new(http: &str, recorded: Recorded, sent: Arc<Mutex<Vec<Sent>>>) -> Self {
        Activities {
            http: http.to_owned(),
            sent,
            asked: BTreeMap::new(),
            recorded,
        }
    }

    /// What others have got from it is in its history.
    fn recorded(&self, task: &ActivityTask, request: &Json) -> Attempt {
        let url = request["http"]["url"].as_str().unwrap_or_default();
        if url.ends_with("/callback/until-cancelled") {
            self.send(&task.workflow_id, "running", None);
        }
        self.recorded
            .attempt(task)
            .unwrap_or_else(|| ends(0, Ok(Value::Null)))
    }

    fn send(&self, workflow_id: &str, name: &str, input: Option<Payload>) {
        self.sent.lock().unwrap().push(Sent {
            workflow_id: workflow_id.to_owned(),
            name: name.to_owned(),
            input,
        });
    }

    fn until_cancelled(&self, task: &ActivityTask, how: &str) -> Attempt {
        self.send(&task.workflow_id, "running", None);
        let mut attempt = ends(0, Ok(Value::Null));
        attempt.end = End::Never;
        attempt.heartbeats = (1..1200)
            .map(|n| {
                (
                    Duration::from_millis(50 * n),
                    vec![Value::from("still here")],
                )
            })
            .collect();
        let beat = Duration::from_millis(50);
        attempt.on_cancel = match how {
            "complete" => OnCancel::Ends {
                after: beat,
                result: Ok(Value::from("completed all the same")),
            },
            "complete slowly" => OnCancel::Ends {
                after: Duration::from_millis(5050),
                result: Ok(Value::from("completed all the same")),
            },
            "fail" => {
                let mut failed = fatal("Unstoppable", "it cannot stop cleanly");
                let cause = failure("CancelledError", "Activity cancelled");
                failed.cause = Some(Box::new(cause));
                OnCancel::Ends {
                    after: beat,
                    result: Err(failed),
                }
            }
            "slowly" => OnCancel::Cancels {
                after: Duration::from_millis(350),
                details: Vec::new(),
            },
            _ => OnCancel::Cancels {
                after: beat,
                details: Vec::new(),
            },
        };
        attempt
    }

    fn resume(&self, task: &ActivityTask) -> Attempt {
        let done = task.heartbeat_details.first().and_then(number).unwrap_or(0);
        let mut attempt = match done + 2 < 6 {
            true => ends(
                150,
                Err(failure("Stopped", &format!("stopped at {}", done + 2))),
            ),
            false => ends(
                0,
                Ok(sorted(value(
                    &json!({ "done": done + 2, "attempt": task.attempt }),
                ))),
            ),
        };
        attempt.heartbeats = [1, 2]
            .into_iter()
            .map(|n| (Duration::default(), vec![Value::from(done + n)]))
            .collect();
        attempt
    }

    fn http(&mut self, task: &ActivityTask, request: &Json) -> Attempt {
        let url = request["url"].as_str().unwrap_or_default();
        let path = url
            .strip_prefix(&self.http)
            .unwrap_or_default()
            .trim_start_matches('/')
            .to_owned();
        let parts: Vec<&str> = path.split('/').collect();
        let times = self.asked.entry(path.clone()).or_default();
        *times += 1;
        let times = *times;
        let number = |place: usize| {
            parts
                .get(place)
                .and_then(|text| text.parse::<u64>().ok())
                .unwrap_or(0)
        };
        match parts.first().copied().unwrap_or_default() {
            "echo" => answered(url, 0, 200, &json!({ "said": parts[1] })),
            "fail" if times <= number(2) => answered(url, 0, 503, &json!({ "busy": true })),
            "status" => answered(url, 0, number(1), &json!({ "status": parts[1] })),
            "slow" => match task.start_to_close_timeout.and_then(Duration::to_std) {
                // The activity leaves itself time to say so.
                Some(most) if most.mul_f64(0.9) < std::time::Duration::from_millis(number(1)) => {
                    let limit = most.mul_f64(0.9);
                    let message = format!("GET {url} was not answered within {limit:?}");
                    let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
                    ends(millis, Err(failure("HttpTimeout", &message)))
                }
                _ => answered(url, number(1), 200, &json!({ "done": true })),
            },
            "signal" => {
                if times <= number(3) {
                    let input = Payload::from_value(&Value::from(times as i64)).ok();
                    self.send(parts[1], parts[2], input);
                }
                // The signal is there before the answer is.
                answered(url, number(4).max(1), 200, &json!({ "done": true }))
            }
            "job" => self.recorded(task, request),
            _ => answered(url, 0, 200, &json!({ "done": true })),
        }
    }
}

impl Outside for Activities {
    fn activity(&mut self, task: &ActivityTask) -> Attempt {
        let inputs: Vec<Value> = task.input.iter().map(|p| Value::from(p.clone())).collect();
        let json: Vec<Json> = task.input.iter().map(json_of).collect();
        let first = json.first().cloned().unwrap_or(Json::Null);
        let given = inputs.first().cloned().unwrap_or(Value::Null);
        if !["", "QUEUE", "steps"].contains(&task.task_queue.as_str()) {
            let mut never = ends(0, Ok(Value::Null));
            never.picked_up_after = None;
            return never;
        }
        match task.activity_type.as_str() {
            "echo" => ends(0, Ok(given)),
            "echo_all" => {
                let third = |n: usize| inputs.get(n).cloned().unwrap_or(Value::Null);
                ends(0, Ok(Value::list(vec![third(0), third(1), third(2)])))
            }
            "sleep" => ends(
                (first.as_f64().unwrap_or(0.0) * 1000.0) as u64,
                Ok(Value::from("slept")),
            ),
            "attempt" => ends(0, Ok(Value::from(i64::from(task.attempt)))),
            "fail" => ends(0, failing(task, &first)),
            "crash" => ends(
                0,
                Err(failure("ValueError", first.as_str().unwrap_or_default())),
            ),
            "until_cancelled" => self.until_cancelled(task, first.as_str().unwrap_or("raise")),
            "fail_and_hang" => match task.attempt {
                1 => ends(0, Err(failure("Flaky", "not this time"))),
                _ => ends(3_600_000, Ok(Value::Null)),
            },
            "silent" => {
                let mut silent = ends(3_600_000, Ok(Value::Null));
                silent.on_cancel = OnCancel::Ignore;
                silent
            }
            "resume" => self.resume(task),
            "big" => ends(
                0,
                Ok(Value::from(
                    "x".repeat(first.as_u64().unwrap_or(0) as usize),
                )),
            ),
            "nothing" => ends(0, Ok(Value::Null)),
            "binary" => ends(0, Ok(Value::Bytes([0_u8, 1, 2].as_slice().into()))),
            "completed_from_outside" => ends(100, Ok(Value::from("from outside"))),
            "http" => self.http(task, &first),
            "callback" | "exec" | "grpc" => self.recorded(task, &first),
            _ => match (first["refused"].as_str(), first["minutes"].as_f64()) {
                (Some(refused), _) => ends(
                    0,
                    Err(fatal(refused, &format!("{} refused", task.activity_type))),
                ),
                (None, minutes) => ends(
                    (minutes.unwrap_or(0.0) * 60_000.0) as u64,
                    Ok(sorted(given)),
                ),
            },
        }
    }

    fn child(&mut self, _: &ChildTask) -> Option<Attempt> {
        None
    }

    fn nexus(&mut self, task: &NexusTask) -> Attempt {
        let input = json_of(&task.input);
        let text = |key: &str| input[key].as_str();
        if task.operation == "quick" {
            let mut attempt = match (text("fail"), text("refuse")) {
                (Some(message), _) => ends(0, Err(fatal("OperationError", message))),
                (_, Some(message)) => {
                    let info = FailureInfo::NexusHandler {
                        error_type: "BAD_REQUEST".to_owned(),
                    };
                    ends(0, Err(Failure::new(message, info)))
                }
                _ => ends(0, Ok(value(&json!({ "quick": input["value"] })))),
            };
            attempt.picked_up_after = None;
            return attempt;
        }
        let mut attempt = match text("fail") {
            Some(message) => ends(10, Err(fatal("OperationFailed", message))),
            None => ends(10, Ok(value(&json!({ "slow": input["value"] })))),
        };
        if input["hang"] == true {
            attempt.end = End::Never;
        }
        if input["completes"] == true {
            attempt.on_cancel = OnCancel::Ends {
                after: Duration::from_millis(10),
                result: Ok(value(&json!({ "slow": input["value"] }))),
            };
        }
        attempt
    }
}

fn failing(task: &ActivityTask, what: &Json) -> Result<Value, Failure> {
    if what["times"]
        .as_u64()
        .is_some_and(|times| u64::from(task.attempt) > times)
    {
        return Ok(Value::from(i64::from(task.attempt)));
    }
    let mut failed = failure(
        what["type"].as_str().unwrap_or_default(),
        what["message"].as_str().unwrap_or("it failed"),
    );
    if let FailureInfo::Application {
        details,
        non_retryable,
        ..
    } = &mut failed.info
    {
        *details = what["details"]
            .as_array()
            .into_iter()
            .flatten()
            .map(value)
            .collect();
        *non_retryable = what["non_retryable"] == true;
    }
    if let Some(cause) = what["cause"].as_object() {
        let text = |key: &str| cause.get(key).and_then(Json::as_str).unwrap_or_default();
        failed.cause = Some(Box::new(failure(text("type"), text("message"))));
    }
    Err(failed)
}

/// As the built-in `http` has it.
fn answered(url: &str, millis: u64, status: u64, body: &Json) -> Attempt {
    let headers = json!({ "content-type": "application/json", "content-length": python(body).len().to_string() });
    let answer = value(&json!({ "status": status, "headers": headers, "body": body }));
    let reason = match status {
        503 => "Service Unavailable",
        404 => "Not Found",
        _ => "OK",
    };
    if status < 400 {
        return ends(millis, Ok(answer));
    }
    let message = format!("GET {url} was answered {status} {reason}");
    let mut failed = failure("HttpStatus", &message);
    if let FailureInfo::Application {
        details,
        non_retryable,
        ..
    } = &mut failed.info
    {
        *details = vec![answer];
        *non_retryable = status == 404;
    }
    ends(millis, Err(failed))
}

/// Python writes a blank after each colon and comma.
fn python(body: &Json) -> String {
    to_json_string(&value(body))
        .unwrap()
        .replace(':', ": ")
        .replace(',', ", ")
}

fn ends(millis: u64, result: Result<Value, Failure>) -> Attempt {
    Attempt::ends(Duration::from_millis(millis as i64), result)
}

/// Python's SDK sorts the keys of what it sends.
fn sorted(value: Value) -> Value {
    let Ok(text) = to_json_string(&value) else {
        return value;
    };
    let sorted: Option<BTreeMap<String, Json>> = serde_json::from_str(&text).ok();
    sorted.map_or(value, |sorted| from_json(&json!(sorted)).unwrap())
}

fn failure(error_type: &str, message: &str) -> Failure {
    Failure::application(error_type, message)
}

fn fatal(error_type: &str, message: &str) -> Failure {
    let mut failed = failure(error_type, message);
    if let FailureInfo::Application { non_retryable, .. } = &mut failed.info {
        *non_retryable = true;
    }
    failed
}

fn value(json: &Json) -> Value {
    from_json(json).unwrap()
}

fn number(payload: &Payload) -> Option<i64> {
    json_of(payload).as_i64()
}

fn json_of(payload: &Payload) -> Json {
    let decoded = payload.decode().ok();
    let text = decoded.and_then(|value| to_json_string(&value).ok());
    text.and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or(Json::Null)
}
