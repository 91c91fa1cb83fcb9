//! Deployments in an object store or a folder: the log is a sequence of objects that are written once.

mod mend;
mod place;
mod reader;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex as PlainMutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode};
use prost::Message;
use tokio::sync::Mutex;
use url::Url;

use super::store::{Inspection, Piece, Store, StoreError, data, put_aside, put_data};
use crate::catalog::{Applied, Catalog, Change, LogEntry, Start, State};
use crate::limits::{
    REGISTRY_CHANGES_PER_SNAPSHOT, REGISTRY_ENTRIES_LOST_MAX, REGISTRY_ENTRY_MEMORY_BYTES_MAX,
    REGISTRY_ENTRY_SIZE_BYTES_MAX, REGISTRY_PIECE_SIZE_BYTES_MAX,
};
use crate::wire::decode_within;

use place::{bucket, folder};
use reader::{Entry, Reader, change_of};

/// The folder of the log's entries, and the one with copies of them.
const LOG: &str = "log";
const COPIES: &str = "copies";
/// An object store has no call that waits for a change: a reader polls for the next entry of the log at this interval.
pub(crate) const OBJECT_STORE_POLL_INTERVAL: Duration = Duration::from_millis(500);
/// After this many polls, a reader lists the log again.
const POLLS_PER_LOOK: u64 = 120;
/// The client retries a failed call for this long; then the caller gets the error.
const RETRY_TIMEOUT: Duration = Duration::from_secs(5);
const RETRIES: usize = 3;
/// Entries that a new reader fetches concurrently.
const FETCHES: usize = 16;

/// A registry at a URL: `file:///folder`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
#[derive(Debug)]
pub struct ObjectsStore {
    url: String,
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    reader: Mutex<Option<Reader>>,
    notices: PlainMutex<Vec<String>>,
}

impl ObjectsStore {
    /// Credentials, endpoints and regions are read from the environment, under the names of each provider's tools.
    pub fn open(url: &str) -> Result<ObjectsStore, StoreError> {
        let wrong = |why: String| StoreError::Refused(format!("{url}: {why}"));
        let parsed = Url::parse(url).map_err(|e| wrong(e.to_string()))?;
        let path = Path::from_url_path(parsed.path()).map_err(|e| wrong(e.to_string()))?;
        let (objects, prefix) = match parsed.scheme() {
            "file" => (folder(&parsed).map_err(&wrong)?, Path::default()),
            scheme => (bucket(scheme, url).map_err(wrong)?, path),
        };
        Ok(ObjectsStore {
            url: url.to_owned(),
            objects,
            prefix,
            reader: Mutex::default(),
            notices: PlainMutex::default(),
        })
    }

    fn folder(&self, name: &'static str) -> Path {
        self.prefix.clone().join(name)
    }

    fn numbered(&self, folder: &'static str, revision: u64) -> Path {
        self.folder(folder).join(format!("{revision:020}"))
    }

