//! Temporal's server and a worker in one process, on a clock that jumps to what is due next: the same calls give the
//! same histories. No threads, no waiting, and no input but its calls. The server and the worker are two parties: they
//! only know what is in `message` of each other, and [`Simulator`] carries it between them.

#![deny(clippy::wildcard_enum_match_arm)]

mod agenda;
mod away;
mod clients;
mod clock;
mod exchange;
mod message;
mod outside;
mod retry;
mod server;
mod worker;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use temporalio_protos::temporal::api::history::v1::{History, HistoryEvent};

use agenda::Agenda;
pub(crate) use away::LostAttempt;
pub use away::WorkerProcess;
pub use outside::{
    ActivityTask, Attempt, AttemptKey, ChildTask, End, NexusTask, OnCancel, Outside,
};
use server::Server;
pub use server::Status;
pub(crate) use server::{Outcome, ScheduleNumber};
pub(crate) use worker::Divergence;
use worker::Worker;
pub use worker::transitions;
use world::World;

use crate::engine::Programs;
use crate::engine::failure::Failure;
use crate::engine::observe::Observer;
use crate::registry::Registry;
use crate::value::{Duration, Payload, Timestamp, Value};
use crate::words::{LogLevel, RetryPolicy, WorkflowIdReusePolicy};

/// The place and time of the simulation.
#[derive(Debug, Clone)]
pub struct Setup {
    pub start_time: Timestamp,
    pub namespace: String,
    pub task_queue: String,
    /// Part of every run id, and so of the results of `uuid()` and `random()`: equal numbers have equal results. With
    /// 0, all simulations have the same ids.
    pub ids: u64,
}

/// A run by its number, in the order in which runs started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunNumber(pub usize);

/// How a workflow is started; an unset field has the server's default.
#[derive(Debug, Clone, Default)]
pub struct Start {
    pub workflow_type: String,
    pub workflow_id: String,
    pub input: Vec<Payload>,
    pub memo: BTreeMap<String, Payload>,
    pub search_attributes: BTreeMap<String, Payload>,
    pub execution_timeout: Option<Duration>,
    pub run_timeout: Option<Duration>,
    pub task_timeout: Option<Duration>,
    pub retry_policy: Option<RetryPolicy>,
    pub cron_schedule: String,
    pub id_reuse_policy: WorkflowIdReusePolicy,
    pub start_delay: Option<Duration>,
    /// Signal-with-start: the signal's name and input.
    pub signal: Option<(String, Vec<Payload>)>,
}

/// The server's answer to a request that it refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("no workflow has the id {0:?}")]
    NotFound(String),
    #[error("the workflow {0:?} is running already")]
    AlreadyStarted(String),
    #[error("the workflow {0:?} has closed already")]
    Closed(String),
    #[error("the workflow {workflow_id:?} has no activity {activity_id:?} that is under way")]
    NoActivity {
        workflow_id: String,
        activity_id: String,
        /// The ids of those that are pending.
        activity_ids: Vec<String>,
    },
    #[error("{0}")]
    Invalid(String),
}

/// An update, as its client refers to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UpdateNumber(pub(crate) usize);

#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "most updates complete")]
pub enum UpdateStage {
    Admitted,
    Accepted,
    Completed(Result<Payload, Failure>),
}

/// A run in the form that Temporal's tools read.
#[derive(Debug)]
pub(crate) struct RunHistory {
    pub(crate) workflow_id: String,
    pub(crate) history: History,
}

/// A line of a run's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Logged {
    pub(crate) run: RunNumber,
    pub(crate) at: Timestamp,
    pub(crate) level: LogLevel,
    pub(crate) message: String,
    pub(crate) fields: Vec<(String, String)>,
}

/// Something that is due, in words, to choose an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueItem {
    pub at: Timestamp,
    pub run: Option<RunNumber>,
    /// The workflow's id, or the schedule's.
    pub subject_id: String,
    pub what: String,
}

pub struct Simulator {
    server: Server,
    worker: Worker,
}

