//! A copy of the registry, in a workflow of its own: if one of the two is ended, deleted or reset, the other is not
//! lost.
//!
//! The deploying client writes it after the registry itself, so it may be behind, but never ahead.

use std::collections::BTreeMap;

use prost::Message;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;

use super::reader::Reader;
use super::{
    ClusterStore, REGISTRY_DATA, StoreError, bytes, data, decoded, ending, has_ended, put_aside,
    put_data, unreachable,
};
use crate::catalog::{Catalog, Copy, LogEntry, Snapshot};
use crate::client::{ClientError, StartOptions, WorkflowIdConflictPolicy, WorkflowRef};
use crate::limits::REGISTRY_COPY_ENTRIES_MAX;

const ENTRY: &str = "entry";

/// The copy as it was found.
pub(crate) struct FoundCopy {
    pub(crate) catalog: Catalog,
    pub(crate) is_open: bool,
    run_id: String,
    entries: usize,
}

/// The end of the copy, as this process knows it.
pub(crate) struct CopyEnd {
    run_id: String,
    revision: u64,
    entries: usize,
}

impl ClusterStore {
    fn copy_id(&self) -> String {
        format!("{REGISTRY_DATA}/copy/{}", self.workflow_id)
    }

    /// `None` if it does not exist. `Malformed` if its beginning cannot be read.
    pub(super) async fn read_copy(&self) -> Result<Option<FoundCopy>, StoreError> {
        let run_id = match self
            .client
            .describe(&WorkflowRef::new(self.copy_id(), None))
            .await
        {
            Ok(found) => found.workflow.run_id,
            Err(ClientError::NoSuchWorkflow(..)) => return Ok(None),
            Err(error) => return Err(unreachable(error)),
        };
        let run = WorkflowRef::new(self.copy_id(), Some(run_id.clone()));
        let mut found = FoundCopy {
            catalog: Catalog::default(),
            is_open: true,
            run_id,
            entries: 0,
        };
        // By the revision that each was made on: two deployers may have added the same ones, one of them later ones
        // first.
        let mut pending = BTreeMap::new();
        let mut token = Vec::new();
        loop {
            let page = self.client.open_history_page(&run, token, false);
            let page = page.await.map_err(unreachable)?;
            for event in page.events {
                self.fold_copy(&mut found, &mut pending, event).await?;
            }
            match page.next {
                Some(next) => token = next,
                None => return Ok(Some(found)),
            }
        }
    }

