//! Temporal's messages in proto3's JSON, as its own tools write and read them.

use std::sync::OnceLock;

use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions,
};
use temporalio_protos::temporal::api::common::v1::{Payload, Payloads};

use crate::limits::CODEC_JSON_PARTS_MAX;

const DESCRIPTORS: &[u8] = include_bytes!(env!("TEMPORAL_DESCRIPTORS"));
const PAYLOADS: &str = "temporal.api.common.v1.Payloads";

#[derive(Debug, thiserror::Error)]
#[error("not a {name} in JSON: {reason}")]
pub struct ProtoJsonError {
    name: &'static str,
    reason: String,
}

/// A message by its full name.
pub(crate) fn message_to_json(
    name: &'static str,
    message: &impl Message,
) -> Result<serde_json::Value, ProtoJsonError> {
    let dynamic = DynamicMessage::decode(descriptor(name)?, message.encode_to_vec().as_slice())
        .map_err(|e| error(name, e))?;
    let options = SerializeOptions::new().stringify_64_bit_integers(true);
    dynamic
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|e| error(name, e))
}

/// A message by its full name. Unknown fields are an error, or left out if `lenient`.
pub(crate) fn message_from_json<M: Message + Default>(
    name: &'static str,
    text: &[u8],
    lenient: bool,
) -> Result<M, ProtoJsonError> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let options = DeserializeOptions::new().deny_unknown_fields(!lenient);
    let dynamic =
        DynamicMessage::deserialize_with_options(descriptor(name)?, &mut reader, &options)
            .map_err(|e| error(name, e))?;
    reader.end().map_err(|e| error(name, e))?;
    M::decode(dynamic.encode_to_vec().as_slice()).map_err(|e| error(name, e))
}

pub(crate) fn payloads_to_json(
    payloads: Vec<Payload>,
) -> Result<serde_json::Value, ProtoJsonError> {
    message_to_json(PAYLOADS, &Payloads { payloads })
}

/// At most as many as `CODEC_JSON_PARTS_MAX` allows: an empty payload takes two bytes here, and a thousand times as
/// much in memory.
pub fn payloads_from_json(text: &[u8]) -> Result<Vec<Payload>, ProtoJsonError> {
    let parts = count_parts(text);
    if parts > CODEC_JSON_PARTS_MAX {
        let why = format!("it has {parts} parts, CODEC_JSON_PARTS_MAX is {CODEC_JSON_PARTS_MAX}");
        return Err(error(PAYLOADS, why));
    }
    Ok(message_from_json::<Payloads>(PAYLOADS, text, true)?.payloads)
}

/// The number of lists, objects, and their items: at least as many as reading the text builds.
fn count_parts(text: &[u8]) -> usize {
    let mut bytes = text.iter();
    let mut count = 0;
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' | b',' => count += 1,
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => drop(bytes.next()),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    count
}

fn error(name: &'static str, reason: impl ToString) -> ProtoJsonError {
    let name = name.rsplit('.').next().unwrap_or(name);
    ProtoJsonError {
        name,
        reason: reason.to_string(),
    }
}

fn descriptor(name: &'static str) -> Result<MessageDescriptor, ProtoJsonError> {
    static POOL: OnceLock<Option<DescriptorPool>> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(DESCRIPTORS).ok())
        .as_ref()
        .and_then(|pool| pool.get_message_by_name(name))
        .ok_or_else(|| error(name, "it has no descriptor"))
}
