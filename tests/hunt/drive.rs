//! Does to a run what its experiment says, as its clients.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{join, join_all};
use segno::client::{
    Client, ClientError, QueryAnswer, QueryReject, StartOptions, UpdateOptions, WorkflowRef,
};
use segno::value::{Duration as Length, Payload, from_json, to_json};
use serde_json::{Value as Json, json};
use temporalio_protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_protos::temporal::api::enums::v1::EventType;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_protos::temporal::api::workflowservice::v1::SignalWorkflowExecutionRequest;
use temporalio_protos::temporal::api::workflowservice::v1::workflow_service_client::WorkflowServiceClient;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::transport::Channel;

use super::history::{is_end, next_run, summary};
use super::plan::{Action, Copies, Experiment, Moment, StartWith, What, When};

const CALL_TIMEOUT: Duration = Duration::from_secs(8);
const TRIES_MAX: usize = 8;
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// An event that does not come is not waited for any longer.
const MOMENT_TIMEOUT: Duration = Duration::from_secs(8);
const EXECUTION_TIMEOUT: &str = "600s";
const TASK_TIMEOUT: &str = "3s";

/// What a run's clients were told.
#[derive(Debug, Default)]
pub struct Told {
    pub signals: Vec<String>,
    /// Updates that gave this result.
    pub updates: Vec<(String, Json)>,
    /// What cannot be, and can be said at once.
    pub wrong: Vec<(&'static str, String)>,
    pub messages: u64,
}

pub struct Clients<'a> {
    pub client: Client,
    pub raw: WorkflowServiceClient<Channel>,
    pub experiment: &'a Experiment,
    pub name: String,
    pub workflow_id: String,
    pub task_queue: String,
    pub http: String,
    pub told: Mutex<Told>,
}

/// What comes shortly before a timer fires comes so long before.
const BEFORE_TIMER: Duration = Duration::from_millis(60);

type Seen = BTreeMap<(usize, i64), Event>;

#[derive(Clone, Copy)]
struct Event {
    kind: EventType,
    /// The length of the timer that it starts.
    length: Duration,
    /// The number of the step whose signal the timer bounds.
    gate: Option<u32>,
}

impl Event {
    fn of(event: &HistoryEvent) -> Event {
        let length = match &event.attributes {
            Some(Attributes::TimerStartedEventAttributes(a)) => {
                let length = a.start_to_fire_timeout.unwrap_or_default();
                Duration::from_secs(length.seconds as u64)
                    + Duration::from_nanos(length.nanos as u64)
            }
            _ => Duration::ZERO,
        };
        let summary = summary(event).filter(|text| text.starts_with("gate "));
        let number = summary.as_ref().and_then(|text| text.rsplit_once(".s"));
        Event {
            kind: event.event_type(),
            length,
            gate: number.and_then(|(_, number)| number.parse().ok()),
        }
    }

