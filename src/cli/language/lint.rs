//! `segno lint`: reports everything that can be known to be wrong before a run.

mod fix;
mod test_files;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;

use crate::cli::error::{CliError, End};
use crate::cli::print::{Format, Output};
use crate::compile;
use crate::definition::{Definition, Name};
use crate::diagnostic::Diagnostic;
use crate::limits::DEFINITION_SIZE_BYTES_MAX;
use crate::lint;
use crate::load::{self, Fetched, Loaded, Unread};
use crate::program::Schema;
use crate::report::{self, Report};
use crate::source::folder::{self, Fault};
use crate::source::{FileId, Range, Sources};
use fix::{Changed, Which};

const STDIN: &str = "<stdin>";

/// Report mistakes in definitions, with suggested fixes
///
/// Exit codes: 0 without errors, 1 with errors, 2 if the command line is wrong.
#[derive(Debug, Args)]
pub(crate) struct Lint {
    /// Definitions, or folders of them; `-` is standard input. In a folder, all *.yaml and *.yml files that contain a
    /// definition, and their tests, *.test.yaml
    #[arg(default_value = ".")]
    paths: Vec<PathBuf>,
    /// Exit with 1 on warnings too
    #[arg(long)]
    deny_warnings: bool,
    /// Apply the corrections that cannot change the meaning of a file; `--fix=unsafe` applies all
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "safe", value_name = "WHICH")]
    fix: Option<Which>,
    /// Print the corrections as a unified diff instead of applying them; exit code 1 if there are any
    #[arg(long)]
    diff: bool,
}

impl Lint {
    pub(crate) fn run(self, output: Output) -> Result<End, CliError> {
        let which = self.fix.or(self.diff.then_some(Which::Safe));
        let (checked, unwritten) = match which {
            None => (Checked::of(&self.paths, &Changed::new())?, false),
            Some(_) if self.paths.iter().any(|path| path.as_os_str() == "-") => {
                return Err(CliError::usage("standard input cannot be fixed")
                    .help("name a file, or leave out `--fix` and `--diff`"));
            }
            Some(_) if self.diff && output.is_json() => {
                return Err(
                    CliError::usage("`--diff` prints text only").help("leave out `--output`")
                );
            }
            Some(which) => {
                let fixed = fix::fix(&self.paths, which)?;
                if self.diff {
                    return fixed.print(output);
                }
                fixed.write(output)
            }
        };
        let diagnostics = checked.diagnostics.clone();
        let report = Report::new(&checked.sources, diagnostics, checked.count);
        print(&report, output)?;
        if which.is_none() {
            fix::advise(&checked, output);
        }
        let failed = unwritten
            || report.has_errors()
            || (self.deny_warnings && !report.diagnostics().is_empty());
        Ok(if failed { End::Failed } else { End::Done })
    }
}

/// The diagnostics of files.
struct Checked {
    sources: Sources,
    diagnostics: Vec<Diagnostic>,
    /// The number of named files.
    count: usize,
    /// The paths of the files that may be corrected, by the paths in messages.
    paths: BTreeMap<String, PathBuf>,
}

impl Checked {
    fn of(paths: &[PathBuf], changed: &Changed) -> Result<Checked, CliError> {
        let Files {
            root,
            unread,
            tests,
            paths,
        } = Files::find(paths, changed)?;
        let count = unread.len() + tests.len();
        let mut loaded = Loaded::default();
        loaded.add(unread);
        let asked = loaded.files.len();
        loaded.complete(&mut |key| fetch(&root, key));
        let mut diagnostics = check(&loaded, asked);
        diagnostics.extend(test_files::check(&tests, changed, &mut loaded.sources)?);
        // A library is checked as far as definitions use it.
        let is_checked =
            |file: FileId| (file.0 as usize) < asked && loaded.definitions(file).next().is_some();
        lint::allow::apply(&loaded.sources, &mut diagnostics, is_checked);
        Ok(Checked {
            sources: loaded.sources,
            diagnostics,
            count,
            paths,
        })
    }
}

fn print(report: &Report<'_>, output: Output) -> Result<(), CliError> {
    let format = match output.format {
        Format::Text => report::Format::Text,
        Format::Json => report::Format::Json,
        Format::Sarif => report::Format::Sarif,
        Format::Github => report::Format::Github,
    };
    output.report(report, format)
}

