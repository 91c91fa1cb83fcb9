//! What ends when somebody outside says so: attempts of activities, by an activity's id or by an attempt's key, and timers.

use super::agenda::{Due, Key};
use super::outside::AttemptKey;
use super::{Refused, RunNumber, Simulator};
use crate::engine::failure::Failure;
use crate::value::Value;

impl Simulator {
    /// Fires these timers of a run in one go and no others, though more may be due: a real server is late with some of them.
    pub fn take_timers(&mut self, run: RunNumber, started_by: &[i64]) -> bool {
        let key_of = |started: &i64| {
            let timer = Due::Timer {
                run: run.0,
                event_id: *started,
            };
            let mut all = self.agenda.all();
            all.find(|(_, due)| **due == timer).map(|(key, _)| *key)
        };
        let keys: Vec<Key> = started_by.iter().filter_map(key_of).collect();
        let latest = keys.iter().map(|key| key.0).max();
        self.now = self.now.max(latest.unwrap_or(self.now));
        self.take_in_one_go(run.0, keys);
        self.settle();
        latest.is_some()
    }

    /// Ends an activity's attempt by its id, as asynchronous completion does.
    pub fn complete_activity(
        &mut self,
        workflow_id: &str,
        activity_id: &str,
        result: Result<Value, Failure>,
    ) -> Result<(), Refused> {
        let (run, event_id) = self.pending_activity(workflow_id, activity_id)?;
        match result {
            Err(failure) if failure.is_cancelled() => {
                self.attempt_cancelled(run, event_id, None, true);
            }
            result => self.attempt_ended(run, event_id, result),
        }
        self.settle();
        Ok(())
    }

    pub fn heartbeat_activity(
        &mut self,
        workflow_id: &str,
        activity_id: &str,
        details: &[Value],
    ) -> Result<(), Refused> {
        let (run, event_id) = self.pending_activity(workflow_id, activity_id)?;
        self.heartbeat(run, event_id, details);
        Ok(())
    }

    /// Ends an attempt from outside; false where it is over already.
    pub fn end_attempt(&mut self, key: &AttemptKey, result: Result<Value, Failure>) -> bool {
        let Some(run) = self.open_run_of(&key.run_id) else {
            return false;
        };
        if key.is_local {
            let seq = u32::try_from(key.scheduled).unwrap_or_default();
            return self.end_local_attempt(run, seq, key.attempt, result);
        }
        let activity = self.executions[run].activities.get(&key.scheduled);
        let Some(activity) =
            activity.filter(|a| a.attempt == key.attempt && a.started_at.is_some())
        else {
            return false;
        };
        let was_asked = activity.cancel_requested_event_id.is_some();
        match result {
            Err(failure) if failure.is_cancelled() && was_asked => {
                self.attempt_cancelled(run, key.scheduled, None, true);
            }
            result => self.attempt_ended(run, key.scheduled, result),
        }
        self.settle();
        true
    }

    /// A heartbeat of an attempt from outside; false where it is over already.
    pub fn heartbeat_attempt(&mut self, key: &AttemptKey, details: &[Value]) -> bool {
        let Some(run) = self.open_run_of(&key.run_id).filter(|_| !key.is_local) else {
            return false;
        };
        let activity = self.executions[run].activities.get(&key.scheduled);
        let is_under_way = activity.is_some_and(|activity| activity.attempt == key.attempt);
        if is_under_way {
            self.heartbeat(run, key.scheduled, details);
        }
        is_under_way
    }

    pub(super) fn open_run_of(&self, run_id: &str) -> Option<usize> {
        let found = self.executions.iter().position(|e| e.run_id == run_id);
        found.filter(|run| self.executions[*run].is_open())
    }

    fn pending_activity(
        &self,
        workflow_id: &str,
        activity_id: &str,
    ) -> Result<(usize, i64), Refused> {
        let run = self.open_run(workflow_id)?;
        let activities = self.executions[run].activities.iter();
        let mut under_way = activities.filter(|(_, activity)| activity.started_at.is_some());
        let ids = under_way.clone();
        let found = under_way.find(|(_, a)| a.scheduled.activity_id == activity_id);
        found
            .map(|(event_id, _)| (run, *event_id))
            .ok_or_else(|| Refused::NoActivity {
                workflow_id: workflow_id.to_owned(),
                activity_id: activity_id.to_owned(),
                activity_ids: ids.map(|(_, a)| a.scheduled.activity_id.clone()).collect(),
            })
    }
}
