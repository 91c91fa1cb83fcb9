//! Refuses blocks that call themselves, directly or through others: they would never end.

use std::collections::BTreeMap;

use super::scope::called_blocks;
use crate::definition::Block;
use crate::diagnostic::Diagnostic;
use crate::limits::DIAGNOSTICS_PER_FILE_MAX;

/// Blocks of a cycle that a message names.
const SHOWN_MAX: usize = 16;

pub(crate) fn refuse(blocks: &[&Block]) -> Vec<Diagnostic> {
    let calls = Calls::new(blocks);
    let circles = calls.circles();
    let circular = (0..blocks.len()).filter(|i| circles[*i].is_some());
    // Further diagnostics would not be read.
    let shown = circular.take(DIAGNOSTICS_PER_FILE_MAX + 1);
    shown.map(|i| calls.refused(i, &circles)).collect()
}

struct Calls<'a> {
    blocks: &'a [&'a Block],
    /// The blocks that each block calls, in the order of the text.
    called: Vec<Vec<usize>>,
}

impl<'a> Calls<'a> {
    fn new(blocks: &'a [&'a Block]) -> Self {
        // A name denotes the first block that has it.
        let by_name: BTreeMap<&str, usize> = blocks
            .iter()
            .enumerate()
            .rev()
            .map(|(i, block)| (&*block.name.value, i))
            .collect();
        let called = blocks.iter().map(|block| {
            let names = called_blocks(&block.steps);
            let known = names.iter().filter_map(|name| by_name.get(&**name));
            known.copied().collect()
        });
        Calls {
            blocks,
            called: called.collect(),
        }
    }

    /// For each block, the cycle that it is in, if any. Tarjan's algorithm, on a stack of its own: calls may be
    /// thousands deep.
    fn circles(&self) -> Vec<Option<usize>> {
        let count = self.blocks.len();
        let (mut order, mut lowest) = (vec![0; count], vec![0; count]);
        let mut circles = vec![None; count];
        let (mut is_open, mut open, mut next) = (vec![false; count], Vec::new(), 1);
        for first in 0..count {
            if order[first] != 0 {
                continue;
            }
            let mut path = vec![(first, 0)];
            while let Some((block, at)) = path.last_mut() {
                let block = *block;
                if *at == 0 {
                    (order[block], lowest[block]) = (next, next);
                    next += 1;
                    is_open[block] = true;
                    open.push(block);
                }
                if let Some(called) = self.called[block].get(*at).copied() {
                    *at += 1;
                    if order[called] == 0 {
                        path.push((called, 0));
                    } else if is_open[called] {
                        lowest[block] = lowest[block].min(order[called]);
                    }
                    continue;
                }
                path.pop();
                if let Some((caller, _)) = path.last() {
                    lowest[*caller] = lowest[*caller].min(lowest[block]);
                }
                if lowest[block] == order[block] {
                    let start = open.iter().rposition(|b| *b == block).unwrap_or(0);
                    let closed = open.split_off(start);
                    let is_circle = closed.len() > 1 || self.called[block].contains(&block);
                    for one in closed {
                        is_open[one] = false;
                        circles[one] = is_circle.then_some(block);
                    }
                }
            }
        }
        circles
    }

    fn refused(&self, block: usize, circles: &[Option<usize>]) -> Diagnostic {
        let names = self.way_around(block, circles).into_iter();
        let mut names: Vec<&str> = names.map(|i| &*self.blocks[i].name.value).collect();
        if names.len() > SHOWN_MAX {
            names.splice(SHOWN_MAX / 2..names.len() - SHOWN_MAX / 2, ["…"]);
        }
        let name = &self.blocks[block].name;
        let message = format!(
            "the block `{}` calls itself: {}",
            name.value,
            names.join(" → ")
        );
        Diagnostic::error("recursive-block", name.range, message)
            .help("use a loop, or a child workflow")
    }

    /// The first path from a block back to itself, in the order of the text.
    fn way_around(&self, block: usize, circles: &[Option<usize>]) -> Vec<usize> {
        let mut seen = vec![false; self.blocks.len()];
        let mut path = vec![(block, 0)];
        while let Some((from, at)) = path.last_mut() {
            let Some(called) = self.called[*from].get(*at).copied() else {
                path.pop();
                continue;
            };
            *at += 1;
            if called == block {
                break;
            }
            if circles[called] == circles[block] && !std::mem::replace(&mut seen[called], true) {
                path.push((called, 0));
            }
        }
        let way = path.into_iter().map(|(one, _)| one);
        way.chain([block]).collect()
    }
}
