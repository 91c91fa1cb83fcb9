//! Each action's own keys.

use super::Parser;
use super::fields::Fields;
use crate::definition::table::{self, Field, Key, Shape, Table, key};
use crate::definition::{
    Action, Awaited, Branch, Case, CaseMatch, Catch, FailStep, ForEach, Kind, Name, Timer, Try,
    Wait, tables,
};
use crate::diagnostic::Diagnostic;
use crate::source::Spanned;
use crate::value::Duration;
use crate::words::{BuiltIn, LogLevel, OnFailure};
use crate::yaml::{Data, Entry, Node};

impl Parser {
    pub(super) fn action(
        &mut self,
        action: &'static table::Action,
        fields: &Fields<'_>,
        entry: &Entry,
    ) -> Action {
        let (key, value) = (&action.key, &entry.value);
        match action.kind {
            Kind::Activity => Action::Activity(Box::new(self.activity(fields))),
            Kind::Http => Action::BuiltIn(Box::new(self.built_in(BuiltIn::Http, fields))),
            Kind::Exec => Action::BuiltIn(Box::new(self.built_in(BuiltIn::Exec, fields))),
            Kind::Grpc => Action::BuiltIn(Box::new(self.built_in(BuiltIn::Grpc, fields))),
            Kind::Callback => Action::BuiltIn(Box::new(self.built_in(BuiltIn::Callback, fields))),
            Kind::Timer => Action::Timer(self.timer(key, value)),
            Kind::Wait => Action::Wait(self.wait(fields, entry)),
            Kind::Set => {
                let named = self.named_of(key, value);
                Action::Set(self.templates(named))
            }
            Kind::If => Action::If {
                condition: self.condition_of(key, value),
                then: self.required_steps(fields, key!("then")),
                otherwise: self.required_steps(fields, key!("else")),
            },
            Kind::Switch => self.switch(fields, value),
            Kind::ForEach => Action::ForEach(self.for_each(fields, value)),
            Kind::While => Action::While {
                condition: self.condition_of(key, value),
                steps: self.required_steps(fields, key!("do")),
            },
            Kind::Repeat => Action::Repeat {
                steps: self.steps_of(key, value),
                until: self.required_condition(fields, key!("until")),
            },
            Kind::Break => {
                self.nothing_under(key, value);
                Action::Break
            }
            Kind::Continue => {
                self.nothing_under(key, value);
                Action::Continue
            }
            Kind::Parallel => Action::Parallel {
                branches: self.branches(key, value),
                on_failure: self.on_failure(fields),
            },
            Kind::Race => Action::Race {
                branches: self.branches(key, value),
            },
            Kind::Try => Action::Try(self.try_catch(key, fields, value)),
            Kind::Saga => self.saga(key, fields, value),
            Kind::Do => Action::Do {
                steps: self.steps_of(key, value),
                timeout: self.duration(fields, key!("timeout")),
                shield: self
                    .flag(fields, key!("shield"))
                    .is_some_and(|flag| flag.value),
            },
            Kind::Call => Action::Call {
                block: self.name_or_empty(key, value),
                input: self.template(fields, key!("input")),
            },
            Kind::Child => Action::Child(Box::new(self.child(fields))),
            Kind::Start => self.start(key, value),
            Kind::Await => Action::Await(self.name_or_empty(key, value)),
            Kind::Cancel => Action::Cancel(self.name_or_empty(key, value)),
            Kind::Signal => Action::Signal(Box::new(self.signal(fields, value))),
            Kind::CancelWorkflow => self.cancel_workflow(key, value),
            Kind::Nexus => Action::Nexus(Box::new(self.nexus(key, value))),
            Kind::ContinueAsNew => {
                Action::ContinueAsNew(Box::new(self.continue_as_new(key, value)))
            }
            Kind::Upsert => self.upsert(key, value),
            Kind::Log => self.log(key, value),
            Kind::Details => Action::Details(self.template_of(key, value)),
            Kind::Return => Action::Return((!value.is_null()).then(|| self.any_template(value))),
            Kind::Fail => Action::Fail(self.fail(key, value)),
        }
    }

    fn nothing_under(&mut self, key: &'static Field, value: &Node) {
        if !value.is_null() {
            self.wrong_type(key, value);
        }
    }

