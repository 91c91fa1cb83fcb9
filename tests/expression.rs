//! Expressions end to end: text to value, through every stage.

use segno::expression::{Context, Environment, NoHost, Type, check, compile, evaluate, parse};
use segno::source::{FileId, Range, TextMap};
use segno::value::{Value, parse_json, to_json_string};

fn environment() -> (Environment, Vec<Value>) {
    let input = r#"{"items": [{"price": 2.5, "quantity": 4}, {"price": 20, "quantity": 1}], "name": "a", "note": null}"#;
    let input = parse_json(input.as_bytes()).expect("valid JSON");
    let environment = Environment::new().with("input", 0, Type::Dynamic);
    (environment, vec![input])
}

fn run(text: &str) -> String {
    let map = TextMap::verbatim(Range::new(FileId(0), 0, text.len() as u32));
    let (expression, diagnostics) = parse(text, &map);
    let Some(expression) = expression.filter(|_| diagnostics.is_empty()) else {
        return format!("parse: {}", diagnostics[0].message);
    };
    let (environment, values) = environment();
    let (_, diagnostics) = check(&expression, &environment);
    if let Some(first) = diagnostics.first() {
        return format!("check: {}", first.message);
    }
    let code = compile(&expression, &environment);
    let mut host = NoHost;
    match evaluate(&code, &values, &mut Context::new(&mut host)) {
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
