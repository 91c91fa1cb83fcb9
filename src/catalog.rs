//! What is deployed: the versions of each definition and which of them new runs get, as the fold of a log of changes.
//!
//! Folding the same changes always results in the same catalog: nothing here reads a clock or depends on the process.

mod name;
mod past;

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use crate::limits::{
    DEPLOYMENT_DEFINITIONS_MAX, REGISTRY_CHANGE_PIECES_MAX, REGISTRY_PIECE_SIZE_BYTES_MAX,
    REGISTRY_RECORDS_MAX, REGISTRY_SEGMENT_SIZE_BYTES_MAX,
};
pub use crate::wire::{Change, Data, LogEntry, Origin, Put, Segment};
pub(crate) use crate::wire::{
    Copy, Definition, DueSchedules, Page, Record, Registry as State, Route, Snapshot, Start, Tag,
    TagChange, Version, VersionName,
};
pub(crate) use name::{NameError, VersionQuery};
pub(crate) use past::{Pasts, past, versions_in_force};

/// The definitions of a registry at a revision.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Catalog {
    pub state: State,
}

/// The result of applying a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// It took effect as this revision.
    Yes(u64),
    /// Another change was applied first: this one was made on an older revision.
    Stale,
    /// It was sent twice.
    Twice,
    /// It refers to something that does not exist.
    Invalid(String),
}

impl Catalog {
    pub fn revision(&self) -> u64 {
        self.state.revision
    }

    pub fn definition(&self, workflow: &str) -> Option<&Definition> {
        let definitions = &self.state.definitions;
        let at = definitions.binary_search_by(|d| d.workflow.as_str().cmp(workflow));
        at.ok().map(|at| &definitions[at])
    }

    /// Whether schedules must still be created for the change of this revision.
    pub(crate) fn is_due(&self, revision: u64) -> bool {
        let mut due = self.state.due_schedules.iter();
        due.any(|due| due.revision == revision)
    }

    /// Applies a change of a log. A change without numbers was made by a Segno that forgot a type with its last
    /// version, so the type starts at 1 again, as it did then.
    pub(crate) fn apply_logged(&mut self, change: &Change, time: i64) -> Applied {
        let mut folded = self.clone();
        let unnumbered = change.puts.iter().filter(|put| put.number == 0);
        for put in unnumbered {
            let definitions = &mut folded.state.definitions;
            definitions.retain(|d| d.workflow != put.workflow || !d.versions.is_empty());
        }
        let applied = folded.apply(change, time);
        if matches!(applied, Applied::Yes(_)) {
            *self = folded;
        }
        applied
    }

    /// Applies a change; a change that is not valid leaves the catalog unchanged.
    pub(crate) fn apply(&mut self, change: &Change, time: i64) -> Applied {
        if self.state.log.iter().any(|record| record.id == change.id) {
            return Applied::Twice;
        }
        if change.base != self.state.revision {
            return Applied::Stale;
        }
        let mut next = self.clone();
        match next.take_in(change, time) {
            Ok(()) => {
                *self = next;
                Applied::Yes(self.state.revision)
            }
            Err(why) => Applied::Invalid(why),
        }
    }

    fn take_in(&mut self, change: &Change, time: i64) -> Result<(), String> {
        let revision = self.state.revision + 1;
        check_bounds(change)?;
        let mended = self.mend(&change.mended, revision);
        let mut put = Vec::new();
        for new in &change.puts {
            let number = self.put(new, &change.project, revision)?;
            put.push(VersionName {
                workflow: new.workflow.clone(),
                number,
            });
        }
        for workflow in &change.retired {
            self.definition_mut(workflow)?.retired = true;
        }
        for route in &change.routes {
            self.definition_mut(&route.workflow)?.set_route(route)?;
        }
        for tag in &change.tags {
            self.definition_mut(&tag.workflow)?.tag(tag)?;
        }
        for version in &change.deleted {
            self.definition_mut(&version.workflow)?
                .delete(version.number)?;
        }
        self.state.revision = revision;
        self.take_in_schedules(change);
        let record = Record {
            revision,
            id: change.id.clone(),
            origin: change.origin.clone(),
            time,
            project: change.project.clone(),
            put,
            retired: change.retired.clone(),
            routes: change.routes.clone(),
            tags: change.tags.clone(),
            deleted: change.deleted.clone(),
            mended,
        };
        let says_more = change.made_schedules.is_empty()
            || !(record.put.is_empty() && record.retired.is_empty() && record.routes.is_empty())
            || !(record.tags.is_empty() && record.deleted.is_empty());
        if says_more {
            self.state.log.push(record);
        }
        Ok(())
    }

