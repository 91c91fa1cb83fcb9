//! Which overload a call denotes, by the types of its arguments.

use std::sync::Arc;

use super::ast::{Kind, Node};
use super::check::Checker;
use super::functions;
use super::signature::Signature;
use super::types::Type;
use crate::diagnostic::{Diagnostic, PATTERNS_TOO_LARGE};
use crate::source::{Range, Spanned};
use crate::value::Value;

type Typed = (Type, Range);

impl Checker<'_> {
    pub(super) fn call(
        &mut self,
        node: &Node,
        target: Option<&Node>,
        name: &Spanned<Arc<str>>,
        arguments: &[Node],
    ) -> Type {
        let (full, member) = match target {
            Some(target) => match self.namespaced(target, &name.value) {
                Some(full) => (full, None),
                None => (name.value.to_string(), Some(target)),
            },
            None => (name.value.to_string(), None),
        };
        let arguments: Vec<Typed> = member
            .into_iter()
            .chain(arguments)
            .map(|argument| (self.node(argument), argument.range))
            .collect();
        let declared: Vec<Signature> = self.environment.declared(&full).cloned().collect();
        if !declared.is_empty() {
            let signatures: Vec<&Signature> = declared.iter().collect();
            return self.choose(
                &full,
                name.range,
                node.range,
                &signatures,
                &arguments,
                false,
            );
        }
        if !functions::exists(&full, member.is_some()) {
            self.unknown_function(&full, member.is_some(), name.range);
            return Type::Dynamic;
        }
        let overloads = functions::overloads(&full, member.is_some());
        if self.environment.is_read_only() && overloads.iter().any(|o| o.draws()) {
            let message = format!("`{full}()` cannot be called in a query or in a validator");
            self.report(
                Diagnostic::error("impure-function", name.range, message)
                    .help("queries and validators leave no trace in the run, so a replay could not repeat the value; compute it in a step or a handler and keep it in `state`"),
            );
        }
        let pattern = overloads.iter().find_map(|o| o.pattern);
        self.pattern(pattern, member, node);
        let signatures: Vec<&Signature> = overloads.iter().map(|o| &o.signature).collect();
        self.choose(
            &full,
            name.range,
            node.range,
            &signatures,
            &arguments,
            false,
        )
    }

    /// A literal pattern is validated before a run.
    fn pattern(&mut self, argument: Option<usize>, member: Option<&Node>, call: &Node) {
        let Kind::Call { arguments, .. } = &call.kind else {
            return;
        };
        let pattern = argument.and_then(|i| arguments.get(i - usize::from(member.is_some())));
        let Some(node) = pattern else { return };
        let Kind::Literal(Value::String(pattern)) = &node.kind else {
            return;
        };
        let left = self.environment.patterns_left() - self.patterns_size_bytes;
        let failure = match functions::regex::check(pattern, left) {
            Ok(size) => {
                self.patterns_size_bytes += size;
                return;
            }
            Err(failure) => failure,
        };
        let mut code = "invalid-pattern";
        if failure
            .message()
            .contains("PATTERNS_PROGRAM_SIZE_BYTES_MAX")
        {
            // Patterns after it are not checked.
            self.patterns_size_bytes = self.environment.patterns_left();
            code = PATTERNS_TOO_LARGE;
        }
        self.report(Diagnostic::error(code, node.range, failure.message()));
    }

    /// A namespaced function's whole name, if the target is that namespace and not a local variable.
    fn namespaced(&self, target: &Node, name: &str) -> Option<String> {
        let mut full = name.to_owned();
        let mut node = target;
        loop {
            match &node.kind {
                Kind::Select {
                    operand,
                    field,
                    optional: false,
                } => {
                    full.insert_str(0, &format!("{}.", field.value));
                    node = operand;
                }
                Kind::Name { name, .. } if !self.locals.iter().any(|(l, _)| l == name) => {
                    full.insert_str(0, &format!("{name}."));
                    break;
                }
                _ => return None,
            }
        }
        let known =
            functions::exists(&full, false) || self.environment.declared(&full).next().is_some();
        known.then_some(full)
    }

    fn unknown_function(&mut self, name: &str, member: bool, range: Range) {
        if self.is_full() {
            return;
        }
        let message = format!("there is no function `{name}`");
        let mut diagnostic = Diagnostic::error("unknown-function", range, message);
        if functions::exists(name, !member) {
            let form = if member {
                format!("{name}(x)")
            } else {
                format!("x.{name}()")
            };
            diagnostic = diagnostic.help(format!("call it as {form}"));
        } else if let Some(meant) = functions::suggestion(name, member) {
            diagnostic = diagnostic.help(format!("did you mean `{meant}`?"));
        }
        self.report(diagnostic);
    }

    /// The result of an operator, by its symbol.
    pub(super) fn apply(
        &mut self,
        symbol: &str,
        range: Range,
        operands: &[Typed],
        strict: bool,
    ) -> Type {
        // Lists of any items can be joined: JSON's lists have mixed types.
        if let ("+", [(Type::List(a), _), (Type::List(b), _)]) = (symbol, operands) {
            return Type::list(a.join(b));
        }
        // Items or keys of several types are searched for a value of another type, which is not among them.
        if let ("in", [_, (Type::List(items) | Type::Map(items, _), _)]) = (symbol, operands)
            && is_mixed(items)
        {
            return Type::Bool;
        }
        let signatures: Vec<&Signature> = functions::overloads(symbol, false)
            .iter()
            .map(|o| &o.signature)
            .collect();
        self.choose(symbol, range, range, &signatures, operands, strict)
    }

    fn choose(
        &mut self,
        name: &str,
        name_range: Range,
        range: Range,
        signatures: &[&Signature],
        arguments: &[Typed],
        strict: bool,
    ) -> Type {
        let fitting: Vec<&&Signature> = signatures
            .iter()
            .filter(|s| s.accepts(arguments.len()))
            .collect();
        let mut result = None;
        for signature in &fitting {
            let mut bound = Bindings {
                bound: Vec::new(),
                strict,
            };
            let fits = arguments
                .iter()
                .enumerate()
                .all(|(i, (found, _))| bound.fits(found, signature.parameter(i)));
            if fits {
                let one = bound.substitute(&signature.result);
                result = Some(match result {
                    None => one,
                    Some(others) => Type::union([others, one]),
                });
            }
        }
        result.unwrap_or_else(|| {
            self.no_overload(name, name_range, range, (signatures, &fitting), arguments);
            Type::Dynamic
        })
    }

    fn no_overload(
        &mut self,
        name: &str,
        name_range: Range,
        range: Range,
        (signatures, fitting): (&[&Signature], &[&&Signature]),
        arguments: &[Typed],
    ) {
        let is_operator = !name.starts_with(|c: char| c.is_ascii_alphabetic()) || name == "in";
        let types: Vec<String> = arguments.iter().map(|(t, _)| t.to_string()).collect();
        if is_operator {
            let message = match &types[..] {
                [one] => format!("`{name}` is not defined for {one}"),
                _ if name == "[]" => format!("{} cannot be indexed by {}", types[0], types[1]),
                _ => format!("`{name}` is not defined for {} and {}", types[0], types[1]),
            };
            let mut diagnostic = Diagnostic::error("wrong-operand", range, message);
            for (found, at) in arguments {
                diagnostic = diagnostic.annotate(*at, found.to_string());
            }
            let text = arguments.iter().any(|(t, _)| *t == Type::String);
            self.report(match name {
                "+" if text => diagnostic.help("convert a value to a text with string(x)"),
                _ => diagnostic,
            });
            return;
        }
        let diagnostic = if fitting.is_empty() {
            let counts = counts(signatures);
            Diagnostic::error(
                "wrong-argument",
                name_range,
                format!("`{name}` takes {counts}"),
            )
        } else {
            let wrong = arguments.iter().enumerate().find(|(i, (found, _))| {
                !fitting
                    .iter()
                    .any(|s| Bindings::new().fits(found, s.parameter(*i)))
            });
            match wrong {
                Some((i, (found, at))) => {
                    let mut wanted: Vec<String> =
                        fitting.iter().map(|s| s.parameter(i).to_string()).collect();
                    wanted.dedup();
                    let wanted = wanted.join(" or ");
                    Diagnostic::error(
                        "wrong-argument",
                        *at,
                        format!("`{name}` expects {wanted} here, found {found}"),
                    )
                    .label(found.to_string())
                }
                None => Diagnostic::error(
                    "wrong-argument",
                    range,
                    format!("there is no {name}({})", types.join(", ")),
                ),
            }
        };
        self.report(diagnostic);
    }
}

