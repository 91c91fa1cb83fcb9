//! The keys of a mapping against its table: unknown and missing ones.

use super::Parser;
use crate::definition::table::{Action, Field, Key, Table};
use crate::definition::tables;
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::source::Range;
use crate::yaml::{Entry, Node};

/// The known keys that a mapping has.
pub(crate) struct Fields<'n> {
    pub(crate) range: Range,
    found: Vec<(&'static Field, &'n Entry)>,
    /// Keys that misspelt ones probably meant.
    meant: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// A mapping without keys.
    pub(crate) fn none(range: Range) -> Self {
        Fields {
            range,
            found: Vec::new(),
            meant: Vec::new(),
        }
    }

    pub(crate) fn get(&self, name: Key) -> Option<(&'static Field, &'n Node)> {
        self.entry(name).map(|(field, entry)| (field, &entry.value))
    }

    /// Whether a misspelt key was meant to be this one.
    pub(crate) fn meant(&self, name: Key) -> bool {
        self.meant.contains(&name.name())
    }

    pub(crate) fn entry(&self, name: Key) -> Option<(&'static Field, &'n Entry)> {
        self.look_up(&name)
    }

    /// An entry by a name that is data; [`Fields::entry`], for constant names, accepts only those that some table has.
    pub(crate) fn look_up(&self, name: &str) -> Option<(&'static Field, &'n Entry)> {
        self.found
            .iter()
            .find(|(field, _)| field.name == name)
            .copied()
    }

    /// Where to point for something that is missing: the mapping's first key.
    pub(crate) fn start(&self) -> Range {
        self.found
            .first()
            .map_or(self.range, |(_, entry)| entry.key.range)
    }
}

impl Parser {
    /// `None` if the node is not a mapping, which is reported.
    pub(crate) fn fields<'n>(
        &mut self,
        node: &'n Node,
        table: &'static Table,
    ) -> Option<Fields<'n>> {
        let Some(entries) = node.mapping() else {
            let message = format!("{} must be a mapping; found {}", table.name, node.kind());
            let error = Diagnostic::error("wrong-type", node.range, message)
                .help(keys_help(table.fields()));
            self.report(error);
            return None;
        };
        let mut fields = Fields::none(node.range);
        for entry in entries {
            let name = entry.name();
            match table.fields().find(|field| field.name == &*name) {
                Some(field) => fields.found.push((field, entry)),
                None => {
                    let meant = self.unknown_key(entry, entries, table.name, table.fields(), None);
                    fields.meant.extend(meant);
                }
            }
        }
        self.missing(&fields, table.name, table.fields(), first_key(node));
        Some(fields)
    }

    /// The keys of a step; the keys of other `actions` in it have already been reported.
    pub(crate) fn step_fields<'n>(
        &mut self,
        node: &'n Node,
        action: &'static Action,
        actions: &[&'static Action],
        common: &'static [Field],
    ) -> Fields<'n> {
        let known = || {
            std::iter::once(&action.key)
                .chain(action.fields())
                .chain(common)
        };
        let of = format!("`{}`", action.key.name);
        let mut fields = Fields::none(node.range);
        let entries = node.mapping().unwrap_or_default();
        for entry in entries {
            let name = entry.name();
            if let Some(field) = known().find(|field| field.name == &*name) {
                fields.found.push((field, entry));
            } else if !actions.iter().any(|other| other.key.name == &*name) {
                let meant = self.unknown_key(entry, entries, &of, known(), Some(&action.key));
                fields.meant.extend(meant);
            }
        }
        let at = fields
            .entry(action.key.key())
            .map_or(node.range, |(_, entry)| entry.key.range);
        self.missing(&fields, &of, known(), at);
        fields
    }

    /// The key that was probably meant, if there is one.
    fn unknown_key(
        &mut self,
        entry: &Entry,
        entries: &[Entry],
        of: &str,
        known: impl Iterator<Item = &'static Field> + Clone,
        action: Option<&Field>,
    ) -> Option<&'static str> {
        if self.is_full() {
            return None;
        }
        let name = entry.name();
        let names = || known.clone().map(|field| field.name);
        let elsewhere = elsewhere(&name, action);
        let near = match &*name {
            "steps" if names().any(|name| name == "do") => Some("do"),
            _ if elsewhere.is_some() => None,
            name => did_you_mean(name, names()),
        };
        let message = format!("{of} has no key `{name}`");
        let mut error = Diagnostic::error("unknown-key", entry.key.range, message);
        if let Some(near) = near {
            error = error.label(format!("did you mean `{near}`?"));
            // A second key of that name would be the next mistake.
            if !entries.iter().any(|other| *other.name() == *near) {
                let edit = (entry.key.range, near.to_string());
                error = error.fix(format!("write `{near}`"), vec![edit], false);
            }
        } else {
            error = error.label(elsewhere.unwrap_or_else(|| "unknown key".to_string()));
        }
        self.report(error.help(keys_help(known.clone())));
        near
    }

    fn missing(
        &mut self,
        fields: &Fields<'_>,
        of: &str,
        known: impl Iterator<Item = &'static Field>,
        at: Range,
    ) {
        for field in known.filter(|field| field.required) {
            if fields.get(field.key()).is_none() && !fields.meant.contains(&field.name) {
                let message = format!("{of} lacks the key `{}`", field.name);
                let error = Diagnostic::error("missing-key", at, message)
                    .label(format!("`{}` is required", field.name))
                    .help(format!("{}: {}", field.name, plain(field.meaning)));
                self.report(error);
            }
        }
    }

    /// At most one of several keys.
    pub(crate) fn exclusive(&mut self, fields: &Fields<'_>, names: [Key; 2]) {
        if let [Some((_, first)), Some((_, second))] = names.map(|name| fields.entry(name)) {
            let message = format!("`{}` and `{}` exclude each other", names[0], names[1]);
            let error = Diagnostic::error("exclusive-keys", second.key.range, message)
                .annotate(first.key.range, "the other one")
                .help("remove one of the two");
            self.report(error);
        }
    }
}

pub(crate) fn first_key(node: &Node) -> Range {
    let first = node.mapping().and_then(|entries| entries.first());
    first.map_or(node.range, |entry| entry.key.range)
}

fn keys_help(known: impl Iterator<Item = &'static Field>) -> String {
    let names: Vec<_> = known.map(|field| field.name).collect();
    format!("its keys are {}", names.join(", "))
}

/// Where a misplaced key would be right.
fn elsewhere(name: &str, action: Option<&Field>) -> Option<String> {
    let within = action.and_then(|action| {
        let mut fields = action.shape.table()?.fields();
        let is_there = fields.any(|field| field.name == name);
        is_there.then(|| format!("it belongs in the mapping under `{}`", action.name))
    });
    within.or_else(|| actions_with(name).map(|of| format!("a key of {of}")))
}

/// The actions that have an option of this name.
pub(crate) fn actions_with(name: &str) -> Option<String> {
    let of: Vec<_> = tables::ACTIONS
        .iter()
        .filter(|action| action.fields().any(|field| field.name == name))
        .map(|action| format!("`{}`", action.key.name))
        .collect();
    (!of.is_empty()).then(|| of.join(", "))
}

/// A meaning without its Markdown, for a terminal.
fn plain(meaning: &str) -> String {
    meaning.trim_end_matches('.').to_string()
}
