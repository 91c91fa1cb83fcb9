//! Payload codecs (compression, encryption, a codec server): over whole messages, when they are sent and received.

mod compression;
mod encryption;
mod remote;
mod visit;

use std::fmt;
use std::sync::Arc;

use serde_json::Value as Json;
use temporalio_common::payload_visitor::PayloadVisitable;
use temporalio_protos::temporal::api::common::v1::Payload;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use compression::Inflation;
pub use encryption::{Key, Keyring};
pub(crate) use remote::Remote;

use super::json::{ProtoJsonError, payloads_from_json, payloads_to_json};
use super::{codec_encoding, payload_from_proto};
use crate::limits::{
    CODEC_BODY_SIZE_BYTES_MAX, CODEC_DECOMPRESSED_SIZE_BYTES_MAX, CODEC_INFLATED_MESSAGES_MAX,
    CODEC_METADATA_ENTRIES_MAX, PAYLOAD_SIZE_BYTES_MAX,
};

/// The metadata key under which a payload has the encoding of its data.
const ENCODING: &str = "encoding";

/// The codecs of a worker or client, in the order in which they encode; without any, payloads are unchanged.
#[derive(Clone)]
pub struct Codec {
    stages: Arc<[Stage]>,
    encode_common_attributes: bool,
    /// For messages that inflate to more than one payload's size.
    inflated: Arc<Semaphore>,
}

impl Default for Codec {
    fn default() -> Self {
        Codec::new(Vec::new())
    }
}

/// One codec of a chain.
#[derive(Debug)]
pub enum Stage {
    Compression,
    Encryption(Keyring),
    Remote(Box<Remote>),
}

#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    #[error(
        "a payload is encrypted with the key `{id}`, which is not among the codec's keys ({known})"
    )]
    UnknownKey { id: String, known: String },
    #[error(
        "a payload cannot be decrypted with the key `{0}`: it was encrypted with another key of that name, or changed since"
    )]
    NotDecrypted(String),
    #[error(
        "a payload is encrypted with another key named `{id}`: its fingerprint is {fingerprint}, that of the codec's key is {own}"
    )]
    AnotherKey {
        id: String,
        fingerprint: String,
        own: String,
    },
    #[error(
        "an encrypted payload is damaged or forged: it names the key `{0}`, which does not decrypt it"
    )]
    Damaged(String),
    #[error("a payload is encrypted by {0:?}, which is not known here; AES-256-GCM is")]
    UnknownCipher(String),
    #[error("a payload could not be encrypted")]
    NotEncrypted,
    #[error("the codecs failed: {0}")]
    Failed(String),
    #[error("a compressed payload is broken: {0}")]
    Decompress(std::io::Error),
    #[error(
        "a compressed payload holds more than CODEC_DECOMPRESSED_SIZE_BYTES_MAX ({CODEC_DECOMPRESSED_SIZE_BYTES_MAX} bytes)"
    )]
    TooLarge,
    #[error("the payloads of one message hold more than {0} ({1} bytes)")]
    MessageTooLarge(&'static str, usize),
    #[error(
        "a payload is no payload, or has more than CODEC_METADATA_ENTRIES_MAX ({CODEC_METADATA_ENTRIES_MAX}) entries of metadata"
    )]
    Metadata,
    #[error("what was decoded is no payload: {0}")]
    NotAPayload(prost::DecodeError),
    #[error("the codec server {url}: {reason}")]
    Server { url: String, reason: String },
    #[error("the codec server {url}: it answered {status}: {reason}")]
    ServerRefused {
        url: String,
        status: u16,
        reason: String,
    },
    #[error(
        "the codec server {0}: the answer takes more than CODEC_BODY_SIZE_BYTES_MAX ({CODEC_BODY_SIZE_BYTES_MAX} bytes)"
    )]
    ServerAnswerTooLarge(String),
    #[error(transparent)]
    Json(#[from] ProtoJsonError),
    #[error(
        "a payload is encoded as {encoding}{key} and none of the codecs decodes it: the worker needs the codecs and keys \
         that others encode with (--codec, --codec-key)"
    )]
    NotDecoded { encoding: String, key: String },
}

