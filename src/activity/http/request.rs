//! The request of the `http` activity: its input, parsed and validated.

use std::str::FromStr;

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::poll::Poll;
use super::status::{Statuses, Verdicts};
use crate::accepted;
use crate::activity::input::{
    entries, known_keys, read_pairs, read_timeout, scalar_text, table_keys,
};
use crate::activity::secret::SecretReference;
use crate::definition::tables;
use crate::limits::{HTTP_REDIRECTS_MAX, HTTP_RESPONSE_SIZE_BYTES_MAX, PAYLOAD_SIZE_BYTES_MAX};
use crate::value::{Map, Value};

const REDIRECTS_DEFAULT: u32 = 10;
const POLL_TIMEOUT_DEFAULT: std::time::Duration = std::time::Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// `None` if it is a secret.
    pub(crate) url: Option<Url>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    pub(crate) secrets: SecretPlaces,
    pub(crate) verdicts: Verdicts,
    /// The timeout of the attempt; with `poll`, of each request.
    pub(crate) timeout: Option<std::time::Duration>,
    pub(crate) poll: Option<Poll>,
    pub(crate) redirects: u32,
    pub(crate) response: ResponseKind,
    pub(crate) response_size_bytes_max: usize,
}

#[derive(Debug, Clone)]
pub(crate) enum Body {
    None,
    /// Kept as a value until its secrets are inserted.
    Json(Value),
    Text(String),
    Bytes(Vec<u8>),
    Form(Vec<(String, String)>),
}

/// How the response's body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResponseKind {
    /// By its content type.
    Automatic,
    Json,
    Text,
    Bytes,
    /// Not at all.
    None,
}

/// Where secrets are inserted, by name. It is a separate part of the request, so that data in the other parts cannot
/// name one.
#[derive(Debug, Default)]
pub(crate) struct SecretPlaces {
    pub(crate) url: Option<SecretReference>,
    pub(crate) headers: Vec<(HeaderName, SecretReference)>,
    pub(crate) query: Vec<(String, SecretReference)>,
    /// By JSON Pointer; for a form, by the field's name.
    pub(crate) body: Vec<(String, SecretReference)>,
    pub(crate) basic_auth: Option<(String, SecretReference)>,
}

impl Request {
    /// An error names the key that is wrong and what it should be.
    pub(crate) fn read(input: &Value) -> Result<Request, String> {
        let map = input
            .as_map()
            .ok_or("a request is a mapping with at least `url`")?;
        known_keys(map, table_keys(&tables::HTTP), "the request")?;
        let secrets = map.get("secrets").map(SecretPlaces::read).transpose()?;
        let secrets = secrets.unwrap_or_default();
        let mut headers = read_headers(map.get("headers"))?;
        let body = Body::read(map)?;
        if let Some(kind) = body.content_type()
            && !headers.contains_key(CONTENT_TYPE)
        {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        Ok(Request {
            method: read_method(map.get("method"), &body)?,
            url: read_url(map.get("url"), &secrets)?,
            query: read_pairs(map.get("query"), "query")?,
            headers,
            body,
            secrets,
            verdicts: Verdicts {
                success: Statuses::read(map, "success")?,
                retryable: Statuses::read(map, "retryable")?,
                non_retryable: Statuses::read(map, "non_retryable")?,
            },
            timeout: read_timeout(map.get("timeout"))?,
            poll: Poll::read(map.get("poll"))?,
            redirects: read_redirects(map.get("redirects"))?,
            response: ResponseKind::read(map.get("response"))?,
            response_size_bytes_max: read_size(map.get("response_size_bytes_max"))?,
        })
    }

    /// The timeout of each request of a step that polls.
    pub(crate) fn poll_timeout(&self) -> std::time::Duration {
        self.timeout.unwrap_or(POLL_TIMEOUT_DEFAULT)
    }
}

impl Body {
    fn read(map: &Map) -> Result<Body, String> {
        match (map.get("body"), map.get("form")) {
            (Some(_), Some(_)) => Err("a request has a `body` or a `form`, not both".into()),
            (None, None) => Ok(Body::None),
            (None, Some(form)) => Ok(Body::Form(read_pairs(Some(form), "form")?)),
            (Some(body), None) => Ok(match body.force().map_err(|e| e.to_string())? {
                Value::Null => Body::None,
                Value::String(text) => Body::Text(text.to_string()),
                Value::Bytes(bytes) => Body::Bytes(bytes.to_vec()),
                other => Body::Json(other.clone()),
            }),
        }
    }

    fn content_type(&self) -> Option<&'static str> {
        match self {
            Body::None => None,
            Body::Json(_) => Some("application/json"),
            Body::Text(_) => Some("text/plain; charset=utf-8"),
            Body::Bytes(_) => Some("application/octet-stream"),
            Body::Form(_) => Some("application/x-www-form-urlencoded"),
        }
    }
}

