//! Entries of a registry that whoever can write to its folder makes up: nothing stops workers or deployments.

use std::fs;
use std::path::PathBuf;

use prost::Message;
use segno::catalog::{Change, Data, LogEntry, Put, Segment};
use segno::client::{StartOptions, WorkflowRef};
use segno::payload::{Codec, Key, Keyring, Stage, payload_from_proto, payload_to_proto};
use segno::value::Payload;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::registry_project::{Project, damages, wait};
use super::support::cluster::Cluster;
use super::support::run::Run;
use super::support::until;
use super::support::worker::Worker;
use super::victim::{self, ALLOCATOR, DATA_SIZE_BYTES_MAX, MEMORY_KIB_MAX};

/// A folder of definitions, and one with the registry.
struct Attacked {
    folder: tempfile::TempDir,
    place: tempfile::TempDir,
    revision: u64,
}

impl Attacked {
    fn new() -> Attacked {
        let attacked = Attacked {
            folder: tempfile::tempdir().unwrap(),
            place: tempfile::tempdir().unwrap(),
            revision: 1,
        };
        attacked.deploy("one").ok();
        attacked
    }

    fn registry(&self) -> String {
        format!("file://{}", self.place.path().display())
    }

    fn deploy(&self, says: &str) -> Run {
        let text = format!("segno: 1\nworkflow: greet\nsteps:\n  - return: {says}\n");
        fs::write(self.folder.path().join("greet.yaml"), text).unwrap();
        let folder = self.folder.path().to_str().unwrap();
        let registry = self.registry();
        let deploy = [
            "deploy",
            folder,
            "--registry",
            &registry,
            "--yes",
            "--output",
            "json",
        ];
        Cluster::get().segno(&deploy)
    }

    fn worker(&self) -> Worker {
        let worker = Worker::of_deployed_with(&["--registry", &self.registry()], &ALLOCATOR);
        worker.bound_memory(DATA_SIZE_BYTES_MAX);
        worker
    }

    fn path(&self, folder: &str, name: &str) -> PathBuf {
        self.place.path().join(folder).join(name)
    }

    /// Stores bytes under a name that they may have.
    fn piece(&self, bytes: &[u8]) -> Vec<u8> {
        let hash = Sha256::digest(bytes).to_vec();
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(self.path("pieces", &hex), bytes).unwrap();
        hash
    }

    /// The next entry of the log.
    fn entry(&mut self, bytes: &[u8]) {
        self.revision += 1;
        fs::write(self.path("log", &format!("{:020}", self.revision)), bytes).unwrap();
    }

    fn put(&mut self, workflow: &str, segments: Vec<Vec<Vec<u8>>>) {
        let puts = segments
            .into_iter()
            .enumerate()
            .map(|(number, pieces)| Put {
                workflow: format!("{workflow}-{number}"),
                digest: vec![7; 32],
                segment: Some(Data { pieces }),
                ..Put::default()
            });
        let change = Change {
            id: workflow.to_owned(),
            base: self.revision,
            project: "strangers".to_owned(),
            puts: puts.collect(),
            ..Change::default()
        };
        let entry = LogEntry {
            change: Some(change),
            time: 0,
        };
        self.entry(&entry.encode_to_vec());
    }
}

#[test]
fn entries_of_strangers_stop_neither_workers_nor_deployments() {
    let mut attacked = Attacked::new();
    let first = attacked.worker();
    assert_eq!(first.launch("greet", &json!(null)).result(), "one");

    // 3 kB that unpack to gigabytes, and to millions of bundles without anything.
    let zeros = zstd::bulk::compress(&vec![0; 1 << 30], 19).unwrap();
    let zeros = attacked.piece(&zeros);
    let nothing = zstd::bulk::compress(&[0x0a, 0].repeat(2_000_000), 19).unwrap();
    let nothing = attacked.piece(&nothing);
    let bundle = Segment {
        bundles: vec![zstd::bulk::compress(&vec![0; 1 << 28], 19).unwrap(); 50],
    };
    let bundle = zstd::bulk::compress(&bundle.encode_to_vec(), 19).unwrap();
    let bundle = attacked.piece(&bundle);
    attacked.put(
        "unpacks",
        vec![vec![zeros.clone()], vec![nothing], vec![bundle]],
    );
    // A gigabyte of zeros where a piece should be.
    let large = vec![9; 32];
    let hex = "09".repeat(32);
    let file = fs::File::create(attacked.path("pieces", &hex)).unwrap();
    file.set_len(1 << 30).unwrap();
    attacked.put("large", vec![vec![large]; 50]);
    // One piece again and again, in one segment and in many.
    attacked.put("repeated", vec![vec![zeros.clone(); 50_000]]);
    attacked.put(
        "in many",
        (1..=5)
            .flat_map(|n| vec![vec![zeros.clone(); n]; 800])
            .collect(),
    );
    // An entry that is a gigabyte, one of nothing but parts, one that is none.
    attacked.revision += 1;
    let path = attacked.path("log", &format!("{:020}", attacked.revision));
    fs::File::create(path).unwrap().set_len(1 << 30).unwrap();
    let mut parts = vec![0x0a, 0x80, 0x80, 0x80, 0x01];
    parts.extend([0x2a, 0].repeat(1 << 20));
    attacked.entry(&parts);
    attacked.entry(b"nothing of the kind");
    // A change that says no numbers, behind entries that are lost.
    attacked.put("unnumbered", vec![vec![zeros]]);

    // Deployments and new workers go on, and who served before does.
    attacked.deploy("two").ok();
    let second = attacked.worker();
    for worker in [&first, &second] {
        until("the new version", || {
            (worker.launch("greet", &json!(null)).result() == "two").then_some(())
        });
        let log = worker.logs();
        assert!(log.contains("REGISTRY_SEGMENT_SIZE_BYTES_MAX"), "{log}");
        let peak = worker.peak_memory_kib();
        assert!(peak < MEMORY_KIB_MAX, "a worker took {peak} KiB");
    }
}

