//! Random programs on the real server and in the simulator.
//!
//! Each has activities that fare by their ids alone, and signals and a cancellation at times that its seed says. A real server
//! takes a moment for everything, so a program is simulated several times, with moments of its own for activities, signals and
//! workflow tasks, and with what is due at one time in other orders, or all of it with one workflow task. The server agrees
//! where its history, event by event with what is in them, is one of these. Where it is none in several runs, all its
//! simulations being the same, that is a mistake; where they are not the same, its order of things was chance, and the program
//! is counted apart.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use segno::client::{Client, StartOptions, WorkflowRef};
use segno::engine::failure::Failure;
use segno::registry::{Entry, Registry, read_folder};
use segno::simulator::{
    ActivityTask, Attempt, End, NexusTask, OnCancel, Outside, Setup, Simulator, Start,
};
use segno::value::{Duration, Payload, Timestamp, Value};
use segno::worker::ProgramCache;

use super::generate::{self, Random};
use super::server::{self, follow};
use super::support::worker::Worker;
use super::text::{self, Followed};

const QUEUE: &str = "random-activities";
/// Simulations of a program.
const VARIANTS: u64 = 60;
/// Runs of it on the server until one agrees.
const TRIES: usize = 3;
/// A program that goes on for longer times out, here and there.
const EXECUTION_TIMEOUT: &str = "20s";
/// How much later things may be, in variants by turns: as on a quiet machine, and as on a busy one.
const MOMENTS_MILLISECONDS: [u64; 2] = [150, 1_500];
const STEPS_MAX: usize = 5_000;
const AT_ONCE: usize = 20;

#[derive(Clone, Copy)]
enum What {
    Signal(&'static str),
    Cancel,
}

/// What clients do, in milliseconds from the start.
fn deliveries(seed: u64) -> Vec<(u64, What)> {
    let mut random = Random(seed ^ 0xD1CE);
    let mut all = Vec::new();
    let mut at = 0;
    for _ in 0..random.below(6) {
        at += 700 + random.below(4_000);
        let name = random.of(&["poke", "tell", "note", "unknown"]);
        all.push((at, What::Signal(name)));
    }
    if random.below(8) == 0 {
        all.push((at + 1_300, What::Cancel));
    }
    all
}

fn input() -> Vec<Payload> {
    vec![Payload::from_value(&Value::map(Default::default())).unwrap()]
}

fn argument() -> Vec<Payload> {
    vec![Payload::from_value(&Value::from(3)).unwrap()]
}

fn execution_timeout() -> Option<Duration> {
    Duration::parse(EXECUTION_TIMEOUT).ok()
}

/// What a program does, by the runs of its workflow.
fn story(runs: &[Followed], workflow_id: &str, queue: &str, folder: &Path) -> String {
    let folder = format!("{}/", folder.display());
    let ids = [(workflow_id, "ID"), (queue, "QUEUE"), (&folder, "")];
    text::written(text::stories(runs, &ids))
}

struct Program<'a> {
    seed: u64,
    name: String,
    folder: &'a Path,
    queue: &'a str,
    registry: Arc<dyn Registry>,
}

impl Program<'_> {
    /// In the simulation; the variant says which moments things take.
    fn simulated(&self, variant: u64) -> Result<String, String> {
        let setup = Setup {
            start_time: Timestamp::parse("2026-01-01T00:00:00Z").unwrap(),
            namespace: "default".to_owned(),
            task_queue: self.queue.to_owned(),
        };
        let start_time = setup.start_time;
        let moments = Moments(Random(self.seed << 8 | variant), variant);
        let mut random = Random(!(self.seed << 8 | variant));
        let mut later = Moments(Random(random.next()), variant);
        // As on the server it is another one than the type.
        let workflow_id = format!("{}-simulated", self.name);
        let fate = Box::new(Fate(self.seed, moments));
        let programs = Arc::new(ProgramCache::new(self.registry.clone()));
        let mut simulator = Simulator::new(setup, self.registry.clone(), programs, fate);
        if variant > 0 {
            simulator.hold_tasks();
        }
        let started = simulator.start(Start {
            workflow_type: self.name.clone(),
            workflow_id: workflow_id.clone(),
            input: input(),
            execution_timeout: execution_timeout(),
            ..Start::default()
        });
        started.map_err(|e| e.to_string())?;
        let mut todo = deliveries(self.seed).into_iter().peekable();
        // What the run does takes a moment too on the server: clients are ahead of its own times.
        let pace = later.next() as u64;
        let mut ahead = 0;
        for _ in 0..STEPS_MAX {
            let due = simulator.next_due();
            let at = todo.peek().map(|(at, _)| {
                let at = Duration::from_millis(*at as i64 + later.next() - ahead);
                start_time.checked_add(at).unwrap()
            });
            let is_now = match simulator.has_task() {
                true => at.is_some_and(|at| at <= simulator.now()),
                false => at.is_some_and(|at| due.is_none_or(|due| at <= due)),
            };
            if is_now && let (Some(at), Some((_, what))) = (at, todo.next()) {
                simulator.advance(at);
                // That it comes too late is no mistake.
                let _ = match what {
                    What::Signal(name) => simulator.signal(&workflow_id, name, argument()),
                    What::Cancel => simulator.cancel(&workflow_id, "enough"),
                };
                continue;
            }
            ahead += random.below(pace + 1) as i64;
            let went_on = simulator.take_task()
                || match random.below(3) {
                    _ if variant == 0 => simulator.step(),
                    0 => simulator.take_together(),
                    _ => simulator.take(random.below(simulator.due().len().max(1) as u64) as usize),
                };
            if !went_on {
                break;
            }
        }
        let runs = simulator.runs().map(|run| Followed {
            workflow_id: simulator.workflow_id(run).to_owned(),
            run_id: simulator.run_id(run).to_owned(),
            parent: None,
            events: simulator.history(run).to_vec(),
        });
        let runs: Vec<Followed> = runs.collect();
        Ok(story(&runs, &workflow_id, self.queue, self.folder))
    }

    async fn on_server(&self, client: &Client, turn: usize) -> Result<String, String> {
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
        let workflow = WorkflowRef::new(workflow_id.clone(), None);
        let deliver = async {
            for (at, what) in deliveries(self.seed) {
                let at = begin + std::time::Duration::from_millis(at);
                tokio::time::sleep_until(at).await;
                let _ = match what {
                    What::Signal(name) => client.signal(&workflow, name, argument()).await,
                    What::Cancel => client.cancel(&workflow, "enough").await,
                };
            }
        };
        let (runs, ()) = tokio::join!(follow(client, &workflow_id, started.run_id), deliver);
        let runs = runs.map_err(|e| e.to_string())?;
        Ok(story(&runs, &workflow_id, self.queue, self.folder))
    }

    /// Its histories, each with the first variant that has it.
    fn all_simulated(&self) -> BTreeMap<String, u64> {
        let mut simulated = BTreeMap::new();
        for variant in 0..VARIANTS {
            let story = self.simulated(variant).unwrap_or_else(|error| error);
            simulated.entry(story).or_insert(variant);
        }
        simulated
    }

    async fn compared(&self, client: &Client, simulated: &BTreeMap<String, u64>) -> Compared {
        let mut came = String::new();
        for turn in 0..TRIES {
            came = self.on_server(client, turn).await.unwrap_or_else(|e| e);
            if simulated.contains_key(&came) {
                return match simulated.len() {
                    1 => Compared::Same,
                    _ => Compared::OneOf,
                };
            }
        }
        let (usual, _) = simulated
            .iter()
            .find(|(_, variant)| **variant == 0)
            .unwrap();
        let text = generate::definition(&self.name, Some(QUEUE), self.seed);
        let told = format!(
            "{}, {} simulated histories\n{text}\nsimulated:\n{usual}\non the server:\n{came}",
            self.name,
            simulated.len()
        );
        match simulated.len() {
            1 => Compared::Wrong(told),
            _ => Compared::Chance(told),
        }
    }
}

