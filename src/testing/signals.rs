//! `--crash` sends signals at every point around a continuation: each accepted one must be consumed, refused or kept by
//! the run that completes.

use temporalio_protos::temporal::api::history::v1::history_event::Attributes;

use super::file::Deed;
use super::run::{Driver, payloads};
use super::{BROKEN, Subject};
use crate::diagnostic::Diagnostic;
use crate::simulator::Status;
use crate::value::Payload;

/// Signals of a name that are sent together: more than a run that consumes them one by one consumes before it
/// continues.
const AT_ONCE: usize = 3;

/// When signals of every name are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    /// Before this step of the simulation.
    pub(crate) step: usize,
    /// With one workflow task: this step and the signals.
    pub(crate) together: bool,
}

impl Driver<'_> {
    /// Sends signals of every name that the workflow handles or waits for, if this is the point to do so.
    pub(super) fn send_signals(&mut self, point: Point, subject: &Subject) {
        let workflow_id = self.workflow_id.clone();
        let Some(run) = self.simulator.current(&workflow_id) else {
            return;
        };
        self.simulator.hold_tasks();
        let workflow_type = self.simulator.workflow_type(run).to_owned();
        for name in names(&workflow_type, subject) {
            let input = self.input_of(&name);
            for _ in 0..AT_ONCE {
                // A closed workflow accepts none.
                let _ = self.simulator.signal(&workflow_id, &name, input.clone());
            }
        }
        if point.together {
            self.simulator.take(0);
        }
        self.simulator.release_tasks();
    }

    /// The input that the case sends, or none.
    fn input_of(&self, wanted: &str) -> Vec<Payload> {
        let mut actions = self.case.actions.iter();
        let found = actions
            .find(|action| matches!(&action.deed, Deed::Signal(name) if *name.value == *wanted));
        let input = found.and_then(|action| action.input.as_ref()?.value(&[]).ok());
        payloads(input.as_ref(), self.case.range).unwrap_or_default()
    }

    /// Reports a signal that was accepted and then lost. Only a completed workflow can be checked.
    pub(super) fn check_signals(&mut self) {
        let simulator = &self.simulator;
        let current = simulator.current(&self.workflow_id);
        if current.is_none_or(|run| simulator.status(run) != Status::Completed) {
            return;
        }
        let of_it = |run: &_| simulator.workflow_id(*run) == self.workflow_id;
        let mut runs = simulator.runs().filter(of_it);
        let is_kept = |run| {
            matches!(
                simulator.status(run),
                Status::Completed | Status::ContinuedAsNew
            )
        };
        // A failed run loses its signals, as on the server.
        if !runs.all(is_kept) {
            return;
        }
        let events = simulator.runs().filter(of_it);
        let events = events.flat_map(|run| simulator.history(run));
        let is_signal =
            |a: &Attributes| matches!(a, Attributes::WorkflowExecutionSignaledEventAttributes(_));
        let sent = events
            .filter(|event| event.attributes.as_ref().is_some_and(is_signal))
            .count();
        let settled = self.watchers.settled(&self.workflow_id);
        if sent != settled {
            let message = format!(
                "{settled} of {sent} accepted signals were consumed, refused or kept to the end"
            );
            self.problems
                .push(Diagnostic::error(BROKEN, self.case.range, message));
        }
    }
}

fn names(workflow_type: &str, subject: &Subject) -> Vec<String> {
    let entry = subject.registry.for_new_run(workflow_type, "");
    let Some(entry) = entry else {
        return Vec::new();
    };
    let program = &entry.loaded.program;
    let handled = program
        .signals
        .iter()
        .map(|handler| handler.name.to_string());
    let steps = program.steps.iter();
    let awaited = steps.filter_map(|step| step.action.awaited_signal());
    let awaited = awaited.map(|name| name.to_string());
    let mut names: Vec<String> = handled.chain(awaited).filter(|name| name != "*").collect();
    names.sort();
    names.dedup();
    names
}
