//! Records what the engine requests while a history is replayed.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::bundle::Bundle;
use crate::engine::command::Command;
use crate::engine::observe::Observer;
use crate::engine::{Instance, Loaded, Programs, TaskFailure};
use crate::registry;
use crate::words::StepId;

/// One activation of the run.
#[derive(Debug)]
pub(crate) struct Driven {
    /// The last event that it knew: the one that started the workflow task.
    pub(crate) started_event_id: i64,
    pub(crate) commands: Vec<Command>,
    /// Where it waits afterwards.
    pub(crate) waits_at: Vec<StepId>,
}

#[derive(Debug, Default)]
pub(crate) struct Recorded {
    pub(crate) driven: Vec<Driven>,
    /// Why the engine could not continue.
    pub(crate) failure: Option<String>,
    /// Why the codecs could not decode a job.
    pub(crate) encoded: Option<String>,
    /// The definition that the run is bound to.
    pub(crate) bound: Option<Arc<Loaded>>,
    /// The definition of the replay, which may have replaced the bound one.
    pub(crate) by: Option<Arc<Loaded>>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Record(Arc<Mutex<Recorded>>);

impl Record {
    pub(crate) fn take(&self) -> Recorded {
        self.with(std::mem::take)
    }

    fn with<T>(&self, look: impl FnOnce(&mut Recorded) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Observes the instance that replays.
pub(crate) struct Watch {
    pub(crate) record: Record,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    /// The state is serialised and restored before every activation.
    pub(crate) through_bytes: bool,
}

impl Watch {
    pub(crate) fn before(
        &self,
        instance: &mut Instance,
        programs: &dyn Programs,
    ) -> Result<(), TaskFailure> {
        if self.through_bytes
            && let Some(snapshot) = instance.snapshot()
        {
            *instance = Instance::restore(&snapshot, programs).map_err(TaskFailure)?;
        }
        if let Some(observer) = &self.observer {
            instance.observed_by(observer.clone());
        }
        Ok(())
    }

    pub(crate) fn not_decoded(&self, why: &str) {
        self.record.with(|recorded| {
            recorded.encoded.get_or_insert_with(|| why.to_owned());
        });
    }

    pub(crate) fn after(
        &self,
        history_length: u32,
        driven: &Result<Vec<Command>, TaskFailure>,
        instance: &Instance,
    ) {
        self.record.with(|recorded| match driven {
            Ok(commands) => recorded.driven.push(Driven {
                started_event_id: i64::from(history_length),
                commands: commands.clone(),
                waits_at: instance.waits_at(),
            }),
            Err(failure) => {
                recorded.failure.get_or_insert_with(|| failure.0.clone());
            }
        });
    }
}

/// Returns the definition that a run is bound to, or a changed one instead.
pub(crate) struct InItsPlace {
    pub(crate) programs: Box<dyn Programs + Send + Sync>,
    pub(crate) changed: Option<Arc<Loaded>>,
    /// Whether the run begins in the middle of its definition's steps.
    pub(crate) is_carried: bool,
    /// The changed definition under the bound one's name.
    pub(crate) named: OnceLock<Arc<Loaded>>,
    pub(crate) record: Record,
}

impl Programs for InItsPlace {
    fn load(&self, bundle: &[u8]) -> Result<Arc<Loaded>, String> {
        let bound = self.programs.load(bundle);
        if let Ok(bound) = &bound {
            self.record.with(|r| {
                r.bound.get_or_insert_with(|| bound.clone());
            });
        }
        let Some(changed) = &self.changed else {
            let bound = bound?;
            self.record.with(|r| r.by = Some(bound.clone()));
            return Ok(bound);
        };
        // Its steps are those of the renamed one, whose files have the right paths.
        self.record.with(|r| r.by = Some(changed.clone()));
        self.renamed(changed, bound.ok().as_deref())
    }

    fn workflow_types(&self) -> Vec<String> {
        self.programs.workflow_types()
    }
}

impl InItsPlace {
    /// The bound definition's name is in the history, as a mark. This version may be unable to read the bound
    /// definition itself.
    fn renamed(
        &self,
        changed: &Arc<Loaded>,
        bound: Option<&Loaded>,
    ) -> Result<Arc<Loaded>, String> {
        if self.is_carried && bound.is_none_or(|b| b.bundle.digest != changed.bundle.digest) {
            return Err(
                "the run continues in the middle of the steps of its own definition, with the state of the run before it; no other definition can take it over"
                    .to_owned(),
            );
        }
        let version = bound.map_or("", |bound| bound.bundle.version.as_str());
        if version.is_empty() {
            return Ok(changed.clone());
        }
        if let Some(named) = self.named.get() {
            return Ok(named.clone());
        }
        let named = Bundle::decode(&changed.bundle.bytes)
            .and_then(|bundle| bundle.named(version.to_owned()).encode())
            .map_err(|e| e.to_string())?;
        let named = registry::load(&named)?;
        Ok(self.named.get_or_init(|| named).clone())
    }
}
