//! The server's limits, on the real server and in the simulator: who passes them is told the same.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use segno::client::{Client, ClientError, StartOptions, UpdateOptions, UpdateStage, WorkflowRef};
use segno::limits::{ID_SIZE_BYTES_MAX, PAYLOAD_SIZE_BYTES_MAX};
use segno::simulator::{
    ActivityTask, Attempt, NexusTask, Outside, Refused, Simulator, Start, Status,
};
use segno::value::{Duration, Payload, Value};

use temporalio_protos::temporal::api::enums::v1::SuggestContinueAsNewReason;
use temporalio_protos::temporal::api::history::v1::HistoryEvent;
use temporalio_protos::temporal::api::history::v1::history_event::Attributes;

use super::server;
use super::simulated::{definitions, simulator, some_time};
use super::support::root;
use super::support::worker::Worker;
use super::text;

const TYPE: &str = "limits";
const TOO_LARGE: usize = PAYLOAD_SIZE_BYTES_MAX + 100;
/// `history.maxInFlightUpdates`, `history.maxTotalUpdates` and `history.maximumSignalsPerExecution`.
const UPDATES_IN_FLIGHT_MAX: usize = 10;
const UPDATES_MAX: usize = 2_000;
const SIGNALS_MAX: usize = 10_000;

fn folder() -> PathBuf {
    root().join("tests/simulator/limits")
}

fn large() -> Vec<Payload> {
    vec![Payload::from_value(&Value::from("x".repeat(TOO_LARGE))).unwrap()]
}

fn number(n: i64) -> Vec<Payload> {
    vec![Payload::from_value(&Value::from(n)).unwrap()]
}

