//! A run of the registry's workflow, folded as far as it was read.

use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;

use super::{CHANGE, ClusterStore, StoreError, data, decoded, unreachable};
use crate::catalog::{Applied, Catalog, Change, LogEntry, Start};
use crate::client::WorkflowRef;

/// A place in the log, and the state folded up to it.
pub(crate) struct Reader {
    pub(crate) run: WorkflowRef,
    /// The token of the next page.
    token: Vec<u8>,
    pub(crate) last_event_id: i64,
    pub(crate) catalog: Catalog,
    /// The results of this run's changes.
    pub(crate) applied: Vec<(String, Applied)>,
    /// The changes that took effect.
    pub(crate) entries: Vec<LogEntry>,
    /// The number of signals that are not readable changes.
    pub(crate) skipped: u64,
    /// A client with a key made a change on top of some that cannot be read.
    pub(crate) is_ahead: bool,
    /// The state that the run begins with if its own beginning cannot be read.
    base: Option<Catalog>,
}

impl Reader {
    pub(crate) fn at(run: WorkflowRef) -> Self {
        Reader {
            run,
            token: Vec::new(),
            last_event_id: 0,
            catalog: Catalog::default(),
            applied: Vec::new(),
            entries: Vec::new(),
            skipped: 0,
            is_ahead: false,
            base: None,
        }
    }

    pub(crate) fn on(run: WorkflowRef, base: Catalog) -> Self {
        Reader {
            base: Some(base),
            ..Reader::at(run)
        }
    }

    /// Folds what comes next; with `wait`, waits for it for as long as the server allows. True at the end.
    pub(crate) async fn fold_page(
        &mut self,
        store: &ClusterStore,
        wait: bool,
    ) -> Result<bool, StoreError> {
        let page = store
            .client
            .open_history_page(&self.run, self.token.clone(), wait);
        let page = page.await.map_err(unreachable)?;
        let skipped = self.skipped;
        for event in page.events {
            let is_sealed = page.sealed.contains(&event.event_id);
            self.fold(store, event, is_sealed).await?;
        }
        if self.skipped > skipped {
            store.notice(format!(
                "{} of the log's signals cannot be read here and are ignored",
                self.skipped
            ));
        }
        let is_end = page.next.is_none();
        self.token = page.next.unwrap_or_default();
        Ok(is_end)
    }

    async fn fold(
        &mut self,
        store: &ClusterStore,
        mut event: HistoryEvent,
        is_sealed: bool,
    ) -> Result<(), StoreError> {
        let decoded_event = store.client.decode_event(&mut event);
        decoded_event.await.map_err(unreachable)?;
        let time = event
            .event_time
            .map_or(0, |t| t.seconds * 1000 + i64::from(t.nanos) / 1_000_000);
        match event.attributes {
            Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) => {
                if let Some(base) = self.base.take() {
                    self.catalog = base;
                } else if let Some(registry) = decoded::<Start>(started.input)?.registry {
                    self.catalog.state = data(store, &registry).await?;
                }
            }
            Some(Attributes::WorkflowExecutionSignaledEventAttributes(signal))
                if signal.signal_name == CHANGE =>
            {
                // Any client can send signals.
                match decoded::<Change>(signal.input) {
                    Ok(change) => self.apply(change, time, is_sealed),
                    Err(_) => self.skipped += 1,
                }
            }
            _ => {}
        }
        self.last_event_id = event.event_id;
        Ok(())
    }

    fn apply(&mut self, change: Change, time: i64, is_sealed: bool) {
        let revision = self.catalog.revision();
        let is_beyond = change.base > revision && change.base - revision <= self.skipped;
        let applied = self.catalog.apply_logged(&change, time);
        // Without a key, any client can send what cannot be read, and a change that claims to be on top of it.
        self.is_ahead |= is_sealed && is_beyond && applied == Applied::Stale;
        self.applied.push((change.id.clone(), applied.clone()));
        if matches!(applied, Applied::Yes(_)) {
            self.entries.push(LogEntry {
                change: Some(change),
                time,
            });
        }
    }
}
