//! The schedules of deployed definitions: those that the server should have, those that it has, and the calls in
//! between.
//!
//! A schedule's id is `TYPE/NAME`, and its memo names its registry: another registry's schedule is never changed. The
//! catalog has all ids that a type ever had, so the next deployment finds what an interrupted one has left.

mod due;
mod facts;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};

pub(crate) use due::{Following, finish};
pub(crate) use facts::{Difference, Facts};
use facts::{differences, facts};

use super::deploy::{Definitions, DeployError};
use super::store::{Store, StoreError};
use super::{Entry, version};
use crate::accepted::ScheduleSpec;
use crate::bundle::Digest;
use crate::catalog::{Catalog, Definition, Version};
use crate::client::{Client, ClientError, Schedule, ScheduleDescription, StartOptions};
use crate::engine::start::StartDefaults;
use crate::program::{self, Program, schedule_id};
use crate::value::{Payload, Value};

/// The field of a schedule's memo that names its registry.
const REGISTRY_MEMO: &str = "segno-registry";
/// Concurrent calls.
const CALLS: usize = 16;
/// Retries if other changes interfere.
const TRIES: usize = 20;

/// The registry of the schedules, and their place.
pub(crate) struct Schedules<'a> {
    pub(crate) client: &'a Client,
    pub(crate) store: &'a dyn Store,
    /// The registry's name, for the memo.
    pub(crate) registry: &'a str,
    /// The deploying client's task queue, which takes precedence over a definition's.
    pub(crate) task_queue: Option<String>,
    /// If neither names one.
    pub(crate) task_queue_default: &'a str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// With its facts.
    Create(Facts),
    Update(Vec<Difference>),
    Remove,
}

/// What is done to one schedule.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) schedule_id: String,
    pub(crate) workflow: String,
    pub(crate) action: Action,
    /// It is paused, and stays so.
    pub(crate) is_paused: bool,
    wanted: Option<Wanted>,
}

