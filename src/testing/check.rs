//! Checks a test against the definitions of its folder: what it names must exist, so that a misspelt name is reported
//! as such and not as a failing test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use temporalio_protos::temporal::api::enums::v1::EventType;

use super::file::{Action, Case, Deed, Mocks, TestFile, When};
use crate::definition::Name;
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::program::{self, Operation, Program};
use crate::registry::Entry;
use crate::value::Duration;

/// What definitions call; `None` if an expression chooses it, so that it may be anything.
#[derive(Default)]
struct Called {
    activities: Names,
    children: Names,
    nexus: Names,
}

#[derive(Default)]
struct Names {
    known: BTreeSet<String>,
    is_open: bool,
}

impl Names {
    fn add(&mut self, name: Option<String>) {
        match name {
            Some(name) => {
                self.known.insert(name);
            }
            None => self.is_open = true,
        }
    }

    fn has(&self, name: &str) -> bool {
        self.is_open || self.known.contains(name)
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.known.iter().map(String::as_str)
    }
}

/// The definitions of a folder, for all test files in it.
pub(crate) struct Definitions {
    entries: Arc<BTreeMap<String, Entry>>,
    /// What they call, looked up by the first test that needs it.
    called: OnceLock<Called>,
}

impl Definitions {
    pub(crate) fn new(entries: BTreeMap<String, Entry>) -> Self {
        Definitions {
            entries: Arc::new(entries),
            called: OnceLock::new(),
        }
    }

    pub(crate) fn entries(&self) -> &Arc<BTreeMap<String, Entry>> {
        &self.entries
    }

    fn called(&self) -> &Called {
        self.called.get_or_init(|| {
            let mut called = Called::default();
            for entry in self.entries.values() {
                collect(&entry.loaded.program, &mut called);
            }
            called
        })
    }
}

/// Mistakes that can be found before the test runs.
pub(crate) fn check(file: &TestFile, beside: &Definitions) -> Vec<Diagnostic> {
    let definitions = &**beside.entries();
    let Some(entry) = definitions.get(&*file.workflow.value) else {
        return vec![unknown_workflow(&file.workflow, definitions)];
    };
    let mut checker = Checker {
        program: &entry.loaded.program,
        definitions,
        called: beside.called(),
        found: Vec::new(),
    };
    for case in &file.cases {
        checker.case(case);
    }
    // Cases share what the file sets.
    let mut found: Vec<Diagnostic> = Vec::new();
    for diagnostic in checker.found {
        if !found.contains(&diagnostic) {
            found.push(diagnostic);
        }
    }
    found
}

fn unknown_workflow(name: &Name, definitions: &BTreeMap<String, Entry>) -> Diagnostic {
    let message = format!(
        "no definition beside the test has the workflow type `{}`",
        name.value
    );
    let known = definitions.keys().map(String::as_str);
    unknown("unknown-workflow", name, message, known)
        .help("put the test in the folder of its definition; a definition with errors is not found")
}

fn unknown<'a>(
    code: &'static str,
    name: &Name,
    message: String,
    known: impl Iterator<Item = &'a str>,
) -> Diagnostic {
    let error = Diagnostic::error(code, name.range, message);
    match did_you_mean(&name.value, known) {
        Some(near) => error.label(format!("did you mean `{near}`?")),
        None => error,
    }
}

fn collect(program: &Program, called: &mut Called) {
    for step in program.steps.iter() {
        let Some(operation) = step.action.operation() else {
            continue;
        };
        let names = match operation {
            Operation::Activity(_) => &mut called.activities,
            Operation::Child(_) => &mut called.children,
            Operation::Nexus(_) => &mut called.nexus,
        };
        names.add(operation.name());
    }
}

struct Checker<'a> {
    program: &'a Program,
    definitions: &'a BTreeMap<String, Entry>,
    called: &'a Called,
    found: Vec<Diagnostic>,
}

