//! Activities that are completed from outside of a worker, by `segno activity`.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::support::cluster::Cluster;
use super::support::run::Run;
use super::support::worker::{Worker, Workflow};
use super::support::{root, segno, until};

fn worker() -> Worker {
    let arguments = [
        "--exec-allow",
        "shell=/bin/sh",
        "--exec-env",
        "SEGNO",
        "--exec-env",
        "TEMPORAL_ADDRESS",
    ];
    Worker::start(&root().join("tests/cluster/outside"), &arguments)
}

/// A workflow whose activity has handed over its token.
struct Asked<'a> {
    workflow: Workflow<'a>,
    folder: tempfile::TempDir,
}

impl Asked<'_> {
    fn of(worker: &Worker) -> Asked<'_> {
        let folder = tempfile::tempdir().unwrap();
        let input = json!({ "file": folder.path().join("token") });
        let workflow = worker.launch("outside", &input);
        Asked { workflow, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    /// The token of the newest attempt, which is another one than that.
    fn token(&self, other: &str) -> String {
        until("the handing over", || {
            let token = std::fs::read_to_string(self.file()).ok()?;
            (token != other).then_some(token)
        })
    }

    fn by_token(&self, command: &str, token: &str, rest: &[&str]) -> Run {
        let arguments = ["activity", command, "--task-token", token];
        Cluster::get().segno(&[&arguments, rest].concat())
    }

    fn by_ids(&self, command: &str, rest: &[&str]) -> Run {
        let arguments = ["activity", command, "-w", &self.workflow.id, "-a", "asked"];
        Cluster::get().segno(&[&arguments, rest].concat())
    }
}

#[test]
fn completed_by_token_and_by_ids() {
    let worker = worker();
    let asked = Asked::of(&worker);
    let token = asked.token("");
    let result = r#"{"big": 12345678901234567890, "text": "Grüße"}"#;
    let completed = asked
        .by_token("complete", &token, &["--result", result])
        .ok();
    assert_eq!(
        completed.stdout,
        "the activity of this task token was completed\n"
    );
    let expected: Value = serde_json::from_str(result).unwrap();
    assert_eq!(asked.workflow.result(), json!({ "result": expected }));

    let asked = Asked::of(&worker);
    asked.token("");
    let run = &asked.workflow.run_id;
    let completed = asked.by_ids("complete", &["--run-id", run, "--output", "json"]);
    let named = json!({ "workflowId": asked.workflow.id, "activityId": "asked", "runId": run });
    assert_eq!(completed.ok().json(), named);
    assert_eq!(asked.workflow.result(), json!({ "result": null }));
}

#[test]
fn failed_and_retried_with_another_token() {
    let worker = worker();
    let asked = Asked::of(&worker);
    let first = asked.token("");
    let details = ["--detail", "[1]", "--detail", "\"two\""];
    let busy = ["--reason", "the line is busy", "--type", "Busy"];
    asked
        .by_token("fail", &first, &[&busy[..], &details].concat())
        .ok();
    let second = asked.token(&first);

    let late = asked.by_token("complete", &first, &["--result", "1"]);
    assert_eq!(late.code, 1, "{late:#?}");
    for part in [
        "the activity of this task token is not waiting for completion",
        "another task token",
    ] {
        assert!(late.stderr.contains(part), "{late:#?}");
    }
    let last = [
        "--non-retryable",
        "--reason",
        "nobody answered",
        "--type",
        "NoAnswer",
    ];
    asked
        .by_token("fail", &second, &[&last[..], &details].concat())
        .ok();
    let end = asked.workflow.result();
    let cause = &end["cause"];
    assert_eq!(
        (&end["kind"], &cause["type"]),
        (&json!("activity"), &json!("NoAnswer")),
        "{end:#}"
    );
    assert_eq!(cause["message"], "nobody answered");
    assert_eq!(cause["details"], json!([[1], "two"]));
}

#[test]
fn a_heartbeat_tells_of_the_cancellation() {
    let worker = worker();
    let asked = Asked::of(&worker);
    let token = asked.token("");
    let alive = asked.by_token("heartbeat", &token, &["--detail", r#"{"page": 3}"#]);
    assert_eq!(
        (alive.code, alive.stdout.as_str()),
        (0, "go on\n"),
        "{alive:#?}"
    );
    let described = Cluster::get().segno(&["describe", &asked.workflow.id, "-o", "json"]);
    assert!(described.stdout.contains("page"), "{described:#?}");
    let unasked = asked.by_ids("report-cancellation", &[]);
    assert_eq!(unasked.code, 1, "{unasked:#?}");

    Cluster::get().segno(&["cancel", &asked.workflow.id]).ok();
    let stop = until("the cancellation", || {
        let stop = asked.by_ids("heartbeat", &[]);
        (stop.code != 0).then_some(stop)
    });
    assert_eq!(stop.code, 3, "{stop:#?}");
    assert_eq!(stop.stdout, "stop: its cancellation was requested\n");
    let told = asked.by_token("heartbeat", &token, &["-o", "json"]);
    let expected = json!({ "cancelRequested": true, "paused": false, "reset": false });
    assert_eq!((told.code, told.json()), (3, expected));
    asked
        .by_ids("report-cancellation", &["--detail", "\"cleaned up\""])
        .ok();
    assert_eq!(asked.workflow.end()["status"], "COMPLETED");
    let over = asked.by_ids("heartbeat", &[]);
    assert_eq!(over.code, 1, "{over:#?}");
}

#[test]
fn what_is_not_there_is_said() {
    let segno = |arguments: &[&str]| Cluster::get().segno(&[&["activity"], arguments].concat());
    let cases = [
        (
            vec!["complete", "-w", "nobody", "-a", "1"],
            1,
            "the activity \"1\" of the workflow \"nobody\" is not waiting for completion",
        ),
        (
            vec!["complete", "--task-token", "AAAA"],
            1,
            "Error deserializing task token",
        ),
        (
            vec!["complete", "--task-token", "?"],
            2,
            "--task-token is not base64",
        ),
        (vec!["complete", "-w", "nobody"], 2, "--activity-id"),
        (vec!["complete", "-a", "1"], 2, "--workflow-id"),
        (vec!["heartbeat"], 2, "--task-token"),
        (
            vec!["fail", "-w", "w", "-a", "1", "--detail", "no json"],
            2,
            "--detail is not JSON",
        ),
        (
            vec!["complete", "--task-token", "AAAA", "-a", "1", "-w", "w"],
            2,
            "cannot be used with",
        ),
    ];
    for (arguments, code, text) in cases {
        let run = segno(&arguments);
        assert_eq!(run.code, code, "{run:#?}");
        assert!(run.stderr.contains(text), "{run:#?}");
    }
}

#[test]
fn a_program_leaves_the_completion_to_a_job_behind_it() {
    let worker = worker();
    let input = json!({ "segno": segno(), "address": worker.cluster.address });
    let workflow = worker.launch("outside-by-command", &input);
    assert_eq!(workflow.result(), json!({ "attempt": 1 }));
}
