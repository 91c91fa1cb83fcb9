//! The running attempts of activities in this process.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use super::journal::What;
use crate::activity::redact::logs::clean;
use crate::activity::{Activity, Heartbeats};
use crate::engine::failure::Failure;
use crate::faults::Fault;
use crate::simulator::{
    ActivityTask, Attempt, AttemptKey, ChildTask, End, NexusTask, OnCancel, Outside, Simulator,
};
use crate::value::{Duration, Value};

/// The attempts that the simulation has requested and that have not begun, and those that should stop.
#[derive(Default)]
pub(crate) struct Asked {
    pub(crate) tasks: BTreeMap<AttemptKey, ActivityTask>,
    pub(crate) cancelled: Vec<AttemptKey>,
}

#[derive(Clone, Default)]
pub(crate) struct Questions(Arc<Mutex<Asked>>);

impl Questions {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Asked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every attempt ends from outside: when this process has done it.
impl Outside for Questions {
    fn activity(&mut self, task: &ActivityTask) -> Attempt {
        self.lock().tasks.insert(task.key(), task.clone());
        Attempt {
            picked_up_after: Some(Duration::ZERO),
            heartbeats: Vec::new(),
            end: End::FromOutside,
            on_cancel: OnCancel::Ignore,
        }
    }

    fn child(&mut self, _: &ChildTask) -> Option<Attempt> {
        None
    }

    fn nexus(&mut self, _: &NexusTask) -> Attempt {
        let failure = Failure::application(NEEDS_CLUSTER, "a Nexus operation needs a cluster");
        Attempt::ends(Duration::ZERO, Err(failure))
    }

    fn cancelled(&mut self, attempt: &AttemptKey) {
        self.lock().cancelled.push(attempt.clone());
    }
}

/// The failure type of operations that a run in one process cannot perform.
const NEEDS_CLUSTER: &str = "NeedsCluster";

/// Runs attempts, and reports their heartbeats and ends.
pub(crate) struct Runner {
    by_name: BTreeMap<String, Arc<dyn Activity>>,
    told: UnboundedSender<What>,
    running: BTreeMap<AttemptKey, CancellationToken>,
}

impl Runner {
    pub(crate) fn new(activities: Vec<Arc<dyn Activity>>, told: UnboundedSender<What>) -> Self {
        let named = activities.into_iter();
        Runner {
            by_name: named.map(|a| (a.name().to_owned(), a)).collect(),
            told,
            running: BTreeMap::new(),
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    pub(crate) fn ended(&mut self, key: &AttemptKey) {
        self.running.remove(key);
    }

    /// Starts requested attempts, and stops those that are cancelled or have timed out.
    pub(crate) fn attend(&mut self, questions: &Questions, simulator: &Simulator) {
        let (tasks, mut cancelled) = {
            let mut asked = questions.lock();
            let tasks = std::mem::take(&mut asked.tasks);
            (tasks, std::mem::take(&mut asked.cancelled))
        };
        for (key, task) in tasks {
            if simulator.is_under_way(&key) || Fault::PastAttemptsRun.is_on() {
                self.begin(key, task);
            }
        }
        let running = self.running.keys();
        cancelled.extend(running.filter(|key| simulator.is_given_up(key)).cloned());
        for key in cancelled {
            if let Some(token) = self.running.get(&key) {
                token.cancel();
            }
        }
    }

    /// Asks all attempts to stop: the process is about to end, and their programs with it.
    pub(crate) fn stop(&self) {
        self.running.values().for_each(CancellationToken::cancel);
    }

    fn own(&self, activity_type: &str) -> Result<Arc<dyn Activity>, Failure> {
        let why = match self.by_name.get(activity_type) {
            None => "is of another worker",
            Some(activity) if activity.is_completed_outside() => "is completed from outside",
            Some(activity) => return Ok(activity.clone()),
        };
        let message = format!("the activity `{activity_type}` {why}, and needs a cluster");
        Err(Failure::application(NEEDS_CLUSTER, message).non_retryable())
    }

    fn begin(&mut self, key: AttemptKey, task: ActivityTask) {
        let token = CancellationToken::new();
        self.running.insert(key.clone(), token.clone());
        let told = self.told.clone();
        let activity = match self.own(&task.activity_type) {
            Ok(activity) => activity,
            Err(failure) => {
                let _ = told.send(What::Attempt {
                    attempt: key,
                    result: Err(failure),
                });
                return;
            }
        };
        let beats = Beats {
            attempt: key.clone(),
            told: told.clone(),
        };
        let context = task.context(token, Arc::new(beats));
        let arguments = task.input.into_iter().map(Value::from).collect();
        tokio::spawn(async move {
            let run = AssertUnwindSafe(activity.run(context, arguments)).catch_unwind();
            let result = run.await.unwrap_or_else(|panic| {
                let text = clean(&crate::worker::panic_text(&*panic));
                Err(Failure::application(
                    "Panic",
                    format!("the activity panicked: {text}"),
                ))
            });
            let _ = told.send(What::Attempt {
                attempt: key,
                result,
            });
        });
    }
}

struct Beats {
    attempt: AttemptKey,
    told: UnboundedSender<What>,
}

impl Heartbeats for Beats {
    fn record(&self, details: Vec<Value>) {
        let _ = self.told.send(What::Heartbeat {
            attempt: self.attempt.clone(),
            details,
        });
    }
}
