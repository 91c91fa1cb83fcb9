//! Inputs and other data that the user gives in JSON, and results as JSON.

use std::collections::BTreeMap;
use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Args;
use serde_json::{Value as Json, json};

use crate::cli::output::{CliError, warn};
use crate::engine::failure::Failure;
use crate::payload::{codec_encoding, failure_parts, sealed_mark, with_marks};
use crate::value::{Map, Payload, to_json};

const JSON_PLAIN: &[u8] = b"json/plain";
const BINARY_PLAIN: &[u8] = b"binary/plain";

#[derive(Debug, Clone, Args)]
pub struct InputArgs {
    /// An argument, in JSON; given several times there are several arguments
    #[arg(
        long,
        short = 'i',
        value_name = "JSON",
        conflicts_with = "input_file",
        allow_negative_numbers = true
    )]
    input: Vec<String>,
    /// A file with an argument in JSON, or - for standard input
    #[arg(long, value_name = "FILE")]
    input_file: Vec<String>,
    /// The inputs are bytes in base64
    #[arg(long)]
    input_base64: bool,
}

impl InputArgs {
    pub fn payloads(&self) -> Result<Vec<Payload>, CliError> {
        payloads("--input", &self.input, &self.input_file, self.input_base64)
    }
}

/// What was given with a flag and in files, one payload each: JSON, or bytes in base64.
pub fn payloads(
    flag: &str,
    texts: &[String],
    files: &[String],
    is_base64: bool,
) -> Result<Vec<Payload>, CliError> {
    let one = |place: &str, text: &str| match is_base64 {
        true => Ok(payload(BINARY_PLAIN, base64_bytes(place, text)?)),
        false => json_payload(place, text),
    };
    let from_flags = texts.iter().map(|text| one(flag, text));
    let from_files = files.iter().map(|path| one(path, &read(path)?));
    from_flags.chain(from_files).collect()
}

pub fn base64_bytes(place: &str, text: &str) -> Result<Vec<u8>, CliError> {
    let bytes = BASE64.decode(text.trim());
    bytes.map_err(|e| CliError::usage(format!("{place} is not base64: {e}")))
}

fn read(path: &str) -> Result<String, CliError> {
    let mut text = String::new();
    let read = match path {
        "-" => std::io::stdin().read_to_string(&mut text).map(|_| text),
        path => std::fs::read_to_string(path),
    };
    read.map_err(|e| CliError::usage(format!("cannot read {path}: {e}")))
}

/// The user's text as it is, made sure of: big numbers and the order of keys stay.
pub fn json_payload(place: &str, text: &str) -> Result<Payload, CliError> {
    // Some editors begin a file with a byte order mark, which is not JSON.
    let text = text.trim_start_matches('\u{feff}');
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => Ok(payload(JSON_PLAIN, text.trim().as_bytes().to_vec())),
        Err(error) => {
            let quoted = json!(text.trim());
            Err(
                CliError::usage(format!("{place} is not JSON: {error}")).help(format!(
                    "a text is JSON in quotes, inside the shell's: '{quoted}'"
                )),
            )
        }
    }
}

/// `NAME=JSON`, of memos and search attributes.
pub fn json_fields(
    flag: &str,
    fields: &[(String, String)],
) -> Result<Vec<(String, Payload)>, CliError> {
    let field = |(name, text): &(String, String)| {
        Ok((name.clone(), json_payload(&format!("{flag} {name}"), text)?))
    };
    fields.iter().map(field).collect()
}

fn payload(encoding: &[u8], data: Vec<u8>) -> Payload {
    let metadata = BTreeMap::from([("encoding".to_owned(), encoding.to_vec())]);
    Payload { metadata, data }
}

/// One payload as it is, none as null, several as a list.
pub fn result_json(payloads: &[Payload]) -> Json {
    match payloads {
        [] => Json::Null,
        [one] => payload_json(one),
        several => several.iter().map(payload_json).collect(),
    }
}

/// The data, or for an encoding that cannot be read the payload itself in protobuf's JSON.
pub fn payload_json(payload: &Payload) -> Json {
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

/// What to do about payloads that are still encoded.
const GIVE_THE_CODEC: &str = "give the codec that the workers have: --codec-key ID=FILE, --codec compression or --codec-endpoint URL";

/// An error if a codec has encoded one of these and none here could decode it.
pub fn refuse_encoded<'p>(
    what: &str,
    payloads: impl IntoIterator<Item = &'p Payload>,
) -> Result<(), CliError> {
    match payloads.into_iter().find_map(codec_encoding) {
        None => Ok(()),
        Some(encoding) => {
            let message = format!(
                "{what} cannot be read: it is encoded as {encoding}, and no codec was given that decodes it"
            );
            Err(CliError::new(message).help(GIVE_THE_CODEC))
        }
    }
}

/// The same of a failure, as advice: that it failed is said in any case.
pub fn advise_on_encoded(failure: &Failure) {
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

/// The same of memos and search attributes.
pub fn refuse_encoded_fields<'m>(
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
pub fn map_text(map: &Map) -> String {
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

pub fn map_json(map: &Map) -> Json {
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
pub fn failure_json(failure: &Failure) -> Json {
    to_json(&with_marks(failure).to_value())
        .unwrap_or_else(|_| json!({ "message": failure.message }))
}
