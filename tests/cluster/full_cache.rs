//! More runs than the worker's cache holds, all with local activities in flight.

use serde_json::json;

use super::support::root;
use super::support::worker::{Worker, Workflow};

const RUNS: usize = 6;
const TICKS: usize = 4;

#[test]
fn no_local_activity_is_cancelled_by_nobody() {
    let programs = [
        "--exec-allow",
        "sh=/bin/sh",
        "--exec-allow",
        "sleep=/bin/sleep",
    ];
    let folder = tempfile::tempdir().unwrap();
    let input = json!(folder.path().to_str().unwrap());
    for cache in ["1", "2"] {
        let arguments = [&programs[..], &["--max-cached-workflows", cache]].concat();
        let worker = Worker::start(&root().join("tests/cluster/full-cache"), &arguments);
        let launch = |_| worker.launch("full-cache", &input);
        let runs: Vec<_> = (0..RUNS).map(launch).collect();
        for _ in 0..TICKS {
            runs.iter().for_each(|run| run.signal("tick", &json!(null)));
        }
        // How many that are depends on when the server hands out which task.
        let mut given_back = 0;
        for run in &runs {
            assert_eq!(run.result(), json!(3), "cache {cache}");
            given_back += given_back_without_a_cancellation(run);
            run.assert_replays();
        }
        println!("cache {cache}: {given_back} workflow tasks were given back");
    }
}

/// Each workflow task that did not complete was given back. A run with local activities in flight does not leave the cache for another, so none times out.
fn given_back_without_a_cancellation(run: &Workflow<'_>) -> usize {
    let mut count = 0;
    for event in run.histories().concat() {
        let marker = &event["markerRecordedEventAttributes"];
        let failure = marker["failure"].to_string();
        assert!(!failure.contains("canceledFailureInfo"), "{event:#}");
        let timed_out = &event["workflowTaskTimedOutEventAttributes"];
        assert!(timed_out.is_null(), "{event:#}");
        let cause = &event["workflowTaskFailedEventAttributes"]["cause"];
        let given_back = "WORKFLOW_TASK_FAILED_CAUSE_RESET_STICKY_TASK_QUEUE";
        assert!(cause.is_null() || cause == given_back, "{event:#}");
        count += usize::from(cause == given_back);
    }
    count
}
