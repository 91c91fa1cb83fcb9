//! A definition in a simulation, with signals, updates, cancellation and orders of delivery that a seed decides.

use std::collections::BTreeMap;
use std::sync::Arc;

use segno::bundle::{Bundle, BundleFile, Versions};
use segno::engine::failure::Failure;
use segno::engine::job::EncodedBundle;
use segno::registry::{Entry, Registry, load};
use segno::simulator::{
    ActivityTask, Attempt, End, NexusTask, OnCancel, Outside, Setup, Simulator, Start, Status,
};
use segno::value::{Duration, Payload, Timestamp, Value};
use segno::worker::ProgramCache;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;

use super::generate::Random;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worker {
    Lives,
    DiesAndReplays,
    DiesAndRestores,
}

pub struct Delivered {
    /// A line an event.
    pub story: Vec<String>,
    pub is_over: bool,
}

const STEPS_MAX: usize = 3_000;
const ID: &str = "random";

pub fn deliver(text: &str, seed: u64, worker: Worker) -> Result<Delivered, String> {
    let mut entries = BTreeMap::new();
    for (document, name) in [ID, "random-child"].into_iter().enumerate() {
        entries.insert(name.to_owned(), packed(text, name, document as u32)?);
    }
    let registry: Arc<dyn Registry> = Arc::new(entries);
    let setup = Setup {
        start_time: Timestamp::default(),
        namespace: "default".to_owned(),
        task_queue: "random".to_owned(),
        ids: 0,
    };
    let programs = Arc::new(ProgramCache::new(registry.clone()));
    let mut simulator = Simulator::new(setup, registry, programs, Box::new(Fate(seed)));
    let started = simulator.start(Start {
        workflow_type: ID.to_owned(),
        workflow_id: ID.to_owned(),
        input: vec![
            Payload::from_value(&Value::map(Default::default())).map_err(|e| e.to_string())?,
        ],
        execution_timeout: Duration::parse("1h").ok(),
        ..Start::default()
    });
    started.map_err(|e| e.to_string())?;
    let mut random = Random(seed ^ 0xD1CE);
    let mut steps = 0;
    while simulator.status(simulator.current(ID).ok_or("it is not there")?) == Status::Running {
        check(&mut simulator, worker)?;
        outside(&mut simulator, &mut random);
        let count = simulator.due().len() as u64;
        if count == 0 || steps == STEPS_MAX {
            break;
        }
        let index = random.below(count);
        simulator.take(index as usize);
        steps += 1;
    }
    check(&mut simulator, worker)?;
    let diverged = simulator.replays();
    if let Some((_, divergence)) = diverged.first() {
        return Err(format!("its history does not replay: {divergence}"));
    }
    let runs: Vec<_> = simulator.runs().collect();
    let mut story = Vec::new();
    for run in &runs {
        let events = simulator.history(*run).iter();
        story.extend(events.map(line));
    }
    let last = simulator.current(ID).ok_or("it is not there")?;
    Ok(Delivered {
        story,
        is_over: simulator.status(last) != Status::Running,
    })
}

/// Protobuf's maps have no order: what holds one is told by its type and time.
fn line(event: &HistoryEvent) -> String {
    let name = event.event_type().as_str_name();
    let time = event.event_time.unwrap_or_default();
    let has_maps = ["Memo", "Header", "details: {", "metadata: {"];
    let text = format!("{:?}", event.attributes);
    match has_maps.iter().any(|map| text.contains(map)) {
        true => format!("{name} at {time:?}, {} characters", text.len()),
        false => format!("{name} at {time:?}: {text}"),
    }
}

fn packed(text: &str, workflow: &str, document: u32) -> Result<Entry, String> {
    let file = BundleFile {
        path: "random.yaml".into(),
        text: text.into(),
    };
    let bundle = Bundle::from_files(workflow, Versions::NEWEST, file, document, Vec::new());
    let bundle = bundle.map_err(|e| e.to_string())?;
    let bytes = bundle.encode().map_err(|e| e.to_string())?;
    let loaded = load(&bytes)?;
    let bundle = Arc::new(EncodedBundle {
        digest: loaded.bundle.digest.clone(),
        version: String::new(),
        bytes,
    });
    Ok(Entry { loaded, bundle })
}

fn check(simulator: &mut Simulator, worker: Worker) -> Result<(), String> {
    match worker {
        Worker::Lives => {}
        Worker::DiesAndReplays => {
            if let Some((_, divergence)) = simulator.replay_all().first() {
                return Err(divergence.to_string());
            }
        }
        Worker::DiesAndRestores => simulator.restore_all()?,
    }
    for run in simulator.runs() {
        if let Some(failure) = simulator.task_failure(run) {
            return Err(format!("a workflow task failed: {failure}"));
        }
    }
    Ok(())
}

/// What clients do; that it comes too late is no mistake.
fn outside(simulator: &mut Simulator, random: &mut Random) {
    let number = |n: u64| {
        Payload::from_value(&Value::from(n as i64))
            .into_iter()
            .collect::<Vec<_>>()
    };
    let _ = match random.below(40) {
        0 | 1 => simulator.signal(ID, "poke", Vec::new()),
        2 => simulator.signal(ID, "tell", number(3)),
        3 => simulator.signal(ID, "note", number(4)),
        4 => simulator.signal(ID, "unknown", Vec::new()),
        5 | 6 => simulator
            .update(ID, "add", number(random.below(15)), None)
            .map(|_| ()),
        7 => simulator.query(ID, "n", Vec::new()).map(|_| ()),
        8 if random.below(6) == 0 => simulator.cancel(ID, "enough"),
        _ => Ok(()),
    };
}

/// Answers by the name, the attempt and the seed.
struct Fate(u64);

impl Outside for Fate {
    fn activity(&mut self, task: &ActivityTask) -> Attempt {
        let mut random = Random(self.0 ^ task.scheduled as u64 ^ u64::from(task.attempt) << 32);
        let failure = || Failure::application("Flaky", "not this time");
        let (seconds, result) = match task.activity_type.as_str() {
            "quick" => (0, Ok(Value::from(1))),
            "slow" => (random.below(7) as i64, Ok(Value::from(2))),
            "flaky" if random.below(2) == 0 => (1, Err(failure())),
            "flaky" => (1, Ok(Value::from(3))),
            _ => (random.below(2) as i64, Err(failure())),
        };
        let mut attempt = Attempt::ends(Duration::from_seconds(seconds), result);
        attempt.picked_up_after = match random.below(20) {
            0 => Some(Duration::from_seconds(1)),
            _ => Some(Duration::ZERO),
        };
        if random.below(10) == 0 {
            attempt.end = End::Never;
        }
        attempt.on_cancel = match random.below(3) {
            0 => OnCancel::Ignore,
            1 => OnCancel::Ends {
                after: Duration::from_seconds(1),
                result: Ok(Value::from(9)),
            },
            _ => attempt.on_cancel,
        };
        attempt
    }

    fn nexus(&mut self, _: &NexusTask) -> Attempt {
        Attempt::ends(Duration::ZERO, Ok(Value::Null))
    }
}
