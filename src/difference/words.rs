//! Describes nodes in words.

use super::Subject;
use super::show;
use super::tree::{Id, Tree};
use crate::definition::table::{Shape, Table};
use crate::yaml::{Entry, Node};

const LABEL_CHARACTERS_MAX: usize = 40;
/// The child of a required property, beside the keywords of its schema.
pub(super) const REQUIRED: &str = "required";

/// A node in words: "step `charge` (activity charge_card)".
pub(super) fn phrase(tree: &Tree<'_>, id: Id) -> String {
    let node = tree.node(id);
    let name = &node.segment;
    let of_owner = || phrase(tree, owner(tree, id));
    let number = || name.parse::<usize>().map_or(1, |i| i + 1);
    match node.subject {
        Subject::Definition => "the definition".into(),
        Subject::File => format!("file `{name}`"),
        Subject::Library => node.parent.map_or(String::new(), |id| phrase(tree, id)),
        Subject::Step => format!("step {}", step(tree, id)),
        Subject::Steps => steps(tree, id),
        Subject::Signal => format!("signal handler `{name}`"),
        Subject::Update => format!("update handler `{name}`"),
        Subject::Query => format!("query `{name}`"),
        Subject::State => format!("state `{name}`"),
        Subject::Schedule => format!("schedule `{name}`"),
        Subject::Block => shared(tree, id, "block"),
        Subject::Type => shared(tree, id, "type"),
        Subject::Activity => shared(tree, id, "activity"),
        Subject::Branch => format!("branch `{name}` of {}", of_owner()),
        Subject::Case => format!("case {} of {}", number(), of_owner()),
        Subject::Catch => format!("catch {} of {}", number(), of_owner()),
        Subject::Property => property(tree, id),
        Subject::Schema if is_schema_root(tree, id) => match tree.node(owner(tree, id)).subject {
            Subject::Definition => format!("{name} schema"),
            _ => format!("{name} schema of {}", of_owner()),
        },
        Subject::Description if &**name == "description" => {
            format!("description of {}", of_owner())
        }
        Subject::Option | Subject::Description | Subject::Schema => inner(tree, id),
        Subject::Start => "start defaults".into(),
        Subject::Default => match &**name {
            "activity" => "activities".into(),
            "child" => "child workflows".into(),
            _ => "defaults".into(),
        },
    }
}

/// The subject of a difference: for something inside a named thing, that thing.
pub(super) fn subject(tree: &Tree<'_>, id: Id) -> Subject {
    let own = tree.node(id).subject;
    if own != Subject::Option {
        return own;
    }
    match tree.node(owner(tree, id)).subject {
        Subject::Step
        | Subject::Definition
        | Subject::Branch
        | Subject::Case
        | Subject::Catch
        | Subject::Library
        | Subject::File => Subject::Option,
        other => other,
    }
}

/// A step with its place, unless it is one of the workflow's own steps.
pub(super) fn step_in_place(tree: &Tree<'_>, id: Id) -> String {
    let list = tree.node(id).parent.map(|list| phrase(tree, list));
    match list {
        Some(list) if list != MAIN => format!("{} in {list}", phrase(tree, id)),
        _ => phrase(tree, id),
    }
}

/// The preceding sibling of an item of a list, in words.
pub(super) fn position(tree: &Tree<'_>, id: Id) -> String {
    let siblings = tree.node(id).parent.map(|list| &tree.node(list).children);
    let at = siblings.and_then(|ids| ids.iter().position(|sibling| *sibling == id));
    let before = at.and_then(|at| at.checked_sub(1));
    match siblings.zip(before) {
        Some((ids, before)) => match tree.node(ids[before]).subject {
            Subject::Step => format!("after {}", step(tree, ids[before])),
            Subject::Branch => format!("after `{}`", tree.node(ids[before]).segment),
            _ => format!("at {}", before + 2),
        },
        None => "first".into(),
    }
}

const MAIN: &str = "the steps";

/// The nearest thing with a name of its own around a node.
fn owner(tree: &Tree<'_>, id: Id) -> Id {
    let is_owner = |id: &Id| match tree.node(*id).subject {
        Subject::Option | Subject::Description | Subject::Steps => false,
        Subject::Schema => is_schema_root(tree, *id),
        Subject::Library => tree.node(*id).parent.is_none(),
        _ => true,
    };
    tree.ancestors(id).skip(1).find(is_owner).unwrap_or(0)
}

fn is_schema_root(tree: &Tree<'_>, id: Id) -> bool {
    let parent = tree.node(id).parent.map(|parent| tree.node(parent).subject);
    tree.node(id).subject == Subject::Schema
        && !matches!(
            parent,
            Some(Subject::Schema | Subject::Property | Subject::Type)
        )
}

/// Something of a definition or of a library, with the name of the library.
fn shared(tree: &Tree<'_>, id: Id, noun: &str) -> String {
    let name = &tree.node(id).segment;
    match library(tree, id) {
        Some(file) => format!("{noun} `{name}` of {}", phrase(tree, file)),
        None => format!("{noun} `{name}`"),
    }
}

fn library(tree: &Tree<'_>, id: Id) -> Option<Id> {
    let mut around = tree.ancestors(id);
    around.find(|id| tree.node(*id).subject == Subject::File)
}

