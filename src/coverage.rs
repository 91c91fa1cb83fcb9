//! Which steps, branches and expressions of definitions runs executed: what exists, and how often it was reached.

#![deny(clippy::wildcard_enum_match_arm)]

mod annotated;
mod lcov;
mod outline;
mod recorder;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use recorder::Recorder;

use crate::program::Program;
use crate::source::{File, Range};

/// Coverage of every file of the programs, by its path. Files that several programs use are counted together.
#[derive(Debug, Default)]
pub struct Coverage {
    files: BTreeMap<Arc<str>, FileCoverage>,
}

#[derive(Debug)]
struct FileCoverage {
    file: File,
    /// By their start and name.
    functions: BTreeMap<(u32, Arc<str>), u64>,
    /// By the place of its action's key.
    steps: BTreeMap<u32, u64>,
    /// By the step and the number of its branch.
    branches: BTreeMap<(u32, u32), Branch>,
    /// By its start and end.
    expressions: BTreeMap<(u32, u32), u64>,
}

#[derive(Debug)]
struct Branch {
    name: String,
    hits: u64,
}

/// How much there is, and how much of it was reached.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    pub covered: u64,
    pub all: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    pub(crate) steps: Share,
    pub(crate) branches: Share,
    pub(crate) expressions: Share,
}

impl Coverage {
    pub fn new() -> Self {
        Coverage::default()
    }

    /// Adds everything that the program has, reached or not.
    pub fn define(&mut self, program: &Program) {
        self.add(program, &recorder::Counts::default());
    }

    /// Adds what the runs of a recorder did.
    pub fn count(&mut self, recorder: &Recorder) {
        recorder.each(|program, counts| self.add(program, counts));
    }

    fn add(&mut self, program: &Program, counts: &recorder::Counts) {
        for (index, range) in program.ranges.numbered() {
            let hits = recorder::hits(&counts.steps, index as usize);
            *self
                .file(program, *range)
                .steps
                .entry(range.start)
                .or_default() += hits;
        }
        for arm in outline::arms(program) {
            let range = program.ranges[arm.step.0 as usize];
            let branches = &mut self.file(program, range).branches;
            let branch = branches.entry((range.start, arm.index)).or_insert(Branch {
                name: arm.name,
                hits: 0,
            });
            branch.hits += counts.arm(arm.step, &arm.way);
        }
        for range in &program.expressions {
            let hits = counts.expressions.get(range).copied().unwrap_or_default();
            let expressions = &mut self.file(program, *range).expressions;
            *expressions.entry((range.start, range.end)).or_default() += hits;
        }
        for (name, body) in outline::functions(program) {
            // An empty body has no place.
            let Some(first) = program.block(body).first() else {
                continue;
            };
            let range = program.ranges[first.0 as usize];
            let hits = recorder::hits(&counts.blocks, body.0 as usize);
            let functions = &mut self.file(program, range).functions;
            *functions.entry((range.start, name)).or_default() += hits;
        }
    }

    fn file(&mut self, program: &Program, range: Range) -> &mut FileCoverage {
        let file = program.sources.file(range.file);
        self.files
            .entry(file.path.clone())
            .or_insert_with(|| FileCoverage {
                file: file.clone(),
                functions: BTreeMap::new(),
                steps: BTreeMap::new(),
                branches: BTreeMap::new(),
                expressions: BTreeMap::new(),
            })
    }

    pub fn totals(&self) -> Totals {
        let each = self.files.values().map(FileCoverage::totals);
        each.fold(Totals::default(), Totals::plus)
    }
}

impl FileCoverage {
    fn totals(&self) -> Totals {
        Totals {
            steps: Share::of(self.steps.values().copied()),
            branches: Share::of(self.branches.values().map(|b| b.hits)),
            expressions: Share::of(self.expressions.values().copied()),
        }
    }

    fn line(&self, offset: u32) -> u32 {
        self.file.position(offset).line
    }

    /// How often each line with a step or an expression was reached: the maximum of the steps that begin in it, or of
    /// its expressions if no step does.
    fn lines(&self) -> BTreeMap<u32, u64> {
        let mut lines = BTreeMap::new();
        for (offset, hits) in &self.steps {
            let most: &mut u64 = lines.entry(self.line(*offset)).or_default();
            *most = (*most).max(*hits);
        }
        let mut others = BTreeMap::new();
        for ((start, _), hits) in &self.expressions {
            let line = self.line(*start);
            if !lines.contains_key(&line) {
                let most: &mut u64 = others.entry(line).or_default();
                *most = (*most).max(*hits);
            }
        }
        lines.extend(others);
        lines
    }

    /// Lines with a step, an expression or a branch that was never reached.
    fn lines_with_gaps(&self) -> Vec<u32> {
        let steps = self.steps.iter().map(|(at, hits)| (*at, *hits));
        let branches = self.branches.iter().map(|((at, _), b)| (*at, b.hits));
        let expressions = self.expressions.iter().map(|((at, _), hits)| (*at, *hits));
        let all = steps.chain(branches).chain(expressions);
        let mut lines: Vec<u32> = all
            .filter(|(_, hits)| *hits == 0)
            .map(|(offset, _)| self.line(offset))
            .collect();
        lines.sort_unstable();
        lines.dedup();
        lines
    }
}

impl Share {
    fn of(hits: impl Iterator<Item = u64>) -> Self {
        hits.fold(Share::default(), |share, hits| Share {
            covered: share.covered + u64::from(hits > 0),
            all: share.all + 1,
        })
    }

    fn plus(self, other: Share) -> Share {
        Share {
            covered: self.covered + other.covered,
            all: self.all + other.all,
        }
    }

    /// Without anything to cover, nothing is missing.
    pub(crate) fn percent(self) -> f64 {
        match self.all {
            0 => 100.0,
            all => self.covered as f64 * 100.0 / all as f64,
        }
    }
}

impl Totals {
    fn plus(self, other: Totals) -> Totals {
        Totals {
            steps: self.steps.plus(other.steps),
            branches: self.branches.plus(other.branches),
            expressions: self.expressions.plus(other.expressions),
        }
    }

    /// Steps, branches and expressions together, for `--min-coverage`.
    pub fn together(self) -> Share {
        self.steps.plus(self.branches).plus(self.expressions)
    }
}
