//! The syntax tree of an expression: macros are expanded, every node knows its range.

use std::sync::Arc;

use crate::source::{Range, Spanned};
use crate::value::Value;

/// A parsed expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    pub(super) root: Node,
}

impl Expression {
    pub(crate) fn range(&self) -> Range {
        self.root.range
    }

    /// The value, if the expression is nothing but `true` or `false`.
    pub(crate) fn as_bool(&self) -> Option<bool> {
        match &self.root.kind {
            Kind::Literal(Value::Bool(value)) => Some(*value),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) range: Range,
    /// Levels of nodes, this one included.
    pub(crate) depth: u16,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Literal(Value),
    /// `absolute`: written with a dot before it, so it never means a local variable.
    Name {
        name: Arc<str>,
        absolute: bool,
    },
    Select {
        operand: Box<Node>,
        field: Spanned<Arc<str>>,
        optional: bool,
    },
    /// `has(operand.field)`.
    Has {
        operand: Box<Node>,
        field: Spanned<Arc<str>>,
    },
    Index {
        operand: Box<Node>,
        index: Box<Node>,
        optional: bool,
    },
    Call {
        target: Option<Box<Node>>,
        name: Spanned<Arc<str>>,
        arguments: Vec<Node>,
    },
    /// `Add`, `And` and `Or` have two or more operands, the others as many as they need.
    Operator {
        operator: Operator,
        operands: Vec<Node>,
    },
    List(Vec<Item>),
    Map(Vec<Entry>),
    Comprehension(Box<Comprehension>),
    /// `cel.bind(name, value, body)`.
    Bind {
        name: Spanned<Arc<str>>,
        value: Box<Node>,
        body: Box<Node>,
    },
    /// `target.optMap(name, body)`, or `optFlatMap` if it is flat.
    OptionalMap {
        target: Box<Node>,
        name: Spanned<Arc<str>>,
        body: Box<Node>,
        flat: bool,
    },
    /// Unintelligible; a diagnostic explains why.
    Error,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    pub(crate) node: Node,
    pub(crate) optional: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: Node,
    pub(crate) value: Node,
    pub(crate) optional: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comprehension {
    pub(crate) kind: ComprehensionKind,
    pub(crate) over: Node,
    /// One, or two: index and item of a list, key and value of a map.
    pub(crate) variables: Vec<Spanned<Arc<str>>>,
    /// `map` and `transform…` take a filter before the body.
    pub(crate) filter: Option<Node>,
    pub(crate) body: Node,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ComprehensionKind {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
    TransformMap,
    TransformMapEntry,
    SortBy,
    GroupBy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Conditional,
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Not,
    Negate,
}

impl Operator {
    /// Whether it computes true or false from its two operands.
    #[inline]
    pub(crate) fn is_relation(self) -> bool {
        use Operator::*;
        matches!(
            self,
            Equal | NotEqual | Less | LessEqual | Greater | GreaterEqual | In
        )
    }

    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Operator::Conditional => "?:",
            Operator::Or => "||",
            Operator::And => "&&",
            Operator::Equal => "==",
            Operator::NotEqual => "!=",
            Operator::Less => "<",
            Operator::LessEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterEqual => ">=",
            Operator::In => "in",
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::Remainder => "%",
            Operator::Not => "!",
            Operator::Negate => "-",
        }
    }

    /// The infix operator written so, and how tightly it binds.
    pub(crate) fn infix(symbol: &str) -> Option<(Operator, u8)> {
        Some(match symbol {
            "||" => (Operator::Or, 1),
            "&&" => (Operator::And, 2),
            "==" => (Operator::Equal, 3),
            "!=" => (Operator::NotEqual, 3),
            "<" => (Operator::Less, 3),
            "<=" => (Operator::LessEqual, 3),
            ">" => (Operator::Greater, 3),
            ">=" => (Operator::GreaterEqual, 3),
            "in" => (Operator::In, 3),
            "+" => (Operator::Add, 4),
            "-" => (Operator::Subtract, 4),
            "*" => (Operator::Multiply, 5),
            "/" => (Operator::Divide, 5),
            "%" => (Operator::Remainder, 5),
            _ => return None,
        })
    }
}

impl Kind {
    /// Calls `visit` with each child.
    pub(crate) fn children<'a>(&'a self, visit: &mut dyn FnMut(&'a Node)) {
        match self {
            Kind::Literal(_) | Kind::Name { .. } | Kind::Error => {}
            Kind::Select { operand, .. } | Kind::Has { operand, .. } => visit(operand),
            Kind::Index { operand, index, .. } => {
                visit(operand);
                visit(index);
            }
            Kind::Call {
                target, arguments, ..
            } => target.iter().map(|t| &**t).chain(arguments).for_each(visit),
            Kind::Operator { operands, .. } => operands.iter().for_each(visit),
            Kind::List(items) => items.iter().for_each(|i| visit(&i.node)),
            Kind::Map(entries) => entries.iter().for_each(|e| {
                visit(&e.key);
                visit(&e.value);
            }),
            Kind::Comprehension(c) => {
                visit(&c.over);
                c.filter.iter().for_each(&mut *visit);
                visit(&c.body);
            }
            Kind::Bind { value, body, .. } => {
                visit(value);
                visit(body);
            }
            Kind::OptionalMap { target, body, .. } => {
                visit(target);
                visit(body);
            }
        }
    }
}
