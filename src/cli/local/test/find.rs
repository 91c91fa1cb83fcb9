//! The test files of paths, read, and the definitions beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::error::CliError;
use crate::diagnostic::Diagnostic;
use crate::limits::DEFINITION_SIZE_BYTES_MAX;
use crate::registry::{Entry, read_folder_whole};
use crate::source::folder::{is_yaml, walk};
use crate::source::{Sources, regular};
use crate::testing::{Definitions as Beside, TestFile, is_test, read};

/// A test file.
pub(crate) struct Suite {
    pub(crate) path: PathBuf,
    /// Its name in reports.
    pub(crate) shown: String,
    pub(crate) file: TestFile,
    pub(crate) definitions: Arc<BTreeMap<String, Entry>>,
}

pub(crate) struct Found {
    pub(crate) suites: Vec<Suite>,
    /// The definitions whose coverage is measured: all of a folder, or those that a named file tests.
    pub(crate) measured: Vec<Entry>,
    /// The sources of the test files.
    pub(crate) sources: Sources,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Once for each folder, however many of its test files are named.
    pub(crate) definitions: Vec<Definitions>,
    /// The number of test files.
    pub(crate) files: usize,
}

/// The diagnostics of a folder's definitions.
pub(crate) struct Definitions {
    pub(crate) sources: Sources,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// The number of files with definitions.
    pub(crate) files: usize,
}

impl Found {
    pub(crate) fn has_errors(&self) -> bool {
        let of_definitions = self.definitions.iter();
        let of_definitions = of_definitions.flat_map(|found| &found.diagnostics);
        self.diagnostics
            .iter()
            .chain(of_definitions)
            .any(Diagnostic::is_error)
    }
}

/// The folder of the definitions that a test tests.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.is_dir() {
        true => path,
        false => path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new(".")),
    }
}

/// Everything that a run of the tests reads, except snapshots.
pub(crate) fn contents(paths: &[PathBuf]) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for path in paths {
        // What cannot be read is reported when the tests run.
        let found = walk(folder_of(path), &is_yaml).unwrap_or_default();
        files.extend(found.into_iter().map(|found| found.path));
    }
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let bytes = regular::read(&file, DEFINITION_SIZE_BYTES_MAX).unwrap_or_default();
            (file, bytes)
        })
        .collect()
}

pub(crate) fn find(paths: &[PathBuf]) -> Result<Found, CliError> {
    let mut found = Found {
        suites: Vec::new(),
        measured: Vec::new(),
        sources: Sources::default(),
        diagnostics: Vec::new(),
        definitions: Vec::new(),
        files: 0,
    };
    let mut folders = BTreeMap::new();
    let mut known = BTreeSet::new();
    for path in paths {
        let mut files = Vec::new();
        if path.is_dir() {
            for test in walk(path, &is_test).map_err(|e| unreadable(path, &e))? {
                test.metadata
                    .map_err(|fault| unreadable(&test.path, &fault))?;
                files.push(test.path);
            }
        } else if path.is_file() && !is_test(path) {
            return Err(no_test(path));
        } else {
            files.push(path.clone());
        }
        // A file that is named twice, or with its folder, counts once.
        files.retain(|file| known.insert(file.canonicalize().unwrap_or_else(|_| file.clone())));
        if files.is_empty() {
            continue;
        }
        let folder = folder_of(path);
        let definitions = match folders.get(folder) {
            Some(definitions) => Clone::clone(definitions),
            None => {
                let definitions = found.read_definitions(folder)?;
                folders.insert(folder.to_owned(), definitions.clone());
                definitions
            }
        };
        let before = found.suites.len();
        for file in files {
            found.add(file, &definitions)?;
        }
        let tested = found.suites[before..].iter();
        let tested =
            tested.filter_map(|suite| definitions.entries().get(&*suite.file.workflow.value));
        let tested: Vec<Entry> = tested.cloned().collect();
        found.measured.extend(match path.is_dir() {
            true => definitions.entries().values().cloned().collect(),
            false => tested,
        });
    }
    Ok(found)
}

impl Found {
    fn read_definitions(&mut self, folder: &Path) -> Result<Arc<Beside>, CliError> {
        let read = read_folder_whole(folder).map_err(CliError::new)?;
        let diagnostics = read.diagnostics().cloned().collect();
        self.definitions.push(Definitions {
            sources: read.sources,
            diagnostics,
            files: read.files,
        });
        let definitions = read.definitions.into_iter();
        let definitions = definitions.map(|(name, (entry, _))| (name, entry));
        Ok(Arc::new(Beside::new(definitions.collect())))
    }

    fn add(&mut self, path: PathBuf, definitions: &Beside) -> Result<(), CliError> {
        self.files += 1;
        let shown = path
            .strip_prefix(".")
            .unwrap_or(&path)
            .display()
            .to_string();
        let bytes = regular::read(&path, DEFINITION_SIZE_BYTES_MAX);
        let bytes = bytes.map_err(|e| unreadable(&path, &e))?;
        let (files, diagnostics) = read(&mut self.sources, &shown, &bytes, definitions);
        self.diagnostics.extend(diagnostics);
        self.suites.extend(files.into_iter().map(|file| Suite {
            path: path.clone(),
            shown: shown.clone(),
            file,
            definitions: definitions.entries().clone(),
        }));
        Ok(())
    }
}

fn no_test(path: &Path) -> CliError {
    let error = CliError::usage(format!("{} is not a test file", path.display()));
    let tests = path.with_extension("test.yaml");
    error.help(match tests.is_file() {
        true => format!("its tests are in {}", tests.display()),
        false => format!(
            "the tests of a definition are in NAME.test.yaml: {}",
            tests.display()
        ),
    })
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> CliError {
    CliError::usage(format!("cannot read {}: {error}", path.display()))
}
