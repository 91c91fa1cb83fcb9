//! Payloads, failures, memos and search attributes as JSON, and advice about those that are still encoded.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value as Json, json};

use super::warn;
use crate::cli::error::CliError;
use crate::engine::failure::Failure;
use crate::payload::{codec_encoding, failure_parts, sealed_mark, with_marks};
use crate::value::{Map, Payload, to_json};

/// One payload is itself, none is null, several are a list.
pub(crate) fn result_json(payloads: &[Payload]) -> Json {
    match payloads {
        [] => Json::Null,
        [one] => payload_json(one),
        several => several.iter().map(payload_json).collect(),
    }
}

/// The data, or for an unreadable encoding the payload itself in protobuf's JSON.
pub(crate) fn payload_json(payload: &Payload) -> Json {
    if payload.encoding().starts_with(b"json/")
        && let Ok(json) = serde_json::from_slice(&payload.data)
    {
        return json;
    }
    let decoded = payload.decode().ok().and_then(|value| to_json(&value).ok());
    decoded.unwrap_or_else(|| {
        let metadata: serde_json::Map<_, _> = payload
            .metadata
            .iter()
            .map(|(name, value)| (name.clone(), BASE64.encode(value).into()))
            .collect();
        json!({ "metadata": metadata, "data": BASE64.encode(&payload.data) })
    })
}

/// The advice for payloads that are still encoded.
const GIVE_THE_CODEC: &str = "pass the codec that the workers use: --codec-key ID=FILE, --codec compression or --codec-endpoint URL";

/// An error if a codec has encoded one of these and none here could decode it.
pub(crate) fn refuse_encoded<'p>(
    what: &str,
    payloads: impl IntoIterator<Item = &'p Payload>,
) -> Result<(), CliError> {
    match payloads.into_iter().find_map(codec_encoding) {
        None => Ok(()),
        Some(encoding) => {
            let message = format!(
                "{what} cannot be read: it is encoded as {encoding}, and none of the given codecs decodes it"
            );
            Err(CliError::new(message).help(GIVE_THE_CODEC))
        }
    }
}

/// Advice if a failure is still encoded: the failure itself is reported in any case.
pub(crate) fn advise_on_encoded(failure: &Failure) {
    if failure_parts(failure)
        .iter()
        .any(|part| codec_encoding(part).is_some())
    {
        warn(
            "some of the failure cannot be read without a codec",
            &[GIVE_THE_CODEC.to_owned()],
        );
    }
}

/// An error if a memo or search attributes are still encoded.
pub(crate) fn refuse_encoded_fields<'m>(
    what: &str,
    maps: impl IntoIterator<Item = &'m Map>,
) -> Result<(), CliError> {
    let values = maps.into_iter().flat_map(Map::values);
    let payloads: Vec<Payload> = values
        .filter_map(|value| Payload::from_value(value).ok())
        .collect();
    refuse_encoded(what, &payloads)
}

/// For people: what is still encoded is marked.
pub(crate) fn map_text(map: &Map) -> String {
    let entries = map.iter().filter_map(|(key, value)| {
        let payload = Payload::from_value(value).ok()?;
        let json = match sealed_mark(&payload) {
            Some(mark) => mark.into(),
            None => payload_json(&payload),
        };
        Some((key.as_str()?.to_owned(), json))
    });
    Json::Object(entries.collect()).to_string()
}

pub(crate) fn map_json(map: &Map) -> Json {
    let entries = map.iter().filter_map(|(key, value)| {
        let json = match Payload::from_value(value) {
            Ok(payload) => payload_json(&payload),
            Err(_) => Json::Null,
        };
        Some((key.as_str()?.to_owned(), json))
    });
    Json::Object(entries.collect())
}

/// What is still encoded is marked.
pub(crate) fn failure_json(failure: &Failure) -> Json {
    to_json(&with_marks(failure).to_value())
        .unwrap_or_else(|_| json!({ "message": failure.message }))
}
