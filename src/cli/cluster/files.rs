//! The files in folders, however deep; folders whose names begin with a dot are left alone.

use std::path::{Path, PathBuf};

pub fn walk(
    folder: &Path,
    is_wanted: &dyn Fn(&Path) -> bool,
    files: &mut Vec<PathBuf>,
) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            if !entry.file_name().to_string_lossy().starts_with('.') {
                walk(&entry.path(), is_wanted, files)?;
            }
        } else if is_wanted(&entry.path()) {
            files.push(entry.path());
        }
    }
    Ok(())
}
