//! The server's rules for retries and timeouts that were left out.

use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1 as enums;
use temporalio_protos::temporal::api::failure::v1 as failure;
use temporalio_protos::temporal::api::failure::v1::failure::FailureInfo;

use crate::engine::command::{RetryPolicy, ScheduleActivity};
use crate::payload::{duration_from_proto, duration_to_proto, retry_policy_to_proto};
use crate::value::Duration;

const INITIAL_INTERVAL: Duration = Duration {
    seconds: 1,
    nanos: 0,
};
const BACKOFF_COEFFICIENT: f64 = 2.0;
/// Without a maximum interval it is so many times the initial one.
const MAXIMUM_INTERVAL_FACTOR: i64 = 100;

/// How long to wait after this attempt; the same for activities, local ones and workflows.
pub(super) fn backoff(
    policy: &common::RetryPolicy,
    attempt: u32,
    failed: &failure::Failure,
) -> Result<Duration, enums::RetryState> {
    let mut next = None;
    let error_type = match &failed.failure_info {
        Some(FailureInfo::ApplicationFailureInfo(info)) => {
            next = info.next_retry_delay.map(duration_from_proto);
            if info.non_retryable {
                return Err(enums::RetryState::NonRetryableFailure);
            }
            info.r#type.as_str()
        }
        Some(FailureInfo::TerminatedFailureInfo(_) | FailureInfo::CanceledFailureInfo(_)) => {
            return Err(enums::RetryState::NonRetryableFailure);
        }
        Some(FailureInfo::ServerFailureInfo(info)) if info.non_retryable => {
            return Err(enums::RetryState::NonRetryableFailure);
        }
        Some(FailureInfo::TimeoutFailureInfo(_)) => "TemporalTimeout:StartToClose",
        _ => "",
    };
    if policy
        .non_retryable_error_types
        .iter()
        .any(|other| other == error_type)
    {
        return Err(enums::RetryState::NonRetryableFailure);
    }
    if policy.maximum_attempts > 0 && attempt >= policy.maximum_attempts as u32 {
        return Err(enums::RetryState::MaximumAttemptsReached);
    }
    if let Some(next) = next {
        return Ok(next);
    }
    let initial = length(policy.initial_interval).as_nanos() as f64;
    let maximum = length(policy.maximum_interval).as_nanos();
    let interval = initial * policy.backoff_coefficient.powf(f64::from(attempt) - 1.0);
    let interval = match interval < maximum as f64 || maximum == 0 {
        true => interval as i128,
        false => maximum,
    };
    Ok(Duration::from_nanos(interval).unwrap_or_default())
}

/// With the server's defaults for what it leaves out.
pub(super) fn retry_policy(policy: Option<RetryPolicy>) -> common::RetryPolicy {
    let mut policy = retry_policy_to_proto(policy.unwrap_or_default());
    let initial = policy.initial_interval.map(duration_from_proto);
    let initial = initial.unwrap_or(INITIAL_INTERVAL);
    policy.initial_interval = Some(duration_to_proto(initial));
    if policy.backoff_coefficient == 0.0 {
        policy.backoff_coefficient = BACKOFF_COEFFICIENT;
    }
    if policy.maximum_interval.is_none() {
        let maximum = initial.as_nanos() * i128::from(MAXIMUM_INTERVAL_FACTOR);
        let maximum = Duration::from_nanos(maximum).unwrap_or(initial);
        policy.maximum_interval = Some(duration_to_proto(maximum));
    }
    policy
}

pub(super) fn timeout_failure(message: &str, which: enums::TimeoutType) -> failure::Failure {
    failure::Failure {
        message: message.to_owned(),
        source: "Server".to_owned(),
        failure_info: Some(FailureInfo::TimeoutFailureInfo(
            failure::TimeoutFailureInfo {
                timeout_type: which.into(),
                ..Default::default()
            },
        )),
        ..Default::default()
    }
}

pub(super) fn length(duration: Option<prost_wkt_types::Duration>) -> Duration {
    duration.map(duration_from_proto).unwrap_or_default()
}

/// No run has more time than all runs together.
pub(super) fn run_timeout(run: Option<Duration>, execution: Option<Duration>) -> Option<Duration> {
    match (run, execution) {
        (Some(run), Some(execution)) => Some(run.min(execution)),
        (run, execution) => run.or(execution),
    }
}

/// The server's way to fill in the timeouts that were left out.
pub(super) struct Timeouts {
    pub schedule_to_close: Duration,
    pub schedule_to_start: Duration,
    pub start_to_close: Duration,
    pub heartbeat: Duration,
}

impl Timeouts {
    pub fn of(schedule: &ScheduleActivity, run_timeout: Duration) -> Self {
        let given = &schedule.timeouts;
        let least = |a: Duration, b: Duration| match (a.is_zero(), b.is_zero()) {
            (true, _) => b,
            (_, true) => a,
            _ => a.min(b),
        };
        let to_close = given.schedule_to_close.unwrap_or_default();
        let schedule_to_close = least(to_close, run_timeout);
        let schedule_to_start = given
            .schedule_to_start
            .map_or(schedule_to_close, |s| least(s, schedule_to_close));
        let start_to_close = given
            .start_to_close
            .map_or(schedule_to_close, |s| least(s, schedule_to_close));
        let heartbeat = match given.heartbeat {
            Some(heartbeat) => least(heartbeat, start_to_close),
            None => Duration::default(),
        };
        Timeouts {
            schedule_to_close,
            schedule_to_start,
            start_to_close,
            heartbeat,
        }
    }
}
