//! Deployments on the cluster itself: a workflow that no worker runs, whose history is the log.

mod copy;
mod reader;
mod rescue;

use std::sync::{Arc, Mutex as PlainMutex, PoisonError};

use prost::Message;
use temporalio_protos::temporal::api::common::v1::Payloads;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use tokio::sync::Mutex;

use super::store::{Inspection, Piece, Store, StoreError, data, put_aside, put_data};
use crate::catalog::{Applied, Catalog, Change, Start, State};
use crate::client::{
    Client, ClientError, StartOptions, WorkflowIdConflictPolicy, WorkflowRef, WorkflowTask,
};
use crate::faults::Fault;
use crate::history::{Meaning, RunEnd};
use crate::limits::{REGISTRY_CHANGES_PER_RUN_MAX, REGISTRY_ENTRY_MEMORY_BYTES_MAX};
use crate::payload::payload_from_proto;
use crate::value::{Payload, Value};
use crate::wire::{Bounded, decode_within};
use copy::CopyEnd;
use reader::Reader;

/// The workflow's type, its task queue and, by default, its id.
pub(crate) const REGISTRY: &str = "segno-registry";
/// The type and the task queue of the workflows that contain data, and the prefix of their ids.
pub const REGISTRY_DATA: &str = "segno-registry-data";
const CHANGE: &str = "change";
/// Retries against a client that keeps ending the registry.
const TRIES: usize = 5;

pub struct ClusterStore {
    client: Client,
    workflow_id: String,
    reader: Mutex<Option<Reader>>,
    /// The end of the copy as this process wrote it.
    copy: Mutex<Option<CopyEnd>>,
    notices: PlainMutex<Vec<String>>,
}

/// The registry's latest run.
enum Latest {
    Open {
        run_id: String,
        length: i64,
    },
    Ended {
        run_id: String,
        status: &'static str,
    },
    None,
}

impl ClusterStore {
    pub fn new(client: Client, workflow_id: String) -> Self {
        ClusterStore {
            client,
            workflow_id,
            reader: Mutex::default(),
            copy: Mutex::default(),
            notices: PlainMutex::default(),
        }
    }

    fn workflow(&self, run_id: Option<String>) -> WorkflowRef {
        WorkflowRef::new(self.workflow_id.clone(), run_id)
    }

    fn notice(&self, notice: String) {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        if !notices.contains(&notice) {
            notices.push(notice);
        }
    }

    async fn look(&self) -> Result<Latest, StoreError> {
        match self.client.describe(&self.workflow(None)).await {
            Ok(found) => Ok(match found.workflow.status {
                "RUNNING" | "PAUSED" => Latest::Open {
                    run_id: found.workflow.run_id,
                    length: found.workflow.history_length,
                },
                status => Latest::Ended {
                    run_id: found.workflow.run_id,
                    status,
                },
            }),
            Err(ClientError::NoSuchWorkflow(..)) => Ok(Latest::None),
            Err(error) => Err(unreachable(error)),
        }
    }

    /// The registry's latest run and the length of its history. An ended registry is continued by a new run; one that
    /// never existed is started.
    async fn latest(&self) -> Result<(String, i64), StoreError> {
        for _ in 0..TRIES {
            match self.look().await? {
                Latest::Open { run_id, length } => return Ok((run_id, length)),
                Latest::Ended { run_id, status } => self.revive(Some((run_id, status))).await?,
                Latest::None => self.revive(None).await?,
            }
        }
        Err(StoreError::Refused(format!(
            "the workflow {} does not run; another client keeps ending it",
            self.workflow_id
        )))
    }

    /// Starts a run with this state, unless one is running. Of several clients that continue the same run, with the
    /// same `request_id`, one does.
    async fn begin(
        &self,
        state: Option<State>,
        request_id: Option<String>,
    ) -> Result<(), StoreError> {
        let registry = match state {
            Some(state) => Some(put_data(self, &state).await?),
            None => None,
        };
        let start = StartOptions {
            workflow_type: REGISTRY.to_owned(),
            workflow_id: Some(self.workflow_id.clone()),
            task_queue: self.workflow_id.clone(),
            input: vec![bytes(Start { registry }.encode_to_vec())?],
            id_conflict_policy: Some(WorkflowIdConflictPolicy::UseExisting),
            summary: Some("Segno's definitions. Do not end it.".to_owned()),
            request_id,
            ..StartOptions::default()
        };
        self.client.start(start).await.map_err(unreachable)?;
        Ok(())
    }

