//! A time in which no worker acted: the server's clocks go on through it, and what they make due waits for a worker.

use temporalio_protos::temporal::api::enums::v1 as enums;

use super::Simulator;
use super::agenda::{ActivityDue, Due, Key, after};
use super::outside::AttemptKey;
use crate::value::{Duration, Timestamp};

/// Which process takes up the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerProcess {
    /// The one that was there before. It stood still for `paused` of the time since it acted last: attempts under way stood
    /// still with it, so that this is none of the time that they may take.
    Same { paused: Duration },
    /// Another one: the attempts that were under way ended with the one before.
    Another,
}

/// An attempt that ended with the process that ran it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostAttempt {
    pub workflow_id: String,
    pub activity_type: String,
    pub attempt: u32,
}

impl Simulator {
    /// Sets the clock to `at`, the first moment since the last call in which a worker acts. What the server does by itself
    /// (timers, timeouts, starts of children) happens on time; workflow tasks and attempts begin at `at`, whenever they became due.
    pub fn worker_acts(&mut self, at: Timestamp, process: WorkerProcess) -> Vec<LostAttempt> {
        match process {
            WorkerProcess::Same { paused } => self.delay_attempts(paused),
            // Nobody but the worker keeps the time of local activities.
            WorkerProcess::Another => {
                self.delay_locals(at.since(self.now).unwrap_or_default());
            }
        }
        self.worker_leaves(at);
        let mut lost = Vec::new();
        if process == WorkerProcess::Another {
            lost = self.lose_activities();
        }
        self.worker_is_away = false;
        if process == WorkerProcess::Another {
            lost.extend(self.lose_locals());
        }
        // A step may have been given up meanwhile: then no attempt of it begins.
        self.settle();
        for (run, event_id) in std::mem::take(&mut self.untaken) {
            self.forget_attempt(run, event_id);
            self.activity_is_due(run, event_id, ActivityDue::Attempt);
        }
        self.run_until(at);
        lost
    }

    /// From now on no worker acts, until [`Simulator::worker_acts`] says otherwise.
    pub fn worker_leaves(&mut self, at: Timestamp) {
        self.worker_is_away = true;
        while let Some(key) = self.due_without_worker(at) {
            self.take_key(key);
        }
        self.now = self.now.max(at);
    }

    /// The attempt has ended, and its worker is about to report it: it times out no more.
    pub fn stop_attempt_clocks(&mut self, key: &AttemptKey) {
        if !self.is_under_way(key) {
            return;
        }
        let Some(run) = self.open_run_of(&key.run_id) else {
            return;
        };
        match key.is_local {
            false => self.forget_attempt(run, key.scheduled),
            true => {
                let seq = u32::try_from(key.scheduled).unwrap_or_default();
                let local = self.executions[run].locals.get_mut(&seq);
                let keys = local.map(|local| std::mem::take(&mut local.keys));
                self.agenda.remove_all(keys.unwrap_or_default());
            }
        }
    }

    /// Whether nobody waits for the end of this attempt, though its run goes on.
    pub fn is_given_up(&self, key: &AttemptKey) -> bool {
        self.open_run_of(&key.run_id).is_some() && !self.is_under_way(key)
    }

    /// Whether this attempt has begun and nothing has ended it.
    pub fn is_under_way(&self, key: &AttemptKey) -> bool {
        let Some(run) = self.open_run_of(&key.run_id) else {
            return false;
        };
        let execution = &self.executions[run];
        if key.is_local {
            let seq = u32::try_from(key.scheduled).unwrap_or_default();
            let local = execution.locals.get(&seq);
            return local.is_some_and(|l| l.attempt == key.attempt && l.plan.is_some());
        }
        let activity = execution.activities.get(&key.scheduled);
        activity.is_some_and(|a| a.attempt == key.attempt && a.started_at.is_some())
    }

