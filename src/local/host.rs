//! The simulation on the wall clock: what comes from outside is written down first and told then, so that the same
//! telling brings a later process to the same place.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::attempts::{Questions, Runner};
use super::journal::{Begun, Event, Journal, JournalError, What};
use crate::activity::Activity;
use crate::registry::{self, Entry, Registry};
use crate::simulator::{Logged, Outcome, Refused, Setup, Simulator, Start, Status};
use crate::timeline::Timeline;
use crate::value::{Payload, Timestamp};
use crate::worker::ProgramCache;

/// Far timers are looked at again after this.
const SLEEP_MAX: std::time::Duration = std::time::Duration::from_secs(3600);
const NAMESPACE: &str = "local";
const TASK_QUEUE: &str = "local";

#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("{0}")]
    Refused(#[from] Refused),
    #[error("the workflow cannot go on: {0}")]
    Stuck(String),
    #[error("a definition that the run began with cannot be read: {0}")]
    Definition(String),
}

/// How it went, as far as it did.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of a process")]
pub enum Ended {
    Closed(Outcome),
    /// Nothing in this process makes it go on: it waits for a signal.
    Waits,
    /// Whoever watched has left; the same command goes on.
    Left,
}

/// What a client has to say.
#[derive(Debug, Clone)]
pub enum Told {
    Signal(String, Vec<Payload>),
    Cancel(String),
}

pub struct LocalRun {
    journal: Journal,
    begun: Begun,
    simulator: Simulator,
    questions: Questions,
    runner: Runner,
    told: UnboundedReceiver<What>,
    /// Of the run's log, by this process and those before it.
    logs_shown: usize,
    /// What the definition that the run began with takes.
    pub signals: BTreeSet<String>,
    pub timeline: Arc<Timeline>,
}

impl LocalRun {
    /// Brings the run to where it was when its last process ended.
    pub fn open(
        journal: Journal,
        begun: Begun,
        activities: Vec<Arc<dyn Activity>>,
    ) -> Result<LocalRun, LocalError> {
        let registry = definitions(&begun)?;
        let own = registry.for_new_run(&begun.workflow_type, &begun.workflow_id);
        let signals = own.map(|entry| entry.loaded.program.signal_names());
        let signals = signals.unwrap_or_default();
        let programs = Arc::new(ProgramCache::new(registry.clone()));
        let questions = Questions::default();
        let setup = Setup {
            start_time: begun.begun_at,
            namespace: NAMESPACE.to_owned(),
            task_queue: TASK_QUEUE.to_owned(),
            ids: begun.ids,
        };
        let timeline = Arc::new(Timeline::new());
        let outside = Box::new(questions.clone());
        let mut simulator = Simulator::new(setup, registry, programs, outside);
        simulator.observed_by(timeline.clone());
        simulator.start(Start {
            workflow_type: begun.workflow_type.clone(),
            workflow_id: begun.workflow_id.clone(),
            input: begun.input.clone(),
            ..Start::default()
        })?;
        let (sender, told) = unbounded_channel();
        let mut run = LocalRun {
            signals,
            logs_shown: journal.logs_shown(begun.id)?,
            runner: Runner::new(activities, sender),
            journal,
            simulator,
            questions,
            told,
            timeline,
            begun,
        };
        for event in run.journal.events(run.begun.id)? {
            run.simulator.run_until(event.at);
            run.apply(event.what);
        }
        Ok(run)
    }

    pub fn begun_at(&self) -> Timestamp {
        self.begun.begun_at
    }

    pub fn tell(&mut self, told: Told) -> Result<(), LocalError> {
        self.happened(match told {
            Told::Signal(name, input) => What::Signal { name, input },
            Told::Cancel(reason) => What::Cancel { reason },
        })
    }