    /// Schedules that were due for the same types are due by the new change.
    fn take_in_schedules(&mut self, change: &Change) {
        let revision = self.state.revision;
        let due = &mut self.state.due_schedules;
        due.retain(|due| !change.made_schedules.contains(&due.revision));
        if let Some(new) = &change.due_schedules {
            let is_within = |old: &DueSchedules| {
                let mut workflows = old.workflows.iter();
                old.namespace_id == new.namespace_id && workflows.all(|w| new.workflows.contains(w))
            };
            due.retain(|old| !is_within(old));
            due.push(DueSchedules {
                revision,
                ..new.clone()
            });
        }
    }

    fn put(&mut self, put: &Put, project: &str, revision: u64) -> Result<u32, String> {
        let definitions = &mut self.state.definitions;
        let at = definitions.binary_search_by(|d| d.workflow.cmp(&put.workflow));
        let at = at.unwrap_or_else(|at| {
            let new = Definition {
                workflow: put.workflow.clone(),
                ..Definition::default()
            };
            definitions.insert(at, new);
            at
        });
        let definition = &mut definitions[at];
        let is_anothers = definition.project != project && !definition.versions.is_empty();
        if is_anothers && !definition.retired {
            return Err(format!(
                "the workflow type {} is already deployed by the project {:?}",
                put.workflow, definition.project
            ));
        }
        definition.project = project.to_owned();
        definition.retired = false;
        self.state.numbered |= put.number != 0;
        let same = |v: &&Version| v.digest == put.digest;
        let number = match definition.versions.iter().find(same) {
            Some(version) => version.number,
            None => {
                let next = definition.next_number()?;
                definition.last_number = next.max(put.number);
                definition.versions.push(Version {
                    number: definition.last_number,
                    digest: put.digest.clone(),
                    language_version: put.language_version,
                    segment: put.segment.clone(),
                    index: put.index,
                    revision,
                    schedules: put.schedules.clone(),
                    mended: 0,
                });
                definition.last_number
            }
        };
        if !definition.pinned || definition.version(definition.current).is_none() {
            definition.current = number;
            (definition.ramp, definition.ramp_percent) = (0, 0);
        }
        Ok(number)
    }

    /// Versions that no longer exist are skipped: the client that stored their bundles could not know.
    fn mend(&mut self, mended: &[Put], revision: u64) -> Vec<VersionName> {
        let mut names = Vec::new();
        for put in mended {
            let definition = self.definition_mut(&put.workflow).ok();
            let mut versions = definition.into_iter().flat_map(|d| &mut d.versions);
            let Some(version) = versions.find(|v| v.digest == put.digest) else {
                continue;
            };
            version.segment.clone_from(&put.segment);
            (version.index, version.mended) = (put.index, revision);
            names.push(VersionName {
                workflow: put.workflow.clone(),
                number: version.number,
            });
        }
        names
    }

    /// The change with the numbers that its puts get, for a later fold of a log that has lost an earlier change.
    pub(crate) fn numbered(&self, mut change: Change) -> Change {
        let mut after = self.clone();
        after.state.log.clear();
        if change.base == self.state.revision && after.take_in(&change, 0).is_ok() {
            let record = after.state.log.pop().unwrap_or_default();
            for (put, name) in change.puts.iter_mut().zip(record.put) {
                put.number = name.number;
            }
        }
        change
    }

    fn definition_mut(&mut self, workflow: &str) -> Result<&mut Definition, String> {
        let found = self
            .state
            .definitions
            .iter_mut()
            .find(|d| d.workflow == workflow);
        found.ok_or_else(|| format!("the registry has no definition of {workflow}"))
    }

    /// Removes the oldest records beyond the number that is kept, to be stored as a page.
    pub(crate) fn take_old_records(&mut self) -> Option<Page> {
        let more = self.state.log.len().checked_sub(REGISTRY_RECORDS_MAX)?;
        (more > 0).then(|| Page {
            log: self.state.log.drain(..more).collect(),
            older: self.state.older.take(),
        })
    }
}

impl Definition {
    pub(crate) fn version(&self, number: u32) -> Option<&Version> {
        self.versions.iter().find(|v| v.number == number)
    }

    pub(crate) fn version_of(&self, digest: &[u8]) -> Option<&Version> {
        self.versions.iter().find(|v| v.digest == digest)
    }

    /// The version of a new run with this workflow id.
    pub(crate) fn version_for(&self, workflow_id: &str) -> Option<&Version> {
        if self.retired {
            return None;
        }
        let is_ramped = self.ramp != 0 && share(workflow_id) < u64::from(self.ramp_percent);
        let ramp = is_ramped.then(|| self.version(self.ramp)).flatten();
        ramp.or_else(|| self.version(self.current))
    }

    fn next_number(&self) -> Result<u32, String> {
        let next = self.last_number.checked_add(1);
        next.ok_or_else(|| format!("{} has no version numbers left", self.workflow))
    }

