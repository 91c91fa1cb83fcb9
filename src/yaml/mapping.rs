//! Entries of a mapping: unique keys and merge keys.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::sync::Arc;

use super::{Data, Entry, Node, Style};
use crate::diagnostic::Diagnostic;

/// Turns the keys and values of a mapping, as written in the file, into a mapping with unique keys.
pub(super) fn mapping(pairs: Vec<(Node, Node)>, diagnostics: &mut Vec<Diagnostic>) -> Data {
    let mut entries = Vec::<Entry>::with_capacity(pairs.len());
    // Ordered: keys could be chosen to have one hash.
    let mut places = BTreeMap::<Arc<str>, usize>::new();
    let mut merges = Vec::new();
    for (key, value) in pairs {
        let Data::Scalar(scalar) = &key.data else {
            let error = Diagnostic::error(
                "complex-key",
                key.range,
                format!("expected a key in plain text, found {}", key.kind()),
            );
            let error = if key.range.start == key.range.end {
                error
            } else {
                error.help("quote a text that begins with `[` or `{`")
            };
            diagnostics.push(error);
            continue;
        };
        if scalar.text.as_ref() == "<<" && scalar.style == Style::Plain {
            merges.push(value);
            continue;
        }
        match places.get(&scalar.text) {
            Some(first) => diagnostics.push(duplicate(&key, &entries[*first].key)),
            None => {
                places.insert(scalar.text.clone(), entries.len());
                entries.push(Entry { key, value });
            }
        }
    }
    for value in merges {
        merge(value, &mut entries, &mut places, diagnostics);
    }
    Data::Mapping(entries)
}

fn duplicate(key: &Node, first: &Node) -> Diagnostic {
    let name = key.scalar().map_or("", |scalar| &scalar.text);
    Diagnostic::error(
        "duplicate-key",
        key.range,
        format!("duplicate key `{name}`"),
    )
    .label("again here")
    .annotate(first.range, "first here")
    .help("remove or rename one of the two")
}

/// `<<: *defaults`, or a list of aliases: entries that the mapping itself does not have.
fn merge(
    value: Node,
    entries: &mut Vec<Entry>,
    places: &mut BTreeMap<Arc<str>, usize>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let range = value.range;
    let mappings = match value.data {
        Data::Mapping(merged) => vec![merged],
        Data::Sequence(items) if items.iter().all(|item| item.mapping().is_some()) => items
            .into_iter()
            .filter_map(|item| match item.data {
                Data::Mapping(merged) => Some(merged),
                _ => None,
            })
            .collect(),
        _ => {
            diagnostics.push(
                Diagnostic::error(
                    "bad-merge",
                    range,
                    "`<<` must be a mapping or a list of mappings",
                )
                .help("write `<<: *anchor`, or quote the key: \"<<\""),
            );
            return;
        }
    };
    for entry in mappings.into_iter().flatten() {
        if let btree_map::Entry::Vacant(place) = places.entry(entry.name()) {
            place.insert(entries.len());
            entries.push(entry);
        }
    }
}
