//! `segno dev` and `segno worker` as processes: what they print, how they end, what they leave behind.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::support::cluster::temporal;
use super::support::run::Run;
use super::support::worker::Worker;
use super::support::{root, segno, until};

fn dev(arguments: &[&str]) -> Command {
    let mut command = Command::new(segno());
    command
        .args(["dev", "--temporal-binary", temporal().to_str().unwrap()])
        .args(arguments)
        .current_dir(root())
        .env("NO_COLOR", "1");
    command
}

/// A process that does not outlive its test.
struct Running(Child);

impl Running {
    fn interrupt(&self) {
        let id = self.0.id().to_string();
        let sent = Command::new("kill").args(["-INT", &id]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.interrupt();
            let _ = self.0.wait();
        }
    }
}

#[test]
fn dev_serves_a_folder_and_ends_whole() {
    let mut command = dev(&[
        "--definitions",
        "tests/cluster/start",
        "--port",
        "0",
        "--ui-port",
        "0",
        "--output",
        "json",
        "--log-level",
        "error",
    ]);
    let mut dev = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let stdout = dev.0.stdout.take().unwrap();
    let mut documents = serde_json::Deserializer::from_reader(stdout).into_iter::<Value>();
    let said = documents.next().unwrap().unwrap();
    let address = said["address"].as_str().unwrap();
    let ui = said["ui"]
        .as_str()
        .unwrap()
        .strip_prefix("http://")
        .unwrap();
    assert!(TcpStream::connect(ui).is_ok(), "{said}");
    assert_eq!(said["workflowTypes"], json!(["reservation"]));

    let mut start = Command::new(segno());
    start.args([
        "start",
        "reservation",
        "--wait",
        "--signal",
        "left",
        "--execution-timeout",
        "60s",
    ]);
    let done = start.args([
        "--input",
        r#"{"table": 1}"#,
        "--address",
        address,
        "--output",
        "json",
    ]);
    assert_eq!(Run::of(done).ok().json()["status"], "COMPLETED");

    dev.interrupt();
    let ended = until("the end of `segno dev`", || dev.0.try_wait().unwrap());
    assert_eq!(ended.code(), Some(0));
    assert!(TcpStream::connect(address).is_err() && TcpStream::connect(ui).is_err());
}

#[test]
fn dev_names_a_port_that_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for flag in ["--port", "--ui-port"] {
        let other = if flag == "--port" {
            "--ui-port"
        } else {
            "--port"
        };
        let run = Run::of(&mut dev(&[flag, &port, other, "0"]));
        assert!(
            run.code == 1 && run.stderr.contains(&port) && run.stderr.contains(flag),
            "{run:#?}"
        );
    }
}

#[test]
fn a_worker_that_is_asked_to_stop_leaves_its_runs_to_the_next() {
    let worker = Worker::of_examples(&[]);
    let run = worker.launch("account", &json!({ "owner": "Ada" }));
    run.query_until("balance", |balance| {
        *balance == json!(0.0) || *balance == json!(0)
    });
    assert_eq!(worker.stop(), Some(0), "{}", worker.logs());
    assert!(
        worker.logs().contains("worker stopped"),
        "{}",
        worker.logs()
    );
    worker.begin();
    run.query_until("balance", |balance| {
        *balance == json!(0.0) || *balance == json!(0)
    });
    run.assert_no_task_failed();
}

#[test]
fn the_log_says_why_the_server_refused_a_workflow_task() {
    let worker = Worker::start(&root().join("tests/cluster/processes"), &[]);
    let run = worker.launch("unknown-search-attribute", &Value::Null);
    until("the server's words", || {
        let said = "no mapping defined for search attribute NobodyRegisteredThis";
        worker.logs().contains(said).then_some(())
    });
    worker.cluster.segno(&["terminate", &run.id]).ok();
}
