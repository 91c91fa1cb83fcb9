//! A registry whose workflow was ended, deleted or reset: what is left of it, and how it continues from there.
//!
//! Version numbers never start again. What is left is the history of the ended run, until the namespace's retention
//! removes it, and the copy. If neither can be read, but definitions were deployed, nothing is started until the
//! operator chooses with what.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::copy::FoundCopy;
use super::reader::Reader;
use super::{
    ClusterStore, Latest, REGISTRY, REGISTRY_DATA, StoreError, TRIES, piece_id, put_aside,
    unreachable,
};
use crate::catalog::{Catalog, State};
use crate::client::{ClientError, WorkflowRef};
use crate::registry::store::{Damage, Inspection, Remedy, Store, checked_piece};

/// Pieces that are checked concurrently.
const LOOKS: usize = 16;
/// A deployer writes the copy right after the log.
const COPY_PATIENCE: Duration = Duration::from_millis(200);

impl ClusterStore {
    /// Continues a registry that was ended or deleted. If there never was one, it is started.
    pub(super) async fn revive(
        &self,
        ended: Option<(String, &'static str)>,
    ) -> Result<(), StoreError> {
        let id = &self.workflow_id;
        let run_id = ended.as_ref().map(|(run_id, _)| run_id.as_str());
        let rescued = self.rescued(run_id).await;
        let why = match rescued {
            Ok(None) => self.trace().await?,
            _ => None,
        };
        // What was found may belong to a registry that another client has started since: then nothing is lost, and
        // nothing was deleted.
        if ended.is_none() && !self.is_missing().await? {
            return Ok(());
        }
        let Some(catalog) = rescued? else {
            return match why {
                Some(why) => Err(StoreError::Lost(why)),
                None => self.begin(None, None).await,
            };
        };
        let revision = catalog.revision();
        // If several clients do this at once, one starts the run: the server treats the others' starts as the same one.
        let (how, request_id) = match &ended {
            Some((run_id, status)) => (format!("was ended ({status})"), after(run_id)),
            None => (
                "was deleted".to_owned(),
                format!("segno from the copy at {revision}"),
            ),
        };
        // The client that ended the registry may have ended its data as well, which the namespace's retention would
        // remove. This is done first, so that a client that is killed before the new run starts has left everything for
        // the next one.
        let kept = self.keep_pieces(&catalog).await?;
        let state = match revision {
            0 => None,
            _ => Some(put_aside(self, catalog).await?),
        };
        self.begin(state, Some(request_id)).await?;
        if revision > 0 {
            let pieces = match kept {
                0 => String::new(),
                kept => {
                    format!("; {kept} of its pieces of data were ended too, and are stored again")
                }
            };
            self.notice(format!(
                "the registry's workflow {id} {how}: a new run continues it at revision {revision}{pieces}"
            ));
        }
        Ok(())
    }

    /// The newest catalog from an ended run and the copy; `None` if there is neither.
    async fn rescued(&self, run_id: Option<&str>) -> Result<Option<Catalog>, StoreError> {
        let copy = self.read_copy().await;
        let Some(run_id) = run_id else {
            return Ok(copy?.map(|copy| copy.catalog));
        };
        let copy = match copy {
            Err(error) if !matches!(error, StoreError::Malformed(_)) => return Err(error),
            copy => copy,
        };
        let run = self.workflow(Some(run_id.to_owned()));
        let mut own = Reader::at(run.clone());
        match (own.fold_all(self).await, copy) {
            (Ok(()), Ok(Some(copy))) if copy.catalog.revision() > own.catalog.revision() => {
                Ok(Some(copy.catalog))
            }
            (Ok(()), _) => Ok(Some(own.catalog)),
            // Signals to the run still count, on top of what the copy has.
            (Err(StoreError::Malformed(_)), Ok(Some(copy))) => {
                let mut own = Reader::on(run, copy.catalog);
                own.fold_all(self).await?;
                Ok(Some(own.catalog))
            }
            (Err(StoreError::Malformed(why)), _) => Err(StoreError::Lost(format!(
                "the history of the workflow {} cannot be read: {why}",
                self.workflow_id
            ))),
            (Err(error), _) => Err(error),
        }
    }

    async fn is_missing(&self) -> Result<bool, StoreError> {
        Ok(matches!(self.look().await?, Latest::None))
    }

    /// Evidence that definitions were deployed, though neither the registry nor its copy exists.
    async fn trace(&self) -> Result<Option<String>, StoreError> {
        let count = async |query: String| self.client.count(&query).await.map_err(unreachable);
        let id = self.workflow_id.replace('\'', "''");
        let own = format!("WorkflowType = '{REGISTRY}' AND WorkflowId = '{id}'");
        let own = count(own).await?;
        if own > 0 {
            return Ok(Some(format!(
                "{own} earlier runs of the workflow {} exist, but the last one is gone",
                self.workflow_id
            )));
        }
        let pieces = count(format!("WorkflowType = '{REGISTRY_DATA}'")).await?;
        // If there are other registries, the data is theirs.
        if pieces == 0 || count(format!("WorkflowType = '{REGISTRY}'")).await? > 0 {
            return Ok(None);
        }
        Ok(Some(format!(
            "{pieces} pieces of its data exist, but its workflow {} is gone",
            self.workflow_id
        )))
    }

    /// Stores those pieces of a catalog again that were ended and can still be read; returns their number.
    pub(super) async fn keep_pieces(&self, catalog: &Catalog) -> Result<usize, StoreError> {
        let segments = catalog.state.definitions.iter().flat_map(|d| &d.versions);
        let data = segments.filter_map(|v| v.segment.as_ref());
        let data = data.chain(&catalog.state.older);
        let hashes: BTreeSet<Vec<u8>> = data.flat_map(|data| data.pieces.clone()).collect();
        let kept = stream::iter(hashes)
            .map(|hash| async move {
                let workflow = WorkflowRef::new(piece_id(&hash), None);
                match self.client.describe(&workflow).await {
                    Ok(found) if matches!(found.workflow.status, "RUNNING" | "PAUSED") => {
                        return Ok(false);
                    }
                    Ok(_) => {}
                    Err(ClientError::NoSuchWorkflow(..)) => return Ok(false),
                    Err(error) => return Err(unreachable(error)),
                }
                match checked_piece(self, &hash).await {
                    Ok(piece) => self.put_piece(&hash, piece.bytes).await.map(|()| true),
                    Err(StoreError::Malformed(_)) => Ok(false),
                    Err(error) => Err(error),
                }
            })
            .buffer_unordered(LOOKS);
        let kept: Vec<bool> = kept.try_collect().await?;
        Ok(kept.into_iter().filter(|kept| *kept).count())
    }

    /// Starts with a state if nothing is deployed, or if what was deployed can no longer be read.
    pub(super) async fn begin_lost_with(&self, state: State) -> Result<(), StoreError> {
        let revision = state.revision;
        let taken = || {
            StoreError::Refused(format!(
                "definitions are deployed to the workflow {}",
                self.workflow_id
            ))
        };
        let request_id = match self.look().await? {
            Latest::Open { run_id, .. } => {
                let run = self.workflow(Some(run_id.clone()));
                // Read again once it can no longer be changed.
                for is_ended in [false, true] {
                    let mut reader = Reader::at(run.clone());
                    match reader.fold_all(self).await {
                        Ok(()) if reader.catalog.revision() > 0 => return Err(taken()),
                        Ok(()) | Err(StoreError::Malformed(_)) => {}
                        Err(error) => return Err(error),
                    }
                    if !is_ended {
                        self.end(&run_id, "it starts with other definitions")
                            .await?;
                    }
                }
                after(&run_id)
            }
            Latest::Ended { run_id, .. } => match self.rescued(Some(&run_id)).await {
                Ok(Some(catalog)) if catalog.revision() > 0 => return Err(taken()),
                Ok(_) | Err(StoreError::Lost(_)) => after(&run_id),
                Err(error) => return Err(error),
            },
            Latest::None => match self.read_copy().await {
                Ok(Some(copy)) if copy.catalog.revision() > 0 => return Err(taken()),
                Ok(_) | Err(StoreError::Malformed(_)) => crate::client::unique_id(),
                Err(error) => return Err(error),
            },
        };
        let catalog = Catalog {
            state: state.clone(),
        };
        self.begin(Some(state), Some(request_id)).await?;
        self.replace_copy(catalog).await?;
        match self.read().await?.revision() {
            found if found >= revision => Ok(()),
            _ => Err(StoreError::Refused(format!(
                "another client has started the workflow {} at the same time",
                self.workflow_id
            ))),
        }
    }

    pub(super) async fn look_for_damage(&self) -> Result<Inspection, StoreError> {
        let copy = match self.read_copy().await {
            Err(StoreError::Malformed(why)) => Err(why),
            // Any client can start a copy that cannot be decoded; the log itself shows whether keys are missing here.
            Err(StoreError::Sealed(why)) if !matches!(self.look().await?, Latest::None) => Err(why),
            other => Ok(other?),
        };
        let mut found = Inspection::default();
        let id = &self.workflow_id;
        let remedy = match &copy {
            Ok(Some(_)) => Remedy::Repair,
            _ => Remedy::Import,
        };
        let mut damaged = |why: String, remedy| {
            let subject = format!("the workflow {id}");
            found.damages.push(Damage::new(subject, why, remedy));
        };
        let run_id = match self.look().await? {
            Latest::Open { run_id, .. } => Some(run_id),
            Latest::Ended { run_id, status } => {
                damaged(format!("it was ended ({status})"), Remedy::Repair);
                Some(run_id)
            }
            Latest::None => {
                let trace = self.trace().await?;
                match (&copy, trace) {
                    // Another client has started it since.
                    _ if !self.is_missing().await? => {}
                    (Ok(Some(_)), _) => damaged("it was deleted".to_owned(), Remedy::Repair),
                    (_, Some(why)) => damaged(why, Remedy::Import),
                    (Ok(None), None) => {}
                    (Err(why), None) => damaged(format!("it was deleted; {why}"), Remedy::Import),
                }
                None
            }
        };
        let mut catalog = None;
        if let Some(run_id) = run_id {
            let mut reader = Reader::at(self.workflow(Some(run_id)));
            match reader.fold_all(self).await {
                Ok(()) => catalog = Some(reader.catalog),
                Err(StoreError::Malformed(why)) => damaged(why, remedy),
                Err(error) => return Err(error),
            }
            if reader.skipped > 0 {
                let why = format!("{} of its signals cannot be read", reader.skipped);
                damaged(why, Remedy::Nothing);
            }
        }
        // The notices of an inspection are among the damages.
        self.notices();
        let own = catalog.as_ref().map(Catalog::revision);
        let revision = own.unwrap_or_default();
        let is_behind = matches!(&copy, Ok(Some(copy)) if copy.catalog.revision() < revision);
        if !is_behind || self.stays_behind(revision).await? {
            found.damages.extend(self.damage_of_copy(&copy, own));
        }
        found.catalog = match copy {
            Ok(Some(copy)) if copy.catalog.revision() > revision => Some(copy.catalog),
            _ => catalog,
        };
        found.revision = found.catalog.as_ref().map_or(0, Catalog::revision);
        Ok(found)
    }

    /// Whether the copy stays behind this revision: it may be about to be written.
    async fn stays_behind(&self, revision: u64) -> Result<bool, StoreError> {
        for _ in 0..TRIES {
            tokio::time::sleep(COPY_PATIENCE).await;
            match self.read_copy().await {
                Ok(Some(found)) if found.catalog.revision() >= revision => return Ok(false),
                Ok(_) | Err(StoreError::Malformed(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn damage_of_copy(
        &self,
        copy: &Result<Option<FoundCopy>, String>,
        own: Option<u64>,
    ) -> Option<Damage> {
        let revision = own.unwrap_or_default();
        let why = match copy {
            Err(why) => why.clone(),
            Ok(None) if revision > 0 => "it does not exist".to_owned(),
            Ok(Some(copy)) if !copy.is_open => "it was ended".to_owned(),
            Ok(Some(copy)) if copy.catalog.revision() < revision => format!(
                "it is at revision {}, but the registry is at {revision}",
                copy.catalog.revision()
            ),
            Ok(Some(copy)) if own.is_some_and(|own| own < copy.catalog.revision()) => format!(
                "it is at revision {}, but the registry is at {revision}; the registry has lost changes",
                copy.catalog.revision()
            ),
            Ok(_) => return None,
        };
        let subject = "the registry's copy".to_owned();
        Some(Damage::new(subject, why, Remedy::Repair))
    }
}

impl Reader {
    /// Folds everything that exists now.
    pub(super) async fn fold_all(&mut self, store: &ClusterStore) -> Result<(), StoreError> {
        while !self.fold_page(store, false).await? {}
        Ok(())
    }
}

/// The request id for continuing an ended run.
fn after(run_id: &str) -> String {
    format!("segno after {run_id}")
}
