//! Reads a test file: every mistake is reported with its place, and every expression is compiled.

mod action;
mod expectation;

use std::sync::Arc;

use super::real;
use super::snapshot::plain_name;
use crate::definition::parse::Parser;
use crate::definition::parse::fields::Fields;
use crate::definition::table::{Field, Key, key};
use crate::definition::tables::{HEARTBEAT, MOCKED_FAILURE, OUTCOME, TEST, TEST_CASE};
use crate::definition::{DurationValue, Name};
use crate::diagnostic::Diagnostic;
use crate::expression::{
    Code, Context, Environment, Expression, NoHost, Template, Type, check_condition,
    check_template, compile, compile_template, evaluate,
};
use crate::source::{Range, Spanned};
use crate::value::{Duration, Timestamp, Value};
use crate::yaml::Node;

/// The variables of a mocked outcome, in the order of their slots.
const MOCK_VARIABLES: &[&str] = &["input", "args", "attempt", "call"];
/// The variables of conditions on the end.
pub(crate) const END_VARIABLES: &[&str] = &[
    "result", "state", "input", "calls", "attempts", "elapsed", "runs",
];
const START_TIME: &str = "2026-01-01T00:00:00Z";

/// A value that may depend on variables.
#[derive(Debug, Clone)]
pub(crate) struct Computed {
    code: Arc<Code>,
    pub(crate) range: Range,
}

impl Computed {
    pub(crate) fn value(&self, variables: &[Value]) -> Result<Value, Diagnostic> {
        let mut host = NoHost;
        let mut context = Context::new(&mut host);
        let value = evaluate(&self.code, &variables.to_vec(), &mut context);
        value.map_err(|error| Diagnostic::error("evaluation-error", error.range, error.message))
    }
}

#[derive(Debug, Clone)]
pub(crate) struct MockedFailure {
    pub(crate) error_type: Arc<str>,
    pub(crate) message: Option<Computed>,
    pub(crate) details: Vec<Computed>,
    pub(crate) non_retryable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Cancelled {
    #[default]
    Cancels,
    Ignores,
    Completes,
}

#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) when: Option<Computed>,
    pub(crate) result: Option<Computed>,
    pub(crate) fail: Option<MockedFailure>,
    pub(crate) never: bool,
    /// The worker's own activity is really run.
    pub(crate) real: Option<Range>,
    pub(crate) after: Duration,
    pub(crate) picked_up_after: Option<Duration>,
    pub(crate) no_worker: bool,
    pub(crate) heartbeats: Vec<(Duration, Vec<Computed>)>,
    pub(crate) on_cancel: Cancelled,
}

/// The mocks, by name.
pub(crate) type Mocks = Vec<(Name, Vec<Outcome>)>;

#[derive(Debug, Clone)]
pub(crate) enum When {
    Next,
    At(Duration),
    /// A step's id or place.
    After(Name),
}

#[derive(Debug, Clone)]
pub(crate) enum Deed {
    Signal(Name),
    Update(Name),
    Query(Name),
    Cancel(Name),
    Terminate(Name),
    CompleteActivity(Name),
    /// Whether the next worker has the serialised state.
    WorkerDies(bool),
}

#[derive(Debug, Clone)]
pub(crate) struct Action {
    pub(crate) range: Range,
    pub(crate) when: When,
    pub(crate) deed: Deed,
    pub(crate) input: Option<Computed>,
    pub(crate) workflow_id: Option<Name>,
    pub(crate) result: Option<Computed>,
    pub(crate) fail: Option<MockedFailure>,
    pub(crate) expect: Option<Computed>,
    pub(crate) expect_failure: Option<ExpectedFailure>,
}

