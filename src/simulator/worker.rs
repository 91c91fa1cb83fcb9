//! The worker's half: it receives workflow tasks, hosts the engine as Temporal's core library does (sdk-core 0.10.1,
//! worker/workflow/managed_run.rs), runs local activities, and completes the tasks. Of the server it only sees events.

mod away;
mod cached;
mod local;
mod machines;
mod replay;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prost::Message;
use temporalio_protos::coresdk::workflow_activation as jobs;
use temporalio_protos::coresdk::workflow_activation::workflow_activation_job::Variant;
use temporalio_protos::temporal::api::enums::v1::WorkflowTaskFailedCause;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;

use super::agenda::{Due, Key, LocalDue, after};
use super::message::{Answer, Completed, Completion, Names, Query, TaskFailed, WorkflowTask};
use super::world::World;
use super::{Logged, RunNumber};
use crate::engine::command::{Command, CommandKind};
use crate::engine::failure::Failure;
use crate::engine::job::EncodedBundle;
use crate::engine::observe::Observer;
use crate::engine::{Instance, Programs};
use crate::registry::Registry;
use crate::value::{Duration, Payload, Value, to_json_string};
use cached::Cached;
use local::LocalRun;
pub(crate) use machines::Transition;
use machines::{LocalRequest, Sent};
pub(crate) use replay::Divergence;
use replay::{Replay, replay};

/// gRPC's own bound on what a server receives.
const MESSAGE_SIZE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The rows of the workers' state machines of operations, and whether this thread has taken them.
pub fn transitions() -> Vec<Transition> {
    machines::transitions()
}

pub(super) struct Worker {
    namespace: String,
    task_queue: String,
    registry: Arc<dyn Registry>,
    programs: Arc<dyn Programs + Send + Sync>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    /// The runs in its cache, by their numbers. They are never evicted.
    runs: BTreeMap<usize, Run>,
    /// Runs with running local activities.
    busy: BTreeSet<usize>,
    /// Runs whose workflow task must not complete yet.
    held_open: BTreeSet<usize>,
    /// Workflow tasks wait until one is requested.
    pub(crate) holds_tasks: bool,
    pub(crate) logs: Vec<Logged>,
}

struct Run {
    workflow_id: String,
    workflow_type: String,
    cached: Cached,
    /// The definition that was the newest when the run started.
    bundle: Option<Arc<EncodedBundle>>,
    locals: BTreeMap<u32, LocalRun>,
    /// Time in which a workflow task must be completed.
    task_timeout: Duration,
    heartbeat_key: Option<Key>,
    /// The length of the history from which it was last rebuilt.
    rebuilt_at: usize,
}

impl Worker {
    pub(crate) fn new(
        (namespace, task_queue): (&str, &str),
        registry: Arc<dyn Registry>,
        programs: Arc<dyn Programs + Send + Sync>,
    ) -> Self {
        Worker {
            namespace: namespace.to_owned(),
            task_queue: task_queue.to_owned(),
            registry,
            programs,
            observer: None,
            runs: BTreeMap::new(),
            busy: BTreeSet::new(),
            held_open: BTreeSet::new(),
            holds_tasks: false,
            logs: Vec::new(),
        }
    }

    /// The last event of the run that it has seen; 0 if none.
    pub(crate) fn seen(&self, run: usize) -> i64 {
        let run = self.runs.get(&run);
        run.map_or(0, |run| run.cached.machines.processed)
    }

    /// `None` if the task stays open, for local activities or because a test holds it.
    pub(crate) fn begin(
        &mut self,
        task: WorkflowTask<'_>,
        world: &mut World,
    ) -> Option<Completion> {
        let number = task.run;
        let run = self.entry(number, task.names);
        run.task_timeout = task.timeout;
        let applied = run.cached.machines.apply(task.events, &[], task.updates);
        match applied {
            Ok(()) => self.go_on(number, world),
            Err(divergence) => Some(Completion::failed(number, divergence.to_string())),
        }
    }

    fn entry(&mut self, number: usize, names: Names<'_>) -> &mut Run {
        let with = with(
            (&self.namespace, &self.task_queue),
            &*self.programs,
            self.observer.clone(),
            names,
        );
        self.runs.entry(number).or_insert_with(|| Run {
            workflow_id: names.workflow_id.to_owned(),
            workflow_type: names.workflow_type.to_owned(),
            cached: Cached::new(&with),
            bundle: None,
            locals: BTreeMap::new(),
            task_timeout: Duration::ZERO,
            heartbeat_key: None,
            rebuilt_at: 0,
        })
    }

