//! Reads the actions of a test.

use super::{Action, Deed, Reader, When};
use crate::definition::parse::fields::Fields;
use crate::definition::table::{Key, key};
use crate::definition::tables::TEST_ACTION;
use crate::diagnostic::Diagnostic;
use crate::expression::Environment;
use crate::yaml::Node;

/// The actions, and the keys that each of them has.
const DEEDS: [(Key, &[Key]); 7] = [
    (key!("signal"), &[key!("input"), key!("workflow_id")]),
    (
        key!("update"),
        &[
            key!("input"),
            key!("workflow_id"),
            key!("expect"),
            key!("expect_failure"),
        ],
    ),
    (
        key!("query"),
        &[
            key!("input"),
            key!("workflow_id"),
            key!("expect"),
            key!("expect_failure"),
        ],
    ),
    (key!("cancel"), &[key!("workflow_id")]),
    (key!("terminate"), &[key!("workflow_id")]),
    (
        key!("complete_activity"),
        &[key!("result"), key!("fail"), key!("workflow_id")],
    ),
    (key!("worker_dies"), &[]),
];

impl Reader {
    pub(super) fn action(&mut self, node: &Node) -> Option<Action> {
        let fields = self.parser.fields(node, &TEST_ACTION)?;
        self.parser.exclusive(&fields, [key!("at"), key!("after")]);
        self.parser
            .exclusive(&fields, [key!("expect"), key!("expect_failure")]);
        let none = Environment::new();
        let when = match (
            self.length(&fields, key!("at")),
            self.parser.text(&fields, key!("after")),
        ) {
            (Some(at), _) => When::At(at.value),
            (None, Some(step)) => When::After(step),
            (None, None) => When::Next,
        };
        Some(Action {
            range: fields.start(),
            when,
            deed: self.deed(&fields)?,
            input: self.computed(&fields, key!("input"), &none),
            workflow_id: self.parser.text(&fields, key!("workflow_id")),
            result: self.computed(&fields, key!("result"), &none),
            fail: self.mocked_failure(&fields),
            expect: self.computed(&fields, key!("expect"), &none),
            expect_failure: self.expected_failure(&fields, key!("expect_failure")),
        })
    }

    fn deed(&mut self, fields: &Fields<'_>) -> Option<Deed> {
        let given = DEEDS.iter().filter(|(name, _)| fields.get(*name).is_some());
        let given: Vec<_> = given.collect();
        let [(name, keys)] = given.as_slice() else {
            let message = match given.len() {
                0 => "the action does nothing".to_owned(),
                _ => "the action does several things".to_owned(),
            };
            let all: Vec<&str> = DEEDS.iter().map(|(name, _)| name.name()).collect();
            let error = Diagnostic::error("not-one-action", fields.start(), message)
                .help(format!("write one of {}", all.join(", ")));
            self.parser.report(error);
            return None;
        };
        self.only(fields, *name, keys);
        if name.name() == "worker_dies" {
            let choice = self.parser.choice(fields, *name)?;
            return Some(Deed::WorkerDies(choice.value == "restored"));
        }
        let text = self.parser.text(fields, *name)?;
        Some(match name.name() {
            "signal" => Deed::Signal(text),
            "update" => Deed::Update(text),
            "query" => Deed::Query(text),
            "cancel" => Deed::Cancel(text),
            "terminate" => Deed::Terminate(text),
            _ => Deed::CompleteActivity(text),
        })
    }

    /// A key of another action would have no meaning.
    fn only(&mut self, fields: &Fields<'_>, deed: Key, keys: &[Key]) {
        let all = DEEDS.iter().flat_map(|(_, keys)| keys.iter());
        let mut others: Vec<Key> = all.filter(|key| !keys.contains(key)).copied().collect();
        others.sort_unstable_by_key(|key| key.name());
        others.dedup();
        for other in others {
            let Some((_, node)) = fields.get(other) else {
                continue;
            };
            let takers = DEEDS.iter().filter(|(_, keys)| keys.contains(&other));
            let takers: Vec<_> = takers.map(|(name, _)| format!("`{name}`")).collect();
            let message = format!("`{other}` has no meaning beside `{deed}`");
            let error = Diagnostic::error("not-of-the-action", node.range, message)
                .help(format!("it belongs to {}", takers.join(", ")));
            self.parser.report(error);
        }
    }
}
