//! Activities on the server: attempts, retries with backoff, the four timeouts, heartbeats and cancellation (temporal
//! server 1.32.0, service/history/workflow/activity.go, retry.go and
//! service/history/timer_queue_active_task_executor.go).

use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1 as enums;
use temporalio_protos::temporal::api::failure::v1 as failure;
use temporalio_protos::temporal::api::failure::v1::failure::FailureInfo;
use temporalio_protos::temporal::api::history::v1 as history;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;

use super::super::agenda::{ActivityDue, Due, Key, after};
use super::super::outside::{ActivityTask, AttemptKey, End, OnCancel};
use super::super::retry::{Timeouts, length, retry_policy, timeout_failure};
use super::Server;
use super::event::{ATTEMPT_STARTED, IDENTITY, payloads, task_queue};
use super::execution::Activity;
use super::limits::check_result;
use crate::engine::command::ScheduleActivity;
use crate::engine::failure::Failure;
use crate::payload::{
    backoff, duration_from_proto, duration_to_proto, failure_to_proto, payload_from_proto,
    payloads_to_proto, value_to_proto,
};
use crate::value::{Duration, Timestamp, Value};

/// The server's details of an activity that was cancelled before it started.
const NOT_STARTED: &str = "ACTIVITY_ID_NOT_STARTED";

impl Server {
    pub(super) fn schedule_activity(
        &mut self,
        run: usize,
        completed: i64,
        schedule: ScheduleActivity,
        summary: Option<String>,
    ) {
        let run_timeout = self.executions[run].started.workflow_run_timeout;
        let run_timeout = run_timeout.map(duration_from_proto).unwrap_or_default();
        let timeouts = Timeouts::of(&schedule, run_timeout);
        let priority = schedule.priority.map(|priority| common::Priority {
            priority_key: priority.priority_key,
            fairness_key: priority.fairness_key,
            fairness_weight: priority.fairness_weight,
        });
        let scheduled = history::ActivityTaskScheduledEventAttributes {
            activity_id: schedule.activity_id,
            activity_type: Some(common::ActivityType {
                name: schedule.activity_type,
            }),
            task_queue: match schedule.task_queue.is_empty() {
                true => self.executions[run].started.task_queue.clone(),
                false => task_queue(&schedule.task_queue),
            },
            input: payloads_to_proto(schedule.arguments),
            schedule_to_close_timeout: Some(duration_to_proto(timeouts.schedule_to_close)),
            schedule_to_start_timeout: Some(duration_to_proto(timeouts.schedule_to_start)),
            start_to_close_timeout: Some(duration_to_proto(timeouts.start_to_close)),
            heartbeat_timeout: Some(duration_to_proto(timeouts.heartbeat)),
            workflow_task_completed_event_id: completed,
            retry_policy: Some(retry_policy(schedule.retry_policy)),
            priority,
            ..Default::default()
        };
        let attributes = Attributes::ActivityTaskScheduledEventAttributes(scheduled.clone());
        let event_id = self.append_with(run, attributes, summary);
        let close_key = (!timeouts.schedule_to_close.is_zero()).then(|| {
            let at = after(self.world.now, timeouts.schedule_to_close);
            self.activity_due(run, event_id, at, ActivityDue::ScheduleToClose)
        });
        self.executions[run].activities.insert(
            event_id,
            Activity {
                scheduled,
                scheduled_at: self.world.now,
                attempt: 1,
                plan: None,
                started_at: None,
                heartbeat_details: Vec::new(),
                last_failure: None,
                cancel_requested_event_id: None,
                keys: Vec::new(),
                heartbeat_key: None,
                close_key,
            },
        );
        let key = self.activity_due(run, event_id, self.world.now, ActivityDue::Attempt);
        self.remember(run, event_id, key);
    }

    pub(super) fn activity_due(
        &mut self,
        run: usize,
        event_id: i64,
        at: Timestamp,
        what: ActivityDue,
    ) -> Key {
        let due = Due::Activity {
            run,
            event_id,
            what,
        };
        self.world.agenda.put(at, due)
    }

    pub(super) fn remember(&mut self, run: usize, event_id: i64, key: Key) {
        match self.executions[run].activities.get_mut(&event_id) {
            Some(activity) => activity.keys.push(key),
            None => self.no_activity(run, event_id),
        }
    }

    fn no_activity(&mut self, run: usize, event_id: i64) {
        self.broken(run, format!("no activity of event {event_id} is pending"));
    }