impl Codec {
    pub fn new(stages: Vec<Stage>) -> Self {
        Codec {
            stages: stages.into(),
            encode_common_attributes: false,
            inflated: Arc::new(Semaphore::new(CODEC_INFLATED_MESSAGES_MAX)),
        }
    }

    /// Whether the messages and stack traces of failures are payloads too, and encoded like all others.
    pub(crate) fn with_encoded_common_attributes(mut self, encode: bool) -> Self {
        self.encode_common_attributes = encode;
        self
    }

    pub(crate) fn encodes_common_attributes(&self) -> bool {
        self.encode_common_attributes
    }

    pub(crate) fn is_none(&self) -> bool {
        self.stages.is_empty()
    }

    /// Whether encoding waits for another process.
    pub(crate) fn asks_a_server(&self) -> bool {
        self.stages.iter().any(|s| matches!(s, Stage::Remote(_)))
    }

    /// Returns as many as before, in the same order.
    pub async fn encode_payloads(
        &self,
        mut payloads: Vec<Payload>,
    ) -> Result<Vec<Payload>, CodecError> {
        for stage in self.stages.iter() {
            payloads = stage.encode(payloads).await?;
        }
        Ok(payloads)
    }

    /// Returns as many as before, in the same order. What none of the codecs has encoded is unchanged.
    pub async fn decode_payloads(
        &self,
        payloads: Vec<Payload>,
    ) -> Result<Vec<Payload>, CodecError> {
        let mut inflation = Inflation::of_message();
        self.decode_within(payloads, &mut inflation).await
    }

    async fn decode_within(
        &self,
        mut payloads: Vec<Payload>,
        inflation: &mut Inflation,
    ) -> Result<Vec<Payload>, CodecError> {
        for stage in self.stages.iter().rev() {
            payloads = stage.decode(payloads, inflation).await?;
        }
        Ok(payloads)
    }

    /// Encodes `{"payloads": […]}`, the form of requests and answers of codec servers.
    pub(crate) async fn encode_json(&self, text: &[u8]) -> Result<Json, CodecError> {
        let encoded = self.encode_payloads(payloads_from_json(text)?).await?;
        Ok(payloads_to_json(encoded)?)
    }

    pub(crate) async fn decode_json(&self, text: &[u8]) -> Result<Json, CodecError> {
        self.decode_json_within(text, Inflation::of_message()).await
    }

    /// Decodes `{"payloads": […]}`, where all compressed payloads together may inflate to this much.
    pub(crate) async fn decode_json_within(
        &self,
        text: &[u8],
        mut inflation: Inflation,
    ) -> Result<Json, CodecError> {
        let payloads = payloads_from_json(text)?;
        let decoded = self.decode_within(payloads, &mut inflation).await?;
        Ok(payloads_to_json(decoded)?)
    }

    /// Encodes everything in a message but its search attributes, which the server reads.
    pub async fn encode<M: PayloadVisitable>(&self, message: &mut M) -> Result<(), CodecError> {
        if self.is_none() {
            return Ok(());
        }
        let payloads = self.encode_payloads(visit::take(message).await).await?;
        visit::put(message, payloads).await;
        Ok(())
    }

    pub(crate) async fn decode<M: PayloadVisitable>(
        &self,
        message: &mut M,
    ) -> Result<(), CodecError> {
        if self.is_none() {
            return Ok(());
        }
        let payloads = self.decode_payloads(visit::take(message).await).await?;
        visit::put(message, payloads).await;
        Ok(())
    }

    /// Decodes a message, but leaves encoded what cannot be decoded: a list of workflows may include other
    /// applications'.
    pub async fn decode_what_can_be<M: PayloadVisitable>(&self, message: &mut M) {
        if self.is_none() {
            return;
        }
        let payloads = visit::take(message).await;
        let decoded = match self.decode_payloads(payloads.clone()).await {
            Ok(decoded) => decoded,
            // The server would not answer for each of them either.
            Err(CodecError::Server { .. }) => payloads,
            Err(_) => {
                let mut inflation = Inflation::of_message();
                let mut decoded = Vec::with_capacity(payloads.len());
                for payload in payloads {
                    let one = self.decode_within(vec![payload.clone()], &mut inflation);
                    let one = one.await.ok().and_then(|mut p| p.pop());
                    decoded.push(one.unwrap_or(payload));
                }
                decoded
            }
        };
        visit::put(message, decoded).await;
    }

