//! Temporal's protobuf payloads and failures to Segno's own, and back.

mod codec;
mod failure;
mod json;
mod options;
mod retry;
mod sealed;
mod time;

use prost::Message;
use temporalio_protos::temporal::api::common::v1 as proto;

pub use codec::{Codec, CodecError, Key, Keyring, Stage};
pub(crate) use codec::{Held, Inflation, Remote, encoding_of, is_encrypted};
pub use failure::failure_from_proto;
pub(crate) use failure::{encode_common_attributes, failure_to_proto};
pub use json::payloads_from_json;
pub(crate) use json::{ProtoJsonError, message_from_json, message_to_json};
pub(crate) use options::{
    id_conflict_policy_to_proto, id_reuse_policy_to_proto, retry_policy_from_proto,
    retry_policy_to_proto,
};
pub(crate) use retry::backoff;
pub(crate) use sealed::{codec_encoding, parts as failure_parts, sealed_mark, with_marks};
pub use time::{duration_from_proto, timestamp_from_proto};
pub(crate) use time::{duration_to_proto, timestamp_to_proto};

use crate::limits::UPDATE_SIZE_BYTES_MAX;
use crate::value::{JsonError, Map, Payload, Value};

/// The server accepts a larger update, but no worker could answer it, and its run would be stuck.
pub(crate) fn check_update_size(arguments: Option<&proto::Payloads>) -> Result<(), String> {
    let size = arguments.map_or(0, Message::encoded_len);
    match size <= UPDATE_SIZE_BYTES_MAX {
        true => Ok(()),
        false => Err(format!(
            "the arguments of the update take {size} bytes; UPDATE_SIZE_BYTES_MAX is {UPDATE_SIZE_BYTES_MAX}"
        )),
    }
}

pub fn payload_from_proto(payload: proto::Payload) -> Payload {
    Payload {
        metadata: payload.metadata.into_iter().collect(),
        data: payload.data,
    }
}

pub fn payload_to_proto(payload: Payload) -> proto::Payload {
    proto::Payload {
        metadata: payload.metadata.into_iter().collect(),
        data: payload.data,
        ..Default::default()
    }
}

pub fn payloads_from_proto(payloads: Option<proto::Payloads>) -> Vec<Payload> {
    let payloads = payloads.map(|p| p.payloads).unwrap_or_default();
    payloads.into_iter().map(payload_from_proto).collect()
}

/// `None` if there are no payloads, as the SDKs send it.
pub fn payloads_to_proto(payloads: Vec<Payload>) -> Option<proto::Payloads> {
    (!payloads.is_empty()).then(|| proto::Payloads {
        payloads: payloads.into_iter().map(payload_to_proto).collect(),
    })
}

/// A value that stays encoded until it is used.
pub(crate) fn value_from_proto(payload: proto::Payload) -> Value {
    Value::from(payload_from_proto(payload))
}

pub fn value_to_proto(value: &Value) -> Result<proto::Payload, JsonError> {
    Payload::from_value(value).map(payload_to_proto)
}

/// A map of payloads (a memo, headers), by name.
pub(crate) fn map_from_proto(fields: impl IntoIterator<Item = (String, proto::Payload)>) -> Map {
    let mut fields: Vec<_> = fields.into_iter().collect();
    // Protobuf's maps have no order.
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    fields
        .into_iter()
        .map(|(name, payload)| (name, value_from_proto(payload)))
        .collect()
}
