//! The worker's own activities on the real server: heartbeats and their details, cancellation while they run, panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use segno::activity::{Activity, ActivityContext};
use segno::client::ConnectionSettings;
use segno::engine::failure::{Failure, FailureInfo};
use segno::registry::Folder;
use segno::value::Value;
use segno::worker::{WorkerOptions, run};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::support::cluster::Cluster;
use super::support::{root, until};

/// Runs a closure as an activity.
struct Does<F>(&'static str, F);

#[async_trait]
impl<F, R> Activity for Does<F>
where
    F: Fn(ActivityContext) -> R + Send + Sync,
    R: Future<Output = Result<Value, Failure>> + Send,
{
    fn name(&self) -> &str {
        self.0
    }

    async fn run(&self, context: ActivityContext, _: Vec<Value>) -> Result<Value, Failure> {
        (self.1)(context).await
    }
}

/// Waits for as many milliseconds as its argument says.
struct Waits;

#[async_trait]
impl Activity for Waits {
    fn name(&self) -> &str {
        "waits"
    }

    async fn run(&self, _: ActivityContext, arguments: Vec<Value>) -> Result<Value, Failure> {
        let millis = match arguments.first().map(Value::force) {
            Some(Ok(Value::Int(millis))) => *millis as u64,
            other => panic!("{other:?}"),
        };
        tokio::time::sleep(Duration::from_millis(millis)).await;
        Ok(Value::Null)
    }
}

/// Set when the attempt that the worker's shutdown is to meet has begun.
static BEGUN: AtomicU32 = AtomicU32::new(0);

/// Set when the activities that are held may end.
static RELEASED: AtomicBool = AtomicBool::new(false);

pub fn release() {
    RELEASED.store(true, Ordering::Relaxed);
}

fn activities() -> Vec<Arc<dyn Activity>> {
    vec![
        Arc::new(Waits),
        Arc::new(Does("held", |_: ActivityContext| async {
            while !RELEASED.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(Value::Null)
        })),
        Arc::new(Does("panics", |_: ActivityContext| async {
            panic!("the shelf is empty")
        })),
        Arc::new(Does("resumes", |context: ActivityContext| async move {
            if context.attempt > 1 {
                return Ok(Value::list(context.heartbeat_details));
            }
            for page in 1..=1000 {
                context.heartbeat(vec![Value::Int(page)]);
            }
            // As if it hung: only the missing heartbeats tell.
            context.cancellation.cancelled().await;
            std::future::pending().await
        })),
        Arc::new(Does("cleans-up", |context: ActivityContext| async move {
            while !context.cancellation.is_cancelled() {
                context.heartbeat(Vec::new());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            // The server keeps the details of a cancellation, not its message.
            let details = vec![Value::string("everything was put back")];
            Err(Failure::new(
                "cancelled",
                FailureInfo::Cancelled { details },
            ))
        })),
        Arc::new(Does(
            "outlives-a-worker",
            |context: ActivityContext| async move {
                if context.attempt == 1 {
                    BEGUN.store(1, Ordering::Relaxed);
                    context.cancellation.cancelled().await;
                    return Err(Failure::cancelled("the worker ends"));
                }
                Ok(Value::Int(context.attempt.into()))
            },
        )),
    ]
}

/// A worker inside the test's process, with activities of the test's own.
pub struct Embedded {
    shutdown: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Embedded {
    pub fn start(task_queue: &str, folder: &'static str) -> Embedded {
        let shutdown = CancellationToken::new();
        let settings = ConnectionSettings {
            address: Some(Cluster::get().address.clone()),
            ..Default::default()
        };
        let options = WorkerOptions {
            graceful_shutdown_period: Duration::from_millis(200),
            ..WorkerOptions::new(task_queue)
        };
        let token = shutdown.clone();
        let thread = std::thread::spawn(move || {
            let folder = root().join(folder);
            let registry = Arc::new(Folder::open(folder, |_| {}).unwrap());
            let work = async {
                run(
                    &settings.resolve().unwrap(),
                    options,
                    registry,
                    activities(),
                    token,
                )
                .await
                .unwrap();
            };
            tokio::runtime::Runtime::new().unwrap().block_on(work);
        });
        Embedded {
            shutdown,
            thread: Some(thread),
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.shutdown.cancel();
        let ended = self.thread.take().map(std::thread::JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_some_and(|ended| ended.is_ok()));
    }
}

/// Starts a workflow and waits for its result.
fn result(workflow_type: &str, task_queue: &str) -> serde_json::Value {
    let id = Cluster::get().unique(workflow_type);
    let arguments = [
        "start",
        workflow_type,
        "--wait",
        "--workflow-id",
        &id,
        "--task-queue",
        task_queue,
    ];
    let more = ["--execution-timeout", "300s", "--output", "json"];
    Cluster::get()
        .segno(&[&arguments[..], &more].concat())
        .ok()
        .json()["result"]
        .clone()
}

#[test]
fn a_panic_is_a_failure_of_the_attempt() {
    let queue = Cluster::get().unique("activities");
    let _worker = Embedded::start(&queue, "tests/cluster/activities");
    assert_eq!(
        result("activities-panic", &queue),
        "the activity panicked: the shelf is empty"
    );
}

#[test]
fn the_next_attempt_goes_on_from_the_last_heartbeat() {
    let queue = Cluster::get().unique("activities");
    let _worker = Embedded::start(&queue, "tests/cluster/activities");
    assert_eq!(result("activities-heartbeat", &queue), json!([1000]));
}

#[test]
fn a_running_activity_learns_of_its_cancellation_and_is_waited_for() {
    let queue = Cluster::get().unique("activities");
    let _worker = Embedded::start(&queue, "tests/cluster/activities");
    assert_eq!(
        result("activities-cancel", &queue),
        "everything was put back"
    );
}

#[test]
fn an_attempt_that_the_workers_shutdown_ends_is_made_again() {
    let queue = Cluster::get().unique("activities");
    let first = Embedded::start(&queue, "tests/cluster/activities");
    std::thread::scope(|scope| {
        let result = scope.spawn(|| result("activities-shutdown", &queue));
        until("the first attempt", || {
            (BEGUN.load(Ordering::Relaxed) > 0).then_some(())
        });
        drop(first);
        let _second = Embedded::start(&queue, "tests/cluster/activities");
        assert_eq!(result.join().unwrap(), 2);
    });
}

/// They resolve in one order when they run, and all at once when they are replayed.
#[test]
fn local_activities_that_resolve_out_of_order_replay() {
    let queue = Cluster::get().unique("activities");
    let _worker = Embedded::start(&queue, "tests/cluster/activities");
    let id = Cluster::get().unique("local-order");
    let arguments = [
        "start",
        "activities-local-order",
        "--wait",
        "--workflow-id",
        &id,
    ];
    Cluster::get()
        .segno(
            &[
                &arguments[..],
                &["--task-queue", &queue, "--execution-timeout", "300s"],
            ]
            .concat(),
        )
        .ok();
    Cluster::get().segno(&["replay", &id]).ok();
}