    /// Decodes a message to which strangers may have contributed: a payload that cannot be decoded stays encoded. So
    /// does everything in a message that would inflate to too much: its parts can be decoded separately. It is an error
    /// if a codec server does not answer or does not admit this client, since it might decode the payload later.
    pub(crate) async fn decode_each<M: PayloadVisitable>(
        &self,
        message: &mut M,
    ) -> Result<(), CodecError> {
        if self.is_none() {
            return Ok(());
        }
        let payloads = visit::take(message).await;
        let decoded = match self.decode_payloads(payloads.clone()).await {
            Ok(decoded) => decoded,
            Err(error) if error.may_pass() => return Err(error),
            Err(CodecError::MessageTooLarge(..)) => payloads,
            Err(_) => {
                let mut inflation = Inflation::of_message();
                let mut decoded = Vec::with_capacity(payloads.len());
                for payload in payloads {
                    let one = self.decode_within(vec![payload.clone()], &mut inflation);
                    match one.await {
                        Ok(one) => decoded.extend(one),
                        Err(error) if error.may_pass() => return Err(error),
                        Err(_) => decoded.push(payload),
                    }
                }
                decoded
            }
        };
        visit::put(message, decoded).await;
        Ok(())
    }

    /// Decodes a part of such a message, if it is still encoded.
    pub(crate) async fn decode_left<M: PayloadVisitable>(
        &self,
        message: &mut M,
    ) -> Result<(), CodecError> {
        let mut is_left = false;
        visit::each(message, |payload| is_left |= is_encoded(payload)).await;
        match is_left {
            true => self.decode_each(message).await,
            false => Ok(()),
        }
    }

    /// Decodes a message for a reader that needs all of it: what is still compressed or encrypted is an error. Few
    /// messages that inflate to much are in memory at a time: each as long as the returned value is kept. A message
    /// with a payload that is itself at fault (`CodecError::is_of_payload`) is unchanged.
    pub async fn decode_all<M: PayloadVisitable>(
        &self,
        message: &mut M,
    ) -> Result<Held, CodecError> {
        let held = self.decode_held(message).await?;
        all_decoded(message).await?;
        Ok(held)
    }

    /// Decodes a part of a message that cannot be decoded as a whole, if it fits in what the other parts have left.
    /// After an error its payloads are null.
    pub(crate) async fn decode_part<M: PayloadVisitable>(
        &self,
        part: &mut M,
        inflation: &mut Inflation,
    ) -> Result<(), CodecError> {
        let payloads = visit::take(part).await;
        match self.decode_within(payloads, inflation).await {
            Ok(decoded) => visit::put(part, decoded).await,
            Err(error) => {
                visit::each(part, |payload| *payload = null()).await;
                return Err(error);
            }
        }
        all_decoded(part).await
    }

    /// Permission to have a message in memory that inflates to much, for as long as it is kept.
    pub(crate) async fn hold(&self) -> Held {
        // It is never closed.
        Held(self.inflated.clone().acquire_owned().await.ok())
    }

    async fn decode_held<M: PayloadVisitable>(&self, message: &mut M) -> Result<Held, CodecError> {
        if self.is_none() {
            return Ok(Held(None));
        }
        let payloads = visit::take(message).await;
        let kept = payloads.clone();
        let mut small = Inflation::new("PAYLOAD_SIZE_BYTES_MAX", PAYLOAD_SIZE_BYTES_MAX);
        let (decoded, held) = match self.decode_within(payloads, &mut small).await {
            Err(CodecError::MessageTooLarge(..) | CodecError::TooLarge) => {
                let held = self.hold().await;
                (self.decode_payloads(kept.clone()).await, held)
            }
            decoded => (decoded, Held(None)),
        };
        let (payloads, result) = match decoded {
            Ok(decoded) => (decoded, Ok(held)),
            Err(error) => (kept, Err(error)),
        };
        visit::put(message, payloads).await;
        result
    }
}

