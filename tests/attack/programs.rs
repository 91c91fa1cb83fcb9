//! A worker that is killed leaves no program behind, nothing that these began, and no file.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::support::until;
use super::support::worker::Worker;

const DEFINITION: &str = "\
segno: 1
workflow: lingers
input: true
steps:
  - exec: { command: shell, args: [-c, \"${ input }\"] }
    start_to_close_timeout: 100s
    retry_policy: { maximum_attempts: 1 }
";

/// The processes whose command line has the word.
fn processes(word: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let has = |path: &PathBuf| {
        let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(word)
    };
    all.map(|entry| entry.path()).filter(has).collect()
}

#[test]
fn a_killed_worker_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("lingers.yaml"), DEFINITION).unwrap();
    let worker = Worker::start(folder.path(), &["--exec-allow", "shell=/bin/sh"]);
    // A number that no other process sleeps for.
    let length = format!("9{}", std::process::id());
    let said = folder.path().join("said");
    // The program, a child of it, one that leaves its group, and one that nobody waits for, all deaf to polite requests.
    let script = format!(
        "trap '' TERM; sleep {length} & setsid sleep {length} & (setsid sh -c 'sleep {length} & wait' &) ; \
         echo \"$SEGNO_HEARTBEAT\" > {0}.part; mv {0}.part {0}; sleep {length}",
        said.display()
    );
    let run = worker.launch("lingers", &json!(script));
    let heartbeat = until("the program to begin", || {
        std::fs::read_to_string(&said).ok()
    });
    let heartbeat = Path::new(heartbeat.trim());
    assert!(heartbeat.exists(), "{}", heartbeat.display());
    until("all of it to begin", || {
        (processes(&length).len() >= 5).then_some(())
    });
    worker.kill();
    until("all of it to end", || {
        processes(&length).is_empty().then_some(())
    });
    until("its files to go", || {
        (!heartbeat.parent().unwrap().exists()).then_some(())
    });
    drop(run);
}

#[test]
fn a_worker_whose_keeper_was_killed_has_another() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("lingers.yaml"), DEFINITION).unwrap();
    let worker = Worker::start(folder.path(), &["--exec-allow", "shell=/bin/sh"]);
    let length = format!("8{}", std::process::id());
    let said = folder.path().join("said");
    let script = format!(
        "echo \"$SEGNO_HEARTBEAT\" > {0}.part; mv {0}.part {0}; sleep {length}",
        said.display()
    );
    worker.launch("lingers", &json!(script));
    let heartbeat = until("the program to begin", || {
        std::fs::read_to_string(&said).ok()
    });
    let files = Path::new(heartbeat.trim())
        .parent()
        .unwrap()
        .display()
        .to_string();
    let keeper = until("its keeper", || {
        let keepers = processes("keep-programs");
        keepers.into_iter().find(|keeper| {
            let line = std::fs::read(keeper.join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&files)
        })
    });
    let id = keeper.file_name().unwrap().to_string_lossy().into_owned();
    let killed = std::process::Command::new("kill")
        .args(["-9", &id])
        .status();
    assert!(killed.unwrap().success());
    // The next program tells the worker that it is gone.
    worker.launch("lingers", &json!("true")).result();
    worker.kill();
    until("the first program to end", || {
        processes(&length).is_empty().then_some(())
    });
}
