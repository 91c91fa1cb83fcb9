//! A watched folder of definitions: what is saved there is in force for new runs well within a second.

mod scan;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify_debouncer_full::notify::event::{AccessKind, AccessMode};
use notify_debouncer_full::notify::{EventKind, RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{
    DebounceEventResult, Debouncer, RecommendedCache, new_debouncer_opt, notify,
};

pub(crate) use self::scan::fetch;
use self::scan::{Seen, key, look, read};
use super::held::{Budget, let_go};
use super::pack::{Keep, pack};
use super::{Entry, Registry, texts, used};
use crate::diagnostic::Diagnostic;
use crate::limits::DEFINITIONS_MEMORY_BYTES_MAX;
use crate::load::{Loaded, Unread, Unreadable, is_definition};
use crate::source::{FileId, Sources};

/// Editors write a file in several steps: it is read after this much time without a change.
const QUIET: Duration = Duration::from_millis(100);
/// Network folders, and folders that were moved away and back, send no events: this is the interval at which they are
/// checked.
const LOOK_EVERY: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("cannot read the folder of definitions {}: {}", .0.display(), .1)]
    Read(PathBuf, io::Error),
    #[error("cannot watch the folder of definitions {}: {}", .0.display(), .1)]
    Watch(PathBuf, String),
}

/// Changes of definitions, reported in the order in which they were found.
#[derive(Debug)]
pub enum Change {
    Added {
        workflow_type: String,
        digest: String,
    },
    Changed {
        workflow_type: String,
        digest: String,
    },
    Removed {
        workflow_type: String,
    },
    /// The last good versions of these workflow types stay in force.
    Broken {
        path: String,
        stays: Vec<String>,
        sources: Sources,
        diagnostics: Vec<Diagnostic>,
    },
    Unreadable {
        reason: String,
    },
    /// A deployed version is in force.
    Deployed {
        name: String,
    },
    /// An event of the registry itself.
    Noticed {
        notice: String,
    },
    /// A deployed version that this worker cannot read.
    Refused {
        name: String,
        reason: String,
    },
}

/// Serves the definitions of a folder until it is dropped.
pub struct Folder {
    state: Arc<State>,
    /// Dropping it ends the watching thread.
    _stop: Sender<()>,
}

struct State {
    root: PathBuf,
    memory_bytes_max: usize,
    inner: Mutex<Inner>,
    observer: Box<dyn Fn(Change) + Send + Sync>,
}

#[derive(Default)]
struct Inner {
    in_force: BTreeMap<String, InForce>,
    /// No longer in force, but a run that has just begun may still ask for them; the oldest first.
    superseded: VecDeque<Entry>,
    /// The content of the broken files when they were reported.
    broken: BTreeMap<Arc<str>, Vec<u8>>,
    seen: Vec<Seen>,
    /// Files outside the folder that are used, or would be if they existed; they are not watched.
    beside: Vec<(PathBuf, Option<Seen>)>,
}

struct InForce {
    entry: Entry,
    file: Arc<str>,
}

impl Folder {
    /// Reads the folder and watches it from then on.
    pub fn open(
        root: impl Into<PathBuf>,
        observer: impl Fn(Change) + Send + Sync + 'static,
    ) -> Result<Folder, FolderError> {
        Folder::open_within(root, DEFINITIONS_MEMORY_BYTES_MAX, observer)
    }

    pub(super) fn open_within(
        root: impl Into<PathBuf>,
        memory_bytes_max: usize,
        observer: impl Fn(Change) + Send + Sync + 'static,
    ) -> Result<Folder, FolderError> {
        let root = root.into();
        std::fs::read_dir(&root).map_err(|error| FolderError::Read(root.clone(), error))?;
        let state = Arc::new(State {
            root: root.clone(),
            memory_bytes_max,
            inner: Mutex::default(),
            observer: Box::new(observer),
        });
        // Watching starts first, so that a change during the first reading is not missed.
        let (events, changed) = channel();
        let watcher = watch(&root, events)?;
        state
            .read()
            .map_err(|error| FolderError::Read(root, error))?;
        let (stop, stopped) = channel();
        let watched = state.clone();
        std::thread::spawn(move || watched.follow(watcher, &changed, &stopped));
        Ok(Folder { state, _stop: stop })
    }
}

impl Registry for Folder {
    fn for_new_run(&self, workflow_type: &str, _: &str) -> Option<Entry> {
        self.state
            .inner()
            .in_force
            .get(workflow_type)
            .map(|found| found.entry.clone())
    }

