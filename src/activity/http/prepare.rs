//! A request with its secrets inserted, ready to be sent. From here on it is never shown.

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;
use url::Url;

use super::request::{Body, Request, parse_url};
use crate::activity::secret::{Redactor, SecretReference, Secrets};
use crate::value::{Map, Value, to_json_string};

#[derive(Clone)]
pub(crate) struct Prepared {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Vec<u8>>,
    /// Headers that are not sent to another origin after a redirect.
    pub(crate) secret_headers: Vec<HeaderName>,
    pub(crate) is_body_secret: bool,
    /// The request would be useless without the parts that are not sent elsewhere.
    pub(crate) is_bound_to_origin: bool,
    pub(crate) is_url_secret: bool,
}

/// Why a request cannot be sent.
#[derive(Debug)]
pub(crate) enum PrepareError {
    /// The worker does not have the secret, but may have it later.
    Secret(String),
    Request(String),
}

struct Filler<'a> {
    secrets: &'a Secrets,
    redactor: &'a mut Redactor,
}

impl Prepared {
    pub(crate) fn new(
        request: &Request,
        secrets: &Secrets,
        redactor: &mut Redactor,
    ) -> Result<Prepared, PrepareError> {
        let mut filler = Filler { secrets, redactor };
        let places = &request.secrets;
        let mut url = match (&request.url, &places.url) {
            (Some(url), _) => url.clone(),
            (None, Some(reference)) => filler.url(reference)?,
            (None, None) => return Err(PrepareError::Request("a request needs a `url`".into())),
        };
        filler.query(request, &mut url)?;
        let mut headers = request.headers.clone();
        let secret_headers = filler.headers(request, &mut headers)?;
        Ok(Prepared {
            method: request.method.clone(),
            url,
            headers,
            body: filler.body(request)?,
            secret_headers,
            is_body_secret: !places.body.is_empty(),
            is_bound_to_origin: false,
            is_url_secret: places.url.is_some(),
        })
    }
}

impl Filler<'_> {
    fn get(&mut self, reference: &SecretReference) -> Result<String, PrepareError> {
        reference
            .text(self.secrets, self.redactor)
            .map_err(PrepareError::Secret)
    }

    fn url(&mut self, reference: &SecretReference) -> Result<Url, PrepareError> {
        let url = parse_url(&self.get(reference)?).map_err(|_| {
            PrepareError::Request(format!(
                "the secret `{}` is not an absolute URL without credentials that begins with http:// or https://",
                reference.name
            ))
        })?;
        // The part that keeps such a URL secret may be returned alone.
        let path = &url[url::Position::BeforePath..];
        if path.len() > 1 {
            self.redactor.add(&SecretString::from(path.to_owned()));
            self.redactor.add(&SecretString::from(url.to_string()));
        }
        Ok(url)
    }

    fn query(&mut self, request: &Request, url: &mut Url) -> Result<(), PrepareError> {
        if request.query.is_empty() && request.secrets.query.is_empty() {
            return Ok(());
        }
        let mut pairs = request.query.clone();
        for (name, reference) in &request.secrets.query {
            pairs.push((name.clone(), self.get(reference)?));
        }
        url.query_pairs_mut().extend_pairs(pairs);
        Ok(())
    }

    fn headers(
        &mut self,
        request: &Request,
        headers: &mut HeaderMap,
    ) -> Result<Vec<HeaderName>, PrepareError> {
        let mut secret = Vec::new();
        let mut texts = Vec::new();
        for (name, reference) in &request.secrets.headers {
            texts.push((name.clone(), self.get(reference)?));
        }
        if let Some((username, reference)) = &request.secrets.basic_auth {
            let both = format!("{username}:{}", self.get(reference)?);
            use base64::Engine as _;
            let encoded = base64::engine::general_purpose::STANDARD.encode(both);
            self.redactor.add(&SecretString::from(encoded.clone()));
            texts.push((AUTHORIZATION, format!("Basic {encoded}")));
        }
        for (name, text) in texts {
            let mut value = HeaderValue::from_str(&text).map_err(|_| {
                PrepareError::Request(format!(
                    "the secret for the header `{name}` has a character that no header may have"
                ))
            })?;
            value.set_sensitive(true);
            headers.insert(name.clone(), value);
            secret.push(name);
        }
        Ok(secret)
    }

    fn body(&mut self, request: &Request) -> Result<Option<Vec<u8>>, PrepareError> {
        let places = &request.secrets.body;
        Ok(match &request.body {
            Body::Json(value) => {
                let mut value = value.clone();
                for (pointer, reference) in places {
                    value = self.put(&value, pointer, reference)?;
                }
                Some(
                    to_json_string(&value)
                        .map_err(|e| PrepareError::Request(e.to_string()))?
                        .into_bytes(),
                )
            }
            Body::Form(pairs) => {
                let mut form = url::form_urlencoded::Serializer::new(String::new());
                form.extend_pairs(pairs);
                for (name, reference) in places {
                    form.append_pair(name, &self.get(reference)?);
                }
                Some(form.finish().into_bytes())
            }
            _ if !places.is_empty() => {
                return Err(PrepareError::Request(
                    "`secrets.body` goes into a `form` or into a `body` that is a mapping or a list".into(),
                ));
            }
            Body::None => None,
            Body::Text(text) => Some(text.clone().into_bytes()),
            Body::Bytes(bytes) => Some(bytes.clone()),
        })
    }

    fn put(
        &mut self,
        body: &Value,
        pointer: &str,
        reference: &SecretReference,
    ) -> Result<Value, PrepareError> {
        let Some(path) = pointer.strip_prefix('/') else {
            return Err(PrepareError::Request(format!(
                "`secrets.body` names a place by JSON Pointer, as /card/code; `{pointer}` does not begin with a slash"
            )));
        };
        let path: Vec<String> = path
            .split('/')
            .map(|token| token.replace("~1", "/").replace("~0", "~"))
            .collect();
        let text = self.get(reference)?;
        put_at(body, &path, &text).ok_or_else(|| {
            PrepareError::Request(format!("the body has no place `{pointer}` for a secret"))
        })
    }
}

/// The value with the text at the path; the last key of a mapping may be missing.
fn put_at(value: &Value, path: &[String], text: &str) -> Option<Value> {
    let Some((token, rest)) = path.split_first() else {
        return Some(Value::from(text));
    };
    match value.force().ok()? {
        Value::Map(map) => {
            let mut map = Map::clone(map);
            let inner = match (map.get(token), rest.is_empty()) {
                (_, true) => Value::from(text),
                (Some(inner), false) => put_at(inner, rest, text)?,
                (None, false) => return None,
            };
            map.insert(token.as_str(), inner);
            Some(Value::map(map))
        }
        Value::List(items) => {
            let mut items = items.to_vec();
            let at = token.parse::<usize>().ok()?;
            let inner = put_at(items.get(at)?, rest, text)?;
            items[at] = inner;
            Some(Value::list(items))
        }
        _ => None,
    }
}