    async fn fold_copy(
        &self,
        found: &mut FoundCopy,
        pending: &mut BTreeMap<u64, LogEntry>,
        mut event: HistoryEvent,
    ) -> Result<(), StoreError> {
        let decoded_event = self.client.decode_event(&mut event);
        decoded_event.await.map_err(unreachable)?;
        let is_end = ending(&event).is_some();
        match event.attributes {
            Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) => {
                if let Some(snapshot) = decoded::<Copy>(started.input)?.snapshot {
                    let snapshot: Snapshot = data(self, &snapshot).await?;
                    found.catalog.state = snapshot.registry.unwrap_or_default();
                }
            }
            Some(Attributes::WorkflowExecutionSignaledEventAttributes(signal))
                if signal.signal_name == ENTRY =>
            {
                found.entries += 1;
                if let Ok(entry) = decoded::<LogEntry>(signal.input)
                    && let Some(change) = &entry.change
                {
                    pending.entry(change.base).or_insert(entry);
                }
                while let Some(entry) = pending.remove(&found.catalog.revision()) {
                    found
                        .catalog
                        .apply_logged(&entry.change.unwrap_or_default(), entry.time);
                }
            }
            _ if is_end => found.is_open = false,
            _ => {}
        }
        Ok(())
    }

    /// The revision of the copy; 0 if there is no readable one.
    pub(super) async fn copied_revision(&self) -> Result<u64, StoreError> {
        let found = match self.read_copy().await {
            Ok(found) => found,
            Err(StoreError::Malformed(_)) => None,
            // The log shows whether it is its own: any client can start a copy that cannot be decoded.
            Err(StoreError::Sealed(why)) => {
                self.notice(format!("the registry's copy cannot be read here: {why}"));
                None
            }
            Err(error) => return Err(error),
        };
        let revision = found.as_ref().map_or(0, |found| found.catalog.revision());
        *self.copy.lock().await = found.filter(|found| found.is_open).map(CopyEnd::of);
        Ok(revision)
    }

    /// A copy that is behind does not affect the deployment: the next one updates it.
    pub(super) async fn copy_what_is_new(&self, reader: &Reader) {
        if let Err(error) = self.bring_up_to_date(reader).await {
            self.notice(format!("the registry's copy could not be updated: {error}"));
        }
    }

    /// Adds what the log has and the copy lacks, or replaces the copy; returns what was done, if it was more than
    /// adding.
    pub(super) async fn bring_up_to_date(
        &self,
        reader: &Reader,
    ) -> Result<Option<String>, StoreError> {
        if reader.catalog.revision() == 0 {
            return Ok(None);
        }
        let mut end = self.copy.lock().await;
        if let Some(known) = end.as_mut()
            && self.add(known, reader).await?
        {
            return Ok(None);
        }
        let found = match self.read_copy().await {
            Ok(found) => found,
            Err(StoreError::Malformed(_)) => None,
            // The log shows whether it is its own: any client can start a copy that cannot be decoded.
            Err(StoreError::Sealed(why)) => {
                self.notice(format!("the registry's copy cannot be read here: {why}"));
                None
            }
            Err(error) => return Err(error),
        };
        let usable = found.filter(|found| found.is_open && found.agrees_with(&reader.catalog));
        *end = usable.map(CopyEnd::of);
        if let Some(known) = end.as_mut()
            && self.add(known, reader).await?
        {
            return Ok(None);
        }
        *end = None;
        self.replace_copy(reader.catalog.clone()).await?;
        Ok(Some(format!(
            "wrote the registry's copy again, at revision {}",
            reader.catalog.revision()
        )))
    }

    /// False if adding is not possible.
    async fn add(&self, end: &mut CopyEnd, reader: &Reader) -> Result<bool, StoreError> {
        let base = |entry: &LogEntry| entry.change.as_ref().map_or(0, |change| change.base);
        let run = WorkflowRef::new(self.copy_id(), Some(end.run_id.clone()));
        while end.revision < reader.catalog.revision() {
            let next = reader.entries.iter().find(|e| base(e) == end.revision);
            let Some(next) = next.filter(|_| end.entries < REGISTRY_COPY_ENTRIES_MAX) else {
                return Ok(false);
            };
            let payload = bytes(next.encode_to_vec())?;
            match self.client.signal(&run, ENTRY, vec![payload]).await {
                Ok(()) => {}
                Err(error) if has_ended(&error) => return Ok(false),
                Err(error) => return Err(unreachable(error)),
            }
            end.revision += 1;
            end.entries += 1;
        }
        Ok(true)
    }

    /// Atomically: the server ends the old one when the new one starts.
    pub(super) async fn replace_copy(&self, catalog: Catalog) -> Result<(), StoreError> {
        let snapshot = Snapshot {
            registry: Some(put_aside(self, catalog).await?),
        };
        let copy = Copy {
            snapshot: Some(put_data(self, &snapshot).await?),
        };
        let start = StartOptions {
            workflow_type: REGISTRY_DATA.to_owned(),
            workflow_id: Some(self.copy_id()),
            task_queue: REGISTRY_DATA.to_owned(),
            input: vec![bytes(copy.encode_to_vec())?],
            id_conflict_policy: Some(WorkflowIdConflictPolicy::TerminateExisting),
            summary: Some("A copy of Segno's definitions. Do not end it.".to_owned()),
            ..StartOptions::default()
        };
        self.client.start(start).await.map_err(unreachable)?;
        Ok(())
    }
}

impl CopyEnd {
    fn of(found: FoundCopy) -> CopyEnd {
        CopyEnd {
            revision: found.catalog.revision(),
            run_id: found.run_id,
            entries: found.entries,
        }
    }
}

impl FoundCopy {
    /// Whether both have the same data about the last change in the copy.
    fn agrees_with(&self, catalog: &Catalog) -> bool {
        let Some(last) = self.catalog.state.log.last() else {
            return true;
        };
        let mut log = catalog.state.log.iter();
        log.find(|record| record.revision == last.revision)
            .is_none_or(|record| record.id == last.id)
    }
}
