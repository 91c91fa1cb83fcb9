//! `segno run`: real processes, killed in the middle, go on from what their file says.

#[cfg(unix)]
mod absence;
mod away;
#[cfg(unix)]
mod kills;
#[cfg(unix)]
mod place;

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::run::Run;
use crate::support::{segno, until};

const DEFINITION: &str = r#"segno: 1
workflow: durable
input: { type: object, properties: { wait: { type: boolean }, pause: { type: string } } }
state: { told: null }
signals:
  tell: { do: [{ set: { told: "${ args }" } }] }
steps:
  - id: first
    exec: { command: sh, args: [-c, "echo one >> log; echo hello"] }
    start_to_close_timeout: 10s
  - timer: ${ input.?pause.orValue('10ms') }
  - id: second
    exec: { command: sh, args: [-c, "echo two >> log; test -e go || sleep 60; echo bye"] }
    start_to_close_timeout: 2m
  - id: child
    child: part
    input: ${ second.stdout }
  - when: input.?wait.orValue(false)
    wait: { until: state.told != null }
  - return: { a: "${ first.stdout }", b: "${ child }", told: "${ state.told }" }
---
segno: 1
workflow: part
steps:
  - timer: 1ms
  - return: ${ input }
"#;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("durable.yaml"), DEFINITION).unwrap();
    folder
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(segno());
    command
        .args([
            "run",
            "durable.yaml",
            "--workflow-type",
            "durable",
            "--exec-allow",
            "sh=/bin/sh",
        ])
        .args(["--color", "never"])
        .args(arguments)
        .current_dir(folder);
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Run {
    Run::of(&mut command(folder, arguments))
}

/// Runs a definition of a folder with any definitions.
fn plainly(folder: &Path, arguments: &[&str]) -> Run {
    let mut command = Command::new(segno());
    command.args(["run", "--color", "never"]).args(arguments);
    Run::of(command.current_dir(folder))
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap_or_default()
}

