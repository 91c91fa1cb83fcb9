//! What is said of two versions of a definition stands beside them in `tests/difference/`. `SEGNO_UPDATE=1` writes what
//! is said now.

use std::path::{Path, PathBuf};

use segno::difference::{Differences, Kind, Version, difference};
use segno::limits::DIFFERENCES_MAX;
use segno::load::{Fetched, Loaded, Unread};
use segno::{value, yaml};

const KEY: &str = "definition.yaml";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn load(path: &str, text: &str, used: &Path) -> Loaded {
    let mut loaded = Loaded::default();
    loaded.add(vec![Unread {
        key: KEY.into(),
        path: path.into(),
        bytes: text.as_bytes().to_vec(),
    }]);
    loaded.complete(&mut |key| {
        let Ok(bytes) = std::fs::read(used.join(key)) else {
            return Fetched::Missing;
        };
        Fetched::File(Unread {
            key: key.into(),
            path: key.into(),
            bytes,
        })
    });
    loaded
}

fn compare(old: &Loaded, new: &Loaded) -> Differences {
    fn version(loaded: &Loaded) -> Version<'_> {
        Version {
            loaded,
            file: loaded.by_key(KEY).expect("the definition is loaded"),
            document: 0,
        }
    }
    difference(version(old), version(new))
}

fn texts(old: &str, new: &str) -> Differences {
    let none = Path::new("");
    compare(&load("old.yaml", old, none), &load("new.yaml", new, none))
}

fn fixture(folder: &Path, side: &str) -> Loaded {
    let name = format!("{side}.yaml");
    let text = std::fs::read_to_string(folder.join(&name)).expect("a version of the fixture");
    let loaded = load(&name, &text, &folder.join(side));
    for file in &loaded.files {
        let errors: Vec<_> = file.errors().map(|e| loaded.sources.location(e)).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", folder.display());
    }
    loaded
}

fn fixtures() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("tests/difference")).expect("the fixtures");
    let mut folders: Vec<_> = entries.map(|e| e.expect("a fixture").path()).collect();
    folders.sort();
    assert!(folders.len() >= 20, "the fixtures were not found");
    folders
}

