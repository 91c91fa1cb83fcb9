//! Evaluates the options of steps: durations, retry policies, timeouts, priorities, summaries.

use super::command::{self, ActivityTimeouts};
use super::failure::Failure;
use super::machine::Machine;
use super::state::Routine;
use crate::expression::Code;
use crate::limits::SUMMARY_SIZE_BYTES_MAX;
use crate::program::{ActivityOptions, DurationCode, Priority, RetryPolicy, StepId};
use crate::value::{Duration, Timestamp, Value};

impl Machine<'_> {
    pub fn duration(
        &mut self,
        routine: &Routine,
        duration: &DurationCode,
    ) -> Result<Duration, Failure> {
        let code = match duration {
            DurationCode::Constant(duration) => return Ok(*duration),
            DurationCode::Code(code) => code,
        };
        let value = self.evaluate(routine, code)?;
        let wrong = match self.forced(&value)? {
            Value::Duration(duration) => return Ok(duration),
            Value::String(text) => match Duration::parse(&text) {
                Ok(duration) => return Ok(duration),
                Err(message) => message,
            },
            other => format!(
                "a duration is expected here, like `10s` or duration(\"10s\"), and this is {}",
                other.type_name()
            ),
        };
        Err(self.definition_failure(code.range(), wrong))
    }

    pub fn optional_duration(
        &mut self,
        routine: &Routine,
        duration: Option<&DurationCode>,
    ) -> Result<Option<Duration>, Failure> {
        duration.map(|d| self.duration(routine, d)).transpose()
    }

    pub fn timestamp(&mut self, routine: &Routine, code: &Code) -> Result<Timestamp, Failure> {
        let value = self.evaluate(routine, code)?;
        let wrong = match self.forced(&value)? {
            Value::Timestamp(timestamp) => return Ok(timestamp),
            Value::String(text) => match Timestamp::parse(&text) {
                Some(timestamp) => return Ok(timestamp),
                None => {
                    format!("`{text}` is not an RFC 3339 timestamp, like `2030-01-31T09:00:00Z`")
                }
            },
            other => format!(
                "a timestamp is expected here, and this is {}",
                other.type_name()
            ),
        };
        Err(self.definition_failure(code.range(), wrong))
    }

    pub fn activity_timeouts(
        &mut self,
        routine: &Routine,
        options: &ActivityOptions,
    ) -> Result<ActivityTimeouts, Failure> {
        Ok(ActivityTimeouts {
            schedule_to_close: self
                .optional_duration(routine, options.schedule_to_close_timeout.as_ref())?,
            schedule_to_start: self
                .optional_duration(routine, options.schedule_to_start_timeout.as_ref())?,
            start_to_close: self
                .optional_duration(routine, options.start_to_close_timeout.as_ref())?,
            heartbeat: self.optional_duration(routine, options.heartbeat_timeout.as_ref())?,
        })
    }

    pub fn retry_policy(
        &mut self,
        routine: &Routine,
        policy: &RetryPolicy,
    ) -> Result<command::RetryPolicy, Failure> {
        let coefficient = match &policy.backoff_coefficient {
            Some(code) => Some(self.number(routine, code, "backoff_coefficient")?),
            None => None,
        };
        let attempts = match &policy.maximum_attempts {
            Some(code) => Some(self.whole_number(routine, code, "maximum_attempts")?),
            None => None,
        };
        Ok(command::RetryPolicy {
            initial_interval: self.optional_duration(routine, policy.initial_interval.as_ref())?,
            backoff_coefficient: coefficient,
            maximum_interval: self.optional_duration(routine, policy.maximum_interval.as_ref())?,
            maximum_attempts: attempts.map(|n| u32::try_from(n.max(0)).unwrap_or(u32::MAX)),
            non_retryable_error_types: policy
                .non_retryable_error_types
                .iter()
                .map(|name| name.to_string())
                .collect(),
        })
    }

    pub fn priority(
        &mut self,
        routine: &Routine,
        priority: &Priority,
    ) -> Result<command::Priority, Failure> {
        let key = match &priority.priority_key {
            Some(code) => self.whole_number(routine, code, "priority_key")?,
            None => 0,
        };
        let weight = match &priority.fairness_weight {
            Some(code) => self.number(routine, code, "fairness_weight")?,
            None => 0.0,
        };
        Ok(command::Priority {
            priority_key: i32::try_from(key).unwrap_or(0),
            fairness_key: self
                .optional_text(routine, priority.fairness_key.as_ref())?
                .unwrap_or_default(),
            fairness_weight: weight as f32,
        })
    }

    fn number(&mut self, routine: &Routine, code: &Code, what: &str) -> Result<f64, Failure> {
        let value = self.evaluate(routine, code)?;
        match self.forced(&value)? {
            Value::Int(number) => Ok(number as f64),
            Value::Uint(number) => Ok(number as f64),
            Value::Double(number) => Ok(number),
            other => {
                let message = format!("`{what}` is a number, and this is {}", other.type_name());
                Err(self.definition_failure(code.range(), message))
            }
        }
    }

    /// Gives the command just made what Temporal's UI shows of its step: the description, or the id.
    pub fn summarise(&mut self, routine: &Routine, step: StepId) {
        let step = self.program.step(step);
        let described = step
            .summary
            .as_ref()
            .and_then(|code| self.text(routine, code).ok());
        let summary = described.or_else(|| step.id.as_ref().map(|id| id.to_string()));
        if let (Some(command), Some(summary)) = (self.commands.last_mut(), summary) {
            command.summary = Some(shortened(summary));
        }
    }
}

/// At most as many bytes as the server takes, whole characters.
fn shortened(mut text: String) -> String {
    let mut end = text.len().min(SUMMARY_SIZE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}
