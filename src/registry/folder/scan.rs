//! Reads a folder of definitions; a path that cannot be read is reported and does not prevent the others from being
//! read.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::limits::DEFINITION_SIZE_BYTES_MAX;
use crate::load::{Fetched, Unread, Unreadable};
use crate::registry::used;
use crate::source::folder::{self, Found};
use crate::source::regular;

/// A file, with the attributes that reveal a change; or a file or folder that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) path: PathBuf,
    size: u64,
    modified: Option<SystemTime>,
    /// When it or its permissions changed: an unreadable file may be readable afterwards.
    changed: Option<(i64, i64)>,
    /// Why it cannot be read, as far as that is known without reading it.
    pub(crate) fault: Option<String>,
}

impl Seen {
    fn of(found: Found) -> Seen {
        match found.metadata {
            Ok(data) => Seen {
                path: found.path,
                size: data.len(),
                modified: data.modified().ok(),
                changed: changed(&data),
                fault: None,
            },
            Err(fault) => Seen {
                path: found.path,
                size: 0,
                modified: None,
                changed: None,
                fault: Some(fault.to_string()),
            },
        }
    }
}

/// The folder's YAML files, in order, without tests.
pub(crate) fn look(root: &Path) -> io::Result<Vec<Seen>> {
    let is_wanted = |path: &Path| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        folder::is_yaml(path) && !stem.ends_with(".test")
    };
    let found = folder::walk(root, &is_wanted)?;
    Ok(found.into_iter().map(Seen::of).collect())
}

pub(crate) fn seen(path: PathBuf) -> Option<Seen> {
    folder::file(path).map(Seen::of)
}

#[cfg(unix)]
fn changed(data: &std::fs::Metadata) -> Option<(i64, i64)> {
    use std::os::unix::fs::MetadataExt;
    Some((data.ctime(), data.ctime_nsec()))
}

#[cfg(not(unix))]
fn changed(_: &std::fs::Metadata) -> Option<(i64, i64)> {
    None
}

pub(crate) fn key(root: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(root).unwrap_or(path);
    let parts = inside
        .components()
        .map(|part| part.as_os_str().to_string_lossy());
    parts.collect::<Vec<_>>().join("/")
}

/// Reads one byte past the limit, enough to detect an oversized file.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    regular::read(path, DEFINITION_SIZE_BYTES_MAX)
}

/// A file that a definition uses; one that a link leads out of bounds counts as missing.
pub(crate) fn fetch(root: &Path, key: &str, shown: &dyn Fn(&Path) -> String) -> Fetched {
    let path = root.join(key);
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Fetched::Missing,
        _ => Fetched::Unreadable(Unreadable {
            key: key.into(),
            path: shown(&path).into(),
            reason: error.to_string(),
        }),
    };
    let is_inside = path
        .canonicalize()
        .and_then(|path| Ok(path.starts_with(used::bounds(root, key)?)));
    match is_inside {
        Ok(true) => {}
        Ok(false) => return Fetched::Missing,
        Err(error) => return unreadable(error),
    }
    match read(&path) {
        Ok(bytes) => Fetched::File(Unread {
            key: key.into(),
            path: shown(&path).into(),
            bytes,
        }),
        Err(error) => unreadable(error),
    }
}
