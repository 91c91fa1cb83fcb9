//! Text to syntax tree: bounds first, then the grammar, then precedence, reserved words and macros.

mod syntax_error;

use std::sync::Arc;

use pest::Parser;
use pest::iterators::Pair;

use super::ast::{Entry, Expression, Item, Kind, Node, Operator};
use super::literal;
use super::macros;
use super::scan::{End, scan};
use crate::diagnostic::Diagnostic;
use crate::limits::{
    EXPRESSION_BRACKETS_DEPTH_MAX, EXPRESSION_DEPTH_MAX, EXPRESSION_SIZE_BYTES_MAX,
};
use crate::source::{Range, Spanned, TextMap};
use crate::value::Value;

#[derive(pest_derive::Parser)]
#[grammar = "../grammar/expression.pest"]
struct Grammar;

/// Words that CEL reserves; they may name fields, but not variables.
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "namespace",
    "package",
    "return",
    "var",
    "void",
    "while",
];

/// Parses a text that is an expression as a whole.
pub fn parse(text: &str, map: &TextMap) -> (Option<Expression>, Vec<Diagnostic>) {
    if text.len() > EXPRESSION_SIZE_BYTES_MAX {
        return refuse(too_long(map.range(0..text.len()), text.len()));
    }
    match scan(text, 0) {
        End::Text => parse_part(text, 0..text.len(), map),
        end => refuse(scan_error(end, text, map)),
    }
}

/// Parses a part of a text, in which [`scan`] found no mistake.
pub(super) fn parse_part(
    text: &str,
    part: std::ops::Range<usize>,
    map: &TextMap,
) -> (Option<Expression>, Vec<Diagnostic>) {
    if part.len() > EXPRESSION_SIZE_BYTES_MAX {
        return refuse(too_long(map.range(part.clone()), part.len()));
    }
    let source = &text[part.clone()];
    let mut builder = Builder {
        map,
        base: part.start,
        diagnostics: Vec::new(),
    };
    let mut pairs = match Grammar::parse(Rule::expression, source) {
        Ok(pairs) => pairs,
        Err(error) => return refuse(syntax_error::explain(&error, source, part.start, map)),
    };
    let conditional = pairs
        .next()
        .and_then(|p| p.into_inner().next())
        .expect("the grammar puts a conditional into every expression");
    let root = builder.conditional(conditional);
    (Some(Expression { root }), builder.diagnostics)
}

fn refuse(diagnostic: Diagnostic) -> (Option<Expression>, Vec<Diagnostic>) {
    (None, vec![diagnostic])
}

fn too_long(range: Range, size_bytes: usize) -> Diagnostic {
    Diagnostic::error(
        "expression-too-long",
        range,
        format!(
            "the expression has {size_bytes} bytes; EXPRESSION_SIZE_BYTES_MAX is {EXPRESSION_SIZE_BYTES_MAX}"
        ),
    )
    .help("split it: `set` parts of it to state, or give a step an `id` and use its result")
}

/// The mistake at which [`scan`] stopped.
pub(super) fn scan_error(end: End, text: &str, map: &TextMap) -> Diagnostic {
    let one = |at: usize| map.range(at..at + 1);
    let syntax =
        |at: usize, message: &str| Diagnostic::error("expression-syntax", one(at), message);
    match end {
        End::Text => syntax(text.len(), "the expression ends here"),
        End::Brace(at) => syntax(at, "this `}` closes nothing"),
        End::TooDeep(at) => Diagnostic::error(
            "expression-too-deep",
            one(at),
            format!(
                "brackets are nested deeper than EXPRESSION_BRACKETS_DEPTH_MAX ({EXPRESSION_BRACKETS_DEPTH_MAX} levels)"
            ),
        ),
        End::OpenString(at) => syntax(at, "this string is not closed")
            .label("opened here")
            .help("write a string of several lines in triple quotes, and a quote inside a string as `\\'` or `\\\"`"),
        End::OpenBracket(at) => syntax(at, "this bracket is not closed").label("opened here"),
        End::Mismatch(at, None) => syntax(at, "this bracket closes nothing"),
        End::Mismatch(at, Some(open)) => {
            syntax(at, "this bracket does not match the one that it closes").annotate(one(open), "opened here")
        }
    }
}