enum Compared {
    /// The only history that there is.
    Same,
    /// One of several.
    OneOf,
    Chance(String),
    Wrong(String),
}

/// How long things take besides: nothing in the first variant.
struct Moments(Random, u64);

impl Moments {
    fn next(&mut self) -> i64 {
        match self.1 {
            0 => 0,
            variant => self.0.below(MOMENTS_MILLISECONDS[variant as usize % 2]) as i64,
        }
    }
}

/// As random_activities.py has it.
struct Fate(u64, Moments);

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
        let after = Duration::from_millis(milliseconds + self.1.next());
        let mut attempt = Attempt::ends(after, result);
        attempt.picked_up_after = Some(Duration::from_millis(self.1.next()));
        if fate % 10 == 9 {
            attempt.end = End::Never;
        }
        attempt.on_cancel = OnCancel::Ignore;
        attempt
    }

    fn nexus(&mut self, _: &NexusTask) -> Attempt {
        Attempt::ends(Duration::ZERO, Ok(Value::Null))
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
        if read_folder(aside.path()).unwrap().definitions.len() == 1 {
            std::fs::write(path, text).unwrap();
            seeds.push(seed);
        }
    }
    let found = read_folder(folder).unwrap().definitions.into_iter();
    let definitions = found.map(|(name, (entry, _))| (name, entry));
    (seeds, definitions.collect())
}

/// What is wrong with so many programs from this seed on.
pub fn compare(first: u64, count: usize) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let name = |seed: u64| format!("random-{seed}");
    let (seeds, definitions) = sound(first, count, folder.path());
    let registry: Arc<dyn Registry> = Arc::new(definitions);
    let cluster = server::cluster();
    let worker = Worker::on(cluster, folder.path(), &[]);
    let program = |seed| Program {
        seed,
        name: name(seed),
        folder: folder.path(),
        queue: &worker.task_queue,
        registry: registry.clone(),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let programs: Vec<Program> = seeds.into_iter().map(program).collect();
    // All of it before: what clients do on the server is not to wait for simulations.
    let simulated = segno::load::in_parallel(&programs, Program::all_simulated);
    let compared: Vec<Compared> = runtime.block_on(async {
        let client = server::client().await;
        let compared = stream::iter(programs.iter().zip(&simulated))
            .map(async |(program, simulated)| program.compared(&client, simulated).await)
            .buffer_unordered(AT_ONCE);
        compared.collect().await
    });
    let count = |is: fn(&Compared) -> bool| compared.iter().filter(|c| is(c)).count();
    let (same, one_of) = (
        count(|c| matches!(c, Compared::Same)),
        count(|c| matches!(c, Compared::OneOf)),
    );
    let mut wrong = Vec::new();
    let mut chance = 0;
    for compared in &compared {
        match compared {
            Compared::Wrong(told) => wrong.push(told.clone()),
            Compared::Chance(told) => {
                chance += 1;
                println!("{told}");
            }
            _ => {}
        }
    }
    println!(
        "{} programs: {same} have one history, which is the server's; of {one_of} the server's is one of several; \
         of {chance} it was chance; {} are wrong",
        compared.len(),
        wrong.len()
    );
    if chance * 2 > compared.len() {
        wrong.push(format!("{chance} programs say nothing"));
    }
    wrong
}
