//! Activities (sdk-core 0.10.1, machines/activity_state_machine.rs).

use temporalio_protos::coresdk::activity_result::{
    ActivityResolution, Cancellation, Failure as Failed, Success, activity_resolution::Status,
};
use temporalio_protos::coresdk::workflow_activation as jobs;
use temporalio_protos::coresdk::workflow_activation::workflow_activation_job::Variant;
use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1 as enums;
use temporalio_protos::temporal::api::failure::v1 as failure;
use temporalio_protos::temporal::api::failure::v1::failure::FailureInfo;

use super::super::replay::Divergence;
use super::table::{Row, Table};
use super::{Kind, Machines, Request};
use crate::history::{Cancelled, End, Failed as FailedEnd, Progress, Stage};
use crate::words::ActivityCancellationType;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Commanded,
    /// Cancelled before its command was sent.
    Withdrawn,
    Scheduled,
    Started,
    /// Requested to stop; its step waits for its end.
    Cancelling,
    /// Requested to stop; its step does not wait, and what the activity then does is ignored.
    Left,
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    Recorded,
    TryCancel,
    WaitCancel,
    Abandon,
    Started,
    Completed,
    Failed,
    TimedOut,
    Cancelled,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Effect {
    Nothing,
    Resolve,
    SendCancel,
    SendCancelAndResolve,
}

/// The worker learns of an attempt's start only together with its end: until then the server does not record it.
impl Table for State {
    const NAME: &'static str = "activity";
    type Input = Input;
    type Effect = Effect;

    fn rows() -> &'static [Row<Self>] {
        use Input::{Abandon, Completed, Failed, Recorded, TimedOut, TryCancel, WaitCancel};
        use State::*;
        const ROWS: &[Row<State>] = &[
            row(Commanded, &[Recorded], Scheduled, Effect::Nothing),
            row(
                Commanded,
                &[TryCancel, WaitCancel, Abandon],
                Withdrawn,
                Effect::Resolve,
            ),
            row(Scheduled, &[Input::Started], Started, Effect::Nothing),
            row(Scheduled, &[TimedOut], Ended, Effect::Resolve),
            row(Scheduled, &[WaitCancel], Cancelling, Effect::SendCancel),
            row(Scheduled, &[TryCancel], Left, Effect::SendCancelAndResolve),
            row(
                Started,
                &[Completed, Failed, TimedOut, Input::Cancelled],
                Ended,
                Effect::Resolve,
            ),
            row(Cancelling, &[Input::Started], Cancelling, Effect::Nothing),
            row(
                Cancelling,
                &[Completed, Failed, TimedOut, Input::Cancelled],
                Ended,
                Effect::Resolve,
            ),
            row(
                Left,
                &[
                    Input::Started,
                    Completed,
                    Failed,
                    TimedOut,
                    Input::Cancelled,
                ],
                Left,
                Effect::Nothing,
            ),
        ];
        ROWS
    }
}

