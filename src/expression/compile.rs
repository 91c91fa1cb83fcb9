//! Syntax tree to code: names become slots, selections paths, constants values, patterns regular expressions.

use std::sync::Arc;

use super::ast::{Comprehension, Entry, Expression, Item, Kind, Node, Operator};
use super::code::{Base, CallOperation, Code, Id, Loop, MapEntry, Operation, Path, PathField};
use super::context::{Context, Failure, ListCosts, NoHost, Semantics};
use super::environment::Environment;
use super::evaluate;
use super::functions;
use super::template::{Template, TemplateKind, TemplateNode};
use crate::source::{Range, Spanned};
use crate::value::{Index, Key, Value};

/// What folding a constant may cost; a more expensive one is left to the evaluation, which has a budget of its own.
const FOLDING_COST_MAX: u64 = 1_000;
/// What folding may cost beyond the size of the source, which costs the same unfolded: a short text with a large value,
/// like `lists.range(900)`, is evaluated when it is needed; otherwise thousands of them would fill the memory.
const FOLDING_COST_FREE: u64 = 16;

/// Compiles an expression. A part that the checker would refuse compiles to an error at evaluation.
pub fn compile(expression: &Expression, environment: &Environment) -> Code {
    let mut compiler = Compiler::new(environment);
    compiler.node(&expression.root);
    compiler.finish()
}

/// Compiles YAML data with expressions in it.
pub(crate) fn compile_template(template: &Template, environment: &Environment) -> Code {
    let mut compiler = Compiler::new(environment);
    compiler.template(&template.root);
    compiler.finish()
}

struct Compiler<'e> {
    environment: &'e Environment,
    operations: Vec<Operation>,
    costs: Vec<u32>,
    ranges: Vec<Range>,
    locals: Vec<Arc<str>>,
    /// The compiled size of the patterns so far.
    patterns_size_bytes: usize,
}

impl<'e> Compiler<'e> {
    fn new(environment: &'e Environment) -> Self {
        Compiler {
            environment,
            operations: Vec::new(),
            costs: Vec::new(),
            ranges: Vec::new(),
            locals: Vec::new(),
            patterns_size_bytes: 0,
        }
    }

    fn finish(self) -> Code {
        let mut reads: Vec<u32> = Vec::new();
        for operation in &self.operations {
            match operation {
                Operation::Slot(slot) => reads.push(*slot),
                Operation::Path(path) => {
                    if let Base::Slot(slot) = path.base {
                        reads.push(slot);
                    }
                }
                _ => {}
            }
        }
        reads.sort_unstable();
        reads.dedup();
        Code {
            operations: self.operations.into(),
            costs: self.costs.into(),
            ranges: self.ranges.into(),
            reads: reads.into(),
            patterns_size_bytes: self.patterns_size_bytes,
        }
    }

    fn push(&mut self, operation: Operation, range: Range) -> Id {
        self.push_costly(operation, range, 1)
    }

    /// `cost`: the number of nodes of the syntax tree that the operation replaces. Fusing nodes must not make them
    /// cheaper, or the cost of an expression would change with the compiler.
    fn push_costly(&mut self, operation: Operation, range: Range, cost: u32) -> Id {
        self.operations.push(operation);
        self.costs.push(cost);
        self.ranges.push(range);
        self.operations.len() as Id - 1
    }

    /// The position of the next operation.
    fn mark(&self) -> usize {
        self.operations.len()
    }

    /// Evaluates the last operation now if everything since `mark` is constant.
    fn fold(&mut self, mark: usize, id: Id) -> Id {
        let children = &self.operations[mark..id as usize];
        if !children.iter().all(|o| matches!(o, Operation::Constant(_))) {
            return id;
        }
        let written: u64 = self.costs[mark..=id as usize]
            .iter()
            .map(|cost| u64::from(*cost))
            .sum();
        let most = FOLDING_COST_MAX.min(2 * written + FOLDING_COST_FREE);
        let mut host = NoHost;
        // The cost of folding is charged to runs of any age, so it must stay what it was for the oldest.
        let mut context = Context::with_cost_left(&mut host, most)
            .semantics(Semantics::Both)
            .list_costs(ListCosts::Pairwise);
        let evaluated = evaluate::operations(
            &self.operations,
            &self.costs,
            &self.ranges,
            &Vec::new(),
            &mut context,
        );
        let Ok(value) = evaluated else {
            return id;
        };
        let cost = (most - context.cost_left()) as u32;
        let range = self.ranges[id as usize];
        self.truncate(mark);
        self.push_costly(Operation::Constant(value), range, cost)
    }

