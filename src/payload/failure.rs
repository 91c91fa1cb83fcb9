//! Temporal's protobuf failures to Segno's own, and back, without loss.

use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::enums::v1 as enums;
use temporalio_protos::temporal::api::failure::v1 as proto;
use temporalio_protos::temporal::api::failure::v1::failure::FailureInfo as Info;

use super::{
    duration_from_proto, duration_to_proto, payload_from_proto, payload_to_proto, value_from_proto,
    value_to_proto,
};
use crate::engine::failure::{Failure, FailureInfo, PassedOn};
use crate::limits::FAILURE_CAUSES_MAX;
use crate::value::{Map, Payload, Value};
use crate::words::{RetryState, TimeoutType};

/// The message, in every SDK, of a failure whose real message is in its encoded attributes.
const ENCODED_MESSAGE: &str = "Encoded failure";

pub fn failure_from_proto(failure: proto::Failure) -> Failure {
    // Innermost first, without recursion: the depth is chosen by clients.
    let mut chain = Vec::new();
    let mut next = Some(Box::new(failure));
    while let Some(mut failure) = next {
        next = failure.cause.take();
        if chain.len() < FAILURE_CAUSES_MAX {
            chain.push(*failure);
        }
    }
    let mut cause = None;
    for failure in chain.into_iter().rev() {
        let mut converted = one_from_proto(failure);
        converted.cause = cause.map(Box::new);
        cause = Some(converted);
    }
    cause.unwrap_or_else(|| Failure::application("", ""))
}

fn one_from_proto(failure: proto::Failure) -> Failure {
    let mut passed_on = PassedOn::default();
    let info = info_from_proto(failure.failure_info, &mut passed_on);
    let (mut message, mut stack_trace) = (failure.message, failure.stack_trace);
    if let Some(attributes) = failure.encoded_attributes.map(payload_from_proto) {
        if let Ok(decoded) = attributes.decode() {
            let text = |name| decoded.get(name).and_then(Value::as_str).map(str::to_owned);
            message = text("message").unwrap_or(message);
            stack_trace = text("stack_trace").unwrap_or(stack_trace);
        }
        passed_on.encoded_attributes = Some(attributes);
    }
    Failure {
        message,
        source: failure.source,
        stack_trace,
        info,
        cause: None,
        passed_on: (passed_on != PassedOn::default()).then(|| Box::new(passed_on)),
    }
}

fn info_from_proto(info: Option<Info>, passed_on: &mut PassedOn) -> FailureInfo {
    match info {
        Some(Info::ApplicationFailureInfo(info)) => {
            passed_on.category = info.category;
            FailureInfo::Application {
                error_type: info.r#type,
                non_retryable: info.non_retryable,
                details: values(info.details),
                next_retry_delay: info.next_retry_delay.map(duration_from_proto),
            }
        }
        Some(Info::TimeoutFailureInfo(info)) => FailureInfo::Timeout {
            timeout_type: timeout_type_from_proto(info.timeout_type()),
            last_heartbeat_details: values(info.last_heartbeat_details),
        },
        Some(Info::CanceledFailureInfo(info)) => {
            passed_on.identity = info.identity;
            FailureInfo::Cancelled {
                details: values(info.details),
            }
        }
        Some(Info::TerminatedFailureInfo(info)) => {
            passed_on.identity = info.identity;
            FailureInfo::Terminated
        }
        Some(Info::ServerFailureInfo(info)) => FailureInfo::Server {
            non_retryable: info.non_retryable,
        },
        Some(Info::ResetWorkflowFailureInfo(info)) => {
            passed_on.last_heartbeat_details = values(info.last_heartbeat_details);
            FailureInfo::ResetWorkflow
        }
        Some(Info::ActivityFailureInfo(info)) => FailureInfo::Activity {
            retry_state: retry_state_from_proto(info.retry_state()),
            activity_type: info.activity_type.map(|t| t.name).unwrap_or_default(),
            activity_id: info.activity_id,
            identity: info.identity,
            scheduled_event_id: info.scheduled_event_id,
            started_event_id: info.started_event_id,
        },
        Some(Info::ChildWorkflowExecutionFailureInfo(info)) => {
            let retry_state = retry_state_from_proto(info.retry_state());
            let workflow = info.workflow_execution.unwrap_or_default();
            FailureInfo::ChildWorkflow {
                namespace: info.namespace,
                workflow_id: workflow.workflow_id,
                run_id: workflow.run_id,
                workflow_type: info.workflow_type.map(|t| t.name).unwrap_or_default(),
                retry_state,
                initiated_event_id: info.initiated_event_id,
                started_event_id: info.started_event_id,
            }
        }
        Some(Info::NexusOperationExecutionFailureInfo(info)) => FailureInfo::NexusOperation {
            endpoint: info.endpoint,
            service: info.service,
            operation: info.operation,
            operation_token: info.operation_token,
            scheduled_event_id: info.scheduled_event_id,
        },
        Some(Info::NexusHandlerFailureInfo(info)) => {
            passed_on.retry_behavior = info.retry_behavior;
            FailureInfo::NexusHandler {
                error_type: info.r#type,
            }
        }
        None => FailureInfo::Application {
            error_type: String::new(),
            non_retryable: false,
            details: Vec::new(),
            next_retry_delay: None,
        },
    }
}

