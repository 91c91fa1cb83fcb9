//! Pairs the nodes of the new tree with those of the old one.

use std::collections::{BTreeMap, VecDeque};

use rustc_hash::FxHashMap;

use super::Subject;
use super::align::{Budget, ascending, common, heaviest};
use super::similar::Similarity;
use super::tree::{Contents, Form, Id, Tree};

/// The cost of comparing two steps by their parts, in comparisons of two numbers.
const COMPARISONS_PER_PAIR: usize = 16;

/// Which nodes correspond to each other.
pub(super) struct Pairs {
    /// By node of the old tree.
    pub(crate) of_old: Vec<Option<Id>>,
    /// By node of the new tree.
    pub(crate) of_new: Vec<Option<Id>>,
    /// By node of the new tree: whether its order among its neighbours has changed.
    pub(crate) is_out_of_order: Vec<bool>,
}

pub(super) fn pair(old: &Tree<'_>, new: &Tree<'_>, contents: &mut Contents) -> Pairs {
    let mut pairing = Pairing {
        old,
        new,
        pairs: Pairs {
            of_old: vec![None; old.nodes.len()],
            of_new: vec![None; new.nodes.len()],
            is_out_of_order: vec![false; new.nodes.len()],
        },
        is_visited: vec![false; new.nodes.len()],
        budget: Budget::new(),
        similarity: Similarity::default(),
        contents,
    };
    pairing.steps_by_id();
    pairing.visit(0, 0);
    pairing.visit_linked();
    pairing.named_elsewhere();
    pairing.steps_elsewhere();
    pairing.pairs
}

struct Pairing<'t, 'n> {
    old: &'t Tree<'n>,
    new: &'t Tree<'n>,
    pairs: Pairs,
    /// By node of the new tree.
    is_visited: Vec<bool>,
    budget: Budget,
    similarity: Similarity,
    contents: &'t mut Contents,
}

impl Pairing<'_, '_> {
    fn link(&mut self, old: Id, new: Id) {
        self.pairs.of_old[old] = Some(new);
        self.pairs.of_new[new] = Some(old);
    }

    fn is_free(&self, old: Id, new: Id) -> bool {
        self.pairs.of_old[old].is_none() && self.pairs.of_new[new].is_none()
    }

    /// An id that occurs once in each version denotes one step, wherever it moved.
    fn steps_by_id(&mut self) {
        let (olds, news) = (steps_of(self.old), steps_of(self.new));
        for (name, old) in &olds {
            if let ([old], Some([new])) = (&old[..], news.get(name).map(|ids| &ids[..])) {
                self.link(*old, *new);
            }
        }
    }

    /// Pairs the content of two nodes that correspond.
    fn visit(&mut self, old: Id, new: Id) {
        if std::mem::replace(&mut self.is_visited[new], true) {
            return;
        }
        self.link(old, new);
        match (self.old.node(old).form, self.new.node(new).form) {
            (Form::List, Form::List) => self.list(old, new),
            (Form::Leaf | Form::List, _) | (_, Form::Leaf | Form::List) => {}
            (_, form) => self.fields(old, new, form == Form::OrderedFields),
        }
    }

    fn fields(&mut self, old: Id, new: Id, is_ordered: bool) {
        let (old_tree, new_tree) = (self.old, self.new);
        let olds = &old_tree.node(old).children;
        let places: BTreeMap<&str, usize> = olds
            .iter()
            .enumerate()
            .map(|(i, id)| (&*old_tree.node(*id).segment, i))
            .collect();
        let pairs: Vec<_> = new_tree
            .node(new)
            .children
            .iter()
            .filter_map(|id| Some((*places.get(&*new_tree.node(*id).segment)?, *id)))
            .collect();
        if is_ordered {
            let order: Vec<_> = pairs.iter().map(|(i, _)| *i).collect();
            let stays = ascending(&order);
            for (at, (_, id)) in pairs.iter().enumerate() {
                self.pairs.is_out_of_order[*id] = stays.binary_search(&at).is_err();
            }
        }
        for (i, id) in pairs {
            if self.is_free(olds[i], id) || self.pairs.of_new[id] == Some(olds[i]) {
                self.visit(olds[i], id);
            }
        }
    }

    fn list(&mut self, old: Id, new: Id) {
        let olds = &self.old.node(old).children;
        let news = &self.new.node(new).children;
        let old_keys: Vec<_> = olds.iter().map(|id| self.key(*id, true)).collect();
        let new_keys: Vec<_> = news.iter().map(|id| self.key(*id, false)).collect();
        let same = common(&old_keys, &new_keys, &mut self.budget);
        for (i, j) in &same {
            self.link(olds[*i], news[*j]);
        }
        self.same_out_of_order(olds, &old_keys, news, &new_keys, &same);
        let mut start = (0, 0);
        for (i, j) in same.iter().copied().chain([(olds.len(), news.len())]) {
            self.gap(&olds[start.0..i], &news[start.1..j]);
            start = (i + 1, j + 1);
        }
        for id in news {
            if let Some(partner) = self.pairs.of_new[*id] {
                self.visit(partner, *id);
            }
        }
    }

    /// What identifies an item of a list: the node that it was linked to, its id, or its whole content.
    fn key(&mut self, id: Id, is_old: bool) -> u32 {
        let (tree, linked) = match is_old {
            true => (self.old, self.pairs.of_old[id].map(|_| id)),
            false => (self.new, self.pairs.of_new[id]),
        };
        if let Some(linked) = linked {
            return self.contents.whole(vec![u32::MAX, linked as u32]);
        }
        let node = tree.node(id);
        match node.is_step().then(|| tree.text(id, "id")).flatten() {
            Some(name) => {
                let name = self.contents.text(name);
                self.contents.whole(vec![u32::MAX - 1, name])
            }
            None => node.content,
        }
    }

