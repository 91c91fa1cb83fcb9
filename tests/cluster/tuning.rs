//! How much a worker takes on: what its flags refuse, and that what they allow works.

use std::process::Command;

use serde_json::json;

use super::support::run::Run;
use super::support::worker::Worker;
use super::support::{root, segno};

/// A worker's command line, its error, and what helps.
const REFUSED: &[(&[&str], &str, &str)] = &[
    (
        &["--target-memory-usage", "0.5"],
        "--target-memory-usage has no effect if counts are fixed",
        "--tuner resource-based",
    ),
    (
        &["--target-cpu-usage", "0.5", "--tuner", "fixed"],
        "--target-cpu-usage has no effect if counts are fixed",
        "--tuner resource-based",
    ),
    (
        &["--tuner", "resource-based", "--target-cpu-usage", "90"],
        "expected a share above 0 and up to 1",
        "--help",
    ),
    (
        &["--max-concurrent-workflow-tasks", "1"],
        "--max-concurrent-workflow-tasks is 1, and must be 2 at least",
        "--max-cached-workflows 0",
    ),
    (
        &["--max-concurrent-activities", "0"],
        "--max-concurrent-activities is 0, and must be 1 at least",
        "",
    ),
    (
        &["--workflow-task-pollers", "1"],
        "--workflow-task-pollers 1 leaves no poller for runs in memory",
        "--max-cached-workflows 0",
    ),
    (
        &["--activity-task-pollers", "9-3"],
        "the first count must not be more than the second",
        "--help",
    ),
    (
        &["--activity-task-pollers", "many"],
        "expected a count from 1, MIN-MAX such as 2-20, or `autoscale`",
        "--help",
    ),
    (
        &["--max-activities-per-second", "0"],
        "expected a number above 0",
        "--help",
    ),
    (
        &["--deployment-name", "shop"],
        "--deployment-name needs a --build-id",
        "the version that this worker is",
    ),
    (
        &["--versioning-behavior", "pinned"],
        "--deployment-name",
        "--help",
    ),
    (
        &["--build-id", "1.0"],
        "--build-id needs a --deployment-name",
        "the version that this worker is",
    ),
];

#[test]
fn options_that_do_not_fit_together_are_refused() {
    for (arguments, error, help) in REFUSED {
        let mut command = Command::new(segno());
        command
            .args(["worker", "--address", "127.0.0.1:1"])
            .args(*arguments)
            .env("NO_COLOR", "1")
            .current_dir(root());
        let run = Run::of(&mut command);
        assert!(
            run.code == 2 && run.stderr.contains(error) && run.stderr.contains(help),
            "{error}: {run:#?}"
        );
    }
}

/// Each serves runs with activities, local activities and a child.
#[test]
fn each_way_of_tuning_serves() {
    for arguments in [
        &[
            "--tuner",
            "resource-based",
            "--target-memory-usage",
            "1",
            "--target-cpu-usage",
            "1",
            "--max-concurrent-activities",
            "2",
        ][..],
        &["--tuner", "resource-based", "--max-cached-workflows", "0"],
        &[
            "--workflow-task-pollers",
            "autoscale",
            "--activity-task-pollers",
            "2-5",
        ],
        &[
            "--max-concurrent-workflow-tasks",
            "2",
            "--workflow-task-pollers",
            "2",
            "--max-concurrent-activities",
            "1",
            "--activity-task-pollers",
            "1",
            "--max-concurrent-local-activities",
            "1",
            "--max-activities-per-second",
            "50",
            "--max-task-queue-activities-per-second",
            "50",
        ],
    ] {
        let worker = Worker::of_examples(arguments);
        let input = json!({ "quarter": "2026-Q1", "regions": ["north", "south"] });
        let run = worker.launch("parent-and-children", &input);
        let hello = worker.launch("hello", &json!({ "name": "Ada" }));
        assert_eq!(hello.result(), "Hello, Ada!");
        assert_eq!(run.result()["best"], "north", "{arguments:?}");
        assert_eq!(worker.stop(), Some(0), "{}", worker.logs());
    }
}
