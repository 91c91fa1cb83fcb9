//! The input of the engine: an activation is a list of jobs, in the order of history.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::failure::Failure;
use crate::value::{Duration, Payload, Timestamp, Value};

/// The jobs of one workflow task.
#[derive(Debug, Clone)]
pub struct Activation {
    /// The workflow task's time, the only clock of a run.
    pub now: Timestamp,
    pub is_replaying: bool,
    pub history_length: u32,
    pub history_size_bytes: u64,
    pub continue_as_new_suggested: bool,
    /// Changes of the engine that the history of a replay knows.
    pub flags: Vec<u32>,
    pub jobs: Vec<Job>,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub enum Job {
    Initialize(Box<Initialize>),
    FireTimer {
        seq: u32,
    },
    ResolveActivity {
        seq: u32,
        resolution: Resolution,
    },
    /// A local activity's backoff is longer than a workflow task: the run waits, then schedules it again.
    BackOffActivity {
        seq: u32,
        attempt: u32,
        backoff: Duration,
        original_schedule_time: Option<Timestamp>,
    },
    ChildStarted {
        seq: u32,
        run_id: String,
    },
    ChildNotStarted {
        seq: u32,
        failure: Failure,
    },
    ResolveChild {
        seq: u32,
        resolution: Resolution,
    },
    /// `None`: the signal was delivered.
    ResolveSignalExternal {
        seq: u32,
        failure: Option<Failure>,
    },
    ResolveCancelExternal {
        seq: u32,
        failure: Option<Failure>,
    },
    NexusStarted {
        seq: u32,
        operation_token: Option<String>,
    },
    NexusNotStarted {
        seq: u32,
        failure: Failure,
    },
    ResolveNexus {
        seq: u32,
        resolution: Resolution,
    },
    Signal {
        name: String,
        input: Vec<Value>,
    },
    Update(Update),
    Query {
        id: String,
        name: String,
        args: Vec<Value>,
    },
    Cancel {
        reason: String,
    },
    UpdateRandomSeed(u64),
    /// The rest of the history marks this version of the definition, in the workflow task of this activation.
    HasPatch(String),
    /// The main steps begin, after the messages that arrived before them. Internal to the engine.
    Begin,
    /// An update that was accepted when it arrived, whose handler now starts. Internal to the engine.
    Accepted(Update),
}

/// How an awaited operation ended.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Resolution {
    Completed(Value),
    Failed(Failure),
    /// The failure contains the cancellation that a `catch` sees.
    Cancelled(Failure),
    /// It completed with a result that the run cannot use, so the step fails. Its effect is undone, with as much of the
    /// result as could be read.
    Unusable {
        result: Value,
        failure: Failure,
    },
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Update {
    pub id: String,
    pub protocol_instance_id: String,
    pub name: String,
    pub input: Vec<Value>,
    /// False in a replay: the update was accepted, otherwise it would not be in history.
    pub run_validator: bool,
}

#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct Initialize {
    pub workflow_type: String,
    pub workflow_id: String,
    pub run_id: String,
    pub namespace: String,
    pub task_queue: String,
    pub attempt: u32,
    pub start_time: Timestamp,
    pub random_seed: u64,
    pub arguments: Vec<Value>,
    pub headers: BTreeMap<String, Payload>,
    pub memo: BTreeMap<String, Payload>,
    pub search_attributes: BTreeMap<String, Payload>,
    /// (namespace, workflow id, run id)
    pub parent: Option<(String, String, String)>,
    pub root: Option<(String, String)>,
    pub continued_from_run_id: Option<String>,
    pub first_run_id: String,
    pub cron_schedule: Option<String>,
    pub last_completion_result: Option<Value>,
    pub last_failure: Option<Failure>,
    pub execution_timeout: Option<Duration>,
    pub run_timeout: Option<Duration>,
    pub task_timeout: Option<Duration>,
    /// The newest bundle at the time of a first activation that is not a replay: (digest, encoded). See
    /// ARCHITECTURE.md, "binding".
    pub newest: Option<Arc<EncodedBundle>>,
    /// The previous run continued as new by its own command, so a worker wrote the headers.
    #[serde(skip)]
    pub is_continuation: bool,
}

/// A bundle in its stored form, with its identity.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EncodedBundle {
    pub digest: String,
    /// Its name in the registry, such as `order@12`, or empty.
    pub version: String,
    pub bytes: Vec<u8>,
}
