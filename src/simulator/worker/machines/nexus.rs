//! Nexus operations (sdk-core 0.10.1, machines/nexus_operation_state_machine.rs).

use temporalio_protos::coresdk::nexus::NexusOperationResult;
use temporalio_protos::coresdk::nexus::nexus_operation_result::Status;
use temporalio_protos::coresdk::workflow_activation as jobs;
use temporalio_protos::coresdk::workflow_activation::resolve_nexus_operation_start::Status as Start;
use temporalio_protos::coresdk::workflow_activation::workflow_activation_job::Variant;
use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::failure::v1 as failure;
use temporalio_protos::temporal::api::failure::v1::failure::FailureInfo;

use super::super::replay::Divergence;
use super::table::{Row, Table};
use super::{Kind, Machines, Request, cancelled_failure};
use crate::history::{End, Progress, Stage};

#[derive(Debug, Clone)]
pub(crate) struct Nexus {
    pub(crate) seq: u32,
    pub(crate) endpoint: String,
    pub(crate) service: String,
    pub(crate) operation: String,
    pub(crate) state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Commanded,
    /// Cancelled before its command was sent.
    Withdrawn,
    Scheduled,
    /// Requested to stop before it started.
    ScheduledCancelling,
    Started,
    StartedCancelling,
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    Recorded,
    Cancel,
    Started,
    Completed,
    Failed,
    Cancelled,
    TimedOut,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Effect {
    Nothing,
    SendCancel,
    /// It will never start.
    FailWithdrawn,
    ResolveStart,
    /// It ends when it starts: a synchronous operation.
    ResolveStartAndEnd,
    /// It ends unsuccessfully before it starts.
    FailStart,
    ResolveEnd,
}

impl Table for State {
    const NAME: &'static str = "nexus operation";
    type Input = Input;
    type Effect = Effect;

