//! Files to definitions with everything that they use. It performs no I/O: the caller supplies the bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::definition::{self, Definition, Document, Library, Name};
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::limits::{BUNDLE_FILES_MAX, DIAGNOSTICS_PER_FILE_MAX};
use crate::source::{FileId, Range, Sources};
use crate::yaml;

/// A file before it is read as YAML.
#[derive(Debug)]
pub struct Unread {
    /// Relative to the folder of the definitions, with `/` between its parts; it begins with `../` for a file outside
    /// the folder.
    pub key: Arc<str>,
    /// Its name in messages.
    pub path: Arc<str>,
    /// At most [`crate::limits::DEFINITION_SIZE_BYTES_MAX`] and one byte are needed.
    pub bytes: Vec<u8>,
}

/// The outcome of fetching a file that others use.
#[derive(Debug)]
pub enum Fetched {
    File(Unread),
    Missing,
    Unreadable(Unreadable),
}

/// A file that exists but cannot be read.
#[derive(Debug)]
pub struct Unreadable {
    /// As in [`Unread`].
    pub(crate) key: Arc<str>,
    pub(crate) path: Arc<str>,
    pub(crate) reason: String,
}

/// The files read so far.
#[derive(Debug, Default)]
pub struct Loaded {
    pub sources: Sources,
    /// By [`FileId`].
    pub files: Vec<LoadedFile>,
    by_key: BTreeMap<Arc<str>, FileId>,
}

#[derive(Debug)]
pub struct LoadedFile {
    pub(crate) key: Arc<str>,
    /// In the order of the file; `None` for a document that is not a definition.
    pub(crate) documents: Vec<Option<Document>>,
    pub diagnostics: Vec<Diagnostic>,
}

impl LoadedFile {
    /// The ranges of its errors.
    pub fn errors(&self) -> impl Iterator<Item = Range> {
        self.diagnostics
            .iter()
            .filter(|d| d.is_error())
            .map(|d| d.range)
    }
}

