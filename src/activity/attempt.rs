//! One attempt of a built-in activity: its time, its heartbeats, and non-retryable failures.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::ActivityContext;
use crate::engine::failure::{Failure, FailureInfo};
use crate::value::Value;

/// How much earlier than its start-to-close timeout the attempt ends, so that its own failure is reported before the
/// server's.
const TIMEOUT_MARGIN: Duration = Duration::from_millis(250);
/// A longer sleep is divided into parts of this length.
const SLEEP_PART: Duration = Duration::from_secs(1);
/// The number of heartbeats within a heartbeat timeout.
const HEARTBEATS_PER_TIMEOUT: u32 = 3;

/// The content of an attempt's heartbeats: its progress.
pub(crate) struct Progress {
    state: Mutex<Told>,
    changed: Notify,
    /// Heartbeats are sent as long as the attempt lasts; otherwise only when there is progress.
    is_steady: bool,
}

struct Told {
    details: Vec<Value>,
    is_sent: bool,
}

impl Progress {
    /// It begins with the details of the previous attempt, so that a heartbeat without progress does not lose them.
    pub(crate) fn new(context: &ActivityContext, is_steady: bool) -> Progress {
        Progress {
            state: Mutex::new(Told {
                details: context.heartbeat_details.clone(),
                is_sent: true,
            }),
            changed: Notify::new(),
            is_steady,
        }
    }

    pub(crate) fn tell(&self, detail: Value) {
        *self.state() = Told {
            details: vec![detail],
            is_sent: false,
        };
        self.changed.notify_one();
    }

    fn send(&self, context: &ActivityContext) {
        let mut state = self.state();
        state.is_sent = true;
        context.heartbeat(state.details.clone());
    }

    /// Sends the last progress, however the attempt ends: a failure carries it along.
    pub(crate) fn send_last(&self, context: &ActivityContext) {
        if !self.state().is_sent {
            self.send(context);
        }
    }

    async fn heartbeats(&self, context: &ActivityContext) {
        let timeout = context.heartbeat_timeout.and_then(|d| d.to_std());
        let period = timeout.filter(|d| self.is_steady && !d.is_zero());
        let period = period.map(|d| d / HEARTBEATS_PER_TIMEOUT);
        if period.is_some() {
            self.send(context);
        }
        loop {
            let changed = self.changed.notified();
            match period {
                Some(period) => drop(tokio::time::timeout(period, changed).await),
                None => changed.await,
            }
            self.send(context);
        }
    }

    fn state(&self) -> MutexGuard<'_, Told> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long the attempt may take, given the request's own timeout.
pub(crate) fn limit(context: &ActivityContext, timeout: Option<Duration>) -> Option<Duration> {
    let of_attempt = context.start_to_close_timeout.and_then(|d| d.to_std());
    let of_attempt = of_attempt.map(|d| d.saturating_sub(TIMEOUT_MARGIN.min(d / 10)));
    timeout.into_iter().chain(of_attempt).min()
}

/// Does the work until it ends, times out or is cancelled, and sends heartbeats meanwhile.
pub(crate) async fn guarded(
    context: &ActivityContext,
    timeout: Option<Duration>,
    progress: &Progress,
    what: &str,
    late: impl FnOnce(Duration) -> Failure,
    work: impl Future<Output = Result<Value, Failure>>,
) -> Result<Value, Failure> {
    let limit = limit(context, timeout);
    let time_is_up = async {
        match limit {
            Some(limit) => sleep_awake(limit).await,
            None => std::future::pending().await,
        }
    };
    let result = tokio::select! {
        result = work => result,
        () = context.cancellation.cancelled() => Err(Failure::cancelled(format!("{what} was cancelled"))),
        () = time_is_up => Err(late(limit.unwrap_or_default())),
        () = progress.heartbeats(context) => Err(Failure::cancelled("heartbeats ended")),
    };
    progress.send_last(context);
    result
}

/// Time in which the process was stopped does not count: the work was stopped too, or has ended meanwhile.
async fn sleep_awake(length: Duration) {
    let mut left = length;
    while !left.is_zero() {
        let part = left.min(SLEEP_PART);
        let began = tokio::time::Instant::now();
        tokio::time::sleep(part).await;
        let slept = began.elapsed();
        if slept <= part + SLEEP_PART {
            left = left.saturating_sub(slept);
        }
    }
}

/// A non-retryable failure.
pub(crate) fn lasting(error_type: &str, message: impl Into<String>) -> Failure {
    let mut failure = Failure::application(error_type, message);
    if let FailureInfo::Application { non_retryable, .. } = &mut failure.info {
        *non_retryable = true;
    }
    failure
}
