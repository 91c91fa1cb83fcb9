//! Deployments in an object store or a folder: the log is a sequence of objects that are written once.

use std::sync::{Arc, Mutex as PlainMutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, RetryConfig};
use prost::Message;
use tokio::sync::Mutex;
use url::Url;

use super::store::{
    Damage, Inspection, Piece, Remedy, Store, StoreError, data, put_aside, put_data,
};
use crate::catalog::{Applied, Catalog, Change, LogEntry, Put, Start, State};
use crate::limits::{
    REGISTRY_CHANGES_PER_RUN_MAX, REGISTRY_CHANGES_PER_SNAPSHOT, REGISTRY_DATA_SIZE_BYTES_MAX,
    REGISTRY_ENTRIES_LOST_MAX,
};

/// An object store has no call that waits for a change: a reader asks for the next entry of the log this often.
pub const OBJECT_STORE_POLL_INTERVAL: Duration = Duration::from_millis(500);
/// After this many polls a reader lists the log anew.
const POLLS_PER_LOOK: u64 = 120;
/// A call that fails is made again by the client for this long; then whoever made it hears of it.
const RETRY_TIMEOUT: Duration = Duration::from_secs(5);
const RETRIES: usize = 3;
/// Entries are fetched this many at a time by a reader that begins.
const FETCHES: usize = 16;

/// A registry under an URL: `file:///folder`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
#[derive(Debug)]
pub struct ObjectsStore {
    url: String,
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    reader: Mutex<Option<Reader>>,
    notices: PlainMutex<Vec<String>>,
}

/// What was folded, and the revision of the snapshot that it began with.
#[derive(Debug, Default)]
struct Reader {
    catalog: Catalog,
    snapshot: u64,
    /// Revisions whose entries are gone or cannot be read: what they did is not in force.
    lost: Vec<u64>,
    /// A change that came after a lost one does not say which numbers it gives, so they may have been others.
    is_uncertain: bool,
}

impl ObjectsStore {
    /// Credentials, endpoints and regions come from the environment, under the names that each provider's tools have.
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

