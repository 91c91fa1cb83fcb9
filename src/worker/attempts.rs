//! Attempts of local activities: what core leaves to the worker.
//!
//! Core enforces `schedule_to_close_timeout` while an attempt runs. If the time passes between two attempts, core drops
//! the timeout and retries without a bound (sdk-core 0.10.1, worker/activities/local_activities.rs, `complete`), so the
//! worker refuses an attempt that cannot begin in time. An attempt that core itself ends by its
//! `start_to_close_timeout` would be retried beyond the bound in the same way, so the worker ends such an attempt
//! before core does. Core also counts from the moment at which a worker received the activity; a header has the moment
//! at which the run requested it.

use std::time::{SystemTime, UNIX_EPOCH};

use temporalio_protos::coresdk::activity_result::activity_execution_result::Status;
use temporalio_protos::coresdk::activity_task::Start;
use temporalio_protos::coresdk::workflow_activation::WorkflowActivation;
use temporalio_protos::coresdk::workflow_commands::WorkflowCommand;
use temporalio_protos::coresdk::workflow_commands::workflow_command::Variant;
use temporalio_protos::temporal::api::common::v1::RetryPolicy;

use super::activities::failed;
use crate::engine::failure::Failure;
use crate::faults::Fault;
use crate::payload::{
    backoff, duration_from_proto, duration_to_proto, failure_from_proto, timestamp_from_proto,
    timestamp_to_proto, value_from_proto, value_to_proto,
};
use crate::value::{Duration, Timestamp, Value};
use crate::words::TimeoutType;

/// The header of a local activity with the time from which its `schedule_to_close_timeout` counts.
const SCHEDULED_HEADER: &str = "segno-local-scheduled";

/// The header of a local activity with both timeouts that has its `start_to_close_timeout` in nanoseconds; core's own is later by [`LATE`].
const ATTEMPT_HEADER: &str = "segno-local-attempt";

/// How long after the bound the worker itself ends an attempt: core does so first, unless it lost its timer.
const LATE: std::time::Duration = std::time::Duration::from_secs(1);

/// One attempt of a local activity.
pub(super) struct LocalAttempt {
    attempt: u32,
    policy: RetryPolicy,
    /// When `schedule_to_close_timeout` has passed.
    ends_at: Option<Timestamp>,
    /// How long the attempt may take, if the worker ends it.
    length: Option<Duration>,
}

impl LocalAttempt {
    /// `None` for an activity from a task queue. Corrects a start in which core has another timeout.
    pub(crate) fn of(start: &mut Start) -> Option<Self> {
        if !start.is_local {
            return None;
        }
        let length = start.header_fields.remove(ATTEMPT_HEADER);
        let length = length.map(value_from_proto).and_then(|value| {
            let Ok(Value::Int(nanos)) = value.force() else {
                return None;
            };
            Duration::from_nanos(i128::from(*nanos))
        });
        if let Some(length) = length {
            start.start_to_close_timeout = Some(duration_to_proto(length));
        }
        let named = start.header_fields.get(SCHEDULED_HEADER).cloned();
        let named = named.map(value_from_proto).and_then(|value| {
            let text = value.force().ok()?.as_str()?.to_owned();
            Timestamp::parse(&text)
        });
        let scheduled = named.or(start.scheduled_time.map(timestamp_from_proto));
        // Core's zero means none.
        let bound = start.schedule_to_close_timeout.map(duration_from_proto);
        let bound = bound.filter(|bound| !bound.is_zero() && !Fault::LocalTimeoutIgnored.is_on());
        Some(LocalAttempt {
            attempt: start.attempt.max(1),
            policy: start.retry_policy.clone().unwrap_or_default(),
            ends_at: scheduled
                .zip(bound)
                .and_then(|(at, bound)| at.checked_add(bound)),
            length,
        })
    }

    /// The failure of an attempt that cannot begin in time.
    pub(crate) fn refused(&self) -> Option<Status> {
        let is_late = self.ends_at.is_some_and(|at| at <= now());
        is_late.then(|| failed(&Failure::local_bound_passed(None)))
    }

    /// Resolves when the attempt has reached its time limit. The failure is core's.
    pub(crate) async fn timed_out(&self) -> Status {
        match self.length {
            Some(length) => tokio::time::sleep(length.to_std().unwrap_or_default()).await,
            None => std::future::pending().await,
        }
        let timeout = Failure::timeout("Activity timed out", TimeoutType::StartToClose);
        self.judged(failed(&timeout))
    }

