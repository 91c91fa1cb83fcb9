//! Updates: what a client sends, and how the run answers (temporal server 1.32.0, service/history/workflow/update).

use temporalio_protos::temporal::api::common::v1 as common;
use temporalio_protos::temporal::api::history::v1 as history;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::update::v1 as update;

use super::super::message::UpdateRequest;
use super::event::{IDENTITY, payloads};
use super::execution::Update;
use super::{Refused, Server, UpdateNumber, UpdateStage};
use crate::engine::failure::Failure;
use crate::payload::{check_update_size, failure_to_proto, payload_to_proto};
use crate::value::Payload;

impl Server {
    /// Updates with the same id are one: the second gets the first's number.
    pub(crate) fn update(
        &mut self,
        workflow_id: &str,
        name: &str,
        args: Vec<Payload>,
        update_id: Option<String>,
    ) -> Result<UpdateNumber, Refused> {
        let id = update_id.unwrap_or_else(|| self.unique_id());
        let current = self.current.get(workflow_id).copied().unwrap_or(usize::MAX);
        let known = (current, id.clone());
        if let Some(number) = self.update_ids.get(&known) {
            return Ok(*number);
        }
        let run = self.open_run(workflow_id)?;
        self.executions[run].check_update()?;
        let input: Vec<_> = args.into_iter().map(payload_to_proto).collect();
        check_update_size(payloads(input.clone()).as_ref()).map_err(Refused::Invalid)?;
        let number = UpdateNumber(self.updates.len());
        self.updates.push(UpdateStage::Admitted);
        self.update_ids.insert(known, number);
        let request = UpdateRequest {
            protocol_instance_id: id.clone(),
            id,
            name: name.to_owned(),
            input,
            sequencing_event_id: 0,
        };
        self.executions[run]
            .admitted
            .push(Update { number, request });
        self.schedule_task_as(run, true);
        Ok(number)
    }

    pub(crate) fn update_stage(&self, update: UpdateNumber) -> &UpdateStage {
        &self.updates[update.0]
    }

    pub(super) fn accept_update(&mut self, run: usize, protocol_instance_id: &str) {
        let Some(update) = self.take_delivered(run, protocol_instance_id) else {
            return self.broken(
                run,
                format!("no task brought the update {protocol_instance_id:?}"),
            );
        };
        let request = update.request;
        let attributes = history::WorkflowExecutionUpdateAcceptedEventAttributes {
            protocol_instance_id: protocol_instance_id.to_owned(),
            accepted_request_message_id: format!("{protocol_instance_id}/request"),
            accepted_request_sequencing_event_id: request.sequencing_event_id,
            accepted_request: Some(update::Request {
                meta: Some(meta(&request.id)),
                input: Some(update::Input {
                    header: Some(common::Header::default()),
                    name: request.name,
                    args: payloads(request.input),
                }),
                ..Default::default()
            }),
        };
        let event_id = self.append(
            run,
            Attributes::WorkflowExecutionUpdateAcceptedEventAttributes(attributes),
        );
        self.updates[update.number.0] = UpdateStage::Accepted;
        self.executions[run].updates_accepted += 1;
        self.executions[run]
            .accepted
            .insert(protocol_instance_id.to_owned(), (update.number, event_id));
    }

    pub(super) fn reject_update(
        &mut self,
        run: usize,
        protocol_instance_id: &str,
        failure: Failure,
    ) {
        let Some(update) = self.take_delivered(run, protocol_instance_id) else {
            return self.broken(
                run,
                format!("no task brought the update {protocol_instance_id:?}"),
            );
        };
        self.updates[update.number.0] = UpdateStage::Completed(Err(failure));
    }

    pub(super) fn complete_update(
        &mut self,
        run: usize,
        protocol_instance_id: &str,
        result: Result<Payload, Failure>,
    ) {
        let accepted = self.executions[run].accepted.remove(protocol_instance_id);
        let Some((number, accepted_event_id)) = accepted else {
            return self.broken(
                run,
                format!("the update {protocol_instance_id:?} was not accepted"),
            );
        };
        let value = match &result {
            Ok(payload) => update::outcome::Value::Success(common::Payloads {
                payloads: vec![payload_to_proto(payload.clone())],
            }),
            Err(failure) => update::outcome::Value::Failure(failure_to_proto(failure)),
        };
        let attributes = history::WorkflowExecutionUpdateCompletedEventAttributes {
            meta: Some(meta(protocol_instance_id)),
            accepted_event_id,
            outcome: Some(update::Outcome { value: Some(value) }),
        };
        self.append(
            run,
            Attributes::WorkflowExecutionUpdateCompletedEventAttributes(attributes),
        );
        self.updates[number.0] = UpdateStage::Completed(result);
    }

    /// A completed workflow task that leaves an update unanswered (temporal server 1.32.0, service/history/workflow/update/errors_failures.go).
    pub(super) fn reject_unprocessed(&mut self, run: usize) {
        for update in std::mem::take(&mut self.executions[run].delivered) {
            let message = "Workflow Update is rejected because it wasn't processed by worker. Probably, Workflow Update is not supported by the worker.";
            let failure = Failure::application("UnprocessedUpdate", message).non_retryable();
            self.updates[update.number.0] = UpdateStage::Completed(Err(failure));
        }
    }

    /// Answers the clients that still wait when the run closes.
    pub(super) fn abort_updates(&mut self, run: usize) {
        let execution = &mut self.executions[run];
        let accepted = std::mem::take(&mut execution.accepted);
        let waiting = std::mem::take(&mut execution.admitted);
        let waiting = waiting
            .into_iter()
            .chain(std::mem::take(&mut execution.delivered));
        let numbers: Vec<_> = accepted
            .into_values()
            .map(|(number, _)| (number, "AcceptedUpdateCompletedWorkflow", "Workflow Update failed because the Workflow completed before the Update completed."))
            .chain(waiting.map(|update| (update.number, "WorkflowNotReady", "the workflow closed before the update was accepted")))
            .collect();
        for (number, error_type, message) in numbers {
            let failure = Failure::application(error_type, message);
            self.updates[number.0] = UpdateStage::Completed(Err(failure));
        }
    }

    fn take_delivered(&mut self, run: usize, protocol_instance_id: &str) -> Option<Update> {
        let delivered = &mut self.executions[run].delivered;
        let place = delivered
            .iter()
            .position(|update| update.request.protocol_instance_id == protocol_instance_id)?;
        Some(delivered.remove(place))
    }
}

fn meta(id: &str) -> update::Meta {
    update::Meta {
        update_id: id.to_owned(),
        identity: IDENTITY.to_owned(),
    }
}
