//! The server's rules for retries and timeouts that were left out (temporal server 1.32.0, common/retrypolicy/retry_policy.go and
//! service/history/api/command_attr_validator.go).

use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1 as enums;
use temporalio_protos::temporal::api::failure::v1 as failure;
use temporalio_protos::temporal::api::failure::v1::failure::FailureInfo;

use crate::engine::command::ScheduleActivity;
use crate::payload::{duration_from_proto, duration_to_proto, retry_policy_to_proto};
use crate::value::Duration;
use crate::words::RetryPolicy;

const INITIAL_INTERVAL: Duration = Duration {
    seconds: 1,
    nanos: 0,
};
const BACKOFF_COEFFICIENT: f64 = 2.0;
/// The default maximum interval, as a multiple of the initial one.
const MAXIMUM_INTERVAL_FACTOR: i64 = 100;

/// The policy with the server's defaults.
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

/// The timeout of a run is at most that of the whole workflow.
pub(super) fn run_timeout(run: Option<Duration>, execution: Option<Duration>) -> Option<Duration> {
    match (run, execution) {
        (Some(run), Some(execution)) => Some(run.min(execution)),
        (run, execution) => run.or(execution),
    }
}

/// The server's rules for timeouts that were left out.
pub(super) struct Timeouts {
    pub(crate) schedule_to_close: Duration,
    pub(crate) schedule_to_start: Duration,
    pub(crate) start_to_close: Duration,
    pub(crate) heartbeat: Duration,
}

impl Timeouts {
    pub(crate) fn of(schedule: &ScheduleActivity, run_timeout: Duration) -> Self {
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