#[derive(Debug, Clone)]
pub(crate) struct ExpectedFailure {
    pub(crate) range: Range,
    pub(crate) error: Option<Name>,
    pub(crate) message: Option<Name>,
    pub(crate) details: Option<Vec<Computed>>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Expectation {
    pub(crate) result: Option<Computed>,
    pub(crate) failure: Option<ExpectedFailure>,
    pub(crate) status: Option<Spanned<&'static str>>,
    pub(crate) state: Vec<(Name, Computed)>,
    pub(crate) queries: Vec<(Name, Computed)>,
    pub(crate) calls: Option<(Range, Vec<(Name, Computed)>)>,
    pub(crate) called: Vec<(Name, u64)>,
    pub(crate) that: Vec<Computed>,
    pub(crate) elapsed: Option<Spanned<Duration>>,
    /// Times of the schedule for which it has started something.
    pub(crate) starts: Option<(Range, Vec<Timestamp>)>,
    pub(crate) history: Vec<Name>,
    pub(crate) snapshot: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: Arc<str>,
    pub(crate) range: Range,
    pub(crate) input: Option<Computed>,
    /// The definition's schedule that starts the runs.
    pub(crate) schedule: Option<Name>,
    pub(crate) start_time: Timestamp,
    pub(crate) activities: Mocks,
    pub(crate) children: Mocks,
    pub(crate) nexus: Mocks,
    pub(crate) workflows: Vec<Name>,
    pub(crate) actions: Vec<Action>,
    pub(crate) until: Option<Duration>,
    pub(crate) expect: Expectation,
}

#[derive(Debug, Clone)]
pub(crate) struct TestFile {
    pub(crate) workflow: Name,
    pub(crate) cases: Vec<Case>,
}

/// If there are errors, there is no file: a test that is not understood is not run.
pub(crate) fn parse(document: &Node) -> (Option<TestFile>, Vec<Diagnostic>) {
    let mut reader = Reader {
        parser: Parser::default(),
        mock: environment(MOCK_VARIABLES),
        end: environment(END_VARIABLES),
    };
    let file = reader.file(document);
    let diagnostics = reader.parser.diagnostics;
    match diagnostics.iter().any(Diagnostic::is_error) {
        true => (None, diagnostics),
        false => (file, diagnostics),
    }
}

fn environment(names: &[&str]) -> Environment {
    let names = names.iter().zip(0..);
    names.fold(Environment::new(), |environment, (name, slot)| {
        environment.with(*name, slot, Type::Dynamic)
    })
}

struct Reader {
    parser: Parser,
    mock: Environment,
    end: Environment,
}

impl Reader {
    fn file(&mut self, document: &Node) -> Option<TestFile> {
        let fields = self.parser.fields(document, &TEST)?;
        self.version(&fields);
        let workflow = self.parser.text(&fields, key!("test"))?;
        let base = Case {
            name: workflow.value.clone(),
            range: workflow.range,
            input: None,
            schedule: None,
            start_time: Timestamp::parse(START_TIME).unwrap_or_default(),
            activities: Vec::new(),
            children: Vec::new(),
            nexus: Vec::new(),
            workflows: Vec::new(),
            actions: Vec::new(),
            until: None,
            expect: Expectation::default(),
        };
        let base = self.case(&fields, base);
        let Some((field, node)) = fields.get(key!("cases")) else {
            return Some(TestFile {
                workflow,
                cases: vec![base],
            });
        };
        let mut cases: Vec<Case> = Vec::new();
        for node in self.items(field, node) {
            let Some(fields) = self.parser.fields(node, &TEST_CASE) else {
                continue;
            };
            let Some(name) = self.parser.text(&fields, key!("name")) else {
                continue;
            };
            self.unlike_others(&name, &cases);
            let mut case = base.clone();
            case.name = name.value;
            case.range = name.range;
            cases.push(self.case(&fields, case));
        }
        if node.sequence().is_some_and(<[Node]>::is_empty) {
            let error = Diagnostic::error("no-cases", node.range, "there are no cases")
                .help("leave `cases` out for a single case, written at the top of the file");
            self.parser.report(error);
        }
        Some(TestFile { workflow, cases })
    }

    /// Reports distinguish cases by their names, and stored results by the letters and digits of these.
    fn unlike_others(&mut self, name: &Name, cases: &[Case]) {
        let same = |case: &&Case| plain_name(&case.name) == plain_name(&name.value);
        let Some(other) = cases.iter().find(same) else {
            return;
        };
        let message = match other.name == name.value {
            true => format!("two cases have the name `{}`", name.value),
            false => "the names of two cases differ in neither letters nor digits".to_owned(),
        };
        let error = Diagnostic::error("duplicate-case", name.range, message)
            .annotate(other.range, "the other one")
            .help("reports, snapshots and histories distinguish cases by name; rename one");
        self.parser.report(error);
    }

    fn version(&mut self, fields: &Fields<'_>) {
        if let Some((field, node)) = fields.get(key!("segno"))
            && node.scalar().map(|scalar| &scalar.value) != Some(&Value::Int(1))
        {
            self.parser.wrong_type(field, node);
        }
    }

