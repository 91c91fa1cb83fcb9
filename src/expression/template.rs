//! YAML data with `${ }` in it: a scalar that is one expression keeps its type, and one with text around becomes a
//! string.

use super::ast::Expression;
use super::parse::{parse_part, scan_error};
use super::scan::{End, scan};
use crate::diagnostic::Diagnostic;
use crate::limits::DIAGNOSTICS_PER_FILE_MAX;
use crate::source::Range;
use crate::value::{Key, Value};
use crate::yaml::{Data, Entry, Node, Scalar, Style};

/// YAML data whose scalars may contain expressions.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    pub(super) root: TemplateNode,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct TemplateNode {
    pub(crate) kind: TemplateKind,
    pub(crate) range: Range,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TemplateKind {
    Literal(Value),
    Expression(Expression),
    /// Texts and expressions that together form one string.
    Text(Vec<TemplateNode>),
    List(Vec<TemplateNode>),
    Map(Vec<(TemplateNode, TemplateNode)>),
}

impl Template {
    pub(crate) fn range(&self) -> Range {
        self.root.range
    }

    /// The size of its text; an alias counts as the text that it repeats.
    pub(crate) fn size_bytes(&self) -> usize {
        self.root.size_bytes()
    }

    /// The data, if it contains no expression.
    pub(crate) fn as_literal(&self) -> Option<Value> {
        literal(&self.root)
    }

    /// The text that the value of a key begins with, before any expression, and the value's range.
    pub(crate) fn beginning_of(&self, key: &str) -> Option<(Range, &str)> {
        let TemplateKind::Map(entries) = &self.root.kind else {
            return None;
        };
        let is_key = |node: &TemplateNode| node.as_text() == Some(key);
        let (_, value) = entries.iter().find(|(name, _)| is_key(name))?;
        let first = match &value.kind {
            TemplateKind::Text(parts) => parts.first()?,
            _ => value,
        };
        Some((value.range, first.as_text()?))
    }

    /// The text at a path of keys, if it is a literal, and its range.
    pub(crate) fn text_at(&self, path: &[&str]) -> Option<(Range, &str)> {
        let node = self.root.at(path)?;
        Some((node.range, node.as_text()?))
    }

