//! What one workflow task sends to the server, counted over all its activations: local activities answer within the
//! task, so it continues through many. The count restarts with jobs that only a new workflow task delivers. A workflow
//! task that core only keeps alive for a local activity does not count as new: replays do not see it.

use super::command::{Command, CommandKind, ContinueAsNew, SignalTarget, StartChild};
use super::evaluate::PAYLOAD_SIZE_EXCEEDED;
use super::failure::Failure;
use super::flag::LOCAL_RESULTS_COUNTED;
use super::job::{Job, Resolution, Update};
use super::machine::Machine;
use super::state::{Ending, OperationKind, Run};
use crate::faults::Fault;
use crate::limits::{
    COMMAND_SIZE_BYTES, COMMANDS_PER_WORKFLOW_TASK_MAX, LOCAL_RESULT_SIZE_BYTES_RESERVED,
    PAYLOAD_SIZE_BYTES_MAX, PAYLOADS_PER_WORKFLOW_TASK_SIZE_BYTES_MAX,
    WORKFLOW_TASK_SIZE_BYTES_MAX,
};
use crate::program::Action;
use crate::value::{Payload, Value};
use crate::words::LogLevel;

/// Core's id of a query that arrives without a workflow task, and is answered separately (sdk-core 0.10.1, protosext).
const QUERY_ALONE: &str = "legacy_query";

/// What the run's workflow task has sent so far.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Load {
    commands: usize,
    size_bytes: usize,
    /// The part of these from activations before this one.
    earlier_commands: usize,
    earlier_size_bytes: usize,
    /// Nothing more fits: the rest is sent with the next task.
    is_full: bool,
    /// Local activities that core runs now.
    locals: usize,
    /// The largest result of a local activity so far: any other may be as large.
    largest_local_size_bytes: usize,
}

impl Load {
    fn local_ended(&mut self, size: usize) {
        self.locals = self.locals.saturating_sub(1);
        self.size_bytes += size;
        self.largest_local_size_bytes = self.largest_local_size_bytes.max(size);
    }
}

impl Run {
    /// Restarts the count if these are the first jobs of a workflow task, and counts the results among them: their
    /// markers are already in the task.
    pub(crate) fn count_jobs(&mut self, jobs: &[Job]) {
        if jobs.iter().any(|job| self.is_of_new_task(job)) {
            self.load.commands = 0;
            self.load.size_bytes = 0;
            self.load.is_full = false;
        }
        self.load.earlier_commands = self.load.commands;
        self.load.earlier_size_bytes = self.load.size_bytes;
        for job in jobs {
            if let Job::ResolveActivity { seq, resolution } = job
                && self.is_local(*seq)
            {
                self.load.local_ended(resolution_size_bytes(resolution));
            } else if let Job::BackOffActivity { .. } = job {
                self.load.local_ended(0);
            }
        }
    }

    /// An update counts only once it is accepted, though a task begins with it: a rejected one leaves nothing in
    /// history.
    fn is_of_new_task(&self, job: &Job) -> bool {
        match job {
            Job::ResolveActivity { seq, .. } | Job::BackOffActivity { seq, .. } => {
                !self.is_local(*seq)
            }
            Job::FireTimer { .. }
            | Job::ChildStarted { .. }
            | Job::ChildNotStarted { .. }
            | Job::ResolveChild { .. }
            | Job::ResolveSignalExternal { .. }
            | Job::ResolveCancelExternal { .. }
            | Job::NexusStarted { .. }
            | Job::NexusNotStarted { .. }
            | Job::ResolveNexus { .. }
            | Job::Signal { .. }
            | Job::Cancel { .. } => true,
            Job::Initialize(_)
            | Job::Update(_)
            | Job::Query { .. }
            | Job::UpdateRandomSeed(_)
            | Job::HasPatch(_)
            | Job::Accepted(_)
            | Job::Begin => false,
        }
    }

    fn is_local(&self, seq: u32) -> bool {
        let kind = self.operations.get(&seq).map(|operation| &operation.kind);
        matches!(
            kind,
            Some(OperationKind::LocalActivity(_) | OperationKind::Binding)
        )
    }

