//! The server's half: executions with their histories, pending operations, and what is due (temporal server 1.32.0). It
//! dispatches workflow tasks and accepts their completions; it knows nothing of the engine or of how a worker works.

mod activity;
mod attempts;
mod away;
mod children;
mod close;
mod commands;
mod event;
mod execution;
mod external;
mod limits;
mod nexus;
mod schedules;
mod tasks;
mod updates;

use std::collections::{BTreeMap, VecDeque};

use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::history::v1::WorkflowExecutionStartedEventAttributes;

use super::retry;
use super::world::World;
use super::{Refused, RunNumber, Start, UpdateNumber, UpdateStage};
use crate::payload::{duration_to_proto, id_reuse_policy_to_proto};
use crate::value::Payload;
use execution::Execution;
pub(crate) use execution::Outcome;
pub use execution::Status;
pub(crate) use schedules::ScheduleNumber;
use schedules::{LastRun, Schedule};

pub(super) struct Server {
    pub(crate) world: World,
    namespace: String,
    task_queue: String,
    #[expect(
        clippy::vec_box,
        reason = "they are large, and children add to them at any time"
    )]
    pub(crate) executions: Vec<Box<Execution>>,
    /// The newest run of each workflow.
    pub(crate) current: BTreeMap<String, usize>,
    /// Runs whose workflow tasks are due.
    ready: VecDeque<usize>,
    /// A workflow task is scheduled after several events, not after each.
    in_one_go: bool,
    /// Activities, as run and event, with an attempt that became due while no worker acted.
    untaken: Vec<(usize, i64)>,
    pub(crate) schedules: Vec<Schedule>,
    updates: Vec<UpdateStage>,
    update_ids: BTreeMap<(usize, String), UpdateNumber>,
    /// The number in every run id, and a count of ids.
    ids: (u64, u64),
}

impl Server {
    pub(crate) fn new(world: World, namespace: String, task_queue: String, ids: u64) -> Self {
        Server {
            world,
            namespace,
            task_queue,
            executions: Vec::new(),
            current: BTreeMap::new(),
            ready: VecDeque::new(),
            in_one_go: false,
            untaken: Vec::new(),
            schedules: Vec::new(),
            updates: Vec::new(),
            update_ids: BTreeMap::new(),
            ids: (ids, 0),
        }
    }

    /// Starts a workflow, or signals the running one if the start has a signal.
    pub(crate) fn start(&mut self, start: Start) -> Result<RunNumber, Refused> {
        limits::check_workflow_id(&start.workflow_id)?;
        if let Some((name, _)) = &start.signal {
            limits::check_signal_name(name)?;
        }
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
            return Ok(RunNumber(current));
        }
        let run = self.start_first(start, LastRun::default())?;
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
            task_queue: event::task_queue(&self.task_queue),
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

    /// What arrives until [`Server::end_one_go`] makes one workflow task due. Returns the length of the history.
    pub(crate) fn begin_one_go(&mut self, run: usize) -> usize {
        self.in_one_go = true;
        self.executions[run].history.len()
    }

    pub(crate) fn end_one_go(&mut self, run: usize, length: usize) {
        self.in_one_go = false;
        if self.executions[run].history.len() > length {
            self.schedule_task(run);
        }
    }

    /// Whether the run is open, its last workflow task succeeded, and no worker has one.
    pub(crate) fn is_at_rest(&self, run: usize) -> bool {
        let execution = &self.executions[run];
        execution.is_open() && execution.failure().is_none() && !self.has_open_task(run)
    }

    pub(crate) fn open_run(&self, workflow_id: &str) -> Result<usize, Refused> {
        let run = self.current.get(workflow_id).copied();
        let run = run.ok_or_else(|| Refused::NotFound(workflow_id.to_owned()))?;
        match self.executions[run].is_open() {
            true => Ok(run),
            false => Err(Refused::Closed(workflow_id.to_owned())),
        }
    }

    /// The run with this id, unless it has closed.
    pub(crate) fn open_run_of(&self, run_id: &str) -> Option<usize> {
        let found = self.executions.iter().position(|e| e.run_id == run_id);
        found.filter(|run| self.executions[*run].is_open())
    }

    /// An invariant of the server's own is broken: the run's workflow task fails, permanently.
    fn broken(&mut self, run: usize, invariant: impl std::fmt::Display) {
        let execution = &mut self.executions[run];
        execution
            .broken
            .get_or_insert_with(|| format!("the simulated server broke an invariant: {invariant}"));
    }

    /// In the form of a UUID: the setup's number, and a count.
    fn unique_id(&mut self) -> String {
        self.ids.1 += 1;
        let (all, count) = self.ids;
        let (first, second) = (all >> 32, all >> 16 & 0xffff);
        let (third, fourth) = (all >> 4 & 0xfff, all & 0xf);
        format!("{first:08x}-{second:04x}-4{third:03x}-8{fourth:x}00-{count:012x}")
    }
}
