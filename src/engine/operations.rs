//! Operations outside the run: they are begun by steps, resolved by jobs and cancelled with what waits for them.

use super::command::{Command, CommandKind, ScheduleLocalActivity};
use super::failure::{Failure, FailureInfo};
use super::flag::SAGA_EFFECTS;
use super::job::{Job, Resolution};
use super::machine::Machine;
use super::state::{Frame, Operation, OperationKind, Outcome, RoutineId, Waiting, timer_length};
use crate::value::{Duration, Map, Value};
use crate::words::{ChildCancellationType, FailureKind, RetryState, StepId};

const CANCEL_REASON: &str = "the step that waits for it is cancelled";

impl Machine<'_> {
    /// Registers an operation under its `seq`; whoever waits comes later.
    pub fn begin(&mut self, seq: u32, kind: OperationKind, step: Option<StepId>) {
        if let Some(pending) = self.run.pending.of(&kind) {
            *pending += 1;
        }
        self.run.operations.insert(
            seq,
            Operation {
                step,
                ..Operation::of(kind)
            },
        );
    }

    /// A timer under a number of its own.
    pub fn begin_timer(
        &mut self,
        kind: OperationKind,
        length: Duration,
        step: Option<StepId>,
    ) -> u32 {
        let (seq, duration) = (self.run.take_seq(), timer_length(length));
        let fires_at = self.clock.now.checked_add(duration);
        self.run.operations.insert(
            seq,
            Operation {
                step,
                fires_at,
                ..Operation::of(kind)
            },
        );
        self.command(CommandKind::StartTimer { seq, duration });
        seq
    }

    pub fn start_timer(&mut self, id: RoutineId, length: Duration, step: Option<StepId>) -> u32 {
        let seq = self.begin_timer(OperationKind::Timer, length, step);
        self.wait_for(id, seq);
        seq
    }

    pub fn wait_for(&mut self, id: RoutineId, seq: u32) {
        if let Some(operation) = self.run.operations.get_mut(&seq) {
            operation.waiters.push(id);
        }
    }

    /// Stops driving until the next workflow task, which a timer brings.
    pub fn take_breath(&mut self) {
        let length = Duration::from_millis(1);
        self.run.breather = Some(self.begin_timer(OperationKind::Breather, length, None));
    }

    /// Applies a job that resolves an operation. A `seq` that nobody knows any more is of something cancelled.
    pub fn resolve(&mut self, job: Job) {
        match job {
            Job::FireTimer { seq } => self.timer_fired(seq),
            Job::ResolveActivity { seq, resolution } => {
                self.release_held();
                self.resolved(seq, resolution);
            }
            Job::ResolveChild { seq, resolution } | Job::ResolveNexus { seq, resolution } => {
                self.resolved(seq, resolution)
            }
            Job::BackOffActivity {
                seq,
                attempt,
                backoff,
                original_schedule_time,
            } => {
                self.release_held();
                let again = self.run.operations.get_mut(&seq).map(|o| &mut o.kind);
                if let Some(OperationKind::LocalActivity(activity)) = again {
                    activity.attempt = attempt;
                    activity.original_schedule_time = original_schedule_time;
                    self.begin_timer(OperationKind::LocalBackoff { activity: seq }, backoff, None);
                }
            }
            Job::ChildStarted { seq, run_id } => self.child_started(seq, run_id),
            Job::ChildNotStarted { seq, failure } | Job::NexusNotStarted { seq, failure } => {
                let resolution = match failure.is_cancelled() {
                    true => Resolution::Cancelled(failure),
                    false => Resolution::Failed(failure),
                };
                self.resolved(seq, resolution);
            }
            Job::ResolveSignalExternal { seq, failure }
            | Job::ResolveCancelExternal { seq, failure } => {
                if let Some(child) = self.requested_of(seq) {
                    return self.cancellation_requested(child, failure);
                }
                self.resolved(
                    seq,
                    failure.map_or(Resolution::Completed(Value::Null), Resolution::Failed),
                );
            }
            _ => {}
        }
    }

    fn timer_fired(&mut self, seq: u32) {
        let Some(operation) = self.run.operations.remove(&seq) else {
            return;
        };
        match operation.kind {
            OperationKind::Breather => self.run.breather = None,
            OperationKind::Deadline { routine, frame } => self.deadline_passed(routine, frame),
            OperationKind::LocalBackoff { activity } => self.schedule_local_again(activity),
            _ => operation
                .waiters
                .into_iter()
                .for_each(|id| self.timer_fired_for(id)),
        }
    }

    /// A timer is all that a step waits for, or the bound of its wait.
    fn timer_fired_for(&mut self, id: RoutineId) {
        let Some(routine) = self.run.routines.get_mut(&id) else {
            return;
        };
        match &mut routine.waiting {
            Some(Waiting::Signal { timed_out, .. } | Waiting::Condition { timed_out, .. }) => {
                *timed_out = true;
            }
            Some(Waiting::Operation { .. }) => self.run.resume(id, Outcome::Value(Value::Null)),
            _ => {}
        }
    }

    /// The same command under a new number: core has done with the old one.
    fn schedule_local_again(&mut self, seq: u32) {
        let Some(mut operation) = self.run.operations.remove(&seq) else {
            return;
        };
        let new = self.run.take_seq();
        if let OperationKind::LocalActivity(activity) = &mut operation.kind {
            activity.seq = new;
            let again = activity.clone();
            self.command(CommandKind::ScheduleLocalActivity(again));
        }
        for id in &operation.waiters {
            if let Some(routine) = self.run.routines.get_mut(id) {
                routine.waiting = Some(Waiting::Operation { seq: new });
            }
        }
        for routine in self.run.routines.values_mut() {
            routine
                .handles
                .iter_mut()
                .filter(|(_, s)| *s == seq)
                .for_each(|(_, s)| *s = new);
        }
        self.run.operations.insert(new, operation);
    }

    fn child_started(&mut self, seq: u32, started: String) {
        let Some(operation) = self.run.operations.get_mut(&seq) else {
            return;
        };
        let OperationKind::Child {
            workflow_id,
            run_id,
            ..
        } = &mut operation.kind
        else {
            return;
        };
        *run_id = Some(started.clone());
        let handle = Map::from_iter([
            ("workflow_id", workflow_id.as_str()),
            ("run_id", started.as_str()),
        ]);
        for id in operation.waiters.clone() {
            let waits = self.run.routines.get(&id).and_then(|r| r.waiting.as_ref());
            if waits == Some(&Waiting::ChildStart { seq }) {
                self.run
                    .operations
                    .get_mut(&seq)
                    .into_iter()
                    .for_each(|o| o.waiters.retain(|w| *w != id));
                self.run
                    .resume(id, Outcome::Value(Value::map(handle.clone())));
            }
        }
    }

    fn resolved(&mut self, seq: u32, resolution: Resolution) {
        let is_open = |o: &&mut Operation| o.resolution.is_none();
        let Some(operation) = self.run.operations.get_mut(&seq).filter(is_open) else {
            return;
        };
        let resolution = match &operation.kind {
            OperationKind::LocalActivity(activity) => wrapped(activity, resolution),
            _ => resolution,
        };
        let resolution = match (operation.step, resolution) {
            (Some(step), Resolution::Completed(value)) => self.checked_result(step, value),
            (_, resolution) => resolution,
        };
        let Some(operation) = self.run.operations.get_mut(&seq) else {
            return;
        };
        if let Some(pending) = self.run.pending.of(&operation.kind) {
            *pending = pending.saturating_sub(1);
            self.run.ready.append(&mut self.run.held);
        }
        self.run.cancelling.requested.remove(&seq);
        let waiters = std::mem::take(&mut operation.waiters);
        operation.resolution = Some(resolution.clone());
        if !operation.is_handle {
            self.run.operations.remove(&seq);
        }
        let outcome = outcome_of(resolution);
        waiters
            .into_iter()
            .for_each(|id| self.run.resume(id, outcome.clone()));
    }

    /// Asks a routine to stop: what it waits for, inside the frames from `from` on, is cancelled.
    pub fn request_cancel(&mut self, id: RoutineId, from: usize) {
        let Some(routine) = self.run.routines.get_mut(&id) else {
            return;
        };
        for frame in routine.frames.iter_mut().skip(from) {
            match frame {
                Frame::Shield { cancel_pending } => {
                    *cancel_pending = true;
                    return;
                }
                // What undoes is not undone; the run fails anyway.
                Frame::Saga { saga, .. }
                | Frame::Function {
                    saga: Some(saga), ..
                } if saga.compensating.is_some() => {
                    return;
                }
                _ => {}
            }
        }
        match routine.waiting.clone() {
            None => {
                routine.cancel_later(from);
                if self.run.held.remove(&id) {
                    self.run.ready.insert(id);
                }
            }
            Some(Waiting::Branches) => self.cancel_branches(id),
            Some(Waiting::Operation { seq } | Waiting::ChildStart { seq }) => {
                if self.cut_off(id, from) {
                    if self.run.started_ahead(seq) {
                        self.cancel_at_next_step(id, from);
                    }
                    self.cancel_operation(seq, Some((id, from)));
                }
            }
            Some(Waiting::Signal { timer, .. } | Waiting::Condition { timer, .. }) => {
                timer
                    .into_iter()
                    .for_each(|seq| self.cancel_operation(seq, None));
                self.run
                    .resume(id, Outcome::Failed(Failure::cancelled("cancelled")));
            }
        }
    }

    /// The step that it waits at has ended already: the cancellation arrives at the one after.
    fn cancel_at_next_step(&mut self, id: RoutineId, from: usize) {
        if !self.run.cancelling.is_cut_off(id)
            && let Some(routine) = self.run.routines.get_mut(&id)
        {
            routine.cancel_later(from);
        }
    }

    /// Cancels an operation. A timer is gone at once, so that `waiter` goes on at once; the others resolve by a job.
    pub fn cancel_operation(&mut self, seq: u32, waiter: Option<(RoutineId, usize)>) {
        let Some(operation) = self.run.operations.get(&seq) else {
            return;
        };
        if operation.resolution.is_some() {
            return;
        }
        if self.is_too_late_for(seq, &operation.kind) {
            if let Some((id, from)) = waiter {
                self.cancel_at_next_step(id, from);
            }
            return;
        }
        let command = match &operation.kind {
            OperationKind::Abandonable {
                activity_type,
                activity_id,
            } if !self.is_just_scheduled(seq) => {
                let failure = abandoned(activity_type.clone(), activity_id.clone());
                return self.resolved(seq, Resolution::Cancelled(failure));
            }
            OperationKind::Activity | OperationKind::Abandonable { .. } => {
                if !self.run.cancelling.requested.insert(seq) {
                    return;
                }
                CommandKind::RequestCancelActivity { seq }
            }
            OperationKind::LocalActivity(_) => return self.cancel_local(seq),
            OperationKind::Child {
                workflow_id,
                run_id,
                cancellation_type,
                ..
            } if run_id.is_some() || self.run.started_ahead(seq) => {
                let (workflow_id, cancellation_type) = (workflow_id.clone(), *cancellation_type);
                return self.cancel_child(seq, workflow_id, cancellation_type);
            }
            OperationKind::Child { .. } => CommandKind::CancelChild {
                seq,
                reason: CANCEL_REASON.into(),
            },
            OperationKind::Nexus => CommandKind::CancelNexus { seq },
            OperationKind::Timer => {
                self.withdraw_timer(seq);
                if let Some((id, _)) = waiter {
                    self.run
                        .resume(id, Outcome::Failed(Failure::cancelled("cancelled")));
                }
                return;
            }
            // These come to an end by themselves; the cancellation arrives at the step after.
            _ => {
                let waiter = waiter.filter(|(id, _)| !self.is_cut_off(*id));
                let is_scoped = self.run.has(SAGA_EFFECTS);
                if let Some((id, from)) = waiter
                    && let Some(routine) = self.run.routines.get_mut(&id)
                {
                    routine.cancel_later(if is_scoped { from } else { 0 });
                }
                return;
            }
        };
        self.command(command);
    }

    /// This very activation has scheduled it: core takes it back.
    fn is_just_scheduled(&self, activity: u32) -> bool {
        let is_it = |command: &Command| matches!(&command.kind, CommandKind::ScheduleActivity(s) if s.seq == activity);
        self.commands.iter().any(is_it)
    }

    /// Core would ask the child's first run, which does nothing once the child has continued as new; so the workflow is
    /// asked, whatever run it is at.
    fn cancel_child(&mut self, child: u32, workflow_id: String, how: ChildCancellationType) {
        use ChildCancellationType::{Abandon, TryCancel};
        let is_request = |o: &Operation| matches!(o.kind, OperationKind::CancelRequest { child: c } if c == child);
        let is_requested = self.run.operations.values().any(is_request);
        if how != Abandon && !is_requested {
            let seq = self.run.take_seq();
            self.begin(seq, OperationKind::CancelRequest { child }, None);
            self.command(CommandKind::CancelExternal {
                seq,
                workflow_id,
                run_id: String::new(),
                reason: CANCEL_REASON.into(),
            });
        }
        if matches!(how, Abandon | TryCancel) {
            self.child_cancelled(child);
        }
    }

    fn requested_of(&mut self, seq: u32) -> Option<u32> {
        match self.run.operations.get(&seq)?.kind {
            OperationKind::CancelRequest { child } => {
                self.run.operations.remove(&seq);
                Some(child)
            }
            _ => None,
        }
    }

    /// A child that cannot be asked any more has ended, and its end is about to be told.
    fn cancellation_requested(&mut self, child: u32, failure: Option<Failure>) {
        let kind = self.run.operations.get(&child).map(|o| &o.kind);
        if let (
            None,
            Some(OperationKind::Child {
                cancellation_type, ..
            }),
        ) = (failure, kind)
            && *cancellation_type == ChildCancellationType::WaitCancellationRequested
        {
            self.child_cancelled(child);
        }
    }

    /// What waits for the child goes on, whatever the child does.
    fn child_cancelled(&mut self, child: u32) {
        let Some(operation) = self.run.operations.get(&child) else {
            return;
        };
        let OperationKind::Child {
            workflow_type,
            workflow_id,
            run_id,
            ..
        } = &operation.kind
        else {
            return;
        };
        let info = FailureInfo::ChildWorkflow {
            namespace: self.run.info.namespace.clone(),
            workflow_id: workflow_id.clone(),
            run_id: run_id.clone().unwrap_or_default(),
            workflow_type: workflow_type.clone(),
            retry_state: RetryState::Unspecified,
            initiated_event_id: 0,
            started_event_id: 0,
        };
        let cause = Failure::cancelled("cancelled");
        let failure = Failure {
            cause: Some(Box::new(cause)),
            ..Failure::new("Child Workflow execution cancelled", info)
        };
        self.resolved(child, Resolution::Cancelled(failure));
    }

    /// During a long backoff there is nothing to cancel but its timer.
    fn cancel_local(&mut self, seq: u32) {
        let backoff = self
            .run
            .operations
            .iter()
            .find_map(|(timer, o)| match o.kind {
                OperationKind::LocalBackoff { activity } if activity == seq => Some(*timer),
                _ => None,
            });
        let Some(timer) = backoff else {
            // Core takes one request only: after that the activity may have its result, and is done.
            if self.run.cancelling.requested.insert(seq) {
                self.command(CommandKind::RequestCancelLocalActivity { seq });
            }
            return;
        };
        self.withdraw_timer(timer);
        self.resolved(seq, Resolution::Cancelled(Failure::cancelled("cancelled")));
    }
}

