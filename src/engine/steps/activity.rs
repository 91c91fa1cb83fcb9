//! `activity`, and the generic worker's own: on a task queue or, if local, on the workflow's own worker.

use super::{At, Flow};
use crate::accepted;
use crate::engine::command::{Command, CommandKind, ScheduleActivity, ScheduleLocalActivity};
use crate::engine::evaluate::one_value;
use crate::engine::failure::{Failure, FailureInfo};
use crate::engine::flag::{ABANDONS_ITSELF, HANDLES_OF_CALLERS};
use crate::engine::invariant::WAITS;
use crate::engine::job::Resolution;
use crate::engine::machine::Machine;
use crate::engine::state::{Frame, OperationKind, Waiting};
use crate::program::{self, Action};
use crate::value::{Duration, Map, Payload, Timestamp, Value};
use crate::words::{ActivityCancellationType, FailureKind, RetryState, StepId};

impl Machine<'_> {
    pub(crate) fn begin_activity(
        &mut self,
        at: &mut At<'_>,
        activity: &program::Activity,
    ) -> Result<Flow, Failure> {
        let options = &activity.options;
        let activity_type = self.accepted(at.routine, &activity.activity, accepted::name)?;
        let arguments = self.arguments(at.routine, &activity.arguments)?;
        self.check_input(at.step, activity, &arguments)?;
        let timeouts = self.activity_timeouts(at.routine, options)?;
        let retry_policy = options
            .retry_policy
            .as_ref()
            .map(|p| self.retry_policy(at.routine, p))
            .transpose()?;
        let activity_id =
            self.optional_accepted(at.routine, options.activity_id.as_ref(), accepted::name)?;
        let cancellation_type = options.cancellation_type;
        let task_queue = match self.optional_accepted(
            at.routine,
            options.task_queue.as_ref(),
            accepted::name,
        )? {
            Some(queue) => queue,
            None => self.run.info.task_queue.clone(),
        };
        let priority = options
            .priority
            .as_ref()
            .map(|p| self.priority(at.routine, p))
            .transpose()?;
        let seq = self.run.take_seq();
        let activity_id = activity_id.unwrap_or_else(|| seq.to_string());
        let handle = Map::from_iter([("activity_id", activity_id.as_str())]);
        if options.local {
            let local = Box::new(ScheduleLocalActivity {
                seq,
                activity_id,
                activity_type,
                arguments,
                timeouts,
                retry_policy,
                // An abandoned local activity would end with its worker, so it is waited for unless the author says otherwise.
                cancellation_type: cancellation_type
                    .unwrap_or(ActivityCancellationType::WaitCancellationCompleted),
                attempt: 0,
                original_schedule_time: None,
            });
            self.begin(
                seq,
                OperationKind::LocalActivity(local.clone()),
                Some(at.step),
            );
            self.command(CommandKind::ScheduleLocalActivity(local));
        } else {
            let waited = ActivityCancellationType::WaitCancellationCompleted;
            let is_undone = activity.is_undone || self.is_undone(at.routine);
            let cancellation_type = cancellation_type.or(is_undone.then_some(waited));
            let is_abandonable = cancellation_type == Some(ActivityCancellationType::Abandon);
            let kind = match is_abandonable && self.may_use(ABANDONS_ITSELF) {
                true => OperationKind::Abandonable {
                    activity_type: activity_type.clone(),
                    activity_id: activity_id.clone(),
                },
                false => OperationKind::Activity,
            };
            self.begin(seq, kind, Some(at.step));
            self.command(CommandKind::ScheduleActivity(Box::new(ScheduleActivity {
                seq,
                activity_id: activity_id.clone(),
                activity_type,
                task_queue,
                arguments,
                timeouts,
                retry_policy,
                cancellation_type: cancellation_type.unwrap_or_default(),
                priority,
            })));
        }
        self.summarise(at.routine, at.step);
        if !activity.is_started {
            return Ok(self.wait_operation(at, seq));
        }
        self.keep_handle(at, seq);
        Ok(Flow::Next(Value::map(handle)))
    }

    /// The input does not match the activity's contract.
    fn check_input(
        &self,
        step: StepId,
        activity: &program::Activity,
        arguments: &[Payload],
    ) -> Result<(), Failure> {
        let schema = activity.contract.as_ref().and_then(|c| c.input.as_ref());
        if schema.is_none() {
            return Ok(());
        }
        let values = arguments.iter().cloned().map(Value::from).collect();
        let what = format!("the activity's input at {}", self.program.location(step));
        self.check(schema, &one_value(values), &what)
    }

    /// Validates a result against the activity's contract.
    pub(crate) fn checked(&self, step: Option<StepId>, resolution: Resolution) -> Resolution {
        let Resolution::Completed(value) = resolution else {
            return resolution;
        };
        let action = step.map(|step| (step, &self.program.step(step).action));
        let Some((step, Action::Activity(activity))) = action else {
            self.run
                .violated("an activity is begun by a step that calls one");
            return Resolution::Completed(value);
        };
        let schema = activity.contract.as_ref().and_then(|c| c.output.as_ref());
        if schema.is_none() {
            return Resolution::Completed(value);
        }
        let what = format!("the activity's result at {}", self.program.location(step));
        match self.check(schema, &value, &what) {
            Ok(()) => Resolution::Completed(value),
            Err(failure) => Resolution::Unusable {
                result: value,
                failure,
            },
        }
    }

    /// The backoff of a local activity is longer than a workflow task: a timer waits for it.
    pub(crate) fn back_off_local(
        &mut self,
        seq: u32,
        attempt: u32,
        backoff: Duration,
        original_schedule_time: Option<Timestamp>,
    ) {
        // It may have been cancelled when the attempt failed.
        let Some(operation) = self.run.operations.get_mut(&seq) else {
            return;
        };
        let OperationKind::LocalActivity(activity) = &mut operation.kind else {
            return self.run.violated("only a local activity backs off");
        };
        activity.attempt = attempt;
        activity.original_schedule_time = original_schedule_time;
        self.begin_timer(OperationKind::LocalBackoff { activity: seq }, backoff, None);
    }

    /// Schedules the command again under a new number: core has finished the old one.
    pub(crate) fn schedule_local_again(&mut self, seq: u32) {
        // It may have been reported as cancelled although its backoff had begun.
        let Some(mut operation) = self.run.operations.remove(&seq) else {
            return;
        };
        let OperationKind::LocalActivity(activity) = &mut operation.kind else {
            return self.run.violated("only a local activity backs off");
        };
        let new = self.run.take_seq();
        activity.seq = new;
        let again = activity.clone();
        self.command(CommandKind::ScheduleLocalActivity(again));
        for id in &operation.waiters {
            match self.run.routines.get_mut(id) {
                Some(routine) => routine.waiting = Some(Waiting::Operation { seq: new }),
                None => self.run.violated(WAITS),
            }
        }
        self.renumber_handles(seq, new);
        self.run.operations.insert(new, operation);
    }

    /// The handle of a started activity gets its new number, in callers of blocks as well.
    fn renumber_handles(&mut self, seq: u32, new: u32) {
        let renumber = |handles: &mut Vec<(u32, u32)>| {
            let same = handles.iter_mut().filter(|(_, s)| *s == seq);
            same.for_each(|(_, s)| *s = new);
        };
        let frames = self.run.routines.values_mut().flat_map(|r| &mut r.frames);
        let callers = frames.filter_map(Frame::caller_mut);
        let mut of_callers = callers.flat_map(|caller| &caller.handles);
        let reaches_callers =
            of_callers.any(|(_, s)| *s == seq) && self.may_use(HANDLES_OF_CALLERS);
        for routine in self.run.routines.values_mut() {
            renumber(&mut routine.handles);
            if reaches_callers {
                let callers = routine.frames.iter_mut().filter_map(Frame::caller_mut);
                callers.for_each(|caller| renumber(&mut caller.handles));
            }
        }
    }

    /// Core accepts only one cancellation request for an activity.
    pub(crate) fn cancel_activity(&mut self, seq: u32) {
        if self.run.cancelling.requested.insert(seq) {
            self.command(CommandKind::RequestCancelActivity { seq });
        }
    }

    /// An abandoned activity ends for its waiters, whatever it does.
    pub(crate) fn abandon_activity(&mut self, seq: u32, failure: Failure) {
        match self.is_just_scheduled(seq) {
            true => self.cancel_activity(seq),
            false => self.resolved(seq, Resolution::Cancelled(failure)),
        }
    }

    /// This activation scheduled it, so core takes it back.
    fn is_just_scheduled(&self, activity: u32) -> bool {
        let is_it = |command: &Command| matches!(&command.kind, CommandKind::ScheduleActivity(s) if s.seq == activity);
        self.commands.iter().any(is_it)
    }

    /// During a long backoff there is only its timer to cancel.
    pub(crate) fn cancel_local(&mut self, seq: u32) {
        let is_backoff = |kind: &OperationKind| matches!(kind, OperationKind::LocalBackoff { activity } if *activity == seq);
        let mut operations = self.run.operations.iter();
        let backoff = operations.find(|(_, operation)| is_backoff(&operation.kind));
        let backoff = backoff.map(|(timer, _)| *timer);
        let Some(timer) = backoff else {
            // Core accepts only one request: after that the activity may have its result, and be done.
            if self.run.cancelling.requested.insert(seq) {
                self.command(CommandKind::RequestCancelLocalActivity { seq });
            }
            return;
        };
        self.withdraw_timer(timer);
        self.resolved(seq, Resolution::Cancelled(Failure::cancelled("cancelled")));
    }
}

/// Core reports a local activity's own failure; an author sees it like that of any other activity.
pub(crate) fn wrapped(activity: &ScheduleLocalActivity, resolution: Resolution) -> Resolution {
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
        match cause.kind() == FailureKind::Activity {
            true => cause,
            false => Failure {
                cause: Some(Box::new(cause)),
                ..Failure::new("Activity task failed", info)
            },
        }
    };
    match resolution {
        Resolution::Completed(value) => Resolution::Completed(value),
        Resolution::Failed(failure) => Resolution::Failed(wrap(failure)),
        Resolution::Cancelled(failure) => Resolution::Cancelled(wrap(failure)),
        Resolution::Unusable { result, failure } => Resolution::Unusable {
            result,
            failure: wrap(failure),
        },
    }
}

/// The failure that core makes.
pub(crate) fn abandoned(activity_type: String, activity_id: String) -> Failure {
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
