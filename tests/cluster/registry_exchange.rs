//! Exports of registries, what brings them back, and what is refused.

use std::fs;

use segno::catalog::Catalog;
use serde_json::json;

use super::registry_project::{COPY, Project, damages, numbers, wait};
use super::support::until;

/// Nothing is left but pieces: it is refused until somebody says with what to begin.
#[test]
fn a_registry_that_is_lost_begins_with_an_export_or_by_order_only() {
    let project = Project::deployed();
    let file = project.folder.path().join("export.json");
    let file = file.to_str().unwrap();
    project.segno(&["definitions", "export", file]).ok();
    let before = project.catalog();
    let lose = |project: &Project| {
        project.delete(COPY);
        project.delete("segno-registry");
        let none = "WorkflowType = 'segno-registry'";
        until("the list", || {
            (wait(project.client.count(none)).unwrap() == 0).then_some(())
        });
    };
    lose(&project);
    project.write("greet", "three");
    for arguments in [
        &["list"][..],
        &["repair"],
        &["export"],
        &["tag", "greet@1", "x"],
    ] {
        let run = project.segno(&[&["definitions"], arguments].concat());
        assert!(
            run.code == 1 && run.stderr.contains("the registry has lost its definitions"),
            "{run:#?}"
        );
        assert!(run.stderr.contains("definitions import FILE"), "{run:#?}");
    }
    assert!(
        project
            .deploy()
            .stderr
            .contains("the registry has lost its definitions")
    );
    let worker = ["worker", "--task-queue", "q"];
    assert!(
        project
            .segno(&worker)
            .stderr
            .contains("the registry has lost its definitions")
    );
    let verify = project.verify();
    assert_eq!(
        verify.json()["damages"][0]["remedy"],
        "import",
        "{verify:#?}"
    );

    let import = project
        .segno(&["definitions", "import", file, "--output", "json"])
        .ok();
    assert_eq!(import.json()["whole"], true);
    let after = project.catalog();
    assert_eq!(
        (after.revision(), &after.state.log),
        (before.revision(), &before.state.log)
    );
    assert_eq!(damages(&project.verify()), [""; 0]);
    project.deploy().ok();
    assert_eq!(numbers(&project.catalog(), "greet"), [1, 2, 3]);
    // Anew only where there is nothing else.
    let no = project.segno(&["definitions", "repair", "--from-nothing"]);
    assert!(
        no.code == 1 && no.stderr.contains("has not lost its definitions"),
        "{no:#?}"
    );
    lose(&project);
    project
        .segno(&["definitions", "repair", "--from-nothing"])
        .ok();
    project.deploy().ok();
    assert_eq!(numbers(&project.catalog(), "greet"), [1]);
    // What the file has is not what the numbers mean now.
    let no = project.segno(&["definitions", "import", file]);
    let said = "greet@1 is another definition in the registry than in the file";
    assert!(no.code == 1 && no.stderr.contains(said), "{no:#?}");
}

/// An import brings texts back, and the versions that a registry never had.
#[test]
fn an_import_adds_what_is_lacking_and_changes_nothing_else() {
    let (project, other) = (Project::deployed(), Project::new());
    project.segno(&["definitions", "delete", "greet@1"]).ok();
    let file = other.folder.path().join("export.json");
    let file = file.to_str().unwrap();
    project.segno(&["definitions", "export", file]).ok();
    other.write("mine", "mine");
    other.deploy().ok();
    let import = [
        "definitions",
        "import",
        file,
        "--output",
        "json",
        "-m",
        "moved",
    ];
    let done = other.segno(&import).ok().json();
    assert_eq!(
        (&done["whole"], &done["added"]),
        (&json!(false), &json!(["greet@2", "part@1"]))
    );
    let there = other.catalog();
    let definition = |catalog: &Catalog, name: &str| catalog.definition(name).unwrap().clone();
    assert_eq!(numbers(&there, "greet"), [2]);
    assert_eq!(
        definition(&there, "greet").route(),
        definition(&project.catalog(), "greet").route()
    );
    assert_eq!(definition(&there, "mine").current, 1);
    assert_eq!(damages(&other.verify()), [""; 0]);
    // Again, nothing is left to do; and a text that is gone comes back.
    assert_eq!(other.segno(&import).ok().json()["added"], json!([]));
    for piece in other.pieces() {
        other.delete(&piece);
    }
    let done = other.segno(&import).ok().json();
    assert_eq!(done["storedAgain"], json!(["greet@2", "part@1"]));
    // A file that was changed by hand is no export.
    let changed = fs::read_to_string(file)
        .unwrap()
        .replace("return: two", "return: none");
    fs::write(file, changed).unwrap();
    let no = other.segno(&import);
    assert!(
        no.code == 2
            && no
                .stderr
                .contains("greet@2: the text does not match the digest"),
        "{no:#?}"
    );
}

/// Without the keys nothing is known of an encrypted registry, so nothing may take it for damaged.
#[test]
fn an_encrypted_registry_is_not_mended_without_its_keys() {
    let project = Project::new();
    project.write("greet", "one");
    let key = project.folder.path().join("key");
    fs::write(
        &key,
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n",
    )
    .unwrap();
    let keys = format!("--codec-key=old={}", key.display());
    let folder = project.folder.path().to_str().unwrap();
    project.segno(&["deploy", folder, "--yes", &keys]).ok();
    let file = project.folder.path().join("export.json");
    let file = file.to_str().unwrap();
    project.segno(&["definitions", "export", file, &keys]).ok();
    project.write("greet", "two");
    project.segno(&["deploy", folder, "--yes", &keys]).ok();
    for arguments in [
        &["list"][..],
        &["verify"],
        &["repair"],
        &["repair", "--from-nothing"],
        &["import", file],
    ] {
        let run = project.segno(&[&["definitions"], arguments].concat());
        assert!(
            run.code != 0 && run.stderr.contains("pass the codecs and keys"),
            "{arguments:?} {run:#?}"
        );
    }
    let listed = project.segno(&["definitions", "list", &keys]).ok();
    assert!(
        listed.stdout.contains("greet") && listed.stdout.contains('2'),
        "{listed:#?}"
    );
}

/// A type whose versions were all deleted keeps its numbers; the versions beyond them come, and what the file says of the others does not.
#[test]
fn an_import_into_an_emptied_type_brings_what_is_beyond_its_numbers() {
    let project = Project::deployed();
    let file = project.folder.path().join("export.json");
    let file = file.to_str().unwrap();
    project
        .segno(&["definitions", "tag", "greet@1", "stable"])
        .ok();
    project.segno(&["definitions", "pin", "greet@1"]).ok();
    project.segno(&["definitions", "export", file]).ok();
    let other = Project::new();
    other.write("greet", "one");
    other.write("mine", "mine");
    other.deploy().ok();
    fs::remove_file(other.folder.path().join("greet.yaml")).unwrap();
    other.deploy().ok();
    other.segno(&["definitions", "delete", "greet@1"]).ok();
    other
        .segno(&["definitions", "import", file, "--output", "json"])
        .ok();
    let catalog = other.catalog();
    let greet = catalog.definition("greet").unwrap();
    assert_eq!(numbers(&catalog, "greet"), [2]);
    assert_eq!((greet.current, greet.tags.len()), (2, 0), "{greet:?}");
    assert_eq!(damages(&other.verify()), [""; 0]);
}