    /// Like [`Worker::drive`]; an error fails the workflow task.
    fn go_on(&mut self, number: usize, world: &mut World) -> Option<Completion> {
        self.drive(number, world).unwrap_or_else(|divergence| {
            let failed = Completion::failed(number, divergence.problem);
            Some(failed)
        })
    }

    /// Drives the engine as far as possible; the task stays open while local activities run.
    fn drive(
        &mut self,
        number: usize,
        world: &mut World,
    ) -> Result<Option<Completion>, Divergence> {
        loop {
            let run = known(&mut self.runs, number)?;
            let jobs = run.cached.take_jobs();
            if !jobs.is_empty() {
                self.activate(number, jobs, world)?;
                continue;
            }
            let requests = std::mem::take(&mut run.cached.machines.local_requests);
            if requests.is_empty() {
                break;
            }
            for request in requests {
                match request {
                    LocalRequest::Start(seq) => self.start_local(number, seq, world)?,
                    LocalRequest::Cancel(seq) => self.cancel_local(number, seq, world)?,
                }
            }
        }
        if self.held_open.contains(&number) {
            return Ok(None);
        }
        let run = known(&mut self.runs, number)?;
        if run.locals.is_empty() || run.cached.machines.has_ended {
            return self.complete(number, false, world).map(Some);
        }
        if run.heartbeat_key.is_none() {
            // Core completes it at 80 % of the timeout (sdk-core 0.10.1, `WFT_HEARTBEAT_TIMEOUT_FRACTION`).
            let length = Duration::from_nanos(run.task_timeout.as_nanos() * 8 / 10);
            let at = after(world.now, length.unwrap_or_default());
            let due = Due::TaskHeartbeat { run: number };
            run.heartbeat_key = Some(world.agenda.put(at, due));
        }
        Ok(None)
    }

    fn activate(
        &mut self,
        number: usize,
        jobs: Vec<Variant>,
        world: &World,
    ) -> Result<(), Divergence> {
        let starts = jobs
            .iter()
            .any(|job| matches!(job, Variant::InitializeWorkflow(_)));
        let run = known(&mut self.runs, number)?;
        if starts && run.bundle.is_none() {
            let entry = self
                .registry
                .for_new_run(&run.workflow_type, &run.workflow_id);
            run.bundle = entry.map(|entry| entry.bundle);
        }
        let run_id = run.cached.run_id.clone();
        let names = Names {
            workflow_id: &run.workflow_id,
            run_id: &run_id,
            workflow_type: &run.workflow_type,
        };
        let place = (self.namespace.as_str(), self.task_queue.as_str());
        let with = with(place, &*self.programs, None, names);
        let commands = run.cached.activate(jobs, &with, run.bundle.as_ref())?;
        let logged = commands
            .iter()
            .filter_map(|command| logged(number, command, world));
        self.logs.extend(logged);
        run.cached.machines.driven(commands)
    }

    /// It is kept open for local activities: it is completed with what there is and started again.
    pub(crate) fn heartbeat_task(&mut self, number: usize, world: &mut World) -> Completion {
        let completion = self.complete(number, true, world);
        completion.unwrap_or_else(|divergence| Completion::failed(number, divergence.problem))
    }

    fn complete(
        &mut self,
        number: usize,
        goes_on: bool,
        world: &mut World,
    ) -> Result<Completion, Divergence> {
        let run = known(&mut self.runs, number)?;
        if let Some(key) = run.heartbeat_key.take() {
            world.agenda.remove(key);
        }
        let machines = &mut run.cached.machines;
        let sent = machines.prepare();
        if !is_receivable(machines, &sent) {
            // (sdk-core 0.10.1, worker/workflow/mod.rs.)
            let result = Err(TaskFailed {
                cause: WorkflowTaskFailedCause::GrpcMessageTooLarge,
                message: "GrpcMessageTooLarge".to_owned(),
            });
            return Ok(Completion {
                run: number,
                result,
            });
        }
        let flags = machines.flags_used.difference(&machines.flags);
        let flags = flags.copied().collect();
        let commands = sent.into_iter();
        let commands = commands.map(|sent| machines.command(sent, &run.cached.run_id));
        let commands = commands.collect::<Result<Vec<_>, _>>()?;
        Ok(Completion {
            run: number,
            result: Ok(Completed {
                commands,
                flags,
                goes_on,
            }),
        })
    }

