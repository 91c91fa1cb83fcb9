//! What a worker serves from a store: the deployed definitions in force, followed as they change.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt, stream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::folder::Change;
use super::held::{Budget, let_go};
use super::pack::load;
use super::store::{Store, StoreError, bundle, segment};
use super::{Entry, Registry};
use crate::bundle::{Bundle, Digest};
use crate::catalog::{Catalog, Data, Definition, DueSchedules, Segment, Version};
use crate::engine::job::EncodedBundle;
use crate::limits::{COMPILATIONS_MAX, DEFINITIONS_MEMORY_BYTES_MAX};

/// Segments fetched concurrently.
const FETCHES: usize = 8;
/// The first wait before a store that cannot be reached is retried; each further wait is twice as long.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LONGEST: Duration = Duration::from_secs(10);
/// The shortest time after which a version that cannot be read is read again, when the registry changes.
const RETRY_UNREADABLE: Duration = Duration::from_secs(60);

type Observer = Box<dyn Fn(Change) + Send + Sync>;

/// Serves what is deployed until it is dropped. It keeps what it has, even while the store cannot be reached.
pub(crate) struct Deployed {
    state: Arc<RwLock<State>>,
    follows: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    catalog: Catalog,
    entries: BTreeMap<(String, u32), Entry>,
    /// No longer in force, but a run that has just started may still need them; the oldest first.
    superseded: VecDeque<Entry>,
    due: watch::Sender<Vec<DueSchedules>>,
    /// Versions in force that could not be read.
    unreadable: BTreeMap<(String, u32), Unreadable>,
}

#[derive(Clone)]
struct Unreadable {
    why: String,
    tried: Instant,
    /// The revision that last stored its bundle.
    mended: u64,
    /// The bundle itself is at fault: a retry would be a waste of time.
    is_final: bool,
}

impl Deployed {
    /// Reads everything in force, and follows it from then on.
    pub(crate) async fn open(
        store: Arc<dyn Store>,
        observer: impl Fn(Change) + Send + Sync + 'static,
    ) -> Result<Deployed, StoreError> {
        let observer: Observer = Box::new(observer);
        let state = Arc::new(RwLock::new(State::default()));
        let catalog = store.read().await?;
        take_over(&*store, &state, catalog, &observer).await?;
        let followed = state.clone();
        let follows = tokio::spawn(async move { follow(&*store, &followed, &observer).await });
        Ok(Deployed { state, follows })
    }

    /// Schedules that must still be created, and their changes.
    pub(crate) fn due_schedules(&self) -> watch::Receiver<Vec<DueSchedules>> {
        read(&self.state).due.subscribe()
    }
}

impl Drop for Deployed {
    fn drop(&mut self) {
        self.follows.abort();
    }
}

impl Registry for Deployed {
    fn for_new_run(&self, workflow_type: &str, workflow_id: &str) -> Option<Entry> {
        let state = read(&self.state);
        let definition = state.catalog.definition(workflow_type)?;
        let number = definition.version_for(workflow_id)?.number;
        let key = |number| (workflow_type.to_owned(), number);
        // If this worker cannot read it, the type is left to the readable versions.
        let entry = state.entries.get(&key(number));
        let entry = entry.or_else(|| state.entries.get(&key(definition.current)));
        entry
            .or_else(|| state.newest_readable(workflow_type))
            .cloned()
    }

    fn by_digest(&self, digest: &str) -> Option<Entry> {
        let state = read(&self.state);
        let mut entries = state.entries.values().chain(state.superseded.iter().rev());
        entries.find(|entry| entry.bundle.digest == digest).cloned()
    }

    fn recognised(&self, workflow_type: &str, bundle: &[u8]) -> Option<Arc<EncodedBundle>> {
        let bundle = Bundle::decode(bundle).ok()?;
        if **bundle.workflow() != *workflow_type {
            return None;
        }
        let digest = bundle.digest();
        let state = read(&self.state);
        let definition = state.catalog.definition(workflow_type)?;
        let version = definition.version_of(digest.as_bytes())?;
        let name = definition.name_of(version.number);
        // The name that the client chose is not part of its digest.
        let bytes = bundle.named(name.clone()).encode().ok()?;
        Some(Arc::new(EncodedBundle {
            digest: digest.to_string(),
            version: name,
            bytes,
        }))
    }

