//! Compares what a test expects with what happened.

use super::check::plain;
use super::file::{Action, Case, Computed, END_VARIABLES, ExpectedFailure};
use super::run::Ran;
use crate::definition::Name;
use crate::diagnostic::Diagnostic;
use crate::engine::failure::{Failure, FailureInfo};
use crate::simulator::{Outcome, Status};
use crate::source::Range;
use crate::value::{Map, Payload, Timestamp, Value, to_json_string};

/// The code of what no order of delivery may cause, whatever a test expects.
pub(crate) const BROKEN: &str = "run-broken";

/// The length at which a value or a list in a help line is cut.
const HELP_CHARS_MAX: usize = 500;

/// Everything that is not as expected.
pub(crate) fn check(case: &Case, ran: &mut Ran) -> Vec<Diagnostic> {
    let mut found = std::mem::take(&mut ran.problems);
    let is_lacking = ran.asked.lock().is_lacking();
    {
        let mut asked = ran.asked.lock();
        let unknown = asked.unknown.drain(..);
        found.extend(unknown.map(|(message, help)| failed(case.range, message).help(help)));
        found.append(&mut asked.problems);
    }
    // Without it there is no other report.
    if !found.is_empty() && is_lacking {
        return found;
    }
    found.extend(starts(case, ran));
    let Some(run) = ran.run() else {
        return found;
    };
    let simulator = &ran.simulator;
    for run in simulator.runs() {
        if let Some(failure) = simulator.task_failure(run) {
            let id = simulator.workflow_type(run);
            let message = format!("`{id}` cannot continue: {failure}");
            found.push(Diagnostic::error(BROKEN, case.range, message));
        }
    }
    let outcome = simulator.outcome(run).cloned();
    let status = simulator.status(run);
    ending(case, ran, outcome.as_ref(), status, &mut found);
    calls(case, ran, &mut found);
    if let Some(elapsed) = &case.expect.elapsed {
        let came = ran.ended.since(ran.started).unwrap_or_default();
        if came != elapsed.value {
            let message = format!("it took {}, not {}", came.words(), elapsed.value.words());
            found.push(failed(elapsed.range, message));
        }
    }
    history(case, ran, &mut found);
    let state = ran.simulator.state(run).unwrap_or(Value::Null);
    for (name, expected) in &case.expect.state {
        let came = state.get(&name.value).cloned();
        found.extend(same(
            &format!("the state's `{}`", name.value),
            expected,
            came,
        ));
    }
    for (name, expected) in &case.expect.queries {
        let answer = ran
            .simulator
            .query(&ran.workflow_id, &name.value, Vec::new());
        match answer {
            Ok(Ok(payload)) => {
                let what = format!("the query `{}`", name.value);
                found.extend(same(&what, expected, Some(Value::from(payload))));
            }
            Ok(Err(failure)) => {
                let message = format!("the query `{}` fails: {}", name.value, failure.message);
                found.push(failed(name.range, message));
            }
            Err(refused) => found.push(failed(name.range, refused.to_string())),
        }
    }
    conditions(case, ran, outcome.as_ref(), state, &mut found);
    found
}

/// Compares the times for which a schedule has started runs.
fn starts(case: &Case, ran: &Ran) -> Option<Diagnostic> {
    let schedule = ran.schedule?;
    let times = ran.simulator.scheduled(schedule).iter();
    let came: Vec<_> = times.map(|(at, _)| *at).collect();
    match (&case.expect.starts, &case.schedule) {
        (Some((_, wanted)), _) if *wanted == came => None,
        (Some((range, wanted)), _) => {
            let texts = |times: &[Timestamp]| match times {
                [] => "none".to_owned(),
                times => times
                    .iter()
                    .map(Timestamp::to_string)
                    .collect::<Vec<_>>()
                    .join(", "),
            };
            let message = "the schedule has not started runs for the expected times";
            Some(
                failed(*range, message)
                    .help(format!("expected {}", texts(wanted)))
                    .help(format!("came     {}", texts(&came))),
            )
        }
        (None, Some(name)) if came.is_empty() => {
            let until = case.until.unwrap_or_default().words();
            let message = format!("the schedule `{}` starts nothing for {until}", name.value);
            let next = ran.simulator.next_time(schedule, ran.started);
            Some(failed(name.range, message).help(match next {
                Some(next) => format!("its first time after {} is {next}", ran.started),
                None => format!("it has no time after {}", ran.started),
            }))
        }
        _ => None,
    }
}

