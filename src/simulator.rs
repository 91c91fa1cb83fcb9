//! Temporal's server and a worker in one process, on a clock that jumps to what is due next: the same calls give the same
//! histories. No threads, no waiting, nothing from outside but what it is asked.

mod activity;
mod agenda;
mod away;
mod children;
mod close;
mod commands;
mod completion;
mod event;
mod execution;
mod external;
mod limits;
mod local;
mod machines;
mod nexus;
mod outside;
mod replay;
mod retry;
mod schedules;
mod tasks;
mod updates;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::history::v1::{
    History, HistoryEvent, WorkflowExecutionStartedEventAttributes,
};

use agenda::{Agenda, Due, Subject};
pub use away::{LostAttempt, WorkerProcess};
use execution::Execution;
pub use execution::{Outcome, Status};
pub use outside::{
    ActivityTask, Attempt, AttemptKey, ChildTask, End, NexusTask, OnCancel, Outside,
};
pub use replay::Divergence;
pub use schedules::ScheduleNumber;
use schedules::{LastRun, Schedule};

use crate::engine::failure::Failure;
use crate::engine::observe::Observer;
use crate::engine::{Instance, Programs};
use crate::payload::{duration_to_proto, id_reuse_policy_to_proto};
use crate::registry::Registry;
use crate::value::{Duration, Payload, Timestamp, Value};
use crate::words::{LogLevel, RetryPolicy, WorkflowIdReusePolicy};

/// Where and when the simulation takes place.
#[derive(Debug, Clone)]
pub struct Setup {
    pub start_time: Timestamp,
    pub namespace: String,
    pub task_queue: String,
    /// Goes into every run id, and so into what `uuid()` and `random()` give: the same number gives the same ones. 0 where
    /// each simulation is to have the ids of every other.
    pub ids: u64,
}

/// A run by its number, in the order in which runs began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunNumber(pub usize);

/// How a workflow is started; what is left out is the server's default.
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

/// What the server answers instead of doing what it was asked.
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
        /// Those that are.
        activity_ids: Vec<String>,
    },
    #[error("{0}")]
    Invalid(String),
}

/// An update as the client that sent it knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UpdateNumber(pub usize);

#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "most updates complete")]
pub enum UpdateStage {
    Admitted,
    Accepted,
    Completed(Result<Payload, Failure>),
}

/// A run as Temporal's tools take it.
#[derive(Debug)]
pub struct RunHistory {
    pub workflow_id: String,
    pub history: History,
}

/// A line of a run's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    pub run: RunNumber,
    pub at: Timestamp,
    pub level: LogLevel,
    pub message: String,
    pub fields: Vec<(String, String)>,
}

/// Something that is due, in words, for those who choose an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueItem {
    pub at: Timestamp,
    pub run: Option<RunNumber>,
    /// The workflow's id, or the schedule's.
    pub subject_id: String,
    pub what: String,
}

pub struct Simulator {
    setup: Setup,
    now: Timestamp,
    registry: Arc<dyn Registry>,
    programs: Arc<dyn Programs + Send + Sync>,
    outside: Box<dyn Outside>,
    observer: Option<Arc<dyn Observer>>,
    #[expect(
        clippy::vec_box,
        reason = "they are large, and children add to them at any time"
    )]
    executions: Vec<Box<Execution>>,
    /// The newest run of each workflow.
    current: BTreeMap<String, usize>,
    agenda: Agenda,
    /// Runs whose workflow tasks are due.
    ready: VecDeque<usize>,
    /// They wait until somebody asks for one.
    holds_tasks: bool,
    /// Runs whose workflow task is not to complete yet.
    held_open: BTreeSet<usize>,
    /// One is put down after several events.
    in_one_go: bool,
    worker_is_away: bool,
    /// Activities, as run and event, with an attempt that became due while no worker was there.
    untaken: Vec<(usize, i64)>,
    schedules: Vec<Schedule>,
    updates: Vec<UpdateStage>,
    update_ids: BTreeMap<(usize, String), UpdateNumber>,
    logs: Vec<Logged>,
    ids: u64,
}

impl Simulator {
    pub fn new(
        setup: Setup,
        registry: Arc<dyn Registry>,
        programs: Arc<dyn Programs + Send + Sync>,
        outside: Box<dyn Outside>,
    ) -> Self {
        Simulator {
            now: setup.start_time,
            setup,
            registry,
            programs,
            outside,
            observer: None,
            executions: Vec::new(),
            current: BTreeMap::new(),
            agenda: Agenda::default(),
            ready: VecDeque::new(),
            holds_tasks: false,
            held_open: BTreeSet::new(),
            in_one_go: false,
            worker_is_away: false,
            untaken: Vec::new(),
            schedules: Vec::new(),
            updates: Vec::new(),
            update_ids: BTreeMap::new(),
            logs: Vec::new(),
            ids: 0,
        }
    }

