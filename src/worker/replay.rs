//! Replaying recorded histories: whether today's engine, or a changed definition, does what was done then.

mod deed;
mod divergence;
mod record;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures_util::stream;
use temporalio_protos::coresdk::workflow_activation::remove_from_cache::EvictionReason;
use temporalio_protos::temporal::api::history::v1::{
    History, HistoryEvent, WorkflowExecutionStartedEventAttributes,
};
use temporalio_sdk_core::init_replay_worker;
use temporalio_sdk_core::replay::{HistoryForReplay, HistoryInfo, ReplayWorkerInput};

use super::ahead::Delay;
use super::cache::Cache;
use super::locals::Locals;
use super::options::core_config;
use super::order::Histories;
use super::programs::ProgramCache;
use super::sent::Sent;
use super::{Host, WorkerError, WorkerOptions, workflows};
use crate::client::ResolvedSettings;
use crate::engine::observe::Observer;
use crate::engine::{Loaded, STATE_HEADER};
use crate::history::{Meaning, TaskStage};
use crate::registry::{Entry, Registry};
use crate::telemetry::Tracer;
pub(crate) use divergence::{Divergence, Side};
pub(super) use record::Watch;
use record::{InItsPlace, Record, Recorded};

/// How a history is replayed.
#[derive(Default)]
pub struct Replay {
    /// A definition that replaces the one that the run is bound to.
    pub changed: Option<Arc<Loaded>>,
    /// The run's state is serialised and restored before every activation.
    pub through_bytes: bool,
    pub observer: Option<Arc<dyn Observer>>,
}

/// The result of a replay.
#[derive(Debug)]
pub struct Replayed {
    /// The definition that the run is bound to; `None` before its first workflow task has completed.
    pub bound: Option<Arc<Loaded>>,
    pub divergence: Option<Box<Divergence>>,
}

/// Why a history cannot be replayed at all.
#[derive(Debug, thiserror::Error)]
pub enum NoReplay {
    #[error("the history does not begin with the workflow's start")]
    NoStart,
    #[error(
        "the history's events are not numbered 1, 2, 3 and so on; some are missing or duplicated"
    )]
    Gap,
    #[error("the history is malformed: {0}")]
    Malformed(String),
    #[error("the history contains no definition; it was not written by a Segno worker")]
    Foreign,
    #[error("the history's payloads cannot be decoded: {0}")]
    Encoded(String),
    #[error(transparent)]
    Worker(#[from] WorkerError),
}

/// The run of a history.
#[derive(Debug, Clone, Default)]
pub struct RunName {
    pub(crate) workflow_id: String,
    pub(crate) run_id: String,
    pub workflow_type: String,
}

impl RunName {
    pub fn of(history: &History) -> Option<RunName> {
        let started = started(history)?;
        let workflow_type = started.workflow_type.as_ref();
        Some(RunName {
            workflow_id: started.workflow_id.clone(),
            run_id: started.original_execution_run_id.clone(),
            workflow_type: workflow_type.map(|t| t.name.clone()).unwrap_or_default(),
        })
    }
}

impl Replay {
    /// Replays the history of a run. Its payloads may be encoded.
    pub async fn run(
        &self,
        history: &History,
        settings: &ResolvedSettings,
    ) -> Result<Replayed, NoReplay> {
        let started = started(history).ok_or(NoReplay::NoStart)?;
        if !is_whole(history) {
            return Err(NoReplay::Gap);
        }
        if let Some(event) = history.events.iter().find(|e| e.event_type == 0) {
            let text = format!("its event {} has no type", event.event_id);
            return Err(NoReplay::Malformed(text));
        }
        // Core relies on this.
        HistoryInfo::new_from_history(history, None)
            .map_err(|e| NoReplay::Malformed(e.to_string()))?;
        if !has_begun(history) {
            return Ok(Replayed {
                bound: None,
                divergence: None,
            });
        }
        let (recorded, wrong) = self.replay(history, started, settings).await?;
        if let Some(why) = recorded.encoded {
            return Err(NoReplay::Encoded(why));
        }
        let Some(reason) = recorded.failure.clone().or(wrong) else {
            return Ok(Replayed {
                bound: recorded.bound,
                divergence: None,
            });
        };
        if recorded.by.is_none() && recorded.failure.is_none() {
            return Err(NoReplay::Foreign);
        }
        // What the run's own definition requested shows which of its steps are already in the history.
        let own = match &self.changed {
            Some(_) => {
                let by_its_own = Replay::default();
                let (own, wrong) = by_its_own.replay(history, started, settings).await?;
                wrong.is_none().then_some(own)
            }
            None => None,
        };
        let mut divergence = Divergence::new(reason, history, &recorded, own.as_ref());
        divergence.is_changed = self.changed.is_some();
        Ok(Replayed {
            bound: recorded.bound,
            divergence: Some(Box::new(divergence)),
        })
    }

