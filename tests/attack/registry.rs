//! Entries of a registry that whoever can write to its folder makes up: nothing stops workers or deployments.

use std::fs;
use std::path::PathBuf;

use prost::Message;
use segno::catalog::{Change, Data, LogEntry, Put, Segment};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::support::cluster::Cluster;
use super::support::run::Run;
use super::support::until;
use super::support::worker::Worker;
use super::victim::{ALLOCATOR, DATA_SIZE_BYTES_MAX, MEMORY_KIB_MAX};

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
        let worker = Worker::of_deployed_with(&["--registry", &self.registry()], &[ALLOCATOR]);
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