    fn by_digest(&self, digest: &str) -> Option<Entry> {
        self.state.inner().by_digest(digest)
    }

    fn workflow_types(&self) -> Vec<String> {
        self.state.inner().in_force.keys().cloned().collect()
    }
}

/// Notifies of changes in the folder, as long as the watcher is kept.
pub(crate) fn watch(
    root: &Path,
    events: Sender<()>,
) -> Result<Debouncer<RecommendedWatcher, RecommendedCache>, FolderError> {
    let error =
        |e: notify_debouncer_full::notify::Error| FolderError::Watch(root.into(), e.to_string());
    let told = move |result: DebounceEventResult| {
        let worth_a_look = match &result {
            Ok(events) => events.iter().any(|event| match event.kind {
                EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
                EventKind::Access(_) => false,
                _ => true,
            }),
            // Events may have been lost.
            Err(_) => true,
        };
        if worth_a_look {
            let _ = events.send(());
        }
    };
    // A link may lead to the whole machine, or in circles.
    let config = notify::Config::default().with_follow_symlinks(false);
    let cache = RecommendedCache::new();
    let mut debouncer =
        new_debouncer_opt::<_, RecommendedWatcher, _>(QUIET, None, told, cache, config)
            .map_err(error)?;
    if let Err(all) = debouncer.watch(root, RecursiveMode::Recursive) {
        // A folder in it cannot be read: it is checked anyway, every few seconds.
        tracing::warn!("not all of the folder of definitions can be watched: {all}");
        debouncer
            .watch(root, RecursiveMode::NonRecursive)
            .map_err(error)?;
    }
    Ok(debouncer)
}

impl State {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(
        &self,
        watcher: Debouncer<RecommendedWatcher, RecommendedCache>,
        changed: &Receiver<()>,
        stopped: &Receiver<()>,
    ) {
        let mut reported = String::new();
        loop {
            let told = changed.recv_timeout(LOOK_EVERY);
            // The owner of the folder has the other end.
            if stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Disconnected) {
                break;
            }
            let result = match told {
                Ok(()) => self.read(),
                Err(RecvTimeoutError::Timeout) => self.read_if_different(),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let reason = result.err().map(|e| e.to_string()).unwrap_or_default();
            if !reason.is_empty() && reason != reported {
                (self.observer)(Change::Unreadable {
                    reason: reason.clone(),
                });
            }
            reported = reason;
        }
        drop(watcher);
    }

    fn read_if_different(&self) -> io::Result<()> {
        let seen = look(&self.root)?;
        let is_same = {
            let inner = self.inner();
            let is_same =
                |(path, seen): &(PathBuf, Option<Seen>)| self::scan::seen(path.clone()) == *seen;
            seen == inner.seen && inner.beside.iter().all(is_same)
        };
        if is_same { Ok(()) } else { self.read() }
    }

    /// Reads everything, and puts in force atomically what has changed and has no errors.
    fn read(&self) -> io::Result<()> {
        let seen = look(&self.root)?;
        let (loaded, asked, empty, beside) = load_all(&self.root, &seen)?;
        self.inner().beside = beside;
        let changes = self.put_in_force(seen, &loaded, asked, &empty);
        changes.into_iter().for_each(&self.observer);
        Ok(())
    }

    fn put_in_force(
        &self,
        seen: Vec<Seen>,
        loaded: &Loaded,
        asked: usize,
        empty: &[Arc<str>],
    ) -> Vec<Change> {
        let known = |digest: &str| self.inner().by_digest(digest);
        let mut budget = Budget::beside(self.memory_bytes_max, self.inner().entries());
        let keep = Keep::Callable;
        let (found, broken) = pack_all(&self.root, loaded, asked, keep, &known, &mut budget);
        let mut inner = self.inner();
        let changes = inner.replace(seen, found, broken, empty, &loaded.sources, loaded);
        let Inner {
            in_force,
            superseded,
            ..
        } = &mut *inner;
        let in_force = in_force.values().map(|found| &found.entry);
        let_go(superseded, self.memory_bytes_max, in_force);
        changes
    }
}

/// The files with everything that they use, how many of them were requested, which are empty, and what was looked for
/// outside the folder.
type All = (Loaded, usize, Vec<Arc<str>>, Vec<(PathBuf, Option<Seen>)>);

