//! Schedules on the real server and in the simulator: their times, and what becomes of runs that overlap.

use std::path::PathBuf;
use std::sync::Arc;

use segno::accepted::{Interval, OverlapPolicy, ScheduleSpec};
use segno::client::{Client, Schedule, StartOptions};
use segno::simulator::{ActivityTask, Attempt, NexusTask, Outside, Start};
use segno::value::{Duration, Payload, Timestamp, Value};

use super::server::{self, follow};
use super::simulated::{definitions, simulator, some_time};
use super::support::root;
use super::support::worker::Worker;
use super::text::{self, Followed};

/// What a run takes is longer than that and shorter than twice that, with seconds to spare for a busy machine.
const INTERVAL_SECONDS: i64 = 6;
const ACTIONS: u32 = 3;
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(90);

fn folder() -> PathBuf {
    root().join("tests/simulator/schedules")
}

fn action(workflow_id: &str, task_queue: &str, input: Vec<Payload>) -> StartOptions {
    StartOptions {
        workflow_type: "report".to_owned(),
        workflow_id: Some(workflow_id.to_owned()),
        task_queue: task_queue.to_owned(),
        input,
        ..StartOptions::default()
    }
}

/// The times that the server says are next.
pub async fn times() -> Vec<String> {
    let client = server::client().await;
    let definitions = definitions(&folder());
    let mut wrong = Vec::new();
    for schedule in &definitions["report"].loaded.program.schedules {
        let id = server::cluster().unique(&schedule.name);
        let made = Schedule {
            spec: schedule.spec.clone(),
            action: action(&id, "nobody", Vec::new()),
            memo: Vec::new(),
            search_attributes: Vec::new(),
        };
        client.create_schedule(&id, made).await.unwrap();
        let there = client.describe_schedule(&id).await.unwrap();
        let times = schedule.spec.times().unwrap();
        let mut at = there.create_time;
        let next = std::iter::from_fn(|| {
            at = times.next(at?);
            at
        });
        let next: Vec<Timestamp> = next.take(there.next.len().max(1)).collect();
        if next != there.next {
            let (name, server) = (&schedule.name, &there.next);
            wrong.push(format!("{name}: {next:?}, on the server {server:?}"));
        }
        client.delete_schedule(&id).await.unwrap();
    }
    assert!(definitions["report"].loaded.program.schedules.len() > 10);
    wrong
}

/// The workflow calls nothing.
struct Nobody;

impl Outside for Nobody {
    fn activity(&mut self, task: &ActivityTask) -> Attempt {
        panic!("{} is called", task.activity_type)
    }

    fn nexus(&mut self, _: &NexusTask) -> Attempt {
        panic!("an operation is called")
    }
}

struct Overlap {
    name: &'static str,
    spec: ScheduleSpec,
    input: Vec<Payload>,
}

fn overlaps() -> Vec<Overlap> {
    let spec = ScheduleSpec {
        intervals: vec![Interval {
            every: Duration::from_seconds(INTERVAL_SECONDS),
            offset: Duration::ZERO,
        }],
        remaining_actions: Some(ACTIONS),
        ..ScheduleSpec::default()
    };
    let input = |fails: bool| {
        let input = Value::map([("fails", Value::from(fails))].into_iter().collect());
        vec![Payload::from_value(&input).unwrap()]
    };
    let policies = OverlapPolicy::ALL.into_iter().map(|policy| Overlap {
        name: policy.word(),
        spec: ScheduleSpec {
            overlap_policy: Some(policy),
            ..spec.clone()
        },
        input: input(false),
    });
    let failing = [("fails", None), ("fails_and_pauses", Some(true))];
    let failing = failing.into_iter().map(|(name, pause_on_failure)| Overlap {
        name,
        spec: ScheduleSpec {
            pause_on_failure,
            ..spec.clone()
        },
        input: input(true),
    });
    policies.chain(failing).collect()
}

/// What was started for which time, and what became of it.
#[derive(Default)]
struct Stories(Vec<(Timestamp, String)>);

impl Stories {
    fn add(&mut self, at: Timestamp, runs: &[Followed], schedule_id: &str) {
        let workflow_id = runs[0].workflow_id.clone();
        let folder = format!("{}/", folder().display());
        let ids = [
            (workflow_id.as_str(), "ID"),
            (schedule_id, "SCHEDULE"),
            (&at.to_string(), "TIME"),
            (&folder, ""),
        ];
        self.0.push((at, text::written(text::stories(runs, &ids))));
    }

    fn text(mut self) -> String {
        self.0.sort();
        let first = self.0.first().map(|(at, _)| *at).unwrap_or_default();
        let story = |(at, story): &(Timestamp, String)| {
            let after = at.since(first).unwrap_or_default();
            format!("for {}:\n{story}", after.words())
        };
        self.0.iter().map(story).collect()
    }
}

impl Overlap {
    fn id(&self) -> String {
        format!("overlap-{}", self.name)
    }

    fn simulated(&self) -> String {
        let until = some_time().checked_add(Duration::from_seconds(600));
        let registry = Arc::new(definitions(&folder()));
        let mut simulator = simulator(some_time(), "simulated", registry, Nobody);
        let start = Start {
            workflow_type: "report".to_owned(),
            workflow_id: self.id(),
            input: self.input.clone(),
            ..Start::default()
        };
        let schedule = simulator.schedule(&self.id(), &self.spec, start).unwrap();
        simulator.run_until(until.unwrap());
        let mut stories = Stories::default();
        for (at, run) in simulator.scheduled(schedule) {
            let run = Followed {
                workflow_id: simulator.workflow_id(*run).to_owned(),
                run_id: simulator.run_id(*run).to_owned(),
                parent: None,
                events: simulator.history(*run).to_vec(),
            };
            stories.add(*at, &[run], &self.id());
        }
        stories.text()
    }

    async fn on_server(&self, client: &Client, task_queue: &str, count: usize) -> String {
        let id = self.id();
        let made = Schedule {
            spec: self.spec.clone(),
            action: action(&id, task_queue, self.input.clone()),
            memo: Vec::new(),
            search_attributes: Vec::new(),
        };
        client.create_schedule(&id, made).await.unwrap();
        let taken = loop {
            let there = client.describe_schedule(&id).await.unwrap();
            if there.recent.len() >= count {
                break there.recent;
            }
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        };
        let mut stories = Stories::default();
        for action in taken {
            let workflow = action.workflow.unwrap();
            let first = workflow.run_id.unwrap();
            let runs = follow(client, &workflow.workflow_id, first).await.unwrap();
            let at = workflow.workflow_id.strip_prefix(&format!("{id}-"));
            stories.add(at.and_then(Timestamp::parse).unwrap(), &runs, &id);
        }
        stories.text()
    }
}

/// What is not the same, each with both.
pub async fn overlapping() -> Vec<String> {
    let worker = Worker::on(server::cluster(), &folder(), &[]);
    let client = server::client().await;
    let overlaps = overlaps();
    let compared = overlaps.iter().map(async |overlap| {
        let simulated = overlap.simulated();
        let count = simulated.matches("for ").count();
        let came = overlap.on_server(&client, &worker.task_queue, count).await;
        let name = overlap.name;
        let told = format!("{name}\nsimulated:\n{simulated}\non the server:\n{came}");
        println!("{told}");
        (came != simulated).then_some(told)
    });
    let compared = futures_util::future::join_all(compared);
    let compared = tokio::time::timeout(PATIENCE, compared).await;
    let compared = compared.unwrap_or_else(|_| panic!("{}", worker.logs()));
    compared.into_iter().flatten().collect()
}