    /// Folds what has arrived since the last time, up to at least this event.
    async fn catch_up<'a>(
        &self,
        reader: &'a mut Option<Reader>,
        run_id: &str,
        event_id: i64,
    ) -> Result<&'a mut Reader, StoreError> {
        if !is_at(reader.as_ref(), run_id) {
            *reader = None;
        }
        let reader =
            reader.get_or_insert_with(|| Reader::at(self.workflow(Some(run_id.to_owned()))));
        while reader.last_event_id < event_id && !reader.fold_page(self, true).await? {}
        Ok(reader)
    }

    /// The log, folded to its end. A reader that is new to a run compares it with the copy: a log that is behind its
    /// copy has lost changes, for example by a reset, and one whose beginning cannot be read is useless. Either is
    /// ended and continued from what is left.
    async fn caught_up<'a>(
        &self,
        reader: &'a mut Option<Reader>,
    ) -> Result<&'a mut Reader, StoreError> {
        if Fault::RegistryBeginsAnew.is_on() {
            if !matches!(self.look().await?, Latest::Open { .. }) {
                self.begin(None, None).await?;
            }
            let (run_id, length) = self.latest().await?;
            return self.catch_up(reader, &run_id, length).await;
        }
        for _ in 0..TRIES {
            let (mut run_id, mut length) = self.latest().await?;
            let mut expected = 0;
            if !is_at(reader.as_ref(), &run_id) {
                // The copy is never ahead of a log that is read after it.
                expected = self.copied_revision().await?;
                (run_id, length) = self.latest().await?;
            }
            let why = match self.catch_up(reader, &run_id, length).await {
                Ok(found) if found.catalog.revision() >= expected => break,
                Ok(found) => format!(
                    "it was at revision {}, but its copy is at {expected}",
                    found.catalog.revision()
                ),
                Err(StoreError::Malformed(why)) if expected > 0 => why,
                Err(error) => return Err(error),
            };
            *reader = None;
            self.notice(format!(
                "the log of the registry's workflow {} was damaged ({why}), and is rebuilt",
                self.workflow_id
            ));
            self.end(&run_id, &why).await?;
        }
        reader.as_mut().ok_or_else(|| {
            StoreError::Refused(format!(
                "the workflow {} cannot be rebuilt; another client keeps changing it",
                self.workflow_id
            ))
        })
    }

    /// Ends a run that cannot continue; the next reader continues it.
    async fn end(&self, run_id: &str, why: &str) -> Result<(), StoreError> {
        let run = self.workflow(Some(run_id.to_owned()));
        match self.client.terminate(&run, why, Vec::new()).await {
            Err(error) if !has_ended(&error) => Err(unreachable(error)),
            _ => Ok(()),
        }
    }

    /// The result of a change, in this run.
    async fn outcome(&self, run_id: &str, id: &str) -> Result<Option<Applied>, StoreError> {
        let mut reader = self.reader.lock().await;
        let reader = self.catch_up(&mut reader, run_id, 1).await?;
        loop {
            if let Some((_, applied)) = reader.applied.iter().find(|(i, _)| i == id) {
                let applied = applied.clone();
                if matches!(applied, Applied::Yes(_)) {
                    self.copy_what_is_new(reader).await;
                }
                return Ok(Some(applied));
            }
            if reader.fold_page(self, true).await? {
                return Ok(None);
            }
        }
    }

    /// Lets the registry continue as new with everything that the task's history contains.
    async fn continue_as_new(&self, task: WorkflowTask) -> Result<(), StoreError> {
        let mut reader = None;
        let run_id = task.run_id.clone();
        let reader = self
            .catch_up(&mut reader, &run_id, task.started_event_id)
            .await?;
        let state = put_aside(self, std::mem::take(&mut reader.catalog)).await?;
        let start = Start {
            registry: Some(put_data(self, &state).await?),
        };
        let input = vec![bytes(start.encode_to_vec())?];
        self.client
            .continue_held_as_new(task, REGISTRY, input)
            .await
            .map_err(unreachable)
    }

    async fn start_piece(
        &self,
        hash: &[u8],
        piece: Vec<u8>,
        policy: WorkflowIdConflictPolicy,
    ) -> Result<(), StoreError> {
        let start = StartOptions {
            workflow_type: REGISTRY_DATA.to_owned(),
            workflow_id: Some(piece_id(hash)),
            task_queue: REGISTRY_DATA.to_owned(),
            input: vec![bytes(piece)?],
            id_conflict_policy: Some(policy),
            ..StartOptions::default()
        };
        self.client.start(start).await.map_err(unreachable)?;
        Ok(())
    }
}