    /// None where there is no such object.
    async fn get(&self, path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
        let found = match self.objects.get(path).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(unreachable(error)),
        };
        if found.meta.size > REGISTRY_DATA_SIZE_BYTES_MAX as u64 {
            let message = format!(
                "{path} has {} bytes; REGISTRY_DATA_SIZE_BYTES_MAX is {REGISTRY_DATA_SIZE_BYTES_MAX}",
                found.meta.size
            );
            return Err(StoreError::Malformed(message));
        }
        Ok(Some(found.bytes().await.map_err(unreachable)?.to_vec()))
    }

    /// False where there is such an object already.
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
        // One that cannot be read leaves it to the one before: the log is all there.
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
        let entries = self.revisions("log", reader.snapshot).await?;
        // One that is not there was lost: nobody writes behind a gap. What is far behind one is a stranger's.
        let mut last = reader.snapshot;
        for entry in entries {
            if entry - last > REGISTRY_ENTRIES_LOST_MAX {
                break;
            }
            last = entry;
        }
        let all = reader.snapshot + 1..=last;
        let fetched = stream::iter(all)
            .map(|revision| async move { self.get(&self.numbered("log", revision)).await })
            .buffered(FETCHES);
        let fetched: Vec<_> = fetched.try_collect().await?;
        for entry in fetched {
            reader.fold(entry.as_deref());
        }
        if let Some(notice) = reader.notice() {
            self.notice(notice);
        }
        Ok(reader)
    }

    fn notice(&self, notice: String) {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        if !notices.contains(&notice) {
            notices.push(notice);
        }
    }

    async fn snapshot(&self, revision: u64) -> Result<Catalog, StoreError> {
        let malformed = |why: &str| StoreError::Malformed(format!("snapshot {revision}: {why}"));
        let start = self.get(&self.numbered("snapshots", revision)).await?;
        let start = start.ok_or_else(|| malformed("it is gone"))?;
        let start = Start::decode(start.as_slice()).map_err(|e| malformed(&e.to_string()))?;
        let registry = start.registry.ok_or_else(|| malformed("it is empty"))?;
        let catalog = Catalog {
            state: data(self, &registry).await?,
        };
        match catalog.revision() == revision {
            true => Ok(catalog),
            false => Err(malformed("it is of another revision")),
        }
    }

    /// Folds what has come since the last time.
    async fn catch_up<'a>(
        &self,
        reader: &'a mut Option<Reader>,
    ) -> Result<&'a mut Reader, StoreError> {
        let known = match reader.take() {
            // Records pile up in memory: those that a snapshot has put aside are let go.
            Some(known) if known.is_long() && self.next(&known).await?.is_some() => None,
            // What is begun by an import has no first entry.
            Some(known) if known.catalog.revision() == 0 => None,
            known => known,
        };
        let reader = match known {
            Some(known) => reader.insert(known),
            None => reader.insert(self.begin().await?),
        };
        while let Some(entry) = self.next(reader).await? {
            reader.fold(Some(&entry));
        }
        Ok(reader)
    }

    async fn next(&self, reader: &Reader) -> Result<Option<Vec<u8>>, StoreError> {
        let next = reader.catalog.revision() + 1;
        self.get(&self.numbered("log", next)).await
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

    fn notices(&self) -> Vec<String> {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut notices)
    }

    async fn inspect(&self) -> Result<Inspection, StoreError> {
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
                    "it is gone or cannot be read, and a later one depends on it",
                    Remedy::Import,
                ),
                false => (
                    "it is gone or cannot be read: what it did is not in force",
                    Remedy::Text,
                ),
            };
            let subject = self.numbered("log", *revision).to_string();
            found
                .damages
                .push(Damage::new(subject, why.to_owned(), remedy));
        }
        found.catalog = Some(reader.catalog);
        Ok(found)
    }

    async fn repair(&self) -> Result<Vec<String>, StoreError> {
        let mut reader = self.reader.lock().await;
        let reader = reader.insert(self.begin().await?);
        reader.refuse_uncertain()?;
        if reader.lost.is_empty() {
            return Ok(Vec::new());
        }
        // From here on nobody has to pass over what is lost.
        let revision = reader.catalog.revision();
        self.add_snapshot(reader).await?;
        Ok(vec![format!(
            "wrote a snapshot at revision {revision}, which passes over {}",
            lost(&std::mem::take(&mut reader.lost))
        )])
    }

    async fn begin_with(&self, state: State) -> Result<(), StoreError> {
        let mut reader = self.reader.lock().await;
        let there = self.begin().await?;
        let last = there.catalog.revision();
        // What is after it in the log still counts.
        let first_lost = there.lost.last().copied().unwrap_or_default();
        if last > 0 && !there.is_uncertain {
            return Err(StoreError::Refused(format!(
                "definitions are deployed to {}",
                self.url
            )));
        }
        if state.revision < first_lost {
            return Err(StoreError::Refused(format!(
                "it is of revision {}, and the log has lost its entry {first_lost}",
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

    async fn wait(&self, revision: u64) -> Result<Catalog, StoreError> {
        let mut polls = 0;
        loop {
            let catalog = self.read().await?;
            if catalog.revision() > revision {
                return Ok(catalog);
            }
            if catalog.revision() < revision {
                return Err(StoreError::Malformed(format!(
                    "it is at revision {}, and was at {revision} before: somebody has begun it anew",
                    catalog.revision()
                )));
            }
            // An import, and what comes after an entry that was lost, is not found by asking for the next entry.
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
        if let Some(beyond) = self.revisions("log", next).await?.last() {
            // Nothing is written into a gap. Somebody may just have been quicker.
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
        let path = self.numbered("log", revision);
        if self.create(&path, &entry).await? {
            reader.catalog = next;
            return Ok(Applied::Yes(revision));
        }
        // Somebody was first, or the answer to a first try of this very entry was lost on its way.
        let there = self.get(&path).await?.unwrap_or_default();
        reader.fold(Some(&there));
        Ok(match change_of(&there) {
            Some((there, _)) if there.id == change.id => Applied::Yes(revision),
            _ => Applied::Stale,
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
        let missing = || StoreError::Malformed(format!("{path} is not there"));
        let bytes = self.get(&path).await?.ok_or_else(missing)?;
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
    /// False where there is one of this revision.
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

    fn piece_path(&self, hash: &[u8]) -> Path {
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder("pieces").join(hex)
    }
}

impl Reader {
    /// None is an entry that is gone.
    fn fold(&mut self, entry: Option<&[u8]>) {
        let revision = self.catalog.revision() + 1;
        match entry.and_then(change_of) {
            Some((change, time)) => {
                let says_no_number = |put: &Put| {
                    let known = self.catalog.definition(&put.workflow);
                    put.number == 0 && known.is_none_or(|d| d.version_of(&put.digest).is_none())
                };
                let is_uncertain = change.puts.iter().any(says_no_number);
                let applied = self.catalog.apply(&change, time);
                self.is_uncertain |=
                    is_uncertain && !self.lost.is_empty() && matches!(applied, Applied::Yes(_));
            }
            None => self.lost.push(revision),
        }
        // What is no change counts for nothing, but its place in the log is taken.
        self.catalog.state.revision = revision;
    }

    fn notice(&self) -> Option<String> {
        let what = lost(&self.lost);
        match (self.lost.is_empty(), self.is_uncertain) {
            (true, _) => None,
            (_, false) => Some(format!("{what}: what it did is not in force")),
            (_, true) => Some(format!(
                "{what}, and later ones depend on it: some versions may have other numbers than before"
            )),
        }
    }

    /// A deployment on top would make wrong numbers lasting ones.
    fn refuse_uncertain(&self) -> Result<(), StoreError> {
        match self.is_uncertain {
            true => Err(StoreError::Lost(format!(
                "{}, and later ones depend on it",
                lost(&self.lost)
            ))),
            false => Ok(()),
        }
    }

    fn is_long(&self) -> bool {
        self.catalog.revision() - self.snapshot >= REGISTRY_CHANGES_PER_RUN_MAX
    }
}

fn lost(revisions: &[u64]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<_> = revisions.iter().take(SHOWN).map(u64::to_string).collect();
    let more = match revisions.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("the log has lost its entry {}{more}", shown.join(", "))
}

fn change_of(entry: &[u8]) -> Option<(Change, i64)> {
    let entry = LogEntry::decode(entry).ok()?;
    Some((entry.change?, entry.time))
}

fn folder(url: &Url) -> Result<Arc<dyn ObjectStore>, String> {
    let path = url
        .to_file_path()
        .map_err(|()| "a file URL has three slashes and no host: file:///folder".to_owned())?;
    std::fs::create_dir_all(&path).map_err(|e| e.to_string())?;
    let objects = LocalFileSystem::new_with_prefix(path).map_err(|e| e.to_string())?;
    Ok(Arc::new(objects))
}

fn bucket(scheme: &str, url: &str) -> Result<Arc<dyn ObjectStore>, String> {
    // The client wants to be told which cryptography it uses; that somebody has told it is as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let retry = RetryConfig {
        max_retries: RETRIES,
        retry_timeout: RETRY_TIMEOUT,
        ..RetryConfig::default()
    };
    let text = |error: Error| error.to_string();
    Ok(match scheme {
        "s3" => {
            let builder = AmazonS3Builder::from_env().with_url(url);
            Arc::new(builder.with_retry(retry).build().map_err(text)?)
        }
        "gs" => {
            let builder = GoogleCloudStorageBuilder::from_env().with_url(url);
            Arc::new(builder.with_retry(retry).build().map_err(text)?)
        }
        "az" => {
            let builder = MicrosoftAzureBuilder::from_env().with_url(url);
            Arc::new(builder.with_retry(retry).build().map_err(text)?)
        }
        _ => return Err("a registry is at file:, s3:, gs: or az:".to_owned()),
    })
}

fn unreachable(error: Error) -> StoreError {
    match error {
        Error::NotImplemented { .. } | Error::NotSupported { .. } => {
            StoreError::Refused(error.to_string())
        }
        error => StoreError::Unreachable(error.to_string()),
    }
}
