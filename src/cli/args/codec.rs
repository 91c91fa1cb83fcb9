//! The flags for the encoding of payloads: of the worker, of clients and of the codec server.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::values::key_value;
use crate::client::{CodecKind, CodecSettings, KeySource};

/// The prefix of an environment variable's name, instead of a file's.
const VARIABLE_PREFIX: &str = "env:";

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Payload codecs")]
pub(crate) struct CodecArgs {
    /// A codec that encodes payloads: compression, encryption or remote; may be given several times, in the order of encoding
    /// [default: what --codec-key or --codec-endpoint implies]
    #[arg(
        long,
        value_enum,
        value_name = "CODEC",
        env = "SEGNO_CODEC",
        value_delimiter = ',',
        hide_possible_values = true
    )]
    codec: Vec<CodecName>,
    /// A key of 32 bytes for encryption, in a file or, as ID=env:NAME, in the environment; may be given several times: the first
    /// encrypts, each decrypts
    #[arg(
        long,
        value_name = "ID=FILE",
        env = "SEGNO_CODEC_KEY",
        value_delimiter = ',',
        value_parser = key
    )]
    codec_key: Vec<(String, KeySource)>,
    /// The codec server that remote uses [env: TEMPORAL_CODEC_ENDPOINT]
    #[arg(long, value_name = "URL")]
    codec_endpoint: Option<String>,
    /// A file with the header Authorization for the codec server, for instance Bearer TOKEN [env, the text itself:
    /// TEMPORAL_CODEC_AUTH]
    #[arg(long, value_name = "FILE")]
    codec_auth_file: Option<PathBuf>,
    /// Encode the messages and stack traces of failures too
    #[arg(long, env = "SEGNO_ENCODE_COMMON_ATTRIBUTES")]
    encode_common_attributes: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CodecName {
    Compression,
    Encryption,
    Remote,
}

impl CodecArgs {
    pub(crate) fn settings(&self) -> CodecSettings {
        let kind = |name: &CodecName| match name {
            CodecName::Compression => CodecKind::Compression,
            CodecName::Encryption => CodecKind::Encryption,
            CodecName::Remote => CodecKind::Remote,
        };
        CodecSettings {
            codecs: self.codec.iter().map(kind).collect(),
            keys: self.codec_key.clone(),
            endpoint: self.codec_endpoint.clone(),
            authorization_file: self.codec_auth_file.clone(),
            encode_common_attributes: self.encode_common_attributes,
        }
    }
}

fn key(text: &str) -> Result<(String, KeySource), String> {
    let (id, place) = key_value(text).map_err(|_| "expected ID=FILE or ID=env:NAME".to_owned())?;
    let source = match place.strip_prefix(VARIABLE_PREFIX) {
        Some(name) => KeySource::Variable(name.to_owned()),
        None => KeySource::File(PathBuf::from(place)),
    };
    Ok((id, source))
}
