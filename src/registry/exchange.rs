//! A registry as one JSON document, and back: every version with its text, what new runs get, and the history of
//! changes.

mod form;

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use super::deploy::{DeployError, change, put_bundles};
use super::deployed::{checked, read_bundles};
use super::health::{Texts, mendable};
use super::store::{Remedy, Store, StoreError, data};
use crate::catalog::{
    Catalog, Change, Data, Definition, DueSchedules, Origin, Page, Put, Record, State, Tag,
    TagChange, Version, VersionName,
};
pub(crate) use form::{
    Export, ExportedDefinition, ExportedDue, ExportedRamp, ExportedRecord, ExportedVersion, FORM,
};

#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    #[error("not an export of a registry: {0}")]
    Form(String),
    #[error("{0}: the text does not match the digest {1}")]
    Digest(String, String),
    #[error("{0}")]
    Meaning(String),
    #[error(transparent)]
    Deploy(#[from] DeployError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The result of an import.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Imported {
    pub(crate) revision: u64,
    /// The registry was empty or lost, and now equals the file.
    pub(crate) is_whole: bool,
    pub(crate) added: Vec<String>,
    pub(crate) stored_again: Vec<String>,
    /// In the file without their texts, or deleted in the registry.
    pub(crate) left: Vec<String>,
}

impl Export {
    pub(crate) async fn of(store: &dyn Store, catalog: &Catalog) -> Result<Export, StoreError> {
        let state = &catalog.state;
        let mut definitions = Vec::with_capacity(state.definitions.len());
        for definition in &state.definitions {
            let versions = definition.versions.iter();
            let versions: Vec<_> = versions.map(|v| (definition.clone(), v.clone())).collect();
            let bundles = read_bundles(store, &versions).await?;
            let versions = definition.versions.iter().zip(bundles);
            let versions = versions.map(|(version, packed)| {
                let bundle = packed.and_then(|packed| checked(&packed, version));
                ExportedVersion::of(version, bundle.ok())
            });
            definitions.push(ExportedDefinition {
                workflow: definition.workflow.clone(),
                project: definition.project.clone(),
                retired: definition.retired,
                current: definition.current,
                pinned: definition.pinned,
                ramp: ExportedRamp::of(definition.ramp, definition.ramp_percent),
                tags: definition
                    .tags
                    .iter()
                    .map(|tag| (tag.name.clone(), tag.number))
                    .collect(),
                last_number: definition.last_number,
                versions: versions.collect(),
            });
        }
        let due = state.due_schedules.iter().map(|due| ExportedDue {
            revision: due.revision,
            workflows: due.workflows.clone(),
            namespace_id: due.namespace_id.clone(),
            task_queue: due.task_queue.clone(),
        });
        Ok(Export {
            form: FORM.to_owned(),
            revision: state.revision,
            definitions,
            history: (records(store, catalog).await?.iter())
                .map(ExportedRecord::of)
                .collect(),
            due_schedules: due.collect(),
        })
    }

    pub(crate) fn read(text: &str) -> Result<Export, ImportError> {
        let export: Export =
            serde_json::from_str(text).map_err(|e| ImportError::Form(e.to_string()))?;
        if export.form != FORM {
            let why = format!("expected the format {FORM:?}, found {:?}", export.form);
            return Err(ImportError::Form(why));
        }
        for definition in &export.definitions {
            let mut last = 0;
            for version in &definition.versions {
                if version.number <= last || version.number > definition.last_number {
                    let name = format!("{}@{}", definition.workflow, version.number);
                    return Err(ImportError::Form(format!(
                        "{name}: numbers must ascend, up to lastNumber"
                    )));
                }
                last = version.number;
            }
        }
        Ok(export)
    }

    /// Versions that have no text here.
    pub(crate) fn unreadable(&self) -> Vec<String> {
        let definitions = self.definitions.iter();
        let versions = definitions.flat_map(|d| d.versions.iter().map(move |v| (d, v)));
        let unreadable = versions.filter(|(_, v)| v.bundle.is_none());
        let names = unreadable.map(|(d, v)| format!("{}@{}", d.workflow, v.number));
        names.collect()
    }