    /// The settings of a case, on top of those for all cases.
    fn case(&mut self, fields: &Fields<'_>, mut case: Case) -> Case {
        self.parser
            .exclusive(fields, [key!("input"), key!("schedule")]);
        if let Some(input) = self.computed(fields, key!("input"), &Environment::new()) {
            case.input = Some(input);
            case.schedule = None;
        }
        if let Some(schedule) = self.parser.text(fields, key!("schedule")) {
            case.schedule = Some(schedule);
            case.input = None;
        }
        let start_time = self.parser.text(fields, key!("start_time"));
        if let Some(time) = start_time.and_then(|text| self.time(text)) {
            case.start_time = time;
        }
        self.mocks(fields, key!("activities"), &mut case.activities);
        self.mocks(fields, key!("children"), &mut case.children);
        self.mocks(fields, key!("nexus"), &mut case.nexus);
        let workflows = self.parser.texts(fields, key!("workflows"));
        if !workflows.is_empty() {
            case.workflows = workflows;
        }
        if let Some((field, node)) = fields.get(key!("actions")) {
            let nodes = self.items(field, node);
            case.actions = nodes.iter().filter_map(|node| self.action(node)).collect();
        }
        if let Some(until) = self.length(fields, key!("until")) {
            case.until = Some(until.value);
        }
        if let Some((_, node)) = fields.get(key!("expect")) {
            self.expectation(node, &mut case.expect);
        }
        self.within(&case);
        case
    }

    /// Nothing may happen after the test has ended.
    fn within(&mut self, case: &Case) {
        let Some(until) = case.until else {
            return;
        };
        let is_late = |action: &&Action| matches!(action.when, When::At(at) if at > until);
        if let Some(action) = case.actions.iter().find(is_late) {
            let message = format!(
                "this happens after the end of the test, `until: {}`",
                until.words()
            );
            let error = Diagnostic::error("out-of-order", action.range, message)
                .help("set `until` no earlier than the last action");
            self.parser.report(error);
        }
    }

