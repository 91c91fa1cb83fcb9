//! What happened outside: every call of an effect is entered here under its key, as it is made and as it takes effect.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use segno::client::{ActivityRef, Client};
use segno::value::{Payload, from_json};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const BODY_SIZE_BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// When attempts began.
    pub attempts: Vec<Instant>,
    /// The first time that it took effect and was answered.
    pub done: Option<Instant>,
    /// The key of the saga that it belongs to.
    pub saga: String,
}

type Entries = Arc<Mutex<BTreeMap<String, Entry>>>;

#[derive(Clone)]
pub struct Ledger {
    pub address: String,
    entries: Entries,
    /// Completes what is handed over.
    client: Arc<OnceLock<Client>>,
}

impl Ledger {
    pub async fn start() -> Ledger {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ledger = Ledger {
            address: listener.local_addr().unwrap().to_string(),
            entries: Entries::default(),
            client: Arc::default(),
        };
        let serving = ledger.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        ledger
    }

    pub fn know(&self, client: Client) {
        let _ = self.client.set(client);
    }

    /// Takes out the entries whose keys begin so, or undo one that does.
    pub fn take(&self, start: &str) -> BTreeMap<String, Entry> {
        let mut entries = self.entries.lock().unwrap();
        let undo = format!("undo:{start}");
        let (taken, left) = std::mem::take(&mut *entries)
            .into_iter()
            .partition(|(key, _)| key.starts_with(start) || key.starts_with(&undo));
        *entries = left;
        taken
    }

    async fn serve(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        while let Some((path, token, body)) = read(&mut stream).await {
            let is_handed_over = path.starts_with("/callback/");
            let (status, answer) = match is_handed_over {
                true => self.hand_over(token, body.clone()),
                false => self.act(&body).await,
            };
            let text = answer.to_string();
            let head = format!(
                "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                text.len()
            );
            let sent = stream.write_all((head + &text).as_bytes()).await;
            if sent.is_err() {
                return;
            }
            if status == 200 {
                self.enter(&body, |entry| {
                    entry.done.get_or_insert_with(Instant::now);
                });
            }
        }
    }

    fn enter<T>(&self, body: &Json, change: impl FnOnce(&mut Entry) -> T) -> T {
        let key = body["key"].as_str().unwrap_or_default().to_owned();
        change(self.entries.lock().unwrap().entry(key).or_default())
    }

    async fn act(&self, body: &Json) -> (u16, Json) {
        let number = |name: &str| body[name].as_u64().unwrap_or_default();
        let attempts = self.enter(body, |entry| {
            entry.attempts.push(Instant::now());
            entry.saga = body["saga"].as_str().unwrap_or_default().to_owned();
            entry.attempts.len() as u64
        });
        if number("hopeless") > 0 {
            return (503, json!({ "key": body["key"] }));
        }
        tokio::time::sleep(Duration::from_millis(number("ms"))).await;
        if attempts <= number("fails") {
            return (503, json!({ "key": body["key"] }));
        }
        (200, answer(body))
    }

    /// It is completed later.
    fn hand_over(&self, token: String, body: Json) -> (u16, Json) {
        self.enter(&body, |entry| entry.attempts.push(Instant::now()));
        let ledger = self.clone();
        tokio::spawn(async move {
            let ms = body["ms"].as_u64().unwrap_or_default();
            tokio::time::sleep(Duration::from_millis(ms)).await;
            let (Some(client), Ok(token)) = (ledger.client.get(), BASE64_STANDARD.decode(token))
            else {
                return;
            };
            let result = Payload::from_value(&from_json(&answer(&body)).unwrap()).unwrap();
            // The attempt may be over by now; another one follows.
            let _ = client
                .complete_activity(&ActivityRef::Token(token), vec![result])
                .await;
        });
        (202, json!({}))
    }
}

fn answer(body: &Json) -> Json {
    let size = body["size"].as_u64().unwrap_or_default();
    json!({ "key": body["key"], "pad": "x".repeat(size as usize) })
}

/// The path, the task token and the body.
async fn read(stream: &mut BufReader<TcpStream>) -> Option<(String, String, Json)> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|n| *n > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let (mut length, mut token) = (0, String::new());
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|n| *n > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "segno-task-token" => token = value.to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    if length > BODY_SIZE_BYTES_MAX {
        return None;
    }
    stream.read_exact(&mut body).await.ok()?;
    Some((path, token, serde_json::from_slice(&body).ok()?))
}
