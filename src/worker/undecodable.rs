//! Payloads that cannot be decoded, whatever the keys: they are broken, or inflate beyond a bound. A run continues
//! without them.
//!
//! What happens to a job with such a payload depends only on the job, and on those before it in the same workflow task,
//! so a replay decides the same. Refused updates are not in the history: they are counted separately.

use temporalio_protos::coresdk::activity_result;
use temporalio_protos::coresdk::activity_result::activity_resolution::Status as ActivityStatus;
use temporalio_protos::coresdk::child_workflow;
use temporalio_protos::coresdk::child_workflow::child_workflow_result::Status as ChildStatus;
use temporalio_protos::coresdk::nexus::nexus_operation_result::Status as NexusStatus;
use temporalio_protos::coresdk::workflow_activation::workflow_activation_job::Variant;
use temporalio_protos::coresdk::workflow_activation::{WorkflowActivation, WorkflowActivationJob};
use temporalio_protos::temporal::api::failure::v1 as proto;
use temporalio_protos::temporal::api::failure::v1::failure::FailureInfo as Info;

use crate::engine::command::{Command, CommandKind};
use crate::engine::failure::Failure;
use crate::engine::job::Resolution;
use crate::payload::{Codec, CodecError, Held, Inflation, failure_to_proto};
use crate::value::{Value, quoted};

/// The type of the failures that replace what cannot be decoded.
const NOT_DECODED: &str = "PayloadNotDecoded";

/// The source of these failures, which distinguishes them from those that a client made.
const SOURCE: &str = "segno: not decoded";

/// An activation whose remaining jobs are decoded.
pub(super) struct Decoded {
    /// For the updates and queries that were removed.
    pub(crate) answers: Vec<Command>,
    /// Why the run cannot begin.
    pub(crate) refused_start: Option<Failure>,
    _inflated: Held,
}

/// An error means that other keys or codecs are needed: the workflow task fails.
pub(super) async fn decode(
    codec: &Codec,
    activation: &mut WorkflowActivation,
) -> Result<Decoded, CodecError> {
    match codec.decode_all(activation).await {
        Err(error) if error.is_of_payload() => job_by_job(codec, activation).await,
        inflated => Ok(Decoded {
            answers: Vec::new(),
            refused_start: None,
            _inflated: inflated?,
        }),
    }
}