    /// The literal keys of the mapping at a path of keys, and their ranges.
    pub(crate) fn keys_at(&self, path: &[&str]) -> Vec<(Range, &str)> {
        match self.root.at(path).map(|node| &node.kind) {
            Some(TemplateKind::Map(entries)) => {
                let keys = entries.iter().map(|(key, _)| key);
                keys.filter_map(|key| Some((key.range, key.as_text()?)))
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    /// A template that is a single expression.
    pub(crate) fn from_expression(expression: Expression) -> Self {
        let range = expression.range();
        Template {
            root: TemplateNode {
                kind: TemplateKind::Expression(expression),
                range,
            },
        }
    }
}

impl TemplateNode {
    fn at(&self, path: &[&str]) -> Option<&TemplateNode> {
        path.iter().try_fold(self, |node, key| {
            let TemplateKind::Map(entries) = &node.kind else {
                return None;
            };
            let found = entries.iter().find(|(name, _)| name.as_text() == Some(key));
            found.map(|(_, value)| value)
        })
    }

    /// Even an empty part counts.
    fn size_bytes(&self) -> usize {
        let inside: usize = match &self.kind {
            TemplateKind::Literal(_) | TemplateKind::Expression(_) => {
                (self.range.end - self.range.start) as usize
            }
            TemplateKind::Text(items) => {
                let literals = items.iter().map(|item| match &item.kind {
                    // Its range is the whole text's.
                    TemplateKind::Literal(Value::String(text)) => text.len() + 1,
                    _ => item.size_bytes(),
                });
                literals.sum()
            }
            TemplateKind::List(items) => items.iter().map(TemplateNode::size_bytes).sum(),
            TemplateKind::Map(entries) => {
                let entries = entries.iter();
                entries
                    .map(|(key, value)| key.size_bytes() + value.size_bytes())
                    .sum()
            }
        };
        inside + 1
    }

    fn as_text(&self) -> Option<&str> {
        match &self.kind {
            TemplateKind::Literal(Value::String(text)) => Some(text),
            _ => None,
        }
    }
}

fn literal(node: &TemplateNode) -> Option<Value> {
    match &node.kind {
        TemplateKind::Literal(value) => Some(value.clone()),
        TemplateKind::Expression(_) | TemplateKind::Text(_) => None,
        TemplateKind::List(items) => items
            .iter()
            .map(literal)
            .collect::<Option<Vec<Value>>>()
            .map(Value::list),
        TemplateKind::Map(entries) => entries
            .iter()
            .map(|(key, value)| Some((Key::from_value(&literal(key)?)?, literal(value)?)))
            .collect::<Option<_>>()
            .map(Value::map),
    }
}

/// Reads YAML data as a template. What cannot be read becomes null, and a diagnostic explains why.
pub fn template(node: &Node) -> (Template, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let root = read(node, &mut diagnostics);
    (Template { root }, diagnostics)
}

fn read(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> TemplateNode {
    let kind = match &node.data {
        Data::Scalar(scalar) => self::scalar(scalar, node.range, diagnostics),
        Data::Sequence(items) => {
            TemplateKind::List(items.iter().map(|item| read(item, diagnostics)).collect())
        }
        Data::Mapping(entries) => TemplateKind::Map(
            entries
                .iter()
                .map(|entry| (key(entry, diagnostics), read(&entry.value, diagnostics)))
                .collect(),
        ),
    };
    TemplateNode {
        kind,
        range: node.range,
    }
}

/// Keys are strings, as in JSON.
fn key(entry: &Entry, diagnostics: &mut Vec<Diagnostic>) -> TemplateNode {
    let range = entry.key.range;
    let kind = match &entry.key.data {
        Data::Scalar(scalar) => match self::scalar(scalar, range, diagnostics) {
            TemplateKind::Literal(Value::String(text)) => {
                TemplateKind::Literal(Value::String(text))
            }
            TemplateKind::Literal(_) => TemplateKind::Literal(Value::String(scalar.text.clone())),
            computed => computed,
        },
        _ => {
            let message = "a key of data is a string";
            note(
                diagnostics,
                [Diagnostic::error("wrong-type", range, message)],
            );
            TemplateKind::Literal(Value::from(""))
        }
    };
    TemplateNode { kind, range }
}

fn scalar(scalar: &Scalar, range: Range, diagnostics: &mut Vec<Diagnostic>) -> TemplateKind {
    if !scalar.text.contains("${") {
        return TemplateKind::Literal(scalar.value.clone());
    }
    let mut parts = split(scalar, range, diagnostics);
    let block = matches!(scalar.style, Style::Literal | Style::Folded);
    // A block scalar ends with a line break that is not meant to be part of the data.
    if let [_, last] = &parts[..]
        && block
        && matches!(&last.kind, TemplateKind::Literal(Value::String(t)) if t.trim().is_empty())
    {
        parts.pop();
    }
    match parts.len() {
        0 => TemplateKind::Literal(Value::from("")),
        1 => parts.swap_remove(0).kind,
        _ => TemplateKind::Text(parts),
    }
}

/// The texts and the expressions of a scalar, in order.
fn split(scalar: &Scalar, whole: Range, diagnostics: &mut Vec<Diagnostic>) -> Vec<TemplateNode> {
    let text = &*scalar.text;
    let mut parts: Vec<TemplateNode> = Vec::new();
    let mut plain = String::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("${") {
        let open = at + found;
        if text[..open].ends_with('$') && open > at {
            // `$${` is a literal `${`.
            plain.push_str(&text[at..open - 1]);
            plain.push_str("${");
            at = open + 2;
            continue;
        }
        plain.push_str(&text[at..open]);
        push_text(&mut parts, &mut plain, whole);
        let start = open + 2;
        match scan(text, start) {
            End::Brace(close) => {
                let (expression, found) = parse_part(text, start..close, &scalar.map);
                note(diagnostics, found);
                let kind = match expression {
                    Some(expression) => TemplateKind::Expression(expression),
                    None => TemplateKind::Literal(Value::Null),
                };
                let range = scalar.map.range(open..close + 1);
                parts.push(TemplateNode { kind, range });
                at = close + 1;
            }
            end => {
                note(diagnostics, [broken(end, scalar, open)]);
                return vec![TemplateNode {
                    kind: TemplateKind::Literal(Value::Null),
                    range: whole,
                }];
            }
        }
    }
    plain.push_str(&text[at..]);
    push_text(&mut parts, &mut plain, whole);
    parts
}

/// Further diagnostics of a file would not be read.
fn note(diagnostics: &mut Vec<Diagnostic>, found: impl IntoIterator<Item = Diagnostic>) {
    if diagnostics.len() <= DIAGNOSTICS_PER_FILE_MAX {
        diagnostics.extend(found);
    }
}

fn push_text(parts: &mut Vec<TemplateNode>, plain: &mut String, range: Range) {
    if !plain.is_empty() {
        let text = std::mem::take(plain);
        parts.push(TemplateNode {
            kind: TemplateKind::Literal(Value::string(text)),
            range,
        });
    }
}

/// Why a `${` is not closed.
fn broken(end: End, scalar: &Scalar, open: usize) -> Diagnostic {
    let text = &*scalar.text;
    if matches!(end, End::TooDeep(_) | End::Mismatch(..)) {
        return scan_error(end, text, &scalar.map);
    }
    let diagnostic = Diagnostic::error(
        "unterminated-expression",
        scalar.map.range(open..text.len()),
        "this expression is not closed",
    )
    .label("`${` without its `}`");
    match (end, scalar.style) {
        (End::OpenString(_), Style::Plain) => diagnostic
            .help("a string in it is not closed; in plain YAML ` #` begins a comment: put the whole scalar in quotes"),
        (_, Style::Plain) => diagnostic.help(
            "YAML ends plain text at `: `, ` #` and, between brackets, at `,` and `}`; put the whole scalar in quotes: \"${ … }\"",
        ),
        (End::OpenString(_), _) => diagnostic.help("close the string in it"),
        _ => diagnostic.help("close it with `}`; write a literal `${` as `$${`"),
    }
}
