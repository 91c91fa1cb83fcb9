//! Local activities inside a workflow task, on the simulation's clock (sdk-core 0.10.1,
//! worker/activities/local_activities.rs).

use prost::Message;
use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1 as enums;
use temporalio_protos::temporal::api::failure::v1::Failure as ProtoFailure;

use super::super::agenda::{Due, Key, LocalDue, after};
use super::super::outside::{ActivityTask, Attempt, AttemptKey, End, OnCancel};
use super::super::retry::{retry_policy, timeout_failure};
use super::super::world::World;
use super::machines::LocalEnd;
use super::replay::Divergence;
use super::{Worker, known};
use crate::activity::{local_result_too_large, not_found};
use crate::engine::RESOLVE_DEFINITION;
use crate::engine::command::ScheduleLocalActivity;
use crate::engine::failure::Failure;
use crate::faults::Fault;
use crate::limits::{LOCAL_RESULT_SIZE_BYTES_MAX, WORKFLOW_TASK_SIZE_BYTES_MAX};
use crate::payload::{backoff, failure_from_proto, failure_to_proto, value_to_proto};
use crate::value::{Duration, Timestamp, Value};
use crate::words::{ActivityCancellationType, BuiltIn};

type LocalResult = Result<Option<common::Payload>, Box<ProtoFailure>>;

/// A longer wait before the next attempt is a timer of the workflow's: core's own bound.
const LOCAL_BACKOFF_MAX: Duration = Duration {
    seconds: 60,
    nanos: 0,
};

/// The interval at which a result that did not fit in a workflow task is tried again.
const ROOM_INTERVAL: Duration = Duration {
    seconds: 1,
    nanos: 0,
};

/// A running local activity.
#[derive(Debug)]
pub(super) struct LocalRun {
    pub(crate) attempt: u32,
    /// `None` between two attempts.
    pub(crate) plan: Option<Attempt>,
    pub(crate) scheduled_at: Timestamp,
    pub(crate) keys: Vec<Key>,
    pub(crate) close_key: Option<Key>,
    /// Its step waits for the attempt to end as cancelled.
    pub(crate) cancel_requested: bool,
}

impl Worker {
    pub(super) fn start_local(
        &mut self,
        run: usize,
        seq: u32,
        world: &mut World,
    ) -> Result<(), Divergence> {
        let schedule = self.schedule_of(run, seq)?.clone();
        let known = known(&mut self.runs, run)?;
        if schedule.activity_type == RESOLVE_DEFINITION {
            let bundle = known.bundle.as_ref();
            let result = bundle
                .map(|bundle| Value::Bytes(bundle.bytes.as_slice().into()))
                .ok_or_else(|| Failure::application("NotFoundError", "no definition"));
            return self.local_ended(run, seq, 1, proto(result), None, world);
        }
        let machine = known.cached.machines.local(seq);
        let asked_at = machine.map_or(world.now, |local| local.scheduled_at);
        let scheduled_at = schedule.original_schedule_time.unwrap_or(asked_at);
        let to_close = schedule.timeouts.schedule_to_close;
        let close_key = to_close.map(|length| {
            let at = after(scheduled_at, length);
            put(world, run, seq, at, LocalDue::ScheduleToClose)
        });
        known.locals.insert(
            seq,
            LocalRun {
                attempt: schedule.attempt.max(1),
                plan: None,
                scheduled_at,
                keys: Vec::new(),
                close_key,
                cancel_requested: false,
            },
        );
        self.busy.insert(run);
        self.local_attempt(run, seq, world)
    }

    fn schedule_of(&self, run: usize, seq: u32) -> Result<&ScheduleLocalActivity, Divergence> {
        let known = self.runs.get(&run);
        let local = known.and_then(|run| run.cached.machines.local(seq));
        let missing = || Divergence::broken(format!("{seq} is no local activity"));
        Ok(&local.ok_or_else(missing)?.schedule)
    }

    fn local_mut(&mut self, run: usize, seq: u32) -> Result<&mut LocalRun, Divergence> {
        let local = known(&mut self.runs, run)?.locals.get_mut(&seq);
        local.ok_or_else(|| Divergence::broken(format!("the local activity {seq} does not run")))
    }