pub(crate) fn failure_to_proto(failure: &Failure) -> proto::Failure {
    let chain: Vec<_> = failure.chain().take(FAILURE_CAUSES_MAX).collect();
    let mut cause: Option<proto::Failure> = None;
    for failure in chain.into_iter().rev() {
        let mut converted = one_to_proto(failure);
        converted.cause = cause.map(Box::new);
        cause = Some(converted);
    }
    cause.unwrap_or_default()
}

fn one_to_proto(failure: &Failure) -> proto::Failure {
    let passed_on = failure.passed_on.as_deref().cloned().unwrap_or_default();
    let encoded = passed_on.encoded_attributes.is_some();
    proto::Failure {
        message: if encoded {
            ENCODED_MESSAGE.into()
        } else {
            failure.message.clone()
        },
        source: failure.source.clone(),
        stack_trace: if encoded {
            String::new()
        } else {
            failure.stack_trace.clone()
        },
        encoded_attributes: passed_on.encoded_attributes.clone().map(payload_to_proto),
        cause: None,
        failure_info: Some(info_to_proto(&failure.info, passed_on)),
    }
}

/// Moves the message and stack trace of a failure and its causes into payloads, which codecs encode.
pub(crate) fn encode_common_attributes(failure: &mut proto::Failure) {
    let mut next = Some(failure);
    while let Some(failure) = next {
        if failure.encoded_attributes.is_none() {
            let text = |text: &mut String| Value::from(std::mem::take(text));
            let mut attributes = Map::default();
            attributes.insert("message", text(&mut failure.message));
            attributes.insert("stack_trace", text(&mut failure.stack_trace));
            failure.encoded_attributes = value_to_proto(&Value::map(attributes)).ok();
            failure.message = ENCODED_MESSAGE.into();
        }
        next = failure.cause.as_deref_mut();
    }
}

