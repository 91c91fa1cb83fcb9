//! What comes from strangers: headers that no engine wrote, values of any characters through the commands, and a registry
//! whose workflows are ended.

use std::process::Command;
use std::time::Duration;

use futures_util::future::{join_all, join3};
use segno::client::{StartOptions, WorkflowRef};
use segno::registry::{ClusterStore, REGISTRY_DATA, Store as _};
use segno::value::{Duration as Length, Payload, Value};
use serde_json::{Value as Json, json};
use temporalio_protos::temporal::api::enums::v1::EventType;
use tokio::time::{Instant, sleep};

use super::check::{SWEPT, Violation};
use super::drive::payloads;
use super::generate::Random;
use super::history::{Run, events, shown};
use super::support::cluster::temporal;
use super::support::run::Run as Process;
use super::world::{Worker, World};

/// What a worker at work has not answered by then it never will.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(300);
/// Controls, DEL, the beginnings of terminal sequences, and what JSON, YAML and UTF-8 have to escape.
const CHARACTERS: [char; 24] = [
    'a', ' ', '"', '\\', '/', '\n', '\t', '\r', '\u{0}', '\u{1}', '\u{7}', '\u{8}', '\u{c}',
    '\u{1b}', '[', '3', 'm', '\u{7f}', '\u{85}', '\u{9b}', 'é', '\u{2028}', '\u{feff}', '😀',
];
const TEXT_LENGTH_MAX: u64 = 48;
const ECHO: &str = "segno: 1\nworkflow: NAME\nqueries: { input: \"${ input }\" }\nsteps:\n  - return: ${ input }\n";

/// In all ways at one time.
pub async fn hunt(world: &World, seed: u64) -> Vec<Violation> {
    let [mut one, mut two] = [0x57A6, 0x0DD].map(|salt| Random(seed ^ salt));
    let (headers, commands, registry) = join3(
        headers(world, &mut one),
        commands(world, &mut two),
        registry(world, seed),
    )
    .await;
    [headers, commands, registry].concat()
}

fn violation(kind: &'static str, text: String) -> Vec<Violation> {
    vec![Violation { kind, text }]
}

struct Place {
    name: String,
    folder: tempfile::TempDir,
}

impl Place {
    fn new(world: &World, text: &str) -> Place {
        let name = world.unique("stranger");
        let folder = tempfile::tempdir().unwrap();
        let place = Place { name, folder };
        place.write(text);
        place
    }

    fn write(&self, text: &str) {
        let path = self.folder.path().join("stranger.yaml");
        std::fs::write(path, text.replace("NAME", &self.name)).unwrap();
    }

    fn path(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }

    fn worker(&self, world: &World) -> Worker {
        let arguments = ["--definitions", self.path()].map(str::to_owned);
        Worker::start(world, &self.name, &world.address, &arguments)
    }

    fn start(&self, input: &Json) -> StartOptions {
        StartOptions {
            workflow_type: self.name.clone(),
            workflow_id: Some(self.name.clone()),
            task_queue: self.name.clone(),
            input: payloads(input),
            execution_timeout: Length::parse("100s").ok(),
            task_timeout: Length::parse("2s").ok(),
            ..StartOptions::default()
        }
    }
}

/// Runs with headers that nobody of Segno's wrote end, or their workflow tasks fail for all to see.
async fn headers(world: &World, random: &mut Random) -> Vec<Violation> {
    let place = Place::new(
        world,
        "segno: 1\nworkflow: NAME\nsteps:\n  - timer: 10ms\n  - return: 1\n",
    );
    let worker = place.worker(world);
    let mut garbage = || match random.below(3) {
        0 => Payload::from_value(&Value::from("not what is expected")).unwrap(),
        1 => Payload::from_value(&Value::Null).unwrap(),
        _ => Payload::from_value(&Value::from(random.next() as i64)).unwrap(),
    };
    let mut starts = Vec::new();
    for names in [
        &["segno-state"][..],
        &["segno-definition"],
        &["segno-state", "segno-definition"],
    ] {
        let mut options = place.start(&Json::Null);
        options.workflow_id = Some(format!("{}-{}", place.name, starts.len()));
        let headers = names.iter().map(|name| ((*name).to_owned(), garbage()));
        options.headers.extend(headers);
        starts.push(options);
    }
    let answered = starts
        .into_iter()
        .map(|options| answered(world, &worker, options));
    let found = join_all(answered).await;
    found.into_iter().flatten().collect()
}

