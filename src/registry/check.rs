//! What a deployment means for a run in flight. The run continues with the definition that it is bound to; what it
//! starts afterwards may be bound to what is deployed: its next run, and its children.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::deploy::{Action, Definitions, Plan};
use crate::difference::{Differences, Subject};
use crate::engine::Loaded;
use crate::engine::start::refused;
use crate::expression::Code;
use crate::program::{self, Arguments, Program};
use crate::value::Value;
use crate::words::ContinuedVersion;

/// A run, with what its history shows about what it may start.
#[derive(Debug, Clone, Default)]
pub(crate) struct InFlight {
    pub(crate) workflow_type: String,
    pub(crate) arguments: Vec<Value>,
    /// `None` if its first workflow task has not completed.
    pub(crate) bound: Option<Arc<Loaded>>,
    /// Whether its start had its definition, which the server repeats when it starts the run again.
    pub(crate) keeps_its_own: bool,
    /// Whether the server starts it again with the same input: by cron, or after a failure.
    pub(crate) begins_again: bool,
    /// The inputs of the children that it has started, by type.
    pub(crate) children: BTreeMap<String, Vec<Vec<Value>>>,
}

/// Something that a run would start with what is deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Concern {
    pub(crate) what: String,
    /// Whether it would fail; otherwise that is not known beforehand.
    pub(crate) breaks: bool,
}

/// The effects of a deployment on the workflow types whose new runs get something else.
pub(crate) struct Effects(BTreeMap<String, Effect>);

enum Effect {
    Retired,
    Changed {
        new: Arc<Loaded>,
        /// Whether the schema of the input is the same.
        takes_the_same: bool,
    },
}

impl Effects {
    /// `compared` has the differences in meaning, by workflow type.
    pub(crate) fn of(
        plan: &Plan,
        found: &Definitions,
        compared: &BTreeMap<String, Differences>,
    ) -> Effects {
        let mut effects = BTreeMap::new();
        for step in &plan.steps {
            let effect = match (&step.action, found.get(&step.workflow)) {
                (Action::Retire { .. }, _) => Effect::Retired,
                (Action::Change { .. } | Action::Restore { .. }, Some((entry, _)))
                    if step.is_routed() =>
                {
                    let differences = compared.get(&step.workflow);
                    Effect::Changed {
                        new: entry.loaded.clone(),
                        takes_the_same: differences.is_some_and(takes_the_same),
                    }
                }
                // There was no other one that accepted more.
                (Action::Add { .. }, Some((entry, _))) if step.is_routed() => Effect::Changed {
                    new: entry.loaded.clone(),
                    takes_the_same: true,
                },
                _ => continue,
            };
            effects.insert(step.workflow.clone(), effect);
        }
        Effects(effects)
    }

    /// Whether the children that a run has started are evidence about those that it will start.
    pub(crate) fn concern_children_of(&self, bound: &Loaded) -> bool {
        !self.0.is_empty() && children(&bound.program).next().is_some()
    }

    pub(crate) fn on(&self, run: &InFlight) -> Vec<Concern> {
        let Some(bound) = &run.bound else {
            let subject = "it has not started, and";
            let concern = self.with_input(&run.workflow_type, subject, &run.arguments);
            return concern.into_iter().collect();
        };
        let mut concerns = Vec::new();
        if run.begins_again && !run.keeps_its_own {
            let subject = "the server may start it again, by cron or after a failure, and then";
            concerns.extend(self.with_input(&run.workflow_type, subject, &run.arguments));
        }
        for (place, next) in continuations(&bound.program) {
            concerns.extend(self.continues(run, &place, next));
        }
        for (place, child) in children(&bound.program) {
            concerns.extend(self.starts(run, &place, child));
        }
        concerns
    }

    fn continues(
        &self,
        run: &InFlight,
        place: &str,
        next: &program::ContinueAsNew,
    ) -> Option<Concern> {
        let subject = format!("it may continue as new ({place}), and then");
        let Ok(workflow) = target(next.workflow.as_ref(), &run.workflow_type) else {
            return self.unknown_type(&subject);
        };
        let given = match &next.arguments {
            None => Some(run.arguments.clone()),
            Some(arguments) => constants(arguments),
        };
        if let Some(given) = given {
            return self.with_input(workflow, &subject, &given);
        }
        let is_alike = workflow == run.workflow_type;
        let alike = is_alike.then_some(&run.arguments);
        self.with_unknown_input(workflow, &subject, alike.into_iter())
    }

    fn starts(&self, run: &InFlight, place: &str, child: &program::Child) -> Option<Concern> {
        let subject = format!("it may start a child ({place}), and then");
        let Ok(workflow) = target(Some(&child.child), "") else {
            return self.unknown_type(&subject);
        };
        match constants(&child.arguments) {
            Some(given) => self.with_input(workflow, &subject, &given),
            None => {
                let started = run.children.get(workflow);
                self.with_unknown_input(workflow, &subject, started.into_iter().flatten())
            }
        }
    }

    fn unknown_type(&self, subject: &str) -> Option<Concern> {
        (!self.0.is_empty()).then(|| Concern {
            what: format!("{subject} an expression decides its workflow type"),
            breaks: false,
        })
    }

    /// The input is known.
    fn with_input(&self, workflow: &str, subject: &str, input: &[Value]) -> Option<Concern> {
        let why = match self.0.get(workflow)? {
            Effect::Retired => no_definition(workflow),
            Effect::Changed { new, .. } => refusal(&new.program, input)?,
        };
        Some(Concern {
            what: format!("{subject} {why}"),
            breaks: true,
        })
    }

