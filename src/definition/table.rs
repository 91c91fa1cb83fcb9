//! The form of the tables that define what a definition may contain: parser, JSON Schema and reference are all derived
//! from them.

use super::{Kind, tables};
pub(crate) use crate::words::Choice;

/// The name of a key that some table has. [`key!`] makes one and does not compile for any other name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key(&'static str);

impl Key {
    /// # Panics
    ///
    /// If no table has the key: in a constant this is a compile error.
    pub(crate) const fn of(name: &'static str) -> Key {
        assert!(tables::have(name), "no table has this key");
        Key(name)
    }

    pub(crate) const fn name(self) -> &'static str {
        self.0
    }
}

impl std::ops::Deref for Key {
    type Target = str;

    fn deref(&self) -> &str {
        self.0
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

/// A key by its name, looked up in the tables at compile time.
macro_rules! key {
    ($name:literal) => {
        const { $crate::definition::table::Key::of($name) }
    };
}

pub(crate) use key;

/// One key of a mapping.
#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    /// A sentence in Markdown.
    pub(crate) meaning: &'static str,
    pub(crate) shape: Shape,
    pub(crate) required: bool,
    /// What applies if the key is absent; empty if there is no default.
    pub(crate) default: &'static str,
}

/// What a key's value may be.
#[derive(Debug)]
pub(crate) enum Shape {
    /// The language's version, 1.
    Version,
    /// A text without expressions.
    Text,
    /// A name that expressions use: letters, digits and `_`.
    Identifier,
    Flag,
    /// A text, or `${ }`, or both mixed.
    TextTemplate,
    /// A number, or `${ }`.
    NumberTemplate,
    /// Any data, with `${ }` anywhere in it.
    Template,
    /// A list of data, with `${ }` anywhere in it.
    Templates,
    /// A mapping of data, with `${ }` anywhere in its values.
    MappingTemplate,
    /// A mapping with keys from a table, with `${ }` anywhere in its values.
    Request(&'static Table),
    /// A bare expression; `${ }` around it is allowed.
    Expression,
    /// A bare expression, or nothing.
    OptionalExpression,
    /// `10s`, `1h 30m`, ISO 8601, or `${ }`.
    Duration,
    OneOf(&'static [Choice]),
    /// A JSON Schema 2020-12; the name of a type alone is short for `{ type: … }`.
    Schema,
    /// Data without expressions.
    Data,
    /// Nothing: the key alone.
    Nothing,
    Steps,
    Mapping(&'static Table),
    /// A mapping with the author's own names as keys.
    Named(&'static Shape),
    List(&'static Shape),
    /// The second form if the value is a mapping, otherwise the first.
    Either(&'static Shape, &'static Shape),
    /// One text, or a list of them.
    TextOrTexts,
    /// A whole number within bounds.
    Whole {
        least: u64,
        most: u64,
    },
    /// A field of a calendar: a number, a text like `9-17`, or a list of them.
    CalendarField,
    /// A mapping like a step of its own, of one of these actions.
    StepOf(&'static [Kind]),
}

/// A mapping with fixed keys.
#[derive(Debug)]
pub struct Table {
    /// How messages and the reference call it: "a definition", "a retry policy".
    pub(crate) name: &'static str,
    /// In groups that several tables share.
    pub(crate) groups: &'static [&'static [Field]],
}

impl Table {
    pub fn fields(&self) -> impl Iterator<Item = &'static Field> + Clone + use<> {
        let groups: &'static [&'static [Field]] = self.groups;
        groups.iter().flat_map(|group| group.iter())
    }
}

/// A kind of step.
#[derive(Debug)]
pub struct Action {
    pub(crate) kind: Kind,
    /// The action key and its value.
    pub key: Field,
    /// Further keys of the step, in groups that several actions share.
    pub(crate) options: &'static [&'static [Field]],
    /// What the step's id is bound to.
    pub(crate) result: &'static str,
}

impl Action {
    pub(crate) fn fields(&self) -> impl Iterator<Item = &'static Field> + Clone + use<> {
        let options: &'static [&'static [Field]] = self.options;
        options.iter().flat_map(|group| group.iter())
    }
}

/// Equality of texts in constants.
const fn is_same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut place = 0;
    while place < a.len() {
        if a[place] != b[place] {
            return false;
        }
        place += 1;
    }
    true
}

