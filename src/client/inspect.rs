//! Inspecting workflows: one with what it waits for, many by a query, one's history.

use std::collections::BTreeSet;

use temporalio_client::grpc::WorkflowService;
use temporalio_protos::temporal::api::enums::v1::PendingActivityState;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::history::v1::{History, HistoryEvent};
use temporalio_protos::temporal::api::workflow::v1 as proto;
use temporalio_protos::temporal::api::workflowservice::v1::{
    CountWorkflowExecutionsRequest, DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse, GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse, ListWorkflowExecutionsRequest,
};

use super::message::status_name;
use super::{Client, ClientError, WorkflowRef, body, request};
use crate::engine::failure::Failure;
use crate::payload::{
    failure_from_proto, is_encrypted, map_from_proto, payloads_from_proto, timestamp_from_proto,
};
use crate::value::{Map, Payload, Timestamp};

/// One run of a workflow, as in lists.
#[derive(Debug, Clone)]
pub struct WorkflowSummary {
    pub workflow_id: String,
    pub run_id: String,
    pub(crate) workflow_type: String,
    /// Temporal's word: RUNNING, COMPLETED, FAILED, CANCELED, TERMINATED, CONTINUED_AS_NEW, TIMED_OUT, PAUSED.
    pub status: &'static str,
    pub(crate) task_queue: String,
    pub(crate) start_time: Option<Timestamp>,
    pub(crate) close_time: Option<Timestamp>,
    pub history_length: i64,
    pub history_size_bytes: i64,
    pub(crate) parent: Option<WorkflowRef>,
    pub(crate) memo: Map,
    pub(crate) search_attributes: Map,
    /// The version of a worker deployment that the run is on.
    pub(crate) version: Option<RunVersion>,
}

#[derive(Debug, Clone)]
pub(crate) struct RunVersion {
    pub(crate) deployment_name: String,
    pub(crate) build_id: String,
    /// Temporal's word: PINNED or AUTO_UPGRADE.
    pub(crate) behavior: &'static str,
}

/// A run with what it waits for.
#[derive(Debug, Clone)]
pub struct Description {
    pub workflow: WorkflowSummary,
    pub pending_activities: Vec<PendingActivity>,
    pub(crate) pending_children: Vec<PendingChild>,
    /// The attempt of the current workflow task; more than one indicates a problem.
    pub(crate) workflow_task_attempt: Option<i32>,
}

#[derive(Debug, Clone)]
pub struct PendingActivity {
    pub(crate) activity_id: String,
    pub(crate) activity_type: String,
    /// Temporal's word: SCHEDULED, STARTED, CANCEL_REQUESTED, PAUSED, PAUSE_REQUESTED.
    pub(crate) state: &'static str,
    pub attempt: i32,
    /// 0: unlimited.
    pub(crate) maximum_attempts: i32,
    pub(crate) last_heartbeat_time: Option<Timestamp>,
    pub(crate) heartbeat_details: Vec<Payload>,
    pub(crate) last_failure: Option<Failure>,
    pub(crate) next_attempt_time: Option<Timestamp>,
}

#[derive(Debug, Clone)]
pub(crate) struct PendingChild {
    pub(crate) workflow_id: String,
    pub(crate) run_id: String,
    pub(crate) workflow_type: String,
}

/// A page of a history that strangers may add to.
pub(crate) struct OpenPage {
    pub(crate) events: Vec<HistoryEvent>,
    /// The ids of those events that are signals and arrived encrypted: one that could be decoded is from a client with
    /// a key.
    pub(crate) sealed: BTreeSet<i64>,
    /// The token of the next page.
    pub(crate) next: Option<Vec<u8>>,
}

fn is_sealed_signal(event: &HistoryEvent) -> bool {
    match &event.attributes {
        Some(Attributes::WorkflowExecutionSignaledEventAttributes(signal)) => {
            let input = signal.input.iter().flat_map(|input| &input.payloads);
            input.into_iter().all(is_encrypted)
        }
        _ => false,
    }
}