    fn local_attempt(&mut self, run: usize, seq: u32, world: &mut World) -> Result<(), Divergence> {
        if world.worker_is_away {
            let key = put(world, run, seq, world.now, LocalDue::Attempt);
            self.local_mut(run, seq)?.keys.push(key);
            return Ok(());
        }
        let schedule = self.schedule_of(run, seq)?.clone();
        let timeout = schedule.timeouts.start_to_close;
        let attempt = self.local_mut(run, seq)?.attempt;
        let task = self.local_task(run, seq, schedule, attempt, world)?;
        let built_in = BuiltIn::named(&task.activity_type);
        let plan = match built_in.is_some_and(BuiltIn::can_be_local) {
            true => world.outside.activity(&task),
            false => Attempt {
                end: End::After(Duration::default(), Err(unknown(&task.activity_type))),
                picked_up_after: Some(Duration::default()),
                heartbeats: Vec::new(),
                on_cancel: OnCancel::Ignore,
            },
        };
        // The worker that requested it runs it: there is no other that could.
        let starts = after(world.now, plan.picked_up_after.unwrap_or_default());
        let end = plan.end.clone();
        let mut keys = Vec::new();
        if let End::After(length, _) = &end {
            let at = after(starts, *length);
            keys.push(put(world, run, seq, at, LocalDue::End));
        }
        if let Some(length) = timeout {
            let at = after(starts, length);
            keys.push(put(world, run, seq, at, LocalDue::StartToClose));
        }
        let local = self.local_mut(run, seq)?;
        local.plan = Some(plan);
        local.keys = keys;
        // An attempt without a duration ends at the same moment.
        match end {
            End::After(length, _) if length.is_zero() && starts == world.now => {
                self.local_planned_end(run, seq, world)
            }
            End::After(..) | End::Never | End::FromOutside => Ok(()),
        }
    }

    fn local_task(
        &self,
        run: usize,
        seq: u32,
        schedule: ScheduleLocalActivity,
        attempt: u32,
        world: &World,
    ) -> Result<ActivityTask, Divergence> {
        let missing = || Divergence::broken(format!("the worker does not have the run {run}"));
        let known = self.runs.get(&run).ok_or_else(missing)?;
        Ok(ActivityTask {
            workflow_id: known.workflow_id.clone(),
            run_id: known.cached.run_id.clone(),
            workflow_type: known.workflow_type.clone(),
            activity_id: schedule.activity_id,
            activity_type: schedule.activity_type,
            task_queue: self.task_queue.clone(),
            input: schedule.arguments,
            attempt,
            is_local: true,
            schedule_to_close_timeout: schedule.timeouts.schedule_to_close,
            start_to_close_timeout: schedule.timeouts.start_to_close,
            heartbeat_timeout: None,
            heartbeat_details: Vec::new(),
            now: world.now,
            scheduled: i64::from(seq),
        })
    }

    pub(super) fn local_due(
        &mut self,
        run: usize,
        seq: u32,
        what: LocalDue,
        world: &mut World,
    ) -> Result<(), Divergence> {
        match what {
            LocalDue::Attempt => self.local_attempt(run, seq, world),
            LocalDue::End => self.local_planned_end(run, seq, world),
            LocalDue::CancelledEnd => self.local_cancelled_end(run, seq, world),
            LocalDue::StartToClose => {
                self.local_timed_out(run, seq, enums::TimeoutType::StartToClose, world)
            }
            LocalDue::ScheduleToClose => {
                self.local_timed_out(run, seq, enums::TimeoutType::ScheduleToClose, world)
            }
        }
    }

    fn local_planned_end(
        &mut self,
        run: usize,
        seq: u32,
        world: &mut World,
    ) -> Result<(), Divergence> {
        let plan = self.local_mut(run, seq)?.plan.as_ref();
        let Some(End::After(_, result)) = plan.map(|plan| plan.end.clone()) else {
            return Err(Divergence::broken(format!(
                "no end is planned for the local activity {seq}"
            )));
        };
        match self.put_off(run, seq, &result, world)? {
            true => Ok(()),
            false => self.local_attempt_ended(run, seq, proto(result), world),
        }
    }

