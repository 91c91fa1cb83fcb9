//! Simulated runs a second on one core for the order example, a workflow of 10,000 steps, and all tests of the examples.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use segno::registry::{Entry, Registry, read_folder};
use segno::simulator::{
    ActivityTask, Attempt, ChildTask, NexusTask, Outside, Setup, Simulator, Start, Status,
};
use segno::value::{Duration, Payload, Timestamp, Value, parse_json};
use segno::worker::ProgramCache;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ORDER: &str = r#"{"order_id": "o-1", "items": [{"sku": "pen", "price": 2.5, "quantity": 4}, {"sku": "cup", "price": 10, "quantity": 1}]}"#;
const STEPS: usize = 10_000;
/// Runs of one simulation: its agenda and its histories grow with them.
const RUNS_AT_ONCE: usize = 100;

struct Answers;

impl Outside for Answers {
    fn activity(&mut self, task: &ActivityTask) -> Attempt {
        let answer = match task.activity_type.as_str() {
            "charge_card" => r#"{"receipt": "r-1"}"#,
            "pick" => r#"{"sku": "pen", "shelf": "A1"}"#,
            _ => "null",
        };
        Attempt::ends(Duration::from_seconds(1), Ok(json(answer)))
    }

    fn child(&mut self, _: &ChildTask) -> Option<Attempt> {
        let tracking = json(r#"{"tracking": "T-7"}"#);
        Some(Attempt::ends(Duration::from_seconds(60), Ok(tracking)))
    }

    fn nexus(&mut self, _: &NexusTask) -> Attempt {
        Attempt::ends(Duration::ZERO, Ok(Value::Null))
    }
}

fn json(text: &str) -> Value {
    parse_json(text.as_bytes()).expect("it is JSON")
}

fn definitions(folder: &Path) -> Arc<dyn Registry> {
    let found = read_folder(folder)
        .expect("the folder is there")
        .definitions
        .into_iter();
    let entries = found.map(|(name, (entry, _))| (name, entry));
    Arc::new(entries.collect::<BTreeMap<String, Entry>>())
}

/// The number of events of all histories.
fn simulate(
    registry: &Arc<dyn Registry>,
    programs: &Arc<ProgramCache>,
    name: &str,
    input: &str,
    runs: usize,
) -> usize {
    let setup = Setup {
        start_time: Timestamp::default(),
        namespace: "bench".into(),
        task_queue: "bench".into(),
        ids: 0,
    };
    let mut simulator =
        Simulator::new(setup, registry.clone(), programs.clone(), Box::new(Answers));
    for number in 0..runs {
        let start = Start {
            workflow_type: name.into(),
            workflow_id: format!("run-{number}"),
            input: vec![Payload::from_value(&json(input)).expect("JSON")],
            ..Start::default()
        };
        simulator.start(start).expect("it starts");
    }
    while simulator.step() {}
    let all: Vec<_> = simulator.runs().collect();
    for run in &all {
        assert_eq!(
            simulator.status(*run),
            Status::Completed,
            "{:?}",
            simulator.outcome(*run)
        );
    }
    all.iter().map(|run| simulator.history(*run).len()).sum()
}

fn main() {
    let runs: usize = std::env::args()
        .nth(1)
        .map_or(20_000, |text| text.parse().expect("a number"));
    let registry = definitions(Path::new("workflows"));
    let programs = Arc::new(ProgramCache::new(registry.clone()));
    simulate(
        &registry,
        &programs,
        "order-fulfilment",
        ORDER,
        RUNS_AT_ONCE,
    );
    let begun = Instant::now();
    let mut events = 0;
    for _ in 0..runs / RUNS_AT_ONCE {
        events += simulate(
            &registry,
            &programs,
            "order-fulfilment",
            ORDER,
            RUNS_AT_ONCE,
        );
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "the order example: {:.0} runs a second on one core, {:.0} events a second, {} events a run",
        runs as f64 / seconds,
        events as f64 / seconds,
        events / runs.max(1)
    );

    let folder = std::env::temp_dir().join(format!("segno-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let text = format!(
        "segno: 1\nworkflow: long\nstate: {{ n: 0 }}\nsteps:\n  - for_each: ${{ lists.range({}) }}\n    as: i\n    do:\n      \
         - activity: next\n        start_to_close_timeout: 1m\n      - set: {{ n: \"${{ state.n + 1 }}\" }}\n  - return: ${{ state.n }}\n",
        STEPS / 2
    );
    std::fs::write(folder.join("long.yaml"), text).expect("a file");
    let registry = definitions(&folder);
    let programs = Arc::new(ProgramCache::new(registry.clone()));
    let begun = Instant::now();
    let events = simulate(&registry, &programs, "long", "null", 1);
    println!(
        "a workflow of {STEPS} steps: {:.3} s, {events} events",
        begun.elapsed().as_secs_f64()
    );
    std::fs::remove_dir_all(&folder).expect("it was made");
    examples();
}

/// All tests of the examples, as an author runs them.
fn examples() {
    let begun = Instant::now();
    let mut command = std::process::Command::new("target/release/segno");
    let tested = command.args(["test", "workflows"]).output().expect("segno");
    let seconds = begun.elapsed().as_secs_f64();
    let told = String::from_utf8_lossy(&tested.stdout);
    assert!(tested.status.success(), "{told}");
    let count = told.lines().last().unwrap_or_default();
    println!("`segno test workflows`: {seconds:.3} s, {count}");
}
