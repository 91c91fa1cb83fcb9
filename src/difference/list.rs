//! The differences of two trees whose nodes are paired, in the order of the new one.

use std::collections::BTreeMap;

use super::pair::Pairs;
use super::tree::{Form, Id, Node, Reading, Tree};
use super::{Difference, Kind, Place, Subject, show, words};
use crate::expression::{same_expression, same_template};
use crate::limits::{DIFFERENCE_TEXT_CHARACTERS_MAX, DIFFERENCES_MAX};
use crate::source::{Range, Sources};

#[derive(Clone, Copy)]
pub(super) struct Side<'t, 'n> {
    pub(crate) tree: &'t Tree<'n>,
    pub(crate) sources: &'t Sources,
}

/// The first differences, and how many more there are.
pub(super) fn list(
    old: Side<'_, '_>,
    new: Side<'_, '_>,
    pairs: &Pairs,
) -> (Vec<Difference>, usize) {
    let mut lister = Lister {
        old,
        new,
        pairs,
        found: Vec::new(),
        omitted: 0,
    };
    lister.pair(0, 0);
    (lister.found, lister.omitted)
}

struct Lister<'t, 'n> {
    old: Side<'t, 'n>,
    new: Side<'t, 'n>,
    pairs: &'t Pairs,
    found: Vec<Difference>,
    omitted: usize,
}

impl<'t, 'n> Lister<'t, 'n> {
    fn pair(&mut self, old: Id, new: Id) {
        let (before, after) = (self.old.tree.node(old), self.new.tree.node(new));
        if before.content == after.content {
            return;
        }
        match (before.form, after.form) {
            (Form::Leaf, Form::Leaf) if is_same(before, after) => {}
            (Form::List, Form::List) => self.children(old, new),
            (Form::List | Form::Leaf, _) | (_, Form::List | Form::Leaf) => self.changed(old, new),
            _ => {
                self.action(old, new);
                self.children(old, new);
            }
        }
    }

    /// A step with the same id and another action.
    fn action(&mut self, old: Id, new: Id) {
        if self.is_another_action(old, new) && !self.is_full() {
            let texts = (
                words::action(self.old.tree, old),
                words::action(self.new.tree, new),
            );
            self.push(Kind::Changed, Some(old), Some(new), texts);
        }
    }

    fn is_another_action(&self, old: Id, new: Id) -> bool {
        let key = |tree: &Tree<'_>, id: Id| tree.node(id).action.map(|(action, _)| action.key.name);
        key(self.old.tree, old) != key(self.new.tree, new)
    }

