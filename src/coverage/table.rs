//! Coverage for people: a line for each file, with its gaps.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::{Coverage, Share, Totals};

const ALL: &str = "all";

impl Coverage {
    pub(crate) fn json(&self) -> Json {
        let files = self.files.iter().map(|(path, file)| {
            let mut json = file.totals().json();
            json["file"] = (&**path).into();
            json["lines_with_gaps"] = file.lines_with_gaps().into();
            json
        });
        let files: Vec<Json> = files.collect();
        let mut json = self.totals().json();
        json["files"] = files.into();
        json
    }

    pub fn table(&self) -> String {
        let width = self.files.keys().map(|path| path.chars().count()).max();
        let width = width.unwrap_or_default().max(ALL.len());
        let mut text = format!(
            "{:width$}  {:>14}  {:>14}  {:>14}  lines with gaps\n",
            "", "steps", "branches", "expressions"
        );
        for (path, file) in &self.files {
            let gaps = stretches(&file.lines_with_gaps());
            line(&mut text, width, path, file.totals(), &gaps);
        }
        line(&mut text, width, ALL, self.totals(), "");
        text
    }
}

fn line(text: &mut String, width: usize, name: &str, totals: Totals, gaps: &str) {
    let (steps, branches) = (share(totals.steps), share(totals.branches));
    let line = format!(
        "{name:width$}  {steps:>14}  {branches:>14}  {:>14}  {gaps}",
        share(totals.expressions)
    );
    let _ = writeln!(text, "{}", line.trim_end());
}

impl Totals {
    fn json(self) -> Json {
        let share = |share: Share| json!({ "covered": share.covered, "all": share.all, "percent": share.percent() });
        json!({
            "steps": share(self.steps),
            "branches": share(self.branches),
            "expressions": share(self.expressions),
        })
    }
}

fn share(share: Share) -> String {
    match share.all {
        0 => "none".to_owned(),
        all => format!("{}/{all} {:>5.1}%", share.covered, share.percent()),
    }
}

/// `3, 5-7`: consecutive lines as one range.
fn stretches(lines: &[u32]) -> String {
    let mut found: Vec<(u32, u32)> = Vec::new();
    for line in lines {
        match found.last_mut() {
            Some((_, last)) if *last + 1 == *line => *last = *line,
            _ => found.push((*line, *line)),
        }
    }
    let text = |(first, last): &(u32, u32)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    found.iter().map(text).collect::<Vec<_>>().join(", ")
}
