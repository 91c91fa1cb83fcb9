//! Restores the order of history for the jobs of one workflow task. Core delivers signals and updates first and
//! everything else after them (temporalio-sdk-core 0.10, `worker/workflow/mod.rs`, `prepare_to_ship_activation`), and
//! has the event's id only for signals. If both arrived, the events in between are read, and each job is moved to the
//! place of its event.
//!
//! Core makes no job for the end of an activity or child that it was told to cancel without waiting. Its event must not
//! be taken for that of another, so ends are distinguished: failed activities by the event that scheduled them,
//! children by their workflow ids, and completed activities, if there are more events than jobs, by their activity ids,
//! for which the events that scheduled them are read.

use std::collections::HashMap;
use std::sync::Mutex;

use temporalio_client::Connection;
use temporalio_client::grpc::WorkflowService;
use temporalio_protos::coresdk::activity_result::activity_resolution::Status;
use temporalio_protos::coresdk::workflow_activation::workflow_activation_job::Variant;
use temporalio_protos::coresdk::workflow_activation::{
    ResolveActivity, WorkflowActivation, WorkflowActivationJob,
};
use temporalio_protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_protos::temporal::api::failure::v1::failure::FailureInfo;
use temporalio_protos::temporal::api::history::v1::{History, HistoryEvent};
use temporalio_protos::temporal::api::workflowservice::v1::{
    GetWorkflowExecutionHistoryRequest, GetWorkflowExecutionHistoryReverseRequest,
};
use tonic::IntoRequest;

use crate::engine::command::{Command, CommandKind};
use crate::history::{self, Commanded, Meaning, Operation, Progress, Stage, TaskStage};
use crate::limits::ORDER_EVENTS_PER_PAGE_MAX;

/// How many events are read together with one near the history's end.
const NEWEST_EVENTS: i64 = 20;

/// Where histories are read from.
pub(super) enum Histories {
    Server(Connection),
    /// The history of the one run that is replayed.
    Recorded(History),
}

/// An event of which core makes, or may make, a job.
#[derive(Debug, Clone)]
pub(super) struct News {
    event_id: i64,
    kind: Kind,
    of: Of,
}

/// The operation that an event ends, as far as the event has it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Of {
    Unsaid,
    /// The activity that this event scheduled.
    Scheduled(i64),
    /// The child with this workflow id.
    Child(String),
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

/// Core makes no job for some ends of activities that were cancelled before; the kind of end distinguishes most of
/// them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Completed,
    Failed,
    Cancelled,
}

/// What earlier activations revealed about a run's history.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The event that started the previous workflow task.
    last: i64,
    /// What was already read, and from which event on.
    read: Option<(i64, Vec<News>)>,
    /// The ids of activities and children in flight, by number; those of activities only if they differ from the
    /// number.
    ids: HashMap<u32, String>,
}

impl Known {
    /// Records the engine's commands.
    pub(crate) fn commanded(&mut self, commands: &[Command]) {
        for command in commands {
            match &command.kind {
                CommandKind::ScheduleActivity(schedule)
                    if schedule.activity_id != schedule.seq.to_string() =>
                {
                    self.ids.insert(schedule.seq, schedule.activity_id.clone());
                }
                CommandKind::StartChild(start) => {
                    self.ids.insert(start.seq, start.workflow_id.clone());
                }
                _ => {}
            }
        }
    }

    /// The ids of an activation's jobs, which no later one needs.
    fn take_ids(&mut self, jobs: &[WorkflowActivationJob]) -> HashMap<u32, String> {
        let ended = jobs.iter().filter_map(|job| match &job.variant {
            Some(Variant::ResolveActivity(resolve)) => Some(resolve.seq),
            Some(Variant::ResolveChildWorkflowExecution(resolve)) => Some(resolve.seq),
            _ => None,
        });
        let ids = ended.filter_map(|seq| Some((seq, self.ids.remove(&seq)?)));
        ids.collect()
    }
}

/// What distinguishes ends.
#[derive(Debug, Default)]
struct Names {
    /// The ids of the jobs, by number.
    ids: HashMap<u32, String>,
    /// The ids of activities, by the event that scheduled them; empty unless they are needed.
    scheduled: HashMap<i64, String>,
}

