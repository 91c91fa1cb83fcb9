//! The codec server: Temporal's protocol over HTTP, with the headers that browsers require.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, AUTHORIZATION, CONNECTION, CONTENT_TYPE,
    HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::callers::{Caller, Callers};
use crate::limits::{
    CODEC_LARGE_REQUESTS_MAX, CODEC_REQUEST_DECOMPRESSED_SIZE_BYTES_MAX,
    CODEC_REQUEST_SIZE_BYTES_MAX, CODEC_REQUESTS_AT_WORK_MAX, CODEC_SMALL_SIZE_BYTES_MAX,
};
use crate::payload::{Codec, CodecError, Inflation};

const NAMESPACE_HEADER: HeaderName = HeaderName::from_static("x-namespace");
/// The UI sends these two besides the content type.
const HEADERS_ALLOWED: HeaderValue =
    HeaderValue::from_static("content-type, x-namespace, authorization");
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// There is room for few large requests.
const LARGE_READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests may continue after the server was asked to stop.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// The access rules.
pub(crate) struct Door {
    pub(crate) origins: Vec<String>,
    /// Empty: all.
    pub(crate) namespaces: Vec<String>,
    /// The required header `Authorization`.
    pub(crate) authorization: Option<String>,
}

struct Server {
    codec: Codec,
    door: Door,
    at_work: Semaphore,
    /// For requests that are large, or become so: acquired before their body is read, until their answer is read.
    large: Arc<Semaphore>,
}

#[derive(Clone, Copy)]
enum Work {
    Encode,
    /// Unless it inflates to more than many requests may at a time.
    DecodeSmall,
    Decode,
}

/// The response to a refused request.
struct Refusal(StatusCode, String);

type Answer = Response<Full<Bytes>>;

/// Serves until `shutdown` fires.
pub(crate) async fn serve(
    listener: TcpListener,
    codec: Codec,
    door: Door,
    shutdown: CancellationToken,
) {
    let server = Arc::new(Server {
        codec,
        door,
        at_work: Semaphore::new(CODEC_REQUESTS_AT_WORK_MAX),
        large: Arc::new(Semaphore::new(CODEC_LARGE_REQUESTS_MAX)),
    });
    let mut callers = Callers::default();
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        while tasks.try_join_next().is_some() {}
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("a connection could not be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let caller = callers.add();
        tasks.spawn(converse(stream, server.clone(), caller, shutdown.clone()));
    }
    let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, async {
        while tasks.join_next().await.is_some() {}
    })
    .await;
}