#[test]
fn each_fixture_gives_what_stands_beside_it() {
    let mut wrong = Vec::new();
    for folder in fixtures() {
        let found = compare(&fixture(&folder, "old"), &fixture(&folder, "new")).text();
        let path = folder.join("expected.txt");
        if std::env::var_os("SEGNO_UPDATE").is_some() {
            std::fs::write(&path, &found).expect("it is written");
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        if found != expected {
            wrong.push(format!("{}:\n{found}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is added one way is removed the other way, and what moves or changes does so both ways.
#[test]
fn the_way_back_has_the_same_differences() {
    for folder in fixtures() {
        let (old, new) = (fixture(&folder, "old"), fixture(&folder, "new"));
        let (there, back) = (compare(&old, &new), compare(&new, &old));
        let count = |all: &Differences, kind| {
            let of_kind = all.differences.iter().filter(|d| d.kind == kind);
            of_kind.count()
        };
        let name = folder.display();
        assert_eq!(
            count(&there, Kind::Added),
            count(&back, Kind::Removed),
            "{name}"
        );
        assert_eq!(
            count(&there, Kind::Removed),
            count(&back, Kind::Added),
            "{name}"
        );
        assert_eq!(
            count(&there, Kind::Changed),
            count(&back, Kind::Changed),
            "{name}"
        );
    }
}

fn examples() -> Vec<(String, Loaded)> {
    let mut folders = vec![root().join("workflows")];
    let cases = std::fs::read_dir(root().join("tests/steps/cases")).expect("the cases");
    folders.extend(cases.map(|e| e.expect("a case").path()));
    let mut examples = Vec::new();
    for folder in folders {
        let mut files: Vec<_> = std::fs::read_dir(&folder)
            .expect("a folder")
            .map(|e| e.expect("a file").path())
            .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
            .collect();
        files.sort();
        for path in files {
            let text = std::fs::read_to_string(&path).expect("a definition");
            if text.starts_with("segno:") {
                let name = path.display().to_string();
                let loaded = load(&name, &text, &folder);
                examples.push((name, loaded));
            }
        }
    }
    assert!(examples.len() > 100, "the examples were not found");
    examples
}

#[test]
fn a_definition_does_not_differ_from_itself() {
    for (name, loaded) in examples() {
        let found = compare(&loaded, &loaded);
        assert!(found.is_empty(), "{name}:\n{}", found.text());
        assert!(!found.text_changed, "{name}");
    }
}

/// The definition of an example as JSON, which is YAML too: all in flow style, all texts in quotes, without comments.
fn as_json(loaded: &Loaded) -> Option<serde_json::Value> {
    let file = loaded.by_key(KEY).expect("the definition is loaded");
    let (documents, _) = yaml::read(file, &loaded.sources.file(file).text);
    value::to_json(&documents.first()?.to_value()).ok()
}

fn in_folder(name: &str, json: &serde_json::Value) -> Loaded {
    let folder = Path::new(name).parent().expect("a file is in a folder");
    load(name, &json.to_string(), folder)
}

#[test]
fn another_layout_is_no_difference() {
    for (name, loaded) in examples() {
        let json = as_json(&loaded).expect("an example is data");
        let found = compare(&loaded, &in_folder(&name, &json));
        assert!(found.is_empty(), "{name}:\n{}", found.text());
    }
}

#[test]
fn a_step_less_is_one_removed_and_two_exchanged_are_one_moved() {
    let mut removed = 0;
    for (name, loaded) in examples() {
        let json = as_json(&loaded).expect("an example is data");
        let count = json["steps"].as_array().map_or(0, Vec::len);
        for i in 0..count {
            let mut less = json.clone();
            let steps = less["steps"].as_array_mut().expect("steps");
            let step = steps.remove(i);
            let found = compare(&loaded, &in_folder(&name, &less));
            let kinds: Vec<_> = found.differences.iter().map(|d| d.kind).collect();
            assert_eq!(
                kinds,
                [Kind::Removed],
                "{name} without {step}: {}",
                found.text()
            );
            removed += 1;
            if i + 1 < count && json["steps"][i] != json["steps"][i + 1] {
                let mut exchanged = json.clone();
                let steps = exchanged["steps"].as_array_mut().expect("steps");
                steps.swap(i, i + 1);
                let found = compare(&loaded, &in_folder(&name, &exchanged));
                let kinds: Vec<_> = found.differences.iter().map(|d| d.kind).collect();
                assert_eq!(kinds, [Kind::Moved], "{name} from {step}: {}", found.text());
            }
        }
    }
    assert!(removed > 200, "the examples have steps");
}

#[test]
fn any_two_definitions_can_be_compared() {
    let examples = examples();
    for (i, (name, old)) in examples.iter().enumerate() {
        let (other, new) = &examples[(i * 7 + 3) % examples.len()];
        let found = compare(old, new);
        assert!(
            name == other || found.changes_meaning(),
            "{name} and {other}"
        );
    }
    let workflows = |(name, _): &&(String, Loaded)| name.contains("/workflows/");
    for (old_name, old) in examples.iter().filter(workflows) {
        for (new_name, new) in examples.iter().filter(workflows) {
            let found = compare(old, new);
            assert_eq!(
                old_name == new_name,
                found.is_empty(),
                "{old_name} {new_name}"
            );
        }
    }
}

#[test]
fn programs_get_the_same_in_fields_of_fixed_names() {
    let old = "segno: 1\nworkflow: w\nsteps:\n  - id: a\n    timer: 1s\n";
    let new = "segno: 1\nworkflow: w\nsteps:\n  - id: a\n    timer: 2s\n";
    let expected = serde_json::json!({
        "differences": [{
            "kind": "changed",
            "subject": "option",
            "what": "`timer` of step `a` (timer 2s)",
            "path": "/steps/0/timer",
            "old": "1s",
            "new": "2s",
            "old_place": { "file": "old.yaml", "line": 5, "column": 5 },
            "new_place": { "file": "new.yaml", "line": 5, "column": 5 },
            "description_only": false,
        }],
        "omitted": 0,
        "text_changed": true,
        "unreadable": false,
        "runs": "new",
        "changes_meaning": true,
        "summary": "1 changed: for new runs; runs in flight keep the version that they started with",
    });
    assert_eq!(texts(old, new).json(), expected);
}

fn with_steps(steps: impl Iterator<Item = String>) -> String {
    format!(
        "segno: 1\nworkflow: w\nsteps:\n{}",
        steps.collect::<String>()
    )
}

/// As large as a file may be, with nothing left as it was.
#[test]
fn large_definitions_are_compared_within_bounds() {
    let step = |i: usize, unit: &str| {
        format!("  - activity: a-step-with-a-long-name-{i}\n    input: {{ after: {i}{unit} }}\n")
    };
    let old = with_steps((0..14_000).map(|i| step(i, "s")));
    let new = with_steps((0..14_000).rev().map(|i| step(i, "m")));
    assert!(old.len() > 900_000 && old.len() < 1024 * 1024);
    let found = texts(&old, &new);
    assert_eq!(found.differences.len(), DIFFERENCES_MAX);
    assert_eq!(found.omitted, 2 * 14_000 - DIFFERENCES_MAX);
}

#[test]
fn one_step_more_in_a_large_definition_is_one_difference() {
    let step = |i: usize| format!("  - set: {{ count: {i} }}\n");
    let old = with_steps((0..30_000).map(step));
    let new = with_steps((0..20_000).chain([99_999]).chain(20_000..30_000).map(step));
    let found = texts(&old, &new);
    assert_eq!(found.differences.len(), 1, "{}", found.text());
    assert_eq!(found.differences[0].kind, Kind::Added);
}

#[test]
fn files_with_mistakes_are_compared_as_far_as_they_can_be_read() {
    let texts_of_all_kinds = [
        "",
        "segno: 1\n",
        "- a\n- b\n",
        "workflow: [1]\nsteps: { a: 1 }\n",
        "workflow: w\nsteps:\n  - 1\n  - [a]\n  - { if: x, then: 3, catch: 4 }\n  - { start: 5 }\n",
        "workflow: w\nstate: 3\nqueries: { a: { result: 1, b: 2 } }\nsteps: \"${\"\n",
        "workflow: w\ninput: { properties: 3, required: [[1], a], items: [1], type: { a: 1 } }\nsteps: []\n",
        "a: [\n",
    ];
    for old in texts_of_all_kinds {
        for new in texts_of_all_kinds {
            let found = texts(old, new);
            assert!(old != new || found.is_empty(), "{old}\n{}", found.text());
            let is_said = old == new || found.changes_meaning();
            assert!(is_said, "{old} and {new}: {}", found.text());
        }
    }
}
