//! Nexus operations: their handlers are outside (temporal server 1.32.0, components/nexusoperations).

use temporalio_protos::temporal::api::enums::v1 as enums;
use temporalio_protos::temporal::api::failure::v1 as failure;
use temporalio_protos::temporal::api::failure::v1::failure::FailureInfo;
use temporalio_protos::temporal::api::history::v1 as history;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;

use super::super::agenda::{Due, NexusDue, after};
use super::super::outside::{End, NexusTask, OnCancel};
use super::super::retry::timeout_failure;
use super::Server;
use super::execution::Nexus;
use crate::engine::command::ScheduleNexus;
use crate::engine::failure::Failure;
use crate::payload::{duration_to_proto, failure_to_proto, payload_to_proto, value_to_proto};
use crate::value::{Duration, Timestamp, Value};

/// An operation without enough time left times out before its handler is called
/// (`component.nexusoperations.limit.request.timeout.min`).
const REQUEST_TIMEOUT_MIN: Duration = Duration {
    seconds: 1,
    nanos: 500_000_000,
};

impl Server {
    pub(super) fn schedule_nexus(
        &mut self,
        run: usize,
        completed: i64,
        schedule: ScheduleNexus,
        summary: Option<String>,
    ) {
        let task = NexusTask {
            service: schedule.service.clone(),
            operation: schedule.operation.clone(),
            input: schedule.input.clone(),
        };
        let scheduled = history::NexusOperationScheduledEventAttributes {
            endpoint: schedule.endpoint,
            service: schedule.service,
            operation: schedule.operation,
            input: Some(payload_to_proto(schedule.input)),
            schedule_to_close_timeout: schedule.schedule_to_close_timeout.map(duration_to_proto),
            schedule_to_start_timeout: schedule.schedule_to_start_timeout.map(duration_to_proto),
            start_to_close_timeout: schedule.start_to_close_timeout.map(duration_to_proto),
            workflow_task_completed_event_id: completed,
            request_id: self.unique_id(),
            ..Default::default()
        };
        let attributes = Attributes::NexusOperationScheduledEventAttributes(scheduled.clone());
        let event_id = self.append_with(run, attributes, summary);
        let plan = self.world.outside.nexus(&task);
        let mut dues: Vec<(Timestamp, NexusDue)> = Vec::new();
        let left = |length| match length <= REQUEST_TIMEOUT_MIN {
            true => Duration::ZERO,
            false => length,
        };
        if let Some(length) = schedule.schedule_to_close_timeout {
            dues.push((
                after(self.world.now, left(length)),
                NexusDue::ScheduleToClose,
            ));
        }
        if let Some(length) = schedule.schedule_to_start_timeout {
            dues.push((
                after(self.world.now, left(length)),
                NexusDue::ScheduleToStart,
            ));
        }
        let mut starts = self.world.now;
        if let Some(length) = plan.picked_up_after {
            starts = after(self.world.now, length);
            dues.push((starts, NexusDue::Start));
        }
        if let End::After(length, _) = &plan.end {
            dues.push((after(starts, *length), NexusDue::End));
        }
        if let Some(length) = schedule.start_to_close_timeout {
            dues.push((after(starts, length), NexusDue::StartToClose));
        }
        let keys = dues.into_iter().map(|(at, what)| {
            let due = Due::Nexus {
                run,
                event_id,
                what,
            };
            self.world.agenda.put(at, due)
        });
        let nexus = Nexus {
            scheduled,
            scheduled_at: self.world.now,
            plan,
            is_started: false,
            is_cancelled: false,
            keys: keys.collect(),
        };
        self.executions[run].nexus.insert(event_id, nexus);
    }

    pub(crate) fn nexus_is_due(&mut self, run: usize, event_id: i64, what: NexusDue) {
        let Some(nexus) = self.executions[run].nexus.get_mut(&event_id) else {
            return self.no_operation(run, event_id);
        };
        match what {
            NexusDue::Start => {
                nexus.is_started = true;
                let attributes = history::NexusOperationStartedEventAttributes {
                    scheduled_event_id: event_id,
                    request_id: nexus.scheduled.request_id.clone(),
                    operation_token: format!("token-{event_id}"),
                    ..Default::default()
                };
                self.arrive(
                    run,
                    Attributes::NexusOperationStartedEventAttributes(attributes),
                );
            }
            NexusDue::End => {
                if let End::After(_, result) = nexus.plan.end.clone() {
                    self.nexus_ended(run, event_id, result);
                }
            }
            NexusDue::CancelledEnd => match nexus.plan.on_cancel.clone() {
                OnCancel::Cancels { .. } => {
                    self.nexus_ended(run, event_id, Err(Failure::cancelled("operation canceled")));
                }
                OnCancel::Ends { result, .. } => self.nexus_ended(run, event_id, result),
                OnCancel::Ignore => {}
            },
            NexusDue::ScheduleToStart if nexus.is_started => {}
            NexusDue::ScheduleToStart => {
                self.nexus_timed_out(run, event_id, enums::TimeoutType::ScheduleToStart);
            }
            NexusDue::ScheduleToClose => {
                self.nexus_timed_out(run, event_id, enums::TimeoutType::ScheduleToClose);
            }
            NexusDue::StartToClose => {
                self.nexus_timed_out(run, event_id, enums::TimeoutType::StartToClose);
            }
        }
    }

