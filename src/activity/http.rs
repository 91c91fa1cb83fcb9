//! The `http` activity: one HTTP request, with the worker's policy, its secrets, and Temporal's retries in mind.
//! Reference: docs/steps/http.md.

mod client;
mod prepare;
pub mod request;
mod response;
mod status;

use std::error::Error;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode};
use secrecy::SecretString;

use self::client::Refused;
use self::prepare::{PrepareError, Prepared};
use self::request::Request;
use self::response::Received;
use self::status::{Verdict, retry_after};
use super::attempt::{Progress, guarded, lasting};
use super::policy::Policy;
use super::secret::{Redactor, Secrets};
use super::{Activity, ActivityContext, input};
use crate::engine::failure::{Failure, FailureInfo};
use crate::limits::{HTTP_REDIRECTS_MAX, HTTP_RESPONSE_SIZE_BYTES_MAX};
use crate::value::Value;

/// The types of its failures.
pub mod failure_type {
    /// The input is not a request. Not retried.
    pub const REQUEST: &str = "HttpRequest";
    /// The worker lacks a secret that the request names.
    pub const SECRET: &str = "HttpSecret";
    /// The worker's policy refuses the host. Not retried.
    pub const POLICY: &str = "HttpPolicy";
    /// No response came.
    pub const TRANSPORT: &str = "HttpTransport";
    /// No response came in time.
    pub const TIMEOUT: &str = "HttpTimeout";
    /// The response's status is no success; `details` are the response.
    pub const STATUS: &str = "HttpStatus";
    /// A response of success cannot be read. Not retried, since the request had its effect.
    pub const RESPONSE: &str = "HttpResponse";
}

pub struct Http {
    client: reqwest::Client,
    policy: Arc<Policy>,
    secrets: Secrets,
}

impl Http {
    pub fn new(policy: Arc<Policy>, secrets: Secrets) -> Result<Http, String> {
        Ok(Http {
            client: client::client(policy.clone())?,
            policy,
            secrets,
        })
    }
}

#[async_trait]
impl Activity for Http {
    fn name(&self) -> &str {
        "http"
    }

    async fn run(&self, context: ActivityContext, arguments: Vec<Value>) -> Result<Value, Failure> {
        let request = input::request(&arguments, Request::read, failure_type::REQUEST)?;
        self.answer(&context, &request, None).await
    }
}

/// A task token that goes along with a request. From then on all heartbeats are its receiver's.
pub(super) struct Attached {
    pub headers: Vec<(String, String)>,
    /// It is in the request, which goes to no other origin, and is taken out of whatever comes back.
    pub token: SecretString,
}

impl Http {
    /// What the request is answered.
    pub(super) async fn answer(
        &self,
        context: &ActivityContext,
        request: &Request,
        attached: Option<Attached>,
    ) -> Result<Value, Failure> {
        let mut redactor = Redactor::default();
        let mut prepared =
            Prepared::new(request, &self.secrets, &mut redactor).map_err(|e| match e {
                PrepareError::Secret(message) => {
                    Failure::application(failure_type::SECRET, message)
                }
                PrepareError::Request(message) => lasting(failure_type::REQUEST, message),
            })?;
        let is_alive_while_it_waits = attached.is_none();
        if let Some(attached) = attached {
            attached.put(&mut prepared, &mut redactor)?;
        }
        let place = match prepared.is_url_secret {
            true => "the secret URL".to_owned(),
            false => shown(&prepared.url),
        };
        let what = redactor.text(&format!("{} {place}", request.method));
        let exchange = self.exchange(request, prepared, &redactor, &what);
        let late = |limit| {
            let message = format!("{what} was not answered within {limit:?}");
            Failure::application(failure_type::TIMEOUT, message)
        };
        let progress = Progress::new(context, is_alive_while_it_waits);
        guarded(context, request.timeout, &progress, &what, late, exchange).await
    }

    async fn exchange(
        &self,
        request: &Request,
        mut prepared: Prepared,
        redactor: &Redactor,
        what: &str,
    ) -> Result<Value, Failure> {
        let mut redirects = 0;
        let response = loop {
            let response = self.send(&prepared, redactor, what).await?;
            let status = response.status();
            let location = response.headers().get(LOCATION);
            let wanted = request.verdicts.of(status.as_u16()) == Verdict::Success;
            match location.filter(|_| is_redirect(status) && !wanted && request.redirects > 0) {
                None => break response,
                Some(_) if redirects == request.redirects => {
                    return Err(lasting(
                        failure_type::STATUS,
                        format!(
                            "{what} was redirected more than {} times (`redirects`; HTTP_REDIRECTS_MAX is {HTTP_REDIRECTS_MAX})",
                            request.redirects
                        ),
                    ));
                }
                Some(location) => {
                    let location = location.to_str().unwrap_or_default().to_owned();
                    redirect(&mut prepared, status, &location, what)?;
                    redirects += 1;
                }
            }
        };
        let is_success = request.verdicts.of(response.status().as_u16()) == Verdict::Success;
        let size_bytes_max = match is_success {
            true => request.response_size_bytes_max,
            false => HTTP_RESPONSE_SIZE_BYTES_MAX,
        };
        let received = Received::read(response, size_bytes_max, redactor).await;
        let received = received.map_err(|e| transport(what, &e, redactor))?;
        tracing::debug!(status = received.status, "{what} was answered");
        match is_success {
            true => success(&received, request, redactor, what),
            false => Err(no_success(&received, request, redactor, what)),
        }
    }

