//! A deployment as text for people and as JSON for scripts.

use serde_json::{Value as Json, json};

use super::{Proposal, Told};
use crate::cli::deploy::schedules;
use crate::cli::error::CliError;
use crate::cli::print::{Output, Tone, styled};
use crate::difference::Differences;
use crate::registry::deploy::{Action, Deployment, Held, Share, Step};
use crate::report::{Format, Report};

impl Proposal {
    pub(crate) fn is_empty(&self) -> bool {
        self.plan.is_empty() && self.schedules.is_empty()
    }

    /// Whether the definition of a type is unchanged.
    fn is_unchanged(&self, workflow: &str) -> bool {
        !self.plan.steps.iter().any(|step| step.workflow == workflow)
    }

    /// The differences of a step, and the version whose schedules stay if those of the new one differ: schedules are
    /// created from the current version, which a share of new runs, a pin or `--no-route` does not change.
    fn differences(&self, step: &Step) -> (Option<Differences>, Option<u32>) {
        let Some(all) = self.compared.get(&step.workflow) else {
            return (None, None);
        };
        if step.share == Share::All {
            return (Some(all.clone()), None);
        }
        let shown = all.without_schedules();
        let is_less = shown.as_ref().map(|d| d.differences.len()) != Some(all.differences.len());
        let current = self.after.definition(&step.workflow).map(|d| d.current);
        (shown, current.filter(|_| is_less))
    }

    fn file(&self, step: &Step) -> Option<String> {
        let found = self.found.get(&step.workflow);
        found.map(|(_, file)| file.to_string())
    }

