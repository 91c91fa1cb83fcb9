//! The codec server: Temporal's protocol over HTTP, with the headers that browsers ask for.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, AUTHORIZATION, CONTENT_TYPE, HeaderMap,
    HeaderName, HeaderValue, ORIGIN, VARY,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::limits::{CODEC_BODY_SIZE_BYTES_MAX, CODEC_CONNECTIONS_MAX};
use crate::payload::{Codec, CodecError};

const NAMESPACE_HEADER: HeaderName = HeaderName::from_static("x-namespace");
/// The UI sends these two besides the content type.
const HEADERS_ALLOWED: HeaderValue =
    HeaderValue::from_static("content-type, x-namespace, authorization");
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How long requests may go on when the server is asked to stop.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Who may ask.
pub struct Door {
    pub origins: Vec<String>,
    /// None: all.
    pub namespaces: Vec<String>,
    /// What the header `Authorization` must be.
    pub authorization: Option<String>,
}

struct Server {
    codec: Codec,
    door: Door,
}

/// What a caller is told.
struct Refusal(StatusCode, String);

type Answer = Response<Full<Bytes>>;

/// Serves until `shutdown` fires.
pub async fn serve(listener: TcpListener, codec: Codec, door: Door, shutdown: CancellationToken) {
    let server = Arc::new(Server { codec, door });
    let connections = Arc::new(Semaphore::new(CODEC_CONNECTIONS_MAX));
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &connections) => accepted,
            () = shutdown.cancelled() => break,
        };
        while tasks.try_join_next().is_some() {}
        let (stream, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("a connection could not be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (server, shutdown) = (server.clone(), shutdown.clone());
        tasks.spawn(async move {
            let answer = service_fn(move |request| {
                let server = server.clone();
                async move { Ok::<_, Infallible>(server.answer(request).await) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new())
                .header_read_timeout(READ_TIMEOUT);
            let mut connection =
                std::pin::pin!(http.serve_connection(TokioIo::new(stream), answer));
            // A caller that goes away is no error of ours.
            tokio::select! {
                _ = connection.as_mut() => {}
                () = shutdown.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
            drop(permit);
        });
    }
    let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, async {
        while tasks.join_next().await.is_some() {}
    })
    .await;
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> std::io::Result<(
    tokio::net::TcpStream,
    Option<tokio::sync::OwnedSemaphorePermit>,
)> {
    // It is never closed.
    let permit = connections.clone().acquire_owned().await.ok();
    Ok((listener.accept().await?.0, permit))
}

impl Server {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let origin = self.origin(request.headers());
        let path = request.uri().path().to_owned();
        let mut answer = match self.work(request).await {
            Ok(Some(body)) => {
                let mut answer = Response::new(Full::from(body));
                let json = HeaderValue::from_static("application/json");
                answer.headers_mut().insert(CONTENT_TYPE, json);
                answer
            }
            Ok(None) => {
                let mut answer = Response::new(Full::default());
                *answer.status_mut() = StatusCode::NO_CONTENT;
                answer
            }
            Err(Refusal(status, reason)) => {
                tracing::warn!(%path, status = status.as_u16(), "{reason}");
                let mut answer = Response::new(Full::from(reason));
                *answer.status_mut() = status;
                let text = HeaderValue::from_static("text/plain; charset=utf-8");
                answer.headers_mut().insert(CONTENT_TYPE, text);
                answer
            }
        };
        if let Some(origin) = origin {
            allow(answer.headers_mut(), origin);
        }
        answer
    }

    /// The caller's origin, if pages of that origin may ask.
    fn origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        let known = |known: &String| known.trim_end_matches('/').as_bytes() == origin.as_bytes();
        self.door.origins.iter().any(known).then(|| origin.clone())
    }

    /// The answer's body, or none to a browser that only asks whether it may ask.
    async fn work(&self, request: Request<Incoming>) -> Result<Option<String>, Refusal> {
        let encodes = match request.uri().path() {
            path if path.ends_with("/encode") => true,
            path if path.ends_with("/decode") => false,
            _ => {
                return Err(refusal(
                    StatusCode::NOT_FOUND,
                    "there are /encode and /decode",
                ));
            }
        };
        if request.headers().contains_key(ORIGIN) && self.origin(request.headers()).is_none() {
            let message = "pages of this origin may not ask: --origin names those that may";
            return Err(refusal(StatusCode::FORBIDDEN, message));
        }
        match *request.method() {
            Method::OPTIONS => return Ok(None),
            Method::POST => {}
            _ => {
                return Err(refusal(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "the method is POST",
                ));
            }
        }
        self.admit(request.headers())?;
        let text = body(request).await?;
        let worked = match encodes {
            true => self.codec.encode_json(&text).await,
            false => self.codec.decode_json(&text).await,
        };
        let payloads = worked.map_err(|error| {
            let status = match error {
                CodecError::Server { .. }
                | CodecError::ServerRefused { .. }
                | CodecError::ServerAnswerTooLarge(_) => StatusCode::BAD_GATEWAY,
                _ => StatusCode::BAD_REQUEST,
            };
            refusal(status, error)
        })?;
        Ok(Some(payloads.to_string()))
    }

    fn admit(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if let Some(wanted) = &self.door.authorization {
            let given = headers
                .get(AUTHORIZATION)
                .map_or(&b""[..], HeaderValue::as_bytes);
            if !is_same(given, wanted.as_bytes()) {
                let message = "the header Authorization is not the one that this server asks for";
                return Err(refusal(StatusCode::UNAUTHORIZED, message));
            }
        }
        let namespaces = &self.door.namespaces;
        let given = headers
            .get(NAMESPACE_HEADER)
            .map_or(&b""[..], HeaderValue::as_bytes);
        if !namespaces.is_empty() && !namespaces.iter().any(|n| n.as_bytes() == given) {
            let given = String::from_utf8_lossy(given);
            let message = format!("the namespace {given:?} (X-Namespace) is not served here");
            return Err(refusal(StatusCode::FORBIDDEN, message));
        }
        Ok(())
    }
}

async fn body(request: Request<Incoming>) -> Result<Bytes, Refusal> {
    let read = Limited::new(request.into_body(), CODEC_BODY_SIZE_BYTES_MAX).collect();
    let late = |_| {
        refusal(
            StatusCode::REQUEST_TIMEOUT,
            "the request's body did not come",
        )
    };
    match tokio::time::timeout(READ_TIMEOUT, read)
        .await
        .map_err(late)?
    {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(refusal(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "the request takes more than CODEC_BODY_SIZE_BYTES_MAX ({CODEC_BODY_SIZE_BYTES_MAX} bytes)"
            ),
        )),
        Err(error) => Err(refusal(StatusCode::BAD_REQUEST, error)),
    }
}

fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("POST, OPTIONS"),
    );
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS_ALLOWED);
    // The UI can be told to send the cookies of a proxy's login.
    headers.insert(
        ACCESS_CONTROL_ALLOW_CREDENTIALS,
        HeaderValue::from_static("true"),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
}

/// How long it takes says nothing of where they differ.
fn is_same(given: &[u8], wanted: &[u8]) -> bool {
    let differing = given
        .iter()
        .zip(wanted)
        .fold(0, |sum, (a, b)| sum | (a ^ b));
    given.len() == wanted.len() && differing == 0
}

fn refusal(status: StatusCode, reason: impl ToString) -> Refusal {
    Refusal(status, reason.to_string())
}
