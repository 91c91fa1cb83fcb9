//! Simulator and server agree: a simulation is led along the histories of a workflow and has to write the same.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use segno::engine::RESOLVE_DEFINITION;
use segno::engine::failure::Failure;
use segno::payload::{
    duration_from_proto, failure_from_proto, payloads_from_proto, timestamp_from_proto,
};
use segno::registry::{Entry, Registry, load};
use segno::simulator::{ActivityTask, Attempt, End, NexusTask, OnCancel, Outside, Start};
use segno::value::{Duration, Timestamp, Value, to_json};
use segno::words::FailureKind;
use temporalio_protos::temporal::api::enums::v1::EventType;
use temporalio_protos::temporal::api::failure;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::history::v1::{
    HistoryEvent, MarkerRecordedEventAttributes, WorkflowExecutionStartedEventAttributes,
};

use super::compare::difference;
use super::guide::{Guide, Shared};
use super::history::Run;
use super::simulated::simulator;
use super::text::{self, Followed};
use super::undisturbed::undisturbed;

/// As the definitions have it.
const ATTEMPTS_MAX: u32 = 30;

/// Results of local activities that are larger together have to wait for each other.
const FILLING_SIZE_BYTES: usize = 1_000_000;

pub enum Agreement {
    Agrees,
    /// The histories hold something that the simulator does not have.
    NotCompared(&'static str),
    Differs(String),
}

/// Compares all histories of a workflow and of its children.
pub fn compare(families: &[Vec<Run>]) -> Agreement {
    if let Some(why) = why_not(families) {
        return Agreement::NotCompared(why);
    }
    let on_server = undisturbed(families);
    let Some(start) = on_server.first().and_then(start) else {
        return Agreement::NotCompared("it did not start");
    };
    let bundles = Bundles::of(&on_server);
    let known = Shared::default();
    let fate = Fate {
        runs: on_server.clone(),
        known: known.clone(),
    };
    let began = time(&on_server[0].events[0]);
    let mut simulator = simulator(began, &queue(&on_server[0]), Arc::new(bundles), fate);
    simulator.hold_tasks();
    if let Err(refused) = simulator.start(start) {
        return Agreement::Differs(format!("the simulator does not start it: {refused}"));
    }
    let led = Guide::new(&mut simulator, &on_server, known, ATTEMPTS_MAX).lead();
    if led.as_ref().is_err_and(|lost| lost.is_by_order) {
        return Agreement::NotCompared("the order in which it came is not told");
    }
    let simulated = simulator.runs().map(|run| Followed {
        workflow_id: simulator.workflow_id(run).to_owned(),
        run_id: simulator.run_id(run).to_owned(),
        parent: simulator.parent(run).map(|parent| parent.0),
        events: simulator.history(run).to_vec(),
    });
    let simulated = story(&simulated.collect::<Vec<_>>());
    let came = story(&on_server);
    match came == simulated {
        true => Agreement::Agrees,
        false => Agreement::Differs(format!(
            "{}\n- on the server, + simulated:\n{}",
            led.err().map(|lost| lost.text).unwrap_or_default(),
            difference(&came, &simulated)
        )),
    }
}

/// What the histories hold that is not compared.
fn why_not(families: &[Vec<Run>]) -> Option<&'static str> {
    let mut runs = families.iter().flatten();
    if runs.clone().any(|run| !run.is_closed()) {
        return Some("a run did not end");
    }
    // The hunter's server suggests it much earlier.
    if runs.any(Run::was_moved) {
        return Some("the server suggested to continue as new");
    }
    if families.iter().flatten().any(fills_a_task) {
        return Some("results of local activities filled a workflow task");
    }
    // Whether an attempt hears of the cancellation before it ends is a matter of time.
    if families.iter().flatten().any(ends_as_it_is_cancelled) {
        return Some("a local activity ended as the run was cancelled");
    }
    if families.iter().flatten().any(times_out_beside_others) {
        return Some("a local activity's time was over as something else happened");
    }
    // The simulator gives each result an activation of its own, and the order of commands follows from that.
    let mut ends = BTreeSet::new();
    let mut last = BTreeMap::new();
    for run in families.iter().flatten() {
        for local in run.events.iter().filter_map(local) {
            if !ends.insert((&run.run_id, local.task, local.activation)) {
                return Some("local activities ended in one activation");
            }
            // In the simulator, those that take equally long end in the order in which they began.
            let earlier = last.insert((&run.run_id, local.task), local.seq);
            if earlier.is_some_and(|seq| seq > local.seq) {
                return Some("local activities ended in another order than they began");
            }
        }
    }
    None
}