    /// The marker that binds the run, with its bundle.
    pub(crate) fn count_binding(&mut self, bundle: &[u8]) {
        self.load.commands += 1;
        self.load.size_bytes += COMMAND_SIZE_BYTES + bundle.len();
    }

    /// An update is accepted: the workflow task began with it. Workers repeat it in their answer.
    pub(crate) fn count_update(&mut self, update: &Update) {
        let load = &mut self.load;
        load.commands -= std::mem::take(&mut load.earlier_commands);
        load.size_bytes -= std::mem::take(&mut load.earlier_size_bytes);
        self.load.size_bytes += update_size_bytes(update);
    }

    pub(crate) fn count(&mut self, kind: &CommandKind) {
        if let Some(size) = size_bytes(kind) {
            self.load.commands += 1;
            self.load.size_bytes += size;
        }
        if matches!(kind, CommandKind::ScheduleLocalActivity(_)) {
            self.load.locals += 1;
        }
    }
}

/// Leaves out updates whose answers do not fit in the workflow task: core repeats the whole update in each. The server
/// then rejects them (`UnprocessedUpdate`), and they leave nothing in history.
pub(crate) fn answerable(
    run: Option<&Run>,
    jobs: Vec<Job>,
    commands: &mut Vec<Command>,
) -> Vec<Job> {
    let initialize = jobs.iter().find_map(|job| {
        let Job::Initialize(info) = job else {
            return None;
        };
        Some(&**info)
    });
    let info = initialize.or(run.map(|run| &run.info));
    let bundle = info.and_then(|info| info.newest.as_ref());
    let mut size = bundle.map_or(0, |bundle| bundle.bytes.len());
    size += run.map_or(0, |run| run.load.size_bytes - run.load.earlier_size_bytes);
    let fits = |job: &Job| {
        let Job::Update(update) = job else {
            return true;
        };
        let wanted = size + update_size_bytes(update);
        let fits = !update.run_validator || wanted <= WORKFLOW_TASK_SIZE_BYTES_MAX;
        if fits {
            size = wanted;
        } else {
            let message = format!(
                "the update `{}` is not answered: with what else the workflow task sends the answer would take {wanted} bytes, \
                 WORKFLOW_TASK_SIZE_BYTES_MAX is {WORKFLOW_TASK_SIZE_BYTES_MAX}",
                update.name
            );
            let log = CommandKind::Log {
                level: LogLevel::Warn,
                message,
                fields: Vec::new(),
            };
            commands.push(log.into());
        }
        fits
    };
    match Fault::LocalResultsUncounted.is_on() {
        true => jobs,
        false => jobs.into_iter().filter(fits).collect(),
    }
}

