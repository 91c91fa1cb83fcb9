//! A deployment as text for people and as JSON for scripts.

use serde_json::{Value as Json, json};

use super::{Proposal, schedules};
use crate::cli::output::{CliError, Output, Tone, styled};
use crate::difference::Differences;
use crate::registry::deploy::{Action, Step};

impl Proposal {
    pub fn is_empty(&self) -> bool {
        self.plan.is_empty() && self.schedules.is_empty()
    }

    /// Whether the definition of a type stays as it is.
    fn is_unchanged(&self, workflow: &str) -> bool {
        !self.plan.steps.iter().any(|step| step.workflow == workflow)
    }

    fn file(&self, step: &Step) -> Option<String> {
        let found = self.found.get(&step.workflow);
        found.map(|(_, file)| file.to_string())
    }

    pub fn print(&self, output: Output) -> Result<(), CliError> {
        for step in &self.plan.steps {
            let (tone, sign) = match step.action {
                Action::Add => (Tone::Good, "+"),
                Action::Retire { .. } => (Tone::Bad, "-"),
                Action::Change { .. } | Action::Restore { .. } => (Tone::Odd, "~"),
            };
            output.line(format!(
                "{} {}  {}",
                styled(tone, format!("{sign} {}", step.workflow)),
                words(step),
                styled(Tone::Dim, self.file(step).unwrap_or_default())
            ))?;
            if let Some(differences) = self.compared.get(&step.workflow) {
                for line in differences.text().lines() {
                    output.line(format!("    {line}"))?;
                }
            }
        }
        for mend in &self.plan.mends {
            let name = mend.definition.name_of(mend.version.number);
            output.line(format!(
                "{} is stored again: it cannot be read any more ({})",
                styled(Tone::Odd, format!("! {name}")),
                mend.why
            ))?;
        }
        schedules::print(
            &self.schedules,
            |workflow| self.is_unchanged(workflow),
            output,
        )?;
        let steps = &self.plan.steps;
        let count = |is: fn(&Action) -> bool| steps.iter().filter(|s| is(&s.action)).count();
        output.line(format!(
            "{} to add, {} to change, {} to retire, {} unchanged",
            count(|a| matches!(a, Action::Add)),
            count(|a| matches!(a, Action::Change { .. } | Action::Restore { .. })),
            count(|a| matches!(a, Action::Retire { .. })),
            self.plan.unchanged
        ))?;
        match schedules::summary(&self.schedules) {
            Some(summary) => output.line(summary),
            None => Ok(()),
        }
    }

    pub fn json(&self, revision: u64, is_done: bool) -> Json {
        let steps = self.plan.steps.iter().map(|step| {
            let (action, from, to) = match step.action {
                Action::Add => ("add", None, None),
                Action::Change { from } => ("change", Some(from), None),
                Action::Restore { from, to } => ("restore", Some(from), Some(to)),
                Action::Retire { from } => ("retire", Some(from), None),
            };
            json!({
                "workflow": step.workflow, "action": action, "from": from, "to": to, "file": self.file(step),
                "pinned": step.is_pinned, "endsRamp": step.ends_ramp,
                "differences": self.compared.get(&step.workflow).map(Differences::json),
            })
        });
        let mends = self.plan.mends.iter().map(|mend| {
            json!({ "version": mend.definition.name_of(mend.version.number), "why": mend.why })
        });
        json!({
            "project": self.plan.project,
            "revision": revision,
            "deployed": is_done,
            "changes": steps.collect::<Vec<_>>(),
            "unchanged": self.plan.unchanged,
            "storedAgain": mends.collect::<Vec<_>>(),
            "schedules": schedules::json(&self.schedules, |workflow| self.is_unchanged(workflow)),
            "checked": self.checked.as_ref().map_or(Json::Null, |checked| checked.json()),
        })
    }
}

fn words(step: &Step) -> String {
    let mut words = match step.action {
        Action::Add => "new".to_owned(),
        Action::Change { from } => format!("from version {from} to a new one"),
        Action::Restore { from, to } => format!("from version {from} back to version {to}"),
        Action::Retire { from } => {
            format!("version {from} gets no new runs; those in flight go on")
        }
    };
    if step.is_pinned {
        words.push_str("; new runs stay with the pinned version");
    }
    if step.ends_ramp {
        words.push_str("; ends the ramp");
    }
    words
}