fn load_all(root: &Path, seen: &[Seen]) -> io::Result<All> {
    let mut empty = Vec::new();
    let mut unread = Vec::new();
    let mut unreadable = Vec::new();
    for file in seen {
        let key: Arc<str> = key(root, &file.path).into();
        let bytes = match &file.fault {
            None => read(&file.path),
            Some(fault) => Err(io::Error::other(fault.clone())),
        };
        match bytes {
            // Between an editor's truncating and its writing, a file is empty.
            Ok(bytes) if bytes.is_empty() => empty.push(key),
            Ok(bytes) if is_definition(&bytes) => unread.push(Unread {
                path: file.path.display().to_string().into(),
                key,
                bytes,
            }),
            Ok(_) => {}
            // Removed since it was found, which another event will report.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => unreadable.push(Unreadable {
                path: file.path.display().to_string().into(),
                key,
                reason: error.to_string(),
            }),
        }
    }
    let mut loaded = Loaded::default();
    loaded.add(unread);
    // A file that cannot be read does not prevent others from being served.
    unreadable.into_iter().for_each(|file| loaded.refuse(file));
    let asked = loaded.files.len();
    let shown = |path: &Path| path.display().to_string();
    let mut beside = Vec::new();
    loaded.complete(&mut |key| {
        if key.starts_with(used::OUT) {
            let path = root.join(key);
            beside.push((path.clone(), self::scan::seen(path)));
        }
        fetch(root, key, &shown)
    });
    texts::share(&mut loaded.sources);
    Ok((loaded, asked, empty, beside))
}

/// The content of a folder at one moment.
pub struct Found {
    /// With the file of each, by workflow type.
    pub definitions: BTreeMap<String, (Entry, Arc<str>)>,
    pub(crate) sources: Sources,
    /// Diagnostics by the file that they keep from being in force: those of a library are repeated for each file that
    /// uses it.
    pub broken: BTreeMap<Arc<str>, Vec<Diagnostic>>,
    /// The number of files with definitions.
    pub(crate) files: usize,
}

impl Found {
    /// All diagnostics, some of them several times.
    pub fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.broken.values().flatten()
    }
}

/// Reads a folder once, and compiles the reachable part of each definition.
pub fn read_folder(root: &Path) -> Result<Found, FolderError> {
    read_keeping(root, Keep::Callable)
}

/// Reads a folder once, and compiles everything that each definition uses: it takes memory for each use of a library.
pub fn read_folder_whole(root: &Path) -> Result<Found, FolderError> {
    read_keeping(root, Keep::All)
}

fn read_keeping(root: &Path, keep: Keep) -> Result<Found, FolderError> {
    let error = |error| FolderError::Read(root.to_owned(), error);
    let seen = look(root).map_err(error)?;
    let (loaded, asked, ..) = load_all(root, &seen).map_err(error)?;
    let mut budget = Budget::beside(DEFINITIONS_MEMORY_BYTES_MAX, []);
    let (found, broken) = pack_all(root, &loaded, asked, keep, &|_| None, &mut budget);
    let definitions = found.into_iter();
    Ok(Found {
        definitions: definitions
            .map(|(name, found)| (name, (found.entry, found.file)))
            .collect(),
        broken,
        sources: loaded.sources,
        files: asked,
    })
}

/// Packs every definition of the first `asked` files, and reports mistakes by file.
fn pack_all(
    root: &Path,
    loaded: &Loaded,
    asked: usize,
    keep: Keep,
    known: &dyn Fn(&str) -> Option<Entry>,
    budget: &mut Budget,
) -> (
    BTreeMap<String, InForce>,
    BTreeMap<Arc<str>, Vec<Diagnostic>>,
) {
    let mut found: BTreeMap<String, InForce> = BTreeMap::new();
    let mut broken: BTreeMap<Arc<str>, Vec<Diagnostic>> = BTreeMap::new();
    for id in (0..asked as u32).map(FileId) {
        let file = loaded.file(id);
        if file.diagnostics.iter().any(Diagnostic::is_error) {
            broken.insert(file.key.clone(), file.diagnostics.clone());
            continue;
        }
        for (document, definition) in loaded.definitions(id) {
            let name = definition.name.value.to_string();
            let packed = match found.get(&name) {
                None => {
                    let mut packed = pack(root, loaded, (id, document), definition, keep, known);
                    let is_new = |entry: &Entry| known(&entry.bundle.digest).is_none();
                    if packed
                        .as_ref()
                        .is_ok_and(|entry| is_new(entry) && !budget.takes(entry))
                    {
                        packed = Err(vec![no_room(&definition.name)]);
                    }
                    packed
                }
                Some(other) => Err(vec![duplicate(&definition.name, &other.file)]),
            };
            match packed {
                Ok(entry) => {
                    found.insert(
                        name,
                        InForce {
                            entry,
                            file: file.key.clone(),
                        },
                    );
                }
                Err(diagnostics) => {
                    broken
                        .entry(file.key.clone())
                        .or_default()
                        .extend(diagnostics);
                }
            }
        }
    }
    (found, broken)
}

