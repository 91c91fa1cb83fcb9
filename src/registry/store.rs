//! Where deployments are kept, and what every place for them supports: read, wait, change, and store data.

use std::io::Read;

use prost::Message;
use sha2::{Digest as _, Sha256};

use crate::catalog::{Applied, Catalog, Change, Data, Segment, State, Version};
use crate::limits::{
    REGISTRY_DATA_MEMORY_BYTES_MAX, REGISTRY_DATA_SIZE_BYTES_MAX, REGISTRY_PIECE_SIZE_BYTES_MAX,
    REGISTRY_SEGMENT_SIZE_BYTES_MAX, REGISTRY_WINDOW_SIZE_LOG2_MAX,
};
use crate::wire::{Bounded, decode_within};

/// Catalogs are large and written once.
const ZSTD_LEVEL: i32 = 9;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It may answer later.
    #[error("the registry cannot be reached: {0}")]
    Unreachable(String),
    #[error("the registry contains unreadable data: {0}")]
    Malformed(String),
    /// It is encoded, and the reader lacks the codecs or keys: the data itself is fine.
    #[error("the registry cannot be read here: {0}")]
    Sealed(String),
    #[error("the registry cannot be changed as requested: {0}")]
    Refused(String),
    /// Definitions were deployed here, and nothing is left to rebuild the catalog from.
    #[error("the registry has lost its definitions: {0}")]
    Lost(String),
}

/// A piece of data as it is stored.
#[derive(Debug, Clone)]
pub struct Piece {
    pub(crate) bytes: Vec<u8>,
    /// Why it will not be kept, for example because its workflow was ended.
    pub(crate) ending: Option<String>,
}

/// A damage of a registry, and its remedy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Damage {
    /// The subject: a version such as `order@12`, or a part of the registry.
    pub(crate) subject: String,
    pub(crate) why: String,
    pub(crate) remedy: Remedy,
}