async fn job_by_job(
    codec: &Codec,
    activation: &mut WorkflowActivation,
) -> Result<Decoded, CodecError> {
    let mut decoded = Decoded {
        answers: Vec::new(),
        refused_start: None,
        _inflated: codec.hold().await,
    };
    let (mut of_history, mut of_updates) = (Inflation::of_message(), Inflation::of_message());
    for mut job in std::mem::take(&mut activation.jobs) {
        let inflation = match job.variant {
            Some(Variant::DoUpdate(_)) => &mut of_updates,
            _ => &mut of_history,
        };
        match codec.decode_part(&mut job, inflation).await {
            Ok(()) => activation.jobs.push(job),
            Err(error) if error.is_of_payload() => {
                let left = decoded.without(job, &error, activation.is_replaying);
                activation.jobs.extend(left);
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(failure) = &decoded.refused_start {
        decoded.answers.extend(refusals(activation, failure));
    }
    Ok(decoded)
}

impl Decoded {
    /// The job that replaces an undecodable one.
    fn without(
        &mut self,
        job: WorkflowActivationJob,
        error: &CodecError,
        is_replaying: bool,
    ) -> Option<WorkflowActivationJob> {
        let refused = |what: &str| {
            let message = format!("{what} cannot be decoded: {error}");
            Failure::application(NOT_DECODED, message).non_retryable()
        };
        let variant = match job.variant? {
            Variant::InitializeWorkflow(_) => {
                self.refused_start = Some(refused("the workflow's start"));
                return None;
            }
            Variant::SignalWorkflow(signal) => {
                if !is_replaying {
                    let name = quoted(&signal.signal_name);
                    tracing::error!(
                        "the signal `{name}` is dropped: it cannot be decoded: {error}"
                    );
                }
                return None;
            }
            Variant::DoUpdate(update) => {
                let failure = refused(&format!("the update `{}`", quoted(&update.name)));
                self.answers
                    .push(reject(update.protocol_instance_id, failure));
                return None;
            }
            Variant::QueryWorkflow(query) => {
                let failure = refused(&format!("the query `{}`", quoted(&query.query_type)));
                self.answers.push(answer(query.query_id, failure));
                return None;
            }
            mut other => {
                fail_result(&mut other, &|| refused("the result"));
                other
            }
        };
        Some(WorkflowActivationJob {
            variant: Some(variant),
        })
    }
}

/// A result becomes a failure. Failures remain, with null details.
fn fail_result(job: &mut Variant, why: &dyn Fn() -> Failure) {
    let failed = |info: Info| proto::Failure {
        message: "the result cannot be decoded".to_owned(),
        source: SOURCE.to_owned(),
        cause: Some(Box::new(failure_to_proto(&why()))),
        failure_info: Some(info),
        ..Default::default()
    };
    match job {
        Variant::ResolveActivity(resolve) => {
            let status = resolve.result.as_mut().and_then(|r| r.status.as_mut());
            if let Some(status @ ActivityStatus::Completed(_)) = status {
                let failure = Some(failed(Info::ActivityFailureInfo(Default::default())));
                *status = ActivityStatus::Failed(activity_result::Failure {
                    failure,
                    ..Default::default()
                });
            }
        }
        Variant::ResolveChildWorkflowExecution(resolve) => {
            let status = resolve.result.as_mut().and_then(|r| r.status.as_mut());
            if let Some(status @ ChildStatus::Completed(_)) = status {
                let info = Info::ChildWorkflowExecutionFailureInfo(Default::default());
                let failure = Some(failed(info));
                *status = ChildStatus::Failed(child_workflow::Failure { failure });
            }
        }
        Variant::ResolveNexusOperation(resolve) => {
            let status = resolve.result.as_mut().and_then(|r| r.status.as_mut());
            if let Some(status @ NexusStatus::Completed(_)) = status {
                let info = Info::NexusOperationExecutionFailureInfo(Default::default());
                *status = NexusStatus::Failed(failed(info));
            }
        }
        // Other jobs with payloads were removed, or are failures.
        Variant::InitializeWorkflow(_)
        | Variant::FireTimer(_)
        | Variant::UpdateRandomSeed(_)
        | Variant::QueryWorkflow(_)
        | Variant::CancelWorkflow(_)
        | Variant::SignalWorkflow(_)
        | Variant::NotifyHasPatch(_)
        | Variant::DoUpdate(_)
        | Variant::ResolveChildWorkflowExecutionStart(_)
        | Variant::ResolveNexusOperationStart(_)
        | Variant::ResolveSignalExternalWorkflow(_)
        | Variant::ResolveRequestCancelExternalWorkflow(_)
        | Variant::RemoveFromCache(_) => {}
    }
}

/// How an operation ended that reports a failure: it may have completed with a result that cannot be decoded.
pub(super) fn failed(mut failure: Failure) -> Resolution {
    if failure.source != SOURCE {
        return Resolution::Failed(failure);
    }
    failure.source.clear();
    Resolution::Unusable {
        result: Value::Null,
        failure,
    }
}

/// Answers to all messages of a run that cannot begin.
pub(super) fn refusals(activation: &WorkflowActivation, failure: &Failure) -> Vec<Command> {
    let jobs = activation.jobs.iter();
    let answers = jobs.filter_map(|job| match job.variant.as_ref()? {
        Variant::QueryWorkflow(query) => Some(answer(query.query_id.clone(), failure.clone())),
        Variant::DoUpdate(update) => {
            let id = update.protocol_instance_id.clone();
            Some(reject(id, failure.clone()))
        }
        _ => None,
    });
    answers.collect()
}

fn reject(protocol_instance_id: String, failure: Failure) -> Command {
    Command::from(CommandKind::RejectUpdate {
        protocol_instance_id,
        failure,
    })
}

fn answer(id: String, failure: Failure) -> Command {
    let result = Err(failure);
    Command::from(CommandKind::RespondToQuery { id, result })
}
