//! A program without what no run of it can reach.
//!
//! A library may have thousands of blocks of which a definition calls one. Without this, a worker that serves many
//! definitions would keep all of them once for each.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::{Action, Function, Program, Step};
use crate::words::CompensateOn;

/// The places of a function's parts in the program's arenas.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extent {
    pub(crate) steps: Range<u32>,
    pub(crate) blocks: Range<u32>,
    pub(crate) expressions: Range<u32>,
    /// The function's part of the program's [`memory_bytes`](Program::memory_bytes).
    pub(crate) memory_bytes: usize,
}

impl Program {
    /// Leaves out the blocks that neither the workflow's steps nor its handlers call, directly or through others. The
    /// rest keeps its numbers, so that a state of one program is a state of the other.
    ///
    /// The signals that a left out block waits for remain known: they decide whether a handler of any other signal
    /// receives them.
    pub(crate) fn callable(mut self) -> Program {
        let is_called = self.called();
        if is_called.iter().all(|called| *called) {
            return self;
        }
        let left_out: Vec<Extent> = self
            .functions
            .numbered()
            .filter(|(number, _)| !is_called[*number as usize])
            .map(|(_, function)| function.extent.clone())
            .collect();
        let memory_bytes = left_out.iter().map(|extent| extent.memory_bytes);
        self.memory_bytes = self.memory_bytes.saturating_sub(memory_bytes.sum());
        let is_in = |of: fn(&Extent) -> &Range<u32>, number: u32| {
            let behind = left_out.partition_point(|extent| of(extent).end <= number);
            left_out
                .get(behind)
                .is_some_and(|extent| of(extent).contains(&number))
        };
        let mut awaited: BTreeSet<Arc<str>> = BTreeSet::new();
        let mut stays = BTreeSet::new();
        self.steps = self.steps.keeping(|number, step| {
            if !is_in(|extent| &extent.steps, number) {
                return Some(step);
            }
            let name = step.action.awaited_signal()?.clone();
            let step = awaited.insert(name.clone()).then(|| only_awaits(name))?;
            stays.insert(number);
            Some(step)
        });
        self.ranges = self.ranges.keeping(|number, range| {
            let is_there = !is_in(|extent| &extent.steps, number) || stays.contains(&number);
            is_there.then_some(range)
        });
        let blocks = self.blocks;
        self.blocks = blocks
            .keeping(|number, block| (!is_in(|extent| &extent.blocks, number)).then_some(block));
        let expressions = self.expressions.into_iter().zip(0..);
        self.expressions = expressions
            .filter(|(_, number)| !is_in(|extent| &extent.expressions, *number))
            .map(|(range, _)| range)
            .collect();
        let functions = self.functions;
        self.functions =
            functions.keeping(|number, function| is_called[number as usize].then_some(function));
        self
    }

    /// For each function of `blocks`, by its number, whether a reachable step calls it.
    fn called(&self) -> Vec<bool> {
        let mut is_called = vec![false; self.functions.len()];
        let handlers = self.signals.iter().chain(&self.updates);
        let mut open: Vec<&Function> = handlers.map(|handler| &handler.function).collect();
        open.push(&self.main);
        while let Some(function) = open.pop() {
            for number in function.extent.steps.clone() {
                let Some(Action::Call { function, .. }) =
                    self.steps.get(number as usize).map(|step| &step.action)
                else {
                    continue;
                };
                // A definition with mistakes may call an undefined block.
                let Some(is_called) = is_called.get_mut(*function as usize) else {
                    continue;
                };
                if !std::mem::replace(is_called, true) {
                    open.extend(self.functions.get(*function as usize));
                }
            }
        }
        is_called
    }
}

/// A step that never runs, which keeps the name of its signal.
fn only_awaits(name: Arc<str>) -> Step {
    Step {
        id: None,
        slot: None,
        summary: None,
        when: None,
        compensate: None,
        compensate_on: CompensateOn::default(),
        action: Action::WaitSignal {
            name,
            timeout: None,
            on_timeout: None,
        },
    }
}
