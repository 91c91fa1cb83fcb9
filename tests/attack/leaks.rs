//! A server that returns what it is sent, in every usual encoding and at every place of an answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

/// How the server may write what it returns.
pub const ENCODINGS: usize = 13;

pub struct Leaky {
    pub url: String,
    /// The task tokens that it was handed.
    pub tokens: Arc<Mutex<Vec<String>>>,
}

impl Leaky {
    pub fn start() -> Leaky {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let tokens = Arc::new(Mutex::new(Vec::new()));
        let (seen, port) = (tokens.clone(), listener.local_addr().unwrap().port());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = seen.clone();
                std::thread::spawn(move || serve(stream, port, &seen));
            }
        });
        Leaky { url, tokens }
    }
}

/// One request a connection: its path is `/MODE/ENCODING/…`.
fn serve(stream: TcpStream, port: u16, tokens: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let target = line.split(' ').nth(1)?.to_owned();
    let (mut heard, mut length) = (vec![target.clone()], 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name {
            "content-length" => length = value.parse().ok()?,
            "segno-task-token" => tokens.lock().unwrap().push(value.to_owned()),
            _ => {}
        }
        heard.push(value.to_owned());
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    heard.push(String::from_utf8(body).ok()?);
    let mut parts = target.trim_start_matches('/').split('/');
    let (mode, encoding) = (
        parts.next()?,
        parts.next()?.split('?').next()?.parse().ok()?,
    );
    let raw = heard.join(" | ");
    // What was sent percent-encoded is returned as what it was, too.
    let leak = encode(&format!("{raw} | {}", percent_decoded(&raw)), encoding);
    let line: String = leak.chars().filter(|c| !c.is_control()).collect();
    let header = encode(&line, 1);
    let (status, location) = match mode {
        "away" => (
            "307",
            format!(
                "location: http://127.0.0.2:{port}/{}?{header}\r\n",
                encode(&line, 2)
            ),
        ),
        "fail" => ("500", String::new()),
        _ => ("200", String::new()),
    };
    let (kind, body) = match mode {
        "json" => (
            "application/json",
            format!("{{\"leak\": {0}, {0}: [1]}}", encode(&leak, 5)),
        ),
        _ => ("text/plain", leak),
    };
    let head = format!(
        "HTTP/1.1 {status} Said\r\ncontent-type: {kind}\r\nx-leak: {header}\r\n{location}connection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = reader.into_inner();
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()
}

fn encode(text: &str, encoding: usize) -> String {
    let each = |form: &dyn Fn(u8) -> String| text.bytes().map(form).collect::<String>();
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._ |".contains(&b);
    match encoding {
        0 => text.to_owned(),
        1 => each(&|b| match is_plain(b) || b == b'~' {
            true => char::from(b).into(),
            false => format!("%{b:02X}"),
        }),
        2 => each(&|b| match b.is_ascii_alphanumeric() {
            true => char::from(b).into(),
            false => format!("%{b:02x}"),
        }),
        3 => url::form_urlencoded::byte_serialize(text.as_bytes()).collect(),
        4 => serde_json::Value::from(text).to_string(),
        5 => serde_json::Value::from(text)
            .to_string()
            .replace('/', "\\/"),
        6 => text
            .encode_utf16()
            .map(|unit| format!("\\u{unit:04x}"))
            .collect(),
        7 => STANDARD.encode(text),
        8 => URL_SAFE_NO_PAD.encode(format!("x{text}")),
        9 => STANDARD_NO_PAD.encode(format!("xx{text}")),
        10 => {
            let encoded = URL_SAFE.encode(text);
            let lines = encoded.as_bytes().chunks(76);
            lines
                .map(|line| format!("{}\n", String::from_utf8_lossy(line)))
                .collect()
        }
        11 => each(&|b| format!("{b:02x}")),
        _ => each(&|b| format!("{b:02X} ")),
    }
}

fn percent_decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, others)) = rest.split_first() {
        let digits = others.get(..2).and_then(|d| std::str::from_utf8(d).ok());
        match digits.and_then(|d| u8::from_str_radix(d, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &others[2..];
            }
            _ => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether a text shows a secret to whoever looks for it, by code that the worker does not have.
pub fn shows(text: &str, secret: &str) -> bool {
    let mut readings = vec![text.to_owned()];
    for _ in 0..2 {
        for text in readings.clone() {
            if text.contains('%') {
                let plain = percent_decoded(&text);
                readings.push(plain.replace('+', " "));
                readings.push(plain);
            }
            if text.contains('\\') {
                let json = format!("\"{}\"", text.replace("\\\"", "\\u0022").replace('"', ""));
                readings.extend(serde_json::from_str::<String>(&json).ok());
            }
        }
        readings.sort();
        readings.dedup();
    }
    let hex: String = secret.bytes().map(|b| format!("{b:02x}")).collect();
    let base64 = (0..3).flat_map(|before| {
        let padded = [&vec![0; before][..], secret.as_bytes()].concat();
        let range = (before * 8_usize).div_ceil(6)..padded.len() * 8 / 6;
        [&STANDARD, &URL_SAFE].map(|engine| engine.encode(&padded)[range.clone()].to_owned())
    });
    let base64: Vec<String> = base64.collect();
    readings.iter().any(|reading| {
        let packed: String = reading.split_whitespace().collect();
        reading.contains(secret)
            || packed.to_ascii_lowercase().contains(&hex)
            || base64.iter().any(|form| packed.contains(form))
    })
}

/// All texts of a history, payloads among them.
pub fn texts(json: &serde_json::Value, found: &mut Vec<String>) {
    match json {
        serde_json::Value::String(text) => {
            if let Ok(data) = STANDARD.decode(text) {
                found.push(String::from_utf8_lossy(&data).into_owned());
            }
            found.push(text.clone());
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        serde_json::Value::Object(map) => map.iter().for_each(|(key, value)| {
            found.push(key.clone());
            texts(value, found);
        }),
        _ => {}
    }
}
