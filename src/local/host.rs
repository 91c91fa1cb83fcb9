//! The simulation on the wall clock: what arrives from outside is recorded first and applied then, so that applying it
//! again leads a later process to the same state.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::attempts::{Questions, Runner};
use super::clock::{Clock, Reading};
use super::journal::{Begun, Event, Journal, JournalError, What};
use crate::activity::Activity;
use crate::engine::failure::Failure;
use crate::faults::Fault;
use crate::registry::{self, Entry, Registry};
use crate::simulator::{
    Logged, LostAttempt, Outcome, Refused, Setup, Simulator, Start, Status, WorkerProcess,
};
use crate::timeline::Timeline;
use crate::value::{Payload, Timestamp};
use crate::worker::ProgramCache;

/// The clock is compared with what is due at least this often: timers of this process do not advance while the machine
/// is suspended.
const SLEEP_MAX: std::time::Duration = std::time::Duration::from_secs(1);
/// How long a process that ends waits for its attempts to stop: longer than `exec` lets its program end by itself.
const STOP_MAX: std::time::Duration = std::time::Duration::from_secs(6);
const NAMESPACE: &str = "local";
const TASK_QUEUE: &str = "local";

#[derive(Debug, thiserror::Error)]
pub(crate) enum LocalError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("{0}")]
    Refused(#[from] Refused),
    #[error("the workflow cannot continue: {0}")]
    Stuck(String),
    #[error("a definition that the run started with cannot be read: {0}")]
    Definition(String),
    #[error(
        "the run was started by another version of Segno, and this version would continue it differently"
    )]
    OtherVersion,
}

/// The result so far.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of a process")]
pub(crate) enum Ended {
    /// It is kept until [`LocalRun::given`].
    Closed(Outcome),
    /// It waits for a signal: nothing in this process can continue it.
    Waits,
    /// The process was interrupted; the same command continues the run.
    Left,
}

/// A client's message to the run.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    Signal(String, Vec<Payload>),
    Cancel(String),
}

pub(crate) struct LocalRun {
    journal: Journal,
    begun: Begun,
    clock: Clock,
    simulator: Simulator,
    questions: Questions,
    runner: Runner,
    told: UnboundedReceiver<What>,
    /// Lines of the run's log that this process and earlier ones have shown.
    logs_shown: usize,
    /// The signals that the run's definition receives.
    pub(crate) signals: BTreeSet<String>,
    pub(crate) timeline: Arc<Timeline>,
    /// This process has recorded that it ends.
    has_left: bool,
    /// Attempts that were running when the previous process ended.
    pub(crate) lost: Vec<LostAttempt>,
    /// The answer to each of the client's messages, in the order in which they were sent.
    pub(crate) told_now: Vec<Result<(), Refused>>,
}

impl LocalRun {
    /// Starts a run with messages, replacing the run with the number `instead_of`.
    pub(crate) fn begin(
        journal: Journal,
        begun: Begun,
        told: Vec<Told>,
        instead_of: Option<i64>,
        activities: Vec<Arc<dyn Activity>>,
    ) -> Result<LocalRun, LocalError> {
        let mut run = LocalRun::started(journal, begun, activities)?;
        let events = run.events(told.into_iter().map(What::from));
        run.begun = run.journal.begin(run.begun, &events, instead_of)?;
        run.apply_all(events);
        Ok(run)
    }

    /// Brings the run to where it was when its last process ended, and sends it messages.
    pub(crate) fn resume(
        journal: Journal,
        begun: Begun,
        told: Vec<Told>,
        activities: Vec<Arc<dyn Activity>>,
    ) -> Result<LocalRun, LocalError> {
        let mut run = LocalRun::started(journal, begun, activities)?;
        for event in run.journal.events(run.begun.id)? {
            let length = run.history_length();
            if event.history_length.is_some_and(|then| then != length) {
                return Err(LocalError::OtherVersion);
            }
            run.apply(event);
        }
        run.logs_shown = run.journal.logs_shown(run.begun.id)?;
        run.clock = Clock::beginning(run.simulator.now());
        run.lost.clear();
        run.told_now.clear();
        let whats = std::iter::once(What::Resumed).chain(told.into_iter().map(What::from));
        let events = run.events(whats);
        run.journal.append(run.begun.id, &events)?;
        run.apply_all(events);
        Ok(run)
    }

    fn started(
        journal: Journal,
        begun: Begun,
        activities: Vec<Arc<dyn Activity>>,
    ) -> Result<LocalRun, LocalError> {
        let registry = definitions(&begun)?;
        let own = registry.for_new_run(&begun.workflow_type, &begun.workflow_id);
        let signals = own.map(|entry| entry.loaded.program.signal_names());
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
        Ok(LocalRun {
            journal,
            clock: Clock::beginning(begun.begun_at),
            begun,
            simulator,
            questions,
            runner: Runner::new(activities, sender),
            told,
            logs_shown: 0,
            signals: signals.unwrap_or_default(),
            timeline,
            has_left: false,
            lost: Vec::new(),
            told_now: Vec::new(),
        })
    }

    pub(crate) fn begun_at(&self) -> Timestamp {
        self.begun.begun_at
    }

