//! A library that sets the clock of the day of whoever loads it, on Linux.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::support::root;

/// Made once, by the C compiler that links Rust's programs too.
pub fn library() -> Option<PathBuf> {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    if !cfg!(target_os = "linux") {
        return None;
    }
    let made = MADE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = folder.join("clock.so");
        let unfinished = tempfile::NamedTempFile::new_in(folder).unwrap();
        let mut compiler = Command::new("cc");
        compiler
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(unfinished.path())
            .arg(root().join("tests/hunt/clock.c"))
            .arg("-ldl");
        let status = compiler.status();
        assert!(status.is_ok_and(|s| s.success()), "{compiler:?} fails");
        unfinished.persist(&path).unwrap();
        path
    });
    Some(made.clone())
}
