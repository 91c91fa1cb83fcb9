//! A log of objects, folded as far as it was read.

use super::StoreError;
use crate::catalog::{Applied, Catalog, Change, LogEntry, Put};
use crate::limits::{REGISTRY_CHANGES_PER_RUN_MAX, REGISTRY_ENTRY_MEMORY_BYTES_MAX};
use crate::wire::decode_within;

/// An entry of the log as it was found.
#[derive(Debug)]
pub(crate) enum Entry {
    Whole(Vec<u8>),
    /// It is missing or unreadable; this is its copy.
    Copied(Vec<u8>),
    Lost,
}

impl Entry {
    fn change(&self) -> Option<(Change, i64)> {
        match self {
            Entry::Whole(bytes) | Entry::Copied(bytes) => change_of(bytes),
            Entry::Lost => None,
        }
    }
}

/// The folded state, and the revision of the snapshot that it began with.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) catalog: Catalog,
    pub(crate) snapshot: u64,
    /// Revisions whose entries are missing or unreadable: their changes are not in force.
    pub(crate) lost: Vec<u64>,
    /// Revisions whose entries are missing or unreadable, and whose copies are used.
    pub(crate) copied: Vec<u64>,
    /// A change after a lost one has no numbers of its own, so its numbers may have been different.
    pub(crate) is_uncertain: bool,
}

impl Reader {
    pub(crate) fn fold(&mut self, entry: &Entry) {
        let revision = self.catalog.revision() + 1;
        if matches!(entry, Entry::Copied(_)) {
            self.copied.push(revision);
        }
        match entry.change() {
            Some((change, time)) => {
                let says_no_number = |put: &Put| {
                    let known = self.catalog.definition(&put.workflow);
                    put.number == 0 && known.is_none_or(|d| d.version_of(&put.digest).is_none())
                };
                // Once puts have numbers, one without them is a stranger's: it must not block deployments.
                let is_numbered = self.catalog.state.numbered;
                let is_uncertain = !is_numbered && change.puts.iter().any(says_no_number);
                let applied = self.catalog.apply_logged(&change, time);
                let has_lost = !self.lost.is_empty();
                match applied {
                    Applied::Yes(_) => self.is_uncertain |= is_uncertain && has_lost,
                    // It refers to what a lost one did.
                    _ if has_lost => self.lost.push(revision),
                    _ => {}
                }
            }
            None => self.lost.push(revision),
        }
        // An entry that is not a change has no effect, but its place in the log is used.
        self.catalog.state.revision = revision;
    }

    pub(crate) fn notice(&self) -> Option<String> {
        let what = lost(&self.lost);
        if self.lost.is_empty() && !self.copied.is_empty() {
            return Some(format!("{}: its copy is used", lost(&self.copied)));
        }
        match (self.lost.is_empty(), self.is_uncertain) {
            (true, _) => None,
            (_, false) => Some(format!("{what}: its change is not in force")),
            (_, true) => Some(format!(
                "{what}, and later ones depend on it: some versions may have other numbers than before"
            )),
        }
    }

    /// A deployment on top would make wrong numbers permanent.
    pub(crate) fn refuse_uncertain(&self) -> Result<(), StoreError> {
        match self.is_uncertain {
            true => Err(StoreError::Lost(format!(
                "{}, and later ones depend on it",
                lost(&self.lost)
            ))),
            false => Ok(()),
        }
    }

    pub(crate) fn is_long(&self) -> bool {
        self.catalog.revision() - self.snapshot >= REGISTRY_CHANGES_PER_RUN_MAX
    }
}

pub(crate) fn lost(revisions: &[u64]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<_> = revisions.iter().take(SHOWN).map(u64::to_string).collect();
    let more = match revisions.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("the log has lost its entry {}{more}", shown.join(", "))
}

pub(crate) fn change_of(entry: &[u8]) -> Option<(Change, i64)> {
    let entry: LogEntry = decode_within(entry, REGISTRY_ENTRY_MEMORY_BYTES_MAX).ok()?;
    Some((entry.change?, entry.time))
}
