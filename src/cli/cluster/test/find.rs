//! The test files of paths, read, and the definitions beside them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::files::walk;
use crate::cli::output::CliError;
use crate::diagnostic::Diagnostic;
use crate::limits::DEFINITION_SIZE_BYTES_MAX;
use crate::registry::{Entry, read_folder};
use crate::source::Sources;
use crate::source::regular;
use crate::testing::{TestFile, is_test, read};

/// A test file.
pub struct Suite {
    pub path: PathBuf,
    /// As reports name it.
    pub shown: String,
    pub file: TestFile,
    pub definitions: BTreeMap<String, Entry>,
}

pub struct Found {
    pub suites: Vec<Suite>,
    /// Whose coverage is measured: all definitions of a folder, those that a named file tests.
    pub measured: Vec<Entry>,
    /// Of the test files.
    pub sources: Sources,
    pub diagnostics: Vec<Diagnostic>,
    /// Of the definitions, with their sources.
    pub definitions: Vec<(Sources, Vec<Diagnostic>)>,
    pub files: usize,
}

impl Found {
    pub fn has_errors(&self) -> bool {
        let of_definitions = self.definitions.iter().flat_map(|(_, found)| found);
        self.diagnostics
            .iter()
            .chain(of_definitions)
            .any(Diagnostic::is_error)
    }
}

/// The folder whose definitions the tests of a path are of.
pub fn folder_of(path: &Path) -> &Path {
    match path.is_dir() {
        true => path,
        false => path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new(".")),
    }
}

/// All that a run of the tests reads but for snapshots.
pub fn contents(paths: &[PathBuf]) -> Vec<(PathBuf, Vec<u8>)> {
    let is_yaml = |path: &Path| path.extension().is_some_and(|e| e == "yaml" || e == "yml");
    let mut files = Vec::new();
    for path in paths {
        // What cannot be read now is told by the run.
        let _ = walk(folder_of(path), &is_yaml, &mut files);
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

pub fn find(paths: &[PathBuf]) -> Result<Found, CliError> {
    let mut found = Found {
        suites: Vec::new(),
        measured: Vec::new(),
        sources: Sources::default(),
        diagnostics: Vec::new(),
        definitions: Vec::new(),
        files: 0,
    };
    for path in paths {
        let mut files = Vec::new();
        if path.is_dir() {
            walk(path, &is_test, &mut files).map_err(|e| unreadable(path, &e))?;
            files.sort();
        } else if path.is_file() && !is_test(path) {
            return Err(no_test(path));
        } else {
            files.push(path.clone());
        }
        if files.is_empty() {
            continue;
        }
        let folder = folder_of(path);
        let read = read_folder(folder).map_err(CliError::new)?;
        let diagnostics = read.diagnostics().cloned().collect();
        let definitions: BTreeMap<String, Entry> = read
            .definitions
            .into_iter()
            .map(|(name, (entry, _))| (name, entry))
            .collect();
        found.definitions.push((read.sources, diagnostics));
        let before = found.suites.len();
        for file in files {
            found.add(file, &definitions)?;
        }
        let tested = found.suites[before..].iter();
        let tested = tested.filter_map(|suite| definitions.get(&*suite.file.workflow.value));
        let tested: Vec<Entry> = tested.cloned().collect();
        found.measured.extend(match path.is_dir() {
            true => definitions.into_values().collect(),
            false => tested,
        });
    }
    Ok(found)
}

impl Found {
    fn add(
        &mut self,
        path: PathBuf,
        definitions: &BTreeMap<String, Entry>,
    ) -> Result<(), CliError> {
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
            definitions: definitions.clone(),
        }));
        Ok(())
    }
}

fn no_test(path: &Path) -> CliError {
    let error = CliError::usage(format!("{} is no test file", path.display()));
    let tests = path.with_extension("test.yaml");
    error.help(match tests.is_file() {
        true => format!("its tests are in {}", tests.display()),
        false => format!(
            "the tests of a definition are in NAME.test.yaml: {}",
            tests.display()
        ),
    })
}

fn unreadable(path: &Path, error: &std::io::Error) -> CliError {
    CliError::usage(format!("cannot read {}: {error}", path.display()))
}
