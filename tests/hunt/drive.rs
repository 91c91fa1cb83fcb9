//! Does to a run what its experiment says, as its clients.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
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

use super::history::{is_end, next_run};
use super::plan::{Action, Experiment, Moment, StartWith, What, When};

const CALL_TIMEOUT: Duration = Duration::from_secs(8);
const TRIES_MAX: usize = 8;
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// An event that does not come is not waited for any longer.
const MOMENT_TIMEOUT: Duration = Duration::from_secs(8);
const EXECUTION_TIMEOUT: &str = "200s";
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

type Seen = BTreeMap<(usize, i64), EventType>;

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
        let acting = actions.map(|(number, action)| self.act(number, action, begin, &watcher));
        join_all(acting).await;
        sleep_until(close_at).await;
        let close = What::Signal {
            name: "close".to_owned(),
            id: "close".to_owned(),
            twice: false,
        };
        for _ in 0..TRIES_MAX {
            if self.send(usize::MAX, &close).await {
                break;
            }
        }
        watching.abort();
        Ok(run_id)
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

    async fn act(&self, number: usize, action: &Action, begin: Instant, watcher: &Watcher) {
        match action.when {
            When::At(at) => sleep_until(begin + Duration::from_millis(at)).await,
            When::After(moment, nth, delay) => {
                let came = watcher.until(moment, nth);
                if timeout(MOMENT_TIMEOUT, came).await.is_err() {
                    return;
                }
                sleep(Duration::from_millis(delay)).await;
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
            What::Signal { name, id, twice } => self.signal(number, name, id, *twice).await,
            What::Update { id } => {
                let workflow = self.workflow();
                let update = self.client.update(&workflow, self.update_options(id));
                match timeout(CALL_TIMEOUT * 3, update).await {
                    Ok(Ok(started)) => self.updated(id, started.outcome).await,
                    Ok(Err(error)) => return !is_transient(&error),
                    Err(_) => {}
                }
                true
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

    async fn signal(&self, number: usize, name: &str, id: &str, twice: bool) -> bool {
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
        let answer = match twice {
            true => futures_util::future::join(call(), call()).await.0,
            false => call().await,
        };
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

    fn wrong(&self, kind: &'static str, text: String) {
        self.told.lock().unwrap().wrong.push((kind, text));
    }

    /// The answer, if there is a worker to give one.
    pub async fn query(&self, name: &str) -> Option<Json> {
        let workflow = self.workflow();
        let asked = self
            .client
            .query(&workflow, name, Vec::new(), QueryReject::Never);
        match timeout(CALL_TIMEOUT, asked).await {
            Ok(Ok(QueryAnswer::Result(payloads))) => Some(first(&payloads)),
            Ok(Ok(QueryAnswer::Failed(failure))) => {
                self.wrong("query failed", format!("query {name}: {}", failure.message));
                None
            }
            _ => None,
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
        let kinds = events.iter().map(|e| ((run, e.event_id), e.event_type()));
        self.seen.lock().unwrap().extend(kinds);
        self.changes.send_modify(|count| *count += 1);
    }

    async fn until(&self, moment: Moment, nth: u64) {
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let count = {
                let seen = self.seen.lock().unwrap();
                seen.values()
                    .filter(|kind| is_moment(**kind, moment))
                    .count() as u64
            };
            if count > nth || changes.changed().await.is_err() {
                return;
            }
        }
    }
}

fn is_moment(kind: EventType, moment: Moment) -> bool {
    use EventType::*;
    match moment {
        Moment::RunStarted => kind == WorkflowExecutionStarted,
        Moment::TaskScheduled => kind == WorkflowTaskScheduled,
        Moment::TaskCompleted => kind == WorkflowTaskCompleted,
        Moment::TimerStarted => kind == TimerStarted,
        Moment::TimerFired => kind == TimerFired,
        Moment::ActivityScheduled => kind == ActivityTaskScheduled,
        Moment::ActivityEnded => matches!(kind, ActivityTaskCompleted | ActivityTaskFailed),
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