impl Checker<'_> {
    fn case(&mut self, case: &Case) {
        for (what, mocks, names) in [
            ("activity", &case.activities, &self.called.activities),
            ("child", &case.children, &self.called.children),
            ("Nexus operation", &case.nexus, &self.called.nexus),
        ] {
            self.found.extend(mocked(what, mocks, names));
        }
        let mut latest = Duration::ZERO;
        for action in &case.actions {
            self.action(action, &mut latest);
        }
        self.schedule(case);
        self.calls(case);
        self.ends(case);
        self.history(case);
    }

    fn action(&mut self, action: &Action, latest: &mut Duration) {
        match &action.when {
            When::At(at) if *at < *latest => {
                let message = format!(
                    "the action at {} is listed after one at {}",
                    at.words(),
                    latest.words()
                );
                let error = Diagnostic::error("out-of-order", action.range, message)
                    .help("list actions in the order of their times");
                self.found.push(error);
            }
            When::At(at) => *latest = *at,
            When::After(step) => self.after(step),
            When::Next => {}
        }
        if action.workflow_id.is_some() {
            return;
        }
        let program = self.program;
        let of_handlers = |handlers: &[program::Handler]| -> BTreeSet<String> {
            handlers.iter().map(|h| h.name.to_string()).collect()
        };
        let wants_failure = action.expect_failure.is_some();
        let (what, name, known) = match &action.deed {
            Deed::Signal(name) => ("signal", name, program.signal_names()),
            Deed::Update(name) if !wants_failure => ("update", name, of_handlers(&program.updates)),
            Deed::Query(name) if !wants_failure => ("query", name, self.queries()),
            _ => return,
        };
        if known.contains("*") || known.contains(&*name.value) {
            return;
        }
        let message = format!(
            "the workflow `{}` has no {what} `{}`",
            program.workflow, name.value
        );
        let mut diagnostic = unknown(
            "unknown-name",
            name,
            message,
            known.iter().map(String::as_str),
        );
        if what == "signal" {
            // The server accepts it anyway, and a test may want to see that.
            diagnostic.severity = crate::diagnostic::Severity::Warning;
        }
        self.found.push(diagnostic.help(has(&known)));
    }

    fn after(&mut self, step: &Name) {
        let programs = self.definitions.values().map(|e| &e.loaded.program);
        let ids: BTreeSet<&str> = programs
            .flat_map(|program| program.steps.iter())
            .filter_map(|step| step.id.as_deref())
            .collect();
        // `FILE:LINE` is looked up while it runs.
        if ids.contains(&*step.value) || step.value.contains(':') {
            return;
        }
        let message = format!("no step has the id `{}`", step.value);
        let error = unknown("unknown-step", step, message, ids.into_iter())
            .help("name a step's id, or its place as FILE:LINE");
        self.found.push(error);
    }

    fn schedule(&mut self, case: &Case) {
        let Some(name) = &case.schedule else {
            if let Some((range, _)) = &case.expect.starts {
                let message = "`starts` needs a schedule, and the case has none";
                let error = Diagnostic::error("missing-key", *range, message);
                let help = "name a schedule of the definition as `schedule`, instead of `input`";
                self.found.push(error.help(help));
            }
            return;
        };
        let known: BTreeSet<String> = self
            .program
            .schedules
            .iter()
            .map(|schedule| schedule.name.to_string())
            .collect();
        if !known.contains(&*name.value) {
            let message = format!(
                "the workflow `{}` has no schedule `{}`",
                self.program.workflow, name.value
            );
            let texts = known.iter().map(String::as_str);
            let error = unknown("unknown-name", name, message, texts).help(has(&known));
            self.found.push(error);
        }
        if case.until.is_none() {
            let message = "a schedule never ends, and the case has no `until`";
            let error = Diagnostic::error("missing-key", name.range, message);
            self.found
                .push(error.help("add e.g. `until: 7d` to look at its runs after that time"));
        }
    }

    fn calls(&mut self, case: &Case) {
        let counted = case.expect.called.iter().map(|(name, _)| name);
        let listed = case.expect.calls.iter().flat_map(|(_, calls)| calls);
        for name in counted.chain(listed.map(|(name, _)| name)) {
            let all = [
                &self.called.activities,
                &self.called.children,
                &self.called.nexus,
            ];
            if all.iter().any(|names| names.has(&name.value)) {
                continue;
            }
            let message = format!("no definition calls `{}`", name.value);
            let known = all.iter().flat_map(|names| names.texts());
            self.found
                .push(unknown("unknown-activity", name, message, known));
        }
    }

    /// Checks the expected end of the workflow, unless another one can continue it.
    fn ends(&mut self, case: &Case) {
        let is_continued = self.program.steps.iter().any(|step| {
            matches!(&step.action, program::Action::ContinueAsNew(next) if next.workflow.is_some())
        });
        if is_continued {
            return;
        }
        let state: BTreeSet<String> = self.program.state.iter().map(|s| s.0.to_string()).collect();
        for (what, names, known) in [
            ("variable", &case.expect.state, state),
            ("query", &case.expect.queries, self.queries()),
        ] {
            for (name, _) in names {
                if known.contains(&*name.value) || known.contains("*") {
                    continue;
                }
                let message = format!(
                    "the workflow `{}` has no {what} `{}`",
                    self.program.workflow, name.value
                );
                let texts = known.iter().map(String::as_str);
                let error = unknown("unknown-name", name, message, texts).help(has(&known));
                self.found.push(error);
            }
        }
    }

    fn queries(&self) -> BTreeSet<String> {
        let queries = self.program.queries.iter();
        queries.map(|query| query.name.to_string()).collect()
    }

    fn history(&mut self, case: &Case) {
        for name in &case.expect.history {
            let known: Vec<String> = event_types().collect();
            if known.iter().any(|known| plain(known) == plain(&name.value)) {
                continue;
            }
            let message = format!("Temporal has no event `{}`", name.value);
            let texts = known.iter().map(String::as_str);
            let error = unknown("unknown-event", name, message, texts)
                .help("name events as histories do: TimerFired, ActivityTaskScheduled, …");
            self.found.push(error);
        }
    }
}

fn mocked(what: &str, mocks: &Mocks, names: &Names) -> Vec<Diagnostic> {
    let unused = mocks.iter().filter(|(name, _)| !names.has(&name.value));
    let told = unused.map(|(name, _)| {
        let message = format!("no definition calls the {what} `{}`", name.value);
        unknown("unknown-activity", name, message, names.texts()).help(has(&names.known))
    });
    told.collect()
}

fn has(known: &BTreeSet<String>) -> String {
    match known.is_empty() {
        true => "there is none".to_owned(),
        false => {
            let names: Vec<&str> = known.iter().map(String::as_str).collect();
            format!("defined here: {}", names.join(", "))
        }
    }
}

/// In the form of histories: `TimerFired`.
fn event_types() -> impl Iterator<Item = String> {
    let all = (1..=i32::from(u8::MAX)).filter_map(|number| EventType::try_from(number).ok());
    all.map(|event| {
        let name = event.as_str_name();
        let words = name.strip_prefix("EVENT_TYPE_").unwrap_or(name).split('_');
        words
            .map(|word| word[..1].to_owned() + &word[1..].to_lowercase())
            .collect()
    })
}

/// `TIMER_FIRED` and `TimerFired` are the same.
pub(crate) fn plain(name: &str) -> String {
    name.replace('_', "").to_lowercase()
}