    fn local_cancelled_end(
        &mut self,
        run: usize,
        seq: u32,
        world: &mut World,
    ) -> Result<(), Divergence> {
        let plan = self.local_mut(run, seq)?.plan.as_ref();
        let result = match plan.map(|plan| plan.on_cancel.clone()) {
            Some(OnCancel::Ends { result, .. }) => result,
            // Between two attempts there is none to ask.
            Some(OnCancel::Cancels { .. } | OnCancel::Ignore) | None => Err(Failure::cancelled("")),
        };
        let attempt = self.forget_local(run, seq, world)?;
        self.local_ended(run, seq, attempt, proto(result), None, world)
    }

    fn local_timed_out(
        &mut self,
        run: usize,
        seq: u32,
        which: enums::TimeoutType,
        world: &mut World,
    ) -> Result<(), Divergence> {
        let failure = Box::new(timeout_failure("Activity timed out", which));
        if which == enums::TimeoutType::StartToClose {
            return self.local_attempt_ended(run, seq, Err(failure), world);
        }
        let attempt = self.forget_local(run, seq, world)?;
        self.local_ended(run, seq, attempt, Err(failure), None, world)
    }

    /// The process that ran its attempt has ended.
    pub(super) fn lose_local(
        &mut self,
        run: usize,
        seq: u32,
        world: &mut World,
    ) -> Result<(), Divergence> {
        match self.local_mut(run, seq)?.cancel_requested {
            true => self.local_cancelled_end(run, seq, world),
            false => self.local_timed_out(run, seq, enums::TimeoutType::StartToClose, world),
        }
    }

    /// Whether this attempt has begun and nothing has ended it.
    pub(crate) fn is_local_under_way(&self, run: usize, seq: u32, attempt: u32) -> bool {
        let local = self.runs.get(&run).and_then(|run| run.locals.get(&seq));
        local.is_some_and(|local| local.attempt == attempt && local.plan.is_some())
    }

    /// Ends a running attempt.
    pub(crate) fn end_local_attempt(
        &mut self,
        run: usize,
        seq: u32,
        result: Result<Value, Failure>,
        world: &mut World,
    ) -> Option<super::Completion> {
        let done = self.local_end_given(run, seq, result, world);
        self.after_locals(run, done, world)
    }

    fn local_end_given(
        &mut self,
        run: usize,
        seq: u32,
        result: Result<Value, Failure>,
        world: &mut World,
    ) -> Result<(), Divergence> {
        match result {
            Err(failure) if failure.is_cancelled() => {
                let attempt = self.forget_local(run, seq, world)?;
                self.local_ended(run, seq, attempt, proto(Err(failure)), None, world)
            }
            result if self.put_off(run, seq, &result, world)? => Ok(()),
            result => self.local_attempt_ended(run, seq, proto(result), world),
        }
    }

    /// Delays a result that does not fit in the workflow task. True if it did.
    fn put_off(
        &mut self,
        run: usize,
        seq: u32,
        result: &Result<Value, Failure>,
        world: &mut World,
    ) -> Result<bool, Divergence> {
        let size = match proto(result.clone()) {
            Ok(payload) => payload.map_or(0, |payload| payload.encoded_len()),
            Err(failure) => failure.encoded_len(),
        };
        if self.takes_local(run, size)? {
            return Ok(false);
        }
        let at = after(world.now, ROOM_INTERVAL);
        let key = put(world, run, seq, at, LocalDue::End);
        let local = self.local_mut(run, seq)?;
        local.keys.push(key);
        if let Some(plan) = &mut local.plan {
            plan.end = End::After(Duration::default(), result.clone());
        }
        Ok(true)
    }

    /// Whether a worker passes on a local activity's result now, or waits until the workflow task has ended:
    /// `worker::sent`.
    fn takes_local(&mut self, run: usize, size: usize) -> Result<bool, Divergence> {
        let is_held = self.holds_tasks || self.held_open.contains(&run);
        let asked = &known(&mut self.runs, run)?.cached.machines.asked;
        let before: usize = asked.iter().map(|sent| sent.request.size_about()).sum();
        Ok(is_held
            || before == 0
            || before + size <= WORKFLOW_TASK_SIZE_BYTES_MAX
            || Fault::LocalResultsUncounted.is_on())
    }

