//! Deployments on the cluster itself: a workflow that no worker runs, whose history is the log.

use std::sync::Arc;

use prost::Message;
use temporalio_protos::temporal::api::common::v1::Payloads;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use tokio::sync::Mutex;

use super::store::{Store, StoreError, data, put_data};
use crate::catalog::{Applied, Catalog, Change, Start};
use crate::client::{
    Client, ClientError, StartOptions, WorkflowIdConflictPolicy, WorkflowRef, WorkflowTask,
};
use crate::limits::REGISTRY_CHANGES_PER_RUN_MAX;
use crate::payload::payload_from_proto;
use crate::value::{Payload, Value};

/// The workflow's type, its task queue and, unless somebody names another, its id.
pub const REGISTRY: &str = "segno-registry";
/// The type and the task queue of the workflows that hold data, and the beginning of their ids.
pub const REGISTRY_DATA: &str = "segno-registry-data";
const CHANGE: &str = "change";

pub struct ClusterStore {
    client: Client,
    workflow_id: String,
    reader: Mutex<Option<Reader>>,
}

/// A place in the log, and what was folded up to it.
struct Reader {
    run: WorkflowRef,
    /// Of the page that comes next.
    token: Vec<u8>,
    last_event_id: i64,
    catalog: Catalog,
    /// What became of the changes of this run.
    applied: Vec<(String, Applied)>,
}

impl ClusterStore {
    pub fn new(client: Client, workflow_id: String) -> Self {
        ClusterStore {
            client,
            workflow_id,
            reader: Mutex::default(),
        }
    }

    fn workflow(&self, run_id: Option<String>) -> WorkflowRef {
        WorkflowRef::new(self.workflow_id.clone(), run_id)
    }

    /// The registry's latest run and the length of its history, begun if there is none.
    async fn latest(&self) -> Result<(String, i64), StoreError> {
        for _ in 0..2 {
            match self.client.describe(&self.workflow(None)).await {
                Ok(found) if found.workflow.status == "RUNNING" => {
                    return Ok((found.workflow.run_id, found.workflow.history_length));
                }
                Ok(_) | Err(ClientError::NoSuchWorkflow(..)) => self.begin().await?,
                Err(error) => return Err(unreachable(error)),
            }
        }
        Err(StoreError::Refused(format!(
            "the workflow {} does not run: somebody ended it",
            self.workflow_id
        )))
    }

    async fn begin(&self) -> Result<(), StoreError> {
        let start = StartOptions {
            workflow_type: REGISTRY.to_owned(),
            workflow_id: Some(self.workflow_id.clone()),
            task_queue: self.workflow_id.clone(),
            input: vec![bytes(Start::default().encode_to_vec())?],
            id_conflict_policy: Some(WorkflowIdConflictPolicy::UseExisting),
            summary: Some("Segno's definitions. Do not end it.".to_owned()),
            ..StartOptions::default()
        };
        self.client.start(start).await.map_err(unreachable)?;
        Ok(())
    }

    /// Folds what has come since the last time, up to at least this event.
    async fn catch_up<'a>(
        &self,
        reader: &'a mut Option<Reader>,
        run_id: &str,
        event_id: i64,
    ) -> Result<&'a mut Reader, StoreError> {
        if reader
            .as_ref()
            .is_none_or(|r| r.run.run_id.as_deref() != Some(run_id))
        {
            *reader = None;
        }
        let reader =
            reader.get_or_insert_with(|| Reader::at(self.workflow(Some(run_id.to_owned()))));
        while reader.last_event_id < event_id && !self.fold_page(reader).await? {}
        Ok(reader)
    }

    /// Folds what comes next, and waits for it if need be: for as long as the server lets it. True where the run has ended.
    async fn fold_page(&self, reader: &mut Reader) -> Result<bool, StoreError> {
        let page = self
            .client
            .history_page(&reader.run, reader.token.clone(), true);
        let (events, token) = page.await.map_err(unreachable)?;
        for event in events {
            self.fold(reader, event).await?;
        }
        reader.token = token.clone().unwrap_or_default();
        Ok(token.is_none())
    }

    async fn fold(&self, reader: &mut Reader, event: HistoryEvent) -> Result<(), StoreError> {
        let time = event
            .event_time
            .map_or(0, |t| t.seconds * 1000 + i64::from(t.nanos) / 1_000_000);
        match event.attributes {
            Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) => {
                let start: Start = decoded(started.input)?;
                if let Some(registry) = start.registry {
                    reader.catalog.state = data(self, &registry).await?;
                }
            }
            Some(Attributes::WorkflowExecutionSignaledEventAttributes(signal))
                if signal.signal_name == CHANGE =>
            {
                // What is no change (any client can send signals) counts for nothing.
                if let Ok(change) = decoded::<Change>(signal.input) {
                    let applied = reader.catalog.apply(&change, time);
                    reader.applied.push((change.id, applied));
                }
            }
            _ => {}
        }
        reader.last_event_id = event.event_id;
        Ok(())
    }

    /// What became of a change, in this run.
    async fn outcome(&self, run_id: &str, id: &str) -> Result<Option<Applied>, StoreError> {
        let mut reader = self.reader.lock().await;
        let reader = self.catch_up(&mut reader, run_id, 1).await?;
        loop {
            if let Some((_, applied)) = reader.applied.iter().find(|(i, _)| i == id) {
                return Ok(Some(applied.clone()));
            }
            if self.fold_page(reader).await? {
                return Ok(None);
            }
        }
    }

    /// Lets the registry continue as new with all that the task's history has folded to.
    async fn continue_as_new(&self, task: WorkflowTask) -> Result<(), StoreError> {
        let mut reader = None;
        let run_id = task.run_id.clone();
        let reader = self
            .catch_up(&mut reader, &run_id, task.started_event_id)
            .await?;
        let mut catalog = std::mem::take(&mut reader.catalog);
        if let Some(page) = catalog.take_old_records() {
            catalog.state.older = Some(put_data(self, &page).await?);
        }
        let start = Start {
            registry: Some(put_data(self, &catalog.state).await?),
        };
        let input = vec![bytes(start.encode_to_vec())?];
        self.client
            .continue_held_as_new(task, REGISTRY, input)
            .await
            .map_err(unreachable)
    }
}

