//! Compression by zlib, in the format of the Go SDK's own codec.

use std::collections::HashMap;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use prost::Message;
use temporalio_protos::temporal::api::common::v1::Payload;

use super::{CodecError, ENCODING, encoding};
use crate::limits::CODEC_DECOMPRESSED_SIZE_BYTES_MAX;

pub const ENCODING_VALUE: &[u8] = b"binary/zlib";

/// The payload itself where compressing it would not make it smaller.
pub fn encode(payload: Payload) -> Payload {
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

pub fn decode(payload: Payload) -> Result<Payload, CodecError> {
    if encoding(&payload) != ENCODING_VALUE {
        return Ok(payload);
    }
    let mut plain = Vec::new();
    let bound = CODEC_DECOMPRESSED_SIZE_BYTES_MAX as u64 + 1;
    ZlibDecoder::new(payload.data.as_slice())
        .take(bound)
        .read_to_end(&mut plain)
        .map_err(CodecError::Decompress)?;
    if plain.len() > CODEC_DECOMPRESSED_SIZE_BYTES_MAX {
        return Err(CodecError::TooLarge);
    }
    Payload::decode(plain.as_slice()).map_err(CodecError::NotAPayload)
}
