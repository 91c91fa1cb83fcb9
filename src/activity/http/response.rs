//! A response as a value: its status, its headers, and its body within the bound, read according to its content type.

use reqwest::header::{CONTENT_TYPE, HeaderMap};

use super::request::ResponseKind;
use crate::activity::secret::Redactor;
use crate::limits::HTTP_FAILURE_BODY_SIZE_BYTES_MAX;
use crate::value::{Map, Value, parse_foreign_json, without_byte_order_mark};

/// A response read to its end, unchanged: secrets are removed from the values that are made of it.
pub(crate) struct Received {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// The body is longer than what was read.
    pub(crate) is_cut: bool,
    body: Vec<u8>,
    header_texts: Vec<(String, String)>,
}

impl Received {
    /// Reads the body up to the bound.
    pub(crate) async fn read(
        mut response: reqwest::Response,
        size_bytes_max: usize,
    ) -> reqwest::Result<Received> {
        let mut body = Vec::new();
        let mut is_cut = false;
        while let Some(chunk) = response.chunk().await? {
            let room = size_bytes_max - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                is_cut = true;
                break;
            }
        }
        let headers = response.headers().clone();
        let mut header_texts: Vec<(String, String)> = Vec::new();
        for (name, value) in &headers {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            match header_texts
                .iter_mut()
                .find(|(known, _)| known == name.as_str())
            {
                Some((_, known)) => *known = format!("{known}, {text}"),
                None => header_texts.push((name.to_string(), text)),
            }
        }
        Ok(Received {
            status: response.status().as_u16(),
            is_cut,
            body,
            headers,
            header_texts,
        })
    }

    /// `{ status, headers, body }`; an error explains why the body cannot be read as requested.
    pub(crate) fn value(&self, kind: ResponseKind) -> Result<Value, String> {
        let body = match self.resolve(kind) {
            ResponseKind::None => Value::Null,
            ResponseKind::Json if without_byte_order_mark(&self.body).trim_ascii().is_empty() => {
                Value::Null
            }
            ResponseKind::Json => parse_foreign_json(&self.body)
                .map_err(|e| format!("the response's body is not JSON that can be read: {e}"))?,
            ResponseKind::Bytes => Value::Bytes(self.body.as_slice().into()),
            ResponseKind::Text | ResponseKind::Automatic => self.text(),
        };
        Ok(self.with_body(body))
    }

    /// The response in a failure: no more of the body than its bound, and never an error.
    pub(crate) fn failure_value(&self, redactor: &Redactor) -> Value {
        if self.body.len() <= HTTP_FAILURE_BODY_SIZE_BYTES_MAX
            && !self.is_cut
            && let Ok(value) = self.value(ResponseKind::Automatic)
        {
            return value;
        }
        // Before it is cut: a secret that is cut in two would not be found.
        let body = match self.is_cut {
            true => redactor.bytes_of_cut(&self.body),
            false => redactor.bytes(&self.body),
        };
        let kept = body.len().min(HTTP_FAILURE_BODY_SIZE_BYTES_MAX);
        let text = String::from_utf8_lossy(&body[..kept]).into_owned();
        let mark = if kept < self.body.len() { " …" } else { "" };
        self.with_body(Value::from(text + mark))
    }

    fn with_body(&self, body: Value) -> Value {
        let mut headers = Map::with_capacity(self.header_texts.len());
        for (name, text) in &self.header_texts {
            headers.insert(name.as_str(), text.as_str());
        }
        let mut map = Map::with_capacity(3);
        map.insert("status", i64::from(self.status));
        map.insert("headers", Value::map(headers));
        map.insert("body", body);
        Value::map(map)
    }

    /// The kind that the content type, or the bytes themselves, indicate.
    fn resolve(&self, kind: ResponseKind) -> ResponseKind {
        if kind != ResponseKind::Automatic {
            return kind;
        }
        let content_type = self.content_type();
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if self.body.is_empty() {
            ResponseKind::None
        } else if essence == "application/json" || essence.ends_with("+json") {
            ResponseKind::Json
        } else if essence.starts_with("text/") || std::str::from_utf8(&self.body).is_ok() {
            ResponseKind::Text
        } else {
            ResponseKind::Bytes
        }
    }

    fn content_type(&self) -> String {
        let value = self.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
        value.unwrap_or_default().to_ascii_lowercase()
    }

    /// UTF-8, or Latin-1 if the content type names it.
    fn text(&self) -> Value {
        let content_type = self.content_type();
        let is_latin = ["iso-8859-1", "latin1", "windows-1252"]
            .iter()
            .any(|name| content_type.contains(name));
        Value::from(match is_latin {
            true => self.body.iter().map(|b| char::from(*b)).collect(),
            false => String::from_utf8_lossy(&self.body).into_owned(),
        })
    }
}
