//! What new runs got at an earlier revision, as the records of changes tell it.

use std::collections::BTreeMap;

use super::{Catalog, Definition, Record, Route};

/// A workflow type as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Past {
    pub project: String,
    pub retired: bool,
    pub current: u32,
    pub pinned: bool,
    pub ramp: u32,
    pub ramp_percent: u32,
}

/// By workflow type.
pub type Pasts = BTreeMap<String, Past>;

impl Past {
    fn of(definition: &Definition) -> Past {
        Past {
            project: definition.project.clone(),
            retired: definition.retired,
            current: definition.current,
            pinned: definition.pinned,
            ramp: definition.ramp,
            ramp_percent: definition.ramp_percent,
        }
    }

    fn take(&mut self, route: &Route) {
        (self.current, self.pinned) = (route.current, route.pinned);
        self.ramp = route.ramp;
        self.ramp_percent = route.ramp_percent.min(100);
    }
}

/// Folds the records up to a revision, all of them, the oldest first. It does what [`Catalog::apply`] does with the changes.
pub fn past(records: &[Record], revision: u64) -> Pasts {
    let mut pasts = Pasts::new();
    for record in records.iter().filter(|r| r.revision <= revision) {
        for put in &record.put {
            let past = pasts.entry(put.workflow.clone()).or_default();
            past.project.clone_from(&record.project);
            past.retired = false;
            if !past.pinned || past.current == 0 {
                past.current = put.number;
                (past.ramp, past.ramp_percent) = (0, 0);
            }
        }
        for workflow in &record.retired {
            pasts.entry(workflow.clone()).or_default().retired = true;
        }
        for route in &record.routes {
            pasts.entry(route.workflow.clone()).or_default().take(route);
        }
        for deleted in &record.deleted {
            if let Some(past) = pasts.get_mut(&deleted.workflow)
                && past.current == deleted.number
            {
                past.current = 0;
            }
        }
    }
    pasts
}

impl Catalog {
    /// A type of which the records tell something else than is so: they are not all there, or what they tell of is lost.
    pub fn contradicts<'a>(&'a self, pasts: &Pasts) -> Option<&'a str> {
        let definitions = self.state.definitions.iter();
        let mut in_use = definitions.filter(|d| !d.retired);
        let is_other = |d: &&Definition| pasts.get(&d.workflow) != Some(&Past::of(d));
        in_use.find(is_other).map(|d| d.workflow.as_str())
    }
}