/// After all else: an activity with a large result, and a signal to a workflow that takes no more.
fn others() -> [(&'static str, Vec<Payload>); 2] {
    let one = Payload::from_value(&Value::from("one")).unwrap();
    [("large-result", number(1)), ("signal", vec![one])]
}

/// After about how many updates it had better continue as new for their sake.
fn suggested(events: &[HistoryEvent]) -> String {
    use Attributes::*;
    let many = i32::from(SuggestContinueAsNewReason::TooManyUpdates);
    let mut updates = 0;
    for event in events {
        match event.attributes.as_ref() {
            Some(WorkflowExecutionUpdateAcceptedEventAttributes(_)) => updates += 1,
            Some(WorkflowTaskStartedEventAttributes(a))
                if a.suggest_continue_as_new_reasons.contains(&many) =>
            {
                return format!("after some {} updates", updates / 10 * 10);
            }
            _ => {}
        }
    }
    "never".to_owned()
}

/// What is asked, and what came of it.
type Told = Vec<(&'static str, String)>;

struct Big;

impl Outside for Big {
    fn activity(&mut self, _: &ActivityTask) -> Attempt {
        Attempt::ends(Duration::ZERO, Ok(Value::from("x".repeat(TOO_LARGE))))
    }

    fn nexus(&mut self, _: &NexusTask) -> Attempt {
        panic!("an operation is called")
    }
}

fn said<T>(result: Result<T, Refused>) -> String {
    result.map_or_else(|refused| refused.to_string(), |_| "done".to_owned())
}

pub fn simulated() -> Told {
    let registry = Arc::new(definitions(&folder()));
    let mut simulator = simulator(some_time(), "QUEUE", registry, Big);
    let start = |id: &str, input| Start {
        workflow_type: TYPE.to_owned(),
        workflow_id: id.to_owned(),
        input,
        ..Start::default()
    };
    let mut told = Told::new();
    let started = simulator.start(start("large", large()));
    told.push(("a large input", said(started)));
    let long = "x".repeat(ID_SIZE_BYTES_MAX + 1);
    let started = simulator.start(start(&long, Vec::new()));
    told.push(("a long id", said(started)));
    let one = simulator.start(start("one", Vec::new())).unwrap();
    let signalled = simulator.signal("one", "tell", large());
    told.push(("a large signal", said(signalled)));
    let signalled = simulator.signal("one", &long, Vec::new());
    told.push(("a long signal name", said(signalled)));
    let updated = simulator.update("one", "quick", large(), None);
    told.push(("a large update", said(updated)));
    for _ in 0..UPDATES_IN_FLIGHT_MAX {
        simulator.update("one", "hold", Vec::new(), None).unwrap();
    }
    let updated = simulator.update("one", "hold", Vec::new(), None);
    told.push(("many updates at once", said(updated)));
    simulator.signal("one", "go", Vec::new()).unwrap();
    for _ in UPDATES_IN_FLIGHT_MAX..UPDATES_MAX {
        simulator.update("one", "quick", Vec::new(), None).unwrap();
    }
    let updated = simulator.update("one", "quick", Vec::new(), None);
    told.push(("many updates", said(updated)));
    for _ in 1..SIGNALS_MAX {
        simulator.signal("one", "tell", Vec::new()).unwrap();
    }
    let signalled = simulator.signal("one", "tell", Vec::new());
    told.push(("many signals", said(signalled)));
    for (id, input) in others() {
        let run = simulator.start(start(id, input)).unwrap();
        simulator.run_until_idle(100);
        told.push((id, text::lines(simulator.history(run)).join("\n")));
    }
    told.push(("when to continue as new", suggested(simulator.history(one))));
    told
}

fn answered<T>(result: Result<T, ClientError>) -> String {
    match result {
        Ok(_) => "done".to_owned(),
        Err(ClientError::Refused { status, .. }) => status.message().to_owned(),
        Err(other) => other.to_string(),
    }
}

pub async fn on_server() -> Told {
    let cluster = server::cluster();
    let worker = Worker::on(cluster, &folder(), &[]);
    let client: Client = server::client().await;
    let start = |id: &str, input| {
        client.start(StartOptions {
            workflow_type: TYPE.to_owned(),
            workflow_id: Some(id.to_owned()),
            task_queue: worker.task_queue.clone(),
            input,
            execution_timeout: Duration::parse("5m").ok(),
            ..StartOptions::default()
        })
    };
    let mut told = Told::new();
    told.push(("a large input", answered(start("large", large()).await)));
    let long = "x".repeat(ID_SIZE_BYTES_MAX + 1);
    told.push(("a long id", answered(start(&long, Vec::new()).await)));
    let started = start("one", Vec::new()).await.unwrap();
    let one = WorkflowRef::new("one".to_owned(), None);
    let update = |name: &str, input, wait_for| {
        client.update(
            &one,
            UpdateOptions {
                name: name.to_owned(),
                input,
                wait_for,
                ..UpdateOptions::default()
            },
        )
    };
    let signalled = client.signal(&one, "tell", large()).await;
    told.push(("a large signal", answered(signalled)));
    let signalled = client.signal(&one, &long, Vec::new()).await;
    told.push(("a long signal name", answered(signalled)));
    let updated = update("quick", large(), UpdateStage::Completed).await;
    told.push(("a large update", answered(updated)));
    for _ in 0..UPDATES_IN_FLIGHT_MAX {
        let hold = update("hold", Vec::new(), UpdateStage::Accepted);
        hold.await.unwrap();
    }
    let updated = update("hold", Vec::new(), UpdateStage::Accepted).await;
    told.push(("many updates at once", answered(updated)));
    client.signal(&one, "go", Vec::new()).await.unwrap();
    let rest = stream::iter(UPDATES_IN_FLIGHT_MAX..UPDATES_MAX)
        .map(|_| update("quick", Vec::new(), UpdateStage::Completed))
        .buffer_unordered(UPDATES_IN_FLIGHT_MAX / 2);
    rest.for_each(async |updated| drop(updated.unwrap())).await;
    let updated = update("quick", Vec::new(), UpdateStage::Completed).await;
    told.push(("many updates", answered(updated)));
    let rest = stream::iter(1..SIGNALS_MAX)
        .map(|_| client.signal(&one, "tell", Vec::new()))
        .buffer_unordered(50);
    rest.for_each(async |signalled| signalled.unwrap()).await;
    let signalled = client.signal(&one, "tell", Vec::new()).await;
    told.push(("many signals", answered(signalled)));
    for (id, input) in others() {
        let started = start(id, input).await.unwrap();
        let runs = server::follow(&client, id, started.run_id).await.unwrap();
        told.push((id, text::lines(&runs[0].events).join("\n")));
    }
    client.terminate(&one, "enough", Vec::new()).await.unwrap();
    let runs = server::follow(&client, "one", started.run_id).await;
    told.push((
        "when to continue as new",
        suggested(&runs.unwrap()[0].events),
    ));
    told
}

/// Whatever is asked is answered with 900 kB.
struct Wide;

impl Outside for Wide {
    fn activity(&mut self, _: &ActivityTask) -> Attempt {
        Attempt::ends(Duration::ZERO, Ok(Value::from("x".repeat(900_000))))
    }

    fn nexus(&mut self, _: &NexusTask) -> Attempt {
        panic!("an operation is called")
    }
}

fn wide() -> Simulator {
    let folder = root().join("tests/cluster/limits");
    simulator(some_time(), "QUEUE", Arc::new(definitions(&folder)), Wide)
}

/// All at once, as many bytes as two workflow tasks take: the results come with several tasks.
pub fn local_results() {
    let mut simulator = wide();
    let input = r#"{ "turns": 10, "concurrency": 10, "bytes": "0" }"#;
    let input = segno::value::parse_json(input.as_bytes()).unwrap();
    let start = Start {
        workflow_type: "limits-local-results".to_owned(),
        workflow_id: "wide".to_owned(),
        input: vec![Payload::from_value(&input).unwrap()],
        ..Start::default()
    };
    let run = simulator.start(start).unwrap();
    simulator.run_until_idle(1_000);
    assert_eq!(simulator.status(run), Status::Completed);
}

/// One of three large updates at once is left unanswered.
pub fn large_updates() {
    let mut simulator = wide();
    let start = Start {
        workflow_type: "limits-large-updates".to_owned(),
        workflow_id: "updates".to_owned(),
        ..Start::default()
    };
    simulator.start(start).unwrap();
    simulator.hold_tasks();
    let large = Payload::from_value(&Value::from("x".repeat(1_800_000))).unwrap();
    let mut update = || {
        let input = vec![large.clone()];
        simulator.update("updates", "take", input, None).unwrap()
    };
    let updates = [update(), update(), update()];
    while simulator.take_task() {}
    let stages = updates.map(|update| format!("{:?}", simulator.update_stage(update)));
    assert!(stages[2].contains("UnprocessedUpdate"), "{stages:?}");
    assert!(!stages[..2].concat().contains("Unprocessed"), "{stages:?}");
}