    /// Until its end, or until whoever watches leaves; `moved` hears of each change, and of each line of the log once.
    pub async fn run(
        mut self,
        leaves: impl Future<Output = ()>,
        mut moved: impl FnMut(&Timeline, &[Logged]),
    ) -> Result<Ended, LocalError> {
        tokio::pin!(leaves);
        loop {
            let now = now().max(self.simulator.now());
            self.simulator.run_until(now);
            self.runner.attend(&self.questions);
            self.show(&mut moved)?;
            if let Some(outcome) = self.outcome() {
                self.journal.close(self.begun.id)?;
                return Ok(Ended::Closed(outcome));
            }
            for run in self.simulator.runs() {
                if let Some(failure) = self.simulator.task_failure(run) {
                    return Err(LocalError::Stuck(failure.to_owned()));
                }
            }
            let due = self.simulator.next_due();
            if due.is_none() && self.runner.is_idle() {
                return Ok(Ended::Waits);
            }
            let wait = due.and_then(|due| due.since(now)?.to_std());
            let wait = wait.unwrap_or(SLEEP_MAX).min(SLEEP_MAX);
            tokio::select! {
                what = self.told.recv() => {
                    if let Some(what) = what {
                        self.happened(what)?;
                    }
                }
                () = tokio::time::sleep(wait) => {}
                () = &mut leaves => return Ok(Ended::Left),
            }
        }
    }

    /// The telling brings the same log in every process, so that a count says what was shown before.
    fn show(&mut self, moved: &mut impl FnMut(&Timeline, &[Logged])) -> Result<(), LocalError> {
        let logs = self.simulator.logs();
        moved(&self.timeline, logs.get(self.logs_shown..).unwrap_or(&[]));
        if logs.len() > self.logs_shown {
            self.logs_shown = logs.len();
            self.journal
                .set_logs_shown(self.begun.id, self.logs_shown)?;
        }
        Ok(())
    }

    fn outcome(&self) -> Option<Outcome> {
        let run = self.simulator.current(&self.begun.workflow_id)?;
        match self.simulator.status(run) {
            Status::Running | Status::ContinuedAsNew => None,
            _ => self.simulator.outcome(run).cloned(),
        }
    }

    /// It is on the disk before anything is made of it.
    fn happened(&mut self, what: What) -> Result<(), LocalError> {
        let event = Event {
            at: now().max(self.simulator.now()),
            what,
        };
        self.journal.append(self.begun.id, &event)?;
        self.simulator.run_until(event.at);
        self.apply(event.what);
        Ok(())
    }

    /// What comes too late is no mistake.
    fn apply(&mut self, what: What) {
        let id = &self.begun.workflow_id;
        match what {
            What::Attempt { attempt, result } => {
                self.runner.ended(&attempt);
                self.questions.lock().tasks.remove(&attempt);
                self.simulator.end_attempt(&attempt, result);
            }
            What::Heartbeat { attempt, details } => {
                self.simulator.heartbeat_attempt(&attempt, &details);
            }
            What::Cancel { reason } => {
                let _ = self.simulator.cancel(id, &reason);
            }
            What::Signal { name, input } => {
                let _ = self.simulator.signal(id, &name, input);
            }
        }
    }
}

fn definitions(begun: &Begun) -> Result<Arc<dyn Registry>, LocalError> {
    let mut definitions: BTreeMap<String, Entry> = BTreeMap::new();
    for bytes in &begun.bundles {
        let loaded = registry::load(bytes).map_err(LocalError::Definition)?;
        let workflow_type = loaded.program.workflow.to_string();
        let bundle = Arc::new(loaded.bundle.clone());
        definitions.insert(workflow_type, Entry { loaded, bundle });
    }
    Ok(Arc::new(definitions))
}

/// At random, for a run that begins.
pub fn draw_ids() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}

/// The wall clock's time.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = since.unwrap_or_default().as_nanos();
    Timestamp::from_nanos(i128::try_from(nanos).unwrap_or(i128::MAX)).unwrap_or_default()
}
