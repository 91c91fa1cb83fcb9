//! Payloads that inflate: to workers with codecs, and to the codec server; and callers that hold it up.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use segno::client::{StartOptions, WorkflowRef};
use segno::limits::CODEC_CONNECTIONS_MAX;
use segno::payload::{Codec, Key, Keyring, Stage, payload_from_proto, payload_to_proto};
use segno::value::{Payload, Value};
use segno::words::RetryPolicy;
use serde_json::json;

use super::support::cluster::Cluster;
use super::support::worker::peak_memory_kib;
use super::support::{segno, until};
use super::victim::{Victim, json_payload, payload};

const KEEPS: &str = "\
segno: 1
workflow: keeps
state: { n: 0 }
signals:
  map: { do: [{ set: { n: \"${ state.n + args.size() }\" } }] }
updates:
  put: { do: [{ set: { n: \"${ state.n + 1000 }\" } }] }
queries: { n: \"${ state.n }\" }
steps:
  - wait: { signal: end }
  - return: ${ state.n }
";

/// Waits for somebody outside, and undoes what that did.
const ASKS: &str = "\
segno: 1
workflow: asks
state: { undone: false }
steps:
  - try:
      - saga:
          - activity: outside
            activity_id: outside
            task_queue: nobody
            start_to_close_timeout: 1h
            retry_policy: { maximum_attempts: 1 }
            compensate: [{ set: { undone: true } }]
    catch:
      - error: PayloadNotDecoded
        do: [{ return: \"not decoded, undone: ${ state.undone }\" }]
";

/// A payload that inflates to this many bytes of zeros.
fn bomb(size: usize) -> Payload {
    let plain = payload_to_proto(payload("binary/plain", &vec![0; size]));
    let codec = Codec::new(vec![Stage::Compression]);
    let encoded = super::victim::wait(codec.encode_payloads(vec![plain])).unwrap();
    payload("binary/zlib", &encoded[0].data)
}

/// What no worker can ever decode: it inflates to too much, by itself or with its neighbours, or is broken.
fn undecodable() -> [(&'static str, Vec<Payload>); 3] {
    let broken = payload("binary/zlib", b"nothing of the kind");
    [
        (
            "CODEC_DECOMPRESSED_SIZE_BYTES_MAX",
            vec![bomb((16 << 20) + 1)],
        ),
        // 1.4 MB.
        (
            "CODEC_MESSAGE_DECOMPRESSED_SIZE_BYTES_MAX",
            vec![bomb(15 << 20); 90],
        ),
        ("a compressed payload is broken", vec![broken]),
    ]
}

#[test]
fn messages_that_cannot_be_decoded_stop_no_run() {
    let victim = Victim::with(&[("keeps", KEEPS)], &["--codec", "compression"]);
    let beside = victim.beside();
    for (why, payloads) in undecodable() {
        let attacked = victim.attacked("keeps");
        victim.signal(&attacked, "map", vec![bomb(1 << 20)]);
        victim.signal(&attacked, "map", payloads.clone());
        let refused = victim.refused_update_of(&attacked, "put", payloads.clone());
        assert!(
            refused.contains("the update `put`") && refused.contains(why),
            "{refused}"
        );
        let refused = victim.query_of(&attacked, "n", payloads).unwrap_err();
        assert!(
            refused.contains("the query `n`") && refused.contains(why),
            "{refused}"
        );
        victim.signal(&attacked, "map", vec![json_payload("[1, 2]")]);
        victim.signal(&attacked, "end", vec![]);
        beside.signal("add", &json!(null));
        let end = victim.result(&attacked);
        assert_eq!(end["result"], json!((1 << 20) + 2), "{end:#}");
        // The worker has let go of the run: this is a replay.
        let n = victim.query(&attacked, "n", json_payload("null"));
        assert_eq!(n.unwrap(), Value::Int((1 << 20) + 2));
        victim.assert_no_task_failed(&attacked);
        let replay = ["replay", &attacked.workflow_id, "--codec", "compression"];
        Cluster::get().segno(&replay).ok();
        let log = victim.worker.logs();
        assert!(
            log.contains("the signal `map` is dropped") && log.contains(why),
            "{log}"
        );
    }
    beside.signal("end", &json!(null));
    assert_eq!(beside.result(), json!(3));
    beside.assert_no_task_failed();
    victim.assert_unharmed();
}

/// Encrypted with a key named `k`, whose bytes are all this one.
fn sealed(key: u8, json: &str) -> Payload {
    let key = Key::read("k", &[key; 32]).unwrap();
    let codec = Codec::new(vec![Stage::Encryption(Keyring::new(vec![key]).unwrap())]);
    let plain = payload_to_proto(json_payload(json));
    let sealed = super::victim::wait(codec.encode_payloads(vec![plain])).unwrap();
    payload_from_proto(sealed[0].clone())
}

/// What the worker's key has encrypted and does not decrypt is damaged or forged.
#[test]
fn a_damaged_encrypted_payload_stops_no_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, [7; 32]).unwrap();
    let flag = format!("--codec-key=k={}", file.display());
    let victim = Victim::with(&[("keeps", KEEPS)], &[&flag]);
    let sealed = sealed(7, "[1, 2]");
    let mut damaged = sealed.clone();
    *damaged.data.last_mut().unwrap() ^= 1;
    let attacked = victim.attacked("keeps");
    victim.signal(&attacked, "map", vec![damaged.clone()]);
    victim.signal(&attacked, "map", vec![sealed]);
    let why = "an encrypted payload is damaged or forged: it names the key `k`";
    let refused = victim.refused_update_of(&attacked, "put", vec![damaged.clone()]);
    assert!(refused.contains(why), "{refused}");
    let refused = victim.query_of(&attacked, "n", vec![damaged]).unwrap_err();
    assert!(refused.contains(why), "{refused}");
    victim.signal(&attacked, "map", vec![json_payload("[1, 2, 3]")]);
    victim.signal(&attacked, "end", vec![]);
    let run = ["result", &attacked.workflow_id, &flag, "-o", "json"];
    let end = Cluster::get().segno(&run).ok().json();
    assert_eq!(end["result"], json!(5), "{end:#}");
    let replay = ["replay", &attacked.workflow_id, &flag];
    Cluster::get().segno(&replay).ok();
    let log = victim.worker.logs();
    assert!(
        log.contains("the signal `map` is dropped") && log.contains(why),
        "{log}"
    );
}

/// A worker with a wrong key under the right name reads what it encrypted itself, and drops nothing of others.
#[test]
fn a_worker_with_another_key_of_the_name_waits_for_the_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, [9; 32]).unwrap();
    let flag = format!("--codec-key=k={}", file.display());
    let victim = Victim::with(&[("keeps", KEEPS)], &[&flag]);
    let attacked = victim.attacked("keeps");
    victim.signal(&attacked, "map", vec![sealed(9, "[1, 2]")]);
    let id = attacked.workflow_id.as_str();
    let n = || {
        Cluster::get()
            .segno(&["query", id, "n", &flag, "-o", "json"])
            .ok()
    };
    assert_eq!(n().json()["queryResult"], 2);
    victim.signal(&attacked, "map", vec![sealed(7, "[1, 2, 3]")]);
    let history = until("a failed workflow task", || {
        let history = Cluster::get().segno(&["history", id, &flag]).stdout;
        history.contains("WorkflowTaskFailed").then_some(history)
    });
    let why = "a payload is encrypted with another key named `k`: its fingerprint is ";
    assert!(history.contains(why), "{history}");
    let log = victim.worker.logs();
    assert!(
        log.contains(why) && !log.contains("the signal `map` is dropped"),
        "{log}"
    );
    Cluster::get().segno(&["terminate", id]).ok();
}

#[test]
fn a_start_that_cannot_be_decoded_fails_its_run() {
    let victim = Victim::with(&[("keeps", KEEPS)], &["--codec", "compression"]);
    let beside = victim.beside();
    for (why, input) in undecodable() {
        let id = Cluster::get().unique("attacked");
        let retry_policy = Some(RetryPolicy::default());
        let end = victim.start(StartOptions {
            workflow_type: "keeps".to_owned(),
            workflow_id: Some(id.clone()),
            input,
            retry_policy,
            ..StartOptions::default()
        });
        assert_eq!(end["status"], "FAILED", "{end:#}");
        assert_eq!(end["failure"]["type"], "PayloadNotDecoded", "{end:#}");
        assert!(end.to_string().contains(why), "{end:#}");
        let attacked = WorkflowRef::new(id, None);
        let refused = victim.query(&attacked, "n", json_payload("null"));
        assert!(refused.unwrap_err().contains(why));
        victim.assert_no_task_failed(&attacked);
    }
    beside.signal("end", &json!(null));
    assert_eq!(beside.result(), json!(0));
    victim.assert_unharmed();
}

#[test]
fn a_result_that_cannot_be_decoded_is_a_failure() {
    let victim = Victim::with(&[("asks", ASKS)], &["--codec", "compression"]);
    // Core itself takes one payload only.
    for (_, payloads) in undecodable().into_iter().filter(|(_, p)| p.len() == 1) {
        let attacked = victim.attacked("asks");
        victim.complete_activity(&attacked, "outside", payloads);
        let end = victim.result(&attacked);
        assert_eq!(end["result"], "not decoded, undone: true", "{end:#}");
        victim.assert_no_task_failed(&attacked);
    }
    victim.assert_unharmed();
}

/// `segno codec serve`, until it is dropped.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start() -> Server {
        let mut process = Command::new(segno())
            .args(["codec", "serve", "--port", "0", "--codec", "compression"])
            .env("MIMALLOC_ARENA_RESERVE", "32768")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let address = line
            .trim()
            .strip_prefix("codec server http://")
            .unwrap()
            .to_owned();
        Server { process, address }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).unwrap()
    }

    fn send(&self, body: &str) -> TcpStream {
        let mut stream = self.connect();
        let length = body.len();
        let head = format!(
            "POST /decode HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        // One that is refused by its length is not read to its end.
        let _ = stream.write_all(body.as_bytes());
        stream
    }

    fn ask(&self, body: &str) -> String {
        let mut answer = String::new();
        let _ = self.send(body).read_to_string(&mut answer);
        answer
    }

    #[track_caller]
    fn assert_serves(&self) {
        let small = json!({ "payloads": [{ "data": BASE64.encode("plain") }] }).to_string();
        let answer = self.ask(&small);
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains(&BASE64.encode("plain")),
            "{answer}"
        );
    }

    #[track_caller]
    fn assert_unharmed(&self) {
        let peak = peak_memory_kib(self.process.id());
        assert!(peak < 512 * 1024, "the codec server took {peak} KiB");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn encoded(payloads: &[Payload]) -> String {
    let payloads: Vec<_> = payloads
        .iter()
        .map(|payload| {
            json!({
                "metadata": { "encoding": BASE64.encode(payload.encoding()) },
                "data": BASE64.encode(&payload.data),
            })
        })
        .collect();
    json!({ "payloads": payloads }).to_string()
}

#[test]
fn requests_that_inflate_are_refused_within_bounds() {
    let server = Server::start();
    let bomb = bomb(15 << 20);
    // Many that are large answers, at once, from callers that do not read them.
    let lazy: Vec<_> = (0..6)
        .map(|_| server.send(&encoded(std::slice::from_ref(&bomb))))
        .collect();
    server.assert_serves();
    drop(lazy);
    for (body, said) in [
        (
            encoded(&vec![bomb.clone(); 70]),
            "CODEC_REQUEST_DECOMPRESSED_SIZE_BYTES_MAX",
        ),
        (
            format!("{{\"payloads\":[{}{{}}]}}", "{},".repeat(5_000_000)),
            "CODEC_JSON_PARTS_MAX",
        ),
        (" ".repeat(17 << 20), "CODEC_REQUEST_SIZE_BYTES_MAX"),
    ] {
        let answer = server.ask(&body);
        assert!(
            answer.contains(said),
            "{said}: {}",
            &answer[..answer.len().min(500)]
        );
        server.assert_serves();
    }
    server.assert_unharmed();
}

#[test]
fn callers_that_do_nothing_give_way() {
    let server = Server::start();
    let idle: Vec<_> = (0..2 * CODEC_CONNECTIONS_MAX)
        .map(|_| server.connect())
        .collect();
    server.assert_serves();
    // Neither does who says that much comes.
    let slow: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = server.connect();
            let head = "POST /decode HTTP/1.1\r\nHost: x\r\nContent-Length: 16000000\r\n\r\n{";
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    server.assert_serves();
    drop((idle, slow));
    server.assert_unharmed();
}

#[test]
fn an_inflated_payload_has_bounded_metadata() {
    // An entry takes eight bytes here, and some hundred in memory.
    let entries: Vec<u8> = (0..1_000_000_u32)
        .flat_map(|number| {
            let key = number.to_le_bytes().map(|byte| byte & 0x7f);
            let mut entry = vec![0x0a, 6, 0x0a, 4];
            entry.extend(key);
            entry
        })
        .collect();
    let mut compressor = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    compressor.write_all(&entries).unwrap();
    let encoded = payload("binary/zlib", &compressor.finish().unwrap());
    let codec = Codec::new(vec![Stage::Compression]);
    let decoded = codec.decode_payloads(vec![payload_to_proto(encoded)]);
    let error = super::victim::wait(decoded).unwrap_err().to_string();
    assert!(error.contains("CODEC_METADATA_ENTRIES_MAX"), "{error}");
}