    pub(crate) fn activity_is_due(&mut self, run: usize, event_id: i64, what: ActivityDue) {
        if !self.executions[run].activities.contains_key(&event_id) {
            return self.no_activity(run, event_id);
        }
        match what {
            ActivityDue::Attempt => self.attempt(run, event_id),
            ActivityDue::PickUp => self.pick_up(run, event_id),
            ActivityDue::Heartbeat(index) => self.planned_heartbeat(run, event_id, index),
            ActivityDue::End => self.planned_end(run, event_id),
            ActivityDue::CancelledEnd => self.cancelled_end(run, event_id),
            ActivityDue::ScheduleToStart => {
                self.attempt_timed_out(run, event_id, enums::TimeoutType::ScheduleToStart);
            }
            // The server checks the attempt first if both are due together.
            ActivityDue::ScheduleToClose if self.attempt_is_over(run, event_id) => {
                self.attempt_timed_out(run, event_id, enums::TimeoutType::StartToClose);
            }
            ActivityDue::ScheduleToClose => {
                self.attempt_timed_out(run, event_id, enums::TimeoutType::ScheduleToClose);
            }
            ActivityDue::StartToClose => {
                self.attempt_timed_out(run, event_id, enums::TimeoutType::StartToClose);
            }
            ActivityDue::HeartbeatTimeout => {
                self.attempt_timed_out(run, event_id, enums::TimeoutType::Heartbeat);
            }
        }
    }

    fn attempt_is_over(&self, run: usize, event_id: i64) -> bool {
        let activity = self.executions[run].activities.get(&event_id);
        activity.is_some_and(|activity| {
            let to_close = length(activity.scheduled.start_to_close_timeout);
            activity
                .started_at
                .is_some_and(|at| !to_close.is_zero() && after(at, to_close) <= self.world.now)
        })
    }

    /// An attempt can start.
    fn attempt(&mut self, run: usize, event_id: i64) {
        if self.world.worker_is_away {
            return self.leave_untaken(run, event_id);
        }
        let execution = &self.executions[run];
        let Some(activity) = execution.activities.get(&event_id) else {
            return self.no_activity(run, event_id);
        };
        let scheduled = &activity.scheduled;
        let input = scheduled.input.clone().unwrap_or_default().payloads;
        let task = ActivityTask {
            workflow_id: execution.workflow_id.clone(),
            run_id: execution.run_id.clone(),
            workflow_type: execution.workflow_type.clone(),
            activity_id: scheduled.activity_id.clone(),
            activity_type: scheduled.activity_type.clone().unwrap_or_default().name,
            task_queue: scheduled.task_queue.clone().unwrap_or_default().name,
            input: input.into_iter().map(payload_from_proto).collect(),
            attempt: activity.attempt,
            is_local: false,
            schedule_to_close_timeout: given(scheduled.schedule_to_close_timeout),
            start_to_close_timeout: given(scheduled.start_to_close_timeout),
            heartbeat_timeout: given(scheduled.heartbeat_timeout),
            heartbeat_details: activity
                .heartbeat_details
                .iter()
                .cloned()
                .map(payload_from_proto)
                .collect(),
            now: self.world.now,
            scheduled: event_id,
        };
        let to_start = length(scheduled.schedule_to_start_timeout);
        let plan = self.world.outside.activity(&task);
        let picked_up_after = plan.picked_up_after;
        if let Some(activity) = self.executions[run].activities.get_mut(&event_id) {
            activity.plan = Some(plan);
        }
        let waits = picked_up_after.is_none_or(|length| !length.is_zero());
        if !to_start.is_zero() && waits {
            let at = after(self.world.now, to_start);
            let key = self.activity_due(run, event_id, at, ActivityDue::ScheduleToStart);
            self.remember(run, event_id, key);
        }
        if let Some(length) = picked_up_after {
            match length.is_zero() {
                true => self.pick_up(run, event_id),
                false => {
                    let at = after(self.world.now, length);
                    let key = self.activity_due(run, event_id, at, ActivityDue::PickUp);
                    self.remember(run, event_id, key);
                }
            }
        }
    }

