//! The calls that create, change, show and delete schedules.

use temporalio_client::grpc::WorkflowService;
use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::schedule::v1 as proto;
use temporalio_protos::temporal::api::schedule::v1::schedule_action::Action;
use temporalio_protos::temporal::api::workflow::v1::NewWorkflowExecutionInfo;
use temporalio_protos::temporal::api::workflowservice::v1::{
    CreateScheduleRequest, DeleteScheduleRequest, DescribeScheduleRequest,
    DescribeScheduleResponse, ListSchedulesRequest, PatchScheduleRequest, UpdateScheduleRequest,
};
use tonic::{Code, Status};

use super::read::{description, summary};
use super::write::{overlap_to_proto, write_action, write_spec};
use super::{Backfill, Schedule, ScheduleChange, ScheduleDescription, ScheduleSummary};
use crate::accepted::{OverlapPolicy, ScheduleSpec};
use crate::client::start::fields;
use crate::client::{Client, ClientError, StartOptions, body, request, unique_id};
use crate::payload::timestamp_to_proto;
use crate::value::Payload;

/// Attempts of a change if other changes interfere.
const CHANGE_ATTEMPTS_MAX: u32 = 5;

impl Client {
    pub async fn create_schedule(&self, id: &str, schedule: Schedule) -> Result<(), ClientError> {
        let mut message = proto::Schedule::default();
        write_spec(&schedule.spec, &mut message)?;
        let start = self.new_workflow(schedule.action, id)?;
        message.action = Some(start_workflow(start));
        let mut message = CreateScheduleRequest {
            namespace: self.namespace.clone(),
            schedule_id: id.to_owned(),
            schedule: Some(message),
            identity: self.identity.clone(),
            request_id: unique_id(),
            memo: fields(schedule.memo).map(|fields| common::Memo { fields }),
            search_attributes: fields(schedule.search_attributes)
                .map(|indexed_fields| common::SearchAttributes { indexed_fields }),
            ..Default::default()
        };
        self.codec.encode(&mut message).await?;
        let answer = self
            .connection
            .clone()
            .create_schedule(request(message))
            .await;
        answer.map_err(|status| match status.code() {
            Code::AlreadyExists => ClientError::ScheduleExists(id.to_owned()),
            _ => self.schedule_refused("create the schedule", id)(status),
        })?;
        Ok(())
    }

    /// Changes what is set and keeps the rest; a concurrent change is not lost.
    pub(crate) async fn update_schedule(
        &self,
        id: &str,
        change: ScheduleChange,
    ) -> Result<(), ClientError> {
        self.change_schedule(id, |old| {
            let schedule = self.changed_schedule(id, change.clone(), old)?;
            Ok((schedule, change.search_attributes.clone()))
        })
        .await
    }

    /// Gives it other times and another workflow, and keeps what changes while it runs: its pause, notes and remaining
    /// actions.
    pub(crate) async fn replace_schedule(&self, id: &str, by: Schedule) -> Result<(), ClientError> {
        let spec = ScheduleSpec {
            paused: None,
            notes: None,
            remaining_actions: None,
            ..by.spec
        };
        self.change_schedule(id, |old| {
            let mut schedule = proto::Schedule {
                state: old.state,
                ..proto::Schedule::default()
            };
            write_spec(&spec, &mut schedule)?;
            let start = self.new_workflow(by.action.clone(), id)?;
            schedule.action = Some(start_workflow(start));
            Ok((schedule, by.search_attributes.clone()))
        })
        .await
    }