    /// The server's answer to a completion, if it has not refused it.
    pub(crate) fn answered(&mut self, number: usize, answer: Answer) {
        let Some(run) = self.runs.get_mut(&number) else {
            // It has not completed a task.
            return;
        };
        let machines = &mut run.cached.machines;
        match answer {
            Answer::Recorded => machines
                .flags
                .append(&mut std::mem::take(&mut machines.flags_used)),
            // (temporal server 1.32.0, `reset_history_event_id` of RespondWorkflowTaskCompletedResponse.)
            Answer::Dropped { events } => machines.processed = events,
            Answer::Refused { .. } => {}
        }
    }

    /// The run has closed, or its task is over: its local activities are no longer needed.
    pub(crate) fn drop_task(&mut self, number: usize, world: &mut World) {
        let Some(run) = self.runs.get_mut(&number) else {
            // It closed before a worker got a task of it.
            return;
        };
        for local in std::mem::take(&mut run.locals).into_values() {
            let keys = local.keys.into_iter().chain(local.close_key);
            world.agenda.remove_all(keys);
        }
        if let Some(key) = run.heartbeat_key.take() {
            world.agenda.remove(key);
        }
        self.busy.remove(&number);
    }

    /// Runs with running local activities.
    pub(crate) fn busy(&self) -> Vec<usize> {
        self.busy.iter().copied().collect()
    }

    /// Keeps the run's workflow task open until [`Worker::release`].
    pub(crate) fn hold_open(&mut self, number: usize) {
        self.held_open.insert(number);
    }

    pub(crate) fn release(&mut self, number: usize) {
        self.held_open.remove(&number);
    }

    /// Continues an open task.
    pub(crate) fn resume(&mut self, number: usize, world: &mut World) -> Option<Completion> {
        self.go_on(number, world)
    }

    /// An answer to a query, which changes nothing.
    pub(crate) fn answer(&mut self, query: Query<'_>) -> Result<Payload, Unanswered> {
        let number = query.run;
        let names = query.names;
        self.entry(number, names);
        let job = Variant::QueryWorkflow(jobs::QueryWorkflow {
            query_id: "query".to_owned(),
            query_type: query.name,
            arguments: query.args,
            ..Default::default()
        });
        let place = (self.namespace.as_str(), self.task_queue.as_str());
        let with = with(place, &*self.programs, None, names);
        let run = known(&mut self.runs, number).map_err(Unanswered::broken)?;
        let is_replaying = std::mem::replace(&mut run.cached.machines.is_replaying, true);
        let commands = run.cached.activate(vec![job], &with, None);
        run.cached.machines.is_replaying = is_replaying;
        let commands = commands.map_err(Unanswered::broken)?;
        let answer = commands.into_iter().find_map(|command| {
            let CommandKind::RespondToQuery { result, .. } = command.kind else {
                return None;
            };
            Some(result)
        });
        let unanswered = || Unanswered::Broken("the query was not answered".to_owned());
        answer.ok_or_else(unanswered)?.map_err(Unanswered::Failed)
    }

    /// Rebuilds the run from its history, like a worker that has nothing else.
    pub(crate) fn rebuild(
        &mut self,
        number: usize,
        names: Names<'_>,
        history: &[HistoryEvent],
    ) -> Result<(), Divergence> {
        let cached = self.replayed(names, history)?;
        self.entry(number, names).cached = cached;
        Ok(())
    }

    /// Like [`Worker::rebuild`], unless nothing has arrived since the last time.
    pub(crate) fn rebuild_if_news(
        &mut self,
        number: usize,
        names: Names<'_>,
        history: &[HistoryEvent],
    ) -> Result<(), Divergence> {
        let run = self.entry(number, names);
        if std::mem::replace(&mut run.rebuilt_at, history.len()) == history.len() {
            return Ok(());
        }
        self.rebuild(number, names, history)
    }

    /// Whether the history leads a new worker to the same commands.
    pub(crate) fn replays(
        &self,
        names: Names<'_>,
        history: &[HistoryEvent],
    ) -> Result<(), Divergence> {
        self.replayed(names, history).map(|_| ())
    }

