//! The server's limits on what clients and workers send, and its messages if one is exceeded (temporal server 1.32.0,
//! common/dynamicconfig/constants.go; the names of its settings are at the constants).

use prost::Message;
use temporalio_protos::temporal::api::common::v1::Payloads;
use temporalio_protos::temporal::api::enums::v1::SuggestContinueAsNewReason;

use super::execution::Execution;
use super::{Refused, Server};
use crate::engine::failure::Failure;
use crate::limits::{ID_SIZE_BYTES_MAX, PAYLOAD_SIZE_BYTES_MAX};

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

/// `limit.blobSize.error`
pub(super) fn check_size(input: Option<&Payloads>) -> Result<(), Refused> {
    match is_too_large(input) {
        true => Err(Refused::Invalid("Blob data size exceeds limit.".to_owned())),
        false => Ok(()),
    }
}

/// `limit.maxIDLength` of a workflow id.
pub(super) fn check_workflow_id(id: &str) -> Result<(), Refused> {
    match id.len() <= ID_SIZE_BYTES_MAX {
        true => Ok(()),
        false => Err(Refused::Invalid(format!(
            "WorkflowId exceeds maximum allowed length ({}/{ID_SIZE_BYTES_MAX})",
            id.len()
        ))),
    }
}

/// `limit.maxIDLength` of a signal's name (service/frontend/errors.go).
pub(super) fn check_signal_name(name: &str) -> Result<(), Refused> {
    match name.len() <= ID_SIZE_BYTES_MAX {
        true => Ok(()),
        false => Err(Refused::Invalid(
            "SignalName length exceeds limit.".to_owned(),
        )),
    }
}

/// A worker does not send what the server would refuse.
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

impl Execution {
    pub(crate) fn check_signal(&self) -> Result<(), Refused> {
        match self.signals < SIGNALS_MAX {
            true => Ok(()),
            false => Err(Refused::Invalid(
                "exceeded workflow execution limit for signal events".to_owned(),
            )),
        }
    }

    /// Why it should continue as new.
    pub(crate) fn suggested_reasons(&self) -> Vec<i32> {
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

    /// All updates so far, without the refused ones.
    fn updates(&self) -> usize {
        self.updates_accepted + self.admitted.len() + self.delivered.len()
    }

    pub(crate) fn check_update(&self) -> Result<(), Refused> {
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

impl Server {
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
