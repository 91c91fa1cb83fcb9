//! Local activities as the worker runs them inside a workflow task, on the simulation's clock.

use prost::Message;
use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1 as enums;
use temporalio_protos::temporal::api::failure::v1::Failure as ProtoFailure;

use super::Simulator;
use super::agenda::{Due, Key, LocalDue, after};
use super::execution::LocalRun;
use super::machines::LocalEnd;
use super::outside::{ActivityTask, Attempt, AttemptKey, End, OnCancel};
use super::retry::{retry_policy, timeout_failure};
use crate::activity::{local_result_too_large, not_found};
use crate::engine::RESOLVE_DEFINITION;
use crate::engine::command::ScheduleLocalActivity;
use crate::engine::failure::Failure;
use crate::limits::LOCAL_RESULT_SIZE_BYTES_MAX;
use crate::payload::{backoff, failure_from_proto, failure_to_proto, value_to_proto};
use crate::value::{Duration, Timestamp, Value};
use crate::words::{ActivityCancellationType, BuiltIn};

type LocalResult = Result<Option<common::Payload>, Box<ProtoFailure>>;

/// A longer wait before the next attempt is a timer of the workflow's: core's own bound.
const LOCAL_BACKOFF_MAX: Duration = Duration {
    seconds: 60,
    nanos: 0,
};

/// After how long a result that did not fit into a workflow task is looked at again.
const ROOM_INTERVAL: Duration = Duration {
    seconds: 1,
    nanos: 0,
};

impl Simulator {
    pub(super) fn start_local(&mut self, run: usize, seq: u32) {
        let Some(local) = self.executions[run].worker.machines.local(seq) else {
            return;
        };
        if local.schedule.activity_type == RESOLVE_DEFINITION {
            let bundle = self.executions[run].bundle.as_ref();
            let result = bundle
                .map(|bundle| Value::Bytes(bundle.bytes.as_slice().into()))
                .ok_or_else(|| Failure::application("NotFoundError", "no definition"));
            return self.local_ended(run, seq, 1, proto(result), None);
        }
        let attempt = local.schedule.attempt.max(1);
        let scheduled_at = local
            .schedule
            .original_schedule_time
            .unwrap_or(local.scheduled_at);
        let to_close = local.schedule.timeouts.schedule_to_close;
        let close_key = to_close.map(|length| {
            let at = after(scheduled_at, length);
            self.local_due(run, seq, at, LocalDue::ScheduleToClose)
        });
        self.executions[run].locals.insert(
            seq,
            LocalRun {
                attempt,
                plan: None,
                scheduled_at,
                attempt_at: self.now,
                keys: Vec::new(),
                close_key,
                cancel_requested: false,
            },
        );
        self.local_attempt(run, seq);
    }

    fn local_due(&mut self, run: usize, seq: u32, at: Timestamp, what: LocalDue) -> Key {
        self.agenda.put(at, Due::Local { run, seq, what })
    }

    fn schedule_of(&self, run: usize, seq: u32) -> Option<&ScheduleLocalActivity> {
        let local = self.executions[run].worker.machines.local(seq)?;
        Some(&local.schedule)
    }

    fn local_attempt(&mut self, run: usize, seq: u32) {
        if self.worker_is_away {
            let key = self.local_due(run, seq, self.now, LocalDue::Attempt);
            let local = self.executions[run].locals.get_mut(&seq);
            return local.map_or((), |local| local.keys.push(key));
        }
        let (Some(schedule), Some(local)) = (
            self.schedule_of(run, seq).cloned(),
            self.executions[run].locals.get(&seq),
        ) else {
            return;
        };
        let execution = &self.executions[run];
        let task = ActivityTask {
            workflow_id: execution.workflow_id.clone(),
            run_id: execution.run_id.clone(),
            workflow_type: execution.workflow_type.clone(),
            activity_id: schedule.activity_id,
            activity_type: schedule.activity_type,
            task_queue: self.setup.task_queue.clone(),
            input: schedule.arguments,
            attempt: local.attempt,
            is_local: true,
            schedule_to_close_timeout: schedule.timeouts.schedule_to_close,
            start_to_close_timeout: schedule.timeouts.start_to_close,
            heartbeat_timeout: None,
            heartbeat_details: Vec::new(),
            now: self.now,
            scheduled: i64::from(seq),
        };
        let built_in = BuiltIn::named(&task.activity_type);
        let plan = match built_in.is_some_and(BuiltIn::can_be_local) {
            true => self.outside.activity(&task),
            false => Attempt {
                end: End::After(Duration::default(), Err(unknown(&task.activity_type))),
                picked_up_after: Some(Duration::default()),
                heartbeats: Vec::new(),
                on_cancel: OnCancel::Ignore,
            },
        };
        // The worker that asked runs it: there is nobody else who could take it.
        let starts = after(self.now, plan.picked_up_after.unwrap_or_default());
        let end = plan.end.clone();
        let mut keys = Vec::new();
        if let End::After(length, _) = &end {
            keys.push(self.local_due(run, seq, after(starts, *length), LocalDue::End));
        }
        if let Some(length) = schedule.timeouts.start_to_close {
            keys.push(self.local_due(run, seq, after(starts, length), LocalDue::StartToClose));
        }
        if let Some(local) = self.executions[run].locals.get_mut(&seq) {
            local.plan = Some(plan);
            local.attempt_at = self.now;
            local.keys = keys;
        }
        // What takes no time ends within the same moment.
        if matches!(end, End::After(length, _) if length.is_zero()) && starts == self.now {
            self.local_planned_end(run, seq);
        }
    }

