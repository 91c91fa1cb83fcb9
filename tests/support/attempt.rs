//! An attempt of a built-in activity, as a worker would make it.

use std::sync::{Arc, Mutex};

use segno::activity::{ActivityContext, Heartbeats};
use segno::value::{Duration, Value};
use tokio_util::sync::CancellationToken;

/// The details of the heartbeats.
#[derive(Default)]
pub struct Recorded(pub Mutex<Vec<Vec<Value>>>);

impl Heartbeats for Recorded {
    fn record(&self, details: Vec<Value>) {
        self.0.lock().unwrap().push(details);
    }
}

pub fn context(activity_type: &str) -> ActivityContext {
    ActivityContext {
        namespace: "default".into(),
        task_queue: "queue".into(),
        workflow_id: "workflow".into(),
        run_id: "run".into(),
        workflow_type: "type".into(),
        activity_id: "1".into(),
        activity_type: activity_type.into(),
        attempt: 1,
        is_local: false,
        scheduled_time: None,
        started_time: None,
        schedule_to_close_timeout: None,
        start_to_close_timeout: Some(Duration::from_seconds(10)),
        heartbeat_timeout: None,
        heartbeat_details: Vec::new(),
        task_token: Vec::new(),
        cancellation: CancellationToken::new(),
        heartbeats: Arc::new(Recorded::default()),
    }
}
