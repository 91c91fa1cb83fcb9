//! Expressions made to hurt, and the data that they are let loose on.

use segno::expression::{Code, Environment, Type, compile, parse};
use segno::source::{FileId, Range, TextMap};
use segno::value::Value;

fn map(text: &str) -> TextMap {
    TextMap::verbatim(Range::new(FileId(0), 0, text.len() as u32))
}

/// A document of a quarter of a megabyte, as an activity's result may be.
pub fn variables() -> (Environment, Vec<Value>) {
    let environment =
        Environment::new()
            .with("text", 0, Type::String)
            .with("pattern", 1, Type::String);
    let text = "abcdefgh".repeat(32 * 1024);
    let pattern = "(a|b|ab)*c{0,50}(d|e)*".to_owned();
    (environment, vec![Value::from(text), Value::from(pattern)])
}

pub fn code(text: &str) -> Code {
    let (expression, diagnostics) = parse(text, &map(text));
    assert!(diagnostics.is_empty(), "{text}: {diagnostics:?}");
    compile(&expression.expect("a tree"), &variables().0)
}

/// Expressions and the bound that each runs into.
pub fn hostile() -> Vec<(String, &'static str)> {
    let doubling = |start: &str, body: &str, levels: usize| {
        let mut text = format!("cel.bind(v0, {start}, ");
        for i in 1..levels {
            let previous = format!("v{}", i - 1);
            text += &format!("cel.bind(v{i}, {}, ", body.replace('_', &previous));
        }
        text + &format!("v{}", levels - 1) + &")".repeat(levels)
    };
    let cost = "EXPRESSION_COST_MAX";
    let loops = "lists.range(1000).map(a, lists.range(1000).map(b, lists.range(1000).map(c, a)))";
    vec![
        (loops.to_owned(), cost),
        ("lists.range(100000000)".to_owned(), cost),
        ("lists.range(40000).distinct()".to_owned(), cost),
        (doubling("'xxxxxxxx'", "_ + _ + _ + _", 40), cost),
        (doubling("[1]", "_ + _", 60), cost),
        (doubling("[1]", "[_, _]", 60), "PAYLOAD_SIZE_BYTES_MAX"),
        (doubling("'x'", "json.encode([_, _])", 60), cost),
        (doubling("'x'", "_.replace('', _)", 60), cost),
        (
            doubling("[1]", "[_, _]", 60).replace("v59)", "v59 == [v58, v58])"),
            cost,
        ),
        ("lists.range(1000).map(i, text + text)".to_owned(), cost),
        (
            "lists.range(1000).map(i, text.matches(pattern))".to_owned(),
            cost,
        ),
        (
            r"lists.range(1000).map(i, text.matches('([a-f]{1,5}){1,4}$'))".to_owned(),
            cost,
        ),
        (
            r"lists.range(1000).map(i, text.matches('\\w{1,4}' + string(i)))".to_owned(),
            cost,
        ),
        (
            r"text.matches(dyn(text.substring(0, 0)) + '(\\w{1,50}){1,50}')".to_owned(),
            "REGEX_COMPUTED_PROGRAM_SIZE_BYTES_MAX",
        ),
        (
            "lists.range(1000).map(i, regex.replace(text, '', text))".to_owned(),
            cost,
        ),
        (
            "lists.range(30000).map(i, '%.100f'.format([1.5]))".to_owned(),
            "PAYLOAD_SIZE_BYTES_MAX",
        ),
        (
            "lists.range(1000).exists(i, text.split('').size() < 0)".to_owned(),
            cost,
        ),
        (
            "lists.range(1000).map(i, text.size() + text.reverse().size())".to_owned(),
            cost,
        ),
        (
            "lists.range(3000).all(i, lists.range(3000).exists(j, 1 / 0 == i))".to_owned(),
            cost,
        ),
        (
            "lists.range(3000).map(i, {'a': i, 'b': text}).groupBy(x, x.b)".to_owned(),
            cost,
        ),
        ("lists.range(9000).map(i, text).sort()".to_owned(), cost),
        ("lists.range(9000).sortBy(i, -i)".to_owned(), cost),
        (
            "lists.range(1000).map(i, json.parse(json.encode(lists.range(1000))))".to_owned(),
            cost,
        ),
        (
            "lists.range(1000).map(i, [text, text].join(text))".to_owned(),
            cost,
        ),
        (
            "[text, text, text, text, text, text, text, text, text]".to_owned(),
            "PAYLOAD_SIZE_BYTES_MAX",
        ),
    ]
}