/// The possible numbers of arguments, without the one before the dot.
fn counts(signatures: &[&Signature]) -> String {
    let mut counts: Vec<usize> = signatures
        .iter()
        .map(|s| s.parameters.len() - usize::from(s.member))
        .collect();
    counts.sort_unstable();
    counts.dedup();
    match counts[..] {
        [0] => "no arguments".to_owned(),
        [1] => "one argument".to_owned(),
        _ => {
            let counts: Vec<String> = counts.iter().map(usize::to_string).collect();
            format!("{} arguments", counts.join(" or "))
        }
    }
}

/// The types of a signature's type parameters in one call.
struct Bindings {
    bound: Vec<(Arc<str>, Type)>,
    /// The types bound to a parameter must agree, rather than be joined.
    strict: bool,
}

impl Bindings {
    fn new() -> Self {
        Bindings {
            bound: Vec::new(),
            strict: false,
        }
    }

    fn fits(&mut self, found: &Type, parameter: &Type) -> bool {
        match (found, parameter) {
            (_, Type::Parameter(name)) => self.bind(name, found),
            (_, Type::Dynamic) => true,
            (open, _) if open.is_open() => {
                self.bind_all(parameter);
                true
            }
            (Type::Union(any), _) => {
                let mut fits = false;
                for one in any.iter() {
                    fits |= self.fits(one, parameter);
                }
                fits
            }
            (_, Type::Union(any)) => any.iter().any(|p| self.fits(found, p)),
            (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => {
                self.fits(a, b)
            }
            (Type::Map(k, v), Type::Map(l, w)) => self.fits(k, l) && self.fits(v, w),
            (Type::Object(object), Type::Map(k, v)) => {
                let values = match object.values() {
                    Type::Never => Type::Dynamic,
                    values => values,
                };
                self.fits(&Type::String, k) && self.fits(&values, v)
            }
            (Type::Abstract(a, x), Type::Abstract(b, y)) => {
                a == b && x.len() == y.len() && x.iter().zip(y.iter()).all(|(p, q)| self.fits(p, q))
            }
            (a, b) => a == b,
        }
    }

    fn bind(&mut self, name: &Arc<str>, found: &Type) -> bool {
        match self.bound.iter_mut().find(|(n, _)| n == name) {
            None => {
                self.bound.push((name.clone(), found.clone()));
                true
            }
            Some((_, bound)) => {
                if self.strict && !comparable(bound, found) {
                    return false;
                }
                *bound = bound.join(found);
                true
            }
        }
    }

    /// All type parameters inside it are dynamic if the argument is.
    fn bind_all(&mut self, parameter: &Type) {
        match parameter {
            Type::Parameter(name) => {
                self.bind(name, &Type::Dynamic);
            }
            Type::List(a) | Type::Optional(a) => self.bind_all(a),
            Type::Map(k, v) => {
                self.bind_all(k);
                self.bind_all(v);
            }
            Type::Abstract(_, parameters) => parameters.iter().for_each(|p| self.bind_all(p)),
            _ => {}
        }
    }

    fn substitute(&self, result: &Type) -> Type {
        match result {
            Type::Parameter(name) => self
                .bound
                .iter()
                .find(|(n, _)| n == name)
                .map_or(Type::Dynamic, |(_, t)| t.clone()),
            Type::List(a) => Type::list(self.substitute(a)),
            Type::Optional(a) => Type::optional(self.substitute(a)),
            Type::Map(k, v) => Type::map(self.substitute(k), self.substitute(v)),
            Type::Abstract(name, parameters) => Type::Abstract(
                name.clone(),
                parameters.iter().map(|p| self.substitute(p)).collect(),
            ),
            other => other.clone(),
        }
    }
}

/// What to write instead of a comparison of an optional with something else.
pub(super) fn optional_help(a: &Type, b: &Type) -> Option<&'static str> {
    match (a, b) {
        (Type::Optional(_), Type::Null) | (Type::Null, Type::Optional(_)) => Some(
            "an optional is not null even if it has no value; test `.hasValue()`, or compare its value: `.orValue(null) == null`",
        ),
        (Type::Optional(_), _) | (_, Type::Optional(_)) => {
            Some("compare the value in the optional; `.orValue(…)` returns it or a default")
        }
        _ => None,
    }
}

