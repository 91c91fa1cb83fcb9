//! The codec server: asked by Temporal's own command line, by a worker, and by pages of browsers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::codecs::{
    ACTIVITIES, SECRET, Sealed, count, drive, holds, raw_histories, start, with, worker,
};
use super::support::cluster::{Cluster, temporal};
use super::support::run::Run;
use super::support::{segno, until};

/// `segno codec serve`, until it is dropped.
pub struct Server {
    process: Child,
    pub address: String,
}

impl Server {
    pub fn start(flags: &[String]) -> Server {
        let mut process = Command::new(segno())
            .args(["codec", "serve", "--port", "0"])
            .args(flags)
            .env("NO_COLOR", "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("codec server http://");
        let address = address.unwrap_or_else(|| panic!("{line:?}")).to_owned();
        Server { process, address }
    }

    /// The answer to a request, headers and all.
    fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let headers: String = headers.iter().map(|h| format!("{h}\r\n")).collect();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn encoded(plain: &Value) -> Value {
    let payload = json!({
        "metadata": { "encoding": BASE64.encode("json/plain") },
        "data": BASE64.encode(plain.to_string()),
    });
    json!({ "payloads": [payload] })
}

#[test]
fn temporals_own_command_line_reads_and_writes_through_the_codec_server() {
    let sealed = Sealed::get();
    let keys = sealed.keys(&["new", "old"]);
    let worker = worker(&keys);
    let server = Server::start(&keys);
    let endpoint = format!("http://{}", server.address);
    let temporal = |arguments: &[&str]| {
        let mut command = Command::new(temporal());
        command.args(arguments);
        command.args(["--address", &worker.cluster.address]);
        Run::of(&mut command).ok().stdout
    };
    let id = start(
        &worker,
        &keys,
        "sealed-short",
        &json!({ "queue": ACTIVITIES }),
    );
    let signal = [
        "workflow",
        "signal",
        "-w",
        &id,
        "--name",
        "word",
        "--input",
        "\"hush-cli\"",
    ];
    temporal(&[&signal[..], &["--codec-endpoint", &endpoint]].concat());
    let ended = with(&keys, &["result", &id, "--output", "json"]).json();
    assert_eq!(ended["result"], "hush-cli-receipt", "{ended:#}");
    let show = ["workflow", "show", "-w", &id, "--output", "json"];
    let plain = temporal(&[&show[..], &["--codec-endpoint", &endpoint]].concat());
    assert!(
        holds(&serde_json::from_str(&plain).unwrap(), "hush-cli"),
        "{plain}"
    );
    let raw = temporal(&show);
    assert!(
        !holds(&serde_json::from_str(&raw).unwrap(), SECRET),
        "{raw}"
    );
}

#[test]
fn a_worker_may_have_a_codec_server_encode_for_it() {
    let sealed = Sealed::get();
    let mut flags = sealed.keys(&["new", "old"]);
    flags.push(format!("--auth-file={}", sealed.file("token")));
    let server = Server::start(&flags);
    let mut remote = vec![
        format!("--codec-endpoint=http://{}/{{namespace}}", server.address),
        "--encode-common-attributes".to_owned(),
    ];
    let denied = with(
        &remote,
        &[
            "start",
            "sealed-short",
            "--task-queue",
            "nobodys",
            "--input",
            "1",
        ],
    );
    assert!(
        denied.code == 1 && denied.stderr.contains("it answered 401"),
        "{denied:#?}"
    );
    remote.push(format!("--codec-auth-file={}", sealed.file("token")));

    let worker = worker(&remote);
    let input = json!({ "word": "hush-word", "round": 2, "queue": ACTIVITIES });
    let id = start(&worker, &remote, "sealed", &input);
    drive(&id, &remote, 1);
    let ended = with(
        &sealed.keys(&["new", "old"]),
        &["result", &id, "--output", "json"],
    )
    .json();
    assert_eq!(
        ended["failure"]["message"], "the word was hush-word",
        "{ended:#}"
    );
    assert!(!holds(&raw_histories(&id)[0], SECRET));
    with(&remote, &["replay", &id]).ok();
    drop(server);
    let unreachable = with(&remote, &["replay", &id]);
    let why = "the codec server http://127.0.0.1";
    assert!(
        unreachable.code == 2 && unreachable.stdout.contains(why),
        "{unreachable:#?}"
    );
}

#[test]
fn the_log_names_the_step_whose_payload_could_not_be_encoded() {
    let server = Server::start(&Sealed::get().keys(&["new"]));
    let remote = vec![format!("--codec-endpoint=http://{}", server.address)];
    let worker = worker(&[&remote[..], &["--log-format=json".to_owned()]].concat());
    let input = json!({ "queue": ACTIVITIES });
    let id = start(&worker, &remote, "sealed-short", &input);
    until("the run's wait", || {
        let history = raw_histories(&id).remove(0);
        (count(&history, "WORKFLOW_TASK_COMPLETED") > 0).then_some(())
    });
    drop(server);
    // Without an input there is nothing to decode.
    Cluster::get().segno(&["signal", &id, "word"]).ok();
    let failed = until("the log's line", || {
        let logs = worker.logs();
        let mut lines = logs
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| {
            let said = line["message"].as_str().unwrap_or_default();
            said.starts_with("workflow task failed: the codec server")
        })
    });
    assert_eq!(
        (
            &failed["step"],
            &failed["workflow_id"],
            &failed["workflow_type"]
        ),
        (&json!("payment"), &json!(id), &json!("sealed-short")),
        "{failed:#}"
    );
    assert!(failed["definition"].is_string(), "{failed:#}");
    Cluster::get().segno(&["terminate", &id]).ok();
}

#[test]
fn the_codec_server_answers_pages_and_callers_it_knows() {
    let sealed = Sealed::get();
    let mut flags = sealed.keys(&["old"]);
    flags.extend(["--origin=http://ui.test:8233", "--namespace=orders"].map(str::to_owned));
    let server = Server::start(&flags);
    let (origin, namespace) = ("Origin: http://ui.test:8233", "X-Namespace: orders");
    let asked = server.ask("OPTIONS", "/decode", &[origin], "");
    assert!(asked.starts_with("HTTP/1.1 204"), "{asked}");
    for header in [
        "access-control-allow-origin: http://ui.test:8233",
        "access-control-allow-headers: content-type, x-namespace, authorization",
        "access-control-allow-methods: POST, OPTIONS",
        "vary: Origin",
    ] {
        assert!(asked.contains(header), "{asked}");
    }
    let plain = encoded(&json!("hush"));
    let sealed_payload = server.ask("POST", "/encode", &[origin, namespace], &plain.to_string());
    let (_, sealed_payload) = sealed_payload.split_once("\r\n\r\n").unwrap();
    assert!(!holds(
        &serde_json::from_str(sealed_payload).unwrap(),
        SECRET
    ));
    let opened = server.ask(
        "POST",
        "/any/path/decode",
        &[origin, namespace],
        sealed_payload,
    );
    assert!(
        opened.contains("access-control-allow-origin: http://ui.test:8233"),
        "{opened}"
    );
    let (_, opened) = opened.split_once("\r\n\r\n").unwrap();
    assert_eq!(serde_json::from_str::<Value>(opened).unwrap(), plain);

    let other = "Origin: http://elsewhere.test";
    let broken = sealed_payload.replace("b2xk", "bmV3");
    for (method, path, headers, body, wanted) in [
        (
            "POST",
            "/decode",
            &[other, namespace][..],
            sealed_payload,
            "403 Forbidden",
        ),
        ("OPTIONS", "/decode", &[other], "", "403 Forbidden"),
        (
            "POST",
            "/decode",
            &[origin],
            sealed_payload,
            "403 Forbidden",
        ),
        (
            "POST",
            "/decode",
            &["X-Namespace: other"],
            sealed_payload,
            "403 Forbidden",
        ),
        (
            "POST",
            "/else",
            &[namespace],
            sealed_payload,
            "404 Not Found",
        ),
        ("GET", "/decode", &[namespace], "", "405 Method Not Allowed"),
        ("POST", "/decode", &[namespace], "[]", "400 Bad Request"),
        ("POST", "/decode", &[namespace], &broken, "the key `new`"),
    ] {
        let answer = server.ask(method, path, headers, body);
        assert!(
            answer.contains(wanted),
            "{method} {path} {headers:?}: {answer}"
        );
        assert!(!answer.contains("elsewhere"), "{answer}");
        assert!(!holds(&json!(answer), SECRET), "{answer}");
    }
}

#[test]
fn payloads_are_decoded_and_encoded_on_the_command_line() {
    let sealed = Sealed::get();
    let work = |operation: &str, text: String| {
        let mut process = Command::new(segno())
            .args(["codec", operation, "--codec=compression,encryption"])
            .args(sealed.keys(&["new", "old"]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        process
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success());
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let plain = encoded(&json!("hush ".repeat(100)));
    let sealed = work("encode", plain.to_string());
    assert!(!holds(&sealed, SECRET), "{sealed:#}");
    assert_eq!(work("decode", sealed.to_string()), plain);
}
