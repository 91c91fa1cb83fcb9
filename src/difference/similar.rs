//! The similarity of two items of lists, in percent of their parts.

use rustc_hash::FxHashMap;

use super::Subject;
use super::tree::{Contents, Form, Id, Tree};
use crate::definition::table::Shape;
use crate::limits::DIFFERENCE_FEATURES_PER_STEP_MAX;

/// From this similarity on, two steps between the same neighbours count as one that changed.
const IN_PLACE_PERCENT_MIN: u32 = 50;
/// The threshold for steps that contain steps, since their own part is small.
const AROUND_OTHERS_PERCENT_MIN: u32 = 30;
/// From this similarity on, two steps in different lists count as one that moved and changed.
const ELSEWHERE_PERCENT_MIN: u32 = 75;
/// From this similarity on, two cases count as one that changed.
const CASE_PERCENT_MIN: u32 = 25;

/// The parts of the items compared so far, each a number, ascending.
#[derive(Default)]
pub(super) struct Similarity {
    old: FxHashMap<Id, Vec<u32>>,
    new: FxHashMap<Id, Vec<u32>>,
}

impl Similarity {
    /// The similarity of two items in one place; 0 for items that have nothing in common.
    pub(crate) fn in_place(
        &mut self,
        old_tree: &Tree<'_>,
        old: Id,
        new_tree: &Tree<'_>,
        new: Id,
        contents: &mut Contents,
    ) -> u32 {
        let (subject, minimum) = match new_tree.node(new).subject {
            Subject::Step if has_steps(new_tree, new) => (Subject::Step, AROUND_OTHERS_PERCENT_MIN),
            Subject::Step => (Subject::Step, IN_PLACE_PERCENT_MIN),
            subject @ (Subject::Case | Subject::Catch) => (subject, CASE_PERCENT_MIN),
            // The items of plain lists have only their order to be identified by.
            subject => (subject, 0),
        };
        if old_tree.node(old).subject != subject || !has_same_action(old_tree, old, new_tree, new) {
            return 0;
        }
        let percent = self.percent(old_tree, old, new_tree, new, contents);
        match percent >= minimum {
            true => percent + 1,
            false => 0,
        }
    }

    /// The similarity of two steps in different lists.
    pub(crate) fn elsewhere(
        &mut self,
        old_tree: &Tree<'_>,
        old: Id,
        new_tree: &Tree<'_>,
        new: Id,
        contents: &mut Contents,
    ) -> u32 {
        if !has_same_action(old_tree, old, new_tree, new) {
            return 0;
        }
        let percent = self.percent(old_tree, old, new_tree, new, contents);
        match percent >= ELSEWHERE_PERCENT_MIN {
            true => percent,
            false => 0,
        }
    }

    fn percent(
        &mut self,
        old_tree: &Tree<'_>,
        old: Id,
        new_tree: &Tree<'_>,
        new: Id,
        contents: &mut Contents,
    ) -> u32 {
        let olds = &*self
            .old
            .entry(old)
            .or_insert_with(|| features(old_tree, old, contents));
        let news = &*self
            .new
            .entry(new)
            .or_insert_with(|| features(new_tree, new, contents));
        let (mut i, mut j, mut common) = (0, 0, 0);
        while i < olds.len() && j < news.len() {
            match olds[i].cmp(&news[j]) {
                std::cmp::Ordering::Less => i += 1,
                std::cmp::Ordering::Greater => j += 1,
                std::cmp::Ordering::Equal => (i, j, common) = (i + 1, j + 1, common + 1),
            }
        }
        let all = (olds.len() + news.len()).max(1);
        (200 * common / all) as u32
    }
}

fn has_same_action(old_tree: &Tree<'_>, old: Id, new_tree: &Tree<'_>, new: Id) -> bool {
    let name = |tree: &Tree<'_>, id: Id| {
        let action = tree.node(id).action;
        action.map(|(action, _)| action.key.name)
    };
    name(old_tree, old) == name(new_tree, new)
}

fn has_steps(tree: &Tree<'_>, id: Id) -> bool {
    let is_steps = |id: &Id| tree.node(*id).subject == Subject::Steps;
    tree.node(id).children.iter().any(is_steps)
}

fn features(tree: &Tree<'_>, id: Id, contents: &mut Contents) -> Vec<u32> {
    let mut found = Vec::new();
    let mut left = vec![(id, contents.text(""))];
    while let Some((at, path)) = left.pop() {
        if found.len() >= DIFFERENCE_FEATURES_PER_STEP_MAX {
            break;
        }
        let node = tree.node(at);
        match node.form {
            _ if at != id && node.is_step() => {
                found.push(contents.whole(vec![path, node.content, 0]));
                let kind = node.action.map_or("", |(action, _)| action.key.name);
                let kind = contents.text(kind);
                found.push(contents.whole(vec![path, kind, 5]));
                if let Some(name) = tree.text(at, "id") {
                    let name = contents.text(name);
                    found.push(contents.whole(vec![path, name, 1]));
                }
            }
            Form::Leaf => {
                found.push(contents.whole(vec![path, node.content, 2]));
                // Two activities are not similar just because both are activities.
                if !names_another(tree, at) {
                    found.push(contents.whole(vec![path, 3]));
                }
            }
            _ => {
                for child in node.children.iter().rev() {
                    let segment = match node.form {
                        Form::List => "",
                        _ => &*tree.node(*child).segment,
                    };
                    if at == id && segment == "id" {
                        continue;
                    }
                    let segment = contents.text(segment);
                    left.push((*child, contents.whole(vec![path, segment, 4])));
                }
            }
        }
    }
    found.sort_unstable();
    found
}

/// Whether a leaf is the name of what the step calls.
fn names_another(tree: &Tree<'_>, id: Id) -> bool {
    let node = tree.node(id);
    let step = node.parent.and_then(|parent| tree.node(parent).action);
    step.is_some_and(|(action, _)| {
        let is_name = matches!(
            action.key.shape,
            Shape::TextTemplate | Shape::Text | Shape::Identifier
        );
        is_name && *action.key.name == *node.segment
    })
}