/// The expected status, explicit or not.
fn ending(
    case: &Case,
    ran: &Ran,
    outcome: Option<&Outcome>,
    status: Status,
    found: &mut Vec<Diagnostic>,
) {
    let expect = &case.expect;
    let implied = match expect.failure {
        Some(_) => "failed",
        None => "completed",
    };
    let (wanted, range) = match &expect.status {
        Some(status) => (status.value, status.range),
        None => {
            let failure = expect.failure.as_ref().map(|failure| failure.range);
            let result = expect.result.as_ref().map(|result| result.range);
            (implied, failure.or(result).unwrap_or(case.range))
        }
    };
    let came = name(status);
    if came != wanted {
        found.push(unlike(ran, outcome, status, wanted, range));
        return;
    }
    if let (Some(expected), Some(Outcome::Completed(payload))) = (&expect.result, outcome) {
        let came = Some(Value::from(payload.clone()));
        found.extend(same("the result", expected, came));
    }
    if let (Some(expected), Some(Outcome::Failed(failure))) = (&expect.failure, outcome) {
        found.extend(fails("the workflow", expected, failure));
    }
}

fn unlike(
    ran: &Ran,
    outcome: Option<&Outcome>,
    status: Status,
    wanted: &str,
    range: Range,
) -> Diagnostic {
    let how = match outcome {
        Some(Outcome::Completed(payload)) => {
            format!("it completed with {}", shown(&Value::from(payload.clone())))
        }
        Some(Outcome::Failed(failure)) => format!("it failed: {}", described(failure)),
        Some(Outcome::Terminated { reason }) => format!("it was terminated: {reason}"),
        _ => match status {
            Status::Cancelled => "it ended as cancelled".to_owned(),
            Status::TimedOut => "it timed out".to_owned(),
            _ if ran.simulator.next_due().is_some() => "it still runs".to_owned(),
            _ => "it waits for ever".to_owned(),
        },
    };
    let mut diagnostic = failed(
        range,
        format!("the workflow has not {}: {how}", participle(wanted)),
    );
    if status == Status::Running
        && let Some(places) = ran.timeline.waits()
    {
        diagnostic = diagnostic.help(format!("it waits at {places}"));
    }
    diagnostic
}

fn participle(status: &str) -> &str {
    match status {
        "running" => "been left waiting",
        "cancelled" => "ended as cancelled",
        "terminated" => "been terminated",
        "timed_out" => "timed out",
        status => status,
    }
}

pub(crate) fn name(status: Status) -> &'static str {
    match status {
        Status::Running => "running",
        Status::Completed => "completed",
        Status::Failed => "failed",
        Status::Cancelled => "cancelled",
        Status::Terminated => "terminated",
        Status::TimedOut => "timed_out",
        Status::ContinuedAsNew => "continued_as_new",
    }
}

fn calls(case: &Case, ran: &Ran, found: &mut Vec<Diagnostic>) {
    let asked = ran.asked.lock();
    for (name, expected) in &case.expect.called {
        let came = asked
            .calls
            .iter()
            .filter(|call| *call.name == *name.value)
            .count() as u64;
        if came != *expected {
            let message = format!(
                "`{}` was called {}, not {}",
                name.value,
                times(came),
                times(*expected)
            );
            found.push(failed(name.range, message));
        }
    }
    let Some((range, expected)) = &case.expect.calls else {
        return;
    };
    for (place, (name, input)) in expected.iter().enumerate() {
        let Some(call) = asked.calls.get(place) else {
            let message = format!(
                "`{}` was not called; there were {}",
                name.value,
                times(place as u64)
            );
            found.push(failed(name.range, message));
            return;
        };
        if *call.name != *name.value {
            let message = format!(
                "call {} is of `{}`, not of `{}`",
                place + 1,
                call.name,
                name.value
            );
            found.push(failed(name.range, message));
            return;
        }
        let what = format!("the input of call {}, of `{}`,", place + 1, name.value);
        found.extend(same(&what, input, Some(call.input.clone())));
    }
    if let Some(call) = asked.calls.get(expected.len()) {
        let message = format!(
            "unexpected call of `{}` with {}",
            call.name,
            shown(&call.input)
        );
        found.push(failed(*range, message));
    }
}