/// Diagnostics of the named files, and errors of the files that they use.
fn check(loaded: &Loaded, asked: usize) -> Vec<Diagnostic> {
    let mut diagnostics: Vec<_> = loaded
        .files
        .iter()
        .flat_map(|file| file.diagnostics.clone())
        .collect();
    let definitions: Vec<_> = (0..asked as u32)
        .map(FileId)
        .flat_map(|id| {
            loaded
                .definitions(id)
                .map(move |(_, definition)| (id, definition))
        })
        .collect();
    diagnostics.extend(duplicates(
        definitions.iter().map(|(_, definition)| &definition.name),
    ));
    let by_name: BTreeMap<&str, &(FileId, &Definition)> = definitions
        .iter()
        .map(|found| (&*found.1.name.value, found))
        .collect();
    // Each is compiled once, however many steps start the workflow.
    let schemas = Mutex::new(BTreeMap::<String, Option<Arc<Schema>>>::new());
    let input_of = |workflow: &str| {
        let (id, definition) = by_name.get(workflow)?;
        let mut schemas = schemas.lock().unwrap_or_else(PoisonError::into_inner);
        let known = schemas.entry(workflow.to_owned()).or_insert_with(|| {
            let used = loaded.used(*id, &definition.uses);
            compile::input_schema(definition, &used.libraries).map(Arc::new)
        });
        known.clone()
    };
    let found = load::in_parallel(&definitions, |(id, definition)| {
        load::bounded(*id, check_one(loaded, *id, definition, &input_of))
    });
    diagnostics.extend(found.into_iter().flatten());
    diagnostics
}

fn check_one(
    loaded: &Loaded,
    id: FileId,
    definition: &Definition,
    input_of: &lint::InputOf<'_>,
) -> Vec<Diagnostic> {
    let used = loaded.used(id, &definition.uses);
    let mut found = used.diagnostics;
    let compiled = compile::compile(definition, &used.libraries, &loaded.sources);
    // If something could not be read, diagnostics that follow from that are left out.
    let unread: Vec<_> = used
        .files
        .iter()
        .chain([&id])
        .flat_map(|id| loaded.file(*id).errors())
        .collect();
    let is_new = |d: &Diagnostic| {
        !unread.iter().any(|range| range.touches(d.range))
            && (unread.is_empty() || d.code != "missing-timeout")
    };
    found.extend(compiled.diagnostics.into_iter().filter(is_new));
    if unread.is_empty() && !found.iter().any(Diagnostic::is_error) {
        found.extend(lint::check(&lint::Subject {
            definition,
            libraries: &used.libraries,
            program: &compiled.program,
            uses: &compiled.uses,
            input_of,
        }));
    }
    found
}

/// Workflow types of more than one definition.
fn duplicates<'a>(names: impl Iterator<Item = &'a Name>) -> Vec<Diagnostic> {
    let mut first = BTreeMap::<&str, Range>::new();
    let mut found = Vec::new();
    for name in names.filter(|name| !name.value.is_empty()) {
        match first.get(&*name.value) {
            None => {
                first.insert(&name.value, name.range);
            }
            Some(first) => {
                let message = format!("two definitions name the workflow type `{}`", name.value);
                found.push(
                    Diagnostic::error("duplicate-workflow", name.range, message)
                        .annotate(*first, "the other definition")
                        .help("a worker can serve only one of them; rename one"),
                );
            }
        }
    }
    found
}

struct Files {
    /// The folder that a `use` may not leave.
    root: PathBuf,
    unread: Vec<Unread>,
    tests: Vec<Test>,
    /// The paths of both, by the paths in messages.
    paths: BTreeMap<String, PathBuf>,
}

/// A test file.
#[cfg_attr(
    not(feature = "cluster"),
    expect(dead_code, reason = "a build that cannot run tests finds none")
)]
struct Test {
    path: PathBuf,
    /// The folder of the definitions that it tests.
    folder: PathBuf,
}