    async fn send(
        &self,
        prepared: &Prepared,
        redactor: &Redactor,
        what: &str,
    ) -> Result<reqwest::Response, Failure> {
        let refused = |reason: String| {
            lasting(
                failure_type::POLICY,
                redactor.text(&format!("{what} is refused: {reason}")),
            )
        };
        let host = prepared.url.host();
        let host = host.ok_or_else(|| refused("its URL has no host".into()))?;
        self.policy.check_host(&host).map_err(refused)?;
        let mut builder = self
            .client
            .request(prepared.method.clone(), prepared.url.clone())
            .headers(prepared.headers.clone());
        if let Some(body) = &prepared.body {
            builder = builder.body(body.clone());
        }
        builder
            .send()
            .await
            .map_err(|e| transport(what, &e, redactor))
    }
}

impl Attached {
    fn put(self, prepared: &mut Prepared, redactor: &mut Redactor) -> Result<(), Failure> {
        let wrong = |name: &str| {
            lasting(
                failure_type::REQUEST,
                format!("the header `{name}` cannot be sent"),
            )
        };
        for (name, text) in self.headers {
            let value = HeaderValue::from_str(&text).map_err(|_| wrong(&name))?;
            let name = HeaderName::try_from(&name).map_err(|_| wrong(&name))?;
            prepared.headers.insert(name, value);
        }
        prepared.is_bound_to_origin = true;
        redactor.add(&self.token);
        Ok(())
    }
}

fn success(
    received: &Received,
    request: &Request,
    redactor: &Redactor,
    what: &str,
) -> Result<Value, Failure> {
    if received.is_cut && request.response != request::ResponseKind::None {
        return Err(lasting(
            failure_type::RESPONSE,
            format!(
                "{what} was answered with a body of more than {} bytes; `response_size_bytes_max` allows more (HTTP_RESPONSE_SIZE_BYTES_MAX, {HTTP_RESPONSE_SIZE_BYTES_MAX}, unless said), `response: none` leaves it out",
                request.response_size_bytes_max
            ),
        ));
    }
    received.value(request.response, redactor).map_err(|e| {
        lasting(
            failure_type::RESPONSE,
            format!("{what}: {}", redactor.text(&e)),
        )
    })
}

fn no_success(received: &Received, request: &Request, redactor: &Redactor, what: &str) -> Failure {
    let status = StatusCode::from_u16(received.status).ok();
    let reason = status
        .and_then(|s| s.canonical_reason())
        .unwrap_or_default();
    let message = format!("{what} was answered {} {reason}", received.status);
    let verdict = request.verdicts.of(received.status);
    Failure::new(
        message.trim_end(),
        FailureInfo::Application {
            error_type: failure_type::STATUS.into(),
            non_retryable: verdict == Verdict::NonRetryable,
            details: vec![received.failure_value(redactor)],
            next_retry_delay: match verdict {
                Verdict::Retryable => retry_after(&received.headers, SystemTime::now()),
                _ => None,
            },
        },
    )
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Turns the request to where it is sent on. Secrets stay with the origin they were meant for.
fn redirect(
    prepared: &mut Prepared,
    status: StatusCode,
    location: &str,
    what: &str,
) -> Result<(), Failure> {
    let url = prepared.url.join(location).ok();
    let url = url
        .filter(|u| matches!(u.scheme(), "http" | "https"))
        .ok_or_else(|| {
            lasting(
                failure_type::STATUS,
                format!("{what} was redirected to what is no http or https URL"),
            )
        })?;
    let becomes_get = match status.as_u16() {
        303 => prepared.method != Method::HEAD,
        301 | 302 => prepared.method == Method::POST,
        _ => false,
    };
    if becomes_get {
        prepared.method = Method::GET;
        prepared.body = None;
        prepared.is_body_secret = false;
        prepared.headers.remove(CONTENT_TYPE);
        prepared.headers.remove(CONTENT_LENGTH);
    }
    if url.origin() != prepared.url.origin() {
        if prepared.is_bound_to_origin {
            return Err(lasting(
                failure_type::POLICY,
                format!(
                    "{what} was redirected to {}, and a task token does not go to another origin",
                    shown(&url)
                ),
            ));
        }
        if prepared.is_body_secret {
            return Err(lasting(
                failure_type::POLICY,
                format!(
                    "{what} was redirected to {}, and its body with secrets does not go to another origin",
                    shown(&url)
                ),
            ));
        }
        let names = ["authorization", "cookie", "proxy-authorization"];
        names
            .iter()
            .for_each(|name| drop(prepared.headers.remove(*name)));
        for name in &prepared.secret_headers {
            prepared.headers.remove(name);
        }
    }
    prepared.url = url;
    Ok(())
}

/// A URL without what may be confidential in it.
fn shown(url: &url::Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

/// What the client says when there is no response.
fn transport(what: &str, error: &reqwest::Error, redactor: &Redactor) -> Failure {
    let sources = std::iter::successors(error.source(), |e: &&(dyn Error + 'static)| (*e).source());
    let mut reasons: Vec<String> = Vec::new();
    for source in sources {
        if let Some(Refused(reason)) = source.downcast_ref() {
            return lasting(
                failure_type::POLICY,
                redactor.text(&format!("{what} is refused: {reason}")),
            );
        }
        let reason = source.to_string();
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    let message = redactor.text(&format!("{what} was not answered: {}", reasons.join(": ")));
    match error.is_builder() {
        true => lasting(failure_type::REQUEST, message),
        false => Failure::application(failure_type::TRANSPORT, message),
    }
}