    fn children(&mut self, old: Id, new: Id) {
        let (old_tree, new_tree) = (self.old.tree, self.new.tree);
        let is_another = self.is_another_action(old, new);
        // Already reported: the action of a step that does something else.
        let is_said = |tree: &Tree<'_>, parent: Id, child: Id| {
            is_another
                && tree.node(parent).action.is_some_and(|(action, _)| {
                    let child = tree.node(child);
                    action.key.name == &*child.segment && child.form == Form::Leaf
                })
        };
        let stays = |new_child: Id| {
            let partner = self.pairs.of_new[new_child];
            let here = partner.filter(|id| old_tree.node(*id).parent == Some(old));
            here.filter(|_| !self.pairs.is_out_of_order[new_child])
        };
        // A removed node is reported after the node that preceded it.
        let mut gone: BTreeMap<Option<Id>, Vec<Id>> = BTreeMap::new();
        let mut last = None;
        for child in &old_tree.node(old).children {
            match self.pairs.of_old[*child] {
                Some(partner) if stays(partner) == Some(*child) => last = Some(*child),
                Some(_) => {}
                None if is_said(old_tree, old, *child) => {}
                None => gone.entry(last).or_default().push(*child),
            }
        }
        self.gone(gone.remove(&None));
        for child in &new_tree.node(new).children {
            if !is_said(new_tree, new, *child) {
                self.child(old, *child);
            }
            let stayed = self.pairs.of_new[*child].filter(|id| gone.contains_key(&Some(*id)));
            self.gone(stayed.and_then(|id| gone.remove(&Some(id))));
        }
        for rest in gone.into_values() {
            self.gone(Some(rest));
        }
    }

    fn child(&mut self, old_parent: Id, child: Id) {
        let Some(partner) = self.pairs.of_new[child] else {
            self.added(child);
            return;
        };
        let is_here = self.old.tree.node(partner).parent == Some(old_parent);
        if !is_here || self.pairs.is_out_of_order[child] {
            self.moved(partner, child);
        }
        self.pair(partner, child);
    }

    fn gone(&mut self, ids: Option<Vec<Id>>) {
        for id in ids.into_iter().flatten() {
            self.removed(id);
        }
    }

    fn removed(&mut self, id: Id) {
        let node = self.old.tree.node(id);
        if node.is_group {
            for child in &node.children {
                if self.pairs.of_old[*child].is_none() {
                    self.removed(*child);
                }
            }
            return;
        }
        if !self.is_full() {
            let text = short(node);
            self.push(Kind::Removed, Some(id), None, (text, String::new()));
        }
    }

    fn added(&mut self, id: Id) {
        let node = self.new.tree.node(id);
        if !node.is_group && !self.is_full() {
            let text = short(node);
            self.push(Kind::Added, None, Some(id), (String::new(), text));
        }
        self.moved_into(id, node.is_group);
    }

    /// Reports the content of an added node: everything if it is a group, otherwise only what moved there.
    fn moved_into(&mut self, id: Id, is_told: bool) {
        for child in &self.new.tree.node(id).children {
            match self.pairs.of_new[*child] {
                Some(partner) => {
                    self.moved(partner, *child);
                    self.pair(partner, *child);
                }
                None if is_told => self.added(*child),
                None => self.moved_into(*child, false),
            }
        }
    }

    fn moved(&mut self, old: Id, new: Id) {
        if self.is_full() {
            return;
        }
        let (old_tree, new_tree) = (self.old.tree, self.new.tree);
        let lists = (old_tree.node(old).parent, new_tree.node(new).parent);
        let is_same_list = lists
            .0
            .is_some_and(|list| self.pairs.of_old[list] == lists.1);
        let place = |tree: &Tree<'_>, id: Id, list: Option<Id>| match list {
            Some(list) if tree.node(id).is_step() && !is_same_list => {
                let list = words::phrase(tree, list);
                format!("{list}, {}", words::position(tree, id))
            }
            _ if !is_same_list => words::file(tree, id),
            _ => words::position(tree, id),
        };
        let texts = (place(old_tree, old, lists.0), place(new_tree, new, lists.1));
        self.push(Kind::Moved, Some(old), Some(new), texts);
    }

    fn changed(&mut self, old: Id, new: Id) {
        if self.is_full() {
            return;
        }
        let texts = show::cut_both(
            &full(self.old.tree.node(old)),
            &full(self.new.tree.node(new)),
        );
        self.push(Kind::Changed, Some(old), Some(new), texts);
    }

    /// Counts the next difference; true if it is beyond the number that is listed.
    fn is_full(&mut self) -> bool {
        let is_full = self.found.len() == DIFFERENCES_MAX;
        self.omitted += usize::from(is_full);
        is_full
    }

    fn push(&mut self, kind: Kind, old: Option<Id>, new: Option<Id>, texts: (String, String)) {
        let (side, id) = match (old, new) {
            (_, Some(new)) => (self.new, new),
            (Some(old), None) => (self.old, old),
            (None, None) => return,
        };
        let tree = side.tree;
        let is_in_place = matches!(kind, Kind::Added | Kind::Removed);
        let what = match tree.node(id).subject {
            Subject::Step if is_in_place => words::step_in_place(tree, id),
            Subject::Property if is_in_place && words::is_required(tree, id) => {
                format!("required {}", words::phrase(tree, id))
            }
            _ => words::phrase(tree, id),
        };
        let place = |side: Side<'_, '_>, id: Id| place(side.sources, side.tree.node(id).range);
        self.found.push(Difference {
            kind,
            subject: words::subject(tree, id),
            what,
            path: tree.pointer(id),
            old: old.map(|_| texts.0),
            new: new.map(|_| texts.1),
            old_place: old.map(|id| place(self.old, id)),
            new_place: new.map(|id| place(self.new, id)),
            description_only: tree.ancestors(id).any(|id| tree.node(id).for_people),
        });
    }
}

fn is_same(old: &Node<'_>, new: &Node<'_>) -> bool {
    let text = |node: &Node<'_>| Some(node.value?.scalar()?.text.clone());
    let (Some(before), Some(after)) = (text(old), text(new)) else {
        return false;
    };
    match (old.reading, new.reading) {
        (Reading::Template, Reading::Template) => {
            before.contains("${") && after.contains("${") && same_template(&before, &after)
        }
        (Reading::Expression, Reading::Expression) => same_expression(&before, &after),
        _ => false,
    }
}

fn full(node: &Node<'_>) -> String {
    node.value.map_or_else(|| "true".into(), show::value)
}

fn short(node: &Node<'_>) -> String {
    show::cut(&full(node), DIFFERENCE_TEXT_CHARACTERS_MAX)
}

fn place(sources: &Sources, range: Range) -> Place {
    let file = sources.file(range.file);
    let position = file.position(range.start);
    Place {
        file: file.path.clone(),
        line: position.line,
        column: position.column,
    }
}