#[async_trait::async_trait]
impl Store for ClusterStore {
    fn name(&self) -> String {
        let namespace = self.client.namespace();
        format!("the namespace {namespace} (workflow {})", self.workflow_id)
    }

    async fn read(&self) -> Result<Catalog, StoreError> {
        let (run_id, length) = self.latest().await?;
        let mut reader = self.reader.lock().await;
        let reader = self.catch_up(&mut reader, &run_id, length).await?;
        Ok(reader.catalog.clone())
    }

    async fn wait(&self, revision: u64) -> Result<Catalog, StoreError> {
        loop {
            let catalog = self.read().await?;
            if catalog.revision() > revision {
                return Ok(catalog);
            }
            let mut reader = self.reader.lock().await;
            if let Some(reader) = reader.as_mut() {
                self.fold_page(reader).await?;
            }
        }
    }

    async fn send(&self, change: Change) -> Result<Applied, StoreError> {
        let payload = bytes(change.encode_to_vec())?;
        loop {
            let (run_id, _) = self.latest().await?;
            // To the run that is looked at: one that continues as new meanwhile refuses it.
            let workflow = self.workflow(Some(run_id.clone()));
            match self
                .client
                .signal(&workflow, CHANGE, vec![payload.clone()])
                .await
            {
                Ok(()) => {}
                Err(error) if has_ended(&error) => continue,
                Err(error) => return Err(unreachable(error)),
            }
            if let Some(applied) = self.outcome(&run_id, &change.id).await? {
                return Ok(applied);
            }
        }
    }

    async fn put_piece(&self, hash: &[u8], piece: Vec<u8>) -> Result<(), StoreError> {
        let start = StartOptions {
            workflow_type: REGISTRY_DATA.to_owned(),
            workflow_id: Some(piece_id(hash)),
            task_queue: REGISTRY_DATA.to_owned(),
            input: vec![bytes(piece)?],
            id_conflict_policy: Some(WorkflowIdConflictPolicy::UseExisting),
            ..StartOptions::default()
        };
        self.client.start(start).await.map_err(unreachable)?;
        Ok(())
    }

    async fn piece(&self, hash: &[u8]) -> Result<Vec<u8>, StoreError> {
        let workflow = WorkflowRef::new(piece_id(hash), None);
        let page = self.client.history_page(&workflow, Vec::new(), false);
        let (events, _) = page.await.map_err(|error| match error {
            // It concerns what is in it, and nothing else.
            ClientError::NoSuchWorkflow(..) => StoreError::Malformed(format!(
                "the workflow {} is not there",
                workflow.workflow_id
            )),
            error => unreachable(error),
        })?;
        match events.into_iter().next().and_then(|event| event.attributes) {
            Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) => {
                payload(started.input)
            }
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

impl Reader {
    fn at(run: WorkflowRef) -> Self {
        Reader {
            run,
            token: Vec::new(),
            last_event_id: 0,
            catalog: Catalog::default(),
            applied: Vec::new(),
        }
    }
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
        return Err(StoreError::Malformed(format!(
            "it is encoded as {encoding}: whoever reads it needs the codecs and keys of whoever deployed (--codec, --codec-key)"
        )));
    }
    Ok(payload.data)
}

fn decoded<M: Message + Default>(input: Option<Payloads>) -> Result<M, StoreError> {
    M::decode(payload(input)?.as_slice()).map_err(|e| StoreError::Malformed(e.to_string()))
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
        ClientError::Codec(_) | ClientError::Malformed(..) => {
            StoreError::Malformed(error.to_string())
        }
        error => StoreError::Unreachable(error.to_string()),
    }
}
