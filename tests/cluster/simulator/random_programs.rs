//! Random programs on the real server and in the simulator.
//!
//! Each has activities that fare by their ids alone, and signals, updates and a cancellation at times that its seed says. What came
//! there from outside comes in the simulation in the same order; the histories of all its runs and children, event by event
//! with what is in them, have to be the same then.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::{join, join_all};
use futures_util::{StreamExt, stream};
use segno::client::{Client, StartOptions, UpdateOptions, WorkflowRef};
use segno::engine::failure::Failure;
use segno::payload::timestamp_from_proto;
use segno::registry::{Entry, Registry, read_folder};
use segno::simulator::{ActivityTask, Attempt, End, NexusTask, OnCancel, Outside, Start};
use segno::value::{Duration, Payload, Value};
use tokio::sync::mpsc;

use super::follow::Follower;
use super::generate::{self, Random};
use super::guide::{Guide, Shared};
use super::server;
use super::simulated::{definitions, simulator};
use super::support::worker::Worker;
use super::text::{self, Followed};

const QUEUE: &str = "random-activities";
/// As the generated definitions have it.
const ATTEMPTS_MAX: u32 = 3;
/// Runs of a program on the server until one agrees: what comes while a workflow task is open, or in the moment in which an
/// attempt fails there, has no order that the history tells.
const TRIES: usize = 3;
/// One in so many may be such a try.
const DIFFERING_SHARE_MAX: usize = 4;
/// A program that goes on for longer times out, here and there.
const EXECUTION_TIMEOUT: &str = "20s";
const AT_ONCE: usize = 20;

#[derive(Clone, Copy)]
enum What {
    Signal(&'static str),
    Update(i64),
    Cancel,
}

/// What clients do, in milliseconds from the start.
fn deliveries(seed: u64) -> Vec<(u64, What)> {
    let mut random = Random(seed ^ 0xD1CE);
    let mut all = Vec::new();
    let mut at = 0;
    for _ in 0..random.below(8) {
        at += 400 + random.below(3_000);
        let what = match random.below(3) {
            // The number that the validator refuses is among them.
            0 => What::Update(random.below(15) as i64),
            _ => What::Signal(random.of(&["poke", "tell", "note", "unknown"])),
        };
        all.push((at, what));
    }
    if random.below(8) == 0 {
        all.push((at + 1_300, What::Cancel));
    }
    all
}

fn argument(number: i64) -> Vec<Payload> {
    vec![Payload::from_value(&Value::from(number)).unwrap()]
}

fn input() -> Vec<Payload> {
    vec![Payload::from_value(&Value::map(Default::default())).unwrap()]
}

fn execution_timeout() -> Option<Duration> {
    Duration::parse(EXECUTION_TIMEOUT).ok()
}

struct Program<'a> {
    seed: u64,
    name: String,
    folder: &'a Path,
    queue: &'a str,
    registry: Arc<dyn Registry>,
}

impl Program<'_> {
    /// What all its runs do.
    fn story(&self, runs: &[Followed]) -> String {
        let folder = format!("{}/", self.folder.display());
        let ids = [
            (runs[0].workflow_id.as_str(), "ID"),
            (self.queue, "QUEUE"),
            (&folder, ""),
        ];
        text::written(text::stories(runs, &ids))
    }

    /// Led along the server's histories; with what kept it from following them to their end.
    fn simulated(&self, on_server: &[Followed]) -> (String, Option<String>) {
        let began = on_server[0].events[0].event_time.unwrap_or_default();
        let known = Shared::default();
        let fate = Fate(self.seed, known.clone());
        let (began, registry) = (timestamp_from_proto(began), self.registry.clone());
        let mut simulator = simulator(began, self.queue, registry, fate);
        simulator.hold_tasks();
        let started = simulator.start(Start {
            workflow_type: self.name.clone(),
            workflow_id: on_server[0].workflow_id.clone(),
            input: input(),
            execution_timeout: execution_timeout(),
            ..Start::default()
        });
        started.unwrap();
        let guide = Guide::new(&mut simulator, on_server, known, ATTEMPTS_MAX);
        let problem = guide.lead().err().map(|lost| lost.text);
        let runs = simulator.runs().map(|run| Followed {
            workflow_id: simulator.workflow_id(run).to_owned(),
            run_id: simulator.run_id(run).to_owned(),
            parent: simulator.parent(run).map(|parent| parent.0),
            events: simulator.history(run).to_vec(),
        });
        (self.story(&runs.collect::<Vec<_>>()), problem)
    }

    async fn on_server(&self, client: &Client, turn: usize) -> Result<Vec<Followed>, String> {
        let workflow_id = format!("{}-{turn}", self.name);
        let started = client.start(StartOptions {
            workflow_type: self.name.clone(),
            workflow_id: Some(workflow_id.clone()),
            task_queue: self.queue.to_owned(),
            input: input(),
            execution_timeout: execution_timeout(),
            ..StartOptions::default()
        });
        let started = started.await.map_err(|e| e.to_string())?;
        let begin = tokio::time::Instant::now();
        let workflow = WorkflowRef::new(workflow_id, None);
        let deliver = deliveries(self.seed).into_iter().map(async |(at, what)| {
            tokio::time::sleep_until(begin + std::time::Duration::from_millis(at)).await;
            // That it comes too late is no mistake.
            match what {
                What::Signal(name) => drop(client.signal(&workflow, name, argument(3)).await),
                What::Cancel => drop(client.cancel(&workflow, "enough").await),
                What::Update(number) => {
                    let update = UpdateOptions {
                        name: "add".to_owned(),
                        input: argument(number),
                        ..UpdateOptions::default()
                    };
                    drop(client.update(&workflow, update).await);
                }
            }
        });
        let (told, _) = mpsc::unbounded_channel();
        let follower = Follower::new(client.clone(), told);
        let first = WorkflowRef::new(&workflow.workflow_id, Some(started.run_id));
        follower.follow(first, None);
        let over = follower.until(|follower| follower.is_over().then_some(()));
        let (over, _) = join(over, join_all(deliver)).await;
        over.map(|()| follower.runs())
    }

    /// Each try in which it differs, to the first in which it does not.
    async fn compared(&self, client: &Client) -> Vec<String> {
        let mut differing = Vec::new();
        for turn in 0..TRIES {
            let runs = match self.on_server(client, turn).await {
                Ok(runs) => runs,
                Err(error) => return vec![format!("{}: {error}", self.name); TRIES],
            };
            let came = self.story(&runs);
            let (simulated, problem) = self.simulated(&runs);
            if came == simulated {
                break;
            }
            let problem = problem.unwrap_or_default();
            let text = generate::definition(&self.name, Some(QUEUE), self.seed);
            let told = format!(
                "{}: {problem}\n{text}\nsimulated:\n{simulated}\non the server:\n{came}",
                self.name
            );
            println!("try {turn} of {told}");
            differing.push(told);
        }
        differing
    }
}