    async fn replay(
        &self,
        history: &History,
        started: &WorkflowExecutionStartedEventAttributes,
        settings: &ResolvedSettings,
    ) -> Result<(Recorded, Option<String>), WorkerError> {
        let task_queue = started.task_queue.as_ref();
        let options = WorkerOptions::new(task_queue.map(|q| q.name.clone()).unwrap_or_default());
        let identity = &settings.options.identity;
        let config =
            core_config(&settings.namespace, identity, &options).map_err(WorkerError::Options)?;
        let histories = Histories::Recorded(history.clone());
        let history = HistoryForReplay::new(history.clone(), started.workflow_id.clone());
        let core = init_replay_worker(ReplayWorkerInput::new(config, stream::iter([history])))
            .map_err(|e| WorkerError::Begin(e.to_string()))?;
        let registry: Arc<dyn Registry> = Arc::new(NoRegistry);
        let record = Record::default();
        let header = started.header.as_ref();
        let programs = InItsPlace {
            programs: Box::new(ProgramCache::new(registry.clone())),
            changed: self.changed.clone(),
            is_carried: header.is_some_and(|h| h.fields.contains_key(STATE_HEADER)),
            named: OnceLock::new(),
            record: record.clone(),
        };
        let host = Arc::new(Host {
            core,
            namespace: settings.namespace.clone(),
            task_queue: options.task_queue,
            programs: Box::new(programs),
            prepared: None,
            watch: Some(Watch {
                record: record.clone(),
                observer: self.observer.clone(),
                through_bytes: self.through_bytes,
            }),
            registry,
            // Mistakes are reported by failures, which must be readable.
            codec: settings.codec.clone().with_encoded_common_attributes(false),
            locals: Locals::default(),
            tracer: Tracer::default(),
            is_versioned: false,
            histories,
            sent: Sent::default(),
            delay: Delay::default(),
            runs: Cache::new(None),
        });
        let wrong = Mutex::new(None);
        let evicted = |reason: EvictionReason, message: &str| {
            if !is_sound(reason) {
                let mut wrong = wrong.lock().unwrap_or_else(PoisonError::into_inner);
                wrong.get_or_insert_with(|| workflows::eviction_text(message).to_owned());
            }
        };
        workflows::serve(host.clone(), evicted).await?;
        if let Some(host) = Arc::into_inner(host) {
            host.core.finalize_shutdown().await;
        }
        let wrong = wrong.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok((record.take(), wrong))
    }
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

/// Core relies on this.
fn is_whole(history: &History) -> bool {
    (1..)
        .zip(&history.events)
        .all(|(id, event)| event.event_id == id)
}

/// Whether a workflow task has completed: the first one binds the run.
fn has_begun(history: &History) -> bool {
    let is_completion =
        |event: &HistoryEvent| matches!(Meaning::of(event), Meaning::Task(TaskStage::Completed(_)));
    history.events.iter().any(is_completion)
}

fn started(history: &History) -> Option<&WorkflowExecutionStartedEventAttributes> {
    match Meaning::of(history.events.first()?) {
        Meaning::RunStarted(started) => Some(started),
        _ => None,
    }
}

/// A history contains the definition that it was made by.
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
    use temporalio_protos::temporal::api::history::v1::history_event::Attributes;

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
        let replayed = Replay::default().run(&History { events }, &settings).await;
        assert!(matches!(replayed, Err(NoReplay::Gap)));
    }
}
