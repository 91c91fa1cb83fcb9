//! Hostile expressions: each ends in an error that names a bound, with a cost that does not depend on the machine.

#[path = "support/hostile.rs"]
mod hostile;

use hostile::{code, hostile, variables};
use segno::expression::{Context, Environment, ErrorKind, NoHost, Type, compile, evaluate, parse};
use segno::limits::{EXPRESSION_COST_MAX, EXPRESSION_SIZE_BYTES_MAX};
use segno::source::{FileId, Range, TextMap};
use segno::value::Value;

fn map(text: &str) -> TextMap {
    TextMap::verbatim(Range::new(FileId(0), 0, text.len() as u32))
}

#[test]
fn hostile_expressions_stop_at_a_bound() {
    let (_, values) = variables();
    for (text, bound) in hostile() {
        let code = code(&text);
        let mut host = NoHost;
        let mut context = Context::new(&mut host);
        let before = context.cost_left();
        let begun = std::time::Instant::now();
        let result = evaluate(&code, &values, &mut context);
        println!("{:>9.2?} {text:.100}", begun.elapsed());
        let Err(error) = result else {
            panic!("{text} gives a value");
        };
        let is_bound = matches!(error.kind, ErrorKind::Bound | ErrorKind::ResultSize);
        assert!(is_bound, "{text}: {error}");
        assert!(
            error.message.contains(bound)
                || bound == "PAYLOAD_SIZE_BYTES_MAX"
                    && error.message.contains("EXPRESSION_COST_MAX"),
            "{text}: {error}"
        );
        assert!(
            before - context.cost_left() <= EXPRESSION_COST_MAX,
            "{text}"
        );
    }
}

#[test]
fn the_cost_is_the_same_however_the_expression_is_compiled() {
    let cost = |text: &str| {
        let (_, values) = variables();
        let mut host = NoHost;
        let mut context = Context::new(&mut host);
        let before = context.cost_left();
        evaluate(&code(text), &values, &mut context).expect("a value");
        before - context.cost_left()
    };
    assert_eq!(cost("1 + 2 * 3"), 5);
    assert_eq!(cost("text.size() > 0"), 4 + 8 * 32 * 1024 / 32);
    assert_eq!(
        cost("[1, 2, 3].map(i, i + 1)"),
        cost("dyn([1, 2, 3]).map(i, i + 1)") - 1
    );
}

#[test]
fn a_workflow_task_has_a_bound_of_its_own() {
    let (_, values) = variables();
    let code = code("lists.range(1000).map(i, i)");
    let mut host = NoHost;
    let mut context = Context::with_cost_left(&mut host, 10_000);
    let mut evaluations = 0;
    let error = loop {
        match evaluate(&code, &values, &mut context) {
            Ok(_) => evaluations += 1,
            Err(error) => break error,
        }
    };
    assert!(error.message.contains("WORKFLOW_TASK_COST_MAX"), "{error}");
    assert!(evaluations > 0 && evaluations < 10);
}

#[test]
fn hostile_texts_are_refused_without_overflowing_the_stack() {
    let half = EXPRESSION_SIZE_BYTES_MAX / 2;
    let texts = [
        "!".repeat(16_000) + "true",
        "-".repeat(16_000) + "1",
        "(".repeat(16_000),
        "[".repeat(64) + &"]".repeat(64),
        "{1:".repeat(64) + "1" + &"}".repeat(64),
        "a".to_owned() + &".a".repeat(half - 1),
        "1".to_owned() + &"*1".repeat(half - 1),
        "1".to_owned() + &"+1".repeat(half - 1),
        "a".to_owned() + &"&&a".repeat(half / 2),
        "a?a:".repeat(4_000) + "a",
        format!("a{}", "[0]".repeat(5_000)),
        "a".to_owned() + &".f()".repeat(4_000),
        "'".repeat(16_000),
        "\"\"\"".repeat(5_000),
        "`".repeat(16_000),
        "//".repeat(8_000),
        "x".repeat(EXPRESSION_SIZE_BYTES_MAX + 1),
        "\u{0}".repeat(100),
        "é".repeat(8_000),
    ];
    for text in texts {
        let (expression, diagnostics) = parse(&text, &map(&text));
        if let (Some(expression), true) = (expression, diagnostics.is_empty()) {
            let environment = Environment::new().with("a", 0, Type::Dynamic);
            segno::expression::check(&expression, &environment);
            let code = compile(&expression, &environment);
            let mut host = NoHost;
            let values = vec![Value::Bool(true)];
            // Its value does not matter here, only that it ends.
            let _ = evaluate(&code, &values, &mut Context::new(&mut host));
        }
    }
}
