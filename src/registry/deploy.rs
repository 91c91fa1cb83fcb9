//! Deploying a folder: what would change, and the change that does it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Entry;
use super::health::{Texts, mendable, store_again};
use super::plan::digest_of;
pub(crate) use super::plan::{Action, Held, Mend, Share, Step};
pub use super::plan::{Plan, Routing};
use super::store::{Store, StoreError, put_data};
use crate::catalog::{
    Applied, Catalog, Change, Data, DueSchedules, NameError, Origin, Put, Segment,
};
use crate::limits::{
    BUNDLE_PACKED_SIZE_BYTES_MAX, DEPLOYMENT_DEFINITIONS_MAX, REGISTRY_TEXT_SIZE_BYTES_MAX,
};

/// A folder's definitions by workflow type, each with its file.
pub type Definitions = BTreeMap<String, (Entry, Arc<str>)>;

/// The approximate total size of the bundles in a segment, which a reader fetches whole.
const SEGMENT_SIZE_BYTES: usize = BUNDLE_PACKED_SIZE_BYTES_MAX;
/// Retries if other changes interfere.
const TRIES: usize = 20;

/// The result of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    pub(crate) revision: u64,
    /// The versions that it added or put in force, such as `order@12`.
    pub(crate) versions: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    #[error("the workflow type {workflow} ({file}) is already deployed by the project {project:?}")]
    Anothers {
        workflow: String,
        file: Arc<str>,
        project: String,
    },
    #[error(
        "the folder has {0} definitions; DEPLOYMENT_DEFINITIONS_MAX is {DEPLOYMENT_DEFINITIONS_MAX}"
    )]
    TooMany(usize),
    #[error("{0} has {1} bytes; REGISTRY_TEXT_SIZE_BYTES_MAX is {REGISTRY_TEXT_SIZE_BYTES_MAX}")]
    Text(&'static str, usize),
    #[error("another deployment has meanwhile changed what this one would do (revision {0})")]
    Overtaken(u64),
    #[error("the registry did not accept the change: {0}")]
    Invalid(String),
    /// The request makes no sense in the current state.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes a change on the current state, again for each interfering change.
pub(crate) async fn change(
    store: &dyn Store,
    origin: Origin,
    id: impl Fn() -> String,
    make: impl Fn(&Catalog) -> Result<Change, DeployError>,
) -> Result<u64, DeployError> {
    check_texts("", &origin)?;
    let mut catalog = store.read().await?;
    for _ in 0..TRIES {
        let change = Change {
            id: id(),
            base: catalog.revision(),
            origin: Some(origin.clone()),
            ..make(&catalog)?
        };
        match store.send(change).await? {
            Applied::Yes(revision) => return Ok(revision),
            Applied::Invalid(why) => return Err(DeployError::Invalid(why)),
            Applied::Stale | Applied::Twice => catalog = store.read().await?,
        }
    }
    Err(DeployError::Overtaken(catalog.revision()))
}

impl Plan {
    /// Adds the versions that must be stored again.
    pub(crate) async fn with_mends(
        mut self,
        store: &dyn Store,
        catalog: &Catalog,
        found: &Definitions,
    ) -> Result<Plan, DeployError> {
        let broken = mendable(store, catalog, &texts(found)?).await?;
        let mends = broken.into_iter();
        self.mends = mends
            .map(|(definition, version, why)| Mend {
                definition,
                version,
                why,
            })
            .collect();
        Ok(self)
    }

    /// Deploys everything or nothing. Interfering deployments are taken into account; if they change the plan, nothing
    /// is done.
    pub async fn carry_out(
        &self,
        store: &dyn Store,
        found: &Definitions,
        origin: Origin,
        id: String,
        due_schedules: Option<DueSchedules>,
    ) -> Result<Deployment, DeployError> {
        check_texts(&self.project, &origin)?;
        let mut plan = self.clone();
        let mut change = Change {
            id,
            due_schedules,
            origin: Some(origin),
            project: self.project.clone(),
            puts: self.store_bundles(store, found).await?,
            mended: self.store_again(store, found).await?,
            ..Change::default()
        };
        for _ in 0..TRIES {
            change.base = plan.base;
            (change.retired, change.routes) = (plan.retired(), plan.routes());
            let revision = match store.send(change.clone()).await? {
                Applied::Yes(revision) => Some(revision),
                Applied::Twice => Some(store.read().await?.revision()),
                Applied::Invalid(why) => return Err(DeployError::Invalid(why)),
                Applied::Stale => None,
            };
            if let Some(revision) = revision {
                let versions = plan.versions();
                return Ok(Deployment { revision, versions });
            }
            let catalog = store.read().await?;
            plan = Plan::new(&catalog, found, &self.project, self.routing)?;
            if !plan.means_the_same(self) {
                return Err(DeployError::Overtaken(plan.base));
            }
            // The id belongs to a change that did not take effect.
            change.id.push('\'');
        }
        Err(DeployError::Overtaken(plan.base))
    }

    async fn store_again(
        &self,
        store: &dyn Store,
        found: &Definitions,
    ) -> Result<Vec<Put>, DeployError> {
        let broken = self.mends.iter();
        let broken: Vec<_> = broken
            .map(|m| (m.definition.clone(), m.version.clone(), String::new()))
            .collect();
        Ok(store_again(store, &broken, &texts(found)?).await?)
    }

    /// The resulting catalog; its new versions are not stored yet.
    pub(crate) fn after(
        &self,
        catalog: &Catalog,
        found: &Definitions,
    ) -> Result<Catalog, DeployError> {
        let change = Change {
            base: self.base,
            project: self.project.clone(),
            puts: self.puts(found)?,
            retired: self.retired(),
            routes: self.routes(),
            ..Change::default()
        };
        let mut after = catalog.clone();
        match after.apply(&change, 0) {
            Applied::Yes(_) => Ok(after),
            Applied::Invalid(why) => Err(DeployError::Invalid(why)),
            Applied::Stale | Applied::Twice => Err(DeployError::Overtaken(catalog.revision())),
        }
    }

    /// The change that restores what was in force before, except for types that others have changed since.
    pub(crate) fn taken_back(&self, before: &Catalog, after: &Catalog, now: &Catalog) -> Change {
        let mut change = Change {
            project: self.project.clone(),
            ..Change::default()
        };
        for step in &self.steps {
            let routes = |catalog: &Catalog| {
                let definition = catalog.definition(&step.workflow);
                definition.map(|definition| (definition.route(), definition.retired))
            };
            if routes(now) != routes(after) {
                continue;
            }
            let old = before.definition(&step.workflow);
            match old.and_then(|old| Some((old, old.put_of_current()?))) {
                Some((old, put)) => {
                    change.puts.push(put);
                    change.routes.push(old.route());
                }
                None => change.retired.push(step.workflow.clone()),
            }
        }
        change
    }

    /// Stored before the change that refers to them, so that its readers find them.
    async fn store_bundles(
        &self,
        store: &dyn Store,
        found: &Definitions,
    ) -> Result<Vec<Put>, DeployError> {
        let mut puts = self.puts(found)?;
        let entries = puts.iter().filter_map(|put| found.get(&put.workflow));
        let bundles: Vec<&[u8]> = entries.map(|(e, _)| e.bundle.bytes.as_slice()).collect();
        let places = put_bundles(store, &bundles).await?;
        for (put, (segment, index)) in puts.iter_mut().zip(places) {
            (put.segment, put.index) = (Some(segment), index);
        }
        Ok(puts)
    }
}

/// Stores packed bundles, several in a segment; returns the place of each.
pub(super) async fn put_bundles(
    store: &dyn Store,
    bundles: &[&[u8]],
) -> Result<Vec<(Data, u32)>, StoreError> {
    let mut places = Vec::with_capacity(bundles.len());
    let (mut segment, mut size) = (Segment::default(), 0);
    for (at, bundle) in bundles.iter().enumerate() {
        size += bundle.len();
        segment.bundles.push(bundle.to_vec());
        if size >= SEGMENT_SIZE_BYTES || at + 1 == bundles.len() {
            let count = segment.bundles.len() as u32;
            let data = put_data(store, &std::mem::take(&mut segment)).await?;
            places.extend((0..count).map(|index| (data.clone(), index)));
            size = 0;
        }
    }
    Ok(places)
}

fn texts(found: &Definitions) -> Result<Texts, DeployError> {
    let texts = found.values().map(|(entry, _)| {
        let digest = digest_of(entry)?;
        Ok((digest, entry.bundle.bytes.clone()))
    });
    texts.collect()
}

fn check_texts(project: &str, origin: &Origin) -> Result<(), DeployError> {
    let texts = [
        ("the name of the project", project),
        ("who deploys", &origin.who),
        ("the commit", &origin.commit),
        ("the message", &origin.message),
    ];
    for (what, text) in texts {
        if text.len() > REGISTRY_TEXT_SIZE_BYTES_MAX {
            return Err(DeployError::Text(what, text.len()));
        }
    }
    Ok(())
}