fn info_to_proto(info: &FailureInfo, passed_on: PassedOn) -> Info {
    match info {
        FailureInfo::Application {
            error_type,
            non_retryable,
            details,
            next_retry_delay,
        } => Info::ApplicationFailureInfo(proto::ApplicationFailureInfo {
            r#type: error_type.clone(),
            non_retryable: *non_retryable,
            details: payloads(details),
            next_retry_delay: next_retry_delay.map(duration_to_proto),
            category: passed_on.category,
        }),
        FailureInfo::Timeout {
            timeout_type,
            last_heartbeat_details,
        } => Info::TimeoutFailureInfo(proto::TimeoutFailureInfo {
            timeout_type: timeout_type_to_proto(*timeout_type).into(),
            last_heartbeat_details: payloads(last_heartbeat_details),
        }),
        FailureInfo::Cancelled { details } => {
            Info::CanceledFailureInfo(proto::CanceledFailureInfo {
                details: payloads(details),
                identity: passed_on.identity,
            })
        }
        FailureInfo::Terminated => Info::TerminatedFailureInfo(proto::TerminatedFailureInfo {
            identity: passed_on.identity,
        }),
        FailureInfo::Server { non_retryable } => {
            Info::ServerFailureInfo(proto::ServerFailureInfo {
                non_retryable: *non_retryable,
            })
        }
        FailureInfo::ResetWorkflow => {
            Info::ResetWorkflowFailureInfo(proto::ResetWorkflowFailureInfo {
                last_heartbeat_details: payloads(&passed_on.last_heartbeat_details),
            })
        }
        FailureInfo::NexusHandler { error_type } => {
            Info::NexusHandlerFailureInfo(proto::NexusHandlerFailureInfo {
                r#type: error_type.clone(),
                retry_behavior: passed_on.retry_behavior,
            })
        }
        wrapping => wrapping_info_to_proto(wrapping),
    }
}

/// The kinds that name the operation in which another failure happened.
fn wrapping_info_to_proto(info: &FailureInfo) -> Info {
    match info {
        FailureInfo::Activity {
            activity_type,
            activity_id,
            identity,
            retry_state,
            scheduled_event_id,
            started_event_id,
        } => Info::ActivityFailureInfo(proto::ActivityFailureInfo {
            scheduled_event_id: *scheduled_event_id,
            started_event_id: *started_event_id,
            identity: identity.clone(),
            activity_type: Some(common::ActivityType {
                name: activity_type.clone(),
            }),
            activity_id: activity_id.clone(),
            retry_state: retry_state_to_proto(*retry_state).into(),
        }),
        FailureInfo::ChildWorkflow {
            namespace,
            workflow_id,
            run_id,
            workflow_type,
            retry_state,
            initiated_event_id,
            started_event_id,
        } => Info::ChildWorkflowExecutionFailureInfo(proto::ChildWorkflowExecutionFailureInfo {
            namespace: namespace.clone(),
            workflow_execution: Some(common::WorkflowExecution {
                workflow_id: workflow_id.clone(),
                run_id: run_id.clone(),
            }),
            workflow_type: Some(common::WorkflowType {
                name: workflow_type.clone(),
            }),
            initiated_event_id: *initiated_event_id,
            started_event_id: *started_event_id,
            retry_state: retry_state_to_proto(*retry_state).into(),
        }),
        FailureInfo::NexusOperation {
            endpoint,
            service,
            operation,
            operation_token,
            scheduled_event_id,
        } => Info::NexusOperationExecutionFailureInfo(proto::NexusOperationFailureInfo {
            scheduled_event_id: *scheduled_event_id,
            endpoint: endpoint.clone(),
            service: service.clone(),
            operation: operation.clone(),
            operation_token: operation_token.clone(),
            ..Default::default()
        }),
        other => unreachable!("{other:?} wraps no failure"),
    }
}

fn values(payloads: Option<common::Payloads>) -> Vec<Value> {
    let payloads = payloads.map(|p| p.payloads).unwrap_or_default();
    payloads.into_iter().map(value_from_proto).collect()
}

/// A detail without a JSON form is replaced by the reason: the failure is more important.
fn payloads(values: &[Value]) -> Option<common::Payloads> {
    let payload = |value: &Value| {
        value_to_proto(value)
            .or_else(|error| value_to_proto(&Value::from(error.to_string())))
            .unwrap_or_else(|_| payload_to_proto(Payload::default()))
    };
    (!values.is_empty()).then(|| common::Payloads {
        payloads: values.iter().map(payload).collect(),
    })
}

fn timeout_type_from_proto(timeout_type: enums::TimeoutType) -> TimeoutType {
    match timeout_type {
        enums::TimeoutType::Unspecified | enums::TimeoutType::StartToClose => {
            TimeoutType::StartToClose
        }
        enums::TimeoutType::ScheduleToStart => TimeoutType::ScheduleToStart,
        enums::TimeoutType::ScheduleToClose => TimeoutType::ScheduleToClose,
        enums::TimeoutType::Heartbeat => TimeoutType::Heartbeat,
    }
}

