//! Finds the files of a folder, by one rule for all that read folders: `segno lint`, `test`, `replay` and `deploy`, and
//! workers.
//!
//! Folders within it are searched too, `DEFINITION_FOLDERS_DEPTH_MAX` deep, except those whose names begin with a dot.
//! A link to a file counts as the file: that is how configuration is mounted into containers. A link to a folder is not
//! followed, since it may lead in a circle, and a broken link is ignored.

use std::fmt;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use crate::limits::DEFINITION_FOLDERS_DEPTH_MAX;

/// A wanted file, or a path below the folder that cannot be read.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    /// Metadata of the file itself, links followed.
    pub(crate) metadata: Result<Metadata, Fault>,
}

/// Why a path cannot be read.
#[derive(Debug)]
pub(crate) enum Fault {
    Folder(io::Error),
    File(io::Error),
    /// A FIFO, a device or a socket.
    Irregular,
    /// A folder that is nested in too many others.
    TooDeep,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Folder(error) | Fault::File(error) => error.fmt(f),
            Fault::Irregular => f.write_str("it is not a regular file"),
            Fault::TooDeep => write!(
                f,
                "it is nested in more folders than DEFINITION_FOLDERS_DEPTH_MAX ({DEFINITION_FOLDERS_DEPTH_MAX})"
            ),
        }
    }
}

/// The wanted files below a folder, in the order of their paths. A path that cannot be read does not hide the others;
/// only if the folder itself cannot be read is there an error.
pub(crate) fn walk(root: &Path, is_wanted: &dyn Fn(&Path) -> bool) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut folders = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let faulty = |path: PathBuf, fault| Found {
            path,
            metadata: Err(fault),
        };
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if depth == 0 => return Err(error),
            // Removed since it was found.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                found.push(faulty(folder, Fault::Folder(error)));
                continue;
            }
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    found.push(faulty(folder.clone(), Fault::Folder(error)));
                    break;
                }
            };
            let path = entry.path();
            // Removed since it was found.
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
            match (kind.is_dir(), is_hidden) {
                (true, true) => {}
                (true, false) if depth == DEFINITION_FOLDERS_DEPTH_MAX => {
                    found.push(faulty(path, Fault::TooDeep));
                }
                (true, false) => folders.push((path, depth + 1)),
                (false, _) if is_wanted(&path) => found.extend(file(path)),
                (false, _) => {}
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// A file, through links. A folder or a missing path is `None`.
pub(crate) fn file(path: PathBuf) -> Option<Found> {
    let metadata = match std::fs::metadata(&path) {
        Ok(data) if data.is_file() => Ok(data),
        Ok(data) if data.is_dir() => return None,
        Ok(_) => Err(Fault::Irregular),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => Err(Fault::File(error)),
    };
    Some(Found { path, metadata })
}

/// Whether a file's name is that of a definition, a library or a test.
pub(crate) fn is_yaml(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".yaml") || name.ends_with(".yml")
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::{create_dir_all, write};
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn every_reader_of_a_folder_finds_the_same_files() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for folder in [".hidden", "below/more.yaml"] {
            create_dir_all(at(folder)).unwrap();
        }
        for file in ["a.yaml", "b.yml", ".c.yaml", "d.txt", ".hidden/e.yaml"] {
            write(at(file), "").unwrap();
        }
        write(at("below/more.yaml/f.yaml"), "").unwrap();
        for (to, link) in [
            ("d.txt", "file.yaml"),
            ("missing", "nowhere.yaml"),
            ("circle.yaml", "circle.yaml"),
            ("below", "folder.yaml"),
            (".", "around"),
        ] {
            symlink(to, at(link)).unwrap();
        }
        let _socket = UnixListener::bind(at("socket.yaml")).unwrap();
        let depths = 0..=DEFINITION_FOLDERS_DEPTH_MAX;
        let deep = depths.fold(at("deep"), |path, _| path.join("d"));
        create_dir_all(&deep).unwrap();
        write(deep.join("g.yaml"), "").unwrap();

        let found = walk(root.path(), &is_yaml).unwrap();
        let told = found.iter().map(|found| {
            let path = found.path.strip_prefix(root.path()).unwrap().display();
            match &found.metadata {
                Ok(_) => path.to_string(),
                Err(Fault::File(_)) => format!("{path} unreadable"),
                Err(Fault::Folder(_)) => format!("{path} unreadable folder"),
                Err(Fault::Irregular) => format!("{path} irregular"),
                Err(Fault::TooDeep) => "too deep".to_owned(),
            }
        });
        let expected = [
            ".c.yaml",
            "a.yaml",
            "b.yml",
            "below/more.yaml/f.yaml",
            "circle.yaml unreadable",
            "too deep",
            "file.yaml",
            "socket.yaml irregular",
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected);
        assert!(walk(&at("missing"), &is_yaml).is_err());
    }
}