    /// The packed bundles, each checked against its digest.
    fn texts(&self) -> Result<Texts, ImportError> {
        let mut texts = Texts::new();
        for definition in &self.definitions {
            for version in &definition.versions {
                if let Some(bundle) = &version.bundle {
                    let name = format!("{}@{}", definition.workflow, version.number);
                    let bundle = bundle.packed(&definition.workflow, &name, &version.digest)?;
                    texts.insert(version.digest_bytes(&name)?, bundle);
                }
            }
        }
        Ok(texts)
    }

    /// The registry that the file describes.
    fn state(&self, places: &Places) -> Result<State, ImportError> {
        let definitions = self.definitions.iter().map(|d| {
            let versions = d.versions.iter().map(|v| {
                let name = format!("{}@{}", d.workflow, v.number);
                let digest = v.digest_bytes(&name)?;
                let place = places.get(&digest).cloned();
                Ok(Version {
                    number: v.number,
                    language_version: v.language_version,
                    revision: v.revision,
                    schedules: v.schedules.clone(),
                    index: place.as_ref().map_or(0, |(_, index)| *index),
                    segment: place.map(|(data, _)| data),
                    digest,
                    mended: 0,
                })
            });
            let tags = d.tags.iter();
            Ok::<_, ImportError>(Definition {
                workflow: d.workflow.clone(),
                project: d.project.clone(),
                retired: d.retired,
                versions: versions.collect::<Result<_, ImportError>>()?,
                current: d.current,
                pinned: d.pinned,
                ramp: d.ramp.as_ref().map_or(0, |ramp| ramp.version),
                ramp_percent: d.ramp.as_ref().map_or(0, |ramp| ramp.percent),
                tags: tags
                    .map(|(name, number)| Tag {
                        name: name.clone(),
                        number: *number,
                    })
                    .collect(),
                last_number: d.last_number,
            })
        });
        let mut definitions: Vec<Definition> = definitions.collect::<Result<_, _>>()?;
        definitions.sort_by(|a, b| a.workflow.cmp(&b.workflow));
        let log = self.history.iter().map(ExportedRecord::record);
        let due = self.due_schedules.iter().map(|due| DueSchedules {
            revision: due.revision,
            workflows: due.workflows.clone(),
            namespace_id: due.namespace_id.clone(),
            task_queue: due.task_queue.clone(),
        });
        Ok(State {
            revision: self.revision,
            definitions,
            log: log.collect::<Result<_, _>>()?,
            older: None,
            due_schedules: due.collect(),
            numbered: true,
        })
    }

    /// Refuses a file that would change the meaning of a version number.
    fn refuse_other_meanings(&self, catalog: &Catalog) -> Result<(), ImportError> {
        for own in &self.definitions {
            let Some(there) = catalog.definition(&own.workflow) else {
                continue;
            };
            if there.project != own.project && !there.versions.is_empty() {
                return Err(ImportError::Meaning(format!(
                    "{} belongs to the project {:?} in the registry, but to {:?} in the file",
                    own.workflow, there.project, own.project
                )));
            }
            for version in &own.versions {
                let name = format!("{}@{}", own.workflow, version.number);
                let digest = version.digest_bytes(&name)?;
                let same_number = there.version(version.number);
                if same_number.is_some_and(|v| v.digest != digest) {
                    return Err(ImportError::Meaning(format!(
                        "{name} is another definition in the registry than in the file"
                    )));
                }
                let same_content = there.version_of(&digest);
                if let Some(other) = same_content.filter(|v| v.number != version.number) {
                    return Err(ImportError::Meaning(format!(
                        "{name} of the file is {} in the registry",
                        there.name_of(other.number)
                    )));
                }
            }
        }
        Ok(())
    }

