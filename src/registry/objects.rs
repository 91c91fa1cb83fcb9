//! Deployments in an object store or a folder: the log is a sequence of objects that are written once.

use std::sync::Arc;
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

use super::store::{Store, StoreError, data, put_data};
use crate::catalog::{Applied, Catalog, Change, LogEntry, Start};
use crate::limits::{
    REGISTRY_CHANGES_PER_RUN_MAX, REGISTRY_CHANGES_PER_SNAPSHOT, REGISTRY_DATA_SIZE_BYTES_MAX,
};

/// An object store has no call that waits for a change: a reader asks for the next entry of the log this often.
pub const OBJECT_STORE_POLL_INTERVAL: Duration = Duration::from_millis(500);
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
}

/// What was folded, and the revision of the snapshot that it began with.
#[derive(Debug)]
struct Reader {
    catalog: Catalog,
    snapshot: u64,
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
        let mut reader = Reader {
            catalog: Catalog::default(),
            snapshot: 0,
        };
        // One that cannot be read leaves it to the one before: the log is all there.
        for revision in self.revisions("snapshots", 0).await?.into_iter().rev() {
            match self.snapshot(revision).await {
                Ok(catalog) => {
                    reader = Reader {
                        catalog,
                        snapshot: revision,
                    };
                    break;
                }
                Err(StoreError::Malformed(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let entries = self.revisions("log", reader.snapshot).await?;
        // What is behind a gap is not in force: nobody writes there.
        let expected = reader.snapshot + 1..;
        let entries = entries.into_iter().zip(expected);
        let entries: Vec<u64> = entries
            .take_while(|(found, expected)| found == expected)
            .map(|(found, _)| found)
            .collect();
        let fetched = stream::iter(entries)
            .map(|revision| async move { self.get(&self.numbered("log", revision)).await })
            .buffered(FETCHES);
        let fetched: Vec<_> = fetched.try_collect().await?;
        for entry in fetched.into_iter().flatten() {
            reader.fold(&entry);
        }
        Ok(reader)
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

    async fn wait(&self, revision: u64) -> Result<Catalog, StoreError> {
        loop {
            let catalog = self.read().await?;
            if catalog.revision() > revision {
                return Ok(catalog);
            }
            tokio::time::sleep(OBJECT_STORE_POLL_INTERVAL).await;
        }
    }

    async fn send(&self, change: Change) -> Result<Applied, StoreError> {
        let mut reader = self.reader.lock().await;
        let reader = self.catch_up(&mut reader).await?;
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
        reader.fold(&there);
        Ok(match change_of(&there) {
            Some((there, _)) if there.id == change.id => Applied::Yes(revision),
            _ => Applied::Stale,
        })
    }

    async fn put_piece(&self, hash: &[u8], piece: Vec<u8>) -> Result<(), StoreError> {
        let put = self.objects.put(&self.piece_path(hash), piece.into()).await;
        put.map(drop).map_err(unreachable)
    }

    async fn piece(&self, hash: &[u8]) -> Result<Vec<u8>, StoreError> {
        let path = self.piece_path(hash);
        let missing = || StoreError::Malformed(format!("{path} is not there"));
        self.get(&path).await?.ok_or_else(missing)
    }

    async fn compact(&self) -> Result<(), StoreError> {
        let mut reader = self.reader.lock().await;
        let reader = self.catch_up(&mut reader).await?;
        let revision = reader.catalog.revision();
        if revision - reader.snapshot < REGISTRY_CHANGES_PER_SNAPSHOT {
            return Ok(());
        }
        let mut catalog = reader.catalog.clone();
        if let Some(page) = catalog.take_old_records() {
            catalog.state.older = Some(put_data(self, &page).await?);
        }
        let start = Start {
            registry: Some(put_data(self, &catalog.state).await?),
        };
        self.create(&self.numbered("snapshots", revision), &start)
            .await?;
        reader.snapshot = revision;
        reader.catalog = catalog;
        Ok(())
    }
}

impl ObjectsStore {
    fn piece_path(&self, hash: &[u8]) -> Path {
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder("pieces").join(hex)
    }
}

impl Reader {
    fn fold(&mut self, entry: &[u8]) {
        let revision = self.catalog.revision() + 1;
        if let Some((change, time)) = change_of(entry) {
            self.catalog.apply(&change, time);
        }
        // What is no change counts for nothing, but its place in the log is taken.
        self.catalog.state.revision = revision;
    }

    fn is_long(&self) -> bool {
        self.catalog.revision() - self.snapshot >= REGISTRY_CHANGES_PER_RUN_MAX
    }
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
