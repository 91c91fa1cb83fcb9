//! A small HTTP server on a real socket, whose paths say what it answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

pub struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
}

#[derive(Default, Clone)]
pub struct Request {
    pub line: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Server {
    pub async fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let server = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, server.clone()));
            }
        });
        Server { port, seen }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn last(&self) -> Request {
        self.seen
            .lock()
            .unwrap()
            .last()
            .cloned()
            .unwrap_or_default()
    }

    /// The first lines of all requests.
    pub fn lines(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|request| request.line.clone()).collect()
    }
}

async fn serve(stream: TcpStream, seen: Arc<Mutex<Vec<Request>>>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await {
        let times = {
            let mut seen = seen.lock().unwrap();
            seen.push(request.clone());
            seen.iter().filter(|r| r.line == request.line).count()
        };
        let path = request.line.split(' ').nth(1).unwrap_or("/").to_owned();
        if path.starts_with("/never") {
            std::future::pending::<()>().await;
        }
        if stream
            .write_all(&answer(&path, &request, times))
            .await
            .is_err()
        {
            return;
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut request = Request::default();
    stream
        .read_line(&mut request.line)
        .await
        .ok()
        .filter(|n| *n > 0)?;
    request.line = request.line.trim_end().to_owned();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        request
            .headers
            .insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = request
        .headers
        .get("content-length")
        .and_then(|l| l.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    request.body = String::from_utf8_lossy(&body).into_owned();
    Some(request)
}

/// `times`: how often this was asked, this time included.
fn answer(path: &str, request: &Request, times: usize) -> Vec<u8> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let query: BTreeMap<String, String> = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        ["status", status] => {
            let retry = query
                .get("retry-after")
                .map(|r| format!("retry-after: {r}\r\n"));
            let headers = format!(
                "content-type: application/json\r\n{}",
                retry.unwrap_or_default()
            );
            response(status, &headers, br#"{"why":"asked"}"#)
        }
        ["redirect", status] => response(status, &format!("location: {}\r\n", query["to"]), b""),
        ["loop"] => response("302", "location: /loop\r\n", b""),
        ["big", size] => response("200", "", &vec![b'x'; size.parse().unwrap()]),
        ["body", kind, body] => {
            let kind = String::from_utf8(percent(kind)).unwrap();
            response("200", &format!("content-type: {kind}\r\n"), &percent(body))
        }
        // A job that is begun once and is done when it was asked for so often.
        ["job", asks] => response(
            "202",
            &format!("location: /state/{asks}?{}\r\n", "key=t0k3n-value"),
            b"",
        ),
        ["begin", asks] => response("202", &format!("location: ../state/{asks}\r\n"), b""),
        ["state", asks] if times < asks.parse().unwrap() => response("202", "", b""),
        // The states one after the other; what is no word is a status.
        ["states", states] => {
            let state = states.split(',').nth(times - 1).unwrap();
            let status = if state.parse::<u16>().is_ok() {
                state
            } else {
                "200"
            };
            let body = json!({ "job": { "state": state } }).to_string();
            response(
                status,
                "content-type: application/json\r\n",
                body.as_bytes(),
            )
        }
        ["repeat", status] => {
            let body = request.headers.get("segno-task-token").cloned();
            response(status, "", body.unwrap_or_default().as_bytes())
        }
        ["reflect"] => {
            let authorization = request
                .headers
                .get("authorization")
                .cloned()
                .unwrap_or_default();
            let headers = format!("content-type: text/plain\r\nx-seen: {authorization}\r\n");
            response(
                "500",
                &headers,
                format!("{} {authorization}", request.line).as_bytes(),
            )
        }
        _ => {
            let echo =
                json!({ "line": request.line, "headers": request.headers, "body": request.body });
            response(
                "200",
                "content-type: application/json\r\n",
                echo.to_string().as_bytes(),
            )
        }
    }
}

fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} Said\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn percent(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(&others[..2]).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
            rest = &others[2..];
        } else {
            bytes.push(*first);
            rest = others;
        }
    }
    bytes
}
