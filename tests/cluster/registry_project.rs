//! A folder and a registry of its own, for tests that damage registries.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use segno::catalog::Catalog;
use segno::client::{Client, ConnectionSettings, WorkflowRef};
use segno::registry::{ClusterStore, Store};

use super::support::cluster::{Cluster, temporal};
use super::support::run::Run;
use super::support::until;
use super::support::worker::Worker;

pub fn wait<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: std::sync::OnceLock<tokio::runtime::Runtime> = std::sync::OnceLock::new();
    RUNTIME
        .get_or_init(|| tokio::runtime::Runtime::new().unwrap())
        .block_on(future)
}

/// A folder and a registry in a namespace that nobody else has: some damages are told by what else is in it.
pub struct Project {
    pub namespace: String,
    pub registry: &'static str,
    pub folder: tempfile::TempDir,
    pub client: Client,
}

impl Project {
    pub fn new() -> Project {
        let namespace = Cluster::get().unique("damaged");
        let create = ["namespace", "create", &namespace, "--retention", "24h"];
        Cluster::get().segno(&create).ok();
        let settings = ConnectionSettings {
            address: Some(Cluster::get().address.clone()),
            namespace: Some(namespace.clone()),
            disable_config_env: true,
            disable_config_file: true,
            ..ConnectionSettings::default()
        };
        let settings = settings.resolve().unwrap();
        let client = wait(Client::connect(&settings)).unwrap();
        until("the namespace", || {
            wait(client.list_page("", 1, Vec::new())).ok().map(drop)
        });
        Project {
            namespace,
            registry: "segno-registry",
            folder: tempfile::tempdir().unwrap(),
            client,
        }
    }

    pub fn segno(&self, arguments: &[&str]) -> Run {
        Cluster::get().segno(&[arguments, &["--namespace", &self.namespace]].concat())
    }

    /// The official command line.
    pub fn temporal(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(temporal());
        command
            .args(arguments)
            .args(["--address", &Cluster::get().address])
            .args(["--namespace", &self.namespace]);
        Run::of(&mut command)
    }

    pub fn write(&self, workflow: &str, says: &str) {
        let text = format!("segno: 1\nworkflow: {workflow}\nsteps:\n  - return: {says}\n");
        fs::write(self.folder.path().join(format!("{workflow}.yaml")), text).unwrap();
    }

    pub fn deploy(&self) -> Run {
        let folder = self.folder.path().to_str().unwrap();
        self.segno(&["deploy", folder, "--yes", "--output", "json"])
    }

    /// greet@1, greet@2 and part@1, of which greet@1 is tagged.
    pub fn deployed() -> Project {
        let project = Project::new();
        project.write("greet", "one");
        project.deploy().ok();
        project.write("greet", "two");
        project.write("part", "one");
        project.deploy().ok();
        project
            .segno(&["definitions", "tag", "greet@1", "first"])
            .ok();
        project
    }

    pub fn store(&self) -> Arc<dyn Store> {
        Arc::new(ClusterStore::new(
            self.client.clone(),
            self.registry.to_owned(),
        ))
    }

    pub fn catalog(&self) -> Catalog {
        wait(self.store().read()).unwrap()
    }

    pub fn worker(&self) -> Worker {
        Worker::of_deployed(&["--namespace", &self.namespace])
    }

    pub fn says(&self, worker: &Worker, workflow: &str, text: &str) {
        let queue = worker.task_queue.as_str();
        let start = ["start", workflow, "--task-queue", queue, "--wait"];
        until(text, || {
            let run = self.segno(
                &[
                    &start[..],
                    &["--output", "json", "--execution-timeout", "20s"],
                ]
                .concat(),
            );
            (run.code == 0 && run.json()["result"] == text).then_some(())
        });
    }

    pub fn verify(&self) -> Run {
        self.segno(&["definitions", "verify", "--output", "json"])
    }

    /// The ids of the pieces of data that hold bundles.
    pub fn pieces(&self) -> Vec<String> {
        let catalog = self.catalog();
        let versions = catalog.state.definitions.iter().flat_map(|d| &d.versions);
        let pieces = versions.flat_map(|v| v.segment.clone().unwrap().pieces);
        let mut ids: Vec<_> = pieces
            .map(|hash| {
                let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("segno-registry-data/{hex}")
            })
            .collect();
        ids.sort();
        ids.dedup();
        ids
    }

    pub fn end(&self, id: &str) {
        self.temporal(&["workflow", "terminate", "--workflow-id", id])
            .ok();
    }

    pub fn delete(&self, id: &str) {
        self.temporal(&["workflow", "delete", "--yes", "--workflow-id", id])
            .ok();
        self.is_gone(id);
    }

    pub fn is_gone(&self, id: &str) {
        until("its end", || {
            wait(self.client.describe(&WorkflowRef::new(id, None)))
                .err()
                .map(drop)
        });
    }

    /// `temporal workflow terminate --query …`, and until it has reached all of them.
    pub fn end_everything(&self) {
        let running = "ExecutionStatus='Running'";
        until("the list", || {
            (wait(self.client.count(running)).unwrap() >= 4).then_some(())
        });
        let batch = [
            "workflow",
            "terminate",
            "--query",
            running,
            "--yes",
            "--reason",
            "cleanup",
        ];
        self.temporal(&batch).ok();
        let ids = self.ids();
        until("the batch", || {
            let ended = |id: &String| {
                let found = wait(self.client.describe(&WorkflowRef::new(id, None))).unwrap();
                found.workflow.status == "TERMINATED"
            };
            ids.iter().all(ended).then_some(())
        });
    }

    pub fn ids(&self) -> Vec<String> {
        let (found, _) = wait(self.client.list_page("", 100, Vec::new())).unwrap();
        found.into_iter().map(|w| w.workflow_id).collect()
    }
}

pub const COPY: &str = "segno-registry-data/copy/segno-registry";

pub fn numbers(catalog: &Catalog, workflow: &str) -> Vec<u32> {
    let definition = catalog.definition(workflow).unwrap();
    definition.versions.iter().map(|v| v.number).collect()
}

pub fn damages(run: &Run) -> Vec<String> {
    let json = run.json();
    let damages = json["damages"].as_array().unwrap().iter();
    let words = damages.map(|d| {
        format!(
            "{}: {}",
            d["subject"].as_str().unwrap(),
            d["why"].as_str().unwrap()
        )
    });
    words.collect()
}