    fn workflow_types(&self) -> Vec<String> {
        let state = read(&self.state);
        let mut types: Vec<_> = state.entries.keys().map(|(name, _)| name.clone()).collect();
        types.dedup();
        types
    }

    fn why_not(&self, workflow_type: &str) -> Option<String> {
        let state = read(&self.state);
        let mut unreadable = state.unreadable.iter();
        let found = unreadable.find(|((name, _), _)| name == workflow_type);
        found.map(|((name, number), unreadable)| format!("{name}@{number}: {}", unreadable.why))
    }
}

impl State {
    fn newest_readable(&self, workflow_type: &str) -> Option<&Entry> {
        let all = (workflow_type.to_owned(), 0)..=(workflow_type.to_owned(), u32::MAX);
        self.entries.range(all).next_back().map(|(_, entry)| entry)
    }
}

fn read(state: &RwLock<State>) -> RwLockReadGuard<'_, State> {
    state
        .read()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

async fn follow(store: &dyn Store, state: &RwLock<State>, observer: &Observer) {
    let mut retry = RETRY_FIRST;
    loop {
        let revision = read(state).catalog.revision();
        let followed = match store.wait(revision).await {
            Ok(catalog) => take_over(store, state, catalog, observer).await,
            Err(error) => Err(error),
        };
        match followed {
            Ok(()) => retry = RETRY_FIRST,
            Err(error) => {
                if retry == RETRY_FIRST || retry == RETRY_LONGEST {
                    let reason = error.to_string();
                    observer(Change::Unreadable { reason });
                }
                tokio::time::sleep(retry).await;
                retry = (retry * 2).min(RETRY_LONGEST);
            }
        }
    }
}

/// Fetches and compiles what is new, then puts the whole catalog in force atomically.
async fn take_over(
    store: &dyn Store,
    state: &RwLock<State>,
    catalog: Catalog,
    observer: &Observer,
) -> Result<(), StoreError> {
    for notice in store.notices() {
        observer(Change::Noticed { notice });
    }
    let definitions = catalog.state.definitions.iter();
    let wanted = definitions.flat_map(|d| d.in_force().map(move |v| (d.clone(), v.clone())));
    let mut entries = BTreeMap::new();
    let mut unreadable = BTreeMap::new();
    let mut missing = Vec::new();
    for (definition, version) in wanted {
        let key = (definition.workflow.clone(), version.number);
        let state = read(state);
        match (state.entries.get(&key), state.unreadable.get(&key)) {
            (Some(entry), _) => drop(entries.insert(key, entry.clone())),
            (None, Some(known)) if known.still_holds(&version) => {
                unreadable.insert(key, known.clone());
            }
            _ => missing.push((definition, version)),
        }
    }
    // Versions are in the order of their deployment, if there is not enough memory for all.
    missing.sort_by_key(|(_, version)| version.revision);
    let kept = read(state).entries.clone();
    let mut budget = Budget::beside(DEFINITIONS_MEMORY_BYTES_MAX, kept.values());
    let mut compiled = Vec::new();
    // A fetched segment is dropped as soon as it is compiled: a change may name many.
    let mut segments = pin!(segments(store, &missing));
    while let Some(found) = segments.next().await {
        let (of, segment) = found?;
        compiled.extend(compile(&missing, of, segment, &mut budget).await);
    }
    compiled.sort_by_key(|(at, _)| *at);
    let mut changes = Vec::new();
    for (at, found) in compiled {
        let (definition, version) = &missing[at];
        let name = definition.name_of(version.number);
        let key = (definition.workflow.clone(), version.number);
        match found {
            Ok(entry) => {
                changes.push(Change::Deployed { name });
                entries.insert(key, entry);
            }
            Err(Refused { why, is_final }) => {
                let is_known =
                    |state: &State| state.unreadable.get(&key).is_some_and(|u| u.why == why);
                if !is_known(&read(state)) {
                    let reason = why.clone();
                    changes.push(Change::Refused { name, reason });
                }
                let refused = Unreadable {
                    why,
                    tried: Instant::now(),
                    mended: version.mended,
                    is_final,
                };
                unreadable.insert(key, refused);
            }
        }
    }
    replace(state, catalog, (entries, unreadable), &mut changes);
    changes.into_iter().for_each(observer);
    Ok(())
}

/// By workflow type and number.
type ByVersion<T> = BTreeMap<(String, u32), T>;

