//! The heartbeats of one attempt, before Temporal's core throttles them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use temporalio_protos::coresdk::ActivityHeartbeat;
use temporalio_protos::temporal::api::common::v1::Payload;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Host;
use crate::activity::Heartbeats;
use crate::payload::value_to_proto;
use crate::value::Value;

/// How long the last heartbeat of an ended attempt may still take.
const LAST_BEAT_TIMEOUT: Duration = Duration::from_secs(5);

struct Heart {
    host: Arc<Host>,
    task_token: Vec<u8>,
    /// The newest details, for the task that has them encoded; `None` for a codec that does not call a server.
    newest: Option<watch::Sender<Vec<Payload>>>,
}

/// Encodes heartbeats with a codec server, until the attempt has ended.
pub(crate) struct Beats(Option<JoinHandle<()>>);

pub(crate) fn heart(
    host: &Arc<Host>,
    task_token: &[u8],
    is_local: bool,
) -> (Arc<dyn Heartbeats>, Beats) {
    if is_local {
        return (Arc::new(Still), Beats(None));
    }
    let mut heart = Heart {
        host: host.clone(),
        task_token: task_token.to_vec(),
        newest: None,
    };
    if !host.codec.asks_a_server() {
        return (Arc::new(heart), Beats(None));
    }
    let (newest, receiver) = watch::channel(Vec::new());
    heart.newest = Some(newest);
    let beats = beat(host.clone(), task_token.to_vec(), receiver);
    (Arc::new(heart), Beats(Some(tokio::spawn(beats))))
}

impl Beats {
    /// The last progress must be sent before the attempt's end: the next attempt continues from it.
    pub(crate) async fn end(self) {
        let Some(mut task) = self.0 else { return };
        let ended = tokio::time::timeout(LAST_BEAT_TIMEOUT, &mut task).await;
        if ended.is_err() {
            task.abort();
        }
    }
}

async fn beat(host: Arc<Host>, task_token: Vec<u8>, mut newest: watch::Receiver<Vec<Payload>>) {
    while newest.changed().await.is_ok() {
        let details = newest.borrow_and_update().clone();
        let mut heartbeat = ActivityHeartbeat {
            task_token: task_token.clone(),
            details,
        };
        match host.codec.encode(&mut heartbeat).await {
            Ok(()) => host.core.record_activity_heartbeat(heartbeat),
            Err(error) => tracing::warn!("cannot encode a heartbeat: {error}"),
        }
    }
}

impl Heartbeats for Heart {
    fn record(&self, details: Vec<Value>) {
        let details = details
            .iter()
            .filter_map(|detail| value_to_proto(detail).ok());
        let details = details.collect();
        if let Some(newest) = &self.newest {
            newest.send_replace(details);
            return;
        }
        let mut heartbeat = ActivityHeartbeat {
            task_token: self.task_token.clone(),
            details,
        };
        match self.host.codec.encode(&mut heartbeat).now_or_never() {
            Some(Ok(())) => self.host.core.record_activity_heartbeat(heartbeat),
            Some(Err(error)) => tracing::warn!("cannot encode a heartbeat: {error}"),
            // Codecs that call no server are ready immediately.
            None => tracing::warn!("encoding a heartbeat timed out"),
        }
    }
}

/// Local activities have no heartbeats.
struct Still;

impl Heartbeats for Still {
    fn record(&self, _: Vec<Value>) {}
}
