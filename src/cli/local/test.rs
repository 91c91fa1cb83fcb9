//! `segno test`: runs the tests of definitions.

mod crash;
mod find;
mod histories;
mod show;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;

use clap::Args;

use crate::cli::args::policy::PolicyArgs;
use crate::cli::error::{CliError, End};
use crate::cli::print::Output;
use crate::coverage::{Coverage, Recorder};
use crate::load::in_threads;
use crate::registry::watch;
use crate::testing::{Crash, Real, Report, Snapshots, Subject, run_case};
use crash::Crashed;
use find::{Found, Suite};

/// Run the tests of definitions
///
/// Exit codes: 0 if all pass, 1 if one fails or a file has errors, 2 if the command line is wrong.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  segno test workflows\n  segno test workflows/order.test.yaml --filter refund\n  segno test --crash --junit report.xml"
)]
pub(crate) struct TestArgs {
    /// Test files, or folders of definitions with their *.test.yaml files
    #[arg(default_value = ".")]
    paths: Vec<PathBuf>,
    /// Run only cases whose file, workflow type or name contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// How many cases to run at a time [default: the number of processors]
    #[arg(long, value_name = "NUMBER")]
    jobs: Option<std::num::NonZero<usize>>,
    /// Run again whenever a file changes, until interrupted
    #[arg(long)]
    watch: bool,
    /// Replay every case after each step, from its history and from its serialised state, and in other orders of delivery
    #[arg(long)]
    crash: bool,
    /// Write the snapshots that differ
    #[arg(long)]
    update_snapshots: bool,
    /// Write the histories of all runs into this folder, in Temporal's JSON
    #[arg(long, value_name = "FOLDER")]
    histories: Option<PathBuf>,
    /// Write a report in JUnit's XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Show which steps, branches and expressions the tests went through
    #[arg(long)]
    coverage: bool,
    /// Write the definitions with a count at each line into this folder
    #[arg(long, value_name = "FOLDER")]
    coverage_annotate: Option<PathBuf>,
    /// Write the coverage as LCOV
    #[arg(long, value_name = "FILE")]
    coverage_lcov: Option<PathBuf>,
    /// Fail if less than this percentage is covered, of steps, branches and expressions together
    #[arg(long, value_name = "PERCENT")]
    min_coverage: Option<f64>,
    #[command(flatten)]
    policy: PolicyArgs,
}

/// A case and its result.
struct Tested<'a> {
    suite: &'a Suite,
    name: &'a str,
    report: Report,
    /// What `--crash` has found.
    crashed: Option<Crashed>,
}

impl Tested<'_> {
    fn passed(&self) -> bool {
        self.report.problems.is_empty() && self.crashes().is_empty()
    }

    fn crashes(&self) -> &[String] {
        self.crashed.as_ref().map_or(&[], |found| &found.problems)
    }
}

pub(crate) fn run(args: &TestArgs, output: Output) -> Result<End, CliError> {
    if !args.watch {
        return once(args, output);
    }
    let (events, changed) = channel();
    let mut watchers = Vec::new();
    for path in &args.paths {
        let folder = find::folder_of(path);
        watchers.push(watch(folder, events.clone()).map_err(CliError::new)?);
    }
    loop {
        let before = find::contents(&args.paths);
        if let Err(error) = once(args, output) {
            if error.is_unheard() {
                return Err(error);
            }
            error.report();
        }
        output.remark("waiting for changes; stop with Ctrl-C");
        // Reports and snapshots that the run itself has written are not a reason to run again.
        while find::contents(&args.paths) == before {
            if changed.recv().is_err() {
                return Ok(End::Done);
            }
        }
    }
}