impl Unreadable {
    /// Nothing has been stored since, and it was tried recently.
    fn still_holds(&self, version: &Version) -> bool {
        self.mended == version.mended && (self.is_final || self.tried.elapsed() < RETRY_UNREADABLE)
    }
}

fn replace(
    state: &RwLock<State>,
    catalog: Catalog,
    (mut entries, unreadable): (ByVersion<Entry>, ByVersion<Unreadable>),
    changes: &mut Vec<Change>,
) {
    let mut state = state
        .write()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let old = std::mem::take(&mut state.entries);
    for (key, entry) in old {
        if entries.contains_key(&key) {
            continue;
        }
        let is_in_force = catalog.definition(&key.0).is_some_and(|d| !d.retired);
        let has_other = entries.keys().any(|(name, _)| *name == key.0);
        if is_in_force && !has_other {
            // The new version cannot be read: the last good one stays.
            entries.insert(key, entry);
            continue;
        }
        if !is_in_force {
            changes.push(Change::Removed {
                workflow_type: key.0,
            });
        }
        state.superseded.push_back(entry);
    }
    let max = DEFINITIONS_MEMORY_BYTES_MAX;
    let_go(&mut state.superseded, max, entries.values());
    (state.entries, state.unreadable) = (entries, unreadable);
    let due = catalog.state.due_schedules.clone();
    state.due.send_if_modified(|said| {
        let is_new = *said != due;
        *said = due;
        is_new
    });
    state.catalog = catalog;
}

/// The packed bundles of these versions; `None` for one that cannot be read.
pub(crate) async fn bundles(
    store: &dyn Store,
    versions: &[(Definition, Version)],
) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
    let bundles = read_bundles(store, versions).await?;
    Ok(bundles.into_iter().map(Result::ok).collect())
}

/// The packed bundles of these versions, or why one cannot be read.
pub(super) async fn read_bundles(
    store: &dyn Store,
    versions: &[(Definition, Version)],
) -> Result<Vec<Result<Vec<u8>, String>>, StoreError> {
    let mut bundles = vec![Err(NO_BUNDLE.to_owned()); versions.len()];
    let mut segments = pin!(segments(store, versions));
    while let Some(found) = segments.next().await {
        let (of, segment) = found?;
        for at in of {
            let bundle = bundle_of(&segment, &versions[at].1);
            bundles[at] = bundle.map(<[u8]>::to_vec);
        }
    }
    Ok(bundles)
}

const NO_BUNDLE: &str = "its bundle is missing";

fn bundle_of<'s>(
    segment: &'s Result<Segment, String>,
    version: &Version,
) -> Result<&'s [u8], String> {
    let segment = segment.as_ref().map_err(String::clone)?;
    let bundle = segment.bundles.get(version.index as usize);
    bundle
        .map(Vec::as_slice)
        .ok_or_else(|| NO_BUNDLE.to_owned())
}

/// The segments of these versions as they are fetched, each with the places of its versions. One that is broken, or
/// cannot be decoded here, affects only its own definitions: any client that can write to the registry may have stored
/// it.
fn segments(
    store: &dyn Store,
    versions: &[(Definition, Version)],
) -> impl Stream<Item = Result<(Vec<usize>, Result<Segment, String>), StoreError>> {
    let mut wanted: BTreeMap<Option<&[Vec<u8>]>, Vec<usize>> = BTreeMap::new();
    for (at, (_, version)) in versions.iter().enumerate() {
        let pieces = version.segment.as_ref().map(|data| &*data.pieces);
        wanted.entry(pieces).or_default().push(at);
    }
    let mut wanted: Vec<_> = wanted.into_iter().collect();
    wanted.sort_by_key(|(_, of)| of.first().copied());
    let wanted: Vec<_> = wanted
        .into_iter()
        .map(|(pieces, of)| {
            (
                pieces.map(|pieces| Data {
                    pieces: pieces.to_vec(),
                }),
                of,
            )
        })
        .collect();
    stream::iter(wanted)
        .map(move |(data, of)| async move {
            let Some(data) = data else {
                return Ok((of, Err(NO_BUNDLE.to_owned())));
            };
            match segment(store, &data).await {
                Ok(segment) => Ok((of, Ok(segment))),
                Err(StoreError::Malformed(why) | StoreError::Sealed(why)) => Ok((of, Err(why))),
                Err(error) => Err(error),
            }
        })
        .buffered(FETCHES)
}

