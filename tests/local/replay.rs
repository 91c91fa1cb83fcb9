//! `segno replay` on files: each case of `tests/replay/` takes a golden history, changes it or the definition that it is
//! bound to, and has beside it what the command says. `SEGNO_UPDATE=1` writes what it says now.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use segno::bundle::Bundle;
use segno::client::{
    ConnectionSettings, History, ResolvedSettings, history_from_json, history_to_json,
};
use segno::engine::{Loaded, STATE_HEADER};
use segno::registry::read_folder;
use segno::worker::{Replay, RunName};
use serde::Deserialize;
use temporalio_protos::temporal::api::enums::v1::EventType;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::history::v1::{
    ActivityTaskScheduledEventAttributes, HistoryEvent, TimerStartedEventAttributes,
};

const UNPACKED_SIZE_BYTES_MAX: usize = 64 << 20;
const CASES_MIN: usize = 20;

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Case {
    /// A file of `tests/golden/`, and which of its histories.
    golden: String,
    run: usize,
    /// Replaced in the history's text.
    tamper: Vec<Replacement>,
    /// The history's text is cut off after so many bytes.
    cut: Option<usize>,
    /// Replaced in the definition's files, which are put in the folder `changed` then.
    change: Option<Vec<Replacement>>,
    /// Further files.
    files: std::collections::BTreeMap<String, String>,
    /// What comes after `segno replay`.
    arguments: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Replacement {
    from: String,
    to: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Its histories, one a line.
fn golden_lines(name: &str) -> String {
    let path = root().join(format!("tests/golden/{name}.json.zst"));
    let packed = std::fs::read(path).unwrap();
    let text = zstd::bulk::decompress(&packed, UNPACKED_SIZE_BYTES_MAX).unwrap();
    String::from_utf8(text).unwrap()
}

fn golden(name: &str, run: usize) -> String {
    golden_lines(name).lines().nth(run).unwrap().to_owned()
}

fn settings() -> ResolvedSettings {
    let settings = ConnectionSettings {
        disable_config_env: true,
        disable_config_file: true,
        ..ConnectionSettings::default()
    };
    settings.resolve().unwrap()
}

fn replaced(mut text: String, replacements: &[Replacement]) -> String {
    for Replacement { from, to } in replacements {
        text = text.replacen(from, to, 1);
    }
    text
}

/// The files of the definition that the history is bound to.
fn definition(history: &str) -> Vec<(String, String)> {
    let settings = settings();
    let history = history_from_json(history).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let replay = Replay::default();
    let replayed = runtime.block_on(replay.run(&history, &settings)).unwrap();
    let bound = replayed.bound.expect("it is bound to a definition");
    let bundle = Bundle::decode(&bound.bundle.bytes).unwrap();
    let files = bundle.files().iter();
    files
        .map(|file| (file.path.to_string(), file.text.to_string()))
        .collect()
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn said(case: &Case) -> String {
    let folder = tempfile::tempdir().unwrap();
    if !case.golden.is_empty() {
        let original = golden(&case.golden, case.run);
        if let Some(change) = &case.change {
            let files = definition(&original);
            let changed: Vec<String> = files
                .iter()
                .map(|(_, text)| replaced(text.clone(), change))
                .collect();
            let is_changed = files.iter().zip(&changed).any(|(f, to)| f.1 != *to);
            assert!(
                is_changed || change.is_empty(),
                "replaces nothing: {case:#?}"
            );
            for ((name, _), text) in files.iter().zip(&changed) {
                write(&folder.path().join("changed"), name, text);
            }
        }
        let mut history = replaced(original, &case.tamper);
        history.truncate(case.cut.unwrap_or(usize::MAX));
        write(folder.path(), "history.json", &history);
    }
    for (name, text) in &case.files {
        write(folder.path(), name, text);
    }
    let output = Command::new(env!("CARGO_BIN_EXE_segno"))
        .arg("replay")
        .args(&case.arguments)
        .current_dir(folder.path())
        .env("NO_COLOR", "1")
        .env("TEMPORAL_CONFIG_FILE", folder.path().join("none"))
        .output()
        .unwrap();
    let mut text = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    for line in stderr.lines() {
        let _ = writeln!(text, "! {line}");
    }
    let _ = writeln!(text, "exit code {}", output.status.code().unwrap_or(-1));
    text
}

#[test]
fn what_is_said_of_each_case() {
    let mut wrong = Vec::new();
    let mut cases = 0;
    for entry in std::fs::read_dir(root().join("tests/replay")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "yaml") {
            continue;
        }
        cases += 1;
        let case = std::fs::read_to_string(&path).unwrap();
        let case: Case = serde_yaml::from_str(&case)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let text = said(&case);
        let expected = path.with_extension("txt");
        if std::env::var_os("SEGNO_UPDATE").is_some() {
            std::fs::write(&expected, &text).unwrap();
        }
        let expected = std::fs::read_to_string(expected).unwrap_or_default();
        if expected != text {
            wrong.push(format!("{}\n--- came\n{text}", path.display()));
        }
    }
    assert!(cases >= CASES_MIN, "only {cases} cases were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// All golden histories: by the files' names.
fn all_golden() -> Vec<(String, History)> {
    let mut found = Vec::new();
    for group in ["cluster", "steps"] {
        for file in std::fs::read_dir(root().join("tests/golden").join(group)).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let name = format!("{group}/{}", name.trim_end_matches(".json.zst"));
            for line in golden_lines(&name).lines() {
                found.push((name.clone(), history_from_json(line).unwrap()));
            }
        }
    }
    found
}

/// What a worker's command caused, and nothing else.
fn is_caused(event: &HistoryEvent) -> bool {
    use EventType::*;
    matches!(
        event.event_type(),
        ActivityTaskScheduled
            | TimerStarted
            | StartChildWorkflowExecutionInitiated
            | SignalExternalWorkflowExecutionInitiated
            | NexusOperationScheduled
            | UpsertWorkflowSearchAttributes
            | WorkflowPropertiesModified
            | WorkflowExecutionCompleted
            | WorkflowExecutionFailed
            | WorkflowExecutionContinuedAsNew
    )
}

/// In its place there is something that nobody asked for, and nothing after it.
fn tampered(history: &History, at: usize) -> History {
    let mut events = history.events[..=at].to_vec();
    let (event_type, attributes) = match events[at].event_type() {
        EventType::TimerStarted => {
            let activity = ActivityTaskScheduledEventAttributes {
                activity_id: "nobodys".to_owned(),
                ..Default::default()
            };
            let attributes = Attributes::ActivityTaskScheduledEventAttributes(activity);
            (EventType::ActivityTaskScheduled, attributes)
        }
        _ => {
            let timer = TimerStartedEventAttributes {
                timer_id: "nobodys".to_owned(),
                ..Default::default()
            };
            let attributes = Attributes::TimerStartedEventAttributes(timer);
            (EventType::TimerStarted, attributes)
        }
    };
    events[at].event_type = event_type.into();
    events[at].attributes = Some(attributes);
    History { events }
}

#[test]
fn every_golden_history_that_is_tampered_with_diverges_there() {
    let settings = settings();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut tried, mut wrong) = (0, Vec::new());
    for (name, history) in all_golden() {
        for (at, event) in history.events.iter().enumerate() {
            if !is_caused(event) {
                continue;
            }
            tried += 1;
            let history = tampered(&history, at);
            let replay = Replay::default();
            let replayed = runtime.block_on(async {
                tokio::time::timeout(Duration::from_secs(300), replay.run(&history, &settings))
                    .await
            });
            let divergence = match replayed {
                Ok(Ok(replayed)) => replayed.divergence,
                Ok(Err(error)) => {
                    wrong.push(format!("{name} {}: {error}", at + 1));
                    continue;
                }
                Err(_) => {
                    wrong.push(format!("{name} {}: it hangs", at + 1));
                    continue;
                }
            };
            let Some(divergence) = divergence else {
                wrong.push(format!("{name} {}: it replays", at + 1));
                continue;
            };
            let is_there =
                divergence.event_id == Some(event.event_id) && divergence.history.deed.is_some();
            if !is_there {
                wrong.push(format!("{name} {}: {}", at + 1, divergence.text()));
            }
        }
    }
    println!("{tried} histories");
    assert!(
        wrong.is_empty(),
        "{} of {tried}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// The definition that the history is bound to, with a timer before its first step.
fn with_another_first_step(history: &str, workflow: &str) -> Option<Arc<Loaded>> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in definition(history) {
        let first = "\nsteps:\n";
        let text = text.replace(first, &format!("{first}  - id: inserted\n    timer: 7s\n"));
        write(folder.path(), &name, &text);
    }
    let found = read_folder(folder.path()).unwrap();
    let (entry, _) = found.definitions.get(workflow)?;
    Some(entry.loaded.clone())
}

#[test]
fn every_golden_history_diverges_by_a_definition_with_another_first_step() {
    let settings = settings();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut tried, mut wrong) = (0, Vec::new());
    for (name, history) in all_golden() {
        // One timer is like another; some runs end before their first step, or begin in the middle.
        let mut caused = history.events.iter().filter(|event| is_caused(event));
        let is_other = caused.next().is_some_and(|first| {
            use EventType::*;
            matches!(
                first.event_type(),
                ActivityTaskScheduled | StartChildWorkflowExecutionInitiated
            )
        });
        let run = RunName::of(&history).unwrap();
        let json = history_to_json(&history).unwrap().to_string();
        let is_carried = json.contains(STATE_HEADER);
        if !is_other || is_carried {
            continue;
        }
        let Some(changed) = with_another_first_step(&json, &run.workflow_type) else {
            continue;
        };
        tried += 1;
        let replay = Replay {
            changed: Some(changed),
            ..Replay::default()
        };
        let replayed = runtime.block_on(replay.run(&history, &settings)).unwrap();
        let text = replayed.divergence.map(|divergence| divergence.text());
        let is_there = text.as_ref().is_some_and(|text| {
            text.starts_with("event ") && text.contains("starts a timer of 7s at step `inserted`")
        });
        if !is_there {
            wrong.push(format!("{name}: {text:?}"));
        }
    }
    println!("{tried} histories");
    assert!(tried > 100, "only {tried} were tried");
    assert!(
        wrong.is_empty(),
        "{} of {tried}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