impl Machine<'_> {
    /// Whether the workflow task is full, by its commands and their sizes.
    pub(crate) fn is_loaded(&self) -> bool {
        let load = &self.run.load;
        load.is_full
            || load.commands >= COMMANDS_PER_WORKFLOW_TASK_MAX
            || load.size_bytes >= PAYLOADS_PER_WORKFLOW_TASK_SIZE_BYTES_MAX
    }

    /// An activity has ended: there may be room for throttled steps.
    pub(crate) fn release_held(&mut self) {
        self.run.ready.append(&mut self.run.held);
    }

    /// Whether a local activity must wait for another one to end: the results of those that are running may fill the
    /// task.
    pub(crate) fn holds_local(&self, action: &Action) -> bool {
        let is_local = matches!(action, Action::Activity(activity) if activity.options.local);
        let load = &self.run.load;
        if !is_local || load.locals == 0 || !self.run.has(LOCAL_RESULTS_COUNTED) {
            return false;
        }
        let each = LOCAL_RESULT_SIZE_BYTES_RESERVED.max(load.largest_local_size_bytes);
        load.size_bytes + (load.locals + 1) * each > PAYLOADS_PER_WORKFLOW_TASK_SIZE_BYTES_MAX
    }

    /// Whether commands of this size fit in the current task; otherwise the step begins again in the next one. An error
    /// if they fit in no task.
    pub(crate) fn makes_room(&mut self, size: usize) -> Result<bool, Failure> {
        if !self.run.has(LOCAL_RESULTS_COUNTED) {
            return Ok(true);
        }
        if size > WORKFLOW_TASK_SIZE_BYTES_MAX {
            let message = format!(
                "this would send {size} bytes at once; WORKFLOW_TASK_SIZE_BYTES_MAX is {WORKFLOW_TASK_SIZE_BYTES_MAX}, so that \
                 the server takes the workflow task; hand over a reference to the data instead"
            );
            return Err(Failure::application(PAYLOAD_SIZE_EXCEEDED, message));
        }
        let fits = self.run.load.size_bytes + size <= WORKFLOW_TASK_SIZE_BYTES_MAX;
        self.run.load.is_full |= !fits;
        Ok(fits)
    }

    /// Whether a continuation fits, which carries what was upserted.
    pub(crate) fn continues_in_room(&mut self, next: &ContinueAsNew) -> Result<bool, Failure> {
        self.makes_room(continuation_size_bytes(next) + self.upserted_size_bytes())
    }

    /// Whether the run's end must be sent with the next workflow task. An end that fits in no task becomes a failure.
    pub(crate) fn waits_for_room(&mut self) -> bool {
        let fits = match &self.run.ending {
            Some(Ending::ContinuedAsNew(next)) => {
                let signals = self
                    .run
                    .signals
                    .values()
                    .flatten()
                    .map(value_size_bytes)
                    .sum::<usize>();
                let upserted = self.upserted_size_bytes();
                self.makes_room(continuation_size_bytes(next) + upserted + signals)
            }
            Some(Ending::CarriedOver(next)) => self.makes_room(continuation_size_bytes(next)),
            Some(Ending::Completed(_) | Ending::Failed(_)) => {
                self.makes_room(COMMAND_SIZE_BYTES + PAYLOAD_SIZE_BYTES_MAX)
            }
            Some(Ending::Cancelled) | None => Ok(true),
        };
        match fits {
            Ok(true) => return false,
            Ok(false) if self.run.breather.is_none() => self.take_breath(),
            Ok(false) => {}
            Err(failure) => {
                self.run.ending = Some(Ending::Failed(failure));
                return self.waits_for_room();
            }
        }
        true
    }

    fn upserted_size_bytes(&self) -> usize {
        fields_size_bytes(&self.run.memo) + fields_size_bytes(&self.run.search_attributes)
    }

    /// An answer to a query, if it fits beside everything else that the task sends. The query leaves no trace, so the
    /// client may ask again.
    pub(crate) fn beside(&self, query: &str, answer: Payload) -> Result<Payload, Failure> {
        let size = self.run.load.size_bytes + answer.size_bytes();
        let is_alone = query == QUERY_ALONE || !self.run.has(LOCAL_RESULTS_COUNTED);
        if is_alone || size <= WORKFLOW_TASK_SIZE_BYTES_MAX {
            return Ok(answer);
        }
        let message = format!(
            "the answer does not fit beside what the workflow task sends: {size} bytes in all, WORKFLOW_TASK_SIZE_BYTES_MAX is \
             {WORKFLOW_TASK_SIZE_BYTES_MAX}; ask again"
        );
        Err(Failure::application(PAYLOAD_SIZE_EXCEEDED, message))
    }
}

