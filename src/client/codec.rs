//! Which codecs are used, and where their keys are.

use std::fmt;
use std::path::PathBuf;

use temporalio_common::envconfig::ClientConfigCodec;

use super::ClientError;
use crate::limits::SECRET_SIZE_BYTES_MAX;
use crate::payload::{Codec, Key, Keyring, Remote, Stage};

/// The user's settings for codecs. The endpoint and the authorization may also be in the connection's profile.
#[derive(Debug, Clone, Default)]
pub struct CodecSettings {
    /// In the order in which they encode. If none is named, the other settings imply it.
    pub codecs: Vec<CodecKind>,
    /// Keys with their names. The first encrypts, each decrypts.
    pub keys: Vec<(String, KeySource)>,
    pub endpoint: Option<String>,
    /// A file with the value of the header `Authorization` for the codec server.
    pub authorization_file: Option<PathBuf>,
    pub encode_common_attributes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodecKind {
    Compression,
    Encryption,
    Remote,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
}

impl CodecSettings {
    /// The codecs, with their keys read.
    pub fn resolve(
        &self,
        profile: Option<&ClientConfigCodec>,
        namespace: &str,
    ) -> Result<Codec, ClientError> {
        let configured = profile.and_then(|codec| codec.endpoint.as_ref());
        let endpoint = self.endpoint.as_ref().or(configured);
        let kinds = self.kinds(endpoint.is_some())?;
        self.is_used(&kinds)?;
        let mut stages = Vec::with_capacity(kinds.len());
        for kind in kinds {
            stages.push(match kind {
                CodecKind::Compression => Stage::Compression,
                CodecKind::Encryption => Stage::Encryption(self.keyring()?),
                CodecKind::Remote => {
                    let endpoint = endpoint.ok_or_else(|| {
                        config("the codec remote has no server; name it with --codec-endpoint")
                    })?;
                    let authorization = self.authorization(profile)?;
                    let remote = Remote::new(endpoint, namespace, authorization.as_deref());
                    Stage::Remote(Box::new(remote.map_err(config)?))
                }
            });
        }
        let codec = Codec::new(stages);
        Ok(codec.with_encoded_common_attributes(self.encode_common_attributes))
    }

    fn kinds(&self, has_endpoint: bool) -> Result<Vec<CodecKind>, ClientError> {
        for (i, kind) in self.codecs.iter().enumerate() {
            if self.codecs[..i].contains(kind) {
                return Err(config(format!("the codec {kind} is given twice")));
            }
        }
        match (self.codecs.is_empty(), self.keys.is_empty(), has_endpoint) {
            (false, _, _) => Ok(self.codecs.clone()),
            (true, true, false) => Ok(Vec::new()),
            (true, false, false) => Ok(vec![CodecKind::Encryption]),
            (true, true, true) => Ok(vec![CodecKind::Remote]),
            (true, false, true) => Err(config(
                "both keys and a codec server are given; choose with --codec which of encryption and remote to use, and in which order",
            )),
        }
    }

    /// A flag without effect would leave unencrypted what was meant to be encrypted. The profile's endpoint may be for
    /// other tools.
    fn is_used(&self, kinds: &[CodecKind]) -> Result<(), ClientError> {
        let unused = |flag: &str, kind: CodecKind| {
            config(format!(
                "{flag} is given, but the codec {kind} is not used; add --codec {kind}"
            ))
        };
        if !self.keys.is_empty() && !kinds.contains(&CodecKind::Encryption) {
            return Err(unused("--codec-key", CodecKind::Encryption));
        }
        if self.endpoint.is_some() && !kinds.contains(&CodecKind::Remote) {
            return Err(unused("--codec-endpoint", CodecKind::Remote));
        }
        Ok(())
    }

    fn keyring(&self) -> Result<Keyring, ClientError> {
        let mut keys = Vec::with_capacity(self.keys.len());
        for (id, source) in &self.keys {
            let bytes = source
                .read()
                .map_err(|reason| config(format!("the key `{id}` cannot be read: {reason}")))?;
            keys.push(Key::read(id, &bytes).map_err(config)?);
        }
        Keyring::new(keys).map_err(config)
    }

    fn authorization(
        &self,
        profile: Option<&ClientConfigCodec>,
    ) -> Result<Option<String>, ClientError> {
        let Some(path) = &self.authorization_file else {
            return Ok(profile.and_then(|codec| codec.auth.clone()));
        };
        let text = std::fs::read_to_string(path)
            .map_err(|e| config(format!("cannot read {}: {e}", path.display())))?;
        Ok(Some(text.trim().to_owned()))
    }
}

impl KeySource {
    fn read(&self) -> Result<Vec<u8>, String> {
        let bytes = match self {
            KeySource::File(path) => {
                std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?
            }
            KeySource::Variable(name) => std::env::var(name)
                .map_err(|e| format!("the environment variable {name}: {e}"))?
                .into_bytes(),
        };
        if bytes.len() > SECRET_SIZE_BYTES_MAX {
            return Err(format!(
                "it is longer than SECRET_SIZE_BYTES_MAX ({SECRET_SIZE_BYTES_MAX} bytes)"
            ));
        }
        Ok(bytes)
    }
}

impl CodecKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            CodecKind::Compression => "compression",
            CodecKind::Encryption => "encryption",
            CodecKind::Remote => "remote",
        }
    }
}

impl fmt::Display for CodecKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn config(message: impl ToString) -> ClientError {
    ClientError::Config(message.to_string())
}
