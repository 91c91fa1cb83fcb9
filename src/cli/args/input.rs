//! Inputs and other data that the user gives in JSON.

use std::collections::BTreeMap;
use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Args;
use serde_json::json;

use crate::cli::error::CliError;
use crate::value::Payload;

const JSON_PLAIN: &[u8] = b"json/plain";
const BINARY_PLAIN: &[u8] = b"binary/plain";

#[derive(Debug, Clone, Args)]
pub(crate) struct InputArgs {
    /// An argument, in JSON; may be given several times
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
    pub(crate) fn payloads(&self) -> Result<Vec<Payload>, CliError> {
        payloads("--input", &self.input, &self.input_file, self.input_base64)
    }
}

/// The values of a flag and of files, one payload each: JSON, or bytes in base64.
pub(crate) fn payloads(
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

pub(crate) fn base64_bytes(place: &str, text: &str) -> Result<Vec<u8>, CliError> {
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

/// The user's text unchanged, but validated: big numbers and the order of keys stay.
pub(crate) fn json_payload(place: &str, text: &str) -> Result<Payload, CliError> {
    // Some editors begin a file with a byte order mark, which is not JSON.
    let text = text.trim_start_matches('\u{feff}');
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => Ok(payload(JSON_PLAIN, text.trim().as_bytes().to_vec())),
        Err(error) => {
            let quoted = json!(text.trim());
            Err(
                CliError::usage(format!("{place} is not JSON: {error}")).help(format!(
                    "write a text as JSON in quotes, inside the shell's quotes: '{quoted}'"
                )),
            )
        }
    }
}

/// `NAME=JSON`, for memos and search attributes.
pub(crate) fn json_fields(
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
