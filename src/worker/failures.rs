//! The failures in a worker's answers, whose messages and stack traces may have to be encoded.

use temporalio_protos::coresdk::ActivityTaskCompletion;
use temporalio_protos::coresdk::activity_result::activity_execution_result::Status as ActivityStatus;
use temporalio_protos::coresdk::workflow_commands::workflow_command::Variant;
use temporalio_protos::coresdk::workflow_commands::{query_result, update_response};
use temporalio_protos::coresdk::workflow_completion::WorkflowActivationCompletion;
use temporalio_protos::coresdk::workflow_completion::workflow_activation_completion::Status;
use temporalio_protos::temporal::api::failure::v1::Failure;

use crate::payload::encode_common_attributes;

pub(crate) fn encode_in_workflow_task(completion: &mut WorkflowActivationCompletion) {
    match &mut completion.status {
        Some(Status::Successful(success)) => {
            let variants = success
                .commands
                .iter_mut()
                .filter_map(|c| c.variant.as_mut());
            variants
                .filter_map(of_command)
                .for_each(encode_common_attributes);
        }
        Some(Status::Failed(failed)) => {
            failed.failure.iter_mut().for_each(encode_common_attributes);
        }
        None => {}
    }
}

fn of_command(command: &mut Variant) -> Option<&mut Failure> {
    match command {
        Variant::FailWorkflowExecution(failed) => failed.failure.as_mut(),
        Variant::UpdateResponse(update) => match update.response.as_mut()? {
            update_response::Response::Rejected(failure) => Some(failure),
            _ => None,
        },
        Variant::RespondToQuery(query) => match query.variant.as_mut()? {
            query_result::Variant::Failed(failure) => Some(failure),
            query_result::Variant::Succeeded(_) => None,
        },
        _ => None,
    }
}

pub(crate) fn encode_in_activity(completion: &mut ActivityTaskCompletion) {
    let status = completion.result.as_mut().and_then(|r| r.status.as_mut());
    let failure = match status {
        Some(ActivityStatus::Failed(failed)) => failed.failure.as_mut(),
        Some(ActivityStatus::Cancelled(cancelled)) => cancelled.failure.as_mut(),
        _ => None,
    };
    failure.into_iter().for_each(encode_common_attributes);
}
