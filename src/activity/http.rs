//! The `http` activity: one HTTP request, with the worker's policy, its secrets, and Temporal's retries in mind.
//! Reference: docs/steps/http.md.

mod client;
mod exchange;
mod poll;
mod prepare;
pub(crate) mod request;
mod response;
mod status;

use std::sync::Arc;

use async_trait::async_trait;
use reqwest::header::{HeaderName, HeaderValue};

use self::exchange::{Exchange, shown};
use self::poll::Polled;
use self::prepare::{PrepareError, Prepared};
use self::request::Request;
use super::attempt::{Progress, guarded, lasting};
use super::policy::Policy;
use super::secret::{Redactor, Secrets};
use super::{Activity, ActivityContext, input};
use crate::engine::failure::Failure;
use crate::value::Value;

/// The types of its failures.
pub(crate) mod failure_type {
    /// The input is not a request. Not retried.
    pub(crate) const REQUEST: &str = "HttpRequest";
    /// The worker lacks a secret that the request names.
    pub(crate) const SECRET: &str = "HttpSecret";
    /// The worker's policy refuses the host. Not retried.
    pub(crate) const POLICY: &str = "HttpPolicy";
    /// No response arrived.
    pub(crate) const TRANSPORT: &str = "HttpTransport";
    /// No response arrived in time.
    pub(crate) const TIMEOUT: &str = "HttpTimeout";
    /// The response's status is not a success; `details` has the response.
    pub(crate) const STATUS: &str = "HttpStatus";
    /// A successful response cannot be read. Not retried, since the request had its effect.
    pub(crate) const RESPONSE: &str = "HttpResponse";
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

/// A task token that is sent with a request. From then on, heartbeats are its receiver's responsibility.
pub(super) struct Attached {
    pub(crate) headers: Vec<(String, String)>,
    /// The forms of the token in the request, which is sent to no other origin. They are removed from every answer.
    pub(crate) tokens: Vec<Vec<u8>>,
}

impl Http {
    /// The answer to the request.
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
        let exchange = Exchange {
            http: self,
            request,
            redactor: &redactor,
            what: &what,
        };
        let progress = Progress::new(context, is_alive_while_it_waits);
        let answer = match &request.poll {
            None => {
                let late = |limit| {
                    let message = format!("{what} was not answered within {limit:?}");
                    Failure::application(failure_type::TIMEOUT, message)
                };
                let once = exchange.once(prepared);
                guarded(context, request.timeout, &progress, &what, late, once).await
            }
            Some(poll) => {
                let late = |limit| {
                    let message = format!("{what} was not ready within {limit:?}");
                    Failure::application(failure_type::TIMEOUT, message)
                };
                let polled = Polled::resume(context.last_heartbeat().as_ref());
                let polling = exchange.poll(poll, prepared, polled, &progress);
                guarded(context, None, &progress, &what, late, polling).await
            }
        };
        redactor.end(answer)
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
        self.tokens
            .iter()
            .for_each(|token| redactor.add_bytes(token));
        Ok(())
    }
}
