//! The order of history for what comes with one workflow task. Core hands over signals and updates first and all else after them
//! (temporalio-sdk-core 0.10, `worker/workflow/mod.rs`, `prepare_to_ship_activation`), and tells only of signals at which event they
//! stand. If both came, the events in between are read, and each job is put at the place of its event.

use std::sync::Mutex;

use temporalio_client::Connection;
use temporalio_client::grpc::WorkflowService;
use temporalio_protos::coresdk::activity_result::activity_resolution::Status;
use temporalio_protos::coresdk::workflow_activation::workflow_activation_job::Variant;
use temporalio_protos::coresdk::workflow_activation::{WorkflowActivation, WorkflowActivationJob};
use temporalio_protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::history::v1::{History, HistoryEvent};
use temporalio_protos::temporal::api::workflowservice::v1::GetWorkflowExecutionHistoryReverseRequest;
use tonic::IntoRequest;

use crate::limits::ORDER_EVENTS_PER_PAGE_MAX;

/// Where histories are read from.
pub(super) enum Histories {
    Server(Connection),
    /// Of the one run that is replayed.
    Recorded(History),
}

/// An event that core makes a job of, or of which it may.
#[derive(Debug, Clone, Copy)]
pub(super) struct News {
    event_id: i64,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Timer(u32),
    Activity(End),
    ChildStart,
    ChildEnd,
    SignalExternal,
    CancelExternal,
    NexusStart,
    NexusEnd,
    Cancel,
}

/// Core makes no job of some ends of activities that were cancelled before; how an activity ended tells most of them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Completed,
    Failed,
    Cancelled,
}

/// What is known of a run's history from the activations before.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The event that started the workflow task before.
    last: i64,
    /// Read already: from which event on, and what.
    read: Option<(i64, Vec<News>)>,
}

/// A run, as the server knows it.
pub(super) struct Run<'a> {
    pub namespace: &'a str,
    pub workflow_id: &'a str,
    pub run_id: &'a str,
}

/// Puts the jobs of an activation into the order of their events, if there is a run that wants it. To be called for every activation,
/// in order.
pub(super) async fn restore(
    activation: &mut WorkflowActivation,
    known: &Mutex<Known>,
    histories: &Histories,
    run: Option<Run<'_>>,
) -> Result<(), String> {
    let lock = || {
        known
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    };
    let until = i64::from(activation.history_length);
    let after = std::mem::replace(&mut lock().last, until);
    let Some(run) = run.filter(|_| is_mixed(&activation.jobs)) else {
        return Ok(());
    };
    let is_signal =
        |job: &WorkflowActivationJob| matches!(job.variant, Some(Variant::SignalWorkflow(_)));
    if !activation.jobs.iter().any(is_signal) {
        // Updates come last whatever the events are.
        sort(&mut activation.jobs, &[]);
        return Ok(());
    }
    if after == until {
        return Ok(());
    }
    let is_read = |(from, news): &&(i64, Vec<News>)| {
        *from <= after && news.last().is_some_and(|last| last.event_id >= until)
    };
    let read = {
        let known = lock();
        let read = known.read.as_ref().filter(is_read);
        read.map(|(_, news)| between(news, after, until))
    };
    let news = match read {
        Some(news) => news,
        None => {
            let news = histories.after(after, until, run).await?;
            let these = between(&news, after, until);
            // A run that goes on only looks at its newest events.
            lock().read = activation.is_replaying.then_some((after, news));
            these
        }
    };
    sort(&mut activation.jobs, &news);
    Ok(())
}

fn between(news: &[News], after: i64, until: i64) -> Vec<News> {
    let these = news
        .iter()
        .filter(|n| n.event_id > after && n.event_id < until);
    these.copied().collect()
}

/// Whether there are messages and something else of which the order matters. In a run's first activation nothing can have ended.
fn is_mixed(jobs: &[WorkflowActivationJob]) -> bool {
    let variants = || jobs.iter().filter_map(|job| job.variant.as_ref());
    variants().any(|job| matches!(job, Variant::SignalWorkflow(_) | Variant::DoUpdate(_)))
        && variants().any(|job| kind(job).is_some())
        && !variants().any(|job| matches!(job, Variant::InitializeWorkflow(_)))
}

