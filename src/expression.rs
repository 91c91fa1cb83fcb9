//! Expressions: CEL over workflow data. Text → [`parse`] → [`check`] → [`compile`] → [`evaluate`].
//!
//! [`parse`] reads a bare expression, and [`template`] YAML data with `${ }` in it; neither fails, both return
//! diagnostics that point into the YAML file. An [`Environment`] defines what names mean at a place: each is a slot
//! with a [`Type`]. [`check`] returns an expression's type and its mistakes; [`compile`] returns [`Code`], which is
//! shared, immutable, and evaluated with [`Variables`] for the slots and a [`Context`] for time, randomness and the
//! budget.
//!
//! The functions and operators are one table, [`functions`], from which the checker, the compiler and the reference
//! (docs/expressions.md) are derived.

mod ast;
mod builder;
mod check;
mod check_comprehension;
mod check_template;
mod code;
mod compile;
mod comprehension;
mod context;
mod environment;
mod equals;
mod evaluate;
pub mod functions;
mod literal;
mod macros;
mod normal;
mod operand;
mod operators;
mod overload;
mod parse;
mod presence;
mod reference;
mod result;
mod scan;
mod schema;
mod select;
mod signature;
mod template;
mod types;

pub use ast::Expression;
pub(crate) use check::check_condition;
pub use check::{check, check_template, check_template_as};
pub use code::Code;
pub use compile::compile;
pub(crate) use compile::compile_template;
pub(crate) use context::{COST_MODEL_VERSION, Host, Variables};
pub use context::{Context, ErrorKind, ListCosts, NoHost, Semantics};
pub use environment::Environment;
pub(crate) use environment::Purity;
pub use evaluate::evaluate;
pub(crate) use functions::workflow::uuid_text;
pub(crate) use normal::{normal_expression, normal_template, same_expression, same_template};
pub use parse::parse;
pub use reference::reference;
pub(crate) use signature::Signature;
pub(crate) use template::Template;
pub use template::template;
pub use types::Type;
pub(crate) use types::{Field, Object, Other, Presence};
