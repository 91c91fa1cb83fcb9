//! The watched folder of definitions: what is saved is in force, what is broken is reported and changes nothing.

use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use segno::bundle::{Bundle, BundleFile, Versions};
use segno::engine::{SignalFate, signal_fate};
use segno::registry::{Change, Folder, Registry, load, read_folder, read_folder_whole};
use segno::words::{BlockId, StepId};

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

/// Of a library with many blocks a run gets what it can reach, under the numbers that are in the states of runs.
#[test]
fn what_no_run_can_reach_is_left_out_and_moves_nothing() {
    let library = "segno: 1
blocks:
  unused:
    do:
      - wait: { signal: later, timeout: 1h }
        on_timeout: [return: 1]
      - wait: { signal: later }
      - call: inner
  inner:
    do: [return: 2]
  outer:
    do:
      - if: ${ input == 1 }
        then: [{ id: found, call: inner }, { return: '${ found }' }]
  last:
    do: [{ call: unused }, { return: 3 }]
";
    let definition = "segno: 1
workflow: a
use: library.yaml
signals:
  later: { do: [{ call: block_of_a_handler }] }
  '*': { input: { type: string }, do: [{ set: { x: 1 } }] }
blocks:
  block_of_a_handler: { do: [return: 4] }
steps:
  - for_each: ${ [1] }
    do: [{ call: outer, input: '${ item }' }]
  - return: ${ state.x }
";
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("library.yaml"), library).unwrap();
    let write = |definition: &str| fs::write(root.path().join("a.yaml"), definition).unwrap();
    let entry_of = |found: segno::registry::Found| {
        assert!(found.broken.is_empty(), "{:?}", found.broken);
        let (entry, _) = found.definitions["a"].clone();
        entry
    };
    write(definition);
    let whole = entry_of(read_folder_whole(root.path()).unwrap());
    let callable = entry_of(read_folder(root.path()).unwrap());
    assert_eq!(whole.bundle.bytes, callable.bundle.bytes);
    let unpacked = load(&callable.bundle.bytes).unwrap();
    let whole = &whole.loaded.program;
    for program in [&callable.loaded.program, &unpacked.program] {
        let there = program.functions.iter().map(|f| &*f.name);
        let expected = ["block_of_a_handler", "inner", "outer"];
        assert_eq!(there.collect::<Vec<_>>(), expected);
        for (number, function) in program.functions.numbered() {
            let of_whole = &whole.functions[number as usize];
            assert_eq!(format!("{function:?}"), format!("{of_whole:?}"));
            assert_eq!(program.block(function.body), whole.block(function.body));
        }
        let mut left_out = 0;
        for number in 0..whole.steps.len() {
            let (id, of_whole) = (StepId(number as u32), &whole.steps[number]);
            match program.steps.get(number) {
                // The first that waits for a signal stays for its name.
                Some(step) if step.action.awaited_signal().is_some() => {
                    assert_eq!(
                        step.action.awaited_signal(),
                        of_whole.action.awaited_signal()
                    );
                }
                Some(step) => {
                    assert_eq!(format!("{step:?}"), format!("{of_whole:?}"));
                    assert!(whole.location(id).ends_with(&program.location(id)));
                }
                None => left_out += 1,
            }
        }
        // Of `unused` the second `wait`, the `return` and the `call`, and both steps of `last`.
        assert_eq!(
            (left_out, program.signal_names()),
            (5, whole.signal_names())
        );
        assert_eq!(program.steps.len(), whole.steps.len());
        assert!(program.expressions.len() <= whole.expressions.len());
        assert!(program.blocks.get(BlockId(0).0 as usize).is_some());
    }
    // A handler of any other signal does not take what some block waits for, be it called or not.
    write(&definition.replace("  later: { do: [{ call: block_of_a_handler }] }\n", ""));
    let callable = entry_of(read_folder(root.path()).unwrap());
    let fate = |name: &str| signal_fate(&callable.loaded.program, name, vec![1.into()]);
    assert!(matches!(fate("later"), SignalFate::Taken));
    assert!(matches!(fate("other"), SignalFate::Refused(_)));
}
