//! What is made from the language's tables is up to date. `SEGNO_UPDATE=1` writes it anew.

use std::path::{Path, PathBuf};

use segno::definition::tables;
use segno::schema;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn up_to_date(path: &str, wanted: &str) {
    let path = root().join(path);
    if std::env::var_os("SEGNO_UPDATE").is_some() {
        std::fs::write(&path, wanted).expect("it is written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "{} is out of date: run this test with SEGNO_UPDATE=1",
        path.display()
    );
}

#[test]
fn the_json_schema_is_up_to_date() {
    up_to_date(
        "schemas/segno.schema.json",
        &format!("{:#}\n", schema::schema()),
    );
}

#[test]
fn the_json_schema_of_tests_is_up_to_date_and_takes_the_examples() {
    let schema = schema::test_schema();
    up_to_date("schemas/segno.test.schema.json", &format!("{schema:#}\n"));
    let validator = jsonschema::draft202012::new(&schema).expect("a valid schema");
    let mut count = 0;
    for entry in std::fs::read_dir(root().join("workflows")).expect("the examples") {
        let path = entry.expect("an entry").path();
        if !path.to_string_lossy().ends_with(".test.yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a file");
        let (nodes, _) = segno::yaml::read(segno::source::FileId(0), &text);
        for node in &nodes {
            let json = segno::value::to_json(&node.to_value()).expect("JSON");
            let errors = validator.iter_errors(&json).map(|e| e.to_string());
            let errors: Vec<_> = errors.collect();
            assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
            count += 1;
        }
    }
    assert!(count > 10, "only {count} tests were found");
}

#[test]
fn the_page_of_lint_rules_is_up_to_date() {
    up_to_date("docs/rules.md", &schema::rules());
}

/// Between `<!-- table: NAME -->` and `<!-- end -->` stands what the tables say.
#[test]
fn the_tables_in_the_reference_are_up_to_date() {
    let mut pages = vec![
        root().join("docs/language.md"),
        root().join("docs/testing.md"),
        root().join("docs/schedules.md"),
    ];
    let steps = std::fs::read_dir(root().join("docs/steps")).expect("the pages of steps");
    pages.extend(steps.map(|entry| entry.expect("a page").path()));
    for page in pages {
        let text = std::fs::read_to_string(&page).expect("a page");
        let is_of_a_step = page
            .parent()
            .is_some_and(|folder| folder.ends_with("docs/steps"));
        assert!(
            !is_of_a_step || text.contains("<!-- example: "),
            "{} shows no case that runs",
            page.display()
        );
        let path = page.strip_prefix(root()).expect("a page of this project");
        up_to_date(&path.display().to_string(), &filled(&text));
    }
}

#[test]
fn every_action_has_a_page() {
    let folder = root().join("docs/steps");
    let pages: String = std::fs::read_dir(&folder)
        .expect("the pages of steps")
        .map(|entry| std::fs::read_to_string(entry.expect("a page").path()).expect("a page"))
        .collect();
    for action in tables::ACTIONS {
        let marker = format!("<!-- table: step {} -->", action.key.name);
        let title = format!("# `{}`", action.key.name);
        assert!(
            pages.contains(&marker) || pages.contains(&title),
            "no page in docs/steps has {marker}"
        );
    }
}

/// The generated blocks written anew: `<!-- table: NAME -->` and `<!-- example: CASE -->`, up to `<!-- end -->`.
fn filled(text: &str) -> String {
    const END: &str = "<!-- end -->";
    let mut filled = String::new();
    let mut rest = text;
    while let Some(at) = ["<!-- table: ", "<!-- example: "]
        .iter()
        .filter_map(|begin| rest.find(begin))
        .min()
    {
        let (before, from) = rest.split_at(at);
        let (marker, body) = from.split_once('\n').expect("a line");
        let (_, after) = body.split_once(END).expect("an end for each block");
        let (kind, name) = marker[5..].split_once(": ").expect("a kind and a name");
        let name = name.trim_end_matches(" -->");
        let block = match kind {
            "table" => table(name),
            _ => example(name),
        };
        filled += &format!("{before}{marker}\n\n{block}\n{END}");
        rest = after;
    }
    filled + rest
}

/// The definition of a case that runs on a real server.
fn example(case: &str) -> String {
    let path = root().join(format!("tests/steps/cases/{case}/definition.yaml"));
    let text = std::fs::read_to_string(&path);
    let text = text.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    format!("```yaml\n{}\n```\n", text.trim_end())
}

fn table(name: &str) -> String {
    if let Some(key) = name.strip_prefix("step ") {
        let action = tables::action(key).unwrap_or_else(|| panic!("no action {key}"));
        return schema::action_section(action);
    }
    let fields: Vec<_> = match name {
        "definition" => tables::DEFINITION.fields().collect(),
        "library" => tables::LIBRARY.fields().collect(),
        "activity contract" => tables::CONTRACT.fields().take(3).collect(),
        "defaults" => tables::DEFAULTS.fields().collect(),
        "query" => tables::QUERY.fields().collect(),
        "signal" => tables::SIGNAL.fields().collect(),
        "update" => tables::UPDATE.fields().collect(),
        "block" => tables::BLOCK.fields().collect(),
        "schedule" => tables::SCHEDULE.fields().collect(),
        "interval" => tables::INTERVAL.fields().collect(),
        "calendar" => tables::CALENDAR.fields().collect(),
        "start" => tables::START.fields().collect(),
        "common" => tables::COMMON.iter().collect(),
        "activity options" => {
            let options = tables::ACTIVITY_OPTIONS.iter();
            options.chain(tables::LOCAL).collect()
        }
        "child options" => tables::CHILD_OPTIONS.iter().collect(),
        "retry policy" => tables::RETRY_POLICY.fields().collect(),
        "priority" => tables::PRIORITY.fields().collect(),
        "test" => tables::TEST.fields().take(4).collect(),
        "test case" => tables::TEST_CASE.fields().collect(),
        "outcome" => tables::OUTCOME.fields().collect(),
        "heartbeat" => tables::HEARTBEAT.fields().collect(),
        "mocked failure" => tables::MOCKED_FAILURE.fields().collect(),
        "test action" => tables::TEST_ACTION.fields().collect(),
        "expectation" => tables::EXPECTATION.fields().collect(),
        "expected failure" => tables::EXPECTED_FAILURE.fields().collect(),
        other => panic!("no table {other}"),
    };
    schema::fields_table(fields.into_iter())
}

/// Every definition of the project is one by the JSON Schema too, and each key that the parser refuses it refuses.
#[test]
fn the_json_schema_agrees_with_the_parser() {
    let validator = jsonschema::draft202012::new(&schema::schema()).expect("a valid schema");
    let documents = |path: &Path| -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).expect("a file");
        let (nodes, diagnostics) = segno::yaml::read(segno::source::FileId(0), &text);
        let errors: Vec<_> = diagnostics.iter().filter(|d| d.is_error()).collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
        let json =
            |node: &segno::yaml::Node| segno::value::to_json(&node.to_value()).expect("JSON");
        nodes.iter().map(json).collect()
    };
    for folder in ["tests/lint/ok", "tests/lint/warn", "workflows"] {
        for path in yaml_files(&root().join(folder)) {
            for document in documents(&path) {
                let errors: Vec<_> = validator
                    .iter_errors(&document)
                    .map(|e| e.to_string())
                    .collect();
                assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
            }
        }
    }
    for name in [
        "top-unknown-keys",
        "step-unknown-key",
        "step-two-actions",
        "step-no-action",
        "duration-without-unit",
    ] {
        let path = root().join(format!("tests/lint/err/{name}.yaml"));
        for document in documents(&path) {
            assert!(!validator.is_valid(&document), "{name}");
        }
    }
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.expect("an entry").path();
        let name = path.to_string_lossy();
        if path.is_dir() {
            files.extend(yaml_files(&path));
        } else if name.ends_with(".yaml") && !name.ends_with(".test.yaml") {
            files.push(path);
        }
    }
    files
}

/// The definitions in the reference are right as they stand, and its steps are steps.
#[test]
fn the_examples_of_the_reference_are_read_without_mistakes() {
    let mut pages = vec![root().join("docs/language.md")];
    let steps = std::fs::read_dir(root().join("docs/steps")).expect("the pages of steps");
    pages.extend(steps.map(|entry| entry.expect("a page").path()));
    for page in pages {
        let text = std::fs::read_to_string(&page).expect("a page");
        let examples: Vec<_> = text.split("```yaml\n").skip(1).collect();
        assert!(!examples.is_empty(), "{} has no example", page.display());
        for example in examples {
            let (example, _) = example.split_once("```").expect("an end");
            let definition = if example.starts_with("- ") {
                format!("segno: 1\nworkflow: example\nsteps:\n{example}")
            } else if example.contains("segno: 1") {
                example.to_string()
            } else {
                continue;
            };
            let (nodes, mut found) = segno::yaml::read(segno::source::FileId(0), &definition);
            for node in &nodes {
                found.extend(segno::definition::parse(node).1);
            }
            assert!(
                found.is_empty(),
                "{}: {found:#?}\n{definition}",
                page.display()
            );
        }
    }
}
