//! The trace of a run: its parent, the moments of its workflow, and the context that its commands carry.

use std::collections::HashMap;
use std::time::SystemTime;

use temporalio_protos::coresdk::workflow_activation::WorkflowActivation;
use temporalio_protos::coresdk::workflow_activation::workflow_activation_job::Variant as Job;
use temporalio_protos::coresdk::workflow_commands::signal_external_workflow_execution::Target;
use temporalio_protos::coresdk::workflow_commands::workflow_command::Variant as Command;
use temporalio_protos::coresdk::workflow_completion::{
    WorkflowActivationCompletion, workflow_activation_completion::Status,
};
use temporalio_protos::temporal::api::common::v1::Payload;
use temporalio_protos::temporal::api::failure::v1::Failure;

use crate::engine::RESOLVE_DEFINITION;
use crate::payload::{payload_from_proto, payload_to_proto};
use crate::telemetry::{Kind, Moment, TRACE_HEADER, TraceContext, Tracer};

type Headers = HashMap<String, Payload>;

/// What a host keeps of a run's trace between two activations.
#[derive(Default)]
pub(crate) struct RunTrace {
    workflow_id: String,
    workflow_type: String,
    run_id: String,
    /// The context of the client that started the run.
    outside: TraceContext,
    /// The context of the run: the span of its start.
    inside: TraceContext,
    is_replaying: bool,
    now: Option<SystemTime>,
    /// Distinguishes the moments of one activation from those of another.
    history_length: u32,
}

/// The context in headers.
pub(crate) fn context_of(headers: &Headers) -> TraceContext {
    let payload = headers.get(TRACE_HEADER).cloned().map(payload_from_proto);
    TraceContext::from_header(payload.as_ref())
}

impl RunTrace {
    /// Called before an activation is passed on.
    pub(crate) fn activated(&mut self, tracer: &Tracer, activation: &WorkflowActivation) {
        self.is_replaying = activation.is_replaying;
        self.history_length = activation.history_length;
        let now = activation.timestamp.and_then(|t| t.try_into().ok());
        self.now = now;
        for (index, job) in activation.jobs.iter().enumerate() {
            match &job.variant {
                Some(Job::InitializeWorkflow(start)) => {
                    self.workflow_id.clone_from(&start.workflow_id);
                    self.workflow_type.clone_from(&start.workflow_type);
                    self.run_id.clone_from(&activation.run_id);
                    self.outside = context_of(&start.headers);
                    let name = format!("RunWorkflow:{}", self.workflow_type);
                    let moment = self.moment(name, Kind::Server, "run".to_owned());
                    self.inside = tracer.moment(moment, &self.outside, self.is_replaying);
                }
                Some(Job::SignalWorkflow(signal)) => self.handled(
                    tracer,
                    format!("HandleSignal:{}", signal.signal_name),
                    format!("signal {} {index}", self.history_length),
                    &signal.headers,
                ),
                Some(Job::DoUpdate(update)) => self.handled(
                    tracer,
                    format!("HandleUpdate:{}", update.name),
                    format!("update {}", update.id),
                    &update.headers,
                ),
                // A query is answered in the trace of its client, whether the run is replayed for it or not.
                Some(Job::QueryWorkflow(query)) => {
                    let asked = context_of(&query.headers);
                    if asked.is_somewhere() {
                        let name = format!("HandleQuery:{}", query.query_type);
                        let attributes = self.attributes();
                        let attributes: Vec<_> =
                            attributes.iter().map(|(n, v)| (*n, v.as_str())).collect();
                        drop(tracer.span(name, Kind::Server, &asked, &attributes));
                    }
                }
                _ => {}
            }
        }
    }

    /// A handler begins in the run's trace, with a link to the client of the message.
    fn handled(&self, tracer: &Tracer, name: String, key: String, headers: &Headers) {
        let sent = context_of(headers);
        let moment = Moment {
            link: Some(&sent),
            ..self.moment(name, Kind::Server, key)
        };
        tracer.moment(moment, &self.inside, self.is_replaying);
    }

