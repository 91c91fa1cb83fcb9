//! Evaluates the options of steps: durations, retry policies, timeouts, priorities, summaries.

use super::command::{self, ActivityTimeouts};
use super::failure::Failure;
use super::machine::Machine;
use super::state::Routine;
use crate::accepted;
use crate::expression::Code;
use crate::limits::SUMMARY_SIZE_BYTES_MAX;
use crate::program::{ActivityOptions, DurationCode, Priority, RetryPolicy};
use crate::value::{Duration, Timestamp, Value};
use crate::words::{self, StepId};

impl Machine<'_> {
    pub(crate) fn duration(
        &mut self,
        routine: &Routine,
        duration: &DurationCode,
    ) -> Result<Duration, Failure> {
        let code = match duration {
            DurationCode::Constant(duration) => return Ok(*duration),
            DurationCode::Code(code) => code,
        };
        let value = self.evaluate(routine, code)?;
        let value = self.forced(&value)?;
        if let Value::Duration(duration) = value {
            return Ok(duration);
        }
        let wrong = match value.as_str().map(Duration::parse) {
            Some(Ok(duration)) => return Ok(duration),
            Some(Err(message)) => message,
            None => format!(
                "a duration is expected here, like `10s` or duration(\"10s\"), and this is {}",
                value.type_name()
            ),
        };
        Err(self.definition_failure(code.range(), wrong))
    }

    /// A timeout or an interval.
    pub(crate) fn optional_length(
        &mut self,
        routine: &Routine,
        duration: Option<&DurationCode>,
    ) -> Result<Option<Duration>, Failure> {
        self.held_to(routine, duration, accepted::length)
    }

    fn held_to(
        &mut self,
        routine: &Routine,
        duration: Option<&DurationCode>,
        rule: fn(Duration) -> Result<Duration, String>,
    ) -> Result<Option<Duration>, Failure> {
        let Some(code) = duration else {
            return Ok(None);
        };
        let length = rule(self.duration(routine, code)?);
        let length = length.map_err(|why| match code {
            DurationCode::Code(code) => self.definition_failure(code.range(), why),
            DurationCode::Constant(_) => Failure::definition(why),
        });
        length.map(Some)
    }

    pub(crate) fn timestamp(
        &mut self,
        routine: &Routine,
        code: &Code,
    ) -> Result<Timestamp, Failure> {
        let value = self.evaluate(routine, code)?;
        let value = self.forced(&value)?;
        if let Value::Timestamp(timestamp) = value {
            return Ok(timestamp);
        }
        let text = value.as_str();
        if let Some(timestamp) = text.and_then(Timestamp::parse) {
            return Ok(timestamp);
        }
        let wrong = match text {
            Some(text) => {
                format!("`{text}` is not an RFC 3339 timestamp, like `2030-01-31T09:00:00Z`")
            }
            None => format!(
                "a timestamp is expected here, and this is {}",
                value.type_name()
            ),
        };
        Err(self.definition_failure(code.range(), wrong))
    }

    pub(crate) fn activity_timeouts(
        &mut self,
        routine: &Routine,
        options: &ActivityOptions,
    ) -> Result<ActivityTimeouts, Failure> {
        Ok(ActivityTimeouts {
            schedule_to_close: self
                .optional_length(routine, options.schedule_to_close_timeout.as_ref())?,
            schedule_to_start: self
                .optional_length(routine, options.schedule_to_start_timeout.as_ref())?,
            start_to_close: self
                .optional_length(routine, options.start_to_close_timeout.as_ref())?,
            heartbeat: self.held_to(
                routine,
                options.heartbeat_timeout.as_ref(),
                accepted::heartbeat_timeout,
            )?,
        })
    }

    pub(crate) fn retry_policy(
        &mut self,
        routine: &Routine,
        policy: &RetryPolicy,
    ) -> Result<words::RetryPolicy, Failure> {
        let initial = self.optional_length(routine, policy.initial_interval.as_ref())?;
        let maximum = self.optional_length(routine, policy.maximum_interval.as_ref())?;
        accepted::intervals(initial, maximum).map_err(Failure::definition)?;
        let coefficient = policy.backoff_coefficient.as_ref();
        let attempts = policy.maximum_attempts.as_ref();
        Ok(words::RetryPolicy {
            initial_interval: initial,
            backoff_coefficient: self.optional_accepted(
                routine,
                coefficient,
                accepted::backoff_coefficient,
            )?,
            maximum_interval: maximum,
            maximum_attempts: self.optional_accepted(
                routine,
                attempts,
                accepted::maximum_attempts,
            )?,
            non_retryable_error_types: policy
                .non_retryable_error_types
                .iter()
                .map(|name| name.to_string())
                .collect(),
        })
    }

    pub(crate) fn priority(
        &mut self,
        routine: &Routine,
        priority: &Priority,
    ) -> Result<command::Priority, Failure> {
        let (key, weight) = (&priority.priority_key, &priority.fairness_weight);
        let name = priority.fairness_key.as_ref();
        // An unset field is 0, or empty.
        Ok(command::Priority {
            priority_key: self
                .optional_accepted(routine, key.as_ref(), accepted::priority_key)?
                .unwrap_or_default(),
            fairness_key: self
                .optional_accepted(routine, name, accepted::fairness_key)?
                .unwrap_or_default(),
            fairness_weight: self
                .optional_accepted(routine, weight.as_ref(), accepted::fairness_weight)?
                .unwrap_or_default(),
        })
    }

    /// Adds what Temporal's UI shows about the step, its description or its id, to the last command.
    pub(crate) fn summarise(&mut self, routine: &Routine, step: StepId) {
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

/// The longest prefix of whole characters that the server accepts.
fn shortened(mut text: String) -> String {
    let mut end = text.len().min(SUMMARY_SIZE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}
