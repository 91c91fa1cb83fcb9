//! Runs all cases in one of the ways that a worker may fare, and compares.

use std::fs::File;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use segno::client::{Client, ConnectionSettings, history_to_json};
use temporalio_protos::temporal::api::history::v1::History;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::case::{self, Case};
use super::compare::{difference, sorted};
use super::drive::Driver;
use super::follow::Follower;
use super::support::cluster::Cluster;
use super::support::golden;
use super::support::run::Run;
use super::support::{free_port, root, segno, until};
use super::text::{self, Followed};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Plain,
    CacheOff,
    /// Each case has a worker of its own, without a cache.
    Killed,
}

/// Nothing takes so long unless it hangs.
const CASE_TIMEOUT: Duration = Duration::from_secs(600);
/// Histories that one call replays.
const REPLAYED_AT_ONCE: usize = 500;

struct Setup {
    mode: Mode,
    cluster: &'static Cluster,
    http: String,
    client: Client,
    /// All cases' definitions.
    definitions: tempfile::TempDir,
    logs: tempfile::TempDir,
}

/// What became of a case.
struct Ran {
    text: String,
    runs: Vec<Followed>,
    kills: usize,
}

pub fn run_all(mode: Mode) {
    let cases = case::all();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let setup = runtime.block_on(Setup::new(mode, &cases));
    let ran = runtime.block_on(setup.run(&cases));
    let mut wrong = Vec::new();
    let mut histories = Vec::new();
    let mut kills = 0;
    for (case, ran) in ran {
        match ran {
            Err(error) => wrong.push(format!("{}: {error}", case.name)),
            Ok(ran) => {
                let differs = compare(mode, case, &ran.text);
                if mode == Mode::Plain && differs.is_none() && golden::is_wanted() {
                    golden::record(&format!("steps/{}", case.name), ran.runs.iter().map(json));
                }
                wrong.extend(differs);
                kills += ran.kills;
                histories.extend(ran.runs);
            }
        }
    }
    println!(
        "{mode:?}: {} cases, {} runs, {kills} kills",
        cases.len(),
        histories.len()
    );
    assert!(
        mode != Mode::Killed || kills >= cases.len(),
        "the worker was killed {kills} times only"
    );
    for some in histories.chunks(REPLAYED_AT_ONCE) {
        wrong.extend(replay(some));
    }
    let folder = setup.logs.keep();
    let count = wrong.len();
    assert!(
        wrong.is_empty(),
        "{}\n{count} are wrong, {mode:?}; the workers' logs are in {}",
        wrong.join("\n\n"),
        folder.display()
    );
    std::fs::remove_dir_all(folder).unwrap();
}

/// What `exec` may run.
const PROGRAMS: &[&str] = &[
    "--exec-allow",
    "shell=/bin/sh",
    "--exec-allow",
    "sort=/usr/bin/sort",
    "--exec-env",
    "WORD",
];

impl Setup {
    async fn new(mode: Mode, cases: &[Case]) -> Setup {
        static CLUSTER: OnceLock<(&Cluster, String)> = OnceLock::new();
        let (cluster, http) = CLUSTER.get_or_init(|| {
            let port = free_port().to_string();
            let cluster = Cluster::with_activities(&["tests/steps/activities.py", &port]);
            cluster.make_nexus_endpoint("steps", "steps");
            let address = format!("127.0.0.1:{port}");
            until("the HTTP server's start", || {
                TcpStream::connect(&address).ok()
            });
            (cluster, format!("http://{address}"))
        });
        let settings = ConnectionSettings {
            address: Some(cluster.address.clone()),
            disable_config_env: true,
            disable_config_file: true,
            ..ConnectionSettings::default()
        };
        let client = Client::connect(&settings.resolve().unwrap()).await.unwrap();
        let definitions = tempfile::tempdir().unwrap();
        for case in cases {
            case.copy_definitions(definitions.path());
        }
        Setup {
            mode,
            cluster,
            http: http.clone(),
            client,
            definitions,
            logs: tempfile::tempdir().unwrap(),
        }
    }