impl Damage {
    pub(crate) fn new(subject: String, why: String, remedy: Remedy) -> Damage {
        Damage {
            subject,
            why,
            remedy,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Remedy {
    /// `segno definitions repair`, or the next deployment.
    Repair,
    /// Deploying the same text again, or importing an export that has it.
    Text,
    /// Importing an export, or `repair --from-nothing`.
    Import,
    /// None: it is reported, and affects nothing else.
    Nothing,
}

/// A registry's log as it was found, without repairs.
#[derive(Debug, Default)]
pub struct Inspection {
    /// The newest catalog that can be restored.
    pub(crate) catalog: Option<Catalog>,
    /// The highest revision of which there is evidence.
    pub(crate) revision: u64,
    pub(crate) damages: Vec<Damage>,
}

/// A place for deployments. A change takes effect completely or not at all, however many clients send changes
/// concurrently.
#[async_trait::async_trait]
pub trait Store: Send + Sync {
    /// Its name in messages.
    fn name(&self) -> String;

    /// The current catalog. A log that was ended is continued from what is left of it, which `notices` reports.
    async fn read(&self) -> Result<Catalog, StoreError>;

    /// The current catalog, read only: nothing is started, repaired or waited for. `None` if nothing was deployed.
    async fn look_up(&self) -> Result<Option<Catalog>, StoreError>;

    /// Events of the registry that people should know of, since the last call.
    fn notices(&self) -> Vec<String>;

    /// Inspects the log and changes nothing.
    async fn inspect(&self) -> Result<Inspection, StoreError>;

    /// Restores the log, as far as the remaining data allows, and returns what was done.
    async fn repair(&self) -> Result<Vec<String>, StoreError>;

    /// Starts with this state if nothing is deployed, or if what was deployed is lost.
    async fn begin_with(&self, state: State) -> Result<(), StoreError>;

    /// The catalog as soon as it is beyond the revision.
    async fn wait(&self, revision: u64) -> Result<Catalog, StoreError>;

    /// Adds a change to the log and returns its result.
    async fn send(&self, change: Change) -> Result<Applied, StoreError>;

    /// Stores a piece under its SHA-256.
    async fn put_piece(&self, hash: &[u8], piece: Vec<u8>) -> Result<(), StoreError>;

    /// Replaces whatever is stored under the hash.
    async fn replace_piece(&self, hash: &[u8], piece: Vec<u8>) -> Result<(), StoreError>;

    async fn piece(&self, hash: &[u8]) -> Result<Piece, StoreError>;

    /// Shortens the log if it has become long. What cannot be done now is done by the next call.
    async fn compact(&self) -> Result<(), StoreError>;
}

/// The state with which a run of a registry, a snapshot or a copy begins: its old records are stored separately.
#[cfg(feature = "cluster")]
pub(crate) async fn put_aside(
    store: &dyn Store,
    mut catalog: Catalog,
) -> Result<State, StoreError> {
    if let Some(page) = catalog.take_old_records() {
        catalog.state.older = Some(put_data(store, &page).await?);
    }
    Ok(catalog.state)
}

/// Stores a message, in as many pieces as needed.
pub async fn put_data(store: &dyn Store, message: &impl Message) -> Result<Data, StoreError> {
    let packed = zstd::bulk::compress(&message.encode_to_vec(), ZSTD_LEVEL)
        .map_err(|e| StoreError::Malformed(e.to_string()))?;
    let mut data = Data::default();
    for piece in packed.chunks(REGISTRY_PIECE_SIZE_BYTES_MAX) {
        let hash = Sha256::digest(piece).to_vec();
        store.put_piece(&hash, piece.to_vec()).await?;
        // A client that knows what will be stored can store something else under its hash before.
        match checked_piece(store, &hash).await {
            Err(StoreError::Malformed(_) | StoreError::Sealed(_)) => {
                store.replace_piece(&hash, piece.to_vec()).await?;
            }
            checked => drop(checked?),
        }
        data.pieces.push(hash);
    }
    Ok(data)
}

pub(crate) async fn data<M: Bounded>(store: &dyn Store, data: &Data) -> Result<M, StoreError> {
    let limit = ("REGISTRY_DATA_SIZE_BYTES_MAX", REGISTRY_DATA_SIZE_BYTES_MAX);
    message(store, data, limit, REGISTRY_DATA_MEMORY_BYTES_MAX).await
}

pub(crate) async fn segment(store: &dyn Store, data: &Data) -> Result<Segment, StoreError> {
    let limit = (
        "REGISTRY_SEGMENT_SIZE_BYTES_MAX",
        REGISTRY_SEGMENT_SIZE_BYTES_MAX,
    );
    message(store, data, limit, 2 * REGISTRY_SEGMENT_SIZE_BYTES_MAX).await
}

async fn message<M: Bounded>(
    store: &dyn Store,
    data: &Data,
    (name, limit): (&str, usize),
    memory_max: usize,
) -> Result<M, StoreError> {
    // Packed data is hardly larger than what it unpacks to.
    let pieces_max = limit / REGISTRY_PIECE_SIZE_BYTES_MAX + 1;
    if data.pieces.len() > pieces_max {
        return Err(StoreError::Malformed(format!(
            "it has {} pieces; {name} ({limit} bytes) allows {pieces_max}",
            data.pieces.len()
        )));
    }
    let mut packed = Vec::new();
    for hash in &data.pieces {
        packed.extend(checked_piece(store, hash).await?.bytes);
    }
    let malformed = |e: &dyn std::fmt::Display| StoreError::Malformed(e.to_string());
    let mut bytes = Vec::new();
    let read = zstd::stream::read::Decoder::new(packed.as_slice())
        .and_then(|mut decoder| {
            decoder.window_log_max(REGISTRY_WINDOW_SIZE_LOG2_MAX)?;
            decoder.take(limit as u64 + 1).read_to_end(&mut bytes)
        })
        .map_err(|e| malformed(&e))?;
    if read > limit {
        return Err(StoreError::Malformed(format!(
            "it unpacks to more than {name} ({limit} bytes)"
        )));
    }
    decode_within(&bytes, memory_max).map_err(|e| malformed(&e))
}

/// A piece whose content matches its hash.
pub(crate) async fn checked_piece(store: &dyn Store, hash: &[u8]) -> Result<Piece, StoreError> {
    let piece = store.piece(hash).await?;
    if piece.bytes.len() > REGISTRY_PIECE_SIZE_BYTES_MAX {
        return Err(StoreError::Malformed(format!(
            "a piece of data has more than REGISTRY_PIECE_SIZE_BYTES_MAX ({REGISTRY_PIECE_SIZE_BYTES_MAX} bytes)"
        )));
    }
    match Sha256::digest(&piece.bytes).as_slice() == hash {
        true => Ok(piece),
        false => Err(StoreError::Malformed(
            "a piece of data does not have the content that its hash names".to_owned(),
        )),
    }
}

/// The packed bundle of a version.
pub(crate) async fn bundle(store: &dyn Store, version: &Version) -> Result<Vec<u8>, StoreError> {
    let missing = || StoreError::Malformed("a version without its bundle".to_owned());
    let segment = segment(store, version.segment.as_ref().ok_or_else(missing)?).await?;
    let bundle = segment.bundles.into_iter().nth(version.index as usize);
    bundle.ok_or_else(missing)
}
