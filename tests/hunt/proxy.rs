//! Stands between a worker and the server: calls come late, twice and out of order, and some answers never arrive.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt, Either, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::generate::Random;

type Body = Either<Incoming, Empty<Bytes>>;
type Upstream = SendRequest<Full<Bytes>>;

/// gRPC's `UNAVAILABLE`.
const UNAVAILABLE: &str = "14";
/// What the worker says of a task's end; the server takes each once.
const ENDS: [&str; 5] = [
    "/RespondWorkflowTaskCompleted",
    "/RespondActivityTaskCompleted",
    "/RespondActivityTaskFailed",
    "/RespondActivityTaskCanceled",
    "/RecordActivityTaskHeartbeat",
];

pub struct Proxy {
    pub address: String,
    listening: AbortHandle,
}

impl Proxy {
    pub async fn start(upstream: &str, seed: u64) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let random = Arc::new(Mutex::new(Random(seed)));
        let upstream = upstream.to_owned();
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = Connection {
                    upstream: upstream.clone(),
                    random: random.clone(),
                    sender: Arc::default(),
                };
                tokio::spawn(connection.serve(stream));
            }
        });
        Proxy {
            address,
            listening: listening.abort_handle(),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

#[derive(Clone)]
struct Connection {
    upstream: String,
    random: Arc<Mutex<Random>>,
    sender: Arc<tokio::sync::Mutex<Option<Upstream>>>,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        let service = service_fn(move |request| {
            let connection = self.clone();
            async move { Ok::<_, Infallible>(connection.hand_on(request).await) }
        });
        let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = serving
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    fn below(&self, bound: u64) -> u64 {
        self.random.lock().unwrap().below(bound)
    }

    async fn pause(&self, one_in: u64, longest_ms: u64) {
        if self.below(one_in) == 0 {
            let ms = self.below(longest_ms);
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
    }

    /// The connection to the server, a new one where that was restarted.
    async fn sender(&self) -> Option<Upstream> {
        let mut sender = self.sender.lock().await;
        if let Some(open) = sender.as_ref().filter(|sender| !sender.is_closed()) {
            return Some(open.clone());
        }
        let stream = TcpStream::connect(&self.upstream).await.ok()?;
        let shaken =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (open, connection) = shaken.await.ok()?;
        tokio::spawn(connection);
        *sender = Some(open.clone());
        Some(open)
    }

    async fn hand_on(self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await.map(|body| body.to_bytes()) else {
            return unavailable();
        };
        let path = head.uri.path().to_owned();
        let ends = ENDS.iter().any(|end| path.ends_with(end));
        let is_poll = path.contains("/Poll");
        if ends {
            self.pause(4, 500).await;
        }
        let again = Request::from_parts(head.clone(), Full::new(body.clone()));
        let request = Request::from_parts(head, Full::new(body));
        let Some(mut sender) = self.sender().await else {
            return unavailable();
        };
        let answer = sender.send_request(request).await;
        if ends && self.below(6) == 0 {
            let late = Duration::from_millis(self.below(300));
            tokio::spawn(async move {
                tokio::time::sleep(late).await;
                if let Ok(answer) = sender.send_request(again).await {
                    let _ = answer.into_body().collect().await;
                }
            });
        }
        if is_poll {
            self.pause(6, 400).await;
        }
        let is_lost = ends && self.below(12) == 0 || is_poll && self.below(80) == 0;
        match answer {
            Ok(answer) if !is_lost => answer.map(Either::Left),
            _ => unavailable(),
        }
    }
}

fn unavailable() -> Response<Body> {
    Response::builder()
        .header("content-type", "application/grpc")
        .header("grpc-status", UNAVAILABLE)
        .header("grpc-message", "the proxy has lost it")
        .body(Either::Right(Empty::new()))
        .unwrap()
}
