//! Simulations that are held to the real server.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use segno::registry::{Entry, Registry, read_folder};
use segno::simulator::{Outside, Setup, Simulator};
use segno::value::Timestamp;
use segno::worker::ProgramCache;

/// The sound ones of a folder, by their workflow types.
pub fn definitions(folder: &Path) -> BTreeMap<String, Entry> {
    let found = read_folder(folder).unwrap().definitions.into_iter();
    found.map(|(name, (entry, _))| (name, entry)).collect()
}

/// Where nothing says when it begins.
pub fn some_time() -> Timestamp {
    Timestamp::parse("2026-01-01T00:00:00Z").unwrap()
}

pub fn simulator(
    start_time: Timestamp,
    task_queue: &str,
    registry: Arc<dyn Registry>,
    outside: impl Outside + 'static,
) -> Simulator {
    let setup = Setup {
        start_time,
        namespace: "default".to_owned(),
        task_queue: task_queue.to_owned(),
        ids: 0,
    };
    let programs = Arc::new(ProgramCache::new(registry.clone()));
    Simulator::new(setup, registry, programs, Box::new(outside))
}
