//! Timers (sdk-core 0.10.1, machines/timer_state_machine.rs).

use temporalio_protos::coresdk::workflow_activation as jobs;
use temporalio_protos::coresdk::workflow_activation::workflow_activation_job::Variant;

use super::super::replay::Divergence;
use super::table::{Row, Table};
use super::{Kind, Machines, Request};
use crate::history::{End, Progress, Stage};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    Commanded,
    /// Cancelled before its command was sent.
    Withdrawn,
    Running,
    Fired,
    Cancelled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    Recorded,
    Cancel,
    Fired,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Effect {
    Nothing,
    Fire,
    SendCancel,
}

impl Table for Timer {
    const NAME: &'static str = "timer";
    type Input = Input;
    type Effect = Effect;

    fn rows() -> &'static [Row<Self>] {
        use Timer::*;
        const ROWS: &[Row<Timer>] = &[
            row(Commanded, &[Input::Recorded], Running, Effect::Nothing),
            row(Commanded, &[Input::Cancel], Withdrawn, Effect::Nothing),
            row(Running, &[Input::Fired], Fired, Effect::Fire),
            row(Running, &[Input::Cancel], Cancelled, Effect::SendCancel),
        ];
        ROWS
    }
}

const fn row(from: Timer, on: &'static [Input], to: Timer, effect: Effect) -> Row<Timer> {
    Row {
        from,
        on,
        to,
        effect,
    }
}

impl Machines {
    pub(super) fn timer_input(&mut self, place: usize, input: Input) -> Result<(), Divergence> {
        let machine = &mut self.machines[place];
        let Kind::Timer { seq, state } = &mut machine.kind else {
            return Err(machine.is_no("timer"));
        };
        match state.take(input)? {
            Effect::Nothing => {}
            Effect::Fire => {
                let job = jobs::FireTimer { seq: *seq };
                self.jobs.push(Variant::FireTimer(job));
            }
            Effect::SendCancel => {
                let started_event_id = machine.event_id;
                self.ask_about(place, Request::CancelTimer { started_event_id });
            }
        }
        Ok(())
    }

    pub(super) fn timer_progress(
        &mut self,
        place: usize,
        progress: &Progress<'_>,
    ) -> Result<(), Divergence> {
        match progress.stage {
            Stage::Ended(End::Completed(_)) => self.timer_input(place, Input::Fired),
            Stage::Started { .. } | Stage::Ended(_) => Err(Divergence::unexpected(progress)),
        }
    }
}
