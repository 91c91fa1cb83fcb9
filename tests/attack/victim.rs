//! A worker under attack, and a run on it that has to go on meanwhile.

use std::path::Path;
use std::sync::OnceLock;

use segno::bundle::{Bundle, BundleFile, Versions};
use segno::client::{
    ActivityRef, Client, ConnectionSettings, QueryAnswer, QueryReject, StartOptions, UpdateOptions,
    WorkflowRef, history_to_json,
};
use segno::value::{Duration, Payload, Value};
use serde_json::{Value as Json, json};

use super::support::cluster::Cluster;
use super::support::until;
use super::support::worker::{Worker, Workflow};

/// A worker's memory at its peak, the program's own pages included, in builds without optimisation.
pub const MEMORY_KIB_MAX: u64 = 512 * 1024;
/// What the kernel lets it have (`RLIMIT_DATA`): its heap and all threads' stacks, used or not. It refuses more at once, where memory in use is only looked at afterwards.
pub const DATA_SIZE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// The allocator reserves little (in KiB), and takes of it only what it needs: the kernel counts both.
pub const ALLOCATOR: [(&str, &str); 2] = [
    ("MIMALLOC_ARENA_RESERVE", "32768"),
    ("MIMALLOC_ARENA_EAGER_COMMIT", "0"),
];

pub struct Victim {
    pub worker: Worker,
    pub folder: tempfile::TempDir,
    client: Client,
}