    async fn run<'a>(&self, cases: &'a [Case]) -> Vec<(&'a Case, Result<Ran, String>)> {
        let shared = match self.mode {
            Mode::Killed => None,
            _ => Some(self.worker("all", self.definitions.path())),
        };
        let at_once = match self.mode {
            Mode::Plain => 12,
            Mode::CacheOff => 6,
            Mode::Killed => 4,
        };
        let ran = stream::iter(cases)
            .map(async |case| {
                let ran = tokio::time::timeout(CASE_TIMEOUT, self.run_case(case, shared.as_ref()));
                (
                    case,
                    ran.await.unwrap_or_else(|_| Err("it hangs".to_owned())),
                )
            })
            .buffer_unordered(at_once);
        let mut ran: Vec<_> = ran.collect().await;
        ran.sort_by(|a, b| a.0.name.cmp(&b.0.name));
        ran
    }

    async fn run_case(&self, case: &Case, shared: Option<&Worker>) -> Result<Ran, String> {
        let own;
        let worker = match shared {
            Some(worker) => worker,
            None => {
                own = self.worker(&case.name, &self.definitions.path().join(&case.name));
                &own
            }
        };
        let (completed_by, heard) = mpsc::unbounded_channel();
        let follower = Follower::new(self.client.clone(), completed_by);
        let driver = Driver {
            client: self.client.clone(),
            case,
            workflow_id: format!("{}-{:?}", case.name, self.mode).to_lowercase(),
            task_queue: worker.task_queue.clone(),
            http: self.http.clone(),
            server: format!("http://{}", self.cluster.address),
            follower: follower.clone(),
        };
        let mut kills = 0;
        let driven = async {
            let patient = tokio::time::timeout(CASE_TIMEOUT / 2, driver.run());
            patient.await.unwrap_or_else(|_| Err("it hangs".to_owned()))
        };
        let answers = tokio::select! {
            answers = driven => answers,
            never = worker.kill_after_each_task(heard, &mut kills, shared.is_none()) => match never {},
        };
        let runs = follower.runs();
        // The places of mistakes are in it, whether the worker serves all cases or one.
        let folder = self.definitions.path().join(&case.name);
        let folder = format!("{}/", folder.display());
        let ids = [
            (driver.workflow_id.as_str(), "ID"),
            (driver.task_queue.as_str(), "QUEUE"),
            (driver.http.as_str(), "HTTP"),
            (driver.server.as_str(), "SERVER"),
            (folder.as_str(), ""),
        ];
        let stories = text::stories(&runs, &ids);
        let known = |answer: String| {
            let known = |text: String, (from, to): &(&str, &str)| text.replace(from, to);
            ids.iter().fold(answer, known)
        };
        match answers {
            Ok(answers) => {
                let answers = answers.into_iter().map(known).collect();
                let text = self.text(case, answers, stories);
                Ok(Ran { text, runs, kills })
            }
            Err(error) => Err(format!("{error}\n{}", self.text(case, Vec::new(), stories))),
        }
    }

    fn text(
        &self,
        case: &Case,
        answers: Vec<String>,
        stories: Vec<(String, Vec<String>)>,
    ) -> String {
        let unordered = is_unordered(self.mode, case);
        let mut sections = Vec::new();
        if !answers.is_empty() {
            sections.push(("answers".to_owned(), answers));
        }
        for (title, mut lines) in stories {
            if self.mode == Mode::Killed {
                lines = lines.into_iter().map(without_attempt).collect();
            }
            if unordered {
                lines.sort();
            }
            sections.push((title, lines));
        }
        text::written(sections)
    }

    fn worker(&self, name: &str, definitions: &Path) -> Worker {
        let cache: &[&str] = match self.mode {
            Mode::Plain => &[],
            _ => &["--max-cached-workflows", "0"],
        };
        let worker = Worker {
            address: self.cluster.address.clone(),
            task_queue: format!("{name}-{:?}-queue", self.mode),
            definitions: definitions.to_owned(),
            arguments: cache
                .iter()
                .chain(PROGRAMS)
                .map(|a| (*a).to_owned())
                .collect(),
            logs: self.logs.path().join(format!("{name}.log")),
            process: tokio::sync::Mutex::default(),
        };
        *worker.process.try_lock().unwrap() = Some(worker.spawn());
        worker
    }
}