impl Names {
    /// Whether the event may belong to the job, as far as either has an id.
    fn fit(&self, job: &Variant, of: &Of) -> bool {
        match (job, of) {
            (Variant::ResolveActivity(resolve), Of::Scheduled(by)) => {
                if let Some(named) = scheduled_by(resolve) {
                    return named == *by;
                }
                let id = self.ids.get(&resolve.seq);
                let id = id.cloned().unwrap_or_else(|| resolve.seq.to_string());
                self.scheduled.get(by).is_none_or(|named| *named == id)
            }
            (Variant::ResolveChildWorkflowExecution(resolve), Of::Child(workflow_id)) => {
                let id = self.ids.get(&resolve.seq);
                id.is_none_or(|id| id == workflow_id)
            }
            _ => true,
        }
    }
}

/// Core names the event in the failure that it makes of an end.
fn scheduled_by(resolve: &ResolveActivity) -> Option<i64> {
    let failure = match resolve.result.as_ref()?.status.as_ref()? {
        Status::Failed(failed) => failed.failure.as_ref(),
        Status::Cancelled(cancelled) => cancelled.failure.as_ref(),
        Status::Completed(_) | Status::Backoff(_) => None,
    };
    match failure?.failure_info.as_ref()? {
        FailureInfo::ActivityFailureInfo(info) if info.scheduled_event_id > 0 => {
            Some(info.scheduled_event_id)
        }
        _ => None,
    }
}

/// A run's identity on the server.
pub(super) struct Run<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) workflow_id: &'a str,
    pub(crate) run_id: &'a str,
}

impl Run<'_> {
    fn execution(&self) -> WorkflowExecution {
        WorkflowExecution {
            workflow_id: self.workflow_id.to_owned(),
            run_id: self.run_id.to_owned(),
        }
    }
}

/// Sorts the jobs of an activation into the order of their events, if the run requires that. Must be called for every
/// activation, in order.
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
    let mut names = Names {
        ids: lock().take_ids(&activation.jobs),
        ..Names::default()
    };
    let Some(run) = run.filter(|_| is_mixed(&activation.jobs)) else {
        return Ok(());
    };
    let is_signal =
        |job: &WorkflowActivationJob| matches!(job.variant, Some(Variant::SignalWorkflow(_)));
    if !activation.jobs.iter().any(is_signal) {
        // Updates are last, whatever the events are.
        sort(&mut activation.jobs, &[], &names);
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
            let news = histories.after(after, until, &run).await?;
            let these = between(&news, after, until);
            // A run that is not replayed only reads its newest events.
            lock().read = activation.is_replaying.then_some((after, news));
            these
        }
    };
    if let Some(first) = first_that_is_unclear(&activation.jobs, &news) {
        names.scheduled = histories.scheduled(first, until, &run).await?;
    }
    sort(&mut activation.jobs, &news, &names);
    Ok(())
}

fn between(news: &[News], after: i64, until: i64) -> Vec<News> {
    let these = news
        .iter()
        .filter(|n| n.event_id > after && n.event_id < until);
    these.cloned().collect()
}

/// If more activities have completed than the run gets jobs for: the first event that scheduled one of them.
fn first_that_is_unclear(jobs: &[WorkflowActivationJob], news: &[News]) -> Option<i64> {
    let completed = Kind::Activity(End::Completed);
    let jobs = jobs.iter().filter_map(|job| job.variant.as_ref());
    let told = jobs.filter(|job| kind(job) == Some(completed)).count();
    let ends = news.iter().filter(|news| news.kind == completed);
    let by = ends.filter_map(|news| match news.of {
        Of::Scheduled(by) => Some(by),
        Of::Unsaid | Of::Child(_) => None,
    });
    let by: Vec<i64> = by.collect();
    let first = by.iter().min().copied();
    first.filter(|_| told > 0 && by.len() > told)
}

/// Whether there are messages and other jobs whose order matters. In a run's first activation nothing can have ended.
fn is_mixed(jobs: &[WorkflowActivationJob]) -> bool {
    let variants = || jobs.iter().filter_map(|job| job.variant.as_ref());
    variants().any(|job| matches!(job, Variant::SignalWorkflow(_) | Variant::DoUpdate(_)))
        && variants().any(|job| kind(job).is_some())
        && !variants().any(|job| matches!(job, Variant::InitializeWorkflow(_)))
}

