//! What a deployment would change: pure, from the catalog and the folder's definitions.

use std::collections::BTreeSet;

use super::Entry;
use super::deploy::{Definitions, DeployError};
use super::store::StoreError;
use crate::bundle::{Bundle, Versions};
use crate::catalog::{Catalog, Definition, Put, Route, Version};
use crate::limits::DEPLOYMENT_DEFINITIONS_MAX;

/// What a deployment does to one workflow type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// The type is new, or was retired.
    Add { to: u32 },
    /// From the current version to a new one.
    Change { from: u32, to: u32 },
    /// The version already exists and is put in force.
    Restore { from: u32, to: u32 },
    /// The folder no longer has it.
    Retire { from: u32 },
}

impl Action {
    /// The version that the folder has.
    pub(crate) fn to(&self) -> Option<u32> {
        match self {
            Action::Add { to } | Action::Change { to, .. } | Action::Restore { to, .. } => {
                Some(*to)
            }
            Action::Retire { .. } => None,
        }
    }
}

/// Which new runs get the versions of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Routing {
    /// All of them; for a type with a ramp, the share of the ramp.
    #[default]
    Usual,
    /// This percentage; the others stay with the current version.
    Percent(u32),
    /// None of them: the versions are only stored.
    None,
}

/// Which new runs of a type get the folder's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    All,
    /// This percentage.
    Percent(u32),
    None,
    /// None, whatever is deployed: the type is pinned to another version.
    Pinned,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    pub(crate) workflow: String,
    pub(crate) action: Action,
    /// For a retired type: the share that it had.
    pub(crate) share: Share,
    /// Whether the deployment ends a ramp.
    pub(crate) ends_ramp: bool,
    /// The routing in the change, beside the version itself.
    route: Option<Route>,
}

/// A type that the deployment does not change, although not all new runs get the version in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) workflow: String,
    pub(crate) current: u32,
    pub(crate) is_pinned: bool,
    /// A share of new runs gets this version: number and percentage.
    pub(crate) ramp: Option<(u32, u32)>,
    /// The version in the folder; `None` if the folder no longer has the type.
    pub(crate) folder: Option<u32>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The revision that it was made on.
    pub(crate) base: u64,
    pub(crate) project: String,
    pub(crate) routing: Routing,
    /// By workflow type.
    pub(crate) steps: Vec<Step>,
    /// By workflow type.
    pub(crate) held: Vec<Held>,
    pub(crate) unchanged: usize,
    /// Versions that the registry can no longer read but the folder has, with the error of each. They are stored again.
    pub(crate) mends: Vec<Mend>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mend {
    pub(crate) definition: Definition,
    pub(crate) version: Version,
    pub(crate) why: String,
}

impl Plan {
    pub fn new(
        catalog: &Catalog,
        found: &Definitions,
        project: &str,
        routing: Routing,
    ) -> Result<Plan, DeployError> {
        if found.len() > DEPLOYMENT_DEFINITIONS_MAX {
            return Err(DeployError::TooMany(found.len()));
        }
        let mut plan = Plan {
            base: catalog.revision(),
            project: project.to_owned(),
            routing,
            steps: Vec::new(),
            held: Vec::new(),
            unchanged: 0,
            mends: Vec::new(),
        };
        for (workflow, (entry, file)) in found {
            let digest = digest_of(entry)?;
            let Some(definition) = catalog.definition(workflow) else {
                plan.steps.push(added(workflow, 1, None, routing));
                continue;
            };
            if definition.project != project && !definition.retired {
                return Err(DeployError::Anothers {
                    workflow: workflow.clone(),
                    file: file.clone(),
                    project: definition.project.clone(),
                });
            }
            let known = definition.version_of(&digest).map(|v| v.number);
            let to = known.unwrap_or(definition.last_number.saturating_add(1));
            match definition.retired {
                true => plan
                    .steps
                    .push(added(workflow, to, Some(definition), routing)),
                false => plan.put(definition, to, known.is_some()),
            }
        }
        plan.unchanged = found.len() - plan.steps.len();
        plan.retire(catalog, found);
        plan.steps.sort_by(|a, b| a.workflow.cmp(&b.workflow));
        plan.held.sort_by(|a, b| a.workflow.cmp(&b.workflow));
        Ok(plan)
    }

    /// The folder has this version of a type that has new runs.
    fn put(&mut self, definition: &Definition, to: u32, is_known: bool) {
        let from = definition.current;
        let ramp = (definition.ramp != 0).then_some((definition.ramp, definition.ramp_percent));
        let share = match (self.routing, ramp) {
            _ if definition.pinned => Share::Pinned,
            (Routing::None, _) => Share::None,
            (Routing::Percent(100), _) | (Routing::Usual, None) => Share::All,
            (Routing::Percent(percent), _) | (Routing::Usual, Some((_, percent))) => {
                Share::Percent(percent)
            }
        };
        let is_so = match share {
            Share::Pinned | Share::None => is_known,
            Share::All => to == from,
            Share::Percent(percent) => to == from || ramp == Some((to, percent)),
        };
        if is_so {
            if definition.pinned || ramp.is_some() || to != from {
                self.held.push(Held::of(definition, Some(to)));
            }
            return;
        }
        let route = match share {
            Share::All | Share::Pinned => None,
            Share::None => Some(definition.route()),
            Share::Percent(ramp_percent) => Some(Route {
                ramp: to,
                ramp_percent,
                ..definition.route()
            }),
        };
        self.steps.push(Step {
            workflow: definition.workflow.clone(),
            action: match is_known {
                true => Action::Restore { from, to },
                false => Action::Change { from, to },
            },
            share,
            ends_ramp: share == Share::All && ramp.is_some(),
            route,
        });
    }