    fn due_without_worker(&self, until: Timestamp) -> Option<Key> {
        let by_then = self.agenda.all().take_while(|(key, _)| key.0 <= until);
        let is_of_worker = |due: &Due| matches!(due, Due::Local { .. } | Due::TaskHeartbeat { .. });
        let mut of_server = by_then.filter(|(_, due)| !is_of_worker(due));
        of_server.next().map(|(key, _)| *key)
    }

    /// There is an attempt to be taken, and nobody to take it.
    pub(super) fn leave_untaken(&mut self, run: usize, event_id: i64) {
        self.untaken.push((run, event_id));
        let activity = self.executions[run].activities.get(&event_id);
        let timeout = activity.and_then(|a| a.scheduled.schedule_to_start_timeout);
        let length = super::retry::length(timeout);
        if !length.is_zero() {
            let at = after(self.now, length);
            let key = self.activity_due(run, event_id, at, ActivityDue::ScheduleToStart);
            self.remember(run, event_id, key);
        }
    }

    fn delay_attempts(&mut self, paused: Duration) {
        if paused.is_zero() {
            return;
        }
        self.delay_locals(paused);
        let agenda = &mut self.agenda;
        for execution in &mut self.executions {
            for activity in execution.activities.values_mut() {
                let Some(started_at) = activity.started_at else {
                    continue;
                };
                activity.started_at = Some(after(started_at, paused));
                let keys = activity.keys.iter_mut();
                for key in keys.chain(activity.heartbeat_key.as_mut()) {
                    *key = agenda.delay(*key, paused);
                }
            }
        }
    }

    fn delay_locals(&mut self, paused: Duration) {
        let agenda = &mut self.agenda;
        for execution in &mut self.executions {
            for local in execution.locals.values_mut() {
                local.scheduled_at = after(local.scheduled_at, paused);
                for key in local.keys.iter_mut().chain(local.close_key.as_mut()) {
                    *key = agenda.delay(*key, paused);
                }
            }
        }
    }

    /// A server finds out by a timeout; whoever takes over in its place knows at once. The attempt counts all the same.
    fn lose_activities(&mut self) -> Vec<LostAttempt> {
        let mut lost = Vec::new();
        for run in 0..self.executions.len() {
            let execution = &self.executions[run];
            let under_way = execution.activities.iter();
            let under_way = under_way.filter(|(_, a)| a.started_at.is_some());
            let mut ended = Vec::new();
            for (event_id, activity) in under_way {
                let which = match activity.heartbeat_key {
                    Some(_) => enums::TimeoutType::Heartbeat,
                    None => enums::TimeoutType::StartToClose,
                };
                ended.push((*event_id, which));
                let activity_type = activity.scheduled.activity_type.clone();
                lost.push(LostAttempt {
                    workflow_id: execution.workflow_id.clone(),
                    activity_type: activity_type.unwrap_or_default().name,
                    attempt: activity.attempt,
                });
            }
            for (event_id, which) in ended {
                self.attempt_timed_out(run, event_id, which);
            }
        }
        lost
    }

    /// A cluster's worker would run them anew within a new workflow task; here the attempt is known, and counts.
    fn lose_locals(&mut self) -> Vec<LostAttempt> {
        let mut lost = Vec::new();
        for run in 0..self.executions.len() {
            let execution = &self.executions[run];
            let under_way = execution.locals.iter().filter(|(_, l)| l.plan.is_some());
            let under_way: Vec<u32> = under_way.map(|(seq, _)| *seq).collect();
            for seq in under_way {
                let execution = &self.executions[run];
                let Some(local) = execution.locals.get(&seq) else {
                    continue;
                };
                let machine = execution.worker.machines.local(seq);
                lost.push(LostAttempt {
                    workflow_id: execution.workflow_id.clone(),
                    activity_type: machine
                        .map_or_else(String::new, |m| m.schedule.activity_type.clone()),
                    attempt: local.attempt,
                });
                self.lose_local(run, seq);
            }
            if !self.executions[run].worker.machines.jobs.is_empty() {
                self.go_on(run);
            }
        }
        lost
    }
}