    /// What the registry lacks of this type: the versions beyond its last number, as a change.
    fn addition(
        &self,
        own: &ExportedDefinition,
        there: Option<&Definition>,
        places: &Places,
    ) -> Result<Change, ImportError> {
        let last = there.map_or(0, |d| d.last_number);
        let mut change = Change {
            project: own.project.clone(),
            ..Change::default()
        };
        if own.last_number <= last {
            return Ok(change);
        }
        let workflow = || own.workflow.clone();
        for version in own.versions.iter().filter(|v| v.number > last) {
            let name = format!("{}@{}", own.workflow, version.number);
            let digest = version.digest_bytes(&name)?;
            let place = places.get(&digest).cloned();
            change.puts.push(Put {
                workflow: workflow(),
                language_version: version.language_version,
                index: place.as_ref().map_or(0, |(_, index)| *index),
                segment: place.map(|(data, _)| data),
                schedules: version.schedules.clone(),
                number: version.number,
                digest,
            });
        }
        if own.versions.last().map_or(0, |v| v.number) < own.last_number {
            // The last one was deleted: its number remains used.
            change.puts.push(Put {
                workflow: workflow(),
                digest: Sha256::digest(format!("deleted {}@{}", own.workflow, own.last_number))
                    .to_vec(),
                number: own.last_number,
                ..Put::default()
            });
            change.deleted.push(VersionName {
                workflow: workflow(),
                number: own.last_number,
            });
        }
        match there.filter(|d| !d.versions.is_empty()) {
            // New runs get what they got.
            Some(there) => {
                change.routes.push(there.route());
                if there.retired {
                    change.retired.push(workflow());
                }
            }
            None => {
                // All versions up to the last number were deleted there, and remain so.
                let is_there =
                    |number: u32| number > last && own.versions.iter().any(|v| v.number == number);
                let route = own.route();
                if is_there(route.current) && (route.ramp == 0 || is_there(route.ramp)) {
                    change.routes.push(route);
                }
                if own.retired || !own.versions.iter().any(|v| is_there(v.number)) {
                    change.retired.push(workflow());
                }
                let tags = own.tags.iter().filter(|(_, number)| is_there(**number));
                let tags = tags.map(|(name, number)| TagChange {
                    workflow: workflow(),
                    name: name.clone(),
                    number: *number,
                });
                change.tags.extend(tags);
            }
        }
        Ok(change)
    }
}

/// The places of stored bundles, by their digests.
type Places = BTreeMap<Vec<u8>, (Data, u32)>;

/// Imports an export. An empty or lost registry becomes equal to the file; any other one gets what it lacks, and
/// nothing that it has changes its meaning.
pub(crate) async fn import(
    store: &dyn Store,
    export: &Export,
    origin: Origin,
    id: impl Fn() -> String,
) -> Result<Imported, ImportError> {
    let texts = export.texts()?;
    let found = store.inspect().await?;
    let is_lost = found.damages.iter().any(|d| d.remedy == Remedy::Import);
    let is_empty = found.catalog.as_ref().is_none_or(|c| c.revision() == 0);
    if is_lost || is_empty {
        let places = put_all(store, &texts, texts.keys()).await?;
        let state = export.state(&places)?;
        store.begin_with(state).await?;
        return Ok(Imported {
            revision: store.read().await?.revision(),
            is_whole: true,
            added: export.names(|_| true),
            left: export.unreadable(),
            ..Imported::default()
        });
    }
    let catalog = store.read().await?;
    export.refuse_other_meanings(&catalog)?;
    merge(store, export, &catalog, &texts, origin, id).await
}

