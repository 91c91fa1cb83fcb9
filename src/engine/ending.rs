//! How a run ends. One that completes or continues as new first lets its handlers finish, including those of messages
//! that arrive meanwhile, and evaluates its result or its continuation's input with the state after them. One that
//! fails or is cancelled first undoes what is running.

use std::collections::VecDeque;

use super::carry::{CHAIN_HEADER, SIGNALS_HEADER};
use super::command::{CommandKind, ContinueAsNew};
use super::evaluate::within_bound;
use super::failure::Failure;
use super::flag::{KEPT_SIGNALS, UNDONE_AFTER_THE_STEPS};
use super::machine::Machine;
use super::observe::Event;
use super::state::{
    Ending, Frame, FunctionRef, Leaving, Outcome, Phase, Routine, RoutineId, RoutineKind, Run,
};
use crate::faults::Fault;
use crate::program::Action;
use crate::value::Value;
use crate::words::StepId;

impl Run {
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self.ending, Some(Ending::Failed(_) | Ending::Cancelled))
    }
}

impl Machine<'_> {
    /// How the run ends if its main steps end with an outcome.
    pub(crate) fn ending(&self, outcome: Outcome) -> Ending {
        match outcome {
            Outcome::Failed(f) if self.run.cancel_requested && f.is_cancelled() => {
                Ending::Cancelled
            }
            Outcome::Failed(failure) => Ending::Failed(failure),
            Outcome::ContinueAsNew(next) => Ending::ContinuedAsNew(next),
            Outcome::Value(value) | Outcome::Return(value) => Ending::Completed(value),
            Outcome::Break | Outcome::Continue => Ending::Completed(Value::Null),
        }
    }

    /// Sets how the run ends. A failure or cancellation is final, and cancels everything that is running, so that it is
    /// undone.
    pub(crate) fn end_with(&mut self, ending: Ending) {
        if !self.run.keeps_order() {
            self.run.ending = Some(ending);
            return;
        }
        if self.run.has_failed() {
            return;
        }
        self.run.ending = Some(ending);
        if self.run.has_failed() {
            let routines = self.run.routines.iter();
            let running = routines.filter(|(_, routine)| self.holds_the_end_up(routine));
            let running: Vec<RoutineId> = running.map(|(id, _)| *id).collect();
            running
                .into_iter()
                .for_each(|id| self.request_cancel(id, 0));
            if self.run.main().is_none() {
                self.run.left_frames.retain(is_of_the_run);
                let failure = match &self.run.ending {
                    Some(Ending::Failed(failure)) => failure.clone(),
                    Some(
                        Ending::Cancelled
                        | Ending::Completed(_)
                        | Ending::ContinuedAsNew(_)
                        | Ending::CarriedOver(_),
                    )
                    | None => Failure::cancelled("cancelled"),
                };
                self.undo_steps(failure);
            }
        }
    }

    /// Undoes what the main steps did although they have ended. False if there is nothing to undo.
    fn undo_steps(&mut self, failure: Failure) -> bool {
        let frames = std::mem::take(&mut self.run.left_frames);
        let is_undoing = !frames.is_empty();
        if is_undoing {
            let locals = self.locals(&self.program.main, Value::Null);
            let mut routine = Routine::new(RoutineKind::Main, frames, locals);
            routine.resume = Some(Outcome::Failed(failure));
            self.run.spawn(routine);
        }
        is_undoing
    }

    /// The main steps leave a frame with their end: its compensations are kept, in case the run fails after all.
    pub(crate) fn keep_left(&mut self, routine: &Routine, frame: Frame, outcome: &Outcome) {
        if !self.run.has(UNDONE_AFTER_THE_STEPS) || !self.is_of_main(routine) {
            return;
        }
        let has_effects = frame
            .saga()
            .is_some_and(|saga| saga.compensating.is_none() && !saga.compensations.is_empty());
        let leaves = || self.run.leaving.as_ref().map(|leaving| &leaving.outcome) == Some(outcome);
        let is_end = match (&frame, outcome) {
            (_, Outcome::Failed(_)) => false,
            (frame, _) if is_of_the_run(frame) => true,
            // A `return` in a called block ends the block.
            (Frame::Function { .. }, outcome) => {
                matches!(outcome, Outcome::ContinueAsNew(_)) && leaves()
            }
            (_, Outcome::Return(_) | Outcome::ContinueAsNew(_)) => leaves(),
            (_, Outcome::Value(_) | Outcome::Break | Outcome::Continue) => false,
        };
        if has_effects && is_end {
            self.run.left_frames.insert(0, frame);
        }
    }

    /// A cancellation after the main steps have ended: no continuation starts, and handlers that delay the end are
    /// cancelled.
    pub(crate) fn cancel_end(&mut self) {
        let is_to_go_on = match &self.run.ending {
            Some(Ending::ContinuedAsNew(_)) => true,
            Some(Ending::Completed(_)) => {
                let mut routines = self.run.routines.values();
                routines.any(|routine| self.holds_the_end_up(routine))
            }
            Some(Ending::Failed(_) | Ending::Cancelled | Ending::CarriedOver(_)) | None => false,
        };
        if is_to_go_on && self.run.keeps_order() {
            self.end_with(Ending::Cancelled);
        }
    }

    /// Whether the run has failed or is cancelled, and only undoes what it did.
    pub(crate) fn is_failing(&self) -> bool {
        self.run.keeps_order() && self.run.has_failed()
    }

    /// Ends the run, unless a handler must finish first. True if the end failed and what the steps did is undone now.
    pub(crate) fn close(&mut self) -> bool {
        let waits = match &self.run.ending {
            None => return false,
            Some(Ending::CarriedOver(_)) => false,
            Some(Ending::Failed(_) | Ending::Cancelled) => {
                self.run.keeps_order() && self.is_held_up()
            }
            Some(Ending::Completed(_) | Ending::ContinuedAsNew(_)) => self.is_held_up(),
        };
        if waits || self.waits_for_room() {
            return false;
        }
        let kind = match self.run.ending.take() {
            None => return false,
            Some(Ending::CarriedOver(next)) => CommandKind::ContinueAsNew(next),
            Some(Ending::Failed(failure)) => CommandKind::FailWorkflow(failure),
            Some(Ending::Cancelled) => CommandKind::CancelWorkflow,
            Some(ending) => match self.completion(ending) {
                Ok(kind) => kind,
                // As if the step that chose the end had failed.
                Err(failure) if self.undo_steps(failure.clone()) => return true,
                Err(failure) => CommandKind::FailWorkflow(failure),
            },
        };
        self.command(kind);
        self.run.phase = Phase::Closed;
        false
    }

    /// The end of a run that completed or continues as new, evaluated with its current state.
    fn completion(&mut self, ending: Ending) -> Result<CommandKind, Failure> {
        Ok(match self.anew(ending)? {
            Ending::Completed(value) => {
                let count = self.run.signals.values().map(VecDeque::len).sum();
                self.observe(Event::SignalsSettled { count });
                CommandKind::CompleteWorkflow(self.payload(&value)?)
            }
            Ending::ContinuedAsNew(next) => CommandKind::ContinueAsNew(self.continuation(next)?),
            Ending::CarriedOver(next) => CommandKind::ContinueAsNew(next),
            Ending::Failed(failure) => CommandKind::FailWorkflow(failure),
            Ending::Cancelled => CommandKind::CancelWorkflow,
        })
    }

    fn is_held_up(&self) -> bool {
        let mut routines = self.run.routines.values();
        let is_done = self.run.inbox.is_empty() || self.run.has_failed();
        !is_done || routines.any(|routine| self.holds_the_end_up(routine))
    }

    fn holds_the_end_up(&self, routine: &Routine) -> bool {
        match &routine.kind {
            RoutineKind::Signal { handler } => {
                self.program.signals[*handler as usize].finish_before_completion
            }
            RoutineKind::Update { handler, .. } => {
                self.program.updates[*handler as usize].finish_before_completion
            }
            // It is cut off by a handler that continues as new, and undone when the run fails.
            RoutineKind::Main => self.is_failing(),
            RoutineKind::Branch { .. } => false,
        }
    }

    /// Carries what was upserted, also by handlers that have just finished: an empty memo would be replaced by that of
    /// the start. Carries unconsumed signals too.
    fn continuation(
        &mut self,
        mut next: Box<ContinueAsNew>,
    ) -> Result<Box<ContinueAsNew>, Failure> {
        let said = std::mem::replace(&mut next.memo, self.run.memo.clone());
        next.memo.extend(said);
        let current = self.run.search_attributes.clone();
        let said = std::mem::replace(&mut next.search_attributes, current);
        next.search_attributes.extend(said);
        let keeps = self.run.has(KEPT_SIGNALS) && !Fault::KeptSignalsDropped.is_on();
        if keeps && !self.run.signals.is_empty() {
            let signals = postcard::to_allocvec(&self.run.signals)
                .map_err(|error| Failure::definition(error.to_string()))?;
            within_bound(
                "the signals that no step has taken, which go along to the continuation,",
                signals.len(),
            )?;
            let signals = self.payload(&Value::Bytes(signals.into()))?;
            next.headers.insert(SIGNALS_HEADER.to_owned(), signals);
            let chain = self.payload(&self.chain())?;
            next.headers.insert(CHAIN_HEADER.to_owned(), chain);
        }
        Ok(next)
    }

    /// Records what the values of a `return` or `continue_as_new` of the main steps were evaluated from.
    pub(crate) fn leaves(&mut self, routine: &Routine, step: StepId, outcome: &Outcome) {
        let is_runs = !self.run.has(UNDONE_AFTER_THE_STEPS)
            || matches!(outcome, Outcome::ContinueAsNew(_))
            || self.function_of(routine) == Some(FunctionRef::Main);
        if self.run.keeps_order() && self.is_of_main(routine) && is_runs {
            self.run.left_frames.clear();
            self.run.leaving = Some(Box::new(Leaving {
                step,
                routine: routine.kind.clone(),
                locals: routine.locals.clone(),
                handled_version: self.run.handled_version,
                outcome: outcome.clone(),
            }));
        }
    }

    /// Whether another branch left the main steps, so that this one only finishes: what it does until then is part of
    /// the state that the run ends with. What the leaving routine itself does on its way out, in a `finally`, is not.
    pub(crate) fn is_left_behind(&self, routine: &Routine) -> bool {
        let Some(leaving) = &self.run.leaving else {
            return false;
        };
        let is_within = |inner: &RoutineKind, outer: &RoutineKind| {
            let mut kind = inner;
            loop {
                if kind == outer {
                    return true;
                }
                // Those around the routine that left may have ended meanwhile.
                let RoutineKind::Branch { parent, .. } = kind else {
                    return false;
                };
                match self.run.routines.get(parent) {
                    Some(parent) => kind = &parent.kind,
                    None => return false,
                }
            }
        };
        let (this, left) = (&routine.kind, &leaving.routine);
        !is_within(this, left) && !is_within(left, this)
    }

    /// The end with its values evaluated again, if handlers, or branches that were cancelled by it, changed the state
    /// after they were evaluated.
    fn anew(&mut self, ending: Ending) -> Result<Ending, Failure> {
        let Some(leaving) = self.run.leaving.take() else {
            return Ok(ending);
        };
        let is_it = match (&ending, &leaving.outcome) {
            (Ending::Completed(value), Outcome::Return(returned)) => value == returned,
            (Ending::ContinuedAsNew(next), Outcome::ContinueAsNew(chosen)) => next == chosen,
            _ => false,
        };
        let is_current = leaving.handled_version == self.run.handled_version;
        if !is_it || is_current || Fault::ValuesBeforeHandlers.is_on() {
            return Ok(ending);
        }
        let routine = Routine::new(RoutineKind::Main, Vec::new(), leaving.locals);
        let action = &self.program.step(leaving.step).action;
        if let Action::Return(code) = action {
            // Without an expression there is nothing to evaluate again.
            let Some(code) = code else {
                return Ok(ending);
            };
            let value = self.evaluate(&routine, code)?;
            let output = self.function(FunctionRef::Main).output.as_ref();
            self.check(output, &value, "the result")?;
            return Ok(Ending::Completed(value));
        }
        let Action::ContinueAsNew(next) = action else {
            self.run
                .violated("the main steps are left by `return` or `continue_as_new`");
            return Ok(ending);
        };
        let next = self.continue_as_new(&routine, next)?;
        Ok(Ending::ContinuedAsNew(Box::new(next)))
    }

    /// The function whose steps it runs.
    fn function_of(&self, routine: &Routine) -> Option<FunctionRef> {
        let mut routine = routine;
        loop {
            let inner = routine.frames.iter().rev().find_map(|frame| {
                let Frame::Function { function, .. } = frame else {
                    return None;
                };
                Some(*function)
            });
            match (&routine.kind, inner) {
                (_, Some(function)) => return Some(function),
                (RoutineKind::Branch { parent, .. }, None) => {
                    routine = self.run.routines.get(parent)?;
                }
                (_, None) => return None,
            }
        }
    }

    /// Whether it runs steps of the workflow's body: its own or those of a block that it calls, not a handler's.
    pub(crate) fn is_of_main(&self, routine: &Routine) -> bool {
        let mut kind = &routine.kind;
        while let RoutineKind::Branch { parent, .. } = kind {
            match self.run.routines.get(parent) {
                Some(parent) => kind = &parent.kind,
                None => return false,
            }
        }
        *kind == RoutineKind::Main
    }
}

/// The frame of the workflow's body itself: its effects are those of the run, until the run has ended.
fn is_of_the_run(frame: &Frame) -> bool {
    matches!(
        frame,
        Frame::Function {
            function: FunctionRef::Main,
            ..
        }
    )
}