/// Whether the values are of several types. Null and the two types of JSON's numbers do not count as different.
pub(super) fn is_mixed(items: &Type) -> bool {
    let mut kinds = items.alternatives().iter().map(|t| match t {
        Type::Int => &Type::Double,
        other => other,
    });
    let first = kinds.find(|kind| **kind != Type::Null);
    kinds.any(|kind| *kind != Type::Null && Some(kind) != first)
}

/// Whether values of the two types can be equal: they are of one kind, or both are numbers, or one may be null.
pub(super) fn comparable(a: &Type, b: &Type) -> bool {
    a.alternatives()
        .iter()
        .any(|x| b.alternatives().iter().any(|y| comparable_kinds(x, y)))
}

fn comparable_kinds(a: &Type, b: &Type) -> bool {
    let number = |t: &Type| matches!(t, Type::Int | Type::Uint | Type::Double);
    match (a, b) {
        (Type::Null, _) | (_, Type::Null) => true,
        (a, b) if a.is_open() || b.is_open() || number(a) && number(b) => true,
        (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => comparable(a, b),
        (Type::Map(..) | Type::Object(_), Type::Map(..) | Type::Object(_)) => true,
        (Type::Abstract(a, _), Type::Abstract(b, _)) => a == b,
        _ => a == b,
    }
}