    fn pick_up(&mut self, run: usize, event_id: i64) {
        self.forget_attempt(run, event_id);
        let now = self.world.now;
        let Some(activity) = self.executions[run].activities.get_mut(&event_id) else {
            return self.no_activity(run, event_id);
        };
        activity.started_at = Some(now);
        let to_close = length(activity.scheduled.start_to_close_timeout);
        let heartbeat = length(activity.scheduled.heartbeat_timeout);
        let mut dues = Vec::new();
        if let Some(plan) = &activity.plan {
            for (index, (at, _)) in plan.heartbeats.iter().enumerate() {
                dues.push((after(now, *at), ActivityDue::Heartbeat(index)));
            }
            if let End::After(length, _) = &plan.end {
                dues.push((after(now, *length), ActivityDue::End));
            }
        }
        if !to_close.is_zero() {
            dues.push((after(now, to_close), ActivityDue::StartToClose));
        }
        for (at, what) in dues {
            let key = self.activity_due(run, event_id, at, what);
            self.remember(run, event_id, key);
        }
        if !heartbeat.is_zero() {
            let at = after(now, heartbeat);
            let key = self.activity_due(run, event_id, at, ActivityDue::HeartbeatTimeout);
            if let Some(activity) = self.executions[run].activities.get_mut(&event_id) {
                activity.heartbeat_key = Some(key);
            }
        }
    }

    fn planned_heartbeat(&mut self, run: usize, event_id: i64, index: usize) {
        let activity = self.executions[run].activities.get(&event_id);
        let beat = activity
            .and_then(|activity| activity.plan.as_ref())
            .and_then(|plan| plan.heartbeats.get(index));
        if let Some((_, details)) = beat.cloned() {
            self.heartbeat(run, event_id, &details);
        }
    }

    pub(super) fn heartbeat(&mut self, run: usize, event_id: i64, details: &[Value]) {
        let now = self.world.now;
        let Some(activity) = self.executions[run].activities.get_mut(&event_id) else {
            return self.no_activity(run, event_id);
        };
        activity.heartbeat_details = details
            .iter()
            .filter_map(|value| value_to_proto(value).ok())
            .collect();
        let timeout = length(activity.scheduled.heartbeat_timeout);
        if let Some(key) = activity.heartbeat_key.take() {
            self.world.agenda.remove(key);
            let at = after(now, timeout);
            let key = self.activity_due(run, event_id, at, ActivityDue::HeartbeatTimeout);
            if let Some(activity) = self.executions[run].activities.get_mut(&event_id) {
                activity.heartbeat_key = Some(key);
            }
        }
    }

    fn planned_end(&mut self, run: usize, event_id: i64) {
        let activity = self.executions[run].activities.get(&event_id);
        let end = activity
            .and_then(|activity| activity.plan.as_ref())
            .map(|plan| plan.end.clone());
        if let Some(End::After(_, result)) = end {
            self.attempt_ended(run, event_id, result);
        }
    }

    fn cancelled_end(&mut self, run: usize, event_id: i64) {
        let activity = self.executions[run].activities.get(&event_id);
        let reaction = activity
            .and_then(|activity| activity.plan.as_ref())
            .map(|plan| plan.on_cancel.clone());
        match reaction {
            Some(OnCancel::Cancels { details, .. }) => {
                let details: Vec<_> = details
                    .iter()
                    .filter_map(|value| value_to_proto(value).ok())
                    .collect();
                self.attempt_cancelled(run, event_id, payloads(details), true);
            }
            Some(OnCancel::Ends { result, .. }) => self.attempt_ended(run, event_id, result),
            Some(OnCancel::Ignore) | None => {
                self.broken(
                    run,
                    format!("no end is planned for the activity {event_id}"),
                );
            }
        }
    }

    pub(super) fn attempt_ended(
        &mut self,
        run: usize,
        event_id: i64,
        result: Result<Value, Failure>,
    ) {
        let result = result.and_then(|value| {
            let result = value_to_proto(&value)
                .map_err(|error| Failure::application("", error.to_string()))?;
            check_result(payloads(vec![result]))
        });
        match result {
            Ok(result) => {
                self.close_activity(run, event_id, true);
                let attributes = history::ActivityTaskCompletedEventAttributes {
                    result,
                    scheduled_event_id: event_id,
                    started_event_id: ATTEMPT_STARTED,
                    identity: IDENTITY.to_owned(),
                    ..Default::default()
                };
                self.arrive(
                    run,
                    Attributes::ActivityTaskCompletedEventAttributes(attributes),
                );
            }
            Err(failure) => {
                let proto = failure_to_proto(&failure);
                let Some(state) = self.retry_activity(run, event_id, &proto, true) else {
                    // There is another attempt.
                    return;
                };
                self.close_activity(run, event_id, true);
                let attributes = history::ActivityTaskFailedEventAttributes {
                    failure: Some(proto),
                    scheduled_event_id: event_id,
                    started_event_id: ATTEMPT_STARTED,
                    identity: IDENTITY.to_owned(),
                    retry_state: state.into(),
                    ..Default::default()
                };
                self.arrive(
                    run,
                    Attributes::ActivityTaskFailedEventAttributes(attributes),
                );
            }
        }
    }