impl Simulator {
    pub fn new(
        setup: Setup,
        registry: Arc<dyn Registry>,
        programs: Arc<dyn Programs + Send + Sync>,
        outside: Box<dyn Outside>,
    ) -> Self {
        let world = World {
            now: setup.start_time,
            agenda: Agenda::default(),
            outside,
            worker_is_away: false,
        };
        let place = (setup.namespace.as_str(), setup.task_queue.as_str());
        let worker = Worker::new(place, registry, programs);
        Simulator {
            server: Server::new(world, setup.namespace, setup.task_queue, setup.ids),
            worker,
        }
    }

    /// Registers an observer for the instance of every run that starts from now on.
    pub(crate) fn observed_by(&mut self, observer: Arc<dyn Observer>) {
        self.worker.observer = Some(observer);
    }

    pub fn now(&self) -> Timestamp {
        self.server.world.now
    }

    pub fn runs(&self) -> impl Iterator<Item = RunNumber> + use<> {
        (0..self.server.executions.len()).map(RunNumber)
    }

    pub fn current(&self, workflow_id: &str) -> Option<RunNumber> {
        let current = self.server.current.get(workflow_id);
        current.copied().map(RunNumber)
    }

    pub fn workflow_id(&self, run: RunNumber) -> &str {
        &self.server.executions[run.0].workflow_id
    }

    pub fn run_id(&self, run: RunNumber) -> &str {
        &self.server.executions[run.0].run_id
    }

    pub fn workflow_type(&self, run: RunNumber) -> &str {
        &self.server.executions[run.0].workflow_type
    }

    pub fn parent(&self, run: RunNumber) -> Option<RunNumber> {
        let parent = self.server.executions[run.0].parent.as_ref()?;
        Some(RunNumber(parent.run))
    }

    pub fn status(&self, run: RunNumber) -> Status {
        self.server.executions[run.0].status()
    }

    pub fn outcome(&self, run: RunNumber) -> Option<&Outcome> {
        self.server.executions[run.0].outcome.as_ref()
    }

    pub fn history(&self, run: RunNumber) -> &[HistoryEvent] {
        &self.server.executions[run.0].history
    }

    /// The histories of all runs, in the order in which they started.
    pub(crate) fn into_histories(self) -> Vec<RunHistory> {
        let runs = self.server.executions.into_iter();
        runs.map(|run| RunHistory {
            workflow_id: run.workflow_id,
            history: History {
                events: run.history,
            },
        })
        .collect()
    }

    /// Why the run's workflow task cannot be completed: it waits for a fixed worker.
    pub fn task_failure(&self, run: RunNumber) -> Option<&str> {
        self.server.executions[run.0].failure()
    }

    /// The definition's `state`.
    pub(crate) fn state(&self, run: RunNumber) -> Option<Value> {
        self.worker.state(run.0)
    }

    /// The lines that steps have logged, and the engine's own.
    pub(crate) fn logs(&self) -> &[Logged] {
        &self.worker.logs
    }

    /// The worker dies: every open run's instance is rebuilt from its history. Runs with running local activities are
    /// left out.
    pub fn replay_all(&mut self) -> Vec<(RunNumber, Divergence)> {
        let mut divergences = Vec::new();
        for run in 0..self.server.executions.len() {
            if !self.server.is_at_rest(run) {
                continue;
            }
            let execution = &self.server.executions[run];
            let (names, history) = (execution.names(), execution.history.as_slice());
            if let Err(divergence) = self.worker.rebuild_if_news(run, names, history) {
                divergences.push((RunNumber(run), divergence));
            }
        }
        divergences
    }

    /// Whether the history of every run, open or closed, leads a new worker to the same commands.
    pub fn replays(&self) -> Vec<(RunNumber, Divergence)> {
        let mut divergences = Vec::new();
        for (run, execution) in self.server.executions.iter().enumerate() {
            if execution.failure().is_none()
                && let Err(divergence) = self.worker.replays(execution.names(), &execution.history)
            {
                divergences.push((RunNumber(run), divergence));
            }
        }
        divergences
    }

    /// The worker dies, and a new one has the serialised state of every open run.
    pub fn restore_all(&mut self) -> Result<(), String> {
        for run in 0..self.server.executions.len() {
            if self.server.is_at_rest(run) {
                self.worker.restore(run)?;
            }
        }
        Ok(())
    }
}