    /// Repeats the change if another one interferes.
    async fn change_schedule(
        &self,
        id: &str,
        change: impl Fn(
            proto::Schedule,
        ) -> Result<(proto::Schedule, Vec<(String, Payload)>), ClientError>,
    ) -> Result<(), ClientError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let described = self.described(id).await?;
            let missing = ClientError::Malformed("describe the schedule", "the schedule");
            let (schedule, search_attributes) = change(described.schedule.ok_or(missing)?)?;
            let mut message = UpdateScheduleRequest {
                namespace: self.namespace.clone(),
                schedule_id: id.to_owned(),
                schedule: Some(schedule),
                conflict_token: described.conflict_token,
                identity: self.identity.clone(),
                request_id: unique_id(),
                search_attributes: fields(search_attributes)
                    .map(|indexed_fields| common::SearchAttributes { indexed_fields }),
                ..Default::default()
            };
            self.codec.encode(&mut message).await?;
            let answer = self
                .connection
                .clone()
                .update_schedule(request(message))
                .await;
            match answer {
                Ok(_) => return Ok(()),
                Err(status)
                    if attempts < CHANGE_ATTEMPTS_MAX
                        && status.code() == Code::FailedPrecondition => {}
                Err(status) => {
                    return Err(self.schedule_refused("update the schedule", id)(status));
                }
            }
        }
    }

    fn changed_schedule(
        &self,
        id: &str,
        change: ScheduleChange,
        mut schedule: proto::Schedule,
    ) -> Result<proto::Schedule, ClientError> {
        let old = schedule.action.take().and_then(|action| action.action);
        let old = old.map(|Action::StartWorkflow(start)| start);
        if change.replace {
            schedule = proto::Schedule::default();
        }
        write_spec(&change.spec, &mut schedule)?;
        let start = match change.action {
            None => old.unwrap_or_default(),
            Some(said) if change.replace => self.new_workflow(said, id)?,
            Some(said) => {
                let mut start = old.unwrap_or_default();
                let kept = start.workflow_id.clone();
                write_action(self.new_workflow(said, &kept)?, &mut start);
                start
            }
        };
        schedule.action = Some(start_workflow(start));
        Ok(schedule)
    }

    pub async fn describe_schedule(&self, id: &str) -> Result<ScheduleDescription, ClientError> {
        let missing = ClientError::Malformed("describe the schedule", "the schedule");
        description(self.described(id).await?).ok_or(missing)
    }

    async fn described(&self, id: &str) -> Result<DescribeScheduleResponse, ClientError> {
        let message = DescribeScheduleRequest {
            namespace: self.namespace.clone(),
            schedule_id: id.to_owned(),
        };
        let answer = self
            .connection
            .clone()
            .describe_schedule(request(message))
            .await;
        let refused = self.schedule_refused("describe the schedule", id);
        let mut answer = body(answer.map_err(refused)?);
        self.codec.decode(&mut answer).await?;
        Ok(answer)
    }

    /// One page of the schedules that match, and the token of the next page if there is one.
    pub(crate) async fn schedules_page(
        &self,
        query: &str,
        page_size: i32,
        token: Vec<u8>,
    ) -> Result<(Vec<ScheduleSummary>, Option<Vec<u8>>), ClientError> {
        let message = ListSchedulesRequest {
            namespace: self.namespace.clone(),
            maximum_page_size: page_size,
            next_page_token: token,
            query: query.to_owned(),
        };
        let answer = self
            .connection
            .clone()
            .list_schedules(request(message))
            .await;
        let mut answer = body(answer.map_err(self.refused("list schedules", None))?);
        self.codec.decode_what_can_be(&mut answer).await;
        let next = answer.next_page_token;
        let schedules = answer.schedules.into_iter().map(summary).collect();
        Ok((schedules, (!next.is_empty()).then_some(next)))
    }

    pub(crate) async fn pause_schedule(&self, id: &str, note: &str) -> Result<(), ClientError> {
        let patch = proto::SchedulePatch {
            pause: note.to_owned(),
            ..Default::default()
        };
        self.patch_schedule("pause the schedule", id, patch).await
    }

    pub(crate) async fn unpause_schedule(&self, id: &str, note: &str) -> Result<(), ClientError> {
        let patch = proto::SchedulePatch {
            unpause: note.to_owned(),
            ..Default::default()
        };
        self.patch_schedule("unpause the schedule", id, patch).await
    }

    /// Performs a start of the schedule now.
    pub(crate) async fn trigger_schedule(
        &self,
        id: &str,
        overlap_policy: Option<OverlapPolicy>,
    ) -> Result<(), ClientError> {
        let patch = proto::SchedulePatch {
            trigger_immediately: Some(proto::TriggerImmediatelyRequest {
                overlap_policy: overlap_number(overlap_policy),
                ..Default::default()
            }),
            ..Default::default()
        };
        self.patch_schedule("trigger the schedule", id, patch).await
    }

    pub(crate) async fn backfill_schedule(
        &self,
        id: &str,
        backfills: &[Backfill],
    ) -> Result<(), ClientError> {
        backfills.iter().try_for_each(Backfill::check)?;
        let backfill = |backfill: &Backfill| proto::BackfillRequest {
            start_time: Some(timestamp_to_proto(backfill.start_time)),
            end_time: Some(timestamp_to_proto(backfill.end_time)),
            overlap_policy: overlap_number(backfill.overlap_policy),
        };
        let patch = proto::SchedulePatch {
            backfill_request: backfills.iter().map(backfill).collect(),
            ..Default::default()
        };
        self.patch_schedule("backfill the schedule", id, patch)
            .await
    }

    async fn patch_schedule(
        &self,
        operation: &'static str,
        id: &str,
        patch: proto::SchedulePatch,
    ) -> Result<(), ClientError> {
        let message = PatchScheduleRequest {
            namespace: self.namespace.clone(),
            schedule_id: id.to_owned(),
            patch: Some(patch),
            identity: self.identity.clone(),
            request_id: unique_id(),
        };
        let answer = self
            .connection
            .clone()
            .patch_schedule(request(message))
            .await;
        answer.map_err(self.schedule_refused(operation, id))?;
        Ok(())
    }

    pub async fn delete_schedule(&self, id: &str) -> Result<(), ClientError> {
        let message = DeleteScheduleRequest {
            namespace: self.namespace.clone(),
            schedule_id: id.to_owned(),
            identity: self.identity.clone(),
        };
        let answer = self
            .connection
            .clone()
            .delete_schedule(request(message))
            .await;
        answer.map_err(self.schedule_refused("delete the schedule", id))?;
        Ok(())
    }

    /// The workflow to start, with a generated name for its runs if it has none.
    fn new_workflow(
        &self,
        options: StartOptions,
        name: &str,
    ) -> Result<NewWorkflowExecutionInfo, ClientError> {
        let options = StartOptions {
            workflow_id: Some(options.workflow_id.unwrap_or_else(|| name.to_owned())),
            ..options
        };
        let start = self.start_request(options)?;
        Ok(NewWorkflowExecutionInfo {
            workflow_id: start.workflow_id,
            workflow_type: start.workflow_type,
            task_queue: start.task_queue,
            input: start.input,
            workflow_execution_timeout: start.workflow_execution_timeout,
            workflow_run_timeout: start.workflow_run_timeout,
            workflow_task_timeout: start.workflow_task_timeout,
            retry_policy: start.retry_policy,
            memo: start.memo,
            search_attributes: start.search_attributes,
            header: start.header,
            user_metadata: start.user_metadata,
            priority: start.priority,
            ..Default::default()
        })
    }

    fn schedule_refused(
        &self,
        operation: &'static str,
        id: &str,
    ) -> impl FnOnce(Status) -> ClientError + use<> {
        let (id, namespace) = (id.to_owned(), self.namespace.clone());
        move |status| match status.code() {
            Code::NotFound if !status.message().starts_with("Namespace") => {
                ClientError::NoSuchSchedule(id, namespace)
            }
            _ => ClientError::Refused {
                operation,
                status: Box::new(status),
            },
        }
    }
}

fn start_workflow(start: NewWorkflowExecutionInfo) -> proto::ScheduleAction {
    proto::ScheduleAction {
        action: Some(Action::StartWorkflow(start)),
    }
}

fn overlap_number(policy: Option<OverlapPolicy>) -> i32 {
    policy.map_or(0, |policy| overlap_to_proto(policy).into())
}