#[async_trait::async_trait]
impl Store for ClusterStore {
    fn name(&self) -> String {
        let namespace = self.client.namespace();
        format!("the namespace {namespace} (workflow {})", self.workflow_id)
    }

    async fn read(&self) -> Result<Catalog, StoreError> {
        let mut reader = self.reader.lock().await;
        Ok(self.caught_up(&mut reader).await?.catalog.clone())
    }

    async fn look_up(&self) -> Result<Option<Catalog>, StoreError> {
        let run_id = match self.look().await? {
            Latest::Open { run_id, .. } | Latest::Ended { run_id, .. } => run_id,
            Latest::None => return Ok(None),
        };
        let mut reader = Reader::at(self.workflow(Some(run_id)));
        reader.fold_all(self).await?;
        Ok(Some(reader.catalog).filter(|catalog| catalog.revision() > 0))
    }

    fn notices(&self) -> Vec<String> {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut notices)
    }

    async fn inspect(&self) -> Result<Inspection, StoreError> {
        self.look_for_damage().await
    }

    async fn repair(&self) -> Result<Vec<String>, StoreError> {
        let mut reader = self.reader.lock().await;
        let reader = self.caught_up(&mut reader).await?;
        let done = self.bring_up_to_date(reader).await?;
        let mut said = self.notices();
        said.extend(done);
        Ok(said)
    }

    async fn begin_with(&self, state: State) -> Result<(), StoreError> {
        self.begin_lost_with(state).await
    }

    async fn wait(&self, revision: u64) -> Result<Catalog, StoreError> {
        loop {
            let catalog = self.read().await?;
            if catalog.revision() > revision {
                return Ok(catalog);
            }
            if catalog.revision() < revision {
                return Err(StoreError::Malformed(format!(
                    "it is at revision {}, but was at {revision} before; another client has started it anew",
                    catalog.revision()
                )));
            }
            let mut reader = self.reader.lock().await;
            if let Some(reader) = reader.as_mut() {
                reader.fold_page(self, true).await?;
            }
        }
    }

    async fn send(&self, change: Change) -> Result<Applied, StoreError> {
        loop {
            let mut reader = self.reader.lock().await;
            let found = self.caught_up(&mut reader).await?;
            if found.is_ahead {
                return Err(StoreError::Refused(
                    "changes of the log cannot be read here, and later changes depend on them; to deploy, pass the codecs and keys of the earlier deployments (--codec, --codec-key)"
                        .to_owned(),
                ));
            }
            let workflow = found.run.clone();
            let numbered = found.catalog.numbered(change.clone());
            drop(reader);
            let payload = bytes(numbered.encode_to_vec())?;
            // To the run that was read: it refuses the signal if it continues as new meanwhile.
            match self.client.signal(&workflow, CHANGE, vec![payload]).await {
                Ok(()) => {}
                Err(error) if has_ended(&error) => continue,
                Err(error) => return Err(unreachable(error)),
            }
            let run_id = workflow.run_id.unwrap_or_default();
            if let Some(applied) = self.outcome(&run_id, &change.id).await? {
                return Ok(applied);
            }
        }
    }

    async fn put_piece(&self, hash: &[u8], piece: Vec<u8>) -> Result<(), StoreError> {
        self.start_piece(hash, piece, WorkflowIdConflictPolicy::UseExisting)
            .await
    }

    async fn replace_piece(&self, hash: &[u8], piece: Vec<u8>) -> Result<(), StoreError> {
        self.start_piece(hash, piece, WorkflowIdConflictPolicy::TerminateExisting)
            .await
    }

    async fn piece(&self, hash: &[u8]) -> Result<Piece, StoreError> {
        let workflow = WorkflowRef::new(piece_id(hash), None);
        let events = self.client.first_page(&workflow);
        let events = events.await.map_err(|error| match error {
            // The error is about its content, and nothing else.
            ClientError::NoSuchWorkflow(..) => StoreError::Malformed(format!(
                "the workflow {} does not exist",
                workflow.workflow_id
            )),
            error => unreachable(error),
        })?;
        let ending = events.iter().find_map(|event| {
            ending(event).map(|how| format!("the workflow {} was {how}", workflow.workflow_id))
        });
        match events.into_iter().next().and_then(|event| event.attributes) {
            Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) => Ok(Piece {
                bytes: payload(started.input)?,
                ending,
            }),
            _ => Err(StoreError::Malformed("a piece without its data".to_owned())),
        }
    }

    async fn compact(&self) -> Result<(), StoreError> {
        let changes = match self.reader.lock().await.as_ref() {
            Some(reader) => reader.applied.len() as u64,
            None => 0,
        };
        if changes < REGISTRY_CHANGES_PER_RUN_MAX {
            return Ok(());
        }
        let task = self.client.held_task(&self.workflow_id);
        match task.await.map_err(unreachable)? {
            Some(task) => self.continue_as_new(task).await,
            None => Ok(()),
        }
    }
}

