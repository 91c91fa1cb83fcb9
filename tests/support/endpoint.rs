//! An HTTP endpoint of a job that is ready after a few polls, on a real socket.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub struct Endpoint {
    port: u16,
}

/// Polls that find the job still running.
pub const POLLS_PENDING: u32 = 3;

impl Endpoint {
    pub fn start() -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let polls = Arc::new(Mutex::new(BTreeMap::new()));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let polls = polls.clone();
                std::thread::spawn(move || serve(stream, &polls));
            }
        });
        Endpoint { port }
    }

    pub fn url(&self, job: &str) -> String {
        format!("http://127.0.0.1:{}/jobs/{job}", self.port)
    }
}

fn serve(stream: TcpStream, polls: &Mutex<BTreeMap<String, u32>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let job = line.split(' ').nth(1)?.to_owned();
        let mut header = String::new();
        while reader.read_line(&mut header).ok()? > 2 {
            header.clear();
        }
        let poll = {
            let mut polls = polls.lock().unwrap();
            let poll = polls.entry(job).or_insert(0);
            *poll += 1;
            *poll
        };
        let (status, body) = match poll {
            2 => ("503 Service Unavailable", "{}"),
            _ if poll <= POLLS_PENDING => ("200 OK", r#"{"status":"running"}"#),
            _ => ("200 OK", r#"{"status":"ready","result":{"rows":42}}"#),
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body.as_bytes()).ok()?;
    }
}
