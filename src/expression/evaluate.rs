//! Code to value: a walk over the operations that borrows existing values and copies only what it must.

use std::sync::Arc;

use super::ast::Operator;
use super::code::{Base, CallOperation, Code, Id, MapEntry, Operation, Path};
use super::comprehension;
use super::context::{Budget, Context, EvaluationError, Failure, Operand, Variables};
use super::functions::{self, Call};
use super::operand::local;
use super::operators;
use super::result;
use super::select::{has, optional_select, walk};
use crate::source::Range;
use crate::value::{Key, Map, Value};

pub(super) type Result<T> = std::result::Result<T, Box<EvaluationError>>;

/// Evaluates an expression within the context's budget. A variable that is the whole expression is returned unchanged,
/// even while it is encoded.
pub fn evaluate(
    code: &Code,
    variables: &dyn Variables,
    context: &mut Context,
) -> std::result::Result<Value, EvaluationError> {
    operations(
        &code.operations,
        &code.costs,
        &code.ranges,
        variables,
        context,
    )
}

/// Evaluates the last of some operations.
pub(super) fn operations(
    operations: &[Operation],
    costs: &[u32],
    ranges: &[Range],
    variables: &dyn Variables,
    context: &mut Context,
) -> std::result::Result<Value, EvaluationError> {
    let root = operations.len() as Id - 1;
    if let Operation::Slot(slot) = &operations[root as usize]
        && let Some(value) = variables.get(*slot)
    {
        return Ok(value.clone());
    }
    let budget = context.budget();
    let before = budget.left;
    let mut machine = Machine {
        operations,
        costs,
        ranges,
        variables,
        call: Call::new(budget, &mut *context.host),
    };
    let value = machine.eval(root, None).and_then(|operand| match operand {
        Operand::Borrowed(value) => Ok(value.clone()),
        Operand::Owned(value) => match result::within_bounds(&value) {
            Ok(()) => Ok(value),
            Err(failure) => Err(failure.at(ranges[root as usize])),
        },
    });
    let after = machine.call.budget.left;
    context.spend(before, after);
    value.map_err(|error| *error)
}

/// A local variable and the ones around it.
#[derive(Clone, Copy)]
pub(super) struct Scope<'s> {
    pub(crate) value: &'s Value,
    pub(crate) outer: Option<&'s Scope<'s>>,
}

pub(super) struct Machine<'a> {
    pub(crate) operations: &'a [Operation],
    pub(crate) costs: &'a [u32],
    ranges: &'a [Range],
    variables: &'a dyn Variables,
    pub(crate) call: Call<'a>,
}

impl<'a> Machine<'a> {
    #[cold]
    pub(crate) fn error(&self, id: Id, failure: Failure) -> Box<EvaluationError> {
        failure.at(self.ranges[id as usize])
    }

    pub(crate) fn budget(&mut self) -> &mut Budget {
        &mut self.call.budget
    }

    /// Adds an operation's place to its failure.
    #[inline(always)]
    pub(crate) fn located<T>(&self, id: Id, result: std::result::Result<T, Failure>) -> Result<T> {
        match result {
            Ok(value) => Ok(value),
            Err(failure) => Err(self.error(id, failure)),
        }
    }

    pub(crate) fn eval<'s>(&mut self, id: Id, scope: Option<&'s Scope<'s>>) -> Result<Operand<'s>>
    where
        'a: 's,
    {
        let operations = self.operations;
        self.charge_node(id)?;
        let value = match &operations[id as usize] {
            Operation::Constant(value) => return Ok(Operand::Borrowed(value)),
            Operation::Slot(slot) => return self.slot(id, *slot).map(Operand::Borrowed),
            Operation::Local(depth) => return Ok(Operand::Borrowed(local(scope, *depth))),
            Operation::Path(path) => return self.path(id, path, scope),
            Operation::Binary(operator, a, b) => {
                let a = self.operand(*a, scope)?;
                let b = self.operand(*b, scope)?;
                self.binary(id, *operator, a, b)?
            }
            Operation::And(operands) => Value::Bool(self.and_or(operands, false, scope)?),
            Operation::Or(operands) => Value::Bool(self.and_or(operands, true, scope)?),
            Operation::Not(operand) => {
                let operand = self.eval(*operand, scope)?;
                self.located(id, operators::not(&operand))?
            }
            Operation::Negate(operand) => {
                let operand = self.eval(*operand, scope)?;
                self.located(id, operators::negate(&operand))?
            }
            Operation::Conditional(operands) => return self.conditional(operands, scope),
            other => return self.build(id, other, scope),
        };
        Ok(Operand::Owned(value))
    }