/// Core tells a local activity's own failure; an author meets it as that of any other activity.
fn wrapped(activity: &ScheduleLocalActivity, resolution: Resolution) -> Resolution {
    let wrap = |cause: Failure| {
        let cause = cause.without_local_bound();
        let info = FailureInfo::Activity {
            activity_type: activity.activity_type.clone(),
            activity_id: activity.activity_id.clone(),
            identity: String::new(),
            retry_state: RetryState::Unspecified,
            scheduled_event_id: 0,
            started_event_id: 0,
        };
        match cause.kind() {
            FailureKind::Activity => cause,
            _ => Failure {
                cause: Some(Box::new(cause)),
                ..Failure::new("Activity task failed", info)
            },
        }
    };
    match resolution {
        Resolution::Completed(value) => Resolution::Completed(value),
        Resolution::Failed(failure) => Resolution::Failed(wrap(failure)),
        Resolution::Cancelled(failure) => Resolution::Cancelled(wrap(failure)),
    }
}

pub fn outcome_of(resolution: Resolution) -> Outcome {
    match resolution {
        Resolution::Completed(value) => Outcome::Value(value),
        Resolution::Failed(failure) | Resolution::Cancelled(failure) => Outcome::Failed(failure),
    }
}

/// As core has it.
fn abandoned(activity_type: String, activity_id: String) -> Failure {
    let info = FailureInfo::Activity {
        activity_type,
        activity_id,
        identity: String::new(),
        retry_state: RetryState::CancelRequested,
        scheduled_event_id: 0,
        started_event_id: 0,
    };
    Failure {
        cause: Some(Box::new(Failure::cancelled(""))),
        ..Failure::new("Activity cancelled", info)
    }
}
