//! Evaluates expressions in a routine's scope, and turns errors into failures with a place.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::failure::Failure;
use super::flag::{CEL_AS_SPECIFIED, LINEAR_LISTS, SCHEMA_CHECKS_BOUNDED};
use super::machine::Machine;
use super::observe::{Event, Found};
use super::state::{Clock, Routine};
use crate::accepted;
use crate::expression::{
    self, Code, Context, ErrorKind, Host, ListCosts, Semantics, Variables, uuid_text,
};
use crate::limits::PAYLOAD_SIZE_BYTES_MAX;
use crate::program::{Arguments, Schema, slot};
use crate::source::Range;
use crate::value::{Key, Map, Payload, Timestamp, Value};

/// The type of the failure of a step whose data would be too large for the server; it can be caught.
pub(crate) const PAYLOAD_SIZE_EXCEEDED: &str = "PayloadSizeExceeded";

/// A routine's names, the run's state and the facts about the run.
pub(crate) struct Scope<'a> {
    pub(crate) locals: &'a [Option<Value>],
    pub(crate) state: &'a Value,
    pub(crate) workflow: Option<&'a Value>,
}

impl Variables for Scope<'_> {
    fn get(&self, slot: u32) -> Option<&Value> {
        match slot {
            slot::STATE => Some(self.state),
            slot::WORKFLOW => self.workflow,
            slot => self.locals.get(slot as usize)?.as_ref(),
        }
    }
}

/// The workflow task's time, and random numbers from the run's seed.
struct Replayable<'a> {
    now: Timestamp,
    random: &'a mut u64,
}

impl Host for Replayable<'_> {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn random_u64(&mut self) -> u64 {
        split_mix(self.random)
    }
}