    /// Resolves when core should have ended the attempt long ago.
    pub(crate) async fn overdue(&self) -> Status {
        let left = self.ends_at.map(|at| at.since(now()).unwrap_or_default());
        match left {
            Some(left) => tokio::time::sleep(left.to_std().unwrap_or_default() + LATE).await,
            None => std::future::pending().await,
        }
        failed(&Failure::local_bound_passed(None))
    }

    /// A failure that core would retry too late becomes the timeout.
    pub(crate) fn judged(&self, status: Status) -> Status {
        let (Status::Failed(failure), Some(ends_at)) = (&status, self.ends_at) else {
            return status;
        };
        let failure = failure.failure.clone().unwrap_or_default();
        let next = backoff(&self.policy, self.attempt, &failure).ok();
        let next = next.and_then(|wait| now().checked_add(wait));
        match next.is_some_and(|next| next >= ends_at) {
            true => failed(&Failure::local_bound_passed(Some(failure_from_proto(
                failure,
            )))),
            false => status,
        }
    }

    pub(crate) fn log_timeout(&self) {
        tracing::warn!("local activity attempt timed out");
    }

    /// Core does not log an attempt's failure until it gives up.
    pub(crate) fn log(&self, status: &Status) {
        if let Status::Failed(failure) = status {
            let failure = failure.failure.as_ref();
            tracing::warn!(
                "local activity attempt failed: {}",
                failure.map_or("", |failure| &failure.message)
            );
        }
    }
}

/// What local activities need to know about an activation.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    /// By the workflow's clock.
    now: Timestamp,
    is_replaying: bool,
}

impl Moment {
    pub(crate) fn of(activation: &WorkflowActivation) -> Self {
        let now = activation.timestamp.map(timestamp_from_proto);
        Moment {
            now: now.unwrap_or_default(),
            is_replaying: activation.is_replaying,
        }
    }
}

/// Sets the time from which local activities count.
pub(super) fn keep_schedule_times(commands: &mut [WorkflowCommand], moment: Moment) {
    let Moment { now, is_replaying } = moment;
    for command in commands {
        let Some(Variant::ScheduleLocalActivity(local)) = &mut command.variant else {
            continue;
        };
        let is_bounded = local.schedule_to_close_timeout.is_some();
        if let (true, Some(length)) = (is_bounded, local.start_to_close_timeout)
            && !Fault::LocalTimeoutIgnored.is_on()
        {
            let length = duration_from_proto(length);
            let nanos = i64::try_from(length.as_nanos()).unwrap_or(i64::MAX);
            let later = Duration::from_nanos(i128::from(nanos) + LATE.as_nanos() as i128);
            if let (Ok(payload), Some(later)) = (value_to_proto(&Value::Int(nanos)), later) {
                local.headers.insert(ATTEMPT_HEADER.to_owned(), payload);
                local.start_to_close_timeout = Some(duration_to_proto(later));
            }
        }
        // A bound that begins now counts only by this machine's clock, as core counts it. Without a bound the time is
        // for readers of the history, which has the end by the workflow's clock.
        if local.original_schedule_time.is_none() && (is_replaying || !is_bounded) {
            local.original_schedule_time = Some(timestamp_to_proto(now));
        }
        let scheduled = local.original_schedule_time.filter(|_| is_bounded);
        let scheduled = scheduled.map(|at| Value::from(timestamp_from_proto(at).to_string()));
        if let Some(Ok(payload)) = scheduled.map(|at| value_to_proto(&at)) {
            local.headers.insert(SCHEDULED_HEADER.to_owned(), payload);
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: since.subsec_nanos(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::FailureKind;

    fn attempt(wait: Duration) -> LocalAttempt {
        let policy = RetryPolicy {
            initial_interval: Some(duration_to_proto(wait)),
            ..RetryPolicy::default()
        };
        LocalAttempt {
            attempt: 1,
            policy,
            ends_at: now().checked_add(Duration::from_seconds(60)),
            length: Duration::from_nanos(1_000_000),
        }
    }

    /// The end of an attempt that does not end by itself: a timeout that core retries, or the final one if the wait
    /// before the next attempt is too long.
    #[tokio::test]
    async fn an_attempt_ends_before_core_ends_it() {
        for (wait, is_end) in [(1, false), (120, true)] {
            let status = attempt(Duration::from_seconds(wait)).timed_out().await;
            let Status::Failed(failure) = status else {
                panic!("{status:?}");
            };
            let failure = failure_from_proto(failure.failure.unwrap_or_default());
            let is_bound = failure != failure.clone().without_local_bound();
            assert_eq!(is_bound, is_end, "{failure:?}");
            let kinds: Vec<_> = failure.chain().map(|f| f.kind()).collect();
            assert!(kinds.contains(&FailureKind::Timeout), "{kinds:?}");
        }
    }
}
