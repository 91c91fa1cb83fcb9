//! The sending of a request: its redirects, its polling, and how its answers are interpreted.

use std::error::Error;
use std::time::SystemTime;

use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use reqwest::{Method, StatusCode};

use super::client::Refused;
use super::poll::{Poll, Polled};
use super::prepare::Prepared;
use super::request::{Request, ResponseKind};
use super::response::Received;
use super::status::{Verdict, retry_after};
use super::{Http, failure_type};
use crate::activity::attempt::{Progress, lasting};
use crate::activity::secret::Redactor;
use crate::engine::failure::{Failure, FailureInfo};
use crate::limits::{HTTP_REDIRECTS_MAX, HTTP_RESPONSE_SIZE_BYTES_MAX};
use crate::value::Value;

pub(crate) struct Exchange<'a> {
    pub(crate) http: &'a Http,
    pub(crate) request: &'a Request,
    pub(crate) redactor: &'a Redactor,
    /// Its name in messages.
    pub(crate) what: &'a str,
}

impl Exchange<'_> {
    /// The answer to one request.
    pub(crate) async fn once(&self, prepared: Prepared) -> Result<Value, Failure> {
        let received = self.receive(prepared).await?;
        self.conclude(&received)
    }

    /// The first answer that is not pending. The progress has where the previous attempt was, and reports that of this
    /// one.
    pub(crate) async fn poll(
        &self,
        poll: &Poll,
        mut prepared: Prepared,
        mut polled: Polled,
        progress: &Progress,
    ) -> Result<Value, Failure> {
        if let Some(url) = &polled.url {
            self.redirect(&mut prepared, StatusCode::SEE_OTHER, url)?;
        }
        loop {
            let limit = self.request.poll_timeout();
            let received = tokio::time::timeout(limit, self.receive(prepared.clone()));
            let received = received.await.map_err(|_| {
                let message = format!("{} was not answered within {limit:?}", self.what);
                Failure::application(failure_type::TIMEOUT, message)
            })??;
            if !self.is_pending(poll, &received) {
                return self.conclude(&received);
            }
            let location = received.headers.get(LOCATION).and_then(|l| l.to_str().ok());
            if let Some(location) = location.filter(|_| matches!(received.status, 201 | 202)) {
                self.redirect(&mut prepared, StatusCode::SEE_OTHER, location)?;
                polled.url = Some(prepared.url.to_string());
            }
            polled.polls += 1;
            progress.tell(polled.to_value(self.redactor));
            let wait = retry_after(&received.headers, SystemTime::now());
            let wait = wait.and_then(|wait| wait.to_std()).unwrap_or(poll.every);
            tokio::time::sleep(wait).await;
        }
    }

    fn is_pending(&self, poll: &Poll, received: &Received) -> bool {
        let body = || received.value(ResponseKind::Automatic).ok();
        let is_success = self.verdict(received.status) == Verdict::Success;
        poll.statuses.contains(received.status)
            || is_success && body().is_some_and(|answer| poll.is_pending(&answer))
    }

    fn verdict(&self, status: u16) -> Verdict {
        self.request.verdicts.of(status)
    }

    async fn receive(&self, mut prepared: Prepared) -> Result<Received, Failure> {
        let Exchange { request, what, .. } = self;
        let mut redirects = 0;
        let response = loop {
            let response = self.send(&prepared).await?;
            let status = response.status();
            let location = response.headers().get(LOCATION);
            let wanted = self.verdict(status.as_u16()) == Verdict::Success;
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
                    self.redirect(&mut prepared, status, &location)?;
                    redirects += 1;
                }
            }
        };
        let is_success = self.verdict(response.status().as_u16()) == Verdict::Success;
        let size_bytes_max = match is_success {
            true => request.response_size_bytes_max,
            false => HTTP_RESPONSE_SIZE_BYTES_MAX,
        };
        let received = Received::read(response, size_bytes_max).await;
        let received = received.map_err(|e| transport(what, &e, self.redactor))?;
        tracing::debug!(status = received.status, "{what} was answered");
        Ok(received)
    }

    fn conclude(&self, received: &Received) -> Result<Value, Failure> {
        match self.verdict(received.status) {
            Verdict::Success => success(received, self.request, self.what),
            _ => Err(no_success(received, self.request, self.redactor, self.what)),
        }
    }

    /// Changes the request to the target of a redirect, if that is allowed.
    fn redirect(
        &self,
        prepared: &mut Prepared,
        status: StatusCode,
        location: &str,
    ) -> Result<(), Failure> {
        let before = prepared.url.origin();
        redirect(prepared, status, location, self.what)?;
        match before == prepared.url.origin() || self.http.policy.may_leave_origin() {
            true => Ok(()),
            false => Err(lasting(
                failure_type::POLICY,
                format!(
                    "{} was redirected to {}; with `--http-policy strict` a request does not go to another origin",
                    self.what,
                    shown(&prepared.url)
                ),
            )),
        }
    }

    async fn send(&self, prepared: &Prepared) -> Result<reqwest::Response, Failure> {
        let refused = |reason: String| {
            let message = format!("{} is refused: {reason}", self.what);
            lasting(failure_type::POLICY, self.redactor.text(&message))
        };
        let policy = &self.http.policy;
        policy.check_url(&prepared.url).map_err(refused)?;
        let mut builder = self
            .http
            .client
            .request(prepared.method.clone(), prepared.url.clone())
            .headers(prepared.headers.clone());
        if let Some(body) = &prepared.body {
            builder = builder.body(body.clone());
        }
        let sent = builder.send().await;
        sent.map_err(|e| transport(self.what, &e, self.redactor))
    }
}

fn success(received: &Received, request: &Request, what: &str) -> Result<Value, Failure> {
    if received.is_cut && request.response != ResponseKind::None {
        return Err(lasting(
            failure_type::RESPONSE,
            format!(
                "{what} was answered with a body of more than {} bytes; `response_size_bytes_max` allows more (HTTP_RESPONSE_SIZE_BYTES_MAX, {HTTP_RESPONSE_SIZE_BYTES_MAX}, unless said), `response: none` leaves it out",
                request.response_size_bytes_max
            ),
        ));
    }
    let value = received.value(request.response);
    value.map_err(|e| lasting(failure_type::RESPONSE, format!("{what}: {e}")))
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

/// Changes the request to the target of a redirect. Secrets stay with the origin that they were meant for.
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

/// A URL without its possibly confidential parts.
pub(crate) fn shown(url: &url::Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

/// The client's error if there is no response.
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
