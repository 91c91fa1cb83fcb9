//! What somebody may put into a folder of definitions beside others, which go on being served.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::support::until;
use super::support::worker::Worker;

fn definition(workflow: &str, uses: &str, result: u32) -> String {
    format!("segno: 1\nworkflow: {workflow}\n{uses}steps:\n  - return: {result}\n")
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn hostile_files_keep_no_other_from_being_served_or_reloaded() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fifo(&at("pipe.yaml"));
    fifo(&at("library"));
    std::fs::write(
        at("uses-pipe.yaml"),
        definition("uses-pipe", "use: [library]\n", 1),
    )
    .unwrap();
    std::fs::write(
        at("uses-folder.yaml"),
        definition("uses-folder", "use: [more]\n", 1),
    )
    .unwrap();
    let _socket = UnixListener::bind(at("socket.yaml")).unwrap();
    symlink("/dev/zero", at("device.yaml")).unwrap();
    // Reading it fails, for root, too.
    symlink("/proc/self/mem", at("unreadable.yaml")).unwrap();
    symlink("circle.yaml", at("circle.yaml")).unwrap();
    symlink("/", at("everything")).unwrap();
    symlink(".", at("around")).unwrap();
    let deep = (0..80).fold(at("more"), |path, _| path.join("d"));
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("deep.yaml"), definition("deep", "", 1)).unwrap();
    for n in 0..6_000 {
        let uses = format!(
            "segno: 1\nuse: [chain-{}.yaml]\ntypes: {{ t{n}: {{ type: string }} }}\n",
            n + 1
        );
        std::fs::write(at(&format!("chain-{n}.yaml")), uses).unwrap();
    }
    std::fs::write(
        at("chain-6000.yaml"),
        "segno: 1\ntypes: { t: { type: string } }\n",
    )
    .unwrap();
    std::fs::write(
        at("long.yaml"),
        definition("long", "use: [chain-0.yaml]\n", 1),
    )
    .unwrap();
    std::fs::write(at("own.yaml"), definition("own", "", 1)).unwrap();

    let worker = Worker::start(folder.path(), &[]);
    assert_eq!(worker.launch("own", &json!(null)).result(), 1);
    std::fs::write(at("own.yaml"), definition("own", "", 2)).unwrap();
    until("the new version", || {
        (worker.launch("own", &json!(null)).result() == 2).then_some(())
    });
    let logs = worker.logs();
    for word in [
        "`pipe.yaml` cannot be read: it is not a regular file",
        "`library` cannot be read: it is not a regular file",
        "`socket.yaml` cannot be read",
        "`device.yaml` cannot be read",
        "`unreadable.yaml` cannot be read",
        "`circle.yaml` cannot be read",
        "DEFINITION_FOLDERS_DEPTH_MAX",
        "the bound is BUNDLE_FILES_MAX (256)",
    ] {
        assert!(logs.contains(word), "{word}: {logs}");
    }
}