/// What a definition uses, directly and through others.
#[derive(Debug, Default)]
pub(crate) struct Used {
    pub(crate) libraries: Vec<Arc<Library>>,
    /// The files of the libraries, each once.
    pub(crate) files: Vec<FileId>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Loaded {
    /// Reads files, several at a time; files that are already loaded are left unchanged.
    pub fn add(&mut self, files: Vec<Unread>) {
        let mut texts = Vec::new();
        for file in files {
            if self.by_key.contains_key(&file.key) {
                continue;
            }
            let decoded = yaml::decode(&mut self.sources, &file.path, &file.bytes);
            let (id, text) = match decoded {
                Ok(id) => (id, Some(self.sources.file(id).text.clone())),
                Err((id, error)) => {
                    self.insert(id, &file.key, Vec::new(), vec![error]);
                    (id, None)
                }
            };
            texts.extend(text.map(|text| (id, file.key, text)));
        }
        let read = in_parallel(&texts, |(id, _, text)| read(*id, text));
        for ((id, key, _), (documents, diagnostics)) in texts.iter().zip(read) {
            self.insert(*id, key, documents, diagnostics);
        }
        self.files
            .sort_by_key(|file| self.by_key.get(&file.key).copied());
    }

    /// Records a file that cannot be read, with an error.
    pub(crate) fn refuse(&mut self, file: Unreadable) {
        if self.by_key.contains_key(&file.key) {
            return;
        }
        let id = self.sources.add(file.path, "");
        let message = format!("`{}` cannot be read: {}", file.key, file.reason);
        let error = Diagnostic::error("file-unreadable", Range::new(id, 0, 0), message)
            .help("make it readable for the user who runs this, or remove it from the folder");
        self.insert(id, &file.key, Vec::new(), vec![error]);
    }

    fn insert(
        &mut self,
        id: FileId,
        key: &Arc<str>,
        documents: Vec<Option<Document>>,
        diagnostics: Vec<Diagnostic>,
    ) {
        self.by_key.insert(key.clone(), id);
        self.files.push(LoadedFile {
            key: key.clone(),
            documents,
            diagnostics,
        });
    }

    pub fn file(&self, id: FileId) -> &LoadedFile {
        &self.files[id.0 as usize]
    }

    pub fn by_key(&self, key: &str) -> Option<FileId> {
        self.by_key.get(key).copied()
    }

    /// The definitions of a file, each with the number of its YAML document counted from 0.
    pub fn definitions(&self, id: FileId) -> impl Iterator<Item = (u32, &Definition)> {
        let documents = self.file(id).documents.iter().enumerate();
        documents.filter_map(|(i, document)| match document {
            Some(Document::Workflow(definition)) => Some((i as u32, &**definition)),
            _ => None,
        })
    }

    /// Reads everything that the loaded files use and that is not loaded yet; `fetch` returns a file by its key. Files
    /// for which a bundle has no room are not read: a definition that uses them is refused anyway.
    pub fn complete(&mut self, fetch: &mut dyn FnMut(&str) -> Fetched) {
        let mut done = 0;
        for _ in 0..BUNDLE_FILES_MAX {
            let used = self.files[done..].iter().flat_map(|file| {
                let uses = uses_of(file).take(BUNDLE_FILES_MAX);
                uses.filter_map(|name| key_of(&file.key, &name.value))
            });
            let missing: BTreeSet<String> = used
                .filter(|key| !self.by_key.contains_key(key.as_str()))
                .collect();
            done = self.files.len();
            if missing.is_empty() {
                break;
            }
            let mut found = Vec::new();
            for key in &missing {
                match fetch(key) {
                    Fetched::File(file) => found.push(file),
                    Fetched::Unreadable(file) => self.refuse(file),
                    Fetched::Missing => {}
                }
            }
            self.add(found);
        }
    }

    /// What a definition of a file uses. Everything must be loaded.
    pub(crate) fn used(&self, file: FileId, uses: &[Name]) -> Used {
        let mut used = Used::default();
        let mut path = vec![file];
        self.follow(file, uses, &mut path, &mut used);
        used
    }

    fn follow(&self, from: FileId, uses: &[Name], path: &mut Vec<FileId>, used: &mut Used) {
        for name in uses {
            let id = match self.resolve(from, name) {
                Ok(id) => id,
                Err(error) => {
                    used.diagnostics.push(error);
                    continue;
                }
            };
            if let Some(start) = path.iter().position(|file| *file == id) {
                used.diagnostics.push(self.cycle(name, &path[start..]));
                continue;
            }
            if used.files.contains(&id) {
                continue;
            }
            // The definition's own file is one of them. The bound also limits the depth.
            if used.files.len() + 1 >= BUNDLE_FILES_MAX {
                used.is_full(name);
                return;
            }
            used.files.push(id);
            path.push(id);
            for document in &self.file(id).documents {
                if let Some(Document::Library(library)) = document {
                    used.libraries.push(library.clone());
                    self.follow(id, &library.uses, path, used);
                }
            }
            path.pop();
        }
    }

    fn resolve(&self, from: FileId, name: &Name) -> Result<FileId, Diagnostic> {
        let error = |code, message: String| Diagnostic::error(code, name.range, message);
        let Some(key) = key_of(&self.file(from).key, &name.value) else {
            let message = format!("`{}` is outside the folder of the definitions", name.value);
            return Err(error("used-file-outside", message).help(
                "refer to files by a path relative to this file, with `/` between its parts",
            ));
        };
        if key.starts_with("../") && self.by_key(&key).is_none() {
            let message = format!(
                "`{}` is outside the folder of the definitions and not a file of the git repository around it",
                name.value
            );
            return Err(error("used-file-outside", message)
                .help("use only files of the folder or of its repository"));
        }
        let Some(id) = self.by_key(&key) else {
            let error = error("used-file-missing", format!("there is no file `{key}`"));
            let near = did_you_mean(&key, self.by_key.keys().map(|key| &**key));
            return Err(match near {
                Some(near) => error.help(format!("did you mean the file `{near}`?")),
                None => error.help("the path is relative to this file"),
            });
        };
        let documents = &self.file(id).documents;
        let is_library =
            |document: &Option<Document>| matches!(document, Some(Document::Library(_)));
        if !documents.iter().any(is_library) && self.file(id).errors().next().is_none() {
            let message = format!("`{key}` contains nothing to use");
            return Err(error("used-file-empty", message).help(
                "a file for `use` has `types`, `activities` or `blocks`, and neither `workflow` nor `steps`",
            ));
        }
        Ok(id)
    }

    fn cycle(&self, name: &Name, path: &[FileId]) -> Diagnostic {
        let keys: Vec<_> = path.iter().map(|id| &*self.file(*id).key).collect();
        let message = format!("`{}` uses itself through other files", keys[0]);
        Diagnostic::error("use-cycle", name.range, message)
            .label(format!("{} → {}", keys.join(" → "), keys[0]))
            .help("move what both need into a third file")
    }
}

impl Used {
    fn is_full(&mut self, name: &Name) {
        const CODE: &str = "too-many-files";
        if self.diagnostics.iter().any(|d| d.code == CODE) {
            return;
        }
        let message = format!("with `{}` the definition uses too many files", name.value);
        let error = Diagnostic::error(CODE, name.range, message).help(format!(
            "the bound is BUNDLE_FILES_MAX ({BUNDLE_FILES_MAX}); join some of them"
        ));
        self.diagnostics.push(error);
    }
}

fn read(id: FileId, text: &str) -> (Vec<Option<Document>>, Vec<Diagnostic>) {
    let (nodes, mut diagnostics) = yaml::read(id, text);
    if diagnostics.is_empty() && nodes.iter().all(yaml::Node::is_null) {
        let error = Diagnostic::error(
            "not-a-definition",
            Range::new(id, 0, 0),
            "the file is empty",
        )
        .help("begin with `segno: 1` and `workflow: NAME`");
        return (Vec::new(), vec![error]);
    }
    let mut documents = Vec::with_capacity(nodes.len());
    // Each is dropped as soon as it is read.
    for node in nodes {
        // A separator at the end, or two in a row, leave an empty document.
        if node.is_null() {
            documents.push(None);
            continue;
        }
        let (document, found) = definition::parse(&node);
        documents.push(document);
        diagnostics.extend(found);
    }
    (documents, bounded(id, diagnostics))
}

/// The first diagnostics of a file, up to the bound.
pub(crate) fn bounded(file: FileId, mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    if diagnostics.len() <= DIAGNOSTICS_PER_FILE_MAX {
        return diagnostics;
    }
    diagnostics.sort_by_key(|d| (d.severity, d.range));
    diagnostics.truncate(DIAGNOSTICS_PER_FILE_MAX);
    let end = diagnostics.iter().map(|d| d.range.end).max().unwrap_or(0);
    diagnostics.push(
        Diagnostic::error(
            "too-many-problems",
            Range::new(file, end, end),
            format!("the file has more than {DIAGNOSTICS_PER_FILE_MAX} problems"),
        )
        .help("the bound is DIAGNOSTICS_PER_FILE_MAX; fix those above first"),
    );
    diagnostics
}

/// Whether a YAML file is probably meant for Segno: a line of it begins with `segno:` or `workflow:`.
pub(crate) fn is_definition(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|byte| matches!(byte, b'\n' | b'\r'));
    lines.any(|line| {
        let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        line.starts_with(b"segno:") || line.starts_with(b"workflow:")
    })
}