    pub(super) fn attempt_timed_out(
        &mut self,
        run: usize,
        event_id: i64,
        which: enums::TimeoutType,
    ) {
        let Some(activity) = self.executions[run].activities.get(&event_id) else {
            return self.no_activity(run, event_id);
        };
        let was_started = activity.started_at.is_some();
        let name = match which {
            enums::TimeoutType::StartToClose => "StartToClose",
            enums::TimeoutType::ScheduleToStart => "ScheduleToStart",
            enums::TimeoutType::ScheduleToClose => "ScheduleToClose",
            enums::TimeoutType::Heartbeat | enums::TimeoutType::Unspecified => "Heartbeat",
        };
        let mut timed_out = timeout_failure(&format!("activity {name} timeout"), which);
        if let Some(FailureInfo::TimeoutFailureInfo(info)) = &mut timed_out.failure_info {
            info.last_heartbeat_details = payloads(activity.heartbeat_details.clone());
        }
        let retries = matches!(
            which,
            enums::TimeoutType::StartToClose | enums::TimeoutType::Heartbeat
        );
        let mut state = enums::RetryState::Timeout;
        if retries {
            let Some(decided) = self.retry_activity(run, event_id, &timed_out, false) else {
                // There is another attempt.
                return;
            };
            state = decided;
            if state == enums::RetryState::Timeout {
                let message = "Not enough time to schedule next retry before activity ScheduleToClose timeout, \
                               giving up retrying";
                timed_out = timeout_failure(message, enums::TimeoutType::ScheduleToClose);
            }
        }
        // Belongs to the previous attempt.
        let activity = self.executions[run].activities.get(&event_id);
        let last_failure = activity.and_then(|activity| activity.last_failure.clone());
        timed_out.cause = last_failure.map(Box::new);
        self.close_activity(run, event_id, was_started);
        let attributes = history::ActivityTaskTimedOutEventAttributes {
            failure: Some(timed_out),
            scheduled_event_id: event_id,
            started_event_id: if was_started { ATTEMPT_STARTED } else { 0 },
            retry_state: state.into(),
        };
        self.arrive(
            run,
            Attributes::ActivityTaskTimedOutEventAttributes(attributes),
        );
    }

    /// `None` if there is another attempt.
    fn retry_activity(
        &mut self,
        run: usize,
        event_id: i64,
        failed: &failure::Failure,
        by_worker: bool,
    ) -> Option<enums::RetryState> {
        let now = self.world.now;
        let Some(activity) = self.executions[run].activities.get_mut(&event_id) else {
            self.no_activity(run, event_id);
            return None;
        };
        let decided = next_attempt(activity, failed, now);
        let (interval, attempt) = match decided {
            Ok(next) => next,
            Err(state) => return Some(state),
        };
        activity.attempt = attempt;
        activity.started_at = None;
        activity.plan = None;
        activity.last_failure = Some(failed.clone());
        self.forget_attempt(run, event_id);
        if !by_worker && interval.is_zero() {
            self.attempt(run, event_id);
            return None;
        }
        let at = after(now, interval);
        let key = self.activity_due(run, event_id, at, ActivityDue::Attempt);
        self.remember(run, event_id, key);
        None
    }

    /// Removes what is due for the attempt.
    pub(super) fn forget_attempt(&mut self, run: usize, event_id: i64) {
        if let Some(activity) = self.executions[run].activities.get_mut(&event_id) {
            let keys = std::mem::take(&mut activity.keys);
            let heartbeat = activity.heartbeat_key.take();
            self.world
                .agenda
                .remove_all(keys.into_iter().chain(heartbeat));
        }
    }