/// Counts signals until it is told to end.
pub const BESIDE: &str = "\
segno: 1
workflow: beside
state: { n: 0 }
signals:
  add: { do: [{ set: { n: \"${ state.n + 1 }\" } }] }
queries: { n: \"${ state.n }\" }
steps:
  - wait: { signal: end }
  - return: ${ state.n }
";

/// What the attacked starts run: it answers its own name.
pub const OWN: &str = "\
segno: 1
workflow: own
steps:
  - timer: 10ms
  - return: own
";

/// Fails in each attempt but the third.
const AGAIN: &str = "\
segno: 1
workflow: again
steps:
  - if: workflow.attempt < 3
    then: [{ fail: { type: Again, message: again } }]
  - return: own
";

impl Victim {
    pub fn new() -> Victim {
        Victim::with(&[], &["--exec-allow", "touch=/usr/bin/touch"])
    }

    /// One that serves further definitions.
    pub fn with(definitions: &[(&str, &str)], arguments: &[&str]) -> Victim {
        let folder = tempfile::tempdir().unwrap();
        let own = [("beside", BESIDE), ("own", OWN), ("again", AGAIN)];
        for (name, text) in own.iter().chain(definitions) {
            std::fs::write(folder.path().join(format!("{name}.yaml")), text).unwrap();
        }
        let worker = Worker::with(folder.path(), arguments, &ALLOCATOR);
        worker.bound_memory(DATA_SIZE_BYTES_MAX);
        let settings = ConnectionSettings {
            address: Some(Cluster::get().address.clone()),
            disable_config_env: true,
            disable_config_file: true,
            ..ConnectionSettings::default()
        };
        let client = wait(Client::connect(&settings.resolve().unwrap())).unwrap();
        Victim {
            worker,
            folder,
            client,
        }
    }

    /// A run that is attacked by messages.
    pub fn attacked(&self, workflow: &str) -> WorkflowRef {
        let id = Cluster::get().unique("attacked");
        self.begin(StartOptions {
            workflow_type: workflow.to_owned(),
            workflow_id: Some(id.clone()),
            // What is bounded takes its time without optimisation.
            task_timeout: Some(seconds(60)),
            ..StartOptions::default()
        });
        WorkflowRef::new(id, None)
    }

    pub fn signal(&self, workflow: &WorkflowRef, name: &str, payloads: Vec<Payload>) {
        wait(self.client.signal(workflow, name, payloads)).unwrap();
    }

    /// The answer to a query, or why there is none.
    pub fn query(
        &self,
        workflow: &WorkflowRef,
        name: &str,
        input: Payload,
    ) -> Result<Value, String> {
        self.query_of(workflow, name, vec![input])
    }

    pub fn query_of(
        &self,
        workflow: &WorkflowRef,
        name: &str,
        input: Vec<Payload>,
    ) -> Result<Value, String> {
        until("an answer to a query", || {
            let never = QueryReject::Never;
            match wait(self.client.query(workflow, name, input.clone(), never)) {
                Ok(QueryAnswer::Result(mut payloads)) => {
                    Some(Ok(payloads.remove(0).decode().unwrap()))
                }
                Ok(QueryAnswer::Failed(failure)) => Some(Err(failure.message)),
                Ok(QueryAnswer::Rejected { status }) => panic!("{status}"),
                // It may have been busy for as long as the server waits.
                Err(_) => None,
            }
        })
    }

    /// Why an update was refused.
    pub fn refused_update(&self, workflow: &WorkflowRef, name: &str, input: Payload) -> String {
        self.refused_update_of(workflow, name, vec![input])
    }

    pub fn refused_update_of(
        &self,
        workflow: &WorkflowRef,
        name: &str,
        input: Vec<Payload>,
    ) -> String {
        let options = UpdateOptions {
            name: name.to_owned(),
            input,
            ..UpdateOptions::default()
        };
        let answer = until("an answer to an update", || {
            // The server gives up where a workflow task takes long.
            wait(self.client.update(workflow, options.clone())).ok()
        });
        answer
            .outcome
            .expect("it is refused at once")
            .expect_err("it is refused")
            .message
    }

    /// As a worker of any SDK can.
    pub fn complete_activity(&self, workflow: &WorkflowRef, id: &str, result: Vec<Payload>) {
        let activity = ActivityRef::Ids {
            workflow: workflow.clone(),
            activity_id: id.to_owned(),
        };
        until("an activity", || {
            wait(self.client.complete_activity(&activity, result.clone())).ok()
        });
    }

    pub fn result(&self, workflow: &WorkflowRef) -> Json {
        let run = Cluster::get().segno(&["result", &workflow.workflow_id, "--output", "json"]);
        assert!(run.code < 2, "{run:#?}");
        run.json()
    }

    #[track_caller]
    pub fn assert_no_task_failed(&self, workflow: &WorkflowRef) {
        let history = history_to_json(&wait(self.client.history(workflow)).unwrap()).unwrap();
        let text = history.to_string();
        assert!(!text.contains("WORKFLOW_TASK_FAILED"), "{history:#}");
    }

    pub fn beside(&self) -> Workflow<'_> {
        self.worker.launch("beside", &Json::Null)
    }

    /// Starts a workflow as any client can, and waits for its end.
    pub fn start(&self, options: StartOptions) -> Json {
        let id = options.workflow_id.clone();
        let id = id.unwrap_or_else(|| Cluster::get().unique("attacked"));
        self.begin(StartOptions {
            workflow_id: Some(id.clone()),
            ..options
        });
        self.result(&WorkflowRef::new(id, None))
    }

    pub fn begin(&self, options: StartOptions) {
        let options = StartOptions {
            task_queue: self.worker.task_queue.clone(),
            task_timeout: options.task_timeout.or(Some(seconds(2))),
            execution_timeout: Some(seconds(100)),
            ..options
        };
        wait(self.client.start(options)).unwrap();
    }

    /// The worker lives, with the memory that a worker may need.
    #[track_caller]
    pub fn assert_unharmed(&self) {
        let peak = self.worker.peak_memory_kib();
        assert!(peak < MEMORY_KIB_MAX, "the worker took {peak} KiB");
    }
}

fn seconds(seconds: i64) -> Duration {
    Duration { seconds, nanos: 0 }
}

pub fn wait<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME
        .get_or_init(|| tokio::runtime::Runtime::new().unwrap())
        .block_on(future)
}

/// A definition, packed as a run carries it.
pub fn bundle(workflow: &str, text: &str) -> Vec<u8> {
    let entry = BundleFile {
        path: format!("{workflow}.yaml").into(),
        text: text.into(),
    };
    let bundle = Bundle::from_files(workflow, Versions::NEWEST, entry, 0, Vec::new());
    bundle.unwrap().encode().unwrap()
}

/// A definition that runs a program, which leaves a trace.
pub fn foreign(workflow: &str, trace: &Path) -> Vec<u8> {
    let trace = json!(trace.display().to_string());
    let text = format!(
        "segno: 1\nworkflow: {workflow}\nsteps:\n  - exec: {{ command: [touch, {trace}] }}\n  - return: foreign\n"
    );
    bundle(workflow, &text)
}

pub fn json_payload(text: impl AsRef<[u8]>) -> Payload {
    payload("json/plain", text.as_ref())
}

pub fn bytes(bytes: &[u8]) -> Payload {
    Payload::from_value(&Value::Bytes(bytes.into())).unwrap()
}

/// A payload of any encoding.
pub fn payload(encoding: &str, data: &[u8]) -> Payload {
    Payload {
        metadata: [("encoding".to_owned(), encoding.as_bytes().to_vec())].into(),
        data: data.to_vec(),
    }
}