fn uses_of(file: &LoadedFile) -> impl Iterator<Item = &Name> {
    file.documents
        .iter()
        .flatten()
        .flat_map(|document| match document {
            Document::Workflow(definition) => &definition.uses,
            Document::Library(library) => &library.uses,
        })
}

/// The key of a path relative to another file's; `None` if the path is not relative. The key of a file outside the
/// folder begins with `../`.
fn key_of(from: &str, path: &str) -> Option<String> {
    if path.starts_with('/') || path.contains('\\') || path.contains(':') {
        return None;
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                None | Some(&"..") => parts.push(".."),
                Some(_) => drop(parts.pop()),
            },
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Applies a function to each item on all processors; the results are in the items' order.
pub fn in_parallel<T: Sync, R: Send>(items: &[T], f: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    in_threads(threads, items, f)
}

/// Applies a function to each item on a number of threads.
pub(crate) fn in_threads<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    f: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    if items.len() < 2 || threads < 2 {
        return items.iter().map(f).collect();
    }
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    let work = || {
        let mut own = Vec::new();
        while let Some((i, item)) = {
            let i = next.fetch_add(1, Ordering::Relaxed);
            items.get(i).map(|item| (i, item))
        } {
            own.push((i, f(item)));
        }
        let mut all = results
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        all.extend(own);
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(items.len()) {
            scope.spawn(work);
        }
        work();
    });
    let mut all = results
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    all.sort_by_key(|(i, _)| *i);
    all.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_relative_to_the_using_file() {
        for (from, path, expected) in [
            ("a.yaml", "b.yaml", Some("b.yaml")),
            ("x/a.yaml", "b.yaml", Some("x/b.yaml")),
            ("x/a.yaml", "../b.yaml", Some("b.yaml")),
            ("x/a.yaml", "./y/../b.yaml", Some("x/b.yaml")),
            ("a.yaml", "../b.yaml", Some("../b.yaml")),
            ("x/a.yaml", "../../b.yaml", Some("../b.yaml")),
            ("../y/a.yaml", "b.yaml", Some("../y/b.yaml")),
            ("../y/a.yaml", "../../b.yaml", Some("../../b.yaml")),
            ("../a.yaml", "../x/../b.yaml", Some("../../b.yaml")),
            ("a.yaml", "/etc/passwd", None),
            ("a.yaml", "C:/b.yaml", None),
        ] {
            assert_eq!(key_of(from, path).as_deref(), expected, "{from} {path}");
        }
    }

    #[test]
    fn results_come_in_the_order_of_their_items() {
        let items: Vec<usize> = (0..1000).collect();
        let doubled = in_parallel(&items, |i| i * 2);
        assert!(doubled.iter().enumerate().all(|(i, d)| *d == i * 2));
    }
}