fn times(count: u64) -> String {
    match count {
        0 => "never".to_owned(),
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}

fn history(case: &Case, ran: &Ran, found: &mut Vec<Diagnostic>) {
    let Some(run) = ran.run() else {
        return;
    };
    let mut events = ran.simulator.history(run).iter();
    for name in &case.expect.history {
        let wanted = plain(&name.value);
        let is_it = |event: &temporalio_protos::temporal::api::history::v1::HistoryEvent| {
            let came = plain(event.event_type().as_str_name());
            came.strip_prefix("eventtype") == Some(&wanted)
        };
        if !events.any(is_it) {
            let message = format!("the history has no `{}` at this point", name.value);
            let all = ran.simulator.history(run).iter();
            let all = all.map(|event| format!("{:?}", event.event_type()));
            let all: Vec<_> = all
                .filter(|name| !name.starts_with("WorkflowTask"))
                .collect();
            found
                .push(failed(name.range, message).help(format!("it has {}", cut(&all.join(", ")))));
            return;
        }
    }
}

fn conditions(
    case: &Case,
    ran: &Ran,
    outcome: Option<&Outcome>,
    state: Value,
    found: &mut Vec<Diagnostic>,
) {
    let result = match outcome {
        Some(Outcome::Completed(payload)) => Value::from(payload.clone()),
        _ => Value::Null,
    };
    let (calls, attempts) = {
        let asked = ran.asked.lock();
        let call = |call: &super::mocks::Call| {
            let mut map = Map::new();
            map.insert("type", call.name.as_str());
            map.insert("input", call.input.clone());
            Value::map(map)
        };
        let calls = Value::list(asked.calls.iter().map(call).collect());
        let attempts = asked.attempts.iter();
        let attempts: Map = attempts
            .map(|(name, count)| {
                (
                    std::sync::Arc::<str>::from(name.as_str()),
                    Value::from(i64::try_from(*count).unwrap_or(i64::MAX)),
                )
            })
            .collect();
        (calls, Value::map(attempts))
    };
    let elapsed = Value::Duration(ran.ended.since(ran.started).unwrap_or_default());
    let runs = Value::from(ran.runs() as i64);
    let variables = [
        result,
        state,
        ran.input.clone(),
        calls,
        attempts,
        elapsed,
        runs,
    ];
    for condition in &case.expect.that {
        match condition.value(&variables) {
            Ok(Value::Bool(true)) => {}
            Ok(came) => {
                let message = match came {
                    Value::Bool(_) => "this is false at the end".to_owned(),
                    other => format!("expected true or false at the end, found {}", shown(&other)),
                };
                let values = END_VARIABLES.iter().zip(&variables);
                let values = values.filter(|(_, value)| !matches!(value, Value::Null));
                let values = values.map(|(name, value)| format!("{name}: {}", cut(&shown(value))));
                let values: Vec<_> = values.collect();
                found.push(failed(condition.range, message).help(values.join(" · ")));
            }
            Err(problem) => found.push(problem),
        }
    }
}

/// Compares the answer of a query or an update with what the action expects.
pub(crate) fn answer(
    kind: &str,
    name: &Name,
    action: &Action,
    answer: &Result<Payload, Failure>,
) -> Option<Diagnostic> {
    let what = format!("the {kind} `{}`", name.value);
    match (answer, &action.expect, &action.expect_failure) {
        (Ok(payload), Some(expected), _) => {
            same(&what, expected, Some(Value::from(payload.clone())))
        }
        (Err(failure), _, Some(expected)) => fails(&what, expected, failure),
        (Ok(payload), None, Some(expected)) => {
            let came = shown(&Value::from(payload.clone()));
            Some(failed(
                expected.range,
                format!("{what} does not fail: it answers {came}"),
            ))
        }
        (Err(failure), expected, None) => {
            let range = expected
                .as_ref()
                .map_or(name.range, |expected| expected.range);
            Some(failed(
                range,
                format!("{what} fails: {}", described(failure)),
            ))
        }
        (Ok(_), None, None) => None,
    }
}

fn same(what: &str, expected: &Computed, came: Option<Value>) -> Option<Diagnostic> {
    let wanted = match expected.value(&[]) {
        Ok(wanted) => wanted,
        Err(problem) => return Some(problem),
    };
    let (wanted, came) = (shown(&wanted), came.as_ref().map(shown));
    if came.as_ref().is_some_and(|came| equal(&wanted, came)) {
        return None;
    }
    let came = came.unwrap_or_else(|| "nothing".to_owned());
    Some(
        failed(
            expected.range,
            format!("{what} differs from the expected one"),
        )
        .label(format!("found {came}"))
        .help(format!("expected {wanted}"))
        .help(format!("found    {came}")),
    )
}

/// As JSON: the order of keys is irrelevant, and `1` equals `1.0`.
fn equal(a: &str, b: &str) -> bool {
    let parsed = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    match (parsed(a), parsed(b)) {
        (Some(a), Some(b)) => equal_json(&a, &b),
        _ => a == b,
    }
}

fn equal_json(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object};
    match (a, b) {
        (Number(a), Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Array(a), Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal_json(a, b))
        }
        (Object(a), Object(b)) => {
            let same = |(key, a): (&String, _)| b.get(key).is_some_and(|b| equal_json(a, b));
            a.len() == b.len() && a.iter().all(same)
        }
        (a, b) => a == b,
    }
}

