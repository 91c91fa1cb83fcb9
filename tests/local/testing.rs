//! `segno test`: the examples' own tests pass, and each folder of `tests/testing` is tested with the output that its
//! expected.txt has.

use std::path::Path;
use std::process::Command;

use crate::support::cluster::spawn_bound;
use crate::support::run::Run;
use crate::support::{root, segno, until};

fn test(folder: &Path, arguments: &[&str]) -> Run {
    let mut command = Command::new(segno());
    command
        .arg("test")
        .args(arguments)
        .args(["--color", "never", "--jobs", "2"])
        .current_dir(folder);
    Run::of(&mut command)
}

#[test]
fn every_folder_gives_its_expected_output() {
    let mut folders: Vec<_> = std::fs::read_dir(root().join("tests/testing"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    assert!(folders.len() >= 5);
    let mut wrong = Vec::new();
    for folder in folders {
        let run = test(&folder, &["--crash"]);
        let text = format!("{}{}exit code {}\n", run.stderr, run.stdout, run.code);
        let path = folder.join("expected.txt");
        if std::env::var_os("SEGNO_UPDATE").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        if std::fs::read_to_string(&path).unwrap_or_default() != text {
            wrong.push(format!("{}:\n{text}", folder.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_examples_pass_in_every_form_of_report() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let run = test(
        root(),
        &[
            "workflows",
            "--output",
            "json",
            "--junit",
            &file("junit.xml"),
            "--coverage-lcov",
            &file("lcov.info"),
            "--coverage",
            "--coverage-annotate",
            &file("annotated"),
            "--min-coverage",
            "90",
        ],
    );
    assert_eq!(run.code, 0, "{run:#?}");
    let report = run.json();
    assert_eq!(report["failed"], 0);
    assert_eq!(report["coverage"]["files"].as_array().unwrap().len(), 11);
    let count = report["tests"].as_array().unwrap().len();
    assert!(count > 30, "only {count} tests");
    let junit = std::fs::read_to_string(file("junit.xml")).unwrap();
    assert_eq!(junit.matches("<testcase ").count(), count);
    let lcov = std::fs::read_to_string(file("lcov.info")).unwrap();
    assert!(lcov.contains("SF:workflows/order-fulfilment.yaml"));
    assert!(Path::new(&file("annotated/workflows/order-fulfilment.yaml")).exists());
}

/// The official SDK for Python reads them, and workers replay them.
#[test]
fn histories_of_cases_are_those_of_temporals_tools() {
    let folder = tempfile::tempdir().unwrap();
    let shown = folder.path().display().to_string();
    let run = test(root(), &["workflows", "--histories", &shown]);
    assert_eq!(run.code, 0, "{run:#?}");
    let mut files = Vec::new();
    for case in std::fs::read_dir(folder.path()).unwrap() {
        let runs = std::fs::read_dir(case.unwrap().path()).unwrap();
        files.extend(runs.map(|run| run.unwrap().path()));
    }
    assert!(files.len() > 40, "{files:?}");
    let script = "import sys, temporalio.client as c\n\
                  for path in sys.argv[1:]:\n    \
                  events = c.WorkflowHistory.from_json('x', open(path).read()).events\n    \
                  assert len(events) > 2 and events[-1].event_id == len(events), path";
    let mut command = Command::new(crate::support::cluster::python());
    let read = Run::of(command.args(["-c", script]).args(&files));
    assert_eq!(read.code, 0, "{read:#?}");
    let mut command = Command::new(segno());
    let replayed = Run::of(command.args(["replay", "-f", &shown]));
    assert_eq!(replayed.code, 0, "{replayed:#?}");
}

/// Changes of the definition and of the test both run it again; a mistake in between ends nothing.
#[test]
fn watched_tests_run_again_when_a_file_changes() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["hello.yaml", "hello.test.yaml"] {
        let text = std::fs::read_to_string(root().join("workflows").join(file)).unwrap();
        std::fs::write(folder.path().join(file), text).unwrap();
    }
    let told = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new(segno());
    command.args(["test", "--watch", "--color", "never"]);
    command.current_dir(folder.path());
    let log = || std::fs::File::options().append(true).open(told.path());
    // It ends with this process at the latest.
    let mut watching = spawn_bound(&command, log().unwrap(), log().unwrap());
    let has = |text: &str, count: usize| {
        until(text, || {
            let told = std::fs::read_to_string(told.path()).unwrap();
            (told.matches(text).count() >= count).then_some(())
        });
    };
    has("all passed", 1);
    let definition = folder.path().join("hello.yaml");
    let text = std::fs::read_to_string(&definition).unwrap();
    std::fs::write(&definition, "segno: 1\nworkflow: hello\nstpes: []\n").unwrap();
    has("did you mean `steps`?", 1);
    std::fs::write(&definition, text).unwrap();
    has("all passed", 2);
    drop(watching.stdin.take());
    watching.wait().unwrap();
}

/// What cannot run is no success, in any form of report.
#[test]
fn files_with_mistakes_are_in_every_form_of_report() {
    let folder = tempfile::tempdir().unwrap();
    let junit = folder.path().join("junit.xml").display().to_string();
    let tested = root().join("tests/testing/says-nothing");
    let run = test(&tested, &["--output", "json", "--junit", &junit]);
    assert_eq!(run.code, 1, "{run:#?}");
    let mistakes = run.json()["errors"].as_array().unwrap().len();
    assert!(mistakes > 10, "{run:#?}");
    let junit = std::fs::read_to_string(junit).unwrap();
    assert_eq!(junit.matches("<error ").count(), mistakes, "{junit}");
    assert!(junit.contains(&format!("errors=\"{mistakes}\"")), "{junit}");
}

/// Mistakes of definitions are in so many definitions, those of tests in so many tests; a file that is named twice is one.
#[test]
fn files_are_counted_by_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("a.yaml", "segno: 1\nworkflow: a\nsteps: [{ return: 1 }]\n");
    write("b.yaml", "segno: 1\nworkflow: b\nsteps: [{ return: 1 }]\n");
    write("c.yaml", "segno: 1\nworkflow: c\nstpes: []\n");
    write("a.test.yaml", "segno: 1\ntest: a\nexpect: { result: 1 }\n");
    write("b.test.yaml", "segno: 1\ntest: b\nexpcet: { result: 1 }\n");
    let a = folder.path().join("a.test.yaml");
    let a = a.to_str().unwrap();
    let run = test(folder.path(), &[".", a]);
    assert!(run.stderr.contains("1 error in 3 files"), "{run:#?}");
    assert!(run.stderr.contains("1 error in 2 files"), "{run:#?}");
    assert!(run.stdout.contains("1 test, all passed"), "{run:#?}");
    std::fs::remove_file(folder.path().join("c.yaml")).unwrap();
    std::fs::remove_file(folder.path().join("b.test.yaml")).unwrap();
    let run = test(folder.path(), &[a]);
    assert_eq!((run.code, run.stdout.lines().count()), (0, 2), "{run:#?}");
}

#[test]
fn lint_tells_the_mistakes_of_tests_too() {
    let without_summary = |text: &str| {
        let text = text.trim_end();
        text.rsplit_once('\n').map(|(text, _)| text.to_owned())
    };
    for folder in ["mistakes", "names", "schedule-mistakes"] {
        let folder = root().join("tests/testing").join(folder);
        let tested = test(&folder, &[]);
        for path in [".", "definition.test.yaml"] {
            let mut command = Command::new(segno());
            command
                .args(["lint", path, "--color", "never"])
                .current_dir(&folder);
            let linted = Run::of(&mut command);
            assert_eq!(linted.code, 1, "{linted:#?}");
            assert!(tested.stderr.contains("error["), "{tested:#?}");
            assert_eq!(
                without_summary(&linted.stdout),
                without_summary(&tested.stderr)
            );
        }
    }
}

#[test]
fn snapshots_are_the_same_from_wherever_tests_are_run() {
    let folder = root().join("workflows");
    for (folder, path) in [
        (root(), "workflows"),
        (&*folder, "."),
        (&*folder, "approval.test.yaml"),
    ] {
        let run = test(folder, &[path, "--filter", "nobody decides"]);
        assert_eq!(run.code, 0, "{run:#?}");
        assert!(run.stdout.contains("1 test, all passed"), "{run:#?}");
    }
}

#[test]
fn too_little_coverage_fails() {
    let run = test(
        root(),
        &[
            "workflows/hello.test.yaml",
            "--filter",
            "nobody",
            "--min-coverage",
            "99",
        ],
    );
    assert_eq!(run.code, 1, "{run:#?}");
    assert!(run.stderr.contains("--min-coverage"), "{run:#?}");
}

#[test]
fn a_path_without_tests_is_a_wrong_command_line() {
    let run = test(root(), &["proto"]);
    assert_eq!(run.code, 2, "{run:#?}");
}

/// The worker's own activities, in earnest.
#[test]
fn servers_of_this_machine_are_asked() {
    let endpoint = crate::support::endpoint::Endpoint::start();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap().port().to_string();
    let folder = tempfile::tempdir().unwrap();
    for name in ["definition.yaml", "definition.test.yaml"] {
        let text = std::fs::read_to_string(root().join("tests/testing-real").join(name)).unwrap();
        let text = text.replace("http://127.0.0.1:PORT/jobs/1", &endpoint.url("1"));
        std::fs::write(folder.path().join(name), text.replace("SILENT", &silent)).unwrap();
    }
    let run = test(folder.path(), &[]);
    assert!(
        run.code == 0 && run.stdout.contains("all passed"),
        "{run:#?}"
    );
    // What is said to be allowed is all that is.
    let arguments = ["--http-allow", "192.0.2.0/24", "--filter", "in a minute"];
    let run = test(folder.path(), &arguments);
    assert!(
        run.code == 1 && run.stdout.contains("HttpPolicy"),
        "{run:#?}"
    );
}

/// A run that continues as new with signals that nothing has taken, by a worker that drops them.
#[test]
fn signals_that_are_lost_at_a_continuation_are_found() {
    let mut command = std::process::Command::new(segno());
    command
        .args(["test", "--crash", "--color", "never"])
        .current_dir(root().join("tests/testing/continuations"))
        .env("SEGNO_FAULT", "kept-signals-dropped");
    let run = Run::of(&mut command);
    assert_eq!(run.code, 1, "{run:#?}");
    let message = "accepted signals were consumed";
    assert!(run.stdout.contains(message), "{}", run.stdout);
}
