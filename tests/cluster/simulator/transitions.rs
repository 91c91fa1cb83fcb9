//! The rows of the worker's state machines: each is taken by some case of the step tests, or by one of these, which no server could
//! be brought to in time.

use std::sync::Arc;

use segno::engine::failure::Failure;
use segno::simulator::{
    ActivityTask, Attempt, End, NexusTask, OnCancel, Outside, Simulator, Start, Status,
};
use segno::value::{Duration, Value, to_json_string};

use super::simulated::{definitions, simulator, some_time};
use super::support::root;

/// What comes between two workflow tasks.
const SIGNAL: &str = "stop";
const STEPS_MAX: usize = 1_000;

/// A workflow that a signal reaches so late that its last workflow task is refused.
const AGAIN: &str = "transitions-local-again";
const AGAIN_AFTER: Duration = Duration {
    seconds: 17,
    nanos: 0,
};

/// Each workflow, and the number of signals that it gets before anything that is due happens.
const WORKFLOWS: [(&str, usize); 13] = [
    ("transitions-withdrawn", 0),
    ("transitions-initiated-try", 1),
    ("transitions-initiated-wait", 1),
    ("transitions-initiated-abandon", 1),
    ("transitions-activity-withdrawn", 0),
    ("transitions-activity-left", 0),
    ("transitions-local-abandoned", 0),
    ("transitions-local-abandoned-long", 0),
    ("transitions-nexus-withdrawn", 0),
    ("transitions-nexus-scheduled", 1),
    ("transitions-nexus-started", 0),
    ("transitions-nexus-completes", 1),
    ("transitions-nexus-fails", 1),
];

/// Workflows whose child is cut off by a deadline and by a cancellation in one workflow task.
const CANCELLED_TWICE: [&str; 2] = ["transitions-initiated-twice", "transitions-withdrawn-twice"];

/// Simulates all of them on this thread, which keeps count of the rows that it takes.
pub fn take_the_rest() {
    let mut again = led(AGAIN, 0);
    again.run_until(some_time().checked_add(AGAIN_AFTER).unwrap());
    again.signal(AGAIN, SIGNAL, Vec::new()).unwrap();
    let led = WORKFLOWS.map(|(workflow, signals)| (workflow, led(workflow, signals)));
    let twice = CANCELLED_TWICE.map(|workflow| (workflow, cancelled_twice(workflow)));
    let all = led.into_iter().chain(twice).chain([(AGAIN, again)]);
    for (workflow, mut simulator) in all {
        assert!(simulator.run_until_idle(STEPS_MAX), "{workflow} ends");
        let run = simulator.current(workflow).unwrap();
        assert_eq!(simulator.task_failure(run), None, "{workflow}");
        assert_ne!(simulator.status(run), Status::Running, "{workflow}");
        assert_eq!(simulator.replays(), [], "{workflow}");
    }
}

/// The rows that this thread has not taken.
pub fn untaken() -> Vec<String> {
    let rows = segno::simulator::transitions().into_iter();
    let untaken = rows.filter(|row| !row.is_taken);
    untaken.map(|row| row.text).collect()
}

fn led(workflow: &str, signals: usize) -> Simulator {
    let mut simulator = held(workflow);
    for _ in 0..signals {
        simulator.signal(workflow, SIGNAL, Vec::new()).unwrap();
        while simulator.take_task() {}
    }
    simulator.release_tasks();
    simulator
}

fn cancelled_twice(workflow: &str) -> Simulator {
    let mut simulator = held(workflow);
    simulator.signal(workflow, SIGNAL, Vec::new()).unwrap();
    assert!(simulator.take_where(|due| due.what.contains("timer")));
    simulator.cancel(workflow, "enough").unwrap();
    simulator.release_tasks();
    simulator
}

/// After the first workflow task; the next ones wait.
fn held(workflow: &str) -> Simulator {
    let folder = root().join("tests/simulator/transitions");
    let registry = Arc::new(definitions(&folder));
    let mut simulator = simulator(some_time(), "QUEUE", registry, Fate);
    simulator.hold_tasks();
    let start = Start {
        workflow_type: workflow.to_owned(),
        workflow_id: workflow.to_owned(),
        ..Start::default()
    };
    simulator.start(start).unwrap();
    while simulator.take_task() {}
    simulator
}

struct Fate;

impl Outside for Fate {
    /// `exec` takes as many seconds as its command says, all others take ten.
    fn activity(&mut self, task: &ActivityTask) -> Attempt {
        let request = task.input.first().and_then(|input| input.decode().ok());
        let request = request.and_then(|request| to_json_string(&request).ok());
        let says = |seconds: &i64| {
            let command = format!("\"{seconds}\"");
            request
                .as_ref()
                .is_some_and(|request| request.contains(&command))
        };
        let seconds = [5, 15, 20].into_iter().find(says);
        let mut attempt = Attempt::ends(
            Duration::from_seconds(seconds.unwrap_or(10)),
            Ok(Value::Null),
        );
        attempt.on_cancel = OnCancel::Ignore;
        attempt
    }

    fn nexus(&mut self, task: &NexusTask) -> Attempt {
        let second = Duration::from_seconds(1);
        let sync = |result| Attempt {
            picked_up_after: None,
            heartbeats: Vec::new(),
            end: End::After(second, result),
            on_cancel: OnCancel::Ignore,
        };
        match task.operation.as_str() {
            "sync-slow" => sync(Ok(Value::from("completed"))),
            "sync-fails" => sync(Err(Failure::application("Refused", "not today"))),
            _ => Attempt {
                picked_up_after: Some(second),
                heartbeats: Vec::new(),
                end: End::Never,
                on_cancel: OnCancel::Cancels {
                    after: Duration::from_seconds(5),
                    details: Vec::new(),
                },
            },
        }
    }
}