/// SplitMix64: its whole state is one number, so that it can be kept with the run.
pub(crate) fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Machine<'_> {
    pub(crate) fn evaluate(&mut self, routine: &Routine, code: &Code) -> Result<Value, Failure> {
        self.evaluate_with(&routine.locals, code)
    }

    pub(crate) fn evaluate_with(
        &mut self,
        locals: &[Option<Value>],
        code: &Code,
    ) -> Result<Value, Failure> {
        if let Some(constant) = code.constant() {
            return Ok(constant.clone());
        }
        let workflow = code.reads(slot::WORKFLOW).then(|| {
            self.workflow
                .get_or_init(|| workflow_value(self.run, self.clock))
        });
        let scope = Scope {
            locals,
            state: &self.run.state,
            workflow,
        };
        let list_costs = match self.run.has(LINEAR_LISTS) {
            true => ListCosts::Linear,
            false => ListCosts::Pairwise,
        };
        let mut host = Replayable {
            now: self.clock.now,
            random: &mut self.run.random,
        };
        let semantics = match self.run.flags.contains(&CEL_AS_SPECIFIED) {
            true => Semantics::Specified,
            false => Semantics::Earlier,
        };
        let mut context = Context::with_cost_left(&mut host, self.cost_left)
            .semantics(semantics)
            .expression_cost_max(self.program.expression_cost_max)
            .list_costs(list_costs);
        let result = expression::evaluate(code, &scope, &mut context);
        self.cost_left = context.cost_left();
        self.observe(Event::Evaluated {
            range: code.range(),
            found: Found::of(&result),
        });
        result.map_err(|error| {
            let mut failure = self.definition_failure(error.range, error.message);
            if error.kind == ErrorKind::ResultSize {
                failure = Failure::application(PAYLOAD_SIZE_EXCEEDED, failure.message);
            }
            failure
        })
    }

    /// A mistake of the definition that was found at run time, with its place.
    pub(crate) fn definition_failure(&self, range: Range, message: impl AsRef<str>) -> Failure {
        let place = self.program.sources.location(range);
        Failure::definition(format!("{place}: {}", message.as_ref()))
    }

    pub(crate) fn condition(&mut self, routine: &Routine, code: &Code) -> Result<bool, Failure> {
        match self.evaluate(routine, code)?.force() {
            Ok(Value::Bool(holds)) => Ok(*holds),
            Ok(other) => {
                let message = format!(
                    "a condition is true or false, and this is {}",
                    other.type_name()
                );
                Err(self.definition_failure(code.range(), message))
            }
            Err(error) => Err(self.definition_failure(code.range(), error.0)),
        }
    }

    /// The value itself, decoded: only decoded values may be in a list, a map or the state.
    pub(crate) fn forced(&self, value: &Value) -> Result<Value, Failure> {
        value
            .force()
            .cloned()
            .map_err(|error| Failure::definition(format!("a payload cannot be read: {error}")))
    }

    pub(crate) fn text(&mut self, routine: &Routine, code: &Code) -> Result<String, Failure> {
        self.accepted(routine, code, accepted::text)
    }

    /// `None` if unset or null.
    pub(crate) fn optional_text(
        &mut self,
        routine: &Routine,
        code: Option<&Code>,
    ) -> Result<Option<String>, Failure> {
        self.optional_accepted(routine, code, accepted::text)
    }

    /// A value that breaks the rule is the definition's mistake.
    pub(crate) fn accepted<T>(
        &mut self,
        routine: &Routine,
        code: &Code,
        rule: fn(&Value) -> Result<T, String>,
    ) -> Result<T, Failure> {
        let value = self.evaluate(routine, code)?;
        rule(&self.forced(&value)?).map_err(|why| self.definition_failure(code.range(), why))
    }

    /// `None` if unset or null.
    pub(crate) fn optional_accepted<T>(
        &mut self,
        routine: &Routine,
        code: Option<&Code>,
        rule: fn(&Value) -> Result<T, String>,
    ) -> Result<Option<T>, Failure> {
        let Some(code) = code else { return Ok(None) };
        let value = self.evaluate(routine, code)?;
        let value = self.forced(&value)?;
        if value == Value::Null {
            return Ok(None);
        }
        let accepted = rule(&value).map_err(|why| self.definition_failure(code.range(), why));
        accepted.map(Some)
    }

    pub(crate) fn payload(&self, value: &Value) -> Result<Payload, Failure> {
        let payload = Payload::from_value(value).map_err(|error| Failure::definition(error.0))?;
        let size = payload.size_bytes();
        within_bound("a payload", size)?;
        self.payloads_size_bytes
            .set(self.payloads_size_bytes.get() + size);
        Ok(payload)
    }

    pub(crate) fn arguments(
        &mut self,
        routine: &Routine,
        arguments: &Arguments,
    ) -> Result<Vec<Payload>, Failure> {
        let mut payloads = Vec::with_capacity(arguments.0.len());
        for code in &arguments.0 {
            let value = self.evaluate(routine, code)?;
            payloads.push(self.payload(&value)?);
        }
        let size = payloads.iter().map(Payload::size_bytes).sum();
        within_bound("the arguments", size)?;
        Ok(payloads)
    }

    /// The entries of a map, each as a payload of its own: memo, search attributes.
    pub(crate) fn payloads(
        &mut self,
        routine: &Routine,
        code: Option<&Code>,
    ) -> Result<BTreeMap<String, Payload>, Failure> {
        let Some(code) = code else {
            return Ok(BTreeMap::new());
        };
        let value = self.evaluate(routine, code)?;
        let value = self.forced(&value)?;
        let Value::Map(map) = &value else {
            let message = format!(
                "a mapping is expected here, and this is {}",
                value.type_name()
            );
            return Err(self.definition_failure(code.range(), message));
        };
        let entry = |(key, value): (&Key, &Value)| {
            let key = key.as_str().unwrap_or_default().to_owned();
            Ok((key, self.payload(value)?))
        };
        let payloads: BTreeMap<_, _> = map.iter().map(entry).collect::<Result<_, _>>()?;
        let size = payloads.values().map(Payload::size_bytes).sum();
        within_bound("the entries", size)?;
        Ok(payloads)
    }

    /// Validates a value against a schema.
    pub(crate) fn check(
        &self,
        schema: Option<&Schema>,
        value: &Value,
        what: &str,
    ) -> Result<(), Failure> {
        let is_bounded = self.run.has(SCHEMA_CHECKS_BOUNDED);
        violation(schema, value, is_bounded).map_or(Ok(()), |wrong| {
            Err(Failure::definition(format!(
                "{what} breaks its schema: {wrong}"
            )))
        })
    }

    pub(crate) fn uuid(&mut self) -> String {
        let random = &mut self.run.random;
        uuid_text(split_mix(random), split_mix(random))
    }
}

