//! What happened first in history decides, whatever comes with the same workflow task and however the branches are written: a signal
//! beside a timer, a deadline, the end of an activity or child, or a cancellation, and any two of these, all while no worker is there.

use serde_json::{Value, json};

use super::support::root;
use super::support::until;
use super::support::worker::{Worker, Workflow};

const SIGNAL: &str = "EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED";

/// The events of what the signal is beside.
const OTHERS: [&str; 4] = [
    "EVENT_TYPE_TIMER_FIRED",
    "EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT",
    "EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT",
    "EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED",
];

fn workflow_types(text: &str) -> Vec<String> {
    let lines = text.lines();
    let types = lines.filter_map(|line| line.strip_prefix("workflow: "));
    let types = types.filter(|name| *name != "order-nobody");
    types.map(str::to_owned).collect()
}

fn place(events: &[Value], is_it: impl Fn(&str) -> bool) -> Option<usize> {
    let kind = |event: &Value| event["eventType"].as_str().is_some_and(&is_it);
    events.iter().position(kind)
}

fn has_other(run: &Workflow<'_>) -> bool {
    place(&run.history(None), |kind| OTHERS.contains(&kind)).is_some()
}

/// What won, what was first in history, and the history.
fn winner(run: &Workflow<'_>) -> (Value, &'static str, Vec<Value>) {
    let result = run.result();
    let events = run.history(None);
    let signal = place(&events, |kind| kind == SIGNAL).unwrap();
    let other = place(&events, |kind| OTHERS.contains(&kind)).unwrap();
    let first = if signal < other { "signal" } else { "other" };
    run.assert_no_task_failed();
    (result, first, events)
}

#[test]
fn what_happened_first_in_history_wins() {
    let folder = root().join("tests/cluster/order");
    let types = workflow_types(&std::fs::read_to_string(folder.join("pairs.yaml")).unwrap());
    for cache in ["0", "100"] {
        let worker = Worker::start(&folder, &["--max-cached-workflows", cache]);
        let launch = |t: &String| (t.clone(), worker.launch(t, &Value::Null));
        let [early, late]: [Vec<_>; 2] = [0, 1].map(|_| types.iter().map(launch).collect());
        let all = || early.iter().chain(&late);
        for (_, run) in all() {
            until("the first workflow task", || {
                let events = run.history(None);
                place(&events, |kind| kind == "EVENT_TYPE_WORKFLOW_TASK_COMPLETED")
            });
        }
        worker.kill();
        early.iter().for_each(|(_, run)| run.signal("s", &json!(1)));
        for (name, run) in all() {
            if name == "order-cancellation" {
                worker.cluster.segno(&["cancel", &run.id]).ok();
            }
            until("the other event", || has_other(run).then_some(()));
        }
        late.iter().for_each(|(_, run)| run.signal("s", &json!(1)));
        worker.begin();
        let mut firsts = Vec::new();
        let histories = tempfile::tempdir().unwrap();
        for (name, run) in all() {
            let (result, first, events) = winner(run);
            let file = histories.path().join(format!("{}.json", run.id));
            std::fs::write(file, json!({ "events": events }).to_string()).unwrap();
            assert_eq!(result, json!(first), "{name}, cache {cache}: {}", run.id);
            firsts.push(first);
        }
        for first in ["signal", "other"] {
            let count = firsts.iter().filter(|f| **f == first).count();
            assert!(count > types.len() / 2, "{first} was first {count} times");
        }
        let folder = histories.path().to_str().unwrap();
        worker.cluster.segno(&["replay", "--file", folder]).ok();
    }
}

/// What ends by itself after a time.
const ENDS: [(&str, &str); 5] = [
    ("timer", "timer: AFTER"),
    (
        "activity",
        "try: [{ activity: nobody, task_queue: nobody-serves-this, schedule_to_start_timeout: AFTER, start_to_close_timeout: 60s }], catch: [{ do: [] }]",
    ),
    (
        "child",
        "try: [{ child: order-nobody, task_queue: nobody-serves-this, workflow_run_timeout: AFTER }], catch: [{ do: [] }]",
    ),
    (
        "deadline",
        "try: [{ do: [{ wait: { signal: s } }], timeout: AFTER }], catch: [{ do: [] }]",
    ),
    (
        "wait",
        "wait: { signal: s, timeout: AFTER }, on_timeout: []",
    ),
];

/// Each with each other, in both orders of writing: the names of what ends first and a definition.
fn pairs_of_ends() -> Vec<(&'static str, String, String)> {
    let mut pairs = Vec::new();
    for (first, early) in ENDS {
        for (second, late) in ENDS.into_iter().filter(|(name, _)| *name != first) {
            let branch = |name: &str, step: &str, after: &str| {
                format!("      {name}: [{{ {} }}]\n", step.replace("AFTER", after))
            };
            let early = branch(first, early, "40s");
            let late = branch(second, late, "43s");
            for (order, branches) in [early.clone() + &late, late.clone() + &early]
                .iter()
                .enumerate()
            {
                let name = format!("order-{first}-{second}-{order}");
                let definition = format!(
                    "segno: 1\nworkflow: {name}\nsteps:\n  - id: r\n    race:\n{branches}  - return: ${{ r.winner }}\n"
                );
                pairs.push((first, name, definition));
            }
        }
    }
    pairs
}

#[test]
fn of_two_ends_the_first_in_history_wins() {
    let pairs = pairs_of_ends();
    let folder = tempfile::tempdir().unwrap();
    for (_, name, definition) in &pairs {
        std::fs::write(folder.path().join(format!("{name}.yaml")), definition).unwrap();
    }
    let worker = Worker::start(folder.path(), &["--max-cached-workflows", "0"]);
    let runs: Vec<_> = pairs
        .iter()
        .map(|(first, name, _)| (first, name, worker.launch(name, &Value::Null)))
        .collect();
    let ended = |run: &Workflow<'_>| {
        let events = run.history(None);
        events
            .iter()
            .filter(|e| OTHERS.iter().any(|kind| e["eventType"] == *kind))
            .count()
    };
    for (_, _, run) in &runs {
        until("the first workflow task", || {
            let events = run.history(None);
            place(&events, |kind| kind == "EVENT_TYPE_WORKFLOW_TASK_COMPLETED")
        });
    }
    worker.kill();
    for (_, name, run) in &runs {
        until(&format!("both ends of {name}"), || {
            (ended(run) == 2).then_some(())
        });
    }
    worker.begin();
    for (first, name, run) in &runs {
        assert_eq!(run.result(), json!(first), "{name}: {}", run.id);
        run.assert_no_task_failed();
        run.assert_replays();
    }
}