fn fails(what: &str, expected: &ExpectedFailure, failure: &Failure) -> Option<Diagnostic> {
    let came = described(failure);
    let unlike = |part: String, range: Range| {
        failed(range, format!("{what} fails differently: {part}"))
            .help(format!("it failed: {came}"))
    };
    if let Some(error) = &expected.error
        && !failure.chain().any(|failure| failure.matches(&error.value))
    {
        return Some(unlike(
            format!("it is not a `{}`", error.value),
            error.range,
        ));
    }
    if let Some(message) = &expected.message
        && !failure
            .chain()
            .any(|failure| failure.message.contains(&*message.value))
    {
        return Some(unlike("it has another message".to_owned(), message.range));
    }
    let details = expected.details.as_ref()?;
    let wanted: Result<Vec<Value>, _> = details.iter().map(|detail| detail.value(&[])).collect();
    let wanted = match wanted {
        Ok(wanted) => shown(&Value::list(wanted)),
        Err(problem) => return Some(problem),
    };
    let has = |failure: &Failure| match &failure.info {
        FailureInfo::Application { details, .. } => {
            equal(&wanted, &shown(&Value::list(details.clone())))
        }
        _ => false,
    };
    let other = !failure.chain().any(has);
    other.then(|| unlike("it has other details".to_owned(), expected.range))
}

fn described(failure: &Failure) -> String {
    let each = failure.chain().map(|failure| {
        let error_type = failure.error_type().filter(|t| !t.is_empty());
        let kind = error_type.unwrap_or(failure.kind().name());
        format!("{kind} {:?}", failure.message)
    });
    each.collect::<Vec<_>>().join(", because of ")
}

/// Cuts a text to the length of a help line.
fn cut(text: &str) -> String {
    match text.char_indices().nth(HELP_CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

pub(crate) fn shown(value: &Value) -> String {
    to_json_string(value).unwrap_or_else(|error| format!("({error})"))
}

fn failed(range: Range, message: impl Into<String>) -> Diagnostic {
    Diagnostic::error("test-failed", range, message)
}