fn is_at(reader: Option<&Reader>, run_id: &str) -> bool {
    reader.is_some_and(|reader| reader.run.run_id.as_deref() == Some(run_id))
}

/// How a workflow ended, if an event closed it.
fn ending(event: &HistoryEvent) -> Option<&'static str> {
    let Meaning::RunEnded(end) = Meaning::of(event) else {
        return None;
    };
    Some(match end {
        RunEnd::Terminated(_) => "terminated",
        RunEnd::Completed(_) => "completed",
        RunEnd::Failed(_) => "failed",
        RunEnd::Cancelled(_) => "cancelled",
        RunEnd::TimedOut(_) => "timed out",
        RunEnd::ContinuedAsNew(_) => "continued as new",
    })
}

fn piece_id(hash: &[u8]) -> String {
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{REGISTRY_DATA}/{hex}")
}

fn bytes(data: Vec<u8>) -> Result<Payload, StoreError> {
    let data: Arc<[u8]> = data.into();
    Payload::from_value(&Value::Bytes(data)).map_err(|e| StoreError::Malformed(e.0))
}

fn payload(input: Option<Payloads>) -> Result<Vec<u8>, StoreError> {
    let first = input.and_then(|input| input.payloads.into_iter().next());
    let payload = first.ok_or_else(|| StoreError::Malformed("an empty input".to_owned()))?;
    let payload = payload_from_proto(payload);
    let encoding = String::from_utf8_lossy(payload.encoding());
    if encoding != "binary/plain" {
        return Err(StoreError::Sealed(format!(
            "it is encoded as {encoding}; to read it, pass the codecs and keys of the deployment (--codec, --codec-key)"
        )));
    }
    Ok(payload.data)
}

fn decoded<M: Bounded>(input: Option<Payloads>) -> Result<M, StoreError> {
    decode_within(&payload(input)?, REGISTRY_ENTRY_MEMORY_BYTES_MAX)
        .map_err(|e| StoreError::Malformed(e.to_string()))
}

fn has_ended(error: &ClientError) -> bool {
    match error {
        ClientError::NoSuchWorkflow(..) => true,
        ClientError::Refused { status, .. } => status.message().contains("already completed"),
        _ => false,
    }
}

fn unreachable(error: ClientError) -> StoreError {
    match error {
        ClientError::Codec(_) => StoreError::Sealed(error.to_string()),
        ClientError::Malformed(..) => StoreError::Malformed(error.to_string()),
        error => StoreError::Unreachable(error.to_string()),
    }
}
