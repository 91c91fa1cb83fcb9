//! A definition and what it uses as one tree in normal form: equal things have equal numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Subject;
use crate::definition::table::Action;
use crate::source::{FileId, Range};
use crate::yaml;

pub(super) type Id = usize;

/// How the children of a node are matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// It has no children.
    Leaf,
    /// By their keys; their order has no meaning.
    Fields,
    /// By their keys; their order has a meaning.
    OrderedFields,
    /// By their content.
    List,
}

/// How two texts that differ may have the same meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    Exact,
    Template,
    Expression,
}

pub(super) struct Node<'n> {
    pub(crate) parent: Option<Id>,
    pub(crate) subject: Subject,
    pub(crate) form: Form,
    /// Its key, or its position in a list, counted from 0.
    pub(crate) segment: Arc<str>,
    pub(crate) children: Vec<Id>,
    /// Equal for nodes with the same meaning, in the old and the new tree.
    pub(crate) content: u32,
    /// From the key to the end.
    pub(crate) range: Range,
    /// As written in the file; `None` for a node that only the normal form has.
    pub(crate) value: Option<&'n yaml::Node>,
    pub(crate) reading: Reading,
    /// It does not affect runs.
    pub(crate) for_people: bool,
    /// A mapping or list that only groups its content.
    pub(crate) is_group: bool,
    /// The action and its value, if this is a step or what `start` starts.
    pub(crate) action: Option<(&'static Action, &'n yaml::Node)>,
}

impl Node<'_> {
    pub(crate) fn is_step(&self) -> bool {
        self.subject == Subject::Step
    }
}

/// The root is node 0; a node precedes its children.
pub(super) struct Tree<'n> {
    pub(crate) nodes: Vec<Node<'n>>,
}

impl<'n> Tree<'n> {
    pub(crate) fn node(&self, id: Id) -> &Node<'n> {
        &self.nodes[id]
    }

    /// The child of a key.
    pub(crate) fn child(&self, id: Id, segment: &str) -> Option<Id> {
        let children = &self.node(id).children;
        let found = children
            .iter()
            .find(|child| &*self.node(**child).segment == segment);
        found.copied()
    }

    /// The text of a scalar child: a step's `id`, a step's action key.
    pub(crate) fn text(&self, id: Id, segment: &str) -> Option<&'n str> {
        let value = self.node(self.child(id, segment)?).value?;
        value.scalar().map(|scalar| &*scalar.text)
    }

    /// The node itself, its parent, and so on.
    pub(crate) fn ancestors(&self, id: Id) -> impl Iterator<Item = Id> + '_ {
        std::iter::successors(Some(id), |id| self.node(*id).parent)
    }

    /// The place of a node in its file, as a JSON Pointer.
    pub(crate) fn pointer(&self, id: Id) -> String {
        let inside = |id: &Id| {
            !matches!(
                self.node(*id).subject,
                Subject::Definition | Subject::File | Subject::Library
            )
        };
        let mut parts: Vec<_> = self
            .ancestors(id)
            .take_while(inside)
            .map(|id| self.node(id).segment.replace('~', "~0").replace('/', "~1"))
            .collect();
        parts.push(String::new());
        parts.reverse();
        parts.join("/")
    }
}

/// Assigns equal numbers to equal things.
#[derive(Default)]
pub(super) struct Contents {
    texts: BTreeMap<Arc<str>, u32>,
    wholes: BTreeMap<Vec<u32>, u32>,
    next: u32,
}

impl Contents {
    pub(crate) fn text(&mut self, text: &str) -> u32 {
        if let Some(found) = self.texts.get(text) {
            return *found;
        }
        self.next += 1;
        self.texts.insert(text.into(), self.next);
        self.next
    }

    pub(crate) fn whole(&mut self, parts: Vec<u32>) -> u32 {
        if let Some(found) = self.wholes.get(&parts) {
            return *found;
        }
        self.next += 1;
        self.wholes.insert(parts, self.next);
        self.next
    }
}

/// The start of a file, if no closer place is known.
pub(super) fn start_of(file: FileId) -> Range {
    Range::new(file, 0, 0)
}
