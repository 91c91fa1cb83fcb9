//! The loops over lists and maps: items are borrowed, and a turn costs one plus the cost of its body.

use super::ast::{ComprehensionKind as Over, Operator};
use super::code::{Id, Loop};
use super::context::{Budget, EvaluationError, Failure};
use super::evaluate::{Machine, Result, Scope};
use super::operators;
use crate::value::{Key, Map, Value};

/// Items of a result for which room is reserved before they exist and are paid for.
const ITEMS_EXPECTED_MAX: usize = 64;

pub(super) fn run<'a>(
    machine: &mut Machine<'a>,
    id: Id,
    looped: &'a Loop,
    scope: Option<&Scope>,
) -> Result<Value> {
    let over = machine.eval(looped.over, scope)?;
    let mut fold = Fold::new(looped, id);
    match &*over {
        Value::List(items) => {
            if matches!(looped.kind, Over::Map | Over::Filter) {
                fold.list.reserve(items.len().min(ITEMS_EXPECTED_MAX));
            }
            for (i, item) in items.iter().enumerate() {
                let index = Value::Int(i as i64);
                if !fold.turn(machine, (&index, item), item, scope)? {
                    break;
                }
            }
        }
        Value::Map(map) => {
            for (key, value) in map.iter() {
                let key = key.to_value();
                if !fold.turn(machine, (&key, value), &key, scope)? {
                    break;
                }
            }
        }
        other => {
            let message = format!(
                "no such overload: {} has nothing to go over; lists and maps have",
                other.type_name()
            );
            return Err(machine.error(looped.over, Failure::new(message)));
        }
    }
    fold.finish(machine)
}

/// The result of the turns so far.
struct Fold<'l> {
    looped: &'l Loop,
    id: Id,
    error: Option<Box<EvaluationError>>,
    decided: bool,
    count: usize,
    list: Vec<Value>,
    keys: Vec<Value>,
    map: Map,
}

impl<'l> Fold<'l> {
    fn new(looped: &'l Loop, id: Id) -> Self {
        Fold {
            looped,
            id,
            error: None,
            decided: false,
            count: 0,
            list: Vec::new(),
            keys: Vec::new(),
            map: Map::new(),
        }
    }

    /// One turn; false once the result is known. `pair` is for loops with two variables, `single` for those with one.
    fn turn(
        &mut self,
        machine: &mut Machine,
        pair: (&Value, &Value),
        single: &Value,
        scope: Option<&Scope>,
    ) -> Result<bool> {
        let charged = machine.budget().charge(1);
        machine.located(self.id, charged)?;
        if self.looped.two {
            let first = Scope {
                value: pair.0,
                outer: scope,
            };
            let second = Scope {
                value: pair.1,
                outer: Some(&first),
            };
            self.body(machine, pair.0, pair.1, &second)
        } else {
            let inner = Scope {
                value: single,
                outer: scope,
            };
            self.body(machine, pair.0, single, &inner)
        }
    }

    fn body(
        &mut self,
        machine: &mut Machine,
        key: &Value,
        item: &Value,
        scope: &Scope,
    ) -> Result<bool> {
        if let Some(filter) = self.looped.filter
            && !condition(machine, filter, scope)?
        {
            return Ok(true);
        }
        let body = self.looped.body;
        match self.looped.kind {
            Over::All => return self.decide(machine, false, scope),
            Over::Exists => return self.decide(machine, true, scope),
            Over::ExistsOne => self.count += usize::from(condition(machine, body, scope)?),
            Over::Filter => {
                if condition(machine, body, scope)? {
                    self.list.push(item.clone());
                }
            }
            Over::Map => {
                let value = machine.eval(body, Some(scope))?.into_owned();
                self.list.push(value);
            }
            Over::TransformMap => {
                let value = machine.eval(body, Some(scope))?.into_owned();
                self.insert(machine, key, value)?;
            }
            Over::TransformMapEntry => {
                let entries = machine.eval(body, Some(scope))?;
                let Value::Map(entries) = &*entries else {
                    let message = format!(
                        "no such overload: an entry is a map, not {}",
                        entries.type_name()
                    );
                    return Err(machine.error(body, Failure::new(message)));
                };
                let charged = machine.budget().charge_items(entries.len());
                machine.located(body, charged)?;
                for (key, value) in entries.iter() {
                    self.insert(machine, &key.to_value(), value.clone())?;
                }
            }
            Over::SortBy => {
                let key = machine.eval(body, Some(scope))?.into_owned();
                self.keys.push(key);
                self.list.push(item.clone());
            }
            Over::GroupBy => {
                let key = machine.eval(body, Some(scope))?;
                let charged = operators::charge_key(&key, machine.budget());
                machine.located(body, charged)?;
                let Some(key) = Key::from_value(&key) else {
                    let message = format!("unsupported key type: {}", key.type_name());
                    return Err(machine.error(body, Failure::new(message)));
                };
                self.group(key, item);
            }
        }
        Ok(true)
    }

