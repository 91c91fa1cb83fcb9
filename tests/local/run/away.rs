//! What a server does while no worker is there, and what waits for one.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use segno::registry::read_folder;
use segno::simulator::{
    ActivityTask, Attempt, AttemptKey, End, NexusTask, OnCancel, Outside, Setup, Simulator, Start,
    WorkerProcess,
};
use segno::value::{Duration, Timestamp, Value};
use segno::worker::ProgramCache;

/// Attempts as they begin; they end when the test says so.
#[derive(Clone, Default)]
struct Attempts(Arc<Mutex<Vec<(Timestamp, AttemptKey)>>>);

impl Outside for Attempts {
    fn activity(&mut self, task: &ActivityTask) -> Attempt {
        self.0.lock().unwrap().push((task.now, task.key()));
        Attempt {
            picked_up_after: Some(Duration::ZERO),
            heartbeats: Vec::new(),
            end: End::FromOutside,
            on_cancel: OnCancel::Ignore,
        }
    }

    fn nexus(&mut self, _: &NexusTask) -> Attempt {
        unreachable!("no case has a Nexus operation")
    }
}

/// What a process does, at a second from the start.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// The process that began goes on.
    On(i64),
    /// It does so after it stood still for so many of the seconds.
    Paused(i64, i64),
    /// Another process takes over.
    Another(i64),
    /// The newest attempt ends.
    Ends(i64),
}
use Act::{Another, Ends, On, Paused};

fn start() -> Timestamp {
    Timestamp::parse("2026-01-01T00:00:00Z").unwrap()
}

fn at(seconds: i64) -> Timestamp {
    start()
        .checked_add(Duration::from_seconds(seconds))
        .unwrap()
}

fn seconds(at: Timestamp) -> i64 {
    at.since(start()).unwrap().seconds
}

/// Events of interest and attempts, with their seconds.
fn lines(steps: &str, acts: &[Act]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "segno: 1\nworkflow: main\nsteps:\n{steps}---\nsegno: 1\nworkflow: part\nsteps:\n  - timer: 5s\n"
    );
    std::fs::write(folder.path().join("main.yaml"), text).unwrap();
    let found = read_folder(folder.path()).unwrap().definitions.into_iter();
    let registry: std::collections::BTreeMap<_, _> =
        found.map(|(name, (entry, _))| (name, entry)).collect();
    assert_eq!(registry.len(), 2, "{steps}");
    let registry = Arc::new(registry);
    let attempts = Attempts::default();
    let setup = Setup {
        start_time: start(),
        namespace: "local".to_owned(),
        task_queue: "local".to_owned(),
        ids: 0,
    };
    let programs = Arc::new(ProgramCache::new(registry.clone()));
    let mut simulator = Simulator::new(setup, registry, programs, Box::new(attempts.clone()));
    let begun = Start {
        workflow_type: "main".to_owned(),
        workflow_id: "main".to_owned(),
        run_timeout: Some(Duration::from_seconds(5000)),
        ..Start::default()
    };
    simulator.start(begun).unwrap();
    for act in [On(0)].iter().chain(acts) {
        let (then, process) = match *act {
            On(then) | Ends(then) => (
                then,
                WorkerProcess::Same {
                    paused: Duration::ZERO,
                },
            ),
            Paused(then, paused) => {
                let paused = Duration::from_seconds(paused);
                (then, WorkerProcess::Same { paused })
            }
            Another(then) => (then, WorkerProcess::Another),
        };
        simulator.worker_acts(at(then), process);
        if let Ends(_) = act {
            let newest = attempts.0.lock().unwrap().last().unwrap().1.clone();
            assert!(
                simulator.end_attempt(&newest, Ok(Value::Null)),
                "{steps} {acts:?}"
            );
        }
    }
    shown(&simulator, &attempts)
}

fn shown(simulator: &Simulator, attempts: &Attempts) -> String {
    let mut shown = Vec::new();
    for run in simulator.runs() {
        for event in simulator.history(run) {
            let time = event.event_time.as_ref().unwrap();
            let name = event.event_type().as_str_name();
            let name = name.trim_start_matches("EVENT_TYPE_");
            let is_of_interest = ["TIMER_FIRED", "TIMED_OUT", "_COMPLETED", "_FAILED"];
            if is_of_interest.iter().any(|end| name.ends_with(end)) {
                let since = time.seconds - start().seconds;
                shown.push((since, format!("{}:{name}", simulator.workflow_type(run))));
            }
        }
    }
    for (at, key) in attempts.0.lock().unwrap().iter() {
        shown.push((seconds(*at), format!("attempt {}", key.attempt)));
    }
    shown.sort_by_key(|(at, _)| *at);
    let mut text = String::new();
    for (at, what) in shown {
        let what = what.replace("main:", "").to_lowercase();
        if at > 0 || !what.starts_with("workflow_task") {
            writeln!(text, "{at} {what}").unwrap();
        }
    }
    text
}

const ACTIVITY: &str = "  - { exec: { command: x }, start_to_close_timeout: 10s OPTIONS }\n";

