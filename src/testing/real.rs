//! Really runs the worker's own activities for a test: against servers and programs of this machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use super::file::Outcome;
use crate::activity::{Activity, Heartbeats};
use crate::diagnostic::Diagnostic;
use crate::engine::failure::Failure;
use crate::simulator::ActivityTask;
use crate::value::{Duration, Value};

/// The activities that a test can really run.
const KINDS: [&str; 3] = ["http", "grpc", "exec"];
/// The limit of an attempt without a `start_to_close_timeout`.
const LONGEST: Duration = Duration {
    seconds: 30,
    nanos: 0,
};

/// The mistakes in outcomes with `real`.
pub(crate) fn refused(kind: &str, name: &str, outcomes: &[Outcome]) -> Vec<Diagnostic> {
    if kind == "activities" && KINDS.contains(&name) {
        return Vec::new();
    }
    let message = format!("a test cannot run `{name}` for real");
    let refused = outcomes.iter().filter_map(|outcome| {
        let error = Diagnostic::error("not-real", outcome.real?, message.clone());
        Some(error.help(format!(
            "use `real` for the activities {}",
            KINDS.join(", ")
        )))
    });
    refused.collect()
}

pub(crate) struct Real {
    runtime: Runtime,
    by_name: BTreeMap<String, Arc<dyn Activity>>,
}

impl Real {
    pub(crate) fn new(activities: Vec<Arc<dyn Activity>>) -> std::io::Result<Real> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let named = activities.into_iter();
        Ok(Real {
            runtime,
            by_name: named.map(|a| (a.name().to_owned(), a)).collect(),
        })
    }

    /// Runs an attempt to its end; `None` if it exceeds its time limit.
    pub(crate) fn run(&self, task: &ActivityTask) -> Option<Result<Value, Failure>> {
        let activity = self.by_name.get(&task.activity_type)?;
        let cancellation = CancellationToken::new();
        let context = task.context(cancellation.clone(), Arc::new(Unheard));
        let arguments = task.input.iter().cloned().map(Value::from).collect();
        let longest = task.start_to_close_timeout.unwrap_or(LONGEST);
        let attempt = activity.run(context, arguments);
        let longest = longest.to_std().unwrap_or_default();
        self.runtime.block_on(async {
            let ended = tokio::time::timeout(longest, attempt).await;
            cancellation.cancel();
            ended.ok()
        })
    }
}

/// Heartbeats are ignored: no virtual time passes.
struct Unheard;

impl Heartbeats for Unheard {
    fn record(&self, _: Vec<Value>) {}
}
