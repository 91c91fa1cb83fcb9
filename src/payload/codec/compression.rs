//! Compression by zlib, in the format of the Go SDK's own codec.

use std::collections::HashMap;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use prost::Message;
use temporalio_protos::temporal::api::common::v1::Payload;

use super::{CodecError, ENCODING, encoding};
use crate::limits::{
    CODEC_DECOMPRESSED_SIZE_BYTES_MAX, CODEC_MESSAGE_DECOMPRESSED_SIZE_BYTES_MAX,
    CODEC_METADATA_ENTRIES_MAX,
};
use crate::wire::count_fields;

pub(crate) const ENCODING_VALUE: &[u8] = b"binary/zlib";
/// The number of `Payload.metadata`.
const METADATA_FIELD: u32 = 1;

/// Returns the payload itself if compressing it would not make it smaller.
pub(crate) fn encode(payload: Payload) -> Payload {
    let plain = payload.encode_to_vec();
    let mut compressor = ZlibEncoder::new(Vec::new(), Compression::default());
    let written = compressor.write_all(&plain);
    match written.and_then(|()| compressor.finish()) {
        Ok(data) if data.len() < plain.len() => Payload {
            metadata: HashMap::from([(ENCODING.to_owned(), ENCODING_VALUE.to_vec())]),
            data,
            ..Default::default()
        },
        _ => payload,
    }
}

/// The size to which the payloads of one message may still inflate.
pub(crate) struct Inflation {
    left: usize,
    limit: (&'static str, usize),
}

impl Inflation {
    /// By the name of the limit and its bytes.
    pub(crate) fn new(name: &'static str, size_max: usize) -> Self {
        Inflation {
            left: size_max,
            limit: (name, size_max),
        }
    }

    /// The limit for a worker or client.
    pub(crate) fn of_message() -> Self {
        Inflation::new(
            "CODEC_MESSAGE_DECOMPRESSED_SIZE_BYTES_MAX",
            CODEC_MESSAGE_DECOMPRESSED_SIZE_BYTES_MAX,
        )
    }
}

/// Leaves a payload that is not compressed unchanged.
pub(crate) fn decode(payload: Payload, inflation: &mut Inflation) -> Result<Payload, CodecError> {
    if encoding(&payload) != ENCODING_VALUE {
        return Ok(payload);
    }
    let bound = CODEC_DECOMPRESSED_SIZE_BYTES_MAX.min(inflation.left);
    let mut plain = Vec::new();
    ZlibDecoder::new(payload.data.as_slice())
        .take(bound as u64 + 1)
        .read_to_end(&mut plain)
        .map_err(CodecError::Decompress)?;
    if plain.len() > CODEC_DECOMPRESSED_SIZE_BYTES_MAX {
        return Err(CodecError::TooLarge);
    }
    if plain.len() > bound {
        let (name, size_max) = inflation.limit;
        return Err(CodecError::MessageTooLarge(name, size_max));
    }
    inflation.left -= plain.len();
    // Each entry takes a few bytes here, and many times as much in memory.
    if count_fields(&plain, METADATA_FIELD).is_none_or(|count| count > CODEC_METADATA_ENTRIES_MAX) {
        return Err(CodecError::Metadata);
    }
    Payload::decode(plain.as_slice()).map_err(CodecError::NotAPayload)
}
