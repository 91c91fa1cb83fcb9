//! Reads the expectations of a test file.

use super::{Expectation, ExpectedFailure, Reader};
use crate::definition::parse::fields::Fields;
use crate::definition::table::{Key, key};
use crate::definition::tables::{EXPECTATION, EXPECTED_FAILURE};
use crate::diagnostic::Diagnostic;
use crate::expression::Environment;
use crate::value::Value;
use crate::yaml::Node;

impl Reader {
    pub(super) fn expected_failure(
        &mut self,
        fields: &Fields<'_>,
        name: Key,
    ) -> Option<ExpectedFailure> {
        let (field, node) = fields.get(name)?;
        if node.mapping().is_none() {
            let error = self.parser.text_of(field, node)?;
            return Some(ExpectedFailure {
                range: error.range,
                error: Some(error),
                message: None,
                details: None,
            });
        }
        let fields = self.parser.fields(node, &EXPECTED_FAILURE)?;
        let details = fields.get(key!("details")).is_some();
        Some(ExpectedFailure {
            range: fields.start(),
            error: self.parser.text(&fields, key!("error")),
            message: self.parser.text(&fields, key!("message")),
            details: details.then(|| self.list(&fields, key!("details"), &Environment::new())),
        })
    }

    pub(super) fn expectation(&mut self, node: &Node, expect: &mut Expectation) {
        let Some(fields) = self.parser.fields(node, &EXPECTATION) else {
            return;
        };
        self.ending(&fields, expect);
        let none = Environment::new();
        for (key, values) in [
            (key!("state"), &mut expect.state),
            (key!("queries"), &mut expect.queries),
        ] {
            for (name, node) in self.parser.named(&fields, key) {
                let computed = self.computed_of(node, &none);
                values.retain(|(other, _)| other.value != name.value);
                values.push((name, computed));
            }
        }
        if let Some((field, node)) = fields.get(key!("calls")) {
            let mut calls = Vec::new();
            for item in self.items(field, node) {
                if item.mapping().is_none() {
                    let message =
                        format!("expected a call as `TYPE: INPUT`, found {}", item.kind());
                    let error = Diagnostic::error("wrong-type", item.range, message)
                        .help("write `called: { TYPE: 1 }` to count calls with any input");
                    self.parser.report(error);
                    continue;
                }
                for (name, node) in self.parser.named_of(field, item) {
                    calls.push((name, self.computed_of(node, &none)));
                }
            }
            expect.calls = Some((node.range, calls));
        }
        for (name, node) in self.parser.named(&fields, key!("called")) {
            let number = node.scalar().map(|scalar| scalar.value.clone());
            match number {
                Some(Value::Int(number)) if number >= 0 => {
                    expect.called.retain(|(other, _)| other.value != name.value);
                    expect.called.push((name, number as u64));
                }
                _ => {
                    let message = format!("`{}` must be a number of calls: 0, 1, 2, …", name.value);
                    let error = Diagnostic::error("wrong-type", node.range, message);
                    self.parser.report(error);
                }
            }
        }
        if let Some((field, node)) = fields.get(key!("that")) {
            let environment = self.end.clone();
            for node in self.items(field, node) {
                let condition = self.parser.condition_of(field, node);
                expect.that.push(self.checked(&condition, &environment));
            }
        }
        if let Some(elapsed) = self.length(&fields, key!("elapsed")) {
            expect.elapsed = Some(elapsed);
        }
        if let Some((field, node)) = fields.get(key!("history")) {
            let items = self.items(field, node).iter();
            expect.history = items
                .filter_map(|node| self.parser.text_of(field, node))
                .collect();
        }
        if let Some((field, node)) = fields.get(key!("starts")) {
            let items = self.items(field, node).iter();
            let texts: Vec<_> = items
                .filter_map(|node| self.parser.text_of(field, node))
                .collect();
            let times = texts.into_iter().filter_map(|text| self.time(text));
            expect.starts = Some((node.range, times.collect()));
        }
        expect.snapshot |= self.flag(&fields, key!("snapshot"));
    }

    /// The expected end of the workflow.
    fn ending(&mut self, fields: &Fields<'_>, expect: &mut Expectation) {
        self.parser
            .exclusive(fields, [key!("result"), key!("failure")]);
        if let Some(result) = self.computed(fields, key!("result"), &Environment::new()) {
            expect.result = Some(result);
            expect.failure = None;
        }
        if let Some(failure) = self.expected_failure(fields, key!("failure")) {
            expect.failure = Some(failure);
            expect.result = None;
        }
        if let Some(status) = self.parser.choice(fields, key!("status")) {
            let has_failure = !["completed", "running"].contains(&status.value);
            let has_result = status.value == "completed";
            for (key, is_there) in [(key!("failure"), has_failure), (key!("result"), has_result)] {
                if !is_there && fields.get(key).is_some() {
                    let message = format!("a workflow that is `{}` has no {key}", status.value);
                    let error = Diagnostic::error("exclusive-keys", status.range, message)
                        .help(format!("leave `status` or `{key}` out"));
                    self.parser.report(error);
                }
            }
            // What the file sets for all cases does not apply to this one.
            if !has_failure {
                expect.failure = None;
            }
            if !has_result {
                expect.result = None;
            }
            expect.status = Some(status);
        } else if fields.get(key!("failure")).is_some() || fields.get(key!("result")).is_some() {
            expect.status = None;
        }
    }
}
