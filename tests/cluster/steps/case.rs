//! A case as its folder has it.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value as Json;

use super::support::root;

/// In a script these stand for the workflow's id and for the addresses of the cases' HTTP server and of the cluster.
pub const WORKFLOW_ID: &str = "ID";
pub const HTTP: &str = "HTTP";
pub const SERVER: &str = "SERVER";

/// Fewer would say that some were not found.
const CASES_MIN: usize = 150;

pub struct Case {
    pub name: String,
    pub folder: PathBuf,
    pub script: Script,
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    pub start: Start,
    pub actions: Vec<Action>,
    /// Why the order of the events of a run is not settled: they are compared sorted.
    pub unordered: Option<String>,
    /// The same where the worker is killed: it decides later, on more that has happened.
    pub unordered_when_killed: Option<String>,
}

/// How the case is started; what is left out is the server's default.
#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Start {
    /// Without it the type that has the case's name.
    pub workflow: Option<String>,
    pub input: Option<Json>,
    pub args: Vec<Json>,
    pub execution_timeout: Option<String>,
    pub run_timeout: Option<String>,
    pub task_timeout: Option<String>,
    pub maximum_attempts: Option<u32>,
    pub memo: serde_json::Map<String, Json>,
    pub search_attributes: serde_json::Map<String, Json>,
    /// The name of a signal that comes with the start, and its argument.
    pub signal: Option<String>,
    pub signal_input: Option<Json>,
}

/// One of `signal`, `query`, `update`, `cancel` and `terminate`, done as soon as `after` holds.
#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Action {
    /// Beginnings of lines of the history as `expected.txt` has them; each is awaited.
    pub after: After,
    pub signal: Option<String>,
    pub query: Option<String>,
    pub update: Option<String>,
    /// The reason.
    pub cancel: Option<String>,
    /// The reason.
    pub terminate: Option<String>,
    pub input: Option<Json>,
    /// Another workflow than the case's own.
    pub workflow: Option<String>,
    /// The id of an update: two with the same id are one.
    pub id: Option<String>,
    /// Whether an update is waited for until it is accepted only.
    pub accepted: bool,
    /// The answer until which a query is repeated.
    pub until: Option<Json>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(untagged)]
pub enum After {
    #[default]
    Nothing,
    Line(String),
    Lines(Vec<String>),
}

impl After {
    pub fn lines(&self) -> &[String] {
        match self {
            After::Nothing => &[],
            After::Line(line) => std::slice::from_ref(line),
            After::Lines(lines) => lines,
        }
    }
}

/// All cases, or those whose names contain what `SEGNO_STEPS` says.
pub fn all() -> Vec<Case> {
    let wanted = std::env::var("SEGNO_STEPS").unwrap_or_default();
    let folder = root().join("tests/steps/cases");
    let mut cases: Vec<Case> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| read(&entry.unwrap().path()))
        .filter(|case| case.name.contains(&wanted))
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!cases.is_empty(), "no case's name contains {wanted:?}");
    assert!(
        !wanted.is_empty() || cases.len() >= CASES_MIN,
        "only {} cases were found",
        cases.len()
    );
    cases
}

fn read(folder: &Path) -> Case {
    let text = std::fs::read_to_string(folder.join("script.yaml")).unwrap_or_default();
    let script = match text.trim() {
        "" => Script::default(),
        text => serde_yaml::from_str(text)
            .unwrap_or_else(|e| panic!("{}/script.yaml: {e}", folder.display())),
    };
    Case {
        name: folder.file_name().unwrap().to_string_lossy().into_owned(),
        folder: folder.to_owned(),
        script,
    }
}

impl Case {
    /// Copies the case's definitions into a folder for a worker.
    pub fn copy_definitions(&self, to: &Path) {
        copy_definitions(&self.folder, &to.join(&self.name));
    }

    /// A case whose history is another one by right when its worker dies has that history in a file of its own.
    pub fn expected(&self, is_killed: bool) -> PathBuf {
        let when_killed = self.folder.join("expected-killed.txt");
        match is_killed && when_killed.exists() {
            true => when_killed,
            false => self.folder.join("expected.txt"),
        }
    }
}

fn copy_definitions(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if path.is_dir() {
            copy_definitions(&path, &to.join(name));
        } else if path.extension().is_some_and(|e| e == "yaml") && name != "script.yaml" {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}
