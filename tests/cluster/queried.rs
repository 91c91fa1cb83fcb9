//! Queries that a worker gets with events that no workflow task has brought yet.

use serde_json::json;

use super::support::worker::{Worker, count};
use super::support::{root, until};

/// The query waits for the worker that was killed, for as long as this, and then goes to the next one, with the deadline that has passed meanwhile.
const STICKY_TIMEOUT: &str = "4s";

#[test]
fn a_query_shows_a_run_no_events_ahead_of_its_workflow_task() {
    let arguments = ["--sticky-queue-schedule-to-start-timeout", STICKY_TIMEOUT];
    let worker = Worker::start(&root().join("tests/cluster/queried"), &arguments);
    let run = worker.launch("queried", &json!(null));
    let until_there_is = |event_type: &str| {
        until(event_type, || {
            (count(&run.history(None), event_type) > 0).then_some(())
        });
    };
    until_there_is("EVENT_TYPE_ACTIVITY_TASK_SCHEDULED");
    worker.kill();
    std::thread::scope(|scope| {
        let query = scope.spawn(|| run.query("is_late", None));
        until_there_is("EVENT_TYPE_TIMER_FIRED");
        worker.begin();
        assert_eq!(query.join().unwrap(), json!(false));
    });
    run.signal("note", &json!("in time"));
    assert_eq!(run.result(), json!(["in time"]));
    run.assert_no_task_failed();
    run.assert_replays();
}
