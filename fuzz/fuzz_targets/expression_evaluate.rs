//! Any expression through every stage: no panic, within the budget, and twice the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use segno::expression::{Context, Environment, NoHost, Type, check, compile, evaluate, parse};
use segno::limits::EXPRESSION_COST_MAX;
use segno::source::{Range, Sources, TextMap};
use segno::value::{Value, parse_json, to_json_string};

const DATA: &str = r#"{"a": {"b": [1, 2.5, "x", null, true]}, "text": "añb", "n": 3, "items": [{"p": 1}, {"p": 2}]}"#;

fuzz_target!(|text: &str| {
    let mut sources = Sources::default();
    let file = sources.add("fuzz", text);
    let map = TextMap::verbatim(Range::new(file, 0, text.len() as u32));
    let (Some(expression), _) = parse(text, &map) else {
        return;
    };
    let data = parse_json(DATA.as_bytes()).expect("the data is JSON");
    let environment = Environment::new()
        .with("x", 0, Type::of(&data))
        .with("y", 1, Type::Dynamic);
    let values: Vec<Value> = vec![data.clone(), data];
    check(&expression, &environment);
    let code = compile(&expression, &environment);
    let run = || {
        let mut host = NoHost;
        let mut context = Context::new(&mut host);
        let before = context.cost_left();
        let result = evaluate(&code, &values, &mut context);
        let cost = before - context.cost_left();
        assert!(cost <= EXPRESSION_COST_MAX);
        let text = match result {
            Ok(value) => to_json_string(&value).unwrap_or_else(|error| error.to_string()),
            Err(error) => error.to_string(),
        };
        (text, cost)
    };
    assert_eq!(run(), run());
});
