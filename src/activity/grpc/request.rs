//! The request of the `grpc` activity: its input, parsed and validated.

use std::time::Duration;

use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};
use url::Url;

use super::failure_type;
use crate::accepted;
use crate::activity::attempt::lasting;
use crate::activity::http::request::parse_url;
use crate::activity::input::{entries, known_keys, read_pairs, read_timeout, table_keys};
use crate::activity::secret::{Redactor, SecretReference, Secrets};
use crate::definition::tables;
use crate::engine::failure::Failure;
use crate::value::{Map, Value};

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) url: Url,
    /// With its package.
    pub(crate) service: String,
    pub(crate) method: String,
    pub(crate) message: Value,
    pub(crate) timeout: Option<Duration>,
    metadata: Vec<(String, String)>,
    secrets: Vec<(String, SecretReference)>,
}

impl Request {
    /// An error names the key that is wrong and what it should be.
    pub(crate) fn read(input: &Value) -> Result<Request, String> {
        let map = input
            .as_map()
            .ok_or("a call is a mapping with at least `url`, `service` and `method`")?;
        known_keys(map, table_keys(&tables::GRPC), "the call")?;
        let text = |key: &str| {
            let text = map.get(key).and_then(Value::as_str);
            text.ok_or_else(|| format!("`{key}` is a text"))
        };
        let secrets = entries(map.get("secrets"), "secrets")?.into_iter();
        let secrets = secrets
            .map(|(name, value)| Ok((name, SecretReference::read(value, "secrets")?)))
            .collect::<Result<Vec<_>, String>>()?;
        let metadata = read_pairs(map.get("metadata"), "metadata")?;
        for (name, _) in &metadata {
            accepted::grpc_metadata(name)?;
        }
        for (name, _) in &secrets {
            accepted::grpc_metadata(name)?;
        }
        Ok(Request {
            url: parse_url(text("url")?)?,
            service: text("service")?.into(),
            method: text("method")?.into(),
            message: match map.get("message") {
                None | Some(Value::Null) => Value::map(Map::default()),
                Some(message) => message.clone(),
            },
            timeout: read_timeout(map.get("timeout"))?,
            metadata,
            secrets,
        })
    }

    /// Its name in messages.
    pub(crate) fn what(&self) -> String {
        let host = self.url.origin().ascii_serialization();
        format!("{}/{} at {host}", self.service, self.method)
    }

    pub(crate) fn metadata(
        &self,
        secrets: &Secrets,
        redactor: &mut Redactor,
    ) -> Result<MetadataMap, Failure> {
        let mut metadata = MetadataMap::new();
        let mut append = |name: &str, text: &str| {
            let key = name.parse::<AsciiMetadataKey>().ok();
            let value = text.parse::<AsciiMetadataValue>().ok();
            let (Some(key), Some(value)) = (key, value) else {
                let message = format!(
                    "the metadata `{name}` cannot be sent: names are lower-case words, texts printable ASCII"
                );
                return Err(lasting(failure_type::REQUEST, message));
            };
            metadata.append(key, value);
            Ok(())
        };
        for (name, text) in &self.metadata {
            append(name, text)?;
        }
        for (name, reference) in &self.secrets {
            let text = reference.text(secrets, redactor);
            let text = text.map_err(|e| Failure::application(failure_type::SECRET, e))?;
            append(name, &text)?;
        }
        Ok(metadata)
    }
}
