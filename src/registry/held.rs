//! Bounds the memory of the definitions that a worker keeps.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::Entry;
use crate::limits::DEFINITIONS_SUPERSEDED_MAX;
use crate::source::Sources;

/// The rest of a bound on memory, by an estimate.
pub(super) struct Budget {
    left: usize,
    /// Addresses of the texts that are counted: definitions share those of libraries.
    texts: HashSet<usize>,
    /// The texts of a folder's definitions are shared.
    last: Option<Sources>,
}

impl Budget {
    /// The rest of a bound, after definitions that are kept in any case.
    pub(crate) fn beside<'a>(max: usize, kept: impl IntoIterator<Item = &'a Entry>) -> Budget {
        let mut budget = Budget {
            left: max,
            texts: HashSet::new(),
            last: None,
        };
        for entry in kept {
            budget.left = budget.left.saturating_sub(budget.memory_bytes(entry));
        }
        budget
    }

    /// Counts one more, if it fits.
    pub(crate) fn takes(&mut self, entry: &Entry) -> bool {
        let memory_bytes = self.memory_bytes(entry);
        let left = self.left.checked_sub(memory_bytes);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }

    /// Its program, its packed bundle, which is kept twice, and its texts, each of them once.
    fn memory_bytes(&mut self, entry: &Entry) -> usize {
        let program = &entry.loaded.program;
        let mut memory_bytes = program.memory_bytes + 2 * entry.bundle.bytes.len();
        let is_counted = |last: &Sources| last.is_same(&program.sources);
        if !self.last.as_ref().is_some_and(is_counted) {
            for (_, file) in program.sources.files() {
                if self.texts.insert(Arc::as_ptr(&file.text).addr()) {
                    memory_bytes += file.memory_bytes();
                }
            }
            self.last = Some(program.sources.clone());
        }
        memory_bytes
    }
}

/// Drops the oldest superseded definitions that are too many, or do not fit beside those in force.
pub(super) fn let_go<'a>(
    superseded: &mut VecDeque<Entry>,
    max: usize,
    in_force: impl IntoIterator<Item = &'a Entry>,
) {
    let mut budget = Budget::beside(max, in_force);
    let newest = superseded.iter().rev().take(DEFINITIONS_SUPERSEDED_MAX);
    let kept = newest.take_while(|entry| budget.takes(entry)).count();
    superseded.drain(..superseded.len() - kept);
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::mpsc::channel;

    use super::super::folder::Change;
    use super::super::pack::load;
    use super::super::{Folder, Registry};
    use super::*;
    use crate::bundle::{Bundle, BundleFile, Versions};

    pub(crate) const MAX: usize = 200_000;

    /// The second of these sizes is too large for `MAX`.
    pub(crate) const SIZES: [usize; 2] = [1_000, 100_000];

    fn definition(workflow: &str, size: usize) -> String {
        let text = "x".repeat(size);
        format!("segno: 1\nworkflow: {workflow}\nsteps:\n  - return: {text}\n")
    }

    pub(crate) fn bundle(workflow: &str, size: usize, library: Option<&str>) -> Bundle {
        let file = |path: &str, text: String| BundleFile {
            path: path.into(),
            text: text.into(),
        };
        let mut text = definition(workflow, size);
        if library.is_some() {
            text.push_str("use: [library.yaml]\n");
        }
        let library = library.map(|text| file("library.yaml", text.to_owned()));
        let entry = file("entry.yaml", text);
        let library = library.into_iter().collect();
        Bundle::from_files(workflow, Versions::NEWEST, entry, 0, library).unwrap()
    }

    fn entry(workflow: &str, size: usize, library: Option<&str>) -> Entry {
        let loaded = load(&bundle(workflow, size, library).encode().unwrap()).unwrap();
        Entry {
            bundle: Arc::new(loaded.bundle.clone()),
            loaded,
        }
    }

    #[test]
    fn a_folder_that_becomes_too_large_keeps_what_it_serves() {
        let folder = tempfile::tempdir().unwrap();
        let write = |workflow: &str, size: usize| {
            let path = folder.path().join(format!("{workflow}.yaml"));
            std::fs::write(path, definition(workflow, size)).unwrap();
        };
        let [small, large] = SIZES;
        write("a", small);
        let (told, changes) = channel();
        let served = Folder::open_within(folder.path(), MAX, move |change| {
            told.send(change).unwrap();
        })
        .unwrap();
        let digest = served.for_new_run("a", "").unwrap().bundle.digest.clone();
        for workflow in ["b", "a"] {
            write(workflow, large);
            let (stays, diagnostics) = loop {
                if let Change::Broken {
                    stays, diagnostics, ..
                } = changes.recv().unwrap()
                {
                    break (stays, diagnostics);
                }
            };
            assert_eq!(stays.is_empty(), workflow == "b");
            let help = &diagnostics[0].help[0];
            assert!(help.contains("DEFINITIONS_MEMORY_BYTES_MAX"), "{help}");
        }
        assert_eq!(served.workflow_types(), ["a"]);
        assert_eq!(served.for_new_run("a", "").unwrap().bundle.digest, digest);
        write("c", small);
        while served.for_new_run("c", "").is_none() {
            changes.recv().unwrap();
        }
    }

    #[test]
    fn a_text_counts_once() {
        let library = format!("segno: 1\n# {}\nblocks: {{}}\n", "x".repeat(MAX / 2));
        let [small, _] = SIZES;
        let first = entry("a", small, Some(&library));
        let mut budget = Budget::beside(MAX, [&first]);
        assert!(budget.takes(&entry("b", small, Some(&library))));
        let other = library.replace('x', "y");
        assert!(!budget.takes(&entry("c", small, Some(&other))));
    }

    #[test]
    fn superseded_definitions_are_kept_as_long_as_they_fit() {
        let [small, _] = SIZES;
        let entries = (0..30).map(|i| entry(&format!("w{i}"), small, None));
        let mut superseded: VecDeque<Entry> = entries.collect();
        let in_force = entry("in-force", small, None);
        let_go(&mut superseded, MAX, [&in_force]);
        let kept = superseded.len();
        assert!((5..30).contains(&kept), "{kept}");
        assert_eq!(&*superseded[kept - 1].loaded.program.workflow, "w29");
        let_go(&mut superseded, 0, [&in_force]);
        assert!(superseded.is_empty());
    }
}
