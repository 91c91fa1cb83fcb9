//! The shape of the source: modules import lower tiers only, foreign crates have one home, files stay small and say
//! what they are for.

use std::collections::{BTreeMap, BTreeSet};
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
    let writers = ["cli/print.rs", "telemetry/lines.rs", "telemetry.rs"];
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
                "{}:{number}: {line}: print by `cli::print`",
                source.path.display()
            );
        }
    }
}

/// The folders of `src/cli` that hold commands. A command is a `pub(crate) mod` of its subject; a `mod` is what its commands share.
const SUBJECTS: [&str; 6] = ["admin", "deploy", "language", "local", "serve", "workflow"];

/// The only files that name commands.
const DISPATCHERS: [&str; 2] = ["cli.rs", "cli/commands.rs"];

/// The paths within `cli` that a file names by `crate::` or `super::`, from the root on.
fn cli_paths(source: &Source) -> BTreeSet<Vec<String>> {
    let module = source.path.with_extension("");
    let module: Vec<String> = module
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    let code: Vec<&str> = code_lines(&source.text).map(|(_, line)| line).collect();
    let code: String = code.join("").split_whitespace().collect();
    let mut found = BTreeSet::new();
    for root in ["crate::", "super::"] {
        for (start, _) in code.match_indices(root) {
            let mut base = match root {
                "super::" if code[..start].ends_with("super::") => continue,
                "super::" => module.clone(),
                _ => Vec::new(),
            };
            let mut rest = code[start..].trim_start_matches("crate::");
            while let Some(outer) = rest.strip_prefix("super::") {
                base.pop();
                rest = outer;
            }
            collect_paths(&base, rest, &mut found);
        }
    }
    found.retain(|path| path.first().is_some_and(|first| first == "cli"));
    found
}

/// Adds the path that a text begins with, or each of those in braces; returns what follows.
fn collect_paths<'t>(base: &[String], text: &'t str, found: &mut BTreeSet<Vec<String>>) -> &'t str {
    if let Some(mut rest) = text.strip_prefix('{') {
        while !rest.starts_with('}') {
            let after = collect_paths(base, rest, found);
            let after = after.strip_prefix(',').unwrap_or(after);
            assert!(
                after.len() < rest.len(),
                "not a list of imports: {rest:.80}"
            );
            rest = after;
        }
        return rest.strip_prefix('}').unwrap_or(rest);
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    let (name, rest) = text.split_at(end.unwrap_or(text.len()));
    let mut path = base.to_vec();
    path.extend((!matches!(name, "" | "self")).then(|| name.to_owned()));
    match rest.strip_prefix("::") {
        Some(rest) => collect_paths(&path, rest, found),
        None => {
            found.insert(path);
            // A path that is no name, such as a glob, is passed over.
            rest.strip_prefix('*').unwrap_or(rest)
        }
    }
}

#[test]
fn no_command_imports_another_command() {
    let sources = sources();
    let mut commands = BTreeSet::new();
    for subject in SUBJECTS {
        let path = PathBuf::from(format!("cli/{subject}.rs"));
        let source = sources.iter().find(|source| source.path == path);
        let source = source.unwrap_or_else(|| panic!("there is no {}", path.display()));
        for (_, line) in code_lines(&source.text) {
            let name = line
                .strip_prefix("pub(crate) mod ")
                .and_then(|l| l.strip_suffix(';'));
            commands.extend(name.map(|name| (subject.to_owned(), name.to_owned())));
        }
    }
    assert!(commands.len() > 20, "the commands were not found");
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| source.module == "cli") {
        if DISPATCHERS
            .iter()
            .any(|file| source.path == Path::new(file))
        {
            continue;
        }
        let own = source.path.with_extension("");
        let mut own = own.iter().map(|part| part.to_string_lossy().into_owned());
        let (subject, name) = (own.nth(1), own.next());
        for path in cli_paths(source) {
            let Some(of) = path.get(1).filter(|of| SUBJECTS.contains(&of.as_str())) else {
                continue;
            };
            let is_others = subject.as_ref() != Some(of);
            let command = path.get(2).map(|command| (of.clone(), command.clone()));
            let is_command = command.is_some_and(|c| commands.contains(&c) && Some(c.1) != name);
            if is_others || is_command {
                wrong.push(format!("{}: {}", source.path.display(), path.join("::")));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "commands that import other commands, or another subject; move what they share to `cli::args`, `cli::print` or a \
         module of the subject:\n{}",
        wrong.join("\n")
    );
    for (subject, name) in commands {
        let path = PathBuf::from(format!("cli/{subject}/{name}.rs"));
        let source = sources.iter().find(|source| source.path == path);
        assert!(
            source.is_some_and(|source| source.text.starts_with("//! `segno ")),
            "{} does not begin with the command that it is",
            path.display()
        );
    }
}

#[test]
fn only_signals_end_the_process() {
    // Elsewhere a command returns, so that what it began is ended and cleaned up.
    for source in sources() {
        for (number, line) in code_lines(&source.text) {
            assert!(
                !line.contains("process::exit") || source.path.ends_with("cli/serve/stop.rs"),
                "{}:{number}: return an error instead",
                source.path.display()
            );
        }
    }
}
