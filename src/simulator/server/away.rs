//! Activities while no worker acts: their attempts wait, and running ones may have ended with their process.

use temporalio_protos::temporal::api::enums::v1 as enums;

use super::super::agenda::{ActivityDue, after};
use super::super::away::LostAttempt;
use super::super::outside::AttemptKey;
use super::super::retry::length;
use super::Server;
use crate::value::Duration;

impl Server {
    /// An attempt is due, but no worker acts.
    pub(super) fn leave_untaken(&mut self, run: usize, event_id: i64) {
        self.untaken.push((run, event_id));
        let activity = self.executions[run].activities.get(&event_id);
        let timeout = activity.and_then(|a| a.scheduled.schedule_to_start_timeout);
        let length = length(timeout);
        if !length.is_zero() {
            let at = after(self.world.now, length);
            let key = self.activity_due(run, event_id, at, ActivityDue::ScheduleToStart);
            self.remember(run, event_id, key);
        }
    }

    /// A worker starts the attempts that waited for one.
    pub(crate) fn take_untaken(&mut self) {
        for (run, event_id) in std::mem::take(&mut self.untaken) {
            self.forget_attempt(run, event_id);
            // Its step may have ended meanwhile.
            if self.executions[run].activities.contains_key(&event_id) {
                self.activity_is_due(run, event_id, ActivityDue::Attempt);
            }
        }
    }

    /// The running attempts were stopped for this long.
    pub(crate) fn delay_attempts(&mut self, paused: Duration) {
        let agenda = &mut self.world.agenda;
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

    /// A server notices by a timeout; a new process knows immediately. The attempt counts anyway.
    pub(crate) fn lose_activities(&mut self) -> Vec<LostAttempt> {
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

    /// The attempt has ended, and is about to be reported: it can no longer time out.
    pub(crate) fn stop_attempt_clocks(&mut self, key: &AttemptKey) {
        if let Some(run) = self.open_run_of(&key.run_id) {
            self.forget_attempt(run, key.scheduled);
        }
    }

    /// Whether this attempt has begun and nothing has ended it.
    pub(crate) fn is_under_way(&self, run: usize, key: &AttemptKey) -> bool {
        let activity = self.executions[run].activities.get(&key.scheduled);
        activity.is_some_and(|a| a.attempt == key.attempt && a.started_at.is_some())
    }
}
