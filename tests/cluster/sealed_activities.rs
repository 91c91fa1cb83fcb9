//! Heartbeats and what comes from outside of a worker, with payload codecs: with keys, and with a codec server.

use std::path::Path;

use serde_json::{Value, json};

use super::codec_server::Server;
use super::codecs::{SECRET, Sealed, holds, raw_histories, with};
use super::support::cluster::Cluster;
use super::support::worker::Worker;
use super::support::{root, until};

/// With the keys at hand, and with a server that has them.
fn both(test: impl Fn(&[String])) {
    let keys = Sealed::get().keys(&["new", "old"]);
    test(&keys);
    let server = Server::start(&keys);
    test(&[
        format!("--codec-endpoint=http://{}", server.address),
        "--encode-common-attributes".to_owned(),
    ]);
}

fn worker(flags: &[String]) -> Worker {
    let allowed = ["--exec-allow", "shell=/bin/sh"];
    let flags = flags.iter().map(String::as_str);
    let arguments: Vec<&str> = flags.chain(allowed).collect();
    Worker::start(&root().join("tests/cluster/sealed_activities"), &arguments)
}

fn start(worker: &Worker, flags: &[String], workflow: &str, file: &Path) -> String {
    let id = worker.cluster.unique(workflow);
    let input = json!({ "file": file }).to_string();
    let queue = ["--task-queue", &worker.task_queue, "--workflow-id", &id];
    let start = ["start", workflow, "--input", &input];
    with(flags, &[&start[..], &queue].concat()).ok();
    id
}

/// The details of the last heartbeat, once there are any.
fn heartbeat(id: &str, flags: &[String]) -> Value {
    until("the heartbeat's details", || {
        let described = with(flags, &["describe", id, "--output", "json"]);
        let details = described.json()["pendingActivities"][0]["heartbeatDetails"].clone();
        (!details.is_null() && details != json!([])).then_some(details)
    })
}

fn is_sealed(id: &str) {
    assert!(!holds(&raw_histories(id)[0], SECRET), "{id}");
}

#[test]
fn the_next_attempt_goes_on_from_a_sealed_heartbeat() {
    both(|flags| {
        let worker = worker(flags);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("go");
        let id = start(&worker, flags, "sealed-beats", &file);
        let raw = heartbeat(&id, &[]);
        assert!(!holds(&raw, SECRET), "{raw:#}");
        assert!(holds(&heartbeat(&id, flags), "hush-page"));
        std::fs::write(&file, "").unwrap();
        let result = with(flags, &["result", &id, "--output", "json"]).ok();
        assert_eq!(result.json()["result"], json!({ "page": "hush-page" }));
        is_sealed(&id);
        with(flags, &["replay", &id]).ok();
    });
}

#[test]
fn what_is_said_from_outside_is_sealed() {
    both(|flags| {
        let worker = worker(flags);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let id = start(&worker, flags, "sealed-callback", &file);
        let token = |other: &str| {
            until("the token", || {
                let token = std::fs::read_to_string(&file).ok()?;
                (token != other).then_some(token)
            })
        };
        let first = token("");
        let say = |command: &str, token: &str, rest: &[&str]| {
            let activity = ["activity", command, "--task-token", token];
            with(flags, &[&activity[..], rest].concat()).ok();
        };
        say("heartbeat", &first, &["--detail", r#"{"at": "hush-at"}"#]);
        let raw = heartbeat(&id, &[]);
        assert!(!holds(&raw, SECRET), "{raw:#}");
        assert!(holds(&heartbeat(&id, flags), "hush-at"));
        let details = ["--detail", "\"hush-detail\"", "--type", "Busy"];
        say(
            "fail",
            &first,
            &[&["--reason", "hush-reason"], &details[..]].concat(),
        );
        let described = Cluster::get().segno(&["describe", &id, "--output", "json"]);
        // The details of the heartbeat are sealed.
        assert_eq!(described.code, 1, "{described:#?}");
        assert!(!holds(&described.json(), SECRET));
        say("complete", &token(&first), &["--result", "\"hush-result\""]);
        let result = with(flags, &["result", &id, "--output", "json"]).ok();
        assert_eq!(result.json()["result"], "hush-result");
        is_sealed(&id);
    });
}
