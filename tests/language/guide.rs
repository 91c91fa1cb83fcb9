//! docs/temporal-guide.md: each row has its example, and what shows it on a real server is there.

use std::fs;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

const ROWS_MIN: usize = 35;

fn rows() -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join("docs/temporal-guide.md")).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("| "));
    let rows = lines.skip(1).map(|line| {
        let cells = line.trim_matches('|').split(" | ");
        cells.map(|cell| cell.trim().to_owned()).collect()
    });
    rows.collect()
}

/// What stands between the signs, for instance in `(` and `)`.
fn between<'a>(text: &'a str, from: &str, to: &str) -> Vec<&'a str> {
    let parts = text.split(from).skip(1);
    parts
        .filter_map(|part| Some(part.split_once(to)?.0))
        .collect()
}

/// A heading's anchor, as the forges make it.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn is_there(link: &str) -> bool {
    let (path, wanted) = link.split_once('#').unwrap_or((link, ""));
    let Ok(text) = fs::read_to_string(root().join("docs").join(path)) else {
        return false;
    };
    wanted.is_empty()
        || text
            .lines()
            .any(|l| l.starts_with('#') && anchor(l) == wanted)
}

fn is_tested(name: &str) -> bool {
    let tests = Path::new("tests");
    match name.split_once("::") {
        None => root()
            .join(tests)
            .join("steps/cases")
            .join(name)
            .join("expected.txt")
            .exists(),
        Some((file, test)) => {
            let paths =
                ["cluster", "local", "language"].map(|binary| format!("{binary}/{file}.rs"));
            let texts = paths.map(|path| fs::read_to_string(root().join(tests).join(path)));
            let text = texts.into_iter().find_map(Result::ok).unwrap_or_default();
            text.contains(&format!("#[test]\nfn {test}()"))
        }
    }
}

#[test]
fn every_row_has_its_example_and_what_shows_it() {
    let rows = rows();
    assert!(rows.len() >= ROWS_MIN, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        let [section, _, place, shown] = &row[..] else {
            panic!("a row of four cells is expected: {row:?}");
        };
        let links = between(place, "](", ")");
        let names: Vec<_> = shown.split('`').skip(1).step_by(2).collect();
        if links.is_empty() || names.is_empty() {
            wrong.push(format!("{section}: nothing"));
        }
        let missing = links.iter().filter(|link| !is_there(link));
        let untested = names.iter().filter(|name| !is_tested(name));
        wrong.extend(
            missing
                .chain(untested)
                .map(|what| format!("{section}: {what}")),
        );
    }
    assert!(wrong.is_empty(), "not there:\n{}", wrong.join("\n"));
}