    /// It is no longer pending; the start of its last attempt is recorded now, with its end.
    fn close_activity(&mut self, run: usize, event_id: i64, was_started: bool) {
        self.forget_attempt(run, event_id);
        let Some(activity) = self.executions[run].activities.remove(&event_id) else {
            return self.no_activity(run, event_id);
        };
        self.world.agenda.remove_all(activity.close_key);
        if was_started {
            let started = history::ActivityTaskStartedEventAttributes {
                scheduled_event_id: event_id,
                identity: IDENTITY.to_owned(),
                attempt: activity.attempt as i32,
                last_failure: activity.last_failure,
                ..Default::default()
            };
            self.arrive_quietly(run, Attributes::ActivityTaskStartedEventAttributes(started));
        }
    }

    /// An event that does not itself make a workflow task due.
    pub(super) fn arrive_quietly(&mut self, run: usize, attributes: Attributes) {
        let execution = &mut self.executions[run];
        if matches!(execution.task, super::execution::Task::Open { .. }) {
            execution.buffered.push(attributes);
        } else {
            self.append(run, attributes);
        }
    }

    pub(super) fn request_cancel_activity(
        &mut self,
        run: usize,
        completed: i64,
        event_id: i64,
        summary: Option<String>,
    ) {
        let attributes = history::ActivityTaskCancelRequestedEventAttributes {
            scheduled_event_id: event_id,
            workflow_task_completed_event_id: completed,
        };
        let attributes = Attributes::ActivityTaskCancelRequestedEventAttributes(attributes);
        let requested = self.append_with(run, attributes, summary);
        let now = self.world.now;
        let Some(activity) = self.executions[run].activities.get_mut(&event_id) else {
            // It ended while the worker had the task.
            return;
        };
        activity.cancel_requested_event_id = Some(requested);
        if activity.started_at.is_none() {
            let details = value_to_proto(&Value::from(NOT_STARTED)).ok();
            let details = payloads(details.into_iter().collect());
            return self.attempt_cancelled(run, event_id, details, false);
        }
        let attempt = activity.attempt;
        if matches!(
            activity.plan.as_ref().map(|plan| &plan.end),
            Some(End::FromOutside)
        ) {
            let key = AttemptKey {
                run_id: self.executions[run].run_id.clone(),
                is_local: false,
                scheduled: event_id,
                attempt,
            };
            return self.world.outside.cancelled(&key);
        }
        let reaction = activity.plan.as_ref().map(|plan| plan.on_cancel.clone());
        if let Some(
            OnCancel::Cancels { after: length, .. } | OnCancel::Ends { after: length, .. },
        ) = reaction
        {
            let at = after(now, length);
            let key = self.activity_due(run, event_id, at, ActivityDue::CancelledEnd);
            self.remember(run, event_id, key);
        }
    }

    pub(super) fn attempt_cancelled(
        &mut self,
        run: usize,
        event_id: i64,
        details: Option<common::Payloads>,
        was_started: bool,
    ) {
        let activity = self.executions[run].activities.get(&event_id);
        let requested = activity.and_then(|activity| activity.cancel_requested_event_id);
        self.close_activity(run, event_id, was_started);
        let attributes = history::ActivityTaskCanceledEventAttributes {
            details,
            latest_cancel_requested_event_id: requested.unwrap_or_default(),
            scheduled_event_id: event_id,
            started_event_id: if was_started { ATTEMPT_STARTED } else { 0 },
            identity: IDENTITY.to_owned(),
            ..Default::default()
        };
        self.arrive(
            run,
            Attributes::ActivityTaskCanceledEventAttributes(attributes),
        );
    }
}

/// `None` is zero on the wire.
fn given(timeout: Option<prost_wkt_types::Duration>) -> Option<Duration> {
    Some(length(timeout)).filter(|length| !length.is_zero())
}

/// The interval before the next attempt and its number, or why there is none.
fn next_attempt(
    activity: &Activity,
    failed: &failure::Failure,
    now: Timestamp,
) -> Result<(Duration, u32), enums::RetryState> {
    if activity.cancel_requested_event_id.is_some() {
        return Err(enums::RetryState::CancelRequested);
    }
    let policy = activity.scheduled.retry_policy.clone().unwrap_or_default();
    let interval = backoff(&policy, activity.attempt, failed)?;
    let expires = length(activity.scheduled.schedule_to_close_timeout);
    if !expires.is_zero() && after(now, interval) >= after(activity.scheduled_at, expires) {
        return Err(enums::RetryState::Timeout);
    }
    Ok((interval, activity.attempt + 1))
}