    fn is(&self, moment: Moment) -> bool {
        use EventType::*;
        match moment {
            Moment::RunStarted => self.kind == WorkflowExecutionStarted,
            Moment::TaskScheduled => self.kind == WorkflowTaskScheduled,
            Moment::TaskCompleted => self.kind == WorkflowTaskCompleted,
            Moment::TimerStarted | Moment::TimerDue => self.kind == TimerStarted,
            Moment::GateDue(gate) => self.gate == Some(gate),
            Moment::TimerFired => self.kind == TimerFired,
            Moment::ActivityScheduled => self.kind == ActivityTaskScheduled,
            Moment::ActivityEnded => {
                matches!(self.kind, ActivityTaskCompleted | ActivityTaskFailed)
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Times {
    begin: Instant,
    close_at: Instant,
}

/// The kinds of all events of a workflow's runs, as they come.
struct Watcher {
    client: Client,
    seen: Mutex<Seen>,
    changes: watch::Sender<u64>,
}

impl Clients<'_> {
    /// Starts the workflow, does all that the experiment says, and tells it to close; the first run's id.
    pub async fn run(&self, close_at: Instant) -> Result<String, String> {
        let begin = Instant::now();
        let run_id = match self.start().await {
            Ok(run_id) => run_id,
            Err(error) => return Err(format!("it cannot be started: {error}")),
        };
        let watcher = Arc::new(Watcher {
            client: self.client.clone(),
            seen: Mutex::default(),
            changes: watch::channel(0).0,
        });
        let watching = tokio::spawn(
            watcher
                .clone()
                .watch(self.workflow_id.clone(), run_id.clone()),
        );
        let actions = self.experiment.actions.iter().enumerate();
        let times = Times { begin, close_at };
        let acting = actions.map(|(number, action)| self.act(number, action, times, &watcher));
        join(join_all(acting), self.close(close_at)).await;
        watching.abort();
        Ok(run_id)
    }

    async fn close(&self, at: Instant) {
        sleep_until(at).await;
        let close = What::Signal {
            name: "close".to_owned(),
            id: "close".to_owned(),
            copies: Copies::One,
        };
        for _ in 0..TRIES_MAX {
            if self.send(usize::MAX, &close).await {
                return;
            }
        }
    }

    async fn start(&self) -> Result<String, ClientError> {
        let length = |text: &str| Length::parse(text).ok();
        let mut options = StartOptions {
            workflow_type: self.name.clone(),
            workflow_id: Some(self.workflow_id.clone()),
            task_queue: self.task_queue.clone(),
            input: payloads(&json!({ "http": self.http })),
            execution_timeout: length(EXECUTION_TIMEOUT),
            task_timeout: length(TASK_TIMEOUT),
            ..StartOptions::default()
        };
        let mut tries = 0;
        if self.experiment.with == StartWith::Signal {
            options.signal = Some(("note".to_owned(), payloads(&json!({ "id": "first" }))));
        }
        loop {
            let error = if self.experiment.with == StartWith::Update {
                let update = self.update_options("first");
                let (options, call) = (options.clone(), CALL_TIMEOUT * 3);
                match timeout(call, self.client.update_with_start(options, update)).await {
                    Ok(Ok((started, updated))) => {
                        self.updated("first", updated.outcome).await;
                        return Ok(started.run_id);
                    }
                    Ok(Err(error)) => Some(error),
                    Err(_) => None,
                }
            } else {
                match timeout(CALL_TIMEOUT, self.client.start(options.clone())).await {
                    Ok(Ok(started)) => return Ok(started.run_id),
                    Ok(Err(error)) => Some(error),
                    Err(_) => None,
                }
            };
            // It may be there all the same.
            if let Some(first) = first_run(&self.client, &self.workflow()).await {
                return Ok(first);
            }
            tries += 1;
            if let Some(error) = error.filter(|_| tries >= TRIES_MAX) {
                return Err(error);
            }
            sleep(TRY_AGAIN_AFTER).await;
        }
    }

    fn workflow(&self) -> WorkflowRef {
        WorkflowRef::new(&self.workflow_id, None)
    }

    async fn act(&self, number: usize, action: &Action, times: Times, watcher: &Watcher) {
        match action.when {
            When::At(at) => sleep_until(times.begin + Duration::from_millis(at)).await,
            When::Closing(late) => sleep_until(times.close_at + Duration::from_millis(late)).await,
            When::After(moment, nth, delay) => {
                let came = timeout(MOMENT_TIMEOUT, watcher.until(moment, nth)).await;
                let Ok(away) = came else { return };
                sleep(away + Duration::from_millis(delay)).await;
            }
        }
        for _ in 0..TRIES_MAX {
            if self.send(number, &action.what).await {
                break;
            }
            sleep(TRY_AGAIN_AFTER).await;
        }
    }

    /// Whether it is done or cannot be done any more.
    async fn send(&self, number: usize, what: &What) -> bool {
        self.told.lock().unwrap().messages += 1;
        match what {
            What::Signal { name, id, copies } => self.signal(number, name, id, *copies).await,
            What::Update { id, copies } => {
                let (first, _) = twice(*copies, || self.update(id)).await;
                first
            }
            What::Query(name) => {
                self.query(name).await;
                true
            }
            What::Cancel => match self.client.cancel(&self.workflow(), "enough").await {
                Ok(()) => true,
                Err(error) => !is_transient(&error),
            },
        }
    }

    async fn update(&self, id: &str) -> bool {
        let workflow = self.workflow();
        let update = self.client.update(&workflow, self.update_options(id));
        match timeout(CALL_TIMEOUT * 3, update).await {
            Ok(Ok(started)) => self.updated(id, started.outcome).await,
            Ok(Err(error)) => return !is_transient(&error),
            Err(_) => {}
        }
        true
    }

    async fn signal(&self, number: usize, name: &str, id: &str, copies: Copies) -> bool {
        let message = SignalWorkflowExecutionRequest {
            namespace: self.client.namespace().to_owned(),
            workflow_execution: Some(WorkflowExecution {
                workflow_id: self.workflow_id.clone(),
                run_id: String::new(),
            }),
            signal_name: name.to_owned(),
            input: segno::payload::payloads_to_proto(payloads(&json!({ "id": id }))),
            request_id: format!("{}-{number}", self.workflow_id),
            ..Default::default()
        };
        let call = async || {
            let mut raw = self.raw.clone();
            timeout(CALL_TIMEOUT, raw.signal_workflow_execution(message.clone())).await
        };
        let (answer, _) = twice(copies, call).await;
        match answer {
            Ok(Ok(_)) => {
                let mut told = self.told.lock().unwrap();
                told.signals.push(id.to_owned());
                true
            }
            Ok(Err(status)) => !is_transient_code(status.code()),
            Err(_) => false,
        }
    }

    fn update_options(&self, id: &str) -> UpdateOptions {
        UpdateOptions {
            name: "add".to_owned(),
            input: payloads(&json!({ "id": id })),
            update_id: Some(id.to_owned()),
            ..UpdateOptions::default()
        }
    }

    /// What it did is seen by whoever asks from now on.
    async fn updated(
        &self,
        id: &str,
        outcome: Option<Result<Vec<Payload>, segno::engine::failure::Failure>>,
    ) {
        let Some(Ok(result)) = outcome else { return };
        let result = first(&result);
        let has = |list: &Json| {
            let list = list["done"].as_array();
            list.is_some_and(|list| list.contains(&json!(id)))
        };
        if !has(&result) || result["id"] != id {
            self.wrong("update result", format!("update {id} returned {result}"));
        }
        let asked = self.query("all").await;
        if let Some(state) = asked.filter(|state| !has(state)) {
            self.wrong(
                "update forgotten",
                format!("update {id} returned {result}, and then a query saw {state}"),
            );
        }
        let mut told = self.told.lock().unwrap();
        told.updates.push((id.to_owned(), result));
    }

    fn sees_updates(&self, before: usize, answer: &Json) {
        let done = answer["done"].as_array();
        let told = self.told.lock().unwrap();
        let updates = told.updates.iter().take(before).map(|(id, _)| id);
        let forgotten = updates.filter(|id| !done.is_some_and(|done| done.contains(&json!(id))));
        let forgotten: Vec<String> = forgotten.cloned().collect();
        drop(told);
        if !forgotten.is_empty() {
            let text =
                format!("the updates {forgotten:?} had completed before a query saw {answer}");
            self.wrong("update forgotten", text);
        }
    }

    fn wrong(&self, kind: &'static str, text: String) {
        self.told.lock().unwrap().wrong.push((kind, text));
    }

    /// The answer, if there is a worker to give one. It knows all that updates did that had completed before.
    pub async fn query(&self, name: &str) -> Option<Json> {
        let workflow = self.workflow();
        let before = self.told.lock().unwrap().updates.len();
        let asked = self
            .client
            .query(&workflow, name, Vec::new(), QueryReject::Never);
        match timeout(CALL_TIMEOUT, asked).await {
            Ok(Ok(QueryAnswer::Result(payloads))) => {
                let answer = first(&payloads);
                if name == "all" {
                    self.sees_updates(before, &answer);
                }
                Some(answer)
            }
            Ok(Ok(QueryAnswer::Failed(failure))) => {
                self.wrong("query failed", format!("query {name}: {}", failure.message));
                None
            }
            _ => None,
        }
    }
}

/// Calls once or twice; what came of the first call.
async fn twice<T, F: Future<Output = T>>(copies: Copies, call: impl Fn() -> F) -> (T, Option<T>) {
    match copies {
        Copies::One => (call().await, None),
        Copies::AtOnce => {
            let (first, second) = join(call(), call()).await;
            (first, Some(second))
        }
        Copies::Later(ms) => {
            let first = call().await;
            sleep(Duration::from_millis(ms)).await;
            (first, Some(call().await))
        }
    }
}

/// The first of a workflow's runs, by its latest.
async fn first_run(client: &Client, workflow: &WorkflowRef) -> Option<String> {
    let (events, _) = client
        .history_page(workflow, Vec::new(), false)
        .await
        .ok()?;
    match events.first()?.attributes.as_ref()? {
        Attributes::WorkflowExecutionStartedEventAttributes(a) => {
            Some(a.first_execution_run_id.clone())
        }
        _ => None,
    }
}

impl Watcher {
    async fn watch(self: Arc<Self>, workflow_id: String, first: String) {
        let mut next = Some(first);
        let mut number = 0;
        while let Some(run_id) = next.take() {
            let workflow = WorkflowRef::new(&workflow_id, Some(run_id));
            let mut token = Vec::new();
            loop {
                let page = self.client.history_page(&workflow, token.clone(), true);
                let Ok((events, more)) = page.await else {
                    sleep(TRY_AGAIN_AFTER).await;
                    token = Vec::new();
                    continue;
                };
                self.heard(number, &events);
                next = next.or(events.last().filter(|e| is_end(e)).and_then(next_run));
                match more {
                    Some(more) => token = more,
                    None => break,
                }
            }
            number += 1;
        }
    }

    fn heard(&self, run: usize, events: &[HistoryEvent]) {
        let new = events
            .iter()
            .map(|event| ((run, event.event_id), Event::of(event)));
        self.seen.lock().unwrap().extend(new);
        self.changes.send_modify(|count| *count += 1);
    }

    /// How long it is until then from where it can be told.
    async fn until(&self, moment: Moment, nth: u64) -> Duration {
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let found = {
                let seen = self.seen.lock().unwrap();
                let mut moments = seen.values().filter(|event| event.is(moment));
                moments.nth(nth as usize).copied()
            };
            match (found, moment) {
                (Some(event), Moment::TimerDue | Moment::GateDue(_)) => {
                    return event.length.saturating_sub(BEFORE_TIMER);
                }
                (Some(_), _) => return Duration::ZERO,
                (None, _) => {}
            }
            if changes.changed().await.is_err() {
                return Duration::ZERO;
            }
        }
    }
}

pub fn payloads(json: &Json) -> Vec<Payload> {
    vec![Payload::from_value(&from_json(json).unwrap()).unwrap()]
}

pub fn first(payloads: &[Payload]) -> Json {
    let value = payloads.first().and_then(|payload| payload.decode().ok());
    value
        .and_then(|value| to_json(&value).ok())
        .unwrap_or_default()
}

fn is_transient(error: &ClientError) -> bool {
    match error {
        ClientError::Refused { status, .. } => is_transient_code(status.code()),
        ClientError::Connect { .. } => true,
        _ => false,
    }
}

/// What a killed worker or server causes.
fn is_transient_code(code: tonic::Code) -> bool {
    use tonic::Code::*;
    matches!(
        code,
        Cancelled
            | DeadlineExceeded
            | Unavailable
            | ResourceExhausted
            | Aborted
            | Unknown
            | Internal
    )
}
