//! Compiled expressions: operations in one array, children before parents, names resolved to slots.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::ast::{ComprehensionKind, Operator};
use super::functions::{Decide, Overload, regex::Regex};
use super::signature::KINDS;
use crate::source::{FileId, Range};
use crate::value::{Index, Key, Value};

/// The position of an operation in [`Code`].
pub(super) type Id = u32;

/// An expression ready to be evaluated: shared, immutable, with all names resolved.
#[derive(Debug)]
pub struct Code {
    pub(super) operations: Box<[Operation]>,
    pub(super) costs: Box<[u32]>,
    pub(super) ranges: Box<[Range]>,
    /// The slots it reads, ascending.
    pub(super) reads: Box<[u32]>,
    pub(super) patterns_size_bytes: usize,
}

impl Code {
    pub(crate) fn reads(&self, slot: u32) -> bool {
        self.reads.binary_search(&slot).is_ok()
    }

    /// Code that always evaluates to this value; it has no place in a file.
    pub(crate) fn constant_of(value: Value) -> Code {
        Code {
            operations: [Operation::Constant(value)].into(),
            costs: [0].into(),
            ranges: [Range::new(FileId(0), 0, 0)].into(),
            reads: [].into(),
            patterns_size_bytes: 0,
        }
    }

    /// The number of its operations.
    pub(crate) fn size(&self) -> usize {
        self.operations.len()
    }

    /// The approximate compiled size of its patterns.
    pub(crate) fn patterns_size_bytes(&self) -> usize {
        self.patterns_size_bytes
    }

    /// Whether its result depends only on the values in its slots: neither on time nor on randomness.
    pub(crate) fn reads_only_slots(&self) -> bool {
        !self.operations.iter().any(|operation| match operation {
            Operation::Call(call) => !call.overloads.iter().all(|o| o.is_pure()),
            _ => false,
        })
    }

    /// The fields that it reads from the value in a slot; `None` if it uses the value as a whole.
    pub(crate) fn fields_read(&self, slot: u32) -> Option<BTreeSet<&Arc<str>>> {
        let mut fields = BTreeSet::new();
        let is_slot =
            |id: &Id| matches!(self.operations[*id as usize], Operation::Slot(s) if s == slot);
        let mut selected = 0;
        let mut whole = 0;
        for operation in &self.operations {
            match operation {
                Operation::Slot(s) if *s == slot => whole += 1,
                Operation::Path(path) if matches!(path.base, Base::Slot(s) if s == slot) => {
                    fields.extend(path.fields.first().map(|field| &field.name));
                }
                Operation::Has { operand, field }
                | Operation::OptionalSelect { operand, field }
                    if is_slot(operand) =>
                {
                    selected += 1;
                    fields.insert(field);
                }
                Operation::Index { operand, index, .. } if is_slot(operand) => {
                    if let Operation::Constant(Value::String(field)) =
                        &self.operations[*index as usize]
                    {
                        selected += 1;
                        fields.insert(field);
                    }
                }
                _ => {}
            }
        }
        (selected == whole).then_some(fields)
    }

    /// The value, if it is always the same.
    pub(crate) fn constant(&self) -> Option<&Value> {
        match self.operations.last() {
            Some(Operation::Constant(value)) => Some(value),
            _ => None,
        }
    }

    /// The range of the whole expression.
    pub(crate) fn range(&self) -> Range {
        self.ranges[self.ranges.len() - 1]
    }
}

#[derive(Debug)]
pub(super) enum Operation {
    Constant(Value),
    Slot(u32),
    /// A variable of a comprehension, counted outwards from the innermost.
    Local(u32),
    Path(Box<Path>),
    Has {
        operand: Id,
        field: Arc<str>,
    },
    OptionalSelect {
        operand: Id,
        field: Arc<str>,
    },
    Index {
        operand: Id,
        index: Id,
        optional: bool,
    },
    Not(Id),
    Negate(Id),
    And(Box<[Id]>),
    Or(Box<[Id]>),
    Add(Box<[Id]>),
    Binary(Operator, Id, Id),
    Conditional([Id; 3]),
    Call(Box<CallOperation>),
    List(Box<[(Id, bool)]>),
    Map(Box<[MapEntry]>),
    /// A map whose keys are known strings, all different.
    Record {
        keys: Box<[Key]>,
        index: Option<Arc<Index>>,
        values: Box<[Id]>,
    },
    /// Texts and values side by side, as in a template.
    Concatenation(Box<[Id]>),
    Comprehension(Box<Loop>),
    Bind {
        value: Id,
        body: Id,
    },
    OptionalMap {
        target: Id,
        body: Id,
        flat: bool,
    },
    Fail(Box<str>),
    /// The name `dyn`, which is not a value. Older engines read it as a type.
    DynAlone,
}

/// `base.a.b.c`, walked without intermediate values.
#[derive(Debug)]
pub(super) struct Path {
    pub(crate) base: Base,
    pub(crate) fields: Box<[PathField]>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Base {
    Slot(u32),
    Local(u32),
    Operation(Id),
}

#[derive(Debug)]
pub(super) struct PathField {
    pub(crate) name: Arc<str>,
    /// From the path's start to this field.
    pub(crate) range: Range,
}

#[derive(Debug)]
pub(super) struct MapEntry {
    pub(crate) key: Id,
    pub(crate) value: Id,
    pub(crate) optional: bool,
}

#[derive(Debug)]
pub(super) struct CallOperation {
    pub(crate) name: Arc<str>,
    /// The overloads that match the name, the form and the number of arguments; the values decide between them.
    pub(crate) overloads: Box<[&'static Overload]>,
    pub(crate) arguments: Box<[Id]>,
    /// The position among them at which the search begins, by the kind of the first value.
    pub(crate) first: [u8; KINDS],
    /// `string(x)`.
    pub(crate) is_string: bool,
    /// The second argument is evaluated only if the first does not decide.
    pub(crate) decided_by_first: Option<Decide>,
    /// The pattern argument, if it is constant.
    pub(crate) regex: Option<Regex>,
}

#[derive(Debug)]
pub(super) struct Loop {
    pub(crate) kind: ComprehensionKind,
    pub(crate) over: Id,
    pub(crate) two: bool,
    pub(crate) filter: Option<Id>,
    pub(crate) body: Id,
}
