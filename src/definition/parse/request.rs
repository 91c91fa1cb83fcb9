//! Requests of the generic worker's own activities: data with known keys.

use super::Parser;
use super::fields::Fields;
use crate::definition::table::{Key, Shape, Table, key};
use crate::definition::tables;
use crate::diagnostic::Diagnostic;
use crate::yaml::Node;

impl Parser {
    /// Reports the keys that such a request does not have; their values are data.
    pub(super) fn check_request(&mut self, fields: &Fields<'_>, name: Key) {
        let Some((field, node)) = fields.get(name) else {
            return;
        };
        if let Shape::Request(table) = field.shape
            && node.mapping().is_some()
        {
            self.check_keys(table, node);
        }
    }

    fn check_keys(&mut self, table: &'static Table, node: &Node) {
        let Some(fields) = self.fields(node, table) else {
            return;
        };
        for field in table.fields() {
            if let Shape::Request(_) = field.shape {
                self.check_request(&fields, field.key());
            }
            if let Shape::OneOf(_) = field.shape {
                let text = fields
                    .get(field.key())
                    .and_then(|(_, value)| value.scalar());
                if text.is_some_and(|scalar| !scalar.text.contains("${")) {
                    self.choice(&fields, field.key());
                }
            }
        }
        if table.name == tables::HTTP.name {
            self.check_url(&fields);
        }
        if table.name == tables::CALLBACK.name {
            self.check_receiver(&fields);
        }
    }

    fn check_receiver(&mut self, fields: &Fields<'_>) {
        self.exclusive(fields, [key!("http"), key!("exec")]);
        let poll = fields
            .get(key!("http"))
            .and_then(|(_, node)| node.mapping());
        let poll = poll.and_then(|entries| {
            entries
                .iter()
                .find(|e| e.key.scalar().is_some_and(|key| &*key.text == "poll"))
        });
        if let Some(entry) = poll {
            let message = "a callback hands over its token once, so it cannot `poll`";
            let error = Diagnostic::error("exclusive-keys", entry.key.range, message)
                .help("remove `poll`, or use the step `http` instead of `callback`");
            self.report(error);
        }
        let is_there = |name: Key| fields.get(name).is_some() || fields.meant(name);
        if !is_there(key!("http")) && !is_there(key!("exec")) {
            let error = Diagnostic::error(
                "missing-key",
                fields.start(),
                "a callback lacks the key `http` or `exec`",
            )
            .help(
                "add `http`, a request that hands over the task token, or `exec`, a program that receives it",
            );
            self.report(error);
        }
    }

    fn check_url(&mut self, fields: &Fields<'_>) {
        self.exclusive(fields, [key!("body"), key!("form")]);
        if fields.get(key!("url")).is_none()
            && fields.get(key!("secrets")).is_none()
            && !fields.meant(key!("url"))
        {
            let error = Diagnostic::error(
                "missing-key",
                fields.start(),
                "a request lacks the key `url`",
            )
            .help("add `url`, an absolute http:// or https:// URL");
            self.report(error);
        }
    }
}