    /// The input is known only when it is passed: earlier ones are assumed to be similar.
    fn with_unknown_input<'a>(
        &self,
        workflow: &str,
        subject: &str,
        alike: impl Iterator<Item = &'a Vec<Value>>,
    ) -> Option<Concern> {
        let (what, breaks) = match self.0.get(workflow)? {
            Effect::Retired => (no_definition(workflow), true),
            Effect::Changed {
                takes_the_same: true,
                ..
            } => return None,
            Effect::Changed { new, .. } => {
                let mut refusals = alike.map(|input| refusal(&new.program, input));
                match refusals.find_map(|refusal| refusal) {
                    Some(why) => (format!("with an input like the previous one {why}"), true),
                    None => {
                        let what = format!(
                            "the input of `{workflow}` is decided then; the schema of its input has changed"
                        );
                        (what, false)
                    }
                }
            }
        };
        Some(Concern {
            what: format!("{subject} {what}"),
            breaks,
        })
    }
}

/// A version that new runs may get after the deployment.
pub(crate) struct InForce {
    pub(crate) workflow: String,
    /// Such as `order@12`.
    pub(crate) name: String,
    pub(crate) loaded: Arc<Loaded>,
    /// Whether the deployment puts it in force.
    pub(crate) is_new: bool,
}

/// What new runs would start that breaks because of the deployment: the run's type, and why. Only literal types and
/// inputs are known beforehand.
pub(crate) fn on_new_runs(in_force: &[InForce], gone: &BTreeSet<&str>) -> Vec<(String, Concern)> {
    let mut by_type: BTreeMap<&str, Vec<&InForce>> = BTreeMap::new();
    for version in in_force {
        by_type.entry(&version.workflow).or_default().push(version);
    }
    let mut concerns = Vec::new();
    for parent in in_force {
        for (place, begun) in begun(&parent.loaded.program) {
            let Some(workflow) = begun.workflow else {
                continue;
            };
            let whys: Vec<String> = match by_type.get(workflow) {
                None if gone.contains(workflow) => vec![no_definition(workflow)],
                None => Vec::new(),
                Some(versions) => {
                    let versions = versions.iter().filter(|v| v.is_new || parent.is_new);
                    let refusals = versions.filter_map(|version| {
                        let failure = refused(&version.loaded.program, begun.input.clone()?)?;
                        Some(format!("{} refuses it: {}", version.name, failure.message))
                    });
                    refusals.collect()
                }
            };
            concerns.extend(whys.into_iter().map(|why| {
                let what = format!("it may {} ({place}), and then {why}", begun.verb);
                (parent.name.clone(), Concern { what, breaks: true })
            }));
        }
    }
    concerns
}

/// What a step starts, as far as it is literal.
struct Begun<'a> {
    verb: &'static str,
    workflow: Option<&'a str>,
    input: Option<Vec<Value>>,
}

fn begun(program: &Program) -> impl Iterator<Item = (String, Begun<'_>)> {
    let children = children(program).map(|(place, child)| {
        let begun = Begun {
            verb: "start a child",
            workflow: target(Some(&child.child), "").ok(),
            input: constants(&child.arguments),
        };
        (place, begun)
    });
    let others = continuations(program).filter(|(_, next)| next.workflow.is_some());
    let others = others.map(|(place, next)| {
        let begun = Begun {
            verb: "continue as new",
            workflow: target(next.workflow.as_ref(), "").ok(),
            input: next.arguments.as_ref().and_then(constants),
        };
        (place, begun)
    });
    children.chain(others)
}

fn takes_the_same(differences: &Differences) -> bool {
    // The schema of an input may refer to any type.
    let concerns_input = differences.differences.iter().any(|d| {
        !d.description_only
            && (d.path == "/input"
                || d.path.starts_with("/input/")
                || d.path.starts_with("/types/")
                || matches!(d.subject, Subject::Type | Subject::File | Subject::Library))
    });
    !concerns_input && differences.omitted == 0 && !differences.unreadable
}

fn no_definition(workflow: &str) -> String {
    format!("there is no definition of `{workflow}`")
}

fn refusal(program: &Program, input: &[Value]) -> Option<String> {
    let failure = refused(program, input.to_vec())?;
    let workflow = &program.workflow;
    Some(format!(
        "the new version of `{workflow}` refuses it: {}",
        failure.message
    ))
}

fn continuations(program: &Program) -> impl Iterator<Item = (String, &program::ContinueAsNew)> {
    steps(program).filter_map(|(place, action)| match action {
        program::Action::ContinueAsNew(next) if next.version == ContinuedVersion::Latest => {
            Some((place, &**next))
        }
        _ => None,
    })
}

fn children(program: &Program) -> impl Iterator<Item = (String, &program::Child)> {
    steps(program).filter_map(|(place, action)| match action {
        program::Action::Child(child) => Some((place, &**child)),
        _ => None,
    })
}

/// With `file:line`.
fn steps(program: &Program) -> impl Iterator<Item = (String, &program::Action)> {
    program
        .steps
        .iter()
        .zip(program.ranges.iter())
        .map(|(step, range)| {
            let file = program.sources.file(range.file);
            let line = file.position(range.start).line;
            (format!("{}:{line}", file.path), &step.action)
        })
}

/// The workflow type; an error if it is decided at run time.
fn target<'a>(workflow: Option<&'a Code>, own: &'a str) -> Result<&'a str, ()> {
    match workflow.map(Code::constant) {
        None => Ok(own),
        Some(Some(Value::String(name))) => Ok(name),
        Some(_) => Err(()),
    }
}

fn constants(arguments: &Arguments) -> Option<Vec<Value>> {
    let values = arguments.0.iter().map(|code| code.constant().cloned());
    values.collect()
}
