//! The server's limits on what clients and workers send, and its own words where one is passed.

use prost::Message;
use temporalio_protos::temporal::api::common::v1::Payloads;
use temporalio_protos::temporal::api::enums::v1::SuggestContinueAsNewReason;

use super::execution::Execution;
use super::machines::{Request, Sent};
use super::{Refused, Simulator};
use crate::engine::command::{Command, CommandKind};
use crate::engine::command_size_bytes;
use crate::engine::failure::Failure;
use crate::faults::Fault;
use crate::limits::{PAYLOAD_SIZE_BYTES_MAX, WORKFLOW_TASK_SIZE_BYTES_MAX};
use crate::worker::completion::command_to_proto;

/// `history.maximumSignalsPerExecution`
const SIGNALS_MAX: usize = 10_000;
/// `history.maxInFlightUpdates`
const UPDATES_IN_FLIGHT_MAX: usize = 10;
/// `history.maxTotalUpdates`
const UPDATES_MAX: usize = 2_000;
/// Updates at which the server suggests to continue as new: 90 % of [`UPDATES_MAX`] (`history.maxTotalUpdates.suggestContinueAsNewThreshold`).
const UPDATES_SUGGESTED_MAX: usize = 1_800;
/// `limit.historyCount.suggestContinueAsNew`
const EVENTS_SUGGESTED_MAX: usize = 4096;
/// `limit.historySize.suggestContinueAsNew`
const HISTORY_SIZE_BYTES_SUGGESTED_MAX: u64 = 4 * 1024 * 1024;
/// `limit.historyCount.error`
const EVENTS_MAX: usize = 50 * 1024;
/// `limit.historySize.error`
const HISTORY_SIZE_BYTES_MAX: u64 = 50 * 1024 * 1024;
/// gRPC's own bound on what a server receives.
const MESSAGE_SIZE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// `limit.blobSize.error`
pub(super) fn check_size(input: Option<&Payloads>) -> Result<(), Refused> {
    match is_too_large(input) {
        true => Err(Refused::Invalid("Blob data size exceeds limit.".to_owned())),
        false => Ok(()),
    }
}

/// A worker does not send what the server would not take.
pub(super) fn check_result(result: Option<Payloads>) -> Result<Option<Payloads>, Failure> {
    match is_too_large(result.as_ref()) {
        true => Err(Failure::application(
            "PayloadsTooLarge",
            "[TMPRL1103] Attempted to upload payloads with size that exceeded the error limit.",
        )),
        false => Ok(result),
    }
}

fn is_too_large(payloads: Option<&Payloads>) -> bool {
    payloads.is_some_and(|payloads| payloads.encoded_len() > PAYLOAD_SIZE_BYTES_MAX)
}

/// More than the request takes, as a rule.
fn size_about(sent: &Sent) -> usize {
    match &sent.request {
        Request::Engine(kind) => command_size_bytes(kind).unwrap_or_default(),
        Request::Marker(marker) => marker.encoded_len(),
        _ => 0,
    }
}

impl Execution {
    pub fn check_signal(&self) -> Result<(), Refused> {
        match self.signals < SIGNALS_MAX {
            true => Ok(()),
            false => Err(Refused::Invalid(
                "exceeded workflow execution limit for signal events".to_owned(),
            )),
        }
    }

    /// Why it had better continue as new.
    pub fn suggested_reasons(&self) -> Vec<i32> {
        use SuggestContinueAsNewReason as Reason;
        let reasons = [
            (
                self.size_bytes > HISTORY_SIZE_BYTES_SUGGESTED_MAX,
                Reason::HistorySizeTooLarge,
            ),
            (
                self.history.len() > EVENTS_SUGGESTED_MAX,
                Reason::TooManyHistoryEvents,
            ),
            (
                self.updates() >= UPDATES_SUGGESTED_MAX,
                Reason::TooManyUpdates,
            ),
        ];
        let reasons = reasons.into_iter().filter(|(holds, _)| *holds);
        reasons.map(|(_, reason)| reason.into()).collect()
    }

    /// All that there were, but for those it has refused.
    fn updates(&self) -> usize {
        self.updates_accepted + self.admitted.len() + self.delivered.len()
    }

    pub fn check_update(&self) -> Result<(), Refused> {
        let in_flight = self.admitted.len() + self.delivered.len() + self.accepted.len();
        if in_flight >= UPDATES_IN_FLIGHT_MAX {
            return Err(Refused::Invalid(format!(
                "limit on number of concurrent in-flight updates has been reached ({UPDATES_IN_FLIGHT_MAX})"
            )));
        }
        if self.updates() >= UPDATES_MAX {
            return Err(Refused::Invalid(format!(
                "The limit on the total number of distinct updates in this workflow has been reached ({UPDATES_MAX}). Make sure any duplicate \
                 updates share an Update ID so the server can deduplicate them, and consider rejecting updates that you aren't going to process. \
                 You can also Continue-as-New to avoid this; we recommend you check Continue-as-New Suggested in your Workflow."
            )));
        }
        Ok(())
    }
}

impl Simulator {
    /// Whether a worker hands over a local activity's result now, or waits until the workflow task has ended: `worker::sent`.
    pub(super) fn takes_local(&self, run: usize, size: usize) -> bool {
        let is_held = self.holds_tasks || self.held_open.contains(&run);
        let asked = &self.executions[run].worker.machines.asked;
        let before: usize = asked.iter().map(size_about).sum();
        is_held
            || before == 0
            || before + size <= WORKFLOW_TASK_SIZE_BYTES_MAX
            || Fault::LocalResultsUncounted.is_on()
    }

    /// Whether the server would receive the completion of a workflow task with these commands.
    pub(super) fn is_receivable(&self, run: usize, sent: &[Sent]) -> bool {
        // Workers repeat the updates that they answer.
        let answered = |id: &str| {
            let is_answer = |sent: &Sent| match &sent.request {
                Request::Engine(
                    CommandKind::AcceptUpdate {
                        protocol_instance_id,
                    }
                    | CommandKind::RejectUpdate {
                        protocol_instance_id,
                        ..
                    },
                ) => protocol_instance_id == id,
                _ => false,
            };
            sent.iter().any(is_answer)
        };
        let updates = self.executions[run].delivered.iter().map(|u| &u.request);
        let updates = updates.filter(|request| answered(&request.protocol_instance_id));
        let updates = updates.flat_map(|request| &request.input);
        let updates: usize = updates.map(Message::encoded_len).sum();
        // Enough nearly always: it counts more than is sent.
        if updates + sent.iter().map(size_about).sum::<usize>() <= MESSAGE_SIZE_BYTES_MAX {
            return true;
        }
        let exactly = |sent: &Sent| match &sent.request {
            Request::Engine(kind) => {
                let command = Command {
                    summary: sent.summary.clone(),
                    ..Command::from(kind.clone())
                };
                let command = command_to_proto(command, &self.setup.namespace);
                command.map_or(0, |command| command.encoded_len())
            }
            Request::Marker(marker) => marker.encoded_len(),
            _ => 0,
        };
        updates + sent.iter().map(exactly).sum::<usize>() <= MESSAGE_SIZE_BYTES_MAX
    }

    /// A history that is too long or too large ends its run.
    pub(super) fn check_history(&mut self, run: usize) {
        let execution = &self.executions[run];
        if execution.history.len() > EVENTS_MAX {
            self.end_by_server(run, "Workflow history count exceeds limit.");
        } else if execution.size_bytes > HISTORY_SIZE_BYTES_MAX {
            self.end_by_server(run, "Workflow history size exceeds limit.");
        }
    }
}
