//! Attempts of activities that end from outside: by an activity's id or by an attempt's key (temporal server 1.32.0,
//! service/history/api/respondactivitytaskcompleted and its neighbours).

use super::super::outside::AttemptKey;
use super::{Refused, Server};
use crate::engine::failure::Failure;
use crate::value::Value;

impl Server {
    /// Ends an activity's attempt by its id, as asynchronous completion does.
    pub(crate) fn complete_activity(
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
        Ok(())
    }

    /// Ends an attempt of an activity that is not local; false if it has already ended.
    pub(crate) fn end_attempt(&mut self, key: &AttemptKey, result: Result<Value, Failure>) -> bool {
        let Some(run) = self.open_run_of(&key.run_id) else {
            return false;
        };
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
        true
    }

    /// A heartbeat of an attempt from outside; false if the attempt has already ended.
    pub(crate) fn heartbeat_attempt(&mut self, key: &AttemptKey, details: &[Value]) -> bool {
        let Some(run) = self.open_run_of(&key.run_id) else {
            return false;
        };
        let activity = self.executions[run].activities.get(&key.scheduled);
        let is_under_way = activity.is_some_and(|activity| activity.attempt == key.attempt);
        if is_under_way {
            self.heartbeat(run, key.scheduled, details);
        }
        is_under_way
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
