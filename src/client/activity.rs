//! Activities that are completed from outside a worker: their ends and their heartbeats, by task token or by ids.

use std::fmt;

use temporalio_client::grpc::WorkflowService;
use temporalio_protos::temporal::api::workflowservice::v1 as proto;
use tonic::{Code, Status};

use super::{Client, ClientError, WorkflowRef, body, request};
use crate::engine::failure::Failure;
use crate::payload::{encode_common_attributes, failure_to_proto, payloads_to_proto};
use crate::value::Payload;

/// One activity: an attempt of it by the attempt's token, or the running attempt by the ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActivityRef {
    Token(Vec<u8>),
    Ids {
        workflow: WorkflowRef,
        activity_id: String,
    },
}

/// The server's answer to a heartbeat of an activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct HeartbeatAnswer {
    pub(crate) is_cancel_requested: bool,
    pub(crate) is_paused: bool,
    /// The attempt should end, so that the activity starts again.
    pub(crate) is_reset: bool,
}

/// Sends one of two forms of a request, depending on how the activity is named.
macro_rules! respond {
    ($client:expr, $activity:expr, $operation:expr,
     $by_token:ident: $Token:ident { $($token_field:ident: $token_value:expr),* $(,)? },
     $by_id:ident: $Id:ident { $($id_field:ident: $id_value:expr),* $(,)? } $(,)?) => {{
        let mut service = $client.connection.clone();
        let (namespace, identity) = ($client.namespace.clone(), $client.identity.clone());
        match $activity {
            ActivityRef::Token(token) => {
                let task_token = token.clone();
                let mut message = proto::$Token {
                    task_token, namespace, identity, $($token_field: $token_value,)* ..Default::default()
                };
                $client.codec.encode(&mut message).await?;
                let answer = service.$by_token(request(message)).await;
                body(answer.map_err($client.activity_refused($activity, $operation))?).into()
            }
            ActivityRef::Ids { workflow, activity_id } => {
                let WorkflowRef { workflow_id, run_id } = workflow.clone();
                let (run_id, activity_id) = (run_id.unwrap_or_default(), activity_id.clone());
                let mut message = proto::$Id {
                    workflow_id, run_id, activity_id, namespace, identity, $($id_field: $id_value,)* ..Default::default()
                };
                $client.codec.encode(&mut message).await?;
                let answer = service.$by_id(request(message)).await;
                body(answer.map_err($client.activity_refused($activity, $operation))?).into()
            }
        }
    }};
}

impl Client {
    pub async fn complete_activity(
        &self,
        activity: &ActivityRef,
        result: Vec<Payload>,
    ) -> Result<(), ClientError> {
        let _: Answered = respond!(
            self, activity, "complete the activity",
            respond_activity_task_completed: RespondActivityTaskCompletedRequest {
                result: payloads_to_proto(result),
            },
            respond_activity_task_completed_by_id: RespondActivityTaskCompletedByIdRequest {
                result: payloads_to_proto(result),
            },
        );
        Ok(())
    }

    /// Fails the attempt: another one follows by the activity's retry policy. Without heartbeat details, that attempt
    /// receives those of the last heartbeat that was sent.
    pub(crate) async fn fail_activity(
        &self,
        activity: &ActivityRef,
        failure: &Failure,
        last_heartbeat: Vec<Payload>,
    ) -> Result<(), ClientError> {
        let mut failure = failure_to_proto(failure);
        if self.codec.encodes_common_attributes() {
            encode_common_attributes(&mut failure);
        }
        let failure = Some(failure);
        let _: Answered = respond!(
            self, activity, "fail the activity",
            respond_activity_task_failed: RespondActivityTaskFailedRequest {
                failure: failure,
                last_heartbeat_details: payloads_to_proto(last_heartbeat),
            },
            respond_activity_task_failed_by_id: RespondActivityTaskFailedByIdRequest {
                failure: failure,
                last_heartbeat_details: payloads_to_proto(last_heartbeat),
            },
        );
        Ok(())
    }

    /// Records a heartbeat of the activity; the answer shows whether it should continue.
    pub(crate) async fn heartbeat_activity(
        &self,
        activity: &ActivityRef,
        details: Vec<Payload>,
    ) -> Result<HeartbeatAnswer, ClientError> {
        Ok(respond!(
            self, activity, "record the heartbeat",
            record_activity_task_heartbeat: RecordActivityTaskHeartbeatRequest {
                details: payloads_to_proto(details),
            },
            record_activity_task_heartbeat_by_id: RecordActivityTaskHeartbeatByIdRequest {
                details: payloads_to_proto(details),
            },
        ))
    }

    /// Reports that the activity has ended because its cancellation was requested; the server refuses it otherwise.
    pub(crate) async fn report_activity_cancellation(
        &self,
        activity: &ActivityRef,
        details: Vec<Payload>,
    ) -> Result<(), ClientError> {
        let _: Answered = respond!(
            self, activity, "report the activity's cancellation",
            respond_activity_task_canceled: RespondActivityTaskCanceledRequest {
                details: payloads_to_proto(details),
            },
            respond_activity_task_canceled_by_id: RespondActivityTaskCanceledByIdRequest {
                details: payloads_to_proto(details),
            },
        );
        Ok(())
    }

    fn activity_refused(
        &self,
        activity: &ActivityRef,
        operation: &'static str,
    ) -> impl FnOnce(Status) -> ClientError {
        let activity = activity.to_string();
        let namespace = self.namespace.clone();
        move |status| match status.code() {
            Code::NotFound => ClientError::NoSuchActivity {
                activity,
                namespace,
                reason: status.message().to_owned(),
            },
            _ => ClientError::Refused {
                operation,
                status: Box::new(status),
            },
        }
    }
}

impl fmt::Display for ActivityRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ActivityRef::Token(_) => write!(f, "the activity of this task token"),
            ActivityRef::Ids {
                workflow,
                activity_id,
            } => write!(
                f,
                "the activity {activity_id:?} of the workflow {:?}",
                workflow.workflow_id
            ),
        }
    }
}

/// An answer without content.
struct Answered;

macro_rules! answers {
    ($($nothing:ident)*, $($heartbeat:ident)*) => {
        $(impl From<proto::$nothing> for Answered {
            fn from(_: proto::$nothing) -> Self {
                Answered
            }
        })*
        $(impl From<proto::$heartbeat> for HeartbeatAnswer {
            fn from(answer: proto::$heartbeat) -> Self {
                HeartbeatAnswer {
                    is_cancel_requested: answer.cancel_requested,
                    is_paused: answer.activity_paused,
                    is_reset: answer.activity_reset,
                }
            }
        })*
    };
}

answers! {
    RespondActivityTaskCompletedResponse RespondActivityTaskCompletedByIdResponse
    RespondActivityTaskFailedResponse RespondActivityTaskFailedByIdResponse
    RespondActivityTaskCanceledResponse RespondActivityTaskCanceledByIdResponse,
    RecordActivityTaskHeartbeatResponse RecordActivityTaskHeartbeatByIdResponse
}
