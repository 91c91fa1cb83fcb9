//! Types of expressions, and their mistakes: unknown names, fields and functions, wrong operands.

use std::sync::Arc;

use super::ast::{Entry, Expression, Kind, Node, Operator};
use super::environment::Environment;
use super::functions;
use super::presence::{facts, path_text};
use super::template::Template;
use super::types::{Other, Presence, Type, joined};
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::limits::DIAGNOSTICS_PER_FILE_MAX;
use crate::source::{Range, Spanned};
use crate::value::Value;

/// The expression's type, as far as it can be known, and its mistakes.
pub fn check(expression: &Expression, environment: &Environment) -> (Type, Vec<Diagnostic>) {
    let mut checker = Checker::new(environment);
    let found = checker.node(&expression.root);
    (found, checker.diagnostics)
}

/// Checks an expression that must be true or false.
pub(crate) fn check_condition(
    expression: &Expression,
    environment: &Environment,
) -> Vec<Diagnostic> {
    let mut checker = Checker::new(environment);
    checker.condition(&expression.root);
    checker.diagnostics
}

/// The type of the template's data, and its mistakes.
pub fn check_template(template: &Template, environment: &Environment) -> (Type, Vec<Diagnostic>) {
    let mut checker = Checker::new(environment);
    let found = checker.template(&template.root, None);
    (found, checker.diagnostics)
}

/// Checks a template whose data must match a type; each part that does not match is reported at its place.
pub fn check_template_as(
    template: &Template,
    environment: &Environment,
    wanted: &Type,
) -> (Type, Vec<Diagnostic>) {
    let mut checker = Checker::new(environment);
    let found = checker.template(&template.root, Some(wanted));
    (found, checker.diagnostics)
}

pub(super) struct Checker<'e> {
    pub(crate) environment: &'e Environment,
    pub(crate) locals: Vec<(Arc<str>, Type)>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Paths whose fields an enclosing condition has tested.
    pub(super) present: Vec<String>,
    /// The compiled size of the patterns so far.
    pub(crate) patterns_size_bytes: usize,
}

impl<'e> Checker<'e> {
    fn new(environment: &'e Environment) -> Self {
        Checker {
            environment,
            locals: Vec::new(),
            diagnostics: Vec::new(),
            present: Vec::new(),
            patterns_size_bytes: 0,
        }
    }

    pub(crate) fn node(&mut self, node: &Node) -> Type {
        match &node.kind {
            // The types that the definition declares are as large as its text.
            Kind::Literal(value) => Type::of(value),
            Kind::Name { .. } => self.path(node, Vec::new()),
            Kind::Select {
                operand,
                field,
                optional: false,
            } => self.path(operand, vec![field]),
            _ => self.built(node).bounded(),
        }
    }

    /// The type that a part of an expression builds from those of its own parts.
    fn built(&mut self, node: &Node) -> Type {
        match &node.kind {
            Kind::Literal(_) | Kind::Name { .. } => self.node(node),
            Kind::Select {
                operand,
                field,
                optional,
            } => match optional {
                false => self.path(operand, vec![field]),
                true => {
                    let operand = self.node(operand);
                    Type::optional(self.select_leniently(&operand, &field.value))
                }
            },
            Kind::Has { operand, field } => {
                let found = self.node(operand);
                self.present.push(String::new());
                self.select(&found, field, "");
                self.present.pop();
                Type::Bool
            }
            Kind::Index {
                operand,
                index,
                optional,
            } => self.index(node, operand, index, *optional),
            Kind::Call {
                target,
                name,
                arguments,
            } => self.call(node, target.as_deref(), name, arguments),
            Kind::Operator { operator, operands } => self.operator(node, *operator, operands),
            Kind::List(items) => Type::list(joined(items.iter().map(|item| {
                let found = self.node(&item.node);
                self.entry_value(found, item.optional, item.node.range)
            }))),
            Kind::Map(entries) => self.map(entries),
            Kind::Comprehension(comprehension) => self.comprehension(comprehension),
            Kind::Bind { name, value, body } => {
                let value = self.node(value);
                self.with_locals([(name.value.clone(), value)], |c| c.node(body))
            }
            Kind::OptionalMap {
                target,
                name,
                body,
                flat,
            } => {
                let inner = match self.node(target) {
                    Type::Optional(inner) => (*inner).clone(),
                    _ => Type::Dynamic,
                };
                let mapped = self.with_locals([(name.value.clone(), inner)], |c| c.node(body));
                if *flat {
                    mapped
                } else {
                    Type::optional(mapped)
                }
            }
            Kind::Error => Type::Dynamic,
        }
    }