impl Client {
    pub async fn describe(&self, workflow: &WorkflowRef) -> Result<Description, ClientError> {
        let message = DescribeWorkflowExecutionRequest {
            namespace: self.namespace.clone(),
            execution: Some(workflow.to_proto()),
        };
        let answer = self
            .connection
            .clone()
            .describe_workflow_execution(request(message))
            .await;
        let refused = self.refused("describe the workflow", Some(workflow));
        let mut answer = body(answer.map_err(refused)?);
        self.codec.decode_what_can_be(&mut answer).await;
        let missing = ClientError::Malformed("describe the workflow", "the workflow");
        description(answer).ok_or(missing)
    }

    /// One page of the workflows that match, newest first, and the token of the next page if there is one.
    pub async fn list_page(
        &self,
        query: &str,
        page_size: i32,
        token: Vec<u8>,
    ) -> Result<(Vec<WorkflowSummary>, Option<Vec<u8>>), ClientError> {
        let message = ListWorkflowExecutionsRequest {
            namespace: self.namespace.clone(),
            page_size,
            next_page_token: token,
            query: query.to_owned(),
        };
        let answer = self
            .connection
            .clone()
            .list_workflow_executions(request(message))
            .await;
        let mut answer = body(answer.map_err(self.refused("list workflows", None))?);
        self.codec.decode_what_can_be(&mut answer).await;
        let next = answer.next_page_token;
        let workflows = answer.executions.into_iter().map(summary).collect();
        Ok((workflows, (!next.is_empty()).then_some(next)))
    }

    /// The number of matching workflows.
    pub async fn count(&self, query: &str) -> Result<i64, ClientError> {
        let message = CountWorkflowExecutionsRequest {
            namespace: self.namespace.clone(),
            query: query.to_owned(),
        };
        let answer = self
            .connection
            .clone()
            .count_workflow_executions(request(message))
            .await;
        Ok(body(answer.map_err(self.refused("count workflows", None))?).count)
    }

    /// The whole history of one run.
    pub async fn history(&self, workflow: &WorkflowRef) -> Result<History, ClientError> {
        let mut history = History::default();
        let mut token = Vec::new();
        loop {
            let mut answer = self.encoded_page(workflow, token, false).await?;
            self.codec.decode_each(&mut answer).await?;
            let (events, next) = page(answer);
            history.events.extend(events);
            token = match next {
                Some(next) => next,
                None => return Ok(history),
            };
        }
    }

    /// The history with its payloads still encoded.
    pub(crate) async fn encoded_history(
        &self,
        workflow: &WorkflowRef,
    ) -> Result<History, ClientError> {
        let mut history = History::default();
        let mut token = Vec::new();
        loop {
            let answer = self.encoded_page(workflow, token, false).await?;
            let (events, next) = page(answer);
            history.events.extend(events);
            token = match next {
                Some(next) => next,
                None => return Ok(history),
            };
        }
    }

    /// One page of a run's history, and the token of the next page if there is one. With `wait`, the call waits for the
    /// next page until the run has closed. The server may stop waiting before; the page is then empty.
    pub async fn history_page(
        &self,
        workflow: &WorkflowRef,
        token: Vec<u8>,
        wait: bool,
    ) -> Result<(Vec<HistoryEvent>, Option<Vec<u8>>), ClientError> {
        let mut answer = self.encoded_page(workflow, token, wait).await?;
        self.codec.decode(&mut answer).await?;
        Ok(page(answer))
    }

    /// One page of a history that strangers may add to: a payload that cannot be decoded stays encoded.
    pub(crate) async fn open_history_page(
        &self,
        workflow: &WorkflowRef,
        token: Vec<u8>,
        wait: bool,
    ) -> Result<OpenPage, ClientError> {
        let mut answer = self.encoded_page(workflow, token, wait).await?;
        let events = answer.history.iter().flat_map(|history| &history.events);
        let sealed = events.filter(|event| is_sealed_signal(event));
        let sealed = sealed.map(|event| event.event_id).collect();
        self.codec.decode_each(&mut answer).await?;
        let (events, next) = page(answer);
        Ok(OpenPage {
            events,
            sealed,
            next,
        })
    }

    /// The first page of a history that strangers may add to: its first event decoded, all others unchanged.
    pub(crate) async fn first_page(
        &self,
        workflow: &WorkflowRef,
    ) -> Result<Vec<HistoryEvent>, ClientError> {
        let answer = self.encoded_page(workflow, Vec::new(), false).await?;
        let (mut events, _) = page(answer);
        if let Some(first) = events.first_mut() {
            self.codec.decode(first).await?;
        }
        Ok(events)
    }

