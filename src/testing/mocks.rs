//! The mocks of a test for activities, children and Nexus operations, as the simulation needs them; and a record of the
//! calls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::expect::shown;
use super::file::{Cancelled, Case, MockedFailure, Mocks, Outcome};
use super::real::Real;
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::engine::failure::{Failure, FailureInfo};
use crate::simulator::{ActivityTask, Attempt, ChildTask, End, NexusTask, OnCancel, Outside};
use crate::timeline::Timeline;
use crate::value::{Duration, Payload, Value};

/// A policy without a bound would retry for ever.
const ATTEMPTS_MAX: u32 = 1000;

/// Something that the workflow called.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// The single argument, or a list of all.
    pub(crate) input: Value,
}

/// State that the test's driver and the simulation share.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) calls: Vec<Call>,
    /// By type.
    pub(crate) attempts: BTreeMap<String, u64>,
    /// Calls without a mock, with their places and what to do.
    pub(crate) unknown: Vec<(String, &'static str)>,
    pub(crate) problems: Vec<Diagnostic>,
    taken: BTreeMap<String, usize>,
    scheduled: BTreeSet<(String, bool, i64)>,
}

impl Asked {
    /// Whether the test's mocks are insufficient to continue.
    pub(crate) fn is_lacking(&self) -> bool {
        !self.unknown.is_empty() || !self.problems.is_empty()
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Asked>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Asked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Mocked {
    activities: Mocks,
    children: Mocks,
    nexus: Mocks,
    workflows: BTreeSet<String>,
    asked: Shared,
    timeline: Arc<Timeline>,
    real: Option<Arc<Real>>,
}

impl Mocked {
    pub(crate) fn new(
        case: &Case,
        asked: Shared,
        timeline: Arc<Timeline>,
        real: Option<Arc<Real>>,
    ) -> Self {
        let workflows = case.workflows.iter();
        Mocked {
            activities: case.activities.clone(),
            children: case.children.clone(),
            nexus: case.nexus.clone(),
            workflows: workflows.map(|name| name.value.to_string()).collect(),
            asked,
            timeline,
            real,
        }
    }

    fn attempt(
        &self,
        mocks: &Mocks,
        name: &str,
        input: &[Payload],
        task: Option<&ActivityTask>,
    ) -> Option<Attempt> {
        let attempt = task.map_or(1, |task| task.attempt);
        let (mocked, outcomes) = mocks.iter().find(|(other, _)| *other.value == *name)?;
        let mut asked = self.asked.lock();
        let call = asked.attempts.entry(name.to_owned()).or_default();
        *call += 1;
        let args: Vec<Value> = input.iter().map(decoded).collect();
        let variables = [
            args.first().cloned().unwrap_or(Value::Null),
            Value::list(args),
            Value::from(i64::from(attempt)),
            Value::from(i64::try_from(*call).unwrap_or(i64::MAX)),
        ];
        if attempt > ATTEMPTS_MAX {
            let message = format!(
                "the activity `{name}` has had {ATTEMPTS_MAX} attempts (ATTEMPTS_MAX): its policy retries the outcome that the test defines for ever"
            );
            let help = "bound it with `maximum_attempts` or `schedule_to_close_timeout`, or define the outcome of a later attempt";
            asked.unknown.push((message, help));
            return None;
        }
        let Some(outcome) = self.chosen(&mut asked, name, outcomes, &variables) else {
            let message = format!(
                "no outcome of `{name}` matches attempt {attempt} with the input {}",
                shown(&variables[0])
            );
            let problem = Diagnostic::error("test-failed", mocked.range, message)
                .help("add an outcome without `when` for all other attempts");
            asked.problems.push(problem);
            return None;
        };
        match planned(outcome, &variables) {
            Ok(mut attempt) => {
                if let (Some(_), Some(real), Some(task)) = (&outcome.real, &self.real, task) {
                    attempt.end = match real.run(task) {
                        Some(result) => End::After(outcome.after, result),
                        None => End::Never,
                    };
                }
                Some(attempt)
            }
            Err(problem) => {
                asked.problems.push(problem);
                None
            }
        }
    }

    /// The first whose condition is true, else the next of those without one.
    fn chosen<'o>(
        &self,
        asked: &mut Asked,
        name: &str,
        outcomes: &'o [Outcome],
        variables: &[Value],
    ) -> Option<&'o Outcome> {
        for outcome in outcomes {
            match outcome.when.as_ref().map(|when| when.value(variables)) {
                Some(Ok(Value::Bool(true))) => return Some(outcome),
                Some(Err(problem)) => asked.problems.push(problem),
                _ => {}
            }
        }
        let rest: Vec<_> = outcomes.iter().filter(|o| o.when.is_none()).collect();
        let taken = asked.taken.entry(name.to_owned()).or_default();
        let outcome = rest.get(*taken).or(rest.last()).copied();
        *taken += 1;
        outcome
    }