    /// The versions that new runs get.
    pub(crate) fn in_force(&self) -> impl Iterator<Item = &Version> {
        let numbers: BTreeSet<u32> = match self.retired {
            true => BTreeSet::new(),
            false => [self.current, self.ramp].into(),
        };
        let versions = self.versions.iter();
        versions.filter(move |v| numbers.contains(&v.number))
    }

    /// Whether one of its versions has schedules, so that the server may have some.
    pub(crate) fn has_schedules(&self) -> bool {
        self.versions.iter().any(|v| !v.schedules.is_empty())
    }

    /// The routing of new runs, in a change's form.
    pub fn route(&self) -> Route {
        Route {
            workflow: self.workflow.clone(),
            current: self.current,
            pinned: self.pinned,
            ramp: self.ramp,
            ramp_percent: self.ramp_percent,
        }
    }

    /// What puts its current version in force again; `None` if it has no new runs.
    pub(crate) fn put_of_current(&self) -> Option<Put> {
        match self.retired {
            true => None,
            false => self.put_of(self.current),
        }
    }

    /// What puts an existing version in force.
    pub(crate) fn put_of(&self, number: u32) -> Option<Put> {
        let version = self.version(number)?;
        Some(Put {
            workflow: self.workflow.clone(),
            digest: version.digest.clone(),
            language_version: version.language_version,
            segment: version.segment.clone(),
            index: version.index,
            schedules: version.schedules.clone(),
            number: version.number,
        })
    }

    /// `order@12`
    pub(crate) fn name_of(&self, number: u32) -> String {
        format!("{}@{number}", self.workflow)
    }

    fn known(&self, number: u32) -> Result<u32, String> {
        match self.version(number) {
            Some(_) => Ok(number),
            None => Err(format!("there is no version {number} of {}", self.workflow)),
        }
    }

    fn set_route(&mut self, route: &Route) -> Result<(), String> {
        self.current = self.known(route.current)?;
        self.pinned = route.pinned;
        self.ramp = match route.ramp {
            0 => 0,
            number => self.known(number)?,
        };
        self.ramp_percent = route.ramp_percent.min(100);
        Ok(())
    }

    fn tag(&mut self, change: &TagChange) -> Result<(), String> {
        self.tags.retain(|tag| tag.name != change.name);
        if change.number != 0 {
            let number = self.known(change.number)?;
            self.tags.push(Tag {
                name: change.name.clone(),
                number,
            });
            self.tags.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Ok(())
    }

    fn delete(&mut self, number: u32) -> Result<(), String> {
        self.known(number)?;
        if !self.retired && (number == self.current || number == self.ramp) {
            return Err(format!("new runs get {}", self.name_of(number)));
        }
        self.versions.retain(|v| v.number != number);
        self.tags.retain(|tag| tag.number != number);
        Ok(())
    }
}

/// Any client may send a change, but a worker need not fetch what exceeds the bounds.
fn check_bounds(change: &Change) -> Result<(), String> {
    let puts = change.puts.len() + change.mended.len();
    if puts > DEPLOYMENT_DEFINITIONS_MAX {
        return Err(format!(
            "the change names {puts} definitions; DEPLOYMENT_DEFINITIONS_MAX is {DEPLOYMENT_DEFINITIONS_MAX}"
        ));
    }
    let pieces_max = REGISTRY_SEGMENT_SIZE_BYTES_MAX / REGISTRY_PIECE_SIZE_BYTES_MAX + 1;
    let segments = change.puts.iter().chain(&change.mended);
    let segments: Vec<&Data> = segments.filter_map(|put| put.segment.as_ref()).collect();
    let pieces = segments.iter().map(|segment| segment.pieces.len()).max();
    if let Some(pieces) = pieces
        && pieces > pieces_max
    {
        return Err(format!(
            "a bundle has {pieces} pieces; REGISTRY_SEGMENT_SIZE_BYTES_MAX ({REGISTRY_SEGMENT_SIZE_BYTES_MAX} bytes) allows {pieces_max}"
        ));
    }
    // A piece may be in several segments, each of which is read.
    let segments: BTreeSet<&[Vec<u8>]> = segments.iter().map(|data| &*data.pieces).collect();
    let pieces: usize = segments.iter().map(|pieces| pieces.len()).sum();
    match pieces > REGISTRY_CHANGE_PIECES_MAX {
        true => Err(format!(
            "the change names {pieces} pieces of data; REGISTRY_CHANGE_PIECES_MAX is {REGISTRY_CHANGE_PIECES_MAX}"
        )),
        false => Ok(()),
    }
}

/// Which of a hundred parts a workflow id belongs to.
fn share(workflow_id: &str) -> u64 {
    let hash = Sha256::digest(workflow_id);
    let first: [u8; 8] = std::array::from_fn(|i| hash[i]);
    u64::from_be_bytes(first) % 100
}

#[cfg(test)]
mod tests;
