//! One attempt of a built-in activity: its time, its heartbeats, and failures that no further attempt mends.

use std::time::Duration;

use super::ActivityContext;
use crate::engine::failure::{Failure, FailureInfo};
use crate::value::Value;

/// What the attempt keeps back of its start-to-close timeout, so that its own word is heard before the server's.
const TIMEOUT_MARGIN: Duration = Duration::from_millis(250);
/// A heartbeat's timeout is served by so many heartbeats.
const HEARTBEATS_PER_TIMEOUT: u32 = 3;

/// How long the attempt may take, with a time of the request's own.
pub fn limit(context: &ActivityContext, timeout: Option<Duration>) -> Option<Duration> {
    let of_attempt = context.start_to_close_timeout.and_then(|d| d.to_std());
    let of_attempt = of_attempt.map(|d| d.saturating_sub(TIMEOUT_MARGIN.min(d / 10)));
    timeout.into_iter().chain(of_attempt).min()
}

/// Does the work until it ends, its time is up or it is cancelled, and says meanwhile that it is alive.
pub async fn guarded(
    context: &ActivityContext,
    timeout: Option<Duration>,
    what: &str,
    late: impl FnOnce(Duration) -> Failure,
    work: impl Future<Output = Result<Value, Failure>>,
) -> Result<Value, Failure> {
    let limit = limit(context, timeout);
    let heartbeat = context.heartbeat_timeout.and_then(|d| d.to_std());
    let heartbeats = async {
        let Some(period) = heartbeat.filter(|d| !d.is_zero()) else {
            return std::future::pending::<()>().await;
        };
        loop {
            context.heartbeat(Vec::new());
            tokio::time::sleep(period / HEARTBEATS_PER_TIMEOUT).await;
        }
    };
    let time_is_up = async {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        result = work => result,
        () = context.cancellation.cancelled() => Err(Failure::cancelled(format!("{what} was cancelled"))),
        () = time_is_up => Err(late(limit.unwrap_or_default())),
        () = heartbeats => Err(Failure::cancelled("heartbeats ended")),
    }
}

/// A failure that no further attempt can mend.
pub fn lasting(error_type: &str, message: impl Into<String>) -> Failure {
    let mut failure = Failure::application(error_type, message);
    if let FailureInfo::Application { non_retryable, .. } = &mut failure.info {
        *non_retryable = true;
    }
    failure
}
