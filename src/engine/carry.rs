//! `history: automatic`: when Temporal suggests it and only timers are in flight, the run continues as new by itself
//! and carries its whole state along.

use std::collections::BTreeMap;

use super::command::{CommandKind, ContinueAsNew};
use super::failure::Failure;
use super::flag::UNDONE_AFTER_THE_STEPS;
use super::job::Initialize;
use super::load::continuation_size_bytes;
use super::machine::Machine;
use super::state::{Ending, Left, Phase, RoutineKind, Run, timer_length};
use super::stored::{StoredError, from_beginning, from_stored};
use crate::limits::PAYLOAD_SIZE_BYTES_MAX;
use crate::value::Value;
use crate::words::{History, LogLevel};

/// The header that carries the bundle of a run to its continuation.
pub const DEFINITION_HEADER: &str = "segno-definition";

/// The header that names the first run of a chain, which only a later run of it can do.
pub const CHAIN_HEADER: &str = "segno-chain";

/// The header that carries unconsumed signals to a continuation.
pub const SIGNALS_HEADER: &str = "segno-signals";

/// The header that carries a run's state to its continuation.
pub const STATE_HEADER: &str = "segno-state";

impl Machine<'_> {
    /// Ends the run with its continuation, if that is due and possible. True if it did.
    pub(crate) fn carry_over(&mut self) -> bool {
        if !self.is_to_move() || !self.is_movable() {
            return false;
        }
        let state = match carried_form(self.run) {
            Ok(state) => state,
            Err(why) => {
                let message = format!("the run cannot continue as new by itself: {why}");
                self.log(LogLevel::Warn, message);
                return false;
            }
        };
        let bytes = |bytes: &[u8]| Value::Bytes(bytes.into());
        let headers = [
            (DEFINITION_HEADER, bytes(self.bundle)),
            (STATE_HEADER, bytes(&state)),
            (CHAIN_HEADER, self.chain()),
        ];
        let named = |(name, value): (&str, Value)| Ok((name.to_owned(), self.payload(&value)?));
        let headers: Result<BTreeMap<_, _>, Failure> = headers.into_iter().map(named).collect();
        let arguments = self
            .run
            .info
            .arguments
            .iter()
            .map(|v| self.payload(v))
            .collect();
        // A state that is too large for a payload is not moved: the run continues here.
        let (Ok(headers), Ok(arguments)) = (headers, arguments) else {
            return false;
        };
        let next = Box::new(ContinueAsNew {
            workflow_type: self.run.info.workflow_type.clone(),
            task_queue: self.run.info.task_queue.clone(),
            arguments,
            memo: self.run.memo.clone(),
            search_attributes: self.run.search_attributes.clone(),
            headers,
            ..ContinueAsNew::default()
        });
        match self.makes_room(continuation_size_bytes(&next)) {
            Ok(true) => {}
            Ok(false) => return false,
            Err(failure) => {
                let message = format!(
                    "the run cannot continue as new by itself: {}",
                    failure.message
                );
                self.log(LogLevel::Warn, message);
                return false;
            }
        }
        self.run.ending = Some(Ending::CarriedOver(next));
        true
    }

    /// Vouches for headers, also in retries and runs of a cron, which repeat them.
    pub(super) fn chain(&self) -> Value {
        Value::from(self.run.info.first_run_id.as_str())
    }

    /// Whether a continuation as new is due.
    pub(crate) fn is_to_move(&self) -> bool {
        self.program.history == History::Automatic
            && self.clock.continue_as_new_suggested
            && self.run.phase == Phase::Running
            && self.run.ending.is_none()
    }

    /// Timers are carried with their remaining time; everything else in flight belongs to this run.
    fn is_movable(&self) -> bool {
        let operations = self.run.operations.values();
        let only_timers = operations
            .filter(|o| o.resolution.is_none())
            .all(|o| o.fires_at.is_some());
        let updates = |kind: &RoutineKind| matches!(kind, RoutineKind::Update { .. });
        self.run.inbox.is_empty()
            && self.run.cancelling.is_empty()
            && only_timers
            && !self.run.routines.values().any(|r| updates(&r.kind))
    }

    /// Begins where the previous run ended: its timers start again with their remaining time.
    pub(crate) fn take_over(&mut self) {
        let timers: Vec<(u32, _)> = self
            .run
            .operations
            .iter()
            .filter_map(|(seq, operation)| Some((*seq, operation.fires_at?)))
            .collect();
        for (seq, fires_at) in timers {
            let left = fires_at.since(self.clock.now).unwrap_or_default();
            self.command(CommandKind::StartTimer {
                seq,
                duration: timer_length(left),
            });
        }
    }
}

/// A run's state in the form that its continuation reads.
fn carried_form(run: &Run) -> Result<Vec<u8>, String> {
    let mut state = postcard::to_allocvec(run).map_err(|error| error.to_string())?;
    let is_leaving = run.leaving.is_some() || !run.left_frames.is_empty();
    if run.has(UNDONE_AFTER_THE_STEPS) && is_leaving {
        let left = postcard::to_allocvec(&run.left()).map_err(|error| error.to_string())?;
        state.extend(left);
    }
    if state.len() > PAYLOAD_SIZE_BYTES_MAX {
        return Err(format!(
            "its state is bigger than PAYLOAD_SIZE_BYTES_MAX ({PAYLOAD_SIZE_BYTES_MAX} bytes)"
        ));
    }
    match read(&state) {
        Ok(_) => Ok(state),
        Err(error) => Err(format!("its state could not be read again: {error}")),
    }
}

/// The state, and what may follow it.
fn read(state: &[u8]) -> Result<(Run, Option<Left>), StoredError> {
    let (run, rest) = from_beginning::<Run>(state)?;
    let left = match rest {
        [] => None,
        rest => Some(from_stored(rest)?),
    };
    Ok((run, left))
}

/// The state that a continuation received, under its own identity, and where its main steps were on their way out. For
/// runs that begin with `UNDONE_AFTER_THE_STEPS`: an older engine did not read it.
pub(crate) fn carried(state: &[u8], info: Initialize) -> Result<(Run, Option<Left>), String> {
    let (mut run, left) = read(state).map_err(|error| {
        format!("the state carried from the run before cannot be read: {error}")
    })?;
    run.random = info.random_seed;
    run.memo = info.memo.clone();
    run.search_attributes = info.search_attributes.clone();
    run.info = info;
    Ok((run, left))
}
