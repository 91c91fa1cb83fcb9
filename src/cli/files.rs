//! The files in folders, however deep; folders whose names begin with a dot are left alone.

use std::io;
use std::path::{Path, PathBuf};

use crate::limits::DEFINITION_FOLDERS_DEPTH_MAX;

pub fn walk(
    folder: &Path,
    is_wanted: &dyn Fn(&Path) -> bool,
    files: &mut Vec<PathBuf>,
) -> io::Result<()> {
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            if !entry.file_type()?.is_dir() {
                files.extend(is_wanted(&path).then_some(path));
            } else if !entry.file_name().to_string_lossy().starts_with('.') {
                if depth == DEFINITION_FOLDERS_DEPTH_MAX {
                    return Err(io::Error::other(format!(
                        "{} is in more folders than DEFINITION_FOLDERS_DEPTH_MAX ({DEFINITION_FOLDERS_DEPTH_MAX})",
                        path.display()
                    )));
                }
                folders.push((path, depth + 1));
            }
        }
    }
    Ok(())
}