    fn truncate(&mut self, mark: usize) {
        self.operations.truncate(mark);
        self.costs.truncate(mark);
        self.ranges.truncate(mark);
    }

    fn constant(&self, id: Id) -> Option<&Value> {
        match &self.operations[id as usize] {
            Operation::Constant(value) => Some(value),
            _ => None,
        }
    }

    fn fail(&mut self, message: impl Into<Box<str>>, range: Range) -> Id {
        self.push(Operation::Fail(message.into()), range)
    }

    fn node(&mut self, node: &Node) -> Id {
        let range = node.range;
        match &node.kind {
            Kind::Literal(value) => self.push(Operation::Constant(value.clone()), range),
            Kind::Name { .. } => self.path(node, Vec::new(), range),
            Kind::Select {
                operand,
                field,
                optional: false,
            } => self.path(operand, vec![field], range),
            Kind::Select { operand, field, .. } => {
                let operand = self.node(operand);
                let field = field.value.clone();
                self.push(Operation::OptionalSelect { operand, field }, range)
            }
            Kind::Has { operand, field } => {
                let operand = self.node(operand);
                let field = field.value.clone();
                self.push(Operation::Has { operand, field }, range)
            }
            Kind::Index {
                operand,
                index,
                optional,
            } => {
                let mark = self.mark();
                let operand = self.node(operand);
                let index = self.node(index);
                let optional = *optional;
                let operation = Operation::Index {
                    operand,
                    index,
                    optional,
                };
                let id = self.push(operation, range);
                self.fold(mark, id)
            }
            Kind::Call {
                target,
                name,
                arguments,
            } => self.call(target.as_deref(), name, arguments, range),
            Kind::Operator { operator, operands } => self.operator(*operator, operands, range),
            Kind::List(items) => self.list(items, range),
            Kind::Map(entries) => self.map(entries, range),
            Kind::Comprehension(comprehension) => self.comprehension(comprehension, range),
            Kind::Bind { name, value, body } => {
                let value = self.node(value);
                let body = self.inside(&[name], |c| c.node(body));
                self.push(Operation::Bind { value, body }, range)
            }
            Kind::OptionalMap {
                target,
                name,
                body,
                flat,
            } => {
                let target = self.node(target);
                let body = self.inside(&[name], |c| c.node(body));
                let flat = *flat;
                self.push(Operation::OptionalMap { target, body, flat }, range)
            }
            Kind::Error => self.fail("the expression has a syntax error", range),
        }
    }

    /// Compiles with more local variables in force.
    fn inside(&mut self, names: &[&Spanned<Arc<str>>], body: impl FnOnce(&mut Self) -> Id) -> Id {
        let outside = self.locals.len();
        self.locals.extend(names.iter().map(|n| n.value.clone()));
        let id = body(self);
        self.locals.truncate(outside);
        id
    }