    pub(super) fn local_is_due(&mut self, run: usize, seq: u32, what: LocalDue) {
        if !self.executions[run].locals.contains_key(&seq) {
            return;
        }
        match what {
            LocalDue::Attempt => self.local_attempt(run, seq),
            LocalDue::End => self.local_planned_end(run, seq),
            LocalDue::CancelledEnd => self.local_cancelled_end(run, seq),
            LocalDue::StartToClose => {
                self.local_timed_out(run, seq, enums::TimeoutType::StartToClose);
            }
            LocalDue::ScheduleToClose => {
                self.local_timed_out(run, seq, enums::TimeoutType::ScheduleToClose);
            }
        }
        if !self.executions[run].worker.machines.jobs.is_empty() {
            self.go_on(run);
        }
    }

    fn local_planned_end(&mut self, run: usize, seq: u32) {
        let local = self.executions[run].locals.get(&seq);
        let end = local
            .and_then(|local| local.plan.as_ref())
            .map(|plan| plan.end.clone());
        if let Some(End::After(_, result)) = end
            && !self.put_off(run, seq, &result)
        {
            self.local_attempt_ended(run, seq, proto(result));
        }
    }

    fn local_cancelled_end(&mut self, run: usize, seq: u32) {
        let local = self.executions[run].locals.get(&seq);
        let reaction = local
            .and_then(|local| local.plan.as_ref())
            .map(|plan| plan.on_cancel.clone());
        let result = match reaction {
            Some(OnCancel::Ends { result, .. }) => result,
            _ => Err(Failure::cancelled("")),
        };
        let attempt = self.forget_local(run, seq);
        self.local_ended(run, seq, attempt, proto(result), None);
    }

    fn local_timed_out(&mut self, run: usize, seq: u32, which: enums::TimeoutType) {
        let failure = Box::new(timeout_failure("Activity timed out", which));
        match which {
            enums::TimeoutType::StartToClose => self.local_attempt_ended(run, seq, Err(failure)),
            _ => {
                let attempt = self.forget_local(run, seq);
                self.local_ended(run, seq, attempt, Err(failure), None);
            }
        }
    }

    /// The process that ran its attempt has gone.
    pub(super) fn lose_local(&mut self, run: usize, seq: u32) {
        let local = self.executions[run].locals.get(&seq);
        match local.is_some_and(|local| local.cancel_requested) {
            true => self.local_cancelled_end(run, seq),
            false => self.local_timed_out(run, seq, enums::TimeoutType::StartToClose),
        }
    }

    pub(super) fn end_local_attempt(
        &mut self,
        run: usize,
        seq: u32,
        attempt: u32,
        result: Result<Value, Failure>,
    ) -> bool {
        let local = self.executions[run].locals.get(&seq);
        if local.is_none_or(|local| local.attempt != attempt || local.plan.is_none()) {
            return false;
        }
        match result {
            Err(failure) if failure.is_cancelled() => {
                let attempt = self.forget_local(run, seq);
                self.local_ended(run, seq, attempt, proto(Err(failure)), None);
            }
            result if self.put_off(run, seq, &result) => {}
            result => self.local_attempt_ended(run, seq, proto(result)),
        }
        if !self.executions[run].worker.machines.jobs.is_empty() {
            self.go_on(run);
        }
        self.settle();
        true
    }

    /// Puts off what does not fit into the workflow task. True if it did.
    fn put_off(&mut self, run: usize, seq: u32, result: &Result<Value, Failure>) -> bool {
        let size = match proto(result.clone()) {
            Ok(payload) => payload.map_or(0, |payload| payload.encoded_len()),
            Err(failure) => failure.encoded_len(),
        };
        if self.takes_local(run, size) {
            return false;
        }
        let key = self.local_due(run, seq, after(self.now, ROOM_INTERVAL), LocalDue::End);
        if let Some(local) = self.executions[run].locals.get_mut(&seq) {
            local.keys.push(key);
            if let Some(plan) = &mut local.plan {
                plan.end = End::After(Duration::default(), result.clone());
            }
        }
        true
    }