    pub(crate) fn print(&self, output: Output) -> Result<(), CliError> {
        for step in &self.plan.steps {
            let (tone, sign) = match step.action {
                Action::Add { .. } => (Tone::Good, "+"),
                Action::Retire { .. } => (Tone::Bad, "-"),
                Action::Change { .. } | Action::Restore { .. } => (Tone::Odd, "~"),
            };
            output.line(format!(
                "{} {}  {}",
                styled(tone, format!("{sign} {}", step.workflow)),
                words(step),
                styled(Tone::Dim, self.file(step).unwrap_or_default())
            ))?;
            let (differences, schedules_stay) = self.differences(step);
            let text = differences.map(|d| d.text()).unwrap_or_default();
            for line in text.lines() {
                output.line(format!("    {line}"))?;
            }
            if let Some(version) = schedules_stay {
                output.line(format!("    schedules stay those of version {version}"))?;
            }
        }
        for held in &self.plan.held {
            output.line(format!(
                "{} {}",
                styled(Tone::Odd, format!("= {}", held.workflow)),
                held_words(held)
            ))?;
        }
        for mend in &self.plan.mends {
            let name = mend.definition.name_of(mend.version.number);
            output.line(format!(
                "{} is stored again: it can no longer be read ({})",
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
            count(|a| matches!(a, Action::Add { .. })),
            count(|a| matches!(a, Action::Change { .. } | Action::Restore { .. })),
            count(|a| matches!(a, Action::Retire { .. })),
            self.plan.unchanged
        ))?;
        match schedules::summary(&self.schedules) {
            Some(summary) => output.line(summary),
            None => Ok(()),
        }
    }

    pub(crate) fn json(&self) -> Json {
        let steps = self.plan.steps.iter().map(|step| {
            let (action, from) = match step.action {
                Action::Add { .. } => ("add", None),
                Action::Change { from, .. } => ("change", Some(from)),
                Action::Restore { from, .. } => ("restore", Some(from)),
                Action::Retire { from } => ("retire", Some(from)),
            };
            let percent = match step.share {
                Share::All => 100,
                Share::Percent(percent) => percent,
                Share::None | Share::Pinned => 0,
            };
            let (differences, schedules_stay) = self.differences(step);
            json!({
                "workflow": step.workflow, "action": action, "from": from, "to": step.action.to(), "file": self.file(step),
                "percent": step.action.to().map(|_| percent),
                "pinned": step.share == Share::Pinned, "endsRamp": step.ends_ramp,
                "differences": differences.as_ref().map(Differences::json), "schedulesStay": schedules_stay,
            })
        });
        let held = self.plan.held.iter().map(|held| {
            let ramp = |(version, percent)| json!({ "version": version, "percent": percent });
            json!({
                "workflow": held.workflow, "current": held.current, "pinned": held.is_pinned,
                "ramp": held.ramp.map(ramp), "folder": held.folder,
            })
        });
        let mends = self.plan.mends.iter().map(|mend| {
            json!({ "version": mend.definition.name_of(mend.version.number), "why": mend.why })
        });
        let done = self.done.as_ref();
        let checked = self.checked.as_ref();
        json!({
            "project": self.plan.project,
            "revision": done.map_or(self.plan.base, |done| done.revision),
            "deployed": done.is_some(),
            "versions": done.map(|done| done.versions.as_slice()).unwrap_or_default(),
            "changes": steps.collect::<Vec<_>>(),
            "held": held.collect::<Vec<_>>(),
            "unchanged": self.plan.unchanged,
            "storedAgain": mends.collect::<Vec<_>>(),
            "schedules": schedules::json(&self.schedules, |workflow| self.is_unchanged(workflow)),
            "checked": checked.map_or(Json::Null, |checked| checked.json()),
            "checkedDefinitions": checked.map_or(Json::Null, |checked| checked.definitions_json()),
        })
    }
}

/// The output of a refused deployment: as much as is known, and why it was refused.
pub(crate) fn refused(told: &Told, why: &CliError) -> Json {
    let mut json = match &told.proposal {
        Some(proposal) => proposal.json(),
        None => json!({ "deployed": false }),
    };
    json["refused"] = why.json();
    if let Some(diagnostics) = &told.diagnostics {
        json["diagnostics"] = diagnostics.clone();
    }
    json
}

/// In the form of `segno lint`.
pub(crate) fn diagnostics(report: &Report<'_>) -> Json {
    let document: Json =
        serde_json::from_str(&report.render(Format::Json, false)).unwrap_or_default();
    document["diagnostics"].clone()
}

/// `deployed revision 87: order@13, ship@4`
pub(crate) fn deployed(done: &Deployment) -> String {
    let versions = match done.versions.as_slice() {
        [] => String::new(),
        versions => format!(": {}", versions.join(", ")),
    };
    format!(
        "{} revision {}{versions}",
        styled(Tone::Good, "deployed"),
        done.revision
    )
}

fn words(step: &Step) -> String {
    let mut words = match step.action {
        Action::Add { to } => format!("new, as version {to}"),
        Action::Change { from, to } => format!("from version {from} to {to}"),
        Action::Restore { from, to } => {
            format!("from version {from} to version {to}, which already exists")
        }
        Action::Retire { from } => {
            format!("version {from} gets no new runs; those in flight continue")
        }
    };
    let more = match (step.share, &step.action) {
        (Share::All, _) => String::new(),
        (Share::Percent(percent), _) => {
            format!("; {percent} % of new runs get it, the others stay")
        }
        (Share::None, _) => "; no new runs get it".to_owned(),
        (Share::Pinned, _) => "; new runs stay with the pinned version".to_owned(),
    };
    words.push_str(&more);
    if step.ends_ramp {
        words.push_str("; ends the ramp");
    }
    words
}

fn held_words(held: &Held) -> String {
    let mut words = match (held.is_pinned, held.ramp) {
        (true, None) => format!("is pinned to version {}", held.current),
        (true, Some((ramp, percent))) => format!(
            "is pinned to version {}, and {percent} % of new runs get version {ramp}",
            held.current
        ),
        (false, Some((ramp, percent))) => format!(
            "stays at {percent} % of new runs with version {ramp}, the others with version {}",
            held.current
        ),
        (false, None) => format!("stays at version {}", held.current),
    };
    match held.folder {
        None => words
            .push_str("; the folder no longer has it, but it is not retired while it is pinned"),
        Some(folder) if folder != held.current || held.ramp.is_some() => {
            words.push_str(&format!("; the folder has version {folder}"));
        }
        Some(_) => {}
    }
    words
}