    fn rows() -> &'static [Row<Self>] {
        use State::*;
        const UNSUCCESSFUL: &[Input] = &[Input::Failed, Input::Cancelled, Input::TimedOut];
        const ENDS: &[Input] = &[
            Input::Completed,
            Input::Failed,
            Input::Cancelled,
            Input::TimedOut,
        ];
        const ROWS: &[Row<State>] = &[
            row(Commanded, &[Input::Recorded], Scheduled, Effect::Nothing),
            row(
                Commanded,
                &[Input::Cancel],
                Withdrawn,
                Effect::FailWithdrawn,
            ),
            row(Scheduled, &[Input::Started], Started, Effect::ResolveStart),
            row(
                Scheduled,
                &[Input::Completed],
                Ended,
                Effect::ResolveStartAndEnd,
            ),
            row(Scheduled, UNSUCCESSFUL, Ended, Effect::FailStart),
            row(
                Scheduled,
                &[Input::Cancel],
                ScheduledCancelling,
                Effect::SendCancel,
            ),
            row(
                ScheduledCancelling,
                &[Input::Started],
                StartedCancelling,
                Effect::ResolveStart,
            ),
            row(
                ScheduledCancelling,
                &[Input::Completed],
                Ended,
                Effect::ResolveStartAndEnd,
            ),
            row(ScheduledCancelling, UNSUCCESSFUL, Ended, Effect::FailStart),
            row(Started, ENDS, Ended, Effect::ResolveEnd),
            row(
                Started,
                &[Input::Cancel],
                StartedCancelling,
                Effect::SendCancel,
            ),
            row(StartedCancelling, ENDS, Ended, Effect::ResolveEnd),
            // A step may cancel an operation that another has cancelled.
            row(Withdrawn, &[Input::Cancel], Withdrawn, Effect::Nothing),
            row(
                ScheduledCancelling,
                &[Input::Cancel],
                ScheduledCancelling,
                Effect::Nothing,
            ),
            row(
                StartedCancelling,
                &[Input::Cancel],
                StartedCancelling,
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

impl Machines {
    pub(super) fn nexus_command_input(
        &mut self,
        place: usize,
        input: Input,
    ) -> Result<(), Divergence> {
        let machine = &mut self.machines[place];
        let scheduled_event_id = machine.event_id;
        let Kind::Nexus(nexus) = &mut machine.kind else {
            return Err(machine.is_no("Nexus operation"));
        };
        let seq = nexus.seq;
        match nexus.state.take(input)? {
            Effect::Nothing => {}
            Effect::SendCancel => {
                self.ask_about(place, Request::CancelNexus { scheduled_event_id });
            }
            Effect::FailWithdrawn => {
                let failure = withdrawn(nexus, scheduled_event_id);
                self.nexus_start(seq, Start::Failed(failure));
            }
            Effect::ResolveStart
            | Effect::ResolveStartAndEnd
            | Effect::FailStart
            | Effect::ResolveEnd => {
                return Err(Divergence::broken(
                    "a Nexus operation ends without an event",
                ));
            }
        }
        Ok(())
    }

    pub(super) fn nexus_progress(
        &mut self,
        place: usize,
        progress: &Progress<'_>,
    ) -> Result<(), Divergence> {
        let input = match progress.stage {
            Stage::Started { .. } => Input::Started,
            Stage::Ended(End::Completed(_)) => Input::Completed,
            Stage::Ended(End::Failed(_)) => Input::Failed,
            Stage::Ended(End::Cancelled(_)) => Input::Cancelled,
            Stage::Ended(End::TimedOut(_)) => Input::TimedOut,
            Stage::Ended(End::Terminated | End::Refused(_)) => {
                return Err(Divergence::unexpected(progress));
            }
        };
        let machine = &mut self.machines[place];
        let Kind::Nexus(nexus) = &mut machine.kind else {
            return Err(machine.is_no("Nexus operation"));
        };
        let seq = nexus.seq;
        match nexus.state.take(input)? {
            Effect::ResolveStart => {
                let token = started_token(progress)?;
                self.nexus_start(seq, Start::OperationToken(token));
            }
            Effect::ResolveStartAndEnd => {
                let end = end(progress)?;
                self.nexus_start(seq, Start::StartedSync(true));
                self.nexus_end(seq, end);
            }
            Effect::FailStart => {
                let failure = failure_of(progress)?;
                self.nexus_start(seq, Start::Failed(failure));
            }
            Effect::ResolveEnd => {
                let end = end(progress)?;
                self.nexus_end(seq, end);
            }
            Effect::Nothing | Effect::SendCancel | Effect::FailWithdrawn => {
                return Err(Divergence::unexpected(progress));
            }
        }
        Ok(())
    }

    fn nexus_start(&mut self, seq: u32, status: Start) {
        let job = jobs::ResolveNexusOperationStart {
            seq,
            status: Some(status),
        };
        self.jobs.push(Variant::ResolveNexusOperationStart(job));
    }

    fn nexus_end(&mut self, seq: u32, status: Status) {
        let result = NexusOperationResult {
            status: Some(status),
        };
        let job = jobs::ResolveNexusOperation {
            seq,
            result: Some(result),
        };
        self.jobs.push(Variant::ResolveNexusOperation(job));
    }
}

fn started_token(progress: &Progress<'_>) -> Result<String, Divergence> {
    match progress.stage {
        Stage::Started { id, .. } => Ok(id.to_owned()),
        Stage::Ended(_) => Err(Divergence::unexpected(progress)),
    }
}

fn end(progress: &Progress<'_>) -> Result<Status, Divergence> {
    let failure = |failure: Option<&failure::Failure>| failure.cloned().unwrap_or_default();
    Ok(match progress.stage {
        Stage::Ended(End::Completed(result)) => {
            let result: Option<&common::Payload> = result;
            Status::Completed(result.cloned().unwrap_or_default())
        }
        Stage::Ended(End::Failed(failed)) => Status::Failed(failure(failed.failure)),
        Stage::Ended(End::Cancelled(cancelled)) => Status::Cancelled(failure(cancelled.failure)),
        Stage::Ended(End::TimedOut(failed)) => Status::TimedOut(failure(failed.failure)),
        Stage::Started { .. } | Stage::Ended(End::Terminated | End::Refused(_)) => {
            return Err(Divergence::unexpected(progress));
        }
    })
}

fn failure_of(progress: &Progress<'_>) -> Result<failure::Failure, Divergence> {
    match end(progress)? {
        Status::Failed(failure) | Status::Cancelled(failure) | Status::TimedOut(failure) => {
            Ok(failure)
        }
        Status::Completed(_) => Err(Divergence::unexpected(progress)),
    }
}

fn withdrawn(nexus: &Nexus, scheduled_event_id: i64) -> failure::Failure {
    failure::Failure {
        message: "Nexus Operation cancelled before scheduled".to_owned(),
        cause: Some(Box::new(cancelled_failure())),
        failure_info: Some(FailureInfo::NexusOperationExecutionFailureInfo(
            failure::NexusOperationFailureInfo {
                scheduled_event_id,
                endpoint: nexus.endpoint.clone(),
                service: nexus.service.clone(),
                operation: nexus.operation.clone(),
                ..Default::default()
            },
        )),
        ..Default::default()
    }
}