    /// A turn of `all` or `exists`: an error is kept, since a later turn may still decide.
    fn decide(&mut self, machine: &mut Machine, deciding: bool, scope: &Scope) -> Result<bool> {
        match condition(machine, self.looped.body, scope) {
            Ok(b) if b == deciding => {
                self.decided = true;
                Ok(false)
            }
            Ok(_) => Ok(true),
            Err(error) if error.kind.is_bound() => Err(error),
            Err(error) => {
                self.error.get_or_insert(error);
                Ok(true)
            }
        }
    }

    fn insert(&mut self, machine: &mut Machine, key: &Value, value: Value) -> Result<()> {
        let charged = operators::charge_key(key, machine.budget());
        machine.located(self.looped.body, charged)?;
        let Some(key) = Key::from_value(key) else {
            let message = format!("unsupported key type: {}", key.type_name());
            return Err(machine.error(self.looped.body, Failure::new(message)));
        };
        if self.map.get_key(&key).is_some() {
            let message = format!(
                "insert failed: key {} already exists",
                operators::shown(&key.to_value())
            );
            return Err(machine.error(self.looped.body, Failure::new(message)));
        }
        self.map.insert(key, value);
        Ok(())
    }

    /// Groups are in the order in which their keys first occurred.
    fn group(&mut self, key: Key, item: &Value) {
        if let Some(Value::Int(position)) = self.map.get_key(&key)
            && let Some(Value::List(group)) = self.list.get_mut(*position as usize)
        {
            std::sync::Arc::make_mut(group).push(item.clone());
            return;
        }
        self.map.insert(key, Value::Int(self.list.len() as i64));
        self.list.push(Value::list(vec![item.clone()]));
    }

    fn finish(mut self, machine: &mut Machine) -> Result<Value> {
        Ok(match self.looped.kind {
            Over::All | Over::Exists => {
                let deciding = self.looped.kind == Over::Exists;
                match (self.decided, self.error) {
                    (true, _) => Value::Bool(deciding),
                    (false, Some(error)) => return Err(error),
                    (false, None) => Value::Bool(!deciding),
                }
            }
            Over::ExistsOne => Value::Bool(self.count == 1),
            Over::Filter | Over::Map => Value::list(self.list),
            Over::TransformMap | Over::TransformMapEntry => Value::map(self.map),
            Over::SortBy => {
                let sorted = sort_by(std::mem::take(&mut self.list), &self.keys, machine);
                machine.located(self.id, sorted)?
            }
            Over::GroupBy => {
                let keys: Vec<Key> = self.map.keys().cloned().collect();
                Value::map(keys.into_iter().zip(self.list).collect())
            }
        })
    }
}

fn condition(machine: &mut Machine, id: Id, scope: &Scope) -> Result<bool> {
    machine.boolean(id, Some(scope))
}

fn sort_by(
    list: Vec<Value>,
    keys: &[Value],
    machine: &mut Machine,
) -> std::result::Result<Value, Failure> {
    let order = sorted_order(keys, machine.budget())?;
    Ok(Value::list(
        order.into_iter().map(|i| list[i].clone()).collect(),
    ))
}

/// The positions of values in ascending order; equal ones keep theirs. All are of one type that has an order.
pub(super) fn sorted_order(
    keys: &[Value],
    budget: &mut Budget,
) -> std::result::Result<Vec<usize>, Failure> {
    let rounds = (usize::BITS - keys.len().leading_zeros()) as usize;
    for key in keys {
        let same = std::mem::discriminant(key) == std::mem::discriminant(&keys[0]);
        if !same && operators::compare_numbers(key, &keys[0]).is_none() {
            return Err(operators::no_overload(Operator::Less, &[&keys[0], key]));
        }
        // Comparing a key with itself costs at least as much as comparing it with another.
        for _ in 0..rounds {
            budget.charge(1)?;
            operators::compare(Operator::Less, key, key, budget)?;
        }
    }
    let mut order: Vec<usize> = (0..keys.len()).collect();
    let mut paid = Budget::UNLIMITED;
    order.sort_by(|a, b| {
        operators::compare(Operator::Less, &keys[*a], &keys[*b], &mut paid)
            .ok()
            .flatten()
            .unwrap_or_else(|| is_nan(&keys[*a]).cmp(&is_nan(&keys[*b])))
    });
    Ok(order)
}

fn is_nan(value: &Value) -> bool {
    matches!(value, Value::Double(d) if d.is_nan())
}
