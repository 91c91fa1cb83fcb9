//! Replaying recorded histories: whether today's engine does what was done then.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream;
use temporalio_protos::coresdk::workflow_activation::remove_from_cache::EvictionReason;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::history::v1::{
    History, WorkflowExecutionStartedEventAttributes,
};
use temporalio_sdk_core::init_replay_worker;
use temporalio_sdk_core::replay::{HistoryForReplay, ReplayWorkerInput};

use super::options::core_config;
use super::programs::ProgramCache;
use super::{Host, WorkerError, WorkerOptions, workflows};
use crate::client::ResolvedSettings;
use crate::registry::{Entry, Registry};
use crate::telemetry::Tracer;

/// Replays the history of a run, by the definition that the history holds. Its payloads may be encoded. The answer is
/// what does not fit, or `None`.
pub async fn replay(
    history: History,
    settings: &ResolvedSettings,
) -> Result<Option<String>, WorkerError> {
    let Some(started) = started(&history) else {
        return Ok(Some(
            "the history does not begin with the workflow's start".to_owned(),
        ));
    };
    if !is_whole(&history) {
        return Ok(Some(
            "the history's events are not numbered 1, 2, 3 and so on: some are missing or twice there".to_owned(),
        ));
    }
    let workflow_id = started.workflow_id.clone();
    let task_queue = started
        .task_queue
        .as_ref()
        .map(|q| q.name.clone())
        .unwrap_or_default();
    let options = WorkerOptions::new(task_queue);
    let config = core_config(&settings.namespace, &options).map_err(WorkerError::Options)?;
    let histories = stream::iter([HistoryForReplay::new(history, workflow_id)]);
    let core = init_replay_worker(ReplayWorkerInput::new(config, histories))
        .map_err(|e| WorkerError::Begin(e.to_string()))?;
    let registry: Arc<dyn Registry> = Arc::new(NoRegistry);
    let host = Arc::new(Host {
        core,
        namespace: settings.namespace.clone(),
        task_queue: options.task_queue,
        programs: ProgramCache::new(registry.clone()),
        registry,
        // What is wrong is said by failures, which are to be read.
        codec: settings.codec.clone().with_encoded_common_attributes(false),
        tracer: Tracer::default(),
        is_versioned: false,
    });
    let wrong = Mutex::new(None);
    let evicted = |_: &str, reason: EvictionReason, message: &str| {
        if !is_sound(reason) {
            let mut wrong = wrong.lock().unwrap_or_else(PoisonError::into_inner);
            wrong.get_or_insert_with(|| workflows::eviction_text(message).to_owned());
        }
    };
    workflows::serve(host.clone(), evicted).await?;
    if let Some(host) = Arc::into_inner(host) {
        host.core.finalize_shutdown().await;
    }
    Ok(wrong.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn is_sound(reason: EvictionReason) -> bool {
    matches!(
        reason,
        EvictionReason::WorkflowExecutionEnding
            | EvictionReason::CacheFull
            | EvictionReason::LangRequested
            | EvictionReason::Unspecified
    )
}

/// Core takes it for granted.
fn is_whole(history: &History) -> bool {
    (1..)
        .zip(&history.events)
        .all(|(id, event)| event.event_id == id)
}

fn started(history: &History) -> Option<&WorkflowExecutionStartedEventAttributes> {
    match history.events.first()?.attributes.as_ref()? {
        Attributes::WorkflowExecutionStartedEventAttributes(started) => Some(started),
        _ => None,
    }
}

/// A history holds the definition that it was made by.
struct NoRegistry;

impl Registry for NoRegistry {
    fn for_new_run(&self, _: &str, _: &str) -> Option<Entry> {
        None
    }

    fn by_digest(&self, _: &str) -> Option<Entry> {
        None
    }

    fn workflow_types(&self) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ConnectionSettings;
    use temporalio_protos::temporal::api::history::v1::HistoryEvent;

    #[tokio::test]
    async fn a_history_with_a_gap_is_no_history() {
        let event = |event_id| HistoryEvent {
            event_id,
            ..HistoryEvent::default()
        };
        let mut events = vec![event(1), event(3)];
        let started = WorkflowExecutionStartedEventAttributes::default();
        events[0].attributes = Some(Attributes::WorkflowExecutionStartedEventAttributes(started));
        let settings = ConnectionSettings::default().resolve().unwrap();
        let wrong = replay(History { events }, &settings).await.unwrap();
        assert!(wrong.is_some_and(|wrong| wrong.contains("missing")));
    }
}