/// The file that contains a node.
pub(super) fn file(tree: &Tree<'_>, id: Id) -> String {
    let file = library(tree, id);
    file.map_or("the definition".into(), |file| phrase(tree, file))
}

/// A property by its path through the schema: `*` is an item of a list.
fn property(tree: &Tree<'_>, id: Id) -> String {
    let is_inside = |id: &Id| match tree.node(*id).subject {
        Subject::Property => true,
        Subject::Schema => !is_schema_root(tree, *id),
        _ => false,
    };
    let inside: Vec<_> = tree.ancestors(id).take_while(is_inside).collect();
    let root = inside.last().and_then(|id| tree.node(*id).parent);
    let mut parts: Vec<_> = inside
        .iter()
        .filter_map(|id| {
            let node = tree.node(*id);
            match (node.subject, &*node.segment) {
                (Subject::Property, name) => Some(name),
                (_, "properties") => None,
                (_, "items") => Some("*"),
                (_, keyword) => Some(keyword),
            }
        })
        .collect();
    parts.push("");
    parts.reverse();
    let root = root.map_or(String::new(), |id| phrase(tree, id));
    format!("property `{}` of {root}", parts.join("/"))
}

/// Whether the schema around a property requires it, which is reported at the property.
pub(super) fn is_required(tree: &Tree<'_>, id: Id) -> bool {
    let mut children = tree.node(id).children.iter().map(|child| tree.node(*child));
    children.any(|child| &*child.segment == REQUIRED && child.value.is_none())
}

/// A list of steps.
fn steps(tree: &Tree<'_>, id: Id) -> String {
    let name = &tree.node(id).segment;
    let owner = owner(tree, id);
    match tree.node(owner).subject {
        Subject::Definition => MAIN.into(),
        Subject::Step => format!("`{name}` of {}", phrase(tree, owner)),
        _ => phrase(tree, owner),
    }
}

/// Something without a name, by the keys that lead to it from the named thing around it.
fn inner(tree: &Tree<'_>, id: Id) -> String {
    let around = owner(tree, id);
    let mut path = String::new();
    let inside: Vec<_> = tree.ancestors(id).take_while(|id| *id != around).collect();
    for id in inside.iter().rev() {
        let node = tree.node(*id);
        match node.segment.parse::<usize>() {
            Ok(i) => path.push_str(&format!("[{i}]")),
            Err(_) if path.is_empty() => path.push_str(&node.segment),
            Err(_) => path.push_str(&format!(".{}", node.segment)),
        }
    }
    match tree.node(around).subject {
        Subject::Definition if path == "workflow" => "workflow type".into(),
        Subject::Definition | Subject::Library => format!("option `{path}`"),
        Subject::Start => format!("start default `{path}`"),
        Subject::Default => format!("default `{path}` of {}", phrase(tree, around)),
        _ if path.is_empty() => phrase(tree, around),
        _ => format!("`{path}` of {}", phrase(tree, around)),
    }
}

/// A step without the word "step": its id, if it has one, and its action.
fn step(tree: &Tree<'_>, id: Id) -> String {
    let label = action(tree, id);
    match tree.text(id, "id") {
        Some(name) => format!("`{name}` ({label})"),
        None => format!("({label})"),
    }
}

/// The action of a step, abbreviated.
pub(super) fn action(tree: &Tree<'_>, id: Id) -> String {
    let Some((action, value)) = tree.node(id).action else {
        return "of an unknown kind".into();
    };
    let argument = argument(&action.key.shape, value).unwrap_or_default();
    let argument = show::cut(&argument, LABEL_CHARACTERS_MAX);
    format!("{} {argument}", action.key.name).trim_end().into()
}

fn argument(shape: &Shape, value: &Node) -> Option<String> {
    if let Some(scalar) = value.scalar() {
        return (!value.is_null()).then(|| show::text(scalar));
    }
    let entries = value.mapping()?;
    match shape {
        Shape::Mapping(table) | Shape::Request(table) => telling(table, entries),
        Shape::Either(_, Shape::Mapping(table)) => telling(table, entries),
        Shape::Named(Shape::Template) => {
            let set = |entry: &Entry| format!("{}: {}", entry.name(), show::value(&entry.value));
            Some(entries.iter().map(set).collect::<Vec<_>>().join(", "))
        }
        Shape::Named(_) => {
            let names: Vec<_> = entries.iter().map(Entry::name).collect();
            Some(names.join(", "))
        }
        Shape::StepOf(_) => {
            let (action, value) = super::read::action_of(entries)?;
            let argument = argument(&action.key.shape, value).unwrap_or_default();
            Some(format!("{} {argument}", action.key.name))
        }
        _ => None,
    }
}

/// The first key of the table that has a plain value, which is the most informative.
fn telling(table: &Table, entries: &[Entry]) -> Option<String> {
    let texts = table.fields().filter(|field| {
        matches!(
            field.shape,
            Shape::TextTemplate | Shape::Text | Shape::Expression
        )
    });
    let mut found = texts.filter_map(|field| {
        let entry = entries.iter().find(|entry| *entry.name() == *field.name)?;
        entry.value.scalar()
    });
    found.next().map(show::text)
}