    /// Observes the instance of every run that begins from now on.
    pub fn observed_by(&mut self, observer: Arc<dyn Observer>) {
        self.observer = Some(observer);
    }

    pub fn now(&self) -> Timestamp {
        self.now
    }

    pub fn outside(&mut self) -> &mut dyn Outside {
        &mut *self.outside
    }

    pub fn start(&mut self, start: Start) -> Result<RunNumber, Refused> {
        if let Some(current) = self.current.get(&start.workflow_id).copied()
            && self.executions[current].is_open()
        {
            let Some((name, input)) = start.signal else {
                return Err(Refused::AlreadyStarted(start.workflow_id));
            };
            let input = crate::payload::payloads_to_proto(input);
            limits::check_size(input.as_ref())?;
            self.executions[current].check_signal()?;
            self.deliver_signal(current, &name, input, None);
            self.settle();
            return Ok(RunNumber(current));
        }
        let run = self.start_first(start, LastRun::default())?;
        self.settle();
        Ok(RunNumber(run))
    }

    fn start_first(&mut self, start: Start, last: LastRun) -> Result<usize, Refused> {
        let policy = id_reuse_policy_to_proto(start.id_reuse_policy);
        let input = crate::payload::payloads_to_proto(start.input);
        limits::check_size(input.as_ref())?;
        if !self.frees_id(&start.workflow_id, policy) {
            return Err(Refused::AlreadyStarted(start.workflow_id));
        }
        let attributes = |fields: BTreeMap<String, Payload>| common::SearchAttributes {
            indexed_fields: commands::fields(fields),
        };
        let started = WorkflowExecutionStartedEventAttributes {
            workflow_type: Some(common::WorkflowType {
                name: start.workflow_type,
            }),
            task_queue: event::task_queue(&self.setup.task_queue),
            input,
            workflow_execution_timeout: start.execution_timeout.map(duration_to_proto),
            workflow_run_timeout: retry::run_timeout(start.run_timeout, start.execution_timeout)
                .map(duration_to_proto),
            workflow_task_timeout: start.task_timeout.map(duration_to_proto),
            retry_policy: start
                .retry_policy
                .map(|policy| retry::retry_policy(Some(policy))),
            cron_schedule: start.cron_schedule,
            first_workflow_task_backoff: start.start_delay.map(duration_to_proto),
            memo: (!start.memo.is_empty()).then(|| common::Memo {
                fields: commands::fields(start.memo),
            }),
            search_attributes: (!start.search_attributes.is_empty())
                .then(|| attributes(start.search_attributes)),
            workflow_id: start.workflow_id,
            last_completion_result: last.result,
            continued_failure: last.failure,
            ..Default::default()
        };
        Ok(self.begin_first(started, None, None, start.signal))
    }