/// The size of a command in the completion of a workflow task; `None` if it is not sent. Timers and the like count as
/// much as any other, to be safe.
pub(crate) fn size_bytes(kind: &CommandKind) -> Option<usize> {
    let size = match kind {
        CommandKind::UseFlag(_) | CommandKind::Log { .. } | CommandKind::RespondToQuery { .. } => {
            return None;
        }
        CommandKind::StartTimer { .. }
        | CommandKind::CancelTimer { .. }
        | CommandKind::RequestCancelActivity { .. }
        | CommandKind::RequestCancelLocalActivity { .. }
        | CommandKind::CancelNexus { .. }
        | CommandKind::AcceptUpdate { .. }
        | CommandKind::CancelWorkflow => 0,
        CommandKind::ScheduleActivity(activity) => {
            let names = [
                &activity.activity_id,
                &activity.activity_type,
                &activity.task_queue,
            ];
            names.iter().map(|name| name.len()).sum::<usize>() + sum(&activity.arguments)
        }
        // Its arguments stay with the worker; the result counts once it is known.
        CommandKind::ScheduleLocalActivity(activity) => {
            activity.activity_id.len() + activity.activity_type.len()
        }
        CommandKind::StartChild(start) => child_size_bytes(start),
        CommandKind::CancelChild { reason, .. } => reason.len(),
        CommandKind::SignalExternal {
            target, name, args, ..
        } => {
            let target = match target {
                SignalTarget::Workflow {
                    workflow_id,
                    run_id,
                } => workflow_id.len() + run_id.len(),
                SignalTarget::Child { workflow_id } => workflow_id.len(),
            };
            target + name.len() + sum(args)
        }
        CommandKind::CancelExternal {
            workflow_id,
            run_id,
            reason,
            ..
        } => workflow_id.len() + run_id.len() + reason.len(),
        CommandKind::ScheduleNexus(nexus) => {
            let names = [&nexus.endpoint, &nexus.service, &nexus.operation];
            names.iter().map(|name| name.len()).sum::<usize>() + nexus.input.size_bytes()
        }
        CommandKind::UpsertSearchAttributes(fields) | CommandKind::UpsertMemo(fields) => {
            fields_size_bytes(fields)
        }
        // A marker and a search attribute.
        CommandKind::MarkVersion(version) => 2 * version.len() + COMMAND_SIZE_BYTES,
        CommandKind::RejectUpdate { failure, .. } => failure_size_bytes(failure),
        CommandKind::CompleteUpdate { result, .. } => match result {
            Ok(payload) => payload.size_bytes(),
            Err(failure) => failure_size_bytes(failure),
        },
        CommandKind::CompleteWorkflow(payload) => payload.size_bytes(),
        CommandKind::FailWorkflow(failure) => failure_size_bytes(failure),
        CommandKind::ContinueAsNew(next) => continuation_size_bytes(next),
    };
    Some(COMMAND_SIZE_BYTES + size)
}

pub(crate) fn child_size_bytes(start: &StartChild) -> usize {
    let names = [
        &start.workflow_id,
        &start.workflow_type,
        &start.task_queue,
        &start.cron_schedule,
    ];
    names.iter().map(|name| name.len()).sum::<usize>()
        + sum(&start.input)
        + fields_size_bytes(&start.memo)
        + fields_size_bytes(&start.search_attributes)
}

pub(crate) fn continuation_size_bytes(next: &ContinueAsNew) -> usize {
    next.workflow_type.len()
        + next.task_queue.len()
        + sum(&next.arguments)
        + fields_size_bytes(&next.memo)
        + fields_size_bytes(&next.search_attributes)
        + fields_size_bytes(&next.headers)
}

pub(crate) fn fields_size_bytes(fields: &std::collections::BTreeMap<String, Payload>) -> usize {
    let sizes = fields
        .iter()
        .map(|(name, payload)| name.len() + payload.size_bytes());
    sizes.sum()
}

fn sum(payloads: &[Payload]) -> usize {
    payloads.iter().map(Payload::size_bytes).sum()
}

fn update_size_bytes(update: &Update) -> usize {
    update.input.iter().map(value_size_bytes).sum()
}

fn resolution_size_bytes(resolution: &Resolution) -> usize {
    match resolution {
        Resolution::Completed(value) => value_size_bytes(value),
        Resolution::Failed(failure)
        | Resolution::Cancelled(failure)
        | Resolution::Unusable { failure, .. } => failure_size_bytes(failure),
    }
}

fn value_size_bytes(value: &Value) -> usize {
    Payload::from_value(value).map_or(0, |payload| payload.size_bytes())
}

fn failure_size_bytes(failure: &Failure) -> usize {
    let sizes = failure.chain().map(|failure| {
        let details = failure.info.details().unwrap_or_default();
        failure.message.len()
            + failure.stack_trace.len()
            + details.iter().map(value_size_bytes).sum::<usize>()
    });
    sizes.sum()
}