/// The kind of event from which core makes the job.
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
        let (kind, of) = match Meaning::of(event) {
            Meaning::CancelRequested(_) => (Kind::Cancel, Of::Unsaid),
            Meaning::Progress(progress) => (kind_of(&progress)?, Of::progress(&progress)),
            Meaning::RunStarted(_)
            | Meaning::RunEnded(_)
            | Meaning::Task(_)
            | Meaning::Signaled(_)
            | Meaning::Commanded(_)
            | Meaning::Unobserved => return None,
        };
        Some(News {
            event_id: event.event_id,
            kind,
            of,
        })
    }

    /// An operation that ends when it starts has one event for both.
    fn is_of(&self, kind: Kind) -> bool {
        self.kind == kind || (self.kind, kind) == (Kind::NexusEnd, Kind::NexusStart)
    }
}

fn kind_of(progress: &Progress<'_>) -> Option<Kind> {
    use history::End::{Cancelled, Completed, Failed, Refused, Terminated, TimedOut};
    Some(match (progress.operation, progress.stage) {
        // Core identifies a timer by its number.
        (Operation::Timer, _) => Kind::Timer(progress.id?.parse().ok()?),
        (Operation::Activity, Stage::Ended(end)) => Kind::Activity(match end {
            Completed(_) => End::Completed,
            Cancelled(_) => End::Cancelled,
            Failed(_) | TimedOut(_) | Terminated | Refused(_) => End::Failed,
        }),
        (Operation::Activity, Stage::Started { .. }) => return None,
        (Operation::Child, Stage::Started { .. } | Stage::Ended(Refused(_))) => Kind::ChildStart,
        (Operation::Child, Stage::Ended(_)) => Kind::ChildEnd,
        (Operation::Signal, _) => Kind::SignalExternal,
        (Operation::Cancellation, _) => Kind::CancelExternal,
        (Operation::Nexus, Stage::Started { .. }) => Kind::NexusStart,
        (Operation::Nexus, Stage::Ended(_)) => Kind::NexusEnd,
    })
}

impl Of {
    fn progress(progress: &Progress<'_>) -> Of {
        match (kind_of(progress), progress.id) {
            (Some(Kind::Activity(_)), _) => Of::Scheduled(progress.of),
            (Some(Kind::ChildEnd), Some(workflow_id)) => Of::Child(workflow_id.to_owned()),
            _ => Of::Unsaid,
        }
    }
}

