//! A round: some experiments at one time, on one worker that fares ill.

use std::path::Path;
use std::time::Duration;

use futures_util::future::{join, join_all};
use segno::client::{ConnectionSettings, WorkflowRef};
use segno::registry::read_folder;
use segno::worker::Replay;
use temporalio_protos::temporal::api::history::v1::History;
use temporalio_protos::temporal::api::workflowservice::v1::workflow_service_client::WorkflowServiceClient;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::transport::{Channel, Endpoint};

use super::agree::{self, Agreement};
use super::check::{Evidence, SWEPT, Violation, check};
use super::drive::{Clients, Told};
use super::history::{Run, events, family, shown};
use super::plan::{Chaos, Experiment, Round};
use super::program::Program;
use super::proxy::Proxy;
use super::world::{Worker, World};
use super::write::definition;

/// What has not ended so long after it was told to, with a worker at work all the time, waits for nothing.
const END_TIMEOUT: Duration = Duration::from_secs(60);
/// And if nothing has happened for so long.
const STILL_FOR: Duration = Duration::from_secs(25);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(400);
const REVIVE_AFTER: Duration = Duration::from_millis(500);
const REPLAY_TIMEOUT: Duration = Duration::from_secs(60);
const MESSAGE_SIZE_BYTES_MAX: usize = 64 << 20;

/// What became of an experiment.
pub struct Outcome {
    pub violations: Vec<Violation>,
    pub families: Vec<Vec<Run>>,
    pub messages: u64,
    /// Whether the simulator does the same.
    pub agreement: Agreement,
}

#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    pub kills: u64,
    pub pauses: u64,
    pub restarts: u64,
    pub replacements: u64,
    /// Panics of core's debug assertions; the worker begins again.
    pub of_core: u64,
}

/// Whether lint takes it.
pub fn is_sound(program: &Program) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let text = definition(program, "sound", "one");
    std::fs::write(folder.path().join("sound.yaml"), &text).unwrap();
    let found = read_folder(folder.path()).unwrap();
    let wanted = 1 + usize::from(program.has_child());
    if std::env::var_os("SEGNO_HUNT_SHOW").is_some() && found.definitions.len() != wanted {
        for diagnostic in found.diagnostics() {
            println!("{diagnostic:?}\n{text}");
        }
    }
    found.definitions.len() == wanted
}

/// A round under way.
struct Running<'a> {
    world: &'a World,
    round: &'a Round,
    names: Vec<String>,
    folder: tempfile::TempDir,
    registry: String,
    worker: Worker,
    raw: WorkflowServiceClient<Channel>,
    begin: Instant,
}

pub async fn run(world: &World, round: &Round) -> (Vec<Outcome>, Counts) {
    let queue = world.unique(&format!("hunt-{}", round.seed));
    let folder = tempfile::tempdir().unwrap();
    let names = (0..round.experiments.len()).map(|number| format!("{queue}-{number}"));
    let names: Vec<String> = names.collect();
    write(folder.path(), &names, &round.experiments, "one");
    let proxy = match round.proxied {
        true => Some(Proxy::start(&world.address, round.seed).await),
        false => None,
    };
    let address = proxy.as_ref().map_or(&world.address, |p| &p.address);
    let registry = format!("{queue}-registry");
    let mut arguments = match round.is_deployed {
        true => {
            deploy(world, folder.path(), &registry).await;
            vec!["--registry".to_owned(), registry.clone()]
        }
        false => vec![
            "--definitions".to_owned(),
            folder.path().display().to_string(),
        ],
    };
    if let Some(cache) = round.cache {
        arguments.extend(["--max-cached-workflows".to_owned(), cache.to_string()]);
    }
    let worker = Worker::versioned(world, &queue, address, &arguments, round.is_versioned);
    worker.is_current(world).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", world.address)).unwrap();
    let raw = WorkflowServiceClient::new(endpoint.connect_lazy());
    let running = Running {
        world,
        round,
        names,
        folder,
        registry,
        worker,
        raw: raw.max_decoding_message_size(MESSAGE_SIZE_BYTES_MAX),
        begin: Instant::now(),
    };
    let experiments = round.experiments.iter().enumerate();
    let experiments = experiments.map(|(number, one)| running.experiment(number, one));
    let (mut outcomes, mut counts) = tokio::select! {
        done = join(join_all(experiments), running.chaos()) => done,
        never = running.revive() => match never {},
    };
    let (own, of_core) = running.worker.panics();
    if let (Some(panic), Some(first)) = (own.into_iter().next(), outcomes.first_mut()) {
        let violation = running.violation("worker panicked", panic);
        first.violations.push(violation);
    }
    for panic in &of_core {
        let lines: Vec<&str> = panic.lines().take(2).collect();
        println!("core asserts, in debug builds only: {}", lines.join(" "));
    }
    counts.of_core = of_core.len() as u64;
    (outcomes, counts)
}

