//! Where deployments are kept, and what every place for them can do: read, wait, change, and hold data.

use std::io::Read;

use prost::Message;
use sha2::{Digest as _, Sha256};

use crate::catalog::{Applied, Catalog, Change, Data, Segment, Version};
use crate::limits::{REGISTRY_DATA_SIZE_BYTES_MAX, REGISTRY_PIECE_SIZE_BYTES_MAX};

/// Catalogs are large and written once.
const ZSTD_LEVEL: i32 = 9;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It may answer later.
    #[error("the registry cannot be reached: {0}")]
    Unreachable(String),
    #[error("the registry holds what cannot be read: {0}")]
    Malformed(String),
    #[error("the registry is not to be written as asked: {0}")]
    Refused(String),
}

/// A place for deployments. A change counts whole or not at all, however many send changes at once.
#[async_trait::async_trait]
pub trait Store: Send + Sync {
    /// What it is called in messages.
    fn name(&self) -> String;

    /// The catalog as it is now.
    async fn read(&self) -> Result<Catalog, StoreError>;

    /// The catalog as soon as it is beyond the revision.
    async fn wait(&self, revision: u64) -> Result<Catalog, StoreError>;

    /// Adds a change to the log and says what became of it.
    async fn send(&self, change: Change) -> Result<Applied, StoreError>;

    /// Stores a piece under the SHA-256 that it has.
    async fn put_piece(&self, hash: &[u8], piece: Vec<u8>) -> Result<(), StoreError>;

    async fn piece(&self, hash: &[u8]) -> Result<Vec<u8>, StoreError>;

    /// Makes the log short, if it has become long. What cannot be done now is done by the next.
    async fn compact(&self) -> Result<(), StoreError>;
}

/// Stores a message, in as many pieces as it takes.
pub async fn put_data(store: &dyn Store, message: &impl Message) -> Result<Data, StoreError> {
    let packed = zstd::bulk::compress(&message.encode_to_vec(), ZSTD_LEVEL)
        .map_err(|e| StoreError::Malformed(e.to_string()))?;
    let mut data = Data::default();
    for piece in packed.chunks(REGISTRY_PIECE_SIZE_BYTES_MAX) {
        let hash = Sha256::digest(piece).to_vec();
        store.put_piece(&hash, piece.to_vec()).await?;
        data.pieces.push(hash);
    }
    Ok(data)
}

pub async fn data<M: Message + Default>(store: &dyn Store, data: &Data) -> Result<M, StoreError> {
    let mut packed = Vec::new();
    for hash in &data.pieces {
        let piece = store.piece(hash).await?;
        if Sha256::digest(&piece).as_slice() != hash.as_slice() {
            let message = "a piece of data is not what its hash says".to_owned();
            return Err(StoreError::Malformed(message));
        }
        packed.extend(piece);
    }
    let malformed = |e: &dyn std::fmt::Display| StoreError::Malformed(e.to_string());
    let limit = REGISTRY_DATA_SIZE_BYTES_MAX as u64;
    let mut bytes = Vec::new();
    let read = zstd::stream::read::Decoder::new(packed.as_slice())
        .and_then(|decoder| decoder.take(limit + 1).read_to_end(&mut bytes))
        .map_err(|e| malformed(&e))?;
    if read as u64 > limit {
        return Err(StoreError::Malformed(format!(
            "it unpacks to more than REGISTRY_DATA_SIZE_BYTES_MAX ({limit} bytes)"
        )));
    }
    M::decode(bytes.as_slice()).map_err(|e| malformed(&e))
}

/// The packed bundle of a version.
pub async fn bundle(store: &dyn Store, version: &Version) -> Result<Vec<u8>, StoreError> {
    let missing = || StoreError::Malformed("a version without its bundle".to_owned());
    let segment: Segment = data(store, version.segment.as_ref().ok_or_else(missing)?).await?;
    let bundle = segment.bundles.into_iter().nth(version.index as usize);
    bundle.ok_or_else(missing)
}