fn once(args: &TestArgs, output: Output) -> Result<End, CliError> {
    let found = find::find(&args.paths)?;
    if found.suites.is_empty() && found.diagnostics.is_empty() {
        return Err(CliError::usage("there are no tests in the given paths")
            .help("a test is a *.test.yaml file beside its definition; see docs/testing.md"));
    }
    show::mistakes(&found, output)?;
    let wants_coverage = args.coverage
        || args.coverage_annotate.is_some()
        || args.coverage_lcov.is_some()
        || args.min_coverage.is_some();
    let recorder = wants_coverage.then(|| Arc::new(Recorder::new()));
    let real = args.policy.on_this_machine().activities()?;
    let real = Arc::new(Real::new(real).map_err(CliError::new)?);
    let tested = test(args, &found, recorder.as_ref(), &real)?;
    if let (true, Some(wanted), false) = (tested.is_empty(), &args.filter, found.has_errors()) {
        let message = format!("no case's file, workflow type or name contains `{wanted}`");
        return Err(CliError::usage(message));
    }
    let coverage = recorder.map(|recorder| measured(&found, &recorder));
    let shown = coverage.as_ref().filter(|_| args.coverage);
    show::results(&tested, &found, shown, output)?;
    if let Some(path) = &args.junit {
        write(path, &show::junit(&tested, &found))?;
    }
    let mut passed = !found.has_errors() && tested.iter().all(Tested::passed);
    if let Some(coverage) = coverage {
        passed &= is_covered(args, &coverage, output)?;
    }
    Ok(if passed { End::Done } else { End::Failed })
}

fn test<'a>(
    args: &TestArgs,
    found: &'a Found,
    recorder: Option<&Arc<Recorder>>,
    real: &Arc<Real>,
) -> Result<Vec<Tested<'a>>, CliError> {
    let snapshots = match args.update_snapshots {
        true => Snapshots::Update,
        false => Snapshots::Compare,
    };
    let mut cases = Vec::new();
    for suite in &found.suites {
        let definitions = suite.definitions.clone();
        let subject = Subject::new(definitions, recorder.cloned(), Some(real.clone()));
        for case in &suite.file.cases {
            let name = &*case.name;
            let is_wanted = args.filter.as_ref().is_none_or(|wanted| {
                let texts = [suite.shown.as_str(), &suite.file.workflow.value, name];
                texts.iter().any(|text| text.contains(wanted.as_str()))
            });
            if is_wanted {
                cases.push((suite, subject.clone(), case));
            }
        }
    }
    let jobs = args.jobs.or(std::thread::available_parallelism().ok());
    let jobs = jobs.map_or(1, std::num::NonZero::get);
    let tested = in_threads(jobs, &cases, |(suite, subject, case)| {
        let path = &suite.path;
        let mut report = run_case(&suite.file, case, subject, &Crash::None, &snapshots, path);
        let is_crashed = args.crash && report.problems.is_empty();
        let crashed = is_crashed.then(|| crash::find(suite, case, subject, &report));
        let histories = std::mem::take(&mut report.histories);
        if let Some(folder) = &args.histories {
            histories::save(folder, suite, &case.name, histories)?;
        }
        Ok(Tested {
            suite,
            name: &case.name,
            report,
            crashed,
        })
    });
    tested.into_iter().collect()
}

fn measured(found: &Found, recorder: &Recorder) -> Coverage {
    let mut coverage = Coverage::new();
    for entry in &found.measured {
        coverage.define(&entry.loaded.program);
    }
    coverage.count(recorder);
    coverage
}

/// Writes the requested coverage reports, and returns whether enough is covered.
fn is_covered(args: &TestArgs, coverage: &Coverage, output: Output) -> Result<bool, CliError> {
    if let Some(path) = &args.coverage_lcov {
        write(path, &coverage.lcov())?;
    }
    if let Some(folder) = &args.coverage_annotate {
        for (path, text) in coverage.annotated() {
            write(&folder.join(show::relative(&path)), &text)?;
        }
    }
    let Some(wanted) = args.min_coverage else {
        return Ok(true);
    };
    let percent = coverage.totals().together().percent();
    if percent < wanted {
        output.remark(format!(
            "{percent:.1} % is covered, less than the {wanted} % of --min-coverage"
        ));
    }
    Ok(percent >= wanted)
}

fn write(path: &std::path::Path, text: &str) -> Result<(), CliError> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let made = folder.map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| std::fs::write(path, text))
        .map_err(|error| CliError::new(format!("cannot write {}: {error}", path.display())))
}
