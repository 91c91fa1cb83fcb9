//! The watched folder of definitions: what is saved is in force, what is broken is reported and changes nothing.

use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use segno::bundle::{Bundle, BundleFile, Versions};
use segno::registry::{Change, Folder, Registry, load};

/// Far longer than any change takes; a test that waits this long fails.
const PATIENCE: Duration = Duration::from_secs(300);

fn definition(workflow: &str, result: u32) -> String {
    format!("segno: 1\nworkflow: {workflow}\nsteps:\n  - return: {result}\n")
}

fn open(root: &Path) -> (Folder, Receiver<Change>) {
    let (tell, told) = channel();
    let observer = std::sync::Mutex::new(tell);
    let folder = Folder::open(root, move |change| {
        let _ = observer.lock().unwrap().send(change);
    });
    (folder.unwrap(), told)
}

/// The next change, in words.
fn next(changes: &Receiver<Change>) -> String {
    match changes.recv_timeout(PATIENCE).expect("nothing changed") {
        Change::Added { workflow_type, .. } => format!("added {workflow_type}"),
        Change::Changed { workflow_type, .. } => format!("changed {workflow_type}"),
        Change::Removed { workflow_type } => format!("removed {workflow_type}"),
        Change::Broken {
            stays, diagnostics, ..
        } => {
            let codes: Vec<_> = diagnostics.iter().map(|d| d.code).collect();
            format!("broken {} stays [{}]", codes.join(" "), stays.join(" "))
        }
        Change::Unreadable { reason } => format!("unreadable {reason}"),
        Change::Deployed { .. } | Change::Refused { .. } | Change::Noticed { .. } => {
            panic!("a folder deploys nothing")
        }
    }
}

fn digest(folder: &Folder, workflow: &str) -> String {
    folder
        .for_new_run(workflow, "")
        .unwrap()
        .bundle
        .digest
        .clone()
}

#[test]
fn what_is_saved_is_in_force() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.yaml"), definition("a", 1)).unwrap();
    fs::write(
        root.path().join("a.test.yaml"),
        "test: of a\nworkflow: nothing\n",
    )
    .unwrap();
    fs::write(root.path().join("values.yml"), "other: yaml\n").unwrap();
    let (folder, changes) = open(root.path());
    assert_eq!(next(&changes), "added a");
    assert_eq!(folder.workflow_types(), ["a"]);
    let first = folder.for_new_run("a", "").unwrap();

    fs::write(root.path().join("a.yaml"), definition("a", 2)).unwrap();
    assert_eq!(next(&changes), "changed a");
    assert_ne!(digest(&folder, "a"), first.bundle.digest);
    assert!(
        folder.by_digest(&first.bundle.digest).is_some(),
        "a run may have just begun with it"
    );

    fs::create_dir(root.path().join("more")).unwrap();
    fs::write(root.path().join("more/b.yml"), definition("b", 1)).unwrap();
    assert_eq!(next(&changes), "added b");

    fs::remove_file(root.path().join("a.yaml")).unwrap();
    assert_eq!(next(&changes), "removed a");
    assert_eq!(folder.workflow_types(), ["b"]);
}

#[test]
fn an_editor_may_write_aside_and_rename() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.yaml"), definition("a", 1)).unwrap();
    let (_folder, changes) = open(root.path());
    assert_eq!(next(&changes), "added a");
    for result in 2..5 {
        let aside = root.path().join(".a.yaml.swp");
        fs::write(&aside, definition("a", result)).unwrap();
        fs::rename(&aside, root.path().join("a.yaml")).unwrap();
        assert_eq!(next(&changes), "changed a");
    }
    // An editor that truncates first does not take the definition out of force.
    fs::write(root.path().join("a.yaml"), "").unwrap();
    fs::write(root.path().join("b.yaml"), definition("b", 1)).unwrap();
    assert_eq!(next(&changes), "added b");
}

#[cfg(unix)]
#[test]
fn an_unreadable_file_keeps_its_last_good_version_and_holds_up_no_other() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::write(at("a.yaml"), definition("a", 1)).unwrap();
    let library = "segno: 1\ntypes: { t: { type: string } }\n";
    fs::write(at("library.yaml"), library).unwrap();
    let uses = definition("b", 1).replace("steps:", "use: [library.yaml]\nsteps:");
    fs::write(at("b.yaml"), &uses).unwrap();
    let (folder, changes) = open(root.path());
    assert_eq!(next(&changes), "added a");
    assert_eq!(next(&changes), "added b");
    let known = digest(&folder, "a");

    // A link in a circle cannot be read by anybody.
    fs::remove_file(at("a.yaml")).unwrap();
    std::os::unix::fs::symlink("a.yaml", at("a.yaml")).unwrap();
    let mut told = next(&changes);
    if told == "removed a" {
        // It was looked at between the two.
        told = next(&changes);
        assert_eq!(told, "broken file-unreadable stays []");
    } else {
        assert_eq!(told, "broken file-unreadable stays [a]");
        assert_eq!(digest(&folder, "a"), known);
    }
    fs::write(at("c.yaml"), definition("c", 1)).unwrap();
    assert_eq!(next(&changes), "added c");

    // What others use is no different.
    let fifo = std::process::Command::new("mkfifo")
        .arg(at("pipe"))
        .status();
    assert!(fifo.unwrap().success());
    fs::rename(at("pipe"), at("library.yaml")).unwrap();
    let mut told = [next(&changes), next(&changes)];
    told.sort();
    assert_eq!(told[0], "broken file-unreadable stays []");
    assert_eq!(told[1], "broken file-unreadable stays [b]");
    fs::write(at("c.yaml"), definition("c", 2)).unwrap();
    assert_eq!(next(&changes), "changed c");

    fs::remove_file(at("a.yaml")).unwrap();
    fs::write(at("a.yaml"), definition("a", 3)).unwrap();
    let told = next(&changes);
    assert!(
        ["changed a", "added a", "removed a"].contains(&&*told),
        "{told}"
    );
    let mut types = folder.workflow_types();
    types.sort();
    assert!(types.contains(&"b".to_owned()), "{types:?}");
}

