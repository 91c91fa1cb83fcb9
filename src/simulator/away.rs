//! A time in which no worker acted: the server's clocks continued, and what became due waits for a worker.

use super::Simulator;
use super::agenda::{Due, Key};
use super::outside::AttemptKey;
use crate::value::{Duration, Timestamp};

/// The process that continues the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerProcess {
    /// The same process. It was stopped for `paused` of the time since it last acted, and running attempts were stopped
    /// with it, so that this time does not count for them.
    Same { paused: Duration },
    /// Another one: the attempts that were running ended with the previous process.
    Another,
}

/// An attempt that ended with the process that ran it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostAttempt {
    pub(crate) workflow_id: String,
    pub(crate) activity_type: String,
    pub(crate) attempt: u32,
}

impl Simulator {
    /// Sets the clock to `at`, the first moment since the last call in which a worker acts. What the server does by
    /// itself (timers, timeouts, starts of children) happens on time; workflow tasks and attempts begin at `at`,
    /// whenever they became due.
    pub fn worker_acts(&mut self, at: Timestamp, process: WorkerProcess) -> Vec<LostAttempt> {
        match process {
            WorkerProcess::Same { paused } if paused.is_zero() => {}
            WorkerProcess::Same { paused } => {
                self.worker.delay_locals(paused, &mut self.server.world);
                self.server.delay_attempts(paused);
            }
            // Only the worker knows the time of local activities.
            WorkerProcess::Another => {
                let length = at.since(self.now()).unwrap_or_default();
                self.worker.delay_locals(length, &mut self.server.world);
            }
        }
        self.worker_leaves(at);
        let mut lost = Vec::new();
        if process == WorkerProcess::Another {
            lost = self.server.lose_activities();
        }
        self.server.world.worker_is_away = false;
        if process == WorkerProcess::Another {
            for run in self.worker.busy() {
                let world = &mut self.server.world;
                let (of_run, completion) = self.worker.lose_locals(run, world);
                lost.extend(of_run);
                self.respond(completion);
            }
        }
        // A step may have ended meanwhile: then no attempt of it begins.
        self.settle();
        self.server.take_untaken();
        self.run_until(at);
        lost
    }

    /// No worker acts from now on, until [`Simulator::worker_acts`] is called.
    pub(crate) fn worker_leaves(&mut self, at: Timestamp) {
        self.server.world.worker_is_away = true;
        while let Some(key) = self.due_without_worker(at) {
            self.take_key(key);
        }
        self.advance(at);
    }

    /// The attempt has ended, and its worker is about to report it: it can no longer time out.
    pub(crate) fn stop_attempt_clocks(&mut self, key: &AttemptKey) {
        if !self.is_under_way(key) {
            return;
        }
        match (key.is_local, self.server.open_run_of(&key.run_id)) {
            (true, Some(run)) => {
                let world = &mut self.server.world;
                self.worker.stop_local_clocks(run, key.seq(), world);
            }
            (true, None) => {}
            (false, _) => self.server.stop_attempt_clocks(key),
        }
    }

    /// Whether no step waits for the end of this attempt, though its run continues.
    pub(crate) fn is_given_up(&self, key: &AttemptKey) -> bool {
        self.server.open_run_of(&key.run_id).is_some() && !self.is_under_way(key)
    }

    /// Whether this attempt has begun and nothing has ended it.
    pub(crate) fn is_under_way(&self, key: &AttemptKey) -> bool {
        let Some(run) = self.server.open_run_of(&key.run_id) else {
            return false;
        };
        match key.is_local {
            true => self.worker.is_local_under_way(run, key.seq(), key.attempt),
            false => self.server.is_under_way(run, key),
        }
    }

    fn due_without_worker(&self, until: Timestamp) -> Option<Key> {
        let all = self.server.world.agenda.all();
        let by_then = all.take_while(|(key, _)| key.0 <= until);
        let is_of_worker = |due: &Due| matches!(due, Due::Local { .. } | Due::TaskHeartbeat { .. });
        let mut of_server = by_then.filter(|(_, due)| !is_of_worker(due));
        of_server.next().map(|(key, _)| *key)
    }
}