    /// `None` if the object does not exist. An object with more bytes than may be stored there counts as empty: no
    /// deployer has written it.
    async fn get(&self, path: &Path, size_max: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let found = match self.objects.get(path).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(unreachable(error)),
        };
        if found.meta.size > size_max as u64 {
            self.notice(format!(
                "{path} is ignored: it has {} bytes, more than {size_max}",
                found.meta.size
            ));
            return Ok(Some(Vec::new()));
        }
        Ok(Some(found.bytes().await.map_err(unreachable)?.to_vec()))
    }

    /// An entry of the log, of its copies or of the snapshots.
    async fn get_entry(
        &self,
        folder: &'static str,
        revision: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.numbered(folder, revision);
        self.get(&path, REGISTRY_ENTRY_SIZE_BYTES_MAX).await
    }

    /// False if the object already exists.
    async fn create(&self, path: &Path, message: &impl Message) -> Result<bool, StoreError> {
        let payload = message.encode_to_vec().into();
        let put = self
            .objects
            .put_opts(path, payload, PutMode::Create.into())
            .await;
        match put {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(unreachable(error)),
        }
    }

    /// The revisions of a folder's objects beyond this one, in order.
    async fn revisions(&self, folder: &'static str, after: u64) -> Result<Vec<u64>, StoreError> {
        let offset = self.numbered(folder, after);
        let listed = self
            .objects
            .list_with_offset(Some(&self.folder(folder)), &offset);
        let listed: Vec<_> = listed.try_collect().await.map_err(unreachable)?;
        let numbers = listed
            .iter()
            .filter_map(|object| object.location.filename()?.parse().ok());
        let mut numbers: Vec<u64> = numbers.filter(|number| *number > after).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The newest snapshot, and all entries after it.
    async fn begin(&self) -> Result<Reader, StoreError> {
        let mut reader = Reader::default();
        // If one cannot be read, the one before is used: the log is complete.
        for revision in self.revisions("snapshots", 0).await?.into_iter().rev() {
            match self.snapshot(revision).await {
                Ok(catalog) => {
                    reader = Reader {
                        catalog,
                        snapshot: revision,
                        ..Reader::default()
                    };
                    break;
                }
                Err(StoreError::Malformed(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let entries = self.entries(reader.snapshot).await?;
        // A missing one was lost, since nothing is written after a gap. An entry far behind a gap is a stranger's.
        let mut last = reader.snapshot;
        for entry in entries {
            if entry - last > REGISTRY_ENTRIES_LOST_MAX {
                break;
            }
            last = entry;
        }
        let all = reader.snapshot + 1..=last;
        let fetched = stream::iter(all)
            .map(|revision| self.entry(revision))
            .buffered(FETCHES);
        let fetched: Vec<_> = fetched.try_collect().await?;
        for entry in &fetched {
            reader.fold(entry);
        }
        if let Some(notice) = reader.notice() {
            self.notice(notice);
        }
        Ok(reader)
    }

    /// The revisions beyond this one that have an entry, or a copy of one.
    async fn entries(&self, after: u64) -> Result<BTreeSet<u64>, StoreError> {
        let mut entries: BTreeSet<u64> = self.revisions(LOG, after).await?.into_iter().collect();
        entries.extend(self.revisions(COPIES, after).await?);
        Ok(entries)
    }

    async fn entry(&self, revision: u64) -> Result<Entry, StoreError> {
        let entry = self.get_entry(LOG, revision).await?;
        match entry {
            Some(entry) if change_of(&entry).is_some() => return Ok(Entry::Whole(entry)),
            _ => {}
        }
        let copy = self.get_entry(COPIES, revision).await?;
        Ok(match copy.filter(|copy| change_of(copy).is_some()) {
            Some(copy) => Entry::Copied(copy),
            None => Entry::Lost,
        })
    }

    /// Written after its entry; the next deployer, or `repair`, completes what a killed one has left undone. A missing
    /// copy does not affect the deployment.
    async fn copy(&self, revision: u64) {
        let copied = async {
            let path = self.numbered(COPIES, revision);
            match self.get_entry(LOG, revision).await? {
                // A truncated entry does not replace a good copy.
                Some(entry) if change_of(&entry).is_some() => {
                    let put = self.objects.put(&path, entry.into()).await;
                    put.map(drop).map_err(unreachable)
                }
                _ => Ok(()),
            }
        };
        if let Err(error) = copied.await {
            self.notice(format!(
                "the log's entry {revision} could not be written a second time: {error}"
            ));
        }
    }

    fn notice(&self, notice: String) {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        if !notices.contains(&notice) {
            notices.push(notice);
        }
    }

    async fn snapshot(&self, revision: u64) -> Result<Catalog, StoreError> {
        let malformed = |why: &str| StoreError::Malformed(format!("snapshot {revision}: {why}"));
        let start = self.get_entry("snapshots", revision).await?;
        let start = start.ok_or_else(|| malformed("it is gone"))?;
        let start = decode_within::<Start>(&start, REGISTRY_ENTRY_MEMORY_BYTES_MAX)
            .map_err(|e| malformed(&e.to_string()))?;
        let registry = start.registry.ok_or_else(|| malformed("it is empty"))?;
        let catalog = Catalog {
            state: data(self, &registry).await?,
        };
        match catalog.revision() == revision {
            true => Ok(catalog),
            false => Err(malformed("it belongs to another revision")),
        }
    }

    /// Folds what was added since the last time.
    async fn catch_up<'a>(
        &self,
        reader: &'a mut Option<Reader>,
    ) -> Result<&'a mut Reader, StoreError> {
        let known = match reader.take() {
            // Records accumulate in memory: those that a snapshot has stored are dropped.
            Some(known) if known.is_long() && self.next(&known).await?.is_some() => None,
            // A registry that began with an import has no first entry.
            Some(known) if known.catalog.revision() == 0 => None,
            known => known,
        };
        let reader = match known {
            Some(known) => reader.insert(known),
            None => reader.insert(self.begin().await?),
        };
        while let Some(entry) = self.next(reader).await? {
            reader.fold(&entry);
        }
        Ok(reader)
    }

    async fn next(&self, reader: &Reader) -> Result<Option<Entry>, StoreError> {
        let next = reader.catalog.revision() + 1;
        match self.get_entry(LOG, next).await? {
            None => Ok(None),
            Some(entry) if change_of(&entry).is_some() => Ok(Some(Entry::Whole(entry))),
            Some(_) => Ok(Some(self.entry(next).await?)),
        }
    }
}

#[async_trait::async_trait]
impl Store for ObjectsStore {
    fn name(&self) -> String {
        self.url.clone()
    }

    async fn read(&self) -> Result<Catalog, StoreError> {
        let mut reader = self.reader.lock().await;
        Ok(self.catch_up(&mut reader).await?.catalog.clone())
    }

    async fn look_up(&self) -> Result<Option<Catalog>, StoreError> {
        let catalog = self.begin().await?.catalog;
        Ok(Some(catalog).filter(|catalog| catalog.revision() > 0))
    }

    fn notices(&self) -> Vec<String> {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut notices)
    }

    async fn inspect(&self) -> Result<Inspection, StoreError> {
        self.look_for_damage().await
    }

    async fn repair(&self) -> Result<Vec<String>, StoreError> {
        self.mend_log().await
    }

    async fn begin_with(&self, state: State) -> Result<(), StoreError> {
        self.begin_lost_with(state).await
    }

    async fn wait(&self, revision: u64) -> Result<Catalog, StoreError> {
        let mut polls = 0;
        loop {
            let catalog = self.read().await?;
            if catalog.revision() > revision {
                return Ok(catalog);
            }
            if catalog.revision() < revision {
                return Err(StoreError::Malformed(format!(
                    "it is at revision {}, but was at {revision} before; another client has started it anew",
                    catalog.revision()
                )));
            }
            // An import, and what follows a lost entry, is not found by reading the next entry.
            polls += 1;
            if polls % POLLS_PER_LOOK == 0 {
                *self.reader.lock().await = None;
            }
            tokio::time::sleep(OBJECT_STORE_POLL_INTERVAL).await;
        }
    }

    async fn send(&self, change: Change) -> Result<Applied, StoreError> {
        let mut reader = self.reader.lock().await;
        let reader = self.catch_up(&mut reader).await?;
        reader.refuse_uncertain()?;
        let next = reader.catalog.revision();
        if let Some(beyond) = self.entries(next).await?.last() {
            // Nothing is written into a gap. Another client may just have been faster.
            if self.next(reader).await?.is_none() {
                let beyond = *beyond;
                *reader = self.begin().await?;
                if reader.catalog.revision() < beyond {
                    return Err(StoreError::Unreachable(format!(
                        "the log has an entry {beyond} that cannot be read"
                    )));
                }
            }
            return Ok(Applied::Stale);
        }
        let change = reader.catalog.numbered(change);
        let time = SystemTime::now().duration_since(UNIX_EPOCH);
        let entry = LogEntry {
            time: time.map_or(0, |time| time.as_millis() as i64),
            change: Some(change.clone()),
        };
        let mut next = reader.catalog.clone();
        let revision = match next.apply(&change, entry.time) {
            Applied::Yes(revision) => revision,
            other => return Ok(other),
        };
        let path = self.numbered(LOG, revision);
        if self.create(&path, &entry).await? {
            reader.catalog = next;
            // The previous one may be missing because its deployer was killed before it wrote this.
            for revision in [revision.saturating_sub(1), revision] {
                if revision > reader.snapshot {
                    self.copy(revision).await;
                }
            }
            return Ok(Applied::Yes(revision));
        }
        // Another client was first, or the answer to an earlier attempt to write this entry was lost.
        let there = self.get_entry(LOG, revision).await?.unwrap_or_default();
        let is_own = change_of(&there).is_some_and(|(there, _)| there.id == change.id);
        if is_own {
            self.copy(revision).await;
        }
        reader.fold(&self.entry(revision).await?);
        Ok(match is_own {
            true => Applied::Yes(revision),
            false => Applied::Stale,
        })
    }

    async fn put_piece(&self, hash: &[u8], piece: Vec<u8>) -> Result<(), StoreError> {
        let put = self.objects.put(&self.piece_path(hash), piece.into()).await;
        put.map(drop).map_err(unreachable)
    }

    async fn replace_piece(&self, hash: &[u8], piece: Vec<u8>) -> Result<(), StoreError> {
        self.put_piece(hash, piece).await
    }

    async fn piece(&self, hash: &[u8]) -> Result<Piece, StoreError> {
        let path = self.piece_path(hash);
        let missing = || StoreError::Malformed(format!("{path} does not exist"));
        let bytes = self
            .get(&path, REGISTRY_PIECE_SIZE_BYTES_MAX)
            .await?
            .ok_or_else(missing)?;
        Ok(Piece {
            bytes,
            ending: None,
        })
    }

    async fn compact(&self) -> Result<(), StoreError> {
        let mut reader = self.reader.lock().await;
        let reader = self.catch_up(&mut reader).await?;
        let revision = reader.catalog.revision();
        if revision - reader.snapshot < REGISTRY_CHANGES_PER_SNAPSHOT {
            return Ok(());
        }
        self.add_snapshot(reader).await?;
        Ok(())
    }
}

impl ObjectsStore {
    /// False if this revision has one.
    async fn add_snapshot(&self, reader: &mut Reader) -> Result<bool, StoreError> {
        let revision = reader.catalog.revision();
        let state = put_aside(self, reader.catalog.clone()).await?;
        let start = Start {
            registry: Some(put_data(self, &state).await?),
        };
        let path = self.numbered("snapshots", revision);
        let is_new = self.create(&path, &start).await?;
        (reader.snapshot, reader.catalog.state) = (revision, state);
        Ok(is_new)
    }

    fn piece_path(&self, hash: &[u8]) -> Path {
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder("pieces").join(hex)
    }
}

fn unreachable(error: Error) -> StoreError {
    match error {
        Error::NotImplemented { .. } | Error::NotSupported { .. } => {
            StoreError::Refused(error.to_string())
        }
        error => StoreError::Unreachable(error.to_string()),
    }
}
