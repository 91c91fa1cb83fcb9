//! What the host tells the engine: an activation is a list of jobs, in the order in which history has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::failure::Failure;
use crate::value::{Duration, Payload, Timestamp, Value};

/// One workflow task's news.
#[derive(Debug, Clone)]
pub struct Activation {
    /// The workflow task's time: all the time there is.
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
    /// A local activity's backoff is longer than a workflow task: wait, then schedule it again.
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
    /// The history ahead marks this version of the definition, in the workflow task of this activation.
    HasPatch(String),
    /// The main steps begin: after the messages that came before them. The engine's own.
    Begin,
    /// An update that was accepted when it came; its handler is to begin. The engine's own.
    Accepted(Update),
}

/// How something that was awaited ended.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Resolution {
    Completed(Value),
    Failed(Failure),
    /// The failure carries the cancellation: what the catch of it sees.
    Cancelled(Failure),
    /// It completed with a result that the run cannot use, so the step fails. What it did is undone, with the result as far as it could be read.
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
    /// False on replay: the update was accepted, or it would not be in history.
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
    /// The run before continued as new by its own command, so a worker wrote the headers.
    #[serde(skip)]
    pub is_continuation: bool,
}

/// A bundle in its stored form, with its identity.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EncodedBundle {
    pub digest: String,
    /// As `order@12`: its name in the registry that it came from, or empty.
    pub version: String,
    pub bytes: Vec<u8>,
}
