//! Histories that a real server recorded once, of every construct: each is a promise to the runs in flight that are like
//! it. All are replayed as workers replay them, also with the run's state written and read again before each activation.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures_util::{StreamExt, stream};
use segno::client::{ConnectionSettings, ResolvedSettings, history_from_json};
use segno::definition::tables::{ACTIONS, STARTED};
use segno::engine::observe::{Event, Moment, Observer};
use segno::engine::{DEFINITION_HEADER, STATE_HEADER};
use segno::program::{Action, Program};
use segno::words::{BlockId, StepId};
use segno::worker::Replay;
use temporalio_protos::temporal::api::enums::v1::EventType;
use temporalio_protos::temporal::api::history::v1::History;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;

/// Beside the kinds of step: what else a definition's run can be in the middle of.
const OTHERS: &[&str] = &[
    "a block",
    "a carried bundle",
    "a carried state",
    "a deployed version",
    "a signal's handler",
    "an update's handler",
    "catch",
    "compensate",
    "finally",
    "when",
];
const UNPACKED_SIZE_BYTES_MAX: usize = 64 << 20;
const AT_ONCE: usize = 4;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// By the files' names.
fn histories() -> Vec<(String, History)> {
    let mut found = Vec::new();
    for group in std::fs::read_dir(folder()).unwrap() {
        for file in std::fs::read_dir(group.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let packed = std::fs::read(&path).unwrap();
            let text = zstd::bulk::decompress(&packed, UNPACKED_SIZE_BYTES_MAX).unwrap();
            let name = path.strip_prefix(folder()).unwrap().display().to_string();
            for line in String::from_utf8(text).unwrap().lines() {
                found.push((name.clone(), history_from_json(line).unwrap()));
            }
        }
    }
    found
}

fn has_begun(history: &History) -> bool {
    let mut events = history.events.iter();
    events.any(|e| e.event_type() == EventType::WorkflowTaskCompleted)
}

fn settings() -> ResolvedSettings {
    let settings = ConnectionSettings {
        disable_config_env: true,
        disable_config_file: true,
        ..ConnectionSettings::default()
    };
    settings.resolve().unwrap()
}

/// What does not replay.
fn replay_all(replay: impl Fn() -> Replay) -> Vec<String> {
    let settings = settings();
    let histories = histories();
    println!("{} histories", histories.len());
    let replayed = stream::iter(&histories).map(async |(name, history)| {
        match replay().run(history, &settings).await {
            Ok(replayed) => match replayed.divergence {
                Some(divergence) => Some(format!("{name}: {}", divergence.text())),
                None if replayed.bound.is_none() && has_begun(history) => {
                    Some(format!("{name}: it is bound to no definition"))
                }
                None => None,
            },
            Err(error) => Some(format!("{name}: {error}")),
        }
    });
    let wrong = replayed
        .buffer_unordered(AT_ONCE)
        .filter_map(async |wrong| wrong);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(wrong.collect())
}

#[test]
fn all_replay() {
    let wrong = replay_all(Replay::default);
    assert!(
        wrong.is_empty(),
        "runs in flight break:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn all_replay_through_the_bytes_of_their_state() {
    let wrong = replay_all(|| Replay {
        through_bytes: true,
        ..Replay::default()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_case_of_the_step_tests_is_recorded() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/steps/cases");
    let mut missing = Vec::new();
    for case in std::fs::read_dir(cases).unwrap() {
        let name = case.unwrap().file_name().into_string().unwrap();
        if !folder().join(format!("steps/{name}.json.zst")).exists() {
            missing.push(name);
        }
    }
    missing.sort();
    assert!(
        missing.is_empty(),
        "no golden history: {}\n`SEGNO_RECORD=1 cargo test --test cluster steps::plainly` records what is missing",
        missing.join(" ")
    );
}

#[test]
fn every_construct_is_recorded() {
    let reached = Arc::new(Reached::default());
    let wrong = replay_all(|| Replay {
        observer: Some(reached.clone()),
        ..Replay::default()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let mut reached = reached.0.lock().unwrap().clone();
    for (_, history) in histories() {
        let Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) =
            &history.events[0].attributes
        else {
            panic!("a history begins with the workflow's start");
        };
        let header = started.header.clone().unwrap_or_default();
        if header.fields.contains_key(STATE_HEADER) {
            reached.insert("a carried state".to_owned());
        } else if header.fields.contains_key(DEFINITION_HEADER) {
            reached.insert("a carried bundle".to_owned());
        }
    }
    let started = STARTED.iter().map(|kind| format!("start {}", kind.key()));
    let wanted = ACTIONS.iter().map(|action| action.key.name.to_owned());
    let wanted = wanted.chain(started);
    let wanted = wanted.chain(OTHERS.iter().map(|other| (*other).to_owned()));
    let missing: Vec<String> = wanted.filter(|wanted| !reached.contains(wanted)).collect();
    assert!(
        missing.is_empty(),
        "no golden history goes through: {}\nthere are those of: {reached:?}",
        missing.join(", ")
    );
}

/// The constructs that replays went through.
#[derive(Debug, Default)]
struct Reached(Mutex<BTreeSet<String>>);

impl Observer for Reached {
    fn saw(&self, moment: &Moment<'_>, event: Event<'_>) {
        let program = &moment.loaded.program;
        let mut reached = self.0.lock().unwrap();
        if !moment.loaded.bundle.version.is_empty() {
            reached.insert("a deployed version".to_owned());
        }
        match event {
            Event::StepBegan { step, .. } => reached.extend(actions(program, step)),
            Event::StepSkipped { .. } => {
                reached.insert("when".to_owned());
            }
            Event::BlockEntered { block } => reached.extend(part(program, block)),
            _ => {}
        }
    }
}

/// The step's key as its author wrote it; of `start` also what it starts.
fn actions(program: &Program, step: StepId) -> Vec<String> {
    let range = program.ranges[step.0 as usize];
    let file = program.sources.file(range.file);
    let text = file.text.get(range.start as usize..).unwrap_or_default();
    let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    let mut words = words.by_ref().filter(|word| !word.is_empty());
    match (words.next(), words.next()) {
        (Some("start"), Some(started)) => vec!["start".to_owned(), format!("start {started}")],
        (key, _) => key.map(str::to_owned).into_iter().collect(),
    }
}

fn part(program: &Program, block: BlockId) -> Option<String> {
    let is_handler =
        |handlers: &[segno::program::Handler]| handlers.iter().any(|h| h.function.body == block);
    let tries = program.steps.iter().filter_map(|step| match &step.action {
        Action::Try(try_) => Some(try_),
        _ => None,
    });
    let part = if is_handler(&program.signals) {
        "a signal's handler"
    } else if is_handler(&program.updates) {
        "an update's handler"
    } else if program.functions.iter().any(|f| f.body == block) {
        "a block"
    } else if program.steps.iter().any(|s| s.compensate == Some(block)) {
        "compensate"
    } else if tries
        .clone()
        .any(|t| t.catches.iter().any(|c| c.body == block))
    {
        "catch"
    } else if tries.clone().any(|t| t.finally == Some(block)) {
        "finally"
    } else {
        return None;
    };
    Some(part.to_owned())
}