fn activity(options: &str) -> String {
    ACTIVITY.replace("OPTIONS", options)
}

#[test]
fn clocks_go_on_while_no_worker_is_there_and_what_they_make_due_waits() {
    let after_timer = format!("  - timer: 60s\n{}", activity(""));
    let deadline = format!(
        "  - try:\n      - do:\n        {}        timeout: 20s\n    catch:\n      - error: timeout\n        do: []\n",
        activity("")
    );
    let cases: &[(&str, &[Act], &str)] = &[
        // The timer fires on time; the step after it begins with the process.
        (
            &after_timer,
            &[Another(3600), Ends(3605)],
            "60 timer_fired\n3600 workflow_task_completed\n3600 attempt 1\n3605 activity_task_completed\n\
             3605 workflow_task_completed\n3605 workflow_execution_completed\n",
        ),
        // A process that is only late is no other than one that was away.
        (
            &after_timer,
            &[On(3600), On(3605)],
            "60 timer_fired\n3600 workflow_task_completed\n3600 attempt 1\n",
        ),
        // The attempt times out on time, and one that follows waits for a process.
        (
            &activity(""),
            &[Another(3600)],
            "0 attempt 1\n3600 attempt 2\n",
        ),
        // It waits only as long as it may.
        (
            &activity(", schedule_to_start_timeout: 5s"),
            &[Another(3600)],
            "0 attempt 1\n16 activity_task_timed_out\n3600 workflow_task_completed\n3600 workflow_execution_failed\n",
        ),
        (
            &activity(", schedule_to_close_timeout: 30s"),
            &[Another(3600)],
            "0 attempt 1\n30 activity_task_timed_out\n3600 workflow_task_completed\n3600 workflow_execution_failed\n",
        ),
        (
            &activity(", heartbeat_timeout: 5s, retry_policy: { maximum_attempts: 1 }"),
            &[Another(3600)],
            "0 attempt 1\n5 activity_task_timed_out\n3600 workflow_task_completed\n3600 workflow_execution_failed\n",
        ),
        // Whoever takes over before the timeout knows that the attempt is lost.
        (
            &activity(""),
            &[Another(3), On(5), Ends(6)],
            "0 attempt 1\n5 attempt 2\n6 activity_task_completed\n6 workflow_task_completed\n6 workflow_execution_completed\n",
        ),
        (
            &activity(", retry_policy: { maximum_attempts: 1 }"),
            &[Another(3)],
            "0 attempt 1\n3 activity_task_timed_out\n3 workflow_task_completed\n3 workflow_execution_failed\n",
        ),
        // A process that stood still has its attempts still, and their time goes on from there.
        (
            &activity(""),
            &[Paused(3600, 3595), On(3604)],
            "0 attempt 1\n",
        ),
        (
            &activity(", retry_policy: { maximum_attempts: 1 }"),
            &[Paused(3600, 3595), On(3606)],
            "0 attempt 1\n3605 activity_task_timed_out\n3606 workflow_task_completed\n3606 workflow_execution_failed\n",
        ),
        (
            &activity(", heartbeat_timeout: 5s"),
            &[Paused(3600, 3597), Ends(3601)],
            "0 attempt 1\n3601 activity_task_completed\n3601 workflow_task_completed\n3601 workflow_execution_completed\n",
        ),
        // A deadline goes on, and the step that it ends begins no further attempt.
        (
            &deadline,
            &[Another(3600)],
            "0 attempt 1\n20 timer_fired\n3600 workflow_task_completed\n3600 workflow_execution_completed\n",
        ),
        // The run has its own time.
        (
            &activity(", schedule_to_close_timeout: 1h"),
            &[Another(6000)],
            "0 attempt 1\n3600 activity_task_timed_out\n5000 workflow_execution_timed_out\n",
        ),
        // A child's steps wait, too.
        (
            "  - timer: 60s\n  - child: part\n",
            &[Another(3600), On(3610)],
            "60 timer_fired\n3600 workflow_task_completed\n3600 workflow_task_completed\n3600 part:workflow_task_completed\n\
             3605 part:timer_fired\n3610 child_workflow_execution_completed\n3610 workflow_task_completed\n\
             3610 workflow_execution_completed\n3610 part:workflow_task_completed\n3610 part:workflow_execution_completed\n",
        ),
        // Local activities have the time of their worker only; the task that they hold open is begun anew.
        (
            &activity(", local: true"),
            &[Another(3600), On(3602), Ends(3603)],
            "0 attempt 1\n3600 workflow_task_completed\n3602 attempt 2\n3603 workflow_task_completed\n3603 workflow_execution_completed\n",
        ),
        (
            &activity(", local: true, schedule_to_close_timeout: 20s"),
            &[Paused(3600, 3598), Ends(3605)],
            "0 attempt 1\n3600 workflow_task_completed\n3605 workflow_task_completed\n3605 workflow_execution_completed\n",
        ),
    ];
    let mut wrong = String::new();
    for (steps, acts, expected) in cases {
        let lines = lines(steps, acts);
        if lines != *expected {
            writeln!(wrong, "{steps} {acts:?}\n{lines}and not\n{expected}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