/// Whether the whole time of a local activity was over in a workflow task that brought something by which it may have been cancelled: which of both it
/// ends by is a matter of time.
fn times_out_beside_others(run: &Run) -> bool {
    use EventType::*;
    let is_brought = |kind| {
        matches!(
            kind,
            TimerFired
                | WorkflowExecutionSignaled
                | ActivityTaskCompleted
                | ActivityTaskFailed
                | ChildWorkflowExecutionCompleted
                | ChildWorkflowExecutionFailed
        )
    };
    let mut locals = run.events.iter().filter_map(local);
    locals.any(|local| {
        let before = run.events.iter().rev();
        let before = before.skip_while(|event| event.event_id >= local.task);
        let mut kinds = before
            .map(HistoryEvent::event_type)
            .take_while(|kind| *kind != WorkflowTaskCompleted);
        let by_time = |failure: &Failure| failure.kind() == FailureKind::Timeout;
        local.end.as_ref().is_err_and(by_time) && kinds.any(is_brought)
    })
}

/// Whether a local activity ended in the workflow task that brought a request to cancel the run.
fn ends_as_it_is_cancelled(run: &Run) -> bool {
    let kind = EventType::WorkflowExecutionCancelRequested;
    let mut events = run.events.iter();
    let Some(request) = events.find(|event| event.event_type() == kind) else {
        return false;
    };
    let task = events.find(|event| match &event.attributes {
        Some(Attributes::WorkflowTaskCompletedEventAttributes(a)) => {
            a.started_event_id > request.event_id
        }
        _ => false,
    });
    let mut locals = run.events.iter().filter_map(local);
    task.is_some_and(|task| locals.any(|local| local.task == task.event_id))
}

/// When a result that does not fit is looked at again is a matter of time.
fn fills_a_task(run: &Run) -> bool {
    let mut sizes: BTreeMap<i64, usize> = BTreeMap::new();
    for event in &run.events {
        if let Some(Attributes::MarkerRecordedEventAttributes(a)) = &event.attributes {
            let results = a.details.get("result").into_iter();
            let payloads = results.flat_map(|result| &result.payloads);
            let size: usize = payloads.map(|payload| payload.data.len()).sum();
            *sizes.entry(a.workflow_task_completed_event_id).or_default() += size;
        }
    }
    sizes.into_values().any(|size| size > FILLING_SIZE_BYTES)
}

fn story(runs: &[Followed]) -> String {
    let ids = [(runs[0].workflow_id.as_str(), "ID")];
    text::written(text::stories(runs, &ids))
}

fn started(run: &Followed) -> Option<WorkflowExecutionStartedEventAttributes> {
    match run.events.first()?.attributes.clone()? {
        Attributes::WorkflowExecutionStartedEventAttributes(a) => Some(a),
        _ => None,
    }
}

fn queue(run: &Followed) -> String {
    let started = started(run).unwrap_or_default();
    started.task_queue.unwrap_or_default().name
}