const fn row(from: State, on: &'static [Input], to: State, effect: Effect) -> Row<State> {
    Row {
        from,
        on,
        to,
        effect,
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Activity {
    pub(crate) seq: u32,
    pub(crate) activity_type: String,
    pub(crate) activity_id: String,
    pub(crate) cancellation: ActivityCancellationType,
    pub(crate) state: State,
}

/// What an event contains about an attempt beside its failure.
#[derive(Debug, Default)]
pub(crate) struct About<'a> {
    pub(crate) identity: &'a str,
    pub(crate) scheduled_event_id: i64,
    pub(crate) started_event_id: i64,
}

impl Machines {
    pub(super) fn cancel_activity(&mut self, seq: u32) -> Result<(), Divergence> {
        let place = self.machine_of(seq)?;
        let machine = &self.machines[place];
        let Kind::Activity(activity) = &machine.kind else {
            return Err(machine.is_no("activity"));
        };
        let input = match activity.cancellation {
            ActivityCancellationType::TryCancel => Input::TryCancel,
            ActivityCancellationType::WaitCancellationCompleted => Input::WaitCancel,
            ActivityCancellationType::Abandon => Input::Abandon,
        };
        let status = self.cancelled_status(place, None)?;
        self.activity_input(place, input, Some(status))
    }

    pub(super) fn activity_recorded(&mut self, place: usize) -> Result<(), Divergence> {
        self.activity_input(place, Input::Recorded, None)
    }

    fn activity_input(
        &mut self,
        place: usize,
        input: Input,
        status: Option<Status>,
    ) -> Result<(), Divergence> {
        let machine = &mut self.machines[place];
        let scheduled_event_id = machine.event_id;
        let Kind::Activity(activity) = &mut machine.kind else {
            return Err(machine.is_no("activity"));
        };
        let seq = activity.seq;
        let effect = activity.state.take(input)?;
        let request = Request::CancelActivity { scheduled_event_id };
        match effect {
            Effect::Nothing => return Ok(()),
            Effect::Resolve => {}
            Effect::SendCancel => {
                self.ask_about(place, request);
                return Ok(());
            }
            Effect::SendCancelAndResolve => self.ask_about(place, request),
        }
        let nothing = || Divergence::broken("there is nothing to tell of the activity");
        self.resolve_activity(seq, status.ok_or_else(nothing)?, false);
        Ok(())
    }

    pub(super) fn activity_progress(
        &mut self,
        place: usize,
        progress: &Progress<'_>,
    ) -> Result<(), Divergence> {
        let (input, status) = match progress.stage {
            Stage::Started { .. } => (Input::Started, None),
            Stage::Ended(End::Completed(result)) => {
                let result = result.cloned();
                (
                    Input::Completed,
                    Some(Status::Completed(Success { result })),
                )
            }
            Stage::Ended(End::Failed(failed)) => {
                let status = self.failed_status(place, "Activity task failed", &failed)?;
                (Input::Failed, Some(status))
            }
            Stage::Ended(End::TimedOut(failed)) => {
                let status = self.failed_status(place, "Activity task timed out", &failed)?;
                (Input::TimedOut, Some(status))
            }
            Stage::Ended(End::Cancelled(cancelled)) => {
                let status = self.cancelled_status(place, Some(cancelled))?;
                (Input::Cancelled, Some(status))
            }
            Stage::Ended(End::Terminated | End::Refused(_)) => {
                return Err(Divergence::unexpected(progress));
            }
        };
        self.activity_input(place, input, status)
    }

    pub(super) fn resolve_activity(&mut self, seq: u32, status: Status, is_local: bool) {
        self.jobs
            .push(Variant::ResolveActivity(jobs::ResolveActivity {
                seq,
                result: Some(ActivityResolution {
                    status: Some(status),
                }),
                is_local,
            }));
    }

    fn failed_status(
        &self,
        place: usize,
        message: &str,
        failed: &FailedEnd<'_>,
    ) -> Result<Status, Divergence> {
        let about = About {
            identity: failed.identity,
            scheduled_event_id: self.machines[place].event_id,
            started_event_id: failed.started_event_id,
        };
        let cause = failed.failure.cloned();
        let failure = self.activity_failure(place, message, cause, failed.retry_state, about)?;
        Ok(Status::Failed(Failed {
            failure: Some(failure),
            ..Default::default()
        }))
    }

    /// `None` if it was withdrawn, or if its step does not wait for its end.
    fn cancelled_status(
        &self,
        place: usize,
        cancelled: Option<Cancelled<'_>>,
    ) -> Result<Status, Divergence> {
        let details = cancelled.and_then(|cancelled| cancelled.details).cloned();
        let cause = failure::Failure {
            failure_info: Some(FailureInfo::CanceledFailureInfo(
                failure::CanceledFailureInfo {
                    details,
                    ..Default::default()
                },
            )),
            ..Default::default()
        };
        let about = cancelled.map_or_else(About::default, |cancelled| About {
            identity: cancelled.identity,
            scheduled_event_id: self.machines[place].event_id,
            started_event_id: cancelled.started_event_id,
        });
        let state = enums::RetryState::CancelRequested;
        let message = "Activity cancelled";
        let failure = self.activity_failure(place, message, Some(cause), state, about)?;
        Ok(Status::Cancelled(Cancellation {
            failure: Some(failure),
        }))
    }

    pub(super) fn activity_failure(
        &self,
        place: usize,
        message: &str,
        cause: Option<failure::Failure>,
        retry_state: enums::RetryState,
        about: About<'_>,
    ) -> Result<failure::Failure, Divergence> {
        let machine = &self.machines[place];
        let (activity_type, activity_id) = match &machine.kind {
            Kind::Activity(activity) => (&activity.activity_type, &activity.activity_id),
            Kind::Local(local) => (&local.schedule.activity_type, &local.schedule.activity_id),
            Kind::Timer { .. }
            | Kind::Child(_)
            | Kind::SignalExternal { .. }
            | Kind::CancelExternal { .. }
            | Kind::Nexus(_)
            | Kind::Plain(_) => return Err(machine.is_no("activity")),
        };
        Ok(failure::Failure {
            message: message.to_owned(),
            cause: cause.map(Box::new),
            failure_info: Some(FailureInfo::ActivityFailureInfo(
                failure::ActivityFailureInfo {
                    activity_type: Some(common::ActivityType {
                        name: activity_type.clone(),
                    }),
                    activity_id: activity_id.clone(),
                    identity: about.identity.to_owned(),
                    retry_state: retry_state.into(),
                    scheduled_event_id: about.scheduled_event_id,
                    started_event_id: about.started_event_id,
                },
            )),
            ..Default::default()
        })
    }
}
