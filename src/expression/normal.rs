//! Whether two texts with expressions in them have the same meaning, whatever their layout.

use std::sync::Arc;

use super::ast::{Comprehension, Kind, Node};
use super::parse::parse_part;
use super::scan::{End, is_raw, scan, string_end};
use crate::source::{FileId, Range, TextMap};

/// The text with its expressions' white space and comments reduced: equal for most texts with the same meaning, and
/// different for all others.
pub(crate) fn normal_template(text: &str) -> String {
    let mut normal = String::with_capacity(text.len());
    for part in parts(text) {
        match part {
            Part::Text(text) => normal.push_str(text),
            Part::Expression(text) => {
                normal.push_str("${");
                normal.push_str(&reduced(text));
                normal.push('}');
            }
        }
    }
    normal
}

/// The reduced form of a bare expression; `${ }` around it is allowed.
pub(crate) fn normal_expression(text: &str) -> String {
    reduced(bare(text))
}

/// Whether two bare expressions have the same syntax tree.
pub(crate) fn same_expression(old: &str, new: &str) -> bool {
    let (old, new) = (bare(old), bare(new));
    scan(old, 0) == End::Text && scan(new, 0) == End::Text && same_part(old, new)
}

/// Whether two texts have the same parts, their expressions compared by syntax tree.
pub(crate) fn same_template(old: &str, new: &str) -> bool {
    let (old, new) = (parts(old), parts(new));
    old.len() == new.len()
        && old.iter().zip(&new).all(|pair| match pair {
            (Part::Text(old), Part::Text(new)) => old == new,
            (Part::Expression(old), Part::Expression(new)) => same_part(old, new),
            _ => false,
        })
}

/// The expression, if it is the whole text: it then keeps its type, whatever white space a block scalar ends with.
fn is_one_expression(text: &str) -> Option<&str> {
    let inner = text.trim_end().strip_prefix("${")?;
    let end = inner.len().checked_sub(1)?;
    (scan(inner, 0) == End::Brace(end)).then(|| &inner[..end])
}

enum Part<'t> {
    Text(&'t str),
    Expression(&'t str),
}

/// A `${` without an end is text, and so is everything after it.
fn parts(text: &str) -> Vec<Part<'_>> {
    if let Some(expression) = is_one_expression(text) {
        return vec![Part::Expression(expression)];
    }
    let mut parts = Vec::new();
    let (mut done, mut at) = (0, 0);
    while let Some(found) = text[at..].find("${") {
        let open = at + found;
        at = open + 2;
        // `$${` is a literal `${`.
        if text[done..open].ends_with('$') {
            continue;
        }
        let End::Brace(close) = scan(text, at) else {
            break;
        };
        if open > done {
            parts.push(Part::Text(&text[done..open]));
        }
        parts.push(Part::Expression(&text[at..close]));
        at = close + 1;
        done = at;
    }
    if done < text.len() {
        parts.push(Part::Text(&text[done..]));
    }
    parts
}

fn bare(text: &str) -> &str {
    let text = text.trim();
    is_one_expression(text).unwrap_or(text)
}

/// Without comments and white space, except a blank where two words or numbers would merge.
fn reduced(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut normal = String::with_capacity(text.len());
    let (mut at, mut is_blank) = (0, false);
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at = text[at..].find('\n').map_or(bytes.len(), |n| at + n);
                is_blank = true;
                continue;
            }
            byte if byte.is_ascii_whitespace() => {
                at += 1;
                is_blank = true;
                continue;
            }
            b'"' | b'\'' => string_end(bytes, at, is_raw(bytes, 0, at)).unwrap_or(bytes.len()),
            b'`' => text[at + 1..].find('`').map_or(bytes.len(), |n| at + n + 2),
            _ => at + text[at..].chars().next().map_or(1, char::len_utf8),
        };
        let grows_on = |c: char| c == '[' || grows(c);
        if is_blank && normal.ends_with(grows) && text[at..].starts_with(grows_on) {
            normal.push(' ');
        }
        is_blank = false;
        normal.push_str(&text[at..end]);
        at = end;
    }
    normal
}

/// Whether white space beside the character may be significant.
fn grows(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '?' | '"' | '\'' | '-' | '!')
}

fn same_part(old: &str, new: &str) -> bool {
    let tree = |text: &str| {
        let map = TextMap::verbatim(Range::new(FileId(0), 0, text.len() as u32));
        match parse_part(text, 0..text.len(), &map) {
            (Some(expression), diagnostics) if diagnostics.is_empty() => Some(expression),
            _ => None,
        }
    };
    match (tree(old), tree(new)) {
        (Some(old), Some(new)) => same(&old.root, &new.root),
        _ => old.trim() == new.trim(),
    }
}