/// Killed as soon as the activity has begun.
fn killed_in(folder: &Path, arguments: &[&str], is_there: impl Fn(&str) -> bool) {
    let mut command = command(folder, arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child: Child = command.spawn().unwrap();
    until("the activity's beginning", || {
        is_there(&log(folder)).then_some(())
    });
    // What it has written down is on the disk before the next activity is begun.
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn who_is_killed_in_an_activity_and_in_a_timer_goes_on() {
    let folder = folder();
    let at = folder.path();
    killed_in(at, &["--input", r#"{"pause": "3s"}"#], |log| log == "one\n");
    killed_in(at, &["--input", r#"{"pause": "3s"}"#], |log| {
        log.ends_with("two\n")
    });
    std::fs::write(at.join("go"), "").unwrap();
    let ended = run(at, &["--input", r#"{"pause": "3s"}"#]).ok();
    assert_eq!(
        ended.json(),
        serde_json::json!({"a": "hello\n", "b": "bye\n", "told": null})
    );
    assert!(ended.stderr.contains("continuing `durable`"), "{ended:#?}");
    let log = log(at);
    // The attempt that was under way when its process was killed is made again; the one before it may be, too.
    assert!(
        log.matches("two").count() >= 2 && log.matches("one").count() <= 2,
        "{log}"
    );
    // It has ended: the same command begins another.
    let again = run(at, &["--input", r#"{"pause": "3ms"}"#]).ok();
    assert!(!again.stderr.contains("continuing"), "{again:#?}");
}

#[test]
fn what_waits_for_a_signal_says_so_and_goes_on_when_it_comes() {
    let folder = folder();
    let at = folder.path();
    std::fs::write(at.join("go"), "").unwrap();
    let waits = run(at, &["--input", r#"{"wait": true}"#]);
    assert_eq!(waits.code, 1, "{waits:#?}");
    assert!(waits.stderr.contains("durable.yaml:19"), "{waits:#?}");
    let other = run(at, &["--input", r#"{"wait": false}"#]);
    assert!(
        other.stderr.contains("was started with a different input"),
        "{other:#?}"
    );
    let ended = run(at, &["--signal", r#"tell={"by": "ada"}"#]).ok();
    assert_eq!(ended.json()["told"]["by"], "ada");
    assert_eq!(log(at), "one\ntwo\n");
}

#[test]
fn it_can_be_forgotten_and_cancelled() {
    let folder = folder();
    let at = folder.path();
    std::fs::write(at.join("go"), "").unwrap();
    assert_eq!(run(at, &["--input", r#"{"wait": true}"#]).code, 1);
    run(at, &["--input", r#"{"wait": false}"#, "--new"]).ok();
    assert_eq!(run(at, &["--input", r#"{"wait": true}"#]).code, 1);
    let cancelled = run(at, &["--cancel", "enough"]);
    assert_eq!(cancelled.code, 1);
    assert!(
        cancelled.stderr.contains("ended as cancelled"),
        "{cancelled:#?}"
    );
}

#[test]
fn two_processes_do_not_run_one_file() {
    let folder = folder();
    let at = folder.path();
    let mut command = command(at, &["--input", "{}"]);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the activity's beginning", || {
        log(at).ends_with("two\n").then_some(())
    });
    let second = run(at, &["--input", "{}"]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(second.code, 1);
    assert!(second.stderr.contains("another process"), "{second:#?}");
    assert!(second.stderr.contains("Ctrl-C"), "{second:#?}");
}

#[test]
fn what_needs_a_cluster_is_said_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("far.yaml"), FAR).unwrap();
    let refused = plainly(folder.path(), &["far.yaml"]);
    assert_eq!(refused.code, 1, "{refused:#?}");
    for place in [
        "far.yaml:5:5: the activity `charge` belongs to another worker",
        "far.yaml:6:5: the child `nobody`",
        "far.yaml:7:7: the activity `http` runs on the task queue `other`",
        "far.yaml:8:5: `callback` is completed by a client",
        "far.yaml:10:5: `callback` is completed by a client",
        "far.yaml:11:5: `callback` is completed by a client",
    ] {
        assert!(refused.stderr.contains(place), "{place}: {refused:#?}");
    }
    assert!(!folder.path().join(".segno").exists());
}

const FAR: &str = r#"segno: 1
workflow: far
defaults: { activity: { start_to_close_timeout: 1s } }
steps:
  - activity: charge
  - child: nobody
  - { http: { url: "http://a.example" }, task_queue: other }
  - callback: { http: { url: "http://a.example" } }
  - id: later
    start: { callback: { http: { url: "http://a.example" } } }
  - activity: callback
    input: { http: { url: "http://a.example" } }
"#;

#[test]
fn a_built_in_activity_by_its_type_is_run_by_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let text = "segno: 1\nworkflow: own\nsteps:\n  - id: said\n    activity: exec\n    input: { command: echo, args: [hello] }\n    \
                start_to_close_timeout: 10s\n  - return: ${ said.stdout }\n";
    std::fs::write(folder.path().join("own.yaml"), text).unwrap();
    let ended = plainly(
        folder.path(),
        &["own.yaml", "--exec-allow", "echo=/bin/echo"],
    )
    .ok();
    assert_eq!(ended.json(), "hello\n");
}

/// Where a definition's own steps do not show it.
#[test]
fn a_callback_of_a_child_fails_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let text = "segno: 1\nworkflow: parent\nsteps:\n  - child: asks\n---\nsegno: 1\nworkflow: asks\nsteps:\n  \
                - { callback: { exec: { command: echo } }, start_to_close_timeout: 10s }\n";
    std::fs::write(folder.path().join("parent.yaml"), text).unwrap();
    let arguments = ["parent.yaml", "--workflow-type", "parent"];
    let failed = plainly(folder.path(), &arguments);
    assert_eq!(failed.code, 1, "{failed:#?}");
    let why = "the activity `callback` is completed from outside, and needs a cluster";
    assert!(failed.stderr.contains(why), "{failed:#?}");
}

const IDS: &str = r#"segno: 1
workflow: ids
steps:
  - exec: { command: sh, args: [-c, 'echo "$0" >> ids', "${ workflow.run_id } ${ uuid() }"] }
    start_to_close_timeout: 10s
  - wait: { signal: go_on }
  - return: ${ workflow.run_id }
"#;

#[test]
fn each_run_has_ids_of_its_own_and_keeps_them() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("ids.yaml"), IDS).unwrap();
    let arguments = ["ids.yaml", "--exec-allow", "sh=/bin/sh"];
    let mut returned = Vec::new();
    for _ in 0..2 {
        let waits = plainly(at, &arguments);
        assert!(waits.stderr.contains("the run waits"), "{waits:#?}");
        let signal = [&arguments[..], &["--signal", "go_on"]].concat();
        let ended = plainly(at, &signal).ok().json();
        returned.push(ended.as_str().unwrap().to_owned());
    }
    let written = std::fs::read_to_string(at.join("ids")).unwrap();
    let written: Vec<_> = written
        .lines()
        .map(|l| l.split_once(' ').unwrap())
        .collect();
    let run_ids: Vec<_> = written.iter().map(|(run_id, _)| *run_id).collect();
    assert_eq!(run_ids, returned, "one process says what the next one does");
    assert_ne!(run_ids[0], run_ids[1]);
    assert_ne!(written[0].1, written[1].1, "uuid() of two runs");
}

#[test]
fn a_file_of_another_version_is_refused_with_what_to_do() {
    let folder = folder();
    let at = folder.path();
    let state = rusqlite::Connection::open(at.join("old.db")).unwrap();
    state.pragma_update(None, "user_version", 1).unwrap();
    drop(state);
    let refused = run(at, &["--state", "old.db"]);
    assert_eq!(refused.code, 1);
    let why = "old.db was written by another version of Segno (schema 1)";
    assert!(refused.stderr.contains(why), "{refused:#?}");
    assert!(refused.stderr.contains("--state"), "{refused:#?}");
}

#[test]
fn a_run_that_would_go_elsewhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let text = "segno: 1\nworkflow: main\ninput: { type: boolean }\nsteps:\n  - { when: input, timer: 1ms }\n  \
                - wait: { signal: go }\n";
    std::fs::write(at.join("main.yaml"), text).unwrap();
    for (id, input) in [("a", "true"), ("b", "false")] {
        let waits = plainly(at, &["main.yaml", "-w", id, "--input", input]);
        assert!(waits.stderr.contains("the run waits"), "{waits:#?}");
    }
    // As if this version took another way than the one that wrote it.
    let state = rusqlite::Connection::open(at.join(".segno/run.db")).unwrap();
    let other = "UPDATE run SET input = (SELECT input FROM run WHERE workflow_id = 'b')";
    state.execute(other, []).unwrap();
    drop(state);
    let refused = plainly(at, &["main.yaml", "-w", "a", "--signal", "go"]);
    assert_eq!(refused.code, 1, "{refused:#?}");
    assert!(
        refused.stderr.contains("another version of Segno"),
        "{refused:#?}"
    );
    assert!(refused.stderr.contains("--new"), "{refused:#?}");
    plainly(at, &["main.yaml", "-w", "b", "--signal", "go"]).ok();
}

#[test]
fn an_edited_definition_is_for_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let text = "segno: 1\nworkflow: main\nsteps:\n  - wait: { signal: go }\n  - return: old\n";
    std::fs::write(at.join("main.yaml"), text).unwrap();
    assert_eq!(plainly(at, &["main.yaml"]).code, 1);
    let edited = text.replace("  - wait: { signal: go }\n", "");
    std::fs::write(at.join("main.yaml"), edited.replace("old", "new")).unwrap();
    let former = plainly(at, &["main.yaml", "--signal", "go"]).ok();
    assert_eq!(former.json(), "old");
    assert_eq!(plainly(at, &["main.yaml"]).ok().json(), "new");
}

const LOGS: &str = r#"segno: 1
workflow: logs
signals:
  take:
    input: { type: object, required: [by] }
    do: [{ set: { taken: "${ args.by }" } }]
state: { taken: null }
steps:
  - log: { message: it has begun, level: warn, fields: { count: 1 } }
  - timer: 1ms
  - log: it waits
  - wait: { until: state.taken != null }
  - log: it has ended
"#;

#[test]
fn each_line_of_the_log_is_shown_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("logs.yaml"), LOGS).unwrap();
    let waits = plainly(at, &["logs.yaml"]);
    for line in ["warn: it has begun count=1\n", "info: it waits\n"] {
        assert_eq!(waits.stderr.matches(line).count(), 1, "{waits:#?}");
    }
    let refused = plainly(at, &["logs.yaml", "--signal", "take={}"]);
    let why = "error: the signal `take` is refused, its input breaks its schema: ";
    assert!(refused.stderr.contains(why), "{refused:#?}");
    let ended = plainly(at, &["logs.yaml", "--signal", r#"take={"by": "ada"}"#]).ok();
    assert!(ended.stderr.contains("info: it has ended\n"), "{ended:#?}");
    for shown in ["warn: ", "error: ", "info: it waits\n"] {
        assert!(!ended.stderr.contains(shown), "{ended:#?}");
    }
}

#[test]
fn a_signal_that_nothing_takes_gets_a_warning() {
    let folder = folder();
    let at = folder.path();
    std::fs::write(at.join("go"), "").unwrap();
    let misspelt = run(at, &["--input", r#"{"wait": true}"#, "--signal", "tel"]);
    for line in [
        "warning: nothing in the definition receives the signal `tel`\n",
        "help: did you mean `tell`?\n",
        "help: defined here: tell\n",
    ] {
        assert!(misspelt.stderr.contains(line), "{misspelt:#?}");
    }
    let right = run(at, &["--signal", r#"tell="x""#]).ok();
    assert!(!right.stderr.contains("warning"), "{right:#?}");
}

#[test]
fn a_wrong_command_line_is_refused_with_what_to_do() {
    let folder = folder();
    let at = folder.path();
    std::fs::write(at.join("durable.test.yaml"), "").unwrap();
    for (arguments, wanted) in [
        (
            &["."][..],
            ". is a folder; `segno run` takes one definition file",
        ),
        (&["durable.test.yaml"], "is a test file"),
        (&["durable.test.yaml"], "`segno test durable.test.yaml`"),
        (&["durable.yaml"], "--workflow-type: durable, part"),
        (
            &["durable.yaml", "--workflow-type", "durabel"],
            "durable.yaml has no valid definition of the workflow type `durabel`",
        ),
        (
            &["durable.yaml", "--workflow-type", "durabel"],
            "help: did you mean `durable`?\nhelp: defined here: durable, part\n",
        ),
        (
            &["durable.yaml", "--workflow-type", "part", "--signal", "b=x"],
            "the argument of the signal `b` is not JSON: expected value at line 1 column 1\nhelp: write a text as JSON in quotes",
        ),
    ] {
        let refused = plainly(at, arguments);
        assert_eq!(refused.code, 2, "{refused:#?}");
        assert!(refused.stderr.contains(wanted), "{wanted}: {refused:#?}");
    }
    assert!(!at.join(".segno").exists());
}

#[test]
fn an_input_that_breaks_the_schema_begins_nothing() {
    let folder = folder();
    let at = folder.path();
    std::fs::write(at.join("go"), "").unwrap();
    let missing = run(at, &[]);
    assert_eq!(missing.code, 2, "{missing:#?}");
    for line in [
        "error: the input of `durable` breaks its schema: ",
        "help: no input was given; pass one with --input JSON",
    ] {
        assert!(missing.stderr.contains(line), "{missing:#?}");
    }
    // A run that has not ended has its input already, and stays where another one cannot begin.
    assert_eq!(run(at, &["--input", r#"{"wait": true}"#]).code, 1);
    assert_eq!(run(at, &["--new", "--input", "1"]).code, 2);
    let ended = run(at, &["--signal", "tell=1"]).ok();
    assert!(ended.stderr.contains("continuing"), "{ended:#?}");
}

#[test]
fn mistakes_in_other_files_are_counted() {
    let folder = folder();
    let at = folder.path();
    std::fs::write(at.join("go"), "").unwrap();
    let broken = "segno: 1\nworkflow: broken\nstepz: []\n";
    std::fs::write(at.join("broken.yaml"), broken).unwrap();
    let beside = run(at, &["--input", "{}"]).ok();
    assert!(!beside.stderr.contains("stepz"), "{beside:#?}");
    let remark = "1 error in other files of the folder; run `segno lint` to see it\n";
    assert!(beside.stderr.contains(remark), "{beside:#?}");
    let own = plainly(at, &["broken.yaml"]);
    assert!(own.stderr.contains("stepz"), "{own:#?}");
    assert!(!own.stderr.contains("other files"), "{own:#?}");
    let library = "segno: 1\ntypez: {}\ntypes: { any: {} }\n";
    std::fs::write(at.join("library.yaml"), library).unwrap();
    let uses = "segno: 1\nuse: [library.yaml]\nworkflow: uses\nsteps:\n  - return: 1\n";
    std::fs::write(at.join("uses.yaml"), uses).unwrap();
    let of_library = plainly(at, &["uses.yaml"]);
    assert!(of_library.stderr.contains("typez"), "{of_library:#?}");
    assert!(
        of_library.stderr.contains("1 error in other"),
        "{of_library:#?}"
    );
}