async fn answered(world: &World, worker: &Worker, options: StartOptions) -> Vec<Violation> {
    let shown_headers = format!("{:?}", options.headers);
    let workflow_id = options.workflow_id.clone().unwrap_or_default();
    let Ok(started) = world.client.start(options).await else {
        return Vec::new();
    };
    let begin = Instant::now();
    loop {
        let run = Run {
            workflow_id: workflow_id.clone(),
            run_id: started.run_id.clone(),
            events: events(&world.client, &workflow_id, &started.run_id).await,
        };
        let has = |wanted: EventType| {
            let mut kinds = run.events.iter().map(|event| event.event_type());
            kinds.any(|kind| kind == wanted)
        };
        if run.is_closed() || has(EventType::WorkflowTaskFailed) {
            let _ = terminate(world, &workflow_id).await;
            return Vec::new();
        }
        // A busy machine is late with the first task, not with what follows.
        let waits = begin.elapsed() > ANSWER_TIMEOUT && has(EventType::WorkflowTaskCompleted);
        if waits || begin.elapsed() > 3 * ANSWER_TIMEOUT {
            let _ = terminate(world, &workflow_id).await;
            let text = format!("{shown_headers}\n{}\n{}", shown(&run, 20), worker.log());
            return violation("hangs in silence", text);
        }
        sleep(LOOK_AGAIN_AFTER).await;
    }
}

async fn terminate(world: &World, workflow_id: &str) -> bool {
    let workflow = WorkflowRef::new(workflow_id, None);
    let terminated = world.client.terminate(&workflow, SWEPT, Vec::new()).await;
    terminated.is_ok()
}

fn text(random: &mut Random) -> String {
    let length = random.below(TEXT_LENGTH_MAX);
    (0..length)
        .map(|_| CHARACTERS[random.below(CHARACTERS.len() as u64) as usize])
        .collect()
}

fn value(random: &mut Random, depth: u32) -> Json {
    match random.below(if depth == 0 { 4 } else { 7 }) {
        0 => Json::Null,
        1 => json!(random.below(2) == 0),
        2 => json!(random.next() as i64 >> random.below(60)),
        4 => (0..random.below(4))
            .map(|_| value(random, depth - 1))
            .collect(),
        5 => {
            let fields = (0..random.below(4)).map(|_| (text(random), value(random, depth - 1)));
            Json::Object(fields.collect())
        }
        _ => json!(text(random)),
    }
}

/// Data is the same on its way through the commands.
async fn commands(world: &World, random: &mut Random) -> Vec<Violation> {
    let place = Place::new(world, ECHO);
    let _worker = place.worker(world);
    let input = json!({ "one": value(random, 3), "two": text(random) });
    let client = &world.client;
    if client.start(place.start(&input)).await.is_err() {
        return Vec::new();
    }
    let id = place.name.as_str();
    let result = world.segno(&["result", id, "--output", "json"]).ok();
    let asked = world
        .segno(&["query", id, "input", "--output", "json"])
        .ok();
    let history = world.segno(&["history", id, "--output", "json"]).ok();
    let code = input["two"].to_string();
    let evaluated = world.segno(&["eval", &code, "--output", "json"]).ok();
    let started = &history.json()["events"][0]["workflowExecutionStartedEventAttributes"];
    let data = started["input"]["payloads"][0]["data"].as_str();
    let data = data.map(|data| {
        use base64::Engine as _;
        let bytes = base64::prelude::BASE64_STANDARD.decode(data).unwrap();
        serde_json::from_slice::<Json>(&bytes).unwrap()
    });
    let came = [
        ("result", result.json()["result"].clone(), input.clone()),
        ("query", asked.json()["queryResult"].clone(), input.clone()),
        ("history", data.unwrap_or_default(), input.clone()),
        (
            "eval",
            evaluated.json()["value"].clone(),
            input["two"].clone(),
        ),
    ];
    let wrong = came.iter().filter(|(_, came, sent)| came != sent);
    let wrong = wrong.map(|(command, came, sent)| Violation {
        kind: "data changed",
        text: format!("`{command}` told {came} for {sent}"),
    });
    wrong.collect()
}