    /// When the next thing is due; `None`: nothing ever is.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.agenda.next()
    }

    /// All that is due at that time, in the order in which it would be done.
    pub fn due(&self) -> Vec<DueItem> {
        self.choices().map(|due| self.described(due)).collect()
    }

    /// What is due first; of clocks that come in one go the first.
    fn choices(&self) -> impl Iterator<Item = (&agenda::Key, &Due)> {
        let mut clocks = BTreeSet::new();
        self.agenda.first().filter(move |(_, due)| {
            let is_timer = matches!(due, Due::Timer { .. });
            due.clock().is_none_or(|run| clocks.insert((run, is_timer)))
        })
    }

    fn described(&self, (key, due): (&agenda::Key, &Due)) -> DueItem {
        let (subject, what) = due.described();
        let (run, subject_id) = match subject {
            Subject::Run(run) => (Some(RunNumber(run)), &self.executions[run].workflow_id),
            Subject::Schedule(schedule) => (None, &self.schedules[schedule].id),
        };
        DueItem {
            at: key.0,
            run,
            subject_id: subject_id.clone(),
            what,
        }
    }

    /// The clock goes to the first thing that is due, which is done, and the workflow tasks after it.
    pub fn step(&mut self) -> bool {
        self.take(0)
    }

    /// Another of what is due at that time comes first.
    pub fn take(&mut self, index: usize) -> bool {
        let taken = self.take_one(index);
        self.settle();
        taken
    }

    /// All that is due at that time comes before a worker takes the workflow task that the first of it has made due.
    pub fn take_together(&mut self) -> bool {
        let count = self.agenda.first().count();
        let at = self.next_due();
        for _ in 0..count {
            if self.next_due() == at {
                self.take_one(0);
            }
        }
        self.settle();
        count > 0
    }

    /// The first of what is wanted comes first, whatever else is due before it: a real server may be late with anything.
    pub fn take_where(&mut self, wanted: impl Fn(&DueItem) -> bool) -> bool {
        let is_wanted = |due: &(&agenda::Key, &Due)| wanted(&self.described(*due));
        let key = self.agenda.all().find(is_wanted).map(|(key, _)| *key);
        let taken = key.is_some_and(|key| self.take_key(key));
        self.settle();
        taken
    }

    fn take_one(&mut self, index: usize) -> bool {
        let key = self.choices().nth(index).map(|(key, _)| *key);
        key.is_some_and(|key| self.take_key(key))
    }

    fn take_key(&mut self, key: agenda::Key) -> bool {
        let Some(due) = self.agenda.get(key) else {
            return false;
        };
        let clock = due.clock();
        self.now = self.now.max(key.0);
        match clock {
            Some(run) => self.take_clocks(run, key),
            None => self.take_due(key),
        }
        true
    }

    /// The server fires all timers of a run that are due, or all timeouts of its activities, in one go.
    fn take_clocks(&mut self, run: usize, key: agenda::Key) {
        let kind = self.agenda.get(key).map(std::mem::discriminant);
        let is_same =
            |due: &Due| due.clock() == Some(run) && Some(std::mem::discriminant(due)) == kind;
        let by_now = self.agenda.all().take_while(|(key, _)| key.0 <= self.now);
        let keys: Vec<agenda::Key> = by_now
            .filter(|(_, due)| is_same(due))
            .map(|(key, _)| *key)
            .collect();
        self.take_in_one_go(run, keys);
    }

    fn take_in_one_go(&mut self, run: usize, keys: Vec<agenda::Key>) {
        let length = self.executions[run].history.len();
        self.in_one_go = true;
        keys.into_iter().for_each(|key| self.take_due(key));
        self.in_one_go = false;
        if self.executions[run].history.len() > length {
            self.schedule_task(run);
        }
    }

    /// Unless something has made it void.
    fn take_due(&mut self, key: agenda::Key) {
        if let Some(due) = self.agenda.take(key) {
            self.perform(due);
        }
    }

    fn perform(&mut self, due: Due) {
        match due {
            Due::FirstTask { run } => self.first_task(run),
            Due::Timer { run, event_id } => self.timer_fired(run, event_id),
            Due::Activity {
                run,
                event_id,
                what,
            } => self.activity_is_due(run, event_id, what),
            Due::Local { run, seq, what } => self.local_is_due(run, seq, what),
            Due::TaskHeartbeat { run } => self.heartbeat_task(run),
            Due::StartChild { run, event_id } => self.start_child(run, event_id),
            Due::MockedChild { run, event_id } => self.mocked_child_ended(run, event_id),
            Due::SignalExternal { run, event_id } => self.send_external_signal(run, event_id),
            Due::CancelExternal { run, event_id } => self.send_external_cancel(run, event_id),
            Due::Nexus {
                run,
                event_id,
                what,
            } => self.nexus_is_due(run, event_id, what),
            Due::RunTimeout { run } => self.run_timed_out(run),
            Due::ChildClosed { run } => self.child_closed(run),
            Due::ParentClosed { child } => self.parent_closed(child),
            Due::Schedule { schedule, at } => self.schedule_is_due(schedule, at),
            Due::ScheduledRunClosed { schedule, run } => self.scheduled_run_closed(schedule, run),
        }
    }

    /// All that is due until then, and then it is then.
    pub fn run_until(&mut self, at: Timestamp) {
        while self.next_due().is_some_and(|due| due <= at) {
            self.step();
        }
        self.now = self.now.max(at);
    }

    /// It is then, and what is due at that very time is still to be done.
    pub fn advance(&mut self, at: Timestamp) {
        self.now = self.now.max(at);
    }

    /// False where something is still due after so many steps.
    pub fn run_until_idle(&mut self, steps_max: usize) -> bool {
        for _ in 0..steps_max {
            if !self.step() {
                return true;
            }
        }
        self.next_due().is_none()
    }

    pub fn runs(&self) -> impl Iterator<Item = RunNumber> + use<> {
        (0..self.executions.len()).map(RunNumber)
    }

    pub fn current(&self, workflow_id: &str) -> Option<RunNumber> {
        self.current.get(workflow_id).copied().map(RunNumber)
    }

    pub fn workflow_id(&self, run: RunNumber) -> &str {
        &self.executions[run.0].workflow_id
    }

    pub fn run_id(&self, run: RunNumber) -> &str {
        &self.executions[run.0].run_id
    }

    pub fn workflow_type(&self, run: RunNumber) -> &str {
        &self.executions[run.0].workflow_type
    }

    pub fn parent(&self, run: RunNumber) -> Option<RunNumber> {
        let parent = self.executions[run.0].parent.as_ref()?;
        Some(RunNumber(parent.run))
    }

    /// The run that continues it: as new, by a retry or by cron.
    pub fn next(&self, run: RunNumber) -> Option<RunNumber> {
        self.executions[run.0].next.map(RunNumber)
    }

    pub fn status(&self, run: RunNumber) -> Status {
        self.executions[run.0].status()
    }

    pub fn outcome(&self, run: RunNumber) -> Option<&Outcome> {
        self.executions[run.0].outcome.as_ref()
    }

    pub fn history(&self, run: RunNumber) -> &[HistoryEvent] {
        &self.executions[run.0].history
    }

    /// The histories of all runs, in the order in which they began.
    pub fn into_histories(self) -> Vec<RunHistory> {
        let runs = self.executions.into_iter();
        runs.map(|run| RunHistory {
            workflow_id: run.workflow_id,
            history: History {
                events: run.history,
            },
        })
        .collect()
    }

    /// Why the run's workflow task cannot be completed: it waits for a mended worker.
    pub fn task_failure(&self, run: RunNumber) -> Option<&str> {
        self.executions[run.0].task_failure.as_deref()
    }

    /// What the definition keeps.
    pub fn state(&self, run: RunNumber) -> Option<Value> {
        self.executions[run.0].worker.instance.state()
    }

    /// What steps have logged, and what the engine had to say.
    pub fn logs(&self) -> &[Logged] {
        &self.logs
    }

    /// The worker dies: every open run's instance is made anew from its history. Runs whose local activities are under
    /// way are left alone.
    pub fn replay_all(&mut self) -> Vec<(RunNumber, Divergence)> {
        let mut divergences = Vec::new();
        for run in 0..self.executions.len() {
            let length = self.executions[run].history.len();
            // Nothing has come since the last time.
            if !self.is_at_rest(run) || self.executions[run].rebuilt_at == length {
                continue;
            }
            self.executions[run].rebuilt_at = length;
            if let Err(divergence) = self.rebuild(run) {
                divergences.push((RunNumber(run), divergence));
            }
        }
        divergences
    }

    /// Whether the history of every run, closed or not, leads a new worker to the same commands.
    pub fn replays(&self) -> Vec<(RunNumber, Divergence)> {
        let mut divergences = Vec::new();
        for run in 0..self.executions.len() {
            if self.executions[run].task_failure.is_none()
                && let Err(divergence) = self.replayed(run)
            {
                divergences.push((RunNumber(run), divergence));
            }
        }
        divergences
    }

    /// The worker dies and has the serialised state of every open run.
    pub fn restore_all(&mut self) -> Result<(), String> {
        for run in 0..self.executions.len() {
            if !self.is_at_rest(run) {
                continue;
            }
            let instance = &mut self.executions[run].worker.instance;
            if let Some(snapshot) = instance.snapshot() {
                *instance = Instance::restore(&snapshot, &*self.programs)?;
                if let Some(observer) = &self.observer {
                    instance.observed_by(observer.clone());
                }
            }
        }
        Ok(())
    }

    /// The serialised state of a run.
    pub fn snapshot(&self, run: RunNumber) -> Option<Vec<u8>> {
        self.executions[run.0].worker.instance.snapshot()
    }

    fn is_at_rest(&self, run: usize) -> bool {
        let execution = &self.executions[run];
        execution.is_open()
            && execution.task_failure.is_none()
            && !matches!(execution.task, execution::Task::Open { .. })
    }

    fn open_run(&self, workflow_id: &str) -> Result<usize, Refused> {
        let run = self.current.get(workflow_id).copied();
        let run = run.ok_or_else(|| Refused::NotFound(workflow_id.to_owned()))?;
        match self.executions[run].is_open() {
            true => Ok(run),
            false => Err(Refused::Closed(workflow_id.to_owned())),
        }
    }

    /// In the form of a UUID: the setup's number, and a count.
    fn unique_id(&mut self) -> String {
        self.ids += 1;
        let (all, count) = (self.setup.ids, self.ids);
        let (first, second) = (all >> 32, all >> 16 & 0xffff);
        let (third, fourth) = (all >> 4 & 0xfff, all & 0xf);
        format!("{first:08x}-{second:04x}-4{third:03x}-8{fourth:x}00-{count:012x}")
    }
}