    /// The operations that build or call something: a separate function, so that the stack frame of the others stays
    /// small.
    #[inline(never)]
    fn build<'s>(
        &mut self,
        id: Id,
        operation: &'a Operation,
        scope: Option<&'s Scope<'s>>,
    ) -> Result<Operand<'s>>
    where
        'a: 's,
    {
        let value = match operation {
            Operation::Add(operands) => self.add(id, operands, scope)?,
            Operation::Call(call) => self.call(id, call, scope)?,
            Operation::Index {
                operand,
                index,
                optional,
            } => return self.index(id, (*operand, *index), *optional, scope),
            Operation::Has { operand, field } => {
                let operand = self.eval(*operand, scope)?;
                Value::Bool(self.located(id, has(&operand, field))?)
            }
            Operation::OptionalSelect { operand, field } => {
                let operand = self.eval(*operand, scope)?;
                self.located(id, optional_select(&operand, field))?
            }
            Operation::List(items) => self.list(id, items, scope)?,
            Operation::Record {
                keys,
                index,
                values,
            } => {
                let entries = self.record(keys, values, scope)?;
                Value::map(Map::from_indexed(entries, index.clone()))
            }
            Operation::Map(entries) => self.map(id, entries, scope)?,
            Operation::Concatenation(parts) => {
                self.with_all(id, parts, scope, functions::text::concatenate)?
            }
            Operation::Comprehension(looped) => comprehension::run(self, id, looped, scope)?,
            Operation::Bind { value, body } => self.bind(*value, *body, scope)?,
            Operation::OptionalMap { target, body, flat } => {
                self.optional_map(*target, *body, *flat, scope)?
            }
            Operation::Fail(message) => return Err(self.error(id, Failure::new(&**message))),
            Operation::DynAlone => {
                let value = self.call.budget.semantics.choose(
                    || Err(Failure::new("undeclared reference to 'dyn'")),
                    || Ok(Value::Type("dyn".into())),
                );
                self.located(id, value)?
            }
            Operation::Constant(_)
            | Operation::Slot(_)
            | Operation::Local(_)
            | Operation::Path(_)
            | Operation::Binary(..)
            | Operation::And(_)
            | Operation::Or(_)
            | Operation::Not(_)
            | Operation::Negate(_)
            | Operation::Conditional(_) => unreachable!("eval computes these itself"),
        };
        Ok(Operand::Owned(value))
    }

    fn bind(&mut self, value: Id, body: Id, scope: Option<&Scope>) -> Result<Value> {
        let value = self.eval(value, scope)?;
        let inner = Scope {
            value: &value,
            outer: scope,
        };
        Ok(self.eval(body, Some(&inner))?.into_owned())
    }

    #[inline]
    pub(crate) fn slot<'s>(&self, id: Id, slot: u32) -> Result<&'s Value>
    where
        'a: 's,
    {
        let Some(value) = self.variables.get(slot) else {
            return Err(self.error(id, Failure::new("the variable has no value yet")));
        };
        match value {
            Value::Encoded(_) => value
                .force()
                .map_err(|error| self.error(id, Failure::new(error.0))),
            value => Ok(value),
        }
    }

    pub(crate) fn all<'s>(
        &mut self,
        ids: &[Id],
        scope: Option<&'s Scope<'s>>,
    ) -> Result<Vec<Operand<'s>>>
    where
        'a: 's,
    {
        let mut operands = Vec::with_capacity(ids.len());
        for id in ids {
            operands.push(self.operand(*id, scope)?);
        }
        Ok(operands)
    }

    /// Computes from all operands together; a few of them need no list of their own.
    fn with_all<'s>(
        &mut self,
        id: Id,
        ids: &[Id],
        scope: Option<&'s Scope<'s>>,
        compute: fn(&[Operand], &mut Budget) -> std::result::Result<Value, Failure>,
    ) -> Result<Value>
    where
        'a: 's,
    {
        const FEW: usize = 4;
        let value = if ids.len() <= FEW {
            let mut operands = [const { Operand::Owned(Value::Null) }; FEW];
            for (operand, id) in operands.iter_mut().zip(ids) {
                *operand = self.operand(*id, scope)?;
            }
            compute(&operands[..ids.len()], &mut self.call.budget)
        } else {
            let operands = self.all(ids, scope)?;
            compute(&operands, &mut self.call.budget)
        };
        self.located(id, value)
    }

    /// `+` of several operands. A number that only becomes part of a text is not turned into a text of its own first.
    fn add<'s>(&mut self, id: Id, ids: &[Id], scope: Option<&'s Scope<'s>>) -> Result<Value>
    where
        'a: 's,
    {
        const FEW: usize = 4;
        let operations = self.operations;
        if ids.len() > FEW {
            return self.with_all(id, ids, scope, operators::add);
        }
        let mut operands = [const { Operand::Owned(Value::Null) }; FEW];
        let mut numbers = [false; FEW];
        for (i, part) in ids.iter().enumerate() {
            operands[i] = match &operations[*part as usize] {
                Operation::Call(call) if call.is_string => {
                    self.charge_node(*part)?;
                    let argument = self.operand(call.arguments[0], scope)?;
                    numbers[i] = matches!(*argument, Value::Int(_));
                    if numbers[i] {
                        argument
                    } else {
                        let text = self.call.run(call, &[argument]);
                        Operand::Owned(self.located(*part, text)?)
                    }
                }
                _ => self.operand(*part, scope)?,
            };
        }
        let operands = &mut operands[..ids.len()];
        let sum = operators::join(operands, &numbers[..ids.len()], &mut self.call.budget);
        self.located(id, sum)
    }

    #[inline]
    fn binary(&mut self, id: Id, operator: Operator, a: Operand, b: Operand) -> Result<Value> {
        let value = match (operator, &*a) {
            (Operator::Add, Value::String(_) | Value::Bytes(_) | Value::List(_)) => {
                operators::add(&[a, b], &mut self.call.budget)
            }
            (_, left) if operator.is_relation() => {
                operators::relation(operator, left, &b, &mut self.call.budget).map(Value::Bool)
            }
            (_, left) => operators::arithmetic(operator, left, &b, self.call.budget.semantics),
        };
        self.located(id, value)
    }

    fn path<'s>(
        &mut self,
        id: Id,
        path: &'a Path,
        scope: Option<&'s Scope<'s>>,
    ) -> Result<Operand<'s>>
    where
        'a: 's,
    {
        let base = match path.base {
            Base::Slot(slot) => self.slot(id, slot)?,
            Base::Local(depth) => local(scope, depth),
            Base::Operation(operand) => match self.eval(operand, scope)? {
                Operand::Borrowed(value) => value,
                Operand::Owned(value) => {
                    return match walk(&value, path)? {
                        Operand::Borrowed(found) => Ok(Operand::Owned(found.clone())),
                        Operand::Owned(found) => Ok(Operand::Owned(found)),
                    };
                }
            },
        };
        walk(base, path)
    }

    fn index<'s>(
        &mut self,
        id: Id,
        (operand, index): (Id, Id),
        optional: bool,
        scope: Option<&'s Scope<'s>>,
    ) -> Result<Operand<'s>>
    where
        'a: 's,
    {
        let operand = self.eval(operand, scope)?;
        let index = self.eval(index, scope)?;
        if let Value::Optional(inside) = &*operand {
            let found = match inside {
                None => None,
                Some(inner) => {
                    let found = operators::index(inner, &index, &mut self.call.budget);
                    self.located(id, found)?.cloned()
                }
            };
            return Ok(Operand::Owned(Value::Optional(found.map(Arc::new))));
        }
        if let Operand::Borrowed(value) = operand {
            let found = operators::index(value, &index, &mut self.call.budget);
            return match (self.located(id, found)?, optional) {
                (Some(found), false) => Ok(Operand::Borrowed(found)),
                (found, true) => Ok(Operand::Owned(Value::Optional(
                    found.cloned().map(Arc::new),
                ))),
                (None, false) => Err(self.error(id, operators::missing(value, &index))),
            };
        }
        let found = operators::index(&operand, &index, &mut self.call.budget);
        match (self.located(id, found)?, optional) {
            (Some(found), false) => Ok(Operand::Owned(found.clone())),
            (found, true) => Ok(Operand::Owned(Value::Optional(
                found.cloned().map(Arc::new),
            ))),
            (None, false) => Err(self.error(id, operators::missing(&operand, &index))),
        }
    }

    fn call<'s>(
        &mut self,
        id: Id,
        call: &'a CallOperation,
        scope: Option<&'s Scope<'s>>,
    ) -> Result<Value>
    where
        'a: 's,
    {
        let value = match *call.arguments {
            [a] => {
                let arguments = [self.operand(a, scope)?];
                self.call.run(call, &arguments)
            }
            [a, b] => {
                if let Some(decide) = call.decided_by_first {
                    let first = self.eval(a, scope)?;
                    if let Some(value) = decide(&first) {
                        return Ok(value);
                    }
                    let arguments = [first, self.eval(b, scope)?];
                    let value = self.call.run(call, &arguments);
                    return self.located(id, value);
                }
                let arguments = [self.operand(a, scope)?, self.operand(b, scope)?];
                self.call.run(call, &arguments)
            }
            ref ids => {
                let arguments = self.all(ids, scope)?;
                self.call.run(call, &arguments)
            }
        };
        self.located(id, value)
    }

    fn list<'s>(
        &mut self,
        id: Id,
        items: &[(Id, bool)],
        scope: Option<&'s Scope<'s>>,
    ) -> Result<Value>
    where
        'a: 's,
    {
        let charged = self.call.budget.charge_items(items.len());
        self.located(id, charged)?;
        let mut list = Vec::with_capacity(items.len());
        for (item, optional) in items {
            let value = self.operand(*item, scope)?.into_owned();
            match (optional, value) {
                (false, value) => list.push(value),
                (true, Value::Optional(Some(inner))) => list.push((*inner).clone()),
                (true, Value::Optional(None)) => {}
                (true, other) => return Err(self.error(*item, not_optional(&other))),
            }
        }
        Ok(Value::list(list))
    }

    fn record<'s>(
        &mut self,
        keys: &[Key],
        values: &[Id],
        scope: Option<&'s Scope<'s>>,
    ) -> Result<Vec<(Key, Value)>>
    where
        'a: 's,
    {
        let mut entries = Vec::with_capacity(keys.len());
        for (key, value) in keys.iter().zip(values) {
            entries.push((key.clone(), self.operand(*value, scope)?.into_owned()));
        }
        Ok(entries)
    }

    fn map<'s>(
        &mut self,
        id: Id,
        entries: &[MapEntry],
        scope: Option<&'s Scope<'s>>,
    ) -> Result<Value>
    where
        'a: 's,
    {
        let charged = self.call.budget.charge_items(entries.len());
        self.located(id, charged)?;
        let mut map = Map::with_capacity(entries.len());
        for entry in entries {
            let key = self.eval(entry.key, scope)?;
            let charged = operators::charge_key(&key, &mut self.call.budget);
            self.located(entry.key, charged)?;
            let Some(key) = Key::from_value(&key) else {
                return Err(self.error(entry.key, not_a_key(&key)));
            };
            let value = match (entry.optional, self.eval(entry.value, scope)?.into_owned()) {
                (false, value) => value,
                (true, Value::Optional(Some(inner))) => (*inner).clone(),
                (true, Value::Optional(None)) => continue,
                (true, other) => return Err(self.error(entry.value, not_optional(&other))),
            };
            if map.get_key(&key).is_some() {
                let message = format!(
                    "Failed with repeated key: {}",
                    operators::shown(&key.to_value())
                );
                return Err(self.error(entry.key, Failure::new(message)));
            }
            map.insert(key, value);
        }
        Ok(Value::map(map))
    }

    fn optional_map<'s>(
        &mut self,
        target: Id,
        body: Id,
        flat: bool,
        scope: Option<&'s Scope<'s>>,
    ) -> Result<Value>
    where
        'a: 's,
    {
        let value = self.eval(target, scope)?;
        let inside = match &*value {
            Value::Optional(None) => return Ok(Value::Optional(None)),
            Value::Optional(Some(inside)) => inside,
            other => return Err(self.error(target, not_optional(other))),
        };
        let inner = Scope {
            value: inside,
            outer: scope,
        };
        let mapped = self.eval(body, Some(&inner))?.into_owned();
        match (flat, mapped) {
            (false, value) => Ok(operators::some(value)),
            (true, value @ Value::Optional(_)) => Ok(value),
            (true, other) => Err(self.error(body, not_optional(&other))),
        }
    }
}

#[cold]
fn not_optional(value: &Value) -> Failure {
    Failure::new(format!(
        "no matching overload: an optional is needed here, not {}",
        value.type_name()
    ))
}

#[cold]
fn not_a_key(value: &Value) -> Failure {
    Failure::new(format!(
        "unsupported key type: {}; a map's keys are strings, ints, uints and bools",
        value.type_name()
    ))
}
