//! Every character of a decoded scalar is found again in its file, whatever the scalar's style.

use proptest::prelude::*;
use segno::source::FileId;
use segno::value::Value;
use segno::yaml::{self, Data, Node, Style};

const FILE: FileId = FileId(0);

fn scalars<'a>(node: &'a Node, found: &mut Vec<&'a yaml::Scalar>) {
    match &node.data {
        Data::Scalar(scalar) => found.push(scalar),
        Data::Sequence(items) => items.iter().for_each(|item| scalars(item, found)),
        Data::Mapping(entries) => entries.iter().for_each(|entry| {
            scalars(&entry.key, found);
            scalars(&entry.value, found);
        }),
    }
}

/// Each character's range must hold that character: itself, its escape, or the line end that it was folded from.
fn check(text: &str) -> Vec<String> {
    let (documents, diagnostics) = yaml::read(FILE, text);
    assert_eq!(diagnostics, [], "{text:?}");
    let mut found = Vec::new();
    documents.iter().for_each(|node| scalars(node, &mut found));
    for scalar in &found {
        for (at, c) in scalar.text.char_indices() {
            let range = scalar.map.range(at..at + c.len_utf8());
            let source = &text[range.start as usize..range.end as usize];
            let right = match c {
                // The line feed that a block scalar gets at the end of a file without one.
                '\n' if range.end as usize == text.len() => true,
                '\n' | ' '
                    if source
                        .trim_start_matches([' ', '\t'])
                        .starts_with(['\n', '\r']) =>
                {
                    true
                }
                '\'' if scalar.style == Style::SingleQuoted => source == "''",
                c if source.starts_with('\\') && scalar.style == Style::DoubleQuoted => {
                    unescaped(source) == Some(c)
                }
                c => source.strip_prefix(c).is_some_and(|rest| {
                    rest.is_empty() || rest.starts_with(['\n', '\r', ' ', '\\'])
                }),
            };
            assert!(
                right,
                "{c:?} of {:?} at {at} is {source:?} in {text:?}",
                scalar.text
            );
        }
    }
    found.iter().map(|scalar| scalar.text.to_string()).collect()
}

fn unescaped(escape: &str) -> Option<char> {
    let (documents, _) = yaml::read(FILE, &format!("\"{escape}\""));
    documents.first()?.scalar()?.text.chars().next()
}

#[test]
fn fixtures_map_back() {
    for (text, expected) in [
        ("a: 'x ''y'\n", vec!["a", "x 'y"]),
        (
            "\"q\\n\\\n   z \\u00e9\\x41\\U0001F600é\"",
            vec!["q\nz éA😀é"],
        ),
        ("\"\\uD83D\\uDE00!\"", vec!["😀!"]),
        ("\"a  \n\n\n  b\\\n\n  c\"", vec!["a\n\nb\nc"]),
        ("\"a  \\\n  b\"", vec!["a  b"]),
        ("'a\n  b\n\n  c d'", vec!["a b\nc d"]),
        (
            "k: plain\n  more\n\n  text\n",
            vec!["k", "plain more\ntext"],
        ),
        (
            "k: |\n  one\n   two\n\n  three\n\n\n",
            vec!["k", "one\n two\n\nthree\n"],
        ),
        ("k: |+\n  one\n\n\nm: x", vec!["k", "one\n\n\n", "m", "x"]),
        ("k: |-\n\n\n  one\n", vec!["k", "\n\none"]),
        ("k: |2\n    one\n  two\n", vec!["k", "  one\ntwo\n"]),
        (
            "k: >\n  one\n  two\n\n  three\n   four\n\n  five\n",
            vec!["k", "one two\nthree\n four\n\nfive\n"],
        ),
        (
            "k: >-\n\n  one\n  two\n\n\n  three\n\n",
            vec!["k", "\none two\n\nthree"],
        ),
        ("- >2\n    x\n  y\n- |\n   z", vec!["  x\ny\n", "z\n"]),
        (
            "a: |\r\n  x\r\n\r\n  y\r\nb: \"q\r\n  r\"\r\n",
            vec!["a", "x\n\ny\n", "b", "q r"],
        ),
        ("k: |\n\n", vec!["k", ""]),
        ("k: |+\n\n\n", vec!["k", "\n\n"]),
        ("\u{FEFF}k: 'é'\n", vec!["k", "é"]),
        ("k: \"\"", vec!["k", ""]),
    ] {
        assert_eq!(check(text), expected, "{text:?}");
    }
}

fn pieces() -> impl Strategy<Value = Vec<String>> {
    let piece = prop_oneof![
        "[a-zé😀$]{1,4}".prop_map(String::from),
        Just(" ".to_string()),
        Just("  ".to_string()),
        Just("\\n".to_string()),
        Just("\\u00e9".to_string()),
        Just("\\\"".to_string()),
        Just("\\\\".to_string()),
        Just("\\\n   ".to_string()),
        Just("\n  ".to_string()),
        Just("\n\n  ".to_string()),
        Just("''".to_string()),
        Just("\\uD83D\\uDE00".to_string()),
        Just("\\ ".to_string()),
    ];
    proptest::collection::vec(piece, 0..12)
}

