//! The size of a schema in which each reference is replaced by its target. A validator is built from that, and a few
//! lines of references to references can mean billions of parts.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::schemas::{collect_references, type_named_by};
use crate::limits::SCHEMA_DEPTH_MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) nodes: usize,
    pub(crate) depth: usize,
}

impl Size {
    pub(crate) const ONE: Size = Size { nodes: 1, depth: 1 };
    const TOO_DEEP: Size = Size {
        nodes: 1,
        depth: usize::MAX,
    };

    fn around(parts: impl Iterator<Item = Size>) -> Size {
        let sum = |all: Size, part: Size| Size {
            nodes: all.nodes.saturating_add(part.nodes),
            depth: all.depth.max(part.depth.saturating_add(1)),
        };
        parts.fold(Size::ONE, sum)
    }
}

/// The size of each type. A type that leads back to itself is counted where it is entered.
pub(crate) fn of_types(
    types: &[(Arc<str>, Json)],
    by_name: &BTreeMap<Arc<str>, usize>,
) -> Vec<Size> {
    #[derive(Clone, Copy)]
    enum Found {
        Nothing,
        Open,
        Size(Size),
    }
    let mut found = vec![Found::Nothing; types.len()];
    for first in 0..types.len() {
        // Types may lead to one another thousands deep, so this does not call itself.
        let mut path = vec![first];
        while let Some(i) = path.last().copied() {
            let schema = &types[i].1;
            if let Found::Nothing = found[i] {
                found[i] = Found::Open;
                let mut references = Vec::new();
                collect_references(schema, &mut references);
                let wanted = references
                    .iter()
                    .filter_map(|r| by_name.get(type_named_by(r)?));
                let before = path.len();
                path.extend(wanted.filter(|i| matches!(found[**i], Found::Nothing)));
                if path.len() > before {
                    continue;
                }
            }
            path.pop();
            if let Found::Open = found[i] {
                let of = |name: &str| {
                    by_name.get(name).map(|i| match found[*i] {
                        Found::Size(size) => size,
                        Found::Open | Found::Nothing => Size::ONE,
                    })
                };
                found[i] = Found::Size(of_schema(schema, &of));
            }
        }
    }
    let sizes = found.into_iter().map(|found| match found {
        Found::Size(size) => size,
        Found::Open | Found::Nothing => Size::ONE,
    });
    sizes.collect()
}

/// The size of a schema; `of` returns the sizes of the types.
pub(crate) fn of_schema(schema: &Json, of: &dyn Fn(&str) -> Option<Size>) -> Size {
    let mut unfolding = Unfolding {
        document: schema,
        of,
        inner: BTreeMap::new(),
        depth: 0,
    };
    unfolding.size(schema)
}

struct Unfolding<'a> {
    /// The document that references like `#/$defs/NAME` point into.
    document: &'a Json,
    of: &'a dyn Fn(&str) -> Option<Size>,
    /// Their sizes; one that is not known yet refers to a schema around it.
    inner: BTreeMap<&'a str, Size>,
    depth: usize,
}

impl<'a> Unfolding<'a> {
    fn size(&mut self, schema: &'a Json) -> Size {
        if self.depth >= SCHEMA_DEPTH_MAX {
            return Size::TOO_DEEP;
        }
        self.depth += 1;
        let size = match schema {
            Json::Object(object) => {
                Size::around(
                    object
                        .iter()
                        .map(|(key, value)| match (key.as_str(), value) {
                            ("$ref" | "$dynamicRef", Json::String(reference)) => {
                                self.reference(reference)
                            }
                            (_, value) => self.size(value),
                        }),
                )
            }
            Json::Array(items) => Size::around(items.iter().map(|item| self.size(item))),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Size::ONE,
        };
        self.depth -= 1;
        size
    }

    fn reference(&mut self, reference: &'a str) -> Size {
        if let Some(size) = type_named_by(reference).and_then(self.of) {
            return size;
        }
        if let Some(size) = self.inner.get(reference) {
            return *size;
        }
        self.inner.insert(reference, Size::ONE);
        let pointer = reference.strip_prefix('#');
        let target = pointer.and_then(|pointer| self.document.pointer(pointer));
        let size = target.map_or(Size::ONE, |target| self.size(target));
        self.inner.insert(reference, size);
        size
    }
}