/// Jobs other than signals are in the order of their events, so each belongs to the first matching event after that of
/// the job before it. An update follows all events of its workflow task, unless core has it before a signal.
fn sort(jobs: &mut Vec<WorkflowActivationJob>, news: &[News], names: &Names) {
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
        let Some((job, kind)) = job.variant.as_ref().and_then(|job| Some((job, kind(job)?))) else {
            continue;
        };
        let mut ahead = left.clone();
        if let Some(found) = ahead.find(|news| news.is_of(kind) && names.fit(job, &news.of)) {
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
    /// The events after an event, at least up to another one.
    async fn after(&self, after: i64, until: i64, run: &Run<'_>) -> Result<Vec<News>, String> {
        let mut news = self.read(after, until, run, News::of).await?;
        news.sort_by_key(|news: &News| news.event_id);
        Ok(news)
    }

    /// The ids of activities by the event that scheduled them, from one event on.
    async fn scheduled(
        &self,
        from: i64,
        until: i64,
        run: &Run<'_>,
    ) -> Result<HashMap<i64, String>, String> {
        let id = |event: &HistoryEvent| match Meaning::of(event) {
            Meaning::Commanded(Commanded::Activity(a)) => {
                Some((event.event_id, a.activity_id.clone()))
            }
            _ => None,
        };
        let ids = self.read(from - 1, until, run, id).await?;
        Ok(ids.into_iter().collect())
    }

    /// Whether the first completed workflow task recorded nothing that a run's steps request, and the second one
    /// delivered a message. Without a message a replay has no job for the run in the second task: a run that was bound
    /// there begins in the first one, which differs only in time.
    pub(crate) async fn first_task_is_bare(&self, run: &Run<'_>) -> Result<bool, String> {
        match self {
            Histories::Recorded(history) => Ok(is_bare(&history.events)),
            Histories::Server(connection) => {
                let request = GetWorkflowExecutionHistoryRequest {
                    namespace: run.namespace.to_owned(),
                    execution: Some(run.execution()),
                    maximum_page_size: ORDER_EVENTS_PER_PAGE_MAX,
                    ..Default::default()
                };
                let mut connection = connection.clone();
                let response = connection
                    .get_workflow_execution_history(request.into_request())
                    .await;
                let response = response.map_err(|status| {
                    let why = status.message();
                    format!("the beginning of the run's history cannot be read: {why}")
                })?;
                Ok(is_bare(
                    &response.into_inner().history.unwrap_or_default().events,
                ))
            }
        }
    }

    /// Whether an event is not the start of a workflow task. The start of a task that is retried is not in history yet.
    pub(crate) async fn is_behind_tasks(
        &self,
        event_id: i64,
        run: &Run<'_>,
    ) -> Result<bool, String> {
        if let Histories::Recorded(_) = self {
            return Ok(false);
        }
        let begins = |event: &HistoryEvent| {
            let meaning = Meaning::of(event);
            let begins = matches!(meaning, Meaning::Task(TaskStage::Started(_)));
            (event.event_id == event_id).then_some(begins)
        };
        let found = self.read(event_id - 1, event_id + NEWEST_EVENTS, run, begins);
        Ok(found.await?.first() == Some(&false))
    }

    async fn read<T>(
        &self,
        after: i64,
        until: i64,
        run: &Run<'_>,
        take: impl Fn(&HistoryEvent) -> Option<T>,
    ) -> Result<Vec<T>, String> {
        match self {
            Histories::Recorded(history) => Ok(history.events.iter().filter_map(take).collect()),
            Histories::Server(connection) => {
                let mut connection = connection.clone();
                read(&mut connection, after, until, run, take)
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

/// See [`Histories::first_task_is_bare`].
fn is_bare(events: &[HistoryEvent]) -> bool {
    let completes =
        |event: &HistoryEvent| matches!(Meaning::of(event), Meaning::Task(TaskStage::Completed(_)));
    let mut tasks = events.split(completes).skip(1);
    let (Some(first), Some(second)) = (tasks.next(), tasks.next()) else {
        return false;
    };
    let comes = |event: &HistoryEvent| {
        let meaning = Meaning::of(event);
        matches!(meaning, Meaning::Signaled(_) | Meaning::CancelRequested(_))
    };
    let accepts = |event: &HistoryEvent| {
        let meaning = Meaning::of(event);
        matches!(meaning, Meaning::Commanded(Commanded::UpdateAccepted(_)))
    };
    // The marker of the definition, and events of updates and of the next task.
    let is_other = |event: &HistoryEvent| {
        accepts(event)
            || matches!(
                Meaning::of(event),
                Meaning::Commanded(Commanded::Marker(_))
                    | Meaning::Task(TaskStage::Scheduled | TaskStage::Started(_))
            )
    };
    let is_bare = first.iter().all(|event| comes(event) || is_other(event));
    is_bare && (first.iter().any(comes) || second.first().is_some_and(accepts))
}

/// Reads backwards from the history's end: nearly always, the events are the last ones.
async fn read<T>(
    connection: &mut Connection,
    after: i64,
    until: i64,
    run: &Run<'_>,
    take: impl Fn(&HistoryEvent) -> Option<T>,
) -> Result<Vec<T>, tonic::Status> {
    let size = i32::try_from(until - after).unwrap_or(i32::MAX);
    let mut request = GetWorkflowExecutionHistoryReverseRequest {
        namespace: run.namespace.to_owned(),
        execution: Some(run.execution()),
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
        news.extend(events.iter().filter_map(&take));
        if is_enough || response.next_page_token.is_empty() {
            break;
        }
        request.next_page_token = response.next_page_token;
    }
    Ok(news)
}

#[cfg(test)]
mod tests;
