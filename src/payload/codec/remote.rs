//! A codec server, asked over HTTP by Temporal's protocol.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url, redirect};
use temporalio_protos::temporal::api::common::v1::Payload;

use super::CodecError;
use crate::limits::CODEC_BODY_SIZE_BYTES_MAX;
use crate::payload::json::{payloads_from_json, payloads_to_json};

const NAMESPACE_HEADER: HeaderName = HeaderName::from_static("x-namespace");
/// The placeholder for the namespace in an endpoint, as in the official command line.
const NAMESPACE_PLACEHOLDER: &str = "{namespace}";
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// What an error quotes of a server's answer.
const REASON_CHARS_MAX: usize = 300;

#[derive(Debug)]
pub struct Remote {
    client: Client,
    encode: Url,
    decode: Url,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    #[error("the codec server's endpoint {0:?} is not an http or https URL")]
    Endpoint(String),
    #[error("the codec server's {0} contains a character that an HTTP header cannot have")]
    Header(&'static str),
    #[error("the codec server's client cannot be built: {0}")]
    Client(reqwest::Error),
}

impl Remote {
    /// `authorization` is the whole value of the header, for instance `Bearer …`.
    pub(crate) fn new(
        endpoint: &str,
        namespace: &str,
        authorization: Option<&str>,
    ) -> Result<Remote, RemoteError> {
        let endpoint = endpoint.replace(NAMESPACE_PLACEHOLDER, namespace);
        let url = |operation: &str| {
            let url = Url::parse(&format!("{}/{operation}", endpoint.trim_end_matches('/')));
            url.ok()
                .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
                .ok_or_else(|| RemoteError::Endpoint(endpoint.clone()))
        };
        let mut headers = HeaderMap::new();
        let value = |what, text: &str| {
            HeaderValue::from_str(text.trim()).map_err(|_| RemoteError::Header(what))
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(NAMESPACE_HEADER, value("namespace", namespace)?);
        if let Some(authorization) = authorization {
            let mut authorization = value("authorization", authorization)?;
            authorization.set_sensitive(true);
            headers.insert(AUTHORIZATION, authorization);
        }
        // Another part of the process may have installed the same one before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("segno/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            // Payloads and the authorization are sent only to the server that was named.
            .redirect(redirect::Policy::none())
            .timeout(REQUEST_TIMEOUT)
            .build()
            .map_err(RemoteError::Client)?;
        Ok(Remote {
            client,
            encode: url("encode")?,
            decode: url("decode")?,
        })
    }

    pub(crate) async fn encode(&self, payloads: Vec<Payload>) -> Result<Vec<Payload>, CodecError> {
        self.ask(&self.encode, payloads).await
    }

    pub(crate) async fn decode(&self, payloads: Vec<Payload>) -> Result<Vec<Payload>, CodecError> {
        self.ask(&self.decode, payloads).await
    }

    async fn ask(&self, url: &Url, payloads: Vec<Payload>) -> Result<Vec<Payload>, CodecError> {
        let count = payloads.len();
        if count == 0 {
            return Ok(payloads);
        }
        let failed = |reason: String| CodecError::Server {
            url: url.to_string(),
            reason,
        };
        let request = self.client.post(url.clone());
        let request = request.body(payloads_to_json(payloads)?.to_string());
        let unanswered = |error| failed(innermost(&error));
        let mut response = request.send().await.map_err(unanswered)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unanswered)? {
            if body.len() + chunk.len() > CODEC_BODY_SIZE_BYTES_MAX {
                return Err(CodecError::ServerAnswerTooLarge(url.to_string()));
            }
            body.extend_from_slice(&chunk);
        }
        let status = response.status();
        if !status.is_success() {
            let text = String::from_utf8_lossy(&body);
            let text: String = text.trim().chars().take(REASON_CHARS_MAX).collect();
            return Err(CodecError::ServerRefused {
                url: url.to_string(),
                status: status.as_u16(),
                reason: text,
            });
        }
        let answered = payloads_from_json(&body).map_err(|e| failed(e.to_string()))?;
        match answered.len() {
            n if n == count => Ok(answered),
            n => Err(failed(format!(
                "it was sent {count} payloads and answered with {n}"
            ))),
        }
    }
}

/// The outer errors only report that a request failed, and its URL.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
