//! A collector of OpenTelemetry: takes spans and metrics over HTTP and gRPC, and tells what came.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::TcpListener as StdListener;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};

/// What begins a connection of HTTP/2.
const HTTP2: &[u8] = b"PRI ";

/// The bytes before each message of gRPC: a flag and the length.
const GRPC_PREFIX: usize = 5;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Span {
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub name: String,
    #[serde(default)]
    pub links: Vec<String>,
    #[serde(default)]
    pub error: Option<String>,
    #[serde(default)]
    pub attributes: Vec<(String, String)>,
}

#[derive(Default)]
struct Received {
    spans: Vec<Span>,
    services: BTreeSet<String>,
    metrics: BTreeSet<String>,
}

pub struct Collector {
    pub url: String,
    received: Arc<Mutex<Received>>,
}

impl Collector {
    /// Listens until the test process ends.
    pub fn start() -> Collector {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Received::default()));
        let shared = received.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(listen(listener, shared));
        });
        Collector { url, received }
    }

    pub fn spans(&self) -> Vec<Span> {
        self.received.lock().unwrap().spans.clone()
    }

    /// Who sent spans or metrics, by the name of the service.
    pub fn services(&self) -> BTreeSet<String> {
        self.received.lock().unwrap().services.clone()
    }

    pub fn metrics(&self) -> BTreeSet<String> {
        self.received.lock().unwrap().metrics.clone()
    }

    /// The spans below a span, each in a line, indented below its parent, siblings in alphabetical order.
    pub fn tree(&self, root: &str) -> String {
        draw(&self.spans(), root, "")
    }
}

fn draw(spans: &[Span], parent: &str, indentation: &str) -> String {
    let children = spans.iter().filter(|span| span.parent == parent);
    let mut drawn: Vec<String> = children
        .map(|child| {
            let linked = child.links.iter().filter_map(|link| {
                let link = spans.iter().find(|span| span.id == *link)?;
                Some(format!(" <- {}", link.name))
            });
            let error = child.error.as_ref().map(|error| format!(" ({error})"));
            let rest: String = linked.chain(error).collect();
            let below = draw(spans, &child.id, &format!("{indentation}  "));
            format!("{indentation}{}{rest}\n{below}", child.name)
        })
        .collect();
    drawn.sort();
    drawn.concat()
}

async fn listen(listener: StdListener, received: Arc<Mutex<Received>>) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, received.clone()));
    }
}

async fn serve(stream: TcpStream, received: Arc<Mutex<Received>>) {
    let mut first = [0; HTTP2.len()];
    let Ok(_) = stream.peek(&mut first).await else {
        return;
    };
    let service = service_fn(move |request| take(request, received.clone()));
    let io = TokioIo::new(stream);
    // Who goes away in the midst is the exporter's to report.
    if first == HTTP2 {
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = server.serve_connection(io, service).await;
    } else {
        let server = hyper::server::conn::http1::Builder::new();
        let _ = server.serve_connection(io, service).await;
    }
}

type Body =
    StreamBody<futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

async fn take(
    request: Request<Incoming>,
    received: Arc<Mutex<Received>>,
) -> Result<Response<Body>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await?.to_bytes();
    let is_grpc = path.starts_with("/opentelemetry.proto");
    let message = if is_grpc {
        &body[GRPC_PREFIX..]
    } else {
        &body[..]
    };
    let mut received = received.lock().unwrap();
    if path == "/spans" {
        let spans: Vec<Span> = serde_json::from_slice(message).unwrap();
        received.spans.extend(spans);
    } else if path.contains("metrics") {
        received.take_metrics(ExportMetricsServiceRequest::decode(message).unwrap());
    } else {
        received.take_spans(ExportTraceServiceRequest::decode(message).unwrap());
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let (kind, frames) = match is_grpc {
        true => (
            "application/grpc",
            vec![
                Ok(Frame::data(Bytes::from_static(&[0; GRPC_PREFIX]))),
                Ok(Frame::trailers(trailers)),
            ],
        ),
        false => ("application/x-protobuf", Vec::new()),
    };
    let body = StreamBody::new(futures_util::stream::iter(frames));
    let response = Response::builder().header("content-type", kind);
    Ok(response.body(body).unwrap())
}

impl Received {
    fn take_spans(&mut self, request: ExportTraceServiceRequest) {
        for resource in request.resource_spans {
            self.take_service(resource.resource);
            let spans = resource.scope_spans.into_iter().flat_map(|s| s.spans);
            self.spans.extend(spans.map(|span| {
                Span {
                    trace: hex(&span.trace_id),
                    id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    name: span.name,
                    links: span.links.iter().map(|link| hex(&link.span_id)).collect(),
                    error: span.status.filter(|s| s.code == 2).map(|s| s.message),
                    attributes: span
                        .attributes
                        .into_iter()
                        .map(|pair| (pair.key, text(pair.value)))
                        .collect(),
                }
            }));
        }
    }

    fn take_metrics(&mut self, request: ExportMetricsServiceRequest) {
        for resource in request.resource_metrics {
            self.take_service(resource.resource);
            let metrics = resource.scope_metrics.into_iter().flat_map(|s| s.metrics);
            self.metrics.extend(metrics.map(|metric| metric.name));
        }
    }

    fn take_service(
        &mut self,
        resource: Option<opentelemetry_proto::tonic::resource::v1::Resource>,
    ) {
        let attributes = resource.map(|r| r.attributes).unwrap_or_default();
        let service = attributes.into_iter().find(|a| a.key == "service.name");
        self.services.extend(service.map(|a| text(a.value)));
    }
}

fn text(value: Option<opentelemetry_proto::tonic::common::v1::AnyValue>) -> String {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
