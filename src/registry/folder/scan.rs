//! What is in a folder of definitions, whatever else is there: what cannot be read is told, and holds up nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::limits::{DEFINITION_FOLDERS_DEPTH_MAX, DEFINITION_SIZE_BYTES_MAX};
use crate::load::{Fetched, Unread, Unreadable};
use crate::registry::used;
use crate::source::regular;

/// A file, by what tells that it has changed; or a file or folder that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub path: PathBuf,
    size: u64,
    modified: Option<SystemTime>,
    /// When it or its permissions changed: what could not be read may be readable from then on.
    changed: Option<(i64, i64)>,
    /// Why it cannot be read, as far as that is known without reading.
    pub fault: Option<String>,
}

impl Seen {
    fn faulty(path: PathBuf, fault: impl Into<String>) -> Seen {
        Seen {
            path,
            size: 0,
            modified: None,
            changed: None,
            fault: Some(fault.into()),
        }
    }
}

/// The folder's YAML files, in order: no tests, nothing hidden.
pub fn look(root: &Path) -> io::Result<Vec<Seen>> {
    let mut files = Vec::new();
    let mut folders = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if depth == 0 => return Err(error),
            // Removed since it was seen.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                files.push(Seen::faulty(folder, error.to_string()));
                continue;
            }
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    files.push(Seen::faulty(folder.clone(), error.to_string()));
                    break;
                }
            };
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() {
                if !name.starts_with('.') {
                    match depth < DEFINITION_FOLDERS_DEPTH_MAX {
                        true => folders.push((path, depth + 1)),
                        false => files.push(Seen::faulty(path, too_deep())),
                    }
                }
                continue;
            }
            let stem = name
                .strip_suffix(".yaml")
                .or_else(|| name.strip_suffix(".yml"));
            if stem.is_some_and(|stem| !stem.ends_with(".test")) {
                files.extend(seen(path));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

pub fn too_deep() -> String {
    format!(
        "it is in more folders than DEFINITION_FOLDERS_DEPTH_MAX ({DEFINITION_FOLDERS_DEPTH_MAX})"
    )
}

/// Through links: that is how configuration is mounted into containers. A link to a folder is not followed: it may go in circles.
pub fn seen(path: PathBuf) -> Option<Seen> {
    match std::fs::metadata(&path) {
        Ok(data) if data.is_file() => Some(Seen {
            path,
            size: data.len(),
            modified: data.modified().ok(),
            changed: changed(&data),
            fault: None,
        }),
        Ok(data) if data.is_dir() => None,
        Ok(_) => Some(Seen::faulty(path, "it is not a regular file")),
        // A link that leads nowhere, or a file that is gone already.
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(Seen::faulty(path, error.to_string())),
    }
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

pub fn key(root: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(root).unwrap_or(path);
    let parts = inside
        .components()
        .map(|part| part.as_os_str().to_string_lossy());
    parts.collect::<Vec<_>>().join("/")
}

/// No more than what tells that a file is too large.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    regular::read(path, DEFINITION_SIZE_BYTES_MAX)
}

/// A file that a definition uses; one that a link leads out of bounds to is not there.
pub fn fetch(root: &Path, key: &str, shown: &dyn Fn(&Path) -> String) -> Fetched {
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