/// A deployed version, fetched and compiled.
pub(crate) async fn version(
    store: &dyn Store,
    definition: &Definition,
    version: &Version,
) -> Result<Entry, StoreError> {
    let name = definition.name_of(version.number);
    let packed = bundle(store, version).await?;
    let refused = |refused: Refused| StoreError::Malformed(format!("{name}: {}", refused.why));
    entry(&packed, &name, version).map_err(refused)
}

/// A version's bundle, if it matches the version's digest.
pub(super) fn checked(packed: &[u8], version: &Version) -> Result<Bundle, String> {
    let bundle = Bundle::decode(packed).map_err(|e| e.to_string())?;
    match Digest::from_bytes(&version.digest) == Some(bundle.digest()) {
        true => Ok(bundle),
        false => Err("its bundle does not have the content that its digest names".to_owned()),
    }
}

/// Why there is no program of a version.
struct Refused {
    why: String,
    /// Its bundle is the deployed one, and this worker cannot compile it.
    is_final: bool,
}

impl From<String> for Refused {
    fn from(why: String) -> Self {
        Refused {
            why,
            is_final: false,
        }
    }
}

/// Compiles versions on separate threads, a few at a time: each may take as long as the bounds on definitions allow,
/// and runs must be served meanwhile.
async fn compile(
    versions: &[(Definition, Version)],
    of: Vec<usize>,
    segment: Result<Segment, String>,
    budget: &mut Budget,
) -> Vec<(usize, Result<Entry, Refused>)> {
    let segment = Arc::new(segment);
    let compile = |at: usize| {
        let (definition, version) = &versions[at];
        let (name, version) = (definition.name_of(version.number), version.clone());
        let segment = segment.clone();
        let compile = move || entry(bundle_of(&segment, &version)?, &name, &version);
        async move {
            let entry = tokio::task::spawn_blocking(compile).await;
            let entry = entry.unwrap_or_else(|error| Err(error.to_string().into()));
            (at, entry)
        }
    };
    let all = stream::iter(of).map(compile).buffered(COMPILATIONS_MAX);
    // Each that does not fit is dropped before the next one is fetched.
    let fitting = all.map(|(at, found)| match found {
        Ok(entry) if !budget.takes(&entry) => (at, Err(no_room().into())),
        found => (at, found),
    });
    fitting.collect().await
}

fn no_room() -> String {
    format!(
        "it does not fit in memory beside the other definitions: the bound is DEFINITIONS_MEMORY_BYTES_MAX, {DEFINITIONS_MEMORY_BYTES_MAX} bytes for all that a worker serves"
    )
}

/// Compiles a version, under its name.
fn entry(packed: &[u8], name: &str, version: &Version) -> Result<Entry, Refused> {
    let bundle = checked(packed, version)?;
    let packed = bundle
        .named(name.to_owned())
        .encode()
        .map_err(|e| e.to_string())?;
    let loaded = load(&packed).map_err(|why| Refused {
        why,
        is_final: true,
    })?;
    Ok(Entry {
        bundle: Arc::new(loaded.bundle.clone()),
        loaded,
    })
}

#[cfg(test)]
mod tests {
    use super::super::held::tests::{MAX, SIZES, bundle};
    use super::*;

    #[tokio::test]
    async fn a_version_that_does_not_fit_in_memory_is_refused_and_others_are_served() {
        let [small, large] = SIZES;
        let bundles = [("a", small), ("b", large), ("c", small)];
        let bundles = bundles.map(|(workflow, size)| bundle(workflow, size, None));
        let versions: Vec<_> = (0..)
            .zip(&bundles)
            .map(|(index, bundle)| {
                let definition = Definition {
                    workflow: bundle.workflow().to_string(),
                    ..Definition::default()
                };
                let version = Version {
                    digest: bundle.digest().as_bytes().to_vec(),
                    index,
                    ..Version::default()
                };
                (definition, version)
            })
            .collect();
        let bundles = bundles.map(|bundle| bundle.encode().unwrap()).to_vec();
        let segment = Ok(Segment { bundles });
        let mut budget = Budget::beside(MAX, []);
        let found = compile(&versions, vec![0, 1, 2], segment, &mut budget).await;
        let why = found.into_iter().map(|(_, found)| found.err());
        let why: Vec<_> = why.map(|refused| refused.map(|r| r.why)).collect();
        let [None, Some(why), None] = &why[..] else {
            panic!("{why:?}");
        };
        assert!(why.contains("DEFINITIONS_MEMORY_BYTES_MAX"), "{why}");
    }
}
