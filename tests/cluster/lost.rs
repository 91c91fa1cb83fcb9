//! Nothing that was acknowledged is lost: signals and updates around continuations, ends and absences of the worker.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::root;
use super::support::until;
use super::support::worker::Worker;

const SIGNALS: i64 = 60;

fn lost(arguments: &[&str]) -> Worker {
    Worker::start(&root().join("tests/cluster/lost"), arguments)
}

/// A stream of signals goes through continuations that come in between, by hand and by themselves.
#[test]
fn signals_around_continuations_all_arrive() {
    let numbers: Vec<i64> = (1..=SIGNALS).collect();
    for cache in ["0", "100"] {
        let worker = lost(&["--max-cached-workflows", cache]);
        let input = json!({ "seen": [], "rounds": 30, "total": SIGNALS, "round": 1 });
        let runs: Vec<_> = ["lost-handler", "lost-wait", "lost-automatic"]
            .map(|name| (name, worker.launch(name, &input)))
            .into();
        for number in &numbers {
            runs.iter()
                .for_each(|(_, run)| run.signal("add", &json!(number)));
        }
        for (name, run) in &runs {
            assert_eq!(run.result(), json!(numbers), "{name}, cache {cache}");
            run.assert_no_task_failed();
            run.assert_replays();
        }
    }
}

/// Signals that came before the worker, for a `wait` that takes only some of them before the run continues as new.
#[test]
fn signals_that_nothing_has_taken_go_along() {
    let worker = lost(&[]);
    worker.kill();
    let unclaimed = worker.launch("lost-unclaimed", &json!({ "round": 1 }));
    let batch = worker.launch("batch", &json!({ "done": [] }));
    (1..=5).for_each(|number| batch.signal("job", &json!(number)));
    unclaimed.signal("add", &json!(7));
    worker.begin();
    assert_eq!(batch.result(), json!([1, 2, 3, 4, 5]));
    assert_eq!(unclaimed.result(), json!("got 7"));
    for run in [batch, unclaimed] {
        run.assert_no_task_failed();
        run.assert_replays();
    }
}

/// They go along to another workflow type as well, as far as there is room for them.
#[test]
fn signals_go_along_to_another_type_within_the_bound_of_a_payload() {
    let worker = lost(&[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("input.json");
    std::fs::write(&file, json!("x".repeat(900_000)).to_string()).unwrap();
    for large in [false, true] {
        let run = worker.launch("lost-as-another", &Value::Null);
        for number in 1..=3 {
            match large {
                true => {
                    let input = ["--input-file", file.to_str().unwrap()];
                    let signal = [&["signal", &run.id, "job"][..], &input].concat();
                    worker.cluster.segno(&signal).ok();
                }
                false => run.signal("job", &json!(number)),
            }
        }
        run.signal("go", &Value::Null);
        if large {
            let failure = run.end()["failure"].clone();
            assert_eq!(failure["type"], "PayloadSizeExceeded", "{failure:#}");
            let message = failure["message"].as_str().unwrap();
            assert!(
                message.contains("signals that no step has taken"),
                "{message}"
            );
        } else {
            assert_eq!(run.result(), json!([1, 2, 3]));
        }
        run.assert_no_task_failed();
        run.assert_replays();
    }
}

/// What an update answered is in the state of the continuation.
#[test]
fn an_update_that_was_answered_is_in_the_next_run() {
    let worker = lost(&[]);
    let run = worker.launch("canupd", &json!({ "balance": 100, "round": 0 }));
    std::thread::scope(|scope| {
        let deposit = scope.spawn(|| run.update("deposit", &json!(50)));
        until("the update's acceptance", || {
            let events = run.history(Some(&run.run_id));
            let accepted = "EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED";
            events
                .iter()
                .any(|e| e["eventType"] == accepted)
                .then_some(())
        });
        run.signal("month_over", &Value::Null);
        assert_eq!(deposit.join().unwrap(), Ok(json!(150)));
    });
    run.query_until("balance", |balance| *balance == json!(150));
    let rounds = run.histories();
    assert_eq!(rounds.len(), 2);
    run.assert_replays();
    worker.cluster.segno(&["terminate", &run.id]).ok();
}

/// The example of a subscription, cancelled while its worker is away at a month's end.
#[test]
fn a_cancellation_that_came_before_the_month_ended_counts() {
    let worker = Worker::of_examples(&[]);
    let input = json!({ "customer": "ada", "amount": 10, "period": "4s", "months": 3 });
    let run = worker.launch("subscription", &input);
    until("the first month", || {
        let events = run.history(Some(&run.run_id));
        let timer = "EVENT_TYPE_TIMER_STARTED";
        events.iter().any(|e| e["eventType"] == timer).then_some(())
    });
    worker.kill();
    run.signal("cancel", &Value::Null);
    std::thread::sleep(Duration::from_secs(5));
    worker.begin();
    let result = run.result();
    assert_eq!(run.histories().len(), 1, "{result}");
    run.assert_replays();
}
