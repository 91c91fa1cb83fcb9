//! The strict policy against real hosts that speak TLS: what it lets through, and redirects that it does not follow.

use std::sync::{Arc, Mutex};

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::support::worker::Worker;
use super::victim::wait;

const DEFINITION: &str = "\
segno: 1
workflow: asks
input: true
defaults: { activity: { start_to_close_timeout: 30s, retry_policy: { maximum_attempts: 1 } } }
steps:
  - try:
      - id: got
        http: { url: \"${ input }\" }
      - return: ${ got.body }
    catch:
      - error: activity
        do: [{ return: \"${ error.cause.type + ': ' + error.cause.message }\" }]
";

type Seen = Arc<Mutex<Vec<String>>>;

/// Answers `/to/URL` with a redirect there, and all else with `here`.
async fn host(acceptor: Option<TlsAcceptor>, seen: Seen) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, seen) = (acceptor.clone(), seen.clone());
            tokio::spawn(async move {
                match acceptor {
                    None => answer(stream, port, &seen).await,
                    Some(acceptor) => {
                        answer(acceptor.accept(stream).await.ok()?, port, &seen).await
                    }
                }
            });
        }
    });
    port
}

async fn answer(
    mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin,
    port: u16,
    seen: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let path = head.split(' ').nth(1)?.to_owned();
    seen.lock().unwrap().push(format!("{port}{path}"));
    let answer = match path.strip_prefix("/to/") {
        Some(url) => format!("307 Away\r\nlocation: {url}\r\ncontent-length: 0"),
        None => "200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4".to_owned(),
    };
    let body = if path.starts_with("/to/") { "" } else { "here" };
    let answer = format!("HTTP/1.1 {answer}\r\nconnection: close\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}

#[test]
fn the_strict_policy_follows_no_redirect_to_another_origin() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("asks.yaml"), DEFINITION).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let trusted = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(trusted.path(), certificate.pem()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(certificate.der().to_vec())],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let seen = Seen::default();
    let (own, other, plain) = wait(async {
        let own = host(Some(acceptor.clone()), seen.clone()).await;
        let other = host(Some(acceptor), seen.clone()).await;
        (own, other, host(None, seen.clone()).await)
    });

    let trusted = trusted.path().display().to_string();
    let arguments = [
        "--http-policy",
        "strict",
        "--http-allow",
        "localhost",
        "--http-allow",
        "127.0.0.1",
    ];
    let worker = Worker::with(folder.path(), &arguments, &[("SSL_CERT_FILE", &trusted)]);
    let ask = |url: String| match worker.launch("asks", &json!(url)).result() {
        Value::String(text) => text,
        other => panic!("{other}"),
    };
    let own = format!("https://localhost:{own}");
    assert_eq!(ask(format!("{own}/")), "here");
    assert_eq!(ask(format!("{own}/to//again")), "here");
    let before = seen.lock().unwrap().len();
    for (to, why) in [
        (
            format!("https://localhost:{other}/secret"),
            "does not go to another origin",
        ),
        (
            format!("http://localhost:{plain}/secret"),
            "does not go to another origin",
        ),
        (
            "https://example.com/secret".to_owned(),
            "does not go to another origin",
        ),
    ] {
        let refused = ask(format!("{own}/to/{to}"));
        assert!(
            refused.starts_with("HttpPolicy: ") && refused.contains(why),
            "{refused}"
        );
    }
    let refused = ask(format!("http://localhost:{plain}/secret"));
    assert!(refused.contains("by https alone"), "{refused}");
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), before + 3, "{seen:?}");
    assert!(
        !seen
            .iter()
            .any(|line| line.ends_with("/secret") && !line.contains("/to/")),
        "{seen:?}"
    );
}