impl ResponseKind {
    fn read(value: Option<&Value>) -> Result<ResponseKind, String> {
        Ok(match value.map(|v| (v, v.as_str())) {
            None | Some((Value::Null, _)) | Some((_, Some("auto"))) => ResponseKind::Automatic,
            Some((_, Some("json"))) => ResponseKind::Json,
            Some((_, Some("text"))) => ResponseKind::Text,
            Some((_, Some("bytes"))) => ResponseKind::Bytes,
            Some((_, Some("none"))) => ResponseKind::None,
            Some(_) => return Err("`response` is auto, json, text, bytes or none".into()),
        })
    }
}

impl SecretPlaces {
    fn read(value: &Value) -> Result<SecretPlaces, String> {
        let map = value
            .as_map()
            .ok_or("`secrets` maps url, headers, query, body or basic_auth to names of secrets")?;
        known_keys(map, table_keys(&tables::HTTP_SECRETS), "`secrets`")?;
        let mut places = SecretPlaces::default();
        if let Some(url) = map.get("url") {
            places.url = Some(SecretReference::read(url, "secrets.url")?);
        }
        for (name, value) in entries(map.get("headers"), "secrets.headers")? {
            places.headers.push((
                header_name(&name)?,
                SecretReference::read(value, "secrets.headers")?,
            ));
        }
        for (name, value) in entries(map.get("query"), "secrets.query")? {
            places
                .query
                .push((name, SecretReference::read(value, "secrets.query")?));
        }
        for (name, value) in entries(map.get("body"), "secrets.body")? {
            places
                .body
                .push((name, SecretReference::read(value, "secrets.body")?));
        }
        if let Some(basic) = map.get("basic_auth") {
            let username = basic.get("username").and_then(scalar_text);
            let username = username.ok_or(
                "`secrets.basic_auth` has a `username`, a text, and a `password`, a secret's name",
            )?;
            let password = basic
                .get("password")
                .ok_or("`secrets.basic_auth` needs a `password`: a secret's name")?;
            places.basic_auth = Some((
                username,
                SecretReference::read(password, "secrets.basic_auth.password")?,
            ));
        }
        Ok(places)
    }
}

fn read_method(value: Option<&Value>, body: &Body) -> Result<Method, String> {
    let Some(value) = value else {
        return Ok(match body {
            Body::None => Method::GET,
            _ => Method::POST,
        });
    };
    let name = value.as_str().unwrap_or_default().to_ascii_uppercase();
    accepted::http_method(&name)?;
    Method::from_str(&name).map_err(|_| "`method` is an HTTP method: GET, POST, PUT, …".into())
}

fn read_url(value: Option<&Value>, secrets: &SecretPlaces) -> Result<Option<Url>, String> {
    match (value, &secrets.url) {
        (None, Some(_)) => Ok(None),
        (Some(_), Some(_)) => Err("a request has a `url` or a `secrets.url`, not both".into()),
        (None, None) => Err("a request needs a `url`".into()),
        (Some(value), None) => parse_url(value.as_str().ok_or("`url` is a text")?).map(Some),
    }
}

/// An absolute http or https URL without credentials.
pub(crate) fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("`url` is not an absolute URL: {e}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!(
            "`url` begins with http:// or https://, not {}:",
            url.scheme()
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "`url` holds credentials, which would stay in the history; use `secrets.basic_auth`"
                .into(),
        );
    }
    Ok(url)
}

fn read_headers(value: Option<&Value>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in read_pairs(value, "headers")? {
        let text = HeaderValue::from_str(&value)
            .map_err(|_| format!("the header `{name}` has a character that no header may have"))?;
        headers.append(header_name(&name)?, text);
    }
    Ok(headers)
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    accepted::http_header(name)?;
    HeaderName::from_str(name).map_err(|_| format!("`{name}` is not a header's name"))
}

fn read_redirects(value: Option<&Value>) -> Result<u32, String> {
    match value {
        None | Some(Value::Null) => Ok(REDIRECTS_DEFAULT),
        Some(Value::Int(n)) if (0..=i64::from(HTTP_REDIRECTS_MAX)).contains(n) => Ok(*n as u32),
        Some(_) => Err(format!(
            "`redirects` is a number from 0 to HTTP_REDIRECTS_MAX ({HTTP_REDIRECTS_MAX})"
        )),
    }
}

fn read_size(value: Option<&Value>) -> Result<usize, String> {
    let wrong = || {
        format!(
            "`response_size_bytes_max` is a number from 1 to PAYLOAD_SIZE_BYTES_MAX ({PAYLOAD_SIZE_BYTES_MAX} bytes)"
        )
    };
    match value {
        None | Some(Value::Null) => Ok(HTTP_RESPONSE_SIZE_BYTES_MAX),
        Some(Value::Int(n)) => match usize::try_from(*n) {
            Ok(n) if (1..=PAYLOAD_SIZE_BYTES_MAX).contains(&n) => Ok(n),
            _ => Err(wrong()),
        },
        Some(_) => Err(wrong()),
    }
}
