//! Expressions end to end: text to value, through every stage.

use segno::expression::{
    Context, Environment, Expression, NoHost, Semantics, Type, check, compile, evaluate, parse,
};
use segno::source::{FileId, Range, TextMap};
use segno::value::{Value, parse_json, to_json_string};

fn environment() -> (Environment, Vec<Value>) {
    let input = r#"{"items": [{"price": 2.5, "quantity": 4}, {"price": 20, "quantity": 1}], "name": "a", "note": null}"#;
    let input = parse_json(input.as_bytes()).expect("valid JSON");
    let environment = Environment::new().with("input", 0, Type::Dynamic);
    (environment, vec![input])
}

fn run(text: &str) -> String {
    let (environment, _) = environment();
    let checked = |expression: &Expression| {
        let (_, diagnostics) = check(expression, &environment);
        diagnostics.first().map(|first| first.message.clone())
    };
    evaluated(text, checked, Semantics::Specified)
}

fn evaluated(
    text: &str,
    checked: impl Fn(&Expression) -> Option<String>,
    semantics: Semantics,
) -> String {
    let map = TextMap::verbatim(Range::new(FileId(0), 0, text.len() as u32));
    let (expression, diagnostics) = parse(text, &map);
    let Some(expression) = expression.filter(|_| diagnostics.is_empty()) else {
        return format!("parse: {}", diagnostics[0].message);
    };
    let (environment, values) = environment();
    if let Some(message) = checked(&expression) {
        return format!("check: {message}");
    }
    let code = compile(&expression, &environment);
    let mut host = NoHost;
    match evaluate(
        &code,
        &values,
        &mut Context::new(&mut host).semantics(semantics),
    ) {
        Ok(value) => to_json_string(&value).expect("JSON"),
        Err(error) => format!("evaluate: {error}"),
    }
}

#[test]
fn expressions_give_values() {
    let cases = [
        ("input.items.map(i, i.price * i.quantity)", "[10.0,20]"),
        ("input.items.filter(i, i.price > 10).size() == 1", "true"),
        ("input.name + '-' + string(1 + 2)", "\"a-3\""),
        ("input.?missing.?deeper.orValue('none')", "\"none\""),
        ("input.note.default(1)", "1"),
        (
            "{'a': [1, 2u, 1.5], 'b': input.name}",
            "{\"a\":[1,2,1.5],\"b\":\"a\"}",
        ),
        ("1 in [1, 2] ? 'yes' : 'no'", "\"yes\""),
        ("inptu.name", "check: there is no variable `inptu` here"),
        ("input.missing", "evaluate: no such key: 'missing'"),
        (
            "1 +",
            "parse: expected a value, found the end of the expression",
        ),
    ];
    for (text, wanted) in cases {
        assert_eq!(run(text), wanted, "{text}");
    }
}

/// A run goes on with the results of the engine that it began on, also where a constant is folded.
#[test]
fn runs_of_earlier_engines_keep_their_results() {
    let cases = [
        ("'ta©o©αT'.lastIndexOf('©', 3)", "2", "4"),
        ("'ta©o©αT'.lastIndexOf('©', 1)", "-1", "2"),
        ("(input.name + '©©').lastIndexOf('©', 0)", "-1", "1"),
        (
            "string(ip('::ffff:c0a8:1'))",
            "\"192.168.0.1\"",
            "\"::ffff:192.168.0.1\"",
        ),
        ("ip('::ffff:c0a8:1') == ip('192.168.0.1')", "true", "false"),
        ("ip('::ffff:c0a8:1').family()", "4", "6"),
        ("cidr('::ffff:c0a8:0/112').prefixLength()", "16", "112"),
        ("cidr('::ffff:0:0/95').ip().family()", "4", "6"),
        (
            "cidr('192.168.0.0/16').containsIP(ip('::ffff:c0a8:1'))",
            "true",
            "false",
        ),
        (
            "int(timestamp('9999-12-31T23:59:59Z') - timestamp('0001-01-01T00:00:00Z'))",
            "evaluate: range error: a duration is at most some 292 years long",
            "315537897599",
        ),
        (
            "int(duration('2562048h'))",
            "evaluate: range error: a duration is at most some 292 years long",
            "9223372800",
        ),
        (
            "int(duration(9223372037))",
            "evaluate: range error: a duration is at most some 292 years long",
            "9223372037",
        ),
        (
            "int([duration('2562047h'), duration('1h')].sum())",
            "evaluate: range error: a duration is at most some 292 years long",
            "9223372800",
        ),
        (
            "type(1) == dyn",
            "evaluate: undeclared reference to 'dyn'",
            "false",
        ),
        (
            "[type(1), dyn].size()",
            "evaluate: undeclared reference to 'dyn'",
            "2",
        ),
    ];
    for (text, specified, earlier) in cases {
        let by = |semantics| evaluated(text, |_| None, semantics);
        assert_eq!(by(Semantics::Specified), specified, "{text}");
        assert_eq!(by(Semantics::Earlier), earlier, "{text}");
    }
}
