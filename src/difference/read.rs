//! YAML to the tree in normal form, guided by the tables of the language.

use std::sync::Arc;

use super::Subject;
use super::normal;
use super::tree::{Contents, Form, Id, Node, Reading, Tree};
use crate::definition::table::{Action, Field, Shape, Table};
use crate::definition::tables;
use crate::source::Range;
use crate::yaml::{self, Data, Entry};

/// The place of a value in the tree.
#[derive(Clone)]
pub(super) struct At {
    pub(crate) parent: Option<Id>,
    pub(crate) segment: Arc<str>,
    pub(crate) subject: Subject,
    pub(crate) range: Range,
}

impl At {
    fn of(self, subject: Subject) -> At {
        At { subject, ..self }
    }
}

pub(super) struct Reader<'n, 'c> {
    pub(crate) tree: Tree<'n>,
    pub(crate) contents: &'c mut Contents,
}

impl<'n> Reader<'n, '_> {
    /// A node without children, for now.
    pub(crate) fn add(&mut self, at: At, value: Option<&'n yaml::Node>) -> Id {
        let id = self.tree.nodes.len();
        if let Some(parent) = at.parent {
            self.tree.nodes[parent].children.push(id);
        }
        self.tree.nodes.push(Node {
            parent: at.parent,
            subject: at.subject,
            form: Form::Leaf,
            segment: at.segment,
            children: Vec::new(),
            content: 0,
            range: at.range,
            value,
            reading: Reading::Exact,
            for_people: at.subject == Subject::Description,
            is_group: false,
            action: None,
        });
        id
    }

    /// Numbers a node after its children.
    pub(crate) fn finish(&mut self, id: Id, form: Form) -> Id {
        let children = self.tree.nodes[id].children.clone();
        let mut parts: Vec<[u32; 2]> = Vec::with_capacity(children.len());
        for child in children {
            let child = self.tree.node(child);
            let key = match form {
                Form::List => 0,
                _ => self.contents.text(&child.segment),
            };
            parts.push([key, child.content]);
        }
        if form == Form::Fields {
            parts.sort_unstable();
        }
        let whole = std::iter::once(form as u32).chain(parts.into_iter().flatten());
        self.tree.nodes[id].content = self.contents.whole(whole.collect());
        self.tree.nodes[id].form = form;
        id
    }

    pub(crate) fn leaf(
        &mut self,
        at: At,
        value: &'n yaml::Node,
        normal: &str,
        reading: Reading,
    ) -> Id {
        let id = self.add(at, Some(value));
        self.tree.nodes[id].content = self.contents.text(normal);
        self.tree.nodes[id].reading = reading;
        id
    }

    fn inside(&self, id: Id, entry: &Entry, subject: Subject) -> At {
        At {
            parent: Some(id),
            segment: entry.name(),
            subject,
            range: entry.key.range.to(entry.value.range),
        }
    }

    /// The keys of a table, without `use`, since the files themselves are compared.
    pub(crate) fn mapping(&mut self, at: At, table: &'static Table, node: &'n yaml::Node) -> Id {
        let Some(entries) = node.mapping() else {
            return self.data(at, node, Reading::Template);
        };
        let is_group = matches!(at.subject, Subject::Start | Subject::Default)
            || std::ptr::eq(table, &tables::DEFAULTS);
        let id = self.add(at, Some(node));
        self.tree.nodes[id].is_group = is_group;
        for entry in entries {
            let name = entry.name();
            match table.fields().find(|field| field.name == &*name) {
                Some(field) if field.name == "use" && is_document(table) => {}
                Some(field) => self.field(id, field, entry),
                None => {
                    let at = self.inside(id, entry, Subject::Option);
                    self.data(at, &entry.value, Reading::Template);
                }
            }
        }
        self.finish(id, Form::Fields)
    }

    fn field(&mut self, id: Id, field: &'static Field, entry: &'n Entry) {
        let default = match is_overriding(field) {
            true => None,
            false => normal::of_default(field),
        };
        if default.is_some()
            && let Some(scalar) = entry.value.scalar()
            && default == Some(normal::of_scalar(&field.shape, scalar))
        {
            return;
        }
        let at = self.inside(id, entry, subject_of(field));
        self.value(at, &field.shape, &entry.value);
    }

    fn value(&mut self, at: At, shape: &'static Shape, node: &'n yaml::Node) -> Id {
        match shape {
            Shape::Mapping(table) | Shape::Request(table) => self.mapping(at, table, node),
            Shape::Named(shape) => self.named(at, shape, node),
            Shape::List(shape) => self.list(at, shape, node),
            Shape::Steps => self.steps(at, node),
            Shape::Schema => self.schema(at, node),
            Shape::TextOrTexts => self.texts(at, node),
            Shape::StepOf(_) => self.step(at, node),
            Shape::Either(scalar, mapping) => self.either(at, scalar, mapping, node),
            Shape::Data | Shape::CalendarField => self.data(at, node, Reading::Exact),
            _ => match node.scalar() {
                Some(scalar) => {
                    let normal = normal::of_scalar(shape, scalar);
                    self.leaf(at, node, &normal, normal::reading(shape))
                }
                None => self.data(at, node, Reading::Template),
            },
        }
    }

    /// A short form is read as the long one whose only key has the same shape.
    fn either(
        &mut self,
        at: At,
        scalar: &'static Shape,
        mapping: &'static Shape,
        node: &'n yaml::Node,
    ) -> Id {
        if node.mapping().is_some() {
            return self.value(at, mapping, node);
        }
        let long = match mapping {
            Shape::Mapping(table) => table.fields().find(|field| {
                field.required
                    && std::mem::discriminant(&field.shape) == std::mem::discriminant(scalar)
            }),
            _ => None,
        };
        let Some(field) = long else {
            return self.value(at, scalar, node);
        };
        let inner = At {
            parent: Some(self.tree.nodes.len()),
            segment: field.name.into(),
            subject: Subject::Option,
            range: at.range,
        };
        let id = self.add(at, Some(node));
        self.value(inner, scalar, node);
        self.finish(id, Form::Fields)
    }

    /// A mapping with the author's own names as keys.
    fn named(&mut self, at: At, shape: &'static Shape, node: &'n yaml::Node) -> Id {
        let Some(entries) = node.mapping() else {
            return self.data(at, node, Reading::Template);
        };
        let subject = match &*at.segment {
            "signals" => Subject::Signal,
            "queries" => Subject::Query,
            "updates" => Subject::Update,
            "blocks" => Subject::Block,
            "types" => Subject::Type,
            "activities" => Subject::Activity,
            "state" => Subject::State,
            "schedules" => Subject::Schedule,
            "parallel" | "race" => Subject::Branch,
            _ => Subject::Option,
        };
        let id = self.add(at, Some(node));
        self.tree.nodes[id].is_group = true;
        for entry in entries {
            let at = self.inside(id, entry, subject);
            self.value(at, shape, &entry.value);
        }
        // Branches run in their order.
        let is_ordered = subject == Subject::Branch;
        self.finish(
            id,
            match is_ordered {
                true => Form::OrderedFields,
                false => Form::Fields,
            },
        )
    }

    fn list(&mut self, at: At, shape: &'static Shape, node: &'n yaml::Node) -> Id {
        let subject = match &*at.segment {
            "cases" => Subject::Case,
            "catch" => Subject::Catch,
            _ => Subject::Option,
        };
        self.items(at, node, true, |reader, at, item| {
            reader.value(at.of(subject), shape, item);
        })
    }

    fn steps(&mut self, at: At, node: &'n yaml::Node) -> Id {
        let is_group = at.subject != Subject::Branch;
        self.items(at, node, is_group, |reader, at, item| {
            reader.step(at.of(Subject::Step), item);
        })
    }

    pub(crate) fn items(
        &mut self,
        at: At,
        node: &'n yaml::Node,
        is_group: bool,
        mut read: impl FnMut(&mut Self, At, &'n yaml::Node),
    ) -> Id {
        let Some(items) = node.sequence() else {
            return self.data(at, node, Reading::Template);
        };
        let inner = at.subject.inner();
        let id = self.add(at, Some(node));
        self.tree.nodes[id].is_group = is_group;
        for (i, item) in items.iter().enumerate() {
            let at = At {
                parent: Some(id),
                segment: i.to_string().into(),
                subject: inner,
                range: item.range,
            };
            read(self, at, item);
        }
        self.finish(id, Form::List)
    }

    /// A step, or what `start` starts.
    fn step(&mut self, at: At, node: &'n yaml::Node) -> Id {
        let found = node.mapping().and_then(action_of);
        let (Some((action, value)), Some(entries)) = (found, node.mapping()) else {
            return self.data(at, node, Reading::Template);
        };
        let id = self.add(at, Some(node));
        self.tree.nodes[id].action = Some((action, value));
        for entry in entries {
            let name = entry.name();
            let mut fields = std::iter::once(&action.key)
                .chain(action.fields())
                .chain(tables::COMMON);
            match fields.find(|field| field.name == &*name) {
                Some(field) => self.field(id, field, entry),
                None => {
                    let at = self.inside(id, entry, Subject::Option);
                    self.data(at, &entry.value, Reading::Template);
                }
            }
        }
        self.finish(id, Form::Fields)
    }

    /// One text or several, in any order.
    fn texts(&mut self, at: At, node: &'n yaml::Node) -> Id {
        let items = node.sequence().unwrap_or(std::slice::from_ref(node));
        if items.iter().any(|item| item.scalar().is_none()) {
            return self.data(at, node, Reading::Exact);
        }
        let mut normals: Vec<_> = items.iter().map(normal::of_data).collect();
        normals.sort();
        normals.dedup();
        self.leaf(at, node, &normals.join("\n"), Reading::Exact)
    }

    /// Plain data, with `${ }` in it if `reading` allows it.
    pub(crate) fn data(&mut self, at: At, node: &'n yaml::Node, reading: Reading) -> Id {
        match &node.data {
            Data::Scalar(scalar) => {
                let normal = match reading {
                    Reading::Exact => normal::exact(&scalar.value),
                    _ => normal::template(scalar),
                };
                self.leaf(at, node, &normal, reading)
            }
            Data::Sequence(_) => self.items(at, node, false, |reader, at, item| {
                reader.data(at, item, reading);
            }),
            Data::Mapping(entries) => {
                // A loop over a map iterates over its entries in their order.
                let form = match &*at.segment {
                    "for_each" => Form::OrderedFields,
                    _ => Form::Fields,
                };
                let inner = at.subject.inner();
                let id = self.add(at, Some(node));
                for entry in entries {
                    let at = self.inside(id, entry, inner);
                    self.data(at, &entry.value, reading);
                }
                self.finish(id, form)
            }
        }
    }
}