    fn nexus_ended(&mut self, run: usize, event_id: i64, result: Result<Value, Failure>) {
        let Some(nexus) = self.close_nexus(run, event_id) else {
            return self.no_operation(run, event_id);
        };
        let request_id = nexus.scheduled.request_id.clone();
        let result = result.and_then(|value| {
            value_to_proto(&value).map_err(|error| Failure::application("", error.to_string()))
        });
        let attributes = match result {
            Ok(result) => Attributes::NexusOperationCompletedEventAttributes(
                history::NexusOperationCompletedEventAttributes {
                    scheduled_event_id: event_id,
                    result: Some(result),
                    request_id,
                },
            ),
            Err(failed) => {
                let is_cancelled = failed.is_cancelled();
                let cause = failure_to_proto(&failed);
                let failure = Some(operation_failure(&nexus, event_id, cause));
                match is_cancelled {
                    true => Attributes::NexusOperationCanceledEventAttributes(
                        history::NexusOperationCanceledEventAttributes {
                            scheduled_event_id: event_id,
                            failure,
                            request_id,
                        },
                    ),
                    false => Attributes::NexusOperationFailedEventAttributes(
                        history::NexusOperationFailedEventAttributes {
                            scheduled_event_id: event_id,
                            failure,
                            request_id,
                        },
                    ),
                }
            }
        };
        self.arrive(run, attributes);
    }

    fn nexus_timed_out(&mut self, run: usize, event_id: i64, which: enums::TimeoutType) {
        let Some(nexus) = self.close_nexus(run, event_id) else {
            return self.no_operation(run, event_id);
        };
        let cause = timeout_failure("operation timed out", which);
        let attributes = history::NexusOperationTimedOutEventAttributes {
            scheduled_event_id: event_id,
            failure: Some(operation_failure(&nexus, event_id, cause)),
            request_id: nexus.scheduled.request_id.clone(),
        };
        self.arrive(
            run,
            Attributes::NexusOperationTimedOutEventAttributes(attributes),
        );
    }

    fn no_operation(&mut self, run: usize, event_id: i64) {
        self.broken(
            run,
            format!("no Nexus operation of event {event_id} is pending"),
        );
    }

    fn close_nexus(&mut self, run: usize, event_id: i64) -> Option<Nexus> {
        let mut nexus = self.executions[run].nexus.remove(&event_id)?;
        self.world
            .agenda
            .remove_all(std::mem::take(&mut nexus.keys));
        Some(nexus)
    }

    pub(super) fn request_cancel_nexus(
        &mut self,
        run: usize,
        completed: i64,
        event_id: i64,
        summary: Option<String>,
    ) {
        let attributes = history::NexusOperationCancelRequestedEventAttributes {
            scheduled_event_id: event_id,
            workflow_task_completed_event_id: completed,
        };
        let attributes = Attributes::NexusOperationCancelRequestedEventAttributes(attributes);
        self.append_with(run, attributes, summary);
        let now = self.world.now;
        let Some(nexus) = self.executions[run].nexus.get_mut(&event_id) else {
            // It ended while the worker had the task.
            return;
        };
        if nexus.is_cancelled {
            return self.broken(run, format!("event {event_id} is cancelled twice"));
        }
        nexus.is_cancelled = true;
        let length = match &nexus.plan.on_cancel {
            OnCancel::Ignore => return,
            OnCancel::Cancels { after, .. } | OnCancel::Ends { after, .. } => *after,
        };
        // Only a started operation can be requested to stop.
        let starts = after(
            nexus.scheduled_at,
            nexus.plan.picked_up_after.unwrap_or(Duration::ZERO),
        );
        let due = Due::Nexus {
            run,
            event_id,
            what: NexusDue::CancelledEnd,
        };
        let key = self.world.agenda.put(after(starts.max(now), length), due);
        nexus.keys.push(key);
    }
}

fn operation_failure(nexus: &Nexus, event_id: i64, cause: failure::Failure) -> failure::Failure {
    failure::Failure {
        message: "nexus operation completed unsuccessfully".to_owned(),
        cause: Some(Box::new(cause)),
        failure_info: Some(FailureInfo::NexusOperationExecutionFailureInfo(
            failure::NexusOperationFailureInfo {
                scheduled_event_id: event_id,
                endpoint: nexus.scheduled.endpoint.clone(),
                service: nexus.scheduled.service.clone(),
                operation: nexus.scheduled.operation.clone(),
                ..Default::default()
            },
        )),
        ..Default::default()
    }
}