async fn merge(
    store: &dyn Store,
    export: &Export,
    catalog: &Catalog,
    texts: &Texts,
    origin: Origin,
    id: impl Fn() -> String,
) -> Result<Imported, ImportError> {
    let last = |workflow: &str| catalog.definition(workflow).map_or(0, |d| d.last_number);
    let broken = mendable(store, catalog, texts).await?;
    let broken: BTreeSet<Vec<u8>> = broken.into_iter().map(|(_, v, _)| v.digest).collect();
    let mut wanted = broken.clone();
    for definition in &export.definitions {
        let new = definition.versions.iter();
        for version in new.filter(|v| v.number > last(&definition.workflow)) {
            wanted.insert(version.digest_bytes(&definition.workflow)?);
        }
    }
    let places = put_all(
        store,
        texts,
        wanted.iter().filter(|d| texts.contains_key(*d)),
    )
    .await?;
    let mut done = Imported {
        revision: catalog.revision(),
        ..Imported::default()
    };
    for own in &export.definitions {
        let make = |now: &Catalog| {
            let meaning = |e: ImportError| DeployError::Invalid(e.to_string());
            export.refuse_other_meanings(now).map_err(meaning)?;
            let there = now.definition(&own.workflow);
            let mut change = export.addition(own, there, &places).map_err(meaning)?;
            let versions = there.into_iter().flat_map(|d| &d.versions);
            let again = versions.filter(|v| broken.contains(&v.digest));
            change.mended = again
                .filter_map(|v| {
                    let (data, index) = places.get(&v.digest)?.clone();
                    Some(Put {
                        workflow: own.workflow.clone(),
                        digest: v.digest.clone(),
                        segment: Some(data),
                        index,
                        ..Put::default()
                    })
                })
                .collect();
            Ok(change)
        };
        let change_now = make(catalog)?;
        if change_now.puts.is_empty() && change_now.mended.is_empty() {
            continue;
        }
        let name = |number: u32| format!("{}@{number}", own.workflow);
        let deleted: Vec<u32> = change_now.deleted.iter().map(|v| v.number).collect();
        let added = change_now.puts.iter().map(|put| put.number);
        done.added
            .extend(added.filter(|n| !deleted.contains(n)).map(name));
        let there = catalog.definition(&own.workflow);
        let again = change_now.mended.iter();
        let again = again.filter_map(|put| there?.version_of(&put.digest));
        done.stored_again.extend(again.map(|v| name(v.number)));
        done.revision = change(store, origin.clone(), &id, make).await?;
    }
    done.left = export.names(|(own, version)| {
        let there = catalog.definition(&own.workflow);
        let is_deleted = version.number <= last(&own.workflow)
            && there.is_none_or(|d| d.version(version.number).is_none());
        is_deleted || (version.bundle.is_none() && version.number > last(&own.workflow))
    });
    Ok(done)
}

async fn put_all<'a>(
    store: &dyn Store,
    texts: &Texts,
    wanted: impl Iterator<Item = &'a Vec<u8>>,
) -> Result<Places, StoreError> {
    let wanted: Vec<&Vec<u8>> = wanted.collect();
    let bundles: Vec<&[u8]> = wanted
        .iter()
        .filter_map(|digest| texts.get(*digest))
        .map(Vec::as_slice)
        .collect();
    let places = put_bundles(store, &bundles).await?;
    Ok(wanted.into_iter().cloned().zip(places).collect())
}

/// All records, the oldest first; unreadable ones are left out.
pub(crate) async fn records(
    store: &dyn Store,
    catalog: &Catalog,
) -> Result<Vec<Record>, StoreError> {
    let mut pages = vec![catalog.state.log.clone()];
    let mut older = catalog.state.older.clone();
    while let Some(next) = older {
        match data::<Page>(store, &next).await {
            Ok(page) => {
                pages.push(page.log);
                older = page.older;
            }
            Err(StoreError::Malformed(_) | StoreError::Sealed(_)) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(pages.into_iter().rev().flatten().collect())
}

impl Export {
    fn names(
        &self,
        is_wanted: impl Fn((&ExportedDefinition, &ExportedVersion)) -> bool,
    ) -> Vec<String> {
        let definitions = self.definitions.iter();
        let versions = definitions.flat_map(|d| d.versions.iter().map(move |v| (d, v)));
        let wanted = versions.filter(|version| is_wanted(*version));
        wanted
            .map(|(d, v)| format!("{}@{}", d.workflow, v.number))
            .collect()
    }
}