fn lines() -> impl Strategy<Value = Vec<(usize, String)>> {
    proptest::collection::vec((0..3_usize, "[a-z]{0,3}( [a-zé]{1,3}){0,2}"), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn double_quoted_maps_back(pieces in pieces()) {
        check(&format!("k:\n - \"{}\"\n", pieces.concat()));
    }

    #[test]
    fn single_quoted_maps_back(pieces in pieces()) {
        let text = pieces.concat().replace('\\', "");
        check(&format!("k:\n - '{text}'\n"));
    }

    #[test]
    fn block_scalars_map_back(lines in lines(), folded: bool, chomp in "[-+]?", crlf: bool) {
        let header = if folded { ">" } else { "|" };
        let end = if crlf { "\r\n" } else { "\n" };
        let mut text = format!("k: {header}2{chomp}{end}");
        for (spaces, line) in lines {
            let indent = if line.is_empty() { 0 } else { 2 + spaces };
            text += &format!("{}{line}{end}", " ".repeat(indent));
        }
        text += &format!("end: 1{end}");
        check(&text);
    }
}

fn first_message(text: &str) -> String {
    let (_, diagnostics) = yaml::read(FILE, text);
    let first = diagnostics.first().expect("a diagnostic");
    format!(
        "{}: {} | {}",
        first.code,
        first.message,
        first.help.join(" | ")
    )
}

#[test]
fn expressions_that_yaml_cuts_short_are_explained_and_read_as_meant() {
    for (text, quoted) in [
        ("a: ${ x ? {'k': 1} : 2 }\n", r#""${ x ? {'k': 1} : 2 }""#),
        ("a: ${ x == \" # \" }\n", r#"'${ x == " # " }'"#),
        (
            "a: text ${ {b: c} } more # comment\n",
            r#""text ${ {b: c} } more""#,
        ),
        ("a: { b: ${ x } }\n", r#""${ x }""#),
        (
            "a: { b: id-${ x }-${ y }, c: 1 }\n",
            r#""id-${ x }-${ y }""#,
        ),
        ("a: [ ${ x[0] }, ${ f(1, 2) } ]\n", r#""${ x[0] }""#),
        ("- ${ x ? {'a': 1} : 2 }\n", r#""${ x ? {'a': 1} : 2 }""#),
    ] {
        let (documents, diagnostics) = yaml::read(FILE, text);
        assert_eq!(documents.len(), 1, "{text}: {diagnostics:?}");
        assert!(
            diagnostics.iter().all(|d| d.code == "cut-expression"),
            "{text}: {diagnostics:?}"
        );
        assert_eq!(
            diagnostics[0].help,
            [format!("quote the whole value: {quoted}")],
            "{text}"
        );
        let (edit, replacement) = &diagnostics[0].fix.as_ref().expect("a fix").edits[0];
        let meant = &text[edit.start as usize..edit.end as usize];
        let mut found = Vec::new();
        scalars(&documents[0], &mut found);
        assert!(
            found.iter().any(|scalar| scalar.text.as_ref() == meant),
            "{text}"
        );
        if diagnostics.len() == 1 {
            let mut mended = text.to_string();
            mended.replace_range(edit.start as usize..edit.end as usize, replacement);
            assert_eq!(yaml::read(FILE, &mended).1, [], "{mended}");
        }
    }
}

#[test]
fn whole_expressions_are_left_alone() {
    for text in [
        "a: ${ x } # comment\n",
        "a: ${ x[0] + {'b':1}.b }\n",
        "a: $${ # literal\n",
        "a: \"${ x ? {'k': 1} : 2 }\"\n",
        "a: { b: $, c: 1 }\n",
        "a: >-\n  ${ x ? {'k': 1} :\n  2 }\n",
    ] {
        assert_eq!(yaml::read(FILE, text).1, [], "{text}");
    }
}

#[test]
fn mistakes_are_named() {
    for (text, expected) in [
        ("a: 1\na: 2\n", "duplicate-key: duplicate key `a`"),
        ("a: *b\n", "unknown-anchor: nothing is anchored as `&b`"),
        ("a: &b [*b]\n", "recursive-alias"),
        (
            "a: b: c\n",
            "yaml-syntax: a second `: ` in one line | quote the whole value: \"b: c\"",
        ),
        ("a: \"x\n", "yaml-syntax: the quoted text is not closed"),
        ("a:\n\t- x\n", "yaml-syntax: a tab in the indentation"),
        ("a: [1, 2\n", "yaml-syntax: `[` is not closed"),
        ("? [a]\n: b\n", "complex-key"),
        (
            "a: !secret x\n",
            "unknown-tag: YAML reads a value that begins with `!` as a tag",
        ),
        ("a: !secret [x]\n", "unknown-tag: unknown tag `!secret`"),
        ("a: !!int x\n", "bad-tag"),
        ("a: 99999999999999999999\n", "number-too-large"),
        ("<<: 1\n", "bad-merge"),
        ("a: @b\n", "yaml-syntax: a value cannot begin with `@`"),
        (
            "a: x\0y\n",
            "control-character: the file contains a NUL byte",
        ),
    ] {
        let found = first_message(text);
        assert!(found.starts_with(expected), "{text:?}: {found}");
    }
}

#[test]
fn anchors_aliases_and_merge_keys_give_plain_data() {
    let text = "base: &b {x: 1, y: 2}\none: {<<: *b, y: 3}\ntwo:\n  <<: [*b, {z: 4}]\nthree: *b\n";
    let (documents, diagnostics) = yaml::read(FILE, text);
    assert_eq!(diagnostics, []);
    let Value::Map(map) = documents[0].to_value() else {
        panic!("a mapping")
    };
    let shown = segno::value::to_json_string(&Value::Map(map)).expect("plain data");
    assert_eq!(
        shown,
        r#"{"base":{"x":1,"y":2},"one":{"y":3,"x":1},"two":{"x":1,"y":2,"z":4},"three":{"x":1,"y":2}}"#
    );
}

#[test]
fn documents_after_a_broken_one_are_read() {
    let (documents, diagnostics) = yaml::read(FILE, "a: [1\n---\nb: 2\n---\nc: d: e\n---\nf: 1\n");
    assert_eq!(documents.len(), 3);
    assert_eq!(diagnostics.len(), 2);
}