fn timeout_type_to_proto(timeout_type: TimeoutType) -> enums::TimeoutType {
    match timeout_type {
        TimeoutType::StartToClose => enums::TimeoutType::StartToClose,
        TimeoutType::ScheduleToStart => enums::TimeoutType::ScheduleToStart,
        TimeoutType::ScheduleToClose => enums::TimeoutType::ScheduleToClose,
        TimeoutType::Heartbeat => enums::TimeoutType::Heartbeat,
    }
}

fn retry_state_from_proto(state: enums::RetryState) -> RetryState {
    match state {
        enums::RetryState::Unspecified => RetryState::Unspecified,
        enums::RetryState::InProgress => RetryState::InProgress,
        enums::RetryState::NonRetryableFailure => RetryState::NonRetryableFailure,
        enums::RetryState::Timeout => RetryState::Timeout,
        enums::RetryState::MaximumAttemptsReached => RetryState::MaximumAttemptsReached,
        enums::RetryState::RetryPolicyNotSet => RetryState::RetryPolicyNotSet,
        enums::RetryState::InternalServerError => RetryState::InternalServerError,
        enums::RetryState::CancelRequested => RetryState::CancelRequested,
    }
}

fn retry_state_to_proto(state: RetryState) -> enums::RetryState {
    match state {
        RetryState::Unspecified => enums::RetryState::Unspecified,
        RetryState::InProgress => enums::RetryState::InProgress,
        RetryState::NonRetryableFailure => enums::RetryState::NonRetryableFailure,
        RetryState::Timeout => enums::RetryState::Timeout,
        RetryState::MaximumAttemptsReached => enums::RetryState::MaximumAttemptsReached,
        RetryState::RetryPolicyNotSet => enums::RetryState::RetryPolicyNotSet,
        RetryState::InternalServerError => enums::RetryState::InternalServerError,
        RetryState::CancelRequested => enums::RetryState::CancelRequested,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proto_payloads(texts: &[&str]) -> Option<common::Payloads> {
        payloads(&texts.iter().map(|t| Value::from(*t)).collect::<Vec<_>>())
    }

    fn every_info() -> Vec<Info> {
        vec![
            Info::ApplicationFailureInfo(proto::ApplicationFailureInfo {
                r#type: "CardDeclined".into(),
                non_retryable: true,
                details: proto_payloads(&["ü", "2"]),
                next_retry_delay: Some(prost_wkt_types::Duration {
                    seconds: 3,
                    nanos: 5,
                }),
                category: enums::ApplicationErrorCategory::Benign.into(),
            }),
            Info::TimeoutFailureInfo(proto::TimeoutFailureInfo {
                timeout_type: enums::TimeoutType::Heartbeat.into(),
                last_heartbeat_details: proto_payloads(&["half"]),
            }),
            Info::CanceledFailureInfo(proto::CanceledFailureInfo {
                details: proto_payloads(&["why"]),
                identity: "someone".into(),
            }),
            Info::TerminatedFailureInfo(proto::TerminatedFailureInfo {
                identity: "op".into(),
            }),
            Info::ServerFailureInfo(proto::ServerFailureInfo {
                non_retryable: true,
            }),
            Info::ResetWorkflowFailureInfo(proto::ResetWorkflowFailureInfo {
                last_heartbeat_details: proto_payloads(&["x"]),
            }),
            Info::ActivityFailureInfo(proto::ActivityFailureInfo {
                scheduled_event_id: 5,
                started_event_id: 6,
                identity: "worker".into(),
                activity_type: Some(common::ActivityType {
                    name: "charge".into(),
                }),
                activity_id: "1".into(),
                retry_state: enums::RetryState::MaximumAttemptsReached.into(),
            }),
            Info::ChildWorkflowExecutionFailureInfo(proto::ChildWorkflowExecutionFailureInfo {
                namespace: "n".into(),
                workflow_execution: Some(common::WorkflowExecution {
                    workflow_id: "w".into(),
                    run_id: "r".into(),
                }),
                workflow_type: Some(common::WorkflowType {
                    name: "ship".into(),
                }),
                initiated_event_id: 7,
                started_event_id: 8,
                retry_state: enums::RetryState::Timeout.into(),
            }),
            Info::NexusOperationExecutionFailureInfo(proto::NexusOperationFailureInfo {
                scheduled_event_id: 9,
                endpoint: "e".into(),
                service: "s".into(),
                operation: "o".into(),
                operation_token: "t".into(),
                ..Default::default()
            }),
            Info::NexusHandlerFailureInfo(proto::NexusHandlerFailureInfo {
                r#type: "INTERNAL".into(),
                retry_behavior: enums::NexusHandlerErrorRetryBehavior::NonRetryable.into(),
            }),
        ]
    }

    #[test]
    fn nothing_is_lost_on_the_way() {
        let mut failure: Option<proto::Failure> = None;
        for info in every_info() {
            failure = Some(proto::Failure {
                message: format!("{info:?}"),
                source: "PythonSDK".into(),
                stack_trace: "line 1".into(),
                encoded_attributes: None,
                cause: failure.map(Box::new),
                failure_info: Some(info),
            });
        }
        let failure = failure.unwrap();
        assert_eq!(
            failure_to_proto(&failure_from_proto(failure.clone())),
            failure
        );
    }

    #[test]
    fn an_encoded_message_is_read_and_passed_on_encoded() {
        let attributes = br#"{"message":"secret","stack_trace":"at x"}"#;
        let failure = proto::Failure {
            message: ENCODED_MESSAGE.into(),
            encoded_attributes: Some(common::Payload {
                metadata: [("encoding".to_owned(), b"json/plain".to_vec())].into(),
                data: attributes.to_vec(),
                ..Default::default()
            }),
            failure_info: every_info().into_iter().next(),
            ..Default::default()
        };
        let read = failure_from_proto(failure.clone());
        assert_eq!(
            (read.message.as_str(), read.stack_trace.as_str()),
            ("secret", "at x")
        );
        assert_eq!(failure_to_proto(&read), failure);
    }

    #[test]
    fn messages_are_encoded_and_read_again() {
        let cause = proto::Failure {
            message: "the PIN is 1234".into(),
            failure_info: every_info().into_iter().next(),
            ..Default::default()
        };
        let plain = proto::Failure {
            message: "the card failed".into(),
            stack_trace: "at pay".into(),
            cause: Some(Box::new(cause)),
            failure_info: every_info().into_iter().nth(6),
            ..Default::default()
        };
        let mut encoded = plain.clone();
        encode_common_attributes(&mut encoded);
        let cause = encoded.cause.as_deref().unwrap();
        assert_eq!(
            (encoded.message.as_str(), cause.message.as_str()),
            (ENCODED_MESSAGE, ENCODED_MESSAGE)
        );
        assert_eq!(encoded.stack_trace, "");
        let attributes = &encoded.encoded_attributes.as_ref().unwrap().data;
        assert_eq!(
            attributes,
            br#"{"message":"the card failed","stack_trace":"at pay"}"#
        );
        let read = failure_from_proto(encoded.clone());
        let texts: Vec<_> = read.chain().map(|f| f.message.as_str()).collect();
        assert_eq!(texts, ["the card failed", "the PIN is 1234"]);
        let mut twice = encoded.clone();
        encode_common_attributes(&mut twice);
        assert_eq!(twice, encoded);
    }

    #[test]
    fn an_endless_chain_of_causes_is_cut() {
        let mut failure = proto::Failure::default();
        for _ in 0..100_000 {
            failure = proto::Failure {
                cause: Some(Box::new(failure)),
                ..Default::default()
            };
        }
        let read = failure_from_proto(failure);
        assert_eq!(read.chain().count(), FAILURE_CAUSES_MAX);
    }
}
