//! Carries messages between the server and the worker: workflow tasks one way, their completions the other.

use super::message::{Answer, Completion};
use super::{RunNumber, Simulator};

/// Workflow tasks at one moment, after which they are assumed never to end.
const TASKS_AT_ONCE_MAX: usize = 100_000;

impl Simulator {
    /// Runs all workflow tasks that are due now.
    pub(super) fn settle(&mut self) {
        self.drop_closed();
        for _ in 0..TASKS_AT_ONCE_MAX {
            let is_away = self.server.world.worker_is_away;
            if self.worker.holds_tasks || is_away || !self.take_task() {
                return;
            }
        }
    }

    /// Workflow tasks wait for [`Simulator::take_task`] from now on, so that something can happen between two of them.
    pub fn hold_tasks(&mut self) {
        self.worker.holds_tasks = true;
    }

    /// Workflow tasks no longer wait.
    pub fn release_tasks(&mut self) {
        self.worker.holds_tasks = false;
        self.settle();
    }

    /// Runs the workflow task that became due first.
    pub fn take_task(&mut self) -> bool {
        match self.server.first_ready() {
            Some(run) => self.take_task_of(RunNumber(run)),
            None => false,
        }
    }

    /// Runs this run's workflow task, if one is due.
    pub(crate) fn take_task_of(&mut self, run: RunNumber) -> bool {
        if !self.server.is_ready(run.0) {
            return false;
        }
        if let Some(updates) = self.server.start_task(run.0) {
            let seen = self.worker.seen(run.0);
            let (task, world) = self.server.task(run.0, seen, updates);
            let completion = self.worker.begin(task, world);
            self.respond(completion);
        }
        true
    }

    /// Starts it alone: it is completed by [`Simulator::end_task_of`], and what arrives before must wait.
    pub fn begin_task_of(&mut self, run: RunNumber) -> bool {
        self.worker.hold_open(run.0);
        self.take_task_of(run)
    }

    pub fn end_task_of(&mut self, run: RunNumber) {
        self.worker.release(run.0);
        if self.server.has_open_task(run.0) {
            let completion = self.worker.resume(run.0, &mut self.server.world);
            self.respond(completion);
        }
    }

    /// Passes a worker's completion of a workflow task to the server, and the answer to the worker.
    pub(super) fn respond(&mut self, completion: Option<Completion>) {
        let Some(completion) = completion else {
            return;
        };
        let run = completion.run;
        let answer = self.server.respond(completion);
        self.worker.answered(run, answer);
        match answer {
            Answer::Recorded | Answer::Dropped { .. } => {
                if !self.server.executions[run].is_open() {
                    self.worker.drop_task(run, &mut self.server.world);
                }
            }
            Answer::Refused { is_tried_again } => {
                self.worker.drop_task(run, &mut self.server.world);
                let execution = &self.server.executions[run];
                let (names, history) = (execution.names(), execution.history.as_slice());
                let rebuilt = self.worker.rebuild(run, names, history);
                let failed = rebuilt.err().map(|divergence| divergence.to_string());
                self.server.begun_anew(run, failed, is_tried_again);
            }
        }
    }

    /// The server has closed runs whose workflow tasks a worker still had.
    pub(super) fn drop_closed(&mut self) {
        for run in self.worker.busy() {
            if !self.server.executions[run].is_open() {
                self.worker.drop_task(run, &mut self.server.world);
            }
        }
    }
}