/// What core makes the job of: an event, in the order of history.
fn kind(job: &Variant) -> Option<Kind> {
    match job {
        Variant::FireTimer(timer) => Some(Kind::Timer(timer.seq)),
        Variant::ResolveActivity(resolve) if !resolve.is_local => {
            let status = resolve.result.as_ref().and_then(|r| r.status.as_ref());
            Some(Kind::Activity(match status {
                Some(Status::Completed(_)) => End::Completed,
                Some(Status::Cancelled(_)) => End::Cancelled,
                Some(Status::Failed(_) | Status::Backoff(_)) | None => End::Failed,
            }))
        }
        Variant::ResolveChildWorkflowExecutionStart(_) => Some(Kind::ChildStart),
        Variant::ResolveChildWorkflowExecution(_) => Some(Kind::ChildEnd),
        Variant::ResolveSignalExternalWorkflow(_) => Some(Kind::SignalExternal),
        Variant::ResolveRequestCancelExternalWorkflow(_) => Some(Kind::CancelExternal),
        Variant::ResolveNexusOperationStart(_) => Some(Kind::NexusStart),
        Variant::ResolveNexusOperation(_) => Some(Kind::NexusEnd),
        Variant::CancelWorkflow(_) => Some(Kind::Cancel),
        Variant::InitializeWorkflow(_)
        | Variant::NotifyHasPatch(_)
        | Variant::UpdateRandomSeed(_)
        | Variant::SignalWorkflow(_)
        | Variant::DoUpdate(_)
        | Variant::ResolveActivity(_)
        | Variant::QueryWorkflow(_)
        | Variant::RemoveFromCache(_) => None,
    }
}

impl News {
    fn of(event: &HistoryEvent) -> Option<News> {
        use Attributes::*;
        let kind = match event.attributes.as_ref()? {
            // Core calls a timer by its number.
            TimerFiredEventAttributes(fired) => Kind::Timer(fired.timer_id.parse().ok()?),
            ActivityTaskCompletedEventAttributes(_) => Kind::Activity(End::Completed),
            ActivityTaskCanceledEventAttributes(_) => Kind::Activity(End::Cancelled),
            ActivityTaskFailedEventAttributes(_) | ActivityTaskTimedOutEventAttributes(_) => {
                Kind::Activity(End::Failed)
            }
            StartChildWorkflowExecutionFailedEventAttributes(_)
            | ChildWorkflowExecutionStartedEventAttributes(_) => Kind::ChildStart,
            ChildWorkflowExecutionCompletedEventAttributes(_)
            | ChildWorkflowExecutionFailedEventAttributes(_)
            | ChildWorkflowExecutionCanceledEventAttributes(_)
            | ChildWorkflowExecutionTimedOutEventAttributes(_)
            | ChildWorkflowExecutionTerminatedEventAttributes(_) => Kind::ChildEnd,
            ExternalWorkflowExecutionSignaledEventAttributes(_)
            | SignalExternalWorkflowExecutionFailedEventAttributes(_) => Kind::SignalExternal,
            ExternalWorkflowExecutionCancelRequestedEventAttributes(_)
            | RequestCancelExternalWorkflowExecutionFailedEventAttributes(_) => {
                Kind::CancelExternal
            }
            NexusOperationStartedEventAttributes(_) => Kind::NexusStart,
            NexusOperationCompletedEventAttributes(_)
            | NexusOperationFailedEventAttributes(_)
            | NexusOperationCanceledEventAttributes(_)
            | NexusOperationTimedOutEventAttributes(_) => Kind::NexusEnd,
            WorkflowExecutionCancelRequestedEventAttributes(_) => Kind::Cancel,
            _ => return None,
        };
        Some(News {
            event_id: event.event_id,
            kind,
        })
    }

    /// An operation that ends as it starts has one event for both.
    fn is_of(&self, kind: Kind) -> bool {
        self.kind == kind || (self.kind, kind) == (Kind::NexusEnd, Kind::NexusStart)
    }
}

/// Jobs other than signals come in the order of their events, so each belongs to the first that fits after the one before it. An
/// update comes after all events of its workflow task, unless core has it before a signal.
fn sort(jobs: &mut Vec<WorkflowActivationJob>, news: &[News]) {
    let mut places = vec![i64::MAX; jobs.len()];
    let mut signal = i64::MAX;
    for (place, job) in places.iter_mut().zip(jobs.iter()).rev() {
        match &job.variant {
            Some(Variant::SignalWorkflow(job)) => {
                signal = job.originating_event_id;
                *place = signal;
            }
            Some(Variant::DoUpdate(_)) => *place = signal,
            Some(Variant::NotifyHasPatch(_) | Variant::UpdateRandomSeed(_)) => *place = 0,
            _ => {}
        }
    }
    let mut last = 0;
    let mut left = news.iter().peekable();
    for (place, job) in places.iter_mut().zip(jobs.iter()) {
        let Some(kind) = job.variant.as_ref().and_then(kind) else {
            continue;
        };
        let mut ahead = left.clone();
        if let Some(found) = ahead.find(|news| news.is_of(kind)) {
            last = found.event_id;
            if found.kind == kind {
                left = ahead;
            }
        }
        *place = last;
    }
    let mut placed: Vec<_> = places.into_iter().zip(std::mem::take(jobs)).collect();
    placed.sort_by_key(|(place, _)| *place);
    jobs.extend(placed.into_iter().map(|(_, job)| job));
}

