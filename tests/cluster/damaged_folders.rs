//! Registries in a folder that have lost some of it: what a list, a deployment, `verify` and `repair` make of each damage.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::registry_project::damages;
use super::support::cluster::Cluster;
use super::support::run::Run;
use super::support::worker::Worker;

/// A folder of definitions, and one with the registry.
struct Project {
    folder: tempfile::TempDir,
    place: tempfile::TempDir,
}

impl Project {
    /// greet@1 of revision 1, greet@2 and part@1 of 2, greet@3 of 3.
    fn deployed() -> Project {
        let project = Project {
            folder: tempfile::tempdir().unwrap(),
            place: tempfile::tempdir().unwrap(),
        };
        project.write("greet", "one");
        project.deploy().ok();
        project.write("greet", "two");
        project.write("part", "one");
        project.deploy().ok();
        project.write("greet", "three");
        project.deploy().ok();
        project
    }

    fn registry(&self) -> String {
        format!("file://{}", self.place.path().display())
    }

    fn segno(&self, arguments: &[&str]) -> Run {
        let all = ["--registry", &self.registry(), "--output", "json"];
        Cluster::get().segno(&[arguments, &all].concat())
    }

    fn write(&self, workflow: &str, says: &str) {
        let text = format!("segno: 1\nworkflow: {workflow}\nsteps:\n  - return: {says}\n");
        fs::write(self.folder.path().join(format!("{workflow}.yaml")), text).unwrap();
    }

    fn deploy(&self) -> Run {
        self.segno(&["deploy", self.folder.path().to_str().unwrap(), "--yes"])
    }

    fn path(&self, folder: &str, revision: u64) -> PathBuf {
        self.place.path().join(format!("{folder}/{revision:020}"))
    }

    /// The numbers of the versions of `greet`.
    fn numbers(&self) -> Value {
        let list = self.segno(&["definitions", "list"]).ok().json();
        let definitions = list["definitions"].as_array().unwrap();
        let greet = definitions
            .iter()
            .find(|d| d["workflow"] == "greet")
            .unwrap();
        let versions = greet["versions"].as_array().unwrap().iter();
        versions.map(|v| v["number"].clone()).collect()
    }
}

fn cut_off(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

struct Case {
    name: &'static str,
    damage: fn(&Project),
    verify: &'static str,
    /// The version numbers of `greet`, before and after a deployment of a new text.
    numbers: [&'static [u32]; 2],
    /// What is left after `repair`.
    left: usize,
}

const ALL: [&[u32]; 2] = [&[1, 2, 3], &[1, 2, 3, 4]];
const HOLE: [&[u32]; 2] = [&[1, 3], &[1, 3, 4]];

const CASES: &[Case] = &[
    Case {
        name: "an entry is gone",
        damage: |p| fs::remove_file(p.path("log", 2)).unwrap(),
        verify: "log/00000000000000000002: it is missing or unreadable: its copy is used",
        numbers: ALL,
        left: 0,
    },
    Case {
        name: "the last entry is gone",
        damage: |p| fs::remove_file(p.path("log", 3)).unwrap(),
        verify: "log/00000000000000000003: it is missing or unreadable: its copy is used",
        numbers: ALL,
        left: 0,
    },
    Case {
        name: "an entry is cut off",
        damage: |p| cut_off(&p.path("log", 2)),
        verify: "log/00000000000000000002: it is missing or unreadable: its copy is used",
        numbers: ALL,
        left: 0,
    },
    Case {
        name: "a copy is gone",
        damage: |p| fs::remove_file(p.path("copies", 2)).unwrap(),
        verify: "copies/00000000000000000002: it does not exist",
        numbers: ALL,
        left: 0,
    },
    Case {
        name: "an entry and its copy are gone",
        damage: |p| {
            fs::remove_file(p.path("log", 2)).unwrap();
            fs::remove_file(p.path("copies", 2)).unwrap();
        },
        verify: "log/00000000000000000002: it is missing or unreadable: its change is not in force",
        numbers: HOLE,
        left: 0,
    },
    Case {
        name: "an entry and its copy are cut off",
        damage: |p| {
            cut_off(&p.path("log", 2));
            cut_off(&p.path("copies", 2));
        },
        verify: "log/00000000000000000002: it is missing or unreadable: its change is not in force",
        numbers: HOLE,
        left: 0,
    },
    Case {
        name: "all pieces are gone",
        damage: |p| fs::remove_dir_all(p.place.path().join("pieces")).unwrap(),
        verify: "greet@2: pieces/",
        numbers: ALL,
        // Only the newest texts are in the folder.
        left: 3,
    },
    Case {
        name: "all pieces are cut off",
        damage: |p| {
            for piece in fs::read_dir(p.place.path().join("pieces")).unwrap() {
                cut_off(&piece.unwrap().path());
            }
        },
        verify: "greet@2: a piece of data does not have the content that its hash names",
        numbers: ALL,
        left: 3,
    },
];

#[test]
fn a_damaged_folder_keeps_its_numbers_and_says_what_is_lost() {
    for case in CASES {
        let (name, project) = (case.name, Project::deployed());
        (case.damage)(&project);
        let verify = project.segno(&["definitions", "verify"]);
        let found = damages(&verify);
        assert!(
            verify.code == 1 && found.iter().any(|d| d.contains(case.verify)),
            "{name}: {found:#?}"
        );
        assert_eq!(project.numbers(), json!(case.numbers[0]), "{name}");
        project.write("greet", "four");
        let deployed = project.deploy().ok();
        assert_eq!(deployed.json()["revision"], json!(4), "{name}");
        assert_eq!(project.numbers(), json!(case.numbers[1]), "{name}");
        project.segno(&["definitions", "repair"]);
        assert_eq!(
            damages(&project.segno(&["definitions", "verify"])).len(),
            case.left,
            "{name}"
        );
        assert_eq!(project.numbers(), json!(case.numbers[1]), "{name}");
        let worker = Worker::of_deployed(&["--registry", &project.registry()]);
        assert_eq!(
            worker.launch("greet", &Value::Null).result(),
            "four",
            "{name}"
        );
        if !case.numbers[1].contains(&2) {
            // part was deployed by what is gone: it is new again, and nothing has its number.
            let dry = project.segno(&["definitions", "list"]).ok().json();
            assert_eq!(dry["definitions"].as_array().unwrap().len(), 2, "{name}");
        }
        assert_eq!(
            worker.launch("part", &Value::Null).result(),
            "one",
            "{name}"
        );
    }
}
