//! Counts what runs execute, by program; one recorder may observe many runs at the same time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::outline::Way;
use crate::engine::Loaded;
use crate::engine::observe::{Event, Moment, Observer};
use crate::program::Program;
use crate::source::Range;
use crate::words::StepId;

#[derive(Debug, Default)]
pub struct Recorder {
    programs: Mutex<Vec<(Arc<Loaded>, Counts)>>,
}

/// By the numbers of a program's steps and blocks.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) steps: Vec<u64>,
    pub(crate) blocks: Vec<u64>,
    pub(crate) expressions: BTreeMap<Range, u64>,
    skipped: Vec<u64>,
    left_out: Vec<u64>,
    won: BTreeMap<(StepId, u32), u64>,
}

impl Recorder {
    pub fn new() -> Self {
        Recorder::default()
    }

    pub(crate) fn each(&self, mut take: impl FnMut(&Program, &Counts)) {
        let programs = self.programs.lock();
        let programs = programs.unwrap_or_else(PoisonError::into_inner);
        programs
            .iter()
            .for_each(|(loaded, counts)| take(&loaded.program, counts));
    }
}

impl Observer for Recorder {
    fn saw(&self, moment: &Moment<'_>, event: Event<'_>) {
        let programs = self.programs.lock();
        let mut programs = programs.unwrap_or_else(PoisonError::into_inner);
        let known = programs
            .iter()
            .position(|(loaded, _)| Arc::ptr_eq(loaded, moment.loaded));
        let index = known.unwrap_or_else(|| {
            programs.push((moment.loaded.clone(), Counts::default()));
            programs.len() - 1
        });
        programs[index].1.saw(event);
    }
}

impl Counts {
    fn saw(&mut self, event: Event<'_>) {
        match event {
            Event::StepBegan { step, .. } => add(&mut self.steps, step.0),
            Event::StepSkipped { step } => add(&mut self.skipped, step.0),
            Event::BlockEntered { block } => add(&mut self.blocks, block.0),
            Event::BodyLeftOut { step } => add(&mut self.left_out, step.0),
            Event::RaceWon { step, branch } => *self.won.entry((step, branch)).or_default() += 1,
            Event::Evaluated { range, .. } => *self.expressions.entry(range).or_default() += 1,
            Event::StepEnded { .. } | Event::SignalsSettled { .. } => {}
        }
    }

    pub(crate) fn arm(&self, step: StepId, way: &Way) -> u64 {
        let place = step.0 as usize;
        match way {
            Way::Block(block) => hits(&self.blocks, block.0 as usize),
            Way::BodyLeftOut => hits(&self.left_out, place),
            Way::Skipped => hits(&self.skipped, place),
            Way::NotSkipped => hits(&self.steps, place),
            Way::RaceWonBy(branch) => self.won.get(&(step, *branch)).copied().unwrap_or_default(),
        }
    }
}

fn add(counts: &mut Vec<u64>, number: u32) {
    let place = number as usize;
    if counts.len() <= place {
        counts.resize(place + 1, 0);
    }
    counts[place] += 1;
}

pub(crate) fn hits(counts: &[u64], place: usize) -> u64 {
    counts.get(place).copied().unwrap_or_default()
}