    /// The folder no longer has the type; a pinned type is not affected.
    fn retire(&mut self, catalog: &Catalog, found: &Definitions) {
        let definitions = catalog.state.definitions.iter();
        let own = definitions.filter(|d| d.project == self.project && !d.retired);
        for gone in own.filter(|d| !found.contains_key(&d.workflow)) {
            if gone.pinned {
                self.held.push(Held::of(gone, None));
                continue;
            }
            self.steps.push(Step {
                workflow: gone.workflow.clone(),
                action: Action::Retire { from: gone.current },
                share: Share::All,
                ends_ramp: gone.ramp != 0,
                route: None,
            });
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.mends.is_empty()
    }

    /// The versions that it adds or puts in force, such as `order@12`.
    pub(crate) fn versions(&self) -> Vec<String> {
        let steps = self.steps.iter();
        steps
            .filter_map(|step| Some(format!("{}@{}", step.workflow, step.action.to()?)))
            .collect()
    }

    /// Whether another plan has the same effect; the numbers of new versions may differ.
    pub(crate) fn means_the_same(&self, other: &Plan) -> bool {
        fn meaning(step: &Step) -> (&str, &'static str, u32, u32, Share) {
            let (what, from, to) = match step.action {
                Action::Add { .. } => ("add", 0, 0),
                Action::Change { from, .. } => ("change", from, 0),
                Action::Restore { from, to } => ("restore", from, to),
                Action::Retire { from } => ("retire", from, 0),
            };
            (&step.workflow, what, from, to, step.share)
        }
        self.steps
            .iter()
            .map(meaning)
            .eq(other.steps.iter().map(meaning))
    }

    pub(super) fn retired(&self) -> Vec<String> {
        let is_retired = |step: &&Step| match step.action {
            Action::Retire { .. } => true,
            // A new type that gets no new runs yet.
            Action::Add { .. } => step.share == Share::None,
            Action::Change { .. } | Action::Restore { .. } => false,
        };
        let retired = self.steps.iter().filter(is_retired);
        retired.map(|step| step.workflow.clone()).collect()
    }

    pub(super) fn routes(&self) -> Vec<Route> {
        let routes = self.steps.iter();
        routes.filter_map(|step| step.route.clone()).collect()
    }

    /// In the order of its steps, with nothing stored.
    pub(super) fn puts(&self, found: &Definitions) -> Result<Vec<Put>, DeployError> {
        let entries = self.steps.iter().filter_map(|step| {
            let (entry, _) = found.get(&step.workflow)?;
            Some((step, entry))
        });
        let puts = entries.map(|(step, entry)| {
            let schedules = entry.loaded.program.schedules.iter();
            Ok(Put {
                workflow: step.workflow.clone(),
                digest: digest_of(entry)?,
                language_version: Versions::NEWEST.language,
                schedules: schedules.map(|s| s.name.to_string()).collect(),
                ..Put::default()
            })
        });
        puts.collect()
    }

    /// Types that the folder no longer has, which get no more new runs.
    pub(crate) fn gone(&self) -> BTreeSet<&str> {
        let is_gone = |step: &&Step| matches!(step.action, Action::Retire { .. });
        let gone = self.steps.iter().filter(is_gone);
        gone.map(|step| step.workflow.as_str()).collect()
    }
}

fn added(workflow: &str, to: u32, before: Option<&Definition>, routing: Routing) -> Step {
    // A pin on a retired type applies again, if its version still exists.
    let is_pinned = before.is_some_and(|d| d.pinned && d.version(d.current).is_some());
    Step {
        workflow: workflow.to_owned(),
        action: Action::Add { to },
        share: match routing {
            Routing::None => Share::None,
            _ if is_pinned => Share::Pinned,
            // There is no other version that the rest could get.
            Routing::Usual | Routing::Percent(_) => Share::All,
        },
        ends_ramp: false,
        route: None,
    }
}

impl Step {
    /// Whether new runs may get the folder's version.
    pub(crate) fn is_routed(&self) -> bool {
        matches!(self.share, Share::All | Share::Percent(_))
    }
}

impl Held {
    fn of(definition: &Definition, folder: Option<u32>) -> Held {
        Held {
            workflow: definition.workflow.clone(),
            current: definition.current,
            is_pinned: definition.pinned,
            ramp: (definition.ramp != 0).then_some((definition.ramp, definition.ramp_percent)),
            folder,
        }
    }
}

pub(super) fn digest_of(entry: &Entry) -> Result<Vec<u8>, DeployError> {
    let bundle = Bundle::decode(&entry.bundle.bytes);
    let bundle = bundle.map_err(|e| StoreError::Malformed(e.to_string()))?;
    Ok(bundle.digest().as_bytes().to_vec())
}