enum Never {}

fn write(folder: &Path, names: &[String], experiments: &[Experiment], tag: &str) {
    for (name, experiment) in names.iter().zip(experiments) {
        let text = definition(&experiment.program, name, tag);
        std::fs::write(folder.join(format!("{name}.yaml")), text).unwrap();
    }
}

async fn deploy(world: &World, folder: &Path, registry: &str) {
    let folder = folder.to_str().unwrap();
    let deployed = world.segno(&["deploy", folder, "--yes", "--registry", registry]);
    deployed.ok();
}

impl Running<'_> {
    async fn revive(&self) -> Never {
        loop {
            sleep(REVIVE_AFTER).await;
            self.worker.revive();
        }
    }

    async fn chaos(&self) -> Counts {
        let mut counts = Counts::default();
        for (at, chaos) in &self.round.chaos {
            sleep_until(self.begin + Duration::from_millis(*at)).await;
            match chaos {
                Chaos::Kill(away) => {
                    counts.kills += 1;
                    self.worker.kill();
                    sleep(Duration::from_millis(*away)).await;
                    self.worker.begin();
                }
                Chaos::Pause(away) => {
                    counts.pauses += 1;
                    self.worker.pause();
                    sleep(Duration::from_millis(*away)).await;
                    self.worker.resume();
                }
                Chaos::Replace => {
                    counts.replacements += 1;
                    self.worker.replace(self.world).await;
                }
                Chaos::Server => {
                    counts.restarts += 1;
                    self.world.restart_server().await;
                }
                Chaos::Change(percent) => self.change(*percent).await,
            }
        }
        counts
    }

    /// New texts of all definitions: new runs may have them, those in flight do not.
    async fn change(&self, percent: u64) {
        write(
            self.folder.path(),
            &self.names,
            &self.round.experiments,
            "two",
        );
        if !self.round.is_deployed {
            return;
        }
        deploy(self.world, self.folder.path(), &self.registry).await;
        if percent < 100 {
            let percent = percent.to_string();
            for name in self.names.iter().take(2) {
                let versions = [format!("{name}@1"), format!("{name}@2")];
                for (version, command) in versions.iter().zip(["rollback", "ramp"]) {
                    let mut arguments = vec!["definitions", command, version];
                    arguments.extend(["--registry", &self.registry]);
                    if command == "ramp" {
                        arguments.extend(["--percent", &percent]);
                    }
                    self.world.segno(&arguments);
                }
            }
        }
    }

    async fn experiment(&self, number: usize, experiment: &Experiment) -> Outcome {
        sleep_until(self.begin + Duration::from_millis(experiment.start)).await;
        let name = &self.names[number];
        let clients = Clients {
            client: self.world.client.clone(),
            raw: self.raw.clone(),
            experiment,
            name: name.clone(),
            workflow_id: name.clone(),
            task_queue: self.worker.task_queue.clone(),
            http: format!("http://{}", self.world.ledger.address),
            told: Default::default(),
        };
        let close_at = self.begin + Duration::from_millis(self.round.length_ms() + 500);
        let first = match clients.run(close_at).await {
            Ok(first) => first,
            Err(error) => {
                return Outcome {
                    violations: vec![self.violation("not started", error)],
                    families: Vec::new(),
                    messages: 0,
                    agreement: Agreement::NotCompared("it did not start"),
                };
            }
        };
        let ended = self.ended(name, &first).await;
        let state = clients.query("all").await;
        let told: Told = std::mem::take(&mut clients.told.lock().unwrap());
        let families = family(&self.world.client, name, &first).await;
        let ledger = self.world.ledger.take(name);
        let mut violations = check(&Evidence {
            experiment,
            workflow_id: name,
            families: &families,
            state,
            told: &told,
            ledger: &ledger,
            disturbances: self.round.chaos.len() as u64 + 4 * u64::from(self.round.proxied),
        });
        if let Some(open) = ended.err() {
            violations.insert(0, self.violation("does not end", open));
            self.sweep(&families).await;
        }
        for run in families.iter().flatten() {
            violations.extend(replayed(run).await);
        }
        let agreement = agreement(&families, &violations).await;
        if let Agreement::Differs(text) = &agreement {
            violations.push(self.violation("simulator differs", text.clone()));
        }
        Outcome {
            violations,
            families,
            messages: told.messages,
            agreement,
        }
    }

    fn violation(&self, kind: &'static str, text: String) -> Violation {
        Violation { kind, text }
    }

    /// Waits until the workflow and all its children have ended; where they do not, how far they have come.
    async fn ended(&self, name: &str, first: &str) -> Result<(), String> {
        let deadline = Instant::now() + END_TIMEOUT;
        let (mut size, mut moved) = (0, Instant::now());
        loop {
            let families = family(&self.world.client, name, first).await;
            let open = families.iter().filter_map(|runs| runs.last());
            let open: Vec<&Run> = open.filter(|run| !run.is_closed()).collect();
            if open.is_empty() {
                return Ok(());
            }
            let mut now = families.iter().flatten().map(progress).sum::<u64>();
            for run in &open {
                now += self.attempts(run).await;
            }
            if now != size {
                (size, moved) = (now, Instant::now());
            }
            if Instant::now() > deadline && moved.elapsed() > STILL_FOR {
                let open: Vec<String> = open.iter().map(|run| shown(run, 60)).collect();
                let log = self.worker.log();
                let log: Vec<&str> = log.lines().rev().take(10).collect();
                return Err(format!("{}\n  log: {log:#?}", open.join("\n")));
            }
            sleep(LOOK_AGAIN_AFTER).await;
        }
    }

    /// The highest attempt of the activities in flight.
    async fn attempts(&self, run: &Run) -> u64 {
        let workflow = WorkflowRef::new(&run.workflow_id, Some(run.run_id.clone()));
        let described = self.world.client.describe(&workflow).await;
        let pending = described.map(|d| d.pending_activities).unwrap_or_default();
        pending.iter().map(|activity| activity.attempt as u64).sum()
    }

    async fn sweep(&self, families: &[Vec<Run>]) {
        for run in families.iter().filter_map(|runs| runs.last()) {
            let workflow = WorkflowRef::new(&run.workflow_id, None);
            let client = &self.world.client;
            let _ = client.terminate(&workflow, SWEPT, Vec::new()).await;
            events(client, &run.workflow_id, &run.run_id).await;
        }
    }
}

