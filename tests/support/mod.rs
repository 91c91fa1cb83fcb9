//! A real Temporal server, real workers and the real command line, for tests. Everything that is started here ends with
//! the test process, however that ends.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod characters;
pub mod cluster;
pub mod collector;
pub mod endpoint;
pub mod gateway;
pub mod golden;
pub mod run;
pub mod s3;
pub mod worker;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Nothing in a test waits for longer than this: it is there to end what hangs, not to measure.
pub const PATIENCE: Duration = Duration::from_secs(300);

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn segno() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_segno"))
}

/// Asks again until there is an answer; says what was awaited when patience ends.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "{what} did not happen within {PATIENCE:?}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A port that nobody listens on, for a server that is started a moment later. It is below those that systems give to connections and to
/// listeners without a port of their own: one of those might be taken meanwhile. Test binaries that run beside each other
/// look in different places.
pub fn free_port() -> u16 {
    const FIRST: u32 = 11_000;
    const PER_PROCESS: u32 = 100;
    const PROCESSES: u32 = 200;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let own = FIRST + std::process::id() % PROCESSES * PER_PROCESS;
    (0..PER_PROCESS)
        .map(|_| own + TAKEN.fetch_add(1, Ordering::Relaxed) % PER_PROCESS)
        .map(|port| u16::try_from(port).unwrap())
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a port is free")
}