    /// Called before the commands are sent to the server. What a replay requests is already in history.
    pub(crate) fn completed(&self, tracer: &Tracer, completion: &mut WorkflowActivationCompletion) {
        let Some(Status::Successful(success)) = &mut completion.status else {
            return;
        };
        if self.is_replaying {
            return;
        }
        for command in &mut success.commands {
            if let Some(command) = &mut command.variant {
                self.command(tracer, command);
            }
        }
    }

    fn command(&self, tracer: &Tracer, command: &mut Command) {
        match command {
            Command::ScheduleActivity(activity) => {
                let name = format!("StartActivity:{}", activity.activity_type);
                let key = format!("operation {}", activity.seq);
                let attribute = ("temporalActivityID", activity.activity_id.clone());
                let context = self.asks(tracer, name, key, Some(attribute));
                put(&mut activity.headers, &context);
            }
            Command::ScheduleLocalActivity(activity)
                if activity.activity_type != RESOLVE_DEFINITION =>
            {
                let name = format!("StartActivity:{}", activity.activity_type);
                let key = format!("operation {}", activity.seq);
                let attribute = ("temporalActivityID", activity.activity_id.clone());
                let context = self.asks(tracer, name, key, Some(attribute));
                put(&mut activity.headers, &context);
            }
            Command::StartChildWorkflowExecution(child) => {
                let name = format!("StartChildWorkflow:{}", child.workflow_type);
                let key = format!("child {}", child.seq);
                let context = self.asks(tracer, name, key, None);
                put(&mut child.headers, &context);
            }
            Command::SignalExternalWorkflowExecution(signal) => {
                let whom = match &signal.target {
                    Some(Target::ChildWorkflowId(_)) => "Child",
                    _ => "External",
                };
                let name = format!("Signal{whom}Workflow:{}", signal.signal_name);
                let key = format!("signal to {}", signal.seq);
                let context = self.asks(tracer, name, key, None);
                put(&mut signal.headers, &context);
            }
            Command::ScheduleNexusOperation(operation) => {
                let (service, name) = (&operation.service, &operation.operation);
                let name = format!("StartNexusOperation:{service}/{name}");
                let key = format!("nexus {}", operation.seq);
                let context = self.asks(tracer, name, key, None);
                operation.nexus_header.extend(context.to_carrier());
            }
            // The next run is a sibling of this one, or its child if no client began the trace.
            Command::ContinueAsNewWorkflowExecution(next) => {
                let context = match self.outside.is_somewhere() {
                    true => &self.outside,
                    false => &self.inside,
                };
                put(&mut next.headers, context);
            }
            Command::CompleteWorkflowExecution(_) => self.ends(tracer, None),
            Command::CancelWorkflowExecution(_) => {
                self.ends(tracer, Some("the workflow was cancelled".to_owned()));
            }
            Command::FailWorkflowExecution(failed) => {
                self.ends(tracer, failed.failure.as_ref().map(message));
            }
            _ => {}
        }
    }

    fn asks(
        &self,
        tracer: &Tracer,
        name: String,
        key: String,
        attribute: Option<(&'static str, String)>,
    ) -> TraceContext {
        let mut moment = self.moment(name, Kind::Client, key);
        moment.attributes.extend(attribute);
        tracer.moment(moment, &self.inside, self.is_replaying)
    }

    fn ends(&self, tracer: &Tracer, error: Option<String>) {
        let name = format!("CompleteWorkflow:{}", self.workflow_type);
        let moment = Moment {
            error,
            ..self.moment(name, Kind::Internal, "end".to_owned())
        };
        tracer.moment(moment, &self.inside, self.is_replaying);
    }

    fn moment(&self, name: String, kind: Kind, key: String) -> Moment<'_> {
        Moment {
            name,
            kind,
            run_id: &self.run_id,
            key,
            at: self.now,
            attributes: self.attributes().into(),
            link: None,
            error: None,
        }
    }

    /// Under the names of the official SDKs.
    fn attributes(&self) -> [(&'static str, String); 2] {
        [
            ("temporalWorkflowID", self.workflow_id.clone()),
            ("temporalRunID", self.run_id.clone()),
        ]
    }
}

fn put(headers: &mut Headers, context: &TraceContext) {
    if let Some(payload) = context.to_header() {
        headers.insert(TRACE_HEADER.to_owned(), payload_to_proto(payload));
    }
}

fn message(failure: &Failure) -> String {
    failure.message.clone()
}