/// An attempt of the worker's own activities ends with a worker that is killed: how many were made is chance.
fn without_attempt(line: String) -> String {
    let is_own = ["http", "grpc", "exec", "callback"]
        .iter()
        .any(|name| line.trim_start().starts_with(&format!("activity {name} ")));
    let attempt = line.find(" at attempt ").filter(|_| is_own);
    let Some((at, number)) = attempt.map(|at| (at, at + " at attempt ".len())) else {
        return line;
    };
    let digits = line[number..]
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(line.len() - number);
    format!("{}{}", &line[..at], &line[number + digits..])
}

struct Worker {
    address: String,
    task_queue: String,
    definitions: PathBuf,
    arguments: Vec<String>,
    logs: PathBuf,
    process: tokio::sync::Mutex<Option<Child>>,
}

enum Never {}

impl Worker {
    fn spawn(&self) -> Child {
        let logs = File::options()
            .append(true)
            .create(true)
            .open(&self.logs)
            .unwrap();
        Command::new(segno())
            .args(["worker", "--task-queue", &self.task_queue, "--definitions"])
            .arg(&self.definitions)
            .args(&self.arguments)
            .current_dir(root())
            .env("TEMPORAL_ADDRESS", &self.address)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(logs)
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// Kills the process that completed a task as soon as its completion is in the history; another takes its place.
    async fn kill_after_each_task(
        &self,
        mut completed_by: mpsc::UnboundedReceiver<String>,
        kills: &mut usize,
        is_killed: bool,
    ) -> Never {
        while let Some(identity) = completed_by.recv().await {
            let mut process = self.process.lock().await;
            let id = process.as_ref().and_then(Child::id).unwrap_or_default();
            if is_killed && identity.starts_with(&format!("{id}@")) {
                if let Some(mut child) = process.take() {
                    child.kill().await.unwrap();
                }
                *kills += 1;
                *process = Some(self.spawn());
            }
        }
        std::future::pending().await
    }
}

fn is_unordered(mode: Mode, case: &Case) -> bool {
    case.script.unordered.is_some()
        || mode == Mode::Killed && case.script.unordered_when_killed.is_some()
}

/// What differs from the case's `expected.txt`; with SEGNO_UPDATE the plain way writes it anew.
fn compare(mode: Mode, case: &Case, text: &str) -> Option<String> {
    if mode == Mode::Plain && std::env::var_os("SEGNO_UPDATE").is_some() {
        std::fs::write(case.expected(false), text).unwrap();
    }
    let killed = mode == Mode::Killed;
    let mut expected = std::fs::read_to_string(case.expected(killed)).unwrap_or_default();
    if killed {
        let lines = expected.split_inclusive('\n').map(str::to_owned);
        expected = lines.map(without_attempt).collect();
    }
    let (expected, text) = match is_unordered(mode, case) {
        true => (sorted(&expected), sorted(text)),
        false => (expected, text.to_owned()),
    };
    (expected != text).then(|| format!("{}\n{}", case.name, difference(&expected, &text)))
}

fn json(run: &Followed) -> serde_json::Value {
    let events = run.events.clone();
    history_to_json(&History { events }).unwrap()
}

/// Replays histories by the command line, and says which do not fit.
fn replay(runs: &[Followed]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(segno());
    command.args(["replay", "--output", "json"]);
    for (number, run) in runs.iter().enumerate() {
        let path = folder
            .path()
            .join(format!("{}-{number}.json", run.workflow_id));
        std::fs::write(&path, json(run).to_string()).unwrap();
        command.arg("--file").arg(path);
    }
    let answer = Run::of(&mut command);
    let answer = match answer.code {
        0 | 1 => answer.json(),
        _ => return vec![format!("{answer:#?}")],
    };
    let all = answer.as_array().cloned().unwrap_or_default();
    assert_eq!(all.len(), runs.len());
    let wrong = all.iter().filter(|one| one["replays"] != true);
    wrong
        .map(|one| format!("it does not replay: {one:#}"))
        .collect()
}