/// The server limits the size of payloads that belong together, and ends the workflow over a larger one.
pub(crate) fn within_bound(what: &str, size: usize) -> Result<(), Failure> {
    if size <= PAYLOAD_SIZE_BYTES_MAX {
        return Ok(());
    }
    let message = format!(
        "{what} would take {size} bytes; PAYLOAD_SIZE_BYTES_MAX is {PAYLOAD_SIZE_BYTES_MAX}, the server's bound; \
         hand over a reference to the data instead"
    );
    Err(Failure::application(PAYLOAD_SIZE_EXCEEDED, message))
}

/// The first mismatch of a value with a schema. Runs that began before `flag::SCHEMA_CHECKS_BOUNDED` have no bound on
/// the checks or on what the message quotes: a `catch` may have read it. Core does not compare the messages of failures
/// that end a run or answer an update (sdk-core 0.10.1, machines/fail_workflow_state_machine.rs and
/// update_state_machine.rs), so those may change.
pub(crate) fn violation(
    schema: Option<&Schema>,
    value: &Value,
    is_bounded: bool,
) -> Option<String> {
    match is_bounded {
        true => schema?.violation(value),
        false => schema?.violation_unbounded(value),
    }
}

/// The arguments as an expression sees them: none is null, one is itself, several are a list.
pub(crate) fn one_value(mut args: Vec<Value>) -> Value {
    match args.len() {
        0 => Value::Null,
        1 => args.remove(0),
        _ => Value::list(
            args.iter()
                .map(|v| v.force().cloned().unwrap_or(Value::Null))
                .collect(),
        ),
    }
}

/// `workflow`, as the language reference lists its fields.
fn workflow_value(run: &super::state::Run, clock: &Clock) -> Value {
    let info = &run.info;
    let decoded = |payloads: &BTreeMap<String, Payload>| {
        // An upsert removes an entry by null.
        let entry = |(name, payload): (&String, &Payload)| {
            let value = payload.decode().unwrap_or(Value::Null);
            (value != Value::Null).then(|| (Key::from(name.as_str()), value))
        };
        Value::map(payloads.iter().filter_map(entry).collect())
    };
    let text = |text: &str| Value::from(text);
    let optional = |text: &Option<String>| text.as_deref().map_or(Value::Null, Value::from);
    let parent = info
        .parent
        .as_ref()
        .map_or(Value::Null, |(namespace, workflow_id, run_id)| {
            Value::map(Map::from_iter([
                ("namespace", namespace.as_str()),
                ("workflow_id", workflow_id),
                ("run_id", run_id),
            ]))
        });
    let entries: [(&str, Value); 16] = [
        ("id", text(&info.workflow_id)),
        ("run_id", text(&info.run_id)),
        ("first_run_id", text(&info.first_run_id)),
        ("type", text(&info.workflow_type)),
        ("task_queue", text(&info.task_queue)),
        ("namespace", text(&info.namespace)),
        ("attempt", Value::Int(i64::from(info.attempt))),
        ("start_time", Value::Timestamp(info.start_time)),
        ("parent", parent),
        ("search_attributes", decoded(&run.search_attributes)),
        ("memo", decoded(&run.memo)),
        ("continued_from", optional(&info.continued_from_run_id)),
        ("cron_schedule", optional(&info.cron_schedule)),
        (
            "history_length",
            Value::Int(i64::from(clock.history_length)),
        ),
        (
            "history_size_bytes",
            Value::Int(clock.history_size_bytes as i64),
        ),
        (
            "suggested_continue_as_new",
            Value::Bool(clock.continue_as_new_suggested),
        ),
    ];
    let last = info
        .last_completion_result
        .as_ref()
        .and_then(|v| v.force().ok())
        .cloned();
    let mut map: Map = entries.into_iter().collect();
    map.insert("last_completion_result", last.unwrap_or(Value::Null));
    Value::Map(Arc::new(map))
}