    /// Decodes an event that was left encoded because its whole page would have inflated to too much.
    pub(crate) async fn decode_event(&self, event: &mut HistoryEvent) -> Result<(), ClientError> {
        Ok(self.codec.decode_left(event).await?)
    }

    async fn encoded_page(
        &self,
        workflow: &WorkflowRef,
        token: Vec<u8>,
        wait: bool,
    ) -> Result<GetWorkflowExecutionHistoryResponse, ClientError> {
        let message = GetWorkflowExecutionHistoryRequest {
            namespace: self.namespace.clone(),
            execution: Some(workflow.to_proto()),
            next_page_token: token,
            wait_new_event: wait,
            ..Default::default()
        };
        let mut service = self.connection.clone();
        let answer = service
            .get_workflow_execution_history(request(message))
            .await;
        let refused = self.refused("read the workflow's history", Some(workflow));
        Ok(body(answer.map_err(refused)?))
    }
}

fn page(answer: GetWorkflowExecutionHistoryResponse) -> (Vec<HistoryEvent>, Option<Vec<u8>>) {
    let next = answer.next_page_token;
    let events = answer.history.map(|h| h.events).unwrap_or_default();
    (events, (!next.is_empty()).then_some(next))
}

fn summary(info: proto::WorkflowExecutionInfo) -> WorkflowSummary {
    let status = status_name(info.status());
    let execution = info.execution.unwrap_or_default();
    let memo = info.memo.map(|m| m.fields).unwrap_or_default();
    let attributes = info
        .search_attributes
        .map(|a| a.indexed_fields)
        .unwrap_or_default();
    WorkflowSummary {
        workflow_id: execution.workflow_id,
        run_id: execution.run_id,
        workflow_type: info.r#type.map(|t| t.name).unwrap_or_default(),
        status,
        task_queue: info.task_queue,
        start_time: info.start_time.map(timestamp_from_proto),
        close_time: info.close_time.map(timestamp_from_proto),
        history_length: info.history_length,
        history_size_bytes: info.history_size_bytes,
        parent: info
            .parent_execution
            .map(|parent| WorkflowRef::new(parent.workflow_id, Some(parent.run_id))),
        memo: map_from_proto(memo),
        search_attributes: map_from_proto(attributes),
        version: info.versioning_info.and_then(run_version),
    }
}

fn run_version(info: proto::WorkflowExecutionVersioningInfo) -> Option<RunVersion> {
    let behavior = info.behavior().as_str_name();
    let version = info.deployment_version?;
    Some(RunVersion {
        deployment_name: version.deployment_name,
        build_id: version.build_id,
        behavior: behavior.trim_start_matches("VERSIONING_BEHAVIOR_"),
    })
}

fn description(answer: DescribeWorkflowExecutionResponse) -> Option<Description> {
    Some(Description {
        workflow: summary(answer.workflow_execution_info?),
        pending_activities: answer
            .pending_activities
            .into_iter()
            .map(pending_activity)
            .collect(),
        pending_children: answer
            .pending_children
            .into_iter()
            .map(|child| PendingChild {
                workflow_id: child.workflow_id,
                run_id: child.run_id,
                workflow_type: child.workflow_type_name,
            })
            .collect(),
        workflow_task_attempt: answer.pending_workflow_task.map(|task| task.attempt),
    })
}

fn pending_activity(activity: proto::PendingActivityInfo) -> PendingActivity {
    PendingActivity {
        state: activity_state_name(activity.state()),
        activity_id: activity.activity_id,
        activity_type: activity.activity_type.map(|t| t.name).unwrap_or_default(),
        attempt: activity.attempt,
        maximum_attempts: activity.maximum_attempts,
        last_heartbeat_time: activity.last_heartbeat_time.map(timestamp_from_proto),
        heartbeat_details: payloads_from_proto(activity.heartbeat_details),
        last_failure: activity.last_failure.map(failure_from_proto),
        next_attempt_time: activity
            .next_attempt_schedule_time
            .map(timestamp_from_proto),
    }
}

fn activity_state_name(state: PendingActivityState) -> &'static str {
    state
        .as_str_name()
        .trim_start_matches("PENDING_ACTIVITY_STATE_")
}
