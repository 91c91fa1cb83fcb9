//! Operands and conditions: evaluation without creating a new value.

use super::ast::Operator;
use super::code::{Base, Id, Operation, PathField};
use super::context::{Failure, Operand};
use super::evaluate::{Machine, Result, Scope};
use super::operators;
use super::select::no_such_key;
use crate::value::Value;

impl<'a> Machine<'a> {
    #[inline(always)]
    pub(crate) fn charge_node(&mut self, id: Id) -> Result<()> {
        let cost = u64::from(self.costs[id as usize]);
        let charged = self.call.budget.charge(cost);
        self.located(id, charged)
    }

    /// Like [`Machine::eval`], without its overhead if the value already exists.
    #[inline(always)]
    pub(crate) fn operand<'s>(
        &mut self,
        id: Id,
        scope: Option<&'s Scope<'s>>,
    ) -> Result<Operand<'s>>
    where
        'a: 's,
    {
        match self.at_hand(id, scope)? {
            Some(value) => Ok(Operand::Borrowed(value)),
            None => self.eval(id, scope),
        }
    }

    /// A value that already exists; `None`, and nothing charged, if one must be computed.
    fn at_hand<'s>(&mut self, id: Id, scope: Option<&'s Scope<'s>>) -> Result<Option<&'s Value>>
    where
        'a: 's,
    {
        let operations = self.operations;
        let operation = &operations[id as usize];
        let (base, fields): (Base, &[PathField]) = match operation {
            Operation::Constant(value) => {
                self.charge_node(id)?;
                return Ok(Some(value));
            }
            Operation::Slot(slot) => (Base::Slot(*slot), &[]),
            Operation::Local(depth) => (Base::Local(*depth), &[]),
            Operation::Path(path) => (path.base, &path.fields),
            _ => return Ok(None),
        };
        let before = self.call.budget;
        let mut value = match base {
            Base::Slot(slot) => {
                self.charge_node(id)?;
                self.slot(id, slot)?
            }
            Base::Local(depth) => {
                self.charge_node(id)?;
                local(scope, depth)
            }
            Base::Operation(_) => return Ok(None),
        };
        for field in fields {
            let Value::Map(map) = value else {
                self.call.budget = before;
                return Ok(None);
            };
            match map.get(&field.name) {
                Some(found) => value = found,
                None => return Err(no_such_key(&field.name).at(field.range)),
            }
        }
        Ok(Some(value))
    }

    #[inline]
    fn related(&mut self, id: Id, operator: Operator, a: &Value, b: &Value) -> Result<bool> {
        let related = operators::relation(operator, a, b, &mut self.call.budget);
        self.located(id, related)
    }

    /// A condition.
    pub(crate) fn boolean<'s>(&mut self, id: Id, scope: Option<&'s Scope<'s>>) -> Result<bool>
    where
        'a: 's,
    {
        let operations = self.operations;
        match &operations[id as usize] {
            Operation::Binary(operator, a, b) if operator.is_relation() => {
                self.charge_node(id)?;
                let Some(left) = self.at_hand(*a, scope)? else {
                    let left = self.eval(*a, scope)?;
                    let right = self.operand(*b, scope)?;
                    return self.related(id, *operator, &left, &right);
                };
                match self.at_hand(*b, scope)? {
                    Some(right) => self.related(id, *operator, left, right),
                    None => {
                        let right = self.eval(*b, scope)?;
                        self.related(id, *operator, left, &right)
                    }
                }
            }
            Operation::And(operands) => {
                self.charge_node(id)?;
                self.and_or(operands, false, scope)
            }
            Operation::Or(operands) => {
                self.charge_node(id)?;
                self.and_or(operands, true, scope)
            }
            _ => match &*self.operand(id, scope)? {
                Value::Bool(b) => Ok(*b),
                other => Err(self.error(id, not_boolean(other))),
            },
        }
    }

    pub(crate) fn conditional<'s>(
        &mut self,
        [condition, then, other]: &[Id; 3],
        scope: Option<&'s Scope<'s>>,
    ) -> Result<Operand<'s>>
    where
        'a: 's,
    {
        match self.boolean(*condition, scope)? {
            true => self.eval(*then, scope),
            false => self.eval(*other, scope),
        }
    }

    /// `&&` and `||`: the deciding value takes precedence over errors and over values that are not boolean, on either
    /// side.
    pub(crate) fn and_or<'s>(
        &mut self,
        operands: &[Id],
        deciding: bool,
        scope: Option<&'s Scope<'s>>,
    ) -> Result<bool>
    where
        'a: 's,
    {
        let mut first_error = None;
        for id in operands {
            let error = match self.boolean(*id, scope) {
                Ok(b) if b == deciding => return Ok(deciding),
                Ok(_) => continue,
                Err(error) if error.kind.is_bound() => return Err(error),
                Err(error) => error,
            };
            first_error.get_or_insert(error);
        }
        first_error.map_or(Ok(!deciding), Err)
    }
}

pub(super) fn local<'s>(scope: Option<&'s Scope<'s>>, depth: u32) -> &'s Value {
    let mut scope = scope;
    for _ in 0..depth {
        scope = scope.and_then(|s| s.outer);
    }
    scope.map_or(&Value::Null, |s| s.value)
}

#[cold]
fn not_boolean(value: &Value) -> Failure {
    Failure::new(format!(
        "no matching overload: a condition is a bool, not {}",
        value.type_name()
    ))
}
