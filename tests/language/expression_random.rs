//! Random texts through every stage: no panic, a cost within the bound, and twice the same result. Set
//! SEGNO_RANDOM_SECONDS to go on for longer; the fuzz targets in fuzz/ do the same guided by coverage.

use std::time::{Duration, Instant};

use segno::expression::functions::SECTIONS;
use segno::expression::{
    Context, Environment, NoHost, Type, check, compile, evaluate, parse, template,
};
use segno::limits::EXPRESSION_COST_MAX;
use segno::source::{Range, Sources, TextMap};
use segno::value::{Value, parse_json, to_json_string};

const TEXTS: usize = 5_000;
const DATA: &str = r#"{"a": {"b": [1, 2.5, "x", null, true]}, "text": "añb", "n": 3, "items": [{"p": 1}, {"p": 2}]}"#;
const TOKENS: [&str; 60] = [
    "x",
    "y",
    ".a",
    ".b",
    ".?",
    ".",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    ",",
    ":",
    "?",
    "!",
    "-",
    "+",
    "*",
    "/",
    "%",
    "==",
    "!=",
    "<",
    ">=",
    "in",
    "&&",
    "||",
    "1",
    "0",
    "-1",
    "9223372036854775807",
    "1u",
    "1.5",
    "1e308",
    "'a'",
    "\"\"",
    "r'\\'",
    "b'\\xff'",
    "'''",
    "null",
    "true",
    "has(",
    ".map(i, ",
    ".filter(i, ",
    ".all(i, ",
    ".transformMap(k, v, ",
    "cel.bind(z, ",
    "z",
    "i",
    "optional.of(",
    ".orValue(",
    ".size()",
    "timestamp(0)",
    "duration('1h')",
    "// ",
    "\n",
    "${",
    "é",
    "\u{0}",
];

/// SplitMix64, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.below(texts.len())]
    }

    /// A place between two characters.
    fn place(&mut self, text: &str) -> usize {
        let mut at = self.below(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

/// An example that was cut, joined and peppered, or a soup of tokens.
fn text(random: &mut Random, examples: &[&str]) -> String {
    let mut text = match random.below(4) {
        0 => String::new(),
        _ => random.of(examples).to_owned(),
    };
    for _ in 0..random.below(12) {
        let at = random.place(&text);
        match random.below(5) {
            0 => text.truncate(at),
            1 => text.insert_str(at, random.of(examples)),
            2 => {
                let end = random.place(&text);
                text.replace_range(at.min(end)..at.max(end), "");
            }
            _ => text.insert_str(at, random.of(&TOKENS)),
        }
    }
    text
}

fn through_all_stages(text: &str) {
    let mut sources = Sources::default();
    let file = sources.add("random", text);
    let (nodes, _) = segno::yaml::read(file, text);
    nodes.iter().for_each(|node| drop(template(node)));
    let map = TextMap::verbatim(Range::new(file, 0, text.len() as u32));
    let (expression, diagnostics) = parse(text, &map);
    assert!(expression.is_some() || !diagnostics.is_empty());
    assert!(
        diagnostics
            .iter()
            .all(|d| d.range.end as usize <= text.len())
    );
    let Some(expression) = expression else { return };
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
        let result = match evaluate(&code, &values, &mut context) {
            Ok(value) => to_json_string(&value).unwrap_or_else(|error| error.to_string()),
            Err(error) => error.to_string(),
        };
        let cost = before - context.cost_left();
        assert!(cost <= EXPRESSION_COST_MAX);
        (result, cost)
    };
    assert_eq!(run(), run());
}

#[test]
fn random_texts_do_no_harm() {
    let examples: Vec<&str> = SECTIONS
        .iter()
        .flat_map(|section| section.rows)
        .flat_map(|row| row.examples.iter().copied())
        .collect();
    let seconds = std::env::var("SEGNO_RANDOM_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let begun = Instant::now();
    let mut count = 0;
    while count < TEXTS || begun.elapsed() < Duration::from_secs(seconds) {
        let mut random = Random(count as u64);
        let text = text(&mut random, &examples);
        let result = std::panic::catch_unwind(|| through_all_stages(&text));
        assert!(result.is_ok(), "seed {count}: {text:?}");
        count += 1;
    }
    println!("{count} texts");
}
