//! Signals to and cancellations of other workflows (sdk-core 0.10.1, machines/signal_external_state_machine.rs and
//! machines/cancel_external_state_machine.rs).

use temporalio_protos::coresdk::workflow_activation as jobs;
use temporalio_protos::coresdk::workflow_activation::workflow_activation_job::Variant;
use temporalio_protos::temporal::api::enums::v1 as enums;
use temporalio_protos::temporal::api::failure::v1 as failure;
use temporalio_protos::temporal::api::failure::v1::failure::FailureInfo;

use super::super::replay::Divergence;
use super::table::{Row, Table};
use super::{Kind, Machines};
use crate::history::{End, Progress, Refusal, Stage};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    Recorded,
    Delivered,
    Refused,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Effect {
    Nothing,
    Resolve,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Commanded,
    Sent,
    Delivered,
    Refused,
}

impl Table for Signal {
    const NAME: &'static str = "signal";
    type Input = Input;
    type Effect = Effect;

    fn rows() -> &'static [Row<Self>] {
        use Signal::*;
        const fn row(
            from: Signal,
            on: &'static [Input],
            to: Signal,
            effect: Effect,
        ) -> Row<Signal> {
            Row {
                from,
                on,
                to,
                effect,
            }
        }
        const ROWS: &[Row<Signal>] = &[
            row(Commanded, &[Input::Recorded], Sent, Effect::Nothing),
            row(Sent, &[Input::Delivered], Delivered, Effect::Resolve),
            row(Sent, &[Input::Refused], Refused, Effect::Resolve),
        ];
        ROWS
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancellation {
    Commanded,
    Sent,
    Delivered,
    Refused,
}

impl Table for Cancellation {
    const NAME: &'static str = "cancellation";
    type Input = Input;
    type Effect = Effect;

    fn rows() -> &'static [Row<Self>] {
        use Cancellation::*;
        const fn row(
            from: Cancellation,
            on: &'static [Input],
            to: Cancellation,
            effect: Effect,
        ) -> Row<Cancellation> {
            Row {
                from,
                on,
                to,
                effect,
            }
        }
        const ROWS: &[Row<Cancellation>] = &[
            row(Commanded, &[Input::Recorded], Sent, Effect::Nothing),
            row(Sent, &[Input::Delivered], Delivered, Effect::Resolve),
            row(Sent, &[Input::Refused], Refused, Effect::Resolve),
        ];
        ROWS
    }
}

impl Machines {
    pub(super) fn signal_input(
        &mut self,
        place: usize,
        input: Input,
        failure: Option<failure::Failure>,
    ) -> Result<(), Divergence> {
        let machine = &mut self.machines[place];
        let Kind::SignalExternal { seq, state } = &mut machine.kind else {
            return Err(machine.is_no("signal"));
        };
        match state.take(input)? {
            Effect::Nothing => {}
            Effect::Resolve => {
                let job = jobs::ResolveSignalExternalWorkflow {
                    seq: *seq,
                    failure,
                    ..Default::default()
                };
                self.jobs.push(Variant::ResolveSignalExternalWorkflow(job));
            }
        }
        Ok(())
    }

    pub(super) fn cancellation_input(
        &mut self,
        place: usize,
        input: Input,
        failure: Option<failure::Failure>,
    ) -> Result<(), Divergence> {
        let machine = &mut self.machines[place];
        let Kind::CancelExternal { seq, state } = &mut machine.kind else {
            return Err(machine.is_no("cancellation"));
        };
        let effect = state.take(input)?;
        let job = |seq: u32| jobs::ResolveRequestCancelExternalWorkflow {
            seq,
            failure,
            ..Default::default()
        };
        match (effect, *seq) {
            (Effect::Resolve, Some(seq)) => {
                let job = Variant::ResolveRequestCancelExternalWorkflow(job(seq));
                self.jobs.push(job);
            }
            // The worker itself requested a child's cancellation: no step waits for it.
            (Effect::Nothing, _) | (Effect::Resolve, None) => {}
        }
        Ok(())
    }

    pub(super) fn signal_progress(
        &mut self,
        place: usize,
        progress: &Progress<'_>,
    ) -> Result<(), Divergence> {
        match progress.stage {
            Stage::Ended(End::Completed(_)) => self.signal_input(place, Input::Delivered, None),
            Stage::Ended(End::Refused(Refusal::Signal(cause))) => {
                use enums::SignalExternalWorkflowExecutionFailedCause as Cause;
                let why = match cause {
                    Cause::Unspecified => "unknown",
                    Cause::ExternalWorkflowExecutionNotFound | Cause::NamespaceNotFound => {
                        "it was not found"
                    }
                    Cause::SignalCountLimitExceeded => "The per-workflow signal limit was exceeded",
                };
                let failure = external_failure("signal", cause.to_string(), why);
                self.signal_input(place, Input::Refused, Some(failure))
            }
            Stage::Started { .. } | Stage::Ended(_) => Err(Divergence::unexpected(progress)),
        }
    }

    pub(super) fn cancellation_progress(
        &mut self,
        place: usize,
        progress: &Progress<'_>,
    ) -> Result<(), Divergence> {
        match progress.stage {
            Stage::Ended(End::Completed(_)) => {
                self.cancellation_input(place, Input::Delivered, None)
            }
            Stage::Ended(End::Refused(Refusal::Cancellation(cause))) => {
                let failure = external_failure("cancel", cause.to_string(), "not found");
                self.cancellation_input(place, Input::Refused, Some(failure))
            }
            Stage::Started { .. } | Stage::Ended(_) => Err(Divergence::unexpected(progress)),
        }
    }
}

/// Core's message for what the server refused to do for another workflow.
fn external_failure(what: &str, cause: String, reason: &str) -> failure::Failure {
    failure::Failure {
        message: format!("Unable to {what} external workflow because {reason}"),
        failure_info: Some(FailureInfo::ApplicationFailureInfo(
            failure::ApplicationFailureInfo {
                r#type: cause,
                ..Default::default()
            },
        )),
        ..Default::default()
    }
}