fn is_document(table: &Table) -> bool {
    std::ptr::eq(table, &tables::DEFINITION) || std::ptr::eq(table, &tables::LIBRARY)
}

/// Options that override those of `activities` and `defaults` are significant even if they equal the default.
fn is_overriding(field: &'static Field) -> bool {
    let is_of = |fields: &'static [Field]| fields.iter().any(|other| std::ptr::eq(other, field));
    is_of(tables::ACTIVITY_OPTIONS) || is_of(tables::CHILD_OPTIONS)
}

fn subject_of(field: &Field) -> Subject {
    match (field.name, &field.shape) {
        ("description", _) => Subject::Description,
        ("start", Shape::Mapping(_)) => Subject::Start,
        ("activity" | "child" | "defaults", Shape::Mapping(_)) => Subject::Default,
        (_, Shape::Steps) => Subject::Steps,
        (_, Shape::Schema) => Subject::Schema,
        _ => Subject::Option,
    }
}

/// `do` is an action and also an option of loops.
pub(super) fn action_of(entries: &[Entry]) -> Option<(&'static Action, &yaml::Node)> {
    let present = |entry: &Entry| tables::action(&entry.name());
    let is_option = |name: &str| {
        let others = entries.iter().filter_map(present);
        others
            .filter(|action| action.key.name != name)
            .any(|action| action.fields().any(|field| field.name == name))
    };
    let mut found = entries
        .iter()
        .filter_map(|entry| Some((present(entry)?, &entry.value)));
    found.find(|(action, _)| !is_option(action.key.name))
}

impl Subject {
    /// The subject of what is inside a value of this one.
    fn inner(self) -> Subject {
        match self {
            Subject::Description | Subject::Schema => self,
            _ => Subject::Option,
        }
    }
}
