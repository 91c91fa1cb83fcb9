//! What a definition needs that only a cluster has, and where.

use std::collections::BTreeSet;

use crate::expression::Code;
use crate::program::{Activity, Operation, Program, Step};
use crate::words::{BuiltIn, StepId};

/// What a run in one process cannot do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Need {
    /// `file:line:column` of the step.
    pub(crate) location: String,
    pub(crate) what: String,
}

/// Everything that is certain from the steps; what is computed is only known at run time.
pub(crate) fn needs(program: &Program, workflow_types: &BTreeSet<String>) -> Vec<Need> {
    let of_step = |(id, step)| {
        Some(Need {
            what: need(step, workflow_types)?,
            location: program.location(StepId(id)),
        })
    };
    program.steps.numbered().filter_map(of_step).collect()
}

fn need(step: &Step, workflow_types: &BTreeSet<String>) -> Option<String> {
    match step.action.operation()? {
        Operation::Activity(activity) => of_activity(activity),
        Operation::Child(child) => match text(&child.child) {
            Some(name) if !workflow_types.contains(name) => Some(format!(
                "the child `{name}` has no definition in this folder, so it belongs to another worker"
            )),
            name => queue(child.options.task_queue.as_ref())
                .map(|queue| format!("the child `{}` runs on {queue}", name.unwrap_or_default())),
        },
        Operation::Nexus(_) => Some("Nexus operations run in other namespaces".to_owned()),
    }
}

/// The type alone decides: `activity: http` is run like a step `http`.
fn of_activity(activity: &Activity) -> Option<String> {
    let name = text(&activity.activity);
    match name.and_then(BuiltIn::named) {
        None => {
            let name = name.map_or_else(String::new, |n| format!(" `{n}`"));
            Some(format!("the activity{name} belongs to another worker"))
        }
        Some(BuiltIn::Callback) => {
            Some("`callback` is completed by a client of the cluster".to_owned())
        }
        Some(own) => queue(activity.options.task_queue.as_ref())
            .map(|queue| format!("the activity `{}` runs on {queue}", own.name())),
    }
}

fn queue(task_queue: Option<&Code>) -> Option<String> {
    let task_queue = task_queue?;
    Some(match text(task_queue) {
        Some(name) => format!("the task queue `{name}`"),
        None => "a task queue of its own".to_owned(),
    })
}

fn text(code: &Code) -> Option<&str> {
    code.constant()?.as_str()
}
