//! What new runs got at an earlier revision, according to the records of changes.

use std::collections::BTreeMap;

use super::{Catalog, Definition, Record, Route};

/// A workflow type at that time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Past {
    pub(crate) project: String,
    pub(crate) retired: bool,
    pub(crate) current: u32,
    pub(crate) pinned: bool,
    pub(crate) ramp: u32,
    pub(crate) ramp_percent: u32,
}

/// By workflow type.
pub(crate) type Pasts = BTreeMap<String, Past>;

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

/// Folds all records up to a revision, the oldest first. It does what [`Catalog::apply`] does with the changes.
pub(crate) fn past(records: &[Record], revision: u64) -> Pasts {
    let mut pasts = Pasts::new();
    let records = records.iter().filter(|r| r.revision <= revision);
    records.for_each(|record| take_in(&mut pasts, record));
    pasts
}

/// The versions of a type that new runs got, the oldest first, according to the records of changes. A version occurs
/// once for each time that it came into force. Versions that were only stored or ramped are left out, and so are
/// deleted ones.
pub(crate) fn versions_in_force(records: &[Record], workflow: &str) -> Vec<u32> {
    let (mut pasts, mut versions) = (Pasts::new(), Vec::new());
    for record in records {
        take_in(&mut pasts, record);
        let deleted = record.deleted.iter().filter(|v| v.workflow == workflow);
        deleted.for_each(|gone| versions.retain(|number| *number != gone.number));
        let past = pasts.get(workflow);
        let in_force = past.filter(|past| !past.retired && past.current != 0);
        versions.extend(in_force.map(|past| past.current));
        versions.dedup();
    }
    versions
}

fn take_in(pasts: &mut Pasts, record: &Record) {
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

impl Definition {
    /// Whether the records differ from the type's current state: records are missing, or what they refer to is lost.
    pub(crate) fn contradicts(&self, pasts: &Pasts) -> bool {
        !self.retired && pasts.get(&self.workflow) != Some(&Past::of(self))
    }
}

impl Catalog {
    /// A type that the records contradict.
    pub(crate) fn contradicts<'a>(&'a self, pasts: &Pasts) -> Option<&'a str> {
        let mut definitions = self.state.definitions.iter();
        let other = definitions.find(|definition| definition.contradicts(pasts));
        other.map(|definition| definition.workflow.as_str())
    }
}