/// Answers the requests of a connection.
async fn converse(
    stream: TcpStream,
    server: Arc<Server>,
    caller: Arc<Caller>,
    shutdown: CancellationToken,
) {
    let (answering, sent) = (caller.clone(), caller.clone());
    let answer = service_fn(move |request| {
        let (server, caller) = (server.clone(), answering.clone());
        async move { Ok::<_, Infallible>(server.answer(request, &caller).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(READ_TIMEOUT);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), answer));
    // A client that disconnects is not an error.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = caller.gone.cancelled() => {}
        () = sent.has_not_read() => {}
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

impl Server {
    async fn answer(&self, request: Request<Incoming>, caller: &Arc<Caller>) -> Answer {
        let origin = self.origin(request.headers());
        let path = request.uri().path().to_owned();
        let mut answer = match self.work(request, caller).await {
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
        if caller.has_room() {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(CONNECTION, close);
            caller.is_answered();
        }
        answer
    }

    /// The client's origin, if pages of that origin are allowed.
    fn origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        let known = |known: &String| known.trim_end_matches('/').as_bytes() == origin.as_bytes();
        self.door.origins.iter().any(known).then(|| origin.clone())
    }

    /// The answer's body, or `None` for a browser's preflight request.
    async fn work(
        &self,
        request: Request<Incoming>,
        caller: &Arc<Caller>,
    ) -> Result<Option<String>, Refusal> {
        let encodes = match request.uri().path() {
            path if path.ends_with("/encode") => true,
            path if path.ends_with("/decode") => false,
            _ => {
                return Err(refusal(
                    StatusCode::NOT_FOUND,
                    "not found; expected /encode or /decode",
                ));
            }
        };
        if request.headers().contains_key(ORIGIN) && self.origin(request.headers()).is_none() {
            let message = "this origin is not allowed; allow it with --origin";
            return Err(refusal(StatusCode::FORBIDDEN, message));
        }
        match *request.method() {
            Method::OPTIONS => return Ok(None),
            Method::POST => {}
            _ => {
                return Err(refusal(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "expected the method POST",
                ));
            }
        }
        self.admit(request.headers())?;
        let is_small = request.body().size_hint().upper();
        let is_small = is_small.is_some_and(|size| size <= CODEC_SMALL_SIZE_BYTES_MAX as u64);
        if !is_small {
            self.make_room(caller).await;
        }
        let timeout = if is_small {
            READ_TIMEOUT
        } else {
            LARGE_READ_TIMEOUT
        };
        let text = body(request, timeout).await?;
        let _served = caller.served();
        let worked = match (encodes, is_small) {
            (true, _) => self.worked_on(Work::Encode, text).await,
            (false, true) => match self.worked_on(Work::DecodeSmall, text.clone()).await {
                // It inflates to more than every request may have in memory.
                Err(CodecError::MessageTooLarge(..)) => {
                    self.make_room(caller).await;
                    self.worked_on(Work::Decode, text).await
                }
                worked => worked,
            },
            (false, false) => self.worked_on(Work::Decode, text).await,
        };
        let body = worked.map_err(|error| {
            let status = match error {
                CodecError::Server { .. }
                | CodecError::ServerRefused { .. }
                | CodecError::ServerAnswerTooLarge(_) => StatusCode::BAD_GATEWAY,
                _ => StatusCode::BAD_REQUEST,
            };
            refusal(status, error)
        })?;
        Ok(Some(body))
    }

    async fn make_room(&self, caller: &Caller) {
        // It is never closed.
        if let Ok(room) = self.large.clone().acquire_owned().await {
            caller.has(room);
        }
    }

    /// The answer's text. It is computed outside the runtime's own threads, which serve connections.
    async fn worked_on(&self, work: Work, text: Bytes) -> Result<String, CodecError> {
        let _at_work = self.at_work.acquire().await;
        let (codec, runtime) = (self.codec.clone(), tokio::runtime::Handle::current());
        let limits = match work {
            Work::DecodeSmall => ("CODEC_SMALL_SIZE_BYTES_MAX", CODEC_SMALL_SIZE_BYTES_MAX),
            Work::Encode | Work::Decode => (
                "CODEC_REQUEST_DECOMPRESSED_SIZE_BYTES_MAX",
                CODEC_REQUEST_DECOMPRESSED_SIZE_BYTES_MAX,
            ),
        };
        let computed = tokio::task::spawn_blocking(move || {
            let payloads = runtime.block_on(async {
                match work {
                    Work::Encode => codec.encode_json(&text).await,
                    Work::DecodeSmall | Work::Decode => {
                        let inflation = Inflation::new(limits.0, limits.1);
                        codec.decode_json_within(&text, inflation).await
                    }
                }
            });
            Ok(payloads?.to_string())
        });
        let failed = |error: tokio::task::JoinError| CodecError::Failed(error.to_string());
        computed.await.map_err(failed)?
    }

    fn admit(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if let Some(wanted) = &self.door.authorization {
            let given = headers
                .get(AUTHORIZATION)
                .map_or(&b""[..], HeaderValue::as_bytes);
            if !is_same(given, wanted.as_bytes()) {
                let message = "the header Authorization is missing or wrong";
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

async fn body(request: Request<Incoming>, timeout: Duration) -> Result<Bytes, Refusal> {
    let read = Limited::new(request.into_body(), CODEC_REQUEST_SIZE_BYTES_MAX).collect();
    let late = |_| {
        refusal(
            StatusCode::REQUEST_TIMEOUT,
            "the request's body was not received",
        )
    };
    match tokio::time::timeout(timeout, read).await.map_err(late)? {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(refusal(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "the request takes more than CODEC_REQUEST_SIZE_BYTES_MAX ({CODEC_REQUEST_SIZE_BYTES_MAX} bytes)"
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
    // The UI can be configured to send the cookies of a proxy's login.
    headers.insert(
        ACCESS_CONTROL_ALLOW_CREDENTIALS,
        HeaderValue::from_static("true"),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
}

/// Takes equally long wherever they differ.
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