/// As random_activities.py has it.
struct Fate(u64, Shared);

impl Outside for Fate {
    fn activity(&mut self, task: &ActivityTask) -> Attempt {
        let sum = |text: &str| text.bytes().map(u64::from).sum::<u64>();
        let letters = sum(&task.activity_type) * 17 + sum(&task.activity_id) * 7;
        let fate = (self.0 * 31 + letters + u64::from(task.attempt) * 3) % 1000;
        let failure = || Err(Failure::application("Flaky", "not this time"));
        let (milliseconds, result) = match task.activity_type.as_str() {
            "quick" => (0, Ok(Value::from(1))),
            "slow" => (fate as i64 % 4 * 1_000 + 500, Ok(Value::from(2))),
            "flaky" if fate % 2 == 1 => (300, Ok(Value::from(3))),
            _ => (300, failure()),
        };
        let hangs = fate % 10 == 9;
        let under_way = (task.attempt, hangs || result.is_err());
        let key = (task.run_id.clone(), task.scheduled);
        let length = Duration::from_millis(milliseconds);
        let mut known = self.1.lock().unwrap();
        let cancelled = known.cancelled.get(&key).copied();
        // It is either not taken yet at that time, or has failed and waits to be tried again.
        let has_failed = result.is_err() && task.now.checked_add(length) <= cancelled;
        known.attempts.insert(key, under_way);
        let mut attempt = Attempt::ends(length, result);
        if cancelled.is_some() && !has_failed {
            attempt.picked_up_after = None;
        }
        if hangs {
            attempt.end = End::Never;
        }
        attempt.on_cancel = OnCancel::Ignore;
        attempt
    }

    /// Answered at once: all ask for the number after 1.
    fn nexus(&mut self, _: &NexusTask) -> Attempt {
        let mut attempt = Attempt::ends(Duration::ZERO, Ok(Value::from(2)));
        attempt.picked_up_after = None;
        attempt
    }
}

/// So many sound programs from this seed on: lint refuses a few, for steps that are never reached.
fn sound(first: u64, count: usize, folder: &Path) -> (Vec<u64>, BTreeMap<String, Entry>) {
    let mut seeds = Vec::new();
    for seed in first.. {
        if seeds.len() == count {
            break;
        }
        let path = folder.join(format!("random-{seed}.yaml"));
        let text = generate::definition(&format!("random-{seed}"), Some(QUEUE), seed);
        let aside = tempfile::tempdir().unwrap();
        std::fs::write(aside.path().join("random.yaml"), &text).unwrap();
        if read_folder(aside.path()).unwrap().definitions.len() == 2 {
            std::fs::write(path, text).unwrap();
            seeds.push(seed);
        }
    }
    (seeds, definitions(folder))
}

/// What differs of so many programs from this seed on.
pub fn compare(first: u64, count: usize) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let name = |seed: u64| format!("random-{seed}");
    let (seeds, definitions) = sound(first, count, folder.path());
    let registry: Arc<dyn Registry> = Arc::new(definitions);
    let cluster = server::cluster();
    cluster.make_nexus_endpoint("random", QUEUE);
    let worker = Worker::on(cluster, folder.path(), &[]);
    let programs = seeds.into_iter().map(|seed| Program {
        seed,
        name: name(seed),
        folder: folder.path(),
        queue: &worker.task_queue,
        registry: registry.clone(),
    });
    let programs: Vec<Program> = programs.collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let compared: Vec<Vec<String>> = runtime.block_on(async {
        let client = server::client().await;
        let compared = stream::iter(&programs)
            .map(async |program| program.compared(&client).await)
            .buffer_unordered(AT_ONCE);
        compared.collect().await
    });
    let count = programs.len();
    let once: usize = compared.iter().map(Vec::len).sum();
    let wrong = compared.into_iter().filter(|tries| tries.len() == TRIES);
    let mut wrong: Vec<String> = wrong.flat_map(|mut tries| tries.pop()).collect();
    let agreed = count - wrong.len();
    println!("{agreed} of {count} programs agree; {once} tries did not");
    if once * DIFFERING_SHARE_MAX > count {
        wrong.push(format!(
            "{once} tries of {count} programs differ: that is no chance"
        ));
    }
    wrong
}
