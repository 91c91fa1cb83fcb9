//! Types of the loops over lists and maps.

use super::ast::{Comprehension, ComprehensionKind as Over};
use super::check::Checker;
use super::presence::facts;
use super::types::Type;
use crate::diagnostic::Diagnostic;

impl Checker<'_> {
    pub(super) fn comprehension(&mut self, c: &Comprehension) -> Type {
        let over = self.node(&c.over);
        let Some((key, value, is_map)) = turns(&over) else {
            let message = format!("expected a list or a map to iterate over, found {over}");
            self.report(
                Diagnostic::error("wrong-operand", c.over.range, message).label(format!("{over}")),
            );
            return Type::Dynamic;
        };
        let item = if is_map { key.clone() } else { value.clone() };
        let outside = self.locals.len();
        match &c.variables[..] {
            [first, second] => {
                self.locals.push((first.value.clone(), key.clone()));
                self.locals.push((second.value.clone(), value));
            }
            names => self
                .locals
                .extend(names.iter().map(|n| (n.value.clone(), item.clone()))),
        }
        let known = self.present.len();
        if let Some(filter) = &c.filter {
            self.condition(filter);
            facts(filter, true, &mut self.present);
        }
        let result = match c.kind {
            Over::All | Over::Exists | Over::ExistsOne => {
                self.condition(&c.body);
                Type::Bool
            }
            Over::Filter => {
                self.condition(&c.body);
                Type::list(item)
            }
            Over::Map => Type::list(self.node(&c.body)),
            Over::TransformMap => Type::map(key, self.node(&c.body)),
            Over::TransformMapEntry => match self.node(&c.body) {
                found @ Type::Map(..) => found,
                Type::Object(object) => Type::map(Type::String, object.values()),
                _ => Type::map(Type::Dynamic, Type::Dynamic),
            },
            Over::SortBy => {
                self.node(&c.body);
                Type::list(item)
            }
            Over::GroupBy => Type::map(self.node(&c.body), Type::list(item)),
        };
        self.present.truncate(known);
        self.locals.truncate(outside);
        result
    }
}

/// The types of a loop's two variables, and whether the loop is over a map.
fn turns(over: &Type) -> Option<(Type, Type, bool)> {
    match over {
        Type::List(item) => Some((Type::Int, (**item).clone(), false)),
        Type::Map(key, value) => Some(((**key).clone(), (**value).clone(), true)),
        Type::Object(object) => Some((Type::String, object.values(), true)),
        Type::Union(any) => match any.iter().filter_map(turns).collect::<Vec<_>>()[..] {
            [] => None,
            [ref only] => Some(only.clone()),
            _ => Some((Type::Dynamic, Type::Dynamic, false)),
        },
        open => open
            .is_open()
            .then_some((Type::Dynamic, Type::Dynamic, false)),
    }
}