impl Histories {
    /// The news after an event, at least up to another.
    async fn after(&self, after: i64, until: i64, run: Run<'_>) -> Result<Vec<News>, String> {
        match self {
            Histories::Recorded(history) => {
                Ok(history.events.iter().filter_map(News::of).collect())
            }
            Histories::Server(connection) => {
                let mut connection = connection.clone();
                read(&mut connection, after, until, run)
                    .await
                    .map_err(|status| {
                        format!(
                            "the order of the events in the run's history cannot be read: {}",
                            status.message()
                        )
                    })
            }
        }
    }
}

/// From the history's end backwards: nearly always the events are the last ones.
async fn read(
    connection: &mut Connection,
    after: i64,
    until: i64,
    run: Run<'_>,
) -> Result<Vec<News>, tonic::Status> {
    let size = i32::try_from(until - after).unwrap_or(i32::MAX);
    let mut request = GetWorkflowExecutionHistoryReverseRequest {
        namespace: run.namespace.to_owned(),
        execution: Some(WorkflowExecution {
            workflow_id: run.workflow_id.to_owned(),
            run_id: run.run_id.to_owned(),
        }),
        maximum_page_size: size.clamp(1, ORDER_EVENTS_PER_PAGE_MAX),
        next_page_token: Vec::new(),
    };
    let mut news = Vec::new();
    loop {
        let response = connection
            .get_workflow_execution_history_reverse(request.clone().into_request())
            .await?
            .into_inner();
        let events = response.history.unwrap_or_default().events;
        let is_enough = events.iter().any(|event| event.event_id <= after);
        news.extend(events.iter().filter_map(News::of));
        if is_enough || response.next_page_token.is_empty() {
            break;
        }
        request.next_page_token = response.next_page_token;
    }
    news.sort_by_key(|news: &News| news.event_id);
    Ok(news)
}

#[cfg(test)]
mod tests {
    use super::*;
    use temporalio_protos::coresdk::activity_result::{
        ActivityResolution, Cancellation, Success, activity_resolution,
    };
    use temporalio_protos::coresdk::workflow_activation::{
        DoUpdate, FireTimer, ResolveActivity, SignalWorkflow,
    };

    fn signal(event_id: i64) -> Variant {
        Variant::SignalWorkflow(SignalWorkflow {
            originating_event_id: event_id,
            ..SignalWorkflow::default()
        })
    }

    fn timer(seq: u32) -> Variant {
        Variant::FireTimer(FireTimer { seq })
    }

    fn activity(seq: u32, status: activity_resolution::Status, is_local: bool) -> Variant {
        let result = ActivityResolution {
            status: Some(status),
        };
        Variant::ResolveActivity(ResolveActivity {
            seq,
            result: Some(result),
            is_local,
        })
    }

    fn completed(seq: u32) -> Variant {
        activity(seq, Status::Completed(Success::default()), false)
    }

    fn sorted(jobs: Vec<Variant>, news: &[(i64, Kind)]) -> Vec<Variant> {
        let job = |variant| WorkflowActivationJob {
            variant: Some(variant),
        };
        let mut jobs: Vec<_> = jobs.into_iter().map(job).collect();
        let news = news.iter().map(|&(event_id, kind)| News { event_id, kind });
        sort(&mut jobs, &news.collect::<Vec<_>>());
        jobs.into_iter().filter_map(|job| job.variant).collect()
    }

    /// As core has them, the events in between, and the order of history.
    #[test]
    fn each_job_is_put_at_the_place_of_its_event() {
        use Kind::{Activity, Timer};
        let update = || Variant::DoUpdate(DoUpdate::default());
        let local = || activity(9, Status::Completed(Success::default()), true);
        let cancelled = |seq| activity(seq, Status::Cancelled(Cancellation::default()), false);
        let rows = [
            (
                vec![signal(10), signal(14), timer(1), timer(2)],
                vec![(8, Timer(1)), (12, Timer(2))],
                vec![timer(1), signal(10), timer(2), signal(14)],
            ),
            (
                vec![update(), timer(1), local()],
                vec![],
                vec![timer(1), update(), local()],
            ),
            (
                vec![signal(9), update(), signal(12), timer(1)],
                vec![(10, Timer(1))],
                vec![signal(9), timer(1), update(), signal(12)],
            ),
            // The first is of an activity whose cancellation the run knew of: core makes no job of it.
            (
                vec![signal(21), completed(2)],
                vec![
                    (20, Activity(End::Cancelled)),
                    (22, Activity(End::Completed)),
                ],
                vec![signal(21), completed(2)],
            ),
            (
                vec![signal(21), completed(2), cancelled(1)],
                vec![
                    (20, Activity(End::Completed)),
                    (22, Activity(End::Cancelled)),
                ],
                vec![completed(2), signal(21), cancelled(1)],
            ),
        ];
        for (jobs, news, wanted) in rows {
            assert_eq!(sorted(jobs, &news), wanted, "{news:?}");
        }
    }
}
