//! The shape of the source: modules import lower tiers only, foreign crates have one home, files stay small and say
//! what they are for.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// ARCHITECTURE.md's table: a module imports what stands in lines above its own, and within its line what stands
/// before it.
const TIERS: [&[&str]; 6] = [
    &["faults", "limits", "source", "diagnostic", "value", "words"],
    &["yaml", "expression", "accepted", "definition"],
    &["load", "program", "compile", "lint", "schema", "difference"],
    &["engine"],
    &[
        "coverage",
        "timeline",
        "activity",
        "wire",
        "payload",
        "history",
        "bundle",
        "catalog",
        "telemetry",
        "client",
        "registry",
        "worker",
        "simulator",
        "testing",
        "local",
    ],
    &["report", "cli"],
];

/// A foreign crate, and the modules that may name it.
const HOMES: [(&str, &[&str]); 20] = [
    ("temporalio_sdk_core", &["worker", "telemetry"]),
    ("temporalio_client", &["client", "worker"]),
    (
        "temporalio_common",
        &["worker", "client", "payload", "telemetry"],
    ),
    (
        "temporalio_protos",
        &[
            "worker",
            "client",
            "payload",
            "history",
            "registry",
            "simulator",
            "testing",
        ],
    ),
    ("opentelemetry_sdk", &["telemetry"]),
    ("opentelemetry_otlp", &["telemetry"]),
    ("granit_parser", &["yaml"]),
    ("pest", &["expression"]),
    ("regex", &["expression"]),
    ("regex_automata", &["expression"]),
    ("rpds", &["expression", "compile"]),
    ("jsonschema", &["compile", "program", "schema"]),
    ("annotate_snippets", &["report"]),
    ("reqwest", &["activity", "payload"]),
    ("notify_debouncer_full", &["registry"]),
    ("object_store", &["registry"]),
    ("clap", &["cli", "client", "telemetry", "activity"]),
    ("comfy_table", &["cli"]),
    ("indicatif", &["cli"]),
    ("postcard", &["engine", "local"]),
];

const FILE_LINES_MAX: usize = 600;

struct Source {
    path: PathBuf,
    module: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&root, &root, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 20, "the sources were not found");
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("src is readable") {
        let path = entry.expect("src is readable").path();
        if path.is_dir() {
            collect(root, &path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let relative = path.strip_prefix(root).expect("inside src").to_owned();
            let first = relative.components().next().expect("a name").as_os_str();
            let module = first.to_string_lossy().trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).expect("sources are UTF-8");
            found.push(Source {
                path: relative,
                module,
                text,
            });
        }
    }
}

fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Whether a line has a word, not as the end of a longer one.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(start, _)| {
        !line[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

fn rank() -> BTreeMap<&'static str, (usize, usize)> {
    let ranked = TIERS.iter().enumerate().flat_map(|(tier, modules)| {
        modules
            .iter()
            .enumerate()
            .map(move |(place, module)| (*module, (tier, place)))
    });
    ranked.collect()
}

#[test]
fn every_module_has_a_tier() {
    let ranks = rank();
    for source in sources() {
        let module = source.module.as_str();
        assert!(
            matches!(module, "lib" | "main") || ranks.contains_key(module),
            "{}: `{module}` has no tier",
            source.path.display()
        );
    }
}

#[test]
fn modules_import_lower_tiers_only() {
    let ranks = rank();
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(own) = ranks.get(source.module.as_str()) else {
            continue;
        };
        for (number, line) in code_lines(&source.text) {
            for (start, _) in line.match_indices("crate::") {
                let rest = &line[start + "crate::".len()..];
                let name: String = rest
                    .chars()
                    .take_while(|c| c.is_ascii_lowercase() || *c == '_')
                    .collect();
                if let Some(imported) = ranks.get(name.as_str())
                    && name != source.module
                    && imported > own
                {
                    wrong.push(format!(
                        "{}:{number}: {}",
                        source.path.display(),
                        line.trim()
                    ));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "imports of a higher tier:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn foreign_crates_have_one_home() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (number, line) in code_lines(&source.text) {
            for (name, homes) in HOMES {
                if names(line, &format!("{name}::")) && !homes.contains(&source.module.as_str()) {
                    wrong.push(format!(
                        "{}:{number}: {}",
                        source.path.display(),
                        line.trim()
                    ));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "crates away from home:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_deterministic_part_knows_no_outside() {
    let parts = [
        "value",
        "words",
        "yaml",
        "expression",
        "definition",
        "compile",
        "program",
        "difference",
        "engine",
    ];
    let forbidden = [
        "std::time::Instant",
        "SystemTime",
        "std::thread",
        "std::env::",
        "std::fs",
        "tokio::",
        "rand::",
        "HashMap",
        "HashSet",
    ];
    let mut wrong = Vec::new();
    for source in sources()
        .iter()
        .filter(|s| parts.contains(&s.module.as_str()))
    {
        // What a module's own tests use runs in no workflow.
        let text = source.text.split("\n#[cfg(test)]").next().unwrap_or("");
        for (number, line) in code_lines(text) {
            // A look-up by a fixed hash is deterministic; clippy refuses to iterate over one.
            let line = line.replace("FxHashMap", "");
            if forbidden.iter().any(|word| names(&line, word)) {
                wrong.push(format!(
                    "{}:{number}: {}",
                    source.path.display(),
                    line.trim()
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "in the deterministic part:\n{}",
        wrong.join("\n")
    );
}

/// The halves of the simulator are joined by messages only.
#[test]
fn the_simulated_server_and_worker_know_nothing_of_each_other() {
    let halves: [(&str, &[&str]); 2] = [
        (
            "simulator/server",
            &["worker::", "Instance", "Programs", "machines"],
        ),
        ("simulator/worker", &["server::", "executions"]),
    ];
    let mut wrong = Vec::new();
    for source in sources() {
        let path = source.path.to_string_lossy().replace('\\', "/");
        for (half, forbidden) in &halves {
            if !path.starts_with(half) {
                continue;
            }
            for (number, line) in code_lines(&source.text) {
                if forbidden.iter().any(|word| line.contains(word)) {
                    wrong.push(format!("{path}:{number}: {}", line.trim()));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "one half knows the other:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn files_are_small_and_say_what_they_are_for() {
    for source in sources() {
        let path = source.path.display();
        assert!(
            source.text.starts_with("//!"),
            "{path} does not begin by saying its job"
        );
        let lines = source.text.lines().count();
        assert!(
            lines <= FILE_LINES_MAX,
            "{path} has {lines} lines, more than {FILE_LINES_MAX}"
        );
    }
}

#[test]
fn one_place_writes_to_the_terminal() {
    // What is printed elsewhere would reach it with the control characters of data.
    let writers = ["cli/output.rs", "telemetry/lines.rs", "telemetry.rs"];
    let words = [
        "print!(",
        "println!(",
        "dbg!(",
        "io::stdout()",
        "io::stderr()",
    ];
    for source in sources() {
        let is_writer = writers.iter().any(|writer| source.path.ends_with(writer));
        if is_writer {
            continue;
        }
        for (number, line) in code_lines(&source.text) {
            let found = words.iter().find(|word| line.contains(**word));
            assert!(
                found.is_none(),
                "{}:{number}: {line}: print by `cli::output`",
                source.path.display()
            );
        }
    }
}