/// What the server should have, and the place that defines it.
#[derive(Debug)]
struct Wanted {
    schedule: Schedule,
    place: String,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ScheduleDeployError {
    #[error(
        "{place}: a schedule with the id {id:?} already exists, and this registry did not create it"
    )]
    Anothers { id: String, place: String },
    #[error("{place}: the schedule cannot start {workflow}: {message}")]
    Start {
        place: String,
        workflow: String,
        message: String,
    },
    #[error("{place}: the schedule {id:?}: {error}")]
    Refused {
        id: String,
        place: String,
        error: ClientError,
    },
    #[error("the schedules were created, but the registry could not record it: {0}")]
    Untold(#[from] DeployError),
    #[error("other deployments kept interfering; they create their own schedules")]
    Overtaken,
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Schedules<'_> {
    /// The steps after which these types have the schedules of the versions in force, and no others.
    pub(crate) async fn plan(
        &self,
        catalog: &Catalog,
        found: &Definitions,
        types: &BTreeSet<String>,
    ) -> Result<Vec<Step>, ScheduleDeployError> {
        let definitions = types.iter().filter_map(|name| catalog.definition(name));
        let mut wanted = BTreeMap::new();
        let mut ids = BTreeMap::new();
        for definition in definitions {
            for name in definition.versions.iter().flat_map(|v| &v.schedules) {
                let id = schedule_id(&definition.workflow, name);
                ids.insert(id, definition.workflow.clone());
            }
            let current = definition.version(definition.current);
            let has_any = |v: &&Version| !definition.retired && !v.schedules.is_empty();
            if let Some(current) = current.filter(has_any) {
                let entry = self.entry(definition, current, found).await?;
                wanted.extend(self.wanted(&entry.loaded.program)?);
            }
        }
        let steps = stream::iter(ids)
            .map(|(id, workflow)| self.step(wanted.remove(&id), id, workflow))
            .buffered(CALLS);
        let steps: Vec<Option<Step>> = steps.try_collect().await?;
        Ok(steps.into_iter().flatten().collect())
    }

    /// Performs the steps, again if another deployment interferes; returns what was done.
    pub(crate) async fn reconcile(
        &self,
        found: &Definitions,
        types: &BTreeSet<String>,
    ) -> Result<Vec<Step>, ScheduleDeployError> {
        let mut done = Vec::new();
        for _ in 0..TRIES {
            let catalog = self.store.read().await?;
            let steps = self.plan(&catalog, found, types).await?;
            let calls: Vec<_> = steps.iter().map(|step| self.carry_out(step)).collect();
            let calls = stream::iter(calls).buffer_unordered(CALLS);
            calls.try_collect::<()>().await?;
            done.extend(steps);
            if self.store.read().await?.revision() == catalog.revision() {
                return Ok(done);
            }
        }
        Err(ScheduleDeployError::Overtaken)
    }

    async fn entry(
        &self,
        definition: &Definition,
        current: &Version,
        found: &Definitions,
    ) -> Result<Entry, StoreError> {
        let here = found.get(&definition.workflow).map(|(entry, _)| entry);
        let digest = Digest::from_bytes(&current.digest).map(|digest| digest.to_string());
        match here.filter(|entry| digest.as_ref() == Some(&entry.bundle.digest)) {
            Some(entry) => Ok(entry.clone()),
            None => version(self.store, definition, current).await,
        }
    }

    /// The schedules of a definition by their ids, each with its place.
    fn wanted(&self, program: &Program) -> Result<BTreeMap<String, Wanted>, ScheduleDeployError> {
        let schedules = program.schedules.iter();
        let wanted = schedules.map(|schedule| {
            let place = program.sources.location(schedule.range);
            let id = schedule_id(&program.workflow, &schedule.name);
            let made = self.schedule(program, schedule, &id);
            let made = made.map_err(|message| ScheduleDeployError::Start {
                place: place.clone(),
                workflow: program.workflow.to_string(),
                message,
            })?;
            Ok((
                id,
                Wanted {
                    schedule: made,
                    place,
                },
            ))
        });
        wanted.collect()
    }

    fn schedule(
        &self,
        program: &Program,
        schedule: &program::Schedule,
        id: &str,
    ) -> Result<Schedule, String> {
        let task_queue = match &schedule.task_queue {
            Some(queue) => queue.to_string(),
            None => {
                let own = self.task_queue.as_deref();
                let said = own.or(program.start.task_queue.as_deref());
                said.unwrap_or(self.task_queue_default).to_owned()
            }
        };
        let input = schedule.input.iter().map(payload);
        let workflow_id = schedule.workflow_id.as_deref().unwrap_or(id);
        let action = StartOptions {
            workflow_type: program.workflow.to_string(),
            workflow_id: Some(workflow_id.to_owned()),
            task_queue,
            input: input.collect::<Result<_, _>>()?,
            ..StartOptions::default()
        };
        let spec = schedule.spec.normal().map_err(|e| e.to_string())?;
        Ok(Schedule {
            spec: ScheduleSpec {
                paused: schedule.spec.paused,
                notes: schedule.spec.notes.clone(),
                ..spec
            },
            action: action.with_defaults(StartDefaults::of_schedule(program, schedule)?),
            memo: vec![(REGISTRY_MEMO.to_owned(), payload(&self.registry.into())?)],
            search_attributes: Vec::new(),
        })
    }

    async fn step(
        &self,
        wanted: Option<Wanted>,
        id: String,
        workflow: String,
    ) -> Result<Option<Step>, ScheduleDeployError> {
        let there = match self.client.describe_schedule(&id).await {
            Ok(there) => Some(there),
            Err(ClientError::NoSuchSchedule(..)) => None,
            Err(error) => return Err(error.into()),
        };
        let is_ours = |there: &ScheduleDescription| {
            there.memo.get(REGISTRY_MEMO) == Some(&self.registry.into())
        };
        let is_paused = there.as_ref().is_some_and(|t| t.spec.paused == Some(true));
        let action = match (&wanted, &there) {
            (Some(wanted), Some(there)) if !is_ours(there) => {
                let place = wanted.place.clone();
                return Err(ScheduleDeployError::Anothers { id, place });
            }
            (Some(wanted), Some(there)) => {
                let changed = differences(&server_facts(there), &facts_of(&wanted.schedule)?);
                (!changed.is_empty()).then_some(Action::Update(changed))
            }
            (Some(wanted), None) => Some(Action::Create(facts_of(&wanted.schedule)?)),
            (None, Some(there)) if is_ours(there) => Some(Action::Remove),
            (None, _) => None,
        };
        Ok(action.map(|action| Step {
            schedule_id: id,
            workflow,
            action,
            is_paused,
            wanted,
        }))
    }

    async fn carry_out(&self, step: &Step) -> Result<(), ScheduleDeployError> {
        let id = &step.schedule_id;
        let made = match (&step.action, &step.wanted) {
            (Action::Create(_), Some(wanted)) => {
                let schedule = wanted.schedule.clone();
                self.client.create_schedule(id, schedule).await
            }
            (Action::Update(_), Some(wanted)) => {
                let schedule = wanted.schedule.clone();
                self.client.replace_schedule(id, schedule).await
            }
            _ => self.client.delete_schedule(id).await,
        };
        match made {
            // Another deployment was faster: the schedule is read again.
            Err(ClientError::ScheduleExists(_) | ClientError::NoSuchSchedule(..)) => Ok(()),
            Err(error) => Err(match &step.wanted {
                Some(wanted) => ScheduleDeployError::Refused {
                    id: id.clone(),
                    place: wanted.place.clone(),
                    error,
                },
                None => error.into(),
            }),
            Ok(()) => Ok(()),
        }
    }
}

/// One that cannot be read equals no other.
fn server_facts(there: &ScheduleDescription) -> Facts {
    facts(&there.spec, &there.action).unwrap_or_default()
}

fn facts_of(wanted: &Schedule) -> Result<Facts, ScheduleDeployError> {
    let facts = facts(&wanted.spec, &wanted.action);
    facts.map_err(|error| ClientError::from(error).into())
}

fn payload(value: &Value) -> Result<Payload, String> {
    Payload::from_value(value).map_err(|e| e.0)
}