    fn unknown(&self, kind: &str, name: &str, mocks: &Mocks) -> Attempt {
        let near = did_you_mean(name, mocks.iter().map(|(name, _)| &*name.value));
        let near = near.map_or(String::new(), |near| {
            format!("; it defines one for `{near}`")
        });
        let mut open = self.timeline.entries();
        open.retain(|entry| entry.ended.is_none());
        let calls = open
            .iter()
            .rfind(|entry| entry.calls.as_deref() == Some(name));
        // If an expression chose it, its step is most likely the last.
        let at = calls.or(open.last()).map(|entry| entry.place.clone());
        let at = at.map_or(String::new(), |at| format!(" at {at}"));
        let message = format!(
            "the {kind} `{name}` is called{at}, but the test defines no outcome for it{near}"
        );
        let mut asked = self.asked.lock();
        // Otherwise what is wrong with the test's mocks was already reported.
        if asked.unknown.is_empty() && asked.problems.is_empty() {
            let help = "define it under `activities`, `children` or `nexus`";
            asked.unknown.push((message, help));
        }
        Attempt {
            end: End::Never,
            ..Attempt::ends(Duration::ZERO, Ok(Value::Null))
        }
    }

    fn called(&self, name: &str, input: &[Payload]) {
        let mut args: Vec<Value> = input.iter().map(decoded).collect();
        let input = match args.len() {
            0 => Value::Null,
            1 => args.remove(0),
            _ => Value::list(args),
        };
        self.asked.lock().calls.push(Call {
            name: name.to_owned(),
            input,
        });
    }
}

impl Outside for Mocked {
    fn activity(&mut self, task: &ActivityTask) -> Attempt {
        let key = (task.run_id.clone(), task.is_local, task.scheduled);
        if self.asked.lock().scheduled.insert(key) {
            self.called(&task.activity_type, &task.input);
        }
        self.attempt(
            &self.activities,
            &task.activity_type,
            &task.input,
            Some(task),
        )
        .unwrap_or_else(|| self.unknown("activity", &task.activity_type, &self.activities))
    }

    fn child(&mut self, task: &ChildTask) -> Option<Attempt> {
        self.called(&task.workflow_type, &task.input);
        self.attempt(&self.children, &task.workflow_type, &task.input, None)
    }

    fn nexus(&mut self, task: &NexusTask) -> Attempt {
        let name = format!("{}/{}", task.service, task.operation);
        let input = [task.input.clone()];
        self.called(&name, &input);
        let attempt = self.attempt(&self.nexus, &name, &input, None);
        attempt.unwrap_or_else(|| self.unknown("Nexus operation", &name, &self.nexus))
    }

    fn external(&mut self, workflow_id: &str) -> bool {
        self.workflows.contains(workflow_id)
    }
}

/// Expressions need the decoded value.
fn decoded(payload: &Payload) -> Value {
    payload.decode().unwrap_or(Value::Null)
}

fn planned(outcome: &Outcome, variables: &[Value]) -> Result<Attempt, Diagnostic> {
    let result = match (&outcome.fail, &outcome.result) {
        (Some(fail), _) => Err(failure(fail, variables)?),
        (None, Some(result)) => Ok(result.value(variables)?),
        (None, None) => Ok(Value::Null),
    };
    let mut heartbeats = Vec::new();
    for (after, details) in &outcome.heartbeats {
        let details: Result<Vec<Value>, _> = details.iter().map(|d| d.value(variables)).collect();
        heartbeats.push((*after, details?));
    }
    let on_cancel = match outcome.on_cancel {
        Cancelled::Cancels => OnCancel::Cancels {
            after: Duration::ZERO,
            details: Vec::new(),
        },
        Cancelled::Ignores => OnCancel::Ignore,
        Cancelled::Completes => OnCancel::Ends {
            after: Duration::ZERO,
            result: result.clone(),
        },
    };
    let picked_up_after = outcome.picked_up_after.unwrap_or(Duration::ZERO);
    Ok(Attempt {
        picked_up_after: (!outcome.no_worker).then_some(picked_up_after),
        heartbeats,
        end: match outcome.never {
            true => End::Never,
            false => End::After(outcome.after, result),
        },
        on_cancel,
    })
}

pub(crate) fn failure(mocked: &MockedFailure, variables: &[Value]) -> Result<Failure, Diagnostic> {
    let message = match &mocked.message {
        Some(message) => message.value(variables)?,
        None => Value::from(""),
    };
    let message = message.as_str().unwrap_or_default().to_owned();
    let values: Result<Vec<Value>, _> = mocked.details.iter().map(|d| d.value(variables)).collect();
    let mut failure = Failure::application(&*mocked.error_type, message);
    if let FailureInfo::Application {
        details,
        non_retryable,
        ..
    } = &mut failure.info
    {
        *details = values?;
        *non_retryable = mocked.non_retryable;
    }
    Ok(failure)
}