/// Depth is bounded by [`crate::limits::EXPRESSION_DEPTH_MAX`].
fn same(old: &Node, new: &Node) -> bool {
    if !same_head(&old.kind, &new.kind) {
        return false;
    }
    let (mut olds, mut news) = (Vec::new(), Vec::new());
    old.kind.children(&mut |node| olds.push(node));
    new.kind.children(&mut |node| news.push(node));
    olds.len() == news.len() && olds.iter().zip(news).all(|(old, new)| same(old, new))
}

/// Compares the two nodes without their children.
fn same_head(old: &Kind, new: &Kind) -> bool {
    match (old, new) {
        (Kind::Literal(a), Kind::Literal(b)) => {
            std::mem::discriminant(a) == std::mem::discriminant(b) && a == b
        }
        (
            Kind::Name { name, absolute },
            Kind::Name {
                name: other,
                absolute: is_absolute,
            },
        ) => name == other && absolute == is_absolute,
        (
            Kind::Select {
                field, optional, ..
            },
            Kind::Select {
                field: other,
                optional: is_optional,
                ..
            },
        ) => field.value == other.value && optional == is_optional,
        (Kind::Has { field, .. }, Kind::Has { field: other, .. }) => field.value == other.value,
        (
            Kind::Index { optional, .. },
            Kind::Index {
                optional: is_optional,
                ..
            },
        ) => optional == is_optional,
        (
            Kind::Call { target, name, .. },
            Kind::Call {
                target: on,
                name: other,
                ..
            },
        ) => target.is_some() == on.is_some() && name.value == other.value,
        (
            Kind::Operator { operator, .. },
            Kind::Operator {
                operator: other, ..
            },
        ) => operator == other,
        (Kind::List(a), Kind::List(b)) => a
            .iter()
            .map(|i| i.optional)
            .eq(b.iter().map(|i| i.optional)),
        (Kind::Map(a), Kind::Map(b)) => a
            .iter()
            .map(|e| e.optional)
            .eq(b.iter().map(|e| e.optional)),
        (Kind::Comprehension(a), Kind::Comprehension(b)) => same_loop(a, b),
        (Kind::Bind { name, .. }, Kind::Bind { name: other, .. }) => name.value == other.value,
        (
            Kind::OptionalMap { name, flat, .. },
            Kind::OptionalMap {
                name: other,
                flat: is_flat,
                ..
            },
        ) => name.value == other.value && flat == is_flat,
        _ => false,
    }
}

fn same_loop(old: &Comprehension, new: &Comprehension) -> bool {
    let names = |c: &Comprehension| -> Vec<Arc<str>> {
        c.variables.iter().map(|name| name.value.clone()).collect()
    };
    old.kind == new.kind && names(old) == names(new) && old.filter.is_some() == new.filter.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_not_meaning() {
        for (old, new) in [
            ("a+b", " a  +\n b // sum\n"),
            ("${ a.b( c ,d ) }", "a.b(c, d)"),
            ("(a && b) || c", "a && b || c"),
            ("'x' + \"y\"", "\"x\" + 'y'"),
            ("a.map( i, i * 2 )", "a.map(i,i*2)"),
            ("{ 'a' : 1 }", "{'a':1}"),
        ] {
            assert!(same_expression(old, new), "{old} | {new}");
        }
        assert_eq!(normal_expression("${ a  in [ 1, 2 ] }"), "a in [1,2]");
        assert_eq!(normal_template("x ${  a } y"), "x ${a} y");
        assert_eq!(normal_template("${  a }\n"), "${a}");
        assert_eq!(
            normal_template("$${  a } ${ 'b  c' }"),
            "$${  a } ${'b  c'}"
        );
        assert!(same_template("to ${a+b}!", "to ${ (a + b) }!"));
    }

    #[test]
    fn what_means_something_else_is_told_apart() {
        for (old, new) in [
            ("a + b", "b + a"),
            ("a - b - c", "a - (b - c)"),
            ("'a b'", "'a  b'"),
            ("a.b", "a.?b"),
            ("x ? .y : z", "x ? y : z"),
            ("1", "1.0"),
            ("1", "'1'"),
            ("[?a]", "[a]"),
            ("a.all(i, i)", "a.exists(i, i)"),
            ("a b", "ab"),
            ("r'a'", "r 'a'"),
            ("- -a", "--a b"),
        ] {
            assert!(!same_expression(old, new), "{old} | {new}");
            assert_ne!(normal_expression(old), normal_expression(new), "{old}");
        }
        assert!(!same_template("a ${ b }", "a  ${ b }"));
        assert!(!same_template("${ b }", "a ${ b }"));
    }
}