    fn local_attempt_ended(
        &mut self,
        run: usize,
        seq: u32,
        result: LocalResult,
        world: &mut World,
    ) -> Result<(), Divergence> {
        let schedule = self.schedule_of(run, seq)?.clone();
        let local = self.local_mut(run, seq)?;
        let failure = match &result {
            Err(failure) => failure,
            Ok(_) => {
                let attempt = self.forget_local(run, seq, world)?;
                return self.local_ended(run, seq, attempt, result, None, world);
            }
        };
        let policy = retry_policy(schedule.retry_policy);
        let next = backoff(&policy, local.attempt, failure).ok();
        let is_retried = next.is_some();
        let expires = schedule
            .timeouts
            .schedule_to_close
            .map(|length| after(local.scheduled_at, length));
        let next = next.filter(|length| expires.is_none_or(|at| after(world.now, *length) < at));
        let Some(length) = next else {
            let result = match result {
                Err(last) if is_retried => {
                    let last = failure_from_proto(*last);
                    let timeout = Failure::local_bound_passed(Some(last));
                    Err(Box::new(failure_to_proto(&timeout)))
                }
                result => result,
            };
            let attempt = self.forget_local(run, seq, world)?;
            return self.local_ended(run, seq, attempt, result, None, world);
        };
        if length > LOCAL_BACKOFF_MAX {
            let attempt = self.forget_local(run, seq, world)?;
            return self.local_ended(run, seq, attempt, result, Some(length), world);
        }
        local.attempt += 1;
        local.plan = None;
        world.agenda.remove_all(std::mem::take(&mut local.keys));
        let at = after(world.now, length);
        let key = put(world, run, seq, at, LocalDue::Attempt);
        self.local_mut(run, seq)?.keys.push(key);
        Ok(())
    }

    /// It is no longer running. Returns its attempt, counted from 1.
    fn forget_local(&mut self, run: usize, seq: u32, world: &mut World) -> Result<u32, Divergence> {
        let known = known(&mut self.runs, run)?;
        let missing = || Divergence::broken(format!("the local activity {seq} does not run"));
        let local = known.locals.remove(&seq).ok_or_else(missing)?;
        if known.locals.is_empty() {
            self.busy.remove(&run);
        }
        let keys = local.keys.into_iter().chain(local.close_key);
        world.agenda.remove_all(keys);
        Ok(local.attempt)
    }

    fn local_ended(
        &mut self,
        run: usize,
        seq: u32,
        attempt: u32,
        result: LocalResult,
        backoff: Option<Duration>,
        world: &World,
    ) -> Result<(), Divergence> {
        let machines = &mut known(&mut self.runs, run)?.cached.machines;
        let end = LocalEnd {
            result,
            complete_time: Some(world.now),
            attempt,
            backoff,
            activation_index: Some(machines.activation_index),
        };
        machines.resolve_local(seq, end)
    }

    pub(super) fn cancel_local(
        &mut self,
        run: usize,
        seq: u32,
        world: &mut World,
    ) -> Result<(), Divergence> {
        let cancellation = self.schedule_of(run, seq)?.cancellation_type;
        let waits = cancellation == ActivityCancellationType::WaitCancellationCompleted;
        let run_id = known(&mut self.runs, run)?.cached.run_id.clone();
        let local = self.local_mut(run, seq)?;
        local.cancel_requested = true;
        let key = AttemptKey {
            run_id,
            is_local: true,
            scheduled: i64::from(seq),
            attempt: local.attempt,
        };
        let plan = local.plan.as_ref();
        let end = plan.map(|plan| &plan.end);
        let is_from_outside = matches!(end, Some(End::FromOutside));
        let reaction = plan.map(|plan| plan.on_cancel.clone());
        if is_from_outside {
            world.outside.cancelled(&key);
        }
        if !waits {
            return self.forget_local(run, seq, world).map(|_| ());
        }
        let length = match reaction {
            _ if is_from_outside => return Ok(()),
            Some(OnCancel::Ignore) => return Ok(()),
            Some(OnCancel::Cancels { after, .. } | OnCancel::Ends { after, .. }) => after,
            // Between two attempts there is none to ask.
            None => Duration::default(),
        };
        if length.is_zero() {
            return self.local_cancelled_end(run, seq, world);
        }
        let at = after(world.now, length);
        let key = put(world, run, seq, at, LocalDue::CancelledEnd);
        self.local_mut(run, seq)?.keys.push(key);
        Ok(())
    }
}

fn put(world: &mut World, run: usize, seq: u32, at: Timestamp, what: LocalDue) -> Key {
    world.agenda.put(at, Due::Local { run, seq, what })
}

/// A worker has only the built-in activities.
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
