//! Tests of definitions: `NAME.test.yaml` files, each case run in a simulation.

mod check;
mod expect;
mod file;
mod mocks;
pub mod order;
mod read;
mod real;
mod run;
mod signals;
mod snapshot;
mod watch;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub use check::{Definitions, check};
pub use expect::BROKEN;
pub use file::{Case, TestFile, parse};
use order::{Choice, Order};
pub use read::read;
pub use real::Real;
pub use signals::Point;
pub use snapshot::{Snapshots, file_name, snapshot_path};

use crate::coverage::Recorder;
use crate::diagnostic::Diagnostic;
use crate::engine::Programs;
use crate::registry::{Entry, Registry};
pub use crate::simulator::RunHistory;
use crate::value::Duration;
use crate::worker::ProgramCache;

/// By its name: `NAME.test.yaml`.
pub fn is_test(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".test.yaml") || name.ends_with(".test.yml")
}

/// What happens to the worker while a test runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Crash {
    None,
    /// It dies after every step; the next one has the histories.
    Replayed,
    /// It dies after every step; the next one has the serialised states.
    Restored,
    /// It lives, and what is due at one time happens in another order; the history is replayed at the end.
    Reordered(Order),
    /// It lives, and signals arrive at this point.
    Signalled(Point),
}

/// The definitions that tests run.
#[derive(Clone)]
pub struct Subject {
    pub registry: Arc<dyn Registry>,
    pub programs: Arc<dyn Programs + Send + Sync>,
    pub recorder: Option<Arc<Recorder>>,
    pub real: Option<Arc<Real>>,
}

impl Subject {
    pub fn new(
        definitions: Arc<BTreeMap<String, Entry>>,
        recorder: Option<Arc<Recorder>>,
        real: Option<Arc<Real>>,
    ) -> Self {
        let registry: Arc<dyn Registry> = definitions;
        Subject {
            programs: Arc::new(ProgramCache::new(registry.clone())),
            registry,
            recorder,
            real,
        }
    }
}

/// The result of a case.
#[derive(Debug)]
pub struct Report {
    pub problems: Vec<Diagnostic>,
    /// The steps, with times and lines.
    pub timeline: String,
    /// The virtual time.
    pub elapsed: Duration,
    /// How it ended: `completed` and so on.
    pub status: &'static str,
    /// Where steps have not ended.
    pub waits: Option<String>,
    /// What came in another order, in words, and all choices that there were.
    pub order: Vec<String>,
    pub choices: Vec<Choice>,
    /// The steps of the simulation after which the workflow had another run.
    pub continued: Vec<usize>,
    /// The histories of all runs, in the order in which they began.
    pub histories: Vec<RunHistory>,
}

/// Runs one case. Snapshots are read from, and written to, the folder beside the test file.
pub fn run_case(
    file: &TestFile,
    case: &Case,
    subject: &Subject,
    crash: &Crash,
    snapshots: &Snapshots,
    path: &Path,
) -> Report {
    let mut ran = run::run(file, case, subject, crash);
    let timeline = ran.timeline.text(ran.started);
    let status = ran.run().map(|run| ran.simulator.status(run));
    let status = status.map_or("not started", expect::name);
    let outcome = ran
        .run()
        .and_then(|run| ran.simulator.outcome(run).cloned());
    let mut problems = expect::check(case, &mut ran);
    if case.expect.snapshot && *crash == Crash::None && problems.is_empty() {
        // The tests may be run from anywhere.
        let folder = path.parent().unwrap_or(Path::new(""));
        let steps = ran.timeline.text_within(folder, ran.started);
        let text = snapshot::text(&steps, outcome.as_ref());
        problems.extend(snapshots.check(&snapshot_path(path, &case.name), &text, case.range));
    }
    Report {
        problems,
        timeline,
        elapsed: ran.ended.since(ran.started).unwrap_or_default(),
        status,
        waits: ran.timeline.waits(),
        order: ran.order,
        choices: ran.choices,
        continued: ran.continued,
        histories: ran.simulator.into_histories(),
    }
}
