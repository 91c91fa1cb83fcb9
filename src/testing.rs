//! Tests of definitions: `NAME.test.yaml` files, each case run in a simulation.

mod check;
mod expect;
mod file;
mod mocks;
pub(crate) mod order;
mod read;
mod real;
mod run;
mod signals;
mod snapshot;
mod watch;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub(crate) use check::{Definitions, check};
pub(crate) use expect::BROKEN;
pub(crate) use file::{Case, TestFile, parse};
use order::{Choice, Order};
pub(crate) use read::read;
pub(crate) use real::Real;
pub(crate) use signals::Point;
pub(crate) use snapshot::{Snapshots, file_name, snapshot_path};

use crate::coverage::Recorder;
use crate::diagnostic::Diagnostic;
use crate::engine::Programs;
use crate::registry::{Entry, Registry};
pub(crate) use crate::simulator::RunHistory;
use crate::value::Duration;
use crate::worker::ProgramCache;

/// By its name: `NAME.test.yaml`.
pub(crate) fn is_test(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".test.yaml") || name.ends_with(".test.yml")
}

/// What happens to the worker while a test runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Crash {
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
pub(crate) struct Subject {
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) programs: Arc<dyn Programs + Send + Sync>,
    pub(crate) recorder: Option<Arc<Recorder>>,
    pub(crate) real: Option<Arc<Real>>,
}

impl Subject {
    pub(crate) fn new(
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
pub(crate) struct Report {
    pub(crate) problems: Vec<Diagnostic>,
    /// The steps, with times and lines.
    pub(crate) timeline: String,
    /// The virtual time.
    pub(crate) elapsed: Duration,
    /// The final status: `completed` and so on.
    pub(crate) status: &'static str,
    /// Where steps have not ended.
    pub(crate) waits: Option<String>,
    /// What happened in another order, in words, and all choices.
    pub(crate) order: Vec<String>,
    pub(crate) choices: Vec<Choice>,
    /// The steps of the simulation after which the workflow had another run.
    pub(crate) continued: Vec<usize>,
    /// The histories of all runs, in the order in which they started.
    pub(crate) histories: Vec<RunHistory>,
}

/// Runs one case. Snapshots are read from, and written to, the folder beside the test file.
pub(crate) fn run_case(
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
