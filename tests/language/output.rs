//! What commands print is what they were given: JSON parses back to the same value whatever characters it has, and text
//! shows control characters as escapes instead of sending them to the terminal. Commands of a cluster: tests/cluster/output.rs.

use std::path::Path;
use std::process::Command;

use crate::characters::{self, CHARACTERS, assert_printable, text};
use serde_json::{Value, json};

/// Prints to a reader that has seen enough already.
fn unread(folder: &Path, arguments: &[&str]) -> Printed {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(env!("CARGO_BIN_EXE_segno"))
        .args(arguments)
        .current_dir(folder)
        .stdout(writer)
        .output()
        .unwrap();
    Printed {
        code: output.status.code(),
        stdout: String::new(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

struct Printed {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn segno(folder: &Path, arguments: &[&str]) -> Printed {
    let output = Command::new(env!("CARGO_BIN_EXE_segno"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    Printed {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn parsed(printed: &str) -> Value {
    serde_json::from_str(printed).unwrap_or_else(|error| panic!("{error} in {printed:?}"))
}

/// Every character by itself, so that a failure names it, and all together, also as a key.
fn values() -> Vec<Value> {
    let all = text(CHARACTERS);
    let each = CHARACTERS.iter().map(|text| json!(format!("a{text}b")));
    each.chain([json!({ all.clone(): [all] })]).collect()
}

#[test]
fn eval_prints_every_character() {
    let folder = tempfile::tempdir().unwrap();
    for value in values() {
        let bindings = json!({ "v": value }).to_string();
        let eval = ["eval", "v", "--bindings", &bindings];
        for colour in ["always", "never"] {
            let printed = segno(folder.path(), &[&eval[..], &["--color", colour]].concat());
            assert_printable(&printed.stdout);
            assert_eq!(parsed(&printed.stdout), value, "{}", printed.stderr);
        }
        let printed = segno(folder.path(), &[&eval[..], &["-o", "json"]].concat());
        assert_printable(&printed.stdout);
        assert_eq!(parsed(&printed.stdout)["value"], value);
    }
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["schema"][..],
        &["eval", "1 + 1"],
        &["eval", "1", "-o", "json"],
    ] {
        let printed = unread(folder.path(), arguments);
        assert_eq!(
            (printed.code, &*printed.stderr),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_batch_of_eval_prints_every_character() {
    let folder = tempfile::tempdir().unwrap();
    let all = text(CHARACTERS);
    let case = json!({ "expr": "v", "bindings": { "v": { "string": all } } });
    std::fs::write(
        folder.path().join("cases"),
        format!("{case}\nno json\u{7f}\n"),
    )
    .unwrap();
    let printed = segno(folder.path(), &["eval", "--batch", "cases"]);
    let mut lines = printed.stdout.lines();
    assert_eq!(parsed(lines.next().unwrap())["value"]["string"], all);
    assert_eq!(parsed(lines.next().unwrap())["error"]["stage"], "read");
}

/// A lone surrogate is no character: neither JSON nor expressions may bring one in.
#[test]
fn a_lone_surrogate_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["eval", r#""\ud800""#][..],
        &["eval", "v", "--bindings", r#"{"v": "\ud800"}"#],
        &["eval", "v", "--bindings", r#"{"v": "\udc00\ud800"}"#],
    ] {
        let printed = segno(folder.path(), arguments);
        assert!(printed.code != Some(0), "{arguments:?} {}", printed.stdout);
        assert!(
            printed.stdout.is_empty() && printed.stderr.contains("error"),
            "{}",
            printed.stderr
        );
    }
    let bindings = r#"{"v": "\ud83d\ude00"}"#;
    let pair = segno(folder.path(), &["eval", "v", "--bindings", bindings]);
    assert_eq!(pair.stdout, "\"😀\"\n", "{}", pair.stderr);
}

/// What a key is called goes into messages.
#[test]
fn lint_prints_every_character() {
    let folder = tempfile::tempdir().unwrap();
    for text in CHARACTERS {
        let key = characters::quoted(&format!("a{text}b"));
        let definition = format!("segno: 1\nworkflow: w\n{key}: 1\nsteps: [{{ log: x }}]\n");
        std::fs::write(folder.path().join("w.yaml"), definition).unwrap();
        let lint = ["lint", "w.yaml"];
        let printed = segno(folder.path(), &[&lint[..], &["-o", "json"]].concat());
        assert_printable(&printed.stdout);
        let message = &parsed(&printed.stdout)["diagnostics"][0]["message"];
        let message = message.as_str().unwrap();
        assert!(message.contains(&format!("a{text}b")), "{message:?}");
        let printed = segno(folder.path(), &[&lint[..], &["-o", "sarif"]].concat());
        let sarif = parsed(&printed.stdout);
        let result = &sarif["runs"][0]["results"][0]["message"]["text"];
        assert!(
            result.as_str().unwrap().contains(&format!("a{text}b")),
            "{result}"
        );
        for colour in ["always", "never"] {
            let printed = segno(folder.path(), &[&lint[..], &["--color", colour]].concat());
            assert_printable(&characters::without_colours(&printed.stdout));
        }
    }
}

#[cfg(feature = "cluster")]
mod runs {
    use super::*;

    const DEFINITION: &str = r#"segno: 1
workflow: echo
input: { type: object, required: [value], properties: { value: {}, fails: { type: boolean } } }
steps:
  - log: ${ string(input.value) }
  - when: input.?fails.orValue(false)
    fail: { type: "${ input.value }", message: "${ 'it is ' + input.value }" }
  - return: ${ input.value }
"#;

    #[test]
    fn run_prints_every_character() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("echo.yaml"), DEFINITION).unwrap();
        let all = text(CHARACTERS);
        let run = |input: Value, more: &[&str]| {
            let input = input.to_string();
            let run = ["run", "echo.yaml", "--new", "--input", &input];
            segno(folder.path(), &[&run[..], more].concat())
        };
        for more in [&["--color", "always"][..], &["-o", "json"]] {
            let printed = run(json!({ "value": all }), more);
            assert_printable(&printed.stdout);
            assert_printable(&characters::without_colours(&printed.stderr));
            assert_eq!(parsed(&printed.stdout), json!(all), "{}", printed.stderr);
        }
        for text in CHARACTERS {
            let value = format!("a{text}b");
            let printed = run(json!({ "value": value, "fails": true }), &[]);
            assert_eq!(printed.code, Some(1));
            assert_printable(&printed.stderr);
            let shown = format!("it is {}", characters::shown(&value));
            assert!(
                printed.stderr.contains(&shown),
                "{} lacks {shown}",
                printed.stderr
            );
        }
    }

    #[test]
    fn test_prints_every_character() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("echo.yaml"), DEFINITION).unwrap();
        let numbered = CHARACTERS.iter().enumerate();
        let names: Vec<String> = numbered.map(|(n, text)| format!("{n}a{text}b")).collect();
        let cases: Vec<Value> = names
            .iter()
            .map(|name| json!({ "name": name, "input": { "value": name }, "expect": { "result": name } }))
            .chain([json!({ "name": "wrong", "input": { "value": "\u{7f}" }, "expect": { "result": "" } })])
            .collect();
        let tests = json!({ "segno": 1, "test": "echo", "cases": cases });
        let tests = characters::plain(&tests.to_string());
        std::fs::write(folder.path().join("echo.test.yaml"), tests).unwrap();
        let printed = segno(folder.path(), &["test", "-o", "json"]);
        assert_printable(&printed.stdout);
        let json = parsed(&printed.stdout);
        let tests = json["tests"].as_array().unwrap();
        let told = tests.iter().map(|test| test["name"].as_str().unwrap());
        let told: Vec<_> = told.take(names.len()).collect();
        assert_eq!(told, names, "{}", printed.stderr);
        assert_eq!(json["passed"], names.len(), "{json:#}");
        let printed = segno(
            folder.path(),
            &["test", "--color", "always", "--junit", "junit.xml"],
        );
        assert_printable(&characters::without_colours(&printed.stdout));
        for name in &names {
            let shown = characters::shown(name);
            assert!(
                printed.stdout.contains(&shown),
                "{} lacks {shown}",
                printed.stdout
            );
        }
        let junit = std::fs::read_to_string(folder.path().join("junit.xml")).unwrap();
        assert!(
            junit.contains("a\\u007fb") && junit.contains("a\\u0001b"),
            "{junit}"
        );
    }

    #[test]
    fn a_result_that_nobody_has_read_is_printed_again() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("echo.yaml"), DEFINITION).unwrap();
        let run = ["run", "echo.yaml", "--input", r#"{"value": "x"}"#];
        assert_eq!(unread(folder.path(), &run).code, Some(0));
        let printed = segno(folder.path(), &["run", "echo.yaml", "--signal", "s"]);
        assert_eq!(printed.stdout, "\"x\"\n", "{}", printed.stderr);
        assert!(printed.stderr.contains("has ended"), "{}", printed.stderr);
    }

    #[test]
    fn tests_are_watched_for_a_reader_only() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("echo.yaml"), DEFINITION).unwrap();
        let case =
            json!({ "name": "case", "input": { "value": "x" }, "expect": { "result": "x" } });
        let tests = json!({ "segno": 1, "test": "echo", "cases": [case] });
        std::fs::write(folder.path().join("echo.test.yaml"), tests.to_string()).unwrap();
        assert_eq!(unread(folder.path(), &["test", "--watch"]).code, Some(0));
    }
}