async fn all_decoded<M: PayloadVisitable>(message: &mut M) -> Result<(), CodecError> {
    let mut left = None;
    visit::each(message, |payload| {
        if left.is_none() && is_encoded(payload) {
            left = Some(not_decoded(payload));
        }
    })
    .await;
    left.map_or(Ok(()), Err)
}

/// A message that inflated to much.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "it is dropped")] Option<OwnedSemaphorePermit>);

impl CodecError {
    /// Whether the payload itself is at fault: no key and no other codec would make it readable, so every worker and
    /// every replay gets the same error.
    pub(crate) fn is_of_payload(&self) -> bool {
        matches!(
            self,
            CodecError::TooLarge
                | CodecError::MessageTooLarge(..)
                | CodecError::Decompress(_)
                | CodecError::Damaged(_)
                | CodecError::Metadata
                | CodecError::NotAPayload(_)
        )
    }

    /// Whether the error is not about the payload, so that a retry may succeed.
    fn may_pass(&self) -> bool {
        match self {
            CodecError::Server { .. } => true,
            CodecError::ServerRefused { status, .. } => {
                matches!(status, 401 | 403 | 408 | 429 | 500..)
            }
            _ => false,
        }
    }
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_string())
    }
}

/// The names of the codecs, in the order in which they encode.
impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str("none");
        }
        for (i, stage) in self.stages.iter().enumerate() {
            let separator = if i > 0 { " " } else { "" };
            write!(f, "{separator}{}", stage.name())?;
        }
        Ok(())
    }
}

impl Stage {
    fn name(&self) -> &'static str {
        match self {
            Stage::Compression => "compression",
            Stage::Encryption(_) => "encryption",
            Stage::Remote(_) => "remote",
        }
    }

    async fn encode(&self, payloads: Vec<Payload>) -> Result<Vec<Payload>, CodecError> {
        match self {
            Stage::Compression => Ok(payloads.into_iter().map(compression::encode).collect()),
            Stage::Encryption(keys) => payloads.iter().map(|p| keys.encode(p)).collect(),
            Stage::Remote(server) => server.encode(payloads).await,
        }
    }

    async fn decode(
        &self,
        payloads: Vec<Payload>,
        inflation: &mut Inflation,
    ) -> Result<Vec<Payload>, CodecError> {
        match self {
            Stage::Compression => payloads
                .into_iter()
                .map(|payload| compression::decode(payload, inflation))
                .collect(),
            Stage::Encryption(keys) => keys.decode_all(payloads),
            Stage::Remote(server) => server.decode(payloads).await,
        }
    }
}

fn encoding(payload: &Payload) -> &[u8] {
    payload.metadata.get(ENCODING).map_or(&[], Vec::as_slice)
}

fn null() -> Payload {
    Payload {
        metadata: [(ENCODING.to_owned(), b"binary/null".to_vec())].into(),
        ..Default::default()
    }
}

/// Whether only the owner of a key can have made it, if it can be decoded.
pub(crate) fn is_encrypted(payload: &Payload) -> bool {
    encoding(payload) == encryption::ENCODING_VALUE
}

/// The encoding of the first payload of a message that a codec has made unreadable; compressed ones do not count.
pub(crate) async fn encoding_of<M: PayloadVisitable>(message: &mut M) -> Option<String> {
    let mut found = None;
    visit::each(message, |payload| {
        if found.is_none() && encoding(payload) != compression::ENCODING_VALUE {
            found = codec_encoding(&payload_from_proto(payload.clone()));
        }
    })
    .await;
    found
}

/// Whether only a codec can read it. Other encodings may be a worker's own, which are passed on unchanged.
fn is_encoded(payload: &Payload) -> bool {
    let known = [compression::ENCODING_VALUE, encryption::ENCODING_VALUE];
    known.contains(&encoding(payload))
}

fn not_decoded(payload: &Payload) -> CodecError {
    let key = encryption::key_id(payload).map(|id| format!(" with the key `{id}`"));
    CodecError::NotDecoded {
        encoding: String::from_utf8_lossy(encoding(payload)).into_owned(),
        key: key.unwrap_or_default(),
    }
}