/// As the run was started.
fn start(run: &Followed) -> Option<Start> {
    let started = started(run)?;
    let second = run.events.get(1).and_then(|event| event.attributes.clone());
    let signal = match second {
        Some(Attributes::WorkflowExecutionSignaledEventAttributes(a)) => {
            Some((a.signal_name, payloads_from_proto(a.input)))
        }
        _ => None,
    };
    Some(Start {
        workflow_type: started.workflow_type?.name,
        workflow_id: run.workflow_id.clone(),
        input: payloads_from_proto(started.input),
        execution_timeout: started.workflow_execution_timeout.map(duration_from_proto),
        task_timeout: started.workflow_task_timeout.map(duration_from_proto),
        signal,
        ..Start::default()
    })
}

/// The bundles that runs were bound to, by their workflows' ids, in the order of the runs.
struct Bundles {
    next: Mutex<BTreeMap<String, VecDeque<Entry>>>,
    all: Vec<Entry>,
}

impl Bundles {
    fn of(runs: &[Followed]) -> Bundles {
        let mut next: BTreeMap<String, VecDeque<Entry>> = BTreeMap::new();
        let mut all = Vec::new();
        for run in runs {
            let events = run.events.iter();
            let mut markers = events.filter_map(local);
            let resolved = markers.find(|local| local.activity_type == RESOLVE_DEFINITION);
            let Some(Ok(Value::Bytes(bytes))) = resolved.map(|local| local.end) else {
                continue;
            };
            let loaded = load(&bytes).unwrap();
            let entry = Entry {
                bundle: Arc::new(loaded.bundle.clone()),
                loaded,
            };
            let entries = next.entry(run.workflow_id.clone()).or_default();
            entries.push_back(entry.clone());
            all.push(entry);
        }
        Bundles {
            next: Mutex::new(next),
            all,
        }
    }
}

impl Registry for Bundles {
    fn for_new_run(&self, _: &str, workflow_id: &str) -> Option<Entry> {
        let mut next = self.next.lock().unwrap();
        next.get_mut(workflow_id)?.pop_front()
    }

    fn by_digest(&self, digest: &str) -> Option<Entry> {
        let mut all = self.all.iter();
        all.find(|entry| entry.bundle.digest == digest).cloned()
    }

