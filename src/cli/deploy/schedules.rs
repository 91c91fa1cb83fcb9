//! The effects of a deployment on schedules, for people and for scripts.

use serde_json::{Value as Json, json};

use crate::cli::error::CliError;
use crate::cli::print::{Output, Tone, styled};
use crate::registry::schedules::{Action, Difference, Step};

/// `is_drift`: whether the definition of the type is unchanged, so that only the server is different.
pub(crate) fn print(
    steps: &[Step],
    is_drift: impl Fn(&str) -> bool,
    output: Output,
) -> Result<(), CliError> {
    for step in steps {
        let mut words = match step.action {
            Action::Create(_) => "new",
            Action::Update(_) if is_drift(&step.workflow) => "was changed on the server",
            Action::Update(_) => "changes in place",
            Action::Remove => "is removed",
        }
        .to_owned();
        if step.is_paused && !matches!(step.action, Action::Remove) {
            words.push_str("; it stays paused");
        }
        let (tone, sign) = match step.action {
            Action::Create(_) => (Tone::Good, "+"),
            Action::Update(_) => (Tone::Odd, "~"),
            Action::Remove => (Tone::Bad, "-"),
        };
        let name = styled(tone, format!("{sign} schedule {}", step.schedule_id));
        output.line(format!("{name} {words}"))?;
        for line in lines(&step.action) {
            output.line(format!("    {line}"))?;
        }
    }
    Ok(())
}

fn lines(action: &Action) -> Vec<String> {
    let value = |value: &Option<String>| value.clone().unwrap_or("nothing".to_owned());
    let change = |d: &Difference| format!("~ `{}`: {} → {}", d.key, value(&d.from), value(&d.to));
    match action {
        Action::Create(facts) => facts
            .iter()
            .map(|(key, value)| format!("+ `{key}`: {value}"))
            .collect(),
        Action::Update(differences) => differences.iter().map(change).collect(),
        Action::Remove => Vec::new(),
    }
}

/// `2 schedules to create, 0 to change, 1 to remove`; `None` if there are none.
pub(crate) fn summary(steps: &[Step]) -> Option<String> {
    let count = |is: fn(&Action) -> bool| steps.iter().filter(|s| is(&s.action)).count();
    (!steps.is_empty()).then(|| {
        format!(
            "schedules: {} to create, {} to change, {} to remove",
            count(|a| matches!(a, Action::Create(_))),
            count(|a| matches!(a, Action::Update(_))),
            count(|a| matches!(a, Action::Remove)),
        )
    })
}

pub(crate) fn json(steps: &[Step], is_drift: impl Fn(&str) -> bool) -> Json {
    let step = |step: &Step| {
        let (action, differences): (_, Vec<Json>) = match &step.action {
            Action::Create(facts) => {
                let new = |(key, to): &(_, _)| json!({ "key": key, "from": null, "to": to });
                ("create", facts.iter().map(new).collect())
            }
            Action::Update(differences) => {
                let change = |d: &Difference| json!({ "key": d.key, "from": d.from, "to": d.to });
                ("update", differences.iter().map(change).collect())
            }
            Action::Remove => ("remove", Vec::new()),
        };
        json!({
            "scheduleId": step.schedule_id, "workflow": step.workflow, "action": action,
            "drift": action == "update" && is_drift(&step.workflow),
            "paused": step.is_paused, "differences": differences,
        })
    };
    steps.iter().map(step).collect()
}