    /// A chain of selections down to its base. `fields` are those outside `node`, outermost first.
    fn path<'n>(
        &mut self,
        node: &'n Node,
        mut fields: Vec<&'n Spanned<Arc<str>>>,
        range: Range,
    ) -> Id {
        let mut base = node;
        while let Kind::Select {
            operand,
            field,
            optional: false,
        } = &base.kind
        {
            fields.push(field);
            base = operand;
        }
        fields.reverse();
        let (start, skip) = match &base.kind {
            Kind::Name { name, absolute } => match self.name(name, *absolute, &fields) {
                Some(found) => found,
                None => match self.type_named(name, &fields) {
                    Some(value) => {
                        let cost = 1 + fields.len() as u32;
                        return self.push_costly(Operation::Constant(value), range, cost);
                    }
                    None if &**name == "dyn" && fields.is_empty() => {
                        return self.push(Operation::DynAlone, range);
                    }
                    None => {
                        return self.fail(format!("undeclared reference to '{name}'"), base.range);
                    }
                },
            },
            _ => {
                let mark = self.mark();
                let id = self.node(base);
                let cost = fields.len() as u32;
                let id = self.push_path(Base::Operation(id), base, &fields, range, cost);
                return self.fold(mark, id);
            }
        };
        let cost = 1 + fields.len() as u32;
        match (start, fields.len() == skip) {
            (Base::Slot(slot), true) => self.push_costly(Operation::Slot(slot), range, cost),
            (Base::Local(local), true) => self.push_costly(Operation::Local(local), range, cost),
            _ => self.push_path(start, base, &fields[skip..], range, cost),
        }
    }

    fn push_path(
        &mut self,
        start: Base,
        base: &Node,
        fields: &[&Spanned<Arc<str>>],
        range: Range,
        cost: u32,
    ) -> Id {
        let fields = fields
            .iter()
            .map(|field| PathField {
                name: field.value.clone(),
                range: base.range.to(field.range),
            })
            .collect();
        let path = Path {
            base: start,
            fields,
        };
        self.push_costly(Operation::Path(Box::new(path)), range, cost)
    }

    /// The location of a name's value, and how many of the fields belong to the name.
    fn name(
        &self,
        name: &str,
        absolute: bool,
        fields: &[&Spanned<Arc<str>>],
    ) -> Option<(Base, usize)> {
        if !absolute && let Some(i) = self.locals.iter().rposition(|l| **l == *name) {
            return Some((Base::Local((self.locals.len() - 1 - i) as u32), 0));
        }
        let mut parts = vec![name];
        parts.extend(fields.iter().map(|f| &*f.value));
        let (used, variable) = self.environment.resolve(&parts, absolute)?;
        Some((Base::Slot(variable.slot), used - 1))
    }

    fn type_named(&self, name: &str, fields: &[&Spanned<Arc<str>>]) -> Option<Value> {
        let mut full = name.to_owned();
        for field in fields {
            full.push('.');
            full.push_str(&field.value);
        }
        functions::type_named(&full).map(|name| Value::Type(name.into()))
    }

    /// A namespaced function's whole name, if the target is that namespace and not a variable.
    fn namespaced(&self, target: &Node, name: &str) -> Option<String> {
        let mut parts = vec![name];
        let mut node = target;
        loop {
            match &node.kind {
                Kind::Select {
                    operand,
                    field,
                    optional: false,
                } => {
                    parts.push(&field.value);
                    node = operand;
                }
                Kind::Name { name, .. } if !self.locals.contains(name) => {
                    parts.push(name);
                    break;
                }
                _ => return None,
            }
        }
        parts.reverse();
        let full = parts.join(".");
        functions::exists(&full, false).then_some(full)
    }

    fn call(
        &mut self,
        target: Option<&Node>,
        name: &Spanned<Arc<str>>,
        arguments: &[Node],
        range: Range,
    ) -> Id {
        let (full, member) = match target {
            Some(target) => match self.namespaced(target, &name.value) {
                Some(full) => (Arc::from(full), None),
                None => (name.value.clone(), Some(target)),
            },
            None => (name.value.clone(), None),
        };
        if !functions::exists(&full, member.is_some()) {
            let message = functions::unknown(&full, member.is_some());
            return self.fail(message, name.range);
        }
        let mark = self.mark();
        let arguments: Box<[Id]> = member
            .into_iter()
            .chain(arguments)
            .map(|argument| self.node(argument))
            .collect();
        let overloads = functions::candidates(&full, member.is_some(), arguments.len());
        let pure = overloads.iter().all(|o| o.is_pure());
        let regex = overloads
            .iter()
            .find_map(|o| o.pattern)
            .and_then(|i| arguments.get(i))
            .and_then(|id| self.constant(*id))
            .and_then(Value::as_str)
            .map(|pattern| {
                let left = self.environment.patterns_left() - self.patterns_size_bytes;
                let size = functions::regex::program_size_bytes(pattern, left)?;
                Ok((functions::regex::compile(pattern)?, size.unwrap_or(0)))
            });
        let regex = match regex {
            Some(Err::<_, Failure>(failure)) => {
                return self.fail(failure.message(), range);
            }
            Some(Ok((regex, size))) => {
                self.patterns_size_bytes += size;
                Some(regex)
            }
            None => None,
        };
        let operation = CallOperation {
            first: functions::first_by_kind(&overloads),
            is_string: &*full == "string" && member.is_none() && arguments.len() == 1,
            name: full,
            decided_by_first: overloads.iter().find_map(|o| o.decided_by_first),
            overloads: overloads.into(),
            arguments,
            regex,
        };
        let id = self.push(Operation::Call(Box::new(operation)), range);
        if pure { self.fold(mark, id) } else { id }
    }

    fn operator(&mut self, operator: Operator, operands: &[Node], range: Range) -> Id {
        let mark = self.mark();
        let ids: Vec<Id> = operands.iter().map(|o| self.node(o)).collect();
        let cost = operands.len().saturating_sub(1).max(1) as u32;
        let operation = match (operator, &ids[..]) {
            (Operator::Not, [one]) => Operation::Not(*one),
            (Operator::Negate, [one]) => Operation::Negate(*one),
            (Operator::And, _) => Operation::And(ids.into()),
            (Operator::Or, _) => Operation::Or(ids.into()),
            (Operator::Add, _) if ids.len() > 2 => Operation::Add(ids.into()),
            (Operator::Conditional, [a, b, c]) => Operation::Conditional([*a, *b, *c]),
            (_, [a, b]) => Operation::Binary(operator, *a, *b),
            _ => Operation::Fail("an operator lacks an operand".into()),
        };
        let cost = match operation {
            Operation::Add(_) => cost,
            _ => 1,
        };
        let id = self.push_costly(operation, range, cost);
        self.fold(mark, id)
    }

    fn list(&mut self, items: &[Item], range: Range) -> Id {
        let mark = self.mark();
        let items = items
            .iter()
            .map(|item| (self.node(&item.node), item.optional))
            .collect();
        let id = self.push(Operation::List(items), range);
        self.fold(mark, id)
    }

    fn map(&mut self, entries: &[Entry], range: Range) -> Id {
        if let Some(keys) = constant_keys(entries) {
            let mark = self.mark();
            let values = entries.iter().map(|e| self.node(&e.value)).collect();
            return self.record(mark, keys, values, range);
        }
        let mark = self.mark();
        let entries = entries
            .iter()
            .map(|entry| MapEntry {
                key: self.node(&entry.key),
                value: self.node(&entry.value),
                optional: entry.optional,
            })
            .collect();
        let id = self.push(Operation::Map(entries), range);
        self.fold(mark, id)
    }

    fn record(&mut self, mark: usize, keys: Vec<Key>, values: Box<[Id]>, range: Range) -> Id {
        let cost = 1 + keys.len() as u32;
        let operation = Operation::Record {
            index: Index::of(keys.iter()),
            keys: keys.into(),
            values,
        };
        let id = self.push_costly(operation, range, cost);
        self.fold(mark, id)
    }

    fn comprehension(&mut self, c: &Comprehension, range: Range) -> Id {
        let over = self.node(&c.over);
        let names: Vec<&Spanned<Arc<str>>> = c.variables.iter().collect();
        let two = names.len() == 2;
        let outside = self.locals.len();
        self.locals.extend(names.iter().map(|n| n.value.clone()));
        let filter = c.filter.as_ref().map(|f| self.node(f));
        let body = self.node(&c.body);
        self.locals.truncate(outside);
        let operation = Loop {
            kind: c.kind,
            over,
            two,
            filter,
            body,
        };
        self.push(Operation::Comprehension(Box::new(operation)), range)
    }

    fn template(&mut self, node: &TemplateNode) -> Id {
        let range = node.range;
        match &node.kind {
            TemplateKind::Literal(value) => self.push(Operation::Constant(value.clone()), range),
            TemplateKind::Expression(expression) => self.node(&expression.root),
            TemplateKind::Text(parts) => {
                let mark = self.mark();
                let parts = parts.iter().map(|p| self.template(p)).collect();
                let id = self.push(Operation::Concatenation(parts), range);
                self.fold(mark, id)
            }
            TemplateKind::List(items) => {
                let mark = self.mark();
                let items = items.iter().map(|i| (self.template(i), false)).collect();
                let id = self.push(Operation::List(items), range);
                self.fold(mark, id)
            }
            TemplateKind::Map(entries) => {
                let mark = self.mark();
                let keys: Option<Vec<Key>> = entries
                    .iter()
                    .map(|(key, _)| match &key.kind {
                        TemplateKind::Literal(Value::String(name)) => {
                            Some(Key::String(name.clone()))
                        }
                        _ => None,
                    })
                    .collect();
                if let Some(keys) = keys {
                    let values = entries.iter().map(|(_, v)| self.template(v)).collect();
                    return self.record(mark, keys, values, range);
                }
                let entries = entries
                    .iter()
                    .map(|(key, value)| MapEntry {
                        key: self.template(key),
                        value: self.template(value),
                        optional: false,
                    })
                    .collect();
                let id = self.push(Operation::Map(entries), range);
                self.fold(mark, id)
            }
        }
    }
}

/// The keys of a map literal, if all are different strings and no entry is optional.
fn constant_keys(entries: &[Entry]) -> Option<Vec<Key>> {
    let mut keys: Vec<Key> = Vec::with_capacity(entries.len());
    let mut seen = std::collections::BTreeSet::new();
    for entry in entries {
        match &entry.key.kind {
            Kind::Literal(Value::String(name)) if !entry.optional && seen.insert(name.clone()) => {
                keys.push(Key::String(name.clone()));
            }
            _ => return None,
        }
    }
    Some(keys)
}