pub(super) const fn any_has(groups: &[&[Field]], name: &str) -> bool {
    let mut group = 0;
    while group < groups.len() {
        let mut place = 0;
        while place < groups[group].len() {
            if groups[group][place].has(name) {
                return true;
            }
            place += 1;
        }
        group += 1;
    }
    false
}

impl Shape {
    /// Whether a key within a value of this shape has the name.
    const fn has(&self, name: &str) -> bool {
        match self {
            Shape::Mapping(table) | Shape::Request(table) => any_has(table.groups, name),
            Shape::Named(shape) | Shape::List(shape) => shape.has(name),
            Shape::Either(first, second) => first.has(name) || second.has(name),
            Shape::Version
            | Shape::Text
            | Shape::Identifier
            | Shape::Flag
            | Shape::TextTemplate
            | Shape::NumberTemplate
            | Shape::Template
            | Shape::Templates
            | Shape::MappingTemplate
            | Shape::Expression
            | Shape::OptionalExpression
            | Shape::Duration
            | Shape::OneOf(_)
            | Shape::Schema
            | Shape::Data
            | Shape::Nothing
            | Shape::Steps
            | Shape::TextOrTexts
            | Shape::Whole { .. }
            | Shape::CalendarField
            | Shape::StepOf(_) => false,
        }
    }

    /// The keys of the mapping that it is, or that it may be.
    pub(crate) fn table(&self) -> Option<&'static Table> {
        if let Shape::Mapping(table) | Shape::Either(_, Shape::Mapping(table)) = self {
            return Some(table);
        }
        None
    }

    /// For messages: what is expected here.
    pub(crate) fn expected(&self) -> &'static str {
        match self {
            Shape::Version => "the number 1",
            Shape::Text | Shape::TextTemplate => "a text",
            Shape::Identifier => "a name of letters, digits and `_`",
            Shape::Flag => "true or false",
            Shape::NumberTemplate => "a number",
            Shape::Whole { .. } => "a whole number",
            Shape::Template | Shape::Data => "a value",
            Shape::Templates | Shape::List(_) => "a list",
            Shape::MappingTemplate | Shape::Request(_) | Shape::Mapping(_) | Shape::Named(_) => {
                "a mapping"
            }
            Shape::Expression | Shape::OptionalExpression => "an expression",
            Shape::Duration => "a duration",
            Shape::OneOf(_) => "one of the known words",
            Shape::Schema => "a JSON Schema",
            Shape::Nothing => "nothing",
            Shape::Steps => "a list of steps",
            Shape::Either(first, _) => first.expected(),
            Shape::TextOrTexts => "a text or a list of texts",
            Shape::CalendarField => "a number, a text like `9-17`, or a list of them",
            Shape::StepOf(_) => "a mapping with one action key",
        }
    }
}

pub(crate) const fn field(name: &'static str, shape: Shape, meaning: &'static str) -> Field {
    Field {
        name,
        meaning,
        shape,
        required: false,
        default: "",
    }
}

impl Field {
    pub(crate) const fn key(&self) -> Key {
        Key(self.name)
    }

    /// Whether it is of this name, or one within its value is.
    pub(super) const fn has(&self, name: &str) -> bool {
        is_same(self.name, name) || self.shape.has(name)
    }

    pub(crate) const fn required(self) -> Field {
        Field {
            required: true,
            ..self
        }
    }

    pub(crate) const fn default(self, default: &'static str) -> Field {
        Field { default, ..self }
    }
}

pub(crate) const fn choice(name: &'static str, meaning: &'static str) -> Choice {
    Choice { name, meaning }
}
