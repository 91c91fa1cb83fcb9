//! What is wrong with expressions in YAML, shown where it stands: each file under tests/expression/templates beside
//! the report that it gives. Set SEGNO_UPDATE to write the reports anew.

use std::path::{Path, PathBuf};

use segno::expression::{Environment, Type, check_template, check_template_as, template};
use segno::report::{Format, Report};
use segno::source::Sources;
use segno::yaml;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expression")
}

fn report(path: &Path) -> String {
    let schema = std::fs::read_to_string(folder().join("input.schema.json")).expect("the schema");
    let schema = serde_json::from_str(&schema).expect("the schema is JSON");
    let environment = Environment::new()
        .with("input", 0, Type::from_schema(&schema, &|_| None))
        .with("state", 1, Type::Dynamic);
    let text = std::fs::read_to_string(path).expect("a template");
    let name = path.file_name().and_then(|n| n.to_str()).expect("a name");
    let mut sources = Sources::default();
    let file = sources.add(name, text.as_str());
    let (nodes, mut diagnostics) = yaml::read(file, &text);
    for node in &nodes {
        let (template, found) = template(node);
        diagnostics.extend(found);
        diagnostics.extend(check_template(&template, &environment).1);
    }
    Report::new(&sources, diagnostics, 1).render(Format::Text, false)
}

#[test]
fn templates_give_their_reports() {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder().join("templates"))
        .expect("the folder of templates")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    paths.sort();
    for path in paths {
        let found = report(&path);
        let wanted_path = path.with_extension("txt");
        if std::env::var_os("SEGNO_UPDATE").is_some() {
            std::fs::write(&wanted_path, &found).expect("writing a report");
        }
        let wanted = std::fs::read_to_string(&wanted_path).unwrap_or_default();
        assert!(found == wanted, "{}:\n{found}", path.display());
    }
}

#[test]
fn data_that_does_not_fit_is_named_where_it_stands() {
    let schema = std::fs::read_to_string(folder().join("input.schema.json")).expect("the schema");
    let schema = serde_json::from_str(&schema).expect("the schema is JSON");
    let wanted = Type::from_schema(&schema, &|_| None);
    let environment = Environment::new().with("state", 0, Type::Dynamic);
    let cases: [(&str, &[&str]); 6] = [
        ("{order_id: a, total: 1, items: []}", &[]),
        (
            "{order_id: '${ state.a }', total: '${ state.b }', items: '${ state.c }'}",
            &[],
        ),
        (
            "{order_id: '${ 1 + 1 }', total: 1.5, items: []}",
            &["expected string, found int"],
        ),
        (
            "{order_id: a, items: []}",
            &["the field `total` is missing"],
        ),
        (
            "{order_id: a, total: 1, items: [{price: x}, {quantity: '${ 1.5 }'}]}",
            &[
                "expected int or double, found string",
                "expected int, found double",
            ],
        ),
        (
            "{order_id: a, total: 1, items: [], labels: {a: 1}}",
            &["expected string, found int"],
        ),
    ];
    for (text, messages) in cases {
        let mut sources = Sources::default();
        let file = sources.add("case", text);
        let (nodes, _) = yaml::read(file, text);
        let (template, _) = template(&nodes[0]);
        let (_, diagnostics) = check_template_as(&template, &environment, &wanted);
        let found: Vec<&str> = diagnostics.iter().map(|d| d.message.as_str()).collect();
        assert_eq!(found, messages, "{text}");
    }
}
