//! How a run started: with which input, and to which definition it was bound.

use std::collections::BTreeMap;

use temporalio_protos::temporal::api::common::v1::Payloads;
use temporalio_protos::temporal::api::history::v1::{
    HistoryEvent, WorkflowExecutionStartedEventAttributes,
};

use super::{Client, ClientError, WorkflowRef};
use crate::engine::{DEFINITION_HEADER, RESOLVE_DEFINITION};
use crate::history::{Commanded, Marker, Meaning, TaskStage};
use crate::payload::{payload_from_proto, payloads_from_proto};
use crate::value::{Payload, Value};

#[derive(Debug, Clone, Default)]
pub(crate) struct Beginning {
    pub(crate) workflow_type: String,
    pub(crate) input: Vec<Payload>,
    /// Whether its first workflow task has completed.
    pub(crate) has_begun: bool,
    /// The packed bundle that it is bound to.
    pub(crate) bundle: Option<Vec<u8>>,
    /// Whether the previous run has handed the bundle on.
    pub(crate) is_carried: bool,
    /// Whether the server starts it again by cron, or after a failure.
    pub(crate) begins_again: bool,
}

impl Client {
    /// Reads as much of the history as needed.
    pub(crate) async fn beginning(&self, workflow: &WorkflowRef) -> Result<Beginning, ClientError> {
        let mut beginning = Beginning::default();
        let mut token = Vec::new();
        loop {
            let (events, next) = self.history_page(workflow, token, false).await?;
            events.iter().for_each(|event| beginning.hear(event));
            match next {
                Some(next) if !beginning.has_begun && beginning.bundle.is_none() => token = next,
                _ => return Ok(beginning),
            }
        }
    }

    /// The inputs of the children that a run has started, by their types.
    pub(crate) async fn inputs_of_children(
        &self,
        workflow: &WorkflowRef,
    ) -> Result<BTreeMap<String, Vec<Vec<Payload>>>, ClientError> {
        let mut inputs: BTreeMap<String, Vec<Vec<Payload>>> = BTreeMap::new();
        let mut token = Vec::new();
        loop {
            let (events, next) = self.history_page(workflow, token, false).await?;
            for event in events {
                if let Meaning::Commanded(Commanded::Child(a)) = Meaning::of(&event) {
                    let workflow_type = a.workflow_type.clone().unwrap_or_default().name;
                    let input = payloads_from_proto(a.input.clone());
                    let known = inputs.entry(workflow_type).or_default();
                    if !known.contains(&input) {
                        known.push(input);
                    }
                }
            }
            match next {
                Some(next) => token = next,
                None => return Ok(inputs),
            }
        }
    }
}

impl Beginning {
    fn hear(&mut self, event: &HistoryEvent) {
        match Meaning::of(event) {
            Meaning::RunStarted(a) => self.started(a),
            Meaning::Task(TaskStage::Completed(_)) => self.has_begun = true,
            // A start's header is only a request: the marker has the result.
            Meaning::Commanded(Commanded::Marker(a)) => {
                if let Marker::LocalActivity(Some(data)) = Marker::of(a)
                    && data.activity_type == RESOLVE_DEFINITION
                {
                    self.bundle = first_bytes(a.details.get("result"));
                }
            }
            _ => {}
        }
    }

    fn started(&mut self, a: &WorkflowExecutionStartedEventAttributes) {
        let header = a
            .header
            .as_ref()
            .and_then(|h| h.fields.get(DEFINITION_HEADER));
        let workflow_type = a.workflow_type.as_ref();
        self.workflow_type = workflow_type.map(|t| t.name.clone()).unwrap_or_default();
        self.input = payloads_from_proto(a.input.clone());
        self.begins_again = !a.cron_schedule.is_empty() || a.retry_policy.is_some();
        self.is_carried = header.is_some();
        self.bundle = header.and_then(|payload| bytes(payload_from_proto(payload.clone())));
    }
}

fn first_bytes(payloads: Option<&Payloads>) -> Option<Vec<u8>> {
    bytes(payload_from_proto(payloads?.payloads.first()?.clone()))
}

fn bytes(payload: Payload) -> Option<Vec<u8>> {
    match payload.decode() {
        Ok(Value::Bytes(bytes)) => Some(bytes.to_vec()),
        _ => None,
    }
}
