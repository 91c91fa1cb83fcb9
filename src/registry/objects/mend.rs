//! A log of objects that has lost some: its damages, and their repair.

use object_store::ObjectStoreExt;

use super::reader::{Reader, lost};
use super::{COPIES, LOG, ObjectsStore, StoreError, unreachable};
use crate::catalog::{Catalog, State};
use crate::registry::store::{Damage, Inspection, Remedy, Store};

impl ObjectsStore {
    pub(super) async fn look_for_damage(&self) -> Result<Inspection, StoreError> {
        let reader = self.begin().await?;
        self.notices();
        let mut found = Inspection {
            revision: reader.catalog.revision(),
            damages: self.unreadable_snapshots().await?,
            catalog: None,
        };
        for revision in &reader.lost {
            let (why, remedy) = match reader.is_uncertain {
                true => (
                    "it is missing or unreadable, and a later one depends on it",
                    Remedy::Import,
                ),
                false => (
                    "it is missing or unreadable: its change is not in force",
                    Remedy::Text,
                ),
            };
            let subject = self.numbered(LOG, *revision).to_string();
            found
                .damages
                .push(Damage::new(subject, why.to_owned(), remedy));
        }
        for revision in &reader.copied {
            let subject = self.numbered(LOG, *revision).to_string();
            let why = "it is missing or unreadable: its copy is used".to_owned();
            found
                .damages
                .push(Damage::new(subject, why, Remedy::Repair));
        }
        let copies = self.revisions(COPIES, reader.snapshot).await?;
        for revision in self.revisions(LOG, reader.snapshot).await? {
            if !copies.contains(&revision) && !reader.lost.contains(&revision) {
                let subject = self.numbered(COPIES, revision).to_string();
                let why = "it does not exist".to_owned();
                found
                    .damages
                    .push(Damage::new(subject, why, Remedy::Repair));
            }
        }
        found.catalog = Some(reader.catalog);
        Ok(found)
    }

    pub(super) async fn mend_log(&self) -> Result<Vec<String>, StoreError> {
        let mut reader = self.reader.lock().await;
        let reader = reader.insert(self.begin().await?);
        reader.refuse_uncertain()?;
        let mut done = Vec::new();
        for revision in std::mem::take(&mut reader.copied) {
            self.write_again(COPIES, LOG, revision).await?;
            done.push(format!(
                "wrote the log's entry {revision} again, from its copy"
            ));
        }
        let copies = self.revisions(COPIES, reader.snapshot).await?;
        for revision in self.revisions(LOG, reader.snapshot).await? {
            if !copies.contains(&revision) && !reader.lost.contains(&revision) {
                self.write_again(LOG, COPIES, revision).await?;
                done.push(format!(
                    "wrote the copy of the log's entry {revision} again"
                ));
            }
        }
        if reader.lost.is_empty() {
            return Ok(done);
        }
        // From here on, readers do not have to skip what is lost.
        let revision = reader.catalog.revision();
        self.add_snapshot(reader).await?;
        done.push(format!(
            "wrote a snapshot at revision {revision}, which skips what is missing: {}",
            lost(&std::mem::take(&mut reader.lost))
        ));
        Ok(done)
    }

    pub(super) async fn begin_lost_with(&self, state: State) -> Result<(), StoreError> {
        let mut reader = self.reader.lock().await;
        let there = self.begin().await?;
        let last = there.catalog.revision();
        // Later entries in the log still count.
        let last_lost = there.lost.last().copied().unwrap_or_default();
        if last > 0 && !there.is_uncertain {
            return Err(StoreError::Refused(format!(
                "definitions are deployed to {}",
                self.url
            )));
        }
        if state.revision < last_lost {
            return Err(StoreError::Refused(format!(
                "it is at revision {}, but the log has lost its entry {last_lost}",
                state.revision
            )));
        }
        let catalog = Catalog { state };
        let mut begun = Reader {
            catalog,
            ..Reader::default()
        };
        if !self.add_snapshot(&mut begun).await? {
            return Err(StoreError::Refused(format!(
                "{} has a snapshot of that revision",
                self.url
            )));
        }
        *reader = None;
        Ok(())
    }

    async fn unreadable_snapshots(&self) -> Result<Vec<Damage>, StoreError> {
        let mut found = Vec::new();
        for revision in self.revisions("snapshots", 0).await? {
            match self.snapshot(revision).await {
                Ok(_) => {}
                Err(StoreError::Malformed(why)) => {
                    let subject = self.numbered("snapshots", revision).to_string();
                    found.push(Damage::new(subject, why, Remedy::Nothing));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    async fn write_again(
        &self,
        from: &'static str,
        to: &'static str,
        revision: u64,
    ) -> Result<(), StoreError> {
        if let Some(bytes) = self.get_entry(from, revision).await? {
            let path = self.numbered(to, revision);
            let put = self.objects.put(&path, bytes.into()).await;
            put.map_err(unreachable)?;
        }
        Ok(())
    }
}