impl Inner {
    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.in_force.values().map(|found| &found.entry)
    }

    fn by_digest(&self, digest: &str) -> Option<Entry> {
        // The definitions that were superseded last are needed most.
        let mut entries = self.entries().chain(self.superseded.iter().rev());
        entries.find(|entry| entry.bundle.digest == digest).cloned()
    }

    fn replace(
        &mut self,
        seen: Vec<Seen>,
        mut found: BTreeMap<String, InForce>,
        broken: BTreeMap<Arc<str>, Vec<Diagnostic>>,
        empty: &[Arc<str>],
        sources: &Sources,
        loaded: &Loaded,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        self.seen = seen;
        let old = std::mem::take(&mut self.in_force);
        for (workflow_type, new) in found.iter().filter(|(name, _)| !old.contains_key(*name)) {
            let digest = new.entry.bundle.digest.clone();
            changes.push(Change::Added {
                workflow_type: workflow_type.clone(),
                digest,
            });
        }
        let mut stays: BTreeMap<Arc<str>, Vec<String>> = BTreeMap::new();
        for (workflow_type, old) in old {
            let cause = cause(&broken, &old.file);
            let unsure = cause.is_some() || empty.contains(&old.file);
            match found.get(&workflow_type) {
                Some(new) if new.entry.bundle.digest == old.entry.bundle.digest => {}
                Some(new) => {
                    let digest = new.entry.bundle.digest.clone();
                    changes.push(Change::Changed {
                        workflow_type,
                        digest,
                    });
                    self.superseded.push_back(old.entry);
                }
                None if unsure => {
                    let cause = cause.unwrap_or(&old.file).clone();
                    stays.entry(cause).or_default().push(workflow_type.clone());
                    found.insert(workflow_type, old);
                }
                None => {
                    changes.push(Change::Removed { workflow_type });
                    self.superseded.push_back(old.entry);
                }
            }
        }
        self.in_force = found;
        self.report(broken, &mut stays, sources, loaded, &mut changes);
        changes
    }

    /// A broken file is reported once for each content.
    fn report(
        &mut self,
        broken: BTreeMap<Arc<str>, Vec<Diagnostic>>,
        stays: &mut BTreeMap<Arc<str>, Vec<String>>,
        sources: &Sources,
        loaded: &Loaded,
        changes: &mut Vec<Change>,
    ) {
        let before = std::mem::take(&mut self.broken);
        for (key, diagnostics) in broken {
            let file = loaded.by_key(&key).map(|id| sources.file(id));
            let text = file
                .map(|file| file.text.as_bytes().to_vec())
                .unwrap_or_default();
            if before.get(&key) != Some(&text) {
                changes.push(Change::Broken {
                    path: file.map(|file| file.path.to_string()).unwrap_or_default(),
                    stays: stays.remove(&key).unwrap_or_default(),
                    sources: sources.clone(),
                    diagnostics,
                });
            }
            self.broken.insert(key, text);
        }
    }
}

/// The reason why a file cannot be read: an error in it, or a folder above it that cannot be read.
fn cause<'a>(broken: &'a BTreeMap<Arc<str>, Vec<Diagnostic>>, file: &str) -> Option<&'a Arc<str>> {
    let ends = file.match_indices('/').map(|(at, _)| at);
    let mut paths = ends.chain([file.len()]).map(|end| &file[..end]);
    paths.find_map(|path| broken.get_key_value(path).map(|(key, _)| key))
}

fn no_room(name: &crate::definition::Name) -> Diagnostic {
    let message = format!(
        "`{}` does not fit in memory beside the other definitions",
        name.value
    );
    let help = format!(
        "the bound is DEFINITIONS_MEMORY_BYTES_MAX, {DEFINITIONS_MEMORY_BYTES_MAX} bytes for all definitions of a worker: move some to another worker's folder"
    );
    Diagnostic::error("definitions-too-large", name.range, message).help(help)
}

fn duplicate(name: &crate::definition::Name, other: &str) -> Diagnostic {
    let message = format!(
        "the workflow type `{}` is already defined in `{other}`",
        name.value
    );
    Diagnostic::error("duplicate-workflow", name.range, message)
        .help("a worker can serve only one of them; rename one")
}