type Pairs<'i> = Pair<'i, Rule>;

pub(super) struct Builder<'a> {
    map: &'a TextMap,
    base: usize,
    pub(super) diagnostics: Vec<Diagnostic>,
}

impl Builder<'_> {
    fn range(&self, pair: &Pairs) -> Range {
        let start = self.base + pair.as_span().start();
        // Whitespace before an optional part belongs to the span even if that part is absent.
        self.map
            .range(start..start + pair.as_str().trim_end().len())
    }

    pub(super) fn error(&mut self, range: Range, message: impl Into<String>) -> Node {
        self.report(Diagnostic::error("expression-syntax", range, message));
        self.leaf(Kind::Error, range)
    }

    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    fn leaf(&self, kind: Kind, range: Range) -> Node {
        Node {
            kind,
            range,
            depth: 1,
        }
    }

    /// Builds a node from its children, unless the tree would become too deep.
    pub(super) fn node(&mut self, kind: Kind, range: Range) -> Node {
        let mut depth = 0;
        kind.children(&mut |child| depth = depth.max(child.depth));
        if usize::from(depth) >= EXPRESSION_DEPTH_MAX {
            if !self
                .diagnostics
                .iter()
                .any(|d| d.code == "expression-too-deep")
            {
                self.report(
                    Diagnostic::error(
                        "expression-too-deep",
                        range,
                        format!("the expression is deeper than EXPRESSION_DEPTH_MAX ({EXPRESSION_DEPTH_MAX} levels of operators and calls)"),
                    )
                    .help("split it: `set` parts of it to state, or give a step an `id` and use its result"),
                );
            }
            return self.leaf(Kind::Error, range);
        }
        Node {
            kind,
            range,
            depth: depth + 1,
        }
    }

    fn conditional(&mut self, pair: Pairs) -> Node {
        let mut parts: Vec<Node> = pair.into_inner().map(|p| self.operation(p)).collect();
        let mut last = parts.pop().expect("a conditional has an operation");
        while let (Some(then), Some(condition)) = (parts.pop(), parts.pop()) {
            let range = condition.range.to(last.range);
            let kind = Kind::Operator {
                operator: Operator::Conditional,
                operands: vec![condition, then, last],
            };
            last = self.node(kind, range);
        }
        last
    }

    /// Precedence climbing with explicit stacks: a long chain uses no native stack.
    fn operation(&mut self, pair: Pairs) -> Node {
        let mut operands: Vec<Node> = Vec::new();
        let mut operators: Vec<(Operator, u8)> = Vec::new();
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::operand => operands.push(self.operand(part)),
                _ => {
                    let (operator, level) =
                        Operator::infix(part.as_str()).expect("the grammar lists the operators");
                    self.reduce(&mut operands, &mut operators, level);
                    operators.push((operator, level));
                }
            }
        }
        self.reduce(&mut operands, &mut operators, 0);
        operands.pop().expect("an operation has an operand")
    }

    /// Applies the operators that bind at least as tightly as `level`.
    fn reduce(&mut self, operands: &mut Vec<Node>, operators: &mut Vec<(Operator, u8)>, level: u8) {
        while operators.last().is_some_and(|(_, l)| *l >= level) {
            let (Some((operator, _)), Some(right), Some(left)) =
                (operators.pop(), operands.pop(), operands.pop())
            else {
                return;
            };
            let range = left.range.to(right.range);
            let flat = matches!(operator, Operator::Add | Operator::And | Operator::Or);
            let node = match left.kind {
                Kind::Operator {
                    operator: same,
                    operands: mut chain,
                } if flat && same == operator => {
                    chain.push(right);
                    Kind::Operator {
                        operator,
                        operands: chain,
                    }
                }
                kind => Kind::Operator {
                    operator,
                    operands: vec![Node { kind, ..left }, right],
                },
            };
            let node = self.node(node, range);
            operands.push(node);
        }
    }

    fn operand(&mut self, pair: Pairs) -> Node {
        let range = self.range(&pair);
        let mut parts = pair.into_inner().peekable();
        let prefix = parts.next_if(|p| p.as_rule() == Rule::prefix);
        let symbols = prefix.as_ref().map_or("", |p| p.as_str());
        let mut count = symbols.bytes().filter(|b| matches!(b, b'!' | b'-')).count();
        let negation = symbols.starts_with('-');
        let primary = parts.next().expect("an operand has a primary");
        // As in CEL's grammar, a sign before a number belongs to the number: this is how the smallest int is written.
        let signed = negation && matches!(primary.as_rule(), Rule::integer | Rule::double);
        if signed {
            count -= 1;
        }
        let mut node = self.primary(primary, signed);
        if signed {
            node.range = range.to(node.range);
        }
        for part in parts {
            node = self.postfix(node, part);
        }
        let operator = if negation {
            Operator::Negate
        } else {
            Operator::Not
        };
        // Two of a kind cancel out, except for the type that they require, so at most two are kept.
        for _ in 0..(2 - count % 2).min(count) {
            let kind = Kind::Operator {
                operator,
                operands: vec![node],
            };
            node = self.node(kind, range);
        }
        node
    }

    fn primary(&mut self, pair: Pairs, negative: bool) -> Node {
        let range = self.range(&pair);
        match pair.as_rule() {
            Rule::text => self.literal(literal::text(pair.as_str()), range),
            Rule::double => self.literal(literal::double(pair.as_str(), negative), range),
            Rule::unsigned => self.literal(literal::unsigned(pair.as_str()), range),
            Rule::integer => self.literal(literal::integer(pair.as_str(), negative), range),
            Rule::list => {
                let items = exactly(pair.into_inner().map(|p| self.item(p)));
                self.node(Kind::List(items), range)
            }
            Rule::map => {
                let entries = exactly(pair.into_inner().map(|p| self.entry(p)));
                self.node(Kind::Map(entries), range)
            }
            Rule::parenthesis => {
                let inner = pair.into_inner().next().expect("parentheses are not empty");
                let mut node = self.conditional(inner);
                node.range = range;
                node
            }
            _ => self.global(pair, range),
        }
    }

    fn literal(&mut self, value: Result<Value, String>, range: Range) -> Node {
        match value {
            Ok(value) => self.leaf(Kind::Literal(value), range),
            Err(message) => self.error(range, message),
        }
    }

    fn item(&mut self, pair: Pairs) -> Item {
        let mut parts = pair.into_inner().peekable();
        let optional = parts.next_if(|p| p.as_rule() == Rule::optional).is_some();
        let node = self.conditional(parts.next().expect("an item has a value"));
        Item { node, optional }
    }

    fn entry(&mut self, pair: Pairs) -> Entry {
        let mut parts = pair.into_inner().peekable();
        let optional = parts.next_if(|p| p.as_rule() == Rule::optional).is_some();
        let key = self.conditional(parts.next().expect("an entry has a key"));
        let value = self.conditional(parts.next().expect("an entry has a value"));
        Entry {
            key,
            value,
            optional,
        }
    }

    /// A name, a call of a global function, or a literal that looks like a name.
    fn global(&mut self, pair: Pairs, range: Range) -> Node {
        let mut parts = pair.into_inner().peekable();
        let absolute = parts.next_if(|p| p.as_rule() == Rule::dot).is_some();
        let name = parts.next().expect("a global has a name");
        let name_range = self.range(&name);
        let text = name.as_str();
        if let Some(arguments) = parts.next() {
            if is_keyword(text) || RESERVED.contains(&text) {
                return self.reserved(text, name_range);
            }
            let arguments = self.arguments(arguments);
            let name = Spanned::new(Arc::from(text), name_range);
            return macros::call(self, None, name, arguments, range);
        }
        match text {
            "true" if !absolute => self.leaf(Kind::Literal(Value::Bool(true)), range),
            "false" if !absolute => self.leaf(Kind::Literal(Value::Bool(false)), range),
            "null" if !absolute => self.leaf(Kind::Literal(Value::Null), range),
            _ if is_keyword(text) || RESERVED.contains(&text) => self.reserved(text, name_range),
            _ => {
                let name = Arc::from(text);
                self.leaf(Kind::Name { name, absolute }, range)
            }
        }
    }

    fn reserved(&mut self, word: &str, range: Range) -> Node {
        let diagnostic = Diagnostic::error(
            "expression-syntax",
            range,
            format!("`{word}` is a reserved word and cannot be used as a name here"),
        );
        let diagnostic = match word {
            "if" | "else" => diagnostic.help("write a choice as `condition ? this : that`"),
            "for" | "while" | "loop" => {
                diagnostic.help("use `map`, `filter`, `all` or `exists` of a list")
            }
            _ => diagnostic.help("select a field of this name with brackets: `a['in']`"),
        };
        self.report(diagnostic);
        self.leaf(Kind::Error, range)
    }

    fn arguments(&mut self, pair: Pairs) -> Vec<Node> {
        exactly(pair.into_inner().map(|p| self.conditional(p)))
    }

    fn postfix(&mut self, operand: Node, pair: Pairs) -> Node {
        let range = operand.range.to(self.range(&pair));
        match pair.as_rule() {
            Rule::index => {
                let mut parts = pair.into_inner().peekable();
                let optional = parts.next_if(|p| p.as_rule() == Rule::optional).is_some();
                let index = self.conditional(parts.next().expect("an index has a value"));
                let kind = Kind::Index {
                    operand: Box::new(operand),
                    index: Box::new(index),
                    optional,
                };
                self.node(kind, range)
            }
            Rule::message => {
                self.report(
                    Diagnostic::error(
                        "expression-syntax",
                        range,
                        "protobuf messages are not supported",
                    )
                    .label("a message literal")
                    .help("write a map, with its keys in quotes: {'name': value}"),
                );
                self.leaf(Kind::Error, range)
            }
            _ => self.select(operand, pair, range),
        }
    }

    fn select(&mut self, operand: Node, pair: Pairs, range: Range) -> Node {
        let mut parts = pair.into_inner().peekable();
        let optional = parts.next_if(|p| p.as_rule() == Rule::optional).is_some();
        let field = parts.next().expect("a selection has a field");
        let field_range = self.range(&field);
        let text = field.as_str();
        let quoted = text.starts_with('`');
        let name: Arc<str> = Arc::from(text.trim_matches('`'));
        if !quoted && is_keyword(&name) {
            let diagnostic = Diagnostic::error(
                "expression-syntax",
                field_range,
                format!("`{name}` is a keyword and cannot be selected as a field"),
            );
            self.report(diagnostic.help(format!("write ['{name}'] instead of .{name}")));
            return self.leaf(Kind::Error, range);
        }
        let field = Spanned::new(name, field_range);
        match parts.next() {
            Some(arguments) if optional || quoted => {
                self.arguments(arguments);
                self.error(range, "write a function's name without `?` and backquotes")
            }
            Some(arguments) => {
                let arguments = self.arguments(arguments);
                macros::call(self, Some(operand), field, arguments, range)
            }
            None => {
                let kind = Kind::Select {
                    operand: Box::new(operand),
                    field,
                    optional,
                };
                self.node(kind, range)
            }
        }
    }
}

fn is_keyword(word: &str) -> bool {
    matches!(word, "true" | "false" | "null" | "in")
}

/// Most lists of a tree have one or two parts, and a vector that has grown has room for four.
fn exactly<T>(parts: impl Iterator<Item = T>) -> Vec<T> {
    let mut parts: Vec<T> = parts.collect();
    parts.shrink_to_fit();
    parts
}
