//! A TLS gateway before the development server, which has no TLS of its own: it terminates TLS, asks for a client
//! certificate or an API key, and hands each call on to the real server.

use std::net::TcpListener as StdListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt, Either, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use rcgen::{CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use tempfile::TempDir;
use temporalio_protos::temporal::api::workflowservice::v1::RespondWorkflowTaskCompletedRequest;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

type Body = Either<Incoming, Empty<Bytes>>;
/// What is handed on: as it comes in, or after it was read.
type Sent = Either<Incoming, Full<Bytes>>;
type Authority = CertifiedIssuer<'static, KeyPair>;

/// The name in the gateway's certificate, which is not the address that it listens at.
pub const SERVER_NAME: &str = "temporal.test";

/// What a caller must have.
#[derive(Clone)]
pub enum Door {
    ClientCertificate,
    ApiKey(&'static str),
    /// Anybody may come in, but this call of Temporal's API is never answered.
    Unanswered(&'static str),
    /// Anybody may come in, but one call of Temporal's API is held up.
    Held(Arc<Hold>),
    /// Anybody may come in, and completed workflow tasks are measured.
    Measures(Measured),
}

/// Holds up the call that comes after `passes` others of the same name, until the test lets it go.
pub struct Hold {
    call: &'static str,
    passes: AtomicUsize,
    held: AtomicBool,
    released: AtomicBool,
}

impl Hold {
    pub fn new(call: &'static str, passes: usize) -> Arc<Hold> {
        Arc::new(Hold {
            call,
            passes: AtomicUsize::new(passes),
            held: AtomicBool::new(false),
            released: AtomicBool::new(false),
        })
    }

    pub fn is_held(&self) -> bool {
        self.held.load(Ordering::SeqCst)
    }

    pub fn release(&self) {
        self.released.store(true, Ordering::SeqCst);
    }

    async fn pass(&self, path: &str) {
        if !path.ends_with(self.call) {
            return;
        }
        let one_less = |left: usize| left.checked_sub(1);
        let passed = self
            .passes
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
        if passed.is_ok() || self.held.swap(true, Ordering::SeqCst) {
            return;
        }
        while !self.released.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The workflow tasks that workers completed, as they were sent.
pub type Measured = Arc<Mutex<Vec<SentTask>>>;

#[derive(Debug, Clone, Copy)]
pub struct SentTask {
    /// Size of the whole message.
    pub size_bytes: usize,
    pub commands: usize,
}

impl SentTask {
    /// Reads the body of a call: a byte that says whether it is compressed, the length in four, and the message.
    fn of(body: &Bytes) -> SentTask {
        assert_eq!(body[0], 0, "the message is compressed");
        let message = &body[5..];
        let task = RespondWorkflowTaskCompletedRequest::decode(message).unwrap();
        SentTask {
            size_bytes: message.len(),
            commands: task.commands.len(),
        }
    }
}

pub struct Gateway {
    pub address: String,
    folder: TempDir,
}

impl Gateway {
    /// Begins to listen before the server at `upstream`, until the test process ends.
    pub fn start(upstream: &str, door: Door) -> Gateway {
        let folder = tempfile::tempdir().unwrap();
        let authority = authority();
        let write =
            |name: &str, pem: String| std::fs::write(folder.path().join(name), pem).unwrap();
        write("ca.pem", authority.pem());
        write("other-ca.pem", self::authority().pem());
        let client = leaf(&authority, ExtendedKeyUsagePurpose::ClientAuth);
        write("client.pem", client.0);
        write("client.key", client.1.serialize_pem());

        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (config, upstream) = (Arc::new(config(&authority, &door)), upstream.to_owned());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime
                .unwrap()
                .block_on(listen(listener, config, upstream, door));
        });
        Gateway { address, folder }
    }

    /// One of `ca.pem`, `other-ca.pem`, `client.pem` and `client.key`.
    pub fn file(&self, name: &str) -> String {
        let path: PathBuf = self.folder.path().join(name);
        path.to_str().unwrap().to_owned()
    }
}

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn leaf(
    authority: &Authority,
    purpose: ExtendedKeyUsagePurpose,
) -> (String, KeyPair, CertificateDer<'static>) {
    let mut params = CertificateParams::new(vec![SERVER_NAME.to_owned()]).unwrap();
    params.extended_key_usages = vec![purpose];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    (certificate.pem(), key, certificate.der().clone())
}

fn config(authority: &Authority, door: &Door) -> ServerConfig {
    let (_, key, certificate) = leaf(authority, ExtendedKeyUsagePurpose::ServerAuth);
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match door {
        Door::ClientCertificate => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
        Door::ApiKey(_) | Door::Unanswered(_) | Door::Held(_) | Door::Measures(_) => {
            builder.with_no_client_auth()
        }
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

async fn listen(listener: StdListener, config: Arc<ServerConfig>, upstream: String, door: Door) {
    let listener = TcpListener::from_std(listener).unwrap();
    let acceptor = TlsAcceptor::from(config);
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, upstream, door) = (acceptor.clone(), upstream.clone(), door.clone());
        tokio::spawn(async move {
            // A refused handshake is the caller's to report.
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let server = TokioIo::new(TcpStream::connect(upstream).await.unwrap());
            let (sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), server)
                    .await
                    .unwrap();
            tokio::spawn(connection);
            let service = service_fn(move |request| hand_on(request, sender.clone(), door.clone()));
            let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = serving
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn hand_on(
    request: Request<Incoming>,
    mut sender: SendRequest<Sent>,
    door: Door,
) -> hyper::Result<Response<Body>> {
    if let Door::Held(hold) = &door {
        hold.pass(request.uri().path()).await;
    }
    if let Door::Measures(measured) = &door
        && request
            .uri()
            .path()
            .ends_with("/RespondWorkflowTaskCompleted")
    {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        measured.lock().unwrap().push(SentTask::of(&body));
        let request = Request::from_parts(head, Either::Right(Full::new(body)));
        return Ok(sender.send_request(request).await?.map(Either::Left));
    }
    if let Door::Unanswered(call) = door
        && request.uri().path().ends_with(call)
    {
        return std::future::pending().await;
    }
    if let Door::ApiKey(key) = door {
        let given = request.headers().get("authorization");
        if given.is_none_or(|given| given.as_bytes() != format!("Bearer {key}").as_bytes()) {
            let refusal = Response::builder()
                .header("content-type", "application/grpc")
                .header("grpc-status", "16")
                .header("grpc-message", "this API key is not known");
            return Ok(refusal.body(Either::Right(Empty::new())).unwrap());
        }
    }
    let request = request.map(Either::Left);
    Ok(sender.send_request(request).await?.map(Either::Left))
}