    fn same_out_of_order(
        &mut self,
        olds: &[Id],
        old_keys: &[u32],
        news: &[Id],
        new_keys: &[u32],
        same: &[(usize, usize)],
    ) {
        let mut left: FxHashMap<u32, VecDeque<Id>> = FxHashMap::default();
        let mut in_order = same.iter().map(|(i, _)| *i).peekable();
        for (i, id) in olds.iter().enumerate() {
            if in_order.next_if_eq(&i).is_none() {
                left.entry(old_keys[i]).or_default().push_back(*id);
            }
        }
        let mut in_order = same.iter().map(|(_, j)| *j).peekable();
        for (j, id) in news.iter().enumerate() {
            if in_order.next_if_eq(&j).is_some() {
                continue;
            }
            let Some(old) = left.get_mut(&new_keys[j]).and_then(VecDeque::pop_front) else {
                continue;
            };
            self.pairs.is_out_of_order[*id] = true;
            self.link(old, *id);
        }
    }

    /// Pairs changed items between two items that stayed.
    fn gap(&mut self, olds: &[Id], news: &[Id]) {
        let olds: Vec<_> = free(olds, &self.pairs.of_old);
        let news: Vec<_> = free(news, &self.pairs.of_new);
        let pairs = olds.len().saturating_mul(news.len());
        if pairs == 0 || !self.budget.take(pairs.saturating_mul(COMPARISONS_PER_PAIR)) {
            return;
        }
        let (old, new) = (self.old, self.new);
        let (similarity, contents) = (&mut self.similarity, &mut *self.contents);
        let found = heaviest(olds.len(), news.len(), |i, j| {
            similarity.in_place(old, olds[i], new, news[j], contents)
        });
        for (i, j) in found {
            self.link(olds[i], news[j]);
        }
    }

    /// Steps that were linked by their id, in lists that do not correspond.
    fn visit_linked(&mut self) {
        for new in 0..self.new.nodes.len() {
            if let Some(old) = self.pairs.of_new[new] {
                self.visit(old, new);
            }
        }
    }

    /// Blocks, types and contracts that moved to another file.
    fn named_elsewhere(&mut self) {
        let is_shared =
            |subject| matches!(subject, Subject::Block | Subject::Type | Subject::Activity);
        let mut left: BTreeMap<(Subject, &str), Id> = BTreeMap::new();
        for (id, node) in self.old.nodes.iter().enumerate() {
            if is_shared(node.subject) && self.pairs.of_old[id].is_none() {
                left.insert((node.subject, &node.segment), id);
            }
        }
        for (id, node) in self.new.nodes.iter().enumerate() {
            if is_shared(node.subject)
                && self.pairs.of_new[id].is_none()
                && let Some(old) = left.remove(&(node.subject, &*node.segment))
            {
                self.visit(old, id);
            }
        }
        self.visit_linked();
    }

    /// Steps that moved to another list: identical ones first, then similar ones.
    fn steps_elsewhere(&mut self) {
        let mut same: FxHashMap<u32, VecDeque<Id>> = FxHashMap::default();
        for (id, node) in self.old.nodes.iter().enumerate() {
            if node.is_step() && self.pairs.of_old[id].is_none() && says_something(self.old, id) {
                same.entry(node.content).or_default().push_back(id);
            }
        }
        for (id, node) in self.new.nodes.iter().enumerate() {
            if !node.is_step() || self.pairs.of_new[id].is_some() {
                continue;
            }
            let found = same.get_mut(&node.content).and_then(VecDeque::pop_front);
            if let Some(old) = found.filter(|old| self.pairs.of_old[*old].is_none()) {
                self.visit(old, id);
            }
        }
        self.similar_elsewhere();
        self.visit_linked();
    }

    fn similar_elsewhere(&mut self) {
        let is_left = |tree: &Tree<'_>, pairs: &[Option<Id>]| -> Vec<Id> {
            let steps = (0..pairs.len()).filter(|id| tree.node(*id).is_step());
            steps.filter(|id| pairs[*id].is_none()).collect()
        };
        let olds = is_left(self.old, &self.pairs.of_old);
        let news = is_left(self.new, &self.pairs.of_new);
        let pairs = olds.len().saturating_mul(news.len());
        if !self.budget.take(pairs.saturating_mul(COMPARISONS_PER_PAIR)) {
            return;
        }
        for new in news {
            let mut best = None;
            for old in &olds {
                if !self.is_free(*old, new) {
                    continue;
                }
                let weight =
                    self.similarity
                        .elsewhere(self.old, *old, self.new, new, self.contents);
                if weight > best.map_or(0, |(weight, _)| weight) {
                    best = Some((weight, *old));
                }
            }
            if let Some((_, old)) = best {
                self.visit(old, new);
            }
        }
    }
}

fn free(ids: &[Id], pairs: &[Option<Id>]) -> Vec<Id> {
    let free = ids.iter().copied().filter(|id| pairs[*id].is_none());
    free.collect()
}

/// A bare `break` is like any other, so it cannot be found again.
fn says_something(tree: &Tree<'_>, id: Id) -> bool {
    let action = tree.node(id).action;
    action.is_some_and(|(_, value)| !value.is_null())
}

/// Steps by their ids.
fn steps_of<'n>(tree: &Tree<'n>) -> BTreeMap<&'n str, Vec<Id>> {
    let mut steps: BTreeMap<&str, Vec<Id>> = BTreeMap::new();
    for (id, node) in tree.nodes.iter().enumerate() {
        if node.is_step()
            && let Some(name) = tree.text(id, "id")
        {
            steps.entry(name).or_default().push(id);
        }
    }
    steps
}
