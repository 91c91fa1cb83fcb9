//! Any text, as an expression and as YAML data with expressions in it: no panic, and every diagnostic within the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use segno::expression::{parse, template};
use segno::source::{Range, Sources, TextMap};

fuzz_target!(|text: &str| {
    let mut sources = Sources::default();
    let file = sources.add("fuzz", text);
    let map = TextMap::verbatim(Range::new(file, 0, text.len() as u32));
    let (expression, diagnostics) = parse(text, &map);
    assert!(expression.is_some() || !diagnostics.is_empty());
    for diagnostic in diagnostics {
        assert!(diagnostic.range.end as usize <= text.len());
    }
    let (nodes, _) = segno::yaml::read(file, text);
    for node in &nodes {
        template(node);
    }
});
