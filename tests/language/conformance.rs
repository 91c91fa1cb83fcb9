//! Runs cases of CEL conformance: the official suite's where its file is there, and always the project's own. `of-the-suite.jsonl` among these holds further cases
//! of the official suite (google/cel-spec, tests/simple/testdata, commit 508bd98, Apache-2.0), in the same form. Left out are those that need protobuf messages or
//! enums, and those of `cel.block`: docs/expressions.md names these deviations.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use segno::cli::evaluate_line;
use serde_json::Value as Json;

/// Set to run another file of cases.
const FILE_VARIABLE: &str = "SEGNO_CONFORMANCE_FILE";

fn official() -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/conformance/cel.jsonl");
    std::env::var_os(FILE_VARIABLE).map_or(beside, PathBuf::from)
}

#[test]
fn official_cases_pass() {
    let path = official();
    match std::fs::read_to_string(&path) {
        Ok(text) => run(&path, &text),
        Err(_) => println!(
            "{} is not there: only the project's own cases run. {FILE_VARIABLE} names another place.",
            path.display()
        ),
    }
}

#[test]
fn own_cases_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expression/cases");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder of cases")
        .map(|entry| entry.expect("an entry of the folder").path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for path in files {
        let text = std::fs::read_to_string(&path).expect("a file of cases");
        run(&path, &text);
    }
}

/// Runs all cases of a file, prints the rate of each of the suite's files, and fails if one case failed.
fn run(path: &Path, text: &str) {
    let mut rates: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut failures = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let case: Json = serde_json::from_str(line).expect("a case is JSON");
        let file = case["file"]
            .as_str()
            .unwrap_or_else(|| path.file_stem().and_then(|s| s.to_str()).unwrap_or("cases"));
        let rate = rates.entry(file.to_owned()).or_default();
        rate.1 += 1;
        match judge(&case, line).and_then(|()| judge_unchecked(&case)) {
            Ok(()) => rate.0 += 1,
            Err(why) => failures.push(format!("{file}: {} -- {why}", case["expr"])),
        }
    }
    println!("{}", path.display());
    for (file, (passed, all)) in &rates {
        let percent = 100.0 * *passed as f64 / *all as f64;
        println!("  {file:16} {passed:4} of {all:4}  {percent:5.1} %");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What is true of a checked expression is true of it without the checker, which may only refuse more.
fn judge_unchecked(case: &Json) -> Result<(), String> {
    if case["check_only"].as_bool() == Some(true) {
        return Ok(());
    }
    let mut case = case.clone();
    case["disable_check"] = Json::Bool(true);
    if let Some(object) = case.as_object_mut() {
        object.remove("deduced_type");
    }
    judge(&case, &case.to_string()).map_err(|why| format!("without the checker: {why}"))
}

fn judge(case: &Json, line: &str) -> Result<(), String> {
    let answer = evaluate_line(line)?;
    if case["expected_error"].as_bool() == Some(true) {
        return match answer["error"]["stage"].as_str() {
            Some("check" | "evaluate") => Ok(()),
            _ => Err(format!("an evaluation error was expected: {answer}")),
        };
    }
    if let Some(wanted) = case["error_contains"].as_str() {
        let message = answer["error"]["message"].as_str().unwrap_or("");
        return match message.contains(wanted) {
            true => Ok(()),
            false => Err(format!("an error with {wanted:?} was expected: {answer}")),
        };
    }
    if !answer["error"].is_null() {
        return Err(answer.to_string());
    }
    if let Some(wanted) = case.get("deduced_type")
        && *wanted != answer["type"]
    {
        return Err(format!("type {wanted} was expected: {}", answer["type"]));
    }
    match case.get("expected") {
        Some(wanted) if !wanted.is_null() && !same(wanted, &answer["value"]) => {
            Err(format!("{wanted} was expected: {}", answer["value"]))
        }
        _ => Ok(()),
    }
}

/// Equality of typed values: entries of maps in any order, doubles by value.
fn same(a: &Json, b: &Json) -> bool {
    let only = |json: &Json| -> Option<(String, Json)> {
        let (kind, inner) = json.as_object()?.iter().next()?;
        Some((kind.clone(), inner.clone()))
    };
    let (Some((kind, a)), Some((other, b))) = (only(a), only(b)) else {
        return a == b;
    };
    if kind != other {
        return false;
    }
    match (kind.as_str(), a.as_array(), b.as_array()) {
        ("double", ..) => {
            let number = |json: &Json| json.as_str().and_then(|text| text.parse::<f64>().ok());
            match (number(&a), number(&b)) {
                (Some(x), Some(y)) => x.to_bits() == y.to_bits() || x.is_nan() && y.is_nan(),
                _ => false,
            }
        }
        ("list", Some(a), Some(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(x, y)| same(x, y))
        }
        ("map", Some(a), Some(b)) => {
            let has = |entry: &Json| {
                b.iter()
                    .any(|other| same(&entry[0], &other[0]) && same(&entry[1], &other[1]))
            };
            a.len() == b.len() && a.iter().all(has)
        }
        _ => a == b,
    }
}
