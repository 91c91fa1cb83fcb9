//! Connections through TLS, with a client certificate and with an API key: a worker and a client on the real server,
//! and what they say when they are not let in.

use std::process::Command;

use serde_json::json;

use super::support::cluster::Cluster;
use super::support::gateway::{Door, Gateway, SERVER_NAME};
use super::support::run::Run;
use super::support::worker::Worker;
use super::support::{root, segno};

const KEY: &str = "a-key-of-the-test";

/// `segno start hello --wait` through a gateway, on a worker's task queue.
fn start(
    gateway: &Gateway,
    task_queue: &str,
    environment: &[(&str, &str)],
    arguments: &[&str],
) -> Run {
    let mut command = Command::new(segno());
    command
        .args([
            "start",
            "hello",
            "--wait",
            "--input",
            &json!({ "name": "Ada" }).to_string(),
        ])
        .args([
            "--task-queue",
            task_queue,
            "--address",
            &gateway.address,
            "--output",
            "json",
        ])
        .args([
            "--execution-timeout",
            "60s",
            "--client-connect-timeout",
            "5s",
        ])
        .args(arguments)
        .envs(environment.iter().copied())
        .env("NO_COLOR", "1")
        .current_dir(root());
    Run::of(&mut command)
}

fn worker(gateway: &Gateway, arguments: &[&str]) -> Worker {
    Worker::of_examples(&[&["--address", &gateway.address], arguments].concat())
}

#[track_caller]
fn refused(run: &Run, reason: &str) {
    assert!(run.code == 1 && run.stderr.contains(reason), "{run:#?}");
}

#[test]
fn a_client_certificate_opens_the_door() {
    let gateway = Gateway::start(&Cluster::get().address, Door::ClientCertificate);
    let files =
        ["ca.pem", "client.pem", "client.key", "other-ca.pem"].map(|name| gateway.file(name));
    let [ca, certificate, key, other] = files.each_ref().map(String::as_str);
    let named = ["--tls-server-name", SERVER_NAME];
    let identity = ["--tls-cert-path", certificate, "--tls-key-path", key];

    let worker = worker(
        &gateway,
        &[&["--tls-ca-path", ca][..], &named, &identity].concat(),
    );
    let environment = [
        ("TEMPORAL_TLS_SERVER_CA_CERT_PATH", ca),
        ("TEMPORAL_TLS_SERVER_NAME", SERVER_NAME),
        ("TEMPORAL_TLS_CLIENT_CERT_PATH", certificate),
        ("TEMPORAL_TLS_CLIENT_KEY_PATH", key),
    ];
    let done = start(&gateway, &worker.task_queue, &environment, &[]).ok();
    assert_eq!(done.json()["result"], "Hello, Ada!");

    let start =
        |arguments: &[&[&str]]| start(&gateway, &worker.task_queue, &[], &arguments.concat());
    start(&[&["--tls-disable-host-verification"], &identity]).ok();
    refused(
        &start(&[&["--tls-ca-path", ca], &named]),
        "cannot reach a Temporal server",
    );
    refused(
        &start(&[&["--tls-ca-path", ca], &identity]),
        "not valid for name",
    );
    refused(
        &start(&[&["--tls-ca-path", other], &named, &identity]),
        "invalid peer certificate",
    );
    refused(&start(&[]), "cannot reach a Temporal server");
}

#[test]
fn an_api_key_opens_the_door() {
    let gateway = Gateway::start(&Cluster::get().address, Door::ApiKey(KEY));
    let ca = gateway.file("ca.pem");
    let tls = ["--tls-ca-path", &ca, "--tls-server-name", SERVER_NAME];

    let worker = worker(&gateway, &[&["--api-key", KEY][..], &tls].concat());
    let environment = [("TEMPORAL_API_KEY", KEY)];
    let done = start(&gateway, &worker.task_queue, &environment, &tls).ok();
    assert_eq!(done.json()["result"], "Hello, Ada!");
    assert!(!worker.logs().contains(KEY), "{}", worker.logs());

    let wrong = start(
        &gateway,
        &worker.task_queue,
        &[("TEMPORAL_API_KEY", "another")],
        &tls,
    );
    refused(&wrong, "this API key is not known");
}
