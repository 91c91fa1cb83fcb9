//! What a simulated cluster has no definition of: activities, children, Nexus operations and other workflows, which a
//! test must provide.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::activity::{ActivityContext, Heartbeats};
use crate::engine::failure::Failure;
use crate::value::{Duration, Payload, Timestamp, Value};

/// Called once for each attempt, at the moment in which a worker could start it. The answer is part of the simulation:
/// the same calls must get the same answers.
pub trait Outside: Send {
    /// Local activities too.
    fn activity(&mut self, task: &ActivityTask) -> Attempt;

    /// `None` if the child runs its own definition.
    fn child(&mut self, _task: &ChildTask) -> Option<Attempt> {
        None
    }

    /// With `picked_up_after`, the operation is asynchronous and starts then.
    fn nexus(&mut self, task: &NexusTask) -> Attempt;

    /// An attempt that ends from outside should stop.
    fn cancelled(&mut self, _attempt: &AttemptKey) {}

    /// Whether a workflow that is not simulated exists, to receive a signal or a cancellation.
    fn external(&mut self, _workflow_id: &str) -> bool {
        false
    }
}

#[derive(Debug, Clone)]
pub struct ActivityTask {
    pub workflow_id: String,
    pub run_id: String,
    pub(crate) workflow_type: String,
    pub activity_id: String,
    pub activity_type: String,
    pub task_queue: String,
    pub input: Vec<Payload>,
    /// Counted from 1.
    pub attempt: u32,
    pub is_local: bool,
    pub(crate) schedule_to_close_timeout: Option<Duration>,
    pub start_to_close_timeout: Option<Duration>,
    pub(crate) heartbeat_timeout: Option<Duration>,
    /// The details that the previous attempt reported last.
    pub heartbeat_details: Vec<Payload>,
    pub now: Timestamp,
    /// The event that scheduled it, or a local activity's number: distinguishes two with one id.
    pub scheduled: i64,
}

/// The identity of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct AttemptKey {
    pub(crate) run_id: String,
    pub(crate) is_local: bool,
    pub(crate) scheduled: i64,
    pub attempt: u32,
}

impl AttemptKey {
    /// A local activity's number.
    pub(super) fn seq(&self) -> u32 {
        u32::try_from(self.scheduled).unwrap_or_default()
    }
}

impl ActivityTask {
    pub fn key(&self) -> AttemptKey {
        AttemptKey {
            run_id: self.run_id.clone(),
            is_local: self.is_local,
            scheduled: self.scheduled,
            attempt: self.attempt,
        }
    }

    /// For an activity that runs in this process.
    pub(crate) fn context(
        &self,
        cancellation: CancellationToken,
        heartbeats: Arc<dyn Heartbeats>,
    ) -> ActivityContext {
        let details = self.heartbeat_details.iter().cloned().map(Value::from);
        ActivityContext {
            namespace: String::new(),
            task_queue: self.task_queue.clone(),
            workflow_id: self.workflow_id.clone(),
            run_id: self.run_id.clone(),
            workflow_type: self.workflow_type.clone(),
            activity_id: self.activity_id.clone(),
            activity_type: self.activity_type.clone(),
            attempt: self.attempt,
            is_local: self.is_local,
            scheduled_time: Some(self.now),
            started_time: Some(self.now),
            schedule_to_close_timeout: self.schedule_to_close_timeout,
            start_to_close_timeout: self.start_to_close_timeout,
            heartbeat_timeout: self.heartbeat_timeout,
            heartbeat_details: details.collect(),
            task_token: Vec::new(),
            cancellation,
            heartbeats,
        }
    }
}

#[derive(Debug, Clone)]
pub struct ChildTask {
    pub(crate) workflow_type: String,
    pub(crate) input: Vec<Payload>,
}

#[derive(Debug, Clone)]
pub struct NexusTask {
    pub(crate) service: String,
    pub operation: String,
    pub input: Payload,
}

/// The course of one attempt.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// `None` if no worker ever starts it.
    pub picked_up_after: Option<Duration>,
    /// Counted from the beginning of the attempt, in order.
    pub heartbeats: Vec<(Duration, Vec<Value>)>,
    pub end: End,
    pub on_cancel: OnCancel,
}

#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "there is one for each attempt")]
pub enum End {
    /// Counted from the beginning of the attempt.
    After(Duration, Result<Value, Failure>),
    Never,
    /// By [`super::Simulator::complete_activity`] or [`super::Simulator::end_attempt`].
    FromOutside,
}

/// What an attempt does when its cancellation is requested.
#[derive(Debug, Clone)]
pub enum OnCancel {
    Ignore,
    /// Ends as cancelled.
    Cancels {
        after: Duration,
        details: Vec<Value>,
    },
    Ends {
        after: Duration,
        result: Result<Value, Failure>,
    },
}

impl Attempt {
    /// Started immediately, with this end after this time, and cancelled on request.
    pub fn ends(after: Duration, result: Result<Value, Failure>) -> Self {
        Attempt {
            picked_up_after: Some(Duration::default()),
            heartbeats: Vec::new(),
            end: End::After(after, result),
            on_cancel: OnCancel::Cancels {
                after: Duration::default(),
                details: Vec::new(),
            },
        }
    }
}
