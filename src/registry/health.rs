//! Checks whether everything that a registry names can be read, and stores again what cannot.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::deploy::put_bundles;
use super::deployed::{checked, read_bundles};
use super::store::{Damage, Remedy, Store, StoreError, checked_piece, data};
use crate::catalog::{Catalog, Data, Definition, Page, Put, Version};

/// Pieces fetched concurrently.
const FETCHES: usize = 16;

/// Packed bundles by their digests.
pub(crate) type Texts = BTreeMap<Vec<u8>, Vec<u8>>;

/// Which versions are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The versions that new runs get.
    InForce,
    All,
}

/// What cannot be read in a catalog, or not for long.
pub(crate) async fn damages(
    store: &dyn Store,
    catalog: &Catalog,
    scope: Scope,
) -> Result<Vec<Damage>, StoreError> {
    let versions = versions(catalog, scope);
    let mut found: Vec<Damage> = unreadable(store, &versions)
        .await?
        .into_iter()
        .map(|(definition, version, why)| {
            Damage::new(definition.name_of(version.number), why, Remedy::Text)
        })
        .collect();
    if scope == Scope::All {
        found.extend(lost_records(store, catalog).await?);
        let endings = endings(store, catalog).await?;
        found.extend(endings.into_iter().map(|(hash, why, _)| {
            let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            Damage::new(format!("the piece {hex}"), why, Remedy::Repair)
        }));
    }
    found.sort();
    Ok(found)
}

fn versions(catalog: &Catalog, scope: Scope) -> Vec<(Definition, Version)> {
    let definitions = catalog.state.definitions.iter();
    let versions = definitions.flat_map(|d| {
        let in_force: BTreeSet<u32> = d.in_force().map(|v| v.number).collect();
        let versions = d.versions.iter();
        let wanted = versions.filter(move |v| scope == Scope::All || in_force.contains(&v.number));
        wanted.map(move |v| (d.clone(), v.clone()))
    });
    versions.collect()
}

async fn unreadable(
    store: &dyn Store,
    versions: &[(Definition, Version)],
) -> Result<Vec<(Definition, Version, String)>, StoreError> {
    let bundles = read_bundles(store, versions).await?;
    let checks = versions.iter().zip(bundles);
    let broken = checks.filter_map(|((definition, version), bundle)| {
        let why = bundle.and_then(|packed| checked(&packed, version)).err()?;
        Some((definition.clone(), version.clone(), why))
    });
    Ok(broken.collect())
}

/// Older records are in a chain of pages, which ends at one that cannot be read.
async fn lost_records(store: &dyn Store, catalog: &Catalog) -> Result<Option<Damage>, StoreError> {
    let mut older = catalog.state.older.clone();
    while let Some(next) = older {
        older = match data::<Page>(store, &next).await {
            Ok(page) => page.older,
            Err(StoreError::Malformed(why) | StoreError::Sealed(why)) => {
                let why = format!("its older part cannot be read: {why}");
                return Ok(Some(Damage::new(
                    "the history of changes".to_owned(),
                    why,
                    Remedy::Nothing,
                )));
            }
            Err(error) => return Err(error),
        };
    }
    Ok(None)
}

/// Pieces that can be read but will not be kept, with their content.
async fn endings(
    store: &dyn Store,
    catalog: &Catalog,
) -> Result<Vec<(Vec<u8>, String, Vec<u8>)>, StoreError> {
    let versions = catalog.state.definitions.iter().flat_map(|d| &d.versions);
    let data = versions.filter_map(|v| v.segment.as_ref());
    let data = data.chain(&catalog.state.older);
    let hashes: BTreeSet<Vec<u8>> = data.flat_map(|data: &Data| data.pieces.clone()).collect();
    let found = stream::iter(hashes)
        .map(|hash| async move {
            match checked_piece(store, &hash).await {
                Ok(piece) => Ok(piece.ending.map(|why| (hash, why, piece.bytes))),
                Err(StoreError::Malformed(_) | StoreError::Sealed(_)) => Ok(None),
                Err(error) => Err(error),
            }
        })
        .buffered(FETCHES);
    let found: Vec<Option<_>> = found.try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

/// Stores again the pieces that will not be kept; returns their number.
pub(crate) async fn keep(store: &dyn Store, catalog: &Catalog) -> Result<usize, StoreError> {
    let endings = endings(store, catalog).await?;
    let kept = endings.len();
    for (hash, _, bytes) in endings {
        store.put_piece(&hash, bytes).await?;
    }
    Ok(kept)
}

/// Versions whose bundles cannot be read, but whose texts are available.
pub(crate) async fn mendable(
    store: &dyn Store,
    catalog: &Catalog,
    texts: &Texts,
) -> Result<Vec<(Definition, Version, String)>, StoreError> {
    let mut versions = versions(catalog, Scope::All);
    versions.retain(|(_, version)| texts.contains_key(&version.digest));
    unreadable(store, &versions).await
}

/// Stores these versions' bundles again; returns their description for a change.
pub(crate) async fn store_again(
    store: &dyn Store,
    versions: &[(Definition, Version, String)],
    texts: &Texts,
) -> Result<Vec<Put>, StoreError> {
    let mut puts = Vec::new();
    let mut bundles = Vec::new();
    for (definition, version, _) in versions {
        let Some(text) = texts.get(&version.digest) else {
            continue;
        };
        bundles.push(text.as_slice());
        puts.push(Put {
            workflow: definition.workflow.clone(),
            digest: version.digest.clone(),
            ..Put::default()
        });
    }
    let places = put_bundles(store, &bundles).await?;
    for (put, (segment, index)) in puts.iter_mut().zip(places) {
        (put.segment, put.index) = (Some(segment), index);
    }
    Ok(puts)
}
