//! Coverage beside the author's text: how often each line was reached, and which branches never were.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Coverage, FileCoverage};

/// Shown instead of a count.
const NEVER: &str = "never";

impl Coverage {
    /// Each file's path, and its text with counts.
    pub fn annotated(&self) -> Vec<(String, String)> {
        let files = self.files.iter();
        files
            .map(|(path, file)| (path.to_string(), file.annotated()))
            .collect()
    }
}

impl FileCoverage {
    fn annotated(&self) -> String {
        let lines = self.lines();
        let mut gaps: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for ((step, _), branch) in &self.branches {
            if branch.hits == 0 {
                let what = format!("never: {}", branch.name);
                gaps.entry(self.line(*step)).or_default().push(what);
            }
        }
        for ((start, end), hits) in &self.expressions {
            let line = self.line(*start);
            // If a line was never reached, its other gaps are not worth reporting.
            if *hits == 0 && lines.get(&line).is_some_and(|hits| *hits > 0) {
                let text = self.file.text.get(*start as usize..*end as usize);
                let first = text
                    .and_then(|text| text.lines().next())
                    .unwrap_or_default();
                gaps.entry(line)
                    .or_default()
                    .push(format!("never evaluated: {first}"));
            }
        }
        let mut text = String::new();
        for (number, line) in (1..).zip(self.file.text.lines()) {
            let count = match lines.get(&number) {
                None => String::new(),
                Some(0) => NEVER.to_owned(),
                Some(hits) => hits.to_string(),
            };
            let _ = writeln!(text, "{}", format!("{count:>7} │ {line}").trim_end());
            let indent: String = line.chars().take_while(|c| *c == ' ').collect();
            for gap in gaps.get(&number).into_iter().flatten() {
                let _ = writeln!(text, "{:>7} │ {indent}# {gap}", "");
            }
        }
        text
    }
}
