//! Coverage as a tracefile of LCOV, which editors, `genhtml` and code hosts read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::{Coverage, FileCoverage, Share};

impl Coverage {
    pub fn lcov(&self) -> String {
        let mut text = String::new();
        for (path, file) in &self.files {
            let _ = writeln!(text, "TN:\nSF:{path}");
            file.lcov(&mut text);
            text.push_str("end_of_record\n");
        }
        text
    }
}

impl FileCoverage {
    fn lcov(&self, text: &mut String) {
        for (start, name) in self.functions.keys() {
            let _ = writeln!(text, "FN:{},{name}", self.line(*start));
        }
        for ((_, name), hits) in &self.functions {
            let _ = writeln!(text, "FNDA:{hits},{name}");
        }
        let functions = Share::of(self.functions.values().copied());
        let _ = writeln!(text, "FNF:{}\nFNH:{}", functions.all, functions.covered);
        // A step is a block of LCOV; `-` means that control never reached the step.
        let reached: BTreeSet<u32> = self
            .branches
            .iter()
            .filter(|(_, branch)| branch.hits > 0)
            .map(|((step, _), _)| *step)
            .collect();
        let mut blocks = BTreeMap::new();
        for ((step, index), branch) in &self.branches {
            let next = blocks.len();
            let block = *blocks.entry(*step).or_insert(next);
            let is_reached = reached.contains(step) || self.steps.get(step).is_some_and(|h| *h > 0);
            let taken = match is_reached {
                true => branch.hits.to_string(),
                false => "-".to_owned(),
            };
            let _ = writeln!(text, "BRDA:{},{block},{index},{taken}", self.line(*step));
        }
        let branches = Share::of(self.branches.values().map(|b| b.hits));
        let _ = writeln!(text, "BRF:{}\nBRH:{}", branches.all, branches.covered);
        let lines = self.lines();
        for (line, hits) in &lines {
            let _ = writeln!(text, "DA:{line},{hits}");
        }
        let lines = Share::of(lines.values().copied());
        let _ = writeln!(text, "LF:{}\nLH:{}", lines.all, lines.covered);
    }
}
