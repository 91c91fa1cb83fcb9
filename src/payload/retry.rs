//! The server's rules for retries, which core has copied.

use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1 as enums;
use temporalio_protos::temporal::api::failure::v1 as failure;
use temporalio_protos::temporal::api::failure::v1::failure::FailureInfo;

use super::duration_from_proto;
use crate::value::Duration;

/// How long to wait after this attempt; for activities, local activities and workflows.
pub(crate) fn backoff(
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
        Some(FailureInfo::TimeoutFailureInfo(info)) => match info.timeout_type() {
            enums::TimeoutType::ScheduleToClose | enums::TimeoutType::ScheduleToStart => {
                return Err(enums::RetryState::NonRetryableFailure);
            }
            enums::TimeoutType::Heartbeat => "TemporalTimeout:Heartbeat",
            enums::TimeoutType::StartToClose | enums::TimeoutType::Unspecified => {
                "TemporalTimeout:StartToClose"
            }
        },
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

fn length(duration: Option<prost_wkt_types::Duration>) -> Duration {
    duration.map(duration_from_proto).unwrap_or_default()
}
