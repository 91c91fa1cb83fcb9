//! What a test does, as it is read.

use super::{Action, Deed, Reader, When};
use crate::definition::parse::fields::Fields;
use crate::definition::tables::TEST_ACTION;
use crate::diagnostic::Diagnostic;
use crate::expression::Environment;
use crate::yaml::Node;

/// What can be done, and the keys that say more of it.
const DEEDS: [(&str, &[&str]); 7] = [
    ("signal", &["input", "workflow_id"]),
    (
        "update",
        &["input", "workflow_id", "expect", "expect_failure"],
    ),
    (
        "query",
        &["input", "workflow_id", "expect", "expect_failure"],
    ),
    ("cancel", &["workflow_id"]),
    ("terminate", &["workflow_id"]),
    ("complete_activity", &["result", "fail", "workflow_id"]),
    ("worker_dies", &[]),
];

impl Reader {
    pub(super) fn action(&mut self, node: &Node) -> Option<Action> {
        let fields = self.parser.fields(node, &TEST_ACTION)?;
        self.parser.exclusive(&fields, ["at", "after"]);
        self.parser.exclusive(&fields, ["expect", "expect_failure"]);
        let none = Environment::new();
        let when = match (
            self.length(&fields, "at"),
            self.parser.text(&fields, "after"),
        ) {
            (Some(at), _) => When::At(at.value),
            (None, Some(step)) => When::After(step),
            (None, None) => When::Next,
        };
        Some(Action {
            range: fields.start(),
            when,
            deed: self.deed(&fields)?,
            input: self.computed(&fields, "input", &none),
            workflow_id: self.parser.text(&fields, "workflow_id"),
            result: self.computed(&fields, "result", &none),
            fail: self.mocked_failure(&fields),
            expect: self.computed(&fields, "expect", &none),
            expect_failure: self.expected_failure(&fields, "expect_failure"),
        })
    }

    fn deed(&mut self, fields: &Fields<'_>) -> Option<Deed> {
        let given = DEEDS.iter().filter(|(name, _)| fields.get(name).is_some());
        let given: Vec<_> = given.collect();
        let [(name, keys)] = given.as_slice() else {
            let message = match given.len() {
                0 => "the action says nothing that is done".to_owned(),
                _ => "the action says several things that are done".to_owned(),
            };
            let all: Vec<&str> = DEEDS.iter().map(|(name, _)| *name).collect();
            let error = Diagnostic::error("not-one-action", fields.start(), message)
                .help(format!("it has one of {}", all.join(", ")));
            self.parser.report(error);
            return None;
        };
        self.only(fields, name, keys);
        if *name == "worker_dies" {
            let choice = self.parser.choice(fields, name)?;
            return Some(Deed::WorkerDies(choice.value == "restored"));
        }
        let text = self.parser.text(fields, name)?;
        Some(match *name {
            "signal" => Deed::Signal(text),
            "update" => Deed::Update(text),
            "query" => Deed::Query(text),
            "cancel" => Deed::Cancel(text),
            "terminate" => Deed::Terminate(text),
            _ => Deed::CompleteActivity(text),
        })
    }

    /// A key that is of something else would say nothing.
    fn only(&mut self, fields: &Fields<'_>, deed: &str, keys: &[&str]) {
        let all = DEEDS.iter().flat_map(|(_, keys)| keys.iter());
        let mut others: Vec<&str> = all.filter(|key| !keys.contains(key)).copied().collect();
        others.sort_unstable();
        others.dedup();
        for other in others {
            let Some((_, node)) = fields.get(other) else {
                continue;
            };
            let takers = DEEDS.iter().filter(|(_, keys)| keys.contains(&other));
            let takers: Vec<_> = takers.map(|(name, _)| format!("`{name}`")).collect();
            let message = format!("`{other}` says nothing beside `{deed}`");
            let error = Diagnostic::error("not-of-the-action", node.range, message)
                .help(format!("it is of {}", takers.join(", ")));
            self.parser.report(error);
        }
    }
}