    fn items<'n>(&mut self, field: &Field, node: &'n Node) -> &'n [Node] {
        node.sequence().unwrap_or_else(|| {
            self.parser.wrong_type(field, node);
            &[]
        })
    }

    fn mocks(&mut self, fields: &Fields<'_>, kind: Key, mocks: &mut Mocks) {
        for (name, node) in self.parser.named(fields, kind) {
            let outcomes: Vec<Outcome> = match node.sequence() {
                Some(nodes) => nodes.iter().filter_map(|node| self.outcome(node)).collect(),
                None => self.outcome(node).into_iter().collect(),
            };
            if node.sequence().is_some_and(<[Node]>::is_empty) {
                let message = format!("`{}` has no outcome", name.value);
                let error = Diagnostic::error("no-outcome", node.range, message)
                    .help("define its outcome, for example `{ result: 1 }`, or leave it out");
                self.parser.report(error);
            }
            let refused = real::refused(&kind, &name.value, &outcomes);
            self.parser.diagnostics.extend(refused);
            mocks.retain(|(other, _)| other.value != name.value);
            mocks.push((name, outcomes));
        }
    }

    fn outcome(&mut self, node: &Node) -> Option<Outcome> {
        let fields = self.parser.fields(node, &OUTCOME)?;
        self.parser
            .exclusive(&fields, [key!("result"), key!("fail")]);
        self.parser
            .exclusive(&fields, [key!("result"), key!("never")]);
        for other in [
            key!("result"),
            key!("fail"),
            key!("never"),
            key!("heartbeats"),
        ] {
            self.parser.exclusive(&fields, [key!("real"), other]);
        }
        for other in [
            key!("result"),
            key!("fail"),
            key!("never"),
            key!("real"),
            key!("after"),
            key!("heartbeats"),
            key!("picked_up_after"),
            key!("on_cancel"),
        ] {
            self.parser.exclusive(&fields, [key!("no_worker"), other]);
        }
        let environment = self.mock.clone();
        let when = self.condition(&fields, key!("when"), &environment);
        let mut heartbeats = Vec::new();
        if let Some((field, node)) = fields.get(key!("heartbeats")) {
            for node in self.items(field, node) {
                let Some(fields) = self.parser.fields(node, &HEARTBEAT) else {
                    continue;
                };
                let after = self
                    .length(&fields, key!("after"))
                    .map_or(Duration::ZERO, |l| l.value);
                if heartbeats.last().is_some_and(|(before, _)| *before > after) {
                    let message = "this heartbeat is earlier than the one above it";
                    let error = Diagnostic::error("out-of-order", fields.start(), message)
                        .help("`after` counts from the beginning of the attempt");
                    self.parser.report(error);
                }
                heartbeats.push((after, self.list(&fields, key!("details"), &environment)));
            }
        }
        let choice = self.parser.choice(&fields, key!("on_cancel"));
        Some(Outcome {
            when,
            result: self.computed(&fields, key!("result"), &environment),
            fail: self.mocked_failure(&fields),
            never: self.flag(&fields, key!("never")),
            real: self.flag(&fields, key!("real")).then_some(node.range),
            after: self
                .length(&fields, key!("after"))
                .map_or(Duration::ZERO, |l| l.value),
            picked_up_after: self
                .length(&fields, key!("picked_up_after"))
                .map(|l| l.value),
            no_worker: self.flag(&fields, key!("no_worker")),
            heartbeats,
            on_cancel: match choice.map(|choice| choice.value) {
                Some("ignores") => Cancelled::Ignores,
                Some("completes") => Cancelled::Completes,
                _ => Cancelled::Cancels,
            },
        })
    }

    fn mocked_failure(&mut self, fields: &Fields<'_>) -> Option<MockedFailure> {
        let (_, node) = fields.get(key!("fail"))?;
        let fields = self.parser.fields(node, &MOCKED_FAILURE)?;
        let environment = self.mock.clone();
        Some(MockedFailure {
            error_type: self.parser.text(&fields, key!("type"))?.value,
            message: self.computed(&fields, key!("message"), &environment),
            details: self.list(&fields, key!("details"), &environment),
            non_retryable: self.flag(&fields, key!("non_retryable")),
        })
    }

    fn time(&mut self, text: Name) -> Option<Timestamp> {
        let time = Timestamp::parse(&text.value);
        if time.is_none() {
            let message = format!("`{}` is not a timestamp", text.value);
            let error = Diagnostic::error("bad-time", text.range, message)
                .help("write it as, for example, 2026-01-31T09:30:00Z");
            self.parser.report(error);
        }
        time
    }

    fn flag(&mut self, fields: &Fields<'_>, name: Key) -> bool {
        self.parser
            .flag(fields, name)
            .is_some_and(|flag| flag.value)
    }

    /// A duration that is known before the test.
    fn length(&mut self, fields: &Fields<'_>, name: Key) -> Option<Spanned<Duration>> {
        let (_, node) = fields.get(name)?;
        match self.parser.duration(fields, name)? {
            DurationValue::Constant(length) => Some(length),
            DurationValue::Expression(_) => {
                let message = format!("`{name}` cannot be an expression");
                let error = Diagnostic::error("unexpected-expression", node.range, message)
                    .help("write a constant, like 10s");
                self.parser.report(error);
                None
            }
        }
    }

    fn list(&mut self, fields: &Fields<'_>, name: Key, environment: &Environment) -> Vec<Computed> {
        let Some((field, node)) = fields.get(name) else {
            return Vec::new();
        };
        let nodes = self.items(field, node).iter();
        nodes
            .map(|node| self.computed_of(node, environment))
            .collect()
    }

    fn computed(
        &mut self,
        fields: &Fields<'_>,
        name: Key,
        environment: &Environment,
    ) -> Option<Computed> {
        let (field, node) = fields.get(name)?;
        let template = self.parser.template_of(field, node);
        Some(self.template(&template, environment))
    }

    fn computed_of(&mut self, node: &Node, environment: &Environment) -> Computed {
        let template = self.parser.any_template(node);
        self.template(&template, environment)
    }

    fn template(&mut self, template: &Template, environment: &Environment) -> Computed {
        let (_, diagnostics) = check_template(template, environment);
        let is_wrong = diagnostics.iter().any(Diagnostic::is_error);
        diagnostics.into_iter().for_each(|d| self.parser.report(d));
        let code = match is_wrong {
            true => Code::constant_of(Value::Null),
            false => compile_template(template, environment),
        };
        Computed {
            code: Arc::new(code),
            range: template.range(),
        }
    }

    fn condition(
        &mut self,
        fields: &Fields<'_>,
        name: Key,
        environment: &Environment,
    ) -> Option<Computed> {
        let condition = self.parser.condition(fields, name)?;
        Some(self.checked(&condition, environment))
    }

    fn checked(&mut self, condition: &Expression, environment: &Environment) -> Computed {
        let diagnostics = check_condition(condition, environment);
        let is_wrong = diagnostics.iter().any(Diagnostic::is_error);
        diagnostics.into_iter().for_each(|d| self.parser.report(d));
        let code = match is_wrong {
            true => Code::constant_of(Value::Bool(false)),
            false => compile(condition, environment),
        };
        Computed {
            code: Arc::new(code),
            range: condition.range(),
        }
    }
}