    /// Runs until its end, or until it is interrupted; `moved` is called for each change, and for each line of the log
    /// once.
    pub(crate) async fn run(
        &mut self,
        leaves: impl Future<Output = ()>,
        mut moved: impl FnMut(&Timeline, &[Logged]),
    ) -> Result<Ended, LocalError> {
        tokio::pin!(leaves);
        loop {
            // Attempts that have ended did so before any timeout that is noticed only now.
            while let Ok(what) = self.told.try_recv() {
                self.happened(what)?;
            }
            let now = self.now();
            if self.simulator.next_due().is_some_and(|due| due <= now) {
                self.happened(What::Due)?;
            }
            self.runner.attend(&self.questions, &self.simulator);
            self.show(&mut moved)?;
            if let Some(outcome) = self.outcome() {
                self.journal.close(self.begun.id, &outcome)?;
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
            let wait = due.and_then(|due| due.since(self.now())?.to_std());
            let wait = match due {
                Some(_) => wait.unwrap_or_default().min(SLEEP_MAX),
                None => SLEEP_MAX,
            };
            tokio::select! {
                what = self.told.recv() => {
                    if let Some(what) = what {
                        self.happened(what)?;
                    }
                }
                () = tokio::time::sleep(wait) => {}
                () = &mut leaves => {
                    self.leave().await?;
                    return Ok(Ended::Left);
                }
            }
        }
    }

    /// The outcome was printed.
    pub(crate) fn given(self) -> Result<(), LocalError> {
        Ok(self.journal.given(self.begun.id)?)
    }

    /// Applying the journal again writes the same log in every process, so a count is enough to know what was shown
    /// before.
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
            Status::Completed
            | Status::Failed
            | Status::Cancelled
            | Status::Terminated
            | Status::TimedOut => self.simulator.outcome(run).cloned(),
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now().max(self.simulator.now())
    }

    fn history_length(&self) -> usize {
        let runs = self.simulator.runs();
        runs.map(|run| self.simulator.history(run).len()).sum()
    }

    /// Attempts that have ended are not repeated by the next process, and no attempt starts here that would be stopped
    /// immediately.
    async fn leave(&mut self) -> Result<(), LocalError> {
        let mut ended: Vec<What> = std::iter::from_fn(|| self.told.try_recv().ok()).collect();
        for what in &ended {
            if let What::Attempt { attempt, .. } = what {
                self.runner.ended(attempt);
            }
        }
        self.runner.stop();
        let stopped = async {
            while !self.runner.is_idle() {
                let Some(what) = self.told.recv().await else {
                    break;
                };
                if let What::Attempt { attempt, result } = &what {
                    self.runner.ended(attempt);
                    // Only because it was asked to stop: it is lost, as after a kill.
                    if result.as_ref().is_err_and(Failure::is_cancelled) {
                        continue;
                    }
                }
                ended.push(what);
            }
        };
        // Attempts that do not stop end with the process.
        let _ = tokio::time::timeout(STOP_MAX, stopped).await;
        let events = self.events(std::iter::once(What::Left).chain(ended));
        self.journal.append(self.begun.id, &events)?;
        Ok(())
    }

    /// Events at the present time, one after the other.
    fn events(&self, whats: impl Iterator<Item = What>) -> Vec<Event> {
        let Reading { at, mut paused } = self.clock.read();
        let at = at.max(self.simulator.now());
        let mut history_length = Some(self.history_length());
        let event = |what| Event {
            at,
            paused: std::mem::take(&mut paused),
            history_length: history_length.take(),
            what,
        };
        whats.map(event).collect()
    }

    fn apply_all(&mut self, events: Vec<Event>) {
        events.into_iter().for_each(|event| self.apply(event));
    }

    /// It is on the disk before it takes effect.
    fn happened(&mut self, what: What) -> Result<(), LocalError> {
        if let What::Attempt { attempt, .. } = &what {
            self.runner.ended(attempt);
            // It arrived after a timeout, or after the end of its run.
            if !self.simulator.is_under_way(attempt) {
                return Ok(());
            }
        }
        let events = self.events(std::iter::once(what));
        self.journal.append(self.begun.id, &events)?;
        self.apply_all(events);
        Ok(())
    }

    fn apply(&mut self, event: Event) {
        self.pass(&event);
        let id = &self.begun.workflow_id;
        match event.what {
            What::Due | What::Resumed | What::Left => {}
            What::Attempt { attempt, result } => {
                self.questions.lock().tasks.remove(&attempt);
                self.simulator.end_attempt(&attempt, result);
            }
            What::Heartbeat { attempt, details } => {
                self.simulator.heartbeat_attempt(&attempt, &details);
            }
            What::Cancel { reason } => {
                let told = self.simulator.cancel(id, &reason);
                self.told_now.push(told);
            }
            What::Signal { name, input } => {
                let told = self.simulator.signal(id, &name, input);
                self.told_now.push(told);
            }
        }
    }

    /// Brings the simulation to the time of an event.
    fn pass(&mut self, event: &Event) {
        if Fault::PastAttemptsRun.is_on() {
            return self.simulator.run_until(event.at);
        }
        let process = match event.what {
            What::Resumed => WorkerProcess::Another,
            What::Due
            | What::Left
            | What::Attempt { .. }
            | What::Heartbeat { .. }
            | What::Cancel { .. }
            | What::Signal { .. } => WorkerProcess::Same {
                paused: event.paused,
            },
        };
        match &event.what {
            What::Left => self.has_left = true,
            What::Resumed => {
                self.has_left = false;
                // The earlier requests were for the previous process.
                self.questions.lock().tasks.clear();
            }
            What::Attempt { attempt, .. } => self.simulator.stop_attempt_clocks(attempt),
            What::Due | What::Heartbeat { .. } | What::Cancel { .. } | What::Signal { .. } => {}
        }
        match self.has_left {
            true => self.simulator.worker_leaves(event.at),
            false => self
                .lost
                .extend(self.simulator.worker_acts(event.at, process)),
        }
    }
}

impl From<Told> for What {
    fn from(told: Told) -> What {
        match told {
            Told::Signal(name, input) => What::Signal { name, input },
            Told::Cancel(reason) => What::Cancel { reason },
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

/// Random ids, for a new run.
pub(crate) fn draw_ids() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}