    fn replayed(&self, names: Names<'_>, history: &[HistoryEvent]) -> Result<Cached, Divergence> {
        let place = (self.namespace.as_str(), self.task_queue.as_str());
        let observer = self.observer.clone();
        replay(history, &with(place, &*self.programs, observer, names))
    }

    /// Restores the run from its serialised state.
    pub(crate) fn restore(&mut self, number: usize) -> Result<(), String> {
        let Some(run) = self.runs.get_mut(&number) else {
            return Ok(());
        };
        let instance = &mut run.cached.instance;
        if let Some(snapshot) = instance.snapshot() {
            *instance = Instance::restore(&snapshot, &*self.programs)?;
            if let Some(observer) = &self.observer {
                instance.observed_by(observer.clone());
            }
        }
        Ok(())
    }

    pub(crate) fn state(&self, number: usize) -> Option<Value> {
        self.runs.get(&number)?.cached.instance.state()
    }

    /// A local activity's timer or attempt is due.
    pub(crate) fn local_is_due(
        &mut self,
        number: usize,
        seq: u32,
        what: LocalDue,
        world: &mut World,
    ) -> Option<Completion> {
        let done = self.local_due(number, seq, what, world);
        self.after_locals(number, done, world)
    }

    /// Passes the results of local activities to the engine.
    fn after_locals(
        &mut self,
        number: usize,
        done: Result<(), Divergence>,
        world: &mut World,
    ) -> Option<Completion> {
        let has_news = done.and_then(|()| {
            let run = known(&mut self.runs, number)?;
            Ok(!run.cached.machines.jobs.is_empty())
        });
        match has_news {
            Ok(true) => self.go_on(number, world),
            Ok(false) => None,
            Err(divergence) => Some(Completion::failed(number, divergence.problem)),
        }
    }
}

/// Why a query has no answer.
pub(super) enum Unanswered {
    /// Its handler failed.
    Failed(Failure),
    Broken(String),
}

impl Unanswered {
    fn broken(divergence: Divergence) -> Self {
        Unanswered::Broken(divergence.problem)
    }
}

fn with<'a>(
    (namespace, task_queue): (&'a str, &'a str),
    programs: &'a dyn Programs,
    observer: Option<Arc<dyn Observer>>,
    names: Names<'a>,
) -> Replay<'a> {
    Replay {
        namespace,
        task_queue,
        workflow_id: names.workflow_id,
        run_id: names.run_id,
        programs,
        observer,
    }
}

fn known(runs: &mut BTreeMap<usize, Run>, number: usize) -> Result<&mut Run, Divergence> {
    let run = runs.get_mut(&number);
    run.ok_or_else(|| Divergence::broken(format!("the worker does not have the run {number}")))
}

/// Whether the server would accept the completion of a workflow task with these commands.
fn is_receivable(machines: &machines::Machines, sent: &[Sent]) -> bool {
    // Workers repeat the updates that they answer.
    let answered = sent
        .iter()
        .filter_map(|sent| sent.request.answered_update());
    let answered = answered.filter_map(|id| machines.updates.get(id));
    let updates = answered.flat_map(|request| &request.input);
    let updates: usize = updates.map(Message::encoded_len).sum();
    // Nearly always sufficient: it counts more than is sent.
    let about: usize = sent.iter().map(|sent| sent.request.size_about()).sum();
    let exactly = || -> usize { sent.iter().map(|s| s.size(&machines.namespace)).sum() };
    updates + about <= MESSAGE_SIZE_BYTES_MAX || updates + exactly() <= MESSAGE_SIZE_BYTES_MAX
}

fn logged(run: usize, command: &Command, world: &World) -> Option<Logged> {
    let CommandKind::Log {
        level,
        message,
        fields,
    } = &command.kind
    else {
        return None;
    };
    let fields = fields.iter();
    let fields = fields.map(|(name, value)| (name.clone(), text(value)));
    Some(Logged {
        run: RunNumber(run),
        at: world.now,
        level: *level,
        message: message.clone(),
        fields: fields.collect(),
    })
}

/// A value of a log line, for people.
fn text(value: &Value) -> String {
    let json = || to_json_string(value).unwrap_or_default();
    value.as_str().map_or_else(json, str::to_owned)
}