    fn local_attempt_ended(&mut self, run: usize, seq: u32, result: LocalResult) {
        let (Some(schedule), Some(local)) = (
            self.schedule_of(run, seq).cloned(),
            self.executions[run].locals.get_mut(&seq),
        ) else {
            return;
        };
        let failure = match &result {
            Err(failure) => failure,
            Ok(_) => {
                let attempt = self.forget_local(run, seq);
                return self.local_ended(run, seq, attempt, result, None);
            }
        };
        let policy = retry_policy(schedule.retry_policy);
        let next = backoff(&policy, local.attempt, failure).ok();
        let is_retried = next.is_some();
        let expires = schedule
            .timeouts
            .schedule_to_close
            .map(|length| after(local.scheduled_at, length));
        let next = next.filter(|length| expires.is_none_or(|at| after(self.now, *length) < at));
        let Some(length) = next else {
            let result = match result {
                Err(last) if is_retried => {
                    let last = failure_from_proto(*last);
                    let timeout = Failure::local_bound_passed(Some(last));
                    Err(Box::new(failure_to_proto(&timeout)))
                }
                result => result,
            };
            let attempt = self.forget_local(run, seq);
            return self.local_ended(run, seq, attempt, result, None);
        };
        if length > LOCAL_BACKOFF_MAX {
            let attempt = self.forget_local(run, seq);
            return self.local_ended(run, seq, attempt, result, Some(length));
        }
        local.attempt += 1;
        local.plan = None;
        let keys = std::mem::take(&mut local.keys);
        self.agenda.remove_all(keys);
        let key = self.local_due(run, seq, after(self.now, length), LocalDue::Attempt);
        if let Some(local) = self.executions[run].locals.get_mut(&seq) {
            local.keys.push(key);
        }
    }

    /// Its attempt, from 1.
    fn forget_local(&mut self, run: usize, seq: u32) -> u32 {
        let Some(local) = self.executions[run].locals.remove(&seq) else {
            return 1;
        };
        self.agenda
            .remove_all(local.keys.into_iter().chain(local.close_key));
        local.attempt
    }

    pub(super) fn forget_locals(&mut self, run: usize) {
        for seq in self.executions[run]
            .locals
            .keys()
            .copied()
            .collect::<Vec<_>>()
        {
            self.forget_local(run, seq);
        }
        if let Some(key) = self.executions[run].heartbeat_key.take() {
            self.agenda.remove(key);
        }
    }

    fn local_ended(
        &mut self,
        run: usize,
        seq: u32,
        attempt: u32,
        result: LocalResult,
        backoff: Option<Duration>,
    ) {
        let now = self.now;
        let machines = &mut self.executions[run].worker.machines;
        let end = LocalEnd {
            result,
            complete_time: Some(now),
            attempt,
            backoff,
            activation_index: Some(machines.activation_index),
        };
        if let Err(divergence) = machines.resolve_local(seq, end) {
            self.executions[run].task_failure = Some(divergence.to_string());
        }
    }

    pub(super) fn cancel_local(&mut self, run: usize, seq: u32) {
        let waits = self.schedule_of(run, seq).is_some_and(|schedule| {
            schedule.cancellation_type == ActivityCancellationType::WaitCancellationCompleted
        });
        let run_id = self.executions[run].run_id.clone();
        let Some(local) = self.executions[run].locals.get_mut(&seq) else {
            return;
        };
        local.cancel_requested = true;
        if matches!(
            local.plan.as_ref().map(|plan| &plan.end),
            Some(End::FromOutside)
        ) {
            let key = AttemptKey {
                run_id,
                is_local: true,
                scheduled: i64::from(seq),
                attempt: local.attempt,
            };
            self.outside.cancelled(&key);
            if waits {
                return;
            }
        }
        if !waits {
            self.forget_local(run, seq);
            return;
        }
        let reaction = local.plan.as_ref().map(|plan| plan.on_cancel.clone());
        let length = match reaction {
            Some(OnCancel::Ignore) => return,
            Some(OnCancel::Cancels { after, .. } | OnCancel::Ends { after, .. }) => after,
            // Between two attempts nothing is asked.
            None => Duration::default(),
        };
        if length.is_zero() {
            return self.local_cancelled_end(run, seq);
        }
        let key = self.local_due(run, seq, after(self.now, length), LocalDue::CancelledEnd);
        if let Some(local) = self.executions[run].locals.get_mut(&seq) {
            local.keys.push(key);
        }
    }
}

/// A worker has the built-in activities and no others.
fn unknown(activity_type: &str) -> Failure {
    let names = BuiltIn::ALL.into_iter().map(BuiltIn::name);
    not_found(activity_type, names.collect(), true)
}

fn proto(result: Result<Value, Failure>) -> LocalResult {
    match result {
        Ok(value) => match value_to_proto(&value) {
            Ok(payload) if payload.encoded_len() > LOCAL_RESULT_SIZE_BYTES_MAX => {
                let failure = local_result_too_large(payload.encoded_len());
                Err(Box::new(failure_to_proto(&failure)))
            }
            Ok(payload) => Ok(Some(payload)),
            Err(error) => {
                let failure = Failure::application("", error.to_string());
                Err(Box::new(failure_to_proto(&failure)))
            }
        },
        Err(failure) => Err(Box::new(failure_to_proto(&failure))),
    }
}