    fn with_locals<T, const N: usize>(
        &mut self,
        locals: [(Arc<str>, Type); N],
        body: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let outside = self.locals.len();
        self.locals.extend(locals);
        let result = body(self);
        self.locals.truncate(outside);
        result
    }

    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        if !self.is_full() {
            self.diagnostics.push(diagnostic);
        }
    }

    /// Further diagnostics would not be read, and looking for similar names takes time.
    pub(super) fn is_full(&self) -> bool {
        self.environment.is_quiet() || self.diagnostics.len() > DIAGNOSTICS_PER_FILE_MAX
    }

    fn is_present(&self, path: &str) -> bool {
        let mut here = self.present.iter();
        here.any(|p| p == path || p.is_empty()) || self.environment.is_present(path)
    }

    /// A chain of selections; `fields` are those outside `node`, outermost first.
    fn path<'n>(&mut self, node: &'n Node, mut fields: Vec<&'n Spanned<Arc<str>>>) -> Type {
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
        let mut text = path_text(base);
        let (mut found, skip) = match &base.kind {
            Kind::Name { name, absolute } => match self.name(name, *absolute, &fields) {
                Some(found) => found,
                None => {
                    self.undefined(name, base.range);
                    return Type::Dynamic;
                }
            },
            _ => (self.node(base), 0),
        };
        for (i, field) in fields.iter().enumerate() {
            if let Some(text) = &mut text {
                text.push('.');
                text.push_str(&field.value);
            }
            if i >= skip {
                found = self.select(&found, field, text.as_deref().unwrap_or(""));
            }
        }
        found
    }

    fn name(
        &self,
        name: &str,
        absolute: bool,
        fields: &[&Spanned<Arc<str>>],
    ) -> Option<(Type, usize)> {
        let local = self.locals.iter().rfind(|(local, _)| **local == *name);
        if let (Some((_, found)), false) = (local, absolute) {
            return Some((found.clone(), 0));
        }
        let mut parts = vec![name];
        parts.extend(fields.iter().map(|f| &*f.value));
        if let Some((used, variable)) = self.environment.resolve(&parts, absolute) {
            return Some((variable.value.clone(), used - 1));
        }
        functions::type_named(&parts.join(".")).map(|_| (Type::Type, fields.len()))
    }

    fn undefined(&mut self, name: &str, range: Range) {
        if self.is_full() {
            return;
        }
        let names: Vec<&str> = self
            .locals
            .iter()
            .map(|(name, _)| &**name)
            .chain(self.environment.variables().map(|v| &*v.name))
            .collect();
        let message = format!("there is no variable `{name}` here");
        let mut diagnostic =
            Diagnostic::error("undefined-name", range, message).label("not defined here");
        if let Some(meant) = did_you_mean(name, names.iter().copied()) {
            diagnostic = diagnostic.help(format!("did you mean `{meant}`?")).fix(
                format!("replace by `{meant}`"),
                vec![(range, meant.to_owned())],
                false,
            );
        } else if functions::exists(name, false) {
            diagnostic = diagnostic.help(format!("`{name}` is a function: {name}(…)"));
        } else if names.is_empty() {
            diagnostic = diagnostic.help("write a text in quotes: 'text'");
        } else {
            let mut names = names;
            names.sort_unstable();
            names.dedup();
            names.truncate(12);
            let list = names.join("`, `");
            diagnostic = diagnostic.help(format!("defined here: `{list}`; write a text in quotes"));
        }
        self.report(diagnostic);
    }

    /// The type of a field; `path` is the text of the whole selection, if it is a plain path.
    fn select(&mut self, operand: &Type, field: &Spanned<Arc<str>>, path: &str) -> Type {
        let name = &*field.value;
        match operand {
            Type::Object(object) => match (object.fields.get(name), &object.other) {
                (Some(listed), _) => {
                    if listed.presence == Presence::Optional && !self.is_present(path) {
                        self.optional_field(field);
                    }
                    listed.value.clone()
                }
                (None, Other::Allowed(value)) => value.clone(),
                (None, Other::Absent) => Type::Dynamic,
                (None, Other::Unlisted | Other::Refused) => {
                    let names = object.fields.keys().map(|n| &**n);
                    self.unknown_field(field, names, operand);
                    Type::Dynamic
                }
            },
            Type::Map(_, value) => (**value).clone(),
            Type::Optional(inner) => Type::optional(self.select_leniently(inner, name)),
            Type::Union(any) => {
                let selectable: Vec<&Type> = any.iter().filter(|t| is_selectable(t)).collect();
                match selectable[..] {
                    [] => self.not_selectable(operand, field),
                    [only] => self.select(&only.clone(), field, path),
                    // One of several alternatives has the field, or the value would not be used so.
                    _ => Type::union(selectable.iter().map(|t| self.select_leniently(t, name))),
                }
            }
            open if is_selectable(open) => Type::Dynamic,
            _ => self.not_selectable(operand, field),
        }
    }

    fn not_selectable(&mut self, operand: &Type, field: &Spanned<Arc<str>>) -> Type {
        let name = &*field.value;
        let message = format!("a value of type {operand} has no field `{name}`");
        let mut diagnostic = Diagnostic::error("unknown-field", field.range, message);
        if functions::exists(name, true) {
            diagnostic = diagnostic.help(format!("`{name}` is a function: .{name}()"));
        }
        self.report(diagnostic);
        Type::Dynamic
    }

    fn optional_field(&mut self, field: &Spanned<Arc<str>>) {
        let name = &*field.value;
        self.report(
            Diagnostic::error(
                "optional-field",
                field.range,
                format!("the field `{name}` may be missing, and this would then fail"),
            )
            .label("not among the required fields")
            .help(format!(
                "select it with a default, `.?{name}.orValue(…)`, test it with has() first, or require it in the schema"
            )),
        );
    }

    pub(crate) fn unknown_field<'n>(
        &mut self,
        field: &Spanned<Arc<str>>,
        names: impl Iterator<Item = &'n str> + Clone,
        operand: &Type,
    ) {
        if self.is_full() {
            return;
        }
        let name = &*field.value;
        let message = format!("there is no field `{name}` in {operand}");
        let mut diagnostic =
            Diagnostic::error("unknown-field", field.range, message).label("unknown field");
        if let Some(meant) = did_you_mean(name, names.clone()) {
            diagnostic = diagnostic.help(format!("did you mean `{meant}`?")).fix(
                format!("replace by `{meant}`"),
                vec![(field.range, meant.to_owned())],
                false,
            );
        } else {
            let known: Vec<&str> = names.take(12).collect();
            diagnostic = diagnostic.help(match known.is_empty() {
                true => "it has no fields".to_owned(),
                false => format!("it has `{}`", known.join("`, `")),
            });
        }
        self.report(diagnostic);
    }

    fn select_leniently(&self, operand: &Type, name: &str) -> Type {
        match operand {
            Type::Object(object) => match (object.fields.get(name), &object.other) {
                (Some(listed), _) => listed.value.clone(),
                (None, Other::Allowed(value)) => value.clone(),
                (None, _) => Type::Dynamic,
            },
            Type::Map(_, value) => (**value).clone(),
            Type::Optional(inner) => self.select_leniently(inner, name),
            Type::Union(any) => Type::union(
                any.iter()
                    .filter(|t| is_selectable(t))
                    .map(|t| self.select_leniently(t, name)),
            ),
            _ => Type::Dynamic,
        }
    }

    fn index(&mut self, node: &Node, operand: &Node, index: &Node, optional: bool) -> Type {
        let found = self.node(operand);
        let by = self.node(index);
        let inner = match &found {
            Type::Optional(inner) => (**inner).clone(),
            other => other.clone(),
        };
        let through = optional || matches!(found, Type::Optional(_));
        let item = match (&inner, &index.kind) {
            (Type::Object(_), Kind::Literal(Value::String(name))) if through => {
                self.select_leniently(&inner, name)
            }
            (Type::Object(_), Kind::Literal(Value::String(name))) => {
                let field = Spanned::new(name.clone(), index.range);
                let path = path_text(node).unwrap_or_default();
                self.select(&inner, &field, &path)
            }
            // Keys of several types are looked up by one of another type, which is not among them.
            (Type::Map(keys, value), _) if through && super::overload::is_mixed(keys) => {
                (**value).clone()
            }
            _ => self.apply(
                "[]",
                node.range,
                &[(inner, operand.range), (by, index.range)],
                true,
            ),
        };
        if through { Type::optional(item) } else { item }
    }

    fn entry_value(&mut self, found: Type, optional: bool, range: Range) -> Type {
        match found {
            found if !optional => found,
            Type::Optional(inner) => (*inner).clone(),
            open if open.is_open() => Type::Dynamic,
            other => {
                let message = format!("expected an optional for an optional entry, found {other}");
                self.report(Diagnostic::error("wrong-operand", range, message));
                Type::Dynamic
            }
        }
    }

    fn map(&mut self, entries: &[Entry]) -> Type {
        let mut named = Some(Vec::new());
        let (mut keys, mut values) = (Type::Never, Type::Never);
        for entry in entries {
            let key = self.node(&entry.key);
            let value = self.node(&entry.value);
            let value = self.entry_value(value, entry.optional, entry.value.range);
            match (&entry.key.kind, &mut named) {
                (Kind::Literal(Value::String(name)), Some(fields)) if !entry.optional => {
                    fields.push((name.clone(), value.clone()));
                }
                _ => named = None,
            }
            keys = keys.join(&key);
            values = values.join(&value);
        }
        match named {
            Some(fields) if !fields.is_empty() => Type::built(fields),
            _ => Type::map(keys, values),
        }
    }

    /// A condition of any kind: bool, or of an unknown type.
    pub(crate) fn condition(&mut self, node: &Node) {
        let found = self.node(node);
        if !found.assignable(&Type::Bool) {
            let message = format!("a condition must be true or false; found {found}");
            let diagnostic =
                Diagnostic::error("not-boolean", node.range, message).label(format!("{found}"));
            self.report(match found {
                Type::String => diagnostic.help("compare it: … == 'text'"),
                Type::Null => diagnostic,
                _ => diagnostic.help("compare it: … > 0, … != null, size(…) > 0"),
            });
        }
    }

    fn operator(&mut self, node: &Node, operator: Operator, operands: &[Node]) -> Type {
        match operator {
            Operator::And | Operator::Or => {
                let known = self.present.len();
                for operand in operands {
                    self.condition(operand);
                    facts(operand, operator == Operator::And, &mut self.present);
                }
                self.present.truncate(known);
                Type::Bool
            }
            Operator::Conditional => {
                let [condition, then, other] = operands else {
                    return Type::Dynamic;
                };
                self.condition(condition);
                let known = self.present.len();
                facts(condition, true, &mut self.present);
                let then = self.node(then);
                self.present.truncate(known);
                facts(condition, false, &mut self.present);
                let other = self.node(other);
                self.present.truncate(known);
                then.join(&other)
            }
            Operator::Not => {
                self.condition(&operands[0]);
                Type::Bool
            }
            Operator::Equal | Operator::NotEqual => {
                let (a, b) = (self.node(&operands[0]), self.node(&operands[1]));
                if !super::overload::comparable(&a, &b) || is_optional_beside_null(operands, &a, &b)
                {
                    let always = operator == Operator::NotEqual;
                    let message =
                        format!("{a} and {b} are never equal, so this is always {always}");
                    let mut diagnostic = Diagnostic::error("wrong-operand", node.range, message);
                    if let Some(help) = super::overload::optional_help(&a, &b) {
                        diagnostic = diagnostic.help(help);
                    }
                    self.report(
                        diagnostic
                            .annotate(operands[0].range, format!("{a}"))
                            .annotate(operands[1].range, format!("{b}")),
                    );
                }
                Type::Bool
            }
            _ => {
                let mut operands = operands.iter();
                let mut typed = |c: &mut Self| operands.next().map(|o| (c.node(o), o.range));
                let Some(mut left) = typed(self) else {
                    return Type::Dynamic;
                };
                if operator == Operator::Negate {
                    return self.apply("-", node.range, &[left], true);
                }
                while let Some(right) = typed(self) {
                    let range = left.1.to(right.1);
                    left = (
                        self.apply(operator.symbol(), range, &[left, right], true),
                        range,
                    );
                }
                left.0
            }
        }
    }
}

fn is_selectable(operand: &Type) -> bool {
    match operand {
        Type::Object(_) | Type::Optional(_) | Type::Abstract(..) => true,
        Type::Map(key, _) => Type::String.assignable(key) || super::overload::is_mixed(key),
        other => other.is_open(),
    }
}

/// Whether one operand is an optional and the other null. A name, and a choice between values, may be null if the other
/// value is an optional.
fn is_optional_beside_null(operands: &[Node], a: &Type, b: &Type) -> bool {
    let is_optional = |node: &Node, found: &Type| {
        matches!(found, Type::Optional(_))
            && matches!(
                node.kind,
                Kind::Select { .. }
                    | Kind::Index { .. }
                    | Kind::Call { .. }
                    | Kind::OptionalMap { .. }
            )
    };
    match operands {
        [left, right] => {
            is_optional(left, a) && *b == Type::Null || *a == Type::Null && is_optional(right, b)
        }
        _ => false,
    }
}