/// The registry's workflow is ended, or a piece of it deleted, and what is deployed next has numbers of its own and can be run.
async fn registry(world: &World, seed: u64) -> Vec<Violation> {
    let text =
        |number: u64| format!("segno: 1\nworkflow: NAME\nsteps:\n  - return: text {number}\n");
    let place = Place::new(world, &text(1));
    let registry = format!("{}-registry", place.name);
    let deploy = || {
        world.segno(&[
            "deploy",
            place.path(),
            "--yes",
            "--registry",
            &registry,
            "--output",
            "json",
        ])
    };
    deploy().ok();
    place.write(&text(2));
    deploy().ok();
    let newest = |listed: &Json| newest_version(listed, &place.name);
    let list = || {
        let listed = world.segno(&["definitions", "list", "--registry", &registry, "-o", "json"]);
        (listed.code == 0).then(|| listed.json())
    };
    let before = list().and_then(|listed| newest(&listed));
    if seed.is_multiple_of(2) {
        return piece_deleted(world, &place, &registry).await;
    }
    if !terminate(world, &registry).await {
        return Vec::new();
    }
    place.write(&text(3));
    let again = deploy();
    if again.code != 0 {
        // Loud is as good: then it can be mended, and deployed.
        let repaired = world.segno(&["definitions", "repair", "--registry", &registry]);
        if repaired.code != 0 || deploy().code != 0 {
            let text = format!("{again:#?}\n{repaired:#?}");
            return violation("registry cannot be mended", text);
        }
    }
    let after = list().and_then(|listed| newest(&listed));
    if let (Some(before), Some(after)) = (before, after)
        && after <= before
    {
        let text = format!("version {before} was the newest, and then another text was {after}");
        return violation("numbers begin anew", text);
    }
    Vec::new()
}

/// Data of the registry is deleted: that is noticed, and the next deployment of the same text lets new runs begin.
async fn piece_deleted(world: &World, place: &Place, registry: &str) -> Vec<Violation> {
    let store = ClusterStore::new(world.client.clone(), registry.to_owned());
    let Ok(catalog) = store.read().await else {
        return violation("registry unreadable", registry.to_owned());
    };
    let versions = catalog.state.definitions.iter().flat_map(|d| &d.versions);
    for hash in versions.flat_map(|v| v.segment.iter().flat_map(|s| &s.pieces)) {
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut delete = Command::new(temporal());
        let id = format!("{REGISTRY_DATA}/{hex}");
        delete
            .args(["workflow", "delete", "--yes", "--workflow-id", &id])
            .args(["--address", &world.address]);
        tokio::task::block_in_place(|| Process::of(&mut delete));
    }
    let verify = ["definitions", "verify", "--registry", registry];
    let before = world.segno(&verify);
    let deployed = world.segno(&["deploy", place.path(), "--yes", "--registry", registry]);
    let arguments = ["--registry", registry].map(str::to_owned);
    let _worker = Worker::start(world, &place.name, &world.address, &arguments);
    let mut found = Vec::new();
    if before.code == 0 {
        found.extend(violation("damage unnoticed", format!("{before:#?}")));
    }
    if world.client.start(place.start(&Json::Null)).await.is_err() {
        return found;
    }
    let result = world.segno(&["result", &place.name, "--output", "json"]);
    if result.code != 0 || result.json()["result"] != "text 2" {
        let text = format!("{deployed:#?}\n{result:#?}");
        found.extend(violation("registry cannot be mended", text));
    }
    found
}

/// The highest number of a version of the type.
fn newest_version(listed: &Json, name: &str) -> Option<i64> {
    let mut definitions = listed["definitions"].as_array()?.iter();
    let definition = definitions.find(|definition| definition["workflow"] == name)?;
    let versions = definition["versions"].as_array()?.iter();
    versions
        .filter_map(|version| version["number"].as_i64())
        .max()
}
