//! `segno lint` on files: what it says of each mistake stands beside it. `SEGNO_UPDATE=1` writes what it says now.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/lint")
        .join(name)
}

fn lint(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_segno"))
        .arg("lint")
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("segno runs")
}

fn fixtures(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder of fixtures");
    let mut names: Vec<_> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    names.sort();
    assert!(!names.is_empty());
    names
}

/// Every fixture of a folder has that exit code, and its report is the one beside it.
fn check(kind: &str, code: i32) {
    let folder = folder(kind);
    let update = std::env::var_os("SEGNO_UPDATE").is_some();
    let mut differences = Vec::new();
    for name in fixtures(&folder) {
        // From the folder above, so that files may use those of another one.
        let path = format!("{kind}/{name}");
        let output = lint(&self::folder(""), &[&path]);
        let said = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
        let expected_path = folder.join(name.replace(".yaml", ".txt"));
        if update {
            std::fs::write(&expected_path, &said).expect("the expectation is written");
        }
        let expected = std::fs::read_to_string(&expected_path).unwrap_or_default();
        if expected != said {
            differences.push(format!("{path} now says:\n{said}"));
        }
        if output.status.code() != Some(code) {
            let error = String::from_utf8_lossy(&output.stderr);
            differences.push(format!(
                "{path} ends with {:?}\n{said}{error}",
                output.status
            ));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn definitions_without_mistakes_pass() {
    check("ok", 0);
}

#[test]
fn warnings_are_reported_and_pass() {
    check("warn", 0);
}

#[test]
fn mistakes_are_reported_and_fail() {
    check("err", 1);
}

#[test]
fn warnings_fail_where_they_are_denied() {
    let output = lint(&folder("warn"), &["--deny-warnings", "unused-state.yaml"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn folders_are_read_with_all_below_them() {
    let output = lint(&folder(""), &["ok", "--output", "json"]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one document");
    assert_eq!(found["diagnostics"], serde_json::json!([]));
    assert_eq!(output.status.code(), Some(0));
    let everything = lint(&folder(""), &["."]);
    assert_eq!(everything.status.code(), Some(1));
    assert_eq!(
        everything.stdout,
        lint(&folder(""), &["."]).stdout,
        "the order is stable"
    );
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    for arguments in [
        &["no-such-file.yaml"][..],
        &["../../src"],
        &["--output", "xml"],
    ] {
        assert_eq!(
            lint(&folder(""), arguments).status.code(),
            Some(2),
            "{arguments:?}"
        );
    }
}

#[test]
fn standard_input_is_read() {
    use std::io::Write;
    use std::process::Stdio;
    let mut child = Command::new(env!("CARGO_BIN_EXE_segno"))
        .args(["lint", "-", "--output", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("segno runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin
        .write_all(b"segno: 1\nworkflow: x\nstep: []\n")
        .expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one document");
    assert_eq!(found["diagnostics"][0]["file"], "<stdin>");
    assert_eq!(found["diagnostics"][0]["line"], 3);
    assert_eq!(found["files"], 1);
    let count = found["diagnostics"].as_array().map(Vec::len);
    assert_eq!(found["errors"].as_u64(), count.map(|n| n as u64));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn machine_formats_are_well_formed() {
    let file = "err/step-unknown-key.yaml";
    let sarif = lint(&folder(""), &[file, "--output", "sarif"]);
    let log: serde_json::Value = serde_json::from_slice(&sarif.stdout).expect("SARIF is JSON");
    let results = log["runs"][0]["results"].as_array().expect("results");
    assert!(results.iter().all(|result| {
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == file
    }));
    let github = lint(&folder(""), &[file, "--output", "github"]);
    let lines = String::from_utf8_lossy(&github.stdout).into_owned();
    assert_eq!(lines.lines().count(), results.len());
    assert!(
        lines
            .lines()
            .all(|line| line.starts_with("::error file=err/step-unknown-key.yaml,line="))
    );
}

/// All fixtures in a copy, since corrections are written.
fn copy() -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    for kind in ["err", "warn", "ok"] {
        std::fs::create_dir(copy.path().join(kind)).expect("a folder");
        for name in fixtures(&folder(kind)) {
            let bytes = std::fs::read(folder(kind).join(&name)).expect("a fixture");
            std::fs::write(copy.path().join(kind).join(name), bytes).expect("a copy");
        }
    }
    copy
}

#[test]
fn corrections_are_shown_and_applied() {
    let copy = copy();
    let shown = lint(copy.path(), &["--fix=unsafe", "--diff", "."]);
    assert_eq!(shown.status.code(), Some(1));
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let expected_path = folder("").join("fixes.diff");
    if std::env::var_os("SEGNO_UPDATE").is_some() {
        std::fs::write(&expected_path, &shown).expect("the expectation is written");
    }
    let expected = std::fs::read_to_string(&expected_path).unwrap_or_default();
    assert!(expected == shown, "tests/lint/fixes.diff is now:\n{shown}");
    let before = lint(copy.path(), &[".", "-o", "json"]);
    assert_eq!(
        before.stdout,
        lint(copy.path(), &[".", "-o", "json"]).stdout,
        "`--diff` writes nothing"
    );
    lint(copy.path(), &["--fix=unsafe", "."]);
    let again = lint(copy.path(), &["--fix=unsafe", "--diff", "."]);
    assert_eq!(String::from_utf8_lossy(&again.stdout), "");
    assert_eq!(again.status.code(), Some(0));
}

#[test]
fn a_corrected_file_keeps_its_mark_its_line_ends_and_its_permissions() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.yaml");
    let text = |key| format!("\u{feff}segno: 1\r\nworkflow: a\r\n{key}:\r\n  - timer: 1s\r\n");
    std::fs::write(&path, text("stesp")).expect("a file");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(&path, mode).expect("its permissions");
    }
    let safe = lint(folder.path(), &["--fix"]);
    assert_eq!(
        safe.status.code(),
        Some(1),
        "a near name is no safe correction"
    );
    let fixed = lint(folder.path(), &["--fix=unsafe"]);
    assert_eq!(fixed.status.code(), Some(0));
    assert_eq!(
        std::fs::read_to_string(&path).expect("a file"),
        text("steps")
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&path).expect("a file").permissions();
        assert_eq!(mode.mode() & 0o777, 0o640);
    }
    assert_eq!(lint(folder.path(), &["--fix", "-"]).status.code(), Some(2));
}

#[test]
fn files_that_are_not_to_be_changed_stay_as_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let wrong = "segno: 1\nworkflow: a\nstesp: []\n";
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("a file");
    };
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("a file");
    let foreign = "Resources: { A: !Ref B, C: '${ inptu }' }\n";
    write("template.yaml", foreign);
    lint(folder.path(), &["--fix=unsafe", "template.yaml"]);
    assert_eq!(read("template.yaml"), foreign);
    write("a.yaml", wrong);
    let twice = lint(folder.path(), &["--fix=unsafe", ".", "a.yaml", "./a.yaml"]);
    assert_eq!(twice.status.code(), Some(0));
    assert!(
        read("a.yaml").contains("steps"),
        "a file named twice is one"
    );
    let broken = "segno: 1\nworkflow: b\nsteps:\n  - { activity: a, start_to_close_timeout: 1s, tsk_queue: a, task_queu: b }\n";
    write("b.yaml", broken);
    lint(folder.path(), &["--fix=unsafe", "b.yaml"]);
    assert_eq!(read("b.yaml"), broken, "two keys do not become one");
    #[cfg(unix)]
    {
        use std::os::unix::fs::{PermissionsExt, symlink};
        for name in ["linked", "locked", "named"] {
            write(
                &format!("{name}.yaml"),
                &wrong.replace(": a", &format!(": {name}")),
            );
        }
        std::fs::create_dir(folder.path().join("in")).expect("a folder");
        let inside = |name: &str| folder.path().join("in").join(name);
        symlink("../linked.yaml", inside("a.yaml")).expect("a link");
        std::fs::hard_link(folder.path().join("named.yaml"), inside("b.yaml")).expect("a link");
        std::fs::rename(folder.path().join("locked.yaml"), inside("c.yaml")).expect("a move");
        let locked = std::fs::Permissions::from_mode(0o444);
        std::fs::set_permissions(inside("c.yaml"), locked).expect("its permissions");
        write("in/d.yaml", &wrong.replace(": a", ": d"));
        let fixed = lint(folder.path(), &["--fix=unsafe", "in"]);
        assert_eq!(fixed.status.code(), Some(1));
        for name in ["in/a.yaml", "in/b.yaml", "in/c.yaml"] {
            assert!(read(name).contains("stesp"), "{name}");
        }
        assert!(
            read("in/d.yaml").contains("steps"),
            "the others are corrected"
        );
    }
}
