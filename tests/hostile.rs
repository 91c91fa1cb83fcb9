//! Files made to hurt: each is refused with an error that names its bound, and costs little memory.
#![cfg(target_os = "linux")]

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

const MEMORY_KIB_MAX: u64 = 200 * 1024;

/// The report, and the most memory that the process had, watched while it ran.
fn lint(name: &str, content: &[u8]) -> (String, u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(format!("{name}.yaml"));
    std::fs::write(&path, content).expect("the file is written");
    let mut child = Command::new(env!("CARGO_BIN_EXE_segno"))
        .arg("lint")
        .arg(&path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("segno runs");
    let status = format!("/proc/{}/status", child.id());
    let mut stdout = child.stdout.take().expect("a pipe");
    let reader = std::thread::spawn(move || {
        let mut said = String::new();
        stdout.read_to_string(&mut said).expect("it speaks UTF-8");
        said
    });
    let mut peak = 0;
    let code = loop {
        if let Ok(status) = std::fs::read_to_string(&status) {
            peak = status.lines().find_map(peak_of).unwrap_or(0).max(peak);
        }
        if let Some(status) = child.try_wait().expect("a child") {
            break status.code();
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    assert_eq!(code, Some(1), "{name} is refused, not crashed on");
    (reader.join().expect("the reader ends"), peak)
}

fn peak_of(line: &str) -> Option<u64> {
    line.strip_prefix("VmHWM:")?
        .trim()
        .strip_suffix("kB")?
        .trim()
        .parse()
        .ok()
}

fn refused(name: &str, content: impl AsRef<[u8]>, because: &[&str]) {
    let (said, peak) = lint(name, content.as_ref());
    for words in because {
        assert!(said.contains(words), "{name}: {words:?} is not in\n{said}");
    }
    assert!(peak < MEMORY_KIB_MAX, "{name} took {peak} KiB");
    assert!(
        said.len() < 200_000,
        "{name}: the report has {} bytes",
        said.len()
    );
}

#[test]
fn nesting_is_bounded() {
    let because = ["yaml-too-deep", "YAML_DEPTH_MAX"];
    refused("lists", format!("segno: {}", "[".repeat(100_000)), &because);
    let closed = format!("segno: {}{}", "[".repeat(100_000), "]".repeat(100_000));
    refused("closed-lists", closed, &because);
    refused("mappings", "{a: ".repeat(100_000), &because);
    refused("block-lists", "- ".repeat(100_000) + "x", &because);
    refused("explicit-keys", "? ".repeat(100_000), &because);
    let staircase: String = (0..1_400).map(|i| " ".repeat(i) + "a:\n").collect();
    refused("staircase", staircase, &because);
}

#[test]
fn aliases_are_bounded() {
    let because = ["yaml-too-many-nodes", "YAML_NODES_MAX"];
    let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
    for (name, of) in ('b'..='j').zip('a'..) {
        let aliases = vec![format!("*{of}"); 9].join(", ");
        bomb += &format!("{name}: &{name} [{aliases}]\n");
    }
    refused("bomb", bomb, &because);
    refused(
        "many-aliases",
        format!("a: &a x\nb: [{}]", ["*a"; 250_000].join(",")),
        &because,
    );
    let anchors: String = (0..120).map(|i| format!("&a{i} [")).collect();
    let nested = format!("{anchors}{}{}", "x, ".repeat(190_000), "]".repeat(120));
    refused("nested-anchors", nested, &because);
    let mut deep = String::from("a0: &a0 [x]\n");
    for i in 1..1_000 {
        deep += &format!("a{i}: &a{i} [*a{}]\n", i - 1);
    }
    refused("deep-aliases", deep, &["YAML_DEPTH_MAX"]);
}

#[test]
fn size_is_bounded() {
    let because = ["file-too-large", "DEFINITION_SIZE_BYTES_MAX"];
    let mut content = b"segno: ".to_vec();
    content.resize(100 * 1024 * 1024, b'x');
    refused("scalar", content, &because);
    refused("nodes", "- a\n".repeat(250_000), &["YAML_NODES_MAX"]);
    refused("documents", "---\n".repeat(250_000), &["YAML_NODES_MAX"]);
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    refused(
        "nul",
        b"segno: 1\nworkflow: a\0b\n",
        &["control-character", "NUL"],
    );
    refused(
        "utf-8",
        b"segno: 1\nworkflow: \xFF\xFE\n",
        &["invalid-utf8", "0xFF"],
    );
    refused("utf-16", b"\xFF\xFEs\0e\0g\0n\0o\0", &["UTF-16"]);
    refused("cut-utf-8", b"segno: 1\nworkflow: \xC3", &["invalid-utf8"]);
}

#[test]
fn the_report_of_many_mistakes_is_bounded() {
    let because = ["too-many-problems", "DIAGNOSTICS_PER_FILE_MAX"];
    let head = "segno: 1\nworkflow: x\n";
    let keys: String = (0..60_000).map(|i| format!("k{i}: 1\n")).collect();
    refused("unknown-keys", format!("{head}steps: []\n{keys}"), &because);
    refused(
        "broken-documents",
        "--- [\n".repeat(150_000),
        &["DIAGNOSTICS_PER_FILE_MAX"],
    );
    refused(
        "same-key",
        format!("{head}{}", "a: 1\n".repeat(60_000)),
        &because,
    );
    let cut = "- return: ${ x ? {'a': 1} : 2 }\n".repeat(20_000);
    refused(
        "cut-expressions",
        format!("{head}steps:\n{cut}"),
        &["cut-expression"],
    );
}

#[test]
fn long_lines_are_shown_in_part() {
    refused("colons", "a: ".repeat(300_000), &["yaml-syntax"]);
    refused(
        "spaces",
        format!("segno:{}x", " ".repeat(1_000_000)),
        &["unknown-version"],
    );
    refused(
        "carriage-returns",
        format!("segno: \"{}\"", "\r".repeat(1_000_000)),
        &["unknown-version"],
    );
}