#[test]
fn a_definition_that_uses_too_many_files_is_told_so() {
    for count in [300, 6_000] {
        let root = tempfile::tempdir().unwrap();
        for n in 0..count {
            // A chain, in which each uses the one after the next, too: the ways through it are without number.
            let uses = format!("use: [{}.yaml, {}.yaml]", n + 1, n + 2);
            fs::write(
                root.path().join(format!("{n}.yaml")),
                format!("segno: 1\n{uses}\n"),
            )
            .unwrap();
        }
        let uses = definition("long", 1).replace("steps:", "use: [0.yaml]\nsteps:");
        fs::write(root.path().join("long.yaml"), uses).unwrap();
        let found = segno::registry::read_folder(root.path()).unwrap();
        assert!(found.definitions.is_empty());
        let codes: Vec<_> = found.broken["long.yaml"].iter().map(|d| d.code).collect();
        assert!(codes.contains(&"too-many-files"), "{codes:?}");
    }
}

#[test]
fn a_broken_file_leaves_its_last_good_version_in_force() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a.yaml");
    fs::write(&path, definition("a", 1)).unwrap();
    let (folder, changes) = open(root.path());
    assert_eq!(next(&changes), "added a");
    let good = digest(&folder, "a");

    fs::write(&path, "segno: 1\nworkflow: a\nsteps: [\n").unwrap();
    assert_eq!(next(&changes), "broken yaml-syntax stays [a]");
    fs::write(
        &path,
        "segno: 1\nworkflow: a\nsteps:\n  - return: ${ nobody }\n",
    )
    .unwrap();
    assert!(next(&changes).starts_with("broken "));
    assert_eq!(digest(&folder, "a"), good);

    fs::write(&path, definition("a", 2)).unwrap();
    assert_eq!(next(&changes), "changed a");
}

#[test]
fn two_files_with_one_workflow_type_are_a_mistake() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.yaml"), definition("a", 1)).unwrap();
    fs::write(root.path().join("b.yaml"), definition("a", 2)).unwrap();
    let (_folder, changes) = open(root.path());
    assert_eq!(next(&changes), "added a");
    assert_eq!(next(&changes), "broken duplicate-workflow stays []");
}

#[test]
fn a_bundle_holds_what_its_definition_uses() {
    let root = tempfile::tempdir().unwrap();
    let shared =
        |limit: u32| format!("segno: 1\nblocks:\n  limit:\n    do:\n      - return: {limit}\n");
    fs::write(root.path().join("shared.yaml"), shared(1)).unwrap();
    let text = "segno: 1\nworkflow: a\nuse: [shared.yaml]\nsteps:\n  - call: limit\n";
    fs::write(root.path().join("a.yaml"), text).unwrap();
    let (folder, changes) = open(root.path());
    assert_eq!(next(&changes), "added a");
    let entry = folder.for_new_run("a", "").unwrap();
    let unpacked = load(&entry.bundle.bytes).unwrap();
    assert_eq!(unpacked.bundle.digest, entry.bundle.digest);

    fs::write(root.path().join("shared.yaml"), shared(2)).unwrap();
    assert_eq!(next(&changes), "changed a");
}

fn packed(text: &str) -> Vec<u8> {
    let file = BundleFile {
        path: "a.yaml".into(),
        text: text.into(),
    };
    let bundle = Bundle::from_files("a", Versions::NEWEST, file, 0, Vec::new());
    bundle.unwrap().encode().unwrap()
}

/// A worker with a stricter checker than the one that packed a bundle still serves the runs that are bound to it.
#[test]
fn what_a_run_is_bound_to_is_not_checked_again() {
    let text = "segno: 1\nworkflow: a\nsteps:\n  - if: 1 + 1\n    then:\n      - log: never\n  - return: 2\n";
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.yaml"), text).unwrap();
    let (folder, changes) = open(root.path());
    assert_eq!(next(&changes), "broken not-boolean stays []");
    assert!(folder.for_new_run("a", "").is_none());
    assert_eq!(&*load(&packed(text)).unwrap().program.workflow, "a");
    let Err(refused) = load(&packed("segno: 1\nworkflow: a\nsteps: [dance: 1]\n")) else {
        panic!("a bundle that cannot be read was loaded");
    };
    assert!(refused.contains("a.yaml:3:9"), "{refused}");
}