impl Files {
    fn find(paths: &[PathBuf], changed: &Changed) -> Result<Files, CliError> {
        let mut found = Vec::new();
        let mut tests = Vec::new();
        for path in paths {
            if path.as_os_str() == "-" {
                found.push((PathBuf::from(STDIN), true));
            } else if path.is_dir() {
                for file in files_of(path)? {
                    match test_files::is_test(&file) {
                        true => tests.push(Test {
                            path: file,
                            folder: path.clone(),
                        }),
                        false => found.push((file, false)),
                    }
                }
            } else if test_files::is_test(path) {
                let folder = path.parent().filter(|folder| *folder != Path::new(""));
                tests.push(Test {
                    path: path.clone(),
                    folder: folder.unwrap_or(Path::new(".")).to_owned(),
                });
            } else {
                found.push((path.clone(), true));
            }
        }
        let root = root(paths)?;
        let mut unread = Vec::new();
        let mut by_shown: BTreeMap<_, _> = tests
            .iter()
            .map(|test| (shown(&test.path), test.path.clone()))
            .collect();
        let mut keys = BTreeSet::new();
        for (path, named) in found {
            let key = key(&root, &path);
            if !keys.insert(key.clone()) {
                continue;
            }
            let bytes = read(&path, changed)?;
            let is_definition = load::is_definition(&bytes);
            if is_definition {
                by_shown.insert(shown(&path), path.clone());
            }
            if named || is_definition {
                unread.push(Unread {
                    key: key.into(),
                    path: shown(&path).into(),
                    bytes,
                });
            }
        }
        if unread.is_empty() && tests.is_empty() {
            let paths: Vec<_> = paths
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            return Err(
                CliError::usage(format!("no definitions in {}", paths.join(", ")))
                    .help("a definition is a *.yaml or *.yml file with `segno: 1` in it"),
            );
        }
        Ok(Files {
            root,
            unread,
            tests,
            paths: by_shown,
        })
    }
}

/// The YAML files below a folder.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, CliError> {
    let unreadable = |path: &Path, error: &io::Error| {
        CliError::usage(format!(
            "cannot read the folder {}: {error}",
            path.display()
        ))
    };
    let found = folder::walk(path, &folder::is_yaml).map_err(|error| unreadable(path, &error))?;
    let paths = found.into_iter().map(|found| match found.metadata {
        Ok(_) => Ok(found.path),
        Err(Fault::Folder(error)) => Err(unreadable(&found.path, &error)),
        Err(fault) => Err(CliError::usage(format!(
            "cannot read {}: {fault}",
            found.path.display()
        ))),
    });
    paths.collect()
}

/// A single folder itself, or the current folder, or the lowest folder that contains all paths.
fn root(paths: &[PathBuf]) -> Result<PathBuf, CliError> {
    let absolute = |path: &Path| std::path::absolute(path).map(|path| normal(&path));
    let current = absolute(Path::new(".")).map_err(CliError::new)?;
    if let [path] = paths
        && path.is_dir()
    {
        return absolute(path).map_err(CliError::new);
    }
    let mut root = current;
    for path in paths.iter().filter(|path| path.as_os_str() != "-") {
        let path = absolute(path).map_err(CliError::new)?;
        while !path.starts_with(&root) {
            root.pop();
        }
    }
    Ok(root)
}

/// Without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            part => normal.push(part),
        }
    }
    normal
}

fn key(root: &Path, path: &Path) -> String {
    let absolute = std::path::absolute(path).map_or_else(|_| path.into(), |path| normal(&path));
    let inside = absolute.strip_prefix(root).unwrap_or(&absolute);
    let parts = inside
        .components()
        .map(|part| part.as_os_str().to_string_lossy());
    parts.collect::<Vec<_>>().join("/")
}

fn shown(path: &Path) -> String {
    let path = path.strip_prefix(".").unwrap_or(path);
    path.display().to_string()
}

/// Reads one byte past the limit, enough to detect an oversized file. A changed text replaces the file's content.
fn read(path: &Path, changed: &Changed) -> Result<Vec<u8>, CliError> {
    if let Some(text) = changed.get(path) {
        return Ok(text.clone().into_bytes());
    }
    let mut bytes = Vec::new();
    let limit = DEFINITION_SIZE_BYTES_MAX as u64 + 1;
    let read = match path.as_os_str() == STDIN {
        true => io::stdin().lock().take(limit).read_to_end(&mut bytes),
        false => File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)),
    };
    match read {
        Ok(_) => Ok(bytes),
        Err(error) => Err(CliError::usage(format!(
            "cannot read {}: {error}",
            path.display()
        ))),
    }
}

/// A used file, with its path for messages.
fn fetch(root: &Path, key: &str) -> Fetched {
    let current = std::env::current_dir().unwrap_or_default();
    let shown = |path: &Path| {
        let path = normal(path);
        shown(path.strip_prefix(&current).unwrap_or(&path))
    };
    crate::registry::fetch(root, key, &shown)
}