    /// The mapping under a key whose shape has one.
    pub(super) fn table<'n>(
        &mut self,
        fields: &Fields<'n>,
        name: Key,
        table: &'static Table,
    ) -> Option<Fields<'n>> {
        let (_, node) = fields.get(name)?;
        self.fields(node, table)
    }

    pub(super) fn table_of<'n>(
        &mut self,
        key: &'static Field,
        value: &'n Node,
    ) -> Option<Fields<'n>> {
        self.fields(value, key.shape.table()?)
    }

    pub(super) fn templates(
        &mut self,
        named: Vec<(Name, &Node)>,
    ) -> Vec<(Name, crate::expression::Template)> {
        named
            .into_iter()
            .map(|(name, node)| {
                self.check_identifier(&name, "state");
                (name, self.any_template(node))
            })
            .collect()
    }

    pub(super) fn name_or_empty(&mut self, key: &Field, value: &Node) -> Name {
        self.text_of(key, value)
            .unwrap_or_else(|| Spanned::new("".into(), value.range))
    }

    fn timer(&mut self, key: &'static Field, value: &Node) -> Timer {
        if let Data::Mapping(_) = value.data {
            return match self.table_of(key, value) {
                Some(fields) => Timer::Until(self.required_template(&fields, key!("until"))),
                None => Timer::Until(self.absent(value.range)),
            };
        }
        match self.duration_of(key, value) {
            Some(duration) => Timer::For(duration),
            None => Timer::For(crate::definition::DurationValue::Constant(Spanned::new(
                Duration::from_seconds(0),
                value.range,
            ))),
        }
    }

    fn wait(&mut self, fields: &Fields<'_>, entry: &Entry) -> Wait {
        let on_timeout = self.steps(fields, key!("on_timeout"));
        let beside = self.duration(fields, key!("timeout"));
        let Some((_, wait)) = fields
            .get(key!("wait"))
            .and_then(|(key, value)| Some((key, self.table_of(key, value)?)))
        else {
            return Wait {
                awaited: Awaited::Until(self.always(entry.value.range)),
                timeout: beside,
                on_timeout,
            };
        };
        self.exclusive(&wait, [key!("signal"), key!("until")]);
        let awaited = match (
            self.text(&wait, key!("signal")),
            self.condition(&wait, key!("until")),
        ) {
            (Some(signal), _) => Awaited::Signal(signal),
            (None, Some(condition)) => Awaited::Until(condition),
            (None, None) => {
                let range = entry.key.range;
                if wait.get(key!("signal")).is_none() {
                    let error = Diagnostic::error("missing-key", range, "`wait` waits for nothing")
                        .help("write `wait: { signal: NAME }` or `wait: { until: CONDITION }`");
                    self.report(error);
                }
                Awaited::Until(self.always(range))
            }
        };
        if let [Some((_, inside)), Some((_, outside))] =
            [wait.entry(key!("timeout")), fields.entry(key!("timeout"))]
        {
            let error = Diagnostic::error("exclusive-keys", outside.key.range, "two timeouts")
                .annotate(inside.key.range, "the other one")
                .help("remove one of the two");
            self.report(error);
        }
        let timeout = self.duration(&wait, key!("timeout")).or(beside);
        if let (None, Some((_, entry))) = (&timeout, fields.entry(key!("on_timeout")))
            && wait.get(key!("timeout")).is_none()
        {
            let message = "`on_timeout` without a `timeout` is never reached";
            let error = Diagnostic::error("missing-key", entry.key.range, message)
                .help("add `timeout` to `wait`");
            self.report(error);
        }
        Wait {
            awaited,
            timeout,
            on_timeout,
        }
    }

    fn switch(&mut self, fields: &Fields<'_>, value: &Node) -> Action {
        let subject = if value.is_null() {
            None
        } else {
            self.condition(fields, key!("switch"))
        };
        let cases = match fields.get(key!("cases")) {
            Some((field, node)) => match (node.sequence(), &field.shape) {
                (Some(items), Shape::List(Shape::Mapping(table))) => items
                    .iter()
                    .filter_map(|item| self.case(item, table, subject.is_some()))
                    .collect(),
                _ => {
                    self.wrong_type(field, node);
                    Vec::new()
                }
            },
            None => Vec::new(),
        };
        Action::Switch {
            subject,
            cases,
            default: self.required_steps(fields, key!("default")),
        }
    }

    fn case(&mut self, item: &Node, table: &'static Table, subject: bool) -> Option<Case> {
        let fields = self.fields(item, table)?;
        let present: Vec<_> = [key!("is"), key!("in"), key!("when")]
            .into_iter()
            .filter_map(|name| fields.entry(name))
            .collect();
        if present.len() != 1 {
            let range = present
                .get(1)
                .map_or(fields.start(), |(_, entry)| entry.key.range);
            let message = "a case must have exactly one of `is`, `in` and `when`";
            self.report(Diagnostic::error("bad-case", range, message));
        }
        let matches = if fields.get(key!("is")).is_some() {
            CaseMatch::Is(self.required_template(&fields, key!("is")))
        } else if fields.get(key!("in")).is_some() {
            CaseMatch::In(self.required_template(&fields, key!("in")))
        } else {
            CaseMatch::When(
                self.condition(&fields, key!("when"))
                    .unwrap_or_else(|| self.always(item.range)),
            )
        };
        if let (false, CaseMatch::Is(_) | CaseMatch::In(_)) = (subject, &matches) {
            let message = "`is` and `in` compare with the value of `switch`, which is empty";
            let error = Diagnostic::error("bad-case", fields.start(), message)
                .help("write `switch: EXPRESSION`, or `when: CONDITION` in the case");
            self.report(error);
        }
        let steps = self.required_steps(&fields, key!("do"));
        Some(Case { matches, steps })
    }

    fn for_each(&mut self, fields: &Fields<'_>, value: &Node) -> ForEach {
        if value.is_null() {
            let message = "`for_each` has nothing to iterate over";
            let error = Diagnostic::error("wrong-type", value.range, message)
                .help("write a list, a map, or an expression: `for_each: ${ input.items }`");
            self.report(error);
        } else if let Some(scalar) = value.scalar()
            && !scalar.text.contains("${")
        {
            let message = format!("`for_each` needs a list or a map; found {}", value.kind());
            let error = Diagnostic::error("wrong-type", value.range, message)
                .label("expected a list or a map")
                .help(format!(
                    "if this is an expression, write `${{ {} }}`",
                    scalar.text
                ));
            self.report(error);
        }
        ForEach {
            items: self.any_template(value),
            item: self.identifier(fields, key!("as")),
            index: self.identifier(fields, key!("index")),
            concurrency: self.template(fields, key!("concurrency")),
            steps: self.required_steps(fields, key!("do")),
        }
    }

    fn branches(&mut self, key: &'static Field, value: &Node) -> Vec<Branch> {
        let named = self.named_of(key, value);
        if named.is_empty() && value.mapping().is_some() {
            let message = format!("`{}` has no branches", key.name);
            self.report(Diagnostic::error("no-branches", value.range, message));
        }
        let branches = named.into_iter().map(|(name, node)| Branch {
            name,
            steps: self.steps_of(&BRANCH, node),
        });
        branches.collect()
    }

    fn on_failure(&mut self, fields: &Fields<'_>) -> OnFailure {
        let chosen = self.word(fields, key!("on_failure"));
        chosen.map(|word| word.value).unwrap_or_default()
    }

    fn saga(&mut self, key: &'static Field, fields: &Fields<'_>, value: &Node) -> Action {
        let chosen = self.word(fields, key!("on_compensation_failure"));
        let on_compensation_failure = chosen.map(|word| word.value).unwrap_or_default();
        Action::Saga {
            steps: self.steps_of(key, value),
            on_compensation_failure,
        }
    }

    fn try_catch(&mut self, key: &'static Field, fields: &Fields<'_>, value: &Node) -> Try {
        let catches = match fields.get(key!("catch")) {
            Some((field, node)) => match node.sequence() {
                Some(items) => items.iter().filter_map(|item| self.catch(item)).collect(),
                None => {
                    self.wrong_type(field, node);
                    Vec::new()
                }
            },
            None => Vec::new(),
        };
        let handles = [key!("catch"), key!("finally"), key!("retry_policy")];
        if handles.iter().all(|name| fields.get(*name).is_none()) {
            let message = "`try` without `catch`, `finally` or `retry_policy` does nothing";
            let error = Diagnostic::error("missing-key", fields.start(), message)
                .help("add one of them, or write `do` for a plain block");
            self.report(error);
        }
        Try {
            steps: self.steps_of(key, value),
            retry_policy: self.retry_policy(fields),
            catches,
            finally: self.required_steps(fields, key!("finally")),
        }
    }

    fn catch(&mut self, item: &Node) -> Option<Catch> {
        let fields = self.fields(item, &tables::CATCH)?;
        Some(Catch {
            range: item.range,
            errors: self.texts(&fields, key!("error")),
            when: self.condition(&fields, key!("when")),
            name: self.identifier(&fields, key!("as")),
            steps: self.required_steps(&fields, key!("do")),
        })
    }

    fn upsert(&mut self, key: &'static Field, value: &Node) -> Action {
        let fields = match self.table_of(key, value) {
            Some(fields) => fields,
            None => Fields::none(value.range),
        };
        Action::Upsert {
            search_attributes: self.template(&fields, key!("search_attributes")),
            memo: self.template(&fields, key!("memo")),
        }
    }

    fn log(&mut self, key: &'static Field, value: &Node) -> Action {
        let mapping = value.mapping().and_then(|_| self.table_of(key, value));
        let Some(fields) = mapping else {
            if value.is_null() || value.sequence().is_some() {
                self.wrong_type(key, value);
            }
            return Action::Log {
                level: LogLevel::Info,
                message: self.any_template(value),
                fields: None,
            };
        };
        Action::Log {
            level: self
                .word(&fields, key!("level"))
                .map_or(LogLevel::Info, |level| level.value),
            message: self.required_template(&fields, key!("message")),
            fields: self.template(&fields, key!("fields")),
        }
    }

    fn fail(&mut self, key: &'static Field, value: &Node) -> FailStep {
        if value.is_null() {
            return FailStep::Again;
        }
        let fields = match self.table_of(key, value) {
            Some(fields) => fields,
            None => Fields::none(value.range),
        };
        FailStep::With {
            error_type: self.template(&fields, key!("type")),
            message: self.template(&fields, key!("message")),
            details: self.template(&fields, key!("details")),
            non_retryable: self
                .flag(&fields, key!("non_retryable"))
                .is_some_and(|flag| flag.value),
        }
    }
}

/// The value under a branch's name.
static BRANCH: Field = Field {
    name: "a branch",
    meaning: "",
    shape: Shape::Steps,
    required: true,
    default: "",
};