    fn workflow_types(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A local activity in the marker that it left.
struct Local {
    seq: i64,
    activity_type: String,
    /// The event with which the workflow task completed in which it ended.
    task: i64,
    /// In which activation of that task.
    activation: i64,
    end: Result<Value, Failure>,
}

fn local(event: &HistoryEvent) -> Option<Local> {
    let Some(Attributes::MarkerRecordedEventAttributes(marker)) = event.attributes.clone() else {
        return None;
    };
    let MarkerRecordedEventAttributes {
        mut details,
        failure,
        workflow_task_completed_event_id: task,
        ..
    } = marker;
    let mut value = |name: &str| {
        let payloads = payloads_from_proto(details.remove(name));
        payloads.first().and_then(|payload| payload.decode().ok())
    };
    let data = to_json(&value("data")?).ok()?;
    Some(Local {
        seq: data["seq"].as_i64()?,
        activity_type: data["activity_type"].as_str()?.to_owned(),
        task,
        activation: data["activation_index"].as_i64().unwrap_or_default(),
        end: match failure {
            Some(failure) => Err(failure_from_proto(failure)),
            None => Ok(value("result").unwrap_or(Value::Null)),
        },
    })
}

/// When the workflow task began that completed with an event.
fn task_began(events: &[HistoryEvent], completed: i64) -> Option<Timestamp> {
    let completed = events.get(completed as usize - 1)?;
    match &completed.attributes {
        Some(Attributes::WorkflowTaskCompletedEventAttributes(a)) => {
            events.get(a.started_event_id as usize - 1).map(time)
        }
        _ => None,
    }
}

/// What comes of activities, as the histories have it. Attempts of local ones before the last left nothing there.
struct Fate {
    runs: Vec<Followed>,
    known: Shared,
}

fn never() -> Attempt {
    let mut attempt = Attempt::ends(Duration::ZERO, Ok(Value::Null));
    attempt.end = End::Never;
    attempt
}

/// An attempt before the last. History has the failure of the last but one, which a timeout names as its cause.
fn fails_first(failure: Option<failure::v1::Failure>) -> Attempt {
    let refused = || Failure::application("Refused", "an attempt before the last");
    let failure = failure.map_or_else(refused, failure_from_proto);
    Attempt::ends(Duration::ZERO, Err(failure))
}

impl Fate {
    fn local(&self, task: &ActivityTask, events: &[HistoryEvent]) -> Attempt {
        let locals: Vec<Local> = events.iter().filter_map(local).collect();
        let place = locals.iter().position(|local| local.seq == task.scheduled);
        match place.map(|place| &locals[place]) {
            Some(local) if local.end.as_ref().is_err_and(Failure::is_cancelled) => never(),
            Some(local) => {
                let ended = task_began(events, local.task);
                // Those of one task end in the order of their markers.
                let later = place.unwrap_or_default() as i128 * 1_000;
                let waited = ended.map_or(0, |ended| ended.as_nanos() - task.now.as_nanos());
                let waited = Duration::from_nanos((waited + later).max(0));
                Attempt::ends(waited.unwrap_or_default(), local.end.clone())
            }
            None => never(),
        }
    }

    fn remote(&self, task: &ActivityTask, events: &[HistoryEvent]) -> Attempt {
        use Attributes::*;
        let mut attempt = never();
        attempt.on_cancel = OnCancel::Ignore;
        let mut last = None;
        for event in events {
            match event.attributes.clone() {
                Some(ActivityTaskStartedEventAttributes(a))
                    if a.scheduled_event_id == task.scheduled =>
                {
                    last = Some(a.attempt as u32);
                    if task.attempt < a.attempt as u32 {
                        return fails_first(a.last_failure);
                    }
                }
                Some(ActivityTaskCompletedEventAttributes(a))
                    if a.scheduled_event_id == task.scheduled =>
                {
                    let result = payloads_from_proto(a.result);
                    let result = result.first().and_then(|p| p.decode().ok());
                    let result = Ok(result.unwrap_or(Value::Null));
                    attempt.end = End::After(Duration::ZERO, result);
                }
                Some(ActivityTaskFailedEventAttributes(a))
                    if a.scheduled_event_id == task.scheduled =>
                {
                    let failure = failure_from_proto(a.failure.unwrap_or_default());
                    attempt.end = End::After(Duration::ZERO, Err(failure));
                }
                Some(ActivityTaskCanceledEventAttributes(a))
                    if a.scheduled_event_id == task.scheduled =>
                {
                    let details = payloads_from_proto(a.details);
                    attempt.on_cancel = OnCancel::Cancels {
                        after: Duration::ZERO,
                        details: details.into_iter().map(Value::from).collect(),
                    };
                    if last.is_none() {
                        attempt.picked_up_after = None;
                    }
                }
                _ => {}
            }
        }
        attempt
    }
}

impl Outside for Fate {
    fn activity(&mut self, task: &ActivityTask) -> Attempt {
        let mut known = self.known.lock().unwrap();
        let Some(place) = known.places.get(&task.run_id).copied() else {
            return never();
        };
        let events = &self.runs[place].events;
        if task.is_local {
            return self.local(task, events);
        }
        let attempt = self.remote(task, events);
        let fails = !matches!(attempt.end, End::After(_, Ok(_)));
        let key = (task.run_id.clone(), task.scheduled);
        known.attempts.insert(key, (task.attempt, fails));
        attempt
    }

    /// The operation of the activities' worker answers with its input.
    fn nexus(&mut self, task: &NexusTask) -> Attempt {
        let input = task.input.decode().unwrap_or(Value::Null);
        let mut attempt = Attempt::ends(Duration::ZERO, Ok(input));
        attempt.picked_up_after = None;
        attempt
    }
}

fn time(event: &HistoryEvent) -> Timestamp {
    timestamp_from_proto(event.event_time.unwrap_or_default())
}
