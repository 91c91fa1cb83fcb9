//! Several workers on one task queue: killing any of them loses nothing, and replacing them one after the other under
//! load completes every run.

use serde_json::{Value, json};

use super::support::worker::{Worker, Workflow, count};
use super::support::{root, until};

const ARGUMENTS: &[&str] = &[
    "--exec-allow",
    "echo=/bin/echo",
    "--exec-allow",
    "sleep=/bin/sleep",
    // A killed worker's runs are not kept waiting for it.
    "--sticky-queue-schedule-to-start-timeout",
    "1s",
];

fn workers(arguments: &[&str], count: usize) -> Vec<Worker> {
    let arguments = [ARGUMENTS, arguments].concat();
    let first = Worker::start(&root().join("tests/cluster/two_workers"), &arguments);
    let mut workers = vec![first];
    while workers.len() < count {
        workers.push(workers[0].beside(&arguments));
    }
    for worker in &workers {
        until_it_serves(worker);
    }
    workers
}

fn until_it_serves(worker: &Worker) {
    until("a worker's begin", || {
        worker.logs().contains("worker started").then_some(())
    });
}

/// What a run of so many steps gives.
fn expected(run: usize, steps: usize) -> Value {
    let results =
        (0..steps).flat_map(|step| ["local", "remote"].map(|kind| format!("{kind} {run}.{step}")));
    json!(results.collect::<Vec<_>>())
}

fn lose_nothing(arguments: &[&str], steps: usize) {
    const RUNS: usize = 6;
    let workers = workers(arguments, 3);
    let runs: Vec<Workflow> = (0..RUNS)
        .map(|_| workers[0].launch("two-workers-steps", &json!({ "steps": steps })))
        .collect();
    for step in 0..steps {
        for (number, run) in runs.iter().enumerate() {
            // In the midst of what the signals before it have set off.
            if number % 2 == 1 {
                workers[(step + number / 2) % workers.len()].kill_and_restart();
            }
            run.signal("step", &json!(format!("{number}.{step}")));
        }
    }
    for (number, run) in runs.iter().enumerate() {
        assert_eq!(run.result(), expected(number, steps));
        run.assert_no_task_failed();
        run.assert_replays();
    }
}

#[test]
fn workers_that_are_killed_lose_nothing() {
    lose_nothing(&[], 4);
}

#[test]
fn workers_without_a_cache_that_are_killed_lose_nothing() {
    lose_nothing(&["--max-cached-workflows", "0"], 2);
}

#[test]
fn a_worker_that_is_gone_for_good_leaves_its_runs_to_the_other() {
    let workers = workers(&[], 2);
    let runs: Vec<Workflow> = (0..4)
        .map(|_| workers[0].launch("two-workers-steps", &json!({ "steps": 2 })))
        .collect();
    for (number, run) in runs.iter().enumerate() {
        run.signal("step", &json!(format!("{number}.0")));
        // Each run is in one worker's memory by then.
        run.query_until("done", |done| done.as_array().is_some_and(|d| d.len() == 2));
    }
    workers[1].kill();
    for (number, run) in runs.iter().enumerate() {
        run.signal("step", &json!(format!("{number}.1")));
    }
    for (number, run) in runs.iter().enumerate() {
        assert_eq!(run.result(), expected(number, 2));
    }
}

/// What a worker that was asked to stop may leave behind in a history: nothing that went wrong.
fn assert_nothing_was_lost(events: &[Value]) {
    for failed in ["FAILED", "TIMED_OUT", "CANCELED"] {
        assert_eq!(
            count(events, &format!("EVENT_TYPE_ACTIVITY_TASK_{failed}")),
            0
        );
    }
    assert_eq!(count(events, "EVENT_TYPE_WORKFLOW_TASK_FAILED"), 0);
    for event in events {
        let started = &event["activityTaskStartedEventAttributes"];
        let attempt = started["attempt"].as_u64().unwrap_or(1);
        assert!(
            attempt == 1 && started["lastFailure"].is_null(),
            "{event:#}"
        );
    }
}

#[test]
fn a_rolling_restart_under_load_completes_every_run() {
    const RUNS: usize = 6;
    const RESTARTS: usize = 5;
    let mut workers = workers(&[], 2);
    // Launched by one that outlives the others.
    let launcher = workers[0].beside(ARGUMENTS);
    launcher.stop();
    let runs: Vec<Workflow> = (0..RUNS)
        .map(|_| launcher.launch("two-workers-rolling", &Value::Null))
        .collect();
    for _ in 0..RESTARTS {
        let next = workers[0].beside(ARGUMENTS);
        until_it_serves(&next);
        let last = workers.remove(0);
        assert_eq!(last.stop(), Some(0), "{}", last.logs());
        assert!(last.logs().contains("worker stopped"));
        workers.push(next);
        // Each run goes on.
        for run in &runs {
            let turns = run.query("turns", None);
            run.query_until("turns", |now| now.as_u64() > turns.as_u64());
        }
    }
    for run in &runs {
        run.signal("finish", &Value::Null);
    }
    for run in &runs {
        let result = run.result();
        let turns = result["turns"].as_u64().unwrap();
        let results: Vec<String> = (0..turns).map(|turn| format!("turn {turn}")).collect();
        assert!(turns >= RESTARTS as u64, "{result}");
        assert_eq!(result["results"], json!(results));
        assert_nothing_was_lost(&run.history(None));
        run.assert_replays();
    }
}
