//! The files that definitions `use`: those of their folder, and those outside it within the git repository around the
//! folder.

use std::io;
use std::path::{Path, PathBuf};

/// The prefix of keys outside the folder of the definitions.
pub(crate) const OUT: &str = "../";

/// The folder that must contain a used file: the repository, if a path leads outside the folder. A link in the folder
/// may not leave the folder.
pub(crate) fn bounds(folder: &Path, key: &str) -> io::Result<PathBuf> {
    let folder = folder.canonicalize()?;
    if !key.starts_with(OUT) {
        return Ok(folder);
    }
    let mut around = folder.ancestors();
    // A work tree has a file of this name, and a repository a folder.
    let found = around.find(|folder| folder.join(".git").exists());
    Ok(found.unwrap_or(&folder).to_owned())
}

/// The paths of a bundle's files, from their keys. If there are files outside the folder, all are relative to the
/// lowest folder that contains them, which older workers can read.
pub(crate) fn paths(folder: &Path, keys: &[&str]) -> io::Result<Vec<String>> {
    let ups = |key: &&str| key.split('/').take_while(|part| *part == "..").count();
    let up = keys.iter().map(ups).max().unwrap_or_default();
    if up == 0 {
        return Ok(keys.iter().map(|key| (*key).to_owned()).collect());
    }
    let folder = folder.canonicalize()?;
    let names = folder
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned());
    let names: Vec<String> = names.collect();
    // The folder's own names below the lowest folder.
    let own = &names[names.len().saturating_sub(up)..];
    let path = |key: &&str| {
        let ups = ups(key);
        let inside = key.split('/').skip(ups).map(str::to_owned);
        let above = own[..own.len().saturating_sub(ups)].iter().cloned();
        above.chain(inside).collect::<Vec<_>>().join("/")
    };
    Ok(keys.iter().map(path).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Fetched;
    use crate::registry::fetch;

    fn is_there(folder: &Path, key: &str) -> bool {
        let shown = |path: &Path| path.display().to_string();
        matches!(fetch(folder, key, &shown), Fetched::File(_))
    }

    #[test]
    fn a_bundle_is_relative_to_the_lowest_folder_that_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let orders = folder.path().join("teams/orders");
        std::fs::create_dir_all(&orders).unwrap();
        for (keys, expected) in [
            (
                &["order.yaml", "parts/a.yaml"][..],
                &["order.yaml", "parts/a.yaml"][..],
            ),
            (
                &["order.yaml", "../all.yaml"],
                &["orders/order.yaml", "all.yaml"],
            ),
            (
                &["order.yaml", "../all.yaml", "../../shared/x.yaml"],
                &["teams/orders/order.yaml", "teams/all.yaml", "shared/x.yaml"],
            ),
        ] {
            assert_eq!(paths(&orders, keys).unwrap(), expected);
        }
    }

    #[test]
    fn use_stays_within_the_repository_and_without_one_within_the_folder() {
        let root = tempfile::tempdir().unwrap();
        let orders = root.path().join("repository/orders");
        std::fs::create_dir_all(&orders).unwrap();
        let write = |path: &str| std::fs::write(root.path().join(path), path).unwrap();
        write("outside.yaml");
        write("repository/shared.yaml");
        write("repository/orders/own.yaml");
        let is_there = |key: &str| is_there(&orders, key);
        assert!(is_there("own.yaml") && !is_there("../shared.yaml"));
        std::fs::create_dir(root.path().join("repository/.git")).unwrap();
        assert!(is_there("own.yaml") && is_there("../shared.yaml"));
        assert!(!is_there("../../outside.yaml") && !is_there("../orders"));
    }

    #[cfg(unix)]
    #[test]
    fn links_do_not_lead_out() {
        let root = tempfile::tempdir().unwrap();
        let orders = root.path().join("repository/orders");
        std::fs::create_dir_all(&orders).unwrap();
        std::fs::create_dir(root.path().join("repository/.git")).unwrap();
        std::fs::write(root.path().join("outside.yaml"), "").unwrap();
        std::fs::write(root.path().join("repository/shared.yaml"), "").unwrap();
        let link = std::os::unix::fs::symlink::<PathBuf, PathBuf>;
        link(
            root.path().join("outside.yaml"),
            root.path().join("repository/out.yaml"),
        )
        .unwrap();
        link(
            root.path().join("repository/shared.yaml"),
            orders.join("in.yaml"),
        )
        .unwrap();
        let is_there = |key: &str| is_there(&orders, key);
        assert!(is_there("../shared.yaml"));
        assert!(!is_there("../out.yaml") && !is_there("in.yaml"));
    }
}