const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// What nobody can decode, from a client without a key.
fn sealed() -> Payload {
    victim::payload("binary/encrypted", b"nothing of the kind")
}

fn signal(project: &Project, payload: Payload) {
    let registry = WorkflowRef::new("segno-registry", None);
    wait(project.client.signal(&registry, "change", vec![payload])).unwrap();
}

fn change(change: &Change) -> Payload {
    victim::bytes(&change.encode_to_vec())
}

/// A change on top of one that cannot be read looks as if this client lacked a key. Anybody can forge it without a key, and nobody with one.
#[test]
fn a_client_without_a_key_stops_no_deployment() {
    let project = Project::deployed();
    let base = project.catalog().revision() + 1;
    let forged = Change {
        id: "forged".to_owned(),
        base,
        ..Change::default()
    };
    signal(&project, sealed());
    signal(&project, change(&forged));
    project.write("greet", "three");
    project.deploy().ok();

    // Whoever made this one has our key, and others that we lack.
    let key = project.folder.path().join("key");
    fs::write(&key, KEY).unwrap();
    let keyring = Keyring::new(vec![Key::read("k", KEY.as_bytes()).unwrap()]).unwrap();
    let codec = Codec::new(vec![Stage::Encryption(keyring)]);
    let plain = change(&Change {
        id: "sealed".to_owned(),
        base: project.catalog().revision() + 1,
        ..Change::default()
    });
    let encoded = wait(codec.encode_payloads(vec![payload_to_proto(plain)])).unwrap();
    signal(&project, payload_from_proto(encoded[0].clone()));
    project.write("greet", "four");
    let folder = project.folder.path().to_str().unwrap();
    let keys = format!("--codec-key=k={}", key.display());
    let run = project.segno(&["deploy", folder, "--yes", &keys]);
    assert!(
        run.code == 1 && run.stderr.contains("pass the codecs and keys"),
        "{run:#?}"
    );
    project.deploy().ok();
}

/// They name it, and what else is there is checked and exported.
#[test]
fn data_that_nobody_can_decode_stops_neither_verify_nor_export() {
    let project = Project::deployed();
    let hash = vec![9; 32];
    let start = StartOptions {
        workflow_type: "segno-registry-data".to_owned(),
        workflow_id: Some(format!("segno-registry-data/{}", "09".repeat(32))),
        task_queue: "segno-registry-data".to_owned(),
        input: vec![sealed()],
        ..StartOptions::default()
    };
    wait(project.client.start(start)).unwrap();
    let put = Put {
        workflow: "sealed".to_owned(),
        digest: vec![7; 32],
        segment: Some(Data { pieces: vec![hash] }),
        number: 1,
        ..Put::default()
    };
    let forged = Change {
        id: "forged".to_owned(),
        base: project.catalog().revision(),
        project: "strangers".to_owned(),
        puts: vec![put],
        ..Change::default()
    };
    signal(&project, change(&forged));
    let found = damages(&project.verify());
    let is_told =
        |damage: &String| damage.starts_with("sealed@1: it is encoded as binary/encrypted");
    assert!(found.iter().any(is_told), "{found:#?}");
    let file = project.folder.path().join("export.json");
    let export = [
        "definitions",
        "export",
        file.to_str().unwrap(),
        "--output",
        "json",
    ];
    let exported = project.segno(&export);
    assert_eq!(exported.json()["unreadable"], json!(["sealed@1"]));
    assert_eq!(exported.json()["versions"], 4);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("return: two"), "{text}");
    assert!(exported.stderr.contains("sealed@1"), "{exported:#?}");
}