/// What is wrong already is not simulated.
async fn agreement(families: &[Vec<Run>], violations: &[Violation]) -> Agreement {
    if !violations.is_empty() {
        return Agreement::NotCompared("something else is wrong with it");
    }
    let families = families.to_vec();
    let compared = tokio::task::spawn_blocking(move || agree::compare(&families));
    compared.await.unwrap()
}

/// Workflow tasks by themselves lead nowhere.
fn progress(run: &Run) -> u64 {
    use temporalio_protos::temporal::api::enums::v1::EventType::*;
    let events = run.events.iter().map(|event| event.event_type());
    let tasks = [
        WorkflowTaskScheduled,
        WorkflowTaskStarted,
        WorkflowTaskCompleted,
        WorkflowTaskTimedOut,
        WorkflowTaskFailed,
    ];
    let others = events.filter(|kind| !tasks.contains(kind));
    others.count() as u64 + 1
}

/// A fresh worker without a cache does the same.
async fn replayed(run: &Run) -> Option<Violation> {
    let settings = ConnectionSettings {
        disable_config_env: true,
        disable_config_file: true,
        ..ConnectionSettings::default()
    };
    let settings = settings.resolve().unwrap();
    let history = History {
        events: run.events.clone(),
    };
    let replay = Replay::default();
    let replayed = tokio::time::timeout(REPLAY_TIMEOUT, replay.run(&history, &settings)).await;
    let text = match replayed {
        Ok(Ok(replayed)) => replayed.divergence.map(|d| d.text())?,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the replay hangs".to_owned(),
    };
    Some(Violation {
        kind: "does not replay",
        text: format!("{text}\n{}", shown(run, 60)),
    })
}
